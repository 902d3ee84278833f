//! The plugin configuration: what an operator writes in Envoy's file.

use crossfade_core::protocol::error::Problems;
use crossfade_core::protocol::limits::{NAME_BYTES_MAX, VERSIONS_MAX};
use crossfade_core::protocol::read::{self, Fields, Node};
use crossfade_core::protocol::{Plan, json};
use serde_json::Value;

use crate::shadow::Mirrors;

/// Bytes of a node's name, so that there is room behind it for the instance's number.
const NODE_BYTES_MAX: usize = 100;

/// The longest interval and timeout in milliseconds: an hour.
const INTERVAL_MS_MAX: u64 = 3_600_000;

/// A bearer token's bytes.
const TOKEN_BYTES_MAX: usize = 4096;

/// The configuration of one filter.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The plan to begin with, if one is written here.
    pub policy: Option<Plan>,
    /// Its revision.
    pub revision: u64,
    /// Where newer policies come from and totals go to, if anywhere.
    pub control: Option<Control>,
    /// The node's name in reports; `None` is the proxy's own.
    pub node: Option<String>,
    /// Where requests are mirrored to while a policy has a shadow, if anywhere.
    pub shadow: Option<Mirrors>,
    /// The request header that the version is written to, lower-case.
    pub version_header: String,
    /// The response header that the reason is written to, lower-case.
    pub reason_header: Option<String>,
}

/// The control server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    /// The cluster that leads to it.
    pub cluster: String,
    /// Its `:authority`.
    pub authority: String,
    /// What stands before `/policy` and `/totals`; does not end in a slash.
    pub path: String,
    /// Milliseconds between two questions for the policy.
    pub poll_ms: u64,
    /// Milliseconds until a question is given up.
    pub timeout_ms: u64,
    /// Milliseconds between two reports.
    pub report_ms: u64,
    /// Sent as a bearer token.
    pub token: Option<String>,
}

impl Config {
    /// Reads and checks a whole configuration.
    ///
    /// # Errors
    /// Every problem in it, those of the policy under `policy`.
    pub fn read(bytes: &[u8]) -> Result<Config, Problems> {
        let mut problems = Problems::default();
        let value = match std::str::from_utf8(bytes) {
            Ok(text) => json::parse(text),
            Err(_) => Err("not JSON: not UTF-8".to_owned()),
        };
        let value = match value {
            Ok(value) => value,
            Err(why) => {
                problems.push("", why);
                return Err(problems);
            }
        };
        let config = read::read(&value, config).map_err(|found| problems = found).ok();
        let plan = value.get("policy").filter(|plan| !plan.is_null()).map(Plan::read);
        let plan = plan.transpose().unwrap_or_else(|found| {
            for problem in found.list {
                let dot = if problem.path.is_empty() { "" } else { "." };
                problems.push(format!("policy{dot}{}", problem.path), problem.message);
            }
            problems.more = problems.more.saturating_add(found.more);
            None
        });
        problems.into_result(config.map(|config| Config { policy: plan, ..config }))
    }
}

/// All but the policy.
fn config(node: Node<'_, '_>) -> Option<Config> {
    let fields = node.object()?;
    // Read by `Plan::read`, whose problems are added to these.
    let policy = fields.get("policy");
    let revision = fields.get("revision").and_then(|n| n.whole(u64::MAX)).unwrap_or_default();
    let control = fields.get("control").map(|node| read_control(&node));
    let name = fields.get("node").and_then(|node| read_node(&node));
    let shadow = fields.get("shadow").map(|node| read_shadow(&node));
    let version_header = fields
        .get("version_header")
        .map_or_else(|| Some("x-api-version".to_owned()), |node| read_header(&node));
    let reason_header = fields.get("reason_header").map(|node| read_header(&node));
    fields.refuse_unknown();
    if policy.is_none() && control.is_none() {
        return node.note("`policy` or `control` is needed: where should decisions come from?");
    }
    Some(Config {
        policy: None,
        revision,
        control: match control {
            Some(read) => Some(read?),
            None => None,
        },
        node: name,
        shadow: match shadow {
            Some(read) => Some(read?),
            None => None,
        },
        version_header: version_header?,
        reason_header: match reason_header {
            Some(read) => Some(read?),
            None => None,
        },
    })
}

