//! Key pairs: made, sealed, read again, and understood by other implementations.

use std::process::{Command, Stdio};

use cim_keys::custody::{Custody, SecretBytes, UseError, WorkFactor};
use cim_keys::events::{KeyAlgorithm, NkeyKind};
use cim_keys::ids::KeyId;
use cim_keys::keys::pair::{ParseError, PrivateKey};
use cim_keys::keys::{KeyKind, SignError, check_public_nkey};
use cim_keys::keys::{VerifyError, verify};
use cim_keys::text::Label;
use secrecy::ExposeSecret as _;

fn bytes(text: &str) -> SecretBytes {
    SecretBytes::new(Box::new(text.as_bytes().to_vec()))
}

fn text(secret: &SecretBytes) -> String {
    String::from_utf8(secret.expose_secret().clone()).unwrap()
}

#[test]
fn every_kind_round_trips_and_signs_or_says_that_it_can_not() {
    for kind in KeyKind::ALL {
        assert_eq!(kind.to_string().parse::<KeyKind>().unwrap(), kind);
        let key = PrivateKey::generate(kind).unwrap();
        let public = key.public();
        let again = PrivateKey::parse(&key.secret()).unwrap();
        assert_eq!((again.kind(), again.public()), (kind, public.clone()));
        assert_eq!(again.secret().expose_secret(), key.secret().expose_secret());
        match key.sign(b"message") {
            Ok(signature) => {
                verify(&public, b"message", &signature).unwrap();
                assert_eq!(verify(&public, b"massage", &signature), Err(VerifyError::Signature));
                assert!(verify(&public, b"message", &signature[1..]).is_err());
                let other = PrivateKey::generate(kind).unwrap().public();
                assert_eq!(verify(&other, b"message", &signature), Err(VerifyError::Signature));
            }
            Err(error) => assert!(matches!(error, SignError::CannotSign) && public.algorithm == KeyAlgorithm::X25519),
        }
    }
    assert!("rsa".parse::<KeyKind>().unwrap_err().to_string().contains("nkey-user"));
}

#[test]
fn nkeys_are_those_of_the_nkeys_crate() {
    for kind in [NkeyKind::Operator, NkeyKind::Account, NkeyKind::User, NkeyKind::Server, NkeyKind::Cluster] {
        let key = PrivateKey::generate(KeyKind::Nkey(kind)).unwrap();
        let theirs = nkeys::KeyPair::from_seed(text(&key.secret()).trim()).unwrap();
        assert_eq!(theirs.public_key(), key.public().public_key.as_str());
        assert_eq!(theirs.seed().unwrap(), text(&key.secret()).trim());
        theirs.verify(b"nonce", &key.sign(b"nonce").unwrap()).unwrap();
    }
    // A seed as it is found in a credentials file.
    let theirs = nkeys::KeyPair::new_user();
    let creds = format!(
        "-----BEGIN NATS USER JWT-----\nx.y.z\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
        theirs.seed().unwrap()
    );
    let key = PrivateKey::parse(&bytes(&creds)).unwrap();
    assert_eq!(key.public().public_key.as_str(), theirs.public_key());
    assert_eq!(check_public_nkey(&theirs.public_key()).unwrap().0, NkeyKind::User);
}

#[test]
fn what_is_no_private_key_is_refused_without_showing_it() {
    let seed = text(&PrivateKey::generate(KeyKind::Nkey(NkeyKind::User)).unwrap().secret());
    let seed = seed.trim();
    let mut changed = seed.to_owned();
    changed.replace_range(20..21, if &seed[20..21] == "A" { "B" } else { "A" });
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIGb\n-----END ENCRYPTED PRIVATE KEY-----\n";
    // X25519 in PKCS#8: Ed25519's object identifier ends in 112, X25519's in 110.
    let ed25519 = text(&PrivateKey::generate(KeyKind::Ed25519).unwrap().secret());
    let other = ed25519.replace("MC4CAQAwBQYDK2Vw", "MC4CAQAwBQYDK2Vu");
    assert_ne!(ed25519, other);
    type Expected = fn(&ParseError) -> bool;
    let cases: [(&str, Expected); 8] = [
        ("", |e| matches!(e, ParseError::Format)),
        ("nothing of the kind", |e| matches!(e, ParseError::Format)),
        (&changed, |e| matches!(e, ParseError::Nkey(_))),
        (&format!("{seed}\n{seed}\n"), |e| matches!(e, ParseError::Several)),
        (encrypted, |e| matches!(e, ParseError::Encrypted)),
        (&other, |e| matches!(e, ParseError::Algorithm)),
        ("-----BEGIN RSA PRIVATE KEY-----\nAA==\n-----END RSA PRIVATE KEY-----\n", |e| matches!(e, ParseError::Format)),
        (&"x".repeat(20_000), |e| matches!(e, ParseError::TooLong)),
    ];
    for (given, expected) in cases {
        let error = PrivateKey::parse(&bytes(given)).unwrap_err();
        assert!(expected(&error), "{error:?}");
        assert!(!error.to_string().contains(&seed[10..]), "{error}");
    }
    assert!(matches!(PrivateKey::parse(&SecretBytes::new(Box::new(vec![0xff; 64]))), Err(ParseError::Format)));
    assert_eq!(format!("{:?}", PrivateKey::parse(&bytes(seed)).unwrap()), "PrivateKey(nkey-user)");
}

