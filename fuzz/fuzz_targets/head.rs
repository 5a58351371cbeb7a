//! Heads as a server may give them back: what parses is written again as the same head.
#![no_main]

use cim_keys::delivery::Head;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let source = "fuzz".parse().unwrap();
    if let Ok(head) = Head::parse(bytes, &source) {
        assert_eq!(Head::parse(&head.to_json(), &source).unwrap(), head);
    }
});
