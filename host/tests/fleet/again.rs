//! Commands that come again, when the one who did them is gone or nobody knows.

use serde_json::{Value, json};

use super::servers::Network;
use super::support::http::{Answer, ask};
use super::support::serve::ROLLOUT;
use super::{Fleet, Server, Servers, assert_acts_are_whole, leads, until};

fn promote(server: &Server, key: &str) -> Answer {
    let headers = [
        ("authorization", "Bearer secret-of-the-operators"),
        ("content-type", "application/json"),
        ("idempotency-key", key),
    ];
    let body = json!({ "reason": key }).to_string();
    ask(&server.url, "POST", "/v1/rollout/promote", &headers, &body)
}

fn step(server: &Server) -> Value {
    server.get("/v1/rollout").body["step"].clone()
}

/// How often somebody promoted, as the audit log has it.
fn promotions(server: &Server) -> usize {
    let acts = server.get("/v1/audit").body["audit"].clone();
    acts.as_array().unwrap().iter().filter(|act| act["what"] == "promote").count()
}

#[test]
fn a_command_that_is_repeated_to_the_next_leader_is_not_done_again() {
    let fleet = Fleet::new(Servers::three());
    std::fs::write(fleet.path("plan.yaml"), ROLLOUT).unwrap();
    let first = fleet.serve("a");
    until("a leader", || leads(&first).then_some(()));
    let second = fleet.serve("b");
    let done = promote(&first, "k-1");
    assert_eq!(done.status, 200, "{done:?}");
    first.kill();
    until("another leader", || leads(&second).then_some(()));
    let again = promote(&second, "k-1");
    assert_eq!((again.status, &again.body), (200, &done.body));
    assert_eq!(again.header("idempotent-replayed"), Some("true"), "{again:?}");
    assert_eq!((step(&second), promotions(&second)), (json!(2), 1));
    // It ends with a checkpoint, and the next one begins from that.
    second.end();
    let third = fleet.serve("c");
    until("a third leader", || leads(&third).then_some(()));
    assert_eq!(promote(&third, "k-1").body, done.body);
    assert_eq!(promote(&third, "k-2").status, 200);
    assert_eq!((step(&third), promotions(&third)), (json!(3), 2));
    assert_acts_are_whole(&third);
}

#[test]
fn a_command_of_which_nobody_knows_is_done_once_when_it_is_repeated() {
    let fleet = Fleet::new(Servers::one());
    std::fs::write(fleet.path("plan.yaml"), ROLLOUT).unwrap();
    let network = Network::to(&fleet.servers);
    let server = fleet.serve_by("a", &network.url());
    until("a leader", || leads(&server).then_some(()));
    network.cut(true);
    let said = promote(&server, "k");
    let unknown = said.body.contains("whether it was done is not known");
    // A machine that was slow has found out before that it does not lead.
    assert!(said.status == 504 && unknown || said.status == 503 && !unknown, "{said:?}");
    println!("the servers are gone: {said:?}");
    network.cut(false);
    until("a certain answer", || {
        let said = promote(&server, "k");
        assert!([200, 503, 504].contains(&said.status), "{said:?}");
        (said.status == 200).then_some(())
    });
    assert_eq!((step(&server), promotions(&server)), (json!(2), 1));
    assert_acts_are_whole(&server);
}
