//! `cargo xtask bench-edge`: what deciding costs a real Envoy, and beside what.
//!
//! One Envoy with one worker thread has a listener for each way to decide. They take
//! turns, round by round, and a request's cost is the CPU time of the whole process
//! divided by the requests of the round; of several rounds the smallest counts. What a
//! filter adds is the difference to the listener without one.

mod envoy;
mod load;

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::bench::table::{self, Limit, Row};
use crate::command::{Run, TaskError, root, say};
use crate::{bench, edge, edge_tools};

use envoy::Envoy;

/// Measure the filter in a real Envoy, beside a filter that does nothing and a Lua filter
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Requests of each listener in a round
    #[arg(long, value_name = "N", default_value_t = Args::default().requests)]
    requests: u64,
    /// How often the listeners take turns
    #[arg(long, value_name = "N", default_value_t = Args::default().rounds, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Requests of the memory run; 0 leaves it out
    #[arg(long, value_name = "N", default_value_t = Args::default().memory_requests)]
    memory_requests: u64,
    /// Fail when a figure misses its limit
    #[arg(long)]
    check: bool,
}

/// From here on memory must not grow.
const SETTLED_AFTER: u64 = 200_000;

/// As the command line has it when nothing is said.
impl Default for Args {
    fn default() -> Args {
        Args { requests: 30_000, rounds: 15, memory_requests: 1_000_000, check: false }
    }
}

/// See [`Args`].
pub(crate) fn run(args: &Args) -> Result<(), TaskError> {
    let load_before = bench::load();
    let rows = measure(args)?;
    table::print(&rows, &load_before, &bench::load());
    bench::judge(&rows, args.check)
}

/// What [`run`] prints.
pub(crate) fn measure(args: &Args) -> Result<Vec<Row>, TaskError> {
    edge_tools::run(&edge_tools::Args {})?;
    edge::run(&edge::Args {})?;
    let noop = edge::filter("crossfade-noop", &[])?;
    let folder = root().join("target/bench-edge");

    let upstream = upstream(&folder)?;
    let mut listeners = filters(&noop);
    listeners.extend(routes(&folder)?);
    let clusters =
        ["v1", "v2"].map(|version| Ok(envoy::cluster(version, upstream.listener(version)?)));
    let clusters: Result<Vec<Value>, TaskError> = clusters.into_iter().collect();
    let config = envoy::config(&listeners, &clusters?);
    let envoy = Envoy::start(&edge_tools::envoy_path(), &folder, "measured", &config)?;

    let mut rows = costs(args, &envoy)?;
    if args.memory_requests > 0 {
        rows.extend(memory(args, &envoy)?);
    }
    Ok(rows)
}

/// Answers directly, as the version that the header names.
fn direct() -> Value {
    let answer = |body: &str| json!({ "status": 200, "body": { "inline_string": body } });
    let v2 = json!([{ "name": "x-api-version", "string_match": { "exact": "v2" } }]);
    json!([
        { "match": { "prefix": "/", "headers": v2 }, "direct_response": answer("v2") },
        { "match": { "prefix": "/" }, "direct_response": answer("v1") },
    ])
}

fn filters(noop: &Path) -> Vec<Value> {
    let policy = json!({ "policy": plan() });
    let lua = json!({ "name": "lua", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua",
        "default_source_code": { "filename": root().join("tests/edge/bench/decide.lua") } } });
    let ours = root().join("edge/envoy/crossfade_envoy.wasm");
    vec![
        envoy::listener("plain", &[], &direct()),
        envoy::listener("noop", &[envoy::wasm("noop", noop, &json!({}))], &direct()),
        envoy::listener("lua", &[lua], &direct()),
        envoy::listener("filter", &[envoy::wasm("crossfade", &ours, &policy)], &direct()),
    ]
}

fn plan() -> Value {
    json!({ "api": "users", "versions": ["v1", "v2"], "key": { "header": "x-user-id" },
        "canary_percentage": 10 })
}

/// Stock weighted clusters, and what `crossfade export envoy` makes of the plan.
fn routes(folder: &Path) -> Result<Vec<Value>, TaskError> {
    let clusters = json!([{ "name": "v2", "weight": 1000 }, { "name": "v1", "weight": 9000 }]);
    let weighted = json!({ "weighted_clusters": { "clusters": clusters } });
    let stock = json!([{ "match": { "prefix": "/" }, "route": weighted }]);
    let file = folder.join("plan.json");
    let write = |source| TaskError::Write { path: file.display().to_string(), source };
    std::fs::create_dir_all(folder).map_err(write)?;
    std::fs::write(&file, plan().to_string()).map_err(write)?;
    let export = ["run", "--quiet", "--", "export", "envoy", "--output", "json"];
    let exported = Run::cargo(&export).args(&[&file.to_string_lossy()]).output()?;
    let exported: Value = serde_json::from_str(&exported).unwrap_or_default();
    let exported = &exported["resources"][0]["virtual_hosts"][0]["routes"];
    Ok(vec![envoy::listener("stock", &[], &stock), envoy::listener("exported", &[], exported)])
}

