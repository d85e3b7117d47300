//! Makes a body of remote write 2.0 of OTLP's metrics, by the rules of "Prometheus and OpenMetrics Compatibility" in
//! OpenTelemetry's specification.
//!
//! What cannot be told in Prometheus (deltas, scales under -4) is left out and counted; the rest is translated.

use super::exponential;
use super::names::{Family, metric, push_label};
use super::symbols::{Symbol, Symbols};
use super::value::{attribute, hex, write};
use crate::error::DecodeError;
use crate::protobuf::{Field, Fields, put_bytes, put_double, put_uint, put_varint};
use model::rows::STALE_NAN_BITS;
use tenancy::OtlpSettings;

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

/// Which of several values of a label holds: the lower rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// `__name__`, `le`, `job` and their like.
    Own,
    /// Of the data point.
    Attribute,
    /// Of its resource or scope.
    Inherited,
}

#[derive(Debug, Clone, Copy)]
struct Label {
    name: Symbol,
    rank: Rank,
    value: Symbol,
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
    help: Symbol,
    unit: Symbol,
}

/// What all kinds of data points have.
#[derive(Clone, Copy)]
pub(super) struct Point<'a> {
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

/// `AggregationTemporality`
const CUMULATIVE: u64 = 2;

/// Characters of an exemplar's labels, as OpenMetrics allows them.
const EXEMPLAR_CHARS: usize = 128;

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

    /// `job` and `instance`, and the attributes that the tenant wants at every series.
    fn resource(&mut self, field: &Field<'_>) -> Result<(), DecodeError> {
        let (mut service, mut namespace, mut instance) = (String::new(), String::new(), String::new());
        for part in field.message()? {
            let part = part?;
            if part.number != 1 {
                continue;
            }
            let (key, value) = attribute(&part)?;
            let own = match key {
                "service.name" => Some(&mut service),
                "service.namespace" => Some(&mut namespace),
                "service.instance.id" => Some(&mut instance),
                _ => None,
            };
            if let Some(own) = own {
                own.clear();
                value.write(own)?;
            }
            let settings = self.settings;
            if settings.promote_all_resource_attributes
                || settings.promote_resource_attributes.iter().any(|name| name == key)
            {
                let label = self.attribute(&part, Rank::Inherited)?;
                self.inherited.push(label);
            }
        }
        if !service.is_empty() {
            let job = if namespace.is_empty() { service } else { format!("{namespace}/{service}") };
            self.inherit("job", &job, Rank::Own);
        }
        self.inherit("instance", &instance, Rank::Own);
        Ok(())
    }

    fn inherit(&mut self, name: &str, value: &str, rank: Rank) {
        if !value.is_empty() {
            self.inherited.push(Label { name: self.symbols.of(name), rank, value: self.symbols.of(value) });
        }
    }

    fn attribute(&mut self, field: &Field<'_>, rank: Rank) -> Result<Label, DecodeError> {
        self.prefixed("", field, rank)
    }

    fn prefixed(&mut self, prefix: &str, field: &Field<'_>, rank: Rank) -> Result<Label, DecodeError> {
        let (key, value) = attribute(field)?;
        let Room { name, text, .. } = &mut self.room;
        name.clear();
        name.push_str(prefix);
        match self.settings.naming.escapes() {
            true if prefix.is_empty() => push_label(name, key),
            true => super::names::push_escaped(name, key),
            false => name.push_str(key),
        }
        text.clear();
        value.write(text)?;
        Ok(Label { name: self.symbols.of(name), rank, value: self.symbols.of(text) })
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

    fn scope(&mut self, field: &Field<'_>) -> Result<(), DecodeError> {
        for part in field.message()? {
            let part = part?;
            match part.number {
                1 => self.inherit("otel_scope_name", part.text()?, Rank::Inherited),
                2 => self.inherit("otel_scope_version", part.text()?, Rank::Inherited),
                3 => {
                    let label = self.prefixed("otel_scope_", &part, Rank::Inherited)?;
                    self.inherited.push(label);
                }
                _ => {}
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
        if matches!(data.number, 7 | 9 | 10) && temporality != CUMULATIVE {
            let what = if temporality == 1 { "delta" } else { "unspecified" };
            self.refuse(points, || {
                format!(
                    "metric {:?} has {what} temporality; only cumulative sums and histograms are stored",
                    short(raw)
                )
            });
            return Ok(());
        }
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
        let metric = Metric { name, kind, help: self.symbols.of(help), unit: self.symbols.of(unit) };
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

    fn refuse(&mut self, points: u64, text: impl FnOnce() -> String) {
        if points > 0 {
            self.refused += points;
            self.why.get_or_insert_with(text);
        }
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

    fn number(&mut self, metric: &Metric, field: &Field<'_>) -> Result<(), DecodeError> {
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

    fn histogram(&mut self, metric: &Metric, field: &Field<'_>) -> Result<(), DecodeError> {
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

    fn summary(&mut self, metric: &Metric, field: &Field<'_>) -> Result<(), DecodeError> {
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

    fn exponential(&mut self, metric: &Metric, field: &Field<'_>) -> Result<(), DecodeError> {
        let point = self.point(field, EXPONENTIAL)?;
        let mut message = std::mem::take(&mut self.room.part);
        message.clear();
        match exponential::write(&point, &mut message)? {
            Err(why) => self.refuse(1, || format!("metric {:?}: {why}", short(&metric.name))),
            Ok(()) => self.write_series(metric, "", None, 3, &message, f64::INFINITY),
        }
        self.room.part = message;
        Ok(())
    }

    /// Sets `room.text` to a bound or a quantile.
    fn text(&mut self, number: &f64) {
        self.room.text.clear();
        write(&mut self.room.text, number);
    }

    /// Writes a series of one float. `extra`: the name of a label whose value is `room.text`. The exemplars with values
    /// up to `bound` go with it.
    fn sample(
        &mut self,
        metric: &Metric,
        suffix: &str,
        extra: Option<&str>,
        point: &Point<'_>,
        value: f64,
        bound: f64,
    ) {
        let mut message = std::mem::take(&mut self.room.part);
        message.clear();
        put_double(&mut message, 1, if point.stale { STALE } else { value });
        put_uint(&mut message, 2, point.time as u64);
        if point.start != 0 {
            put_uint(&mut message, 3, point.start as u64);
        }
        self.write_series(metric, suffix, extra, 2, &message, bound);
        self.room.part = message;
    }

    /// Writes a series whose one row is `row`, a message of field `number`.
    fn write_series(
        &mut self,
        metric: &Metric,
        suffix: &str,
        extra: Option<&str>,
        number: u32,
        row: &[u8],
        bound: f64,
    ) {
        let of_point = self.labels.len();
        if let Some(extra) = extra {
            let value = self.symbols.of(&self.room.text);
            self.labels.push(Label { name: self.symbols.of(extra), rank: Rank::Own, value });
        }
        let name = &mut self.room.name;
        name.clear();
        name.push_str(&metric.name);
        name.push_str(suffix);
        let name = Label { name: self.symbols.of("__name__"), rank: Rank::Own, value: self.symbols.of(name) };
        self.labels.push(name);
        self.sort_labels();
        self.labels.truncate(of_point);
        let Room { sorted, message, exemplars, .. } = &mut self.room;
        message.clear();
        let mut packed = Vec::with_capacity(6 * sorted.len());
        for label in sorted.iter() {
            put_varint(&mut packed, u64::from(label.name.0));
            put_varint(&mut packed, u64::from(label.value.0));
        }
        put_bytes(message, 1, &packed);
        put_bytes(message, number, row);
        while let Some((_, exemplar)) = exemplars.pop_if(|(value, _)| *value <= bound) {
            put_bytes(message, 4, &exemplar);
        }
        packed.clear();
        put_uint(&mut packed, 1, metric.kind);
        put_uint(&mut packed, 3, u64::from(metric.help.0));
        put_uint(&mut packed, 4, u64::from(metric.unit.0));
        put_bytes(message, 5, &packed);
        put_bytes(&mut self.series, 5, message);
    }

    /// Sets `room.sorted` to the labels by name, each once and with a value. Attributes that become one name have their
    /// values joined.
    fn sort_labels(&mut self) {
        let Translation { symbols, labels, room, .. } = self;
        let sorted = &mut room.sorted;
        sorted.clear();
        sorted.extend(labels.iter().filter(|label| label.value != Symbols::EMPTY && label.name != Symbols::EMPTY));
        sorted.sort_by(|a, b| symbols.text(a.name).cmp(symbols.text(b.name)).then(a.rank.cmp(&b.rank)));
        sorted.dedup_by(|next, kept| {
            if next.name != kept.name {
                return false;
            }
            if kept.rank == Rank::Attribute && next.rank == Rank::Attribute && next.value != kept.value {
                let joined = format!("{};{}", symbols.text(kept.value), symbols.text(next.value));
                kept.value = symbols.of(&joined);
            }
            true
        });
    }

    /// One series that has all attributes of the resource, where there are any that others do not tell.
    fn target_info(&mut self, field: &Field<'_>, time: i64) -> Result<(), DecodeError> {
        let own: Vec<Label> = self.inherited.iter().copied().filter(|label| label.rank == Rank::Own).collect();
        if own.is_empty() {
            return Ok(());
        }
        let start = own.len();
        self.labels = own;
        for part in field.message()? {
            let part = part?;
            if part.number != 1 {
                continue;
            }
            let (key, _) = attribute(&part)?;
            let identifies = matches!(key, "service.name" | "service.namespace" | "service.instance.id");
            if !identifies || self.settings.keep_identifying_attributes {
                let label = self.attribute(&part, Rank::Attribute)?;
                self.labels.push(label);
            }
        }
        if self.labels.len() == start {
            return Ok(());
        }
        self.room.exemplars.clear();
        let metric = Metric {
            name: "target_info".to_owned(),
            kind: 2,
            help: self.symbols.of("Target metadata"),
            unit: Symbols::EMPTY,
        };
        let point = Point { fields: Fields::new(&[]), time, start: 0, stale: false };
        self.sample(&metric, "", None, &point, 1.0, f64::INFINITY);
        Ok(())
    }
}

fn millis(nanos: u64) -> i64 {
    (nanos / 1_000_000) as i64
}

fn short(name: &str) -> &str {
    name.char_indices().nth(200).map_or(name, |(at, _)| &name[..at])
}
