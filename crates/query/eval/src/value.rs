//! What a query answers.

use crate::column::{Cell, Column, Grid, is_absent};
use model::{Histogram, Labels};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The answer of a query. Times are Unix milliseconds.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// One float a step; an instant query has one.
    Scalar(Vec<(i64, f64)>),
    String {
        time_ms: i64,
        text: String,
    },
    Vector(Vec<InstantSample>),
    Matrix(Vec<SeriesPoints>),
}

/// One series of an instant vector.
#[derive(Debug, Clone, PartialEq)]
pub struct InstantSample {
    pub labels: Labels,
    pub time_ms: i64,
    pub value: SampleValue,
}

#[derive(Debug, Clone, PartialEq)]
pub enum SampleValue {
    Float(f64),
    Histogram(Arc<Histogram>),
}

/// One series of a matrix; floats and histograms apart, each ascending by time.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SeriesPoints {
    pub labels: Option<Labels>,
    pub points: Vec<(i64, f64)>,
    pub histograms: Vec<(i64, Arc<Histogram>)>,
}

impl SeriesPoints {
    pub fn labels(&self) -> Labels {
        self.labels.clone().unwrap_or_else(Labels::empty)
    }

    /// About how many bytes this takes in memory, for budgets.
    pub fn size(&self) -> usize {
        let buckets = |h: &Histogram| 8 * (h.positive.len() + h.negative.len() + h.positive_spans.len());
        let histograms: usize = self.histograms.iter().map(|(_, h)| 208 + buckets(h)).sum();
        80 + 16 * self.points.len() + histograms
    }

    /// The present cells of a column, as points.
    pub fn from_column(column: &Column, grid: Grid) -> SeriesPoints {
        let floats = column.floats().iter().filter(|value| !is_absent(**value)).count();
        let points = Vec::with_capacity(floats);
        let mut series = SeriesPoints { labels: Some(column.labels.clone()), points, histograms: Vec::new() };
        for step in 0..grid.steps {
            match column.get(step) {
                Cell::Absent => {}
                Cell::Float(value) => series.points.push((grid.time(step), value)),
                Cell::Histogram(h) => series.histograms.push((grid.time(step), Arc::new(h.to_model()))),
            }
        }
        series
    }
}

impl InstantSample {
    /// The cell of a column's first step; nothing when it is absent.
    pub fn from_column(column: &Column, time_ms: i64) -> Option<InstantSample> {
        let value = match column.get(0) {
            Cell::Absent => return None,
            Cell::Float(value) => SampleValue::Float(value),
            Cell::Histogram(h) => SampleValue::Histogram(Arc::new(h.to_model())),
        };
        Some(InstantSample { labels: column.labels.clone(), time_ms, value })
    }
}

/// Texts that go along with an answer, each once, in the order in which they came up.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Warnings {
    pub warnings: Vec<String>,
    pub infos: Vec<String>,
}

impl Warnings {
    pub fn warn(&mut self, text: String) {
        if !self.warnings.contains(&text) {
            self.warnings.push(text);
        }
    }

    pub fn inform(&mut self, text: String) {
        if !self.infos.contains(&text) {
            self.infos.push(text);
        }
    }

    /// Adds what another evaluation had to say.
    pub fn extend(&mut self, other: Warnings) {
        other.warnings.into_iter().for_each(|text| self.warn(text));
        other.infos.into_iter().for_each(|text| self.inform(text));
    }

    pub fn is_empty(&self) -> bool {
        self.warnings.is_empty() && self.infos.is_empty()
    }
}

/// An answer and what the user should know about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub value: Value,
    pub warnings: Warnings,
}
