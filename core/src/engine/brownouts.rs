//! Messages about brownouts, and what time does to them.

use crossfade_protocol::limits::WINDOWS_MAX;
use crossfade_protocol::plan::{Brownout, Instant, StopWhen};
use crossfade_protocol::reply::{BrownoutSeen, Brownouts as Reply};
use crossfade_protocol::request::Brownouts as Asked;
use crossfade_protocol::share::Minutes;
use crossfade_protocol::words::counted;
use crossfade_protocol::{Fault, json};

use super::{Engine, write};
use crate::event::{ClientChange, What};

impl Engine {
    pub(super) fn brownouts(
        &mut self,
        asked: Asked,
        to: write::ReplyTo<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        self.collect();
        match asked {
            Asked::List => {}
            Asked::Start { name, minutes, percentage, status, exempt } => {
                let mut brownouts = self.policy.plan().brownouts.clone();
                let taken = |brownout: &Brownout| brownout.name == name;
                if brownouts.iter().any(taken) {
                    let shown = json::shown(&name);
                    let text = format!(
                        "there was a brownout `{shown}` already: give this one another name, so that it can be told apart"
                    );
                    return Err(Fault::precondition(text));
                }
                if brownouts.len() >= WINDOWS_MAX {
                    return Err(Fault::precondition(format!(
                        "the plan has {WINDOWS_MAX} brownouts, and no more are allowed: take those that are over out of it"
                    )));
                }
                brownouts.push(Brownout {
                    name,
                    start: Instant::of_ms(self.now_ms),
                    time_zone: None,
                    minutes,
                    percentage,
                    status,
                    exempt,
                    announce_minutes: Minutes::ZERO,
                    stop_when: None,
                    stopped_at: None,
                });
                self.policy = self.policy.with_brownouts(brownouts);
                self.turn();
                self.watch_brownouts();
            }
            Asked::Stop { name, reason } => self.stop_brownout(&name, &reason)?,
        }
        let reply = self.brownouts_seen();
        write::reply(out, to, &reply);
        Ok(())
    }

    fn stop_brownout(&mut self, name: &str, reason: &str) -> Result<(), Fault> {
        let mut brownouts = self.policy.plan().brownouts.clone();
        let known = brownouts.iter_mut().find(|brownout| brownout.name == name);
        let brownout = known.ok_or_else(|| {
            Fault::unknown(format!("there is no brownout `{}`", json::shown(name)))
        })?;
        if brownout.is_over(self.now_ms) {
            let text = format!("brownout `{}` is over", json::shown(name));
            return Err(Fault::precondition(text));
        }
        brownout.stopped_at = Some(Instant::of_ms(self.now_ms));
        let (start_ms, end_ms) = (brownout.start_ms(), brownout.end_ms());
        self.policy = self.policy.with_brownouts(brownouts);
        self.turn();
        let entry = self.keep_clients().kept.book.open(name, start_ms, end_ms);
        entry.stopped = Some(reason.to_owned());
        entry.told = true;
        let (clients, refused) = (entry.clients(), entry.refused);
        let (name, reason) = (name.to_owned(), reason.to_owned());
        let stopped = ClientChange::BrownoutStopped { name, reason, clients, refused };
        self.happened(What::Client(stopped), None);
        Ok(())
    }

    /// Tells of brownouts that begin or end, and stops those that do too much.
    pub(super) fn watch_brownouts(&mut self) {
        let now_ms = self.now_ms;
        let begun = |brownout: &&Brownout| brownout.start_ms() <= now_ms;
        let book = self.clients.as_ref().map(|clients| &clients.kept.book);
        let quiet = |brownout: &&Brownout| {
            let entry = book.and_then(|book| book.get(&brownout.name));
            // One that was over before this engine heard of it is no news.
            match entry {
                None => brownout.is_over(now_ms),
                Some(entry) => entry.over && brownout.end_ms() == entry.end_ms,
            }
        };
        let brownouts: Vec<Brownout> = self
            .policy
            .plan()
            .brownouts
            .iter()
            .filter(begun)
            .filter(|brownout| !quiet(brownout))
            .cloned()
            .collect();
        for brownout in brownouts {
            self.watch_brownout(&brownout);
        }
    }

