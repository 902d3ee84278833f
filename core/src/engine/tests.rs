//! The protocol, against the engine itself. What a user can see stands in
//! `tests/vectors` and runs on every build; here is what needs thousands of lines.

use crossfade_protocol::limits::KEY_BYTES_MAX;

use super::*;

pub(super) fn engine() -> Engine {
    Engine::new(InitDocument::default(), 0, 7)
}

pub(super) fn handle(engine: &mut Engine, lines: &str) -> Vec<String> {
    let mut out = Vec::new();
    engine.handle(lines.as_bytes(), 0, &mut out);
    String::from_utf8(out).unwrap().lines().map(str::to_owned).collect()
}

fn one(engine: &mut Engine, line: &str) -> String {
    let lines = handle(engine, line);
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines[0].clone()
}

#[test]
fn the_first_sample() {
    let line = r#"{"src":"client","dest":"api","body":{"type":"get_users","msg_id":1,"user_id":"user123"},"canary_percentage":10}"#;
    let reply = r#"{"type":"users_response","in_reply_to":1,"version":"v1","canary":false}"#;
    assert_eq!(one(&mut engine(), line), reply);
}

#[test]
fn an_even_split_is_even() {
    let line = r#"{"src":"client","dest":"api","body":{"type":"get_users","msg_id":1},"traffic_split":{"v1":50,"v2":50}}"#;
    let replies = handle(&mut engine(), &format!("{line}\n").repeat(10_000));
    let v1 = r#"{"type":"users_response","in_reply_to":1,"version":"v1"}"#;
    let count = replies.iter().filter(|reply| *reply == v1).count();
    assert_eq!(replies.len(), 10_000);
    assert!((4_800..=5_200).contains(&count), "{count}");
}

#[test]
fn statistics_after_a_thousand_clients() {
    let mut engine = engine();
    for i in 0..1_000 {
        let canary = if i < 800 { 100 } else { 0 };
        handle(
            &mut engine,
            &format!(
                r#"{{"body":{{"type":"get_users","user_id":"u{i}"}},"canary_percentage":{canary}}}"#
            ),
        );
    }
    let reply = one(
        &mut engine,
        r#"{"src":"c","dest":"api","body":{"type":"get_migration_stats","msg_id":3}}"#,
    );
    let head = r#"{"type":"migration_stats","in_reply_to":3,"total_clients":1000,"version_percentages":{"v1":20,"v2":80},"migration_complete":false,"#;
    assert!(reply.starts_with(head), "{reply}");
}

const ROLLOUT: &str = r#"{"src":"c","dest":"api","body":{"type":"gradual_rollout","msg_id":4,"steps":[{"percentage":10,"duration_minutes":60},{"percentage":50,"duration_minutes":240}]}}"#;

#[test]
fn a_rollout_plays_at_once_and_its_share_stays() {
    let mut engine = engine();
    let reply = one(&mut engine, ROLLOUT);
    let head = r#"{"type":"rollout_complete","in_reply_to":4,"final_percentage":50,"health_checks_passed":true,"#;
    assert!(reply.starts_with(head), "{reply}");
    let lines: String =
        (0..10_000).map(|i| format!("{{\"type\":\"get_users\",\"user_id\":\"u{i}\"}}\n")).collect();
    let v2 = handle(&mut engine, &lines).iter().filter(|reply| reply.contains("v2")).count();
    assert!((4_800..=5_200).contains(&v2), "{v2}");
}

