//! Blocks from anywhere: what decodes is canonical, verifies, and comes back byte for byte.
#![no_main]

use cim_keys::events::{EventData, KeyEvent};
use cim_keys::ipld_support::{
    ContentAddressedEvent, Envelope, canonical_bytes, decode_block, from_dag_json, to_dag_json, validate,
    validate_event,
};
use ipld_core::ipld::Ipld;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let valid = validate(bytes);
    match decode_block::<Ipld>(bytes) {
        Ok(value) => {
            assert_eq!(valid, Ok(()));
            assert_eq!(canonical_bytes(&value).as_deref(), Ok(bytes));
            assert_eq!(serde_ipld_dagcbor::from_slice::<Ipld>(bytes).ok(), Some(value));
            if let Ok(text) = to_dag_json(bytes) {
                assert_eq!(from_dag_json(text.as_bytes()).as_deref(), Ok(bytes));
            }
        }
        // A link may hold a hash that is too long for the typed value, and that is the only difference.
        Err(_) => assert!(valid.is_err() || bytes.windows(2).any(|pair| pair == [0xd8, 0x2a])),
    }
    if valid.is_err() {
        assert!(validate_event(bytes).is_err() && to_dag_json(bytes).is_err());
    }
    let Ok(event) = ContentAddressedEvent::<KeyEvent>::decode(bytes) else { return };
    assert_eq!(validate_event(bytes), Ok(()));
    assert!(event.verify().unwrap() && event.block() == bytes);
    let envelope = Envelope::parse(bytes).unwrap();
    assert_eq!((envelope.event_type, envelope.schema), (event.event.event_type(), event.event.schema()));
    let again = canonical_bytes(&event.event).unwrap();
    assert_eq!(decode_block::<KeyEvent>(&again).as_ref(), Ok(&event.event));
    if matches!(event.event.data, EventData::Unknown(_)) {
        assert_eq!(Envelope::parse(&again).unwrap().data, envelope.data);
    }
});
