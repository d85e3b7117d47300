//! The templates of a log query's lines, counted by time over all of them, though few are looked at.
//!
//! Lines that are kept taken apart have shapes already, and those of one stream, row group and shape are alike: a few of
//! them are read and mined, and all are counted in turn for what these have become. Of other lines that lie side by side
//! every so manieth is mined, and stands for those up to the next.

use crate::ast::Expr;
use crate::error::Error;
use crate::mine::{Miner, Template};
use crate::options::Options;
use crate::pipeline::Pipeline;
use crate::row::Row;
use eval::budget::Budget;
use eval::source::{LogSelection, Order, PageSource, Rows, Shredded, chained};
use model::{Labels, LogPage, TimeRange};
use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::ControlFlow;

/// Lines of one shape, or of a page, that are looked at.
const LOOKS: usize = 16;
/// Once so many lines were looked at, one of each shape and page has to do.
const MANY_LOOKS: usize = 20_000;

/// The templates of the lines that a log query finds from `start_ns` to before `end_ns`, those of the most lines first.
/// Their counts are by the beginning of the step, a multiple of `step_ns`; together they are all lines, unless there are
/// more than [`MAX_TEMPLATES`](crate::mine::MAX_TEMPLATES) templates. How lines are shared out among templates is an
/// estimate.
///
/// # Errors
/// A metric query is refused; the query is over its budget, or nobody waits for it.
pub fn patterns(
    source: &dyn PageSource,
    expr: &Expr,
    (start_ns, end_ns): (i64, i64),
    step_ns: i64,
    options: &Options,
) -> Result<Vec<Template>, Error> {
    let Expr::Log(log) = expr else {
        return Err(Error::Kind("it gives numbers"));
    };
    if end_ns <= start_ns {
        return Ok(Vec::new());
    }
    let pipeline = Pipeline::new(&log.stages)?.at(options.now);
    let budget = Budget::new(options.max_memory, &*options.cancelled);
    let range = TimeRange::new(start_ns, end_ns - 1);
    let selection = LogSelection {
        matchers: log.matchers.clone(),
        range,
        contains: pipeline.contains(),
        lines: true,
        order: Order::Backward,
        limit: None,
        horizon: None,
    };
    let mut mining =
        Mining { range, step: step_ns, looked: 0, miner: Miner::default(), known: Known::of(None, Labels::empty()) };
    let mut result = Ok(());
    chained(source.visits(&selection, pipeline.is_empty(), 1)?)(&mut |rows| {
        result = budget.tick().map_err(Error::from).and_then(|()| match rows {
            Rows::Lines(page) => {
                mining.take_page(&page, &pipeline);
                Ok(())
            }
            Rows::Shredded(part) => mining.take_part(part),
        });
        if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    result.map(|()| mining.miner.finish())
}

struct Mining {
    range: TimeRange,
    step: i64,
    looked: usize,
    miner: Miner,
    known: Known,
}

/// What is known of the shapes of a row group, for one stream after the other.
struct Known {
    group: Option<u64>,
    labels: Labels,
    shapes: HashMap<u32, Shape>,
}

/// Templates for which the lines of a shape count in turn: those of the lines that were looked at.
#[derive(Default)]
struct Shape {
    templates: Vec<Option<usize>>,
    /// Lines counted so far.
    lines: usize,
}

impl Known {
    fn of(group: Option<u64>, labels: Labels) -> Known {
        Known { group, labels, shapes: HashMap::new() }
    }
}

impl Mining {
    /// Takes rows that are kept taken apart.
    fn take_part(&mut self, part: &mut dyn Shredded) -> Result<(), Error> {
        let same_group = self.known.group == Some(part.group());
        if !same_group || (self.known.labels != *part.labels() && self.looked < MANY_LOOKS) {
            self.known = Known::of(Some(part.group()), part.labels().clone());
        }
        let (shapes, steps) = (part.shapes().to_vec(), self.steps(part.times()));
        // By shape, in the order of time.
        let mut rows: Vec<usize> = (0..steps.len()).filter(|row| self.range.contains(part.times()[*row])).collect();
        rows.sort_by_key(|row| shapes[*row]);
        let by_shape = || rows.chunk_by(|a, b| shapes[*a] == shapes[*b]);
        let mut chosen = Vec::new();
        for rows in by_shape() {
            let shape = self.known.shapes.entry(shapes[rows[0]]).or_default();
            // Lines that were kept whole have nothing in common.
            if shape.templates.is_empty() || (shapes[rows[0]] == 0 && self.looked < MANY_LOOKS) {
                shape.templates.clear();
                let looks = looks(&mut self.looked, rows.len());
                chosen.extend((0..looks).map(|look| rows[look * rows.len() / looks]));
            }
        }
        // Lines can be read in order only.
        chosen.sort_unstable();
        if !chosen.is_empty() {
            let page = part.lines(&chosen)?;
            for (at, row) in chosen.iter().enumerate().take(page.len()) {
                let template = self.miner.learn(page.line(at));
                self.known.shapes.entry(shapes[*row]).or_default().templates.push(template);
            }
        }
        for rows in by_shape() {
            let shape = self.known.shapes.entry(shapes[rows[0]]).or_default();
            for alike in rows.chunk_by(|a, b| steps[*a] == steps[*b]) {
                shape.count(alike.len(), |template, lines| self.miner.count(template, steps[alike[0]], lines));
            }
        }
        Ok(())
    }

    /// The beginning of the step in which each time is.
    fn steps(&self, times: &[i64]) -> Vec<i64> {
        times.iter().map(|time| time.div_euclid(self.step).saturating_mul(self.step)).collect()
    }

    /// Takes a page of lines.
    fn take_page(&mut self, page: &LogPage, pipeline: &Pipeline) {
        let labels: Vec<(&str, &str)> = page.labels.iter().collect();
        let mut row = Row::new(&labels);
        // With their steps, as the stages leave them.
        let mut lines: Vec<(i64, Cow<'_, str>)> = Vec::new();
        let steps = self.steps(&page.times);
        let candidates = pipeline.candidates(page);
        for next in 0..candidates.as_ref().map_or(page.len(), Vec::len) {
            let at = candidates.as_ref().map_or(next, |rows| rows[next]);
            if !self.range.contains(page.times[at]) || !pipeline.passes_early(page, at) {
                continue;
            }
            if pipeline.is_empty() {
                lines.push((steps[at], page.line(at).into()));
                continue;
            }
            row.load(page, at);
            if pipeline.run(&mut row) {
                lines.push((steps[at], row.line.clone().into_owned().into()));
            }
        }
        let looks = looks(&mut self.looked, lines.len());
        for look in 0..looks {
            let those = &lines[look * lines.len() / looks..(look + 1) * lines.len() / looks];
            let Some(template) = self.miner.learn(&those[0].1) else { continue };
            those.iter().for_each(|(step, _)| self.miner.count(template, *step, 1));
        }
    }
}

/// How many of so many lines are looked at, where so many were before.
fn looks(looked: &mut usize, lines: usize) -> usize {
    let looks = lines.min(if *looked < MANY_LOOKS { LOOKS } else { 1 });
    *looked += looks;
    looks
}

impl Shape {
    /// Counts so many lines for its templates, in turn.
    fn count(&mut self, lines: usize, mut count: impl FnMut(usize, u64)) {
        let ways = self.templates.len();
        for (at, template) in self.templates.iter().enumerate() {
            // Of lines numbered on, those whose turn is `at`.
            let turns = |lines: usize| (lines + ways - 1 - at) / ways;
            let own = turns(self.lines + lines) - turns(self.lines);
            if let (Some(template), 1..) = (template, own) {
                count(*template, own as u64);
            }
        }
        self.lines += lines;
    }
}
