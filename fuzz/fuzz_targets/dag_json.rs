//! Texts from anywhere: what parses gives a canonical block, whose text gives the same block again.
#![no_main]

use cim_keys::ipld_support::{from_dag_json, parse_cid, parse_message_body, to_dag_json, validate};
use ipld_core::ipld::Ipld;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = parse_message_body(bytes);
    if let Some(cid) = std::str::from_utf8(bytes).ok().and_then(|text| parse_cid(text).ok()) {
        assert_eq!(cid.to_string().as_bytes(), bytes);
    }
    let Ok(block) = from_dag_json(bytes) else { return };
    validate(&block).unwrap();
    let text = to_dag_json(&block).unwrap();
    assert_eq!(from_dag_json(text.as_bytes()).as_ref(), Ok(&block));
    // Our own text is what the other library reads, with the same value; but it takes integers below 64 bits for floats.
    if below_64_bits(&serde_ipld_dagcbor::from_slice(&block).unwrap()) {
        return;
    }
    let theirs: Ipld = serde_ipld_dagjson::from_slice(text.as_bytes()).unwrap();
    assert_eq!(serde_ipld_dagcbor::to_vec(&theirs).unwrap(), block);
});

fn below_64_bits(value: &Ipld) -> bool {
    match value {
        Ipld::Integer(integer) => *integer < i128::from(i64::MIN),
        Ipld::List(items) => items.iter().any(below_64_bits),
        Ipld::Map(map) => map.values().any(below_64_bits),
        _ => false,
    }
}
