//! Where a server is, and how well what is sent there is protected on its way.

use std::fmt;
use std::net::IpAddr;

use ureq::http::Uri;
use ureq::http::uri::Authority;

/// The address of a server: a scheme, a host and a port, and perhaps a path below which
/// its API is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    https: bool,
    authority: Authority,
    /// Empty, or begins with a slash and does not end in one.
    path: String,
}

/// How well a channel keeps what is sent, worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Protection {
    /// Anyone on the way can read it.
    Plain,
    /// It does not leave this machine.
    Loopback,
    /// TLS.
    Encrypted,
}

impl Address {
    /// Reads `http://127.0.0.1:7400` or `https://crossfade.example.com`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn read(text: &str) -> Result<Address, String> {
        let uri: Uri = text
            .trim()
            .parse()
            .map_err(|error| format!("{error}: an address is such as http://127.0.0.1:7400"))?;
        let https = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err("it should begin with http:// or https://".to_owned()),
        };
        let authority = uri.authority().cloned().ok_or("the host is missing")?;
        if authority.as_str().contains('@') {
            // It would be seen in the list of processes, and in messages.
            return Err("a password has no place here: a token comes from a file".to_owned());
        }
        if uri.query().is_some() {
            return Err("it should end before the `?`".to_owned());
        }
        Ok(Address { https, authority, path: uri.path().trim_end_matches('/').to_owned() })
    }

    /// The whole address of something below this one.
    pub(super) fn join(&self, path_and_query: &str) -> String {
        format!("{self}{path_and_query}")
    }

    /// Where `location` leads, seen from `path_and_query` below this address: the server
    /// that has the same thing.
    pub(super) fn moved(&self, location: &str, path_and_query: &str) -> Option<Address> {
        let at = location.strip_suffix(path_and_query).unwrap_or(location);
        // A path alone is this server, which has just said that it is not the one.
        Address::read(at).ok().filter(|address| address != self)
    }

    /// How well the channel to it is protected.
    pub(super) fn protection(&self) -> Protection {
        match (self.https, self.is_loopback()) {
            (true, _) => Protection::Encrypted,
            (false, true) => Protection::Loopback,
            (false, false) => Protection::Plain,
        }
    }

    /// Whether it is this machine.
    pub(super) fn is_loopback(&self) -> bool {
        let host = self.authority.host().trim_start_matches('[').trim_end_matches(']');
        host.eq_ignore_ascii_case("localhost")
            || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written() {
        for (text, expected) in [
            ("http://127.0.0.1:7400", Some("http://127.0.0.1:7400")),
            ("http://127.0.0.1:7400/", Some("http://127.0.0.1:7400")),
            ("https://api.example.com/crossfade/", Some("https://api.example.com/crossfade")),
            ("http://[::1]:7400", Some("http://[::1]:7400")),
            ("127.0.0.1:7400", None),
            ("ftp://127.0.0.1", None),
            ("http://", None),
            ("http://me:secret@127.0.0.1:7400", None),
            ("http://127.0.0.1:7400/?a=b", None),
            ("", None),
        ] {
            let address = Address::read(text).ok().map(|address| address.to_string());
            assert_eq!(address.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn protection_is_that_of_the_channel() {
        for (text, expected) in [
            ("https://10.0.0.5:7400", Protection::Encrypted),
            ("https://127.0.0.1:7400", Protection::Encrypted),
            ("http://127.8.9.1:7400", Protection::Loopback),
            ("http://[::1]:7400", Protection::Loopback),
            ("http://LOCALHOST:7400", Protection::Loopback),
            ("http://10.0.0.5:7400", Protection::Plain),
            ("http://localhost.example.com", Protection::Plain),
            ("http://127.0.0.1.example.com", Protection::Plain),
        ] {
            assert_eq!(Address::read(text).unwrap().protection(), expected, "{text}");
        }
        assert!(Protection::Plain < Protection::Loopback);
        assert!(Protection::Loopback < Protection::Encrypted);
    }

    #[test]
    fn the_leader_is_the_server_before_the_path() {
        let ours = Address::read("http://127.0.0.1:7401").unwrap();
        let path = "/v1/clients?limit=2";
        for (location, expected) in [
            ("http://127.0.0.1:7400/v1/clients?limit=2", Some("http://127.0.0.1:7400")),
            ("http://127.0.0.1:7400", Some("http://127.0.0.1:7400")),
            ("http://127.0.0.1:7401/v1/clients?limit=2", None),
            ("/v1/clients?limit=2", None),
            ("not an address", None),
        ] {
            let moved = ours.moved(location, path).map(|address| address.to_string());
            assert_eq!(moved.as_deref(), expected, "{location}");
        }
    }
}
