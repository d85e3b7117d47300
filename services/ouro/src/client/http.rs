//! Requests to a running Ouro, with errors that say which server answered what.

use crate::args::Server;
use anyhow::{Context, bail};
use std::time::Duration;

pub struct Client {
    http: reqwest::Client,
    address: String,
    tenant: String,
}

/// What a push was answered.
pub enum Pushed {
    Stored,
    /// Later it may work.
    Again {
        why: String,
        after: Duration,
    },
    /// It will never work; the text says why.
    Refused {
        status: u16,
        why: String,
    },
}

/// The text of an error: Prometheus's API wraps it in JSON, Loki's does not.
fn error_text(body: &str) -> String {
    let json: Option<serde_json::Value> = serde_json::from_str(body).ok();
    let text = json.as_ref().and_then(|json| json.get("error")?.as_str()).unwrap_or(body);
    text.trim().to_owned()
}

impl Client {
    pub fn new(server: &Server) -> anyhow::Result<Client> {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(150)).build()?;
        let address = server.address.trim_end_matches('/').to_owned();
        Ok(Client { http, address, tenant: server.tenant.clone() })
    }

    pub async fn get(&self, path: &str, params: &[(&str, String)]) -> anyhow::Result<String> {
        let url = reqwest::Url::parse_with_params(&format!("{}{path}", self.address), params)
            .with_context(|| format!("--address {} is not a URL", self.address))?;
        let request = self.http.get(url).header("X-Scope-OrgID", &self.tenant);
        let response = request.send().await.with_context(|| self.unreachable())?;
        let status = response.status();
        let text = response.text().await?;
        if !status.is_success() {
            bail!("{} answered {}: {}", self.address, status.as_u16(), error_text(&text));
        }
        Ok(text)
    }

    /// Posts a Loki push in JSON.
    pub async fn push(&self, body: Vec<u8>) -> Pushed {
        let request = self
            .http
            .post(format!("{}/loki/api/v1/push", self.address))
            .header("X-Scope-OrgID", &self.tenant)
            .header("Content-Type", "application/json")
            .body(body);
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => {
                return Pushed::Again {
                    why: format!("{}: {error}", self.unreachable()),
                    after: Duration::from_secs(1),
                };
            }
        };
        let status = response.status().as_u16();
        let wait = response.headers().get("retry-after").and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
        let text = response.text().await.unwrap_or_default().trim().to_owned();
        match status {
            200..300 => Pushed::Stored,
            429 | 500.. => {
                Pushed::Again { why: format!("{status}: {text}"), after: Duration::from_secs(wait.unwrap_or(1)) }
            }
            _ => Pushed::Refused { status, why: text },
        }
    }

    fn unreachable(&self) -> String {
        format!("cannot reach {} (is ouro running there? --address says where)", self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_shown_as_texts() {
        assert_eq!(error_text("{\"status\":\"error\",\"error\":\"1:6: parse error\"}"), "1:6: parse error");
        assert_eq!(error_text("too many\n"), "too many");
    }
}
