//! Calls to an engine, packed for keeping.
//!
//! The format is part of a store's: a tag, a number and a length, then the bytes. Numbers
//! are little-endian.

/// A call that changed, or may have changed, the engine's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call<'a> {
    /// Lines of messages, and the time.
    Handle {
        /// Whole lines.
        lines: &'a [u8],
        /// The engine's time.
        now_ms: u64,
    },
    /// Another node's totals.
    Merge {
        /// One line.
        totals: &'a [u8],
    },
    /// Time passing.
    Tick {
        /// The engine's time.
        now_ms: u64,
    },
}

/// Calls, one after the other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Calls(Vec<u8>);

/// Tag, number, length of the bytes that follow.
const HEAD_BYTES: usize = 1 + 8 + 4;

const HANDLE: u8 = 1;
const MERGE: u8 = 2;
const TICK: u8 = 3;

impl Calls {
    /// Adds a call at the end.
    pub(crate) fn push(&mut self, call: Call<'_>) {
        let (tag, number, bytes) = match call {
            Call::Handle { lines, now_ms } => (HANDLE, now_ms, lines),
            Call::Merge { totals } => (MERGE, 0, totals),
            Call::Tick { now_ms } => (TICK, now_ms, [].as_slice()),
        };
        // Bodies are bounded by megabytes long before they come here.
        let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        debug_assert!(bytes.len() == len as usize, "a call is below 4 GiB");
        self.0.push(tag);
        self.0.extend_from_slice(&number.to_le_bytes());
        self.0.extend_from_slice(&len.to_le_bytes());
        self.0.extend_from_slice(bytes);
    }

    /// The packed form.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Takes a packed form back, or says at which byte it is none.
    ///
    /// # Errors
    /// The offset of the call that cannot be read.
    pub(crate) fn from_bytes(bytes: Vec<u8>) -> Result<Calls, usize> {
        let calls = Calls(bytes);
        let mut walk = calls.iter();
        while walk.next().is_some() {}
        match walk.rest.len() {
            0 => Ok(calls),
            rest => Err(calls.0.len() - rest),
        }
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How long the packed form is.
    pub(crate) fn len_bytes(&self) -> usize {
        self.0.len()
    }

    /// The calls, oldest first.
    pub(crate) fn iter(&self) -> Iter<'_> {
        Iter { rest: &self.0 }
    }
}

/// See [`Calls::iter`].
#[derive(Debug)]
pub(crate) struct Iter<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Iter<'a> {
    type Item = Call<'a>;

    fn next(&mut self) -> Option<Call<'a>> {
        let (head, rest) = self.rest.split_first_chunk::<HEAD_BYTES>()?;
        let number = u64::from_le_bytes(head[1..9].try_into().ok()?);
        let len = u32::from_le_bytes(head[9..].try_into().ok()?) as usize;
        let (bytes, rest) = rest.split_at_checked(len)?;
        let call = match head[0] {
            HANDLE => Call::Handle { lines: bytes, now_ms: number },
            MERGE => Call::Merge { totals: bytes },
            TICK if bytes.is_empty() => Call::Tick { now_ms: number },
            _ => return None,
        };
        self.rest = rest;
        Some(call)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> (Calls, Vec<Call<'static>>) {
        let list = vec![
            Call::Handle { lines: b"{}\n", now_ms: u64::MAX },
            Call::Merge { totals: b"" },
            Call::Tick { now_ms: 7 },
        ];
        let mut calls = Calls::default();
        list.iter().for_each(|call| calls.push(*call));
        (calls, list)
    }

    #[test]
    fn what_was_packed_comes_out_in_its_order() {
        let (calls, list) = sample();
        let back = Calls::from_bytes(calls.as_bytes().to_vec()).unwrap();
        assert_eq!(back.iter().collect::<Vec<_>>(), list);
    }

    #[test]
    fn a_cut_or_foreign_form_is_noticed_wherever_it_is_cut() {
        let (calls, _) = sample();
        let bytes = calls.as_bytes();
        let whole = [0, HEAD_BYTES + 3, 2 * HEAD_BYTES + 3, bytes.len()];
        for end in 0..=bytes.len() {
            let read = Calls::from_bytes(bytes[..end].to_vec());
            assert_eq!(read.is_ok(), whole.contains(&end), "cut at {end}");
        }
        assert_eq!(Calls::from_bytes(vec![9; HEAD_BYTES]), Err(0));
    }
}
