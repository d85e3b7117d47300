//! The whole cluster at a glance: members, shards, who leads, who lags, what moves.

use crate::mesh::Mesh;
use cluster::{Member, Members};
use model::{GroupId, Role, ShardCounts, ShardId};
use placement::Table;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::timeout;
use transport::v1::groups_client::GroupsClient;
use transport::v1::{GroupStatus, GroupsRequest};

/// How long an ingester may take to say how its groups are.
const ANSWER: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, Serialize)]
pub struct Overview {
    pub cluster: String,
    /// Live members, and those lost lately.
    pub members: Arc<Members>,
    /// Shards that are written.
    pub shards: ShardCounts,
    /// Of the placement.
    pub version: u64,
    pub groups: Vec<Group>,
    /// Ingesters that did not say how their groups are.
    pub silent: Vec<String>,
}

/// A shard's Raft group, or the control group.
#[derive(Debug, Clone, Serialize)]
pub struct Group {
    /// `logs-3`, or `control`.
    pub name: String,
    /// The member that leads and serves; none if nobody says so.
    pub leader: Option<String>,
    pub term: u64,
    pub replicas: Vec<Replica>,
    /// Entries in the leader's log that a flush has not let go of.
    pub entries: u64,
    /// It is on its way to other members.
    pub moving: bool,
}

#[derive(Debug, Clone, Serialize)]
pub struct Replica {
    pub member: String,
    /// It votes; else it learns.
    pub voter: bool,
    /// Entries that it lacks, as the leader knows.
    pub lag: Option<u64>,
    /// It was heard from lately.
    pub active: bool,
}

/// Asks all ingesters.
pub async fn overview(mesh: &Mesh, table: &Table) -> Overview {
    let members = mesh.members().borrow().clone();
    let mut asked = JoinSet::new();
    for member in members.of_role(Role::Ingester).cloned() {
        let link = mesh.link(&member);
        asked.spawn(async move {
            let answer = timeout(ANSWER, GroupsClient::new(link).status(GroupsRequest::default())).await;
            (member, answer.ok().and_then(Result::ok).map(|reply| reply.into_inner().groups))
        });
    }
    let (mut silent, mut led) = (Vec::new(), BTreeMap::<u64, (Arc<Member>, GroupStatus)>::new());
    let mut known = BTreeSet::new();
    for (member, groups) in asked.join_all().await {
        let Some(groups) = groups else {
            silent.push(member.name.clone());
            continue;
        };
        for group in groups {
            known.insert(group.group);
            let newer = led.get(&group.group).is_none_or(|(_, other)| other.term < group.term);
            if group.serves && newer {
                led.insert(group.group, (member.clone(), group));
            }
        }
    }
    known.extend(table.groups().map(|(group, _)| group.0));
    silent.sort_unstable();
    let name = |node: u64| name(&members, table, node);
    let groups = known.into_iter().map(|id| describe(GroupId(id), led.get(&id), table, name)).collect();
    let (shards, version) = (table.writable(), table.version());
    Overview { cluster: mesh.cluster().to_owned(), members, shards, version, groups, silent }
}

fn describe(
    id: GroupId,
    led: Option<&(Arc<Member>, GroupStatus)>,
    table: &Table,
    name: impl Fn(u64) -> String,
) -> Group {
    let label = ShardId::from_group(id).map_or_else(|| "control".to_owned(), |shard| shard.to_string());
    let placed = table.group(id).map(|placed| placed.nodes.as_slice()).unwrap_or_default();
    let Some((leader, status)) = led else {
        let replica = |node: &u64| Replica { member: name(*node), voter: true, lag: None, active: false };
        let replicas = placed.iter().map(replica).collect();
        return Group { name: label, leader: None, term: 0, replicas, entries: 0, moving: false };
    };
    let replica = |node: u64, voter: bool| {
        let progress = status.progress.iter().find(|p| p.node == node);
        let leads = node == leader.id;
        let lag = progress.map(|p| status.last.saturating_sub(p.matched)).or(leads.then_some(0));
        Replica { member: name(node), voter, lag, active: leads || progress.is_some_and(|p| p.active) }
    };
    let voters = status.voters.iter().map(|node| replica(*node, true));
    let mut replicas: Vec<Replica> = voters.chain(status.learners.iter().map(|node| replica(*node, false))).collect();
    replicas.sort_by(|a, b| a.member.cmp(&b.member));
    let entries = (status.last + 1).saturating_sub(status.first);
    // All members of the control group but its voters learn, for ever.
    let moving = id != GroupId::CONTROL && (!status.learners.is_empty() || placed.len() != status.voters.len());
    Group { name: label, leader: Some(leader.name.clone()), term: status.term, replicas, entries, moving }
}

/// The member's name, also when it is away.
fn name(members: &Members, table: &Table, node: u64) -> String {
    let live = members.by_id(node).map(|member| member.name.clone());
    live.or_else(|| table.node(node).map(|known| format!("{} (away)", known.name))).unwrap_or_else(|| node.to_string())
}
