//! What stands between two phases.

use std::fmt;

use crossfade_protocol::Share;
use crossfade_protocol::plan::Instant;
use crossfade_protocol::words::counted;

use super::{Facts, Phase};
use crate::rollout;

const DAY_MS: u64 = 86_400_000;

/// Something that is missing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Need {
    /// The old version is gone, and stays so.
    Alive,
    /// Another phase comes between.
    Between(Phase),
    /// The plan has no shadow.
    Shadow,
    /// Somebody is on the new version.
    Nobody(Share),
    /// Everybody is on the new version.
    NotEverybody,
    /// Not everybody is on the new version.
    Everybody(Share),
    /// As before, where it may be overruled.
    RatherEverybody(Share),
    /// No rollout runs.
    Rollout,
    /// A rollout runs.
    NoRollout,
    /// The last rollout was taken back.
    GoodRollout,
    /// The old version is not deprecated, or not yet.
    Deprecation(Option<u64>),
    /// The old version is deprecated.
    NoDeprecation,
    /// No brownout runs.
    Brownout,
    /// A brownout runs.
    NoBrownout,
    /// Brownouts are still to come.
    BrownoutsOver(usize),
    /// There is no date for the sunset.
    SunsetDate,
    /// The sunset is still to come.
    Sunset(u64),
    /// The sunset has passed.
    NoSunset(u64),
    /// The notice is too short: days given, days asked for.
    Notice(u64, u32),
    /// Too little was compared: so many of so many.
    Compared(u64, u64),
    /// Too many answers differed: so many of so many.
    Alike(u64, u64),
    /// Clients still depend on the old version.
    Ready,
}

impl Need {
    /// Whether no force makes up for it.
    pub(super) fn is_hard(&self) -> bool {
        !matches!(
            self,
            Need::RatherEverybody(_)
                | Need::GoodRollout
                | Need::NoBrownout
                | Need::BrownoutsOver(_)
                | Need::Notice(..)
                | Need::Compared(..)
                | Need::Alike(..)
                | Need::Ready
        )
    }
}

/// Tells everything that stands between two phases.
pub(super) fn missing(from: Phase, to: Phase, facts: &Facts, tell: &mut impl FnMut(Need)) {
    if from == Phase::Gone {
        return tell(Need::Alive);
    }
    if let Some(between) = between(from, to) {
        tell(Need::Between(between));
    }
    let mut unless = |holds: bool, need: Need| {
        if !holds {
            tell(need);
        }
    };
    let deprecated = facts.is_past(facts.deprecated_ms);
    let sunset = facts.sunset_ms.filter(|_| facts.is_past(facts.sunset_ms));
    if to < Phase::Sunset
        && let Some(sunset_ms) = sunset
    {
        unless(false, Need::NoSunset(sunset_ms));
    }
    match to {
        Phase::Shadow => {
            unless(facts.shadow.is_some(), Need::Shadow);
            unless(facts.share == Share::ZERO, Need::Nobody(facts.share));
            unless(!facts.rollout_runs(), Need::NoRollout);
        }
        Phase::Canary => {
            unless(!facts.is_full(), Need::NotEverybody);
            unless(!facts.rollout_runs(), Need::NoRollout);
        }
        Phase::Rollout => unless(facts.rollout_runs(), Need::Rollout),
        Phase::Complete => {
            unless(facts.is_full(), Need::Everybody(facts.share));
            unless(!facts.rollout_runs(), Need::NoRollout);
            unless(from < to || !deprecated, Need::NoDeprecation);
            unless(!facts.rollout.is_some_and(rollout::Phase::is_back), Need::GoodRollout);
        }
        Phase::Deprecated => {
            unless(deprecated, Need::Deprecation(facts.deprecated_ms));
            unless(facts.is_full(), Need::RatherEverybody(facts.share));
            unless(!facts.brownout_runs, Need::NoBrownout);
        }
        Phase::Brownout => {
            unless(facts.brownout_runs, Need::Brownout);
            unless(facts.is_full(), Need::RatherEverybody(facts.share));
        }
        Phase::Sunset => {
            unless(facts.sunset_ms.is_some(), Need::SunsetDate);
            unless(facts.is_full(), Need::RatherEverybody(facts.share));
            if let (Some(from_ms), Some(to_ms)) = (facts.deprecated_ms, facts.sunset_ms) {
                let days = to_ms.saturating_sub(from_ms) / DAY_MS;
                let asked = facts.notice_days;
                unless(days >= u64::from(asked), Need::Notice(days, asked));
            }
            unless(!facts.brownout_runs, Need::NoBrownout);
            unless(facts.brownouts_left == 0, Need::BrownoutsOver(facts.brownouts_left));
            unless(facts.ready, Need::Ready);
        }
        Phase::Gone => {
            match facts.sunset_ms {
                None => unless(false, Need::SunsetDate),
                Some(sunset_ms) => unless(sunset.is_some(), Need::Sunset(sunset_ms)),
            }
            unless(facts.is_full(), Need::RatherEverybody(facts.share));
            unless(facts.ready, Need::Ready);
        }
    }
    if from == Phase::Shadow
        && let Some(seen) = facts.shadow
    {
        unless(
            seen.requests >= seen.min_requests,
            Need::Compared(seen.requests, seen.min_requests),
        );
        unless(
            seen.mismatches as f64 <= seen.requests as f64 * seen.max_mismatch,
            Need::Alike(seen.mismatches, seen.requests),
        );
    }
}

