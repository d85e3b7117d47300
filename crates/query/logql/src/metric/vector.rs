//! Aggregations over series, sorting, and `label_replace`.

use super::Evaluation;
use crate::ast::{Grouping, LabelReplace, Metric, RangeOp, VectorAggregation, VectorOp};
use crate::error::{Error, ParseError};
use crate::re;
use eval::aggregate::{self, Aggregation, Param};
use eval::column::Column;
use eval::merged::Merged;

impl Evaluation<'_> {
    pub(super) fn aggregate(&self, aggregation: &VectorAggregation) -> Result<Vec<Column>, Error> {
        if let Some(columns) = self.summed_at_the_rows(aggregation)? {
            return Ok(columns);
        }
        let columns = self.columns(&aggregation.inner)?;
        let op = match aggregation.op {
            VectorOp::Sum => aggregate::Op::Sum,
            VectorOp::Avg => aggregate::Op::Avg,
            VectorOp::Max => aggregate::Op::Max,
            VectorOp::Min => aggregate::Op::Min,
            VectorOp::Count => aggregate::Op::Count,
            VectorOp::Stddev => aggregate::Op::Stddev,
            VectorOp::Stdvar => aggregate::Op::Stdvar,
            // The exact answer is one that an approximation may give.
            VectorOp::Topk | VectorOp::ApproxTopk => aggregate::Op::TopK,
            VectorOp::Bottomk => aggregate::Op::BottomK,
            VectorOp::Sort | VectorOp::SortDesc => {
                return Ok(self.sorted(columns, aggregation.op == VectorOp::SortDesc));
            }
        };
        let grouping = aggregation.grouping.as_ref();
        let grouping = aggregate::Grouping {
            without: grouping.is_some_and(|g| g.without),
            labels: grouping.map(|g| g.labels.clone()).unwrap_or_default(),
        };
        let param = aggregation.param.map_or(Param::None, |k| Param::Numbers(vec![k as f64; self.grid.steps]));
        // Notes are about histograms, which logs have none of.
        let mut folded = Aggregation::new(op, grouping, param, self.grid.steps, self.budget, &mut |_| {})?;
        for column in columns {
            folded.push(column, &mut |_| {})?;
        }
        Ok(folded.finish(&mut |_| {}))
    }

    /// `sum by (…)` over counts and sizes needs no series in between: the rows are grouped at once.
    fn summed_at_the_rows(&self, aggregation: &VectorAggregation) -> Result<Option<Vec<Column>>, Error> {
        let by = match &aggregation.grouping {
            None => Grouping { without: false, labels: Vec::new() },
            Some(grouping) if !grouping.without => grouping.clone(),
            Some(_) => return Ok(None),
        };
        match &aggregation.inner {
            Metric::Range(range)
                if aggregation.op == VectorOp::Sum
                    && range.grouping.is_none()
                    && match range.unwrap {
                        None => {
                            matches!(range.op, RangeOp::Count | RangeOp::Rate | RangeOp::Bytes | RangeOp::BytesRate)
                        }
                        Some(_) => matches!(range.op, RangeOp::Sum | RangeOp::Rate),
                    } =>
            {
                self.range_columns(range, Some(&by)).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// By value, which only a single step has an order of.
    fn sorted(&self, mut columns: Vec<Column>, descending: bool) -> Vec<Column> {
        if self.grid.steps == 1 {
            columns.retain(|column| column.present(0));
            columns.sort_by(|a, b| {
                let (a, b) = (a.float(0).unwrap_or(f64::NAN), b.float(0).unwrap_or(f64::NAN));
                // NaN is last either way.
                a.is_nan().cmp(&b.is_nan()).then(if descending { b.total_cmp(&a) } else { a.total_cmp(&b) })
            });
        }
        columns
    }

    pub(super) fn label_replace(&self, replace: &LabelReplace) -> Result<Vec<Column>, Error> {
        let regex = re::compile(&format!("^(?:{})$", replace.regex)).map_err(ParseError::whole)?;
        let columns = self.columns(&replace.inner)?;
        // Series that have the same labels now may still have values at different times.
        let mut merged = Merged::new(self.budget);
        for mut column in columns {
            if let Some(captures) = regex.captures(column.labels.value(&replace.source)) {
                let mut replaced = String::new();
                captures.expand(&replace.replacement, &mut replaced);
                column.labels = column.labels.with(&replace.destination, &replaced);
            }
            merged.push(column)?;
        }
        Ok(merged.into_columns())
    }
}
