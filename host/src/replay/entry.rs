//! One line of a log as a request: when it came, how it ended, who sent it.

use std::borrow::Cow;

use clap::ValueEnum;

use super::clf::Clf;
use super::json::Json;
use super::names::Names;
use super::time;

/// How a log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Told apart line by line: `{` begins JSON, anything else is common or combined
    Auto,
    /// Apache and nginx "common": address, user, time, request, status, bytes
    Common,
    /// The same with referer and user agent
    Combined,
    /// A JSON object a line
    Json,
}

/// Why a line is no request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadLine {
    #[error("{bytes} bytes are over the limit of {}", super::lines::LINE_BYTES_MAX)]
    TooLong { bytes: u64 },
    #[error("no {expected}")]
    Clf { expected: &'static str },
    #[error("not UTF-8 from byte {byte}, and JSON must be")]
    NotUtf8 { byte: usize },
    #[error("not JSON: {problem}")]
    Json { problem: String },
    #[error("not a JSON object")]
    NotAnObject,
    #[error("no time: name its field with --json-fields time=NAME")]
    NoTime,
    #[error("`{value}` is not a time")]
    Time { value: String },
    #[error("`{value}` is not an HTTP status")]
    Status { value: String },
    #[error(
        "its client key of {bytes} bytes is over the limit of {}",
        crossfade_protocol::limits::KEY_BYTES_MAX
    )]
    Key { bytes: usize },
    #[error(
        "its attribute `{name}` of {bytes} bytes is over the limit of {}",
        crossfade_protocol::limits::ATTRIBUTE_BYTES_MAX
    )]
    Attribute { name: String, bytes: usize },
}

/// One request.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    /// When it came, in unix milliseconds.
    pub(super) time_ms: u64,
    /// How it ended; `None` when the log does not say.
    pub(super) status: Option<u16>,
    content: Content<'a>,
}

#[derive(Debug)]
enum Content<'a> {
    Clf(Clf<'a>),
    Json(Json<'a>),
}

/// What every access log knows of a request, under whatever name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Time,
    Status,
    Client,
    Agent,
    Method,
    Path,
    Headers,
}

impl<'a> Entry<'a> {
    /// Reads a line.
    pub(super) fn read(
        line: &'a [u8],
        format: LogFormat,
        names: &Names,
    ) -> Result<Entry<'a>, BadLine> {
        let is_json = match format {
            LogFormat::Auto => line.trim_ascii_start().starts_with(b"{"),
            LogFormat::Json => true,
            LogFormat::Common | LogFormat::Combined => false,
        };
        if is_json {
            return Entry::read_json(line, names);
        }
        let clf = Clf::read(line)?;
        if format == LogFormat::Combined && clf.agent.is_none() {
            return Err(BadLine::Clf { expected: "user agent in quotes at the end" });
        }
        Ok(Entry { time_ms: clf.time_ms, status: clf.status, content: Content::Clf(clf) })
    }

    fn read_json(line: &'a [u8], names: &Names) -> Result<Entry<'a>, BadLine> {
        let text = std::str::from_utf8(line)
            .map_err(|error| BadLine::NotUtf8 { byte: error.valid_up_to() + 1 })?;
        let json = Json::read(text).map_err(|problem| BadLine::Json { problem })?;
        if !matches!(json, Json::Object(_)) {
            return Err(BadLine::NotAnObject);
        }
        let time_ms = match names.find(&json, Part::Time) {
            None => return Err(BadLine::NoTime),
            Some(Json::Text(text)) => time::text(text),
            Some(Json::Number(number)) => time::number(number.as_f64().unwrap_or(f64::NAN)),
            Some(_) => None,
        };
        let bad = |part| shown_part(&json, names, part);
        let time_ms = time_ms.ok_or_else(|| BadLine::Time { value: bad(Part::Time) })?;
        let status = match names.find(&json, Part::Status).and_then(Json::as_text) {
            None => None,
            Some(text) => match status(text.as_bytes()) {
                Some(status) => status,
                None => return Err(BadLine::Status { value: bad(Part::Status) }),
            },
        };
        Ok(Entry { time_ms, status, content: Content::Json(json) })
    }

    /// A part of the request, `None` when the line lacks it or says `-`.
    pub(super) fn part(&self, part: Part, names: &Names) -> Option<Cow<'_, str>> {
        let text = match &self.content {
            Content::Clf(clf) => super::text::utf8(match part {
                Part::Client => clf.address,
                Part::Agent => clf.agent?,
                Part::Method => clf.request_words().0?,
                Part::Path => clf.request_words().1?,
                Part::Time | Part::Status | Part::Headers => return None,
            }),
            Content::Json(json) => names.find(json, part)?.as_text()?,
        };
        present(text)
    }

    /// A field by its name; in common and combined logs `user`, `referer` and those of
    /// [`part`](Self::part).
    pub(super) fn field(&self, name: &str) -> Option<Cow<'_, str>> {
        match &self.content {
            Content::Json(json) => present(json.at(name)?.as_text()?),
            Content::Clf(clf) => present(super::text::utf8(clf.field(name)?)),
        }
    }

    /// A request header, whatever its case; in combined logs `user-agent` and `referer`.
    pub(super) fn header(&self, name: &str, names: &Names) -> Option<Cow<'_, str>> {
        match &self.content {
            Content::Json(json) => {
                let headers = names.find(json, Part::Headers)?;
                present(headers.get_ignoring_case(name)?.as_text()?)
            }
            Content::Clf(clf) => match name {
                _ if name.eq_ignore_ascii_case("user-agent") => {
                    present(super::text::utf8(clf.agent?))
                }
                _ if name.eq_ignore_ascii_case("referer") => {
                    present(super::text::utf8(clf.referer?))
                }
                _ => None,
            },
        }
    }
}

