//! The control plane of the demo: `crossfade serve`, on a thread of this process.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use serde_json::Value;
use tracing::debug;

use crate::client::{Address, Client, ServerArgs};
use crate::exit::{Exit, Failure};
use crate::plugin::PluginOptions;
use crate::serve::{self, ServeOptions};

/// How long it may take to start.
const START_MAX: Duration = Duration::from_secs(30);

/// And to end.
const END_MAX: Duration = Duration::from_secs(5);

/// Where everything is kept: a folder that was named, or one that ends with the demo.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) path: PathBuf,
    /// Locked while a demo is in a folder that ends with it.
    ends: Option<File>,
}

/// What folders of demos are called before their process's number.
const PREFIX: &str = "crossfade-demo-";

/// A file of the folder, locked by whoever uses it.
const LOCK: &str = "lock";

impl Folder {
    /// The folder that was named, or a new one for this user alone.
    ///
    /// # Errors
    /// It cannot be made.
    pub(super) fn new(named: Option<&Path>) -> Result<Folder, Failure> {
        let temporary = std::env::temp_dir();
        if named.is_none() {
            sweep(&temporary);
        }
        let path = named.map_or_else(
            || temporary.join(format!("{PREFIX}{}", std::process::id())),
            Path::to_owned,
        );
        let mut builder = fs::DirBuilder::new();
        let made = builder.mode(0o700).recursive(named.is_some()).create(&path);
        let ends = made.and_then(|()| named.is_none().then(|| lock(&path)).transpose());
        let ends = ends.map_err(|error| {
            let hint = match error.kind() {
                ErrorKind::StorageFull => "; make room, or name another place with --data",
                _ => "; name another place with --data",
            };
            Failure::new(Exit::Io, format!("cannot make {}: {error}{hint}", path.display()))
        })?;
        Ok(Folder { path, ends })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.ends.is_some() {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

fn lock(folder: &Path) -> io::Result<File> {
    let file = File::create(folder.join(LOCK))?;
    file.try_lock()?;
    Ok(file)
}

/// Removes what demos that were killed have left here: each folder of this user whose
/// process has gone and whose lock is free.
fn sweep(temporary: &Path) {
    let Ok(entries) = fs::read_dir(temporary) else { return };
    for entry in entries.filter_map(Result::ok) {
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        let Some(process) = number.and_then(|number| number.parse().ok()) else { continue };
        // One that has just begun has no lock yet, but it runs.
        let runs =
            Pid::from_raw(process).is_none_or(|it| test_kill_process(it) != Err(Errno::SRCH));
        let ours = fs::symlink_metadata(entry.path())
            .is_ok_and(|it| it.is_dir() && it.uid() == rustix::process::getuid().as_raw());
        // One in another container is no process here, and holds its lock.
        if !runs && ours && lock(&entry.path()).is_ok() {
            debug!("{} was left by a demo that was killed: removed", entry.path().display());
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// A running control plane.
#[derive(Debug)]
pub(super) struct Control {
    pub(super) address: SocketAddr,
    pub(super) token_file: PathBuf,
    pub(super) client: Client,
    /// There was a migration in the folder, and this goes on with it.
    pub(super) goes_on: bool,
    serving: Option<JoinHandle<Result<Exit, Failure>>>,
}

impl Control {
    /// Starts it with a plan, or goes on with what the folder holds.
    ///
    /// # Errors
    /// The port is taken, or what `crossfade serve` says.
    pub(super) fn start(folder: &Path, plan: &Value, port: u16) -> Result<Control, Failure> {
        let address = listenable(port)?;
        let io = |error| Failure::new(Exit::Io, format!("cannot write the plan: {error}"));
        let plan_file = folder.join("plan.json");
        fs::write(&plan_file, format!("{plan:#}\n")).map_err(io)?;
        let data = folder.join("serve");
        let goes_on = data.exists();
        let options = ServeOptions {
            plan: Some(plan_file),
            data: data.clone(),
            listen: address,
            fleet: None,
            tokens: None,
            tls: None,
            rate: None,
            module: None,
            start_rollout: true,
            plugin: PluginOptions::default(),
        };
        let serving = thread::Builder::new()
            .name("serve".into())
            .spawn(move || serve::run(options))
            .map_err(|error| Failure::new(Exit::Internal, error))?;
        let token_file = data.join("operator.token");
        let internal = |why: String| Failure::new(Exit::Internal, why);
        let server = Address::read(&format!("http://{address}")).map_err(internal)?;
        let mut serving = Some(serving);
        let since = Instant::now();
        // Its own words, if it ends.
        while !is_ready(&server, &token_file) {
            if serving.as_ref().is_some_and(JoinHandle::is_finished) {
                let ended = serving.take().map(JoinHandle::join);
                return Err(match ended {
                    Some(Ok(Err(failure))) => failure,
                    _ => internal("the control plane has ended".to_owned()),
                });
            }
            if since.elapsed() > START_MAX {
                return Err(internal(format!(
                    "the control plane is not ready after {START_MAX:?}"
                )));
            }
            thread::sleep(Duration::from_millis(20));
        }
        let client = ServerArgs::of(server, Some(token_file.clone())).client()?;
        Ok(Control { address, token_file, client, goes_on, serving })
    }

    /// Why it has ended, if it has.
    pub(super) fn ended(&mut self) -> Option<Failure> {
        if !self.serving.as_ref()?.is_finished() {
            return None;
        }
        match self.serving.take()?.join() {
            Ok(Err(failure)) => Some(failure),
            Ok(Ok(_)) => None,
            Err(_) => Some(Failure::new(Exit::Internal, "the control plane has panicked")),
        }
    }

    /// Tells it to end, as a signal does, and waits until everything is kept.
    pub(super) fn end(mut self) {
        let Some(serving) = self.serving.take() else { return };
        // It listens for signals of this process, of which we are.
        let _ =
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TERM);
        let since = Instant::now();
        while !serving.is_finished() && since.elapsed() < END_MAX {
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// This port of the loopback, or a free one for 0.
fn listenable(port: u16) -> Result<SocketAddr, Failure> {
    let wanted = SocketAddr::from(([127, 0, 0, 1], port));
    TcpListener::bind(wanted).and_then(|listener| listener.local_addr()).map_err(|error| {
        let hint = match error.kind() {
            ErrorKind::AddrInUse => {
                ": something listens there, perhaps another `crossfade serve`; take another port \
                 with --port, or a free one with --port 0"
            }
            _ => "",
        };
        Failure::new(Exit::Io, format!("cannot listen on {wanted}: {error}{hint}"))
    })
}

fn is_ready(server: &Address, token_file: &Path) -> bool {
    if !token_file.is_file() {
        return false;
    }
    let client = ServerArgs::of(server.clone(), Some(token_file.to_owned())).client();
    client.is_ok_and(|client| client.get("/v1/status").is_ok())
}
