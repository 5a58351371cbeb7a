//! Every sample event through the codec: the same bytes as the reference library, back to the same event, and true CIDs.

use cim_keys::events::{EventData, KeyEvent};
use cim_keys::ipld_support::{
    ContentAddressedEvent, Envelope, canonical_bytes, decode_block, generate_cid, parse_cid, validate_event,
    verify_block, verify_cid,
};
use cim_keys_testkit::samples;

#[test]
fn samples_encode_as_the_reference_library_does_and_come_back() {
    for event in samples::events() {
        let block = canonical_bytes(&event).unwrap();
        assert_eq!(block, serde_ipld_dagcbor::to_vec(&event).unwrap(), "{}", event.event_type());
        validate_event(&block).unwrap();
        assert_eq!(decode_block::<KeyEvent>(&block).unwrap(), event);
        assert_eq!(serde_ipld_dagcbor::from_slice::<KeyEvent>(&block).unwrap(), event);
        assert!(!matches!(event.data, EventData::Unknown(_)));

        let cid = generate_cid(&event).unwrap();
        assert!(verify_cid(&event, &cid).unwrap() && verify_block(&block, &cid));
        assert_eq!(parse_cid(&cid.to_string()).unwrap(), cid);

        let envelope = Envelope::parse(&block).unwrap();
        assert_eq!(envelope.id, event.id.to_string());
        assert_eq!((envelope.event_type, envelope.schema), (event.event_type(), event.schema()));
        assert_eq!(envelope.occurred_at, event.occurred_at.to_string());
        assert_eq!(envelope.correlation_id, event.correlation_id.to_string());
        assert!(envelope.causes.iter().eq(event.causes.iter().map(|link| *link.cid())));
        assert_eq!(envelope.data, canonical_bytes(&event.data).unwrap());
    }
}

#[test]
fn changed_fields_do_not_verify() {
    let mut events = samples::events();
    let (first, second) = (events.remove(0), events.remove(0));
    let made = ContentAddressedEvent::new(first.clone()).unwrap();
    let decoded = ContentAddressedEvent::<KeyEvent>::decode(made.block()).unwrap();
    for whole in [made, decoded] {
        assert!(whole.verify().unwrap());
        let mut other_cid = whole.clone();
        other_cid.cid = generate_cid(&second).unwrap();
        assert!(!other_cid.verify().unwrap());
        let mut other_event = whole.clone();
        other_event.event = second.clone();
        assert!(!other_event.verify().unwrap());
        let mut other_both = whole.clone();
        other_both.event = second.clone();
        other_both.cid = generate_cid(&second).unwrap();
        assert!(!other_both.verify().unwrap());
    }
}
