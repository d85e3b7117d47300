//! Journals and disks that are full, and disks that fail.

use crate::world::{GROUP, ME, Single, leads, open, propose, settings, until};
use bytes::Bytes;
use ouro_consensus::{Error, Settings};
use model::{ByteSize, GroupId};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

const ENTRY: usize = 64 << 10;

fn small() -> Settings {
    let mut settings = settings();
    settings.journal.segment_size = ByteSize(512 << 10);
    settings.journal.max_size = ByteSize::mib(4);
    settings
}

/// Fills the journal, shrinks it by a flush marker and a cut, and goes on.
async fn check(node: Single, disk: bool) {
    let host = node.host();
    let (group, recorder) = open(&host, GROUP, &[ME]).expect("opens");
    let (idle, _) = open(&host, GroupId(8), &[ME]).expect("opens");
    leads(&group).await;
    leads(&idle).await;
    propose(&idle, "holds the oldest segment").await;
    for round in 0..3 {
        let mut logged = 0;
        let full = loop {
            match group.propose(Bytes::from(vec![round; ENTRY])).await {
                Ok(_) => logged += 1,
                Err(error) => break error,
            }
            assert!(logged < 1000, "it never was full");
        };
        assert!(matches!(full, Error::Full { disk: found, .. } if found == disk), "{full:?}");
        assert!(logged > 0, "nothing fitted in round {round}");
        let mut flushed = Vec::new();
        while let Some(pressed) = host.journal_pressure() {
            assert!(flushed.len() < 4, "flushing does not help: {flushed:?}");
            let group = if pressed == idle.id() { &idle } else { &group };
            let marker = group.propose_urgent(Bytes::from_static(b"flushed")).await.expect("markers go through");
            group.compact(marker.index, Bytes::from_static(b"flushed")).await.expect("is cut");
            flushed.push(pressed);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(!flushed.is_empty(), "nobody was asked to flush");
    }
    let known = recorder.count();
    host.shutdown().await;
    assert!(known > 3);
    let host = node.host();
    let (group, _) = open(&host, GROUP, &[ME]).expect("opens");
    leads(&group).await;
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
