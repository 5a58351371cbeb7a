//! Archives of a real ledger: a mirror has the same history, whatever happened on the way, and no changed archive is taken.

use std::path::Path;

use cim_keys::app::archive::{self, ExportError, Held, ImportError, Imported, Since, VerifyError};
use cim_keys::archive::{ArchiveError, CarError, CarReader, CarWriter};
use cim_keys::session::Place;
use cim_keys::session::heads;
use cim_keys::store::{AppendError, Listing, Mirror, MirrorError, NotTheWriter, OpenError, Store};

use crate::support::log::{Ledger, act, append_error, hand_over};

fn export(ledger: &Ledger, since: Since<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let exported = archive::export(&ledger.store, since, &mut bytes, &mut |_, _| {}).unwrap();
    assert_eq!(exported.bytes, bytes.len() as u64);
    bytes
}

fn verify(ledger: &Ledger, bytes: &[u8]) -> Result<archive::Verified, VerifyError> {
    let key = ledger.requirements().key;
    archive::verify(bytes, Held { key: Some(&key), against: None }, &mut |_, _| {}, |_| Ok(()))
}

fn import(ledger: &Ledger, folder: &Path, bytes: &[u8]) -> Result<Imported, ImportError> {
    let file = folder.with_extension("car");
    std::fs::write(&file, bytes).unwrap();
    let key = ledger.requirements().key;
    archive::import(&place(folder), &file, Held { key: Some(&key), against: None }, &mut |_, _| {})
}

fn place(folder: &Path) -> Place {
    Place::new(folder, folder.join("tokens"))
}

fn same_history(ledger: &Ledger, mirror: &Store, end: u64) {
    assert_eq!(mirror.end().unwrap(), end);
    let all = |store: &Store| store.events(Listing { to: end, ..Listing::from(1, 10_000) }).unwrap();
    assert_eq!(all(mirror), all(&ledger.store));
    assert_eq!(mirror.root(Some(end)).unwrap(), ledger.store.root(Some(end)).unwrap());
    let report = mirror.verify(&mut |_, _| {});
    assert!(report.ok(), "{report:?}");
}

#[test]
fn a_mirror_follows_from_archive_to_archive() {
    let ledger = Ledger::new();
    ledger.grow(10);
    let first = heads::sign_head(&ledger.store, &*ledger.signer).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mirror = folder.path().join("mirror");
    let imported = import(&ledger, &mirror, &export(&ledger, Since::Position(0))).unwrap();
    assert_eq!((imported.new, imported.end, imported.unsigned), (12, 12, 0));
    let again = import(&ledger, &mirror, &export(&ledger, Since::Position(0))).unwrap();
    assert_eq!((again.new, again.end), (0, 12));

    ledger.grow(5);
    // What no signed head covers is not taken.
    let tail = import(&ledger, &mirror, &export(&ledger, Since::Position(0))).unwrap();
    assert_eq!((tail.new, tail.end, tail.unsigned), (0, 12, 5));
    let second = heads::sign_head(&ledger.store, &*ledger.signer).unwrap();
    let part = export(&ledger, Since::Checkpoint(&first));
    let verified = verify(&ledger, &part).unwrap();
    assert_eq!((verified.first, verified.last, verified.signed), (13, 17, Some(17)));
    assert_eq!(verified.checkpoints, [12, 17]);
    let imported = import(&ledger, &mirror, &part).unwrap();
    assert_eq!((imported.new, imported.end), (5, 17));

    let opened = Mirror::open(place(&mirror).options()).unwrap();
    same_history(&ledger, opened.store(), 17);
    assert_eq!(opened.store().latest_checkpoint().unwrap(), Some(second));
    assert_eq!(opened.store().verifier_key().unwrap(), *opened.key());
    drop(opened);
    // Nothing can be decided in a mirror.
    let store = Store::open(place(&mirror).options()).unwrap();
    assert!(matches!(store.writable(), Err(NotTheWriter::Mirror)));
    let refused = act(&store, vec![]).unwrap_err();
    assert!(matches!(append_error(&refused), Some(AppendError::NotTheWriter(_))), "{refused}");
    drop(store);

    let taken = hand_over(place(&mirror).options(), "a test".parse().unwrap());
    assert!(matches!(taken.err(), Some(OpenError::NotTheWriter(NotTheWriter::Mirror))));

    let gap = folder.path().join("gap");
    let refused = import(&ledger, &gap, &part);
    assert!(matches!(refused, Err(ImportError::Mirror(MirrorError::Gap { needed: 1, first: 13 }))), "{refused:?}");
    let nothing = archive::export(&ledger.store, Since::Position(17), Vec::new(), &mut |_, _| {});
    assert!(matches!(nothing, Err(ExportError::Nothing { after: 17, end: 17 })));
}

