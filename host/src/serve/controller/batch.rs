//! Jobs that are served and kept together.

use std::sync::atomic::Ordering::Relaxed;

use serde_json::{Value, json};
use tokio::sync::oneshot;
use tracing::{info, warn};

use super::{BY_ITSELF, Running, TRIAL, Trouble, nodes};
use crate::serve::engine::Told;
use crate::serve::job::{Answer, Candidate, Job, Note, Once, Refusal, Report, Work};
use crate::serve::machine::Instant;
use crate::serve::shared::Shared;
use crate::serve::store::{
    AuditRow, Commit, EventRow, PolicyRow, Receipt, Store, StoreError, View,
};

/// A batch takes in no more than this, so that nobody waits for long.
pub(super) const JOBS_MAX: usize = 1_024;
pub(super) const CALLS_BYTES_MAX: usize = 512 << 10;

/// What was done by whom, before ids are given out.
#[derive(Debug)]
struct Done {
    who: String,
    what: String,
    why: String,
}

pub(super) type Reply = oneshot::Sender<Result<Answer, Refusal>>;

/// Somebody who is answered once everything is kept.
struct Waiting {
    reply: Reply,
    answer: Result<Answer, Refusal>,
    /// Whether nothing but a look was asked for.
    looks: bool,
}

/// Somebody whom the engine has forgotten, and the store has yet to.
pub(super) struct Forgotten {
    /// Under which names there may be traces.
    pub(super) names: Vec<String>,
    /// Where there may be some that stay.
    pub(super) left: Vec<String>,
    /// What the engine said of it.
    pub(super) said: Value,
    /// Who waits for that.
    pub(super) reply: Reply,
}

/// See the module.
pub(super) struct Batch {
    pub(super) now_ms: u64,
    /// Whether the engine's state has changed otherwise than by time.
    pub(super) changed: bool,
    jobs: usize,
    answers: Vec<Waiting>,
    done: Vec<Done>,
    /// Of those acts that have a key. Their revision is that of the commit, and 0 before.
    receipts: Vec<Receipt>,
    /// Whose traces are to go once this is kept.
    pub(super) forgotten: Vec<Forgotten>,
    events: Vec<EventRow>,
    /// Whether the policy may be another one.
    ask_policy: bool,
    /// Who did the newest act that put another policy in force, why, and its revision.
    author: Option<(String, String, u64)>,
}

impl Batch {
    pub(super) fn new(now_ms: u64) -> Batch {
        Batch {
            now_ms,
            changed: false,
            jobs: 0,
            answers: Vec::new(),
            done: Vec::new(),
            receipts: Vec::new(),
            forgotten: Vec::new(),
            events: Vec::new(),
            ask_policy: false,
            author: None,
        }
    }

    /// Whether no more should be taken in.
    pub(super) fn is_full(&self, running: &Running) -> bool {
        self.jobs >= JOBS_MAX || running.engine.pending.len_bytes() >= CALLS_BYTES_MAX
    }

    /// Whether anything happened but time passing.
    pub(super) fn is_worth_keeping(&self) -> bool {
        self.changed || !self.events.is_empty() || !self.done.is_empty()
    }

    /// Writes into the audit log. The policy may have changed with it.
    pub(super) fn note(&mut self, who: &str, what: &str, why: &str) {
        let (who, what, why) = (who.to_owned(), what.to_owned(), why.to_owned());
        self.done.push(Done { who, what, why });
        self.ask_policy = true;
    }

