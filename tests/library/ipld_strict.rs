//! What the ordinary library lets pass when it decodes into types, and ours must not: one test a gap. Then the rules of events.

use cid::Cid;
use cim_keys::events::{EventData, KeyEvent};
use cim_keys::ipld_support::{
    ContentAddressedEvent, DecodeError, EncodeError, Envelope, MAX_BLOCK_LEN, MAX_DEPTH, Problem, canonical_bytes,
    cid_of_block, decode_block, from_dag_json, generate_cid, parse_cid, parse_message_body, to_dag_json, validate,
    validate_event, verify_cid,
};
use cim_keys_testkit::samples;
use ipld_core::ipld;
use ipld_core::ipld::Ipld;
use serde::{Deserialize, Serialize};

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(16)).collect();
    digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect()
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct One {
    a: u8,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Choice {
    A,
    B(u8),
    C { d: u8 },
}

#[test]
fn gap_1_fields_that_a_type_skips_are_checked_all_the_same() {
    // {"a": 1, "b": …}: the type knows nothing of "b".
    for (what, unknown) in [
        ("an integer that is not minimal", "18 01"),
        ("a length that is not minimal", "78 01 61"),
        ("an indefinite list", "9f ff"),
        ("an indefinite string", "7f 61 61 ff"),
        ("not a number", "fb 7ff8000000000000"),
        ("infinity", "fb 7ff0000000000000"),
        ("minus zero", "fb 8000000000000000"),
        ("a half float", "f9 3c00"),
        ("a single float", "fa 3f800000"),
        ("undefined", "f7"),
        ("a simple value", "f8 20"),
        ("a duplicate key", "a2 6161 01 6161 02"),
        ("keys out of order", "a2 6162 01 6161 02"),
        ("longer key first", "a2 626161 01 6162 02"),
        ("a key that is no string", "a1 01 02"),
        ("bad UTF-8", "61 ff"),
        ("a surrogate", "63 eda080"),
        ("a tag other than 42", "c1 00"),
        ("a bignum", "c2 41 01"),
        (
            "a tag that is not minimal",
            "d9 002a 58 25 00 01711220 0000000000000000000000000000000000000000000000000000000000000000",
        ),
        ("a reserved head", "1c"),
        ("a break", "ff"),
    ] {
        let block = hex(&format!("a2 6161 01 6162 {unknown}"));
        assert!(decode_block::<One>(&block).is_err(), "{what}");
        assert!(validate(&block).is_err(), "{what}");
    }
    assert_eq!(decode_block::<One>(&hex("a2 6161 01 6162 02")).unwrap(), One { a: 1 });
}

#[test]
fn gap_2_enums_are_a_string_or_a_map_of_exactly_one() {
    for choice in [Choice::A, Choice::B(1), Choice::C { d: 2 }] {
        let block = canonical_bytes(&choice).unwrap();
        assert_eq!(decode_block::<Choice>(&block).unwrap(), choice);
        for end in 0..block.len() {
            assert!(decode_block::<Choice>(&block[..end]).is_err());
        }
    }
    for block in [
        "a1 61 41",
        "a1 6141 f6",
        "a1 6141 01",
        "61 42",
        "a1 6142 8101 00",
        "a2 6142 01 6143 02",
        "82 6142 01",
        "a0",
        "01",
    ] {
        assert!(decode_block::<Choice>(&hex(block)).is_err(), "{block}");
    }
}

#[test]
fn gap_3_a_link_is_exactly_one_content_identifier() {
    #[derive(Debug, Deserialize)]
    struct Linked {
        #[serde(rename = "l")]
        _l: Cid,
    }
    let digest = "0a".repeat(32);
    let good = format!("01 71 12 20 {digest}");
    let block = |cid: &str| {
        let cid = hex(cid);
        let mut block = hex("a1 616c d82a 58");
        block.extend([cid.len() as u8 + 1, 0]);
        block.extend(cid);
        block
    };
    decode_block::<Linked>(&block(&good)).unwrap();
    validate_event(&block(&good)).unwrap();
    for (what, cid) in [
        ("bytes behind it", format!("{good} 00")),
        ("a short sha2-256 digest", format!("01 71 12 14 {}", "0a".repeat(20))),
        ("a digest cut off", format!("01 71 12 20 {}", "0a".repeat(31))),
        ("a codec that is not minimal", format!("01 f100 12 20 {digest}")),
        ("version 2", format!("02 71 12 20 {digest}")),
        ("nothing", String::new()),
    ] {
        assert!(decode_block::<Linked>(&block(&cid)).is_err(), "{what}");
    }
    // No zero byte in front, no bytes at all.
    assert!(validate(&hex(&format!("a1 616c d82a 5824 {good}"))).is_err());
    assert!(validate(&hex("a1 616c d82a 40")).is_err());
    assert!(validate(&hex("a1 616c d82a 6161")).is_err());
    // The codec takes what the data model has, and events take less.
    for (what, cid) in [
        ("version 0", format!("12 20 {digest}")),
        ("another codec", format!("01 70 12 20 {digest}")),
        ("another hash", format!("01 71 1e 20 {digest}")),
    ] {
        decode_block::<Linked>(&block(&cid)).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(validate_event(&block(&cid)).unwrap_err().problem, Problem::EventLink, "{what}");
    }
}

#[test]
fn gap_4_a_content_identifier_has_one_text() {
    let cid = cid_of_block(&[0xa0]);
    let text = cid.to_string();
    assert_eq!(parse_cid(&text).unwrap(), cid);
    for bad in
        [format!("/ipfs/{text}"), format!("{text}/a"), format!("{text}x"), text.to_uppercase(), format!("b{text}")]
    {
        assert!(parse_cid(&bad).is_err(), "{bad}");
        assert!(from_dag_json(format!("{{\"/\":\"{bad}\"}}").as_bytes()).is_err(), "{bad}");
    }
    let error = parse_cid("bafy\u{1b}[31m").unwrap_err().to_string();
    assert!(!error.contains('\u{1b}') && error.contains("base32"), "{error}");
}

#[test]
fn gap_5_a_key_that_is_there_twice_is_not_written() {
    #[derive(Serialize)]
    struct Outer {
        name: u8,
        #[serde(flatten)]
        inner: Inner,
    }
    #[derive(Serialize)]
    struct Inner {
        name: u8,
    }
    let error = canonical_bytes(&Outer { name: 1, inner: Inner { name: 2 } }).unwrap_err();
    assert_eq!(error, EncodeError::DuplicateKey("name".into()));
}

#[test]
fn gap_6_bytes_stay_bytes() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Untagged {
        Bytes(serde_bytes::ByteBuf),
        Text(String),
    }
    // These bytes are those of a CID, but nothing says that they are a link.
    let looks_like_a_link = Untagged::Bytes(serde_bytes::ByteBuf::from(cid_of_block(&[0xa0]).to_bytes()));
    let block = canonical_bytes(&looks_like_a_link).unwrap();
    assert_eq!(block[..2], [0x58, 36]);
    assert_eq!(decode_block::<Untagged>(&block).unwrap(), looks_like_a_link);
    // Nor does one kind of item pass for another.
    assert!(decode_block::<serde_bytes::ByteBuf>(&hex("61 41")).is_err());
    assert!(decode_block::<String>(&hex("41 41")).is_err());
    assert!(decode_block::<f64>(&hex("01")).is_err());
    assert!(decode_block::<One>(&hex("81 01")).is_err());
    assert!(decode_block::<Vec<One>>(&hex("81 81 01")).is_err());
    assert!(decode_block::<Vec<u8>>(&hex("41 01")).is_err());
    assert!(decode_block::<char>(&hex("41 41")).is_err());
}

