//! A report of clients, read in one pass over its text.
//!
//! This one knows the one shape, and refuses what serde would: what serde derives for the
//! same is 25 KB more of the module, and no faster there.

use std::borrow::Cow;

use super::{ClientCount, ClientRow, ClientsReport, Declared, Identity};
use crate::limits::JSON_DEPTH_MAX;

/// What would have been right, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wrong {
    at: usize,
    right: &'static str,
}

impl std::fmt::Display for Wrong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} is expected at column {}", self.right, self.at + 1)
    }
}

type Read<T> = Result<T, Wrong>;

const REPORT: [&str; 9] =
    ["node", "epoch", "sequence", "revision", "versions", "clients", "more", "theta", "dropped"];
/// The first so many must be there.
const REPORT_NEEDS: u32 = 0b11_1111;
const ROW: [&str; 7] = ["key", "on", "counts", "refused", "agent", "identity", "says"];
const ROW_NEEDS: u32 = 0b111;
/// About as many as a client's row has in a report: a name, and software.
const ROW_BYTES: usize = 96;

/// Reads a report.
///
/// # Errors
/// What is wrong with it.
pub(super) fn report(text: &str) -> Read<ClientsReport> {
    let mut report = ClientsReport {
        node: String::new(),
        epoch: 0,
        sequence: 0,
        revision: 0,
        more: false,
        theta: u64::MAX,
        dropped: 0,
        versions: Vec::new(),
        clients: Vec::new(),
    };
    let mut reader = Reader::new(text);
    let found = reader.object(&REPORT, &mut |reader, field| {
        match field {
            0 => report.node = reader.string()?.into_owned(),
            1 => report.epoch = reader.hex()?,
            2 => report.sequence = reader.number(u64::MAX)?,
            3 => report.revision = reader.number(u64::MAX)?,
            4 => reader.list(&mut |reader| {
                report.versions.push(reader.string()?.into_owned());
                Ok(())
            })?,
            5 => report.clients = reader.rows()?,
            6 => report.more = reader.flag()?,
            7 => report.theta = reader.hex()?,
            _ => report.dropped = reader.number(u64::MAX)?,
        }
        Ok(())
    })?;
    reader.end()?;
    if found & REPORT_NEEDS != REPORT_NEEDS {
        return reader.wrong(
            "a report with `node`, `epoch`, `sequence`, `revision`, `versions` and `clients`",
        );
    }
    Ok(report)
}

/// Reads a list of clients.
///
/// # Errors
/// What is wrong with it.
pub(super) fn rows(text: &str) -> Read<Vec<ClientRow>> {
    let mut reader = Reader::new(text);
    let rows = reader.rows()?;
    reader.end()?;
    Ok(rows)
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
}

