//! The controller: the one rollout of a control domain, and the evidence it waits for.
//!
//! It decides the share; the engine turns the share into a policy of the next revision.

use borsh::{BorshDeserialize, BorshSerialize};
use crossfade_protocol::Share;
#[cfg(feature = "ledger")]
use crossfade_protocol::names;
use crossfade_protocol::plan::{self, MissingData};
use crossfade_protocol::reply::json_text;
use crossfade_protocol::request::Command;

use crate::event::{Event, What};
use crate::gate::sentence::Names;
use crate::gate::{Evidence, Verdict};
use crate::health::{Health, Presented, ShareBy, StepNow};
use crate::latency::Histogram;
use crate::policy::Traffic;
use crate::rollout::{Change, Course, Phase, Refused, Rollout};
use crate::tally::Tally;

/// Past events kept for `explain_rollout`.
const HISTORY_MAX: usize = 512;

/// The rollout of this control domain.
#[derive(Debug, Clone, Default, BorshSerialize, BorshDeserialize)]
pub(crate) struct Controller {
    rollout: Option<Rollout>,
    gate: Option<plan::Gate>,
    /// Whether the share is taken by key, or drawn for each request.
    sticky: bool,
    /// Traffic from before the rollout, for undo.
    before: Option<Traffic>,
    /// Evidence that comes in while the rollout runs. `None` on a virtual clock, where all
    /// of it came before.
    pub(crate) health: Option<Health>,
    /// How the observed share can be checked under the present policy.
    share_by: Option<ShareBy>,
    /// The evidence of the last change, as it is told.
    evidence: Option<Told>,
    /// What happened, one sentence each.
    history: Vec<String>,
    /// Why things stand as they do.
    reason: String,
}

/// Where the evidence comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Source<'s> {
    /// From reports as they come.
    Live,
    /// From reports that came before, and from what other nodes counted.
    Before(&'s Presented, &'s (Tally, Tally)),
}

/// A change, and the evidence it rests on.
pub(crate) type Changed = (Change, Option<Box<Evidence>>);

impl Controller {
    /// Begins a rollout. `before` is the share that the new version has under `traffic`,
    /// which is what the rollout replaces; `past` is what is known of the old version's
    /// latency; `live` says that evidence will come in as it runs.
    ///
    /// # Errors
    /// [`Refused`] while another one runs.
    pub(crate) fn start(
        &mut self,
        course: Course,
        gate: plan::Gate,
        sticky: bool,
        before: (Share, &Traffic),
        live: Option<(Option<ShareBy>, &Histogram)>,
        now_ms: u64,
    ) -> Result<Vec<Changed>, Refused> {
        if let Some(rollout) = self.rollout.as_ref().filter(|rollout| rollout.phase().is_active()) {
            let (step, steps) = rollout.step();
            return Err(Refused(format!(
                "a rollout is {} in step {step} of {steps} at {}: abort it or wait for its end",
                rollout.phase().as_str(),
                rollout.share(),
            )));
        }
        let (rollout, changes) = Rollout::start(course, before.0, now_ms);
        *self = Controller {
            gate: Some(gate),
            sticky,
            before: Some(before.1.clone()),
            share_by: live.and_then(|(share_by, _)| share_by),
            health: None,
            evidence: None,
            history: Vec::new(),
            reason: String::new(),
            rollout: Some(rollout),
        };
        if let Some((_, past)) = live {
            self.health = self.step_now().map(|step| Health::start(gate, step, past, now_ms));
        }
        Ok(plain(changes))
    }

    fn step_now(&self) -> Option<StepNow> {
        let rollout = self.rollout.as_ref()?;
        Some(StepNow {
            asked: rollout.share(),
            planned_ms: rollout.planned_ms(),
            share_by: self.share_by,
        })
    }

    pub(crate) fn rollout(&self) -> Option<&Rollout> {
        self.rollout.as_ref()
    }

    pub(crate) fn history(&self) -> &[String] {
        &self.history
    }

    /// Why things stand as they do, in a sentence or two.
    pub(crate) fn reason(&self) -> &str {
        &self.reason
    }

    /// Gates to feed, while there are any.
    pub(crate) fn health(&mut self) -> Option<&mut Health> {
        let active = self.is_active();
        self.health.as_mut().filter(|_| active)
    }

    /// Takes out the sentences about a client, which begin with its name, and its name out
    /// of the others.
    #[cfg(feature = "ledger")]
    pub(crate) fn forget_name(&mut self, name: &str) {
        self.history.retain_mut(|sentence| {
            if let Some(scrubbed) = names::without(sentence, name) {
                *sentence = scrubbed;
            }
            !sentence.starts_with(names::FORGOTTEN)
        });
    }

    /// Keeps what happened for `explain_rollout`; the oldest go first.
    pub(crate) fn remember(&mut self, event: &Event, sentence: &str) {
        if self.history.len() >= HISTORY_MAX {
            self.history.remove(0);
        }
        self.history.push(sentence.to_owned());
        // What only follows from a change before does not replace its reason.
        let follows = |change: &Change| {
            matches!(
                change,
                Change::SteppedBack { .. } | Change::RolledBack { .. } | Change::Aborted { .. }
            )
        };
        if let What::Rollout(change) = &event.what
            && !follows(change)
        {
            self.reason = sentence.to_owned();
        }
    }

    /// Lets go of a rollout that has ended; what happened is kept.
    ///
    /// It belonged to the policy that was replaced: undoing it would bring back traffic
    /// whose places mean other versions now.
    pub(crate) fn forget(&mut self) {
        *self = Controller { history: std::mem::take(&mut self.history), ..Controller::default() };
    }

