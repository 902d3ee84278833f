//! Some of the clients, in an order.

use crossfade_protocol::clients::Identity;
use crossfade_protocol::order::{first, sort_by};

use crate::sample::{Counted, Rows, Side};
use crate::table::{Client, Flags, Ledger};

/// Which clients; everybody by default.
#[derive(Clone, Copy, Default)]
pub struct Filter<'a> {
    /// Whose last call went to this side.
    pub side: Option<Side>,
    /// Whose last call went to the version at this place.
    pub version: Option<u8>,
    /// Who have all of these flags.
    pub flags: Flags,
    /// Whose software has this name, whatever its version, or this name and version.
    pub software: Option<&'a str>,
    /// Whose key has this in it.
    pub contains: Option<&'a [u8]>,
    /// Who were seen then or later.
    pub since_s: Option<u32>,
    /// And of whom this is true.
    pub also: Option<&'a dyn Fn(&Client<'_>) -> bool>,
}

/// What clients are listed by. Equals follow each other by key, then by identity.
#[derive(Clone, Copy)]
pub enum Order<'a> {
    /// Requests, most first.
    Requests,
    /// Requests to old versions, most first.
    OldRequests,
    /// The last call, latest first.
    LastSeen,
    /// The last call to an old version, latest first.
    LastOld,
    /// The first call, latest first.
    FirstSeen,
    /// The usual gap between visits, longest first.
    Interval,
    /// The key, in order of its bytes.
    Key,
    /// Something else, largest first.
    By(&'a dyn Fn(&Client<'_>) -> u64),
}

/// What was found.
#[derive(Debug)]
pub struct Selected<'a> {
    /// How many there are, listed or not.
    pub total: Counted,
    /// Those that were asked for.
    pub clients: Vec<Client<'a>>,
}

/// A client on its way to a list: what it is placed by, and where it is.
type Candidate = (u64, u32);

impl Ledger {
    /// The clients that pass `filter`, in order or the other way round, without the first
    /// `offset`, and at most `limit`.
    ///
    /// No more is held than could be listed: 16 bytes for each of `offset` and `limit`.
    pub fn select(
        &self,
        filter: &Filter<'_>,
        order: Order<'_>,
        reverse: bool,
        offset: usize,
        limit: usize,
    ) -> Selected<'_> {
        let compare = |a: &Candidate, b: &Candidate| {
            let ordering = a.0.cmp(&b.0).then_with(|| self.key_at(a.1).cmp(&self.key_at(b.1)));
            if reverse { ordering.reverse() } else { ordering }
        };
        let mut rows = Rows::default();
        let found = self.walk().filter(|(_, client)| self.passes(filter, client));
        let found = found.map(|(at, client)| {
            rows.add(self, &client);
            (rank(order, &client), at)
        });
        // All are gone through, also when none is wanted: they count.
        let mut found = first(found, offset.saturating_add(limit).max(1), compare);
        found.truncate(offset.saturating_add(limit));
        let clients = found.iter().skip(offset).take(limit);
        let asked = [Side::Old, Side::New].map(|side| {
            filter.side.is_none_or(|asked| asked == side)
                && filter.version.is_none_or(|version| self.side_of(version) == side)
        });
        Selected {
            total: self.counted(&rows, &asked, filter.since_s),
            clients: clients.filter_map(|(_, at)| self.client_at(*at)).collect(),
        }
    }

    fn key_at(&self, at: u32) -> Option<(&[u8], Identity)> {
        self.client_at(at).map(|client| (client.key, client.identity))
    }

    fn passes(&self, filter: &Filter<'_>, client: &Client<'_>) -> bool {
        let named = |name: &str| {
            let software = client.software.and_then(|number| self.software(number));
            software
                .and_then(|software| software.strip_prefix(name))
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let has = |part: &[u8]| {
            part.is_empty() || client.key.windows(part.len()).any(|window| window == part)
        };
        filter.version.is_none_or(|version| version == client.version)
            && filter.side.is_none_or(|side| side == self.side_of(client.version))
            && client.flags.has(filter.flags)
            && filter.since_s.is_none_or(|since_s| client.last_seen_s() >= since_s)
            && filter.software.is_none_or(named)
            && filter.contains.is_none_or(has)
            && filter.also.is_none_or(|also| also(client))
    }

    /// Clients and requests to old versions for each software of those who pass `filter`,
    /// most clients first; without a name, those whose software is not known.
    pub fn by_software(&self, filter: &Filter<'_>) -> Vec<(Option<&str>, u64, u64)> {
        let mut sums: Vec<(u64, u64)> = Vec::new();
        for client in self.iter().filter(|client| self.passes(filter, client)) {
            let number = usize::from(client.software.unwrap_or_default());
            if sums.len() <= number {
                sums.resize(number + 1, (0, 0));
            }
            sums[number].0 += 1;
            sums[number].1 += u64::from(client.old.requests);
        }
        let mut list: Vec<_> = (0..)
            .zip(sums)
            .filter(|(_, (clients, _))| *clients > 0)
            .map(|(number, (clients, calls))| (self.software(number), clients, calls))
            .collect();
        sort_by(&mut list, |a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
        list
    }
}

/// What a client is placed by, smallest first.
fn rank(order: Order<'_>, client: &Client<'_>) -> u64 {
    let largest_first = match order {
        Order::Requests => client.requests(),
        Order::OldRequests => client.old.requests.into(),
        Order::LastSeen => client.last_seen_s().into(),
        Order::LastOld => client.old.last_s.into(),
        Order::FirstSeen => client.first_seen_s().into(),
        Order::Interval => client.rhythm.typical_s().unwrap_or_default().into(),
        Order::By(of) => of(client),
        Order::Key => {
            let mut first = [0; 8];
            first.iter_mut().zip(client.key).for_each(|(to, byte)| *to = *byte);
            return u64::from_be_bytes(first);
        }
    };
    !largest_first
}
