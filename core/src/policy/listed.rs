//! Clients that a policy treats apart, by their keys.

use crossfade_protocol::plan::ClientPlan;

/// How a client is treated apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Apart {
    /// Back on the stable version, whatever a pin or a rule says.
    PinnedBack,
    /// Among the first.
    Ready,
    /// Among the last.
    Blocked,
}

impl Apart {
    pub(super) fn word(self) -> &'static str {
        match self {
            Apart::PinnedBack => "pinned back",
            Apart::Ready => "ready",
            Apart::Blocked => "blocked",
        }
    }
}

/// Sorted by key; a client once.
#[derive(Debug, Clone, Default)]
pub(super) struct Listed(Vec<(Box<[u8]>, Apart)>);

impl Listed {
    /// Being pinned back counts more than what a client has said.
    pub(super) fn new(clients: &ClientPlan) -> Listed {
        let lists = [
            (&clients.pinned_back, Apart::PinnedBack),
            (&clients.ready, Apart::Ready),
            (&clients.blocked, Apart::Blocked),
        ];
        let mut listed: Vec<(Box<[u8]>, Apart)> = Vec::new();
        for (keys, apart) in lists {
            listed.extend(keys.iter().map(|key| (key.as_bytes().into(), apart)));
        }
        crossfade_protocol::order::sort(&mut listed);
        listed.dedup_by(|later, earlier| later.0 == earlier.0);
        Listed(listed)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[inline]
    pub(super) fn get(&self, key: Option<&[u8]>) -> Option<Apart> {
        if self.0.is_empty() { None } else { find(&self.0, key) }
    }
}

/// What stands beside a key in a list that is sorted by it. Out of line: most policies have
/// no such list, and a decision without one is then short.
#[inline(never)]
pub(super) fn find<T: Copy>(listed: &[(Box<[u8]>, T)], key: Option<&[u8]>) -> Option<T> {
    let key = key?;
    let place = listed.binary_search_by(|(known, _)| (**known).cmp(key)).ok()?;
    listed.get(place).map(|(_, value)| *value)
}
