//! The state machine of gossip: packets and time in, packets and changes out.
//!
//! `foca` probes, suspects and spreads news. Around it this machine keeps to four rules:
//! - **A member is its name.** Of all that claim one, the highest incarnation wins everywhere, so a restart takes the
//!   place of its old self at once, under any address and id.
//! - **Nobody is forgotten about in silence.** Whoever speaks while it is taken for lost, or with a lower incarnation
//!   than its name has, is told what is held under its name; it then makes a new claim, or yields to the live rival.
//! - **News travel twice.** By gossip at once, and by members that compare their whole lists with one another now and
//!   then, and every second while they differ: so a newcomer has the list after one exchange, and news that gossip
//!   lost arrive anyway. A newcomer's first question is such a comparison, hence `foca` needs no other way to join.
//! - **The dead are not told of for ever.** When a member is found to be lost travels with the news of it, and no one
//!   tells them on after half of `remember_down`; so they cannot go round for longer than they are remembered.

mod effects;
mod out;
mod receive;
mod standing;

pub use out::{Change, Out};

use crate::codec::Codec;
use crate::error::Error;
use crate::identity::Identity;
use crate::member::Member;
use crate::members::{Conflict, Members};
use crate::packet::{self, Digest, Entry, Frame, Pull};
use crate::settings::{GossipSettings, Settings};
use crate::stats::Refused;
use effects::{Down, Effects, Timers};
use foca::{NoCustomBroadcast, State, Timer};
use hashbrown::HashSet;
use rand::rngs::SmallRng;
use rand::seq::{IndexedRandom, IteratorRandom};
use rand::{RngExt, SeedableRng};
use standing::Standing;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

type Foca = foca::Foca<Identity, Codec, SmallRng, NoCustomBroadcast>;

/// Members that are told of news, or asked to probe for another, at one time.
const FANOUT: NonZeroUsize = NonZeroUsize::new(3).expect("3 is not 0");
const REPEATED_AS_FOR: NonZeroU32 = NonZeroU32::new(100).expect("100 is not 0");
/// Seeds that are asked at one time, at random: each answers with all it knows.
const ASKED_SEEDS: usize = 8;
/// The seeds that are not known are asked every so many times `announce` by a member that is not alone.
const REJOIN_FACTOR: u32 = 10;
/// Members remembered as lost that all together ask in each `compare`, on average.
const ASKED_DOWN: f64 = 2.0;
/// Packets that answer one question: about 350 members. The rest follows in the next comparison, so that one small
/// packet never leads to many large ones.
const ANSWER_LIMIT: usize = 16;
/// Updates that are known to be applied; over it they are found out anew.
const SEEN_LIMIT: usize = 65_536;

/// One member's part. `now` is the time since the Unix epoch as a clock tells it that never goes back.
pub struct Gossip {
    foca: Foca,
    frame: Frame,
    settings: GossipSettings,
    rng: SmallRng,
    standing: Standing,
    /// What the next identity says; a shadowed process cannot say it yet.
    draining: bool,
    timers: Timers,
    down: Down,
    /// Hashes of updates that `foca` has applied: nearly all that come are repetitions, and looking one up there
    /// takes time in proportion to the members.
    seen: HashSet<u64>,
    compare_at: Duration,
    compare_pace: Duration,
    announce_at: Duration,
    refused: Refused,
}

impl Gossip {
    /// `me` is a member from now on, alone until the caller has given it seeds. Members with the same `seed` and the
    /// same input do the same.
    pub fn new(me: Member, settings: &Settings, seed: u64, now: Duration) -> Result<Gossip, Error> {
        me.check()?;
        let gossip = settings.gossip.clone();
        let config = config(&gossip, 1);
        let (rng, draining) = (SmallRng::seed_from_u64(seed), me.draining);
        Ok(Gossip {
            foca: Foca::new(Identity::new(me), config, SmallRng::seed_from_u64(!seed), Codec),
            frame: Frame::new(&settings.name),
            rng,
            standing: Standing::Member,
            draining,
            timers: Timers::default(),
            down: Down::new(),
            seen: HashSet::new(),
            compare_at: now + gossip.probe_interval,
            compare_pace: gossip.probe_interval,
            announce_at: now,
            refused: Refused::default(),
            settings: gossip,
        })
    }

    /// This member as it is known to others, with the incarnation that it has now.
    pub fn me(&self) -> &Member {
        self.identity().member()
    }

