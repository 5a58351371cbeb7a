//! What an auditor is told of a ledger: how much was checked, what it is anchored to, and what this machine remembers.

use cim_keys::app::verify;
use cim_keys::session::heads;
use cim_keys::store::{Demands, Extent, Store};
use cim_keys::verify::{Layer, Report};
use rusqlite::Connection;

use crate::support::log::{Ledger, options};

fn check(store: &Store, extent: Extent<'_>) -> Report {
    store.verify_against(&Demands { extent, ..Demands::default() }, &mut |_, _| {})
}

#[test]
fn what_is_new_is_checked_alone_and_continues_what_was_checked() {
    let ledger = Ledger::new();
    ledger.grow(30);
    let first = heads::sign_head(&ledger.store, &*ledger.signer).unwrap();
    ledger.grow(40);
    let second = heads::sign_head(&ledger.store, &*ledger.signer).unwrap();
    let report = check(&ledger.store, Extent::Since(&first));
    assert!(report.ok(), "{report:#?}");
    assert_eq!((report.first, report.events, report.last), (first.size() + 1, 40, second.size()));
    assert_eq!(report.root, Some(second.checkpoint().root));
    assert!(report.consistency.is_some_and(|proof| !proof.is_empty()));
    let report = check(&ledger.store, Extent::Since(&second));
    assert!(report.ok() && report.events == 0, "{report:#?}");

    let other = Ledger::new();
    other.grow(5);
    let foreign = heads::sign_head(&other.store, &*other.signer).unwrap();
    let report = check(&ledger.store, Extent::Since(&foreign));
    assert_eq!(report.problems[0].layer, Layer::History);
    let report = check(&other.store, Extent::Since(&second));
    assert_eq!(report.problems[0].layer, Layer::History);
}

#[test]
fn what_an_insider_could_rewrite_is_told() {
    let ledger = Ledger::new();
    let told = |ledger: &Ledger| verify::ledger(&ledger.store, &Demands::default(), &mut |_, _| {}).unwrap();
    let nothing = told(&ledger);
    assert_eq!((nothing.anchor.signed, nothing.anchor.unsigned, nothing.anchor.witnessed()), (None, 2, 0));
    heads::sign_head(&ledger.store, &*ledger.signer).unwrap();
    ledger.grow(3);
    let signed = told(&ledger);
    assert!(signed.report.ok(), "{:#?}", signed.report);
    assert_eq!((signed.anchor.signed, signed.anchor.unsigned, signed.anchor.witnessed()), (Some(2), 3, 0));
}

/// Everything that follows from the last events goes with them, so that the file agrees with itself.
#[test]
fn a_log_that_was_cut_off_cleanly_is_noticed_by_the_machine_that_wrote_it() {
    let ledger = Ledger::new();
    ledger.grow(6);
    heads::sign_head(&ledger.store, &*ledger.signer).unwrap();
    ledger.grow(2);
    let newest = heads::sign_head(&ledger.store, &*ledger.signer).unwrap();
    let folder = ledger.folder.path().to_owned();
    let Ledger { folder: _keep, store, .. } = ledger;
    store.close().unwrap();
    let connection = Connection::open(folder.join("ledger.db")).unwrap();
    connection
        .execute_batch(
            "DELETE FROM log WHERE position > 8;
             DELETE FROM node WHERE i >= 15;
             DELETE FROM checkpoint WHERE size > 8;
             UPDATE meta SET value = '1' WHERE key = 'checkpoints';",
        )
        .unwrap();
    drop(connection);
    let store = Store::open_read_only(options(&folder)).unwrap();
    let report = check(&store, Extent::Events);
    assert_eq!(report.problems.len(), 1, "{report:#?}");
    assert_eq!(report.problems[0].layer, Layer::History);
    // Somebody else, who has no such memory, needs the newest checkpoint.
    std::fs::remove_dir_all(folder.join("tokens")).unwrap();
    let store = Store::open_read_only(options(&folder)).unwrap();
    assert!(check(&store, Extent::Events).ok());
    let demands = Demands { against: Some(&newest), ..Demands::default() };
    let report = store.verify_against(&demands, &mut |_, _| {});
    assert_eq!(report.problems[0].layer, Layer::History, "{report:#?}");
}
