//! Decisions for whoever asks over HTTP, beside the controller and never in its way.
//!
//! It has an engine of its own, on a thread of its own, that decides by the policy that is
//! published, as an edge does: so it also answers while another process leads, while the
//! store is away, and while the controller is busy. Nothing that it decides is counted.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::sync::{oneshot, watch};
use tracing::error;

use super::clock::Reading;
use super::shared::Published;
use crate::module::Module;
use crate::plugin::{Plugin, PluginError, PluginOptions, Start};

/// Questions that may wait.
const QUESTIONS_MAX: usize = 4_096;

type Policies = watch::Receiver<Option<Arc<Published>>>;

type Engines = watch::Receiver<Option<Module>>;

/// Who asks which version serves them.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Subject {
    /// The routing key.
    pub(crate) key: Option<String>,
    /// Everything else that is known. Only what the plan's rules look at is looked at.
    pub(crate) attributes: Map<String, Value>,
}

/// A version, and why it is this one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Decided {
    /// The policy that it was decided by.
    pub(crate) policy: Arc<Published>,
    /// The engine's reply.
    pub(crate) route: Route,
}

/// `route_ok`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Route {
    /// The version's name.
    pub(crate) version: String,
    /// As in docs/protocol.md.
    pub(crate) reason: String,
    /// The rule that decided.
    pub(crate) rule: Option<String>,
    /// The bucket that decided, or the key's own.
    pub(crate) bucket: Option<u32>,
    /// What a call would get, where it is refused.
    pub(crate) refusal: Option<Refused>,
}

/// A call that is not to be served.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Refused {
    /// With this status.
    pub(crate) status: u16,
}

/// Why nothing was decided.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Undecided {
    /// No policy has been published.
    #[error("there is no policy yet: the server is starting")]
    NoPolicy,
    /// The engine cannot take the subject.
    #[error("{0}")]
    Subject(String),
    /// The engine is gone.
    #[error("{0}")]
    Failed(String),
    /// Too many wait already.
    #[error("too many requests are waiting: come again in a second")]
    Busy,
}

struct Question {
    subject: Subject,
    reply: oneshot::Sender<Result<Decided, Undecided>>,
}

/// Asks the deciding thread, which ends with the last of these.
#[derive(Debug, Clone)]
pub(crate) struct Decider(SyncSender<Question>);

impl Decider {
    /// Starts the thread. It decides with `module` until the controller runs another.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub(crate) fn start(
        module: Module,
        options: PluginOptions,
        policies: Policies,
        engines: Engines,
    ) -> std::io::Result<Decider> {
        let (asked, inbox) = sync_channel(QUESTIONS_MAX);
        let deciding = Deciding { module, before: None, options, policies, engines, running: None };
        thread::Builder::new().name("decider".into()).spawn(move || deciding.run(&inbox))?;
        Ok(Decider(asked))
    }

    /// The version for this subject by the policy in force.
    ///
    /// # Errors
    /// See [`Undecided`].
    pub(crate) async fn decide(&self, subject: Subject) -> Result<Decided, Undecided> {
        let gone = || Undecided::Failed("the server is ending".to_owned());
        let (reply, answer) = oneshot::channel();
        self.0.try_send(Question { subject, reply }).map_err(|why| match why {
            TrySendError::Full(_) => Undecided::Busy,
            TrySendError::Disconnected(_) => gone(),
        })?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }
}

struct Deciding {
    module: Module,
    /// Decides again if the module fails.
    before: Option<Module>,
    options: PluginOptions,
    policies: Policies,
    engines: Engines,
    running: Option<Running>,
}

/// An engine that has taken a policy.
struct Running {
    plugin: Plugin,
    policy: Arc<Published>,
    /// The attributes that its rules look at.
    looked_at: Vec<String>,
}

