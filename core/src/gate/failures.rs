//! The gate on failures: bins, windows, and both questions asked of them.

use borsh::{BorshDeserialize, BorshSerialize};

use super::bins::{Bins, Irregular, Report};
use super::cap::{MILLI, bin_limit, nats, withheld_milli};
use super::clients::Addition;
use super::config::FailureConfig;
use super::difference::difference_cs;
use super::episode::{Episode, bin_of};
use super::evidence::FailureEvidence;
use super::interval::ratio_cs;
use super::not_worse::{NotWorse, log_e_ok};
use super::segment::Segment;
use super::slots::{SlotClock, weight};
use super::tally::{FailureTally, Mergeable};
use super::verdict::{Failures, Finding};
use super::windows::{Stratum, TooManyStrata, Windowed, WindowedTest, Windows};
use super::worse::{COMPONENTS, WorseTest, mantel_haenszel_ratio};

/// Counts failures of both versions and judges them.
///
/// Reports of single requests go through the bins; counts that were aggregated
/// elsewhere are taken as they are. `now_ms` is unix milliseconds; a clock that goes
/// back is taken as one that stands still.
#[derive(Debug, Clone, BorshSerialize, BorshDeserialize)]
pub struct FailureGate {
    config: FailureConfig,
    clock: SlotClock,
    bins: Bins,
    episode: Episode,
    test: WindowedTest<WorseTest, COMPONENTS>,
    /// All of the current stratum that is in the windows: fresh evidence for "healthy".
    step: Segment,
    /// Canary failures of the whole rollout that are in the windows.
    canary_failures: u64,
    /// Whether requests were reported one by one, so that a client counts once a minute.
    /// Snapshots have it in a part of its own: there was none of it in version 2.
    #[borsh(skip)]
    pub(crate) single: bool,
}

impl FailureGate {
    /// A gate at the beginning of a rollout's first step, planned to last `planned_ms`.
    pub fn new(config: FailureConfig, stratum: Stratum, now_ms: u64, planned_ms: u64) -> Self {
        let mut gate = FailureGate {
            clock: SlotClock::start(now_ms, planned_ms),
            bins: Bins::default(),
            episode: Episode::default(),
            test: WindowedTest::new(WorseTest::from(config.margin)),
            step: Segment::default(),
            canary_failures: 0,
            single: false,
            config,
        };
        gate.test.enter(stratum);
        gate.bins.close(now_ms);
        gate
    }

    /// What the gate was asked.
    pub fn config(&self) -> &FailureConfig {
        &self.config
    }

