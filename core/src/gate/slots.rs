//! Slots of time, the windows that begin at their borders, and what each may bet.

use borsh::{BorshDeserialize, BorshSerialize};

/// Slots in a step as planned; also restarts in a block of weights.
const SLOTS_PER_STEP: u32 = 24;

/// The shortest slot, in milliseconds: a minute.
const SLOT_MS_MIN: u64 = 60_000;

/// Weight of the window that holds everything.
const WHOLE: f64 = 0.5;

/// Weight of the first block of restarts together; the later ones share 0.1 more.
const FIRST_BLOCK: f64 = 0.9;

/// Slots back to which every border is remembered; see [`spacing`].
const FINE: u32 = 2 * SLOTS_PER_STEP;

/// Turns a time into the number of its slot, counted through the whole rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SlotClock {
    first_slot: u32,
    start_ms: u64,
    slot_ms: u64,
}

impl SlotClock {
    /// The clock of a rollout's first step, which is planned to last `planned_ms`.
    pub fn start(now_ms: u64, planned_ms: u64) -> SlotClock {
        let slot_ms = (planned_ms / u64::from(SLOTS_PER_STEP)).max(SLOT_MS_MIN);
        SlotClock { first_slot: 0, start_ms: now_ms, slot_ms }
    }

    /// The clock of the next step: it opens a new slot at once.
    #[must_use]
    pub fn next_step(self, now_ms: u64, planned_ms: u64) -> SlotClock {
        let first_slot = self.slot(now_ms).saturating_add(1);
        SlotClock { first_slot, ..SlotClock::start(now_ms, planned_ms) }
    }

    /// Whether a time is before the step.
    pub(crate) fn is_before(&self, now_ms: u64) -> bool {
        now_ms < self.start_ms
    }

    /// The slot of a time. A time before the step belongs to its first slot.
    pub fn slot(&self, now_ms: u64) -> u32 {
        let slots = now_ms.saturating_sub(self.start_ms) / self.slot_ms;
        self.first_slot.saturating_add(u32::try_from(slots).unwrap_or(u32::MAX))
    }
}

/// `ln` of the weight of the window that begins with slot `start`.
///
/// Half the weight is on everything (slot 0), 0.45 on the next 24 restarts, and
/// `0.05 * 2^-b` on the b-th block of 24 after those. All weights together are 1, and
/// each is fixed before its window begins.
pub(crate) fn ln_weight(start: u32) -> f64 {
    let Some(restart) = start.checked_sub(1) else {
        return libm::log(WHOLE);
    };
    let block = restart / SLOTS_PER_STEP;
    let share = if block == 0 { FIRST_BLOCK } else { 1.0 - FIRST_BLOCK };
    let ln_each = libm::log((1.0 - WHOLE) * share / f64::from(SLOTS_PER_STEP));
    ln_each - f64::from(block) * std::f64::consts::LN_2
}

/// The weight itself; may be 0 for a window that begins after thousands of slots.
pub(crate) fn weight(start: u32) -> f64 {
    libm::exp(ln_weight(start))
}

/// Every how many slots a border of that age is remembered: each up to 48 slots back,
/// every second up to 96, every fourth up to 192, and so on.
///
/// A rollout of any length so keeps 24 windows per doubling of its age: 48 after two
/// steps of 24 slots, 127 after twenty, at most 680 ever. A window that is forgotten
/// takes its weight along, which can only lower the evidence; a regression that began
/// at a forgotten border is found from the nearest one kept, at most a 24th of its age
/// away.
fn spacing(age: u32) -> u32 {
    if age < FINE {
        return 1;
    }
    // 2^floor(log2(age / 24)): 24 · 2^k <= age.
    1 << (age / SLOTS_PER_STEP).ilog2()
}

/// The latest remembered border at or before `slot`, seen from slot `newest`.
///
/// What is remembered later is a part of what is remembered now, so counts may be
/// moved to their border at any time and in any order with the same result.
pub(crate) fn border_at_or_before(slot: u32, newest: u32) -> u32 {
    let mut border = slot.min(newest);
    loop {
        // Moving back makes it older, and its octave may be a coarser one.
        let beyond = border % spacing(newest - border);
        if beyond == 0 {
            return border;
        }
        border -= beyond;
    }
}

/// The border before this one; `None` at the beginning.
pub(crate) fn border_before(border: u32, newest: u32) -> Option<u32> {
    Some(border_at_or_before(border.checked_sub(1)?, newest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn borders(newest: u32) -> Vec<u32> {
        let mut all = vec![newest];
        while let Some(border) = border_before(all[all.len() - 1], newest) {
            all.push(border);
        }
        all
    }

    #[test]
    fn all_weights_together_are_one_and_shrink_by_blocks() {
        let sum: f64 = (0..24 * 60).map(|start| libm::exp(ln_weight(start))).sum();
        assert!((sum - 1.0).abs() < 1e-12, "{sum}");
        assert_eq!(ln_weight(1), ln_weight(24));
        assert!((ln_weight(24) - libm::log(0.5 * 0.9 / 24.0)).abs() < 1e-15);
        assert!((ln_weight(25) - libm::log(0.5 * 0.1 / 24.0 / 2.0)).abs() < 1e-14);
        assert!(ln_weight(u32::MAX).is_finite());
    }

    #[test]
    fn every_border_of_two_steps_is_remembered_and_old_ones_thin_out() {
        assert_eq!(borders(47), (0..48).rev().collect::<Vec<_>>());
        assert_eq!(borders(480).len(), 127);
        assert!(borders(u32::MAX).len() <= 680, "{}", borders(u32::MAX).len());
        assert_eq!(borders(1_000_003).last(), Some(&0));
    }

    #[test]
    fn what_is_remembered_later_was_remembered_before() {
        for newest in 1..2_000 {
            let before = borders(newest - 1);
            for border in borders(newest).into_iter().skip(1) {
                assert!(before.contains(&border), "{border} at {newest}");
            }
        }
    }

    #[test]
    fn a_new_step_opens_a_new_slot_and_a_clock_gone_back_stays_in_it() {
        let clock = SlotClock::start(1_000, 24 * 60_000 * 2);
        assert_eq!(clock.slot(0), 0);
        assert_eq!(clock.slot(1_000 + 120_000), 1);
        let next = clock.next_step(1_000 + 120_001, 0);
        assert_eq!(next.slot(500), 2);
        assert_eq!(next.slot(1_000 + 120_001 + 60_000), 3);
        assert_eq!(next.slot(u64::MAX), u32::MAX);
    }
}
