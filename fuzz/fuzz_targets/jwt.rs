//! Tokens from anywhere: they decode or the error says why not, and what decodes comes back the same when it is signed again.
//!
//! The input is a token as it is, and once more the claims of one: an issuer of ours signs them, whatever they say, so that
//! what lies behind the signature is reached too.
#![no_main]

use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cim_keys::keys::KeyKind;
use cim_keys::keys::pair::PrivateKey;
use cim_keys::events::NkeyKind;
use cim_keys::nats::claims::{Account, Activation, Body, GenericBody, Operator, User};
use cim_keys::nats::jwt;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        any_kind(text, false);
    }
    let Ok(Value::Object(mut claims)) = serde_json::from_slice(bytes) else { return };
    let (public, key) = issuer(claims.get("iss").and_then(Value::as_str).unwrap_or_default());
    claims.insert("iss".to_owned(), public.as_str().into());
    let exact = !has_float(&Value::Object(claims.clone()));
    let header = URL_SAFE_NO_PAD.encode(r#"{"typ":"JWT","alg":"ed25519-nkey"}"#);
    let mut token = format!("{header}.{}", URL_SAFE_NO_PAD.encode(serde_json::to_vec(&claims).unwrap()));
    let signature = key.sign(token.as_bytes()).unwrap();
    token.push('.');
    token.push_str(&URL_SAFE_NO_PAD.encode(signature));
    any_kind(&token, exact);
});

fn any_kind(token: &str, exact: bool) {
    let peeked = jwt::peek(token);
    assert_eq!(peeked.is_ok(), jwt::payload(token).is_ok());
    kind::<Operator>(token, exact);
    kind::<Account>(token, exact);
    kind::<User>(token, exact);
    kind::<Activation>(token, exact);
    kind::<GenericBody>(token, exact);
}

fn kind<B: Body + PartialEq + std::fmt::Debug>(token: &str, exact: bool) {
    let mut claims = match jwt::decode::<B>(token) {
        Ok(claims) => claims,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    if !exact || claims.registered.iat <= 0 {
        return;
    }
    // What is signed again says the same, but for the identifier, which is made anew.
    let (issuer, key) = issuer(&claims.registered.iss.clone());
    let again = jwt::sign(&mut claims, issuer, |bytes| key.sign(bytes)).unwrap();
    if again.len() <= jwt::MAX_LEN {
        assert_eq!(jwt::decode::<B>(&again).unwrap(), claims);
    }
}

/// An operator's or an account's key, by the first letter of what the claims name.
fn issuer(named: &str) -> &'static (String, PrivateKey) {
    static KEYS: OnceLock<[(String, PrivateKey); 2]> = OnceLock::new();
    let [operator, account] = KEYS.get_or_init(|| {
        [NkeyKind::Operator, NkeyKind::Account].map(|kind| {
            let key = PrivateKey::generate(KeyKind::Nkey(kind)).unwrap();
            (key.public().public_key.to_string(), key)
        })
    });
    if named.starts_with('O') { operator } else { account }
}

/// Numbers with a fraction may change in their last digit on their way.
fn has_float(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_f64(),
        Value::Array(items) => items.iter().any(has_float),
        Value::Object(fields) => fields.values().any(has_float),
        _ => false,
    }
}
