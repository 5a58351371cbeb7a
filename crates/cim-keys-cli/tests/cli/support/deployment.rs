//! A NATS deployment: a ledger with an operator, and real servers that trust it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cim_keys_testkit::nats_server::{NatsServer, ServerOptions, free_port};
use serde_json::Value;

use super::Run;
use super::nats::Nats;

/// How long servers may take for anything, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A ledger with an operator, its system account with a user who pushes and may do nothing else, and an account
/// `ORDERS` with JetStream.
pub struct Deployment {
    nats: Nats,
    /// The credentials of the user who pushes.
    pub pusher: String,
}

impl std::ops::Deref for Deployment {
    type Target = Nats;

    fn deref(&self) -> &Nats {
        &self.nats
    }
}

impl Deployment {
    pub fn new() -> Self {
        let nats = Nats::bare();
        nats.ok(&["operator", "add", "ACME"]);
        nats.ok(&["account", "add", "ORDERS", "--js-enable"]);
        nats.ok(&["user", "add", "SYS/pusher", "--preset", "pusher"]);
        let pusher = nats.creds("SYS/pusher");
        Self { nats, pusher }
    }

    /// The seed of a key, out of custody.
    #[track_caller]
    pub fn seed(&self, public_key: &str) -> String {
        let args = ["key", "export", public_key, "--plain", "--yes", "--reason", "a test holds it", "--out", "-"];
        let run = self.place.run(&[&args[..], &self.flags()].concat());
        assert_eq!(run.code, 0, "{}", run.stderr);
        run.stdout.trim().to_owned()
    }

    /// What an account's token says.
    #[track_caller]
    pub fn account(&self, account: &str) -> Value {
        claims(&self.token(account))
    }

    /// The part of a server's configuration that trusts the operator, its folder of tokens at `jwt`.
    pub fn trust(&self, resolver: &str, jwt: &Path) -> String {
        let config = self.place.run(&["nats", "server-config", "--output", "text", "--resolver", resolver]);
        assert_eq!(config.code, 0, "{config:?}");
        config.stdout.replace("\"./jwt\"", &format!("\"{}\"", jwt.display()))
    }

    /// One server. `None` when there is none here, which was said.
    pub fn server(&self, resolver: &str) -> Option<NatsServer> {
        let folder = tempfile::TempDir::with_prefix("cim-keys-nats-").unwrap();
        let trust = self.trust(resolver, &folder.path().join("jwt"));
        ServerOptions::default().conf(&trust).start_in(folder)
    }

    /// A cluster, a server for each resolver, all called `n1`, `n2` and so on.
    pub fn cluster(&self, resolvers: &[&str]) -> Option<Vec<NatsServer>> {
        let routes: Vec<u16> = resolvers.iter().map(|_| free_port()).collect();
        let urls: Vec<String> = routes.iter().map(|port| format!("\"nats://127.0.0.1:{port}\"")).collect();
        let mut servers = Vec::new();
        for (i, (resolver, route)) in resolvers.iter().zip(&routes).enumerate() {
            let folder = tempfile::TempDir::with_prefix("cim-keys-nats-").unwrap();
            let trust = self.trust(resolver, &folder.path().join("jwt"));
            let conf = format!("cluster {{ name: test, listen: 127.0.0.1:{route}, routes: [{}] }}", urls.join(", "));
            servers
                .push(ServerOptions::default().name(&format!("n{}", i + 1)).conf(&conf).conf(&trust).prepare(folder)?);
        }
        servers.iter_mut().for_each(NatsServer::spawn);
        servers.iter_mut().for_each(NatsServer::start);
        let until = Instant::now() + PATIENCE;
        let count = servers.len();
        while self.diff(&servers, count).code == 5 {
            assert!(Instant::now() < until, "the cluster did not form: {:?}", self.diff(&servers, count));
        }
        Some(servers)
    }

    /// Stops a server, gives it the operator's token of now, and starts it again: a running one takes no other operator.
    pub fn restart(&self, server: &mut NatsServer, resolver: &str) {
        let path = server.folder().join("nats.conf");
        let conf = std::fs::read_to_string(&path).unwrap();
        let trust = self.trust(resolver, &server.folder().join("jwt"));
        let (own, _) = conf.split_once("# Trust in operator").unwrap();
        std::fs::write(&path, format!("{own}{trust}")).unwrap();
        server.stop();
        server.start();
    }

    /// Carries the ledger out to the medium `usb`; gives its folder.
    #[track_caller]
    pub fn carry_out(&self) -> String {
        let usb = self.place.at("usb");
        std::fs::create_dir_all(&usb).unwrap();
        self.place.run(&["carry", "out", &usb, self.flags()[1]]).json();
        usb
    }

