//! `/prometheus/api/v1/rules` and `/prometheus/api/v1/alerts`, to the letter of what their clients read, and
//! `/ruler/groups`, by which rulers tell each other how the groups are that they evaluate.

mod page;

use crate::door::Door;
use crate::evaluate::rfc3339;
use crate::group::{Group, Rule};
use crate::ruler::Ruler;
use crate::view::{AlertView, GroupView, RuleView, Views};
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http_body_util::{BodyExt, Limited};
use model::{Reason, Role, TenantId};
use page::Asked;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tower::ServiceExt;

/// How long another ruler may take to say how its groups are.
const ANSWER: Duration = Duration::from_secs(5);
/// What another ruler may say.
const MOST: usize = 64 << 20;
const OWN: &str = "/ruler/groups";

/// For users.
pub fn router(ruler: Ruler) -> Router {
    Router::new()
        .route("/prometheus/api/v1/rules", get(rules))
        .route("/prometheus/api/v1/alerts", get(alerts))
        .with_state(ruler)
}

/// For other rulers.
pub fn members(ruler: Ruler) -> Router {
    Router::new().route(OWN, get(own)).with_state(ruler)
}

async fn own(State(ruler): State<Ruler>, headers: HeaderMap) -> Response {
    match tenant(&ruler, &headers) {
        Ok(tenant) => Json(ruler.own(&tenant)).into_response(),
        Err(response) => *response,
    }
}

async fn rules(State(ruler): State<Ruler>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let tenant = match tenant(&ruler, &headers) {
        Ok(tenant) => tenant,
        Err(response) => return *response,
    };
    let asked = match Asked::read(query.as_deref().unwrap_or("")) {
        Ok(asked) => asked,
        Err(why) => return failure(Reason::BadInput, &why),
    };
    let (views, mut warnings) = all(&ruler, &tenant).await;
    let rules = ruler.inner.rules.borrow().clone();
    warnings.extend(
        rules
            .faults
            .iter()
            .filter(|(owner, _)| *owner == tenant)
            .map(|(_, why)| format!("{why}; the groups of this file are as they were before")),
    );
    let groups = rules.of(&tenant).map(|(_, group)| group).filter(|group| asked.wants(group));
    let shown: Vec<(String, Value)> = groups
        .filter_map(|group| {
            let view = views.get(&group.key().1);
            let rules: Vec<Value> = (0..group.rules.len())
                .filter(|n| asked.wants_rule(&group.rules[*n]))
                .map(|n| rule(&group.rules[n], view.and_then(|view| view.rules.get(n)), asked.alerts))
                .collect();
            // A filter that leaves a group empty leaves it out.
            (!rules.is_empty() || !asked.filters()).then(|| (page::token(group), shown(group, view, rules)))
        })
        .collect();
    match asked.page(shown) {
        Ok((groups, None)) => success(json!({ "groups": groups }), &warnings),
        Ok((groups, Some(token))) => success(json!({ "groups": groups, "groupNextToken": token }), &warnings),
        Err(why) => failure(Reason::BadInput, &why),
    }
}

async fn alerts(State(ruler): State<Ruler>, headers: HeaderMap) -> Response {
    let tenant = match tenant(&ruler, &headers) {
        Ok(tenant) => tenant,
        Err(response) => return *response,
    };
    let (views, warnings) = all(&ruler, &tenant).await;
    let alerts = views.values().flat_map(|group| &group.rules).flat_map(|rule| &rule.alerts);
    success(json!({ "alerts": alerts.map(alert).collect::<Vec<_>>() }), &warnings)
}

/// How all of the tenant's groups are, whichever ruler evaluates them, and which could not be asked about.
async fn all(ruler: &Ruler, tenant: &TenantId) -> (Views, Vec<String>) {
    let (mut views, mut warnings) = (ruler.own(tenant), Vec::new());
    if let Door::Members(mesh) = &ruler.inner.door {
        let members = mesh.members().borrow().clone();
        let others = members.of_role(Role::Ruler).filter(|member| member.id != mesh.me().id);
        let asked = others.map(|member| {
            let (name, link) = (member.name.clone(), mesh.link(member));
            async move { (name, tokio::time::timeout(ANSWER, ask(link, tenant)).await) }
        });
        for (name, answer) in futures::future::join_all(asked).await {
            let answer = answer.unwrap_or_else(|_| Err(format!("no answer within {} s", ANSWER.as_secs())));
            match answer {
                // Of two that believe to have a group, as for a moment while it moves, the later evaluation counts.
                Ok(theirs) => theirs.into_iter().for_each(|(key, view)| {
                    let known = views.get(&key).map_or(-1, |known| known.evaluated);
                    if view.evaluated > known {
                        views.insert(key, view);
                    }
                }),
                Err(why) => warnings.push(format!("{name} does not say how its groups are: {why}")),
            }
        }
    }
    (views, warnings)
}