    /// Serves one job. Its answer waits for the commit.
    pub(super) fn serve(
        &mut self,
        job: Job,
        running: &mut Running,
        store: &mut dyn Store,
        shared: &Shared,
    ) {
        self.jobs += 1;
        let Job { work, reply } = job;
        let looks = matches!(work, Work::Ask { .. } | Work::Status | Work::Nodes | Work::Read(_));
        let answer = match work {
            Work::Forget { names, identity, note } => {
                // Who has been forgotten is answered when the store has forgotten, too.
                let identity = identity.as_deref();
                let refused = self.forget(running, names, identity, note, reply).err();
                let refused = refused.map(|(reply, refusal)| (reply, Err(refusal)));
                let waiting = |(reply, answer)| Waiting { reply, answer, looks: false };
                self.answers.extend(refused.map(waiting));
                return;
            }
            Work::Act { message, answer, note, expected } => {
                self.act(running, &message, answer, note, expected)
            }
            Work::Ask { message, answer } => {
                running.engine.ask(&message, answer, self.now_ms).map(Answer::Reply)
            }
            Work::Totals { reports } => self.totals(running, reports, shared),
            Work::Status => running.status(self.now_ms, store).map(Answer::Document),
            Work::Nodes => Ok(Answer::Document(running.nodes.listed(self.now_ms))),
            Work::Read(query) => match query.of(store) {
                Ok(rows) => Ok(Answer::Rows(rows)),
                Err(error) => Err(Refusal::Unavailable(error.to_string())),
            },
            Work::Swap(candidate, note) => self.swap(running, candidate, note, shared),
            Work::Stop => Ok(Answer::Done),
        };
        self.answers.push(Waiting { reply, answer, looks });
    }

    /// What was answered to an act when it came first, if it has.
    fn receipt(&self, running: &Running, note: &Note) -> Option<Result<Answer, Refusal>> {
        let Once { key, request } = note.once.as_ref()?;
        let new = self.receipts.iter().find(|receipt| receipt.is_of(&note.who, key));
        let receipt = new.or_else(|| running.receipts.find(&note.who, key, self.now_ms))?;
        if receipt.request != *request {
            return Some(Err(Refusal::KeyUsed { key: key.clone() }));
        }
        let Receipt { reply, revision, .. } = receipt;
        Some(Ok(Answer::Again { reply: reply.clone(), revision: *revision }))
    }

    fn act(
        &mut self,
        running: &mut Running,
        message: &Value,
        answer: Option<&'static str>,
        note: Option<Note>,
        expected: Option<u64>,
    ) -> Result<Answer, Refusal> {
        if let Some(answer) = note.as_ref().and_then(|note| self.receipt(running, note)) {
            return answer;
        }
        if let Some(expected) = expected {
            let (found, _) = running.engine.policy(self.now_ms)?;
            if found != expected {
                return Err(Refusal::Revision { expected, found });
            }
        }
        self.hides_no_names(running, message)?;
        let reply = running.engine.act(message, answer, self.now_ms)?;
        self.changed = true;
        if let Some(Note { who, what, why, .. }) = &note {
            info!("{what} by {who}{}{why}", if why.is_empty() { "" } else { ": " });
            self.note(who, what, why);
            let (revision, _) = running.engine.policy(self.now_ms)?;
            let before = self.author.as_ref().map_or(running.revision(), |author| author.2);
            if revision != before {
                self.author = Some((who.clone(), why.clone(), revision));
            }
        }
        let reply = match reply {
            Some(reply) => reply,
            None => {
                let message = json!({ "type": "get_rollout" });
                running.engine.ask(&message, "rollout", self.now_ms)?
            }
        };
        if let Some(Note { who, once: Some(Once { key, request }), .. }) = note {
            let (at_ms, reply) = (self.now_ms, reply.clone());
            self.receipts.push(Receipt { at_ms, who, key, request, reply, revision: 0 });
        }
        Ok(Answer::Reply(reply))
    }

    /// Whose traces are still in the store.
    pub(super) fn take_forgotten(&mut self) -> Vec<Forgotten> {
        std::mem::take(&mut self.forgotten)
    }

    fn totals(
        &mut self,
        running: &mut Running,
        reports: Vec<Result<Report, String>>,
        shared: &Shared,
    ) -> Result<Answer, Refusal> {
        let mut lines = Vec::with_capacity(reports.len());
        for report in reports {
            lines.push(match report {
                Ok(report) => self.report(running, &report, shared)?,
                Err(refused) => {
                    shared.counters.reports_refused.fetch_add(1, Relaxed);
                    refused
                }
            });
        }
        Ok(Answer::Lines(lines))
    }

