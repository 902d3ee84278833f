//! A plan as routes of a stock Envoy, which then decides by itself, key by key as the
//! engine does: `weighted_clusters` with `use_hash_policy` hash with xxHash64 and no seed.

use std::collections::BTreeMap;

use crossfade_protocol::Problem;
use crossfade_protocol::plan::{
    BucketRange, Condition, Headers, KeyFrom, OnMissingKey, Plan, Then, Traffic,
};
use serde_json::{Map, Value, json};

use super::{Exported, Ledger, condition, key_is_not, key_source, pin_path, traffic, traffic_path};

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

/// Bytes of a cookie's name. The match for requests without the cookie is a regular
/// expression, and Envoy takes none whose program has over 100 steps.
const COOKIE_NAME_MAX: usize = 64;

const INSTEAD: &str = "the filter does (`export envoy-filter`)";

/// The plan as a file for Envoy's RDS.
///
/// # Errors
/// Everything that stock Envoy cannot decide as the engine does.
pub(crate) fn envoy(plan: &Plan, options: &RouteOptions) -> Result<Exported, Vec<Problem>> {
    let mut ledger = Ledger::default();
    key_is_not(&options.version_header, plan, &mut ledger);
    let headers = Headers::of_plan(plan, 0);
    let mut writer = Writer { plan, options, headers, routes: Vec::new(), origins: Vec::new() };
    if plan.kill_switch {
        writer.one_version("kill switch", "kill_switch", Vec::new(), plan.versions.stable());
    } else {
        writer.pins(&mut ledger);
        writer.rules(&mut ledger);
        writer.attributes(&mut ledger);
        writer.traffic(&mut ledger);
        ledger.note_what_needs_an_engine(plan, INSTEAD);
    }
    for (place, origin) in writer.origins.into_iter().enumerate() {
        ledger.origin(format!("resources[0].virtual_hosts[0].routes[{place}].name"), origin);
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
    /// For each route the field of the plan that it is from.
    origins: Vec<String>,
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
            self.one_version(&format!("pin {key}"), &pin_path(key), vec![matcher], version);
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
                        self.one_version(&format!("rule {}", rule.name), &path, matchers, version);
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

    /// What a client can do that the two read in two ways.
    fn attributes(&self, ledger: &mut Ledger) {
        for (name, _) in &self.plan.attributes.0 {
            let asked = |when: &Condition| {
                let mut found = false;
                super::attributes(when, &mut |asked| found |= asked == name);
                found
            };
            if self.plan.rules.iter().filter_map(|rule| rule.when.as_ref()).any(asked) {
                let why = "a client chooses it, unless something before the routes sets it and \
                    removes what comes in; and one that sends it twice has none for Crossfade, \
                    where stock Envoy looks at each value";
                ledger.note(format!("attributes.{name}"), why);
            }
        }
    }

    fn traffic(&mut self, ledger: &mut Ledger) {
        let (ranges, by_key) = traffic(self.plan);
        let origin = traffic_path(self.plan);
        let random = self.plan.key.on_missing == OnMissingKey::Random;
        // Also at 0 %: whoever starts there means to go on.
        if by_key && !self.plan.salt.is_empty() {
            let why = format!("stock Envoy hashes without a salt: leave it empty; {INSTEAD}");
            ledger.refuse("salt", why);
        }
        if let [all] = ranges.as_slice()
            && (!by_key || random || all.version == self.plan.versions.stable())
        {
            return self.one_version("everything", origin, Vec::new(), &all.version);
        }
        let name = match &self.plan.traffic {
            Traffic::Canary(share) => format!("canary {share}"),
            Traffic::Split { .. } | Traffic::Stable => "split".to_owned(),
        };
        if !by_key {
            return self.weighted(&name, origin, Vec::new(), &ranges, None);
        }
        let key = key_source(self.plan);
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
                self.weighted("no key, by chance", "key", vec![empty], &ranges, None);
            }
            (KeyFrom::Header(header), false) => {
                let none = json!({ "name": header, "string_match": { "exact": "" },
                    "treat_missing_header_as_empty": true });
                self.one_version("no key", "key", vec![none], self.plan.versions.stable());
            }
            (KeyFrom::Cookie(cookie), false) => {
                if cookie.len() > COOKIE_NAME_MAX {
                    let why = format!(
                        "a name of {} bytes, and stock Envoy can match up to {COOKIE_NAME_MAX}; \
                         {INSTEAD}",
                        cookie.len()
                    );
                    ledger.refuse("key", why);
                }
                let there = format!(r"(?:^|.*;\s*){}=[^;]+.*", regex::escape(cookie));
                let none = json!({ "name": "cookie", "invert_match": true,
                    "string_match": { "safe_regex": { "regex": there } },
                    "treat_missing_header_as_empty": true });
                self.one_version("no key", "key", vec![none], self.plan.versions.stable());
            }
            // Without a key Envoy draws by itself; an address is always there.
            (KeyFrom::Cookie(_), true) | (KeyFrom::Address | KeyFrom::Attribute(_), _) => {}
        }
        ledger.note(
            "key",
            match key {
                KeyFrom::Address => {
                    "is the address that Envoy takes for the client's: `use_remote_address` and \
                     `xff_num_trusted_hops` of its connection manager say which"
                }
                KeyFrom::Cookie(_) => {
                    "a client that sends the cookie twice, or over 1,024 bytes of it, has no key \
                     for Crossfade; stock Envoy hashes the first"
                }
                KeyFrom::Header(_) | KeyFrom::Attribute(_) => {
                    "of a header sent twice the filter takes the first value, and stock Envoy \
                     hashes all; one of over 1,024 bytes is no key for the filter, and stock \
                     Envoy hashes it"
                }
            },
        );
        self.weighted(&name, origin, Vec::new(), &ranges, Some(hash));
    }

    /// A route to one version.
    fn one_version(&mut self, name: &str, origin: &str, matchers: Vec<Value>, version: &str) {
        let mut route = self.route(name, matchers);
        route.insert("route".to_owned(), json!({ "cluster": self.cluster(version) }));
        route.extend(self.marks(version));
        self.push(route, origin);
    }

    /// A route to several, by what is hashed, else by Envoy's own chance.
    fn weighted(
        &mut self,
        name: &str,
        origin: &str,
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
        self.push(route, origin);
    }

    fn push(&mut self, route: Map<String, Value>, origin: &str) {
        self.routes.push(route.into());
        self.origins.push(origin.to_owned());
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

/// A header value in which nothing is taken for one of Envoy's commands (`%…%`).
fn literal(value: &str) -> String {
    value.replace('%', "%%")
}

#[cfg(test)]
#[path = "routes/tests.rs"]
mod tests;
