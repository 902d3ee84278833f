//! What goes wrong, and when.

use crate::chance::Chance;
use crate::disk::Fate;
use crate::network::Weather;

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// A server is killed, and comes back after so long; on a machine that was off.
    Kill { server: usize, back_ms: u64, reboot: bool },
    /// A server is told to end, and comes back.
    Stop { server: usize, back_ms: u64 },
    /// A machine is paused.
    Stall { server: usize, for_ms: u64 },
    /// Somebody sets its wall clock.
    SetClock { server: usize, off_ms: i64 },
    /// The store cannot be reached from there.
    CutStore { server: usize, for_ms: u64 },
    /// What becomes of its next commit.
    Commit { server: usize, fate: Fate, back_ms: u64 },
    /// An edge reaches no server.
    CutEdge { edge: usize, for_ms: u64 },
    /// An Envoy crashes.
    Crash { edge: usize, back_ms: u64 },
    /// A worker traps.
    Trap { edge: usize, worker: usize },
    /// An edge's clock jumps.
    EdgeClock { edge: usize, off_ms: i64 },
    /// The network changes.
    Weather(Weather),
}

impl Fault {
    pub(crate) fn draw(chance: &mut Chance, servers: usize, edges: usize) -> Fault {
        let server = chance.below(servers as u64) as usize;
        let edge = chance.below(edges as u64) as usize;
        let (back_ms, for_ms) = (chance.between(200, 6_000), chance.between(500, 9_000));
        let off_ms = *chance.of(&[-86_400_000, -5_000, -700, 0, 900, 20_000, 3_600_000]);
        match chance.below(16) {
            0 | 1 => Fault::Kill { server, back_ms, reboot: chance.permille(500) },
            2 => Fault::Stop { server, back_ms },
            3 | 4 => Fault::Stall { server, for_ms },
            5 => Fault::SetClock { server, off_ms },
            6 => Fault::CutStore { server, for_ms },
            7..=9 => {
                let fates = [Fate::Fails, Fate::KeptAndFails, Fate::DiesBefore, Fate::DiesAfter];
                Fault::Commit { server, fate: *chance.of(&fates), back_ms }
            }
            10 => Fault::CutEdge { edge, for_ms },
            11 => Fault::Crash { edge, back_ms },
            12 => Fault::Trap { edge, worker: chance.below(2) as usize },
            13 => Fault::EdgeClock { edge, off_ms },
            _ => Fault::Weather(Weather::draw(chance)),
        }
    }
}
