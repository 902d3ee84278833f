//! A network that is cut for as long as people take to mend one.

use std::time::{Duration, Instant};

use serde_json::json;

use super::servers::Network;
use super::support::serve::totals;
use super::{Fleet, Servers, assert_acts_are_whole, leads, set_share, shares, try_share, until};

/// How long nobody reaches the servers.
const CUT: Duration = Duration::from_secs(60);

#[test]
fn a_minute_without_the_servers_loses_nothing_and_edges_go_on() {
    let fleet = Fleet::new(Servers::one());
    let (near, far) = (Network::to(&fleet.servers), Network::to(&fleet.servers));
    let first = fleet.serve_by("a", &near.url());
    until("a leader", || leads(&first).then_some(()));
    let second = fleet.serve_by("b", &far.url());
    let mut node = fleet.node_by("eu-1", &far.url());
    node.logged("of the fleet is in force");
    let old = set_share(&first, 20);
    assert_eq!(first.post("/v1/totals", &totals("edge", 1, 10, 1)).status, 200);
    let knows = |server: &super::Server, revision: u64| {
        (server.get("/v1/policy").body["revision"] == revision).then_some(())
    };
    until("the policy at the one that stands by", || knows(&second, old));

    // First the leader alone is cut off, then everybody.
    near.cut(true);
    until("another leader", || leads(&second).then_some(()));
    until("the end of the first one's lead", || (!leads(&first)).then_some(()));
    let new = set_share(&second, 100);
    node.logged(&format!("policy {new} of the fleet is in force"));
    far.cut(true);
    let since = Instant::now();
    until("the end of the second one's lead", || (!leads(&second)).then_some(()));
    let mut decided = 0;
    while since.elapsed() < CUT {
        decided += 1;
        node.send(&format!(
            "{{\"type\":\"get_users\",\"msg_id\":{decided},\"user_id\":\"user{decided}\"}}\n"
        ));
        let reply = node.reply().unwrap();
        assert!(reply.contains(r#""version":"v2""#), "{reply}");
        for (server, revision) in [(&first, old), (&second, new)] {
            knows(server, revision).unwrap();
            assert!(!leads(server));
            assert_eq!(try_share(&server.caller(), 99.0), None, "nobody may acknowledge anything");
        }
        let said = first.post("/v1/totals", &totals("edge", 2, 20, 2));
        assert_eq!(said.status, 503, "{said:?}");
        std::thread::sleep(Duration::from_secs(1));
    }

    near.cut(false);
    far.cut(false);
    let leader = until("a leader", || [&first, &second].into_iter().find(|one| leads(one)));
    let last = set_share(leader, 50);
    for server in [&first, &second] {
        until("the policy everywhere", || knows(server, last));
    }
    node.logged(&format!("policy {last} of the fleet is in force"));
    assert_eq!(shares(leader), [json!(50), json!(100), json!(20), json!(10)]);
    assert_acts_are_whole(leader);
    let counts = || {
        let migration = leader.get("/v1/status").body["migration"].clone();
        // Ten of each version are those of the edge, whose second report may have arrived.
        let edge = migration["outcomes"]["v1"]["requests"].as_u64()?;
        assert!(edge == 10 || edge == 20, "{migration}");
        (migration["routed"]["v2"] == edge + decided).then_some(())
    };
    until("what the node decided meanwhile", counts);
}
