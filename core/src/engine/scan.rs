//! The short way: `get_users` in its usual shapes, read without building a JSON value.
//!
//! Parsing is nearly all of what a line costs. The scanner takes the message with its
//! known keys in any order, enveloped or bare, as programs write it: with no white space
//! but a blank after a colon or a comma, strings without escapes, and whole numbers. At
//! anything else it gives up and the line takes the long way. It never answers
//! differently from the long way: a property test holds the two together.
//!
//! It reads eight bytes at a time, and finds the line's end by the way: a line is looked
//! at once, and only as far as it has to be.

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

/// The message in the first line of `text` and the length of that line without its
/// newline, or `None` when the line has to take the long way.
///
/// One flat loop over the fields of the line and of its body: written as one function
/// for each, it was three times as large and slower for it.
pub(super) fn get_users(text: &str) -> Option<(GetUsers<'_>, usize)> {
    let mut scanner = Scanner { text, at: 0 };
    let mut strings = [""; 7];
    let mut numbers = [0; 7];
    let mut seen = 0;
    let mut in_body = false;
    scanner.byte(b'{')?;
    'fields: loop {
        let key = scanner.key()?;
        let bit = 1 << key;
        // A key comes once, in the line or its body; beside a body, the long way says
        // what a field of the body means.
        let allowed = match (in_body, seen & BODY_BIT != 0) {
            (true, _) => OF_BODY | 1 << CANARY,
            (false, true) => !OF_BODY,
            (false, false) => u8::MAX,
        };
        if bit & allowed & !seen == 0 {
            return None;
        }
        scanner.byte(b':')?;
        scanner.blank();
        match scanner.peek()? {
            b'"' if bit & STRINGS != 0 => *strings.get_mut(key)? = scanner.string()?,
            b'{' if bit == BODY_BIT && seen & OF_BODY == 0 => {
                in_body = true;
                seen |= bit;
                scanner.at += 1;
                continue 'fields;
            }
            _ if bit & NUMBERS != 0 => *numbers.get_mut(key)? = scanner.whole()?,
            _ => return None,
        }
        seen |= bit;
        loop {
            if scanner.byte(b',').is_some() {
                scanner.blank();
                continue 'fields;
            }
            scanner.byte(b'}')?;
            if !in_body {
                break 'fields;
            }
            in_body = false;
        }
    }
    let _ = scanner.byte(b'\r');
    if !matches!(scanner.peek(), None | Some(b'\n')) || strings[TYPE] != "get_users" {
        return None;
    }
    let string = |key: usize| (seen & 1 << key != 0).then_some(strings[key]);
    let too_long = |key: &usize| strings[*key].len() > KEY_BYTES_MAX;
    if [SRC, DEST, USER_ID].iter().any(too_long) {
        return None;
    }
    let canary = match seen & 1 << CANARY {
        0 => None,
        _ => Some(share(numbers[CANARY])?),
    };
    let message = GetUsers {
        src: string(SRC),
        dest: string(DEST),
        msg_id: (seen & 1 << MSG_ID != 0).then_some(numbers[MSG_ID]),
        user_id: string(USER_ID),
        canary,
    };
    // No line that it takes can be over the limit: every field is there once, and short.
    Some((message, scanner.at))
}

/// The keys that a message may hold.
const SRC: usize = 0;
const DEST: usize = 1;
const BODY: usize = 2;
const TYPE: usize = 3;
const MSG_ID: usize = 4;
const USER_ID: usize = 5;
const CANARY: usize = 6;

const BODY_BIT: u8 = 1 << BODY;

/// The fields of the body; a line without `body` holds them itself.
const OF_BODY: u8 = 1 << TYPE | 1 << MSG_ID | 1 << USER_ID;

const STRINGS: u8 = 1 << SRC | 1 << DEST | 1 << TYPE | 1 << USER_ID;

const NUMBERS: u8 = 1 << MSG_ID | 1 << CANARY;

fn share(percent: u64) -> Option<Share> {
    u16::try_from(percent.checked_mul(100)?).ok().and_then(Share::from_buckets)
}