fn read_control(node: &Node<'_, '_>) -> Option<Control> {
    let fields = node.object()?;
    let text = |name, default: &str| match fields.get(name) {
        Some(node) => node.name().map(str::to_owned),
        None => Some(default.to_owned()),
    };
    let cluster = fields
        .require("cluster", "the cluster that leads to the control server")
        .and_then(|node| node.name().map(str::to_owned));
    let authority = text("authority", "crossfade");
    let path = fields.get("path").map_or_else(|| Some("/v1".to_owned()), |node| read_path(&node));
    let poll_ms = interval(&fields, "poll_ms");
    let timeout_ms = interval(&fields, "timeout_ms");
    let report_ms = interval(&fields, "report_ms");
    let token = fields.get("token").map(|node| read_token(&node));
    fields.refuse_unknown();
    Some(Control {
        cluster: cluster?,
        authority: authority?,
        path: path?,
        poll_ms: poll_ms?,
        timeout_ms: timeout_ms?,
        report_ms: report_ms?,
        token: match token {
            Some(read) => Some(read?),
            None => None,
        },
    })
}

fn read_shadow(node: &Node<'_, '_>) -> Option<Mirrors> {
    let fields = node.object()?;
    let clusters = fields
        .require("clusters", "the cluster of each version that is mirrored to")
        .and_then(|node| read_clusters(&node));
    let timeout_ms = interval(&fields, "timeout_ms");
    fields.refuse_unknown();
    Some(Mirrors { clusters: clusters?, timeout_ms: timeout_ms? })
}

fn read_clusters(node: &Node<'_, '_>) -> Option<Vec<(String, String)>> {
    let entries = node.entries(VERSIONS_MAX)?;
    if entries.is_empty() {
        return node.note("names no cluster: {\"VERSION\": \"CLUSTER\"}");
    }
    let read = |(version, node): &(&str, Node<'_, '_>)| {
        Some(((*version).to_owned(), node.name()?.to_owned()))
    };
    let read: Vec<_> = entries.iter().map(read).collect();
    read.into_iter().collect()
}

fn interval(fields: &Fields<'_, '_>, name: &'static str) -> Option<u64> {
    let Some(node) = fields.get(name) else { return Some(1000) };
    match node.value.as_u64() {
        Some(ms @ 10..=INTERVAL_MS_MAX) => Some(ms),
        _ => node.wrong("not a number of milliseconds from 10 to 3600000 (an hour)"),
    }
}

fn read_node(node: &Node<'_, '_>) -> Option<String> {
    let name = node.name()?;
    if name.len() > NODE_BYTES_MAX {
        return node.note(format!("{} bytes are over the limit of {NODE_BYTES_MAX}", name.len()));
    }
    Some(name.to_owned())
}

fn read_path(node: &Node<'_, '_>) -> Option<String> {
    let path = node.text(NAME_BYTES_MAX)?;
    if !path.starts_with('/') || !path.bytes().all(|byte| byte.is_ascii_graphic()) {
        return node.wrong("not a path: \"/\" and printable ASCII without spaces");
    }
    Some(path.trim_end_matches('/').to_owned())
}

fn read_token(node: &Node<'_, '_>) -> Option<String> {
    // The value is a secret: it is not shown.
    match node.value {
        Value::String(text)
            if (1..=TOKEN_BYTES_MAX).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_graphic()) =>
        {
            Some(text.clone())
        }
        _ => node.note(format!(
            "not a token: 1 to {TOKEN_BYTES_MAX} printable ASCII characters without spaces"
        )),
    }
}

/// A header's name, as a token of RFC 9110. The proxy's own (`:path`, `host`) are none.
fn read_header(node: &Node<'_, '_>) -> Option<String> {
    let name = node.name()?;
    let token = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b));
    if !token || name.eq_ignore_ascii_case("host") {
        return node.wrong("not the name of a header that may be set");
    }
    Some(name.to_ascii_lowercase())
}

