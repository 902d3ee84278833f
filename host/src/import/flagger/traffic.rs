//! Weights become steps, each as long as the interval; header matches become rules.

use crossfade_protocol::Share;
use crossfade_protocol::limits::STEPS_MAX;
use serde_json::{Value, json};

use super::super::draft::Step;
use super::super::source::Field;
use super::super::{ImportError, duration};
use super::Import;

/// What Flagger takes when `interval` is not written, and its shortest.
const INTERVAL_MS: f64 = 60_000.0;
const INTERVAL_MIN_MS: f64 = 10_000.0;

impl Import<'_> {
    /// Weights, or matches; whether traffic is shifted by weight.
    pub(super) fn traffic(
        &mut self,
        analysis: &Field<'_>,
        title: &str,
    ) -> Result<bool, ImportError> {
        let iterations = analysis.get("iterations");
        let matches = analysis.get("match").filter(|list| !list.items().is_empty());
        match (iterations.filter(|field| field.number().unwrap_or(0.0) > 0.0), matches) {
            (None, matches) => {
                if let Some(field) = analysis.get("iterations") {
                    self.ledger.left(&field, "0 iterations are none: weights decide");
                }
                if let Some(matches) = matches {
                    self.ledger.left(
                        &matches,
                        "confines the canary to requests that match; a rollout's share is one of \
                         all clients. To confine it, use a rule with `split` in place of a rollout",
                    );
                }
                self.weights(analysis, title)?;
                Ok(true)
            }
            (Some(_), None) => {
                let resource = title.to_owned();
                Err(ImportError::BlueGreen { resource, field: "spec.analysis.iterations" })
            }
            (Some(iterations), Some(matches)) => {
                self.ab_test(analysis, &iterations, &matches);
                Ok(false)
            }
        }
    }

    fn weights(&mut self, analysis: &Field<'_>, title: &str) -> Result<(), ImportError> {
        let interval = analysis.get("interval");
        let asked_ms = match &interval {
            None => INTERVAL_MS,
            Some(field) => field
                .text()
                .and_then(duration::read)
                .ok_or_else(|| ImportError::value(field, "not a duration: 30s, 1m, 1h30m"))?,
        };
        let interval_ms = asked_ms.max(INTERVAL_MIN_MS);
        let weights = self.weights_of(analysis)?;
        if weights.is_empty() {
            let resource = title.to_owned();
            return Err(ImportError::NoSteps { resource, field: "stepWeight or stepWeights" });
        }
        for (weight, fields) in weights {
            let Some(percentage) = Share::from_percent(weight) else { continue };
            self.draft.steps.push(Step { percentage, duration_ms: interval_ms, is_manual: false });
            let path = self.draft.step_path("percentage");
            fields.iter().for_each(|field| self.ledger.carried(field, &path));
            let path = self.draft.step_path("duration_minutes");
            match &interval {
                Some(field) if interval_ms > asked_ms => {
                    let how = "is taken as 10s, which is the shortest that Flagger takes";
                    self.ledger.changed(field, &path, how);
                }
                Some(field) => self.ledger.carried(field, &path),
                None => self.draft.add(path, "Flagger's default interval is 60s"),
            }
        }
        Ok(())
    }

    /// Weights that Flagger would go through, each with the fields that say so.
    fn weights_of<'a>(
        &mut self,
        analysis: &Field<'a>,
    ) -> Result<Vec<(f64, Vec<Field<'a>>)>, ImportError> {
        let weight = |field: &Field<'_>| {
            let weight = field.number().filter(|weight| (0.0..=100.0).contains(weight));
            weight.ok_or_else(|| ImportError::value(field, "not a weight from 0 to 100"))
        };
        let optional = |field: Option<&Field<'_>>| field.map_or(Ok(0.0), weight);
        let step = analysis.get("stepWeight");
        let max = analysis.get("maxWeight");
        let list = analysis.get("stepWeights");
        let step_weight = optional(step.as_ref())?;
        let max_weight = optional(max.as_ref())?;
        if step_weight > 0.0 {
            if let Some(list) = &list {
                self.ledger.left(list, "`stepWeight` stands beside it, and goes before it");
            }
            let max_weight = if max_weight > 0.0 { max_weight } else { 100.0 };
            let fields: Vec<Field<'a>> = step.into_iter().chain(max).collect();
            // Flagger goes on until the bound is reached, if need be past it.
            let mut weights = Vec::new();
            let mut reached = 0.0;
            while reached < max_weight && weights.len() <= STEPS_MAX {
                reached = (reached + step_weight).min(100.0);
                weights.push((reached, fields.clone()));
            }
            return Ok(weights);
        }
        if let Some(step) = &step {
            self.ledger.left(step, "0 shifts nothing");
        }
        if let Some(max) = &max {
            self.ledger.left(max, "the last of `stepWeights` is what is reached");
        }
        let mut weights: Vec<(f64, Vec<Field<'a>>)> = Vec::new();
        for item in list.iter().flat_map(Field::items) {
            let value = weight(&item)?;
            let last = weights.last().map_or(0.0, |(last, _)| *last);
            if value <= last {
                let why = format!("does not raise the share above {last} %");
                self.ledger.left(&item, why);
            } else {
                weights.push((value, vec![item]));
            }
        }
        Ok(weights)
    }

    /// Requests that match go to the new version, all others stay.
    fn ab_test(&mut self, analysis: &Field<'_>, iterations: &Field<'_>, matches: &Field<'_>) {
        let path = format!("rules[{}]", self.draft.rules.len());
        let conditions: Vec<Value> =
            matches.items().iter().filter_map(|item| self.one_match(item, &path)).collect();
        let why = "how long the A/B test lasts: a rule holds until `configure` brings a plan \
                   without it; end the test by hand, and begin a rollout";
        self.ledger.left(iterations, why);
        for key in ["interval", "maxWeight", "stepWeight", "stepWeights"] {
            if let Some(field) = analysis.get(key) {
                let why = if key == "interval" { why } else { "iterations go before weights" };
                self.ledger.left(&field, why);
            }
        }
        let when = match conditions.as_slice() {
            [] => return,
            [one] => one.clone(),
            many => json!({ "any": many }),
        };
        self.draft.rules.push(json!({ "name": "match", "when": when, "to": self.to_version }));
        self.draft.add(format!("{path}.name"), "a rule needs a name");
        let why = "requests that match lead to the new version";
        self.draft.add(format!("{path}.to"), why);
    }

    /// One alternative: all of its headers must match. Given only when every condition
    /// in it can be said, since less would let more requests in.
    fn one_match(&mut self, item: &Field<'_>, path: &str) -> Option<Value> {
        let mut conditions = Vec::new();
        let mut names = Vec::new();
        let fields = item.fields();
        let can_all = fields.iter().all(|(key, _)| *key == "headers");
        for (name, header) in fields.iter().flat_map(|(_, headers)| headers.fields()) {
            let test = header.fields().into_iter().next();
            let attribute = name.to_ascii_lowercase();
            match test {
                Some(("exact", value)) => {
                    conditions.push(json!({ "attribute": attribute, "equals": value.value }));
                }
                Some(("prefix", value)) => {
                    conditions.push(json!({ "attribute": attribute, "prefix": value.value }));
                }
                _ => {}
            }
            names.push(format!("`{attribute}`"));
        }
        if !can_all || conditions.len() != names.len() || conditions.is_empty() {
            self.ledger.left(
                item,
                "conditions of a plan compare attributes of a request, by text or by what it \
                 begins with; there are no regular expressions, suffixes or source labels",
            );
            return None;
        }
        let how = format!(
            "takes {} as attributes of a request, which your proxy must pass on",
            names.join(", ")
        );
        self.ledger.changed(item, &format!("{path}.when"), how);
        match conditions.as_slice() {
            [one] => Some(one.clone()),
            _ => Some(json!({ "all": conditions })),
        }
    }
}
