//! The ordinary age program opens what custody seals, and seals what custody opens.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cim_keys::custody::{Custody, WorkFactor};
use cim_keys::ids::KeyId;
use cim_keys::keys::KeyKind;
use cim_keys::keys::pair::PrivateKey;
use cim_keys::text::Label;
use cim_keys_testkit::terminal::on_a_terminal;
use cim_keys_testkit::tools::{AGE, PYTHON, tool};
use secrecy::ExposeSecret as _;

const PASSPHRASE: &str = "typed at age's own prompt";

/// Whether age ends well when a passphrase is typed at its prompts: one to open, two to seal.
fn typed(passphrase: &str, age: &Path, args: &[&str]) -> bool {
    let mut command = Command::new(age);
    command.args(args);
    let mut command = on_a_terminal(&command, &[passphrase, passphrase]).unwrap();
    command.stdin(Stdio::null()).stdout(Stdio::null()).status().unwrap().success()
}

fn fixture(dir: &Path) -> (PathBuf, Custody, Label) {
    let path = dir.join("custody");
    let root = Label::new("root").unwrap();
    let custody = Custody::create(&path, &[(root.clone(), PASSPHRASE.into())], WorkFactor::DEFAULT).unwrap();
    (path, custody, root)
}

#[test]
fn age_opens_identities_and_secrets() {
    let (Some(age), Some(_)) = (tool(AGE), tool(PYTHON)) else { return };
    let dir = tempfile::tempdir().unwrap();
    let (path, custody, root) = fixture(dir.path());
    let key = KeyId::mint();
    let private = PrivateKey::generate(KeyKind::Ed25519).unwrap();
    custody.seal(&root, key, &private.secret()).unwrap();

    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let (identity, sealed) = (text(&path.join("root/identity.age")), text(&path.join(format!("root/keys/{key}.age"))));
    let out = text(&dir.path().join("out"));
    // In one step: the sealed identity is an identity file.
    assert!(typed(PASSPHRASE, &age, &["-d", "-o", &out, "-i", &identity, &sealed]));
    assert_eq!(fs::read(&out).unwrap(), *private.secret().expose_secret());
    // In two: it opens as a file of its own, and holds what age-keygen writes.
    let plain = text(&dir.path().join("plain"));
    assert!(typed(PASSPHRASE, &age, &["-d", "-o", &plain, &identity]));
    let keygen = fs::read_to_string(&plain).unwrap();
    assert!(keygen.lines().any(|line| line.starts_with("AGE-SECRET-KEY-1")), "{}", keygen.len());
    let recipient = custody.recipient(&root).unwrap();
    assert!(keygen.contains(&format!("# public key: {recipient}")));
    assert!(!typed("a wrong passphrase", &age, &["-d", "-o", &out, "-i", &identity, &sealed]));
}

#[test]
fn custody_opens_what_age_sealed() {
    let (Some(age), Some(_)) = (tool(AGE), tool(PYTHON)) else { return };
    let dir = tempfile::tempdir().unwrap();
    let (path, custody, root) = fixture(dir.path());
    let key = KeyId::mint();
    let private = PrivateKey::generate(KeyKind::P256).unwrap();
    let plain = dir.path().join("plain");
    fs::write(&plain, private.secret().expose_secret()).unwrap();
    let sealed = path.join(format!("root/keys/{key}.age"));
    // The recipient file, with its comments, is one that age takes.
    let recipients = path.join("root/recipient");
    let status = Command::new(&age).arg("-R").arg(&recipients).arg("-o").arg(&sealed).arg(&plain).status().unwrap();
    assert!(status.success());
    fs::set_permissions(&sealed, fs::Permissions::from_mode(0o600)).unwrap();
    let unlocked = custody.unlock(&root, PASSPHRASE.into()).unwrap();
    unlocked.private_key(key, &private.public().public_key).unwrap();

    // An identity whose passphrase was changed with age alone opens too.
    let identity = path.join("root/identity.age");
    let (open, new) = (dir.path().join("open"), dir.path().join("new"));
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    assert!(typed(PASSPHRASE, &age, &["-d", "-o", &text(&open), &text(&identity)]));
    assert!(typed("another passphrase", &age, &["-p", "-o", &text(&new), &text(&open)]));
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(&new, &identity).unwrap();
    assert!(Custody::open(&path).unwrap().unlock(&root, "another passphrase".into()).is_ok());
}

#[test]
fn age_opens_a_bundle_and_the_recipe_takes_a_key_out_of_it() {
    let (Some(age), Some(_)) = (tool(AGE), tool(PYTHON)) else { return };
    let dir = tempfile::tempdir().unwrap();
    let (path, custody, root) = fixture(dir.path());
    let kinds = KeyKind::ALL.into_iter().cycle().take(40);
    let made: Vec<_> = kinds.map(|kind| (KeyId::mint(), PrivateKey::generate(kind).unwrap().secret())).collect();
    custody.seal_all(&root, made.iter().map(|(key, secret)| (*key, secret))).unwrap();
    let bundle = fs::read_dir(path.join("root/bundles")).unwrap().next().unwrap().unwrap().path();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let (out, identity) = (dir.path().join("out"), text(&path.join("root/identity.age")));
    let sealed = text(&bundle.join("secrets.age"));
    assert!(typed(PASSPHRASE, &age, &["-d", "-o", &text(&out), "-i", &identity, &sealed]));
    assert_eq!(fs::read_to_string(&out).unwrap().lines().count(), 40);
    for (key, secret) in &made {
        let recipe = format!(r"grep ^{key} '{}' | cut -d' ' -f2- | sed 's/\\n/\n/g'", text(&out));
        let found = Command::new("sh").args(["-c", &recipe]).output().unwrap();
        assert_eq!(found.stdout, *secret.expose_secret());
    }
}
