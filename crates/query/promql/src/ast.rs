//! The shape of a parsed query.

use crate::signature::Signature;
use eval::{aggregate, aggregate::Grouping, binary, binary::Matching};
use model::Matcher;

/// Where something begins in the query text: a byte offset, and line and column (in bytes) from one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    pub offset: usize,
    pub line: u32,
    pub column: u32,
}

/// An expression and its place in the query.
#[derive(Debug, Clone, PartialEq)]
pub struct Expr {
    pub kind: Kind,
    pub at: Position,
    /// How deep the tree below is; bounded by the parser, so that walking it cannot run out of stack.
    pub depth: u32,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    Number(f64),
    /// The bytes of a string literal; escapes can make bytes that are not UTF-8.
    String(Vec<u8>),
    Paren(Box<Expr>),
    Negate(Box<Expr>),
    /// A unary plus, which does nothing.
    Plus(Box<Expr>),
    Selector(Box<Selector>),
    /// A selector with a range.
    Range(Box<Selector>, Span),
    Subquery(Box<Subquery>),
    Call {
        function: &'static Signature,
        args: Vec<Expr>,
    },
    Aggregate {
        op: aggregate::Op,
        grouping: Grouping,
        param: Option<Box<Expr>>,
        arg: Box<Expr>,
    },
    Binary {
        op: binary::Op,
        left: Box<Expr>,
        right: Box<Expr>,
        truth: bool,
        matching: Matching,
    },
}

/// Which series, and when relative to the step.
#[derive(Debug, Clone, PartialEq)]
pub struct Selector {
    /// All conditions, the metric name among them.
    pub matchers: Vec<Matcher>,
    pub shift: Shift,
    pub edges: Edges,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Subquery {
    pub expr: Expr,
    pub range: Span,
    /// The default step of the engine, when absent.
    pub step: Option<Span>,
    pub shift: Shift,
}

/// `offset` and `@`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Shift {
    pub offset: Option<Span>,
    pub at: Option<At>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum At {
    /// Unix milliseconds.
    Time(i64),
    Start,
    End,
}

/// What happens at the edges of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Edges {
    #[default]
    Plain,
    Anchored,
    Smoothed,
}

/// A length of time, maybe computed from the query's own times.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    pub kind: SpanKind,
    pub at: Position,
}

#[derive(Debug, Clone, PartialEq)]
pub enum SpanKind {
    /// Seconds.
    Fixed(f64),
    /// The step of the query.
    Step,
    /// From the query's start to its end.
    Range,
    Negate(Box<Span>),
    Binary(binary::Op, Box<Span>, Box<Span>),
    Min(Box<Span>, Box<Span>),
    Max(Box<Span>, Box<Span>),
}

impl Span {
    /// Its seconds in a query with this step and this range, also in seconds. `None` where it depends on one that is not
    /// given, and where it is a division by zero.
    pub fn seconds(&self, step: Option<f64>, range: Option<f64>) -> Option<f64> {
        let of = |span: &Span| span.seconds(step, range);
        Some(match &self.kind {
            SpanKind::Fixed(seconds) => *seconds,
            SpanKind::Step => step?,
            SpanKind::Range => range?,
            SpanKind::Negate(inner) => -of(inner)?,
            SpanKind::Binary(op, a, b) => {
                let (a, b) = (of(a)?, of(b)?);
                if b == 0.0 && matches!(op, binary::Op::Div | binary::Op::Mod) {
                    return None;
                }
                op.numbers(a, b)
            }
            SpanKind::Min(a, b) => of(a)?.min(of(b)?),
            SpanKind::Max(a, b) => of(a)?.max(of(b)?),
        })
    }

    /// Its seconds in any query.
    pub fn constant(&self) -> Option<f64> {
        self.seconds(None, None)
    }
}

/// The type of an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    Scalar,
    String,
    Vector,
    Matrix,
}

impl Type {
    /// As the documentation calls it.
    pub fn name(self) -> &'static str {
        match self {
            Type::Scalar => "scalar",
            Type::String => "string",
            Type::Vector => "instant vector",
            Type::Matrix => "range vector",
        }
    }
}

impl Expr {
    pub fn kind_type(&self) -> Type {
        match &self.kind {
            Kind::Number(_) => Type::Scalar,
            Kind::String(_) => Type::String,
            Kind::Paren(inner) | Kind::Negate(inner) | Kind::Plus(inner) => inner.kind_type(),
            Kind::Selector(_) | Kind::Aggregate { .. } => Type::Vector,
            Kind::Range(..) | Kind::Subquery(_) => Type::Matrix,
            Kind::Call { function, .. } => function.returns,
            Kind::Binary { left, right, .. } => match (left.kind_type(), right.kind_type()) {
                (Type::Scalar, Type::Scalar) => Type::Scalar,
                _ => Type::Vector,
            },
        }
    }

    /// This expression without the parentheses around it.
    pub fn inner(&self) -> &Expr {
        match &self.kind {
            Kind::Paren(inner) => inner.inner(),
            _ => self,
        }
    }

    /// The expressions directly below.
    pub fn children(&self) -> Vec<&Expr> {
        match &self.kind {
            Kind::Number(_) | Kind::String(_) | Kind::Selector(_) | Kind::Range(..) => Vec::new(),
            Kind::Paren(inner) | Kind::Negate(inner) | Kind::Plus(inner) => vec![inner],
            Kind::Subquery(subquery) => vec![&subquery.expr],
            Kind::Call { args, .. } => args.iter().collect(),
            Kind::Aggregate { param, arg, .. } => param.iter().map(|p| &**p).chain([&**arg]).collect(),
            Kind::Binary { left, right, .. } => vec![left, right],
        }
    }

    /// Whether some expression in this tree meets a condition.
    pub fn any(&self, test: &mut dyn FnMut(&Expr) -> bool) -> bool {
        test(self) || self.children().into_iter().any(|child| child.any(test))
    }

    /// The matchers of every selector, for planning and for access checks.
    pub fn selectors(&self) -> Vec<&[Matcher]> {
        match &self.kind {
            Kind::Selector(selector) | Kind::Range(selector, _) => vec![&selector.matchers],
            _ => self.children().into_iter().flat_map(Expr::selectors).collect(),
        }
    }
}
