//! Data points of each kind, and their exemplars.

use super::labels::Rank;
use super::{Metric, STALE, Translation, short};
use crate::error::DecodeError;
use crate::otlp::exponential;
use crate::otlp::value::{hex, write};
use crate::protobuf::{Field, Fields, put_bytes, put_double, put_uint, put_varint};
use model::histogram::ResetHint;

/// What all kinds of data points have.
#[derive(Clone, Copy)]
pub struct Point<'a> {
    pub fields: Fields<'a>,
    /// Unix milliseconds.
    pub time: i64,
    /// Unix milliseconds, 0 = none.
    pub start: i64,
    /// The sender says that there is no value any more.
    pub stale: bool,
}

/// The numbers of fields in which kinds of points differ.
#[derive(Clone, Copy)]
struct Numbers {
    attributes: u32,
    exemplars: Option<u32>,
    start: u32,
    time: u32,
    flags: u32,
}

const NUMBER: Numbers = Numbers { attributes: 7, exemplars: Some(5), start: 2, time: 3, flags: 8 };
const HISTOGRAM: Numbers = Numbers { attributes: 9, exemplars: Some(8), start: 2, time: 3, flags: 10 };
const EXPONENTIAL: Numbers = Numbers { attributes: 1, exemplars: Some(11), start: 2, time: 3, flags: 10 };
const SUMMARY: Numbers = Numbers { attributes: 7, exemplars: None, start: 2, time: 3, flags: 8 };

/// Characters of an exemplar's labels, as OpenMetrics allows them.
const EXEMPLAR_CHARS: usize = 128;

