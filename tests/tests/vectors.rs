//! `tests/vectors/*.json` on every build of the engine that Rust can reach; Node plays
//! the same files on the JavaScript façade (`cargo xtask test-web`).

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test falls over")]

use crossfade_core::bucket::{Seed, bucket_of_key};
use crossfade_tests::driver::{Driver, Native, Wasm};
use crossfade_tests::runner::{Difference, play, play_golden};
use crossfade_tests::vectors::{Action, Golden, Vectors, folder, read};

fn vectors() -> Vectors {
    match read(&folder()) {
        Ok(vectors) => vectors,
        Err(error) => panic!("{error}: {:?}", std::error::Error::source(&error)),
    }
}

fn builds() -> Vec<Box<dyn Driver>> {
    vec![Box::new(Native::new()), Box::new(Wasm::new().unwrap())]
}

fn none(differences: &[Difference]) {
    let list: Vec<_> = differences.iter().take(20).map(ToString::to_string).collect();
    assert!(list.is_empty(), "{} differences\n\n{}", differences.len(), list.join("\n\n"));
}

/// Every byte of every answer, and at the end of each case the same state to the byte.
#[test]
fn every_case_gives_its_answers_on_every_build() {
    let vectors = vectors();
    assert!(!vectors.cases.is_empty());
    let mut differences = Vec::new();
    for case in &vectors.cases {
        let mut states: Vec<(&str, Vec<u8>)> = Vec::new();
        for mut build in builds() {
            match play(build.as_mut(), case) {
                Ok(state) => states.push((build.name(), state)),
                Err(difference) => differences.push(difference),
            }
        }
        for (name, state) in &states {
            assert_eq!(state, &states[0].1, "{}: the state of {name} differs", case.place);
        }
    }
    none(&differences);
}

/// The function itself, which an empty key cannot reach by a message.
#[test]
fn the_bucketing_function_is_the_published_one() {
    for Golden { key, salt, bucket } in vectors().buckets {
        assert_eq!(
            bucket_of_key(key.as_bytes(), Seed::of_salt(&salt)),
            bucket,
            "{key:?} salted {salt:?}"
        );
    }
}

#[test]
fn every_key_falls_in_its_golden_bucket_on_every_build() {
    let vectors = vectors();
    assert!(vectors.buckets.len() > 100);
    let mut differences = Vec::new();
    for mut build in builds() {
        for golden in &vectors.buckets {
            differences.extend(play_golden(build.as_mut(), golden).err());
        }
    }
    none(&differences);
}

/// The tests above pass today; this shows that they would notice.
#[test]
fn a_wrong_answer_is_noticed_on_every_build() {
    let mut case = vectors().cases.swap_remove(0);
    let last = case.steps.iter_mut().rev().find_map(|step| match &mut step.action {
        Action::Send { expect, .. } => Some(expect),
        _ => None,
    });
    last.unwrap().insert(0, b' ');
    for mut build in builds() {
        let difference = play(build.as_mut(), &case).unwrap_err();
        assert!(difference.expected.starts_with("line 1:  "), "{difference}");
        for bucket in [4496, 4498] {
            let wrong = Golden { key: "user123".to_owned(), salt: String::new(), bucket };
            assert!(play_golden(build.as_mut(), &wrong).is_err());
        }
    }
}
