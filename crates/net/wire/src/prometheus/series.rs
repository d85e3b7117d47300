//! One series of a remote write body.

use super::histogram::{self, HistogramSample};
use super::kind_name;
use super::symbols::Symbols;
use crate::error::DecodeError;
use crate::protobuf::{Field, Fields, put_varint, varint};
use model::{Exemplar, LabelsBuilder};
use std::sync::Arc;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

pub(super) const LABELS: u32 = 1;
pub(super) const SAMPLES: u32 = 2;

/// The numbers of the fields in which the two versions differ.
#[derive(Debug, Clone, Copy)]
pub(super) struct Numbers {
    pub exemplars: u32,
    pub histograms: u32,
}

const ODD: DecodeError = DecodeError::Protobuf { why: "a series has an odd number of label references" };

pub(super) const V1: Numbers = Numbers { exemplars: 3, histograms: 4 };
pub(super) const V2: Numbers = Numbers { exemplars: 4, histograms: 3 };

/// A series of either version. Samples and labels are decoded when they are asked for.
#[derive(Debug, Clone)]
pub struct TimeSeries<'a> {
    /// Holds all label fields: their contiguous bytes at the front, as senders write them, or else the whole message.
    labels: &'a [u8],
    /// Holds all other fields.
    rest: &'a [u8],
    /// Whether other fields stand between the label fields; `labels` and `rest` are both the whole message then.
    scattered: bool,
    key: u128,
    symbols: Option<Arc<Symbols<'a>>>,
}

/// A float sample.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// Unix milliseconds.
    pub time: i64,
    /// Bit for bit as sent: stale markers are NaNs with a payload.
    pub value: f64,
    /// Unix milliseconds, 0 = none (always, in 1.0).
    pub start: i64,
}

/// What 2.0 says of the family of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetadataRef<'a> {
    /// As in `model::Metadata`.
    pub kind: &'static str,
    pub help: &'a str,
    pub unit: &'a str,
}

impl<'a> TimeSeries<'a> {
    #[inline]
    pub(super) fn read(message: &'a [u8], symbols: Option<Arc<Symbols<'a>>>) -> Result<TimeSeries<'a>, DecodeError> {
        const LABELS_TAG: u8 = (LABELS << 3 | 2) as u8;
        let mut rest = message;
        while let [LABELS_TAG, tail @ ..] = rest {
            rest = tail;
            let len = usize::try_from(varint(&mut rest)?).unwrap_or(usize::MAX);
            rest = rest.get(len..).ok_or(DecodeError::Truncated)?;
        }
        let labels = &message[..message.len() - rest.len()];
        let mut fields = Fields::new(rest);
        while let Some(field) = fields.read()? {
            if field.number == LABELS {
                return TimeSeries { labels: message, rest: message, scattered: true, key: 0, symbols }.with_key();
            }
        }
        TimeSeries { labels, rest, scattered: false, key: 0, symbols }.with_key()
    }

    #[inline]
    fn with_key(mut self) -> Result<TimeSeries<'a>, DecodeError> {
        self.key = match &self.symbols {
            None if self.scattered => self.scattered_key()?,
            None => xxh3_128(self.labels),
            Some(symbols) => self.symbols_key(symbols)?,
        };
        Ok(self)
    }

    fn numbers(&self) -> Numbers {
        if self.symbols.is_some() { V2 } else { V1 }
    }

    /// Names the label set as it was sent. Equal labels that one sender writes the same way have equal keys; the same
    /// set in another order or version may have another one.
    pub fn key(&self) -> u128 {
        self.key
    }

    /// Of label fields that other fields stand between.
    fn scattered_key(&self) -> Result<u128, DecodeError> {
        let mut hasher = Xxh3::new();
        let mut prefix = Vec::with_capacity(12);
        for field in self.fields(LABELS) {
            let bytes = field?.bytes()?;
            prefix.clear();
            put_varint(&mut prefix, u64::from(LABELS) << 3 | 2);
            put_varint(&mut prefix, bytes.len() as u64);
            hasher.update(&prefix);
            hasher.update(bytes);
        }
        Ok(hasher.digest128())
    }

    /// Of the hashes of the symbols: 16 bytes for each name and value, whatever their length.
    fn symbols_key(&self, symbols: &Symbols<'a>) -> Result<u128, DecodeError> {
        const MOST: usize = 64;
        let mut hashes = [0u8; 16 * MOST];
        let (mut count, mut key) = (0, 0u128);
        for field in self.fields(LABELS) {
            let mut packed = field?.bytes()?;
            while !packed.is_empty() {
                if count == MOST {
                    key = xxh3_128(&hashes) ^ key.rotate_left(1);
                    count = 0;
                }
                let hash = symbols.hash(varint(&mut packed)?)?;
                hashes[16 * count..16 * count + 16].copy_from_slice(&hash.to_le_bytes());
                count += 1;
            }
            if count % 2 == 1 {
                return Err(ODD);
            }
        }
        Ok(xxh3_128(&hashes[..16 * count]) ^ key.rotate_left(1))
    }

    /// The labels as sent: neither sorted nor unique. Ends after the first error.
    pub fn labels(&self) -> impl Iterator<Item = Result<(&'a str, &'a str), DecodeError>> + use<'a> {
        LabelIter { fields: Fields::new(self.labels), packed: &[], symbols: self.symbols.clone() }
    }

    #[inline]
    fn fields(&self, number: u32) -> impl Iterator<Item = Result<Field<'a>, DecodeError>> + use<'a> {
        let region = if number == LABELS { self.labels } else { self.rest };
        Fields::new(region).filter(move |field| !matches!(field, Ok(field) if field.number != number))
    }

    /// The float samples in the order of the body.
    #[inline]
    pub fn samples(&self) -> impl Iterator<Item = Result<Sample, DecodeError>> + use<'a> {
        let has_start = self.symbols.is_some();
        self.fields(SAMPLES).map(move |field| read_sample(field?.message()?, has_start))
    }

    /// The histogram samples in the order of the body. A histogram that contradicts itself is an error, and the next
    /// one is read all the same.
    pub fn histograms(&self) -> impl Iterator<Item = Result<HistogramSample, DecodeError>> + use<'a> {
        let has_start = self.symbols.is_some();
        self.fields(self.numbers().histograms).map(move |field| histogram::read(field?.message()?, has_start))
    }

    pub fn has_histograms(&self) -> bool {
        self.fields(self.numbers().histograms).next().is_some()
    }

    pub fn exemplars(&self) -> impl Iterator<Item = Result<Exemplar, DecodeError>> + use<'a> {
        let symbols = self.symbols.clone();
        self.fields(self.numbers().exemplars).map(move |field| read_exemplar(field?.bytes()?, symbols.as_ref()))
    }

    /// What the series' family is, if the body says so; `None` also for references past the symbol table.
    pub fn metadata(&self) -> Option<MetadataRef<'a>> {
        self.try_metadata().ok().flatten()
    }

    /// As `metadata`, with the error.
    pub fn try_metadata(&self) -> Result<Option<MetadataRef<'a>>, DecodeError> {
        const METADATA: u32 = 5;
        let Some(symbols) = &self.symbols else { return Ok(None) };
        let mut found = None;
        for field in self.fields(METADATA) {
            let metadata = found.get_or_insert(MetadataRef { kind: kind_name(0), help: "", unit: "" });
            for part in field?.message()? {
                let part = part?;
                match part.number {
                    1 => metadata.kind = kind_name(part.varint()?),
                    3 => metadata.help = symbols.text(part.varint()?)?,
                    4 => metadata.unit = symbols.text(part.varint()?)?,
                    _ => {}
                }
            }
        }
        Ok(found)
    }
}

