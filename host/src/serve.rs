//! `crossfade serve`: the control plane. One process holds the policy, takes in what edges
//! and nodes saw, lets time act on the rollout, remembers everything, and answers people
//! and machines over HTTP.
//!
//! *Does:* run an engine in the plugin host on the wall clock, keep every call to it in a
//! store before anybody hears of its effect, and speak HTTP.
//!
//! *Does not:* decide or judge anything: the engine does. It never stands in the way of a
//! client's request: edges decide on the last policy they have.

mod access;
mod calls;
mod clock;
mod controller;
#[cfg(test)]
mod controller_tests;
pub(crate) mod data;
mod decider;
mod engine;
#[cfg(test)]
mod engine_tests;
pub(crate) mod fleet;
mod history;
mod http;
mod job;
mod listen;
mod machine;
mod metrics;
mod module;
pub(crate) mod openapi;
pub(crate) mod privacy;
mod receipts;
mod shared;
mod store;

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info, warn};

use crate::exit::{Exit, Failure};
use crate::plugin::{Plugin, PluginOptions, Start};
use crate::policy::Policy;

use access::Access;
use controller::{Controller, Setup, Trouble};
use decider::Decider;
use http::App;
use http::limits::Limits;
use job::{Desk, JOBS_MAX, Work};
use listen::tls::{Tls, TlsError};
use privacy::Identities;
use shared::Shared;
use store::sqlite::Sqlite;
use store::{Lead, Store, StoreError};

/// How long answers that are under way may take when the server ends.
const GRACE: Duration = Duration::from_secs(2);

/// What `crossfade serve` was asked for.
#[derive(Debug)]
pub(crate) struct ServeOptions {
    /// The plan to begin with.
    pub(crate) plan: Option<PathBuf>,
    /// The data directory.
    pub(crate) data: PathBuf,
    /// Where to listen.
    pub(crate) listen: SocketAddr,
    /// The fleet whose store is used in the place of the data directory's.
    pub(crate) fleet: Option<FleetOptions>,
    /// The token file.
    pub(crate) tokens: Option<PathBuf>,
    /// The certificate's file and its key's.
    pub(crate) tls: Option<(PathBuf, PathBuf)>,
    /// Requests a second of one caller.
    pub(crate) rate: Option<NonZeroU32>,
    /// The module's file, or `None` for the stored or the built-in one.
    pub(crate) module: Option<PathBuf>,
    /// Whether a new migration's rollout begins at once.
    pub(crate) start_rollout: bool,
    /// The engine's limits.
    pub(crate) plugin: PluginOptions,
}

/// A store on NATS.
#[derive(Debug)]
pub(crate) struct FleetOptions {
    /// Its servers.
    pub(crate) access: fleet::Access,
    /// The API, when no plan tells.
    pub(crate) api: Option<String>,
    /// Where others reach this process; `None` for the address it listens on.
    pub(crate) advertise: Option<String>,
}

