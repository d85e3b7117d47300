//! Holds label sets to a tenant's limits.

use crate::checked::shorten;
use crate::discard::Discard;
use model::labels::METRIC_NAME;
use tenancy::Limits;
use wire::error::DecodeError;
use wire::loki::LabelError;

/// Why a label set is refused; `None` when it is good.
pub type Complaint = Option<(Discard, String)>;

/// Checks labels in any order. `what` names the series for the text.
fn check_pairs<'a>(
    count: usize,
    pairs: impl Iterator<Item = (&'a str, &'a str)>,
    limits: &Limits,
    what: &dyn Fn() -> String,
) -> Complaint {
    if count > limits.max_label_names as usize {
        let most = limits.max_label_names;
        let text = format!("{} has {count} labels, the limit is {most} (limits.max_label_names)", what());
        return Some((Discard::TooManyLabels, text));
    }
    for (name, value) in pairs {
        let (longest, len) = (limits.max_label_name_length, name.len());
        if len > longest as usize {
            let name = shorten(name);
            let text = format!(
                "{} has the label name {name:?} of {len} bytes, the limit is {longest} (limits.max_label_name_length)",
                what()
            );
            return Some((Discard::LabelNameTooLong, text));
        }
        let (longest, len) = (limits.max_label_value_length, value.len());
        if len > longest as usize {
            let text = format!(
                "label {name:?} of {} has a value of {len} bytes, the limit is {longest} \
                 (limits.max_label_value_length)",
                what()
            );
            return Some((Discard::LabelValueTooLong, text));
        }
    }
    None
}

/// Checks the label text of a stream.
pub fn check_stream(text: &str, limits: &Limits) -> Complaint {
    let what = || format!("stream {}", shorten(text));
    let labels = match wire::loki::parse_labels(text) {
        Ok(labels) => labels,
        Err(error) => {
            let discard = match error {
                LabelError::Duplicate { .. } => Discard::DuplicateLabels,
                _ => Discard::InvalidLabels,
            };
            return Some((discard, format!("error parsing labels of stream {}: {error}", shorten(text))));
        }
    };
    if labels.is_empty() {
        let text = format!("{} has no labels: at least one label pair is required per stream", what());
        return Some((Discard::MissingLabels, text));
    }
    check_pairs(labels.len(), labels.iter(), limits, &what)
}

/// Reads the labels of a metric's series into `pairs`, in the order of their names; each may be there once. The outer
/// error says that the request cannot be read on.
pub fn read_series<'a>(
    labels: impl Iterator<Item = Result<(&'a str, &'a str), DecodeError>>,
    pairs: &mut Vec<(&'a str, &'a str)>,
) -> Result<Complaint, DecodeError> {
    pairs.clear();
    for pair in labels {
        match pair {
            Ok(pair) => pairs.push(pair),
            Err(DecodeError::Utf8) => {
                let text = format!("a label of series {} is not valid UTF-8", name_of(pairs));
                return Ok(Some((Discard::InvalidLabels, text)));
            }
            Err(error) => return Err(error),
        }
    }
    pairs.sort_unstable();
    Ok(pairs.windows(2).find(|two| two[0].0 == two[1].0).map(|twice| {
        let text = format!("series {} has the label {:?} twice", name_of(pairs), shorten(twice[0].0));
        (Discard::DuplicateLabels, text)
    }))
}

/// Checks the labels of a metric's series.
pub fn check_series(pairs: &[(&str, &str)], limits: &Limits) -> Complaint {
    if !pairs.iter().any(|(name, value)| *name == METRIC_NAME && !value.is_empty()) {
        let text = format!("series {} has no metric name ({METRIC_NAME})", name_of(pairs));
        return Some((Discard::MissingLabels, text));
    }
    if pairs.iter().any(|(name, _)| name.is_empty()) {
        return Some((Discard::InvalidLabels, format!("series {} has a label without a name", name_of(pairs))));
    }
    let what = || format!("series {}", name_of(pairs));
    check_pairs(pairs.len(), pairs.iter().copied(), limits, &what)
}

