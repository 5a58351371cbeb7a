//! What `nats explain` says, beside what a real server does: generated users, subjects, networks and times of day.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cim_keys::nats::claims::*;
use cim_keys::nats::explain::{Chain, Question, Step, explain};
use cim_keys::nats::jwt;
use cim_keys::time::Timestamp;
use cim_keys_testkit::nats_server::{NatsServer, ServerOptions};
use nkeys::KeyPair;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpSocket, TcpStream};

const SEED: u64 = 0x51a7_e001;
const ACCOUNTS: usize = 12;
const USERS: usize = 240;
const PATIENCE: Duration = Duration::from_secs(60);

/// A repeatable source of choices (SplitMix64).
struct Choices(u64);

impl Choices {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn of<T: Clone>(&mut self, list: &[T]) -> T {
        list[usize::try_from(self.next() % list.len() as u64).unwrap()].clone()
    }

    /// One time in so many.
    fn one_in(&mut self, n: u64) -> bool {
        self.next().is_multiple_of(n)
    }

    fn subject(&mut self) -> String {
        let tokens = self.of(&[1, 2, 2, 3]);
        (0..tokens).map(|_| self.of(&["a", "b", "c"])).collect::<Vec<_>>().join(".")
    }

    fn pattern(&mut self) -> String {
        let mut text: Vec<&str> = Vec::new();
        for _ in 0..self.of(&[1, 2, 2, 3]) {
            text.push(self.of(&["a", "a", "b", "c", "*"]));
        }
        if self.one_in(3) {
            text.pop();
            text.push(">");
        }
        text.join(".")
    }

    fn permission(&mut self, queues: bool, templates: bool) -> Permission {
        let list = |most: u64, choices: &mut Self| -> Vec<String> {
            (0..choices.next() % (most + 1))
                .map(|_| match choices.next() % 6 {
                    0 if queues => format!("{} {}", choices.pattern(), choices.of(&["q", "r.*", "q.x"])),
                    1 | 2 if templates => choices.of(&[
                        "{{name()}}.>".to_owned(),
                        "a.{{name()}}".to_owned(),
                        "{{tag(site)}}.*".to_owned(),
                        "{{account-name()}}.{{tag(none)}}".to_owned(),
                        "b.{{account-tag(zone)}}.{{tag(site)}}".to_owned(),
                    ]),
                    _ => choices.pattern(),
                })
                .collect()
        };
        let allow = if self.one_in(3) { Vec::new() } else { list(3, self) };
        let deny = if self.one_in(2) { Vec::new() } else { list(2, self) };
        Permission { allow, deny }
    }

    fn permissions(&mut self, now: i64, templates: bool) -> UserPermissions {
        let mut permissions = UserPermissions::unlimited();
        if !self.one_in(4) {
            permissions.r#pub = self.permission(false, templates);
            permissions.sub = self.permission(true, templates);
        }
        if self.one_in(12) {
            permissions.src = vec![self.of(&["127.0.0.0/30", "10.0.0.0/8", "127.0.0.8/29", "::1/128"]).to_owned()];
        }
        // Zones of the day need a database of them, which not every machine has.
        if self.one_in(12) && knows_zones() {
            permissions.times = vec![self.span(now)];
            permissions.times_location = self.of(&["UTC", "Asia/Tokyo", "America/New_York"]).to_owned();
        }
        if self.one_in(12) {
            permissions.allowed_connection_types = vec![self.of(&["STANDARD", "WEBSOCKET", "MQTT"]).to_owned()];
        }
        permissions.bearer_token = self.one_in(8);
        permissions.proxy_required = self.one_in(30);
        permissions.subs = self.of(&[-1, -1, -1, -1, -1, -1, -1, -1, 5, 5, 5, 0]);
        permissions.payload = self.of(&[-1, -1, -1, 20, 8, 0]);
        permissions
    }

    /// A span of the day that begins and ends hours away from now, so that no test runs into its ends.
    fn span(&mut self, now: i64) -> TimeRange {
        let hour = |offset: i64| format!("{:02}:30:00", (now / 3_600 + offset).rem_euclid(24));
        let (from, to) = self.of(&[(-3, 4), (3, 8), (-9, -3), (-20, 2), (5, -4)]);
        TimeRange { start: hour(from), end: hour(to) }
    }
}

