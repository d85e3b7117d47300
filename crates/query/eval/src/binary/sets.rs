//! Set operators: `and`, `or`, `unless`.

use crate::{
    binary::{Matching, Op},
    budget::Budget,
    column::Column,
    error::EvalError,
};
use model::Labels;
use std::collections::HashMap;

/// Which signatures one side of a set operator has, and at which steps.
///
/// `and`, `unless`: note all series of the right side, then filter those of the left side.
/// `or`: note the series of the left side while passing them on, then filter those of the right side.
pub struct Present<'a> {
    matching: &'a Matching,
    signatures: HashMap<Labels, Vec<bool>>,
    budget: &'a Budget<'a>,
}

impl<'a> Present<'a> {
    pub fn new(matching: &'a Matching, budget: &'a Budget<'a>) -> Present<'a> {
        Present { matching, signatures: HashMap::new(), budget }
    }

    pub fn note(&mut self, column: &Column) -> Result<(), EvalError> {
        let signature = self.matching.signature(&column.labels);
        if !self.signatures.contains_key(&signature) {
            self.budget.charge(signature.packed().len() + column.steps() + 64)?;
        }
        let present = self.signatures.entry(signature).or_insert_with(|| vec![false; column.steps()]);
        for (step, present) in present.iter_mut().enumerate() {
            *present |= column.present(step);
        }
        Ok(())
    }

    /// Leaves of a column of the other side what the operator keeps.
    pub fn filter(&self, op: Op, column: &mut Column) {
        let noted = self.signatures.get(&self.matching.signature(&column.labels));
        for step in 0..column.steps() {
            let noted = noted.is_some_and(|steps| steps[step]);
            if noted != (op == Op::And) {
                column.clear(step);
            }
        }
    }
}