    fn watch_brownout(&mut self, brownout: &Brownout) {
        let now_ms = self.now_ms;
        let (start_ms, end_ms) = (brownout.start_ms(), brownout.end_ms());
        let entry = self.keep_clients().kept.book.open(&brownout.name, start_ms, end_ms);
        let name = brownout.name.clone();
        let (clients, refused, overflow) = (entry.clients(), entry.refused, entry.overflow);
        let mut changes = Vec::new();
        if !entry.told {
            entry.told = true;
            let percentage = brownout.percentage;
            let name = name.clone();
            changes.push(ClientChange::BrownoutStarted { name, percentage, until_ms: end_ms });
        }
        if end_ms <= now_ms {
            entry.over = true;
            if entry.stopped.is_none() {
                let name = name.clone();
                changes.push(ClientChange::BrownoutEnded { name, clients, refused });
            }
        }
        for change in changes {
            self.happened(What::Client(change), None);
        }
        if end_ms > now_ms
            && let Some(reason) =
                brownout.stop_when.and_then(|bound| harm(&bound, (clients, overflow), refused))
        {
            // It is known and has not ended, so it can be stopped.
            let stopped = self.stop_brownout(&name, &reason);
            debug_assert!(stopped.is_ok(), "{stopped:?}");
        }
    }

    fn brownouts_seen(&self) -> Reply {
        let seen = |brownout: &Brownout| {
            let clients = self.clients.as_ref();
            let entry = clients.and_then(|clients| clients.kept.book.get(&brownout.name));
            let aftermath = clients.map(|clients| clients.aftermath(&brownout.name));
            let aftermath = aftermath.unwrap_or_default();
            BrownoutSeen {
                name: brownout.name.clone(),
                state: self.brownout_state(brownout),
                start_ms: brownout.start_ms(),
                end_ms: brownout.end_ms(),
                percentage: brownout.percentage,
                status: brownout.status,
                exempt: brownout.exempt.len() as u64,
                hit_clients: entry.map_or(0, |entry| entry.clients()),
                exact: entry.is_none_or(|entry| !entry.overflow),
                refused_calls: entry.map_or(0, |entry| entry.refused),
                moved: aftermath.moved,
                unchanged: aftermath.unchanged,
                silent: aftermath.silent,
                because: entry.and_then(|entry| entry.stopped.clone()),
            }
        };
        Reply { brownouts: self.policy.plan().brownouts.iter().map(seen).collect() }
    }

    fn brownout_state(&self, brownout: &Brownout) -> &'static str {
        let now_ms = self.now_ms;
        match () {
            () if brownout.stopped_at.is_some_and(|at| at.unix_ms() <= now_ms) => "stopped",
            () if brownout.is_over(now_ms) => "over",
            () if brownout.start_ms() <= now_ms => "running",
            () if brownout.announce_ms() <= now_ms => "announced",
            () => "planned",
        }
    }
}

/// Why a brownout has done enough, if it has. Of clients beyond those who are told apart
/// nobody knows how many they are.
fn harm(bound: &StopWhen, (clients, more): (u64, bool), refused: u64) -> Option<String> {
    if let (Some(most), true) = (bound.clients, more) {
        return Some(format!(
            "more than {clients} clients were refused, who are all that can be told apart; stop_when allows {most}"
        ));
    }
    if let Some(most) = bound.clients.filter(|most| clients >= *most) {
        return Some(format!("it refused {}, stop_when allows {most}", counted(clients, "client")));
    }
    let most = bound.calls.filter(|most| refused >= *most)?;
    Some(format!("it refused {}, stop_when allows {most}", counted(refused, "call")))
}
