//! Follows a server's events through everything that happens to the connection.

use std::io::BufReader;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use super::sse::{Event, EventReader};
use super::{Client, Trouble};
use crate::exit::{Exit, Failure};

/// How soon a lost connection is tried again, at first.
const RETRY_FIRST: Duration = Duration::from_millis(250);

/// And at most: a server that comes back is seen within this.
const RETRY_MAX: Duration = Duration::from_secs(3);

/// What comes.
#[derive(Debug)]
pub(crate) enum News {
    /// Something happened.
    Event(Event),
    /// The connection was lost, for this reason. It is being tried again.
    Lost(String),
    /// The connection is there again.
    Back,
    /// It is of no use to try again.
    Failed(Failure),
}

/// A stream of events that survives its connection.
#[derive(Debug)]
pub(crate) struct Follow {
    news: Receiver<News>,
}

impl Follow {
    /// Opens the stream after an event, on a thread of its own.
    ///
    /// # Errors
    /// There is nothing to open now: only a connection that was once there is tried again.
    pub(crate) fn open(client: Client, path: &str, after: Option<u64>) -> Result<Follow, Failure> {
        let stream = client.events(path, after)?;
        // A slow reader holds the server up, not our memory.
        let (sender, news) = sync_channel(64);
        let path = path.to_owned();
        let mut pump = Pump { client, path, after, sender };
        thread::Builder::new()
            .name("events".into())
            .spawn(move || pump.run(stream))
            .map_err(|error| Failure::new(Exit::Internal, error))?;
        Ok(Follow { news })
    }

    /// The next thing that comes; `None` when nothing does by then.
    pub(crate) fn next(&self, until: Option<Instant>) -> Option<News> {
        let Some(until) = until else {
            return Some(self.news.recv().unwrap_or_else(|_| ended()));
        };
        match self.news.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(news) => Some(news),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(ended()),
        }
    }
}

/// The thread says why it ends, so this is a bug.
fn ended() -> News {
    News::Failed(Failure::new(Exit::Internal, "the thread that reads events has ended"))
}

struct Pump {
    client: Client,
    path: String,
    /// The last event that was handed on.
    after: Option<u64>,
    sender: SyncSender<News>,
}

impl Pump {
    /// Reads until nobody listens any more or nothing is to be hoped for.
    fn run(&mut self, stream: ureq::Body) {
        let mut stream = Some(stream);
        let mut pause = RETRY_FIRST;
        loop {
            let lost = match stream.take() {
                Some(body) => match self.read(body, &mut pause) {
                    Some(why) => why,
                    None => return,
                },
                None => match self.client.events(&self.path, self.after) {
                    Ok(body) => {
                        stream = Some(body);
                        if self.sender.send(News::Back).is_err() {
                            return;
                        }
                        continue;
                    }
                    Err(trouble) if trouble.may_pass() => short(&trouble),
                    Err(trouble) => {
                        let _ = self.sender.send(News::Failed(trouble.into()));
                        return;
                    }
                },
            };
            if self.sender.send(News::Lost(lost)).is_err() {
                return;
            }
            thread::sleep(pause);
            pause = (pause * 2).min(RETRY_MAX);
        }
    }

    /// Hands on what comes; gives why it ended, `None` when nobody listens.
    fn read(&mut self, body: ureq::Body, pause: &mut Duration) -> Option<String> {
        let mut events = EventReader::new(BufReader::new(body.into_reader()));
        loop {
            match events.next() {
                Ok(Some(event)) => {
                    // A server that accepts and hangs up at once is not hammered.
                    *pause = RETRY_FIRST;
                    self.after = event.id.or(self.after);
                    self.sender.send(News::Event(event)).ok()?;
                }
                Ok(None) => return Some("the server has ended the stream".to_owned()),
                Err(error) => return Some(error.to_string()),
            }
        }
    }
}

/// The reason alone: the advice is for a first connection.
fn short(trouble: &Trouble) -> String {
    match trouble {
        Trouble::Unreachable { why, .. } => why.clone(),
        Trouble::Failing { detail, .. } => detail.clone(),
        other => other.to_string(),
    }
}
