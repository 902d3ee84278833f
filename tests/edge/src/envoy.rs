//! A real Envoy on free ports, for as long as a test needs it.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::client::{Connection, Response};
use crate::{folder, root, wait_for};

/// The program, as `cargo xtask edge-tools` installs it.
///
/// # Panics
/// When it is not there; the message says what to run.
pub fn program() -> PathBuf {
    let program = root().join(".tools/envoy-1.40.0/envoy");
    assert!(program.exists(), "no Envoy at {}: run `cargo xtask edge-tools`", program.display());
    program
}

/// What `envoy --mode validate` says of a configuration file: `Err` is its log.
/// Relative paths in it begin at its folder.
///
/// # Errors
/// The log, when it refuses.
pub fn validate(file: &Path) -> Result<(), String> {
    let run = Command::new(program())
        .args(["--mode", "validate", "--log-level", "warning", "-c"])
        .arg(file)
        .current_dir(file.parent().expect("a file is in a folder"))
        .output()
        .expect("Envoy can be started");
    let log = || String::from_utf8_lossy(&run.stderr).into_owned();
    if run.status.success() { Ok(()) } else { Err(log()) }
}

/// A running Envoy. It ends when this is dropped, and when the test's process does.
#[derive(Debug)]
pub struct Envoy {
    /// A shell that ends Envoy once its standard input is closed: also when this
    /// process was killed and nothing was dropped.
    keeper: Child,
    admin: SocketAddr,
    folder: PathBuf,
}

const KEEPER: &str = r#"exec 3<&0; "$@" 3<&- & envoy=$!
{ read -r _ <&3; kill -9 $envoy; } & exec 3<&-; wait $envoy; kill $! 2>/dev/null"#;

impl Envoy {
    /// Starts Envoy with this bootstrap and so many worker threads, and waits until it is
    /// ready. Its files lie below `target`, in a folder `name`, which no other test of
    /// the crate may use.
    ///
    /// # Panics
    /// When Envoy does not become ready; its log is printed.
    pub fn start(name: &str, workers: usize, bootstrap: &Value) -> Envoy {
        let folder = folder(name);
        let config = folder.join("envoy.json");
        let text = serde_json::to_string_pretty(bootstrap).expect("a value can be written");
        fs::write(&config, text).expect("target can be written to");
        Envoy::run(folder, workers, &config, &root())
    }

    /// Starts Envoy with a configuration file, whose relative paths begin at its folder.
    ///
    /// # Panics
    /// As [`Envoy::start`].
    pub fn start_file(name: &str, workers: usize, file: &Path) -> Envoy {
        let beside = file.parent().expect("a file is in a folder");
        Envoy::run(folder(name), workers, file, beside)
    }

    fn run(folder: PathBuf, workers: usize, config: &Path, current: &Path) -> Envoy {
        let log = File::create(folder.join("envoy.log")).expect("target can be written to");
        let admin_file = folder.join("admin");
        let _ = fs::remove_file(&admin_file);
        let keeper = Command::new("sh")
            .args(["-c", KEEPER, "sh"])
            .arg(program())
            .arg("-c")
            .arg(config)
            .args(["--concurrency", &workers.to_string(), "--disable-hot-restart"])
            .args(["--log-level", "info", "--component-log-level", "main:warning"])
            .arg("--admin-address-path")
            .arg(&admin_file)
            .current_dir(current)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("there is a shell");
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut envoy = Envoy { keeper, admin: any, folder };
        let ready = wait_for("Envoy to end or be ready", || envoy.ready(&admin_file));
        assert!(ready, "Envoy has ended:\n{}", envoy.log());
        envoy
    }

    /// Whether it is ready, once that is known; `false` when it has ended.
    fn ready(&mut self, admin_file: &Path) -> Option<bool> {
        if matches!(self.keeper.try_wait(), Ok(Some(_))) {
            return Some(false);
        }
        self.admin = fs::read_to_string(admin_file).ok()?.trim().parse().ok()?;
        let ready = Connection::open(self.admin).ok()?.ask(&request("GET", "/ready")).ok()?;
        (ready.status == 200).then_some(true)
    }

