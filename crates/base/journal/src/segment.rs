//! A segment file: its header, and reading one record of it.

use crate::disk::Disk;
use crate::error::Error;
use crate::log::Place;
use crate::record::{HEADER, Header, Salt, u32_at, u64_at};
use bytes::Bytes;
use rustix::fs::SeekFrom;
use rustix::io::Errno;
use std::fmt;
use std::fs::File;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The length of a segment's header; records begin after it.
///
/// ```text
///  0 magic [8], 8 number u64, 16 mark u64, 24 capacity u64, 32 flags u32 (1: small, from the reserve), 36 crc32c u32
/// ```
pub(crate) const START: u32 = 64;
const MAGIC: &[u8; 8] = b"OUROSEG1";

pub(crate) struct Segment {
    pub salt: Salt,
    pub capacity: u64,
    /// Made for urgent rounds while there was no room for a whole one: others don't go in.
    pub small: bool,
    pub file: File,
    pub path: PathBuf,
}

impl Segment {
    pub(crate) fn number(&self) -> u32 {
        self.salt.number
    }

    pub(crate) fn name(dir: &Path, number: u32) -> PathBuf {
        dir.join(format!("{number:010}.log"))
    }

    pub(crate) fn header(&self) -> [u8; START as usize] {
        let mut out = [0; START as usize];
        out[..8].copy_from_slice(MAGIC);
        out[8..16].copy_from_slice(&u64::from(self.salt.number).to_le_bytes());
        out[16..24].copy_from_slice(&self.salt.mark.to_le_bytes());
        out[24..32].copy_from_slice(&self.capacity.to_le_bytes());
        out[32..36].copy_from_slice(&u32::from(self.small).to_le_bytes());
        let sum = crc32c::crc32c(&out[..36]);
        out[36..40].copy_from_slice(&sum.to_le_bytes());
        out
    }

    /// Opens a file whose name says `number`.
    pub(crate) fn open(path: &Path, number: u32) -> Result<Segment, Error> {
        let options = std::fs::OpenOptions::new().read(true).write(true).open(path);
        let file = options.map_err(Error::io("open", path))?;
        let mut bytes = [0; START as usize];
        let read = read_at(&file, 0, START as usize).map_err(Error::io("read", path))?;
        bytes[..read.len()].copy_from_slice(&read);
        if bytes[..8] != *MAGIC || crc32c::crc32c(&bytes[..36]) != u32_at(&bytes, 36) {
            return Err(Error::corrupt(number, 0, "its header is not valid"));
        }
        if u64_at(&bytes, 8) != u64::from(number) {
            let what = format!("its header has the number {}", u64_at(&bytes, 8));
            return Err(Error::corrupt(number, 8, what));
        }
        let salt = Salt { number, mark: u64_at(&bytes, 16) };
        let (capacity, small) = (u64_at(&bytes, 24), u32_at(&bytes, 32) & 1 == 1);
        if capacity > u64::from(u32::MAX) {
            return Err(Error::corrupt(number, 24, format!("its header has a capacity of {capacity} bytes")));
        }
        Ok(Segment { salt, capacity, small, file, path: path.to_owned() })
    }

    pub(crate) fn write(&self, disk: &Disk, bytes: &[u8], offset: u64) -> io::Result<()> {
        disk.write(&self.file, &mut [IoSlice::new(bytes)], offset)
    }

    /// The file's length; less than the capacity if it was cut.
    pub(crate) fn len(&self) -> Result<u64, Error> {
        Ok(self.file.metadata().map_err(Error::io("open", &self.path))?.len())
    }

    /// Up to `len` bytes; fewer only at the end of the file.
    pub(crate) fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>, Error> {
        read_at(&self.file, offset, len).map_err(Error::io("read", &self.path))
    }

