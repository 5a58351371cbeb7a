//! After a whole ceremony no file, event, log line, output or error holds a private key or a passphrase, in any of the
//! ways in which bytes are usually written.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use cim_keys::custody::Custody;
use cim_keys::store::RestrictedBlocks;
use secrecy::ExposeSecret as _;

use crate::support::nats::Nats;
use crate::support::{ISSUING, Place, ROOT, Run, files};

/// A secret in the ways in which it could stand somewhere.
fn needles(secret: &[u8]) -> Vec<Vec<u8>> {
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut needles = vec![secret.to_vec(), hex.to_uppercase().into_bytes(), hex.into_bytes()];
    // In the middle of something longer, base64 takes one of three forms: without the ends that neighbours change.
    for skipped in 0..3 {
        let whole = (secret.len() - skipped) / 3 * 3;
        for alphabet in [&STANDARD, &URL_SAFE] {
            needles.push(alphabet.encode(&secret[skipped..skipped + whole]).into_bytes());
        }
    }
    needles
}

fn finds(needle: &[u8], hay: &[u8]) -> bool {
    hay.windows(needle.len()).any(|window| window == needle)
}

/// The secrets of a key, from what custody keeps: the text, and the 32 bytes that it says.
fn of_key(text: &[u8]) -> Vec<Vec<u8>> {
    let text = String::from_utf8(text.to_vec()).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("-----")).collect();
    let mut secrets: Vec<Vec<u8>> = lines.iter().map(|line| line.as_bytes().to_vec()).collect();
    match STANDARD.decode(lines.concat()) {
        // PKCS#8: what follows the last "octet string of 32 bytes" is the key.
        Ok(der) if text.starts_with("-----") => {
            let at = der.windows(2).position(|window| window == [0x04, 0x20]).unwrap();
            secrets.push(der[at + 2..at + 34].to_vec());
        }
        _ => {
            let seed = nkeys::decode_seed(lines[0]).unwrap().1;
            secrets.push(seed.to_vec());
        }
    }
    secrets
}

