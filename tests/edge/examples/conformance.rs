//! The generated requests of the conformance suite through the filter in a real Envoy:
//! which version each was sent to, and why, beside what the engine decides natively.
//! Prints one row of the table that `cargo xtask conformance` shows.
//!
//! Usage: `conformance [--seed N] [--requests N]`

#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use std::error::Error;
use std::process::ExitCode;
use std::time::Instant;

use crossfade_edge_tests::client;
use crossfade_edge_tests::config::{self, Module};
use crossfade_edge_tests::envoy::Envoy;
use crossfade_edge_tests::upstream::Upstream;
use crossfade_tests::conformance::generated::{self, Group, Request, Source};
use crossfade_tests::conformance::{Answer, Trace, play};
use crossfade_tests::driver::Native;
use serde_json::{Value, json};

type Failure = Box<dyn Error + Send + Sync>;

/// Policies in one Envoy: each has a listener of its own.
const GROUPS_PER_ENVOY: usize = 25;

const VERSIONS: [&str; 3] = ["v1", "v2", "v3"];

fn main() -> Result<ExitCode, Failure> {
    let option = |name: &str, default: u64| {
        let mut args = std::env::args().skip_while(|arg| arg != name).skip(1);
        args.next().map_or(Ok(default), |text| text.parse())
    };
    let (seed, requests) = (option("--seed", 1)?, option("--requests", 10_000)?);
    let started = Instant::now();
    let groups = generated::groups(seed, requests as usize);
    let upstream = Upstream::start(&VERSIONS);
    let mut differences = Vec::new();
    let mut compared = 0;
    for groups in groups.chunks(GROUPS_PER_ENVOY) {
        compared += play_groups(groups, &upstream, &mut differences)?;
    }
    let seconds = format!("{:.1} s", started.elapsed().as_secs_f64());
    let verdict = match differences.len() {
        0 => "the same versions and reasons".to_owned(),
        count => format!("DIFFERS in {count} requests"),
    };
    println!("{:<30}{:>10}{compared:>12}{seconds:>8}   {verdict}", "filter in Envoy 1.40", "");
    differences.iter().take(5).for_each(|difference| println!("{difference}\n"));
    let same = compared as u64 == requests && differences.is_empty();
    Ok(if same { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One Envoy for these policies; gives how many requests were compared.
fn play_groups(
    groups: &[Group],
    upstream: &Upstream,
    differences: &mut Vec<String>,
) -> Result<usize, Failure> {
    let name = |index: usize| format!("policy {index}");
    let listener = |(index, group): (usize, &Group)| {
        let plugin = json!({ "policy": group.plan, "reason_header": "x-crossfade-reason" });
        config::filtered(&name(index), Module::Shipped, &VERSIONS, &plugin)
    };
    let listeners = groups.iter().enumerate().map(listener).collect();
    let bootstrap = config::bootstrap(listeners, config::clusters(upstream));
    let envoy = Envoy::start("conformance", 1, &bootstrap);
    let mut compared = 0;
    for (index, group) in groups.iter().enumerate() {
        let requests: Vec<_> = group.requests.iter().map(|r| http(&group.plan, r)).collect();
        let responses = client::ask_all(envoy.address(&name(index)), &requests, 1)?;
        for ((request, response), right) in group.requests.iter().zip(responses).zip(native(group)?)
        {
            compared += 1;
            let got = format!("{} {}", response.version(), response.header("x-crossfade-reason"));
            if got != right {
                let plan = &group.plan;
                differences
                    .push(format!("{request:?}\n  native {right}\n  got    {got}\n  {plan}"));
            }
        }
    }
    Ok(compared)
}

/// Version and reason of each request, by the linked engine.
fn native(group: &Group) -> Result<Vec<String>, Failure> {
    let line = play(&mut Native::new(), &generated::script(group, 0))?;
    let trace: Trace = serde_json::from_str(&line)?;
    let mut decided = Vec::new();
    for answer in trace.answers {
        let Answer::Text(text) = answer else { continue };
        // What is asked by a bare key is answered by a number.
        let Ok(reply) = serde_json::from_str::<Value>(&text) else { continue };
        if reply["type"] == "route_ok" {
            let word = |field: &str| reply[field].as_str().unwrap_or_default().to_owned();
            decided.push(format!("{} {}", word("version"), word("reason")));
        }
    }
    Ok(decided)
}

/// A request as a client of the API would send it.
fn http(plan: &Value, request: &Request) -> Vec<u8> {
    let mut headers: Vec<(&str, String)> = Vec::new();
    let mut cookies: Vec<String> = Vec::new();
    if let Some(key) = &request.key {
        match plan["key"]["cookie"].as_str() {
            Some(cookie) => cookies.push(format!("{cookie}={key}")),
            None => headers.push((generated::KEY_HEADER, key.clone())),
        }
    }
    for (name, value) in &request.attributes {
        match generated::ATTRIBUTES.iter().find(|(known, _)| known == name) {
            Some((_, Source::Header(header))) => headers.push((header, value.clone())),
            Some((_, Source::Cookie(cookie))) => cookies.push(format!("{cookie}={value}")),
            None => {}
        }
    }
    if !cookies.is_empty() {
        headers.push(("cookie", cookies.join("; ")));
    }
    client::get(headers)
}
