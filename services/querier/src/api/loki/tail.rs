//! `tail`: new lines as they come, over a WebSocket as Loki has it, or as plain lines or lines of JSON.

use super::read::{Read, check_range, failure, parse};
use crate::api::params::{self, loki_time, now_ns};
use crate::api::{json, loki_json};
use crate::error::QueryError;
use crate::tail::{Tail, Told, Wanted};
use axum::body::{Body, Bytes};
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use eval::source::Order;
use futures::{SinkExt, StreamExt, stream};
use node::Stopping;
use std::fmt::Write;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// Between two looks for new lines, unless more are known to be there.
const PAUSE: Duration = Duration::from_millis(500);
/// The longest `delay_for`, in seconds.
const MAX_DELAY: u64 = 5;
const HOUR: i64 = 3_600_000_000_000;
/// A client that takes nothing for so long is gone.
const PATIENCE: Duration = Duration::from_secs(60);
/// A WebSocket on which nothing is written meanwhile gets a ping.
const PING: Duration = Duration::from_secs(15);
/// Clients have nothing to say but pongs and good-bye.
const MAX_FRAME: usize = 16 << 10;
/// The most bytes of a close frame's reason.
const MAX_REASON: usize = 123;

/// A tail and its client's wishes.
struct Following {
    tail: Tail,
    /// Lines wait so long, so that they are told in order.
    pause: Duration,
    categorize: bool,
    stopping: Stopping,
    /// What is to be told first.
    first: Option<Told>,
}

pub async fn tail(upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>, read: Read) -> Response {
    // Whoever speaks of an upgrade wants a WebSocket.
    let upgrade = match upgrade {
        Ok(upgrade) => Some(upgrade),
        Err(rejection) if read.headers.contains_key(header::UPGRADE) => return rejection.into_response(),
        Err(_) => None,
    };
    let following = match begin(&read).await {
        Ok(following) => following,
        Err(error) => return failure(&error),
    };
    match upgrade {
        Some(upgrade) => {
            let upgrade = upgrade.max_message_size(MAX_FRAME).max_frame_size(MAX_FRAME);
            upgrade.on_upgrade(|socket| follow(socket, following))
        }
        None => lines(&read, following),
    }
}

async fn begin(read: &Read) -> Result<Following, QueryError> {
    let expr = parse(read.params.get("query").unwrap_or(""))?;
    let seconds = |text: &str| text.parse::<u64>().map_err(|_| QueryError::bad(format!("{text:?} is not a number")));
    let delay = read.params.parsed("delay_for", seconds)?.unwrap_or(0);
    if delay > MAX_DELAY {
        return Err(QueryError::bad(format!("delay_for can't be greater than {MAX_DELAY}")));
    }
    let mut admitted = params::tenants(&read.querier, &read.headers)?;
    let (Some(admitted), true) = (admitted.pop(), admitted.is_empty()) else {
        return Err(QueryError::bad("only one tenant's lines can be followed at once (X-Scope-OrgID)"));
    };
    let (limits, now) = (admitted.limits(), now_ns());
    let longest =
        limits.max_query_range.map_or(HOUR, |most| i64::try_from(most.as_nanos()).map_or(HOUR, |most| most.min(HOUR)));
    let start = read.params.parsed("start", loki_time)?.unwrap_or_else(|| now.saturating_sub(longest));
    check_range(limits, start, now.max(start))?;
    let limit = read.limit(admitted.limits().max_log_rows)?;
    let (tail, first) =
        Tail::begin(&read.querier, admitted, Wanted { expr, start, limit, levels: read.categorize() }).await?;
    let pause = PAUSE.max(Duration::from_secs(delay));
    let stopping = read.querier.inner.stopping.clone();
    Ok(Following { tail, pause, categorize: read.categorize(), stopping, first: Some(first) })
}

impl Following {
    /// The next lines; nothing when none have come for as long as `most`. `None` when the process ends.
    async fn next(&mut self, most: Duration) -> Option<Result<Told, QueryError>> {
        if let Some(first) = self.first.take().filter(|first| !first.is_nothing()) {
            return Some(Ok(first));
        }
        let begun = Instant::now();
        loop {
            tokio::select! {
                () = self.stopping.wait() => return None,
                () = sleep(self.pause) => {}
            }
            match self.tail.next().await {
                Ok(told) if told.is_nothing() && begun.elapsed() < most => {}
                told => return Some(told),
            }
        }
    }
}