    /// When `tick` must be called at the latest. None after `leave`.
    pub fn deadline(&self) -> Option<Duration> {
        if self.standing == Standing::Left {
            return None;
        }
        let next = self.compare_at.min(self.announce_at);
        Some(self.timers.next().map_or(next, |timer| timer.min(next)))
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Duration, out: &mut Out) {
        if self.standing == Standing::Left {
            return;
        }
        while let Some((due, timer)) = self.timers.take(now) {
            match timer {
                // We were paused, so answers may wait to be read: judge nobody before they had their time.
                Timer::ChangeSuspectToDown { .. } if now > due + self.settings.probe_interval => {
                    self.timers.set(now + self.settings.suspicion, timer);
                }
                Timer::RemoveDown(ref member) => {
                    if self.down.get(&member.name()).is_some_and(|(held, _)| held == member) {
                        self.down.remove(&member.name());
                        out.changes.push(Change::Forgotten(member.member().clone()));
                    }
                    self.seen.clear();
                    self.step(now, out, |foca, effects| foca.handle_timer(timer, effects));
                }
                timer => self.step(now, out, |foca, effects| foca.handle_timer(timer, effects)),
            }
        }
        if now >= self.compare_at {
            self.compare(now, out);
        }
        if now >= self.announce_at {
            out.announce = true;
            let factor = if self.is_alone() { 1 } else { REJOIN_FACTOR };
            self.announce_at = now + self.settings.announce * factor;
        }
    }

    /// Asks the members at these addresses for what they know, but for oneself and those that are known to live.
    pub fn announce(&mut self, addresses: &[String], out: &mut Out) {
        if self.standing == Standing::Left {
            return;
        }
        let live: HashSet<&str> = self.foca.iter_members().map(|member| member.id().address()).collect();
        let unknown = |address: &&String| **address != self.me().address && !live.contains(address.as_str());
        let unknown: Vec<&String> = addresses.iter().filter(unknown).collect();
        let asked: Vec<String> = unknown.sample(&mut self.rng, ASKED_SEEDS).map(|address| (*address).clone()).collect();
        for address in asked {
            self.ask(&address, false, out);
        }
    }

    /// Tells all others; while a rival has our name, once it is gone.
    pub fn set_draining(&mut self, now: Duration, draining: bool, out: &mut Out) {
        self.draining = draining;
        if self.standing == Standing::Member && self.me().draining != draining {
            let renewed = self.identity().renewed(0, draining);
            let (old, new) = (self.identity().member().clone(), renewed.member().clone());
            out.changes.push(Change::Replaced { old, new });
            self.become_identity(now, renewed, out);
        }
    }

    /// Tells some others, who pass it on, and does nothing any more. What it says last of itself is that it drains, by
    /// which others tell a member that left from one that was lost.
    pub fn leave(&mut self, now: Duration, out: &mut Out) {
        if self.standing == Standing::Left {
            return;
        }
        self.set_draining(now, true, out);
        self.step(now, out, |foca, effects| foca.leave_cluster(effects));
        self.standing = Standing::Left;
        out.changes.push(Change::Left);
    }

    /// The list as it is now. Takes time in proportion to its length.
    pub fn members(&self) -> Members {
        let mut live: Vec<Identity> = self.foca.iter_members().map(|member| member.id().clone()).collect();
        let mut conflict = None;
        match &self.standing {
            Standing::Member => live.push(self.identity().clone()),
            Standing::Shadowed(rival) => {
                live.push(rival.clone());
                let (kept, hidden) = (rival.member().clone(), self.identity().member().clone());
                conflict = Some(Conflict { kept, hidden });
            }
            Standing::Left => {}
        }
        Members::new(live, self.down.values().cloned(), conflict)
    }

    pub fn refused(&self) -> Refused {
        self.refused
    }

    fn identity(&self) -> &Identity {
        self.foca.identity()
    }

    fn is_alone(&self) -> bool {
        self.foca.num_members() == 0
    }

