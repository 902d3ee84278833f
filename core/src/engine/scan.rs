//! The short way: `get_users` in its usual shape, read without building a JSON value.
//!
//! Parsing is nearly all of what a line costs. The scanner takes objects with known
//! keys in any order, strings without escapes, and whole numbers; at anything else it
//! gives up and the line takes the long way. It never answers differently from the
//! long way: a property test holds the two together.

use crossfade_protocol::Share;
use crossfade_protocol::limits::KEY_BYTES_MAX;

/// A `get_users` message, borrowed from its line.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct GetUsers<'l> {
    pub(super) src: Option<&'l str>,
    pub(super) dest: Option<&'l str>,
    pub(super) msg_id: Option<u64>,
    pub(super) user_id: Option<&'l str>,
    pub(super) canary: Option<Share>,
}

/// The message, or `None` when the line has to take the long way.
#[inline]
pub(super) fn get_users(line: &str) -> Option<GetUsers<'_>> {
    let mut scanner = Scanner { line, at: 0 };
    let mut message = GetUsers::default();
    let mut seen = 0;
    let mut has_body = false;
    let mut is_get_users = false;
    scanner.object(|scanner, key| {
        let mut once = |bit: u8| (seen & bit == 0).then(|| seen |= bit);
        match key {
            "src" => {
                once(1)?;
                message.src = Some(scanner.short_text()?);
            }
            "dest" => {
                once(2)?;
                message.dest = Some(scanner.short_text()?);
            }
            // Beside the body and in it: the long way says what is wrong.
            "canary_percentage" if message.canary.is_none() => {
                once(4)?;
                message.canary = Some(scanner.share()?);
            }
            "body" => {
                once(8)?;
                has_body = true;
                is_get_users = scanner.body(&mut message)?;
            }
            _ => return None,
        }
        Some(())
    })?;
    scanner.space();
    (scanner.at == line.len() && has_body && is_get_users).then_some(message)
}

struct Scanner<'l> {
    line: &'l str,
    at: usize,
}

impl<'l> Scanner<'l> {
    fn body(&mut self, message: &mut GetUsers<'l>) -> Option<bool> {
        let mut seen = 0;
        let mut is_get_users = false;
        self.object(|scanner, key| {
            let mut once = |bit: u8| (seen & bit == 0).then(|| seen |= bit);
            match key {
                "type" => {
                    once(1)?;
                    is_get_users = scanner.text()? == "get_users";
                }
                "msg_id" => {
                    once(2)?;
                    message.msg_id = Some(scanner.whole()?);
                }
                "user_id" => {
                    once(4)?;
                    message.user_id = Some(scanner.short_text()?);
                }
                "canary_percentage" if message.canary.is_none() => {
                    once(8)?;
                    message.canary = Some(scanner.share()?);
                }
                _ => return None,
            }
            Some(())
        })?;
        Some(is_get_users)
    }

    #[inline]
    fn object(&mut self, mut field: impl FnMut(&mut Self, &'l str) -> Option<()>) -> Option<()> {
        self.space();
        self.byte(b'{')?;
        loop {
            self.space();
            let key = self.text()?;
            self.space();
            self.byte(b':')?;
            self.space();
            field(self, key)?;
            self.space();
            match self.peek()? {
                b',' => self.at += 1,
                b'}' => {
                    self.at += 1;
                    return Some(());
                }
                _ => return None,
            }
        }
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.line.as_bytes().get(self.at).copied()
    }

    #[inline]
    fn byte(&mut self, wanted: u8) -> Option<()> {
        (self.peek()? == wanted).then(|| self.at += 1)
    }

    #[inline]
    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.peek() {
            self.at += 1;
        }
    }

    /// A string without escapes and control characters.
    #[inline]
    fn text(&mut self) -> Option<&'l str> {
        self.byte(b'"')?;
        let from = self.at;
        let rest = self.line.as_bytes().get(from..)?;
        let len = rest.iter().position(|b| *b == b'"' || *b == b'\\' || *b < 0x20)?;
        self.at = from + len;
        self.byte(b'"')?;
        // Both ends stand beside an ASCII quote, so they are character boundaries.
        self.line.get(from..from + len)
    }

    fn short_text(&mut self) -> Option<&'l str> {
        self.text().filter(|text| text.len() <= KEY_BYTES_MAX)
    }

    /// A number of at most 18 digits, without sign, point, exponent or leading zero.
    #[inline]
    fn whole(&mut self) -> Option<u64> {
        let rest = self.line.as_bytes().get(self.at..)?;
        let len = rest.iter().position(|b| !b.is_ascii_digit())?;
        let ends = matches!(rest.get(len), Some(b',' | b'}' | b' ' | b'\t' | b'\r' | b'\n'));
        if len == 0 || len > 18 || !ends || (len > 1 && rest.first() == Some(&b'0')) {
            return None;
        }
        self.at += len;
        Some(rest[..len].iter().fold(0, |n, digit| n * 10 + u64::from(digit - b'0')))
    }

    fn share(&mut self) -> Option<Share> {
        let percent = self.whole()?;
        u16::try_from(percent.checked_mul(100)?).ok().and_then(Share::from_buckets)
    }
}

#[cfg(test)]
#[path = "scan/tests.rs"]
mod tests;