/// Serves until it is told to stop.
///
/// # Errors
/// [`Exit::Data`]: the plan, the tokens, the module or the store is wrong. [`Exit::Io`]:
/// a file or the address cannot be used.
pub(crate) fn run(options: ServeOptions) -> Result<Exit, Failure> {
    let candidate = match &options.module {
        Some(path) => module::from_file(path)?,
        None => module::builtin()?,
    };
    let plan = match &options.plan {
        Some(path) => Some(read_plan(path, &candidate)?),
        None => None,
    };
    // Before the store is touched: a second start on one address must not begin anything.
    let listener = bind(options.listen)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(2)
        .build()
        .map_err(|error| internal("cannot start the runtime", &error))?;
    let store: Box<dyn Store> = match &options.fleet {
        None => Box::new(Sqlite::open(&options.data).map_err(|error| store_failure(&error))?),
        Some(fleet) => {
            let advertise = advertise(fleet, &listener)?;
            let handle = runtime.handle().clone();
            Box::new(fleet::open(fleet, &options.data, plan.as_ref(), advertise, handle)?)
        }
    };
    let access = access(&options)?;
    let identities = Identities::load(&options.data).map_err(|error| {
        let path = options.data.join(privacy::KEY_FILE);
        Failure::new(Exit::Io, format!("cannot use {}: {error}", path.display()))
    })?;
    let tls = tls(&options)?;
    let shared = Shared::new();
    let module = candidate.module.clone();
    let decider = Decider::start(module, options.plugin.clone(), shared.policy(), shared.engine())
        .map_err(|error| internal("cannot start a thread", &error))?;
    let setup = Setup {
        store,
        candidate,
        candidate_is_given: options.module.is_some(),
        plugin: options.plugin.clone(),
        plan,
        start_rollout: options.start_rollout,
    };
    let mut controller = Controller::new(setup, Arc::clone(&shared));
    match controller.take_over() {
        Ok(Lead::Ours) => {}
        Ok(Lead::Others { .. }) => info!("another server leads: standing by"),
        Err(trouble) => return Err(trouble_failure(&trouble, &options)),
    }
    let (jobs, inbox) = sync_channel(JOBS_MAX);
    let desk = Desk::new(jobs);
    let thread = thread::Builder::new()
        .name("controller".into())
        .spawn(move || controller.run(&inbox))
        .map_err(|error| internal("cannot start a thread", &error))?;
    let limits = Limits::new(options.rate);
    let app = App::new(desk.clone(), shared, access, decider, Arc::clone(&limits), identities);
    let ended = runtime.block_on(listen(listener, desk, app, tls, limits));
    // First: a fleet's store gives the lead back, and needs the runtime for it.
    let controller = thread.join();
    runtime.shutdown_timeout(GRACE);
    if controller.is_err() {
        return Err(Failure::new(Exit::Internal, "the controller's thread panicked"));
    }
    ended
}

/// The OpenAPI description of the HTTP API.
pub(crate) fn description() -> String {
    http::description()
}

