//! `crossfade events`.

use serde_json::{Map, Value, json};

use crate::client::page::{self, Line, Tone};
use crate::client::watch::say;
use crate::client::{Client, Follow, News, ServerArgs, Trouble};
use crate::exit::{self, Exit, Failure};
use crate::output::{Output, print};
use crate::replay::{text, time};
use crate::signals;

/// Tell what happened, oldest first: steps, verdicts, what operators did.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{}", exit::HELP))]
pub(crate) struct Args {
    /// Go on with what happens from now on. A connection that is lost is taken up again,
    /// without a gap.
    #[arg(short, long)]
    follow: bool,

    /// Only what happened after the event with this number.
    #[arg(long, value_name = "ID", default_value_t = 0, hide_default_value = true)]
    after: u64,

    /// For whom the answer is printed: for programs, one JSON object a line.
    #[arg(long, value_enum, default_value_t)]
    output: Output,

    #[command(flatten)]
    server: ServerArgs,
}

const EXAMPLES: &str = "\
Examples:
  What has happened so far?
    crossfade events

  Tell a chat room of each step, and miss none after a restart:
    crossfade events --follow --after \"$(cat seen)\" --output json | ./post.sh";

impl Args {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        let client = self.server.client()?;
        signals::watch(|| std::process::exit(Exit::Terminated as i32))
            .map_err(|error| Failure::new(Exit::Internal, error))?;
        // The first status document stands behind everything that had happened.
        let path = if self.follow { "/v1/events" } else { "/v1/events?status=1" };
        let news = Follow::open(client.clone(), path, Some(self.after))?;
        let color = page::color();
        let mut was_lost = false;
        loop {
            match news.next(None) {
                Some(News::Event(event)) if event.name == "event" => {
                    let happened = Happened::read(event.id, &event.data)
                        .map_err(|error| foreign(&client, &error))?;
                    print(&(happened.write(self.output, color) + "\n"))?;
                }
                Some(News::Event(event)) if event.name == "status" && !self.follow => {
                    return Ok(Exit::Ok);
                }
                Some(News::Event(_)) | None => {}
                Some(News::Lost(why)) => {
                    if !was_lost {
                        say(&format!("connection lost ({why}), trying again…"));
                    }
                    was_lost = true;
                }
                Some(News::Back) => {
                    was_lost = false;
                    say("connected again");
                }
                Some(News::Failed(failure)) => return Err(failure),
            }
        }
    }
}

fn foreign(client: &Client, why: &serde_json::Error) -> Trouble {
    Trouble::Foreign { address: client.server().to_string(), why: why.to_string() }
}

/// An event, and its number.
struct Happened {
    id: Option<u64>,
    event: Map<String, Value>,
}

impl Happened {
    fn read(id: Option<u64>, data: &str) -> serde_json::Result<Happened> {
        Ok(Happened { id, event: serde_json::from_str(data)? })
    }

    fn write(self, output: Output, color: bool) -> String {
        let Happened { id, event } = self;
        if output == Output::Json {
            let mut with_id = Map::new();
            with_id.insert("id".to_owned(), json!(id));
            with_id.extend(event);
            return text::json_escaped(&Value::Object(with_id).to_string());
        }
        let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default();
        let at = event.get("at_ms").and_then(Value::as_u64).map_or(String::new(), time::shown);
        let id = id.map_or(String::new(), |id| id.to_string());
        let kind = text("event");
        let tone = match kind {
            "rollback_started" | "rolled_back" | "aborted" | "guard_tripped" | "stepped_back" => {
                Tone::Bad
            }
            "held" | "timed_out" | "approval_needed" | "frozen" | "paused" => Tone::Wait,
            "completed" | "step_passed" => Tone::Good,
            _ => Tone::Plain,
        };
        let line = Line::default().with(Tone::Faint, format!("{at}  {id:>5}  "));
        let line = line.with(tone, format!("{kind:<16} "));
        line.and(text("sentence")).text(usize::MAX, color)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_a_line_for_people_and_an_object_for_programs() {
        let data = r#"{"type":"event","at_ms":1431857103000,"event":"paused","sentence":"Paused\u001b[2J."}"#;
        let read = || Happened::read(Some(7), data).unwrap();
        assert_eq!(
            read().write(Output::Human, false),
            "2015-05-17 10:05:03      7  paused           Paused\\x1b[2J."
        );
        assert_eq!(read().write(Output::Json, false), format!(r#"{{"id":7,{}"#, &data[1..]));
    }
}
