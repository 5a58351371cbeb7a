//! Properties of the codec over values that nobody chose.

use std::collections::BTreeMap;

use cid::Cid;
use cim_keys::events::KeyEvent;
use cim_keys::ipld_support::{
    ContentAddressedEvent, Envelope, canonical_bytes, cid_of_block, decode_block, from_dag_json, generate_cid,
    to_dag_json, validate, verify_block, verify_cid,
};
use cim_keys_testkit::samples;
use ipld_core::ipld::Ipld;
use proptest::prelude::*;
use serde::Serialize;
use serde::ser::SerializeMap as _;

fn cids() -> impl Strategy<Value = Cid> {
    (any::<[u8; 32]>(), prop_oneof![Just(0x71), Just(0x55), Just(0x70), 0..1u64 << 40])
        .prop_map(|(digest, codec)| Cid::new_v1(codec, cid::multihash::Multihash::wrap(0x12, &digest).unwrap()))
}

fn values() -> impl Strategy<Value = Ipld> {
    let leaf = prop_oneof![
        Just(Ipld::Null),
        any::<bool>().prop_map(Ipld::Bool),
        any::<i64>().prop_map(|v| Ipld::Integer(v.into())),
        any::<u64>().prop_map(|v| Ipld::Integer(v.into())),
        any::<u64>().prop_map(|v| Ipld::Integer(-1 - i128::from(v))),
        (-300i128..300).prop_map(Ipld::Integer),
        any::<f64>()
            .prop_filter("finite, and not minus zero", |v| v.is_finite() && v.to_bits() != 1 << 63)
            .prop_map(Ipld::Float),
        any::<String>().prop_map(Ipld::String),
        prop::collection::vec(any::<u8>(), 0..300).prop_map(Ipld::Bytes),
        cids().prop_map(Ipld::Link),
    ];
    leaf.prop_recursive(6, 96, 30, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..30).prop_map(Ipld::List),
            prop::collection::btree_map("[a-z!/ü]{0,30}", inner, 0..30).prop_map(Ipld::Map),
        ]
    })
}

/// A map that is written in the order in which it stands here, its length told or not.
struct InOrder<'a>(&'a [(String, Ipld)], bool);

impl Serialize for InOrder<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(self.1.then_some(self.0.len()))?;
        for (key, value) in self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

fn has_reserved_key(value: &Ipld) -> bool {
    match value {
        Ipld::List(items) => items.iter().any(has_reserved_key),
        Ipld::Map(map) => map.iter().any(|(key, value)| key == "/" || has_reserved_key(value)),
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn encode_decode_encode_is_the_identity(value in values()) {
        let block = canonical_bytes(&value).unwrap();
        prop_assert_eq!(&block, &serde_ipld_dagcbor::to_vec(&value).unwrap());
        validate(&block).unwrap();
        let decoded: Ipld = decode_block(&block).unwrap();
        prop_assert_eq!(&decoded, &value);
        prop_assert_eq!(canonical_bytes(&decoded).unwrap(), block.clone());
        prop_assert_eq!(generate_cid(&value).unwrap(), cid_of_block(&block));
    }

    #[test]
    fn dag_json_and_block_give_each_other(value in values()) {
        let block = canonical_bytes(&value).unwrap();
        if has_reserved_key(&value) {
            prop_assert!(to_dag_json(&block).is_err());
        } else {
            let text = to_dag_json(&block).unwrap();
            prop_assert_eq!(from_dag_json(text.as_bytes()).unwrap(), block);
            prop_assert_eq!(text.into_bytes(), serde_ipld_dagjson::to_vec(&value).unwrap());
        }
    }

    #[test]
    fn insertion_order_and_a_told_length_never_matter(
        entries in prop::collection::btree_map("[a-d]{0,4}", values(), 0..40).prop_map(Vec::from_iter).prop_shuffle(),
        told in any::<bool>(),
    ) {
        let sorted = BTreeMap::from_iter(entries.iter().cloned());
        prop_assert_eq!(canonical_bytes(&InOrder(&entries, told)).unwrap(), canonical_bytes(&sorted).unwrap());
        if let Some(first) = entries.first().cloned() {
            let twice = [entries, vec![first]].concat();
            prop_assert!(canonical_bytes(&InOrder(&twice, told)).is_err());
        }
    }

    #[test]
    fn what_the_reference_library_refuses_is_refused_and_what_is_taken_it_writes_again(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        match decode_block::<Ipld>(&bytes) {
            Ok(value) => {
                prop_assert_eq!(&serde_ipld_dagcbor::from_slice::<Ipld>(&bytes).unwrap(), &value);
                prop_assert_eq!(&canonical_bytes(&value).unwrap(), &bytes);
            }
            Err(_) => prop_assert!(
                serde_ipld_dagcbor::from_slice::<Ipld>(&bytes).is_err()
                    // A CID of a short sha2-256 digest, or of version 0 with bytes behind it, is what it takes and we do not.
                    || bytes.windows(2).any(|pair| pair == [0xd8, 0x2a])
            ),
        }
        let _ = (Envelope::parse(&bytes), decode_block::<KeyEvent>(&bytes), from_dag_json(&bytes), to_dag_json(&bytes));
    }
}

#[test]
fn any_single_bit_that_changes_is_seen() {
    for event in samples::events() {
        let whole = ContentAddressedEvent::new(event).unwrap();
        let mut block = whole.block().to_vec();
        for bit in 0..block.len() * 8 {
            block[bit / 8] ^= 1 << (bit % 8);
            assert!(!verify_block(&block, &whole.cid));
            if let Ok(mut changed) = ContentAddressedEvent::<KeyEvent>::decode(&block[..]) {
                assert_ne!(changed.cid, whole.cid);
                changed.cid = whole.cid;
                assert!(!changed.verify().unwrap());
                assert!(!verify_cid(&changed.event, &whole.cid).unwrap(), "bit {bit}: {:?}", changed.event);
            }
            block[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

#[test]
fn every_prefix_and_every_suffix_of_an_event_is_refused() {
    let block = canonical_bytes(&samples::typical()).unwrap();
    for at in 0..block.len() {
        assert!(ContentAddressedEvent::<KeyEvent>::decode(&block[..at]).is_err());
        assert!(at == 0 || ContentAddressedEvent::<KeyEvent>::decode(&block[at..]).is_err());
    }
    let trailing = [&block[..], &[0xa0]].concat();
    assert!(ContentAddressedEvent::<KeyEvent>::decode(trailing).is_err());
}
