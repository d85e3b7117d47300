//! The threads that apply committed entries: each group's in order, a few groups a thread.

mod lane;
mod runner;

pub(crate) use runner::Worker;

use crate::machine::Node;
use crate::slot::{Slot, Work};
use crate::snapshot::Directory;
use journal::Reader;
use lane::Lane;
use std::sync::Arc;

pub(crate) struct Appliers {
    lanes: Vec<Arc<Lane>>,
}

impl Appliers {
    /// So many lanes, and who works them off.
    pub(crate) fn new(lanes: usize, me: Node, reader: &Reader, files: &Arc<Directory>) -> (Appliers, Vec<Worker>) {
        let lanes: Vec<Arc<Lane>> = (0..lanes).map(|_| Arc::default()).collect();
        let workers = lanes.iter().map(|lane| Worker::new(lane, me, reader, files)).collect();
        (Appliers { lanes }, workers)
    }

    /// Adds work to a group's queue.
    pub(crate) fn push(&self, slot: &Arc<Slot>, work: Work) {
        let mut queue = slot.queue();
        queue.works.push_back(work);
        if !std::mem::replace(&mut queue.queued, true) {
            drop(queue);
            self.lane(slot).push(Arc::clone(slot));
        }
    }

    /// The threads finish what is in memory, and end.
    pub(crate) fn stop(&self) {
        self.lanes.iter().for_each(|lane| lane.stop());
    }

    fn lane(&self, slot: &Slot) -> &Lane {
        // Ids of shards have their number in the low bits and their signal in the high ones.
        let mixed = slot.group.0 ^ (slot.group.0 >> 32);
        &self.lanes[(mixed % self.lanes.len() as u64) as usize]
    }
}