    fn report(
        &mut self,
        running: &mut Running,
        report: &Report,
        shared: &Shared,
    ) -> Result<String, Refusal> {
        if report.has_names && running.is_hashed() {
            // It was read while the policy before was in force.
            let text = "the policy asks for hashes since this was read: send it again";
            return Ok(json!({ "type": "error", "code": 11, "text": text }).to_string());
        }
        let merged = running.engine.merge(&report.line)?;
        let counters = &shared.counters;
        if merged.taken {
            counters.reports.fetch_add(1, Relaxed);
            counters.reports_old.fetch_add(u64::from(!merged.new), Relaxed);
            running.nodes.reported(report, self.now_ms);
        } else {
            counters.reports_refused.fetch_add(1, Relaxed);
        }
        self.changed |= merged.new;
        Ok(merged.reply)
    }

    /// Totals that came by the store.
    pub(super) fn incoming(&mut self, running: &mut Running, line: &[u8], shared: &Shared) {
        let merged = nodes::read_any(line).and_then(|report| {
            self.report(running, &report, shared).map_err(|refusal| refusal.to_string())
        });
        if let Err(why) = merged {
            warn!("totals that came by the store are left out: {why}");
        }
    }

    fn swap(
        &mut self,
        running: &mut Running,
        candidate: Candidate,
        note: Note,
        shared: &Shared,
    ) -> Result<Answer, Refusal> {
        let name = candidate.module.name().to_owned();
        let digest = candidate.digest.clone();
        let refused = |error| Refusal::Engine { code: 22, text: format!("module {name}: {error}") };
        running.engine.swap(candidate).map_err(refused)?;
        shared.use_engine(running.engine.module());
        running.trial_until = Some(Instant::now() + TRIAL);
        let why = format!("{} (sha256 {digest})", note.why);
        self.note(&note.who, note.what, why.trim_start());
        info!("module {name} has taken over, on trial for {} s", TRIAL.as_secs());
        Ok(Answer::Document(running.engine.about()))
    }

    /// What the engine told of.
    pub(super) fn happened(&mut self, told: Vec<Told>, running: &Running) {
        for Told { event, at_ms, sentence, body } in told {
            info!("{event}: {sentence}");
            let id = running.last_event + 1 + self.events.len() as u64;
            self.events.push(EventRow { id, at_ms: at_ms.unwrap_or(self.now_ms), body });
            self.ask_policy = true;
            if !says_what_somebody_did(&event) {
                self.note(BY_ITSELF, &event, &sentence);
            }
        }
    }

    /// Keeps everything, and answers.
    ///
    /// # Errors
    /// Nothing was kept, and everybody has been told so.
    pub(super) fn keep(
        mut self,
        running: &mut Running,
        store: &mut dyn Store,
        shared: &Shared,
        views: Vec<View>,
    ) -> Result<(), Trouble> {
        let policy = match self.policy(running) {
            Ok(policy) => policy,
            Err(refusal) => return self.fail(refusal.into()),
        };
        let revision = policy.as_ref().map_or(running.revision(), |row| row.revision);
        let commit = Commit {
            at_ms: self.now_ms,
            calls: std::mem::take(&mut running.engine.pending),
            policy,
            events: std::mem::take(&mut self.events),
            audit: self.audit(running, revision),
            receipts: self.receipts.drain(..).map(|new| Receipt { revision, ..new }).collect(),
            views,
        };
        let started = Instant::now();
        if let Err(error) = store.commit(&commit) {
            shared.counters.commits_failed.fetch_add(1, Relaxed);
            return self.fail(error.into());
        }
        let counters = &shared.counters;
        counters.commits.fetch_add(1, Relaxed);
        counters.commit_us.fetch_add(started.elapsed().as_micros() as u64, Relaxed);
        counters.kept_bytes.fetch_add(commit.calls.len_bytes() as u64, Relaxed);
        for Waiting { answer, .. } in &mut self.answers {
            if let Ok(Answer::Again { revision: of_this @ 0, .. }) = answer {
                *of_this = revision;
            }
        }
        let receipts = commit.receipts.iter().map(Receipt::len_bytes).sum::<usize>();
        running.engine.kept_bytes += commit.calls.len_bytes() + receipts;
        commit.receipts.into_iter().for_each(|receipt| running.receipts.push(receipt));
        (running.kept_at, running.kept_ms) = (Instant::now(), self.now_ms);
        running.last_event += commit.events.len() as u64;
        running.last_audit += commit.audit.len() as u64;
        if let Some(policy) = commit.policy {
            shared.publish(&policy);
            running.policy = Some(policy);
        }
        shared.happened(&commit.events);
        self.answer();
        Ok(())
    }