struct Scanner<'l> {
    text: &'l str,
    at: usize,
}

impl<'l> Scanner<'l> {
    #[inline(always)]
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    #[inline(always)]
    fn byte(&mut self, wanted: u8) -> Option<()> {
        (self.peek()? == wanted).then(|| self.at += 1)
    }

    #[inline(always)]
    fn literal<const N: usize>(&mut self, wanted: &[u8; N]) -> Option<()> {
        (self.text.as_bytes().get(self.at..)?.first_chunk::<N>()? == wanted).then(|| self.at += N)
    }

    #[inline(always)]
    fn blank(&mut self) {
        self.at += usize::from(self.peek() == Some(b' '));
    }

    /// The next eight bytes, the first in the lowest place; zeros beyond the end.
    #[inline(always)]
    fn word(&self) -> u64 {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        match rest.first_chunk::<8>() {
            Some(eight) => u64::from_le_bytes(*eight),
            None => rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
        }
    }

    /// A known key, told by its bytes with the quote that closes it.
    #[inline(always)]
    fn key(&mut self) -> Option<usize> {
        self.byte(b'"')?;
        let word = self.word();
        let is = |key: &[u8]| word & mask(key.len()) == bytes_as_word(key);
        let (key, len) = if is(b"src\"") {
            (SRC, 4)
        } else if is(b"dest\"") {
            (DEST, 5)
        } else if is(b"body\"") {
            (BODY, 5)
        } else if is(b"type\"") {
            (TYPE, 5)
        } else if is(b"msg_id\"") {
            (MSG_ID, 7)
        } else if is(b"user_id\"") {
            (USER_ID, 8)
        } else if is(b"canary_p") {
            self.at += 8;
            self.literal(b"ercentage\"")?;
            (CANARY, 0)
        } else {
            return None;
        };
        self.at += len;
        Some(key)
    }

    /// A string without escapes and control characters.
    #[inline(always)]
    fn string(&mut self) -> Option<&'l str> {
        self.byte(b'"')?;
        let from = self.at;
        loop {
            // The zeros beyond the end are control characters: this comes to an end.
            match stops(self.word()) {
                0 => self.at += 8,
                stops => {
                    self.at += (stops.trailing_zeros() / 8) as usize;
                    break;
                }
            }
        }
        let to = self.at;
        self.byte(b'"')?;
        // Both ends stand beside an ASCII quote, so they are character boundaries.
        self.text.get(from..to)
    }

    /// A number of at most 18 digits, without sign, point, exponent or leading zero.
    #[inline(always)]
    fn whole(&mut self) -> Option<u64> {
        let from = self.at;
        let mut number = 0;
        let end = loop {
            let byte = self.peek()?;
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                break byte;
            }
            if self.at - from >= 18 {
                return None;
            }
            number = number * 10 + u64::from(digit);
            self.at += 1;
        };
        let len = self.at - from;
        let leading_zero = len > 1 && self.text.as_bytes().get(from) == Some(&b'0');
        (len > 0 && !leading_zero && (end == b',' || end == b'}')).then_some(number)
    }
}

const fn mask(bytes: usize) -> u64 {
    u64::MAX >> (64 - 8 * bytes)
}

#[inline(always)]
const fn bytes_as_word(bytes: &[u8]) -> u64 {
    let mut word = 0;
    let mut at = bytes.len();
    while at > 0 {
        at -= 1;
        word = word << 8 | bytes[at] as u64;
    }
    word
}

/// The top bit of each byte that ends a plain string: a quote, a backslash, a control
/// character. Only the lowest bit set is sure, for a borrow may mark bytes above it
/// (Anderson, *Bit Twiddling Hacks*: "determine if a word has a byte less than n").
#[inline(always)]
fn stops(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    const TOPS: u64 = ONES << 7;
    let zero = |word: u64| word.wrapping_sub(ONES) & !word;
    let quote = zero(word ^ (ONES * b'"' as u64));
    let backslash = zero(word ^ (ONES * b'\\' as u64));
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    (quote | backslash | control) & TOPS
}

#[cfg(test)]
#[path = "scan/tests.rs"]
mod tests;
