//! What an operator noticed and a user should know, without its place in the query: the language adds that.

use crate::histogram::Bent;

/// A remark about data that an operator left out or bent. `text` is Prometheus' wording.
#[derive(Debug, Clone, PartialEq)]
pub enum Note {
    /// A group has floats and histograms; it was left out.
    MixedInAggregation,
    /// Exponential and custom histograms met; what came of them was left out.
    MixedSchemas {
        metric: String,
    },
    /// An aggregation that knows floats only left histograms out.
    HistogramIgnored {
        aggregation: &'static str,
    },
    /// A binary operator has no meaning for these two types.
    IncompatibleTypes {
        operator: &'static str,
        left: &'static str,
        right: &'static str,
    },
    /// Exponential and custom histograms on the two sides of a binary operator.
    IncompatibleLayouts {
        operator: &'static str,
    },
    /// Reset hints contradict each other. `during`: aggregation, addition or subtraction.
    ResetCollision {
        during: &'static str,
    },
    /// Custom bounds were reconciled. `during` as above.
    BoundsReconciled {
        during: &'static str,
    },
    InvalidQuantile(f64),
    InvalidRatio {
        ratio: f64,
        capped: f64,
    },
}

/// Takes remarks; the language's engine adds the place.
pub type Notes<'n> = &'n mut dyn FnMut(Note);

impl Note {
    /// Whether this is an info; otherwise it is a warning.
    pub fn is_info(&self) -> bool {
        matches!(self, Note::HistogramIgnored { .. } | Note::IncompatibleTypes { .. } | Note::BoundsReconciled { .. })
    }

    pub fn text(&self) -> String {
        use crate::number::general;
        match self {
            Note::MixedInAggregation => "encountered a mix of histograms and floats for aggregation".into(),
            Note::MixedSchemas { metric } => {
                of_metric("vector contains a mix of histograms with exponential and custom buckets schemas", metric)
            }
            Note::HistogramIgnored { aggregation } => format!("ignored histogram in {aggregation} aggregation"),
            Note::IncompatibleTypes { operator, left, right } => {
                format!(
                    "incompatible sample types encountered for binary operator {operator:?}: {left} {operator} {right}"
                )
            }
            Note::IncompatibleLayouts { operator } => {
                format!("incompatible bucket layout encountered for binary operator {operator:?}")
            }
            Note::ResetCollision { during } => format!("conflicting counter resets during histogram {during}"),
            Note::BoundsReconciled { during } => format!("mismatched custom buckets were reconciled during {during}"),
            Note::InvalidQuantile(q) => format!("quantile value should be between 0 and 1, got {}", general(*q)),
            Note::InvalidRatio { ratio, capped } => {
                format!(
                    "ratio value should be between -1 and 1, got {}, capping to {}",
                    general(*ratio),
                    general(*capped)
                )
            }
        }
    }
}

/// Reports what an addition or subtraction bent.
pub fn report(bent: Bent, during: &'static str, notes: Notes<'_>) {
    if bent.collision {
        notes(Note::ResetCollision { during });
    }
    if bent.reconciled {
        notes(Note::BoundsReconciled { during });
    }
}

/// `text for metric name "…"`, or the text alone when the series has no name.
pub fn of_metric(text: &str, metric: &str) -> String {
    if metric.is_empty() { text.to_owned() } else { format!("{text} for metric name {metric:?}") }
}
