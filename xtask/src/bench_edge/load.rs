//! HTTP/1.1 over a few connections, as fast as it goes.

use std::io::{self, BufReader, Write};
use std::net::SocketAddr;

use crate::http::{answer, connect};

/// Connections, each with one request under way: Envoy closes a connection on which
/// requests wait behind one that it answers itself.
const CONNECTIONS: u64 = 16;

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
