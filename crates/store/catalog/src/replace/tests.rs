//! Replacements that are taken, and the many that are not; and what a reader sees before and after.

use super::*;
use crate::command::{Command, Reply};
use crate::entry::TenantEntry;
use crate::read::Overtaken;
use model::TimeRange;

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).expect("a name")
}

/// Segments `shard-after`, each of two log entries, in the order in which they are given.
fn catalog(segments: &[(u32, u64, &[&str])]) -> Catalog {
    let mut catalog = Catalog::default();
    for (shard, after, tenants) in segments {
        let entry = |name: &&str| TenantEntry { tenant: tenant(name), rows: 1, min: 0, max: 9 };
        let segment = SegmentEntry {
            name: format!("{shard}-{after}"),
            shard: ShardId::new(Signal::Metrics, *shard),
            level: 0,
            after: *after,
            through: after + 2,
            term: 1,
            created: *after as i64,
            order: 0,
            rows: 1,
            raw_bytes: 1,
            bytes: 1,
            tenants: tenants.iter().map(entry).collect(),
        };
        let reply = catalog.apply(&Command::Add { segment }.encode());
        assert!(matches!(reply, Reply::Done { .. }), "{reply:?}");
    }
    catalog.apply(&Command::Lease { holder: "me".into(), epoch: 0, renewal: 0 }.encode());
    catalog
}

fn block(catalog: &Catalog, name: &str, owner: &str, removed: &[&str]) -> BlockEntry {
    let removed: Vec<String> = removed.iter().map(|name| (*name).to_owned()).collect();
    let inputs = Inputs::named(catalog, &removed).expect("they are there");
    BlockEntry {
        name: name.into(),
        signal: Signal::Metrics,
        tenant: tenant(owner),
        level: inputs.level(),
        place: inputs.place().expect("a place"),
        created: inputs.created(),
        rows: 1,
        raw_bytes: 1,
        bytes: 1,
        min: 0,
        max: 9,
        flushed: inputs.flushed(),
        without: Vec::new(),
        shortened: Vec::new(),
    }
}

fn replace(catalog: &mut Catalog, removed: &[&str], added: Vec<BlockEntry>) -> Reply {
    let removed = removed.iter().map(|name| (*name).to_owned()).collect();
    catalog.apply(&Command::Replace { epoch: 1, removed, added, without: Vec::new() }.encode())
}

fn names(catalog: &Catalog, owner: &str, heads: &[(u32, u64)]) -> Result<Vec<String>, Overtaken> {
    let heads: Vec<_> = heads.iter().map(|(shard, at)| (ShardId::new(Signal::Metrics, *shard), *at)).collect();
    catalog.objects(Signal::Metrics, &tenant(owner), TimeRange::ALL, &heads)
}

#[test]
fn blocks_take_the_place_of_segments() {
    let mut catalog = catalog(&[(0, 0, &["a", "b"]), (1, 0, &["a"]), (0, 2, &["a"]), (0, 4, &["a"])]);
    let heads = [(0, 6), (1, 2)];
    assert_eq!(names(&catalog, "a", &heads), Ok(["0-0", "1-0", "0-2", "0-4"].map(String::from).to_vec()));
    let removed = ["0-0", "1-0", "0-2"];
    let added = vec![block(&catalog, "x", "a", &removed), block(&catalog, "y", "b", &removed)];
    let shards = [0, 1].map(|index| ShardId::new(Signal::Metrics, index));
    assert_eq!((added[0].level, &added[0].flushed), (1, &vec![(shards[0], 4), (shards[1], 2)]));
    assert_eq!(replace(&mut catalog, &removed, added), Reply::Done { version: 5 });
    assert_eq!(names(&catalog, "a", &heads), Ok(["x", "0-4"].map(String::from).to_vec()), "the block is older");
    assert_eq!(names(&catalog, "b", &heads), Ok(vec!["y".into()]));
    // A reader that asked the head of shard 0 before it was flushed to 4 would have rows twice.
    let overtaken = Overtaken { shard: shards[0], flushed: 2, block: "x".into(), through: 4 };
    assert_eq!(names(&catalog, "a", &[(0, 2), (1, 2)]), Err(overtaken));
    assert_eq!(names(&catalog, "a", &[(0, 4), (1, 9)]), Ok(vec!["x".into()]));
    assert_eq!(Catalog::decode(&catalog.encode()).expect("reads"), catalog);

    let second = block(&catalog, "z", "a", &["x", "0-4"]);
    assert_eq!(second.level, 2);
    assert_eq!(replace(&mut catalog, &["x", "0-4"], vec![second]), Reply::Done { version: 6 });
    assert_eq!(names(&catalog, "a", &heads), Ok(vec!["z".into()]));
    let remove = |epoch| Command::Remove { names: vec!["z".into()], epoch: Some(epoch) }.encode();
    assert_eq!(catalog.apply(&remove(0)), Reply::Fenced { epoch: 1 });
    assert_eq!(catalog.apply(&remove(1)), Reply::Done { version: 7 });
    assert_eq!(names(&catalog, "a", &heads), Ok(Vec::new()));
}

