//! Writes rounds: finds room for their records, writes them with one call, syncs once.

use super::{Active, Journal, START_COST, room};
use crate::error::{Error, is_full};
use crate::log::Place;
use crate::record::{Header, Tag, padded};
use crate::round::Op;
use crate::seal::{self, ENTRY_COST, GROUP_COST};
use bytes::Bytes;
use model::ByteSize;
use std::collections::HashSet;
use std::io::{self, IoSlice};

/// Payloads up to this are copied next to their header: cheaper than a slice of their own.
const INLINE: usize = 512;

impl Journal {
    pub(super) fn write(&mut self, ops: &[Op], urgent: bool) -> Result<(), Error> {
        let mut head = seal::head_size(&self.reader.index());
        let (costs, growth) = self.costs(ops);
        let total: u64 = costs.iter().sum();
        let mut limit = self.fresh_room(head, urgent);
        let whole = total <= limit;
        if !whole {
            // By its later segments, the heads have what its earlier ones added.
            head += growth;
            limit = self.fresh_room(head, urgent);
        }
        if let Some(cost) = costs.iter().find(|cost| **cost > limit) {
            return Err(Error::TooLarge { bytes: ByteSize(*cost), limit: ByteSize(limit) });
        }
        if !whole {
            self.prepare(total, head)?;
        }
        let mut done = 0;
        while done < ops.len() {
            let count = self.part(&costs[done..], whole, limit, urgent);
            let written = count.and_then(|count| self.write_part(&ops[done..done + count], urgent).map(|()| count));
            match written {
                Ok(count) => done += count,
                Err(error) if done == 0 || self.poison.is_some() => return Err(error),
                Err(error) => {
                    let text = format!("a round larger than a segment was written in part: {error}");
                    return Err(self.poison("write", &io::Error::other(text)));
                }
            }
        }
        Ok(())
    }

    /// What a segment that begins with a head of this size has for records.
    pub(super) fn fresh_room(&self, head: u64, urgent: bool) -> u64 {
        room(self.settings.segment(), START_COST + 2 * head, urgent)
    }

    /// What each record takes of a segment, its share of the index included; and what all add to a head at most.
    fn costs(&self, ops: &[Op]) -> (Vec<u64>, u64) {
        let index = self.reader.index();
        let mut growth = 0;
        let mut new = HashSet::new();
        let of = |op: &Op| {
            let group = if index.logs.contains_key(&op.group) { 0 } else { GROUP_COST };
            if group > 0 && new.insert(op.group) {
                growth += group;
            }
            let (entry, state) = match op.tag {
                Tag::Entry => (ENTRY_COST, 0),
                Tag::HardState => (0, op.payload.len() as u64),
                _ => (0, 0),
            };
            growth += state;
            op.size() + group + entry + state
        };
        let costs = ops.iter().map(of).collect();
        (costs, growth)
    }

    /// How many of the records go to the active segment now, after a new one was begun if need be: all of a round that
    /// goes in whole, else at least one.
    fn part(&mut self, costs: &[u64], whole: bool, limit: u64, urgent: bool) -> Result<usize, Error> {
        let total: u64 = costs.iter().sum();
        for rolled in [false, true] {
            let head = seal::head_size(&self.reader.index());
            if let Some(active) = self.active.as_ref().filter(|active| urgent || !active.segment.small) {
                let count = fitting(costs, active.room(head, urgent));
                if count == costs.len() || (count > 0 && !whole) {
                    return Ok(count);
                }
            }
            if !rolled {
                self.roll(total.min(limit) + START_COST + 2 * head, urgent)?;
            }
        }
        Err(Error::TooLarge { bytes: ByteSize(costs[0]), limit: ByteSize(limit) })
    }

    /// Writes records as one round of the active segment, syncs, and lets them take effect.
    fn write_part(&mut self, ops: &[Op], urgent: bool) -> Result<(), Error> {
        let Some(mut active) = self.active.take() else {
            return Err(self.poison("write", &io::Error::other("no segment is active")));
        };
        let mut scratch = std::mem::take(&mut self.scratch);
        let places = match self.put(ops, &mut active, &mut scratch) {
            Err(error) if is_full(&error) && urgent => {
                self.pool.release_reserve();
                self.put(ops, &mut active, &mut scratch)
            }
            other => other,
        };
        self.scratch = scratch;
        let (places, end) = match places {
            Ok(done) => done,
            Err(error) if is_full(&error) => {
                self.active = Some(active);
                return Err(self.full(true));
            }
            Err(error) => return Err(self.poison("write", &error)),
        };
        self.disk.sync_file(&active.segment.file).map_err(|error| self.poison("sync", &error))?;
        self.counters.written += u64::from(end - active.end);
        active.end = end;
        active.entries += ops.iter().filter(|op| op.tag == Tag::Entry).count() as u64;
        self.active = Some(active);
        self.counters.rounds += 1;
        self.counters.records += ops.len() as u64;
        let mut index = self.index();
        for (op, place) in ops.iter().zip(places) {
            index.apply(op, place);
        }
        Ok(())
    }

    /// Writes records behind the end, without moving it. Each try has a number of its own, so that what a failed one
    /// left is never taken for a part of the next.
    fn put(&self, ops: &[Op], active: &mut Active, scratch: &mut Vec<u8>) -> io::Result<(Vec<Place>, u32)> {
        let salt = active.segment.salt;
        let attempt = active.attempt;
        active.attempt = attempt.wrapping_add(1);
        scratch.clear();
        let mut places = Vec::with_capacity(ops.len());
        // Up to where the scratch goes before each payload that is written from where it is.
        let mut cuts: Vec<(usize, &Bytes)> = Vec::new();
        let mut end = active.end;
        for (at, op) in ops.iter().enumerate() {
            let len = op.payload.len();
            places.push(Place { segment: salt.number, offset: end, len: len as u32 });
            scratch.extend_from_slice(&Header::of(op, salt, active.end, attempt, at + 1 == ops.len()).encode(salt));
            match len <= INLINE {
                true => scratch.extend_from_slice(&op.payload),
                false => cuts.push((scratch.len(), &op.payload)),
            }
            scratch.resize(scratch.len() + (padded(len as u64) as usize - len), 0);
            end += op.size() as u32;
        }
        let mut slices = Vec::with_capacity(2 * cuts.len() + 1);
        let mut from = 0;
        for (to, payload) in cuts {
            slices.push(IoSlice::new(&scratch[from..to]));
            slices.push(IoSlice::new(payload));
            from = to;
        }
        slices.push(IoSlice::new(&scratch[from..]));
        self.disk.write(&active.segment.file, &mut slices, u64::from(active.end))?;
        Ok((places, end))
    }
}

fn fitting(costs: &[u64], room: u64) -> usize {
    let mut left = room;
    costs.iter().take_while(|cost| left.checked_sub(**cost).map(|rest| left = rest).is_some()).count()
}
