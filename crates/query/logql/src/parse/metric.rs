//! Metric queries: aggregations, functions, operators.

use super::stages::Range;
use super::{Parsed, Parser};
use crate::ast::*;
use crate::error::ParseError;
use crate::lex::Tok;
use crate::quantity::show_float;

impl Parser<'_> {
    /// An expression whose operators all bind at least as tight as `least`.
    pub(super) fn expr(&mut self, least: u8) -> Parsed<Expr> {
        self.deeper()?;
        let mut left = self.primary()?;
        while let Some((op, power)) = binary_op(self.peek()).filter(|(_, power)| *power >= least) {
            self.next();
            self.one_more_operator()?;
            let (returns_bool, matching) = self.modifiers()?;
            // Only `^` groups to the right.
            let right = self.expr(if op == BinaryOp::Pow { power } else { power + 1 })?;
            left = Expr::Metric(binary(op, returns_bool, matching, left, right)?);
        }
        self.depth -= 1;
        Ok(left)
    }

    /// An expression that must give numbers.
    fn metric(&mut self) -> Parsed<Metric> {
        match self.expr(0)? {
            Expr::Metric(metric) => Ok(metric),
            Expr::Log(_) => Err(self.unexpected(&[])),
        }
    }

    fn primary(&mut self) -> Parsed<Expr> {
        match self.peek() {
            Tok::Sym("{") => Ok(Expr::Log(self.log_expr()?)),
            Tok::Sym("(") => {
                self.next();
                let inner = self.expr(0)?;
                self.expect(")", &[])?;
                Ok(inner)
            }
            Tok::Number(_) | Tok::Sym("-" | "+") => Ok(Expr::Metric(Metric::Literal(self.signed_number()?))),
            Tok::Function("vector") => {
                self.next();
                self.expect("(", &["("])?;
                let value = self.number(&["NUMBER"])?;
                self.expect(")", &[")"])?;
                Ok(Expr::Metric(Metric::Vector(value)))
            }
            Tok::Function("label_replace") => self.label_replace(),
            Tok::Function(name) => {
                if let Some(op) = RangeOp::ALL.into_iter().find(|op| op.name() == *name) {
                    self.range_aggregation(op)
                } else if let Some(op) = VectorOp::ALL.into_iter().find(|op| op.name() == *name) {
                    self.vector_aggregation(op)
                } else {
                    Err(self.unexpected(&[]))
                }
            }
            _ => Err(self.unexpected(&[])),
        }
    }

    fn label_replace(&mut self) -> Parsed<Expr> {
        self.next();
        self.expect("(", &["("])?;
        let inner = self.metric()?;
        self.expect(",", &[])?;
        let mut texts: [String; 4] = Default::default();
        for (at, text) in texts.iter_mut().enumerate() {
            *text = self.string()?;
            let after = if at == 3 { ")" } else { "," };
            self.expect(after, &[after])?;
        }
        let [destination, replacement, source, regex] = texts;
        if let Err(why) = crate::re::compile(&format!("^(?:{regex})$")) {
            // An expression that fails alone is shown alone, else as it is anchored.
            let why =
                if why.contains("missing closing") { why } else { crate::re::compile(&regex).err().unwrap_or(why) };
            return Err(ParseError::whole(format!("invalid regex in label_replace: {why}")));
        }
        let replace = LabelReplace { inner, destination, replacement, source, regex };
        Ok(Expr::Metric(Metric::LabelReplace(Box::new(replace))))
    }

    fn range_aggregation(&mut self, op: RangeOp) -> Parsed<Expr> {
        self.next();
        self.expect("(", &["("])?;
        let mut param = None;
        if matches!(self.peek(), Tok::Number(_)) {
            param = Some(self.number(&[])?);
            self.expect(",", &[","])?;
        } else if !matches!(self.peek(), Tok::Sym("{" | "(")) {
            return Err(self.unexpected(&["NUMBER", "{", "("]));
        }
        let (log, Range { range, offset, unwrap }) = self.log_range()?;
        self.expect(")", &[])?;
        let grouping = self.grouping()?;
        let name = op.name();
        let refuse = |text: String| Err(ParseError::whole(text));
        if param.is_some() && op != RangeOp::Quantile {
            return refuse(format!(
                "parameter {} not supported for operation {name}",
                show_float(param.unwrap_or(0.0))
            ));
        }
        if param.is_none() && op == RangeOp::Quantile {
            return refuse(format!("parameter required for operation {name}"));
        }
        if grouping.is_some() && !op.takes_grouping() {
            return refuse(format!("grouping not allowed for {name} aggregation"));
        }
        if unwrap.is_some() && !op.takes_unwrap() {
            return refuse(format!("invalid aggregation {name} with unwrap"));
        }
        if unwrap.is_none() && op.needs_unwrap() {
            return refuse(format!("invalid aggregation {name} without unwrap"));
        }
        let range = range.unwrap_or(0);
        if range <= 0 {
            return refuse(format!("the range of {name} must be longer than 0"));
        }
        let aggregation = RangeAggregation { op, param, log, unwrap, range, offset, grouping };
        Ok(Expr::Metric(Metric::Range(Box::new(aggregation))))
    }

    fn vector_aggregation(&mut self, op: VectorOp) -> Parsed<Expr> {
        self.next();
        let before = self.grouping()?;
        self.expect("(", &["("])?;
        let mut param = None;
        if let (Tok::Number(text), Tok::Sym(",")) = (self.peek(), self.peek_second()) {
            param = Some(text.clone());
            self.next();
            self.next();
        }
        let inner = self.metric()?;
        self.expect(")", &[])?;
        let grouping = if before.is_some() { before } else { self.grouping()? };
        let param = vector_param(op, param)?;
        if grouping.is_some() && op == VectorOp::ApproxTopk {
            return Err(ParseError::whole("grouping not allowed for approx_topk aggregation"));
        }
        if grouping.is_some() && matches!(op, VectorOp::Sort | VectorOp::SortDesc) {
            return Err(ParseError::whole("sort and sort_desc doesn't allow grouping by "));
        }
        let aggregation = VectorAggregation { op, param, grouping, inner };
        Ok(Expr::Metric(Metric::Aggregation(Box::new(aggregation))))
    }

    /// `by (…)` or `without (…)`, if it comes next.
    fn grouping(&mut self) -> Parsed<Option<Grouping>> {
        let without = self.is("without");
        if !without && !self.is("by") {
            return Ok(None);
        }
        self.next();
        Ok(Some(Grouping { without, labels: self.label_list()? }))
    }

    /// `(a, b)`
    fn label_list(&mut self) -> Parsed<Vec<String>> {
        self.expect("(", &["("])?;
        let mut labels = Vec::new();
        if self.take(")") {
            return Ok(labels);
        }
        loop {
            labels.push(self.ident(if labels.is_empty() { &["IDENTIFIER", ")"] } else { &["IDENTIFIER"] })?);
            if self.take(")") {
                return Ok(labels);
            }
            self.expect(",", &[",", ")"])?;
        }
    }

    /// What may follow a binary operator: `bool`, `on`, `ignoring`, `group_left`, `group_right`.
    fn modifiers(&mut self) -> Parsed<(bool, Option<Matching>)> {
        let returns_bool = self.take("bool");
        let on = self.is("on");
        if !on && !self.is("ignoring") {
            return Ok((returns_bool, None));
        }
        self.next();
        let labels = self.label_list()?;
        let left = self.is("group_left");
        let mut group = None;
        if left || self.is("group_right") {
            self.next();
            let names_labels = self.is("(") && matches!(self.peek_second(), Tok::Ident(_) | Tok::Sym(")"));
            let include = if names_labels { self.label_list()? } else { Vec::new() };
            group = Some(Group { left, include });
        }
        Ok((returns_bool, Some(Matching { on, labels, group })))
    }
}