impl Deciding {
    fn run(mut self, inbox: &Receiver<Question>) {
        while let Ok(Question { subject, reply }) = inbox.recv() {
            self.follow();
            let mut decided = self.decide(&subject);
            while let Err(Undecided::Failed(why)) = &decided {
                error!("cannot decide: {why}");
                self.running = None;
                let Some(before) = self.before.take() else { break };
                self.module = before;
                decided = self.decide(&subject);
            }
            // Whoever asked may have gone.
            let _ = reply.send(decided);
        }
    }

    /// Takes up the module that the controller runs, if that is another one now.
    fn follow(&mut self) {
        if !self.engines.has_changed().unwrap_or(false) {
            return;
        }
        if let Some(module) = self.engines.borrow_and_update().clone() {
            self.before = Some(std::mem::replace(&mut self.module, module));
            self.running = None;
        }
    }

    fn decide(&mut self, subject: &Subject) -> Result<Decided, Undecided> {
        let policy = self.policies.borrow_and_update().clone().ok_or(Undecided::NoPolicy)?;
        let running = match self.running.take() {
            Some(running) if running.policy.revision == policy.revision => running,
            _ => Running::start(self.module.clone(), self.options.clone(), policy)
                .map_err(|error| Undecided::Failed(error.to_string()))?,
        };
        self.running.insert(running).decide(subject)
    }
}

impl Running {
    /// A fresh engine for each policy: how a split is laid out does not depend on what
    /// was in force before.
    fn start(
        module: Module,
        options: PluginOptions,
        policy: Arc<Published>,
    ) -> Result<Running, PluginError> {
        let document = json!({ "clock": "wall", "node": "decider", "policy": policy.document });
        // Only a share by draw depends on it; one seed would draw the same for everybody.
        let seed = getrandom::u64().unwrap_or(policy.revision);
        let now_ms = Reading::now().wall_ms;
        let start = Start { document: document.to_string().into_bytes(), seed, now_ms };
        let (plugin, _) = Plugin::start(module, options, start)?;
        let mut looked_at = Vec::new();
        collect_attributes(policy.document.get("rules").unwrap_or(&Value::Null), &mut looked_at);
        Ok(Running { plugin, policy, looked_at })
    }

    fn decide(&mut self, subject: &Subject) -> Result<Decided, Undecided> {
        let line = self.line(subject);
        let failed = |why: String| Undecided::Failed(why);
        let said = self.plugin.handle(line.as_bytes(), Reading::now().wall_ms);
        let said = said.map_err(|error| failed(error.to_string()))?;
        match serde_json::from_slice(said.trim_ascii_end()) {
            Ok(Said::RouteOk(route)) => Ok(Decided { policy: Arc::clone(&self.policy), route }),
            Ok(Said::Error { code: 12, text }) => Err(Undecided::Subject(text)),
            Ok(Said::Error { text, .. }) => Err(failed(text)),
            Err(error) => Err(failed(format!("the engine's answer cannot be read: {error}"))),
        }
    }