#[test]
fn what_could_harm_a_row_is_refused() {
    let start = catalog(&[(0, 0, &["a"]), (1, 0, &["a", "c"]), (0, 2, &["a", "b"]), (0, 4, &["b"])]);
    let good = |removed: &[&str]| block(&start, "x", "a", removed);
    let check = |removed: &[&str], added: Vec<BlockEntry>, word: &str| {
        let mut catalog = start.clone();
        match replace(&mut catalog, removed, added) {
            Reply::Refused { why } => assert!(why.contains(word), "{word:?} is not in {why:?}"),
            other => panic!("{word}: {other:?}"),
        }
        assert_eq!(catalog, start, "{word}");
    };
    let pair = ["0-0", "1-0"];
    check(&["0-0", "gone"], vec![good(&pair)], "gone is not there");
    check(&["0-0", "0-0"], vec![good(&pair)], "twice");
    check(&[], vec![good(&pair)], "nothing");
    check(&["0-0", "0-2"], vec![good(&["0-0", "0-2"])], "1-0 stands between");
    check(&pair, vec![good(&["0-0"])], "truly");
    check(&pair, vec![BlockEntry { level: 2, ..good(&pair) }], "truly");
    check(&pair, vec![BlockEntry { flushed: Vec::new(), ..good(&pair) }], "truly");
    check(&pair, vec![BlockEntry { tenant: tenant("b"), ..good(&pair) }], "of b");
    check(&pair, vec![BlockEntry { signal: Signal::Logs, ..good(&pair) }], "logs of a");
    check(&pair, vec![good(&pair), good(&pair)], "was there before");
    check(&pair, vec![BlockEntry { name: "0-4".into(), ..good(&pair) }], "was there before");
    // What stands between and has rows of other tenants only does no harm.
    let mut catalog = start.clone();
    let added = vec![block(&start, "x", "b", &["0-2", "0-4"])];
    assert_eq!(replace(&mut catalog, &["0-2", "0-4"], added), Reply::Done { version: 5 });
}

#[test]
fn an_old_epoch_changes_nothing() {
    let mut catalog = catalog(&[(0, 0, &["a"])]);
    let added = vec![block(&catalog, "x", "a", &["0-0"])];
    catalog.apply(&Command::Lease { holder: "other".into(), epoch: 1, renewal: 0 }.encode());
    let before = catalog.clone();
    assert_eq!(replace(&mut catalog, &["0-0"], added.clone()), Reply::Fenced { epoch: 2 });
    catalog.apply(&Command::Lease { holder: String::new(), epoch: 2, renewal: 0 }.encode());
    let command = Command::Replace { epoch: 3, removed: vec!["0-0".into()], added, without: Vec::new() };
    assert_eq!(catalog.apply(&command.encode()), Reply::Fenced { epoch: 3 }, "nobody has the lease");
    assert_eq!((catalog.segments().count(), catalog.version()), (1, before.version()));
}
