//! One apply thread: runs its groups' machines in turns.

use crate::apply::lane::Lane;
use crate::error::Error;
use crate::group::Proposed;
use crate::inbox::Answer;
use crate::machine::{Committed, Node, StateMachine};
use crate::slot::{Item, Slot, Waiter, Work};
use crate::store::{changes_members, from_record, kind};
use bytes::Bytes;
use journal::Reader;
use model::GroupId;
use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, Release};

/// Entries of one group before the next group has its turn.
const TURN: usize = 256;

pub(crate) fn work(lane: &Lane, me: Node, reader: &Reader) {
    let mut runners: HashMap<GroupId, Runner> = HashMap::new();
    while let Some(slot) = lane.next() {
        let runner = runners.entry(slot.group).or_insert_with(|| Runner::new(&slot, me, reader));
        if runner.turn(lane.is_stopping()) {
            lane.push(slot);
        }
    }
}

struct Runner {
    slot: Arc<Slot>,
    me: Node,
    reader: Reader,
    /// None before it is opened, and after it panicked.
    machine: Option<Box<dyn StateMachine>>,
    reads: BTreeMap<u64, Vec<Answer<u64>>>,
}

impl Runner {
    fn new(slot: &Arc<Slot>, me: Node, reader: &Reader) -> Runner {
        Runner { slot: Arc::clone(slot), me, reader: reader.clone(), machine: None, reads: BTreeMap::new() }
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
                Some(Work::Range { .. }) if stopping => {
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
            Work::Lead(term) => {
                if let Some(machine) = &mut self.machine {
                    machine.lead(term);
                }
            }
            Work::Restore { index, data } => self.restore(index, data),
            Work::Read { index, answer } => {
                self.reads.entry(index).or_default().push(answer);
                if self.machine.is_none() {
                    self.drop_waiters();
                }
            }
        }
        0
    }

    fn apply(&mut self, item: Item) {
        let Item { index, term, data, charge } = item;
        let Some(machine) = &mut self.machine else { return self.drop_waiters() };
        fail::fail_point!("consensus::before_apply");
        let reply = match data.is_empty() {
            true => Bytes::new(),
            false => {
                let slice = self.reader.locate(self.slot.group, index);
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
                    let data = if changes_members(kind(&entry)) { Bytes::new() } else { entry.data };
                    self.apply(Item { index, term: entry.term, data, charge: None });
                }
                // A snapshot has taken the place of these entries, and is on its way here.
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
