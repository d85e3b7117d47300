//! The object store goes away and comes back: writes and reads go on, and what was not flushed is flushed then.

use crate::home;
use ouro_tests::client::{Client, until};
use ouro_tests::ledger::{Ledger, Sender};
use ouro_tests::s3::{ACCESS_KEY, BUCKET, Fault, Rule, S3, SECRET_KEY};
use std::path::Path;

fn s3_settings(s3: &S3) -> String {
    format!(
        "[objects]\nurl = \"s3://{BUCKET}/one/prefix\"\ntimeout = \"2s\"\n[objects.options]\nendpoint = \"{}\"\n\
         allow_http = \"true\"\nregion = \"local\"\naccess_key_id = \"{ACCESS_KEY}\"\n\
         secret_access_key = \"{SECRET_KEY}\"\n[ingester.flush]\nretry = \"500ms\"\n",
        s3.url
    )
}

/// What a process says while its store is away.
async fn says_away(client: &Client) {
    until("the store is seen to be away", async || client.meter("ouro_object_store_away").await == 1.0).await;
    let ready = client.text("/ready").await;
    assert!(ready.contains("ready") && ready.contains("the object store is away"), "{ready}");
}

async fn says_back(client: &Client) {
    until("the store is seen to be back", async || client.meter("ouro_object_store_away").await == 0.0).await;
    assert_eq!(client.text("/ready").await, "ready\n");
}

#[tokio::test]
async fn over_s3() {
    let s3 = S3::start();
    let (home, sender, mut ledger) = (home(&s3_settings(&s3)), Sender::new("s3"), Ledger::default());
    let process = home.start();
    let config = process.client().text("/config").await;
    assert!(config.contains("<hidden>") && !config.contains(SECRET_KEY), "{config}");
    for round in 0..3 {
        ledger.send_some(&process.client(), &sender, 6).await;
        process.client().flush().await;
        ledger.check(&process.client(), &format!("flush {round} to S3")).await;
    }
    assert!(s3.keys(BUCKET).iter().all(|key| key.starts_with("one/prefix/segments/")), "{:?}", s3.keys(BUCKET));
    assert!(s3.keys(BUCKET).len() >= 6, "{:?}", s3.keys(BUCKET));
    process.kill();
    let process = home.start();
    ledger.check(&process.client(), "from S3, started again").await;
    assert_eq!(s3.open_uploads(), 0);
    assert_eq!(process.terminate().status.code(), Some(0));
}

#[tokio::test]
async fn s3_is_away_and_comes_back() {
    let s3 = S3::start();
    let (home, sender, mut ledger) = (home(&s3_settings(&s3)), Sender::new("away"), Ledger::default());
    let process = home.start();
    let client = process.client();
    ledger.send_some(&client, &sender, 6).await;
    s3.set_away(true);
    client.begin_flush().await;
    ledger.send_some(&client, &sender, 6).await;
    says_away(&client).await;
    ledger.check(&client, "while S3 is away").await;
    // It may be started without its store, and killed without it.
    process.kill();
    let process = home.start();
    let client = process.client();
    ledger.check(&client, "started while S3 is away").await;
    ledger.send_some(&client, &sender, 6).await;
    client.begin_flush().await;
    says_away(&client).await;
    assert!(s3.keys(BUCKET).is_empty());
    s3.heal();
    says_back(&client).await;
    client.flush().await;
    assert!(!s3.keys(BUCKET).is_empty());
    ledger.check(&client, "once S3 is back").await;
    process.kill();
    ledger.check(&home.start().client(), "once S3 is back, started again").await;
}

/// The store does what it is asked and says that it failed, or says nothing: the flush is repeated.
#[tokio::test]
async fn s3_does_the_work_and_fails_to_say_so() {
    for fault in [Fault::DoneThenInternal, Fault::DoneThenCut, Fault::DoneThenHang, Fault::SlowDown, Fault::Hang] {
        let s3 = S3::start();
        let (home, sender, mut ledger) = (home(&s3_settings(&s3)), Sender::new("fault"), Ledger::default());
        let process = home.start();
        let client = process.client();
        ledger.send_some(&client, &sender, 6).await;
        s3.inject(Rule::on("PUT", fault).times(3));
        client.flush().await;
        ledger.check(&client, &format!("flushed through {fault:?}")).await;
        process.kill();
        ledger.check(&home.start().client(), &format!("flushed through {fault:?}, started again")).await;
    }
}

/// Reads of segments fail while the store is away, in words, and the rows of heads can be read.
#[tokio::test]
async fn reads_from_an_s3_that_is_away() {
    let s3 = S3::start();
    let (home, sender, mut ledger) = (home(&s3_settings(&s3)), Sender::new("reads"), Ledger::default());
    let process = home.start();
    ledger.send_some(&process.client(), &sender, 6).await;
    process.client().flush().await;
    process.kill();
    let process = home.start();
    let client = process.client();
    s3.set_away(true);
    let time = format!("{}", sender.base / 1000 + 60);
    let asked = client.ask("reads", "/prometheus/api/v1/query", &[("query", "story_value"), ("time", &time)]).await;
    let answer = asked.expect("an answer");
    assert!((500..600).contains(&answer.status), "{}: {}", answer.status, answer.text);
    assert!(answer.text.contains("object store"), "{}", answer.text);
    let other = Sender::new("other");
    let mut book = Ledger::default();
    book.send_some(&client, &other, 4).await;
    book.check(&client, "rows of heads, while S3 is away").await;
    s3.heal();
    ledger.check(&client, "once S3 is back").await;
}

/// A folder that stands for a store is replaced by a file, as an unmounted disk would be by nothing.
#[tokio::test]
async fn a_folder_is_away_and_comes_back() {
    let home = home("[ingester.flush]\nretry = \"500ms\"\n");
    let (sender, mut ledger) = (Sender::new("folder"), Ledger::default());
    let process = home.start();
    let client = process.client();
    ledger.send_some(&client, &sender, 6).await;
    client.flush().await;
    let (objects, hidden) = (home.data().join("objects"), home.beside("hidden"));
    std::fs::rename(&objects, &hidden).expect("renamed");
    std::fs::write(&objects, "not a folder").expect("written");
    ledger.send_some(&client, &sender, 6).await;
    client.begin_flush().await;
    says_away(&client).await;
    ledger.send_some(&client, &sender, 6).await;
    std::fs::remove_file(&objects).expect("removed");
    std::fs::rename(&hidden, &objects).expect("renamed");
    says_back(&client).await;
    client.flush().await;
    assert!(files(&objects) >= 4, "{} segments", files(&objects));
    ledger.check(&client, "once the folder is back").await;
    process.kill();
    ledger.check(&home.start().client(), "once the folder is back, started again").await;
}

fn files(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).expect("listed").map(|entry| entry.expect("an entry").path());
    entries.map(|path| if path.is_dir() { files(&path) } else { 1 }).sum()
}