    /// Makes a mirror from the medium, or brings it up to date; gives its folder.
    #[track_caller]
    pub fn mirror(&self) -> PathBuf {
        let (usb, mirror) = (self.place.at("usb"), self.place.at("mirror"));
        let key = self.place.key();
        let update = ["mirror", "update", &usb];
        let init = ["mirror", "init", &mirror, "--from", &usb, "--key", &key];
        self.place.run_on("mirror", if Path::new(&mirror).exists() { &update } else { &init }).json();
        mirror.into()
    }

    fn online(&self, verb: &str, server: &NatsServer, args: &[&str]) -> Run {
        let url = server.url();
        let mut all = vec!["nats", verb, "--url", &url, "--creds", &self.pusher];
        all.extend(args);
        self.place.run(&all)
    }

    /// Lets somebody push who may publish to this subject as well.
    pub fn push_with(&mut self, subject: &str) {
        let which = format!("SYS/wider-{}", subject.len());
        self.ok(&["user", "add", &which, "--preset", "pusher", "--allow-pub", subject]);
        self.pusher = self.creds(&which);
    }

    /// `nats push …` over a server.
    pub fn push(&self, server: &NatsServer, args: &[&str]) -> Run {
        self.online("push", server, args)
    }

    /// `nats pull …` over a server.
    pub fn pull(&self, server: &NatsServer, args: &[&str]) -> Run {
        self.online("pull", server, args)
    }

    /// `nats …` over a server, for another ledger's folder.
    pub fn elsewhere(&self, ledger: &Path, verb: &str, server: &NatsServer, args: &[&str]) -> Run {
        let url = server.url();
        let mut all = vec!["nats", verb, "--url", &url, "--creds", &self.pusher];
        all.extend(args);
        let mut command = self.place.command(&all);
        command.env("CIM_KEYS_LEDGER", ledger);
        super::run(command, b"")
    }

    /// The text of an account's token that is in force, as servers get it.
    pub fn token(&self, account: &str) -> String {
        let listed = self.place.run(&["nats", "account", "show", account]).json();
        let key = listed[0].to_string();
        let config = self.place.run(&["nats", "server-config", "--output", "text", "--resolver", "memory"]).stdout;
        let lines = config.lines().filter_map(|line| line.trim().split_once(": "));
        let mut tokens = lines.filter(|(name, _)| name.len() == 56 && name.starts_with('A') && key.contains(name));
        tokens.next().unwrap_or_else(|| panic!("no token of {account} in {config}")).1.to_owned()
    }

    /// `nats diff` over the first server that runs.
    pub fn diff(&self, servers: &[NatsServer], expected: usize) -> Run {
        self.online("diff", &servers[0], &["--servers", &expected.to_string()])
    }
}

/// The object about an account among the lines of a push or diff.
#[track_caller]
pub fn about<'l>(lines: &'l [Value], account: &str) -> &'l Value {
    lines.iter().find(|line| line["account"] == account).unwrap_or_else(|| panic!("no {account} in {lines:?}"))
}

/// The lines of a run that need not have succeeded.
pub fn lines(run: &Run) -> Vec<Value> {
    run.stdout.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// What each server's state is, in the order of their names.
pub fn states(object: &Value) -> Vec<&str> {
    object["servers"].as_array().unwrap().iter().map(|server| server["state"].as_str().unwrap()).collect()
}

/// What a token says.
pub fn claims(token: &str) -> Value {
    use base64::Engine as _;
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

/// A client that tells what its server says.
pub struct Client {
    pub client: async_nats::Client,
    pub events: tokio::sync::mpsc::UnboundedReceiver<String>,
}

/// Connects with credentials.
pub async fn connect(server: &NatsServer, creds: &str) -> Result<Client, String> {
    let (tell, events) = tokio::sync::mpsc::unbounded_channel();
    let options = async_nats::ConnectOptions::new().max_reconnects(1).event_callback(move |event| {
        let tell = tell.clone();
        async move {
            let _ = tell.send(event.to_string());
        }
    });
    let options = options.credentials_file(PathBuf::from(creds)).await.unwrap();
    let client = options.connect(server.url()).await.map_err(|error| error.to_string())?;
    Ok(Client { client, events })
}

impl Client {
    /// Waits until the server says something that holds these words.
    pub async fn told(&mut self, words: &str) {
        let waited = tokio::time::timeout(PATIENCE, async {
            while let Some(event) = self.events.recv().await {
                if event.to_lowercase().contains(words) {
                    return true;
                }
            }
            false
        });
        assert!(waited.await.is_ok_and(|told| told), "the server never said \"{words}\"");
    }

    /// Waits until the server has closed the connection and does not let it in again.
    pub async fn is_shut_out(&mut self) {
        let gave_up = tokio::time::timeout(PATIENCE, async { while self.events.recv().await.is_some() {} });
        assert!(gave_up.await.is_ok(), "the client is still connected");
    }
}
