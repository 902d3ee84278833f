//! What a plan may say of its dates and its clients but probably does not mean.

use crate::error::Problem;
use crate::limits::BROWNOUT_CLIENTS_MAX;
use crate::plan::{Brownout, Deprecation, Instant, OldVersionAfter, Plan};
use crate::share::{Minutes, Share};
use crate::words::{counted, measured, plural};

/// The least time for which a plan may announce a brownout and still be of use: clients that
/// call once a day should meet the announcement.
const NOTICE: u64 = 86_400_000;

pub(super) fn of(plan: &Plan, warnings: &mut Vec<Problem>) {
    let dates = plan.deprecation.as_ref();
    let mut warn = |path: String, message: &str| {
        warnings.push(Problem { path, message: message.to_owned() });
    };
    if let Some(dates) = dates {
        of_deprecation(plan, dates, &mut warn);
    } else if !plan.brownouts.is_empty() {
        warn(
            "brownouts".into(),
            "there is no `deprecation`: refused clients are not told why, nor until when to move",
        );
    }
    for (place, brownout) in plan.brownouts.iter().enumerate() {
        let path = |field: &str| format!("brownouts[{place}]{field}");
        of_brownout(brownout, dates, |field, message| warn(path(field), message));
        let earlier = plan.brownouts.get(..place).unwrap_or_default().iter();
        if let Some(other) = earlier.rev().find(|other| overlap(other, brownout)) {
            let message = format!(
                "overlaps with `{}`: a client is refused when either hits it, so more are than \
                 each says",
                other.name
            );
            warn(path(""), &message);
        }
    }
    if let Some(key) = plan.clients.pinned_back.iter().find(|key| {
        plan.pins.get(*key).is_some_and(|version| version == plan.versions.new_version())
    }) {
        let message = format!(
            "`{}` is pinned to {} as well: being pinned back counts",
            crate::json::shown(key),
            plan.versions.new_version()
        );
        warn("clients.pinned_back".into(), &message);
    }
    let Some(shadow) = &plan.shadow else { return };
    if shadow.percentage == Share::ZERO {
        warn("shadow.percentage".into(), "is 0 %: nothing is compared");
    }
    if !shadow.stopped && plan.mirrors().is_none() {
        let newest = plan.versions.new_version();
        let message = format!("is over before it begins: {newest} has a share of the traffic");
        warn("shadow".into(), &message);
    }
}

fn of_deprecation(plan: &Plan, dates: &Deprecation, warn: &mut impl FnMut(String, &str)) {
    let path = |field: &str| format!("deprecation.{field}");
    match dates.sunset_at {
        Some(sunset) => {
            let notice_ms = sunset.unix_ms().saturating_sub(dates.deprecated_at.unix_ms());
            let asked_ms = u64::from(plan.sunset.notice_days) * 86_400_000;
            if notice_ms < asked_ms {
                let message = format!(
                    "is {} after the deprecation: `sunset.notice_days` asks for {}",
                    counted(notice_ms / 86_400_000, "day"),
                    plan.sunset.notice_days
                );
                warn(path("sunset_at"), &message);
            }
        }
        None if dates.after == OldVersionAfter::Redirect => {
            warn(path("after"), "has no effect: there is no `sunset_at`");
        }
        None => {}
    }
    if dates.after == OldVersionAfter::Redirect
        && dates.successor.is_some()
        && dates.successor_origin().is_none()
    {
        warn(
            path("successor"),
            "is more than an origin: after the sunset every call is redirected to this one \
             address, without its own path",
        );
    }
}

fn of_brownout(brownout: &Brownout, dates: Option<&Deprecation>, mut warn: impl FnMut(&str, &str)) {
    let (start_ms, end_ms) = (brownout.start_ms(), brownout.end_ms());
    if brownout.percentage == Share::ZERO {
        warn(".percentage", "is 0 %: it refuses nobody");
    }
    if brownout.status < 500 && !matches!(brownout.status, 403 | 404 | 410 | 429) {
        let message = format!(
            "is {}: clients take it for a mistake of their own; 503 says come again",
            brownout.status
        );
        warn(".status", &message);
    }
    if brownout.stopped_at.is_none() && brownout.announce_minutes.ms() < NOTICE {
        let message = format!(
            "announces it {} ahead: a client that calls once a day may not see it",
            measured(brownout.announce_minutes.minutes(), "minute")
        );
        warn(".announce_minutes", &message);
    }
    let clients = brownout.stop_when.and_then(|bound| bound.clients);
    if clients.is_some_and(|clients| clients > BROWNOUT_CLIENTS_MAX as u64) {
        let message =
            format!("stops it at {BROWNOUT_CLIENTS_MAX}: more clients are not told apart");
        warn(".stop_when.clients", &message);
    }
    let Some(dates) = dates else { return };
    let deprecated = dates.deprecated_at;
    if start_ms < deprecated.unix_ms() {
        warn(".start", &format!("is before the deprecation of {deprecated}"));
    } else if brownout.announce_ms() < deprecated.unix_ms()
        && brownout.announce_minutes != Brownout::announced()
    {
        let fits = Minutes::from_ms(start_ms - deprecated.unix_ms()).minutes();
        let message = format!(
            "begins to announce it before the deprecation of {deprecated}: at most {} fit{}",
            measured(fits, "minute"),
            plural(fits != 1.0)
        );
        warn(".announce_minutes", &message);
    }
    if let Some(sunset) = dates.sunset_at
        && end_ms > sunset.unix_ms()
    {
        let end = Instant::of_ms(end_ms);
        let message = format!("ends on {end}, after the sunset of {sunset}: all are refused then");
        warn(if start_ms > sunset.unix_ms() { ".start" } else { ".minutes" }, &message);
    }
}

fn overlap(one: &Brownout, other: &Brownout) -> bool {
    one.start_ms() < other.end_ms() && other.start_ms() < one.end_ms()
}
