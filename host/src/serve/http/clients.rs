//! Clients: who is on which version, what is told of them, and whether the old one can go.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::App;
use super::asking::{Admin, Json, Operator, Query, Reader, at_most, whole};
use super::once::Once;
use super::problem::Answered;
use super::rollout::{act, reply, shown};
use crate::serve::clock::Reading;
use crate::serve::job::{Answer, Note, Refusal, Work};
use crate::serve::openapi::documents;
use crate::serve::privacy::Identities;

/// The protocol's error code for something that is not there.
const UNKNOWN: u32 = 20;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Clients {
    /// Only those last served by this version.
    #[param(min_length = 1, max_length = 128)]
    version: Option<String>,
    /// Only those in this state.
    #[param(inline)]
    state: Option<documents::ClientState>,
    /// Only those with this software: `name`, or `name/version`.
    #[param(min_length = 1, max_length = 128)]
    software: Option<String>,
    /// Only those whose key has this in it.
    #[serde(rename = "match")]
    #[param(max_length = 1024)]
    contains: Option<String>,
    /// What they are listed by; `requests` unless it is said.
    #[param(inline)]
    sort: Option<documents::ClientOrder>,
    /// The other way round.
    reverse: Option<bool>,
    /// How many of the first are left out.
    #[serde(default, deserialize_with = "whole")]
    offset: Option<u64>,
    /// How many at most; 100 unless it is said, and 10,000 at most.
    #[serde(default, deserialize_with = "at_most::<10_000, _>")]
    #[param(maximum = 10000)]
    limit: Option<u64>,
}

