//! Chunks are read back as Prometheus reads them.

use super::*;
use model::Labels;
use proptest::prelude::*;
use wire::protobuf::Fields;

/// The encoding, first and last time, and data of a message.
fn parts(message: &[u8]) -> (u64, i64, i64, Vec<u8>) {
    let fields: Vec<_> = Fields::new(message).map(|field| field.expect("a field")).collect();
    let number = |n: u32| fields.iter().find(|f| f.number == n).map_or(0, |f| f.varint().expect("a number"));
    let data = fields.iter().find(|f| f.number == 4).expect("data").bytes().expect("bytes").to_vec();
    (number(3), number(1) as i64, number(2) as i64, data)
}

struct Reader<'d> {
    data: &'d [u8],
    at: usize,
}

impl Reader<'_> {
    fn bits(&mut self, count: u32) -> u64 {
        let mut out = 0;
        for _ in 0..count {
            out = out << 1 | u64::from(self.data[self.at / 8] >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        out
    }

    /// How many ones come, at most `most`; the zero after fewer is taken too.
    fn ones(&mut self, most: u32) -> u32 {
        (0..most).take_while(|_| self.bits(1) == 1).count() as u32
    }

    fn signed(&mut self, bits: u32) -> i64 {
        let value = self.bits(bits);
        if bits < 64 && value > 1 << (bits - 1) { value as i64 - (1 << bits) } else { value as i64 }
    }

    fn varint(&mut self) -> u64 {
        let (mut out, mut shift) = (0, 0);
        loop {
            let byte = self.bits(8);
            out |= (byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return out;
            }
        }
    }

    fn varbit_width(&mut self) -> u32 {
        [0, 3, 6, 9, 12, 18, 25, 56, 64][self.ones(8) as usize]
    }

    fn varbit(&mut self) -> i64 {
        match self.varbit_width() {
            0 => 0,
            width => self.signed(width),
        }
    }

    fn xor(&mut self, (value, leading, trailing): &mut (u64, u32, u32)) -> f64 {
        if self.bits(1) == 1 {
            if self.bits(1) == 1 {
                *leading = self.bits(5) as u32;
                let bits = self.bits(6) as u32;
                *trailing = 64 - *leading - if bits == 0 { 64 } else { bits };
            }
            *value ^= self.bits(64 - *leading - *trailing) << *trailing;
        }
        f64::from_bits(*value)
    }
}

fn read_floats(data: &[u8]) -> Vec<(i64, u64)> {
    let count = u16::from_be_bytes([data[0], data[1]]);
    let mut reader = Reader { data, at: 16 };
    let time = reader.varint();
    let (mut time, mut step) = ((time >> 1) as i64 ^ -((time & 1) as i64), 0i64);
    let mut xor = (reader.bits(64), 0, 0);
    let mut out = vec![(time, xor.0)];
    for number in 1..count {
        step = match number {
            1 => reader.varint() as i64,
            _ => match reader.ones(4) {
                0 => step,
                ones => step.wrapping_add(reader.signed([14, 17, 20, 64][ones as usize - 1])),
            },
        };
        time = time.wrapping_add(step);
        out.push((time, reader.xor(&mut xor).to_bits()));
    }
    out
}

fn read_histograms(data: &[u8]) -> Vec<(i64, Histogram)> {
    let count = u16::from_be_bytes([data[0], data[1]]);
    let mut reader = Reader { data, at: 24 };
    let threshold = match reader.bits(8) {
        0 => 0.0,
        255 => f64::from_bits(reader.bits(64)),
        exponent => 0.5 * 2f64.powi(exponent as i32 - 243),
    };
    let schema = reader.varbit() as i32;
    let [positive_spans, negative_spans] = [0, 1].map(|_| {
        let width = reader.varbit_width();
        let count = reader.bits(width);
        let mut spans = Vec::new();
        for _ in 0..count {
            let width = reader.varbit_width();
            let length = reader.bits(width) as u32;
            spans.push(Span { length, offset: reader.varbit() as i32 });
        }
        spans
    });
    let mut custom_values = Vec::new();
    if schema == CUSTOM_BUCKETS {
        let width = reader.varbit_width();
        for _ in 0..reader.bits(width) {
            assert_eq!(reader.bits(1), 0);
            custom_values.push(f64::from_bits(reader.bits(64)));
        }
    }
    let [positive, negative] =
        [&positive_spans, &negative_spans].map(|spans| spans.iter().map(|s| s.length as usize).sum::<usize>());
    let (mut time, mut step) = (reader.varbit(), 0i64);
    let mut xors: Vec<_> = (0..3 + positive + negative).map(|_| (reader.bits(64), 0, 0)).collect();
    let mut out = Vec::new();
    for number in 0..count {
        if number > 0 {
            step = step.wrapping_add(reader.varbit());
            time = time.wrapping_add(step);
        }
        let numbers: Vec<f64> = match number {
            0 => xors.iter().map(|xor| f64::from_bits(xor.0)).collect(),
            _ => xors.iter_mut().map(|xor| reader.xor(xor)).collect(),
        };
        let value = Histogram {
            schema,
            zero_threshold: threshold,
            count: numbers[0],
            zero_count: numbers[1],
            sum: numbers[2],
            positive_spans: positive_spans.clone(),
            negative_spans: negative_spans.clone(),
            positive: numbers[3..3 + positive].to_vec(),
            negative: numbers[3 + positive..].to_vec(),
            custom_values: custom_values.clone().into(),
            ..Histogram::default()
        };
        out.push((time, value));
    }
    out
}

#[test]
fn a_chunk_is_the_one_that_prometheus_makes() {
    // What Prometheus's own appender gives for these samples.
    let mut series = Series::new(Labels::empty());
    series.times = vec![1000, 2000, 3000, 4001].into();
    series.values = vec![1.0, 1.0, 2.0, 2.5];
    let made = chunks(&series, TimeRange::ALL);
    let (encoding, first, last, data) = parts(&made[0]);
    assert_eq!((encoding, first, last, made.len()), (XOR, 1000, 4001, 1));
    assert_eq!(
        read_floats(&data),
        [(1000, 1.0), (2000, 1.0), (3000, 2.0), (4001, 2.5)].map(|(t, v)| (t, f64::to_bits(v)))
    );
    let head = [0, 4, 0xd0, 0x0f, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0, 0xe8, 0x07];
    assert_eq!(data[..head.len()], head);
}

fn time_steps() -> impl Strategy<Value = Vec<i64>> {
    let step = prop_oneof![5 => Just(15_000i64), 3 => 14_000..16_000i64, 2 => 1..1_000_000i64, 1 => 1..1i64 << 40];
    prop::collection::vec(step, 1..400)
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![4 => (0..50i32).prop_map(f64::from), 2 => any::<f64>(), 1 => Just(f64::NAN), 1 => Just(f64::INFINITY)]
}

proptest! {
    #[test]
    fn floats_are_read_back(start in any::<i32>(), steps in time_steps(), values in prop::collection::vec(number(), 400)) {
        let mut series = Series::new(Labels::empty());
        let mut time = i64::from(start);
        for (step, value) in steps.iter().zip(&values) {
            time += step;
            series.times.push(time);
            series.values.push(*value);
        }
        let made = chunks(&series, TimeRange::ALL);
        let mut read = Vec::new();
        for message in &made {
            let (encoding, first, last, data) = parts(message);
            let samples = read_floats(&data);
            prop_assert_eq!((encoding, first, last), (XOR, samples[0].0, samples[samples.len() - 1].0));
            prop_assert!(samples.len() <= SAMPLES);
            read.extend(samples);
        }
        let want: Vec<_> = series.times.iter().copied().zip(series.values.iter().map(|v| v.to_bits())).collect();
        prop_assert_eq!(read, want);
    }

    #[test]
    fn histograms_are_read_back_and_resets_begin_chunks(
        all in prop::collection::vec((1..100_000i64, 0..3usize, 0..9u8, 0..4u64), 1..200),
        threshold in prop_oneof![Just(0.0), Just(2f64.powi(-128)), Just(0.001), Just(4.0)],
    ) {
        let mut series = Series::new(Labels::empty());
        let (mut time, mut count) = (0, 0.0);
        for (step, layout, more, hint) in all {
            time += step;
            let reset = if more == 0 { ResetHint::from_code(hint) } else { ResetHint::Unknown };
            count = if more == 1 { 1.0 } else { count + f64::from(more) };
            let spans = [vec![], vec![Span { offset: -3, length: 2 }], vec![Span { offset: 300, length: 1 }, Span { offset: 70_000, length: 2 }]];
            let (schema, custom) = if layout == 1 { (CUSTOM_BUCKETS, vec![0.5, 10.0]) } else { (3, vec![]) };
            let positive = vec![count; [0, 2, 3][layout]];
            let value = Histogram {
                schema, zero_threshold: threshold, zero_count: 1.0, count, sum: count * 0.3, reset,
                positive_spans: spans[layout].clone(), positive, custom_values: custom.into(), ..Histogram::default()
            };
            series.histograms.push(HistogramSample { time, start: 0, value: value.into() });
            if step % 7 == 0 {
                time += 1;
                series.times.push(time);
                series.values.push(count);
            }
        }
        let (mut read, mut floats, mut until) = (Vec::new(), Vec::new(), i64::MIN);
        for message in &chunks(&series, TimeRange::ALL) {
            let (encoding, first, last, data) = parts(message);
            prop_assert!(until < first);
            until = last;
            if encoding == XOR {
                floats.extend(read_floats(&data));
                continue;
            }
            let header = data[2];
            for (number, (time, value)) in read_histograms(&data).into_iter().enumerate() {
                let reset = match (header, number) {
                    (0xc0, _) => ResetHint::Gauge,
                    (_, 1..) => ResetHint::No,
                    (0x80, _) => ResetHint::Yes,
                    (0x40, _) => ResetHint::No,
                    _ => ResetHint::Unknown,
                };
                read.push((time, Histogram { reset, ..value }));
            }
        }
        prop_assert_eq!(floats.len(), series.times.len());
        prop_assert_eq!(read.len(), series.histograms.len());
        let mut before: Option<&Histogram> = None;
        for ((time, got), want) in read.iter().zip(&series.histograms) {
            prop_assert_eq!(*time, want.time);
            let hint = if want.value.reset == ResetHint::Unknown { got.reset } else { want.value.reset };
            prop_assert_eq!(got, &Histogram { reset: hint, ..(*want.value).clone() });
            // What was not known may be told as "not reset", where that is so.
            if want.value.reset == ResetHint::Unknown && got.reset == ResetHint::No {
                prop_assert!(before.is_some_and(|before| before.count <= want.value.count));
            }
            prop_assert!(got.reset != ResetHint::Yes || want.value.reset == ResetHint::Yes);
            before = Some(&want.value);
        }
    }
}
