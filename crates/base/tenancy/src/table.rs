//! The limits of all tenants, changed as a whole while the process runs.

use crate::limits::Limits;
use arc_swap::ArcSwap;
use model::TenantId;
use serde::{Deserialize, Serialize, de::Error};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// The limits of all tenants as settings have them: `defaults`, and for a tenant only what differs.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Overrides {
    defaults: Limits,
    /// What each tenant has written, and the limits that come of it.
    tenants: BTreeMap<TenantId, (Map<String, Value>, Limits)>,
}

#[derive(Debug, Clone, Serialize, Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Written {
    defaults: Limits,
    tenants: BTreeMap<TenantId, Map<String, Value>>,
}

impl Overrides {
    pub fn new(defaults: Limits) -> Overrides {
        Overrides { defaults, tenants: BTreeMap::new() }
    }

    /// The defaults, and what each tenant has written.
    pub fn of(defaults: Limits, tenants: BTreeMap<TenantId, Map<String, Value>>) -> Result<Overrides, String> {
        let mut overrides = Overrides::new(defaults);
        tenants.into_iter().try_for_each(|(tenant, own)| overrides.set(tenant, own))?;
        Ok(overrides)
    }

    /// What differs from `before`, one line a limit, as `tenants.a.shards: 8 instead of 1`.
    pub fn changes(&self, before: &Overrides) -> Vec<String> {
        let mut lines = Vec::new();
        differences("limits", &as_map(&before.defaults), &as_map(&self.defaults), &mut lines);
        let names: BTreeSet<&TenantId> = before.tenants.keys().chain(self.tenants.keys()).collect();
        for name in names {
            let own = |all: &Overrides| all.tenants.get(name).map(|(own, _)| own.clone()).unwrap_or_default();
            differences(&format!("tenants.{name}"), &own(before), &own(self), &mut lines);
        }
        lines
    }

    /// Whether all limits are good in the eyes of `check`; the error says whose are not.
    pub fn check(&self, check: fn(&Limits) -> Result<(), String>) -> Result<(), String> {
        check(&self.defaults).map_err(|why| format!("limits: {why}"))?;
        let mut tenants = self.tenants.iter();
        tenants.try_for_each(|(tenant, (_, limits))| {
            check(limits).map_err(|why| format!("limits of tenant {tenant}: {why}"))
        })
    }

    pub fn defaults(&self) -> &Limits {
        &self.defaults
    }

    /// Sets a tenant's own limits, by field name; an unknown name or a wrong value is an error that names it.
    pub fn set(&mut self, tenant: TenantId, own: Map<String, Value>) -> Result<(), String> {
        let limits = merge(&self.defaults, &own).map_err(|e| format!("limits of tenant {tenant}: {e}"))?;
        self.tenants.insert(tenant, (own, limits));
        Ok(())
    }

    /// Lets a tenant have the defaults again.
    pub fn unset(&mut self, tenant: &TenantId) {
        self.tenants.remove(tenant);
    }

    /// Replaces the defaults, under what each tenant has set.
    pub fn set_defaults(&mut self, defaults: Limits) -> Result<(), String> {
        let own = std::mem::take(&mut self.tenants);
        self.defaults = defaults;
        own.into_iter().try_for_each(|(tenant, (own, _))| self.set(tenant, own))
    }
}

