//! Writes series: one row, its labels and metadata, and the exemplars that belong to it.

use super::labels::{Label, Rank};
use super::points::Point;
use super::{Metric, Room, STALE, Translation};
use crate::error::DecodeError;
use crate::otlp::symbols::Symbols;
use crate::otlp::value::attribute;
use crate::protobuf::{Field, Fields, put_bytes, put_double, put_uint, put_varint};

impl Translation<'_> {
    /// Writes a series of one float. `extra`: the name of a label whose value is `room.text`. The exemplars with values
    /// up to `bound` go with it.
    pub(super) fn sample(
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
    pub(super) fn write_series(
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

    /// One series that has all attributes of the resource, where there are any that others do not tell.
    pub(super) fn target_info(&mut self, field: &Field<'_>, time: i64) -> Result<(), DecodeError> {
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
            delta: false,
            help: self.symbols.of("Target metadata"),
            unit: Symbols::EMPTY,
        };
        let point = Point { fields: Fields::new(&[]), time, start: 0, stale: false };
        self.sample(&metric, "", None, &point, 1.0, f64::INFINITY);
        Ok(())
    }
}