#[test]
fn a_rollout_without_a_gate_is_judged_by_the_plans() {
    let mut engine = engine();
    let plan =
        r#"{"type":"configure","document":{"api":"a","versions":["v1","v2"],"key":"address"}}"#;
    handle(&mut engine, plan);
    // A document holds without evidence; so does a rollout under it, unless it says otherwise.
    assert!(
        one(&mut engine, ROLLOUT)
            .contains(r#""final_percentage":10,"health_checks_passed":false,"outcome":"held""#)
    );
    handle(&mut engine, r#"{"type":"abort_rollout"}"#);
    let advance = ROLLOUT.replace("\"steps\"", r#""gate":{"on_inconclusive":"advance"},"steps""#);
    assert!(
        one(&mut engine, &advance).contains(r#""final_percentage":50,"health_checks_passed":true"#)
    );
}

#[test]
fn a_split_has_a_share_before_a_rollout_and_after_its_undo() {
    let mut engine = engine();
    let plan = r#"{"type":"configure","document":{"api":"a","versions":["v1","v2"],"key":"address","split":{"v1":3,"v2":1},"sticky":false,"gate":{"on_inconclusive":"advance","on_missing_data":{"after_minutes":0,"then":"advance"}}}}"#;
    handle(&mut engine, plan);
    let rollout = r#"{"type":"get_rollout"}"#;
    assert!(
        one(&mut engine, rollout).contains(r#""phase":"idle","step":0,"steps":0,"percentage":25"#)
    );
    handle(&mut engine, ROLLOUT);
    let config = r#"{"type":"get_config"}"#;
    // What is written is what decides: by draw, as the plan says.
    assert!(one(&mut engine, config).contains(r#""canary_percentage":50,"sticky":false"#));
    assert!(
        one(&mut engine, r#"{"type":"undo_rollout"}"#)
            .contains(r#""phase":"undone","step":2,"steps":2,"percentage":25"#)
    );
    assert!(one(&mut engine, config).contains(r#""split":{"v1":3,"v2":1},"sticky":false"#));
}

#[test]
fn a_new_plan_leaves_no_rollout_to_undo() {
    let mut engine = engine();
    handle(&mut engine, ROLLOUT);
    let plan = r#"{"type":"configure","document":{"api":"a","versions":["v0","v1","v2"],"key":"address","canary_percentage":5}}"#;
    handle(&mut engine, plan);
    assert!(one(&mut engine, r#"{"type":"undo_rollout"}"#).contains("there is no rollout"));
    assert!(
        one(&mut engine, r#"{"type":"get_rollout"}"#)
            .contains(r#""phase":"idle","step":0,"steps":0,"percentage":5"#)
    );
    let told = one(&mut engine, r#"{"type":"explain_rollout"}"#);
    assert!(
        told.contains("Completed at 50 %") && told.contains("revision 4 is in force"),
        "{told}"
    );
}

#[test]
fn a_failing_new_version_is_taken_back() {
    let mut engine = engine();
    handle(
        &mut engine,
        r#"{"type":"report_outcomes","outcomes":[{"version":"v1","ok":true,"count":1000},{"version":"v2","ok":false,"count":50},{"version":"v2","ok":true,"count":50}]}"#,
    );
    let reply = one(&mut engine, ROLLOUT);
    let head = r#"{"type":"rollout_complete","in_reply_to":4,"final_percentage":0,"health_checks_passed":false,"outcome":"rolled_back","#;
    assert!(reply.starts_with(head), "{reply}");
    assert!(
        reply.contains("\"reason\":\"Rollback from 10 % in step 1. v2 fails more often than v1: "),
        "{reply}"
    );
    assert!(one(&mut engine, r#"{"type":"get_users","user_id":"u"}"#).contains("v1"));
}

#[test]
fn each_line_gets_one_answer_whatever_it_says() {
    let lines = "\n \t\r\n{\n[]\n\"x\"\nnull\n{\"type\":1}\n\u{feff}{\"type\":\"get_users\",\"msg_id\":9}\r\n{\"type\":\"nope\",\"msg_id\":2}\n{\"type\":\"route\"";
    let replies = handle(&mut engine(), lines);
    assert_eq!(replies.len(), 8);
    assert!(replies[0].contains("line 3: not JSON"), "{}", replies[0]);
    assert_eq!(replies[5], r#"{"type":"users_response","in_reply_to":9,"version":"v1"}"#);
    assert!(replies[6].starts_with(r#"{"type":"error","in_reply_to":2,"code":10,"#));
    assert!(replies[7].contains("line 10: not JSON: EOF"), "{}", replies[7]);
}

#[test]
fn a_line_that_is_not_utf8_costs_only_itself() {
    let mut out = Vec::new();
    engine().handle(
        b"{\"type\":\"get_users\"}\n{\"type\":\"\xff\"}\n{\"type\":\"get_users\"}\n",
        0,
        &mut out,
    );
    let text = String::from_utf8(out).unwrap();
    let replies: Vec<&str> = text.lines().collect();
    assert_eq!(replies.len(), 3);
    assert_eq!(replies[1], r#"{"type":"error","code":12,"text":"line 2: not UTF-8 at column 10"}"#);
}

#[test]
fn replies_are_enveloped_after_init_and_only_where_there_was_an_envelope() {
    let mut engine = engine();
    let init = r#"{"src":"c0","dest":"n1","body":{"type":"init","msg_id":1,"node_id":"n1","node_ids":["n1"]}}"#;
    assert_eq!(
        one(&mut engine, init),
        r#"{"src":"n1","dest":"c0","body":{"type":"init_ok","in_reply_to":1}}"#
    );
    for kind in ["get_users", "route"] {
        let line = format!(r#"{{"src":"c1","dest":"n1","body":{{"type":"{kind}","msg_id":2}}}}"#);
        assert!(one(&mut engine, &line).starts_with(r#"{"src":"n1","dest":"c1","body":{"type":""#));
    }
    assert!(one(&mut engine, r#"{"type":"get_users"}"#).starts_with(r#"{"type":"users_response""#));
}

#[test]
fn wall_time_answers_when_it_is_over_and_serves_meanwhile() {
    let init = InitDocument { clock: Clock::Wall, ..InitDocument::default() };
    let mut engine = Engine::new(init, 1_000, 7);
    let minute = 60_000;
    let tick = |engine: &mut Engine, now_ms| {
        let mut out = Vec::new();
        engine.tick(now_ms, &mut out);
        let text = String::from_utf8(out).unwrap();
        text.lines()
            .filter(|line| !line.contains("\"event\""))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert!(handle(&mut engine, ROLLOUT).is_empty());
    assert!(one(&mut engine, ROLLOUT).contains("\"code\":22"));
    assert!(
        one(&mut engine, r#"{"type":"get_rollout"}"#)
            .contains(r#""phase":"progressing","step":1,"steps":2,"percentage":10"#)
    );
    assert!(tick(&mut engine, 1_000 + 60 * minute).is_empty());
    assert!(
        one(&mut engine, r#"{"type":"get_rollout"}"#)
            .contains(r#""step":2,"steps":2,"percentage":50"#)
    );
    let late = tick(&mut engine, 1_000 + 300 * minute);
    assert_eq!(late.len(), 1);
    assert!(
        late[0].starts_with(r#"{"type":"rollout_complete","in_reply_to":4,"final_percentage":50"#),
        "{}",
        late[0]
    );
}

#[test]
fn an_abort_answers_both_the_operator_and_whoever_waits() {
    let init = InitDocument { clock: Clock::Wall, ..InitDocument::default() };
    let mut engine = Engine::new(init, 0, 7);
    handle(&mut engine, ROLLOUT);
    let replies = handle(&mut engine, r#"{"type":"abort_rollout","msg_id":5}"#);
    assert_eq!(replies.len(), 2);
    assert!(
        replies[0].starts_with(r#"{"type":"rollout","in_reply_to":5,"phase":"aborted""#),
        "{}",
        replies[0]
    );
    assert!(replies[1].starts_with(r#"{"type":"rollout_complete","in_reply_to":4,"final_percentage":0,"health_checks_passed":true,"outcome":"aborted""#), "{}", replies[1]);
}

/// Everything a state can hold goes through a snapshot and answers as before.
#[test]
fn a_restored_engine_answers_as_the_one_it_was_saved_from() {
    let mut first =
        Engine::new(InitDocument { clock: Clock::Wall, ..InitDocument::default() }, 0, 7);
    let plan = r#"{"type":"configure","document":{"api":"users","versions":["v1","v2","v3"],"key":{"header":"x"},"split":{"v1":60,"v2":30,"v3":10},"guard":{"max_failure_ratio":0.5,"min_requests":10},"rules":[{"name":"beta","when":{"attribute":"sdk","semver":">=2.4"},"split":{"v2":1,"v3":1}}]}}"#;
    handle(&mut first, plan);
    handle(&mut first, &plan.replace("60", "30"));
    let lines: String = (0..500)
        .map(|i| {
            format!(
                "{{\"src\":\"s{i}\",\"body\":{{\"type\":\"route\",\"key\":\"u{}\"}}}}\n",
                i % 90
            )
        })
        .collect();
    handle(&mut first, &lines);
    handle(
        &mut first,
        r#"{"type":"report_outcomes","outcomes":[{"version":"v3","status":503,"latency_ms":20,"count":11},{"version":"v1","ok":true}]}"#,
    );
    let mut out = Vec::new();
    first.merge(br#"{"node":"n2","epoch":"00ff","sequence":1,"revision":1,"versions":[{"version":"v1","routed":5,"requests":5,"failures":1,"latency":[[3,5]]}]}"#, &mut out);
    assert_eq!(out, b"{\"type\":\"merge_ok\",\"new\":true,\"sources\":1}\n");
    handle(&mut first, ROLLOUT);

    let mut snapshot = Vec::new();
    first.snapshot(&mut snapshot);
    let mut second = engine();
    let mut complaint = Vec::new();
    second.restore(&snapshot, &mut complaint);
    second.clock = Clock::Wall;
    assert_eq!(String::from_utf8(complaint).unwrap(), "");
    let mut again = Vec::new();
    second.snapshot(&mut again);
    assert!(again == snapshot, "a snapshot of a restored engine is the same snapshot");

    let questions = format!(
        "{lines}{}",
        [
            "get_config",
            "get_migration_stats",
            "get_rollout",
            "explain_rollout",
            "get_clients",
            "get_sunset",
            "abort_rollout"
        ]
        .map(|kind| format!("{{\"type\":\"{kind}\",\"msg_id\":1}}\n"))
        .concat()
    );
    assert_eq!(handle(&mut first, &questions), handle(&mut second, &questions));
}

/// A number of the evidence that changes its last bit when it is read carelessly.
#[test]
fn a_restored_engine_has_the_same_evidence_to_the_last_bit() {
    let mut first = engine();
    handle(
        &mut first,
        r#"{"type":"report_outcomes","outcomes":[{"version":"v1","ok":true,"count":29},{"version":"v2","ok":false,"count":3},{"version":"v2","ok":true,"count":42}]}"#,
    );
    handle(&mut first, ROLLOUT);
    let mut snapshot = Vec::new();
    first.snapshot(&mut snapshot);
    let mut second = engine();
    second.restore(&snapshot, &mut Vec::new());
    let state = r#"{"type":"get_rollout"}"#;
    assert_eq!(one(&mut second, state), one(&mut first, state));
}

#[test]
fn a_snapshot_that_is_none_changes_nothing() {
    let mut engine = engine();
    handle(&mut engine, r#"{"type":"get_users","user_id":"u"}"#);
    let mut good = Vec::new();
    engine.snapshot(&mut good);
    let cases: [(&[u8], &str); 3] = [
        (b"", "not a snapshot"),
        (b"crossfade snapshot 9\n", "not a snapshot of this version"),
        (&good[..good.len() - 1], "damaged snapshot"),
    ];
    for (bytes, expected) in cases {
        let mut out = Vec::new();
        engine.restore(bytes, &mut out);
        let reply = String::from_utf8(out).unwrap();
        assert!(reply.contains("\"code\":22") && reply.contains(expected), "{reply}");
    }
    assert!(one(&mut engine, r#"{"type":"get_migration_stats"}"#).contains("\"total_clients\":1,"));
}

#[test]
fn a_question_about_another_plan_names_that_plans_versions() {
    let ask = |split: &str| {
        format!(
            r#"{{"type":"explain","key":"u","policy":{{"api":"a","versions":["v1","beta","v2"],"key":"address"}},"traffic_split":{split}}}"#
        )
    };
    let reply = one(&mut engine(), &ask(r#"{"v2":1}"#));
    assert!(reply.starts_with(r#"{"type":"explanation","version":"v2","#), "{reply}");
    let reply = one(&mut engine(), &ask(r#"{"v3":1}"#));
    assert!(reply.contains("unknown version `v3`: known are v1, beta, v2"), "{reply}");
}

#[test]
fn evidence_moves_a_held_rollout_on_the_virtual_clock_too() {
    let mut engine = engine();
    let hold = ROLLOUT.replace("\"steps\"", r#""gate":{"on_inconclusive":"hold"},"steps""#);
    assert!(one(&mut engine, &hold).contains(r#""outcome":"held""#));
    handle(
        &mut engine,
        r#"{"type":"report_outcomes","outcomes":[{"version":"v1","ok":true,"count":1000},{"version":"v2","ok":false,"count":500},{"version":"v2","ok":true,"count":500}]}"#,
    );
    assert!(one(&mut engine, r#"{"type":"get_rollout"}"#).contains(r#""phase":"rolled_back","#));
}

#[test]
fn sentences_call_the_versions_by_their_names() {
    let document = r#"{"policy":{"api":"users","versions":["2026-01","2027-01"],"key":"address","gate":{"on_inconclusive":"advance"}}}"#;
    let mut out = Vec::new();
    let mut engine = Engine::init(document.as_bytes(), 0, 7, &mut out);
    handle(
        &mut engine,
        r#"{"type":"report_outcomes","outcomes":[{"version":"2026-01","ok":true,"count":1000},{"version":"2027-01","ok":false,"count":500}]}"#,
    );
    let reply = one(&mut engine, ROLLOUT);
    assert!(reply.contains("2027-01 fails more often than 2026-01"), "{reply}");
    assert!(!reply.contains("v1") && !reply.contains("v2"), "{reply}");
}

#[test]
fn the_old_version_cannot_go_while_anything_leads_to_it() {
    let check = |extra: &str, ready: bool, detail: &str| {
        let mut engine = engine();
        let plan = format!(
            r#"{{"type":"configure","document":{{"api":"a","versions":["v1","v2"],"key":"address"{extra}}}}}"#
        );
        let configured = one(&mut engine, &plan);
        assert!(configured.contains("configure_ok"), "{configured}");
        engine.last_served_ms[1] = Some(0);
        engine.census.record(b"u", Identity::Key, 1, 0);
        let reply = one(&mut engine, r#"{"type":"get_sunset"}"#);
        assert!(reply.contains(&format!("\"ready\":{ready}")) && reply.contains(detail), "{reply}");
    };
    let all = |extra: &str| format!(r#","canary_percentage":100{extra}"#);
    check(&all(""), true, "the policy sends everything to v2");
    check(r#","split":{"v1":0,"v2":7}"#, true, "the policy sends everything to v2");
    check(r#","canary_percentage":99.99"#, false, "the policy sends 99.99 % to v2");
    check("", false, "the policy sends 0 % to v2");
    check(&all(r#","kill_switch":true"#), false, "the kill switch sends everything to v1");
    check(&all(r#","pins":{"a":"v1","b":"v2"}"#), false, "keys pinned to an older version: 1");
    check(
        &all(r#","rules":[{"name":"r","to":"v1"}]"#),
        false,
        "rule `r` leads to an older version",
    );
    check(&all(r#","rules":[{"name":"r","split":{"v1":1,"v2":1}}]"#), false, "rule `r` leads");
    check(
        &all(r#","rules":[{"name":"r","split":{"v2":1}}],"pins":{"b":"v2"}"#),
        true,
        "everything",
    );
}

#[test]
fn a_version_that_was_counted_cannot_vanish_and_others_keep_their_counts() {
    let mut engine = engine();
    handle(&mut engine, r#"{"body":{"type":"get_users","user_id":"u"},"canary_percentage":100}"#);
    let plan = |versions: &str| {
        format!(
            r#"{{"type":"configure","msg_id":1,"document":{{"api":"a","versions":{versions},"key":"address"}}}}"#
        )
    };
    assert!(one(&mut engine, &plan(r#"["v1","v3"]"#)).contains("\"code\":22"));
    assert_eq!(
        one(&mut engine, &plan(r#"["v2","v3"]"#)),
        r#"{"type":"configure_ok","in_reply_to":1,"revision":2}"#
    );
    assert!(
        one(&mut engine, r#"{"type":"get_migration_stats"}"#)
            .contains(r#""clients":{"v2":1,"v3":0},"routed":{"v2":1,"v3":0}"#)
    );
}

#[test]
fn the_fast_path_decides_and_counts_like_the_long_one() {
    let mut engine = engine();
    handle(
        &mut engine,
        r#"{"type":"configure","document":{"api":"a","versions":["v1","v2"],"key":"address","canary_percentage":50}}"#,
    );
    let word = engine.route(b"user123", 0);
    assert_eq!((word.version(), word.canary()), (Some(1), true));
    assert_eq!(engine.route(b"", 0).reason(), Some(crossfade_protocol::Reason::NoKey));
    assert_eq!(engine.route(&[b'x'; KEY_BYTES_MAX + 1], 0), RouteWord::CANNOT);
    assert!(
        one(&mut engine, r#"{"type":"get_migration_stats"}"#)
            .contains(r#""clients":{"v1":0,"v2":1},"routed":{"v1":1,"v2":1}"#)
    );
    handle(
        &mut engine,
        r#"{"type":"configure","document":{"api":"a","versions":["v1","v2"],"key":"address","rules":[{"name":"r","to":"v2"}]}}"#,
    );
    assert_eq!(engine.route(b"user123", 0), RouteWord::CANNOT);
}

/// Single outcomes of different users, reported at one moment of the virtual clock: each
/// client counts once, and nothing caps them.
#[test]
fn single_outcomes_on_a_virtual_clock_are_evidence_of_every_step() {
    let report = |v2_fails: usize| {
        let mut engine = engine();
        for i in 0..200 {
            let ok = i >= v2_fails;
            handle(
                &mut engine,
                &format!(
                    r#"{{"type":"report_outcomes","outcomes":[{{"version":"v1","user_id":"a{i}","ok":true}},{{"version":"v2","user_id":"b{i}","ok":{ok}}}]}}"#
                ),
            );
        }
        one(&mut engine, ROLLOUT)
    };
    assert!(report(1).contains(r#""final_percentage":50,"health_checks_passed":true"#));
    assert!(report(30).contains(r#""final_percentage":0,"health_checks_passed":false"#));
}

#[test]
fn one_users_retries_are_one_failure() {
    let mut engine = engine();
    for i in 0..200 {
        handle(
            &mut engine,
            &format!(
                r#"{{"type":"report_outcomes","outcomes":[{{"version":"v1","user_id":"a{i}","ok":true}},{{"version":"v2","user_id":"b{i}","ok":true}},{{"version":"v2","user_id":"unlucky","ok":false}}]}}"#
            ),
        );
    }
    assert!(one(&mut engine, ROLLOUT).contains(r#""health_checks_passed":true"#));
}
