//! A handle on one replicated log.

use crate::charge::Charge;
use crate::cut::Cut;
use crate::error::Error;
use crate::inbox::{self, Answer, Change, Command, Proposal, Read};
use crate::machine::Node;
use crate::mark::{Mark, from_record, shown};
use crate::progress::{Progress, best};
use crate::shared::Shared;
use crate::slot::{Slot, Status};
use crate::state::Base;
use bytes::Bytes;
use model::{ByteSize, GroupId};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, timeout, timeout_at};

/// What an entry costs beside its data while it is on its way.
const OVERHEAD: u64 = 256;

/// Cheap to clone. It does not keep the host running: when that is gone, all calls answer `Stopping`.
#[derive(Clone)]
pub struct Group {
    shared: Arc<Shared>,
    slot: Arc<Slot>,
}

/// An entry that is committed, and applied on this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposed {
    pub index: u64,
    pub term: u64,
    /// What the state machine answered.
    pub reply: Bytes,
}

impl Group {
    pub(crate) fn new(shared: Arc<Shared>, slot: Arc<Slot>) -> Group {
        Group { shared, slot }
    }

    pub fn id(&self) -> GroupId {
        self.slot.group
    }

    /// Logs an entry. Answers once it is committed and applied here.
    ///
    /// `NotLeader`, `Busy`, `TooLarge` and `Full` say that nothing was logged. After `Lost`, `Stopping` and `Failed`,
    /// and when the caller gives up, it may be logged or not.
    pub async fn propose(&self, data: Bytes) -> Result<Proposed, Error> {
        self.propose_as(data, Mark::Plain).await
    }

    /// `propose` for the few small entries by which a full node frees space: it may use the journal's reserve, and
    /// goes past the limits of what is on its way.
    pub async fn propose_urgent(&self, data: Bytes) -> Result<Proposed, Error> {
        self.propose_as(data, Mark::Urgent).await
    }

    /// Logs an entry that carries a cut: `compact(through, snapshot)` on every member. Once it is committed, each stores
    /// the snapshot and cuts its log by itself, a little later and whether its machine is shown entries or not; on this
    /// node after the machine has applied the entry. When several wait, the last one is done. The entry is urgent.
    ///
    /// The machine is shown `data` as of any entry. But `snapshot` must say what `data` says too, and what the data of
    /// earlier cuts up to `through` said: where only entries without data are in between, the log is cut behind this
    /// one, and who restores is not shown it.
    ///
    /// Errors are those of `propose`, and `NotApplied` if the machine has not applied `through` yet.
    pub async fn propose_cut(&self, data: Bytes, through: u64, snapshot: Bytes) -> Result<Proposed, Error> {
        let applied = self.applied();
        if through > applied {
            return Err(Error::NotApplied { group: self.slot.group, through, applied });
        }
        let cut = Cut { through, snapshot, data };
        self.admit_size(cut.size())?;
        self.propose_as(cut.encode(), Mark::Cut).await
    }

    async fn propose_as(&self, data: Bytes, mark: Mark) -> Result<Proposed, Error> {
        self.check()?;
        let charge = self.admit(data.len() as u64, mark != Mark::Plain)?;
        let (answer, answered) = oneshot::channel();
        self.shared.inbox.propose(Proposal { group: self.slot.group, data, mark, charge, answer });
        self.answered(answered).await
    }

    fn admit_size(&self, bytes: u64) -> Result<(), Error> {
        let limit = self.shared.settings.max_entry();
        if bytes > limit.0 { Err(Error::TooLarge { bytes: ByteSize(bytes), limit }) } else { Ok(()) }
    }

