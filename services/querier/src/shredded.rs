//! Log rows of segments and blocks as the engine takes them: shapes and columns.

use eval::source::{Checked, Rows, Shredded, SourceError, Take};
use logs::{Pages, RowPart, Taken};
use model::{Coded, Labels, LogPage, Shape};
use std::ops::ControlFlow;

/// Hands over selected rows of one object; whether more are wanted. `object` is its number among those that are read by the same
/// thread.
pub fn visit(pages: Pages, object: u32, take: Take<'_>) -> Result<ControlFlow<()>, logs::Error> {
    let mut flow = ControlFlow::Continue(());
    pages.visit(|taken| {
        flow = match taken {
            Taken::Page(page) => take(Rows::Lines(page)),
            Taken::Part(part) => take(Rows::Shredded(&mut Part { part, object })),
        };
        flow
    })?;
    Ok(flow)
}

struct Part<'p, 'l> {
    part: RowPart<'p, 'l>,
    object: u32,
}

fn failed(error: logs::Error) -> SourceError {
    SourceError { reason: error.reason(), text: error.to_string() }
}

impl Shredded for Part<'_, '_> {
    fn labels(&self) -> &Labels {
        self.part.labels()
    }

    fn times(&self) -> &[i64] {
        self.part.times()
    }

    fn group(&self) -> u64 {
        u64::from(self.object) << 32 | self.part.group() as u64
    }

    fn shapes(&self) -> &[u32] {
        self.part.shapes()
    }

    fn shape(&self, number: u32) -> Result<Shape, SourceError> {
        self.part.shape(number).map_err(failed)
    }

    fn column(&mut self, column: u32) -> Result<Coded, SourceError> {
        self.part.column(column).map_err(failed)
    }

    fn numbers(&mut self, column: u32) -> Result<Option<Vec<f64>>, SourceError> {
        self.part.numbers(column).map_err(failed)
    }

    fn check(&mut self, column: u32, test: &dyn Fn(&str) -> bool) -> Result<Checked, SourceError> {
        let (fits, group) = self.part.check(column, test).map_err(failed)?;
        Ok(if group { Checked::Group(fits) } else { Checked::Rows(fits) })
    }

    fn lines(&mut self, rows: &[usize]) -> Result<LogPage, SourceError> {
        self.part.lines(rows).map_err(failed)
    }
}

#[cfg(test)]
mod tests;
