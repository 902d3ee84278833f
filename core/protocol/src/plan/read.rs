//! Reading a plan's routing part, and the checks that span fields.

use std::collections::BTreeMap;

use super::{
    AttributeSource, AttributeSources, BucketRange, Guard, HASH, KeyFrom, KeySource, OnMissingKey,
    Plan, Privacy, Rule, Split, Then, Traffic, Versions, brownout, clients, condition, dates, ends,
    gate, rollout,
};
use crate::limits::{
    ATTRIBUTES_MAX, KEY_BYTES_MAX, NAME_BYTES_MAX, OUTCOME_COUNT_MAX, PINS_MAX, RULES_MAX,
    VERSIONS_MAX,
};
use crate::read::{Fields, Node};
use crate::share::{BUCKETS, Share};

/// The whole document. Every field is read even when an earlier one was wrong.
pub(super) fn plan(node: Node<'_, '_>) -> Option<Plan> {
    let fields = node.object()?;
    let api =
        fields.require("api", "the name of the API").and_then(|n| n.name().map(str::to_owned));
    let versions = fields
        .require("versions", "{from: v1, to: v2}, or a list, oldest first")
        .and_then(|node| read_versions(&node));
    // Names are checked against the versions as far as those could be read.
    let known = versions.as_ref();
    let key = fields
        .require("key", "where the routing key is found, as {header: x-user-id}")
        .and_then(|node| read_key(&node));
    if let Some(node) = fields.get("hash") {
        node.word(&[(HASH, ())]);
    }
    let attributes =
        fields.get("attributes").and_then(|node| read_attributes(&node)).unwrap_or_default();
    let salt =
        fields.get("salt").and_then(|n| n.text(KEY_BYTES_MAX)).unwrap_or_default().to_owned();
    let kill_switch = fields.get("kill_switch").and_then(|n| n.flag()).unwrap_or_default();
    let guard = fields.get("guard").and_then(|node| read_guard(&node));
    let pins = fields.get("pins").and_then(|node| read_pins(&node, known)).unwrap_or_default();
    let rules = fields.get("rules").and_then(|node| read_rules(&node, known)).unwrap_or_default();
    let traffic = read_traffic(&fields, known);
    let sticky = fields.get("sticky").and_then(|n| n.flag()).unwrap_or(true);
    let rollout = fields.get("rollout").and_then(|node| rollout::read_rollout(&node));
    let gate = fields.get("gate").and_then(|node| gate::read_gate(&node)).unwrap_or_default();
    let deprecation = fields.get("deprecation").and_then(|node| dates::read_deprecation(&node));
    let brownouts = fields.get("brownouts").and_then(|node| brownout::read_brownouts(&node));
    let clients = fields.get("clients").and_then(|node| clients::read_clients(&node));
    let sunset = fields.get("sunset").and_then(|node| ends::read_sunset(&node));
    let shadow = fields.get("shadow").and_then(|node| ends::read_shadow(&node));
    let privacy = fields
        .get("privacy")
        .and_then(|node| node.word(&[("plain", Privacy::Plain), ("hashed", Privacy::Hashed)]));
    fields.refuse_unknown();
    Some(Plan {
        api: api?,
        versions: versions?,
        hash: HASH,
        key: key?,
        attributes,
        salt,
        kill_switch,
        guard,
        pins,
        rules,
        traffic,
        sticky,
        rollout,
        gate,
        deprecation,
        brownouts: brownouts.unwrap_or_default(),
        clients: clients.unwrap_or_default(),
        sunset: sunset.unwrap_or_default(),
        shadow,
        privacy: privacy.unwrap_or_default(),
    })
}

fn read_versions(node: &Node<'_, '_>) -> Option<Versions> {
    let names: Vec<Node<'_, '_>> = if node.value.is_object() {
        let fields = node.object()?;
        let from = fields.require("from", "the old version");
        let to = fields.require("to", "the new version");
        fields.refuse_unknown();
        vec![from?, to?]
    } else if node.value.is_array() {
        node.list(VERSIONS_MAX)?
    } else {
        return node.wrong("not {from: v1, to: v2}, nor a list of versions, oldest first");
    };
    if names.len() < 2 {
        return node.note("fewer than two versions: there is nothing to migrate");
    }
    let mut versions = Vec::new();
    for name in &names {
        let text = name.name()?.to_owned();
        if versions.contains(&text) {
            return name.wrong("named twice");
        }
        versions.push(text);
    }
    Some(Versions(versions))
}

