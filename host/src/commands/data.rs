//! `crossfade data`.

use std::io::{BufWriter, IsTerminal as _, Write as _};
use std::path::PathBuf;

use crate::exit::{self, Exit, Failure};
use crate::output::{self, Output};
use crate::replay::time;
use crate::serve::{data, privacy};

/// Look after what `crossfade serve` keeps: check, export, import, another key.
///
/// A backup is a copy: `sqlite3 DIR/crossfade.db ".backup FILE"` while it runs, or the
/// whole directory while it does not.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{}", exit::HELP))]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Read everything, and have the engine replay it. Changes nothing; a running server
    /// does not mind.
    Check {
        /// The data directory.
        #[arg(value_name = "DIR", default_value = "crossfade-data")]
        data: PathBuf,
        /// How to print the answer.
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// Write everything to stdout as JSON lines, in a form that other versions read.
    Export {
        /// The data directory.
        #[arg(value_name = "DIR", default_value = "crossfade-data")]
        data: PathBuf,
    },
    /// Draw another key for `privacy: hashed`; the server takes it up at its next start.
    ///
    /// From then on everybody is somebody new: what comes is hashed with the new key, and
    /// what is there ages out. For the days of grace `clients show`, `declare` and `forget`
    /// find a name under the key before, too; after them nobody can. A second rotation
    /// within that time drops the key of the first. All servers of a fleet need the same
    /// two files.
    RotateKey {
        /// The data directory.
        #[arg(value_name = "DIR", default_value = "crossfade-data")]
        data: PathBuf,
        /// For how long the key before is kept, in privacy.key.old; 0 keeps it not at all.
        #[arg(long, value_name = "DAYS", default_value_t = privacy::GRACE_DAYS,
              value_parser = clap::value_parser!(u32).range(0..=3_650))]
        grace_days: u32,
    },
    /// Make a data directory of what `export` wrote, read from stdin.
    Import {
        /// The data directory; it must not hold a migration yet.
        #[arg(value_name = "DIR", default_value = "crossfade-data")]
        data: PathBuf,
    },
}

const EXAMPLES: &str = "Examples:
  Is the backup sound?
    crossfade data check backup/

  Move a migration to another machine:
    crossfade data export > migration.jsonl
    crossfade data import < migration.jsonl";

impl Args {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        match self.what {
            What::Check { data, output } => {
                let summary = data::check(&data)?;
                match output {
                    Output::Human => output::print(&summary.to_string())?,
                    Output::Json => output::print_json(&summary)?,
                }
            }
            What::Export { data } => {
                let stdout = std::io::stdout();
                if stdout.is_terminal() {
                    let text = "this is not for eyes: redirect it to a file";
                    return Err(Failure::new(Exit::Usage, text));
                }
                let mut out = BufWriter::new(stdout.lock());
                data::export(&data, &mut out)?;
                out.flush().map_err(|error| data::cannot_write(&error))?;
            }
            What::RotateKey { data, grace_days } => {
                let until_ms = privacy::rotate(&data, grace_days).map_err(|error| {
                    let path = data.join(privacy::KEY_FILE);
                    let text = format!("cannot replace {}: {error}", path.display());
                    Failure::new(Exit::Io, text)
                })?;
                let before = match grace_days {
                    0 => "the one before is gone".to_owned(),
                    _ => format!("the one before is kept until {} UTC", time::shown(until_ms)),
                };
                output::print(&format!(
                    "there is a new key, and {before}\nrestart `crossfade serve` to use it\n"
                ))?;
            }
            What::Import { data } => {
                let summary = data::import(&data, std::io::stdin().lock())?;
                output::print(&summary.to_string())?;
            }
        }
        Ok(Exit::Ok)
    }
}
