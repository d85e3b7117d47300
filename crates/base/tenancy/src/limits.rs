//! What one tenant may do. Every limit is named in the error that it causes, as `limits.<field>`.

use crate::ha::HaSettings;
use crate::otlp::{DiscoverySettings, OtlpSettings};
use crate::relabel::Relabel;
use model::{ByteSize, Signal};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The limits of a tenant. In settings: `limits` for all, `tenants.<name>` for one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// `limits.max_push_body`: bytes of a push as they arrive, compressed.
    pub max_push_body: ByteSize,
    /// `limits.max_push_inflated`: bytes of a push once it is decompressed.
    pub max_push_inflated: ByteSize,
    /// `limits.ingestion_rate`: decompressed bytes a second over both signals, for each distributor; null or
    /// "unlimited" for none.
    #[serde(with = "unlimited")]
    pub ingestion_rate: Option<ByteSize>,
    /// `limits.ingestion_burst`: decompressed bytes that may come at once beyond the rate.
    pub ingestion_burst: ByteSize,
    /// `limits.max_line_size`: bytes of a log line.
    pub max_line_size: ByteSize,
    /// `limits.line_truncate`: whether a longer line is cut instead of refused; `truncated_from` in its metadata says how
    /// many bytes it had.
    pub line_truncate: bool,
    /// `limits.max_metadata_size`: bytes of all structured metadata of a log line.
    pub max_metadata_size: ByteSize,
    /// `limits.max_label_names`: labels of a series.
    pub max_label_names: u32,
    /// `limits.max_label_name_length`: bytes of a label's name.
    pub max_label_name_length: u32,
    /// `limits.max_label_value_length`: bytes of a label's value.
    pub max_label_value_length: u32,
    /// `limits.creation_grace`: how far in the future a row may lie; null or "unlimited" for any.
    #[serde(with = "settings::duration::option")]
    pub creation_grace: Option<Duration>,
    /// `limits.reject_old`: how old a row may be when it arrives; null or "unlimited" for any.
    #[serde(with = "settings::duration::option")]
    pub reject_old: Option<Duration>,
    /// `limits.out_of_order_window`: how much older than its series' newest sample a sample may be; null or
    /// "unlimited" for any. Log lines may come in any order.
    #[serde(with = "settings::duration::option")]
    pub out_of_order_window: Option<Duration>,
    /// `limits.max_series`: series that have samples of the last hours, over all shards; each shard takes its part. Samples
    /// of further series are refused. null or "unlimited" for any number.
    #[serde(with = "unlimited")]
    pub max_series: Option<u64>,
    /// `limits.max_series_per_metric`: those of one metric name, likewise.
    #[serde(with = "unlimited")]
    pub max_series_per_metric: Option<u64>,
    /// `limits.shards`: how many shards of each signal the tenant's series are spread over.
    pub shards: u32,
    /// `limits.ha`: how pairs of Prometheus servers are told.
    pub ha: HaSettings,
    /// `limits.relabel`: rules by which labels of samples are changed, or series left out, in their order. They are those
    /// of Prometheus's `metric_relabel_configs`.
    pub relabel: Relabel,
    /// `limits.otlp`: how OTLP is translated.
    pub otlp: OtlpSettings,
    /// `limits.discover`: what is found out about log lines.
    pub discover: DiscoverySettings,
    /// `limits.retention`: how long rows are kept.
    pub retention: RetentionSettings,
    /// `limits.deletion`: whether the tenant may have rows deleted before they have passed their retention.
    pub deletion: bool,
    /// `limits.query_memory`: bytes that one query may hold.
    pub query_memory: ByteSize,
    /// `limits.query_bytes`: bytes of segments, blocks and recent lines that one query may read.
    pub query_bytes: ByteSize,
    /// `limits.query_timeout`: how long one query may run.
    #[serde(with = "settings::duration")]
    pub query_timeout: Duration,
    /// `limits.max_query_range`: the longest time range of a query; null or "unlimited" for any.
    #[serde(with = "settings::duration::option")]
    pub max_query_range: Option<Duration>,
    /// `limits.max_log_rows`: the highest `limit` of a log query.
    pub max_log_rows: u32,
    /// `limits.max_tails`: how many may follow lines (`tail`) at once, on each querier.
    pub max_tails: u32,
    /// `limits.promql_experimental`: whether PromQL's experimental functions may be used.
    pub promql_experimental: bool,
    /// `limits.delayed_name_removal`: whether PromQL drops metric names at the end of a query instead of at once.
    pub delayed_name_removal: bool,
}

