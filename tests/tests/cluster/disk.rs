//! The log's disk is torn, damaged or full: nothing acked is lost, and nothing is lost in silence.

use crate::home;
use ouro_tests::client::{Client, until};
use ouro_tests::ledger::{Ledger, Push, Sender, noise};
use ouro_tests::process::Home;
use ouro_tests::records::{last_round, records, segments};
use std::path::{Path, PathBuf};

/// Changes the newest segment of the log after the process was killed.
async fn tear(what: &str, change: impl Fn(&mut Vec<u8>)) {
    let (home, sender, mut ledger) = (home(""), Sender::new("torn"), Ledger::default());
    // Twice, since an end that was torn once is an end that was mended.
    for _ in 0..2 {
        let process = home.start();
        ledger.send_some(&process.client(), &sender, 10).await;
        process.kill();
        let newest = segments(home.data()).pop().expect("a segment");
        let mut bytes = std::fs::read(&newest).expect("read");
        change(&mut bytes);
        std::fs::write(&newest, bytes).expect("written");
    }
    let process = home.start();
    ledger.check(&process.client(), what).await;
    ledger.send_some(&process.client(), &sender, 4).await;
    process.client().flush().await;
    ledger.check(&process.client(), &format!("{what}, flushed")).await;
    process.kill();
    ledger.check(&home.start().client(), &format!("{what}, flushed, and started again")).await;
}

/// Writes bytes behind the last round.
fn behind(file: &mut [u8], bytes: &[u8]) {
    let (_, end) = last_round(&records(file));
    file[end..end + bytes.len()].copy_from_slice(bytes);
}

#[tokio::test]
async fn garbage_behind_the_end() {
    tear("garbage", |file| behind(file, noise(7, 3000).as_bytes())).await;
}

#[tokio::test]
async fn half_a_record_behind_the_end() {
    tear("half a record", |file| {
        let (start, end) = last_round(&records(file));
        let half = file[start..start + (end - start) / 2].to_vec();
        behind(file, &half);
    })
    .await;
}

#[tokio::test]
async fn an_old_round_behind_the_end() {
    tear("an old round", |file| {
        let (start, end) = last_round(&records(file));
        let round = file[start..end].to_vec();
        behind(file, &round);
    })
    .await;
}

#[tokio::test]
async fn a_file_cut_at_the_end() {
    tear("a file that was cut", |file| {
        let (_, end) = last_round(&records(file));
        file.truncate(end);
    })
    .await;
}

/// A round that was written and never acked may be there in part.
#[tokio::test]
async fn a_round_of_which_a_part_was_written() {
    for keep in [1, 2, 3] {
        let (home, sender, mut ledger) = (home(""), Sender::new("part"), Ledger::default());
        let process = home.start_with("consensus::after_append=60*off->panic");
        let client = process.client();
        let mut again = Vec::new();
        while again.is_empty() {
            let push = sender.push();
            if !ledger.try_send(&client, &push).await {
                again.push(push);
            }
        }
        process.wait();
        let newest = segments(home.data()).pop().expect("a segment");
        let mut bytes = std::fs::read(&newest).expect("read");
        let (start, end) = last_round(&records(&bytes));
        let cut = start + (end - start) * keep / 4;
        bytes[cut..end].fill(0);
        std::fs::write(&newest, bytes).expect("written");
        let process = home.start();
        ledger.check(&process.client(), "after a part of a round").await;
        for push in again {
            ledger.send(&process.client(), &push).await;
        }
        ledger.check(&process.client(), "after a part of a round, sent again").await;
    }
}

/// A log of several segments, none of it flushed.
async fn long_log() -> (Home, Ledger) {
    let (home, sender, mut ledger) = (home(""), Sender::padded("damage", 3000), Ledger::default());
    let process = home.start();
    let client = process.client();
    for _ in 0..80 {
        ledger.send(&client, &sender.push()).await;
    }
    process.kill();
    let found = segments(home.data());
    assert!(found.len() >= 2, "only one segment: {found:?}");
    (home, ledger)
}

