//! `flagd-evaluation-engine`, by which OpenFeature's flagd provider decides in process.

use flagd_evaluation_engine::Operator;
use open_feature::EvaluationContext;

pub(crate) struct Flagd(Operator);

impl Flagd {
    pub(crate) fn new() -> Flagd {
        Flagd(Operator::new())
    }

    fn on(&self, flag: &str, rule: &str, context: &EvaluationContext) -> bool {
        self.0.apply(flag, rule, context).is_ok_and(|found| found.as_deref() == Some("on"))
    }
}

const TENTH: &str = r#"{"fractional":[{"var":"targetingKey"},["on",10],["off",90]]}"#;

const SWEDEN: &str = r#"{"if":[{"==":[{"var":"country"},"SE"]},{"fractional":[{"var":"targetingKey"},["on",50],["off",50]]},"off"]}"#;

impl super::Evaluator for Flagd {
    fn name(&self) -> &'static str {
        "flagd-evaluation-engine 0.1.0 apply"
    }

    fn tenth(&self, user: &str) -> bool {
        self.on("tenth", TENTH, &EvaluationContext::default().with_targeting_key(user))
    }

    fn half_of_sweden(&self, user: &str, country: &str) -> bool {
        let context = EvaluationContext::default().with_targeting_key(user);
        self.on("sweden", SWEDEN, &context.with_custom_field("country", country))
    }
}
