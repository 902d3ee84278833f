//! `crossfade demo`: a whole migration on this machine, with real HTTP.
//!
//! *Does:* start two small services, a control plane, an Envoy with the filter (or an
//! endpoint of its own) and a crowd of clients, tell what happens, and end all of it.
//!
//! *Does not:* decide anything: the same engine does, in the same places. Nothing of it is
//! meant for production.

mod again;
mod control;
mod deciding;
mod edge;
mod envoy;
mod plan;
mod record;
mod screen;
mod stage;
mod story;
mod traffic;
mod upstream;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::ValueEnum;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::client::page::Tone;
use crate::exit::{Exit, Failure};
use crate::output::{Output, counted};
use crate::replay::grouped;

pub(crate) use again::again;
use control::{Control, Folder};
use deciding::Deciding;
use edge::Edge;
use envoy::Envoy;
pub(crate) use plan::RPS;
use screen::Screen;
use story::Story;
use traffic::{Answer, Cast, Traffic};
pub(crate) use upstream::Fault;
use upstream::Upstreams;

/// What carries the traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Through {
    /// Envoy where it is installed, else the demo's own endpoint
    #[default]
    Auto,
    /// Envoy with the filter
    Envoy,
    /// The demo's own endpoint
    Own,
}

/// Where it ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Until {
    /// When all who can are on v2
    Complete,
    /// When v1 is switched off
    Sunset,
}

/// What was asked for.
#[derive(Debug)]
pub(crate) struct DemoOptions {
    pub(crate) fault: Option<Fault>,
    pub(crate) until: Option<Until>,
    pub(crate) through: Through,
    pub(crate) record: Option<PathBuf>,
    pub(crate) data: Option<PathBuf>,
    pub(crate) port: u16,
    pub(crate) rps: f64,
    pub(crate) seed: Option<u64>,
    pub(crate) envoy: Option<PathBuf>,
    pub(crate) filter: Option<PathBuf>,
    pub(crate) output: Output,
    pub(crate) no_color: bool,
}

/// What carries the traffic, running.
enum Carrier {
    Envoy(Envoy),
    Own(Arc<Edge>),
}

/// Everything that runs.
pub(crate) struct Parts {
    screen: Screen,
    control: Control,
    upstreams: Upstreams,
    traffic: Arc<Traffic>,
    carrier: Carrier,
    fault: Option<Fault>,
    signalled: watch::Receiver<Option<Exit>>,
    runtime: Runtime,
}

/// Runs the demo to its end, or until it is told to stop.
///
/// # Errors
/// Something cannot be started, or has ended by itself.
pub(crate) fn run(options: DemoOptions) -> Result<Exit, Failure> {
    let found = choose(&options)?;
    let internal = |error: std::io::Error| Failure::new(Exit::Internal, error);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(internal)?;
    let signalled = runtime.block_on(async { signals() }).map_err(internal)?;
    let seed = match options.seed {
        Some(seed) => seed,
        None => getrandom::u64().map_err(|error| Failure::new(Exit::Internal, error))? >> 11,
    };
    let folder = Folder::new(options.data.as_deref())?;
    let control = Control::start(&folder.path, &plan::plan(), options.port)?;
    let cast = Cast::new(options.rps, seed);
    let upstreams = runtime
        .block_on(Upstreams::start(&cast.partner(), seed))
        .map_err(|error| Failure::new(Exit::Io, format!("cannot listen on loopback: {error}")))?;
    let policy = control.client.get("/v1/policy")?;
    let (carrier, address) = match &found {
        Some(found) => {
            let (listen, upstreams) = (envoy::free()?, upstreams.addresses);
            let (document, at) = (&policy["document"], control.address);
            let envoy = Envoy::start(found, &folder.path, document, upstreams, at, listen)?;
            (Carrier::Envoy(envoy), listen)
        }
        None => {
            let revision = policy["revision"].as_u64().unwrap_or_default();
            let record = options.record.as_deref();
            let deciding = Deciding::start(revision, &policy["document"], seed, record)?;
            let edge = Edge::new(deciding, upstreams.addresses);
            let address = runtime.block_on(listen(&edge)).map_err(internal)?;
            (Carrier::Own(edge), address)
        }
    };
    let traffic = Traffic::new(cast, address, seed);
    let screen = Screen::new(options.output, options.no_color);
    let fault = options.fault;
    let mut parts =
        Parts { screen, control, upstreams, traffic, carrier, fault, signalled, runtime };
    parts.welcome(&options, address, seed);
    let (ends, ending) = watch::channel(false);
    let reporting = parts.report(ending)?;
    parts.runtime.spawn(Arc::clone(&parts.traffic).run());
    let ended = Story::new(&mut parts, options.until).tell();
    parts.screen.clear();
    parts.runtime.block_on(parts.traffic.stop());
    ends.send_replace(true);
    if let Some(reporting) = reporting {
        let _ = reporting.join();
    }
    if let Carrier::Own(edge) = &parts.carrier {
        edge.end_record();
    }
    let ended = ended.and_then(|exit| parts.last_words(&options, exit));
    let Parts { control, carrier, runtime, .. } = parts;
    drop(carrier);
    control.end();
    runtime.shutdown_background();
    drop(folder);
    ended
}

