//! The control plane's engine and the built-in module. In a file of their own, for the
//! engine's is also compiled where there are no modules.

use serde_json::json;

use super::engine::Engine;
use super::job::Candidate;
use super::store::Saved;
use crate::module::Module;
use crate::plugin::PluginOptions;

/// The ledger keeps no time that is ahead of the engine's, so this tells at which of its
/// times the engine took a report in.
const REPORT: &[u8] = br#"{"node":"e","epoch":"a1","sequence":1,"revision":1,"versions":["v1","v2"],"clients":[{"key":"ann","on":0,"counts":[[0,2,0,1800000000,1800000600]]}]}"#;

#[test]
fn totals_after_a_question_count_at_its_time_again_when_they_are_replayed() {
    let module = Module::builtin().unwrap();
    let digest = String::new();
    let candidate = Candidate { module, bytes: None, digest };
    let plan = json!({"api": "users", "versions": ["v1", "v2"], "key": {"header": "k"}});
    let (options, at_ms) = (PluginOptions::default(), 1_800_000_000_000);
    let mut engine = Engine::begin(candidate.clone(), options.clone(), &plan, at_ms).unwrap();
    let checkpoint = engine.checkpoint(at_ms).unwrap();

    let later_ms = at_ms + 300_000;
    engine.ask(&json!({ "type": "get_rollout" }), "rollout", later_ms).unwrap();
    assert!(engine.merge(REPORT).unwrap().new);
    let clients = json!({ "type": "get_clients" });
    let told = engine.ask(&clients, "clients", later_ms).unwrap();
    assert!(told.contains(r#""last_seen_ms":1800000300000"#), "{told}");

    let saved = Saved { calls: vec![engine.pending.clone()], ..Saved::default() };
    let mut resumed = Engine::resume(candidate, options, &checkpoint, &saved).unwrap();
    assert_eq!(resumed.ask(&clients, "clients", later_ms).unwrap(), told);
}
