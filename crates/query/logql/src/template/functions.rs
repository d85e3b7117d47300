//! The functions of templates: numbers, times, comparisons. Those of texts are beside it.

use super::value::Value;
use super::{decimal, layout, text_functions};
use crate::quantity;

/// What functions without arguments give.
pub(super) struct Context<'c> {
    pub line: &'c str,
    pub time: i64,
    pub now: i64,
}

const MANY: usize = usize::MAX;

/// Names with the least and the most arguments.
const FUNCTIONS: [(&str, usize, usize); 89] = [
    ("__line__", 0, 0),
    ("__timestamp__", 0, 0),
    ("now", 0, 0),
    ("ToLower", 1, 1),
    ("ToUpper", 1, 1),
    ("Replace", 4, 4),
    ("Trim", 2, 2),
    ("TrimLeft", 2, 2),
    ("TrimRight", 2, 2),
    ("TrimPrefix", 2, 2),
    ("TrimSuffix", 2, 2),
    ("TrimSpace", 1, 1),
    ("regexReplaceAll", 3, 3),
    ("regexReplaceAllLiteral", 3, 3),
    ("count", 2, 2),
    ("urldecode", 1, 1),
    ("urlencode", 1, 1),
    ("bytes", 1, 1),
    ("duration", 1, 1),
    ("duration_seconds", 1, 1),
    ("unixEpochMillis", 1, 1),
    ("unixEpochNanos", 1, 1),
    ("toDateInZone", 3, 3),
    ("unixToTime", 1, 1),
    ("alignLeft", 2, 2),
    ("alignRight", 2, 2),
    ("b64enc", 1, 1),
    ("b64dec", 1, 1),
    ("lower", 1, 1),
    ("upper", 1, 1),
    ("title", 1, 1),
    ("trunc", 2, 2),
    ("substr", 3, 3),
    ("contains", 2, 2),
    ("hasPrefix", 2, 2),
    ("hasSuffix", 2, 2),
    ("indent", 2, 2),
    ("nindent", 2, 2),
    ("replace", 3, 3),
    ("repeat", 2, 2),
    ("trim", 1, 1),
    ("trimAll", 2, 2),
    ("trimSuffix", 2, 2),
    ("trimPrefix", 2, 2),
    ("int", 1, 1),
    ("float64", 1, 1),
    ("add", 0, MANY),
    ("sub", 2, 2),
    ("mul", 1, MANY),
    ("div", 2, 2),
    ("mod", 2, 2),
    ("addf", 0, MANY),
    ("subf", 1, MANY),
    ("mulf", 1, MANY),
    ("divf", 1, MANY),
    ("max", 1, MANY),
    ("min", 1, MANY),
    ("maxf", 1, MANY),
    ("minf", 1, MANY),
    ("ceil", 1, 1),
    ("floor", 1, 1),
    ("round", 2, 3),
    ("fromJson", 1, 1),
    ("date", 2, 2),
    ("toDate", 2, 2),
    ("unixEpoch", 1, 1),
    ("default", 1, 2),
    ("printf", 1, MANY),
    ("print", 0, MANY),
    ("println", 0, MANY),
    ("len", 1, 1),
    ("index", 1, MANY),
    ("slice", 1, 4),
    ("not", 1, 1),
    ("and", 1, MANY),
    ("or", 1, MANY),
    ("eq", 1, MANY),
    ("ne", 2, 2),
    ("lt", 2, 2),
    ("le", 2, 2),
    ("gt", 2, 2),
    ("ge", 2, 2),
    ("html", 1, MANY),
    ("js", 1, MANY),
    ("urlquery", 1, MANY),
    ("call", 1, MANY),
    ("quote", 1, MANY),
    ("squote", 1, MANY),
    ("trimall", 2, 2),
];

/// The function of this name, if there is one.
pub(super) fn known(name: &str) -> Option<&'static str> {
    FUNCTIONS.iter().find(|(known, _, _)| *known == name).map(|(known, _, _)| *known)
}

