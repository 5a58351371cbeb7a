//! Publishing by others: a mirror relays for its ledger, and a restored ledger goes on under its new key. Each against a real server,
//! and each ends in the same check: every position once, in order, under the key whose turn it was.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs;

use cid::Cid;
use cim_keys_testkit::NatsServer;
use cim_keys_testkit::check::{Contents, Expected, fail_with};
use support::{Place, Run};

const STREAM: &str = "CIM_KEYS_EVENTS";

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
        self.place.path(name).to_str().unwrap().to_owned()
    }

    fn on(&self, ledger: &str, args: &[&str]) -> Run {
        let mut command = self.place.command(args);
        command.env("CIM_KEYS_LEDGER", self.place.path(ledger)).env("CIM_KEYS_STATE", self.place.path("elsewhere"));
        support::run(command, b"")
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
        let key = self.place.run(&["log", "public-key"]).json()[0]["key"].as_str().unwrap().to_owned();
        self.on("mirror", &["mirror", "init", &self.at("mirror"), "--from", &self.at("usb"), "--key", &key]).json();
    }

    fn sync(&self, ledger: &str) -> Run {
        self.on(ledger, &["sync", "--once", "--url", &self.server.url()])
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
