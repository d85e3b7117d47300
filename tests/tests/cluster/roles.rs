//! Every service as a process of its own, over real sockets.

use ouro_tests::client::{Client, until};
use ouro_tests::ledger::{Ledger, Sender, now_ms};
use ouro_tests::process::{Home, Process};
use std::path::Path;

const INGESTER: &str = env!("CARGO_BIN_EXE_ingester-under-test");
const DISTRIBUTOR: &str = env!("CARGO_BIN_EXE_distributor-under-test");
const QUERIER: &str = env!("CARGO_BIN_EXE_querier-under-test");
pub const COMPACTOR: &str = env!("CARGO_BIN_EXE_compactor-under-test");
const RULER: &str = env!("CARGO_BIN_EXE_ruler-under-test");

/// The homes of five services that share a folder of segments.
pub struct Cluster {
    pub ingester: Home,
    pub distributor: Home,
    pub querier: Home,
}

/// Their runs.
pub struct Running {
    pub ingester: Process,
    pub distributor: Process,
    pub querier: Process,
}

impl Cluster {
    pub fn new() -> Cluster {
        let ingester = Home::plain(INGESTER);
        let (distributor, querier) = (Home::plain(DISTRIBUTOR), Home::plain(QUERIER));
        Cluster { ingester, distributor, querier }
    }

    /// Where segments are.
    pub fn objects(&self) -> String {
        format!("[objects]\nurl = \"file://{}\"\n", self.ingester.beside("objects").display())
    }

    fn start_ingester(&mut self, listen: &str) -> Process {
        let data = self.ingester.data().to_owned();
        let journal = "[ingester.consensus.journal]\nsegment_size = \"1MiB\"\nreserve = \"2MiB\"\n";
        let settings = format!("listen = \"{listen}\"\ndata = {data:?}\n{}{journal}", self.objects());
        // Flushed often, so that rows are on both sides while they are read.
        self.ingester.change(&format!("{settings}[ingester.flush]\nage = \"1s\"\ncheck = \"200ms\"\n"));
        self.ingester.start_service()
    }

    pub fn start(&mut self) -> Running {
        let ingester = self.start_ingester("127.0.0.1:0");
        let settings = format!("listen = \"127.0.0.1:0\"\ningester = \"{}\"\n", ingester.url);
        self.distributor.change(&settings);
        self.querier.change(&format!("{settings}{}[querier]\ncatalog_age = \"200ms\"\n", self.objects()));
        Running { ingester, distributor: self.distributor.start_service(), querier: self.querier.start_service() }
    }
}

/// Pushes go to one process and reads to another.
async fn send(ledger: &mut Ledger, sender: &Sender, to: &Client, count: usize) {
    ledger.send_some(to, sender, count).await;
}

#[tokio::test]
async fn rows_go_through_three_processes() {
    let mut cluster = Cluster::new();
    let running = cluster.start();
    let (sender, mut ledger) = (Sender::new("roles"), Ledger::default());
    let (push, read) = (running.distributor.client(), running.querier.client());
    for round in 0..3 {
        send(&mut ledger, &sender, &push, 10).await;
        ledger.check(&read, &format!("round {round}")).await;
    }
    let folder = cluster.ingester.beside("objects");
    until("heads are flushed", async || folder.join("segments").is_dir()).await;
    ledger.check(&read, "once some is flushed").await;

    // The ingester dies, and comes back where it was.
    let at = running.ingester.url.trim_start_matches("http://").to_owned();
    running.ingester.kill();
    let refused = sender.push();
    let answer = refused.send(&push).await.expect("the distributor answers");
    answer.is("a push without an ingester", 503, &[]);
    assert!(answer.header("retry-after").is_some(), "{:?}", answer.headers);
    ledger.unsure(&refused);
    let asked = read.ask("roles", "/prometheus/api/v1/query", &[("query", "up")]).await.expect("the querier answers");
    assert_eq!(asked.status, 503, "{}", asked.text);
    let ingester = cluster.start_ingester(&at);
    until("the distributor finds it", async || ledger.try_send(&push, &refused).await).await;
    send(&mut ledger, &sender, &push, 10).await;
    until("the querier finds it", async || {
        let asked = read.ask("roles", "/prometheus/api/v1/query", &[("query", "up")]).await;
        asked.is_ok_and(|answer| answer.status == 200)
    })
    .await;
    ledger.check(&read, "after the ingester's death").await;

    // All of them end when they are asked to.
    for process in [running.querier, running.distributor, ingester] {
        let end = process.terminate();
        assert_eq!(end.status.code(), Some(0), "{}", end.stderr);
    }
}

