//! A whole Envoy configuration with the filter in it, for the user's own clusters.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crossfade_protocol::Problem;
use crossfade_protocol::plan::{AttributeSource, KeyFrom, Plan};
use serde_json::{Value, json};

use super::{Exported, Ledger, attributes, key_is_not};

/// What the plan does not say.
#[derive(Debug, Clone)]
pub(crate) struct FilterOptions {
    /// What the proxy calls itself.
    pub(crate) node: String,
    /// Host and port of each version.
    pub(crate) clusters: BTreeMap<String, (String, u16)>,
    /// Where Envoy listens.
    pub(crate) listen: SocketAddr,
    /// Where its admin interface listens.
    pub(crate) admin: SocketAddr,
    /// Where Envoy finds the filter.
    pub(crate) wasm: String,
    /// Where newer policies come from.
    pub(crate) control: Option<ControlServer>,
    /// The request header that routes choose by, in lower case.
    pub(crate) version_header: String,
    /// The response header with the reason.
    pub(crate) reason_header: Option<String>,
}

/// A control server.
#[derive(Debug, Clone)]
pub(crate) struct ControlServer {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// A bearer token.
    pub(crate) token: Option<String>,
}

/// The header that the filter sets when it is told of no other.
const VERSION_HEADER: &str = "x-api-version";

const CONTROL: &str = "crossfade_control";
const EXTENSIONS: &str = "type.googleapis.com/envoy.extensions";

/// A configuration that `envoy -c` takes. The plan goes into it as it was written.
///
/// # Errors
/// A version without a cluster, and what no request would have.
pub(crate) fn filter(
    plan: &Plan,
    written: &Value,
    options: &FilterOptions,
) -> Result<Exported, Vec<Problem>> {
    let mut ledger = Ledger::default();
    let versions = &plan.versions.0;
    for version in versions.iter().filter(|version| !options.clusters.contains_key(*version)) {
        let why = format!("{version} has no address: add `--cluster {version}=HOST:PORT`");
        ledger.refuse("versions", why);
    }
    key_is_not(&options.version_header, plan, &mut ledger);
    sources(plan, &options.version_header, &mut ledger);
    if plan.mirrors().is_some() && options.control.is_none() {
        let why = "is mirrored for good: a control server ends it (`--control HOST:PORT`)";
        ledger.note("shadow", why);
    }
    if plan.rollout.is_some() && options.control.is_none() {
        let why = "is not run by the filter: a control server does (`--control HOST:PORT`)";
        ledger.note("rollout", why);
    }
    let mut clusters: Vec<Value> = versions
        .iter()
        .filter_map(|version| Some((version, options.clusters.get(version)?)))
        .map(|(version, (host, port))| cluster(version, host, *port))
        .collect();
    if let Some(control) = &options.control {
        clusters.push(cluster(CONTROL, &control.host, control.port));
    }
    let tags = ["version", "reason", "class", "kind"].map(tag);
    let document = json!({
        "node": { "id": options.node, "cluster": "edge" },
        "admin": { "address": socket(&options.admin.ip().to_string(), options.admin.port()) },
        "stats_config": { "stats_tags": tags },
        "static_resources": { "listeners": [listener(plan, written, options)], "clusters": clusters },
    });
    let manager = "static_resources.listeners[0].filter_chains[0].filters[0].typed_config";
    let strip =
        format!("{manager}.early_header_mutation_extensions[0].typed_config.mutations[0].remove");
    ledger.comment(&strip, "before a route is chosen: no client chooses its version");
    let wasm = format!("{manager}.http_filters[0].typed_config.config");
    ledger.comment(
        &format!("{wasm}.failure_policy"),
        "after a trap a new instance; FAIL_OPEN goes on without the filter for good",
    );
    ledger.comment(&format!("{wasm}.reload_config.backoff.base_interval"), "until then: 503");
    ledger.into_result(document)
}

