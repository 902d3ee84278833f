//! `setHeaderRoute`: requests with a header, whatever the weight.

use serde_json::{Value, json};

use super::super::source::Field;
use super::Import;

impl Import<'_, '_> {
    pub(super) fn header_route(&mut self, route: &Field<'_>) {
        let name = route.get("name").and_then(|name| name.text()).unwrap_or("header-route");
        let matches = route.get("match").map(|list| list.items()).unwrap_or_default();
        if matches.is_empty() {
            self.ledger.left(
                route,
                "ends a header route in Argo Rollouts; a plan's rule holds until `configure` \
                 brings a plan without it",
            );
            return;
        }
        let path = format!("rules[{}]", self.draft.rules.len());
        // Any one of them leads to the new version, so those that can be said are.
        let conditions: Vec<Value> =
            matches.iter().filter_map(|item| self.header_match(item, &path)).collect();
        if let Some(field) = route.get("name") {
            if conditions.is_empty() {
                self.ledger.left(&field, "none of its conditions could be carried over");
            } else {
                self.ledger.carried(&field, &format!("{path}.name"));
            }
        }
        let when = match conditions.as_slice() {
            [] => return,
            [one] => one.clone(),
            many => json!({ "any": many }),
        };
        self.draft.rules.push(json!({ "name": name, "when": when, "to": self.to_version }));
        let why = "header routes lead to the new version";
        self.draft.add(format!("{path}.to"), why);
    }

    fn header_match(&mut self, item: &Field<'_>, path: &str) -> Option<Value> {
        let name_field = item.get("headerName");
        let name = name_field.as_ref().and_then(|name| name.text());
        let value = item.get("headerValue")?;
        let test = value.fields().into_iter().find(|(key, _)| matches!(*key, "exact" | "prefix"));
        let ((key, field), name) = match (test, name) {
            (Some(test), Some(name)) => (test, name),
            _ => {
                let why = "conditions of a plan compare text; there are no regular expressions";
                self.ledger.left(item, why);
                return None;
            }
        };
        let attribute = name.to_ascii_lowercase();
        let how = format!(
            "is the attribute `{attribute}` of a request, which your proxy must pass on; and the \
             rule holds from when the plan is loaded, before, after and beside the rollout, also \
             when that is rolled back"
        );
        let to = format!("{path}.when");
        self.ledger.changed(item, &to, how);
        let test = if key == "exact" { "equals" } else { "prefix" };
        Some(json!({ "attribute": attribute, test: field.value }))
    }
}
