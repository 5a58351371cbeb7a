//! The fuzz targets begin with what is real: every sample event, as a block and as DAG-JSON.
//!
//! After a new type of event: `CIM_KEYS_WRITE_SEEDS=1 cargo test --workspace --test fuzz_seeds`, and commit `fuzz/seeds`.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use cim_keys::ipld_support::{canonical_bytes, to_dag_json};
use cim_keys_testkit::samples;

#[test]
fn every_sample_is_a_seed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    let mut seeds = Vec::new();
    for event in samples::events() {
        let block = canonical_bytes(&event).unwrap();
        seeds.push((format!("dag_json/{}", event.event_type()), (to_dag_json(&block).unwrap() + "\n").into_bytes()));
        seeds.push((format!("decode_event/{}", event.event_type()), block));
    }
    seeds.push(("config/example".to_owned(), cim_keys::config::Config::example().into_bytes()));
    for (name, content) in seeds {
        let seed = folder.join(&name);
        if std::env::var_os("CIM_KEYS_WRITE_SEEDS").is_some() {
            std::fs::create_dir_all(seed.parent().unwrap()).unwrap();
            std::fs::write(&seed, content).unwrap();
        } else {
            let there = std::fs::read(&seed).unwrap_or_default();
            assert!(there == content, "fuzz/seeds/{name} is missing or old: CIM_KEYS_WRITE_SEEDS=1 writes it");
        }
    }
}
