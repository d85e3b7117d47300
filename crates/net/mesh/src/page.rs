//! What a process of a cluster tells over HTTP: `/ready`, `/metrics`, `/config` and `/ring`.

use crate::mesh::Mesh;
use crate::overview::{Overview, overview};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use cluster::{Member, Members};
use placement::Table;
use std::fmt::Write;
use std::sync::Arc;
use telemetry::Exposition;
use tokio::sync::watch;

/// A process, as far as it can be asked about.
#[derive(Clone)]
pub struct Page {
    pub mesh: Mesh,
    pub table: watch::Receiver<Arc<Table>>,
    /// The effective settings, without secrets.
    pub config: Arc<str>,
    /// The meters of what it does.
    pub meters: Arc<dyn Fn(&mut Exposition) + Send + Sync>,
}

pub fn router(page: Page) -> Router {
    Router::new()
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .route("/config", get(async |State(page): State<Page>| page.config.to_string()))
        .route("/ring", get(ring))
        .with_state(page)
}

async fn ready(State(page): State<Page>) -> (StatusCode, String) {
    let (shards, members) = (page.table.borrow().writable(), page.mesh.members().borrow().clone());
    match unready(page.mesh.me(), &members, shards.logs + shards.metrics) {
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")),
        None => (StatusCode::OK, "ready\n".to_owned()),
    }
}

/// Nothing once it knows shards, so that it can do its part, and others take it for who it is.
fn unready(me: &Member, members: &Members, shards: u32) -> Option<String> {
    if let Some(rival) = members.rival_of(me) {
        let (name, at) = (&rival.name, &rival.address);
        return Some(format!("{name} at {at} was started later and is taken for this member (cluster.member)"));
    }
    let live = members.len();
    (shards == 0).then(|| format!("no shard is known yet; {live} live members of the cluster are"))
}

async fn metrics(State(page): State<Page>) -> impl IntoResponse {
    let mut out = Exposition::default();
    out.gauge("ouro_build_info", "Which Ouro this is.", &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    page.mesh.meters(&mut out);
    (page.meters)(&mut out);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], out.text())
}

/// JSON, or a page for a person whose browser asks for one.
async fn ring(State(page): State<Page>, headers: HeaderMap) -> Response {
    let table = page.table.borrow().clone();
    let overview = overview(&page.mesh, &table).await;
    let wanted = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    match wanted.contains("text/html") {
        true => Html(html(&overview)).into_response(),
        false => Json(overview).into_response(),
    }
}

const STYLE: &str = "body{font:14px/1.5 system-ui,sans-serif;margin:2rem;max-width:70rem}\
    table{border-collapse:collapse;margin:0 0 2rem}td,th{padding:.2rem .8rem;text-align:left;border-bottom:1px solid #ddd}\
    .bad{color:#b00}.soft{color:#777}";

fn html(overview: &Overview) -> String {
    let mut out = format!(
        "<!doctype html><meta charset=utf-8><title>{0}: ring</title><style>{STYLE}</style><h1>{0}</h1>",
        escape(&overview.cluster)
    );
    out.push_str("<h2>Members</h2><table><tr><th>name<th>role<th>zone<th>address<th>version<th>");
    for member in overview.members.iter() {
        let state = if member.draining { "draining" } else { "" };
        let _ = write!(
            out,
            "<tr><td>{}<td>{}<td>{}<td>{}<td>{}<td class=soft>{state}",
            escape(&member.name),
            member.role,
            escape(&member.zone),
            escape(&member.address),
            escape(&member.version)
        );
    }
    for lost in overview.members.down() {
        let (class, state) = if lost.has_left() { ("soft", "left") } else { ("bad", "lost") };
        let _ = write!(out, "<tr class={class}><td>{}<td colspan=4><td>{state}", escape(&lost.member.name));
    }
    out.push_str("</table><h2>Shards</h2><table><tr><th>shard<th>leader<th>term<th>entries<th>replicas (lag)<th>");
    for group in &overview.groups {
        let leader = group.leader.as_deref().map_or("<span class=bad>none</span>".to_owned(), escape);
        let replicas: Vec<String> = group.replicas.iter().map(replica).collect();
        let moving = if group.moving { "moving" } else { "" };
        let (name, term, entries) = (&group.name, group.term, group.entries);
        let _ = write!(
            out,
            "<tr><td>{name}<td>{leader}<td>{term}<td>{entries}<td>{}<td class=soft>{moving}",
            replicas.join(", ")
        );
    }
    out.push_str("</table>");
    if !overview.silent.is_empty() {
        let _ = write!(out, "<p class=bad>No answer from {}.", escape(&overview.silent.join(", ")));
    }
    out
}

fn replica(replica: &crate::overview::Replica) -> String {
    let class = if replica.active { "" } else { " class=bad" };
    let learns = if replica.voter { "" } else { ", learns" };
    let lag = replica.lag.map_or_else(|| "?".to_owned(), |lag| lag.to_string());
    format!("<span{class}>{} ({lag}{learns})</span>", escape(&replica.member))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
