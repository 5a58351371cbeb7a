//! Text that comes from people: validated where it enters, made harmless where it is shown.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use unicode_normalization::{UnicodeNormalization, is_nfc};

/// Reads a string from a deserializer, borrowed where the format allows it.
pub(crate) fn borrowed_or_owned<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Cow<'de, str>, D::Error> {
    struct Visitor;
    impl<'de> serde::de::Visitor<'de> for Visitor {
        type Value = Cow<'de, str>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string")
        }
        fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
            Ok(Cow::Borrowed(text))
        }
        fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
            Ok(Cow::Owned(text.to_owned()))
        }
        fn visit_string<E>(self, text: String) -> Result<Self::Value, E> {
            Ok(Cow::Owned(text))
        }
    }
    deserializer.deserialize_str(Visitor)
}

/// Whether a character would act on a terminal, hide, or reorder its neighbours instead of showing itself: control
/// characters, bidirectional marks and overrides (UAX #9), zero-width and other invisible format characters.
#[must_use]
pub fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{00ad}' | '\u{034f}' | '\u{061c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Untrusted text, ready to be shown on one line: every deceptive character ([`is_deceptive`]) as `\u{…}`, tab, line
/// feed and carriage return as `\t`, `\n`, `\r`.
#[must_use]
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_deceptive) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_deceptive(c) { out.extend(c.escape_default()) } else { out.push(c) }
    }
    Cow::Owned(out)
}

/// Whether a text holds what looks like a private key: PEM, an age identity, the seed of an nkey. Such a text is neither
/// recorded nor shown. The shortest of them has 58 characters, so that most texts are not even looked at.
#[must_use]
pub fn holds_secret(text: &str) -> bool {
    const SHORTEST: usize = 58;
    let seed = |word: &str| {
        word.len() == SHORTEST
            && word.starts_with('S')
            && word.bytes().all(|b| b.is_ascii_uppercase() || (b'2'..=b'7').contains(&b))
    };
    text.len() >= SHORTEST
        && (text.contains("PRIVATE KEY-----")
            || text.contains("AGE-SECRET-KEY-1")
            || text.contains("age-secret-key-1")
            || text.split(|c: char| !c.is_ascii_alphanumeric()).any(seed))
}

/// Why a text is not acceptable where it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct InvalidText {
    /// What was asked for, in words.
    pub kind: &'static str,
    /// The text that was given, cut to 80 characters.
    pub text: String,
    /// What is wrong with it, and what is allowed.
    pub reason: String,
}

impl InvalidText {
    pub(crate) fn new(kind: &'static str, text: &str, reason: impl Into<String>) -> Self {
        let shown = if looks_secret(text) {
            "(withheld: it looks like a secret)".into()
        } else {
            text.chars().take(80).collect()
        };
        Self { kind, text: shown, reason: reason.into() }
    }
}

/// Whether a text looks like a private key or a seed that was pasted in the wrong place, and must not be echoed.
fn looks_secret(text: &str) -> bool {
    let upper = text.to_ascii_uppercase();
    let seed = upper
        .as_bytes()
        .windows(58)
        .any(|w| w[0] == b'S' && w.iter().all(|b| b.is_ascii_uppercase() || (b'2'..=b'7').contains(b)));
    seed || upper.contains("PRIVATE KEY") || upper.contains("AGE-SECRET-KEY-")
}

impl fmt::Display for InvalidText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\" is no {}: {}", visible(&self.text), self.kind, self.reason)
    }
}

impl std::error::Error for InvalidText {}

macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident = $kind:literal, $parse:path;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// What this is called in messages.
            pub const KIND: &'static str = $kind;

            /// Checks a text and takes it.
            ///
            /// # Errors
            /// See [`InvalidText`].
            pub fn new(text: &str) -> Result<Self, InvalidText> {
                $parse(text).map(Self).map_err(|reason| InvalidText::new($kind, text, reason))
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({:?})", stringify!($name), self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidText;
            fn from_str(text: &str) -> Result<Self, InvalidText> {
                Self::new(text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                // A file that a person wrote is put into its one form; what is in an event must be in it already, or
                // the event that is read would not be the event that was written.
                let lenient = deserializer.is_human_readable();
                let text = borrowed_or_owned(deserializer)?;
                let value = Self::new(&text).map_err(D::Error::custom)?;
                if !lenient && value.0 != text {
                    let reason = format!("it would have to be written as \"{}\"", visible(&value.0));
                    return Err(D::Error::custom(InvalidText::new($kind, &text, reason)));
                }
                Ok(value)
            }
        }
    )+};
}

