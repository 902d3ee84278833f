//! Plays vectors on a build and says where it differs.

use std::fmt;

use crossfade_protocol::Reason;
use crossfade_protocol::abi::RouteWord;
use serde_json::json;

use crate::driver::{Driver, DriverError};
use crate::vectors::{Action, Case, Golden, Routed};

/// A build that did not do what a vector says.
#[derive(Debug)]
pub struct Difference {
    /// Which build.
    pub driver: &'static str,
    /// File, case and step.
    pub place: String,
    /// What the vector wants.
    pub expected: String,
    /// What the build gave.
    pub got: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference { driver, place, expected, got } = self;
        write!(f, "{place} on the {driver} build\n  expected {expected}\n  got      {got}")
    }
}

/// Plays a case from its start and returns the state it ended in, as a snapshot.
///
/// # Errors
/// The first difference.
pub fn play(driver: &mut dyn Driver, case: &Case) -> Result<Vec<u8>, Difference> {
    let start_ms = case.steps.first().map_or(0, |step| step.now_ms);
    let mut at = At { driver: driver.name(), place: format!("{}, start", case.place) };
    let said = driver.start(&case.init, start_ms, case.seed);
    at.same_bytes(&case.says, said)?;
    for (index, step) in case.steps.iter().enumerate() {
        at.place = format!("{}, step {}", case.place, index + 1);
        match &step.action {
            Action::Send { lines, expect } => {
                at.same_bytes(expect, driver.handle(lines, step.now_ms))?;
            }
            Action::Tick { expect } => at.same_bytes(expect, driver.tick(step.now_ms))?,
            Action::Route { key, draw, expect } => {
                at.same_route(expect.as_ref(), driver.route(key.as_bytes(), *draw))?;
            }
            Action::Reload => at.works(driver.reload(step.now_ms))?,
        }
    }
    at.place = format!("{}, end", case.place);
    at.works(driver.snapshot())
}

/// Finds a key's bucket from outside, by the two shares between which its version
/// changes, and compares. An empty key is no key to a message, so it stays on `v1`.
///
/// # Errors
/// The difference.
pub fn play_golden(driver: &mut dyn Driver, golden: &Golden) -> Result<(), Difference> {
    let Golden { key, salt, bucket } = golden;
    let at = At { driver: driver.name(), place: format!("buckets.json: {key:?} salted {salt:?}") };
    let init = json!({ "policy": {
        "api": "users", "versions": ["v1", "v2"], "key": { "attribute": "user_id" }, "salt": salt,
    }});
    at.same_bytes(b"", driver.start(init.to_string().as_bytes(), 0, 0))?;
    let key_line = json!({ "type": "get_users", "msg_id": 1, "user_id": key }).to_string();
    let open_line = key_line.trim_end_matches('}');
    for share in [*bucket, *bucket + 1] {
        // Two digits are exact where a float might not be.
        let percent = format!("{}.{:02}", share / 100, share % 100);
        let line = format!("{open_line},\"canary_percentage\":{percent}}}");
        let canary = share > *bucket && !key.is_empty();
        let version = if canary { "v2" } else { "v1" };
        let reply = json!({
            "type": "users_response", "in_reply_to": 1, "version": version, "canary": canary,
        });
        let expected = format!("{reply}\n");
        at.same_bytes(expected.as_bytes(), driver.handle(line.as_bytes(), 0))?;
    }
    Ok(())
}

/// Where the play is.
struct At {
    driver: &'static str,
    place: String,
}

impl At {
    fn works<T>(&self, result: Result<T, DriverError>) -> Result<T, Difference> {
        result.map_err(|error| self.difference("an answer".to_owned(), error.to_string()))
    }

    fn same_bytes(
        &self,
        expected: &[u8],
        got: Result<Vec<u8>, DriverError>,
    ) -> Result<(), Difference> {
        let got = self.works(got)?;
        if got == expected {
            return Ok(());
        }
        let (expected, got) = first_difference(expected, &got);
        Err(self.difference(expected, got))
    }

    fn same_route(
        &self,
        expected: Option<&Routed>,
        got: Result<RouteWord, DriverError>,
    ) -> Result<(), Difference> {
        let got = self.works(got)?;
        let wanted = expected.map(|e| (Some(e.index), e.canary, Some(e.reason.as_str())));
        let (version, canary, reason) =
            (got.version(), got.canary(), got.reason().map(Reason::as_str));
        let given = (got != RouteWord::CANNOT).then_some((version, canary, reason));
        if wanted == given {
            return Ok(());
        }
        Err(self.difference(format!("{wanted:?}"), format!("{given:?}")))
    }

    fn difference(&self, expected: String, got: String) -> Difference {
        Difference { driver: self.driver, place: self.place.clone(), expected, got }
    }
}

/// The first line in which two outputs differ, of each; an output may end before it.
fn first_difference(expected: &[u8], got: &[u8]) -> (String, String) {
    let lines = |bytes: &[u8]| -> Vec<Vec<u8>> {
        bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
    };
    let (expected, got) = (lines(expected), lines(got));
    let at = expected.iter().zip(&got).take_while(|(expected, got)| expected == got).count();
    let show = |lines: &[Vec<u8>]| match lines.get(at) {
        Some(line) => {
            format!("line {}: {}", at + 1, String::from_utf8_lossy(line).escape_debug())
        }
        None => format!("{at} lines"),
    };
    (show(&expected), show(&got))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_shown_by_its_line() {
        for (expected, got, shown) in [
            ("a\nb\n", "a\nc\n", ("line 2: b\\n", "line 2: c\\n")),
            ("a\n", "a\nb\n", ("1 lines", "line 2: b\\n")),
            ("a\n", "a", ("line 1: a\\n", "line 1: a")),
            ("a\n", "", ("line 1: a\\n", "0 lines")),
        ] {
            let (expected, got) = first_difference(expected.as_bytes(), got.as_bytes());
            assert_eq!((expected.as_str(), got.as_str()), shown);
        }
    }
}
