//! A ledger that publishes and signs, and what reads its stream.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use async_nats::jetstream;
use cid::Cid;
use cim_keys::adapters::NatsClientAdapter;
use cim_keys::adapters::stream_reader::{Selection, StreamReader};
use cim_keys::config::NatsConfig;
use cim_keys::log::{SignedCheckpoint, VerifierKey};
use cim_keys::replica::stream::{self, LedgerStream, StreamVerified};
use cim_keys::session::heads;
use cim_keys_testkit::check::Contents;
use cim_keys_testkit::{NatsServer, folders};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::support::log::Ledger;

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
        NatsServer::run().map(Self::on)
    }

    /// The same on a server that is there.
    pub(crate) fn on(server: NatsServer) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        Self { runtime, server, ledger: Ledger::new() }
    }

    pub(crate) fn config(&self) -> NatsConfig {
        config(&self.server.url())
    }

    pub(crate) fn key(&self) -> VerifierKey {
        self.ledger.store.verifier_key().unwrap()
    }

    /// Records so many events, signs the head, and publishes everything.
    pub(crate) fn grow_sign_publish(&self, count: usize) -> SignedCheckpoint {
        self.ledger.grow(count);
        let signed = heads::sign_head(&self.ledger.store, &*self.ledger.signer).unwrap();
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
        LedgerStream::new(self.runtime.handle().clone(), reader, &self.key())
    }

    pub(crate) fn verify(&self) -> StreamVerified {
        stream::verify(&self.stream(), Vec::new(), &mut |_, _| {}).unwrap()
    }

    pub(crate) fn client(&self) -> async_nats::Client {
        self.runtime.block_on(async_nats::connect(self.server.url())).unwrap()
    }

    /// The raw stream, as its operator has it.
    pub(crate) fn raw_stream(&self) -> jetstream::stream::Stream {
        let client = self.client();
        self.runtime.block_on(async { jetstream::new(client).get_stream(STREAM).await }).unwrap()
    }

    /// Everything that the stream holds.
    pub(crate) fn contents(&self) -> Contents {
        let client = self.client();
        self.runtime.block_on(Contents::read(&client, STREAM))
    }

    /// The positions of the events that say that they were put back.
    pub(crate) fn restored(&self) -> Vec<u64> {
        let reader = self.runtime.block_on(StreamReader::connect(&self.config())).unwrap();
        let mut positions = Vec::new();
        let everything = Selection { headers_only: true, ..Selection::default() };
        let read = reader.read(&everything, async |chunk| {
            let marked = chunk.iter().filter(|message| message.header("Cim-Restored") == Some("true"));
            positions.extend(marked.filter_map(|message| message.header("Cim-Position")?.parse::<u64>().ok()));
            true
        });
        self.runtime.block_on(read).unwrap();
        positions.sort_unstable();
        positions
    }

    /// A ledger as it was at an earlier time, on a server of its own.
    pub(crate) fn set_back(&self, before: TempDir) -> Self {
        let server = NatsServer::run().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        Self { runtime, server, ledger: Ledger::reopen(before) }
    }

    /// A ledger as it was at an earlier time, with the same server.
    pub(crate) fn set_back_here(self, before: TempDir) -> Self {
        Self { ledger: Ledger::reopen(before), ..self }
    }

    /// Stops the server and copies its store.
    pub(crate) fn stop_and_snapshot_server(&mut self) -> TempDir {
        self.server.stop();
        copy_folder(&self.server.store())
    }

    /// Stops the server and puts an older copy of its store in its place.
    pub(crate) fn stop_and_restore_server(&mut self, old: &TempDir) {
        self.server.stop();
        std::fs::remove_dir_all(self.server.store()).unwrap();
        folders::copy(old.path(), &self.server.store());
    }

    /// Kills the server and cuts the file of the events' messages in the middle, as a power failure does.
    pub(crate) fn stop_and_truncate_store(&mut self) {
        self.server.kill();
        let messages = |path: &PathBuf| {
            let of_events = path.components().any(|part| part.as_os_str() == STREAM);
            of_events && path.extension().is_some_and(|extension| extension == "blk")
        };
        let blocks = folders::files(&self.server.store()).into_iter().filter(messages);
        let block = blocks.max_by_key(|path| std::fs::metadata(path).unwrap().len()).unwrap();
        let length = std::fs::metadata(&block).unwrap().len();
        std::fs::OpenOptions::new().write(true).open(&block).unwrap().set_len(length * 2 / 3).unwrap();
    }

    /// The sequence at which a position stands.
    pub(crate) fn sequence_of(&self, position: u64) -> u64 {
        let contents = self.contents();
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

/// The stream of a world, read for a key.
pub(crate) fn stream_of(world: &World, key: &VerifierKey) -> LedgerStream {
    let reader = world.runtime.block_on(StreamReader::connect(&world.config())).unwrap();
    LedgerStream::new(world.runtime.handle().clone(), reader, key)
}

/// A copy of a ledger's folder.
pub(crate) fn copy_of(folder: &TempDir) -> TempDir {
    copy_folder(folder.path())
}

fn copy_folder(from: &Path) -> TempDir {
    let to = TempDir::with_prefix("cim-keys-copy-").unwrap();
    folders::copy(from, to.path());
    to
}
