//! What is left out when there are more clients than room, and what can still be said.
//!
//! Each side of the table keeps the clients whose [`client_hash`] is at most its
//! threshold. Those who are still on an old version are the ones that matter, so the new
//! side gives way first. A statement about everybody is made from the clients below the
//! lowest threshold there has been, its *floor*: they were always kept. A statement about
//! a window that begins after the last moment at which anything was left out is exact,
//! whatever happened before.
//!
//! [`client_hash`]: crossfade_protocol::clients::client_hash

use crossfade_protocol::limits::VERSIONS_MAX;

use crate::heaviest::Callers;
use crate::select::{Filter, Order};
use crate::table::{At, Client, Flags, Ledger, Row, sample_hash};

/// Clients that are marked ready, blocked or pinned back are kept by themselves as long as
/// they are one in so many of the limit.
const MARKED_SHARE: usize = 8;

/// Where a client's last call went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// To any version but the newest.
    Old = 0,
    /// To the newest.
    New = 1,
}

/// A number of clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counted {
    /// The best guess; the number itself when it is exact.
    pub value: u64,
    /// Whether nobody was left out.
    pub exact: bool,
    /// At least so many, with 95 % confidence.
    pub low: u64,
    /// At most so many, with 95 % confidence.
    pub high: u64,
}

impl Counted {
    /// The same beside calls of which nobody knows whose they were: each may have been
    /// somebody's who is not counted.
    fn beside(self, untold: u64) -> Counted {
        let high = self.high.saturating_add(untold);
        Counted { exact: self.exact && untold == 0, high, ..self }
    }
}

/// Who is kept on one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Threshold {
    /// Clients up to this are kept.
    pub(crate) now: u64,
    /// The lowest that `now`, or an edge's, has been.
    pub(crate) floor: u64,
    /// When somebody was last left out.
    pub(crate) until_s: u32,
    /// Clients heard since `now` last changed.
    pub(crate) heard: u64,
}

impl Default for Threshold {
    fn default() -> Threshold {
        Threshold { now: u64::MAX, floor: u64::MAX, until_s: 0, heard: 0 }
    }
}

impl Threshold {
    fn left_out(&mut self, at_s: u32) {
        self.until_s = self.until_s.max(at_s);
    }

    /// Whether everybody who called at `since_s` or later is there.
    fn is_exact(&self, since_s: Option<u32>) -> bool {
        self.floor == u64::MAX || since_s.is_some_and(|since_s| since_s > self.until_s)
    }
}

/// Rows that were looked through.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rows {
    /// On the old side and the new.
    all: [u64; 2],
    /// How many of them are below their floor.
    kept: [u64; 2],
}

impl Rows {
    pub(crate) fn add(&mut self, ledger: &Ledger, client: &Client<'_>) {
        let side = ledger.side_of(client.version) as usize;
        self.all[side] += 1;
        let floor = ledger.thresholds[side].floor;
        let below = floor == u64::MAX
            || crossfade_protocol::clients::client_hash(client.key, client.identity) <= floor;
        self.kept[side] += u64::from(below);
    }

    /// How many clients they stand for, all of whom called at `since_s` or later.
    fn counted(&self, thresholds: &[Threshold; 2], since_s: Option<u32>) -> Counted {
        let mut sum = Counted { exact: true, ..Counted::default() };
        let (mut below, mut above) = (0.0, 0.0);
        for ((threshold, all), kept) in thresholds.iter().zip(self.all).zip(self.kept) {
            let part = if threshold.is_exact(since_s) {
                Counted { value: all, exact: true, low: all, high: all }
            } else {
                estimate(kept, all, threshold.floor)
            };
            sum.value = sum.value.saturating_add(part.value);
            sum.exact &= part.exact;
            // Errors of two samples add up as squares.
            let square = |far: u64| far as f64 * far as f64;
            below += square(part.value.saturating_sub(part.low));
            above += square(part.high.saturating_sub(part.value));
        }
        sum.low = sum.value.saturating_sub(libm::sqrt(below) as u64);
        sum.high = sum.value.saturating_add(libm::sqrt(above) as u64 + u64::from(above > 0.0));
        sum
    }
}

/// How many clients `kept` of them below `floor` stand for, when `all` were seen for sure.
///
/// The interval is Wilson's: those numbers of clients that would give `kept` within 1.96
/// standard deviations of what is expected. When nobody is kept, it ends at 3 divided by
/// the share that is: more clients would have shown in 95 of 100 samples.
fn estimate(kept: u64, all: u64, floor: u64) -> Counted {
    const Z: f64 = 1.96;
    let share = share(floor);
    let (kept_f, left) = (kept as f64, 1.0 - share);
    let value = kept_f / share;
    let middle = 2.0 * kept_f + Z * Z * left;
    let far = Z * libm::sqrt(left * (4.0 * kept_f + Z * Z * left));
    let (low, high) = match kept {
        0 => (0.0, 3.0 / share),
        _ => ((middle - far) / (2.0 * share), (middle + far) / (2.0 * share)),
    };
    let value = ((value + 0.5) as u64).max(all);
    Counted {
        value,
        exact: false,
        low: (low as u64).clamp(all, value),
        high: (high as u64).saturating_add(1).max(value),
    }
}

