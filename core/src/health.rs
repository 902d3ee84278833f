//! The health of the new version during one rollout: all gates together, and whether
//! there is anything for them to judge.

mod share_check;

use borsh::{BorshDeserialize, BorshSerialize};
use crossfade_protocol::Share;
use crossfade_protocol::plan;
use crossfade_protocol::request::Outcome;
use xxhash_rust::xxh64::xxh64;

use crate::gate::Evidence;
use crate::gate::bins::Report;
use crate::gate::clients::ClientTable;
use crate::gate::config::{
    Bound, FailureConfig, GateConfig, LatencyConfig, Level, Margin, Points, SloConfig, Tolerance,
};
use crate::gate::data::{Arrivals, DataState, Suspicion, data_state};
use crate::gate::evidence::{SampleRatioEvidence, combine};
use crate::gate::failures::FailureGate;
use crate::gate::latency_gate::LatencyGate;
use crate::gate::segment::{Arm, Segment};
use crate::gate::slo::{Baseline, SloBound};
use crate::gate::slo_gate::SloGate;
use crate::gate::tally::{FailureTally, Trials};
use crate::gate::windows::{Stratum, Windows};
use crate::latency::{Histogram, LOWER_MS};
use crate::rollout::Judged;
use crate::tally::Tally;

use share_check::ShareCheck;

/// The step that a rollout is in, as far as health needs to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct StepNow {
    /// Share of the new version that is asked for.
    pub(crate) asked: Share,
    /// How long the step is planned to last.
    pub(crate) planned_ms: u64,
    /// How the observed share is counted; `None` where it cannot be checked.
    pub(crate) share_by: Option<ShareBy>,
}

/// What the observed share is counted by: by what the router randomises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) enum ShareBy {
    Clients,
    Requests,
}

/// All gates of one rollout.
#[derive(Debug, Clone, BorshSerialize, BorshDeserialize)]
pub(crate) struct Health {
    gate: plan::Gate,
    /// Steps begun so far: the number of the current stratum.
    steps: u32,
    step: StepNow,
    pub(crate) failures: FailureGate,
    latency: Option<LatencyGate>,
    /// A bound on failures: the declared one, or at 100 % the last that was seen of the
    /// old version.
    slo: Option<Bounded>,
    latency_slo: Option<Bounded>,
    share: ShareCheck,
    newest_report_ms: Option<u64>,
    missing_since_ms: Option<u64>,
    suspicion: Option<Suspicion>,
}

/// A bound, and how much of the step it has been told.
#[derive(Debug, Clone, BorshSerialize, BorshDeserialize)]
struct Bounded {
    gate: SloGate,
    told: (u64, u64),
}

impl Bounded {
    fn new(
        bound: f64,
        source: impl FnOnce(Bound) -> SloBound,
        level: Level,
        now_ms: u64,
        planned_ms: u64,
    ) -> Option<Bounded> {
        let bound = Bound::new(bound).ok()?;
        let config = SloConfig { alpha: level, ..SloConfig::new(bound) };
        Some(Bounded {
            gate: SloGate::new(config, source(bound), now_ms, planned_ms),
            told: (0, 0),
        })
    }

    /// Tells the gate what the step has counted beyond what it was told.
    fn tell(&mut self, step: Trials, now_ms: u64) {
        let requests = step.requests().saturating_sub(self.told.0);
        // A client's failure may be counted after its request: then it waits for the next.
        let failures = step.failures().saturating_sub(self.told.1).min(requests);
        if let Ok(more) = Trials::new(requests, failures)
            && requests > 0
            && self.gate.record(&more, now_ms).is_ok()
        {
            self.told = (self.told.0 + requests, self.told.1 + failures);
        }
        self.gate.tick(now_ms);
    }

    fn enter_step(&mut self, now_ms: u64, planned_ms: u64) {
        self.gate.enter_step(now_ms, planned_ms);
        self.told = (0, 0);
    }
}

