//! Lines that are followed over connections that break.

use super::*;
use crate::args::Server;
use axum::Router;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

const SECOND: i64 = 1_000_000_000;

fn row(seconds: i64, line: &str) -> String {
    format!("{{\"time\":\"{}\",\"labels\":{{\"app\":\"web\"}},\"line\":\"{line}\"}}\n", seconds * SECOND)
}

#[test]
fn rows_are_cut_anywhere() {
    let text = row(1, "é one") + "{\"dropped\":7}\n" + &row(2, "two");
    let line = |seconds: i64, line: &str| Row::Line {
        time: (seconds * SECOND).to_string(),
        labels: Names::from([("app".into(), "web".into())]),
        line: line.into(),
    };
    for size in 1..text.len() {
        let mut rows = Rows::default();
        let got: Vec<Row> = text.as_bytes().chunks(size).flat_map(|chunk| rows.take(chunk).expect("good")).collect();
        assert_eq!(got, [line(1, "é one"), Row::Dropped { dropped: 7 }, line(2, "two")]);
    }
    for bad in ["\n", "x\n", "{}\n", "{\"time\":1,\"labels\":{},\"line\":\"\"}\n", "{\"dropped\":-1}\n", "\"\u{0}\"\n"]
    {
        assert!(Rows::default().take(bad.as_bytes()).is_err(), "{bad:?}");
    }
    let time = Row::Line { time: "soon".into(), labels: Names::new(), line: String::new() };
    assert!(Told::new(0).take(time).is_err());
}

/// What a server answers one after the other; `{"dropped":…}` rows and lines as they are, or a status.
enum Then {
    Rows(String),
    Status(u16),
}

struct Played {
    answers: Mutex<VecDeque<Then>>,
    starts: Mutex<Vec<i64>>,
}

async fn answer(State(played): State<Arc<Played>>, Query(params): Query<HashMap<String, String>>) -> Response {
    assert_eq!((params["query"].as_str(), params["limit"].as_str()), ("{app=\"web\"}", "5000"));
    played.starts.lock().expect("whole").push(params["start"].parse().expect("a time"));
    match played.answers.lock().expect("whole").pop_front() {
        Some(Then::Rows(rows)) => rows.into_response(),
        Some(Then::Status(status)) => (StatusCode::from_u16(status).expect("a status"), "why").into_response(),
        None => (StatusCode::BAD_REQUEST, "the end").into_response(),
    }
}

/// What is shown of these answers, where lines were asked for from, and how it ended.
async fn play(answers: impl IntoIterator<Item = Then>) -> (Vec<String>, Vec<i64>, String) {
    let answers = Mutex::new(answers.into_iter().collect());
    let played = Arc::new(Played { answers, starts: Mutex::default() });
    let router = Router::new().route(PATH, get(answer)).with_state(Arc::clone(&played));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("bound"));
    let server = tokio::spawn(async { axum::serve(listener, router).await });
    let client = Client::new(&Server { address, tenant: "team".into() }).expect("a client");
    let mut all = Vec::new();
    let show = |shown| {
        all.push(match shown {
            Shown::Line(time, labels, line) => format!("{} {labels} {line}", time / SECOND),
            Shown::Dropped(count) => format!("{count} dropped"),
            Shown::Gap => "gap".into(),
            Shown::Broken(_) => "broken".into(),
        });
        Ok(())
    };
    let ended = follow(&client, "{app=\"web\"}", 100 * SECOND, (Duration::ZERO, Duration::ZERO), show).await;
    server.abort();
    let starts = played.starts.lock().expect("whole").iter().map(|start| start / SECOND).collect();
    (all, starts, format!("{:#}", ended.expect_err("an end")))
}

#[tokio::test]
async fn a_new_connection_goes_on_where_the_last_one_broke() {
    let rows = |all: &[(i64, &str)]| Then::Rows(all.iter().map(|(seconds, line)| row(*seconds, line)).collect());
    let cut = Then::Rows(row(110, "d") + "{\"time\":\"11");
    let (shown, starts, ended) = play([
        rows(&[(101, "a"), (101, "a"), (102, "b")]),
        Then::Status(503),
        rows(&[(101, "a"), (101, "a"), (102, "b"), (102, "c"), (101, "late")]),
        Then::Status(429),
        cut,
        Then::Rows(String::new()),
        rows(&[(110, "d"), (111, "e")]),
    ])
    .await;
    let line = |text: &str| text.replacen(' ', " {app=\"web\"} ", 1);
    let want = [
        // Two that are the same are two.
        &["101 a", "101 a", "102 b", "broken", "broken", "102 c", "101 late", "broken", "broken"][..],
        // Of what came meanwhile, the oldest was not shown before: there may have been more.
        &["gap", "110 d", "broken", "broken", "111 e", "broken"],
    ];
    let is_line = |text: &&str| text.starts_with(|c: char| c.is_ascii_digit());
    let want: Vec<String> =
        want.concat().iter().map(|text| if is_line(text) { line(text) } else { (*text).to_owned() }).collect();
    assert_eq!(shown, want);
    assert_eq!(starts, [100, 100, 100, 100, 100, 105, 105, 106]);
    assert!(ended.contains("400: the end"), "{ended}");
}

#[tokio::test]
async fn dropped_lines_are_told() {
    let (shown, _, _) = play([Then::Rows("{\"dropped\":7}\n".to_owned() + &row(101, "a"))]).await;
    assert_eq!(shown, ["7 dropped", "101 {app=\"web\"} a", "broken"]);
}

#[tokio::test]
async fn what_cannot_be_mended_ends_it() {
    for (first, word) in [
        (Then::Status(503), "503: why"),
        (Then::Status(400), "400: why"),
        (Then::Rows("<html>\n".into()), "the answer cannot be read"),
    ] {
        let (shown, starts, ended) = play([first]).await;
        assert!(shown.is_empty() && starts == [100] && ended.contains(word), "{shown:?} {ended}");
    }
}
