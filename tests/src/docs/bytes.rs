//! Bytes that a page cannot show, as it writes them: `⟨0d⟩`, `⟨[ × 100000⟩`, `⟨end⟩`.

/// The bytes of a line as it is sent. A newline follows unless it ends in `⟨end⟩`.
///
/// `⟨ef bb bf⟩` are the bytes with these hexadecimal values, `⟨x × 3⟩` is `xxx`.
/// `None` for a mark that is none of these.
pub(super) fn line(written: &str) -> Option<Vec<u8>> {
    let (mut rest, newline) = match written.strip_suffix("⟨end⟩") {
        Some(rest) => (rest, &b""[..]),
        None => (written, &b"\n"[..]),
    };
    let mut bytes = Vec::new();
    while let Some((plain, tail)) = rest.split_once('⟨') {
        let (mark, tail) = tail.split_once('⟩')?;
        bytes.extend_from_slice(plain.as_bytes());
        bytes.extend(marked(mark)?);
        rest = tail;
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes.extend_from_slice(newline);
    Some(bytes)
}

fn marked(mark: &str) -> Option<Vec<u8>> {
    if let Some((text, times)) = mark.split_once(" × ") {
        return Some(text.repeat(times.parse().ok()?).into_bytes());
    }
    let byte = |digits: &str| u8::from_str_radix(digits, 16).ok().filter(|_| digits.len() == 2);
    mark.split(' ').map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn marks_stand_for_bytes() {
        assert_eq!(line("a⟨0d⟩").as_deref(), Some(&b"a\r\n"[..]));
        assert_eq!(line("⟨ef bb bf⟩{}").as_deref(), Some(&b"\xef\xbb\xbf{}\n"[..]));
        assert_eq!(line("⟨ab × 3⟩⟨end⟩").as_deref(), Some(&b"ababab"[..]));
        assert_eq!(line("").as_deref(), Some(&b"\n"[..]));
    }

    #[test]
    fn a_mark_that_means_nothing_is_none() {
        for written in ["⟨⟩", "⟨d⟩", "⟨zz⟩", "⟨x × many⟩", "⟨0d", "⟨0d0a⟩"] {
            assert_eq!(line(written), None, "{written}");
        }
    }
}
