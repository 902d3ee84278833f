//! What a client's headers say of the client: its software, and whether it is ready.
//!
//! Both come from the client, so they are cut, and nothing but printable ASCII is taken of a
//! software's name.

use crate::clients::Declared;
use crate::limits::{AGENT_BYTES_MAX, DECLARED_BYTES_MAX};

/// The software in a `user-agent`, as `name/version` or `name`.
///
/// That is the first product of RFC 9110, 10.1.5. A browser's first product is
/// `Mozilla/5.0` whatever it is, so of a browser it is the last that says more: what comes
/// after `Safari/…`, else `Chrome/…` or `Version/…` before it, else the last.
pub fn product(user_agent: &[u8]) -> Option<&str> {
    let mut products = Products(user_agent);
    let first = products.next()?;
    if !first.starts_with("Mozilla/") {
        return Some(first);
    }
    let (mut found, mut named) = (first, false);
    for product in products {
        let name = product.split('/').next().unwrap_or_default();
        match name {
            "AppleWebKit" | "Gecko" | "Mobile" => {}
            "Safari" if named => {}
            _ => {
                named = matches!(name, "Chrome" | "Version" | "CriOS" | "FxiOS" | "HeadlessChrome");
                found = product;
            }
        }
    }
    Some(found)
}

/// What a client declares: `ready`, or `blocked` with a reason after a colon. Anything else
/// is nothing.
pub fn declared(header: &[u8]) -> Option<Declared> {
    let word = header.split(|byte| *byte == b':').next()?;
    let rest = header.get(word.len() + 1..).unwrap_or_default();
    let word = word.trim_ascii();
    if word.eq_ignore_ascii_case(b"ready") && rest.is_empty() {
        return Some(Declared::Ready);
    }
    if !word.eq_ignore_ascii_case(b"blocked") {
        return None;
    }
    // Four times as much is looked at as is kept: a character has four bytes at most.
    let rest = rest.get(..DECLARED_BYTES_MAX * 4).unwrap_or(rest);
    let reason = String::from_utf8_lossy(rest.trim_ascii());
    let mut kept = String::new();
    for c in reason.chars().filter(|c| !c.is_control()) {
        if kept.len() + c.len_utf8() > DECLARED_BYTES_MAX {
            break;
        }
        kept.push(c);
    }
    Some(Declared::Blocked(kept))
}

/// Words of a user agent outside of its comments that look like a product.
struct Products<'a>(&'a [u8]);

impl<'a> Iterator for Products<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let mut depth = 0_usize;
        loop {
            let (byte, rest) = self.0.split_first()?;
            match byte {
                b'(' => depth += 1,
                b')' => depth = depth.saturating_sub(1),
                byte if depth == 0 && is_token(*byte) => {
                    let end = self.0.iter().position(|byte| !is_token(*byte) && *byte != b'/');
                    let (word, rest) = self.0.split_at(end.unwrap_or(self.0.len()));
                    self.0 = rest;
                    // All of it is ASCII.
                    return std::str::from_utf8(word.get(..AGENT_BYTES_MAX).unwrap_or(word)).ok();
                }
                _ => {}
            }
            self.0 = rest;
        }
    }
}

/// Whether a byte may be in a token of RFC 9110, 5.6.2: a letter, a digit, or one of
/// ``!#$%&'*+-.^_`|~``. As ranges, which cost a processor no search.
fn is_token(byte: u8) -> bool {
    matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'|' | b'~')
        || matches!(byte, b'0'..=b'9' | b'A'..=b'Z' | b'^'..=b'z')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(user_agent: &str, expected: Option<&str>) {
        assert_eq!(product(user_agent.as_bytes()), expected, "{user_agent}");
    }

    #[test]
    fn software_is_the_first_product() {
        check("okhttp/4.12.0", Some("okhttp/4.12.0"));
        check("curl/8.5.0 (x86_64) libcurl/8.5.0", Some("curl/8.5.0"));
        check("Go-http-client/1.1", Some("Go-http-client/1.1"));
        check("acme-sync", Some("acme-sync"));
        check("(a comment) billing/2", Some("billing/2"));
        check("  spaces/1", Some("spaces/1"));
    }

    #[test]
    fn a_browser_is_named_by_what_is_its_own() {
        let webkit = "(X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)";
        check(
            &format!("Mozilla/5.0 {webkit} Chrome/120.0.0.0 Safari/537.36"),
            Some("Chrome/120.0.0.0"),
        );
        check(
            &format!("Mozilla/5.0 {webkit} Chrome/120.0.0.0 Safari/537.36 Edg/120.0.1"),
            Some("Edg/120.0.1"),
        );
        check(
            &format!("Mozilla/5.0 {webkit} Version/17.2 Mobile/15E148 Safari/604.1"),
            Some("Version/17.2"),
        );
        check("Mozilla/5.0 (X11; rv:121.0) Gecko/20100101 Firefox/121.0", Some("Firefox/121.0"));
        check("Mozilla/5.0 (compatible; Bot/1.0; +http://x)", Some("Mozilla/5.0"));
    }

    #[test]
    fn hostile_agents_are_short_and_printable_or_nothing() {
        check("", None);
        check("(((((", None);
        check("\u{1b}[31mred/1", Some("31mred/1"));
        check("näme/1", Some("n"));
        let long = "x".repeat(70_000);
        check(&long, Some(&"x".repeat(AGENT_BYTES_MAX)));
        assert_eq!(product(b"\xff\xfe"), None);
        assert_eq!(product(&vec![b'('; 70_000]), None);
    }

    #[test]
    fn a_client_says_ready_or_blocked() {
        assert_eq!(declared(b"ready"), Some(Declared::Ready));
        assert_eq!(declared(b" Ready "), Some(Declared::Ready));
        let blocked = |reason: &str| Some(Declared::Blocked(reason.to_owned()));
        assert_eq!(declared(b"blocked: needs /v1/export"), blocked("needs /v1/export"));
        assert_eq!(declared(b"BLOCKED"), blocked(""));
        assert_eq!(declared(b"blocked:a\x00b\xff"), blocked("ab\u{fffd}"));
        let long = [b"blocked:".as_slice(), &[b'x'; 70_000]].concat();
        assert_eq!(declared(&long), blocked(&"x".repeat(DECLARED_BYTES_MAX)));
        for nothing in [&b""[..], b"readyy", b"ready: or not", b"no", b":"] {
            assert_eq!(declared(nothing), None);
        }
    }
}
