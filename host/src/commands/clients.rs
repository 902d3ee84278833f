//! `crossfade clients`.

use serde::Deserialize;

use crate::client::{ServerArgs, page, with_query};
use crate::exit::{self, Exit, Failure};
use crate::output::{Listing, csv_text, print, print_json_safely};
use crate::replay::{grouped, text, time};
use crate::tables::{self, table};

/// List clients, the busiest first, and the version that served each of them last.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{}", exit::HELP))]
pub(crate) struct Args {
    /// Only those that this version served last.
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,

    /// How many are listed, 1 to 10,000.
    #[arg(long, value_name = "N", default_value_t = 100,
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,

    /// For whom the answer is printed.
    #[arg(long, value_enum, default_value_t)]
    output: Listing,

    #[command(flatten)]
    server: ServerArgs,
}

const EXAMPLES: &str = "\
Examples:
  Who is still on v1?
    crossfade clients --version v1

  All of them, for a spreadsheet:
    crossfade clients --version v1 --limit 10000 --output csv > left.csv";

#[derive(Debug, Deserialize)]
struct Clients {
    total: u64,
    exact: bool,
    clients: Vec<ClientSeen>,
}

#[derive(Debug, Deserialize)]
struct ClientSeen {
    client: String,
    identity: String,
    version: String,
    last_seen_ms: u64,
    requests: u64,
}

impl Args {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        let client = self.server.client()?;
        let query = [("version", self.version), ("limit", Some(self.limit.to_string()))];
        let answer = client.get(&with_query("/v1/clients", &query))?;
        if self.output == Listing::Json {
            print_json_safely(&answer)?;
            return Ok(Exit::Ok);
        }
        let clients: Clients = client.read(answer)?;
        print(&match self.output {
            Listing::Csv => clients.csv()?,
            Listing::Human | Listing::Json => clients.text(page::columns()),
        })?;
        Ok(Exit::Ok)
    }
}

impl Clients {
    fn text(&self, columns: Option<u16>) -> String {
        let mut out = String::new();
        let listed = self.clients.len() as u64;
        let at_least = if self.exact { "" } else { "at least " };
        let total = format!("{at_least}{} clients", grouped(self.total));
        if listed == 0 {
            return format!("{total}\n");
        }
        let header = ["Client", "Known by", "Version", "Last seen (UTC)", "Requests"];
        let row = |name: String, seen: &ClientSeen| {
            [
                name,
                shown(&seen.identity, 20),
                shown(&seen.version, 30),
                time::shown(seen.last_seen_ms),
                grouped(seen.requests),
            ]
        };
        // What the other columns leave is the client's, so that no line breaks.
        let without = table(header, self.clients.iter().map(|seen| row(String::new(), seen)));
        let taken = without.lines().map(|line| line.chars().count()).max().unwrap_or(0);
        let width = columns.map_or(120, usize::from);
        let room = (width + "Client".len()).saturating_sub(taken + 1).max(10);
        let rows = self.clients.iter().map(|seen| row(shown(&seen.client, room - 1), seen));
        tables::write(&mut out, &table(header, rows));
        out += &if listed < self.total {
            format!("{} of {total}: --limit lists more\n", grouped(listed))
        } else {
            format!("{total}\n")
        };
        out
    }

    fn csv(&self) -> Result<String, Failure> {
        let header = ["client", "identity", "version", "last_seen", "requests"];
        csv_text(
            header,
            self.clients.iter().map(|seen| {
                [
                    seen.client.clone(),
                    seen.identity.clone(),
                    seen.version.clone(),
                    time::rfc3339(seen.last_seen_ms),
                    seen.requests.to_string(),
                ]
            }),
        )
    }
}

fn shown(value: &str, chars_max: usize) -> String {
    text::shown(value.as_bytes(), chars_max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clients(ids: &[&str], total: u64) -> Clients {
        let seen = |id: &&str| ClientSeen {
            client: (*id).to_owned(),
            identity: "key".into(),
            version: "v1".into(),
            last_seen_ms: 1_431_857_103_000,
            requests: 1_234,
        };
        Clients { total, exact: true, clients: ids.iter().map(seen).collect() }
    }

    #[test]
    fn the_table_keeps_to_the_terminal_and_says_what_is_left_out() {
        let long = "x".repeat(300);
        for width in [70, 80, 120] {
            let text = clients(&["ann", &long], 1_753).text(Some(width));
            let widest = text.lines().map(|line| line.chars().count()).max().unwrap();
            assert!(widest <= usize::from(width), "{widest} > {width}\n{text}");
            assert!(text.ends_with("2 of 1,753 clients: --limit lists more\n"), "{text}");
        }
        assert_eq!(clients(&[], 0).text(None), "0 clients\n");
    }

    #[test]
    fn csv_is_quoted_where_it_must_be() {
        let csv = clients(&["a,b", "say \"x\"", "two\nlines"], 3).csv().unwrap();
        let at = "2015-05-17T10:05:03Z";
        assert_eq!(
            csv,
            format!(
                "client,identity,version,last_seen,requests\n\
                 \"a,b\",key,v1,{at},1234\n\"say \"\"x\"\"\",key,v1,{at},1234\n\
                 \"two\nlines\",key,v1,{at},1234\n"
            )
        );
    }

    #[test]
    fn ids_are_made_fit_for_a_terminal() {
        let text = clients(&["\u{1b}[31m"], 1).text(None);
        assert!(text.contains(" \\x1b[31m ") && !text.contains('\u{1b}'), "{text}");
    }
}