impl<'t> Reader<'t> {
    fn new(text: &'t str) -> Reader<'t> {
        Reader { text, at: 0, depth: 0 }
    }

    fn end(&mut self) -> Read<()> {
        self.peek();
        if self.at == self.text.len() { Ok(()) } else { self.wrong("the end") }
    }

    #[cold]
    fn wrong<T>(&self, right: &'static str) -> Read<T> {
        Err(Wrong { at: self.at, right })
    }

    /// The byte here; 0 at the end.
    #[inline(always)]
    fn byte(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or_default()
    }

    /// The next byte that is no white space; 0 at the end.
    #[inline(always)]
    fn peek(&mut self) -> u8 {
        while matches!(self.byte(), b' ' | b'\t' | b'\r' | b'\n') {
            self.at += 1;
        }
        self.byte()
    }

    /// Passes over this byte, if it is the next one. With the comparison added to `at`
    /// instead of a branch, rustc 1.95 left the addition out at opt-level 3; the tests of
    /// this crate run with optimisation, too, for that reason.
    #[inline(always)]
    fn is_next(&mut self, byte: u8) -> bool {
        if self.peek() != byte {
            return false;
        }
        self.at += 1;
        true
    }

    fn word(&mut self, word: &str) -> bool {
        self.peek();
        let is_next = self.text.get(self.at..).is_some_and(|rest| rest.starts_with(word));
        self.at += if is_next { word.len() } else { 0 };
        is_next
    }

    fn open(&mut self, byte: u8, right: &'static str) -> Read<()> {
        if !self.is_next(byte) {
            return self.wrong(right);
        }
        self.depth += 1;
        if self.depth > JSON_DEPTH_MAX { self.wrong("less depth") } else { Ok(()) }
    }

    /// Whether another item comes, in a list or an object that this byte closes.
    fn another(&mut self, first: bool, close: u8) -> Read<bool> {
        if self.is_next(close) {
            self.depth -= 1;
            return Ok(false);
        }
        if !first && !self.is_next(b',') {
            return self.wrong("a comma, or an end,");
        }
        Ok(true)
    }

    /// Reads an object, and says which of `fields` it has, as bits. Others are passed over.
    fn object(
        &mut self,
        fields: &[&str],
        each: &mut dyn FnMut(&mut Self, usize) -> Read<()>,
    ) -> Read<u32> {
        self.open(b'{', "an object")?;
        let (mut found, mut first) = (0, true);
        while self.another(first, b'}')? {
            first = false;
            let start = self.at;
            let name = self.string()?;
            if !self.is_next(b':') {
                return self.wrong("a colon");
            }
            match fields.iter().position(|field| *field == name) {
                None => self.skip()?,
                Some(field) if found & 1 << field != 0 => {
                    self.at = start;
                    return self.wrong("a field that was not there before");
                }
                Some(field) => {
                    found |= 1 << field;
                    each(self, field)?;
                }
            }
        }
        Ok(found)
    }

    fn list(&mut self, each: &mut dyn FnMut(&mut Self) -> Read<()>) -> Read<()> {
        self.open(b'[', "a list")?;
        let mut first = true;
        while self.another(first, b']')? {
            first = false;
            each(self)?;
        }
        Ok(())
    }

    fn string(&mut self) -> Read<Cow<'t, str>> {
        if !self.is_next(b'"') {
            return self.wrong("a string");
        }
        let start = self.at;
        let mut escaped = false;
        loop {
            match self.byte() {
                b'"' => break,
                0..0x20 => return self.wrong("a string without control characters"),
                b'\\' => {
                    escaped = true;
                    self.at += 2;
                }
                _ => self.at += 1,
            }
        }
        self.at += 1;
        if escaped {
            let quoted = self.text.get(start - 1..self.at).unwrap_or_default();
            let Ok(text) = serde_json::from_str(quoted) else {
                self.at = start - 1;
                return self.wrong("a string with the escapes of JSON");
            };
            return Ok(Cow::Owned(text));
        }
        Ok(Cow::Borrowed(self.text.get(start..self.at - 1).unwrap_or_default()))
    }

    #[inline(always)]
    fn number(&mut self, max: u64) -> Read<u64> {
        self.peek();
        let start = self.at;
        let mut number = 0_u64;
        while let digit @ 0..=9 = self.byte().wrapping_sub(b'0') {
            number = number.wrapping_mul(10).wrapping_add(digit.into());
            self.at += 1;
        }
        let digits = self.at - start;
        // So many are never too large; WebAssembly has no multiplication that tells.
        let number = match digits {
            ..20 => Some(number),
            _ => self.text.get(start..self.at).and_then(|digits| digits.parse().ok()),
        };
        let zeros = digits > 1 && self.text.as_bytes()[start] == b'0';
        let whole = digits > 0 && !zeros && !matches!(self.byte(), b'.' | b'e' | b'E');
        match number.filter(|number| whole && *number <= max) {
            Some(number) => Ok(number),
            None => {
                self.at = start;
                self.wrong("a whole number of the right size")
            }
        }
    }

    fn flag(&mut self) -> Read<bool> {
        let flag = self.word("true");
        if flag || self.word("false") { Ok(flag) } else { self.wrong("true or false") }
    }

    fn hex(&mut self) -> Read<u64> {
        self.peek();
        let start = self.at;
        crate::totals::hex::read(&self.string()?)
            .ok_or(Wrong { at: start, right: "a string of 16 hexadecimal digits" })
    }

