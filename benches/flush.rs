//! A backlog on its way to a stream: from the ledger and from the file queue, beside a plain client that pipelines.
//!
//! `cargo xtask bench flush` runs everything; names after it choose parts: `message`, `default`, `always`, `memory`,
//! `growth`, and `memory-child` is for itself. Each comparison runs on one server, in turn, several times; medians count.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use async_nats::jetstream;
use async_nats::jetstream::message::PublishMessage;
use cim_keys::adapters::NatsClientAdapter;
use cim_keys::adapters::message::{EventMessage, MessageWriter};
use cim_keys::config::NatsConfig;
use cim_keys::delivery::outbox::Outbox;
use cim_keys::events::{EventData, KeyEvent};
use cim_keys::ipld_support::{ContentAddressedEvent, EventBlock};
use cim_keys::log::VerifierKey;
use cim_keys::queue::{FileQueue, MAX_APPEND};
use cim_keys::store::{FollowedEvent, Mirror, StoreOptions};
use cim_keys::time::Timestamp;
use cim_keys_testkit::{NatsServer, ServerOptions, samples};

/// The backlog of the comparisons.
const BACKLOG: u64 = 100_000;

/// How many publishes the plain client has in flight.
const IN_FLIGHT: usize = 1_024;

/// How often the comparison with the default runs; the other one takes minutes.
const ROUNDS: usize = 3;

/// How long the plain client waits for an acknowledgement: a thousand syncs of a busy disk.
const PATIENCE: Duration = Duration::from_secs(60);

/// A pause before each measurement: the server has removed the stream before, and the disk has written what was prepared.
const SETTLE: Duration = Duration::from_secs(3);

fn main() {
    let chosen: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    if let Some(part) = chosen.iter().find(|part| part.starts_with("memory-child")) {
        return memory_child(part);
    }
    let wanted = |part: &str| chosen.is_empty() || chosen.iter().any(|chosen| chosen == part);
    if wanted("message") {
        message();
    }
    if wanted("default") {
        comparison("sync_interval: 2m, the default", "max_file_store: 8GB", ROUNDS, BACKLOG);
    }
    if wanted("always") {
        // The plain client's rate is that of the disk, whatever the backlog: the first part of it is enough to tell.
        comparison("sync_interval: always", "max_file_store: 8GB, sync_interval: always", 1, BACKLOG / 10);
    }
    if wanted("memory") {
        memory(1_000_000);
    }
    if wanted("growth") {
        for events in [10_000, 100_000, 1_000_000] {
            memory(events);
        }
    }
}

/// How long this thread was on a processor so far: other programs don't count.
fn cpu_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(text.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0))
}

/// What an event costs the client before it is sent.
fn message() {
    let folder = tempfile::tempdir().unwrap();
    let mut queue = FileQueue::open(&folder.path().join("queue.jsonl")).unwrap();
    fill(&mut queue, 20_000);
    let started = cpu_time();
    let entries = queue.read(0, usize::MAX, usize::MAX).unwrap();
    let reading = cpu_time() - started;
    let writer = MessageWriter::new(&NatsConfig::default(), queue.source());
    let mut bytes = 0;
    let started = cpu_time();
    for entry in &entries {
        bytes += writer.write(entry, 1 << 20, None).unwrap().body.len();
    }
    let writing = cpu_time() - started;
    let each = |time: Duration| time.as_nanos() as f64 / entries.len() as f64 / 1_000.0;
    println!("one event of {} bytes:", bytes / entries.len());
    println!("  read from the file queue and verified  {:5.2} µs", each(reading));
    println!("  made into a message                    {:5.2} µs", each(writing));
}

fn addressed(count: u64) -> impl Iterator<Item = ContentAddressedEvent<KeyEvent>> {
    // A ledger takes no cause that it does not hold, and the samples' causes are made up.
    let without_causes = |event| KeyEvent { causes: Vec::new(), ..event };
    samples::numbered(count).map(move |event| ContentAddressedEvent::new(without_causes(event)).unwrap())
}

fn fill(queue: &mut FileQueue, count: u64) {
    let mut events = addressed(count);
    loop {
        let some: Vec<_> = events.by_ref().take(MAX_APPEND / 10).collect();
        if some.is_empty() {
            break;
        }
        queue.append(&some).unwrap();
    }
}

