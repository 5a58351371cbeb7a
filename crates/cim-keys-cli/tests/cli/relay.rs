//! Publishing by others: a mirror relays for its ledger, and a restored ledger goes on under its new key. Each against a real server,
//! and each ends in the same check: every position once, in order, under the key whose turn it was.

use std::fs;

use async_nats::HeaderMap;
use cid::Cid;
use cim_keys::keys::pair::SoftwareKey;
use cim_keys::log::{KeyKind, SignedCheckpoint, VerifierKey};
use cim_keys_testkit::NatsServer;
use cim_keys_testkit::check::{Contents, Expected, fail_with};

use crate::support::nats::delete_message;
use crate::support::{Place, Run, STREAM, key};

struct Relay {
    place: Place,
    issuing: String,
    server: NatsServer,
}

impl Relay {
    fn new() -> Option<Self> {
        let server = NatsServer::run()?;
        let place = Place::new();
        let (_, issuing) = place.passphrase_flags();
        for folder in ["usb", "vault"] {
            fs::create_dir(place.path(folder)).unwrap();
        }
        Some(Self { place, issuing, server })
    }

    fn at(&self, name: &str) -> String {
        self.place.at(name)
    }

    fn on(&self, ledger: &str, args: &[&str]) -> Run {
        self.place.run_on(ledger, args)
    }

    fn add(&self, name: &str) {
        self.place.run(&["unit", "add", name]).json();
    }

    fn sign(&self) {
        self.place.run(&["log", "checkpoint", "--sign", &self.issuing]).json();
    }

    fn out(&self) {
        self.place.run(&["carry", "out", &self.at("usb"), &self.issuing]).json();
    }

    fn mirror(&self) {
        let key = self.place.key();
        self.on("mirror", &["mirror", "init", &self.at("mirror"), "--from", &self.at("usb"), "--key", &key]).json();
    }

    fn sync(&self, ledger: &str) -> Run {
        self.on(ledger, &["sync", "--once", "--url", &self.server.url()])
    }

    /// The ledger's key of now.
    fn key(&self, ledger: &str) -> String {
        key(&self.on(ledger, &["log", "public-key"]))
    }

    /// Reads the stream with a key: `replay` into a mirror, `follow`, or `verify`.
    fn read(&self, ledger: &str, args: &[&str]) -> Run {
        self.on(ledger, &[args, &["--url", &self.server.url()]].concat())
    }

    fn replay(&self, mirror: &str, key: &str) -> Run {
        self.read(mirror, &["replay", "--ledger", &self.at(mirror), "--key", key])
    }

    fn follow(&self, mirror: &str) -> Run {
        self.read(mirror, &["follow", "--ledger", &self.at(mirror), "--once"])
    }

    fn verify(&self, key: &str) -> Run {
        self.read("nowhere", &["verify", "--from", "nats", "--key", key])
    }

    /// Brings the backup back as the ledger `again`, which goes on from there under a new key.
    fn begin_again(&self, how: &[&str]) {
        self.on("again", &["restore", &self.at("vault"), &self.at("again")]).json();
        // An old key that was stored unencrypted in the folder must not be in the way of the new one.
        let open = self.place.file("again/ledger.key", b"what was the key");
        self.on("again", &[&["recover", "--yes"], how].concat()).json();
        assert!(!fs::exists(&open).unwrap() && fs::exists(format!("{open}.before")).unwrap());
    }

    /// Records and publishes under the new key; a new head is signed.
    fn work_again(&self, name: &str) {
        self.on("again", &["unit", "add", name]).json();
        self.on("again", &["log", "checkpoint", "--sign", &self.issuing]).json();
        self.sync("again").json();
    }

