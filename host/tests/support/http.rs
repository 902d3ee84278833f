//! HTTP by hand: what a well-behaved library would not send, and answers as they come.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// Longer than anything takes on a busy machine; reached only by a test that fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection to a server at `http://ADDRESS`.
pub(crate) struct Wire(pub(crate) TcpStream);

/// What was answered; the head in one piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

impl Wire {
    pub(crate) fn connect(url: &str) -> Wire {
        let address = url.split("://").nth(1).expect("a URL");
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Wire(stream)
    }

    /// Sends bytes. `false`: the server does not take any more.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.0.write_all(bytes.as_ref()).is_ok()
    }

    /// The head of the next answer, up to the empty line; `None` at the end.
    pub(crate) fn head(&mut self) -> Option<Answer> {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            match self.0.read(&mut byte) {
                Ok(1) => head.push(byte[0]),
                // A server that closes with bytes unread resets the connection.
                Ok(_) => return None,
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&head)),
            }
        }
        let head = String::from_utf8(head).expect("a head is text");
        let status = head.split(' ').nth(1).expect("a status").parse().expect("a number");
        Some(Answer { status, head, body: String::new() })
    }

    /// The next answer, whole; `None` at the end.
    pub(crate) fn answer(&mut self) -> Option<Answer> {
        let mut answer = self.head()?;
        let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        answer.body = String::from_utf8(body).expect("bodies are text");
        Some(answer)
    }
}

/// A request, written.
pub(crate) fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> String {
    let mut text = format!("{method} {path} HTTP/1.1\r\ncontent-length: {}\r\n", body.len());
    if !headers.iter().any(|(name, _)| *name == "host") {
        text.push_str("host: localhost\r\n");
    }
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    format!("{text}\r\n{body}")
}

/// Asks on a connection of its own.
pub(crate) fn ask(
    url: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let mut wire = Wire::connect(url);
    assert!(wire.send(request(method, path, headers, body)), "{method} {path}");
    wire.answer().unwrap_or_else(|| panic!("no answer to {method} {path}"))
}

/// The head alone, for answers that go on.
pub(crate) fn ask_head(url: &str, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut wire = Wire::connect(url);
    assert!(wire.send(request(method, path, headers, "")), "{method} {path}");
    wire.head().unwrap_or_else(|| panic!("no answer to {method} {path}"))
}
