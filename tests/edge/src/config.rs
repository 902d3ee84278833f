//! Envoy configurations, as values.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::root;
use crate::upstream::Upstream;

const TYPES: &str = "type.googleapis.com/envoy.extensions";

/// A whole configuration, with an admin interface on a free port.
pub fn bootstrap(listeners: Vec<Value>, clusters: Vec<Value>) -> Value {
    json!({
        "node": { "id": "edge-1", "cluster": "edge" },
        "admin": { "address": socket(free()) },
        "stats_config": { "stats_tags": [tag("version"), tag("reason"), tag("class"), tag("kind")] },
        "static_resources": { "listeners": listeners, "clusters": clusters },
    })
}

/// Where a listener finds its routes.
#[derive(Debug, Clone)]
pub enum Routes {
    /// In its own configuration.
    Inline(Value),
    /// In a file of route configurations, from which it takes the one called `crossfade`.
    /// Envoy reads it anew when another takes its place by being renamed to it.
    File(PathBuf),
}

impl Routes {
    fn specifier(&self, listener: &str) -> (String, Value) {
        match self {
            Routes::Inline(routes) => {
                let host = json!({ "name": listener, "domains": ["*"], "routes": routes });
                let routes = json!({ "name": listener, "virtual_hosts": [host] });
                ("route_config".to_owned(), routes)
            }
            Routes::File(path) => {
                let source = json!({ "path_config_source": { "path": path } });
                let rds = json!({ "route_config_name": "crossfade", "config_source": source });
                ("rds".to_owned(), rds)
            }
        }
    }
}

/// A listener on a free port: these routes, these filters before the router, and what
/// else its connection manager is told.
pub fn listener(name: &str, routes: &Routes, filters: &[Value], manager: &Value) -> Value {
    let mut filters = filters.to_vec();
    filters.push(json!({
        "name": "router",
        "typed_config": { "@type": format!("{TYPES}.filters.http.router.v3.Router") },
    }));
    let mut config = json!({
        "@type": format!(
            "{TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager"
        ),
        "stat_prefix": name,
        "http_filters": filters,
    });
    if let (Some(config), Some(more)) = (config.as_object_mut(), manager.as_object()) {
        config.extend([routes.specifier(name)]);
        config.extend(more.clone());
    }
    let filter = json!({ "name": "http", "typed_config": config });
    json!({
        "name": name,
        "address": socket(free()),
        // Connections go to the workers in turn, so that a test can reach each.
        "connection_balance_config": { "exact_balance": {} },
        "filter_chains": [{ "filters": [filter] }],
    })
}

/// A listener whose requests go through the filter: to the cluster that is named by the
/// version header, and to the first of `versions` where there is none.
pub fn filtered(name: &str, module: Module, versions: &[&str], plugin: &Value) -> Value {
    filtered_after(&[], name, module, versions, plugin)
}

/// The same, with other filters before it.
pub fn filtered_after(
    before: &[Value],
    name: &str,
    module: Module,
    versions: &[&str],
    plugin: &Value,
) -> Value {
    let (stable, others) = versions.split_first().expect("a policy has versions");
    let header = plugin["version_header"].as_str().unwrap_or("x-api-version");
    let mut routes: Vec<Value> = others.iter().map(|version| routed_by(header, version)).collect();
    routes.push(json!({ "match": { "prefix": "/" }, "route": { "cluster": stable } }));
    let early = json!({ "early_header_mutation_extensions": [{
        "name": "strip",
        "typed_config": {
            "@type": format!("{TYPES}.http.early_header_mutation.header_mutation.v3.HeaderMutation"),
            "mutations": [{ "remove": header }],
        },
    }] });
    let filters = [before, &[wasm(name, module, plugin)]].concat();
    listener(name, &Routes::Inline(json!(routes)), &filters, &early)
}