    /// Lets `foca` work, and keeps what follows from the number of members up to date.
    fn step(
        &mut self,
        now: Duration,
        out: &mut Out,
        work: impl FnOnce(&mut Foca, &mut Effects<'_>) -> Result<(), foca::Error>,
    ) {
        let (before, me) = (self.foca.num_members(), self.identity().name());
        let (frame, timers, down) = (self.frame, &mut self.timers, &mut self.down);
        if let Err(error) = work(&mut self.foca, &mut Effects { now, frame, me, timers, down, out }) {
            tracing::debug!(%error, "gossip");
        }
        let after = self.foca.num_members();
        if after != before {
            // It changes nothing that `foca` does not allow to be changed.
            let _ = self.foca.set_config(config(&self.settings, after + 1));
            if after == 0 {
                self.announce_at = self.announce_at.min(now + self.settings.announce);
            }
        }
    }

    /// Compares the list with a random member's, and now and then with one's that is remembered as lost: it may live
    /// in another part of a cluster that was torn apart.
    fn compare(&mut self, now: Duration, out: &mut Out) {
        let members = self.foca.num_members();
        let mut asked: Vec<String> = Vec::new();
        asked.extend(self.foca.iter_members().choose(&mut self.rng).map(|member| member.id().address().to_owned()));
        if self.rng.random_bool((ASKED_DOWN / (members + 1) as f64).min(1.0)) {
            // In an order that a run with the same seed has too.
            let mut down: Vec<&Identity> = self.down.values().map(|(member, _)| member).collect();
            down.sort_unstable_by_key(|member| member.digest());
            asked.extend(down.choose(&mut self.rng).map(|member| member.address().to_owned()));
        }
        for address in asked {
            self.ask(&address, false, out);
        }
        self.compare_at = now + self.compare_pace.mul_f64(self.rng.random_range(0.75..1.25));
        self.compare_pace = (self.compare_pace * 2).min(self.settings.compare);
    }

    /// There are differences: compare soon, and more often.
    fn compare_soon(&mut self, now: Duration) {
        self.compare_pace = self.settings.probe_interval;
        let soon = now + self.compare_pace.mul_f64(self.rng.random_range(0.5..1.0));
        self.compare_at = self.compare_at.min(soon);
    }

    /// Asks the member at an address for what it knows.
    fn ask(&self, address: &str, back: bool, out: &mut Out) {
        if address != self.me().address {
            let pull = Pull { from: self.identity().clone(), digest: self.digest(), back };
            out.packets.push((address.to_owned(), self.frame.pull(&pull)));
        }
    }

    /// Tells the member at an address of ourselves, and of `entries`.
    fn tell(&self, address: &str, entries: &[Entry], out: &mut Out) {
        if address != self.me().address {
            let packets = self.frame.state(self.identity(), entries);
            out.packets.extend(packets.into_iter().take(ANSWER_LIMIT).map(|packet| (address.to_owned(), packet)));
        }
    }

    /// Of the members taken for live.
    fn digest(&self) -> Digest {
        let mut digest = Digest::default();
        self.foca.iter_members().for_each(|member| digest.add(member.id()));
        if self.standing == Standing::Member {
            digest.add(self.identity());
        }
        digest
    }

    /// What is held of others, where our list differs from one with this digest, and is young enough to be told. It
    /// begins at random, since only the beginning of a long list is told.
    fn entries(&mut self, now: Duration, ours: &Digest, theirs: &Digest) -> Vec<Entry> {
        let entry = |update: &crate::codec::Update| {
            let name = update.id().name();
            let age = match update.state() {
                State::Alive | State::Suspect => Duration::ZERO,
                State::Down => now.saturating_sub(self.down.get(&name)?.1),
            };
            let told = name != self.identity().name()
                && ours.differs(theirs, update.id())
                && age < self.settings.remember_down / 2;
            told.then(|| Entry { update: update.clone(), age })
        };
        let mut entries: Vec<Entry> = self.foca.iter_membership_state().filter_map(entry).collect();
        let first: usize = self.rng.random_range(0..Digest::PARTS);
        entries.sort_by_key(|entry| (Digest::part(entry.update.id()) + first) % Digest::PARTS);
        entries
    }
}

/// `members`: how many there are. It says how often each passes news on; in small clusters as often as in one of
/// `REPEATED_AS_FOR`, since with fewer repetitions now and then one member would not be reached.
fn config(settings: &GossipSettings, members: usize) -> foca::Config {
    let size = u32::try_from(members).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MAX).max(REPEATED_AS_FOR);
    foca::Config {
        probe_period: settings.probe_interval,
        probe_rtt: settings.probe_timeout,
        suspect_to_down_after: settings.suspicion,
        remove_down_after: Some(settings.remember_down),
        num_indirect_probes: FANOUT,
        max_packet_size: packet::BODY_LIMIT,
        notify_down_members: false,
        periodic_announce: None,
        periodic_announce_to_down_members: None,
        periodic_gossip: Some(foca::PeriodicParams { frequency: settings.spread, num_members: FANOUT }),
        ..foca::Config::new_lan(size)
    }
}
