//! What a shard's log holds: batches as the agents compressed them, with a header that needs no decompression.
//!
//! An entry is `version byte (1), kind byte`, then for kind 1 any number of batches, each `u32 header length, header,
//! u32 payload length, payload`; for kind 2 `u64 through, u64 version`. Numbers are little-endian, headers use
//! varints (see `Header::encode`). The log's own records carry the checksum.

use crate::error::DecodeError;
use crate::snappy;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use model::{BatchId, Signal, TenantId, TimeRange};

const VERSION: u8 = 1;
const BATCHES: u8 = 1;
const FLUSHED: u8 = 2;

/// One entry of a shard's log.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    Batches(Vec<Batch>),
    /// Everything up to and including log index `through` is in the object store, and the catalog knows it since
    /// `version`.
    Flushed {
        through: u64,
        version: u64,
    },
}

/// Rows of one tenant for one shard.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    pub header: Header,
    /// A snappy-compressed body in `header.format`.
    pub payload: Bytes,
}

/// What can be known of a batch without decompressing it.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    pub id: BatchId,
    pub tenant: TenantId,
    pub format: Format,
    /// Log entries, or samples of either kind.
    pub rows: u32,
    /// Bytes of the body once it is decompressed.
    pub body_len: u32,
    /// In the signal's unit.
    pub times: TimeRange,
    /// Logs: the streams in the order of the body. Metrics: empty.
    pub streams: Vec<StreamHeader>,
}

/// One stream within a batch of logs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StreamHeader {
    /// `loki::key` of the label text.
    pub key: u128,
    pub rows: u32,
    pub times: TimeRange,
}

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Loki's `PushRequest`.
    LokiPush,
    /// Prometheus remote write 1.0, `prometheus.WriteRequest`.
    PromV1,
    /// Prometheus remote write 2.0, `io.prometheus.write.v2.Request`.
    PromV2,
}

impl Format {
    pub fn signal(self) -> Signal {
        match self {
            Format::LokiPush => Signal::Logs,
            Format::PromV1 | Format::PromV2 => Signal::Metrics,
        }
    }

    fn code(self) -> u8 {
        match self {
            Format::LokiPush => 1,
            Format::PromV1 => 2,
            Format::PromV2 => 3,
        }
    }

    fn from_code(code: u8) -> Option<Format> {
        [Format::LokiPush, Format::PromV1, Format::PromV2].into_iter().find(|format| format.code() == code)
    }
}

impl Entry {
    pub fn encode(&self) -> Bytes {
        match self {
            Entry::Batches(batches) => Entry::encode_batches(batches),
            Entry::Flushed { through, version } => {
                let mut out = BytesMut::with_capacity(18);
                out.put_slice(&[VERSION, FLUSHED]);
                out.put_u64_le(*through);
                out.put_u64_le(*version);
                out.freeze()
            }
        }
    }

    pub fn encode_batches(batches: &[Batch]) -> Bytes {
        let size: usize = batches.iter().map(|b| b.payload.len() + 160 + 44 * b.header.streams.len()).sum();
        let mut out = BytesMut::with_capacity(size + 2);
        out.put_slice(&[VERSION, BATCHES]);
        for batch in batches {
            let header = batch.header.encode();
            out.put_u32_le(header.len() as u32);
            out.put_slice(&header);
            out.put_u32_le(batch.payload.len() as u32);
            out.put_slice(&batch.payload);
        }
        out.freeze()
    }

    /// Reads an entry; the payloads are slices of `data`.
    pub fn decode(mut data: Bytes) -> Result<Entry, DecodeError> {
        if data.len() < 2 {
            return Err(DecodeError::Truncated);
        }
        let (version, kind) = (data.get_u8(), data.get_u8());
        match (version, kind) {
            (VERSION, BATCHES) => {
                let mut batches = Vec::new();
                while data.has_remaining() {
                    let header = Header::decode(&take(&mut data)?)?;
                    batches.push(Batch { header, payload: take(&mut data)? });
                }
                Ok(Entry::Batches(batches))
            }
            (VERSION, FLUSHED) if data.len() == 16 => {
                Ok(Entry::Flushed { through: data.get_u64_le(), version: data.get_u64_le() })
            }
            _ => Err(DecodeError::Entry { version, kind }),
        }
    }
}

