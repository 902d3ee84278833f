//! `crossfade node`: an engine between stdin and stdout.
//!
//! A thread reads blocks of lines, one loads modules, one waits for signals; all speak to
//! this one, which owns the engine and stdout. What arrives is served in the order in
//! which it arrived, so that a reload falls between two blocks and drops nothing.

pub(crate) mod fleet;
mod lines;
mod reload;

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tracing::{error, info, warn};

use crate::exit::{Exit, Failure};
use crate::module::{Module, ModuleError};
use crate::plugin::{Plugin, PluginError, PluginOptions, Start};
use crate::policy::{self, Policy};
use crate::serve::fleet::{Member, PolicyRow};
use crate::signals;

use fleet::{Fleet, Join};
use lines::LineReader;
use reload::Source;

/// Blocks read ahead. Two would do to keep both sides busy.
const BLOCKS_AHEAD: usize = 4;

/// How long a wall-clock engine may go without being told the time.
const TICK_EVERY: Duration = Duration::from_millis(100);

/// The same after it has failed to act on it: each failure costs a restart.
const TICK_AFTER_FAULT: Duration = Duration::from_secs(10);

/// Which time the engine is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Clock {
    /// Always 0: it moves a simulated clock itself, and a rollout is over at once.
    #[default]
    Virtual,
    /// Unix milliseconds.
    Wall,
}

impl Clock {
    fn now_ms(self) -> u64 {
        match self {
            Clock::Virtual => 0,
            Clock::Wall => SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .map_or(0, |elapsed| elapsed.as_millis() as u64),
        }
    }
}

/// What `crossfade node` was asked for.
#[derive(Debug)]
pub struct NodeOptions {
    /// The module's file, or `None` for the built-in one.
    pub module: Option<PathBuf>,
    /// Whether that file is loaded again when it changes.
    pub watch: bool,
    /// The plan document to start with.
    pub policy: Option<PathBuf>,
    /// Which time the engine is told.
    pub clock: Clock,
    /// Seed of all chance; `None` draws one, and the node's epoch too.
    pub seed: Option<u64>,
    /// What the node is called; `None` for the host's name.
    pub node_id: Option<String>,
    /// The fleet it takes part in.
    pub(crate) join: Option<Join>,
    /// The engine's limits.
    pub plugin: PluginOptions,
}

impl NodeOptions {
    /// Whether a fleet is told what clients do. Times of a virtual clock would tell it
    /// nothing.
    fn reports_clients(&self) -> bool {
        self.join.is_some() && self.clock == Clock::Wall
    }

    fn name(&self) -> String {
        self.node_id.clone().unwrap_or_else(host_name)
    }
}

/// What the main loop waits for.
enum Event {
    /// Whole lines.
    Lines(Vec<u8>),
    /// Stdin has ended.
    End,
    /// Stdin cannot be read.
    ReadFailed(io::Error),
    /// A module to go on with, or why there is none.
    Reload(Result<Module, ModuleError>),
    /// The fleet's policy has changed.
    Policy(Arc<PolicyRow>),
}

/// Serves stdin until it ends.
///
/// # Errors
/// [`Exit::Data`]: the module or the policy is wrong. [`Exit::Io`]: a file, stdin or
/// stdout failed. [`Exit::Internal`]: the engine could not be kept running.
pub fn run(options: NodeOptions) -> Result<Exit, Failure> {
    // First, so that Ctrl-C works while a module is being compiled.
    let (ask_reload, reload_requests) = mpsc::channel();
    let hang_up = move || {
        // The other end is gone only when the program is about to be.
        let _ = ask_reload.send(());
    };
    signals::watch(hang_up).map_err(|error| internal("cannot wait for signals", &error))?;

    let source = Source { path: options.module.clone(), watch: options.watch };
    let module = source.load()?;
    let plugin = start(&options, module)?;

    let (events, inbox) = mpsc::sync_channel(BLOCKS_AHEAD);
    let (spares, spare_blocks) = mpsc::channel();
    let deliver = events.clone();
    source
        .keep_loading(reload_requests, move |module| deliver.send(Event::Reload(module)).is_ok())
        .map_err(|error| internal("cannot start a thread", &error))?;
    let fleet = match &options.join {
        Some(join) => Some(take_part(join, &options, events.clone())?),
        None => None,
    };
    let stdin = own(io::stdin().as_fd(), "stdin")?;
    thread::Builder::new()
        .name("stdin".into())
        .spawn(move || read_blocks(stdin, &events, &spare_blocks))
        .map_err(|error| internal("cannot start a thread", &error))?;

    let out = own(io::stdout().as_fd(), "stdout")?;
    let mut node = Node { plugin, out, clock: options.clock, next_tick: Instant::now(), fleet };
    match node.serve(&inbox, &spares).and_then(|()| node.leave()) {
        Ok(()) | Err(Stop::ReaderGone) => Ok(Exit::Ok),
        Err(Stop::Failed(failure)) => Err(failure),
    }
}