/// The plain client, the ledger and the file queue, in turn, on one server.
fn comparison(title: &str, jetstream: &str, rounds: usize, plainly: u64) {
    let Some(server) = ServerOptions::default().jetstream(jetstream).start() else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    println!("{title}: a backlog of {BACKLOG} events, events/s (and of the plain client)");
    let (mut plain, mut ledger, mut queue) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        plain.push(runtime.block_on(plain_client(&server, plainly)));
        ledger.push(runtime.block_on(from_the_ledger(&server)));
        queue.push(runtime.block_on(from_the_queue(&server, BACKLOG)));
        eprintln!("  round {}: {:.0} {:.0} {:.0}", round + 1, plain[round], ledger[round], queue[round]);
    }
    let (plain, ledger, queue) = (median(plain), median(ledger), median(queue));
    println!("  plain async-nats, {IN_FLIGHT} in flight, Nats-Msg-Id  {plain:8.0}");
    println!("  from the ledger                               {ledger:8.0}  ({:.2})", ledger / plain);
    println!("  from the file queue                           {queue:8.0}  ({:.2})", queue / plain);
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn per_second(events: u64, time: Duration) -> f64 {
    events as f64 / time.as_secs_f64()
}

/// What a plain client is at its best: the same messages, made beforehand, each published with its identifier, with so many
/// acknowledgements awaited at once. As with ours, connecting and making the stream are part of it.
async fn plain_client(server: &NatsServer, count: u64) -> f64 {
    let messages = messages(count);
    tokio::time::sleep(SETTLE).await;
    let started = Instant::now();
    let client = async_nats::connect(server.url()).await.unwrap();
    let context = jetstream::context::ContextBuilder::new()
        .max_ack_inflight(IN_FLIGHT * 2)
        .timeout(PATIENCE)
        .build(client.clone());
    let stream = jetstream::stream::Config {
        name: "PLAIN".into(),
        subjects: vec!["cim.keys.>".into()],
        ..jetstream::stream::Config::default()
    };
    context.create_stream(stream).await.unwrap();
    // One task publishes, another awaits the acknowledgements in their order, which is faster than one for both.
    let (sent, mut acks) = tokio::sync::mpsc::channel::<jetstream::context::PublishAckFuture>(IN_FLIGHT);
    let acknowledged = tokio::spawn(async move {
        let mut count = 0;
        while let Some(ack) = acks.recv().await {
            ack.await.unwrap();
            count += 1;
        }
        count
    });
    for message in messages {
        let id = message.headers.get("ce-id").unwrap().as_str().to_owned();
        let publish = PublishMessage::build().headers(message.headers).payload(message.body).message_id(id);
        sent.send(context.send_publish(message.subject, publish).await.unwrap()).await.unwrap();
    }
    drop(sent);
    let stored: u64 = acknowledged.await.unwrap();
    let time = started.elapsed();
    assert_eq!(stored, count);
    context.delete_stream("PLAIN").await.unwrap();
    per_second(count, time)
}

fn messages(count: u64) -> Vec<EventMessage> {
    let source = "queue-01890a5d-ac96-774b-8000-000000000001".parse().unwrap();
    let writer = MessageWriter::new(&NatsConfig::default(), &source);
    let entry = |(position, event): (u64, ContentAddressedEvent<KeyEvent>)| {
        let entry = cim_keys::delivery::outbox::Entry {
            position,
            cid: event.cid,
            aggregate: event.event.aggregate().unwrap().to_string(),
            event_type: event.event.event_type().to_owned(),
            block: event.into_block(),
        };
        writer.write(&entry, 1 << 20, None).unwrap()
    };
    (1..).zip(addressed(count)).map(entry).collect()
}

fn config(server: &NatsServer) -> NatsConfig {
    NatsConfig { url: server.url().parse().unwrap(), ..NatsConfig::default() }
}

async fn from_the_ledger(server: &NatsServer) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let store = ledger(folder.path(), BACKLOG);
    let outbox = store.store().outbox().unwrap();
    let backlog = outbox.end().unwrap();
    tokio::time::sleep(SETTLE).await;
    let adapter = NatsClientAdapter::with_ledger(config(server), Box::new(outbox)).unwrap();
    flush(server, adapter, backlog).await
}

async fn from_the_queue(server: &NatsServer, backlog: u64) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queue.jsonl");
    fill(&mut FileQueue::open(&path).unwrap(), backlog);
    tokio::time::sleep(SETTLE).await;
    let adapter = NatsClientAdapter::new(config(server), &path).unwrap();
    flush(server, adapter, backlog).await
}

