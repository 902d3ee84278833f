//! A client that speaks HTTP/2: as it should, or in frames written by hand.

use std::convert::Infallible;
use std::error::Error;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::pin::Pin;
use std::task::{Context, Poll};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Bytes, Frame};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::SOON;
use crate::client::Response;
use crate::server::runtime;

/// A request with this method, URI, headers and body.
///
/// # Panics
/// When a part is none that HTTP/2 could carry.
pub fn request(
    method: &str,
    uri: &str,
    headers: &[(&str, &[u8])],
    body: &[u8],
) -> hyper::Request<Full<Bytes>> {
    let mut builder = hyper::Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(Full::new(Bytes::copy_from_slice(body))).expect("a request")
}

/// A body of which no header says that it comes, or how long it is.
#[derive(Debug)]
pub struct Unannounced(pub Option<Bytes>);

impl Body for Unannounced {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }
}

/// Sends all requests at once over one connection, and gives the responses in the order
/// of the requests, trailers after headers.
///
/// # Errors
/// The first that occurs.
pub fn ask_all<B>(
    address: SocketAddr,
    requests: Vec<hyper::Request<B>>,
) -> Result<Vec<Response>, Box<dyn Error + Send + Sync>>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + Unpin + 'static,
{
    runtime().block_on(async {
        let stream = TokioIo::new(tokio::net::TcpStream::connect(address).await?);
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
        tokio::spawn(connection);
        let mut answers = Vec::new();
        for request in requests {
            sender.ready().await?;
            answers.push(tokio::spawn(sender.send_request(request)));
        }
        let mut responses = Vec::new();
        for answer in answers {
            let (head, body) = tokio::time::timeout(SOON, answer).await???.into_parts();
            let body = tokio::time::timeout(SOON, body.collect()).await??;
            let trailers = body.trailers().cloned().unwrap_or_default();
            let headers = head.headers.iter().chain(trailers.iter());
            responses.push(Response {
                status: head.status.as_u16(),
                headers: headers.map(|(n, v)| (n.to_string(), v.as_bytes().to_vec())).collect(),
                body: body.to_bytes().to_vec(),
            });
        }
        Ok(responses)
    })
}

/// What a peer did with a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It was answered with headers.
    Answered,
    /// It was reset, with this error code of RFC 9113.
    Reset(u32),
    /// The whole connection was given up, with this error code.
    GoneAway(u32),
    /// The connection was closed without a word.
    Closed,
}

/// Sends one request of just these fields, complete or not, and says what becomes of it.
///
/// # Errors
/// As the system says, and when nothing becomes of it [`SOON`].
pub fn ask_raw(address: SocketAddr, fields: &[(&str, &str)]) -> io::Result<Fate> {
    const SETTINGS: u8 = 4;
    const HEADERS: u8 = 1;
    const END_STREAM_AND_HEADERS: u8 = 5;
    // Literals that are neither indexed nor compressed (RFC 7541, 6.2.2).
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).ok().filter(|n| *n < 127).expect("short fields"));
            block.extend_from_slice(text.as_bytes());
        }
    }
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(SOON))?;
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")?;
    stream.write_all(&frame(SETTINGS, 0, 0, &[]))?;
    stream.write_all(&frame(HEADERS, END_STREAM_AND_HEADERS, 1, &block))?;
    loop {
        let mut head = [0; 9];
        match stream.read_exact(&mut head) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Fate::Closed),
            read => read?,
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        stream.read_exact(&mut payload)?;
        let number = |at: usize| payload[at..at + 4].iter().fold(0, |n, b| n << 8 | u32::from(*b));
        match head[3] {
            HEADERS => return Ok(Fate::Answered),
            3 => return Ok(Fate::Reset(number(0))),
            7 => return Ok(Fate::GoneAway(number(4))),
            _ => {}
        }
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend_from_slice(&[kind, flags]);
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}
