//! Names that many clients share: of their software, of their reasons.

use crate::save;
use crate::table::overwrite;

/// Names by small numbers. A name that nobody has any more is forgotten.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names {
    /// The name of number n + [`FIRST`], and how many have it.
    names: Vec<(String, u32)>,
    /// Numbers in order of their names.
    sorted: Vec<u16>,
}

/// Nothing.
pub(crate) const NONE: u16 = 0;
/// A name for which there was no room.
pub(crate) const OTHER: u16 = 1;
const FIRST: u16 = 2;

impl Names {
    /// The number of a name, which is held once more; `max` are told apart.
    pub(crate) fn hold(&mut self, name: &str, max: usize) -> u16 {
        if name.is_empty() {
            return NONE;
        }
        let place = match self.search(name) {
            Ok(place) => {
                let number = self.sorted.get(place).copied().unwrap_or(OTHER);
                if let Some((_, held)) = self.entry(number) {
                    *held = held.saturating_add(1);
                }
                return number;
            }
            Err(place) => place,
        };
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
        self.sorted.insert(place, number);
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
            let name = name.clone();
            if let Ok(place) = self.search(&name) {
                self.sorted.remove(place);
            }
            overwrite(&mut name.into_bytes());
            if let Some((name, _)) = self.entry(number) {
                overwrite(&mut std::mem::take(name).into_bytes());
            }
        }
    }

    pub(crate) fn get(&self, number: u16) -> Option<&str> {
        if number == OTHER {
            return Some("other");
        }
        self.names.get(usize::from(number.checked_sub(FIRST)?)).map(|(name, _)| name.as_str())
    }

    /// Writes the names that somebody has, with their numbers.
    pub(crate) fn save(&self, out: &mut Vec<u8>) {
        save::number(out, self.sorted.len() as u64);
        for number in &self.sorted {
            save::entry(out, self.get(*number).unwrap_or_default().as_bytes(), (*number).into(), 0);
        }
    }

    /// What was saved: at most `max` names, all different. Nobody has one yet.
    pub(crate) fn load(from: &mut &[u8], max: usize) -> Option<Names> {
        let mut names = Names::default();
        for _ in 0..save::read_number(from)? {
            let (name, number, _) = save::read_entry(from)?;
            let name = std::str::from_utf8(name).ok()?;
            let number = u16::try_from(number).ok()?;
            let at = usize::from(number.checked_sub(FIRST)?);
            if at >= max || name.is_empty() {
                return None;
            }
            let place = names.search(name).err()?;
            while names.names.len() <= at {
                names.names.push((String::new(), 0));
            }
            let (kept, _) = names.names.get_mut(at)?;
            if !kept.is_empty() {
                return None;
            }
            kept.push_str(name);
            names.sorted.insert(place, number);
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

    fn search(&self, name: &str) -> Result<usize, usize> {
        self.sorted.binary_search_by(|number| self.get(*number).unwrap_or_default().cmp(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whichever goes, in whatever order: the rest is found.
    #[test]
    fn names_that_nobody_has_any_more_are_gone() {
        let mut names = Names::default();
        let numbers: Vec<u16> = (0..50).map(|n| names.hold(&format!("app/{n}"), 50)).collect();
        assert_eq!(names.hold("another", 50), OTHER);
        for gone in 0..50 {
            names.release(numbers[gone * 7 % 50]);
            let left: Vec<usize> = (gone + 1..50).map(|n| n * 7 % 50).collect();
            assert_eq!(names.sorted.len(), left.len());
            for n in left {
                assert_eq!(
                    names.search(&format!("app/{n}")).map(|at| names.sorted[at]),
                    Ok(numbers[n])
                );
            }
        }
        let another = names.hold("another", 50);
        assert_eq!(names.get(another), Some("another"));
    }
}
