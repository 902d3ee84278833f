//! From the first client to the sunset, with parts that are killed on the way.

use std::time::{SystemTime, UNIX_EPOCH};

use crossfade_e2e::crowd::{Expect, key};
use crossfade_e2e::wait_for;
use crossfade_e2e::world::World;
use crossfade_edge_tests::client::{self, Connection, Response};
use crossfade_protocol::plan::Instant;
use serde_json::{Value, json};

use super::{PINNED, Store, plan};

#[test]
fn a_migration_survives_kills_on_its_own_store() {
    whole("life", Store::Embedded);
}

#[test]
fn a_migration_survives_kills_and_a_lost_server_on_three() {
    whole("life_fleet", Store::fleet());
}

fn whole(name: &str, mut store: Store) {
    let mut world = World::start(name, store.url(), &plan(&json!({})));
    world.call(Expect::Ramp);

    // The control plane is killed in a step, and goes on in it. Nobody notices.
    let before = world.reaches(2, "")["rollout"]["step"].clone();
    world.kill_control();
    let asked = world.crowd.served();
    wait_for("users who do not notice", || {
        let now = world.crowd.served();
        (now[0] + now[1] > asked[0] + asked[1] + 1_000).then_some(())
    });
    world.start_control();
    let after = world.status()["rollout"]["step"].clone();
    assert!(after.as_u64() >= before.as_u64(), "it went from step {before} to {after}");

    // A server of the store is lost in a step.
    if let Store::Fleet(servers) = &mut store {
        servers.kill(0);
    }
    world.reaches(3, "");

    // Envoy is killed in a step. Another takes its place, and users their versions.
    world.kill_envoy();
    world.start_envoy();
    world.call(Expect::Ramp);

    world.reaches(5, "completed");
    world.in_force();
    world.assert_counts_agree();
    let everybody = served_by_v2(&world);
    assert_eq!(everybody, crossfade_e2e::crowd::USERS - PINNED, "all who may are on v2");
    if let Store::Fleet(servers) = &mut store {
        servers.start(0);
        servers.wait_until_healthy();
    }

    brownout(&world);
    sunset(&world);
    world.assert_counts_agree();
}

/// How many users v2 serves, each asked once.
fn served_by_v2(world: &World) -> usize {
    let requests: Vec<_> = (0..crossfade_e2e::crowd::USERS)
        .map(|user| client::get([("x-user-id", key(user))]))
        .collect();
    let answers = client::ask_all(world.edge(), &requests, 4).unwrap();
    world.crowd.asked_elsewhere(answers.iter().map(Response::version));
    answers.iter().filter(|answer| answer.version() == "v2").count()
}

fn ask(world: &World, user: usize) -> Response {
    let mut connection = Connection::open(world.edge()).unwrap();
    let answer = connection.ask(&client::get([("x-user-id", key(user))])).unwrap();
    world.crowd.asked_elsewhere([answer.version()].into_iter());
    answer
}

fn brownout(world: &World) {
    announce(world, 600);
    let exempt = key(0);
    world.say(&[
        "brownout",
        "start",
        "--minutes",
        "10",
        "--percent",
        "100",
        "--name",
        "first",
        "--exempt",
        &exempt,
        "--reason",
        "a test",
    ]);
    world.in_force();
    assert_eq!(ask(world, 0).version(), "v1", "who is exempt is served");
    assert_eq!(ask(world, PINNED).version(), "v2", "who is on v2 is served");
    let refused = ask(world, 1);
    assert_eq!(refused.status, 503, "{refused:?}");
    let retry: u64 = refused.header("retry-after").parse().unwrap();
    assert!((500..=600).contains(&retry), "{retry} s");
    for name in ["deprecation", "sunset", "link", "api-brownout"] {
        assert_ne!(refused.header(name), "", "{name}: {refused:?}");
    }
    assert_eq!(refused.header("content-type"), "application/problem+json");
    // Everybody calls: of the pinned all are refused but one.
    world.call(Expect::Ramp);
    wait_for("the pinned to be refused", || (world.crowd.refused() >= 20).then_some(()));
    world.assert_counts_agree();
    world.say(&["brownout", "stop", "first", "--reason", "a test"]);
    world.in_force();
    assert_eq!(ask(world, 1).version(), "v1", "it is over");
    assert_ne!(ask(world, 1).header("sunset"), "", "and the sunset is announced");
}

fn sunset(world: &World) {
    announce(world, -1);
    world.in_force();
    let v1 = world.served()[0];
    let gone = ask(world, 1);
    assert_eq!(gone.status, 410, "{gone:?}");
    assert!(gone.header("deprecation").starts_with('@'), "{gone:?}");
    assert!(gone.header("sunset").ends_with(" GMT"), "{gone:?}");
    assert!(gone.header("link").contains("successor-version"), "{gone:?}");
    let body: Value = serde_json::from_slice(&gone.body).unwrap();
    assert_eq!((&body["status"], &body["reason"]), (&json!(410), &json!("gone")));
    let before = world.crowd.refused();
    world.call(Expect::Ramp);
    wait_for("the pinned to be refused", || (world.crowd.refused() >= before + 20).then_some(()));
    world.crowd.pause();
    assert_eq!(world.served()[0], v1, "v1 serves nobody any more");
}

/// The sunset, so many seconds from now.
fn announce(world: &World, seconds: i64) {
    let policy: Value =
        serde_json::from_str(&world.say(&["policy", "get", "--output", "json"])).unwrap();
    let mut document = policy["document"].clone();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let at = i64::try_from(now).unwrap() + seconds * 1_000;
    document["deprecation"] = json!({
        "deprecated_at": "2026-01-01",
        "sunset_at": Instant::of_ms(at.unsigned_abs()).to_string(),
        "link": "https://example.com/migrate",
        "successor": "https://api.example.com/v2",
    });
    world.set_policy(&document);
}
