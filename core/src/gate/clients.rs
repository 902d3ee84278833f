//! Who was counted already in this bin: a bounded table of clients.

use std::io;

use borsh::{BorshDeserialize, BorshSerialize};

use super::segment::Arm;

/// Clients remembered in one bin. At 5 s this is 400 different clients a second;
/// beyond it requests are counted as they come, and the gate says how many.
pub const BIN_CLIENTS_MAX: usize = 2048;

/// Twice the clients, so that a search ends after a step or two.
const PLACES: usize = 2 * BIN_CLIENTS_MAX;

/// The low bits of an entry say what was counted; the others are the client.
const SEEN: u64 = 0b1111;

/// What a request adds to a bin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addition {
    /// This client had no request on this version in the bin before.
    pub request: bool,
    /// It failed, and had no failure on this version in the bin before.
    pub failure: bool,
    /// The table was full and the client unknown: it was counted without looking.
    pub overflowed: bool,
}

/// Clients of one bin. A client is a 64-bit hash of its id, seeded so that outsiders
/// cannot make clients collide; the lowest four bits are not looked at.
#[derive(Debug, Clone, Default)]
pub struct ClientTable {
    /// Open addressing with linear probing; 0 is a free place. Empty until needed.
    places: Vec<u64>,
    taken: usize,
}

impl ClientTable {
    /// Forgets everybody.
    pub fn clear(&mut self) {
        if self.taken > 0 {
            self.places.fill(0);
            self.taken = 0;
        }
    }

    /// Takes note of a request, and says what of it is new.
    pub fn note(&mut self, client: u64, version: Arm, failed: bool) -> Addition {
        if self.places.is_empty() {
            self.places = vec![0; PLACES];
        }
        let (request_bit, failure_bit) = match version {
            Arm::Canary => (0b0001, 0b0010),
            Arm::Control => (0b0100, 0b1000),
        };
        let id = client & !SEEN;
        let mut place = (client >> 4) as usize % PLACES;
        // Half the places are always free.
        while self.places[place] != 0 && self.places[place] & !SEEN != id {
            place = (place + 1) % PLACES;
        }
        let entry = &mut self.places[place];
        if *entry == 0 {
            if self.taken == BIN_CLIENTS_MAX {
                return Addition { request: true, failure: failed, overflowed: true };
            }
            self.taken += 1;
            *entry = id;
        }
        let addition = Addition {
            request: *entry & request_bit == 0,
            failure: failed && *entry & failure_bit == 0,
            overflowed: false,
        };
        *entry |= request_bit | if failed { failure_bit } else { 0 };
        addition
    }

    /// Clients noted.
    pub fn len(&self) -> usize {
        self.taken
    }

    /// True when nobody was noted.
    pub fn is_empty(&self) -> bool {
        self.taken == 0
    }
}

/// Written down as its entries in order: most of its places are free.
impl BorshSerialize for ClientTable {
    fn serialize<W: io::Write>(&self, writer: &mut W) -> io::Result<()> {
        Vec::<u64>::from(self.clone()).serialize(writer)
    }
}

impl BorshDeserialize for ClientTable {
    fn deserialize_reader<R: io::Read>(reader: &mut R) -> io::Result<ClientTable> {
        Vec::deserialize_reader(reader).map(|entries: Vec<u64>| entries.into())
    }
}

impl From<Vec<u64>> for ClientTable {
    fn from(entries: Vec<u64>) -> ClientTable {
        let mut table = ClientTable::default();
        for entry in entries {
            for (version, request, failure) in
                [(Arm::Canary, 0b0001, 0b0010), (Arm::Control, 0b0100, 0b1000)]
            {
                if entry & request != 0 {
                    table.note(entry, version, entry & failure != 0);
                }
            }
        }
        table
    }
}

impl From<ClientTable> for Vec<u64> {
    fn from(table: ClientTable) -> Vec<u64> {
        let mut entries: Vec<u64> = table.places.into_iter().filter(|entry| *entry != 0).collect();
        crossfade_protocol::order::sort(&mut entries);
        entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_counts_once_per_version_and_its_first_failure_counts() {
        let mut table = ClientTable::default();
        let add = |request, failure| Addition { request, failure, overflowed: false };
        assert_eq!(table.note(0x70, Arm::Canary, false), add(true, false));
        assert_eq!(table.note(0x70, Arm::Canary, true), add(false, true));
        assert_eq!(table.note(0x70, Arm::Canary, true), add(false, false));
        assert_eq!(table.note(0x70, Arm::Control, true), add(true, true));
        assert_eq!(table.len(), 1);
        table.clear();
        assert_eq!(table.note(0x70, Arm::Canary, true), add(true, true));
    }

    #[test]
    fn a_full_table_counts_strangers_by_request_and_still_knows_its_clients() {
        let mut table = ClientTable::default();
        for client in 0..BIN_CLIENTS_MAX as u64 {
            assert!(!table.note(client << 4, Arm::Canary, false).overflowed);
        }
        let stranger = 0xdead_beef_0000;
        for _ in 0..2 {
            let addition = table.note(stranger, Arm::Canary, true);
            assert_eq!(addition, Addition { request: true, failure: true, overflowed: true });
        }
        assert!(!table.note(0, Arm::Canary, true).request);
        assert_eq!(table.len(), BIN_CLIENTS_MAX);
    }

    #[test]
    fn a_table_survives_being_written_down_whatever_the_order_was() {
        let (mut forth, mut back) = (ClientTable::default(), ClientTable::default());
        // All in one place: the probing order differs, what is written does not.
        let clients: Vec<u64> = (0..50).map(|i| 0x10 + ((i * PLACES as u64) << 4)).collect();
        clients.iter().for_each(|c| _ = forth.note(*c, Arm::Control, true));
        clients.iter().rev().for_each(|c| _ = back.note(*c, Arm::Control, true));
        let bytes = borsh::to_vec(&forth).unwrap();
        assert_eq!(bytes, borsh::to_vec(&back).unwrap());
        let mut read: ClientTable = borsh::from_slice(&bytes).unwrap();
        assert!(clients.iter().all(|c| !read.note(*c, Arm::Control, true).request));
    }
}