impl Health {
    /// At the beginning of the first step. `past` is what is known of the old version's
    /// latency.
    pub(crate) fn start(gate: plan::Gate, step: StepNow, past: &Histogram, now_ms: u64) -> Health {
        let config = config(&gate);
        let stratum = Stratum(0);
        let planned_ms = step.planned_ms;
        let latency =
            config.latency.map(|c| LatencyGate::new(c, past, stratum, now_ms, planned_ms));
        let declared = gate.slo.map(|slo| slo.max_failure_ratio);
        let slow = gate.latency.and_then(|l| l.slo_ms.map(|_| 1.0 - l.quantile));
        // Two bounds share the level of their family.
        let level = slo_level(declared.is_some() && slow.is_some());
        let bounded = |bound: Option<f64>| {
            Bounded::new(bound?, |bound| SloBound::Declared { bound }, level, now_ms, planned_ms)
        };
        Health {
            steps: 0,
            failures: FailureGate::new(config.failures, stratum, now_ms, planned_ms),
            latency,
            slo: bounded(declared),
            latency_slo: bounded(slow),
            share: ShareCheck::default(),
            newest_report_ms: None,
            missing_since_ms: None,
            suspicion: None,
            gate,
            step,
        }
    }

    /// Begins the next step. Evidence that the new version is worse carries on; evidence
    /// that it is healthy starts afresh.
    pub(crate) fn enter(&mut self, step: StepNow, now_ms: u64) {
        let before = self.failures.step();
        self.steps += 1;
        let stratum = Stratum(self.steps);
        let planned_ms = step.planned_ms;
        // A rollout has at most as many steps as there may be strata.
        let entered = self.failures.enter_step(stratum, now_ms, planned_ms);
        debug_assert!(entered.is_ok());
        if let Some(latency) = &mut self.latency {
            let entered = latency.enter_step(stratum, now_ms, planned_ms);
            debug_assert!(entered.is_ok());
        }
        for bounded in [&mut self.slo, &mut self.latency_slo].into_iter().flatten() {
            bounded.enter_step(now_ms, planned_ms);
        }
        if step.asked == Share::FULL && self.slo.is_none() {
            self.slo = after_control(before.control(), now_ms, planned_ms);
        }
        self.step = step;
        self.share = ShareCheck::default();
        self.newest_report_ms = None;
        self.missing_since_ms = None;
        self.suspicion = None;
    }

    /// Counts one outcome that was reported to this node. `client` is a seeded hash of the
    /// key; `None` for an aggregate. `randomised` says whether the share chose its version.
    pub(crate) fn record(
        &mut self,
        arm: Arm,
        outcome: &Outcome,
        client: Option<u64>,
        randomised: bool,
        now_ms: u64,
    ) {
        self.newest_report_ms = Some(now_ms);
        self.suspicion = None;
        let requests = outcome.requests();
        if randomised {
            match (self.step.share_by, client) {
                (Some(ShareBy::Clients), Some(client)) => self.share.client(arm, client),
                (Some(ShareBy::Requests), _) => self.share.requests(arm, requests),
                _ => {}
            }
        }
        let counted = match client {
            Some(client) => {
                let report = Report { at_ms: now_ms, version: arm, failed: outcome.failed, client };
                self.failures.record(&report, now_ms).is_ok_and(|addition| addition.request)
            }
            None => {
                let mut segment = Segment::default();
                segment.count(arm, requests, if outcome.failed { requests } else { 0 });
                self.failures.record_total(&segment, now_ms).is_ok()
            }
        };
        let Some(latency_ms) = outcome.latency_ms.filter(|_| counted) else { return };
        if let (Some(latency), Some(_)) = (&mut self.latency, client) {
            let recorded = latency.record(arm, latency_ms, now_ms);
            debug_assert!(recorded.is_ok());
        } else if self.latency.is_some() {
            let mut histogram = Histogram::default();
            histogram.record(latency_ms, requests);
            self.record_latencies(arm, &histogram, now_ms);
        }
        if arm == Arm::Canary {
            let slow = self.gate.latency.and_then(|l| l.slo_ms).is_some_and(|slo| latency_ms > slo);
            self.record_slow(requests, if slow { requests } else { 0 }, now_ms);
        }
    }

