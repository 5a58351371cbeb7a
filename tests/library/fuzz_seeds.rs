//! The fuzz targets begin with what is real: every sample event, as a block and as DAG-JSON.
//!
//! `cargo xtask fuzz` names a folder in `CIM_KEYS_FUZZ_SEEDS`; without it they are written to a temporary one.

use std::path::{Path, PathBuf};

use cim_keys::delivery::{Head, ParkedEvent};
use cim_keys::ipld_support::{ContentAddressedEvent, canonical_bytes, generate_cid, to_dag_json};
use cim_keys::queue::FileQueue;
use cim_keys_testkit::samples;
use serde_json::json;

#[test]
fn every_sample_is_a_seed() {
    let temporary = tempfile::tempdir().unwrap();
    let named = std::env::var_os("CIM_KEYS_FUZZ_SEEDS").map(PathBuf::from);
    let folder = named.unwrap_or_else(|| temporary.path().to_owned());
    let mut seeds = Vec::new();
    for event in samples::events() {
        let block = canonical_bytes(&event).unwrap();
        seeds.push((format!("dag_json/{}", event.event_type()), (to_dag_json(&block).unwrap() + "\n").into_bytes()));
        seeds.push((format!("decode_event/{}", event.event_type()), block));
    }
    seeds.push(("config/example".to_owned(), cim_keys::config::Config::example().into_bytes()));
    seeds.push(("queue/samples".to_owned(), queue_lines()));
    seeds.push(("head/plain".to_owned(), head()));
    seeds.extend(claims().map(|(kind, claims)| (format!("jwt/{kind}"), claims.into_bytes())));
    seeds.push(("creds/whole".to_owned(), CREDS.into()));
    seeds.push(("creds/windows".to_owned(), CREDS.replace('\n', "\r\n").into_bytes()));
    for (name, content) in seeds {
        let seed = folder.join(&name);
        std::fs::create_dir_all(seed.parent().unwrap()).unwrap();
        std::fs::write(&seed, content).unwrap();
    }
    // A folder of seeds that no target is called like would never be read.
    let targets = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
    for entry in std::fs::read_dir(&folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(targets.join(format!("{name}.rs")).exists(), "there is no fuzz target {name}");
    }
}

/// Credentials as the target takes them: it puts a token and a seed of its own where these words stand.
const CREDS: &str = "-----BEGIN NATS USER JWT-----\n$JWT\n------END NATS USER JWT------\n\n\
    ************************* IMPORTANT *************************\n\n\
    -----BEGIN USER NKEY SEED-----\n$SEED\n------END USER NKEY SEED------\n";

/// Claims of each kind of token, with most of what they can say; the target signs them.
fn claims() -> impl Iterator<Item = (&'static str, String)> {
    let key = |pair: nkeys::KeyPair| pair.public_key();
    let (operator, account, user) =
        (key(nkeys::KeyPair::new_operator()), key(nkeys::KeyPair::new_account()), key(nkeys::KeyPair::new_user()));
    let permissions = json!({ "pub": { "allow": ["a.>"], "deny": ["a.b"] }, "sub": { "allow": ["q work"] }, "resp": { "max": 1, "ttl": 5 } });
    let limits = json!({
        "subs": -1, "data": -1, "payload": 1024, "imports": -1, "exports": -1, "wildcards": true, "conn": 10, "leaf": -1,
        "mem_storage": 1, "disk_storage": -1, "streams": 3, "consumer": -1,
        "tiered_limits": { "R3": { "disk_storage": 5, "streams": -1, "max_bytes_required": true } }
    });
    let bodies = [
        (
            "operator",
            &operator,
            &operator,
            json!({
                "signing_keys": [operator], "account_server_url": "nats://a", "operator_service_urls": ["nats://a:4222"],
                "system_account": account, "assert_server_version": "2.10.0", "strict_signing_key_usage": true
            }),
        ),
        (
            "account",
            &operator,
            &account,
            json!({
                "imports": [{ "name": "i", "subject": "a.*", "account": account, "token": "t", "local_subject": "b.$1", "type": "stream" }],
                "exports": [{
                    "name": "e", "subject": "s.>", "type": "service", "token_req": true, "revocations": { "*": 9 },
                    "response_type": "Stream", "service_latency": { "sampling": "headers", "results": "l" }, "account_token_position": 2
                }],
                "limits": limits, "default_permissions": permissions, "revocations": { user.clone(): 7 },
                "signing_keys": [account, { "kind": "user_scope", "key": account, "role": "r", "template": permissions, "description": "d" }],
                "mappings": { "m": [{ "subject": "n", "weight": 50, "cluster": "c" }] },
                "authorization": { "auth_users": [user], "allowed_accounts": ["*"] },
                "trace": { "dest": "t", "sampling": 10 }, "cluster_traffic": "owner", "description": "d", "info_url": "u"
            }),
        ),
        (
            "user",
            &account,
            &user,
            json!({
                "pub": permissions["pub"], "sub": permissions["sub"], "src": ["192.0.2.0/24"], "subs": -1, "data": -1, "payload": -1,
                "times": [{ "start": "08:00:00", "end": "17:00:00" }], "times_location": "Europe/Zurich", "bearer_token": true,
                "allowed_connection_types": ["MQTT"], "issuer_account": account, "tags": ["a:b"]
            }),
        ),
        ("activation", &account, &account, json!({ "subject": "s.>", "kind": "service", "issuer_account": account })),
        ("generic", &operator, &operator, json!({ "accounts": [account], "n": [1, true, null, "x"] })),
    ];
    let claims = bodies.map(|(kind, issuer, subject, mut nats)| {
        nats["type"] = kind.into();
        nats["version"] = 2.into();
        let claims = json!({
            "jti": "J", "iat": 1_700_000_000, "exp": 1_800_000_000, "iss": issuer, "name": kind, "sub": subject, "nats": nats
        });
        (kind, claims.to_string())
    });
    claims.into_iter()
}

/// The lines of a queue as the target takes them: without the header, and without their checksums.
fn queue_lines() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queue.jsonl");
    let events = || samples::events().into_iter().take(4).map(|event| ContentAddressedEvent::new(event).unwrap());
    let mut queue = FileQueue::open(&path).unwrap();
    queue.append(&events().take(1).collect::<Vec<_>>()).unwrap();
    queue.append(&events().skip(1).collect::<Vec<_>>()).unwrap();
    let file = std::fs::read_to_string(&path).unwrap();
    let mut lines: Vec<&str> = file.lines().skip(1).map(|line| line.rsplit_once(",\"crc\":").unwrap().0).collect();
    let cid = events().next().unwrap().cid;
    let park = format!(
        "{{\"park\":{{\"position\":1,\"cid\":{{\"/\":\"{cid}\"}},\"reason\":\"denied\",\"since\":\"2026-01-31T09:30:00.000000Z\"}}"
    );
    lines.push(r#"{"cursor":{"account":"A","stream":"S","created":"c","position":2,"head_sequence":3}"#);
    lines.push(&park);
    lines.push(r#"{"retry":{"position":1,"wanted":true}"#);
    lines.push(r#"{"unpark":{"position":1}"#);
    lines.join("\n").into_bytes()
}

fn head() -> Vec<u8> {
    let cid = generate_cid(&samples::typical()).unwrap();
    let mut head = Head::new("fuzz".parse().unwrap(), 7, cid);
    head.parked = vec![ParkedEvent { position: 3, cid }];
    head.to_json()
}
