//! Reads a stream of server-sent events, as the HTML standard describes it.

use std::io::{self, BufRead, Read};

/// One event, of which nothing but the id and the data may be left out by the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    /// Its id, if it can be resumed after.
    pub(crate) id: Option<u64>,
    /// `event`, `status`; `message` when the server does not say.
    pub(crate) name: String,
    /// JSON.
    pub(crate) data: String,
}

/// Longer than any event: an engine's line, and what an event has beside it.
const EVENT_BYTES_MAX: usize = 8 << 20;

/// Gives the events of a stream, one after the other.
#[derive(Debug)]
pub(super) struct EventReader<R> {
    stream: R,
    line: Vec<u8>,
}

impl<R: BufRead> EventReader<R> {
    pub(super) fn new(stream: R) -> EventReader<R> {
        EventReader { stream, line: Vec::new() }
    }

    /// The next event; `None` at the end of the stream. An event that is cut off there is
    /// none: it comes again.
    ///
    /// # Errors
    /// The stream failed, is no text, or is too long.
    pub(super) fn next(&mut self) -> io::Result<Option<Event>> {
        let mut event = Event { id: None, name: String::new(), data: String::new() };
        let mut has_data = false;
        while let Some(line) = self.next_line()? {
            if line.is_empty() {
                if has_data {
                    if event.name.is_empty() {
                        event.name = "message".to_owned();
                    }
                    return Ok(Some(event));
                }
                event = Event { id: event.id, name: String::new(), data: String::new() };
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "data" => {
                    if has_data {
                        event.data.push('\n');
                    }
                    has_data = true;
                    event.data.push_str(value);
                    if event.data.len() > EVENT_BYTES_MAX {
                        return Err(too_long());
                    }
                }
                "event" => value.clone_into(&mut event.name),
                "id" => event.id = value.parse().ok(),
                // A comment, or a field of later days.
                _ => {}
            }
        }
        Ok(None)
    }

    /// A line without its end; `None` when there is no whole one any more.
    fn next_line(&mut self) -> io::Result<Option<&str>> {
        self.line.clear();
        let mut limited = Read::take(&mut self.stream, EVENT_BYTES_MAX as u64 + 1);
        limited.read_until(b'\n', &mut self.line)?;
        if self.line.pop_if(|byte| *byte == b'\n').is_none() {
            return if self.line.len() > EVENT_BYTES_MAX { Err(too_long()) } else { Ok(None) };
        }
        self.line.pop_if(|byte| *byte == b'\r');
        let text = std::str::from_utf8(&self.line);
        text.map(Some).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}

fn too_long() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "an event is too long")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(text: &[u8]) -> Vec<(Option<u64>, String, String)> {
        let mut reader = EventReader::new(text);
        let mut events = Vec::new();
        while let Some(Event { id, name, data }) = reader.next().unwrap() {
            events.push((id, name, data));
        }
        events
    }

    fn one(id: Option<u64>, name: &str, data: &str) -> Vec<(Option<u64>, String, String)> {
        vec![(id, name.to_owned(), data.to_owned())]
    }

    #[test]
    fn events_are_read_as_the_standard_says() {
        for (text, expected) in [
            (&b"id: 7\nevent: event\ndata: {}\n\n"[..], one(Some(7), "event", "{}")),
            (b"id:7\r\nevent:status\r\ndata:{}\r\n\r\n", one(Some(7), "status", "{}")),
            (b": hello\n\ndata: a\ndata: b\n\n", one(None, "message", "a\nb")),
            (b"data:  two blanks\nretry: 5\nlater: x\n\n", one(None, "message", " two blanks")),
            (b"event: event\n\ndata: {}\n\n", one(None, "message", "{}")),
            (b"data\n\n", one(None, "message", "")),
            (b"id: x\ndata: {}\n\n", one(None, "message", "{}")),
            // Cut off: it comes again.
            (b"id: 7\ndata: {}\n", vec![]),
            (b"id: 7\ndata: {}", vec![]),
            (b"", vec![]),
        ] {
            assert_eq!(events(text), expected, "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn nothing_grows_without_bound() {
        let endless = io::BufReader::new(io::repeat(b'x'));
        assert!(EventReader::new(endless).next().is_err());
        let lines = b"data: x\n".repeat(EVENT_BYTES_MAX / 2 + 1);
        assert!(EventReader::new(&lines[..]).next().is_err());
        assert!(EventReader::new(&b"data: \xff\n\n"[..]).next().is_err());
    }
}
