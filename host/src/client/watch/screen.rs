//! The page that is always new: a terminal's second screen, keys, and what is left behind.

use std::fs::File;
use std::io::{self, Stdout, Write as _};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::queue;
use crossterm::terminal::{
    self, BeginSynchronizedUpdate, Clear, ClearType, DisableLineWrap, EnableLineWrap,
    EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen,
};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator;

use super::{Seen, Watch, document, say};
use crate::client::page::{self, Line, Tone};
use crate::client::{Client, Follow, News};
use crate::exit::{Exit, Failure};
use crate::output::print;
use crate::replay::time;

/// How often keys and news are looked for: sooner than anyone notices.
const GLANCE: Duration = Duration::from_millis(50);

/// How often the page is drawn although nothing came: the age of what is shown grows.
const REDRAW: Duration = Duration::from_secs(1);

/// Shows a server's status until a key, a signal or the rollout ends it.
pub(super) fn run(
    watch: Watch,
    client: &Client,
    follow: &Follow,
    mut seen: Seen,
    deadline: Option<Instant>,
) -> Result<Exit, Failure> {
    let keys = keys().map_err(io_failure)?;
    let mut screen = Screen::enter().map_err(io_failure)?;
    let ended = look(watch, client, follow, &mut seen, deadline, &keys, &mut screen);
    drop(screen);
    let exit = ended?;
    // What was last seen stays, also for whoever looks a minute later.
    print(&seen.status.page(page::columns()).text(page::color()))?;
    if let Some((at, why)) = &seen.lost {
        say(&format!("there was no connection for the last {} s ({why})", at.elapsed().as_secs()));
    }
    Ok(exit)
}

fn look(
    watch: Watch,
    client: &Client,
    follow: &Follow,
    seen: &mut Seen,
    deadline: Option<Instant>,
    keys: &Receiver<Key>,
    screen: &mut Screen,
) -> Result<Exit, Failure> {
    loop {
        screen.draw(client, seen).map_err(io_failure)?;
        let (drawn, size) = (Instant::now(), screen.size);
        let mut changed = false;
        while !changed && drawn.elapsed() < REDRAW {
            if let Some(exit) = watch.end(&seen.status) {
                return Ok(exit);
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Ok(Exit::Inconclusive);
            }
            while let Some(news) = follow.next(Some(Instant::now())) {
                changed |= take(client, seen, news)?;
            }
            match keys.recv_timeout(GLANCE) {
                Ok(Key::End(exit)) => return Ok(exit),
                Ok(key) => {
                    screen.scroll(key);
                    changed = true;
                }
                Err(_) => changed |= terminal_size() != size,
            }
        }
    }
}

/// Notes what came; whether something else is to be shown now.
fn take(client: &Client, seen: &mut Seen, news: News) -> Result<bool, Failure> {
    match news {
        News::Event(event) => {
            let Some(document) = document(client, &event)? else { return Ok(false) };
            seen.status = client.read(document)?;
            seen.at = Instant::now();
            seen.lost = None;
        }
        News::Lost(why) => {
            seen.lost.get_or_insert((Instant::now(), why));
        }
        News::Back => seen.lost = None,
        News::Failed(failure) => return Err(failure),
    }
    Ok(true)
}

/// What a key or a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    End(Exit),
    Down,
    Up,
    Top,
    Bottom,
}

/// Keys from the terminal, and the signals that would end the program with the terminal in
/// disorder. Read here and not by a library's loop, which never ends when the terminal does.
fn keys() -> io::Result<Receiver<Key>> {
    // Not stdin: that may be something else.
    let terminal = File::open("/dev/tty")?;
    let mut signals = iterator::Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    let (sender, keys) = channel();
    let signalled = sender.clone();
    thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in signals.forever() {
            let exit = if signal == SIGINT { Exit::Interrupted } else { Exit::Terminated };
            if signalled.send(Key::End(exit)).is_err() {
                return;
            }
        }
    })?;
    thread::Builder::new().name("keys".into()).spawn(move || read_keys(terminal, &sender))?;
    Ok(keys)
}

fn read_keys(mut terminal: impl io::Read, keys: &Sender<Key>) {
    let mut bytes = [0; 64];
    loop {
        let typed = match terminal.read(&mut bytes) {
            Ok(0) => &[][..],
            Ok(count) => &bytes[..count],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => &[],
        };
        let asked = if typed.is_empty() { vec![Key::End(Exit::Terminated)] } else { asked(typed) };
        // Nobody looks any more.
        if asked.into_iter().any(|key| keys.send(key).is_err()) || typed.is_empty() {
            return;
        }
    }
}

