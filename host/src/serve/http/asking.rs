//! What handlers are given: who asks, and a body that has been read.

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use axum::http::request::Parts;
use futures_util::StreamExt as _;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize as _, Deserializer};
use tokio::sync::OwnedSemaphorePermit;

use super::limits::BODY_WITHIN;
use super::problem::Answered;
use super::{App, BODY_BYTES_MAX};
use crate::serve::access::{Holder, Role};

/// Who is called so in the audit log when nobody gave a name.
const THIS_MACHINE: &str = "loopback";

/// Somebody who may see.
pub(super) struct Reader;

/// Somebody who may see the policy: a reader or a reporter.
pub(super) struct Edge;

/// Somebody who may report.
pub(super) struct Reporter(pub(super) Option<Holder>);

/// Somebody who may report for every node.
pub(super) struct AnyReporter;

/// Somebody who may change things.
pub(super) struct Operator {
    /// The token's name.
    pub(super) name: String,
}

/// Somebody who may erase what is known of others.
pub(super) struct Admin {
    /// The token's name.
    pub(super) name: String,
}

/// The token in `authorization: Bearer TOKEN`.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

fn admit(app: &App, parts: &Parts, role: Role) -> Result<Option<Holder>, Answered> {
    Ok(app.access().admit(bearer(&parts.headers), role)?.cloned())
}

impl FromRequestParts<App> for Reader {
    type Rejection = Answered;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Reader, Answered> {
        admit(app, parts, Role::Read).map(|_| Reader)
    }
}

impl FromRequestParts<App> for Edge {
    type Rejection = Answered;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Edge, Answered> {
        match admit(app, parts, Role::Report) {
            Ok(_) => Ok(Edge),
            Err(_) => admit(app, parts, Role::Read).map(|_| Edge),
        }
    }
}

impl FromRequestParts<App> for Reporter {
    type Rejection = Answered;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Reporter, Answered> {
        admit(app, parts, Role::Report).map(Reporter)
    }
}

impl FromRequestParts<App> for AnyReporter {
    type Rejection = Answered;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<AnyReporter, Answered> {
        match admit(app, parts, Role::Report)?.filter(Holder::is_bound) {
            None => Ok(AnyReporter),
            Some(holder) => Err(Answered::new(
                403,
                format!(
                    "the token `{}` reports for one node only, and outcomes name none: send totals",
                    holder.name
                ),
            )),
        }
    }
}

impl FromRequestParts<App> for Operator {
    type Rejection = Answered;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Operator, Answered> {
        let holder = admit(app, parts, Role::Operate)?;
        let name = holder.map_or_else(|| THIS_MACHINE.to_owned(), |holder| holder.name);
        Ok(Operator { name })
    }
}

impl FromRequestParts<App> for Admin {
    type Rejection = Answered;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Admin, Answered> {
        let holder = admit(app, parts, Role::Admin)?;
        let name = holder.map_or_else(|| THIS_MACHINE.to_owned(), |holder| holder.name);
        Ok(Admin { name })
    }
}

/// A body that says it is JSON.
pub(super) struct JsonBody(pub(super) Body);

impl FromRequest<App> for JsonBody {
    type Rejection = Answered;

    async fn from_request(request: Request, app: &App) -> Result<JsonBody, Answered> {
        let kind = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let kind = kind.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        // A page in a browser cannot send this type to another origin unasked.
        if !kind.eq_ignore_ascii_case("application/json") {
            let detail = format!("content-type `{kind}`: send application/json");
            return Err(Answered::new(415, detail));
        }
        Body::from_request(request, app).await.map(JsonBody)
    }
}

/// A JSON body. An empty one is `{}`.
pub(super) struct Json<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<App> for Json<T> {
    type Rejection = Answered;

