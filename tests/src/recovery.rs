//! How long a cluster took to recover from what was done to it: a file of each story, and a table of all of them.

use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// What is older was not measured by this run.
const RECENT_S: u64 = 3600;

/// A story that went well.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Told {
    pub story: String,
    /// Unix seconds.
    pub at: u64,
    /// Acked rows that were read back, each once.
    pub rows: usize,
    pub pushes: Requests,
    pub queries: Requests,
    pub faults: Vec<Fault>,
}

/// Requests of one kind, and those among them that had to be made again.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Requests {
    pub done: usize,
    pub failed: usize,
}

/// One thing that was done to the cluster.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Fault {
    pub what: String,
    /// The longest time, in milliseconds, from an ack of a sender to its next one, until all were acked again.
    pub writes_ms: u64,
    /// … from an answer with all rows to the next one.
    pub reads_ms: u64,
}

impl Told {
    pub fn save(&self, folder: &Path) {
        std::fs::create_dir_all(folder).expect("a folder");
        let text = serde_json::to_string(self).expect("JSON");
        std::fs::write(file(folder, &self.story), text).expect("written");
    }

    /// Removes what was told of a story before.
    pub fn forget(folder: &Path, story: &str) {
        // It may never have been told.
        let _ = std::fs::remove_file(file(folder, story));
    }
}

fn file(folder: &Path, story: &str) -> PathBuf {
    folder.join(format!("{story}.json"))
}

pub fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// All stories in a folder that were told lately, as a table.
pub fn table(folder: &Path) -> String {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let texts = entries.filter_map(|entry| std::fs::read_to_string(entry.path()).ok());
    let mut told: Vec<Told> = texts.filter_map(|text| serde_json::from_str(&text).ok()).collect();
    told.retain(|told| told.at + RECENT_S > now_s());
    told.sort_by(|a, b| a.story.cmp(&b.story));
    let mut out = String::from(
        "Time to recover: from a sender's last ack to its next, from a whole answer to the next; requests made again\n",
    );
    let mut row = |cells: [&str; 6]| {
        let [story, what, writes, reads, pushes, queries] = cells;
        let _ = writeln!(out, "{story:<26} {what:<52} {writes:>8} {reads:>8}  {pushes:>13} {queries:>13}");
    };
    row(["story", "what happened", "writes", "reads", "pushes again", "queries again"]);
    for Told { story, rows, pushes, queries, faults, .. } in &told {
        let again = |requests: &Requests| format!("{} of {}", requests.failed, requests.done + requests.failed);
        for (n, Fault { what, writes_ms, reads_ms }) in faults.iter().enumerate() {
            let [pushes, queries] = if n == 0 { [again(pushes), again(queries)] } else { Default::default() };
            let story = if n == 0 { story.as_str() } else { "" };
            row([story, what, &seconds(*writes_ms), &seconds(*reads_ms), &pushes, &queries]);
        }
        row(["", &format!("{rows} acked rows are there once"), "", "", "", ""]);
    }
    out
}

fn seconds(ms: u64) -> String {
    format!("{}.{:02} s", ms / 1000, ms % 1000 / 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_what_was_told_lately() {
        let folder = tempfile::tempdir().expect("a folder");
        let fault = |what: &str, writes_ms| Fault { what: what.into(), writes_ms, reads_ms: 40 };
        let told = |story: &str, at| Told {
            story: story.into(),
            at,
            rows: 7,
            pushes: Requests { done: 8, failed: 2 },
            queries: Requests::default(),
            faults: vec![fault("it stops", 1234), fault("it goes on", 5)],
        };
        told("new", now_s()).save(folder.path());
        told("old", now_s() - 2 * RECENT_S).save(folder.path());
        told("failed", now_s()).save(folder.path());
        Told::forget(folder.path(), "failed");
        let table = table(folder.path());
        for words in ["new ", "it stops", "1.23 s", "0.04 s", "2 of 10", "it goes on", "7 acked rows are there once"] {
            assert!(table.contains(words), "{words:?} is not in\n{table}");
        }
        assert!(!table.contains("old") && !table.contains("failed"), "{table}");
    }
}
