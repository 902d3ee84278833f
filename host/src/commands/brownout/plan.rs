//! `crossfade brownout plan`: what the brownouts of a plan will do.

use std::path::PathBuf;

use crossfade_protocol::Reason;
use crossfade_protocol::abi::RouteWord;
use crossfade_protocol::share::Share;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Common;
use crate::client::page::{self, Line, Page, Tone, minutes, percent};
use crate::client::{Client, with_query};
use crate::clients::{Estimate, Listed};
use crate::exit::{self, Exit, Failure};
use crate::module::Module;
use crate::output::{Output, print, print_json_safely};
use crate::plugin::{Plugin, PluginOptions, Start};
use crate::question::EngineArgs;
use crate::replay::grouped;

/// Tell what the brownouts of a plan will do: when, to whom, and who is spared.
///
/// Who is hit follows from the client's key alone, so the clients that the server knows can
/// be asked for now. Their versions are those of today.
#[derive(Debug, clap::Args)]
#[command(after_long_help = exit::HELP)]
pub(super) struct Args {
    /// The plan [default: the one that the server runs].
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,

    #[command(flatten)]
    engine: EngineArgs,

    #[command(flatten)]
    common: Common,
}

/// A brownout as the plan has it.
#[derive(Debug, Deserialize)]
struct Planned {
    #[serde(default)]
    name: Option<String>,
    start: String,
    minutes: f64,
    percentage: f64,
    #[serde(default)]
    status: Option<u16>,
    #[serde(default)]
    exempt: Vec<String>,
    #[serde(default)]
    announce_minutes: Option<f64>,
    #[serde(default)]
    stopped_at: Option<String>,
}

/// What it will do.
#[derive(Debug, Serialize)]
struct Foreseen {
    name: String,
    start_ms: u64,
    end_ms: u64,
    /// In this machine's time zone.
    local: String,
    percentage: f64,
    status: u16,
    exempt: Vec<String>,
    /// From when on headers announce it.
    announced_ms: Option<u64>,
    stopped: bool,
    /// Clients that an old version served last.
    known_clients: u64,
    /// From how many to how many, with 95 % confidence, where the server keeps a sample.
    #[serde(skip_serializing_if = "Option::is_none")]
    known_range: Option<[u64; 2]>,
    /// How many of them it hits; `None` where nobody can tell.
    hit_clients: Option<u64>,
    /// The same of those.
    #[serde(skip_serializing_if = "Option::is_none")]
    hit_range: Option<[u64; 2]>,
    /// Whether all of them were counted, and not a sample.
    exact: bool,
    /// Why nobody can.
    because: Option<&'static str>,
    /// The same for people.
    #[serde(skip)]
    whom: String,
}

const HASHED: &str = "their names are hashed";
const ATTRIBUTES: &str = "the plan's rules look at more than their keys";

impl Args {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let client = self.common.server.client()?;
        let module = self.engine.module()?;
        let document = match &self.file {
            None => client.get("/v1/policy")?["document"].take(),
            Some(path) => {
                let policy = crate::policy::read(path)?;
                let checked = policy.check(&mut self.engine.start(0)?);
                let checked = checked.map_err(|error| error.failure(Exit::Data))?;
                if !checked.valid {
                    return Err(checked.failure());
                }
                policy.value().clone()
            }
        };
        let old = Old::ask(&client)?;
        let hashed = document["privacy"] == "hashed";
        let mut foreseen = Vec::new();
        for (place, planned) in planned(&document)?.into_iter().enumerate() {
            // By itself: another may run at the same time.
            let mut alone = document.clone();
            alone["brownouts"] = json!([document["brownouts"][place]]);
            foreseen.push(planned.foresee(&module, &alone, &old, hashed)?);
        }
        match self.common.output {
            Output::Json => print_json_safely(&json!({ "brownouts": foreseen }))?,
            Output::Human => print(&text(&foreseen, page::columns()).text(page::color()))?,
        }
        Ok(Exit::Ok)
    }
}

fn planned(document: &Value) -> Result<Vec<Planned>, Failure> {
    let list = document.get("brownouts").cloned().unwrap_or_else(|| json!([]));
    serde_json::from_value(list)
        .map_err(|error| Failure::new(Exit::Data, format!("the plan's brownouts: {error}")))
}

/// The clients that an old version served last.
struct Old {
    all: Estimate,
    /// Those that the server keeps, by their keys.
    keys: Vec<String>,
}

/// Clients of one answer.
const PAGE: u64 = 10_000;

