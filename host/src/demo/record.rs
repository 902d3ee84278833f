//! A record of a deciding engine: every call to it with its time, and what it said.
//!
//! JSON lines. The first says how the engine was started; each of the others is a call:
//! `{"at_ms":…,"call":"handle","ask":…,"said":[…]}`. `ask` and `said` are the engine's own
//! bytes, so whoever plays them again can compare to the byte, and `jq` can read them. The
//! last line, `{"end":…}`, says how many calls there are; where it is missing, whoever wrote
//! the record did not come to its end.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::exit::{Exit, Failure};
use crate::plugin::{Plugin, PluginError, Start};

/// The number of this format.
const FORMAT: u32 = 1;

/// How the engine was started.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Head {
    crossfade_record: u32,
    crossfade: String,
    seed: u64,
    at_ms: u64,
    document: Box<RawValue>,
}

impl Head {
    /// Of an engine that is started so.
    ///
    /// # Errors
    /// The document is no JSON.
    pub(super) fn new(start: &Start) -> serde_json::Result<Head> {
        Ok(Head {
            crossfade_record: FORMAT,
            crossfade: env!("CARGO_PKG_VERSION").to_owned(),
            seed: start.seed,
            at_ms: start.now_ms,
            document: serde_json::from_slice(&start.document)?,
        })
    }

    /// With what an engine is started again.
    pub(crate) fn start(&self) -> Start {
        let document = self.document.get().as_bytes().to_vec();
        Start { document, seed: self.seed, now_ms: self.at_ms }
    }
}

/// An export of the engine that was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// `crossfade_handle`, with one line.
    Handle,
    /// `crossfade_tick`.
    Tick,
    /// `crossfade_totals`.
    Totals,
}

/// One call.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Call {
    pub(crate) at_ms: u64,
    pub(crate) call: Kind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ask: Option<Box<RawValue>>,
    pub(crate) said: Vec<Box<RawValue>>,
}

impl Call {
    /// Makes the call, and gives the engine's bytes.
    ///
    /// # Errors
    /// As the plugin's.
    pub(crate) fn make<'a>(&self, plugin: &'a mut Plugin) -> Result<&'a [u8], PluginError> {
        let ask = self.ask.as_ref().map_or("", |ask| ask.get());
        make(plugin, self.call, ask, self.at_ms)
    }

    /// What was said, as the engine wrote it.
    pub(crate) fn said(&self) -> String {
        self.said.iter().map(|line| line.get().to_owned() + "\n").collect()
    }

    /// Whether a version was chosen.
    pub(crate) fn is_decision(&self) -> bool {
        self.said.iter().any(|line| line.get().starts_with(r#"{"type":"route_ok""#))
    }
}

/// The last line.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    /// How many calls there are.
    end: u64,
}

/// Calls an engine.
///
/// # Errors
/// As the plugin's.
pub(super) fn make<'a>(
    plugin: &'a mut Plugin,
    call: Kind,
    ask: &str,
    at_ms: u64,
) -> Result<&'a [u8], PluginError> {
    match call {
        Kind::Handle => plugin.handle(format!("{ask}\n").as_bytes(), at_ms),
        Kind::Tick => plugin.tick(at_ms),
        Kind::Totals => plugin.totals(),
    }
}

/// A file that a record is written to.
#[derive(Debug)]
pub(super) struct Writer {
    file: BufWriter<File>,
    path: String,
    calls: u64,
}

impl Writer {
    /// Begins a record.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn create(path: &Path, head: &Head) -> Result<Writer, Failure> {
        let name = path.display().to_string();
        let file = File::create(path).map_err(|error| unwritten(&name, &error))?;
        let mut writer = Writer { file: BufWriter::new(file), path: name, calls: 0 };
        writer.line(head)?;
        writer.flush()?;
        Ok(writer)
    }

    /// Writes a call down.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn call(
        &mut self,
        call: Kind,
        ask: &str,
        at_ms: u64,
        said: &[u8],
    ) -> Result<(), Failure> {
        let raw = |text: &str| RawValue::from_string(text.to_owned());
        let lines = String::from_utf8_lossy(said);
        let said: serde_json::Result<Vec<_>> = lines.lines().map(raw).collect();
        let ask = if ask.is_empty() { Ok(None) } else { raw(ask).map(Some) };
        match (ask, said) {
            (Ok(ask), Ok(said)) => {
                self.calls += 1;
                self.line(&Call { at_ms, call, ask, said })
            }
            (Err(error), _) | (_, Err(error)) => Err(Failure::new(Exit::Internal, error)),
        }
    }

    /// Writes that nothing comes any more.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn end(mut self) -> Result<(), Failure> {
        self.line(&End { end: self.calls })?;
        self.flush()
    }

    fn line(&mut self, line: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string(line).map_err(|e| Failure::new(Exit::Internal, e))?;
        writeln!(self.file, "{text}").map_err(|error| unwritten(&self.path, &error))
    }

    /// Hands everything to the system.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        self.file.flush().map_err(|error| unwritten(&self.path, &error))
    }
}

