//! Custody on a real disk: modes, links, damage, passphrases, interrupted writes.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use cim_keys::custody::{
    ChangeError, CreateError, Custody, FileError, OpenError, RevealError, SealError, SecretBytes, UnlockError,
    WorkFactor,
};
use cim_keys::ids::KeyId;
use cim_keys_testkit::folders::entries;
use cim_keys_testkit::texts::label;
use secrecy::{ExposeSecret as _, SecretString};

const ROOT_PASSPHRASE: &str = "root: correct horse battery";
const ISSUING_PASSPHRASE: &str = "issuing: correct horse battery";

struct Fixture {
    _dir: tempfile::TempDir,
    path: PathBuf,
    custody: Custody,
}

fn secret(bytes: &[u8]) -> SecretBytes {
    SecretBytes::new(Box::new(bytes.to_vec()))
}

fn fixture() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("custody");
    let new = [(label("root"), ROOT_PASSPHRASE.into()), (label("issuing"), ISSUING_PASSPHRASE.into())];
    let custody = Custody::create(&path, &new, WorkFactor::LEAST).unwrap();
    Fixture { _dir: dir, path, custody }
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn what_is_sealed_comes_back_and_only_with_the_right_passphrase() {
    let f = fixture();
    let issuing = label("issuing");
    let key = KeyId::mint();
    f.custody.seal(&issuing, key, &secret(b"a seed")).unwrap();

    let reopened = Custody::open(&f.path).unwrap();
    let names: Vec<_> = reopened.compartments().map(|(label, _)| label.to_string()).collect();
    assert_eq!(names, ["issuing", "root"]);
    let unlocked = reopened.unlock(&issuing, ISSUING_PASSPHRASE.into()).unwrap();
    assert_eq!(unlocked.reveal(key).unwrap().expose_secret(), b"a seed");
    assert!(matches!(unlocked.reveal(KeyId::mint()), Err(RevealError::Absent { .. })));

    let error = reopened.unlock(&issuing, ROOT_PASSPHRASE.into()).unwrap_err();
    assert!(matches!(error, UnlockError::WrongPassphrase { .. }), "{error}");
    assert!(error.to_string().contains("\"issuing\"") && !error.to_string().contains("horse"), "{error}");
    let error = reopened.unlock(&label("vault"), ROOT_PASSPHRASE.into()).unwrap_err().to_string();
    assert!(error.contains("there are \"issuing\", \"root\""), "{error}");
}

#[test]
fn files_are_0600_and_folders_0700() {
    let f = fixture();
    f.custody.seal(&label("root"), KeyId::mint(), &secret(b"a seed")).unwrap();
    f.custody.change_passphrase(&label("root"), ROOT_PASSPHRASE.into(), &"another long one".into()).unwrap();
    let found = entries(&f.path);
    assert_eq!(found.len(), 2 * 4 + 1);
    for path in std::iter::once(f.path.clone()).chain(found) {
        assert_eq!(mode(&path), if path.is_dir() { 0o700 } else { 0o600 }, "{}", path.display());
    }
}

#[test]
fn loose_modes_are_refused_with_the_command_that_mends_them() {
    let f = fixture();
    let key = KeyId::mint();
    f.custody.seal(&label("root"), key, &secret(b"a seed")).unwrap();
    let unlocked = f.custody.unlock(&label("root"), ROOT_PASSPHRASE.into()).unwrap();
    let sealed = f.path.join(format!("root/keys/{key}.age"));
    let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();

    set(&sealed, 0o640);
    let error = unlocked.reveal(key).unwrap_err().to_string();
    assert!(error.contains("mode 0640"), "{error}");

    let cases = [
        ("root/identity.age", 0o604, 0o600),
        ("root/recipient", 0o644, 0o600),
        ("root/keys", 0o755, 0o700),
        ("root", 0o701, 0o700),
    ];
    for (name, loose, tight) in cases {
        let path = f.path.join(name);
        set(&path, loose);
        let error = Custody::open(&f.path)
            .map_err(|e| e.to_string())
            .and_then(|c| c.unlock(&label("root"), ROOT_PASSPHRASE.into()).map(|_| ()).map_err(|e| e.to_string()))
            .unwrap_err();
        assert!(error.contains(&format!("{} has mode {loose:04o}", path.display())), "{error}");
        set(&path, tight);
    }
}

