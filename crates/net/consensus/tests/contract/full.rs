//! Journals and disks that are full, and disks that fail.

use crate::world::{self, GROUP, ME, Single, leads, open, propose, settings, until};
use bytes::Bytes;
use model::{ByteSize, GroupId};
use ouro_consensus::{Error, Group, Settings};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::time::Instant;

const ENTRY: usize = 64 << 10;

fn small() -> Settings {
    let mut settings = settings();
    settings.journal.segment_size = ByteSize(512 << 10);
    settings.journal.max_size = ByteSize::mib(4);
    settings
}

/// Logs plain entries until there is no room for more; the number of them, and the error.
async fn fill(group: &Group) -> (usize, Error) {
    for logged in 0..1000 {
        if let Err(error) = group.propose(Bytes::from(vec![logged as u8; ENTRY])).await {
            return (logged, error);
        }
    }
    panic!("it never was full");
}

/// What an ingester does when it is asked to: by an entry that cuts, or by two steps.
async fn flush(group: &Group, by_entry: bool) {
    if by_entry {
        let through = world::flush(group, "flushed").await.expect("goes through");
        until("it is cut", || group.status().first > through).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        return;
    }
    let marker = group.propose_urgent(Bytes::from_static(b"flushed")).await.expect("markers go through");
    group.compact(marker.index, Bytes::from_static(b"flushed")).await.expect("is cut");
    tokio::time::sleep(Duration::from_millis(50)).await;
}

/// Fills the journal, starts again while it is full, shrinks it by flush markers and cuts, and goes on.
async fn check(node: Single, disk: bool) {
    for round in 0..3 {
        let host = node.host();
        let (group, _) = open(&host, GROUP, &[ME]).expect("opens");
        let (idle, _) = open(&host, GroupId(8), &[ME]).expect("opens");
        leads(&group).await;
        leads(&idle).await;
        if round == 0 {
            propose(&idle, "holds the oldest segment").await;
        }
        let (logged, full) = fill(&group).await;
        assert!(matches!(full, Error::Full { disk: found, .. } if found == disk), "{full:?}");
        assert!(logged > 0, "nothing fitted in round {round}");
        host.shutdown().await;

        let host = node.host();
        let (group, _) = open(&host, GROUP, &[ME]).expect("opens");
        let (idle, _) = open(&host, GroupId(8), &[ME]).expect("opens");
        leads(&group).await;
        leads(&idle).await;
        fill(&group).await;
        let mut flushed = Vec::new();
        // Small entries may fit before large ones do: who was refused tries again once nobody is asked to flush.
        loop {
            while let Some(pressed) = host.journal_pressure() {
                assert!(flushed.len() < 4, "flushing does not help: {flushed:?}");
                flush(if pressed == idle.id() { &idle } else { &group }, round % 2 == 1).await;
                flushed.push(pressed);
            }
            let Err(full) = group.propose(Bytes::from(vec![1; ENTRY])).await else { break };
            assert!(host.journal_pressure().is_some(), "{full}, and nobody is asked to flush after {flushed:?}");
        }
        assert!(!flushed.is_empty(), "nobody was asked to flush");
        host.shutdown().await;
    }
}

#[tokio::test]
async fn when_even_the_reserve_is_used_up_all_wait_for_space() {
    let mut settings = small();
    settings.journal.max_size = ByteSize::mib(512);
    let node = Single::new(settings);
    let host = node.host();
    let (group, _) = open(&host, GROUP, &[ME]).expect("opens");
    leads(&group).await;
    node.faults.space.store(1 << 20, Relaxed);
    fill(&group).await;
    let marker = Bytes::from(vec![9; 4 << 10]);
    let mut markers = 0;
    let full = loop {
        match group.propose_urgent(marker.clone()).await {
            Ok(_) => markers += 1,
            Err(error) => break error,
        }
        assert!(markers < 1000, "it never was full");
    };
    assert!(markers > 5 && matches!(full, Error::Full { .. }), "{full:?} after {markers} markers");
    host.shutdown().await;

    // Each start writes a little, until nothing is left for that either.
    let mut turned_away = 0;
    for _ in 0..40 {
        let host = node.host();
        let (group, _) = open(&host, GROUP, &[ME]).expect("opens");
        match group.read_index(Instant::now() + Duration::from_millis(200)).await {
            Ok(_) => {}
            // The second if it was asked before that was known.
            Err(Error::Full { .. } | Error::Timeout { .. }) => turned_away += 1,
            Err(error) => panic!("{error}"),
        }
        host.shutdown().await;
    }
    assert!(turned_away > 0, "it never was out of space");

    let host = node.host();
    let (group, recorder) = open(&host, GROUP, &[ME]).expect("opens");
    assert!(matches!(group.propose(Bytes::from_static(b"x")).await, Err(Error::Full { .. })));
    node.faults.space.fetch_add(8 << 20, Relaxed);
    leads(&group).await;
    assert!(recorder.count() > markers);
    flush(&group, false).await;
    propose(&group, "goes on").await;
    host.shutdown().await;
}

#[tokio::test]
async fn a_full_journal_takes_markers_and_shrinks() {
    check(Single::new(small()), false).await;
}

#[tokio::test]
async fn a_full_disk_takes_markers_and_shrinks() {
    let mut settings = small();
    settings.journal.max_size = ByteSize::mib(512);
    let node = Single::new(settings);
    node.faults.space.store(3 << 20, Relaxed);
    check(node, true).await;
}

#[tokio::test]
async fn a_disk_that_fails_ends_the_host_and_loses_nothing_acknowledged() {
    let node = Single::new(settings());
    let host = node.host();
    let (group, _) = open(&host, GROUP, &[ME]).expect("opens");
    leads(&group).await;
    propose(&group, "acknowledged").await;
    node.faults.fail_sync.store(true, Relaxed);
    let failed = group.propose(Bytes::from_static(b"not acknowledged")).await;
    assert!(matches!(&failed, Err(Error::Failed(why)) if why.contains("sync")), "{failed:?}");
    let later = group.propose(Bytes::from_static(b"later")).await;
    assert!(matches!(&later, Err(Error::Failed(why)) if why.contains("sync")), "{later:?}");
    let opened = open(&host, GroupId(8), &[ME]).map(drop);
    assert!(matches!(&opened, Err(Error::Failed(why)) if why.contains("sync")), "{opened:?}");
    drop(host);

    let host = node.host();
    let (group, recorder) = open(&host, GROUP, &[ME]).expect("opens");
    leads(&group).await;
    until("it is replayed", || recorder.count() >= 1).await;
    assert_eq!(recorder.entries()[0], "acknowledged");
    propose(&group, "goes on").await;
}
