//! A request as it is mirrored.

use std::rc::Rc;

use crossfade_core::protocol::json;

use super::{BODY_BYTES_MAX, Shade};
use crate::host::Host;

/// Marks a request that is mirrored: whoever gets it knows that nobody waits. No client can
/// say so, for it is removed from what comes in.
pub(crate) const MARK: &str = "x-crossfade-shadow";

/// Of one connection (RFC 9110, 7.6.1), or about a body that is not sent.
const LEFT: [&str; 12] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "expect",
    "content-length",
    "http2-settings",
];

/// A request that is to be mirrored, from when it came until it is over.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(super) shade: Rc<Shade>,
    /// As it came, before a route rewrites it. `x-envoy-original-path` would say the same
    /// later, or whatever a client wrote there: Envoy leaves it to clients that it holds
    /// for internal.
    path: Vec<u8>,
}

impl Asked {
    /// The request at hand; `None` where it is a copy itself, so that a cluster that leads
    /// back to where it came from makes no circle.
    pub(crate) fn of(host: &impl Host, shade: Rc<Shade>) -> Option<Asked> {
        if host.request_header(MARK).is_some() {
            return None;
        }
        Some(Asked { shade, path: host.request_header(":path").unwrap_or_default() })
    }

    /// Whether that is what this policy asks for.
    pub(crate) fn is_for(&self, shade: &Rc<Shade>) -> bool {
        Rc::ptr_eq(&self.shade, shade)
    }
}

/// A request that waits to be sent, or for its answer.
#[derive(Debug)]
pub(super) struct Mirrored {
    pub(super) shade: Rc<Shade>,
    /// What the old version answered.
    pub(super) status: u16,
    /// Its media type, without parameters and in lower case.
    pub(super) media: Option<String>,
    /// All headers, as they are sent.
    pub(super) headers: Vec<(String, String)>,
    /// What they take.
    pub(super) bytes: usize,
}

/// What is to be done with a request.
#[derive(Debug)]
pub(super) enum Taken {
    /// It is none that is mirrored.
    Not,
    /// It should be mirrored, and cannot be.
    Unfit,
    /// It is mirrored like this.
    Request(Mirrored),
}

impl Mirrored {
    /// The request at hand, which had no body and was answered with this status.
    pub(super) fn of(host: &impl Host, asked: &Asked, version_header: &str, status: u16) -> Taken {
        let Asked { shade, path } = asked;
        let headers = host.request_headers();
        let find = |name: &str| {
            headers.iter().find(|(known, _)| known == name.as_bytes()).map(|(_, value)| value)
        };
        let method = find(":method").map_or(&[][..], Vec::as_slice);
        let wanted = shade.methods.iter().any(|known| known.as_bytes() == method);
        if !wanted || find("upgrade").is_some() {
            return Taken::Not;
        }
        let media = media(host.response_header("content-type").as_deref());
        if media.as_deref() == Some("text/event-stream") {
            return Taken::Not;
        }
        let size = host.property(&["response", "size"]);
        let size = size.and_then(|bytes| Some(u64::from_le_bytes(bytes.try_into().ok()?)));
        if size.unwrap_or_default() > BODY_BYTES_MAX {
            return Taken::Unfit;
        }
        let mut sent = Vec::with_capacity(headers.len());
        let mut bytes = 0_usize;
        for (name, value) in headers {
            let value = if name == b":path" { path.clone() } else { value };
            // A header that cannot be passed on could make another answer.
            let (Ok(name), Ok(value)) = (String::from_utf8(name), String::from_utf8(value)) else {
                return Taken::Unfit;
            };
            if is_left(&name) || name == version_header {
                continue;
            }
            bytes = bytes.saturating_add(name.len()).saturating_add(value.len());
            sent.push((name, value));
        }
        sent.push((version_header.to_owned(), shade.version.clone()));
        sent.push((MARK.to_owned(), "1".to_owned()));
        Taken::Request(Mirrored { shade: Rc::clone(shade), status, media, headers: sent, bytes })
    }

    /// Method and path for the log; queries are left out, and where clients are hashed the
    /// path is too.
    pub(super) fn name(&self) -> String {
        let find = |name: &str| {
            let found = self.headers.iter().find(|(known, _)| known == name);
            found.map_or("", |(_, value)| value.as_str())
        };
        let method = find(":method").to_owned();
        if !self.shade.tells_paths {
            return method;
        }
        let path = find(":path").split(['?', '#']).next().unwrap_or_default();
        format!("{method} {}", json::shown(path))
    }
}

/// Whether a header is not passed on. Those that Envoy made for the old version's upstream
/// are not, nor are pseudo-headers that only some requests have.
fn is_left(name: &str) -> bool {
    let known = [":method", ":path", ":authority", ":scheme"];
    LEFT.contains(&name)
        || name.starts_with("x-envoy-")
        || (name.starts_with(':') && !known.contains(&name))
}

/// A media type without its parameters.
pub(super) fn media(content_type: Option<&[u8]>) -> Option<String> {
    let text = std::str::from_utf8(content_type?).ok()?;
    let media = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    Some(media).filter(|media| !media.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_media_type_has_no_parameters_and_no_case() {
        let media = |text: &str| media(Some(text.as_bytes()));
        assert_eq!(media("Application/JSON; charset=utf-8").as_deref(), Some("application/json"));
        assert_eq!(media("text/html").as_deref(), Some("text/html"));
        assert_eq!((media(""), media(" ; a=b"), super::media(Some(b"\xff"))), (None, None, None));
    }

    #[test]
    fn what_belongs_to_one_connection_stays_there() {
        for name in ["connection", "te", "x-envoy-original-path", ":protocol", "content-length"] {
            assert!(is_left(name), "{name}");
        }
        for name in [":path", "authorization", "cookie", "x-request-id", "accept"] {
            assert!(!is_left(name), "{name}");
        }
    }
}
