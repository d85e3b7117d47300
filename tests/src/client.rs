//! Speaks to a process under test over a real socket.

use crate::process::PATIENCE;
use reqwest::Method;
use serde_json::Value;
use std::time::{Duration, Instant};

/// How long a request may take. A flush that waits for an object store is given up on before.
const TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    url: String,
}

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
}

/// The server went away, or never was there.
#[derive(Debug)]
pub struct Gone(pub String);

impl Client {
    pub fn new(url: &str) -> Client {
        Client::patient(url, TIMEOUT)
    }

    /// One that waits so long for an answer.
    pub fn patient(url: &str, timeout: Duration) -> Client {
        // Nobody here speaks TLS, so the machine's authorities are not read for each client.
        let builder = reqwest::Client::builder().tls_certs_only([]).timeout(timeout);
        let http = builder.build().expect("a client can be built");
        Client { http, url: url.to_owned() }
    }

    /// Sends anything anywhere.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> Result<Answer, Gone> {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let mut request = self.http.request(method, format!("{}{path}", self.url)).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let gone = |error: reqwest::Error| Gone(format!("{path}: {error:?}"));
        let response = request.send().await.map_err(gone)?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Answer { status, headers, text: response.text().await.map_err(gone)? })
    }

    /// Asks with parameters, which are encoded here.
    pub async fn ask(&self, tenant: &str, path: &str, parameters: &[(&str, &str)]) -> Result<Answer, Gone> {
        let mut request = self.http.get(format!("{}{path}", self.url)).query(parameters);
        if !tenant.is_empty() {
            request = request.header("x-scope-orgid", tenant);
        }
        let gone = |error: reqwest::Error| Gone(format!("{path}: {error:?}"));
        let response = request.send().await.map_err(gone)?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Answer { status, headers, text: response.text().await.map_err(gone)? })
    }

    /// Asks for what must be there.
    pub async fn json(&self, tenant: &str, path: &str, parameters: &[(&str, &str)]) -> Value {
        let answer = self.ask(tenant, path, parameters).await.unwrap_or_else(|gone| panic!("{gone:?}"));
        assert_eq!(answer.status, 200, "{path} {parameters:?}: {}", answer.text);
        serde_json::from_str(&answer.text).unwrap_or_else(|error| panic!("{path}: {error}: {}", answer.text))
    }

    /// Asks for what must be there in whole: until no shard is missing, as while one has no leader.
    pub async fn whole(&self, tenant: &str, path: &str, parameters: &[(&str, &str)]) -> Value {
        let parameters = [parameters, &[("partial_response", "false")]].concat();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.ask(tenant, path, &parameters).await.unwrap_or_else(|gone| panic!("{gone:?}"));
            if answer.status != 503 || Instant::now() > deadline {
                assert_eq!(answer.status, 200, "{path} {parameters:?}: {}", answer.text);
                return serde_json::from_str(&answer.text).unwrap_or_else(|e| panic!("{path}: {e}: {}", answer.text));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    pub async fn text(&self, path: &str) -> String {
        let answer = self.ask("", path, &[]).await.unwrap_or_else(|gone| panic!("{gone:?}"));
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        answer.text
    }

    /// Flushes, and answers when everything that was acked before is in the object store.
    pub async fn flush(&self) {
        let answer = self.try_flush().await.unwrap_or_else(|gone| panic!("{gone:?}"));
        assert_eq!(answer.status, 204, "{}", answer.text);
    }

    pub async fn try_flush(&self) -> Result<Answer, Gone> {
        self.send("POST", "/flush?wait=true", &[], "").await
    }

    /// Begins a flush.
    pub async fn begin_flush(&self) {
        let answer = self.send("POST", "/flush", &[], "").await.unwrap_or_else(|gone| panic!("{gone:?}"));
        assert_eq!(answer.status, 204, "{}", answer.text);
    }

    /// The sum of a meter over all its labels; those of `name{…}` only when labels are given.
    pub async fn meter(&self, name: &str) -> f64 {
        let text = self.text("/metrics").await;
        let lines = text.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            rest.starts_with([' ', '{']).then(|| rest.rsplit(' ').next()?.parse::<f64>().ok())?
        });
        let values: Vec<f64> = lines.collect();
        assert!(!values.is_empty(), "no meter {name}");
        values.iter().sum()
    }
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Asserts the status, and that the text has all words.
    #[track_caller]
    pub fn is(&self, what: &str, status: u16, words: &[&str]) {
        assert_eq!(self.status, status, "{what}: {}", self.text);
        for word in words {
            assert!(self.text.contains(word), "{what}: {word:?} is not in {:?}", self.text);
        }
    }
}

/// Looks again and again until something is so.
pub async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
