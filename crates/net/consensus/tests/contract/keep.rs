//! Machines that are shown the log only while their node leads.

use crate::world::{
    Cluster, GROUP, ME, PATIENCE, Single, deadline, flush, leads, open_as, propose, settings, until, voters,
};
use bytes::Bytes;
use ouro_consensus::{Error, Follow, Node};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::time::{Instant, timeout};

fn texts(range: std::ops::Range<usize>) -> Vec<Bytes> {
    range.map(|n| Bytes::from(format!("entry {n}"))).collect()
}

fn others(node: Node) -> impl Iterator<Item = Node> {
    voters().into_iter().filter(move |other| *other != node)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn followers_keep_the_log_and_are_shown_nothing() {
    let cluster = Cluster::with(settings(), Follow::Keep);
    let leader = cluster.leader().await;
    let mut last = 0;
    for text in texts(0..50) {
        last = cluster.propose(text).await;
    }
    assert_eq!(cluster.recorder(leader).entries(), texts(0..50));
    for node in others(leader) {
        until("the follower has it", || cluster.group(node).status().committed >= last).await;
        until("memory holds none of it", || cluster.host(node).stats().cache_bytes == 0).await;
        assert_eq!(cluster.group(node).read(last).expect("its log has it"), "entry 49");
        assert_eq!(cluster.group(node).applied(), 1);
        let refused = timeout(PATIENCE, cluster.group(node).read_index(deadline())).await.expect("is answered at once");
        assert!(matches!(refused, Err(Error::NotLeader { leader: Some(found), .. }) if found == leader), "{refused:?}");
        let seen = cluster.recorder(node).seen();
        assert!(seen.entries.is_empty() && seen.restored.is_empty() && seen.led.is_empty(), "{seen:?}");
    }
    assert!(cluster.group(leader).read_index(deadline()).await.expect("the leader answers") >= last);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_leader_is_shown_exactly_what_is_after_the_snapshot() {
    let mut cluster = Cluster::with(settings(), Follow::Keep);
    let old = cluster.leader().await;
    for text in texts(0..10) {
        cluster.propose(text).await;
    }
    // What is in between keeps the log from being cut behind the entry.
    let group = cluster.group(old).clone();
    let through = group.applied();
    cluster.propose("entry 10").await;
    group.propose_cut(Bytes::from_static(b"flushed"), through, Bytes::from_static(b"ten")).await.expect("is logged");
    for text in texts(11..20) {
        cluster.propose(text).await;
    }
    until("all have cut", || voters().iter().all(|node| cluster.group(*node).status().first == through + 1)).await;
    cluster.stop(old);

    let new = cluster.leader_among(|id| id != old.0).await;
    {
        let seen = cluster.recorder(new).seen();
        assert_eq!(seen.restored, [(through, Bytes::from_static(b"ten"))]);
        assert_eq!((seen.applied_when_led.as_slice(), seen.flushed.len()), (&[10][..], 1));
        assert!(matches!(seen.led[..], [Some(_)]), "{:?}", seen.led);
    }
    propose(cluster.group(new), "entry 20").await;
    assert_eq!(cluster.recorder(new).entries(), texts(10..21));
    cluster.start(old, &voters());
    let last = propose(cluster.group(new), "entry 21").await;
    until("the old one has it", || cluster.group(old).status().committed >= last).await;
    assert!(cluster.recorder(old).seen().restored.is_empty(), "it only follows");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_proposed_during_a_replay_is_answered_after_it() {
    let cluster = Cluster::with(settings(), Follow::Keep);
    let old = cluster.leader().await;
    for text in texts(0..10) {
        cluster.propose(text).await;
    }
    let new = cluster.follower(old);
    let last = cluster.group(old).status().last;
    cluster.recorder(new).held.store(true, Relaxed);
    cluster.group(old).transfer(new).await.expect("is handed over");
    let group = cluster.group(new).clone();
    let proposing = tokio::spawn({
        let group = group.clone();
        async move {
            for text in texts(10..12) {
                group.propose(text).await.expect("is logged");
            }
        }
    });
    // The entry of its term, and the first that is proposed.
    let third = others(new).find(|node| *node != old).expect("is there");
    until("others have it", || cluster.group(third).status().last >= last + 2).await;
    let early = group.read_index(Instant::now() + Duration::from_millis(50)).await;
    assert!(matches!(early, Err(Error::Timeout { .. })), "{early:?}");
    assert!(!proposing.is_finished() && cluster.recorder(new).seen().led.is_empty());
    cluster.recorder(new).held.store(false, Relaxed);
    timeout(PATIENCE, proposing).await.expect("ends").expect("is answered");
    assert_eq!(cluster.recorder(new).entries(), texts(0..12));
    assert_eq!(cluster.recorder(new).seen().applied_when_led, [10]);
    assert!(group.read_index(deadline()).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_that_is_overtaken_by_another_lead_begins_anew() {
    let cluster = Cluster::with(settings(), Follow::Keep);
    let old = cluster.leader().await;
    for text in texts(0..10) {
        cluster.propose(text).await;
    }
    let between = cluster.follower(old);
    let last = cluster.group(old).status().last;
    cluster.recorder(between).held.store(true, Relaxed);
    cluster.group(old).transfer(between).await.expect("is handed over");
    let proposing = tokio::spawn({
        let group = cluster.group(between).clone();
        async move { group.propose(Bytes::from_static(b"entry 10")).await }
    });
    until("others have it", || cluster.group(old).status().last >= last + 2).await;
    cluster.cut_off(between);
    let new = cluster.leader_among(|id| id != between.0).await;
    until("it knows that it leads no longer", || cluster.group(between).status().leader != Some(between)).await;
    let lost = timeout(PATIENCE, proposing).await.expect("ends").expect("runs");
    assert!(matches!(lost, Err(Error::Lost { .. })), "{lost:?}");
    cluster.recorder(between).held.store(false, Relaxed);
    until("its machine knows", || cluster.recorder(between).seen().led == [None]).await;
    assert_eq!(cluster.recorder(new).entries(), texts(0..11), "what was lost to one is there all the same");
    cluster.heal();
    cluster.hand_over(between).await;
    assert_eq!(cluster.leader().await, between);
    assert_eq!(cluster.recorder(between).entries(), texts(0..11));
    assert_eq!(cluster.recorder(between).seen().restored.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lead_goes_back_and_forth() {
    let cluster = Cluster::with(settings(), Follow::Keep);
    let mut count = 0;
    for turn in 0..9 {
        cluster.hand_over(voters()[turn % 2]).await;
        for text in texts(count..count + 5) {
            cluster.propose(text).await;
        }
        count += 5;
        let leader = cluster.leader().await;
        until("it has all", || cluster.recorder(leader).count() == count).await;
        assert_eq!(cluster.recorder(leader).entries(), texts(0..count));
        if turn % 3 == 2 {
            let snapshot = cluster.recorder(leader).snapshot(cluster.group(leader).applied());
            flush(cluster.group(leader), snapshot).await.expect("is logged");
        }
        for node in others(leader) {
            until("no other leads", || !matches!(cluster.recorder(node).seen().led.last(), Some(Some(_)))).await;
            assert_eq!(cluster.recorder(node).count(), 0);
        }
    }
}

#[tokio::test]
async fn one_alone_is_shown_its_log_when_it_leads() {
    let node = Single::new(settings());
    for run in 0..4 {
        let host = node.host();
        let (group, recorder) = open_as(&host, GROUP, &[ME], Follow::Keep).expect("opens");
        leads(&group).await;
        propose(&group, format!("entry {run}")).await;
        assert_eq!(recorder.entries(), texts(0..run + 1));
        let told = { recorder.seen().led.clone() };
        assert!(matches!(told[..], [Some(_)]), "{told:?}");
        assert_eq!(recorder.seen().restored.len(), 1);
        assert!(group.read_index(deadline()).await.is_ok());
        if run == 1 {
            flush(&group, recorder.snapshot(group.applied())).await.expect("is logged");
        }
        match run % 2 {
            0 => drop(host),
            _ => host.shutdown().await,
        }
    }
}