#[test]
fn values_that_have_no_canonical_form_are_not_written() {
    use std::collections::BTreeMap;
    assert_eq!(canonical_bytes(&f64::NAN).unwrap_err(), EncodeError::NotFinite);
    assert_eq!(canonical_bytes(&f32::INFINITY).unwrap_err(), EncodeError::NotFinite);
    assert_eq!(canonical_bytes(&BTreeMap::from([(1, 2)])).unwrap_err(), EncodeError::KeyNotString);
    assert_eq!(canonical_bytes(&(i128::from(u64::MAX) + 1)).unwrap_err(), EncodeError::IntegerRange);
    assert_eq!(canonical_bytes(&(-i128::from(u64::MAX) - 2)).unwrap_err(), EncodeError::IntegerRange);
    assert_eq!(canonical_bytes(&-0.0).unwrap(), canonical_bytes(&0.0).unwrap());
    assert_eq!(canonical_bytes(&vec![0u8; 9 << 20].as_slice()).unwrap_err(), EncodeError::TooLong);

    struct Deep(usize);
    impl Serialize for Deep {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            if self.0 == 0 { serializer.serialize_unit() } else { [Self(self.0 - 1)].serialize(serializer) }
        }
    }
    assert!(canonical_bytes(&Deep(MAX_DEPTH)).is_ok());
    assert_eq!(canonical_bytes(&Deep(MAX_DEPTH + 1)).unwrap_err(), EncodeError::Depth);
}

