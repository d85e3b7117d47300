//! Cuts samples out of a remote write body, and splits one, leaving everything else byte for byte.

use super::Version;
use super::series::{Numbers, SAMPLES, V1, V2};
use super::symbols::SYMBOLS;
use crate::error::DecodeError;
use crate::protobuf::{Field, Fields, put_bytes};

/// What to cut out of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Refused {
    /// Which series of the body, from 0.
    pub series: u32,
    pub kind: Kind,
    /// Which sample of this kind within the series, from 0; not looked at for a whole series.
    pub sample: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// The whole series.
    Series,
    Float,
    Histogram,
}

/// The same body without those samples and series. A series that loses all samples stays, with what else it carries.
/// The body must be one that `series` has walked to its end; of another one, what follows the defect is left out.
pub fn without(body: &[u8], version: Version, refused: &[Refused]) -> Vec<u8> {
    let mut refused = refused.to_vec();
    refused.sort_unstable();
    let mut left = refused.as_slice();
    let mut out = Vec::with_capacity(body.len());
    let mut series = 0;
    each_field(body, |field, raw| {
        if field.number != version.series_field() {
            return out.extend_from_slice(raw);
        }
        let (here, later) = left.split_at(left.partition_point(|refused| refused.series <= series));
        (left, series) = (later, series + 1);
        match (here.first(), field.bytes()) {
            (None, _) | (_, Err(_)) => out.extend_from_slice(raw),
            (Some(Refused { kind: Kind::Series, .. }), _) => {}
            (Some(_), Ok(message)) => {
                let numbers = if version == Version::V1 { V1 } else { V2 };
                put_bytes(&mut out, field.number, &cut_samples(message, numbers, here));
            }
        }
    });
    out
}

fn cut_samples(message: &[u8], numbers: Numbers, refused: &[Refused]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len());
    let (mut floats, mut histograms) = (0, 0);
    let is_refused = |kind: Kind, at: &mut u32| {
        let found = refused.binary_search_by(|refused| (refused.kind, refused.sample).cmp(&(kind, *at)));
        *at += 1;
        found.is_ok()
    };
    each_field(message, |field, raw| {
        let cut = match field.number {
            SAMPLES => is_refused(Kind::Float, &mut floats),
            number if number == numbers.histograms => is_refused(Kind::Histogram, &mut histograms),
            _ => false,
        };
        if !cut {
            out.extend_from_slice(raw);
        }
    });
    out
}

/// Splits a body into `parts`: series number `n` goes to part `part_of(n)`. Each part gets the symbol table of 2.0;
/// the metadata of 1.0 and fields that are not known go to part 0.
pub fn split(body: &[u8], version: Version, parts: usize, part_of: impl Fn(usize) -> usize) -> Vec<Vec<u8>> {
    let mut out = vec![Vec::with_capacity(body.len() / parts.max(1) + 1024); parts];
    let mut series = 0;
    each_field(body, |field, raw| {
        if field.number == version.series_field() {
            if let Some(part) = out.get_mut(part_of(series)) {
                part.extend_from_slice(raw);
            }
            series += 1;
        } else if version == Version::V2 && field.number == SYMBOLS {
            out.iter_mut().for_each(|part| part.extend_from_slice(raw));
        } else if let Some(part) = out.first_mut() {
            part.extend_from_slice(raw);
        }
    });
    out
}

/// Calls `each` with every field and its bytes, tag included, up to the end or the first defect.
pub(super) fn each_field<'a>(message: &'a [u8], mut each: impl FnMut(Field<'a>, &'a [u8])) {
    let mut fields = Fields::new(message);
    let mut before = fields.rest();
    while let Ok(Some(field)) = fields.read() {
        let raw = &before[..before.len() - fields.rest().len()];
        each(field, raw);
        before = fields.rest();
    }
}

/// Walks everything that a body holds: `Ok` when each series, sample, histogram, exemplar and reference can be read.
pub fn verify(body: &[u8], version: Version) -> Result<(), DecodeError> {
    for series in super::series(body, version) {
        let series = series?;
        series.labels().try_for_each(|pair| pair.map(drop))?;
        series.samples().try_for_each(|sample| sample.map(drop))?;
        series.histograms().try_for_each(|sample| sample.map(drop))?;
        series.exemplars().try_for_each(|exemplar| exemplar.map(drop))?;
        series.try_metadata()?;
    }
    super::metadata(body, version).try_for_each(|metadata| metadata.map(drop))
}