/// Who is on which version, the busiest first unless another order is asked for.
#[utoipa::path(
    get,
    path = "/v1/clients",
    tag = "Clients",
    operation_id = "get_clients",
    params(Clients),
    extensions(("x-crossfade-role" = json!("read"))),
    responses(
        (status = 200, description = "Those that were asked for", body = documents::Clients),
        (status = 404, description = "The plan has no such version", body = documents::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    _: Reader,
    State(app): State<App>,
    Query(asked): Query<Clients>,
) -> Result<Response, Answered> {
    let mut message = json!({ "type": "get_clients", "limit": asked.limit.unwrap_or(100) });
    let fields = [
        ("version", asked.version.map(Value::from)),
        ("state", asked.state.map(|state| json!(state))),
        ("software", asked.software.map(Value::from)),
        ("match", asked.contains.map(Value::from)),
        ("sort", asked.sort.map(|sort| json!(sort))),
        ("reverse", asked.reverse.map(Value::from)),
        ("offset", asked.offset.map(Value::from)),
    ];
    for (name, value) in fields {
        if let Some(value) = value {
            message[name] = value;
        }
    }
    reply(&app, message, "clients").await
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Where its name comes from; whichever has it, the best first, when it is not said.
    #[param(inline)]
    identity: Option<documents::IdentityKind>,
}

type Client = Result<Path<String>, PathRejection>;

fn client(path: Client) -> Result<String, Answered> {
    match path {
        Ok(Path(client)) => Ok(client),
        Err(wrong) => Err(Answered::new(400, wrong.body_text())),
    }
}

/// The names under which somebody may be known here.
fn names(app: &App, given: &str) -> Vec<String> {
    let policy = app.shared().policy().borrow().clone();
    app.identities().names(policy.as_deref(), given, Reading::now().wall_ms)
}

/// Somebody and their history.
#[utoipa::path(
    get,
    path = "/v1/clients/{client}",
    tag = "Clients",
    operation_id = "get_client",
    params(("client" = String, Path, description = "Its key"), Which),
    extensions(("x-crossfade-role" = json!("read"))),
    responses(
        (status = 200, description = "What is known of it", body = documents::OneClient),
        (status = 404, description = "Nothing is known of it", body = documents::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn one(
    _: Reader,
    State(app): State<App>,
    path: Client,
    Query(which): Query<Which>,
) -> Result<Response, Answered> {
    let given = client(path)?;
    let mut message = json!({ "type": "get_client" });
    if let Some(identity) = which.identity {
        message["identity"] = json!(identity);
    }
    let asked = |message| app.desk().ask(Work::Ask { message, answer: "client" });
    match by_any_name(&app, &given, &message, asked).await? {
        Answer::Reply(text) => {
            let mut reply: Value = serde_json::from_str(&text)
                .map_err(|error| Answered::new(500, format!("the engine said: {error}")))?;
            // So that its rows are found in the audit log.
            reply["audit_name"] = audit_name(&app, &given).into();
            Ok(shown(Answer::Document(reply)))
        }
        other => Ok(shown(other)),
    }
}

/// What comes of a message about somebody under the first name that the engine knows, or
/// under the likeliest when it knows none.
async fn by_any_name<T, F: Future<Output = Result<T, Refusal>>>(
    app: &App,
    given: &str,
    message: &Value,
    ask: impl Fn(Value) -> F,
) -> Result<T, Refusal> {
    let mut unknown = None;
    for name in names(app, given) {
        let mut message = message.clone();
        message["client"] = name.into();
        match ask(message).await {
            Err(refusal @ Refusal::Engine { code: UNKNOWN, .. }) => {
                unknown.get_or_insert(refusal);
            }
            answer => return answer,
        }
    }
    Err(unknown.unwrap_or(Refusal::Engine { code: UNKNOWN, text: "no such client".to_owned() }))
}

/// How the audit log, which is kept for good, names somebody: by a keyed hash, whatever the
/// policy says of privacy.
fn audit_name(app: &App, given: &str) -> String {
    let policy = app.shared().policy().borrow().clone();
    match Identities::is_hashed(policy.as_deref()) {
        true => names(app, given).remove(0),
        false => app.identities().hash(given),
    }
}

/// A reason, without which nothing is done to anybody.
pub(super) fn reason(given: String) -> Result<String, Answered> {
    match given.trim().is_empty() {
        true => Err(Answered::new(422, "reason: say why, for the audit log")),
        false => Ok(given),
    }
}

/// Something that an operator says of somebody.
struct Said {
    /// As the audit log has it.
    what: &'static str,
    message: Value,
    identity: Option<documents::IdentityKind>,
    reason: String,
    once: Once,
}

/// Tells the engine something of somebody, under the first name that it knows.
async fn tell(
    operator: Operator,
    app: &App,
    path: Client,
    said: Said,
) -> Result<Response, Answered> {
    let given = client(path)?;
    let Said { what, mut message, identity, reason: why, once } = said;
    let why = reason(why)?;
    let noted = format!("{}: {why}", audit_name(app, &given));
    message["reason"] = why.into();
    if let Some(identity) = identity {
        message["identity"] = json!(identity);
    }
    // Of whom it is is told by the note, in which the name is hashed.
    let once = once.of(&json!([message, noted]));
    let note = Note { who: operator.name, what, why: noted, once };
    let told = |message| act(app, message, Some("client_ok"), note.clone());
    by_any_name(app, &given, &message, told).await.map_err(Answered::from)
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Declaration {
    // `nothing` takes back what was said before.
    #[schema(inline)]
    says: documents::Says,
    /// Where its name comes from.
    #[schema(inline)]
    identity: Option<documents::IdentityKind>,
    /// Why: for the audit log, and shown with a blocked client.
    #[serde(default)]
    #[schema(min_length = 1)]
    reason: String,
}

/// Says that a client may be moved at any time, or must not be.
#[utoipa::path(
    post,
    path = "/v1/clients/{client}/declare",
    tag = "Clients",
    operation_id = "declare_client",
    params(
        ("client" = String, Path, description = "Its key"),
        ("idempotency-key" = Option<String>, Header, description = "A random text of its own: the same command again, with the same key, gets the first answer and is not done again"),
    ),
    request_body = Declaration,
    extensions(("x-crossfade-role" = json!("operate"))),
    responses(
        (status = 200, description = "It is noted, and the policy has it", body = documents::ClientOk),
        (status = 404, description = "Nothing is known of it", body = documents::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn declare(
    operator: Operator,
    State(app): State<App>,
    path: Client,
    once: Once,
    Json(body): Json<Declaration>,
) -> Result<Response, Answered> {
    let Declaration { says, identity, reason } = body;
    let message = json!({ "type": "declare_client", "says": says });
    tell(operator, &app, path, Said { what: "client declare", message, identity, reason, once })
        .await
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Repin {
    // `old`: back to the old version, whatever the share; `policy`: where the policy leads.
    #[schema(inline)]
    to: documents::RepinTo,
    /// Where its name comes from.
    #[schema(inline)]
    identity: Option<documents::IdentityKind>,
    /// Why, for the audit log.
    #[serde(default)]
    #[schema(min_length = 1)]
    reason: String,
}

/// Pins a client back to the old version, or lifts that.
#[utoipa::path(
    post,
    path = "/v1/clients/{client}/repin",
    tag = "Clients",
    operation_id = "repin_client",
    params(
        ("client" = String, Path, description = "Its key"),
        ("idempotency-key" = Option<String>, Header, description = "A random text of its own: the same command again, with the same key, gets the first answer and is not done again"),
    ),
    request_body = Repin,
    extensions(("x-crossfade-role" = json!("operate"))),
    responses(
        (status = 200, description = "It is pinned, or no longer", body = documents::ClientOk),
        (status = 404, description = "Nothing is known of it", body = documents::Problem, content_type = "application/problem+json"),
        (status = 409, description = "The policy keeps hashes, by which no edge can pin anybody", body = documents::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn repin(
    operator: Operator,
    State(app): State<App>,
    path: Client,
    once: Once,
    Json(body): Json<Repin>,
) -> Result<Response, Answered> {
    let Repin { to, identity, reason } = body;
    let message = json!({ "type": "repin_client", "to": to });
    tell(operator, &app, path, Said { what: "client repin", message, identity, reason, once }).await
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Forget {
    /// Where its name comes from; everywhere when it is not said.
    #[param(inline)]
    identity: Option<documents::IdentityKind>,
    /// Why, for the audit log.
    #[serde(default)]
    #[param(required = true, min_length = 1)]
    reason: String,
}

/// Takes every trace of somebody out of what is kept here, down to the bytes of the store.
/// The answer says what cannot be reached.
#[utoipa::path(
    delete,
    path = "/v1/clients/{client}",
    tag = "Clients",
    operation_id = "forget_client",
    params(("client" = String, Path, description = "Its key"), Forget),
    extensions(("x-crossfade-role" = json!("admin"))),
    responses(
        (status = 200, description = "Nothing of it is kept here any more", body = documents::Forgotten),
    )
)]
pub(super) async fn forget(
    admin: Admin,
    State(app): State<App>,
    path: Client,
    Query(asked): Query<Forget>,
) -> Result<Response, Answered> {
    let given = client(path)?;
    let reason = reason(asked.reason)?;
    let work = Work::Forget {
        names: names(&app, &given),
        identity: asked.identity.map(|identity| identity.as_str().to_owned()),
        // Not even the hash of a name: nothing tells any more whom this was about.
        // Done twice it does nothing twice.
        note: Note { who: admin.name, what: "client forget", why: reason, once: None },
    };
    app.desk().ask(work).await.map(shown).map_err(Answered::from)
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Sunset {
    /// For how long the old version must have served nobody.
    #[param(maximum = 316_224_000_000_u64)]
    window_ms: Option<u64>,
}

/// Whether the old version can go, how many still depend on it, and what stands in the way.
#[utoipa::path(
    get,
    path = "/v1/sunset",
    tag = "Clients",
    operation_id = "get_sunset",
    params(Sunset),
    extensions(("x-crossfade-role" = json!("read"))),
    responses(
        (status = 200, description = "Whether the old version can go", body = documents::Sunset),
    )
)]
pub(super) async fn sunset(
    _: Reader,
    State(app): State<App>,
    Query(asked): Query<Sunset>,
) -> Result<Response, Answered> {
    let message = json!({ "type": "get_sunset", "window_ms": asked.window_ms });
    reply(&app, message, "sunset").await
}
