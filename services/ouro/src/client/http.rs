//! Requests to a running Ouro, with errors that say which server answered what.

use crate::args::Server;
use anyhow::{Context, anyhow};
use std::time::Duration;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(150);
/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A server of which nothing is heard for four times so long is gone.
const KEEPALIVE: Duration = Duration::from_secs(15);

pub struct Client {
    http: reqwest::Client,
    address: String,
    tenant: String,
}

/// Why there is no answer.
pub struct NoAnswer {
    pub why: anyhow::Error,
    /// Whether another try may go better.
    pub again: bool,
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
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_keepalive(KEEPALIVE)
            .tcp_keepalive_interval(KEEPALIVE)
            .tcp_keepalive_retries(3)
            .build()?;
        let address = server.address.trim_end_matches('/').to_owned();
        Ok(Client { http, address, tenant: server.tenant.clone() })
    }

    pub async fn get(&self, path: &str, params: &[(&str, String)]) -> anyhow::Result<String> {
        let request = self.request(path, params).map_err(|error| error.why)?;
        Ok(self.answer(request.timeout(TIMEOUT)).await.map_err(|error| error.why)?.text().await?)
    }

    /// An answer that may go on for ever, to be read bit by bit.
    pub async fn open(
        &self,
        path: &str,
        params: &[(&str, String)],
        accept: &str,
    ) -> Result<reqwest::Response, NoAnswer> {
        self.answer(self.request(path, params)?.header("Accept", accept)).await
    }

    fn request(&self, path: &str, params: &[(&str, String)]) -> Result<reqwest::RequestBuilder, NoAnswer> {
        let url = reqwest::Url::parse_with_params(&format!("{}{path}", self.address), params)
            .with_context(|| format!("--address {} is not a URL", self.address))
            .map_err(|why| NoAnswer { why, again: false })?;
        Ok(self.http.get(url).header("X-Scope-OrgID", &self.tenant))
    }

    async fn answer(&self, request: reqwest::RequestBuilder) -> Result<reqwest::Response, NoAnswer> {
        let sent = request.send().await.with_context(|| self.unreachable());
        let response = sent.map_err(|why| NoAnswer { why, again: true })?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let text = response.text().await.unwrap_or_default();
        let why = anyhow!("{} answered {}: {}", self.address, status.as_u16(), error_text(&text));
        Err(NoAnswer { why, again: status.is_server_error() || status.as_u16() == 429 })
    }

    /// Posts a Loki push in JSON.
    pub async fn push(&self, body: Vec<u8>) -> Pushed {
        let request = self
            .http
            .post(format!("{}/loki/api/v1/push", self.address))
            .timeout(TIMEOUT)
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