fn read_key(node: &Node<'_, '_>) -> Option<KeySource> {
    if node.value.as_str() == Some("address") {
        return Some(KeySource { from: KeyFrom::Address, on_missing: OnMissingKey::Stable });
    }
    let fields = node.object()?;
    let header = fields.get("header");
    let cookie = fields.get("cookie");
    let attribute = fields.get("attribute");
    let address = fields.get("address");
    let on_missing = fields.get("on_missing_key").and_then(|node| {
        node.word(&[("stable", OnMissingKey::Stable), ("random", OnMissingKey::Random)])
    });
    fields.refuse_unknown();
    let name = |node: Node<'_, '_>| node.name().map(str::to_owned);
    let from = match (header, cookie, attribute, address) {
        // Header names are case-insensitive (RFC 9110, 5.1) and lower-case in HTTP/2.
        (Some(node), None, None, None) => KeyFrom::Header(name(node)?.to_ascii_lowercase()),
        (None, Some(node), None, None) => KeyFrom::Cookie(name(node)?),
        (None, None, Some(node), None) => KeyFrom::Attribute(name(node)?),
        (None, None, None, Some(node)) if node.value.as_bool() == Some(true) => KeyFrom::Address,
        _ => {
            return node
                .note("exactly one of `header`, `cookie`, `attribute` (a name) or `address: true` is needed");
        }
    };
    Some(KeySource { from, on_missing: on_missing.unwrap_or_default() })
}

fn read_attributes(node: &Node<'_, '_>) -> Option<AttributeSources> {
    let mut attributes = Vec::new();
    for (name, node) in node.entries(ATTRIBUTES_MAX)? {
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            node.note::<()>(format!("an attribute's name has 1 to {NAME_BYTES_MAX} bytes"));
        } else if let Some(source) = read_attribute_source(&node) {
            attributes.push((name.to_owned(), source));
        }
    }
    Some(AttributeSources(attributes))
}

fn read_attribute_source(node: &Node<'_, '_>) -> Option<AttributeSource> {
    let fields = node.object()?;
    let header = fields.get("header");
    let cookie = fields.get("cookie");
    fields.refuse_unknown();
    match (header, cookie) {
        (Some(node), None) => Some(AttributeSource::Header(node.name()?.to_ascii_lowercase())),
        (None, Some(node)) => Some(AttributeSource::Cookie(node.name()?.to_owned())),
        _ => node.note("exactly one of `header` or `cookie` (a name) is needed"),
    }
}

fn read_guard(node: &Node<'_, '_>) -> Option<Guard> {
    let fields = node.object()?;
    let ratio = fields
        .require("max_failure_ratio", "the share of failures that trips it, such as 0.2")
        .and_then(|n| n.number(|r| r > 0.0 && r < 1.0, "not a ratio above 0 and below 1"));
    let min = fields
        .require("min_requests", "how many requests it takes to judge, such as 200")
        .and_then(|n| n.whole(OUTCOME_COUNT_MAX));
    fields.refuse_unknown();
    Some(Guard { max_failure_ratio: ratio?, min_requests: min?.max(1) })
}

/// A version that the plan knows.
fn read_version(node: &Node<'_, '_>, known: Option<&Versions>) -> Option<String> {
    let name = node.name()?;
    check_version(node, name, known)?;
    Some(name.to_owned())
}

fn check_version(node: &Node<'_, '_>, name: &str, known: Option<&Versions>) -> Option<()> {
    match known {
        Some(versions) if versions.index(name).is_none() => node.note(format!(
            "unknown version `{}`: known are {}",
            crate::json::shown(name),
            versions.listed()
        )),
        _ => Some(()),
    }
}

fn read_pins(node: &Node<'_, '_>, known: Option<&Versions>) -> Option<BTreeMap<String, String>> {
    let mut pins = BTreeMap::new();
    for (key, version) in node.entries(PINS_MAX)? {
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            version.note::<()>(format!("a pinned key has 1 to {KEY_BYTES_MAX} bytes"));
        } else if let Some(version) = read_version(&version, known) {
            pins.insert(key.to_owned(), version);
        }
    }
    Some(pins)
}

