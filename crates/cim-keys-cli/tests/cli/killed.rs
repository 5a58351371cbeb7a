//! The program is killed (SIGKILL) in the middle of what it does, at random moments: run again, it comes to its end, nothing
//! is lost and nothing is there by half. `CIM_KEYS_KILL_SEED=N` repeats one seed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cim_keys::act::{Intent, Pipeline};
use cim_keys::app::organizations;
use cim_keys::policy;
use cim_keys::session::Place as At;
use cim_keys::store::Store;
use cim_keys_testkit::{Kills, NatsServer};

use crate::support::deployment::Deployment;
use crate::support::{self, Place, Run, files};

/// How often each command is killed, at least.
const KILLS: u32 = 10;

/// How often it is killed in a row before it may come to its end.
const IN_A_ROW: u32 = 3;

/// Events of the ledger: some transactions of a mirror.
const EVENTS: u64 = 1_500;

/// A ledger of many events with a signed head.
struct Ledger {
    place: Place,
    issuing: String,
    /// Its newest signed head.
    head: String,
    /// Its key.
    key: String,
}

impl Ledger {
    fn new() -> Self {
        Self::with(|_, _| {})
    }

    /// The same, with something that is done while it is small.
    fn with(first: impl FnOnce(&Place, &str)) -> Self {
        let place = Place::new();
        let (_, issuing) = place.passphrase_flags();
        first(&place, &issuing);
        let store = Store::open(At::new(place.ledger(), place.path("state")).options()).unwrap();
        let many = (0..EVENTS).map(|n| organizations::add(format!("Organization {n}").parse().unwrap(), None, None));
        let intent = Intent::new("system:test".parse().unwrap());
        let mut pipeline = Pipeline::new(&store, policy::built_in());
        let outcome = pipeline.act(&intent, |draft| draft.commands(many.clone())).unwrap();
        drop(pipeline);
        assert_eq!(outcome.events.len() as u64, EVENTS);
        store.close().unwrap();
        place.run(&["log", "checkpoint", "--sign", &issuing]).json();
        let field = |args: &[&str], name: &str| place.run(args).json()[0][name].as_str().unwrap().to_owned();
        let head = field(&["log", "checkpoint"], "checkpoint");
        let key = place.key();
        Self { place, issuing, head, key }
    }

    fn at(&self, name: &str) -> String {
        self.place.at(name)
    }

    /// The program on another ledger, quiet.
    fn command(&self, ledger: &str, args: &[&str]) -> Command {
        let mut command = self.place.command_on(ledger, args);
        command.env_remove("CIM_KEYS_LOG");
        command
    }

    fn on(&self, ledger: &str, args: &[&str]) -> Run {
        support::run(self.command(ledger, args), b"")
    }

    /// The one check of a copy: everything holds, and it is the ledger up to its signed head.
    fn check(&self, copy: &str) {
        self.on(copy, &["verify"]).json();
        assert_eq!(self.on(copy, &["log", "checkpoint"]).json()[0]["checkpoint"], self.head);
    }

    /// Kills a command that makes a copy, each time in a folder of its own, and lets it come to its end at last.
    fn kill(&self, args: impl Fn(&str) -> Vec<String>, check: impl Fn(&str, bool)) {
        self.kill_after(|_| {}, args, check);
    }

    /// The same, with what is done in each folder before.
    fn kill_after(&self, begin: impl Fn(&str), args: impl Fn(&str) -> Vec<String>, check: impl Fn(&str, bool)) {
        let command = |copy: &str| {
            let args = args(copy);
            self.command(copy, &args.iter().map(String::as_str).collect::<Vec<_>>())
        };
        begin("whole");
        let mut kills = Kills::like(&mut command("whole"));
        check("whole", true);
        let names = names(&self.place.path("whole"));
        let mut round = 0;
        while kills.done < KILLS {
            round += 1;
            assert!(round < 20 * KILLS, "it is always faster");
            let copy = format!("copy{round}");
            begin(&copy);
            let mut in_a_row = 0;
            while in_a_row < IN_A_ROW && kills.kill(&mut command(&copy)) {
                in_a_row += 1;
            }
            if in_a_row == 0 {
                continue;
            }
            let run = support::run(command(&copy), b"");
            check(&copy, run.code == 0);
            assert_eq!(self::names(&self.place.path(&copy)), names, "{run:?}");
        }
    }
}

/// The names of all files in a folder, but for those that SQLite has while it is open, and the numbers of keys.
fn names(folder: &Path) -> BTreeSet<PathBuf> {
    let relative = |path: PathBuf| path.strip_prefix(folder).unwrap().to_owned();
    files(folder).into_iter().map(relative).collect()
}

fn texts<const N: usize>(args: [&str; N]) -> Vec<String> {
    args.map(str::to_owned).to_vec()
}

