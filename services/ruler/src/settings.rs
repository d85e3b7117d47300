//! What steers a ruler.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Folder with a folder of rule files for each tenant; empty: no rules. All rulers of a cluster have the same.
    pub folder: PathBuf,
    /// How often a group without an interval of its own is evaluated.
    #[serde(with = "settings::duration")]
    pub interval: Duration,
    /// How often the files are looked at.
    #[serde(with = "settings::duration")]
    pub reload: Duration,
    /// Within so long the groups of a ruler that died are evaluated by others, but for the wait for the next multiple of
    /// their interval. Rulers tell the control group five times as often that they live.
    #[serde(with = "settings::duration")]
    pub lease: Duration,
    /// How many groups are evaluated at a time.
    pub concurrency: usize,
    /// How long a query or a push may take.
    #[serde(with = "settings::duration")]
    pub timeout: Duration,
    /// After how long Alertmanagers are told again of an alert that has not changed.
    #[serde(with = "settings::duration")]
    pub resend_delay: Duration,
    /// Where people reach the queries of this cluster, for links in alerts.
    pub external_url: String,
    /// Labels that alerts get on their way to Alertmanagers, unless they have them.
    pub external_labels: BTreeMap<String, String>,
    /// The label that says on its way to Alertmanagers whose an alert is; it replaces one that the alert has. Empty:
    /// none.
    pub tenant_label: String,
    /// Alertmanagers; each is told of every alert.
    pub alertmanagers: Vec<AlertmanagerSettings>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AlertmanagerSettings {
    /// Its address, up to and without `/api/v2/alerts`.
    pub url: String,
    /// How long it may take to answer.
    #[serde(with = "settings::duration")]
    pub timeout: Duration,
    /// Alerts that wait for it; beyond these the oldest are dropped.
    pub queue: usize,
    /// The user of basic authentication; empty: none.
    pub user: String,
    /// The file that has the user's password.
    pub password_file: PathBuf,
    /// Certificates of the authorities that may vouch for it; empty: those of the system.
    pub ca: PathBuf,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            folder: PathBuf::new(),
            interval: Duration::from_secs(60),
            reload: Duration::from_secs(5),
            lease: Duration::from_secs(30),
            concurrency: 8,
            timeout: Duration::from_secs(60),
            resend_delay: Duration::from_secs(60),
            external_url: String::new(),
            external_labels: BTreeMap::new(),
            tenant_label: "tenant".into(),
            alertmanagers: Vec::new(),
        }
    }
}

impl Default for AlertmanagerSettings {
    fn default() -> AlertmanagerSettings {
        AlertmanagerSettings {
            url: String::new(),
            timeout: Duration::from_secs(10),
            queue: 10_000,
            user: String::new(),
            password_file: PathBuf::new(),
            ca: PathBuf::new(),
        }
    }
}

impl Settings {
    /// Says what is wrong beyond types.
    pub fn check(&self) -> Result<(), String> {
        for (name, duration, least) in [
            ("interval", self.interval, Duration::from_secs(1)),
            ("reload", self.reload, Duration::from_millis(100)),
            ("lease", self.lease, Duration::from_secs(1)),
            ("timeout", self.timeout, Duration::from_millis(1)),
        ] {
            if duration < least {
                return Err(format!("ruler.{name} is {duration:?}, it must be at least {least:?}"));
            }
        }
        if self.concurrency == 0 {
            return Err("ruler.concurrency is 0, it must be at least 1".into());
        }
        for alertmanager in &self.alertmanagers {
            let url = &alertmanager.url;
            if !url.starts_with("http://") && !url.starts_with("https://") {
                return Err(format!("ruler.alertmanagers: {url:?} is not an address: write http://host:port"));
            }
            if alertmanager.queue == 0 {
                return Err(format!("ruler.alertmanagers, {url}: queue is 0, it must be at least 1"));
            }
        }
        Ok(())
    }
}
