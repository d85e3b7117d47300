//! Columns put together by their labels, for operators that must see all of a vector.

use crate::{budget::Budget, column::Column, error::EvalError};
use model::Labels;
use std::collections::HashMap;

/// What it takes to find a column again.
const KEY: usize = 64;

/// All series of a vector, each once, charged to the budget.
pub struct Merged<'a> {
    columns: Vec<Column>,
    by_labels: HashMap<(Labels, bool), usize>,
    budget: &'a Budget<'a>,
}

impl<'a> Merged<'a> {
    pub fn new(budget: &'a Budget<'a>) -> Merged<'a> {
        Merged { columns: Vec::new(), by_labels: HashMap::new(), budget }
    }

    /// Takes a column. It is an error when one of the same labels has a value at one of its steps.
    pub fn push(&mut self, column: Column) -> Result<(), EvalError> {
        if column.is_empty() {
            return Ok(());
        }
        let key = (column.labels.clone(), column.drop_name);
        if let Some(&at) = self.by_labels.get(&key) {
            return self.columns[at]
                .merge(&column)
                .map_err(|_| EvalError::execution("vector cannot contain metrics with the same labelset"));
        }
        self.budget.charge(column.size() + KEY)?;
        self.by_labels.insert(key, self.columns.len());
        self.columns.push(column);
        Ok(())
    }

    /// Takes all columns of another one.
    pub fn append(&mut self, other: Merged<'a>) -> Result<(), EvalError> {
        for column in other.columns {
            self.budget.release(column.size() + KEY);
            self.push(column)?;
        }
        Ok(())
    }

    /// In the order in which their labels first came up.
    pub fn into_columns(self) -> Vec<Column> {
        self.columns
    }
}