/// Servers write `-` for what is not there.
fn present(text: Cow<'_, str>) -> Option<Cow<'_, str>> {
    (!matches!(&*text, "" | "-")).then_some(text)
}

/// A status as written: `Some(None)` for `-` and for nginx's 000, a request that never
/// got an answer; `None` for what is no status.
pub(super) fn status(text: &[u8]) -> Option<Option<u16>> {
    match *text {
        [b'-'] | [] | [b'0'] | [b'0', b'0', b'0'] => Some(None),
        [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'] => {
            let digit = |byte: u8| u16::from(byte - b'0');
            Some(Some(digit(a) * 100 + digit(b) * 10 + digit(c)))
        }
        _ => None,
    }
}

fn shown_part(json: &Json<'_>, names: &Names, part: Part) -> String {
    let text = names.find(json, part).and_then(Json::as_text);
    text.map_or_else(|| "a list or object".into(), |text| super::text::shown(text.as_bytes(), 40))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: [&str; 3] = [
        r#"10.0.0.1 - jane [17/May/2015:10:05:03 +0000] "GET /a\"b?c=1 HTTP/1.1" 200 5 "-" "x \\ y""#,
        r#"{"time":"2015-05-17T10:05:03.5Z","status":200,"remote_addr":"::1","h":{"a":[1,-2.5e3,"\u00e9"]}}"#,
        r#"{"ts":1431857103.25,"request":{"remote_ip":"10.0.0.1","headers":{"User-Agent":["x"]}},"status":"404"}"#,
    ];

    /// Whatever bytes a line has, reading it ends in an entry or a reason. A change of one
    /// line in a few places comes closer to the edges than noise does.
    #[test]
    fn no_line_breaks_the_reader() {
        let names = Names::default();
        // Xorshift; the seed makes a failure come back.
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut random = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % below as u64) as usize
        };
        let mut read = 0;
        for round in 0..30_000 {
            let mut line = LINES[random(LINES.len())].as_bytes().to_vec();
            for _ in 0..=random(3) {
                let at = random(line.len().max(1));
                match random(4) {
                    _ if line.is_empty() => {}
                    0 => line[at] = random(256) as u8,
                    1 => _ = line.remove(at),
                    2 => line.insert(at, br#" "\[]{}:,-"#[random(10)]),
                    _ => line.truncate(at.max(1)),
                }
            }
            for format in [LogFormat::Auto, LogFormat::Json, LogFormat::Combined] {
                let Ok(entry) = Entry::read(&line, format, &names) else { continue };
                read += 1;
                for part in [Part::Client, Part::Agent, Part::Method, Part::Path] {
                    let text = entry.part(part, &names);
                    assert_ne!(text.as_deref(), Some("-"), "round {round}");
                }
            }
        }
        assert!(read > 5_000, "{read}");
    }

    #[test]
    fn a_format_that_is_asked_for_is_insisted_on() {
        let names = Names::default();
        let common = r#"h - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 5"#;
        let error = |line: &str, format| {
            Entry::read(line.as_bytes(), format, &names).unwrap_err().to_string()
        };
        assert!(Entry::read(common.as_bytes(), LogFormat::Common, &names).is_ok());
        assert_eq!(error(common, LogFormat::Combined), "no user agent in quotes at the end");
        assert_eq!(error(common, LogFormat::Json), "not JSON: expected value at column 1");
        assert_eq!(error(LINES[1], LogFormat::Common), "no client address at the start");
        assert_eq!(error("[1]", LogFormat::Json), "not a JSON object");
    }
}
