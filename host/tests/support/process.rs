//! The real program, spoken to through its pipes.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// Longer than anything takes on a busy machine; reached only by a test that fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// `crossfade` with these arguments, and the tests' own cache.
pub(crate) fn crossfade(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crossfade"));
    command.args(arguments).env("CROSSFADE_CACHE_DIR", super::cache_dir()).env("NO_COLOR", "1");
    command
}

/// Runs a command to its end, with this on its stdin.
pub(crate) fn run(mut command: Command, input: &[u8]) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // A child that does not read its input (`--help`) closes the pipe.
    let writer = thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

/// What a command said on stderr.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A running `crossfade node`. It is killed when a test fails.
pub(crate) struct Running {
    pub(crate) child: Child,
    pub(crate) stdin: Option<ChildStdin>,
    replies: Receiver<String>,
    log: Receiver<String>,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Running {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let replies = lines_of(child.stdout.take().unwrap());
        let log = lines_of(child.stderr.take().unwrap());
        Running { stdin: child.stdin.take(), child, replies, log }
    }

    pub(crate) fn send(&mut self, lines: &str) {
        self.stdin.as_mut().expect("stdin is open").write_all(lines.as_bytes()).unwrap();
    }

    /// The next line of stdout; `None` at its end.
    pub(crate) fn reply(&self) -> Option<String> {
        next(&self.replies, "a reply")
    }

    /// The next line of stderr that contains `text`.
    pub(crate) fn logged(&self, text: &str) -> String {
        loop {
            match next(&self.log, text) {
                Some(line) if line.contains(text) => return line,
                Some(_) => {}
                None => panic!("stderr ended without {text:?}"),
            }
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id() as i32).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Closes stdin if it is open, and waits for the end.
    pub(crate) fn end(mut self) -> ExitStatus {
        self.stdin = None;
        while self.reply().is_some() {}
        self.child.wait().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail when it has ended, which is what a test wants.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines_of(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (lines, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(stream).lines() {
            if line.is_ok_and(|line| lines.send(line).is_err()) {
                return;
            }
        }
    });
    receiver
}

fn next(lines: &Receiver<String>, what: &str) -> Option<String> {
    use std::sync::mpsc::RecvTimeoutError::{Disconnected, Timeout};
    match lines.recv_timeout(PATIENCE) {
        Ok(line) => Some(line),
        Err(Disconnected) => None,
        Err(Timeout) => panic!("waited {PATIENCE:?} for {what}"),
    }
}
