//! Members come and go, one at a time.

use crate::world::{Cluster, propose, settings, until, voters};
use bytes::Bytes;
use ouro_consensus::{Error, Node};

const NEW: Node = Node(4);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_is_replaced() {
    let mut cluster = Cluster::new(settings());
    let leader = cluster.leader().await;
    for n in 0..10 {
        cluster.propose(format!("entry {n}")).await;
    }
    cluster.start(NEW, &[]);
    let group = cluster.group(leader).clone();
    group.add_learner(NEW).await.expect("is added");
    let last = propose(&group, "with a learner").await;
    until("the learner has it", || cluster.group(NEW).applied() >= last).await;
    assert_eq!(cluster.recorder(NEW).count(), 11);
    assert_eq!(&cluster.group(NEW).status().learners[..], [NEW]);

    group.promote(NEW).await.expect("is promoted");
    let leaves = cluster.follower(leader);
    group.remove(leaves).await.expect("is removed");
    cluster.stop(leaves);
    let mut members: Vec<Node> = voters().into_iter().filter(|node| *node != leaves).chain([NEW]).collect();
    members.sort();
    until("all know it", || members.iter().all(|node| cluster.group(*node).status().voters[..] == members[..])).await;
    // A snapshot knows the members as of its point.
    let index = propose(&group, "without the old one").await;
    group.compact(index, Bytes::from_static(b"cut")).await.expect("is cut");
    for node in members.clone() {
        cluster.stop(node);
    }
    for node in &members {
        cluster.start(*node, &voters());
    }
    cluster.leader().await;
    cluster.propose("after a restart").await;
    for node in &members {
        assert_eq!(cluster.group(*node).status().voters[..], members[..], "node {node}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_knows_how_far_the_others_are() {
    let mut cluster = Cluster::new(settings());
    let leader = cluster.leader().await;
    let group = cluster.group(leader).clone();
    let away = cluster.follower(leader);
    let near = voters().into_iter().find(|node| *node != leader && *node != away).expect("is there");
    cluster.start(NEW, &[]);
    cluster.cut_off(away);
    group.add_learner(NEW).await.expect("is added");
    let of = |node| group.progress().into_iter().find(|progress| progress.node == node);
    let mut last = 0;
    for n in 0..20 {
        last = propose(&group, format!("entry {n}")).await;
    }
    // A placement loop waits like this before it promotes.
    until("the learner caught up", || of(NEW).is_some_and(|learner| learner.matched >= last)).await;
    until("its silence is noticed", || of(away).is_some_and(|progress| !progress.active)).await;
    assert!(of(away).is_some_and(|progress| progress.voter && progress.matched < last));
    assert!(of(NEW).is_some_and(|progress| !progress.voter && progress.active && !progress.snapshot));
    assert_eq!(of(leader), None, "it is about the others");
    assert_eq!(group.progress().iter().map(|progress| progress.node).collect::<Vec<_>>().len(), 3);
    assert_eq!(group.best_follower(), Some(near));
    assert!(cluster.group(near).progress().is_empty() && cluster.group(near).best_follower().is_none());

    // Drained in this way.
    group.transfer(near).await.expect("is handed over");
    until("it tells no more", || group.progress().is_empty() && group.best_follower().is_none()).await;
    cluster.heal();
    cluster.leader_among(|id| id == near.0).await;
    let group = cluster.group(near).clone();
    until("all are heard", || group.progress().iter().filter(|progress| progress.active).count() == 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_that_make_no_sense_are_refused() {
    let cluster = Cluster::new(settings());
    let leader = cluster.leader().await;
    let group = cluster.group(leader);
    let other = cluster.follower(leader);
    for (what, result) in [
        ("a voter as learner", group.add_learner(other).await),
        ("node zero", group.add_learner(Node(0)).await),
        ("no learner", group.promote(NEW).await),
        ("the leader", group.remove(leader).await),
        ("no member", group.remove(NEW).await),
        ("no voter", group.transfer(NEW).await),
    ] {
        assert!(matches!(result, Err(Error::Members { .. })), "{what}: {result:?}");
    }
    let refused = cluster.group(other).add_learner(NEW).await;
    assert!(matches!(refused, Err(Error::NotLeader { .. })), "{refused:?}");
}
