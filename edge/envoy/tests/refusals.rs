//! Calls that are refused: in a brownout, and after the sunset.

#![expect(clippy::unwrap_used, reason = "a test falls over")]

use crossfade_core::protocol::clients::ClientsReport;
use crossfade_envoy::memory::{Instance, MemoryHost};
use serde_json::Value;

/// 2027-01-15T08:00:00Z.
const NOW_MS: u64 = 1_800_000_000_000;

fn start(plan: &str, beside: &str) -> Instance {
    let host = MemoryHost::default();
    host.now_ns.set(NOW_MS * 1_000_000);
    let configuration = format!(
        r#"{{"policy":{{"api":"users","versions":["v1","v2"],"key":{{"header":"x-user-id"}},"pins":{{"new":"v2"}}{plan}}}{beside}}}"#
    );
    Instance::start(host, &configuration).unwrap()
}

/// An answer of the filter's own: its status, its headers but the content type, its body.
fn answered(instance: &Instance) -> Option<(u16, Vec<String>, String)> {
    let (status, headers, body) = instance.host.answered.take()?;
    let line =
        |(name, value): (String, Vec<u8>)| format!("{name}: {}", String::from_utf8_lossy(&value));
    let headers = headers.into_iter().map(line).collect();
    Some((status, headers, String::from_utf8(body).unwrap()))
}

const GONE: &str = r#","deprecation":{"deprecated_at":"2026-07-01","sunset_at":"2027-01-15","link":"https://example.com/migrate","successor":"https://api.example.com/v2"}"#;

#[test]
fn after_the_sunset_old_calls_get_410_with_the_dates_and_new_ones_go_on() {
    let instance = start(GONE, r#","reason_header":"x-why""#);
    let exchange = instance.request(&[("x-user-id", b"ann")]);
    let (status, headers, body) = answered(&instance).unwrap();
    assert_eq!(status, 410);
    assert_eq!(
        headers,
        [
            "deprecation: @1782864000",
            "sunset: Fri, 15 Jan 2027 00:00:00 GMT",
            "link: <https://example.com/migrate>; rel=\"deprecation\", <https://api.example.com/v2>; rel=\"successor-version\"",
            "content-type: application/problem+json",
            "cache-control: no-store",
            "x-why: gone",
        ]
    );
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&body["status"], &body["reason"]), (&410.into(), &"gone".into()));
    // Nothing is left to be counted.
    let mut exchange = exchange;
    instance.host.host_calls.take();
    instance.response(&mut exchange, &[(":status", b"410")]);
    instance.end(&mut exchange);
    assert_eq!(instance.host.host_calls.take(), [""; 0]);
    assert_eq!(instance.exchange(&[("x-user-id", b"new")], "200").as_deref(), Some("v2"));
    assert_eq!(answered(&instance), None);
}

#[test]
fn a_redirect_keeps_path_and_query_as_they_were_sent() {
    let plan = r#","deprecation":{"deprecated_at":"2026-07-01","sunset_at":"2027-01-15","after":"redirect","successor":"https://api.example.com"}"#;
    let instance = start(plan, "");
    let location = |path: &[u8]| {
        instance.request(&[(":path", path), ("x-user-id", b"ann")]);
        let (status, headers, body) = answered(&instance).unwrap();
        assert_eq!((status, body.as_str()), (308, ""));
        assert!(headers.contains(&"cache-control: no-store".to_owned()), "{headers:?}");
        let found = headers.iter().find_map(|header| header.strip_prefix("location: "));
        found.unwrap().to_owned()
    };
    assert_eq!(location(b"/users/7?a=b%20c&d"), "https://api.example.com/users/7?a=b%20c&d");
    assert_eq!(location(b"/"), "https://api.example.com/");
    assert_eq!(location(b"*"), "https://api.example.com");
    assert_eq!(location(b"/\xff"), "https://api.example.com");
}

fn brownout(percentage: u8) -> String {
    format!(
        r#","brownouts":[{{"name":"first","start":"2027-01-15T09:00Z","minutes":60,"percentage":{percentage},"exempt":["partner-7"],"announce_minutes":30}}],"clients":{{"pinned_back":["back"],"blocked":["stuck"]}}"#
    )
}

