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
            bail!("{} answered {}: {}", self.address, status.as_u16(), text.trim());
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