texts! {
    /// A name that people read: 1 to 200 characters in Unicode NFC, on one line, without deceptive characters
    /// ([`is_deceptive`]) and without space at either end. Text that is not in NFC is refused when it is decoded and
    /// normalised when it is typed ([`Name::typed`]).
    Name = "name", parse_name;
    /// Free text that people read: a reason, a description, a postal address. 1 to 2,000 characters in NFC; line feeds
    /// are allowed, other deceptive characters are not.
    Note = "text", parse_note;
    /// An e-mail address (RFC 5321 mailbox in ASCII, at most 254 bytes), its domain part in lower case.
    EmailAddress = "e-mail address", parse_email;
    /// A DNS host name (RFC 1123): lower case, labels of 1 to 63 letters, digits and inner hyphens, at most 253 bytes,
    /// no final dot.
    DnsName = "DNS name", parse_dns;
    /// One token of a NATS subject: 1 to 64 of `A-Z a-z 0-9 _ -`.
    SubjectToken = "subject token", parse_token;
    /// The beginning of a NATS subject: 1 to 8 tokens ([`SubjectToken`]) joined by dots, such as `cim.keys`.
    SubjectPrefix = "subject prefix", parse_prefix;
    /// What a role or a delegation allows: 1 to 8 tokens ([`SubjectToken`]) joined by dots, where the last may be `*`:
    /// `key.rotate`, `nats.account.*`.
    Permission = "permission", parse_permission;
    /// A free document: a policy, a set of JWT claims as canonical JSON. 1 byte to 1 MiB; kept as it is.
    Document = "document", parse_document;
    /// An absolute URL, at most 2,048 bytes of printable ASCII without space, with a scheme and without credentials.
    Url = "URL", parse_url;
    /// A public key in its standard text form: an nkey (`UABC…`), or the base64 (RFC 4648) of a DER
    /// SubjectPublicKeyInfo (RFC 5280), which `base64 -d | openssl pkey -pubin -inform DER` reads. Algorithm and encoding stand beside it.
    PublicKey = "public key", parse_public_key;
    /// Whom something is sealed to: an age recipient (`age1…`), or a curve key of NATS (`X…`).
    Recipient = "recipient", parse_recipient;
    /// Lower-case hexadecimal, 2 to 128 digits, an even number: a fingerprint, a serial number.
    Hex = "hexadecimal text", parse_hex;
    /// A distinguished name in text (RFC 4514): 1 to 1,000 characters on one line.
    DistinguishedName = "distinguished name", parse_dn;
    /// The name of a custody compartment, a stream or a bucket: 1 to 64 of `a-z A-Z 0-9 _ -`.
    Label = "label", parse_token;
}

impl Name {
    /// Takes what a person typed: trims it and puts it into NFC, then checks it.
    ///
    /// # Errors
    /// See [`InvalidText`].
    pub fn typed(text: &str) -> Result<Self, InvalidText> {
        Self::new(&text.trim().nfc().collect::<String>())
    }

    /// The key under which names compare: full case folding is not needed here, lower case in NFC tells apart what
    /// people tell apart.
    #[must_use]
    pub fn folded(&self) -> String {
        self.0.chars().flat_map(char::to_lowercase).nfc().collect()
    }
}

impl Recipient {
    /// Whether it is a curve key of NATS (`X…`) and no age recipient.
    #[must_use]
    pub fn is_curve_key(&self) -> bool {
        self.0.starts_with('X')
    }
}

impl Note {
    /// Takes what a person typed: trims it and puts it into NFC, then checks it.
    ///
    /// # Errors
    /// See [`InvalidText`].
    pub fn typed(text: &str) -> Result<Self, InvalidText> {
        Self::new(&text.trim().nfc().collect::<String>())
    }
}

fn parse_name(text: &str) -> Result<String, String> {
    check_prose(text, 200, is_deceptive)
}

fn parse_note(text: &str) -> Result<String, String> {
    check_prose(text, 2_000, |c| c != '\n' && is_deceptive(c))
}

