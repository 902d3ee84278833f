//! The controller on a real store: what is served in one batch, and what is said when nobody
//! knows what became of it. In a file of their own, for the controller's is also compiled
//! where there are no modules.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use serde_json::json;
use tokio::sync::oneshot;

use super::controller::{Controller, Setup};
use super::job::{Answer, Job, Note, Once, Refusal, Work};
use super::module;
use super::shared::{Shared, State};
use super::store::sqlite::Sqlite;
use super::store::{
    AuditRow, Checkpoint, Commit, EventRow, Lead, PolicyRow, Saved, Store, StoreError,
};
use crate::plugin::PluginOptions;

/// A file that is written to, and what goes wrong on the way back.
struct Trying {
    file: Sqlite,
    /// The next commit is kept, and nobody hears of it.
    answer_lost: Arc<AtomicBool>,
    /// The lease has run out.
    late: Arc<AtomicBool>,
}

impl Store for Trying {
    fn name(&self) -> String {
        self.file.name()
    }

    fn try_lead(&mut self) -> Result<Lead, StoreError> {
        Ok(match self.late.load(SeqCst) {
            true => Lead::Others { address: Some("http://elsewhere".to_owned()) },
            false => Lead::Ours,
        })
    }

    fn leads(&self) -> bool {
        !self.late.load(SeqCst)
    }

    fn load(&mut self) -> Result<Saved, StoreError> {
        self.file.load()
    }

    fn commit(&mut self, commit: &Commit) -> Result<(), StoreError> {
        self.file.commit(commit)?;
        match self.answer_lost.swap(false, SeqCst) {
            true => Err(StoreError::Unclear { store: self.name(), why: "timed out".to_owned() }),
            false => Ok(()),
        }
    }

    fn checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        self.file.checkpoint(checkpoint)
    }

    fn policy(&mut self) -> Result<Option<PolicyRow>, StoreError> {
        self.file.policy()
    }

    fn events(&mut self, after: u64, limit: usize) -> Result<Vec<EventRow>, StoreError> {
        self.file.events(after, limit)
    }

    fn audit(&mut self, after: u64, limit: usize) -> Result<Vec<AuditRow>, StoreError> {
        self.file.audit(after, limit)
    }

    fn audit_before(&mut self, before: u64, limit: usize) -> Result<Vec<AuditRow>, StoreError> {
        self.file.audit_before(before, limit)
    }

    fn policies(&mut self, up_to: u64, limit: usize) -> Result<Vec<PolicyRow>, StoreError> {
        self.file.policies(up_to, limit)
    }
}

type Asked = oneshot::Receiver<Result<Answer, Refusal>>;

struct World {
    controller: Controller,
    desk: SyncSender<Job>,
    jobs: Receiver<Job>,
    answer_lost: Arc<AtomicBool>,
    late: Arc<AtomicBool>,
}

impl World {
    fn new(directory: &Path) -> World {
        let (answer_lost, late) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let file = Sqlite::open(directory).unwrap();
        let store = Trying { file, answer_lost: answer_lost.clone(), late: late.clone() };
        let step = |percentage: u64| json!({ "percentage": percentage, "duration_minutes": 60 });
        let setup = Setup {
            store: Box::new(store),
            candidate: module::builtin().unwrap(),
            candidate_is_given: false,
            plugin: PluginOptions::default(),
            plan: Some(json!({
                "api": "users", "versions": ["v1", "v2"], "key": { "header": "x-user-id" },
                "rollout": { "steps": [step(1), step(10), step(20), step(50)] },
            })),
            start_rollout: true,
        };
        let mut controller = Controller::new(setup, Shared::new());
        assert_eq!(controller.take_over().unwrap(), Lead::Ours);
        let (desk, jobs) = sync_channel(16);
        World { controller, desk, jobs, answer_lost, late }
    }

    fn asks(&self, work: Work) -> Asked {
        let (reply, asked) = oneshot::channel();
        self.desk.try_send(Job { work, reply }).unwrap();
        asked
    }

    fn tells(&self, who: &str, kind: &str, key: Option<&str>) -> Asked {
        let once = key.map(|key| Once { key: key.to_owned(), request: kind.to_owned() });
        let note = Note { who: who.to_owned(), what: "told", why: format!("{who} says so"), once };
        let message = json!({ "type": kind });
        let (answer, note) = (Some("rollout"), Some(note));
        self.asks(Work::Act { message, answer, note, expected: None })
    }

    fn looks(&self) -> Asked {
        self.asks(Work::Ask { message: json!({ "type": "get_rollout" }), answer: "rollout" })
    }

    /// The time passes for which a store that has failed is left alone.
    fn after_a_second(&mut self) {
        self.controller.try_again = None;
    }

    /// Serves all that waits, in one commit.
    fn turn(&mut self, due: bool) {
        let first = self.jobs.try_recv().ok();
        self.controller.turn(first, &self.jobs, due);
    }

    fn newest(&mut self) -> (String, u64) {
        let row = self.controller.setup.store.policy().unwrap().unwrap();
        (row.who, row.document["canary_percentage"].as_u64().unwrap())
    }
}

