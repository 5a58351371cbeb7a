//! Other people's vectors: the IPLD codec fixtures, each block with its DAG-JSON sibling, and the negative ones.
//!
//! `CIM_KEYS_VECTORS` names the folder that holds `ipld/`; `cargo xtask test` sets it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cid::Cid;
use cim_keys::ipld_support::{
    canonical_bytes, cid_of_block, decode_block, from_dag_json, generate_cid, to_dag_json, validate, verify_block,
};
use ipld_core::ipld::Ipld;

/// The folder of the IPLD vectors. Without it a test is skipped and says so; in CI it fails.
fn vectors() -> Option<PathBuf> {
    let folder = std::env::var_os("CIM_KEYS_VECTORS").map(|folder| Path::new(&folder).join("ipld"));
    if folder.as_ref().is_none_or(|folder| !folder.is_dir()) {
        cim_keys_testkit::tools::skip("CIM_KEYS_VECTORS names no folder with ipld/ in it");
        return None;
    }
    folder
}

/// Every fixture: the CID in the block's file name, the block, and the DAG-JSON text.
fn fixtures(folder: &Path) -> BTreeMap<String, (Cid, Vec<u8>, Vec<u8>)> {
    let mut found = BTreeMap::new();
    for fixture in std::fs::read_dir(folder.join("fixtures")).unwrap() {
        let fixture = fixture.unwrap().path();
        let (mut cbor, mut json) = (None, None);
        for file in std::fs::read_dir(&fixture).unwrap() {
            let file = file.unwrap().path();
            let bytes = std::fs::read(&file).unwrap();
            match file.extension().and_then(|extension| extension.to_str()) {
                Some("dag-cbor") => cbor = Some((file.file_stem().unwrap().to_str().unwrap().parse().unwrap(), bytes)),
                Some("dag-json") => json = Some(bytes),
                _ => {}
            }
        }
        let (cid, block) = cbor.unwrap();
        found.insert(fixture.file_name().unwrap().to_str().unwrap().to_owned(), (cid, block, json.unwrap()));
    }
    found
}

#[test]
fn every_block_round_trips_with_the_right_cid() {
    let Some(folder) = vectors() else { return };
    let fixtures = fixtures(&folder);
    assert_eq!(fixtures.len(), 128);
    for (name, (cid, block, _)) in &fixtures {
        validate(block).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(cid_of_block(block), *cid, "{name}");
        assert!(verify_block(block, cid), "{name}");
        let value: Ipld = decode_block(block).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(canonical_bytes(&value).unwrap(), *block, "{name}");
        assert_eq!(generate_cid(&value).unwrap(), *cid, "{name}");
        assert_eq!(value, serde_ipld_dagcbor::from_slice::<Ipld>(block).unwrap(), "{name}");
    }
}

#[test]
fn every_block_and_its_dag_json_give_each_other() {
    let Some(folder) = vectors() else { return };
    for (name, (_, block, json)) in fixtures(&folder) {
        let text = to_dag_json(&block).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(text, String::from_utf8(json.clone()).unwrap(), "{name}");
        assert_eq!(from_dag_json(&json).unwrap_or_else(|error| panic!("{name}: {error}")), block, "{name}");
    }
}

#[test]
fn every_negative_vector_is_refused() {
    let Some(folder) = vectors() else { return };
    let mut refused = 0;
    for codec in ["dag-cbor", "dag-json"] {
        for file in std::fs::read_dir(folder.join("negative-fixtures").join(codec).join("decode")).unwrap() {
            let cases: Vec<BTreeMap<String, String>> =
                serde_json::from_slice(&std::fs::read(file.unwrap().path()).unwrap()).unwrap();
            for case in cases {
                let hex = &case["hex"];
                let bytes: Vec<u8> =
                    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
                match codec {
                    "dag-cbor" => assert!(validate(&bytes).is_err(), "{}", case["name"]),
                    _ => assert!(from_dag_json(&bytes).is_err(), "{}", case["name"]),
                }
                refused += 1;
            }
        }
    }
    assert!(refused >= 2);
}