/// The filter finds in a request what the plan says where to find.
fn sources(plan: &Plan, version_header: &str, ledger: &mut Ledger) {
    let known = |name: &str| plan.attributes.get(name).is_some();
    if let KeyFrom::Attribute(name) = &plan.key.from
        && !known(name)
    {
        let why = format!(
            "nothing says where it is in a request, so no request has a key: add \
            `attributes: {{ {name}: {{ header: NAME }} }}` to the plan"
        );
        ledger.refuse("key.attribute", why);
    }
    for (place, rule) in plan.rules.iter().enumerate() {
        let mut missing = Vec::new();
        if let Some(when) = &rule.when {
            attributes(when, &mut |name| {
                if !known(name) && !missing.iter().any(|m| m == name) {
                    missing.push(name.to_owned());
                }
            });
        }
        for name in missing {
            let why = format!(
                "nothing says where the attribute `{name}` is in a request, so it is \
                always absent: add `attributes: {{ {name}: {{ header: NAME }} }}` to the plan"
            );
            ledger.note(format!("rules[{place}].when"), why);
        }
    }
    for (name, source) in &plan.attributes.0 {
        let (AttributeSource::Header(part) | AttributeSource::Cookie(part)) = source;
        if matches!(source, AttributeSource::Header(name) if name.eq_ignore_ascii_case(version_header))
        {
            let why = format!(
                "`{part}` is removed before the filter sees a request, so that no client can \
                choose by it: let clients send another, such as x-api-override"
            );
            ledger.refuse(format!("attributes.{name}"), why);
            continue;
        }
        let why = format!(
            "`{part}` is what the client sends, unless a filter before this one \
            sets it and removes what comes in"
        );
        ledger.note(format!("attributes.{name}"), why);
    }
}

fn listener(plan: &Plan, written: &Value, options: &FilterOptions) -> Value {
    let manager = json!({
        "@type": format!("{EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "edge",
        "early_header_mutation_extensions": [{
            "name": "strip",
            "typed_config": {
                "@type": format!("{EXTENSIONS}.http.early_header_mutation.header_mutation.v3.HeaderMutation"),
                "mutations": [{ "remove": options.version_header }],
            },
        }],
        "http_filters": [
            wasm(plan, written, options),
            {
                "name": "envoy.filters.http.router",
                "typed_config": { "@type": format!("{EXTENSIONS}.filters.http.router.v3.Router") },
            },
        ],
        "route_config": {
            "name": "edge",
            "virtual_hosts": [{ "name": "api", "domains": ["*"], "routes": routes(plan, options) }],
        },
    });
    json!({
        "name": "edge",
        "address": socket(&options.listen.ip().to_string(), options.listen.port()),
        "filter_chains": [{ "filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": manager,
        }] }],
    })
}

fn wasm(plan: &Plan, written: &Value, options: &FilterOptions) -> Value {
    let mut configuration = json!({ "policy": written });
    if let Some(control) = &options.control {
        let mut server = json!({
            "cluster": CONTROL,
            "authority": format!("{}:{}", control.host, control.port),
        });
        if let Some(token) = &control.token {
            server["token"] = json!(token);
        }
        configuration["control"] = server;
    }
    if plan.shadow.is_some() {
        let newest = plan.versions.new_version();
        configuration["shadow"] = json!({ "clusters": { newest: newest } });
    }
    if options.version_header != VERSION_HEADER {
        configuration["version_header"] = json!(options.version_header);
    }
    if let Some(header) = &options.reason_header {
        configuration["reason_header"] = json!(header);
    }
    json!({
        "name": "crossfade",
        "typed_config": {
            "@type": format!("{EXTENSIONS}.filters.http.wasm.v3.Wasm"),
            "config": {
                "name": "crossfade",
                "root_id": "crossfade",
                "failure_policy": "FAIL_RELOAD",
                "reload_config": { "backoff": { "base_interval": "0.1s" } },
                "vm_config": {
                    "vm_id": "crossfade",
                    "runtime": "envoy.wasm.runtime.v8",
                    "code": { "local": { "filename": options.wasm } },
                },
                "configuration": {
                    "@type": "type.googleapis.com/google.protobuf.StringValue",
                    "value": pretty(&configuration),
                },
            },
        },
    })
}

/// JSON for people, ended by a newline.
fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default() + "\n"
}

/// A route for each version but the first, which has the rest.
fn routes(plan: &Plan, options: &FilterOptions) -> Vec<Value> {
    let others = plan.versions.0.iter().skip(1).map(|version| {
        let header =
            json!({ "name": options.version_header, "string_match": { "exact": version } });
        json!({ "match": { "prefix": "/", "headers": [header] }, "route": { "cluster": version } })
    });
    let stable =
        json!({ "match": { "prefix": "/" }, "route": { "cluster": plan.versions.stable() } });
    others.chain([stable]).collect()
}

/// A label of the filter's metrics.
fn tag(label: &str) -> Value {
    json!({ "tag_name": label, "regex": format!("(;{label}=([^;]+))") })
}

fn cluster(name: &str, host: &str, port: u16) -> Value {
    // An address needs no resolver.
    let is_address = host.parse::<std::net::IpAddr>().is_ok();
    json!({
        "name": name,
        "type": if is_address { "STATIC" } else { "STRICT_DNS" },
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": socket(host, port) } }] }],
        },
    })
}

