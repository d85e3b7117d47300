//! What a LogQL text means, as a tree.

use model::Matcher;
use serde::{Deserialize, Serialize};

/// A parsed query. `Display` gives its canonical text.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    /// Answers lines.
    Log(LogExpr),
    /// Answers numbers.
    Metric(Metric),
}

impl Expr {
    /// Whether the query answers numbers.
    pub fn is_metric(&self) -> bool {
        matches!(self, Expr::Metric(_))
    }
}

/// A stream selector and what happens to each of its lines.
#[derive(Debug, Clone, PartialEq)]
pub struct LogExpr {
    pub matchers: Vec<Matcher>,
    pub stages: Vec<Stage>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Stage {
    Line(LineFilter),
    Json(Vec<Extraction>),
    Logfmt { strict: bool, keep_empty: bool, extractions: Vec<Extraction> },
    Regexp(String),
    Pattern(String),
    Unpack,
    Label(LabelFilter),
    LineFormat(String),
    LabelFormat(Vec<LabelFormat>),
    Drop(Vec<LabelSelector>),
    Keep(Vec<LabelSelector>),
    Decolorize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineOp {
    Contains,
    NotContains,
    Matches,
    NotMatches,
    Pattern,
    NotPattern,
}

impl LineOp {
    pub fn symbol(self) -> &'static str {
        match self {
            LineOp::Contains => "|=",
            LineOp::NotContains => "!=",
            LineOp::Matches => "|~",
            LineOp::NotMatches => "!~",
            LineOp::Pattern => "|>",
            LineOp::NotPattern => "!>",
        }
    }

    pub fn is_negative(self) -> bool {
        matches!(self, LineOp::NotContains | LineOp::NotMatches | LineOp::NotPattern)
    }
}

/// `|= "a" or ip("b")`: one of the alternatives, or with a negative operator none of them.
#[derive(Debug, Clone, PartialEq)]
pub struct LineFilter {
    pub op: LineOp,
    pub alternatives: Vec<LineMatch>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum LineMatch {
    Text(String),
    Ip(String),
}

/// `name="expression"`; a bare name is its own expression.
#[derive(Debug, Clone, PartialEq)]
pub struct Extraction {
    pub name: String,
    pub expression: String,
}

#[derive(Debug, Clone, PartialEq)]
pub struct LabelFormat {
    pub name: String,
    pub value: FormatValue,
}

#[derive(Debug, Clone, PartialEq)]
pub enum FormatValue {
    Rename(String),
    Template(String),
}

/// A label of `drop` or `keep`, of any value or of those that meet a condition.
#[derive(Debug, Clone, PartialEq)]
pub enum LabelSelector {
    Name(String),
    Matching(Matcher),
}

#[derive(Debug, Clone, PartialEq)]
pub enum LabelFilter {
    And(Box<LabelFilter>, Box<LabelFilter>),
    Or(Box<LabelFilter>, Box<LabelFilter>),
    Text(Matcher),
    Number {
        name: String,
        op: Comparison,
        value: f64,
    },
    /// Nanoseconds.
    Duration {
        name: String,
        op: Comparison,
        value: i64,
    },
    Bytes {
        name: String,
        op: Comparison,
        value: u64,
    },
    Ip {
        name: String,
        equal: bool,
        pattern: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    Equal,
    NotEqual,
    Greater,
    GreaterEqual,
    Less,
    LessEqual,
}

impl Comparison {
    pub fn symbol(self) -> &'static str {
        match self {
            Comparison::Equal => "==",
            Comparison::NotEqual => "!=",
            Comparison::Greater => ">",
            Comparison::GreaterEqual => ">=",
            Comparison::Less => "<",
            Comparison::LessEqual => "<=",
        }
    }