fn check_prose(text: &str, longest: usize, refused: impl Fn(char) -> bool) -> Result<String, String> {
    if text.is_empty() {
        return Err("it is empty".into());
    }
    // Printable ASCII, which most text is, needs no look at characters.
    let plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    // Characters are at most four bytes: a cheap bound before anything that walks the text.
    if text.len() > longest * 4 || text.len() > longest && text.chars().count() > longest {
        return Err(format!("it is longer than {longest} characters"));
    }
    if text.trim() != text {
        return Err("it begins or ends with space".into());
    }
    if holds_secret(text) {
        return Err("it holds a private key, which never belongs into the ledger; keep that key in custody".into());
    }
    if plain {
        return Ok(text.to_owned());
    }
    if let Some(c) = text.chars().find(|&c| refused(c)) {
        return Err(format!("it contains the invisible or control character U+{:04X}", u32::from(c)));
    }
    if !is_nfc(text) {
        return Err("it is not in Unicode normalisation form C".into());
    }
    Ok(text.to_owned())
}

fn parse_email(text: &str) -> Result<String, String> {
    const ALLOWED: &str = "an address such as kim@example.org is needed";
    if !text.is_ascii() || text.len() > 254 {
        return Err(format!("{ALLOWED}, in ASCII and at most 254 bytes"));
    }
    let options = email_address::Options::default().without_display_text().without_domain_literal();
    let address =
        email_address::EmailAddress::parse_with_options(text, options).map_err(|e| format!("{ALLOWED} ({e})"))?;
    if text.contains('"') {
        return Err(format!("{ALLOWED}; quoted local parts are not taken"));
    }
    let domain = address.domain().to_ascii_lowercase();
    parse_dns(&domain).map_err(|reason| format!("its domain is not valid: {reason}"))?;
    Ok(format!("{}@{domain}", address.local_part()))
}

fn parse_dns(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > 253 {
        return Err("1 to 253 bytes are allowed".into());
    }
    for label in text.split('.') {
        let bytes = label.as_bytes();
        let inner = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
        if bytes.is_empty()
            || bytes.len() > 63
            || !bytes.iter().all(inner)
            || bytes[0] == b'-'
            || bytes[bytes.len() - 1] == b'-'
        {
            return Err(
                "labels of 1 to 63 lower-case letters, digits and inner hyphens, joined by dots, are allowed".into()
            );
        }
    }
    Ok(text.to_owned())
}

fn parse_token(text: &str) -> Result<String, String> {
    if (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') {
        Ok(text.to_owned())
    } else {
        Err("1 to 64 of the characters A-Z, a-z, 0-9, _ and - are allowed".into())
    }
}

fn parse_permission(text: &str) -> Result<String, String> {
    let stem = text.strip_suffix(".*").unwrap_or(text);
    if stem == "*" {
        return Ok(text.to_owned());
    }
    parse_prefix(stem)
        .map_err(|_| "1 to 8 tokens joined by dots are allowed, the last may be *: key.rotate, nats.account.*")?;
    Ok(text.to_owned())
}

fn parse_document(text: &str) -> Result<String, String> {
    match text.len() {
        0 => Err("it is empty".into()),
        1..=1_048_576 => Ok(text.to_owned()),
        n => Err(format!("it has {n} bytes, and 1,048,576 are allowed")),
    }
}

fn parse_url(text: &str) -> Result<String, String> {
    const ALLOWED: &str = "an absolute URL such as nats://n1.example:4222 is needed";
    if text.len() > 2_048 || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(format!("{ALLOWED}, at most 2,048 printable ASCII characters"));
    }
    let (scheme, rest) = text.split_once("://").ok_or(ALLOWED)?;
    if scheme.is_empty()
        || !scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'-' || b == b'.')
        || rest.is_empty()
    {
        return Err(ALLOWED.into());
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err("it carries credentials, which never belong in an event".into());
    }
    Ok(text.to_owned())
}

fn parse_public_key(text: &str) -> Result<String, String> {
    let base64 = |b: u8| b.is_ascii_alphanumeric() || b == b'+' || b == b'/' || b == b'=';
    if text.len() == 58 && text.starts_with('S') && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit()) {
        return Err("this is the seed of an nkey, which is secret and never belongs here".into());
    }
    if (40..=1_024).contains(&text.len()) && text.bytes().all(base64) {
        Ok(text.to_owned())
    } else {
        Err("an nkey or the base64 of a DER SubjectPublicKeyInfo is needed".into())
    }
}

fn parse_recipient(text: &str) -> Result<String, String> {
    let alphabet = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let age = text.starts_with("age1") && (8..=4_096).contains(&text.len()) && text.bytes().all(alphabet);
    // Whether the checksum of a curve key holds is seen where something is sealed to it.
    let curve = text.starts_with('X')
        && text.len() == 56
        && text.bytes().all(|b| b.is_ascii_uppercase() || matches!(b, b'2'..=b'7'));
    if age || curve {
        Ok(text.to_owned())
    } else {
        Err("a public age recipient, which begins with age1, or a public curve key of NATS (X…) is needed".into())
    }
}