#[test]
fn nothing_outside_custody_holds_a_secret() {
    let place = Place::empty();
    let mut said: Vec<(String, Run)> = Vec::new();
    let mut secrets: Vec<Vec<u8>> =
        [ROOT, ISSUING, "another passphrase", "not the passphrase", "a passphrase of Kim's own"]
            .iter()
            .map(|passphrase| passphrase.as_bytes().to_vec())
            .collect();
    let mut run = |args: &[&str], input: &[u8]| {
        let run = place.run_with(args, input);
        said.push((args.join(" "), run));
    };

    // The passphrases of this one are generated, and shown where they should be.
    let generated = place.run(&["init", "--ledger", "generated", "--work-factor", "10", "--show-passphrase"]);
    let shown = generated.stderr.lines().filter_map(|line| line.trim().split_once(": "));
    let shown: Vec<Vec<u8>> = shown.filter(|(_, it)| it.matches('-').count() == 11).map(|(_, it)| it.into()).collect();
    assert_eq!(shown.len(), 2, "{generated:?}");
    secrets.extend(shown);

    let (root, issuing) = place.passphrase_flags();
    run(&["init", "--name", "Acme", "--work-factor", "10", &root, &issuing], b"");
    run(&["organization", "add", "Acme"], b"");
    for kind in cim_keys::keys::KeyKind::ALL {
        run(&["key", "generate", &format!("the {kind}"), "--algorithm", kind.as_str()], b"");
    }
    let imported = cim_keys::keys::pair::PrivateKey::generate(cim_keys::keys::KeyKind::P256).unwrap().secret();
    let imported = imported.expose_secret();
    run(&["key", "import", "imported", "-", "--origin", "a pipe"], imported);
    run(&["key", "import", "imported again", "-", "--origin", "a pipe"], imported);
    // What is cut short is no key any more, and secret all the same.
    run(&["key", "import", "broken", "-", "--origin", "a pipe"], &imported[..imported.len() / 2]);
    run(&["key", "import", "upside down", "--public-key", "-", "--origin", "a pipe"], imported);
    run(&["key", "rotate", "the ed25519"], b"");
    run(&["key", "revoke", "the p256", "--reason", "superseded", "--yes"], b"");
    let recipient = Custody::open(&place.ledger().join("custody")).unwrap();
    let recipient = recipient.compartments().next().unwrap().1;
    run(&["key", "export", "the nkey-user", "--to", &recipient, "--out", "user.age", "--reason", "x", &issuing], b"");
    let own = format!("--passphrase-file=kim={}", place.file("kim.pass", b"a passphrase of Kim's own"));
    run(&["person", "add", "Kim Lee"], b"");
    run(&["person", "enroll", "Kim Lee", "--compartment", "kim", "--work-factor", "10", &own], b"");
    run(&["role", "add", "Signed", "--as", "Kim Lee", &own], b"");
    run(&["event", "attest", "1", "--as", "Kim Lee", &own], b"");
    run(&["role", "add", "Unsigned", "--as", "Kim Lee", &issuing], b"");
    let wrong = format!("--passphrase-file={}", place.file("wrong.pass", b"not the passphrase"));
    run(&["custody", "test", "root", &wrong], b"");
    run(&["custody", "test", "root", "--passphrase-fd", "0"], b"not the passphrase\nand a second line");
    let new = place.file("new.pass", b"another passphrase");
    run(&["custody", "passphrase", "root", &root, "--new-passphrase-file", &new], b"");
    for args in [
        ["custody", "check"],
        ["custody", "list"],
        ["key", "list"],
        ["event", "list"],
        ["config", "show"],
        ["custody", "nothing"],
    ] {
        run(&args, b"");
    }
    run(&["verify"], b"");
    let failed = said.iter().filter(|(_, run)| run.code != 0).count();
    assert_eq!(failed, 7, "{said:#?}");

    // Every secret there is.
    let custody = Custody::open(&place.ledger().join("custody")).unwrap();
    let mut keys = 0;
    for (compartment, _) in custody.compartments() {
        let passphrase = match compartment.as_str() {
            "root" => "another passphrase",
            "kim" => "a passphrase of Kim's own",
            _ => ISSUING,
        };
        let unlocked = custody.unlock(compartment, passphrase.into()).unwrap();
        for key in custody.keys(compartment).unwrap() {
            secrets.extend(of_key(unlocked.reveal(key).unwrap().expose_secret()));
            keys += 1;
        }
    }
    assert_eq!(keys, 1 + 8 + 1 + 1 + 1);
    secrets.extend(of_key(imported));
    secrets.push(b"AGE-SECRET-KEY-".to_vec());

    let mut hays: Vec<(String, Vec<u8>)> = Vec::new();
    for (args, run) in said {
        hays.push((format!("standard output of {args}"), run.stdout.into_bytes()));
        hays.push((format!("standard error of {args}"), run.stderr.into_bytes()));
    }
    hays.push(("standard output of init".into(), generated.stdout.into_bytes()));
    for path in files(place.dir.path()) {
        if path.extension().is_none_or(|extension| extension != "pass") {
            hays.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
    assert!(hays.iter().any(|(name, _)| name.ends_with("ledger.db")) && hays.len() > 60, "{}", hays.len());
    // The search finds what is there.
    let planted = [b"before ".as_slice(), &secrets[0], b" after"].concat();
    assert!(finds(&needles(&secrets[0])[0], &planted));

    for secret in &secrets {
        for needle in needles(secret).into_iter().filter(|needle| needle.len() >= 12) {
            for (name, hay) in &hays {
                assert!(!finds(&needle, hay), "{name} holds {}", String::from_utf8_lossy(&needle));
            }
        }
    }
}

/// The texts of tokens are credentials, or bring back what was revoked: they are restricted blocks, and nothing else holds
/// them. Where an act hands one out, it says so.
#[test]
fn nothing_but_restricted_blocks_holds_the_text_of_a_token() {
    let (ours, theirs) = (Nats::new(), Nats::new());
    let mut said: Vec<(String, Run)> = Vec::new();
    let key =
        |nats: &Nats| nats.ok(&["account", "show", "ORDERS"])[0]["account"]["public_key"].as_str().unwrap().to_owned();
    let (exporter, importer) = (key(&ours), key(&theirs));
    ours.ok(&["export", "add", "ORDERS", "orders.>", "--private"]);
    let mut texts = Vec::new();
    for subject in ["orders.eu.>", "orders.us.>", "orders.uk.>"] {
        texts.push(ours.run(&["activation", "add", "ORDERS", subject, "--for", &importer]).stdout.trim().to_owned());
    }
    // Within a ledger, by command and by apply, which plans, saves the plan, and applies it; into a mirror as well.
    ours.ok(&["account", "add", "BILLING"]);
    ours.ok(&["user", "add", "BILLING/clerk", "--bearer"]);
    let activation = theirs.place.file("eu.jwt", texts[0].as_bytes());
    let (root, issuing) = theirs.place.passphrase_flags();
    let manifest = |land: &str, activation: &str| {
        format!(
            "format = \"cim-keys/1\"\n[organization]\nname = \"Acme\"\n[nats.accounts.orders]\nname = \"ORDERS\"\n\
             jetstream = {{}}\n[nats.accounts.orders.imports.{land}]\ntype = \"stream\"\nsubject = \"orders.{land}.>\"\n\
             account = \"{exporter}\"\nactivation = \"{activation}\"\n"
        )
    };
    let file = theirs.place.path("acme.toml");
    fs::write(&file, manifest("us", &texts[1])).unwrap();
    let (file, plan) = (file.to_str().unwrap(), theirs.place.path("day0.plan"));
    let plan = plan.to_str().unwrap();
    let mut run = |nats: &Nats, args: &[&str]| {
        let run = nats.place.run(args);
        assert_eq!(run.code, 0, "{args:?}: {run:?}");
        said.push((args.join(" "), run));
    };
    run(&ours, &["nats", "import", "add", "BILLING", "orders.>", "--from", "ORDERS", &issuing]);
    let add = ["nats", "import", "add", "ORDERS", "orders.eu.>", "--from", &exporter, "--activation", &activation];
    run(&theirs, &[&add[..], &[&issuing]].concat());
    run(&theirs, &["apply", file, "--save-plan", plan]);
    assert_eq!(fs::metadata(plan).unwrap().permissions().mode() & 0o777, 0o600, "it holds the text of an activation");
    run(&theirs, &["apply", plan, &root, &issuing]);
    fs::write(file, manifest("uk", &texts[2])).unwrap();
    run(&theirs, &["apply", file, "--dry-run"]);
    run(&theirs, &["apply", file, &root, &issuing]);
    run(&theirs, &["apply", file, &root, &issuing]);
    run(&theirs, &["nats", "account", "edit", "ORDERS", "--conns", "7", &issuing]);
    run(&ours, &["nats", "account", "edit", "BILLING", "--conns", "7", &issuing]);
    for nats in [&ours, &theirs] {
        for args in [&["event", "list"][..], &["event", "show", "1"], &["verify"], &["nats", "import", "list"]] {
            run(nats, args);
            run(nats, &[args, &["--output", "text"]].concat());
        }
        run(nats, &["nats", "account", "list"]);
        run(nats, &["diff", "1"]);
        let path = |name: &str| nats.place.path(name).to_str().unwrap().to_owned();
        run(nats, &["export", "car", &path("archive.car")]);
        run(nats, &["export", "events", "--out", &path("events.jsonl")]);
    }

    // Every token whose text is kept, and those that ended inside another.
    for nats in [&ours, &theirs] {
        let blocks = RestrictedBlocks::open(&nats.place.ledger().join("restricted.db")).unwrap();
        let events = fs::read_to_string(nats.place.path("events.jsonl")).unwrap();
        for (at, _) in events.match_indices("bafkrei") {
            let block = blocks.get(&events[at..at + 59].parse().unwrap()).unwrap();
            texts.extend(block.map(|block| String::from_utf8(block).unwrap()));
        }
    }
    texts.sort_unstable();
    texts.dedup();
    let count = texts.len();
    assert!(count > 15, "{count}");
    let mut hays: Vec<(String, Vec<u8>)> = Vec::new();
    for (args, run) in said {
        hays.push((format!("standard output of {args}"), run.stdout.into_bytes()));
        hays.push((format!("standard error of {args}"), run.stderr.into_bytes()));
    }
    for nats in [&ours, &theirs] {
        for path in files(nats.place.dir.path()) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            // The user's own files, a plan for review beside them, and the restricted blocks.
            if !["acme.toml", "day0.plan", "eu.jwt"].contains(&name.as_str()) && !name.starts_with("restricted.db") {
                hays.push((path.display().to_string(), fs::read(&path).unwrap()));
            }
        }
    }
    assert!(hays.iter().any(|(name, _)| name.ends_with("archive.car")), "{}", hays.len());
    for text in &texts {
        let signature = text.rsplit('.').next().unwrap().as_bytes();
        for (name, hay) in &hays {
            assert!(!finds(signature, hay), "{name} holds {text}");
        }
    }
}
