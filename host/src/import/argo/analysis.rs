//! Analyses: what a metric's condition bounds becomes the gate's, how long it is watched
//! becomes time of the step.

use std::collections::{BTreeSet, HashMap};

use super::super::condition::{self, Bound, Measure};
use super::super::draft::Latency;
use super::super::duration;
use super::super::ledger::Ledger;
use super::super::source::{Field, Resource};
use super::Import;

/// Said of counts of failed, inconclusive and erroneous measurements.
const LIMITS: &str = "the gate needs no number of failed looks: it may look as often as it likes, \
                      and is wrong at most as often as `gate.failures.alpha` says";

const PROVIDER: &str = "no metrics server is asked: outcomes of both versions are reported to \
                        Crossfade with `report_outcomes`, and compared with each other";

/// The templates beside the rollout.
pub(super) struct Templates<'a> {
    /// By name, and whether it is one for the whole cluster.
    by_name: HashMap<(&'a str, bool), Resource<'a>>,
    used: BTreeSet<(&'a str, bool)>,
}

impl<'a> Templates<'a> {
    pub(super) fn of(all: &[Resource<'a>]) -> Templates<'a> {
        let template = |resource: &Resource<'a>| {
            let is_cluster = match resource.kind() {
                "AnalysisTemplate" => false,
                "ClusterAnalysisTemplate" => true,
                _ => return None,
            };
            Some(((resource.name()?, is_cluster), resource.clone()))
        };
        let by_name = all.iter().filter_map(template).collect();
        Templates { by_name, used: BTreeSet::new() }
    }

    /// The template of this name, and whether it is asked for the first time.
    fn find(&mut self, name: &str, is_cluster: bool) -> Option<(Resource<'a>, bool)> {
        let is_it = |key: &(&str, bool)| *key == (name, is_cluster);
        let (key, resource) = self.by_name.iter().find(|(key, _)| is_it(key))?;
        Some((resource.clone(), self.used.insert(*key)))
    }

    /// Templates that no analysis of the rollout names.
    pub(super) fn report_unused(&self, ledger: &mut Ledger) {
        for (key, resource) in &self.by_name {
            if !self.used.contains(key) {
                ledger.left(&resource.root, "no analysis of this rollout names this template");
            }
        }
    }
}

/// Measurements of a metric: how long they take, and the fields that say so.
struct Timing<'a> {
    ms: f64,
    fields: Vec<Field<'a>>,
}

impl<'a> Import<'_, 'a> {
    /// An analysis that a step waits for: it takes its time.
    pub(super) fn step_analysis(&mut self, analysis: &Field<'_>) {
        let timings = self.analysis(analysis);
        let longest = timings.into_iter().max_by(|a, b| a.ms.total_cmp(&b.ms));
        if let Some(Timing { ms, fields }) = longest
            && ms > 0.0
            && !self.draft.steps.is_empty()
        {
            self.lengthen(&fields.iter().collect::<Vec<_>>(), ms);
        }
    }

    /// An analysis beside all steps.
    pub(super) fn background_analysis(&mut self, analysis: &Field<'_>) {
        if let Some(field) = analysis.get("startingStep") {
            self.ledger.left(&field, "the gate judges from the first step on");
        }
        self.analysis(analysis);
    }

    fn analysis(&mut self, analysis: &Field<'_>) -> Vec<Timing<'a>> {
        let mut timings = Vec::new();
        let list = |key| analysis.get(key).map(|list| list.items()).unwrap_or_default();
        for (key, why) in [
            ("dryRun", "a metric in dry run decides nothing, and has not become a gate"),
            ("measurementRetention", "how many measurements Kubernetes keeps"),
            ("analysisRunMetadata", "labels of runs that there will not be"),
        ] {
            if let Some(field) = analysis.get(key) {
                self.ledger.left(&field, why);
            }
        }
        let dry: Vec<&str> =
            list("dryRun").iter().filter_map(|item| item.value["metricName"].as_str()).collect();
        let args = list("args");
        for arg in &args {
            let why = "fills a place in a query, and no query is asked";
            self.ledger.left(arg, why);
        }
        for reference in list("templates") {
            let name = reference.get("templateName");
            let name = name.as_ref().and_then(|name| name.text()).unwrap_or_default();
            let is_cluster = reference.value["clusterScope"].as_bool().unwrap_or(false);
            let Some((template, is_first)) = self.templates.find(name, is_cluster) else {
                self.ledger.left(
                    &reference,
                    "this template is not in the input, so its conditions are not in the plan: \
                     put both into one file (`cat rollout.yaml analysis.yaml | crossfade import \
                     argo-rollout -`)",
                );
                continue;
            };
            self.ledger.carried(&reference, "gate");
            self.template_head(&template, is_first);
            let own_dry = items(&template, "dryRun");
            let own_dry = own_dry.iter().filter_map(|item| item.value["metricName"].as_str());
            let dry: Vec<&str> = dry.iter().copied().chain(own_dry).collect();
            for metric in items(&template, "metrics") {
                let name = metric.value["name"].as_str().unwrap_or_default();
                if dry.contains(&name) || dry.contains(&"*") {
                    self.ledger.left(&metric, "is in dry run: it decides nothing");
                    continue;
                }
                if is_first {
                    self.metric(&metric, &args, &template);
                }
                timings.extend(timing(&metric));
            }
        }
        timings
    }

    /// A template's fields beside its metrics.
    fn template_head(&mut self, template: &Resource<'_>, is_first: bool) {
        if !is_first {
            return;
        }
        self.ledger.elsewhere(&template.root, "belongs to Kubernetes' record of the template");
        for key in ["apiVersion", "kind"] {
            if let Some(field) = template.root.get(key) {
                self.ledger.carried(&field, "");
            }
        }
        if let Some(name) = template.root.find(&["metadata", "name"]) {
            self.ledger.carried(&name, "");
        }
        for (key, field) in template.root.get("spec").iter().flat_map(Field::fields) {
            match key {
                "metrics" => {}
                "args" => self.ledger.left(&field, "fill places in queries, and no query is asked"),
                "dryRun" => self.ledger.left(&field, "a metric in dry run decides nothing"),
                "measurementRetention" => {
                    self.ledger.elsewhere(&field, "how many measurements Kubernetes keeps");
                }
                _ => self.ledger.unknown(&field),
            }
        }
    }

    fn metric(&mut self, metric: &Field<'_>, args: &[Field<'_>], template: &Resource<'_>) {
        for (key, field) in metric.fields() {
            match key {
                "name" => self.ledger.carried(&field, ""),
                "provider" => self.ledger.left(&field, PROVIDER),
                "failureLimit" | "consecutiveSuccessLimit" => self.ledger.left(&field, LIMITS),
                "inconclusiveLimit" => self.ledger.left(
                    &field,
                    "what a step does without evidence either way is `gate.on_inconclusive`",
                ),
                "consecutiveErrorLimit" => self
                    .ledger
                    .left(&field, "what happens when no reports come is `gate.on_missing_data`"),
                "interval" | "count" | "initialDelay" => self
                    .ledger
                    .left(&field, "the gate judges at every report, as long as the rollout lasts"),
                "successCondition" | "failureCondition" => {}
                _ => self.ledger.unknown(&field),
            }
        }
        // The condition of failure is the one that takes a version back.
        let failure = metric.get("failureCondition");
        let success = metric.get("successCondition");
        if let (Some(_), Some(success)) = (&failure, &success) {
            self.ledger.left(
                success,
                "there is a `failureCondition` too, and that is what takes a version back; what \
                 counts as healthy is proven against the old version",
            );
        }
        let is_failure = failure.is_some();
        let Some(condition) = failure.or(success) else { return };
        let name = metric.value["name"].as_str().unwrap_or_default();
        let text = self.substitute(condition.text().unwrap_or_default(), args, template);
        match self.bound(name, &query_of(metric), &text, is_failure) {
            Ok((to, how)) => self.ledger.changed(&condition, to, how),
            Err(why) => self.ledger.left(&condition, why),
        }
    }

    /// Makes a condition the gate's; gives the path in the plan and what differs.
    fn bound(
        &mut self,
        name: &str,
        query: &str,
        condition: &str,
        is_failure: bool,
    ) -> Result<(&'static str, String), String> {
        let bound = Bound::read(condition).ok_or(
            "only a comparison of `result` with one number can become a gate: say what it means \
             with `gate.slo` or `gate.latency`, if it is about failures or latency",
        )?;
        let bound = if is_failure { bound.negated() } else { bound };
        let measure = Measure::of(name, query).ok_or(
            "is neither plainly a success or failure rate nor a latency; the gate knows no other \
             measurements",
        )?;
        if measure == Measure::Latency {
            let (slo_ms, quantile) = condition::latency(bound, query)?;
            let known = self.draft.latency.get_or_insert(Latency { slo_ms, quantile });
            if *known != (Latency { slo_ms, quantile }) {
                let text = "a plan has one bound on latency, and another stands there already";
                return Err(text.into());
            }
            let how = "is tested on the requests of the new version as they are reported, and \
                       the new version may not be slower than the old one either";
            return Ok(("gate.latency.slo_ms", how.into()));
        }
        let ratio = condition::failure_ratio(measure, bound, query)?;
        match self.draft.max_failure_ratio {
            Some(known) if known <= ratio => {
                return Err(format!("a bound that is as strict stands there already ({known})"));
            }
            _ => self.draft.max_failure_ratio = Some(ratio),
        }
        let how = "is tested on the failures that are reported, whatever your query counts; and \
                   beside it the new version is always compared with the old one";
        Ok(("gate.slo.max_failure_ratio", how.into()))
    }

    /// A condition with the arguments that are known put in.
    fn substitute(&mut self, text: &str, args: &[Field<'_>], template: &Resource<'_>) -> String {
        let mut text = text.to_owned();
        if !text.contains("{{") {
            return text;
        }
        // What the rollout says goes before what the template does.
        for arg in args.iter().chain(&items(template, "args")) {
            let Some(name) = arg.value["name"].as_str() else { continue };
            let value = match &arg.value["value"] {
                serde_json::Value::String(value) => value.clone(),
                serde_json::Value::Number(value) => value.to_string(),
                _ => continue,
            };
            for place in [format!("{{{{args.{name}}}}}"), format!("{{{{ args.{name} }}}}")] {
                if text.contains(&place) {
                    text = text.replace(&place, &value);
                    self.ledger.carried(arg, "gate");
                }
            }
        }
        text
    }
}

/// A list in a template's `spec`.
fn items<'a>(template: &Resource<'a>, key: &str) -> Vec<Field<'a>> {
    template.root.find(&["spec", key]).map(|list| list.items()).unwrap_or_default()
}

/// The query, whoever answers it.
fn query_of(metric: &Field<'_>) -> String {
    let provider = metric.get("provider");
    let providers = provider.iter().flat_map(Field::fields);
    let query = |(_, provider): (&str, Field<'_>)| {
        provider.get("query").and_then(|query| query.text().map(str::to_owned))
    };
    providers.into_iter().find_map(query).unwrap_or_default()
}

/// How long a step waits for this metric; `None` when it waits for one measurement, or
/// until the rollout is over.
fn timing<'a>(metric: &Field<'a>) -> Option<Timing<'a>> {
    let interval = metric.get("interval")?;
    let count = metric.get("count")?;
    let between = duration::read(interval.text()?)?;
    let mut ms = between * (count.number()? - 1.0).max(0.0);
    let mut fields = vec![interval, count];
    if let Some(delay) = metric.get("initialDelay") {
        ms += duration::read(delay.text()?)?;
        fields.push(delay);
    }
    Some(Timing { ms, fields })
}
