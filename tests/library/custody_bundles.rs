//! Secrets of many keys in one file: beside lone ones, damaged, copied, removed, and left by a killed process.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use cim_keys::act::{ActError, Draft, Pipeline, Texts};
use cim_keys::authority::keys::KeyActError;
use cim_keys::custody::{Custody, FileError, LONGEST_FILE, RevealError, SealError, SecretBytes, WorkFactor};
use cim_keys::events::{KeyGenerated, NkeyKind};
use cim_keys::ids::KeyId;
use cim_keys::keys::KeyKind;
use cim_keys::keys::pair::PrivateKey;
use cim_keys::policy;
use cim_keys::session::custody::{check, settle};
use cim_keys::store::RestrictedError;
use cim_keys::text::Label;
use cim_keys_testkit::again;
use secrecy::ExposeSecret as _;

use crate::custody_support::{self, Interrupted, PASSPHRASE};
use crate::support::acts::intent;

/// What is one more than fits into a bundle.
const TOO_MANY: usize = 4_097;

struct Fixture {
    _dir: tempfile::TempDir,
    path: PathBuf,
    custody: Custody,
    root: Label,
}

type Secrets = Vec<(KeyId, SecretBytes)>;

fn fixture() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("custody");
    let root = Label::new("root").unwrap();
    let custody = Custody::create(&path, &[(root.clone(), PASSPHRASE.into())], WorkFactor::LEAST).unwrap();
    Fixture { _dir: dir, path, custody, root }
}

fn secret(text: &str) -> SecretBytes {
    SecretBytes::new(Box::new(text.as_bytes().to_vec()))
}

fn texts(count: usize) -> Secrets {
    (0..count).map(|n| (KeyId::mint(), secret(&format!("the secret {n}\n")))).collect()
}

impl Fixture {
    fn seal(&self, secrets: &Secrets) -> Result<(), SealError> {
        self.custody.seal_all(&self.root, secrets.iter().map(|(key, secret)| (*key, secret)))
    }

    fn bundles(&self) -> Vec<PathBuf> {
        let Ok(bundles) = fs::read_dir(self.path.join("root/bundles")) else { return Vec::new() };
        let mut bundles: Vec<_> = bundles.map(|entry| entry.unwrap().path()).collect();
        bundles.sort();
        bundles
    }

    fn lone(&self) -> usize {
        fs::read_dir(self.path.join("root/keys")).unwrap().count()
    }

    #[track_caller]
    fn all_open(&self, secrets: &Secrets) {
        all_open(&Custody::open(&self.path).unwrap(), secrets);
    }

    fn reveal(&self, key: KeyId) -> Result<SecretBytes, RevealError> {
        let custody = Custody::open(&self.path).unwrap();
        custody.unlock(&self.root, PASSPHRASE.into()).unwrap().reveal(key)
    }

    fn check(&self, secrets: &Secrets) -> cim_keys::custody::Findings {
        let custody = Custody::open(&self.path).unwrap();
        custody.check(secrets.iter().map(|(key, _)| (self.root.clone(), *key))).unwrap()
    }
}

#[track_caller]
fn all_open(custody: &Custody, secrets: &Secrets) {
    let root = Label::new("root").unwrap();
    let unlocked = custody.unlock(&root, PASSPHRASE.into()).unwrap();
    for (key, secret) in secrets {
        assert_eq!(unlocked.reveal(*key).unwrap().expose_secret(), secret.expose_secret());
        assert!(custody.holds(&root, *key).unwrap());
    }
    let mut keys: Vec<_> = secrets.iter().map(|(key, _)| *key).collect();
    keys.sort();
    assert_eq!(custody.keys(&root).unwrap(), keys);
    assert_eq!(custody.secrets().unwrap(), keys.len() as u64);
}

