//! Remembers which label sets were found good, so that they are checked once and not with every push.

use std::sync::atomic::{AtomicU64, Ordering};
use tenancy::Limits;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Slots of a bucket.
const WAYS: usize = 8;

/// A cache line, so that a look-up misses the cache once at most.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Bucket([AtomicU64; WAYS]);

/// A lossy set of series keys within scopes, of fixed size, without locks. What it forgets is checked again.
#[derive(Debug)]
pub struct Known {
    buckets: Box<[Bucket]>,
}

/// A tenant under the limits and rules that its labels are checked against: other limits, other scope.
#[derive(Debug, Clone, Copy)]
pub struct Scope(u64);

impl Scope {
    pub fn new(tenant: &model::TenantId, limits: &Limits) -> Scope {
        let Limits { max_label_names, max_label_name_length, max_label_value_length, relabel, .. } = limits;
        let mut seed = u64::from(*max_label_names);
        for limit in [u64::from(*max_label_name_length), u64::from(*max_label_value_length), relabel.fingerprint()] {
            seed = (seed ^ limit).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        }
        Scope(xxh3_64_with_seed(tenant.as_str().as_bytes(), seed))
    }

    /// Where it is remembered which series the rules leave out.
    pub fn left_out(self) -> Scope {
        Scope(self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31))
    }
}

impl Known {
    pub fn new(series: u32) -> Known {
        let buckets = (series as usize).div_ceil(WAYS).max(1).next_power_of_two();
        Known { buckets: (0..buckets).map(|_| Bucket::default()).collect() }
    }

    /// Whether the series was found good in this scope. A wrong yes needs two keys of 128 bits that agree in the 64
    /// that are stored and in their bucket.
    #[inline]
    pub fn contains(&self, scope: Scope, key: u128) -> bool {
        let (bucket, mark) = self.place(scope, key);
        // All slots without a branch: which of them it is cannot be foretold.
        bucket.iter().fold(false, |found, slot| found | (slot.load(Ordering::Relaxed) == mark))
    }

    pub fn insert(&self, scope: Scope, key: u128) {
        let (bucket, mark) = self.place(scope, key);
        let free = bucket.iter().position(|slot| slot.load(Ordering::Relaxed) == 0);
        // A full bucket loses one by the luck of the mark.
        let at = free.unwrap_or((mark >> 32) as usize % WAYS);
        bucket[at].store(mark, Ordering::Relaxed);
    }

    #[inline]
    fn place(&self, scope: Scope, key: u128) -> (&[AtomicU64; WAYS], u64) {
        let mark = ((key >> 64) as u64 ^ scope.0).max(1);
        let bucket = (key as u64 ^ scope.0.rotate_left(17)) as usize & (self.buckets.len() - 1);
        (&self.buckets[bucket].0, mark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::TenantId;
    use xxhash_rust::xxh3::xxh3_128;

    fn key(n: u32) -> u128 {
        xxh3_128(&n.to_le_bytes())
    }

    #[test]
    fn what_is_inserted_is_known_in_its_scope_alone() {
        let known = Known::new(1 << 14);
        let limits = Limits::default();
        let scope = |tenant: &str, limits: &Limits| Scope::new(&TenantId::new(tenant).expect("a name"), limits);
        let (a, b) = (scope("a", &limits), scope("b", &limits));
        let stricter = scope("a", &Limits { max_label_names: 3, ..limits.clone() });
        let relabel = serde_json::from_str(r#"[{"action": "drop", "source_labels": ["a"]}]"#).expect("rules");
        let ruled = scope("a", &Limits { relabel, ..limits });
        (0..4096).for_each(|n| known.insert(a, key(n)));
        let kept = (0..4096).filter(|n| known.contains(a, key(*n))).count();
        assert!(kept > 4000, "{kept} of 4096 in a table of 16384");
        for other in [b, stricter, ruled, a.left_out()] {
            assert!((0..4096).all(|n| !known.contains(other, key(n))));
        }
        assert!((4096..9000).all(|n| !known.contains(a, key(n))));
    }

    #[test]
    fn a_small_table_forgets_but_does_not_lie() {
        let known = Known::new(0);
        let scope = Scope(7);
        (0..100).for_each(|n| known.insert(scope, key(n)));
        assert!((0..100).filter(|n| known.contains(scope, key(*n))).count() <= WAYS);
        assert!(known.contains(scope, key(99)));
    }
}
