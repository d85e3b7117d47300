//! Writes a page: the samples of consecutive series, the numbers of series alike in one stream.

use super::frame::Frames;
use super::numbers::Numbers;
use super::values::{Shape, Shaper, cost};
use crate::bytes_io::{put_bytes, put_signed, put_varint};
use crate::error::Error;
use crate::histogram;
use model::{Series, TimeRange};

/// What a page says of a series.
pub mod flag {
    pub const KIND: u8 = 7;
    pub const SPECIAL: u8 = 1 << 3;
    pub const STARTS: u8 = 1 << 4;
    pub const HISTOGRAMS: u8 = 1 << 5;
    pub const SCALED: u8 = 1 << 6;
    pub const SHIFTED: u8 = 1 << 7;
}

/// A stream takes series of neighbouring classes until it has so many numbers.
const STREAM: usize = 1024;
/// Stream numbers are bytes.
const MAX_STREAMS: usize = 255;

/// Gathers series until they are a page.
#[derive(Default)]
pub struct PageWriter {
    shaper: Shaper,
    series: Vec<Pending>,
    residuals: Vec<i64>,
    scratch: Vec<i64>,
    histograms: Vec<u8>,
    samples: usize,
    times: TimeRangeOrNone,
}

type TimeRangeOrNone = Option<TimeRange>;

struct Pending {
    /// One more than the number of the floats' time vector; 0 when there are none.
    times: u32,
    shape: Option<Shape>,
    /// Bits an average residual takes.
    class: u8,
    /// Of the residuals of the page.
    residuals: std::ops::Range<usize>,
    starts: Vec<(u64, i64)>,
    histogram_times: u32,
    histogram_starts: Vec<(u64, i64)>,
}

/// Where a page is and what it covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageEntry {
    pub series: u32,
    pub times: TimeRange,
    pub len: u64,
    pub crc: u32,
}

impl PageWriter {
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// Adds the next series. `times` and `histogram_times` are the numbers of its time vectors, where it has samples.
    pub fn push(&mut self, series: &Series, times: Option<u32>, histogram_times: Option<u32>) {
        if self.series.is_empty() {
            self.shaper.start_page();
        }
        let from = self.residuals.len();
        let shape = times.map(|times| self.shaper.shape(&series.values, times, &mut self.scratch));
        let mut class = 0;
        if let Some(shape) = shape.as_ref().filter(|shape| shape.kind.has_residuals()) {
            let count = self.scratch.len().max(1) as u64;
            class = (cost(&self.scratch).div_ceil(count)) as u8;
            debug_assert_eq!(self.scratch.len() + 1, series.values.len(), "{:?}", shape.kind);
            self.residuals.extend_from_slice(&self.scratch);
        }
        for sample in &series.histograms {
            histogram::encode(&sample.value, &mut self.histograms);
        }
        let number = |times: Option<u32>| times.map_or(0, |number| number + 1);
        self.series.push(Pending {
            times: number(times),
            shape,
            class,
            residuals: from..self.residuals.len(),
            starts: runs(series.starts.iter().copied()),
            histogram_times: number(histogram_times),
            histogram_starts: runs(series.histograms.iter().map(|h| h.start)),
        });
        // A series without samples has exemplars; it counts, so that a page stays small.
        self.samples += (series.times.len() + series.histograms.len()).max(1);
        let mut covered = self.times.unwrap_or(TimeRange::EMPTY);
        series.times.first().into_iter().chain(series.times.last()).for_each(|&time| covered.include(time));
        let histograms = &series.histograms;
        histograms.first().into_iter().chain(histograms.last()).for_each(|h| covered.include(h.time));
        self.times = Some(covered);
    }

    /// Appends the page to `out`.
    pub fn flush(
        &mut self,
        frames: &mut Frames,
        numbers: &mut Numbers,
        out: &mut Vec<u8>,
    ) -> Result<Option<PageEntry>, Error> {
        let Some(times) = self.times.take() else { return Ok(None) };
        let start = out.len();
        let (stream_of, streams) = self.assign();
        let meta = self.meta(&stream_of, streams.len());
        let mut packed = Vec::with_capacity(meta.len() / 2);
        frames.put(&meta, &mut packed)?;
        put_bytes(out, &packed);
        for members in &streams {
            self.scratch.clear();
            let mut groups = Vec::with_capacity(members.len());
            for &member in members {
                let own = &self.residuals[self.series[member].residuals.clone()];
                self.scratch.extend_from_slice(own);
                groups.push(own.len());
            }
            numbers.put(&self.scratch, &groups, out)?;
        }
        if !self.histograms.is_empty() {
            frames.put(&self.histograms, out)?;
        }
        let data = &out[start..];
        let entry =
            PageEntry { series: self.series.len() as u32, times, len: data.len() as u64, crc: crc32c::crc32c(data) };
        self.series.clear();
        self.residuals.clear();
        self.histograms.clear();
        self.samples = 0;
        Ok(Some(entry))
    }

