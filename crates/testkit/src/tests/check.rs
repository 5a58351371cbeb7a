//! The check that every test of delivery ends in notices each thing that could be wrong.

use cid::Cid;
use cim_keys::ipld_support::generate_cid;

use crate::check::{Contents, Expected, HeadMessage, Message};
use crate::samples;

/// Ten events in two batches, each closed by a head, and the identifiers of the events.
fn good() -> (Contents, Vec<Cid>) {
    let mut contents = Contents::default();
    let mut cids = Vec::new();
    let mut sequence = 0;
    for (position, event) in (1..).zip(samples::numbered(10)) {
        let cid = generate_cid(&event).unwrap();
        sequence += 1;
        contents.events.push(Message {
            sequence,
            subject: event.subject(&"cim.keys".parse().unwrap()).unwrap(),
            source: "s".into(),
            position,
            cid: cid.to_string(),
            body: serde_ipld_dagcbor::to_vec(&event).unwrap(),
        });
        cids.push(cid);
        if position % 5 == 0 {
            sequence += 1;
            let previous = contents.heads.last().map(|head: &HeadMessage| (head.sequence, head.position));
            let (source, cid) = ("s".to_owned(), cid.to_string());
            let (parked, checkpoint) = (Vec::new(), None);
            contents.heads.push(HeadMessage { sequence, source, position, cid, previous, parked, checkpoint });
        }
    }
    (contents, cids)
}

/// What is said after a change.
fn problems(parked: &[u64], change: impl FnOnce(&mut Contents)) -> String {
    let (mut contents, cids) = good();
    change(&mut contents);
    let expected = Expected { source: "s", cids: &cids, first: 1, parked, heads: true };
    expected.problems(&contents).join("\n")
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    assert_eq!(problems(&[], |_| {}), "");
    // Another source's messages are not this one's.
    let other = |contents: &mut Contents| {
        let mut copy = contents.events[3].clone();
        (copy.source, copy.sequence) = ("t".into(), 99);
        contents.events.push(copy);
    };
    assert_eq!(problems(&[], other), "");
}

#[test]
fn each_fault_is_found_and_named() {
    type Change = fn(&mut Contents);
    let cases: [(&str, Change); 12] = [
        ("position 4 is lost", |c| drop(c.events.remove(3))),
        ("position 4 twice", |c| {
            let copy = Message { sequence: 13, ..c.events[3].clone() };
            c.events.push(copy);
        }),
        ("position 3 comes after position 4", |c| c.events.swap(2, 3)),
        ("position 11 was never accepted", |c| c.events[9].position = 11),
        ("the CID is", |c| c.events[6].body[40] ^= 1),
        ("was accepted", |c| c.events[6].cid = c.events[5].cid.clone()),
        ("follows None", |c| c.heads[1].previous = None),
        ("goes back to position", |c| c.heads.iter_mut().zip([10, 5]).for_each(|(head, to)| head.position = to)),
        ("names", |c| c.heads[1].cid = c.heads[0].cid.clone()),
        ("claims what is not there: position 5", |c| c.heads[0].sequence = c.events[4].sequence),
        ("is behind the last head", |c| drop(c.heads.pop())),
        ("calls parked what is there: position 2", |c| c.heads[0].parked.push(2)),
    ];
    for (words, change) in cases {
        let found = problems(&[], change);
        assert!(found.contains(words), "{words}: {found}");
    }
}

#[test]
fn a_parked_event_is_not_in_the_stream_and_in_the_head() {
    let park = |contents: &mut Contents| {
        contents.events.remove(3);
        contents.heads.iter_mut().for_each(|head| head.parked.push(4));
    };
    assert_eq!(problems(&[4], park), "");
    assert!(problems(&[], park).contains("position 4 is lost"));
    assert!(problems(&[4], |_| {}).contains("is parked, and in the stream"));
    // Its retry comes late, and the next head does not call it parked any more.
    let retried = |contents: &mut Contents| {
        let (mut late, last) = (contents.events.remove(3), contents.heads[1].clone());
        contents.heads.iter_mut().for_each(|head| head.parked.push(4));
        late.sequence = 13;
        contents.events.push(late);
        let previous = Some((last.sequence, last.position));
        contents.heads.push(HeadMessage { sequence: 14, previous, parked: Vec::new(), ..last });
    };
    assert_eq!(problems(&[], retried), "");
}
