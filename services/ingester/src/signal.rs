//! The door behind which a signal is a type: what a shard asks of a head, whatever its rows are.

use crate::error::Error;
use block::Part;
use bytes::Bytes;
use metrics::Bounds;
use model::{Labels, Matcher, Packed, TenantId, TimeRange};
use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;
use transport::v1;
use wire::batch::Batch;

/// Recent rows of one shard.
pub trait Head: Send + Sync + Sized + 'static {
    type Settings: Clone + Send + Sync + 'static;
    type Frozen: Send + Sync + 'static;
    type View: Send + Sync + 'static;

    fn new(settings: &Self::Settings) -> Self;

    /// Looks at a batch before it is logged, and takes out the rows that may not be stored, with the texts for who
    /// sent them. Lines are held to no bounds.
    fn admit(&self, batch: Batch, bounds: &Bounds) -> Result<Admission, Error>;

    /// Adds a committed batch of log entry `index`. `body` is the uncompressed body if it is at hand.
    fn apply(&self, index: u64, batch: &Batch, body: Option<Bytes>, rest: Rest) -> Result<(), Error>;

    /// Rows up to `through`, which must be all applied so far, become frozen.
    fn cut(&self, through: u64) -> Self::Frozen;

    fn encode(frozen: &Self::Frozen) -> Result<Vec<Part>, Error>;

    /// Forgets what was cut at or before `through`.
    fn drop_frozen(&self, through: u64);

    /// Forgets what is only known for rows that may still come: called after a flush.
    fn forget_idle(&self);

    fn view(&self) -> Self::View;

    fn stats(&self) -> Stats;

    /// The limit that a querier has for bytes of rows.
    const ROWS_LIMIT: &str;

    /// Gives what was asked for, message by message, until `emit` says no.
    fn select(view: &Self::View, question: &Question, means: &Means, emit: Emit<'_>) -> Result<(), Error>;
}

/// What became of a batch before it was logged.
pub struct Admission {
    /// Without the rows that were refused; `None` when no row is left.
    pub batch: Option<Batch>,
    /// The uncompressed body of the batch, if it was needed.
    pub body: Option<Bytes>,
    pub refused: Vec<v1::Refusal>,
}

/// Where the payload of an applied batch can be read again.
#[derive(Clone)]
pub struct Rest {
    pub slice: Option<journal::Slice>,
    /// Of the payload within the entry.
    pub range: std::ops::Range<usize>,
}

/// What a head holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Since the last cut.
    pub rows: u64,
    pub raw_bytes: u64,
    /// All of it, frozen generations included.
    pub memory_bytes: u64,
    pub series: u64,
}

/// What a querier asks of a head.
pub struct Question {
    pub tenant: TenantId,
    pub what: v1::What,
    pub matchers: Vec<Matcher>,
    pub range: TimeRange,
    pub contains: Vec<String>,
    /// So many of the oldest or newest lines are enough; `None`: all of them.
    pub limit: Option<usize>,
    pub newest: bool,
    /// What arrived: of log entries after this one.
    pub after: u64,
    /// What is to be computed, or the label whose values are wanted: that without a name has the names of all labels.
    pub work: Bytes,
    pub max_bytes: u64,
}

/// What work on an answer may ask.
pub struct Means {
    /// Whether nobody waits for the answer any more.
    pub gone: Arc<dyn Fn() -> bool + Send + Sync>,
    /// Lends one more thread, if one is idle.
    pub spare: Arc<eval::threads::Spare>,
}

pub type Reply = v1::select_reply::Reply;

/// Takes a message and how many bytes it takes; says whether to go on.
pub type Emit<'a> = &'a mut dyn FnMut(Reply, usize) -> bool;

/// Values that are known not to have to be given again, and values in a message.
const KNOWN: usize = 1 << 16;
const AT_ONCE: usize = 1 << 10;

/// Gives the values of a label, message by message, at least one: most of them once, however many there are.
pub struct Values<'e> {
    label: Cow<'e, str>,
    emit: Emit<'e>,
    known: HashSet<Box<str>>,
    ready: Vec<String>,
    bytes: usize,
    goes_on: bool,
}

impl<'e> Values<'e> {
    pub fn new(question: &'e Question, emit: Emit<'e>) -> Values<'e> {
        Values {
            label: String::from_utf8_lossy(&question.work),
            emit,
            known: HashSet::new(),
            ready: Vec::new(),
            bytes: 0,
            goes_on: true,
        }
    }

    /// Takes what a series has.
    pub fn add(&mut self, labels: Packed<'_>) {
        match labels.get(&self.label) {
            Some(value) => self.give(value),
            None if self.label.is_empty() => labels.iter().for_each(|(name, _)| self.give(name)),
            None => {}
        }
    }

    fn give(&mut self, value: &str) {
        if !self.goes_on || self.known.contains(value) {
            return;
        }
        if self.known.len() < KNOWN {
            self.known.insert(value.into());
        }
        self.bytes += value.len() + size_of::<String>();
        self.ready.push(value.to_owned());
        if self.ready.len() == AT_ONCE {
            self.send();
        }
    }

    pub fn end(mut self) {
        self.send();
    }

    fn send(&mut self) {
        let (values, bytes) = (std::mem::take(&mut self.ready), std::mem::take(&mut self.bytes));
        self.goes_on = self.goes_on && (self.emit)(Reply::Values(v1::Values { values }), bytes);
    }
}

/// Gives label sets one by one.
pub fn emit_labels(all: Vec<Labels>, emit: Emit<'_>) {
    for labels in all {
        if !emit(transport::rows::labels_reply(&labels), labels.packed().len()) {
            return;
        }
    }
}