/// The share of all hashes that are at most this.
fn share(floor: u64) -> f64 {
    (floor as f64 + 1.0) / 18_446_744_073_709_551_616.0
}

impl Ledger {
    /// When a client, or one of its calls, was last left out; `None` while none was.
    pub fn sampled_until_s(&self) -> Option<u32> {
        let sampled = self.thresholds.iter().filter(|threshold| threshold.floor < u64::MAX);
        let untold = (self.untold > 0).then_some(self.untold_until_s);
        sampled.map(|threshold| threshold.until_s).chain(untold).max()
    }

    /// Calls of which nobody knows whose they were, and that belong to no sample: 0 when the
    /// last of them came before `since_s`.
    pub fn untold(&self, since_s: Option<u32>) -> u64 {
        let over = since_s.is_some_and(|since_s| since_s > self.untold_until_s);
        if over { 0 } else { self.untold }
    }

    /// So many more of them.
    pub(crate) fn leave_untold(&mut self, calls: u64, at_s: u32) {
        if calls > 0 {
            self.untold = self.untold.saturating_add(calls);
            self.untold_until_s = self.untold_until_s.max(at_s);
        }
    }

    /// The share of the clients on this side that are sure to be here; 1 for all.
    pub fn kept(&self, side: Side) -> f64 {
        share(self.thresholds[side as usize].floor)
    }

    /// Clients whose last call went to this side, at `since_s` or later when given.
    pub fn count(&self, side: Side, since_s: Option<u32>) -> Counted {
        self.count_of(&Filter { side: Some(side), since_s, ..Filter::default() })
    }

    /// Clients by the version that their last call went to, all in one look.
    pub fn by_version(&self) -> [Counted; VERSIONS_MAX] {
        let mut rows = [Rows::default(); VERSIONS_MAX];
        let sampled = self.has_floor();
        for client in self.iter().filter(|_| sampled) {
            rows[usize::from(client.version)].add(self, &client);
        }
        std::array::from_fn(|version| {
            if !sampled {
                return self.sure(self.per_version[version]);
            }
            let side = self.side_of(version as u8);
            let asked = [Side::Old, Side::New].map(|asked| asked == side);
            self.counted(&rows[version], &asked, None)
        })
    }

    /// All clients.
    pub fn clients(&self, since_s: Option<u32>) -> Counted {
        self.count_of(&Filter { since_s, ..Filter::default() })
    }

    /// What `filter` says of versions and times; quick when nothing was left out.
    fn count_of(&self, filter: &Filter<'_>) -> Counted {
        if filter.since_s.is_some() || self.has_floor() {
            return self.select(filter, Order::Key, false, 0, 0).total;
        }
        let mut value = 0;
        for (version, rows) in (0..).zip(&self.per_version) {
            let asked = filter.version.is_none_or(|asked| asked == version)
                && filter.side.is_none_or(|side| side == self.side_of(version));
            value += if asked { *rows } else { 0 };
        }
        self.sure(value)
    }

    fn has_floor(&self) -> bool {
        self.thresholds.iter().any(|threshold| threshold.floor < u64::MAX)
    }

    /// So many, and who made calls of which nobody knows whose they were.
    fn sure(&self, value: u64) -> Counted {
        let counted = Counted { value, exact: true, low: value, high: value };
        counted.beside(self.untold(None))
    }

    /// What rows stand for. A side that was not asked for has no rows, and no say in how
    /// exact this is.
    pub(crate) fn counted(&self, rows: &Rows, asked: &[bool; 2], since_s: Option<u32>) -> Counted {
        let mut thresholds = self.thresholds;
        for (threshold, asked) in thresholds.iter_mut().zip(asked) {
            if !asked {
                *threshold = Threshold::default();
            }
        }
        rows.counted(&thresholds, since_s).beside(self.untold(since_s))
    }

    /// An edge left out clients above `theta`, and did not say what `dropped` requests did.
    pub(crate) fn honour(&mut self, theta: u64, dropped: u64, now_s: u32) {
        self.dropped_before = self.dropped_before.saturating_add(dropped);
        if theta < u64::MAX {
            for threshold in &mut self.thresholds {
                threshold.floor = threshold.floor.min(theta);
                threshold.left_out(now_s);
            }
        } else {
            self.leave_untold(dropped, now_s);
        }
    }

    /// Whether those who are marked are few enough to be kept by themselves.
    fn spares(&self) -> bool {
        self.marks.saturating_mul(MARKED_SHARE) <= self.limit
    }