#[test]
fn a_brownout_is_announced_begins_and_ends_by_the_clock_alone() {
    let instance = start(&brownout(100), "");
    let minutes = |from: u64| instance.host.now_ns.set((NOW_MS + from * 60_000) * 1_000_000);
    let refused = || {
        instance.request(&[("x-user-id", b"ann")]);
        answered(&instance).map(|(status, headers, _)| (status, headers))
    };
    let told = || {
        let mut exchange = instance.request(&[("x-user-id", b"ann")]);
        instance.response(&mut exchange, &[(":status", b"200")]);
        let headers = instance.host.response.borrow();
        let found = headers.iter().find(|(name, _)| name == "api-brownout");
        found.map(|(_, value)| String::from_utf8(value.clone()).unwrap())
    };
    assert_eq!((refused(), told()), (None, None));
    minutes(30);
    let interval = "2027-01-15T09:00:00Z/2027-01-15T10:00:00Z";
    assert_eq!((refused(), told().as_deref()), (None, Some(interval)));
    minutes(60);
    let (status, headers) = refused().unwrap();
    assert_eq!(status, 503);
    assert!(headers.contains(&"retry-after: 3600".to_owned()), "{headers:?}");
    assert!(headers.contains(&format!("api-brownout: {interval}")), "{headers:?}");
    for spared in [&b"partner-7"[..], b"back", b"stuck", b"new"] {
        instance.request(&[("x-user-id", spared)]);
        assert_eq!(answered(&instance), None, "{}", String::from_utf8_lossy(spared));
    }
    minutes(119);
    assert!(refused().unwrap().1.contains(&"retry-after: 60".to_owned()));
    minutes(120);
    assert_eq!((refused(), told()), (None, None));
    // A clock that goes back.
    minutes(70);
    assert!(refused().is_some());
}

#[test]
fn a_brownout_hits_a_client_wholly_and_the_right_share_of_them() {
    let instance = start(&brownout(30), "");
    instance.host.now_ns.set((NOW_MS + 90 * 60_000) * 1_000_000);
    let mut hit = 0;
    for n in 0..3_000 {
        let key = format!("client {n}");
        let refused = || {
            instance.request(&[("x-user-id", key.as_bytes())]);
            instance.host.answered.take().is_some()
        };
        let first = refused();
        assert!((0..3).all(|_| refused() == first), "{key}");
        hit += u32::from(first);
    }
    assert!((800..1000).contains(&hit), "{hit} of 3,000");
}

#[test]
fn who_was_refused_is_told_and_in_the_metrics_and_no_outcome_of_the_version() {
    let mut instance = start(GONE, r#","control":{"cluster":"control"},"node":"edge-1""#);
    for _ in 0..3 {
        let mut exchange = instance.request(&[("x-user-id", b"ann")]);
        instance.end(&mut exchange);
    }
    instance.exchange(&[("x-user-id", b"new")], "200");
    instance.tick_after(200);
    let sent = instance.host.sent();
    let to = |path: &str| sent.iter().find(|sent| sent.header(":path") == path).unwrap();
    let report = ClientsReport::read(&to("/v1/client-reports").body).unwrap();
    let now_s = u32::try_from(NOW_MS / 1000).unwrap();
    assert_eq!(report.clients[0].counts, [(0, 3, 0, now_s, now_s).into()]);
    assert_eq!((report.clients[0].refused, report.clients[1].refused), (3, 0));
    let totals: Value = serde_json::from_slice(&to("/v1/totals").body).unwrap();
    let routed = |place: usize| totals["versions"][place]["routed"].as_u64().unwrap();
    assert_eq!((routed(0), routed(1)), (0, 1), "what was refused was not served");
    let metric = |name: &str| instance.host.metric(name);
    assert_eq!(metric("crossfade_decisions;version=v1;reason=gone"), 3);
    assert_eq!(metric("crossfade_outcomes;version=v1;class=4xx"), 0);
}

#[test]
fn a_refusal_costs_three_host_calls_and_a_redirect_four() {
    let calls = |after: &str| {
        let plan = GONE.replace(r#""link""#, &format!(r#""after":"{after}","link""#));
        let instance = start(&plan.replace("/v2", ""), "");
        instance.host.host_calls.take();
        instance.request(&[("x-user-id", b"ann"), (":path", b"/")]);
        instance.host.host_calls.take()
    };
    assert_eq!(calls("gone"), ["now", "request_header", "respond"]);
    assert_eq!(calls("redirect"), ["now", "request_header", "request_header", "respond"]);
}
