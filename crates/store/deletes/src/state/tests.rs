//! Requests hide, are taken back while that is possible, and are bounded.

use super::*;
use proptest::prelude::*;

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).expect("a name")
}

fn ask(name: &str, query: &str, start: i64, end: i64) -> Command {
    Command::Ask { tenant: tenant(name), signal: Signal::Logs, query: query.into(), start, end, created: 5 }
}

fn cancel(name: &str, request: u64, force: bool) -> Command {
    Command::Cancel { tenant: tenant(name), signal: Signal::Logs, request, force }
}

fn finish(name: &str, request: u64) -> Command {
    Command::Finish { done: vec![(tenant(name), request)] }
}

#[test]
fn a_request_hides_until_it_is_processed() {
    let mut deletes = Deletes::default();
    assert!(matches!(deletes.apply(ask("a", "{x=\"1\"}", 10, 20), 3), Reply::Taken { .. }));
    let hidden = |deletes: &Deletes, name, signal, min, max, asked| {
        deletes.hiding(&tenant(name), signal, TimeRange::new(min, max), asked).count()
    };
    assert_eq!(hidden(&deletes, "a", Signal::Logs, 20, 30, 9), 1);
    assert_eq!(hidden(&deletes, "a", Signal::Logs, 21, 30, 9), 0, "another time");
    assert_eq!(hidden(&deletes, "a", Signal::Metrics, 0, 30, 9), 0, "another signal");
    assert_eq!(hidden(&deletes, "b", Signal::Logs, 0, 30, 9), 0, "another tenant");
    deletes.begin(&[(tenant("a"), 3)], 4);
    assert_eq!(hidden(&deletes, "a", Signal::Logs, 0, 30, 9), 1);
    assert_eq!((deletes.apply(finish("a", 3), 7), deletes.changed()), (Reply::Done, 7));
    assert_eq!(hidden(&deletes, "a", Signal::Logs, 0, 30, 7), 0);
    assert_eq!(hidden(&deletes, "a", Signal::Logs, 0, 30, 6), 1, "a head that was asked before");
}

#[test]
fn it_can_be_taken_back_while_all_is_there() {
    let mut deletes = Deletes::default();
    deletes.apply(ask("a", "q", 0, 9), 1);
    assert_eq!(deletes.apply(cancel("b", 1, false), 2), Reply::Unknown, "another's");
    assert_eq!(deletes.apply(cancel("a", 1, false), 2), Reply::Done);
    assert_eq!(deletes.apply(cancel("a", 1, false), 3), Reply::Unknown);
    assert!(!deletes.are_open(&[(tenant("a"), 1)]));
    deletes.apply(ask("a", "q", 0, 9), 4);
    deletes.begin(&[(tenant("a"), 4)], 5);
    assert_eq!(deletes.apply(cancel("a", 4, false), 6), Reply::Begun);
    assert_eq!(deletes.apply(cancel("a", 4, true), 6), Reply::Done);
    deletes.apply(ask("a", "q", 0, 9), 7);
    deletes.apply(finish("a", 7), 8);
    assert_eq!(deletes.apply(cancel("a", 7, true), 9), Reply::Processed);
    assert_eq!(deletes.changed(), 8);
}

#[test]
fn requests_are_bounded_and_the_same_is_asked_once() {
    let mut deletes = Deletes::default();
    let Reply::Taken { request } = deletes.apply(ask("a", "q", 0, 0), 1) else { panic!("taken") };
    assert_eq!(deletes.apply(ask("a", "q", 0, 0), 2), Reply::Taken { request });
    for at in 1..MAX_OPEN as i64 {
        deletes.apply(ask("a", "q", at, at), 2 + at as u64);
    }
    let full = Reply::Full { open: MAX_OPEN as u64, limit: MAX_OPEN as u64 };
    assert_eq!(deletes.apply(ask("a", "other", 0, 0), 900), full);
    assert!(matches!(deletes.apply(ask("b", "q", 1, 0), 900), Reply::Refused { .. }), "ends before it begins");
    assert!(matches!(deletes.apply(ask("b", &"q".repeat(MAX_QUERY + 1), 0, 0), 900), Reply::Refused { .. }));
    assert!(matches!(deletes.apply(ask("b", "q", 0, 0), 900), Reply::Taken { .. }), "others may");
    for round in 0..3 * MAX_DONE as u64 {
        deletes.apply(ask("c", "q", 0, 0), 1000 + round);
        deletes.apply(finish("c", 1000 + round), 1000 + round);
    }
    assert_eq!(deletes.of(&tenant("c")).len(), MAX_DONE);
    assert_eq!(deletes.of(&tenant("c")).last().map(|r| r.version), Some(1000 + 3 * MAX_DONE as u64 - 1));
}

#[test]
fn names_are_read_back() {
    for version in [0, 255, u64::from(u32::MAX), u64::MAX] {
        let Reply::Taken { request } = Deletes::default().apply(ask("a", "q", 0, 0), version) else { panic!("taken") };
        assert_eq!(Request::version_of(&request.id()), Some(version));
    }
    for bad in ["", "1", "+0000001", "0000000g", "000000000000000001", "ABCDEF01"] {
        assert_eq!(Request::version_of(bad), None, "{bad}");
    }
}

fn any_command() -> impl Strategy<Value = Command> {
    let name = || prop_oneof![Just("a"), Just("b")];
    prop_oneof![
        4 => (name(), "[pq]", 0..3i64, 0..3i64).prop_map(|(name, query, start, end)| ask(name, &query, start, end)),
        2 => (name(), 0..40u64, any::<bool>()).prop_map(|(name, request, force)| cancel(name, request, force)),
        1 => (name(), 0..40u64).prop_map(|(name, request)| finish(name, request)),
    ]
}

proptest! {
    /// Whatever is asked: names stay unique, what is processed stays so, and a snapshot is the whole state.
    #[test]
    fn requests_only_go_on(commands in prop::collection::vec(any_command(), 0..40)) {
        let mut deletes = Deletes::default();
        for (version, command) in (1..).zip(commands) {
            let before = deletes.clone();
            let reply = deletes.apply(command, version);
            let changes = matches!(reply, Reply::Taken { .. } | Reply::Done);
            prop_assert!(changes || before == deletes, "{reply:?}");
            for name in ["a", "b"] {
                let of = deletes.of(&tenant(name));
                prop_assert!(of.windows(2).all(|pair| pair[0].version < pair[1].version));
                for done in before.of(&tenant(name)).iter().filter(|request| !request.is_open()) {
                    prop_assert!(of.contains(done));
                }
            }
            let text = serde_json::to_vec(&deletes).expect("writes");
            prop_assert_eq!(serde_json::from_slice::<Deletes>(&text).expect("reads"), deletes.clone());
        }
    }
}