/// How long rows are kept. Older ones are not shown, and leave the store when what they are in is rewritten.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetentionSettings {
    /// `limits.retention.logs`: how long log lines are kept; null or "unlimited" for ever.
    #[serde(with = "settings::duration::option")]
    pub logs: Option<Duration>,
    /// `limits.retention.metrics`: how long samples are kept; null or "unlimited" for ever.
    #[serde(with = "settings::duration::option")]
    pub metrics: Option<Duration>,
    /// `limits.retention.shorter`: rows that are kept for a shorter time than the others.
    pub shorter: Vec<Shorter>,
}

/// Rows that are kept for a shorter time than the others: of logs or of metrics.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shorter {
    /// A stream selector, with line filters if need be: `{app="a"} |= "debug"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logs: Option<String>,
    /// A selector of series: `{__name__=~"[^:]+"}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<String>,
    /// For how long.
    #[serde(with = "settings::duration")]
    pub keep: Duration,
}

impl Shorter {
    /// Which signal it is of, and its selector; `None` if it has none, or two.
    pub fn selector(&self) -> Option<(Signal, &str)> {
        match (&self.logs, &self.metrics) {
            (Some(query), None) => Some((Signal::Logs, query)),
            (None, Some(query)) => Some((Signal::Metrics, query)),
            _ => None,
        }
    }
}

impl RetentionSettings {
    /// The oldest time of rows that are kept, in the signal's unit. `now` in Unix milliseconds.
    pub fn oldest(&self, signal: Signal, now: i64) -> i64 {
        let kept = match signal {
            Signal::Logs => self.logs,
            Signal::Metrics => self.metrics,
        };
        kept.map_or(i64::MIN, |kept| before(now, kept, signal))
    }
}

impl Shorter {
    /// The oldest time of its rows that are kept, as [`RetentionSettings::oldest`].
    pub fn oldest(&self, signal: Signal, now: i64) -> i64 {
        before(now, self.keep, signal)
    }
}

/// The time that is so long before `now`, in the signal's unit.
fn before(now: i64, time: Duration, signal: Signal) -> i64 {
    let time = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    now.saturating_sub(time).saturating_mul(signal.units_per_milli())
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            max_push_body: ByteSize::mib(15),
            max_push_inflated: ByteSize::mib(100),
            ingestion_rate: None,
            ingestion_burst: ByteSize::mib(64),
            max_line_size: ByteSize(256 << 10),
            line_truncate: false,
            max_metadata_size: ByteSize(64 << 10),
            max_label_names: 40,
            max_label_name_length: 1024,
            max_label_value_length: 4096,
            creation_grace: Some(Duration::from_secs(10 * 60)),
            reject_old: None,
            out_of_order_window: Some(Duration::from_secs(60 * 60)),
            max_series: None,
            max_series_per_metric: None,
            shards: 1,
            ha: HaSettings::default(),
            relabel: Relabel::default(),
            otlp: OtlpSettings::default(),
            discover: DiscoverySettings::default(),
            retention: RetentionSettings::default(),
            deletion: false,
            query_memory: ByteSize::mib(1024),
            query_bytes: ByteSize::mib(256 << 10),
            query_timeout: Duration::from_secs(120),
            max_query_range: None,
            max_log_rows: 5000,
            max_tails: 10,
            promql_experimental: false,
            delayed_name_removal: false,
        }
    }
}

mod unlimited {
    //! A number or none: `null` or `"unlimited"`.

    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    pub fn serialize<T: Serialize, S: Serializer>(value: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => value.serialize(serializer),
            None => serializer.serialize_str("unlimited"),
        }
    }

    pub fn deserialize<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
    where
        T: Deserialize<'de>,
        D: Deserializer<'de>,
    {
        // By way of a value of any kind, which keeps the inner type's own error.
        let value = Option::<serde_json::Value>::deserialize(deserializer)?;
        match value {
            None | Some(serde_json::Value::Null) => Ok(None),
            Some(serde_json::Value::String(text)) if text == "unlimited" => Ok(None),
            Some(value) => T::deserialize(OwnedValue(value)).map(Some).map_err(de::Error::custom),
        }
    }

    /// Lets a `T` that borrows from nothing be read from an owned value.
    struct OwnedValue(serde_json::Value);

    impl<'de> Deserializer<'de> for OwnedValue {
        type Error = serde_json::Error;
        fn deserialize_any<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, serde_json::Error> {
            self.0.deserialize_any(visitor)
        }
        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
            newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
        }
    }
}