    fn line(&self, subject: &Subject) -> String {
        let seen = |name: &String| Some((name.clone(), subject.attributes.get(name)?.clone()));
        let attributes: Map<String, Value> = self.looked_at.iter().filter_map(seen).collect();
        // With an id, so that an error does not begin with the number of a line.
        let message = json!({
            "type": "route",
            "msg_id": 1,
            "key": subject.key,
            "attributes": attributes,
            "count": false,
        });
        format!("{message}\n")
    }
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Said {
    RouteOk(Route),
    Error { code: u32, text: String },
}

/// Every attribute that a condition names, however deep it stands.
fn collect_attributes(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect_attributes(item, found)),
        Value::Object(fields) => {
            if let Some(Value::String(name)) = fields.get("attribute")
                && !found.contains(name)
            {
                found.push(name.clone());
            }
            fields.values().for_each(|value| collect_attributes(value, found));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::store::PolicyRow;

    fn published(revision: u64, document: Value) -> Option<Arc<Published>> {
        let row =
            PolicyRow { revision, document, at_ms: 0, who: String::new(), why: String::new() };
        Some(Arc::new(Published::of(&row)))
    }

    fn subject(key: &str, attributes: Value) -> Subject {
        let attributes = attributes.as_object().cloned().unwrap_or_default();
        Subject { key: Some(key.to_owned()), attributes }
    }

    fn plan(percentage: u32) -> Value {
        json!({
            "api": "users",
            "versions": ["v1", "v2"],
            "key": { "header": "x-user-id" },
            "rules": [{
                "name": "beta",
                "when": { "any": [{ "not": { "attribute": "plan", "in": ["free"] } }] },
                "to": "v2",
            }],
            "canary_percentage": percentage,
        })
    }

    fn decider(policies: &watch::Sender<Option<Arc<Published>>>) -> Decider {
        let module = Module::builtin().unwrap();
        let engines = watch::channel(None).1;
        Decider::start(module, PluginOptions::default(), policies.subscribe(), engines).unwrap()
    }

    #[tokio::test]
    async fn it_decides_by_the_policy_in_force_and_by_the_next_at_once() {
        let policies = watch::Sender::new(None);
        let decider = decider(&policies);
        let ann = subject("user123", json!({ "plan": "free", "other": [1, { "deep": true }] }));
        assert_eq!(decider.decide(ann.clone()).await, Err(Undecided::NoPolicy));
        for (revision, percentage, version) in [(1, 0, "v1"), (2, 45, "v2"), (3, 44, "v1")] {
            policies.send_replace(published(revision, plan(percentage)));
            let decided = decider.decide(ann.clone()).await.unwrap();
            assert_eq!(
                (decided.policy.revision, decided.route.version.as_str()),
                (revision, version)
            );
            assert_eq!(decided.route.bucket, Some(4497));
        }
        let bob = decider.decide(subject("bob", json!({ "plan": "gold" }))).await.unwrap();
        assert_eq!(bob.route.rule.as_deref(), Some("beta"));
    }

    #[tokio::test]
    async fn what_a_rule_looks_at_must_be_a_value_that_it_can_look_at() {
        let policies = watch::Sender::new(published(1, plan(0)));
        let decider = decider(&policies);
        let wrong = decider.decide(subject("user123", json!({ "plan": ["free"] }))).await;
        let Err(Undecided::Subject(text)) = wrong else { panic!("{wrong:?}") };
        assert!(text.starts_with("attributes.plan: "), "{text}");
        let long = decider.decide(subject(&"k".repeat(1_025), json!({}))).await;
        assert!(matches!(long, Err(Undecided::Subject(_))), "{long:?}");
    }

    #[tokio::test]
    async fn it_tells_that_a_call_would_be_refused() {
        let mut document = plan(0);
        document["deprecation"] =
            json!({ "deprecated_at": "2020-01-01", "sunset_at": "2020-06-01" });
        let policies = watch::Sender::new(published(1, document));
        let decider = decider(&policies);
        let old = decider.decide(subject("user123", json!({ "plan": "free" }))).await.unwrap();
        let told = (old.route.version.as_str(), old.route.reason.as_str(), old.route.refusal);
        assert_eq!(told, ("v1", "gone", Some(Refused { status: 410 })));
        let new = decider.decide(subject("user123", json!({ "plan": "gold" }))).await.unwrap();
        assert_eq!((new.route.version.as_str(), new.route.refusal), ("v2", None));
    }

    /// With a share by draw, each question is another draw, although none is counted.
    #[tokio::test]
    async fn draws_go_on_though_nothing_is_counted() {
        let mut document = plan(50);
        document["sticky"] = false.into();
        document["rules"] = json!([]);
        let policies = watch::Sender::new(published(1, document));
        let decider = decider(&policies);
        let mut seen = std::collections::BTreeSet::new();
        // 2^-199 that they are all one.
        for _ in 0..200 {
            seen.insert(decider.decide(subject("user123", json!({}))).await.unwrap().route.version);
        }
        assert_eq!(seen.len(), 2);
    }
}
