//! The settings of a member's certificate: the table `[tls]`.

use crate::dns::Pattern;
use crate::error::Error;
use model::Role;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Duration;

const MIN_RELOAD: Duration = Duration::from_millis(10);
const MAX_RELOAD: Duration = Duration::from_secs(24 * 3600);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The PEM file with the authorities that may issue members' certificates; several while one replaces another.
    pub ca: PathBuf,
    /// The PEM file with this member's certificate, followed by intermediate ones if there are any.
    pub certificate: PathBuf,
    /// The PEM file with the private key of that certificate.
    pub key: PathBuf,
    /// DNS names that make a member, for certificates that carry no `spiffe://CLUSTER/ROLE/NAME`. The first rule
    /// that accepts a name holds. Such a certificate counts as one of this cluster, so clusters that share an
    /// authority need rules that have no name in common.
    pub names: Vec<NameSettings>,
    /// How often the files are looked at for new certificates: 10ms to 1d.
    #[serde(with = "settings::duration")]
    pub reload: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NameSettings {
    /// A DNS name; a `*` stands for one or more characters within one label: `ouro-ingester-*.ouro.svc`.
    pub dns: String,
    /// The role of the members that have such a name.
    pub role: Role,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            ca: PathBuf::new(),
            certificate: PathBuf::new(),
            key: PathBuf::new(),
            names: Vec::new(),
            reload: Duration::from_secs(30),
        }
    }
}

impl Settings {
    /// Says which key is wrong and why, or which file cannot be opened. What the files hold is for
    /// [`Identity::open`](crate::Identity::open) to say.
    pub fn check(&self) -> Result<(), Error> {
        for (key, path) in self.paths() {
            if path.as_os_str().is_empty() {
                return Err(Error::Settings { key, why: "is not set: it names a PEM file".into() });
            }
            std::fs::File::open(path).map_err(|source| Error::Read { key, path: path.to_owned(), source })?;
        }
        if !(MIN_RELOAD..=MAX_RELOAD).contains(&self.reload) {
            let why = format!("is {}, it must be 10ms to 1d", settings::duration::format(self.reload));
            return Err(Error::Settings { key: "tls.reload", why });
        }
        self.patterns().map(|_| ())
    }

    /// The three files, each with its key.
    pub(crate) fn paths(&self) -> [(&'static str, &Path); 3] {
        [("tls.ca", &self.ca), ("tls.certificate", &self.certificate), ("tls.key", &self.key)]
    }

    pub(crate) fn patterns(&self) -> Result<Vec<(Pattern, Role)>, Error> {
        let rule = |rule: &NameSettings| match Pattern::parse(&rule.dns) {
            Ok(pattern) => Ok((pattern, rule.role)),
            Err(why) => Err(Error::Settings { key: "tls.names", why: format!("{:?} {why}", rule.dns) }),
        };
        self.names.iter().map(rule).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Settings whose files are there.
    fn good(dir: &Path) -> Settings {
        let [ca, certificate, key] = ["ca.crt", "tls.crt", "tls.key"].map(|name| dir.join(name));
        for path in [&ca, &certificate, &key] {
            std::fs::write(path, "").expect("written");
        }
        Settings { ca, certificate, key, ..Settings::default() }
    }

    #[test]
    fn the_table_is_read_and_printed() {
        let text = "ca = \"a\"\ncertificate = \"b\"\nkey = \"c\"\nreload = \"1m\"\n\
                    [[names]]\ndns = \"ouro-ingester-*.ouro.svc\"\nrole = \"ingester\"\n";
        let read: Settings = toml::from_str(text).expect("reads");
        assert_eq!(read.names, [NameSettings { dns: "ouro-ingester-*.ouro.svc".into(), role: Role::Ingester }]);
        assert_eq!(read.reload, Duration::from_secs(60));
        assert_eq!(toml::from_str::<Settings>(&toml::to_string(&read).expect("prints")).expect("reads"), read);
        assert!(toml::from_str::<Settings>("cert = \"b\"").is_err());
    }

    #[test]
    fn a_mistake_is_named_with_its_key_and_file() {
        let dir = tempfile::tempdir().expect("a folder");
        let good = good(dir.path());
        assert!(good.check().is_ok());
        let rule = |dns: &str| vec![NameSettings { dns: dns.into(), role: Role::Querier }];
        for (settings, words) in [
            (Settings { ca: PathBuf::new(), ..good.clone() }, &["tls.ca", "not set"][..]),
            (Settings { key: "/nowhere/tls.key".into(), ..good.clone() }, &["tls.key", "/nowhere/tls.key"]),
            (Settings { reload: Duration::ZERO, ..good.clone() }, &["tls.reload", "0s", "10ms to 1d"]),
            (Settings { names: rule("a..b"), ..good.clone() }, &["tls.names", "a..b", "DNS name"]),
            (Settings { names: rule("*"), ..good.clone() }, &["tls.names", "accepts every name"]),
        ] {
            let error = settings.check().expect_err("refused").to_string();
            for word in words {
                assert!(error.contains(word), "{word:?} is not in {error:?}");
            }
        }
    }
}
