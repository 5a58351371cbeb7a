//! What content addressing costs: a typical event to its identifier, and a block back to an event, beside others' libraries.
//!
//! `cargo xtask bench codec`. Python's figure is a loop of its own inside one process, in the same run; it needs
//! `CIM_KEYS_PYTHON`, which `cargo xtask` sets.
#![allow(clippy::unwrap_used)]

use std::hint::black_box;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Instant;

use cim_keys::events::KeyEvent;
use cim_keys::ipld_support::{
    ContentAddressedEvent, Envelope, append_message_body, canonical_bytes, cid_of_block, decode_block, from_dag_json,
    generate_cid, parse_cid, to_dag_json, validate_event, verify_block,
};
use cim_keys_testkit::samples;
use criterion::{Criterion, criterion_group, criterion_main};

/// The sample whose block is nearest to 550 bytes.
fn typical() -> KeyEvent {
    samples::events().into_iter().min_by_key(|event| canonical_bytes(event).unwrap().len().abs_diff(550)).unwrap()
}

fn encode(c: &mut Criterion) {
    let event = typical();
    let block = canonical_bytes(&event).unwrap();
    println!(
        "the typical event: {}, {} bytes as a block, {} as JSON",
        event.event_type(),
        block.len(),
        serde_json::to_vec(&event).unwrap().len()
    );
    let mut group = c.benchmark_group("event to identifier");
    group.bench_function("generate_cid", |b| b.iter(|| generate_cid(black_box(&event)).unwrap()));
    group.bench_function("serde_ipld_dagcbor, then hash", |b| {
        b.iter(|| cid_of_block(&serde_ipld_dagcbor::to_vec(black_box(&event)).unwrap()));
    });
    group.bench_function("serde_json, then hash", |b| {
        b.iter(|| cid_of_block(&serde_json::to_vec(black_box(&event)).unwrap()));
    });
    group.bench_function("the hash alone", |b| b.iter(|| cid_of_block(black_box(&block))));
    group.bench_function("canonical_bytes", |b| b.iter(|| canonical_bytes(black_box(&event)).unwrap()));
    group.finish();
    python(&block);
}

fn decode(c: &mut Criterion) {
    let whole = ContentAddressedEvent::new(typical()).unwrap();
    let (cid, block) = (whole.cid, whole.block());
    let mut group = c.benchmark_group("block to event");
    group.bench_function("strict verify and decode", |b| {
        b.iter(|| {
            assert!(verify_block(black_box(block), &cid));
            decode_block::<KeyEvent>(block).unwrap()
        });
    });
    group.bench_function("decode", |b| b.iter(|| decode_block::<KeyEvent>(black_box(block)).unwrap()));
    group.bench_function("validate_event", |b| b.iter(|| validate_event(black_box(block)).unwrap()));
    group.bench_function("Envelope::parse", |b| b.iter(|| Envelope::parse(black_box(block)).unwrap().schema));
    group.bench_function("serde_ipld_dagcbor, not strict", |b| {
        b.iter(|| serde_ipld_dagcbor::from_slice::<KeyEvent>(black_box(block)).unwrap());
    });
    group.finish();
}

fn text(c: &mut Criterion) {
    let whole = ContentAddressedEvent::new(typical()).unwrap();
    let (cid, block) = (whole.cid, whole.block());
    let (json, cid_text) = (to_dag_json(block).unwrap(), cid.to_string());
    let mut body = Vec::new();
    let mut group = c.benchmark_group("text");
    group.bench_function("block to message body", |b| {
        b.iter(|| {
            body.clear();
            append_message_body(&cid, black_box(block), &mut body).unwrap();
        });
    });
    group.bench_function("DAG-JSON to block", |b| b.iter(|| from_dag_json(black_box(json.as_bytes())).unwrap()));
    group.bench_function("parse_cid", |b| b.iter(|| parse_cid(black_box(&cid_text)).unwrap()));
    group.finish();
}

/// Prints what the same work costs Python's `libipld`, and us: each the fastest of 30 rounds of 10,000 events.
fn python(block: &[u8]) {
    let event: KeyEvent = decode_block(block).unwrap();
    let rounds = (0..30).map(|_| {
        let start = Instant::now();
        for _ in 0..10_000 {
            black_box(generate_cid(black_box(&event)).unwrap());
        }
        start.elapsed() / 10_000
    });
    println!("event to identifier/generate_cid, fastest round: {} ns", rounds.min().unwrap_or_default().as_nanos());
    const LOOP: &str = "
import hashlib, sys, time
import libipld
block = sys.stdin.buffer.read()
event = libipld.decode_dag_cbor(block)
def identifier():
    return b'\\x01\\x71\\x12\\x20' + hashlib.sha256(libipld.encode_dag_cbor(event)).digest()
best = 1e9
for _ in range(30):
    start = time.perf_counter()
    for _ in range(10000):
        identifier()
    best = min(best, time.perf_counter() - start)
print(f'event to identifier/Python libipld, then hash, fastest round: {best / 10000 * 1e9:.0f} ns')
";
    let Some(python) = std::env::var_os("CIM_KEYS_PYTHON") else {
        return println!("SKIPPED: CIM_KEYS_PYTHON names no Python with libipld");
    };
    let mut child =
        Command::new(python).args(["-c", LOOP]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(block).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "Python's loop failed");
    print!("{}", String::from_utf8_lossy(&output.stdout));
}

criterion_group!(benches, encode, decode, text);
criterion_main!(benches);