    /// Begins the next step: another share, a new stratum, a new slot. Evidence that v2
    /// is worse carries on; evidence that it is healthy starts afresh.
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
        self.clock = self.clock.next_step(now_ms, planned_ms);
        self.test.advance(self.clock.slot(now_ms));
        self.test.enter(stratum);
        self.step = self.test.windows().total(stratum).segment;
        Ok(())
    }

    /// Lets time act: closes a bin that is over, begins slots.
    ///
    /// # Errors
    /// When there are too many strata.
    pub fn tick(&mut self, now_ms: u64) -> Result<(), TooManyStrata> {
        if self.bins.is_over(now_ms) {
            self.close_bin(now_ms)?;
        }
        self.test.advance(self.clock.slot(now_ms));
        Ok(())
    }

    /// Counts one request of the current stratum, and says what of it was new in its
    /// bin. Other gates should count the same.
    ///
    /// # Errors
    /// When there are too many strata.
    pub fn record(&mut self, report: &Report, now_ms: u64) -> Result<Addition, TooManyStrata> {
        if self.bins.is_over(now_ms) {
            self.tick(now_ms)?;
        }
        self.single = true;
        Ok(self.bins.record(report, now_ms))
    }

    /// Adds counts of the current stratum that were aggregated elsewhere.
    ///
    /// # Errors
    /// When there are too many strata.
    pub fn record_total(&mut self, counts: &Segment, now_ms: u64) -> Result<(), TooManyStrata> {
        self.tick(now_ms)?;
        self.add(&FailureTally::from(*counts))
    }

    /// Failures of one client on the canary since `since_ms` speak for "worse" no longer: it
    /// is served by the control again, and was the only one to suffer.
    ///
    /// They still stand against "healthy": the data chose whom to leave out, and a test that
    /// leaves out the worst finds everything healthy. Of "worse" it can only make less
    /// (`counting fewer canary failures never invents evidence`). Where in the counts they
    /// are nobody knows, so each count since then gives its part, and none more than it has.
    pub fn excuse(&mut self, since_ms: u64, failures: u64, now_ms: u64) {
        let minutes = now_ms.saturating_sub(since_ms) / 60_000 + 1;
        let failures = if self.single { failures.min(minutes) } else { failures };
        let slot = if self.clock.is_before(since_ms) { 0 } else { self.clock.slot(since_ms) };
        let mut all = 0_u64;
        self.test.change_since(slot, &mut |tally| all = all.saturating_add(tally.counting_milli()));
        let excused = failures.saturating_mul(MILLI).min(all);
        let part = excused as f64 / all.max(1) as f64;
        self.test.change_since(slot, &mut |tally| {
            let counting = tally.counting_milli();
            let excused = ((counting as f64 * part) as u64).min(counting);
            tally.withheld_milli = tally.withheld_milli.saturating_add(excused);
        });
    }

    /// Adds what another node of the same rollout counted.
    ///
    /// # Errors
    /// When there would be too many strata; nothing is added then.
    pub fn merge(&mut self, other: &Windows<FailureTally>) -> Result<(), TooManyStrata> {
        self.test.merge(other)?;
        self.step = self.test.windows().total(self.test.current()).segment;
        self.canary_failures = canary_failures(&self.test.windows().since(0, None));
        Ok(())
    }

    /// The counts, for another node to merge. The open bin is not among them.
    pub fn windows(&self) -> &Windows<FailureTally> {
        self.test.windows()
    }

    /// Reports that were late, ahead, or too many.
    pub fn irregular(&self) -> Irregular {
        self.bins.irregular()
    }

    /// Everything of the current step, the open bin included.
    pub fn step(&self) -> Segment {
        let mut step = self.step;
        step.merge(self.bins.open());
        step
    }

    /// What the counts say now. Cheap enough for every batch of reports.
    pub fn judge(&mut self) -> Finding {
        let worse = self.test.reaches(&self.open(), self.config.alpha.threshold());
        self.decide(worse, self.not_worse())
    }

    /// [`FailureGate::judge`] with every number behind it.
    pub fn evidence(&mut self) -> FailureEvidence {
        let config = self.config;
        let windowed = self.test.judge(&self.open());
        let proves = windowed.log_e >= config.alpha.threshold();
        let not_worse = self.not_worse();
        let finding = self.decide(Some(windowed).filter(|_| proves), not_worse);
        // A window that proves something is shown; otherwise everything is, for the one
        // that happens to lead may hold next to nothing.
        let (slot, weight) =
            if proves { (windowed.leading_slot, windowed.leading_weight) } else { (0, weight(0)) };
        let strata = self.window(slot);
        // One interval per window, each at its window's part of alpha: all hold at once,
        // so the leading one may be shown although the data chose it.
        let interval_alpha = config.alpha.times(weight);
        let segments: Vec<Segment> = strata.iter().map(|tally| tally.segment).collect();
        let mut counted = FailureTally::default();
        strata.iter().for_each(|tally| counted.merge(tally));
        FailureEvidence {
            finding,
            step: self.step(),
            window: counted.segment,
            window_from_slot: slot,
            slots: self.test.windows().newest().saturating_add(1),
            strata: segments.len(),
            canary_failures: self.all_canary_failures(),
            withheld_failures: counted.withheld(),
            log_e_worse: windowed.log_e,
            threshold_worse: config.alpha.threshold(),
            log_e_ok: not_worse.combined,
            log_e_ok_ratio: not_worse.ratio,
            log_e_ok_difference: not_worse.difference,
            threshold_ok: config.beta.threshold(),
            ratio: mantel_haenszel_ratio(&segments).filter(|ratio| ratio.is_finite()),
            ratio_interval: ratio_cs(&segments, interval_alpha),
            difference_interval: difference_cs(&self.step(), config.alpha),
            interval_alpha,
            config,
            irregular: self.irregular(),
        }
    }

    fn not_worse(&self) -> NotWorse {
        log_e_ok(&self.step(), self.config.not_worse)
    }

    /// `worse` is the evidence if it suffices.
    fn decide(&self, worse: Option<Windowed>, not_worse: NotWorse) -> Finding {
        Failures {
            worse: worse.is_some(),
            log_e_ok: not_worse.combined,
            canary_failures: self.all_canary_failures(),
            // Looked up only when it decides: it walks the table.
            ratio: worse.and_then(|windowed| self.ratio_since(windowed.leading_slot)),
        }
        .judge(&self.config)
    }

    /// The open bin, with what it may say at the share the step has turned out to have.
    fn open(&self) -> FailureTally {
        let segment = *self.bins.open();
        if segment.canary_failures() == 0 {
            return FailureTally::from(segment);
        }
        let share = self.step().share().unwrap_or_default();
        let left = self.episode.left(bin_of(self.bins.start_ms()), share);
        let limit = left.min(bin_limit(share, self.config.bin_cap));
        let (canary, control) = (segment.canary_failures(), segment.control_failures());
        FailureTally { segment, withheld_milli: withheld_milli(canary, control, share, limit) }
    }

    fn close_bin(&mut self, now_ms: u64) -> Result<(), TooManyStrata> {
        let open = self.open();
        if open != FailureTally::default() {
            let share = self.step().share().unwrap_or_default();
            let said = nats(open.counts().e_t, open.segment.control_failures(), share);
            self.episode.spend(bin_of(self.bins.start_ms()), said);
            // The slots begun until the bin was last used: it belongs to its own time.
            self.add(&open)?;
        }
        self.bins.close(now_ms);
        Ok(())
    }

    fn add(&mut self, tally: &FailureTally) -> Result<(), TooManyStrata> {
        self.test.add(self.test.windows().newest(), self.test.current(), tally)?;
        self.step.merge(&tally.segment);
        self.canary_failures = self.canary_failures.saturating_add(tally.segment.canary_failures());
        Ok(())
    }

    fn all_canary_failures(&self) -> u64 {
        self.canary_failures.saturating_add(self.bins.open().canary_failures())
    }

    /// The strata of a window, the open bin included.
    fn window(&self, slot: u32) -> Vec<FailureTally> {
        let current = self.test.current();
        let mut strata = self.test.windows().since(slot, None);
        let open = self.open();
        if open != FailureTally::default() {
            match strata.binary_search_by_key(&current, |(stratum, _)| *stratum) {
                Ok(index) => strata[index].1.merge(&open),
                Err(index) => strata.insert(index, (current, open)),
            }
        }
        strata.into_iter().map(|(_, tally)| tally).collect()
    }

    fn ratio_since(&self, slot: u32) -> Option<f64> {
        let segments: Vec<Segment> =
            self.window(slot).into_iter().map(|tally| tally.segment).collect();
        mantel_haenszel_ratio(&segments)
    }
}

fn canary_failures(strata: &[(Stratum, FailureTally)]) -> u64 {
    strata.iter().fold(0, |sum, (_, tally)| sum.saturating_add(tally.segment.canary_failures()))
}
