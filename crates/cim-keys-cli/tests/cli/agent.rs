//! An agent for CI: jobs without a ledger get users for a while on a socket, from an issuer that can make nothing else.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cim_keys::custody::Custody;
use cim_keys_testkit::manifests::ACME;
use nkeys::KeyPair;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use crate::support::nats::{Nats, publishes};
use crate::support::{self, ISSUING, Place, Run, files, program};

/// How long a busy machine may take for anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// An authority, the issuer's own ledger, and a job's folder, in which there is none.
struct World {
    authority: Nats,
    issuer: Place,
    key: String,
    passphrase: String,
}

impl World {
    fn new() -> Self {
        let authority = Nats::new();
        let issuer = Place::new();
        let passphrase = format!("--passphrase-file={}", issuer.file("own.pass", ISSUING.as_bytes()));
        let from = authority.place.ledger();
        let add = ["nats", "issuer", "add", "ORDERS", "--role", "ci", "--from", from.to_str().unwrap(), &passphrase];
        let made = issuer.run(&add).json().remove(0);
        let key = made["public_key"].as_str().unwrap().to_owned();
        Self { authority, issuer, key, passphrase }
    }

    /// The authority takes the issuer's key into the account's token.
    fn grant(&self) {
        let add = ["signing-key", "add", "ORDERS", "--role", "ci", "--public-key", &self.key];
        self.authority.ok(&[&add[..], &["--allow-pub", "ci.{{name()}}.>"]].concat());
    }

    fn start(&self, more: &[&str]) -> Agent {
        let socket = self.issuer.path("run/agent.sock");
        Agent::start(&self.issuer, &socket, &[&[self.passphrase.as_str()], more].concat())
    }
}

/// A running agent, killed when it is dropped.
struct Agent {
    child: Child,
    out: BufReader<std::process::ChildStdout>,
    socket: PathBuf,
    said: String,
}

impl Agent {
    fn start(place: &Place, socket: &Path, args: &[&str]) -> Self {
        let mut command = place.command(&["agent", "start", "--socket", socket.to_str().unwrap()]);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut said = String::new();
        out.read_line(&mut said).unwrap();
        if said.is_empty() {
            let mut error = String::new();
            child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
            panic!("the agent did not start: {error}");
        }
        Self { child, out, socket: socket.to_owned(), said }
    }

    fn listening(&self) -> Value {
        serde_json::from_str(&self.said).unwrap()
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for its end, and gives its exit code and everything that it said.
    fn ended(mut self) -> (i32, String) {
        let status = self.child.wait().unwrap();
        self.out.read_to_string(&mut self.said).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut self.said).unwrap();
        (status.code().unwrap_or(-1), std::mem::take(&mut self.said))
    }

    /// A job of the same user, which has no ledger and no passphrase.
    fn job(&self, args: &[&str]) -> Run {
        let folder = self.socket.parent().unwrap().parent().unwrap();
        let mut command = program(folder, args);
        command.env_remove("CIM_KEYS_STATE").env("CIM_KEYS_AGENT", &self.socket);
        command.env("CIM_KEYS_OUTPUT", "json").env("CIM_KEYS_LOG", "trace");
        support::run(command, b"")
    }

