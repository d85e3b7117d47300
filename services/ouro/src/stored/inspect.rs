//! `ouro inspect`: what is in an object, and how many bytes each part of it takes.

use super::place;
use crate::args::Inspect;
use crate::client::table;
use anyhow::Context;
use audit::{Inspection, PartInspection};
use model::ByteSize;

/// What takes least is summed up beyond so many lines.
const LINES: usize = 20;

pub async fn inspect(args: Inspect) -> anyhow::Result<()> {
    let found = place::find(&args.object, &args.store)?;
    let object = found.object;
    let inspection = tokio::task::spawn_blocking(move || audit::inspect(object)).await?;
    let inspection = inspection.with_context(|| args.object.clone())?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&inspection)?);
    } else {
        print!("{}", text(&inspection, if args.all { usize::MAX } else { LINES }));
    }
    Ok(())
}

fn text(all: &Inspection, lines: usize) -> String {
    let mut out = format!("{}\n  {}, written {}\n", all.name, all.origin, time(i128::from(all.created) * 1_000_000));
    let (raw, bytes) = (ByteSize(all.raw_bytes), ByteSize(all.bytes));
    let ratio = all.raw_bytes as f64 / all.bytes.max(1) as f64;
    let what = if all.signal == "logs" { "lines" } else { "samples" };
    out.push_str(&format!("  {} {what}, {raw} before encoding, {bytes} here ({ratio:.1} : 1)\n\n", all.rows));
    let header =
        ["tenant", if all.signal == "logs" { "streams" } else { "series" }, what, "bytes", "ratio", "from", "to"];
    out.push_str(&table(&header, &all.parts.iter().map(|part| row(part, all.signal)).collect::<Vec<_>>()));
    for part in &all.parts {
        let shown = part.contents.iter().take(lines).map(|content| (content.what.clone(), content.bytes));
        let rest: Vec<u64> = part.contents.iter().skip(lines).map(|content| content.bytes).collect();
        let rest = (!rest.is_empty()).then(|| (format!("{} others (--all)", rest.len()), rest.iter().sum()));
        let rows: Vec<Vec<String>> = shown
            .chain(rest)
            .map(|(what, bytes)| {
                let share = bytes as f64 * 100.0 / part.bytes.max(1) as f64;
                let each = bytes as f64 / part.rows.max(1) as f64;
                vec![bytes.to_string(), format!("{share:.1}"), format!("{each:.3}"), what.escape_debug().to_string()]
            })
            .collect();
        out.push_str(&format!("\n{}\n", part.tenant));
        out.push_str(&table(&["bytes", "%", "a row", "what"], &rows));
    }
    out
}

fn row(part: &PartInspection, signal: &str) -> Vec<String> {
    let to_nanos = if signal == "logs" { 1 } else { 1_000_000 };
    let (from, to) = match part.times {
        Some((from, to)) => (time(i128::from(from) * to_nanos), time(i128::from(to) * to_nanos)),
        None => ("-".into(), "-".into()),
    };
    let ratio = format!("{:.1}", part.raw_bytes as f64 / part.bytes.max(1) as f64);
    let numbers = [part.series, part.rows, part.bytes].map(|number| number.to_string());
    std::iter::once(part.tenant.to_string()).chain(numbers).chain([ratio, from, to]).collect()
}

/// A time in Unix nanoseconds, in UTC.
fn time(nanos: i128) -> String {
    jiff::Timestamp::from_nanosecond(nanos)
        .map_or_else(|_| format!("{nanos} ns"), |time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}
