use super::*;

/// Answers every line with the next of its replies, and remembers what it was sent.
#[derive(Debug, Default)]
struct Scripted {
    replies: Vec<&'static str>,
    sent: Vec<String>,
    reply: Vec<u8>,
}

impl Engine for Scripted {
    fn handle(&mut self, lines: &[u8], now_ms: u64) -> Result<&[u8], ReplayError> {
        self.reply.clear();
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let line = String::from_utf8(line.to_vec()).unwrap();
            let reply = if line.contains("report_outcomes") {
                r#"{"type":"report_outcomes_ok"}"#
            } else {
                self.replies.remove(0)
            };
            self.sent.push(format!("{now_ms} {line}"));
            self.reply.extend_from_slice(reply.as_bytes());
            self.reply.push(b'\n');
        }
        Ok(&self.reply)
    }

    fn route(&mut self, key: &[u8], _: u32) -> Result<RouteWord, ReplayError> {
        self.sent.push(format!("route {}", String::from_utf8_lossy(key)));
        Ok(RouteWord::new(1, true, Reason::Canary))
    }

    fn merge(&mut self, _: &[u8]) -> Result<&[u8], ReplayError> {
        Ok(b"")
    }

    fn tick(&mut self, now_ms: u64) -> Result<&[u8], ReplayError> {
        self.sent.push(format!("tick {now_ms}"));
        Ok(b"")
    }
}

const V1: &str = r#"{"type":"route_ok","version":"v1","reason":"canary","bucket":7}"#;
const V2: &str = r#"{"type":"route_ok","version":"v2","reason":"canary","bucket":8}"#;
const CRASH: &str = r#"{"type":"error","code":13,"text":"the engine trapped"}"#;

fn driver(pace: Pace, replies: &[&'static str]) -> Driver<Scripted> {
    let engine = Scripted { replies: replies.to_vec(), ..Scripted::default() };
    Driver::new(engine, vec!["v1".into(), "v2".into()], pace, 1)
}

fn request(key: &str, time_ms: u64, failed: Option<bool>) -> Request<'_> {
    Request { time_ms, key: Some(key), attributes: &[], failed }
}

#[test]
fn a_known_client_takes_the_short_way_and_outcomes_are_summed() {
    let mut driver = driver(Pace::Batched, &[V1, V2]);
    driver.request(request("a", 1, Some(false))).unwrap();
    driver.request(request("b", 2, Some(true))).unwrap();
    driver.flush().unwrap();
    driver.request(request("b", 3, Some(false))).unwrap();
    driver.request(request("b", 4, Some(false))).unwrap();
    driver.request(request("b", 5, None)).unwrap();
    driver.flush().unwrap();
    assert_eq!(
        driver.engine.sent,
        [
            r#"2 {"type":"route","key":"a"}"#,
            r#"2 {"type":"route","key":"b"}"#,
            r#"2 {"type":"report_outcomes","outcomes":[{"version":"v1","ok":true,"count":1},{"version":"v2","ok":false,"count":1}]}"#,
            "route b",
            "route b",
            "route b",
            r#"5 {"type":"report_outcomes","outcomes":[{"version":"v2","ok":true,"count":2}]}"#,
        ]
    );
    assert_eq!(driver.reasons["canary"], 5);
    assert_eq!(driver.clients.get("b").unwrap().requests, 4);
}

#[test]
fn an_exact_pace_lets_time_act_and_names_the_client_of_each_outcome() {
    let mut driver = driver(Pace::Exact, &[V1, V1, V2]);
    for time_ms in [1, 1, 2] {
        driver.request(request("a", time_ms, Some(false))).unwrap();
    }
    driver.flush().unwrap();
    assert_eq!(
        driver.engine.sent,
        [
            "tick 1",
            r#"1 {"type":"route","key":"a"}"#,
            r#"1 {"type":"route","key":"a"}"#,
            r#"1 {"type":"report_outcomes","outcomes":[{"version":"v1","user_id":"a","ok":true},{"version":"v1","user_id":"a","ok":true}]}"#,
            "tick 2",
            r#"2 {"type":"route","key":"a"}"#,
            r#"2 {"type":"report_outcomes","outcomes":[{"version":"v2","user_id":"a","ok":true}]}"#,
        ]
    );
}

#[test]
fn a_request_on_which_the_engine_fails_is_counted_apart() {
    let mut driver = driver(Pace::Batched, &[V1, CRASH, CRASH]);
    for key in ["a", "b", "c"] {
        driver.request(request(key, 1, Some(true))).unwrap();
    }
    driver.flush().unwrap();
    assert_eq!(driver.refused, 2);
    assert_eq!(driver.refusal.as_deref(), Some("the engine trapped"));
    assert_eq!(driver.clients.len(), 1);
    assert_eq!(driver.reasons.values().sum::<u64>(), 1);
}

#[test]
fn an_answer_that_is_none_is_shown() {
    let mut driver = driver(Pace::Batched, &["\x1b[31m"]);
    driver.request(request("a", 1, None)).unwrap();
    let error = driver.flush().unwrap_err().to_string();
    assert_eq!(error, "the engine answered `route` with \\x1b[31m");
}