fn read_rules(node: &Node<'_, '_>, known: Option<&Versions>) -> Option<Vec<Rule>> {
    let mut rules: Vec<Rule> = Vec::new();
    for node in node.list(RULES_MAX)? {
        let Some(rule) = read_rule(&node, known) else { continue };
        if rules.iter().any(|other| other.name == rule.name) {
            // Two rules of one name would share the salt of their splits.
            node.note::<()>(format!("the name `{}` is taken by an earlier rule", rule.name));
        }
        rules.push(rule);
    }
    Some(rules)
}

fn read_rule(node: &Node<'_, '_>, known: Option<&Versions>) -> Option<Rule> {
    let fields = node.object()?;
    let name = fields.require("name", "each rule has a name of its own").and_then(|n| n.name());
    let when = fields.get("when").map(|node| condition::read_condition(&node));
    let to = fields.get("to").map(|node| read_version(&node, known));
    let split = fields.get("split").map(|node| read_split(&node, known));
    fields.refuse_unknown();
    let then = match (to, split) {
        (Some(to), None) => Then::To(to?),
        (None, Some(split)) => Then::Split(split?),
        (Some(_), Some(_)) => return node.note("`to` and `split` exclude each other"),
        (None, None) => return node.note("leads nowhere: add `to: VERSION` or `split: {…}`"),
    };
    // A condition that could not be read must not become "always".
    let when = match when {
        None => None,
        Some(condition) => Some(condition?),
    };
    Some(Rule { name: name?.to_owned(), when, then })
}

/// Weights by version.
pub(crate) fn read_split(node: &Node<'_, '_>, known: Option<&Versions>) -> Option<Split> {
    let mut weights = Vec::new();
    let mut complete = true;
    for (version, node) in node.entries(VERSIONS_MAX)? {
        let named = check_version(&node, version, known);
        match (named, node.weight()) {
            (Some(()), Some(weight)) => weights.push((version.to_owned(), weight)),
            _ => complete = false,
        }
    }
    if complete && weights.iter().all(|(_, weight)| weight.hundredths() == 0) {
        return node.note("no version has a weight above 0");
    }
    complete.then_some(Split(weights))
}

fn read_traffic(fields: &Fields<'_, '_>, known: Option<&Versions>) -> Traffic {
    let canary = fields.get("canary_percentage");
    let split = fields.get("split");
    let layout = fields.get("split_buckets");
    if let (Some(canary), Some(_)) = (&canary, &split) {
        canary.note::<()>("`canary_percentage` and `split` exclude each other");
    }
    if let (Some(layout), None) = (&layout, &split) {
        layout.note::<()>("`split_buckets` lays out a `split`, and there is none");
    }
    // All are read, so that what is wrong with each is told whichever counts.
    let layout = layout.and_then(|node| read_layout(&node, known));
    let split = split.and_then(|node| read_split(&node, known));
    match (canary, split) {
        (Some(node), _) => node.share().map_or(Traffic::Stable, Traffic::Canary),
        (None, Some(split)) => Traffic::Split { split, layout },
        (None, None) => Traffic::Stable,
    }
}

fn read_layout(node: &Node<'_, '_>, known: Option<&Versions>) -> Option<Vec<BucketRange>> {
    let mut ranges = Vec::new();
    let mut next = 0;
    for node in node.list(usize::from(BUCKETS))? {
        let fields = node.object()?;
        let version =
            fields.require("version", "whose buckets").and_then(|n| read_version(&n, known));
        let bucket = |name| {
            fields.require(name, "a bucket").and_then(|n: Node<'_, '_>| n.whole(u64::from(BUCKETS)))
        };
        let (from, to) = (bucket("from"), bucket("to"));
        fields.refuse_unknown();
        let (version, from, to) = (version?, from? as u16, to? as u16);
        if from != next || to <= from {
            return node.note(format!(
                "ranges cover 0 to {BUCKETS} in order without gaps: this one should begin at {next} and end beyond it"
            ));
        }
        next = to;
        ranges.push(BucketRange { version, from, to });
    }
    if next != Share::FULL.buckets() {
        return node.note(format!("the ranges end at {next}, not at {BUCKETS}"));
    }
    Some(ranges)
}
