//! Which objects nothing will ever name again.

use catalog::{Catalog, Name};
use objects::Listed;
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use tokio::time::Instant;

/// Since when the catalog was seen not to name an object, by this process's monotonic clock.
#[derive(Debug, Default)]
pub struct Unnamed(HashMap<String, Instant>);

impl Unnamed {
    /// Takes in a listing, and gives the objects that the catalog has not named for longer than `grace`: no query that
    /// began while they were named still reads them.
    pub fn see<'a>(
        &mut self,
        catalog: &Catalog,
        listed: &'a [Listed],
        now: Instant,
        grace: Duration,
    ) -> Vec<&'a Listed> {
        let unnamed: Vec<&Listed> = listed.iter().filter(|object| !catalog.names(&object.name)).collect();
        let names: HashSet<&str> = unnamed.iter().map(|object| object.name.as_str()).collect();
        self.0.retain(|name, _| names.contains(name.as_str()));
        let old = |object: &&Listed| {
            let since = self.0.entry(object.name.clone()).or_insert(now);
            now.saturating_duration_since(*since) > grace
        };
        unnamed.into_iter().filter(old).collect()
    }
}

/// Whether the catalog cannot take an object any more, however late somebody asks for it: a segment, once its shard is
/// flushed past its beginning; a block of an epoch that is over, or of ours, since no job is under way and each was
/// answered. What is not named as our objects are is not ours to delete.
pub fn is_void(catalog: &Catalog, name: &str, epoch: u64) -> bool {
    match Name::parse(name) {
        Some(Name::Segment { shard, after, .. }) => after < catalog.shard(shard).through,
        Some(Name::Block { epoch: own, .. }) => own <= epoch,
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples::{catalog, segment};
    use model::{ShardId, Signal, TenantId};
    use std::time::SystemTime;

    #[test]
    fn an_object_goes_when_it_had_no_name_for_long_enough() {
        let (start, grace) = (Instant::now(), Duration::from_secs(60));
        let one = segment(Signal::Logs, 0, 0, 0);
        let object = |name: &str| Listed { name: name.into(), bytes: 1, modified: SystemTime::UNIX_EPOCH };
        let all = [object(&one.name), object("segments/b")];
        let named = catalog([one.clone()]);
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
        assert_eq!(see(&empty, &all[..1], 131), [&*one.name]);
        assert_eq!(see(&empty, &all, 132), [&*one.name], "b is new again");
    }

    #[test]
    fn what_may_still_be_added_stays() {
        let catalog = catalog([segment(Signal::Logs, 0, 0, 0)]); // flushed through 1
        let of_shard = |index, after| {
            let shard = ShardId::new(Signal::Logs, index);
            Name::Segment { shard, after, through: after + 1, term: 9 }.to_string()
        };
        let of_epoch = |epoch| Name::block(&TenantId::anonymous(), Signal::Logs, epoch, 0).to_string();
        for (name, want) in [
            (of_shard(0, 0), true),
            (of_shard(0, 1), false),
            (of_shard(1, 0), false),
            (of_epoch(4), true),
            (of_epoch(5), true),
            (of_epoch(6), false),
            ("segments/readme".to_owned(), false),
        ] {
            assert_eq!(is_void(&catalog, &name, 5), want, "{name}");
        }
    }
}