impl Old {
    fn ask(client: &Client) -> Result<Old, Failure> {
        let status: crate::client::status::Status = client.get_as(crate::client::watch::STATUS)?;
        let newest = status.new_version();
        let mut old = Old { all: Estimate::exact(0), keys: Vec::new() };
        for version in status.versions.iter().filter(|version| *version != newest) {
            let mut offset = 0_u64;
            loop {
                let query = [
                    ("version", Some(version.clone())),
                    ("offset", (offset > 0).then(|| offset.to_string())),
                    ("limit", Some(PAGE.to_string())),
                ];
                let listed: Listed = client.get_as(&with_query("/v1/clients", &query))?;
                let count = listed.clients.len() as u64;
                if offset == 0 {
                    old.all = old.all.plus(listed.estimate());
                }
                old.keys.extend(listed.clients.into_iter().map(|one| one.client));
                if count < PAGE {
                    break;
                }
                offset += count;
            }
        }
        if old.all.exact {
            // Some came or went while they were listed.
            old.all.value = old.keys.len() as u64;
        }
        Ok(old)
    }
}

impl Planned {
    fn foresee(
        self,
        module: &Module,
        document: &Value,
        old: &Old,
        hashed: bool,
    ) -> Result<Foreseen, Failure> {
        let start_ms = moment(&self.start)?;
        let end_ms = start_ms.saturating_add((self.minutes * 60_000.0) as u64);
        let stopped = self.stopped_at.is_some();
        let hit_clients = match hashed {
            true => Err(HASHED),
            false if stopped => Ok(Estimate::exact(0)),
            false => {
                let found = hit(module, document, &old.keys, start_ms)?.ok_or(ATTRIBUTES);
                found.map(|found| old.all.of_sample(found, old.keys.len() as u64))
            }
        };
        let whom = whom(&hit_clients, old, self.percentage);
        let range = |of: Estimate| of.bounds.map(|(low, high)| [low, high]);
        Ok(Foreseen {
            name: self.name.unwrap_or(self.start),
            start_ms,
            end_ms,
            local: local(start_ms, end_ms),
            percentage: self.percentage,
            status: self.status.unwrap_or(503),
            exempt: self.exempt,
            announced_ms: self
                .announce_minutes
                .map(|minutes| start_ms.saturating_sub((minutes * 60_000.0) as u64)),
            stopped,
            known_clients: old.all.value,
            known_range: range(old.all),
            hit_clients: hit_clients.ok().map(|hit| hit.value),
            hit_range: hit_clients.ok().and_then(range),
            exact: old.all.exact,
            because: hit_clients.err(),
            whom,
        })
    }
}

/// How many it hits of how many, and how that is known.
fn whom(hit: &Result<Estimate, &'static str>, old: &Old, percentage: f64) -> String {
    let all = old.all.text();
    let kept = grouped(old.keys.len() as u64);
    match hit {
        Ok(hit) if old.all.exact => {
            let (hit, known) = (grouped(hit.value), grouped(old.all.value));
            format!("hits {hit} of {known} known clients on an old version")
        }
        Ok(hit) => format!(
            "hits {} of {all} on an old version: the server keeps {kept} of them, who were asked for",
            hit.text()
        ),
        Err(because) => {
            let share = Share::from_percent(percentage).unwrap_or(Share::FULL);
            let hit = old.all.part(share);
            match hit.bounds {
                Some(_) => format!("hits {} of {all} on an old version: {because}", hit.text()),
                None => format!(
                    "hits about {} of {} known clients on an old version: {because}",
                    grouped(hit.value),
                    grouped(old.all.value)
                ),
            }
        }
    }
}

fn moment(text: &str) -> Result<u64, Failure> {
    let moment = text.parse::<Timestamp>().map_err(|error| {
        Failure::new(Exit::Data, format!("the plan's brownouts: start `{text}`: {error}"))
    })?;
    Ok(u64::try_from(moment.as_millisecond()).unwrap_or_default())
}

