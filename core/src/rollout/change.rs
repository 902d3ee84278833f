//! What a rollout says of itself.

use borsh::{BorshDeserialize, BorshSerialize};
use crossfade_protocol::Share;
use crossfade_protocol::share::Minutes;
use serde::Serialize;

/// Why the new version is taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, BorshSerialize, BorshDeserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackBecause {
    /// It was found worse.
    Unhealthy,
    /// Data were missing for too long.
    MissingData,
    /// An operator said so.
    Operator,
}

/// Something that changed.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Change {
    /// A step began.
    StepStarted {
        /// Its number, from 1.
        step: usize,
        /// The share of the new version from now on.
        percentage: Share,
    },
    /// The next step waits for the end of a freeze window.
    Frozen {
        /// Its number, from 1.
        step: usize,
        /// When the window ends.
        until_ms: u64,
    },
    /// A step has its time and its evidence.
    StepPassed {
        /// Its number, from 1.
        step: usize,
    },
    /// A step waits for evidence.
    Held {
        /// Its number, from 1.
        step: usize,
    },
    /// A step waits for a person.
    ApprovalNeeded {
        /// Its number, from 1.
        step: usize,
    },
    /// A step has waited for evidence as long as it may.
    TimedOut {
        /// Its number, from 1.
        step: usize,
        /// How long that was.
        max_minutes: Minutes,
    },
    /// An operator stopped the clock.
    Paused,
    /// An operator let it run again.
    Resumed,
    /// An operator skipped the rest of the step, or of the rollout.
    Promoted {
        /// All remaining steps.
        full: bool,
    },
    /// The new version is being taken back.
    RollbackStarted {
        /// The step it happened in, from 1.
        step: usize,
        /// The share it had.
        from: Share,
        /// Why.
        because: BackBecause,
    },
    /// A part of it has been taken back.
    SteppedBack {
        /// The share it has left.
        percentage: Share,
    },
    /// The new version has been taken back.
    RolledBack {
        /// The step it happened in, from 1.
        step: usize,
    },
    /// An operator's abort is done.
    Aborted {
        /// The step it happened in, from 1.
        step: usize,
    },
    /// An operator began again.
    Retried,
    /// An operator restored the share from before the rollout.
    Undone {
        /// That share.
        percentage: Share,
    },
    /// The last step has passed; health is watched a while longer.
    WatchStarted {
        /// How long.
        watch_minutes: Minutes,
    },
    /// It is over, and the new version stays.
    Completed {
        /// The share it ended with.
        percentage: Share,
        /// How long it took.
        duration_minutes: Minutes,
    },
}
