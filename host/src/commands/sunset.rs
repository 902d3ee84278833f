//! `crossfade sunset`.

use crate::client::ServerArgs;
use crate::client::page::{self, Line, Page, Tone};
use crate::client::status::Sunset;
use crate::exit::{self, Exit, Failure};
use crate::output::{Output, print, print_json_safely};

/// Tell whether the old version can be switched off, and what stands in the way.
#[derive(Debug, clap::Args)]
#[command(after_long_help = exit::HELP)]
pub(crate) struct Args {
    /// For whom the answer is printed.
    #[arg(long, value_enum, default_value_t)]
    output: Output,

    #[command(flatten)]
    server: ServerArgs,
}

impl Args {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        let client = self.server.client()?;
        let answer = client.get("/v1/sunset")?;
        match self.output {
            Output::Json => print_json_safely(&answer)?,
            Output::Human => {
                let sunset: Sunset = client.read(answer)?;
                print(&sunset.page(page::columns()).text(page::color()))?;
            }
        }
        Ok(Exit::Ok)
    }
}

impl Sunset {
    fn page(&self, columns: Option<u16>) -> Page {
        let mut page = Page::new(columns);
        page.push(if self.ready {
            Line::default().with(Tone::Good, "✔ The old version can be switched off.")
        } else {
            Line::default().with(Tone::Wait, "✘ The old version cannot be switched off yet.")
        });
        for check in &self.checks {
            let (mark, tone) = if check.ok { ("✔", Tone::Good) } else { ("✘", Tone::Bad) };
            let head = Line::default().and("  ").with(tone, format!("{mark} {}", check.check));
            page.paragraph(head.to(14), Tone::Plain, &check.detail);
        }
        page
    }
}
