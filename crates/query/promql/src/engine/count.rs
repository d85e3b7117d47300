//! Counts for statistics what the steps of the query itself look at; subqueries count by the values that they give.

use crate::{
    engine::{Engine, selector::What, windows::RangeSeries},
    tally::{Tally, samples_of},
};
use eval::column::{Cell, Column, Grid};

impl Engine<'_> {
    /// Where to count what is looked at on this grid, if anybody wants to know.
    fn tally(&self, grid: Grid) -> Option<&Tally> {
        let query = self.query;
        let own =
            if query.step == 0 { Grid::instant(query.start) } else { Grid::range(query.start, query.end, query.step) };
        self.options.tally.as_deref().filter(|_| grid == own)
    }

    /// The samples that stand for a series.
    pub(super) fn count_instants(&self, column: &Column, what: What, grid: Grid) {
        let Some(tally) = self.tally(grid) else { return };
        for step in 0..grid.steps {
            match column.get(step) {
                Cell::Absent => {}
                Cell::Histogram(histogram) if what == What::Value => tally.add(grid.time(step), samples_of(histogram)),
                Cell::Float(_) | Cell::Histogram(_) => tally.add(grid.time(step), 1),
            }
        }
    }

    /// The samples in the windows of a series.
    pub(super) fn count_windows(&self, series: &RangeSeries<'_>, grid: Grid) {
        let Some(tally) = self.tally(grid) else { return };
        series.each(|step, window| {
            let histograms: u64 = window.histograms.iter().map(|point| samples_of(&point.value)).sum();
            tally.add(grid.time(step), window.times.len() as u64 + histograms);
        });
    }
}
