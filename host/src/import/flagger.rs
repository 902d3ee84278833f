//! Flagger: the `Canary` (`flagger.app/v1beta1`).

mod metrics;
mod traffic;
mod webhooks;

use super::ImportError;
use super::draft::Draft;
use super::ledger::Ledger;
use super::source::{Field, Resource};

/// Said of everything about workloads and their services.
const PODS: &str = "workloads and their services stay with Kubernetes: Crossfade routes between \
                    versions that run already";

/// What all parts of a `Canary` write to.
struct Import<'l> {
    ledger: &'l mut Ledger,
    draft: Draft,
    /// The version that matching requests lead to.
    to_version: String,
}

/// Takes a `Canary` in.
///
/// # Errors
/// There is nothing in it that a plan could do: no analysis, or one that shifts nothing.
pub(super) fn import(
    canary: &Resource<'_>,
    to_version: &str,
    ledger: &mut Ledger,
) -> Result<Draft, ImportError> {
    let title = canary.title();
    let spec = canary.root.get("spec");
    let current = spec.as_ref().and_then(|spec| spec.get("analysis"));
    let former = spec.as_ref().and_then(|spec| spec.get("canaryAnalysis"));
    let mut import = Import { ledger, draft: Draft::default(), to_version: to_version.to_owned() };
    for (key, field) in spec.iter().flat_map(Field::fields) {
        import.spec(key, &field);
    }
    let analysis = match (current, former) {
        (Some(current), former) => {
            if let Some(former) = former {
                import.ledger.left(&former, "`analysis` stands beside it, and goes before it");
            }
            current
        }
        (None, Some(former)) => former,
        (None, None) => return Err(ImportError::NoAnalysis { resource: title }),
    };
    let is_shifting = import.traffic(&analysis, &title)?;
    for (key, field) in analysis.fields() {
        import.analysis(key, &field);
    }
    if let Some(metrics) = analysis.get("metrics") {
        metrics.items().iter().for_each(|metric| import.metric(metric));
    }
    if let Some(webhooks) = analysis.get("webhooks") {
        webhooks.items().iter().for_each(|webhook| import.webhook(webhook));
    }
    if is_shifting {
        import.draft.finish("Flagger promotes the new version after the last weight");
    }
    Ok(import.draft)
}

impl Import<'_> {
    /// A field beside the analysis.
    fn spec(&mut self, key: &str, field: &Field<'_>) {
        match key {
            "targetRef" | "autoscalerRef" | "service" => self.ledger.elsewhere(field, PODS),
            "provider" | "ingressRef" | "routeRef" | "upstreamRef" => self.ledger.left(
                field,
                "where each version is served, and by which router, is told to your proxy and \
                 not to the plan",
            ),
            "metricsServer" => self.ledger.left(field, metrics::NO_SERVER),
            "progressDeadlineSeconds" => self.ledger.left(
                field,
                "bounds how long a workload may take to become ready; how long a step may wait \
                 for evidence is its `max_minutes`",
            ),
            "skipAnalysis" if field.value.as_bool() == Some(true) => self.ledger.left(
                field,
                "a rollout is always judged; to move everyone at once without it, send \
                 `promote_rollout` with `full`",
            ),
            "skipAnalysis" => self.ledger.left(field, "a rollout is always judged"),
            "suspend" => self.ledger.left(
                field,
                "a plan does not run by itself: `gradual_rollout` begins it, `pause_rollout` \
                 stops its clock",
            ),
            "revertOnDeletion" => self.ledger.elsewhere(field, PODS),
            // The analysis field by field; anything else is unknown.
            _ => {}
        }
    }

    /// A field of the analysis beside traffic, metrics and webhooks.
    fn analysis(&mut self, key: &str, field: &Field<'_>) {
        match key {
            "threshold" => self.ledger.left(
                field,
                "the gate needs no number of failed checks: it may look as often as it likes, \
                 and is wrong at most as often as `gate.failures.alpha` says",
            ),
            "stepWeightPromotion" => self.ledger.left(
                field,
                "the pace at which traffic goes from the canary back to the primary workload; \
                 there is no second workload here, the last step is 100 %",
            ),
            "mirror" | "mirrorWeight" => self.ledger.left(
                field,
                "nothing is mirrored: a plan sends a request to one version; mirror in your \
                 proxy, before the rollout",
            ),
            "alerts" => self.ledger.left(
                field,
                "nobody is told by Crossfade itself: its node writes every event to its log",
            ),
            "primaryReadyThreshold" | "canaryReadyThreshold" => self.ledger.elsewhere(field, PODS),
            "sessionAffinity" => self.session_affinity(field),
            // Handled elsewhere, or unknown.
            _ => {}
        }
    }

    fn session_affinity(&mut self, affinity: &Field<'_>) {
        for (key, field) in affinity.fields() {
            match key {
                "cookieName" | "primaryCookieName" => self.ledger.left(
                    &field,
                    "no cookie is needed: a client's key decides, and who is on the new version \
                     stays there while the share grows",
                ),
                "maxAge" => self.ledger.left(&field, "a key's place never expires"),
                _ => self.ledger.unknown(&field),
            }
        }
    }
}
