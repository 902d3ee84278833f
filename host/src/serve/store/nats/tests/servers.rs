//! Real servers for the tests: one alone, or the three of `examples/nats`, on loopback.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long anything may take before a test gives up on it.
pub(super) const DEADLINE: Duration = Duration::from_secs(60);

/// Servers that end with this value, and what they keep with it.
pub(super) struct Servers {
    folder: tempfile::TempDir,
    running: Vec<Option<Child>>,
    ports: Vec<u16>,
    monitors: Vec<u16>,
    /// Where servers of remote sites connect.
    leaf: Option<u16>,
}

impl Servers {
    pub(super) fn one() -> Servers {
        let folder = tempfile::tempdir().unwrap();
        let (port, monitor) = (free_port(), free_port());
        let data = folder.path().join("data");
        let text = format!(
            "listen: \"127.0.0.1:{port}\"\nhttp: \"127.0.0.1:{monitor}\"\n\
             jetstream {{ store_dir: {data:?}, sync_interval: always }}\n"
        );
        fs::write(folder.path().join("n1.conf"), text).unwrap();
        Servers::start_all(folder, vec![port], vec![monitor], None)
    }

    /// The cluster as it is shipped, with ports and folders of this test.
    pub(super) fn three() -> Servers {
        let folder = tempfile::tempdir().unwrap();
        let disks = folder.path().to_owned();
        Servers::three_on(folder, &disks)
    }

    /// The same, each with its data in `n1`, `n2`, `n3` of `disks`.
    pub(super) fn three_on(folder: tempfile::TempDir, disks: &Path) -> Servers {
        let four = || [free_port(), free_port(), free_port(), free_port()];
        let ports = [four(), four(), four()];
        let route = |n: usize| (format!("n{}:6222", n + 1), format!("127.0.0.1:{}", ports[n][2]));
        for (n, [client, monitor, cluster, leaf]) in ports.into_iter().enumerate() {
            let name = format!("n{}.conf", n + 1);
            let mut text = fs::read_to_string(shipped().join(&name)).unwrap();
            let data = disks.join(format!("n{}", n + 1)).display().to_string();
            let here = |port: u16| format!("127.0.0.1:{port}");
            for (from, to) in [
                ("0.0.0.0:4222".to_owned(), here(client)),
                ("127.0.0.1:8222".to_owned(), here(monitor)),
                ("0.0.0.0:6222".to_owned(), here(cluster)),
                ("0.0.0.0:7422".to_owned(), here(leaf)),
                ("/var/lib/nats".to_owned(), data),
                route(0),
                route(1),
                route(2),
            ] {
                assert!(text.contains(&from), "{name} no longer has {from}");
                text = text.replace(&from, &to);
            }
            fs::write(folder.path().join(name), text).unwrap();
        }
        fs::copy(shipped().join("accounts.conf"), folder.path().join("accounts.conf")).unwrap();
        let clients = ports.iter().map(|ports| ports[0]).collect();
        let monitors = ports.iter().map(|ports| ports[1]).collect();
        Servers::start_all(folder, clients, monitors, Some(ports[0][3]))
    }

    /// The server of a remote site of this cluster.
    pub(super) fn site(&self) -> Servers {
        let folder = tempfile::tempdir().unwrap();
        let (port, monitor) = (free_port(), free_port());
        let leaf = self.leaf.expect("three servers have sites");
        let text = fs::read_to_string(shipped().join("site.conf")).unwrap();
        let (listen, remote) = ("0.0.0.0:4222", "$CROSSFADE_SITE_REMOTE");
        assert!(text.contains(listen) && text.contains(remote), "site.conf is another");
        let text = text
            .replace(listen, &format!("127.0.0.1:{port}"))
            .replace(remote, &format!("\"nats-leaf://lab:secret-lab@127.0.0.1:{leaf}\""));
        let text = format!("{text}\nhttp: \"127.0.0.1:{monitor}\"\n");
        fs::write(folder.path().join("n1.conf"), text).unwrap();
        Servers::start_all(folder, vec![port], vec![monitor], None)
    }

    fn start_all(
        folder: tempfile::TempDir,
        ports: Vec<u16>,
        monitors: Vec<u16>,
        leaf: Option<u16>,
    ) -> Servers {
        let running = ports.iter().map(|_| None).collect();
        let mut servers = Servers { folder, running, ports, monitors, leaf };
        for n in 0..servers.ports.len() {
            servers.start(n);
        }
        servers.wait_until_healthy();
        servers
    }

