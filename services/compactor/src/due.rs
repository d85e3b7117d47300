//! Which segments and objects may go: pure functions of the catalog, a listing and the time.

use catalog::{Catalog, SegmentEntry};
use model::TenantId;
use objects::Listed;
use std::time::{Duration, SystemTime};

/// Segments of which every tenant's rows have passed that tenant's retention. `now` in Unix milliseconds.
pub fn expired(catalog: &Catalog, now: i64, retention: impl Fn(&TenantId) -> Option<Duration>) -> Vec<String> {
    let gone = |segment: &SegmentEntry| {
        let units = segment.shard.signal.units_per_milli();
        segment.tenants.iter().all(|entry| {
            let kept = retention(&entry.tenant).map(|kept| i64::try_from(kept.as_millis()).unwrap_or(i64::MAX));
            kept.is_some_and(|kept| entry.max < now.saturating_sub(kept).saturating_mul(units))
        })
    };
    catalog.segments().filter(|segment| gone(segment)).map(|segment| segment.name.clone()).collect()
}

/// Objects that the catalog does not name and that are older than `grace`.
pub fn orphans<'a>(
    catalog: &'a Catalog,
    listed: &'a [Listed],
    now: SystemTime,
    grace: Duration,
) -> impl Iterator<Item = &'a Listed> {
    let old = move |object: &Listed| now.duration_since(object.modified).is_ok_and(|age| age > grace);
    listed.iter().filter(move |object| old(object) && catalog.segment(&object.name).is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use catalog::{Command, TenantEntry};
    use model::{ShardId, Signal};

    fn catalog(signal: Signal, tenants: &[(&str, i64)]) -> Catalog {
        let tenants = tenants.iter().map(|(tenant, max)| TenantEntry {
            tenant: TenantId::new(tenant).expect("a name"),
            rows: 1,
            min: 0,
            max: *max,
        });
        let segment = SegmentEntry {
            name: "segments/a".into(),
            shard: ShardId::new(signal, 0),
            level: 0,
            after: 0,
            through: 1,
            term: 1,
            created: 0,
            rows: 1,
            raw_bytes: 1,
            bytes: 1,
            tenants: tenants.collect(),
        };
        let mut catalog = Catalog::default();
        catalog.apply(&Command::Add { segment }.encode());
        catalog
    }

    #[test]
    fn a_segment_goes_when_all_its_tenants_allow_it() {
        let retention = |tenant: &TenantId| match tenant.as_str() {
            "ever" => None,
            _ => Some(Duration::from_millis(100)),
        };
        let check = |signal, tenants: &[(&str, i64)], now, want| {
            let expired = expired(&catalog(signal, tenants), now, retention);
            assert_eq!(!expired.is_empty(), want, "{signal} {tenants:?} at {now}");
        };
        check(Signal::Metrics, &[("a", 500)], 600, false);
        check(Signal::Metrics, &[("a", 500)], 601, true);
        check(Signal::Logs, &[("a", 500_000_000)], 601, true);
        check(Signal::Logs, &[("a", 500_000_000)], 599, false);
        check(Signal::Metrics, &[("a", 500), ("b", 600)], 650, false);
        check(Signal::Metrics, &[("a", 5), ("ever", 5)], i64::MAX, false);
    }

    #[test]
    fn only_old_objects_without_a_name_in_the_catalog_go() {
        let now = SystemTime::now();
        let object =
            |name: &str, age: u64| Listed { name: name.into(), bytes: 1, modified: now - Duration::from_secs(age) };
        let listed = [object("segments/a", 900), object("segments/b", 900), object("segments/c", 10)];
        let catalog = catalog(Signal::Logs, &[("a", 1)]);
        let gone: Vec<_> = orphans(&catalog, &listed, now, Duration::from_secs(60)).map(|o| o.name.as_str()).collect();
        assert_eq!(gone, ["segments/b"]);
    }
}
