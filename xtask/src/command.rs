//! Running other programs, and what can go wrong with a chore.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

/// Why a chore stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TaskError {
    #[error("`{command}` failed ({status})")]
    Failed { command: String, status: ExitStatus },
    #[error("cannot start `{program}`; {hint}")]
    Start { program: String, hint: &'static str, source: std::io::Error },
    #[error("a target is missing: run `rustup target add {target}`, then this again")]
    NoWasmTarget { target: &'static str },
    #[error("node {found} is too old: install node {needed} or later")]
    OldNode { found: String, needed: u32 },
    #[error("cannot read {path}")]
    Read { path: String, source: std::io::Error },
    #[error("cannot write {path}")]
    Write { path: String, source: std::io::Error },
    #[error("cannot talk to `{program}`")]
    Pipe { program: String, source: std::io::Error },
    #[error("the system does not tell the CPU time of programs that have ended")]
    CpuTime { source: std::io::Error },
    #[error("the example `figures` printed something else than its figures")]
    Figures { source: serde_json::Error },
    #[error("the study printed something else than its numbers; run it again without --results")]
    Study { source: serde_json::Error },
    #[error("{bars} bars were missed that are no known findings; they are named above")]
    Bars { bars: usize },
    #[error("`{one}` and `{other}` give different replies after {bytes} equal bytes or more")]
    Differ { one: String, other: String, bytes: u64 },
    #[error("`{program}` should have answered `get_users`, and said: {answer}")]
    NoAnswer { program: String, answer: String },
    #[error("{figures} figures missed their limits; run it again on a quiet machine")]
    Missed { figures: usize },
    #[error("Envoy did not start to serve; its log is {log}")]
    NoEnvoy { log: String },
    #[error("the listener `{name}` sent {share:.3} of the requests to the new version")]
    WrongShare { name: String, share: f64 },
    #[error("`{command}` named no .wasm file among its artefacts")]
    NoModule { command: String },
    #[error("`{command}` named no program among its artefacts")]
    NoProgram { command: String },
    #[error("cannot generate the JavaScript for {module}: {why}")]
    Glue { module: String, why: String },
    #[error(
        "no Chromium is there to test the page with: install one (on Debian \
         chromium-headless-shell), or name it with CHROMIUM=/path/to/chromium"
    )]
    NoChromium { source: Option<Box<TaskError>> },
    #[error("there is no stage `{name}`; the stages are: {known}")]
    NoStage { name: String, known: String },
    #[error("stage `{stage}` failed. To run only this stage again: cargo xtask test {stage}")]
    Stage { stage: &'static str, source: Box<TaskError> },
}

/// Prints a line for the person who waits. Whether it could be printed changes nothing.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// The top of the repository.
pub(crate) fn root() -> PathBuf {
    let xtask = std::env::var_os("CARGO_MANIFEST_DIR")
        .unwrap_or_else(|| OsString::from(env!("CARGO_MANIFEST_DIR")));
    let xtask = PathBuf::from(xtask);
    xtask.parent().map(Path::to_path_buf).unwrap_or(xtask)
}

/// One program with its arguments, run at the top of the repository.
#[derive(Debug)]
pub(crate) struct Run {
    program: &'static str,
    hint: &'static str,
    shown: String,
    command: Command,
}

impl Run {
    /// The cargo that runs us.
    pub(crate) fn cargo(args: &[&str]) -> Run {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
        Run::new("cargo", cargo, "it comes with rustup", args)
    }

    /// The compiler that cargo uses.
    pub(crate) fn rustc(args: &[&str]) -> Run {
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc"));
        Run::new("rustc", rustc, "it comes with rustup", args)
    }

    /// Another program from the search path; `hint` says how to get it.
    pub(crate) fn program(program: &'static str, hint: &'static str, args: &[&str]) -> Run {
        Run::new(program, program.into(), hint, args)
    }

    /// A program of ours that was built just before.
    pub(crate) fn built(path: PathBuf) -> Run {
        Run::new("a program of this repository", path.into(), "it was to be built just before", &[])
    }

    /// With more arguments.
    pub(crate) fn args(mut self, args: &[&str]) -> Run {
        self.shown = format!("{} {}", self.shown.trim_end(), args.join(" "));
        self.command.args(args);
        self
    }

    fn new(program: &'static str, path: OsString, hint: &'static str, args: &[&str]) -> Run {
        let mut command = Command::new(path);
        command.args(args).current_dir(root()).stdin(Stdio::null());
        Run { program, hint, shown: format!("{program} {}", args.join(" ")), command }
    }

    /// Sets an environment variable.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Run {
        self.shown = format!("{name}='{value}' {}", self.shown);
        self.command.env(name, value);
        self
    }

    /// For wasm builds: flags meant for this machine's own processor would break them.
    pub(crate) fn without_native_flags(mut self) -> Run {
        for name in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET"] {
            self.command.env_remove(name);
        }
        self
    }

    /// Runs it with its output going where ours goes.
    pub(crate) fn show(mut self) -> Result<(), TaskError> {
        say(&format!("$ {}", self.shown));
        let status = self.command.status().map_err(|source| self.start_error(source))?;
        self.check(status)
    }

    /// Runs it, shows its errors, and returns what it printed.
    pub(crate) fn output(mut self) -> Result<String, TaskError> {
        self.command.stderr(Stdio::inherit());
        let output = self.command.output().map_err(|source| self.start_error(source))?;
        self.check(output.status)?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The command as one would type it.
    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }

    fn start_error(&self, source: std::io::Error) -> TaskError {
        TaskError::Start { program: self.program.to_owned(), hint: self.hint, source }
    }

    fn check(&self, status: ExitStatus) -> Result<(), TaskError> {
        if status.success() {
            return Ok(());
        }
        Err(TaskError::Failed { command: self.shown.clone(), status })
    }
}
