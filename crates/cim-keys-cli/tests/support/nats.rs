//! A ledger with a NATS operator, and a real server that trusts it.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use cim_keys_testkit::nats_server::{NatsServer, ServerOptions};
use serde_json::Value;

use super::{Place, Run};

/// A ledger with an operator `ACME`, its system account and an account `ORDERS`.
pub struct Nats {
    pub place: Place,
    issuing: String,
    root: String,
}

impl Nats {
    /// A ledger with an operator, its signing key, its system account, and an account with JetStream.
    pub fn new() -> Self {
        let place = Place::new();
        let (root, issuing) = place.passphrase_flags();
        let nats = Self { place, issuing, root };
        nats.ok(&["operator", "add", "ACME", "--service-url", "nats://127.0.0.1:4222"]);
        nats.ok(&["account", "add", "ORDERS", "--js-enable"]);
        nats
    }

    pub fn run(&self, args: &[&str]) -> Run {
        let mut all = vec!["nats"];
        all.extend(args);
        if !matches!(args[1], "list" | "show") && args[0] != "server-config" {
            all.extend([self.root.as_str(), self.issuing.as_str()]);
        }
        self.place.run(&all)
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

    pub fn creds(&self, which: &str) -> String {
        let path = self.place.path(&format!("{}.creds", which.replace('/', "-")));
        let path = path.to_str().unwrap().to_owned();
        if std::fs::metadata(&path).is_ok() {
            std::fs::remove_file(&path).unwrap();
        }
        self.ok(&["creds", which, "--file", &path]);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        path
    }

    pub fn server(&self) -> Option<NatsServer> {
        let config = self.run(&["server-config", "--resolver", "memory"]);
        assert_eq!(config.code, 0, "{config:?}");
        ServerOptions::default().conf(&config.stdout).start()
    }
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
