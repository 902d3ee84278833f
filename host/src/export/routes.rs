//! A plan as routes of a stock Envoy, which then decides by itself, key by key as the
//! engine does: `weighted_clusters` with `use_hash_policy` hash with xxHash64 and no seed.

use std::collections::BTreeMap;

use crossfade_protocol::Problem;
use crossfade_protocol::plan::{
    AttributeSource, BucketRange, Headers, KeyFrom, OnMissingKey, Plan, Then, Traffic,
};
use serde_json::{Map, Value, json};

use super::{Exported, Ledger, condition, traffic};

/// What the plan does not say.
#[derive(Debug, Clone)]
pub(crate) struct RouteOptions {
    /// The cluster of a version, where it is not the version's name.
    pub(crate) clusters: BTreeMap<String, String>,
    /// What the route configuration is called, as in `rds.route_config_name`.
    pub(crate) name: String,
    /// Hosts that the routes are for.
    pub(crate) domains: Vec<String>,
    /// Paths that the routes are for.
    pub(crate) prefix: String,
    /// The request header that tells the upstream its version.
    pub(crate) version_header: String,
}

/// Pins that a proxy may look through one after the other without being told of.
const PINS_FEW: usize = 100;

const INSTEAD: &str = "the filter does (`export envoy-filter`)";

/// The plan as a file for Envoy's RDS.
///
/// # Errors
/// Everything that stock Envoy cannot decide as the engine does.
pub(crate) fn envoy(plan: &Plan, options: &RouteOptions) -> Result<Exported, Vec<Problem>> {
    let mut ledger = Ledger::default();
    let headers = Headers::of_plan(plan);
    let mut writer = Writer { plan, options, headers, routes: Vec::new() };
    if plan.kill_switch {
        writer.one_version("kill switch", Vec::new(), plan.versions.stable());
    } else {
        writer.pins(&mut ledger);
        writer.rules(&mut ledger);
        writer.traffic(&mut ledger);
        ledger.note_what_needs_an_engine(plan, INSTEAD);
    }
    let document = json!({ "resources": [{
        "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
        "name": options.name,
        "virtual_hosts": [{
            "name": plan.api,
            "domains": options.domains,
            "routes": writer.routes,
        }],
    }] });
    ledger.into_result(document)
}

struct Writer<'a> {
    plan: &'a Plan,
    options: &'a RouteOptions,
    /// By the place of the version.
    headers: Vec<Headers>,
    routes: Vec<Value>,
}

