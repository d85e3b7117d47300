//! Prometheus remote read (`prometheus.ReadRequest`, snappy), answered with samples or with chunks, as the client takes it.
//!
//! Source of the formats: Prometheus's `prompb/remote.proto` and `prompb/types.proto`.

mod bits;
mod chunks;
mod samples;
mod streamed;

use crate::api::params;
use crate::engine::{self, Asked, Context};
use crate::error::QueryError;
use crate::querier::Querier;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use eval::source::SourceError;
use model::{MatchOp, Matcher, Reason, TimeRange};
use wire::error::DecodeError;
use wire::protobuf::Fields;
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

/// How a client takes an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Samples,
    Chunks,
}

/// Answers like Prometheus: errors are plain text.
pub async fn remote_read(State(querier): State<Querier>, headers: HeaderMap, body: Bytes) -> Response {
    match answer(&querier, &headers, &body).await {
        Ok(response) => response,
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

async fn answer(querier: &Querier, headers: &HeaderMap, body: &[u8]) -> Result<Response, QueryError> {
    let refused = |e: DecodeError| QueryError::new(e.reason(), format!("remote read: {e}"));
    let request = snappy::decompress(body, MAX_REQUEST).map_err(refused)?;
    let (queries, kind) = decode(&request)?;
    let admitted = params::tenants(querier, headers)?;
    // What a shard lacks would be missing without a word: this answer has no place for warnings.
    let asked = Asked { whole: true, timeout: None };
    if kind == Kind::Chunks {
        let body = streamed::body(querier.clone(), admitted, asked, queries).await?;
        return Ok(([(header::CONTENT_TYPE, streamed::TYPE)], body).into_response());
    }
    let work = move |context: &Context| samples::answer(context, &queries);
    let (body, _) = engine::run(querier, admitted, asked, work).await?;
    let headers = [(header::CONTENT_TYPE, "application/x-protobuf"), (header::CONTENT_ENCODING, "snappy")];
    Ok((headers, body).into_response())
}

fn failed(error: SourceError) -> QueryError {
    QueryError::new(error.reason, error.text)
}

/// The queries, and the first kind of answer among those that the client takes which there is here.
fn decode(request: &[u8]) -> Result<(Vec<Query>, Kind), QueryError> {
    let bad = |e: DecodeError| QueryError::bad(format!("remote read: {e}"));
    let (mut queries, mut kinds) = (Vec::new(), Vec::new());
    for field in Fields::new(request) {
        let field = field.map_err(bad)?;
        if field.number == 1 {
            if queries.len() == MAX_QUERIES {
                return Err(QueryError::bad(format!("remote read: more than {MAX_QUERIES} queries in a request")));
            }
            queries.push(decode_query(field.message().map_err(bad)?)?);
        }
        if field.number == 2 {
            let mut add = |kind: u64| {
                kinds.extend(match kind {
                    0 => Some(Kind::Samples),
                    1 => Some(Kind::Chunks),
                    _ => None,
                });
                Ok(())
            };
            field.varints(&mut add).map_err(bad)?;
        }
    }
    Ok((queries, kinds.first().copied().unwrap_or(Kind::Samples)))
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

#[cfg(test)]
mod tests {
    use super::*;
    use wire::protobuf::{put_bytes, put_uint};

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
        assert_eq!(read, (vec![want], Kind::Samples));
        assert_eq!(decode(b""), Ok((Vec::new(), Kind::Samples)));
        // One by one or packed; what is not known is passed over.
        for (bytes, kind) in [
            (&[0x10, 1][..], Kind::Chunks),
            (&[0x10, 0, 0x10, 1], Kind::Samples),
            (&[0x12, 2, 1, 0], Kind::Chunks),
            (&[0x12, 2, 9, 1], Kind::Chunks),
            (&[0x10, 9], Kind::Samples),
        ] {
            assert_eq!(decode(bytes), Ok((Vec::new(), kind)), "{bytes:?}");
        }
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
}
