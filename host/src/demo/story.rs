//! What happens in the demo, stage by stage, told as it happens.

use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::deciding::now_ms;
use super::plan::deprecated;
use super::stage::Stage;
use super::traffic::{Answer, is_brownout};
use super::upstream::Fault;
use super::{Parts, Until};
use crate::client::page::Tone;
use crate::client::{Follow, News, segment};
use crate::exit::{Exit, Failure};
use crate::output::counted;

/// Into the second step a fault is laid, when one was asked for.
const FAULT_AFTER: Duration = Duration::from_secs(3);

/// From the announcement of the end to the brownout, and to the sunset.
const TAIL: Duration = Duration::from_secs(10);
const SUNSET_AFTER_MS: u64 = 40_000;

/// Failures on v2 after which somebody has had enough.
const PARTNER_FAILURES: u64 = 4;

const BROWNOUT_MINUTES: f64 = 0.25;

/// From the beginning of a brownout, and from the sunset, until somebody is looked for who
/// meets it.
const LOOK_AFTER: Duration = Duration::from_secs(3);

/// The story so far.
pub(super) struct Story<'a> {
    parts: &'a mut Parts,
    until: Option<Until>,
    pub(super) stage: Stage,
    /// When the fault is due.
    fault_at: Option<Instant>,
    /// When somebody looks at the partner again, while v2 fails it.
    partner_at: Option<Instant>,
    /// The newest status document, and what was seen when.
    status: Value,
    before: (Instant, [u64; 2]),
    rates: [f64; 2],
    exit: Option<Exit>,
}