fn vector_param(op: VectorOp, text: Option<String>) -> Parsed<Option<u64>> {
    let name = op.name();
    match (op.needs_param(), text) {
        (false, None) => Ok(None),
        (false, Some(text)) => Err(ParseError::whole(format!("unsupported parameter for operation {name}({text},"))),
        (true, None) => Err(ParseError::whole(format!("parameter required for operation {name}"))),
        (true, Some(text)) => match text.parse::<u64>() {
            Err(_) => Err(ParseError::whole(format!("invalid parameter {name}({text},"))),
            Ok(0) => Err(ParseError::whole(format!("invalid parameter (must be greater than 0) {name}({text}"))),
            Ok(count) => Ok(Some(count)),
        },
    }
}

fn binary_op(tok: &Tok) -> Option<(BinaryOp, u8)> {
    Some(match tok {
        Tok::Keyword("or") => (BinaryOp::Or, 1),
        Tok::Keyword("and") => (BinaryOp::And, 2),
        Tok::Keyword("unless") => (BinaryOp::Unless, 2),
        Tok::Sym("==") => (BinaryOp::Compare(Comparison::Equal), 3),
        Tok::Sym("!=") => (BinaryOp::Compare(Comparison::NotEqual), 3),
        Tok::Sym(">") => (BinaryOp::Compare(Comparison::Greater), 3),
        Tok::Sym(">=") => (BinaryOp::Compare(Comparison::GreaterEqual), 3),
        Tok::Sym("<") => (BinaryOp::Compare(Comparison::Less), 3),
        Tok::Sym("<=") => (BinaryOp::Compare(Comparison::LessEqual), 3),
        Tok::Sym("+") => (BinaryOp::Add, 4),
        Tok::Sym("-") => (BinaryOp::Sub, 4),
        Tok::Sym("*") => (BinaryOp::Mul, 5),
        Tok::Sym("/") => (BinaryOp::Div, 5),
        Tok::Sym("%") => (BinaryOp::Mod, 5),
        Tok::Sym("^") => (BinaryOp::Pow, 6),
        _ => return None,
    })
}

/// Two legs and an operator; of two numbers their result.
fn binary(op: BinaryOp, returns_bool: bool, matching: Option<Matching>, left: Expr, right: Expr) -> Parsed<Metric> {
    let leg = |expr: Expr, side: &str| match expr {
        Expr::Metric(metric) => Ok(metric),
        Expr::Log(log) => {
            let kind = if log.stages.is_empty() { "*syntax.MatchersExpr" } else { "*syntax.PipelineExpr" };
            let symbol = op.symbol();
            Err(ParseError::whole(format!("unexpected type for {side} leg of binary operation ({symbol}): {kind}")))
        }
    };
    let (left, right) = (leg(left, "left")?, leg(right, "right")?);
    if op.is_set() {
        for (metric, side) in [(&left, "left"), (&right, "right")] {
            if let Metric::Literal(value) = metric {
                let symbol = op.symbol();
                let why =
                    format!("unexpected literal for {side} leg of logical/set binary operation ({symbol}): {value:.6}");
                return Err(ParseError::whole(why));
            }
        }
    }
    Ok(match (&left, &right) {
        (Metric::Literal(left), Metric::Literal(right)) => Metric::Literal(op.apply(*left, *right)),
        _ => Metric::Binary(Box::new(Binary { op, returns_bool, matching, left, right })),
    })
}