struct Member {
    key: KeyPair,
    claims: Claims<User>,
    token: String,
    account: usize,
}

struct World {
    operator: Claims<Operator>,
    accounts: Vec<Claims<Account>>,
    users: Vec<Member>,
    conf: String,
}

fn registered(key: &KeyPair, name: &str, iat: i64) -> Registered {
    Registered { sub: key.public_key(), name: name.to_owned(), iat, ..Registered::default() }
}

fn signed<B: Body>(claims: &mut Claims<B>, key: &KeyPair) -> String {
    jwt::sign(claims, &key.public_key(), |bytes| key.sign(bytes)).unwrap()
}

fn world(choices: &mut Choices, strict: bool) -> World {
    let now = Timestamp::now().unix_micros() / 1_000_000;
    let (identity, signing) = (KeyPair::new_operator(), KeyPair::new_operator());
    let mut operator = Claims { registered: registered(&identity, "O", now - 5_000), nats: Operator::default() };
    operator.nats.signing_keys = vec![signing.public_key()];
    operator.nats.strict_signing_key_usage = strict;
    let operator_token = signed(&mut operator, &identity);
    let (mut accounts, mut users, mut preload) = (Vec::new(), Vec::new(), String::new());
    let system = KeyPair::new_account();
    let nats = Account { limits: AccountLimits::unlimited(), ..Account::default() };
    let token = signed(&mut Claims { registered: registered(&system, "SYS", now - 4_000), nats }, &signing);
    preload.push_str(&format!("{}: \"{token}\"\n", system.public_key()));
    for index in 0..ACCOUNTS {
        let key = KeyPair::new_account();
        let name = choices.of(&["a", "b", "c"]);
        let mut nats = Account { limits: AccountLimits::unlimited(), ..Account::default() };
        nats.generic.tags = vec!["zone:a".into(), "zone:c".into()];
        nats.limits.conn = if index == 5 { 0 } else { -1 };
        nats.limits.subs = choices.of(&[-1, -1, -1, 50]);
        nats.limits.payload = choices.of(&[-1, -1, 10]);
        nats.limits.disallow_bearer = choices.one_in(3);
        nats.default_permissions.r#pub = choices.permission(false, false);
        nats.default_permissions.sub = choices.permission(true, false);
        let signers: Vec<KeyPair> = (0..3).map(|_| KeyPair::new_account()).collect();
        nats.signing_keys = vec![
            SigningKey::Plain(signers[0].public_key()),
            SigningKey::Scoped(Box::new(UserScope::new(
                &signers[1].public_key(),
                "one",
                choices.permissions(now, true),
                "",
            ))),
            SigningKey::Scoped(Box::new(UserScope::new(
                &signers[2].public_key(),
                "two",
                choices.permissions(now, true),
                "",
            ))),
        ];
        for _ in 0..USERS / ACCOUNTS {
            let member = member(choices, now, &key, &signers, index);
            if choices.one_in(6) {
                let until = member.claims.registered.iat + choices.of(&[-1, 0, 100]);
                nats.revocations.insert(member.claims.registered.sub.clone(), until);
            }
            users.push(member);
        }
        if choices.one_in(4) {
            nats.revocations.insert("*".into(), now - 2_500);
        }
        let mut claims = Claims { registered: registered(&key, name, now - 4_000), nats };
        if index == 7 {
            claims.registered.exp = now - 100;
        }
        let token = match index {
            3 => signed(&mut claims, &identity),
            4 => signed(&mut claims, &KeyPair::new_operator()),
            _ => signed(&mut claims, &signing),
        };
        preload.push_str(&format!("{}: \"{token}\"\n", key.public_key()));
        accounts.push(claims);
    }
    let conf = format!(
        "operator: {operator_token}\nsystem_account: {}\nresolver: MEMORY\nresolver_preload {{\n{preload}}}",
        system.public_key(),
    );
    World { operator, accounts, users, conf }
}