fn wasm(name: &str, module: Module, plugin: &Value) -> Value {
    json!({
        "name": "crossfade",
        "typed_config": {
            "@type": format!("{TYPES}.filters.http.wasm.v3.Wasm"),
            "config": {
                "name": name,
                "root_id": "crossfade",
                "failure_policy": "FAIL_RELOAD",
                "reload_config": { "backoff": { "base_interval": "0.1s" } },
                "vm_config": {
                    // One for each listener: they share nothing.
                    "vm_id": name,
                    "runtime": "envoy.wasm.runtime.v8",
                    "code": { "local": { "filename": module.path() } },
                },
                "configuration": {
                    "@type": "type.googleapis.com/google.protobuf.StringValue",
                    "value": plugin.to_string(),
                },
            },
        },
    })
}

fn routed_by(header: &str, version: &str) -> Value {
    let is = json!({ "name": header, "string_match": { "exact": version } });
    json!({ "match": { "prefix": "/", "headers": [is] }, "route": { "cluster": version } })
}

/// Which build of the filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Module {
    /// The one that people run.
    Shipped,
    /// One that traps at the key `crossfade-test-trap`.
    Trapping,
}

impl Module {
    /// Where `cargo xtask edge` puts it.
    ///
    /// # Panics
    /// When it is not there; the message says what to run.
    pub fn path(self) -> PathBuf {
        let (file, task) = match self {
            Module::Shipped => ("crossfade_envoy.wasm", "edge"),
            Module::Trapping => ("crossfade_envoy_trap.wasm", "test-edge"),
        };
        let path = root().join("edge/envoy").join(file);
        assert!(path.exists(), "no filter at {}: run `cargo xtask {task}`", path.display());
        path
    }
}

/// Makes a Prometheus label of `;NAME=VALUE` in a metric's name.
fn tag(name: &str) -> Value {
    json!({ "tag_name": name, "regex": format!("(;{name}=([^;]*))") })
}

const TLS: &str = "transport_sockets.tls.v3";

fn certificate(name: &str) -> Value {
    let file = |kind: &str| json!({ "filename": root().join("tests/edge/certificates").join(format!("{name}.{kind}")) });
    json!({
        "tls_certificates": [{ "certificate_chain": file("pem"), "private_key": file("key") }],
        "validation_context": { "trusted_ca": {
            "filename": root().join("tests/edge/certificates/ca.pem"),
        } },
    })
}

/// Lets a listener speak TLS with those alone who show a certificate of the tests'.
pub fn with_tls(listener: &mut Value) {
    listener["filter_chains"][0]["transport_socket"] = json!({ "name": "tls", "typed_config": {
        "@type": format!("{TYPES}.{TLS}.DownstreamTlsContext"),
        "common_tls_context": certificate("server"),
        "require_client_certificate": true,
    } });
}

/// A cluster that speaks TLS and shows this certificate of the tests'.
#[must_use]
pub fn with_certificate(mut cluster: Value, name: &str) -> Value {
    cluster["transport_socket"] = json!({ "name": "tls", "typed_config": {
        "@type": format!("{TYPES}.{TLS}.UpstreamTlsContext"),
        "common_tls_context": certificate(name),
    } });
    cluster
}

/// A cluster of one server.
pub fn cluster(name: &str, address: SocketAddr) -> Value {
    json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": { "cluster_name": name, "endpoints": [
            { "lb_endpoints": [{ "endpoint": { "address": socket(address) } }] },
        ] },
        // Requests go on in the protocol in which they came.
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": format!("{TYPES}.upstreams.http.v3.HttpProtocolOptions"),
                "use_downstream_protocol_config": {
                    "http_protocol_options": {},
                    "http2_protocol_options": {},
                },
            },
        },
        // No test is about these, and tests send much at once.
        "circuit_breakers": { "thresholds": [{
            "max_connections": 100_000, "max_pending_requests": 100_000,
            "max_requests": 100_000, "max_retries": 100_000,
        }] },
    })
}

/// A cluster for each version of `upstream`, of the version's name.
pub fn clusters(upstream: &Upstream) -> Vec<Value> {
    upstream.addresses().map(|(name, address)| cluster(name, address)).collect()
}

fn free() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn socket(address: SocketAddr) -> Value {
    json!({ "socket_address": {
        "address": address.ip().to_string(), "port_value": address.port(),
    } })
}
