//! Reads of one group: who may be asked, and who may answer.

use crate::inbox::{Answer, Read};
use crate::machine::Follow;
use crate::replica::Replica;
use crate::shared::Shared;
use crate::slot::Work;

impl Replica {
    pub(crate) fn read(&mut self, read: Read) {
        self.reads.push(read.answer);
    }

    /// Asks for the reads that wait, if there is anyone to ask.
    pub(crate) fn ask(&mut self, shared: &Shared) {
        if self.slot.follow == Follow::Keep && !self.is_leader() {
            // Nothing is applied here.
            self.refuse_reads();
        }
        if !self.reads.has_waiting() {
            return;
        }
        let raft = &self.node.raft;
        let (leads, current) = (self.is_leader(), raft.commit_to_current_term() && self.may_answer());
        if leads && current && self.is_alone() {
            let index = raft.raft_log.committed;
            let answers = self.reads.take();
            self.hand_over_reads(shared, index, answers);
        } else if (leads && current) || (!leads && self.leader().is_some()) {
            let id = raft.id;
            if let Some(context) = self.reads.ask(id, self.now) {
                self.node.read_index(context);
            }
        }
    }

    /// Whether reads may wait for the machine: one that keeps the log answers once it has been shown it, and only then.
    fn may_answer(&self) -> bool {
        self.slot.follow == Follow::Apply || self.led == Some(self.node.raft.term)
    }

    fn refuse_reads(&mut self) {
        let error = self.not_leader();
        self.reads.take().into_iter().for_each(|answer| drop(answer.send(Err(error.clone()))));
    }

    pub(crate) fn hand_over_reads(&self, shared: &Shared, index: u64, answers: Vec<Answer<u64>>) {
        for answer in answers {
            match self.may_answer() {
                true => shared.appliers.push(&self.slot, Work::Read { index, answer }),
                false => drop(answer.send(Err(self.not_leader()))),
            }
        }
    }
}
