//! v2 breaks at 25 %, and is taken back.

use crossfade_e2e::crowd::Expect;
use crossfade_e2e::wait_for;
use crossfade_e2e::world::World;
use crossfade_edge_tests::upstream::Broken;
use serde_json::json;

use super::{Store, plan};

#[test]
fn a_regression_is_taken_back_on_its_own_store() {
    taken_back("regression", &Store::Embedded);
}

#[test]
fn a_regression_is_taken_back_on_three_servers() {
    taken_back("regression_fleet", &Store::fleet());
}

fn taken_back(name: &str, store: &Store) {
    let world = World::start(name, store.url(), &plan(&json!({})));
    world.call(Expect::Ramp);
    let status = world.reaches(2, "");
    assert_eq!(status["rollout"]["percentage"], 25.0, "{}", status["rollout"]);

    world.crowd.expect(Expect::Either);
    world.upstream.lay("v2", &[Broken::OneIn(4)]);
    let status = world.reaches(9, "rolled_back");
    let reason = status["rollout"]["reason"].as_str().unwrap();
    assert!(reason.starts_with("Rollback from 25 % in step 2. v2 fails more than"), "{reason}");
    world.in_force();
    world.assert_counts_agree();

    // From here on nobody sees v2, broken or not.
    let v2 = world.served()[1];
    world.upstream.lay("v2", &[]);
    world.call(Expect::Back);
    let asked = world.crowd.served()[0];
    wait_for("every user to have called", || {
        (world.crowd.served()[0] > asked + 6_000).then_some(())
    });
    world.assert_counts_agree();
    assert_eq!(world.served()[1], v2, "v2 has served nobody since");
}
