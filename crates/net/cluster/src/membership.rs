//! Gossip in a process: a handle for everybody, a task that owns the state machine, and the packets to send.

mod driver;
mod seeds;

pub use driver::Driver;

use crate::error::Error;
use crate::gossip::Gossip;
use crate::member::Member;
use crate::members::Members;
use crate::settings::Settings;
use crate::stats::Stats;
use bytes::Bytes;
use driver::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

/// Packets that wait to be taken in, and as many that wait to be sent. Over it they are dropped: gossip repeats itself.
const PACKET_QUEUE: usize = 1_024;
const COMMAND_QUEUE: usize = 8;

/// Addresses, and the packets to send there. Whoever owns it connects it to the transport; what cannot be sent at once
/// should be dropped.
pub type Outgoing = mpsc::Receiver<(String, Bytes)>;

/// Cheap to clone.
#[derive(Clone)]
pub struct Membership {
    packets: mpsc::Sender<Bytes>,
    commands: mpsc::Sender<Command>,
    members: watch::Receiver<Arc<Members>>,
    counters: Arc<driver::Counters>,
}

impl Membership {
    /// Joins `me` to the cluster that the settings name, once the driver runs: it is a task of the caller's.
    ///
    /// `me.incarnation` is raised to the present, so it may be 0. `seed` should be random.
    pub fn new(me: Member, settings: &Settings, seed: u64) -> Result<(Membership, Driver, Outgoing), Error> {
        let epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Membership::new_at(me, settings, seed, epoch)
    }

    /// `new`, when the wall clock shows this.
    #[doc(hidden)]
    pub fn new_at(
        me: Member,
        settings: &Settings,
        seed: u64,
        epoch: Duration,
    ) -> Result<(Membership, Driver, Outgoing), Error> {
        settings.gossip.check()?;
        let started = u64::try_from(epoch.as_millis()).unwrap_or(u64::MAX);
        let me = Member { incarnation: me.incarnation.max(started), ..me };
        let gossip = Gossip::new(me, settings, seed, epoch)?;
        let (packets, incoming) = mpsc::channel(PACKET_QUEUE);
        let (commands, orders) = mpsc::channel(COMMAND_QUEUE);
        let (outgoing, taken) = mpsc::channel(PACKET_QUEUE);
        let (publish, members) = watch::channel(Arc::new(gossip.members()));
        let counters = Arc::<driver::Counters>::default();
        let driver = Driver {
            gossip,
            started: Instant::now(),
            epoch,
            seeds: settings.seeds.clone(),
            packets: incoming,
            commands: orders,
            outgoing,
            members: publish,
            counters: counters.clone(),
        };
        Ok((Membership { packets, commands, members, counters }, driver, taken))
    }

    /// The live members now, and whenever they change.
    pub fn members(&self) -> watch::Receiver<Arc<Members>> {
        self.members.clone()
    }

    /// Takes in a packet that another member sent. It is dropped if too many wait.
    pub fn receive(&self, packet: Bytes) {
        if self.packets.try_send(packet).is_err() {
            self.counters.dropped();
        }
    }

    /// Tells all others whether this member should be given nothing new.
    pub async fn set_draining(&self, draining: bool) -> Result<(), Error> {
        self.commands.send(Command::Draining(draining)).await.map_err(|_| Error::Left)
    }

    /// Tells the others that this member goes, and ends the driver once the packets that say so are in the queue.
    pub async fn leave(&self) -> Result<(), Error> {
        let (done, left) = oneshot::channel();
        self.commands.send(Command::Leave(done)).await.map_err(|_| Error::Left)?;
        left.await.map_err(|_| Error::Left)
    }

    pub fn stats(&self) -> Stats {
        self.counters.stats()
    }
}
