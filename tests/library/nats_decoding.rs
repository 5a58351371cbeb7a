//! Tokens, credentials, subjects and templates that nobody made: they read, or the error says why not.

use cim_keys::nats::claims::{
    Account, AccountLimits, Activation, Body, Claims, GenericBody, Operator, Registered, User, UserPermissions,
};
use cim_keys::nats::creds::Creds;
use cim_keys::nats::jwt;
use nkeys::KeyPair;
use proptest::prelude::*;
use secrecy::{ExposeSecret as _, SecretString};

/// A user's credentials.
fn creds() -> Creds {
    let (account, user) = (KeyPair::new_account(), KeyPair::new_user());
    let token = signed(&account, &user, User { permissions: UserPermissions::unlimited(), ..User::default() });
    Creds { token, seed: SecretString::from(user.seed().unwrap()) }
}

fn signed<B: Body>(issuer: &KeyPair, subject: &KeyPair, nats: B) -> String {
    let registered = Registered { sub: subject.public_key(), iat: 1_700_000_000, ..Registered::default() };
    jwt::sign(&mut Claims { registered, nats }, &issuer.public_key(), |bytes| issuer.sign(bytes)).unwrap()
}

/// Whether any kind takes it; an error is never empty.
fn decodes(text: &str) -> bool {
    fn one<B: Body>(text: &str) -> bool {
        jwt::decode::<B>(text).inspect_err(|error| assert!(!error.to_string().is_empty())).is_ok()
    }
    let peeked = jwt::peek(text).is_ok();
    assert_eq!(peeked, jwt::payload(text).is_ok());
    let kinds = [one::<Operator>(text), one::<Account>(text), one::<User>(text), one::<Activation>(text)];
    let some = kinds.contains(&true) || one::<GenericBody>(text);
    assert!(peeked || !some);
    some
}

/// A text with some of its characters replaced, left out or doubled.
fn changed(text: &str, changes: &[(prop::sample::Index, char, u8)]) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for (at, by, how) in changes {
        let at = at.index(chars.len());
        match how % 4 {
            0 => chars[at] = *by,
            1 => chars.insert(at, *by),
            2 if chars.len() > 1 => drop(chars.remove(at)),
            _ => chars.truncate(at.max(1)),
        }
    }
    chars.into_iter().collect()
}

fn changes() -> impl Strategy<Value = Vec<(prop::sample::Index, char, u8)>> {
    prop::collection::vec((any::<prop::sample::Index>(), any::<char>(), any::<u8>()), 1..4)
}

proptest! {
    #[test]
    fn no_text_is_taken_for_a_token(text in ".{0,300}", parts in prop::collection::vec("[A-Za-z0-9_-]{0,80}", 0..5)) {
        prop_assert!(!decodes(&text));
        prop_assert!(!decodes(&parts.join(".")));
        prop_assert!(Creds::parse(&text).is_err());
    }

    #[test]
    fn a_token_that_was_changed_is_none(changes in changes(), which in 0..3) {
        let (operator, account, user) = (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_user());
        let token = match which {
            0 => signed(&operator, &operator, Operator::default()),
            1 => signed(&operator, &account, Account { limits: AccountLimits::unlimited(), ..Account::default() }),
            _ => signed(&account, &user, User::default()),
        };
        prop_assert!(decodes(&token));
        let changed = changed(&token, &changes);
        prop_assert!(changed == token || !decodes(&changed), "{changed}");
    }

    #[test]
    fn credentials_that_were_changed_are_the_same_or_none_and_are_not_shown(changes in changes()) {
        let creds = creds();
        let text = creds.to_text();
        match Creds::parse(&changed(&text, &changes)) {
            // What stands between the parts is free.
            Ok(read) => {
                prop_assert_eq!(&read.token, &creds.token);
                prop_assert_eq!(read.seed.expose_secret(), creds.seed.expose_secret());
            }
            Err(error) => prop_assert!(!error.to_string().contains(creds.seed.expose_secret())),
        }
    }

    #[test]
    fn claims_that_nobody_made_are_read_or_refused(json in json(), kind in "operator|account|user|activation|generic") {
        // Signed by whoever: what lies behind the signature is reached.
        use base64::Engine as _;
        use base64::engine::general_purpose::URL_SAFE_NO_PAD;
        let issuer = if kind == "user" || kind == "activation" { KeyPair::new_account() } else { KeyPair::new_operator() };
        let subject = match kind.as_str() {
            "operator" | "generic" => KeyPair::new_operator(),
            "user" => KeyPair::new_user(),
            _ => KeyPair::new_account(),
        };
        let mut nats = json;
        if let Some(fields) = nats.as_object_mut() {
            fields.insert("type".into(), kind.as_str().into());
            fields.insert("version".into(), 2.into());
        }
        let claims = serde_json::json!({
            "iss": issuer.public_key(), "sub": subject.public_key(), "iat": 1_700_000_000, "nats": nats
        });
        let header = URL_SAFE_NO_PAD.encode(r#"{"typ":"JWT","alg":"ed25519-nkey"}"#);
        let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = URL_SAFE_NO_PAD.encode(issuer.sign(signed.as_bytes()).unwrap());
        decodes(&format!("{signed}.{signature}"));
    }
}

/// What could stand under `nats`: names that claims have, with values of any kind.
fn json() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::Value;
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    let name = prop_oneof![
        "limits|imports|exports|signing_keys|revocations|mappings|authorization|default_permissions|trace|subs|src|times",
        "pub|sub|allow|deny|resp|max|ttl|template|key|kind|role|service_latency|sampling|tiered_limits|weight|tags|data",
        ".{0,6}",
    ];
    leaf.prop_recursive(4, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::hash_map(name.clone(), inner, 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}
