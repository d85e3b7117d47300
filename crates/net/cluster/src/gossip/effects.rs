//! What `foca` asks for while it works: packets, timers, and news of members.

use super::{Change, Out};
use crate::identity::{Identity, Name};
use crate::packet::Frame;
use foca::{Notification, Timer};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// Timers by when they are due; those due at one time in the order in which they were set.
#[derive(Default)]
pub(crate) struct Timers {
    queue: BTreeMap<(Duration, u64), Timer<Identity>>,
    set: u64,
}

impl Timers {
    pub(crate) fn set(&mut self, due: Duration, timer: Timer<Identity>) {
        self.set += 1;
        self.queue.insert((due, self.set), timer);
    }

    pub(crate) fn next(&self) -> Option<Duration> {
        self.queue.first_key_value().map(|((due, _), _)| *due)
    }

    /// The next one that is due, and when it was.
    pub(crate) fn take(&mut self, now: Duration) -> Option<(Duration, Timer<Identity>)> {
        let first = self.queue.first_entry().filter(|first| first.key().0 <= now)?;
        let ((due, _), timer) = first.remove_entry();
        Some((due, timer))
    }
}

/// The members that are remembered as lost, and since when.
pub(crate) type Down = HashMap<Name, (Identity, Duration)>;

pub(crate) struct Effects<'a> {
    pub(crate) now: Duration,
    pub(crate) frame: Frame,
    /// Our own name. News under it are about former selves.
    pub(crate) me: Name,
    pub(crate) timers: &'a mut Timers,
    pub(crate) down: &'a mut Down,
    pub(crate) out: &'a mut Out,
}

impl foca::Runtime<Identity> for Effects<'_> {
    fn notify(&mut self, notification: Notification<'_, Identity>) {
        match notification {
            Notification::MemberUp(member) | Notification::MemberDown(member) | Notification::Rename(_, member)
                if member.name() == self.me => {}
            Notification::MemberUp(member) => {
                self.down.remove(&member.name());
                self.out.changes.push(Change::Up(member.member().clone()));
            }
            Notification::MemberDown(member) => {
                self.down.insert(member.name(), (member.clone(), self.now));
                self.out.changes.push(Change::Down(member.member().clone()));
            }
            Notification::Rename(old, new) => {
                if let Some((member, _)) = self.down.get_mut(&new.name()) {
                    *member = new.clone();
                }
                let (old, new) = (old.member().clone(), new.member().clone());
                self.out.changes.push(Change::Replaced { old, new });
            }
            // These are about ourselves: `Gossip` knows, since only it makes a new identity.
            Notification::Active | Notification::Idle | Notification::Defunct | Notification::Rejoin(_) => {}
        }
    }

    fn send_to(&mut self, to: Identity, data: &[u8]) {
        self.out.packets.push((to.address().to_owned(), self.frame.swim(data)));
    }

    fn submit_after(&mut self, event: Timer<Identity>, after: Duration) {
        self.timers.set(self.now + after, event);
    }
}
