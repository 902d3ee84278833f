//! One request at a time: where it goes, what is written to it, and how many host calls
//! that takes.

#![expect(clippy::unwrap_used, reason = "a test falls over")]

use crossfade_envoy::memory::{Instance, MemoryHost};

const CANARY: &str = r#"{"policy":{"api":"users","versions":{"from":"v1","to":"v2"},"key":{"header":"x-user-id"},"canary_percentage":10}}"#;

fn start(configuration: &str) -> Instance {
    Instance::start(MemoryHost::default(), configuration).unwrap()
}

/// A plan for `users` with these fields beside, in a configuration with these.
fn configuration(plan: &str, beside: &str) -> String {
    format!(r#"{{"policy":{{"api":"users","versions":{{"from":"v1","to":"v2"}},{plan}}}{beside}}}"#)
}

/// The host calls since the last time, each with how often.
fn host_calls(instance: &Instance) -> Vec<(&'static str, usize)> {
    let mut counts: Vec<(&'static str, usize)> = Vec::new();
    for name in instance.host.host_calls.take() {
        match counts.iter_mut().find(|(known, _)| *known == name) {
            Some((_, count)) => *count += 1,
            None => counts.push((name, 1)),
        }
    }
    counts
}

#[test]
fn a_request_takes_four_host_calls_and_its_response_two() {
    let instance = start(CANARY);
    host_calls(&instance);
    let mut exchange = instance.request(&[(":path", b"/"), ("x-user-id", b"user3")]);
    let request = [
        ("now", 1),
        ("request_header", 1),
        ("set_request_header", 1),
        ("remove_request_header", 1),
    ];
    assert_eq!(host_calls(&instance), request);
    assert_eq!(instance.version().as_deref(), Some("v2"));
    instance.response(&mut exchange, &[(":status", b"200")]);
    assert_eq!(host_calls(&instance), [("response_header", 1), ("now", 1)]);
    instance.end(&mut exchange);
    assert_eq!(host_calls(&instance), []);
}

#[test]
fn without_a_policy_both_headers_are_removed_and_nothing_else_is_done() {
    let instance = start(r#"{"control":{"cluster":"control"}}"#);
    host_calls(&instance);
    let forged: [(&str, &[u8]); 3] =
        [("x-user-id", b"user3"), ("x-api-version", b"v2"), ("x-crossfade-shadow", b"1")];
    let mut exchange = instance.request(&forged);
    assert_eq!(host_calls(&instance), [("remove_request_header", 2)]);
    assert_eq!(*instance.host.request.borrow(), [("x-user-id".to_owned(), b"user3".to_vec())]);
    instance.response(&mut exchange, &[(":status", b"200")]);
    instance.end(&mut exchange);
    assert_eq!(host_calls(&instance), []);
}

#[test]
fn of_two_keys_the_first_counts_and_a_comma_makes_no_two() {
    let plan = r#""key":{"header":"x-user-id"},"pins":{"a,b":"v2","c":"v2"}"#;
    let instance = start(&configuration(plan, ""));
    instance.request(&[("x-user-id", b"a,b")]);
    assert_eq!(instance.version().as_deref(), Some("v2"), "one value with a comma is a key");
    instance.request(&[("x-user-id", b"c"), ("x-user-id", b"a")]);
    assert_eq!(instance.version().as_deref(), Some("v2"), "the first of two");
    instance.request(&[("x-user-id", b"a"), ("x-user-id", b"c")]);
    assert_eq!(instance.version().as_deref(), Some("v1"), "not the second");
}

#[test]
fn attributes_are_looked_up_when_a_rule_asks_and_each_at_most_once() {
    let plan = r#""key":{"header":"x-user-id"},
        "attributes":{"plan":{"header":"x-plan"},"tier":{"cookie":"tier"},"lang":{"cookie":"lang"},"spare":{"header":"x-spare"}},
        "rules":[
            {"name":"a","when":{"attribute":"plan","equals":"beta"},"to":"v2"},
            {"name":"b","when":{"all":[{"attribute":"plan","equals":"alpha"},{"attribute":"tier","equals":"1"}]},"to":"v2"},
            {"name":"c","when":{"all":[{"attribute":"tier","equals":"gold"},{"attribute":"lang","equals":"en"}]},"to":"v2"}]"#;
    let instance = start(&configuration(plan, ""));
    let looked_up = |headers: &[(&str, &[u8])]| {
        host_calls(&instance);
        instance.request(headers);
        let calls = host_calls(&instance);
        let of = |name| calls.iter().find(|(known, _)| *known == name).map_or(0, |(_, n)| *n);
        (of("request_header_joined"), of("request_header"), instance.version().unwrap())
    };
    // The key and `plan`; the first rule matches, so no cookie was looked at.
    assert_eq!(looked_up(&[("x-plan", b"beta")]), (1, 1, "v2".to_owned()));
    // `plan` twice and two cookies, each part read once.
    let cookies = ("cookie", &b"lang=en; tier=gold"[..]);
    assert_eq!(looked_up(&[("x-plan", b"alpha"), cookies]), (1, 2, "v2".to_owned()));
    // A header that no source names is not an attribute.
    assert_eq!(looked_up(&[("plan", b"beta")]), (1, 2, "v1".to_owned()));
    // Not UTF-8, and there twice: absent.
    assert_eq!(looked_up(&[("x-plan", b"beta\xff")]).2, "v1");
    assert_eq!(looked_up(&[("x-plan", b"beta"), ("x-plan", b"beta")]).2, "v1");
}

#[test]
fn an_override_is_a_rule_and_counts_only_for_whom_it_names() {
    let plan = r#""key":{"header":"x-user-id"},
        "attributes":{"override":{"header":"x-api-override"},"user":{"header":"x-user-id"}},
        "rules":[{"name":"qa","when":{"all":[{"attribute":"override","equals":"v2"},{"attribute":"user","in":["qa-1"]}]},"to":"v2"}]"#;
    let instance = start(&configuration(plan, ""));
    let version = |user: &str, header: &str| {
        instance.request(&[("x-user-id", user.as_bytes()), (header, b"v2")]);
        instance.version().unwrap()
    };
    assert_eq!(version("qa-1", "x-api-override"), "v2");
    assert_eq!(version("qa-2", "x-api-override"), "v1");
    assert_eq!(version("qa-1", "x-api-version"), "v1", "the routing header is never believed");
}

#[test]
fn what_a_client_sends_in_the_version_header_is_replaced() {
    let instance = start(CANARY);
    instance.request(&[
        ("x-api-version", b"v2"),
        ("x-user-id", b"user123"),
        ("x-api-version", b"v2"),
    ]);
    let request = instance.host.request.borrow();
    let versions: Vec<_> = request.iter().filter(|(name, _)| name == "x-api-version").collect();
    assert_eq!(versions, [&("x-api-version".to_owned(), b"v1".to_vec())]);
}

/// What each kind of key source finds, told by a pin on `user-1`.
#[test]
fn keys_are_found_where_the_policy_says() {
    let pinned = |key: &str, headers: &[(&str, &[u8])], address: Option<&[u8]>| {
        let pins =
            r#""pins":{"user-1":"v2","192.0.2.1":"v2","2001:db8::1":"v2","/run/socket":"v2"}"#;
        let instance = start(&configuration(&format!(r#""key":{key},{pins}"#), ""));
        if let Some(address) = address {
            let properties = &instance.host.properties;
            properties.borrow_mut().insert("source.address".to_owned(), address.to_vec());
        }
        instance.request(headers);
        instance.version().unwrap() == "v2"
    };
    let header = r#"{"header":"X-User-Id"}"#;
    assert!(pinned(header, &[("x-user-id", b"user-1")], None));
    assert!(!pinned(header, &[("x-user-id", b"user-1 ")], None));
    assert!(!pinned(header, &[("x-user-id", b"")], None));
    assert!(!pinned(header, &[], None));

    let cookie = r#"{"cookie":"uid"}"#;
    assert!(pinned(cookie, &[("cookie", b"a=b; uid=user-1; c=d")], None));
    assert!(!pinned(cookie, &[("cookie", b"xuid=user-1")], None));
    assert!(!pinned(cookie, &[], None));

    let address = r#"{"address":true}"#;
    for text in ["192.0.2.1:80", "192.0.2.1", "[2001:db8::1]:80", "2001:db8::1", "/run/socket"] {
        assert!(pinned(address, &[], Some(text.as_bytes())), "{text}");
    }
    assert!(!pinned(address, &[], Some(b"192.0.2.2:80")));
    assert!(!pinned(address, &[], None));

    let attribute = r#"{"attribute":"user"},"attributes":{"user":{"header":"x-user"}}"#;
    assert!(pinned(attribute, &[("x-user", b"user-1")], None));
    assert!(!pinned(r#"{"attribute":"user"}"#, &[("user", b"user-1")], None));
}

#[test]
fn the_length_of_a_key_is_bounded_and_its_bytes_are_any() {
    // Everything that has a key goes to v2.
    let plan = r#""key":{"header":"x-user-id"},"canary_percentage":100"#;
    let instance = start(&configuration(plan, ""));
    let reason = |key: &[u8]| {
        instance.request(&[("x-user-id", key)]);
        instance.version().unwrap()
    };
    assert_eq!(reason(&[b'x'; 1024]), "v2");
    assert_eq!(reason(&[b'x'; 1025]), "v1");
    assert_eq!(reason(&vec![b'x'; 60_000]), "v1");
    assert_eq!(reason(b"\xff\xfe\x80"), "v2");
    assert_eq!(reason(b""), "v1");
}

#[test]
fn without_a_key_a_policy_may_draw() {
    let plan = r#""key":{"header":"x-user-id","on_missing_key":"random"},"canary_percentage":50"#;
    let instance = start(&configuration(plan, ""));
    let versions: Vec<_> = (0..200)
        .map(|_| {
            instance.request(&[]);
            instance.version().unwrap()
        })
        .collect();
    let new = versions.iter().filter(|version| *version == "v2").count();
    assert!((60..140).contains(&new), "{new} of 200");
}

#[test]
fn requests_without_a_path_and_tunnels_are_decided_like_any_other() {
    let instance = start(CANARY);
    let connect: [(&str, &[u8]); 3] =
        [(":method", b"CONNECT"), (":authority", b"a:443"), ("x-user-id", b"user3")];
    assert_eq!(instance.exchange(&connect, "200").as_deref(), Some("v2"));
    assert_eq!(instance.exchange(&[("x-user-id", b"user3")], "101").as_deref(), Some("v2"));
}

#[test]
fn responses_of_an_old_version_carry_its_dates_and_others_nothing() {
    let plan = r#""key":{"header":"x-user-id"},"canary_percentage":10,
        "deprecation":{"deprecated_at":"2027-01-31","sunset_at":"2027-07-31","link":"https://example.com/migrate"}"#;
    let instance = start(&configuration(plan, ""));
    let response = |user: &[u8]| {
        let mut exchange = instance.request(&[("x-user-id", user)]);
        host_calls(&instance);
        instance.response(&mut exchange, &[(":status", b"200"), ("link", b"</next>; rel=next")]);
        let calls = host_calls(&instance).iter().map(|(_, count)| count).sum::<usize>();
        let text = |(name, value): (String, Vec<u8>)| {
            format!("{name}: {}", String::from_utf8(value).unwrap())
        };
        (calls, instance.host.response.take().into_iter().map(text).collect::<Vec<_>>())
    };
    let (calls, headers) = response(b"user123");
    assert_eq!(calls, 5);
    assert_eq!(
        headers,
        [
            ":status: 200",
            "link: </next>; rel=next",
            "deprecation: @1801353600",
            "sunset: Sat, 31 Jul 2027 00:00:00 GMT",
            "link: <https://example.com/migrate>; rel=\"deprecation\"",
        ]
    );
    assert_eq!(response(b"user3").0, 2);
    assert_eq!(response(b"user3").1.len(), 2, "nothing was added");
}

#[test]
fn the_reason_is_told_where_a_header_for_it_is_configured() {
    let plan = r#""key":{"header":"x-user-id"},"canary_percentage":10,"pins":{"partner":"v1"}"#;
    let beside = r#","reason_header":"X-Crossfade-Reason","version_header":"X-Version""#;
    let instance = start(&configuration(plan, beside));
    let reason = |user: &[u8]| {
        let mut exchange = instance.request(&[("x-user-id", user)]);
        instance.response(&mut exchange, &[(":status", b"200"), ("x-crossfade-reason", b"mine")]);
        let headers = instance.host.response.take();
        let (_, value) = headers.iter().find(|(name, _)| name == "x-crossfade-reason").unwrap();
        (String::from_utf8(value.clone()).unwrap(), headers.len())
    };
    assert_eq!(reason(b"partner"), ("pin".to_owned(), 2));
    assert_eq!(reason(b"user3"), ("canary".to_owned(), 2));
    assert_eq!(reason(b""), ("no_key".to_owned(), 2));
    assert_eq!(instance.version().as_deref(), Some("v1"), "under the name configured");
}

#[test]
fn counts_reach_the_proxy_with_the_next_tick() {
    let mut instance = start(CANARY);
    for (user, status) in [("user3", "200"), ("user3", "503"), ("user123", "404"), ("", "999")] {
        instance.exchange(&[("x-user-id", user.as_bytes())], status);
    }
    let mut open = instance.request(&[("x-user-id", b"user3")]);
    instance.end(&mut open);
    let metric = |name: &str| instance.host.metric(name);
    assert_eq!(metric("crossfade_decisions;version=v2;reason=canary"), 0);
    instance.root.tick(&instance.host);
    assert_eq!(metric("crossfade_decisions;version=v2;reason=canary"), 3);
    assert_eq!(metric("crossfade_decisions;version=v1;reason=canary"), 1);
    assert_eq!(metric("crossfade_decisions;version=v1;reason=no_key"), 1);
    assert_eq!(metric("crossfade_outcomes;version=v2;class=2xx"), 1);
    assert_eq!(metric("crossfade_outcomes;version=v2;class=5xx"), 1);
    assert_eq!(metric("crossfade_outcomes;version=v2;class=none"), 1);
    assert_eq!(metric("crossfade_outcomes;version=v1;class=4xx"), 1);
    assert_eq!(metric("crossfade_outcomes;version=v1;class=5xx"), 1);
    host_calls(&instance);
    instance.tick_after(200);
    assert_eq!(host_calls(&instance), [], "nothing new, nothing to add");
}

#[test]
fn a_request_without_a_policy_is_counted() {
    let mut instance = start(r#"{"control":{"cluster":"control"}}"#);
    instance.exchange(&[("x-user-id", b"user3")], "200");
    instance.root.tick(&instance.host);
    assert_eq!(instance.host.metric("crossfade_requests_without_policy"), 1);
}

#[test]
fn a_client_that_went_away_says_nothing_of_the_version() {
    let instance = start(CANARY);
    let totals = || instance.root.node().borrow().totals().remove(1);
    let end_with = |code: Option<i64>| {
        let mut exchange = instance.request(&[("x-user-id", b"user3")]);
        let code = code.map(|code| code.to_le_bytes().to_vec());
        instance
            .host
            .properties
            .replace(code.map(|code| ("response.code".to_owned(), code)).into_iter().collect());
        instance.end(&mut exchange);
        instance.end(&mut exchange);
    };
    for code in [None, Some(0), Some(200), Some(600), Some(-1)] {
        end_with(code);
    }
    assert_eq!((totals().routed, totals().requests, totals().failures), (5, 0, 0));
    end_with(Some(504));
    assert_eq!((totals().routed, totals().requests, totals().failures), (6, 1, 1));
    assert_eq!(totals().latency, [], "it never came");
}

#[test]
fn latency_is_from_request_headers_to_response_headers() {
    let instance = start(CANARY);
    let mut exchange = instance.request(&[("x-user-id", b"user3")]);
    instance.host.pass_ms(100);
    instance.response(&mut exchange, &[(":status", b"200")]);
    // 1.1^48 is 97.0, 1.1^49 is 106.7.
    assert_eq!(instance.root.node().borrow().totals()[1].latency, [(48, 1)]);
    // A clock that went back.
    instance.host.now_ns.set(u64::MAX);
    let mut exchange = instance.request(&[("x-user-id", b"user3")]);
    instance.host.now_ns.set(0);
    instance.response(&mut exchange, &[(":status", b"200")]);
    assert_eq!(instance.root.node().borrow().totals()[1].latency, [(0, 1), (48, 1)]);
}
