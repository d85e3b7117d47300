//! Torn ends, bit flips, and what failed writes leave behind.

use crate::{A, B, fill, open, opened, payload, round, small};
use bytes::Bytes;
use model::ByteSize;
use ouro_journal::{Error, Journal, Round, Settings, faults::Faults};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

fn segments(dir: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut logs: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|ext| ext == "log")).collect();
    logs.sort();
    logs
}

/// Copies of the last segment before and after the last of `count` rounds, and where they differ.
struct Story {
    dir: tempfile::TempDir,
    file: PathBuf,
    before: Vec<u8>,
    after: Vec<u8>,
    range: std::ops::Range<usize>,
}

fn last_round() -> Round {
    let mut last = round(&[(A, 4, 2, 100), (B, 4, 2, 700), (A, 5, 2, 0), (B, 3, 3, 61)]);
    last.hard_state(A, Bytes::from_static(b"term 2"));
    last
}

fn story() -> Story {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path(), small());
    for index in 1..4 {
        journal.append(round(&[(A, index, 1, 90), (B, index, 1, 33)])).unwrap();
    }
    let file = segments(dir.path()).pop().unwrap();
    let before = fs::read(&file).unwrap();
    journal.append(last_round()).unwrap();
    let after = fs::read(&file).unwrap();
    drop(journal);
    let differs = |at: &usize| before[*at] != after[*at];
    let first = (0..after.len()).find(differs).unwrap();
    // Payloads end in zeros and padding at most.
    let last = (0..after.len()).rev().find(differs).unwrap();
    Story { dir, file, before, after, range: first / 8 * 8..last + 1 }
}

impl Story {
    /// Reopens with these bytes; the acknowledged rounds are there, the last one in full or not at all. Then another
    /// round goes in and is found.
    fn check(&self, bytes: &[u8], complete: Option<bool>) {
        fs::write(&self.file, bytes).unwrap();
        let mut journal = open(self.dir.path(), small());
        let found = journal.last_index(A) == 5;
        assert!(complete.is_none_or(|complete| complete == found));
        self.verify(&journal, found);
        let next = journal.last_index(A) + 1;
        journal.append(round(&[(A, next, 7, 150)])).unwrap();
        drop(journal);
        let opened = opened(self.dir.path(), small());
        assert_eq!(opened.journal.read(A, next).unwrap().payload, payload(A, next, 7, 150));
        assert_eq!(opened.groups[&A].hard_state.is_some(), found);
    }

    fn verify(&self, journal: &Journal, found: bool) {
        let ends = if found { (5, 3) } else { (3, 3) };
        assert_eq!((journal.last_index(A), journal.last_index(B)), ends);
        for (group, index, len) in [(A, 1, 90), (A, 2, 90), (A, 3, 90), (B, 1, 33), (B, 2, 33)] {
            assert_eq!(journal.read(group, index).unwrap().payload, payload(group, index, 1, len));
        }
        let (term, len) = if found { (3, 61) } else { (1, 33) };
        assert_eq!(journal.read(B, 3).unwrap().payload, payload(B, 3, term, len));
    }
}

#[test]
fn a_file_cut_anywhere_in_the_last_round_keeps_the_others() {
    let story = story();
    for cut in story.range.clone() {
        story.check(&story.after[..cut], Some(false));
    }
    story.check(&story.after, Some(true));
}

#[test]
fn a_last_round_whose_end_is_missing_is_dropped_in_full() {
    let story = story();
    for cut in story.range.clone() {
        let torn = [&story.after[..cut], &story.before[cut..]].concat();
        story.check(&torn, if torn == story.after { Some(true) } else { Some(false) });
    }
}

/// Power loss: of an unsynced round any pages may be on disk, the later ones too.
#[test]
fn a_last_round_with_holes_is_dropped_in_full() {
    let story = story();
    for start in story.range.clone().step_by(8) {
        for len in [8, 64, 512] {
            let mut torn = story.after.clone();
            let end = (start + len).min(torn.len());
            torn[start..end].copy_from_slice(&story.before[start..end]);
            story.check(&torn, if torn == story.after { Some(true) } else { Some(false) });
        }
    }
}

