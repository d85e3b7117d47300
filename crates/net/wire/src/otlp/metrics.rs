//! Makes a body of remote write 2.0 of OTLP's metrics, by the rules of "Prometheus and OpenMetrics Compatibility" in
//! OpenTelemetry's specification.
//!
//! What cannot be told in Prometheus (scales under -4, and deltas unless a tenant keeps them) is left out and counted; the
//! rest is translated: `labels` of resources, scopes and points, the `points` of each kind, and the `series` that they
//! become.

mod labels;
mod points;
mod series;

use self::labels::{Label, Rank};
use super::names::{Family, metric};
use super::symbols::{Symbol, Symbols};
use crate::error::DecodeError;
use crate::protobuf::{Field, Fields};
use model::rows::STALE_NAN_BITS;
use tenancy::{Delta, OtlpSettings};

pub(super) use self::points::Point;

pub(super) const STALE: f64 = f64::from_bits(STALE_NAN_BITS);

/// A translated body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Translated {
    /// Of remote write 2.0, uncompressed.
    pub body: Vec<u8>,
    /// Data points that were left out, and why the first of them was.
    pub refused: u64,
    pub why: Option<String>,
}

/// Translates a body into one of at most `limit` bytes.
pub fn translate(body: &[u8], settings: &OtlpSettings, limit: usize) -> Result<Translated, DecodeError> {
    let mut this = Translation::new(settings, limit);
    for field in Fields::new(body) {
        let field = field?;
        if field.number == 1 {
            this.resource_metrics(&field)?;
        }
    }
    let Translation { symbols, series, refused, why, .. } = this;
    let mut body = Vec::with_capacity(symbols.len() + series.len());
    if !series.is_empty() {
        symbols.write(&mut body, 4);
        body.extend_from_slice(&series);
    }
    Ok(Translated { body, refused, why })
}

struct Translation<'s> {
    settings: &'s OtlpSettings,
    limit: usize,
    symbols: Symbols,
    /// The series that are written.
    series: Vec<u8>,
    refused: u64,
    why: Option<String>,
    /// Of the resource and scope that are read.
    inherited: Vec<Label>,
    /// Of the data point.
    labels: Vec<Label>,
    /// The newest time of the resource's points, Unix milliseconds.
    newest: Option<i64>,
    /// Room to be used again.
    room: Room,
}

#[derive(Default)]
struct Room {
    name: String,
    text: String,
    sorted: Vec<Label>,
    message: Vec<u8>,
    part: Vec<u8>,
    counts: Vec<u64>,
    bounds: Vec<f64>,
    exemplars: Vec<(f64, Vec<u8>)>,
}

/// What is common to the points of a metric.
struct Metric {
    /// The family's name without a suffix for parts of it.
    name: String,
    /// Remote write's number of the type.
    kind: u64,
    /// Each point tells what was added since the one before.
    delta: bool,
    help: Symbol,
    unit: Symbol,
}

/// `AggregationTemporality`
const DELTA: u64 = 1;
const CUMULATIVE: u64 = 2;

impl<'s> Translation<'s> {
    fn new(settings: &'s OtlpSettings, limit: usize) -> Translation<'s> {
        Translation {
            settings,
            limit,
            symbols: Symbols::new(),
            series: Vec::new(),
            refused: 0,
            why: None,
            inherited: Vec::new(),
            labels: Vec::new(),
            newest: None,
            room: Room::default(),
        }
    }

    fn resource_metrics(&mut self, field: &Field<'_>) -> Result<(), DecodeError> {
        self.inherited.clear();
        self.newest = None;
        for part in field.message()? {
            let part = part?;
            if part.number == 1 {
                self.resource(&part)?;
            }
        }
        let of_resource = self.inherited.len();
        for part in field.message()? {
            let part = part?;
            if part.number == 2 {
                self.scope_metrics(&part)?;
                self.inherited.truncate(of_resource);
            }
        }
        if let Some(newest) = self.newest {
            for part in field.message()? {
                let part = part?;
                if part.number == 1 {
                    self.target_info(&part, newest)?;
                }
            }
        }
        Ok(())
    }

    fn scope_metrics(&mut self, field: &Field<'_>) -> Result<(), DecodeError> {
        for part in field.message()? {
            let part = part?;
            match part.number {
                1 if self.settings.promote_scope_metadata => self.scope(&part)?,
                3 if self.settings.promote_scope_metadata => {
                    self.inherit("otel_scope_schema_url", part.text()?, Rank::Inherited);
                }
                _ => {}
            }
        }
        for part in field.message()? {
            let part = part?;
            if part.number == 2 {
                self.metric(&part)?;
            }
        }
        Ok(())
    }

    fn metric(&mut self, field: &Field<'_>) -> Result<(), DecodeError> {
        let (mut raw, mut help, mut unit, mut data) = ("", "", "", None);
        for part in field.message()? {
            let part = part?;
            match part.number {
                1 => raw = part.text()?,
                2 => help = part.text()?,
                3 => unit = part.text()?,
                5 | 7 | 9 | 10 | 11 => data = Some(part),
                _ => {}
            }
        }
        let Some(data) = data else { return Ok(()) };
        let (mut temporality, mut monotonic, mut points) = (0, false, 0);
        for part in data.message()? {
            let part = part?;
            match part.number {
                1 => points += 1,
                2 => temporality = part.varint()?,
                3 => monotonic = part.varint()? != 0,
                _ => {}
            }
        }
        let has_temporality = matches!(data.number, 7 | 9 | 10);
        if has_temporality && !self.takes(temporality) {
            let what = if temporality == DELTA { "delta" } else { "unspecified" };
            self.refuse(points, || {
                format!(
                    "metric {:?} has {what} temporality; only cumulative sums and histograms are stored \
                     (limits.otlp.delta)",
                    short(raw)
                )
            });
            return Ok(());
        }
        let delta = has_temporality && temporality == DELTA;
        let (family, kind) = match (data.number, monotonic) {
            (7, true) => (Family::Counter, 1),
            (5 | 7, _) => (Family::Gauge, 2),
            (9 | 10, _) => (Family::Other, 3),
            _ => (Family::Other, 5),
        };
        let mut name = String::new();
        metric(&mut name, raw, unit, family, self.settings.naming);
        if name.is_empty() {
            self.refuse(points, || format!("metric {:?} has no name that could be stored", short(raw)));
            return Ok(());
        }
        // Prometheus has no type for deltas, and stores them so.
        let kind = if delta { 0 } else { kind };
        let metric = Metric { name, kind, delta, help: self.symbols.of(help), unit: self.symbols.of(unit) };
        for part in data.message()? {
            let part = part?;
            if part.number == 1 {
                match data.number {
                    5 | 7 => self.number(&metric, &part)?,
                    9 => self.histogram(&metric, &part)?,
                    10 => self.exponential(&metric, &part)?,
                    _ => self.summary(&metric, &part)?,
                }
                let len = self.series.len() + self.symbols.len();
                if len > self.limit {
                    return Err(DecodeError::TooLarge { len, limit: self.limit });
                }
            }
        }
        Ok(())
    }

    fn takes(&self, temporality: u64) -> bool {
        temporality == CUMULATIVE || temporality == DELTA && self.settings.delta == Delta::Keep
    }

    fn refuse(&mut self, points: u64, text: impl FnOnce() -> String) {
        if points > 0 {
            self.refused += points;
            self.why.get_or_insert_with(text);
        }
    }
}

fn short(name: &str) -> &str {
    name.char_indices().nth(200).map_or(name, |(at, _)| &name[..at])
}