    /// Publishes messages of one's own, each answered by the stream.
    fn publish(&self, subject: &str, headers: HeaderMap, body: Vec<u8>) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let client = async_nats::connect(self.server.url()).await.unwrap();
            let context = async_nats::jetstream::new(client);
            context.publish_with_headers(subject.to_owned(), headers, body.into()).await.unwrap().await.unwrap();
        });
    }

    fn newest(&self, subject: &str) -> Vec<u8> {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let client = async_nats::connect(self.server.url()).await.unwrap();
            let stream = async_nats::jetstream::new(client).get_stream(STREAM).await.unwrap();
            stream.get_last_raw_message_by_subject(subject).await.unwrap().payload.to_vec()
        })
    }

    fn sync_here(&self) {
        self.place.run(&["sync", "--once", "--url", &self.server.url()]).json();
    }

    /// The content identifiers of a ledger's events, in order, and its source.
    fn history(run: &Run) -> Vec<Cid> {
        run.json().iter().map(|event| event["cid"].as_str().unwrap().parse().unwrap()).collect()
    }

    fn contents(&self) -> Contents {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let client = async_nats::connect(self.server.url()).await.unwrap();
            Contents::read(&client, STREAM).await
        })
    }
}

fn check(contents: &Contents, source: &str, first: u64, cids: &[Cid]) {
    let problems = Expected { source, cids, first, parked: &[], heads: true }.problems(contents);
    fail_with(&problems, contents);
}

#[test]
fn a_mirror_relays_what_its_ledger_did_not_publish() {
    let Some(relay) = Relay::new() else { return };
    let source = relay.place.run(&["status"]).json()[0]["source"].as_str().unwrap().to_owned();
    relay.sync_here();
    relay.add("Relayed 1");
    relay.add("Relayed 2");
    relay.out();
    relay.mirror();
    // The mirror has never seen the stream: its head says how far it is.
    let relayed = relay.sync("mirror").json();
    assert_eq!((&relayed[0]["published"], &relayed[0]["last_published"]), (&2.into(), &7.into()));
    assert_eq!(relay.sync("mirror").json()[0]["published"], 0);
    // The ledger goes on by itself, and finds what was published for it; then the mirror is behind, and harms nothing.
    relay.add("By itself");
    relay.sync_here();
    relay.sync("mirror");
    relay.add("Relayed 3");
    relay.out();
    relay.on("mirror", &["mirror", "update", &relay.at("usb")]).json();
    relay.sync("mirror").json();
    relay.sync_here();
    let cids = Relay::history(&relay.place.run(&["export", "events"]));
    assert_eq!(cids.len(), 9);
    check(&relay.contents(), &source, 1, &cids);
    assert_eq!(relay.on("mirror", &["mirror", "status"]).json()[0]["published"], 9);
}

