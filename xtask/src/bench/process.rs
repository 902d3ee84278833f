//! Programs that serve a file, and what that cost them.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use nix::sys::resource::{UsageWho, getrusage};

use super::table::{Limit, Row};
use crate::command::{TaskError, root};

/// A program and its arguments.
#[derive(Debug)]
pub(super) struct Program {
    path: OsString,
    args: &'static [&'static str],
    hint: &'static str,
}

impl Program {
    pub(super) fn new(path: impl Into<OsString>, args: &'static [&'static str]) -> Program {
        Program { path: path.into(), args, hint: "it was to be built just before" }
    }

    /// How to get it.
    pub(super) fn hint(self, hint: &'static str) -> Program {
        Program { hint, ..self }
    }

    fn shown(&self) -> String {
        self.path.to_string_lossy().into_owned()
    }

    fn start(&self, stdin: Stdio, stdout: Stdio) -> Result<Child, TaskError> {
        let mut command = Command::new(&self.path);
        command.args(self.args).current_dir(root());
        command.stdin(stdin).stdout(stdout).stderr(Stdio::null());
        command.spawn().map_err(|source| TaskError::Start {
            program: self.shown(),
            hint: self.hint,
            source,
        })
    }

    /// Waits for its end, which must be a success.
    fn end(&self, child: &mut Child) -> Result<(), TaskError> {
        let status = child.wait().map_err(|source| self.broke(source))?;
        match status.success() {
            true => Ok(()),
            false => Err(TaskError::Failed { command: self.shown(), status }),
        }
    }

    fn broke(&self, source: std::io::Error) -> TaskError {
        TaskError::Pipe { program: self.shown(), source }
    }

    /// Serves the file into nowhere; CPU time of all its threads, user and system, in
    /// seconds.
    pub(super) fn cpu_s(&self, file: &Path) -> Result<f64, TaskError> {
        let before = children_cpu_s()?;
        let mut child = self.start(open(file)?.into(), Stdio::null())?;
        self.end(&mut child)?;
        Ok(children_cpu_s()? - before)
    }
}

fn open(path: &Path) -> Result<File, TaskError> {
    File::open(path).map_err(|source| TaskError::Read { path: path.display().to_string(), source })
}

/// CPU time of all children that have ended, in seconds.
fn children_cpu_s() -> Result<f64, TaskError> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)
        .map_err(|errno| TaskError::CpuTime { source: errno.into() })?;
    let seconds =
        |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    Ok(seconds(usage.user_time()) + seconds(usage.system_time()))
}

/// Serves the file by both, and compares what they say byte by byte.
pub(super) fn same_replies(one: &Program, other: &Program, file: &Path) -> Result<(), TaskError> {
    let mut children = [one, other]
        .into_iter()
        .map(|program| Ok((program, program.start(open(file)?.into(), Stdio::piped())?)))
        .collect::<Result<Vec<_>, TaskError>>()?;
    let mut streams: Vec<_> =
        children.iter_mut().filter_map(|(_, child)| child.stdout.take()).collect();
    let mut chunks = [vec![0; 1 << 16], vec![0; 1 << 16]];
    let mut bytes = 0;
    loop {
        let mut lens = [0; 2];
        for ((stream, chunk), len) in streams.iter_mut().zip(&mut chunks).zip(&mut lens) {
            *len = fill(stream, chunk).map_err(|source| one.broke(source))?;
        }
        if chunks[0][..lens[0]] != chunks[1][..lens[1]] {
            for (_, child) in &mut children {
                // It may have ended by itself; then there is nobody to stop.
                let _ = child.kill();
                let _ = child.wait();
            }
            return Err(TaskError::Differ { one: one.shown(), other: other.shown(), bytes });
        }
        bytes += lens[0] as u64;
        if lens[0] == 0 {
            break;
        }
    }
    children.iter_mut().try_for_each(|(program, child)| program.end(child))
}

/// Reads until the chunk is full or the stream ends.
fn fill(stream: &mut impl Read, chunk: &mut [u8]) -> std::io::Result<usize> {
    let mut len = 0;
    while len < chunk.len() {
        match stream.read(&mut chunk[len..])? {
            0 => break,
            read => len += read,
        }
    }
    Ok(len)
}

const QUESTION: &[u8] = b"{\"type\":\"get_users\",\"msg_id\":1,\"user_id\":\"user123\"}\n";

/// Instructions a line in user mode, where this machine counts them; a virtual one seldom
/// does.
pub(super) fn instructions_a_line(
    program: &Program,
    file: &Path,
    lines: u64,
) -> Result<Option<Row>, TaskError> {
    let mut perf = Command::new("perf");
    perf.args(["stat", "-x,", "-e", "instructions:u", "--"]).arg(&program.path).args(program.args);
    perf.current_dir(root()).stdin(open(file)?).stdout(Stdio::null());
    // Without perf nothing is counted, either.
    let Ok(output) = perf.output() else { return Ok(None) };
    let told = String::from_utf8_lossy(&output.stderr);
    let count = told.lines().find_map(|line| line.split(',').next()?.parse::<f64>().ok());
    Ok(count
        .map(|count| Row::new("  instructions of it", count / lines as f64, "a line", Limit::None)))
}

/// From the start of the process to its first answer, in milliseconds.
pub(super) fn first_answer_ms(program: &Program) -> Result<f64, TaskError> {
    let started = Instant::now();
    let mut child = program.start(Stdio::piped(), Stdio::piped())?;
    let mut stdin = child.stdin.take();
    if let Some(stdin) = &mut stdin {
        stdin.write_all(QUESTION).map_err(|source| program.broke(source))?;
    }
    let mut answer = String::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::new(stdout).read_line(&mut answer).map_err(|source| program.broke(source))?;
    }
    let elapsed_ms = started.elapsed().as_secs_f64() * 1e3;
    drop(stdin);
    program.end(&mut child)?;
    match answer.starts_with("{\"type\":\"users_response\"") {
        true => Ok(elapsed_ms),
        false => Err(TaskError::NoAnswer { program: program.shown(), answer }),
    }
}