    pub(super) fn start(&mut self, n: usize) {
        let log = fs::File::create(self.folder.path().join(format!("n{}.log", n + 1))).unwrap();
        let mut command = Command::new(program());
        command.arg("-c").arg(self.folder.path().join(format!("n{}.conf", n + 1)));
        for (user, password) in PASSWORDS {
            command.env(user, password);
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        self.running[n] = Some(child.unwrap());
    }

    /// As `kill -9` does.
    pub(super) fn kill(&mut self, n: usize) {
        if let Some(mut child) = self.running[n].take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// The processes that run.
    pub(super) fn pids(&self) -> Vec<u32> {
        self.running.iter().flatten().map(Child::id).collect()
    }

    pub(super) fn wait_until_healthy(&self) {
        let since = Instant::now();
        for (n, monitor) in self.monitors.iter().enumerate() {
            while self.running[n].is_some() && !healthy(*monitor) {
                assert!(since.elapsed() < DEADLINE, "n{}: {}", n + 1, self.log(n));
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }

    fn log(&self, n: usize) -> String {
        let path = self.folder.path().join(format!("n{}.log", n + 1));
        fs::read_to_string(path).unwrap_or_default()
    }

    /// For this user of `accounts.conf`; for nobody where there is one server.
    pub(super) fn url(&self, user: &str) -> String {
        let hosts: Vec<String> =
            self.ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        match self.ports.len() {
            1 => format!("nats://{}", hosts.join(",")),
            _ => format!("nats://{user}:secret-{user}@{}", hosts.join(",")),
        }
    }
}

/// A network between somebody and the first server, that can be cut: what is sent goes
/// nowhere, and nobody is told.
pub(super) struct Network {
    port: u16,
    cut: Arc<AtomicBool>,
}

impl Network {
    pub(super) fn to(servers: &Servers) -> Network {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, to) = (listener.local_addr().unwrap().port(), servers.ports[0]);
        let cut = Arc::new(AtomicBool::new(false));
        let is_cut = Arc::clone(&cut);
        std::thread::spawn(move || {
            for near in listener.incoming() {
                let (near, far) = (near.unwrap(), TcpStream::connect(("127.0.0.1", to)));
                // The server may be gone: then so is this connection.
                let Ok(far) = far else { continue };
                carry(near.try_clone().unwrap(), far.try_clone().unwrap(), Arc::clone(&is_cut));
                carry(far, near, Arc::clone(&is_cut));
            }
        });
        Network { port, cut }
    }

    pub(super) fn cut(&self, cut: bool) {
        self.cut.store(cut, Ordering::Relaxed);
    }

    pub(super) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }
}

/// Until either side ends. What arrives during a cut is lost.
fn carry(mut from: TcpStream, mut to: TcpStream, cut: Arc<AtomicBool>) {
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = from.read(&mut bytes) {
            // A stream with a hole in it is none: it stays silent for good.
            let lost = cut.load(Ordering::Relaxed);
            if lost || to.write_all(&bytes[..count]).is_err() {
                while lost && matches!(from.read(&mut bytes), Ok(1..)) {}
                break;
            }
        }
    });
}

fn shipped() -> PathBuf {
    // Crates at different depths share this file.
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let found = above.map(|folder| folder.join("examples/nats")).find(|folder| folder.is_dir());
    found.expect("the repository has examples/nats")
}

const PASSWORDS: [(&str, &str); 4] = [
    ("CROSSFADE_CONTROLLER_PASSWORD", "secret-controller"),
    ("CROSSFADE_EU_1_PASSWORD", "secret-eu-1"),
    ("CROSSFADE_EU_2_PASSWORD", "secret-eu-2"),
    ("CROSSFADE_LAB_PASSWORD", "secret-lab"),
];

impl Drop for Servers {
    fn drop(&mut self) {
        for n in 0..self.running.len() {
            self.kill(n);
        }
    }
}

fn program() -> PathBuf {
    let path = std::env::var_os("CROSSFADE_NATS_SERVER");
    path.expect("no nats-server is named: run these tests by `cargo xtask test fleet`").into()
}

/// A port that no call has given before, below those that the system lends to whoever
/// connects: a port of theirs can be taken between here and the server that is to have it.
fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id().wrapping_mul(97);
    (0..COUNT)
        .map(|_| first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT)
        .map(|n| u16::try_from(LOWEST + n).expect("a port"))
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("some port is free")
}

/// Where Linux begins to lend ports, unless it was told otherwise: 32,768.
const LOWEST: u32 = 20_000;
const COUNT: u32 = 12_000;

fn healthy(monitor: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", monitor)) else { return false };
    stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let mut answer = String::new();
    let asked = stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").is_ok();
    asked && stream.read_to_string(&mut answer).is_ok() && answer.contains(" 200 OK")
}
