//! What operators see of what rests in the store: what is in an object, whether it is whole, what the compactor does.

use crate::PROGRAM;
use crate::compact::files;
use ouro_tests::client::Client;
use ouro_tests::ledger::{LOKI, WRITE, now_ms};
use ouro_tests::process::Home;
use ouro_tests::remote_write::{Series, v1};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};

/// What the command-line client says, if all is well: or else what is wrong.
fn ouro(args: &[&str]) -> Result<String, String> {
    let mut command = Command::new(PROGRAM);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    // A program under test ends when nobody holds its input any more.
    let _input = child.stdin.take();
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let all = text(&output.stdout) + &text(&output.stderr);
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(all) }
}

async fn push(client: &Client, tenant: &str) {
    let now = now_ms() - 60_000;
    let lines: Vec<Value> = (0..3000)
        .map(|n| serde_json::json!([((now + n) * 1_000_000).to_string(), format!("GET /{} took {n} ms", n % 7)]))
        .collect();
    let body = serde_json::json!({"streams": [{"stream": {"app": "a"}, "values": lines}]}).to_string();
    let headers = [("content-type", "application/json"), ("x-scope-orgid", tenant)];
    client.send("POST", LOKI, &headers, body).await.expect("an answer").is("lines", 204, &[]);
    let samples: Vec<(i64, f64)> = (0..100).map(|n| (now + n, n as f64)).collect();
    let body = wire::snappy::compress(&v1(&[Series::new(&[("__name__", "up"), ("job", "a")], &samples)]));
    let headers = [("content-encoding", "snappy"), ("x-scope-orgid", tenant)];
    client.send("POST", WRITE, &headers, body).await.expect("an answer").is("samples", 204, &[]);
}

fn objects(home: &Home) -> Vec<String> {
    let folder = home.data().join("objects");
    let mut all: Vec<String> =
        ["segments", "blocks"].iter().flat_map(|kind| files(&folder.join(kind))).map(|p| text(&p)).collect();
    all.sort();
    all
}

fn text(path: &Path) -> String {
    path.to_str().expect("a name").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_are_looked_at_and_damage_is_found() {
    // The compactor looks once, at the start.
    let home = crate::home("[compactor]\ninterval = \"200ms\"\nsegment_age = \"1h\"\ngrace = \"1h\"\n");
    let process = home.start();
    let client = process.client();
    for tenant in ["a", "b"] {
        push(&client, tenant).await;
    }
    client.flush().await;
    let (data, address) = (text(home.data()), process.url.clone());
    let all = objects(&home);
    let (count, logs) = (all.len(), all.iter().filter(|name| name.contains("/logs-")).count());
    assert!(logs > 0 && count > logs, "{all:?}");

    let mut rows = 0;
    for object in &all {
        let shown = ouro(&["inspect", object]).expect("it is shown");
        assert!(shown.contains("a segment of shard") && shown.contains("tenant"), "{shown}");
        let json = ouro(&["inspect", "--json", object]).expect("it is shown");
        let json: Value = serde_json::from_str(&json).expect("JSON");
        rows += json["rows"].as_u64().expect("rows");
        for part in json["parts"].as_array().expect("parts") {
            let contents = part["contents"].as_array().expect("contents");
            let sum: u64 = contents.iter().map(|content| content["bytes"].as_u64().expect("bytes")).sum();
            assert_eq!(Some(sum), part["bytes"].as_u64(), "all bytes are accounted for: {part}");
        }
    }
    assert_eq!(rows, 2 * 3100);

    let whole = ouro(&["verify", "--data", &data]).expect("whole");
    assert!(whole.starts_with(&format!("{count} of {count} objects are whole: 6200 rows")), "{whole}");
    let whole = ouro(&["catalog", "verify", "--data", &data, "--address", &address]).expect("whole");
    assert!(whole.starts_with(&format!("the catalog names {count} objects; 0 others")), "{whole}");
    let status = ouro(&["compactor", "status", "--address", &address]).expect("a status");
    assert!(status.contains("segments") && status.contains("0 merges"), "{status}");
    let json = ouro(&["compactor", "status", "--json", "--address", &address]).expect("a status");
    let json: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["objects"][0]["rows"], 6000, "{json}");
    let kept = ouro(&["compactor", "expired", "--address", &address]).expect("a list");
    assert!(kept.contains("nothing has passed"), "{kept}");
    let gone = ouro(&["compactor", "expired", "--logs", "1s", "--address", &address]).expect("a list");
    assert!(gone.contains(&format!("\n{logs} objects, ")) && !gone.contains("metrics-"), "{gone}");
    let gone = ouro(&["compactor", "expired", "--logs", "1s", "--of", "nobody", "--address", &address]);
    assert!(gone.as_ref().is_ok_and(|gone| gone.contains("nothing has passed")), "{gone:?}");
    let refused = ouro(&["compactor", "expired", "--logs", "soon", "--address", &address]).expect_err("no duration");
    assert!(refused.contains("logs") && refused.contains("soon"), "{refused}");

    // Whichever byte is damaged: it is found, and the object is named.
    for object in &all {
        let good = std::fs::read(object).expect("read");
        for at in (8..good.len() - 14).step_by(good.len() / 40) {
            let mut bad = good.clone();
            bad[at] ^= 8;
            std::fs::write(object, &bad).expect("written");
            let found = ouro(&["verify", object]).expect_err("damage");
            assert!(found.contains(object.as_str()) && found.contains("1 of 1 objects are damaged"), "{at}: {found}");
        }
        let faults = ouro(&["catalog", "verify", "--data", &data, "--address", &address]).expect_err("damage");
        assert!(faults.contains(&format!("{} of {count} objects are whole", count - 1)), "{faults}");
        std::fs::write(object, &good).expect("written");
    }
    // A name of ours must be what the object says of itself.
    let (copy, renamed) = (text(&home.beside("copy.seg")), all[0].replace("-2.seg", "-3.seg"));
    for other in [&copy, &renamed] {
        std::fs::copy(&all[0], other).expect("copied");
    }
    assert!(ouro(&["verify", &copy]).is_ok(), "a name that says nothing");
    let faults = ouro(&["verify", &renamed]).expect_err("another name");
    assert!(faults.contains("says that it is a segment of shard"), "{faults}");
    std::fs::remove_file(&renamed).expect("removed");
    std::fs::remove_file(&all[0]).expect("removed");
    let faults = ouro(&["catalog", "verify", "--quick", "--data", &data, "--address", &address]).expect_err("a loss");
    assert!(faults.contains("the bucket does not have it"), "{faults}");
    let lost = ouro(&["inspect", "segments/none.seg", "--data", &data]).expect_err("no such object");
    assert!(lost.contains("segments/none.seg"), "{lost}");
    assert!(ouro(&["verify", "--data", "/nowhere"]).expect_err("no such folder").contains("/nowhere/objects"));
}
