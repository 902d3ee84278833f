//! A record of a deciding engine: every call to it with its time, and what it said.
//!
//! JSON lines. The first says how the engine was started; each of the others is a call:
//! `{"at_ms":…,"call":"handle","ask":…,"said":[…]}`. `ask` and `said` are the engine's own
//! bytes, so whoever plays them again can compare to the byte, and `jq` can read them.

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
}

impl Writer {
    /// Begins a record.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn create(path: &Path, head: &Head) -> Result<Writer, Failure> {
        let name = path.display().to_string();
        let file = File::create(path).map_err(|error| unwritten(&name, &error))?;
        let mut writer = Writer { file: BufWriter::new(file), path: name };
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
            (Ok(ask), Ok(said)) => self.line(&Call { at_ms, call, ask, said }),
            (Err(error), _) | (_, Err(error)) => Err(Failure::new(Exit::Internal, error)),
        }
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
#[derive(Debug)]
pub(crate) struct Reader {
    lines: BufReader<File>,
    name: String,
    line: u64,
    text: String,
}

impl Reader {
    /// Opens a record; `None` for a file that is something else.
    ///
    /// # Errors
    /// The file cannot be read, or is a record that this program does not know.
    pub(crate) fn open(path: &Path) -> Result<Option<(Head, Reader)>, Failure> {
        let name = path.display().to_string();
        // A pipe cannot be looked into beforehand. And whoever reads a log says what is wrong
        // with the file.
        if !path.is_file() {
            return Ok(None);
        }
        let Ok(file) = File::open(path) else { return Ok(None) };
        let mut reader = Reader { lines: BufReader::new(file), name, line: 0, text: String::new() };
        let mut beginning = [0; 20];
        let mut probe = reader.lines.fill_buf().unwrap_or_default();
        let known = io::Read::read(&mut probe, &mut beginning).unwrap_or(0);
        if &beginning[..known] != br#"{"crossfade_record":"# {
            return Ok(None);
        }
        let Some(head) = reader.read::<Head>()? else { return Ok(None) };
        if head.crossfade_record != FORMAT {
            let text = format!(
                "{}: a record of format {}: this program reads {FORMAT}",
                reader.name, head.crossfade_record
            );
            return Err(Failure::new(Exit::Data, text));
        }
        Ok(Some((head, reader)))
    }

    /// The next call, with the number of its line.
    ///
    /// # Errors
    /// The file cannot be read, or the line is none of a record.
    pub(crate) fn next(&mut self) -> Result<Option<(u64, Call)>, Failure> {
        Ok(self.read::<Call>()?.map(|call| (self.line, call)))
    }

    fn read<T: for<'a> Deserialize<'a>>(&mut self) -> Result<Option<T>, Failure> {
        self.text.clear();
        let read = self.lines.read_line(&mut self.text).map_err(|error| {
            Failure::new(Exit::Io, format!("cannot read {}: {error}", self.name))
        })?;
        if read == 0 {
            return Ok(None);
        }
        self.line += 1;
        serde_json::from_str(&self.text).map(Some).map_err(|error| {
            let whole = if self.text.ends_with('\n') { "" } else { "; the file breaks off here" };
            let text =
                format!("{}, line {}: no call of a record: {error}{whole}", self.name, self.line);
            Failure::new(Exit::Data, text)
        })
    }
}
