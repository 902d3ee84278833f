//! The page that is always new: a terminal's second screen, keys, and what is left behind.

use std::io::{self, Stdout, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use crossterm::queue;
use crossterm::terminal::{
    self, BeginSynchronizedUpdate, Clear, ClearType, DisableLineWrap, EnableLineWrap,
    EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen,
};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

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
    let signals = Signals::register().map_err(|error| Failure::new(Exit::Internal, error))?;
    let mut screen = Screen::enter().map_err(io_failure)?;
    let ended = look(watch, client, follow, &mut seen, deadline, &signals, &mut screen);
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
    signals: &Signals,
    screen: &mut Screen,
) -> Result<Exit, Failure> {
    loop {
        screen.draw(client, seen).map_err(io_failure)?;
        let drawn = Instant::now();
        let mut changed = false;
        while !changed && drawn.elapsed() < REDRAW {
            if let Some(exit) = watch.end(&seen.status).or_else(|| signals.caught()) {
                return Ok(exit);
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Ok(Exit::Inconclusive);
            }
            while let Some(news) = follow.next(Some(Instant::now())) {
                changed |= take(client, seen, news)?;
            }
            if event::poll(GLANCE).map_err(io_failure)? {
                match screen.key(&event::read().map_err(io_failure)?) {
                    Key::End(exit) => return Ok(exit),
                    Key::Redraw => changed = true,
                    Key::Nothing => {}
                }
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

/// What a key asks for.
enum Key {
    End(Exit),
    Redraw,
    Nothing,
}

/// The terminal while the page is on it; as it was before when this is dropped.
struct Screen {
    out: Stdout,
    color: bool,
    /// Lines scrolled away at the top.
    top: usize,
    /// Lines that could be.
    top_max: usize,
}

impl Screen {
    fn enter() -> io::Result<Screen> {
        terminal::enable_raw_mode()?;
        // From here on the terminal is put back whatever happens.
        let mut screen = Screen { out: io::stdout(), color: page::color(), top: 0, top_max: 0 };
        queue!(screen.out, EnterAlternateScreen, DisableLineWrap, Hide)?;
        screen.out.flush()?;
        Ok(screen)
    }

    fn draw(&mut self, client: &Client, seen: &Seen) -> io::Result<()> {
        let (columns, rows) = terminal::size().unwrap_or((80, 24));
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

    fn key(&mut self, event: &Event) -> Key {
        let Event::Key(KeyEvent { code, modifiers, kind: KeyEventKind::Press, .. }) = event else {
            return if matches!(event, Event::Resize(..)) { Key::Redraw } else { Key::Nothing };
        };
        self.top = match code {
            KeyCode::Char('c') if modifiers.contains(KeyModifiers::CONTROL) => {
                return Key::End(Exit::Interrupted);
            }
            KeyCode::Char('q' | 'Q') | KeyCode::Esc => return Key::End(Exit::Ok),
            KeyCode::Down | KeyCode::Char('j') => (self.top + 1).min(self.top_max),
            KeyCode::Up | KeyCode::Char('k') => self.top.saturating_sub(1),
            KeyCode::Home | KeyCode::Char('g') => 0,
            KeyCode::End | KeyCode::Char('G') => self.top_max,
            _ => return Key::Nothing,
        };
        Key::Redraw
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = queue!(self.out, EnableLineWrap, Show, LeaveAlternateScreen);
        let _ = self.out.flush();
        let _ = terminal::disable_raw_mode();
    }
}

/// Signals that would end the program with the terminal in disorder.
struct Signals(Arc<AtomicUsize>);

impl Signals {
    fn register() -> io::Result<Signals> {
        let caught = Arc::new(AtomicUsize::new(0));
        for (signal, exit) in
            [(SIGINT, Exit::Interrupted), (SIGTERM, Exit::Terminated), (SIGHUP, Exit::Terminated)]
        {
            signal_hook::flag::register_usize(signal, Arc::clone(&caught), exit as usize)?;
        }
        Ok(Signals(caught))
    }

    fn caught(&self) -> Option<Exit> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            code if code == Exit::Interrupted as usize => Some(Exit::Interrupted),
            _ => Some(Exit::Terminated),
        }
    }
}

fn io_failure(error: io::Error) -> Failure {
    Failure::new(Exit::Io, format!("cannot use the terminal: {error}"))
}
