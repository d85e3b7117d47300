//! Prometheus remote read (`prometheus.ReadRequest`, snappy), answered with samples, which every client takes.
//!
//! Source of the formats: Prometheus's `prompb/remote.proto` and `prompb/types.proto`.

use crate::api::params;
use crate::engine::{self, Asked, Context};
use crate::error::QueryError;
use crate::querier::Querier;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use eval::source::SeriesSource;
use model::rows::HistogramSample;
use model::{MatchOp, Matcher, Reason, Series, TimeRange};
use wire::error::DecodeError;
use wire::protobuf::{Fields, put_bytes, put_double, put_uint, put_varint};
use wire::snappy;

/// The largest request, decompressed.
const MAX_REQUEST: usize = 1 << 20;
/// The most queries of one request.
const MAX_QUERIES: usize = 100;

/// One query of a request.
#[derive(Debug, PartialEq)]
struct Query {
    range: TimeRange,
    matchers: Vec<Matcher>,
}

/// Answers like Prometheus: errors are plain text.
pub async fn remote_read(State(querier): State<Querier>, headers: HeaderMap, body: Bytes) -> Response {
    match answer(&querier, &headers, &body).await {
        Ok(body) => {
            let headers = [(header::CONTENT_TYPE, "application/x-protobuf"), (header::CONTENT_ENCODING, "snappy")];
            (headers, body).into_response()
        }
        Err(error) => {
            let status = match error.reason {
                // As in Prometheus: over a limit is a bad request, which is not sent again.
                Reason::OverLimit => StatusCode::BAD_REQUEST,
                reason => transport::status::http(reason),
            };
            (status, error.text).into_response()
        }
    }
}

async fn answer(querier: &Querier, headers: &HeaderMap, body: &[u8]) -> Result<Vec<u8>, QueryError> {
    let refused = |e: DecodeError| QueryError::new(e.reason(), format!("remote read: {e}"));
    let request = snappy::decompress(body, MAX_REQUEST).map_err(refused)?;
    let queries = decode(&request)?;
    let admitted = params::tenants(querier, headers)?;
    // What a shard lacks would be missing without a word: this answer has no place for warnings.
    let asked = Asked { whole: true, timeout: None };
    let (out, _) = engine::run(querier, admitted, asked, move |context| {
        let mut out = Vec::new();
        for query in &queries {
            let result = result(context, query)?;
            put_bytes(&mut out, 1, &result);
        }
        Ok(snappy::compress(&out))
    })
    .await?;
    Ok(out)
}

fn result(context: &Context, query: &Query) -> Result<Vec<u8>, QueryError> {
    let from_source = |e: eval::source::SourceError| QueryError::new(e.reason, e.text);
    let mut series = Vec::new();
    let mut size = 0;
    for one in SeriesSource::select(&context.rows, &query.matchers, query.range).map_err(from_source)? {
        if (context.cancelled)() {
            return Err(QueryError::new(Reason::Timeout, "the query was cancelled"));
        }
        let one = one.map_err(from_source)?;
        size += one.size();
        let limit = context.limits.query_memory;
        if size as u64 > limit.0 {
            let text = format!("remote read would answer more than {limit} (limits.query_memory)");
            return Err(QueryError::new(Reason::OverLimit, text));
        }
        let message = encode(&one, query.range);
        series.push((one.labels(), message));
    }
    // Clients merge series in order of their labels.
    series.sort_by(|a, b| a.0.cmp(&b.0));
    let mut out = Vec::new();
    series.iter().for_each(|(_, message)| put_bytes(&mut out, 1, message));
    Ok(out)
}

fn decode(request: &[u8]) -> Result<Vec<Query>, QueryError> {
    let bad = |e: DecodeError| QueryError::bad(format!("remote read: {e}"));
    let mut queries = Vec::new();
    for field in Fields::new(request) {
        let field = field.map_err(bad)?;
        if field.number == 1 {
            if queries.len() == MAX_QUERIES {
                return Err(QueryError::bad(format!("remote read: more than {MAX_QUERIES} queries in a request")));
            }
            queries.push(decode_query(field.message().map_err(bad)?)?);
        }
    }
    Ok(queries)
}

fn decode_query(fields: Fields<'_>) -> Result<Query, QueryError> {
    let bad = |e: DecodeError| QueryError::bad(format!("remote read: {e}"));
    let mut query = Query { range: TimeRange::new(0, 0), matchers: Vec::new() };
    for field in fields {
        let field = field.map_err(bad)?;
        match field.number {
            1 => query.range.min = field.int().map_err(bad)?,
            2 => query.range.max = field.int().map_err(bad)?,
            3 => query.matchers.push(decode_matcher(field.message().map_err(bad)?)?),
            _ => {}
        }
    }
    Ok(query)
}

fn decode_matcher(fields: Fields<'_>) -> Result<Matcher, QueryError> {
    let bad = |e: DecodeError| QueryError::bad(format!("remote read: {e}"));
    let (mut op, mut name, mut value) = (MatchOp::Equal, "", "");
    for field in fields {
        let field = field.map_err(bad)?;
        match field.number {
            1 => {
                op = match field.varint().map_err(bad)? {
                    0 => MatchOp::Equal,
                    1 => MatchOp::NotEqual,
                    2 => MatchOp::Regex,
                    3 => MatchOp::NotRegex,
                    other => return Err(QueryError::bad(format!("remote read: no matcher has the type {other}"))),
                }
            }
            2 => name = field.text().map_err(bad)?,
            3 => value = field.text().map_err(bad)?,
            _ => {}
        }
    }
    Matcher::new(name, op, value).map_err(|e| QueryError::bad(format!("remote read: {e}")))
}