    pub(crate) fn is_active(&self) -> bool {
        self.rollout.as_ref().is_some_and(|rollout| rollout.phase().is_active())
    }

    /// Judges the evidence and lets time act, one transition at most. Where the old version
    /// is `gone`, no evidence takes the new one back: the rollout holds.
    pub(crate) fn tick(
        &mut self,
        source: Source<'_>,
        (names, gone): (Names<'_>, bool),
        now_ms: u64,
    ) -> Vec<Changed> {
        if !self.is_active() {
            return Vec::new();
        }
        let mut presented = self.presented(source, now_ms);
        let Some(health) = presented.as_mut().or(self.health.as_mut()) else { return Vec::new() };
        health.tick(now_ms);
        let mut judged = health.judge(now_ms);
        if gone {
            if judged.verdict == Verdict::Unhealthy {
                (judged.verdict, judged.blocked) = (Verdict::Inconclusive, true);
            }
            if judged.missing == Some(MissingData::RollBack) {
                judged.missing = Some(MissingData::Hold);
            }
        }
        let Some(rollout) = self.rollout.as_mut() else { return Vec::new() };
        let changes = rollout.advance(&judged, now_ms);
        if changes.is_empty() {
            return Vec::new();
        }
        let evidence = health.evidence(now_ms);
        self.enter_if_begun(&changes, now_ms);
        let with_evidence = changes.into_iter().map(|change| {
            let rests = rests_on_evidence(&change);
            (change, rests.then(|| Box::new(evidence.clone())))
        });
        let changes = with_evidence.collect();
        self.evidence = Some(Told::of(&evidence, names));
        changes
    }

    /// Evidence that does not come in live, as gates that have seen all of it.
    fn presented(&self, source: Source<'_>, now_ms: u64) -> Option<Health> {
        match (source, self.gate) {
            (Source::Before(presented, fleet), Some(gate)) => {
                Some(presented.health(gate, fleet, now_ms))
            }
            _ => None,
        }
    }

    /// The gates begin a step when the rollout does.
    fn enter_if_begun(&mut self, changes: &[Change], now_ms: u64) {
        let begun = changes
            .iter()
            .any(|c| matches!(c, Change::StepStarted { .. } | Change::WatchStarted { .. }));
        if let (true, Some(step), Some(health)) = (begun, self.step_now(), &mut self.health) {
            health.enter(step, now_ms);
        }
    }

    /// When [`tick`](Controller::tick) will do something though nothing is reported.
    pub(crate) fn next_ms(&self, now_ms: u64) -> Option<u64> {
        self.rollout.as_ref().and_then(|rollout| rollout.next_ms(now_ms))
    }

    /// Carries out an operator's command. A retry starts its evidence afresh.
    pub(crate) fn command(
        &mut self,
        command: Command,
        past: &Histogram,
        now_ms: u64,
    ) -> Result<Vec<Changed>, Refused> {
        let Some(rollout) = self.rollout.as_mut() else {
            return Err(Refused("there is no rollout: start one first".to_owned()));
        };
        let changes = rollout.command(command, now_ms)?;
        if command == Command::Retry {
            self.evidence = None;
            if let (Some(step), Some(gate), Some(_)) = (self.step_now(), self.gate, &self.health) {
                self.health = Some(Health::start(gate, step, past, now_ms));
            }
        } else {
            self.enter_if_begun(&changes, now_ms);
        }
        Ok(plain(changes))
    }

    /// The evidence as it stands: of now while the rollout runs, of its end afterwards.
    pub(crate) fn evidence(
        &mut self,
        source: Source<'_>,
        names: Names<'_>,
        now_ms: u64,
    ) -> Option<Told> {
        if self.is_active() {
            let mut presented = self.presented(source, now_ms);
            if let Some(health) = presented.as_mut().or(self.health.as_mut()) {
                return Some(Told::of(&health.evidence(now_ms), names));
            }
        }
        self.evidence.clone()
    }

    /// The traffic that the rollout asks for now.
    pub(crate) fn traffic(&self) -> Option<Traffic> {
        let rollout = self.rollout.as_ref()?;
        // Before the first step, and after an undo, what was there stays.
        let untouched = rollout.phase() == Phase::Undone
            || (rollout.phase() == Phase::Frozen && rollout.step().0 == 1);
        if untouched {
            return self.before.clone();
        }
        Some(Traffic::Canary { share: rollout.share(), sticky: self.sticky })
    }
}

/// Evidence as it is told: nobody reads it back.
#[derive(Debug, Clone, PartialEq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Told {
    /// The verdict's name.
    pub(crate) verdict: String,
    /// Every number, as JSON.
    pub(crate) numbers: String,
    /// The same in words.
    pub(crate) sentence: String,
}

impl Told {
    fn of(evidence: &Evidence, names: Names<'_>) -> Told {
        Told {
            verdict: evidence.finding.verdict.as_str().to_owned(),
            numbers: json_text(evidence),
            sentence: evidence.sentence(names),
        }
    }
}

fn plain(changes: Vec<Change>) -> Vec<Changed> {
    changes.into_iter().map(|change| (change, None)).collect()
}

/// Whether evidence led to a change, and should be told with it.
fn rests_on_evidence(change: &Change) -> bool {
    matches!(
        change,
        Change::StepPassed { .. }
            | Change::Held { .. }
            | Change::TimedOut { .. }
            | Change::RollbackStarted { .. }
    )
}
