//! v2 is broken for one partner alone: the partner goes back, and the rollout on.

use std::time::{Duration, Instant};

use crossfade_e2e::crowd::{Expect, USERS, key};
use crossfade_e2e::wait_for;
use crossfade_e2e::world::World;
use crossfade_edge_tests::client::{self, Connection};
use crossfade_edge_tests::upstream::Broken;
use serde_json::{Value, json};

use super::{PINNED, Store, plan};

/// Who notices that v2 fails the partner.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    /// Somebody who looks at who fails.
    Operator,
    /// The control plane, after some minutes: a client is judged by the minute.
    Itself,
}

#[test]
fn a_broken_partner_is_pinned_back_on_its_own_store() {
    pinned_back("partner", &Store::Embedded, By::Operator);
}

#[test]
fn a_broken_partner_is_pinned_back_on_three_servers() {
    pinned_back("partner_fleet", &Store::fleet(), By::Operator);
}

#[test]
#[ignore = "takes eight minutes: `cargo xtask test-e2e --long` runs it"]
fn a_broken_partner_is_found_and_pinned_back_without_anybody() {
    pinned_back("partner_found", &Store::Embedded, By::Itself);
}

fn pinned_back(name: &str, store: &Store, by: By) {
    let first = if by == By::Operator { 0.4 } else { 5.5 };
    let steps = [(5, first), (25, 0.1), (50, 0.1), (100, 0.05)].map(
        |(percentage, minutes)| json!({ "percentage": percentage, "duration_minutes": minutes }),
    );
    // Both versions fail now and then. One partner more among thousands is tolerated.
    let gate = json!({ "failures": { "margin": 3, "not_worse": { "ratio": 5, "points": 2 } } });
    let mode = if by == By::Operator { "off" } else { "auto" };
    let more = json!({
        "rollout": { "steps": steps }, "gate": gate,
        "clients": { "pin_back": { "mode": mode, "min_requests": 10, "fdr": 0.9 } },
    });
    let world = World::start(name, store.url(), &plan(&more));
    let now_and_then = Broken::OneIn(200);
    world.upstream.lay("v1", std::slice::from_ref(&now_and_then));
    // Somebody who is among the first to be moved.
    let partner = (PINNED..USERS).find(|user| asked_directly(&world, *user) == "v2").unwrap();
    let id = key(partner);
    let partner_alone = Broken::Whoever("x-user-id".to_owned(), id.clone());
    world.upstream.lay("v2", &[now_and_then, partner_alone]);
    world.crowd.spare(partner);
    world.call(Expect::Ramp);

    match by {
        By::Operator => {
            wait_for("the partner's failures to be told", || {
                world.crowd.assert_right();
                failures(&world, &id).filter(|failures| *failures >= 2)
            });
            world.say(&["clients", "repin", &id, "--to", "old", "--reason", "v2 fails it"]);
        }
        By::Itself => {
            let since = Instant::now();
            while !is_pinned_back(&world, &id) {
                world.crowd.assert_right();
                assert!(since.elapsed() < Duration::from_secs(400), "it is not found");
                std::thread::sleep(Duration::from_secs(1));
            }
            println!("found after {:?}", since.elapsed());
        }
    }
    assert_eq!(world.status()["rollout"]["step"], 1, "the rollout is on its way");
    world.in_force();
    assert_eq!(asked_directly(&world, partner), "v1", "the partner is back on v1");

    world.reaches(9, "completed");
    world.in_force();
    world.assert_counts_agree();
    assert_eq!(asked_directly(&world, partner), "v1", "it stays there");
    assert_eq!(asked_directly(&world, partner + 1), "v2", "and all others are on v2");
}

/// Failures of this client on v2 that the control plane knows of.
fn failures(world: &World, id: &str) -> Option<u64> {
    let said = world.try_say(&["clients", "show", id, "--output", "json"]).ok()?;
    let client: Value = serde_json::from_str(&said).ok()?;
    client["client"]["new"]["failures"].as_u64()
}

fn is_pinned_back(world: &World, id: &str) -> bool {
    let said = world.say(&["policy", "get", "--output", "json"]);
    let policy: Value = serde_json::from_str(&said).unwrap();
    let pinned = policy["document"]["clients"]["pinned_back"].as_array();
    pinned.is_some_and(|keys| keys.iter().any(|key| key == id))
}

/// The version that answers this user just now.
fn asked_directly(world: &World, user: usize) -> String {
    let mut connection = Connection::open(world.edge()).unwrap();
    let answer = connection.ask(&client::get([("x-user-id", key(user))])).unwrap();
    world.crowd.asked_elsewhere([answer.version()].into_iter());
    answer.version().to_owned()
}