#[test]
fn a_policy_names_who_put_it_in_force_and_not_who_acted_next() {
    let directory = tempfile::tempdir().unwrap();
    let mut world = World::new(directory.path());
    let both =
        [world.tells("alice", "promote_rollout", None), world.tells("bob", "pause_rollout", None)];
    world.turn(false);
    assert!(both.into_iter().all(|mut asked| asked.try_recv().unwrap().is_ok()));
    assert_eq!(world.newest(), ("alice".to_owned(), 10));

    // Of two who change it the later one, who comes before the one that does not.
    let all = [
        world.tells("alice", "promote_rollout", None),
        world.tells("carol", "promote_rollout", None),
        world.tells("alice", "pause_rollout", None),
    ];
    world.turn(true);
    assert!(all.into_iter().all(|mut asked| asked.try_recv().unwrap().is_ok()));
    assert_eq!(world.newest(), ("carol".to_owned(), 50));
}

#[test]
fn whoever_repeats_a_command_is_not_named_for_it() {
    let directory = tempfile::tempdir().unwrap();
    let mut world = World::new(directory.path());
    world.answer_lost.store(true, SeqCst);
    let mut first = world.tells("alice", "promote_rollout", Some("k"));
    world.turn(false);
    assert!(matches!(first.try_recv().unwrap(), Err(Refusal::Unclear(_))));
    world.after_a_second();
    let mut again = world.tells("alice", "promote_rollout", Some("k"));
    let mut bobs = world.tells("bob", "pause_rollout", Some("k"));
    world.turn(true);
    assert!(matches!(again.try_recv().unwrap(), Ok(Answer::Again { .. })));
    assert!(matches!(bobs.try_recv().unwrap(), Ok(Answer::Reply(_))), "a key is its holder's");
    assert_eq!(world.newest(), ("alice".to_owned(), 10));
    let rows = world.controller.setup.store.audit(0, 100).unwrap();
    let told: Vec<&str> =
        rows.iter().filter(|row| row.what == "told").map(|row| row.who.as_str()).collect();
    assert_eq!(told, ["alice", "bob"]);
}

#[test]
fn what_may_have_been_kept_is_not_said_to_be_undone() {
    let directory = tempfile::tempdir().unwrap();
    let mut world = World::new(directory.path());
    world.answer_lost.store(true, SeqCst);
    let mut acted = world.tells("alice", "promote_rollout", Some("k"));
    let mut twice = world.tells("alice", "promote_rollout", Some("k"));
    let mut refused = world.tells("bob", "resume_rollout", None);
    let mut looked = world.looks();
    world.turn(false);
    for asked in [&mut acted, &mut twice] {
        let Err(refusal @ Refusal::Unclear(_)) = asked.try_recv().unwrap() else {
            panic!("nobody knows whether it was done");
        };
        let said = refusal.to_string();
        assert!(said.starts_with("whether it was done is not known: "), "{said}");
        assert!(said.contains("did not answer: timed out. Look before you repeat it"), "{said}");
    }
    for asked in [&mut refused, &mut looked] {
        // These were not done, whatever came of the rest.
        assert!(matches!(asked.try_recv().unwrap(), Err(Refusal::Unavailable(_))));
    }

    // The state is loaded again, and tells.
    world.after_a_second();
    let mut again = world.tells("alice", "promote_rollout", Some("k"));
    world.turn(true);
    let Ok(Answer::Again { reply, .. }) = again.try_recv().unwrap() else {
        panic!("it was kept");
    };
    assert!(reply.contains(r#""step":2"#), "{reply}");
    let mut looked = world.looks();
    world.turn(false);
    let Ok(Answer::Reply(now)) = looked.try_recv().unwrap() else { panic!("it can be asked") };
    assert!(now.contains(r#""step":2"#), "once: {now}");
}

#[test]
fn nobody_answers_by_a_lead_that_has_run_out() {
    let directory = tempfile::tempdir().unwrap();
    let mut world = World::new(directory.path());
    let mut looked = world.looks();
    world.turn(false);
    assert!(matches!(looked.try_recv().unwrap(), Ok(Answer::Reply(_))));

    // It has slept: no tick has told it yet.
    world.late.store(true, SeqCst);
    let asked = [
        world.looks(),
        world.asks(Work::Status),
        world.asks(Work::Nodes),
        world.tells("alice", "promote_rollout", None),
    ];
    world.turn(false);
    let elsewhere = Refusal::Elsewhere { address: Some("http://elsewhere".to_owned()) };
    for mut asked in asked {
        assert_eq!(asked.try_recv().unwrap().unwrap_err(), elsewhere);
    }
    let address = Some("http://elsewhere".to_owned());
    assert_eq!(world.controller.shared.state(), State::Standby { address });

    world.late.store(false, SeqCst);
    let mut looked = world.looks();
    world.turn(true);
    assert!(matches!(looked.try_recv().unwrap(), Ok(Answer::Reply(_))));
    assert_eq!(world.newest(), ("crossfade".to_owned(), 1));
}