#[test]
fn an_import_that_is_killed_goes_on() {
    let ledger = Ledger::new();
    let archive = ledger.at("acme.car");
    ledger.place.run(&["export", "car", &archive]).json();
    let args = |_: &str| texts(["import", "car", &archive, "--key", &ledger.key]);
    ledger.kill(args, |copy, done| {
        assert!(done);
        ledger.check(copy);
    });
}

#[test]
fn a_medium_is_carried_in_by_a_mirror_however_often_the_process_is_killed() {
    let ledger = Ledger::with(|place, issuing| {
        // What the mirrors have before.
        place.run(&["log", "checkpoint", "--sign", issuing]).json();
        let early = place.path("early.car");
        place.run(&["export", "car", early.to_str().unwrap()]).json();
    });
    fs::create_dir(ledger.place.path("usb")).unwrap();
    let (usb, early) = (ledger.at("usb"), ledger.at("early.car"));
    ledger.place.run(&["carry", "out", &usb, "--no-sign"]).json();
    let begin = |copy: &str| {
        ledger.on(copy, &["import", "car", &early, "--key", &ledger.key]).json();
    };
    ledger.kill_after(
        begin,
        |_: &str| texts(["carry", "in", &usb]),
        |copy, done| {
            assert!(done);
            ledger.check(copy);
        },
    );
}

#[test]
fn a_medium_that_is_carried_out_to_by_a_process_that_is_killed_is_whole_or_said_to_be_half_written() {
    let ledger = Ledger::new();
    let usb = ledger.at("usb");
    fs::create_dir(&usb).unwrap();
    let command = || ledger.place.quiet(&["carry", "out", &usb]);
    let mut kills = Kills::like(&mut command());
    let (whole, clean) = (names(&ledger.place.path("usb")), names(&ledger.place.ledger()));
    let mirror = |name: &str, verb: &str| match verb {
        "init" => ledger.on(name, &["mirror", "init", &ledger.at(name), "--from", &usb, "--key", &ledger.key]),
        _ => ledger.on(name, &["mirror", "update", &usb]),
    };
    mirror("kept", "init").json();
    let (mut halves, mut round) = (0, 0);
    while kills.done < KILLS || halves == 0 {
        round += 1;
        assert!(round < 20 * KILLS, "it is never killed while it writes");
        // A medium that is new, and one that has something older on it, by turns.
        let is_new = round % 2 == 0;
        if is_new {
            fs::remove_dir_all(&usb).unwrap();
            fs::create_dir(&usb).unwrap();
        } else {
            ledger.place.run(&["unit", "add", &format!("Unit {round}"), "--organization", "Organization 1"]).json();
            ledger.place.run(&["log", "checkpoint", "--sign", &ledger.issuing]).json();
        }
        if !kills.kill(&mut command()) {
            continue;
        }
        // The old state is there or the new one; where there was none, it may be none or half of one.
        let left = mirror("kept", "update");
        let told = ["half-written", "carries no ledger"];
        halves += u32::from(left.stderr.contains(told[0]));
        assert!(left.code == 0 || is_new && told.iter().any(|told| left.stderr.contains(told)), "{left:?}");
        if left.code != 0 {
            let code = if left.stderr.contains(told[0]) { 4 } else { 2 };
            let back = ledger.place.run(&["carry", "in", &usb]);
            assert!(back.code == 0 && code == 2 || back.code == code && back.stderr.contains(told[0]), "{back:?}");
        }
        // Done again, it is as if nothing had happened.
        support::run(command(), b"").json();
        assert_eq!(names(&ledger.place.path("usb")).len(), whole.len());
        assert_eq!(names(&ledger.place.ledger()), clean);
        let back = ledger.place.run(&["carry", "in", &usb]).json();
        assert!(back[0]["head"].is_object(), "{back:?}");
        let fresh = format!("fresh{round}");
        for (name, verb) in [("kept", "update"), (fresh.as_str(), "init")] {
            let taken = mirror(name, verb).json();
            assert_eq!(taken[0]["head"], back[0]["head"]);
            ledger.on(name, &["verify"]).json();
        }
    }
}

#[test]
fn a_replay_that_is_killed_goes_on() {
    let Some(server) = NatsServer::run() else { return };
    let ledger = Ledger::new();
    ledger.place.run(&["sync", "--once", "--url", &server.url()]).json();
    let args = |_: &str| texts(["replay", "--from", "nats", "--url", &server.url(), "--key", &ledger.key]);
    ledger.kill(args, |copy, done| {
        assert!(done);
        ledger.check(copy);
    });
}

