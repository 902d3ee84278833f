//! Users who call all the while, and remember what they got.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossfade_edge_tests::client::{self, Connection, Response};

use crate::wait_for;

/// Users.
pub const USERS: usize = 5_000;

/// Connections, each with its own part of the users.
const CONNECTIONS: usize = 4;

/// Requests that are under way on one connection.
const AT_ONCE: usize = 25;

/// Requests a second of all users together.
const RATE: f64 = 700.0;

/// What a user may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// The share rises: whoever was on v2 stays there.
    Ramp,
    /// v2 may be taken back: whoever came back stays on v1.
    Either,
    /// v2 was taken back: nobody sees it.
    Back,
}

/// What a user has seen: v1 alone, then v2, then v1 again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Old,
    New,
    BackAgain,
}

#[derive(Debug)]
struct Shared {
    to: Mutex<Option<SocketAddr>>,
    expect: Mutex<Expect>,
    /// Users who may be sent back by themselves.
    spared: Mutex<Vec<usize>>,
    ends: AtomicBool,
    idle: AtomicUsize,
    served: [AtomicU64; 2],
    /// Sent, and not answered by a version.
    lost: AtomicU64,
    refused: AtomicU64,
    wrong: Mutex<Vec<String>>,
}

/// 5,000 users on threads of their own.
#[derive(Debug)]
pub struct Crowd {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// A user's key.
pub fn key(user: usize) -> String {
    format!("user-{user}")
}

impl Crowd {
    /// Nobody calls before [`Crowd::call`]. Prints its seed.
    pub fn new(name: &str) -> Crowd {
        let seed = std::env::var("CROSSFADE_E2E_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed: u64 = seed.unwrap_or_else(|| fastrand::u64(..));
        println!("{name}: CROSSFADE_E2E_SEED={seed}");
        let shared = Arc::new(Shared {
            to: Mutex::new(None),
            expect: Mutex::new(Expect::Ramp),
            spared: Mutex::new(Vec::new()),
            ends: AtomicBool::new(false),
            idle: AtomicUsize::new(0),
            served: [AtomicU64::new(0), AtomicU64::new(0)],
            lost: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            wrong: Mutex::new(Vec::new()),
        });
        let start = |part: usize| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || Part::new(part, seed, shared).run())
        };
        let threads = (0..CONNECTIONS).map(start).collect();
        Crowd { shared, threads }
    }

    /// Everybody calls there from now on.
    ///
    /// # Panics
    /// When a thread of it has panicked, as everything here does then.
    pub fn call(&self, to: SocketAddr, expect: Expect) {
        *self.shared.expect.lock().expect("no user panics") = expect;
        *self.shared.to.lock().expect("no user panics") = Some(to);
    }

    /// What users may see from now on.
    ///
    /// # Panics
    /// As [`Crowd::call`].
    pub fn expect(&self, expect: Expect) {
        *self.shared.expect.lock().expect("no user panics") = expect;
    }

    /// This user may be sent back by itself.
    ///
    /// # Panics
    /// As [`Crowd::call`].
    pub fn spare(&self, user: usize) {
        self.shared.spared.lock().expect("no user panics").push(user);
    }

    /// Nobody calls any more once this returns, and every answer is there.
    ///
    /// # Panics
    /// As [`Crowd::call`].
    pub fn pause(&self) {
        *self.shared.to.lock().expect("no user panics") = None;
        wait_for("all users to be quiet", || {
            (self.shared.idle.load(Ordering::SeqCst) == CONNECTIONS).then_some(())
        });
        self.assert_right();
    }

    /// Answers of v1 and v2.
    pub fn served(&self) -> [u64; 2] {
        [0, 1].map(|place| self.shared.served[place].load(Ordering::SeqCst))
    }

