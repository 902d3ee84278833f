//! The gate on latency: thresholds frozen step by step, bins, windows.

use borsh::{BorshDeserialize, BorshSerialize};

use super::bins::BIN_MS;
use super::cap::{bin_limit, withheld_milli};
use super::config::LatencyConfig;
use super::evidence::LatencyEvidence;
use super::latency::{COMPONENTS, Exceedances, SlowerTest, Thresholds, log_e_not_slower};
use super::segment::{Arm, Segment};
use super::slots::SlotClock;
use super::tally::Mergeable;
use super::verdict::{Finding, Latencies};
use super::windows::{Stratum, TooManyStrata, WindowedTest, Windows};
use crate::latency::{Histogram, LATENCY_BUCKETS};

/// Counts latencies of both versions and judges them.
///
/// Nothing is judged before v1 has been measured: until thresholds could be frozen,
/// only v1's latencies are looked at.
#[derive(Debug, Clone, BorshSerialize, BorshDeserialize)]
pub struct LatencyGate {
    config: LatencyConfig,
    clock: SlotClock,
    thresholds: Option<Thresholds>,
    /// v1 since the thresholds were frozen: the next ones come from here.
    control: Histogram,
    bin_start_ms: u64,
    /// Single reports of the open bin.
    open: Exceedances,
    test: WindowedTest<SlowerTest, COMPONENTS>,
    step: Exceedances,
}

impl LatencyGate {
    /// A gate at the beginning of a rollout's first step, planned to last `planned_ms`.
    /// `past` is what is known of v1 from before.
    pub fn new(
        config: LatencyConfig,
        past: &Histogram,
        stratum: Stratum,
        now_ms: u64,
        planned_ms: u64,
    ) -> LatencyGate {
        let mut test = WindowedTest::new(SlowerTest::default());
        test.enter(stratum);
        LatencyGate {
            config,
            clock: SlotClock::start(now_ms, planned_ms),
            thresholds: Thresholds::freeze(past),
            control: Histogram::default(),
            bin_start_ms: now_ms - now_ms % BIN_MS,
            open: Exceedances::default(),
            test,
            step: Exceedances::default(),
        }
    }

    /// What the gate was asked.
    pub fn config(&self) -> &LatencyConfig {
        &self.config
    }

    /// The thresholds in force, once v1 has been measured.
    pub fn thresholds(&self) -> Option<&Thresholds> {
        self.thresholds.as_ref()
    }

    /// Begins the next step, with thresholds frozen from v1's latencies since the last
    /// ones if there were enough of them.
    ///
    /// # Errors
    /// When there are too many strata for the open bin to be counted.
    pub fn enter_step(
        &mut self,
        stratum: Stratum,
        now_ms: u64,
        planned_ms: u64,
    ) -> Result<(), TooManyStrata> {
        self.close_bin(now_ms)?;
        if let Some(frozen) = Thresholds::freeze(&self.control) {
            self.thresholds = Some(frozen);
            self.control = Histogram::default();
        }
        self.clock = self.clock.next_step(now_ms, planned_ms);
        self.test.advance(self.clock.slot(now_ms));
        self.test.enter(stratum);
        self.step = self.test.windows().total(stratum);
        Ok(())
    }

    /// Lets time act: closes a bin that is over, begins slots, freezes the first
    /// thresholds.
    ///
    /// # Errors
    /// When there are too many strata.
    pub fn tick(&mut self, now_ms: u64) -> Result<(), TooManyStrata> {
        if now_ms.saturating_sub(self.bin_start_ms) >= BIN_MS {
            self.close_bin(now_ms)?;
            if self.thresholds.is_none() {
                self.thresholds = Thresholds::freeze(&self.control);
            }
        }
        self.test.advance(self.clock.slot(now_ms));
        Ok(())
    }

