//! `crossfade completions`.

use std::io::{self, Write};

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::exit::{Exit, Failure};

/// Print a completion script for a shell.
///
/// For example, for bash:
///
///   crossfade completions bash > ~/.local/share/bash-completion/completions/crossfade
///
/// for zsh, into a directory of $fpath:
///
///   crossfade completions zsh > ~/.zfunc/_crossfade
///
/// for fish:
///
///   crossfade completions fish > ~/.config/fish/completions/crossfade.fish
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// Which shell: bash, zsh, fish, elvish or powershell.
    #[arg(hide_possible_values = true)]
    shell: Shell,
}

impl Args {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        // Into memory first: the generator panics when it cannot write.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "crossfade", &mut script);
        match io::stdout().write_all(&script).and_then(|()| io::stdout().flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(Failure::new(Exit::Io, format!("cannot write to stdout: {error}")))
            }
            _ => Ok(Exit::Ok),
        }
    }
}
