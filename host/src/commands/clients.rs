//! `crossfade clients`: the list, and what is done about single ones.

mod act;
mod show;

use clap::ValueEnum as _;
use serde_json::Value;

use crate::client::{Client, ServerArgs, page, segment, with_query};
use crate::clients::{self, Listed, More, csv_rows};
use crate::exit::{self, Exit, Failure};
use crate::output::{Listing, csv_text, print, print_json_safely, warn};

/// List clients: who is still on the old version, and when each is expected next.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{}", exit::HELP),
          args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: Option<What>,

    #[command(flatten)]
    list: ListArgs,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    Show(show::Args),
    Top(TopArgs),
    /// Pin a client back to the old version, or lift that.
    Repin(act::RepinArgs),
    /// Say that a client may be moved at any time: it goes first.
    Ready(act::DeclareArgs),
    /// Say that a client must not be moved: it goes last, and the sunset waits for it.
    Blocked(act::DeclareArgs),
    /// Take back what was said of a client.
    Undeclared(act::DeclareArgs),
    Forget(act::ForgetArgs),
}

/// What is listed.
#[derive(Debug, clap::Args)]
struct ListArgs {
    /// Only those that this version served last.
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,

    /// Only those in this state.
    #[arg(long, value_enum)]
    state: Option<State>,

    /// Only those with this software: NAME, or NAME/VERSION.
    #[arg(long, value_name = "SOFTWARE")]
    software: Option<String>,

    /// Only those whose key has this in it.
    #[arg(long = "match", value_name = "TEXT")]
    contains: Option<String>,

    /// What they are listed by.
    #[arg(long, value_enum, default_value_t)]
    sort: Sort,

    /// The other way round.
    #[arg(long)]
    reverse: bool,

    /// How many of the first are left out.
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    offset: u64,

    /// How many are listed, 1 to 10,000.
    #[arg(long, value_name = "N", default_value_t = 100,
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,

    /// List all that the server keeps, however many there are.
    #[arg(long, conflicts_with_all = ["limit", "offset"])]
    all: bool,

    #[command(flatten)]
    print: PrintArgs,
}

/// How a list is printed, and whose it is.
#[derive(Debug, clap::Args)]
struct PrintArgs {
    /// For whom the answer is printed. In CSV a cell that a spreadsheet would take for a
    /// formula begins with an apostrophe.
    #[arg(long, value_enum, default_value_t)]
    output: Listing,

    #[command(flatten)]
    server: ServerArgs,
}

/// List the clients with the most calls to an old version.
#[derive(Debug, clap::Args)]
#[command(after_long_help = exit::HELP)]
struct TopArgs {
    /// How many.
    #[arg(value_name = "N", default_value_t = 10,
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    count: u32,

    /// Only those that this version served last.
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,

    #[command(flatten)]
    print: PrintArgs,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum State {
    /// It calls as often as it always did
    Active,
    /// Its next call is overdue, but may come
    Silent,
    /// It will hardly come again
    Gone,
    /// It said that it must not be moved
    Blocked,
    /// It was sent back, since the new version fails it
    #[value(alias = "pinned_back")]
    PinnedBack,
    /// It is on the new version
    Moved,
}

/// Where a client's name comes from, in the order in which the server looks for a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Identity {
    /// The routing key
    Key,
    /// Who sent the message, where there is no key
    Sender,
    /// The id of an API key
    #[value(alias = "api_key")]
    ApiKey,
    /// The subject of a client certificate
    Mtls,
    /// The subject of a token
    Jwt,
    /// An address, with the software
    Address,
}

/// Where the server knows a client of this name from, the one first that it takes when
/// nobody says which.
fn of_this_name(client: &Client, key: &str) -> Vec<String> {
    let path = format!("/v1/clients/{}", segment(key));
    let words = Identity::value_variants().iter().filter_map(word);
    words
        .filter(|identity| {
            let query = [("identity", Some(identity.clone()))];
            client.get(&with_query(&path, &query)).is_ok()
        })
        .collect()
}

#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
enum Sort {
    /// Most requests first
    #[default]
    Requests,
    /// Most requests to old versions first
    OldRequests,
    /// Latest call first
    LastSeen,
    /// Latest newcomer first
    FirstSeen,
    /// Longest interval first
    Interval,
    /// Soonest expected first
    Expected,
    /// Likeliest to call the old version again first
    Again,
    /// By key
    Client,
}

const EXAMPLES: &str = "\
Examples:
  Who is still on v1, the likeliest to call again first?
    crossfade clients --version v1 --sort again

  The monthly jobs: silent by now, and not gone.
    crossfade clients --state silent --sort expected

  All of them, for a spreadsheet:
    crossfade clients --version v1 --all --output csv > left.csv

  One of them, and back to v1 with it until its owner has looked:
    crossfade clients show partner-7
    crossfade clients repin partner-7 --to old --reason \"orders fail on v2\"";

/// The most that one answer lists.
const PAGE: u64 = 10_000;

