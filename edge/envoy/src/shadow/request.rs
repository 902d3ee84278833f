//! A request as it is mirrored.

use std::rc::Rc;

use crossfade_core::protocol::json;

use super::{BODY_BYTES_MAX, Shade};
use crate::host::Host;

/// Marks a request that is mirrored: whoever gets it knows that nobody waits.
pub(super) const MARK: &str = "x-crossfade-shadow";

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

/// What a route may have rewritten, as the client sent it.
const ORIGINAL_PATH: &str = "x-envoy-original-path";

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
    /// The request at hand, which was answered with this status.
    pub(super) fn of(
        host: &impl Host,
        shade: &Rc<Shade>,
        version_header: &str,
        status: u16,
    ) -> Taken {
        let headers = host.request_headers();
        let find = |name: &str| {
            headers.iter().find(|(known, _)| known == name.as_bytes()).map(|(_, value)| value)
        };
        let method = find(":method").map_or(&[][..], Vec::as_slice);
        let asked = shade.methods.iter().any(|known| known.as_bytes() == method);
        let body = find("transfer-encoding").is_some()
            || find("content-length").is_some_and(|length| length != b"0");
        if !asked || body || find("upgrade").is_some() || find(MARK).is_some() {
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
        let original = find(ORIGINAL_PATH).cloned();
        let mut sent = Vec::with_capacity(headers.len());
        let mut bytes = 0_usize;
        for (name, value) in headers {
            // A header that cannot be passed on could make another answer.
            let (Ok(name), Ok(value)) = (String::from_utf8(name), String::from_utf8(value)) else {
                return Taken::Unfit;
            };
            if is_left(&name) || name == version_header {
                continue;
            }
            let value = match (&original, name.as_str()) {
                (Some(path), ":path") => String::from_utf8_lossy(path).into_owned(),
                _ => value,
            };
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
