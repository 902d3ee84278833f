//! What travels, and what becomes of it on the way.

use crate::chance::Chance;

/// Who waits for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Asker {
    /// An instance of the filter, by its number in the world, and its call's token.
    Worker { edge: usize, uid: u64, token: u32 },
    /// Somebody who gave a command, by the command's number.
    Operator(u64),
    /// The world itself, which is not part of it.
    Probe,
}

/// A request to a server.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) from: Asker,
    pub(crate) method: String,
    /// `policy`, `totals`, `client-reports`, `rollout/pause`.
    pub(crate) path: String,
    pub(crate) if_none_match: String,
    pub(crate) if_match: u64,
    /// An operator's, by which a command is known again.
    pub(crate) key: Option<String>,
    pub(crate) body: Vec<u8>,
}

/// Its answer.
#[derive(Debug, Clone)]
pub(crate) struct Response {
    pub(crate) to: Asker,
    pub(crate) status: u16,
    pub(crate) etag: Option<String>,
    pub(crate) body: Vec<u8>,
}

/// How bad it is, in thousandths and milliseconds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Weather {
    pub(crate) lost: u64,
    pub(crate) twice: u64,
    pub(crate) slow: u64,
    pub(crate) slow_ms: u64,
}

impl Weather {
    pub(crate) fn draw(chance: &mut Chance) -> Weather {
        Weather {
            lost: *chance.of(&[0, 20, 100, 400]),
            twice: *chance.of(&[0, 50, 300]),
            slow: *chance.of(&[0, 100, 500]),
            slow_ms: *chance.of(&[200, 2_000, 8_000]),
        }
    }

    /// After how long each copy of something arrives.
    pub(crate) fn delays(self, chance: &mut Chance) -> Vec<u64> {
        if chance.permille(self.lost) {
            return Vec::new();
        }
        let copies = 1 + usize::from(chance.permille(self.twice));
        let slow = |chance: &mut Chance| {
            if chance.permille(self.slow) { chance.below(self.slow_ms) } else { 0 }
        };
        (0..copies).map(|_| 1 + chance.below(20) + slow(chance)).collect()
    }
}
