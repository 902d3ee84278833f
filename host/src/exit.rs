//! How a command ends: an exit code, and a message when it failed.

use std::fmt;
use std::process::ExitCode;

/// The program's exit codes, those of `sysexits.h` where they fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done. Also when the reader of our output has gone.
    Ok = 0,
    /// `gate`: the new version is worse. `status --wait`: it was taken back. `policy diff`:
    /// there are differences.
    Unhealthy = 1,
    /// `gate`: not enough evidence either way. `status --wait`: it is not over.
    Inconclusive = 2,
    /// The command line is wrong.
    Usage = 64,
    /// A file (a policy, a module) or another input is wrong.
    Data = 65,
    /// The server cannot be reached, or cannot do its work now.
    Unavailable = 69,
    /// A bug of ours, or a machine that cannot run plugins.
    Internal = 70,
    /// Reading or writing failed.
    Io = 74,
    /// The server wants another token.
    NoPermission = 77,
    /// SIGINT: Ctrl-C.
    Interrupted = 130,
    /// SIGTERM.
    Terminated = 143,
}

/// The list in `--help`.
pub const HELP: &str = "\
Exit codes:
    0  done (also when the reader of the output has gone)
   64  the command line is wrong
   65  a file or another input is wrong, or does not fit what is running
   69  the server cannot be reached
   70  internal error
   74  reading or writing failed
   77  the server wants another token
  130  interrupted (SIGINT); 143 terminated (SIGTERM)";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// Why a command failed, in one sentence, and the code it ends with.
#[derive(Debug)]
pub struct Failure {
    /// The code.
    pub exit: Exit,
    /// What went wrong and what to do about it.
    pub message: String,
}

impl Failure {
    /// A failure with what `error` says.
    pub fn new(exit: Exit, error: impl fmt::Display) -> Failure {
        Failure { exit, message: error.to_string() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}