    /// Where the listener of this name listens.
    ///
    /// # Panics
    /// When there is none.
    pub fn address(&self, listener: &str) -> SocketAddr {
        self.address_of(|name| name == listener)
    }

    /// Where its only listener listens.
    ///
    /// # Panics
    /// When there is none.
    pub fn any_address(&self) -> SocketAddr {
        self.address_of(|_| true)
    }

    fn address_of(&self, wanted: impl Fn(&str) -> bool) -> SocketAddr {
        let listeners: Value = serde_json::from_str(&self.admin("GET", "/listeners?format=json"))
            .expect("Envoy writes JSON");
        let statuses = listeners["listener_statuses"].as_array().cloned().unwrap_or_default();
        let named = |status: &&Value| status["name"].as_str().is_some_and(&wanted);
        let found = statuses.iter().find(named);
        let socket = found.map(|status| &status["local_address"]["socket_address"]);
        let address = socket.map(|socket| format!("127.0.0.1:{}", socket["port_value"]));
        let address = address.and_then(|address| address.parse().ok());
        address.unwrap_or_else(|| panic!("no such listener in {listeners}"))
    }

    /// What the admin interface answers.
    ///
    /// # Panics
    /// When it does not answer with 200.
    pub fn admin(&self, method: &str, path: &str) -> String {
        let ask = || Connection::open(self.admin)?.ask(&request(method, path));
        match ask() {
            Ok(Response { status: 200, body, .. }) => String::from_utf8_lossy(&body).into_owned(),
            other => panic!("{method} {path} of Envoy's admin interface: {other:?}"),
        }
    }

    /// The sum of all metrics of this name that carry these labels; 0 when there is none.
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let sample = |line: &str| {
            let (series, value) = line.rsplit_once(' ')?;
            let rest = series.strip_prefix(name)?;
            let named = rest.is_empty() || rest.starts_with('{');
            let has = |(label, value): &(&str, &str)| {
                rest.contains(&format!("{{{label}=\"{value}\""))
                    || rest.contains(&format!(",{label}=\"{value}\""))
            };
            (named && labels.iter().all(has)).then(|| value.parse::<f64>().ok()).flatten()
        };
        let metrics = self.admin("GET", "/stats/prometheus");
        metrics.lines().filter_map(sample).sum::<f64>() as u64
    }

    /// Bytes of memory that Envoy holds, as Linux counts them: that of the filter's
    /// instances is among them.
    ///
    /// # Panics
    /// Where there is no `/proc`.
    pub fn resident_bytes(&self) -> u64 {
        let keeper = self.keeper.id();
        let children = fs::read_to_string(format!("/proc/{keeper}/task/{keeper}/children"));
        let children = children.expect("Linux has /proc");
        let status = |pid: &str| fs::read_to_string(format!("/proc/{pid}/status")).ok();
        let resident = |status: String| {
            let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
            kilobytes.trim().strip_suffix(" kB")?.parse::<u64>().ok()
        };
        let found = children.split_whitespace().filter_map(status).filter_map(resident);
        found.max().expect("Envoy is running") * 1024
    }

    /// What Envoy has logged so far.
    pub fn log(&self) -> String {
        let log = fs::read(self.folder.join("envoy.log")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// Prints the log if the test fails before what this gives is dropped.
    pub fn watched(&self) -> Watched<'_> {
        Watched(self)
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// See [`Envoy::watched`].
#[derive(Debug)]
pub struct Watched<'a>(&'a Envoy);

impl Deref for Watched<'_> {
    type Target = Envoy;

    fn deref(&self) -> &Envoy {
        self.0
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.0.log();
            let lines: Vec<&str> = log.lines().collect();
            let shown = lines[lines.len().saturating_sub(60)..].join("\n");
            eprintln!("The end of {}/envoy.log:\n{shown}", self.0.folder.display());
        }
    }
}

fn request(method: &str, path: &str) -> Vec<u8> {
    format!("{method} {path} HTTP/1.1\r\nhost: admin\r\ncontent-length: 0\r\n\r\n").into_bytes()
}
