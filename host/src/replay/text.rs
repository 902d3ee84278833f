//! Text from a log, made fit for a terminal: what a stranger sent must not move the
//! cursor, change colours or reorder a line.

use std::fmt::Write as _;

/// Characters that a bad line is shown with at most.
pub(super) const SHOWN_CHARS_MAX: usize = 120;

/// Bytes as visible text: control and direction characters and bytes that are not
/// UTF-8 become `\xHH` or `\u{HHHH}`; at most `chars_max` characters, then `…`.
pub(crate) fn shown(bytes: &[u8], chars_max: usize) -> String {
    let mut out = String::new();
    let mut left = chars_max;
    // A character has at most four bytes, so the rest is never looked at.
    let head = bytes.get(..chars_max.saturating_mul(4)).unwrap_or(bytes);
    for chunk in head.utf8_chunks() {
        for character in chunk.valid().chars() {
            if left == 0 {
                out.push('…');
                return out;
            }
            left -= 1;
            push_shown(&mut out, character);
        }
        for byte in chunk.invalid() {
            if left == 0 {
                out.push('…');
                return out;
            }
            left -= 1;
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    if head.len() < bytes.len() {
        out.push('…');
    }
    out
}

/// A text of several lines, as [`shown`] shows one: lines stay lines.
pub(crate) fn shown_lines(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' => out.push('\n'),
            _ => push_shown(&mut out, character),
        }
    }
    out
}

/// Bytes as UTF-8, for use as a key: what is not UTF-8 becomes `\xHH`, as Apache itself
/// writes it. Borrows when nothing is to be done.
pub(super) fn utf8(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => {
            let mut out = String::new();
            for chunk in bytes.utf8_chunks() {
                out.push_str(chunk.valid());
                for byte in chunk.invalid() {
                    let _ = write!(out, "\\x{byte:02x}");
                }
            }
            out.into()
        }
    }
}

/// JSON text in which no control character is left as it is, DEL and C1 included, which
/// JSON itself allows. All of them can only stand inside strings.
pub(crate) fn json_escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for character in json.chars() {
        // Line feeds and spaces between tokens are the document's own layout.
        if is_unsafe(character) && character != '\n' {
            let _ = write!(out, "\\u{:04x}", u32::from(character));
        } else {
            out.push(character);
        }
    }
    out
}

fn push_shown(out: &mut String, character: char) {
    match character {
        _ if !is_unsafe(character) => out.push(character),
        '\t' => out.push_str("\\t"),
        _ if u32::from(character) < 0x80 => {
            let _ = write!(out, "\\x{:02x}", u32::from(character));
        }
        _ => {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(character));
        }
    }
}

/// Controls, line separators, marks that turn the direction of writing, and characters
/// of no width (all below U+10000).
fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        for (bytes, expected) in [
            (&b"plain \xC3\xA9"[..], "plain é"),
            (b"\x1b[31mred", "\\x1b[31mred"),
            (b"a\tb\r\x00\x7f", "a\\tb\\x0d\\x00\\x7f"),
            ("\u{9b}31m".as_bytes(), "\\u{9b}31m"),
            ("a\u{202e}b\u{2028}".as_bytes(), "a\\u{202e}b\\u{2028}"),
            (b"\xff\xfe", "\\xff\\xfe"),
        ] {
            assert_eq!(shown(bytes, 80), expected);
        }
    }

    #[test]
    fn long_text_is_cut_at_the_limit() {
        assert_eq!(shown(b"abc", 3), "abc");
        assert_eq!(shown(b"abcd", 3), "abc…");
        assert_eq!(shown("😀😀😀😀".as_bytes(), 3), "😀😀😀…");
        assert_eq!(shown(&[0xff; 10], 3), "\\xff\\xff\\xff…");
        assert_eq!(shown(&[b'x'; 1 << 20], 3), "xxx…");
    }

    #[test]
    fn keys_stay_apart_when_they_are_not_utf_8() {
        assert_eq!(utf8(b"a\xffb"), "a\\xffb");
        assert_ne!(utf8(b"\xfe"), utf8(b"\xff"));
    }

    #[test]
    fn escaped_json_means_the_same() {
        let text = "é\u{7f}\u{9b}\u{202e}\u{1}\n\t";
        let json = json_escaped(&serde_json::to_string_pretty(&[text]).unwrap());
        assert!(json.chars().all(|c| c == '\n' || !is_unsafe(c)), "{json}");
        assert_eq!(serde_json::from_str::<Vec<String>>(&json).unwrap(), [text]);
    }
}
