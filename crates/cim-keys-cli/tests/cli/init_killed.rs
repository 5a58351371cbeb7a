//! Making a ledger, killed (SIGKILL) at every system call that changes the disk: there is no ledger then, or a whole one with its
//! restrictions in force, and running the same command again completes it and leaves nothing of the dead run.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use cim_keys::config::Layers;
use cim_keys::custody::ISSUING as ISSUING_LABEL;
use cim_keys::events::Actor;
use cim_keys::session::custody;
use cim_keys::session::{Place as At, Session};
use cim_keys::store::Listing;
use cim_keys::text::Label;
use cim_keys_testkit::folders::{entries, without_id};
use cim_keys_testkit::{KillPoint, KillPoints};

use crate::support::{ISSUING, Place, Run, run};

/// A file of the user's own, in the ledger's folder before there is a ledger.
const OWN: &str = "notes.txt";

const FILE: &str = r#"
format = "cim-keys/1"
[organization]
name = "Acme"

[people.ann]
name = "Ann"
email = "ann@acme.example"

[people.bob]
name = "Bob"
email = "bob@acme.example"

[keys.firmware]
name = "Firmware"
algorithm = "ed25519"
purpose = "signing"
owner = "person:ann"

[keys.root]
name = "Root authority"
algorithm = "ecdsa-p256"
purpose = "certificate-authority"
owner = "organization"
compartment = "root"

[nats.operator]
name = "ACME"

[nats.accounts.orders]
name = "ORDERS"

[nats.accounts.orders.users.bob]

[nats.accounts.orders.roles.device]
publish = { allow = ["devices.{{name()}}.>"] }

[nats.accounts.orders.fleets.scales]
role = "device"
count = 12
name = "scale-{n:02}"
"#;

/// Runs at once: most of the time they wait for the disk.
const WORKERS: usize = 4;

/// A command that makes a ledger.
struct Making {
    name: &'static str,
    args: &'static [&'static str],
    air_gapped: bool,
    /// Whether it is done again where it is done already; otherwise it then says that there is a ledger.
    again: bool,
}

const PLAIN: Making = Making { name: "init", args: &["init"], air_gapped: false, again: false };
const RESTRICTED: Making = Making {
    name: "init --air-gapped --online-ledger-key",
    args: &["init", "--air-gapped", "--online-ledger-key"],
    air_gapped: true,
    again: false,
};
const APPLY: Making = Making { name: "first apply", args: &["apply", "acme.toml"], air_gapped: false, again: true };

/// What a whole run leaves: files, and the types of events in order.
#[derive(Debug, PartialEq, Eq)]
struct Left {
    files: Vec<String>,
    events: Vec<String>,
}

impl Making {
    fn place(&self) -> Place {
        let place = Place::empty();
        place.passphrase_flags();
        place.file("acme.toml", FILE.as_bytes());
        if !self.again {
            fs::create_dir(place.ledger()).unwrap();
            fs::write(place.ledger().join(OWN), "own").unwrap();
        }
        place
    }

    fn command(&self, place: &Place) -> Command {
        let mut args = self.args.to_vec();
        let (root, issuing) = place.passphrase_flags();
        args.extend(["--work-factor", "10", &root, &issuing]);
        place.quiet(&args)
    }

    fn run(&self, place: &Place) -> Run {
        run(self.command(place), b"")
    }