fn take(data: &mut Bytes) -> Result<Bytes, DecodeError> {
    if data.len() < 4 {
        return Err(DecodeError::Truncated);
    }
    let len = data.get_u32_le() as usize;
    if data.len() < len {
        return Err(DecodeError::Truncated);
    }
    Ok(data.split_to(len))
}

impl Batch {
    /// Decompresses the body.
    pub fn body(&self) -> Result<Vec<u8>, DecodeError> {
        let body = snappy::decompress(&self.payload, self.header.body_len as usize)?;
        if body.len() != self.header.body_len as usize {
            return Err(DecodeError::BodyLength { stated: self.header.body_len as usize, found: body.len() });
        }
        Ok(body)
    }
}

impl Header {
    fn encode(&self) -> Vec<u8> {
        let tenant = self.tenant.as_str().as_bytes();
        let mut out = Vec::with_capacity(64 + tenant.len() + 36 * self.streams.len());
        out.put_u128_le(self.id.0);
        out.put_u8(self.format.code());
        out.put_u8(tenant.len() as u8); // at most 150
        out.put_slice(tenant);
        out.put_u32_le(self.rows);
        out.put_u32_le(self.body_len);
        out.put_i64_le(self.times.min);
        out.put_i64_le(self.times.max);
        out.put_u32_le(self.streams.len() as u32);
        for stream in &self.streams {
            out.put_u128_le(stream.key);
            out.put_u32_le(stream.rows);
            out.put_i64_le(stream.times.min);
            out.put_i64_le(stream.times.max);
        }
        out
    }

    fn decode(mut data: &[u8]) -> Result<Header, DecodeError> {
        let id = BatchId(data.try_get_u128_le()?);
        let code = data.try_get_u8()?;
        let format = Format::from_code(code).ok_or(DecodeError::Format { code })?;
        let len = usize::from(data.try_get_u8()?);
        let name = data.get(..len).ok_or(DecodeError::Truncated)?;
        let name = std::str::from_utf8(name).map_err(|_| DecodeError::Utf8)?;
        let tenant = TenantId::new(name).map_err(|_| DecodeError::Tenant)?;
        data.advance(len);
        let (rows, body_len) = (data.try_get_u32_le()?, data.try_get_u32_le()?);
        let times = TimeRange::new(data.try_get_i64_le()?, data.try_get_i64_le()?);
        let count = data.try_get_u32_le()? as usize;
        if data.remaining() != count.saturating_mul(36) {
            return Err(DecodeError::Truncated);
        }
        let mut streams = Vec::with_capacity(count);
        for _ in 0..count {
            streams.push(StreamHeader {
                key: data.try_get_u128_le()?,
                rows: data.try_get_u32_le()?,
                times: TimeRange::new(data.try_get_i64_le()?, data.try_get_i64_le()?),
            });
        }
        Ok(Header { id, tenant, format, rows, body_len, times, streams })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(streams: usize) -> Batch {
        let body = b"a body that is compressed".repeat(10);
        let stream = StreamHeader { key: 7, rows: 2, times: TimeRange::new(1, 2) };
        Batch {
            header: Header {
                id: BatchId(42),
                tenant: TenantId::anonymous(),
                format: Format::LokiPush,
                rows: 2,
                body_len: body.len() as u32,
                times: TimeRange::new(-5, 9),
                streams: vec![stream; streams],
            },
            payload: snappy::compress(&body).into(),
        }
    }

    #[test]
    fn entries_survive_the_log() {
        for entry in [
            Entry::Batches(vec![]),
            Entry::Batches(vec![batch(0), batch(3)]),
            Entry::Flushed { through: 12, version: 99 },
        ] {
            assert_eq!(Entry::decode(entry.encode()).expect("decodes"), entry);
        }
    }

    #[test]
    fn every_cut_and_every_flip_is_an_error_or_an_entry_but_no_panic() {
        let whole = Entry::Batches(vec![batch(2)]).encode();
        for len in 0..whole.len() {
            if len != 2 {
                assert!(Entry::decode(whole.slice(..len)).is_err(), "cut at {len}");
            }
        }
        for at in 0..whole.len() {
            let mut bytes = whole.to_vec();
            bytes[at] ^= 0x80;
            if let Ok(Entry::Batches(batches)) = Entry::decode(bytes.into()) {
                batches.iter().for_each(|b| drop(b.body()));
            }
        }
    }
}
