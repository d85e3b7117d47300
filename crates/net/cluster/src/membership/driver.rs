//! The task that owns a process's gossip.

use super::seeds;
use crate::gossip::{Change, Gossip, Out};
use crate::members::Members;
use crate::stats::{Refused, Stats};
use bytes::Bytes;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

/// Packets that are taken in before a new list is made: each may change it, and making it is what costs.
const BATCH: usize = 64;

/// Ends when the member has left, or when all handles are gone.
#[must_use = "nothing happens unless it runs"]
pub struct Driver {
    pub(super) gossip: Gossip,
    pub(super) started: Instant,
    /// The wall clock when it was started.
    pub(super) epoch: Duration,
    pub(super) seeds: Vec<String>,
    pub(super) packets: mpsc::Receiver<Bytes>,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) outgoing: mpsc::Sender<(String, Bytes)>,
    pub(super) members: watch::Sender<Arc<Members>>,
    pub(super) counters: Arc<Counters>,
}

#[derive(Debug)]
pub(super) enum Command {
    Draining(bool),
    Leave(oneshot::Sender<()>),
}

/// A look-up of the seeds that is on its way, or nothing that ever ends.
type LookUp = Pin<Box<dyn Future<Output = Vec<String>> + Send>>;

impl Driver {
    pub async fn run(mut self) {
        let mut out = Out::default();
        let mut batch = Vec::with_capacity(BATCH);
        let mut look_up: Option<LookUp> = None;
        let mut left = None;
        while let Some(deadline) = self.gossip.deadline() {
            let due = self.started + deadline.saturating_sub(self.epoch);
            tokio::select! {
                biased;
                command = self.commands.recv() => match command {
                    Some(Command::Draining(draining)) => {
                        let now = self.now();
                        self.gossip.set_draining(now, draining, &mut out);
                    }
                    Some(Command::Leave(done)) => {
                        let now = self.now();
                        self.gossip.leave(now, &mut out);
                        left = Some(done);
                    }
                    None => return,
                },
                () = tokio::time::sleep_until(due) => {
                    let now = self.now();
                    self.gossip.tick(now, &mut out);
                }
                addresses = finished(&mut look_up) => {
                    look_up = None;
                    self.gossip.announce(&addresses, &mut out);
                }
                count = self.packets.recv_many(&mut batch, BATCH) => {
                    self.counters.received.fetch_add(count as u64, Ordering::Relaxed);
                    let now = self.now();
                    batch.drain(..).for_each(|packet| self.gossip.packet(now, &packet, &mut out));
                }
            }
            if std::mem::take(&mut out.announce) && look_up.is_none() {
                look_up = self
                    .wanted_seeds()
                    .map(|seeds| -> LookUp { Box::pin(seeds::look_up(seeds, self.gossip.me().address.clone())) });
            }
            self.settle(&mut out);
        }
        if let Some(left) = left {
            // An error means that nobody waits any more.
            let _ = left.send(());
        }
    }

    fn now(&self) -> Duration {
        self.epoch + self.started.elapsed()
    }

    /// The seeds that are not the address of a live member, if there are any.
    fn wanted_seeds(&self) -> Option<Vec<String>> {
        let members = self.members.borrow();
        let live = |seed: &&String| members.iter().any(|member| member.address == **seed);
        let wanted: Vec<String> = self.seeds.iter().filter(|seed| !live(seed)).cloned().collect();
        (!wanted.is_empty()).then_some(wanted)
    }

    /// Sends and publishes what a step led to.
    fn settle(&mut self, out: &mut Out) {
        for packet in out.packets.drain(..) {
            match self.outgoing.try_send(packet) {
                Ok(()) => self.counters.sent.fetch_add(1, Ordering::Relaxed),
                Err(_) => self.counters.dropped(),
            };
        }
        self.counters.refused(self.gossip.refused());
        if !out.changes.is_empty() {
            out.changes.drain(..).for_each(log);
            self.members.send_replace(Arc::new(self.gossip.members()));
        }
    }
}

async fn finished(look_up: &mut Option<LookUp>) -> Vec<String> {
    match look_up {
        Some(look_up) => look_up.await,
        None => std::future::pending().await,
    }
}

fn log(change: Change) {
    match change {
        Change::Up(member) => {
            tracing::info!(member = member.name, role = %member.role, address = member.address, "a member is up");
        }
        Change::Down(member) if member.draining => {
            tracing::info!(member = member.name, address = member.address, "a member has left");
        }
        Change::Down(member) => {
            tracing::warn!(member = member.name, address = member.address, "a member is down");
        }
        Change::Replaced { old, new } => {
            let (was, draining) = (&old.address, new.draining);
            tracing::info!(member = new.name, was, address = new.address, draining, "a member has changed");
        }
        Change::Forgotten(member) => tracing::debug!(member = member.name, "a lost member is forgotten"),
        Change::Renewed(me) => {
            tracing::warn!(incarnation = me.incarnation, "others took this member for lost: it has joined again");
        }
        Change::Conflict { rival } => {
            tracing::error!(
                member = rival.name,
                address = rival.address,
                "another process has the name of this one (cluster.member) and was started later: this one is no \
                 member until that one is gone"
            );
        }
        Change::Left => tracing::info!("this member has left its cluster"),
    }
}

#[derive(Default)]
pub(super) struct Counters {
    sent: AtomicU64,
    received: AtomicU64,
    dropped: AtomicU64,
    malformed: AtomicU64,
    version: AtomicU64,
    foreign: AtomicU64,
}

impl Counters {
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.fetch_add(1, Ordering::Relaxed)
    }

    fn refused(&self, refused: Refused) {
        self.malformed.store(refused.malformed, Ordering::Relaxed);
        self.version.store(refused.version, Ordering::Relaxed);
        self.foreign.store(refused.foreign, Ordering::Relaxed);
    }

    pub(super) fn stats(&self) -> Stats {
        let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (malformed, version, foreign) = (value(&self.malformed), value(&self.version), value(&self.foreign));
        Stats {
            sent: value(&self.sent),
            received: value(&self.received),
            refused: Refused { malformed, version, foreign },
            dropped: value(&self.dropped),
        }
    }
}