    fn admit(&self, bytes: u64, urgent: bool) -> Result<Charge, Error> {
        let (settings, slot) = (&self.shared.settings, &self.slot);
        self.admit_size(bytes)?;
        if urgent {
            return Ok(Charge::new(&slot.uncommitted, bytes + OVERHEAD));
        }
        let busy = |what, used, limit, setting| {
            Err(Error::Busy { group: slot.group, what, used: ByteSize(used), limit, setting })
        };
        let waits = slot.unapplied.used();
        if waits > settings.apply_queue.0 {
            return busy("entries to apply", waits, settings.apply_queue, "consensus.apply_queue");
        }
        let limit = settings.max_uncommitted;
        Charge::within(&slot.uncommitted, bytes + OVERHEAD, limit.0)
            .or_else(|used| busy("uncommitted entries", used, limit, "consensus.max_uncommitted"))
    }

    /// Answers with the index up to which this node has applied the log, once that is at least all that was committed
    /// anywhere when it was called. Works on followers too, as long as they hear from a leader; `Timeout` else. Where the
    /// machine `Follow::Keep`s, only the leader answers, once the log was replayed; others say `NotLeader` at once.
    pub async fn read_index(&self, deadline: Instant) -> Result<u64, Error> {
        self.check()?;
        let begun = Instant::now();
        let (answer, answered) = oneshot::channel();
        if !self.shared.inbox.read(Read { group: self.slot.group, answer }) {
            let (used, limit) = (ByteSize(0), ByteSize(0));
            return Err(Error::Busy {
                group: self.slot.group,
                what: "reads",
                used,
                limit,
                setting: "too many at once",
            });
        }
        match timeout_at(deadline, self.answered(answered)).await {
            Ok(result) => result,
            Err(_) => Err(Error::Timeout { group: self.slot.group, waited: begun.elapsed() }),
        }
    }

    /// What the state machine has applied. See `Status::applied`.
    pub fn applied(&self) -> u64 {
        self.slot.applied.load(Acquire)
    }

    pub fn status(&self) -> Status {
        self.slot.status()
    }

    /// Changes when the leader, the term or the log does.
    pub fn watch(&self) -> watch::Receiver<Status> {
        self.slot.status.subscribe()
    }

    /// Stores what stands for everything up to `through`, durably, and then lets the journal forget it. `snapshot` is
    /// the state machine's state when it had applied exactly `through`, which a flush may have fixed long ago. Does
    /// nothing if the log was cut there before.
    pub async fn compact(&self, through: u64, snapshot: Bytes) -> Result<(), Error> {
        self.check()?;
        let slot = &self.slot;
        let (applied, first) = (self.applied(), slot.first.load(Relaxed));
        if through < first {
            return Ok(());
        }
        let not_applied = Error::NotApplied { group: slot.group, through, applied };
        if through > applied {
            return Err(not_applied);
        }
        // Another cut may come in between: then there is nothing to do.
        let Some(term) = self.shared.reader.term(slot.group, through) else { return Ok(()) };
        let members = slot.members_at(through).ok_or(not_applied)?;
        let base = Base { index: through, term, members };
        let (files, group, written) = (Arc::clone(&self.shared.files), slot.group, base.clone());
        self.blocking(move || files.write(group, &written, &snapshot)).await?;
        fail::fail_point!("consensus::compact_after_snapshot");
        let slot = Arc::clone(slot);
        let cut = |answer| Command::Cut(inbox::Cut { slot, base, after: through, answer: Some(answer) });
        let done = self.command(cut).await;
        let files = Arc::clone(&self.shared.files);
        if let Err(error @ Error::Removed { .. }) = done {
            // The others of its files went before.
            self.blocking(move || files.remove(group, through)).await?;
            return Err(error);
        }
        done?;
        self.blocking(move || {
            files.remove_before(group, through);
            Ok(())
        })
        .await
    }

    /// Where a committed entry's data rests; None if the log does not hold it. Of an entry that carries a cut, it is all
    /// that is logged.
    pub fn slice(&self, index: u64) -> Option<journal::Slice> {
        let held = index >= self.slot.first.load(Relaxed) && index <= self.slot.committed.load(Acquire);
        self.shared.reader.locate(self.slot.group, index).filter(|_| held)
    }

