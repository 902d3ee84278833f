//! Where in a log line the client key, or an attribute, is found.

use std::borrow::Cow;

use regex::Regex;

use super::entry::{Entry, Part};
use super::names::Names;

/// A piece of a log line: `--key` names the one that tells clients apart.
#[derive(Debug, Clone)]
pub enum Source {
    /// The client's address.
    Address,
    /// Address and user agent, with a space between them.
    AddressAndAgent,
    /// The user agent.
    Agent,
    /// The request's method.
    Method,
    /// The request's path, with its query.
    Path,
    /// A field by name; in JSON lines also a field of a field (`user.id`).
    Field(String),
    /// A request header by name.
    Header(String),
    /// What the first group of a regular expression finds in the path.
    PathMatch(Regex),
}

impl Source {
    /// Reads `address`, `address+agent`, `agent`, `method`, `path`, `field:NAME`,
    /// `header:NAME` or `path:REGEX`.
    ///
    /// # Errors
    /// What is wrong with the text, and what would be right.
    pub fn read(text: &str) -> Result<Source, String> {
        let (kind, name) = match text.split_once(':') {
            Some((kind, name)) => (kind, Some(name)),
            None => (text, None),
        };
        match (kind, name) {
            ("address", None) => Ok(Source::Address),
            ("address+agent", None) => Ok(Source::AddressAndAgent),
            ("agent", None) => Ok(Source::Agent),
            ("method", None) => Ok(Source::Method),
            ("path", None) => Ok(Source::Path),
            ("field", Some(name)) if !name.is_empty() => Ok(Source::Field(name.to_owned())),
            ("header", Some(name)) if !name.is_empty() => Ok(Source::Header(name.to_owned())),
            ("path", Some(pattern)) => {
                let regex = Regex::new(pattern).map_err(|error| error.to_string())?;
                if regex.captures_len() < 2 {
                    return Err(format!(
                        "`{pattern}` has no group: put the key in round brackets, as in \
                         path:^/users/([^/?]+)"
                    ));
                }
                Ok(Source::PathMatch(regex))
            }
            _ => Err("known are address, address+agent, agent, method, path, field:NAME, \
                 header:NAME and path:REGEX"
                .to_owned()),
        }
    }

    /// What the line has there; `None` when it has nothing.
    pub(super) fn find<'e>(&self, entry: &'e Entry<'_>, names: &Names) -> Option<Cow<'e, str>> {
        match self {
            Source::Address => entry.part(Part::Client, names),
            Source::AddressAndAgent => {
                let address = entry.part(Part::Client, names)?;
                let agent = entry.part(Part::Agent, names).unwrap_or("-".into());
                Some(format!("{address} {agent}").into())
            }
            Source::Agent => entry.part(Part::Agent, names),
            Source::Method => entry.part(Part::Method, names),
            Source::Path => entry.part(Part::Path, names),
            Source::Field(name) => entry.field(name),
            Source::Header(name) => entry.header(name, names),
            Source::PathMatch(regex) => {
                let path = entry.part(Part::Path, names)?;
                let found = regex.captures(&path)?.get(1)?.as_str();
                (!found.is_empty()).then(|| found.to_owned().into())
            }
        }
    }
}

impl std::fmt::Display for Source {
    /// As it is given on the command line.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Source::Address => f.write_str("address"),
            Source::AddressAndAgent => f.write_str("address+agent"),
            Source::Agent => f.write_str("agent"),
            Source::Method => f.write_str("method"),
            Source::Path => f.write_str("path"),
            Source::Field(name) => write!(f, "field:{name}"),
            Source::Header(name) => write!(f, "header:{name}"),
            Source::PathMatch(regex) => write!(f, "path:{regex}"),
        }
    }
}

/// An attribute of requests: its name, and where in a line its value is.
#[derive(Debug, Clone)]
pub struct Attribute {
    /// The name that rules use.
    pub name: String,
    /// Where its value is.
    pub source: Source,
}

