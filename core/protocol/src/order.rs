//! Sorting in little code.
//!
//! The standard library's sorts are made for speed and take several kilobytes for each type
//! and order: 82 in the module before this one took their place. What is sorted here is
//! short, or asked for seldom.

use std::cmp::Ordering;

/// Sorts in place, equals in any order. A heap sort: at most 2 n log n comparisons.
pub fn sort_by<T>(items: &mut [T], mut order: impl FnMut(&T, &T) -> Ordering) {
    let len = items.len();
    for top in (0..len / 2).rev() {
        sift(items, top, len, &mut order);
    }
    for end in (1..len).rev() {
        items.swap(0, end);
        sift(items, 0, end, &mut order);
    }
}

/// The same in the order that the type has.
pub fn sort<T: Ord>(items: &mut [T]) {
    sort_by(items, T::cmp);
}

/// The first `limit` of `all`, sorted; no more are held at a time.
pub fn first<T>(
    all: impl IntoIterator<Item = T>,
    limit: usize,
    mut order: impl FnMut(&T, &T) -> Ordering,
) -> Vec<T> {
    let mut held: Vec<T> = Vec::new();
    if limit == 0 {
        return held;
    }
    for item in all {
        if held.len() < limit {
            held.push(item);
            if held.len() == limit {
                for top in (0..limit / 2).rev() {
                    sift(&mut held, top, limit, &mut order);
                }
            }
        } else if let Some(last) = held.first_mut()
            && order(&item, last) == Ordering::Less
        {
            *last = item;
            sift(&mut held, 0, limit, &mut order);
        }
    }
    sort_by(&mut held, order);
    held
}

/// Lets what is at `at` sink until nothing below it comes after it.
#[inline(never)]
fn sift<T>(items: &mut [T], mut at: usize, len: usize, order: &mut impl FnMut(&T, &T) -> Ordering) {
    loop {
        let (left, right) = (2 * at + 1, 2 * at + 2);
        if left >= len {
            return;
        }
        let below = if right < len && order(&items[left], &items[right]) == Ordering::Less {
            right
        } else {
            left
        };
        if order(&items[at], &items[below]) != Ordering::Less {
            return;
        }
        items.swap(at, below);
        at = below;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_sorts_as_the_standard_library_does(mut items: Vec<u8>, limit in 0..40usize) {
            let mut expected = items.clone();
            expected.sort_unstable();
            let some = first(items.iter().copied(), limit, u8::cmp);
            prop_assert_eq!(&some[..], &expected[..limit.min(expected.len())]);
            sort(&mut items);
            prop_assert_eq!(items, expected);
        }
    }
}