fn as_map(limits: &Limits) -> Map<String, Value> {
    match serde_json::to_value(limits) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

fn differences(prefix: &str, before: &Map<String, Value>, now: &Map<String, Value>, lines: &mut Vec<String>) {
    let names: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    for name in names {
        let text = |map: &Map<String, Value>| map.get(name).map_or("nothing".to_owned(), Value::to_string);
        let (old, new) = (text(before), text(now));
        if old != new {
            lines.push(format!("{prefix}.{name}: {new} instead of {old}"));
        }
    }
}

fn merge(defaults: &Limits, own: &Map<String, Value>) -> Result<Limits, serde_json::Error> {
    let mut all = as_map(defaults);
    for (name, value) in own {
        let Some(known) = all.get_mut(name) else {
            return Err(serde_json::Error::custom(format!("there is no limit named {name:?}")));
        };
        // One at a time, so that the error can name the limit.
        let one = Value::Object(Map::from_iter([(name.clone(), value.clone())]));
        Limits::deserialize(one).map_err(|e| serde_json::Error::custom(format!("{name}: {e}")))?;
        match (known, value) {
            // A limit of several parts: only those that are written differ.
            (Value::Object(known), Value::Object(parts)) => known.extend(parts.clone()),
            (known, value) => *known = value.clone(),
        }
    }
    Limits::deserialize(Value::Object(all))
}

impl TryFrom<Written> for Overrides {
    type Error = String;
    fn try_from(written: Written) -> Result<Overrides, String> {
        Overrides::of(written.defaults, written.tenants)
    }
}

impl From<Overrides> for Written {
    fn from(overrides: Overrides) -> Written {
        let tenants = overrides.tenants.into_iter().map(|(tenant, (own, _))| (tenant, own));
        Written { defaults: overrides.defaults, tenants: tenants.collect() }
    }
}

/// Every tenant's limits, to be asked on each request.
#[derive(Debug)]
pub struct LimitTable(ArcSwap<Resolved>);

#[derive(Debug)]
struct Resolved {
    defaults: Arc<Limits>,
    tenants: HashMap<TenantId, Arc<Limits>>,
}

impl LimitTable {
    pub fn new(overrides: &Overrides) -> LimitTable {
        LimitTable(ArcSwap::from_pointee(Resolved::of(overrides)))
    }

    /// The limits that hold now for a tenant: without a lock, and without allocation.
    pub fn of(&self, tenant: &TenantId) -> Arc<Limits> {
        let resolved = self.0.load();
        Arc::clone(resolved.tenants.get(tenant).unwrap_or(&resolved.defaults))
    }

    /// Lets requests that come from now on have these limits.
    pub fn replace(&self, overrides: &Overrides) {
        self.0.store(Arc::new(Resolved::of(overrides)));
    }
}

impl Default for LimitTable {
    fn default() -> LimitTable {
        LimitTable::new(&Overrides::default())
    }
}

impl Resolved {
    fn of(overrides: &Overrides) -> Resolved {
        let own = overrides.tenants.iter().map(|(tenant, (_, limits))| (tenant.clone(), Arc::new(limits.clone())));
        Resolved { defaults: Arc::new(overrides.defaults.clone()), tenants: own.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::ByteSize;
    use std::time::Duration;

    fn read(json: &str) -> Result<Overrides, String> {
        serde_json::from_str(json).map_err(|e| e.to_string())
    }

    #[test]
    fn a_tenant_overrides_only_what_it_names() {
        let overrides = read(
            r#"{"defaults": {"shards": 2, "ingestion_rate": "1.5MiB", "ingestion_burst": 1537},
                "tenants": {"big": {"shards": 8, "creation_grace": null, "ingestion_rate": "unlimited"},
                            "old": {"out_of_order_window": "unlimited", "reject_old": "3d"}}}"#,
        )
        .expect("reads");
        let table = LimitTable::new(&overrides);
        let of = |name: &str| table.of(&TenantId::new(name).expect("a name"));
        assert_eq!((of("x").shards, of("x").ingestion_rate), (2, Some(ByteSize(1536 << 10))));
        assert_eq!((of("big").shards, of("big").ingestion_rate, of("big").creation_grace), (8, None, None));
        assert_eq!(of("big").out_of_order_window, Some(Duration::from_secs(3600)));
        assert_eq!(of("big").ingestion_burst, ByteSize(1537), "sizes are exact under an override");
        assert_eq!(
            (of("old").out_of_order_window, of("old").reject_old, of("old").shards),
            (None, Some(Duration::from_secs(259_200)), 2)
        );
        let text = serde_json::to_string(&overrides).expect("writes");
        assert_eq!(read(&text).as_ref(), Ok(&overrides));
        table.replace(&Overrides::default());
        assert_eq!(of("big").shards, 1);
    }

    #[test]
    fn a_tenant_overrides_one_part_of_a_limit() {
        let day = Duration::from_secs(86_400);
        let before = read(r#"{"defaults": {"retention": {"logs": "7d"}}, "tenants": {"a": {"shards": 2}}}"#);
        let before = before.expect("reads");
        let json = r#"{"defaults": {"retention": {"logs": "7d", "metrics": "30d"}},
                       "tenants": {"a": {"retention": {"logs": "1d"}}, "b": {"retention": {"metrics": null}}}}"#;
        let now = read(json).expect("reads");
        let table = LimitTable::new(&now);
        let of = |name: &str| {
            let retention = &table.of(&TenantId::new(name).expect("a name")).retention;
            (retention.logs, retention.metrics)
        };
        assert_eq!(of("a"), (Some(day), Some(30 * day)));
        assert_eq!(of("b"), (Some(7 * day), None));
        let changes = [
            concat!(
                r#"limits.retention: {"logs":"7d","metrics":"30d","shorter":[]} "#,
                r#"instead of {"logs":"7d","metrics":"unlimited","shorter":[]}"#
            ),
            r#"tenants.a.retention: {"logs":"1d"} instead of nothing"#,
            "tenants.a.shards: nothing instead of 2",
            r#"tenants.b.retention: {"metrics":null} instead of nothing"#,
        ];
        assert_eq!(now.changes(&before), changes);
        assert!(now.changes(&now).is_empty());
    }

    #[test]
    fn mistakes_name_the_tenant_and_the_limit() {
        let check = |json: &str, words: &[&str]| {
            let error = read(json).expect_err("refused");
            for word in words {
                assert!(error.contains(word), "{word:?} is not in {error:?}");
            }
        };
        check(r#"{"tenants": {"a": {"shard": 8}}}"#, &["tenant a", "shard"]);
        check(r#"{"tenants": {"a": {"shards": "many"}}}"#, &["tenant a", "shards", "many"]);
        check(r#"{"tenants": {"a": {"max_line_size": "big"}}}"#, &["tenant a", "max_line_size"]);
        check(r#"{"tenants": {"a": {"retention": {"traces": "1d"}}}}"#, &["tenant a", "retention", "traces"]);
        check(r#"{"tenants": {"a": {"retention": {"logs": "long"}}}}"#, &["tenant a", "retention", "long"]);
        check(r#"{"tenants": {"a/b": {}}}"#, &["'/'"]);
        check(r#"{"defaults": {"shard": 8}}"#, &["shard"]);
    }
}
