//! Prometheus remote write bodies, 1.0 and 2.0, walked in place.
//!
//! Field numbers are those of `prometheus.WriteRequest` and `io.prometheus.write.v2.Request` in the public
//! specifications. Unknown and reserved fields are skipped.

mod cut;
mod edit;
mod histogram;
mod series;
mod symbols;
pub mod write;

pub use cut::{Kind, Refused, split, verify, without};
pub use edit::{first_with, relabel, strip};
pub use histogram::HistogramSample;
pub use series::{MetadataRef, Sample, TimeSeries};

use crate::batch::Format;
use crate::error::DecodeError;
use crate::protobuf::Fields;
use model::Metadata;
use std::sync::Arc;
use symbols::Symbols;

/// Which remote write a body is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    V1,
    V2,
}

impl Version {
    /// The number of the field that carries the series.
    fn series_field(self) -> u32 {
        match self {
            Version::V1 => 1,
            Version::V2 => 5,
        }
    }

    pub fn format(self) -> Format {
        match self {
            Version::V1 => Format::PromV1,
            Version::V2 => Format::PromV2,
        }
    }

    pub fn of(format: Format) -> Option<Version> {
        match format {
            Format::LokiPush => None,
            Format::PromV1 => Some(Version::V1),
            Format::PromV2 => Some(Version::V2),
        }
    }
}

/// The series of an uncompressed body, in its order. Ends after the first error; a symbol table that is not valid is
/// the first. Allocates for the symbol table of 2.0, not for rows.
pub fn series(body: &[u8], version: Version) -> impl Iterator<Item = Result<TimeSeries<'_>, DecodeError>> {
    let (mut fields, symbols, mut error) = match read_symbols(body, version) {
        Ok(symbols) => (Fields::new(body), symbols, None),
        Err(error) => (Fields::new(&[]), None, Some(error)),
    };
    let mut failed = false;
    std::iter::from_fn(move || {
        if failed {
            return None;
        }
        let next = error.take().map(Err).or_else(|| next_series(&mut fields, version, symbols.as_ref()));
        failed = matches!(next, Some(Err(_)));
        next
    })
}

fn read_symbols(body: &[u8], version: Version) -> Result<Option<Arc<Symbols<'_>>>, DecodeError> {
    match version {
        Version::V1 => Ok(None),
        Version::V2 => Symbols::read(body).map(|symbols| Some(Arc::new(symbols))),
    }
}

#[inline]
fn next_series<'a>(
    fields: &mut Fields<'a>,
    version: Version,
    symbols: Option<&Arc<Symbols<'a>>>,
) -> Option<Result<TimeSeries<'a>, DecodeError>> {
    loop {
        match fields.read() {
            Ok(None) => return None,
            Ok(Some(field)) if field.number == version.series_field() => {
                return Some(field.bytes().and_then(|message| TimeSeries::read(message, symbols.cloned())));
            }
            Ok(Some(_)) => {}
            Err(error) => return Some(Err(error)),
        }
    }
}

/// The list of metric families that a 1.0 body carries beside its series; 2.0 has it at the series.
pub fn metadata(body: &[u8], version: Version) -> impl Iterator<Item = Result<Metadata, DecodeError>> {
    let body = if version == Version::V1 { body } else { &[] };
    let mut failed = false;
    Fields::new(body)
        .filter(|field| !matches!(field, Ok(field) if field.number != 3))
        .map(|field| read_metadata(field?.message()?))
        .take_while(move |item| !std::mem::replace(&mut failed, item.is_err()))
}

fn read_metadata(mut fields: Fields<'_>) -> Result<Metadata, DecodeError> {
    let mut metadata =
        Metadata { family: String::new(), kind: kind_name(0).into(), help: String::new(), unit: String::new() };
    while let Some(field) = fields.read()? {
        match field.number {
            1 => metadata.kind = kind_name(field.varint()?).into(),
            2 => metadata.family = field.text()?.into(),
            4 => metadata.help = field.text()?.into(),
            5 => metadata.unit = field.text()?.into(),
            _ => {}
        }
    }
    Ok(metadata)
}

/// The name of a metric type, whose numbers are the same in both versions.
fn kind_name(code: u64) -> &'static str {
    const NAMES: [&str; 8] =
        ["unknown", "counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset"];
    usize::try_from(code).ok().and_then(|code| NAMES.get(code).copied()).unwrap_or(NAMES[0])
}

#[cfg(test)]
mod tests;
