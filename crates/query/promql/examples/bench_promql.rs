//! What dashboard queries cost: nanoseconds a sample and the most bytes alive at once, over a source that makes its
//! samples as they are asked for: `cargo run --release -p ouro-promql --example bench_promql -- [series] [steps] [step s]`.
#![allow(unsafe_code)] // An allocator that counts cannot be written without.

use eval::source::{SeriesIter, SeriesSource, SourceError};
use model::{Labels, Matcher, Series, TimeRange, labels::METRIC_NAME};
use ouro_promql::{Options, parse, range};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Instant,
};

struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK.fetch_max(live, Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Counters sampled every `interval` milliseconds: `m` by instance, job and code, `h_bucket` with ten buckets, `n` with
/// one series an instance.
struct Made {
    series: Vec<Labels>,
    interval: i64,
    samples: AtomicUsize,
}

const BOUNDS: [&str; 10] = ["0.005", "0.01", "0.05", "0.1", "0.5", "1", "2.5", "5", "10", "+Inf"];

impl Made {
    fn new(count: usize, interval: i64) -> Made {
        let mut series = Vec::new();
        for at in 0..count {
            let (instance, job) = (format!("10.0.{}.{}:9100", at / 250, at % 250), format!("job-{}", at % 20));
            let code = ["200", "204", "404", "500", "503"][at % 5];
            let common = [("instance", instance.as_str()), ("job", &job), ("namespace", "prod"), ("cluster", "eu-1")];
            let with = |name: &str, more: (&str, &str)| {
                Labels::from_pairs(common.into_iter().chain([(METRIC_NAME, name), more]))
            };
            series.push(with("m", ("code", code)));
            series.push(with("n", ("version", "1.2.3")));
        }
        for at in 0..count {
            let (pod, job) = (format!("pod-{}", at / 10), format!("job-{}", at / 10 % 20));
            let pairs = [(METRIC_NAME, "h_bucket"), ("le", BOUNDS[at % 10]), ("pod", &pod), ("job", &job)];
            series.push(Labels::from_pairs(pairs));
        }
        Made { series, interval, samples: AtomicUsize::new(0) }
    }
}

impl SeriesSource for Made {
    fn select(&self, matchers: &[Matcher], range: TimeRange) -> Result<SeriesIter<'_>, SourceError> {
        let matchers = matchers.to_vec();
        let chosen = self.series.iter().enumerate().filter(move |(_, labels)| Matcher::all(&matchers, *labels));
        Ok(Box::new(chosen.map(move |(seed, labels)| {
            let mut series = Series::new(labels.clone());
            let first = (range.min + self.interval - 1).div_euclid(self.interval);
            let last = range.max.div_euclid(self.interval);
            series.times = (first..=last).map(|i| i * self.interval).collect();
            // A reset every thousand samples.
            series.values = (first..=last).map(|i| (i.rem_euclid(1000) * (3 + seed as i64 % 17)) as f64).collect();
            self.samples.fetch_add(series.times.len(), Relaxed);
            Ok(series)
        })))
    }
}

const QUERIES: [&str; 14] = [
    "m",
    "sum(rate(m[5m]))",
    "sum by (job) (rate(m[5m]))",
    "sum by (job) (rate(m{code=~\"5..\"}[5m])) / sum by (job) (rate(m[5m]))",
    "histogram_quantile(0.99, sum by (le, job) (rate(h_bucket[5m])))",
    "topk(10, rate(m[5m]))",
    "rate(m[5m]) * on (instance, job) group_left (version) n",
    "sum by (job) (increase(m[1h]))",
    "max by (job) (max_over_time(m[1h]))",
    "avg by (job) (avg_over_time(m[1h]))",
    "sum(rate(m[5m])) / (sum(rate(m[5m])) + sum(rate(n[5m])))",
    "count(m > 1000)",
    "quantile(0.9, m)",
    "max_over_time(sum(rate(m[5m]))[1h:5m])",
];

fn main() {
    let mut arguments = std::env::args().skip(1).map(|a| a.parse::<i64>().expect("a number"));
    let series = arguments.next().unwrap_or(2000) as usize;
    let (steps, step) = (arguments.next().unwrap_or(1000), 1000 * arguments.next().unwrap_or(15));
    let interval = 1000 * arguments.next().unwrap_or(15);
    let start = 1_700_000_000_000;
    let source = Made::new(series, interval);
    println!("{series} series, {steps} steps of {} s, a sample every {} s", step / 1000, interval / 1000);
    println!("{:>9} {:>11} {:>10} {:>9}", "ms", "samples", "ns/sample", "peak KiB");
    for text in QUERIES {
        let expr = parse(text).expect("a query");
        let mut times = Vec::new();
        let mut peak = 0;
        for _ in 0..3 {
            source.samples.store(0, Relaxed);
            PEAK.store(LIVE.load(Relaxed), Relaxed);
            let (before, began) = (LIVE.load(Relaxed), Instant::now());
            let end = start + (steps - 1) * step;
            let answer = range(&source, &expr, start, end, step, &Options::default()).expect("an answer");
            times.push(began.elapsed());
            peak = PEAK.load(Relaxed) - before;
            drop(answer);
        }
        times.sort();
        let samples = source.samples.load(Relaxed);
        let each = times[1].as_nanos() as f64 / samples as f64;
        println!("{:9.1} {samples:11} {each:10.1} {:9}  {text}", times[1].as_secs_f64() * 1e3, peak / 1024);
    }
}
