use crossfade_ledger::{Call, Ledger};
use crossfade_protocol::clients::Identity;

use super::*;

const DAY_S: u32 = 86_400;
const NOW_S: u32 = 1_800_000_000;

fn look(now_s: u32) -> Look {
    Look { now_s, horizon_s: 30 * DAY_S, confidence: 0.95 }
}

/// Clients that call once in one to 40 days, some of whom have moved.
fn table(clients: u32) -> Ledger {
    let mut table = Ledger::new(1_000_000, 1);
    for n in 0..clients {
        let (key, every_s) = (format!("client-{n}"), (1 + n % 40) * DAY_S);
        let last_s = NOW_S - n % 90 * DAY_S;
        for call in 0..3 {
            let at_s = last_s - (2 - call) * every_s;
            let call = Call { version: 0, failed: false, at_s };
            table.record(key.as_bytes(), Identity::Key, call);
        }
        if n % 3 == 0 {
            let call = Call { version: 1, failed: false, at_s: last_s + 60 };
            table.record(key.as_bytes(), Identity::Key, call);
        }
    }
    table
}

/// Ticks until a time round is over; how many that took.
fn tend(survey: &mut Survey, table: &Ledger, look: Look) -> usize {
    let mut ticks = 0;
    while survey.found.is_none() || survey.round.is_some() {
        survey.tend(table, look);
        ticks += 1;
        assert!(ticks < 1_000, "it never ends");
    }
    ticks
}

#[test]
fn many_are_looked_at_in_parts_and_found_the_same() {
    let table = table(AT_ONCE as u32 + 1);
    let mut survey = Survey::default();
    let at_once = Round::at_once(&table, look(NOW_S), 2 * PARTS).found(&table);
    assert_eq!(survey.outlook(&table, look(NOW_S)), None, "nobody has looked yet");
    assert_eq!(tend(&mut survey, &table, look(NOW_S)), 2 * PARTS + 1);
    assert_eq!(survey.outlook(&table, look(NOW_S)).as_ref(), Some(&at_once));
    assert!(at_once.depend.at_most > 0 && at_once.candidates.len() == CANDIDATES_MAX as usize);
    let later = look(NOW_S + OLD_S);
    assert_eq!(survey.outlook(&table, later).as_ref(), Some(&at_once));
    assert_eq!(survey.hazards(&table, later), at_once.hazards);
    let too_late = look(NOW_S + OLD_S + 1);
    assert_eq!(survey.outlook(&table, too_late), None);
    let surer = Look { confidence: 0.99, ..later };
    assert_eq!(survey.outlook(&table, surer), None, "that is another question");
}

#[test]
fn a_survey_saved_at_any_part_goes_on_in_it() {
    let table = table(AT_ONCE as u32 + 1);
    let mut through = Survey::default();
    tend(&mut through, &table, look(NOW_S));
    for ticks in [1, PARTS, PARTS + 7, 2 * PARTS] {
        let mut survey = Survey::default();
        (0..ticks).for_each(|_| survey.tend(&table, look(NOW_S)));
        let mut survey: Survey = borsh::from_slice(&borsh::to_vec(&survey).unwrap()).unwrap();
        let mut bytes = Vec::new();
        table.save(&mut bytes);
        tend(&mut survey, &Ledger::load(&bytes).unwrap(), look(NOW_S));
        assert_eq!(survey, through, "saved after {ticks} ticks");
    }
}

#[test]
fn it_begins_anew_when_much_has_changed_and_not_before() {
    let table = table(AT_ONCE as u32 + 1);
    let mut survey = Survey::default();
    tend(&mut survey, &table, look(NOW_S));
    let mut begins = |changed: usize, after_s: u32| {
        survey.changed = changed as u64;
        survey.round = None;
        survey.tend(&table, look(NOW_S + after_s));
        survey.round.is_some()
    };
    let [many_s, any_s, none_s] = AGAIN_S;
    assert!(!begins(AT_ONCE, many_s - 1) && begins(AT_ONCE, many_s));
    assert!(!begins(1, any_s - 1) && begins(1, any_s));
    assert!(!begins(0, none_s - 1) && begins(0, none_s));
}

#[test]
fn few_are_looked_at_when_somebody_asks() {
    let table = table(100);
    let mut survey = Survey::default();
    (0..1_000).for_each(|_| survey.tend(&table, look(NOW_S)));
    assert_eq!(survey, Survey::default());
    assert!(survey.outlook(&table, look(NOW_S)).is_some());
}

#[test]
fn whoever_is_forgotten_is_no_candidate() {
    let table = table(AT_ONCE as u32 + 1);
    let mut survey = Survey::default();
    tend(&mut survey, &table, look(NOW_S));
    let first = survey.outlook(&table, look(NOW_S)).unwrap().candidates[0];
    survey.forget(first);
    assert!(!survey.outlook(&table, look(NOW_S)).unwrap().candidates.contains(&first));
}
