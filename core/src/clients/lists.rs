//! Whom the policy lists: as ready, as blocked, as pinned back.
//!
//! The ledger marks clients, and every edge goes by the policy; here one follows the other,
//! within what an edge reads.

use crossfade_ledger::Flags;
use crossfade_protocol::clients::{ClientsReport, Identity};
use crossfade_protocol::limits::{LISTED_BYTES_MAX, LISTED_CLIENTS_MAX};
use crossfade_protocol::order;
use crossfade_protocol::plan::{ClientPlan, listed_bytes};

use super::Clients;

/// Keys by what each is to be marked with, as [`MARKS`] has it, in order.
pub(super) type Awaited = [Vec<String>; 3];

/// How soon the policy has to list whom it does not list yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Unlisted {
    /// Nobody is missing.
    Nobody,
    /// What clients have said of themselves: [`LIST_MS`] after the last time, so that nobody
    /// who keeps changing its mind makes one policy after another.
    Soon,
    /// Somebody asked for it, or the new version fails a client.
    Now,
}

/// The policy follows what clients say of themselves so often.
const LIST_MS: u64 = 60_000;

impl Clients {
    /// What a policy lists of clients is marked at those who are known, and the others are
    /// waited for.
    pub(crate) fn mark(&mut self, plan: &ClientPlan) {
        for (keys, flag) in lists(plan).into_iter().zip(MARKS) {
            let other = match flag {
                Flags::PINNED_BACK => Flags::NONE,
                flag => Flags::READY.with(Flags::BLOCKED).without(flag),
            };
            for key in keys {
                self.table.set_flag(key.as_bytes(), Identity::Key, other, false);
                self.table.set_flag(key.as_bytes(), Identity::Key, flag, true);
            }
        }
        self.wait_for(plan);
    }

    /// Waits for those whom the policy lists and who have not called yet.
    pub(crate) fn wait_for(&mut self, plan: &ClientPlan) {
        self.awaited = lists(plan).map(Vec::clone);
        for keys in &mut self.awaited {
            keys.retain(|key| self.table.get(key.as_bytes(), Identity::Key).is_none());
            order::sort(keys);
        }
    }

    /// Whoever was awaited is marked at its first call, unless it says itself what it is.
    pub(super) fn meet(&mut self, report: &ClientsReport) {
        if self.awaited.iter().all(Vec::is_empty) {
            return;
        }
        for row in report.clients.iter().filter(|row| row.identity == Identity::Key) {
            let key = row.key.as_bytes();
            for (keys, flag) in self.awaited.iter_mut().zip(MARKS) {
                let Ok(at) = place(keys, &row.key) else { continue };
                if self.table.get(key, Identity::Key).is_some() {
                    keys.remove(at);
                    if row.says.is_none() || flag == Flags::PINNED_BACK {
                        self.table.set_flag(key, Identity::Key, flag, true);
                    }
                }
            }
        }
        // The policy lists them already.
        self.table.was_marked();
    }

    /// What a policy is to list, if it is time to: whoever is marked, in order. Those whom
    /// `before` lists come first where there is no room for all, and stay before they call.
    /// How many are marked is noted on the way.
    pub(crate) fn list(&mut self, before: &ClientPlan, now_ms: u64) -> Option<ClientPlan> {
        let due_ms = self.kept.listed_ms.map_or(0, |at_ms| at_ms.saturating_add(LIST_MS));
        match self.unlisted {
            Unlisted::Nobody => return None,
            Unlisted::Soon if now_ms < due_ms => return None,
            Unlisted::Soon => self.kept.listed_ms = Some(now_ms),
            Unlisted::Now => {}
        }
        self.unlisted = Unlisted::Nobody;
        let mut marked: [Vec<String>; 3] = Default::default();
        let mut counts = self.awaited.each_ref().map(|keys| keys.len() as u64);
        for client in self.table.iter().filter(|client| client.flags.has_any(MARKS)) {
            // By their routing keys alone edges know clients.
            let key = std::str::from_utf8(client.key).ok();
            let key = key.filter(|_| client.identity == Identity::Key);
            for ((list, count), flag) in marked.iter_mut().zip(&mut counts).zip(MARKS) {
                if client.flags.has(flag) {
                    *count += 1;
                    list.extend(key.map(str::to_owned));
                    // However many say that they are ready, few are held.
                    if list.len() > 8 * LISTED_CLIENTS_MAX {
                        first(list);
                    }
                }
            }
        }
        [_, self.kept.blocked, self.kept.pinned_back] = counts;
        let mut plan = before.clone();
        let now = [&mut plan.ready, &mut plan.blocked, &mut plan.pinned_back];
        for ((now, mut marked), flag) in now.into_iter().zip(marked).zip(MARKS) {
            now.retain(|key| {
                let client = self.table.get(key.as_bytes(), Identity::Key);
                client.is_none_or(|client| client.flags.has(flag))
            });
            order::sort(now);
            first(&mut marked);
            marked.retain(|key| place(now, key).is_err());
            let mut bytes = 0;
            now.append(&mut marked);
            now.truncate(LISTED_CLIENTS_MAX);
            now.retain(|key| {
                bytes += listed_bytes(key);
                bytes <= LISTED_BYTES_MAX
            });
            order::sort(now);
        }
        Some(plan)
    }
}

/// What a policy marks clients with.
const MARKS: [Flags; 3] = [Flags::READY, Flags::BLOCKED, Flags::PINNED_BACK];

/// Whom a plan lists, as what [`MARKS`] says.
pub(crate) fn lists(plan: &ClientPlan) -> [&Vec<String>; 3] {
    [&plan.ready, &plan.blocked, &plan.pinned_back]
}

fn place(keys: &[String], key: &str) -> Result<usize, usize> {
    keys.binary_search_by(|other| (**other).cmp(key))
}

/// Keeps as many as there is room for beside those that are listed already, in order.
fn first(keys: &mut Vec<String>) {
    order::sort(keys);
    keys.truncate(2 * LISTED_CLIENTS_MAX);
}
