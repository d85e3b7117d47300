//! What a push says of its body, and the reading of it within the budget.

use crate::budget::Claim;
use crate::error::PushError;
use crate::lines::Lines;
use axum::body::{Body, Bytes};
use bytes::BytesMut;
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use model::ByteSize;
use std::sync::Arc;
use std::time::Duration;
use tenancy::{Admitted, Write};
use tokio::time::{Instant, timeout_at};
use wire::error::DecodeError;
use wire::otlp::Request;
use wire::prometheus::Version;
use wire::{gzip, snappy, zstd};

/// How much of a body that is refused is still taken in, and for how long.
const DRAIN_BYTES: usize = 256 << 20;
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// What a body holds, once it is decompressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    LokiJson,
    LokiProtobuf,
    RemoteWrite(Version),
    Otlp {
        what: Request,
        json: bool,
    },
    /// OTLP's protobuf behind gRPC's five bytes.
    OtlpGrpc {
        what: Request,
    },
    Lines(Arc<Lines>),
}

impl Content {
    /// Whether a body without a content encoding is not compressed.
    fn comes_plain(&self) -> bool {
        matches!(self, Content::LokiJson | Content::Otlp { .. } | Content::OtlpGrpc { .. } | Content::Lines(_))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    None,
    Snappy,
    Gzip,
    Deflate,
    Zstd,
}

/// A decompressed body, and the bytes it came as if those were snappy and nothing else.
pub struct Inflated {
    pub body: Vec<u8>,
    pub payload: Option<Bytes>,
}

/// Of a push of logs. Without a content type it is protobuf, as Loki takes it.
pub fn loki_content(headers: &HeaderMap) -> Result<Content, PushError> {
    let expected = "application/x-protobuf or application/json";
    let (found, media, _) = media_type(headers);
    match media.as_str() {
        "" | "application/x-protobuf" => Ok(Content::LokiProtobuf),
        "application/json" => Ok(Content::LokiJson),
        _ => Err(PushError::ContentType { found, expected }),
    }
}

pub fn loki_encoding(headers: &HeaderMap) -> Result<Encoding, PushError> {
    match encoding(headers).as_str() {
        "" | "identity" => Ok(Encoding::None),
        "snappy" => Ok(Encoding::Snappy),
        "gzip" => Ok(Encoding::Gzip),
        "deflate" => Ok(Encoding::Deflate),
        found => Err(PushError::ContentEncoding { found: found.into(), expected: "snappy, gzip or deflate" }),
    }
}

/// Of a remote write. Without a content type or a `proto` it is 1.0, as old senders mean it.
pub fn remote_write_content(headers: &HeaderMap) -> Result<Content, PushError> {
    let expected = "application/x-protobuf;proto=prometheus.WriteRequest or \
                    application/x-protobuf;proto=io.prometheus.write.v2.Request";
    let (found, media, proto) = media_type(headers);
    if !matches!(media.as_str(), "" | "application/x-protobuf") {
        return Err(PushError::ContentType { found, expected });
    }
    match proto.as_deref() {
        None | Some("prometheus.WriteRequest") => Ok(Content::RemoteWrite(Version::V1)),
        Some("io.prometheus.write.v2.Request") => Ok(Content::RemoteWrite(Version::V2)),
        Some(_) => Err(PushError::ContentType { found, expected }),
    }
}

/// Remote write knows snappy only, and old senders do not say so.
pub fn remote_write_encoding(headers: &HeaderMap) -> Result<Encoding, PushError> {
    match encoding(headers).as_str() {
        "" | "snappy" => Ok(Encoding::Snappy),
        found => Err(PushError::ContentEncoding { found: found.into(), expected: "snappy" }),
    }
}

pub fn encoding(headers: &HeaderMap) -> String {
    text(headers, header::CONTENT_ENCODING).trim().to_ascii_lowercase()
}

/// The whole value, the media type in small letters, and the parameter `proto`.
pub fn media_type(headers: &HeaderMap) -> (String, String, Option<String>) {
    let value = text(headers, header::CONTENT_TYPE);
    let mut parts = value.split(';').map(str::trim);
    let media = parts.next().unwrap_or("").to_ascii_lowercase();
    let proto =
        parts.filter_map(|part| part.split_once('=')).find(|(name, _)| name.trim().eq_ignore_ascii_case("proto"));
    let proto = proto.map(|(_, value)| value.trim().trim_matches('"').to_owned());
    (value, media, proto)
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> String {
    headers.get(name).map_or(String::new(), |value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// Reads a body of at most `limits.max_push_body`, claiming room before it comes.
pub async fn read(
    headers: &HeaderMap,
    mut body: Body,
    admitted: &Admitted<Write>,
    claim: &mut Claim,
    limit: Duration,
) -> Result<Bytes, PushError> {
    let most = admitted.limits().max_push_body;
    let over = |len: u64, exact| too_large(admitted, len, exact, "max_push_body");
    let stated = headers.get(header::CONTENT_LENGTH).and_then(|len| len.to_str().ok()?.parse::<u64>().ok());
    if let Some(len) = stated.filter(|len| *len > most.0) {
        drain(body).await;
        return Err(over(len, true));
    }
    claim.grow_to(stated.unwrap_or(0))?;
    let deadline = Instant::now() + limit;
    let (mut first, mut rest) = (Bytes::new(), BytesMut::new());
    loop {
        let frame = timeout_at(deadline, body.frame()).await.map_err(|_| PushError::Slow { limit })?;
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|error| PushError::Incomplete { why: error.to_string() })?;
        let Ok(data) = frame.into_data() else { continue };
        let len = (first.len() + rest.len() + data.len()) as u64;
        if len > most.0 {
            drain(body).await;
            return Err(over(len, false));
        }
        claim.grow_to(len)?;
        // A body in one piece is not copied.
        if first.is_empty() && rest.is_empty() {
            first = data;
            continue;
        }
        if rest.is_empty() {
            rest.reserve(stated.unwrap_or(2 * len) as usize);
            rest.extend_from_slice(&std::mem::take(&mut first));
        }
        rest.extend_from_slice(&data);
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}

/// Takes in and drops what is left of a body, within reason: a connection that is closed while its client still sends
/// shows it a broken pipe instead of the answer, and the client would send the same body for ever.
async fn drain(mut body: Body) {
    let (end, mut left) = (Instant::now() + DRAIN_TIME, DRAIN_BYTES);
    while let Ok(Some(Ok(frame))) = timeout_at(end, body.frame()).await {
        left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
        if left == 0 {
            return;
        }
    }
}

fn too_large(admitted: &Admitted<Write>, len: u64, exact: bool, name: &'static str) -> PushError {
    let limits = admitted.limits();
    let limit = if name == "max_push_body" { limits.max_push_body } else { limits.max_push_inflated };
    PushError::TooLarge { tenant: admitted.tenant().clone(), len: ByteSize(len), exact, limit, name }
}

/// The message of a gRPC body, and how it is compressed; `stated` is what the headers say of compressed messages.
pub fn unframe(mut body: Bytes, stated: Encoding) -> Result<(Bytes, Encoding), PushError> {
    let incomplete = |why: &str| PushError::Incomplete { why: why.to_owned() };
    let [packed, a, b, c, d] = *body.first_chunk::<5>().ok_or_else(|| incomplete("there is no gRPC message"))?;
    let encoding = match (packed, stated) {
        (0, _) => Encoding::None,
        (1, Encoding::Gzip) => Encoding::Gzip,
        (1, _) => return Err(incomplete("the gRPC message is compressed, but grpc-encoding does not say how")),
        _ => return Err(incomplete("the gRPC message has unknown flags")),
    };
    let len = u32::from_be_bytes([a, b, c, d]) as usize;
    let message = body.split_off(5);
    match message.len() == len {
        true => Ok((message, encoding)),
        false => Err(incomplete(&format!("the gRPC message states {len} bytes, {} came", message.len()))),
    }
}

/// The length that a body states it has once it is decompressed; `None` when only decompressing tells.
pub fn stated_len(encoding: Encoding, content: &Content, body: &[u8]) -> Option<u64> {
    match (encoding, content) {
        (Encoding::Snappy, _) | (Encoding::None, Content::LokiProtobuf) => {
            snap::raw::decompress_len(body).ok().map(|len| len as u64)
        }
        (Encoding::None, _) => Some(body.len() as u64),
        _ => None,
    }
}

/// Decompresses a body to at most `limits.max_push_inflated`.
pub fn inflate(
    encoding: Encoding,
    content: &Content,
    body: Bytes,
    admitted: &Admitted<Write>,
) -> Result<Inflated, PushError> {
    let limit = admitted.limits().max_push_inflated.as_usize();
    let error = |error| match error {
        DecodeError::TooLarge { len, .. } => {
            too_large(admitted, len as u64, matches!(encoding, Encoding::Snappy | Encoding::None), "max_push_inflated")
        }
        error => PushError::Body(error),
    };
    let plain = match encoding {
        Encoding::Gzip => gzip::decompress(&body, limit).map_err(error)?,
        Encoding::Deflate => gzip::decompress_deflate(&body, limit).map_err(error)?,
        Encoding::Zstd => zstd::decompress(&body, limit).map_err(error)?,
        Encoding::Snappy => return from_snappy(body, limit).map_err(error),
        Encoding::None if content.comes_plain() => {
            return Ok(Inflated { body: body.into(), payload: None });
        }
        // Loki's protobuf is snappy whether or not a header says so.
        Encoding::None => return from_snappy(body, limit).map_err(error),
    };
    // Within gzip, too; but some senders leave it out there.
    match content {
        Content::LokiProtobuf if snap::raw::decompress_len(&plain).is_ok() => match snappy::decompress(&plain, limit) {
            Ok(body) => Ok(Inflated { body, payload: Some(plain.into()) }),
            Err(_) => Ok(Inflated { body: plain, payload: None }),
        },
        _ => Ok(Inflated { body: plain, payload: None }),
    }
}

fn from_snappy(body: Bytes, limit: usize) -> Result<Inflated, DecodeError> {
    Ok(Inflated { body: snappy::decompress(&body, limit)?, payload: Some(body) })
}
