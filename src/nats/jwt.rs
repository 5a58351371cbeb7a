//! Signed tokens: `header.payload.signature`, base64url without padding (RFC 7519, RFC 4648), signed by an nkey.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use data_encoding::BASE32_NOPAD;
use serde::Deserialize;
use sha2::{Digest as _, Sha512_256};

use super::claims::{Body, Claims, Registered};
use crate::keys::check_public_nkey;
use crate::text::visible;

/// The largest token that is read, in bytes; the server's own bound.
pub const MAX_LEN: usize = 1024 * 1024;
/// The version of the claims that is written; tokens of a higher one are refused.
pub const VERSION: i64 = 2;

const HEADER: &str = r#"{"typ":"JWT","alg":"ed25519-nkey"}"#;

/// Why claims could not be made a token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// The subject is not a public key of the kind that such a token is about.
    #[error("the subject \"{}\" is no public key that a token of kind {kind} can be about", visible(subject))]
    Subject {
        /// The subject.
        subject: String,
        /// The kind of token.
        kind: &'static str,
    },
    /// The issuer's kind of key may not sign such a token.
    #[error("the key {issuer} may not sign a token of kind {kind}: {needed} is needed")]
    Issuer {
        /// The issuer's public key.
        issuer: String,
        /// The kind of token.
        kind: &'static str,
        /// Which kinds of key may.
        needed: String,
    },
    /// It holds what is recorded of a token, and servers need the token.
    #[error("the text of an activation is missing")]
    Incomplete,
    /// `iat` is not set: two tokens without it could not be told apart by age.
    #[error("the time of issue is not set")]
    IssuedAt,
    /// The key did not sign.
    #[error("the key {issuer} did not sign: {reason}")]
    Key {
        /// The issuer's public key.
        issuer: String,
        /// What it said.
        reason: String,
    },
    /// The claims do not encode.
    #[error("the claims do not encode: {0}")]
    Encode(#[from] serde_json::Error),
}

/// Why a text is not a token that can be believed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// It is not `header.payload.signature`, or longer than [`MAX_LEN`].
    #[error("this is no JWT: {0}")]
    Form(&'static str),
    /// The header asks for another algorithm.
    #[error("the JWT is signed with \"{}\", and only ed25519-nkey is taken", visible(.0))]
    Algorithm(String),
    /// The payload is not what its kind holds.
    #[error("the JWT's claims do not read: {}", visible(&.0.to_string()))]
    Claims(#[from] serde_json::Error),
    /// A newer version than [`VERSION`].
    #[error("the JWT has version {0}, and this release reads up to 2: take a newer release")]
    Version(i64),
    /// Another kind of token was expected.
    #[error("the JWT is of kind \"{}\", and {expected} was expected", visible(found))]
    Kind {
        /// What it is.
        found: String,
        /// What was expected.
        expected: &'static str,
    },
    /// Subject or issuer are not keys of a fitting kind.
    #[error("\"{}\" is no fitting key for the {role} of such a JWT", visible(key))]
    Key {
        /// Subject or issuer.
        role: &'static str,
        /// What stands there.
        key: String,
    },
    /// The signature is not the issuer's.
    #[error("the JWT's signature is not that of its issuer {0}: it was changed, or cut off")]
    Signature(String),
}

/// The kind and the registered claims of a token, whatever kind it is. Nothing is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peek {
    /// The registered claims.
    pub registered: Registered,
    /// `nats.type`.
    pub kind: String,
}

/// `jti` of registered claims: base32 without padding of SHA-512/256 over their JSON with an empty `jti`.
///
/// The body is not part of it: two edits within one second of issue share one.
///
/// # Errors
/// When the claims do not encode, which strings and numbers always do.
pub fn jti(registered: &Registered) -> Result<String, serde_json::Error> {
    let json = serde_json::to_vec(&Registered { jti: String::new(), ..registered.clone() })?;
    Ok(BASE32_NOPAD.encode(&Sha512_256::digest(json)))
}

/// Signs claims. Sets `iss`, `jti`, `nats.type` and `nats.version`; `sub` and `iat` must be set.
///
/// `sign` gets the bytes to be signed and returns the 64 bytes of the Ed25519 signature by `issuer`'s key.
///
/// # Errors
/// See [`SignError`].
pub fn sign<B: Body, E: std::fmt::Display>(
    claims: &mut Claims<B>,
    issuer: &str,
    sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>,
) -> Result<String, SignError> {
    let unsigned = prepare(claims, issuer)?;
    let signature = sign(unsigned.bytes());
    let signature = signature.map_err(|e| SignError::Key { issuer: issuer.to_owned(), reason: e.to_string() })?;
    Ok(unsigned.signed(&signature))
}

/// A token without its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsigned(String);

impl Unsigned {
    /// The bytes to be signed.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The token with its signature: the 64 bytes of an Ed25519 signature.
    #[must_use]
    pub fn signed(&self, signature: &[u8]) -> String {
        let mut token = self.0.clone();
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        token
    }
}