/// `prometheus.TimeSeries` of the samples within the range.
fn encode(series: &Series, range: TimeRange) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in &series.labels() {
        let mut pair = Vec::new();
        put_bytes(&mut pair, 1, name.as_bytes());
        put_bytes(&mut pair, 2, value.as_bytes());
        put_bytes(&mut out, 1, &pair);
    }
    for (time, value) in series.times.iter().zip(&series.values).filter(|(time, _)| range.contains(**time)) {
        let mut sample = Vec::with_capacity(20);
        put_double(&mut sample, 1, *value);
        put_uint(&mut sample, 2, *time as u64);
        put_bytes(&mut out, 2, &sample);
    }
    for sample in series.histograms.iter().filter(|sample| range.contains(sample.time)) {
        put_bytes(&mut out, 4, &encode_histogram(sample));
    }
    out
}

/// `prometheus.Histogram` with float counts, which hold integer ones too.
fn encode_histogram(sample: &HistogramSample) -> Vec<u8> {
    let (h, mut out) = (&sample.value, Vec::new());
    put_double(&mut out, 2, h.count);
    put_double(&mut out, 3, h.sum);
    put_uint(&mut out, 4, zigzag(h.schema));
    put_double(&mut out, 5, h.zero_threshold);
    put_double(&mut out, 7, h.zero_count);
    for (spans, counts, of_spans, of_counts) in
        [(&h.negative_spans, &h.negative, 8, 10), (&h.positive_spans, &h.positive, 11, 13)]
    {
        for span in spans {
            let mut message = Vec::new();
            put_uint(&mut message, 1, zigzag(span.offset));
            put_uint(&mut message, 2, u64::from(span.length));
            put_bytes(&mut out, of_spans, &message);
        }
        put_doubles(&mut out, of_counts, counts);
    }
    put_uint(&mut out, 14, u64::from(h.reset.code()));
    put_uint(&mut out, 15, sample.time as u64);
    put_doubles(&mut out, 16, &h.custom_values);
    out
}

fn put_doubles(out: &mut Vec<u8>, number: u32, values: &[f64]) {
    if !values.is_empty() {
        put_varint(out, u64::from(number) << 3 | 2);
        put_varint(out, 8 * values.len() as u64);
        values.iter().for_each(|value| out.extend_from_slice(&value.to_bits().to_le_bytes()));
    }
}

/// How `sint32` is written.
fn zigzag(value: i32) -> u64 {
    u64::from((value.wrapping_shl(1) ^ (value >> 31)) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Labels;

    fn matcher(kind: u64, name: &str, value: &str) -> Vec<u8> {
        let mut out = Vec::new();
        put_uint(&mut out, 1, kind);
        put_bytes(&mut out, 2, name.as_bytes());
        put_bytes(&mut out, 3, value.as_bytes());
        out
    }

    fn request(matchers: &[Vec<u8>]) -> Vec<u8> {
        let (mut query, mut out) = (Vec::new(), Vec::new());
        put_uint(&mut query, 1, -5i64 as u64);
        put_uint(&mut query, 2, 1000);
        matchers.iter().for_each(|matcher| put_bytes(&mut query, 3, matcher));
        put_bytes(&mut out, 1, &query);
        out
    }

    #[test]
    fn requests_are_read() {
        let read = decode(&request(&[matcher(0, "__name__", "up"), matcher(3, "job", "a.*")])).expect("a request");
        let not = Matcher::new("job", MatchOp::NotRegex, "a.*").expect("a matcher");
        let want = Query { range: TimeRange::new(-5, 1000), matchers: vec![Matcher::equal("__name__", "up"), not] };
        assert_eq!(read, [want]);
        assert_eq!(decode(b""), Ok(Vec::new()));
    }

    #[test]
    fn bad_requests_are_refused() {
        for (bytes, word) in [
            (request(&[matcher(4, "a", "b")]), "type 4"),
            (request(&[matcher(2, "a", "(")]), "not valid"),
            (request(&[vec![0x0a, 9]]), "too early"),
            (vec![0x0a], "too early"),
            (request(&[]).repeat(MAX_QUERIES + 1), "more than 100 queries"),
        ] {
            let error = decode(&bytes).expect_err("refused");
            assert!(error.text.contains(word), "{}", error.text);
        }
    }

    #[test]
    fn samples_outside_of_the_range_are_left_out() {
        let series = Series {
            times: vec![1, 2, 3],
            values: vec![0.5, 1.5, 2.5],
            ..Series::new(Labels::from_pairs([("a", "b")]))
        };
        let encoded = encode(&series, TimeRange::new(2, 2));
        let fields: Vec<_> = Fields::new(&encoded).map(|field| field.expect("a field")).collect();
        assert_eq!(fields.iter().map(|field| field.number).collect::<Vec<_>>(), [1, 2]);
        let sample: Vec<_> = fields[1].message().expect("a sample").map(|field| field.expect("a field")).collect();
        assert_eq!((sample[0].double(), sample[1].int()), (Ok(1.5), Ok(2)));
    }
}
