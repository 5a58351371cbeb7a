//! A head as words: the root of the tree in BIP-39's English list, to be written down, read out and compared.
//!
//! The 32 bytes of the root become 24 words, whose last one also carries a checksum. Any BIP-39 tool turns them back into
//! the bytes ("entropy"); nothing secret is in them. Four letters tell the words of that list apart.

use bip39::{Language, Mnemonic};

use super::tree::NodeHash;
use crate::advice::{Advice, ErrorKind, Explained};

/// How many words a root has.
const WORDS: usize = 24;

/// Why a text is not the words of a head.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidWords {
    /// It has another number of words.
    #[error("a head has {WORDS} words, and these are {0}")]
    Count(usize),
    /// One is not in the list, or begins several that are.
    #[error("word {number}, \"{}\", is not in the list", crate::text::visible(word))]
    Unknown {
        /// Which, from 1.
        number: usize,
        /// What was typed, cut to 16 characters.
        word: String,
    },
    /// They are all in the list, and one is wrong all the same.
    #[error("the words do not fit each other: one of them is another than was written down, or two changed places")]
    Checksum,
}

impl Explained for InvalidWords {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Usage
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::Count(_) => vec![Advice::Do("type all of them, separated by spaces")],
            Self::Unknown { .. } => vec![Advice::Do("type at least the first four letters of each word")],
            Self::Checksum => Vec::new(),
        }
    }
}

/// The words of a root, in lower case.
#[must_use]
pub fn words(root: &NodeHash) -> Vec<&'static str> {
    // 32 bytes are one of the lengths that BIP-39 has, so this can't fail.
    Mnemonic::from_entropy_in(Language::English, root)
        .map_or_else(|_| Vec::new(), |mnemonic| mnemonic.words().collect())
}

/// Reads words as somebody typed them: in any case, with any space between them, at least four letters of each.
///
/// # Errors
/// See [`InvalidWords`].
pub fn parse_words(text: &str) -> Result<NodeHash, InvalidWords> {
    let typed: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
    if typed.len() != WORDS {
        return Err(InvalidWords::Count(typed.len()));
    }
    let mut whole = Vec::with_capacity(WORDS);
    for (index, word) in typed.iter().enumerate() {
        let known = Language::English.word_list();
        let found = known.iter().find(|known| **known == word.as_str()).or_else(|| {
            let mut fitting =
                known.iter().filter(|known| word.chars().count() >= 4 && known.starts_with(word.as_str()));
            fitting.next().filter(|_| fitting.next().is_none())
        });
        let unknown = || InvalidWords::Unknown { number: index + 1, word: word.chars().take(16).collect() };
        whole.push(*found.ok_or_else(unknown)?);
    }
    let mnemonic =
        Mnemonic::parse_in_normalized(Language::English, &whole.join(" ")).map_err(|_| InvalidWords::Checksum)?;
    let (bytes, _) = mnemonic.to_entropy_array();
    bytes.first_chunk::<32>().copied().ok_or(InvalidWords::Checksum)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_root_comes_back_from_its_words_and_no_other_does() {
        // The vectors of BIP-39 itself (trezor/python-mnemonic, vectors.json), for 32 bytes.
        for (byte, last) in [(0x00, "art"), (0x7f, "title"), (0x80, "bless"), (0xff, "vote")] {
            let words = words(&[byte; 32]);
            assert_eq!((words.len(), *words.last().unwrap()), (24, last));
            assert_eq!(parse_words(&words.join(" ")).unwrap(), [byte; 32]);
            let short: Vec<String> = words.iter().map(|word| word.chars().take(4).collect::<String>()).collect();
            assert_eq!(parse_words(&format!("  {}\n", short.join("  ").to_uppercase())).unwrap(), [byte; 32]);
        }
        let root: NodeHash = std::array::from_fn(|n| (n * 7 + 3) as u8);
        let mut words = words(&root);
        assert_eq!(parse_words(&words[..23].join(" ")), Err(InvalidWords::Count(23)));
        words.swap(0, 1);
        assert_eq!(parse_words(&words.join(" ")), Err(InvalidWords::Checksum));
        words[4] = "cimkeys";
        let unknown = InvalidWords::Unknown { number: 5, word: "cimkeys".into() };
        assert_eq!(parse_words(&words.join(" ")), Err(unknown));
    }
}
