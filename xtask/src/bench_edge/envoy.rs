//! A real Envoy with the listeners that are compared, and what it has cost so far.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::command::TaskError;

/// A running Envoy with one worker thread; it ends with this value.
#[derive(Debug)]
pub(super) struct Envoy {
    child: Child,
    admin: SocketAddr,
    log: PathBuf,
}

impl Envoy {
    /// Starts one and waits until it serves. `folder` takes its configuration and log.
    pub(super) fn start(
        binary: &Path,
        folder: &Path,
        name: &str,
        config: &Value,
    ) -> Result<Envoy, TaskError> {
        let file = |ending: &str| folder.join(format!("{name}.{ending}"));
        let write =
            |path: &Path, source| TaskError::Write { path: path.display().to_string(), source };
        fs::create_dir_all(folder).map_err(|source| write(folder, source))?;
        let (config_file, log, admin) = (file("json"), file("log"), file("admin"));
        fs::write(&config_file, config.to_string())
            .map_err(|source| write(&config_file, source))?;
        let output = File::create(&log).map_err(|source| write(&log, source))?;
        // What an earlier run left there is no sign of life.
        let _ = fs::remove_file(&admin);
        let child = Command::new(binary)
            .args(["--concurrency", "1", "--disable-hot-restart", "-l", "warning", "-c"])
            .args([&config_file, Path::new("--admin-address-path"), &admin])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output)
            .spawn()
            .map_err(|source| TaskError::Start {
                program: binary.display().to_string(),
                hint: "cargo xtask edge-tools installs it",
                source,
            })?;
        let mut envoy = Envoy { child, admin: SocketAddr::from(([127, 0, 0, 1], 0)), log };
        envoy.wait(&admin)?;
        Ok(envoy)
    }

    fn wait(&mut self, admin: &Path) -> Result<(), TaskError> {
        let until = Instant::now() + Duration::from_secs(60);
        while Instant::now() < until {
            let address = fs::read_to_string(admin).ok().and_then(|text| text.parse().ok());
            if let Some(address) = address
                && crate::http::get(address, "/ready").is_ok()
            {
                self.admin = address;
                return Ok(());
            }
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(TaskError::NoEnvoy { log: self.log.display().to_string() })
    }

    /// What an admin page says.
    pub(super) fn admin(&self, path: &str) -> Result<String, TaskError> {
        let body = crate::http::get(self.admin, path)
            .map_err(|source| TaskError::Pipe { program: "envoy".to_owned(), source })?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    /// Where the listener of this name listens.
    pub(super) fn listener(&self, name: &str) -> Result<SocketAddr, TaskError> {
        let listeners = self.admin("/listeners?format=json")?;
        let listeners: Value = serde_json::from_str(&listeners).unwrap_or_default();
        let all = listeners["listener_statuses"].as_array().cloned().unwrap_or_default();
        let found = all.iter().find(|listener| listener["name"] == name);
        let address = found.map(|listener| &listener["local_address"]["socket_address"]);
        address
            .and_then(|a| format!("{}:{}", a["address"].as_str()?, a["port_value"]).parse().ok())
            .ok_or_else(|| TaskError::NoEnvoy { log: self.log.display().to_string() })
    }

    /// CPU time of all its threads so far, user and system, in seconds.
    pub(super) fn cpu_s(&self) -> Result<f64, TaskError> {
        let tasks = format!("/proc/{}/task", self.child.id());
        let read =
            |path: &Path, source| TaskError::Read { path: path.display().to_string(), source };
        let folder = Path::new(&tasks);
        let mut nanoseconds = 0;
        for task in fs::read_dir(folder).map_err(|source| read(folder, source))? {
            let path = task.map_err(|source| read(folder, source))?.path().join("schedstat");
            let text = fs::read_to_string(&path).map_err(|source| read(&path, source))?;
            nanoseconds += text.split(' ').next().and_then(|t| t.parse::<u64>().ok()).unwrap_or(0);
        }
        Ok(nanoseconds as f64 / 1e9)
    }

    /// Resident memory now, in kilobytes.
    pub(super) fn resident_kb(&self) -> Result<f64, TaskError> {
        let path = PathBuf::from(format!("/proc/{}/status", self.child.id()));
        let text = fs::read_to_string(&path)
            .map_err(|source| TaskError::Read { path: path.display().to_string(), source })?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        Ok(line.and_then(|l| l.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0.0))
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A configuration of these listeners and clusters.
pub(super) fn config(listeners: &[Value], clusters: &[Value]) -> Value {
    json!({
        "admin": { "address": socket(0) },
        "static_resources": { "listeners": listeners, "clusters": clusters },
        "stats_config": { "stats_tags": [
            { "tag_name": "version", "regex": "(;version=([^;]+))" },
            { "tag_name": "reason", "regex": "(;reason=([^;]+))" },
            { "tag_name": "class", "regex": "(;class=([^;]+))" },
        ] },
    })
}

/// A listener with these filters before the router, and these routes.
pub(super) fn listener(name: &str, filters: &[Value], routes: &Value) -> Value {
    let router = json!({ "name": "router", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" } });
    let filters: Vec<&Value> = filters.iter().chain([&router]).collect();
    json!({
        "name": name,
        "address": socket(0),
        "filter_chains": [{ "filters": [{ "name": "http", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": name,
            "http_filters": filters,
            "route_config": { "virtual_hosts": [{ "name": "users", "domains": ["*"], "routes": routes }] },
        } }] }],
    })
}

/// A cluster with one endpoint.
pub(super) fn cluster(name: &str, address: SocketAddr) -> Value {
    json!({
        "name": name, "type": "STATIC", "connect_timeout": "5s",
        "load_assignment": { "cluster_name": name, "endpoints": [{ "lb_endpoints": [
            { "endpoint": { "address": socket(address.port()) } }] }] },
    })
}

fn socket(port: u16) -> Value {
    json!({ "socket_address": { "address": "127.0.0.1", "port_value": port } })
}

/// A proxy-wasm filter.
pub(super) fn wasm(name: &str, module: &Path, configuration: &Value) -> Value {
    json!({ "name": name, "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
        "config": {
            "name": name, "root_id": name,
            "failure_policy": "FAIL_RELOAD",
            "vm_config": { "vm_id": name, "runtime": "envoy.wasm.runtime.v8",
                "code": { "local": { "filename": module } } },
            "configuration": { "@type": "type.googleapis.com/google.protobuf.StringValue",
                "value": configuration.to_string() },
        },
    } })
}
