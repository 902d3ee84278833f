//! Reports of clients, taken in.

use crossfade_protocol::clients::{ClientCount, ClientRow, ClientsReport};
use crossfade_protocol::limits::VERSIONS_MAX;

use crate::sources::SourcesFull;
use crate::table::{Ledger, News};

impl Ledger {
    /// Takes in a report, once: whether it was new. `places` says which of our versions
    /// each of its is, `now_s` what no call is later than.
    ///
    /// Reports of different nodes may come in any order: counts, first and last calls and
    /// versions come out the same. Rhythms, and who has wavered, need not: a gap is only
    /// seen in calls that are told in order.
    ///
    /// # Errors
    /// Too many runs of nodes have reported already.
    pub fn take(
        &mut self,
        report: &ClientsReport,
        places: &[u8],
        now_s: u32,
    ) -> Result<bool, SourcesFull> {
        if !self.sources.take(&report.node, report.epoch, report.sequence, now_s)? {
            return Ok(false);
        }
        self.latest_s = self.latest_s.max(now_s);
        self.honour(report.theta, report.dropped, now_s);
        let mut counts = Vec::new();
        for row in &report.clients {
            self.absorb_by(&mut counts, row, places, now_s);
        }
        Ok(true)
    }

    /// Takes in one row of a report; whether the client has a row now.
    pub fn absorb(&mut self, row: &ClientRow, places: &[u8], now_s: u32) -> bool {
        self.absorb_by(&mut Vec::new(), row, places, now_s)
    }

    /// The same, with room for the counts that rows have in common.
    fn absorb_by(
        &mut self,
        counts: &mut Vec<ClientCount>,
        row: &ClientRow,
        places: &[u8],
        now_s: u32,
    ) -> bool {
        let place = |version: u8| places.get(usize::from(version)).copied().unwrap_or_default();
        counts.clear();
        counts.extend(row.counts.iter().take(VERSIONS_MAX).map(|count| ClientCount {
            version: place(count.version),
            // Clocks of nodes differ; what has not happened yet happened now.
            first_s: count.first_s.min(count.last_s).min(now_s),
            last_s: count.last_s.min(now_s),
            ..*count
        }));
        // Few, and mostly one: sorted by hand.
        for end in 1..counts.len() {
            for at in (1..=end).rev() {
                if counts[at].first_s < counts[at - 1].first_s {
                    counts.swap(at, at - 1);
                }
            }
        }
        self.hear(&News {
            key: row.key.as_bytes(),
            identity: row.identity,
            counts,
            on: place(row.on),
            latest_counts: false,
            agent: row.agent.as_deref(),
            refused: row.refused,
            says: row.says.as_ref(),
        })
    }
}
