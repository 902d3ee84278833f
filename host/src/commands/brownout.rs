//! `crossfade brownout`.

mod plan;

use crossfade_protocol::Share;
use crossfade_protocol::share::Minutes;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::client::page::{self, Line, Page, Tone, percent};
use crate::client::{AgainArgs, Client, ServerArgs, segment};
use crate::exit::{self, Exit, Failure};
use crate::output::{Output, counted, print, print_json_safely};
use crate::replay::{grouped, read_share as share};

/// Refuse a share of the old version's calls for a while: plan, start, stop, report.
///
/// Whoever is hit is hit wholly, and learns in time that the old version will go. Edges do
/// it by the policy alone.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{}", exit::HELP))]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    Plan(plan::Args),
    /// Begin a brownout now.
    Start {
        /// For how long, in minutes.
        #[arg(long, value_name = "N", value_parser = minutes, allow_negative_numbers = true)]
        minutes: Minutes,

        /// The share of the old version's clients that is refused.
        #[arg(long, value_name = "PERCENT", value_parser = share, allow_negative_numbers = true)]
        percent: Share,

        /// What it is called [default: manual].
        #[arg(long, value_name = "NAME")]
        name: Option<String>,

        /// The status of refused calls, 400 to 599 [default: 503].
        #[arg(long, value_name = "STATUS", value_parser = clap::value_parser!(u16).range(400..=599),
              allow_negative_numbers = true)]
        status: Option<u16>,

        /// A client that is spared; may be repeated.
        #[arg(long = "exempt", value_name = "KEY")]
        exempt: Vec<String>,

        #[command(flatten)]
        act: ActArgs,
    },
    /// End a brownout now, or call off one that is to come.
    Stop {
        /// Its name.
        #[arg(value_name = "NAME")]
        name: String,

        #[command(flatten)]
        act: ActArgs,
    },
    /// Tell whom brownouts hit, who fixed themselves afterwards, and who came back unchanged.
    Report {
        /// Only this one.
        #[arg(value_name = "NAME")]
        name: Option<String>,

        #[command(flatten)]
        common: Common,
    },
}

/// Reads a length, as the server does.
fn minutes(text: &str) -> Result<Minutes, String> {
    let number = text.parse().ok().filter(|minutes| *minutes > 0.0);
    let minutes = number.and_then(Minutes::from_number);
    minutes.ok_or_else(|| format!("`{text}` is not a length above 0: minutes, at most ten years"))
}

#[derive(Debug, clap::Args)]
struct ActArgs {
    /// Why, for the audit log.
    #[arg(long, value_name = "TEXT")]
    reason: String,

    #[command(flatten)]
    again: AgainArgs,

    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
struct Common {
    /// For whom the answer is printed.
    #[arg(long, value_enum, default_value_t)]
    output: Output,

    #[command(flatten)]
    server: ServerArgs,
}

const EXAMPLES: &str = "\
Examples:
  What will the brownouts of this plan do, and to how many of the clients there are?
    crossfade brownout plan plan.yaml

  Half an hour for one in twenty:
    crossfade brownout start --minutes 30 --percent 5 --reason \"second notice\"

  Enough:
    crossfade brownout stop manual --reason \"a partner called\"

  Who fixed themselves?
    crossfade brownout report";

#[derive(Debug, Deserialize)]
struct Brownouts {
    brownouts: Vec<Brownout>,
}

#[derive(Debug, Deserialize)]
struct Brownout {
    name: String,
    state: String,
    #[serde(default)]
    start_ms: Option<u64>,
    #[serde(default)]
    end_ms: Option<u64>,
    #[serde(default)]
    percentage: Option<f64>,
    #[serde(default)]
    hit_clients: Option<u64>,
    #[serde(default)]
    refused_calls: Option<u64>,
    #[serde(default)]
    moved: Option<u64>,
    #[serde(default)]
    unchanged: Option<u64>,
    #[serde(default)]
    silent: Option<u64>,
    /// Whether those who were hit are all that there were.
    #[serde(default = "yes")]
    exact: bool,
    /// Why it was stopped.
    #[serde(default)]
    because: Option<String>,
}

fn yes() -> bool {
    true
}

impl Args {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        match self.what {
            What::Plan(args) => args.run(),
            What::Start { minutes, percent, name, status, exempt, act } => {
                let mut body = json!({ "minutes": minutes, "percentage": percent });
                if let Some(name) = name {
                    body["name"] = name.into();
                }
                if let Some(status) = status {
                    body["status"] = status.into();
                }
                if !exempt.is_empty() {
                    body["exempt"] = exempt.into();
                }
                act.post("/v1/brownouts", body)
            }
            What::Stop { name, act } => {
                act.post(&format!("/v1/brownouts/{}/stop", segment(&name)), json!({}))
            }
            What::Report { name, common } => {
                let client = common.server.client()?;
                let mut answer = client.get("/v1/brownouts")?;
                if let Some(name) = name {
                    let all = answer["brownouts"].as_array_mut();
                    let all = all.map(std::mem::take).unwrap_or_default();
                    let found: Vec<Value> =
                        all.into_iter().filter(|one| one["name"] == name.as_str()).collect();
                    if found.is_empty() {
                        let text = format!("there is no brownout `{name}`");
                        return Err(Failure::new(Exit::Data, text));
                    }
                    answer["brownouts"] = found.into();
                }
                common.print(&client, answer)
            }
        }
    }
}

