//! Which objects have rows that are to be deleted: pure functions of the catalog and the time.

use catalog::{BlockEntry, Catalog, Inputs, SegmentEntry};
use deletes::{Deletes, Request};
use model::{Signal, TenantId};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The open requests that are so old that what has their rows is rewritten without them.
#[derive(Debug, Default)]
pub struct Due {
    tenants: BTreeMap<TenantId, Vec<Arc<Request>>>,
}

impl Due {
    /// `now` in Unix milliseconds.
    pub fn of(deletes: &Deletes, now: i64, delay: Duration) -> Due {
        let mut tenants: BTreeMap<TenantId, Vec<Arc<Request>>> = BTreeMap::new();
        // A clock that was wrong must not keep rows for years.
        let is_due = |request: &Request| u128::from(now.abs_diff(request.created)) >= delay.as_millis();
        for (tenant, request) in deletes.open().filter(|(_, request)| is_due(request)) {
            tenants.entry(tenant.clone()).or_default().push(request.clone());
        }
        Due { tenants }
    }

    pub fn is_empty(&self) -> bool {
        self.tenants.is_empty()
    }

    pub fn all(&self) -> impl Iterator<Item = (&TenantId, &Arc<Request>)> {
        self.tenants.iter().flat_map(|(tenant, own)| own.iter().map(move |request| (tenant, request)))
    }

    /// Those that may name rows of a tenant in what is merged.
    pub fn within(&self, inputs: &Inputs, signal: Signal, tenant: &TenantId) -> Vec<Arc<Request>> {
        let is_within = |request: &&Arc<Request>| {
            let range = request.range();
            let in_blocks = inputs.blocks.iter().any(|block| block.holds(tenant, range));
            request.signal == signal && (in_blocks || inputs.segments.iter().any(|s| s.holds(tenant, range)))
        };
        self.tenants.get(tenant).into_iter().flatten().filter(is_within).cloned().collect()
    }

    pub fn is_in_segment(&self, segment: &SegmentEntry) -> bool {
        self.all().any(|(tenant, request)| has_in_segment(segment, tenant, request))
    }

    pub fn is_in_block(&self, block: &BlockEntry) -> bool {
        self.all().any(|(tenant, request)| has_in_block(block, tenant, request))
    }
}

/// Whether an object may still have rows of a request.
pub fn is_left(catalog: &Catalog, tenant: &TenantId, request: &Request) -> bool {
    catalog.segments().any(|segment| has_in_segment(segment, tenant, request))
        || catalog.blocks().any(|block| has_in_block(block, tenant, request))
}

fn has_in_segment(segment: &SegmentEntry, tenant: &TenantId, request: &Request) -> bool {
    segment.shard.signal == request.signal && segment.holds(tenant, request.range())
}

fn has_in_block(block: &BlockEntry, tenant: &TenantId, request: &Request) -> bool {
    let may_have = block.signal == request.signal && block.holds(tenant, request.range());
    may_have && !block.without.contains(&request.version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples::{block, catalog, segment};
    use crate::plan::Planner;
    use crate::settings::Settings;
    use catalog::{Command, Reply};
    use std::collections::HashSet;

    fn ask(catalog: &mut Catalog, tenant: &str, signal: Signal, start: i64, end: i64, created: i64) -> u64 {
        let (tenant, query) = (TenantId::new(tenant).expect("a name"), "{a=\"b\"}".into());
        let command = ::deletes::Command::Ask { tenant, signal, query, start, end, created };
        match catalog.apply(&Command::Delete { command, epoch: None }.encode()) {
            Reply::Delete { reply: ::deletes::Reply::Taken { request }, .. } => request.version,
            other => panic!("{other:?}"),
        }
    }

    /// The names of what is rewritten next, at 1000.
    fn next(catalog: &Catalog, delay: u64) -> Vec<String> {
        let due = Arc::new(Due::of(catalog.deletes(), 1000, Duration::from_millis(delay)));
        let settings = Settings { segment_age: Duration::ZERO, ..Settings::default() };
        let planner = Planner { catalog, settings: &settings, now: 1000, broken: &HashSet::new(), due: &due };
        planner.next().map(|job| job.names()).unwrap_or_default()
    }

    #[test]
    fn what_has_rows_of_a_request_is_rewritten_once_it_is_due() {
        let check = |tenant: &str, signal, (start, end), delay, want: usize| {
            let mut catalog = catalog([segment(Signal::Logs, 0, 0, 0), segment(Signal::Logs, 0, 1, 0)]);
            ask(&mut catalog, tenant, signal, start, end, 900);
            assert_eq!(next(&catalog, delay).len(), want, "{tenant} {signal} {start}–{end} after {delay}");
        };
        check("a", Signal::Logs, (1, 5), 100, 2);
        check("a", Signal::Logs, (1, 5), 101, 0);
        check("a", Signal::Logs, (2, 5), 0, 0);
        check("a", Signal::Metrics, (1, 5), 0, 0);
        check("b", Signal::Logs, (1, 5), 0, 0);
    }

    #[test]
    fn a_block_is_rewritten_until_it_has_no_rows_of_a_request() {
        let catalog = catalog([segment(Signal::Logs, 0, 0, 0)]);
        let name = catalog.segments().next().expect("one").name.clone();
        let mut catalog = block(catalog, "a", &[&name]);
        let tenant = TenantId::new("a").expect("a name");
        let version = ask(&mut catalog, "a", Signal::Logs, 0, 9, 0);
        let old = catalog.blocks().next().expect("one").clone();
        assert_eq!(next(&catalog, 0), [old.name.as_str()]);
        let removed = vec![old.name.clone()];
        let inputs = Inputs::named(&catalog, &removed).expect("it is there");
        let without = vec![version];
        let rewritten = BlockEntry { name: "new".into(), level: inputs.level(), without, ..(*old).clone() };
        let without = vec![(tenant.clone(), version)];
        let replace = Command::Replace { epoch: 1, removed, added: vec![rewritten], without };
        let mut withdrawn = catalog.clone();
        assert!(is_left(&catalog, &tenant, &catalog.deletes().of(&tenant)[0]));
        assert!(matches!(catalog.apply(&replace.encode()), Reply::Done { .. }));
        assert!(next(&catalog, 0).is_empty());
        assert!(!is_left(&catalog, &tenant, &catalog.deletes().of(&tenant)[0]));
        // What was taken back meanwhile is not followed.
        let cancel = ::deletes::Command::Cancel { tenant, signal: Signal::Logs, request: version, force: false };
        withdrawn.apply(&Command::Delete { command: cancel.clone(), epoch: None }.encode());
        assert_eq!(withdrawn.apply(&replace.encode()), Reply::Withdrawn);
        // … and what was followed cannot be taken back.
        let late = catalog.apply(&Command::Delete { command: cancel, epoch: None }.encode());
        assert!(matches!(late, Reply::Delete { reply: ::deletes::Reply::Begun, .. }), "{late:?}");
    }
}
