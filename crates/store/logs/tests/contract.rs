//! What the crate promises: rows go into a head and come back the same, from the head and from the encoded part.

use block::{MemorySections, Part, Sections};
use bytes::Bytes;
use model::{BatchId, ByteSize, Labels, LogPage, Matcher, TenantId, TimeRange};
use ouro_logs::{Head, Payload, Reader, Selection, Settings};
use proptest::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use wire::batch::{Format, Header, StreamHeader};

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    labels: String,
    time: i64,
    text: String,
    metadata: Vec<(String, String)>,
}

fn line(app: &str, time: i64, text: &str) -> Line {
    Line { labels: format!("{{app={app:?}}}"), time, text: text.to_owned(), metadata: Vec::new() }
}

/// Counts how often a payload is read.
struct Memory(Bytes, Arc<AtomicUsize>);

impl Payload for Memory {
    fn read(&self) -> std::io::Result<Bytes> {
        self.1.fetch_add(1, Ordering::Relaxed);
        Ok(self.0.clone())
    }
}

/// A batch with a stream for each run of lines with the same labels.
fn batch(tenant: &str, lines: &[Line]) -> (Header, Bytes) {
    let mut builder = wire::loki::Builder::new();
    let (mut all, mut streams) = (TimeRange::EMPTY, Vec::new());
    for run in lines.chunk_by(|a, b| a.labels == b.labels) {
        builder.stream(&run[0].labels);
        let mut times = TimeRange::EMPTY;
        for line in run {
            let metadata = line.metadata.iter().map(|(n, v)| (n.as_str(), v.as_str()));
            builder.entry(line.time, &line.text, metadata);
            times.include(line.time);
        }
        all = all.union(times);
        streams.push(StreamHeader { key: wire::loki::key(&run[0].labels), rows: run.len() as u32, times });
    }
    let body = builder.finish();
    let header = Header {
        id: BatchId(1),
        tenant: TenantId::new(tenant).expect("a tenant"),
        format: Format::LokiPush,
        rows: lines.len() as u32,
        body_len: body.len() as u32,
        times: all,
        streams,
    };
    (header, wire::snappy::compress(&body).into())
}

struct Store {
    head: Head,
    reads: Arc<AtomicUsize>,
    next: u64,
}

impl Store {
    fn new(settings: Settings) -> Store {
        Store { head: Head::new(settings), reads: Arc::default(), next: 1 }
    }

    fn add(&mut self, tenant: &str, lines: &[Line]) {
        let (header, payload) = batch(tenant, lines);
        let rest = Arc::new(Memory(payload.clone(), self.reads.clone()));
        self.head.apply(self.next, &header, &payload, rest).expect("applies");
        self.next += 1;
    }

    fn encode(&self) -> Vec<Part> {
        self.head.cut(self.next - 1).encode().collect::<Result<_, _>>().expect("encodes")
    }
}

fn small() -> Settings {
    Settings { row_group: ByteSize(200_000), page_rows: 100, verify: true, ..Settings::default() }
}

fn open(part: Part) -> Reader {
    let sections: Arc<dyn Sections> = Arc::new(MemorySections(part.sections));
    Reader::open(sections).expect("opens")
}

fn lines_of(pages: impl Iterator<Item = Result<LogPage, ouro_logs::Error>>) -> Vec<Line> {
    let mut lines = Vec::new();
    for page in pages {
        let page = page.expect("decodes");
        for row in 0..page.len() {
            let metadata = page.metadata(row).cloned().unwrap_or_else(Labels::empty);
            lines.push(Line {
                labels: page.labels.to_string(),
                time: page.times[row],
                text: page.line(row).to_owned(),
                metadata: metadata.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect(),
            });
        }
    }
    lines.sort();
    lines
}

fn sorted(lines: &[Line]) -> Vec<Line> {
    let mut lines = lines.to_vec();
    lines.sort();
    lines
}

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).expect("a tenant")
}

