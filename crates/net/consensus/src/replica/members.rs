//! Changing who the members of a group are, one at a time.

use crate::error::Error;
use crate::inbox::{Answer, Change};
use crate::replica::Replica;
use protobuf::Message as _;
use raft::eraftpb::{ConfChange, ConfChangeType, ConfChangeV2, Entry, EntryType};

/// A change that is logged and not applied yet.
pub(crate) struct Pending {
    pub index: u64,
    pub term: u64,
    pub answer: Answer<()>,
}

impl Replica {
    /// Raft would log an empty entry in place of a change that it does not want, and say that all is well.
    pub(crate) fn change(&mut self, change: Change, answer: Answer<()>) {
        if let Err(error) = self.check_change(change) {
            let _ = answer.send(Err(error));
            return;
        }
        let (change_type, node) = match change {
            Change::AddLearner(node) => (ConfChangeType::AddLearnerNode, node),
            Change::Promote(node) => (ConfChangeType::AddNode, node),
            Change::Remove(node) => (ConfChangeType::RemoveNode, node),
        };
        let change = ConfChange { change_type, node_id: node.0, ..ConfChange::default() };
        match self.node.propose_conf_change(Vec::new(), change) {
            Ok(()) => {
                let (index, term) = (self.node.raft.raft_log.last_index(), self.node.raft.term);
                self.changes.push(Pending { index, term, answer });
            }
            Err(error) => {
                let _ = answer.send(Err(self.no_change(error.to_string())));
            }
        }
    }

    fn no_change(&self, why: impl Into<String>) -> Error {
        Error::Members { group: self.slot.group, why: why.into() }
    }

    fn check_change(&self, change: Change) -> Result<(), Error> {
        let raft = &self.node.raft;
        if !self.is_leader() {
            return Err(self.not_leader());
        }
        if raft.has_pending_conf() {
            return Err(self.no_change("another change is on its way"));
        }
        if raft.lead_transferee.is_some() {
            return Err(self.no_change("the lead is being handed over"));
        }
        let members = raft.prs().conf().to_conf_state();
        match change {
            Change::AddLearner(node) if node.0 == 0 => Err(self.no_change("a node's id is never zero")),
            Change::AddLearner(node) if members.voters.contains(&node.0) || members.learners.contains(&node.0) => {
                Err(self.no_change(format!("node {node} is a member already")))
            }
            Change::Promote(node) if !members.learners.contains(&node.0) => {
                Err(self.no_change(format!("node {node} is no learner")))
            }
            // It would go on as a leader that no one follows.
            Change::Remove(node) if node.0 == raft.id => {
                Err(self.no_change(format!("node {node} leads: hand over the lead first")))
            }
            Change::Remove(node) if !members.voters.contains(&node.0) && !members.learners.contains(&node.0) => {
                Err(self.no_change(format!("node {node} is no member")))
            }
            _ => Ok(()),
        }
    }

    /// Applies committed changes, and answers who waits for them.
    pub(crate) fn apply_changes(&mut self, entries: Vec<Entry>) {
        for entry in entries {
            let change = match entry.get_entry_type() {
                EntryType::EntryNormal => continue,
                EntryType::EntryConfChange => ConfChange::parse_from_carllerche_bytes(&entry.data).map(into_v2),
                EntryType::EntryConfChangeV2 => ConfChangeV2::parse_from_carllerche_bytes(&entry.data),
            };
            let applied = change.map_err(|error| error.to_string());
            let applied = applied.and_then(|change| self.node.apply_conf_change(&change).map_err(|e| e.to_string()));
            match &applied {
                Ok(members) => {
                    tracing::info!(group = self.slot.group.0, index = entry.index, ?members, "the members changed");
                    self.slot.members_changed(entry.index, members.clone());
                }
                // Every replica finds the same: the change does nothing.
                Err(error) => tracing::error!(
                    group = self.slot.group.0,
                    index = entry.index,
                    error,
                    "a change of members is void"
                ),
            }
            for pending in self.changes.extract_if(.., |pending| pending.index == entry.index) {
                let result = match &applied {
                    _ if pending.term != entry.term => {
                        Err(Error::Lost { group: self.slot.group, me: crate::machine::Node(self.node.raft.id) })
                    }
                    Ok(_) => Ok(()),
                    Err(why) => Err(Error::Members { group: self.slot.group, why: why.clone() }),
                };
                let _ = pending.answer.send(result);
            }
        }
    }
}

fn into_v2(change: ConfChange) -> ConfChangeV2 {
    use raft::prelude::ConfChangeSingle;
    let single = ConfChangeSingle { change_type: change.change_type, node_id: change.node_id, ..Default::default() };
    ConfChangeV2 { changes: vec![single].into(), context: change.context, ..ConfChangeV2::default() }
}
