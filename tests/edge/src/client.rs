//! A client that sends bytes as they are: one connection, one request after the other,
//! or many at once.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};

use serde_json::Value;

use crate::SOON;

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The headers in their order, names in lower case.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// The first header of this name as text; empty when there is none.
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| std::str::from_utf8(value).unwrap_or("(not UTF-8)"))
    }

    /// The version that answered; empty when the proxy did.
    pub fn version(&self) -> &str {
        self.header("x-served-by")
    }

    /// Every value of this header that the upstream received, as Latin-1.
    pub fn received(&self, name: &str) -> Vec<String> {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let headers = body["headers"].as_array().cloned().unwrap_or_default();
        let named = headers.iter().filter(|header| header[0] == *name);
        named.map(|header| header[1].as_str().unwrap_or_default().to_owned()).collect()
    }
}

/// A `GET` of `/` with these headers, as HTTP/1.1 bytes.
pub fn get<N: AsRef<[u8]>, V: AsRef<[u8]>>(headers: impl IntoIterator<Item = (N, V)>) -> Vec<u8> {
    let mut request = b"GET / HTTP/1.1\r\nhost: api\r\n".to_vec();
    for (name, value) in headers {
        request.extend_from_slice(name.as_ref());
        request.extend_from_slice(b": ");
        request.extend_from_slice(value.as_ref());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    request
}

/// One connection.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// As the system says.
    pub fn open(address: SocketAddr) -> io::Result<Connection> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SOON))?;
        Ok(Connection { stream, unread: Vec::new() })
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// As the system says; a peer that has closed is one.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// The next response.
    ///
    /// # Errors
    /// When the peer closes before one is complete, when what comes is none, or when it
    /// does not come [`SOON`].
    pub fn receive(&mut self) -> io::Result<Response> {
        let (mut response, length) = loop {
            if let Some(head) = self.head()? {
                break head;
            }
            self.read_more()?;
        };
        match length {
            Some(length) => {
                while self.unread.len() < length {
                    self.read_more()?;
                }
                response.body = self.unread.drain(..length).collect();
            }
            None => response.body = self.chunks()?,
        }
        Ok(response)
    }

    /// Sends a request and waits for its response.
    ///
    /// # Errors
    /// As [`Connection::receive`].
    pub fn ask(&mut self, request: &[u8]) -> io::Result<Response> {
        self.send(request)?;
        self.receive()
    }

    /// Says that nothing more will be sent.
    ///
    /// # Errors
    /// As the system says.
    pub fn finish(&mut self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    /// Everything until the peer closes.
    ///
    /// # Errors
    /// When it does not close [`SOON`].
    pub fn rest(mut self) -> io::Result<Vec<u8>> {
        self.stream.read_to_end(&mut self.unread)?;
        Ok(self.unread)
    }

    fn read_more(&mut self) -> io::Result<()> {
        let mut buffer = [0; 16 << 10];
        let read = self.stream.read(&mut buffer)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.unread.extend_from_slice(&buffer[..read]);
        Ok(())
    }

    /// The head of a response and the length of its body, once it is complete. No length
    /// is a body in chunks.
    fn head(&mut self) -> io::Result<Option<(Response, Option<usize>)>> {
        let mut fields = [httparse::EMPTY_HEADER; 128];
        let mut head = httparse::Response::new(&mut fields);
        let parsed = head.parse(&self.unread).map_err(io::Error::other)?;
        let httparse::Status::Complete(end) = parsed else { return Ok(None) };
        let lower = |header: &httparse::Header<'_>| {
            (header.name.to_ascii_lowercase(), header.value.to_vec())
        };
        let response = Response {
            status: head.code.unwrap_or_default(),
            headers: head.headers.iter().map(lower).collect(),
            body: Vec::new(),
        };
        let chunked = response.header("transfer-encoding") == "chunked";
        let length = response.header("content-length").parse().unwrap_or(0);
        self.unread.drain(..end);
        Ok(Some((response, (!chunked).then_some(length))))
    }

    fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let parsed = httparse::parse_chunk_size(&self.unread)
                .map_err(|_| io::Error::other("a chunk without a size"))?;
            let httparse::Status::Complete((start, size)) = parsed else {
                self.read_more()?;
                continue;
            };
            let size = usize::try_from(size).map_err(io::Error::other)?;
            while self.unread.len() < start + size + 2 {
                self.read_more()?;
            }
            body.extend_from_slice(&self.unread[start..start + size]);
            self.unread.drain(..start + size + 2);
            if size == 0 {
                return Ok(body);
            }
        }
    }
}

/// Sends all requests over `connections` connections, many at once on each, and gives
/// the responses in the order of the requests.
///
/// # Errors
/// The first that occurs. A response that closes its connection is one, unless it is
/// the last there: use [`Connection`] for such requests.
pub fn ask_all(
    address: SocketAddr,
    requests: &[Vec<u8>],
    connections: usize,
) -> io::Result<Vec<Response>> {
    /// Few enough that neither side's buffers fill while nobody reads.
    const AT_ONCE: usize = 32;
    let share = requests.len().div_ceil(connections.max(1)).max(1);
    let ask = |requests: &[Vec<u8>]| -> io::Result<Vec<Response>> {
        let mut connection = Connection::open(address)?;
        let mut responses = Vec::with_capacity(requests.len());
        for batch in requests.chunks(AT_ONCE) {
            connection.send(&batch.concat())?;
            for _ in batch {
                responses.push(connection.receive()?);
            }
        }
        Ok(responses)
    };
    std::thread::scope(|scope| {
        let ask = &ask;
        let workers: Vec<_> =
            requests.chunks(share).map(|share| scope.spawn(move || ask(share))).collect();
        let mut all = Vec::with_capacity(requests.len());
        for worker in workers {
            all.extend(worker.join().expect("asking does not panic")?);
        }
        Ok(all)
    })
}
