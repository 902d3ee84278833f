//! Copying what is mostly as short as a client's key.

/// Copies `from` over `to`, which is as long; if it is not, nothing happens.
///
/// Up to 32 bytes two overlapping words do it, which takes a fraction of the time of the
/// call that a copy of any length is.
#[inline(always)]
pub(super) fn copy(from: &[u8], to: &mut [u8]) {
    if from.len() != to.len() {
        return;
    }
    match from.len() {
        4..8 => ends::<4>(from, to),
        8..=16 => ends::<8>(from, to),
        17..=32 => ends::<16>(from, to),
        _ => to.copy_from_slice(from),
    }
}

/// Copies the first and the last `N` bytes.
#[inline(always)]
fn ends<const N: usize>(from: &[u8], to: &mut [u8]) {
    if let (Some(first), Some(last)) = (from.first_chunk::<N>(), from.last_chunk::<N>()) {
        if let Some(to) = to.first_chunk_mut() {
            *to = *first;
        }
        if let Some(to) = to.last_chunk_mut() {
            *to = *last;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_of_any_length_is_whole_and_touches_nothing_else() {
        let from: Vec<u8> = (1..=100).collect();
        for len in 0..=100 {
            let mut to = [0; 102];
            copy(&from[..len], &mut to[1..=len]);
            assert_eq!(to[1..=len], from[..len], "{len} bytes");
            assert!(to[0] == 0 && to[len + 1..].iter().all(|byte| *byte == 0), "{len} bytes");
        }
        let mut to = [0; 8];
        copy(&from[..9], &mut to);
        assert_eq!(to, [0; 8]);
    }
}
