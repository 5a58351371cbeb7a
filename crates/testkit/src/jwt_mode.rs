//! A server with decentralised authentication: operator, accounts and users as JWTs, made here from plain claims.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use serde_json::{Value, json};
use tempfile::TempDir;

/// An operator with a system account and one account for the ledger's stream.
pub struct JwtMode {
    folder: TempDir,
    operator: KeyPair,
    system: KeyPair,
    account: KeyPair,
    /// The account's `limits`, to be narrowed by a test.
    limits: Value,
}

impl JwtMode {
    /// New keys, and an account that may do everything.
    ///
    /// # Panics
    /// When there is no folder for the creds.
    #[must_use]
    pub fn new() -> Self {
        Self {
            folder: TempDir::with_prefix("cim-keys-jwt-").expect("a folder for creds"),
            operator: KeyPair::new_operator(),
            system: KeyPair::new_account(),
            account: KeyPair::new_account(),
            limits: json!({
                "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1,
                "leaf": -1, "mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1,
            }),
        }
    }

    /// With this limit of the account at another value: `disk_storage`, `payload`, `streams`.
    #[must_use]
    pub fn limit(mut self, name: &str, value: i64) -> Self {
        self.limits[name] = value.into();
        self
    }

    /// The account's public key, which is its name on the wire.
    #[must_use]
    pub fn account(&self) -> String {
        self.account.public_key()
    }

    /// Lines for the server's configuration.
    #[must_use]
    pub fn server_conf(&self) -> String {
        let operator = claims(&self.operator, &self.operator, "test operator", operator_body(&self.system));
        let none = json!({
            "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1,
        });
        let system = claims(&self.operator, &self.system, "SYS", account_body(&none));
        let account = claims(&self.operator, &self.account, "CIM", account_body(&self.limits));
        format!(
            "operator: {operator}\nsystem_account: {system_key}\nresolver: MEMORY\n\
             resolver_preload {{ {system_key}: \"{system}\", {account_key}: \"{account}\" }}",
            system_key = self.system.public_key(),
            account_key = self.account.public_key(),
        )
    }

    /// The creds file of a user of the account who may publish and subscribe to all but what is denied.
    #[must_use]
    pub fn creds(&self, deny_publish: &[&str], deny_subscribe: &[&str]) -> PathBuf {
        self.write_creds(&self.account, deny_publish, deny_subscribe)
    }

    /// The creds file of a user whose account this server does not know.
    #[must_use]
    pub fn creds_of_a_stranger(&self) -> PathBuf {
        self.write_creds(&KeyPair::new_account(), &[], &[])
    }

    fn write_creds(&self, account: &KeyPair, deny_publish: &[&str], deny_subscribe: &[&str]) -> PathBuf {
        let user = KeyPair::new_user();
        let body = json!({
            "pub": deny(deny_publish), "sub": deny(deny_subscribe), "subs": -1, "data": -1, "payload": -1,
            "type": "user", "version": 2,
        });
        let jwt = claims(account, &user, "publisher", body);
        let seed = user.seed().expect("a new key has a seed");
        let text = format!(
            "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        );
        let path = self.folder.path().join(format!("{}.creds", &user.public_key()[..12]));
        std::fs::write(&path, text).expect("a creds file");
        #[cfg(unix)]
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("a creds file");
        path
    }
}

impl Default for JwtMode {
    fn default() -> Self {
        Self::new()
    }
}

fn deny(subjects: &[&str]) -> Value {
    if subjects.is_empty() { json!({}) } else { json!({ "deny": subjects }) }
}

fn operator_body(system: &KeyPair) -> Value {
    json!({ "system_account": system.public_key(), "type": "operator", "version": 2 })
}

fn account_body(limits: &Value) -> Value {
    json!({
        "limits": limits, "default_permissions": { "pub": {}, "sub": {} }, "authorization": {},
        "type": "account", "version": 2,
    })
}

/// A JWT over these claims, signed by `issuer` about `subject`.
fn claims(issuer: &KeyPair, subject: &KeyPair, name: &str, body: Value) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
    let claims = json!({
        "jti": subject.public_key(), "iat": now, "iss": issuer.public_key(), "name": name,
        "sub": subject.public_key(), "nats": body,
    });
    sign(&claims, issuer)
}

/// A token over claims, as any holder of the key signs it.
///
/// # Panics
/// When the key has no private half.
#[must_use]
pub fn sign(claims: &Value, key: &KeyPair) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let body = format!("{}.{}", part(r#"{"typ":"JWT","alg":"ed25519-nkey"}"#), part(&claims.to_string()));
    let signature = key.sign(body.as_bytes()).expect("a key that signs");
    format!("{body}.{}", URL_SAFE_NO_PAD.encode(signature))
}
