//! Gzip and raw deflate bodies, inflated up to a limit and not a byte further.

use crate::error::DecodeError;
use flate2::read::{DeflateDecoder, MultiGzDecoder};
use std::io::Read;

/// Inflates a gzip body of any number of members; one that gives more than `limit` bytes is refused.
pub fn decompress(data: &[u8], limit: usize) -> Result<Vec<u8>, DecodeError> {
    inflate(MultiGzDecoder::new(data), data.len(), limit)
}

/// Inflates a body of `Content-Encoding: deflate` as Go's senders write it: raw deflate, without a zlib header.
pub fn decompress_deflate(data: &[u8], limit: usize) -> Result<Vec<u8>, DecodeError> {
    inflate(DeflateDecoder::new(data), data.len(), limit)
}

fn inflate(decoder: impl Read, packed: usize, limit: usize) -> Result<Vec<u8>, DecodeError> {
    let mut out = Vec::with_capacity(packed.saturating_mul(4).min(limit));
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    decoder.take(most).read_to_end(&mut out).map_err(|e| DecodeError::Gzip { why: e.to_string() })?;
    if out.len() > limit {
        return Err(DecodeError::TooLarge { len: out.len(), limit });
    }
    Ok(out)
}

/// Compresses into one gzip member, quickly rather than well.
pub fn compress(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len() / 3 + 64);
    let mut encoder = flate2::read::GzEncoder::new(data, flate2::Compression::fast());
    // Reading from memory does not fail.
    let _ = encoder.read_to_end(&mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_running_length_is_held_to_the_limit() {
        let packed = compress(&[7u8; 100_000]);
        assert_eq!(decompress(&packed, 100_000).map(|d| d.len()), Ok(100_000));
        let limit = 99_999;
        assert_eq!(decompress(&packed, limit), Err(DecodeError::TooLarge { len: 100_000, limit }));
        let twice = [packed.as_slice(), &packed].concat();
        assert_eq!(decompress(&twice, 200_000).map(|d| d.len()), Ok(200_000));
        assert!(matches!(decompress(&twice, 150_000), Err(DecodeError::TooLarge { .. })));
    }

    #[test]
    fn every_cut_is_refused() {
        let packed = compress(b"some lines of text, some lines of text");
        for len in 0..packed.len() {
            assert!(decompress(&packed[..len], 1 << 20).is_err(), "cut at {len}");
        }
        assert!(decompress(b"no gzip at all", 1 << 20).is_err());
    }

    #[test]
    fn raw_deflate_is_read() {
        let mut packed = Vec::new();
        let mut encoder = flate2::read::DeflateEncoder::new(&b"hello hello hello"[..], flate2::Compression::fast());
        encoder.read_to_end(&mut packed).expect("packs");
        assert_eq!(decompress_deflate(&packed, 100).as_deref(), Ok(&b"hello hello hello"[..]));
        assert!(decompress_deflate(&packed, 5).is_err());
        assert!(decompress_deflate(&[0xff; 9], 500).is_err());
    }
}
