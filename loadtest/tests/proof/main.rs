//! Runs the load generator against a small store that can be told to lose, double or change one row, or to go away.

mod store;

use loadtest::args::Args;
use std::path::Path;
use std::time::Duration;
use store::{Fault, Store};

/// Runs a command line against the store; gives the exit code's success and the JSON result.
async fn run(store: &Store, dir: &Path, command: &str) -> (bool, serde_json::Value) {
    use clap::Parser;
    let json = dir.join("result.json");
    let text = format!("loadtest {command} --target {} --json {}", store.url, json.display());
    let args = Args::try_parse_from(text.split(' ')).expect("parses");
    let code = loadtest::run(args).await.expect("runs");
    let result = serde_json::from_slice(&std::fs::read(json).expect("a result")).expect("is JSON");
    (format!("{code:?}") == format!("{:?}", std::process::ExitCode::SUCCESS), result)
}

const LOGS: &str = "logs --tenants 2 --streams 30 --batch 50 --rate 4000 --for 1s --seed 7 --verify --give-up 5s --limit 120 --timeout 500ms";
const METRICS: &str = "metrics --tenants 2 --series 1200 --churn 0.2 --rate 20000 --for 1s --verify --give-up 5s --samples 3000 --timeout 500ms";

/// The counts of missing, duplicate, unexpected and changed rows after a run with this fault.
async fn check(command: &str, fault: Fault, want: [u64; 4]) {
    let store = Store::start(fault).await;
    let dir = tempfile::tempdir().expect("a folder");
    let (success, result) = run(&store, dir.path(), command).await;
    let found =
        ["missing", "duplicate", "unexpected", "changed"].map(|kind| result["verify"][kind].as_u64().expect("a count"));
    assert_eq!(found, want, "{fault:?}: {result:#}");
    assert_eq!(success, want == [0; 4], "{fault:?}");
    let acked = result["verify"]["acked"].as_u64().expect("a count");
    let least = if result["errors"].as_object().is_some_and(|errors| errors.is_empty()) { 1000 } else { 100 };
    assert!(acked >= least && acked == result["rows"].as_u64().expect("a count"), "{result:#}");
    assert!(result["latency_ms"]["p99"].as_f64().expect("a number") > 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_are_proven() {
    check(LOGS, Fault::None, [0, 0, 0, 0]).await;
    check(LOGS, Fault::Lose, [1, 0, 0, 0]).await;
    check(LOGS, Fault::Double, [0, 1, 0, 0]).await;
    check(LOGS, Fault::Change, [0, 0, 0, 1]).await;
    check(LOGS, Fault::Invent, [0, 0, 1, 0]).await;
    check(LOGS, Fault::Leak, [0, 0, 1, 0]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_are_proven() {
    for command in [METRICS.to_owned(), format!("{METRICS} --rw2")] {
        check(&command, Fault::None, [0, 0, 0, 0]).await;
        check(&command, Fault::Lose, [1, 0, 0, 0]).await;
        check(&command, Fault::Double, [0, 1, 0, 0]).await;
        check(&command, Fault::Change, [0, 0, 0, 1]).await;
        check(&command, Fault::Invent, [0, 0, 1, 0]).await;
    }
    // Tenants are not scraped at the same time.
    check(METRICS, Fault::Leak, [0, 0, 1, 0]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pushes_outlast_a_target_that_is_away() {
    for command in [LOGS, METRICS] {
        // The store remembers bodies, as one that drops repeated pushes does.
        check(command, Fault::Busy { tries: 5 }, [0; 4]).await;
        check(command, Fault::LateAnswer { tries: 3 }, [0; 4]).await;
        check(command, Fault::Cut { tries: 3 }, [0; 4]).await;
    }
}

/// One of two doors is never there: every other try goes to the one that is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doors_take_turns() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port");
    for command in [LOGS, METRICS] {
        let store = Store::start(Fault::None).await;
        let dir = tempfile::tempdir().expect("a folder");
        let doors = |flag: &str| format!("--{flag} {} --{flag} http://{nobody}", store.url);
        let command = format!("{command} {} {}", doors("push"), doors("query"));
        let (success, result) = run(&store, dir.path(), &command).await;
        assert!(success && result["rows"].as_u64() > Some(100), "{result:#}");
        assert!(result["errors"]["cannot connect"]["count"].as_u64() > Some(1), "{result:#}");
        assert!(result["verify"]["read_errors"]["cannot connect"]["count"].as_u64() > Some(1), "{result:#}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_got_no_answer_may_be_there_or_not() {
    let store = Store::start(Fault::LateAnswer { tries: u32::MAX }).await;
    let dir = tempfile::tempdir().expect("a folder");
    let (success, result) = run(&store, dir.path(), &LOGS.replace("--give-up 5s", "--give-up 1s")).await;
    assert!(!success, "nothing was acknowledged");
    let verify = &result["verify"];
    assert!(verify["maybe"].as_u64() > Some(100), "{result:#}");
    assert_eq!((verify["maybe"].as_u64(), verify["acked"].as_u64()), (verify["maybe_found"].as_u64(), Some(0)));
    assert!(result["errors"]["time-out"]["count"].as_u64() > Some(1), "{result:#}");
    assert!(result["errors"]["given up"]["count"].as_u64() > Some(0), "{result:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_rows_are_not_expected() {
    let store = Store::start(Fault::Refuse).await;
    let dir = tempfile::tempdir().expect("a folder");
    let (success, result) = run(&store, dir.path(), LOGS).await;
    assert!(!success);
    assert_eq!(result["errors"]["413"]["first"], "the body is too large");
    assert_eq!((result["verify"]["maybe"].as_u64(), result["verify"]["acked"].as_u64()), (Some(0), Some(0)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_saved_run_is_verified_later_and_after_a_restart() {
    for command in [LOGS, METRICS] {
        let mut store = Store::start(Fault::None).await;
        let dir = tempfile::tempdir().expect("a folder");
        let state = dir.path().join("state.json");
        let command =
            format!("{} --save {}", command.replace(" --verify", "").replace("for 1s", "for 3s"), state.display());
        let (done, restarts) = tokio::join!(run(&store, dir.path(), &command), async {
            let restart = store.restarter();
            tokio::time::sleep(Duration::from_secs(1)).await;
            restart.stop();
            tokio::time::sleep(Duration::from_secs(1)).await;
            restart.start().await;
        });
        let () = restarts;
        assert!(done.0, "{:#}", done.1);
        assert!(done.1["errors"].as_object().is_some_and(|errors| !errors.is_empty()), "{:#}", done.1);
        let verify = format!("verify --file {}", state.display());
        let (success, result) = run(&store, dir.path(), &verify).await;
        assert!(success, "{result:#}");
        assert_eq!(result["verify"]["acked"], done.1["rows"]);
        store.forget_one();
        let (success, result) = run(&store, dir.path(), &verify).await;
        assert!(!success);
        assert_eq!(result["verify"]["missing"], 1);
    }
}
