//! Lines are followed as they come: each once, over a WebSocket and without one, whoever leads meanwhile.

use crate::{cluster, home};
use model::Role;
use ouro_tests::client::{Client, until};
use ouro_tests::ledger::{LOKI, now_ms};
use ouro_tests::members::Shape;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const TAIL: &str = "/loki/api/v1/tail";

async fn push(client: &Client, line: &str) -> bool {
    let time = format!("{}000000", now_ms());
    let body = json!({ "streams": [{ "stream": {"app": "a"}, "values": [[time, line]] }] });
    let headers = [("content-type", "application/json"), ("x-scope-orgid", "t")];
    client.send("POST", LOKI, &headers, body.to_string()).await.is_ok_and(|answer| answer.status == 204)
}

/// A connection on which one request was written.
async fn request(url: &str, query: &str, headers: &str) -> TcpStream {
    let host = url.strip_prefix("http://").expect("a URL");
    let mut socket = TcpStream::connect(host).await.expect("connects");
    let query: String = query.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let head = format!("GET {TAIL}?query={query} HTTP/1.1\r\nhost: {host}\r\nx-scope-orgid: t\r\n{headers}\r\n");
    socket.write_all(head.as_bytes()).await.expect("written");
    socket
}

/// What comes before the body.
async fn head(socket: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.expect("an answer"));
    }
    String::from_utf8(head).expect("text")
}

const UPGRADE: &str = "connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                       sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

