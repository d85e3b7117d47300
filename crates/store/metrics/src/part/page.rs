//! A page: the samples of consecutive series, the numbers of series alike in one stream.

use super::frame::{self, Frames};
use super::numbers::{self, Numbers};
use super::times::MAX_TIMES;
use super::values::{Kind, Shape, Shaper, cost};
use crate::bytes_io::{Cursor, put_bytes, put_signed, put_varint};
use crate::error::{Error, corrupt};
use crate::histogram;
use model::rows::HistogramSample;
use model::{Series, TimeRange};
use std::sync::Arc;

const KIND: u8 = 7;
const SPECIAL: u8 = 1 << 3;
const STARTS: u8 = 1 << 4;
const HISTOGRAMS: u8 = 1 << 5;
const SCALED: u8 = 1 << 6;
const SHIFTED: u8 = 1 << 7;

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
            flags |= if shape.special.is_empty() { 0 } else { SPECIAL };
            flags |= if shape.scale > 0 { SCALED } else { 0 };
            flags |= if shape.shift > 0 { SHIFTED } else { 0 };
        }
        flags |= if self.starts.is_empty() { 0 } else { STARTS };
        flags | if self.histogram_times > 0 { HISTOGRAMS } else { 0 }
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

/// Reads runs until they make up `n` samples.
fn take_runs(cursor: &mut Cursor<'_>, n: usize) -> Result<Vec<(usize, i64)>, Error> {
    let (mut all, mut start, mut runs) = (0usize, 0i64, Vec::new());
    while all < n {
        let len = cursor.varint()? as usize;
        start = start.wrapping_add(cursor.signed()?);
        all = all.saturating_add(len);
        if len == 0 || all > n {
            return corrupt("runs of start timestamps do not fit their series");
        }
        runs.push((len, start));
    }
    Ok(runs)
}

fn spread(runs: &[(usize, i64)], n: usize) -> Vec<i64> {
    let mut starts = Vec::with_capacity(n);
    runs.iter().for_each(|&(len, start)| starts.extend(std::iter::repeat_n(start, len)));
    starts
}

/// A page whose series are known and whose numbers are not yet decoded.
pub struct Page<'a> {
    series: Vec<Opened>,
    streams: Vec<(u8, &'a [u8])>,
    histograms: &'a [u8],
}

struct Opened {
    times: Option<u32>,
    shape: Option<Shape>,
    stream: u8,
    /// Where its residuals begin in the stream.
    at: usize,
    starts: Vec<(usize, i64)>,
    histogram_times: Option<u32>,
    histogram_starts: Vec<(usize, i64)>,
}

/// Time vectors by number.
pub trait Vectors {
    fn get(&mut self, number: u32) -> Result<Arc<[i64]>, Error>;
}