#[test]
fn a_restored_ledger_takes_what_was_published_and_goes_on_behind_it() {
    let Some(relay) = Relay::new() else { return };
    let old = relay.place.run(&["status"]).json()[0]["source"].as_str().unwrap().to_owned();
    relay.place.run(&["backup", &relay.at("vault")]).json();
    relay.out();
    relay.mirror();
    relay.add("After the backup, signed");
    relay.sign();
    relay.sync_here();
    relay.add("After the backup, unsigned");
    relay.sync_here();
    let published = Relay::history(&relay.place.run(&["export", "events"]));

    relay.on("again", &["restore", &relay.at("vault"), &relay.at("again")]).json();
    let (again, url) = (relay.at("again"), relay.server.url());
    relay.sync("again").fails(3, &["restored from a backup"]);
    let recover = |more: &[&str]| {
        let args = ["recover", "--from", "nats", "--url", &url, &relay.issuing];
        relay.on("again", &[&args[..], more].concat())
    };
    recover(&[]).fails(3, &["1 events were taken; 1 later ones", "--accept-unsigned"]);
    let recovered = recover(&["--accept-unsigned"]).json()[0].clone();
    assert_eq!((&recovered["new"], &recovered["events"]), (&1.into(), &11.into()));
    let new = recovered["source"].as_str().unwrap().to_owned();
    assert_ne!(new, old);
    relay.on("again", &["unit", "add", "Under the new key"]).json();
    let synced = relay.sync("again").json();
    assert_eq!((&synced[0]["published"], &synced[0]["last_published"]), (&5.into(), &12.into()));
    assert_eq!(relay.sync("again").json()[0]["published"], 0);
    // What was recorded before is what was published before; the rest follows under the new key, and nothing twice.
    let cids = Relay::history(&relay.on("again", &["export", "events"]));
    assert_eq!(cids[..7], published);
    let contents = relay.contents();
    check(&contents, &old, 1, &published);
    check(&contents, &new, 8, &cids[7..]);
    assert_eq!(contents.events.len(), 12);
    // A mirror follows over both keys, and relays under the one whose turn it is.
    relay.on("again", &["unit", "add", "Relayed"]).json();
    relay.on("again", &["carry", "out", &relay.at("usb"), &relay.issuing]).json();
    relay.on("mirror", &["mirror", "update", &relay.at("usb")]).json();
    assert_eq!(relay.sync("mirror").json()[0]["published"], 1);
    let contents = relay.contents();
    check(&contents, &new, 8, &Relay::history(&relay.on("again", &["export", "events"]))[7..]);
    assert_eq!(contents.events.len(), 13);
    assert!(fs::metadata(again).is_ok());
}

/// The events of a ledger or a mirror, as they are exported.
fn exported(relay: &Relay, ledger: &str) -> Vec<Cid> {
    Relay::history(&relay.on(ledger, &["export", "events"]))
}

/// A ledger with a backup that is older than what it published, a mirror `early` of the stream, and the ledger's key.
fn followed() -> Option<(Relay, String)> {
    let relay = Relay::new()?;
    let key = relay.key("acme");
    relay.place.run(&["backup", &relay.at("vault")]).json();
    relay.add("Before");
    relay.sign();
    relay.sync_here();
    relay.replay("early", &key).json();
    Some((relay, key))
}