#[inline]
fn read_sample(mut fields: Fields<'_>, has_start: bool) -> Result<Sample, DecodeError> {
    let mut sample = Sample { time: 0, value: 0.0, start: 0 };
    while let Some(field) = fields.read()? {
        match field.number {
            1 => sample.value = field.double()?,
            2 => sample.time = field.int()?,
            3 if has_start => sample.start = field.int()?,
            _ => {}
        }
    }
    Ok(sample)
}

fn read_exemplar<'a>(message: &'a [u8], symbols: Option<&Arc<Symbols<'a>>>) -> Result<Exemplar, DecodeError> {
    let mut labels = LabelsBuilder::default();
    let pairs = LabelIter { fields: Fields::new(message), packed: &[], symbols: symbols.cloned() };
    for pair in pairs.take(MAX_EXEMPLAR_LABELS) {
        let (name, value) = pair?;
        labels.set(name, value);
    }
    let (mut value, mut time) = (0.0, 0);
    for field in Fields::new(message) {
        let field = field?;
        match field.number {
            2 => value = field.double()?,
            3 => time = field.int()?,
            _ => {}
        }
    }
    Ok(Exemplar { labels: labels.build(), value, time })
}

/// Of an exemplar's labels, no more than these are read; OpenMetrics allows 128 characters of them.
const MAX_EXEMPLAR_LABELS: usize = 64;

/// The label fields among fields of a message.
struct LabelIter<'a> {
    fields: Fields<'a>,
    /// 2.0: references not yet read.
    packed: &'a [u8],
    symbols: Option<Arc<Symbols<'a>>>,
}

impl<'a> LabelIter<'a> {
    fn read(&mut self) -> Result<Option<(&'a str, &'a str)>, DecodeError> {
        if !self.packed.is_empty() {
            return self.read_refs().map(Some);
        }
        while let Some(field) = self.fields.read()? {
            if field.number != LABELS {
                continue;
            }
            if self.symbols.is_none() {
                return read_label(field.message()?).map(Some);
            }
            self.packed = field.bytes()?;
            if !self.packed.is_empty() {
                return self.read_refs().map(Some);
            }
        }
        Ok(None)
    }

    fn read_refs(&mut self) -> Result<(&'a str, &'a str), DecodeError> {
        let symbols = self.symbols.as_ref().ok_or(ODD)?;
        let name = symbols.text(varint(&mut self.packed)?)?;
        if self.packed.is_empty() {
            return Err(ODD);
        }
        Ok((name, symbols.text(varint(&mut self.packed)?)?))
    }
}

impl<'a> Iterator for LabelIter<'a> {
    type Item = Result<(&'a str, &'a str), DecodeError>;
    fn next(&mut self) -> Option<Self::Item> {
        let pair = self.read();
        if pair.is_err() {
            (self.fields, self.packed) = (Fields::new(&[]), &[]);
        }
        pair.transpose()
    }
}

pub(super) fn read_label(mut fields: Fields<'_>) -> Result<(&str, &str), DecodeError> {
    let (mut name, mut value) = ("", "");
    while let Some(field) = fields.read()? {
        match field.number {
            1 => name = field.text()?,
            2 => value = field.text()?,
            _ => {}
        }
    }
    Ok((name, value))
}
