//! From what was gathered to the report.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Engine, Replayed, Session};
use crate::output::counted;
use crate::replay::clients::{Clients, Moved};
use crate::replay::driver::Driver;
use crate::replay::policy::{Policy, Ramp};
use crate::replay::reading::Reading;
use crate::replay::report::{
    ClientRow, PolicyReport, RampRow, ReasonRow, Report, SHAPE, VersionRow, percent,
};
use crate::replay::{ReplayArgs, ReplayError, Source, text, time};

/// What the engine has counted: the parts of `migration_stats` that a report needs.
#[derive(Debug, Deserialize)]
struct MigrationStats {
    total_clients: u64,
    clients: BTreeMap<String, u64>,
    routed: BTreeMap<String, u64>,
    outcomes: BTreeMap<String, Outcomes>,
    uncounted_requests: u64,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
struct Outcomes {
    requests: u64,
    failures: u64,
}

/// Asks the engine for its counts and puts the report together.
pub(super) fn report<E: Engine, S>(
    session: Session<'_, E, S>,
    reading: Reading,
) -> Result<Replayed, ReplayError> {
    let Session { args, policy, driver, requests, clock, .. } = session;
    let Reading { mut input, bad_lines, .. } = reading;
    let Some(mut driver) = driver else {
        let logs: Vec<String> = input.files.into_iter().map(|file| file.name).collect();
        return Err(ReplayError::Nothing { logs: logs.join(", ") });
    };
    let span = clock.span;
    let (first, last) = span.unwrap_or_default();
    let stats: MigrationStats = driver.ask("get_migration_stats", last)?;
    input.first = Some(time::rfc3339(first));
    input.last = Some(time::rfc3339(last));
    input.span_ms = last - first;
    let decided = requests - driver.refused;
    let mut notes = vec![
        "Failures are as logged, in the old world: they say who would have been exposed, not \
         whether the new version is healthy."
            .to_owned(),
    ];
    policy_notes(&mut notes, args, &policy);
    limit_notes(&mut notes, &driver, &stats);
    notes.extend(session.warnings);
    for name in &session.overlapping {
        notes.push(format!(
            "{name} begins before the log in front of it ends: name logs oldest first."
        ));
    }
    let report = Report {
        report: SHAPE,
        policy: PolicyReport {
            name: policy.name.clone(),
            key: args.key.to_string(),
            seed: args.seed,
            document: policy.document,
        },
        input,
        requests: decided,
        clients: stats.total_clients,
        versions: versions(&stats, driver.versions(), decided),
        reasons: reasons(&driver, decided),
        ramp: ramp(&args.ramp, &driver.clients, decided),
        top: top(&driver, args.top as usize, decided),
        bad_lines,
        notes,
    };
    Ok((report, span))
}

fn versions(stats: &MigrationStats, names: &[String], decided: u64) -> Vec<VersionRow> {
    let row = |version: &String| {
        let requests = stats.routed.get(version).copied().unwrap_or_default();
        let clients = stats.clients.get(version).copied().unwrap_or_default();
        let outcomes = stats.outcomes.get(version).copied().unwrap_or_default();
        VersionRow {
            version: version.clone(),
            requests,
            request_percent: percent(requests, decided),
            clients,
            client_percent: percent(clients, stats.total_clients),
            outcomes: outcomes.requests,
            failures: outcomes.failures,
            failure_percent: percent(outcomes.failures, outcomes.requests),
        }
    };
    names.iter().map(row).collect()
}

fn reasons<E>(driver: &Driver<E>, decided: u64) -> Vec<ReasonRow> {
    let mut rows: Vec<ReasonRow> = driver
        .reasons
        .iter()
        .map(|(reason, &requests)| ReasonRow {
            reason: reason.clone(),
            requests,
            percent: percent(requests, decided),
        })
        .collect();
    // Stable: equals stay in order of name.
    rows.sort_by_key(|row| std::cmp::Reverse(row.requests));
    rows
}

fn ramp(ramp: &Ramp, clients: &Clients, decided: u64) -> Vec<RampRow> {
    let mut before = Moved::default();
    let steps = ramp.0.iter().map(|share| {
        let moved = clients.moved(*share);
        let row = RampRow {
            percentage: share.percent(),
            clients_moved: moved.clients - before.clients,
            requests_moved: moved.requests - before.requests,
            clients: moved.clients,
            client_percent: percent(moved.clients, clients.len()),
            requests: moved.requests,
            request_percent: percent(moved.requests, decided),
        };
        before = moved;
        row
    });
    steps.collect()
}

fn top<E>(driver: &Driver<E>, count: usize, decided: u64) -> Vec<ClientRow> {
    let versions = driver.versions();
    let row = |(key, client): (&str, &crate::replay::clients::Client)| ClientRow {
        client: key.to_owned(),
        version: versions.get(client.version).cloned().unwrap_or_default(),
        versions: versions
            .iter()
            .enumerate()
            .filter(|(index, _)| client.versions >> index & 1 == 1)
            .map(|(_, version)| version.clone())
            .collect(),
        requests: client.requests,
        percent: percent(client.requests, decided),
        failures: client.failures,
    };
    driver.clients.busiest(count).into_iter().map(row).collect()
}

/// Where the replay and the policy do not mean the same.
fn policy_notes(notes: &mut Vec<String>, args: &ReplayArgs, policy: &Policy) {
    if policy.file.is_none() {
        return;
    }
    let key = policy.document.get("key");
    let named = |kind: &str| key.and_then(|key| key.get(kind)?.as_str());
    let is_same = match &args.key {
        Source::Address => key.is_some_and(|key| key == "address" || key.get("address").is_some()),
        Source::Header(name) => {
            named("header").is_some_and(|other| other.eq_ignore_ascii_case(name))
        }
        Source::Field(name) => named("attribute") == Some(name) || named("cookie") == Some(name),
        Source::AddressAndAgent
        | Source::Agent
        | Source::Method
        | Source::Path
        | Source::PathMatch(_) => false,
    };
    if !is_same && let Some(key) = key {
        notes.push(format!(
            "The policy tells clients apart by {}, this replay by {}: see --key.",
            text::shown(key.to_string().as_bytes(), 80),
            text::shown(args.key.to_string().as_bytes(), 80),
        ));
    }
    if policy.has("rules") && args.attributes.is_empty() {
        notes.push(
            "The policy has rules, but no request had attributes: give them with --attribute."
                .to_owned(),
        );
    }
    let aside: Vec<&str> =
        ["pins", "rules", "kill_switch"].into_iter().filter(|field| policy.has(field)).collect();
    if !aside.is_empty() {
        notes.push(format!("The ramp leaves the policy's {} aside.", aside.join(" and ")));
    }
}

/// What did not fit, and what the engine would not answer.
fn limit_notes<E>(notes: &mut Vec<String>, driver: &Driver<E>, stats: &MigrationStats) {
    let unlisted = driver.clients.unlisted_requests().max(stats.uncounted_requests);
    if unlisted > 0 {
        notes.push(format!(
            "There is room for {}; {} of others count as requests alone, and \
             the table of the busiest may miss some.",
            counted(stats.total_clients, "client"),
            counted(unlisted, "request"),
        ));
    }
    if let Some(text) = &driver.refusal {
        notes.push(format!(
            "The engine refused {}, left out here; the first with: {}",
            counted(driver.refused, "request"),
            text::shown(text.as_bytes(), 200),
        ));
    }
    if driver.reasons.contains_key("guard") {
        notes.push(
            "The policy's guard sent requests to the stable version: it took the old world's \
             failures for the new version's."
                .to_owned(),
        );
    }
}
