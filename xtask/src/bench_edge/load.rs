//! HTTP/1.1 over a few connections, as fast as it goes, and one request at a time.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Connections, each with one request under way: Envoy closes a connection on which
/// requests wait behind one that it answers itself.
const CONNECTIONS: u64 = 16;

const TIMEOUT: Duration = Duration::from_secs(30);

/// Sends `count` requests, each of another user of 100,000, and counts those that the new
/// version answered.
///
/// # Errors
/// When the connection breaks, or an answer is no 200.
pub(super) fn send(address: SocketAddr, first: u64, count: u64) -> io::Result<u64> {
    let connection = |_| connect(address).map(BufReader::new);
    let mut connections: Vec<_> = (0..CONNECTIONS).map(connection).collect::<io::Result<_>>()?;
    let (mut sent, mut new) = (0, 0);
    while sent < count {
        let size = CONNECTIONS.min(count - sent) as usize;
        for (number, connection) in (first + sent..).zip(&mut connections[..size]) {
            let user = number % 100_000;
            let request =
                format!("GET /users HTTP/1.1\r\nhost: a\r\nx-user-id: user-{user}\r\n\r\n");
            connection.get_mut().write_all(request.as_bytes())?;
        }
        for connection in &mut connections[..size] {
            let (status, body) = answer(connection)?;
            if status != 200 {
                return Err(io::Error::other(format!("an answer with status {status}")));
            }
            new += u64::from(body == b"v2");
        }
        sent += size as u64;
    }
    Ok(new)
}

/// One request, and the body of its answer.
///
/// # Errors
/// When the connection breaks, or the answer is no 200.
pub(super) fn get(address: SocketAddr, path: &str) -> io::Result<Vec<u8>> {
    let mut stream = connect(address)?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")?;
    match answer(&mut BufReader::new(stream))? {
        (200, body) => Ok(body),
        (status, _) => Err(io::Error::other(format!("GET {path}: status {status}"))),
    }
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    Ok(stream)
}

fn answer(reader: &mut impl BufRead) -> io::Result<(u16, Vec<u8>)> {
    let mut line = String::new();
    let mut next = |reader: &mut dyn BufRead| -> io::Result<String> {
        line.clear();
        match reader.read_line(&mut line)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(line.trim_end().to_ascii_lowercase()),
        }
    };
    let status = next(reader)?;
    let status = status.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| io::Error::other("no status"))?;
    let (mut length, mut chunked) = (0, false);
    loop {
        let header = next(reader)?;
        match header.split_once(": ") {
            Some(("content-length", text)) => length = text.parse().map_err(io::Error::other)?,
            Some(("transfer-encoding", "chunked")) => chunked = true,
            Some(_) => {}
            None => break,
        }
    }
    let mut body = Vec::new();
    if !chunked {
        reader.take(length).read_to_end(&mut body)?;
        return Ok((status, body));
    }
    loop {
        let size = u64::from_str_radix(&next(reader)?, 16).map_err(io::Error::other)?;
        reader.take(size).read_to_end(&mut body)?;
        next(reader)?;
        if size == 0 {
            return Ok((status, body));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_with_a_length_and_in_chunks() {
        let text = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nv2\
                    HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n";
        let mut reader = text.as_bytes();
        assert_eq!(answer(&mut reader).unwrap(), (200, b"v2".to_vec()));
        assert_eq!(answer(&mut reader).unwrap(), (503, b"abcd".to_vec()));
        assert!(answer(&mut reader).is_err());
    }
}
