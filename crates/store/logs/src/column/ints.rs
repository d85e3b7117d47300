//! Columns of whole numbers, page by page.
//!
//! A column is one of: constant; packed, where each page is constant, runs or bit-packed; pco, where the pages share
//! one description of the numbers. See FORMAT.md.

use crate::error::Error;
use crate::varint::{self, Cursor};
use pco::wrapped::{ChunkDecompressor, FileCompressor, FileDecompressor};
use pco::{ChunkConfig, DeltaSpec, ModeSpec, PagingSpec};

/// A column as it is written: the descriptor goes into the group's header, the pages beside those of other columns.
#[derive(Debug, Default)]
pub struct Encoded {
    pub descriptor: Vec<u8>,
    /// As many as there are pages, or none when the descriptor says it all.
    pub pages: Vec<Vec<u8>>,
}

const CONSTANT: u8 = 0;
const PACKED: u8 = 1;
const PCO: u8 = 2;

const PAGE_CONSTANT: u8 = 0;
const PAGE_RUNS: u8 = 1;
const PAGE_BITS: u8 = 2;

/// Numbers below which pco's description costs more than it gains.
const FEW: usize = 128;
/// pco's effort: higher ones cost more than they gain at flush.
const LEVEL: usize = 4;

/// Encodes numbers; `ends` says where each page ends.
pub fn encode(values: &[i64], ends: &[u32]) -> Result<Encoded, Error> {
    let Some(first) = values.first() else {
        return Ok(Encoded { descriptor: vec![CONSTANT, 0], pages: Vec::new() });
    };
    let (mut min, mut max, mut runs, mut last) = (*first, *first, 1usize, *first);
    for value in values {
        min = min.min(*value);
        max = max.max(*value);
        runs += usize::from(*value != last);
        last = *value;
    }
    if min == max {
        let mut descriptor = vec![CONSTANT];
        varint::put_signed(&mut descriptor, min);
        return Ok(Encoded { descriptor, pages: Vec::new() });
    }
    let range = max.wrapping_sub(min) as u64;
    if values.len() < FEW || range < 2 || runs * 24 < values.len() {
        return Ok(packed(values, ends));
    }
    pco(values, ends)
}

fn packed(values: &[i64], ends: &[u32]) -> Encoded {
    let pages = slices(values, ends).map(pack_page).collect();
    Encoded { descriptor: vec![PACKED], pages }
}

fn slices<'a>(values: &'a [i64], ends: &'a [u32]) -> impl Iterator<Item = &'a [i64]> {
    let starts = [0].into_iter().chain(ends.iter().copied());
    starts.zip(ends).map(|(start, end)| &values[start as usize..*end as usize])
}

fn pack_page(values: &[i64]) -> Vec<u8> {
    let (Some(min), Some(max)) = (values.iter().min(), values.iter().max()) else {
        return vec![PAGE_CONSTANT, 0];
    };
    let mut out = Vec::new();
    if min == max {
        out.push(PAGE_CONSTANT);
        varint::put_signed(&mut out, *min);
        return out;
    }
    let width = 64 - (max.wrapping_sub(*min) as u64).leading_zeros() as usize;
    let bits = 2 + (values.len() * width).div_ceil(8);
    let runs = values.chunk_by(|a, b| a == b).count();
    if runs * 2 < bits {
        out.push(PAGE_RUNS);
        for run in values.chunk_by(|a, b| a == b) {
            varint::put(&mut out, run.len() as u64);
            varint::put(&mut out, run[0].wrapping_sub(*min) as u64);
            if out.len() > bits + 10 {
                break;
            }
        }
        varint::put_signed(&mut out, *min);
        if out.len() <= bits + 10 {
            // The base comes first, so that a reader needs one pass.
            let mut page = vec![PAGE_RUNS];
            varint::put_signed(&mut page, *min);
            let end = out.len() - (page.len() - 1);
            page.extend_from_slice(&out[1..end]);
            return page;
        }
        out.clear();
    }
    out.push(PAGE_BITS);
    out.push(width as u8);
    varint::put_signed(&mut out, *min);
    pack_bits(values, *min, width, &mut out);
    out
}

