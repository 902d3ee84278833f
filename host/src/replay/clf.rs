//! Apache's and nginx's "common" and "combined" formats:
//!
//! `address ident user [time] "request" status bytes "referer" "user agent"`
//!
//! What follows the user agent is other people's extension and is not looked at. Quotes
//! inside a quoted part are written `\"` (Apache) or `\x22` (nginx).

use super::entry::{BadLine, status};
use super::time;

/// One line, its parts as they stand in it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Clf<'a> {
    pub(super) address: &'a [u8],
    pub(super) user: &'a [u8],
    pub(super) time_ms: u64,
    pub(super) request: &'a [u8],
    pub(super) status: Option<u16>,
    pub(super) referer: Option<&'a [u8]>,
    pub(super) agent: Option<&'a [u8]>,
}

impl<'a> Clf<'a> {
    pub(super) fn read(line: &'a [u8]) -> Result<Clf<'a>, BadLine> {
        let expected = |expected| BadLine::Clf { expected };
        let (address, rest) = split_at_byte(line, b' ')
            .filter(|(address, _)| !address.is_empty())
            .ok_or(expected("client address at the start"))?;
        let (_ident, rest) = split_at_byte(rest, b' ').ok_or(expected("user"))?;
        // A user name may hold spaces, so it reaches to the time.
        let (user, rest) = split_at(rest, b" [").ok_or(expected("time in brackets"))?;
        let (time, rest) = split_at_byte(rest, b']').ok_or(expected("time in brackets"))?;
        let time_ms =
            time::clf(time).ok_or_else(|| BadLine::Time { value: super::text::shown(time, 40) })?;
        let (request, rest) = quoted(rest).ok_or(expected("request in quotes"))?;
        let rest = rest.strip_prefix(b" ").ok_or(expected("status after the request"))?;
        let (code, rest) = split_at_byte(rest, b' ').unwrap_or((rest, b""));
        let status =
            status(code).ok_or_else(|| BadLine::Status { value: super::text::shown(code, 40) })?;
        let (_bytes, rest) = split_at_byte(rest, b' ').unwrap_or((rest, b""));
        let (referer, rest) = match quoted(rest) {
            Some((referer, rest)) => (Some(referer), rest),
            None => (None, rest),
        };
        let agent = quoted(rest).map(|(agent, _)| agent);
        Ok(Clf { address, user, time_ms, request, status, referer, agent })
    }

    /// Method and path of the request line, as far as it has them: clients send what
    /// they like, and servers log it.
    pub(super) fn request_words(&self) -> (Option<&'a [u8]>, Option<&'a [u8]>) {
        let mut words = self.request.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
        (words.next(), words.next())
    }

    /// A part by its name.
    pub(super) fn field(&self, name: &str) -> Option<&'a [u8]> {
        match name {
            "address" | "client" => Some(self.address),
            "user" => Some(self.user),
            "agent" => self.agent,
            "referer" => self.referer,
            "request" => Some(self.request),
            "method" => self.request_words().0,
            "path" => self.request_words().1,
            _ => None,
        }
    }
}

fn split_at_byte(text: &[u8], byte: u8) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|b| *b == byte)?;
    Some((&text[..at], &text[at + 1..]))
}

fn split_at<'a>(text: &'a [u8], mark: &[u8; 2]) -> Option<(&'a [u8], &'a [u8])> {
    let at = text.windows(2).position(|window| window == mark)?;
    Some((&text[..at], &text[at + 2..]))
}

/// The text between quotes after any spaces, and what follows it.
fn quoted(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = text.trim_ascii_start().strip_prefix(b"\"")?;
    let mut at = 0;
    loop {
        match text.get(at)? {
            b'"' => return Some((&text[..at], &text[at + 1..])),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: u64 = 1_431_857_103_000;

    fn check(line: &str, expected: Clf<'_>) {
        assert_eq!(Clf::read(line.as_bytes()).unwrap(), expected, "{line}");
    }

    fn fails(line: &str, expected: &str) {
        let error = Clf::read(line.as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), expected, "{line}");
    }

    #[test]
    fn common_and_combined_are_read() {
        let common = Clf {
            address: b"::1",
            user: b"-",
            time_ms: TIME,
            request: b"GET /a HTTP/1.1",
            status: Some(200),
            referer: None,
            agent: None,
        };
        let line = r#"::1 - - [17/May/2015:10:05:03 +0000] "GET /a HTTP/1.1" 200 5"#;
        check(line, common);
        check(
            r#"h ident jane doe [17/May/2015:10:05:03 +0000] "GET /\"x\" HTTP/1.1" 503 - "-" "a \"b\" [c]" 0.005 "extra""#,
            Clf {
                address: b"h",
                user: b"jane doe",
                time_ms: TIME,
                request: br#"GET /\"x\" HTTP/1.1"#,
                status: Some(503),
                referer: Some(b"-"),
                agent: Some(br#"a \"b\" [c]"#),
            },
        );
    }

    #[test]
    fn requests_that_are_no_http_are_requests_all_the_same() {
        for (request, words) in [
            (&b"-"[..], (Some(&b"-"[..]), None)),
            (b"", (None, None)),
            (br"\x16\x03\x01", (Some(&br"\x16\x03\x01"[..]), None)),
            (b"GET  /a  HTTP/1.1", (Some(&b"GET"[..]), Some(&b"/a"[..]))),
        ] {
            let line =
                [br#"h - - [17/May/2015:10:05:03 +0000] ""#, request, br#"" 408 -"#].concat();
            assert_eq!(Clf::read(&line).unwrap().request_words(), words);
        }
    }

    #[test]
    fn a_status_that_is_not_there_is_unknown() {
        for code in ["-", "000", "0"] {
            let line = format!(r#"h - - [17/May/2015:10:05:03 +0000] "-" {code} 0"#);
            assert_eq!(Clf::read(line.as_bytes()).unwrap().status, None);
        }
    }

    #[test]
    fn each_missing_part_is_named() {
        fails("", "no client address at the start");
        fails(" - - [", "no client address at the start");
        fails("nonsense", "no client address at the start");
        fails("h -", "no user");
        fails("h - -", "no time in brackets");
        fails("h - - [17/May/2015:10:05:03 +0000", "no time in brackets");
        fails("h - - [today] \"GET", "`today` is not a time");
        fails("h - - [17/May/2015:10:05:03 +0000] GET", "no request in quotes");
        fails("h - - [17/May/2015:10:05:03 +0000] \"GET", "no request in quotes");
        fails("h - - [17/May/2015:10:05:03 +0000] \"GET\\\"", "no request in quotes");
        fails("h - - [17/May/2015:10:05:03 +0000] \"GET\"", "no status after the request");
        fails("h - - [17/May/2015:10:05:03 +0000] \"GET\" 20 1", "`20` is not an HTTP status");
        fails("h - - [17/May/2015:10:05:03 +0000] \"GET\" ok 1", "`ok` is not an HTTP status");
    }
}
