//! The symbol table of remote write 2.0.

use crate::error::DecodeError;
use crate::protobuf::Fields;
use xxhash_rust::xxh3::xxh3_128;

pub(super) const SYMBOLS: u32 = 4;

/// A table of more symbols is refused: two bytes on the wire take 40 in memory. Senders write some ten thousand.
const MAX_SYMBOLS: usize = 1 << 20;

/// The strings of a request, each with its hash, so that a series' key needs only the hashes of its symbols.
#[derive(Debug)]
pub(super) struct Symbols<'a>(Vec<Symbol<'a>>);

#[derive(Debug)]
struct Symbol<'a> {
    bytes: &'a [u8],
    hash: u128,
}

impl<'a> Symbols<'a> {
    pub fn read(body: &'a [u8]) -> Result<Symbols<'a>, DecodeError> {
        let mut symbols = Vec::new();
        let mut fields = Fields::new(body);
        while let Some(field) = fields.read()? {
            if field.number == SYMBOLS {
                if symbols.len() == MAX_SYMBOLS {
                    return Err(DecodeError::Protobuf { why: "the symbol table has over 1048576 symbols" });
                }
                let bytes = field.bytes()?;
                symbols.push(Symbol { bytes, hash: xxh3_128(bytes) });
            }
        }
        if symbols.first().is_some_and(|first| !first.bytes.is_empty()) {
            return Err(DecodeError::Protobuf { why: "the first symbol is not the empty string" });
        }
        Ok(Symbols(symbols))
    }

    /// The bytes of all of them, by their numbers.
    pub fn all(&self) -> impl Iterator<Item = &'a [u8]> {
        self.0.iter().map(|symbol| symbol.bytes)
    }

    pub fn text(&self, at: u64) -> Result<&'a str, DecodeError> {
        std::str::from_utf8(self.symbol(at)?.bytes).map_err(|_| DecodeError::Utf8)
    }

    pub fn hash(&self, at: u64) -> Result<u128, DecodeError> {
        self.symbol(at).map(|symbol| symbol.hash)
    }

    fn symbol(&self, at: u64) -> Result<&Symbol<'a>, DecodeError> {
        let symbol = usize::try_from(at).ok().and_then(|at| self.0.get(at));
        symbol.ok_or(DecodeError::Protobuf { why: "a reference points past the end of the symbol table" })
    }
}
