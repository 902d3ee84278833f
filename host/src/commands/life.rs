//! `crossfade life`.

use serde::Deserialize;
use serde_json::json;

use crate::client::page::{self, Line, Page, Tone};
use crate::client::shadow::Shadow;
use crate::client::{AgainArgs, ServerArgs};
use crate::exit::{self, Exit, Failure};
use crate::output::{Output, print, print_json_safely};
use crate::replay::time;
use crate::serve::openapi::documents::LifePhase;

/// Show where a migration stands in its whole life, and take it to another phase.
///
/// From the first shadow request to the end of the old version.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{}", exit::HELP),
          args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: Option<What>,

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

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Take the migration to another phase.
    Advance {
        /// The phase to go to.
        #[arg(value_enum, value_name = "PHASE")]
        to: LifePhase,

        /// Why, for the audit log.
        #[arg(long, value_name = "TEXT")]
        reason: String,

        /// Although something stands in the way that may be overruled.
        #[arg(long)]
        force: bool,

        #[command(flatten)]
        again: AgainArgs,

        #[command(flatten)]
        common: Common,
    },
}

const EXAMPLES: &str = "\
Examples:
  Where does it stand, and where may it go?
    crossfade life

  Tell clients that the old version will go:
    crossfade life advance deprecated --reason \"all partners were written to\"";

#[derive(Debug, Deserialize)]
struct Life {
    phase: String,
    #[serde(default)]
    since_ms: Option<u64>,
    #[serde(default)]
    shadow: Option<Shadow>,
    #[serde(default)]
    next: Vec<Next>,
}

#[derive(Debug, Deserialize)]
struct Next {
    to: String,
    allowed: bool,
    #[serde(default)]
    why: Option<String>,
}

impl Args {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        let (common, answer) = match self.what {
            None => {
                let client = self.common.server.client()?;
                (self.common, client.get("/v1/life")?)
            }
            Some(What::Advance { to, reason, force, again, common }) => {
                let client = common.server.client()?;
                let mut body = json!({ "to": to, "reason": reason });
                if force {
                    body["force"] = true.into();
                }
                let answer = client.command("/v1/life", &body, &again)?;
                (common, answer)
            }
        };
        match common.output {
            Output::Json => print_json_safely(&answer)?,
            Output::Human => {
                let life: Life = common.server.client()?.read(answer)?;
                print(&life.page(page::columns()).text(page::color()))?;
            }
        }
        Ok(Exit::Ok)
    }
}

impl Life {
    fn page(&self, columns: Option<u16>) -> Page {
        let mut page = Page::new(columns);
        let line = Line::default().with(Tone::Strong, &self.phase);
        let since = self
            .since_ms
            .map_or(String::new(), |since| format!("  since {} UTC", time::shown(since)));
        page.push(line.with(Tone::Faint, since));
        // Afterwards it is history.
        if let Some(shadow) = self.shadow.as_ref().filter(|_| self.phase == "shadow") {
            page.paragraph(Line::default().and("  "), shadow.tone(), &shadow.sentence());
        }
        let names = self.next.iter().map(|next| next.to.chars().count()).max().unwrap_or(0);
        for Next { to, allowed, why } in &self.next {
            let (mark, tone) = if *allowed { ("✔", Tone::Good) } else { ("✘", Tone::Bad) };
            let head = Line::default().and("  ").with(tone, format!("{mark} {to}")).to(names + 6);
            page.paragraph(head, Tone::Plain, why.as_deref().unwrap_or_default());
        }
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shadow_says_how_far_it_has_come() {
        let life = |phase: &str| -> Life {
            serde_json::from_value(json!({
                "phase": phase, "since_ms": 0,
                "shadow": { "compared": 812, "differed": 3, "failures": 0, "dropped": 0,
                            "min_requests": 1000, "max_mismatch": 0.01 },
                "next": [{ "to": "canary", "allowed": false, "why": "812 answers were compared" }],
            }))
            .unwrap()
        };
        assert_eq!(
            life("shadow").page(Some(80)).text(false),
            "shadow  since 1970-01-01 00:00:00 UTC\n\
             \x20 812 of 1,000 compared, 3 differed (0.37 %, at most 1 % may)\n\
             \x20 ✘ canary  812 answers were compared\n"
        );
        assert!(!life("canary").page(Some(80)).text(false).contains("1,000"));
    }

    #[test]
    fn each_next_phase_says_whether_and_why_not() {
        let life: Life = serde_json::from_value(json!({
            "phase": "complete", "since_ms": 1_431_857_103_000_u64,
            "next": [{ "to": "deprecated", "allowed": true },
                     { "to": "gone", "allowed": false, "why": "the sunset has not passed" }],
        }))
        .unwrap();
        assert_eq!(
            life.page(Some(80)).text(false),
            "complete  since 2015-05-17 10:05:03 UTC\n\
             \x20 ✔ deprecated\n\
             \x20 ✘ gone        the sunset has not passed\n"
        );
    }
}
