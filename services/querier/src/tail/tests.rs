//! What is gathered for a slow reader stays small, and says what it lacks.

use super::*;

fn found(stream: &str, times: std::ops::Range<i64>, line: &str) -> StreamEntries {
    let entry = |time_ns| {
        let (structured_metadata, parsed) = (Labels::empty(), Labels::empty());
        Entry { time_ns, line: line.to_owned(), structured_metadata, parsed }
    };
    StreamEntries { labels: Labels::from_pairs([("s", stream)]), entries: times.map(entry).collect() }
}

#[test]
fn the_newest_lines_are_kept_and_the_others_are_named() {
    let mut gathered = Gathered::default();
    gathered.add(vec![found("a", 0..MOST as i64, "x")]);
    gathered.add(vec![found("b", 0..1500, "y")]);
    let told = gathered.end();
    assert_eq!((told.dropped, told.named.len()), (1500, NAMED));
    assert_eq!(told.streams.iter().map(|stream| stream.entries.len()).sum::<usize>(), MOST);
    assert!(told.streams.iter().all(|stream| stream.entries[0].time_ns == 750));
    let mut gathered = Gathered::default();
    gathered.add(vec![found("a", 0..20, &"x".repeat(MOST_BYTES / 10))]);
    let told = gathered.end();
    assert!(told.dropped > 10 && told.streams[0].entries.len() as u64 == 20 - told.dropped, "{}", told.dropped);
}
