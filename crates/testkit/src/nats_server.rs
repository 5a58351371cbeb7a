//! A real nats-server, on a free loopback port, in a folder of its own, stopped by its process id when dropped.

use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::tools::{NATS_SERVER, NATS_SERVER_OLD, tool};

/// How long a server may take until it answers, on a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// What a server is started with.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    variable: &'static str,
    name: String,
    port: u16,
    jetstream: String,
    snippet: String,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            variable: NATS_SERVER,
            name: "one".into(),
            port: free_port(),
            jetstream: "max_file_store: 1GB, max_memory_store: 64MB".into(),
            snippet: String::new(),
        }
    }
}

impl ServerOptions {
    /// A server older than 2.12, without atomic batches.
    #[must_use]
    pub fn old(mut self) -> Self {
        self.variable = NATS_SERVER_OLD;
        self
    }

    /// The server's name, which it needs to be unique in a cluster.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// The port for clients, when it has to be one that was promised already.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// What stands in the `jetstream` block beside the store's folder.
    #[must_use]
    pub fn jetstream(mut self, settings: &str) -> Self {
        settings.clone_into(&mut self.jetstream);
        self
    }

    /// Lines for the configuration file: permissions, TLS, limits, accounts.
    #[must_use]
    pub fn conf(mut self, snippet: &str) -> Self {
        self.snippet.push_str(snippet);
        self.snippet.push('\n');
        self
    }

    /// Starts the server and waits until it answers. `None` when there is no such server here, which was said.
    ///
    /// # Panics
    /// When the server does not come up: its log is in the message.
    #[must_use]
    pub fn start(self) -> Option<NatsServer> {
        self.start_in(TempDir::with_prefix("cim-keys-nats-").expect("a folder for the server"))
    }

    /// The same in a folder of one's own choice, such as one on a small disk.
    ///
    /// # Panics
    /// When the server does not come up.
    #[must_use]
    pub fn start_in(self, folder: TempDir) -> Option<NatsServer> {
        let mut server = self.prepare(folder)?;
        server.start();
        Some(server)
    }

    /// A server that is not started yet, so that its address is known before it is there.
    ///
    /// # Panics
    /// When its configuration can't be written.
    #[must_use]
    pub fn prepare(self, folder: TempDir) -> Option<NatsServer> {
        let program = tool(self.variable)?;
        let conf = folder.path().join("nats.conf");
        let store = folder.path().join("store");
        let text = format!(
            "server_name: {name}\nlisten: 127.0.0.1:{port}\njetstream {{ store_dir: \"{store}\", {jetstream} }}\n{snippet}",
            name = self.name,
            port = self.port,
            store = store.display(),
            jetstream = self.jetstream,
            snippet = self.snippet,
        );
        std::fs::write(&conf, text).expect("the server's configuration");
        Some(NatsServer { program, conf, folder, port: self.port, child: None })
    }
}

/// A nats-server of this test. Its port and its store stay the same when it is started again.
#[derive(Debug)]
pub struct NatsServer {
    program: PathBuf,
    conf: PathBuf,
    folder: TempDir,
    port: u16,
    child: Option<Child>,
}

impl NatsServer {
    /// A current server with JetStream and no further settings.
    #[must_use]
    pub fn run() -> Option<Self> {
        ServerOptions::default().start()
    }

    /// Its address for clients, as a URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Its address for clients.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Its folder: configuration, store and log.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The folder of its streams.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    /// Whether it runs.
    pub fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Starts it, if it does not run, and waits until it is ready.
    ///
    /// # Panics
    /// When it does not come up: its log is in the message.
    pub fn start(&mut self) {
        self.spawn();
        let until = Instant::now() + READY_WITHIN;
        while !(self.log_since_start().contains("Server is ready") && self.greets()) {
            assert!(self.is_running(), "the server stopped at once:\n{}", self.log());
            assert!(Instant::now() < until, "the server is not ready:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Starts it without waiting: a member of a cluster is ready only with the others.
    ///
    /// # Panics
    /// When the program can't be started.
    pub fn spawn(&mut self) {
        if self.is_running() {
            return;
        }
        let log = self.log_file();
        let log = std::fs::OpenOptions::new().create(true).append(true).open(log).expect("the server's log");
        use std::io::Write as _;
        writeln!(&log, "{STARTED}").expect("the server's log");
        let child = Command::new(&self.program)
            .arg("--config")
            .arg(&self.conf)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        self.child = Some(child.expect("nats-server can be started"));
    }

    /// Kills it with SIGKILL: nothing is flushed or said.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Stops it in order, as an administrator would.
    ///
    /// # Panics
    /// When it does not stop.
    pub fn stop(&mut self) {
        self.signal(Signal::TERM);
        if let Some(mut child) = self.child.take() {
            child.wait().expect("the server stops");
        }
    }

    /// Stops it with SIGSTOP: its connections stay open and nothing is answered.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on after [`pause`](Self::pause).
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Makes it read its configuration again, with these further lines.
    ///
    /// # Panics
    /// When the configuration can't be written.
    pub fn reload_with(&self, from: &str, to: &str) {
        let text = std::fs::read_to_string(&self.conf).expect("the server's configuration");
        assert!(text.contains(from), "the configuration has no {from}");
        std::fs::write(&self.conf, text.replace(from, to)).expect("the server's configuration");
        self.signal(Signal::HUP);
    }

    /// What it logged, since its first start.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    fn log_since_start(&self) -> String {
        let log = self.log();
        log.rsplit(STARTED).next().unwrap_or_default().to_owned()
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("server.log")
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.child.as_ref().and_then(|child| Pid::from_raw(child.id().cast_signed())) {
            let _ = kill_process(pid, signal);
        }
    }

    /// Whether it accepts a connection and speaks first, as a NATS server does (one that shakes hands first does not).
    fn greets(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect_timeout(&self.address(), Duration::from_secs(1)) else { return false };
        let _ = stream.set_read_timeout(Some(Duration::from_millis(500)));
        let mut first = [0; 4];
        stream.read_exact(&mut first).is_err() || &first == b"INFO"
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("the last of the server's log ({}):", self.url());
            lines.iter().skip(lines.len().saturating_sub(30)).for_each(|line| eprintln!("  {line}"));
        }
    }
}

const STARTED: &str = "--- started ---";

/// A port that nothing listens on. It is below the range from which systems take ports for outgoing connections, so that
/// it is still free when a killed server wants it back.
#[must_use]
pub fn free_port() -> u16 {
    loop {
        let port = rand::random_range(10_240..32_000);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}
