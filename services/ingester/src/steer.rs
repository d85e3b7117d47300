//! Brings shards to where they should be: what the node does that leads the control group.

use crate::control::Control;
use crate::error::Error;
use crate::settings::PlacementSettings;
use cluster::Member;
use futures::future::join_all;
use mesh::Mesh;
use model::{GroupId, Role, ShardCounts};
use node::Stopping;
use placement::{Command, Found, Ingester, Progress, Reply, Rules, Step, Table};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};
use transport::v1::groups_client::GroupsClient;
use transport::v1::{Change, ChangeRequest, GroupStatus, GroupsRequest};

/// How long an ingester may take to say how its groups are.
const STATUS: Duration = Duration::from_secs(2);
/// … and to change one.
const CHANGE: Duration = Duration::from_secs(12);

pub struct Steer {
    control: Control,
    mesh: Mesh,
    settings: PlacementSettings,
    /// The least that there should be.
    shards: ShardCounts,
    /// Since when this node leads without a break.
    led: Option<(u64, Instant)>,
    /// Since when ingesters are away.
    away: HashMap<u64, Instant>,
    /// Since when all shards that readers ask are led.
    readable: Option<(ShardCounts, Instant)>,
}

impl Steer {
    pub fn new(control: Control, mesh: Mesh, settings: PlacementSettings, shards: ShardCounts) -> Steer {
        Steer { control, mesh, settings, shards, led: None, away: HashMap::new(), readable: None }
    }

    /// Looks again and again, until the process stops.
    pub async fn run(mut self, mut stopping: Stopping) {
        loop {
            tokio::select! {
                () = stopping.wait() => return,
                () = tokio::time::sleep(self.settings.interval) => {}
            }
            if let Err(error) = self.look().await {
                tracing::debug!(%error, "the placement was not changed; it will be tried again");
            }
        }
    }

    async fn look(&mut self) -> Result<(), Error> {
        let Some(term) = self.control.led() else {
            (self.led, self.readable) = (None, None);
            self.away.clear();
            return Ok(());
        };
        let now = Instant::now();
        let since = match self.led {
            Some((led, since)) if led == term => since,
            _ => now,
        };
        self.led = Some((term, since));
        let members = self.mesh.members().borrow().clone();
        let live: Vec<Arc<Member>> = members.of_role(Role::Ingester).cloned().collect();
        self.meet(&live).await?;
        let ingesters = self.ingesters(&live, now);
        self.begin_shards(&ingesters, now - since).await?;
        let found = self.found(&live).await;
        self.open_for_reads(&found).await?;
        self.open_for_writes(&found, now).await?;
        let rules = Rules {
            replicas: self.settings.replicas,
            moves: self.settings.moves,
            lag: self.settings.lag,
            control: self.settings.control.clone(),
        };
        for step in placement::plan(&self.table(), &ingesters, &found, &rules) {
            tracing::info!(?step, "placement");
            if let Err(error) = self.take(&step).await {
                tracing::warn!(?step, %error, "a step of the placement failed; it will be looked at again");
            }
        }
        self.forget(&ingesters, &found).await
    }

    fn table(&self) -> Arc<Table> {
        self.control.table().borrow().clone()
    }

    /// Writes down who the ingesters are, so that one that goes is missed also by the next leader.
    async fn meet(&self, live: &[Arc<Member>]) -> Result<(), Error> {
        for member in live {
            let known = self.table().node(member.id).is_some_and(|n| n.name == member.name && n.zone == member.zone);
            if !known {
                let (node, name, zone) = (member.id, member.name.clone(), member.zone.clone());
                self.write(Command::Meet { node, name, zone }).await?;
            }
        }
        Ok(())
    }

    /// Those that live, and those that are away for a moment.
    fn ingesters(&mut self, live: &[Arc<Member>], now: Instant) -> Vec<Ingester> {
        let table = self.table();
        self.away.retain(|node, _| !live.iter().any(|member| member.id == *node));
        let mut found = Vec::new();
        for (id, node) in table.nodes() {
            let member = live.iter().find(|member| member.id == id);
            let away = member.is_none().then(|| now - *self.away.entry(id).or_insert(now));
            if away.is_none_or(|away| away < self.settings.replace_after) {
                let draining = member.is_some_and(|member| member.draining);
                let (name, zone) = (node.name.clone(), node.zone.clone());
                found.push(Ingester { id, name, zone, alive: member.is_some(), draining });
            }
        }
        found
    }

    /// Begins the shards that no group keeps yet, once enough ingesters are there, or have been waited for.
    async fn begin_shards(&self, ingesters: &[Ingester], led: Duration) -> Result<(), Error> {
        let table = self.table();
        let shards = table.readable().most(self.shards);
        let alive: Vec<Ingester> = ingesters.iter().filter(|i| i.alive && !i.draining).cloned().collect();
        let enough = alive.len() >= self.settings.replicas || led >= self.settings.settle;
        let unplaced: Vec<GroupId> = table.unplaced(shards).into_iter().map(|shard| shard.group()).collect();
        if unplaced.is_empty() || alive.is_empty() || !enough {
            return Ok(());
        }
        let groups = placement::wanted(&alive, &unplaced, self.settings.replicas);
        tracing::info!(shards = groups.len(), ingesters = alive.len(), "new shards begin");
        self.write(Command::Place { groups }).await
    }

