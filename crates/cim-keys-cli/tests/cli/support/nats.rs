//! A ledger with a NATS operator, and a real server that trusts it.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use cim_keys_testkit::nats_server::{NatsServer, ServerOptions};
use serde_json::Value;

use super::{Place, Run, STREAM};

/// A ledger for an operator, its system account and its other accounts.
pub struct Nats {
    pub place: Place,
    flags: [String; 2],
}

impl Nats {
    /// A ledger with an operator `ACME`, its signing key, its system account, and an account `ORDERS` with JetStream.
    pub fn new() -> Self {
        let nats = Self::bare();
        nats.ok(&["operator", "add", "ACME", "--service-url", "nats://127.0.0.1:4222"]);
        nats.ok(&["account", "add", "ORDERS", "--js-enable"]);
        nats
    }

    /// A ledger without an operator.
    pub fn bare() -> Self {
        let place = Place::new();
        let (root, issuing) = place.passphrase_flags();
        Self { place, flags: [root, issuing] }
    }

    /// The flags that give the passphrases.
    pub fn flags(&self) -> [&str; 2] {
        self.flags.each_ref().map(String::as_str)
    }

    /// Runs `nats …`, with the passphrases where something may be signed.
    pub fn run(&self, args: &[&str]) -> Run {
        let reads = args[0] == "server-config" || matches!(args.get(1), Some(&("list" | "show")));
        let flags = if reads { Vec::new() } else { self.flags().to_vec() };
        self.place.run(&[&["nats"], args, &flags].concat())
    }

    #[track_caller]
    pub fn ok(&self, args: &[&str]) -> Vec<Value> {
        self.run(args).json()
    }

    /// The types of the events that were recorded.
    #[track_caller]
    pub fn types(&self, args: &[&str]) -> Vec<String> {
        self.ok(args).iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect()
    }

    /// A user's credentials, written anew.
    #[track_caller]
    pub fn creds(&self, which: &str) -> String {
        let path = self.place.at(&format!("{}.creds", which.replace('/', "-")));
        let _ = std::fs::remove_file(&path);
        self.ok(&["creds", which, "--file", &path]);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        path
    }

    /// A server that trusts the operator and knows the current accounts. `None` when there is no server here, which was reported.
    pub fn server(&self) -> Option<NatsServer> {
        let config = self.run(&["server-config", "--output", "text", "--resolver", "memory"]);
        assert_eq!(config.code, 0, "{config:?}");
        ServerOptions::default().conf(&config.stdout).start()
    }
}

/// Connects with credentials.
pub async fn connect(url: &str, creds: &str) -> Result<async_nats::Client, String> {
    let options = async_nats::ConnectOptions::new().credentials_file(creds).await.unwrap();
    options.connect(url).await.map_err(|error| error.to_string())
}

/// Takes a message out of the stream, as its operator can.
pub fn delete_message(url: &str, sequence: u64) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let client = async_nats::connect(url).await.unwrap();
        let stream = async_nats::jetstream::new(client).get_stream(STREAM).await.unwrap();
        assert!(stream.delete_message(sequence).await.unwrap());
    });
}

/// What a server says to a client that publishes: nothing, or its refusal.
pub async fn publishes(server: &NatsServer, creds: &str, subject: &str) -> Result<(), String> {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let client = async_nats::ConnectOptions::new()
        .event_callback(move |event| {
            let tell = tell.clone();
            async move {
                let _ = tell.send(event.to_string());
            }
        })
        .credentials_file(creds)
        .await
        .unwrap()
        .connect(server.url())
        .await
        .map_err(|error| error.to_string())?;
    client.publish(subject.to_owned(), "x".into()).await.unwrap();
    let flushed = tokio::time::timeout(Duration::from_secs(5), client.flush()).await;
    flushed.map_err(|_| "the connection did not stay for what was published".to_owned())?.unwrap();
    let deadline = tokio::time::Instant::now() + Duration::from_millis(400);
    while let Ok(Some(event)) = tokio::time::timeout_at(deadline, told.recv()).await {
        if event.to_lowercase().contains("violation") {
            return Err(event);
        }
    }
    Ok(())
}
