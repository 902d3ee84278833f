//! What happens to a control plane when the machine under it fails: a full disk, a clock
//! that is set, a power cut.
//!
//! The disk and the power cut need file systems of their own. They are mounted where only
//! the test sees them, which takes root, or for the full disk user namespaces.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use support::disk::{self, Disk, cut_off, may_mount};
use support::process::{Running, crossfade};
use support::serve::{Said, Server, totals, wait_for};

const PLAN: &str = "\
api: users
versions: { from: v1, to: v2 }
key: { header: x-user-id }
gate: { on_inconclusive: advance, on_missing_data: { after_minutes: 10, then: advance } }
rollout:
  steps:
    - { percentage: 10, duration_minutes: 10 }
    - { percentage: 20, duration_minutes: 10 }
    - { percentage: 50, duration_minutes: 600 }
";

fn plan(directory: &Path) -> PathBuf {
    let file = directory.join("plan.yaml");
    std::fs::write(&file, PLAN).unwrap();
    file
}

fn requests(server: &Server) -> Value {
    server.get("/v1/status").body["migration"]["outcomes"]["v1"]["requests"].clone()
}

fn report(server: &Server, sequence: u64) -> Said {
    // Many buckets of latency: a report with some weight.
    let mut line = totals("edge", sequence, sequence * 10, 0);
    let latency: Vec<Value> = (0..120).map(|bucket| json!([bucket, sequence])).collect();
    line["versions"][0]["latency"] = latency.into();
    server.post("/v1/totals", &line)
}

#[test]
fn on_a_full_disk_nothing_is_acknowledged_and_it_goes_on_when_there_is_room() {
    let directory = tempfile::tempdir().unwrap();
    let plan = plan(directory.path());
    let data = directory.path().join("disk");
    std::fs::create_dir(&data).unwrap();
    // A file system of two megabytes, in a name space of the process's own.
    let script = format!(
        "mount -t tmpfs -o size=2m tmpfs {data} && exec {crossfade} serve --listen 127.0.0.1:0 \
         --data {data} {plan}",
        data = data.display(),
        crossfade = env!("CARGO_BIN_EXE_crossfade"),
        plan = plan.display(),
    );
    let mut command = crossfade(&[]);
    let cache = support::cache_dir();
    command = {
        let mut shell = Command::new("unshare");
        shell.args(["--map-root-user", "--mount", "sh", "-c", &script]);
        shell.env("CROSSFADE_CACHE_DIR", cache).envs(command.get_envs().filter_map(pair));
        shell
    };
    let server = Server::listening(Running::start(command), Path::new("/nowhere"));
    let inside = PathBuf::from(format!("/proc/{}/root{}", server.pid(), data.display()));

    let mut sequence = 0;
    let refused = wait_for("the disk is full", || {
        sequence += 1;
        let said = report(&server, sequence);
        (said.status != 200).then_some(said)
    });
    assert_eq!(refused.status, 503, "{refused:?}");
    let detail = refused.body["detail"].as_str().unwrap();
    assert!(detail.contains("so it was not done") && detail.contains("full"), "{detail}");
    let acknowledged = sequence - 1;
    assert!(acknowledged > 20, "the disk held {acknowledged} reports");

    // A second later it looks whether there is room again, and a small commit may fit.
    let ready = wait_for("it is not ready", || {
        assert_eq!(report(&server, sequence).status, 503);
        Some(server.get("/readyz")).filter(|ready| ready.status == 503)
    });
    assert!(ready.body["detail"].as_str().unwrap().contains("full"), "{ready:?}");
    assert_eq!(server.get("/healthz").status, 200);
    assert_eq!(server.get("/v1/policy").status, 200, "edges still get the policy");

    // An operator makes room: the calls are in the store, a checkpoint would replace them.
    let remount = ["--target", &server.pid().to_string(), "--mount", "--user", "mount", "-o"];
    let disk = data.display().to_string();
    disk::run(Command::new("nsenter").args(remount).args(["remount,size=64m", &disk]));
    assert!(inside.join("crossfade.db").exists());
    wait_for("it works again", || (server.get("/readyz").status == 200).then_some(()));
    assert_eq!(requests(&server), acknowledged * 10, "what was acknowledged, and no more");
    assert_eq!(report(&server, sequence).status, 200);
    assert_eq!(requests(&server), sequence * 10);
    server.end();
}

