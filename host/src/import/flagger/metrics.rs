//! The two metrics that Flagger brings along become the gate's bounds.

use super::super::draft::Latency;
use super::super::source::Field;
use super::Import;

pub(super) const NO_SERVER: &str = "no metrics server is asked: outcomes of both versions are \
                                    reported to Crossfade with `report_outcomes`, and compared \
                                    with each other";

const BESIDE: &str = "is tested on the requests that are reported, at every report; and beside it \
                      the new version is always compared with the old one";

impl Import<'_> {
    pub(super) fn metric(&mut self, metric: &Field<'_>) {
        let name = metric.value["name"].as_str().unwrap_or_default();
        let is_builtin = metric.get("templateRef").is_none() && metric.get("query").is_none();
        let min = metric.find(&["thresholdRange", "min"]);
        let max = metric.find(&["thresholdRange", "max"]);
        let threshold = metric.get("threshold");
        // `threshold` was the name for both before there were ranges.
        let (bound, other) = match name {
            "request-success-rate" if is_builtin => (min.or(threshold), max),
            "request-duration" if is_builtin => (max.or(threshold), min),
            _ => {
                self.ledger.left(
                    metric,
                    "a query of your own cannot become a gate: if it is about failures or \
                     latency, say its bound with `gate.slo` or `gate.latency`; if not, watch it \
                     where you do now and send `abort_rollout`",
                );
                return;
            }
        };
        for (key, field) in metric.fields() {
            match key {
                "name" => self.ledger.carried(&field, "gate"),
                "interval" => {
                    self.ledger.left(&field, "every report counts: there is no window to choose");
                }
                "thresholdRange" | "threshold" => {}
                "templateVariables" => self.ledger.left(&field, NO_SERVER),
                _ => self.ledger.unknown(&field),
            }
        }
        if let Some(other) = other {
            self.ledger.left(&other, "bounds the good side, which no gate does");
        }
        if let Some(threshold) = metric.get("threshold")
            && metric.get("thresholdRange").is_some()
        {
            self.ledger.left(&threshold, "`thresholdRange` stands beside it, and goes before it");
        }
        let Some(bound) = bound else { return };
        match self.bound(name, bound.number()) {
            Ok(path) => self.ledger.changed(&bound, path, BESIDE),
            Err(why) => self.ledger.left(&bound, why),
        }
    }

    fn bound(&mut self, name: &str, number: Option<f64>) -> Result<&'static str, String> {
        let number = number.ok_or("not a number")?;
        if name == "request-success-rate" {
            let ratio = (100.0 - number) / 100.0;
            if !(1e-9..1.0).contains(&ratio) {
                return Err(format!(
                    "a share of {} that may fail cannot be tested: it must lie above 0 and below 1",
                    ratio.clamp(0.0, 1.0)
                ));
            }
            let strictest = self.draft.max_failure_ratio.map_or(ratio, |known| known.min(ratio));
            self.draft.max_failure_ratio = Some(strictest);
            return Ok("gate.slo.max_failure_ratio");
        }
        if !(number > 0.0 && number <= 180_000.0) {
            return Err(format!("{number} ms cannot be tested: above 0, up to 180000"));
        }
        // Flagger asks for the 99th percentile, in milliseconds.
        let latency = Latency { slo_ms: number, quantile: 0.99 };
        if self.draft.latency.is_some_and(|known| known.slo_ms <= number) {
            return Err("a bound that is as strict stands there already".into());
        }
        if self.draft.latency.replace(latency).is_none() {
            let why = "Flagger's request-duration is the 99th percentile";
            self.draft.add("gate.latency.quantile", why);
        }
        Ok("gate.latency.slo_ms")
    }
}
