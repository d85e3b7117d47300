//! What the compactor tells operators. In a cluster these routes are on its own port, which tenants do not reach.

use crate::compactor::Compactor;
use crate::error::Error;
use crate::meters::Sums;
use crate::progress::Merge;
use crate::retention::expired;
use audit::Named;
use axum::Router;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use catalog::Catalog;
use model::{Signal, TenantId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tenancy::RetentionSettings;

/// `/catalog`, `/compactor/status`, `/compactor/expired`.
pub fn router(compactor: Compactor) -> Router {
    Router::new()
        .route("/catalog", get(catalog))
        .route("/compactor/status", get(status))
        .route("/compactor/expired", get(leaving))
        .with_state(compactor)
}

/// All objects that the catalog names: `[{name, bytes, rows, entries}]`, where `entries` is `[shard, after, through]` of
/// segments.
async fn catalog(State(compactor): State<Compactor>) -> Response {
    answer(compactor.seen_catalog().await.map(|catalog| {
        let segments = catalog.segments().map(|segment| Named {
            name: segment.name.clone(),
            bytes: segment.bytes,
            rows: segment.rows,
            entries: Some((segment.shard, segment.after, segment.through)),
        });
        let blocks = catalog.blocks().map(|block| Named {
            name: block.name.clone(),
            bytes: block.bytes,
            rows: block.rows,
            entries: None,
        });
        segments.chain(blocks).collect::<Vec<_>>()
    }))
}

/// What this compactor does, and what the catalog has.
async fn status(State(compactor): State<Compactor>) -> Response {
    answer(compactor.seen_catalog().await.map(|catalog| Status {
        leads: compactor.counts().leads(),
        merge: compactor.merge_now(),
        objects: objects(&catalog),
        done: compactor.counts().sums(),
    }))
}

#[derive(Serialize)]
struct Status {
    leads: bool,
    /// The merge under way.
    merge: Option<Merge>,
    objects: Vec<Kind>,
    done: Sums,
}

/// Objects of one signal and kind.
#[derive(Debug, Default, PartialEq, Serialize)]
struct Kind {
    signal: &'static str,
    /// `segments`, or `blocks of level N`.
    kind: String,
    objects: u64,
    rows: u64,
    raw_bytes: u64,
    bytes: u64,
}

/// By signal and level.
fn objects(catalog: &Catalog) -> Vec<Kind> {
    let mut kinds: BTreeMap<(Signal, u8), Kind> = BTreeMap::new();
    let segments = catalog.segments().map(|s| (s.shard.signal, s.level, s.rows, s.raw_bytes, s.bytes));
    let blocks = catalog.blocks().map(|b| (b.signal, b.level, b.rows, b.raw_bytes, b.bytes));
    for (signal, level, rows, raw_bytes, bytes) in segments.chain(blocks) {
        let kind = kinds.entry((signal, level)).or_insert_with(|| Kind {
            signal: signal.name(),
            kind: if level == 0 { "segments".to_owned() } else { format!("blocks of level {level}") },
            ..Kind::default()
        });
        kind.objects += 1;
        kind.rows += rows;
        kind.raw_bytes += raw_bytes;
        kind.bytes += bytes;
    }
    kinds.into_values().collect()
}

/// Another retention than the settings have, and whose objects are asked about.
#[derive(Deserialize)]
struct Wanted {
    logs: Option<String>,
    metrics: Option<String>,
    tenant: Option<TenantId>,
}

/// An object that leaves the catalog.
#[derive(Serialize)]
struct Leaving {
    name: String,
    rows: u64,
    bytes: u64,
    tenants: Vec<TenantId>,
}

/// The objects that the next look takes out of the catalog, or would under another retention. Single rows of objects that
/// also have newer ones go when these are merged.
async fn leaving(State(compactor): State<Compactor>, Query(wanted): Query<Wanted>) -> Response {
    let kept = |name: &str, text: &Option<String>| {
        let read = |text: &String| settings::duration::parse(text).map_err(|why| format!("{name}: {why}\n"));
        text.as_ref().map(read).transpose()
    };
    let (logs, metrics) = match (kept("logs", &wanted.logs), kept("metrics", &wanted.metrics)) {
        (Ok(logs), Ok(metrics)) => (logs, metrics),
        (Err(why), _) | (_, Err(why)) => return (StatusCode::BAD_REQUEST, why).into_response(),
    };
    let is_asked = |tenant: &TenantId| wanted.tenant.as_ref().is_none_or(|asked| asked == tenant);
    let retention = |tenant: &TenantId| {
        let own = compactor.retention(tenant);
        let changed = RetentionSettings { logs: logs.or(own.logs), metrics: metrics.or(own.metrics), ..own.clone() };
        if is_asked(tenant) { changed } else { own }
    };
    answer(compactor.seen_catalog().await.map(|catalog| {
        let names = expired(&catalog, crate::compactor::now(), retention);
        let segments = catalog.segments().filter(|segment| names.contains(&segment.name)).map(|segment| Leaving {
            name: segment.name.clone(),
            rows: segment.rows,
            bytes: segment.bytes,
            tenants: segment.tenants.iter().map(|entry| entry.tenant.clone()).collect(),
        });
        let blocks = catalog.blocks().filter(|block| names.contains(&block.name)).map(|block| Leaving {
            name: block.name.clone(),
            rows: block.rows,
            bytes: block.bytes,
            tenants: vec![block.tenant.clone()],
        });
        segments.chain(blocks).filter(|object| object.tenants.iter().any(&is_asked)).collect::<Vec<_>>()
    }))
}

fn answer<T: Serialize>(result: Result<T, Error>) -> Response {
    match result {
        Ok(answer) => match serde_json::to_string(&answer) {
            Ok(text) => ([(header::CONTENT_TYPE, "application/json")], text).into_response(),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
        },
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples::{block, catalog, segment};

    #[test]
    fn objects_are_summed_up_by_level() {
        let all = [segment(Signal::Logs, 0, 0, 0), segment(Signal::Logs, 0, 1, 0), segment(Signal::Metrics, 0, 0, 0)];
        let name = all[0].name.clone();
        let found: Vec<(&str, String, u64)> = objects(&block(catalog(all), "a", &[&name]))
            .into_iter()
            .map(|kind| (kind.signal, kind.kind, kind.objects))
            .collect();
        let want = [("logs", "segments", 1), ("logs", "blocks of level 1", 1), ("metrics", "segments", 1)];
        assert_eq!(found, want.map(|(signal, kind, objects)| (signal, kind.to_owned(), objects)));
    }
}