    /// Which stream each series' residuals go to, and the series of each stream, in order.
    fn assign(&self) -> (Vec<u8>, Vec<Vec<usize>>) {
        let mut by_class: Vec<usize> =
            (0..self.series.len()).filter(|&at| !self.series[at].residuals.is_empty()).collect();
        by_class.sort_by_key(|&at| self.series[at].class);
        let mut streams: Vec<Vec<usize>> = Vec::new();
        let (mut filled, mut class) = (usize::MAX, 0);
        for at in by_class {
            let series = &self.series[at];
            let full = filled >= STREAM && series.class != class || filled == usize::MAX;
            if full && streams.len() < MAX_STREAMS {
                streams.push(Vec::new());
                filled = 0;
            }
            if let Some(stream) = streams.last_mut() {
                stream.push(at);
            }
            filled += series.residuals.len();
            class = series.class;
        }
        let mut stream_of = vec![0; self.series.len()];
        for (number, stream) in (0u8..).zip(&mut streams) {
            stream.sort_unstable();
            stream.iter().for_each(|&at| stream_of[at] = number);
        }
        (stream_of, streams)
    }

    fn meta(&self, stream_of: &[u8], streams: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.series.len() * 12);
        let (mut last, mut last_histogram) = (0, 0);
        for series in &self.series {
            put_signed(&mut out, i64::from(series.times) - last);
            last = i64::from(series.times);
        }
        out.extend(self.series.iter().map(Pending::flags));
        let shapes = || self.series.iter().filter_map(|series| series.shape.as_ref());
        out.extend(shapes().map(|shape| shape.scale).filter(|&scale| scale > 0));
        out.extend(shapes().map(|shape| shape.shift).filter(|&shift| shift > 0));
        out.push(streams as u8);
        if streams > 1 {
            let with = self.series.iter().zip(stream_of).filter(|(series, _)| !series.residuals.is_empty());
            out.extend(with.map(|(_, &stream)| stream));
        }
        shapes().for_each(|shape| shape.put(&mut out));
        for series in &self.series {
            put_runs(&mut out, &series.starts);
            if series.histogram_times > 0 {
                put_signed(&mut out, i64::from(series.histogram_times) - last_histogram);
                last_histogram = i64::from(series.histogram_times);
                put_varint(&mut out, u64::from(!series.histogram_starts.is_empty()));
                put_runs(&mut out, &series.histogram_starts);
            }
        }
        out
    }
}

impl Pending {
    fn flags(&self) -> u8 {
        let mut flags = 0;
        if let Some(shape) = &self.shape {
            flags |= shape.kind as u8;
            flags |= if shape.special.is_empty() { 0 } else { flag::SPECIAL };
            flags |= if shape.scale > 0 { flag::SCALED } else { 0 };
            flags |= if shape.shift > 0 { flag::SHIFTED } else { 0 };
        }
        flags |= if self.starts.is_empty() { 0 } else { flag::STARTS };
        flags | if self.histogram_times > 0 { flag::HISTOGRAMS } else { 0 }
    }
}

/// Start timestamps as runs of the same one; none when all are 0.
fn runs(starts: impl Iterator<Item = i64>) -> Vec<(u64, i64)> {
    let mut runs: Vec<(u64, i64)> = Vec::new();
    for start in starts {
        match runs.last_mut() {
            Some((len, last)) if *last == start => *len += 1,
            _ => runs.push((1, start)),
        }
    }
    if matches!(runs[..], [(_, 0)]) { Vec::new() } else { runs }
}

fn put_runs(out: &mut Vec<u8>, runs: &[(u64, i64)]) {
    let mut last = 0i64;
    for &(len, start) in runs {
        put_varint(out, len);
        put_signed(out, start.wrapping_sub(last));
        last = start;
    }
}
