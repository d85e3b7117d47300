//! Zstandard bodies, inflated up to a limit and not a byte further.

use crate::error::DecodeError;
use ::zstd::stream::read::Decoder;
use std::io::Read;

/// A frame whose window is larger than 2 to the power of this is refused, as RFC 9659 has it for HTTP: 8 MiB.
const WINDOW_LOG: u32 = 23;

/// Inflates a body of any number of frames; one that gives more than `limit` bytes is refused.
pub fn decompress(data: &[u8], limit: usize) -> Result<Vec<u8>, DecodeError> {
    let error = |error: std::io::Error| DecodeError::Zstd { why: error.to_string() };
    let mut decoder = Decoder::with_buffer(data).map_err(error)?;
    decoder.window_log_max(WINDOW_LOG).map_err(error)?;
    let mut out = Vec::with_capacity(data.len().saturating_mul(4).min(limit));
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    decoder.take(most).read_to_end(&mut out).map_err(error)?;
    match out.len() > limit {
        true => Err(DecodeError::TooLarge { len: out.len(), limit }),
        false => Ok(out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compress(data: &[u8]) -> Vec<u8> {
        ::zstd::encode_all(data, 3).expect("compresses")
    }

    #[test]
    fn the_running_length_is_held_to_the_limit() {
        let packed = compress(&[7u8; 100_000]);
        assert_eq!(decompress(&packed, 100_000).map(|d| d.len()), Ok(100_000));
        assert_eq!(decompress(&packed, 99_999), Err(DecodeError::TooLarge { len: 100_000, limit: 99_999 }));
        let twice = [packed.as_slice(), &packed].concat();
        assert_eq!(decompress(&twice, 200_000).map(|d| d.len()), Ok(200_000));
        assert!(matches!(decompress(&twice, 150_000), Err(DecodeError::TooLarge { .. })));
    }

    #[test]
    fn cuts_and_large_windows_are_refused() {
        let packed = compress(b"some lines of text, some lines of text");
        for len in 1..packed.len() {
            assert!(decompress(&packed[..len], 1 << 20).is_err(), "cut at {len}");
        }
        assert!(decompress(b"no zstd at all", 1 << 20).is_err());
        let mut encoder = ::zstd::Encoder::new(Vec::new(), 1).expect("an encoder");
        encoder.window_log(27).expect("a window");
        std::io::copy(&mut std::io::repeat(7).take(1 << 20), &mut encoder).expect("compresses");
        let packed = encoder.finish().expect("compresses");
        assert!(matches!(decompress(&packed, 1 << 21), Err(DecodeError::Zstd { .. })));
    }

    proptest::proptest! {
        #[test]
        fn what_was_compressed_comes_back(data: Vec<u8>, flip: usize) {
            let mut packed = compress(&data);
            proptest::prop_assert_eq!(decompress(&packed, data.len()), Ok(data));
            let at = flip % packed.len();
            packed[at] ^= 1 << (flip % 8);
            let inflated = decompress(&packed, 1 << 16).map_or(0, |data| data.len());
            proptest::prop_assert!(inflated <= 1 << 16);
        }
    }
}