fn unwritten(path: &str, error: &io::Error) -> Failure {
    let hint = match error.kind() {
        io::ErrorKind::StorageFull => ": make room, or record to another disk",
        _ => "",
    };
    Failure::new(Exit::Io, format!("cannot write the record {path}: {error}{hint}"))
}

/// A record that is read again.
pub(crate) struct Reader {
    lines: Box<dyn BufRead>,
    name: String,
    line: u64,
    calls: u64,
    ended: bool,
    text: String,
}

/// How every record begins.
const BEGINNING: &[u8] = br#"{"crossfade_record":"#;

impl Reader {
    /// Opens a record, `-` for standard input; `None` for what is something else.
    ///
    /// # Errors
    /// It cannot be read, or is a record that this program does not know.
    pub(crate) fn open(path: &Path) -> Result<Option<(Head, Reader)>, Failure> {
        let stdin = path.as_os_str() == "-";
        // A pipe with a name cannot be looked into beforehand. And whoever reads a log says
        // what is wrong with the file.
        if !stdin && !path.is_file() {
            return Ok(None);
        }
        let name = if stdin { "standard input".to_owned() } else { path.display().to_string() };
        let mut lines: Box<dyn BufRead> = if stdin {
            // What is looked at here stays there for whoever reads it as a log.
            Box::new(io::stdin().lock())
        } else {
            let Ok(file) = File::open(path) else { return Ok(None) };
            Box::new(BufReader::new(file))
        };
        if !lines.fill_buf().unwrap_or_default().starts_with(BEGINNING) {
            return Ok(None);
        }
        let mut reader =
            Reader { lines, name, line: 0, calls: 0, ended: false, text: String::new() };
        if !reader.more()? {
            return Ok(None);
        }
        let head: Head = reader.read()?;
        if head.crossfade_record != FORMAT {
            let text = format!(
                "{}: a record of format {}: this program reads {FORMAT}",
                reader.name, head.crossfade_record
            );
            return Err(Failure::new(Exit::Data, text));
        }
        Ok(Some((head, reader)))
    }

    /// How it is called.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether the last line has been read, and was the one that says so.
    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    /// The next call, with the number of its line.
    ///
    /// # Errors
    /// The record cannot be read, the line is none of a record, or calls are missing.
    pub(crate) fn next(&mut self) -> Result<Option<(u64, Call)>, Failure> {
        if !self.more()? {
            return Ok(None);
        }
        if self.ended {
            return Err(self.wrong("there is more after the end"));
        }
        if self.text.starts_with(r#"{"end":"#) {
            let End { end } = self.read()?;
            if end != self.calls {
                let text =
                    format!("calls that were recorded: {end}; calls that are here: {}", self.calls);
                return Err(self.wrong(&text));
            }
            self.ended = true;
            return self.next();
        }
        self.calls += 1;
        Ok(Some((self.line, self.read()?)))
    }

    /// Reads a line, if there is another.
    fn more(&mut self) -> Result<bool, Failure> {
        self.text.clear();
        let read = self.lines.read_line(&mut self.text).map_err(|error| {
            Failure::new(Exit::Io, format!("cannot read {}: {error}", self.name))
        })?;
        self.line += u64::from(read > 0);
        Ok(read > 0)
    }

    fn read<T: for<'a> Deserialize<'a>>(&self) -> Result<T, Failure> {
        serde_json::from_str(&self.text).map_err(|error| {
            let whole = if self.text.ends_with('\n') { "" } else { "; it breaks off here" };
            self.wrong(&format!("no line of a record: {error}{whole}"))
        })
    }

    fn wrong(&self, text: &str) -> Failure {
        Failure::new(Exit::Data, format!("{}, line {}: {text}", self.name, self.line))
    }
}