/// The process refuses to start, and says which file is damaged and what can be done. Nothing is lost by that.
async fn refuses(home: &Home, ledger: &Ledger, path: &Path, at: usize, what: &str) {
    let good = std::fs::read(path).expect("read");
    let mut bad = good.clone();
    bad[at] ^= 0x10;
    std::fs::write(path, bad).expect("written");
    let end = match home.try_start("") {
        Err(end) => end,
        Ok(process) => {
            let answer = process.client().ask("", "/ready", &[]).await;
            panic!("{what}: it started: {answer:?}");
        }
    };
    let number = path.file_stem().and_then(|name| name.to_str()).and_then(|n| n.parse::<u64>().ok()).expect("a number");
    println!("{what}: {}", end.stderr.lines().last().unwrap_or_default());
    let said = end.stderr.to_lowercase();
    assert_eq!(end.status.code(), Some(1), "{what}: {end:?}");
    for word in ["corrupt", &format!("segment {number}")] {
        assert!(said.contains(word), "{what}: {word:?} is not in {said}");
    }
    std::fs::write(path, good).expect("written");
    let process = home.start();
    ledger.check(&process.client(), &format!("{what}, and mended")).await;
}

#[tokio::test]
async fn a_damaged_log_is_refused() {
    let (home, ledger) = long_log().await;
    let all = segments(home.data());
    let (oldest, newest) = (&all[0], all.last().expect("a segment"));
    let bytes = std::fs::read(newest).expect("read");
    let found = records(&bytes);
    let middle = found[found.len() / 2];
    refuses(&home, &ledger, newest, middle.payload() + middle.len / 2, "a payload in the open segment").await;
    let bytes = std::fs::read(oldest).expect("read");
    let found = records(&bytes);
    let large = found.iter().rev().find(|record| record.len > 1000).expect("an entry");
    refuses(&home, &ledger, oldest, large.payload() + large.len / 2, "a payload in a sealed segment").await;
    refuses(&home, &ledger, oldest, large.offset + 40, "a record's header in a sealed segment").await;
    refuses(&home, &ledger, oldest, 17, "the header of a sealed segment").await;
    refuses(&home, &ledger, oldest, bytes.len() - 20, "the index of a sealed segment").await;
}

/// A damaged object is an error that names it, never an answer without its rows.
#[tokio::test]
async fn a_damaged_object_is_named() {
    let (home, sender, mut ledger) = (home(""), Sender::new("object"), Ledger::default());
    let process = home.start();
    ledger.send_some(&process.client(), &sender, 20).await;
    process.client().flush().await;
    process.kill();
    let objects = objects(&home.data().join("objects"));
    assert!(objects.len() >= 2, "{objects:?}");
    for path in objects {
        let good = std::fs::read(&path).expect("read");
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
        let (tenant, logs) = ("object", path.to_string_lossy().contains("logs-"));
        let mut refused = 0;
        let places: Vec<usize> = (0..good.len()).step_by((good.len() / 12).max(1)).collect();
        for at in &places {
            let mut bad = good.clone();
            bad[*at] ^= 0x10;
            std::fs::write(&path, bad).expect("written");
            let process = home.start();
            let (first, last) = (sender.base.to_string(), (sender.base + 3_600_000).to_string());
            let answer = match logs {
                true => {
                    let (start, end) = (format!("{first}000000"), format!("{last}000000"));
                    let parameters =
                        [("query", "{job=\"story\"}"), ("start", &start), ("end", &end), ("limit", "5000")];
                    process.client().ask(tenant, "/loki/api/v1/query_range", &parameters).await
                }
                false => {
                    let time = format!("{:.3}", (sender.base + 3_600_000) as f64 / 1000.0);
                    let parameters = [("query", "{job=\"story\"}[2h]"), ("time", &*time)];
                    process.client().ask(tenant, "/prometheus/api/v1/query", &parameters).await
                }
            };
            let answer = answer.expect("an answer");
            if answer.status == 200 {
                // A byte that this query does not need.
                std::fs::write(&path, &good).expect("written");
                ledger.check(&process.client(), &format!("byte {at} of {name}")).await;
            } else {
                refused += 1;
                answer.is(&format!("byte {at} of {name}"), 500, &[name]);
            }
            assert!(!process.stderr().contains("panicked"), "byte {at} of {name}: {}", process.stderr());
        }
        assert!(refused * 2 > places.len(), "{name}: only {refused} of {} damages were seen", places.len());
        std::fs::write(&path, good).expect("written");
    }
    ledger.check(&home.start().client(), "mended").await;
}

/// All files under a folder.
fn objects(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("listed") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => found.extend(objects(&path)),
            false => found.push(path),
        }
    }
    found
}

/// A file system of a given size; gone with this.
struct Small(PathBuf);

