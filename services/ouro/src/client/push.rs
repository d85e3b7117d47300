//! `ouro push`: lines of a file or of standard input become rows.

use crate::args::Push;
use crate::client::http::{Client, Pushed};
use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncSeekExt, BufReader};
use tokio::time::Instant;

/// A batch is sent when it has so many bytes …
const BATCH_BYTES: usize = 512 << 10;
/// … or so many lines …
const BATCH_LINES: usize = 5000;
/// … or is so old.
const BATCH_AGE: Duration = Duration::from_millis(500);

pub async fn push(args: Push) -> anyhow::Result<()> {
    let labels = labels(&args.labels)?;
    let mut sender =
        Sender { client: Client::new(&args.server)?, labels, batch: Vec::new(), bytes: 0, lines: 0, last: 0 };
    match &args.file {
        None => send_all(&mut sender, BufReader::new(tokio::io::stdin()), &spinner()).await?,
        Some(path) if args.follow => return follow(&mut sender, path).await,
        Some(path) => {
            let file = tokio::fs::File::open(path).await.with_context(|| path.display().to_string())?;
            let bar = ProgressBar::new(file.metadata().await?.len());
            let style = "{bar:30} {bytes}/{total_bytes}  {bytes_per_sec}  {msg}  {eta} left";
            bar.set_style(ProgressStyle::with_template(style)?);
            send_all(&mut sender, BufReader::new(file), &bar).await?;
        }
    }
    eprintln!("{} lines are stored", sender.lines);
    Ok(())
}

fn labels(given: &[String]) -> anyhow::Result<BTreeMap<String, String>> {
    if given.is_empty() {
        return Ok(BTreeMap::from([("job".into(), "push".into())]));
    }
    let pair = |text: &String| {
        let (name, value) = text.split_once('=').with_context(|| format!("--label {text:?}: write name=value"))?;
        Ok((name.to_owned(), value.to_owned()))
    };
    given.iter().map(pair).collect()
}

fn spinner() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {bytes}  {bytes_per_sec}  {msg}") {
        bar.set_style(style);
    }
    bar
}

struct Sender {
    client: Client,
    labels: BTreeMap<String, String>,
    batch: Vec<[String; 2]>,
    bytes: usize,
    /// Stored so far.
    lines: u64,
    /// The time of the last line: each later one is dated later, so that lines keep their order.
    last: i64,
}

impl Sender {
    /// Adds a line, dated now.
    fn add(&mut self, line: String) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as i64;
        self.last = now.max(self.last + 1);
        self.bytes += line.len();
        self.batch.push([self.last.to_string(), line]);
    }

    fn is_full(&self) -> bool {
        self.bytes >= BATCH_BYTES || self.batch.len() >= BATCH_LINES
    }

    /// Sends what was added, until it is stored. The same body is sent again after a failure, so that nothing is
    /// stored twice.
    async fn send(&mut self, bar: &ProgressBar) -> anyhow::Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let body = json!({"streams": [{"stream": self.labels, "values": self.batch}]}).to_string().into_bytes();
        loop {
            match self.client.push(body.clone()).await {
                Pushed::Stored => break,
                Pushed::Again { why, after } => {
                    bar.set_message(format!("waiting: {why}"));
                    tokio::time::sleep(after).await;
                }
                Pushed::Refused { status, why } => bail!("the lines were refused with {status}: {why}"),
            }
        }
        self.lines += self.batch.len() as u64;
        self.batch.clear();
        self.bytes = 0;
        bar.set_message(format!("{} lines", self.lines));
        Ok(())
    }
}

async fn send_all(sender: &mut Sender, mut input: impl AsyncBufRead + Unpin, bar: &ProgressBar) -> anyhow::Result<()> {
    let mut line = Vec::new();
    let mut due = Instant::now() + BATCH_AGE;
    loop {
        // Half a line stays in `line` when the time is up, so nothing is lost by asking again.
        let read = tokio::time::timeout_at(due, input.read_until(b'\n', &mut line)).await;
        if let Ok(read) = read {
            if read? == 0 && line.is_empty() {
                break;
            }
            bar.inc(line.len() as u64);
            sender.add(text(&line));
            line.clear();
        }
        if sender.is_full() || Instant::now() >= due {
            sender.send(bar).await?;
            due = Instant::now() + BATCH_AGE;
        }
    }
    sender.send(bar).await?;
    bar.finish_and_clear();
    Ok(())
}

/// A line without its end.
fn text(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned()
}

/// Sends what is in the file and what is added to it. A file that becomes shorter, or another one under its name, is
/// read from its beginning.
async fn follow(sender: &mut Sender, path: &Path) -> anyhow::Result<()> {
    let bar = spinner();
    let (mut file, mut place) = (open(path).await?, 0u64);
    let mut line = Vec::new();
    loop {
        let read = file.read_until(b'\n', &mut line).await?;
        place += read as u64;
        bar.inc(read as u64);
        if line.ends_with(b"\n") {
            sender.add(text(&line));
            line.clear();
            if sender.is_full() {
                sender.send(&bar).await?;
            }
            continue;
        }
        sender.send(&bar).await?;
        tokio::select! {
            () = tokio::time::sleep(BATCH_AGE) => {}
            _ = tokio::signal::ctrl_c() => {
                bar.finish_and_clear();
                eprintln!("{} lines are stored", sender.lines);
                return Ok(());
            }
        }
        if rotated(&mut file, path, place).await? {
            (file, place) = (open(path).await?, 0);
            line.clear();
        }
    }
}

async fn open(path: &Path) -> anyhow::Result<BufReader<tokio::fs::File>> {
    let file = tokio::fs::File::open(path).await.with_context(|| path.display().to_string())?;
    Ok(BufReader::new(file))
}

async fn rotated(file: &mut BufReader<tokio::fs::File>, path: &Path, place: u64) -> anyhow::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let own = file.get_ref().metadata().await?;
    if own.len() < place {
        file.rewind().await?;
        return Ok(true);
    }
    // Between the old file's renaming and the new one's making there is none.
    Ok(tokio::fs::metadata(path).await.is_ok_and(|named| named.ino() != own.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_lines() {
        assert_eq!(labels(&[]).expect("default")["job"], "push");
        assert_eq!(labels(&["a=b=c".into()]).expect("read")["a"], "b=c");
        assert!(labels(&["a".into()]).is_err());
        for (line, want) in [(&b"a\r\n"[..], "a"), (b"a", "a"), (b"\n", ""), (b"\xff\n", "\u{fffd}")] {
            assert_eq!(text(line), want);
        }
    }
}
