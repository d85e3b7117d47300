//! What an aggregation knows of some series, as bytes: for one that goes on elsewhere with the rest of them.

use super::{Aggregation, Fold, Group, Kind, Op, add_counts};
use crate::{column::Column, error::EvalError, note::Notes};
use model::{Labels, Reason};
use serde::{Deserialize, Serialize};

/// About how long a part is, in bytes, if no group is longer.
const LENGTH: usize = 1 << 20;

/// What is known of a group, or some of it.
#[derive(Serialize, Deserialize)]
struct Known {
    labels: Labels,
    drop_name: bool,
    what: What,
}

#[derive(Serialize, Deserialize)]
enum What {
    Fold(Box<Fold>),
    /// How often a value came up.
    Counts(String, Column),
    /// A series of which some values are chosen.
    Picked(Column),
}

impl Op {
    /// Whether series can be given to several aggregations, in any order, and these then be merged; and whether that
    /// saves anything. `limitk` answers the series that come first, `quantile` keeps all values.
    pub fn is_mergeable(self) -> bool {
        !matches!(self, Op::LimitK | Op::Quantile)
    }
}

impl Aggregation<'_> {
    /// Writes all that is known, in parts for [`Aggregation::take`].
    pub fn parts(self, emit: &mut dyn FnMut(Vec<u8>) -> Result<(), EvalError>) -> Result<(), EvalError> {
        let mut part = Vec::new();
        for Group { labels, drop_name, kind } in self.state {
            let mut add = |what| {
                let known = Known { labels: labels.clone(), drop_name, what };
                part = postcard::to_extend(&known, std::mem::take(&mut part)).map_err(broken)?;
                if part.len() >= LENGTH { emit(std::mem::take(&mut part)) } else { Ok(()) }
            };
            match kind {
                Kind::Fold(fold) => add(What::Fold(fold))?,
                Kind::Counts(counts) => counts.into_iter().try_for_each(|(text, n)| add(What::Counts(text, n)))?,
                Kind::Picked(picked) => picked.into_columns().try_for_each(|column| add(What::Picked(column)))?,
                Kind::Values(_) => return Err(broken("all values are needed")),
            }
        }
        if part.is_empty() { Ok(()) } else { emit(part) }
    }

    /// Takes over a part of what another aggregation of the same kind knows, which had other series.
    pub fn take(&mut self, mut part: &[u8], notes: Notes<'_>) -> Result<(), EvalError> {
        while !part.is_empty() {
            let (known, rest): (Known, _) = postcard::take_from_bytes(part).map_err(broken)?;
            self.take_known(known, notes)?;
            part = rest;
        }
        Ok(())
    }

    fn take_known(&mut self, known: Known, notes: Notes<'_>) -> Result<(), EvalError> {
        let Known { labels, drop_name, what } = known;
        let fits = match &what {
            What::Fold(fold) => fold.fits(self.op, self.steps),
            What::Counts(_, column) | What::Picked(column) => column.has_steps(self.steps),
        };
        if !fits {
            return Err(broken("another operation or number of steps"));
        }
        let at = self.group(labels, drop_name)?;
        match (&mut self.state[at].kind, what) {
            (Kind::Fold(fold), What::Fold(other)) => {
                self.budget.charge(other.size_of_histograms())?;
                fold.merge(*other, notes);
                Ok(())
            }
            (Kind::Counts(counts), What::Counts(text, other)) => add_counts(counts, text, other, self.budget),
            (Kind::Picked(picked), What::Picked(column)) => picked.push(column, &self.numbers, self.budget, notes),
            _ => Err(broken("another kind of group")),
        }
    }
}

/// Parts come from members of the same cluster, so this is nobody's fault who asks.
fn broken(why: impl std::fmt::Display) -> EvalError {
    let text = format!("a part of an aggregation that was computed elsewhere cannot be used: {why}");
    EvalError::Source(crate::source::SourceError { reason: Reason::Internal, text })
}