/// An Envoy and a filter, or none for the demo's own endpoint.
fn choose(options: &DemoOptions) -> Result<Option<envoy::Found>, Failure> {
    let named = options.envoy.is_some() || options.filter.is_some();
    let wants = options.through == Through::Envoy || named;
    if options.record.is_some() {
        if wants {
            let text = "an Envoy's decisions are made in its workers, where nobody records them: \
                        --record goes with --through own";
            return Err(Failure::new(Exit::Usage, text));
        }
        return Ok(None);
    }
    if options.through == Through::Own {
        return Ok(None);
    }
    match envoy::find(options.envoy.as_deref(), options.filter.as_deref()) {
        Ok(found) => Ok(Some(found)),
        Err(why) if wants => Err(Failure::new(Exit::Unavailable, format!("no Envoy: {why}"))),
        Err(_) => Ok(None),
    }
}

async fn listen(edge: &Arc<Edge>) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    edge.serve(listener);
    Ok(address)
}

/// Becomes the exit code of the signal that came.
fn signals() -> std::io::Result<watch::Receiver<Option<Exit>>> {
    let (sender, receiver) = watch::channel(None);
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        let exit = tokio::select! {
            _ = interrupt.recv() => Exit::Interrupted,
            _ = terminate.recv() => Exit::Terminated,
            _ = hangup.recv() => Exit::Terminated,
        };
        sender.send_replace(Some(exit));
        // For whoever listens: it stays what it is.
        sender.closed().await;
    });
    Ok(receiver)
}

impl Parts {
    fn welcome(&mut self, options: &DemoOptions, address: SocketAddr, seed: u64) {
        let [old, new] = self.upstreams.addresses;
        let carrier = match &self.carrier {
            Carrier::Envoy(_) => "an Envoy with the filter",
            Carrier::Own(_) => "the demo's own endpoint",
        };
        let page = format!("http://{}/", self.control.address);
        let hint = match (&self.carrier, options.through, &options.record) {
            (Carrier::Own(_), Through::Auto, None) => envoy::find(None, None).err(),
            _ => None,
        };
        let token = self.control.token_file.display().to_string();
        let lines = [
            ("live page", page.clone()),
            ("token", format!("{token}, for the page's buttons and for commands")),
            ("traffic", format!("http://{address}/, {carrier}")),
            ("v1, v2", format!("http://{old}/, http://{new}/")),
            (
                "break v2",
                format!("curl -X POST http://{new}/fault/errors    (slow, partner, none)"),
            ),
        ];
        let screen = &mut self.screen;
        screen.text(Tone::Strong, "An API called users moves its clients from v1 to v2.");
        for (name, value) in &lines {
            screen.text(Tone::Plain, &format!("  {name:<10} {value}"));
        }
        let crowd = format!(
            "{} clients send {} requests a second; seed {seed}. Ctrl-C ends everything.",
            grouped(u64::from(plan::CLIENTS)),
            options.rps
        );
        screen.text(Tone::Plain, &crowd);
        if !crate::page::is_built() {
            let text = "The page is not in this program: in a checkout `cargo xtask page` builds \
                        it, and the next build takes it in. `crossfade status -w` shows the same.";
            screen.text(Tone::Faint, text);
        }
        if let Some(hint) = hint {
            screen.text(Tone::Faint, &format!("No Envoy is in front of v1 and v2: {hint}."));
        }
        let fields = json!({
            "page": page, "token_file": token, "traffic": format!("http://{address}/"),
            "v1": format!("http://{old}/"), "v2": format!("http://{new}/"), "seed": seed,
            "through": match self.carrier { Carrier::Envoy(_) => "envoy", Carrier::Own(_) => "own" },
        });
        screen.event("started", Tone::Plain, "", fields);
        if let Some((title, about)) = stage::Stage::Rollout.title() {
            screen.text(Tone::Plain, "");
            screen.text(Tone::Strong, title);
            screen.text(Tone::Plain, about);
        }
    }

