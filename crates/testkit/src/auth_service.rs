//! A service that decides who may connect (auth callout): it opens requests that a server sealed to it, and seals its answers.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::UNIX_EPOCH;

use async_nats::{Client, ConnectOptions};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::StreamExt as _;
use nkeys::{KeyPair, XKey};
use serde_json::{Value, json};

use crate::jwt_mode::sign;

/// Where servers ask.
const SUBJECT: &str = "$SYS.REQ.USER.AUTH";
/// The header with the server's own key: it says that the request is sealed, and whom the answer is sealed to.
const SERVER_XKEY: &str = "Nats-Server-Xkey";

/// What a user is let in with.
#[derive(Debug, Clone)]
pub struct Admission {
    /// The account that it is put into (`A…`).
    pub account: String,
    /// The key that signs for that account: its identity key, or a signing key of it.
    pub signer: Arc<KeyPair>,
    /// What it may do: the members of a user's `nats` object. `null` for a user of a role.
    pub permissions: Value,
}

/// How a request came, and what was in it.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The body as it came over the wire.
    pub wire: Vec<u8>,
    /// Whether it was sealed.
    pub sealed: bool,
    /// The claims of the request; `null` when no key opened it.
    pub claims: Value,
}

/// Decides on a request: lets in, or says why not.
pub type Decide = dyn Fn(&Value) -> Result<Admission, String> + Send + Sync;

/// A service that answers the authorization requests of one account.
#[derive(Debug)]
pub struct AuthService {
    asked: Arc<Mutex<Vec<Asked>>>,
    client: Client,
}

struct Answering {
    account: String,
    signer: KeyPair,
    xkeys: Vec<XKey>,
    decide: Box<Decide>,
}

impl AuthService {
    /// Connects with `creds`, and answers as `account`: what it says is signed by `signer`, which is the account's identity
    /// key or a signing key of it. `xkeys` are the keys that requests may be sealed to.
    ///
    /// # Panics
    /// When it can't connect.
    pub async fn start(
        url: &str,
        creds: &Path,
        account: &str,
        signer: KeyPair,
        xkeys: Vec<XKey>,
        decide: impl Fn(&Value) -> Result<Admission, String> + Send + Sync + 'static,
    ) -> Self {
        let options = ConnectOptions::new().credentials_file(creds).await.expect("the service's credentials");
        let client = options.connect(url).await.expect("the service connects");
        let mut requests = client.subscribe(SUBJECT).await.expect("the service subscribes");
        client.flush().await.expect("the service subscribes");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let answering = Answering { account: account.to_owned(), signer, xkeys, decide: Box::new(decide) };
        let (seen, replies) = (Arc::clone(&asked), client.clone());
        tokio::spawn(async move {
            while let Some(request) = requests.next().await {
                let server = request.headers.as_ref().and_then(|headers| headers.get(SERVER_XKEY));
                let server = server.map(|key| XKey::from_public_key(key.as_str()).expect("a server's key"));
                let (asked, answer) = answering.answer(&request.payload, server.as_ref());
                seen.lock().expect("nobody panicked").push(asked);
                if let (Some(reply), Some(answer)) = (request.reply, answer) {
                    let _ = replies.publish(reply, answer.into()).await;
                }
            }
        });
        Self { asked, client }
    }

    /// The requests so far.
    ///
    /// # Panics
    /// When the service did.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("nobody panicked").clone()
    }

    /// Ends it.
    ///
    /// # Panics
    /// When the connection is gone already.
    pub async fn stop(self) {
        self.client.drain().await.expect("the service drains");
    }
}

impl Answering {
    /// What was asked, and the answer; none to what no key opens.
    fn answer(&self, wire: &[u8], server: Option<&XKey>) -> (Asked, Option<Vec<u8>>) {
        let opened = match server {
            None => Some((None, wire.to_vec())),
            Some(server) => self.xkeys.iter().find_map(|key| Some((Some((key, server)), key.open(wire, server).ok()?))),
        };
        let claims = opened.as_ref().map_or(Value::Null, |(_, token)| payload(token));
        let asked = Asked { wire: wire.to_vec(), sealed: server.is_some(), claims: claims.clone() };
        let Some((keys, _)) = opened else { return (asked, None) };
        let (user, server_id) = (&claims["nats"]["user_nkey"], &claims["nats"]["server_id"]["id"]);
        let mut body = json!({ "type": "authorization_response", "version": 2 });
        if self.account != self.signer.public_key() {
            body["issuer_account"] = self.account.as_str().into();
        }
        match (self.decide)(&claims) {
            Ok(admission) => body["jwt"] = admission.token(user).into(),
            Err(reason) => body["error"] = reason.into(),
        }
        let response = json!({
            "aud": server_id, "sub": user, "iss": self.signer.public_key(), "iat": now(), "nats": body,
        });
        let response = sign(&response, &self.signer).into_bytes();
        let response = match keys {
            None => response,
            Some((key, server)) => key.seal(&response, server).expect("an answer is sealed"),
        };
        (asked, Some(response))
    }
}

impl Admission {
    fn token(&self, user: &Value) -> String {
        let mut nats = json!({ "type": "user", "version": 2 });
        if let Some(permissions) = self.permissions.as_object() {
            nats["subs"] = (-1).into();
            nats["data"] = (-1).into();
            nats["payload"] = (-1).into();
            for (name, value) in permissions {
                nats[name] = value.clone();
            }
        }
        if self.account != self.signer.public_key() {
            nats["issuer_account"] = self.account.as_str().into();
        }
        let claims =
            json!({ "sub": user, "iss": self.signer.public_key(), "iat": now(), "name": "let in", "nats": nats });
        sign(&claims, &self.signer)
    }
}

fn now() -> u64 {
    UNIX_EPOCH.elapsed().map_or(0, |now| now.as_secs())
}

/// What a token says, unchecked.
fn payload(token: &[u8]) -> Value {
    let part = token.split(|byte| *byte == b'.').nth(1).expect("a token has three parts");
    let bytes = URL_SAFE_NO_PAD.decode(part).expect("a token is base64url");
    serde_json::from_slice(&bytes).expect("a token says JSON")
}
