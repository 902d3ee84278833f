//! What streams, buckets and subjects are called.
//!
//! The kind comes before the API, so that an API may be called `policy` without meeting
//! anything else.

/// Bucket of the policies in force, for nodes: one key an API.
pub(super) const POLICY_STREAM: &str = "KV_crossfade_policy";

/// What is kept under [`POLICY_STREAM`].
pub(super) const POLICY_SUBJECTS: &str = "$KV.crossfade_policy.>";

/// Where every change of a policy is published as well.
pub(super) const POLICY_PUSH: &str = "crossfade.policy.>";

/// Bucket of the leases: one key an API.
pub(super) const LEASE_STREAM: &str = "KV_crossfade_lease";

/// What is kept under [`LEASE_STREAM`].
pub(super) const LEASE_SUBJECTS: &str = "$KV.crossfade_lease.>";

/// The names of one API's parts.
#[derive(Debug, Clone)]
pub(super) struct Names {
    api: String,
}

impl Names {
    /// Those of this API.
    pub(super) fn new(api: &str) -> Names {
        Names { api: token(api) }
    }

    pub(super) fn log_stream(&self) -> String {
        format!("CROSSFADE_LOG_{}", self.api)
    }

    pub(super) fn log(&self) -> String {
        format!("crossfade.log.{}", self.api)
    }

    pub(super) fn events_stream(&self) -> String {
        format!("CROSSFADE_EVENTS_{}", self.api)
    }

    pub(super) fn events(&self) -> String {
        format!("crossfade.events.{}", self.api)
    }

    pub(super) fn audit_stream(&self) -> String {
        format!("CROSSFADE_AUDIT_{}", self.api)
    }

    pub(super) fn audit(&self) -> String {
        format!("crossfade.audit.{}", self.api)
    }

    pub(super) fn policies_stream(&self) -> String {
        format!("CROSSFADE_POLICIES_{}", self.api)
    }

    pub(super) fn policies(&self) -> String {
        format!("crossfade.policies.{}.*", self.api)
    }

    pub(super) fn policy_of(&self, revision: u64) -> String {
        format!("crossfade.policies.{}.{revision}", self.api)
    }

    pub(super) fn totals_stream(&self) -> String {
        format!("CROSSFADE_TOTALS_{}", self.api)
    }

    pub(super) fn totals(&self) -> String {
        format!("crossfade.totals.{}.>", self.api)
    }

    /// Where the totals of this run of this node go. A node `eu-1` and its parts `eu-1/3`
    /// are under `crossfade.totals.API.eu-1.>`: one permission covers them.
    pub(super) fn totals_of(&self, node: &str, epoch: &str) -> String {
        let parts: Vec<String> = node.split('/').map(token).collect();
        format!("crossfade.totals.{}.{}.{}", self.api, parts.join("."), token(epoch))
    }

    /// What subjects of reports of clients have in them, and no others.
    pub(super) fn clients_mark(&self) -> &'static str {
        CLIENTS
    }

    /// Where one report of clients of this run of this node goes: below its totals, by a
    /// token that no text becomes. Unlike totals each counts by itself, so none may take the
    /// place of another.
    pub(super) fn clients_of(&self, node: &str, epoch: &str, sequence: u64) -> String {
        format!("{}{CLIENTS}{sequence}", self.totals_of(node, epoch))
    }

    /// The key of the policy in force.
    pub(super) fn policy_key(&self) -> String {
        format!("$KV.crossfade_policy.{}", self.api)
    }

    /// Where a change of the policy is pushed.
    pub(super) fn policy_push(&self) -> String {
        format!("crossfade.policy.{}", self.api)
    }

    pub(super) fn lease_key(&self) -> String {
        format!("$KV.crossfade_lease.{}", self.api)
    }
}

/// Between the totals of a node and the number of a report of its clients.
const CLIENTS: &str = ".+clients.";

/// A text as one token of a subject: letters, digits, `-` and `_` as they are, any other
/// byte as `=` and two hexadecimal digits. Two texts never become the same token.
fn token(text: &str) -> String {
    if text.is_empty() {
        return "=".to_owned();
    }
    let mut token = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => token.push(char::from(byte)),
            other => token.push_str(&format!("={other:02X}")),
        }
    }
    token
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_becomes_one_token_and_no_two_the_same() {
        let cases =
            [("users", "users"), ("a.b", "a=2Eb"), ("é", "=C3=A9"), ("a=b", "a=3Db"), ("", "=")];
        for (text, expected) in cases {
            assert_eq!(token(text), expected);
        }
        for wild in ["*", ">", "a b", "a\n", "$JS"] {
            let token = token(wild);
            assert!(!token.contains(['*', '>', ' ', '\n', '$', '.']), "{token}");
        }
    }

    #[test]
    fn parts_of_a_node_are_below_it() {
        let names = Names::new("users");
        assert_eq!(names.totals_of("eu.1", "a1"), "crossfade.totals.users.eu=2E1.a1");
        assert_eq!(names.totals_of("eu-1/3", "a1"), "crossfade.totals.users.eu-1.3.a1");
        assert_eq!(names.totals_of("", ""), "crossfade.totals.users.=.=");
        let clients = names.clients_of("eu-1/3", "a1", 7);
        assert_eq!(clients, "crossfade.totals.users.eu-1.3.a1.+clients.7");
    }
}