impl Translation<'_> {
    pub(super) fn number(&mut self, metric: &Metric, field: &Field<'_>) -> Result<(), DecodeError> {
        let point = self.point(field, NUMBER)?;
        let mut value = None;
        for part in point.fields {
            let part = part?;
            match part.number {
                4 => value = Some(part.double()?),
                6 => value = Some(part.fixed64()? as i64 as f64),
                _ => {}
            }
        }
        if let Some(value) = value.or(point.stale.then_some(STALE)) {
            self.sample(metric, "", None, &point, value, f64::INFINITY);
        }
        Ok(())
    }

    pub(super) fn histogram(&mut self, metric: &Metric, field: &Field<'_>) -> Result<(), DecodeError> {
        let point = self.point(field, HISTOGRAM)?;
        let (mut counts, mut bounds) = (std::mem::take(&mut self.room.counts), std::mem::take(&mut self.room.bounds));
        counts.clear();
        bounds.clear();
        let (mut count, mut sum) = (0, None);
        for part in point.fields {
            let part = part?;
            match part.number {
                4 => count = part.fixed64()?,
                5 => sum = Some(part.double()?),
                6 => part.fixed64s(|count| counts.push(count))?,
                7 => part.doubles(|bound| bounds.push(bound))?,
                _ => {}
            }
        }
        if let Some(sum) = sum {
            self.sample(metric, "_sum", None, &point, sum, f64::NEG_INFINITY);
        }
        self.sample(metric, "_count", None, &point, count as f64, f64::NEG_INFINITY);
        // Each exemplar goes to the lowest bucket that it is in.
        self.room.exemplars.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut below = 0u64;
        for (bound, count) in bounds.iter().zip(&counts) {
            below = below.saturating_add(*count);
            self.text(bound);
            self.sample(metric, "_bucket", Some("le"), &point, below as f64, *bound);
            if self.series.len() > self.limit {
                break;
            }
        }
        self.room.text.clear();
        self.room.text.push_str("+Inf");
        self.sample(metric, "_bucket", Some("le"), &point, count as f64, f64::INFINITY);
        (self.room.counts, self.room.bounds) = (counts, bounds);
        Ok(())
    }

    pub(super) fn summary(&mut self, metric: &Metric, field: &Field<'_>) -> Result<(), DecodeError> {
        let point = self.point(field, SUMMARY)?;
        for part in point.fields {
            let part = part?;
            match part.number {
                4 => self.sample(metric, "_count", None, &point, part.fixed64()? as f64, f64::INFINITY),
                5 => self.sample(metric, "_sum", None, &point, part.double()?, f64::INFINITY),
                6 => {
                    let (mut quantile, mut value) = (0.0, 0.0);
                    for item in part.message()? {
                        let item = item?;
                        match item.number {
                            1 => quantile = item.double()?,
                            2 => value = item.double()?,
                            _ => {}
                        }
                    }
                    self.text(&quantile);
                    self.sample(metric, "", Some("quantile"), &point, value, f64::INFINITY);
                }
                _ => {}
            }
            if self.series.len() > self.limit {
                break;
            }
        }
        Ok(())
    }

    pub(super) fn exponential(&mut self, metric: &Metric, field: &Field<'_>) -> Result<(), DecodeError> {
        let point = self.point(field, EXPONENTIAL)?;
        let mut message = std::mem::take(&mut self.room.part);
        message.clear();
        // Of deltas none is a reset of the one before.
        let reset = if metric.delta { ResetHint::Gauge } else { ResetHint::Unknown };
        match exponential::write(&point, reset, &mut message)? {
            Err(why) => self.refuse(1, || format!("metric {:?}: {why}", short(&metric.name))),
            Ok(()) => self.write_series(metric, "", None, 3, &message, f64::INFINITY),
        }
        self.room.part = message;
        Ok(())
    }

    /// Reads what all points have, and sets `labels` and `room.exemplars`.
    fn point<'a>(&mut self, field: &Field<'a>, numbers: Numbers) -> Result<Point<'a>, DecodeError> {
        let mut point = Point { fields: field.message()?, time: 0, start: 0, stale: false };
        self.labels.clear();
        self.labels.extend_from_slice(&self.inherited);
        self.room.exemplars.clear();
        for part in point.fields {
            let part = part?;
            match part.number {
                number if number == numbers.attributes => {
                    let label = self.attribute(&part, Rank::Attribute)?;
                    self.labels.push(label);
                }
                number if numbers.exemplars == Some(number) => self.exemplar(&part)?,
                number if number == numbers.start => point.start = millis(part.fixed64()?),
                number if number == numbers.time => point.time = millis(part.fixed64()?),
                number if number == numbers.flags => point.stale = part.varint()? & 1 == 1,
                _ => {}
            }
        }
        self.newest = self.newest.max(Some(point.time));
        Ok(point)
    }

    fn exemplar(&mut self, field: &Field<'_>) -> Result<(), DecodeError> {
        let (mut value, mut time, mut chars, mut refs) = (0.0, 0, 0, Vec::new());
        for part in field.message()? {
            let part = part?;
            let id = match part.number {
                2 => {
                    time = millis(part.fixed64()?);
                    continue;
                }
                3 => {
                    value = part.double()?;
                    continue;
                }
                6 => {
                    value = part.fixed64()? as i64 as f64;
                    continue;
                }
                4 => "span_id",
                5 => "trace_id",
                _ => continue,
            };
            let text = &mut self.room.text;
            text.clear();
            hex(text, part.bytes()?);
            if !text.is_empty() {
                chars += id.len() + text.len();
                refs.extend([self.symbols.of(id), self.symbols.of(text)]);
            }
        }
        for part in field.message()? {
            let part = part?;
            if part.number == 7 {
                let label = self.attribute(&part, Rank::Attribute)?;
                let len = |symbol| self.symbols.text(symbol).chars().count();
                chars += len(label.name) + len(label.value);
                if chars > EXEMPLAR_CHARS {
                    break;
                }
                refs.extend([label.name, label.value]);
            }
        }
        let mut message = Vec::new();
        let mut packed = Vec::new();
        refs.iter().for_each(|symbol| put_varint(&mut packed, u64::from(symbol.0)));
        put_bytes(&mut message, 1, &packed);
        put_double(&mut message, 2, value);
        put_uint(&mut message, 3, time as u64);
        self.room.exemplars.push((value, message));
        Ok(())
    }

    /// Sets `room.text` to a bound or a quantile.
    fn text(&mut self, number: &f64) {
        self.room.text.clear();
        write(&mut self.room.text, number);
    }
}

fn millis(nanos: u64) -> i64 {
    (nanos / 1_000_000) as i64
}
