//! Drafts the template of a JSON object: its scalars and arrays are slots, named by their path.

use super::template::{BARE_ENDS, Class, Draft, array_end, quoted_end};
use xxhash_rust::xxh3::xxh3_64_with_seed;

const MAX_DEPTH: usize = 16;
const MAX_SLOTS: usize = 256;

/// Takes a line apart that is one JSON object; false when it is not, or has too much in it. Only as strict as finding
/// the slots needs.
pub fn draft(line: &[u8], draft: &mut Draft) -> bool {
    object(line, 0, 1, 0, draft).is_some_and(|end| skip_spaces(line, end) == line.len())
}

fn skip_spaces(line: &[u8], mut at: usize) -> usize {
    while matches!(line.get(at), Some(b' ' | b'\t' | b'\r' | b'\n')) {
        at += 1;
    }
    at
}

/// The place after the object that starts at `at`.
fn object(line: &[u8], at: usize, path: u64, depth: usize, draft: &mut Draft) -> Option<usize> {
    if depth > MAX_DEPTH || line.get(at) != Some(&b'{') {
        return None;
    }
    let mut at = skip_spaces(line, at + 1);
    if line.get(at) == Some(&b'}') {
        return Some(at + 1);
    }
    loop {
        if line.get(at) != Some(&b'"') {
            return None;
        }
        let end = quoted_end(line, at + 1)?;
        let key = xxh3_64_with_seed(&line[at + 1..end], path);
        at = skip_spaces(line, end + 1);
        if line.get(at) != Some(&b':') {
            return None;
        }
        at = value(line, skip_spaces(line, at + 1), key, depth, draft)?;
        at = skip_spaces(line, at);
        match line.get(at)? {
            b',' => at = skip_spaces(line, at + 1),
            b'}' => return Some(at + 1),
            _ => return None,
        }
    }
}

/// The place after the value that starts at `at`.
fn value(line: &[u8], at: usize, key: u64, depth: usize, draft: &mut Draft) -> Option<usize> {
    if draft.len() >= MAX_SLOTS {
        return None;
    }
    match line.get(at)? {
        b'{' => object(line, at, key, depth + 1, draft),
        b'[' => {
            let end = array_end(line, at)?;
            draft.slot(at, end, Class::Array, key ^ 2);
            Some(end)
        }
        b'"' => {
            let end = quoted_end(line, at + 1)?;
            draft.slot(at + 1, end, Class::Quoted, key);
            Some(end + 1)
        }
        _ => {
            let len = line[at..].iter().position(|b| BARE_ENDS[usize::from(*b)])?;
            if len == 0 || line[at..at + len].iter().any(|b| matches!(b, b'"' | b'{' | b'[' | b':')) {
                return None;
            }
            draft.slot(at, at + len, Class::Bare, key ^ 1);
            Some(at + len)
        }
    }
}
