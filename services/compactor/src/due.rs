//! Which segments and objects may go: pure functions of the catalog, a listing and the time.

use catalog::{Catalog, SegmentEntry};
use model::TenantId;
use objects::Listed;
use std::collections::{HashMap, HashSet};
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

/// Since when the catalog was seen not to name an object.
#[derive(Debug, Default)]
pub struct Unnamed(HashMap<String, SystemTime>);

impl Unnamed {
    /// Takes in a listing, and gives the objects that the catalog has not named for longer than `grace`: no flush still
    /// means to add them, and no query that began while they were named still reads them.
    pub fn see<'a>(
        &mut self,
        catalog: &Catalog,
        listed: &'a [Listed],
        now: SystemTime,
        grace: Duration,
    ) -> Vec<&'a Listed> {
        let unnamed: Vec<&Listed> = listed.iter().filter(|o| catalog.segment(&o.name).is_none()).collect();
        let names: HashSet<&str> = unnamed.iter().map(|object| object.name.as_str()).collect();
        self.0.retain(|name, _| names.contains(name.as_str()));
        let old = |object: &&Listed| {
            let since = self.0.entry(object.name.clone()).or_insert(now);
            now.duration_since(*since).is_ok_and(|age| age > grace)
        };
        unnamed.into_iter().filter(old).collect()
    }
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
    fn an_object_goes_when_it_had_no_name_for_long_enough() {
        let (start, grace) = (SystemTime::UNIX_EPOCH + Duration::from_secs(1000), Duration::from_secs(60));
        let object = |name: &str| Listed { name: name.into(), bytes: 1, modified: SystemTime::UNIX_EPOCH };
        let (named, all) = (catalog(Signal::Logs, &[("a", 1)]), [object("segments/a"), object("segments/b")]);
        let mut unnamed = Unnamed::default();
        let mut see = |catalog: &Catalog, listed: &[Listed], after: u64| -> Vec<String> {
            let now = start + Duration::from_secs(after);
            unnamed.see(catalog, listed, now, grace).into_iter().map(|o| o.name.clone()).collect()
        };
        assert!(see(&named, &all, 0).is_empty(), "just seen");
        assert!(see(&named, &all, 60).is_empty());
        assert_eq!(see(&named, &all, 61), ["segments/b"]);
        let empty = Catalog::default();
        assert_eq!(see(&empty, &all, 70), ["segments/b"], "a has lost its name only now");
        assert_eq!(see(&empty, &all[..1], 131), ["segments/a"]);
        assert_eq!(see(&empty, &all, 132), ["segments/a"], "b is new again");
    }
}
