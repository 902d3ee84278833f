//! One page, played: a folder, an address of the loopback, and the servers it started.

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

use crate::output;
use crate::page::{Block, Kind};
use crate::support::cache_dir;

/// Longer than any block takes on a busy machine; reached only by one that hangs.
const PATIENCE: Duration = Duration::from_secs(300);

/// What every block begins with. `cargo` is the program that cargo would run, and of a
/// chore only its name is looked at: a test cannot run what it is part of.
const PRELUDE: &str = r#"
set -euo pipefail
crossfade() {
  case " $* " in
    *" --listen "*|*" --help "*|*" --openapi "*) ;;
    " serve "*) set -- "$@" --listen "$LOOPBACK:7400" ;;
    # Always on one address; its server has a test of its own (`simulate.rs`).
    " ui "*) set -- ui --help ;;
  esac
  "$CROSSFADE_BIN" "$@"
}
cargo() {
  case "$*" in
    "run -- "*) shift 2; crossfade "$@" ;;
    "install --locked --path host"*) ;;
    "run --example "*)
      grep -q "^name = \"$3\"" "$REPOSITORY/host/Cargo.toml" || { echo "no such example: $3" >&2; exit 1; } ;;
    "build --package "*)
      cat "$REPOSITORY"/examples/*/Cargo.toml | grep -q "^name = \"$3\"" || { echo "no such package: $3" >&2; exit 1; } ;;
    "xtask "*)
      local task; task=$(printf '%s' "$2" | sed -E 's/(^|-)([a-z])/\U\2/g')
      grep -q "^    $task(" "$REPOSITORY/xtask/src/main.rs" || { echo "no such task: $2" >&2; exit 1; } ;;
    *) echo "cargo $* is not known to the test of the documentation" >&2; exit 1 ;;
  esac
}
"#;

/// A page that is being played.
pub(crate) struct Session {
    folder: TempDir,
    root: std::path::PathBuf,
    loopback: String,
    servers: Vec<Child>,
    printed: [String; 2],
}

impl Session {
    /// Begins in a folder with what a reader finds at the top of the repository. `number`
    /// tells pages apart that are played at the same time.
    pub(crate) fn begin(root: &Path, number: u8, edge: bool) -> Session {
        let [.., high, low] = std::process::id().to_be_bytes();
        let second = 2 + number % 250;
        let loopback = Ipv4Addr::new(127, second, high, low.clamp(1, 254)).to_string();
        let folder = tempfile::tempdir().unwrap();
        let session = Session {
            folder,
            root: root.to_owned(),
            loopback,
            servers: Vec::new(),
            printed: [const { String::new() }; 2],
        };
        session.copy("examples");
        session.copy("packaging");
        if edge {
            session.copy("edge");
            let tools = root.join(".tools");
            std::os::unix::fs::symlink(tools, session.folder.path().join(".tools")).unwrap();
        }
        session
    }

    /// Copies a folder, with our address in the place of the loopback's first.
    fn copy(&self, name: &str) {
        let (from, to) = (self.root.join(name), self.folder.path().join(name));
        fs::create_dir_all(&to).unwrap();
        let Ok(entries) = fs::read_dir(&from) else { return };
        for entry in entries {
            let entry = entry.unwrap();
            let file = entry.file_name().into_string().unwrap();
            let below = format!("{name}/{file}");
            if entry.file_type().unwrap().is_dir() {
                if !["node_modules", "target", "src"].contains(&&*file) {
                    self.copy(&below);
                }
                continue;
            }
            match fs::read_to_string(entry.path()) {
                Ok(text) if !file.ends_with(".log") => {
                    fs::write(to.join(&file), self.here(&text)).unwrap();
                    let rights = entry.metadata().unwrap().permissions();
                    fs::set_permissions(to.join(&file), rights).unwrap();
                }
                _ => std::os::unix::fs::symlink(entry.path(), to.join(&file)).unwrap(),
            }
        }
    }

    fn here(&self, text: &str) -> String {
        // Envoy has a socket with one name on the whole machine, for restarts.
        let text = text.replace("/envoy -c ", "/envoy --disable-hot-restart -c ");
        text.replace("127.0.0.1", &self.loopback)
    }

    /// Plays the next block.
    ///
    /// # Errors
    /// It did not do what the page says.
    pub(crate) fn play(&mut self, block: &Block) -> Result<(), String> {
        match block.kind {
            Kind::Commands { exit } => {
                let (status, printed) = self.run(&block.text)?;
                self.printed = printed;
                let code = status.code().unwrap_or(-1);
                if code == exit {
                    return Ok(());
                }
                let wanted =
                    if exit == 0 { String::new() } else { format!(", and is to end with {exit}") };
                let [stdout, stderr] = &self.printed;
                Err(format!("ended with {code}{wanted}:\n{stdout}{stderr}"))
            }
            Kind::Server { port } => self.serve(&block.text, port),
            Kind::Output => {
                let shown = self.here(&block.text);
                let [stdout, stderr] = &self.printed;
                let compared = output::compare(&shown, stdout);
                match compared.or_else(|line| output::compare(&shown, stderr).map_err(|_| line)) {
                    Ok(()) => Ok(()),
                    Err(line) => Err(format!(
                        "the commands printed something else where the page has\n{line}\n---\n\
                         {stdout}{stderr}---"
                    )),
                }
            }
            Kind::Plan => {
                fs::write(self.folder.path().join("shown.yaml"), &block.text).unwrap();
                let (status, [stdout, stderr]) = self.run("crossfade check shown.yaml")?;
                if status.success() { Ok(()) } else { Err(format!("{stdout}{stderr}")) }
            }
            Kind::File => match fs::read_to_string(self.root.join(&block.file)) {
                Ok(text) if text == block.text => Ok(()),
                Ok(_) => Err(format!("{} has become another", block.file)),
                Err(error) => Err(format!("{}: {error}", block.file)),
            },
            Kind::Shown => Ok(()),
        }
    }

    fn spawn(&self, commands: &str, name: &str) -> Child {
        let log = |end: &str| File::create(self.log(name, end)).unwrap();
        Command::new("bash")
            .arg("-c")
            .arg(format!("{PRELUDE}{}", self.here(commands)))
            .current_dir(self.folder.path())
            .env("CROSSFADE_BIN", env!("CARGO_BIN_EXE_crossfade"))
            .env("CROSSFADE_CACHE_DIR", cache_dir())
            .env("CROSSFADE_SERVER", format!("http://{}:7400", self.loopback))
            .env("LOOPBACK", &self.loopback)
            .env("REPOSITORY", &self.root)
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(log("out"))
            .stderr(log("err"))
            // Of their own, so that all of it can be ended.
            .process_group(0)
            .spawn()
            .expect("there is a bash")
    }

    fn log(&self, name: &str, end: &str) -> std::path::PathBuf {
        self.folder.path().join(format!(".{name}.{end}"))
    }

    fn said(&self, name: &str) -> [String; 2] {
        ["out", "err"].map(|end| {
            String::from_utf8_lossy(&fs::read(self.log(name, end)).unwrap()).into_owned()
        })
    }

    fn run(&self, commands: &str) -> Result<(ExitStatus, [String; 2]), String> {
        let mut child = self.spawn(commands, "block");
        let status = within(|| child.try_wait().unwrap());
        end(&mut child);
        let printed = self.said("block");
        match status {
            Some(status) => Ok((status, printed)),
            None => Err(format!("went on for {PATIENCE:?}:\n{}{}", printed[0], printed[1])),
        }
    }

    fn serve(&mut self, commands: &str, port: u16) -> Result<(), String> {
        let name = format!("server-{port}");
        let mut child = self.spawn(commands, &name);
        let address: Ipv4Addr = self.loopback.parse().unwrap();
        let up = within(|| match child.try_wait().unwrap() {
            Some(status) => Some(Err(status.code().unwrap_or(-1))),
            None => listens(address, port).then_some(Ok(())),
        });
        self.servers.push(child);
        let said = || self.said(&name).concat();
        match up {
            Some(Ok(())) => Ok(()),
            Some(Err(code)) => Err(format!("ended with {code}:\n{}", said())),
            None => Err(format!("does not listen on {port}:\n{}", said())),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        for server in &mut self.servers {
            end(server);
        }
    }
}

fn end(child: &mut Child) {
    if let Some(group) = Pid::from_raw(child.id() as i32) {
        // Fails when all of it has ended.
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = child.wait();
}

fn within<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if started.elapsed() > PATIENCE {
            return None;
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// Whether somebody listens there, asked without connecting.
fn listens(address: Ipv4Addr, port: u16) -> bool {
    // Addresses are in the machine's order there, ports in the network's.
    let local = format!("{:08X}:{port:04X}", u32::from_ne_bytes(address.octets()));
    let sockets = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    sockets.lines().any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        fields.next() == Some(&*local) && fields.nth(1) == Some("0A")
    })
}
