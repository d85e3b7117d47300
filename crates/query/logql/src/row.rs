//! One log line on its way through the stages, with its labels by where they came from.

use model::{Labels, LogPage};
use std::borrow::Cow;

pub(crate) const ERROR: &str = "__error__";
pub(crate) const ERROR_DETAILS: &str = "__error_details__";

type Text<'p> = Cow<'p, str>;

/// A line and its labels. The buffers live as long as a page, so that most rows allocate nothing.
pub(crate) struct Row<'p> {
    pub time: i64,
    pub line: Text<'p>,
    page: &'p [(&'p str, &'p str)],
    stream: Vec<(&'p str, &'p str)>,
    stream_changed: bool,
    metadata: Vec<(Text<'p>, Text<'p>)>,
    parsed: Vec<Parsed<'p>>,
    error: Option<Text<'static>>,
    details: String,
}

struct Parsed<'p> {
    name: Text<'p>,
    value: Text<'p>,
    /// Set by a parser: of two values that parsers find for one name, the first stays.
    extracted: bool,
}

impl<'p> Row<'p> {
    pub(crate) fn new(page: &'p [(&'p str, &'p str)]) -> Row<'p> {
        Row {
            time: 0,
            line: Cow::Borrowed(""),
            page,
            stream: page.to_vec(),
            stream_changed: false,
            metadata: Vec::new(),
            parsed: Vec::new(),
            error: None,
            details: String::new(),
        }
    }

    /// Makes this the given row of its page, as no stage has seen it yet.
    pub(crate) fn load(&mut self, page: &'p LogPage, at: usize) {
        self.begin(page.times[at], page.line(at));
        for (name, value) in page.metadata(at).into_iter().flatten() {
            let name = if self.page.iter().any(|(n, _)| *n == name) { extracted(name) } else { Cow::Borrowed(name) };
            self.metadata.push((name, Cow::Borrowed(value)));
        }
    }

    /// Makes this a row of its page without metadata, as no stage has seen it yet.
    pub(crate) fn begin(&mut self, time: i64, line: &'p str) {
        self.time = time;
        self.line = Cow::Borrowed(line);
        if self.stream_changed {
            self.stream.clear();
            self.stream.extend_from_slice(self.page);
            self.stream_changed = false;
        }
        self.metadata.clear();
        self.parsed.clear();
        self.error = None;
        self.details.clear();
    }

    /// The value of a label; an absent one has none.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        match name {
            ERROR => return self.error.as_deref(),
            ERROR_DETAILS => return Some(self.details.as_str()).filter(|d| !d.is_empty()),
            _ => {}
        }
        let parsed = self.parsed.iter().find(|p| p.name == name).map(|p| p.value.as_ref());
        parsed
            .or_else(|| self.metadata.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_ref()))
            .or_else(|| self.stream.iter().find(|(n, _)| *n == name).map(|(_, v)| *v))
    }

    /// What a parser found in the line. A name that the stream or the metadata has gets the suffix `_extracted`.
    pub(crate) fn extract(&mut self, name: Text<'p>, value: Text<'p>) {
        let taken = self.page.iter().any(|(n, _)| *n == name) || self.metadata.iter().any(|(n, _)| *n == name);
        let name = if taken { extracted(&name) } else { name };
        if !self.parsed.iter().any(|p| p.extracted && p.name == name) {
            self.put(name, value, true);
        }
    }

    /// Sets a label, whatever had its name before.
    pub(crate) fn set(&mut self, name: &str, value: String) {
        match name {
            ERROR => self.error = Some(Cow::Owned(value)),
            ERROR_DETAILS => self.details = value,
            _ => self.put(Cow::Owned(name.to_owned()), Cow::Owned(value), false),
        }
    }

    fn put(&mut self, name: Text<'p>, value: Text<'p>, extracted: bool) {
        if let Some(old) = self.parsed.iter_mut().find(|p| p.name == name) {
            old.value = value;
            old.extracted |= extracted;
            return;
        }
        self.metadata.retain(|(n, _)| *n != name);
        self.forget_stream(&name);
        self.parsed.push(Parsed { name, value, extracted });
    }

    fn forget_stream(&mut self, name: &str) {
        if let Some(at) = self.stream.iter().position(|(n, _)| *n == name) {
            self.stream.remove(at);
            self.stream_changed = true;
        }
    }

    pub(crate) fn remove(&mut self, name: &str) {
        match name {
            ERROR => self.error = None,
            ERROR_DETAILS => self.details.clear(),
            _ => {
                self.forget_stream(name);
                self.metadata.retain(|(n, _)| n != name);
                self.parsed.retain(|p| p.name != name);
            }
        }
    }

    /// Leaves only the labels for which `keep` says yes; errors stay.
    pub(crate) fn retain(&mut self, keep: impl Fn(&str, &str) -> bool) {
        let before = self.stream.len();
        self.stream.retain(|(n, v)| keep(n, v));
        self.stream_changed |= self.stream.len() != before;
        self.metadata.retain(|(n, v)| keep(n, v));
        self.parsed.retain(|p| keep(&p.name, &p.value));
    }

    pub(crate) fn has_error(&self) -> bool {
        self.error.as_ref().is_some_and(|e| !e.is_empty())
    }

    pub(crate) fn error(&self) -> &str {
        self.error.as_deref().unwrap_or("")
    }

    /// Marks the line as one that a stage could not handle.
    pub(crate) fn fail(&mut self, error: &'static str, details: String) {
        self.error = Some(Cow::Borrowed(error));
        self.details = details;
    }

    /// Whether the labels are still those of the page.
    pub(crate) fn has_page_labels(&self) -> bool {
        !self.stream_changed
            && self.metadata.is_empty()
            && self.parsed.is_empty()
            && self.error.is_none()
            && self.details.is_empty()
    }

    /// All labels that have a value, in no order.
    pub(crate) fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        let stream = self.stream.iter().map(|(n, v)| (*n, *v));
        stream.chain(self.metadata_labels()).chain(self.parsed_labels()).filter(|(_, v)| !v.is_empty())
    }

    pub(crate) fn metadata_labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.metadata.iter().map(|(n, v)| (n.as_ref(), v.as_ref()))
    }

    /// What stages added, errors among it.
    pub(crate) fn parsed_labels(&self) -> impl Iterator<Item = (&str, &str)> {
        let errors = [(ERROR, self.error()), (ERROR_DETAILS, self.details.as_str())];
        let parsed = self.parsed.iter().map(|p| (p.name.as_ref(), p.value.as_ref()));
        parsed.chain(errors).filter(|(_, v)| !v.is_empty())
    }

    /// All labels as one set.
    pub(crate) fn merged(&self) -> Labels {
        Labels::from_pairs(self.labels())
    }
}

