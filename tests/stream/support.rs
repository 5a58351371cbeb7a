//! A ledger that publishes and signs, and what reads its stream.

use std::time::{Duration, Instant};

use async_nats::jetstream;
use cid::Cid;
use cim_keys::adapters::NatsClientAdapter;
use cim_keys::adapters::stream_reader::StreamReader;
use cim_keys::app::log;
use cim_keys::app::stream::{self, LedgerStream, StreamVerified};
use cim_keys::config::NatsConfig;
use cim_keys::log::{SignedCheckpoint, VerifierKey};
use cim_keys_testkit::NatsServer;
use tokio::runtime::Runtime;

use crate::log_support::Ledger;

pub(crate) const STREAM: &str = "CIM_KEYS_EVENTS";

/// How long a backlog may take once nothing is in its way, on a busy machine.
const SETTLES_WITHIN: Duration = Duration::from_secs(90);

/// A server, a ledger that publishes to it, and a runtime for both.
pub(crate) struct World {
    pub(crate) runtime: Runtime,
    pub(crate) server: NatsServer,
    pub(crate) ledger: Ledger,
}

pub(crate) fn config(url: &str) -> NatsConfig {
    NatsConfig { url: url.parse().unwrap(), publish_batch: 20, connection_timeout_secs: 5, ..NatsConfig::default() }
}

impl World {
    /// A ledger of a few events, and a server; `None` when there is no server here, which was said.
    pub(crate) fn new() -> Option<Self> {
        let server = NatsServer::run()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        Some(Self { runtime, server, ledger: Ledger::new() })
    }

    pub(crate) fn config(&self) -> NatsConfig {
        config(&self.server.url())
    }

    pub(crate) fn key(&self) -> VerifierKey {
        log::verifier_key(&self.ledger.store).unwrap()
    }

    /// Records so many events, signs the head, and publishes everything.
    pub(crate) fn grow_sign_publish(&self, count: usize) -> SignedCheckpoint {
        self.ledger.grow(count);
        let signed = log::sign_head(&self.ledger.store, &self.ledger.secret).unwrap();
        self.publish();
        signed
    }

    pub(crate) fn publish(&self) {
        self.publish_with(self.config());
    }

    pub(crate) fn publish_with(&self, config: NatsConfig) {
        let outbox = Box::new(self.ledger.store.outbox().unwrap());
        self.runtime.block_on(async {
            let adapter = NatsClientAdapter::with_ledger(config, outbox).unwrap();
            let until = Instant::now() + SETTLES_WITHIN;
            loop {
                let flushed = adapter.flush_queue().await;
                if flushed.is_ok() {
                    break;
                }
                assert!(Instant::now() < until, "{flushed:?}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            adapter.shutdown().await.unwrap();
        });
    }

    pub(crate) fn cids(&self) -> Vec<Cid> {
        self.ledger.store.iter(1).map(|recorded| recorded.unwrap().cid).collect()
    }

    pub(crate) fn stream(&self) -> LedgerStream {
        self.stream_with(&self.config())
    }

    pub(crate) fn stream_with(&self, config: &NatsConfig) -> LedgerStream {
        let reader = self.runtime.block_on(StreamReader::connect(config)).unwrap();
        LedgerStream::new(self.runtime.handle().clone(), reader, &self.key().source())
    }

    pub(crate) fn verify(&self) -> StreamVerified {
        stream::verify(&self.stream(), &self.key(), Vec::new(), &mut |_, _| {}).unwrap()
    }

    pub(crate) fn client(&self) -> async_nats::Client {
        self.runtime.block_on(async_nats::connect(self.server.url())).unwrap()
    }

    /// The raw stream, as its operator has it.
    pub(crate) fn raw_stream(&self) -> jetstream::stream::Stream {
        let client = self.client();
        self.runtime.block_on(async { jetstream::new(client).get_stream(STREAM).await }).unwrap()
    }

    /// The sequence at which a position stands.
    pub(crate) fn sequence_of(&self, position: u64) -> u64 {
        let client = self.client();
        let contents = self.runtime.block_on(cim_keys_testkit::check::Contents::read(&client, STREAM));
        contents.events.iter().find(|event| event.position == position).unwrap().sequence
    }

    pub(crate) fn delete(&self, sequences: impl IntoIterator<Item = u64>) {
        let stream = self.raw_stream();
        for sequence in sequences {
            assert!(self.runtime.block_on(stream.delete_message(sequence)).unwrap());
        }
    }
}

/// The problems as one text.
pub(crate) fn text(verified: &StreamVerified) -> String {
    verified.report.problems.iter().map(|problem| problem.what.clone()).collect::<Vec<_>>().join("\n")
}
