//! Opens the groups that the placement says this node may hold.

use crate::error::Error;
use crate::flush::Flusher;
use crate::lead;
use crate::logs_head::{self, LogsHead};
use crate::machine::Machine;
use crate::metrics_head::MetricsHead;
use crate::shard::Shard;
use crate::shards::Shards;
use crate::signal::Head;
use consensus::Host;
use model::{ShardCounts, ShardId, Signal};
use node::{Node, Stopping};
use placement::{Command, Placed, Table};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How often the placement is looked at though nothing is known to have changed.
const AGAIN: Duration = Duration::from_secs(5);

/// Cheap to clone.
#[derive(Clone)]
pub struct Keeper {
    pub host: Host,
    pub me: consensus::Node,
    pub flusher: Flusher,
    pub node: Node,
    pub logs: Arc<Shards<LogsHead>>,
    pub metrics: Arc<Shards<MetricsHead>>,
    pub logs_settings: logs_head::Settings,
    pub metrics_settings: metrics::Settings,
}

impl Keeper {
    /// Follows the placement until the process stops.
    pub async fn run(self, mut table: watch::Receiver<Arc<Table>>, mut stopping: Stopping) {
        loop {
            let now = table.borrow_and_update().clone();
            if let Err(error) = self.open(&now) {
                tracing::error!(%error, "a shard that is placed here cannot be opened; it will be tried again");
            }
            self.close_gone(&self.logs, &now).await;
            self.close_gone(&self.metrics, &now).await;
            tokio::select! {
                () = stopping.wait() => return,
                () = tokio::time::sleep(AGAIN) => {}
                changed = table.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Closes what is no longer placed here: the group has let this node go before the table did.
    async fn close_gone<H: Head>(&self, shards: &Shards<H>, table: &Table) {
        let is_here = |id: ShardId| table.shard(id).is_some_and(|placed| placed.nodes.contains(&self.me.0));
        for shard in shards.all().into_iter().filter(|shard| !is_here(shard.id)) {
            shards.remove(shard.id);
            shard.closed.send_replace(true);
            match self.host.remove(shard.id.group()).await {
                Ok(()) => tracing::info!(shard = %shard.id, "this ingester keeps a shard no longer"),
                Err(error) => tracing::error!(shard = %shard.id, %error, "a shard that left cannot be removed"),
            }
        }
    }

    /// Opens what is placed here and is not open yet.
    pub fn open(&self, table: &Table) -> Result<(), Error> {
        let placed = |(group, placed): (_, &Placed)| {
            let here = placed.nodes.contains(&self.me.0);
            ShardId::from_group(group).filter(|_| here).map(|shard| (shard, placed.first.clone()))
        };
        for (shard, first) in table.groups().filter_map(placed) {
            match shard.signal {
                Signal::Logs => self.open_one(&self.logs, shard, &first, &self.logs_settings)?,
                Signal::Metrics => self.open_one(&self.metrics, shard, &first, &self.metrics_settings)?,
            }
        }
        Ok(())
    }

    fn open_one<H: Head>(
        &self,
        shards: &Shards<H>,
        id: ShardId,
        first: &[u64],
        settings: &H::Settings,
    ) -> Result<(), Error> {
        if shards.find(id).is_ok() {
            return Ok(());
        }
        let shard = Shard::<H>::new(id, self.me, settings);
        // Whoever was not there at the beginning is fed by those who were.
        let began = first.contains(&self.me.0);
        let voters: Vec<_> = first.iter().filter(|_| began).map(|node| consensus::Node(*node)).collect();
        let machine = || Box::new(Machine { shard: shard.clone(), control: self.flusher.control.clone() });
        let opened = match self.host.group(id.group(), &voters, machine()) {
            // It was here from the beginning, left, and comes back: now it has to be fed like anybody else.
            Err(consensus::Error::Removed { .. }) => self.host.group(id.group(), &[], machine()),
            opened => opened,
        };
        opened.map_err(|source| Error::Consensus { shard: id, source })?;
        let keep = self.flusher.clone().keep(shard.clone(), self.node.stopping());
        self.node.spawn(format!("ingester: flushes of {id}"), keep);
        shards.add(shard);
        Ok(())
    }

    /// Has the placement name this node for every shard, of which there are to be at least so many: for a node that
    /// has no peers.
    pub async fn place_all(&self, shards: ShardCounts) -> Result<Arc<Table>, Error> {
        let control = &self.flusher.control;
        let now = || control.table().borrow().clone();
        if now().readable().most(shards) != now().readable() || now().writable() != now().readable() {
            let shards = now().readable().most(shards);
            control.place(&Command::Read { shards }).await?;
            control.place(&Command::Write { shards }).await?;
        }
        let unplaced = now().unplaced(now().readable());
        if !unplaced.is_empty() {
            let groups = unplaced.into_iter().map(|shard| (shard.group(), vec![self.me.0])).collect();
            control.place(&Command::Place { groups }).await?;
        }
        Ok(now())
    }

    /// Waits until this node leads all that it keeps, side by side: for one that has no peers.
    pub async fn lead_all(&self) -> Result<(), Error> {
        lead_each(&self.logs.all()).await?;
        lead_each(&self.metrics.all()).await
    }
}

async fn lead_each<H: Head>(shards: &[Arc<Shard<H>>]) -> Result<(), Error> {
    for shard in shards {
        let led = lead::wait(shard.group()?, &shard.led).await;
        led.map_err(|source| Error::Consensus { shard: shard.id, source })?;
    }
    Ok(())
}