    /// Kills the command at a point, looks at what is there, and runs it again. `None` when it was not killed; otherwise
    /// whether there was a ledger by then.
    fn kill(&self, points: &KillPoints, point: &KillPoint, whole: &Left) -> Option<bool> {
        let place = self.place();
        if !points.kill(point, &self.command(&place)) {
            return None;
        }
        let there = place.ledger().join("ledger.db").exists();
        if there {
            // It can be used as it is: nothing is wrong with it, and its restrictions are in force.
            look(&place, self, false);
        }
        let again = self.run(&place);
        match there && !self.again {
            true => drop(again.fails(2, &["there is a ledger in"])),
            false => assert_eq!(again.code, 0, "{again:?}"),
        }
        look(&place, self, true);
        place.run(&["custody", "check"]).json();
        place.run(&["status"]).json();
        let left = left(&place);
        let more: Vec<_> = left.files.iter().filter(|file| !whole.files.contains(file)).collect();
        assert!(more.is_empty(), "left behind: {more:?}");
        assert_eq!(left, *whole);
        if !self.again {
            assert_eq!(fs::read_to_string(place.ledger().join(OWN)).unwrap(), "own");
        }
        Some(there)
    }
}

fn session(place: &Place) -> Session {
    let at = At::new(place.ledger(), place.path("state"));
    Session::open_read_only(at, Actor::System(Label::new("test").unwrap())).unwrap()
}

/// Checks a ledger. Where the making of it is not done, custody may have more than is recorded.
#[track_caller]
fn look(place: &Place, making: &Making, done: bool) {
    let mut layers = Layers::new();
    layers.file(&place.ledger().join("config.toml"), &fs::read_to_string(place.ledger().join("config.toml")).unwrap());
    assert_eq!(layers.resolve().unwrap().config.nats.air_gapped, making.air_gapped);

    let session = session(place);
    let report = session.store().verify(&mut |_, _| {});
    assert!(report.ok(), "{report:#?}");
    let sealed = session.custody().unwrap();
    assert!(sealed.unlock(&Label::new(ISSUING_LABEL).unwrap(), ISSUING.into()).is_ok());
    let mut found = custody::check(session.store(), &sealed).unwrap();
    if !done {
        found.files.orphans.clear();
        found.files.strays.clear();
    }
    assert!(found.is_clean(), "{found:?}");
}

/// Every file and folder of the ledger and of this machine's rights, with `ID` for each id, and the types of all events.
fn left(place: &Place) -> Left {
    let session = session(place);
    let events = session.store().events(Listing::from(1, 1_000)).unwrap();
    let events = events.into_iter().map(|event| event.event().unwrap().data.event_type().to_owned()).collect();
    let files = [place.ledger(), place.path("state")].into_iter().flat_map(|folder| entries(&folder));
    let shown = |path: PathBuf| {
        let path = path.strip_prefix(place.dir.path()).unwrap().to_str().unwrap().to_owned();
        path.split('/').map(without_id).collect::<Vec<_>>().join("/")
    };
    // What SQLite keeps beside a database, also for readers.
    let lasting = |file: &String| !file.ends_with("-wal") && !file.ends_with("-shm");
    let mut files: Vec<_> = files.map(shown).filter(lasting).collect();
    files.sort();
    Left { files, events }
}

/// Kills the command at each of its points.
fn everywhere(making: &Making) {
    let first = making.place();
    let Some(points) = KillPoints::of(&making.command(&first)) else { return };
    look(&first, making, true);
    let whole = left(&first);
    assert!(!whole.files.iter().any(|file| file.contains(".unfinished-") || file.contains(".new")), "{whole:#?}");

    // A process that dies before it waits for the disk leaves what it leaves before its next change.
    let states: Vec<_> = points.all().iter().filter(|point| !point.call.ends_with("sync")).collect();
    let next = AtomicUsize::new(0);
    let (killed, ledgers) = (AtomicU32::new(0), AtomicU32::new(0));
    let worker = || {
        while let Some(point) = states.get(next.fetch_add(1, Ordering::SeqCst)) {
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| making.kill(&points, point, &whole)));
            match done.unwrap_or_else(|_| panic!("{}: after {point}, as above", making.name)) {
                Some(there) => {
                    killed.fetch_add(1, Ordering::SeqCst);
                    ledgers.fetch_add(u32::from(there), Ordering::SeqCst);
                }
                None => println!("{}: came to its end before {point}", making.name),
            }
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
    });
    println!(
        "{}: {} kill points, {} states between them, {} killed and rerun; a whole ledger after {}",
        making.name,
        points.all().len(),
        states.len(),
        killed.into_inner(),
        ledgers.into_inner(),
    );
}

