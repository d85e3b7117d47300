//! What the query languages share: where rows come from, what they may cost, and what queries answer.
//!
//! Pure: no storage, no tokio. An engine is a function of a source, a query and times.

pub mod source;