    /// The policy in force, if it is not the one that was kept last.
    fn policy(&self, running: &mut Running) -> Result<Option<PolicyRow>, Refusal> {
        if !self.ask_policy {
            return Ok(None);
        }
        let (revision, document) = running.engine.policy(self.now_ms)?;
        if running.policy.as_ref().is_some_and(|kept| kept.revision == revision) {
            return Ok(None);
        }
        let last = self.done.last().map(|done| (done.who.as_str(), done.why.as_str()));
        // Acts that came after it did not touch the policy, and what time did came last.
        let author = self.author.as_ref().filter(|author| author.2 == revision);
        let author = author.map(|(who, why, _)| (who.as_str(), why.as_str()));
        let (who, why) = author.or(last).unwrap_or((BY_ITSELF, ""));
        let (who, why) = (who.to_owned(), why.to_owned());
        Ok(Some(PolicyRow { revision, at_ms: self.now_ms, who, why, document }))
    }

    fn audit(&mut self, running: &Running, revision: u64) -> Vec<AuditRow> {
        let at_ms = self.now_ms;
        let row = |(place, Done { who, what, why }): (usize, Done)| {
            let id = running.last_audit + 1 + place as u64;
            AuditRow { id, at_ms, who, what, why, revision }
        };
        std::mem::take(&mut self.done).into_iter().enumerate().map(row).collect()
    }

    /// Tells everybody what came of their jobs.
    pub(super) fn answer(self) {
        for Waiting { reply, answer, .. } in self.answers {
            // Whoever asked may have gone.
            let _ = reply.send(answer);
        }
    }

    /// Tells everybody that nothing was done, or that nobody knows.
    pub(super) fn fail(self, trouble: Trouble) -> Result<(), Trouble> {
        let (acts, looks) = match &trouble {
            Trouble::Store(StoreError::Superseded) => {
                let elsewhere = Refusal::Elsewhere { address: None };
                (elsewhere.clone(), elsewhere)
            }
            Trouble::Store(unclear @ StoreError::Unclear { .. }) => {
                let why = unclear.to_string();
                (Refusal::Unclear(why.clone()), Refusal::Unavailable(why))
            }
            other => {
                let text = format!("it could not be kept, so it was not done: {other}");
                (Refusal::Unavailable(text), Refusal::Unavailable(other.to_string()))
            }
        };
        for Forgotten { reply, .. } in self.forgotten {
            // Whoever asked may have gone.
            let _ = reply.send(Err(acts.clone()));
        }
        for Waiting { reply, answer, looks: looked } in self.answers {
            let _ = reply.send(match answer {
                // That one was kept long ago.
                Ok(Answer::Again { revision: 1.., .. }) => answer,
                // Nothing was done, whatever became of the rest.
                Err(_) => Err(looks.clone()),
                Ok(_) if looked => Err(looks.clone()),
                Ok(_) => Err(acts.clone()),
            });
        }
        Err(trouble)
    }
}

/// Events that only repeat what the audit log has with a name.
fn says_what_somebody_did(event: &str) -> bool {
    ["paused", "resumed", "promoted", "retried", "undone", "configured"].contains(&event)
}
