//! A fleet as it runs: real servers, several `crossfade serve`, and nodes.
//!
//! Compiled with the feature `test-nats`: `cargo xtask test-fleet`.
#![cfg(feature = "test-nats")]
#![allow(clippy::unwrap_used, reason = "tests may")]

#[path = "fleet/again.rs"]
mod again;
#[path = "fleet/cut.rs"]
mod cut;
#[cfg(target_os = "linux")]
#[path = "fleet/power.rs"]
mod power;
#[path = "../src/serve/store/nats/tests/servers.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod servers;
#[path = "fleet/standby.rs"]
mod standby;
mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use servers::Servers;
use support::process::{Running, crossfade};
use support::serve::{Caller, PATIENCE, PLAN, Server};

/// Tries again until it gives something.
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let since = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(since.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

struct Fleet {
    servers: Servers,
    folder: tempfile::TempDir,
}

impl Fleet {
    fn new(servers: Servers) -> Fleet {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("plan.yaml"), PLAN).unwrap();
        Fleet { servers, folder }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// A `crossfade serve` of this name, with the same tokens as the others.
    fn serve(&self, name: &str) -> Server {
        self.serve_by(name, &self.servers.url("controller"))
    }

    /// One that reaches the servers by this address.
    fn serve_by(&self, name: &str, url: &str) -> Server {
        let data = self.path(name);
        std::fs::create_dir_all(&data).unwrap();
        let tokens = self.path("tokens");
        std::fs::write(&tokens, "ops operate,report,admin secret-of-the-operators\n").unwrap();
        std::fs::write(data.join("operator.token"), "secret-of-the-operators").unwrap();
        let more = ["--store", url, "--tokens", path(&tokens)];
        Server::start(&data, Some(&self.path("plan.yaml")), &more)
    }

    fn node(&self, name: &str) -> Running {
        self.node_by(name, &self.servers.url(name))
    }

    fn node_by(&self, name: &str, url: &str) -> Running {
        let arguments = ["node", "--join", url, "--api", "users", "--node-id", name];
        Running::start(crossfade(&arguments))
    }
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn leads(server: &Server) -> bool {
    let answer = ureq::get(format!("{}/readyz", server.url)).call();
    answer.is_ok_and(|mut answer| answer.body_mut().read_to_string().unwrap() == "leading\n")
}

/// Puts another share into force; the revision then.
fn set_share(server: &Server, percentage: u64) -> u64 {
    let caller = server.caller();
    let there = server.get("/v1/policy");
    let mut document = there.body["document"].clone();
    document["canary_percentage"] = percentage.into();
    let body = json!({ "document": document, "reason": "a test" });
    let said = caller.put("/v1/policy", &there.etag.unwrap(), &body).unwrap();
    assert_eq!(said.status, 200, "{said:?}");
    said.body["revision"].as_u64().unwrap()
}

/// Acts have ids without a gap, and none twice.
fn assert_acts_are_whole(server: &Server) {
    let acts = server.get("/v1/audit?limit=10000").body;
    let acts = acts["audit"].as_array().unwrap();
    let ids: Vec<u64> = acts.iter().map(|act| act["id"].as_u64().unwrap()).collect();
    assert_eq!(ids, (1..=acts.len() as u64).collect::<Vec<_>>(), "no act is lost or told twice");
}

fn shares(server: &Server) -> Vec<Value> {
    let said = server.get("/v1/policies");
    let rows = said.body["policies"].as_array().unwrap();
    rows.iter().map(|row| row["document"]["canary_percentage"].clone()).collect()
}

#[test]
fn another_serve_takes_over_when_the_leader_is_killed() {
    let fleet = Fleet::new(Servers::one());
    let first = fleet.serve("a");
    until("a leader", || leads(&first).then_some(()));
    let second = fleet.serve("b");
    let revision = set_share(&first, 20);
    let known = || (second.get("/v1/policy").body["revision"] == revision).then_some(());
    until("the policy at the one that stands by", known);
    first.kill();
    until("another leader", || leads(&second).then_some(()));
    assert_eq!(second.get("/v1/policy").body["revision"], revision);
    let next = set_share(&second, 30);
    assert!(next > revision, "{next} after {revision}");
    assert_eq!(shares(&second)[..2], [json!(30), json!(20)]);
    assert_acts_are_whole(&second);
}

#[test]
fn a_leader_that_was_stopped_past_its_lease_writes_nothing_when_it_wakes() {
    let fleet = Fleet::new(Servers::one());
    let sleepy = fleet.serve("a");
    until("a leader", || leads(&sleepy).then_some(()));
    let second = fleet.serve("b");
    let before = sleepy.get("/v1/policy");
    sleepy.signal(Signal::STOP);
    until("another leader", || leads(&second).then_some(()));
    set_share(&second, 20);

    let asks = sleepy.caller();
    let mut wrong = before.body["document"].clone();
    wrong["canary_percentage"] = json!(99);
    let body = json!({ "document": wrong, "reason": "it believes that it leads" });
    let etag = before.etag.unwrap();
    let asked = std::thread::spawn(move || asks.put("/v1/policy", &etag, &body));
    sleepy.signal(Signal::CONT);
    let said = asked.join().unwrap();
    // It says where to go, or followed that and heard the other one refuse.
    assert!(said.as_ref().is_none_or(|said| said.status != 200), "it acted: {said:?}");
    set_share(&second, 30);
    let revision = second.get("/v1/policy").body["revision"].clone();
    let caught_up = || (sleepy.get("/v1/policy").body["revision"] == revision).then_some(());
    until("the policy at the one that slept", caught_up);
    assert!(leads(&second) && !leads(&sleepy));
    assert_eq!(shares(&second)[..3], [json!(30), json!(20), json!(10)]);
}

#[test]
fn nodes_hear_the_policy_and_are_counted() {
    let fleet = Fleet::new(Servers::three());
    let server = fleet.serve("a");
    until("a leader", || leads(&server).then_some(()));
    let mut node = fleet.node("eu-1");
    node.logged("of the fleet is in force");
    let revision = set_share(&server, 100);
    node.logged(&format!("policy {revision} of the fleet is in force"));
    node.send("{\"type\":\"get_users\",\"msg_id\":1,\"user_id\":\"user123\"}\n");
    let reply = node.reply().unwrap();
    assert!(reply.contains(r#""version":"v2""#), "{reply}");
    let routed = || {
        let stats = server.get("/v1/status").body["migration"].clone();
        (stats["routed"]["v2"] == 1).then_some(())
    };
    until("the node's counts", routed);
    let nodes = server.get("/v1/nodes").body;
    assert_eq!(nodes["nodes"][0]["node"], "eu-1", "{nodes}");
    assert_eq!(nodes["nodes"][0]["revision"], revision, "{nodes}");
}

#[test]
fn nodes_tell_who_their_clients_are_also_of_a_time_without_a_leader() {
    let fleet = Fleet::new(Servers::one());
    let server = fleet.serve("a");
    until("a leader", || leads(&server).then_some(()));
    let url = fleet.servers.url("eu-1");
    let arguments = ["--clock", "wall", "--api", "users", "--node-id", "eu-1"];
    let arguments = [["node", "--join", &url].as_slice(), &arguments].concat();
    let mut node = Running::start(crossfade(&arguments));
    node.logged("of the fleet is in force");
    let mut ask = |user: &str| {
        node.send(&format!("{{\"type\":\"get_users\",\"msg_id\":1,\"user_id\":\"{user}\"}}\n"));
        assert!(node.reply().unwrap().contains("users_response"));
    };
    let told = |server: &Server, expected: [(&str, u64); 3]| {
        until("the clients", || {
            let said = server.get("/v1/clients?limit=10&sort=client").body;
            let rows = said["clients"].as_array()?;
            let requests = |name: &str| {
                let row = rows.iter().find(|row| row["client"] == name);
                row.map_or(0, |row| row["requests"].as_u64().unwrap())
            };
            let got = expected.map(|(name, _)| (name, requests(name)));
            assert!(got.iter().zip(expected).all(|(got, is)| got.1 <= is.1), "twice: {said}");
            (got == expected).then_some(())
        });
    };
    for user in ["ann", "bob", "ann"] {
        ask(user);
    }
    told(&server, [("ann", 2), ("bob", 1), ("eve", 0)]);

    // Nobody leads; what happens meanwhile is told to who leads next.
    server.kill();
    for user in ["eve", "ann"] {
        ask(user);
    }
    let server = fleet.serve("a");
    until("a leader again", || leads(&server).then_some(()));
    for user in ["eve", "bob"] {
        ask(user);
    }
    told(&server, [("ann", 3), ("bob", 2), ("eve", 2)]);
    // Asking for reports is no line of the input: this is the ninth.
    node.send("{\"type\":\"get_config\"}\n");
    node.reply().unwrap();
    node.send("no JSON\n");
    let reply = node.reply().unwrap();
    assert!(reply.contains("line 10: not JSON"), "{reply}");

    // Where names are hashed none is told; and none may be known before.
    let there = server.get("/v1/policy");
    let mut document = there.body["document"].clone();
    document["privacy"] = "hashed".into();
    let body = json!({ "document": document, "reason": "a test" });
    let etag = there.etag.unwrap();
    assert_eq!(server.caller().put("/v1/policy", &etag, &body).unwrap().status, 409);
    for who in ["ann", "bob", "eve"] {
        let said = server.caller().delete(&format!("/v1/clients/{who}?reason=asked")).unwrap();
        assert_eq!(said.status, 200, "{said:?}");
    }
    let said = server.caller().put("/v1/policy", &etag, &body).unwrap();
    node.logged(&format!("policy {} of the fleet is in force", said.body["revision"]));
    node.send("{\"type\":\"get_users\",\"msg_id\":1,\"user_id\":\"zoe\"}\n");
    node.reply().unwrap();
    let routed = || {
        let routed = server.get("/v1/status").body["migration"]["routed"].clone();
        (routed["v1"].as_u64()? + routed["v2"].as_u64()? == 8).then_some(())
    };
    until("the node's counts", routed);
    let said = server.get("/v1/clients?limit=100").body;
    assert!(!said.to_string().contains("zoe"), "{said}");
}

/// A share nobody put before, into force by whoever leads; `None` when that failed, or may
/// not have happened. The revision otherwise.
fn try_share(caller: &Caller, percentage: f64) -> Option<u64> {
    let there = caller.get("/v1/policy").filter(|there| there.status == 200)?;
    let mut document = there.body["document"].clone();
    document["canary_percentage"] = percentage.into();
    let body = json!({ "document": document, "reason": "a test" });
    let said = caller.put("/v1/policy", &there.etag?, &body)?;
    (said.status == 200).then(|| said.body["revision"].as_u64().unwrap())
}

#[test]
fn every_policy_that_was_acknowledged_outlives_the_death_of_serves_and_servers() {
    let mut fleet = Fleet::new(Servers::three());
    let mut serves: Vec<Option<Server>> =
        ["a", "b", "c"].iter().map(|name| Some(fleet.serve(name))).collect();
    let mut kept: Vec<(u64, f64)> = Vec::new();
    let mut hundredths = 0;
    for round in 0..6 {
        let enough = kept.len() + 5;
        let leader = until("so many policies", || {
            let leader = serves.iter().position(|serve| serve.as_ref().is_some_and(leads))?;
            hundredths += 1;
            let share = f64::from(hundredths) / 100.0;
            let revision = try_share(&serves[leader].as_ref()?.caller(), share)?;
            kept.push((revision, share));
            (kept.len() >= enough).then_some(leader)
        });
        if round == 3 {
            fleet.servers.kill(0);
        } else {
            serves[leader].take().unwrap().kill();
            serves[leader] = Some(fleet.serve(["a", "b", "c"][leader]));
        }
    }
    fleet.servers.start(0);
    let leader = until("a leader", || serves.iter().flatten().find(|serve| leads(serve)));
    let said = leader.get("/v1/policies?limit=1000");
    let rows = said.body["policies"].as_array().unwrap();
    let revisions: Vec<u64> =
        rows.iter().rev().map(|row| row["revision"].as_u64().unwrap()).collect();
    assert!(revisions.is_sorted_by(|one, next| one < next), "{revisions:?}");
    for (revision, share) in kept {
        let row = rows.iter().find(|row| row["revision"] == revision).unwrap();
        assert_eq!(row["document"]["canary_percentage"].as_f64(), Some(share), "{row}");
    }
    assert_acts_are_whole(leader);
}
