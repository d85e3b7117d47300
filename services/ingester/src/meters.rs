//! What an ingester counts, as meters.

use crate::flush::Counts;
use crate::settings::MemorySettings;
use crate::signal::Stats;
use model::{ByteSize, Signal};
use std::sync::atomic::Ordering;
use telemetry::Exposition;

pub fn write(out: &mut Exposition, log: &consensus::Stats, counts: &Counts, away: bool, in_flight: u64, failures: u64) {
    let load = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
    out.counter("ouro_flush_segments_total", "Segments written to the object store.", &[], load(&counts.segments));
    out.counter("ouro_flush_rows_total", "Rows written to the object store.", &[], load(&counts.rows));
    out.counter("ouro_flush_raw_bytes_total", "Bytes of rows before encoding.", &[], load(&counts.raw_bytes));
    out.counter("ouro_flush_bytes_total", "Bytes of segments.", &[], load(&counts.bytes));
    out.counter("ouro_flush_failures_total", "Tries that failed; their rows stay in the log.", &[], failures);
    let away = f64::from(u8::from(away));
    out.gauge("ouro_object_store_away", "1 while flushes cannot reach the object store.", &[], away);
    out.gauge("ouro_ingester_in_flight_bytes", "Batches being logged and applied.", &[], in_flight as f64);
    out.counter("ouro_journal_rounds_total", "Rounds written to the log.", &[], log.rounds);
    out.counter("ouro_journal_syncs_total", "Syncs of the log.", &[], log.syncs);
    out.gauge("ouro_journal_bytes", "Segments of the log on disk.", &[], log.journal_bytes as f64);
}

/// What use may reach before writes are refused, so that alerts can be told of parts of it.
pub fn limits(out: &mut Exposition, memory: &MemorySettings, journal: ByteSize) {
    for (name, help, limit) in [
        ("ouro_head_memory_limit_bytes", "What heads may take (ingester.memory.heads).", memory.heads),
        ("ouro_ingester_in_flight_limit_bytes", "What batches may take (ingester.memory.in_flight).", memory.in_flight),
        ("ouro_journal_limit_bytes", "What the log may take (ingester.consensus.journal.max_size).", journal),
    ] {
        out.gauge(name, help, &[], limit.0 as f64);
    }
}

pub fn heads(out: &mut Exposition, signal: Signal, stats: &[Stats]) {
    let labels = &[("signal", signal.name())];
    let sum = |value: fn(&Stats) -> u64| stats.iter().map(value).sum::<u64>() as f64;
    out.gauge("ouro_head_rows", "Rows that are not flushed yet.", labels, sum(|s| s.rows));
    out.gauge("ouro_head_raw_bytes", "Their bytes before compression.", labels, sum(|s| s.raw_bytes));
    out.gauge("ouro_head_memory_bytes", "Memory of heads.", labels, sum(|s| s.memory_bytes));
    out.gauge("ouro_head_series", "Series in heads.", labels, sum(|s| s.series));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_those_of_the_settings() {
        let memory = MemorySettings { heads: ByteSize::mib(3), in_flight: ByteSize::mib(2) };
        let mut out = Exposition::default();
        limits(&mut out, &memory, ByteSize::mib(1));
        let text = out.text();
        for (name, mib) in [("head_memory", 3), ("ingester_in_flight", 2), ("journal", 1)] {
            let line = format!("ouro_{name}_limit_bytes {}\n", mib << 20);
            assert!(text.contains(&line), "{line} is not in {text}");
        }
    }
}
