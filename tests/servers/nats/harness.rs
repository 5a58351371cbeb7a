//! A publisher as an application would embed it, and what the tests do with it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use async_nats::jetstream;
use cid::Cid;
use cim_keys::adapters::NatsClientAdapter;
use cim_keys::config::{NatsConfig, ServerUrl};
use cim_keys::delivery::outbox::Outbox as _;
use cim_keys::events::{EventData, KeyEvent, PolicyCreated};
use cim_keys::ipld_support::generate_cid;
use cim_keys::queue::FileQueue;
use cim_keys_testkit::check::{Contents, check_everything};
use cim_keys_testkit::samples;
use serde_json::{Value, json};
use tempfile::TempDir;

/// The stream of the default configuration.
pub(crate) const STREAM: &str = "CIM_KEYS_EVENTS";

/// How long a backlog may take once nothing is in its way, on a busy machine.
const SETTLES_WITHIN: Duration = Duration::from_secs(90);

/// The configuration that most tests use: many small batches, short waits.
pub(crate) fn config(url: &str) -> NatsConfig {
    NatsConfig { url: url.parse().unwrap(), publish_batch: 50, connection_timeout_secs: 3, ..NatsConfig::default() }
}

/// An adapter with a file queue of its own, and what was accepted through it.
pub(crate) struct Publisher {
    pub(crate) adapter: NatsClientAdapter,
    pub(crate) accepted: Vec<Cid>,
    pub(crate) config: NatsConfig,
    pub(crate) queue: PathBuf,
    /// The number of the first of its events: two publishers never record the same act.
    pub(crate) first: usize,
    _folder: Option<TempDir>,
}

impl Publisher {
    /// A publisher on a new queue.
    pub(crate) fn new(config: NatsConfig) -> Self {
        let folder = TempDir::with_prefix("cim-keys-queue-").unwrap();
        let mut publisher = Self::on(config, &folder.path().join("queue.jsonl"));
        publisher._folder = Some(folder);
        publisher
    }

    /// A publisher on a queue that may be there already.
    pub(crate) fn on(config: NatsConfig, queue: &Path) -> Self {
        let adapter = NatsClientAdapter::new(config.clone(), queue).unwrap();
        Self { adapter, accepted: Vec::new(), config, queue: queue.to_owned(), first: 0, _folder: None }
    }

    /// Accepts so many more events.
    pub(crate) async fn publish(&mut self, count: usize) {
        let next = self.first + self.accepted.len();
        let events: Vec<KeyEvent> = samples::numbered_from(next as u64, count as u64).collect();
        self.publish_these(&events).await;
    }

    /// Accepts these events.
    pub(crate) async fn publish_these(&mut self, events: &[KeyEvent]) {
        self.adapter.publish_batch(events).await.unwrap();
        self.accepted.extend(events.iter().map(|event| generate_cid(event).unwrap()));
    }

    /// How many wait.
    pub(crate) async fn queued(&self) -> usize {
        self.adapter.queue_size().await.unwrap()
    }

    /// Waits until the outbox is empty, by itself and by flushing.
    pub(crate) async fn settle(&self) {
        self.settle_to(0).await;
    }

    /// Waits until only so many wait.
    pub(crate) async fn settle_to(&self, left: usize) {
        settle(&self.adapter, left).await;
    }

    /// The positions that are parked.
    pub(crate) async fn parked(&self) -> Vec<u64> {
        self.adapter.parked().await.unwrap().iter().map(|one| one.position).collect()
    }

    /// Asks for another try of parked events, as `queue retry` does.
    pub(crate) async fn retry(&self, positions: &[u64]) {
        self.adapter.retry(positions).await.unwrap();
    }

    /// Stops a publisher whose disk failed.
    pub(crate) async fn close_after_failure(self) -> Closed {
        let _ = self.adapter.shutdown().await;
        Closed { accepted: self.accepted, config: self.config, queue: self.queue, _folder: self._folder }
    }

    /// Stops the publisher; the queue can be opened again.
    pub(crate) async fn close(self) -> Closed {
        self.adapter.shutdown().await.unwrap();
        Closed { accepted: self.accepted, config: self.config, queue: self.queue, _folder: self._folder }
    }
}

/// A publisher that was stopped.
pub(crate) struct Closed {
    pub(crate) accepted: Vec<Cid>,
    pub(crate) config: NatsConfig,
    pub(crate) queue: PathBuf,
    _folder: Option<TempDir>,
}

