//! Messages of a stream that somebody has changed: each change is found and named. The messages come from a real server;
//! most changes are made to a recording of them, by the same code that reads the stream, and some in the server itself.
//!
//! `CIM_KEYS_TAMPER_SEED=N` repeats one seed.

use async_nats::HeaderMap;
use cim_keys::adapters::message::{Incoming, MessageReader, StreamMessage};
use cim_keys::adapters::stream_reader::{Selection, StreamReader};
use cim_keys::keys::pair::SoftwareKey;
use cim_keys::log::{KeyKind, SignedCheckpoint, VerifierKey};
use cim_keys::replica::stream::{StreamVerified, verify_recorded};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::support::{World, text};

/// How many changes are tried.
const SEEDS: u64 = 4_000;

/// The headers that a reader looks at.
const READ: [&str; 7] =
    ["ce-id", "ce-source", "ce-type", "ce-time", "ce-subject", "ce-datacontenttype", "Cim-Position"];

struct Recording {
    messages: Vec<StreamMessage>,
    reader: MessageReader,
    key: VerifierKey,
    held: SignedCheckpoint,
    /// A checkpoint of the same head, by somebody else's key.
    forged: String,
}

impl Recording {
    fn of(world: &World) -> Self {
        world.grow_sign_publish(25);
        world.ledger.grow(9);
        world.publish();
        let held = world.grow_sign_publish(12);
        let reader = world.runtime.block_on(StreamReader::connect(&world.config())).unwrap();
        let mut messages = Vec::new();
        let everything = Selection::default();
        let read = reader.read(&everything, async |chunk| {
            messages.extend(chunk);
            true
        });
        world.runtime.block_on(read).unwrap();
        let key = world.key();
        let secret = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
        let other = VerifierKey::new(key.name().clone(), KeyKind::Ledger, secret.verifying_key());
        let forged = held.checkpoint().sign(&other, &*SoftwareKey::new(secret.into())).unwrap().to_string();
        Self { messages, reader: MessageReader::new(&world.config(), &key.source()), key, held, forged }
    }

    fn verify(&self, messages: &[StreamMessage]) -> StreamVerified {
        verify_recorded(messages, &self.reader, &self.key, vec![self.held.clone()]).unwrap()
    }

    /// What a message means to a reader.
    fn meaning(&self, message: &StreamMessage) -> String {
        format!("{:?}", self.reader.read(message))
    }
}

fn found(verified: &StreamVerified) -> bool {
    !verified.report.ok() || !verified.unreached.is_empty()
}

/// One change; what it was, in words, or nothing where it changed nothing that has a meaning.
fn tamper(recording: &Recording, messages: &mut Vec<StreamMessage>, random: &mut StdRng) -> Option<String> {
    let at = random.random_range(0..messages.len());
    let before = recording.meaning(&messages[at]);
    let kind = random.random_range(0..8);
    let what = match kind {
        0 => {
            let mut body = messages[at].body.to_vec();
            let byte = random.random_range(0..body.len());
            body[byte] ^= 1 << random.random_range(0..8);
            messages[at].body = body.into();
            format!("flip byte {byte} of the body of {at}")
        }
        1 => {
            let length = random.random_range(0..messages[at].body.len());
            messages[at].body = messages[at].body.slice(..length);
            format!("cut the body of {at} to {length}")
        }
        2 => {
            let name = READ[random.random_range(0..READ.len())];
            let value = messages[at].header(name)?.to_owned();
            let mut bytes = value.into_bytes();
            let byte = random.random_range(0..bytes.len());
            bytes[byte] ^= 1 << random.random_range(0..7);
            let value = String::from_utf8(bytes).ok().filter(|value| !value.contains(['\r', '\n']))?;
            messages[at].headers.insert(name, value);
            format!("flip a bit of {name} of {at}")
        }
        3 => {
            let mut subject = messages[at].subject.clone().into_bytes();
            let byte = random.random_range(0..subject.len());
            subject[byte] ^= 1 << random.random_range(0..7);
            messages[at].subject = String::from_utf8(subject).ok()?;
            format!("flip a bit of the subject of {at}")
        }
        4 => {
            messages.remove(at);
            return Some(format!("drop {at}"));
        }
        5 => {
            let other = random.random_range(0..messages.len());
            if other == at {
                return None;
            }
            let (one, two) = (messages[at].sequence, messages[other].sequence);
            messages.swap(at, other);
            (messages[at].sequence, messages[other].sequence) = (one, two);
            return Some(format!("swap {at} and {other}"));
        }
        6 => {
            let mut copy = messages[at].clone();
            copy.sequence = messages.last().unwrap().sequence + 1;
            messages.push(copy);
            return Some(format!("repeat {at} at the end"));
        }
        _ => {
            let Ok(Incoming::Head { mut head, .. }) = recording.reader.read(&messages[at]) else { return None };
            head.checkpoint.as_ref()?;
            head.checkpoint = Some(recording.forged.clone());
            messages[at].body = head.to_json().into();
            format!("sign the head {at} with another key")
        }
    };
    // A header that nobody reads, or another way to write the same head.
    (recording.meaning(&messages[at]) != before).then_some(what)
}

