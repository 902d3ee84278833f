//! Rules: a condition on attributes, and where it leads.

use crossfade_protocol::plan::{Condition, SdkVersion, Test};

use crate::bucket::Seed;
use crate::request::Attributes;
use crate::split::Split;

/// A rule, compiled.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    pub(crate) name: String,
    pub(crate) when: Option<Condition>,
    pub(crate) then: Then,
}

/// Where a rule leads.
#[derive(Debug, Clone)]
pub(crate) enum Then {
    To(u16),
    Split { split: Split, seed: Seed },
}

impl Rule {
    pub(crate) fn matches(&self, attributes: &dyn Attributes) -> bool {
        self.when.as_ref().is_none_or(|condition| holds(condition, attributes))
    }
}

/// Whether a condition holds. Its depth is bounded by that of the document it was read
/// from.
fn holds(condition: &Condition, attributes: &dyn Attributes) -> bool {
    match condition {
        Condition::All(list) => list.iter().all(|part| holds(part, attributes)),
        Condition::Any(list) => list.iter().any(|part| holds(part, attributes)),
        Condition::Not(part) => !holds(part, attributes),
        Condition::Attribute { name, test } => {
            let text = attributes.get(name);
            match (test, text) {
                (Test::Present(there), text) => text.is_some() == *there,
                (_, None) => false,
                (Test::Equals(wanted), Some(text)) => text == wanted,
                (Test::In(list), Some(text)) => list.iter().any(|wanted| text == wanted),
                (Test::Prefix(prefix), Some(text)) => text.starts_with(prefix.as_str()),
                (Test::Semver(requirement), Some(text)) => {
                    text.parse::<SdkVersion>().is_ok_and(|version| requirement.matches(&version))
                }
            }
        }
    }
}

/// The first part of a condition that made it false or true, in words.
pub(crate) fn why(condition: &Condition, attributes: &dyn Attributes) -> String {
    match condition {
        Condition::All(list) | Condition::Any(list) if list.is_empty() => {
            "its list of conditions is empty".to_owned()
        }
        Condition::All(list) => match list.iter().find(|part| !holds(part, attributes)) {
            Some(part) => why(part, attributes),
            None => list.iter().map(|part| why(part, attributes)).collect::<Vec<_>>().join(" and "),
        },
        Condition::Any(list) => match list.iter().find(|part| holds(part, attributes)) {
            Some(part) => why(part, attributes),
            None => list.iter().map(|part| why(part, attributes)).collect::<Vec<_>>().join(" and "),
        },
        Condition::Not(part) => why(part, attributes),
        Condition::Attribute { name, test } => {
            let held = holds(condition, attributes);
            let verb = |yes: &'static str, no: &'static str| if held { yes } else { no };
            let Some(text) = attributes.get(name) else { return format!("`{name}` is absent") };
            let text = crossfade_protocol::json::shown(text);
            match test {
                Test::Present(_) => format!("`{name}` is present"),
                Test::Equals(wanted) => {
                    format!("`{name}` = \"{text}\" {} \"{wanted}\"", verb("is", "is not"))
                }
                Test::In(list) => {
                    let (shown, dots) =
                        (&list[..list.len().min(8)], if list.len() > 8 { ", …" } else { "" });
                    format!(
                        "`{name}` = \"{text}\" {} {}{dots}",
                        verb("is one of", "is none of"),
                        shown.join(", ")
                    )
                }
                Test::Prefix(prefix) => {
                    format!(
                        "`{name}` = \"{text}\" {} \"{prefix}\"",
                        verb("begins with", "does not begin with")
                    )
                }
                Test::Semver(requirement) => match text.parse::<SdkVersion>() {
                    Ok(_) => format!(
                        "`{name}` = {text} {} {requirement}",
                        verb("satisfies", "does not satisfy")
                    ),
                    Err(_) => format!("`{name}` = \"{text}\" is no semantic version"),
                },
            }
        }
    }
}

/// Every attribute name a condition looks at.
pub(crate) fn names<'c>(condition: &'c Condition, out: &mut Vec<&'c str>) {
    match condition {
        Condition::All(list) | Condition::Any(list) => {
            list.iter().for_each(|part| names(part, out))
        }
        Condition::Not(part) => names(part, out),
        Condition::Attribute { name, .. } => {
            if !out.contains(&name.as_str()) {
                out.push(name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossfade_protocol::Plan;
    use serde_json::{Value, json};

    fn condition(when: Value) -> Condition {
        let plan = json!({"api": "a", "versions": ["v1", "v2"], "key": "address",
            "rules": [{"name": "r", "when": when, "to": "v2"}]});
        Plan::read(&plan).unwrap().rules.remove(0).when.unwrap()
    }

    fn check(when: Value, attributes: &[(&str, &str)], expected: bool, because: &str) {
        let list: Vec<(String, String)> =
            attributes.iter().map(|(n, t)| ((*n).to_owned(), (*t).to_owned())).collect();
        let condition = condition(when.clone());
        assert_eq!(holds(&condition, &list.as_slice()), expected, "{when}");
        assert_eq!(why(&condition, &list.as_slice()), because, "{when}");
    }

    #[test]
    fn each_test_holds_and_says_why() {
        let plan = [("plan", "beta")];
        check(
            json!({"attribute": "plan", "equals": "beta"}),
            &plan,
            true,
            "`plan` = \"beta\" is \"beta\"",
        );
        check(
            json!({"attribute": "plan", "equals": "free"}),
            &plan,
            false,
            "`plan` = \"beta\" is not \"free\"",
        );
        check(
            json!({"attribute": "plan", "in": ["a", "beta"]}),
            &plan,
            true,
            "`plan` = \"beta\" is one of a, beta",
        );
        check(
            json!({"attribute": "plan", "prefix": "be"}),
            &plan,
            true,
            "`plan` = \"beta\" begins with \"be\"",
        );
        check(json!({"attribute": "plan", "present": true}), &plan, true, "`plan` is present");
        check(json!({"attribute": "other", "present": false}), &plan, true, "`other` is absent");
        check(json!({"attribute": "other", "equals": "x"}), &plan, false, "`other` is absent");
    }

    #[test]
    fn semantic_versions_compare_as_versions() {
        let when = json!({"attribute": "sdk", "semver": ">=2.4"});
        check(when.clone(), &[("sdk", "2.10.1")], true, "`sdk` = 2.10.1 satisfies >=2.4.0");
        check(when.clone(), &[("sdk", "2.3")], false, "`sdk` = 2.3 does not satisfy >=2.4.0");
        check(when, &[("sdk", "latest")], false, "`sdk` = \"latest\" is no semantic version");
    }

    #[test]
    fn numbers_compare_as_the_text_a_header_would_carry() {
        check(
            json!({"attribute": "tier", "equals": 5}),
            &[("tier", "5")],
            true,
            "`tier` = \"5\" is \"5\"",
        );
    }

    #[test]
    fn combinations() {
        let when = json!({"all": [
            {"any": [{"attribute": "a", "equals": "1"}, {"attribute": "b", "equals": "1"}]},
            {"not": {"attribute": "c", "present": true}}]});
        check(when.clone(), &[("b", "1")], true, "`b` = \"1\" is \"1\" and `c` is absent");
        check(when.clone(), &[("b", "1"), ("c", "")], false, "`c` is present");
        check(when, &[], false, "`a` is absent and `b` is absent");
        check(json!({"all": []}), &[], true, "its list of conditions is empty");
        check(json!({"any": []}), &[], false, "its list of conditions is empty");
    }
}
