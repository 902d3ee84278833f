//! Argo Rollouts: the `Rollout` with its canary strategy (`argoproj.io/v1alpha1`).

mod analysis;
mod header;
mod steps;

use super::ImportError;
use super::draft::Draft;
use super::ledger::Ledger;
use super::source::{Field, Resource};

use analysis::Templates;

/// Said of everything about pods.
const PODS: &str = "pods stay with Kubernetes: Crossfade routes between versions that run already";

/// Said of everything about the router that carries out a split.
const ROUTER: &str = "where each version is served, and by which router, is told to your proxy \
                      and not to the plan";

/// What all parts of a `Rollout` write to.
struct Import<'l, 'a> {
    ledger: &'l mut Ledger,
    draft: Draft,
    templates: Templates<'a>,
    /// Weights count to this.
    max_weight: f64,
    /// The version that header routes lead to.
    to_version: String,
}

/// Takes a `Rollout` in.
///
/// # Errors
/// There is nothing in it that a plan could do: another strategy, or no steps.
pub(super) fn import(
    rollout: &Resource<'_>,
    all: &[Resource<'_>],
    to_version: &str,
    ledger: &mut Ledger,
) -> Result<Draft, ImportError> {
    let title = rollout.title();
    let spec = rollout.root.get("spec");
    let strategy = spec.as_ref().and_then(|spec| spec.get("strategy"));
    if let Some(strategy) = &strategy
        && strategy.get("blueGreen").is_some()
    {
        return Err(ImportError::BlueGreen { resource: title, field: "spec.strategy.blueGreen" });
    }
    let canary = strategy.as_ref().and_then(|strategy| strategy.get("canary"));
    let canary = canary.ok_or_else(|| ImportError::NoStrategy { resource: title.clone() })?;
    let max_weight = canary.find(&["trafficRouting", "maxTrafficWeight"]);
    let mut import = Import {
        ledger,
        draft: Draft::default(),
        templates: Templates::of(all),
        max_weight: max_weight
            .and_then(|max| max.number())
            .filter(|max| *max > 0.0)
            .unwrap_or(100.0),
        to_version: to_version.to_owned(),
    };
    for (key, field) in spec.iter().flat_map(Field::fields) {
        import.spec(key, &field);
    }
    let steps = canary.get("steps").map(|steps| steps.items()).unwrap_or_default();
    for step in &steps {
        import.step(step)?;
    }
    for (key, field) in canary.fields() {
        import.canary(key, &field);
    }
    if import.draft.steps.is_empty() {
        return Err(ImportError::NoSteps { resource: title, field: "setWeight" });
    }
    import.draft.finish("Argo Rollouts goes to 100 % after the last step");
    import.templates.report_unused(import.ledger);
    Ok(import.draft)
}

impl Import<'_, '_> {
    /// A field beside the strategy.
    fn spec(&mut self, key: &str, field: &Field<'_>) {
        match key {
            "replicas"
            | "selector"
            | "template"
            | "workloadRef"
            | "minReadySeconds"
            | "revisionHistoryLimit"
            | "restartAt" => self.ledger.elsewhere(field, PODS),
            "analysis" => {
                self.ledger.elsewhere(field, "how many analysis runs Kubernetes keeps");
            }
            "progressDeadlineSeconds" | "progressDeadlineAbort" => self.ledger.left(
                field,
                "bounds how long pods may take to become ready; how long a step may wait for \
                 evidence is its `max_minutes`",
            ),
            "paused" => self.ledger.left(
                field,
                "a plan does not run by itself: `gradual_rollout` begins it, `pause_rollout` \
                 stops its clock",
            ),
            "rollbackWindow" => self.ledger.left(
                field,
                "a plan knows two versions and no earlier revisions; `undo_rollout` restores the \
                 share from before",
            ),
            // `strategy` field by field; anything else is unknown.
            _ => {}
        }
    }

    /// A field of the canary strategy beside its steps.
    fn canary(&mut self, key: &str, field: &Field<'_>) {
        match key {
            "canaryService" | "stableService" | "pingPong" => self.ledger.left(field, ROUTER),
            "trafficRouting" => self.traffic_routing(field),
            "analysis" => self.background_analysis(field),
            "maxSurge"
            | "maxUnavailable"
            | "minPodsPerReplicaSet"
            | "canaryMetadata"
            | "stableMetadata"
            | "antiAffinity"
            | "scaleDownDelaySeconds"
            | "scaleDownDelayRevisionLimit" => self.ledger.elsewhere(field, PODS),
            "abortScaleDownDelaySeconds" => self.ledger.left(
                field,
                "how long pods of the new version outlive an abort stays with Kubernetes: keep \
                 them as long as you may want `retry_rollout`",
            ),
            "dynamicStableScale" if field.value.as_bool() == Some(true) => self.ledger.left(
                field,
                "shrinks the old version while the new one grows, but an instant rollback sends \
                 everything back at once: turn it off, or give the plan `rollout.rollback: \
                 {mode: stepped}`",
            ),
            "dynamicStableScale" => self.ledger.elsewhere(field, PODS),
            // `steps` one by one; anything else is unknown.
            _ => {}
        }
    }

    fn traffic_routing(&mut self, routing: &Field<'_>) {
        for (key, field) in routing.fields() {
            match key {
                "maxTrafficWeight" => {
                    let shares = "rollout.steps";
                    self.ledger.carried(&field, shares);
                }
                "managedRoutes" => {
                    self.ledger.left(&field, "rules of a plan need no list of their names");
                }
                _ => self.ledger.left(&field, ROUTER),
            }
        }
    }
}
