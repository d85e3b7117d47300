//! The values that template functions take and give.

use super::layout;

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// What a missing field gives: prints as nothing.
    Missing,
    Text(String),
    Int(i64),
    Float(f64),
    Bool(bool),
    /// Unix nanoseconds, UTC.
    Time(i64),
    List(Vec<Value>),
    /// Sorted by key.
    Map(Vec<(String, Value)>),
}

impl Value {
    pub fn text(text: impl Into<String>) -> Value {
        Value::Text(text.into())
    }

    /// As Go prints it.
    pub fn show(&self) -> String {
        match self {
            Value::Missing => String::new(),
            Value::Text(text) => text.clone(),
            Value::Int(value) => value.to_string(),
            Value::Float(value) => show_float(*value),
            Value::Bool(value) => value.to_string(),
            Value::Time(ns) => layout::show(*ns),
            Value::List(list) => {
                let list: Vec<String> = list.iter().map(Value::show).collect();
                format!("[{}]", list.join(" "))
            }
            Value::Map(map) => {
                let map: Vec<String> = map.iter().map(|(key, value)| format!("{key}:{}", value.show())).collect();
                format!("map[{}]", map.join(" "))
            }
        }
    }

    pub(crate) fn is_true(&self) -> bool {
        match self {
            Value::Missing => false,
            Value::Text(text) => !text.is_empty(),
            Value::Int(value) => *value != 0,
            Value::Float(value) => *value != 0.0,
            Value::Bool(value) => *value,
            Value::Time(_) => true,
            Value::List(list) => !list.is_empty(),
            Value::Map(map) => !map.is_empty(),
        }
    }

    /// As a whole number; what is none is 0.
    pub(crate) fn int(&self) -> i64 {
        match self {
            Value::Int(value) => *value,
            Value::Float(value) => *value as i64,
            Value::Bool(value) => i64::from(*value),
            Value::Text(text) => {
                text.trim().parse().or_else(|_| text.trim().parse::<f64>().map(|v| v as i64)).unwrap_or(0)
            }
            _ => 0,
        }
    }

    /// As a number; what is none is 0.
    pub(crate) fn float(&self) -> f64 {
        match self {
            Value::Int(value) => *value as f64,
            Value::Float(value) => *value,
            Value::Bool(value) => f64::from(*value),
            Value::Text(text) => crate::quantity::float(text.trim()).unwrap_or(0.0),
            _ => 0.0,
        }
    }

    /// The value of this name in a map.
    pub fn field(&self, name: &str) -> Value {
        match self {
            Value::Map(map) => {
                map.iter().find(|(key, _)| key == name).map_or(Value::Missing, |(_, value)| value.clone())
            }
            _ => Value::Missing,
        }
    }

    pub(crate) fn from_json(value: serde_json::Value) -> Value {
        match value {
            serde_json::Value::Null => Value::Missing,
            serde_json::Value::Bool(value) => Value::Bool(value),
            serde_json::Value::Number(value) => Value::Float(value.as_f64().unwrap_or(0.0)),
            serde_json::Value::String(text) => Value::Text(text),
            serde_json::Value::Array(list) => Value::List(list.into_iter().map(Value::from_json).collect()),
            serde_json::Value::Object(map) => {
                let mut map: Vec<(String, Value)> =
                    map.into_iter().map(|(key, value)| (key, Value::from_json(value))).collect();
                map.sort_by(|a, b| a.0.cmp(&b.0));
                Value::Map(map)
            }
        }
    }
}

/// Go's `%v` of a float: shortest digits, with an exponent from a million up and below a ten-thousandth.
pub(crate) fn show_float(value: f64) -> String {
    if !value.is_finite() || value == 0.0 {
        return if value == 0.0 { "0".into() } else { crate::quantity::show_float(value) };
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..6).contains(&exponent) {
        return format!("{value}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}
