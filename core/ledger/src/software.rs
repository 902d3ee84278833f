//! Names that many clients share: of their software, of their reasons.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::table::overwrite;

/// Names by small numbers. A name that nobody has any more is forgotten.
#[derive(Debug, Clone, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Names {
    /// The name of number n + [`FIRST`], and how many have it.
    names: Vec<(String, u32)>,
    /// Numbers in order of their names.
    #[borsh(skip)]
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
            let name = std::mem::take(name);
            if let Ok(place) = self.search(&name) {
                self.sorted.remove(place);
            }
            overwrite(&mut name.into_bytes());
        }
    }

    pub(crate) fn get(&self, number: u16) -> Option<&str> {
        if number == OTHER {
            return Some("other");
        }
        self.names.get(usize::from(number.checked_sub(FIRST)?)).map(|(name, _)| name.as_str())
    }

    /// Prepares names that were read for [`held`](Names::held): nobody has any, yet. Whether
    /// they can be names.
    pub(crate) fn unheld(&mut self, max: usize) -> bool {
        self.names.iter_mut().for_each(|(_, held)| *held = 0);
        let mut sorted: Vec<u16> = (FIRST..).take(self.names.len()).collect();
        sorted.retain(|number| self.get(*number).is_some_and(|name| !name.is_empty()));
        crossfade_protocol::order::sort_by(&mut sorted, |a, b| self.get(*a).cmp(&self.get(*b)));
        let all_differ = sorted.is_sorted_by(|a, b| self.get(*a) < self.get(*b));
        self.sorted = sorted;
        all_differ && self.names.len() <= max
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

    /// Takes out the names that nobody has.
    pub(crate) fn drop_unheld(&mut self) {
        for number in self.sorted.clone() {
            if let Some((name, held)) = self.entry(number)
                && *held == 0
            {
                name.clear();
            }
        }
        let mut sorted = std::mem::take(&mut self.sorted);
        sorted.retain(|number| self.get(*number).is_some_and(|name| !name.is_empty()));
        self.sorted = sorted;
    }

    fn entry(&mut self, number: u16) -> Option<&mut (String, u32)> {
        self.names.get_mut(usize::from(number.checked_sub(FIRST)?))
    }

    fn search(&self, name: &str) -> Result<usize, usize> {
        self.sorted.binary_search_by(|number| self.get(*number).unwrap_or_default().cmp(name))
    }
}