#[test]
fn a_flipped_bit_never_hides_an_acknowledged_round() {
    let story = story();
    let (mut corrupt, mut cut) = (0, 0);
    for at in 0..story.range.end + 200 {
        let mut bytes = story.after.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(&story.file, &bytes).unwrap();
        match Journal::open(story.dir.path(), small()) {
            Err(Error::Corrupt { segment, what, .. }) => {
                assert!(at < story.range.start, "flip in the tail at {at}: {what}");
                assert_eq!(segment, 1);
                corrupt += 1;
            }
            Err(other) => panic!("flip at {at}: {other}"),
            Ok(opened) => {
                let found = opened.journal.last_index(A) == 5;
                assert!(found || at >= story.range.start, "flip at {at} hid the last round");
                story.verify(&opened.journal, found);
                cut += u32::from(!found);
            }
        }
    }
    // Padding is not covered, so not every flip is seen.
    assert!(corrupt > 500 && cut > 900, "{corrupt} corrupt, {cut} cut");
}

#[test]
fn a_flipped_bit_in_a_sealed_segment_is_seen_when_opened_or_read() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path(), small());
    while segments(dir.path()).len() < 3 {
        fill(&mut journal, A, 1, 700).unwrap();
        fill(&mut journal, B, 1, 5).unwrap();
    }
    let lasts = [(A, journal.last_index(A), 700), (B, journal.last_index(B), 5)];
    drop(journal);
    let sealed = segments(dir.path()).remove(1);
    let good = fs::read(&sealed).unwrap();
    let (mut at_open, mut at_read) = (0, 0);
    for at in (0..good.len()).step_by(13) {
        let mut bytes = good.clone();
        bytes[at] ^= 0x10;
        fs::write(&sealed, bytes).unwrap();
        match Journal::open(dir.path(), small()) {
            Err(Error::Corrupt { segment: 2, .. }) => at_open += 1,
            Err(other) => panic!("flip at {at}: {other}"),
            Ok(opened) => {
                for (group, last, len) in lasts {
                    assert_eq!(opened.journal.last_index(group), last);
                    for index in 1..=last {
                        match opened.journal.read(group, index) {
                            Ok(record) => assert_eq!(record.payload, payload(group, index, 1, len)),
                            Err(Error::Corrupt { segment: 2, .. }) => at_read += 1,
                            Err(other) => panic!("flip at {at}: {other}"),
                        }
                    }
                }
            }
        }
    }
    assert!(at_open > 10 && at_read > 700, "{at_open} at open, {at_read} at read");
}

#[test]
fn a_missing_segment_is_corruption() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path(), small());
    fill(&mut journal, A, 60, 900).unwrap();
    drop(journal);
    fs::remove_file(&segments(dir.path())[1]).unwrap();
    let error = Journal::open(dir.path(), small()).unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }) && error.to_string().contains("group 1"), "{error}");
}

/// A write that fails in the middle is rolled back; what it left is never taken for a record, whatever comes next.
#[test]
fn what_a_failed_write_left_is_never_found() {
    let failing = [(A, 2, 1, 40), (A, 3, 1, 600), (A, 4, 1, 40), (A, 5, 1, 40)];
    let total = round(&failing).bytes();
    for cut in (0..total).step_by(4) {
        for (next, torn) in [((A, 2, 2, 40), false), ((A, 2, 2, 600), false), ((A, 2, 2, 40), true)] {
            let dir = tempfile::tempdir().unwrap();
            let faults = Arc::new(Faults::default());
            let mut journal = Journal::open_with(dir.path(), small(), Arc::clone(&faults)).unwrap().journal;
            fill(&mut journal, A, 1, 50).unwrap();
            faults.writable.store(cut as i64, Relaxed);
            let error = journal.append(round(&failing)).unwrap_err();
            assert!(matches!(error, Error::Full { disk: true, .. }), "{error}");
            assert_eq!(journal.last_index(A), 1);
            let file = segments(dir.path()).remove(0);
            let rolled_back = fs::read(&file).unwrap();
            faults.writable.store(i64::MAX / 2, Relaxed);
            // The same sizes as the failed one, so that records lie in the same places.
            let more = [next, (A, 3, 2, 600)];
            journal.append(round(&more)).unwrap();
            drop(journal);
            if torn {
                // Of the second try, only the first record got to the disk.
                let mut bytes = fs::read(&file).unwrap();
                let first = (0..bytes.len()).find(|at| bytes[*at] != rolled_back[*at]).unwrap_or(0) / 8 * 8;
                let kept = first + 96;
                bytes[kept..].copy_from_slice(&rolled_back[kept..]);
                fs::write(&file, bytes).unwrap();
            }
            let journal = open(dir.path(), small());
            assert_eq!(journal.last_index(A), if torn { 1 } else { 3 }, "cut {cut}, next {next:?}");
            for index in 2..=journal.last_index(A) {
                assert_eq!(journal.read(A, index).unwrap().term, 2);
            }
        }
    }
}