#[test]
fn a_restoration_that_is_killed_begins_anew() {
    let ledger = Ledger::new();
    let vault = ledger.at("acme.cimkeys.tar");
    ledger.place.run(&["backup", &vault]).json();
    ledger.kill(
        |copy| texts(["restore", &vault, &ledger.at(copy)]),
        |copy, done| {
            // Where it says that a ledger is there, it was put in place whole.
            assert!(
                done || ledger.on(copy, &["restore", &vault, &ledger.at(copy)]).stderr.contains("is there already")
            );
            ledger.check(copy);
            let tested = ledger.on(copy, &["custody", "test", "issuing", &ledger.issuing]);
            assert_eq!(tested.code, 0, "{tested:?}");
            ledger.on(copy, &["custody", "check"]).json();
            ledger.on(copy, &["unit", "add", "Too early"]).fails(3, &["restored from a backup"]);
        },
    );
}

#[test]
fn a_backup_that_is_killed_leaves_none_or_a_whole_one() {
    let ledger = Ledger::new();
    let vault = ledger.place.path("vault");
    fs::create_dir(&vault).unwrap();
    let args = ["backup", vault.to_str().unwrap()];
    let command = || ledger.place.quiet(&args);
    let mut kills = Kills::like(&mut command());
    let clean = names(&ledger.place.ledger());
    let (mut halves, mut round) = (0, 0);
    // It writes for a small part of its time.
    while kills.done < KILLS || halves == 0 {
        round += 1;
        assert!(round < 20 * KILLS, "it was never killed while it wrote");
        fs::remove_dir_all(&vault).unwrap();
        fs::create_dir(&vault).unwrap();
        kills.kill(&mut command());
        let to = ledger.at(&format!("restored{round}"));
        for file in files(&vault) {
            let whole = file.extension().is_some_and(|extension| extension == "tar");
            let run = ledger.on("nowhere", &["restore", file.to_str().unwrap(), &to]);
            if whole || run.code == 0 {
                // Not even its name is missing, or only that.
                run.json();
                ledger.check(&format!("restored{round}"));
            } else {
                halves += 1;
                let told = ["half-written", "no backup of a ledger"];
                assert!(told.iter().any(|told| run.stderr.contains(told)), "{run:?}");
                ledger.on("nowhere", &["restore", vault.to_str().unwrap(), &to]).fails(2, &["there is no backup in"]);
            }
        }
        // A file of the same second is there whole, if at all.
        let again = support::run(command(), b"");
        assert!(again.code == 0 || again.stderr.contains("exists already"), "{again:?}");
        assert!(files(&vault).iter().all(|file| file.extension().is_some_and(|extension| extension == "tar")));
        assert_eq!(names(&ledger.place.ledger()), clean);
    }
    ledger.place.run(&["verify"]).json();
}

#[test]
fn receipts_and_requests_are_taken_once_however_often_the_process_is_killed() {
    let deployment = Deployment::new();
    let Some(server) = deployment.server("full") else { return };
    let place = &deployment.place;
    let (_, issuing) = place.passphrase_flags();
    fs::create_dir(place.path("usb")).unwrap();
    let usb = place.path("usb").to_str().unwrap().to_owned();
    place.run(&["carry", "out", &usb, &issuing]).json();
    let key = place.key();
    let mirror = place.path("mirror");
    place.run(&["mirror", "init", mirror.to_str().unwrap(), "--from", &usb, "--key", &key]).json();
    let receipt = format!("{usb}/push-1.json");
    let pushed = deployment.elsewhere(&mirror, "push", &server, &["--all", "--servers", "1", "--receipt", &receipt]);
    assert_eq!(pushed.code, 0, "{pushed:?}");
    fs::write(format!("{usb}/wanted.req"), "what is asked for").unwrap();

    let (ledger, state) = (place.ledger(), place.path("state"));
    let kept: Vec<(PathBuf, Vec<u8>)> = [&ledger, &state]
        .into_iter()
        .flat_map(|folder| files(folder))
        .map(|path| {
            let bytes = fs::read(&path).unwrap();
            (path, bytes)
        })
        .collect();
    // As it was, in the very files: the right to write is bound to them.
    let begin = || {
        for path in [&ledger, &state].into_iter().flat_map(|folder| files(folder)) {
            if !kept.iter().any(|(known, _)| *known == path) {
                fs::remove_file(&path).unwrap();
            }
        }
        kept.iter().for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
    };
    let command = || place.quiet(&["carry", "in", &usb]);
    let recorded = || {
        let events = place.run(&["event", "list", "--limit", "1000"]).json();
        events.iter().filter(|event| event["type"] == "NatsAccountPushed").count()
    };
    let mut kills = Kills::like(&mut command());
    let (all, clean) = (recorded(), names(&ledger));
    assert!(all > 0);
    let mut round = 0;
    while kills.done < KILLS {
        round += 1;
        assert!(round < 20 * KILLS, "it is always faster");
        begin();
        let mut in_a_row = 0;
        while in_a_row < IN_A_ROW && kills.kill(&mut command()) {
            in_a_row += 1;
        }
        let run = support::run(command(), b"").json();
        assert_eq!(run[0]["parcels"].as_array().unwrap().len(), 2);
        assert_eq!((recorded(), &names(&ledger)), (all, &clean));
        place.run(&["verify"]).json();
    }
}