/// Calls a function. The error says only why; the caller knows where.
pub(super) fn call(name: &str, args: &[Value], context: &Context<'_>) -> Result<Value, String> {
    if let Some((_, least, most)) = FUNCTIONS.iter().find(|(known, _, _)| *known == name) {
        let got = args.len();
        if least == most && got != *least {
            return Err(format!("wrong number of args for {name}: want {least} got {got}"));
        }
        if got < *least || got > *most {
            return Err(format!("wrong number of args for {name}: want at least {least} got {got}"));
        }
    }
    match name {
        "__line__" => Ok(Value::text(context.line)),
        "__timestamp__" => Ok(Value::Time(context.time)),
        "now" => Ok(Value::Time(context.now)),
        "default" => Ok(args.get(1).filter(|v| v.is_true()).unwrap_or(&args[0]).clone()),
        "not" => Ok(Value::Bool(!args[0].is_true())),
        "eq" => Ok(Value::Bool(args[1..].iter().any(|other| equal(&args[0], other)))),
        "ne" => Ok(Value::Bool(!equal(&args[0], &args[1]))),
        "lt" | "le" | "gt" | "ge" => compare(name, &args[0], &args[1]),
        "len" => length(&args[0]),
        "index" => Ok(args[1..].iter().fold(args[0].clone(), |value, key| match (&value, key) {
            (Value::List(list), key) => {
                usize::try_from(key.int()).ok().and_then(|at| list.get(at).cloned()).unwrap_or(Value::Missing)
            }
            (value, key) => value.field(&key.show()),
        })),
        "call" => Err("call of non-function".into()),
        "fromJson" => serde_json::from_str(&args[0].show())
            .map(Value::from_json)
            .map_err(|e| format!("error calling fromJson: {e}")),
        _ => match number(name, args).or_else(|| time(name, args)) {
            Some(result) => result,
            None => text_functions::call(name, args),
        },
    }
}

fn number(name: &str, args: &[Value]) -> Option<Result<Value, String>> {
    let ints = || args.iter().map(Value::int);
    let floats = || args.iter().map(Value::float);
    let chain = |next: fn(f64, f64) -> f64| Some(Ok(Value::Float(floats().reduce(next).unwrap_or(0.0))));
    let exact = |op: char| Some(Ok(Value::Float(floats().reduce(|a, b| decimal::calculate(op, a, b)).unwrap_or(0.0))));
    let int = |value: Option<i64>| Some(Ok(Value::Int(value.unwrap_or(0))));
    match name {
        "int" => int(Some(args[0].int())),
        "float64" => Some(Ok(Value::Float(args[0].float()))),
        "add" => int(ints().reduce(i64::wrapping_add)),
        "sub" => int(ints().reduce(i64::wrapping_sub)),
        "mul" => int(ints().reduce(i64::wrapping_mul)),
        "div" | "mod" => {
            let (left, right) = (args[0].int(), args[1].int());
            if right == 0 {
                return Some(Err(format!("error calling {name}: runtime error: integer divide by zero")));
            }
            int(Some(if name == "div" { left.wrapping_div(right) } else { left.wrapping_rem(right) }))
        }
        "max" => int(ints().max()),
        "min" => int(ints().min()),
        "addf" => exact('+'),
        "subf" => exact('-'),
        "mulf" => exact('*'),
        "divf" => exact('/'),
        "maxf" => chain(f64::max),
        "minf" => chain(f64::min),
        "ceil" => Some(Ok(Value::Float(args[0].float().ceil()))),
        "floor" => Some(Ok(Value::Float(args[0].float().floor()))),
        "round" => {
            let on = args.get(2).map_or(0.5, Value::float);
            let power = 10f64.powi(i32::try_from(args[1].int().clamp(-300, 300)).unwrap_or(0));
            let digit = power * args[0].float();
            let rounded = if digit.fract() >= on { digit.ceil() } else { digit.floor() };
            Some(Ok(Value::Float(rounded / power)))
        }
        "bytes" => Some(
            quantity::bytes(&args[0].show())
                .map(|size| Value::Float(size as f64))
                .map_err(|e| format!("error calling bytes: {e}")),
        ),
        "duration" | "duration_seconds" => {
            let parsed = quantity::go_duration(&args[0].show());
            Some(parsed.map(|ns| Value::Float(ns as f64 / 1e9)).map_err(|e| format!("error calling {name}: {e}")))
        }
        _ => None,
    }
}