#[test]
fn keys_of_every_kind_come_back_as_they_were() {
    let f = fixture();
    let mut secrets: Secrets = texts(3);
    f.seal(&secrets).unwrap();
    assert_eq!((f.lone(), f.bundles().len()), (3, 0), "a few have a file each");
    for _ in 0..4 {
        let kinds = KeyKind::ALL.into_iter();
        let more: Secrets = kinds.map(|kind| (KeyId::mint(), PrivateKey::generate(kind).unwrap().secret())).collect();
        f.seal(&more).unwrap();
        secrets.extend(more);
    }
    let odd = ["\n", "\\\n", "\\n\n", " a\\\\nb \n\n\n", "no line feed", "caf\u{e9}\n", ""];
    let odd: Secrets = odd.iter().map(|text| (KeyId::mint(), secret(text))).chain(texts(20)).collect();
    let before = f.lone();
    f.seal(&odd).unwrap();
    assert_eq!(f.lone() - before, 3, "what is no text in lines has a file of its own");
    secrets.extend(odd);
    f.all_open(&secrets);
    assert!(f.check(&secrets).is_clean());
    for file in f.bundles().iter().flat_map(|bundle| [bundle.clone(), bundle.join("index"), bundle.join("secrets.age")])
    {
        let mode = fs::metadata(&file).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, if file.is_dir() { 0o700 } else { 0o600 });
    }
}

#[test]
fn a_bundle_has_its_limits_and_so_has_its_file() {
    let f = fixture();
    let many = texts(TOO_MANY);
    f.seal(&many).unwrap();
    assert_eq!((f.lone(), f.bundles().len()), (0, 2));
    // Each is as long as a secret may be, and twice as long as a line.
    let long: Secrets = (0..100).map(|_| (KeyId::mint(), secret(&"\n".repeat(16 * 1024)))).collect();
    f.seal(&long).unwrap();
    assert!(f.bundles().len() > 4);
    for file in f.bundles().iter().flat_map(|bundle| ["index", "secrets.age"].map(|file| bundle.join(file))) {
        assert!(fs::metadata(file).unwrap().len() <= LONGEST_FILE);
    }
    f.all_open(&many.into_iter().chain(long).collect());
}

#[test]
fn the_first_of_many_keys_opens_its_bundle_and_the_others_need_no_file() {
    let f = fixture();
    let secrets = texts(100);
    f.seal(&secrets).unwrap();
    let unlocked = f.custody.unlock(&f.root, PASSPHRASE.into()).unwrap();
    unlocked.reveal(secrets[50].0).unwrap();
    fs::remove_file(f.bundles()[0].join("secrets.age")).unwrap();
    for (key, secret) in &secrets {
        assert_eq!(unlocked.reveal(*key).unwrap().expose_secret(), secret.expose_secret());
    }
    // What another process sealed since is found too.
    let later = texts(40);
    Custody::open(&f.path).unwrap().seal_all(&f.root, later.iter().map(|(key, secret)| (*key, secret))).unwrap();
    assert_eq!(unlocked.reveal(later[7].0).unwrap().expose_secret(), later[7].1.expose_secret());
    assert!(matches!(unlocked.reveal(KeyId::mint()), Err(RevealError::Absent { .. })));
}

#[test]
fn a_secret_that_is_there_is_not_sealed_again_in_either_shape() {
    let f = fixture();
    let (alone, bundled) = (texts(1), texts(50));
    f.seal(&alone).unwrap();
    f.seal(&bundled).unwrap();
    let before = (f.lone(), f.bundles());
    for there in [alone[0].0, bundled[20].0] {
        for many in [0, 30] {
            let mut again = texts(many);
            again.push((there, secret("another\n")));
            again.extend(texts(many));
            let error = f.seal(&again).unwrap_err();
            assert!(matches!(error, SealError::File(FileError::Exists { .. })), "{error}");
        }
    }
    let twice: Secrets =
        texts(20).into_iter().flat_map(|(key, _)| [(key, secret("a\n")), (key, secret("b\n"))]).collect();
    assert!(matches!(f.seal(&twice).unwrap_err(), SealError::File(FileError::Exists { .. })));
    let mut too_long = texts(40);
    too_long[30].1 = secret(&"x".repeat(20_000));
    assert!(matches!(f.seal(&too_long).unwrap_err(), SealError::TooLong { .. }));
    assert_eq!((f.lone(), f.bundles()), before);
}

