//! A frame: bytes followed by their CRC-32C, so that a range read from the middle of a section can be trusted.

use crate::error::Error;

/// Bytes that a checksum adds.
pub const CHECKSUM: usize = 4;

/// Ends the frame that begins at `start`.
pub fn seal(out: &mut Vec<u8>, start: usize) {
    let sum = crc32c::crc32c(&out[start..]);
    out.extend_from_slice(&sum.to_le_bytes());
}

/// The bytes of a frame, once its checksum was found right.
pub fn open(frame: &[u8]) -> Result<&[u8], Error> {
    let (data, sum) = frame.split_last_chunk::<CHECKSUM>().ok_or(Error::Corrupt { why: "a frame ends too early" })?;
    if crc32c::crc32c(data) != u32::from_le_bytes(*sum) {
        return Err(Error::corrupt("a frame's checksum does not match"));
    }
    Ok(data)
}

/// Compresses frames with one reused context.
pub struct Compressor {
    zstd: zstd::bulk::Compressor<'static>,
    scratch: Vec<u8>,
}

/// Level 1: higher ones gain nothing on columns and cost a multiple.
const LEVEL: i32 = 1;

/// The largest output of one frame that a reader accepts.
const MAX_INFLATED: usize = 1 << 30;

impl Compressor {
    pub fn new() -> Result<Compressor, Error> {
        let zstd =
            zstd::bulk::Compressor::new(LEVEL).map_err(|e| Error::Encode { what: "a frame", why: e.to_string() })?;
        Ok(Compressor { zstd, scratch: Vec::new() })
    }

    /// Appends `varint length, 0, bytes` or `varint length, 1, zstd bytes`, whichever is smaller. The reader must know
    /// where it ends.
    pub fn pack(&mut self, out: &mut Vec<u8>, data: &[u8]) -> Result<(), Error> {
        crate::varint::put(out, data.len() as u64);
        if data.len() > 48 {
            self.scratch.clear();
            self.scratch.reserve(zstd::zstd_safe::compress_bound(data.len()));
            self.zstd
                .compress_to_buffer(data, &mut self.scratch)
                .map_err(|e| Error::Encode { what: "a frame", why: e.to_string() })?;
            if self.scratch.len() < data.len() {
                out.push(1);
                out.extend_from_slice(&self.scratch);
                return Ok(());
            }
        }
        out.push(0);
        out.extend_from_slice(data);
        Ok(())
    }
}

/// Reads what `pack` wrote; all of `data` belongs to it.
pub fn unpack(data: &[u8]) -> Result<Vec<u8>, Error> {
    let mut cursor = crate::varint::Cursor(data);
    let len = cursor.count(MAX_INFLATED)?;
    let kind = cursor.byte()?;
    match kind {
        0 if cursor.0.len() == len => Ok(cursor.0.to_vec()),
        1 => {
            // zstd needs at least a byte for 128 KiB, and says how much a frame holds: memory is bounded by both.
            let stated = zstd::zstd_safe::get_frame_content_size(cursor.0).ok().flatten();
            if stated != Some(len as u64) || len as u64 / (1 << 15) > cursor.0.len() as u64 {
                return Err(Error::corrupt("a compressed frame states a wrong length"));
            }
            let inflated =
                block::inflate(cursor.0, len).map_err(|_| Error::corrupt("a compressed frame cannot be inflated"))?;
            if inflated.len() != len {
                return Err(Error::corrupt("a compressed frame has another length than stated"));
            }
            Ok(inflated)
        }
        _ => Err(Error::corrupt("a frame is packed in an unknown way")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_and_damage_is_seen() {
        let mut compressor = Compressor::new().expect("a context");
        for data in [vec![], b"short".to_vec(), b"again and ".repeat(5000), (0..=255).collect()] {
            let mut out = Vec::new();
            compressor.pack(&mut out, &data).expect("packs");
            seal(&mut out, 0);
            assert_eq!(unpack(open(&out).expect("is whole")).expect("unpacks"), data);
            out[0] ^= 1;
            assert!(open(&out).is_err());
        }
        assert!(unpack(&[0xff, 0xff, 0xff, 0xff, 1, 1, 9]).is_err());
        assert!(unpack(&[3, 0, 9]).is_err());
        assert!(open(&[1, 2]).is_err());
    }
}