impl Small {
    /// `None` where this user may not mount.
    fn mount(at: PathBuf, size: &str) -> Option<Small> {
        std::fs::create_dir_all(&at).expect("a folder");
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "ouro-tests"]).arg(&at);
        match mount.output() {
            Ok(done) if done.status.success() => Some(Small(at)),
            other => {
                println!("skipped: no file system can be mounted here: {other:?}");
                None
            }
        }
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // Lazily: the process that uses it may not be quite gone.
        drop(std::process::Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

/// Pushes until one is refused, which says why; gives that one.
async fn fill(client: &Client, sender: &Sender, ledger: &mut Ledger) -> Push {
    for _ in 0..4000 {
        let push = sender.push();
        let answer = push.send(client).await.expect("the process lives");
        if answer.status == 204 {
            ledger.acked(&push);
            continue;
        }
        answer.is("a full log", 503, &["journal"]);
        assert!(answer.text.contains("full") || answer.text.contains("the limit is"), "{}", answer.text);
        assert!(answer.header("retry-after").is_some(), "{:?}", answer.headers);
        ledger.unsure(&push);
        return push;
    }
    panic!("the disk is never full");
}

#[tokio::test]
async fn a_full_disk_is_freed_by_flushing_elsewhere() {
    let home = home("");
    let Some(disk) = Small::mount(home.beside("disk"), "16m") else { return };
    let settings = format!("[objects]\nurl = \"file://{}\"\n", home.beside("objects").display());
    let home = Home::with(env!("CARGO_BIN_EXE_ouro-under-test"), &settings).data_at(&disk.0.join("data"));
    let (sender, mut ledger) = (Sender::padded("full", 4000), Ledger::default());
    let process = home.start();
    let refused = fill(&process.client(), &sender, &mut ledger).await;
    ledger.check(&process.client(), "while the disk is full").await;
    let client = process.client();
    until("the refused push is taken", async || refused.send(&client).await.is_ok_and(|answer| answer.status == 204))
        .await;
    ledger.acked(&refused);
    ledger.send_some(&client, &sender, 20).await;
    ledger.check(&client, "once there is room again").await;
    process.kill();
    let process = home.start();
    ledger.check(&process.client(), "started again").await;
    process.client().flush().await;
    ledger.check(&process.client(), "started again and flushed").await;
    drop(process);
}

#[tokio::test]
async fn a_full_disk_is_freed_by_its_owner() {
    let home = home("");
    let Some(disk) = Small::mount(home.beside("disk"), "48m") else { return };
    let home = home.data_at(&disk.0.join("data"));
    let ballast = disk.0.join("ballast");
    std::fs::write(&ballast, vec![1; 34 << 20]).expect("written");
    let (sender, mut ledger) = (Sender::padded("ballast", 4000), Ledger::default());
    let process = home.start();
    let refused = fill(&process.client(), &sender, &mut ledger).await;
    ledger.check(&process.client(), "while the disk is full").await;
    // A start finds the disk as full as it was.
    process.kill();
    let process = home.start();
    ledger.check(&process.client(), "started on a full disk").await;
    std::fs::remove_file(&ballast).expect("removed");
    let client = process.client();
    until("the refused push is taken", async || refused.send(&client).await.is_ok_and(|answer| answer.status == 204))
        .await;
    ledger.acked(&refused);
    ledger.check(&client, "once there is room again").await;
    client.flush().await;
    process.kill();
    let process = home.start();
    ledger.check(&process.client(), "flushed and started again").await;
    drop(process);
}

/// A log at its own limit says so, and is freed without anybody's help.
#[tokio::test]
async fn a_log_at_its_limit_is_freed_by_flushing() {
    let settings = "[observe]\nenabled = false\n[ingester.consensus.journal]\nsegment_size = \"1MiB\"\n\
                    max_size = \"4MiB\"\nreserve = \"1MiB\"\n";
    let home = Home::plain(env!("CARGO_BIN_EXE_ouro-under-test")).set(settings);
    let (sender, mut ledger) = (Sender::padded("limit", 4000), Ledger::default());
    let process = home.start();
    let client = process.client();
    for _ in 0..3 {
        let refused = fill(&client, &sender, &mut ledger).await;
        let answer = refused.send(&client).await.expect("the process lives");
        if answer.status != 204 {
            answer.is("a log at its limit", 503, &["4 MiB", "journal.max_size"]);
        }
        let sent = async || refused.send(&client).await.is_ok_and(|answer| answer.status == 204);
        until("the refused push is taken", sent).await;
        ledger.acked(&refused);
        ledger.check(&client, "once there is room again").await;
    }
    process.kill();
    ledger.check(&home.start().client(), "started again").await;
}
