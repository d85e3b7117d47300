//! Whether we are the member that we believe to be, and whether the others are.

use super::{Change, Gossip, Out};
use crate::codec::Update;
use crate::identity::{Identity, Name};
use crate::packet::Entry;
use foca::State;
use std::time::Duration;

/// What this process is to its cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    Member,
    /// A live process has our name and the higher incarnation: we listen, and wait until it is gone.
    Shadowed(Identity),
    Left,
}

impl Gossip {
    /// Decides on what somebody holds under our own name. `teller` is where it can be reached. True if nothing
    /// follows from it; otherwise our identity is another one now.
    pub(super) fn about_us(
        &mut self,
        now: Duration,
        held: &Identity,
        state: State,
        teller: &str,
        out: &mut Out,
    ) -> bool {
        let me = self.identity();
        let down = state == State::Down;
        // A former self at our address, since when the clock went back: no other process can be there.
        let former = held.address() == me.address();
        match &self.standing {
            Standing::Left => return true,
            Standing::Member if held == me && down => self.renew(now, held, teller, out),
            Standing::Member if !held.wins(me) => return true,
            Standing::Member if former || down => self.renew(now, held, teller, out),
            Standing::Member => self.yield_to(now, held, out),
            // The teller knows nothing of the rival, and takes us for a member.
            Standing::Shadowed(_) if held == me && !down => self.renew(now, held, teller, out),
            Standing::Shadowed(rival) if held == rival || held.wins(rival) => match down || former {
                true => self.renew(now, held, teller, out),
                false if held == rival => return true,
                false => self.yield_to(now, held, out),
            },
            Standing::Shadowed(_) => return true,
        }
        false
    }

    /// Whether to listen to this sender. One that is taken for lost, or that has lost its name, is told so.
    pub(super) fn listens_to(&mut self, now: Duration, sender: &Identity, out: &mut Out) -> bool {
        if sender.name() == self.identity().name() {
            if self.about_us(now, sender, State::Alive, sender.address(), out)
                && self.standing == Standing::Member
                && sender != self.identity()
            {
                self.tell(sender.address(), &[], out);
            }
            return false;
        }
        match self.held(sender.name()) {
            Some(held) if held.id().wins(sender) || (held.id() == sender && held.state() == State::Down) => {
                let entry = Entry { update: held.clone(), age: self.down_for(now, sender.name()) };
                self.tell(sender.address(), &[entry], out);
                false
            }
            _ => true,
        }
    }

    pub(super) fn held(&self, name: Name) -> Option<&Update> {
        self.foca.iter_membership_state().find(|member| member.id().name() == name)
    }

    fn down_for(&self, now: Duration, name: Name) -> Duration {
        self.down.get(&name).map_or(Duration::ZERO, |(_, since)| now.saturating_sub(*since))
    }

    /// Makes a claim that wins over what is held, and asks the teller again, so that it learns of it.
    fn renew(&mut self, now: Duration, held: &Identity, teller: &str, out: &mut Out) {
        let renewed = self.identity().renewed(held.incarnation(), self.draining);
        out.changes.push(Change::Renewed(renewed.member().clone()));
        self.standing = Standing::Member;
        self.become_identity(now, renewed, out);
        self.ask(teller, false, out);
    }

    fn yield_to(&mut self, now: Duration, rival: &Identity, out: &mut Out) {
        if self.standing == Standing::Member {
            self.step(now, out, |foca, effects| foca.leave_cluster(effects));
        }
        self.standing = Standing::Shadowed(rival.clone());
        out.changes.push(Change::Conflict { rival: rival.member().clone() });
    }

    pub(super) fn become_identity(&mut self, now: Duration, identity: Identity, out: &mut Out) {
        self.step(now, out, |foca, effects| {
            foca.change_identity(identity, &mut *effects)?;
            // It begins to probe only after it has applied something.
            foca.apply_many(std::iter::empty(), true, effects)
        });
    }
}