#[test]
fn a_bundle_is_removed_as_a_whole_or_not_at_all() {
    let f = fixture();
    let (alone, first, second) = (texts(2), texts(20), texts(20));
    for secrets in [&alone, &first, &second] {
        f.seal(secrets).unwrap();
    }
    let keys = |secrets: &Secrets| secrets.iter().map(|(key, _)| *key).collect::<Vec<_>>();
    let some = [keys(&alone), keys(&first), keys(&second)[3..].to_vec()].concat();
    let error = f.custody.remove_all(&f.root, some.clone()).unwrap_err();
    assert!(matches!(&error, SealError::Shared { key, .. } if *key == second[3].0), "{error}");
    assert!(error.to_string().contains("secrets.age") && error.to_string().contains("stays sealed"), "{error}");
    f.all_open(&second);
    assert_eq!(f.custody.remove_all(&f.root, keys(&second)).unwrap(), 20);
    assert_eq!((f.lone(), f.bundles().len()), (0, 0));
    assert!(f.check(&Vec::new()).is_clean());
    assert!(matches!(f.reveal(second[0].0), Err(RevealError::Absent { .. })));
}

#[test]
fn damage_is_named_with_the_file_by_the_check_and_by_use() {
    let f = fixture();
    let (secrets, sound) = (texts(40), texts(40));
    f.seal(&secrets).unwrap();
    f.seal(&sound).unwrap();
    let all: Secrets = secrets.iter().chain(&sound).map(|(key, it)| (*key, secret_of(it))).collect();
    let bundle = &f.bundles()[0];
    let told = |file: &Path, what: &str| {
        let findings = f.check(&all);
        assert_eq!(findings.damaged.len(), 1, "{what}: {findings:?}");
        assert!(findings.damaged[0].contains(file.to_str().unwrap()), "{what}: {findings:?}");
        let error = f.reveal(secrets[17].0).unwrap_err().to_string();
        assert!(error.contains(file.to_str().unwrap()), "{what}: {error}");
        assert_eq!(f.reveal(sound[17].0).unwrap().expose_secret(), sound[17].1.expose_secret(), "{what}");
    };
    let sealed = bundle.join("secrets.age");
    let whole = fs::read(&sealed).unwrap();
    for at in (0..whole.len()).step_by(97) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&sealed, bytes).unwrap();
        told(&sealed, &format!("byte {at}"));
    }
    for length in [0, 1, 200, whole.len() - 1] {
        fs::write(&sealed, &whole[..length]).unwrap();
        told(&sealed, &format!("{length} bytes"));
    }
    // A bundle that somebody else sealed to the same, public recipient.
    let other = fs::read(f.bundles()[1].join("secrets.age")).unwrap();
    fs::write(&sealed, other).unwrap();
    told(&sealed, "another bundle");
    fs::remove_file(&sealed).unwrap();
    told(&sealed, "gone");
    fs::write(&sealed, vec![b'x'; usize::try_from(LONGEST_FILE).unwrap() + 1]).unwrap();
    fs::set_permissions(&sealed, fs::Permissions::from_mode(0o600)).unwrap();
    told(&sealed, "too long");
    fs::write(&sealed, &whole).unwrap();

    let index = bundle.join("index");
    let text = fs::read_to_string(&index).unwrap();
    let sum = text.lines().find(|line| line.contains("sha256")).unwrap();
    let lines =
        |from: usize, to: usize| text.lines().skip(from).take(to).map(|line| format!("{line}\n")).collect::<String>();
    let wrong = [
        ("empty", String::new()),
        ("no checksum", text.replace(sum, "#")),
        ("cut off", text[..text.len() - 1].to_owned()),
        ("not its own", lines(0, 2) + &lines(3, 99)),
        ("out of order", lines(0, 3) + &lines(4, 1) + &lines(3, 1) + &lines(5, 99)),
        ("a strange line", text.clone() + "x\n"),
    ];
    for (what, wrong) in wrong {
        fs::write(&index, wrong).unwrap();
        told(&index, what);
        // Keys are still made, alone and together.
        f.seal(&texts(1)).unwrap();
    }
    // One key less in the index: what is sealed is not what it names.
    fs::write(&index, lines(0, 10) + &lines(11, 99)).unwrap();
    let error = f.reveal(secrets[17].0).unwrap_err();
    assert!(matches!(&error, RevealError::Damaged { path, .. } if *path == sealed), "{error}");
    fs::write(&index, &text).unwrap();
    fs::write(bundle.join("note"), "x").unwrap();
    fs::create_dir(f.path.join("root/bundles/.unfinished-0011223344556677")).unwrap();
    let findings = f.check(&all);
    assert_eq!(findings.strays.len(), 2, "{findings:?}");
    assert!(findings.damaged.is_empty() && findings.missing.is_empty(), "{findings:?}");
}