#[test]
fn symbolic_links_are_not_followed() {
    let f = fixture();
    let key = KeyId::mint();
    f.custody.seal(&label("root"), key, &secret(b"a seed")).unwrap();
    let unlocked = f.custody.unlock(&label("root"), ROOT_PASSPHRASE.into()).unwrap();
    let sealed = f.path.join(format!("root/keys/{key}.age"));
    fs::rename(&sealed, f.path.join("elsewhere")).unwrap();
    symlink(f.path.join("elsewhere"), &sealed).unwrap();
    let error = unlocked.reveal(key).unwrap_err();
    assert!(matches!(error, RevealError::File(FileError::SymbolicLink { .. })), "{error}");
    // Sealing does not write through a link either, and does not replace it.
    let error = f.custody.seal(&label("root"), key, &secret(b"other")).unwrap_err();
    assert!(matches!(error, SealError::File(FileError::Exists { .. })), "{error}");

    let link = f.path.parent().unwrap().join("link");
    symlink(&f.path, &link).unwrap();
    assert!(matches!(Custody::open(&link), Err(OpenError::File(FileError::SymbolicLink { .. }))));
    let error = Custody::create(&link, &[], WorkFactor::LEAST).unwrap_err();
    assert!(matches!(error, CreateError::File(FileError::Exists { .. })), "{error}");
}

#[test]
fn damage_is_told_apart_from_a_wrong_passphrase() {
    let f = fixture();
    let path = f.path.join("root/identity.age");
    let whole = fs::read(&path).unwrap();
    let unlock =
        |passphrase: &str| Custody::open(&f.path).unwrap().unlock(&label("root"), passphrase.into()).map(|_| ());
    for at in (0..whole.len()).step_by(7) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x20;
        fs::write(&path, &bytes).unwrap();
        let error = unlock(ROOT_PASSPHRASE).unwrap_err();
        assert!(matches!(error, UnlockError::Damaged { .. } | UnlockError::TooMuchWork { .. }), "{at}: {error}");
    }
    for length in [0, 1, 30, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        let error = unlock(ROOT_PASSPHRASE).unwrap_err();
        assert!(matches!(error, UnlockError::Damaged { .. }), "{length}: {error}");
    }
    fs::write(&path, vec![b'x'; 1 << 20]).unwrap();
    assert!(matches!(unlock(ROOT_PASSPHRASE).unwrap_err(), UnlockError::File(FileError::TooLarge { .. })));
    fs::write(&path, &whole).unwrap();
    unlock(ROOT_PASSPHRASE).unwrap();
    assert!(matches!(unlock("wrong").unwrap_err(), UnlockError::WrongPassphrase { .. }));
}

#[test]
fn a_damaged_or_exchanged_secret_is_named() {
    let f = fixture();
    let (key, other) = (KeyId::mint(), KeyId::mint());
    f.custody.seal(&label("root"), key, &secret(b"a seed")).unwrap();
    f.custody.seal(&label("issuing"), other, &secret(b"a seed")).unwrap();
    let unlocked = f.custody.unlock(&label("root"), ROOT_PASSPHRASE.into()).unwrap();
    let path = f.path.join(format!("root/keys/{key}.age"));
    let whole = fs::read(&path).unwrap();
    for at in (0..whole.len()).step_by(5) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let error = unlocked.reveal(key).unwrap_err();
        assert!(matches!(error, RevealError::Damaged { .. }), "{at}: {error}");
        assert!(error.to_string().contains(&key.to_string()), "{error}");
    }
    fs::copy(f.path.join(format!("issuing/keys/{other}.age")), &path).unwrap();
    assert!(unlocked.reveal(key).unwrap_err().to_string().contains("another recipient"));
}

#[test]
fn an_exchanged_recipient_is_noticed_when_the_compartment_opens() {
    let f = fixture();
    fs::copy(f.path.join("issuing/recipient"), f.path.join("root/recipient")).unwrap();
    let custody = Custody::open(&f.path).unwrap();
    let error = custody.unlock(&label("root"), ROOT_PASSPHRASE.into()).unwrap_err();
    assert!(matches!(error, UnlockError::ForeignRecipient { .. }), "{error}");
    for bad in ["", "age1nonsense\n", "AGE-SECRET-KEY-1\n", "\u{1b}[31m\n", "# only a comment\n"] {
        fs::write(f.path.join("root/recipient"), bad).unwrap();
        assert!(matches!(Custody::open(&f.path), Err(OpenError::Recipient { .. })), "{bad}");
    }
}

#[test]
fn a_passphrase_changes_and_the_secrets_stay() {
    let f = fixture();
    let key = KeyId::mint();
    let root = label("root");
    f.custody.seal(&root, key, &secret(b"a seed")).unwrap();
    let change = |old: &str, new: &str| f.custody.change_passphrase(&root, old.into(), &new.into());
    assert!(matches!(change(ROOT_PASSPHRASE, "short"), Err(ChangeError::Passphrase(_))));
    assert!(matches!(change("wrong", "a new long one"), Err(ChangeError::Unlock(UnlockError::WrongPassphrase { .. }))));
    change(ROOT_PASSPHRASE, "a new long one").unwrap();
    let custody = Custody::open(&f.path).unwrap();
    assert!(custody.unlock(&root, ROOT_PASSPHRASE.into()).is_err());
    let unlocked = custody.unlock(&root, "a new long one".into()).unwrap();
    assert_eq!(unlocked.reveal(key).unwrap().expose_secret(), b"a seed");
}

