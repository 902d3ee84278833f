//! What signals do: SIGINT and SIGTERM end the program at once, wherever it is; SIGHUP
//! is the caller's.

use std::io;
use std::process;
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::exit::Exit;

/// Starts the thread that waits for signals, and calls `on_hangup` for each SIGHUP.
///
/// # Errors
/// The operating system refused the handlers or the thread.
pub fn watch(on_hangup: impl Fn() + Send + 'static) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in signals.forever() {
            match signal {
                SIGHUP => on_hangup(),
                SIGINT => process::exit(Exit::Interrupted as i32),
                // Nothing is buffered, so there is nothing to flush first.
                _ => process::exit(Exit::Terminated as i32),
            }
        }
    })?;
    Ok(())
}
