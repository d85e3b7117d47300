//! Which shards a tenant uses, and which of them a series belongs to.

use model::{Signal, TenantId};
use xxhash_rust::xxh3::xxh3_64;

/// The `count` shards of `total` that this tenant's rows of a signal go to, ascending; all when `count` is more, and
/// one when it is 0.
///
/// By rendezvous: each shard draws a number for the tenant, and the highest win. So a tenant that gets one shard more
/// keeps those that it has, and a cluster that gets one shard more moves only the tenants that the new one wins.
pub fn shards_of(tenant: &TenantId, signal: Signal, total: u32, count: u32) -> Vec<u32> {
    let count = count.max(1);
    if count >= total {
        return (0..total).collect();
    }
    let mut drawn: Vec<(u64, u32)> = (0..total).map(|shard| (draw(tenant, signal, shard), shard)).collect();
    drawn.select_nth_unstable_by(count as usize - 1, |a, b| b.cmp(a));
    let mut shards: Vec<u32> = drawn[..count as usize].iter().map(|(_, shard)| *shard).collect();
    shards.sort_unstable();
    shards
}

fn draw(tenant: &TenantId, signal: Signal, shard: u32) -> u64 {
    let name = tenant.as_str().as_bytes();
    let mut bytes = [0u8; model::tenant::MAX_LEN + 5];
    let len = name.len().min(model::tenant::MAX_LEN);
    bytes[..4].copy_from_slice(&shard.to_le_bytes());
    bytes[4] = signal.code();
    bytes[5..5 + len].copy_from_slice(&name[..len]);
    xxh3_64(&bytes[..5 + len])
}

/// The one of a tenant's shards that takes the series with this key; `None` when there are none.
pub fn shard_of(key: u128, shards: &[u32]) -> Option<u32> {
    let place = (u128::from((key >> 64) as u64) * shards.len() as u128) >> 64;
    shards.get(place as usize).copied()
}

/// Which of so many slots the thing named `key` belongs to.
pub fn slot_of(key: &[u8], slots: u32) -> u32 {
    ((u128::from(xxh3_64(key)) * u128::from(slots)) >> 64) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn tenant(name: &str) -> TenantId {
        TenantId::new(name).expect("a name")
    }

    #[test]
    fn shards_are_the_same_for_ever() {
        let found = [
            ("anonymous", Signal::Logs, 4, 1),
            ("anonymous", Signal::Metrics, 4, 1),
            ("org-env", Signal::Logs, 16, 3),
            ("a", Signal::Metrics, 1000, 3),
        ]
        .map(|(name, signal, total, count)| shards_of(&tenant(name), signal, total, count));
        assert_eq!(found, GOLDEN);
        assert_eq!(shards_of(&tenant("a"), Signal::Logs, 3, 9), [0, 1, 2]);
        assert_eq!(shards_of(&tenant("a"), Signal::Logs, 3, 0).len(), 1);
        assert_eq!(shards_of(&tenant("a"), Signal::Logs, 0, 1), [0u32; 0]);
    }

    const GOLDEN: [&[u32]; 4] = [&[1], &[2], &[7, 9, 12], &[236, 624, 908]];

    #[test]
    fn growth_moves_little() {
        let (mut moved, mut used) = (0, BTreeMap::<u32, u32>::new());
        for n in 0..4000 {
            let tenant = tenant(&format!("tenant-{n}"));
            let shards = |total, count| shards_of(&tenant, Signal::Logs, total, count);
            let (small, large) = (shards(8, 2), shards(8, 3));
            assert!(small.iter().all(|shard| large.contains(shard)), "more shards keep the old ones");
            moved += usize::from(shards(8, 1) != shards(9, 1));
            *used.entry(shards(8, 1)[0]).or_default() += 1;
        }
        assert!((300..600).contains(&moved), "{moved} of 4000 moved to the ninth shard");
        assert!(used.len() == 8 && used.values().all(|n| (400..600).contains(n)), "{used:?}");
    }

    #[test]
    fn slots_are_the_same_for_ever() {
        let found = ["", "team-a/rules.yaml;g", "x"].map(|key| slot_of(key.as_bytes(), 64));
        assert_eq!(found, [11, 63, 58]);
        assert!((0..1000u32).all(|n| slot_of(&n.to_le_bytes(), 7) < 7));
    }

    #[test]
    fn series_spread_over_the_shards() {
        assert_eq!(shard_of(u128::MAX, &[3, 5]), Some(5));
        assert_eq!(shard_of(0, &[3, 5]), Some(3));
        assert_eq!(shard_of(1 << 127, &[3, 5]), Some(5));
        assert_eq!(shard_of(7, &[]), None);
    }
}
