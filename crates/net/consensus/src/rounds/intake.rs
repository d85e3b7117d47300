//! What a round takes in: commands, messages, proposals and reads, each given to its group.

use crate::error::Error;
use crate::frame;
use crate::inbox::{Answer, Command, Mail, Proposal};
use crate::machine::Node;
use crate::mark::Mark;
use crate::replica::{Needs, Replica};
use crate::rounds::{Rounds, touch};
use bytes::Bytes;
use model::GroupId;
use raft::eraftpb::{Message, MessageType};

/// Bytes of proposals in one round: it fits in a segment, and a message in memory.
const ROUND: u64 = 16 << 20;

impl Rounds {
    pub(crate) fn take_in(&mut self, mail: Mail) {
        self.stats.messages_dropped += mail.dropped;
        self.commands.extend(mail.commands);
        std::mem::take(&mut self.commands).into_iter().for_each(|command| self.command(command));
        let mut needs = self.least();
        for (from, batch) in mail.messages {
            self.batch(from, batch, &mut needs);
        }
        self.proposals.extend(mail.proposals);
        self.propose(needs);
        for read in mail.reads {
            if let Some(replica) = self.touch(read.group) {
                replica.read(read);
            }
        }
    }

    /// The journal has no room for anything, not even in its reserve: Raft must not be asked for anything that has to
    /// be written. Only cuts and removals are done, which may help.
    pub(crate) fn turn_away(&mut self, mail: Mail, error: &Error) {
        self.commands.extend(mail.commands);
        for command in std::mem::take(&mut self.commands) {
            match command {
                Command::Cut(_) | Command::CutFailed { .. } | Command::Remove { .. } => self.command(command),
                other => self.commands.push(other),
            }
        }
        self.stats.messages_dropped += mail.dropped + mail.messages.len() as u64;
        let proposals = self.proposals.drain(..).chain(mail.proposals);
        proposals.for_each(|proposal| reply(proposal.answer, Err(error.clone())));
        mail.reads.into_iter().for_each(|read| reply(read.answer, Err(error.clone())));
    }

    /// What may be written whatever comes in: each replica a hard state, and new leaders an entry.
    pub(crate) fn least(&self) -> Needs {
        Needs { records: 3 * (self.replicas.len() + 1), ..Needs::default() }
    }

    /// A group of this host, which is looked at in this round.
    pub(crate) fn touch(&mut self, group: GroupId) -> Option<&mut Replica> {
        let replica = self.replicas.get_mut(&group)?;
        touch(&mut self.touched, group, replica);
        Some(replica)
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Open(replica) => self.open(*replica),
            Command::Cut(cut) => self.cut(cut),
            Command::CutFailed { group } => {
                if let Some(replica) = self.replicas.get_mut(&group) {
                    replica.cut_ended(false);
                }
            }
            Command::Remove { group, answer, closed } => self.remove(group, answer, closed),
            Command::Fetched(fetched) => {
                if let Some(replica) = self.touch(fetched.group) {
                    replica.fetched(fetched);
                }
            }
            Command::Campaign { group } => {
                if let Some(replica) = self.touch(group) {
                    replica.campaign();
                }
            }
            Command::Transfer { group, to, answer } => {
                if let Some(replica) = self.touch(group) {
                    replica.transfer(to, answer);
                }
            }
            Command::Change { group, change, answer } => {
                if let Some(replica) = self.touch(group) {
                    replica.change(change, answer);
                }
            }
            Command::Unreachable { node } => {
                self.replicas.values_mut().for_each(|replica| replica.unreachable(node));
            }
        }
    }

    fn open(&mut self, replica: Replica) {
        let (group, base) = (replica.slot.group, replica.store().state.base.index);
        if !replica.is_fresh() {
            // A crash may have come between the snapshot and the cut.
            self.journal.compact(group, base);
        }
        self.replicas.insert(group, replica);
        self.touch(group);
    }

    fn batch(&mut self, from: Node, batch: Bytes, needs: &mut Needs) {
        for message in frame::messages(batch) {
            self.stats.messages_received += 1;
            let taken = message.is_some_and(|(group, message)| self.message(from, group, message, needs));
            self.stats.messages_dropped += u64::from(!taken);
        }
    }

    fn message(&mut self, from: Node, group: GroupId, message: Message, needs: &mut Needs) -> bool {
        if message.from != from.0 || message.to != self.shared.me.0 {
            return false;
        }
        let Some(replica) = self.replicas.get(&group) else {
            self.shared.note_foreign(group, from);
            return false;
        };
        let asks = matches!(message.get_msg_type(), MessageType::MsgRequestVote | MessageType::MsgRequestPreVote);
        if asks && !replica.is_member(from.0) {
            self.shared.note_foreign(group, from);
        }
        if !self.has_room(&message, needs) {
            return false;
        }
        self.touch(group).is_some_and(|replica| replica.step(message))
    }

    /// The size of a log is its leader's to limit. But where the disk itself is full, only what frees space is taken:
    /// the leader sends the rest again.
    fn has_room(&mut self, message: &Message, needs: &mut Needs) -> bool {
        if message.entries.is_empty() {
            return true;
        }
        let own = Needs::of(message);
        let all = needs.with(own);
        let room = self.journal.room(all.records, all.bytes);
        self.full = room.is_err();
        let taken = match room {
            Ok(()) => true,
            Err(journal::Error::Full { disk, .. }) => {
                (own.urgent || !disk) && self.journal.room_urgent(all.records, all.bytes).is_ok()
            }
            Err(_) => false,
        };
        if taken {
            *needs = all;
        }
        taken
    }

    /// Those that are too much for this round wait for the next.
    fn next_proposals(&mut self) -> Vec<Proposal> {
        let mut left = ROUND;
        let fits = |proposal: &Proposal| {
            let first = left == ROUND;
            let rest = left.checked_sub(proposal.data.len() as u64 + 1);
            left = rest.unwrap_or(0);
            first || rest.is_some()
        };
        let count = self.proposals.iter().map(fits).take_while(|fits| *fits).count();
        self.proposals.drain(..count).collect()
    }

    fn propose(&mut self, needs: Needs) {
        let proposals = self.next_proposals();
        if proposals.is_empty() {
            return;
        }
        // Asked before Raft takes them: it can't give them back.
        let all = needs.with(sum(proposals.iter()));
        let room = self.journal.room(all.records, all.bytes).map_err(Error::from);
        self.full = room.is_err();
        let mut urgent_room = Ok(());
        if self.full {
            let urgent = needs.with(sum(proposals.iter().filter(|proposal| proposal.mark != Mark::Plain)));
            urgent_room = self.journal.room_urgent(urgent.records, urgent.bytes).map_err(Error::from);
            // Who is refused may look for whom to flush.
            self.publish_pressure();
        }
        for proposal in proposals {
            let room = if proposal.mark != Mark::Plain { &urgent_room } else { &room };
            if let Err(error) = room {
                reply(proposal.answer, Err(error.clone()));
                continue;
            }
            let taken = self.touch(proposal.group).is_some_and(|replica| replica.propose(proposal));
            self.stats.proposals += u64::from(taken);
        }
    }
}

fn sum<'a>(proposals: impl Iterator<Item = &'a Proposal>) -> Needs {
    proposals.fold(Needs::default(), |sum, proposal| {
        sum.with(Needs { records: 1, bytes: proposal.data.len() as u64, urgent: proposal.mark != Mark::Plain })
    })
}

/// Who asked may have gone.
pub(crate) fn reply<T>(answer: Answer<T>, result: Result<T, Error>) {
    let _ = answer.send(result);
}
