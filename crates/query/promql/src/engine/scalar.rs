//! Expressions of scalar type: one number a step.

use crate::{
    ast::{Expr, Kind},
    engine::Engine,
};
use eval::{EvalError, column::Grid};

impl Engine<'_> {
    pub(super) fn scalar(&self, expr: &Expr, grid: Grid) -> Result<Vec<f64>, EvalError> {
        let constant = |value: f64| Ok(vec![value; grid.steps]);
        match &expr.kind {
            Kind::Number(value) => constant(*value),
            Kind::Paren(inner) | Kind::Plus(inner) => self.scalar(inner, grid),
            Kind::Negate(inner) => Ok(self.scalar(inner, grid)?.into_iter().map(|v| -v).collect()),
            Kind::Binary { op, left, right, .. } => {
                let (left, right) = (self.scalar(left, grid)?, self.scalar(right, grid)?);
                Ok(left.into_iter().zip(right).map(|(a, b)| op.numbers(a, b)).collect())
            }
            Kind::Call { function, args } => match (function.name, args.as_slice()) {
                ("pi", _) => constant(std::f64::consts::PI),
                ("time", _) => Ok((0..grid.steps).map(|i| grid.time(i) as f64 / 1000.0).collect()),
                ("start", _) => constant(self.query.start as f64 / 1000.0),
                ("end", _) => constant(self.query.end as f64 / 1000.0),
                ("step", _) => constant(self.query.step as f64 / 1000.0),
                ("range", _) => constant((self.query.end - self.query.start) as f64 / 1000.0),
                ("min_of" | "max_of", [a, b]) => {
                    let pick = if function.name == "min_of" { f64::min } else { f64::max };
                    let either = |(a, b): (f64, f64)| if a.is_nan() || b.is_nan() { f64::NAN } else { pick(a, b) };
                    Ok(self.scalar(a, grid)?.into_iter().zip(self.scalar(b, grid)?).map(either).collect())
                }
                ("scalar", [vector]) => self.only_value(vector, grid),
                _ => Err(EvalError::unsupported(format!("function {:?}", function.name))),
            },
            _ => Err(EvalError::execution(format!("a {} where a scalar is needed", expr.kind_type().name()))),
        }
    }

    /// The value of a vector with one series; NaN where it has none or more.
    fn only_value(&self, vector: &Expr, grid: Grid) -> Result<Vec<f64>, EvalError> {
        let mut values = vec![f64::NAN; grid.steps];
        let mut counts = vec![0u32; grid.steps];
        self.stream(vector, grid, &mut |column| {
            for step in 0..grid.steps {
                if let Some(value) = column.float(step) {
                    counts[step] += 1;
                    values[step] = if counts[step] == 1 { value } else { f64::NAN };
                }
            }
            Ok(())
        })?;
        Ok(values)
    }
}