fn member(choices: &mut Choices, now: i64, identity: &KeyPair, signers: &[KeyPair], account: usize) -> Member {
    let key = KeyPair::new_user();
    let name = choices.of(&["a", "b", "c", "no subject"]);
    let mut registered = registered(&key, name, now - 3_000 + i64::try_from(choices.next() % 1_000).unwrap());
    registered.exp = choices.of(&[0, 0, 0, 0, 0, now + 5_000, now - 100]);
    registered.nbf = choices.of(&[0, 0, 0, 0, 0, 0, now - 500, now + 5_000]);
    let mut nats = User { permissions: choices.permissions(now, false), ..User::default() };
    nats.generic.tags = choices.of(&[vec![], vec!["site:a".into()], vec!["site:b".into(), "site:c".into()]]);
    let stranger = KeyPair::new_account();
    let signer = match choices.next() % 10 {
        0 | 1 => identity,
        2..=4 => &signers[0],
        5 | 6 => &signers[1],
        7 | 8 => &signers[2],
        _ => &stranger,
    };
    if signer.public_key() != identity.public_key() {
        nats.issuer_account = identity.public_key();
    }
    let scoped = [&signers[1], &signers[2]].iter().any(|key| key.public_key() == signer.public_key());
    // Now and then with what the server refuses.
    if scoped && !choices.one_in(10) {
        nats.permissions = UserPermissions::default();
    }
    let mut claims = Claims { registered, nats };
    let token = signed(&mut claims, signer);
    Member { key, claims, token, account }
}

/// A client that speaks the protocol by hand, so that each answer belongs to one question.
struct Raw {
    stream: BufReader<TcpStream>,
}

impl Raw {
    async fn connect(server: &NatsServer, from: Ipv4Addr) -> (Self, String) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from((from, 0))).unwrap();
        let stream = socket.connect(server.address()).await.unwrap();
        let mut raw = Self { stream: BufReader::new(stream) };
        let line = raw.line().await.unwrap();
        let info: serde_json::Value = serde_json::from_str(line.strip_prefix("INFO ").unwrap()).unwrap();
        (raw, info["nonce"].as_str().unwrap().to_owned())
    }

    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = tokio::time::timeout(PATIENCE, self.stream.read_line(&mut line)).await.unwrap();
        match read {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(line.trim_end().to_owned()),
        }
    }

    /// Sends, and gives the first error up to the answer to a ping; an error too when the server closes.
    async fn asks(&mut self, text: &str) -> Result<(), String> {
        let _ = self.stream.write_all(format!("{text}PING\r\n").as_bytes()).await;
        let mut error = None;
        loop {
            match self.line().await {
                None => return Err(error.unwrap_or_else(|| "closed".to_owned())),
                Some(line) if line == "PONG" => return error.map_or(Ok(()), Err),
                Some(line) if line.starts_with("-ERR") => error = error.or(Some(line)),
                Some(line) if line == "PING" => drop(self.stream.write_all(b"PONG\r\n").await),
                Some(_) => {}
            }
        }
    }

    /// Waits until the server has closed the connection; not for ever.
    async fn is_closed(&mut self) -> Result<(), String> {
        for _ in 0..200 {
            self.asks("").await?;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }
}

/// What was compared.
#[derive(Debug, Default)]
struct Tally {
    counts: BTreeMap<&'static str, [u32; 2]>,
    /// Where the server did something else.
    wrong: Vec<String>,
}

impl Tally {
    fn count(&mut self, what: &'static str, allowed: bool) {
        self.counts.entry(what).or_default()[usize::from(allowed)] += 1;
    }

    /// Compares one answer with what the server did.
    fn compare(&mut self, what: &'static str, said: bool, done: &Result<(), String>, context: impl FnOnce() -> String) {
        self.count(what, done.is_ok());
        if said != done.is_ok() {
            self.wrong.push(format!("{what}: said {said}, and the server: {done:?}; {}", context()));
        }
    }
}