/// A phase that must not be left out on the way forward.
fn between(from: Phase, to: Phase) -> Option<Phase> {
    match (from, to) {
        (Phase::Shadow, Phase::Complete | Phase::Deprecated) => Some(Phase::Rollout),
        (Phase::Shadow | Phase::Canary | Phase::Rollout, Phase::Brownout | Phase::Sunset) => {
            Some(Phase::Deprecated)
        }
        (Phase::Complete, Phase::Sunset) => Some(Phase::Deprecated),
        (from, Phase::Gone) if from != Phase::Sunset => Some(Phase::Sunset),
        _ => None,
    }
}

impl fmt::Display for Need {
    /// What would have to be the case, and what is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match *self {
            Need::Alive => "the old version is gone, and stays so",
            Need::Between(phase) => {
                return write!(f, "`{}` has to come between", phase.as_str());
            }
            Need::Shadow => "the plan has no `shadow`",
            Need::Nobody(share) => {
                return write!(f, "the new version has {share}: take it back to 0 % first");
            }
            Need::NotEverybody => "the new version has 100 %: lower the share first",
            Need::Everybody(share) | Need::RatherEverybody(share) => {
                return write!(f, "the new version has {share}, not 100 %");
            }
            Need::Rollout => "no rollout runs: start one first",
            Need::NoRollout => "a rollout runs: wait for its end, or abort it",
            Need::GoodRollout => "the last rollout was taken back",
            Need::Deprecation(None) => "the plan has no `deprecation`",
            Need::Deprecation(Some(at_ms)) => {
                return write!(f, "the deprecation of {} is to come", Instant::of_ms(at_ms));
            }
            Need::NoDeprecation => {
                "the old version is deprecated: take `deprecation` out of the plan first"
            }
            Need::Brownout => "no brownout runs",
            Need::NoBrownout => "a brownout runs: wait for its end, or stop it",
            Need::BrownoutsOver(left) => return write!(f, "brownouts still to come: {left}"),
            Need::SunsetDate => "the plan has no `deprecation.sunset_at`",
            Need::Sunset(at_ms) => {
                return write!(f, "the sunset of {} is to come", Instant::of_ms(at_ms));
            }
            Need::NoSunset(at_ms) => {
                return write!(
                    f,
                    "the sunset of {} has passed and calls are refused: move it first",
                    Instant::of_ms(at_ms)
                );
            }
            Need::Notice(days, asked) => {
                return write!(
                    f,
                    "clients have {} of notice, and `sunset.notice_days` asks for {asked}",
                    counted(days, "day")
                );
            }
            Need::Compared(seen, asked) => {
                return write!(f, "answers compared so far: {seen}, asked for: {asked}");
            }
            Need::Alike(differed, seen) => {
                return write!(f, "{differed} of {seen} answers differed, which is too many");
            }
            Need::Ready => {
                "clients may still depend on the old version: the checks of the sunset say why"
            }
        };
        f.write_str(text)
    }
}
