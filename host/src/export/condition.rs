//! Conditions of rules as header matchers of Envoy.
//!
//! A route matches when all of its matchers do, so a condition becomes alternatives, each a
//! list of matchers. Checked against a real Envoy 1.40: a matcher with
//! `treat_missing_header_as_empty` sees an absent header as empty text; without it, no test
//! of text matches where the header is absent.

use crossfade_protocol::plan::{AttributeSource, AttributeSources, Condition, Test};
use serde_json::{Value, json};

use super::Ledger;

/// Routes that one rule may become.
const ALTERNATIVES_MAX: usize = 64;

/// Any of these, each of which is all of its matchers.
type Alternatives = Vec<Vec<Value>>;

/// The matchers of a condition; `None` when it cannot be expressed, which `ledger` then
/// says, for `path`.
pub(super) fn matchers(
    condition: &Condition,
    sources: &AttributeSources,
    path: &str,
    ledger: &mut Ledger,
) -> Option<Alternatives> {
    let mut reader = Reader { sources, ledger, complete: true };
    let found = reader.read(condition, true, path);
    let complete = reader.complete;
    if complete && found.len() > ALTERNATIVES_MAX {
        let count = found.len();
        ledger.refuse(
            path,
            format!(
                "becomes {count} routes, and more than {ALTERNATIVES_MAX} are not written: \
                make it simpler, or use the filter (`export envoy-filter`)"
            ),
        );
        return None;
    }
    complete.then_some(found)
}

struct Reader<'a> {
    sources: &'a AttributeSources,
    ledger: &'a mut Ledger,
    complete: bool,
}

impl Reader<'_> {
    /// When the condition is `wanted`: holds, or does not.
    fn read(&mut self, condition: &Condition, wanted: bool, path: &str) -> Alternatives {
        let mut parts = |list: &[Condition], word: &str| -> Vec<Alternatives> {
            let part = |(at, part)| self.read(part, wanted, &format!("{path}.{word}[{at}]"));
            list.iter().enumerate().map(part).collect()
        };
        match condition {
            Condition::All(list) => join(parts(list, "all"), wanted),
            Condition::Any(list) => join(parts(list, "any"), !wanted),
            Condition::Not(part) => self.read(part, !wanted, &format!("{path}.not")),
            Condition::Attribute { name, test } => {
                let Some(header) = self.header(name, path) else { return Vec::new() };
                self.test(&header, test, wanted, path)
            }
        }
    }

    fn header(&mut self, attribute: &str, path: &str) -> Option<String> {
        let why = match self.sources.get(attribute) {
            Some(AttributeSource::Header(header)) => return Some(header.clone()),
            Some(AttributeSource::Cookie(_)) => {
                format!("the attribute `{attribute}` is a cookie, and stock Envoy matches headers")
            }
            None => format!(
                "nothing says where the attribute `{attribute}` is: add \
                 `attributes: {{ {attribute}: {{ header: NAME }} }}` to the plan"
            ),
        };
        self.refuse(path, why)
    }

    fn refuse<T>(&mut self, path: &str, why: String) -> Option<T> {
        self.complete = false;
        self.ledger.refuse(path, why);
        None
    }

    fn test(&mut self, header: &str, test: &Test, wanted: bool, path: &str) -> Alternatives {
        let text = |text: &str, wanted| text_test(header, "exact", text, wanted);
        match test {
            Test::Present(there) => vec![vec![present(header, *there == wanted)]],
            Test::Equals(value) => text(value, wanted),
            Test::In(list) => join(list.iter().map(|value| text(value, wanted)).collect(), !wanted),
            // Every text begins with nothing.
            Test::Prefix(prefix) if prefix.is_empty() => vec![vec![present(header, wanted)]],
            Test::Prefix(prefix) => text_test(header, "prefix", prefix, wanted),
            Test::Semver(_) => {
                let why = "stock Envoy does not compare versions: use `equals`, `in` or \
                    `prefix`, or the filter (`export envoy-filter`)";
                self.refuse(path, why.to_owned()).unwrap_or_default()
            }
        }
    }
}

/// All of the parts, or any of them.
fn join(parts: Vec<Alternatives>, all: bool) -> Alternatives {
    if !all {
        return parts.into_iter().flatten().collect();
    }
    parts.into_iter().fold(vec![Vec::new()], |so_far, part| {
        let both = |left: &Vec<Value>| {
            let left = left.clone();
            part.iter().map(move |right| [left.clone(), right.clone()].concat())
        };
        // One more than may be written is as bad as a million more.
        so_far.iter().flat_map(both).take(ALTERNATIVES_MAX + 1).collect()
    })
}

/// An attribute that is empty is absent at an edge, and so it is here.
fn present(header: &str, there: bool) -> Value {
    let mut matcher = json!({ "name": header, "string_match": { "exact": "" } });
    if there {
        matcher["invert_match"] = json!(true);
    }
    matcher["treat_missing_header_as_empty"] = json!(true);
    matcher
}