/// Names that a tenant wants are those of the head and of the part, whatever the body says.
#[test]
fn streams_get_the_names_that_their_tenant_wants() {
    let overrides = r#"{"tenants": {"plain": {"discover": {"service_name": []}}}}"#;
    let limits = tenancy::LimitTable::new(&serde_json::from_str(overrides).expect("limits"));
    let mut store = Store { head: Head::naming(small(), Arc::new(limits)), reads: Arc::default(), next: 1 };
    let line = |labels: &str, time| Line { labels: labels.into(), time, text: "x".into(), metadata: Vec::new() };
    let sent = [
        line(r#"{app="web"}"#, 1),
        line(r#"{app="web", service_name="own"}"#, 2),
        line(r#"{app="web", service_name="web"}"#, 3),
        line(r#"{other="x"}"#, 4),
    ];
    let want = [
        line(r#"{app="web", service_name="web"}"#, 1),
        sent[1].clone(),
        sent[2].clone(),
        line(r#"{other="x", service_name="unknown_service"}"#, 4),
    ];
    for turn in 0..2 {
        ["t", "plain"].iter().for_each(|tenant| store.add(tenant, &sent));
        for (name, want) in [("t", &want), ("plain", &sent)] {
            let found = lines_of(store.head.snapshot().pages(&tenant(name), &Selection::all()));
            assert_eq!(found, sorted(want), "{name}, turn {turn}");
        }
        let matchers = [Matcher::equal("service_name", "web")];
        assert_eq!(store.head.snapshot().series(&tenant("t"), &matchers, TimeRange::ALL).len(), 1);
        let parts = store.encode();
        store.head.drop_frozen(store.next);
        let part = parts.into_iter().find(|part| part.tenant == tenant("t")).expect("a part");
        let found = lines_of(open(part).pages(&Selection::all()));
        assert_eq!(found, sorted(&want), "in the part");
    }
}

/// Lines come back from the head, from the frozen head, and from the part, whole and by selection.
fn check(lines: &[Line], batches: usize) {
    let mut store = Store::new(small());
    for lines in lines.chunks(lines.len().div_ceil(batches).max(1)) {
        store.add("t", lines);
    }
    let want = sorted(lines);
    let all = Selection::all();
    assert_eq!(lines_of(store.head.snapshot().pages(&tenant("t"), &all)), want);
    let parts = store.encode();
    assert_eq!(lines_of(store.head.snapshot().pages(&tenant("t"), &all)), want, "frozen");
    let Some(part) = parts.into_iter().next() else {
        assert_eq!(lines, []);
        return;
    };
    assert_eq!(part.rows, lines.len() as u64);
    let reader = open(part);
    reader.verify().expect("is whole");
    assert_eq!(lines_of(reader.pages(&all)), want);
    let (first, middle) = (&lines[0], &lines[lines.len() / 2]);
    let view = store.head.snapshot();
    let needle: String = middle.text.chars().skip(2).take(40).collect();
    let range = TimeRange::new(first.time.min(middle.time), first.time.max(middle.time));
    let short = (0..12).map(|n| {
        let text = &lines[n * lines.len() / 12].text;
        let from = n * 5 % text.chars().count().max(1);
        text.chars().skip(from).take([1, 2, 3, 5, 8, 13][n % 6]).collect::<String>()
    });
    let short = short.map(|needle| Selection { contains: vec![needle], ..Selection::all() });
    for selection in short.collect::<Vec<_>>().into_iter().chain([
        Selection { contains: vec![needle.clone()], ..Selection::all() },
        Selection {
            contains: vec![needle.chars().take(3).collect(), first.text.chars().take(2).collect()],
            ..Selection::all()
        },
        Selection { range, ..Selection::all() },
        Selection { matchers: vec![Matcher::equal("app", "a")], ..Selection::all() },
    ]) {
        let wanted = |line: &&Line| {
            selection.contains.iter().all(|text| line.text.contains(text))
                && selection.range.contains(line.time)
                && (selection.matchers.is_empty() || line.labels == "{app=\"a\"}")
        };
        let want: Vec<Line> = want.iter().filter(wanted).cloned().collect();
        assert_eq!(lines_of(reader.pages(&selection)), want, "{selection:?}");
        assert_eq!(lines_of(view.pages(&tenant("t"), &selection)), want, "{selection:?}");
        for (limit, newest) in [(1, true), (7, true), (5, false)] {
            let mut times: Vec<i64> = want.iter().map(|line| line.time).collect();
            times.sort();
            if newest {
                times.reverse();
            }
            times.truncate(limit);
            let found: [Vec<Line>; 2] = match newest {
                true => {
                    [lines_of(reader.newest(&selection, limit)), lines_of(view.newest(&tenant("t"), &selection, limit))]
                }
                false => {
                    [lines_of(reader.oldest(&selection, limit)), lines_of(view.oldest(&tenant("t"), &selection, limit))]
                }
            };
            for found in found {
                let mut best: Vec<i64> = found.iter().map(|line| line.time).collect();
                best.sort();
                if newest {
                    best.reverse();
                }
                best.truncate(limit);
                assert_eq!(best, times, "{limit} {newest} {selection:?}");
            }
        }
        let counted: usize = reader.times(&selection).map(|t| t.expect("times").1.len()).sum();
        assert!(counted >= want.len());
    }
}

fn json(n: u64) -> String {
    let id = format!(
        "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
        n * 0x9e37_79b9 % (1 << 32),
        n % 65536,
        n % 4096,
        n % 4096,
        n * 77
    );
    let user = if n.is_multiple_of(3) { "null".to_owned() } else { format!("\"{id}\"") };
    format!(
        r#"{{"time":"2026-11-22T02:{:02}:{:02}.{:09}Z","ip":"10.1.{}.{}:{}","status":{},"took":{}.{:03},"total":{},"part":{},"path":"/a/{}/{}","id":"{id}","user":{user},"n":"{:05}","const":"x"}}"#,
        n / 60 % 60,
        n % 60,
        n * 7919 % 1_000_000_000,
        n % 256,
        n * 31 % 256,
        1024 + n * 17 % 60000,
        [200, 404, 500][n as usize % 3],
        n % 50,
        n * 37 % 1000,
        n * n + n,
        n * n,
        n * 7 % 1000,
        n * 48271 % 65537,
        n % 100_000,
    )
}

#[test]
fn nothing_is_nothing() {
    check(&[], 1);
    let store = Store::new(small());
    assert_eq!(store.encode(), []);
    assert_eq!(store.head.stats(), ouro_logs::Stats::default());
}

#[test]
fn shredded_lines_come_back() {
    let lines: Vec<Line> = (0..3000u64)
        .map(|n| line(["a", "b", "c"][n as usize % 3], n as i64 * 1_000_000_007 % 1_000_000_000_000, &json(n)))
        .collect();
    check(&lines, 7);
    let text: Vec<Line> = (0..2500u64)
        .map(|n| {
            let text = match n % 4 {
                0 => format!(
                    "[2026-11-22 02:12:{:02},{:03}] INFO gunicorn.access: 10.0.{}.7 - - \"GET /x/{n} HTTP/1.1\" 200 {}",
                    n % 60,
                    n % 1000,
                    n % 256,
                    n * 7
                ),
                1 => format!(
                    "[2026-11-22 02:12:{:02},{:03}] WARNING slow request took {}.{}ms id={:04x}",
                    n % 60,
                    n % 1000,
                    n % 90,
                    n % 10,
                    n * 48271 % 65536
                ),
                2 => format!("user {} logged in", ["ann", "bob", "cyd"][n as usize / 4 % 3]),
                _ => format!("Traceback:\n  File \"/opt/{n}.py\", line {n}\nError: é {n}"),
            };
            line("a", n as i64, &text)
        })
        .collect();
    check(&text, 3);
}

#[test]
fn odd_values_come_back() {
    let odd = [
        "-0",
        "-0.0",
        "007",
        "1e5",
        "1E400",
        "999999999999999999999",
        "0.10",
        "true",
        "null",
        "\"\"",
        "[1, 2]",
        "[]",
        "{}",
        "\"\\u00e9\\\"\"",
        "\"2026-02-29T00:00:00Z\"",
        "\"1969-01-01T00:00:00.000000000Z\"",
        " 1",
        "\"1.2.3.256\"",
        "\"4ABF32A3-BA90-483A-A3A9-64828D31284F\"",
        "1.5.5",
        "\"\n\"",
        "-",
        "\"unterminated",
    ];
    let lines: Vec<Line> = (0..2000)
        .map(|n| {
            // Mostly of one kind, so that a form is found and has exceptions.
            let value = if n % 97 < odd.len() && n % 5 == 0 { odd[n % 97].to_owned() } else { n.to_string() };
            line("a", n as i64 / 3, &format!("{{\"v\":{value},\"w\":{},\"v\":{value}}}", odd[n % odd.len()]))
        })
        .collect();
    check(&lines, 2);
}

#[test]
fn metadata_comes_back() {
    let lines: Vec<Line> = (0..1500)
        .map(|n| {
            let mut line = line("a", n, &format!("line {n}"));
            if n % 4 != 0 {
                let id = format!("{:032x}", n * 77_777);
                line.metadata =
                    vec![("level".into(), "info".into()), ("trace_id".into(), id), ("x y\"\\".into(), "{\"\n".into())];
            }
            line
        })
        .collect();
    check(&lines, 3);
}

#[test]
fn small_tenants_are_small() {
    let mut store = Store::new(Settings::default());
    for n in 0..200 {
        let lines: Vec<Line> = (0..10).map(|row| line("web", row, &json(row as u64))).collect();
        store.add(&format!("tenant-{n}"), &lines);
    }
    let parts = store.encode();
    assert_eq!(parts.len(), 200);
    for part in &parts {
        let size: usize = part.sections.iter().map(|(_, data)| data.len()).sum();
        assert!(size < 2000, "{} takes {size} bytes", part.tenant);
    }
    let duplicates: Vec<Line> = (0..3).map(|_| line("a", 1, "the same")).collect();
    check(&duplicates, 3);
}

#[test]
fn a_head_reads_only_what_it_must() {
    let mut store = Store::new(small());
    store.add("t", &[line("a", 10, "one"), line("b", 12, "two")]);
    store.add("t", &[line("a", 20, "three")]);
    store.add("u", &[line("a", 20, "another tenant's")]);
    let view = store.head.snapshot();
    store.add("t", &[line("c", 15, "later")]);
    let reads = |selection: &Selection| {
        let before = store.reads.load(Ordering::Relaxed);
        let lines = lines_of(view.pages(&tenant("t"), selection));
        (lines.into_iter().map(|l| l.text).collect::<Vec<_>>(), store.reads.load(Ordering::Relaxed) - before)
    };
    assert_eq!(reads(&Selection::all()), (vec!["one".into(), "three".into(), "two".into()], 2));
    let late = TimeRange::new(13, 99);
    assert_eq!(reads(&Selection { range: late, ..Selection::all() }), (vec!["three".into()], 1));
    let b = vec![Matcher::equal("app", "b")];
    assert_eq!(reads(&Selection { matchers: b.clone(), ..Selection::all() }), (vec!["two".into()], 1));
    assert_eq!(reads(&Selection { matchers: b.clone(), range: late, ..Selection::all() }), (vec![], 0));
    let names = |labels: Vec<Labels>| labels.iter().map(|l| l.value("app").to_owned()).collect::<Vec<_>>();
    assert_eq!(names(view.series(&tenant("t"), &[], TimeRange::ALL)), ["a", "b"]);
    assert_eq!(names(view.series(&tenant("t"), &b, late)), [""; 0]);
    assert_eq!(names(store.head.snapshot().series(&tenant("t"), &[], late)), ["a", "c"]);
}

#[test]
fn a_cut_keeps_rows_readable_until_they_are_dropped() {
    let mut store = Store::new(small());
    store.add("t", &[line("a", 1, "old")]);
    let frozen = store.head.cut(1);
    store.add("t", &[line("a", 2, "new")]);
    let texts = |store: &Store| {
        let lines = lines_of(store.head.snapshot().pages(&tenant("t"), &Selection::all()));
        lines.into_iter().map(|line| line.text).collect::<Vec<_>>()
    };
    assert_eq!(texts(&store), ["old", "new"]);
    let view = store.head.snapshot();
    let stats = store.head.stats();
    assert_eq!((stats.active.rows, stats.frozen.rows, stats.active.times), (1, 1, Some((2, 2))));
    store.head.drop_frozen(0);
    assert_eq!(texts(&store), ["old", "new"]);
    store.head.drop_frozen(1);
    assert_eq!(texts(&store), ["new"]);
    assert_eq!(lines_of(view.pages(&tenant("t"), &Selection::all())).len(), 2, "a view keeps its rows");
    assert_eq!(frozen.through(), 1);
    let parts: Vec<Part> = frozen.encode().collect::<Result<_, _>>().expect("encodes");
    assert_eq!(parts[0].times, TimeRange::new(1, 1));
}

#[test]
fn bad_batches_are_refused_and_not_added() {
    let head = Head::new(small());
    let reads: Arc<AtomicUsize> = Arc::default();
    let (good, payload) = batch("t", &[line("a", 1, "x")]);
    let apply = |header: &Header, payload: &Bytes| {
        let rest = Arc::new(Memory(payload.clone(), reads.clone()));
        head.apply(7, header, payload, rest).map_err(|e| e.to_string())
    };
    let metrics = Header { format: Format::PromV1, ..good.clone() };
    assert_eq!(apply(&metrics, &payload), Err("the batch at log index 7 does not hold log lines".into()));
    assert!(apply(&good, &payload.slice(..payload.len() - 1)).is_err());
    let mut other = good.clone();
    other.streams[0].key = 99;
    assert!(apply(&other, &payload).is_err_and(|e| e.contains("no stream has the key")));
    let (bad, bad_payload) = batch("t", &[Line { labels: "{app=".into(), ..line("a", 1, "x") }]);
    assert!(apply(&bad, &bad_payload).is_err_and(|e| e.contains("labels are not valid")));
    assert_eq!(head.stats().active.batches, 0);
    assert_eq!(apply(&good, &payload), Ok(()));
    assert_eq!(head.stats().active.batches, 1);
}

#[test]
fn damage_is_found() {
    let mut store = Store::new(Settings { verify: false, ..small() });
    store.add("t", &(0..800).map(|n| line("a", n, &json(n as u64))).collect::<Vec<_>>());
    let part = store.encode().remove(0);
    for (section, (kind, data)) in part.sections.iter().enumerate() {
        let step = (data.len() / 150).max(1);
        for at in (0..data.len()).step_by(step) {
            let mut sections = part.sections.clone();
            let mut bytes = data.to_vec();
            bytes[at] ^= 0x10;
            sections[section].1 = bytes.into();
            let opened = Reader::open(Arc::new(MemorySections(sections)) as Arc<dyn Sections>);
            let verified = opened.and_then(|reader| reader.verify());
            assert!(verified.is_err(), "section {kind}, byte {at}");
        }
        for len in [0, 1, data.len() / 2, data.len() - 1] {
            let mut sections = part.sections.clone();
            sections[section].1 = data.slice(..len);
            let opened = Reader::open(Arc::new(MemorySections(sections)) as Arc<dyn Sections>);
            assert!(opened.and_then(|reader| reader.verify()).is_err(), "section {kind} cut at {len}");
        }
    }
}

fn any_json() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,12})?([eE][+-]?[0-9]{1,3})?",
        "0[0-9]{1,6}",
        Just("null".to_owned()),
        Just("-0".to_owned()),
        "\"[ -~é]{0,12}\"",
        "\"([a-z0-9]|\\\\[nu\"\\\\])*\"",
        "\"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\"",
        "\"2026-1[0-2]-[0-3][0-9]T0[0-9]:[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?Z\"",
        "\"[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9]{1,3}(:[0-9]{1,5})?\"",
    ];
    let value = scalar.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(", "))),
            prop::collection::vec(("[a-c]{1,2}", inner), 0..4).prop_map(|pairs| {
                let pairs: Vec<String> = pairs.iter().map(|(k, v)| format!("\"{k}\": {v}")).collect();
                format!("{{{}}}", pairs.join(","))
            }),
        ]
    });
    ("[a-d]{1}", value.clone(), value).prop_map(|(key, a, b)| format!("{{\"{key}\":{a},\"z\":{b}}}"))
}

fn any_line() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => any_json(),
        1 => (any_json(), 0usize..60).prop_map(|(json, len)| json.chars().take(len).collect()),
        1 => "\\PC{0,40}",
        1 => "[a-z0-9=:,\\[\\]() \"\n]{0,60}",
        1 => Just(String::new()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn any_lines_come_back(texts in prop::collection::vec((any_line(), 0i64..1000), 1..40), copies in 1usize..30) {
        // Repeated, so that shapes and forms are met often enough to be learned.
        let lines: Vec<Line> = (0..copies)
            .flat_map(|copy| texts.iter().enumerate().map(move |(n, (text, time))| {
                line(["a", "b"][n % 2], *time * 1_000_003 + copy as i64, text)
            }))
            .collect();
        check(&lines, 3);
    }

    #[test]
    fn any_sections_open_or_fail(index in prop::collection::vec(any::<u8>(), 0..80), data in prop::collection::vec(any::<u8>(), 0..200)) {
        let sections = MemorySections(vec![(1, index.into()), (2, data.clone().into()), (3, data.into())]);
        if let Ok(reader) = Reader::open(Arc::new(sections) as Arc<dyn Sections>) {
            let _ = reader.verify();
        }
    }
}