    /// Whether there is room for another row, made if need be.
    /// Whoever is marked is let in.
    pub(crate) fn has_room(&mut self, row: &Row, key: &[u8], marked: bool) -> bool {
        self.bytes += row.record_bytes();
        self.make_room(1);
        let marked = marked && self.spares();
        let threshold = &mut self.thresholds[self.side_of(row.place) as usize];
        if !marked && threshold.now < u64::MAX && sample_hash(row, key) > threshold.now {
            threshold.left_out(self.latest_s);
            self.bytes -= row.record_bytes();
            return false;
        }
        true
    }

    /// Halves a side until there is room for so many more.
    pub(crate) fn make_room(&mut self, more: usize) {
        while self.rows().iter().sum::<usize>() + more > self.limit || self.is_heavy() {
            // Whoever is marked is spared, unless clients mark themselves in crowds.
            let [mut old, mut new] = self.rows();
            let spare = self.spares();
            if spare && self.marks > 0 {
                let on_new = |client: &Client<'_>| client.version == self.newest;
                let marked = self.iter().filter(|client| client.flags.has_any(Flags::MARKS));
                let marked_new = marked.filter(on_new).count();
                (old, new) = (old - (self.marks - marked_new), new - marked_new);
            }
            if old + new == 0 {
                return;
            }
            let side = if new * 8 >= old + new { Side::New } else { Side::Old };
            self.halve(side, spare);
        }
    }

    /// Rows on the old side and the new.
    fn rows(&self) -> [usize; 2] {
        let new = self.on_version(self.newest) as usize;
        [self.per_version.iter().sum::<u64>() as usize - new, new]
    }

    fn is_heavy(&mut self) -> bool {
        let max = self.record_bytes_max();
        if self.bytes > max {
            // Those who went are still in that sum.
            self.bytes = self.record_bytes();
        }
        self.bytes > max
    }

    fn halve(&mut self, side: Side, spare: bool) {
        if side == Side::Old && self.callers.is_none() {
            self.callers = Some(self.first_callers());
        }
        let latest_s = self.latest_s;
        let threshold = &mut self.thresholds[side as usize];
        threshold.now /= 2;
        threshold.floor = threshold.floor.min(threshold.now);
        threshold.left_out(latest_s);
        threshold.heard = 0;
        let now = threshold.now;
        let newest = self.newest;
        let is_on = |place: u8| (place == newest) == (side == Side::New);
        self.retain(&|row, key| {
            !is_on(row.place)
                || spare && row.flags.has_any(Flags::MARKS)
                || sample_hash(row, key) <= now
        });
        self.bytes = self.record_bytes();
    }

    fn first_callers(&self) -> Callers {
        let mut callers = Callers::default();
        for client in self.iter().filter(|client| client.version != self.newest) {
            let hash = self.hash(client.key, client.identity as u8);
            callers.offer(hash, client.key, client.identity, client.old.requests.into());
        }
        callers
    }

    /// Keeps a row that has changed, unless it is now on a side that leaves it out.
    pub(crate) fn keep_or_drop(&mut self, at: At, before: u8) -> bool {
        if !self.is_sampled() {
            return true;
        }
        let (shard, _, place) = at;
        let Some((row, _, key)) = self.shards[shard].at(place).and_then(crate::table::read) else {
            return false;
        };
        let (side, hash) = (self.side_of(row.place), sample_hash(&row, key));
        let spares = self.spares();
        let threshold = &mut self.thresholds[side as usize];
        let marked = row.flags.has_any(Flags::MARKS) && spares;
        let stays = hash <= threshold.now || marked;
        if self.newest == before || side == Side::Old || stays {
            self.relax();
            return true;
        }
        threshold.left_out(self.latest_s);
        self.remove(at);
        self.relax();
        false
    }

    fn is_sampled(&self) -> bool {
        self.thresholds.iter().any(|threshold| threshold.now < u64::MAX)
    }

    /// Lets more in again when few are left. One step at a time, and not before the rows
    /// that are there could have been heard of a few times.
    pub(crate) fn relax(&mut self) {
        if !self.is_sampled() {
            return;
        }
        let rows = self.rows();
        let all: usize = rows.iter().sum();
        for side in [0, 1] {
            let threshold = &mut self.thresholds[side];
            threshold.heard = threshold.heard.saturating_add(1);
            // The new side gives way to the old one, and must leave it room.
            let few = if side == 0 { rows[0] } else { all };
            let waited = threshold.heard > 4 * rows[side] as u64;
            if threshold.now < u64::MAX && few * 4 <= self.limit && waited {
                threshold.now = threshold.now.saturating_mul(2) | 1;
                threshold.heard = 0;
            }
        }
    }

    /// What was new is old: whoever was left out there is left out here.
    pub(crate) fn fold_thresholds(&mut self) {
        let [old, new] = &mut self.thresholds;
        old.now = old.now.min(new.now);
        old.floor = old.floor.min(new.floor);
        old.until_s = old.until_s.max(new.until_s);
        *new = Threshold::default();
        if old.floor < u64::MAX && self.callers.is_none() {
            self.callers = Some(self.first_callers());
        }
    }
}