#[test]
fn what_is_as_long_as_can_be_is_written_and_read() {
    let head = 5;
    let longest = canonical_bytes(&"x".repeat(MAX_BLOCK_LEN - head)).unwrap();
    assert_eq!(longest.len(), MAX_BLOCK_LEN);
    assert_eq!(canonical_bytes(&decode_block::<String>(&longest).unwrap()).unwrap(), longest);
    assert_eq!(canonical_bytes(&"x".repeat(MAX_BLOCK_LEN - head + 1)).unwrap_err(), EncodeError::TooLong);
    let many = vec![0u8; MAX_BLOCK_LEN - head];
    assert_eq!(canonical_bytes(&many).unwrap().len(), MAX_BLOCK_LEN);
    assert_eq!(canonical_bytes(&vec![0u8; MAX_BLOCK_LEN]).unwrap_err(), EncodeError::TooLong);
}

#[test]
fn depth_and_length_are_limited_when_reading() {
    let nested = |depth: usize| [vec![0x81; depth], vec![0x00]].concat();
    validate(&nested(MAX_DEPTH)).unwrap();
    let deepest: Ipld = decode_block(&nested(MAX_DEPTH)).unwrap();
    assert_eq!(canonical_bytes(&deepest).unwrap(), nested(MAX_DEPTH));
    assert_eq!(from_dag_json(to_dag_json(&nested(MAX_DEPTH)).unwrap().as_bytes()).unwrap(), nested(MAX_DEPTH));
    assert_eq!(validate(&nested(MAX_DEPTH + 1)).unwrap_err().problem, Problem::Depth);
    assert!(to_dag_json(&nested(MAX_DEPTH + 1)).is_err());
    assert!(from_dag_json(&[vec![b'['; 100_000], vec![b']'; 100_000]].concat()).is_err());
    assert!(validate(&vec![0x81; 100_000]).is_err());
    assert_eq!(validate(&vec![0x40; 9 << 20]).unwrap_err().problem, Problem::TooLong);
    // Lengths that lie.
    for head in
        ["9b ffffffffffffffff", "bb ffffffffffffffff", "5b ffffffffffffffff", "7b 7fffffffffffffff", "9a ffffffff 00"]
    {
        assert_eq!(validate(&hex(head)).unwrap_err().problem, Problem::Truncated, "{head}");
        assert!(decode_block::<Vec<u64>>(&hex(head)).is_err());
    }
}

/// A sample's block with its data, or an outer field, replaced.
fn altered(edit: impl FnOnce(&mut std::collections::BTreeMap<String, Ipld>)) -> Vec<u8> {
    let block = canonical_bytes(&samples::typical()).unwrap();
    let Ipld::Map(mut map) = decode_block(&block).unwrap() else { unreachable!() };
    edit(&mut map);
    canonical_bytes(&Ipld::Map(map)).unwrap()
}