#[test]
fn compartments_are_added_and_names_taken_once() {
    let mut f = fixture();
    let passphrase = SecretString::from("a third long one");
    f.custody.add_compartment(&label("agents"), &passphrase).unwrap();
    for taken in ["agents", "Root"] {
        let error = f.custody.add_compartment(&label(taken), &passphrase).unwrap_err();
        assert!(matches!(error, CreateError::Taken { .. }), "{error}");
    }
    let custody = Custody::open(&f.path).unwrap();
    assert!(custody.unlock(&label("agents"), passphrase).is_ok());
    assert!(matches!(f.custody.add_compartment(&label("x"), &"short".into()), Err(CreateError::Passphrase(_))));
    assert!(!f.path.join("x").exists());
}

#[test]
fn the_check_names_what_is_missing_orphaned_or_strange() {
    let f = fixture();
    let (kept, lost, orphan) = (KeyId::mint(), KeyId::mint(), KeyId::mint());
    let root = label("root");
    f.custody.seal(&root, kept, &secret(b"a seed")).unwrap();
    f.custody.seal(&root, orphan, &secret(b"a seed")).unwrap();
    assert!(f.custody.check([(root.clone(), kept), (root.clone(), orphan)]).unwrap().is_clean());
    // What a process leaves that is killed before its rename.
    fs::write(f.path.join("root/keys/.unfinished-0011223344556677"), b"half").unwrap();
    fs::create_dir(f.path.join(".unfinished-8899aabbccddeeff")).unwrap();
    let found = Custody::open(&f.path).unwrap().check([(root.clone(), kept), (root.clone(), lost)]).unwrap();
    assert_eq!(found.missing, [(root.clone(), lost)]);
    assert_eq!(found.orphans, [(root.clone(), orphan)]);
    assert_eq!(found.strays.len(), 2);
    assert_eq!(f.custody.remove_all(&root, [orphan]).unwrap(), 1);
    assert_eq!(f.custody.remove_all(&root, [orphan]).unwrap(), 0);
    assert!(!f.custody.holds(&root, orphan).unwrap());
}

#[test]
fn thousands_of_secrets_are_sealed_without_a_passphrase_all_or_none() {
    let f = fixture();
    let root = label("root");
    let secrets: Vec<_> = (0..2_000_u32).map(|n| (KeyId::mint(), secret(&n.to_be_bytes()))).collect();
    let clock = std::time::Instant::now();
    f.custody.seal_all(&root, secrets.iter().map(|(key, secret)| (*key, secret))).unwrap();
    println!("2,000 secrets in {:?}", clock.elapsed());
    let unlocked = f.custody.unlock(&root, ROOT_PASSPHRASE.into()).unwrap();
    for (key, secret) in secrets.iter().step_by(997) {
        assert_eq!(unlocked.reveal(*key).unwrap().expose_secret(), secret.expose_secret());
    }

    // The last one is there already: none of the others stays.
    let count = || fs::read_dir(f.path.join("root/keys")).unwrap().count();
    let before = count();
    let more: Vec<_> = (0..10).map(|_| (KeyId::mint(), secret(b"x"))).chain([(secrets[0].0, secret(b"y"))]).collect();
    let error = f.custody.seal_all(&root, more.iter().map(|(key, secret)| (*key, secret))).unwrap_err();
    assert!(matches!(error, SealError::File(FileError::Exists { .. })), "{error}");
    let too_long = [(KeyId::mint(), secret(b"x")), (KeyId::mint(), secret(&[0; 20_000]))];
    let error = f.custody.seal_all(&root, too_long.iter().map(|(key, secret)| (*key, secret))).unwrap_err();
    assert!(matches!(error, SealError::TooLong { .. }), "{error}");
    assert_eq!(count(), before);
}

#[test]
fn strangers_in_the_folder_and_missing_parts_are_named() {
    let f = fixture();
    fs::create_dir(f.path.join("no label!")).unwrap();
    let error = Custody::open(&f.path).unwrap_err();
    assert!(matches!(error, OpenError::Stranger { .. }), "{error}");
    fs::remove_dir(f.path.join("no label!")).unwrap();
    fs::remove_file(f.path.join("root/identity.age")).unwrap();
    let custody = Custody::open(&f.path).unwrap();
    custody.seal(&label("root"), KeyId::mint(), &secret(b"still works")).unwrap();
    let error = custody.unlock(&label("root"), ROOT_PASSPHRASE.into()).unwrap_err();
    assert!(matches!(error, UnlockError::File(FileError::Missing { .. })), "{error}");
    assert!(matches!(Custody::open(&f.path.join("nothing")), Err(OpenError::File(FileError::Missing { .. }))));
}