fn secret_of(secret: &SecretBytes) -> SecretBytes {
    SecretBytes::new(Box::new(secret.expose_secret().clone()))
}

#[test]
fn loose_modes_and_links_are_refused_as_anywhere() {
    let f = fixture();
    let secrets = texts(20);
    f.seal(&secrets).unwrap();
    let bundle = f.bundles()[0].clone();
    for (path, loose, tight) in [
        (bundle.join("secrets.age"), 0o640, 0o600),
        (bundle.join("index"), 0o604, 0o600),
        (bundle.clone(), 0o750, 0o700),
        (f.path.join("root/bundles"), 0o755, 0o700),
    ] {
        let set = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        set(loose);
        let error = f.reveal(secrets[0].0).unwrap_err().to_string();
        assert!(error.contains(&format!("{} has mode {loose:04o}", path.display())), "{error}");
        set(tight);
    }
    let (sealed, elsewhere) = (bundle.join("secrets.age"), f.path.with_file_name("elsewhere"));
    fs::rename(&sealed, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &sealed).unwrap();
    assert!(matches!(f.reveal(secrets[0].0), Err(RevealError::File(FileError::SymbolicLink { .. }))));
}

#[test]
fn a_copy_and_another_passphrase_leave_all_as_it_was() {
    let f = fixture();
    let secrets: Secrets = texts(3).into_iter().chain(texts(50)).chain(texts(1)).collect();
    f.seal(&secrets[..3].iter().map(|(key, it)| (*key, secret_of(it))).collect()).unwrap();
    f.seal(&secrets[3..].iter().map(|(key, it)| (*key, secret_of(it))).collect()).unwrap();
    let mut files = Vec::new();
    let count = f.custody.each_file(|file| -> Result<(), FileError> {
        files.push(file);
        Ok(())
    });
    assert_eq!(count.unwrap(), secrets.len() as u64);
    let copy = f.path.with_file_name("copy");
    all_open(&Custody::restore(&copy, files.clone()).unwrap(), &secrets);
    for path in ["root/bundles/x/index", "root/bundles/../index", "root/bundles/index", "root/bundles/a/b/index"] {
        let strange = vec![(path.to_owned(), Vec::new())];
        assert!(Custody::restore(&f.path.with_file_name("strange"), strange).is_err(), "{path}");
    }
    // A damaged bundle is no reason to copy nothing.
    let index = f.bundles()[0].join("index");
    let text = fs::read(&index).unwrap();
    fs::write(&index, "").unwrap();
    let mut damaged = Vec::new();
    let count = Custody::open(&f.path).unwrap().each_file(|file| -> Result<(), FileError> {
        damaged.push(file);
        Ok(())
    });
    assert_eq!((count.unwrap(), damaged.len()), (3, files.len()));
    let restored = Custody::restore(&f.path.with_file_name("damaged"), damaged).unwrap();
    assert_eq!(restored.check([]).unwrap().damaged.len(), 1);
    fs::write(&index, text).unwrap();

    f.custody.change_passphrase(&f.root, PASSPHRASE.into(), &"another long one".into()).unwrap();
    let custody = Custody::open(&f.path).unwrap();
    let unlocked = custody.unlock(&f.root, "another long one".into()).unwrap();
    for (key, secret) in &secrets {
        assert_eq!(unlocked.reveal(*key).unwrap().expose_secret(), secret.expose_secret());
    }
}

#[test]
fn a_secret_of_a_bundle_is_brought_back_alone() {
    let f = fixture();
    let secrets = texts(20);
    f.seal(&secrets).unwrap();
    let other = fixture();
    other.custody.seal(&other.root, secrets[4].0, &secrets[4].1).unwrap();
    fs::write(f.bundles()[0].join("secrets.age"), "lost").unwrap();
    let file = format!("root/keys/{}.age", secrets[4].0);
    fs::copy(other.path.join(&file), f.path.join(&file)).unwrap();
    // It is sealed to another custody's recipient, but the file alone is what is asked.
    let error = f.reveal(secrets[4].0).unwrap_err();
    assert!(matches!(&error, RevealError::Damaged { path, .. } if path.ends_with(&file)), "{error}");
}

