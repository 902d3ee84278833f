//! What is left of somebody who was forgotten: nothing, or what the answer says.

use std::time::SystemTime;

use serde_json::{Value, json};

use super::support::serve::PLAN;
use super::{World, files_with, names, stderr};

const NOTHING: [&str; 0] = [""; 0];

impl World {
    fn policy_set(&self, change: impl Fn(&mut Value)) -> super::support::serve::Said {
        let there = self.server.get("/v1/policy");
        let mut document = there.body["document"].clone();
        change(&mut document);
        let body = json!({ "document": document, "reason": "a test" });
        self.server.caller().put("/v1/policy", &there.etag.unwrap(), &body).unwrap()
    }

    #[track_caller]
    fn told(&self, report: &Value) {
        let bytes = report.to_string().into_bytes();
        let said = self.server.caller().post_bytes("/v1/client-reports", &bytes).unwrap();
        assert_eq!(said.status, 200, "{said:?}");
    }

    /// What is said when somebody is forgotten, on one line.
    #[track_caller]
    fn forget(&self, who: &str, more: &[&str]) -> String {
        let said = self.said(&[&["clients", "forget", who, "--reason", "asked to"], more].concat());
        said.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[track_caller]
    fn nowhere(&self, name: &str) {
        assert_eq!(files_with(&self.data(), name), NOTHING, "{name}");
        let events = self.server.get("/v1/events?limit=1000").body.to_string();
        assert!(!events.contains(name), "{events}");
    }
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

#[test]
fn no_policy_asks_for_hashes_while_clients_are_known_by_name() {
    const WHO: &str = "zoe-plain-4711";
    let world = World::new(PLAN);
    world.report(1, &names(&[WHO]));
    let hashed = |document: &mut Value| document["privacy"] = "hashed".into();
    let refused = world.policy_set(hashed);
    let why = refused.body["detail"].as_str().unwrap_or_default();
    assert!(refused.status == 409 && why.contains("in an empty data directory"), "{refused:?}");
    assert!(!why.contains(WHO), "{why}");
    assert!(world.said(&["clients", "show", WHO]).contains("billing/2.1"), "nothing was changed");
    world.forget(WHO, &[]);
    let taken = world.policy_set(hashed);
    assert_eq!(taken.status, 200, "{taken:?}");
    world.report(2, &names(&[WHO]));
    assert!(world.said(&["clients", "--output", "json"]).contains("\"h:"));
    world.nowhere(WHO);
    // Back, and to hashes again: nobody was named meanwhile.
    let plain = world.policy_set(|document| document["privacy"] = "plain".into());
    assert_eq!(plain.status, 200, "{plain:?}");
    assert!(world.said(&["clients", "show", WHO]).contains("billing/2.1"), "as a hash");
    assert_eq!(world.policy_set(hashed).status, 200);
    world.forget(WHO, &[]);
    assert_eq!(world.server.get("/v1/clients").body["total"], 0);
}

#[test]
fn under_hashed_privacy_what_was_written_by_name_goes_too_or_is_told_of() {
    const WHO: &str = "hashed-subject-4712";
    let plan = format!(
        "{PLAN}privacy: hashed\npins: {{ {WHO}: v1 }}\nclients: {{ blocked: [{WHO}, bob] }}\n"
    );
    let world = World::new(&plan);
    world.report(1, &names(&[WHO, "bob"]));
    let reason = format!("{WHO} called");
    world.said(&["clients", "ready", "bob", "--reason", &reason]);
    assert!(world.said(&["audit"]).contains(&reason));
    let said = world.forget(WHO, &[]);
    assert!(said.contains("where an operator wrote it (`pins`)"), "{said}");
    assert!(!world.said(&["audit"]).contains(WHO));
    let document = world.server.get("/v1/policy").body["document"].clone();
    assert_eq!(document["clients"]["blocked"], json!(["bob"]), "{document}");
    world.policy_set(|document| document["pins"] = json!({}));
    let said = world.forget(WHO, &[]);
    assert!(!said.contains("an operator wrote it ("), "{said}");
    world.nowhere(WHO);
    let hash = world.server.get("/v1/clients").body["clients"][0]["client"].clone();
    let said = world.forget(hash.as_str().unwrap(), &[]);
    assert!(said.contains("forget it by its name"), "{said}");
}

#[test]
fn of_two_clients_of_one_name_the_other_stays() {
    const WHO: &str = "ann-4713";
    let world = World::new(PLAN);
    let row = |identity: &str| {
        json!({ "key": WHO, "identity": identity, "on": 0,
                "counts": [[0, 3, 0, 1_760_000_000, 1_760_000_060]] })
    };
    world.told(&json!({ "node": "edge-1", "epoch": "e1", "sequence": 1, "revision": 1,
        "versions": ["v1", "v2"], "clients": [row("key"), row("jwt")] }));
    let key = ["--identity", "key"];
    world.said(&[&["clients", "repin", WHO, "--to", "old", "--reason", "x"], &key[..]].concat());
    let known = |identity: &str| {
        world.server.get(&format!("/v1/clients/{WHO}?identity={identity}")).body["client"].clone()
    };
    let said = world.forget(WHO, &["--identity", "jwt"]);
    assert!(said.contains("is forgotten") && said.contains("has the same name"), "{said}");
    assert_eq!(known("jwt"), Value::Null);
    assert_eq!(known("key")["state"], "pinned_back");
    let document = world.server.get("/v1/policy").body["document"].clone();
    assert_eq!(document["clients"]["pinned_back"], json!([WHO]));
    let again = world.forget(WHO, &["--identity", "jwt"]);
    assert!(again.contains("was not known"), "{again}");
    let said = world.forget(WHO, &["--identity", "key"]);
    assert!(said.contains("is forgotten") && !said.contains("has the same name"), "{said}");
    world.nowhere(WHO);
}

#[test]
fn nobodys_reason_and_no_hash_tells_of_who_was_forgotten() {
    const WHO: &str = "mixed-4714";
    let deprecated = "deprecation: { deprecated_at: 2025-01-01, sunset_at: 2099-01-01 }\n";
    let world = World::new(&format!("{PLAN}{deprecated}"));
    let now_s = now_s();
    let row = |key: &str| json!({ "key": key, "on": 0, "counts": [[0, 4, 0, now_s, now_s]] });
    world.told(&json!({ "node": "edge-1", "epoch": "e1", "sequence": 1, "revision": 1,
        "versions": ["v1", "v2"], "clients": [row(WHO), row("bob")] }));
    let called = format!("{WHO} called");
    world.said(&["clients", "blocked", "bob", "--reason", &format!("waits for {WHO}")]);
    let start = ["brownout", "start", "--minutes", "30", "--percent", "100", "--name", "zz"];
    world.said(&[&start[..], &["--reason", "first notice"]].concat());
    world.said(&["brownout", "stop", "zz", "--reason", &called]);
    world.said(&["clients", "blocked", WHO, "--reason", "contract"]);
    let hash = world.server.get(&format!("/v1/clients/{WHO}")).body["audit_name"].clone();
    let hash = hash.as_str().unwrap();
    assert!(hash.starts_with("h:") && world.said(&["audit"]).contains(hash));
    let because = || world.server.get("/v1/brownouts").body["brownouts"][0]["because"].clone();
    assert_eq!(because(), called);
    world.forget(WHO, &[]);
    world.nowhere(WHO);
    world.nowhere(hash);
    assert_eq!(because(), "(forgotten) called");
    assert_eq!(
        world.server.get("/v1/clients/bob").body["client"]["because"],
        "waits for (forgotten)"
    );
    let nobody = world.run(&["clients", "show", WHO]);
    assert!(stderr(&nobody).contains(&format!("no client `{WHO}`")), "{}", stderr(&nobody));
}
