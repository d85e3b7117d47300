//! Snappy's raw format, as agents send it, with the declared length checked before anything is inflated.

use crate::error::DecodeError;

/// Decompresses at most `limit` bytes; a body that declares more is refused before it is inflated.
pub fn decompress(data: &[u8], limit: usize) -> Result<Vec<u8>, DecodeError> {
    let error = |e: snap::Error| DecodeError::Snappy { why: e.to_string() };
    let len = snap::raw::decompress_len(data).map_err(error)?;
    if len > limit {
        return Err(DecodeError::TooLarge { len, limit });
    }
    // No input inflates more than 64 bytes for 3 (a copy element), so a small body cannot claim a large buffer.
    if len > data.len().saturating_mul(64) {
        return Err(DecodeError::Snappy {
            why: format!("{} bytes cannot hold the {len} that they declare", data.len()),
        });
    }
    snap::raw::Decoder::new().decompress_vec(data).map_err(error)
}

pub fn compress(data: &[u8]) -> Vec<u8> {
    // It fails only for inputs over 4 GiB, which no limit lets in.
    snap::raw::Encoder::new().compress_vec(data).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_checked_first() {
        let packed = compress(&[7u8; 100_000]);
        assert_eq!(decompress(&packed, 100_000).map(|d| d.len()), Ok(100_000));
        assert_eq!(decompress(&packed, 99_999), Err(DecodeError::TooLarge { len: 100_000, limit: 99_999 }));
        let bomb = [0xff, 0xff, 0xff, 0x7f, 0]; // declares 256 MiB in five bytes
        assert!(matches!(decompress(&bomb, usize::MAX), Err(DecodeError::Snappy { .. })));
        assert!(decompress(b"", 10).is_err());
        assert!(decompress(b"\x05hello", 10).is_err());
    }
}
