//! What packets do.

use super::{Gossip, Out, SEEN_LIMIT};
use crate::codec::{self, Update};
use crate::gossip::standing::Standing;
use crate::identity::Identity;
use crate::packet::{Packet, Pull, RawEntry, Refusal};
use foca::State;
use std::time::Duration;
use xxhash_rust::xxh3::xxh3_64;

/// Updates that are news, with what `Gossip::seen` holds of those that were applied.
#[derive(Default)]
struct News<'a> {
    updates: Vec<(Update, Duration)>,
    raw: Vec<&'a [u8]>,
    hashes: Vec<u64>,
}

impl Gossip {
    /// Takes in a packet from another member. Any bytes may come: what is no packet of this cluster is counted and
    /// does nothing.
    pub fn packet(&mut self, now: Duration, bytes: &[u8], out: &mut Out) {
        if self.standing == Standing::Left {
            return;
        }
        let read = match self.frame.open(bytes) {
            Ok(Packet::Swim(body)) => self.swim(now, body, out),
            Ok(Packet::Pull(pull)) => {
                self.pull(now, pull, out);
                Some(())
            }
            Ok(Packet::State { from, entries }) => self.state(now, from, entries, out),
            Err(Refusal::Malformed) => None,
            Err(Refusal::Version) => {
                self.refused.version += 1;
                return;
            }
            Err(Refusal::Foreign) => {
                self.refused.foreign += 1;
                return;
            }
        };
        if read.is_none() {
            self.refused.malformed += 1;
        }
    }

    /// None if it is malformed.
    fn swim(&mut self, now: Duration, body: &[u8], out: &mut Out) -> Option<()> {
        let mut rest = body;
        let header = codec::header(&mut rest)?;
        let mut data = body.get(..body.len() - rest.len())?.to_vec();
        let mut updates = Vec::new();
        if !rest.is_empty() {
            let count = u16::from_be_bytes(codec::take(&mut rest)?);
            for _ in 0..count {
                updates.push((codec::raw_update(&mut rest)?, Duration::ZERO));
            }
            if !rest.is_empty() {
                return None;
            }
        }
        let sender = header.src.address();
        if !self.listens_to(now, &header.src, out) {
            return Some(());
        }
        if header.dst != *self.identity() {
            let ours = header.dst.name() == self.identity().name();
            if (!ours || self.about_us(now, &header.dst, State::Alive, sender, out))
                && self.standing == Standing::Member
            {
                // Whom it means was here before us, or was us: it learns who is here now.
                self.tell(sender, &[], out);
            }
            return Some(());
        }
        let Some(news) = self.news(now, updates.into_iter(), sender, out)? else { return Some(()) };
        if !news.raw.is_empty() {
            data.extend((news.raw.len() as u16).to_be_bytes());
            news.raw.iter().for_each(|raw| data.extend(*raw));
        }
        self.step(now, out, |foca, effects| foca.handle_data(&data, effects));
        self.applied(now, news);
        Some(())
    }

    fn pull(&mut self, now: Duration, pull: Pull, out: &mut Out) {
        if !self.listens_to(now, &pull.from, out) || self.standing != Standing::Member {
            return;
        }
        self.heard_from(now, &pull.from, out);
        let digest = self.digest();
        if pull.digest != digest {
            let entries = self.entries(now, &digest, &pull.digest);
            self.tell(pull.from.address(), &entries, out);
            if !pull.back {
                self.ask(pull.from.address(), true, out);
            }
        }
    }

    /// None if it is malformed.
    fn state(&mut self, now: Duration, from: Identity, entries: Vec<RawEntry<'_>>, out: &mut Out) -> Option<()> {
        let before = out.changes.len();
        let updates = entries.iter().map(|entry| (entry.update, entry.age));
        // What it holds of us comes first: it may be that each takes the other for lost.
        let Some(news) = self.news(now, updates, from.address(), out)? else { return Some(()) };
        if !self.listens_to(now, &from, out) {
            return Some(());
        }
        self.heard_from(now, &from, out);
        let updates: Vec<Update> = news.updates.iter().map(|(update, _)| update.clone()).collect();
        // Others are not told by gossip, only when they compare: what is new here is mostly old elsewhere.
        self.step(now, out, |foca, effects| foca.apply_many(updates.into_iter(), false, effects));
        self.applied(now, news);
        if out.changes.len() > before {
            self.compare_soon(now);
        }
        Some(())
    }

    fn heard_from(&mut self, now: Duration, sender: &Identity, out: &mut Out) {
        let update = std::iter::once(Update::alive(sender.clone()));
        self.step(now, out, |foca, effects| foca.apply_many(update, true, effects));
    }

    /// Reads the updates that were not applied before. None if one is malformed, `Some(None)` if they made us take
    /// another identity.
    fn news<'a>(
        &mut self,
        now: Duration,
        updates: impl Iterator<Item = (&'a [u8], Duration)>,
        teller: &str,
        out: &mut Out,
    ) -> Option<Option<News<'a>>> {
        let mut news = News::default();
        for (raw, age) in updates {
            let hash = xxh3_64(raw);
            if self.seen.contains(&hash) {
                continue;
            }
            let update = codec::update(raw)?;
            if update.id().name() == self.identity().name() {
                if !self.about_us(now, update.id(), update.state(), teller, out) {
                    return Some(None);
                }
                if update.id() != self.identity() {
                    continue;
                }
            } else {
                news.hashes.push(hash);
            }
            news.raw.push(raw);
            news.updates.push((update, age));
        }
        Some(Some(news))
    }

    /// Remembers what `foca` has applied, and since when those that it holds as down are.
    fn applied(&mut self, now: Duration, news: News<'_>) {
        if self.seen.len() > SEEN_LIMIT {
            self.seen.clear();
        }
        self.seen.extend(news.hashes);
        for (update, age) in news.updates.iter().filter(|(update, _)| update.state() == State::Down) {
            let name = update.id().name();
            if self.held(name).is_some_and(|held| held.state() == State::Down && held.id() == update.id()) {
                let since = now.saturating_sub(*age);
                let down = self.down.entry(name).or_insert_with(|| (update.id().clone(), since));
                down.1 = down.1.min(since);
            }
        }
    }
}
