//! A script: any bytes as calls on an engine, so that a mutation of one byte changes one.

use xxhash_rust::xxh64::xxh64;

/// One call on an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call<'s> {
    /// Serves these bytes: lines, whole or not.
    Handle(&'s [u8]),
    /// `%at MS`: the time of later calls.
    At(u64),
    /// `%tick MS`: it is this time now, and time acts.
    Tick(u64),
    /// `%route KEY`: decides without JSON.
    Route(&'s [u8]),
    /// `%totals`: asks for the counts.
    Totals,
    /// `%merge TOTALS`: takes in another node's.
    Merge(&'s [u8]),
    /// `%reload`: the state moves to a fresh engine.
    Reload,
    /// `%restore BYTES`: a snapshot from nowhere; see [`unescaped`].
    Restore(&'s [u8]),
    /// `%damage PLACE BITS`: the state moves to a fresh engine with one byte damaged.
    Damage(Damage),
    /// `%forge PLACE BITS`: the same behind the checksum, which is made to fit: to an engine
    /// that serves nothing.
    Forge(Damage),
}

/// What happens to one byte of what was saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damage {
    /// Which byte, counted modulo the length.
    place: usize,
    /// What it is xored with; 0 cuts off there instead.
    bits: u8,
}

impl Damage {
    /// Reads `PLACE BITS`.
    pub fn read(text: &[u8]) -> Damage {
        let end = text.iter().position(|byte| *byte == b' ').unwrap_or(text.len());
        Damage { place: number(text) as usize, bits: number(&text[end..]) as u8 }
    }

    /// Lets it happen.
    pub fn to(self, saved: &mut Vec<u8>) {
        let place = self.place % saved.len().max(1);
        match (self.bits, saved.get_mut(place)) {
            (0, _) => saved.truncate(place),
            (bits, Some(byte)) => *byte ^= bits,
            (_, None) => {}
        }
    }

    /// Lets it happen to the state in an engine's snapshot, behind the magic line and the
    /// checksum of eight bytes.
    pub fn to_state(self, snapshot: &mut Vec<u8>) {
        let line = snapshot.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let mut state = snapshot.split_off(line + 8);
        self.to(&mut state);
        snapshot.truncate(line);
        snapshot.extend_from_slice(&xxh64(&state, 0).to_le_bytes());
        snapshot.append(&mut state);
    }
}

/// The init document and the calls of a script.
///
/// Lines that begin with `%` and a known verb are calls; `%init DOCUMENT` counts on the
/// first line only. All other lines are served as they stand, neighbours in one call.
pub fn script(bytes: &[u8]) -> (&[u8], Vec<Call<'_>>) {
    let (init, rest) = match bytes.strip_prefix(b"%init ") {
        Some(rest) => split_at_newline(rest),
        None => (&[][..], bytes),
    };
    let mut calls = Vec::new();
    let mut block = 0..0;
    let mut at = 0;
    while at < rest.len() {
        let (line, _) = split_at_newline(&rest[at..]);
        let end = rest.len().min(at + line.len() + 1);
        match call(line) {
            Some(call) => {
                flush(&rest[block.clone()], &mut calls);
                calls.push(call);
                block = end..end;
            }
            None => block.end = end,
        }
        at = end;
    }
    flush(&rest[block], &mut calls);
    (init, calls)
}

fn flush<'s>(block: &'s [u8], calls: &mut Vec<Call<'s>>) {
    if !block.is_empty() {
        calls.push(Call::Handle(block));
    }
}

fn split_at_newline(bytes: &[u8]) -> (&[u8], &[u8]) {
    match bytes.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&bytes[..end], &bytes[end + 1..]),
        None => (bytes, &[]),
    }
}

fn call(line: &[u8]) -> Option<Call<'_>> {
    let line = line.strip_prefix(b"%")?;
    let (verb, rest) = match line.iter().position(|byte| *byte == b' ') {
        Some(end) => (&line[..end], &line[end + 1..]),
        None => (line, &[][..]),
    };
    Some(match verb {
        b"at" => Call::At(number(rest)),
        b"tick" => Call::Tick(number(rest)),
        b"route" => Call::Route(rest),
        b"totals" => Call::Totals,
        b"merge" => Call::Merge(rest),
        b"reload" => Call::Reload,
        b"restore" => Call::Restore(rest),
        b"damage" => Call::Damage(Damage::read(rest)),
        b"forge" => Call::Forge(Damage::read(rest)),
        _ => return None,
    })
}

/// Bytes that a line of text cannot hold: `\xHH` is one byte, `\n` is a new line, everything
/// else stands for itself.
pub fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let digits = rest.strip_prefix(b"\\x").and_then(|found| found.get(..2));
        let digits = digits.and_then(|found| std::str::from_utf8(found).ok());
        let (byte, after) = match digits.and_then(|found| u8::from_str_radix(found, 16).ok()) {
            Some(byte) => (byte, &rest[4..]),
            None => match rest.strip_prefix(b"\\n") {
                Some(after) => (b'\n', after),
                None => (*first, after),
            },
        };
        bytes.push(byte);
        rest = after;
    }
    bytes
}

/// The number that the text begins with; 0 without one.
pub fn number(text: &[u8]) -> u64 {
    let digits = text.trim_ascii_start().iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0u64, |n, digit| n.saturating_mul(10).saturating_add(u64::from(digit - b'0')))
}
