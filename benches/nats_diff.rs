//! `nats diff` of 1,000 accounts against a server, beside a bare client that asks the same questions one after the other.
//!
//! `cargo xtask bench nats_diff`. What is measured is everything after the connection: who is there, what each server has
//! stored and in force, and the judgement. The accounts are in use, so that servers have something in force to show.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use cim_keys::adapters::nats_system::SystemClient;
use cim_keys::authority::nats::servers::{Survey, Wanted};
use cim_keys::config::NatsConfig;
use cim_keys::ids::NatsAccountId;
use cim_keys::ledger::TokenFacts;
use cim_keys::nats::claims::{Account, AccountLimits, Body, Claims, Operator, Registered, User, UserPermissions};
use cim_keys::nats::jwt;
use cim_keys::text::{Document, Label, Name, PublicKey};
use cim_keys_testkit::ServerOptions;
use nkeys::KeyPair;

const ACCOUNTS: usize = 1_000;
const ROUNDS: usize = 5;

fn sign<B: Body>(signer: &KeyPair, subject: &KeyPair, name: &str, nats: B) -> (Claims<B>, String) {
    let iat = 1_700_000_000;
    let registered = Registered { sub: subject.public_key(), name: name.into(), iat, ..Registered::default() };
    let mut claims = Claims { registered, nats };
    let token = jwt::sign(&mut claims, &signer.public_key(), |bytes| signer.sign(bytes)).unwrap();
    (claims, token)
}

fn account(operator: &KeyPair, key: &KeyPair, name: &str) -> (Wanted, String) {
    let nats = Account { limits: AccountLimits::unlimited(), ..Account::default() };
    let (claims, text) = sign(operator, key, name, nats);
    let token = TokenFacts {
        jti: Label::new(&claims.registered.jti).unwrap(),
        issued_at: claims.registered.iat.unsigned_abs(),
        expires_at: None,
        issuer: PublicKey::new(&operator.public_key()).unwrap(),
        claims: Document::new(&serde_json::to_string(&claims).unwrap()).unwrap(),
        signed: None,
    };
    let (name, public_key) = (Name::new(name).unwrap(), PublicKey::new(&key.public_key()).unwrap());
    (Wanted { account_id: NatsAccountId::mint(), name, public_key, token, claims }, text)
}

fn main() {
    let (operator, system) = (KeyPair::new_operator(), KeyPair::new_account());
    let (_, operator_token) = sign(&operator, &operator, "O", Operator::default());
    let keys: Vec<KeyPair> = (0..ACCOUNTS).map(|_| KeyPair::new_account()).collect();
    let accounts: Vec<(Wanted, String)> =
        keys.iter().enumerate().map(|(i, key)| account(&operator, key, &format!("A{i}"))).collect();
    let (_, system_token) = account(&operator, &system, "SYS");
    let folder = tempfile::TempDir::with_prefix("cim-keys-bench-").unwrap();
    let mut conf = format!(
        "operator: {operator_token}\nsystem_account: {}\nresolver {{ type: full, dir: \"{}\" }}\nresolver_preload {{\n{}: {system_token}\n",
        system.public_key(),
        folder.path().join("jwt").display(),
        system.public_key(),
    );
    for (wanted, token) in &accounts {
        conf.push_str(&format!("{}: {token}\n", wanted.public_key));
    }
    conf.push('}');
    let Some(server) = ServerOptions::default().conf(&conf).start_in(folder) else { return };

    let user = KeyPair::new_user();
    let creds = |signer: &KeyPair| {
        let nats = User { permissions: UserPermissions::unlimited(), ..User::default() };
        let (_, token) = sign(signer, &user, "u", nats);
        format!(
            "-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
            user.seed().unwrap()
        )
    };
    let path = server.folder().join("sys.creds");
    std::fs::write(&path, creds(&system)).unwrap();
    let url = server.url();
    let config = NatsConfig { url: url.parse().unwrap(), credentials_file: Some(path), ..NatsConfig::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        // One client of each account, so that the server loads it.
        for key in &keys {
            let options = async_nats::ConnectOptions::with_credentials(&creds(key)).unwrap();
            drop(options.connect(&url).await.unwrap());
        }
        let wanted: Vec<Wanted> = accounts.iter().map(|(wanted, _)| wanted.clone()).collect();
        let client = SystemClient::connect(&config).await.unwrap();
        let bare = async_nats::ConnectOptions::with_credentials(&creds(&system)).unwrap().connect(&url).await.unwrap();
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let started = Instant::now();
            let survey = Survey::take(&client, Some(1), &system.public_key()).await.unwrap();
            let observed = survey.observe(&client, &wanted).await.unwrap();
            ours.push(started.elapsed());
            assert!(observed.iter().all(|observed| observed.is_proved()));
            let started = Instant::now();
            for wanted in &wanted {
                for what in ["CLAIMS.LOOKUP", "INFO"] {
                    let subject = format!("$SYS.REQ.ACCOUNT.{}.{what}", wanted.public_key);
                    bare.request(subject, "".into()).await.unwrap();
                }
            }
            theirs.push(started.elapsed());
        }
        let (ours, theirs) = (median(ours), median(theirs));
        println!("{ACCOUNTS} accounts on one server with a full resolver:");
        println!("  bare client, one question after the other, no judgement  {:7.1} ms", millis(theirs));
        println!(
            "  diff                                                     {:7.1} ms ({:.2})",
            millis(ours),
            ours.div_duration_f64(theirs)
        );
    });
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}
