//! A full journal and a full disk: refused rounds, the reserve, and getting out of it again.

use crate::{A, B, fill, open, payload, round, small};
use bytes::Bytes;
use model::ByteSize;
use ouro_journal::{Error, Journal, Round, Settings, faults::Faults};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

const SEGMENT: u64 = 64 << 10;

fn settings() -> Settings {
    Settings { segment_size: ByteSize(SEGMENT), reserve: ByteSize(SEGMENT), ..small() }
}

fn until_full(journal: &mut Journal) -> Error {
    loop {
        if let Err(error) = fill(journal, A, 1, 3000) {
            return error;
        }
    }
}

fn urgent(index: u64) -> Round {
    let mut round = round(&[(B, index, 1, 40)]);
    round.urgent();
    round
}

#[test]
fn over_max_size_only_urgent_rounds_go_in() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path(), Settings { max_size: ByteSize(4 * SEGMENT), ..settings() });
    let error = until_full(&mut journal);
    assert_eq!(
        error.to_string(),
        "the journal is full: its segments take 256 KiB, the limit is 256 KiB (journal.max_size); \
         flushing the oldest group frees space"
    );
    assert_eq!(journal.stats().segments, 4);
    assert!(matches!(journal.room(1, 3000), Err(Error::Full { disk: false, .. })));
    // Far more than the last segment still takes.
    for index in 1..=2000 {
        journal.append(urgent(index)).unwrap();
    }
    assert!(matches!(fill(&mut journal, A, 1, 10), Err(Error::Full { disk: false, .. })));
    assert_eq!(journal.oldest().map(|(group, _)| group), Some(A));
    journal.compact(A, journal.last_index(A) - 10);
    journal.settle();
    journal.compact(B, 1990);
    journal.settle();
    journal.room(1, 3000).unwrap();
    fill(&mut journal, A, 10, 3000).unwrap();
    assert_eq!(journal.read(B, 2000).unwrap().payload, payload(B, 2000, 1, 40));
}

/// Fills a disk, flushes out of it, and finds everything again.
fn story(dir: &Path, faults: Arc<Faults>, sync: bool) {
    let settings = Settings { sync, ..settings() };
    let mut journal = Journal::open_with(dir, settings.clone(), Arc::clone(&faults)).unwrap().journal;
    let error = until_full(&mut journal);
    assert!(matches!(error, Error::Full { disk: true, .. }), "{error}");
    assert!(error.to_string().starts_with("the disk of the journal is full: its segments take"), "{error}");
    assert!(journal.stats().reserve);
    let last = journal.last_index(A);

    // The reserve takes far more flush markers than the last segment.
    let mut markers = 0;
    while journal.stats().reserve || markers < 300 {
        markers += 1;
        if markers % 2 == 0 {
            journal.room_urgent(1, 40).unwrap();
        }
        journal.append(urgent(markers)).unwrap();
        assert!(markers < 5000, "the reserve was never needed");
    }
    // A large round must not use what is left of it.
    assert!(matches!(fill(&mut journal, A, 1, 3000), Err(Error::Full { disk: true, .. })));
    assert!(matches!(journal.room(1, 3000), Err(Error::Full { .. })));
    assert_eq!(journal.last_index(A), last);

    drop(journal);
    let mut journal = Journal::open_with(dir, settings.clone(), Arc::clone(&faults)).unwrap().journal;
    assert_eq!((journal.last_index(A), journal.last_index(B)), (last, markers));
    journal.append(urgent(markers + 1)).unwrap();

    // A flush frees space: first the reserve is filled again, then writes go on.
    journal.compact(A, last - 2);
    journal.settle();
    assert!(journal.stats().reserve);
    fill(&mut journal, A, 10, 3000).unwrap();
    drop(journal);
    let journal = Journal::open_with(dir, settings, faults).unwrap().journal;
    for index in last - 1..=last + 10 {
        assert_eq!(journal.read(A, index).unwrap().payload, payload(A, index, 1, 3000));
    }
}

#[test]
fn a_full_disk_can_still_shrink() {
    let dir = tempfile::tempdir().unwrap();
    let faults = Arc::new(Faults::default());
    faults.space.store(8 * SEGMENT as i64 + 100, Relaxed);
    story(dir.path(), faults, false);
}

#[test]
fn a_full_tmpfs_can_still_shrink() {
    let dir = tempfile::tempdir().unwrap();
    let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=600k", "tmpfs"]).arg(dir.path()).output();
    if !mount.as_ref().is_ok_and(|output| output.status.success()) {
        println!("skipped: cannot mount a tmpfs here ({mount:?})");
        return;
    }
    let inner = dir.path().to_owned();
    let done = std::panic::catch_unwind(|| story(&inner, Arc::default(), true));
    Command::new("umount").arg(dir.path()).status().unwrap();
    done.unwrap();
}

#[test]
fn room_that_was_promised_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let faults = Arc::new(Faults::default());
    faults.space.store(6 * SEGMENT as i64, Relaxed);
    let mut journal = Journal::open_with(dir.path(), settings(), Arc::clone(&faults)).unwrap().journal;
    let mut rounds = 0;
    for records in (1..30).cycle() {
        let start = journal.last_index(A) + 1;
        let entries: Vec<_> = (start..start + records).map(|index| (A, index, index, 900)).collect();
        match journal.room(entries.len(), 900 * records) {
            Ok(()) => journal.append(round(&entries)).unwrap(),
            Err(Error::Full { disk: true, .. }) => break,
            Err(other) => panic!("{other}"),
        }
        rounds += 1;
    }
    assert!(rounds > 10);
    // Larger than a segment.
    journal.compact(A, journal.last_index(A));
    journal.settle();
    let start = journal.last_index(A) + 1;
    let entries: Vec<_> = (start..start + 60).map(|index| (A, index, 1, 900)).collect();
    journal.room(60, 60 * 900).unwrap();
    journal.append(round(&entries)).unwrap();
}

/// A disk without preallocation fills up in the middle of a write.
#[test]
fn an_urgent_write_that_fails_takes_the_reserve_and_fails_cleanly() {
    let dir = tempfile::tempdir().unwrap();
    let faults = Arc::new(Faults::default());
    let mut journal = Journal::open_with(dir.path(), settings(), Arc::clone(&faults)).unwrap().journal;
    fill(&mut journal, B, 1, 40).unwrap();
    faults.writable.store(60, Relaxed);
    assert!(matches!(journal.append(urgent(2)), Err(Error::Full { disk: true, .. })));
    assert!(!journal.stats().reserve);
    faults.writable.store(i64::MAX / 2, Relaxed);
    journal.append(urgent(2)).unwrap();
    let mut state = Round::new();
    state.hard_state(B, Bytes::from_static(b"x"));
    journal.append(state).unwrap();
    drop(journal);
    assert_eq!(open(dir.path(), settings()).read(B, 2).unwrap().payload, payload(B, 2, 1, 40));
}
