//! Looks at a server until something is so: on a terminal as a page that is always new,
//! elsewhere as a block for each new situation.

mod screen;

use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::page::{self, Line, Tone};
use super::sse::Event;
use super::status::{Standing, Status};
use super::{Client, Follow, News, Trouble};
use crate::exit::{Exit, Failure};
use crate::output::{Output, print};
use crate::replay::{text, time};
use crate::signals;

/// Where the document comes from, once and then again and again.
pub(crate) const STATUS: &str = "/v1/status";
const STREAM: &str = "/v1/events?status=1";

/// How it is shown, and when it ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Watch {
    /// As a page that is drawn anew, if there is a terminal.
    pub(crate) live: bool,
    /// Ends when the rollout does, or cannot without a person.
    pub(crate) wait: bool,
    /// And after this time.
    pub(crate) timeout: Option<Duration>,
    pub(crate) output: Output,
}

/// What is known.
#[derive(Debug)]
struct Seen {
    status: Status,
    /// When it came.
    at: Instant,
    /// Since when and why there is no connection.
    lost: Option<(Instant, String)>,
}

impl Watch {
    /// Looks. `first` is the document to begin with.
    ///
    /// # Errors
    /// The server refuses, or stdout cannot be written.
    pub(crate) fn run(self, client: &Client, first: Value) -> Result<Exit, Failure> {
        let deadline = self.timeout.map(|timeout| Instant::now() + timeout);
        let status = client.read(first.clone())?;
        let seen = Seen { status, at: Instant::now(), lost: None };
        let follow = Follow::open(client.clone(), STREAM, None)?;
        if self.live && self.output == Output::Human && page::is_terminal() {
            return screen::run(self, client, &follow, seen, deadline);
        }
        signals::watch(|| std::process::exit(Exit::Terminated as i32))
            .map_err(|error| Failure::new(Exit::Internal, error))?;
        self.print_blocks(client, &follow, seen, first, deadline)
    }

    /// How it ends at this status, if it does.
    fn end(self, status: &Status) -> Option<Exit> {
        if !self.wait {
            return None;
        }
        match status.rollout.phase.standing() {
            Standing::Running => None,
            Standing::NeedsPerson => Some(Exit::Inconclusive),
            Standing::Completed => Some(Exit::Ok),
            Standing::TakenBack => Some(Exit::Unhealthy),
        }
    }

    fn print_blocks(
        self,
        client: &Client,
        follow: &Follow,
        mut seen: Seen,
        first: Value,
        deadline: Option<Instant>,
    ) -> Result<Exit, Failure> {
        self.print(&seen.status, &first)?;
        loop {
            if let Some(exit) = self.end(&seen.status) {
                return Ok(exit);
            }
            let Some(news) = follow.next(deadline) else {
                say(&format!("not over after {:?}", self.timeout.unwrap_or_default()));
                return Ok(Exit::Inconclusive);
            };
            match news {
                News::Event(event) => {
                    let Some(document) = document(client, &event)? else { continue };
                    let status: Status = client.read(document.clone())?;
                    let is_new = status.situation() != seen.status.situation();
                    seen.status = status;
                    if is_new || (self.output == Output::Json && self.live) {
                        self.print(&seen.status, &document)?;
                    }
                }
                News::Lost(why) => {
                    if seen.lost.is_none() {
                        say(&format!("connection lost ({why}), trying again…"));
                    }
                    seen.lost.get_or_insert((Instant::now(), why));
                }
                News::Back => {
                    seen.lost = None;
                    say("connected again");
                }
                News::Failed(failure) => return Err(failure),
            }
        }
    }

    /// A block: the page, or with `wait` alone one line; one document a line for programs.
    fn print(self, status: &Status, document: &Value) -> Result<(), Failure> {
        match self.output {
            Output::Json => print(&(text::json_escaped(&document.to_string()) + "\n")),
            Output::Human if self.live => {
                let at = Line::default().with(Tone::Faint, time::shown(status.now_ms) + " UTC");
                let color = page::color();
                let page = status.page(page::columns()).text(color);
                print(&format!("{}\n{page}\n", at.text(usize::MAX, color)))
            }
            Output::Human => {
                let phase = status.rollout.phase.name();
                let place = status.rollout.place(status.new_version());
                let line = Line::default().and(format!(
                    "{}  {phase}: {place}. {}",
                    time::shown(status.now_ms),
                    status.rollout.reason
                ));
                print(&(line.text(usize::MAX, false) + "\n"))
            }
        }
    }
}

/// The status in an event; `None` of another event.
fn document(client: &Client, event: &Event) -> Result<Option<Value>, Trouble> {
    if event.name != "status" {
        return Ok(None);
    }
    serde_json::from_str(&event.data).map(Some).map_err(|error| client.foreign(&error))
}

/// A word beside the output. Whoever closed stderr does not mind.
pub(crate) fn say(text: &str) {
    let text = crate::replay::text::shown(text.as_bytes(), 500);
    let _ = writeln!(io::stderr(), "crossfade: {text}");
}
