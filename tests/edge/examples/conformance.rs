//! The conformance suite through the filter in a real Envoy: where each request was sent
//! and why, beside what the vectors say and what the engine decides natively. Prints one
//! row of the table that `cargo xtask conformance` shows.
//!
//! Usage: `conformance [--seed N] [--requests N]`

#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use std::collections::BTreeSet;
use std::error::Error;
use std::process::ExitCode;
use std::time::Instant;

use crossfade_edge_tests::client::{self, Response};
use crossfade_edge_tests::config::{self, Module};
use crossfade_edge_tests::envoy::Envoy;
use crossfade_edge_tests::upstream::Upstream;
use crossfade_tests::conformance::asked::{self, Asked};
use crossfade_tests::conformance::generated::{self, Group, Request};
use crossfade_tests::conformance::{Answer, Trace, play};
use crossfade_tests::driver::Native;
use crossfade_tests::vectors;
use serde_json::{Value, json};

type Failure = Box<dyn Error + Send + Sync>;

/// Policies in one Envoy: each has a listener of its own.
const POLICIES_PER_ENVOY: usize = 25;

/// What an answer may be marked with.
const MARKS: [&str; 3] = ["deprecation", "sunset", "link"];

fn main() -> Result<ExitCode, Failure> {
    let option = |name: &str, default: u64| {
        let mut args = std::env::args().skip_while(|arg| arg != name).skip(1);
        args.next().map_or(Ok(default), |text| text.parse())
    };
    let (seed, requests) = (option("--seed", 1)?, option("--requests", 10_000)?);
    let started = Instant::now();
    let vectors = asked::asked(&vectors::read(&vectors::folder())?);
    let groups = generated::groups(seed, requests as usize);
    let asked = vectors.iter().map(of_vector);
    let policies: Vec<Policy> =
        asked.chain(groups.iter().map(of_group).collect::<Result<Vec<_>, _>>()?).collect();

    let versions: BTreeSet<&str> = policies.iter().flat_map(Policy::versions).collect();
    let upstream = Upstream::start(&versions.into_iter().collect::<Vec<_>>());
    let mut differences = Vec::new();
    let mut compared = 0;
    for policies in policies.chunks(POLICIES_PER_ENVOY) {
        compared += play_policies(policies, &upstream, &mut differences)?;
    }
    let seconds = format!("{:.1} s", started.elapsed().as_secs_f64());
    let verdict = match differences.len() {
        0 => "the same versions, reasons and marks".to_owned(),
        count => format!("DIFFERS in {count} requests"),
    };
    let cases = vectors.len();
    println!("{:<30}{cases:>10}{requests:>12}{seconds:>8}   {verdict}", "filter in Envoy 1.40");
    differences.iter().take(5).for_each(|difference| println!("{difference}\n"));
    let all = policies.iter().map(|policy| policy.expected.len()).sum::<usize>();
    let same = compared == all && differences.is_empty();
    Ok(if same { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A plan, and what becomes of requests under it.
struct Policy {
    name: String,
    plan: Value,
    expected: Vec<(Request, String)>,
}

impl Policy {
    fn versions(&self) -> Vec<&str> {
        let names = &self.plan["versions"];
        let [from, to] = ["from", "to"].map(|name| names[name].as_str());
        let listed = names.as_array().into_iter().flatten().map(Value::as_str);
        listed.chain([from, to]).flatten().collect()
    }
}

fn of_vector(asked: &Asked) -> Policy {
    let expected = asked.questions.iter().map(|(request, reply)| (request.clone(), shown(reply)));
    Policy { name: asked.place.clone(), plan: asked.plan.clone(), expected: expected.collect() }
}

/// What the linked engine makes of them.
fn of_group(group: &Group) -> Result<Policy, Failure> {
    let line = play(&mut Native::new(), &generated::script(group, 0))?;
    let trace: Trace = serde_json::from_str(&line)?;
    let texts = trace.answers.into_iter().filter_map(|answer| match answer {
        Answer::Text(text) => serde_json::from_str::<Value>(&text).ok(),
        Answer::Hex { .. } => None,
    });
    // What is asked by a bare key is answered by a number.
    let decided: Vec<_> = texts.filter(|reply| reply["type"] == "route_ok").collect();
    if decided.len() != group.requests.len() {
        return Err(format!("{} decisions for {}", decided.len(), group.requests.len()).into());
    }
    let expected = group.requests.iter().cloned().zip(decided.iter().map(shown));
    Ok(Policy {
        name: "generated".to_owned(),
        plan: group.plan.clone(),
        expected: expected.collect(),
    })
}

/// A reply to `route` in one line: version, reason, marks.
fn shown(reply: &Value) -> String {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let marks = MARKS.map(|name| word(&reply["headers"][name]));
    [&[word(&reply["version"]), word(&reply["reason"])], marks.as_slice()].concat().join(" | ")
}

/// An answer of the upstream, alike.
fn shown_response(response: &Response) -> String {
    let decided = [response.version(), response.header("x-crossfade-reason")];
    [decided.as_slice(), &MARKS.map(|name| response.header(name))].concat().join(" | ")
}

/// One Envoy for these policies; gives how many requests were compared.
fn play_policies(
    policies: &[Policy],
    upstream: &Upstream,
    differences: &mut Vec<String>,
) -> Result<usize, Failure> {
    let name = |index: usize| format!("policy {index}");
    let listener = |(index, policy): (usize, &Policy)| {
        let plugin = json!({ "policy": policy.plan, "reason_header": "x-crossfade-reason" });
        config::filtered(&name(index), Module::Shipped, &policy.versions(), &plugin)
    };
    let listeners = policies.iter().enumerate().map(listener).collect();
    let bootstrap = config::bootstrap(listeners, config::clusters(upstream));
    let envoy = Envoy::start("conformance", 1, &bootstrap);
    let mut compared = 0;
    for (index, policy) in policies.iter().enumerate() {
        let requests: Vec<_> =
            policy.expected.iter().map(|(request, _)| http(&policy.plan, request)).collect();
        let responses = client::ask_all(envoy.address(&name(index)), &requests, 1)?;
        for ((request, right), response) in policy.expected.iter().zip(responses) {
            compared += 1;
            let got = shown_response(&response);
            if got != *right {
                let Policy { name, plan, .. } = policy;
                differences.push(format!(
                    "{name}: {request:?}\n  right  {right}\n  got    {got}\n  {plan}"
                ));
            }
        }
    }
    Ok(compared)
}

/// A request as a client of the API would send it.
fn http(plan: &Value, request: &Request) -> Vec<u8> {
    let mut headers: Vec<(&str, &str)> = Vec::new();
    let mut cookies: Vec<String> = Vec::new();
    let attributes = request.attributes.iter();
    let attributes = attributes.map(|(name, value)| (&plan["attributes"][name], value));
    for (source, value) in request.key.iter().map(|key| (&plan["key"], key)).chain(attributes) {
        match (source["header"].as_str(), source["cookie"].as_str()) {
            (Some(header), _) => headers.push((header, value)),
            (_, Some(cookie)) => cookies.push(format!("{cookie}={value}")),
            _ => {}
        }
    }
    let cookies = cookies.join("; ");
    if !cookies.is_empty() {
        headers.push(("cookie", &cookies));
    }
    client::get(headers)
}