#[test]
fn a_failed_sync_poisons_and_is_not_retried() {
    let dir = tempfile::tempdir().unwrap();
    let faults = Arc::new(Faults::default());
    let mut journal = Journal::open_with(dir.path(), small(), Arc::clone(&faults)).unwrap().journal;
    fill(&mut journal, A, 3, 50).unwrap();
    faults.fail_sync.store(true, Relaxed);
    let first = journal.append(round(&[(A, 4, 1, 50)])).unwrap_err();
    let syncs = journal.stats().syncs;
    let second = journal.append(round(&[(A, 4, 1, 50)])).unwrap_err();
    let third = journal.room(1, 1).unwrap_err();
    assert!(matches!(first, Error::Poisoned { .. }));
    assert_eq!((first.to_string(), second.to_string()), (second.to_string(), third.to_string()));
    assert_eq!(journal.stats().syncs, syncs);
    assert_eq!(journal.read(A, 3).unwrap().payload, payload(A, 3, 1, 50));
    journal.compact(A, 3);
    journal.remove_group(A);
    drop(journal);
    assert!(open(dir.path(), small()).last_index(A) >= 3);
}

/// Appends, compacts, rolls and recycles until something fails. Answers with what was acknowledged of A: its bounds
/// before and after the last step.
fn live(journal: &mut Journal) -> ((u64, u64), (u64, u64)) {
    let mut acked = (1, 0);
    for step in 1..40 {
        let before = acked;
        let start = acked.1 + 1;
        let mut entries: Vec<_> = (start..start + 4).map(|index| (A, index, 1, 900)).collect();
        entries.push((B, step, 1, 10));
        let mut all = round(&entries);
        all.hard_state(A, Bytes::from(step.to_le_bytes().to_vec()));
        if journal.append(all).is_err() {
            return (before, (acked.0, acked.1 + 4));
        }
        acked.1 += 4;
        if step % 5 == 0 {
            acked.0 = acked.1 - 2;
            journal.compact(A, acked.0 - 1);
            journal.compact(B, step - 1);
            journal.settle();
            if journal.room(1, 1).is_err_and(|error| matches!(error, Error::Poisoned { .. })) {
                return ((before.0, acked.1), acked);
            }
        }
    }
    (acked, acked)
}

#[test]
fn the_end_of_the_process_at_any_operation_loses_nothing() {
    for operations in 0.. {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings { reserve: ByteSize(16 << 10), ..small() };
        let faults = Arc::new(Faults::default());
        faults.operations.store(operations, Relaxed);
        let Ok(opened) = Journal::open_with(dir.path(), settings.clone(), Arc::clone(&faults)) else { continue };
        let mut journal = opened.journal;
        let (before, after) = live(&mut journal);
        drop(journal);
        let done = faults.operations.load(Relaxed) > 0;

        let opened =
            Journal::open(dir.path(), settings.clone()).unwrap_or_else(|error| panic!("{operations}: {error}"));
        let mut journal = opened.journal;
        let found = (journal.first_index(A), journal.last_index(A));
        assert!((1..=after.0).contains(&found.0) && (before.1..=after.1).contains(&found.1), "{operations}: {found:?}");
        assert!(found.0 >= before.0.saturating_sub(20), "{operations}: compacted to {before:?}, found {found:?}");
        for index in found.0..=found.1 {
            assert_eq!(journal.read(A, index).unwrap().payload, payload(A, index, 1, 900), "{operations}");
        }
        assert_eq!(journal.last_index(B) * 4, found.1);
        let state = opened.groups.get(&A).and_then(|log| log.hard_state.clone());
        assert_eq!(state, (found.1 > 0).then(|| Bytes::from((found.1 / 4).to_le_bytes().to_vec())));
        fill(&mut journal, A, 30, 900).unwrap();
        if done {
            assert!(operations > 100);
            return;
        }
    }
}