    /// Says something that need not be a request, and gives the answer.
    fn raw(&self, bytes: &[u8]) -> Value {
        let mut stream = UnixStream::connect(&self.socket).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // It may close before it has read everything.
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        serde_json::from_slice(&answer).unwrap_or(Value::Null)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_gets_credentials_connects_and_is_refused_when_they_end() {
    let world = World::new();
    world.grant();
    let Some(server) = world.authority.server() else { return };
    let agent = world.start(&[]);
    assert_eq!(agent.listening()["status"]["roles"][0]["role"], "ORDERS/ci");

    // The job makes the key: whole credentials.
    let made = agent.job(&["nats", "creds", "--ttl", "15m", "--name", "job-7", "--file", "job.creds"]).json().remove(0);
    let creds = world.issuer.path("job.creds");
    assert_eq!(fs::metadata(&creds).unwrap().permissions().mode() & 0o777, 0o600);
    let creds = creds.to_str().unwrap();
    assert_eq!((made["account"].as_str(), made["role"].as_str()), (Some("ORDERS"), Some("ci")));
    publishes(&server, creds, "ci.job-7.done").await.unwrap();
    publishes(&server, creds, "ci.job-8.done").await.unwrap_err();
    agent.job(&["nats", "creds", "--ttl", "15m", "--file", "job.creds"]).fails(2, &["does not exist yet"]);

    // The job has the key: a token, and the seed stays with the job.
    let pair = KeyPair::new_user();
    let ask = ["nats", "creds", "--public-key", &pair.public_key(), "--ttl", "15m", "--file", "-"];
    let token = agent.job(&ask);
    assert_eq!(token.code, 0, "{token:?}");
    let token = token.stdout.trim().to_owned();
    let seed = pair.seed().unwrap();
    let options = async_nats::ConnectOptions::with_jwt(token, move |nonce| {
        let pair = KeyPair::from_seed(&seed).unwrap();
        async move { pair.sign(&nonce).map_err(async_nats::AuthError::new) }
    });
    options.connect(server.url()).await.unwrap();

    // After its time a server takes it no more.
    agent.job(&["nats", "creds", "--ttl", "2s", "--name", "x", "--file", "short.creds"]).json();
    let short = world.issuer.path("short.creds");
    let short = short.to_str().unwrap();
    let until = Instant::now() + PATIENCE;
    loop {
        // In the second in which it ends a server takes it and drops the connection at once, which ends either way.
        match publishes(&server, short, "ci.x.y").await {
            Err(refused) if refused.to_lowercase().contains("authorization") => break,
            other => assert!(Instant::now() < until, "a token of two seconds still connects: {other:?}"),
        }
    }
    publishes(&server, creds, "ci.job-7.done").await.unwrap();

    // What was signed is recorded in the issuer's ledger, and its head is signed.
    let status = agent.job(&["agent", "status"]).json().remove(0);
    assert_eq!(status["issued"], 3);
    let events = world.issuer.run(&["event", "list", "--limit", "100"]).json();
    let signed = events.iter().filter(|event| event["type"] == "JwtSigned").count();
    assert_eq!(signed, 3, "{events:?}");
    let report = world.issuer.run(&["verify"]).json().remove(0);
    let head = world.issuer.run(&["log", "checkpoint"]).json().remove(0);
    assert_eq!(head["size"], report["events"], "{head} {report}");
    // The user is nobody that the ledger keeps.
    assert_eq!(world.issuer.run(&["nats", "user", "list"]).json().len(), 0);
}

#[test]
fn an_agent_ends_as_it_is_told_and_leaves_no_socket() {
    let world = World::new();
    let socket = world.issuer.path("run/agent.sock");
    let agent = world.start(&[]);
    assert!(fs::metadata(&socket).unwrap().file_type().is_socket());
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(socket.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
    // There is one agent at a socket.
    let again = ["agent", "start", "--socket", socket.to_str().unwrap(), &world.passphrase];
    world.issuer.run(&again).fails(3, &["listens at", "already", "agent stop"]);

    agent.job(&["agent", "stop"]).json();
    assert!(!socket.exists());
    let (code, said) = agent.ended();
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("\"reason\":\"asked\""), "{said}");

    for signal in ["-TERM", "-INT", "-HUP"] {
        let agent = world.start(&[]);
        agent.signal(signal);
        let (code, said) = agent.ended();
        assert_eq!(code, 0, "{said}");
        assert!(said.contains("\"reason\":\"signal\""), "{said}");
        assert!(!socket.exists());
    }

    let agent = world.start(&["--ttl", "1s"]);
    let (code, said) = agent.ended();
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("\"reason\":\"ttl\""), "{said}");
    assert!(!socket.exists());

    // A killed one leaves its socket; jobs are told, and the next one starts all the same.
    let agent = world.start(&[]);
    agent.signal("-KILL");
    let mut command = world.issuer.command(&["nats", "creds", "--ttl", "15m", "--file", "gone.creds"]);
    command.env("CIM_KEYS_AGENT", &socket);
    drop(agent);
    assert!(socket.exists());
    support::run(command, b"").fails(1, &["no agent answers", "agent start"]);
    assert!(!world.issuer.path("gone.creds").exists());
    let agent = world.start(&[]);
    agent.job(&["nats", "creds", "--ttl", "15m", "--file", "back.creds"]).json();
    world.issuer.run(&["verify"]).json();
}

/// Whether a process is there.
fn lives(pid: &str) -> bool {
    Command::new("kill").args(["-0", pid]).stderr(Stdio::null()).status().unwrap().success()
}

/// Waits until a process is gone. Nobody may be left to take its exit code: what is left then is no agent.
fn gone(pid: &str) {
    let until = Instant::now() + PATIENCE;
    let zombie = || fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "));
    while lives(pid) && !zombie() {
        assert!(Instant::now() < until, "process {pid} is still there");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_detached_agent_is_in_the_background_when_the_command_returns() {
    let world = World::new();
    let socket = world.issuer.path("run/it's.sock");
    let start = |passphrase: &[&str]| {
        let start = ["agent", "start", "--detach", "--output", "text", "--socket", socket.to_str().unwrap()];
        let mut command = world.issuer.command(&[&start[..], passphrase].concat());
        command.env("CIM_KEYS_PASSPHRASE_OTHER", "the passphrase of something else");
        support::run(command, b"")
    };
    // What a shell makes of what is printed.
    let started = start(&[&world.passphrase]);
    assert_eq!(started.code, 0, "{started:?}");
    let shell = format!("{}\necho \"$CIM_KEYS_AGENT\"", started.stdout);
    let shell = Command::new("sh").args(["-c", &shell]).output().unwrap();
    let said = String::from_utf8(shell.stdout).unwrap();
    let (first, second) = said.trim().split_once('\n').unwrap();
    let pid = first.strip_prefix("Agent pid ").unwrap().to_owned();
    assert_eq!(second, socket.to_str().unwrap());
    assert!(lives(&pid));
    // No secret among its arguments.
    let arguments = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    assert!(arguments.contains("agent\0start") && !arguments.contains(ISSUING), "{arguments}");
    let ask = |args: &[&str]| {
        let mut command = world.issuer.command(args);
        command.env("CIM_KEYS_AGENT", &socket);
        support::run(command, b"")
    };
    ask(&["nats", "creds", "--ttl", "15m", "--file", "one.creds"]).json();
    assert_eq!(ask(&["agent", "status"]).json()[0]["pid"].to_string(), pid);
    start(&[&world.passphrase]).fails(3, &["listens at", "already"]);
    ask(&["agent", "stop"]).json();
    gone(&pid);
    assert!(!socket.exists());

    // By its process id; as JSON.
    let start_json = ["agent", "start", "--detach", "--socket", socket.to_str().unwrap(), &world.passphrase];
    let started = world.issuer.run(&start_json).json().remove(0);
    let pid = started["status"]["pid"].to_string();
    assert_eq!(started["event"], "listening");
    assert!(Command::new("kill").arg(&pid).status().unwrap().success());
    gone(&pid);
    assert!(!socket.exists());

    // What goes wrong is said before the command returns.
    let wrong = format!("--passphrase-file={}", world.issuer.file("wrong.pass", b"not the passphrase"));
    let failed = start(&[&wrong]);
    assert_ne!(failed.code, 0);
    assert!(failed.stderr.contains("passphrase") && failed.stdout.is_empty(), "{failed:?}");
    assert!(!socket.exists());
}

#[test]
fn what_is_no_request_is_answered_and_harms_nobody() {
    let world = World::new();
    let agent = world.start(&["--max-ttl", "10m"]);
    let user = KeyPair::new_user().public_key();
    let says = |bytes: &[u8], kind: &str, part: &str| {
        let answer = agent.raw(bytes);
        let error = &answer["error"];
        assert_eq!(error["kind"], kind, "{answer}");
        assert!(error.to_string().contains(part), "{part:?} is not in {answer}");
    };
    let issue = |rest: &str| format!("{{\"do\":\"issue\",{rest}}}\n").into_bytes();
    says(b"hello\n", "request", "no request");
    says(b"\n", "request", "no request");
    says(b"\xff\xfe\x00", "request", "no request");
    says(b"{\"do\":\"sign\",\"bytes\":\"AAAA\"}\n", "request", "no request");
    says(&issue("\"public_key\":\"x\",\"ttl_secs\":9,\"seed\":\"SU\""), "request", "no request");
    says(&issue("\"public_key\":\"x\",\"ttl_secs\":9"), "request", "no public key of a user");
    says(&issue(&format!("\"public_key\":\"{}\",\"ttl_secs\":9", world.key)), "request", "no public key of a user");
    says(&issue(&format!("\"public_key\":\"{user}\",\"ttl_secs\":0")), "refused", "1 to 600 seconds");
    says(&issue(&format!("\"public_key\":\"{user}\",\"ttl_secs\":601")), "refused", "--max-ttl");
    says(&issue(&format!("\"public_key\":\"{user}\",\"ttl_secs\":9,\"name\":\"*\"")), "request", "a user's name");
    says(&issue(&format!("\"public_key\":\"{user}\",\"ttl_secs\":9,\"role\":\"root\"")), "request", "ORDERS/ci");
    says(&vec![b' '; 4096], "request", "longer than 4096");
    says(&[vec![b'a'; 1 << 20], b"\n".to_vec()].concat(), "request", "longer than 4096");
    // Whoever says nothing is in nobody's way.
    let silent: Vec<UnixStream> = (0..20).map(|_| UnixStream::connect(&agent.socket).unwrap()).collect();
    drop(UnixStream::connect(&agent.socket).unwrap());
    assert_eq!(agent.job(&["agent", "status"]).json()[0]["issued"], 0);
    agent.job(&["nats", "creds", "--ttl", "1h"]).fails(3, &["the agent says", "--max-ttl"]);
    agent.job(&["nats", "creds", "--public-key", "SUAB", "--ttl", "1m"]).fails(2, &["no public key of a user"]);
    agent.job(&["nats", "creds", "--name", "a.b", "--ttl", "1m"]).fails(2, &["a user's name"]);
    drop(silent);
    let made = files(agent.socket.parent().unwrap().parent().unwrap());
    assert!(!made.iter().any(|path| path.extension().is_some_and(|it| it == "creds")), "{made:?}");
    // A key that was retired signs nothing, also of an agent that had it before.
    let retire = ["nats", "signing-key", "retire", "ORDERS", "ci", "--reason", "the runner is gone", "--yes"];
    world.issuer.run(&[&retire[..], &[world.passphrase.as_str()]].concat()).json();
    agent.job(&["nats", "creds", "--ttl", "5m"]).fails(3, &["no scoped signing key"]);
}

#[test]
fn only_an_issuer_has_an_agent() {
    let world = World::new();
    let (_, issuing) = world.authority.place.passphrase_flags();
    let socket = world.authority.place.path("run/a.sock");
    let start = ["agent", "start", "--socket", socket.to_str().unwrap(), &issuing];
    world.authority.place.run(&start).fails(3, &["the identity key of operator ACME", "a ledger of its own"]);
    let bare = Place::new();
    bare.run(&["agent", "start", "--socket", socket.to_str().unwrap()]).fails(2, &["no NATS operator"]);
    assert!(!socket.exists());
    // What was made elsewhere is not signed with at the authority, nor replaced there.
    world.grant();
    world.authority.run(&["user", "add", "ORDERS/bob", "--role", "ci"]).fails(1, &["only the public half"]);
    let rotate = ["signing-key", "rotate", "ORDERS", "ci", "--reason", "yearly"];
    world.authority.run(&rotate).fails(2, &["made elsewhere", "nats issuer add"]);
    let user = KeyPair::new_user().public_key();
    world.authority.run(&["signing-key", "add", "ORDERS", "--role", "x", "--public-key", &user]).fails(2, &["(A…)"]);
    let own = world.authority.ok(&["account", "show", "ORDERS"]).remove(0).to_string();
    let own = own.split('"').find(|it| it.len() == 56 && it.starts_with('A')).unwrap();
    let add = ["signing-key", "add", "ORDERS", "--role", "x", "--public-key", own];
    world.authority.run(&add).fails(2, &["identity key of an account"]);
    // Nor does an issuer become anything else.
    world.issuer.run(&["nats", "user", "add", "ORDERS/bob", &world.passphrase]).fails(1, &["no token"]);
}

#[test]
fn the_authority_takes_the_key_by_a_request() {
    let (authority, issuer) = (Place::empty(), Place::new());
    let (root, issuing) = authority.passphrase_flags();
    authority.init();
    authority.file("acme.toml", ACME.as_bytes());
    authority.run(&["apply", "acme.toml", &root, &issuing]).json();
    authority.run(&["log", "checkpoint", "--sign", &issuing]).json();
    authority.run(&["export", "car", "acme.car"]).json();
    authority.run(&["import", "car", "acme.car", "--key", &authority.key(), "--ledger", "mirror"]).json();
    authority.run(&["ledger", "link", "CI", "--key", &issuer.key(), "--relation", "child"]).json();

    let passphrase = format!("--passphrase-file={}", issuer.file("own.pass", ISSUING.as_bytes()));
    let mirror = authority.path("mirror");
    let add = ["nats", "issuer", "add", "ORDERS", "--role", "ci", "--from", mirror.to_str().unwrap(), &passphrase];
    let made = issuer.run(&add).json().remove(0)["public_key"].as_str().unwrap().to_owned();
    let role = format!("[nats.accounts.orders.roles.ci]\npublic_key = \"{made}\"\npublish.allow = [\"ci.>\"]\n");
    authority.file("wanted.toml", format!("{ACME}{role}").as_bytes());
    let by = issuer.ledger();
    let request = ["nats", "request", "wanted.toml", "--ledger", "mirror", "--by", by.to_str().unwrap()];
    authority.run(&[&request[..], &["--out", "ci.req", &passphrase]].concat()).json();
    let shown = authority.run(&["nats", "sign", "ci.req", "--dry-run"]).json().remove(0);
    let mut sign = vec!["nats", "sign", "ci.req", "--yes", &issuing, &root];
    for phrase in shown["confirm"].as_array().unwrap() {
        sign.extend(["--confirm", phrase.as_str().unwrap()]);
    }
    authority.run(&sign).json();
    let listed = authority.run(&["nats", "signing-key", "show", "ORDERS", "ci"]).json().remove(0);
    assert_eq!((listed["public_key"].as_str(), &listed["compartment"]), (Some(made.as_str()), &Value::Null));
    assert_eq!(listed["template"]["pub"]["allow"][0], "ci.>");
    // Once more, and nothing changes.
    assert!(
        authority.run(&["apply", "wanted.toml", "--dry-run"]).json()[0]["steps"].as_array().is_none_or(Vec::is_empty)
    );
    authority.run(&["verify"]).json();
}

#[test]
fn no_seed_passes_through_an_agent() {
    let world = World::new();
    let agent = world.start(&[]);
    agent.job(&["nats", "creds", "--ttl", "15m", "--file", "job.creds"]).json();
    let pair = KeyPair::new_user();
    let jwt = ["nats", "creds", "--public-key", &pair.public_key(), "--file", "job.jwt"];
    let ran = agent.job(&jwt);
    assert_eq!(ran.code, 0, "{ran:?}");
    let creds = fs::read_to_string(world.issuer.path("job.creds")).unwrap();
    let seed = creds.lines().find(|line| line.starts_with("SU")).unwrap().to_owned();
    let token = creds.lines().find(|line| line.starts_with("eyJ")).unwrap().to_owned();
    let signing = {
        let custody = Custody::open(&world.issuer.ledger().join("custody")).unwrap();
        let label = cim_keys::text::Label::new("issuing").unwrap();
        let open = custody.unlock(&label, SecretString::from(ISSUING)).unwrap();
        let texts = custody.keys(&label).unwrap().into_iter().map(|key| open.reveal(key).unwrap());
        let texts: Vec<String> =
            texts.map(|it| String::from_utf8(it.expose_secret().clone()).unwrap().trim().to_owned()).collect();
        texts.into_iter().find(|text| text.starts_with("SA")).unwrap()
    };
    agent.signal("-TERM");
    let (_, said) = agent.ended();
    let mut places: Vec<(String, Vec<u8>)> = vec![("what the agent said".into(), said.into_bytes())];
    places.push(("what the job said".into(), (ran.stdout + &ran.stderr).into_bytes()));
    for path in files(world.issuer.dir.path()) {
        places.push((path.display().to_string(), fs::read(&path).unwrap()));
    }
    let holds = |hay: &[u8], needle: &str| hay.windows(needle.len()).any(|window| window == needle.as_bytes());
    for (place, content) in &places {
        for (what, secret) in
            [("the job's seed", &seed), ("the signing key", &signing), ("the passphrase", &ISSUING.into())]
        {
            let own = place.ends_with("job.creds") || place.ends_with(".pass");
            assert!(own || !holds(content, secret), "{what} stands in {place}");
        }
        let own = place.ends_with("job.creds");
        assert!(own || !holds(content, &token), "the token stands in {place}");
    }
}
