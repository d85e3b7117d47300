//! Evaluates recording rules: asks a querier, and writes what it answers through a distributor.
//!
//! Rules come from Prometheus rule files, one folder a tenant: `FOLDER/TENANT/*.yaml`. Alerting rules are refused when
//! they are read, with a sentence that says so.

mod door;
mod error;
mod files;
mod record;
mod ruler;
mod settings;
mod standalone;

pub use door::Door;
pub use error::Error;
pub use ruler::Ruler;
pub use settings::Settings;
pub use standalone::standalone;