/// A rule's series is recorded by one process from what another answers and a third stores.
#[tokio::test]
async fn a_rule_is_recorded_by_a_ruler() {
    let mut cluster = Cluster::new();
    let running = cluster.start();
    let mut home = Home::plain(RULER);
    let folder = home.beside("rules");
    std::fs::create_dir_all(folder.join("ruled")).expect("a folder");
    let rules = "groups:\n- name: doubled\n  interval: 1s\n  rules:\n  - record: doubled\n    expr: 2 * sum(base)\n";
    std::fs::write(folder.join("ruled/rules.yaml"), rules).expect("written");
    home.change(&format!(
        "querier = \"{}\"\ndistributor = \"{}\"\n[ruler]\nfolder = {folder:?}\ninterval = \"1s\"\n",
        running.querier.url, running.distributor.url
    ));
    let ruler = home.start_service();
    let series = ouro_tests::remote_write::Series::new(&[("__name__", "base")], &[(now_ms(), 21.0)]);
    let body = wire::snappy::compress(&ouro_tests::remote_write::v1(&[series]));
    let headers = [("content-encoding", "snappy"), ("x-scope-orgid", "ruled")];
    let sent = running.distributor.client().send("POST", "/api/v1/push", &headers, body).await;
    sent.expect("an answer").is("a sample", 204, &[]);
    let read = running.querier.client();
    until("the rule is recorded", async || {
        let found = read.json("ruled", "/prometheus/api/v1/query", &[("query", "doubled")]).await;
        found["data"]["result"][0]["value"][1] == "42"
    })
    .await;
    assert_eq!(ruler.terminate().status.code(), Some(0));
}

/// Objects that nothing names are swept by a compactor of its own, and no others.
#[tokio::test]
async fn orphans_are_swept_by_a_compactor() {
    let mut cluster = Cluster::new();
    let running = cluster.start();
    let (sender, mut ledger) = (Sender::new("sweep"), Ledger::default());
    send(&mut ledger, &sender, &running.distributor.client(), 10).await;
    let folder = cluster.ingester.beside("objects/segments");
    until("heads are flushed", async || folder.is_dir() && !orphanless(&folder)).await;
    // A flush that came second: the shard has gone on without it.
    let written = folder.read_dir().expect("listed").map(|entry| entry.expect("an entry").path());
    let shard = written.into_iter().find(|shard| !orphanless(shard)).expect("a shard was flushed");
    let orphan = shard.join("0000000000000000-00000000000000ff-9.seg");
    std::fs::create_dir_all(orphan.parent().expect("a parent")).expect("a folder");
    std::fs::write(&orphan, "left by a crash").expect("written");
    let mut home = Home::plain(COMPACTOR);
    home.change(&format!(
        "ingester = \"{}\"\n{}[compactor]\ninterval = \"500ms\"\ngrace = \"1s\"\n",
        running.ingester.url,
        cluster.objects()
    ));
    let compactor = home.start_service();
    until("the orphan is swept", async || !orphan.exists()).await;
    ledger.check(&running.querier.client(), "after the sweep").await;
    assert_eq!(compactor.terminate().status.code(), Some(0));
}

/// Whether there is no file yet.
fn orphanless(folder: &Path) -> bool {
    let entries = std::fs::read_dir(folder).expect("listed").map(|entry| entry.expect("an entry").path());
    entries.into_iter().all(|path| path.is_dir() && orphanless(&path))
}