    pub fn holds<T: PartialOrd>(self, left: T, right: T) -> bool {
        match self {
            Comparison::Equal => left == right,
            Comparison::NotEqual => left != right,
            Comparison::Greater => left > right,
            Comparison::GreaterEqual => left >= right,
            Comparison::Less => left < right,
            Comparison::LessEqual => left <= right,
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum Metric {
    Literal(f64),
    Vector(f64),
    Range(Box<RangeAggregation>),
    Aggregation(Box<VectorAggregation>),
    Binary(Box<Binary>),
    LabelReplace(Box<LabelReplace>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RangeOp {
    Rate,
    RateCounter,
    Count,
    Bytes,
    BytesRate,
    Sum,
    Avg,
    Max,
    Min,
    Stdvar,
    Stddev,
    Quantile,
    First,
    Last,
    Absent,
}

impl RangeOp {
    pub const ALL: [RangeOp; 15] = [
        RangeOp::Rate,
        RangeOp::RateCounter,
        RangeOp::Count,
        RangeOp::Bytes,
        RangeOp::BytesRate,
        RangeOp::Sum,
        RangeOp::Avg,
        RangeOp::Max,
        RangeOp::Min,
        RangeOp::Stdvar,
        RangeOp::Stddev,
        RangeOp::Quantile,
        RangeOp::First,
        RangeOp::Last,
        RangeOp::Absent,
    ];

    pub fn name(self) -> &'static str {
        match self {
            RangeOp::Rate => "rate",
            RangeOp::RateCounter => "rate_counter",
            RangeOp::Count => "count_over_time",
            RangeOp::Bytes => "bytes_over_time",
            RangeOp::BytesRate => "bytes_rate",
            RangeOp::Sum => "sum_over_time",
            RangeOp::Avg => "avg_over_time",
            RangeOp::Max => "max_over_time",
            RangeOp::Min => "min_over_time",
            RangeOp::Stdvar => "stdvar_over_time",
            RangeOp::Stddev => "stddev_over_time",
            RangeOp::Quantile => "quantile_over_time",
            RangeOp::First => "first_over_time",
            RangeOp::Last => "last_over_time",
            RangeOp::Absent => "absent_over_time",
        }
    }

    pub fn needs_unwrap(self) -> bool {
        self.takes_grouping() || matches!(self, RangeOp::Sum | RangeOp::RateCounter)
    }

    pub fn takes_unwrap(self) -> bool {
        !matches!(self, RangeOp::Count | RangeOp::Bytes | RangeOp::BytesRate)
    }

    pub fn takes_grouping(self) -> bool {
        use RangeOp::*;
        matches!(self, Avg | Max | Min | Stdvar | Stddev | Quantile | First | Last)
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct RangeAggregation {
    pub op: RangeOp,
    /// The quantile of `quantile_over_time`.
    pub param: Option<f64>,
    pub log: LogExpr,
    pub unwrap: Option<Unwrap>,
    /// Nanoseconds.
    pub range: i64,
    /// Nanoseconds.
    pub offset: i64,
    pub grouping: Option<Grouping>,
}

/// Takes a label's value as the number of an entry.
#[derive(Debug, Clone, PartialEq)]
pub struct Unwrap {
    pub label: String,
    pub conversion: Option<Conversion>,
    /// What entries must meet after that.
    pub filters: Vec<LabelFilter>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conversion {
    Bytes,
    Duration,
    DurationSeconds,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Grouping {
    pub without: bool,
    pub labels: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VectorOp {
    Sum,
    Avg,
    Max,
    Min,
    Count,
    Stddev,
    Stdvar,
    Topk,
    Bottomk,
    ApproxTopk,
    Sort,
    SortDesc,
}

impl VectorOp {
    pub const ALL: [VectorOp; 12] = [
        VectorOp::Sum,
        VectorOp::Avg,
        VectorOp::Max,
        VectorOp::Min,
        VectorOp::Count,
        VectorOp::Stddev,
        VectorOp::Stdvar,
        VectorOp::Topk,
        VectorOp::Bottomk,
        VectorOp::ApproxTopk,
        VectorOp::Sort,
        VectorOp::SortDesc,
    ];

    pub fn name(self) -> &'static str {
        match self {
            VectorOp::Sum => "sum",
            VectorOp::Avg => "avg",
            VectorOp::Max => "max",
            VectorOp::Min => "min",
            VectorOp::Count => "count",
            VectorOp::Stddev => "stddev",
            VectorOp::Stdvar => "stdvar",
            VectorOp::Topk => "topk",
            VectorOp::Bottomk => "bottomk",
            VectorOp::ApproxTopk => "approx_topk",
            VectorOp::Sort => "sort",
            VectorOp::SortDesc => "sort_desc",
        }
    }

    pub fn needs_param(self) -> bool {
        matches!(self, VectorOp::Topk | VectorOp::Bottomk | VectorOp::ApproxTopk)
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct VectorAggregation {
    pub op: VectorOp,
    /// How many `topk`, `bottomk` and `approx_topk` give.
    pub param: Option<u64>,
    pub grouping: Option<Grouping>,
    pub inner: Metric,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Compare(Comparison),
    And,
    Or,
    Unless,
}

impl BinaryOp {
    pub fn symbol(self) -> &'static str {
        match self {
            BinaryOp::Add => "+",
            BinaryOp::Sub => "-",
            BinaryOp::Mul => "*",
            BinaryOp::Div => "/",
            BinaryOp::Mod => "%",
            BinaryOp::Pow => "^",
            BinaryOp::Compare(comparison) => comparison.symbol(),
            BinaryOp::And => "and",
            BinaryOp::Or => "or",
            BinaryOp::Unless => "unless",
        }
    }

    pub fn is_set(self) -> bool {
        matches!(self, BinaryOp::And | BinaryOp::Or | BinaryOp::Unless)
    }

    /// The number that two numbers give, where a comparison gives 1 or 0. Division by zero has no number.
    pub fn apply(self, left: f64, right: f64) -> f64 {
        match self {
            BinaryOp::Add => left + right,
            BinaryOp::Sub => left - right,
            BinaryOp::Mul => left * right,
            BinaryOp::Div | BinaryOp::Mod if right == 0.0 => f64::NAN,
            BinaryOp::Div => left / right,
            BinaryOp::Mod => left % right,
            BinaryOp::Pow => left.powf(right),
            BinaryOp::Compare(comparison) => f64::from(comparison.holds(left, right)),
            BinaryOp::And | BinaryOp::Or | BinaryOp::Unless => f64::NAN,
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Binary {
    pub op: BinaryOp,
    /// Whether a comparison answers 1 or 0 instead of leaving series out.
    pub returns_bool: bool,
    pub matching: Option<Matching>,
    pub left: Metric,
    pub right: Metric,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Matching {
    /// `on`, else `ignoring`.
    pub on: bool,
    pub labels: Vec<String>,
    pub group: Option<Group>,
}

/// `group_left` or `group_right`: which side may have many series for one of the other.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    pub left: bool,
    /// Labels to copy from the other side.
    pub include: Vec<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct LabelReplace {
    pub inner: Metric,
    pub destination: String,
    pub replacement: String,
    pub source: String,
    pub regex: String,
}