/// The time from before the connection to the last acknowledgement; the backlog is on the disk already.
async fn flush(server: &NatsServer, adapter: NatsClientAdapter, backlog: u64) -> f64 {
    let started = Instant::now();
    adapter.connect().await.unwrap();
    adapter.flush_queue().await.unwrap();
    let time = started.elapsed();
    adapter.shutdown().await.unwrap();
    let client = async_nats::connect(server.url()).await.unwrap();
    let context = jetstream::new(client);
    let mut stream = context.get_stream("CIM_KEYS_EVENTS").await.unwrap();
    assert!(stream.info().await.unwrap().state.messages > backlog, "all events and their heads");
    context.delete_stream("CIM_KEYS_EVENTS").await.unwrap();
    per_second(backlog, time)
}

/// So many events, and one of its own: a mirror takes events as they are, and publishes as its ledger does.
fn ledger(folder: &Path, events: u64) -> Mirror {
    // The samples' times are fixed, and nothing may come before what is there.
    let before: Timestamp = "2026-01-01T00:00:00.000000Z".parse().unwrap();
    let created = samples::data().into_iter().find(|data| matches!(data, EventData::LedgerCreated(_))).unwrap();
    let first = KeyEvent { occurred_at: before, causes: Vec::new(), ..samples::event(0, created.clone()) };
    let EventData::LedgerCreated(created) = created else { unreachable!("it was looked for") };
    let key = VerifierKey::of_ledger(&created.name, &created.public_key, &created.public_key).unwrap();
    let options = StoreOptions::new(folder.join("ledger.db"), folder.join("tokens"));
    let mirror = Mirror::create(options, followed(ContentAddressedEvent::new(first).unwrap()), &key).unwrap();
    let mut events = addressed(events).map(followed);
    loop {
        let some: Vec<_> = events.by_ref().take(10_000).collect();
        if some.is_empty() {
            return mirror;
        }
        mirror.record(mirror.store().end().unwrap() + 1, some, Vec::new()).unwrap();
    }
}

fn followed(event: ContentAddressedEvent<KeyEvent>) -> FollowedEvent {
    let aggregate = event.event.aggregate().unwrap().as_str().parse().unwrap();
    FollowedEvent { cid: event.cid, aggregate, block: EventBlock::parse(event.block().to_vec()).unwrap() }
}

/// The flush of a backlog in a process of its own, which then says how much memory it ever had.
fn memory(events: u64) {
    let Some(server) = ServerOptions::default().jetstream("max_file_store: 8GB").start() else { return };
    for (name, make) in [("ledger", make_ledger as fn(&Path, u64)), ("queue", make_queue)] {
        let folder = tempfile::tempdir().unwrap();
        make(folder.path(), events);
        let child = Command::new(std::env::current_exe().unwrap())
            .arg(format!("memory-child:{name}:{events}:{}:{}", folder.path().display(), server.url()))
            .output()
            .unwrap();
        assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
        print!("a backlog of {events:>7} from the {name:6}: {}", String::from_utf8_lossy(&child.stdout));
    }
}

fn make_ledger(folder: &Path, events: u64) {
    drop(ledger(folder, events));
}

fn make_queue(folder: &Path, events: u64) {
    fill(&mut FileQueue::open(&folder.join("queue.jsonl")).unwrap(), events);
}

fn memory_child(part: &str) {
    let parts: Vec<&str> = part.splitn(5, ':').collect();
    let (name, events, folder, url) = (parts[1], parts[2].parse::<u64>().unwrap(), Path::new(parts[3]), parts[4]);
    let config = NatsConfig { url: url.parse().unwrap(), ..NatsConfig::default() };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let started = Instant::now();
    let (opened, flushed) = runtime.block_on(async {
        let adapter = if name == "ledger" {
            let options = cim_keys::store::StoreOptions::new(folder.join("ledger.db"), folder.join("tokens"));
            let store = cim_keys::store::Store::open(options).unwrap();
            NatsClientAdapter::with_ledger(config, Box::new(store.outbox().unwrap())).unwrap()
        } else {
            NatsClientAdapter::new(config, folder.join("queue.jsonl")).unwrap()
        };
        let opened = started.elapsed();
        adapter.connect().await.unwrap();
        adapter.flush_queue().await.unwrap();
        let flushed = started.elapsed() - opened;
        adapter.shutdown().await.unwrap();
        (opened, flushed)
    });
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("not known here").trim();
    let rate = per_second(events, flushed);
    println!("opened in {:.0} ms, {rate:.0} events/s, peak memory {peak}", opened.as_secs_f64() * 1e3);
    runtime.block_on(async {
        let client = async_nats::connect(url).await.unwrap();
        jetstream::new(client).delete_stream("CIM_KEYS_EVENTS").await.unwrap();
    });
}
