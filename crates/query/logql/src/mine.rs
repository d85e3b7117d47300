//! Finds the templates of log lines: what many lines share, with `<_>` where they differ.
//!
//! Lines are cut into words at spaces. A word with a digit counts as one that differs from the start. A line joins the
//! template of as many words with which it shares the most of them, if that is at least [`SHARED`]; what differs
//! becomes `<_>`. Otherwise it begins a template, as long as there are fewer than [`MAX_TEMPLATES`].

use std::collections::{BTreeMap, HashMap};

/// The part of its words that a line must share with its template.
pub const SHARED: f64 = 0.6;
/// So many templates at most; lines that would begin another one are not counted.
pub const MAX_TEMPLATES: usize = 300;
/// Words of a line that are looked at; the rest is one `<_>`.
const MAX_WORDS: usize = 64;
const ANY: &str = "<_>";

/// A template, and how many lines had it by time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    words: Vec<String>,
    /// Lines by the beginning of their step.
    pub counts: BTreeMap<i64, u64>,
}

impl Template {
    /// As a LogQL pattern filter (`|>`) has it.
    pub fn text(&self) -> String {
        let mut words = self.words.clone();
        words.dedup_by(|a, b| a == ANY && b == ANY);
        words.join(" ")
    }

    pub fn lines(&self) -> u64 {
        self.counts.values().sum()
    }

    fn shared(&self, words: &[&str]) -> usize {
        self.words.iter().zip(words).filter(|(a, b)| a == *b).count()
    }
}

/// Learns templates from lines, one by one.
#[derive(Debug, Default)]
pub struct Miner {
    templates: Vec<Template>,
    /// Templates by their number of words.
    by_len: HashMap<usize, Vec<usize>>,
}

impl Miner {
    /// The number of the template that a line joins or begins; none if there are too many.
    pub fn learn(&mut self, line: &str) -> Option<usize> {
        let words = words(line);
        let alike = self.by_len.entry(words.len()).or_default();
        let best = alike.iter().map(|at| (self.templates[*at].shared(&words), *at)).max_by_key(|(shared, _)| *shared);
        match best {
            Some((shared, at)) if shared as f64 >= SHARED * words.len() as f64 => {
                let template = &mut self.templates[at];
                for (known, _) in template.words.iter_mut().zip(&words).filter(|(known, word)| known != *word) {
                    ANY.clone_into(known);
                }
                Some(at)
            }
            _ if self.templates.len() >= MAX_TEMPLATES => None,
            _ => {
                let owned = words.iter().map(|word| (*word).to_owned()).collect();
                self.templates.push(Template { words: owned, counts: BTreeMap::new() });
                alike.push(self.templates.len() - 1);
                alike.last().copied()
            }
        }
    }

    /// Counts lines of a template at the step that begins at `time`.
    pub fn count(&mut self, template: usize, time: i64, lines: u64) {
        *self.templates[template].counts.entry(time).or_default() += lines;
    }

    /// The templates, those of the most lines first.
    pub fn finish(mut self) -> Vec<Template> {
        self.templates.retain(|template| !template.counts.is_empty());
        self.templates.sort_by(|a, b| b.lines().cmp(&a.lines()).then_with(|| a.words.cmp(&b.words)));
        self.templates
    }
}

fn words(line: &str) -> Vec<&str> {
    let mut words: Vec<&str> = line
        .split_ascii_whitespace()
        .map(|word| if word.bytes().any(|byte| byte.is_ascii_digit()) { ANY } else { word })
        .take(MAX_WORDS + 1)
        .collect();
    if words.len() > MAX_WORDS {
        words[MAX_WORDS] = ANY;
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(miner: &mut Miner, time: i64, line: &str) {
        if let Some(template) = miner.learn(line) {
            miner.count(template, time, 1);
        }
    }

    fn check(lines: &[&str], want: &[(&str, u64)]) {
        let mut miner = Miner::default();
        lines.iter().for_each(|line| take(&mut miner, 0, line));
        let found = miner.finish();
        let found: Vec<(String, u64)> = found.iter().map(|t| (t.text(), t.lines())).collect();
        let want: Vec<(String, u64)> = want.iter().map(|(text, lines)| ((*text).to_owned(), *lines)).collect();
        assert_eq!(found, want);
    }

    #[test]
    fn what_lines_share_is_their_template() {
        check(&[], &[]);
        check(&["started"], &[("started", 1)]);
        check(&["GET /a took 12ms", "GET /b took 7ms", "GET /a took 1ms"], &[("GET <_> took <_>", 3)]);
        check(&["user ann logged in", "user bob logged in"], &[("user <_> logged in", 2)]);
        check(&["one two", "three four", "one two"], &[("one two", 2), ("three four", 1)]);
        check(&["a b c d", "a b c d e"], &[("a b c d", 1), ("a b c d e", 1)]);
        check(&["", "  "], &[("", 2)]);
        check(&["1 2 3 end"], &[("<_> end", 1)]);
    }

    #[test]
    fn there_is_a_bound_on_templates_and_words() {
        let mut miner = Miner::default();
        let name = |n: usize| ["", "a", "b", "c", "d", "e", "f", "g", "h", "i"][n].to_owned();
        for n in 0..1000 {
            let word = format!("{}-{}-{}", name(n / 100), name(n / 10 % 10), name(n % 10));
            take(&mut miner, 0, &word);
        }
        assert_eq!(miner.finish().len(), MAX_TEMPLATES);
        assert_eq!(words(&"word ".repeat(1000)).len(), MAX_WORDS + 1);
    }

    #[test]
    fn lines_are_counted_by_time() {
        let mut miner = Miner::default();
        [0, 10, 10].into_iter().for_each(|time| take(&mut miner, time, "same line"));
        assert_eq!(miner.finish()[0].counts, BTreeMap::from([(0, 1), (10, 2)]));
    }
}