#[test]
fn another_history_is_refused_with_both_events_named() {
    let (ledger, other) = (Ledger::new(), Ledger::new());
    for one in [&ledger, &other] {
        one.grow(3);
        heads::sign_head(&one.store, &*one.signer).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let mirror = folder.path().join("mirror");
    import(&ledger, &mirror, &export(&ledger, Since::Position(0))).unwrap();
    let foreign = export(&other, Since::Position(0));
    let refused = import(&ledger, &mirror, &foreign);
    assert!(matches!(refused, Err(ImportError::Verify(VerifyError::NotSigned(_)))), "{refused:?}");
    assert!(matches!(import(&other, &mirror, &foreign), Err(ImportError::OtherKey { .. })));
    assert!(matches!(verify(&ledger, &foreign), Err(VerifyError::NotSigned(_))));
    let head = other.store.latest_checkpoint().unwrap().unwrap();
    let held = Held { key: None, against: Some(&head) };
    let bytes = export(&ledger, Since::Position(0));
    let against = archive::verify(&bytes[..], held, &mut |_, _| {}, |_| Ok(()));
    assert!(matches!(against, Err(VerifyError::Against { size: 5 })), "{against:?}");

    // The same key signs two histories: a copy of the ledger that went on by itself.
    let database = ledger.folder.path().join("ledger.db");
    let copy = folder.path().join("copy.db");
    ledger.store.copy_to(&copy).unwrap();
    ledger.grow(1);
    heads::sign_head(&ledger.store, &*ledger.signer).unwrap();
    import(&ledger, &mirror, &export(&ledger, Since::Position(0))).unwrap();
    assert!(database.exists());
    let tokens = folder.path().join("tokens");
    let options = cim_keys::store::StoreOptions::new(&copy, &tokens);
    let twin = hand_over(options, "a test".parse().unwrap()).unwrap();
    let Ledger { folder: home, signer, .. } = ledger;
    let twin = Ledger { folder: home, store: twin, signer };
    heads::sign_head(&twin.store, &*twin.signer).unwrap();
    let refused = import(&twin, &mirror, &export(&twin, Since::Position(0)));
    assert!(matches!(refused, Err(ImportError::Mirror(MirrorError::Fork { position: 6, .. }))), "{refused:?}");
}

/// Takes an archive to pieces, lets `change` at them, and writes it anew, so that only what the log itself says can tell.
fn rewritten(bytes: &[u8], change: impl FnOnce(&mut Vec<(cim_keys::events::Link, Vec<u8>)>)) -> Vec<u8> {
    let mut reader = CarReader::new(bytes).unwrap();
    let roots = reader.roots().to_vec();
    let mut blocks = Vec::new();
    while let Some((cid, block)) = reader.next_block().unwrap() {
        blocks.push((cid, block.to_vec()));
    }
    change(&mut blocks);
    let mut writer = CarWriter::new(Vec::new(), &roots).unwrap();
    for (cid, block) in &blocks {
        writer.block(cid, block).unwrap();
    }
    writer.finish().unwrap()
}

#[test]
fn sections_that_are_dropped_swapped_doubled_or_foreign_are_told() {
    let (ledger, other) = (Ledger::new(), Ledger::new());
    for one in [&ledger, &other] {
        one.grow(6);
        heads::sign_head(&one.store, &*one.signer).unwrap();
    }
    let bytes = export(&ledger, Since::Position(0));
    let foreign = export(&other, Since::Position(0));
    verify(&ledger, &bytes).unwrap();
    verify(&ledger, &rewritten(&bytes, |_| {})).unwrap();
    let mut foreign_blocks = Vec::new();
    rewritten(&foreign, |blocks| foreign_blocks = blocks.clone());
    for n in 1..9 {
        let dropped = rewritten(&bytes, |blocks| drop(blocks.remove(n)));
        assert!(verify(&ledger, &dropped).is_err(), "{n} dropped");
        let doubled = rewritten(&bytes, |blocks| blocks.insert(n, blocks[n].clone()));
        assert!(verify(&ledger, &doubled).is_err(), "{n} doubled");
        if n < 8 {
            let swapped = rewritten(&bytes, |blocks| blocks.swap(n, n + 1));
            assert!(verify(&ledger, &swapped).is_err(), "{n} swapped");
        }
        let exchanged = rewritten(&bytes, |blocks| blocks[n] = foreign_blocks[n].clone());
        assert!(verify(&ledger, &exchanged).is_err(), "{n} exchanged");
    }
    for n in 0..9 {
        let cut = rewritten(&bytes, |blocks| blocks.truncate(n));
        assert!(verify(&ledger, &cut).is_err(), "cut after {n}");
    }
    let contents = rewritten(&bytes, |blocks| blocks[0] = foreign_blocks[0].clone());
    assert!(matches!(verify(&ledger, &contents), Err(VerifyError::Archive(ArchiveError::Promise(_)))));
    let half = verify(&ledger, &bytes[..bytes.len() - 10]);
    assert!(matches!(half, Err(VerifyError::Archive(ArchiveError::Car(CarError::Truncated { .. })))), "{half:?}");
}

#[test]
fn no_flipped_bit_is_taken() {
    let ledger = Ledger::new();
    ledger.grow(2);
    heads::sign_head(&ledger.store, &*ledger.signer).unwrap();
    let bytes = export(&ledger, Since::Position(0));
    let whole = verify(&ledger, &bytes).unwrap();
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let found = verify(&ledger, &changed);
        assert!(found.is_err(), "bit {bit} of {}: {found:?}, not {whole:?}", bytes.len() * 8);
    }
}
