//! What the journal keeps and lets go in ordinary life: recycling, slices, readers, bounds, locks.

use crate::{A, B, fill, open, opened, payload, round, small};
use bytes::Bytes;
use model::{ByteSize, GroupId};
use ouro_journal::{Error, Journal, Round, Settings};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

#[test]
fn a_round_is_one_sync() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path(), Settings { segment_size: ByteSize::mib(1), sync: true, ..small() });
    fill(&mut journal, A, 1, 10).unwrap();
    let before = journal.stats();
    for index in 1..50 {
        let mut all = Round::new();
        for group in 10..74 {
            all.entry(GroupId(group), index, 1, 0, payload(GroupId(group), index, 1, 50));
            all.hard_state(GroupId(group), Bytes::from_static(b"state"));
        }
        journal.append(all).unwrap();
    }
    let after = journal.stats();
    assert_eq!((after.syncs - before.syncs, after.rounds - before.rounds), (49, 49));
    assert_eq!((after.rolls, after.records - before.records), (1, 49 * 128));
    journal.append(Round::new()).unwrap();
    assert_eq!(journal.stats().syncs, after.syncs);
}

#[test]
fn segments_are_recycled_and_their_old_records_never_pass() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path(), small());
    for _ in 0..20 {
        fill(&mut journal, A, 40, 1000).unwrap();
        journal.compact(A, journal.last_index(A) - 5);
        journal.settle();
        let (first, last) = (journal.first_index(A), journal.last_index(A));
        drop(journal);
        journal = open(dir.path(), small());
        assert_eq!((journal.first_index(A), journal.last_index(A)), (first, last));
        for index in first..=last {
            assert_eq!(journal.read(A, index).unwrap().payload, payload(A, index, 1, 1000));
        }
    }
    let stats = journal.stats();
    assert!(stats.segments <= 3 && stats.spares >= 2, "{stats:?}");
    assert!(std::fs::read_dir(dir.path()).unwrap().count() < 20);
}

/// The round's first part adds many groups to the head of each segment after it, so its rest fits one segment no more.
#[test]
fn a_round_larger_than_a_segment_counts_what_it_adds_itself() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path(), small());
    let groups = (10..50).map(|group| (GroupId(group), 1, 1, 8));
    let entries: Vec<_> = groups.chain((1..=6).map(|index| (A, index, 1, 3600))).collect();
    journal.append(round(&entries)).unwrap();

    // This one would have fitted without the groups: none of its round counts, and the next round goes through.
    let groups = (50..190).map(|group| (GroupId(group), 1, 1, 8));
    let entries: Vec<_> = groups.chain([(A, 7, 1, 9000)]).collect();
    assert!(matches!(journal.append(round(&entries)), Err(Error::TooLarge { .. })));
    assert_eq!((journal.last_index(A), journal.last_index(GroupId(50))), (6, 0));
    fill(&mut journal, A, 1, 9000).unwrap();
    drop(journal);
    let journal = open(dir.path(), small());
    for (index, len) in (1..=7).map(|index| (index, if index == 7 { 9000 } else { 3600 })) {
        assert_eq!(journal.read(A, index).unwrap().payload, payload(A, index, 1, len));
    }
}

#[test]
fn an_idle_group_is_named_as_the_oldest() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path(), small());
    assert_eq!(journal.oldest(), None);
    fill(&mut journal, B, 1, 10).unwrap();
    for _ in 0..10 {
        for group in 10..20 {
            fill(&mut journal, GroupId(group), 5, 500).unwrap();
        }
        for group in 10..20 {
            journal.compact(GroupId(group), journal.last_index(GroupId(group)));
        }
    }
    journal.settle();
    // It pins its own segment, and none of those after it.
    let stats = journal.stats();
    assert_eq!(journal.oldest(), Some((B, ByteSize(stats.bytes))));
    assert!(stats.segments <= 4, "{stats:?}");
    journal.compact(B, 1);
    assert_eq!(journal.oldest(), None);
    assert_eq!(journal.stats().segments, 1);
}

#[test]
fn compaction_is_durable_with_the_segments_it_frees() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path(), small());
    fill(&mut journal, A, 100, 1000).unwrap();
    let mut state = Round::new();
    state.hard_state(A, Bytes::from_static(b"kept"));
    journal.append(state).unwrap();
    journal.compact(A, 90);
    drop(journal);
    let opened = opened(dir.path(), small());
    let log = &opened.groups[&A];
    assert_eq!((log.first, log.last, log.hard_state.as_deref()), (91, 100, Some(&b"kept"[..])));
    let mut journal = opened.journal;
    journal.remove_group(A);
    drop(journal);
    assert!(crate::opened(dir.path(), small()).groups.is_empty());
}

