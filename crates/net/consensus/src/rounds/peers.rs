//! Bounds the bytes of entries on their way to each peer, over all groups.

use crate::replica::{IN_FLIGHT, Replica};
use model::GroupId;
use std::collections::{BTreeMap, BTreeSet};

pub(crate) struct Peers {
    limit: u64,
    /// Each group may have one message on its way to these.
    limited: BTreeSet<u64>,
}

impl Peers {
    pub(crate) fn new(limit: u64) -> Peers {
        Peers { limit, limited: BTreeSet::new() }
    }

    /// Holds back peers that have too much on its way, and lets go those that have half of it.
    pub(crate) fn limit(&mut self, replicas: &mut BTreeMap<GroupId, Replica>) {
        let mut totals: BTreeMap<u64, u64> = self.limited.iter().map(|peer| (*peer, 0)).collect();
        for (peer, bytes) in replicas.values().flat_map(|replica| replica.in_flight()) {
            *totals.entry(peer).or_default() += bytes;
        }
        for (peer, bytes) in totals {
            let limited = self.limited.contains(&peer);
            if !limited && bytes > self.limit {
                self.limited.insert(peer);
                replicas.values_mut().for_each(|replica| replica.limit_peer(peer, 1));
            } else if limited && bytes <= self.limit / 2 {
                self.limited.remove(&peer);
                replicas.values_mut().for_each(|replica| replica.limit_peer(peer, IN_FLIGHT));
            }
        }
    }

    /// Groups that came to be led here since hold back too.
    pub(crate) fn tick(&self, replicas: &mut BTreeMap<GroupId, Replica>) {
        for peer in &self.limited {
            replicas.values_mut().for_each(|replica| replica.limit_peer(*peer, 1));
        }
    }
}