    /// Counts what another node has counted since its last report. `current` says whether
    /// that was under the policy in force: a report from before is kept apart.
    pub(crate) fn record_counts(
        &mut self,
        control: &Tally,
        canary: &Tally,
        current: bool,
        now_ms: u64,
    ) {
        self.newest_report_ms = Some(now_ms);
        self.suspicion = None;
        let mut segment = Segment::default();
        segment.count(Arm::Control, control.requests, control.failures);
        segment.count(Arm::Canary, canary.requests, canary.failures);
        if !current {
            let mut windows = Windows::default();
            let before = Stratum(self.steps.checked_sub(1).unwrap_or(u32::MAX));
            let slot = self.failures.windows().newest();
            if windows.add(slot, before, &FailureTally::from(segment)).is_ok() {
                let merged = self.failures.merge(&windows);
                debug_assert!(merged.is_ok());
            }
            return;
        }
        let recorded = self.failures.record_total(&segment, now_ms);
        debug_assert!(recorded.is_ok());
        if self.step.share_by == Some(ShareBy::Requests) {
            self.share.requests(Arm::Control, control.requests);
            self.share.requests(Arm::Canary, canary.requests);
        }
        if self.latency.is_some() {
            self.record_latencies(Arm::Control, &control.latency, now_ms);
            self.record_latencies(Arm::Canary, &canary.latency, now_ms);
        }
        if let Some(slo_ms) = self.gate.latency.and_then(|l| l.slo_ms) {
            let slow =
                canary.latency.counts().iter().zip(LOWER_MS).filter(|(_, lower)| *lower >= slo_ms);
            let slow = slow.fold(0u64, |sum, (count, _)| sum.saturating_add(*count));
            self.record_slow(canary.latency.total(), slow, now_ms);
        }
    }

    fn record_latencies(&mut self, arm: Arm, histogram: &Histogram, now_ms: u64) {
        let none = Histogram::default();
        let (canary, control) = match arm {
            Arm::Canary => (histogram, &none),
            Arm::Control => (&none, histogram),
        };
        if let Some(latency) = &mut self.latency {
            let recorded = latency.record_total(canary.counts(), control.counts(), now_ms);
            debug_assert!(recorded.is_ok());
        }
    }

    fn record_slow(&mut self, requests: u64, slow: u64, now_ms: u64) {
        if let (Some(bounded), Ok(trials)) = (&mut self.latency_slo, Trials::new(requests, slow)) {
            let recorded = bounded.gate.record(&trials, now_ms);
            debug_assert!(recorded.is_ok());
        }
    }

    /// A client is served by the old version again: its failures on the new one are no
    /// evidence that this is worse for others.
    #[cfg(feature = "ledger")]
    pub(crate) fn excuse(&mut self, since_ms: u64, failures: u64, now_ms: u64) {
        self.failures.excuse(since_ms, failures, now_ms);
    }

    /// Notes that a report was refused, and why.
    pub(crate) fn refused(&mut self, why: Suspicion) {
        self.suspicion = Some(why);
    }

    /// Lets time act, and tells the bounds what has been counted.
    pub(crate) fn tick(&mut self, now_ms: u64) {
        let ticked = self.failures.tick(now_ms);
        debug_assert!(ticked.is_ok());
        if let Some(latency) = &mut self.latency {
            let ticked = latency.tick(now_ms);
            debug_assert!(ticked.is_ok());
        }
        let step = self.failures.step().canary();
        if let Some(slo) = &mut self.slo {
            slo.tell(step, now_ms);
        }
        if let Some(slow) = &mut self.latency_slo {
            slow.gate.tick(now_ms);
        }
        let missing = self.data(now_ms).is_missing();
        self.missing_since_ms = missing.then(|| self.missing_since_ms.unwrap_or(now_ms));
    }

