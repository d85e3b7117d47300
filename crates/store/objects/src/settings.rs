//! Where objects rest.

use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix`, `file:///folder`; empty: the folder
    /// `objects` within the data folder.
    pub url: String,
    /// Options of the store, by the names that the `object_store` crate gives them: `endpoint`, `region`,
    /// `access_key_id`, `allow_http`, `virtual_hosted_style_request` …
    pub options: BTreeMap<String, String>,
    /// The longest that one request may take, retries included.
    #[serde(with = "settings::duration")]
    pub timeout: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { url: String::new(), options: BTreeMap::new(), timeout: Duration::from_secs(30) }
    }
}

/// Options whose values are never shown.
const SECRETS: [&str; 5] = ["secret", "token", "key", "password", "credential"];

impl Settings {
    /// A copy that may be printed: values of options that look like secrets are replaced.
    pub fn redacted(&self) -> Settings {
        let mut copy = self.clone();
        for (name, value) in &mut copy.options {
            if SECRETS.iter().any(|secret| name.to_ascii_lowercase().contains(secret)) {
                *value = "<hidden>".into();
            }
        }
        copy
    }
}