impl Told {
    fn is_nothing(&self) -> bool {
        self.streams.is_empty() && self.dropped == 0
    }
}

async fn follow(socket: WebSocket, mut following: Following) {
    let (mut sink, mut stream) = socket.split();
    let gone = async {
        // Anything but an error or a good-bye is of no interest.
        while let Some(Ok(message)) = stream.next().await {
            if matches!(message, Message::Close(_)) {
                return;
            }
        }
    };
    let told = async {
        while let Some(told) = following.next(PING).await {
            let (message, is_last) = match told {
                Ok(told) if told.is_nothing() => (Message::Ping(Bytes::new()), false),
                Ok(told) => (Message::Text(message(told, following.categorize).into()), false),
                Err(error) => (closing(&error.text), true),
            };
            if !matches!(timeout(PATIENCE, sink.send(message)).await, Ok(Ok(()))) || is_last {
                return;
            }
        }
        let bye = CloseFrame { code: close_code::AWAY, reason: "the querier stops".into() };
        // It may be gone already.
        let _ = timeout(PATIENCE, sink.send(Message::Close(Some(bye)))).await;
    };
    tokio::select! {
        () = gone => {}
        () = told => {}
    }
}

fn closing(why: &str) -> Message {
    let end = why.floor_char_boundary(MAX_REASON);
    Message::Close(Some(CloseFrame { code: close_code::ERROR, reason: why[..end].into() }))
}

/// `{"streams":[…]}`, with `dropped_entries` if there are any.
fn message(told: Told, categorize: bool) -> String {
    let Told { streams, named, .. } = told;
    let streams = if categorize { loki_json::by_stream(streams, Order::Forward) } else { streams };
    let mut out = String::from("{\"streams\":");
    loki_json::list_streams(&mut out, &streams, categorize);
    if !named.is_empty() {
        out.push_str(",\"dropped_entries\":");
        json::list(&mut out, &named, |out, (labels, time)| {
            // Writing to a string cannot fail.
            let _ = write!(out, "{{\"timestamp\":\"{time}\",\"labels\":");
            json::labels(out, labels);
            out.push('}');
        });
    }
    if categorize {
        out.push_str(",\"encodingFlags\":[\"categorize-labels\"]");
    }
    out.push('}');
    out
}

/// An answer without an end.
fn lines(read: &Read, following: Following) -> Response {
    let accept = read.headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or("");
    let is_json = accept.contains("json");
    let kind = if is_json { "application/x-ndjson" } else { "text/plain; charset=utf-8" };
    let parts = stream::unfold(Some(following), move |following| async move {
        let mut following = following?;
        match following.next(Duration::MAX).await? {
            Ok(told) => Some((Ok(Bytes::from(written(told, is_json))), Some(following))),
            Err(error) => Some((Err(error), None)),
        }
    });
    ([(header::CONTENT_TYPE, kind)], Body::from_stream(parts)).into_response()
}

/// A row a line, oldest first; how many were dropped before them comes first.
fn written(told: Told, is_json: bool) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = match (told.dropped, is_json) {
        (0, _) => Ok(()),
        (count, true) => writeln!(out, "{{\"dropped\":{count}}}"),
        (count, false) => writeln!(out, "# {count} lines were dropped: they came faster than they were read"),
    };
    let streams = &told.streams;
    let mut rows: Vec<_> = streams.iter().flat_map(|s| s.entries.iter().map(|entry| (&s.labels, entry))).collect();
    rows.sort_by_key(|(_, entry)| entry.time_ns);
    for (labels, entry) in rows {
        if is_json {
            let _ = write!(out, "{{\"time\":\"{}\",\"labels\":", entry.time_ns);
            json::labels(&mut out, labels);
            out.push_str(",\"line\":");
            json::string(&mut out, &entry.line);
            out.push('}');
        } else {
            out.push_str(&entry.line);
        }
        out.push('\n');
    }
    out
}
