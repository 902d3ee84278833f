use crossfade_protocol::clients::ClientsReport;

use crate::Engine;
use crate::guest::Guest;

const PLAN: &str =
    r#"{"api":"users","versions":["v1","v2"],"key":{"header":"x"},"pins":{"bob":"v2"}}"#;

fn engine(more: &str) -> Engine {
    let mut out = Vec::new();
    let document = format!(r#"{{"clock":"wall","node":"n","epoch":"a"{more},"policy":{PLAN}}}"#);
    let engine = Engine::init(document.as_bytes(), 5_000, 1, &mut out);
    assert_eq!(String::from_utf8(out).unwrap(), "");
    engine
}

#[track_caller]
fn ask(engine: &mut Engine, line: &str, now_ms: u64) -> String {
    let mut out = Vec::new();
    engine.handle(line.as_bytes(), now_ms, &mut out);
    String::from_utf8(out).unwrap().trim_end().to_owned()
}

const TAKE: &str = r#"{"type":"take_clients","msg_id":7}"#;

#[test]
fn what_clients_do_by_any_way_is_reported() {
    let mut engine = engine(r#","clients":"report""#);
    for _ in 0..3 {
        engine.route(b"ann", 0);
    }
    engine.route(b"bob", 0);
    ask(&mut engine, r#"{"type":"get_users","user_id":"ann"}"#, 9_000);
    ask(&mut engine, r#"{"type":"route","key":"ann","attributes":{"a":1}}"#, 9_000);
    ask(&mut engine, r#"{"type":"route","key":"ann","count":false}"#, 9_000);
    ask(&mut engine, r#"{"src":"c1","dest":"n","body":{"type":"get_users"}}"#, 9_500);
    let outcomes = r#"{"type":"report_outcomes","outcomes":[
        {"version":"v2","user_id":"bob","ok":false},{"version":"v2","user_id":"bob","ok":true},
        {"version":"v1","ok":false,"count":5},{"version":"v1","user_id":"ann","status":503,"count":2}]}"#;
    ask(&mut engine, &outcomes.replace('\n', ""), 9_600);
    let noted = r#"{"type":"note_clients","msg_id":1,"clients":[
        {"key":"ann","on":0,"counts":[],"agent":"okhttp/4.12","says":{"blocked":"no time"}},
        {"key":"alice","identity":"jwt","on":0,"counts":[[0,2,1,8,10]],"refused":1}]}"#;
    let answer = ask(&mut engine, &noted.replace('\n', ""), 10_000);
    assert_eq!(answer, r#"{"type":"note_clients_ok","in_reply_to":1}"#);
    let expected = concat!(
        r#"{"type":"clients_report","in_reply_to":7,"node":"n","epoch":"000000000000000a","sequence":1,"revision":1,"versions":["v1","v2"],"clients":["#,
        r#"{"key":"ann","agent":"okhttp/4.12","on":0,"counts":[[0,5,2,5,9]],"says":{"blocked":"no time"}},"#,
        r#"{"key":"bob","on":1,"counts":[[1,1,1,5,5]]},"#,
        r#"{"key":"c1","identity":"sender","on":0,"counts":[[0,1,0,9,9]]},"#,
        r#"{"key":"alice","identity":"jwt","on":0,"counts":[[0,2,1,8,10]],"refused":1}]}"#
    );
    assert_eq!(ask(&mut engine, TAKE, 10_000), expected);
    engine.route(b"ann", 0);
    assert_eq!(ask(&mut engine, TAKE, 20_000), expected, "again, until it is acknowledged");
    let next = ask(&mut engine, r#"{"type":"take_clients","acknowledged":1}"#, 20_000);
    let next = ClientsReport::read(next.as_bytes()).unwrap();
    assert_eq!((next.sequence, next.clients.len()), (2, 1));
    let refused = ask(&mut engine, r#"{"type":"take_clients","refused":2}"#, 20_000);
    assert_eq!(ClientsReport::read(refused.as_bytes()).unwrap().dropped, 1);
    let nothing = ask(&mut engine, r#"{"type":"take_clients","acknowledged":3}"#, 20_000);
    assert_eq!(
        nothing,
        r#"{"type":"clients_report","node":"n","epoch":"000000000000000a","sequence":3,"revision":1,"versions":["v1","v2"],"clients":[]}"#
    );
}

#[test]
fn a_node_that_was_not_asked_to_reports_nobody() {
    let mut engine = engine("");
    engine.route(b"ann", 0);
    assert_eq!(
        ask(&mut engine, TAKE, 5_000),
        r#"{"type":"error","in_reply_to":7,"code":22,"text":"this node does not report clients: it does when its init document says `\"clients\": \"report\"`"}"#
    );
}

#[test]
fn a_snapshot_carries_what_was_not_reported() {
    let mut first = engine(r#","clients":"report""#);
    first.route(b"ann", 0);
    let in_flight = ask(&mut first, TAKE, 6_000);
    for pinned in ["v2", "v1"] {
        let plan = PLAN.replace(r#""bob":"v2""#, &format!(r#""ann":"{pinned}""#));
        ask(&mut first, &format!(r#"{{"type":"configure","document":{plan}}}"#), 6_000);
        first.route(b"ann", 0);
    }
    ask(&mut first, &format!(r#"{{"type":"configure","document":{PLAN}}}"#), 6_000);
    first.route(b"bob", 0);
    ask(
        &mut first,
        r#"{"type":"note_clients","clients":[{"key":"bob","on":1,"counts":[[1,0,1,7,7]],"agent":"a/1","says":"ready"}]}"#,
        7_000,
    );
    let mut snapshot = Vec::new();
    first.snapshot(&mut snapshot);
    let mut second = engine("");
    let mut out = Vec::new();
    second.restore(&snapshot, &mut out);
    assert_eq!(String::from_utf8(out).unwrap(), "");
    assert_eq!(ask(&mut first, TAKE, 9_000), in_flight);
    assert_eq!(ask(&mut second, TAKE, 9_000), in_flight);
    for engine in [&mut first, &mut second] {
        engine.route(b"bob", 0);
        engine.route(b"eve", 0);
    }
    let take = r#"{"type":"take_clients","acknowledged":1}"#;
    let rest = ask(&mut second, take, 9_000);
    assert_eq!(rest, ask(&mut first, take, 9_000));
    assert_eq!(ClientsReport::read(rest.as_bytes()).unwrap().clients.len(), 3);
}

#[test]
fn clients_stay_with_their_versions_when_a_policy_has_more() {
    let mut engine = engine(r#","clients":"report""#);
    engine.route(b"bob", 0);
    let plan = PLAN.replace(r#"["v1","v2"]"#, r#"["v0","v1","v2"]"#);
    ask(&mut engine, &format!(r#"{{"type":"configure","document":{plan}}}"#), 6_000);
    engine.route(b"bob", 0);
    let report = ClientsReport::read(ask(&mut engine, TAKE, 6_000).as_bytes()).unwrap();
    assert_eq!(report.versions, ["v1", "v2", "v0"]);
    assert_eq!(report.clients[0].counts, [(1, 2, 0, 5, 6).into()]);
    let noted = r#"{"type":"note_clients","clients":[{"key":"eve","on":0,"counts":[[0,1,0,6,6]]},{"key":"eve","on":9,"counts":[[9,1,0,6,6]]}]}"#;
    ask(&mut engine, noted, 6_000);
    let take = r#"{"type":"take_clients","acknowledged":1}"#;
    let report = ClientsReport::read(ask(&mut engine, take, 6_000).as_bytes()).unwrap();
    assert_eq!((report.clients[0].on, report.dropped), (2, 1), "by the policy's numbers");
}

#[test]
fn what_the_host_left_out_itself_is_told_as_dropped() {
    let mut engine = engine(r#","clients":"report""#);
    engine.route(b"bob", 0);
    for (dropped, told) in [("7", 7), ("0", 0), ("-1", 0), ("18446744073709551615", u64::MAX)] {
        let noted = format!(r#"{{"type":"note_clients","clients":[],"dropped":{dropped}}}"#);
        assert_eq!(ask(&mut engine, &noted, 6_000), r#"{"type":"note_clients_ok"}"#);
        engine.route(b"bob", 0);
        let take = r#"{"type":"take_clients","acknowledged":9}"#;
        let report = ClientsReport::read(ask(&mut engine, take, 6_000).as_bytes()).unwrap();
        assert_eq!(report.dropped, told, "{dropped}");
    }
}