    /// Reads a committed entry's data from the journal. Blocks on the disk.
    pub fn read(&self, index: u64) -> Result<Bytes, Error> {
        let (first, committed) = (self.slot.first.load(Relaxed), self.slot.committed.load(Acquire));
        let missing = Error::NoEntry { group: self.slot.group, index, first, committed };
        if index < first || index > committed {
            return Err(missing);
        }
        match self.shared.reader.read(self.slot.group, index) {
            Ok(record) => Ok(shown(&from_record(record))),
            Err(journal::Error::NotFound { .. }) => Err(missing),
            Err(error) => Err(error.into()),
        }
    }

    /// Calls an election, as a voter that should lead. What comes of it is seen in the status.
    pub fn campaign(&self) {
        self.shared.inbox.command(Command::Campaign { group: self.slot.group });
    }

    /// How far the other members are, in order of their ids; empty unless this node leads. Not older than a few ticks.
    pub fn progress(&self) -> Vec<Progress> {
        let patience = self.shared.settings.tick * self.shared.settings.election_ticks as u32;
        let mut all: Vec<Progress> = self.slot.heard().iter().map(|heard| heard.progress(patience)).collect();
        all.sort_unstable_by_key(|progress| progress.node);
        all
    }

    /// Whom to hand the lead to: the live voter that has most of the log. None unless this node leads.
    pub fn best_follower(&self) -> Option<Node> {
        best(&self.progress())
    }

    /// Hands the lead over. Proposals are refused meanwhile, at most for an election's time-out.
    pub async fn transfer(&self, to: Node) -> Result<(), Error> {
        self.check()?;
        let mut status = self.watch();
        let group = self.slot.group;
        self.command(|answer| Command::Transfer { group, to, answer }).await?;
        let settings = &self.shared.settings;
        let patience = settings.tick * (2 * settings.election_ticks) as u32;
        match timeout(patience, status.wait_for(|status| status.leader == Some(to))).await {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::Timeout { group, waited: patience }),
        }
    }

    /// Adds a member without a vote, which is fed the snapshot and the log. Open the group there without voters.
    pub async fn add_learner(&self, node: Node) -> Result<(), Error> {
        self.change(Change::AddLearner(node)).await
    }

    /// Gives a learner a vote. Wait until it has nearly all of the log.
    pub async fn promote(&self, node: Node) -> Result<(), Error> {
        self.change(Change::Promote(node)).await
    }

    /// Removes a member; never the leader, which hands over the lead first.
    pub async fn remove(&self, node: Node) -> Result<(), Error> {
        self.change(Change::Remove(node)).await
    }

    async fn change(&self, change: Change) -> Result<(), Error> {
        self.check()?;
        let group = self.slot.group;
        self.command(|answer| Command::Change { group, change, answer }).await
    }

    async fn command(&self, command: impl FnOnce(Answer<()>) -> Command) -> Result<(), Error> {
        let (answer, answered) = oneshot::channel();
        self.shared.inbox.command(command(answer));
        self.answered(answered).await
    }

    async fn answered<T>(&self, answered: oneshot::Receiver<Result<T, Error>>) -> Result<T, Error> {
        match answered.await {
            Ok(result) => result,
            // It was dropped because something ended: the group, or the host.
            Err(_) => self.check().and_then(|()| Err(self.shared.gone())),
        }
    }

    /// Files are synced here, which takes milliseconds.
    async fn blocking(&self, work: impl FnOnce() -> Result<(), Error> + Send + 'static) -> Result<(), Error> {
        if self.shared.stepped.is_some() {
            return work();
        }
        match tokio::task::spawn_blocking(work).await {
            Ok(result) => result,
            Err(_) => Err(Error::Stopping),
        }
    }

    fn check(&self) -> Result<(), Error> {
        self.slot.check()?;
        self.shared.check()
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").field("id", &self.slot.group).field("status", &self.status()).finish()
    }
}
