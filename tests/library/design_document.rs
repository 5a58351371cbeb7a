//! The worked example of `docs/design.md` is what the code makes, byte for byte.

use cim_keys::events::KeyEvent;
use cim_keys::ipld_support::{ContentAddressedEvent, append_message_body};
use cim_keys_testkit::samples;

const DESIGN: &str = include_str!("../../docs/design.md");

/// The text of the one fenced block that begins with this line.
fn fenced(opening: &str) -> &'static str {
    let (_, rest) = DESIGN.split_once(&format!("\n{opening}\n")).unwrap();
    rest.split_once("\n```").unwrap().0
}

fn example() -> ContentAddressedEvent<KeyEvent> {
    let event = samples::events().into_iter().find(|event| event.event_type() == "LocationClosed").unwrap();
    ContentAddressedEvent::new(event).unwrap()
}

#[test]
fn the_block() {
    let event = example();
    let hex: String = fenced("```block").lines().map(|line| line.split('#').next().unwrap()).collect();
    let digits: Vec<u32> = hex.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_digit(16).unwrap()).collect();
    let bytes: Vec<u8> = digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect();
    assert_eq!(bytes, event.block(), "as it should be:\n{}", dump(event.block()));
    assert!(DESIGN.contains(&format!("{} bytes", event.block().len())));
}

#[test]
fn the_identifier() {
    let event = example();
    let bytes: String = event.cid.to_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let shown: String = fenced("```cid").lines().map(|line| line.split('#').next().unwrap().trim()).collect();
    assert_eq!(shown.replace(' ', ""), bytes);
    assert!(DESIGN.contains(&event.cid.to_string()), "{}", event.cid);
}

#[test]
fn the_body() {
    let event = example();
    let mut body = Vec::new();
    append_message_body(&event.cid, event.block(), &mut body).unwrap();
    let shown: String = fenced("```json").lines().map(str::trim_start).collect();
    assert_eq!(shown, String::from_utf8(body).unwrap());
}

/// The bytes, one item a line, with what they say.
fn dump(block: &[u8]) -> String {
    let mut out = String::new();
    let mut at = 0;
    while let Some(&head) = block.get(at) {
        let (extra, length) = match head & 0x1f {
            24 => (1, usize::from(block[at + 1])),
            short => (0, usize::from(short)),
        };
        let head_end = at + 1 + extra;
        let (end, what) = match head >> 5 {
            3 => {
                let end = head_end + length;
                (end, format!("\"{}\"", std::str::from_utf8(&block[head_end..end]).unwrap()))
            }
            2 => (head_end + length, format!("{length} bytes")),
            4 => (head_end, format!("a list of {length}")),
            5 => (head_end, format!("a map of {length}")),
            6 => (head_end, "tag 42: a link".to_owned()),
            _ => (head_end, length.to_string()),
        };
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        out += &format!("{} {}  # {what}\n", hex(&block[at..head_end]), hex(&block[head_end..end]));
        at = end;
    }
    out
}