fn with_data(key: &str, value: Ipld) -> Vec<u8> {
    altered(|event| {
        let Some(Ipld::Map(data)) = event.get_mut("data") else { unreachable!() };
        data.insert(key.to_owned(), value);
    })
}

#[test]
fn events_are_held_to_more() {
    for (value, problem) in [
        (ipld!(1.5), Problem::EventFloat),
        (ipld!(null), Problem::EventNull),
        (Ipld::Integer(1 << 53), Problem::EventInteger),
        (Ipld::Integer(-(1 << 53)), Problem::EventInteger),
        (ipld!({ "/": "x" }), Problem::EventKey),
    ] {
        let block = with_data("zz_new", value);
        validate(&block).unwrap();
        assert_eq!(validate_event(&block).unwrap_err().problem, problem);
        assert_eq!(Envelope::parse(&block).unwrap_err().problem, problem);
        let error = ContentAddressedEvent::<KeyEvent>::decode(block).unwrap_err();
        assert!(matches!(error, DecodeError::Block(block) if block.problem == problem));
    }
    for edge in [(1 << 53) - 1, 1 - (1 << 53)] {
        ContentAddressedEvent::<KeyEvent>::decode(with_data("zz_new", Ipld::Integer(edge))).unwrap();
    }
}

#[test]
fn an_event_that_breaks_the_rules_cannot_be_made() {
    for data in [ipld!({ "a": 1.5 }), ipld!({ "a": null }), ipld!({ "/": 1 }), ipld!({ "a": 9007199254740992i64 })] {
        let unknown = cim_keys::events::UnknownEvent { event_type: "Later".into(), schema: 1, data };
        let event = KeyEvent { data: EventData::Unknown(unknown), ..samples::typical() };
        assert!(matches!(ContentAddressedEvent::new(event).unwrap_err(), EncodeError::NotForEvents(_)));
    }
}

#[test]
fn a_newer_releases_extra_field_is_no_damage() {
    for block in
        [with_data("zz_new", ipld!({ "deep": [1, 2] })), altered(|event| _ = event.insert("zz_new".into(), ipld!("x")))]
    {
        let event = ContentAddressedEvent::<KeyEvent>::decode(block.clone()).unwrap();
        assert_eq!(event.event, samples::typical());
        assert!(event.verify().unwrap());
        assert_eq!(event.block(), block);
        assert_eq!(event.cid, cid_of_block(&block));
        let mut changed = event.clone();
        changed.event.occurred_at = cim_keys::time::Timestamp::now();
        assert!(!changed.verify().unwrap());
    }
}

#[test]
fn an_unknown_type_or_schema_is_kept_byte_for_byte() {
    let later_schema = altered(|event| _ = event.insert("schema".into(), ipld!(99)));
    let later_type = altered(|event| {
        event.insert("type".into(), ipld!("SomethingLater"));
        event.insert("data".into(), ipld!({ "b": [true, "x", { "c": -1 }], "zz": Ipld::Bytes(vec![1, 2]) }));
    });
    for block in [later_schema, later_type] {
        let event = ContentAddressedEvent::<KeyEvent>::decode(block.clone()).unwrap();
        assert!(matches!(event.event.data, EventData::Unknown(_)));
        assert!(event.verify().unwrap());
        assert_eq!(canonical_bytes(&event.event).unwrap(), block);
    }
    for bad in ["", "a b", "a.b", "*", &"x".repeat(65)] {
        let block = altered(|event| _ = event.insert("type".into(), ipld!(bad)));
        assert!(ContentAddressedEvent::<KeyEvent>::decode(block).is_err(), "{bad}");
    }
}

