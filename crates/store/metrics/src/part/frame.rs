//! A run of bytes at rest: as it is, or by zstd where that is smaller.

use crate::bytes_io::{Cursor, put_varint};
use crate::error::{Error, corrupt};
use std::borrow::Cow;

const RAW: u8 = 0;
const ZSTD: u8 = 1;
/// No frame holds more than this, and none inflates by more than that.
const MAX_LEN: usize = 256 << 20;
const MAX_RATIO: usize = 50_000;
/// Shorter runs are not worth a try.
const WORTH: usize = 48;

/// Compresses frames with one set of buffers.
pub struct Frames {
    zstd: zstd::bulk::Compressor<'static>,
}

impl Frames {
    pub fn new(level: i32) -> Result<Frames, Error> {
        let zstd = zstd::bulk::Compressor::new(level).map_err(|e| Error::Compress { why: e.to_string() })?;
        Ok(Frames { zstd })
    }

    /// Appends a frame: a method byte; for zstd the length of what it holds; then the bytes up to the frame's end.
    pub fn put(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        if data.len() > MAX_LEN {
            return Err(Error::Compress {
                why: format!("{} bytes are more than a frame holds, {MAX_LEN}", data.len()),
            });
        }
        if data.len() >= WORTH {
            let packed = self.zstd.compress(data).map_err(|e| Error::Compress { why: e.to_string() })?;
            if packed.len() + 4 < data.len() && data.len() <= packed.len() * MAX_RATIO {
                out.push(ZSTD);
                put_varint(out, data.len() as u64);
                out.extend_from_slice(&packed);
                return Ok(());
            }
        }
        out.push(RAW);
        out.extend_from_slice(data);
        Ok(())
    }
}

/// What a frame holds.
pub fn open(frame: &[u8]) -> Result<Cow<'_, [u8]>, Error> {
    let mut cursor = Cursor::new(frame);
    match cursor.u8()? {
        RAW => Ok(Cow::Borrowed(cursor.take(cursor.len())?)),
        ZSTD => {
            let len = cursor.varint()? as usize;
            let packed = cursor.take(cursor.len())?;
            if len > MAX_LEN || len > packed.len().saturating_mul(MAX_RATIO) {
                return corrupt("a frame declares more than it can hold");
            }
            match block::inflate(packed, len) {
                Ok(data) if data.len() == len => Ok(Cow::Owned(data)),
                _ => corrupt("a frame does not decompress"),
            }
        }
        _ => corrupt("a frame has an unknown method"),
    }
}

/// Compares a checksum. A fuzzer, which would hardly ever guess one, gets past it.
#[allow(unexpected_cfgs)] // cargo-fuzz sets `fuzzing`
pub fn check(data: &[u8], crc: u32) -> Result<(), Error> {
    if cfg!(fuzzing) || crc32c::crc32c(data) == crc { Ok(()) } else { corrupt("a checksum is wrong") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_hold_what_was_put() {
        let mut frames = Frames::new(3).expect("zstd");
        let noise: Vec<u8> = (0..1000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        for data in [vec![], vec![1, 2, 3], vec![7; 100_000], noise] {
            let mut out = Vec::new();
            frames.put(&data, &mut out).expect("compresses");
            assert_eq!(open(&out).expect("opens").as_ref(), data);
        }
        assert!(open(&[]).is_err());
        assert!(open(&[9]).is_err());
        assert!(open(&[1, 0xff, 0xff, 0xff, 0x7f, 1]).is_err());
    }
}
