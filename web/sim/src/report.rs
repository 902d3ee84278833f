//! Ticks as messages.

use std::io::Write;

use crossfade_protocol::limits::OUTCOMES_MAX;

use crate::world::{Tick, Version};

/// Writes what happened in a tick as `report_outcomes` lines.
///
/// Failures stand one by one with their client, and so does the first request of each
/// client in a step; everything else is counted. Clients are called `c0`, `c1`, ….
#[derive(Debug, Clone)]
pub struct Reporter {
    /// How an outcome of v1 and of v2 begins.
    heads: [String; 2],
}

const HEAD: &[u8] = br#"{"type":"report_outcomes","outcomes":["#;
const TAIL: &[u8] = b"]}\n";

impl Reporter {
    /// A reporter for versions of these names, v1's and v2's.
    pub fn new(old: &str, new: &str) -> Reporter {
        let head = |name: &str| {
            let name = serde_json::to_string(name).unwrap_or_default();
            format!(r#"{{"version":{name},"ok":"#)
        };
        Reporter { heads: [head(old), head(new)] }
    }

    /// Appends the lines of a tick to `lines`: none while metrics are lost or nothing
    /// happened, several when there is more than a message may hold.
    pub fn write(&self, tick: &Tick, lines: &mut Vec<u8>) {
        if !tick.reported {
            return;
        }
        let mut written = 0;
        let mut begin = |lines: &mut Vec<u8>| {
            match written % OUTCOMES_MAX {
                0 if written > 0 => {
                    lines.extend_from_slice(TAIL);
                    lines.extend_from_slice(HEAD);
                }
                0 => lines.extend_from_slice(HEAD),
                _ => lines.push(b','),
            }
            written += 1;
        };
        for version in [Version::Old, Version::New] {
            for (latency_ms, count) in &tick.successes[version as usize] {
                if *count > 0 {
                    begin(lines);
                    lines.extend_from_slice(self.heads[version as usize].as_bytes());
                    // Writing to memory cannot fail.
                    let _ = write!(lines, r#"true,"count":{count}"#);
                    end(*latency_ms, lines);
                }
            }
        }
        for single in &tick.singles {
            begin(lines);
            lines.extend_from_slice(self.heads[single.on as usize].as_bytes());
            let _ = write!(lines, r#"{},"user_id":"c{}""#, !single.failed, single.client);
            end(single.latency_ms, lines);
        }
        if written > 0 {
            lines.extend_from_slice(TAIL);
        }
    }
}

fn end(latency_ms: Option<f64>, lines: &mut Vec<u8>) {
    if let Some(latency_ms) = latency_ms {
        let _ = write!(lines, r#","latency_ms":{latency_ms:.3}"#);
    }
    lines.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::Single;

    fn written(tick: &Tick) -> String {
        let mut lines = Vec::new();
        Reporter::new("v1", "v\"2").write(tick, &mut lines);
        String::from_utf8(lines).unwrap()
    }

    fn failures(count: u32) -> Tick {
        let single = |client| Single { on: Version::New, client, failed: true, latency_ms: None };
        Tick { reported: true, singles: (0..count).map(single).collect(), ..Tick::default() }
    }

    #[test]
    fn counts_come_first_and_failures_with_their_client() {
        let mut tick = failures(2);
        tick.successes = [vec![(None, 450)], vec![(Some(12.5), 49), (Some(13.75), 0)]];
        assert_eq!(
            written(&tick),
            concat!(
                r#"{"type":"report_outcomes","outcomes":[{"version":"v1","ok":true,"count":450},"#,
                r#"{"version":"v\"2","ok":true,"count":49,"latency_ms":12.500},"#,
                r#"{"version":"v\"2","ok":false,"user_id":"c0"},"#,
                r#"{"version":"v\"2","ok":false,"user_id":"c1"}]}"#,
                "\n"
            )
        );
    }

    #[test]
    fn nothing_is_written_when_nothing_happened_or_metrics_are_lost() {
        assert_eq!(written(&Tick { reported: true, ..Tick::default() }), "");
        assert_eq!(written(&Tick { reported: false, ..failures(3) }), "");
    }

    #[test]
    fn more_outcomes_than_a_message_may_hold_are_several_messages() {
        let lines = |count: usize| written(&failures(count as u32)).lines().count();
        assert_eq!([OUTCOMES_MAX - 1, OUTCOMES_MAX, OUTCOMES_MAX + 1].map(lines), [1, 1, 2]);
    }
}
