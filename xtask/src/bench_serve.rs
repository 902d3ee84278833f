//! `cargo xtask bench-serve`: what a control plane does with ten thousand edges.
//!
//! The server is the real one, on a store of its own. CPU is that of its process alone,
//! so a busy machine makes the figures later, not larger.

mod server;

use std::io::{BufReader, Write as _};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use crate::bench::table::{self, Limit, Row};
use crate::bench::{judge, load};
use crate::command::{Run, TaskError, root, say};
use crate::http::{answer, connect};

use server::Server;

/// Measure a control plane: reports of 10,000 edges, a policy change to 100 watchers, idling
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Edges that report
    #[arg(long, value_name = "N", default_value_t = Args::default().edges)]
    edges: u64,
    /// Reports of each
    #[arg(long, value_name = "N", default_value_t = Args::default().reports)]
    reports: u64,
    /// Policy changes
    #[arg(long, value_name = "N", default_value_t = Args::default().changes)]
    changes: u64,
    /// Seconds of idling that are measured
    #[arg(long, value_name = "N", default_value_t = Args::default().idle_s)]
    idle_s: u64,
    /// Fail when a figure misses its limit
    #[arg(long)]
    check: bool,
}

/// Connections that report at the same time; each sends the reports of its share of edges.
const CONNECTIONS: u64 = 64;

const WATCHERS: usize = 100;

/// As the command line has it when nothing is said.
impl Default for Args {
    fn default() -> Args {
        Args { edges: 10_000, reports: 20, changes: 20, idle_s: 20, check: false }
    }
}

/// See [`Args`].
pub(crate) fn run(args: &Args) -> Result<(), TaskError> {
    let load_before = load();
    let rows = measure(args)?;
    table::print(&rows, &load_before, &load());
    judge(&rows, args.check)
}

/// What [`run`] prints.
pub(crate) fn measure(args: &Args) -> Result<Vec<Row>, TaskError> {
    Run::cargo(&["build", "--release", "--package=crossfade", "--bins"]).show()?;
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), Into::into);
    let program = root().join(target).join("release/crossfade");
    let mut rows = Vec::new();

    let server = Server::start(&program)?;
    say("Idling...");
    let before = server.cpu_s()?;
    thread::sleep(Duration::from_secs(args.idle_s));
    let idle = (server.cpu_s()? - before) / args.idle_s as f64 * 100.0;
    rows.push(Row::new("idle", idle, "% of a core", Limit::Below(1.0)));
    rows.push(Row::new("idle, memory", server.memory_mb()?, "MB", Limit::Below(80.0)));

    say(&format!("{} edges report {} times each...", args.edges, args.reports));
    // A first report of each makes it known; what follows is the work of every day.
    report(&server, 0..args.edges, 1)?;
    let few = cpu_us_per_report(&server, 0..CONNECTIONS, args.edges * args.reports / CONNECTIONS)?;
    let (started, kept) = (Instant::now(), server.store_bytes()?);
    let many = cpu_us_per_report(&server, 0..args.edges, args.reports)?;
    let rate = (args.edges * args.reports) as f64 / started.elapsed().as_secs_f64();
    let grown = server.store_bytes()?.saturating_sub(kept) as f64 / (1 << 20) as f64;
    let rows_of_reports = [
        Row::new("reports, on one core", 1e6 / many, "a CPU second", Limit::AtLeast(20_000.0)),
        Row::new("  of 64 edges only", 1e6 / few, "a CPU second", Limit::None),
        Row::new("  as they came", rate, "a second", Limit::None),
        Row::new("cost, of all edges over few", many / few, "x", Limit::AtMost(1.3)),
        Row::new("store, grown", grown, "MiB", Limit::None),
        Row::new("memory then", server.memory_mb()?, "MB", Limit::None),
    ];
    rows.extend(rows_of_reports);

    say(&format!("{} policies to {WATCHERS} watchers...", args.changes));
    let mut times: Vec<f64> = Vec::new();
    for _ in 0..args.changes {
        times.extend(change_reaches_all(&server)?);
    }
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    rows.push(Row::new("a policy at 100 watchers", at(0.5), "ms, median", Limit::Below(100.0)));
    rows.push(Row::new("  the slowest of 100", at(0.99), "ms", Limit::None));

    server.end()?;
    Ok(rows)
}

fn cpu_us_per_report(
    server: &Server,
    edges: std::ops::Range<u64>,
    reports: u64,
) -> Result<f64, TaskError> {
    let count = edges.clone().count() as f64 * reports as f64;
    let before = server.cpu_s()?;
    report(server, edges, reports)?;
    Ok((server.cpu_s()? - before) * 1e6 / count)
}

/// Has each edge report so often, on a few connections, one report at a time on each.
fn report(server: &Server, edges: std::ops::Range<u64>, reports: u64) -> Result<(), TaskError> {
    let results: Vec<std::io::Result<()>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..CONNECTIONS)
            .map(|place| {
                let own = edges.clone().skip(place as usize).step_by(CONNECTIONS as usize);
                scope.spawn(move || report_on_one_connection(server, own, reports))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| gone())).collect()
    });
    results.into_iter().collect::<std::io::Result<()>>().map_err(server::broke)
}

fn gone() -> std::io::Result<()> {
    Err(std::io::Error::other("a thread panicked"))
}

fn report_on_one_connection(
    server: &Server,
    edges: impl Iterator<Item = u64> + Clone,
    reports: u64,
) -> std::io::Result<()> {
    let mut connection = BufReader::new(connect(server.address)?);
    for _ in 0..reports {
        for edge in edges.clone() {
            let body = server.totals(edge);
            let request = format!(
                "POST /v1/totals HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            connection.get_mut().write_all(request.as_bytes())?;
            let (status, body) = answer(&mut connection)?;
            if status != 200 {
                let body = String::from_utf8_lossy(&body).into_owned();
                return Err(std::io::Error::other(format!("status {status}: {body}")));
            }
        }
    }
    Ok(())
}

/// Milliseconds from the moment at which a policy is sent until each watcher has it.
fn change_reaches_all(server: &Server) -> Result<Vec<f64>, TaskError> {
    let tag = server.policy_tag().map_err(server::broke)?;
    let waiting = Barrier::new(WATCHERS + 1);
    thread::scope(|scope| {
        let watchers: Vec<_> = (0..WATCHERS)
            .map(|_| {
                let (waiting, tag) = (&waiting, &tag);
                scope.spawn(move || -> std::io::Result<Instant> {
                    let mut connection = BufReader::new(connect(server.address)?);
                    let request = format!(
                        "GET /v1/policy?wait=30 HTTP/1.1\r\nhost: localhost\r\nif-none-match: {tag}\r\n\r\n"
                    );
                    connection.get_mut().write_all(request.as_bytes())?;
                    waiting.wait();
                    match answer(&mut connection)? {
                        (200, _) => Ok(Instant::now()),
                        (status, _) => Err(std::io::Error::other(format!("status {status}"))),
                    }
                })
            })
            .collect();
        waiting.wait();
        // The polls have been sent; so that they have been read, too.
        thread::sleep(Duration::from_millis(100));
        let sent = Instant::now();
        server.change_policy().map_err(server::broke)?;
        let times = watchers.into_iter().map(|watcher| {
            let arrived = watcher.join().unwrap_or_else(|_| Err(std::io::Error::other("panicked")));
            arrived.map(|arrived| (arrived - sent).as_secs_f64() * 1e3)
        });
        times.collect::<std::io::Result<Vec<f64>>>().map_err(server::broke)
    })
}
