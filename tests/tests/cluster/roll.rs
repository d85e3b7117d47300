//! Members are restarted one after the other, and nobody who writes or asks notices.

use crate::{FOLDER, cluster};
use model::Role;
use ouro_tests::members::Shape;
use ouro_tests::story::Story;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const ALL: &[(Role, usize)] =
    &[(Role::Ingester, 3), (Role::Distributor, 2), (Role::Querier, 2), (Role::Compactor, 1), (Role::Ruler, 1)];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_of_everything_fails_no_request() {
    let members = cluster(Shape { seats: ALL, ..Shape::default() });
    let mut running = members.start_all().await;
    members.settled(3).await;
    let mut story = Story::begin(FOLDER, "rolling-restart", &members).await;
    for name in members.seats.iter().map(|seat| seat.name.clone()) {
        story.fault(&format!("{name} is restarted"));
        story.distributors.withdraw(&name).await;
        story.queriers.withdraw(&name).await;
        members.end(&mut running, &name);
        members.start(&mut running, &name);
        members.ready(&name).await;
        story.distributors.restore(&name).await;
        story.queriers.restore(&name).await;
        members.settled(3).await;
        story.recovered().await;
    }
    story.end().await.none();
}

/// A push whose body is still on its way, and one after it on the same connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_under_way_outlives_sigterm() {
    let members = cluster(Shape {
        seats: &[(Role::Ingester, 1), (Role::Distributor, 1), (Role::Querier, 1)],
        placement: "replicas = 1",
        ..Shape::default()
    });
    let mut running = members.start_all().await;
    let (url, body) = (members.seat("distributor-0").url(), ouro_tests::ledger::Sender::new("late").push());
    let mut ledger = ouro_tests::ledger::Ledger::default();
    let address = url.strip_prefix("http://").expect("a URL");
    let mut stream = TcpStream::connect(address).await.expect("connects");
    let mut head = format!("POST {} HTTP/1.1\r\nhost: {address}\r\ncontent-length: {}\r\n", body.path, body.body.len());
    body.headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
    stream.write_all(format!("{head}\r\n").as_bytes()).await.expect("written");
    stream.write_all(&body.body[..1]).await.expect("written");
    // The process has begun with this request when it asks for more of it, which nobody can see: give it a moment.
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let process = running.remove("distributor-0").expect("it runs");
    let ended = tokio::task::spawn_blocking(move || process.terminate());
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert!(!ended.is_finished(), "it waits for the request");
    stream.write_all(&body.body[1..]).await.expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer, and then the end of the connection");
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    let end = ended.await.expect("it ends");
    assert_eq!(end.status.code(), Some(0), "{}", end.stderr);
    ledger.acked(&body);
    ledger.check(&members.read(), "after the distributor has gone").await;
}
