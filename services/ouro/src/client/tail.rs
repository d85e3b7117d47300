//! `ouro tail`: the newest lines as they come.

use crate::args::Tail;
use crate::client::answer::{Answer, Data, lines, local_time};
use crate::client::http::Client;
use anyhow::{Context, bail};
use std::collections::HashSet;
use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How often the server is asked.
const PAUSE: Duration = Duration::from_millis(500);
/// Lines may arrive a little later than they are dated; so far back is asked again.
const OVERLAP: i64 = 5_000_000_000;
/// The most lines of one answer.
const LIMIT: u32 = 5000;

pub async fn tail(args: Tail) -> anyhow::Result<()> {
    let client = Client::new(&args.server)?;
    let since = settings::duration::parse(&args.since).context("--since")?;
    let mut from = now_ns().saturating_sub(since.as_nanos() as i64);
    let mut seen: HashSet<(i64, String, String)> = HashSet::new();
    loop {
        let params = [
            ("query", args.query.clone()),
            ("start", from.to_string()),
            ("end", (now_ns() + 1).to_string()),
            ("direction", "forward".to_owned()),
            ("limit", LIMIT.to_string()),
        ];
        let text = client.get("/loki/api/v1/query_range", &params).await?;
        let answer: Answer = serde_json::from_str(&text).context("the answer cannot be read")?;
        let Data::Streams(streams) = answer.data else { bail!("only a query for lines can be followed") };
        let lines = lines(streams);
        let full = lines.len() >= LIMIT as usize;
        let last = lines.last().map(|(time, _, _)| *time);
        for line in lines {
            if seen.insert(line.clone()) {
                print(&line, args.json)?;
            }
        }
        // A full answer goes on at its end; otherwise the last seconds are asked again.
        from = match last {
            Some(last) if full => last,
            _ => from.max(now_ns() - OVERLAP),
        };
        seen.retain(|(time, _, _)| *time >= from);
        if !full {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

fn print((time, labels, line): &(i64, String, String), json: bool) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::json!({"time": time.to_string(), "labels": labels, "line": line}))?;
    } else {
        writeln!(out, "{}  {labels}  {line}", local_time(*time))?;
    }
    out.flush()?;
    Ok(())
}

fn now_ns() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as i64
}