/// The series as it would be written, to recognize it by.
pub fn name_of(pairs: &[(&str, &str)]) -> String {
    let mut text = String::from("{");
    for (name, value) in pairs {
        if text.len() > 1200 {
            text.push_str(", …");
            break;
        }
        if text.len() > 1 {
            text.push_str(", ");
        }
        text.push_str(&shorten(name));
        text.push('=');
        wire::loki::quote(&mut text, &shorten(value));
    }
    text.push('}');
    shorten(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits { max_label_names: 3, max_label_name_length: 8, max_label_value_length: 5, ..Limits::default() }
    }

    #[test]
    fn streams_are_held_to_the_limits() {
        let check = |text: &str, words: &[&str]| match check_stream(text, &limits()) {
            None => assert!(words.is_empty(), "{text}: good, but {words:?} expected"),
            Some((_, found)) => {
                assert!(!words.is_empty() && words.iter().all(|w| found.contains(w)), "{text}: {found}")
            }
        };
        check(r#"{b="2", a="1"}"#, &[]);
        check("{}", &["at least one label pair is required per stream"]);
        check(r#"{a=""}"#, &["at least one label pair"]);
        check(r#"{a="1", a="2"}"#, &["\"a\" occurs twice", "stream {a="]);
        check(r#"{a="1"#, &["error parsing labels", "byte 3"]);
        check(r#"{a="1",b="1",c="1",d="1"}"#, &["has 4 labels", "3 (limits.max_label_names)"]);
        check(r#"{a23456789="1"}"#, &["a23456789", "9 bytes", "8 (limits.max_label_name_length)"]);
        check(r#"{a="123456"}"#, &["\"a\"", "6 bytes", "5 (limits.max_label_value_length)"]);
        let long = format!("{{a=\"{}\"}}", "x".repeat(100_000));
        assert!(check_stream(&long, &limits()).expect("refused").1.len() < 600, "an error does not repeat it all");
    }

    #[test]
    fn series_are_held_to_the_limits() {
        let check = |pairs: &[(&str, &str)], words: &[&str]| {
            let mut read = Vec::new();
            let found = read_series(pairs.iter().map(|p| Ok(*p)), &mut read).expect("reads");
            match found.or_else(|| check_series(&read, &limits())) {
                None => assert!(words.is_empty(), "{pairs:?}: good, but {words:?} expected"),
                Some((_, found)) => {
                    assert!(!words.is_empty() && words.iter().all(|w| found.contains(w)), "{pairs:?}: {found}")
                }
            }
        };
        check(&[("b", "2"), ("__name__", "up"), ("a", "")], &[]);
        check(&[("__name__", "ü p")], &[]);
        check(&[], &["no metric name", "series {}"]);
        check(&[("a", "1")], &["no metric name", "{a=\"1\"}"]);
        check(&[("__name__", "")], &["no metric name"]);
        check(&[("__name__", "up"), ("a", "1"), ("a", "2")], &["label \"a\" twice", "__name__=\"up\""]);
        check(&[("__name__", "up"), ("", "1")], &["without a name"]);
        check(&[("__name__", "up"), ("a", "1"), ("b", "1"), ("c", "1")], &["4 labels", "max_label_names"]);
        check(&[("__name__", "123456")], &["6 bytes", "max_label_value_length"]);
        let bad = [Ok(("__name__", "up")), Err(DecodeError::Utf8)];
        let found = read_series(bad.into_iter(), &mut Vec::new()).expect("reads");
        assert!(found.is_some_and(|(_, text)| text.contains("UTF-8") && text.contains("up")));
        assert!(read_series([Err(DecodeError::Truncated)].into_iter(), &mut Vec::new()).is_err());
    }
}
