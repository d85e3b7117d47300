//! What the query languages share: where rows come from, what they may cost, what queries answer, and the
//! operators (aggregation, vector matching) that work alike in each of them.
//!
//! Pure: no storage, no tokio. An engine is a function of a source, a query and times.
//!
//! The parts, in the order data meets them:
//! [`source`] gives rows; [`column`] holds one output series over all steps of a query; [`histogram`] is the
//! arithmetic of native histograms; [`merged`] puts columns together by labels; [`aggregate`] folds columns into groups; [`binary`] combines two sets of columns;
//! [`note`] collects warnings; [`budget`] bounds memory and time; [`threads`] shares work out; [`value`] is what a query answers.

pub mod aggregate;
pub mod binary;
pub mod budget;
pub mod column;
pub mod error;
pub mod histogram;
pub mod merged;
pub mod note;
pub mod number;
pub mod source;
pub mod threads;
pub mod value;

pub use error::EvalError;