fn pack_bits(values: &[i64], min: i64, width: usize, out: &mut Vec<u8>) {
    let (mut pending, mut held) = (0u128, 0usize);
    for value in values {
        pending |= u128::from(value.wrapping_sub(min) as u64) << held;
        held += width;
        while held >= 8 {
            out.push(pending as u8);
            pending >>= 8;
            held -= 8;
        }
    }
    if held > 0 {
        out.push(pending as u8);
    }
}

fn unpack_bits(data: &[u8], min: i64, width: usize, count: usize, out: &mut Vec<i64>) -> Result<(), Error> {
    if data.len() != (count * width).div_ceil(8) || width > 64 {
        return Err(Error::corrupt("a bit-packed page has a wrong length"));
    }
    let mask = if width == 64 { u64::MAX } else { (1u64 << width) - 1 };
    out.reserve(count);
    let (mut pending, mut held) = (0u128, 0usize);
    let mut bytes = data.iter();
    for _ in 0..count {
        while held < width {
            pending |= u128::from(*bytes.next().unwrap_or(&0)) << held;
            held += 8;
        }
        out.push(min.wrapping_add((pending as u64 & mask) as i64));
        pending >>= width;
        held -= width;
    }
    Ok(())
}

fn pco(values: &[i64], ends: &[u32]) -> Result<Encoded, Error> {
    let error = |e: pco::errors::PcoError| Error::Encode { what: "a column of numbers", why: e.to_string() };
    let sizes: Vec<usize> = slices(values, ends).map(<[i64]>::len).collect();
    let delta = if gains_by_delta(values) { DeltaSpec::TryConsecutive(1) } else { DeltaSpec::NoOp };
    let config = ChunkConfig::default()
        .with_compression_level(LEVEL)
        .with_mode_spec(ModeSpec::Classic)
        .with_delta_spec(delta)
        .with_paging_spec(PagingSpec::Exact(sizes.iter().copied().filter(|n| *n > 0).collect()));
    let file = FileCompressor::default();
    let mut chunk = file.chunk_compressor(values, &config).map_err(error)?;
    let mut descriptor = file.write_header(vec![PCO]).map_err(error)?;
    descriptor = chunk.write_meta(descriptor).map_err(error)?;
    let mut pages = Vec::with_capacity(sizes.len());
    let mut next = 0;
    for size in sizes {
        if size == 0 {
            pages.push(Vec::new());
        } else {
            pages.push(chunk.write_page(next, Vec::new()).map_err(error)?);
            next += 1;
        }
    }
    Ok(Encoded { descriptor, pages })
}

/// Looks at a thousand neighbours whether differences are smaller than the values' own spread.
fn gains_by_delta(values: &[i64]) -> bool {
    let step = (values.len() / 8).max(1);
    let (mut plain, mut delta) = (0u32, 0u32);
    for start in (0..values.len()).step_by(step) {
        let sample = &values[start..values.len().min(start + 128)];
        let middle = sample[sample.len() / 2];
        for pair in sample.windows(2) {
            plain += 64 - varint::zigzag(pair[1].wrapping_sub(middle)).leading_zeros();
            delta += 64 - varint::zigzag(pair[1].wrapping_sub(pair[0])).leading_zeros();
        }
    }
    // Differences of random numbers spread a little wider than the numbers.
    u64::from(delta) * 20 < u64::from(plain) * 19
}

/// Decodes the pages of one column.
pub enum Decoder {
    Constant(i64),
    Packed,
    /// The description, and what is made of it when the first page is decoded.
    Pco(Vec<u8>, Option<Box<ChunkDecompressor<i64>>>),
}

impl Decoder {
    pub fn new(descriptor: &[u8]) -> Result<Decoder, Error> {
        let mut cursor = Cursor(descriptor);
        match cursor.byte()? {
            CONSTANT => Ok(Decoder::Constant(cursor.signed()?)),
            PACKED => Ok(Decoder::Packed),
            PCO => Ok(Decoder::Pco(cursor.0.to_vec(), None)),
            _ => Err(Error::corrupt("a column of numbers is encoded in an unknown way")),
        }
    }

