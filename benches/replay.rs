//! The way back from a stream, beside a bare ordered consumer that only counts messages.
//!
//! `cargo xtask bench replay` runs everything; a number after it is the size of the stream. Each is read in turn from one
//! server, several times; medians count.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::time::{Duration, Instant};

use async_nats::jetstream;
use async_nats::jetstream::consumer::pull::OrderedConfig;
use cim_keys::adapters::NatsClientAdapter;
use cim_keys::adapters::stream_reader::StreamReader;
use cim_keys::config::{NatsConfig, Payload};
use cim_keys::events::EventData;
use cim_keys::ledger::Command;
use cim_keys::log::{History, KeyChain, PublishedHistory, VerifierKey};
use cim_keys::replica::replay::Replica;
use cim_keys::replica::stream::{self, Flow, LedgerStream};
use cim_keys::session::Place;
use cim_keys::session::heads;
use cim_keys::store::Store;
use cim_keys_testkit::{NatsServer, ServerOptions, samples};
use futures_util::StreamExt as _;
use tokio::runtime::Runtime;

#[path = "../tests/support/mod.rs"]
mod support;

const ROUNDS: usize = 7;

/// How many events of the ledger one commit and one signed head had.
const SIGNED_EVERY: usize = 500;

fn main() {
    let size = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).next().unwrap_or(100_000);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    for payload in [Payload::DagJson, Payload::DagCbor] {
        let Some(server) = ServerOptions::default().jetstream("max_file_store: 8GB").start() else { return };
        let config = NatsConfig { url: server.url().parse().unwrap(), payload, ..NatsConfig::default() };
        let key = publish(&runtime, &config, size);
        compare(&runtime, &server, &config, &key, size);
    }
}

/// A ledger of so many events, signed and published.
fn publish(runtime: &Runtime, config: &NatsConfig, size: u64) -> VerifierKey {
    let ledger = support::log::Ledger::new();
    let organization = samples::data().into_iter().find_map(|data| match data {
        EventData::OrganizationCreated(created) => Some(Command::CreateOrganization(created)),
        _ => None,
    });
    support::log::act(&ledger.store, vec![organization.unwrap()]).unwrap();
    let mut people = samples::numbered(size).map(|event| match event.data {
        EventData::PersonCreated(person) => Command::CreatePerson(person),
        data => panic!("{data:?} is no person"),
    });
    loop {
        let some: Vec<_> = people.by_ref().take(SIGNED_EVERY).collect();
        if some.is_empty() {
            break;
        }
        support::log::act(&ledger.store, some).unwrap();
        heads::sign_head(&ledger.store, &*ledger.signer).unwrap();
    }
    runtime.block_on(async {
        let adapter = NatsClientAdapter::with_ledger(config.clone(), Box::new(ledger.store.outbox().unwrap())).unwrap();
        adapter.flush_queue().await.unwrap();
        adapter.shutdown().await.unwrap();
    });
    ledger.store.verifier_key().unwrap()
}

fn compare(runtime: &Runtime, server: &NatsServer, config: &NatsConfig, key: &VerifierKey, size: u64) {
    println!("{size} events, bodies in {:?}: messages/s (and of the bare consumer)", config.payload);
    let open = || {
        let reader = runtime.block_on(StreamReader::connect(config)).unwrap();
        LedgerStream::new(runtime.handle().clone(), reader, key)
    };
    let (mut bare, mut read, mut verified) = (Vec::new(), Vec::new(), Vec::new());
    let (mut replayed, mut looked) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        bare.push(timed(size, || count(runtime, &server.url())));
        read.push(timed(size, || follow(&open(), key)));
        verified.push(timed(size, || {
            assert!(stream::verify(&open(), Vec::new(), &mut |_, _| {}).unwrap().report.ok());
        }));
        let folder = tempfile::tempdir().unwrap();
        replayed.push(timed(size, || replay(&open(), key, folder.path())));
        let place = Place::new(folder.path().join("mirror"), folder.path());
        let mirror = Store::open_read_only(place.options()).unwrap();
        assert!(mirror.end().unwrap() > size);
        looked.push(timed(size, || mirror.view(|_| ()).unwrap()));
    }
    let row = |what: &str, rates: &[f64]| {
        // Each with what was measured beside it: the machine is not the same in every round.
        let ratios: Vec<f64> = rates.iter().zip(&bare).map(|(rate, bare)| rate / bare).collect();
        println!("  {what:44} {:9.0}  ({:.2})", median(rates), median(&ratios));
    };
    row("bare ordered consumer", &bare);
    row("verified: identifiers, heads, tree, signatures", &read);
    row("verify --from nats: causes and types as well", &verified);
    row("replay into a mirror", &replayed);
    row("the first look at an entity of it, afterwards", &looked);
}

fn timed(size: u64, act: impl FnOnce()) -> f64 {
    std::thread::sleep(Duration::from_millis(500));
    let started = Instant::now();
    act();
    size as f64 / started.elapsed().as_secs_f64()
}

fn median(rates: &[f64]) -> f64 {
    let mut rates = rates.to_vec();
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

/// What a reader that looks at nothing costs.
fn count(runtime: &Runtime, url: &str) {
    runtime.block_on(async {
        let client = async_nats::connect(url).await.unwrap();
        let stream = jetstream::new(client).get_stream("CIM_KEYS_EVENTS").await.unwrap();
        let consumer = stream.create_consumer(OrderedConfig::default()).await.unwrap();
        let mut messages = consumer.messages().await.unwrap();
        while let Some(message) = messages.next().await {
            if message.unwrap().info().unwrap().pending == 0 {
                break;
            }
        }
    });
}

fn follow(stream: &LedgerStream, key: &VerifierKey) {
    let mut history = PublishedHistory::from_head(History::new().forgetful(), None, Some(KeyChain::new(key.clone())));
    stream
        .follow(1, &mut history, &mut |_, _| Ok::<_, cim_keys::adapters::stream_reader::StreamReadError>(Flow::On))
        .unwrap();
    assert!(history.problems().is_empty() && history.signed() == history.closed());
}

fn replay(stream: &LedgerStream, key: &VerifierKey, folder: &Path) {
    let place = Place::new(folder.join("mirror"), folder);
    Replica::new(stream, place, key).unwrap().catch_up(None, &mut |_, _| {}).unwrap();
}