    /// The parts of the file that were ever written; the rest is space that was only preallocated, and reads as zeros.
    /// To be asked before the file is read: what the kernel reads ahead counts as written.
    pub(crate) fn written(&self) -> Vec<Range<u64>> {
        let mut parts = Vec::new();
        let mut at = 0;
        loop {
            let start = match rustix::fs::seek(&self.file, SeekFrom::Data(at)) {
                Ok(start) => start,
                Err(Errno::NXIO) => return parts,
                // A file system that can't tell.
                Err(_) => at,
            };
            let end = rustix::fs::seek(&self.file, SeekFrom::Hole(start)).unwrap_or(self.capacity);
            if end <= start {
                return parts;
            }
            parts.push(start..end);
            at = end;
        }
    }

    /// The record at a place, verified.
    pub(crate) fn record(&self, place: Place) -> Result<(Header, Bytes), Error> {
        let corrupt = |what: &str| Error::corrupt(self.number(), u64::from(place.offset), what);
        let bytes = Bytes::from(self.read(u64::from(place.offset), HEADER + place.len as usize)?);
        let header = Header::decode(&bytes, self.salt).ok_or_else(|| corrupt("a record's header is not valid"))?;
        if header.len != place.len || bytes.len() != HEADER + place.len as usize {
            return Err(corrupt("a record has another length than its index says"));
        }
        let payload = bytes.slice(HEADER..);
        if self.salt.sum(&payload) != header.payload_sum {
            return Err(corrupt("a record's payload does not match its checksum"));
        }
        Ok((header, payload))
    }
}

/// Reads without zeroing the buffer first.
fn read_at(file: &File, offset: u64, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(len);
    while bytes.len() < len {
        let at = offset + bytes.len() as u64;
        match rustix::io::pread(file, rustix::buffer::spare_capacity(&mut bytes), at) {
            Ok(0) => break,
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    bytes.truncate(len);
    Ok(bytes)
}

/// An entry's place. Stays readable after the entry was compacted, and after the journal was closed: the file is not
/// used again while a slice of it is held.
#[derive(Clone)]
pub struct Slice {
    segment: Arc<Segment>,
    offset: u32,
    len: u32,
}

impl Slice {
    pub(crate) fn new(segment: Arc<Segment>, place: Place) -> Slice {
        Slice { segment, offset: place.offset, len: place.len }
    }

    /// The entry's payload. Blocks on the disk unless the page cache has it.
    pub fn read(&self) -> Result<Bytes, Error> {
        Ok(self.record()?.1)
    }

    pub(crate) fn record(&self) -> Result<(Header, Bytes), Error> {
        self.segment.record(Place { segment: self.segment.number(), offset: self.offset, len: self.len })
    }

    pub(crate) fn segment(&self) -> u32 {
        self.segment.number()
    }

    pub(crate) fn offset(&self) -> u64 {
        u64::from(self.offset)
    }

    /// The payload's length in bytes.
    pub fn len(&self) -> usize {
        self.len as usize
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl fmt::Debug for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slice({}@{}+{})", self.segment.number(), self.offset, self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: impl Fn(&mut Vec<u8>), number: u32, expected: Option<&str>) {
        let dir = tempfile::tempdir().unwrap();
        let path = Segment::name(dir.path(), 7);
        let file = File::create_new(&path).unwrap();
        let salt = Salt { number: 7, mark: 99 };
        let mut bytes = Segment { salt, capacity: 4096, small: true, file, path: path.clone() }.header().to_vec();
        change(&mut bytes);
        std::fs::write(&path, bytes).unwrap();
        match (Segment::open(&path, number), expected) {
            (Ok(segment), None) => assert_eq!((segment.salt, segment.capacity, segment.small), (salt, 4096, true)),
            (Err(error), Some(expected)) => assert!(error.to_string().contains(expected), "{error}"),
            (other, _) => panic!("{:?}", other.map(|segment| segment.salt)),
        }
    }

    #[test]
    fn headers_are_verified() {
        check(|_| {}, 7, None);
        check(|bytes| bytes.clear(), 7, Some("segment 7 is corrupt at byte 0: its header is not valid"));
        check(|bytes| bytes.truncate(39), 7, Some("its header is not valid"));
        check(|_| {}, 8, Some("segment 8 is corrupt at byte 8: its header has the number 7"));
        for at in 0..40 {
            check(|bytes| bytes[at] ^= 4, 7, Some("its header is not valid"));
        }
    }
}
