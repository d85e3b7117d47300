//! The words that every crate shares: tenants, series, matchers, rows, ids, sizes and reasons.
//!
//! Nothing here does I/O, and nothing here knows how rows travel or rest.

pub mod histogram;
pub mod horizon;
pub mod id;
pub mod label_sets;
pub mod labels;
pub mod matcher;
pub mod pattern;
pub mod range;
pub mod reason;
pub mod role;
pub mod rows;
pub mod signal;
pub mod size;
pub mod tenant;
pub mod times;

pub use histogram::Histogram;
pub use horizon::Horizon;
pub use id::{BatchId, GroupId, ShardCounts, ShardId};
pub use label_sets::LabelSets;
pub use labels::{Labels, LabelsBuilder, Packed};
pub use matcher::{MatchOp, Matcher};
pub use range::TimeRange;
pub use reason::Reason;
pub use role::Role;
pub use rows::{Coded, Exemplar, LogPage, Metadata, Series, Shape};
pub use signal::Signal;
pub use size::ByteSize;
pub use tenant::TenantId;
pub use times::Times;
