//! Catalogs for tests.

use catalog::{BlockEntry, Catalog, Command, Inputs, Name, Reply, SegmentEntry, TenantEntry};
use model::{ShardId, Signal, TenantId};

/// Rows at time 1.
pub fn tenant(name: &str) -> TenantEntry {
    TenantEntry { tenant: TenantId::new(name).expect("a name"), rows: 1, min: 0, max: 1 }
}

/// Of one log entry and tenant `a`, with 10 raw bytes.
pub fn segment(signal: Signal, shard: u32, after: u64, created: i64) -> SegmentEntry {
    let (shard, through, term) = (ShardId::new(signal, shard), after + 1, 1);
    SegmentEntry {
        name: Name::Segment { shard, after, through, term }.to_string(),
        shard,
        level: 0,
        after,
        through,
        term,
        created,
        order: 0,
        rows: 1,
        raw_bytes: 10,
        bytes: 1,
        tenants: vec![tenant("a")],
    }
}

pub fn catalog(segments: impl IntoIterator<Item = SegmentEntry>) -> Catalog {
    let mut catalog = Catalog::default();
    apply(&mut catalog, &Command::Lease { holder: "me".into(), epoch: 0, renewal: 0 });
    segments.into_iter().for_each(|segment| apply(&mut catalog, &Command::Add { segment }));
    catalog
}

/// Replaces objects by one block of a tenant, with 10 raw bytes.
pub fn block(mut catalog: Catalog, owner: &str, removed: &[&str]) -> Catalog {
    let removed: Vec<String> = removed.iter().map(|name| (*name).to_owned()).collect();
    let inputs = Inputs::named(&catalog, &removed).expect("they are there");
    let serial = catalog.version() as u32;
    let (tenant, signal) = (tenant(owner).tenant, inputs.place().expect("a place").shard.signal);
    let added = BlockEntry {
        name: Name::block(&tenant, signal, 1, serial).to_string(),
        signal,
        tenant,
        level: inputs.level(),
        place: inputs.place().expect("a place"),
        created: inputs.created(),
        rows: 1,
        raw_bytes: 10,
        bytes: 1,
        min: 0,
        max: 1,
        flushed: inputs.flushed(),
        without: Vec::new(),
        shortened: Vec::new(),
    };
    apply(&mut catalog, &Command::Replace { epoch: 1, removed, added: vec![added], without: Vec::new() });
    catalog
}

fn apply(catalog: &mut Catalog, command: &Command) {
    let reply = catalog.apply(&command.encode());
    assert!(matches!(reply, Reply::Done { .. } | Reply::Lease { .. }), "{reply:?}");
}