impl ActArgs {
    fn post(&self, path: &str, mut body: Value) -> Result<Exit, Failure> {
        let client = self.common.server.client()?;
        body["reason"] = self.reason.as_str().into();
        let answer = client.command(path, &body, &self.again)?;
        self.common.print(&client, answer)
    }
}

impl Common {
    fn print(&self, client: &Client, answer: Value) -> Result<Exit, Failure> {
        match self.output {
            Output::Json => print_json_safely(&answer)?,
            Output::Human => {
                let brownouts: Brownouts = client.read(answer)?;
                print(&brownouts.page(page::columns()).text(page::color()))?;
            }
        }
        Ok(Exit::Ok)
    }
}

impl Brownouts {
    fn page(&self, columns: Option<u16>) -> Page {
        let mut page = Page::new(columns);
        if self.brownouts.is_empty() {
            page.push(Line::default().and("there is no brownout"));
        }
        for one in &self.brownouts {
            let tone = match one.state.as_str() {
                "running" => Tone::Bad,
                "planned" | "announced" => Tone::Wait,
                _ => Tone::Plain,
            };
            let line = Line::default().with(Tone::Strong, &one.name).and("  ");
            let line = line.with(tone, one.state.replace('_', " "));
            page.push(line.with(Tone::Faint, one.when()));
            if let Some(because) = &one.because {
                let text = format!("stopped: {because}");
                page.paragraph(Line::default().to(2), Tone::Wait, &text);
            }
            if let Some(text) = one.what_it_did() {
                page.paragraph(Line::default().to(2), Tone::Plain, &text);
            }
        }
        page
    }
}

impl Brownout {
    fn when(&self) -> String {
        let share = self.percentage.map_or(String::new(), |share| format!("  {}", percent(share)));
        match (self.start_ms, self.end_ms) {
            (Some(start), Some(end)) => format!("  {}{share}", plan::local(start, end)),
            _ => share,
        }
    }

    /// Nothing before anybody was hit.
    fn what_it_did(&self) -> Option<String> {
        let (hit, refused) = (self.hit_clients?, self.refused_calls.unwrap_or_default());
        if hit == 0 && refused == 0 {
            return None;
        }
        let became = [
            (self.moved, "fixed themselves"),
            (self.unchanged, "came back unchanged"),
            (self.silent, "not seen"),
        ];
        let became: Vec<String> = became
            .iter()
            .filter_map(|(count, what)| Some(format!("{} {what}", grouped((*count)?))))
            .collect();
        // Beyond a limit nobody knows any more who else was hit, and what became of them.
        let (least, these) = if self.exact { ("", "") } else { ("at least ", " of these") };
        let (hit, refused) = (counted(hit, "client"), counted(refused, "call"));
        let mut text = format!("hit {least}{hit}, refused {refused}");
        if !became.is_empty() {
            text += &format!("; since then{these} {}", became.join(", "));
        }
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_who_was_hit_and_what_became_of_them() {
        let brownouts: Brownouts = serde_json::from_value(json!({ "brownouts": [
            { "name": "first", "state": "ended", "percentage": 5, "hit_clients": 12,
              "refused_calls": 3_400, "moved": 7, "unchanged": 4, "silent": 1 },
            { "name": "\u{1b}x", "state": "planned", "percentage": 10, "hit_clients": 0 },
        ]}))
        .unwrap();
        assert_eq!(
            brownouts.page(Some(100)).text(false),
            "first  ended  5 %\n  hit 12 clients, refused 3,400 calls; since then 7 fixed \
             themselves, 4 came back unchanged, 1 not\n  seen\n\\x1bx  planned  10 %\n"
        );
    }

    #[test]
    fn a_report_says_why_it_was_stopped_and_that_more_were_hit_than_are_known() {
        let brownouts: Brownouts = serde_json::from_value(json!({ "brownouts": [
            { "name": "first", "state": "stopped", "percentage": 5, "hit_clients": 65_536,
              "exact": false, "refused_calls": 1, "moved": 7, "unchanged": 4, "silent": 1,
              "because": "the new version fails 3 % of its calls" },
        ]}))
        .unwrap();
        assert_eq!(
            brownouts.page(Some(200)).text(false),
            "first  stopped  5 %\n  stopped: the new version fails 3 % of its calls\n  hit at \
             least 65,536 clients, refused 1 call; since then of these 7 fixed themselves, 4 came \
             back unchanged,\n  1 not seen\n"
        );
    }
}
