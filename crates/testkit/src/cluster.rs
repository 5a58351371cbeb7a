//! Three servers that are one cluster, for streams of three replicas.

use std::time::{Duration, Instant};

use async_nats::jetstream;

use crate::nats_server::{NatsServer, ServerOptions, free_port};

/// How long a cluster may take to choose leaders, on a busy machine.
const LEADER_WITHIN: Duration = Duration::from_secs(60);

/// A cluster of three on loopback.
#[derive(Debug)]
pub struct Cluster {
    /// Its members, called `n1`, `n2` and `n3`.
    pub members: Vec<NatsServer>,
}

impl Cluster {
    /// Starts three servers and waits until JetStream has a leader. `None` when there is no server here, which was said.
    ///
    /// # Panics
    /// When the cluster does not form.
    pub async fn run() -> Option<Self> {
        let routes: Vec<u16> = (0..3).map(|_| free_port()).collect();
        let urls: Vec<String> = routes.iter().map(|port| format!("\"nats://127.0.0.1:{port}\"")).collect();
        let mut members = Vec::new();
        for (i, route) in routes.iter().enumerate() {
            let conf = format!("cluster {{ name: test, listen: 127.0.0.1:{route}, routes: [{}] }}", urls.join(", "));
            let options = ServerOptions::default().name(&format!("n{}", i + 1)).conf(&conf);
            let folder = tempfile::TempDir::with_prefix("cim-keys-nats-").expect("a folder for the server");
            members.push(options.prepare(folder)?);
        }
        members.iter_mut().for_each(NatsServer::spawn);
        members.iter_mut().for_each(NatsServer::start);
        let cluster = Self { members };
        cluster.wait_for_jetstream().await;
        Some(cluster)
    }

    /// The addresses of all members.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        self.members.iter().map(NatsServer::url).collect()
    }

    /// Which member leads a stream.
    ///
    /// # Panics
    /// When the stream has no leader for long.
    pub async fn leader_of(&self, stream: &str) -> usize {
        let until = Instant::now() + LEADER_WITHIN;
        loop {
            if let Some(leader) = self.try_leader_of(stream).await {
                return leader;
            }
            assert!(Instant::now() < until, "{stream} has no leader");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn try_leader_of(&self, stream: &str) -> Option<usize> {
        let client = async_nats::connect(self.urls()).await.ok()?;
        let info = jetstream::new(client).get_stream(stream).await.ok()?.cached_info().clone();
        let leader = info.cluster?.leader?;
        leader.strip_prefix('n')?.parse::<usize>().ok()?.checked_sub(1)
    }

    async fn wait_for_jetstream(&self) {
        let until = Instant::now() + LEADER_WITHIN;
        loop {
            if let Ok(client) = async_nats::connect(self.urls()).await
                && jetstream::new(client).query_account().await.is_ok()
            {
                return;
            }
            assert!(Instant::now() < until, "the cluster chose no leader:\n{}", self.members[0].log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}