#[test]
fn readers_of_the_stream_follow_to_the_new_key() {
    let Some((relay, old)) = followed() else { return };
    let before = exported(&relay, "early");
    relay.begin_again(&["--from", "nats", "--url", &relay.server.url(), &relay.issuing]);
    let new = relay.key("again");
    // Not before something stands under the new key.
    relay.read("again", &["reconcile"]).fails(3, &["sync --once"]);
    relay.work_again("After");
    relay.work_again("Later");
    let all = exported(&relay, "again");
    assert_eq!(all[..before.len()], before);

    // A mirror that is pinned to the old key goes on, and a new one is made with either key.
    let followed = relay.follow("early").json();
    assert_eq!(followed[0]["events"], all.len());
    assert_eq!(exported(&relay, "early"), all);
    for (mirror, key) in [("one", &old), ("two", &new)] {
        let replayed = relay.replay(mirror, key).json();
        assert_eq!((&replayed[0]["events"], &replayed[0]["waiting"]), (&all.len().into(), &0.into()));
        assert_eq!(exported(&relay, mirror), all);
        relay.on(mirror, &["verify", "--deep"]).json();
        assert_eq!(relay.replay(mirror, key).json()[0]["new"], 0);
        let verified = relay.verify(key).json();
        assert_eq!((&verified[0]["signed"], &verified[0]["events"]), (&all.len().into(), &all.len().into()));
    }
    let verified = relay.read("again", &["verify", "--from", "nats"]).json();
    assert_eq!((&verified[0]["signed"], verified[0]["keys"].as_array().unwrap().len()), (&all.len().into(), 2));
    // A checkpoint of the new key is one of the history that the old one leads to.
    let newest = relay.on("again", &["log", "checkpoint"]).json()[0]["checkpoint"].as_str().unwrap().to_owned();
    let file = relay.place.file("newest.checkpoint", newest.as_bytes());
    relay.read("nowhere", &["verify", "--from", "nats", "--key", &old, "--against", &file]).json();
    relay.read("until", &["replay", "--ledger", &relay.at("until"), "--key", &old, "--at", &file]).json();

    // What is lost under either key is put back under the one of now, and then everything holds again.
    for position in [2, all.len() as u64 - 1] {
        let lost = relay.contents().events.iter().find(|event| event.position == position).unwrap().sequence;
        delete_message(&relay.server.url(), lost);
    }
    relay.verify(&old).fails(4, &["lost position 2"]);
    assert_eq!(relay.read("again", &["reconcile"]).json()[0]["restored"], 2);
    for key in [&old, &new] {
        let verified = relay.verify(key).json();
        assert_eq!((&verified[0]["signed"], &verified[0]["events"]), (&all.len().into(), &all.len().into()));
    }
    relay.replay("after", &old).json();
    assert_eq!(exported(&relay, "after"), all);

    // A head that is signed with a key that nobody announced is an alarm.
    let source = relay.on("again", &["status"]).json()[0]["source"].as_str().unwrap().to_owned();
    let subject = format!("cim.checkpoints.{source}");
    let mut head: serde_json::Value = serde_json::from_slice(&relay.newest(&subject)).unwrap();
    let signed: SignedCheckpoint = newest.parse().unwrap();
    let secret = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
    let name = signed.checkpoint().origin.clone();
    let other = VerifierKey::new(name, KeyKind::Ledger, secret.verifying_key());
    head["checkpoint"] =
        signed.checkpoint().sign(&other, &*SoftwareKey::new(secret.into())).unwrap().to_string().into();
    relay.publish(&subject, HeaderMap::new(), head.to_string().into_bytes());
    relay.verify(&old).fails(4, &["is not signed by"]);
    relay.follow("early").fails(4, &["signed by"]);
    relay.replay("late", &new).fails(4, &["signed by"]);
}

#[test]
fn a_machine_whose_ledger_went_on_elsewhere_is_told_and_publishes_no_more() {
    let Some(relay) = Relay::new() else { return };
    relay.place.run(&["backup", &relay.at("vault")]).json();
    relay.out();
    relay.mirror();
    relay.add("Published");
    relay.sign();
    relay.sync_here();
    relay.begin_again(&["--from", "nats", "--url", &relay.server.url(), &relay.issuing]);
    // Until the stream announces the new key, nobody can tell.
    relay.sync_here();
    relay.work_again("After");
    let before = relay.contents();

    let new = relay.on("again", &["status"]).json()[0]["source"].as_str().unwrap().to_owned();
    relay.add("Too late");
    let late = relay.place.run(&["sync", "--once", "--url", &relay.server.url()]);
    late.fails(3, &["publishes no more", "goes on under another key", &new]);
    relay.place.run(&["queue", "flush", "--url", &relay.server.url()]).fails(3, &[&new]);
    // So is a mirror that was fed before.
    relay.sync("mirror").fails(3, &["goes on under another key"]);
    let after = relay.contents();
    assert_eq!((after.events.len(), after.heads.len()), (before.events.len(), before.heads.len()));

    // The one that goes on does not take its own announcement for another's, and neither does a mirror that knows of it.
    relay.work_again("Later");
    relay.on("again", &["unit", "add", "Relayed"]).json();
    relay.on("again", &["carry", "out", &relay.at("usb"), &relay.issuing]).json();
    relay.on("mirror", &["mirror", "update", &relay.at("usb")]).json();
    assert_eq!(relay.sync("mirror").json()[0]["published"], 1);
}