#[test]
fn an_event_has_all_its_fields_and_each_is_what_it_must_be() {
    for field in ["id", "data", "type", "actor", "causes", "schema", "occurred_at", "correlation_id"] {
        let missing = altered(|event| _ = event.remove(field));
        assert_eq!(Envelope::parse(&missing).unwrap_err().problem, Problem::Missing(field));
        let other = altered(|event| _ = event.insert(field.into(), ipld!(true)));
        assert!(ContentAddressedEvent::<KeyEvent>::decode(other).is_err(), "{field}");
        let text = altered(|event| _ = event.insert(field.into(), ipld!("?")));
        if field != "type" {
            assert!(ContentAddressedEvent::<KeyEvent>::decode(text).is_err(), "{field}");
        }
    }
    for schema in [ipld!(-1), ipld!(4294967296u64)] {
        assert!(Envelope::parse(&altered(|event| _ = event.insert("schema".into(), schema))).is_err());
    }
    for block in ["", "a0", "80", "00", "f6"] {
        assert!(Envelope::parse(&hex(block)).is_err());
        assert!(ContentAddressedEvent::<KeyEvent>::decode(hex(block)).is_err());
    }
}

#[test]
fn messages_come_apart_as_they_were_put_together() {
    for event in samples::events() {
        let event = ContentAddressedEvent::new(event).unwrap();
        let mut body = Vec::new();
        cim_keys::ipld_support::append_message_body(&event.cid, event.block(), &mut body).unwrap();
        assert_eq!(parse_message_body(&body).unwrap(), (event.cid, event.block().to_vec()));
    }
    for bad in [
        "{}",
        "[]",
        "1",
        "{\"cid\":1,\"event\":{}}",
        "{\"event\":{}}",
        "{\"cid\":{\"/\":\"bafkqabiaaebagba\"},\"event\":{}}",
        "",
    ] {
        assert!(parse_message_body(bad.as_bytes()).is_err(), "{bad}");
    }
}

#[test]
fn dag_json_is_read_strictly() {
    for good in [
        " { \"b\" : 1 , \"a\" : [ true , null ] } ",
        "\"\\u00e9\\ud83d\\ude00\\n\\/\"",
        "-18446744073709551616",
        "18446744073709551615",
        "1e3",
        "{\"/\":{\"bytes\":\"\"}}",
        "[]",
    ] {
        let block = from_dag_json(good.as_bytes()).unwrap_or_else(|error| panic!("{good}: {error}"));
        validate(&block).unwrap();
    }
    for bad in [
        "",
        " ",
        "{",
        "[",
        "\"",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "[1,]",
        "[,]",
        "{,}",
        "01",
        "1.",
        ".5",
        "+1",
        "-",
        "-0",
        "1e",
        "1e999",
        "18446744073709551616",
        "-18446744073709551617",
        "nul",
        "True",
        "'a'",
        "\"\u{1}\"",
        "\"\\x\"",
        "\"\\ud800\"",
        "\"\\udc00\\ud800\"",
        "\"\\u12\"",
        "1 2",
        "{\"a\":1 \"b\":2}",
        "{\"a\":1,\"a\":2}",
        "{\"/\":1}",
        "{\"/\":\"x\"}",
        "{\"a\":1,\"/\":1}",
        "{\"/\":{\"bytes\":\"oQ==\"}}",
        "{\"/\":{\"bytes\":\"oR\"}}",
        "{\"/\":{\"bytes\":\"oQ\",\"x\":1}}",
        "{\"/\":{\"bytes\":\"oQ\"},\"x\":1}",
        "{\"/\":{\"byte\":\"oQ\"}}",
        "{\"/\":\"bafkqabiaaebagba\",\"a\":1}",
        "NaN",
        "Infinity",
        "/*x*/1",
        "\u{feff}1",
    ] {
        assert!(from_dag_json(bad.as_bytes()).is_err(), "{bad}");
    }
    assert!(from_dag_json(b"\"\xff\"").is_err());
    assert!(to_dag_json(&hex("a1 612f 01")).is_err());
}

#[test]
fn an_encoder_that_is_used_within_itself_keeps_both_values_apart() {
    struct Nested(KeyEvent);
    impl Serialize for Nested {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let cid = generate_cid(&self.0).map_err(serde::ser::Error::custom)?;
            (1, cid, verify_cid(&self.0, &cid).unwrap()).serialize(serializer)
        }
    }
    let event = samples::typical();
    let cid = generate_cid(&event).unwrap();
    assert_eq!(canonical_bytes(&Nested(event)).unwrap(), canonical_bytes(&(1, cid, true)).unwrap());
}
