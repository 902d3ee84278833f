//! Pages of statuses that the real engine gives.

use serde_json::{Value, json};

use super::*;
use crate::module::Module;
use crate::plugin::{Plugin, PluginOptions, Start};

const PLAN: &str = r#"{
    "api": "users", "versions": { "from": "v1", "to": "v2" }, "key": { "header": "x-user-id" },
    "rollout": { "steps": [
        { "percentage": 1, "duration_minutes": 30, "max_minutes": 240 },
        { "percentage": 10, "duration_minutes": 60, "approval": "manual" },
        { "percentage": 100, "watch_minutes": 1440 }
    ] },
    "gate": { "latency": { "slo_ms": 300 }, "slo": { "max_failure_ratio": 0.05 } }
}"#;

/// A real engine on the wall clock, and the time it is told.
struct World {
    plugin: Plugin,
    now_ms: u64,
}

const MINUTE: u64 = 60_000;

impl World {
    fn new() -> World {
        World::with(serde_json::from_str(PLAN).unwrap())
    }

    /// Where failures alone count.
    fn of_failures() -> World {
        let mut plan: Value = serde_json::from_str(PLAN).unwrap();
        plan["gate"] = json!({});
        World::with(plan)
    }

    fn with(plan: Value) -> World {
        let document = json!({ "clock": "wall", "policy": plan }).to_string();
        let start = Start { document: document.into_bytes(), ..Start::default() };
        let options = PluginOptions::default();
        let (plugin, _) = Plugin::start(Module::builtin().unwrap(), options, start).unwrap();
        World { plugin, now_ms: 0 }
    }

    fn say(&mut self, message: Value) -> Value {
        let mut message = message;
        message["msg_id"] = json!(1);
        let line = message.to_string() + "\n";
        let reply = self.plugin.handle(line.as_bytes(), self.now_ms).unwrap();
        let reply = String::from_utf8_lossy(reply);
        serde_json::from_str(reply.lines().next().unwrap_or("null")).unwrap()
    }

    fn ask(&mut self, kind: &str) -> Value {
        self.say(json!({ "type": kind }))
    }

    /// Lets minutes pass in which both versions serve.
    fn serve(&mut self, minutes: u64, old: (u64, u64), new: (u64, u64)) {
        for _ in 0..minutes {
            let mut outcomes = Vec::new();
            for (version, (good, bad)) in [("v1", old), ("v2", new)] {
                for (ok, count) in [(true, good), (false, bad)] {
                    if count > 0 {
                        let outcome = json!({ "version": version, "ok": ok, "count": count, "latency_ms": 20 });
                        outcomes.push(outcome);
                    }
                }
            }
            self.say(json!({ "type": "report_outcomes", "outcomes": outcomes }));
            self.now_ms += MINUTE;
            self.plugin.tick(self.now_ms).unwrap();
        }
    }

    fn status(&mut self) -> Status {
        let config = self.ask("get_config");
        let document = json!({
            "api": "users", "revision": config["revision"], "versions": config["document"]["versions"],
            "now_ms": self.now_ms, "started_ms": 0,
            "rollout": self.ask("get_rollout"),
            "plan": config["document"]["rollout"]["steps"],
            "migration": self.ask("get_migration_stats"),
            "sunset": self.ask("get_sunset"),
            "nodes": { "known": 3, "reporting": 2, "oldest_ms": 1200, "behind": 1 },
            "engine": { "module": "built-in", "restarts": 0, "calls_lost": 0 },
            "store": { "name": "a.db", "lead": "ours", "committed_ms": 1 },
            "clock_offset_ms": 0,
        });
        serde_json::from_value(document).unwrap()
    }

    fn page(&mut self) -> String {
        self.status().page(Some(80)).text(false)
    }
}

/// Every piece stands on the page.
#[track_caller]
fn shows(page: &str, pieces: &[&str]) {
    // Where a paragraph is broken does not matter.
    let words = page.split_whitespace().collect::<Vec<_>>().join(" ");
    for piece in pieces {
        assert!(page.contains(piece) || words.contains(piece), "no {piece:?} on\n{page}");
    }
}

#[test]
fn before_a_rollout_the_page_says_how_to_begin() {
    let page = World::new().page();
    shows(
        &page,
        &[
            "users  v1 → v2  ○ no rollout  revision 1\n",
            "0 % to v2\n",
            "  ○    1 %  30 min to 4 h\n",
            "  ○   10 %  1 h, approval\n",
            "  ○  100 %  watched 1 d\n",
            "Verdict    No rollout has begun.\n",
            "Nodes      2 of 3 reporting, the oldest report 1 s old; 1 not at revision 1 yet\n",
            "Next       `crossfade start` begins the rollout\n",
        ],
    );
}

