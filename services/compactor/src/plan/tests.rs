//! What is merged when: never too early, never too late, and no row for ever.

use super::*;
use crate::examples::{block, catalog, segment};
use model::ByteSize;
use std::time::Duration;

fn settings() -> Settings {
    let millis = Duration::from_millis;
    Settings {
        segment_age: millis(100),
        window: millis(1000),
        fan_in: 3,
        block_bytes: ByteSize(1000),
        job_bytes: ByteSize(70),
        ..Settings::default()
    }
}

/// The log indexes after which the segments of the next job begin.
fn segments(catalog: &Catalog, now: i64) -> Vec<u64> {
    let (settings, broken) = (settings(), HashSet::new());
    let job =
        Planner { catalog, settings: &settings, now, broken: &broken, due: &Arc::default() }.segments(Signal::Logs);
    job.map(|job| job.inputs.segments.iter().map(|s| s.after).collect()).unwrap_or_default()
}

fn written(created: &[i64]) -> Catalog {
    catalog((0u64..).zip(created).map(|(after, created)| segment(Signal::Logs, 0, after, *created)))
}

#[test]
fn segments_are_merged_when_there_are_enough_old_ones() {
    let check = |created: &[i64], now, want: &[u64]| {
        assert_eq!(segments(&written(created), now), want, "{created:?} at {now}");
    };
    check(&[0, 10, 20], 119, &[]); // the third is too young
    check(&[0, 10, 20], 120, &[0, 1, 2]);
    check(&[0, 10], 900, &[]); // too few, and more may come
    check(&[0, 10], 1099, &[]);
    check(&[0, 10], 1100, &[0, 1]); // no more will come
    check(&[0], 1100, &[0]); // not even one is left
    check(&[980, 990, 1010, 1020, 1030], 1150, &[0, 1]); // windows are kept apart
    check(&[990, 1010, 1020, 1030], 1150, &[0]);
    check(&[0, 1, 2, 3, 4, 5, 6, 7, 8], 150, &[0, 1, 2, 3, 4, 5, 6]); // 70 bytes at once
    check(&[0, 99_999, 20, 30], 500, &[1]); // a clock was wrong: it is merged all the same, and alone
    check(&[0, 550, 20, 30], 500, &[]); // … or a little ahead: what stands side by side is too little
    check(&[], 500, &[]);
}

#[test]
fn what_is_broken_stays_and_hinders_nobody() {
    let (mut catalog, settings) = (written(&[0, 1, 2, 3, 4, 5, 6]), settings());
    let name = |catalog: &Catalog, after| catalog.segments().find(|s| s.after == after).expect("there").name.clone();
    let broken = HashSet::from([name(&catalog, 3)]);
    let next = |catalog: &Catalog| {
        Planner { catalog, settings: &settings, now: 5000, broken: &broken, due: &Arc::default() }.next()
    };
    for want in [[0, 1, 2], [4, 5, 6]] {
        let job = next(&catalog).expect("a job");
        assert_eq!(job.inputs.segments.iter().map(|s| s.after).collect::<Vec<_>>(), want);
        catalog = replaced(catalog, &job);
    }
    assert!(next(&catalog).is_none(), "the broken one stands between the blocks");
}

fn replaced(catalog: Catalog, job: &Job) -> Catalog {
    let names = job.names();
    block(catalog, "a", &names.iter().map(String::as_str).collect::<Vec<_>>())
}

/// A day of segments, looked at as they come: what is written, how often, and what is left.
#[test]
fn a_row_is_written_again_three_times_at_most() {
    let (settings, broken) = (settings(), HashSet::new());
    let (mut catalog, mut rewritten) = (catalog([]), 0);
    for tick in 0..130i64 {
        let now = tick * 10;
        if now < 1000 {
            let one = segment(Signal::Logs, 0, tick as u64, now);
            assert!(matches!(
                catalog.apply(&catalog::Command::Add { segment: one }.encode()),
                catalog::Reply::Done { .. }
            ));
        }
        while let Some(job) =
            (Planner { catalog: &catalog, settings: &settings, now, broken: &broken, due: &Arc::default() }).next()
        {
            rewritten += job.inputs.segments.len() + job.inputs.blocks.len();
            catalog = replaced(catalog, &job);
        }
    }
    assert_eq!(catalog.segments().count(), 0);
    let levels: Vec<u8> = catalog.blocks().map(|b| b.level).collect();
    assert!(levels.len() <= 12 && levels.iter().all(|level| *level <= 3), "{levels:?}");
    assert!(rewritten <= 100 + 34 + 12 + 12, "{rewritten} objects were read to merge 100");
}

#[test]
fn large_blocks_stay_as_they_are() {
    let base = written(&[0, 1, 2, 3]);
    let names: Vec<String> = base.segments().map(|s| s.name.clone()).collect();
    let catalog = names.iter().fold(base, |catalog, name| block(catalog, "a", &[name]));
    let next = |block_bytes, now| {
        let (settings, broken) = (Settings { block_bytes: ByteSize(block_bytes), ..settings() }, HashSet::new());
        let job = Planner { catalog: &catalog, settings: &settings, now, broken: &broken, due: &Arc::default() }.next();
        job.map_or(0, |job| job.inputs.blocks.len())
    };
    assert_eq!(next(22, 10), 4);
    assert_eq!(next(20, 10), 0, "each is half of a block");
}