    async fn from_request(request: Request, app: &App) -> Result<Json<T>, Answered> {
        let body = JsonBody::from_request(request, app).await?.0;
        let text = if body.bytes.trim_ascii().is_empty() { b"{}" } else { body.bytes.as_slice() };
        let wrong = |place: String, error: &serde_json::Error| {
            let status = if error.is_data() { 422 } else { 400 };
            Answered::new(status, format!("the body is not what is read here: {place}{error}"))
        };
        let mut reader = serde_json::Deserializer::from_slice(text);
        let read = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
            let path = error.path().to_string();
            let place = if path == "." { String::new() } else { format!("{path}: ") };
            wrong(place, error.inner())
        })?;
        // A second document after the first would go unnoticed.
        reader.end().map_err(|error| wrong(String::new(), &error))?;
        Ok(Json(read))
    }
}

/// A body of up to so many bytes. While it is held, its bytes count to those in hand.
pub(super) struct BodyUpTo<const MAX: usize> {
    pub(super) bytes: Vec<u8>,
    held: Option<OwnedSemaphorePermit>,
}

/// A body of the usual size.
pub(super) type Body = BodyUpTo<BODY_BYTES_MAX>;

impl<const MAX: usize> FromRequest<App> for BodyUpTo<MAX> {
    type Rejection = Answered;

    async fn from_request(request: Request, app: &App) -> Result<BodyUpTo<MAX>, Answered> {
        let said = request.headers().get(CONTENT_LENGTH).and_then(|said| said.to_str().ok());
        if said.and_then(|said| said.parse::<usize>().ok()).is_some_and(|said| said > MAX) {
            return Err(too_large(MAX));
        }
        let late = || {
            let seconds = BODY_WITHIN.as_secs();
            let detail = format!("the body was not there within {seconds} seconds of its head");
            Answered::new(408, detail).close()
        };
        let body = tokio::time::timeout(BODY_WITHIN, Self::read(request, app)).await;
        body.unwrap_or_else(|_| Err(late()))
    }
}

impl<const MAX: usize> BodyUpTo<MAX> {
    async fn read(request: Request, app: &App) -> Result<BodyUpTo<MAX>, Answered> {
        let mut body = BodyUpTo { bytes: Vec::new(), held: None };
        let mut parts = request.into_body().into_data_stream();
        while let Some(part) = parts.next().await {
            let part =
                part.map_err(|error| Answered::new(400, format!("the body broke off: {error}")))?;
            if body.bytes.len() + part.len() > MAX {
                return Err(too_large(MAX));
            }
            body.hold(part.len(), app)?;
            body.bytes.extend_from_slice(&part);
        }
        Ok(body)
    }

    fn hold(&mut self, bytes: usize, app: &App) -> Result<(), Answered> {
        app.limits().hold(&mut self.held, bytes).ok_or_else(|| {
            Answered::new(503, "too many bodies are in hand: come again in a second")
                .header(RETRY_AFTER, "1")
                .close()
        })
    }
}

fn too_large(max: usize) -> Answered {
    Answered::new(413, format!("the body is over {} MiB", max >> 20)).close()
}

/// A whole number in a query, up to what every client can say.
///
/// # Errors
/// It is none, or over that.
pub(super) fn whole<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    let number = Option::<u64>::deserialize(from)?;
    match number.filter(|number| i64::try_from(*number).is_err()) {
        None => Ok(number),
        Some(number) => Err(D::Error::custom(format!("{number} is over 2^63 - 1"))),
    }
}

/// How many are listed at most, up to `MAX`: who asks for more would take what comes for all
/// there is.
///
/// # Errors
/// It is no whole number, or over that.
pub(super) fn at_most<'de, const MAX: u64, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<u64>, D::Error> {
    let number = Option::<u64>::deserialize(from)?;
    match number.filter(|number| *number > MAX) {
        None => Ok(number),
        Some(number) => Err(D::Error::custom(format!("{number} is over {MAX}"))),
    }
}

/// The query, with every parameter that is wrong named.
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<App> for Query<T> {
    type Rejection = Answered;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Query<T>, Answered> {
        let query = axum::extract::Query::<T>::try_from_uri(&parts.uri);
        query.map(|query| Query(query.0)).map_err(|error| Answered::new(400, error.body_text()))
    }
}