async fn web_socket(url: &str, query: &str) -> TcpStream {
    let mut socket = request(url, query, UPGRADE).await;
    let head = head(&mut socket).await;
    assert!(head.starts_with("HTTP/1.1 101") && head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
    socket
}

/// The next frame: its kind, and what is in it.
async fn frame(socket: &mut TcpStream) -> std::io::Result<(u8, Vec<u8>)> {
    let (kind, length) = (socket.read_u8().await?, socket.read_u8().await?);
    assert!(kind & 0xf0 == 0x80 && length < 128, "whole frames without masks: {kind:x} {length:x}");
    let length = match length {
        126 => u64::from(socket.read_u16().await?),
        127 => socket.read_u64().await?,
        length => u64::from(length),
    };
    let mut payload = vec![0; length as usize];
    socket.read_exact(&mut payload).await?;
    Ok((kind & 0xf, payload))
}

/// The next message of a tail.
async fn message(socket: &mut TcpStream) -> std::io::Result<Value> {
    loop {
        match frame(socket).await? {
            (1, text) => return Ok(serde_json::from_slice(&text).expect("JSON")),
            (9, _) => {}
            other => return Err(std::io::Error::other(format!("{other:?}"))),
        }
    }
}

fn lines(message: &Value) -> Vec<String> {
    let streams = message["streams"].as_array().expect("streams");
    let values = streams.iter().flat_map(|stream| stream["values"].as_array().expect("values"));
    values.map(|value| value[1].as_str().expect("a line").to_owned()).collect()
}

#[tokio::test]
async fn lines_come_as_they_are_pushed() {
    let process = home("[limits]\nmax_tails = 2\nmax_query_range = \"1d\"\n").start();
    let (client, url) = (process.client(), process.url.clone());
    assert!(push(&client, "level=info old").await && push(&client, "level=warn old").await);
    let mut socket = web_socket(&url, "{app=\"a\"} | logfmt | level=\"info\"").await;
    let first = message(&mut socket).await.expect("a message");
    let stream = json!({ "app": "a", "service_name": "a", "level": "info" });
    assert_eq!((&first["streams"][0]["stream"], lines(&first)), (&stream, vec!["level=info old".into()]), "{first}");
    assert!(first["streams"][0]["values"][0][0].is_string() && first.get("dropped_entries").is_none(), "{first}");
    // Flushed before it is asked for again, and after.
    for line in ["level=info one", "level=warn two", "level=info three"] {
        assert!(push(&client, line).await);
        client.flush().await;
        if line.contains("info") {
            assert_eq!(lines(&message(&mut socket).await.expect("a message")), [line]);
        }
    }
    // Plain lines, and lines of JSON, each a chunk.
    let mut text = request(&url, "{app=\"a\"} |= \"three\"", "").await;
    let answer = head(&mut text).await.to_ascii_lowercase();
    assert!(answer.starts_with("http/1.1 200") && answer.contains("content-type: text/plain"), "{answer}");
    let mut begin = [0; 16 + 5];
    text.read_exact(&mut begin).await.expect("a line");
    assert_eq!(&begin[4..20], b"level=info three", "{begin:?}");
    let parameters = [("query", "{app=\"a\"}")];
    let many = client.ask("t", TAIL, &parameters).await.expect("an answer");
    many.is(
        "the third",
        400,
        &["max concurrent tail requests limit exceeded, count > limit (3 > 2)", "limits.max_tails"],
    );
    // Who has gone has given back its place.
    drop(text);
    let mut other = None;
    until("there is room", async || {
        let mut socket = request(&url, "{app=\"a\"} |= \"three\"", "accept: application/x-ndjson\r\n").await;
        let is_open = head(&mut socket).await.starts_with("HTTP/1.1 200");
        other = is_open.then_some(socket);
        is_open
    })
    .await;
    let mut begin = [0; 12];
    other.as_mut().expect("it is open").read_exact(&mut begin).await.expect("a line");
    assert_eq!(&begin[4..], b"{\"time\":", "{begin:?}");
    // What is no frame ends that connection only.
    socket.write_all(&[0xff; 300]).await.expect("written");
    let ended = async { while frame(&mut socket).await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(30), ended).await.expect("it is closed");
    for (parameters, words) in [
        (vec![("query", "{app=\"a\"}"), ("start", "1")], "the query time range exceeds the limit"),
        (vec![("query", "rate({app=\"a\"}[1m])")], "only log selector is supported"),
        (vec![("query", "{app=")], "parse error"),
        (vec![("query", "{app=\"a\"}"), ("delay_for", "6")], "delay_for can't be greater than 5"),
        (vec![("query", "{app=\"a\"}"), ("limit", "0")], "limit must be a positive value"),
    ] {
        client.ask("t", TAIL, &parameters).await.expect("an answer").is(words, 400, &[words]);
    }
    let two = client.ask("t|u", TAIL, &parameters).await.expect("an answer");
    two.is("two tenants", 400, &["only one tenant"]);
    // A tail that is open does not keep the process from ending.
    let mut last = None;
    until("there is room again", async || {
        let mut socket = request(&url, "{app=\"a\"}", UPGRADE).await;
        let is_open = head(&mut socket).await.starts_with("HTTP/1.1 101");
        last = is_open.then_some(socket);
        is_open
    })
    .await;
    assert_eq!(lines(&message(&mut last.expect("it is open")).await.expect("a message")).len(), 5);
    assert_eq!(process.terminate().status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_acked_line_is_told_once_while_leaders_die() {
    let seats = &[(Role::Ingester, 3), (Role::Distributor, 1), (Role::Querier, 1)];
    let members = cluster(Shape { seats, ..Shape::default() });
    let mut running = members.start_all().await;
    members.settled(3).await;
    let client = members.push();
    until("it takes lines", async || push(&client, "before").await).await;
    let url = members.of(Role::Querier).next().expect("a querier").url();
    let mut socket = web_socket(&url, "{app=\"a\"} |= \"line\"").await;
    let told: Arc<Mutex<BTreeMap<String, usize>>> = Arc::default();
    let book = told.clone();
    let reader = tokio::spawn(async move {
        while let Ok(message) = message(&mut socket).await {
            let mut book = book.lock().expect("nobody panicked");
            lines(&message).into_iter().for_each(|line| *book.entry(line).or_default() += 1);
        }
    });
    let mut acked = Vec::new();
    for n in 0..90 {
        match n {
            20 | 60 => {
                let leader = members.leaders().await.into_keys().next().expect("a leader");
                running.remove(&leader).expect("it runs").kill();
                members.start(&mut running, &leader);
            }
            40 => members.client("ingester-0").begin_flush().await,
            _ => {}
        }
        let line = format!("line {n}");
        // A line that is not acked may be there, too.
        if push(&client, &line).await {
            acked.push(line);
        }
    }
    assert!(acked.len() > 20, "{}", acked.len());
    until("all are told", async || {
        let told = told.lock().expect("nobody panicked");
        acked.iter().all(|line| told.contains_key(line))
    })
    .await;
    reader.abort();
    let told = told.lock().expect("nobody panicked");
    let twice: Vec<_> = acked.iter().filter(|line| told[*line] != 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
}