/// Sets what a token is known by: `iss`, `jti`, `nats.type` and `nats.version`.
///
/// # Errors
/// When the claims do not encode.
pub fn identify<B: Body>(claims: &mut Claims<B>, issuer: &str) -> Result<(), SignError> {
    claims.registered.iss = issuer.to_owned();
    claims.registered.jti = jti(&claims.registered)?;
    claims.nats.generic_mut().kind = B::KIND.to_owned();
    claims.nats.generic_mut().version = VERSION;
    Ok(())
}

/// Makes everything of a token but its signature. Sets `iss`, `jti`, `nats.type` and `nats.version`; `sub` and `iat` must be
/// set.
///
/// # Errors
/// See [`SignError`].
pub fn prepare<B: Body>(claims: &mut Claims<B>, issuer: &str) -> Result<Unsigned, SignError> {
    if !is_public_key(&claims.registered.sub, B::SUBJECT) {
        return Err(SignError::Subject { subject: claims.registered.sub.clone(), kind: B::KIND });
    }
    if !is_public_key(issuer, B::ISSUERS) {
        let needed = B::ISSUERS.iter().map(|c| format!("{c}…")).collect::<Vec<_>>().join(" or ");
        return Err(SignError::Issuer { issuer: issuer.to_owned(), kind: B::KIND, needed });
    }
    if claims.registered.iat <= 0 {
        return Err(SignError::IssuedAt);
    }
    if !claims.nats.is_for_servers() {
        return Err(SignError::Incomplete);
    }
    identify(claims, issuer)?;
    let mut token = URL_SAFE_NO_PAD.encode(HEADER);
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(serde_json::to_vec(claims)?, &mut token);
    Ok(Unsigned(token))
}

/// Reads a token of a known kind and checks its signature against its own issuer. Whether that issuer is to be trusted,
/// and whether the token is good at some time, is for the caller to say.
///
/// # Errors
/// See [`DecodeError`].
pub fn decode<B: Body>(token: &str) -> Result<Claims<B>, DecodeError> {
    let (payload, _) = verified(token)?;
    let found = peek_payload(&payload)?;
    if found.kind != B::KIND {
        return Err(DecodeError::Kind { found: found.kind, expected: B::KIND });
    }
    if !is_public_key(&found.registered.sub, B::SUBJECT) {
        return Err(DecodeError::Key { role: "subject", key: found.registered.sub });
    }
    if !is_public_key(&found.registered.iss, B::ISSUERS) {
        return Err(DecodeError::Key { role: "issuer", key: found.registered.iss });
    }
    let claims: Claims<B> = serde_json::from_slice(&payload)?;
    if !claims.nats.is_for_servers() {
        return Err(DecodeError::Form("an activation in it is no text"));
    }
    Ok(claims)
}

/// Reads what every token says, and checks its signature against its own issuer.
///
/// # Errors
/// See [`DecodeError`].
pub fn peek(token: &str) -> Result<Peek, DecodeError> {
    let (payload, _) = verified(token)?;
    peek_payload(&payload)
}

/// The claims of a token as they stand in it, signature checked: for showing and for keeping what is not known.
///
/// # Errors
/// See [`DecodeError`].
pub fn payload(token: &str) -> Result<serde_json::Value, DecodeError> {
    let (payload, _) = verified(token)?;
    Ok(serde_json::from_slice(&payload)?)
}

/// Whether a text is a public nkey of one of the kinds, by its first letter.
#[must_use]
pub fn is_public_key(text: &str, kinds: &[char]) -> bool {
    text.chars().next().is_some_and(|first| kinds.contains(&first)) && check_public_nkey(text).is_ok()
}

fn verified(token: &str) -> Result<(Vec<u8>, String), DecodeError> {
    if token.len() > MAX_LEN {
        return Err(DecodeError::Form("it is longer than 1 MiB"));
    }
    let mut parts = token.split('.');
    let (Some(header), Some(payload), Some(signature), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(DecodeError::Form("three parts joined by dots are needed"));
    };
    let bytes = |part: &str| {
        URL_SAFE_NO_PAD.decode(part).map_err(|_| DecodeError::Form("its parts must be base64url without padding"))
    };
    #[derive(Deserialize)]
    struct Header {
        #[serde(default)]
        typ: String,
        #[serde(default)]
        alg: String,
    }
    let header_bytes = bytes(header)?;
    let parsed: Header = serde_json::from_slice(&header_bytes)?;
    if !parsed.typ.eq_ignore_ascii_case("jwt") || parsed.alg != "ed25519-nkey" {
        return Err(DecodeError::Algorithm(parsed.alg.chars().take(40).collect()));
    }
    let payload_bytes = bytes(payload)?;
    let signature = bytes(signature)?;
    let found = peek_payload(&payload_bytes)?;
    let issuer = found.registered.iss;
    let no_key = || DecodeError::Key { role: "issuer", key: issuer.chars().take(80).collect() };
    let (_, bytes) = check_public_nkey(&issuer).map_err(|_| no_key())?;
    let key = ed25519_dalek::VerifyingKey::from_bytes(&bytes).map_err(|_| no_key())?;
    let signed = &token.as_bytes()[..header.len() + 1 + payload.len()];
    let genuine = ed25519_dalek::Signature::from_slice(&signature).and_then(|s| key.verify_strict(signed, &s));
    genuine.map_err(|_| DecodeError::Signature(issuer.clone()))?;
    Ok((payload_bytes, issuer))
}