/// Has an engine decide for each key, at a moment within the brownout; `None` when it cannot
/// by the key alone.
fn hit(
    module: &Module,
    document: &Value,
    keys: &[String],
    start_ms: u64,
) -> Result<Option<u64>, Failure> {
    let internal = |error| Failure::new(Exit::Internal, error);
    let now_ms = start_ms + 1;
    let init = json!({ "clock": "wall", "node": "plan", "policy": document });
    let start = Start { document: init.to_string().into_bytes(), now_ms, ..Start::default() };
    let started = Plugin::start(module.clone(), PluginOptions::default(), start);
    let (mut plugin, _) = started.map_err(internal)?;
    plugin.tick(now_ms).map_err(internal)?;
    let mut hit = 0;
    for key in keys {
        let word = plugin.route(key.as_bytes(), 0).map_err(internal)?;
        if word == RouteWord::CANNOT {
            return Ok(None);
        }
        hit += u64::from(word.reason() == Some(Reason::Brownout));
    }
    Ok(Some(hit))
}

/// From when to when, in this machine's time zone.
pub(super) fn local(start_ms: u64, end_ms: u64) -> String {
    in_zone(start_ms, end_ms, &TimeZone::system())
}

fn in_zone(start_ms: u64, end_ms: u64, zone: &TimeZone) -> String {
    let at = |ms: u64| {
        let moment = Timestamp::from_millisecond(i64::try_from(ms).unwrap_or(i64::MAX));
        moment.ok().map(|moment| moment.to_zoned(zone.clone()))
    };
    let (Some(start), Some(end)) = (at(start_ms), at(end_ms)) else { return String::new() };
    let until = if start.date() == end.date() { "%H:%M %Z" } else { "%Y-%m-%d %H:%M %Z" };
    format!("{} to {}", start.strftime("%a %Y-%m-%d %H:%M"), end.strftime(until))
}

fn text(foreseen: &[Foreseen], columns: Option<u16>) -> Page {
    let mut page = Page::new(columns);
    if foreseen.is_empty() {
        page.push(Line::default().and("the plan has no brownout"));
    }
    for one in foreseen {
        let length = minutes((one.end_ms - one.start_ms) as f64 / 60_000.0);
        let line = Line::default().with(Tone::Strong, &one.name);
        let state = if one.stopped { "  stopped" } else { "" };
        page.push(line.and(format!("  {} ({length})", one.local)).with(Tone::Wait, state));
        let share = format!("{} of keys get {}; {}", percent(one.percentage), one.status, one.whom);
        page.paragraph(Line::default().to(2), Tone::Plain, &share);
        if let Some(at) = one.announced_ms {
            let at = in_zone(at, at, &TimeZone::system());
            let at = at.split(" to ").next().unwrap_or_default();
            page.paragraph(Line::default().to(2), Tone::Faint, &format!("announced from {at} on"));
        }
        if !one.exempt.is_empty() {
            let text = format!("spares {}", one.exempt.join(", "));
            page.paragraph(Line::default().to(2), Tone::Faint, &text);
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_never_shown_as_everybody() {
        let keys = vec!["k".to_owned(); 603];
        let of = |all: Estimate, hit| whom(&hit, &Old { all, keys: keys.clone() }, 40.0);
        let (exact, sampled) = (
            Estimate::exact(603),
            Estimate { value: 19_296, exact: false, bounds: Some((17_800, 20_900)) },
        );
        assert_eq!(
            of(exact, Ok(exact.of_sample(241, 603))),
            "hits 241 of 603 known clients on an old version"
        );
        assert_eq!(
            of(exact, Err(HASHED)),
            "hits about 241 of 603 known clients on an old version: their names are hashed"
        );
        let text = of(sampled, Ok(sampled.of_sample(241, 603)));
        assert!(text.starts_with("hits about 7,712 clients ("), "{text}");
        assert!(text.contains(") of about 19,296 clients (17,800 to 20,900, 95 %"), "{text}");
        assert!(text.ends_with("the server keeps 603 of them, who were asked for"), "{text}");
        let text = of(sampled, Err(HASHED));
        assert!(text.starts_with("hits about 7,718 clients (7,120 to 8,360, 95 %"), "{text}");
        let text = of(sampled, Ok(sampled.of_sample(0, 603)));
        assert!(text.starts_with("hits at most 96 clients (95 % confidence) of about"), "{text}");
    }

    #[test]
    fn windows_are_told_in_local_time() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let start = moment("2027-06-01T10:00:00+02:00").unwrap();
        assert_eq!(start, moment("2027-06-01T08:00Z").unwrap());
        assert_eq!(in_zone(start, start + 3_600_000, &zone), "Tue 2027-06-01 10:00 to 11:00 CEST");
        assert_eq!(
            in_zone(start, start + 86_400_000, &zone),
            "Tue 2027-06-01 10:00 to 2027-06-02 10:00 CEST"
        );
        assert!(moment("soon").is_err());
    }
}