    /// The thread that reports, where no Envoy does.
    fn report(
        &self,
        ending: watch::Receiver<bool>,
    ) -> Result<Option<std::thread::JoinHandle<()>>, Failure> {
        let Carrier::Own(edge) = &self.carrier else { return Ok(None) };
        let (edge, client) = (Arc::clone(edge), self.control.client.clone());
        std::thread::Builder::new()
            .name("reports".into())
            .spawn(move || edge.keep_in_step(&client, &ending))
            .map(Some)
            .map_err(|error| Failure::new(Exit::Internal, error))
    }

    /// The exit code of the signal that came, if one has.
    fn stopped(&self) -> Option<Exit> {
        *self.signalled.borrow()
    }

    /// Fails when a part has ended that should not.
    fn trouble(&mut self) -> Result<(), Failure> {
        let why = match &mut self.carrier {
            Carrier::Envoy(envoy) => envoy.ended(),
            Carrier::Own(edge) => edge.broken(),
        };
        if let Some(why) = why {
            return Err(Failure::new(Exit::Io, why));
        }
        if self.stopped().is_some() {
            return Ok(());
        }
        self.control.ended().map_or(Ok(()), Err)
    }

    /// Takes the migration to another phase of its life. What stands in the way of a demo of
    /// minutes is told by the sunset's statement, and overruled.
    fn advance(&self, to: &str, reason: &str) {
        let body = json!({ "to": to, "reason": reason, "force": true });
        if let Err(trouble) = self.control.client.post("/v1/life", &body) {
            tracing::warn!("the migration's life stays where it is: {trouble}");
        }
    }

    /// An answer of this kind to some client with an old app.
    fn find(&self, wanted: &dyn Fn(&Answer) -> bool) -> Option<(String, Answer)> {
        self.traffic.old(60).into_iter().find_map(|client| {
            let answer = self.runtime.block_on(self.traffic.ask(client))?;
            wanted(&answer).then(|| (self.traffic.key(client), answer))
        })
    }

    /// How v2 is mended, and the rollout begun again.
    fn mend(&self) -> Vec<String> {
        let token = self.control.token_file.display();
        let server = self.control.address;
        vec![
            format!("  curl -X POST http://{}/fault/none", self.upstreams.addresses[1]),
            format!(
                "  crossfade retry --reason mended --server http://{server} --token-file {token}"
            ),
        ]
    }

    /// What was seen, and whether the services' own logs say the same.
    fn last_words(&mut self, options: &DemoOptions, exit: Exit) -> Result<Exit, Failure> {
        if let Carrier::Own(edge) = &self.carrier
            && let Some(why) = edge.broken()
        {
            return Err(Failure::new(Exit::Io, why));
        }
        let (seen, logs) = (self.traffic.seen(), self.upstreams.served());
        // Of what had no answer nobody knows whether it arrived.
        let [old, new] = [logs[0].requests, logs[1].requests];
        let unknown = seen.without_answer();
        let same = seen.served[0] <= old
            && seen.served[1] <= new
            && old + new <= seen.served[0] + seen.served[1] + unknown;
        let agree =
            if same { "the services' own logs say the same" } else { "their own logs differ" };
        let text = format!(
            "v1 has answered {}, v2 {}: {agree}. Refused: {}; without an answer: {}.",
            counted(seen.served[0], "request"),
            grouped(seen.served[1]),
            grouped(seen.brownout + seen.gone),
            unknown
        );
        let fields = json!({ "seen": seen, "services": logs, "same": same, "exit": exit as u8 });
        self.screen.event("ended", Tone::Plain, &text, fields);
        if let (Some(record), Carrier::Own(edge)) = (&options.record, &self.carrier) {
            let (calls, path) = (counted(edge.calls(), "call"), record.display());
            let text = format!(
                "{path} has {calls} of the engine: `crossfade replay {path}` plays all of it again."
            );
            self.screen.text(Tone::Plain, &text);
        }
        Ok(exit)
    }
}
