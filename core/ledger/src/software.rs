//! Names that many clients share: of their software, of their reasons.

use crossfade_protocol::order;

use crate::save;
use crate::table::overwrite;

/// Names by small numbers. A name that nobody has any more is forgotten.
///
/// They are found by their hashes, which whoever asks has to give: names of software begin
/// alike, and to compare a new client's with a dozen of them took longer than all the rest
/// of its row.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names {
    /// The name of number n + [`FIRST`], and how many have it.
    names: Vec<(String, u32)>,
    /// Hashes of names, in order, with their numbers.
    hashes: Vec<(u64, u16)>,
}

/// Nothing.
pub(crate) const NONE: u16 = 0;
/// A name for which there was no room.
pub(crate) const OTHER: u16 = 1;
const FIRST: u16 = 2;

impl Names {
    /// The number of a name that somebody has already, which is held once more.
    pub(crate) fn again(&mut self, hash: u64, name: &str) -> Option<u16> {
        let number = self.find(hash, name)?;
        if let Some((_, held)) = self.entry(number) {
            *held = held.saturating_add(1);
        }
        Some(number)
    }

    /// The number of a name, which is held once more; `max` are told apart.
    pub(crate) fn hold(&mut self, hash: u64, name: &str, max: usize) -> u16 {
        if name.is_empty() {
            return NONE;
        }
        if let Some(number) = self.again(hash, name) {
            return number;
        }
        let free = if self.names.len() < max {
            self.names.push((String::new(), 0));
            self.names.len() - 1
        } else {
            match self.names.iter().position(|(_, held)| *held == 0) {
                Some(free) => free,
                None => return OTHER,
            }
        };
        let number = free as u16 + FIRST;
        if let Some(entry) = self.names.get_mut(free) {
            *entry = (name.to_owned(), 1);
        }
        self.put(hash, number);
        number
    }

    /// One holds this name no longer.
    pub(crate) fn release(&mut self, number: u16) {
        let Some((name, held)) = self.entry(number) else { return };
        // A count that has stopped cannot be counted down: the name stays.
        if *held == u32::MAX {
            return;
        }
        *held = held.saturating_sub(1);
        if *held == 0 {
            overwrite(&mut std::mem::take(name).into_bytes());
            self.hashes.retain(|(_, known)| *known != number);
        }
    }

    pub(crate) fn get(&self, number: u16) -> Option<&str> {
        if number == OTHER {
            return Some("other");
        }
        self.names.get(usize::from(number.checked_sub(FIRST)?)).map(|(name, _)| name.as_str())
    }

    /// Writes the names that somebody has, in their order, with their numbers.
    pub(crate) fn save(&self, out: &mut Vec<u8>) {
        let name = |number: u16| self.get(number).unwrap_or_default();
        let mut numbers: Vec<u16> = self.hashes.iter().map(|(_, number)| *number).collect();
        order::sort_by(&mut numbers, |one, other| name(*one).cmp(name(*other)));
        save::number(out, numbers.len() as u64);
        for number in numbers {
            save::entry(out, name(number).as_bytes(), number.into(), 0);
        }
    }

    /// What was saved: at most `max` names, all different. Nobody has one yet.
    pub(crate) fn load(
        from: &mut &[u8],
        max: usize,
        hash_of: &dyn Fn(&str) -> u64,
    ) -> Option<Names> {
        let mut names = Names::default();
        for _ in 0..save::read_number(from)? {
            let (name, number, _) = save::read_entry(from)?;
            let name = std::str::from_utf8(name).ok()?;
            let number = u16::try_from(number).ok()?;
            let at = usize::from(number.checked_sub(FIRST)?);
            if at >= max || name.is_empty() {
                return None;
            }
            let hash = hash_of(name);
            if names.find(hash, name).is_some() {
                return None;
            }
            while names.names.len() <= at {
                names.names.push((String::new(), 0));
            }
            let (kept, _) = names.names.get_mut(at)?;
            if !kept.is_empty() {
                return None;
            }
            kept.push_str(name);
            names.put(hash, number);
        }
        Some(names)
    }

    /// One more has it; whether there is such a name.
    pub(crate) fn held(&mut self, number: u16) -> bool {
        match self.entry(number) {
            Some((name, held)) => {
                *held += 1;
                !name.is_empty()
            }
            None => number < FIRST,
        }
    }

    /// Whether somebody has each of them.
    pub(crate) fn are_held(&self) -> bool {
        self.names.iter().all(|(name, held)| name.is_empty() || *held > 0)
    }

    fn entry(&mut self, number: u16) -> Option<&mut (String, u32)> {
        self.names.get_mut(usize::from(number.checked_sub(FIRST)?))
    }

    fn find(&self, hash: u64, name: &str) -> Option<u16> {
        let from = self.hashes.partition_point(|(known, _)| *known < hash);
        let alike = self.hashes.get(from..)?.iter().take_while(|(known, _)| *known == hash);
        alike.map(|(_, number)| *number).find(|number| self.get(*number) == Some(name))
    }

    fn put(&mut self, hash: u64, number: u16) {
        let place = self.hashes.partition_point(|(known, _)| *known < hash);
        self.hashes.insert(place, (hash, number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whichever goes, in whatever order: the rest is found, though some hash alike.
    #[test]
    fn names_that_nobody_has_any_more_are_gone() {
        let mut names = Names::default();
        let name = |n: usize| format!("app/{n}");
        let hash = |n: usize| (n * 7 % 50 / 3) as u64;
        let numbers: Vec<u16> = (0..50).map(|n| names.hold(hash(n), &name(n), 50)).collect();
        assert_eq!(names.hold(99, "another", 50), OTHER);
        for gone in 0..50 {
            names.release(numbers[gone * 7 % 50]);
            assert_eq!(names.find(hash(gone * 7 % 50), &name(gone * 7 % 50)), None);
            let left: Vec<usize> = (gone + 1..50).map(|n| n * 7 % 50).collect();
            assert_eq!(names.hashes.len(), left.len());
            for n in left {
                assert_eq!(names.find(hash(n), &name(n)), Some(numbers[n]));
            }
        }
        let another = names.hold(99, "another", 50);
        assert_eq!(names.get(another), Some("another"));
    }

    /// In the order of the names, whatever that of their hashes.
    #[test]
    fn names_are_saved_alike_whatever_they_hash_to() {
        let saved = |hash: &dyn Fn(u64) -> u64| {
            let (mut names, mut out) = (Names::default(), Vec::new());
            for n in [3, 1, 4, 5, 9, 2, 6] {
                names.hold(hash(n), &format!("app/{n}"), 50);
            }
            names.save(&mut out);
            out
        };
        let out = saved(&|n| n);
        assert_eq!(out, saved(&|n| 100 - n));
        let loaded = Names::load(&mut out.as_slice(), 50, &|_| 7).unwrap();
        let mut again = Vec::new();
        loaded.save(&mut again);
        assert_eq!(out, again);
    }
}
