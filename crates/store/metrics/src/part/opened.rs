//! Reads a page: series by series, each when it is asked for.

use super::frame;
use super::numbers;
use super::page::flag;
use super::times::MAX_TIMES;
use super::values::{Kind, Shape};
use crate::bytes_io::Cursor;
use crate::error::{Error, corrupt};
use crate::histogram;
use bytes::Bytes;
use model::rows::HistogramSample;
use model::{Series, TimeRange, Times};
use std::sync::Arc;

/// No stream of a page has more numbers than this: a page is flushed once it is full, so only its last series may
/// carry it past its size.
const MAX_PAGE: usize = MAX_TIMES + (1 << 20);

/// A page whose series are known. Its numbers are decoded when the first series of their stream is asked for.
pub struct Page {
    series: Vec<Opened>,
    streams: Vec<Stream>,
    histograms: Histograms,
    /// The place after the series that was read last.
    next: usize,
    buffers: Buffers,
}

/// Room that one page leaves to the next.
#[derive(Default)]
pub struct Buffers {
    /// For the numbers of a stream.
    numbers: Vec<i64>,
    /// The decimals of the series that was read last.
    wholes: Vec<i64>,
    values: Vec<f64>,
}

impl Buffers {
    fn held(&self) -> usize {
        8 * (self.numbers.capacity() + self.wholes.capacity() + self.values.capacity())
    }
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

impl Opened {
    fn has_residuals(&self) -> bool {
        self.shape.as_ref().is_some_and(|shape| shape.kind.has_residuals())
    }

    fn rests_on_before(&self) -> bool {
        // A series without floats leaves the decimals before it as they are.
        self.shape.as_ref().is_none_or(|shape| shape.kind == Kind::Bucket)
    }
}

struct Stream {
    method: u8,
    data: Bytes,
    /// Decoded from its first wanted series on, up to the last series that it has.
    numbers: Option<Vec<i64>>,
    last: usize,
}

/// The histograms of a page's series, one after the other.
struct Histograms {
    packed: Bytes,
    opened: Option<Vec<u8>>,
    /// The place of the series that comes next, and where its histograms begin.
    next: usize,
    at: usize,
}

/// Time vectors by number.
pub trait Vectors {
    fn get(&mut self, number: u32) -> Result<Arc<[i64]>, Error>;
}

impl Page {
    /// Reads what a page says of its series, of which `count` are announced.
    pub fn open(data: &Bytes, count: u32, mut buffers: Buffers, vectors: &mut impl Vectors) -> Result<Page, Error> {
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
        let mut scales = meta.take(with(flag::SCALED))?.iter().copied();
        let mut shifts = meta.take(with(flag::SHIFTED))?.iter().copied();
        let streams = usize::from(meta.u8()?);
        let lens = times.iter().map(|&times| if times > 0 { vectors.get(times - 1).map(|v| v.len()) } else { Ok(0) });
        let lens = lens.collect::<Result<Vec<usize>, Error>>()?;
        let residuals = |at: usize| -> Result<usize, Error> {
            let with = times[at] > 0 && Kind::from_code(flags[at] & flag::KIND)?.has_residuals();
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
                let scale = if flags & flag::SCALED != 0 { scales.next().unwrap_or(0) } else { 0 };
                let shift = if flags & flag::SHIFTED != 0 { shifts.next().unwrap_or(0) } else { 0 };
                Some(Shape::take(
                    &mut meta,
                    Kind::from_code(flags & flag::KIND)?,
                    scale,
                    shift,
                    flags & flag::SPECIAL != 0,
                )?)
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
            if flags[at] & flag::STARTS != 0 {
                series.starts = take_runs(&mut meta, lens[at])?;
            }
            if flags[at] & flag::HISTOGRAMS != 0 {
                last = last.wrapping_add(meta.signed()?);
                let number = u32::try_from(last).ok().and_then(|n| n.checked_sub(1));
                let number = number.ok_or(Error::Corrupt { why: "a page names an impossible time vector" })?;
                series.histogram_times = Some(number);
                if meta.varint()? != 0 {
                    series.histogram_starts = take_runs(&mut meta, vectors.get(number)?.len())?;
                }
            }
        }
        let mut stream = |count: &usize| {
            let (method, run) = numbers::skim(&mut cursor, *count)?;
            Ok(Stream { method, data: data.slice_ref(run), numbers: None, last: 0 })
        };
        let mut streams = counts[..streams].iter().map(&mut stream).collect::<Result<Vec<_>, Error>>()?;
        for (at, series) in series.iter().enumerate().filter(|(_, series)| series.has_residuals()) {
            if let Some(stream) = streams.get_mut(usize::from(series.stream)) {
                stream.last = at;
            }
        }
        let packed = data.slice_ref(cursor.take(cursor.len())?);
        let histograms = Histograms { packed, opened: None, next: 0, at: 0 };
        // No series is before the first one.
        buffers.wholes.clear();
        Ok(Page { series, streams, histograms, next: 0, buffers })
    }