/// A node's name cut to what fits in a report.
pub(crate) fn node_name(name: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(name).ok()?;
    let mut cut = String::new();
    for c in text.chars().filter(|c| !c.is_control()) {
        if cut.len().saturating_add(c.len_utf8()) > NODE_BYTES_MAX {
            break;
        }
        cut.push(c);
    }
    Some(cut).filter(|cut| !cut.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = r#"{"api":"users","versions":["v1","v2"],"key":{"header":"x"}}"#;

    #[track_caller]
    fn problems(text: &str, expected: &[&str]) {
        let problems = Config::read(text.as_bytes()).unwrap_err();
        let found: Vec<_> = problems.list.iter().map(ToString::to_string).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_not_written_has_its_default() {
        let config = Config::read(format!(r#"{{"policy":{POLICY}}}"#).as_bytes()).unwrap();
        assert_eq!(config.policy.unwrap().api, "users");
        assert_eq!((config.revision, config.control, config.node), (0, None, None));
        assert_eq!(config.shadow, None);
        assert_eq!((config.version_header.as_str(), config.reason_header), ("x-api-version", None));
        let config = Config::read(br#"{"control":{"cluster":"c"}}"#).unwrap();
        assert_eq!(config.policy, None);
        let control = Control {
            cluster: "c".to_owned(),
            authority: "crossfade".to_owned(),
            path: "/v1".to_owned(),
            poll_ms: 1000,
            timeout_ms: 1000,
            report_ms: 1000,
            token: None,
        };
        assert_eq!(config.control, Some(control));
    }

    #[test]
    fn what_is_written_is_taken() {
        let text = format!(
            r#"{{"policy":{POLICY},"revision":3,"node":"edge-1","version_header":"X-Version","reason_header":"X-Why",
               "shadow":{{"clusters":{{"v2":"new"}},"timeout_ms":50}},
               "control":{{"cluster":"c","authority":"a","path":"/base/","poll_ms":10,"timeout_ms":3600000,"report_ms":20,"token":"t"}}}}"#
        );
        let config = Config::read(text.as_bytes()).unwrap();
        assert_eq!((config.revision, config.node.as_deref()), (3, Some("edge-1")));
        assert_eq!(config.version_header, "x-version");
        assert_eq!(config.reason_header.as_deref(), Some("x-why"));
        let clusters = vec![("v2".to_owned(), "new".to_owned())];
        assert_eq!(config.shadow, Some(Mirrors { clusters, timeout_ms: 50 }));
        let control = config.control.unwrap();
        assert_eq!((control.authority.as_str(), control.path.as_str()), ("a", "/base"));
        assert_eq!((control.poll_ms, control.timeout_ms, control.report_ms), (10, 3_600_000, 20));
        assert_eq!(control.token.as_deref(), Some("t"));
    }

    #[test]
    fn all_problems_are_named_at_once() {
        let long = "n".repeat(101);
        problems(
            &format!(
                r#"{{"policy":{{"api":"users","versions":["v1"],"key":{{"header":"x"}},"stikcy":true}},
                    "revision":-1,"node":"{long}","version_header":":path","reason_header":"a b","polcy":1,
                    "shadow":{{"clusters":{{}},"timeout_ms":0,"cluster":"v2"}},
                    "control":{{"authority":"","path":"v1","poll_ms":9,"timeout_ms":3600001,"report_ms":"1s","token":"a b","tokn":1}}}}"#
            ),
            &[
                "revision: -1 is not a whole number from 0 to 18446744073709551615",
                "control: `cluster` is missing: the cluster that leads to the control server",
                "control.authority: \"\" is not a name: at least one character, none of them a control character",
                "control.path: \"v1\" is not a path: \"/\" and printable ASCII without spaces",
                "control.poll_ms: 9 is not a number of milliseconds from 10 to 3600000 (an hour)",
                "control.timeout_ms: 3600001 is not a number of milliseconds from 10 to 3600000 (an hour)",
                "control.report_ms: \"1s\" is not a number of milliseconds from 10 to 3600000 (an hour)",
                "control.token: not a token: 1 to 4096 printable ASCII characters without spaces",
                "control.tokn: unknown field; did you mean `token`?",
                "node: 101 bytes are over the limit of 100",
                "shadow.clusters: names no cluster: {\"VERSION\": \"CLUSTER\"}",
                "shadow.timeout_ms: 0 is not a number of milliseconds from 10 to 3600000 (an hour)",
                "shadow.cluster: unknown field; did you mean `clusters`?",
                "version_header: \":path\" is not the name of a header that may be set",
                "reason_header: \"a b\" is not the name of a header that may be set",
                "polcy: unknown field; did you mean `policy`?",
                "policy.versions: fewer than two versions: there is nothing to migrate",
                "policy.stikcy: unknown field; did you mean `sticky`?",
            ],
        );
    }

    #[test]
    fn a_configuration_says_where_decisions_come_from() {
        let needed = "`policy` or `control` is needed: where should decisions come from?";
        problems("{}", &[needed]);
        problems(r#"{"policy":null}"#, &[needed]);
        problems(r#"{"policy":[]}"#, &["policy: a list is not an object"]);
    }

    #[test]
    fn what_is_no_object_is_refused_in_one_line() {
        problems("", &["not JSON: EOF while parsing a value at column 0"]);
        problems("[]", &["a list is not an object"]);
        problems(r#"{"node":"a","node":"b"}"#, &["not JSON: duplicate key `node` at column 18"]);
        let problems = Config::read(b"\xff").unwrap_err();
        assert_eq!(problems.to_string(), "not JSON: not UTF-8");
    }
}
