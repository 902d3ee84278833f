//! How far the replay is, on a terminal.

use std::cell::Cell;
use std::io::{IsTerminal, Write as _, stderr};
use std::path::PathBuf;
use std::rc::Rc;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::source;
use crate::output::counted;

/// Lines between two looks at the bar, which draws itself less often still.
const LINES_PER_LOOK: u64 = 1024;

/// A progress bar by bytes on standard error, or nothing when that is no terminal.
#[derive(Debug)]
pub(super) struct Progress {
    bar: ProgressBar,
    /// Bytes taken from the logs so far; [`source::open`] counts them here.
    pub(super) bytes_read: Rc<Cell<u64>>,
    lines: u64,
}

impl Progress {
    pub(super) fn start(logs: &[PathBuf]) -> Progress {
        let bytes_read = Rc::new(Cell::new(0));
        if !stderr().is_terminal() {
            return Progress { bar: ProgressBar::hidden(), bytes_read, lines: 0 };
        }
        let sizes: Option<Vec<u64>> = logs.iter().map(|log| source::bytes_expected(log)).collect();
        let total = sizes.map(|sizes| sizes.iter().sum());
        let template = match total {
            Some(_) => "{wide_bar} {bytes}/{total_bytes}  {msg}  {eta} left",
            None => "{spinner} {bytes}  {msg}  {elapsed}",
        };
        let style = ProgressStyle::with_template(template)
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("━━ ");
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
        bar.set_style(style);
        Progress { bar, bytes_read, lines: 0 }
    }

    /// One more line was read.
    pub(super) fn line(&mut self) {
        self.lines += 1;
        if self.lines.is_multiple_of(LINES_PER_LOOK) && !self.bar.is_hidden() {
            self.bar.set_message(counted(self.lines, "line"));
            self.bar.set_position(self.bytes_read.get());
        }
    }

    /// Writes a message to standard error, the bar out of its way.
    pub(super) fn say(&self, message: &str) {
        self.bar.suspend(|| {
            // Nobody is left to tell when standard error is closed.
            let _ = writeln!(stderr(), "{message}");
        });
    }

    /// Takes the bar off the screen.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
