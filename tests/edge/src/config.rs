//! Envoy configurations, as values.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::upstream::Upstream;

const TYPES: &str = "type.googleapis.com/envoy.extensions";

/// A whole configuration, with an admin interface on a free port.
pub fn bootstrap(listeners: Vec<Value>, clusters: Vec<Value>) -> Value {
    json!({
        "admin": { "address": socket(free()) },
        "static_resources": { "listeners": listeners, "clusters": clusters },
    })
}

/// A listener on a free port: these routes, these filters before the router, and what
/// else its connection manager is told.
pub fn listener(name: &str, routes: &Value, filters: &[Value], manager: &Value) -> Value {
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
        "route_config": { "name": name, "virtual_hosts": [
            { "name": name, "domains": ["*"], "routes": routes },
        ] },
        "http_filters": filters,
    });
    if let (Some(config), Some(more)) = (config.as_object_mut(), manager.as_object()) {
        config.extend(more.clone());
    }
    let filter = json!({ "name": "http", "typed_config": config });
    json!({
        "name": name,
        "address": socket(free()),
        "filter_chains": [{ "filters": [filter] }],
    })
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
