//! The server that is measured.

use std::fs;
use std::io::{self, BufRead, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::command::{TaskError, root};
use crate::http::{answer, connect};

const PLAN: &str = "\
api: users
versions: { from: v1, to: v2 }
key: { header: x-user-id }
rollout:
  steps:
    - { percentage: 10, duration_minutes: 1000 }
    - { percentage: 50, duration_minutes: 1000 }
";

/// A running `crossfade serve` with a store of its own. It ends with this value.
pub(super) struct Server {
    child: Child,
    data: PathBuf,
    token: String,
    pub(super) address: SocketAddr,
    sequence: AtomicU64,
    changes: AtomicU64,
}

/// An error of the connection, or of what is said on it.
pub(super) fn broke(source: io::Error) -> TaskError {
    TaskError::Pipe { program: "crossfade serve".to_owned(), source }
}

impl Server {
    pub(super) fn start(program: &Path) -> Result<Server, TaskError> {
        let data = root().join("target/bench-serve");
        let _ = fs::remove_dir_all(&data);
        fs::create_dir_all(&data).map_err(broke)?;
        let plan = data.join("plan.yaml");
        fs::write(&plan, PLAN).map_err(broke)?;
        let mut command = Command::new(program);
        command.arg("serve").arg(&plan).arg("--data").arg(&data);
        command.args(["--listen", "127.0.0.1:0"]).stderr(Stdio::piped()).stdin(Stdio::null());
        let mut child = command.spawn().map_err(broke)?;
        let log = child.stderr.take().ok_or_else(|| broke(io::Error::other("no stderr")))?;
        let mut lines = BufReader::new(log).lines();
        let address = lines.find_map(|line| {
            let line = line.ok()?;
            line.rsplit_once("http://").and_then(|(_, address)| address.trim().parse().ok())
        });
        // What is said later must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        let address = address.ok_or_else(|| broke(io::Error::other("it does not listen")))?;
        let token = fs::read_to_string(data.join("operator.token")).map_err(broke)?;
        let token = token.trim().to_owned();
        Ok(Server {
            child,
            data,
            token,
            address,
            sequence: AtomicU64::new(1),
            changes: AtomicU64::new(0),
        })
    }

    /// CPU time of its process so far, in seconds.
    pub(super) fn cpu_s(&self) -> Result<f64, TaskError> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).map_err(broke)?;
        // After the name in brackets; user and system time are the 14th and 15th of all.
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
        let ticks: f64 =
            fields.split_whitespace().skip(11).take(2).filter_map(|t| t.parse::<f64>().ok()).sum();
        // Linux tells it in hundredths of a second on every machine.
        Ok(ticks / 100.0)
    }

    /// Memory that is resident, in megabytes.
    pub(super) fn memory_mb(&self) -> Result<f64, TaskError> {
        let status =
            fs::read_to_string(format!("/proc/{}/status", self.child.id())).map_err(broke)?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        Ok(kib.unwrap_or(f64::NAN) * 1024.0 / 1e6)
    }

    /// Bytes of the store on disk.
    pub(super) fn store_bytes(&self) -> Result<u64, TaskError> {
        let files = ["crossfade.db", "crossfade.db-wal"].map(|file| self.data.join(file));
        Ok(files.iter().filter_map(|file| fs::metadata(file).ok()).map(|file| file.len()).sum())
    }

    /// The next totals of an edge, as an edge with some minutes of traffic writes them.
    pub(super) fn totals(&self, edge: u64) -> String {
        let sequence = self.sequence.fetch_add(1, Relaxed);
        let latency: Vec<String> =
            (20..50).map(|bucket| format!("[{bucket},{}]", sequence * bucket)).collect();
        let latency = latency.join(",");
        let version = |name: &str, requests: u64| {
            format!(
                r#"{{"version":"{name}","routed":{requests},"requests":{requests},"failures":{},"latency":[{latency}]}}"#,
                requests / 1_000
            )
        };
        format!(
            r#"{{"node":"edge-{edge}","epoch":"{edge:016x}","sequence":{sequence},"revision":2,"versions":[{},{}]}}"#,
            version("v1", sequence * 9),
            version("v2", sequence),
        )
    }

    /// The entity tag of the policy in force.
    pub(super) fn policy_tag(&self) -> io::Result<String> {
        let body = crate::http::get(self.address, "/v1/policy")?;
        let policy: serde_json::Value = serde_json::from_slice(&body)?;
        Ok(format!("\"{}\"", policy["revision"]))
    }

    /// Puts another policy in force: each of these commands makes one.
    pub(super) fn change_policy(&self) -> io::Result<()> {
        const ROUND: [&str; 3] = ["promote", "abort", "retry"];
        let place = self.changes.fetch_add(1, Relaxed) as usize % ROUND.len();
        self.command(ROUND[place])
    }

    fn command(&self, command: &str) -> io::Result<()> {
        let mut connection = BufReader::new(connect(self.address)?);
        let request = format!(
            "POST /v1/rollout/{command} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\ncontent-length: 2\r\n\r\n{{}}",
            self.token
        );
        connection.get_mut().write_all(request.as_bytes())?;
        match answer(&mut connection)? {
            (200, _) => Ok(()),
            (status, body) => {
                let body = String::from_utf8_lossy(&body).into_owned();
                Err(io::Error::other(format!("{command}: status {status}: {body}")))
            }
        }
    }

    pub(super) fn end(mut self) -> Result<(), TaskError> {
        self.child.kill().map_err(broke)?;
        self.child.wait().map_err(broke)?;
        fs::remove_dir_all(&self.data).map_err(broke)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail when it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