#[test]
fn init_is_rerun_after_a_kill_at_every_write() {
    everywhere(&PLAIN);
}

#[test]
fn init_with_restrictions_and_an_open_key_is_rerun_after_a_kill_at_every_write() {
    everywhere(&RESTRICTED);
}

#[test]
fn a_first_apply_is_rerun_after_a_kill_at_every_write() {
    everywhere(&APPLY);
}

#[test]
fn a_configuration_that_is_there_is_kept_and_never_less_strict_than_asked_for() {
    let config = |place: &Place| place.ledger().join("config.toml");
    let place = PLAIN.place();
    fs::write(config(&place), "[nats]\nstream_name = \"MINE\"\n").unwrap();
    RESTRICTED.run(&place).fails(2, &["does not say that the ledger is air-gapped", "air_gapped = true"]);
    assert!(!place.ledger().join("ledger.db").exists() && !place.ledger().join("custody").exists());
    let mine = "[nats]\nstream_name = \"MINE\"\nair_gapped = true\n";
    fs::write(config(&place), mine).unwrap();
    RESTRICTED.run(&place).json();
    assert_eq!(fs::read_to_string(config(&place)).unwrap(), mine);
    look(&place, &RESTRICTED, true);
}

#[test]
fn no_ledger_is_made_when_its_passphrases_can_not_be_shown() {
    let place = PLAIN.place();
    let mut command = place.quiet(&["init", "--work-factor", "10", "--show-passphrase"]);
    // A pipe that nobody reads.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    assert!(!command.stderr(writer).stdout(std::process::Stdio::null()).status().unwrap().success());
    let names: Vec<_> = fs::read_dir(place.ledger()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, [OWN]);
    assert_eq!(fs::read_dir(place.path("state")).unwrap().count(), 0);
}

/// Kills a command that changes custody at so many of its points. What the dead run left is removed by running it again.
fn in_custody(args: &[&str], done: &[&str], most: usize) {
    let place = || {
        let place = Place::new();
        let (root, issuing) = place.passphrase_flags();
        let flags = [root, issuing]
            .into_iter()
            .chain([format!("--passphrase-file={}", place.file("any.pass", b"one for all the others"))]);
        (flags.collect::<Vec<_>>(), place)
    };
    let command = |(flags, place): &(Vec<String>, Place)| {
        let args: Vec<_> = args.iter().copied().chain(flags.iter().map(String::as_str)).collect();
        place.quiet(&args)
    };
    let first = place();
    let Some(points) = KillPoints::of(&command(&first)) else { return };
    let (mut killed, mut already) = (0, 0);
    let chosen = points.choose(most, &args.join(" "));
    for point in chosen.iter().filter(|point| !point.call.ends_with("sync")) {
        let it = place();
        if !points.kill(point, &command(&it)) {
            continue;
        }
        killed += 1;
        let again = run(command(&it), b"");
        if again.code != 0 {
            already += 1;
            again.fails(again.code, done);
        }
        let check = it.1.run(&["custody", "check"]);
        assert_eq!(check.code, 0, "{args:?}: after {point}: {check:?}");
        let left: Vec<_> = left(&it.1).files.into_iter().filter(|file| file.contains(".unfinished-")).collect();
        assert!(left.is_empty(), "{args:?}: after {point}: {left:?}");
    }
    println!("{}: {} kill points, {killed} killed, {already} done by then", args.join(" "), points.all().len());
}

#[test]
fn what_killed_sealing_leaves_is_removed() {
    in_custody(&["key", "generate", "Firmware", "--purpose", "signing"], &["Firmware"], usize::MAX);
    // Its passphrase is as dear to guess as it is in earnest: a second for each run.
    in_custody(&["custody", "add", "agents"], &["agents"], 12);
}
