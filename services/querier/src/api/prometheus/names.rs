//! Which series, label names and label values there are.

use crate::api::json;
use crate::api::params::{self, metadata_range, selectors};
use crate::api::prometheus::read::{list_of, parse_limit, read, respond};
use crate::error::QueryError;
use crate::querier::Querier;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use eval::value::Warnings;
use model::Signal;

pub async fn labels(state: State<Querier>, raw: RawQuery, headers: HeaderMap, body: Bytes) -> Response {
    let read = read((state, raw, headers, body));
    let result = async {
        let (range, selectors) = (metadata_range(&read.params)?, selectors(&read.params)?);
        let limit = read.params.parsed("limit", parse_limit)?;
        read.run(move |context| {
            let names = context.rows.label_values(Signal::Metrics, "", &selectors, range)?;
            Ok(list_of(names.iter().map(|name| &**name), limit))
        })
        .await
    };
    respond(result.await)
}

pub async fn label_values(
    Path(name): Path<String>,
    state: State<Querier>,
    raw: RawQuery,
    headers: HeaderMap,
) -> Response {
    let read = read((state, raw, headers, Bytes::new()));
    let result = async {
        let (range, selectors) = (metadata_range(&read.params)?, selectors(&read.params)?);
        let limit = read.params.parsed("limit", parse_limit)?;
        let name = unescaped(&name);
        if name.is_empty() {
            return Err(QueryError::bad("invalid label name: \"\""));
        }
        read.run(move |context| {
            let values = context.rows.label_values(Signal::Metrics, &name, &selectors, range)?;
            Ok(list_of(values.iter().map(|value| &**value), limit))
        })
        .await
    };
    respond(result.await)
}

pub async fn series(state: State<Querier>, raw: RawQuery, headers: HeaderMap, body: Bytes) -> Response {
    let read = read((state, raw, headers, body));
    let result = async {
        let (range, selectors) = (metadata_range(&read.params)?, selectors(&read.params)?);
        if selectors.is_empty() {
            return Err(QueryError::bad("no match[] parameter provided"));
        }
        let limit = read.params.parsed("limit", parse_limit)?.filter(|l| *l > 0).unwrap_or(usize::MAX);
        read.run(move |context| {
            let found = params::sorted(context.rows.matching(Signal::Metrics, &selectors, range)?);
            let (mut out, mut warnings) = (String::new(), Warnings::default());
            json::list(&mut out, found.iter().take(limit), json::labels);
            if found.len() > limit {
                warnings.warn("results truncated due to limit".into());
            }
            Ok((out, warnings))
        })
        .await
    };
    respond(result.await)
}

/// A label name as it came in a path: one that begins with `U__` has other characters than letters, digits and `_`,
/// which are written as `_HEX_`, and `_` as `__`. What is not such a name is as it is, as in Prometheus.
fn unescaped(name: &str) -> String {
    name.strip_prefix("U__").and_then(decoded).unwrap_or_else(|| name.to_owned())
}

fn decoded(escaped: &str) -> Option<String> {
    let (mut out, mut rest) = (String::new(), escaped);
    while let Some(at) = rest.find('_') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('_') {
            out.push('_');
            rest = after;
            continue;
        }
        let (code, after) = rest.split_once('_')?;
        if code.len() > 6 || !code.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        out.push(char::from_u32(u32::from_str_radix(code, 16).ok()?)?);
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_names_are_read() {
        for (name, want) in [
            ("job", "job"),
            ("U__http_2e_status", "http.status"),
            ("U__a__b", "a_b"),
            ("U__label_2e_with__dots", "label.with_dots"),
            ("U___1F600_", "\u{1F600}"),
            ("U__a_b", "U__a_b"),
            ("U__a_zz_", "U__a_zz_"),
            ("U__a_D800_", "U__a_D800_"),
            ("U__a_FFFFFFFF_", "U__a_FFFFFFFF_"),
            ("U__", ""),
        ] {
            assert_eq!(unescaped(name), want, "{name}");
        }
    }
}
