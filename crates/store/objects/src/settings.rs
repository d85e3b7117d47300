//! Where objects rest.

use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, time::Duration};

#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix`, `file:///folder`; empty: the folder
    /// `objects` within the data folder.
    pub url: String,
    /// Options of the store, by the names that the `object_store` crate gives them: `endpoint`, `region`,
    /// `access_key_id`, `allow_http`, `virtual_hosted_style_request` … Those that are not named here are taken from the
    /// usual variables: `AWS_…`, `GOOGLE_…`, `AZURE_…`.
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

/// Without secrets.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { url, options, timeout } = self.redacted();
        f.debug_struct("Settings").field("url", &url).field("options", &options).field("timeout", &timeout).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    #[test]
    fn secrets_are_never_shown() {
        let names = ["access_key_id", "AWS_SECRET_ACCESS_KEY", "session_token", "sas_key", "service_account_key"];
        let options = names.map(|name| (name.to_owned(), "hush".to_owned())).into_iter();
        let region = ("region".to_owned(), "r".to_owned());
        let settings = Settings {
            url: "s3://bucket/prefix".into(),
            options: options.chain([region]).collect(),
            ..Settings::default()
        };
        let store = Store::open(&settings, std::path::Path::new("/unused")).expect("opens");
        let bad = Settings { url: "gs://bucket".into(), ..settings.clone() };
        let refused = Store::open(&bad, std::path::Path::new("/unused")).expect_err("the key is no JSON").to_string();
        let shown = [
            settings::render(&settings.redacted()),
            format!("{settings:?}"),
            format!("{store:?}"),
            store.describe(),
            refused,
        ];
        for text in shown {
            assert!(!text.contains("hush"), "{text}");
        }
        assert_eq!(settings.redacted().options["region"], "r");
    }
}
