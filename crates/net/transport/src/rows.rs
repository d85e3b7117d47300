//! Rows of heads as messages, and back. What comes from another process is checked, never trusted.

use crate::v1;
use bytes::Bytes;
use model::histogram::{ResetHint, Span};
use model::rows::HistogramSample;
use model::{Exemplar, Histogram, Labels, LogPage, MatchOp, Matcher, Metadata, Series, ShardId, Signal};
use std::sync::Arc;

/// A message that no service of this version sends.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a message between services cannot be read: {0}")]
pub struct Malformed(pub &'static str);

pub fn shard(shard: ShardId) -> v1::Shard {
    v1::Shard { signal: shard.signal.code().into(), index: shard.index }
}

pub fn shard_id(shard: Option<v1::Shard>) -> Result<ShardId, Malformed> {
    let shard = shard.ok_or(Malformed("no shard"))?;
    let signal = u8::try_from(shard.signal).ok().and_then(Signal::from_code).ok_or(Malformed("unknown signal"))?;
    Ok(ShardId::new(signal, shard.index))
}

pub fn matchers(matchers: &[Matcher]) -> Vec<v1::Matcher> {
    let code = |op| match op {
        MatchOp::Equal => 0,
        MatchOp::NotEqual => 1,
        MatchOp::Regex => 2,
        MatchOp::NotRegex => 3,
    };
    matchers.iter().map(|m| v1::Matcher { name: m.name.clone(), op: code(m.op), value: m.value.clone() }).collect()
}

pub fn read_matchers(messages: Vec<v1::Matcher>) -> Result<Vec<Matcher>, Malformed> {
    let read = |m: v1::Matcher| {
        let op = match m.op {
            0 => MatchOp::Equal,
            1 => MatchOp::NotEqual,
            2 => MatchOp::Regex,
            3 => MatchOp::NotRegex,
            _ => return Err(Malformed("unknown matcher")),
        };
        Matcher::new(m.name, op, m.value).map_err(|_| Malformed("bad regular expression"))
    };
    messages.into_iter().map(read).collect()
}

fn packed(labels: &Labels) -> Bytes {
    Bytes::copy_from_slice(labels.packed())
}

pub fn labels(bytes: &[u8]) -> Result<Labels, Malformed> {
    Labels::from_packed(bytes).ok_or(Malformed("bad labels"))
}

pub fn labels_reply(labels: &Labels) -> v1::select_reply::Reply {
    v1::select_reply::Reply::Labels(packed(labels))
}

pub fn log_rows(page: LogPage) -> v1::LogRows {
    v1::LogRows {
        labels: packed(&page.labels),
        metadata: page.metadata.iter().map(packed).collect(),
        times: page.times,
        text: page.text.into_bytes().into(),
        ends: page.ends,
        reach: None,
    }
}

pub fn read_log_rows(rows: v1::LogRows) -> Result<LogPage, Malformed> {
    let text = String::from_utf8(rows.text.into()).map_err(|_| Malformed("a line is not UTF-8"))?;
    let sorted = rows.ends.is_sorted() && rows.ends.iter().all(|end| text.is_char_boundary(*end as usize));
    let whole = rows.ends.last().is_none_or(|end| *end as usize == text.len());
    let metadata = rows.metadata.iter().map(|m| labels(m)).collect::<Result<Vec<_>, _>>()?;
    let fits = rows.times.len() == rows.ends.len() && (metadata.is_empty() || metadata.len() == rows.times.len());
    if !(sorted && whole && fits) {
        return Err(Malformed("the columns of a page do not fit"));
    }
    Ok(LogPage { labels: labels(&rows.labels)?, times: rows.times, text, ends: rows.ends, metadata })
}

pub fn series_rows(series: Series) -> v1::SeriesRows {
    let mut last = 0i64;
    let deltas = series.times.iter().map(|time| time.wrapping_sub(std::mem::replace(&mut last, *time))).collect();
    v1::SeriesRows {
        labels: packed(&series.labels()),
        time_deltas: deltas,
        values: series.values,
        starts: series.starts,
        histograms: series.histograms.iter().map(histogram_row).collect(),
    }
}

pub fn read_series_rows(rows: v1::SeriesRows) -> Result<Series, Malformed> {
    let mut last = 0i64;
    let times: Vec<i64> = rows
        .time_deltas
        .iter()
        .map(|delta| {
            last = last.wrapping_add(*delta);
            last
        })
        .collect();
    let fits = times.len() == rows.values.len() && (rows.starts.is_empty() || rows.starts.len() == times.len());
    if !fits {
        return Err(Malformed("the columns of a series do not fit"));
    }
    Ok(Series {
        labels: Some(labels(&rows.labels)?),
        times: times.into(),
        values: rows.values,
        starts: rows.starts,
        histograms: rows.histograms.into_iter().map(read_histogram_row).collect::<Result<_, _>>()?,
    })
}

fn histogram_row(sample: &HistogramSample) -> v1::HistogramRow {
    let spans = |spans: &[Span]| spans.iter().flat_map(|s| [s.offset, s.length as i32]).collect();
    let h = &sample.value;
    v1::HistogramRow {
        time: sample.time,
        start: sample.start,
        schema: h.schema,
        zero_threshold: h.zero_threshold,
        zero_count: h.zero_count,
        count: h.count,
        sum: h.sum,
        reset: h.reset.code().into(),
        integer: h.integer,
        positive_spans: spans(&h.positive_spans),
        positive: h.positive.clone(),
        negative_spans: spans(&h.negative_spans),
        negative: h.negative.clone(),
        custom_values: h.custom_values.to_vec(),
    }
}

fn read_histogram_row(row: v1::HistogramRow) -> Result<HistogramSample, Malformed> {
    let spans = |flat: &[i32]| -> Vec<Span> {
        flat.chunks_exact(2).map(|pair| Span { offset: pair[0], length: pair[1] as u32 }).collect()
    };
    let value = Histogram {
        schema: row.schema,
        zero_threshold: row.zero_threshold,
        zero_count: row.zero_count,
        count: row.count,
        sum: row.sum,
        reset: ResetHint::from_code(row.reset.into()),
        integer: row.integer,
        positive_spans: spans(&row.positive_spans),
        positive: row.positive,
        negative_spans: spans(&row.negative_spans),
        negative: row.negative,
        custom_values: row.custom_values.into(),
    };
    let fits =
        |spans: &[Span], counts: &[f64]| spans.iter().map(|s| u64::from(s.length)).sum::<u64>() == counts.len() as u64;
    if !fits(&value.positive_spans, &value.positive) || !fits(&value.negative_spans, &value.negative) {
        return Err(Malformed("the spans of a histogram do not fit its buckets"));
    }
    Ok(HistogramSample { time: row.time, start: row.start, value: Arc::new(value) })
}

pub fn metadata(m: &Metadata) -> v1::MetricMetadata {
    v1::MetricMetadata { family: m.family.clone(), kind: m.kind.clone(), help: m.help.clone(), unit: m.unit.clone() }
}

pub fn read_metadata(m: v1::MetricMetadata) -> Metadata {
    Metadata { family: m.family, kind: m.kind, help: m.help, unit: m.unit }
}

pub fn exemplar_rows(series: &Labels, exemplars: &[Exemplar]) -> v1::ExemplarRows {
    let row = |e: &Exemplar| v1::ExemplarRow { labels: packed(&e.labels), value: e.value, time: e.time };
    v1::ExemplarRows { labels: packed(series), exemplars: exemplars.iter().map(row).collect() }
}

pub fn read_exemplar_rows(rows: v1::ExemplarRows) -> Result<(Labels, Vec<Exemplar>), Malformed> {
    let read = |row: v1::ExemplarRow| Ok(Exemplar { labels: labels(&row.labels)?, value: row.value, time: row.time });
    let exemplars = rows.exemplars.into_iter().map(read).collect::<Result<_, Malformed>>()?;
    Ok((labels(&rows.labels)?, exemplars))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_survive_the_way_and_bad_ones_are_refused() {
        let mut page = LogPage::new(Labels::from_pairs([("a", "1")]));
        page.push(5, "héllo", Labels::empty());
        page.push(3, "", Labels::from_pairs([("trace", "x")]));
        let sent = log_rows(page.clone());
        assert_eq!(read_log_rows(sent.clone()), Ok(page));
        let bad: [fn(&mut v1::LogRows); 6] = [
            |m| m.ends[0] = 2,
            |m| m.ends[1] = 99,
            |m| m.ends.truncate(1),
            |m| m.times.push(1),
            |m| m.metadata.truncate(1),
            |m| m.labels = Bytes::from_static(&[1]),
        ];
        for (at, spoil) in bad.iter().enumerate() {
            let mut message = sent.clone();
            spoil(&mut message);
            assert!(read_log_rows(message).is_err(), "spoilt {at}");
        }
    }

    #[test]
    fn series_survive_the_way_bit_for_bit() {
        let stale = f64::from_bits(model::rows::STALE_NAN_BITS);
        let histogram = Histogram {
            positive_spans: vec![Span { offset: -3, length: 2 }],
            positive: vec![1.0, 2.5],
            custom_values: vec![0.5].into(),
            ..Histogram::default()
        };
        let series = Series {
            labels: Some(Labels::from_pairs([("__name__", "up")])),
            times: vec![-5, i64::MIN, i64::MAX].into(),
            values: vec![1.0, stale, -0.0],
            starts: vec![0, 1, 2],
            histograms: vec![HistogramSample { time: 9, start: 1, value: Arc::new(histogram) }],
        };
        let back = read_series_rows(series_rows(series.clone())).expect("reads");
        assert_eq!(
            back.values.iter().map(|v| v.to_bits()).collect::<Vec<_>>(),
            series.values.iter().map(|v| v.to_bits()).collect::<Vec<_>>()
        );
        assert_eq!((back.times, back.starts, back.histograms), (series.times, series.starts, series.histograms));
    }
}
