//! Leaders that sleep, and servers that die.

use super::*;

/// Stops everything that runs on a runtime of one worker thread, as SIGSTOP would stop a
/// process, until it is dropped.
struct Frozen(
    #[expect(dead_code, reason = "what is frozen wakes when this is dropped")]
    Option<std::sync::mpsc::Sender<()>>,
);

impl Frozen {
    fn freeze(runtime: &Runtime) -> Frozen {
        let (wake, sleep) = std::sync::mpsc::channel::<()>();
        let (begun, begins) = std::sync::mpsc::channel();
        runtime.spawn(async move {
            begun.send(()).unwrap();
            let _ = sleep.recv();
        });
        begins.recv().unwrap();
        Frozen(Some(wake))
    }
}

#[test]
fn a_leader_that_slept_past_its_lease_writes_nothing() {
    let servers = Servers::one();
    let (sleepy, awake) = (runtime(), runtime());
    let mut old = leader(&servers, &sleepy, "users");
    old.load().unwrap();
    old.commit(&commit(1, "a\n")).unwrap();
    let mut new = open(&servers, &awake, "users", "http://b");

    let frozen = Frozen::freeze(&sleepy);
    lead(&mut new);
    assert_eq!(old.try_lead().unwrap(), Lead::Others { address: None }, "it knows by its clock");
    assert_eq!(new.load().unwrap().calls, [calls("a\n")]);
    new.commit(&commit(2, "b\n")).unwrap();

    drop(frozen);
    let error = old.commit(&commit(3, "c\n")).unwrap_err();
    assert!(matches!(error, StoreError::Superseded), "{error}");
    let others = Lead::Others { address: Some("http://b".to_owned()) };
    until("who leads", || (old.try_lead().unwrap() == others).then_some(()));
    new.commit(&Commit { policy: Some(policy(4)), ..Commit::default() }).unwrap();
    until("the policy", || (old.policy().unwrap() == Some(policy(4))).then_some(()));
    assert_eq!(new.load().unwrap().calls, [calls("a\n"), calls("b\n")]);
}

#[test]
fn a_leader_that_is_cut_off_gives_up_by_itself_and_takes_part_again() {
    let servers = Servers::one();
    let (near, far) = (runtime(), runtime());
    let network = servers::Network::to(&servers);
    let options = options(&network.url(), "users", "http://a");
    let mut old = Nats::open(options, far.handle().clone()).unwrap();
    lead(&mut old);
    old.load().unwrap();
    old.commit(&commit(1, "a\n")).unwrap();
    let mut new = open(&servers, &near, "users", "http://b");

    network.cut(true);
    // It may have arrived, for all that it knows.
    assert!(old.commit(&commit(2, "b\n")).is_err());
    let alone = Lead::Others { address: None };
    until("the end of the lead", || (old.try_lead().unwrap() == alone).then_some(()));
    lead(&mut new);
    assert_eq!(new.load().unwrap().calls, [calls("a\n")]);
    new.commit(&Commit { policy: Some(policy(1)), ..commit(3, "c\n") }).unwrap();

    network.cut(false);
    let others = Lead::Others { address: Some("http://b".to_owned()) };
    until("who leads", || (old.try_lead().unwrap() == others).then_some(()));
    until("the policy", || (old.policy().unwrap() == Some(policy(1))).then_some(()));
    drop(new);
    lead(&mut old);
    assert_eq!(old.load().unwrap().calls, [calls("a\n"), calls("c\n")]);
}

/// A leader that commits numbers, and begins again after every failure.
struct Counter {
    store: Nats,
    /// Those that were acknowledged.
    kept: Vec<u64>,
    next: u64,
}

impl Counter {
    fn begin(servers: &Servers, runtime: &Runtime) -> Counter {
        let mut store = leader(servers, runtime, "users");
        store.load().unwrap();
        Counter { store, kept: Vec::new(), next: 1 }
    }

    /// Commits until so many more were acknowledged.
    fn count(&mut self, more: usize) {
        let enough = self.kept.len() + more;
        until("so many commits", || {
            let number = self.next;
            self.next += 1;
            match self.store.commit(&commit(number, &format!("{number}\n"))) {
                Ok(()) => self.kept.push(number),
                Err(_) => {
                    // Whoever leads, loads.
                    let _ = self.store.try_lead().map(|_| self.store.load());
                }
            }
            (self.kept.len() >= enough).then_some(())
        });
    }

    /// All that were acknowledged are there, each once and in its order. One that was not
    /// may be there as well.
    fn check(&mut self) {
        lead(&mut self.store);
        let saved = until("everything", || self.store.load().ok());
        let mut expected = self.kept.iter();
        let mut wanted = expected.next();
        let mut before = 0;
        for found in &saved.calls {
            let number = (before + 1..self.next).find(|n| *found == calls(&format!("{n}\n")));
            before = number.expect("each commit is there once, after those before it");
            if wanted == Some(&before) {
                wanted = expected.next();
            }
        }
        assert_eq!(wanted, None, "it was acknowledged, and is not there");
    }
}

#[test]
fn killing_any_one_of_three_servers_loses_nothing() {
    let (mut servers, runtime) = (Servers::three(), runtime());
    let mut counter = Counter::begin(&servers, &runtime);
    for n in 0..3 {
        counter.count(20);
        servers.kill(n);
        counter.count(20);
        servers.start(n);
        servers.wait_until_healthy();
        counter.check();
    }
}

#[test]
fn killing_all_three_servers_at_once_loses_nothing() {
    let (mut servers, runtime) = (Servers::three(), runtime());
    let mut counter = Counter::begin(&servers, &runtime);
    counter.count(50);
    (0..3).for_each(|n| servers.kill(n));
    (0..3).for_each(|n| servers.start(n));
    servers.wait_until_healthy();
    counter.check();
    counter.count(10);
    counter.check();
}
