//! What stands behind the options: names and addresses as the other proxies take them.
//!
//! A mistake is found here, and not by whoever reads the file.

use std::net::SocketAddr;

use crate::export::kubernetes::{is_label, is_object_name};

/// A header's name, in lower case.
pub(super) fn header_name(text: &str) -> Result<String, String> {
    // RFC 9110, section 5.6.2: token.
    let is_token = |c: u8| c.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&c);
    let is_name = !text.is_empty() && text.bytes().all(is_token);
    // Envoy makes `:authority` of it.
    match is_name && !text.eq_ignore_ascii_case("host") {
        true => Ok(text.to_ascii_lowercase()),
        false => Err("not a header's name, such as x-api-version".to_owned()),
    }
}

/// The beginning of a path. Queries are no part of what is matched.
pub(super) fn path(text: &str) -> Result<String, String> {
    let is_path = |c: u8| c.is_ascii_graphic() && !b"?#".contains(&c);
    match text.starts_with('/') && text.bytes().all(is_path) {
        true => Ok(text.to_owned()),
        false => Err("not a path, such as /users".to_owned()),
    }
}

/// Anything but nothing.
pub(super) fn some(text: &str) -> Result<String, String> {
    match text.trim().is_empty() {
        true => Err("empty".to_owned()),
        false => Ok(text.to_owned()),
    }
}

/// A host as Envoy's `domains` have it: with a port or not, and one `*` at either end.
pub(super) fn domain(text: &str) -> Result<String, String> {
    let bare = text.strip_prefix('*').or_else(|| text.strip_suffix('*')).unwrap_or(text);
    let is_host = |c: u8| c.is_ascii_graphic() && !b"*/?#@".contains(&c);
    match !text.is_empty() && bare.bytes().all(is_host) {
        true => Ok(text.to_owned()),
        false => Err("not a host, such as api.example.com, *.example.com or *".to_owned()),
    }
}

pub(super) fn object_name(text: &str) -> Result<String, String> {
    let what = "not a name that Kubernetes takes: lower-case letters, digits, `-` and `.`";
    is_object_name(text).then(|| text.to_owned()).ok_or_else(|| what.to_owned())
}

pub(super) fn namespace(text: &str) -> Result<String, String> {
    let what = "not a namespace: up to 63 lower-case letters, digits and `-`";
    is_label(text).then(|| text.to_owned()).ok_or_else(|| what.to_owned())
}

/// A host as the Gateway API has it: `*.` before it or not, and no port.
pub(super) fn hostname(text: &str) -> Result<String, String> {
    let what = "not a host without a port, such as api.example.com or *.example.com";
    let bare = text.strip_prefix("*.").unwrap_or(text);
    is_object_name(bare).then(|| text.to_owned()).ok_or_else(|| what.to_owned())
}

pub(super) fn cluster(text: &str) -> Result<(String, String), String> {
    pair(text).ok_or_else(|| "not VERSION=CLUSTER, such as v2=users-v2".to_owned())
}

pub(super) fn versioned_address(text: &str) -> Result<(String, (String, u16)), String> {
    let (version, place) = pair(text).ok_or("not VERSION=HOST:PORT, such as v2=10.0.0.2:8080")?;
    Ok((version, address(&place)?))
}

pub(super) fn versioned_service(text: &str) -> Result<(String, (String, u16)), String> {
    let wrong = || "not VERSION=SERVICE:PORT, such as v2=users-v2:8080".to_owned();
    let (version, place) = pair(text).ok_or_else(wrong)?;
    let (service, port) = place.rsplit_once(':').ok_or_else(wrong)?;
    let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?;
    if !is_label(service) {
        return Err(format!(
            "`{service}` is not a service's name: up to 63 lower-case letters, digits and `-`"
        ));
    }
    Ok((version, (service.to_owned(), port)))
}

fn pair(text: &str) -> Option<(String, String)> {
    let (version, name) = text.split_once('=')?;
    (!version.is_empty() && !name.is_empty()).then(|| (version.to_owned(), name.to_owned()))
}

/// Host and port, with or without the `http://` that people put before them.
pub(super) fn address(text: &str) -> Result<(String, u16), String> {
    let wrong = || format!("`{text}` is not HOST:PORT, such as 10.0.0.2:8080");
    let bare = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
    let (host, port) = bare.rsplit_once(':').ok_or_else(wrong)?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?;
    let is_host = |c: u8| c.is_ascii_graphic() && !b"/?#@".contains(&c);
    if host.is_empty() || !host.bytes().all(is_host) {
        return Err(wrong());
    }
    Ok((host.to_owned(), port))
}

/// Where to listen: an address, for Envoy resolves no names there.
pub(super) fn listen(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "not ADDRESS:PORT, such as 127.0.0.1:8080 or [::]:8080".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check<T: std::fmt::Debug>(
        read: impl Fn(&str) -> Result<T, String>,
        right: &[&str],
        wrong: &[&str],
    ) {
        right.iter().for_each(|text| drop(read(text).expect(text)));
        wrong.iter().for_each(|text| drop(read(text).expect_err(text)));
    }

    #[test]
    fn addresses_are_host_and_port() {
        assert_eq!(address("10.0.0.2:8080"), Ok(("10.0.0.2".to_owned(), 8080)));
        assert_eq!(address("http://control:9000/"), Ok(("control".to_owned(), 9000)));
        assert_eq!(address("[::1]:80"), Ok(("::1".to_owned(), 80)));
        let wrong = ["", "host", "host:", "host:0", "host:70000", ":80", "a/b:80", "a b:80"];
        check(address, &[], &wrong);
        check(listen, &["0.0.0.0:80", "[::1]:0"], &["localhost:80", "80", ":80", "1.2.3.4"]);
    }

    #[test]
    fn names_are_those_that_the_proxies_take() {
        check(header_name, &["x-a", "X_B"], &["", "a b", ":path", "host", "Host", "é"]);
        check(path, &["/", "/v1/users", "/%20"], &["", "users", "/a b", "/a?b", "/a#b"]);
        check(some, &["x"], &["", " "]);
        check(domain, &["*", "*.a.b", "a.*", "a:80", "[::1]"], &["", "a b", "a/b", "*.a.*"]);
        check(object_name, &["users", "a.b-2", "1"], &["", "A", "a_b", "-a", "a-", "a..b", "é"]);
        check(namespace, &["team-1"], &["", "a.b", "N S"]);
        check(hostname, &["a.b", "*.a.b"], &["*", "a:80", "a b", "A", "a.*"]);
        let longest = "a".repeat(63);
        check(namespace, &[&longest], &[&format!("{longest}a")]);
    }

    #[test]
    fn places_of_versions_are_pairs() {
        check(cluster, &["v1=a"], &["", "v1", "=a", "v1="]);
        check(versioned_address, &["v1=a:1"], &["v1", "v1=a", "v1=:1", "v1=a:0"]);
        let wrong = ["v1", "v1=a", "v1=A:1", "v1=a.b:1", "v1=a:x"];
        check(versioned_service, &["v1=users-v1:80"], &wrong);
    }
}
