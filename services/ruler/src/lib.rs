//! Evaluates rules: asks a querier, writes what it answers through a distributor, and tells Alertmanagers.
//!
//! Rules come from Prometheus rule files, one folder a tenant: `files` reads them, `rules` follows them. Every ruler
//! knows all of them; which of them evaluates a `group` is said by a `lease` in the control group, for which the ring
//! proposes. A `keeper` evaluates a group at its interval (`evaluate`), takes its alerts further (`alert`), with texts
//! by `template`, and leaves in `memory` what the next evaluation needs, wherever that is. `notify` tells Alertmanagers,
//! `api` tells everybody else by the `view`s of all rulers.

mod alert;
mod api;
mod door;
mod error;
mod evaluate;
mod files;
mod group;
mod keeper;
mod lease;
mod memory;
mod meters;
mod notify;
mod record;
mod ruler;
mod rules;
mod settings;
mod standalone;
mod template;
mod view;

pub use api::{members, router};
pub use door::Door;
pub use error::Error;
pub use ruler::Ruler;
pub use settings::{AlertmanagerSettings, Settings};
pub use standalone::standalone;