#[test]
fn a_key_that_was_exchanged_in_custody_is_not_used() {
    let dir = tempfile::tempdir().unwrap();
    let root = Label::new("root").unwrap();
    let passphrase = "a passphrase for tests";
    let new = [(root.clone(), passphrase.into())];
    let custody = Custody::create(&dir.path().join("custody"), &new, WorkFactor::LEAST).unwrap();
    let (one, two) = (KeyId::mint(), KeyId::mint());
    let first = PrivateKey::generate(KeyKind::Ed25519).unwrap();
    let second = PrivateKey::generate(KeyKind::Ed25519).unwrap();
    custody.seal(&root, one, &first.secret()).unwrap();
    custody.seal(&root, two, &second.secret()).unwrap();
    let unlocked = custody.unlock(&root, passphrase.into()).unwrap();
    unlocked.private_key(one, &first.public().public_key).unwrap();
    let keys = dir.path().join("custody/root/keys");
    std::fs::rename(keys.join(format!("{two}.age")), keys.join(format!("{one}.age"))).unwrap();
    let error = unlocked.private_key(one, &first.public().public_key).unwrap_err();
    assert!(matches!(error, UseError::Exchanged { .. }), "{error}");
    custody.seal(&root, two, &bytes("no key")).unwrap();
    let error = unlocked.private_key(two, &second.public().public_key).unwrap_err();
    assert!(matches!(error, UseError::Parse { .. }), "{error}");
}

/// OpenSSL reads what custody keeps, finds the same public key, and writes what we read.
#[test]
fn openssl_reads_and_writes_the_same_keys() {
    let openssl = |args: &[&str], input: &[u8]| -> Option<Vec<u8>> {
        let command = Command::new("openssl").args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = match command {
            Ok(child) => child,
            Err(_) => {
                eprintln!("SKIPPED: there is no openssl here");
                return None;
            }
        };
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "openssl {args:?}");
        Some(output.stdout)
    };
    for kind in [KeyKind::Ed25519, KeyKind::P256] {
        let key = PrivateKey::generate(kind).unwrap();
        let Some(der) = openssl(&["pkey", "-pubout", "-outform", "DER"], key.secret().expose_secret()) else { return };
        let ours = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, key.public().public_key.as_str());
        assert_eq!(der, ours.unwrap());
    }
    let generate: [&[&str]; 4] = [
        &["genpkey", "-algorithm", "ed25519"],
        &["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
        &["ecparam", "-name", "prime256v1", "-genkey"],
        &["ecparam", "-name", "prime256v1", "-genkey", "-noout"],
    ];
    for args in generate {
        let pem = openssl(args, b"").unwrap();
        let der = openssl(&["pkey", "-pubout", "-outform", "DER"], &pem).unwrap();
        let key = PrivateKey::parse(&SecretBytes::new(Box::new(pem))).unwrap();
        let theirs = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, der);
        assert_eq!(key.public().public_key.as_str(), theirs, "{args:?}");
    }
}

proptest::proptest! {
    /// No bytes make reading a key panic, and what is read is read the same again.
    #[test]
    fn any_bytes_are_read_or_refused(given in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        let _ = PrivateKey::parse(&SecretBytes::new(Box::new(given.clone())));
        let text = String::from_utf8_lossy(&given).into_owned();
        let _ = cim_keys::keys::public_facts(&text);
        let _ = check_public_nkey(&text);
    }

    /// A key with a changed character is refused, or is read as what it says and nothing else.
    #[test]
    fn a_changed_key_is_never_taken_for_the_same(kind in 0..KeyKind::ALL.len(), at in 0..400_usize, to in 0x20..0x7f_u8) {
        let key = PrivateKey::generate(KeyKind::ALL[kind]).unwrap();
        let mut changed = key.secret().expose_secret().clone();
        let at = at % changed.len();
        changed[at] = to;
        if let Ok(read) = PrivateKey::parse(&SecretBytes::new(Box::new(changed))) {
            let again = PrivateKey::parse(&read.secret()).unwrap();
            proptest::prop_assert_eq!(read.public(), again.public());
        }
    }
}
