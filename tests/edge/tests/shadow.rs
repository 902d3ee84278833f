//! The shadow, from a real `crossfade serve` by way of a real Envoy to the newest version
//! and back: clients are answered by the old one alone, comparisons and clients are
//! reported, and once the shadow is left nothing is mirrored any more.

#![expect(clippy::unwrap_used, reason = "a test falls over")]

use std::collections::BTreeSet;
use std::fs;

use crossfade_core::bucket::{Seed, bucket_of_key};
use crossfade_edge_tests::client::{self, Connection};
use crossfade_edge_tests::config::{self, Module};
use crossfade_edge_tests::control::Control;
use crossfade_edge_tests::envoy::Envoy;
use crossfade_edge_tests::serve::Serve;
use crossfade_edge_tests::upstream::Upstream;
use crossfade_edge_tests::{folder, http2, wait_for};
use serde_json::{Value, json};

const VERSIONS: [&str; 2] = ["v1", "v2"];

/// Requests that one worker has under way at once.
const FLIGHTS_MAX: u64 = 16;

/// The filter's configuration, for a control server in the cluster `crossfade_control`.
fn plugin() -> Value {
    json!({
        "control": {
            "cluster": "crossfade_control", "poll_ms": 200, "timeout_ms": 1_000, "report_ms": 200,
        },
        "shadow": { "clusters": { "v2": "v2" }, "timeout_ms": 500 },
    })
}

/// A request of a key with this method; `more` are header lines.
fn request(method: &str, key: &str, more: &str) -> Vec<u8> {
    format!(
        "{method} /users HTTP/1.1\r\nhost: api\r\nx-user-id: {key}\r\nuser-agent: test/1\r\n{more}\r\n"
    )
    .into_bytes()
}

/// What `crossfade life` knows of the shadow.
fn seen(serve: &Serve) -> [u64; 4] {
    let life = serve.json(&["life"]);
    ["compared", "differed", "failures", "dropped"]
        .map(|what| life["shadow"][what].as_u64().unwrap())
}

#[test]
fn comparisons_and_clients_reach_the_control_plane_and_the_shadow_can_be_left() {
    let folder = folder("shadow_serve");
    let plan = json!({
        "api": "users", "versions": VERSIONS, "key": { "header": "x-user-id" }, "clients": {},
        "rollout": { "steps": [{ "percentage": 10, "duration_minutes": 600 }] },
        "shadow": { "percentage": 50, "min_requests": 90, "max_mismatch": 0.1 },
    });
    fs::write(folder.join("plan.json"), plan.to_string()).unwrap();
    let serve = Serve::start(&folder, "127.0.0.1:0");
    let upstream = Upstream::start(&VERSIONS);
    let mut clusters = config::clusters(&upstream);
    clusters.push(config::cluster("crossfade_control", serve.address()));
    let listener = config::filtered("edge", Module::Shipped, &VERSIONS, &plugin());
    let envoy = Envoy::start("shadow", 2, &config::bootstrap(vec![listener], clusters));
    let watched = envoy.watched();
    let in_force = |revision: u64| {
        let said = format!("policy revision {revision} is in force");
        wait_for("both workers and the main thread to take it", || {
            (envoy.log().matches(&said).count() >= 3).then_some(())
        });
    };
    let keys: Vec<_> = (0..200).map(|user| format!("user-{user}")).collect();
    let seed = Seed::of_shadow("");
    let chosen = |key: &&String| bucket_of_key(key.as_bytes(), seed) < 5000;
    let chosen: BTreeSet<_> =
        keys.iter().filter(chosen).map(|key| format!("GET /users {key}")).collect();

    // The plan's rollout waits for the shadow.
    assert_eq!(serve.status()["rollout"]["phase"], "idle");
    assert_eq!(serve.json(&["life"])["phase"], "shadow");
    let refused = serve.run(&["start", "--reason", "too early"]).unwrap_err();
    assert!(refused.contains("answers compared so far: 0, asked for: 90"), "{refused}");
    in_force(serve.revision());

    // Everybody is answered by v1; of half of the clients v2 gets what changes nothing, and
    // once what fails there.
    let mut asked = Vec::new();
    for (place, key) in keys.iter().enumerate() {
        let more = if place % 40 == 0 { "x-answer-status-v2: 503\r\n" } else { "" };
        asked.push(request("GET", key, more));
        asked.push(request("POST", key, "content-length: 0\r\n"));
    }
    let differ = keys.iter().enumerate().filter(|(place, _)| place % 40 == 0);
    let differ = differ.filter(|(_, key)| chosen.contains(&format!("GET /users {key}"))).count();
    assert!(differ > 0, "some of those that fail are mirrored");
    let mut compared = 0;
    // A few at a time, so that there is room for each.
    for asked in asked.chunks(100) {
        let answers = client::ask_all(envoy.address("edge"), asked, 2).unwrap();
        for answer in answers {
            assert_eq!((answer.status, answer.version()), (200, "v1"), "{answer:?}");
        }
        compared += asked.len();
        let expected = chosen.iter().filter(|line| {
            let key = line.rsplit(' ').next().unwrap();
            keys[..compared / 2].iter().any(|known| known == key)
        });
        let expected = expected.count() as u64;
        wait_for("each comparison", || {
            let seen = seen(&serve);
            assert!(seen[0] <= expected, "{seen:?} of {expected}");
            (seen[0] == expected).then_some(())
        });
    }
    let mirrored: BTreeSet<_> = upstream.mirrored("v2").into_iter().collect();
    assert_eq!(mirrored, chosen, "what is mirrored: no POST, and the clients of the share");
    assert_eq!(upstream.served("v2"), chosen.len() as u64, "each once, and nothing else");
    assert_eq!(upstream.mirrored("v1"), Vec::<String>::new());
    let differ = differ as u64;
    assert_eq!(seen(&serve), [chosen.len() as u64, differ, differ, 0]);
    let said = serve.say(&["life"]);
    let sentence = format!("{} of 90 compared, {differ} differed", chosen.len());
    assert!(said.contains(&sentence), "{said}");
    let said = serve.say(&["status"]);
    assert!(said.contains(&sentence), "{said}");

    // Beside comparisons, outcomes and clients went up, each once.
    wait_for("all outcomes", || (serve.counted(VERSIONS) == [400, 0]).then_some(()));
    wait_for("all clients", || {
        let clients = serve.json(&["clients", "--limit", "1000"]);
        let rows = clients["clients"].as_array().unwrap();
        let requests: u64 = rows.iter().map(|row| row["old"]["requests"].as_u64().unwrap()).sum();
        assert!(requests <= 400, "{requests}");
        (rows.len() == 200 && requests == 400).then_some(())
    });

    // What waits now is neither sent nor counted once the shadow is left.
    let before = serve.revision();
    serve.say(&["life", "advance", "canary", "--reason", "enough is alike"]);
    let revision = serve.revision();
    assert!(revision > before);
    in_force(revision);
    let served = upstream.served("v2");
    let asked: Vec<_> = keys.iter().map(|key| request("GET", key, "")).collect();
    client::ask_all(envoy.address("edge"), &asked, 2).unwrap();
    wait_for("all outcomes", || (serve.counted(VERSIONS) == [600, 0]).then_some(()));
    assert_eq!(upstream.served("v2"), served, "nothing is mirrored any more");
    assert_eq!(serve.json(&["life"])["phase"], "canary");
    serve.say(&["start", "--reason", "go on"]);
    in_force(serve.revision());
    let answers = client::ask_all(envoy.address("edge"), &asked, 2).unwrap();
    let new = answers.iter().filter(|answer| answer.version() == "v2").count();
    assert!((5..40).contains(&new), "{new} of 200 at 10 %");
    drop(watched);
}

