//! A shard on the log of one node, flushed by others.

use super::*;
use crate::logs_head::LogsHead;
use consensus::{Committed, Follow, Host, NoPeers, Node, StateMachine};
use model::{Signal, TenantId, TimeRange};
use prost::Message;
use std::path::Path;
use wire::batch::{Format, Header, StreamHeader};
use wire::loki::Builder;

struct Machine(Arc<Shard<LogsHead>>);

impl StateMachine for Machine {
    fn follows(&self) -> Follow {
        Follow::Keep
    }

    fn opened(&mut self, group: &Group) {
        self.0.attach(group.clone());
    }

    fn apply(&mut self, entry: Committed) -> Bytes {
        self.0.apply(entry.index, entry.data, entry.slice).encode_to_vec().into()
    }

    fn restore(&mut self, index: u64, snapshot: Bytes) {
        self.0.restore(index, snapshot, Flushed::default());
    }

    fn lead(&mut self, term: Option<u64>) {
        self.0.lead(term);
    }
}

async fn open(dir: &Path) -> (Host, Arc<Shard<LogsHead>>) {
    let (id, me) = (ShardId::new(Signal::Logs, 0), Node(1));
    let host = Host::open(dir, me, consensus::Settings::default(), Arc::new(NoPeers)).expect("opens");
    let settings = crate::logs_head::Settings { encoding: logs::Settings::default(), limits: Arc::default() };
    let shard = Shard::new(id, me, &settings);
    host.group(id.group(), &[me], Box::new(Machine(shard.clone()))).expect("a group");
    crate::lead::wait(shard.group().expect("attached"), &shard.led).await.expect("leads");
    (host, shard)
}

/// A batch of one line.
fn batch(n: u8) -> Batch {
    let (labels, times) = ("{a=\"b\"}", TimeRange::new(i64::from(n), i64::from(n)));
    let mut builder = Builder::new();
    builder.stream(labels);
    builder.entry(i64::from(n), &format!("line {n}"), []);
    let body = builder.finish();
    let header = Header {
        id: BatchId(n.into()),
        tenant: TenantId::new("t").expect("a tenant"),
        format: Format::LokiPush,
        rows: 1,
        body_len: body.len() as u32,
        times,
        streams: vec![StreamHeader { key: wire::loki::key(labels), rows: 1, times }],
    };
    Batch { header, payload: wire::snappy::compress(&body).into() }
}

/// A batch that came twice was logged twice and stored once, and that stays so when another leader's flush makes this one
/// build its head anew from the log, whether that flush ended before the first of the two or between them.
#[tokio::test]
async fn a_repeated_batch_stays_one_when_the_head_is_built_anew() {
    for (flushed_batches, rows) in [(1, 3), (2, 2)] {
        let dir = tempfile::tempdir().expect("a folder");
        let (host, shard) = open(dir.path()).await;
        let group = shard.group().expect("attached");
        let mut indexes = Vec::new();
        for n in [1, 2, 3, 2, 4] {
            let proposed = group.propose(Entry::encode_batches(&[batch(n)])).await.expect("logged");
            indexes.push(proposed.index);
        }
        assert_eq!(shard.stats().rows, 4);
        let flushed = Flushed { through: indexes[flushed_batches - 1], version: 1 };
        let entry = Entry::Flushed { through: flushed.through, version: 1 }.encode();
        group.propose_cut(entry, flushed.through, shard.snapshot(flushed)).await.expect("logged");
        assert_eq!(shard.stats().rows, rows, "{flushed_batches} batches are flushed");
        host.shutdown().await;
    }
}
