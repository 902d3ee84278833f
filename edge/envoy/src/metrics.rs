//! What Envoy's statistics show of the filter.
//!
//! Requests are counted in the instance's memory and added to Envoy's counters by the next
//! tick, so that no request pays for a host call. Labels stand in a metric's name, as
//! `;label=value`; the `stats_tags` of `envoy.yaml` make Prometheus labels of them.

use crossfade_core::protocol::Reason;
use crossfade_core::protocol::totals::ShadowTotals;

use crate::control::Kind;
use crate::host::{Host, Metric};

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// With a status of 100 to 599, by its first digit; others count as the nearest.
    Status(u16),
    /// Without a response.
    None,
}

const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// What is counted of mirrored requests.
const SHADOW: [&str; 4] = ["compared", "differed", "failures", "dropped"];

impl Class {
    fn place(self) -> usize {
        match self {
            Class::None => 0,
            Class::Status(status) => usize::from((status / 100).clamp(1, 5)),
        }
    }
}

/// A counter of Envoy's, and what is to be added to it.
#[derive(Debug, Clone, Copy, Default)]
struct Counter {
    id: Option<u32>,
    pending: u64,
}

impl Counter {
    fn count(&mut self) {
        self.add(1);
    }

    fn add(&mut self, count: u64) {
        self.pending = self.pending.saturating_add(count);
    }

    /// Adds what is pending; the counter is defined when there first is something.
    fn flush(&mut self, host: &impl Host, name: impl FnOnce() -> String) {
        if self.pending == 0 {
            return;
        }
        if self.id.is_none() {
            self.id = host.define(Metric::Counter, &name());
        }
        if let Some(id) = self.id {
            host.add(id, self.pending);
            self.pending = 0;
        }
    }
}

/// A gauge of Envoy's: one for all instances in the process, the last that writes counts.
#[derive(Debug, Clone, Copy, Default)]
struct Gauge {
    id: Option<u32>,
}

impl Gauge {
    fn set(&mut self, host: &impl Host, name: &str, value: u64) {
        if self.id.is_none() {
            self.id = host.define(Metric::Gauge, name);
        }
        if let Some(id) = self.id {
            host.set(id, value);
        }
    }
}

/// All metrics of one instance.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    /// By slot, then by reason.
    decisions: Vec<[Counter; Reason::ALL.len()]>,
    /// By slot, then by class.
    outcomes: Vec<[Counter; CLASSES.len()]>,
    without_policy: Counter,
    control_errors: [Counter; Kind::ALL.len()],
    client_reports: Counter,
    client_reports_refused: Counter,
    client_requests_dropped: Counter,
    /// Of mirrored requests, as of `SHADOW`.
    shadow: [Counter; SHADOW.len()],
    dropped_before: u64,
    revision: Gauge,
    tripped: Gauge,
}

impl Metrics {
    /// Makes room for so many slots.
    pub(crate) fn grow(&mut self, slots: usize) {
        self.decisions.resize(slots, Default::default());
        self.outcomes.resize(slots, Default::default());
    }

    pub(crate) fn decided(&mut self, slot: usize, reason: Reason) {
        let place = usize::from(reason.code()).saturating_sub(1);
        if let Some(counter) = self.decisions.get_mut(slot).and_then(|c| c.get_mut(place)) {
            counter.count();
        }
    }

    pub(crate) fn ended(&mut self, slot: usize, class: Class) {
        if let Some(counter) = self.outcomes.get_mut(slot).and_then(|c| c.get_mut(class.place())) {
            counter.count();
        }
    }

    pub(crate) fn without_policy(&mut self) {
        self.without_policy.count();
    }

    pub(crate) fn control_error(&mut self, kind: Kind) {
        if let Some(counter) = self.control_errors.get_mut(kind as usize) {
            counter.count();
        }
    }

    pub(crate) fn client_reported(&mut self) {
        self.client_reports.count();
    }

    pub(crate) fn client_report_refused(&mut self) {
        self.client_reports_refused.count();
    }

    pub(crate) fn mirrored(&mut self, seen: ShadowTotals) {
        let counts = [seen.compared, seen.differed, seen.failures, seen.dropped];
        for (counter, count) in self.shadow.iter_mut().zip(counts) {
            counter.add(count);
        }
    }

    /// So many so far.
    pub(crate) fn client_requests_dropped(&mut self, requests: u64) {
        let before = std::mem::replace(&mut self.dropped_before, requests);
        self.client_requests_dropped.add(requests.saturating_sub(before));
    }

    pub(crate) fn policy(&mut self, host: &impl Host, revision: u64) {
        self.revision.set(host, "crossfade_policy_revision", revision);
    }

    pub(crate) fn guard(&mut self, host: &impl Host, tripped: bool) {
        self.tripped.set(host, "crossfade_guard_tripped", u64::from(tripped));
    }

    /// Adds what was counted since the last time to Envoy's counters; `names` are those
    /// of the slots.
    pub(crate) fn flush<'n>(&mut self, host: &impl Host, names: impl Iterator<Item = &'n str>) {
        for ((name, decisions), outcomes) in names.zip(&mut self.decisions).zip(&mut self.outcomes)
        {
            let named = |metric: &str, label: &str, value: &str| {
                format!("{metric};version={};{label}={value}", label_value(name))
            };
            for (reason, counter) in Reason::ALL.iter().zip(decisions) {
                counter.flush(host, || named("crossfade_decisions", "reason", reason.as_str()));
            }
            for (class, counter) in CLASSES.iter().zip(outcomes) {
                counter.flush(host, || named("crossfade_outcomes", "class", class));
            }
        }
        self.without_policy.flush(host, || "crossfade_requests_without_policy".to_owned());
        let counter = &mut self.client_reports;
        counter.flush(host, || "crossfade_client_reports".to_owned());
        let counter = &mut self.client_reports_refused;
        counter.flush(host, || "crossfade_client_reports_refused".to_owned());
        let counter = &mut self.client_requests_dropped;
        counter.flush(host, || "crossfade_client_requests_dropped".to_owned());
        for (what, counter) in SHADOW.iter().zip(&mut self.shadow) {
            counter.flush(host, || format!("crossfade_shadow_{what}"));
        }
        for (kind, counter) in Kind::ALL.iter().zip(&mut self.control_errors) {
            counter.flush(host, || format!("crossfade_control_errors;kind={}", kind.as_str()));
        }
    }
}

/// A version's name without what ends a label.
fn label_value(name: &str) -> String {
    name.replace(';', "_")
}