#[test]
fn a_version_that_hangs_or_is_down_slows_nobody_and_what_is_too_much_is_counted() {
    let document = json!({
        "api": "users", "versions": VERSIONS, "key": { "header": "x-user-id" },
        "shadow": { "percentage": 100 },
    });
    let control = Control::start(1, &document);
    let upstream = Upstream::start(&VERSIONS);
    let mut clusters = config::clusters(&upstream);
    clusters.push(config::cluster("crossfade_control", control.address()));
    // Nobody listens there.
    clusters.push(config::cluster("down", "127.0.0.1:1".parse().unwrap()));
    let mut down = plugin();
    down["shadow"]["clusters"]["v2"] = json!("down");
    down["policy"] = document.clone();
    let mut hangs = plugin();
    hangs["policy"] = document.clone();
    hangs["shadow"]["timeout_ms"] = json!(60_000);
    let mut slow = plugin();
    slow["policy"] = document;
    slow["shadow"]["timeout_ms"] = json!(50);
    let listeners = [("hangs", hangs), ("slow", slow), ("down", down)]
        .map(|(name, plugin)| config::filtered(name, Module::Shipped, &VERSIONS, &plugin));
    let envoy = Envoy::start("shadow_hangs", 1, &config::bootstrap(listeners.into(), clusters));
    let watched = envoy.watched();
    let metric = |what: &str| envoy.metric(&format!("crossfade_shadow_{what}"), &[]);
    // What waits to be sent is let go of when a policy comes, and so is what is under way.
    wait_for("the worker and the main thread to take it, for each listener", || {
        (envoy.log().matches("policy revision 1 is in force").count() >= 6).then_some(())
    });

    let mut connection = Connection::open(envoy.address("down")).unwrap();
    for _ in 0..5 {
        assert_eq!(connection.ask(&request("GET", "a", "")).unwrap().version(), "v1");
    }
    wait_for("five that were not answered", || (metric("failures") == 5).then_some(()));
    // v2 alone holds these back.
    let hold = "x-answer-hold-v2: 1\r\n";
    let mut connection = Connection::open(envoy.address("slow")).unwrap();
    assert_eq!(connection.ask(&request("GET", "a", hold)).unwrap().version(), "v1");
    wait_for("one that came too late", || (metric("failures") == 6).then_some(()));
    assert_eq!((metric("compared"), metric("differed"), metric("dropped")), (6, 6, 0));

    // More than can wait come meanwhile, and each is answered.
    let asked: Vec<_> = (0..600).map(|_| request("GET", "a", hold)).collect();
    let answers = client::ask_all(envoy.address("hangs"), &asked, 1).unwrap();
    assert!(answers.iter().all(|answer| answer.status == 200 && answer.version() == "v1"));
    wait_for("those that wait to be at v2", || (upstream.held() >= FLIGHTS_MAX).then_some(()));
    wait_for("those that found no room", || (metric("dropped") >= 600 - 256 - 16).then_some(()));
    assert_eq!((metric("compared"), metric("failures")), (6, 6));
    upstream.release();
    let all = || metric("compared") + metric("dropped");
    wait_for("every one of them", || (all() == 606).then_some(()));
    assert_eq!(metric("failures"), 6);
    // What was counted at the edge is what was reported.
    wait_for("the totals", || {
        let reported = control.sum(&VERSIONS)[1].shadow;
        let counted = ["compared", "differed", "failures", "dropped"].map(metric);
        let told = [reported.compared, reported.differed, reported.failures, reported.dropped];
        (told == counted).then_some(())
    });
    assert_eq!(control.wrong(), Vec::<String>::new());
    drop(watched);
}