    /// Counts the latency of one request: only one whose
    /// [`Addition::request`](super::clients::Addition::request) was new in its bin.
    ///
    /// # Errors
    /// When there are too many strata.
    pub fn record(
        &mut self,
        version: Arm,
        latency_ms: f64,
        now_ms: u64,
    ) -> Result<(), TooManyStrata> {
        self.tick(now_ms)?;
        let bucket = Histogram::bucket(latency_ms);
        if version == Arm::Control {
            self.control.add(bucket, 1);
        }
        if let Some(thresholds) = &self.thresholds {
            self.open.record(thresholds, self.config.tolerance, version, bucket, 1);
        }
        Ok(())
    }

    /// Adds latencies of the current stratum that were aggregated elsewhere.
    ///
    /// # Errors
    /// When there are too many strata.
    pub fn record_total(
        &mut self,
        canary: &[u64; LATENCY_BUCKETS],
        control: &[u64; LATENCY_BUCKETS],
        now_ms: u64,
    ) -> Result<(), TooManyStrata> {
        self.tick(now_ms)?;
        let counted = self
            .thresholds
            .map(|frozen| Exceedances::of(&frozen, self.config.tolerance, canary, control));
        for (bucket, count) in control.iter().enumerate() {
            self.control.add(bucket, *count);
        }
        counted.map_or(Ok(()), |counted| self.add(&counted))
    }

    /// Counts by window, for another node to merge. Both must have frozen the same
    /// thresholds.
    pub fn windows(&self) -> &Windows<Exceedances> {
        self.test.windows()
    }

    /// What the counts say now.
    pub fn judge(&mut self) -> Finding {
        let open = self.capped();
        let slower = self.test.reaches(&open, self.config.alpha.threshold()).is_some();
        self.decide(slower)
    }

    /// [`LatencyGate::judge`] with every number behind it.
    pub fn evidence(&mut self) -> LatencyEvidence {
        let windowed = self.test.judge(&self.capped());
        let finding = self.decide(windowed.log_e >= self.config.alpha.threshold());
        let mut window = self.open;
        for (_, tally) in self.test.windows().since(windowed.leading_slot, None) {
            window.merge(&tally);
        }
        LatencyEvidence {
            finding,
            thresholds_ms: self.thresholds.map(|thresholds| thresholds.latencies_ms()),
            step: self.step(),
            window,
            window_from_slot: windowed.leading_slot,
            log_e_slower: windowed.log_e,
            threshold_slower: self.config.alpha.threshold(),
            log_e_not_slower: self.not_slower(),
            threshold_not_slower: self.config.beta.threshold(),
            config: self.config,
        }
    }

    fn decide(&self, slower: bool) -> Finding {
        let measured = self.thresholds.is_some();
        Latencies { measured, slower, log_e_not_slower: self.not_slower() }.judge(&self.config)
    }

    fn not_slower(&self) -> f64 {
        log_e_not_slower(&self.step(), self.config.not_slower_at.threshold())
    }

    fn step(&self) -> Exceedances {
        let mut step = self.step;
        step.merge(&self.open);
        step
    }

    fn capped(&self) -> Exceedances {
        let step = self.step();
        let share =
            share(step.requests(Arm::Canary), step.requests(Arm::Control)).unwrap_or_default();
        let mut open = self.open;
        let (canary, control) = (open.exceeded(Arm::Canary), open.exceeded(Arm::Control));
        open.withhold(std::array::from_fn(|i| {
            withheld_milli(canary[i], control[i], share, bin_limit(share, self.config.bin_cap))
        }));
        open
    }

    fn close_bin(&mut self, now_ms: u64) -> Result<(), TooManyStrata> {
        self.bin_start_ms = (now_ms - now_ms % BIN_MS).max(self.bin_start_ms);
        let open = self.capped();
        self.open = Exceedances::default();
        if open == Exceedances::default() { Ok(()) } else { self.add(&open) }
    }

    fn add(&mut self, tally: &Exceedances) -> Result<(), TooManyStrata> {
        self.test.add(self.test.windows().newest(), self.test.current(), tally)?;
        self.step.merge(tally);
        Ok(())
    }
}

fn share(canary: u64, control: u64) -> Option<f64> {
    Segment::new(canary, 0, control, 0).ok()?.share()
}