async fn compare(world: &World, server: &NatsServer, choices: &mut Choices, tally: &mut Tally) {
    for member in &world.users {
        let account = &world.accounts[member.account];
        let none = |_: &str| None;
        let chain = Chain { operator: &world.operator, account, user: &member.claims, others: &none };
        let from = choices.of(&[Ipv4Addr::new(127, 0, 0, 1), Ipv4Addr::new(127, 0, 0, 9)]);
        let mut question = Question::new(Timestamp::now());
        question.from = Some(IpAddr::V4(from));
        let said = explain(chain, &question);
        let context = |steps: &[Step]| format!("{steps:?} user {:?} account {account:?}", member.claims);
        let (mut raw, nonce) = Raw::connect(server, from).await;
        let signature = URL_SAFE_NO_PAD.encode(member.key.sign(nonce.as_bytes()).unwrap());
        let hello = serde_json::json!({
            "verbose": false, "pedantic": false, "echo": false, "jwt": member.token, "sig": signature, "protocol": 1,
        });
        let greeted = raw.asks(&format!("CONNECT {hello}\r\n")).await;
        // Some refusals come a moment after the greeting.
        let greeted = match greeted {
            Ok(()) if !said.connects => raw.is_closed().await,
            greeted => greeted,
        };
        tally.compare("connect", said.connects, &greeted, || context(&said.steps));
        if greeted.is_err() {
            continue;
        }
        for sid in 1..=6 {
            let (subject, size) = (choices.subject(), choices.of(&[0_usize, 4, 9, 15]));
            let asked = Question { publish: Some(subject.clone()), size: size as u64, ..question.clone() };
            let said = explain(chain, &asked);
            let payload = said.steps.iter().any(|step| step.check == "payload" && step.outcome.word() == "fail");
            if !payload {
                let done = raw.asks(&format!("PUB {subject} {size}\r\n{}\r\n", "x".repeat(size))).await;
                let context = || format!("{subject} {}", context(&said.steps));
                tally.compare("publish", said.publishes == Some(true), &done, context);
            }
            let queue = if choices.one_in(3) { choices.of(&[" q", " r.a", " q.x", " z"]) } else { "" };
            let pattern = if choices.one_in(3) { choices.subject() } else { choices.pattern() };
            let wanted = format!("{pattern}{queue}");
            let said = explain(chain, &Question { subscribe: Some(wanted.clone()), ..question.clone() });
            let done = raw.asks(&format!("SUB {wanted} {sid}\r\n")).await;
            let context = || format!("{wanted} {}", context(&said.steps));
            tally.compare("subscribe", said.subscribes == Some(true), &done, context);
            if done.is_ok() {
                raw.asks(&format!("UNSUB {sid}\r\n")).await.unwrap();
            }
        }
        // Too large a message closes the connection, so it comes last.
        let asked = Question { publish: Some("a".into()), size: 30, ..question };
        let said = explain(chain, &asked);
        if said.steps.iter().any(|step| step.check == "payload" && step.outcome.word() == "fail") {
            let done = raw.asks(&format!("PUB a 30\r\n{}\r\n", "x".repeat(30))).await;
            let closed = done.as_ref().is_err_and(|error| error.to_lowercase().contains("payload"));
            tally.compare("payload", !closed, &done, || context(&said.steps));
        }
    }
}

/// Whether time zones are known here.
fn knows_zones() -> bool {
    std::path::Path::new("/usr/share/zoneinfo/Asia/Tokyo").exists()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_explained_is_what_a_real_server_does() {
    let mut tally = Tally::default();
    for (strict, seed) in [(false, SEED), (true, SEED + 1)] {
        let mut choices = Choices(seed);
        let world = world(&mut choices, strict);
        let Some(server) = ServerOptions::default().conf(&world.conf).start() else { return };
        compare(&world, &server, &mut choices, &mut tally).await;
    }
    eprintln!("compared (refused, allowed): {:?}", tally.counts);
    assert!(tally.wrong.is_empty(), "{} differ:\n{}", tally.wrong.len(), tally.wrong.join("\n"));
    // Both answers were seen of everything, and often.
    for what in ["connect", "publish", "subscribe"] {
        assert!(tally.counts[what].iter().all(|count| *count >= 30), "{:?}", tally.counts);
    }
    assert!(tally.counts["payload"][0] > 0, "{:?}", tally.counts);
}
