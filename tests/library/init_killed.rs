//! `app::init::init` by itself, killed (SIGKILL) at every system call that changes the disk: a second run in the same folder
//! makes a whole ledger, and nothing of the dead run is left. This program runs itself again under `strace`.

use std::fs;
use std::path::{Path, PathBuf};

use cim_keys::app::init::{InitError, NewLedger, init};
use cim_keys::config::Config;
use cim_keys::custody::{ISSUING, ROOT, WorkFactor};
use cim_keys::events::Actor;
use cim_keys::session::custody;
use cim_keys::session::{Place, Session};
use cim_keys::text::{Label, Name};
use cim_keys_testkit::folders::{entries, without_id};
use cim_keys_testkit::{KillPoints, again, again_at};

fn place(folder: &Path) -> Place {
    Place::new(folder.join("acme"), folder.join("state"))
}

fn actor() -> Actor {
    Actor::System(Label::new("test").unwrap())
}

fn make(folder: &Path) -> Result<Session, InitError> {
    let compartment = |name: &str| (Label::new(name).unwrap(), format!("a passphrase for {name}").into());
    let new = NewLedger {
        name: Name::new("Acme").unwrap(),
        actor: actor(),
        compartments: vec![compartment(ROOT), compartment(ISSUING)],
        online_key: true,
        work: WorkFactor::new(10).unwrap(),
        config: Config::example(),
    };
    init(place(folder), new)
}

/// The names of everything in a folder, but for what SQLite has beside a database.
fn all(folder: &Path) -> Vec<String> {
    let name = |path: PathBuf| without_id(path.file_name().unwrap().to_str().unwrap());
    let mut found: Vec<String> = entries(folder).into_iter().map(name).collect();
    found.retain(|name| !name.ends_with("-wal") && !name.ends_with("-shm"));
    found.sort();
    found
}

#[test]
fn a_ledger_is_made_whole_by_a_second_run() {
    if let Some(folder) = again::place() {
        drop(make(&folder).unwrap());
        return;
    }
    let again = |folder: &Path| again_at(module_path!(), "a_ledger_is_made_whole_by_a_second_run", folder);
    let whole = tempfile::tempdir().unwrap();
    let Some(points) = KillPoints::of(&again(whole.path())) else { return };
    let whole = all(whole.path());
    let (mut killed, mut ledgers) = (0, 0);
    // The program's own test takes all of them.
    for point in points.choose(40, "init").iter().filter(|point| !point.call.ends_with("sync")) {
        let folder = tempfile::tempdir().unwrap();
        if !points.kill(point, &again(folder.path())) {
            continue;
        }
        killed += 1;
        match make(folder.path()) {
            Ok(session) => session.store().writable().unwrap(),
            Err(InitError::Exists(_)) => ledgers += 1,
            Err(error) => panic!("after {point}: {error}"),
        }
        let session = Session::open(place(folder.path()), actor()).unwrap();
        session.store().writable().unwrap();
        assert!(session.store().verify(&mut |_, _| {}).ok(), "after {point}");
        let found = custody::check(session.store(), &session.custody().unwrap()).unwrap();
        assert!(found.is_clean(), "after {point}: {found:?}");
        drop(session);
        assert_eq!(all(folder.path()), whole, "after {point}");
    }
    println!("init: {} kill points, {killed} killed and rerun; a whole ledger after {ledgers}", points.all().len());
    assert!(killed > 20 && ledgers < killed);
}

#[test]
fn what_a_dead_run_left_and_somebody_changed_is_not_removed() {
    let folder = tempfile::tempdir().unwrap();
    let place = place(folder.path());
    fs::create_dir_all(place.folder().join(".unfinished-backup")).unwrap();
    fs::create_dir(place.custody()).unwrap();
    // Nothing here says that a dead run put custody there.
    assert!(matches!(make(folder.path()), Err(InitError::CustodyExists(_))));
    assert!(place.custody().exists() && place.folder().join(".unfinished-backup").exists());
    fs::remove_dir(place.custody()).unwrap();
    drop(make(folder.path()).unwrap());
    assert!(place.folder().join(".unfinished-backup").exists());
}