    /// What the leaders say of their groups.
    async fn found(&self, live: &[Arc<Member>]) -> BTreeMap<GroupId, Found> {
        let answers = join_all(live.iter().map(|member| self.status(member))).await;
        let mut found: BTreeMap<GroupId, Found> = BTreeMap::new();
        for (node, status) in answers.into_iter().flatten() {
            let id = GroupId(status.group);
            if status.leader == node && found.get(&id).is_none_or(|other| other.term < status.term) {
                found.insert(id, read(node, status));
            }
        }
        found
    }

    async fn status(&self, member: &Member) -> Vec<(u64, GroupStatus)> {
        let mut client = GroupsClient::new(self.mesh.link(member));
        match timeout(STATUS, client.status(GroupsRequest::default())).await {
            Ok(Ok(reply)) => reply.into_inner().groups.into_iter().map(|group| (member.id, group)).collect(),
            // Its groups look as if they had no leader, so nothing is done to them.
            Ok(Err(_)) | Err(_) => Vec::new(),
        }
    }

    /// Has readers ask new shards when all of them are led: they would wait for one that is not.
    async fn open_for_reads(&self, found: &BTreeMap<GroupId, Found>) -> Result<(), Error> {
        let table = self.table();
        let shards = table.readable().most(self.shards);
        // One raise after the other: the first shards are opened for writes without a grace, and a reader that has heard
        // of them only must not miss those that were added meanwhile.
        let is_settled = table.writable() == table.readable();
        if shards == table.readable() || !is_settled || !all_led(shards, found) {
            return Ok(());
        }
        self.write(Command::Read { shards }).await
    }

    /// Lets writers use new shards when all of them are led, and every reader has had time to hear of them.
    async fn open_for_writes(&mut self, found: &BTreeMap<GroupId, Found>, now: Instant) -> Result<(), Error> {
        let table = self.table();
        let shards = table.readable();
        if table.writable() == shards {
            return Ok(());
        }
        if !all_led(shards, found) {
            self.readable = None;
            return Ok(());
        }
        let since = match self.readable {
            Some((counts, since)) if counts == shards => since,
            _ => now,
        };
        self.readable = Some((shards, since));
        // The first shards have no reader that could miss them.
        let first = table.writable().logs == 0 && table.writable().metrics == 0;
        if first || now - since >= self.settings.readers_grace {
            self.write(Command::Write { shards }).await?;
        }
        Ok(())
    }

    async fn take(&self, step: &Step) -> Result<(), Error> {
        match *step {
            Step::Join { group, node } => self.write(Command::Join { group, node }).await,
            Step::Leave { group, node } => self.write(Command::Leave { group, node }).await,
            Step::Learn { group, leader, node } => self.change(group, leader, node, Change::Learn).await,
            Step::Promote { group, leader, node } => self.change(group, leader, node, Change::Promote).await,
            Step::Transfer { group, leader, node } => self.change(group, leader, node, Change::Transfer).await,
            Step::Remove { group, leader, node } => self.change(group, leader, node, Change::Remove).await,
        }
    }

    async fn change(&self, group: GroupId, leader: u64, node: u64, change: Change) -> Result<(), Error> {
        let link = self.mesh.link_to(leader).ok_or(Error::NoPeer { node: leader })?;
        let request = ChangeRequest { group: group.0, change: change.into(), node };
        match timeout(CHANGE, GroupsClient::new(link).change(request)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(status)) => Err(Error::Peer { node: leader, why: status.message().to_owned() }),
            Err(_) => Err(Error::Peer { node: leader, why: format!("it did not answer within {CHANGE:?}") }),
        }
    }

    /// Forgets who is gone for good and holds nothing.
    async fn forget(&self, ingesters: &[Ingester], found: &BTreeMap<GroupId, Found>) -> Result<(), Error> {
        let table = self.table();
        let is_known = |id: u64| ingesters.iter().any(|ingester| ingester.id == id);
        let holds = |id: u64| {
            table.groups().any(|(_, placed)| placed.nodes.contains(&id))
                || found.values().any(|f| f.voters.contains(&id) || f.learners.contains(&id))
        };
        for (node, _) in table.nodes().filter(|(id, _)| !is_known(*id) && !holds(*id)) {
            self.write(Command::Forget { node }).await?;
        }
        Ok(())
    }

    async fn write(&self, command: Command) -> Result<(), Error> {
        match self.control.place(&command).await? {
            Reply::Done { .. } => Ok(()),
            Reply::Refused { why } => Err(Error::Placement { why }),
        }
    }
}

fn all_led(shards: ShardCounts, found: &BTreeMap<GroupId, Found>) -> bool {
    let mut all = model::Signal::ALL.into_iter().flat_map(|signal| shards.shards(signal));
    all.all(|shard| found.contains_key(&shard.group()))
}

fn read(node: u64, status: GroupStatus) -> Found {
    let last = status.last;
    let progress = status.progress.into_iter().map(|p| Progress {
        node: p.node,
        lag: last.saturating_sub(p.matched),
        active: p.active,
    });
    Found {
        leader: node,
        term: status.term,
        voters: status.voters,
        learners: status.learners,
        progress: progress.collect(),
    }
}
