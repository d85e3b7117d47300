//! Requests that were never sent: the connection was closed before they went out, for instance by a balancer in front of
//! a store that goes away. The `object_store` crate repeats those that it knows as such; of these it says only that they
//! failed.

use std::{error::Error, time::Duration};
use tokio::time::{Instant, sleep};

/// The pause after the first failure. It doubles with each one.
const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(2);

/// Makes a request until one is sent, or `limit` is too short for another pause: then the last failure is the answer.
pub async fn repeat<T, F: Future<Output = Result<T, object_store::Error>>>(
    limit: Duration,
    request: impl Fn() -> F,
) -> Result<T, object_store::Error> {
    let (begun, mut pause) = (Instant::now(), FIRST);
    loop {
        match request().await {
            Err(error) if is_unsent(&error) && begun.elapsed() + pause < limit => sleep(pause).await,
            answer => return answer,
        }
        pause = (pause * 2).min(LONGEST);
    }
}

/// Whether the HTTP client gave the request back as it was.
fn is_unsent(error: &object_store::Error) -> bool {
    std::iter::successors(Some(error as &(dyn Error + 'static)), |error| (*error).source())
        .filter_map(|error| error.downcast_ref::<hyper::Error>())
        .any(hyper::Error::is_canceled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{settings::Settings, store::Store};
    use bytes::Bytes;
    use http_body_util::Empty;
    use hyper::client::conn::http1;
    use hyper_util::rt::TokioIo;
    use std::cell::Cell;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    type Answer<T> = Result<T, object_store::Error>;

    /// What the HTTP client says of a connection that is closed: before a request is handed to it, or after it was written.
    async fn closed(before: bool) -> Answer<()> {
        let (client, server) = tokio::io::duplex(1000);
        let (mut sender, connection) = http1::handshake(TokioIo::new(client)).await.expect("a connection");
        let request = hyper::Request::new(Empty::<Bytes>::new());
        let error = if before {
            drop(connection);
            sender.send_request(request).await
        } else {
            let sent = sender.send_request(request);
            let cut = async {
                tokio::task::yield_now().await;
                drop(server);
            };
            tokio::join!(sent, connection, cut).0
        };
        Err(object_store::Error::Generic { store: "S3", source: Box::new(error.expect_err("no answer")) })
    }

    /// Fails this many times, then answers: how often it was asked, and whether it came to the answer within the limit.
    async fn check(before: bool, failures: u32, limit: Duration, want: (u32, bool)) {
        let asked = Cell::new(0);
        let request = || async {
            asked.set(asked.get() + 1);
            if asked.get() <= failures { closed(before).await } else { Ok(()) }
        };
        let answered = repeat(limit, request).await.is_ok();
        assert_eq!((asked.get(), answered), want, "{failures} failures, before it was sent: {before}");
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_was_not_sent_is_repeated() {
        let limit = Duration::from_secs(30);
        check(true, 0, limit, (1, true)).await;
        check(true, 1, limit, (2, true)).await;
        check(true, 10, limit, (11, true)).await;
        check(false, 1, limit, (1, false)).await;
        // 50, 100, 200 and 400 ms are the pauses within a second.
        check(true, 100, Duration::from_secs(1), (5, false)).await;
        check(true, 1, Duration::ZERO, (1, false)).await;
    }

    /// Closes this many connections as soon as they are there, then answers one request.
    fn serve(listener: TcpListener, closed: usize) {
        for _ in 0..closed {
            drop(listener.accept().expect("a connection"));
        }
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut request = [0; 10_000];
        assert!(stream.read(&mut request).expect("a request") > 0);
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n\r\n";
        stream.write_all(format!("{head}x").as_bytes()).expect("answered");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_store_that_hangs_up_is_asked_again() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("bound"));
        let server = std::thread::spawn(|| serve(listener, 3));
        let options =
            [("endpoint", endpoint.as_str()), ("region", "local"), ("allow_http", "true"), ("skip_signature", "true")];
        let options = options.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let settings = Settings { url: "s3://bucket".into(), options, ..Settings::default() };
        let store = Store::open(&settings, std::path::Path::new("/unused")).expect("opens");
        assert_eq!(store.get("k").await.expect("answered"), "x");
        server.join().expect("served");
    }
}
