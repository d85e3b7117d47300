//! Who may do what, and how much of it: tenants' limits and the admission of requests.
//!
//! A request's tenant is known by `admit`, which alone makes an `Admitted`; what stores or reads a tenant's rows takes
//! nothing else. `Limits` are per tenant and change while the process runs (`LimitTable`).

mod admit;
mod error;
mod ha;
mod limits;
mod otlp;
mod relabel;
mod table;

pub use admit::{Admitted, Read, Write, admit, admit_reads};
pub use error::TenancyError;
pub use ha::HaSettings;
pub use limits::{Limits, RetentionSettings, Shorter};
pub use otlp::{Delta, DiscoverySettings, Naming, OtlpSettings};
pub use relabel::{LabelPair, Relabel, RelabelAction, RelabelSettings, Relabeled};
pub use table::{LimitTable, Overrides};