fn pair<'a>(
    (name, value): (&'a std::ffi::OsStr, Option<&'a std::ffi::OsStr>),
) -> Option<(&'a std::ffi::OsStr, &'a std::ffi::OsStr)> {
    Some((name, value?))
}

/// The library that puts the wall clock off, compiled.
fn wallclock(directory: &Path) -> PathBuf {
    let library = directory.join("wallclock.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/wallclock.c");
    disk::run(
        Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&library, &source]).arg("-ldl"),
    );
    library
}

#[test]
fn a_clock_that_is_set_back_or_forward_moves_no_step() {
    let directory = tempfile::tempdir().unwrap();
    let plan = plan(directory.path()).display().to_string();
    let data = directory.path().join("data");
    let offset = directory.path().join("offset");
    let set = |seconds: i64| {
        let new = directory.path().join("new");
        std::fs::write(&new, seconds.to_string()).unwrap();
        std::fs::rename(new, &offset).unwrap();
    };
    set(0);
    let library = wallclock(directory.path());
    let start = || {
        let data_text = data.display().to_string();
        let mut command =
            crossfade(&["serve", "--listen", "127.0.0.1:0", "--data", &data_text, &plan]);
        command.env("LD_PRELOAD", &library).env("CROSSFADE_TEST_WALLCLOCK", &offset);
        Server::listening(Running::start(command), &data)
    };
    let step = |server: &Server| server.get("/v1/rollout").body["step"].as_u64().unwrap();
    let minutes =
        |server: &Server| server.get("/v1/rollout").body["step_minutes"].as_f64().unwrap();
    let now_ms = |server: &Server| server.get("/v1/status").body["now_ms"].as_u64().unwrap();
    let offset_ms =
        |server: &Server| server.get("/v1/status").body["clock_offset_ms"].as_i64().unwrap();

    const HOUR_S: i64 = 3_600;
    let server = start();
    let begun = now_ms(&server);
    // The log tells that time has acted under the clock that was set.
    for (seconds, what, told) in [
        (-HOUR_S, "an hour back", "ms ahead of the rollout's"),
        (0, "right", "agree again"),
        (24 * HOUR_S, "a day forward", "ms ahead of the rollout's"),
        (0, "right again", "agree again"),
    ] {
        set(seconds);
        server.logged(told);
        assert!(offset_ms(&server).abs_diff(seconds * 1_000) < 60_000, "{what}");
        let before = minutes(&server);
        wait_for("time goes on", || (minutes(&server) > before).then_some(()));
        assert_eq!(step(&server), 1, "{what}");
        assert!(minutes(&server) < 5.0, "{what}: {}", minutes(&server));
        assert!(now_ms(&server).abs_diff(begun) < 300_000, "{what}");
    }
    server.kill();

    // An hour back between two starts: no time has passed, and none is taken back but the
    // seconds in which nothing happened that had to be kept.
    set(-HOUR_S);
    let server = start();
    assert_eq!(step(&server), 1);
    assert!(now_ms(&server) + 60_000 >= begun && minutes(&server) < 5.0);
    server.kill();

    // A day forward between two starts is a day that passed: one step is over, not all.
    set(24 * HOUR_S);
    let server = start();
    wait_for("the day counts", || (step(&server) == 2).then_some(()));
    assert_eq!(server.get("/v1/policy").body["document"]["canary_percentage"], 20);
    assert!(minutes(&server) < 5.0, "the next step begins now");
    server.end();
}

#[test]
fn what_was_acknowledged_before_a_power_cut_is_there_after_it() {
    if !may_mount() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let plan = plan(directory.path());
    let mut disk = Disk::new(directory.path(), "disk", 64 << 20);
    let data = disk.path.join("data");
    let mut acknowledged = 0;
    for _ in 0..5 {
        let server = Server::start(&data, Some(&plan), &[]);
        if acknowledged > 0 {
            assert!(requests(&server).as_u64() >= Some(acknowledged * 10), "{acknowledged}");
        }
        for _ in 0..40 {
            acknowledged += 1;
            assert_eq!(report(&server, acknowledged).status, 200);
        }
        cut_off(&[&disk.path]);
        server.kill();
        disk.start_again();
    }
    let server = Server::start(&data, None, &[]);
    assert_eq!(requests(&server), acknowledged * 10);
    server.end();
}