#[test]
fn a_running_follower_goes_on_to_the_new_key_as_it_is_announced() {
    use std::io::{BufRead as _, BufReader};
    let Some((relay, _)) = followed() else { return };

    let url = relay.server.url();
    let mut command = relay.place.command_on("early", &["follow", "--url", &url]);
    command.env_remove("CIM_KEYS_LOG");
    let mut following = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
    // Waits until it has so many events; whatever else it says is wrong.
    let mut wait_for = |events: usize| loop {
        let line: serde_json::Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(line["event"], "taken", "{line}");
        if line["events"] == events {
            break;
        }
    };
    wait_for(exported(&relay, "early").len());
    relay.begin_again(&["--from", "nats", "--url", &url, &relay.issuing]);
    for name in ["After", "Later"] {
        relay.work_again(name);
        wait_for(exported(&relay, "again").len());
    }
    following.kill().unwrap();
    following.wait().unwrap();
    assert_eq!(exported(&relay, "early"), exported(&relay, "again"));
    relay.on("early", &["verify", "--deep"]).json();
}

#[test]
fn who_trusts_the_old_key_is_told_of_a_history_that_was_given_up_and_who_trusts_the_new_one_goes_on() {
    let Some(relay) = Relay::new() else { return };
    let old = relay.key("acme");
    relay.place.run(&["backup", &relay.at("vault")]).json();
    for name in ["Lost 1", "Lost 2", "Lost 3", "Lost 4", "Lost 5", "Lost 6"] {
        relay.add(name);
    }
    relay.sign();
    relay.sync_here();
    relay.replay("early", &old).json();
    relay.begin_again(&["--accept-loss", &relay.issuing]);
    let new = relay.key("again");
    relay.work_again("After");
    // What the backup has was published; what was recorded since follows, every position of it.
    let all = exported(&relay, "again");
    let source = relay.on("again", &["status"]).json()[0]["source"].as_str().unwrap().to_owned();
    let first = exported(&relay, "early").iter().zip(&all).take_while(|(one, other)| one == other).count();
    check(&relay.contents(), &source, first as u64 + 1, &all[first..]);

    relay.verify(&old).fails(4, &["two histories"]);
    relay.follow("early").fails(4, &["histories"]);
    relay.replay("another", &old).fails(4, &["two histories"]);
    let verified = relay.verify(&new).json();
    assert_eq!((&verified[0]["signed"], &verified[0]["events"]), (&all.len().into(), &all.len().into()));
    assert!(verified[0]["given_up"].as_u64().unwrap() >= 6, "{verified:?}");
    relay.read("again", &["verify", "--from", "nats"]).json();
    assert_eq!(relay.replay("new", &new).json()[0]["events"], all.len());
    assert_eq!(exported(&relay, "new"), all);
    assert_eq!(relay.read("again", &["reconcile", "--dry-run"]).json()[0]["lost"], 0);
    relay.work_again("Later");
    assert_eq!(relay.follow("new").json()[0]["events"], all.len() + 1);
}

#[test]
fn a_key_that_the_old_one_did_not_vouch_for_is_not_followed() {
    let Some(relay) = Relay::new() else { return };
    let old = relay.key("acme");
    relay.sign();
    relay.sync_here();
    relay.place.run(&["backup", &relay.at("vault")]).json();
    relay.replay("early", &old).json();
    let before = exported(&relay, "early").len();
    relay.begin_again(&["--accept-loss", "--without-old-key"]);
    let new = relay.key("again");
    relay.work_again("After");
    relay.on("again", &["key", "rotate", "Ledger key"]).fails(3, &["not rotated like another", "cim-keys recover"]);
    relay.verify(&old).fails(4, &["did not vouch for"]);
    relay.follow("early").fails(4, &["did not vouch for"]);
    assert_eq!(exported(&relay, "early").len(), before, "nothing under the other key is taken");
    let all = exported(&relay, "again");
    assert_eq!(relay.replay("new", &new).json()[0]["events"], all.len());
    assert_eq!(relay.verify(&new).json()[0]["signed"], all.len());
    assert_eq!(relay.read("again", &["verify", "--from", "nats"]).json()[0]["signed"], all.len());
}
