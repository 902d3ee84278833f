//! A script: any bytes as calls on an engine, so that a mutation of one byte changes one.

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
    /// `%restore BYTES`: a snapshot from nowhere.
    Restore(&'s [u8]),
    /// `%damage PLACE BITS`: the state moves to a fresh engine with one byte damaged.
    Damage {
        /// Which byte, counted modulo the snapshot's length.
        place: usize,
        /// What it is xored with; 0 cuts the snapshot off there instead.
        bits: u8,
    },
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
        b"damage" => {
            let bits =
                rest.iter().rposition(|byte| *byte == b' ').map_or(&[][..], |at| &rest[at + 1..]);
            Call::Damage { place: number(rest) as usize, bits: number(bits) as u8 }
        }
        _ => return None,
    })
}

/// The number that the text begins with; 0 without one.
fn number(text: &[u8]) -> u64 {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0u64, |n, digit| n.saturating_mul(10).saturating_add(u64::from(digit - b'0')))
}

/// Lines that must be answered: all that are not ASCII white space.
pub fn lines_to_answer(lines: &[u8]) -> usize {
    lines.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).count()
}
