//! The fuzz targets begin with what is real: every sample event, as a block and as DAG-JSON.
//!
//! `cargo xtask fuzz` names a folder in `CIM_KEYS_FUZZ_SEEDS`; without it they are written to a temporary one.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use cim_keys::delivery::{Head, ParkedEvent};
use cim_keys::ipld_support::{ContentAddressedEvent, canonical_bytes, generate_cid, to_dag_json};
use cim_keys::queue::FileQueue;
use cim_keys_testkit::samples;

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
