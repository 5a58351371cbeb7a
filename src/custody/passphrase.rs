//! Passphrases: made strong, or checked when chosen.

use rand::TryRng as _;
use rand::rngs::SysRng;
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use super::error::PassphraseError;

/// How many words a generated passphrase has. Each stands for 11 random bits, so twelve carry 132: guessing one is as hard
/// as guessing an AES-128 key, before scrypt makes each guess dear.
pub const WORDS: usize = 12;

/// The fewest characters of a passphrase that somebody chose.
pub const LEAST_CHARACTERS: usize = 12;

/// The most bytes of a passphrase.
pub const MOST_BYTES: usize = 1_024;

/// Makes a passphrase: [`WORDS`] words of the English list of BIP-39, each drawn on its own, joined by hyphens.
///
/// The list is the one that `age -p` draws from too: 2,048 common words of three to eight lower-case
/// letters, told apart by their first four. The result is no BIP-39 mnemonic: it has no checksum and derives no wallet.
pub fn generate() -> Result<SecretString, PassphraseError> {
    let words = bip39::Language::English.word_list();
    let mut random = Zeroizing::new([0_u8; WORDS * 2]);
    SysRng.try_fill_bytes(random.as_mut_slice()).map_err(|_| PassphraseError::NoRandomness)?;
    // Eight letters and a hyphen a word: the text never grows, so it leaves no copy behind.
    let mut text = Zeroizing::new(String::with_capacity(WORDS * 9));
    for pair in random.chunks_exact(2) {
        if !text.is_empty() {
            text.push('-');
        }
        // 65,536 is a multiple of the 2,048 words, so no word is likelier than another.
        text.push_str(words[usize::from(u16::from_be_bytes([pair[0], pair[1]])) % words.len()]);
    }
    Ok(SecretString::from(text.as_str()))
}

/// Checks a passphrase that somebody chose for a new compartment: [`LEAST_CHARACTERS`], at most [`MOST_BYTES`], and
/// nothing in it that can't be typed at a prompt, so that the ordinary `age` program can ask for it.
pub fn check(passphrase: &SecretString) -> Result<(), PassphraseError> {
    let text = passphrase.expose_secret();
    if text.len() > MOST_BYTES {
        return Err(PassphraseError::TooLong { most: MOST_BYTES });
    }
    if text.chars().any(char::is_control) {
        return Err(PassphraseError::Untypable);
    }
    if text.chars().count() < LEAST_CHARACTERS {
        return Err(PassphraseError::TooShort { least: LEAST_CHARACTERS });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn generated_ones_are_long_distinct_and_taken() {
        let first = generate().unwrap();
        let text = first.expose_secret();
        assert_eq!(text.split('-').count(), WORDS);
        assert!(text.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'));
        check(&first).unwrap();
        assert_ne!(text, generate().unwrap().expose_secret());
        assert!(bip39::Language::English.word_list().iter().all(|word| (3..=8).contains(&word.len())));
    }

    #[test]
    fn weak_and_untypable_ones_are_refused() {
        let refused = |text: &str| check(&SecretString::from(text)).unwrap_err();
        assert_eq!(refused(""), PassphraseError::TooShort { least: LEAST_CHARACTERS });
        assert_eq!(refused("elevenchars"), PassphraseError::TooShort { least: LEAST_CHARACTERS });
        assert_eq!(refused("a good long one\n"), PassphraseError::Untypable);
        assert_eq!(refused(&"x".repeat(MOST_BYTES + 1)), PassphraseError::TooLong { most: MOST_BYTES });
    }
}
