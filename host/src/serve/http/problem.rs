//! Answers that say what is wrong: problem documents (RFC 9457).

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::AppendHeaders;
use axum::response::{IntoResponse, Response};
use crossfade_protocol::Problem;
use serde::Serialize;

use crate::serve::access::Denied;
use crate::serve::job::Refusal;

/// An answer that is no success.
#[derive(Debug)]
pub(super) struct Answered {
    status: StatusCode,
    detail: String,
    problems: Vec<Problem>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

#[derive(Serialize)]
struct Document<'a> {
    r#type: &'static str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "<[Problem]>::is_empty")]
    problems: &'a [Problem],
}

impl Answered {
    /// With a sentence that says what to do.
    pub(super) fn new(status: u16, detail: impl Into<String>) -> Answered {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Answered { status, detail: detail.into(), problems: Vec::new(), headers: Vec::new() }
    }

    /// With a list of what is wrong, each by its path.
    pub(super) fn with(mut self, problems: Vec<Problem>) -> Answered {
        self.problems = problems;
        self
    }

    /// With a header.
    pub(super) fn header(mut self, name: HeaderName, value: &str) -> Answered {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }
}

impl Answered {
    /// As the last answer on its connection: what else was sent is not read.
    pub(super) fn close(self) -> Answered {
        self.header(header::CONNECTION, "close")
    }
}

impl IntoResponse for Answered {
    fn into_response(self) -> Response {
        let document = Document {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: &self.detail,
            problems: &self.problems,
        };
        // A document of strings can always be written.
        let body = serde_json::to_string(&document).unwrap_or_default();
        let kind = [(header::CONTENT_TYPE, "application/problem+json")];
        (self.status, AppendHeaders(self.headers), kind, body).into_response()
    }
}

impl From<Refusal> for Answered {
    fn from(refusal: Refusal) -> Answered {
        let detail = refusal.to_string();
        match refusal {
            Refusal::Engine { code, .. } => Answered::new(status_of(code), detail),
            Refusal::Revision { .. } => Answered::new(412, detail),
            Refusal::Elsewhere { address: Some(address) } => {
                Answered::new(307, format!("{detail}: it is at {address}"))
                    .header(header::LOCATION, &address)
            }
            Refusal::Elsewhere { address: None } => {
                Answered::new(503, "nobody leads at the moment: come again in a few seconds")
                    .header(header::RETRY_AFTER, "2")
            }
            Refusal::Unavailable(_) | Refusal::Busy => {
                Answered::new(503, detail).header(header::RETRY_AFTER, "1")
            }
            Refusal::Unclear(_) => Answered::new(504, detail).header(header::RETRY_AFTER, "1"),
            Refusal::KeyUsed { .. } => Answered::new(422, detail),
        }
    }
}

/// The protocol's error codes as statuses.
fn status_of(code: u32) -> u16 {
    match code {
        10 => 501,
        11 => 503,
        12 => 422,
        20 => 404,
        22 => 409,
        _ => 500,
    }
}

impl From<Denied> for Answered {
    fn from(denied: Denied) -> Answered {
        match denied {
            Denied::Unknown { .. } => Answered::new(401, denied.to_string())
                .header(header::WWW_AUTHENTICATE, "Bearer realm=\"crossfade\""),
            Denied::Role { .. } => Answered::new(403, denied.to_string()),
        }
    }
}

/// Completes where another server is with what was asked of this one.
pub(super) async fn redirect_whole(request: Request, next: Next) -> Response {
    let asked = request.uri().path_and_query().map(|asked| asked.as_str().to_owned());
    let mut response = next.run(request).await;
    if response.status() == StatusCode::TEMPORARY_REDIRECT
        && let Some(base) = response.headers().get(header::LOCATION)
    {
        let base = base.to_str().unwrap_or_default().trim_end_matches('/');
        let whole = format!("{base}{}", asked.unwrap_or_default());
        if let Ok(whole) = HeaderValue::from_str(&whole) {
            response.headers_mut().insert(header::LOCATION, whole);
        }
    }
    response
}

/// For paths that lead nowhere.
pub(super) async fn not_found(request: Request) -> Answered {
    let path = request.uri().path();
    Answered::new(404, format!("there is no {path}: /v1/openapi.json lists what there is"))
}

/// For methods that a path does not have.
pub(super) async fn wrong_method(request: Request) -> Answered {
    let (method, path) = (request.method(), request.uri().path());
    Answered::new(405, format!("{path} has no {method}: /v1/openapi.json lists what there is"))
}
