//! What makes logs shorter: cuts that are due, cuts whose snapshot is on disk, and groups that go.

use crate::cutter::{Cut, Job};
use crate::error::Error;
use crate::inbox::{self, Answer, Command};
use crate::rounds::Rounds;
use crate::rounds::intake::reply;
use crate::shared::lock;
use crate::slot::Work;
use crate::state::State;
use journal::{GroupLog, Round};
use model::GroupId;
use std::sync::Arc;

impl Rounds {
    /// Starts what is due. It is looked for at every tick, which is soon enough.
    pub(crate) fn start_cuts(&mut self) {
        let pressed = self.is_pressed();
        let due: Vec<Cut> = self.replicas.values_mut().filter_map(|replica| replica.next_cut(pressed)).collect();
        for cut in due {
            let group = cut.slot.group;
            if !self.cutter.start_job(Job::Cut(cut))
                && let Some(replica) = self.replicas.get_mut(&group)
            {
                replica.cut_ended(false);
            }
        }
    }

    /// The snapshot of the base is on disk: the log may begin there.
    pub(crate) fn cut(&mut self, cut: inbox::Cut) {
        let (group, through) = (cut.slot.group, cut.base.index);
        let Some(replica) = self.replicas.get_mut(&group).filter(|replica| Arc::ptr_eq(&replica.slot, &cut.slot))
        else {
            // The one who waits learns of it when this is dropped.
            return;
        };
        if !replica.has_shown(cut.after) {
            // It is being shown the log from an earlier snapshot on.
            self.commands.push(Command::Cut(cut));
            return;
        }
        if through > replica.store().state.base.index {
            replica.cut(cut.base);
            self.journal.compact(group, through);
            self.full = false;
        }
        match cut.answer {
            Some(answer) => reply(answer, Ok(())),
            None => {
                replica.cut_ended(true);
                // What finds no room is swept with the next one.
                self.cutter.start_job(Job::Sweep { group, before: through });
            }
        }
        self.touch(group);
    }

    /// Writes the tombstone, and lets go of the group. It need not be open.
    pub(crate) fn remove(&mut self, group: GroupId, answer: Answer<()>, closed: Answer<()>) {
        if let Err(error) = self.bury(group) {
            reply(closed, Ok(()));
            return reply(answer, Err(error));
        }
        match self.replicas.remove(&group) {
            None => reply(closed, Ok(())),
            Some(replica) => {
                // Before those who wait are dropped: they ask why.
                replica.slot.remove();
                // A replay would take its time.
                replica.supersede(&Error::Removed { group });
                self.shared.appliers.push(&replica.slot, Work::Close(closed));
            }
        }
        // The one who waits learns of it when this is dropped.
        self.cutter.start_job(Job::Remove { group, answer });
    }

    fn bury(&mut self, group: GroupId) -> Result<(), Error> {
        let known = lock(&self.shared.known).get(&group).cloned();
        let tombstone = match (self.replicas.get(&group), known) {
            (Some(replica), _) => replica.tombstone(),
            (None, None) => return Ok(()),
            (None, Some(log)) => {
                let state = log.hard_state.as_ref().and_then(|bytes| State::decode(bytes)).unwrap_or_default();
                if state.removed {
                    return Ok(());
                }
                let term = self.journal.term(group, log.last).unwrap_or(state.base.term);
                state.tombstone((term, log.last))
            }
        };
        let data = tombstone.encode();
        let mut round = Round::new();
        round.urgent();
        round.reset(group, 1);
        round.hard_state(group, data.clone());
        self.journal.append(round)?;
        self.full = false;
        lock(&self.shared.known).insert(group, GroupLog { hard_state: Some(data), first: 1, last: 0 });
        Ok(())
    }
}
