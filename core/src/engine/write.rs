//! Writing replies: one JSON object a line, fields in a fixed order.

use crossfade_protocol::Fault;
use crossfade_protocol::reply::{Reply, write_json};
use serde::Serialize;

use crate::event::Event;

/// Where a reply goes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ReplyTo<'m> {
    /// `src` and `dest` of the reply, when it is enveloped.
    pub(super) envelope: Option<(&'m str, &'m str)>,
    /// The id it replies to.
    pub(super) msg_id: Option<u64>,
}

/// A reply of any type.
pub(super) fn reply<R: Reply>(out: &mut Vec<u8>, to: ReplyTo<'_>, reply: &R) {
    enveloped(out, to, |out| {
        head(out, R::TYPE, to.msg_id);
        fields(out, |out| reply.write_fields(out));
    });
}

/// An error.
pub(super) fn error(out: &mut Vec<u8>, to: ReplyTo<'_>, fault: &Fault) {
    enveloped(out, to, |out| {
        head(out, "error", to.msg_id);
        out.extend_from_slice(b",\"code\":");
        number(out, u64::from(u16::from(fault.code)));
        out.extend_from_slice(b",\"text\":");
        write_json(out, &fault.text);
        out.push(b'}');
    });
}

/// How the answers to `get_users` end that name one version, their newline included.
/// Written once: with a number and a beginning each makes an answer.
#[derive(Debug, Clone)]
pub(super) struct Endings {
    plain: Vec<u8>,
    control: Vec<u8>,
    canary: Vec<u8>,
}

impl Endings {
    pub(super) fn of(version: &str) -> Endings {
        let ending = |rest: &str| {
            let mut out = b",\"version\":".to_vec();
            write_json(&mut out, version);
            out.extend_from_slice(rest.as_bytes());
            out
        };
        Endings {
            plain: ending("}\n"),
            control: ending(",\"canary\":false}\n"),
            canary: ending(",\"canary\":true}\n"),
        }
    }

    /// `canary` as a decision has it: nothing unless a canary percentage decided.
    #[inline]
    pub(super) fn of_answer(&self, canary: Option<bool>) -> &[u8] {
        match canary {
            None => &self.plain,
            Some(false) => &self.control,
            Some(true) => &self.canary,
        }
    }
}

/// The answer to `get_users`, without building anything.
#[inline]
pub(super) fn users_response(out: &mut Vec<u8>, to: ReplyTo<'_>, ending: &[u8]) {
    if let (None, Some(msg_id)) = (to.envelope, to.msg_id) {
        out.extend_from_slice(b"{\"type\":\"users_response\",\"in_reply_to\":");
        number(out, msg_id);
        return out.extend_from_slice(ending);
    }
    enveloped(out, to, |out| {
        head(out, "users_response", to.msg_id);
        out.extend_from_slice(ending.trim_ascii_end());
    });
}

/// Something that happened, as a line for whoever listens to ticks.
pub(super) fn event(event: &Event, sentence: &str) -> String {
    let mut out = b"{\"type\":\"event\"".to_vec();
    let sentence = Sentence { event, sentence };
    fields(&mut out, |out| write_json(out, &sentence));
    out.push(b'\n');
    // serde_json writes UTF-8 only.
    String::from_utf8(out).unwrap_or_default()
}

/// That events were lost, since nobody ticked.
pub(super) fn events_dropped(out: &mut Vec<u8>, count: u64) {
    out.extend_from_slice(b"{\"type\":\"event\",\"event\":\"events_dropped\",\"count\":");
    number(out, count);
    out.extend_from_slice(b"}\n");
}

/// The answer to totals that were taken in, or were old news.
pub(super) fn merged(out: &mut Vec<u8>, new: bool, sources: usize) {
    line(out, &Merged { kind: "merge_ok", new, sources });
}

/// Any value as a line.
pub(super) fn line(out: &mut Vec<u8>, value: &impl Serialize) {
    write_json(out, value);
    out.push(b'\n');
}

#[derive(Serialize)]
struct Merged {
    #[serde(rename = "type")]
    kind: &'static str,
    new: bool,
    sources: usize,
}

#[derive(Serialize)]
struct Sentence<'e> {
    #[serde(flatten)]
    event: &'e Event,
    sentence: &'e str,
}

#[inline]
fn enveloped(out: &mut Vec<u8>, to: ReplyTo<'_>, body: impl FnOnce(&mut Vec<u8>)) {
    match to.envelope {
        None => body(out),
        Some((src, dest)) => {
            out.extend_from_slice(b"{\"src\":");
            write_json(out, src);
            out.extend_from_slice(b",\"dest\":");
            write_json(out, dest);
            out.extend_from_slice(b",\"body\":");
            body(out);
            out.push(b'}');
        }
    }
    out.push(b'\n');
}

#[inline]
fn head(out: &mut Vec<u8>, kind: &str, msg_id: Option<u64>) {
    out.extend_from_slice(b"{\"type\":\"");
    out.extend_from_slice(kind.as_bytes());
    out.push(b'"');
    if let Some(msg_id) = msg_id {
        out.extend_from_slice(b",\"in_reply_to\":");
        number(out, msg_id);
    }
}

/// The fields of an object, its closing brace included, after fields already written.
fn fields(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let from = out.len();
    write(out);
    // `{"a":1}` becomes `,"a":1}`, and `{}` becomes `}`.
    if out.get(from + 1) == Some(&b'}') {
        out.remove(from);
    } else if let Some(brace) = out.get_mut(from) {
        *brace = b',';
    }
}

#[inline]
fn number(out: &mut Vec<u8>, number: u64) {
    let mut buffer = itoa::Buffer::new();
    let digits = match u32::try_from(number) {
        // WebAssembly lacks the multiplication of two u64 into 128 bits that u64 takes.
        Ok(number) => buffer.format(number),
        Err(_) => buffer.format(number),
    };
    out.extend_from_slice(digits.as_bytes());
}
