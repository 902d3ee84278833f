//! What is driven, and what it says.

use crossfade_protocol::json;
use serde::Deserialize;

/// Anything that answers messages: the engine linked in, or the module in a host.
///
/// Times are those of the world, plus wherever the driver begins.
pub trait Engine {
    /// Why it cannot answer.
    type Error;

    /// Serves JSON lines, and appends its answers to `out`.
    ///
    /// # Errors
    /// When the engine fails; a message that it refuses is an answer.
    fn handle(&mut self, lines: &[u8], now_ms: u64, out: &mut Vec<u8>) -> Result<(), Self::Error>;

    /// Lets time act, and appends what happened to `out`.
    ///
    /// # Errors
    /// When the engine fails.
    fn tick(&mut self, now_ms: u64, out: &mut Vec<u8>) -> Result<(), Self::Error>;
}

/// An event of a rollout, as far as a driver needs it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Happened {
    /// When, in unix milliseconds.
    pub at_ms: u64,
    /// Its name in `docs/protocol.md`.
    pub event: String,
    /// The step, counted from 1, where the event has one.
    #[serde(default)]
    pub step: u32,
    /// The share of v2 from now on, where the event has one.
    pub percentage: Option<f64>,
    /// Why a rollback began.
    pub because: Option<String>,
    /// The verdict, where the event rests on evidence.
    #[serde(default, rename = "evidence", deserialize_with = "verdict")]
    pub verdict: Option<String>,
}

fn verdict<'de, D: serde::Deserializer<'de>>(evidence: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    struct Evidence {
        verdict: String,
    }
    Ok(Option::<Evidence>::deserialize(evidence)?.map(|evidence| evidence.verdict))
}

const EVENT: &[u8] = br#"{"type":"event","#;

/// The events among the lines of an answer, in order. Other lines are passed over.
pub fn happened(answer: &[u8]) -> impl Iterator<Item = Happened> + '_ {
    let lines = answer.split(|byte| *byte == b'\n').filter(|line| line.starts_with(EVENT));
    lines.filter_map(|line| json::read(line).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_found_among_answers() {
        let answer = concat!(
            r#"{"type":"report_outcomes_ok"}"#,
            "\n",
            r#"{"type":"event","at_ms":5,"event":"step_started","step":2,"percentage":10}"#,
            "\n",
            r#"{"type":"event","at_ms":9,"event":"rollback_started","step":2,"from":10,"because":"unhealthy","evidence":{"verdict":"unhealthy","x":{}}}"#,
            "\n"
        );
        let events: Vec<Happened> = happened(answer.as_bytes()).collect();
        assert_eq!(events.len(), 2);
        assert_eq!((events[0].step, events[0].percentage), (2, Some(10.0)));
        assert_eq!(events[1].verdict.as_deref(), Some("unhealthy"));
        assert_eq!(events[1].because.as_deref(), Some("unhealthy"));
    }
}
