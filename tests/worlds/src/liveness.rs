//! The end of a world: faults have ended, and everything has to come right in time.

use serde_json::Value;

use crate::check::{self, Held};
use crate::disk::lock;
use crate::network::{Asker, Weather};
use crate::server::Server;
use crate::world::{TICK_MS, World};

/// Virtual time until somebody leads and all edges have the newest policy.
const POLICY_WITHIN_MS: u64 = 12_000;

/// Until a rollout that nobody stopped has ended, one way or the other, with clients calling.
const ROLLOUT_WITHIN_MS: u64 = 240_000;

/// Until everything that was counted is known to the controller, when nobody calls any more.
/// An edge whose clock was set back by less reports its clients 30 seconds late.
const COUNTS_WITHIN_MS: u64 = 36_000;

/// Phases that only a person leads out of.
const ENDED: [&str; 7] =
    ["completed", "rolled_back", "aborted", "undone", "idle", "timed_out", "awaiting_approval"];

/// How a world comes to its end.
pub(crate) trait Liveness {
    /// Ends all faults, and waits.
    fn converge(&mut self) -> Held;
}

impl Liveness for World {
    fn converge(&mut self) -> Held {
        self.heal();
        let until_ms = self.now_ms + POLICY_WITHIN_MS;
        self.go_on(|world| world.now_ms >= until_ms || world.agrees())?;
        self.must(World::agrees, "nobody leads, or an edge does not have the newest policy")?;
        let until_ms = self.now_ms + ROLLOUT_WITHIN_MS;
        while self.now_ms < until_ms && !self.has_ended()? {
            let then_ms = self.now_ms + 4 * TICK_MS;
            self.go_on(|world| world.now_ms >= then_ms)?;
        }
        if !self.has_ended()? && self.is_near_its_bound() {
            self.tell("promote_rollout", Asker::Operator(0))?;
        }
        let ended = self.has_ended()?;
        let rollout = self.rollout.clone().unwrap_or_default();
        self.played.phase = rollout["phase"].as_str().unwrap_or_default().to_owned();
        if !ended {
            return Err(format!("converges: the rollout has not ended: {rollout}"));
        }
        let [old, new] = self.setup.failures;
        self.played.false_alarm = new <= old && self.played.phase == "rolled_back";
        self.calling = false;
        self.tell_all()?;
        // A command that was long under way may have come just now.
        let until_ms = self.now_ms + POLICY_WITHIN_MS;
        self.go_on(|world| world.now_ms >= until_ms || world.agrees())?;
        self.must(World::agrees, "an edge does not have the newest policy at the end")?;
        // And so may the answer to a call, which is counted then.
        self.tell_all()?;
        self.settle()
    }
}

impl World {
    /// Every fault ends.
    fn heal(&mut self) {
        self.note(|| "all faults end".to_owned());
        self.faulty = false;
        self.weather = Weather::default();
        let now_ms = self.now_ms;
        let mut disk = lock(&self.disk);
        disk.unreachable.fill(false);
        disk.fates.fill(None);
        drop(disk);
        for server in 0..self.servers.len() {
            self.servers[server].stalled_until_ms = 0;
            self.server_back(server, 10);
        }
        for edge in 0..self.edges.len() {
            self.edges[edge].cut_until_ms = 0;
            self.edges[edge].clock_off_ms = 0;
            if self.edges[edge].down_until_ms.is_some_and(|until| until > now_ms) {
                self.edge_back(edge, 10);
            }
        }
    }

    /// Waits until all that was counted is told.
    fn tell_all(&mut self) -> Held {
        let until_ms = self.now_ms + COUNTS_WITHIN_MS;
        while self.now_ms < until_ms && (self.all_told().is_err() || !self.agrees()) {
            let then_ms = self.now_ms + 4 * TICK_MS;
            self.go_on(|world| world.now_ms >= then_ms)?;
        }
        // What standbys handed on is taken in at the leader's next turn.
        let then_ms = self.now_ms + 4 * TICK_MS;
        self.go_on(|world| world.now_ms >= then_ms)
    }

    fn must(&self, holds: impl Fn(&World) -> bool, what: &str) -> Held {
        if holds(self) { Ok(()) } else { Err(format!("converges: {what}")) }
    }

    /// Whether somebody leads, and all edges have what the store has.
    fn agrees(&self) -> bool {
        let newest = lock(&self.disk).policies.last().map_or(0, |row| row.revision);
        self.servers.iter().any(Server::leads)
            && self.edges.iter().all(|edge| edge.all_have(newest))
    }

    /// Whether the rollout is over. Somebody lets it go on that was paused.
    fn has_ended(&mut self) -> Result<bool, String> {
        self.ask_leader("get_rollout")?;
        let rollout = self.rollout.as_ref();
        let phase = rollout.and_then(|rollout| rollout["phase"].as_str());
        let untested = rollout.is_some_and(|rollout| {
            let tests = ["failures", "slo", "latency"];
            rollout["percentage"] == 100
                && tests.iter().all(|test| rollout["evidence"][test].is_null())
        });
        if phase == Some("paused") {
            self.tell("resume_rollout", Asker::Operator(0))?;
            return Ok(false);
        }
        if phase == Some("held") && self.is_braked() {
            return Ok(true);
        }
        if phase == Some("held") && untested {
            // Promoted to the end before the old version was measured: there is nothing to
            // compare with, and only a person can say that it is well.
            self.tell("promote_rollout", Asker::Operator(0))?;
            return Ok(false);
        }
        Ok(phase.is_some_and(|phase| ENDED.contains(&phase)))
    }

    /// Whether the new version has everybody, and fails about as often as the old one may have
    /// when it was last measured, which was a few calls: no number of calls tells more, and
    /// only a person decides.
    fn is_near_its_bound(&self) -> bool {
        self.rollout.as_ref().is_some_and(|rollout| {
            let rule = rollout.pointer("/evidence/rule").and_then(Value::as_str);
            rollout["phase"] == "held"
                && rollout["percentage"] == 100
                && rule == Some("bound_undecided")
        })
    }

    /// Whether every worker that is up has had acknowledged what it counted.
    fn all_told(&self) -> Held {
        let mut workers = self.edges.iter().flat_map(|edge| &edge.workers);
        workers.try_for_each(|worker| check::told(&self.books, worker, &self.setup))
    }

    /// Whether nobody may get the new version: the kill switch is on, or a guard has tripped.
    /// There will be no evidence then until a person does something.
    fn is_braked(&self) -> bool {
        let killed =
            lock(&self.disk).policies.last().is_some_and(|row| row.document["kill_switch"] == true);
        killed || self.edges.iter().flat_map(|edge| &edge.workers).any(|worker| worker.tripped)
    }

    /// Every count is known, exactly.
    fn settle(&mut self) -> Held {
        for edge in &self.edges {
            for worker in &edge.workers {
                check::edge_counts(edge.id, worker)?;
            }
        }
        (self.stats, self.clients) = (None, None);
        self.ask_leader("get_migration_stats")?;
        self.ask_leader("get_clients")?;
        let Some(stats) = self.stats.clone() else {
            return Err("converges: nobody says what was counted".to_owned());
        };
        check::counts(&self.books, &stats, true)?;
        self.all_told()?;
        let listed = self.clients.clone().unwrap_or_default();
        check::clients(&self.books, &listed)?;
        let disk = lock(&self.disk);
        self.played.commits = disk.audit.len() as u64;
        self.operator.check(&disk)
    }
}