fn bind(address: SocketAddr) -> Result<std::net::TcpListener, Failure> {
    let listen = || {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    listen().map_err(|error: std::io::Error| {
        Failure::new(Exit::Io, format!("cannot listen on {address}: {error}"))
    })
}

/// What others are told, when they ask who leads.
fn advertise(fleet: &FleetOptions, listener: &std::net::TcpListener) -> Result<String, Failure> {
    if let Some(address) = &fleet.advertise {
        return Ok(address.trim_end_matches('/').to_owned());
    }
    let address = listener.local_addr().map_err(|error| internal("no address", &error))?;
    if address.ip().is_unspecified() {
        let text = format!(
            "others cannot be sent to {address}: say where this server is reached with \
             --advertise http://HOST:{}",
            address.port()
        );
        return Err(Failure::new(Exit::Usage, text));
    }
    Ok(format!("http://{address}"))
}

async fn listen(
    listener: std::net::TcpListener,
    desk: Desk,
    app: App,
    tls: Option<Arc<Tls>>,
    limits: Arc<Limits>,
) -> Result<Exit, Failure> {
    let cannot = |error: std::io::Error| Failure::new(Exit::Io, format!("cannot listen: {error}"));
    let address = listener.local_addr().map_err(cannot)?;
    let listener = TcpListener::from_std(listener).map_err(cannot)?;
    // Before anybody can know that it runs: without this, SIGHUP would end it.
    let hangups = signal(SignalKind::hangup()).map_err(cannot)?;
    tokio::spawn(reload(hangups, tls.clone()));
    // Before anybody is told that it listens: from then on it may be asked to end.
    let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(cannot)?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    info!("listening on {scheme}://{address}");
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let server = tokio::spawn(listen::serve(listener, http::router(app), tls, limits, stopped));
    let exit = tokio::select! {
        _ = interrupt.recv() => Exit::Interrupted,
        _ = terminate.recv() => Exit::Terminated,
    };
    info!("ending: what is in hand is kept first");
    stop.send_replace(true);
    // The thread answers once everything is kept.
    let _ = desk.ask(Work::Stop).await;
    // Followers of events would stay for ever.
    let _ = tokio::time::timeout(GRACE, server).await;
    Ok(exit)
}

/// Reads the certificate again at each SIGHUP.
async fn reload(mut hangups: Signal, tls: Option<Arc<Tls>>) {
    while hangups.recv().await.is_some() {
        match tls.as_ref().map(|tls| tls.reload()) {
            Some(Ok(())) => info!("the certificate was read again"),
            Some(Err(error)) => error!("{error}; the certificate from before stays"),
            None => info!("SIGHUP: there is no certificate to read again"),
        }
    }
}

fn tls(options: &ServeOptions) -> Result<Option<Arc<Tls>>, Failure> {
    let Some((certificate, key)) = &options.tls else {
        if !options.listen.ip().is_loopback() {
            warn!(
                "tokens and reports go over the network as they are: --tls-cert and --tls-key \
                 encrypt them"
            );
        }
        return Ok(None);
    };
    match Tls::load(certificate, key) {
        Ok(tls) => Ok(Some(Arc::new(tls))),
        Err(error @ TlsError::Read { .. }) => Err(Failure::new(Exit::Io, error)),
        Err(error) => Err(Failure::new(Exit::Data, error)),
    }
}

/// The plan's document, once the engine has found nothing wrong with it.
fn read_plan(path: &std::path::Path, candidate: &job::Candidate) -> Result<Value, Failure> {
    let policy: Policy = crate::policy::read(path)?;
    let start = Start::default();
    let started = Plugin::start(candidate.module.clone(), PluginOptions::default(), start);
    let (mut plugin, _) = started.map_err(|error| Failure::new(Exit::Internal, error))?;
    let checked = policy.check(&mut plugin).map_err(|error| error.failure(Exit::Data))?;
    if !checked.valid {
        return Err(checked.failure());
    }
    for warning in &checked.warnings {
        warn!("{}: {}: {}", checked.file, warning.path, warning.message);
    }
    Ok(policy.value().clone())
}

fn access(options: &ServeOptions) -> Result<Access, Failure> {
    let text = match &options.tokens {
        Some(path) => Some(std::fs::read_to_string(path).map_err(|error| {
            Failure::new(Exit::Io, format!("cannot read {}: {error}", path.display()))
        })?),
        None => std::env::var(TOKENS_VARIABLE).ok(),
    };
    let Some(text) = text else {
        if !options.listen.ip().is_loopback() {
            let text = format!(
                "{} can be reached by others: name who may do what with --tokens FILE (or \
                 {TOKENS_VARIABLE}), or listen on 127.0.0.1",
                options.listen
            );
            return Err(Failure::new(Exit::Usage, text));
        }
        return Access::on_loopback(&options.data).map_err(|error| {
            let path = options.data.join(access::TOKEN_FILE);
            Failure::new(Exit::Io, format!("cannot use {}: {error}", path.display()))
        });
    };
    let name = options
        .tokens
        .as_ref()
        .map_or(TOKENS_VARIABLE.to_owned(), |path| path.display().to_string());
    Access::parse(&text).map_err(|problems| {
        let list: Vec<String> = problems
            .iter()
            .map(|problem| format!("{name}, {}: {}", problem.path, problem.message))
            .collect();
        Failure::new(Exit::Data, format!("the tokens have problems:\n{}", list.join("\n")))
    })
}

/// Holds the tokens when no file does.
const TOKENS_VARIABLE: &str = "CROSSFADE_TOKENS";

fn internal(what: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Exit::Internal, format!("{what}: {error}"))
}

pub(crate) fn store_failure(error: &StoreError) -> Failure {
    let exit = match error {
        StoreError::Foreign { .. } | StoreError::InUse { .. } => Exit::Data,
        StoreError::Failed { .. } | StoreError::Unclear { .. } | StoreError::Superseded => Exit::Io,
    };
    Failure::new(exit, error)
}

fn trouble_failure(trouble: &Trouble, options: &ServeOptions) -> Failure {
    match trouble {
        Trouble::Store(error) => store_failure(error),
        Trouble::NoPlan => {
            let data = options.data.display();
            let text = format!(
                "{data} holds no migration yet: name the plan to begin with, as in `crossfade serve plan.yaml`"
            );
            Failure::new(Exit::Usage, text)
        }
        Trouble::Engine(_) | Trouble::Refused(_) | Trouble::Module(_) => {
            Failure::new(Exit::Data, format!("what is stored cannot be gone on with: {trouble}"))
        }
    }
}
