//! Random rounds, compactions and reopens against a model that is a map.

use crate::{opened, payload, small};
use bytes::Bytes;
use model::{ByteSize, GroupId};
use ouro_journal::{GroupLog, Journal, Round, Settings};
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Debug, Clone)]
enum Step {
    /// (group, entries, index back from the end, bytes of each), all in one round.
    Append(Vec<(u64, u64, u64, usize)>),
    HardState(u64, usize),
    Truncate(u64, u64),
    Reset(u64, u64),
    Compact(u64, u64),
    Remove(u64),
    Reopen,
}

#[derive(Debug, Default, Clone)]
struct Log {
    hard_state: Option<Bytes>,
    first: u64,
    last: u64,
    entries: BTreeMap<u64, (u64, Bytes)>,
}

fn new_log() -> Log {
    Log { first: 1, ..Log::default() }
}

fn step() -> impl Strategy<Value = Step> {
    let group = 1u64..5;
    let part =
        (group.clone(), 1u64..6, prop_oneof![9 => Just(0u64), 1 => 1u64..8], prop_oneof![0usize..100, 0usize..3000]);
    prop_oneof![
        12 => prop::collection::vec(part, 1..5).prop_map(Step::Append),
        2 => (group.clone(), 0usize..64).prop_map(|(group, len)| Step::HardState(group, len)),
        1 => (group.clone(), 0u64..6).prop_map(|(group, back)| Step::Truncate(group, back)),
        1 => (group.clone(), 1u64..60).prop_map(|(group, next)| Step::Reset(group, next)),
        4 => (group.clone(), 0u64..30).prop_map(|(group, count)| Step::Compact(group, count)),
        1 => group.prop_map(Step::Remove),
        2 => Just(Step::Reopen),
    ]
}

fn run(journal: &mut Journal, model: &mut BTreeMap<GroupId, Log>, step: &Step, term: u64) {
    match step {
        Step::Append(parts) => {
            let mut round = Round::new();
            for (group, count, back, len) in parts {
                let group = GroupId(*group);
                let log = model.entry(group).or_insert_with(new_log);
                let start = (log.last + 1).saturating_sub(*back).max(log.first);
                for index in start..start + count {
                    let bytes = payload(group, index, term, *len);
                    round.entry(group, index, term, (index % 3) as u8, bytes.clone());
                    log.entries.split_off(&index);
                    log.entries.insert(index, (term, bytes));
                    log.last = index;
                }
            }
            journal.append(round).unwrap();
        }
        Step::HardState(group, len) => {
            let state = payload(GroupId(*group), 0, term, *len);
            let mut round = Round::new();
            round.hard_state(GroupId(*group), state.clone());
            journal.append(round).unwrap();
            model.entry(GroupId(*group)).or_insert_with(new_log).hard_state = Some(state);
        }
        Step::Truncate(group, back) => {
            let Some(log) = model.get_mut(&GroupId(*group)) else { return };
            let from = (log.last + 1).saturating_sub(*back).max(log.first);
            let mut round = Round::new();
            round.truncate_from(GroupId(*group), from);
            journal.append(round).unwrap();
            log.entries.split_off(&from);
            log.last = log.last.min(from - 1);
        }
        Step::Reset(group, next) => {
            let mut round = Round::new();
            round.reset(GroupId(*group), *next);
            journal.append(round).unwrap();
            let log = model.entry(GroupId(*group)).or_insert_with(new_log);
            (log.first, log.last) = (*next, next - 1);
            log.entries.clear();
        }
        Step::Compact(group, count) => {
            let Some(log) = model.get_mut(&GroupId(*group)) else { return };
            let through = log.first - 1 + count;
            journal.compact(GroupId(*group), through);
            log.first = through.min(log.last) + 1;
            log.entries = log.entries.split_off(&log.first);
        }
        Step::Remove(group) => {
            journal.remove_group(GroupId(*group));
            model.remove(&GroupId(*group));
        }
        Step::Reopen => {}
    }
}

fn compare(journal: &Journal, model: &BTreeMap<GroupId, Log>) {
    for (group, log) in model {
        assert_eq!((journal.first_index(*group), journal.last_index(*group)), (log.first, log.last), "{group:?}");
        for (index, (term, bytes)) in &log.entries {
            let record = journal.read(*group, *index).unwrap();
            assert_eq!((record.index, record.term, record.kind), (*index, *term, (*index % 3) as u8));
            assert_eq!(record.payload, *bytes);
            assert_eq!(journal.term(*group, *index), Some(*term));
        }
        for outside in [log.first - 1, log.last + 1] {
            assert!(journal.read(*group, outside).is_err());
            assert_eq!(journal.term(*group, outside), None);
        }
    }
    let stats = journal.stats();
    assert_eq!(stats.groups, model.len() as u64);
    assert_eq!(stats.entries, model.values().map(|log| log.entries.len() as u64).sum::<u64>());
}

fn check(steps: &[Step]) {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings { reserve: ByteSize(16 << 10), ..small() };
    let mut journal = opened(dir.path(), settings.clone()).journal;
    let mut model = BTreeMap::new();
    for (at, step) in steps.iter().enumerate() {
        run(&mut journal, &mut model, step, at as u64 / 3);
        if matches!(step, Step::Reopen) {
            // A compaction that freed nothing goes to disk with the next round: write one, so that it is known.
            let mut round = Round::new();
            round.hard_state(GroupId(9), Bytes::from_static(b"x"));
            journal.append(round).unwrap();
            model.entry(GroupId(9)).or_insert_with(new_log).hard_state = Some(Bytes::from_static(b"x"));
            drop(journal);
            let opened = opened(dir.path(), settings.clone());
            let expected: BTreeMap<GroupId, GroupLog> = model
                .iter()
                .map(|(group, log): (&GroupId, &Log)| {
                    (*group, GroupLog { hard_state: log.hard_state.clone(), first: log.first, last: log.last })
                })
                .collect();
            assert_eq!(opened.groups, expected);
            journal = opened.journal;
            compare(&journal, &model);
        }
    }
    compare(&journal, &model);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_journal_is_a_map_that_survives(mut steps in prop::collection::vec(step(), 1..80)) {
        steps.push(Step::Reopen);
        check(&steps);
    }
}

/// The entries 8 to 13 of a group went with their segment, because a record of the last one replaced 8.
#[test]
fn a_replaced_middle_may_be_gone() {
    check(&[
        Step::Append(vec![(1, 2, 0, 0), (1, 3, 0, 2553), (1, 2, 0, 881)]),
        Step::Append(vec![(1, 3, 0, 2473), (2, 5, 0, 1073), (1, 3, 0, 25)]),
        Step::Compact(2, 5),
        Step::Append(vec![(3, 1, 0, 89), (1, 1, 0, 81), (3, 4, 0, 41), (2, 2, 0, 1)]),
        Step::Append(vec![(1, 1, 7, 0)]),
        Step::Reopen,
    ]);
}
