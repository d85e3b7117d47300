//! Which objects have rows that are to be deleted, by requests or because a shorter retention has passed: pure functions of
//! the catalog and the time.

use catalog::{BlockEntry, Catalog, Inputs, SegmentEntry};
use deletes::{Deletes, Request};
use model::{Signal, TenantId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tenancy::RetentionSettings;

/// The open requests that are so old that what has their rows is rewritten without them.
#[derive(Debug, Default)]
pub struct Due {
    tenants: BTreeMap<TenantId, Vec<Arc<Request>>>,
    /// What names the rows that have passed a shorter retention.
    passed: BTreeMap<TenantId, Vec<Arc<Request>>>,
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
        Due { tenants, passed: BTreeMap::new() }
    }

    /// Beside the requests, what has passed a shorter retention of its tenant. `now` in Unix milliseconds.
    pub fn passing(self, catalog: &Catalog, now: i64, retention: impl Fn(&TenantId) -> RetentionSettings) -> Due {
        let of_segments = catalog.segments().flat_map(|segment| segment.tenants.iter().map(|entry| &entry.tenant));
        let tenants: BTreeSet<&TenantId> = of_segments.chain(catalog.blocks().map(|block| &block.tenant)).collect();
        let mut passed = BTreeMap::new();
        for tenant in tenants {
            let retention = retention(tenant);
            let all = [Signal::Logs, Signal::Metrics].into_iter().flat_map(|s| hidden::passed(&retention, s, now));
            let all: Vec<Arc<Request>> = all.map(Arc::new).collect();
            if !all.is_empty() {
                passed.insert(tenant.clone(), all);
            }
        }
        Due { passed, ..self }
    }

    pub fn is_empty(&self) -> bool {
        self.tenants.is_empty() && self.passed.is_empty()
    }

    pub fn all(&self) -> impl Iterator<Item = (&TenantId, &Arc<Request>)> {
        self.tenants.iter().flat_map(|(tenant, own)| own.iter().map(move |request| (tenant, request)))
    }

    /// Those that may name rows of a tenant in what is merged.
    pub fn within(&self, inputs: &Inputs, signal: Signal, tenant: &TenantId) -> Vec<Arc<Request>> {
        within(self.tenants.get(tenant), inputs, signal, tenant)
    }

    /// As `within`, of what names rows that have passed a shorter retention.
    pub fn passed_within(&self, inputs: &Inputs, signal: Signal, tenant: &TenantId) -> Vec<Arc<Request>> {
        within(self.passed.get(tenant), inputs, signal, tenant)
    }

    pub fn is_in_segment(&self, segment: &SegmentEntry) -> bool {
        self.all().any(|(tenant, request)| has_in_segment(segment, tenant, request))
    }

    pub fn is_in_block(&self, block: &BlockEntry) -> bool {
        self.all().any(|(tenant, request)| has_in_block(block, tenant, request)) || self.is_shorter(block)
    }

    /// Whether all rows of a block have passed a shorter retention, and it was not rewritten since: once is enough.
    fn is_shorter(&self, block: &BlockEntry) -> bool {
        let mut own = self.passed.get(&block.tenant).into_iter().flatten();
        own.any(|passed| {
            passed.signal == block.signal && block.max <= passed.end && !block.shortened.contains(&passed.version)
        })
    }
}

fn within(
    requests: Option<&Vec<Arc<Request>>>,
    inputs: &Inputs,
    signal: Signal,
    tenant: &TenantId,
) -> Vec<Arc<Request>> {
    let is_within = |request: &&Arc<Request>| {
        let range = request.range();
        let in_blocks = inputs.blocks.iter().any(|block| block.holds(tenant, range));
        request.signal == signal && (in_blocks || inputs.segments.iter().any(|s| s.holds(tenant, range)))
    };
    requests.into_iter().flatten().filter(is_within).cloned().collect()
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
    use catalog::{Command, Name, Reply};
    use std::collections::HashSet;
    use tenancy::Shorter;

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
    fn a_block_that_has_passed_a_shorter_retention_is_rewritten_once() {
        let check = |owner: &str, selector: (Option<&str>, Option<&str>), now, marked, want: usize| {
            let kept = |tenant: &TenantId| {
                let (logs, metrics) = (selector.0.map(str::to_owned), selector.1.map(str::to_owned));
                let keep = Duration::from_millis(100);
                let shorter = if tenant.as_str() == owner { vec![Shorter { logs, metrics, keep }] } else { Vec::new() };
                RetentionSettings { shorter, ..RetentionSettings::default() }
            };
            let first = segment(Signal::Metrics, 0, 0, 0);
            let mut catalog = block(catalog([first.clone()]), "a", &[&first.name]);
            if marked {
                // As it is after it was rewritten: the entry says so.
                let entry = catalog.blocks().next().expect("a block").clone();
                let passed = hidden::passed(&kept(&entry.tenant), Signal::Metrics, now);
                let shortened = passed.iter().map(|passed| passed.version).collect();
                let name = Name::block(&entry.tenant, Signal::Metrics, 1, 77).to_string();
                let added = vec![BlockEntry { name, shortened, level: 2, ..(*entry).clone() }];
                let removed = vec![entry.name.clone()];
                catalog.apply(&Command::Replace { epoch: 1, removed, added, without: Vec::new() }.encode());
            }
            let due = Due::of(catalog.deletes(), now, Duration::ZERO).passing(&catalog, now, kept);
            let settings = Settings::default();
            let due = Arc::new(due);
            let planner = Planner { catalog: &catalog, settings: &settings, now, broken: &HashSet::new(), due: &due };
            let found = planner.next().map(|job| job.names()).unwrap_or_default();
            assert_eq!(found.len(), want, "{owner} {selector:?} at {now}, marked: {marked}");
        };
        let up = (None, Some("up"));
        check("a", up, 102, false, 1); // its newest row is of 1
        check("a", up, 101, false, 0);
        check("a", up, 102, true, 0);
        check("b", up, 102, false, 0);
        check("a", (Some("{a=\"b\"}"), None), 102, false, 0);
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
