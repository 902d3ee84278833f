//! Cookies: one value out of a `cookie` header.

/// The value of the cookie of this name, without the quotes around it.
///
/// Cookies stand as `name=value`, with `;` between them (RFC 6265, 4.2.1); names are
/// compared byte by byte. A name that is there twice has no value: browsers and servers
/// differ on which would count.
pub(crate) fn find<'h>(header: &'h [u8], name: &[u8]) -> Option<&'h [u8]> {
    let mut found = None;
    for pair in header.split(|byte| *byte == b';') {
        let Some(equals) = pair.iter().position(|byte| *byte == b'=') else { continue };
        let (this, value) = pair.split_at(equals);
        if this.trim_ascii() != name {
            continue;
        }
        if found.is_some() {
            return None;
        }
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        let quoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
        found = Some(quoted.unwrap_or(value));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(header: &str, expected: Option<&str>) {
        assert_eq!(find(header.as_bytes(), b"uid"), expected.map(str::as_bytes), "{header}");
    }

    #[test]
    fn a_cookie_is_found_among_others() {
        check("uid=7", Some("7"));
        check("a=b; uid=7; c=d", Some("7"));
        check("a=b;uid=7;c=d", Some("7"));
        check("  a=b ;  uid = 7 ; ", Some("7"));
        check("xuid=1; uid=7; uidx=2", Some("7"));
        check("a=uid=8; uid=7", Some("7"));
    }

    #[test]
    fn values_are_taken_as_they_stand() {
        check("uid=a=b==", Some("a=b=="));
        check("uid=\"quoted\"", Some("quoted"));
        check("uid=\"half", Some("\"half"));
        check("uid=\"", Some("\""));
        check("uid=\"\"", Some(""));
        check("uid=a%20b", Some("a%20b"));
        check("uid=", Some(""));
        assert_eq!(find(b"a=\xff; uid=\xfe\x00", b"uid"), Some(&b"\xfe\x00"[..]));
    }

    #[test]
    fn odd_headers_have_no_such_cookie() {
        for header in ["", ";", ";;;", "uid", "uid; a=b", "=uid", "=", "UID=7", "a=b, uid=7"] {
            check(header, None);
        }
    }

    #[test]
    fn a_cookie_that_is_there_twice_has_no_value() {
        check("uid=7; uid=8", None);
        check("uid=7; a=b; uid=7", None);
        check("uid=7; uid=8; uid=9", None);
    }
}
