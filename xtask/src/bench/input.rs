//! The file that is served: `get_users` lines in the shape most clients send.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use crate::command::TaskError;

/// Distinct users in the file.
const USERS: u64 = 100_000;

/// Coprime to [`USERS`]: every user comes once in [`USERS`] lines, and neighbours in the
/// file are no neighbours in the client table.
const STRIDE: u64 = 61_803;

/// Writes `lines` lines.
pub(super) fn write(path: &Path, lines: u64) -> Result<(), TaskError> {
    let written = File::create(path).and_then(|file| {
        let mut out = BufWriter::with_capacity(1 << 20, file);
        for at in 0..lines {
            line(&mut out, at)?;
        }
        out.flush()
    });
    written.map_err(|source| TaskError::Write { path: path.display().to_string(), source })
}

fn line(out: &mut impl Write, at: u64) -> std::io::Result<()> {
    let user = at.wrapping_mul(STRIDE) % USERS;
    let msg_id = at + 1;
    writeln!(
        out,
        r#"{{"src":"client","dest":"api","body":{{"type":"get_users","msg_id":{msg_id},"user_id":"user{user}"}},"canary_percentage":10}}"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn lines_have_the_shape_of_the_protocols_sample() {
        let mut out = Vec::new();
        line(&mut out, 1).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"{"src":"client","dest":"api","body":{"type":"get_users","msg_id":2,"user_id":"user61803"},"canary_percentage":10}"#.to_owned() + "\n"
        );
    }

    #[test]
    fn every_user_comes_before_any_comes_again() {
        let users: HashSet<u64> = (0..USERS).map(|at| at * STRIDE % USERS).collect();
        assert_eq!(users.len() as u64, USERS);
    }
}
