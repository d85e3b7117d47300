//! Reads the parameters of a request, from its query string and its form, as Prometheus and Loki write them.

use crate::error::QueryError;
use crate::querier::Querier;
use axum::body::Bytes;
use axum::http::{HeaderMap, header};
use model::{Labels, Matcher, TimeRange};
use std::collections::HashSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tenancy::{Admitted, Read};

/// The parameters of a request, in order; those of the form come first, as Go's `Form` has them.
#[derive(Debug, Default)]
pub struct Params(Vec<(String, String)>);

impl Params {
    pub fn read(query: Option<&str>, headers: &HeaderMap, body: &Bytes) -> Params {
        let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
        let form: &[u8] = if kind.starts_with("application/x-www-form-urlencoded") { body } else { b"" };
        let pairs = [form, query.unwrap_or("").as_bytes()].map(url::form_urlencoded::parse);
        Params(pairs.into_iter().flatten().map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, value)| n == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// A parameter read by `parse`; an error names the parameter as Prometheus does.
    pub fn parsed<T>(
        &self,
        name: &str,
        parse: impl Fn(&str) -> Result<T, QueryError>,
    ) -> Result<Option<T>, QueryError> {
        let invalid = |e: QueryError| QueryError::bad(format!("invalid parameter \"{name}\": {}", e.text));
        self.get(name).map(|text| parse(text).map_err(invalid)).transpose()
    }

    /// Whether who asks wants an error rather than an answer that lacks a shard: `partial_response=false`, as Thanos has
    /// it.
    pub fn whole(&self) -> Result<bool, QueryError> {
        match self.get("partial_response") {
            None | Some("true" | "1") => Ok(false),
            Some("false" | "0") => Ok(true),
            Some(other) => {
                Err(QueryError::bad(format!("invalid parameter \"partial_response\": {other:?} is not true or false")))
            }
        }
    }

    pub fn required(&self, name: &str) -> Result<&str, QueryError> {
        self.get(name).ok_or_else(|| QueryError::bad(format!("invalid parameter \"{name}\": missing")))
    }
}

/// Admits a read of every tenant that the request names.
pub fn tenants(querier: &Querier, headers: &HeaderMap) -> Result<Vec<Admitted<Read>>, QueryError> {
    let org = headers.get("x-scope-orgid").map(|v| v.as_bytes());
    let bad = |e: tenancy::TenancyError| QueryError::new(e.reason(), e.to_string());
    tenancy::admit_reads(&querier.inner.limits, org).map_err(bad)
}

pub fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

pub fn now_ms() -> i64 {
    now().as_millis() as i64
}

pub fn now_ns() -> i64 {
    now().as_nanos() as i64
}

/// Prometheus's times: Unix seconds with decimals, or RFC 3339. Gives milliseconds.
pub fn prometheus_time(text: &str) -> Result<i64, QueryError> {
    if let Ok(seconds) = text.parse::<f64>() {
        let millis = (seconds * 1000.0).round();
        // Prometheus's own bounds are those of its time type; beyond them nothing can be stored.
        return match millis.is_finite() && millis.abs() < 9.2e18 {
            true => Ok(millis as i64),
            false => Err(unreadable_time(text)),
        };
    }
    let time: jiff::Timestamp = text.parse().map_err(|_| unreadable_time(text))?;
    Ok(time.as_millisecond())
}

fn unreadable_time(text: &str) -> QueryError {
    QueryError::bad(format!("cannot parse \"{text}\" to a valid timestamp"))
}

/// Prometheus's durations: seconds with decimals, or `5m`, `1h30m`. Gives milliseconds.
pub fn prometheus_duration(text: &str) -> Result<i64, QueryError> {
    let unreadable = || QueryError::bad(format!("cannot parse \"{text}\" to a valid duration"));
    if let Ok(seconds) = text.parse::<f64>() {
        let millis = seconds * 1000.0;
        return match millis.is_finite() && millis.abs() < 9.2e18 {
            true => Ok(millis as i64),
            false => Err(unreadable()),
        };
    }
    let years = |text: &str| -> Option<Duration> {
        let (count, rest) = text.split_once('y')?;
        let years: u32 = count.parse().ok()?;
        let rest = if rest.is_empty() { Duration::ZERO } else { settings::duration::parse(rest).ok()? };
        Some(Duration::from_secs(365 * 86_400).checked_mul(years)? + rest)
    };
    let duration = settings::duration::parse(text).ok().or_else(|| years(text)).ok_or_else(unreadable)?;
    i64::try_from(duration.as_millis()).map_err(|_| unreadable())
}

/// Loki's times: Unix nanoseconds, Unix seconds when the number is short or has decimals, or RFC 3339. Gives
/// nanoseconds.
pub fn loki_time(text: &str) -> Result<i64, QueryError> {
    let unreadable = || QueryError::bad(format!("cannot parse \"{text}\" to a valid timestamp"));
    if text.contains('.')
        && let Ok(seconds) = text.parse::<f64>()
    {
        return Ok((seconds * 1e9) as i64);
    }
    if let Ok(number) = text.parse::<i64>() {
        let digits = text.trim_start_matches('-').len();
        return if digits <= 10 { number.checked_mul(1_000_000_000).ok_or_else(unreadable) } else { Ok(number) };
    }
    let time: jiff::Timestamp = text.parse().map_err(|_| unreadable())?;
    i64::try_from(time.as_nanosecond()).map_err(|_| unreadable())
}

/// The selectors of all `match[]` parameters.
pub fn selectors(params: &Params) -> Result<Vec<Vec<Matcher>>, QueryError> {
    let invalid = |why: String| QueryError::bad(format!("invalid parameter \"match[]\": {why}"));
    let selector = |text: &str| promql::parse_selector(text).map_err(|e| invalid(e.to_string()));
    params.all("match[]").map(selector).collect()
}

/// A time range in milliseconds as metadata requests give it; all time by default.
pub fn metadata_range(params: &Params) -> Result<TimeRange, QueryError> {
    let start = params.parsed("start", prometheus_time)?.unwrap_or(i64::MIN);
    let end = params.parsed("end", prometheus_time)?.unwrap_or(i64::MAX);
    if end < start {
        return Err(QueryError::bad("invalid parameter \"end\": end timestamp must not be before start time"));
    }
    Ok(TimeRange::new(start, end))
}

/// Label sets in the order in which answers list them.
pub fn sorted(found: HashSet<Labels>) -> Vec<Labels> {
    let mut sorted: Vec<Labels> = found.into_iter().collect();
    sorted.sort();
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_their_clients_write_them() {
        for (text, want) in [
            ("0", 0),
            ("-1.5", -1500),
            ("1435781430.781", 1_435_781_430_781),
            ("2015-07-01T20:10:51.781Z", 1_435_781_451_781),
        ] {
            assert_eq!(prometheus_time(text), Ok(want), "{text}");
        }
        for bad in ["", "x", "NaN", "1e300", "2015-13-01T00:00:00Z"] {
            assert!(prometheus_time(bad).is_err(), "{bad}");
        }
        for (text, want) in [
            ("1", 1_000_000_000),
            ("1700000000", 1_700_000_000_000_000_000),
            ("1700000000000000001", 1_700_000_000_000_000_001),
            ("1.5", 1_500_000_000),
            ("1970-01-01T00:00:01.000000002Z", 1_000_000_002),
        ] {
            assert_eq!(loki_time(text), Ok(want), "{text}");
        }
        for bad in ["", "yesterday", "99999999999999999999"] {
            assert!(loki_time(bad).is_err(), "{bad}");
        }
        for (text, want) in
            [("15", 15_000), ("0.5", 500), ("1m30s", 90_000), ("1y", 31_536_000_000), ("1y1d", 31_622_400_000)]
        {
            assert_eq!(prometheus_duration(text), Ok(want), "{text}");
        }
        for bad in ["", "x", "5 m", "Inf"] {
            assert!(prometheus_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn forms_and_query_strings_are_one() {
        let mut headers = HeaderMap::new();
        headers
            .insert(header::CONTENT_TYPE, "application/x-www-form-urlencoded; charset=utf-8".parse().expect("a value"));
        let params =
            Params::read(Some("a=1&match[]=x&empty="), &headers, &Bytes::from_static(b"b=2+3&match%5B%5D=y&a=0"));
        assert_eq!((params.get("a"), params.get("b"), params.get("empty")), (Some("0"), Some("2 3"), None));
        assert_eq!(params.all("match[]").collect::<Vec<_>>(), ["y", "x"]);
        headers.clear();
        assert_eq!(Params::read(None, &headers, &Bytes::from_static(b"a=1")).get("a"), None);
    }
}