/// On loopback Envoy holds every client for an internal one, and leaves it its
/// `x-envoy-original-path`.
#[test]
fn what_a_client_says_makes_no_copy_another_and_nobody_a_copy() {
    let upstream = Upstream::start(&VERSIONS);
    let plugin = json!({
        "policy": {
            "api": "users", "versions": VERSIONS, "key": { "header": "x-user-id" },
            "pins": { "qa": "v2" }, "shadow": { "percentage": 100 },
        },
        "shadow": { "clusters": { "v2": "v2" } },
    });
    let mut listener = config::filtered("edge", Module::Shipped, &VERSIONS, &plugin);
    let manager = &mut listener["filter_chains"][0]["filters"][0]["typed_config"];
    // Without it, what is removed was removed by the filter.
    manager.as_object_mut().unwrap().remove("early_header_mutation_extensions").unwrap();
    let routes = manager["route_config"]["virtual_hosts"][0]["routes"].as_array_mut().unwrap();
    let rewritten = json!({ "cluster": "v1", "prefix_rewrite": "/internal" });
    routes.insert(0, json!({ "match": { "prefix": "/moved" }, "route": rewritten }));
    let bootstrap = config::bootstrap(vec![listener], config::clusters(&upstream));
    let envoy = Envoy::start("shadow_said", 1, &bootstrap);
    let watched = envoy.watched();
    let address = envoy.address("edge");

    // Both forms of a header that a client repeats.
    let forged = "x-crossfade-shadow: 1\r\nX-Crossfade-Shadow: 2\r\nx-api-version: v9\r\nX-Api-Version: v8\r\n";
    let mut connection = Connection::open(address).unwrap();
    for (key, version) in [("ann", "v1"), ("qa", "v2")] {
        let answer = connection.ask(&request("GET", key, forged)).unwrap();
        assert_eq!((answer.status, answer.version()), (200, version));
        assert_eq!(answer.received("x-crossfade-shadow"), [""; 0], "{key}");
        assert_eq!(answer.received("x-api-version"), [version], "{key}");
    }
    // Two of HTTP/2, of which the first has a body.
    let h2 = |path: &str, body: Option<&'static [u8]>| {
        let request = hyper::Request::get(format!("http://api{path}")).header("x-user-id", "h2");
        request.body(http2::Unannounced(body.map(Into::into))).unwrap()
    };
    let requests = vec![h2("/with", Some(b"body")), h2("/without", None)];
    for answer in http2::ask_all(address, requests).unwrap() {
        assert_eq!((answer.status, answer.version()), (200, "v1"));
    }
    // One whose path a client would like to be another, and one whose path a route rewrites.
    let other = "x-envoy-original-path: /admin\r\n";
    assert_eq!(connection.ask(&request("GET", "original", other)).unwrap().version(), "v1");
    let moved = b"GET /moved HTTP/1.1\r\nhost: api\r\nx-user-id: moved\r\n\r\n";
    assert_eq!(connection.ask(moved).unwrap().version(), "v1");

    wait_for("each copy", || (envoy.metric("crossfade_shadow_compared", &[]) >= 3).then_some(()));
    let mirrored: BTreeSet<_> = upstream.mirrored("v2").into_iter().collect();
    let expected = ["GET /moved moved", "GET /users original", "GET /without h2"];
    assert_eq!(mirrored, expected.map(str::to_owned).into());
    assert_eq!(upstream.mirrored("v1"), Vec::<String>::new());
    assert_eq!(envoy.metric("crossfade_shadow_dropped", &[]), 0);
    drop(watched);
}
