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