    /// Answers that somebody else has had, by the versions' names: they are counted, too.
    pub fn asked_elsewhere<'a>(&self, versions: impl Iterator<Item = &'a str>) {
        for version in versions {
            match version {
                "v1" => self.shared.served[0].fetch_add(1, Ordering::SeqCst),
                "v2" => self.shared.served[1].fetch_add(1, Ordering::SeqCst),
                _ => self.shared.refused.fetch_add(1, Ordering::SeqCst),
            };
        }
    }

    /// Requests without an answer of a version.
    pub fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::SeqCst)
    }

    /// Requests that were refused on purpose.
    pub fn refused(&self) -> u64 {
        self.shared.refused.load(Ordering::SeqCst)
    }

    /// # Panics
    /// When some user has seen what it should not.
    #[track_caller]
    pub fn assert_right(&self) {
        // Not held while it fails: the users would fail, too.
        let wrong = self.shared.wrong.lock().expect("no user panics").clone();
        assert!(wrong.is_empty(), "{} wrong: {:#?}", wrong.len(), &wrong[..wrong.len().min(5)]);
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// The users of one connection.
struct Part {
    /// In the order of this round.
    users: Vec<usize>,
    /// By a user's number, divided by the connections.
    seen: Vec<Seen>,
    next: usize,
    shared: Arc<Shared>,
    chance: fastrand::Rng,
    connection: Option<(SocketAddr, Connection)>,
}

impl Part {
    fn new(part: usize, seed: u64, shared: Arc<Shared>) -> Part {
        let users: Vec<usize> = (0..USERS).filter(|user| user % CONNECTIONS == part).collect();
        let seen = vec![Seen::Old; users.len()];
        let chance = fastrand::Rng::with_seed(seed ^ part as u64);
        Part { users, seen, next: 0, shared, chance, connection: None }
    }

    fn run(mut self) {
        let mut idle = false;
        let every = Duration::from_secs_f64((AT_ONCE * CONNECTIONS) as f64 / RATE);
        while !self.shared.ends.load(Ordering::SeqCst) {
            let since = Instant::now();
            let to = *self.shared.to.lock().expect("no user panics");
            match to {
                Some(_) if std::mem::take(&mut idle) => {
                    self.shared.idle.fetch_sub(1, Ordering::SeqCst);
                }
                None if !std::mem::replace(&mut idle, true) => {
                    self.shared.idle.fetch_add(1, Ordering::SeqCst);
                }
                _ => {}
            }
            // Between being told and being counted as busy it may have been told otherwise.
            if let Some(to) = to {
                self.batch(to);
            }
            std::thread::sleep(every.saturating_sub(since.elapsed()));
        }
    }

    fn batch(&mut self, to: SocketAddr) {
        let users: Vec<usize> = (0..AT_ONCE).map(|_| self.draw()).collect();
        let requests: Vec<Vec<u8>> =
            users.iter().map(|user| client::get([("x-user-id", key(*user))])).collect();
        let fresh = self.connection.as_ref().is_none_or(|(at, _)| *at != to);
        if fresh {
            self.connection = Connection::open(to).ok().map(|connection| (to, connection));
        }
        let Some((_, connection)) = &mut self.connection else { return };
        let mut answers = Vec::with_capacity(AT_ONCE);
        if connection.send(&requests.concat()).is_ok() {
            while answers.len() < AT_ONCE {
                let Ok(answer) = connection.receive() else { break };
                answers.push(answer);
            }
        }
        if answers.len() < AT_ONCE {
            // The proxy has gone; whether the others reached a version nobody knows.
            self.connection = None;
            let lost = (AT_ONCE - answers.len()) as u64;
            self.shared.lost.fetch_add(lost, Ordering::SeqCst);
        }
        let expect = *self.shared.expect.lock().expect("no user panics");
        for (user, answer) in users.into_iter().zip(answers) {
            self.saw(user, &answer, expect);
        }
    }

    /// Each user comes once a round, in another order each time.
    fn draw(&mut self) -> usize {
        let left = self.users.len() - self.next;
        let place = self.next + self.chance.usize(..left);
        self.users.swap(self.next, place);
        let drawn = self.users[self.next];
        self.next = (self.next + 1) % self.users.len();
        drawn
    }

    fn saw(&mut self, user: usize, answer: &Response, expect: Expect) {
        let new = match answer.version() {
            "v1" => false,
            "v2" => true,
            _ if matches!(answer.status, 410 | 503) && !answer.header("deprecation").is_empty() => {
                self.shared.refused.fetch_add(1, Ordering::SeqCst);
                return;
            }
            _ => {
                self.shared.lost.fetch_add(1, Ordering::SeqCst);
                return;
            }
        };
        self.shared.served[usize::from(new)].fetch_add(1, Ordering::SeqCst);
        let before = self.seen[user / CONNECTIONS];
        let spared = || self.shared.spared.lock().expect("no user panics").contains(&user);
        let wrong = match (before, new) {
            (Seen::New, false) if expect == Expect::Ramp && !spared() => Some("flipped back to v1"),
            (Seen::BackAgain, true) => Some("saw v2 again"),
            (_, true) if expect == Expect::Back => Some("saw v2 after the rollback"),
            _ => None,
        };
        self.seen[user / CONNECTIONS] = match (before, new) {
            (_, true) => Seen::New,
            (Seen::New, false) => Seen::BackAgain,
            (before, false) => before,
        };
        if let Some(wrong) = wrong {
            let text = format!("{} {wrong}, while {expect:?}", key(user));
            self.shared.wrong.lock().expect("no user panics").push(text);
        }
    }
}