fn socket(host: &str, port: u16) -> Value {
    json!({ "socket_address": { "address": host, "port_value": port } })
}

#[cfg(test)]
mod tests {
    use super::super::tests::plan;
    use super::*;

    fn options() -> FilterOptions {
        let at = |host: &str| (host.to_owned(), 8080);
        FilterOptions {
            node: "edge-1".to_owned(),
            clusters: BTreeMap::from([
                ("v1".to_owned(), at("10.0.0.1")),
                ("v2".to_owned(), at("users.example")),
            ]),
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            admin: SocketAddr::from(([127, 0, 0, 1], 9901)),
            wasm: "crossfade_envoy.wasm".to_owned(),
            control: None,
            version_header: "x-api-version".to_owned(),
            reason_header: None,
        }
    }

    #[test]
    fn each_version_has_a_cluster_and_the_first_the_rest() {
        let written = json!({ "api": "users" });
        let document = filter(&plan(json!({})), &written, &options()).unwrap().document;
        let clusters = document["static_resources"]["clusters"].as_array().unwrap();
        let kinds: Vec<_> =
            clusters.iter().map(|c| (c["name"].clone(), c["type"].clone())).collect();
        assert_eq!(kinds, [(json!("v1"), json!("STATIC")), (json!("v2"), json!("STRICT_DNS"))]);
        let text = document.to_string();
        assert!(text.contains(r#""mutations":[{"remove":"x-api-version"}]"#), "{text}");
        assert!(text.contains("FAIL_RELOAD"), "{text}");
        assert!(!text.contains("reason_header"), "{text}");
        assert!(!text.contains("version_header"), "{text}");
    }

    #[test]
    fn a_shadow_goes_to_the_cluster_of_the_newest_version() {
        let shadow = json!({ "shadow": { "percentage": 5 } });
        let with = |more: Value, control: Option<ControlServer>| {
            let exported = filter(&plan(more), &json!({}), &FilterOptions { control, ..options() });
            let exported = exported.unwrap();
            let notes: Vec<_> = exported.notes.into_iter().map(|note| note.path).collect();
            let wasm = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config\
                        /http_filters/0/typed_config/config/configuration/value";
            let value = exported.document.pointer(wasm).unwrap().as_str().unwrap();
            let value: Value = serde_json::from_str(value).unwrap();
            (value["shadow"]["clusters"].clone(), notes)
        };
        let control = ControlServer { host: "127.0.0.1".to_owned(), port: 8127, token: None };
        let newest = json!({ "v2": "v2" });
        assert_eq!(with(shadow.clone(), None), (newest.clone(), vec!["shadow".to_owned()]));
        assert_eq!(with(shadow, Some(control)), (newest, Vec::new()));
        assert_eq!(with(json!({}), None), (Value::Null, Vec::new()));
    }

    #[test]
    fn what_is_missing_is_said_at_once() {
        let options = FilterOptions { clusters: BTreeMap::new(), ..options() };
        let plan = plan(json!({ "key": { "attribute": "user" } }));
        let problems = filter(&plan, &json!({}), &options).unwrap_err();
        let paths: Vec<_> = problems.iter().map(|p| p.path.as_str()).collect();
        assert_eq!(paths, ["versions", "versions", "key.attribute"]);
    }

    #[test]
    fn nothing_is_found_in_the_header_for_the_version() {
        let refused = |more, header: &str| {
            let options = FilterOptions { version_header: header.to_owned(), ..options() };
            let problems = filter(&plan(more), &json!({}), &options).err().unwrap_or_default();
            problems.into_iter().map(|problem| problem.path).collect::<Vec<_>>()
        };
        let found = json!({ "attributes": { "o": { "header": "X-API-Version" } } });
        assert_eq!(refused(found.clone(), "x-api-version"), ["attributes.o"]);
        assert_eq!(refused(found.clone(), "x-version"), [""; 0]);
        assert_eq!(refused(found, "x-user-id"), ["key"]);
    }

    #[test]
    fn attributes_without_a_source_and_with_one_are_spoken_of() {
        let plan = plan(json!({
            "attributes": { "plan": { "header": "x-plan" } },
            "rules": [{ "name": "r", "to": "v2", "when": { "all": [
                { "attribute": "plan", "equals": "a" }, { "attribute": "sdk", "semver": ">=2" },
                { "not": { "attribute": "sdk", "present": false } } ] } }],
        }));
        let notes = filter(&plan, &json!({}), &options()).unwrap().notes;
        let paths: Vec<_> = notes.iter().map(|note| note.path.as_str()).collect();
        assert_eq!(paths, ["rules[0].when", "attributes.plan"]);
    }
}