/// A head without its checkpoint is what heads are when nothing was signed: it claims less.
fn only_claims_less(recording: &Recording, messages: &[StreamMessage]) -> bool {
    let heads = |messages: &[StreamMessage]| -> Vec<_> {
        let read = messages.iter().filter_map(|message| match recording.reader.read(message) {
            Ok(Incoming::Head { mut head, .. }) => {
                head.checkpoint = None;
                Some(head)
            }
            _ => None,
        });
        read.collect()
    };
    heads(messages) == heads(&recording.messages)
        && recording.messages.iter().zip(messages).all(|(one, other)| {
            matches!(recording.reader.read(one), Ok(Incoming::Head { .. }))
                || recording.meaning(one) == recording.meaning(other)
        })
}

#[test]
fn every_change_of_a_recorded_stream_is_found_and_named() {
    let Some(world) = World::new() else { return };
    let recording = Recording::of(&world);
    let clean = recording.verify(&recording.messages);
    assert!(!found(&clean), "{}", text(&clean));
    assert_eq!(clean.signed, recording.held.size());
    let seeds = match std::env::var("CIM_KEYS_TAMPER_SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => seed..seed + 1,
        None => 0..SEEDS,
    };
    let mut changed = 0;
    for seed in seeds {
        let mut random = StdRng::seed_from_u64(seed);
        let mut messages = recording.messages.clone();
        let Some(what) = tamper(&recording, &mut messages, &mut random) else { continue };
        changed += 1;
        let verified = recording.verify(&messages);
        if found(&verified) {
            assert!(verified.report.problems.iter().all(|problem| !problem.what.is_empty()));
            continue;
        }
        assert!(only_claims_less(&recording, &messages), "CIM_KEYS_TAMPER_SEED={seed}: {what}: not found");
        assert!(verified.signed <= clean.signed, "{seed}: {what}");
    }
    assert!(changed > 0);
}

/// Somebody who may publish puts messages of their own into the stream.
#[test]
fn what_is_put_into_a_real_stream_is_named() {
    let Some(world) = World::new() else { return };
    let recording = Recording::of(&world);
    let client = world.client();
    let publish = |message: &StreamMessage, change: &dyn Fn(&mut HeaderMap, &mut Vec<u8>)| {
        let (mut headers, mut body) = (HeaderMap::new(), message.body.to_vec());
        for (name, values) in message.headers.iter() {
            let name: &str = name.as_ref();
            if !name.starts_with("Nats-") {
                headers.insert(name, values[0].as_str());
            }
        }
        change(&mut headers, &mut body);
        world.runtime.block_on(async {
            let context = async_nats::jetstream::new(client.clone());
            let sent = context.publish_with_headers(message.subject.clone(), headers, body.into()).await.unwrap();
            sent.await.unwrap().sequence
        })
    };
    let event = &recording.messages[3];
    let again = publish(event, &|_, _| {});
    let flipped = publish(event, &|headers, body| {
        headers.insert("Cim-Position", "60");
        let at = body.len() / 2;
        body[at] ^= 1;
    });
    let foreign = publish(event, &|headers, _| headers.insert("Cim-Position", "9"));
    let verified = world.verify();
    let text = text(&verified);
    for sequence in [again, flipped, foreign] {
        assert!(
            text.contains(&format!("sequence {sequence}")) || text.contains(&format!("message {sequence}")),
            "{text}"
        );
    }
    assert_eq!(verified.report.problems.len(), 3, "{text}");
    let head = recording.messages.iter().find(|message| message.subject.starts_with("cim.checkpoints.")).unwrap();
    let sequence = publish(head, &|_, _| {});
    let text = super::support::text(&world.verify());
    assert!(text.contains(&format!("the head at sequence {sequence}")), "{text}");
}
