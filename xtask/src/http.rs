//! HTTP/1.1 as far as the benches speak it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(30);

/// One request, and the body of its answer.
///
/// # Errors
/// When the connection breaks, or the answer is no 200.
pub(crate) fn get(address: SocketAddr, path: &str) -> io::Result<Vec<u8>> {
    let mut stream = connect(address)?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    match answer(&mut BufReader::new(stream))? {
        (200, body) => Ok(body),
        (status, _) => Err(io::Error::other(format!("GET {path}: status {status}"))),
    }
}

/// A connection that sends at once.
///
/// # Errors
/// When there is none to be had.
pub(crate) fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    Ok(stream)
}

/// The status and the body of an answer.
///
/// # Errors
/// When the connection breaks, or this is no HTTP.
pub(crate) fn answer(reader: &mut impl BufRead) -> io::Result<(u16, Vec<u8>)> {
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
