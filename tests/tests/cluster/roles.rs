//! The services that work by themselves, as members of a cluster: the ruler and the compactor.

use model::Role;
use ouro_tests::client::until;
use ouro_tests::ledger::{Ledger, Sender, now_ms};
use ouro_tests::members::{Members, Shape};
use std::path::Path;

fn cluster(with: Role) -> Members {
    let seats = &[(Role::Ingester, 1), (Role::Distributor, 1), (Role::Querier, 1), (with, 1)];
    let shape = Shape { seats, placement: "replicas = 1", ..Shape::default() };
    Members::new(env!("CARGO_BIN_EXE_ouro-under-test"), shape)
}

/// A rule's series is recorded by one process from what another answers and a third stores.
#[tokio::test]
async fn a_rule_is_recorded_by_a_ruler() {
    let mut members = cluster(Role::Ruler);
    let folder = members.data("rules");
    std::fs::create_dir_all(folder.join("ruled")).expect("a folder");
    let rules = "groups:\n- name: doubled\n  interval: 1s\n  rules:\n  - record: doubled\n    expr: 2 * sum(base)\n";
    std::fs::write(folder.join("ruled/rules.yaml"), rules).expect("written");
    let at = members.seat_at("ruler-0");
    members.write(at, "", &format!("[ruler]\nfolder = {folder:?}\ninterval = \"1s\"\n"));
    let mut running = members.start_all().await;
    let series = ouro_tests::remote_write::Series::new(&[("__name__", "base")], &[(now_ms(), 21.0)]);
    let body = wire::snappy::compress(&ouro_tests::remote_write::v1(&[series]));
    let headers = [("content-encoding", "snappy"), ("x-scope-orgid", "ruled")];
    let sent = members.push().send("POST", "/api/v1/push", &headers, body).await;
    sent.expect("an answer").is("a sample", 204, &[]);
    let read = members.read();
    until("the rule is recorded", async || {
        let found = read.json("ruled", "/prometheus/api/v1/query", &[("query", "doubled")]).await;
        found["data"]["result"][0]["value"][1] == "42"
    })
    .await;
    assert_eq!(running.remove("ruler-0").expect("it runs").terminate().status.code(), Some(0));
}

/// Objects that nothing names are swept by a compactor of its own, and no others.
#[tokio::test]
async fn orphans_are_swept_by_a_compactor() {
    let mut members = cluster(Role::Compactor);
    let at = members.seat_at("compactor-0");
    members.write(at, "", "[compactor]\ninterval = \"500ms\"\ngrace = \"1s\"\n");
    let mut running = members.start_all().await;
    let (sender, mut ledger) = (Sender::new("sweep"), Ledger::default());
    ledger.send_some(&members.push(), &sender, 10).await;
    let folder = members.objects().join("segments");
    until("heads are flushed", async || folder.is_dir() && !is_empty(&folder)).await;
    // A flush that came second: the shard has gone on without it.
    let written = folder.read_dir().expect("listed").map(|entry| entry.expect("an entry").path());
    let shard = written.into_iter().find(|shard| !is_empty(shard)).expect("a shard was flushed");
    let orphan = shard.join("0000000000000000-00000000000000ff-9.seg");
    std::fs::create_dir_all(orphan.parent().expect("a parent")).expect("a folder");
    std::fs::write(&orphan, "left by a crash").expect("written");
    until("the orphan is swept", async || !orphan.exists()).await;
    ledger.check(&members.read(), "after the sweep").await;
    assert_eq!(running.remove("compactor-0").expect("it runs").terminate().status.code(), Some(0));
}

/// Whether there is no file yet.
fn is_empty(folder: &Path) -> bool {
    let entries = std::fs::read_dir(folder).expect("listed").map(|entry| entry.expect("an entry").path());
    entries.into_iter().all(|path| path.is_dir() && is_empty(&path))
}
