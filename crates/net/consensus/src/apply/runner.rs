//! One apply thread: runs its groups' machines in turns.

use crate::apply::lane::Lane;
use crate::error::Error;
use crate::group::Proposed;
use crate::inbox::Answer;
use crate::machine::{Committed, Follow, Node, StateMachine};
use crate::mark::{from_record, shown};
use crate::slot::{Item, Slot, Waiter, Work};
use crate::snapshot::{Directory, Snapshot};
use bytes::Bytes;
use journal::Reader;
use model::GroupId;
use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// Entries of one group before the next group has its turn.
const TURN: usize = 256;

/// Works off one lane.
pub(crate) struct Worker {
    lane: Arc<Lane>,
    me: Node,
    reader: Reader,
    files: Arc<Directory>,
    runners: HashMap<GroupId, Runner>,
}

impl Worker {
    pub(crate) fn new(lane: &Arc<Lane>, me: Node, reader: &Reader, files: &Arc<Directory>) -> Worker {
        let (lane, reader, files) = (Arc::clone(lane), reader.clone(), Arc::clone(files));
        Worker { lane, me, reader, files, runners: HashMap::new() }
    }

    /// Until the lane is stopped.
    pub(crate) fn run(mut self) {
        while let Some(slot) = self.lane.next() {
            self.turn(slot);
        }
    }

    /// One group's turn, if one waits; says whether one did.
    pub(crate) fn step(&mut self) -> bool {
        let slot = self.lane.try_next();
        let found = slot.is_some();
        slot.into_iter().for_each(|slot| self.turn(slot));
        found
    }

    fn turn(&mut self, slot: Arc<Slot>) {
        let new = || Runner::new(&slot, self.me, &self.reader, &self.files);
        let runner = self.runners.entry(slot.group).or_insert_with(new);
        let more = runner.turn(self.lane.is_stopping());
        if let Some(closed) = runner.closed.take() {
            self.runners.remove(&slot.group);
            // The group may be opened again from here on.
            let _ = closed.send(Ok(()));
        } else if more {
            self.lane.push(slot);
        }
    }
}

struct Runner {
    slot: Arc<Slot>,
    me: Node,
    reader: Reader,
    files: Arc<Directory>,
    /// None before it is opened, and after it panicked.
    machine: Option<Box<dyn StateMachine>>,
    reads: BTreeMap<u64, Vec<Answer<u64>>>,
    /// A machine that is shown entries only while it leads was shown something.
    replayed: bool,
    /// Who waits for the machine to be gone.
    closed: Option<Answer<()>>,
}

impl Runner {
    fn new(slot: &Arc<Slot>, me: Node, reader: &Reader, files: &Arc<Directory>) -> Runner {
        Runner {
            slot: Arc::clone(slot),
            me,
            reader: reader.clone(),
            files: Arc::clone(files),
            machine: None,
            reads: BTreeMap::new(),
            replayed: false,
            closed: None,
        }
    }

    /// Applies some of what waits; says whether there is more.
    fn turn(&mut self, stopping: bool) -> bool {
        let mut left = TURN;
        let more = loop {
            let mut queue = self.slot.queue();
            if left == 0 {
                break true;
            }
            let epoch = queue.epoch;
            match queue.works.pop_front() {
                None => {
                    queue.queued = false;
                    break false;
                }
                // It is in the journal: the next start reads it.
                Some(Work::Range { .. } | Work::Replay { .. }) if stopping => {
                    queue.works.clear();
                    queue.waiters.clear();
                }
                Some(work) => {
                    drop(queue);
                    left = left.saturating_sub(self.guarded(work, epoch, left));
                }
            }
        };
        self.answer_reads();
        self.slot.publish(|_| {});
        more
    }

    /// A machine that panics takes its group with it, and not the others of the thread.
    fn guarded(&mut self, work: Work, epoch: u64, left: usize) -> usize {
        match catch_unwind(AssertUnwindSafe(|| self.run(work, epoch, left))) {
            Ok(count) => count,
            Err(panic) => {
                let group = self.slot.group.0;
                self.fail(format!("the state machine of group {group} panicked: {}", panic_text(&*panic)));
                1
            }
        }
    }

    fn fail(&mut self, why: String) {
        self.machine = None;
        self.slot.fail(why);
        self.drop_waiters();
    }

    /// Everyone who waits hears why.
    fn drop_waiters(&mut self) {
        let Err(error) = self.slot.check() else { return };
        let waiters = std::mem::take(&mut self.slot.queue().waiters);
        waiters.into_iter().for_each(|waiter| drop(waiter.answer.send(Err(error.clone()))));
        self.answer_all_reads(&error);
    }

    fn answer_all_reads(&mut self, error: &Error) {
        let reads = std::mem::take(&mut self.reads).into_values().flatten();
        reads.for_each(|answer| drop(answer.send(Err(error.clone()))));
    }

