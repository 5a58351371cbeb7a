//! Credentials from anywhere: they read or the error says why not, without a word of the file; what reads is written and
//! reads again.
//!
//! The input is a file as it is, and once more a file in which `$JWT` and `$SEED` stand for a token and its seed.
#![no_main]

use std::sync::OnceLock;

use cim_keys::events::NkeyKind;
use cim_keys::keys::KeyKind;
use cim_keys::keys::pair::PrivateKey;
use cim_keys::nats::claims::{Claims, Registered, User, UserPermissions};
use cim_keys::nats::creds::Creds;
use cim_keys::nats::jwt;
use libfuzzer_sys::fuzz_target;
use secrecy::ExposeSecret as _;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    reads(text);
    if text.contains('$') && text.len() < 16 * 1024 {
        let (token, seed) = made();
        reads(&text.replace("$JWT", token).replace("$SEED", seed));
    }
});

fn reads(text: &str) {
    let (_, seed) = made();
    let creds = match Creds::parse(text) {
        Ok(creds) => creds,
        Err(error) => {
            let told = error.to_string();
            return assert!(!told.is_empty() && !told.contains(seed.as_str()));
        }
    };
    let again = Creds::parse(&creds.to_text()).unwrap();
    assert_eq!(again.token, creds.token);
    assert_eq!(again.seed.expose_secret(), creds.seed.expose_secret());
}

/// A user's token and seed.
fn made() -> &'static (String, String) {
    static MADE: OnceLock<(String, String)> = OnceLock::new();
    MADE.get_or_init(|| {
        let account = PrivateKey::generate(KeyKind::Nkey(NkeyKind::Account)).unwrap();
        let user = PrivateKey::generate(KeyKind::Nkey(NkeyKind::User)).unwrap();
        let registered =
            Registered { sub: user.public().public_key.to_string(), iat: 1, ..Registered::default() };
        let nats = User { permissions: UserPermissions::unlimited(), ..User::default() };
        let mut claims = Claims { registered, nats };
        let issuer = account.public().public_key.to_string();
        let token = jwt::sign(&mut claims, &issuer, |bytes| account.sign(bytes)).unwrap();
        let secret = user.secret();
        (token, std::str::from_utf8(secret.expose_secret()).unwrap().trim().to_owned())
    })
}
