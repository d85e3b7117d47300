//! Merges the sources of settings and names the source and key of a mistake.

use figment::providers::{Env, Format, Serialized, Toml};
use figment::{Figment, Profile};
use serde::{Serialize, de::DeserializeOwned};
use std::path::{Path, PathBuf};

/// Where settings come from beside their defaults, weakest first: file, environment, flags.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    file: Option<PathBuf>,
    environment: bool,
    flags: Vec<(String, String)>,
}

/// What is wrong with the settings. The text names the source, the key and why.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("cannot read the settings file {}: {why}", path.display())]
    File { path: PathBuf, why: String },
    #[error("settings file {}: write it as .toml, .yaml or .yml", path.display())]
    Kind { path: PathBuf },
    #[error("{why}")]
    Value { why: String },
}

/// YAML by way of serde_yaml_ng, since figment's own reader rests on an unmaintained crate.
struct Yaml;

impl Format for Yaml {
    type Error = serde_yaml_ng::Error;
    const NAME: &'static str = "YAML";

    fn from_str<T: DeserializeOwned>(text: &str) -> Result<T, Self::Error> {
        serde_yaml_ng::from_str(text)
    }
}

impl Sources {
    /// A settings file: TOML or YAML by its ending.
    pub fn file(mut self, path: Option<&Path>) -> Sources {
        self.file = path.map(Path::to_owned);
        self
    }

    /// The settings file, if there is one.
    pub fn path(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Also read variables named `OURO_KEY`, with `__` between the parts of a key.
    pub fn environment(mut self) -> Sources {
        self.environment = true;
        self
    }

    /// A value given on the command line, by its dotted key.
    pub fn flag(mut self, key: &str, value: Option<String>) -> Sources {
        self.flags.extend(value.map(|value| (key.to_owned(), value)));
        self
    }

    pub fn load<T: Default + Serialize + DeserializeOwned>(&self) -> Result<T, SettingsError> {
        let mut figment = Figment::from(Serialized::defaults(T::default()));
        if let Some(path) = &self.file {
            std::fs::metadata(path).map_err(|e| SettingsError::File { path: path.clone(), why: e.to_string() })?;
            figment = match path.extension().and_then(|e| e.to_str()) {
                Some("toml") => figment.merge(Toml::file_exact(path)),
                Some("yaml" | "yml") => figment.merge(Yaml::file_exact(path)),
                _ => return Err(SettingsError::Kind { path: path.clone() }),
            };
        }
        if self.environment {
            figment = figment.merge(Env::prefixed("OURO_").split("__"));
        }
        for (key, value) in &self.flags {
            let provider = Serialized::default(key, value).profile(Profile::Global);
            figment = figment.merge(provider);
        }
        figment.extract().map_err(|error| SettingsError::Value { why: explain(error) })
    }
}

/// One line a mistake: `limits.shards in ouro.yaml: invalid type: …`.
fn explain(error: figment::Error) -> String {
    let lines = error.into_iter().map(|e| {
        let key = if e.path.is_empty() { String::new() } else { format!("{}: ", e.path.join(".")) };
        let place = e.metadata.as_ref().map_or(String::new(), |m| match &m.source {
            Some(source) => format!(" (in {source})"),
            None => format!(" (in the {})", m.name),
        });
        format!("{key}{}{place}", e.kind)
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The effective settings as TOML, for `--print-settings` and `/config`.
pub fn render<T: Serialize>(settings: &T) -> String {
    toml::to_string(settings).unwrap_or_else(|e| format!("# cannot be shown: {e}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use std::time::Duration;

    #[derive(Debug, Serialize, Deserialize, PartialEq)]
    #[serde(default, deny_unknown_fields)]
    struct Sample {
        listen: String,
        #[serde(with = "crate::duration")]
        grace: Duration,
        #[serde(with = "crate::duration::option")]
        window: Option<Duration>,
        size: model::ByteSize,
        inner: Inner,
    }

    #[derive(Debug, Default, Serialize, Deserialize, PartialEq)]
    #[serde(default, deny_unknown_fields)]
    struct Inner {
        shards: u32,
    }

    impl Default for Sample {
        fn default() -> Sample {
            Sample {
                listen: "a".into(),
                grace: Duration::from_secs(1),
                window: Some(Duration::from_secs(3600)),
                size: model::ByteSize::mib(1),
                inner: Inner::default(),
            }
        }
    }

    fn written(name: &str, text: &str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect("written");
        (dir, path)
    }

    #[test]
    fn later_sources_win() {
        for (name, text) in [
            ("s.yaml", "grace: 5s\nwindow: unlimited\ninner:\n  shards: 3\nsize: 2MiB\n"),
            ("s.toml", "grace = '5s'\nwindow = 'unlimited'\nsize = '2MiB'\n[inner]\nshards = 3\n"),
        ] {
            let (_dir, path) = written(name, text);
            let sources = Sources::default().file(Some(&path)).flag("listen", Some("b".into())).flag("x", None);
            let loaded: Sample = sources.load().expect("loads");
            let want = Sample {
                listen: "b".into(),
                grace: Duration::from_secs(5),
                window: None,
                size: model::ByteSize::mib(2),
                inner: Inner { shards: 3 },
            };
            assert_eq!(loaded, want, "{name}");
        }
    }

    #[test]
    fn a_mistake_is_named_with_its_key_and_file() {
        for (text, words) in [
            ("grace: 5 parsecs\n", &["grace", "5 parsecs", "s.yaml"][..]),
            ("inner:\n  shard: 3\n", &["shard", "shards", "s.yaml"]),
            ("inner:\n  shards: many\n", &["inner.shards", "many", "s.yaml"]),
            ("a: [\n", &["s.yaml"]),
        ] {
            let (_dir, path) = written("s.yaml", text);
            let error = Sources::default().file(Some(&path)).load::<Sample>().expect_err("refused").to_string();
            for word in words {
                assert!(error.contains(word), "{word:?} is not in {error:?}");
            }
        }
        let missing = Sources::default().file(Some(Path::new("/nowhere/x.yaml"))).load::<Sample>();
        assert!(missing.expect_err("refused").to_string().contains("/nowhere/x.yaml"));
    }

    #[test]
    fn what_is_printed_can_be_read() {
        let text = render(&Sample::default());
        let (_dir, path) = written("s.toml", &text);
        assert_eq!(Sources::default().file(Some(&path)).load::<Sample>().expect("loads"), Sample::default());
    }
}