fn peek_payload(payload: &[u8]) -> Result<Peek, DecodeError> {
    #[derive(Deserialize)]
    struct Any {
        #[serde(flatten)]
        registered: Registered,
        #[serde(default)]
        nats: Kind,
    }
    #[derive(Default, Deserialize)]
    struct Kind {
        #[serde(default, rename = "type")]
        kind: String,
        #[serde(default)]
        version: i64,
    }
    let any: Any = serde_json::from_slice(payload)?;
    if any.nats.version > VERSION {
        return Err(DecodeError::Version(any.nats.version));
    }
    Ok(Peek { registered: any.registered, kind: any.nats.kind })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::claims::{Account, AccountLimits, Operator, User, UserPermissions};
    use super::*;
    use nkeys::KeyPair;

    fn claims<B>(subject: &KeyPair, name: &str, nats: B) -> Claims<B> {
        let registered =
            Registered { sub: subject.public_key(), name: name.into(), iat: 1_700_000_000, ..Registered::default() };
        Claims { registered, nats }
    }

    #[test]
    fn what_is_signed_decodes_to_the_same_claims() {
        let (operator, account) = (KeyPair::new_operator(), KeyPair::new_account());
        let mut made = claims(&account, "A", Account { limits: AccountLimits::unlimited(), ..Account::default() });
        let token = sign(&mut made, &operator.public_key(), |bytes| operator.sign(bytes)).unwrap();
        assert_eq!(decode::<Account>(&token).unwrap(), made);
        assert_eq!(peek(&token).unwrap().kind, "account");
        assert!(matches!(decode::<User>(&token), Err(DecodeError::Kind { .. })));
    }

    #[test]
    fn the_wrong_keys_do_not_sign() {
        let (operator, account, user) = (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_user());
        let mut made = claims(&user, "u", User { permissions: UserPermissions::unlimited(), ..User::default() });
        let result = sign(&mut made, &operator.public_key(), |bytes| operator.sign(bytes));
        assert!(matches!(result, Err(SignError::Issuer { .. })));
        let mut made = claims(&account, "O", Operator::default());
        let result = sign(&mut made, &operator.public_key(), |bytes| operator.sign(bytes));
        assert!(matches!(result, Err(SignError::Subject { .. })));
    }

    #[test]
    fn any_change_of_a_token_is_found() {
        let operator = KeyPair::new_operator();
        let mut made = claims(&operator, "O", Operator::default());
        let token = sign(&mut made, &operator.public_key(), |bytes| operator.sign(bytes)).unwrap();
        for at in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(changed == token || decode::<Operator>(&changed).is_err(), "byte {at}");
        }
        for bad in ["", ".", "..", "a.b", "a.b.c", "a.b.c.d", &"a".repeat(MAX_LEN + 1)] {
            assert!(decode::<Operator>(bad).is_err());
        }
    }

    #[test]
    fn a_generic_token_that_was_read_is_signed_again_as_it_was() {
        use super::super::claims::GenericBody;
        let operator = KeyPair::new_operator();
        let mut nats = GenericBody::default();
        nats.fields.insert("accounts".into(), serde_json::json!(["A"]));
        let mut made = claims(&operator, "O", nats);
        let token = sign(&mut made, &operator.public_key(), |bytes| operator.sign(bytes)).unwrap();
        let mut read = decode::<GenericBody>(&token).unwrap();
        assert_eq!(read, made);
        let again = sign(&mut read, &operator.public_key(), |bytes| operator.sign(bytes)).unwrap();
        assert_eq!(decode::<GenericBody>(&again).unwrap(), made);
    }

    #[test]
    fn unknown_fields_are_kept() {
        let mut nats = User { permissions: UserPermissions::unlimited(), ..User::default() };
        nats.extra.insert("of_tomorrow".into(), serde_json::json!({"a": 1}));
        let (account, user) = (KeyPair::new_account(), KeyPair::new_user());
        let mut made = claims(&user, "u", nats);
        let token = sign(&mut made, &account.public_key(), |bytes| account.sign(bytes)).unwrap();
        let read = decode::<User>(&token).unwrap();
        assert_eq!(read.nats.extra.len(), 1, "{:?}", read.nats.extra);
        assert_eq!(read, made);
    }
}