/// The two versions, in a process of their own, so that only deciding is measured.
fn upstream(folder: &Path) -> Result<Envoy, TaskError> {
    let listener = |version: &str| {
        let answer = json!({ "status": 200, "body": { "inline_string": version } });
        let routes = json!([{ "match": { "prefix": "/" }, "direct_response": answer }]);
        envoy::listener(version, &[], &routes)
    };
    let config = envoy::config(&[listener("v1"), listener("v2")], &[]);
    Envoy::start(&edge_tools::envoy_path(), folder, "upstream", &config)
}

const NAMES: [&str; 6] = ["plain", "noop", "lua", "filter", "stock", "exported"];

fn costs(args: &Args, envoy: &Envoy) -> Result<Vec<Row>, TaskError> {
    let addresses: Result<Vec<SocketAddr>, TaskError> =
        NAMES.iter().map(|name| envoy.listener(name)).collect();
    let addresses = addresses?;
    let mut cheapest = [f64::INFINITY; NAMES.len()];
    // The first round warms up: connections, compiled code, tables.
    for round in 0..=args.rounds {
        say(&format!(
            "{} requests to each of {} listeners, round {round} of {}...",
            args.requests,
            NAMES.len(),
            args.rounds
        ));
        for ((name, address), cheapest) in NAMES.iter().zip(&addresses).zip(&mut cheapest) {
            let before = envoy.cpu_s()?;
            let new = send(*address, 0, args.requests)?;
            let cost = (envoy.cpu_s()? - before) * 1e6 / args.requests as f64;
            // A tenth goes to the new version, but where nothing decides.
            let expected = if matches!(*name, "plain" | "noop") { 0.0 } else { 0.1 };
            let share = new as f64 / args.requests as f64;
            if (share - expected).abs() > 0.02 {
                return Err(TaskError::WrongShare { name: (*name).to_owned(), share });
            }
            if round > 0 {
                *cheapest = cheapest.min(cost);
            }
        }
    }
    let [plain, noop, lua, filter, stock, exported] = cheapest;
    let us = "us a request";
    let add = |name: &'static str, cost: f64| Row::new(name, cost - plain, us, Limit::None);
    Ok(vec![
        Row::new("direct answer, no filter", plain, us, Limit::None),
        add("  a wasm filter that does nothing adds", noop),
        add("  the same work in Lua adds", lua),
        add("  the filter adds", filter),
        Row::new("filter over nothing", (filter - plain) / (noop - plain), "x", Limit::AtMost(2.5)),
        Row::new("filter over Lua", (filter - plain) / (lua - plain), "x", Limit::AtMost(0.9)),
        Row::new("stock weighted clusters", stock, us, Limit::None),
        Row::new("exported policy", exported, us, Limit::None),
        Row::new("exported over stock", exported / stock, "x", Limit::AtMost(1.1)),
    ])
}

fn send(address: SocketAddr, first: u64, count: u64) -> Result<u64, TaskError> {
    load::send(address, first, count)
        .map_err(|source| TaskError::Pipe { program: "envoy".to_owned(), source })
}

/// Many requests: memory must be flat, and every request and its outcome counted once.
fn memory(args: &Args, envoy: &Envoy) -> Result<Vec<Row>, TaskError> {
    let address = envoy.listener("filter")?;
    let before = counts(envoy)?;
    let settled = args.memory_requests.min(SETTLED_AFTER);
    say(&format!("{} requests through the filter...", args.memory_requests));
    let mut new = send(address, 0, settled)?;
    let resident = envoy.resident_kb()?;
    new += send(address, settled, args.memory_requests - settled)?;
    let grown = envoy.resident_kb()? - resident;
    let old = args.memory_requests - new;
    let right = [old, new, old, new];
    // Counts reach Envoy's statistics with the next tick.
    let until = Instant::now() + Duration::from_secs(10);
    let miscounted = loop {
        let now = counts(envoy)?;
        let since = now.iter().zip(&before).map(|(now, before)| now - before);
        let wrong: u64 = since.zip(right).map(|(count, right)| count.abs_diff(right)).sum();
        if wrong == 0 || Instant::now() > until {
            break wrong;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    Ok(vec![
        Row::new("resident memory", resident / 1000.0, "MB", Limit::None),
        Row::new("  grown after 200,000 requests", grown / 1000.0, "MB", Limit::AtMost(2.0)),
        Row::new("  counted wrongly", miscounted as f64, "", Limit::AtMost(0.0)),
    ])
}

/// Decisions for the old and for the new version so far, and how they ended, as
/// Prometheus would scrape them.
fn counts(envoy: &Envoy) -> Result<[u64; 4], TaskError> {
    let text = envoy.admin("/stats/prometheus")?;
    let sum = |metric: &str, version: &str| -> u64 {
        let (metric, label) = (format!("{metric}{{"), format!("version=\"{version}\""));
        let lines = text.lines().filter(|line| line.starts_with(&metric) && line.contains(&label));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    };
    Ok([
        sum("crossfade_decisions", "v1"),
        sum("crossfade_decisions", "v2"),
        sum("crossfade_outcomes", "v1"),
        sum("crossfade_outcomes", "v2"),
    ])
}