#[test]
fn the_fixed_work_factor_is_the_one_in_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("custody");
    Custody::create(&path, &[(label("root"), ROOT_PASSPHRASE.into())], WorkFactor::DEFAULT).unwrap();
    let file = fs::read(path.join("root/identity.age")).unwrap();
    let header = String::from_utf8_lossy(&file[..120]).into_owned();
    let stanza = header.lines().nth(1).unwrap();
    assert!(stanza.starts_with("-> scrypt ") && stanza.ends_with(" 18"), "{header}");
    let clock = std::time::Instant::now();
    Custody::open(&path).unwrap().unlock(&label("root"), ROOT_PASSPHRASE.into()).unwrap();
    println!("unlock: {:?}", clock.elapsed());
}

/// A passphrase is changed in three steps, and the process may end after each: the state in the middle opens with the
/// passphrase of the identity that stands there, and still tells a wrong one from damage.
#[test]
fn a_passphrase_change_that_is_cut_short_locks_nobody_out() {
    let f = fixture();
    let root = label("root");
    let (identity, recipient) = (f.path.join("root/identity.age"), f.path.join("root/recipient"));
    let (old_identity, old_recipient) = (fs::read(&identity).unwrap(), fs::read_to_string(&recipient).unwrap());
    f.custody.change_passphrase(&root, ROOT_PASSPHRASE.into(), &"a new long one".into()).unwrap();
    let (new_identity, new_recipient) = (fs::read(&identity).unwrap(), fs::read_to_string(&recipient).unwrap());
    let sum = |text: &str| text.lines().find(|line| line.contains("sha256")).unwrap().to_owned();
    let both =
        new_recipient.replace(&sum(&new_recipient), &format!("{}\n{}", sum(&old_recipient), sum(&new_recipient)));
    fs::write(&recipient, both).unwrap();
    for (file, opens) in [(&old_identity, ROOT_PASSPHRASE), (&new_identity, "a new long one")] {
        fs::write(&identity, file).unwrap();
        let custody = Custody::open(&f.path).unwrap();
        custody.unlock(&root, opens.into()).unwrap();
        assert!(matches!(custody.unlock(&root, "wrong".into()), Err(UnlockError::WrongPassphrase { .. })));
    }
    let mut damaged = new_identity;
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    damaged[90] ^= 1;
    fs::write(&identity, damaged).unwrap();
    let error = Custody::open(&f.path).unwrap().unlock(&root, "a new long one".into()).unwrap_err();
    assert!(matches!(error, UnlockError::Damaged { .. }), "{error}");
}

#[test]
fn on_a_full_disk_nothing_is_half_written_and_nothing_is_lost() {
    let Some(disk) = cim_keys_testkit::disk::SmallDisk::of_kib(512) else { return };
    let root = label("root");
    let path = disk.path().join("custody");
    let custody = Custody::create(&path, &[(root.clone(), ROOT_PASSPHRASE.into())], WorkFactor::LEAST).unwrap();
    let key = KeyId::mint();
    custody.seal(&root, key, &secret(b"a seed")).unwrap();
    disk.fill_up_to(8 * 1024);
    let many: Vec<_> = (0..100).map(|_| (KeyId::mint(), secret(&[7; 3_000]))).collect();
    let error = custody.seal_all(&root, many.iter().map(|(key, secret)| (*key, secret))).unwrap_err();
    assert!(error.to_string().contains("could not write"), "{error}");
    assert_eq!(custody.keys(&root).unwrap(), [key]);
    assert!(custody.check([(root.clone(), key)]).unwrap().is_clean());
    disk.fill_up_to(0);
    let changed = custody.change_passphrase(&root, ROOT_PASSPHRASE.into(), &"a new long one".into());
    assert!(matches!(changed, Err(ChangeError::File(_))), "{changed:?}");
    let reopened = Custody::open(&path).unwrap();
    let unlocked = reopened.unlock(&root, ROOT_PASSPHRASE.into()).unwrap();
    assert_eq!(unlocked.reveal(key).unwrap().expose_secret(), b"a seed");
    disk.make_room();
    custody.seal_all(&root, many.iter().map(|(key, secret)| (*key, secret))).unwrap();
    assert_eq!(custody.keys(&root).unwrap().len(), 101);
}