#[test]
fn slices_outlive_compaction_and_the_journal() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path(), small());
    fill(&mut journal, A, 100, 1000).unwrap();
    let reader = journal.reader();
    let slices: Vec<_> = (1..=100).filter_map(|index| Some((index, reader.locate(A, index)?))).collect();
    assert_eq!(slices.len(), 100);
    journal.compact(A, 100);
    journal.settle();
    assert_eq!(journal.stats().spares, 0, "files that slices hold are not used again");
    fill(&mut journal, A, 200, 1000).unwrap();
    drop(journal);
    for (index, slice) in &slices {
        assert_eq!(slice.read().unwrap(), payload(A, *index, 1, 1000));
        assert_eq!((slice.len(), slice.is_empty()), (1000, false));
    }
    assert!(reader.locate(A, 100).is_none());
    assert!(matches!(reader.read(A, 100), Err(Error::NotFound { first: 101, last: 300, .. })));
}

#[test]
fn readers_go_on_beside_appends_and_compaction() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path(), small());
    fill(&mut journal, A, 20, 800).unwrap();
    let (reader, done, read) = (journal.reader(), AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let (reader, done, read) = (reader.clone(), &done, &read);
            scope.spawn(move || {
                let mut at = thread;
                while !done.load(Relaxed) {
                    let (first, last) = reader.bounds(A);
                    at += 7;
                    let index = first + at % (last + 1 - first).max(1);
                    match reader.read(A, index) {
                        Ok(record) => {
                            assert_eq!(record.payload, payload(A, index, 1, 800));
                            read.fetch_add(1, Relaxed);
                        }
                        // Compacted since.
                        Err(Error::NotFound { first: now, .. }) => assert!(now > index || last < first),
                        Err(other) => panic!("{other}"),
                    }
                }
            });
        }
        while read.load(Relaxed) < 3000 {
            fill(&mut journal, A, 30, 800).unwrap();
            journal.compact(A, journal.last_index(A) - 25);
        }
        done.store(true, Relaxed);
    });
}

#[test]
fn rounds_larger_than_a_segment_are_written_over_several() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path(), small());
    fill(&mut journal, B, 3, 100).unwrap();
    let entries: Vec<_> = (1..=200).map(|index| (A, index, 1, (index as usize * 37) % 4000)).collect();
    journal.append(round(&entries)).unwrap();
    let many: Vec<_> = (1..=3000).map(|index| (GroupId(3), index, index, 0)).collect();
    journal.append(round(&many)).unwrap();
    drop(journal);
    let journal = open(dir.path(), small());
    for (group, index, term, len) in entries.into_iter().chain(many) {
        let record = journal.read(group, index).unwrap();
        assert_eq!((record.term, record.payload), (term, payload(group, index, term, len)));
    }
}

#[test]
fn bad_rounds_are_refused_and_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path(), small());
    fill(&mut journal, A, 10, 10).unwrap();
    journal.compact(A, 4);
    let before = journal.stats();
    let check = |journal: &mut Journal, entries: &[(GroupId, u64, u64, usize)], expected: &str| {
        let error = journal.append(round(entries)).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    };
    check(&mut journal, &[(A, 12, 1, 1)], "index 12 does not continue the log of group 1, which holds 5 to 10");
    check(&mut journal, &[(A, 11, 1, 1), (A, 13, 1, 1)], "index 13 does not continue");
    check(&mut journal, &[(A, 4, 1, 1)], "index 4 does not continue");
    check(&mut journal, &[(B, 0, 1, 1)], "index 0 does not continue");
    check(&mut journal, &[(B, u64::MAX, 1, 1)], "does not continue");
    check(&mut journal, &[(A, 11, 1, 16 << 10)], "does not fit in a journal segment");
    assert_eq!(journal.stats(), before);
    journal.append(round(&[(B, 77, 1, 5), (B, 78, 1, 5), (B, 78, 2, 5)])).unwrap();
    assert_eq!((journal.first_index(B), journal.last_index(B), journal.term(B, 78)), (77, 78, Some(2)));
    assert!(matches!(journal.read(GroupId(9), 1), Err(Error::NotFound { first: 1, last: 0, .. })));
}

#[test]
fn one_process_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path(), small());
    assert!(matches!(Journal::open(dir.path(), small()), Err(Error::Locked { .. })));
    drop(journal);
    open(dir.path(), small());
}

#[test]
fn settings_are_checked() {
    let dir = tempfile::tempdir().unwrap();
    for (settings, expected) in [
        (Settings { segment_size: ByteSize(100), ..small() }, "segment_size is 100 B, it must be 16 KiB to 2 GiB"),
        (Settings { max_size: ByteSize(16 << 10), ..small() }, "max_size is 16 KiB, it must be at least two segments"),
    ] {
        let error = Journal::open(dir.path(), settings).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    Settings::default().check().unwrap();
}
