//! All servers of a fleet lose power at once.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::{Pid, Signal, kill_process};

use super::support::disk::{Disk, cut_off, may_mount};
use super::support::serve::{Caller, Server, totals};
use super::{Fleet, Servers, assert_acts_are_whole, leads, try_share, until};

/// What one edge has reported: up to which report, and up to which one was acknowledged.
#[derive(Default)]
struct Reports {
    sent: u64,
    kept: u64,
}

impl Reports {
    fn send(&mut self, name: &str, caller: &Caller) {
        self.sent += 1;
        let line = totals(name, self.sent, self.sent * 10, 0).to_string();
        if caller.post("/v1/totals", &line).is_some_and(|said| said.status == 200) {
            self.kept = self.sent;
        }
    }
}

/// What was acknowledged.
#[derive(Default)]
struct Kept {
    policies: Mutex<Vec<(u64, f64)>>,
    tries: Mutex<u32>,
    /// Of an edge that reports to the leader, and of one that reports to a standby.
    edges: [Mutex<Reports>; 2],
}

impl Kept {
    fn counts(&self) -> [u64; 3] {
        let [first, second] = &self.edges;
        let kept = |edge: &Mutex<Reports>| edge.lock().unwrap().kept;
        [self.policies.lock().unwrap().len() as u64, kept(first), kept(second)]
    }

    fn put_share(&self, leader: &Caller) {
        let mut tries = self.tries.lock().unwrap();
        *tries += 1;
        let share = f64::from(*tries) / 100.0;
        if let Some(revision) = try_share(leader, share) {
            self.policies.lock().unwrap().push((revision, share));
        }
    }

    fn check(&self, leader: &Server) {
        let mut rows: Vec<serde_json::Value> = Vec::new();
        loop {
            let oldest = rows.last().map_or(u64::MAX >> 1, |row| row["revision"].as_u64().unwrap());
            let said = leader.get(&format!("/v1/policies?limit=1000&up_to={}", oldest - 1));
            let more = said.body["policies"].as_array().unwrap();
            if more.is_empty() {
                break;
            }
            rows.extend_from_slice(more);
        }
        for (revision, share) in &*self.policies.lock().unwrap() {
            let row = rows.iter().find(|row| row["revision"] == *revision);
            let found = row.and_then(|row| row["document"]["canary_percentage"].as_f64());
            assert_eq!(found, Some(*share), "policy {revision} was acknowledged");
        }
        assert_acts_are_whole(leader);
        let [mut kept, mut sent] = [0, 0];
        for edge in &self.edges {
            let edge = edge.lock().unwrap();
            kept += edge.kept * 10;
            sent += edge.sent * 10;
        }
        // What a standby handed on is read from the stream a moment later.
        let mut found = 0;
        until(&format!("of {kept} requests that were acknowledged"), || {
            let status = leader.get("/v1/status").body;
            found = status["migration"]["outcomes"]["v1"]["requests"].as_u64().unwrap_or(0);
            (found >= kept).then_some(())
        });
        assert!(found <= sent, "{found} requests of {sent}");
    }
}

#[test]
fn what_was_acknowledged_is_there_after_all_servers_lost_power_at_once() {
    const ROUNDS: u64 = 3;
    const MORE: u64 = 15;
    if !may_mount() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut disks = ["n1", "n2", "n3"].map(|name| Disk::new(folder.path(), name, 256 << 20));
    let servers = Servers::three_on(tempfile::tempdir().unwrap(), folder.path());
    let mut fleet = Fleet::new(servers);
    let kept = Kept::default();
    for _ in 0..ROUNDS {
        let serves = [fleet.serve("a"), fleet.serve("b")];
        let at = until("a leader", || serves.iter().position(leads));
        let (leader, standby) = (&serves[at], &serves[1 - at]);
        kept.check(leader);
        let enough = kept.counts().map(|count| count + MORE);
        let ended = AtomicBool::new(false);
        let until_ended = |mut act: Box<dyn FnMut() + '_>| {
            while !ended.load(Ordering::Relaxed) {
                act();
            }
        };
        std::thread::scope(|scope| {
            let kept = &kept;
            let until_ended = &until_ended;
            let operator = leader.caller();
            scope.spawn(move || until_ended(Box::new(|| kept.put_share(&operator))));
            for (edge, server) in [leader, standby].into_iter().enumerate() {
                let (caller, name) = (server.caller(), format!("edge-{edge}"));
                let report = move || kept.edges[edge].lock().unwrap().send(&name, &caller);
                scope.spawn(move || until_ended(Box::new(report)));
            }
            until("so much that was acknowledged", || {
                let counts = kept.counts();
                counts.iter().zip(enough).all(|(count, enough)| *count >= enough).then_some(())
            });
            // Machines without power do nothing more, and nor do their disks.
            for pid in fleet.servers.pids() {
                let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
                kill_process(pid, Signal::STOP).unwrap();
            }
            cut_off(&disks.each_ref().map(|disk| disk.path.as_path()));
            ended.store(true, Ordering::Relaxed);
            serves.iter().for_each(|serve| serve.signal(Signal::KILL));
        });
        drop(serves);
        (0..3).for_each(|n| fleet.servers.kill(n));
        disks.iter_mut().for_each(Disk::start_again);
        (0..3).for_each(|n| fleet.servers.start(n));
        fleet.servers.wait_until_healthy();
    }
    let serve = fleet.serve("a");
    until("a leader", || leads(&serve).then_some(()));
    kept.check(&serve);
    println!("acknowledged policies, and reports to a leader and a standby: {:?}", kept.counts());
}
