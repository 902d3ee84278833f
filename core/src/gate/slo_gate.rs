//! The gate on a bound: one version, nothing to compare it with.

use borsh::{BorshDeserialize, BorshSerialize};

use super::config::SloConfig;
use super::evidence::SloEvidence;
use super::slo::{COMPONENTS, SloBound, SloTest, log_e_slo_ok};
use super::slots::SlotClock;
use super::tally::{Mergeable, Trials};
use super::verdict::{Bounded, Finding};
use super::windows::{Stratum, TooManyStrata, WindowedTest, Windows};

/// Counts v2's requests and failures and holds them against a bound.
///
/// "Failure" is what the caller counts as one: a failed request, or one slower than
/// the objective. The bound does not move with the world: where everything becomes
/// worse at once, it will be exceeded through no fault of v2.
#[derive(Debug, Clone, BorshSerialize, BorshDeserialize)]
pub struct SloGate {
    config: SloConfig,
    source: SloBound,
    clock: SlotClock,
    test: WindowedTest<SloTest, COMPONENTS>,
    /// Requests of the current step.
    step: Trials,
    failures: u64,
}

impl SloGate {
    /// A gate at the beginning of a rollout's first step, planned to last `planned_ms`.
    /// The bound is the source's.
    pub fn new(config: SloConfig, source: SloBound, now_ms: u64, planned_ms: u64) -> SloGate {
        let config = SloConfig { bound: source.bound(), ..config };
        SloGate {
            config,
            source,
            clock: SlotClock::start(now_ms, planned_ms),
            test: WindowedTest::new(SloTest::from(config.bound)),
            step: Trials::default(),
            failures: 0,
        }
    }

    /// Begins the next step: evidence that the bound is kept starts afresh. The share
    /// plays no part here, so all steps are one stratum.
    pub fn enter_step(&mut self, now_ms: u64, planned_ms: u64) {
        self.clock = self.clock.next_step(now_ms, planned_ms);
        self.test.advance(self.clock.slot(now_ms));
        self.step = Trials::default();
    }

    /// Counts requests of v2.
    ///
    /// # Errors
    /// Never in practice: there is only one stratum.
    pub fn record(&mut self, trials: &Trials, now_ms: u64) -> Result<(), TooManyStrata> {
        self.test.add(self.clock.slot(now_ms), Stratum::default(), trials)?;
        self.step.merge(trials);
        self.failures = self.failures.saturating_add(trials.failures());
        Ok(())
    }

    /// Begins the slots up to now.
    pub fn tick(&mut self, now_ms: u64) {
        self.test.advance(self.clock.slot(now_ms));
    }

    /// The counts, for another node to merge.
    pub fn windows(&self) -> &Windows<Trials> {
        self.test.windows()
    }

    /// What the counts say now.
    pub fn judge(&mut self) -> Finding {
        let open = Trials::default();
        let exceeded = self.test.reaches(&open, self.config.alpha.threshold()).is_some();
        self.decide(exceeded)
    }

    /// [`SloGate::judge`] with every number behind it.
    pub fn evidence(&mut self) -> SloEvidence {
        let windowed = self.test.judge(&Trials::default());
        let finding = self.decide(windowed.log_e >= self.config.alpha.threshold());
        let window = self.test.windows().since(windowed.leading_slot, None);
        SloEvidence {
            finding,
            source: self.source,
            step: self.step,
            window: window.first().map_or_else(Trials::default, |(_, trials)| *trials),
            window_from_slot: windowed.leading_slot,
            log_e_bad: windowed.log_e,
            threshold_bad: self.config.alpha.threshold(),
            log_e_ok: self.log_e_ok(),
            threshold_ok: self.config.beta.threshold(),
            config: self.config,
        }
    }

    fn log_e_ok(&self) -> f64 {
        log_e_slo_ok(self.step, self.config.bound)
    }

    fn decide(&self, exceeded: bool) -> Finding {
        Bounded { exceeded, log_e_ok: self.log_e_ok(), failures: self.failures }.judge(&self.config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::config::Bound;
    use crate::gate::verdict::Verdict;

    fn gate() -> SloGate {
        let config = SloConfig::new(Bound::new(0.005).unwrap());
        let declared = SloBound::Declared { bound: config.bound };
        SloGate::new(config, declared, 0, 24 * 3_600_000)
    }

    #[test]
    fn a_kept_bound_is_proven_and_a_late_breach_is_found_despite_good_hours() {
        let mut gate = gate();
        const MINUTE: u64 = 60_000;
        for minute in 0..720 {
            gate.record(&Trials::new(600, 1).unwrap(), minute * MINUTE).unwrap();
        }
        assert_eq!(gate.judge().verdict, Verdict::Healthy);
        let breach = (720..800).find(|minute| {
            gate.record(&Trials::new(600, 18).unwrap(), minute * MINUTE).unwrap();
            gate.judge().verdict == Verdict::Unhealthy
        });
        // 3 % against 0.5 %. Windows begin at the hour, and it is the first minute of one;
        // the whole record alone would need nine minutes more of it than there were hours.
        assert!(breach.is_some_and(|minute| minute <= 723), "{breach:?}");
        assert!(gate.evidence().window_from_slot > 0);
    }

    #[test]
    fn silence_proves_nothing() {
        let mut gate = gate();
        gate.tick(3_600_000);
        assert_eq!(gate.judge().verdict, Verdict::Inconclusive);
    }
}