    /// Whether the old version is meant to be served beside the new one.
    fn control_expected(&self) -> bool {
        self.step.asked < Share::FULL
    }

    fn data(&self, now_ms: u64) -> DataState {
        let config = self.failures.config();
        let arrivals = Arrivals {
            now_ms,
            newest_ms: self.newest_report_ms,
            step: self.failures.step(),
            refused: self.suspicion,
            control_expected: self.control_expected(),
        };
        let stale_after_ms = self.gate.on_missing_data.after_minutes.ms().max(1);
        data_state(&arrivals, stale_after_ms, config.not_worse, config.beta)
    }

    fn sample_ratio(&self) -> Option<SampleRatioEvidence> {
        self.step.share_by?;
        let asked = f64::from(self.step.asked.buckets()) / f64::from(Share::FULL.buckets());
        let (canary, control) = self.share.counts();
        let alpha = GateConfig::default().sample_ratio_alpha;
        (asked > 0.0 && asked < 1.0)
            .then(|| SampleRatioEvidence::of(canary, control, asked, alpha, self.steps))
    }

    /// What a rollout needs to know; cheap enough for every batch of reports.
    pub(crate) fn judge(&mut self, now_ms: u64) -> Judged {
        let data = self.data(now_ms);
        let failures = self.control_expected().then(|| self.failures.judge());
        let latency =
            self.latency.as_mut().filter(|_| self.step.asked < Share::FULL).map(LatencyGate::judge);
        let bounds =
            [&mut self.slo, &mut self.latency_slo].map(|b| b.as_mut().map(|b| b.gate.judge()));
        let [slo, slow] = bounds;
        let mismatch = self.sample_ratio().is_some_and(|share| share.is_mismatch());
        let finding = combine(&[failures, latency, slo, slow], &data, mismatch);
        Judged { verdict: finding.verdict, missing: self.missing(&data, now_ms), blocked: mismatch }
    }

    fn missing(&self, data: &DataState, now_ms: u64) -> Option<plan::MissingData> {
        if !data.is_missing() {
            return None;
        }
        // Reports that are old have been missing since the newest of them.
        let since_ms = match data {
            DataState::Stale { age_ms } => *age_ms,
            _ => now_ms.saturating_sub(self.missing_since_ms.unwrap_or(now_ms)),
        };
        let policy = self.gate.on_missing_data;
        Some(if since_ms >= policy.after_minutes.ms() {
            policy.then
        } else {
            plan::MissingData::Hold
        })
    }

    /// Every number behind the verdict.
    pub(crate) fn evidence(&mut self, now_ms: u64) -> Evidence {
        let data = self.data(now_ms);
        let control_expected = self.control_expected();
        let failures = control_expected.then(|| self.failures.evidence());
        let latency = self.latency.as_mut().filter(|_| control_expected).map(LatencyGate::evidence);
        let slo = self.slo.as_mut().map(|bounded| bounded.gate.evidence());
        let latency_slo = self.latency_slo.as_mut().map(|bounded| bounded.gate.evidence());
        Evidence::assemble(data, failures, latency, slo, latency_slo, self.sample_ratio())
    }
}

/// At 100 % there is nothing to compare with: the last that was seen of the old version
/// becomes the bound, and is named as such.
fn after_control(control: Trials, now_ms: u64, planned_ms: u64) -> Option<Bounded> {
    let level = slo_level(false);
    let source = Baseline { trials: control, measured_at_ms: now_ms }.bound(level)?;
    Bounded::new(source.bound().get(), |_| source, level, now_ms, planned_ms)
}

