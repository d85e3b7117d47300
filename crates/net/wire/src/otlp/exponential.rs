//! Native histograms of OTLP's exponential ones.
//!
//! Both have buckets at powers of 2^(2^-scale), but OTLP's bucket *i* ends where Prometheus's *i* + 1 does, and scales
//! over 8 do not exist in Prometheus: buckets are merged until the scale is 8.

use super::metrics::{Point, STALE};
use crate::error::DecodeError;
use crate::protobuf::{Field, put_bytes, put_double, put_sint, put_uint, put_varint, zigzagged};
use model::histogram::ResetHint;

const MAX_SCALE: i32 = 8;
const MIN_SCALE: i32 = -4;

/// The threshold where a sender states none, as Prometheus has it.
const ZERO_THRESHOLD: f64 = 1e-128;

/// Buckets without counts that are written rather than beginning another span.
const GAP: i64 = 2;

/// Writes the histogram message of a point's exponential histogram; the error names what cannot be told in Prometheus.
pub fn write(point: &Point<'_>, reset: ResetHint, out: &mut Vec<u8>) -> Result<Result<(), String>, DecodeError> {
    let mut parts = Parts::default();
    for part in point.fields {
        let part = part?;
        match part.number {
            4 => parts.count = part.fixed64()?,
            5 => parts.sum = Some(part.double()?),
            6 => parts.scale = part.sint32()?,
            7 => parts.zero_count = part.fixed64()?,
            8 => parts.positive = Some(part),
            9 => parts.negative = Some(part),
            14 => parts.zero_threshold = part.double()?,
            _ => {}
        }
    }
    let scale = parts.scale;
    if scale < MIN_SCALE {
        return Ok(Err(format!("scale {scale} of an exponential histogram is under {MIN_SCALE}, the least there is")));
    }
    let shift = (scale - MAX_SCALE).max(0);
    put_uint(out, 1, parts.count);
    put_double(out, 3, if point.stale { STALE } else { parts.sum.unwrap_or(0.0) });
    put_sint(out, 4, i64::from(scale.min(MAX_SCALE)));
    put_double(out, 5, if parts.zero_threshold > 0.0 { parts.zero_threshold } else { ZERO_THRESHOLD });
    put_uint(out, 6, parts.zero_count);
    for (buckets, spans, deltas) in [(parts.negative, 8, 9), (parts.positive, 11, 12)] {
        if let Some(buckets) = buckets.filter(|_| !point.stale) {
            let sorted = Buckets::read(&buckets, shift)?;
            let Some(sorted) = sorted else {
                return Ok(Err("a bucket's index of an exponential histogram is out of range".to_owned()));
            };
            sorted.write(out, spans, deltas);
        }
    }
    put_uint(out, 14, u64::from(reset.code()));
    put_uint(out, 15, point.time as u64);
    if point.start != 0 {
        put_uint(out, 17, point.start as u64);
    }
    Ok(Ok(()))
}

#[derive(Default)]
struct Parts<'a> {
    count: u64,
    sum: Option<f64>,
    scale: i32,
    zero_count: u64,
    zero_threshold: f64,
    positive: Option<Field<'a>>,
    negative: Option<Field<'a>>,
}

/// Prometheus's indices with counts, ascending; none is 0.
struct Buckets(Vec<(i32, u64)>);

impl Buckets {
    /// `None` when an index does not fit.
    fn read(field: &Field<'_>, shift: i32) -> Result<Option<Buckets>, DecodeError> {
        let mut offset = 0i64;
        for part in field.message()? {
            let part = part?;
            if part.number == 1 {
                offset = i64::from(part.sint32()?);
            }
        }
        let (mut at, mut fits, mut buckets) = (offset, true, Vec::<(i32, u64)>::new());
        for part in field.message()? {
            let part = part?;
            if part.number != 2 {
                continue;
            }
            part.varints(|count| {
                // A shift of over 32 bits leaves the sign, as one of 63 does.
                let index = i32::try_from((at >> shift.min(63)) + 1);
                at += 1;
                match (index, buckets.last_mut()) {
                    (Ok(_), _) if count == 0 => {}
                    (Ok(index), Some((last, sum))) if *last == index => *sum = sum.saturating_add(count),
                    (Ok(index), _) => buckets.push((index, count)),
                    (Err(_), _) => fits &= count == 0,
                }
                Ok(())
            })?;
        }
        Ok(fits.then_some(Buckets(buckets)))
    }

    fn write(&self, out: &mut Vec<u8>, spans: u32, deltas: u32) {
        let (mut packed, mut before) = (Vec::new(), 0i64);
        let mut put = |count: u64| {
            put_varint(&mut packed, zigzagged(i64::try_from(count).unwrap_or(i64::MAX) - before));
            before = i64::try_from(count).unwrap_or(i64::MAX);
        };
        // A span's offset is what lies between it and the end of the one before; of the first, its index.
        let (mut end, mut offset, mut length) = (0i64, 0i64, 0u64);
        let mut all = Vec::new();
        for (index, count) in &self.0 {
            let gap = i64::from(*index) - end;
            if length == 0 || gap > GAP {
                if length > 0 {
                    all.push((offset, length));
                }
                (offset, length) = (gap, 0);
            } else {
                (0..gap).for_each(|_| put(0));
                length += gap as u64;
            }
            put(*count);
            length += 1;
            end = i64::from(*index) + 1;
        }
        if length > 0 {
            all.push((offset, length));
        }
        let mut span = Vec::new();
        for (offset, length) in all {
            span.clear();
            put_sint(&mut span, 1, offset);
            put_uint(&mut span, 2, length);
            put_bytes(out, spans, &span);
        }
        if !packed.is_empty() {
            put_bytes(out, deltas, &packed);
        }
    }
}