impl<'a> Story<'a> {
    pub(super) fn new(parts: &'a mut Parts, until: Option<Until>) -> Story<'a> {
        Story {
            parts,
            until,
            stage: Stage::Rollout,
            fault_at: None,
            partner_at: None,
            status: Value::Null,
            before: (Instant::now(), [0; 2]),
            rates: [0.0; 2],
            exit: None,
        }
    }

    /// Tells it until its end, or until the program is to end.
    ///
    /// # Errors
    /// A part of the demo has ended.
    pub(super) fn tell(mut self) -> Result<Exit, Failure> {
        // What was told before is not told again.
        let after = if self.parts.control.goes_on { None } else { Some(0) };
        let client = self.parts.control.client.clone();
        let news = Follow::open(client, "/v1/events?status=1", after)?;
        let mut fault = self.parts.upstreams.fault();
        loop {
            if let Some(exit) = self.parts.stopped() {
                return Ok(exit);
            }
            self.parts.trouble()?;
            match news.next(Some(Instant::now() + Duration::from_millis(200))) {
                Some(News::Event(event)) if event.name == "event" => self.heard(&event.data)?,
                Some(News::Event(event)) if event.name == "status" => {
                    self.status = serde_json::from_str(&event.data).unwrap_or_default();
                    self.resume()?;
                }
                Some(News::Failed(failure)) if self.parts.stopped().is_none() => {
                    return Err(failure);
                }
                _ => {}
            }
            if fault.has_changed().unwrap_or(false) {
                let fault = *fault.borrow_and_update();
                let (tone, text) = super::stage::fault_text(fault);
                self.partner_at = (fault == Some(Fault::Partner)).then(Instant::now);
                self.parts.screen.event("fault", tone, text, json!({ "fault": fault }));
            }
            self.moments()?;
            self.progress();
            if let Some(exit) = self.exit {
                return Ok(exit);
            }
            if self.parts.screen.is_gone {
                return Ok(Exit::Ok);
            }
        }
    }

    fn say(&mut self, kind: &str, tone: Tone, text: &str, fields: Value) {
        self.parts.screen.event(kind, tone, text, fields);
    }

    fn begin(&mut self, stage: Stage) {
        self.stage = stage;
        if let Some((title, about)) = stage.title() {
            self.parts.screen.text(Tone::Plain, "");
            self.parts.screen.text(Tone::Strong, title);
            self.parts.screen.text(Tone::Plain, about);
        }
        self.say("stage", Tone::Plain, "", json!({ "stage": stage.name() }));
    }

    /// An event of the control plane.
    fn heard(&mut self, data: &str) -> Result<(), Failure> {
        let event: Map<String, Value> = serde_json::from_str(data).unwrap_or_default();
        let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default();
        let kind = text("event").to_owned();
        let tone = match kind.as_str() {
            "rollback_started" | "rolled_back" | "aborted" | "guard_tripped" => Tone::Bad,
            "held" | "timed_out" | "paused" => Tone::Wait,
            "completed" | "step_passed" => Tone::Good,
            _ => Tone::Plain,
        };
        // Every change of the share is one, and is told by a step's beginning already.
        let sentence = if kind == "configured" { "" } else { text("sentence") }.to_owned();
        let step = event.get("step").and_then(Value::as_u64);
        self.say("control", tone, &sentence, json!({ "control": event }));
        match kind.as_str() {
            "step_started" => self.step_began(step.unwrap_or_default()),
            "rolled_back" | "aborted" if self.stage != Stage::Back => self.taken_back(),
            "completed" => self.completed()?,
            _ => {}
        }
        Ok(())
    }

    /// With a data directory of before, a rollout may be over already.
    fn resume(&mut self) -> Result<(), Failure> {
        if self.stage != Stage::Rollout || !self.parts.control.goes_on || self.exit.is_some() {
            return Ok(());
        }
        match self.status["rollout"]["phase"].as_str() {
            Some("completed") => self.completed()?,
            Some("rolled_back" | "aborted") => self.taken_back(),
            _ => {}
        }
        Ok(())
    }

    fn step_began(&mut self, step: u64) {
        if self.stage == Stage::Back {
            self.begin(Stage::Rollout);
        }
        if step == self.parts.fault.map_or(0, |fault| fault.step()) {
            self.fault_at = Some(Instant::now() + FAULT_AFTER);
        }
    }

    fn taken_back(&mut self) {
        if self.until.is_some() {
            self.exit = Some(Exit::Unhealthy);
        }
        self.begin(Stage::Back);
        let lines = self.parts.mend();
        for line in lines {
            self.parts.screen.text(Tone::Plain, &line);
        }
    }

    fn completed(&mut self) -> Result<(), Failure> {
        if !matches!(self.stage, Stage::Rollout) {
            return Ok(());
        }
        if self.until == Some(Until::Complete) {
            self.exit = Some(Exit::Ok);
            return Ok(());
        }
        // The rest of the story is that of a healthy v2.
        self.fault_at = None;
        self.begin(Stage::Tail(Instant::now()));
        let client = &self.parts.control.client;
        let left = client.get("/v1/clients?version=v1&limit=1")?;
        let left = left["total"].as_u64().unwrap_or_default();
        let old = self.parts.traffic.old(usize::MAX).len();
        let blocked = self.parts.traffic.blocked_key();
        let text = format!(
            "v1 was the last to serve {}: {} an app before 2.0, {blocked} says that it is \
             blocked, and the others have not called for a while.",
            counted(left, "client"),
            if old == 1 { "one has".to_owned() } else { format!("{old} have") },
        );
        self.say("tail", Tone::Plain, &text, json!({ "clients": left, "old_apps": old }));
        self.announce()
    }

    fn announce(&mut self) -> Result<(), Failure> {
        let client = &self.parts.control.client;
        let there = client.get("/v1/policy")?;
        let revision = there["revision"].as_u64().unwrap_or_default();
        let now_ms = now_ms();
        let page = format!("http://{}/", self.parts.control.address);
        let sunset_ms = now_ms + SUNSET_AFTER_MS;
        let document =
            deprecated(&there["document"], now_ms.saturating_sub(1_000), sunset_ms, &page);
        let body = json!({ "document": document, "reason": "the demo announces the sunset" });
        client.put("/v1/policy", revision, &body)?;
        self.parts.advance("deprecated", "v1 is deprecated");
        let text = format!(
            "v1 is deprecated, and switched off in {} s: every answer of v1 says so from now on.",
            SUNSET_AFTER_MS / 1_000
        );
        self.say("deprecated", Tone::Plain, &text, json!({ "sunset_ms": sunset_ms }));
        Ok(())
    }

    /// What the time alone brings.
    fn moments(&mut self) -> Result<(), Failure> {
        if self.fault_at.is_some_and(|at| at <= Instant::now()) {
            self.fault_at = None;
            self.parts.upstreams.lay(self.parts.fault);
        }
        if self.partner_at.is_some_and(|at| at <= Instant::now()) {
            self.look_at_partner()?;
        }
        match self.stage {
            Stage::Tail(since) if since.elapsed() >= TAIL => self.brownout(),
            Stage::Brownout { since, shown: false } if since.elapsed() >= LOOK_AFTER => {
                self.stage = Stage::Brownout { since, shown: true };
                self.show("refused", is_brownout);
                Ok(())
            }
            Stage::Brownout { since, .. }
                if since.elapsed().as_secs_f64() >= BROWNOUT_MINUTES * 60.0 + 2.0 =>
            {
                self.brownout_over()
            }
            Stage::Sunset { at_ms } if now_ms() >= at_ms + 2_500 => self.sunset(),
            Stage::Gone { since, v1, told: false } if since.elapsed() >= LOOK_AFTER => {
                self.stage = Stage::Gone { since, v1, told: true };
                self.end(v1);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// What an operator does whom a partner calls up.
    fn look_at_partner(&mut self) -> Result<(), Failure> {
        self.partner_at = Some(Instant::now() + LOOK_AFTER);
        let client = &self.parts.control.client;
        let key = self.parts.traffic.partner_key();
        let path = format!("/v1/clients/{}", segment(&key));
        // Nobody is known before the first report.
        let Ok(known) = client.get(&path) else { return Ok(()) };
        let new = known["client"]["new"].clone();
        let count = |name: &str| new[name].as_u64().unwrap_or_default();
        if count("failures") < PARTNER_FAILURES {
            return Ok(());
        }
        self.partner_at = None;
        let body = json!({ "to": "old", "reason": "v2 fails this partner" });
        client.post(&format!("{path}/repin"), &body)?;
        let text = format!(
            "{key} fails on v2 with {} of {}: an operator pins it back to v1, and the \
             rollout goes on. (By itself the control plane is as sure in about five minutes: a \
             client is judged by the minute, so that no single event accuses one.)",
            count("failures"),
            counted(count("requests"), "request"),
        );
        self.say("partner", Tone::Wait, &text, json!({ "client": known["client"] }));
        Ok(())
    }

    fn brownout(&mut self) -> Result<(), Failure> {
        self.show("announced", |answer| !answer.header("sunset").is_empty());
        self.begin(Stage::Brownout { since: Instant::now(), shown: false });
        let body = json!({
            "name": "first", "minutes": BROWNOUT_MINUTES, "percentage": 50,
            "reason": "the demo's second notice",
        });
        self.parts.control.client.post("/v1/brownouts", &body)?;
        Ok(())
    }

    fn brownout_over(&mut self) -> Result<(), Failure> {
        let report = self.parts.control.client.get("/v1/brownouts")?;
        let first = report["brownouts"].get(0).cloned().unwrap_or_default();
        let count = |name: &str| first[name].as_u64().unwrap_or_default();
        let updated = self.parts.traffic.seen().updated;
        let text = format!(
            "It refused {} of {}. Brought up to date by their owners since: {updated}; on v2 \
             already: {}.",
            counted(count("refused_calls"), "call"),
            counted(count("hit_clients"), "client"),
            count("moved"),
        );
        self.say("brownout_report", Tone::Plain, &text, json!({ "brownout": first }));
        let document = self.parts.control.client.get("/v1/policy")?["document"].clone();
        let sunset = document["deprecation"]["sunset_at"].as_str().unwrap_or_default().to_owned();
        let at_ms = super::stage::unix_ms(&sunset).unwrap_or_else(now_ms);
        self.begin(Stage::Sunset { at_ms });
        let sunset = self.parts.control.client.get("/v1/sunset")?;
        let statement = sunset["statement"].as_str().unwrap_or_default();
        let text = format!("Can v1 go? {statement}");
        self.say("can_it_go", Tone::Wait, &text, json!({ "sunset": sunset }));
        self.parts.advance("sunset", "the demo cannot wait for them");
        Ok(())
    }

    fn sunset(&mut self) -> Result<(), Failure> {
        self.show("gone", |answer| answer.status == 410);
        self.parts.advance("gone", "the date has passed");
        let v1 = self.parts.upstreams.served()[0].requests;
        self.begin(Stage::Gone { since: Instant::now(), v1, told: false });
        Ok(())
    }

    fn end(&mut self, v1: u64) {
        let since = self.parts.upstreams.served()[0].requests - v1;
        let gone = self.parts.traffic.seen().gone;
        let (tone, text) = if since == 0 {
            let text =
                format!("v1 serves nobody any more; {} got `410 Gone`.", counted(gone, "call"));
            (Tone::Good, text)
        } else {
            (Tone::Bad, format!("v1 still served {} after its sunset.", counted(since, "request")))
        };
        self.say("end", tone, &text, json!({ "v1_since": since, "gone": gone }));
        if self.until == Some(Until::Sunset) {
            self.exit = Some(if since == 0 { Exit::Ok } else { Exit::Unhealthy });
        } else {
            let text = "This was the whole life of a migration. The page goes on; Ctrl-C ends it.";
            self.parts.screen.text(Tone::Strong, text);
        }
    }

    /// Shows an answer as it is on the wire, of some client with an old app.
    fn show(&mut self, kind: &str, wanted: impl Fn(&Answer) -> bool) {
        let Some((key, answer)) = self.parts.find(&wanted) else { return };
        let names = ["deprecation", "sunset", "link", "api-brownout", "retry-after"];
        let headers: Map<String, Value> = names
            .iter()
            .filter(|name| !answer.header(name).is_empty())
            .map(|name| ((*name).to_owned(), answer.header(name).into()))
            .collect();
        let mut lines = vec![format!("  GET /users/{key}  →  {}", answer.status)];
        for (name, value) in &headers {
            lines.push(format!("  {name}: {}", value.as_str().unwrap_or_default()));
        }
        let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
        for line in lines {
            self.parts.screen.text(Tone::Faint, &line);
        }
        if let Some(detail) = body["detail"].as_str() {
            self.parts.screen.quote(Tone::Faint, &format!("“{detail}”"));
        }
        let fields = json!({
            "on_the_wire": kind, "client": key, "status": answer.status, "headers": headers,
        });
        self.say("answer", Tone::Plain, "", fields);
    }

    fn progress(&mut self) {
        let (at, before) = self.before;
        let elapsed = at.elapsed();
        if elapsed >= Duration::from_secs(1) {
            let served = self.parts.traffic.seen().served;
            let rate =
                |place: usize| (served[place] - before[place]) as f64 / elapsed.as_secs_f64();
            self.rates = [rate(0), rate(1)];
            self.before = (Instant::now(), served);
        }
        let rollout = &self.status["rollout"];
        let Some(percentage) = rollout["percentage"].as_f64() else { return };
        let mut text = format!(
            "{} · {percentage} % to v2 · v1 {:.0}/s, v2 {:.0}/s",
            self.stage.name(),
            self.rates[0],
            self.rates[1],
        );
        if let Some(verdict) = rollout["verdict"].as_str() {
            text += &format!(" · {verdict}");
        }
        self.parts.screen.progress(&text);
    }
}