fn time(name: &str, args: &[Value]) -> Option<Result<Value, String>> {
    let nanos = |value: &Value| match value {
        Value::Time(ns) => Ok(*ns),
        other => Err(format!("wrong type for value; expected time.Time; got {}", kind(other))),
    };
    Some(match name {
        "date" => match &args[1] {
            Value::Time(ns) => Ok(Value::Text(layout::format(&args[0].show(), *ns))),
            // Whole numbers are seconds here.
            Value::Int(seconds) => {
                Ok(Value::Text(layout::format(&args[0].show(), seconds.saturating_mul(1_000_000_000))))
            }
            other => nanos(other).map(Value::Time),
        },
        "toDate" => Ok(Value::Time(layout::parse(&args[0].show(), &args[1].show()).unwrap_or(YEAR_ONE))),
        "toDateInZone" => match args[1].show().as_str() {
            "UTC" | "" | "Local" => {
                Ok(Value::Time(layout::parse(&args[0].show(), &args[2].show()).unwrap_or(YEAR_ONE)))
            }
            zone => Err(format!("error calling toDateInZone: zone {zone} is not known here")),
        },
        "unixEpoch" => nanos(&args[0]).map(|ns| Value::text(ns.div_euclid(1_000_000_000).to_string())),
        "unixEpochMillis" => nanos(&args[0]).map(|ns| Value::text(ns.div_euclid(1_000_000).to_string())),
        "unixEpochNanos" => nanos(&args[0]).map(|ns| Value::text(ns.to_string())),
        "unixToTime" => unix_to_time(&args[0].show()),
        _ => return None,
    })
}

/// What stands for Go's zero time, which nanoseconds since 1970 can't hold.
const YEAR_ONE: i64 = i64::MIN;

/// The unit is known by how many digits there are.
fn unix_to_time(text: &str) -> Result<Value, String> {
    let fault = || format!("error calling unixToTime: unable to parse time '{text}'");
    let value: i64 = text.parse().map_err(|_| fault())?;
    let scale = match text.len() {
        5 => 86_400 * 1_000_000_000,
        10 => 1_000_000_000,
        13 => 1_000_000,
        16 => 1_000,
        19 => 1,
        _ => return Err(format!("error calling unixToTime: unable to parse time '{text}': unsupported length")),
    };
    value.checked_mul(scale).map(Value::Time).ok_or_else(fault)
}

fn length(value: &Value) -> Result<Value, String> {
    let length = match value {
        Value::Text(text) => text.len(),
        Value::List(list) => list.len(),
        Value::Map(map) => map.len(),
        other => return Err(format!("error calling len: len of type {}", kind(other))),
    };
    Ok(Value::Int(i64::try_from(length).unwrap_or(i64::MAX)))
}

fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Missing, Value::Text(text)) | (Value::Text(text), Value::Missing) => text.is_empty(),
        _ => left == right,
    }
}

fn compare(name: &str, left: &Value, right: &Value) -> Result<Value, String> {
    use std::cmp::Ordering;
    let order = match (left, right) {
        (Value::Text(a), Value::Text(b)) => a.cmp(b),
        (Value::Int(a), Value::Int(b)) => a.cmp(b),
        (Value::Float(a), Value::Float(b)) => a.partial_cmp(b).unwrap_or(Ordering::Greater),
        _ => return Err(format!("error calling {name}: incompatible types for comparison")),
    };
    Ok(Value::Bool(match name {
        "lt" => order.is_lt(),
        "le" => order.is_le(),
        "gt" => order.is_gt(),
        _ => order.is_ge(),
    }))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Missing => "nil",
        Value::Text(_) => "string",
        Value::Int(_) => "int",
        Value::Float(_) => "float64",
        Value::Bool(_) => "bool",
        Value::Time(_) => "time.Time",
        Value::List(_) => "[]interface {}",
        Value::Map(_) => "map[string]interface {}",
    }
}