impl Writer<'_> {
    fn pins(&mut self, ledger: &mut Ledger) {
        if self.plan.pins.is_empty() {
            return;
        }
        let KeyFrom::Header(header) = key_source(self.plan) else {
            let why =
                format!("stock Envoy matches pins by header only, and the key is none; {INSTEAD}");
            return ledger.refuse("pins", why);
        };
        let count = self.plan.pins.len();
        if count > PINS_FEW {
            let why = format!(
                "are {count} routes, which Envoy tries one after the other for each request; {INSTEAD} by a search"
            );
            ledger.note("pins", why);
        }
        for (key, version) in &self.plan.pins {
            let matcher = json!({ "name": header, "string_match": { "exact": key } });
            self.one_version(&format!("pin {key}"), vec![matcher], version);
        }
    }

    fn rules(&mut self, ledger: &mut Ledger) {
        for (place, rule) in self.plan.rules.iter().enumerate() {
            let path = format!("rules[{place}]");
            let alternatives = match &rule.when {
                None => Some(vec![Vec::new()]),
                Some(when) => condition::matchers(
                    when,
                    &self.plan.attributes,
                    &format!("{path}.when"),
                    ledger,
                ),
            };
            match &rule.then {
                Then::To(version) => {
                    for matchers in alternatives.into_iter().flatten() {
                        self.one_version(&format!("rule {}", rule.name), matchers, version);
                    }
                }
                Then::Split(_) => ledger.refuse(
                    format!("{path}.split"),
                    format!(
                        "a rule's own split is salted with the rule's name, and stock Envoy \
                         hashes without a salt: use `to`; {INSTEAD}"
                    ),
                ),
            }
        }
    }

    fn traffic(&mut self, ledger: &mut Ledger) {
        let (ranges, by_key) = traffic(self.plan);
        if let ([all], false) = (ranges.as_slice(), by_key) {
            return self.one_version("everything", Vec::new(), &all.version);
        }
        let name = match &self.plan.traffic {
            Traffic::Canary(share) => format!("canary {share}"),
            Traffic::Split { .. } | Traffic::Stable => "split".to_owned(),
        };
        if !by_key {
            return self.weighted(&name, Vec::new(), &ranges, None);
        }
        if !self.plan.salt.is_empty() {
            let why = format!("stock Envoy hashes without a salt: leave it empty; {INSTEAD}");
            ledger.refuse("salt", why);
        }
        let key = key_source(self.plan);
        let random = self.plan.key.on_missing == OnMissingKey::Random;
        let hash = match &key {
            KeyFrom::Header(header) => json!({ "header": { "header_name": header } }),
            KeyFrom::Cookie(cookie) => json!({ "cookie": { "name": cookie } }),
            KeyFrom::Address => json!({ "connection_properties": { "source_ip": true } }),
            KeyFrom::Attribute(name) => {
                let why = format!(
                    "an attribute is what an adapter finds, and stock Envoy has none: say \
                     `key: {{ header: NAME }}`, or where it is in `attributes: {{ {name}: … }}`"
                );
                return ledger.refuse("key.attribute", why);
            }
        };
        match (&key, random) {
            // Envoy would take empty text for a key like any other.
            (KeyFrom::Header(header), true) => {
                let empty = json!({ "name": header, "string_match": { "exact": "" } });
                self.weighted("no key, by chance", vec![empty], &ranges, None);
            }
            (KeyFrom::Header(header), false) => {
                let none = json!({ "name": header, "string_match": { "exact": "" },
                    "treat_missing_header_as_empty": true });
                self.one_version("no key", vec![none], self.plan.versions.stable());
            }
            (KeyFrom::Cookie(cookie), false) => {
                let there = format!(r"(?:^|.*;\s*){}=[^;]+.*", regex::escape(cookie));
                let none = json!({ "name": "cookie", "invert_match": true,
                    "string_match": { "safe_regex": { "regex": there } },
                    "treat_missing_header_as_empty": true });
                self.one_version("no key", vec![none], self.plan.versions.stable());
            }
            // Without a key Envoy draws by itself; an address is always there.
            (KeyFrom::Cookie(_), true) | (KeyFrom::Address | KeyFrom::Attribute(_), _) => {}
        }
        if let KeyFrom::Header(_) = key {
            ledger.note(
                "key.header",
                "of a header sent twice the filter takes the first value, and stock Envoy \
                 hashes all; one of over 1,024 bytes is no key for the filter, and hashed by \
                 stock Envoy",
            );
        }
        self.weighted(&name, Vec::new(), &ranges, Some(hash));
    }

    /// A route to one version.
    fn one_version(&mut self, name: &str, matchers: Vec<Value>, version: &str) {
        let mut route = self.route(name, matchers);
        route.insert("route".to_owned(), json!({ "cluster": self.cluster(version) }));
        route.extend(self.marks(version));
        self.routes.push(route.into());
    }

    /// A route to several, by what is hashed, else by Envoy's own chance.
    fn weighted(
        &mut self,
        name: &str,
        matchers: Vec<Value>,
        ranges: &[BucketRange],
        hash: Option<Value>,
    ) {
        let cluster = |range: &BucketRange| {
            let mut cluster = Map::new();
            cluster.insert("name".to_owned(), self.cluster(&range.version).into());
            cluster.insert("weight".to_owned(), (range.to - range.from).into());
            cluster.extend(self.marks(&range.version));
            Value::from(cluster)
        };
        let clusters: Vec<Value> = ranges.iter().map(cluster).collect();
        let action = match hash {
            Some(hash) => json!({
                "hash_policy": [hash],
                "weighted_clusters": { "use_hash_policy": true, "clusters": clusters },
            }),
            None => json!({ "weighted_clusters": { "clusters": clusters } }),
        };
        let mut route = self.route(name, matchers);
        route.insert("route".to_owned(), action);
        self.routes.push(route.into());
    }

    fn route(&self, name: &str, matchers: Vec<Value>) -> Map<String, Value> {
        let mut matched = json!({ "prefix": self.options.prefix });
        if !matchers.is_empty() {
            matched["headers"] = matchers.into();
        }
        Map::from_iter([("name".to_owned(), name.into()), ("match".to_owned(), matched)])
    }

    fn cluster(&self, version: &str) -> String {
        self.options.clusters.get(version).cloned().unwrap_or_else(|| version.to_owned())
    }

    /// What requests and answers of a version are marked with.
    fn marks(&self, version: &str) -> Map<String, Value> {
        let header = |name: &str, value: &str| {
            json!({ "header": { "key": name, "value": literal(value) },
                "append_action": "OVERWRITE_IF_EXISTS_OR_ADD" })
        };
        let mut marks = Map::new();
        let request = vec![header(&self.options.version_header, version)];
        marks.insert("request_headers_to_add".to_owned(), request.into());
        let headers = self.headers.iter().find(|headers| headers.version == version);
        let response: Vec<Value> = headers
            .into_iter()
            .flat_map(|h| {
                [("deprecation", &h.deprecation), ("sunset", &h.sunset), ("link", &h.link)]
            })
            .filter_map(|(name, value)| Some(header(name, value.as_deref()?)))
            .collect();
        if !response.is_empty() {
            marks.insert("response_headers_to_add".to_owned(), response.into());
        }
        marks
    }
}

/// Where the key is, also when the plan says it by way of an attribute.
fn key_source(plan: &Plan) -> KeyFrom {
    match &plan.key.from {
        KeyFrom::Attribute(name) => match plan.attributes.get(name) {
            Some(AttributeSource::Header(header)) => KeyFrom::Header(header.clone()),
            Some(AttributeSource::Cookie(cookie)) => KeyFrom::Cookie(cookie.clone()),
            None => plan.key.from.clone(),
        },
        known => known.clone(),
    }
}

/// A header value in which nothing is taken for one of Envoy's commands (`%…%`).
fn literal(value: &str) -> String {
    value.replace('%', "%%")
}

#[cfg(test)]
#[path = "routes/tests.rs"]
mod tests;