    /// Passes over a value of whatever form.
    fn skip(&mut self) -> Read<()> {
        match self.peek() {
            b'{' => self.object(&[], &mut |_, _| Ok(())).map(|_| ()),
            b'[' => self.list(&mut |reader| reader.skip()),
            b'"' => self.string().map(|_| ()),
            b't' | b'f' => self.flag().map(|_| ()),
            b'n' if self.word("null") => Ok(()),
            b'-' | b'0'..=b'9' => {
                let start = self.at;
                while matches!(self.byte(), b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E') {
                    self.at += 1;
                }
                let number = self.text.get(start..self.at).unwrap_or_default();
                if crate::json::parse(number).is_ok() { Ok(()) } else { self.wrong("a number") }
            }
            _ => self.wrong("a value"),
        }
    }

    fn rows(&mut self) -> Read<Vec<ClientRow>> {
        // Taken at once: a list that grew would be copied as often as it doubled.
        let rest = self.text.len() - self.at.min(self.text.len());
        let mut rows = Vec::with_capacity(rest / ROW_BYTES);
        self.list(&mut |reader| {
            rows.push(reader.row()?);
            Ok(())
        })?;
        Ok(rows)
    }

    fn row(&mut self) -> Read<ClientRow> {
        let mut row = ClientRow {
            key: String::new(),
            identity: Identity::Key,
            agent: None,
            on: 0,
            counts: Vec::new(),
            refused: 0,
            says: None,
        };
        let start = self.at;
        let found = self.object(&ROW, &mut |reader, field| {
            match field {
                0 => row.key = reader.string()?.into_owned(),
                1 => row.on = reader.number(u8::MAX.into())? as u8,
                2 => reader.list(&mut |reader| {
                    row.counts.push(reader.count()?);
                    Ok(())
                })?,
                3 => row.refused = reader.number(u64::MAX)?,
                4 if reader.word("null") => {}
                4 => row.agent = Some(reader.string()?.into_owned()),
                5 => row.identity = reader.identity()?,
                _ if reader.word("null") => {}
                _ => row.says = Some(reader.declared()?),
            }
            Ok(())
        })?;
        if found & ROW_NEEDS != ROW_NEEDS {
            self.at = start;
            return self.wrong("a client with `key`, `on` and `counts`");
        }
        Ok(row)
    }

    fn count(&mut self) -> Read<ClientCount> {
        const MAX: [u64; 5] =
            [u8::MAX as u64, u64::MAX, u64::MAX, u32::MAX as u64, u32::MAX as u64];
        let mut numbers = [0; 5];
        self.open(b'[', "a list")?;
        for (place, (number, max)) in numbers.iter_mut().zip(MAX).enumerate() {
            if place > 0 && !self.is_next(b',') {
                return self.wrong("a list of five numbers");
            }
            *number = self.number(max)?;
        }
        if !self.is_next(b']') {
            return self.wrong("an end after five numbers");
        }
        self.depth -= 1;
        let [version, requests, failures, first_s, last_s] = numbers;
        Ok(ClientCount {
            version: version as u8,
            requests,
            failures,
            first_s: first_s as u32,
            last_s: last_s as u32,
        })
    }

    fn identity(&mut self) -> Read<Identity> {
        self.peek();
        let start = self.at;
        let name = self.string()?;
        Identity::ALL.into_iter().find(|identity| identity.as_str() == name).ok_or(Wrong {
            at: start,
            right: "`key`, `sender`, `api_key`, `mtls`, `jwt` or `address`",
        })
    }

    fn declared(&mut self) -> Read<Declared> {
        const RIGHT: &str = "`ready`, or `blocked` with a reason";
        if self.peek() == b'"' {
            let start = self.at;
            let ready = self.string()? == "ready";
            return if ready {
                Ok(Declared::Ready)
            } else {
                Err(Wrong { at: start, right: RIGHT })
            };
        }
        self.open(b'{', RIGHT)?;
        if self.string()? != "blocked" || !self.is_next(b':') {
            return self.wrong(RIGHT);
        }
        let reason = self.string()?.into_owned();
        if !self.is_next(b'}') {
            return self.wrong("an end");
        }
        self.depth -= 1;
        Ok(Declared::Blocked(reason))
    }
}

#[cfg(test)]
mod tests;
