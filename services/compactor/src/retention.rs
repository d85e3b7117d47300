//! Which segments and blocks have passed their tenants' retention as a whole: a pure function of the catalog and the time.

use catalog::Catalog;
use model::{Signal, TenantId};
use tenancy::RetentionSettings;

/// The names of those of which every tenant's rows have passed that tenant's retention. `now` in Unix milliseconds.
pub fn expired(catalog: &Catalog, now: i64, retention: impl Fn(&TenantId) -> RetentionSettings) -> Vec<String> {
    let is_past = |signal: Signal, tenant: &TenantId, min: i64, max: i64, created: i64| {
        // What has no rows, only metadata, is as old as its flush.
        let newest = if min <= max { max } else { created.saturating_mul(signal.units_per_milli()) };
        newest < retention(tenant).oldest(signal, now)
    };
    let segments = catalog.segments().filter(|segment| {
        let mut tenants = segment.tenants.iter();
        tenants.all(|entry| is_past(segment.shard.signal, &entry.tenant, entry.min, entry.max, segment.created))
    });
    let blocks = catalog.blocks().filter(|b| is_past(b.signal, &b.tenant, b.min, b.max, b.created));
    segments.map(|segment| segment.name.clone()).chain(blocks.map(|block| block.name.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples::{block, catalog, segment};
    use std::time::Duration;

    fn retention(tenant: &TenantId) -> RetentionSettings {
        let kept = Some(Duration::from_millis(100));
        match tenant.as_str() {
            "ever" => RetentionSettings::default(),
            "lines" => RetentionSettings { logs: kept, ..RetentionSettings::default() },
            _ => RetentionSettings { logs: kept, metrics: kept, ..RetentionSettings::default() },
        }
    }

    #[test]
    fn a_segment_goes_when_all_its_tenants_allow_it() {
        let check = |signal, tenants: &[(&str, i64)], now, want| {
            let mut segment = segment(signal, 0, 0, 0);
            segment.tenants = tenants
                .iter()
                .map(|(tenant, max)| catalog::TenantEntry { max: *max, ..crate::examples::tenant(tenant) })
                .collect();
            let expired = expired(&catalog([segment]), now, retention);
            assert_eq!(!expired.is_empty(), want, "{signal} {tenants:?} at {now}");
        };
        check(Signal::Metrics, &[("a", 500)], 600, false);
        check(Signal::Metrics, &[("a", 500)], 601, true);
        check(Signal::Logs, &[("a", 500_000_000)], 601, true);
        check(Signal::Logs, &[("a", 500_000_000)], 599, false);
        check(Signal::Metrics, &[("a", 500), ("b", 600)], 650, false);
        check(Signal::Metrics, &[("a", 5), ("ever", 5)], i64::MAX, false);
        check(Signal::Logs, &[("lines", 500_000_000)], 601, true);
        check(Signal::Metrics, &[("lines", 500)], i64::MAX, false);
        check(Signal::Metrics, &[("a", i64::MIN)], 99, false); // flushed at 0, without rows
        check(Signal::Metrics, &[("a", i64::MIN)], 101, true);
    }

    #[test]
    fn a_block_goes_alone() {
        let catalog = catalog([segment(Signal::Logs, 0, 0, 0)]);
        let catalog = block(catalog, "a", &["segments/logs-0/0000000000000000-0000000000000001-1.seg"]);
        assert!(expired(&catalog, 100, retention).is_empty());
        assert_eq!(expired(&catalog, 102, retention).len(), 1);
    }
}
