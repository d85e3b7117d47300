//! Where the windows of a range vector lie in a series' floats, and what extrapolation takes from the times alone.
//!
//! Series that were scraped together have the same times, so all of this is found once for them, and a step of `rate`
//! costs a subtraction, a comparison and a multiplication.

use crate::engine::windows::advance;
use crate::functions::rate::{Difference, Reach};
use eval::column::ABSENT;
use model::Times;
use std::cell::OnceCell;
use std::ops::Range;

pub(super) struct Layout {
    times: Times,
    /// Milliseconds.
    range: i64,
    windows: Vec<Window>,
    slopes: OnceCell<Vec<Slope>>,
}

/// The floats of one step, and where its window ends.
#[derive(Clone, Copy)]
struct Window {
    from: u32,
    to: u32,
    end: i64,
}

/// One step's extrapolation.
#[derive(Clone, Copy)]
struct Slope {
    /// By what a difference is multiplied, unless the counter is so near to its zero that this has to be looked at:
    factor: f64,
    /// surely not, if it begins with more than so many times what it grows by.
    near: f64,
}

/// More than the rounding errors of the quick comparison.
const SURELY: f64 = 1.0 + 1e-9;

impl Layout {
    /// `ends`: those of the steps' windows, ascending; `margins`: how far windows reach beyond their borders.
    pub fn new(times: &Times, range: i64, margins: (i64, i64), ends: impl Iterator<Item = i64>) -> Layout {
        let mut floats = 0..0;
        let windows = ends.map(|end| {
            let low = end.saturating_sub(range).saturating_sub(margins.0);
            advance(&mut floats, times.len(), |at| times[at], low, end.saturating_add(margins.1));
            Window { from: floats.start as u32, to: floats.end as u32, end }
        });
        Layout { windows: windows.collect(), times: times.clone(), range, slopes: OnceCell::new() }
    }

    pub fn times(&self) -> &Times {
        &self.times
    }

    /// The floats of a step.
    pub fn window(&self, step: usize) -> Range<usize> {
        let window = self.windows[step];
        window.from as usize..window.to as usize
    }

    /// What [`crate::functions::rate::extrapolated`] gives for the windows of such a series. `drops`: the places of
    /// values that are less than the one before, and what was before each.
    pub fn differences(&self, values: &[f64], drops: (&[usize], &[f64]), how: Difference) -> Vec<f64> {
        let slopes = self.slopes.get_or_init(|| self.slopes(how));
        let mut passed = 0..0;
        let steps = self.windows.iter().zip(slopes);
        steps
            .map(|(window, slope)| {
                let (from, to) = (window.from as usize, window.to as usize);
                if to - from < 2 {
                    return ABSENT;
                }
                let begin = values[from];
                let mut grown = values[to - 1] - begin;
                if !drops.0.is_empty() {
                    // A drop is within the window when both of its samples are.
                    advance(&mut passed, drops.0.len(), |at| drops.0[at] as i64, from as i64, to as i64 - 1);
                    drops.1[passed.clone()].iter().for_each(|before| grown += before);
                }
                let near = how.counter && grown > 0.0 && begin >= 0.0 && begin <= slope.near * grown;
                grown * if near { self.factor(window, how, Some((begin, grown))) } else { slope.factor }
            })
            .collect()
    }

    fn slopes(&self, how: Difference) -> Vec<Slope> {
        let slope = |window: &Window| {
            if window.to - window.from < 2 {
                return Slope { factor: 0.0, near: 0.0 };
            }
            let reach = self.reach(window);
            Slope { factor: self.factor(window, how, None), near: reach.to_start / reach.sampled * SURELY }
        };
        self.windows.iter().map(slope).collect()
    }

    fn reach(&self, window: &Window) -> Reach {
        let ends = (self.times[window.from as usize], self.times[window.to as usize - 1]);
        Reach::of(ends, (window.to - window.from) as usize, (window.end - self.range, window.end))
    }

    /// `counter`: what it begins with and grows by, where that matters.
    fn factor(&self, window: &Window, how: Difference, counter: Option<(f64, f64)>) -> f64 {
        let reach = self.reach(window);
        let reach = counter.map_or(reach, |(begin, grown)| reach.from_zero(begin, grown));
        reach.factor(how.per_second.then_some(self.range))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::functions::{
        rate,
        window::{Remarks, Window as Samples},
    };
    use eval::binary::Outcome;
    use proptest::prelude::*;

    proptest! {
        /// Counters that are reset, begin at zero or far from it, with gaps; gauges too.
        #[test]
        fn differences_are_those_of_each_window(
            gaps in prop::collection::vec(prop_oneof![4 => Just(15_000i64), 1 => 1i64..200_000], 1..60),
            growth in prop::collection::vec(prop_oneof![4 => 0.0f64..50.0, 1 => Just(0.0), 1 => -900.0f64..0.0], 60),
            begin in prop_oneof![Just(0.0), 0.0f64..10.0, Just(1e9)],
            (range, step) in (1i64..400_000, 1i64..100_000),
            (counter, per_second) in any::<(bool, bool)>(),
        ) {
            let times: Times = gaps.iter().scan(1_000_000, |at, gap| { *at += gap; Some(*at) }).collect();
            let grow = |at: &mut f64, by: &f64| { *at = if *at + by < 0.0 && counter { 0.0 } else { *at + by }; Some(*at) };
            let values: Vec<f64> = growth[..times.len()].iter().scan(begin, grow).collect();
            let drops: Vec<usize> = (1..values.len()).filter(|at| values[*at] < values[at - 1]).collect();
            let before: Vec<f64> = drops.iter().map(|at| values[at - 1]).collect();
            let how = Difference { counter, per_second, starts: false };
            let ends: Vec<i64> = (0..80).map(|at| 1_000_000 + at * step).collect();
            let layout = Layout::new(&times, range, (0, 0), ends.iter().copied());
            let got = layout.differences(&values, if counter { (&drops, &before) } else { Default::default() }, how);
            for (at, end) in ends.into_iter().enumerate() {
                let floats = layout.window(at);
                let inside = |time: i64| time > end - range && time <= end;
                let right = times.iter().enumerate().all(|(place, time)| floats.contains(&place) == inside(*time));
                prop_assert!(right, "{:?} of {:?} up to {}", floats, times, end);
                let window = Samples {
                    times: &times[floats.clone()],
                    offset: floats.start,
                    values: &values[floats],
                    starts: &[],
                    drops: None,
                    histograms: &[],
                    start: end - range,
                    end,
                };
                let want = match rate::extrapolated(&window, how, &mut Remarks::new("m")) {
                    Outcome::Float(value) => value,
                    _ => ABSENT,
                };
                prop_assert_eq!(got[at].to_bits(), want.to_bits(), "{} and {}", got[at], want);
            }
        }
    }
}