impl Args {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        match self.what {
            None => self.list.run(),
            Some(What::Show(args)) => args.run(),
            Some(What::Top(args)) => args.run(),
            Some(What::Repin(args)) => args.run(),
            Some(What::Ready(args)) => args.run("ready"),
            Some(What::Blocked(args)) => args.run("blocked"),
            Some(What::Undeclared(args)) => args.run("nothing"),
            Some(What::Forget(args)) => args.run(),
        }
    }
}

/// The milliseconds of this machine's clock.
fn now_ms() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or_default()
}

/// The word of a choice in a query: `last_seen`.
fn word(choice: &impl clap::ValueEnum) -> Option<String> {
    Some(choice.to_possible_value()?.get_name().replace('-', "_"))
}

impl ListArgs {
    fn run(self) -> Result<Exit, Failure> {
        let client = self.print.server.client()?;
        let ask = |offset: u64, limit: u64| {
            let number = |number: u64| (number > 0).then(|| number.to_string());
            let query = [
                ("version", self.version.clone()),
                ("state", self.state.as_ref().and_then(word)),
                ("software", self.software.clone()),
                ("match", self.contains.clone()),
                ("sort", word(&self.sort).filter(|word| word != "requests")),
                ("reverse", self.reverse.then(|| "true".to_owned())),
                ("offset", number(offset)),
                ("limit", Some(limit.to_string())),
            ];
            client.get(&with_query("/v1/clients", &query))
        };
        let answer = match self.all {
            false => ask(self.offset, u64::from(self.limit))?,
            true => every_page(|offset| ask(offset, PAGE).map_err(Failure::from))?,
        };
        let more = match self.all {
            true => More::Nothing,
            false => More::By { limit: self.limit.into(), how: "--limit or --all" },
        };
        self.print.print(&client, answer, more)
    }
}

/// All pages as one answer. Who comes and goes meanwhile may be there twice or not at all:
/// the list is put together from several moments.
fn every_page(ask: impl Fn(u64) -> Result<Value, Failure>) -> Result<Value, Failure> {
    let mut whole = ask(0)?;
    loop {
        let listed = whole["clients"].as_array().map_or(0, Vec::len) as u64;
        if !listed.is_multiple_of(PAGE) || listed == 0 {
            return Ok(whole);
        }
        let mut page = ask(listed)?;
        let more = page["clients"].as_array_mut().map(std::mem::take).unwrap_or_default();
        if more.is_empty() {
            return Ok(whole);
        }
        if let Some(clients) = whole["clients"].as_array_mut() {
            clients.extend(more);
        }
    }
}

impl TopArgs {
    fn run(self) -> Result<Exit, Failure> {
        let client = self.print.server.client()?;
        let ask = |version: Option<String>, sort: Option<&str>| {
            let query = [
                ("version", version),
                ("sort", sort.map(str::to_owned)),
                ("limit", Some(self.count.to_string())),
            ];
            client.get(&with_query("/v1/clients", &query))
        };
        let mut answer = ask(self.version.clone(), Some("old_requests"))?;
        // An engine's own census does not tell old calls from new ones: of those whom the
        // old version served last, the busiest are next to it.
        if self.version.is_none() && answer["clients"][0].get("old").is_none() {
            answer = ask(Some(oldest_version(&client)?), None)?;
        }
        let more = More::By { limit: self.count.into(), how: "`crossfade clients top N`" };
        self.print.print(&client, answer, more)
    }
}

fn oldest_version(client: &Client) -> Result<String, Failure> {
    let status: crate::client::status::Status = client.get_as(crate::client::watch::STATUS)?;
    Ok(status.old_version().to_owned())
}

impl PrintArgs {
    fn print(&self, client: &Client, answer: Value, more: More<'_>) -> Result<Exit, Failure> {
        if self.output == Listing::Json {
            print_json_safely(&answer)?;
            return Ok(Exit::Ok);
        }
        let listed: Listed = client.read(answer)?;
        match self.output {
            Listing::Csv => {
                print(&csv_text(clients::HEADER, csv_rows(&listed.clients))?)?;
                if let Some(sampled) = listed.sampled(listed.clients.len() as u64) {
                    warn(&sampled);
                }
            }
            Listing::Human | Listing::Json => {
                print(&listed.text(more, page::columns(), page::color(), now_ms()))?;
            }
        }
        Ok(Exit::Ok)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pages_are_asked_for_until_one_is_not_full() {
        for total in [0, 1, 9_999, 10_000, 10_001, 25_000, 30_000_u64] {
            let asked = std::cell::RefCell::new(Vec::new());
            let whole = every_page(|offset| {
                asked.borrow_mut().push(offset);
                let clients: Vec<u64> = (offset..total.min(offset + PAGE)).collect();
                Ok(json!({ "total": total, "exact": true, "clients": clients }))
            })
            .unwrap();
            let expected: Vec<u64> = (0..total).collect();
            assert_eq!(whole["clients"], json!(expected));
            assert!(asked.borrow().len() as u64 <= total / PAGE + 1, "{total}: {asked:?}");
        }
    }

    #[test]
    fn choices_are_written_as_the_server_reads_them() {
        assert_eq!(word(&State::PinnedBack).as_deref(), Some("pinned_back"));
        assert_eq!(word(&Sort::LastSeen).as_deref(), Some("last_seen"));
    }
}
