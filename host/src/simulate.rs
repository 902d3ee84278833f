//! A plan, played in the simulated world with the module in the plugin host: one run with
//! its timeline, or many with what is to be expected.
//!
//! *Does:* play the same scripts as the page, with the same digest, and count how runs
//! end.
//!
//! *Does not:* judge anything, or know real traffic.

mod many;
mod plot;
mod timeline;

use crossfade_sim::{
    Asking, Demand, Play, RehearsalError, START_MS, Script, ScriptError, init_document, scenarios,
};
use serde_json::Value;

use crate::module::Module;
use crate::plugin::{Plugin, PluginError, PluginOptions, Start};
use crate::rehearse::Guest;

use many::Expected;
pub(crate) use many::many;
pub(crate) use plot::draw;
pub(crate) use timeline::one;

/// Why a plan could not be played.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SimulateError {
    /// There is no scenario of this name.
    #[error("there is no scenario `{name}`: there are {known}")]
    Scenario {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// The plan or the traffic is wrong.
    #[error(transparent)]
    Script(#[from] ScriptError),
    /// The engine failed.
    #[error("the plan could not be played: {0}")]
    Engine(#[source] PluginError),
    /// It refused a message.
    #[error("the plan could not be played, the engine said: {0}")]
    Refused(String),
}

impl From<RehearsalError<PluginError>> for SimulateError {
    fn from(error: RehearsalError<PluginError>) -> SimulateError {
        match error {
            RehearsalError::Engine(error) => SimulateError::Engine(error),
            RehearsalError::Refused(text) => SimulateError::Refused(text),
        }
    }
}

/// The script of a plan in a scenario with a name.
///
/// # Errors
/// There is no such scenario, or the script has problems.
pub(crate) fn script(
    plan: &Value,
    scenario: &str,
    traffic: Demand,
    seed: u32,
) -> Result<Script, SimulateError> {
    let all = scenarios();
    let Some(named) = all.iter().find(|named| named.name == scenario) else {
        let known = all.iter().map(|named| named.name).collect::<Vec<_>>().join(", ");
        return Err(SimulateError::Scenario { name: scenario.to_owned(), known });
    };
    let faults = named.faults.clone();
    let script = Script { plan: plan.clone(), seed, traffic, faults, commands: Vec::new() };
    script.check()?;
    Ok(script)
}

/// An engine at the beginning of a script, and the play.
fn begin(
    script: &Script,
    asking: Asking,
    module: &Module,
) -> Result<(Guest, Play), RehearsalError<PluginError>> {
    let document = init_document(script).into_bytes();
    let start = Start { document, seed: u64::from(script.seed), now_ms: START_MS };
    let (plugin, said) = Plugin::start(module.clone(), PluginOptions::default(), start)
        .map_err(RehearsalError::Engine)?;
    if !said.is_empty() {
        let said = String::from_utf8_lossy(&said).trim_end().to_owned();
        return Err(RehearsalError::Refused(said));
    }
    Ok((Guest(plugin), Play::new(script, asking)))
}

/// How long a run is watched at most: twice its plan, and four hours more than it.
fn most_ms(script: &Script) -> u64 {
    let steps = script.plan["rollout"]["steps"].as_array().map(Vec::as_slice).unwrap_or_default();
    let minutes: f64 = steps
        .iter()
        .flat_map(|step| ["duration_minutes", "watch_minutes"].map(|name| &step[name]))
        .filter_map(Value::as_f64)
        .sum();
    let planned_ms = (minutes * 60_000.0) as u64;
    (2 * planned_ms).max(planned_ms + 4 * 3_600_000)
}