#[test]
fn on_a_full_disk_no_bundle_is_half_written() {
    let Some(disk) = cim_keys_testkit::disk::SmallDisk::of_kib(512) else { return };
    let root = Label::new("root").unwrap();
    let path = disk.path().join("custody");
    let custody = Custody::create(&path, &[(root.clone(), PASSPHRASE.into())], WorkFactor::LEAST).unwrap();
    let alone = texts(2);
    custody.seal_all(&root, alone.iter().map(|(key, secret)| (*key, secret))).unwrap();
    disk.fill_up_to(24 * 1024);
    let many: Secrets = (0..60).map(|_| (KeyId::mint(), secret(&("x".repeat(3_000) + "\n")))).collect();
    let error = custody.seal_all(&root, many.iter().map(|(key, secret)| (*key, secret))).unwrap_err();
    assert!(error.to_string().contains("could not write"), "{error}");
    assert!(custody.check(alone.iter().map(|(key, _)| (root.clone(), *key))).unwrap().is_clean());
    disk.make_room();
    custody.seal_all(&root, many.iter().map(|(key, secret)| (*key, secret))).unwrap();
    all_open(&custody, &alone.into_iter().chain(many).collect());
}

const USER: KeyKind = KeyKind::Nkey(NkeyKind::User);

/// As many keys in a bundle, in one act.
fn make(draft: &mut Draft<'_>, count: usize) -> Result<Vec<KeyGenerated>, KeyActError> {
    custody_support::generate_many(draft, USER, count)
}

#[test]
fn many_keys_are_recorded_together_or_leave_nothing() {
    let f = custody_support::Fixture::new();
    let end = f.store.end().unwrap();
    let interrupted = Interrupted::new(&f.store, false);
    let failed =
        Pipeline::new(&interrupted, policy::built_in()).with_keys(f.ring()).act(&intent(), |draft| make(draft, 100));
    assert!(matches!(failed, Err(ActError::Journal(_))), "{failed:?}");
    assert_eq!(f.store.end().unwrap(), end);
    assert!(check(&f.store, &f.custody).unwrap().is_clean());
    let outcome = f.act(|draft| make(draft, 100)).unwrap();
    assert_eq!((outcome.value.len(), outcome.events.len()), (100, 100));
    assert_eq!(f.custody.secrets().unwrap(), 100);
    f.all_is_well();
}

/// Keeps no token: its file is not to be used as it is.
struct Loose;

impl Texts for Loose {
    fn get(&self, _: &cid::Cid) -> Result<Option<String>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(None)
    }

    fn put(&self, _: &[String]) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        Err(RestrictedError::Loose { path: "restricted.db".into() }.into())
    }
}

#[test]
fn nothing_is_recorded_when_tokens_are_not_kept() {
    let f = custody_support::Fixture::new();
    let end = f.store.end().unwrap();
    let mut pipeline = Pipeline::new(&f.store, policy::built_in()).with_keys(f.ring()).with_texts(Loose);
    let failed = pipeline.act(&intent(), |draft| {
        draft.keep_text("a token".to_owned());
        make(draft, 40)
    });
    assert!(matches!(failed, Err(ActError::Texts(_))), "{failed:?}");
    assert_eq!(f.store.end().unwrap(), end);
    drop(pipeline);
    f.all_is_well();
}

#[test]
fn a_process_killed_between_sealing_and_recording_leaves_orphans_and_nothing_worse() {
    if let Some(folder) = again::place() {
        // The child: makes keys, and dies where it hurts most.
        custody_support::die_between_sealing_and_recording(&folder, USER, 100);
    }
    let f = custody_support::Fixture::new();
    let end = f.store.end().unwrap();
    again::dies(
        module_path!(),
        "a_process_killed_between_sealing_and_recording_leaves_orphans_and_nothing_worse",
        f.place.dir.path(),
    );
    assert_eq!(f.store.end().unwrap(), end);
    let compared = check(&f.store, &f.custody).unwrap();
    assert_eq!((compared.files.orphans.len(), compared.files.missing.len()), (100, 0), "{compared:#?}");
    // What the act meant to do is there, and names them.
    assert!(compared.files.damaged.is_empty() && compared.files.strays.len() == 1, "{compared:#?}");
    assert_eq!(settle(&f.store, &f.custody).unwrap(), 100);
    assert!(check(&f.store, &f.custody).unwrap().is_clean());
}