fn extracted(name: &str) -> Cow<'static, str> {
    Cow::Owned(format!("{name}_extracted"))
}

/// A name as labels may have it: other characters become `_`, and so does nothing before a leading digit.
pub(crate) fn label_name(name: &str) -> Cow<'_, str> {
    let name = name.trim();
    let fits = |(at, b): (usize, u8)| b == b'_' || b.is_ascii_alphabetic() || (at > 0 && b.is_ascii_digit());
    if name.bytes().enumerate().all(fits) {
        return Cow::Borrowed(name);
    }
    let mut out = String::with_capacity(name.len() + 1);
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        out.push('_');
    }
    out.extend(name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }));
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (name, want) in [("a", "a"), ("foo.bar", "foo_bar"), ("1st", "_1st"), (" x ", "x"), ("é-", "__"), ("", "")]
        {
            assert_eq!(label_name(name), want);
        }
    }

    #[test]
    fn a_name_belongs_to_one_category() {
        let mut page = LogPage::new(Labels::from_pairs([("a", "s"), ("b", "s")]));
        page.push(1, "x", Labels::from_pairs([("a", "m"), ("c", "m")]));
        let labels: Vec<(&str, &str)> = page.labels.iter().collect();
        let mut row = Row::new(&labels);
        row.load(&page, 0);
        row.extract("a".into(), "p".into());
        row.extract("c".into(), "p".into());
        row.extract("d".into(), "p".into());
        row.extract("d".into(), "second".into());
        row.set("b", "f".into());
        assert_eq!(row.merged().to_string(), r#"{a="s", a_extracted="p", b="f", c="m", c_extracted="p", d="p"}"#);
        row.remove("a");
        row.load(&page, 0);
        assert_eq!(row.merged().to_string(), r#"{a="s", a_extracted="m", b="s", c="m"}"#);
    }
}
