//! The addresses of a target, which take turns, as behind a Service.

use anyhow::bail;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// One URL at least, without slashes at the end.
#[derive(Debug)]
pub struct Urls {
    urls: Vec<String>,
    next: AtomicUsize,
}

impl Urls {
    /// These, or else the one that stands for all; `what` names the flag for the error.
    pub fn new(urls: &[String], target: Option<&String>, what: &str) -> anyhow::Result<Urls> {
        let chosen = if urls.is_empty() { target.map(std::slice::from_ref).unwrap_or_default() } else { urls };
        if chosen.is_empty() {
            bail!("neither {what} nor --target says where");
        }
        let urls = chosen.iter().map(|url| url.trim_end_matches('/').to_owned()).collect();
        Ok(Urls { urls, next: AtomicUsize::new(0) })
    }

    /// Another one for each request: what failed at one is tried at the next.
    pub fn next(&self) -> &str {
        &self.urls[self.next.fetch_add(1, Relaxed) % self.urls.len()]
    }

    /// All of them, for a person.
    pub fn text(&self) -> String {
        self.urls.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_take_turns_and_one_stands_for_all() {
        let given = ["http://a/".to_owned(), "http://b".to_owned()];
        let urls = Urls::new(&given, Some(&"http://c".to_owned()), "--push").expect("some");
        assert_eq!([urls.next(), urls.next(), urls.next()], ["http://a", "http://b", "http://a"]);
        let one = Urls::new(&[], Some(&"http://c/".to_owned()), "--push").expect("one");
        assert_eq!([one.next(), one.next()], ["http://c"; 2]);
        let error = Urls::new(&[], None, "--push").expect_err("none").to_string();
        assert!(error.contains("--push"), "{error}");
    }
}