impl Closed {
    /// Starts it again.
    pub(crate) fn reopen(self) -> Publisher {
        let adapter = NatsClientAdapter::new(self.config.clone(), &self.queue).unwrap();
        let Self { accepted, config, queue, _folder } = self;
        Publisher { adapter, accepted, config, queue, first: 0, _folder }
    }

    /// The check of a whole run, through a connection that has no fault.
    pub(crate) async fn check(&self, url: &str) {
        self.check_with(&connect(url).await).await;
    }

    /// The same through a connection that a test made.
    pub(crate) async fn check_with(&self, client: &async_nats::Client) {
        let outbox = FileQueue::open(&self.queue).unwrap();
        check_everything(client, STREAM, &outbox, &self.accepted).await;
    }

    /// The source's name.
    pub(crate) fn source(&self) -> String {
        FileQueue::open(&self.queue).unwrap().source().to_string()
    }

    /// The events of this source that the stream holds.
    pub(crate) async fn published(&self, client: &async_nats::Client) -> Vec<Cid> {
        let source = self.source();
        let contents = Contents::read(client, STREAM).await;
        let own = contents.events.iter().filter(|event| event.source == source);
        own.map(|event| event.cid.parse().unwrap()).collect()
    }
}

/// Flushes until only so many events wait.
pub(crate) async fn settle(adapter: &NatsClientAdapter, left: usize) {
    let until = Instant::now() + SETTLES_WITHIN;
    loop {
        let flushed = adapter.flush_queue().await;
        let waiting = adapter.load_queue().await.unwrap();
        if waiting <= left {
            return;
        }
        assert!(Instant::now() < until, "{waiting} wait still; the last flush: {flushed:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The most frequent end of a test: drain, stop, check.
pub(crate) async fn settle_and_check(publisher: Publisher, url: &str) {
    publisher.settle().await;
    publisher.close().await.check(url).await;
}

/// A plain client.
pub(crate) async fn connect(url: &str) -> async_nats::Client {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let parsed: ServerUrl = url.parse().unwrap();
        let options = match parsed.login() {
            Some((user, password)) => async_nats::ConnectOptions::with_user_and_password(user, password),
            None => async_nats::ConnectOptions::new(),
        };
        match options.connect(parsed.reveal()).await {
            Ok(client) => return client,
            Err(error) => assert!(Instant::now() < until, "{url}: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A stream that keeps the promise, with these settings changed.
pub(crate) fn stream_with(changes: Value) -> Value {
    let mut config = json!({
        "name": STREAM, "subjects": ["cim.keys.>", "cim.checkpoints.>"], "retention": "limits", "storage": "file",
        "num_replicas": 1, "allow_atomic": true,
    });
    let Value::Object(changes) = changes else { panic!("{changes} changes nothing") };
    config.as_object_mut().unwrap().extend(changes);
    config
}

/// Makes a stream before the publisher comes, by the plain API: the server's own words, whatever its age.
pub(crate) async fn make_stream(client: &async_nats::Client, config: &Value) {
    stream_api(client, "CREATE", config).await;
}

/// `CREATE`, `UPDATE` or `DELETE` of a stream.
pub(crate) async fn stream_api(client: &async_nats::Client, act: &str, config: &Value) {
    let subject = format!("$JS.API.STREAM.{act}.{}", config["name"].as_str().unwrap());
    let body = if act == "DELETE" { String::new() } else { config.to_string() };
    let answer = client.request(subject, body.into()).await.unwrap();
    let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
    assert!(answer.get("error").is_none(), "{act} {config}: {answer}");
}

/// A plain client with creds.
pub(crate) async fn connect_with(url: &str, creds: &Path) -> async_nats::Client {
    async_nats::ConnectOptions::with_credentials_file(creds).await.unwrap().connect(url).await.unwrap()
}

/// Waits until this holds.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let until = Instant::now() + SETTLES_WITHIN;
    while !holds().await {
        assert!(Instant::now() < until, "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// How many messages the stream holds.
pub(crate) async fn stored(client: &async_nats::Client) -> u64 {
    let Ok(mut stream) = jetstream::new(client.clone()).get_stream(STREAM).await else { return 0 };
    stream.info().await.map_or(0, |info| info.state.messages)
}

/// An event with a document of so many bytes.
pub(crate) fn large_event(bytes: usize) -> KeyEvent {
    let policy = samples::data().into_iter().find_map(|data| match data {
        EventData::PolicyCreated(policy) => Some(policy),
        _ => None,
    });
    let policy = PolicyCreated { document: "x".repeat(bytes).parse().unwrap(), ..policy.unwrap() };
    samples::event(900_000 + bytes as u64, policy.into())
}