/// `exact` or `prefix`. An absent attribute passes no test, so it passes the opposite.
fn text_test(header: &str, how: &str, text: &str, wanted: bool) -> Alternatives {
    if text.is_empty() {
        // No attribute is that, so always or never.
        return if wanted { Vec::new() } else { vec![Vec::new()] };
    }
    let mut matcher = json!({ "name": header, "string_match": { how: text } });
    if !wanted {
        matcher["invert_match"] = json!(true);
        matcher["treat_missing_header_as_empty"] = json!(true);
    }
    vec![vec![matcher]]
}

#[cfg(test)]
mod tests {
    use super::super::tests::plan;
    use super::*;

    fn of(when: Value) -> Result<String, String> {
        let plan = plan(json!({
            "attributes": { "p": { "header": "X-Plan" }, "c": { "cookie": "c" } },
            "rules": [{ "name": "r", "when": when, "to": "v2" }],
        }));
        let mut ledger = Ledger::default();
        let condition = plan.rules[0].when.as_ref().unwrap();
        match matchers(condition, &plan.attributes, "w", &mut ledger) {
            Some(found) => Ok(serde_json::to_string(&found).unwrap()),
            None => {
                Err(ledger.problems.iter().map(|p| p.path.clone()).collect::<Vec<_>>().join(" "))
            }
        }
    }

    const A: &str = r#"{"name":"x-plan","string_match":{"exact":"a"}}"#;
    const B: &str = r#"{"name":"x-plan","string_match":{"exact":"b"}}"#;
    const NOT_A: &str = r#"{"name":"x-plan","string_match":{"exact":"a"},"invert_match":true,"treat_missing_header_as_empty":true}"#;
    const NOT_B: &str = r#"{"name":"x-plan","string_match":{"exact":"b"},"invert_match":true,"treat_missing_header_as_empty":true}"#;

    #[test]
    fn conditions_become_alternatives_of_matchers() {
        let a = json!({ "attribute": "p", "equals": "a" });
        let b = json!({ "attribute": "p", "equals": "b" });
        assert_eq!(of(a.clone()).unwrap(), format!("[[{A}]]"));
        assert_eq!(of(json!({ "all": [a, b] })).unwrap(), format!("[[{A},{B}]]"));
        assert_eq!(of(json!({ "any": [a, b] })).unwrap(), format!("[[{A}],[{B}]]"));
        assert_eq!(
            of(json!({ "attribute": "p", "in": ["a", "b"] })).unwrap(),
            format!("[[{A}],[{B}]]")
        );
        assert_eq!(
            of(json!({ "not": { "any": [a, b] } })).unwrap(),
            format!("[[{NOT_A},{NOT_B}]]")
        );
        assert_eq!(
            of(json!({ "not": { "all": [a, b] } })).unwrap(),
            format!("[[{NOT_A}],[{NOT_B}]]")
        );
        let not_in = json!({ "not": { "attribute": "p", "in": ["a", "b"] } });
        assert_eq!(of(not_in).unwrap(), format!("[[{NOT_A},{NOT_B}]]"));
        assert_eq!(of(json!({ "all": [] })).unwrap(), "[[]]");
        assert_eq!(of(json!({ "any": [] })).unwrap(), "[]");
    }

    #[test]
    fn an_absent_attribute_passes_no_test_and_so_the_opposite_of_each() {
        let present = |there: bool| of(json!({ "attribute": "p", "present": there })).unwrap();
        let empty = r#""name":"x-plan","string_match":{"exact":""}"#;
        let missing = r#""treat_missing_header_as_empty":true"#;
        assert_eq!(present(false), format!("[[{{{empty},{missing}}}]]"));
        assert_eq!(present(true), format!(r#"[[{{{empty},"invert_match":true,{missing}}}]]"#));
    }

    #[test]
    fn an_empty_attribute_is_absent_and_equals_nothing() {
        let empty = json!({ "attribute": "p", "equals": "" });
        assert_eq!(of(empty.clone()).unwrap(), "[]");
        assert_eq!(of(json!({ "not": empty })).unwrap(), "[[]]");
        let list = json!({ "attribute": "p", "in": ["", "a"] });
        assert_eq!(of(list.clone()).unwrap(), format!("[[{A}]]"));
        assert_eq!(of(json!({ "not": list })).unwrap(), format!("[[{NOT_A}]]"));
        let any_text = of(json!({ "attribute": "p", "prefix": "" })).unwrap();
        assert_eq!(any_text, of(json!({ "attribute": "p", "present": true })).unwrap());
    }

    #[test]
    fn every_part_that_cannot_be_said_is_named() {
        let when = json!({ "all": [
            { "attribute": "c", "equals": "x" },
            { "any": [{ "attribute": "p", "semver": ">=2" }, { "not": { "attribute": "q", "present": true } }] },
        ] });
        assert_eq!(of(when).unwrap_err(), "w.all[0] w.all[1].any[0] w.all[1].any[1].not");
        let two = json!({ "attribute": "p", "in": ["a", "b"] });
        assert_eq!(of(json!({ "all": [two, two, two, two, two, two, two] })).unwrap_err(), "w");
    }
}