fn take_part(
    join: &Join,
    options: &NodeOptions,
    events: SyncSender<Event>,
) -> Result<Fleet, Failure> {
    let name = options.name();
    let deliver = move |policy| events.send(Event::Policy(policy)).is_ok();
    let member = Member::join(&join.access, &join.api, &name, deliver)
        .map_err(|why| Failure::new(Exit::Data, format!("cannot take part in the fleet: {why}")))?;
    info!("node {name} takes part in the fleet of `{}`", join.api);
    Ok(Fleet::new(member, options.reports_clients()))
}

fn internal(what: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Exit::Internal, format!("{what}: {error}"))
}

/// The stream without the standard library's buffer, which would hold replies back or
/// copy them once more.
fn own(stream: std::os::fd::BorrowedFd<'_>, name: &str) -> Result<File, Failure> {
    let stream = stream
        .try_clone_to_owned()
        .map_err(|error| Failure::new(Exit::Io, format!("cannot use {name}: {error}")))?;
    Ok(File::from(stream))
}

/// The document that `crossfade_init` reads.
#[derive(Serialize)]
struct InitDocument {
    clock: Clock,
    node: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    clients: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<Value>,
}

fn start(options: &NodeOptions, module: Module) -> Result<Plugin, Failure> {
    let policy = match &options.policy {
        None => None,
        Some(path) => Some(policy::read(path)?),
    };
    let draw = || getrandom::u64().map_err(|error| internal("no randomness", &error));
    // With a seed the engine derives its epoch from it, lest two runs differ.
    let (seed, epoch) = match options.seed {
        Some(seed) => (seed, None),
        None => (draw()?, Some(format!("{:016x}", draw()?))),
    };
    let document = InitDocument {
        clock: options.clock,
        node: options.name(),
        epoch,
        clients: options.reports_clients().then_some("report"),
        policy: policy.as_ref().map(|policy| policy.value().clone()),
    };
    let document = serde_json::to_vec(&document)
        .map_err(|error| internal("cannot write the init document", &error))?;
    let name = module.name().to_owned();
    let start = Start { document, seed, now_ms: options.clock.now_ms() };
    let (mut plugin, said) = Plugin::start(module, options.plugin.clone(), start)
        .map_err(|error| Failure::new(Exit::Internal, error))?;
    if let Some(said) = complaint(&said) {
        return Err(refusal(&mut plugin, policy.as_ref(), &said));
    }
    info!("engine {name} runs, {:?} clock", options.clock);
    info!("seed {seed} (repeat with --seed {seed})");
    Ok(plugin)
}

