//! Events as they happen: server-sent events, which a client that was cut off resumes. For
//! a page also the status, the numbers its charts are drawn from, and why there are none.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::App;
use super::asking::{Query, Reader, bearer};
use super::problem::Answered;
use crate::serve::access::Role;
use crate::serve::history::Sample;
use crate::serve::job::{Answer, Query as StoreQuery, Refusal, Rows, Work};
use crate::serve::store::EventRow;

/// How often the status is looked at for those who want it.
const STATUS_EVERY: Duration = Duration::from_secs(1);

/// Tells a page whether to offer what needs an operator.
const ROLE: HeaderName = HeaderName::from_static("crossfade-role");

/// Events that are fetched at once.
const ROWS_MAX: usize = 256;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// Events after this id; without it, those that happen from now on.
    after: Option<u64>,
    /// `1`: the status document too, whenever it has changed. Before the first one come as
    /// `samples` the numbers of before. Where there is none, `standby` says who leads, or
    /// `trouble` what is wrong.
    status: Option<u8>,
}

struct Follower {
    app: App,
    after: u64,
    ready: std::vec::IntoIter<EventRow>,
    last: watch::Receiver<u64>,
    status: Option<Shown>,
}

/// The status that was sent last, and when the next one is due.
struct Shown {
    document: Value,
    /// It, while the numbers that go with it are sent first.
    ready: Option<Event>,
    /// Whether what was before is yet to be told.
    is_first: bool,
    due: tokio::time::Interval,
}

/// Events as they happen.
#[utoipa::path(
    get,
    path = "/v1/events",
    tag = "History",
    operation_id = "follow_events",
    params(Wanted, ("last-event-id" = Option<u64>, Header, description = "The last event that was seen")),
    extensions(("x-crossfade-role" = json!("read"))),
    responses(
        (status = 200, description = "Server-sent events, until the client goes", body = String, content_type = "text/event-stream", headers(("crossfade-role" = String, description = "What the token may do here: `read` or `operate`"))),
    )
)]
pub(super) async fn stream(
    _: Reader,
    State(app): State<App>,
    headers: HeaderMap,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Answered> {
    let resumed = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let resumed = match resumed.map(str::parse) {
        None => None,
        Some(Ok(id)) => Some(id),
        Some(Err(_)) => return Err(Answered::new(400, "last-event-id: no id of ours")),
    };
    let role = match app.access().admit(bearer(&headers), Role::Operate) {
        Ok(_) => "operate",
        Err(_) => "read",
    };
    let last = app.shared().last_event();
    let newest = *last.borrow();
    let after = resumed.or(wanted.after).unwrap_or(newest).min(newest);
    let status = (wanted.status == Some(1)).then(|| Shown {
        document: Value::Null,
        ready: None,
        is_first: true,
        due: tokio::time::interval(STATUS_EVERY),
    });
    let follower = Follower { app, after, ready: Vec::new().into_iter(), last, status };
    let events = stream::unfold(follower, |mut follower| async {
        let event = follower.next().await?;
        Some((Ok::<_, Infallible>(event), follower))
    });
    let stream = Sse::new(events).keep_alive(KeepAlive::new());
    Ok(([(ROLE, role)], stream).into_response())
}

impl Follower {
    /// The next thing to tell; `None` ends the stream, and the client comes again.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.status.as_mut().and_then(|shown| shown.ready.take()) {
                return Some(event);
            }
            if let Some(row) = self.ready.next() {
                self.after = row.id;
                let event = Event::default().id(row.id.to_string()).event("event");
                return Some(event.data(row.body.get()));
            }
            let rows = self.fetch().await?;
            if !rows.is_empty() {
                self.ready = rows.into_iter();
                continue;
            }
            let due = async {
                match &mut self.status {
                    Some(shown) => drop(shown.due.tick().await),
                    None => std::future::pending().await,
                }
            };
            let look = tokio::select! {
                changed = self.last.changed() => {
                    changed.ok()?;
                    false
                }
                () = due => true,
            };
            if look && let Some(event) = self.status().await {
                return Some(event);
            }
        }
    }

    async fn fetch(&self) -> Option<Vec<EventRow>> {
        if let Some(rows) = self.app.shared().events_after(self.after, ROWS_MAX) {
            return Some(rows);
        }
        let query = StoreQuery::Events { after: self.after, limit: ROWS_MAX };
        match self.app.desk().ask(Work::Read(query)).await {
            Ok(Answer::Rows(Rows::Events(rows))) => Some(rows),
            _ => None,
        }
    }

    /// The status, if it is another one than before but for the time, or why there is none.
    async fn status(&mut self) -> Option<Event> {
        let (kind, document) = match self.app.desk().ask(Work::Status).await {
            Ok(Answer::Document(document)) => ("status", document),
            Err(Refusal::Elsewhere { address }) => ("standby", json!({ "leader": address })),
            Err(Refusal::Unavailable(why)) => ("trouble", json!({ "why": why })),
            Ok(_) | Err(_) => return None,
        };
        let shown = self.status.as_mut()?;
        let mut timeless = document.clone();
        if let Some(fields) = timeless.as_object_mut() {
            fields.retain(|name, _| name != "now_ms" && name != "clock_offset_ms");
        }
        if timeless == shown.document {
            return None;
        }
        shown.document = timeless;
        let event = Event::default().event(kind).data(document.to_string());
        if kind != "status" {
            // Whoever leads from then on has another past.
            shown.is_first = true;
            return Some(event);
        }
        let mut samples = Vec::new();
        if std::mem::take(&mut shown.is_first) {
            samples = self.app.shared().history();
        }
        samples.push(Sample::of(&document));
        shown.ready = Some(event);
        Event::default().event("samples").json_data(samples).ok()
    }
}
