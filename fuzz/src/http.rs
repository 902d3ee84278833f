//! A running control plane behind its socket: any bodies, paths, queries and headers, well
//! framed, with an operator's token or without.
//!
//! A line is a step:
//!
//! | | |
//! |---|---|
//! | `@NAME: VALUE` | a header of the next request |
//! | `!` | the next request has no token |
//! | `METHOD PATH BODY` | a request; `\n` in its body is a new line, `\xHH` a byte |

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use super::script::unescaped;

/// Requests of one run.
const REQUESTS_MAX: usize = 32;

/// Longer than any answer takes that is not waited for on purpose.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long an answer is waited for that may take a minute, or never end.
const GLANCE: Duration = Duration::from_millis(5);

/// What says how long a request is, and whether the connection stays: these stay ours.
const FRAMING: [&[u8]; 6] =
    [b"connection", b"content-length", b"expect", b"host", b"transfer-encoding", b"upgrade"];

/// Who is asked, and what with.
#[derive(Debug)]
pub struct Control {
    /// Where it listens.
    pub address: SocketAddr,
    /// The operator's token.
    pub token: String,
}

impl Control {
    /// Sends the requests: each is answered, none with the server's own fault, and what
    /// says that it is JSON is.
    ///
    /// # Panics
    /// Something does not hold.
    pub fn run(&self, bytes: &[u8]) {
        let mut headers: Vec<&[u8]> = Vec::new();
        let mut has_token = true;
        let mut requests = 0;
        for line in bytes.split(|byte| *byte == b'\n') {
            match line.split_first() {
                None => {}
                Some((b'!', _)) => has_token = false,
                Some((b'@', header)) => headers.extend(is_ours(header).then_some(header)),
                Some(_) => {
                    let mut words = line.splitn(3, |byte| *byte == b' ');
                    let mut word = || words.next().unwrap_or_default();
                    let request = Request {
                        method: word(),
                        path: word(),
                        body: unescaped(word()),
                        headers: std::mem::take(&mut headers),
                    };
                    let token = has_token.then_some(self.token.as_str());
                    has_token = true;
                    if request.is_whole() {
                        self.ask(&request, token);
                        requests += 1;
                    }
                }
            }
            if requests == REQUESTS_MAX {
                break;
            }
        }
    }

    fn ask(&self, request: &Request<'_>, token: Option<&str>) {
        let mut stream = TcpStream::connect(self.address).expect("it listens");
        let may_last = request.path.windows(4).any(|part| part == b"wait")
            || request.path.windows(6).any(|part| part == b"events");
        let patience = if may_last { GLANCE } else { PATIENCE };
        stream.set_read_timeout(Some(patience)).expect("more than nothing");
        // It may have answered, and closed, before it has read everything.
        let _ = stream.write_all(&request.written(token));
        let shown = || request.written(None).escape_ascii().to_string();
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer) {
            Ok(_) => {}
            Err(_) if may_last => return,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            Err(error) => panic!("{error} after {}: {}", shown(), answer.escape_ascii()),
        }
        let end = answer.windows(4).position(|part| part == b"\r\n\r\n");
        let (head, body) = answer.split_at(end.map_or(answer.len(), |end| end + 4));
        let head = String::from_utf8_lossy(head).to_ascii_lowercase();
        let status = head.split(' ').nth(1).and_then(|word| word.parse::<u16>().ok());
        assert!(status.is_some(), "no answer to {}: {head}", shown());
        assert!(status != Some(500), "{} failed: {}", shown(), body.escape_ascii());
        // One document, or one on each line.
        let is_json = head.contains("content-type: application/") && head.contains("json\r\n");
        if is_json && request.method != b"HEAD" && !head.contains("transfer-encoding") {
            let documents = serde_json::Deserializer::from_slice(body).into_iter::<Value>();
            let all: Result<Vec<Value>, _> = documents.collect();
            let some = all.is_ok_and(|all| !all.is_empty());
            assert!(some, "{} gave no JSON: {}", shown(), body.escape_ascii());
        }
    }
}

struct Request<'s> {
    method: &'s [u8],
    path: &'s [u8],
    headers: Vec<&'s [u8]>,
    body: Vec<u8>,
}

impl Request<'_> {
    /// Whether it can be sent as one, however wrong.
    fn is_whole(&self) -> bool {
        let is_word = !self.method.is_empty() && self.method.iter().all(u8::is_ascii_uppercase);
        is_word && self.method != b"CONNECT" && self.path.starts_with(b"/")
    }

    fn written(&self, token: Option<&str>) -> Vec<u8> {
        let length = self.body.len();
        let mut bytes =
            [self.method, b" ", self.path, b" HTTP/1.1\r\nhost: localhost\r\n"].concat();
        bytes.extend(format!("connection: close\r\ncontent-length: {length}\r\n").bytes());
        if let Some(token) = token {
            bytes.extend(format!("authorization: Bearer {token}\r\n").bytes());
        }
        for header in &self.headers {
            bytes.extend_from_slice(header);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// Whether a header says nothing about how long the request is, and is one header.
fn is_ours(header: &[u8]) -> bool {
    let name = header.split(|byte| *byte == b':').next().unwrap_or_default();
    let name = name.trim_ascii().to_ascii_lowercase();
    !name.is_empty() && !FRAMING.contains(&name.as_slice()) && !header.contains(&b'\r')
}
