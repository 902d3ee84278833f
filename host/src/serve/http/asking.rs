//! What handlers are given: who asks, and a body that has been read.

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::App;
use super::problem::Answered;
use crate::serve::access::{Holder, Role};

/// Who is called so in the audit log when nobody gave a name.
const THIS_MACHINE: &str = "loopback";

/// Somebody who may see.
pub(super) struct Reader;

/// Somebody who may see the policy: a reader or a reporter.
pub(super) struct Edge;

/// Somebody who may report.
pub(super) struct Reporter(pub(super) Option<Holder>);

/// Somebody who may change things.
pub(super) struct Operator {
    /// The token's name.
    pub(super) name: String,
}

fn admit(app: &App, parts: &Parts, role: Role) -> Result<Option<Holder>, Answered> {
    let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = header.and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    });
    Ok(app.access().admit(token, role)?.cloned())
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

impl FromRequestParts<App> for Operator {
    type Rejection = Answered;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Operator, Answered> {
        let holder = admit(app, parts, Role::Operate)?;
        let name = holder.map_or_else(|| THIS_MACHINE.to_owned(), |holder| holder.name);
        Ok(Operator { name })
    }
}

/// A JSON body. An empty one is `{}`.
pub(super) struct Json<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<App> for Json<T> {
    type Rejection = Answered;

    async fn from_request(request: Request, app: &App) -> Result<Json<T>, Answered> {
        let kind = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let kind = kind.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        // A page in a browser cannot send this type to another origin unasked.
        if !kind.eq_ignore_ascii_case("application/json") {
            let detail = format!("content-type `{kind}`: send application/json");
            return Err(Answered::new(415, detail));
        }
        let body = Body::from_request(request, app).await?.0;
        let text = if body.trim_ascii().is_empty() { b"{}" } else { body.as_ref() };
        let mut reader = serde_json::Deserializer::from_slice(text);
        let read = serde_path_to_error::deserialize(&mut reader);
        read.map(Json).map_err(|error| {
            let path = error.path().to_string();
            let what = if path == "." { String::new() } else { format!("{path}: ") };
            let status = if error.inner().is_data() { 422 } else { 400 };
            Answered::new(
                status,
                format!("the body is not what is read here: {what}{}", error.inner()),
            )
        })
    }
}

/// A body's bytes.
pub(super) struct Body(pub(super) axum::body::Bytes);

impl FromRequest<App> for Body {
    type Rejection = Answered;

    async fn from_request(request: Request, app: &App) -> Result<Body, Answered> {
        let read = axum::body::Bytes::from_request(request, app).await;
        read.map(Body).map_err(|error| {
            let status = error.status().as_u16();
            let detail = match status {
                413 => format!("the body is over {} MiB", super::BODY_BYTES_MAX >> 20),
                _ => error.body_text(),
            };
            Answered::new(status, detail)
        })
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