    /// The series at a place, with its samples within `range`, without labels. Places ascend from call to call.
    pub fn series(&mut self, place: u32, range: TimeRange, vectors: &mut impl Vectors) -> Result<Series, Error> {
        let place = place as usize;
        // A bucket rests on the series before it, and that perhaps on the one before it.
        let mut from = place;
        while from > self.next && self.series.get(from).is_some_and(Opened::rests_on_before) {
            from -= 1;
        }
        for at in from..place {
            let Some(number) = self.series.get(at).filter(|s| s.shape.is_some()).and_then(|s| s.times) else {
                continue;
            };
            let n = vectors.get(number)?.len();
            self.decode_stream_of(at, vectors)?;
            let Some((shape, residuals)) = residuals(&self.series, &self.streams, at, n)? else { continue };
            shape.restore_wholes(n, residuals, &mut self.buffers.wholes)?;
        }
        self.next = place + 1;
        let Some(opened) = self.series.get(place) else { return corrupt("a page has no such series") };
        let (number, has_starts) = (opened.times, !opened.starts.is_empty());
        let histograms = self.histograms.of(&self.series, place, vectors)?;
        let mut series = Series { histograms, ..Series::default() };
        series.histograms.retain(|h| range.contains(h.time));
        let Some(number) = number else { return Ok(series) };
        let times = vectors.get(number)?;
        self.decode_stream_of(place, vectors)?;
        let Some((shape, residuals)) = residuals(&self.series, &self.streams, place, times.len())? else {
            return Ok(series);
        };
        let Buffers { numbers, wholes, values } = &mut self.buffers;
        values.clear();
        shape.restore(times.len(), residuals, wholes, values)?;
        let (from, to) = (times.partition_point(|&t| t < range.min), times.partition_point(|&t| t <= range.max));
        let stream = usize::from(self.series[place].stream);
        if let Some(stream) = self.streams.get_mut(stream).filter(|stream| stream.last <= place) {
            // The larger one is kept.
            let done = stream.numbers.take().unwrap_or_default();
            if done.capacity() > numbers.capacity() {
                *numbers = done;
            }
        }
        if from < to && to <= values.len() {
            series.times = Times::shared(&times, from..to);
            series.values = match to - from == values.len() {
                true => std::mem::take(values),
                false => values[from..to].to_vec(),
            };
            if has_starts {
                series.starts = spread(&self.series[place].starts, times.len())[from..to].to_vec();
            }
        }
        Ok(series)
    }

    /// Bytes that are held for the series to come.
    pub fn held(&self) -> usize {
        let numbers: usize = self.streams.iter().filter_map(|stream| stream.numbers.as_ref()).map(Vec::capacity).sum();
        let histograms = self.histograms.opened.as_ref().map_or(0, Vec::capacity);
        self.series.len() * size_of::<Opened>() + 8 * numbers + histograms + self.buffers.held()
    }

    /// When all that is wanted was read.
    pub fn into_buffers(self) -> Buffers {
        self.buffers
    }

    /// Decodes the stream of a series, unless that is done.
    fn decode_stream_of(&mut self, place: usize, vectors: &mut impl Vectors) -> Result<(), Error> {
        let opened = &self.series[place];
        let number = opened.stream;
        let Some(stream) = self.streams.get_mut(usize::from(number)).filter(|_| opened.has_residuals()) else {
            return Ok(());
        };
        if stream.numbers.is_none() {
            let mut groups = Vec::new();
            for other in self.series.iter().filter(|other| other.stream == number && other.has_residuals()) {
                if let Some(times) = other.times {
                    groups.push(vectors.get(times)?.len().saturating_sub(1));
                }
            }
            let mut numbers = std::mem::take(&mut self.buffers.numbers);
            numbers::decode((stream.method, &stream.data), &groups, &mut numbers)?;
            stream.numbers = Some(numbers);
        }
        Ok(())
    }
}

/// The shape of a series of `n` floats and its residuals, whose stream is decoded.
fn residuals<'p>(
    series: &'p [Opened],
    streams: &'p [Stream],
    place: usize,
    n: usize,
) -> Result<Option<(&'p Shape, &'p [i64])>, Error> {
    let Some((opened, shape)) = series.get(place).and_then(|s| Some((s, s.shape.as_ref()?))) else { return Ok(None) };
    if !shape.kind.has_residuals() || n < 2 {
        return Ok(Some((shape, &[])));
    }
    let Some(stream) = streams.get(usize::from(opened.stream)) else {
        return corrupt("a series names an unknown stream");
    };
    let all = stream.numbers.as_deref().unwrap_or_default();
    match all.get(opened.at..opened.at + n - 1) {
        Some(own) => Ok(Some((shape, own))),
        None => corrupt("a stream is too short"),
    }
}

impl Histograms {
    /// Those of the series at a place. Places ascend from call to call.
    fn of(&mut self, all: &[Opened], place: usize, vectors: &mut impl Vectors) -> Result<Vec<HistogramSample>, Error> {
        if all[place].histogram_times.is_none() {
            return Ok(Vec::new());
        }
        let opened = match self.opened.take() {
            Some(opened) => opened,
            None => frame::open(&self.packed)?.into_owned(),
        };
        let data = self.opened.insert(opened);
        let mut cursor = Cursor::new(data.get(self.at..).unwrap_or_default());
        let mut samples = Vec::new();
        while self.next <= place {
            let series = &all[self.next];
            let is_wanted = self.next == place;
            self.next += 1;
            let Some(number) = series.histogram_times else { continue };
            let times = vectors.get(number)?;
            let starts = if is_wanted { spread(&series.histogram_starts, times.len()) } else { Vec::new() };
            for (at, &time) in times.iter().enumerate() {
                let value = histogram::decode(&mut cursor)?;
                if is_wanted {
                    let start = starts.get(at).copied().unwrap_or(0);
                    samples.push(HistogramSample { time, start, value: Arc::new(value) });
                }
            }
        }
        self.at = data.len() - cursor.len();
        Ok(samples)
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