/// Why the engine did not take the init document: the policy's problems, each by its
/// line, or else what it `said`.
fn refusal(plugin: &mut Plugin, policy: Option<&Policy>, said: &str) -> Failure {
    let Some(policy) = policy else {
        return Failure::new(Exit::Data, format!("the engine refuses the init document: {said}"));
    };
    match policy.check(plugin) {
        Ok(checked) if !checked.valid => checked.failure(),
        _ => {
            let name = policy.name();
            Failure::new(Exit::Data, format!("the engine refuses policy {name}: {said}"))
        }
    }
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The text of the first error among an engine's lines.
fn complaint(lines: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Line {
        r#type: String,
        text: Option<String>,
    }
    lines.split(|byte| *byte == b'\n').find_map(|line| {
        let line: Line = serde_json::from_slice(line).ok()?;
        (line.r#type == "error").then(|| line.text.unwrap_or_default())
    })
}

fn read_blocks(stdin: File, events: &SyncSender<Event>, spares: &Receiver<Vec<u8>>) {
    let mut reader = LineReader::new(stdin);
    loop {
        let mut block = spares.try_recv().unwrap_or_default();
        let event = match reader.read_block(&mut block) {
            Ok(true) => Event::Lines(block),
            Ok(false) => Event::End,
            Err(error) => Event::ReadFailed(error),
        };
        let last = !matches!(event, Event::Lines(_));
        if events.send(event).is_err() || last {
            return;
        }
    }
}

/// Why serving ended before the input did.
enum Stop {
    /// Nobody reads our output any more: no failure of ours.
    ReaderGone,
    Failed(Failure),
}

impl From<PluginError> for Stop {
    fn from(error: PluginError) -> Stop {
        Stop::Failed(Failure::new(Exit::Internal, error))
    }
}

struct Node {
    plugin: Plugin,
    out: File,
    clock: Clock,
    next_tick: Instant,
    fleet: Option<Fleet>,
}

impl Node {
    fn serve(
        &mut self,
        inbox: &Receiver<Event>,
        spares: &mpsc::Sender<Vec<u8>>,
    ) -> Result<(), Stop> {
        loop {
            let event = match self.clock {
                Clock::Virtual => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Clock::Wall => {
                    inbox.recv_timeout(self.next_tick.saturating_duration_since(Instant::now()))
                }
            };
            match event {
                Ok(Event::Lines(block)) => {
                    let replies = self.plugin.handle(&block, self.clock.now_ms())?;
                    write(&mut self.out, replies)?;
                    // The reader may be done; then nobody wants it back.
                    let _ = spares.send(block);
                }
                Ok(Event::Reload(module)) => self.reload(module),
                Ok(Event::Policy(policy)) => {
                    if let Some(fleet) = &mut self.fleet {
                        fleet.adopt(&policy, &mut self.plugin, self.clock.now_ms())?;
                    }
                }
                Ok(Event::End) => return self.tick(),
                Ok(Event::ReadFailed(error)) => {
                    let failure = Failure::new(Exit::Io, format!("cannot read stdin: {error}"));
                    return Err(Stop::Failed(failure));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            // On a virtual clock a tick moves nothing; it fetches the events.
            if self.clock == Clock::Virtual || Instant::now() >= self.next_tick {
                self.tick()?;
            }
            if let Some(fleet) = &mut self.fleet {
                fleet.report_if_due(&mut self.plugin)?;
            }
        }
    }

    fn leave(&mut self) -> Result<(), Stop> {
        match self.fleet.take() {
            Some(fleet) => Ok(fleet.leave(&mut self.plugin)?),
            None => Ok(()),
        }
    }

    fn tick(&mut self) -> Result<(), Stop> {
        self.next_tick = Instant::now() + TICK_EVERY;
        let lines = match self.plugin.tick(self.clock.now_ms()) {
            Ok(lines) => lines,
            Err(PluginError::Fault(fault)) => {
                warn!("time could not act: {fault}");
                self.next_tick = Instant::now() + TICK_AFTER_FAULT;
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        if lines.is_empty() {
            return Ok(());
        }
        let (events, replies): (Vec<&[u8]>, Vec<&[u8]>) =
            lines.split_inclusive(|byte| *byte == b'\n').partition(|line| is_event(line));
        for event in events {
            info!("{}", String::from_utf8_lossy(event.trim_ascii_end()));
        }
        write(&mut self.out, &replies.concat())
    }

    fn reload(&mut self, module: Result<Module, ModuleError>) {
        let module = match module {
            Ok(module) => module,
            Err(error) => return error!("{error}; the running engine serves on"),
        };
        let name = module.name().to_owned();
        match self.plugin.reload(module) {
            Ok(()) => info!("module {name} is loaded, the state carried over"),
            Err(error) => error!("module {name}: {error}; the running engine serves on"),
        }
    }
}

fn is_event(line: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Line {
        r#type: String,
    }
    serde_json::from_slice::<Line>(line).is_ok_and(|line| line.r#type == "event")
}

fn write(out: &mut File, replies: &[u8]) -> Result<(), Stop> {
    out.write_all(replies).map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => Stop::ReaderGone,
        _ => Stop::Failed(Failure::new(Exit::Io, format!("cannot write to stdout: {error}"))),
    })
}
