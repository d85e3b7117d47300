//! What is in memory of all groups: their logs, and the files that their entries are in.

use crate::error::Error;
use crate::log::{Holds, Log, Place};
use crate::record::Tag;
use crate::round::Op;
use crate::segment::{Segment, Slice};
use model::GroupId;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

#[derive(Default)]
pub(crate) struct Index {
    pub logs: BTreeMap<GroupId, Log>,
    pub holds: Holds,
    pub segments: BTreeMap<u32, Arc<Segment>>,
}

impl Index {
    /// Whether each record continues the log that those before it leave.
    pub(crate) fn check(&self, ops: &[Op]) -> Result<(), Error> {
        let mut bounds: HashMap<GroupId, (u64, u64)> = HashMap::new();
        for op in ops {
            let (first, last) = bounds.entry(op.group).or_insert_with(|| self.bounds(op.group));
            match op.tag {
                Tag::Entry => {
                    if (*first, *last) == (1, 0) {
                        *first = op.index.max(1);
                        *last = *first - 1;
                    }
                    if op.index < *first || op.index > last.saturating_add(1) || op.index == u64::MAX {
                        return Err(Error::Index { group: op.group, index: op.index, first: *first, last: *last });
                    }
                    *last = op.index;
                }
                Tag::Truncate if op.index < *first => {
                    return Err(Error::Index { group: op.group, index: op.index, first: *first, last: *last });
                }
                Tag::Truncate => *last = (*last).min(op.index - 1),
                Tag::Reset => (*first, *last) = (op.index, op.index - 1),
                Tag::Head | Tag::HardState | Tag::Compact | Tag::Remove => {}
            }
        }
        Ok(())
    }

    /// Applies a record, whose bytes are at `place`.
    pub(crate) fn apply(&mut self, op: &Op, place: Place) {
        let Index { logs, holds, .. } = self;
        match op.tag {
            Tag::Head => {}
            Tag::Entry => logs.entry(op.group).or_default().push(op.index, place, op.term, holds),
            Tag::HardState => logs.entry(op.group).or_default().hard_state = Some(op.payload.clone()),
            Tag::Reset => logs.entry(op.group).or_default().reset(op.index.max(1), holds),
            Tag::Truncate => {
                if let Some(log) = logs.get_mut(&op.group) {
                    log.truncate(op.index, holds);
                }
            }
            Tag::Compact => {
                if let Some(log) = logs.get_mut(&op.group) {
                    log.compact(op.index, holds);
                }
            }
            Tag::Remove => {
                if let Some(mut log) = logs.remove(&op.group) {
                    log.reset(1, holds);
                }
            }
        }
    }

    /// First and last index; an unknown group has (1, 0).
    pub(crate) fn bounds(&self, group: GroupId) -> (u64, u64) {
        self.logs.get(&group).map_or((1, 0), |log| (log.first, log.last))
    }

    pub(crate) fn term(&self, group: GroupId, index: u64) -> Option<u64> {
        self.logs.get(&group)?.term(index)
    }

    pub(crate) fn slice(&self, group: GroupId, index: u64) -> Option<Slice> {
        let place = self.logs.get(&group)?.place(index)?;
        let segment = self.segments.get(&place.segment)?;
        Some(Slice::new(Arc::clone(segment), place))
    }

    /// The group with entries in the oldest segment.
    pub(crate) fn oldest(&self) -> Option<GroupId> {
        let oldest = self.holds.oldest()?;
        let holds = |log: &Log| log.place(log.first).is_some_and(|place| place.segment == oldest);
        self.logs.iter().find(|(_, log)| holds(log)).map(|(group, _)| *group)
    }

    /// Takes out the segments, `active` excepted, that hold no entry any more.
    pub(crate) fn take_idle(&mut self, active: Option<u32>) -> Vec<Arc<Segment>> {
        let mut idle = std::mem::take(&mut self.holds.idle);
        idle.retain(|segment| Some(*segment) != active && self.holds.count(*segment) == 0);
        idle.into_iter().filter_map(|segment| self.segments.remove(&segment)).collect()
    }

    /// Whether `take_idle` would find one.
    pub(crate) fn has_idle(&self, active: Option<u32>) -> bool {
        let idle = |segment: &u32| Some(*segment) != active && self.holds.count(*segment) == 0;
        self.holds.idle.iter().any(idle)
    }
}