    /// The number of entries that were applied.
    fn run(&mut self, work: Work, epoch: u64, left: usize) -> usize {
        match work {
            Work::Open(machine) => self.machine = Some(machine),
            Work::Entry(item) => {
                self.apply(item);
                return 1;
            }
            Work::Range { next, last } => return self.range(next, last, epoch, left),
            Work::Replay { last } => self.replay(last, epoch),
            Work::Lead(term) => self.lead(term),
            Work::Restore { index, data } => self.restore(index, data),
            Work::Read { index, answer } => {
                self.reads.entry(index).or_default().push(answer);
                if self.machine.is_none() {
                    self.drop_waiters();
                }
            }
            Work::Close(closed) => {
                self.machine = None;
                self.drop_waiters();
                self.closed = Some(closed);
            }
        }
        0
    }

    fn lead(&mut self, term: Option<u64>) {
        let keeps = self.slot.follow == Follow::Keep;
        if let Some(machine) = &mut self.machine
            && (!keeps || self.replayed)
        {
            machine.lead(term);
        }
        self.slot.leads.store(term.unwrap_or(0), Release);
        if keeps && term.is_none() {
            self.replayed = false;
            let lost = Error::NotLeader { group: self.slot.group, me: self.me, leader: None };
            self.answer_all_reads(&lost);
        }
    }

    /// The machine begins anew, and the log after the newest snapshot comes next. It is there for as long as this goes
    /// on: cuts wait for it.
    fn replay(&mut self, last: u64, epoch: u64) {
        match self.newest() {
            Ok((index, data)) => {
                self.replayed = true;
                self.restore(index, data);
                let mut queue = self.slot.queue();
                if index < last && queue.epoch == epoch {
                    queue.works.push_front(Work::Range { next: index + 1, last });
                }
            }
            // The node has lost the lead, and was fed another one since.
            Err(_) if self.slot.queue().epoch != epoch => {}
            Err(error) => self.fail(error.to_string()),
        }
    }

    /// The newest snapshot. One may take the place of the other just now.
    fn newest(&self) -> Result<(u64, Bytes), Error> {
        loop {
            let first = self.slot.first.load(Acquire);
            match self.files.newest(self.slot.group) {
                Ok(Some(Snapshot { base, data })) => return Ok((base.index, data)),
                Ok(None) => return Ok((first - 1, Bytes::new())),
                Err(error) if self.slot.first.load(Acquire) == first => return Err(error),
                Err(_) => {}
            }
        }
    }

    fn apply(&mut self, item: Item) {
        let Item { index, term, data, charge } = item;
        let Some(machine) = &mut self.machine else { return self.drop_waiters() };
        fail::fail_point!("consensus::before_apply");
        let reply = match data.is_empty() {
            true => Bytes::new(),
            false => {
                // The data of a cut's entry is not all of its record.
                let slice = self.reader.locate(self.slot.group, index).filter(|slice| slice.len() == data.len());
                machine.apply(Committed { index, term, data, slice })
            }
        };
        drop(charge);
        self.slot.applied.store(index, Release);
        self.answer(index, term, reply);
    }

    fn answer(&mut self, index: u64, term: u64, reply: Bytes) {
        loop {
            let mut queue = self.slot.queue();
            let Some(waiter) = queue.waiters.pop_front_if(|waiter| waiter.index <= index) else { return };
            drop(queue);
            let Waiter { answer, .. } = waiter;
            let result = match (waiter.index, waiter.term) == (index, term) {
                true => Ok(Proposed { index, term, reply: reply.clone() }),
                false => Err(Error::Lost { group: self.slot.group, me: self.me }),
            };
            // The proposer may have gone.
            let _ = answer.send(result);
        }
    }

    fn range(&mut self, next: u64, last: u64, epoch: u64, left: usize) -> usize {
        let end = last.min(next.saturating_add(left as u64 - 1));
        for index in next..=end {
            if self.machine.is_none() {
                self.drop_waiters();
                return left;
            }
            match self.reader.read(self.slot.group, index) {
                Ok(record) => {
                    let entry = from_record(record);
                    self.apply(Item { index, term: entry.term, data: shown(&entry), charge: None });
                }
                // A snapshot has taken the place of these entries, or nobody wants them any more.
                Err(_) if self.slot.queue().epoch != epoch => return left,
                Err(error) => {
                    self.fail(format!("entry {index} of group {} cannot be applied: {error}", self.slot.group.0));
                    return left;
                }
            }
        }
        let mut queue = self.slot.queue();
        if end < last && queue.epoch == epoch {
            queue.works.push_front(Work::Range { next: end + 1, last });
        }
        (end + 1 - next) as usize
    }

    fn restore(&mut self, index: u64, data: Bytes) {
        let Some(machine) = &mut self.machine else { return };
        machine.restore(index, data);
        self.slot.applied.store(index, Release);
    }

    fn answer_reads(&mut self) {
        if self.slot.follow == Follow::Keep && self.slot.leads.load(Relaxed) == 0 {
            // What it has applied may be of an earlier lead.
            return;
        }
        let applied = self.slot.applied.load(Relaxed);
        while let Some(first) = self.reads.first_entry() {
            if *first.key() > applied {
                return;
            }
            first.remove().into_iter().for_each(|answer| drop(answer.send(Ok(applied))));
        }
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a text")
}
