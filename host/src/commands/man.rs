//! `crossfade man`.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use clap_mangen::Man;

use crate::cli::Cli;
use crate::exit::{Exit, Failure};

/// Print the manual page, or write one for each command.
///
/// What `--help` says, for `man`. To read it at once:
///
///   crossfade man | man -l -
///
/// to install a page for every command:
///
///   crossfade man ~/.local/share/man/man1
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// Where to write `crossfade.1`, `crossfade-serve.1` and so on; made if it is not there.
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
}

impl Args {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        let mut command = Cli::command();
        // Built, so that pages of commands below know their whole name.
        command.build();
        match self.directory {
            Some(directory) => {
                fs::create_dir_all(&directory).map_err(|error| unwritten(&directory, &error))?;
                write(command, "crossfade", &directory)?;
            }
            None => {
                let page = page(command, "crossfade")?;
                match io::stdout().write_all(&page).and_then(|()| io::stdout().flush()) {
                    Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                        let why = format!("cannot write to stdout: {error}");
                        return Err(Failure::new(Exit::Io, why));
                    }
                    _ => {}
                }
            }
        }
        Ok(Exit::Ok)
    }
}

/// The pages of a command and of all below it.
fn write(command: clap::Command, name: &str, directory: &Path) -> Result<(), Failure> {
    for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
        write(below.clone(), &format!("{name}-{}", below.get_name()), directory)?;
    }
    let path = directory.join(format!("{name}.1"));
    fs::write(&path, page(command, name)?).map_err(|error| unwritten(&path, &error))
}

/// One page. Its name has no spaces, as `man crossfade-serve` wants it.
fn page(command: clap::Command, name: &str) -> Result<Vec<u8>, Failure> {
    let mut page = Vec::new();
    let manual = Man::new(command.display_name(name.to_owned())).title(name.to_uppercase());
    let manual = manual.source(concat!("crossfade ", env!("CARGO_PKG_VERSION")));
    manual.manual("Crossfade").render(&mut page).map_err(|error| {
        Failure::new(Exit::Internal, format!("the manual page {name} cannot be made: {error}"))
    })?;
    Ok(page)
}

fn unwritten(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Exit::Io, format!("cannot write {}: {error}", path.display()))
}
