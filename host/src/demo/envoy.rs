//! A real Envoy with the filter, where both are installed.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crossfade_protocol::plan::Plan;
use serde_json::Value;

use super::plan::VERSIONS;
use crate::exit::{Exit, Failure};
use crate::export::{ControlServer, FilterOptions, filter};

/// How long Envoy may take to compile the filter and listen.
const START_MAX: Duration = Duration::from_secs(30);

/// An Envoy and a filter that were found.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) envoy: PathBuf,
    pub(super) filter: PathBuf,
}

/// What is to be found. `Err` says what is missing, and how to get it.
pub(super) fn find(envoy: Option<&Path>, wasm: Option<&Path>) -> Result<Found, String> {
    let envoy = match envoy {
        Some(path) if path.is_file() => Some(path.to_owned()),
        Some(path) => return Err(format!("{} is no file", path.display())),
        None => on_path("envoy").or_else(installed),
    };
    let filter = match wasm {
        Some(path) if path.is_file() => Some(path.to_owned()),
        Some(path) => return Err(format!("no filter at {}", path.display())),
        None => {
            roots().map(|root| root.join("edge/envoy/crossfade_envoy.wasm")).find(|p| p.is_file())
        }
    };
    match (envoy, filter) {
        (Some(envoy), Some(filter)) => Ok(Found { envoy, filter }),
        (None, Some(_)) => Err("none is installed (in a checkout `cargo xtask edge-tools` \
                                installs one, --envoy names another)"
            .to_owned()),
        (None, None) => Err("none is installed (in a checkout `cargo xtask edge-tools` installs \
                             one, and `cargo xtask edge` builds the filter for it; --envoy and \
                             --filter name others)"
            .to_owned()),
        (Some(envoy), None) => Err(format!(
            "there is {}, and no filter for it (in a checkout `cargo xtask edge` builds one, \
             --filter names another)",
            envoy.display()
        )),
    }
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path: OsString = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// Where `cargo xtask edge-tools` puts it.
fn installed() -> Option<PathBuf> {
    roots().find_map(|root| {
        let folders = fs::read_dir(root.join(".tools")).ok()?;
        let mut found: Vec<PathBuf> = folders
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|folder| {
                let name = folder.file_name().and_then(|name| name.to_str());
                name.is_some_and(|name| name.starts_with("envoy-"))
            })
            .map(|folder| folder.join("envoy"))
            .filter(|file| file.is_file())
            .collect();
        found.sort();
        found.pop()
    })
}

/// A checkout that we are in, or were built in.
fn roots() -> impl Iterator<Item = PathBuf> {
    let here = std::env::current_dir().ok();
    let program = std::env::current_exe().ok();
    let built = program.and_then(|path| Some(path.ancestors().nth(3)?.to_owned()));
    here.into_iter().chain(built)
}

/// A running Envoy. It ends when this is dropped, and when this process does, however.
#[derive(Debug)]
pub(super) struct Envoy {
    keeper: Child,
    log: PathBuf,
}

/// A shell that ends Envoy once its standard input is closed, which the system does for
/// whoever is killed.
const KEEPER: &str = r#"exec 3<&0; "$@" 3<&- & envoy=$!
{ read -r _ <&3; kill -9 $envoy; } & exec 3<&-; wait $envoy; kill $! 2>/dev/null"#;

impl Envoy {
    /// Starts Envoy in front of both versions, and waits until it listens.
    ///
    /// # Errors
    /// It does not; the message has the end of its log.
    pub(super) fn start(
        found: &Found,
        folder: &Path,
        policy: &Value,
        upstreams: [SocketAddr; 2],
        control: SocketAddr,
        listen: SocketAddr,
    ) -> Result<Envoy, Failure> {
        let io = |error: std::io::Error| {
            Failure::new(Exit::Io, format!("cannot start Envoy in {}: {error}", folder.display()))
        };
        let config = folder.join("envoy.json");
        let document = configuration(found, policy, upstreams, control, listen)?;
        fs::write(&config, document.to_string()).map_err(io)?;
        let log = folder.join("envoy.log");
        let mut command = Command::new("sh");
        command
            .args(["-c", KEEPER, "sh"])
            .arg(&found.envoy)
            .arg("-c")
            .arg(&config)
            .args(["--concurrency", "2", "--disable-hot-restart", "--log-level", "warning"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(File::create(&log).map_err(io)?);
        // A Ctrl-C is ours: it ends Envoy after the traffic.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let keeper = command.spawn().map_err(io)?;
        let mut envoy = Envoy { keeper, log };
        let since = Instant::now();
        while TcpStream::connect(listen).is_err() {
            if let Some(why) = envoy.ended() {
                return Err(Failure::new(Exit::Unavailable, why));
            }
            if since.elapsed() > START_MAX {
                let text = format!("Envoy does not listen after {START_MAX:?}:\n{}", envoy.said());
                return Err(Failure::new(Exit::Unavailable, text));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(envoy)
    }

    /// Why it has ended, if it has.
    pub(super) fn ended(&mut self) -> Option<String> {
        let status = self.keeper.try_wait().ok()??;
        Some(format!("Envoy has ended ({status}). The end of its log:\n{}", self.said()))
    }

    fn said(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

fn configuration(
    found: &Found,
    policy: &Value,
    upstreams: [SocketAddr; 2],
    control: SocketAddr,
    listen: SocketAddr,
) -> Result<Value, Failure> {
    let internal =
        |why: String| Failure::new(Exit::Internal, format!("Envoy's configuration: {why}"));
    let plan = Plan::read(policy).map_err(|problems| internal(format!("{problems:?}")))?;
    let address = |address: SocketAddr| (address.ip().to_string(), address.port());
    let clusters: BTreeMap<_, _> =
        VERSIONS.iter().zip(upstreams).map(|(v, at)| ((*v).to_owned(), address(at))).collect();
    let (host, port) = address(control);
    let options = FilterOptions {
        node: "demo-envoy".to_owned(),
        clusters,
        listen,
        admin: free()?,
        wasm: found.filter.display().to_string(),
        control: Some(ControlServer { host, port, token: None }),
        version_header: "x-api-version".to_owned(),
        reason_header: Some("x-crossfade-reason".to_owned()),
    };
    filter(&plan, policy, &options)
        .map(|exported| exported.document)
        .map_err(|problems| internal(format!("{problems:?}")))
}

/// An address that nobody listens on just now.
pub(super) fn free() -> Result<SocketAddr, Failure> {
    let found = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    found.map_err(|error| Failure::new(Exit::Io, format!("no port is free: {error}")))
}