/// What bytes from a keyboard ask for. A terminal sends an arrow's three at once.
fn asked(typed: &[u8]) -> Vec<Key> {
    match typed {
        b"\x1b[A" | b"\x1bOA" => return vec![Key::Up],
        b"\x1b[B" | b"\x1bOB" => return vec![Key::Down],
        b"\x1b[H" | b"\x1bOH" => return vec![Key::Top],
        b"\x1b[F" | b"\x1bOF" => return vec![Key::Bottom],
        b"\x1b" => return vec![Key::End(Exit::Ok)],
        // Other keys, whose letters are no commands.
        [0x1b, ..] => return Vec::new(),
        _ => {}
    }
    let key = |byte: &u8| match byte {
        0x03 => Some(Key::End(Exit::Interrupted)),
        b'q' | b'Q' => Some(Key::End(Exit::Ok)),
        b'j' => Some(Key::Down),
        b'k' => Some(Key::Up),
        b'g' => Some(Key::Top),
        b'G' => Some(Key::Bottom),
        _ => None,
    };
    typed.iter().filter_map(key).collect()
}

/// The terminal while the page is on it; as it was before when this is dropped.
struct Screen {
    out: Stdout,
    color: bool,
    /// Columns and rows when it was drawn last.
    size: (u16, u16),
    /// Lines scrolled away at the top.
    top: usize,
    /// Lines that could be.
    top_max: usize,
}

impl Screen {
    fn enter() -> io::Result<Screen> {
        terminal::enable_raw_mode()?;
        // From here on the terminal is put back whatever happens.
        let (out, color) = (io::stdout(), page::color());
        let mut screen = Screen { out, color, size: (0, 0), top: 0, top_max: 0 };
        queue!(screen.out, EnterAlternateScreen, DisableLineWrap, Hide)?;
        screen.out.flush()?;
        Ok(screen)
    }

    fn draw(&mut self, client: &Client, seen: &Seen) -> io::Result<()> {
        self.size = terminal_size();
        let (columns, rows) = self.size;
        let width = usize::from(columns);
        let mut lines: Vec<Line> = Vec::new();
        if let Some((since, why)) = &seen.lost {
            let text = format!(
                "connection lost {} s ago ({why}), trying again… this is {} s old",
                since.elapsed().as_secs(),
                seen.at.elapsed().as_secs()
            );
            lines.push(Line::default().with(Tone::Bad, text));
            lines.push(Line::default());
        }
        lines.extend_from_slice(seen.status.page(Some(columns)).lines());
        let room = usize::from(rows).saturating_sub(2).max(1);
        self.top_max = lines.len().saturating_sub(room);
        self.top = self.top.min(self.top_max);
        let more = if self.top_max > 0 { "  ↑↓ scroll" } else { "" };
        let at = time::shown(seen.status.now_ms);
        let foot = Line::default()
            .with(Tone::Faint, format!("{}  {at} UTC  q quit{more}", client.server()));
        queue!(self.out, BeginSynchronizedUpdate, MoveTo(0, 0))?;
        for line in lines.iter().skip(self.top).take(room) {
            write!(self.out, "{}", line.text(width, self.color))?;
            queue!(self.out, Clear(ClearType::UntilNewLine))?;
            write!(self.out, "\r\n")?;
        }
        queue!(self.out, Clear(ClearType::FromCursorDown), MoveTo(0, rows.saturating_sub(1)))?;
        write!(self.out, "{}", foot.text(width, self.color))?;
        queue!(self.out, EndSynchronizedUpdate)?;
        self.out.flush()
    }

    fn scroll(&mut self, key: Key) {
        self.top = match key {
            Key::Down => (self.top + 1).min(self.top_max),
            Key::Up => self.top.saturating_sub(1),
            Key::Top => 0,
            Key::Bottom => self.top_max,
            Key::End(_) => self.top,
        };
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = queue!(self.out, EnableLineWrap, Show, LeaveAlternateScreen);
        let _ = self.out.flush();
        let _ = terminal::disable_raw_mode();
    }
}

/// Columns and rows. A terminal that was never told its size says that it has none.
fn terminal_size() -> (u16, u16) {
    let told = terminal::size().ok().filter(|(columns, rows)| *columns > 0 && *rows > 0);
    told.unwrap_or((80, 24))
}

fn io_failure(error: io::Error) -> Failure {
    Failure::new(Exit::Io, format!("cannot use the terminal: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_what_terminals_send() {
        for (typed, expected) in [
            (&b"q"[..], vec![Key::End(Exit::Ok)]),
            (b"\x03", vec![Key::End(Exit::Interrupted)]),
            (b"\x1b", vec![Key::End(Exit::Ok)]),
            (b"\x1b[A", vec![Key::Up]),
            (b"\x1bOB", vec![Key::Down]),
            (b"jjG", vec![Key::Down, Key::Down, Key::Bottom]),
            // An F5, which has no `q`; a mouse that reports itself.
            (b"\x1b[15~", vec![]),
            (b"\x1b[Mq!!", vec![]),
            (b"x", vec![]),
        ] {
            assert_eq!(asked(typed), expected, "{typed:?}");
        }
    }

    #[test]
    fn a_terminal_that_is_gone_ends_it() {
        let (sender, keys) = channel();
        read_keys(&b"j"[..], &sender);
        drop(sender);
        assert_eq!(keys.iter().collect::<Vec<_>>(), [Key::Down, Key::End(Exit::Terminated)]);
    }
}
