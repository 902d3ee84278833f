//! Reports as text, as [`ClientsReport`](crossfade_protocol::clients::ClientsReport) is
//! written by serde: by hand, since serde's code for it is several times as long. A test
//! holds the two together.

use crossfade_protocol::clients::Declared;
use crossfade_protocol::reply::write_json;

use super::Changes;
use super::rows::Row;

/// What stands before the clients.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head<'n> {
    pub(super) node: &'n str,
    pub(super) epoch: u64,
    pub(super) revision: u64,
    pub(super) more: bool,
}

impl Head<'_> {
    /// A whole report, with these clients, each with a comma before it.
    pub(super) fn text(&self, of: &Changes, clients: &[u8]) -> String {
        let mut out = b"{\"node\":".to_vec();
        write_json(&mut out, self.node);
        hex(&mut out, ",\"epoch\":", self.epoch);
        number(&mut out, ",\"sequence\":", of.sequence);
        number(&mut out, ",\"revision\":", self.revision);
        if self.more {
            put(&mut out, ",\"more\":true");
        }
        if of.theta < u64::MAX {
            hex(&mut out, ",\"theta\":", of.theta);
        }
        if of.dropped > 0 {
            number(&mut out, ",\"dropped\":", of.dropped);
        }
        put(&mut out, ",\"versions\":");
        for (place, version) in of.versions.iter().enumerate() {
            out.push(if place == 0 { b'[' } else { b',' });
            write_json(&mut out, version.as_str());
        }
        put(&mut out, "],\"clients\":[");
        out.extend_from_slice(clients.get(1..).unwrap_or_default());
        put(&mut out, "]}");
        // serde_json writes UTF-8 only.
        String::from_utf8(out).unwrap_or_default()
    }
}

/// One client, with a comma before it.
pub(super) fn row(out: &mut Vec<u8>, row: &Row) {
    put(out, ",{\"key\":");
    write_json(out, row.key());
    if row.identity() as u8 > 0 {
        put(out, ",\"identity\":\"");
        put(out, row.identity().as_str());
        out.push(b'"');
    }
    if let Some(agent) = row.agent() {
        put(out, ",\"agent\":");
        write_json(out, agent);
    }
    number(out, ",\"on\":", row.on().into());
    put(out, ",\"counts\":[");
    for (place, count) in row.counts().iter().enumerate() {
        number(out, if place == 0 { "[" } else { ",[" }, count.version.into());
        number(out, ",", count.requests);
        number(out, ",", count.failures);
        number(out, ",", count.first_s.into());
        number(out, ",", count.last_s.into());
        out.push(b']');
    }
    out.push(b']');
    if row.refused() > 0 {
        number(out, ",\"refused\":", row.refused());
    }
    match row.says() {
        None => {}
        Some(Declared::Ready) => put(out, ",\"says\":\"ready\""),
        Some(Declared::Blocked(reason)) => {
            put(out, ",\"says\":{\"blocked\":");
            write_json(out, reason.as_str());
            out.push(b'}');
        }
    }
    out.push(b'}');
}

fn put(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

fn number(out: &mut Vec<u8>, before: &str, number: u64) {
    put(out, before);
    put(out, itoa::Buffer::new().format(number));
}

/// 16 digits in quotes, as epochs are written.
fn hex(out: &mut Vec<u8>, before: &str, number: u64) {
    put(out, before);
    out.push(b'"');
    for shift in (0..16).rev() {
        let digit = (number >> (4 * shift)) as u8 & 15;
        out.push(if digit < 10 { b'0' + digit } else { b'a' - 10 + digit });
    }
    out.push(b'"');
}
