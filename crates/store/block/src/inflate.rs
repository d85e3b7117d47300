//! Inflates what zstd packed, with one context a thread: to make one takes longer than to inflate a small frame.

use std::cell::RefCell;
use std::io;
use zstd::bulk::Decompressor;

thread_local! {
    static CONTEXT: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// At most `most` bytes, for which it makes room at once; an error where there are more, or where it is not zstd's.
pub fn inflate(packed: &[u8], most: usize) -> io::Result<Vec<u8>> {
    CONTEXT.with_borrow_mut(|context| match context {
        Some(context) => context.decompress(packed, most),
        None => context.insert(Decompressor::new()?).decompress(packed, most),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_does_no_harm_to_what_comes_after_it() {
        let packed = zstd::bulk::compress(&[7; 1000], 1).expect("packs");
        for _ in 0..2 {
            assert_eq!(inflate(&packed, 1000).expect("inflates"), [7; 1000]);
            assert!(inflate(&packed, 999).is_err());
            assert!(inflate(&packed[..packed.len() - 1], 1000).is_err());
            assert!(inflate(b"something else", 1000).is_err());
        }
    }
}