impl Attribute {
    /// Reads `plan=field:user.plan`.
    ///
    /// # Errors
    /// What is wrong with the text, and what would be right.
    pub fn read(text: &str) -> Result<Attribute, String> {
        match text.split_once('=') {
            Some((name, source)) if !name.is_empty() => {
                Ok(Attribute { name: name.to_owned(), source: Source::read(source)? })
            }
            _ => Err("not NAME=SOURCE, such as plan=field:user.plan".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::entry::LogFormat;
    use super::*;

    const COMBINED: &str = r#"10.0.0.1 - jane [17/May/2015:10:05:03 +0000] "GET /users/42?x=1 HTTP/1.1" 200 5 "https://a/" "agent/1""#;
    const NGINX: &str = r#"{"time_iso8601":"2015-05-17T10:05:03+00:00","remote_addr":"10.0.0.1","status":"200","request_uri":"/users/42","http_user_agent":"agent/1","request_method":"GET"}"#;
    const CADDY: &str = r#"{"ts":1431857103.25,"request":{"remote_ip":"10.0.0.1","method":"GET","uri":"/users/42","headers":{"User-Agent":["agent/1"],"X-User-Id":["u-7"]}},"status":200,"user":{"id":42}}"#;

    fn check(line: &str, source: &str, expected: Option<&str>) {
        let names = Names::default();
        let entry = Entry::read(line.as_bytes(), LogFormat::Auto, &names).unwrap();
        let found = Source::read(source).unwrap().find(&entry, &names);
        assert_eq!(found.as_deref(), expected, "{source} in {line}");
        assert_eq!(entry.status, Some(200));
        assert_eq!(entry.time_ms / 1000, 1_431_857_103);
    }

    #[test]
    fn keys_are_found_in_every_format() {
        for line in [COMBINED, NGINX, CADDY] {
            check(line, "address", Some("10.0.0.1"));
            check(line, "method", Some("GET"));
            check(line, "path:^/users/([^/?]+)", Some("42"));
            check(line, "path:^/orders/(.+)", None);
            check(line, "header:x-nothing", None);
            check(line, "field:nothing", None);
        }
        check(COMBINED, "address+agent", Some("10.0.0.1 agent/1"));
        check(NGINX, "address+agent", Some("10.0.0.1 agent/1"));
        check(COMBINED, "field:user", Some("jane"));
        check(COMBINED, "header:User-Agent", Some("agent/1"));
        check(COMBINED, "header:referer", Some("https://a/"));
        check(COMBINED, "path", Some("/users/42?x=1"));
        check(CADDY, "header:x-user-id", Some("u-7"));
        check(CADDY, "field:user.id", Some("42"));
    }

    #[test]
    fn what_a_server_left_out_is_not_there() {
        let common = r#"10.0.0.1 - - [17/May/2015:10:05:03 +0000] "GET /a HTTP/1.1" 200 5"#;
        check(common, "field:user", None);
        check(common, "agent", None);
        check(common, "address+agent", Some("10.0.0.1 -"));
    }

    #[test]
    fn a_source_that_cannot_work_is_refused() {
        for (text, expected) in [
            ("", "known are"),
            ("adress", "known are"),
            ("field:", "known are"),
            ("address:x", "known are"),
            ("path:^/users/", "has no group"),
            ("path:(", "unclosed group"),
        ] {
            let error = Source::read(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
        assert!(Attribute::read("plan").is_err());
        assert!(Attribute::read("=field:plan").is_err());
        assert!(Attribute::read("plan=field:plan").is_ok());
    }

    #[test]
    fn a_source_is_shown_as_it_was_given() {
        for text in ["address", "address+agent", "field:a.b", "header:X-Id", "path:^/(.)"] {
            assert_eq!(Source::read(text).unwrap().to_string(), text);
        }
    }
}