fn parse_hex(text: &str) -> Result<String, String> {
    if (2..=128).contains(&text.len())
        && text.len().is_multiple_of(2)
        && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    {
        Ok(text.to_owned())
    } else {
        Err("2 to 128 lower-case hexadecimal digits, an even number, are allowed".into())
    }
}

fn parse_dn(text: &str) -> Result<String, String> {
    check_prose(text, 1_000, is_deceptive)
}

fn parse_prefix(text: &str) -> Result<String, String> {
    let tokens: Vec<_> = text.split('.').collect();
    if tokens.len() > 8 {
        return Err("at most 8 tokens are allowed".into());
    }
    for token in &tokens {
        parse_token(token).map_err(|reason| format!("in each token {reason}; tokens are joined by dots"))?;
    }
    if tokens[0].starts_with('$') || tokens[0] == "_INBOX" {
        return Err("the server keeps this prefix for itself".into());
    }
    Ok(text.to_owned())
}

/// The known word that a mistyped one probably meant.
#[must_use]
pub fn nearest<'k>(text: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let short: String = text.chars().take(80).collect();
    known
        .map(|candidate| (strsim::jaro_winkler(&short.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|(score, _)| *score > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names() {
        assert_eq!(Name::typed("  Zoe\u{0308} ").unwrap().as_str(), "Zoë");
        for bad in ["", " a", "a ", "a\nb", "a\u{202e}b", "a\u{1b}[31m", "Zoe\u{0308}", &"x".repeat(201), "\u{200b}"] {
            assert!(Name::new(bad).is_err(), "{bad:?}");
        }
        assert_eq!(Name::new("ÅSA").unwrap().folded(), Name::new("åsa").unwrap().folded());
    }

    #[test]
    fn errors_do_not_pass_escapes_through() {
        let error = Name::new("a\u{1b}]0;owned\u{7}").unwrap_err().to_string();
        assert!(!error.contains('\u{1b}') && error.contains("\\u{1b}"), "{error}");
    }

    #[test]
    fn private_keys_are_neither_taken_nor_shown() {
        let seed = format!("SU{}", "A2".repeat(28));
        let age = format!("AGE-SECRET-KEY-1{}", "Q".repeat(58));
        let pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA==\n-----END PRIVATE KEY-----";
        for secret in [seed.as_str(), &age, &age.to_lowercase(), pem] {
            for error in [
                Note::new(&format!("the key is ({secret})")).unwrap_err(),
                Name::new(secret).unwrap_err(),
                PublicKey::new(secret).unwrap_err(),
                EmailAddress::new(secret).unwrap_err(),
                Label::new(&format!("{secret} ")).unwrap_err(),
            ] {
                assert!(!error.to_string().contains(&secret[20..40]), "{error}");
            }
        }
        assert!(!holds_secret(&"a note about a PRIVATE KEY, and nothing more than that ".repeat(3)));
    }

    #[test]
    fn addresses() {
        assert_eq!(EmailAddress::new("Kim@Example.ORG").unwrap().as_str(), "Kim@example.org");
        for bad in [
            "",
            "kim",
            "kim@",
            "@x.org",
            "Kim <kim@x.org>",
            "kim@[127.0.0.1]",
            "kim@-x.org",
            "kim@x..org",
            "k im@x.org",
            "kïm@x.org",
            "\"a b\"@x.org",
        ] {
            assert!(EmailAddress::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn dns_names_and_tokens() {
        assert!(DnsName::new("n1.acme.example").is_ok());
        for bad in ["", ".", "a.", "-a.b", "a_b.c", "A.b", &"a".repeat(64), &"a.".repeat(127)] {
            assert!(DnsName::new(bad).is_err(), "{bad}");
        }
        assert!(SubjectPrefix::new("cim.keys").is_ok());
        for bad in ["", "cim.", "cim..keys", "cim.*", "cim.>", "$SYS.x", "_INBOX.a", "a.b.c.d.e.f.g.h.i", "a b"] {
            assert!(SubjectPrefix::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_shown_is_visible() {
        assert_eq!(visible("plain ü 水"), "plain ü 水");
        assert_eq!(visible("a\tb\u{202e}c\u{1b}[0m"), "a\\tb\\u{202e}c\\u{1b}[0m");
    }
}