#[test]
fn a_step_shows_its_time_its_counts_and_what_is_missing() {
    let mut world = World::new();
    world.ask("gradual_rollout");
    world.serve(10, (990, 2), (10, 0));
    shows(
        &world.page(),
        &[
            "● progressing",
            "Step 1 of 3: 1 % to v2, for 10 min now\n",
            "  ●    1 %  30 min to 4 h  10 min in, 20 min to go\n",
            "  v1                   9,920          20     0.2 %\n",
            "  v2                     100           0       0 %\n",
            "  Altogether v2 fails 0.00 times as often (0.00 to 37.9; 99.75 % sure)\n",
            "  v2 fails more  ",
            "  v2 fails no more  ",
            "  v2 is slower  ",
            "  v2 is no slower  ",
            "  failures over their bound",
            "  slow requests within their bound",
            "   5.30  ",
            "░░░",
            "Verdict    … inconclusive.\n",
            "in 20 min at the earliest. `crossfade pause`",
        ],
    );
}

#[test]
fn a_person_who_is_needed_is_told_what_to_do() {
    let mut world = World::of_failures();
    world.ask("gradual_rollout");
    world.say(json!({ "type": "promote_rollout" }));
    world.serve(61, (9000, 9), (1000, 1));
    let page = world.page();
    shows(
        &page,
        &[
            "! awaiting approval",
            "  ✔    1 %  30 min to 4 h  passed\n",
            "  ●   10 %  1 h, approval  1 h 1 min in, awaiting approval\n",
            "✔ healthy.\n",
            "██████████  proven\n",
            "Next       a person has to approve: `crossfade promote` goes on",
        ],
    );
    world.say(json!({ "type": "promote_rollout" }));
    world.serve(5, (0, 0), (10_000, 5));
    shows(
        &world.page(),
        &[
            "● watching",
            "  ●  100 %  watched 1 d    watched, ",
            "v2 is still watched, and the rollout is complete in 23 h 5",
        ],
    );
    world.say(json!({ "type": "pause_rollout" }));
    shows(&world.page(), &["‖ paused", "Next       `crossfade resume` lets the clock run again"]);
}

#[test]
fn a_rollback_shows_where_and_why() {
    let mut world = World::new();
    world.ask("gradual_rollout");
    world.say(json!({ "type": "promote_rollout" }));
    world.serve(5, (890, 2), (60, 40));
    let page = world.page();
    shows(
        &page,
        &[
            "✘ rolled back",
            "Step 2 of 3: 0 % to v2\n",
            "  ✔    1 %",
            "  ✘   10 %  1 h, approval  rolled back here\n",
            "  ○  100 %",
            "v2 fails more often than v1",
            "Next       `crossfade retry` begins again",
        ],
    );
}

#[test]
fn what_is_over_says_what_comes_next() {
    let mut world = World::new();
    world.ask("gradual_rollout");
    world.say(json!({ "type": "promote_rollout", "full": true }));
    shows(
        &world.page(),
        &["✔ completed", "  ✔  100 %", "`crossfade clients --version v1` lists who is left"],
    );
    world.say(json!({ "type": "undo_rollout" }));
    shows(&world.page(), &["✘ undone", "undone here", "`crossfade retry` begins again"]);
}

#[test]
fn clients_who_are_left_are_counted() {
    let mut world = World::new();
    for n in 0..10 {
        let share = if n < 7 { 100 } else { 0 };
        world.say(
            json!({ "type": "get_users", "user_id": format!("c{n}"), "canary_percentage": share }),
        );
    }
    shows(&world.page(), &["Clients    3 of 10 not yet on v2 (30 %)\n"]);
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    let mut world = World::new();
    world.ask("gradual_rollout");
    world.serve(3, (990, 2), (10, 3));
    for width in [40, 60, 80, 120] {
        let text = world.status().page(Some(width)).text(false);
        let widest = text.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= usize::from(width), "{widest} > {width}\n{text}");
    }
}

#[test]
fn colours_only_repeat_what_the_words_say() {
    let mut world = World::new();
    world.ask("gradual_rollout");
    world.serve(3, (990, 2), (10, 3));
    let page = world.status().page(Some(80));
    let (plain, coloured) = (page.text(false), page.text(true));
    assert!(coloured.contains("\u{1b}[") && !plain.contains('\u{1b}'));
    let mut stripped = String::new();
    for (place, part) in coloured.split('\u{1b}').enumerate() {
        stripped += if place == 0 { part } else { part.split_once('m').unwrap().1 };
    }
    assert_eq!(stripped, plain);
}

#[test]
fn a_server_of_another_version_can_be_looked_at() {
    let document = json!({
        "api": "users", "revision": 3, "versions": ["v1", "v2"], "now_ms": 5, "new": 1,
        "rollout": { "phase": "levitating", "step": 1, "steps": 2, "percentage": 10,
                     "verdict": "splendid", "reason": "Says why." },
    });
    let status: Status = serde_json::from_value(document).unwrap();
    let page = status.page(None).text(false);
    shows(&page, &["in a phase that this program does not know", "Says why."]);
}

#[test]
fn trouble_of_the_server_is_a_warning() {
    let mut status = World::new().status();
    status.clock_offset_ms = -3_600_000;
    status.engine = serde_json::from_value(json!({ "restarts": 2, "calls_lost": 1 })).unwrap();
    status.store = serde_json::from_value(json!({ "lead": "others" })).unwrap();
    shows(
        &status.page(Some(80)).text(false),
        &[
            "Warning    the engine failed, and the effect of 1 call was lost\n",
            "Warning    the server's clock was set by 1 h while it ran: it is not followed\n",
            "Warning    this server stands by, another one leads\n",
        ],
    );
}