/// The level of the family of bounds, shared by two where there are two.
fn slo_level(two: bool) -> Level {
    let family = Bound::new(0.5).map(SloConfig::new).map(|config| config.alpha);
    let level = family.unwrap_or_else(|_| FailureConfig::default().alpha);
    level.split(if two { 2 } else { 1 })
}

/// A plan's settings in the gate's types. A plan's reader lets no other numbers through;
/// were one to come, the default stands in.
pub(crate) fn config(gate: &plan::Gate) -> GateConfig {
    let default = FailureConfig::default();
    let failures = failure_config(&gate.failures);
    let latency = gate.latency.filter(|latency| latency.slower_than_old);
    GateConfig {
        failures,
        latency: latency.map(|_| LatencyConfig { beta: failures.beta, ..LatencyConfig::default() }),
        slo: gate.slo.and_then(|slo| Bound::new(slo.max_failure_ratio).ok()).map(SloConfig::new),
        sample_ratio_alpha: GateConfig { failures: default, ..GateConfig::default() }
            .sample_ratio_alpha,
    }
}

/// The settings of the failure gate in the gate's types.
pub(crate) fn failure_config(gate: &plan::FailureGate) -> FailureConfig {
    let default = FailureConfig::default();
    let tolerance = Margin::new(gate.not_worse.ratio).and_then(|ratio| {
        Points::new(gate.not_worse.points).map(|points| Tolerance::new(ratio, points))
    });
    FailureConfig {
        margin: Margin::new(gate.margin).unwrap_or(default.margin),
        not_worse: tolerance.unwrap_or(default.not_worse),
        alpha: Level::new(gate.alpha).unwrap_or(default.alpha),
        beta: Level::new(gate.beta).unwrap_or(default.beta),
        min_effect: Margin::new(gate.min_effect).unwrap_or(default.min_effect),
        ..default
    }
}

/// Outcomes that were reported before a rollout on the virtual clock: the evidence of
/// each of its steps.
///
/// They carry no time, so a client counts once over all of them, and no bin caps them.
#[derive(Debug, Clone, Default, BorshSerialize, BorshDeserialize)]
pub(crate) struct Presented {
    pub(crate) control: Tally,
    pub(crate) canary: Tally,
    clients: ClientTable,
}

impl Presented {
    pub(crate) fn record(&mut self, arm: Arm, outcome: &Outcome, client: Option<u64>) {
        let tally = match arm {
            Arm::Control => &mut self.control,
            Arm::Canary => &mut self.canary,
        };
        let Some(client) = client else { return tally.record(outcome) };
        let addition = self.clients.note(client, arm, outcome.failed);
        tally.requests += u64::from(addition.request);
        tally.failures += u64::from(addition.failure);
        if let Some(latency_ms) = outcome.latency_ms.filter(|_| addition.request) {
            tally.latency.record(latency_ms, 1);
        }
    }

    /// The health that these outcomes, and what other nodes counted, speak for.
    pub(crate) fn health(&self, gate: plan::Gate, fleet: &(Tally, Tally), now_ms: u64) -> Health {
        let (mut control, mut canary) = (self.control.clone(), self.canary.clone());
        control.merge(&fleet.0);
        canary.merge(&fleet.1);
        // The old version is always there to compare with: it is in the same reports.
        let asked = Share::from_buckets(Share::FULL.buckets() / 2).unwrap_or_default();
        let step = StepNow { asked, planned_ms: 0, share_by: None };
        let mut health = Health::start(gate, step, &control.latency, now_ms);
        if control.requests > 0 || canary.requests > 0 {
            health.record_counts(&control, &canary, true, now_ms);
        }
        health.tick(now_ms);
        health
    }
}

/// A client's id as the gates know it: seeded, so that nobody outside can make two
/// clients look like one.
pub(crate) fn client_hash(key: &str, seed: u64) -> u64 {
    xxh64(key.as_bytes(), seed)
}
