//! `crossfade audit`.

use serde::Deserialize;

use crate::client::page::{self, Line, Page, Tone};
use crate::client::{ServerArgs, with_query};
use crate::exit::{self, Exit, Failure};
use crate::output::{Listing, csv_text, print, print_json_safely};
use crate::replay::time;

/// List who did what, when and why, oldest first.
#[derive(Debug, clap::Args)]
#[command(after_long_help = exit::HELP)]
pub(crate) struct Args {
    /// Only what was done after the entry with this number.
    #[arg(long, value_name = "ID")]
    after: Option<u64>,

    /// How many entries are listed, at most 10,000 [default: 1000].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=10_000))]
    limit: Option<u64>,

    /// For whom the answer is printed.
    #[arg(long, value_enum, default_value_t)]
    output: Listing,

    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Deserialize)]
struct Audit {
    audit: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
struct Entry {
    id: u64,
    at_ms: u64,
    who: String,
    what: String,
    #[serde(default)]
    why: String,
    revision: u64,
}

impl Args {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        let client = self.server.client()?;
        let number = |number: Option<u64>| number.map(|number| number.to_string());
        let query = [("after", number(self.after)), ("limit", number(self.limit))];
        let answer = client.get(&with_query("/v1/audit", &query))?;
        if self.output == Listing::Json {
            print_json_safely(&answer)?;
            return Ok(Exit::Ok);
        }
        let audit: Audit = client.read(answer)?;
        print(&match self.output {
            Listing::Csv => audit.csv()?,
            Listing::Human | Listing::Json => audit.page(page::columns()).text(page::color()),
        })?;
        Ok(Exit::Ok)
    }
}

impl Audit {
    /// The reason goes below the rest: it is as long as whoever gave it likes.
    fn page(&self, columns: Option<u16>) -> Page {
        let mut page = Page::new(columns);
        if self.audit.is_empty() {
            page.push(Line::default().and("nothing was done"));
        }
        for Entry { id, at_ms, who, what, why, revision } in &self.audit {
            let at = time::shown(*at_ms);
            let line = Line::default().with(Tone::Faint, format!("{at}  {id:>5}  "));
            let line = line.with(Tone::Strong, what).and(format!(" by {who}"));
            page.push(line.with(Tone::Faint, format!(", revision {revision}")));
            if !why.is_empty() {
                page.paragraph(Line::default().to(28), Tone::Plain, why);
            }
        }
        page
    }

    fn csv(&self) -> Result<String, Failure> {
        let header = ["id", "at", "who", "what", "why", "revision"];
        csv_text(
            header,
            self.audit.iter().map(|entry| {
                [
                    entry.id.to_string(),
                    time::rfc3339(entry.at_ms),
                    entry.who.clone(),
                    entry.what.clone(),
                    entry.why.clone(),
                    entry.revision.to_string(),
                ]
            }),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_below_and_safe() {
        let entry = Entry {
            id: 3,
            at_ms: 1_431_857_103_000,
            who: "ann".into(),
            what: "pause".into(),
            why: "shop is \u{1b}[31mslow".into(),
            revision: 12,
        };
        let text = Audit { audit: vec![entry] }.page(Some(80)).text(false);
        assert_eq!(
            text,
            "2015-05-17 10:05:03      3  pause by ann, revision 12\n\
             \x20                           shop is \\x1b[31mslow\n"
        );
    }
}
