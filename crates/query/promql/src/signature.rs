//! All functions of the language: their names, and the types they take and give.

use crate::ast::Type::{self, Matrix, Scalar, String, Vector};

/// What a function takes and gives.
#[derive(Debug, PartialEq, Eq)]
pub struct Signature {
    pub name: &'static str,
    pub args: &'static [Type],
    /// How many of the last `args` may be left out; below zero: any number of the last one, none included.
    pub optional: Optional,
    pub returns: Type,
    /// Only when the engine's options allow it.
    pub experimental: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Optional {
    None,
    /// The last argument may be left out.
    Last,
    /// The last argument may be left out or repeated without bound.
    AnyOfLast,
    /// The last argument may be repeated up to this many arguments in all.
    RepeatUpTo(usize),
}

impl Signature {
    pub fn by_name(name: &str) -> Option<&'static Signature> {
        FUNCTIONS.iter().find(|f| f.name == name)
    }

    /// The type of an argument.
    pub fn arg(&self, at: usize) -> Option<Type> {
        self.args.get(at).or(self.args.last()).copied()
    }

    pub fn min_args(&self) -> usize {
        match self.optional {
            Optional::None | Optional::RepeatUpTo(_) => self.args.len(),
            Optional::Last | Optional::AnyOfLast => self.args.len() - 1,
        }
    }

    pub fn max_args(&self) -> usize {
        match self.optional {
            Optional::None | Optional::Last => self.args.len(),
            Optional::AnyOfLast => usize::MAX,
            Optional::RepeatUpTo(max) => max,
        }
    }
}

const fn vector(name: &'static str, args: &'static [Type]) -> Signature {
    Signature { name, args, optional: Optional::None, returns: Vector, experimental: false }
}

const fn scalar(name: &'static str, args: &'static [Type]) -> Signature {
    Signature { name, args, optional: Optional::None, returns: Scalar, experimental: false }
}

const fn with(signature: Signature, optional: Optional) -> Signature {
    Signature { optional, ..signature }
}

const fn experimental(signature: Signature) -> Signature {
    Signature { experimental: true, ..signature }
}

/// Sorted by name.
pub static FUNCTIONS: &[Signature] = &[
    vector("abs", &[Vector]),
    vector("absent", &[Vector]),
    vector("absent_over_time", &[Matrix]),
    vector("acos", &[Vector]),
    vector("acosh", &[Vector]),
    vector("asin", &[Vector]),
    vector("asinh", &[Vector]),
    vector("atan", &[Vector]),
    vector("atanh", &[Vector]),
    vector("avg_over_time", &[Matrix]),
    vector("ceil", &[Vector]),
    vector("changes", &[Matrix]),
    vector("clamp", &[Vector, Scalar, Scalar]),
    vector("clamp_max", &[Vector, Scalar]),
    vector("clamp_min", &[Vector, Scalar]),
    vector("cos", &[Vector]),
    vector("cosh", &[Vector]),
    vector("count_over_time", &[Matrix]),
    with(vector("day_of_month", &[Vector]), Optional::Last),
    with(vector("day_of_week", &[Vector]), Optional::Last),
    with(vector("day_of_year", &[Vector]), Optional::Last),
    with(vector("days_in_month", &[Vector]), Optional::Last),
    vector("deg", &[Vector]),
    vector("delta", &[Matrix]),
    vector("deriv", &[Matrix]),
    experimental(vector("double_exponential_smoothing", &[Matrix, Scalar, Scalar])),
    experimental(scalar("end", &[])),
    vector("exp", &[Vector]),
    experimental(vector("first_over_time", &[Matrix])),
    vector("floor", &[Vector]),
    vector("histogram_avg", &[Vector]),
    vector("histogram_count", &[Vector]),
    vector("histogram_fraction", &[Scalar, Scalar, Vector]),
    vector("histogram_quantile", &[Scalar, Vector]),
    experimental(with(vector("histogram_quantiles", &[Vector, String, Scalar]), Optional::RepeatUpTo(12))),
    vector("histogram_stddev", &[Vector]),
    vector("histogram_stdvar", &[Vector]),
    vector("histogram_sum", &[Vector]),
    with(vector("hour", &[Vector]), Optional::Last),
    vector("idelta", &[Matrix]),
    vector("increase", &[Matrix]),
    experimental(with(vector("info", &[Vector, Vector]), Optional::Last)),
    vector("irate", &[Matrix]),
    with(vector("label_join", &[Vector, String, String, String]), Optional::AnyOfLast),
    vector("label_replace", &[Vector, String, String, String, String]),
    vector("last_over_time", &[Matrix]),
    vector("ln", &[Vector]),
    vector("log10", &[Vector]),
    vector("log2", &[Vector]),
    experimental(vector("mad_over_time", &[Matrix])),
    experimental(scalar("max_of", &[Scalar, Scalar])),
    vector("max_over_time", &[Matrix]),
    experimental(scalar("min_of", &[Scalar, Scalar])),
    vector("min_over_time", &[Matrix]),
    with(vector("minute", &[Vector]), Optional::Last),
    with(vector("month", &[Vector]), Optional::Last),
    scalar("pi", &[]),
    vector("predict_linear", &[Matrix, Scalar]),
    vector("present_over_time", &[Matrix]),
    vector("quantile_over_time", &[Scalar, Matrix]),
    vector("rad", &[Vector]),
    experimental(scalar("range", &[])),
    vector("rate", &[Matrix]),
    vector("resets", &[Matrix]),
    with(vector("round", &[Vector, Scalar]), Optional::Last),
    scalar("scalar", &[Vector]),
    vector("sgn", &[Vector]),
    vector("sin", &[Vector]),
    vector("sinh", &[Vector]),
    vector("sort", &[Vector]),
    experimental(with(vector("sort_by_label", &[Vector, String]), Optional::AnyOfLast)),
    experimental(with(vector("sort_by_label_desc", &[Vector, String]), Optional::AnyOfLast)),
    vector("sort_desc", &[Vector]),
    vector("sqrt", &[Vector]),
    experimental(scalar("start", &[])),
    experimental(vector("start_timestamp", &[Vector])),
    vector("stddev_over_time", &[Matrix]),
    vector("stdvar_over_time", &[Matrix]),
    experimental(scalar("step", &[])),
    vector("sum_over_time", &[Matrix]),
    vector("tan", &[Vector]),
    vector("tanh", &[Vector]),
    scalar("time", &[]),
    vector("timestamp", &[Vector]),
    experimental(vector("ts_of_first_over_time", &[Matrix])),
    experimental(vector("ts_of_last_over_time", &[Matrix])),
    experimental(vector("ts_of_max_over_time", &[Matrix])),
    experimental(vector("ts_of_min_over_time", &[Matrix])),
    vector("vector", &[Scalar]),
    with(vector("year", &[Vector]), Optional::Last),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_sorted_and_found() {
        assert!(FUNCTIONS.is_sorted_by_key(|f| f.name));
        assert!(FUNCTIONS.iter().all(|f| Signature::by_name(f.name) == Some(f)));
        assert_eq!(Signature::by_name("nope"), None);
    }
}