async fn ask(link: transport::Link, tenant: &TenantId) -> Result<Views, String> {
    let request = http::Request::get(OWN).header("x-scope-orgid", tenant.as_str());
    let request = request.body(tonic::body::Body::empty()).map_err(|e| e.to_string())?;
    let response = link.oneshot(request).await.map_err(|e| e.to_string())?;
    let status = response.status();
    if !status.is_success() {
        return Err(format!("it answered {status}"));
    }
    let body = Limited::new(response.into_body(), MOST).collect().await.map_err(|e| e.to_string())?;
    serde_json::from_slice(&body.to_bytes()).map_err(|e| e.to_string())
}

fn shown(group: &Arc<Group>, view: Option<&GroupView>, rules: Vec<Value>) -> Value {
    let (took, evaluated) = view.map_or((0.0, 0), |view| (view.took, view.evaluated));
    json!({
        "name": group.name, "file": group.file, "rules": rules, "interval": group.interval.as_secs_f64(),
        "limit": group.limit, "evaluationTime": took, "lastEvaluation": when(evaluated),
    })
}

fn rule(rule: &Rule, view: Option<&RuleView>, with_alerts: bool) -> Value {
    let unknown = RuleView::default();
    let view = view.unwrap_or(&unknown);
    let mut shown = json!({
        "name": rule.name, "query": rule.query, "health": view.health(), "evaluationTime": view.took,
        "lastEvaluation": when(view.evaluated), "type": if rule.alert.is_some() { "alerting" } else { "recording" },
    });
    if rule.alert.is_some() || !rule.labels.is_empty() {
        shown["labels"] = json!(rule.labels);
    }
    if let Some(error) = &view.error {
        shown["lastError"] = json!(error);
    }
    if let Some(alerting) = &rule.alert {
        let firing = view.alerts.iter().any(|alert| alert.state == crate::alert::State::Firing);
        let state = if firing {
            "firing"
        } else if view.alerts.is_empty() {
            "inactive"
        } else {
            "pending"
        };
        shown["state"] = json!(state);
        shown["duration"] = json!(alerting.hold.as_secs_f64());
        shown["keepFiringFor"] = json!(alerting.keep.as_secs_f64());
        shown["annotations"] = json!(alerting.annotations);
        shown["alerts"] = match with_alerts {
            true => view.alerts.iter().map(alert).collect(),
            false => json!([]),
        };
    }
    shown
}

fn alert(alert: &AlertView) -> Value {
    let mut shown = json!({
        "labels": alert.labels, "annotations": alert.annotations, "state": alert.state,
        "activeAt": rfc3339(alert.active_at), "value": alert.value,
    });
    if let Some(since) = alert.keep_since {
        shown["keepFiringSince"] = json!(rfc3339(since));
    }
    shown
}

/// Go's zero time stands for never.
fn when(millis: i64) -> String {
    if millis == 0 { "0001-01-01T00:00:00Z".into() } else { rfc3339(millis) }
}

/// Admits a read of one tenant.
fn tenant(ruler: &Ruler, headers: &HeaderMap) -> Result<TenantId, Box<Response>> {
    let org = headers.get("x-scope-orgid").map(|v| v.as_bytes());
    let mut tenants =
        tenancy::admit_reads(&ruler.inner.limits, org).map_err(|e| Box::new(failure(e.reason(), &e.to_string())))?;
    match (tenants.pop(), tenants.len()) {
        (Some(tenant), 0) => Ok(tenant.tenant().clone()),
        _ => Err(Box::new(failure(Reason::Unprocessable, "not supported yet: rules of several tenants at once"))),
    }
}

fn success(data: Value, warnings: &[String]) -> Response {
    let mut answer = json!({ "status": "success", "data": data });
    if !warnings.is_empty() {
        answer["warnings"] = json!(warnings);
    }
    Json(answer).into_response()
}

fn failure(reason: Reason, why: &str) -> Response {
    let (status, kind) = match reason {
        Reason::BadInput => (StatusCode::BAD_REQUEST, "bad_data"),
        Reason::Unprocessable => (StatusCode::UNPROCESSABLE_ENTITY, "execution"),
        reason => (transport::status::http(reason), "bad_data"),
    };
    (status, Json(json!({ "status": "error", "errorType": kind, "error": why }))).into_response()
}

#[cfg(test)]
mod tests;