impl<'a> Page<'a> {
    /// Reads what a page says of its series, of which `count` are announced.
    pub fn open(data: &'a [u8], count: u32, vectors: &mut impl Vectors) -> Result<Page<'a>, Error> {
        let mut cursor = Cursor::new(data);
        let meta = frame::open(cursor.bytes()?)?;
        let mut meta = Cursor::new(&meta);
        if count as usize > meta.len() {
            return corrupt("a page has fewer series than its directory says");
        }
        let mut times = Vec::with_capacity(count as usize);
        let mut last = 0i64;
        for _ in 0..count {
            last = last.wrapping_add(meta.signed()?);
            times.push(u32::try_from(last).or(corrupt("a page names an impossible time vector"))?);
        }
        let flags = meta.take(count as usize)?;
        let has = |times: u32, flag: u8, flags: u8| times > 0 && flags & flag != 0;
        let with = |flag: u8| times.iter().zip(flags).filter(|(times, flags)| has(**times, flag, **flags)).count();
        let mut scales = meta.take(with(SCALED))?.iter().copied();
        let mut shifts = meta.take(with(SHIFTED))?.iter().copied();
        let streams = usize::from(meta.u8()?);
        let lens = times.iter().map(|&times| if times > 0 { vectors.get(times - 1).map(|v| v.len()) } else { Ok(0) });
        let lens = lens.collect::<Result<Vec<usize>, Error>>()?;
        let residuals = |at: usize| -> Result<usize, Error> {
            let with = times[at] > 0 && Kind::from_code(flags[at] & KIND)?.has_residuals();
            Ok(if with { lens[at].saturating_sub(1) } else { 0 })
        };
        let mut counts = vec![0usize; streams.max(1)];
        let mut places = Vec::with_capacity(lens.len());
        for at in 0..lens.len() {
            let n = residuals(at)?;
            let stream = if streams > 1 && n > 0 { meta.u8()? } else { 0 };
            let Some(filled) = counts.get_mut(usize::from(stream)) else {
                return corrupt("a series names an unknown stream");
            };
            places.push((stream, *filled));
            *filled = filled.saturating_add(n);
            if *filled > MAX_PAGE || (n > 0 && streams == 0) {
                return corrupt("a page has more numbers than any has");
            }
        }
        let mut series = Vec::with_capacity(lens.len());
        for (at, (stream, place)) in places.into_iter().enumerate() {
            let flags = flags[at];
            let shape = if times[at] > 0 {
                let scale = if flags & SCALED != 0 { scales.next().unwrap_or(0) } else { 0 };
                let shift = if flags & SHIFTED != 0 { shifts.next().unwrap_or(0) } else { 0 };
                Some(Shape::take(&mut meta, Kind::from_code(flags & KIND)?, scale, shift, flags & SPECIAL != 0)?)
            } else {
                None
            };
            let times = times[at].checked_sub(1);
            series.push(Opened {
                times,
                shape,
                stream,
                at: place,
                starts: Vec::new(),
                histogram_times: None,
                histogram_starts: Vec::new(),
            });
        }
        let mut last = 0i64;
        for (at, series) in series.iter_mut().enumerate() {
            if flags[at] & STARTS != 0 {
                series.starts = take_runs(&mut meta, lens[at])?;
            }
            if flags[at] & HISTOGRAMS != 0 {
                last = last.wrapping_add(meta.signed()?);
                let number = u32::try_from(last).ok().and_then(|n| n.checked_sub(1));
                let number = number.ok_or(Error::Corrupt { why: "a page names an impossible time vector" })?;
                series.histogram_times = Some(number);
                if meta.varint()? != 0 {
                    series.histogram_starts = take_runs(&mut meta, vectors.get(number)?.len())?;
                }
            }
        }
        let streams = (0..streams).map(|at| numbers::skim(&mut cursor, counts[at])).collect::<Result<_, _>>()?;
        Ok(Page { series, streams, histograms: cursor.take(cursor.len())? })
    }

    /// Decodes the wanted series (ascending places in the page) and gives each with its samples within `range`, if it
    /// has any, without labels.
    pub fn decode(
        &self,
        wanted: &[u32],
        range: TimeRange,
        vectors: &mut impl Vectors,
        mut each: impl FnMut(u32, Series),
    ) -> Result<(), Error> {
        let mut decoded: Vec<Option<Vec<i64>>> = vec![None; self.streams.len()];
        let mut wholes = Vec::new();
        let mut values = Vec::new();
        let mut histograms = self.histograms(wanted, vectors)?.into_iter();
        let mut next = 0;
        for &place in wanted {
            // A bucket rests on the series before it, and that perhaps on the one before it.
            let mut from = place as usize;
            while from > next && self.series.get(from).is_some_and(|s| s.rests_on_before()) {
                from -= 1;
            }
            for at in from..place as usize {
                let Some((opened, shape)) = self.series.get(at).and_then(|s| Some((s, s.shape.as_ref()?))) else {
                    continue;
                };
                let n = opened.times.map_or(Ok(0), |number| vectors.get(number).map(|v| v.len()))?;
                let residuals = self.residuals(opened, shape, n, &mut decoded, vectors)?;
                shape.restore_wholes(n, residuals, &mut wholes)?;
            }
            next = place as usize + 1;
            let Some(opened) = self.series.get(place as usize) else { return corrupt("a page has no such series") };
            let mut series = Series { histograms: histograms.next().unwrap_or_default(), ..Series::default() };
            series.histograms.retain(|h| range.contains(h.time));
            if let (Some(number), Some(shape)) = (opened.times, &opened.shape) {
                let times = vectors.get(number)?;
                values.clear();
                let residuals = self.residuals(opened, shape, times.len(), &mut decoded, vectors)?;
                shape.restore(times.len(), residuals, &mut wholes, &mut values)?;
                let (from, to) =
                    (times.partition_point(|&t| t < range.min), times.partition_point(|&t| t <= range.max));
                if from < to && to <= values.len() {
                    series.times = times[from..to].to_vec();
                    series.values = match to - from == values.len() {
                        true => std::mem::take(&mut values),
                        false => values[from..to].to_vec(),
                    };
                    if !opened.starts.is_empty() {
                        series.starts = spread(&opened.starts, times.len())[from..to].to_vec();
                    }
                }
            }
            if !series.is_empty() {
                each(place, series);
            }
        }
        Ok(())
    }

    /// The residuals of a series; its stream is decoded when the first of its series is asked for.
    fn residuals<'d>(
        &self,
        opened: &Opened,
        shape: &Shape,
        n: usize,
        decoded: &'d mut [Option<Vec<i64>>],
        vectors: &mut impl Vectors,
    ) -> Result<&'d [i64], Error> {
        if !shape.kind.has_residuals() || n < 2 {
            return Ok(&[]);
        }
        let stream = usize::from(opened.stream);
        let (Some(run), Some(slot)) = (self.streams.get(stream), decoded.get_mut(stream)) else {
            return corrupt("a series names an unknown stream");
        };
        if slot.is_none() {
            let mut groups = Vec::new();
            for other in self.series.iter().filter(|other| usize::from(other.stream) == stream) {
                let with = other.shape.as_ref().is_some_and(|shape| shape.kind.has_residuals());
                if let Some(number) = other.times.filter(|_| with) {
                    groups.push(vectors.get(number)?.len().saturating_sub(1));
                }
            }
            *slot = Some(numbers::decode(*run, &groups)?);
        }
        let all = slot.as_deref().unwrap_or_default();
        all.get(opened.at..opened.at + n - 1).ok_or(Error::Corrupt { why: "a stream is too short" })
    }

    /// The histograms of the wanted series, one list for each.
    fn histograms(&self, wanted: &[u32], vectors: &mut impl Vectors) -> Result<Vec<Vec<HistogramSample>>, Error> {
        let mut all = vec![Vec::new(); wanted.len()];
        if self.series.iter().all(|series| series.histogram_times.is_none()) {
            return Ok(all);
        }
        let data = frame::open(self.histograms)?;
        let mut cursor = Cursor::new(&data);
        let mut wants = wanted.iter().zip(&mut all).peekable();
        for (place, series) in (0u32..).zip(&self.series) {
            while wants.peek().is_some_and(|(wanted, _)| **wanted < place) {
                wants.next();
            }
            let Some((wanted, out)) = wants.peek_mut() else { break };
            let Some(number) = series.histogram_times else { continue };
            let times = vectors.get(number)?;
            let starts = spread(&series.histogram_starts, times.len());
            for (at, &time) in times.iter().enumerate() {
                let value = histogram::decode(&mut cursor)?;
                if **wanted == place {
                    let start = starts.get(at).copied().unwrap_or(0);
                    out.push(HistogramSample { time, start, value: Arc::new(value) });
                }
            }
        }
        Ok(all)
    }
}

/// No stream of a page has more numbers than this: a page is flushed once it is full, so only its last series may
/// carry it past its size.
const MAX_PAGE: usize = MAX_TIMES + (1 << 20);

impl Opened {
    fn rests_on_before(&self) -> bool {
        // A series without floats leaves the decimals before it as they are.
        self.shape.as_ref().is_none_or(|shape| shape.kind == Kind::Bucket)
    }
}
