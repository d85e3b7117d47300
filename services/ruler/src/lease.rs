//! Holds slots: of several rulers, one evaluates a group.
//!
//! A ruler trusts its lease for `patience` after it *asked* for it, on its own monotonic clock; others wait that long
//! after they *saw* that it was granted, which is later. So a ruler that was stopped and goes on finds, before it writes
//! or alerts, that its time is over. What still slips through in that moment harms nobody: samples carry the time of
//! their evaluation, so a second one is the same sample or is refused, and notes carry the slot's epoch.

use crate::error::Error;
use leases::{Command, Reply};
use model::TenantId;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, timeout};
use transport::Link;
use transport::v1::{CommitRequest, rules_client::RulesClient};

/// How long the control group may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// The way to the control group. Cheap to clone.
#[derive(Clone)]
pub struct Control(RulesClient<Link>);

impl Control {
    pub fn new(link: Link) -> Control {
        Control(RulesClient::new(link).max_decoding_message_size(transport::link::MAX_MESSAGE))
    }

    async fn commit(&self, command: &Command) -> Result<Reply, Error> {
        let mut client = self.0.clone();
        let request = CommitRequest { command: command.encode().into(), forwarded: false };
        match timeout(DEADLINE, client.commit(request)).await {
            Ok(Ok(reply)) => match Reply::decode(&reply.into_inner().reply) {
                Reply::Fenced { .. } => Err(Error::Lost),
                Reply::Full { tenant, bytes, limit } => Err(Error::Full { tenant, bytes, limit }),
                Reply::Refused { why } => Err(Error::Control(why)),
                reply => Ok(reply),
            },
            Ok(Err(status)) => Err(Error::Control(status.message().to_owned())),
            Err(_) => Err(Error::Control(format!("no answer within {} s", DEADLINE.as_secs()))),
        }
    }
}

/// What is held, and until when.
#[derive(Debug, Default)]
struct Held {
    /// Nothing before the first answer.
    until: Option<Instant>,
    /// Epochs by slot.
    slots: BTreeMap<u32, u64>,
}

/// All that this ruler holds.
pub struct Leases {
    control: Control,
    holder: String,
    patience: Duration,
    /// What others are told to wait; nothing where there are none.
    told: Duration,
    held: Arc<Mutex<Held>>,
    /// Other holders: their last beats, and since when these are known.
    others: HashMap<String, (leases::Holder, Instant)>,
}

/// The right to evaluate the groups of one slot. Cheap to clone.
#[derive(Clone)]
pub struct Lease {
    slot: u32,
    epoch: u64,
    held: Arc<Mutex<Held>>,
    control: Control,
}

impl Leases {
    /// `holder`: drawn anew by each start. `alone`: there can be no other ruler, so whoever comes next need not wait.
    pub fn new(control: Control, holder: String, patience: Duration, alone: bool) -> Leases {
        let told = if alone { Duration::ZERO } else { patience };
        Leases { control, holder, patience, told, held: Arc::default(), others: HashMap::new() }
    }

    /// Tells that this ruler lives, lets go of slots, and asks for those that it wants and does not have.
    pub async fn beat(&mut self, wanted: &BTreeSet<u32>, free: &[u32]) -> Result<(), Error> {
        let asked = Instant::now();
        let want = wanted.iter().filter(|slot| !lock(&self.held).slots.contains_key(slot)).copied().collect();
        // Not ours from here on, whatever becomes of the question.
        lock(&self.held).slots.retain(|slot, _| !free.contains(slot));
        let is_over =
            |(other, since): &(leases::Holder, Instant)| asked - *since >= Duration::from_millis(other.patience);
        let dead = self.others.iter().filter(|(_, seen)| is_over(seen)).map(|(name, seen)| (name.clone(), seen.0.beat));
        let command = Command::Beat {
            holder: self.holder.clone(),
            patience: self.told.as_millis() as u64,
            want,
            free: free.to_vec(),
            dead: dead.collect(),
        };
        let Reply::Held { holders, slots } = self.control.commit(&command).await? else {
            return Err(Error::Control("it answered something else".into()));
        };
        let now = Instant::now();
        self.others.retain(|name, _| holders.contains_key(name));
        for (name, holder) in holders.into_iter().filter(|(name, _)| *name != self.holder) {
            let seen = self.others.entry(name).or_insert((holder, now));
            if seen.0 != holder {
                *seen = (holder, now);
            }
        }
        let own = slots.into_iter().filter(|(_, slot)| slot.holder == self.holder);
        let mut held = lock(&self.held);
        held.slots = own.map(|(number, slot)| (number, slot.epoch)).collect();
        held.until = Some(asked + self.patience);
        Ok(())
    }

    /// Lets go of everything, so that others need not wait.
    pub async fn leave(&mut self) {
        *lock(&self.held) = Held::default();
        // Without an answer, others wait until its time is over.
        let _ = self.control.commit(&Command::Leave { holder: self.holder.clone() }).await;
    }

    /// The leases that hold now.
    pub fn held(&self) -> BTreeMap<u32, Lease> {
        let held = lock(&self.held);
        if held.until.is_none_or(|until| Instant::now() >= until) {
            return BTreeMap::new();
        }
        let lease = |(slot, epoch): (&u32, &u64)| {
            let (held, control) = (self.held.clone(), self.control.clone());
            (*slot, Lease { slot: *slot, epoch: *epoch, held, control })
        };
        held.slots.iter().map(lease).collect()
    }
}

impl Lease {
    /// An error once the groups may be another's: nothing more may be written or told then.
    pub fn check(&self) -> Result<(), Error> {
        let held = lock(&self.held);
        let holds = held.until.is_some_and(|until| Instant::now() < until);
        match holds && held.slots.get(&self.slot) == Some(&self.epoch) {
            true => Ok(()),
            false => Err(Error::Lost),
        }
    }

    pub fn slot(&self) -> u32 {
        self.slot
    }

    pub fn is_same(&self, other: &Lease) -> bool {
        (self.slot, self.epoch) == (other.slot, other.epoch)
    }

    /// What was noted of the slot's groups, by tenant and name.
    pub async fn notes(&self) -> Result<HashMap<(TenantId, String), Arc<str>>, Error> {
        match self.control.commit(&Command::Load { slot: self.slot, epoch: self.epoch }).await? {
            Reply::Notes { notes } => {
                Ok(notes.into_iter().map(|(tenant, name, text)| ((tenant, name), text)).collect())
            }
            _ => Err(Error::Control("it answered something else".into())),
        }
    }

    /// Notes something of a group, or that there is nothing to note.
    pub async fn note(&self, (tenant, name): (TenantId, String), text: Option<Arc<str>>) -> Result<(), Error> {
        let notes = vec![(tenant, name, text)];
        self.control.commit(&Command::Save { slot: self.slot, epoch: self.epoch, notes }).await.map(drop)
    }
}

fn lock(held: &Mutex<Held>) -> MutexGuard<'_, Held> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