    pub fn describe(&self) -> &'static str {
        match self {
            Decoder::Constant(_) => "constant",
            Decoder::Packed => "packed",
            Decoder::Pco(..) => "pco",
        }
    }

    /// Whether the column has page bytes at all.
    pub fn has_pages(&self) -> bool {
        !matches!(self, Decoder::Constant(_))
    }

    /// Replaces `out` by the `count` numbers of a page.
    pub fn page(&mut self, page: &[u8], count: usize, out: &mut Vec<i64>) -> Result<(), Error> {
        out.clear();
        match self {
            Decoder::Constant(value) => out.resize(count, *value),
            Decoder::Packed => unpack_page(page, count, out)?,
            Decoder::Pco(..) if count == 0 => {}
            Decoder::Pco(description, chunk) => {
                let chunk = match chunk {
                    Some(chunk) => chunk,
                    None => chunk.insert(read_description(description)?),
                };
                let error = |_| Error::Corrupt { why: "a pco page cannot be decoded" };
                out.resize(count, 0);
                let mut page = chunk.page_decompressor(page, count).map_err(error)?;
                let progress = page.read(out).map_err(error)?;
                if progress.n_processed != count {
                    return Err(Error::corrupt("a pco page has too few numbers"));
                }
            }
        }
        Ok(())
    }
}

fn read_description(description: &[u8]) -> Result<Box<ChunkDecompressor<i64>>, Error> {
    let error = |_| Error::Corrupt { why: "a column's pco description cannot be read" };
    let (file, rest) = FileDecompressor::new(description).map_err(error)?;
    let (chunk, _) = file.chunk_decompressor::<i64, _>(rest).map_err(error)?;
    Ok(Box::new(chunk))
}

fn unpack_page(page: &[u8], count: usize, out: &mut Vec<i64>) -> Result<(), Error> {
    let mut cursor = Cursor(page);
    match cursor.byte()? {
        PAGE_CONSTANT => out.resize(count, cursor.signed()?),
        PAGE_RUNS => {
            let min = cursor.signed()?;
            while !cursor.is_empty() {
                let len = cursor.count(count - out.len())?;
                let value = min.wrapping_add(cursor.varint()? as i64);
                out.resize(out.len() + len, value);
            }
            if out.len() != count {
                return Err(Error::corrupt("the runs of a page have too few numbers"));
            }
        }
        PAGE_BITS => {
            let width = usize::from(cursor.byte()?);
            let min = cursor.signed()?;
            unpack_bits(cursor.0, min, width, count, out)?;
        }
        _ => return Err(Error::corrupt("a page of numbers is packed in an unknown way")),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(values: &[i64], page: usize) {
        let ends: Vec<u32> =
            (1..=values.len().div_ceil(page).max(1)).map(|n| (n * page).min(values.len()) as u32).collect();
        let encoded = encode(values, &ends).expect("encodes");
        let mut decoder = Decoder::new(&encoded.descriptor).expect("opens");
        let mut out = Vec::new();
        for (at, want) in slices(values, &ends).enumerate() {
            let bytes = encoded.pages.get(at).map_or(&[][..], |page| page);
            decoder.page(bytes, want.len(), &mut out).expect("decodes");
            assert_eq!(out, want);
            for len in 0..bytes.len().min(40) {
                let _ = decoder.page(&bytes[..len], want.len(), &mut out);
            }
        }
    }

    #[test]
    fn columns_come_back() {
        check(&[], 10);
        check(&[7; 1000], 300);
        check(&[i64::MIN, i64::MAX, 0, -1], 3);
        check(&(0..5000).map(|n| n % 3).collect::<Vec<_>>(), 1000);
        check(&(0..5000).map(|n| n / 700).collect::<Vec<_>>(), 1000);
        check(&(0..5000).map(|n: i64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15u64 as i64)).collect::<Vec<_>>(), 1024);
        check(&(0..5000).map(|n| 1_795_313_495_000_000_000 + n * 1000 + n % 7).collect::<Vec<_>>(), 1024);
    }

    proptest! {
        #[test]
        fn any_numbers_come_back(values in prop::collection::vec(prop_oneof![any::<i64>(), 0i64..4, -1000i64..1000], 0..600),
            page in 1usize..400) {
            check(&values, page);
        }

        #[test]
        fn any_bytes_decode_or_fail(descriptor in prop::collection::vec(any::<u8>(), 0..40), page in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(mut decoder) = Decoder::new(&descriptor) {
                let _ = decoder.page(&page, 300, &mut Vec::new());
            }
        }
    }
}
