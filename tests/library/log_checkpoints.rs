//! Checkpoints, proofs, witnesses and policies: against other people's libraries, and against every way to cheat.

use std::process::Command;
use std::sync::Arc;

use cid::Cid;
use cim_keys::ipld_support::cid_of_block;
use cim_keys::keys::pair::SoftwareKey;
use cim_keys::log::{
    Checkpoint, CheckpointError, KeyKind, KeyName, LogProof, Memory, NodeHash, Note, Policy, PolicyError,
    ProofFileError, SignedCheckpoint, Subject, Update, VerifierKey, WitnessError,
};
use cim_keys::time::Timestamp;
use cim_keys_testkit::tools;
use ed25519_dalek::SigningKey;
use tlog_tiles::{Hash, HashReader, prove_record, prove_tree, stored_hashes, tree_hash};

const ORIGIN: &str = "cim-keys.example/acme";

struct Tree(Vec<Hash>);

impl HashReader for Tree {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, tlog_tiles::Error> {
        Ok(indexes.iter().map(|&i| self.0[usize::try_from(i).unwrap()]).collect())
    }
}

/// A log of `size` small blocks; `salt` tells one history from another from the event at `fork` on.
struct Log {
    tree: Tree,
    blocks: Vec<Vec<u8>>,
}

impl Log {
    fn new(size: u64, fork: u64, salt: u8) -> Self {
        let mut log = Self { tree: Tree(Vec::new()), blocks: Vec::new() };
        for n in 0..size {
            let block = vec![
                0x83,
                0x18,
                0x80 | u8::try_from(n % 100).unwrap(),
                0x18,
                0x20 + (n / 100) as u8,
                0x18,
                if n < fork { 0x40 } else { 0x40 + salt },
            ];
            let hashes = stored_hashes(n, &cid_of_block(&block).to_bytes(), &log.tree).unwrap();
            log.tree.0.extend(hashes);
            log.blocks.push(block);
        }
        log
    }

    fn head(&self, size: u64) -> Checkpoint {
        Checkpoint { origin: name(ORIGIN), size, root: tree_hash(size, &self.tree).unwrap().0 }
    }

    fn signed(&self, size: u64) -> SignedCheckpoint {
        self.head(size).sign(&ledger_key(), &*signer(1)).unwrap()
    }

    fn proof(&self, index: u64, size: u64) -> LogProof {
        let hashes = prove_record(size, index, &self.tree).unwrap();
        LogProof { subject: Subject::Cid(self.cid(index)), index, hashes: plain(hashes), checkpoint: self.signed(size) }
    }

    fn update(&self, old_size: u64, size: u64) -> Update {
        let hashes = if old_size == 0 { vec![] } else { prove_tree(size, old_size, &self.tree).unwrap() };
        Update { old_size, hashes: plain(hashes), checkpoint: self.signed(size) }
    }

    fn cid(&self, index: u64) -> Cid {
        cid_of_block(&self.blocks[usize::try_from(index).unwrap()])
    }
}

fn plain(hashes: Vec<Hash>) -> Vec<NodeHash> {
    hashes.into_iter().map(|hash| hash.0).collect()
}

fn name(text: &str) -> KeyName {
    KeyName::new(text).unwrap()
}

fn secret(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn signer(seed: u8) -> Arc<SoftwareKey> {
    SoftwareKey::new(secret(seed).into())
}

fn ledger_key() -> VerifierKey {
    VerifierKey::new(name(ORIGIN), KeyKind::Ledger, secret(1).verifying_key())
}

fn witness_key(seed: u8) -> VerifierKey {
    VerifierKey::new(name(&format!("witness.example/{seed}")), KeyKind::Witness, secret(seed).verifying_key())
}

fn noon() -> Timestamp {
    Timestamp::parse_lenient("2026-03-01T12:00:00Z").unwrap()
}

#[test]
fn keys_and_notes_of_the_go_implementation_read() {
    for key in [
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8",
    ] {
        assert_eq!(key.parse::<VerifierKey>().unwrap().to_string(), key);
    }
    let key: VerifierKey = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW".parse().unwrap();
    let text = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
    let note: Note = text.parse().unwrap();
    assert_eq!(note.to_string(), text);
    assert!(key.verify(note.text(), &note.signatures()[0]).is_some());
    assert!(key.verify(&note.text().replace("think", "Think"), &note.signatures()[0]).is_none());
}

#[test]
fn wrong_keys_are_told_from_each_other() {
    let good = ledger_key().to_string();
    let (_, rest) = good.split_once('+').unwrap();
    let hash = rest.split('+').next().unwrap().to_owned();
    for (text, why) in [
        (String::new(), "three parts"),
        (format!("other+{rest}"), "mistyped"),
        (format!("two words+{rest}"), "space"),
        (good.replace(&hash, "00000000"), "mistyped"),
        (good[..good.len() - 4].to_owned(), "32 bytes"),
        (format!("{good}\n"), "base64"),
        (format!("{good}{}", "A".repeat(1 << 20)), "too long"),
        ("x+00000000+AQEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".to_owned(), "anything verifies"),
    ] {
        let error = text.parse::<VerifierKey>().unwrap_err().to_string();
        assert!(error.contains(why) && error.len() < 1_000, "{text}: {error}");
    }
}

#[test]
fn a_checkpoint_verifies_with_the_libraries_of_others() {
    let signed = Log::new(70, 70, 0).signed(70);
    let text = signed.to_string();
    let note = signed_note::Note::from_bytes(text.as_bytes()).unwrap();
    let verifier = signed_note::StandardVerifier::new(&ledger_key().to_string()).unwrap();
    let known = signed_note::VerifierList::new(vec![Box::new(verifier)]);
    let (verified, unknown) = note.verify(&known).unwrap();
    assert_eq!((verified.len(), unknown.len()), (1, 0));
    let theirs = tlog_tiles::Checkpoint::from_bytes(note.text()).unwrap();
    assert_eq!((theirs.origin(), theirs.size(), theirs.hash().0), (ORIGIN, 70, signed.checkpoint().root));
}

/// RFC 6962, RFC 8032 and the C2SP formats, as a stranger would write them down in Python.
const STRANGER: &str = r#"
import base64, hashlib, sys
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
proof, keys = open(sys.argv[1], encoding="utf-8").read(), sys.argv[2:]
b64 = base64.b64decode
head, _, checkpoint = proof.partition("\n\n")
version, extra, index, *hashes = head.split("\n")
assert version == "c2sp.org/tlog-proof@v1"
text, _, lines = checkpoint.rpartition("\n\n")
text += "\n"
signatures = dict(line[2:].split(" ") for line in lines.strip().split("\n"))
for key in keys:
    name, key_hash, encoded = key.split("+", 2)
    kind, public = b64(encoded)[:1], b64(encoded)[1:]
    key_id = hashlib.sha256(name.encode() + b"\n" + kind + public).digest()[:4]
    assert key_id.hex() == key_hash
    signature = b64(signatures[name])
    assert signature[:4] == key_id
    signature, message = signature[4:], text.encode()
    if kind == b"\x04":
        seconds = int.from_bytes(signature[:8], "big")
        signature, message = signature[8:], b"cosignature/v1\ntime %d\n" % seconds + message
    Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
origin, size, root = text.strip().split("\n")
index, size = int(index.removeprefix("index ")), int(size)
node = hashlib.sha256(b"\0" + b64(extra.removeprefix("extra "))).digest()
fn, sn = index, size - 1
for sibling in map(b64, hashes):
    assert sn > 0
    if fn & 1 or fn == sn:
        node = hashlib.sha256(b"\1" + sibling + node).digest()
        while not fn & 1 and fn:
            fn, sn = fn >> 1, sn >> 1
    else:
        node = hashlib.sha256(b"\1" + node + sibling).digest()
    fn, sn = fn >> 1, sn >> 1
assert sn == 0 and node == b64(root)
print("ok", origin, index, size)
"#;

#[test]
fn proofs_checkpoints_and_cosignatures_verify_in_python() {
    let Some(python) = tools::tool(tools::PYTHON) else { return };
    let log = Log::new(300, 300, 0);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("event.tlog-proof");
    for (index, size) in [(0, 1), (0, 2), (6, 7), (41, 256), (256, 257), (299, 300)] {
        let mut proof = log.proof(index, size);
        proof.checkpoint.add_signature(&witness_key(2), &*signer(2), noon()).unwrap();
        std::fs::write(&file, proof.to_string()).unwrap();
        let keys = [ledger_key().to_string(), witness_key(2).to_string()];
        let output = Command::new(&python).arg("-c").arg(STRANGER).arg(&file).args(keys).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(said.trim(), format!("ok {ORIGIN} {index} {size}"));
    }
}

#[test]
fn a_changed_checkpoint_is_refused() {
    let text = Log::new(9, 9, 0).signed(9).to_string();
    let parse = |text: &str| text.parse::<SignedCheckpoint>();
    parse(&text).unwrap().verify(&ledger_key()).unwrap();
    // Any single bit: the text no longer reads, or the signature no longer holds.
    for at in 0..text.len() * 8 {
        let mut bytes = text.clone().into_bytes();
        bytes[at / 8] ^= 1 << (at % 8);
        if let Ok(Ok(changed)) = std::str::from_utf8(&bytes).map(parse) {
            assert!(changed.verify(&ledger_key()).is_err(), "bit {at}");
        }
    }
    for bad in [
        "",
        "\n\n",
        "a\n\n",
        &text[..text.len() - 1],
        &text.replace("\n9\n", "\n09\n"),
        &text.replace("\n9\n", "\n9\nextension\n"),
    ] {
        assert!(parse(bad).is_err(), "{bad:?}");
    }
    let other = VerifierKey::new(name(ORIGIN), KeyKind::Ledger, secret(3).verifying_key());
    assert!(matches!(parse(&text).unwrap().verify(&other), Err(CheckpointError::NotSigned { .. })));
    let elsewhere = VerifierKey::new(name("example.org/other"), KeyKind::Ledger, secret(1).verifying_key());
    assert!(matches!(parse(&text).unwrap().verify(&elsewhere), Err(CheckpointError::OtherOrigin { .. })));
    for bad in ["", "two words", "a+b", "a\nb", "\u{2003}", &"x".repeat(256)] {
        assert!(KeyName::new(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn only_the_keys_own_secret_signs() {
    let head = Log::new(3, 3, 0).head(3);
    assert!(matches!(head.sign(&ledger_key(), &*signer(2)), Err(CheckpointError::OtherSecret(_))));
    assert!(matches!(head.sign(&witness_key(1), &*signer(1)), Err(CheckpointError::OtherOrigin { .. })));
}

#[test]
fn a_proof_file_reads_back_and_no_changed_one_passes() {
    let log = Log::new(100, 100, 0);
    let proof = log.proof(41, 100);
    proof.check().unwrap();
    let text = proof.to_string();
    assert_eq!(text.parse::<LogProof>().unwrap(), proof);
    let block = LogProof { subject: Subject::Block(log.blocks[41].clone()), ..proof.clone() };
    block.check().unwrap();
    assert_eq!(block.to_string().parse::<LogProof>().unwrap(), block);

    let mut wrong = proof.clone();
    wrong.index = 40;
    assert!(wrong.check().is_err());
    wrong.index = 100;
    assert!(wrong.check().is_err());
    wrong = proof.clone();
    wrong.subject = Subject::Cid(log.cid(40));
    assert!(wrong.check().is_err());
    wrong = proof.clone();
    wrong.hashes.pop();
    assert!(wrong.check().is_err());
    wrong = proof.clone();
    wrong.hashes.push([0; 32]);
    assert!(wrong.check().is_err());
    for at in 0..text.len() * 8 {
        let mut bytes = text.clone().into_bytes();
        bytes[at / 8] ^= 1 << (at % 8);
        let Ok(Ok(changed)) = std::str::from_utf8(&bytes).map(str::parse::<LogProof>) else { continue };
        assert!(changed.check().is_err() || changed.checkpoint.verify(&ledger_key()).is_err(), "bit {at}");
    }
    for bad in
        ["", "c2sp.org/tlog-proof@v1\n", "c2sp.org/tlog-proof@v1\nindex 0\n\n", "c2sp.org/tlog-proof@v1\nextra !\n"]
    {
        assert!(matches!(bad.parse::<LogProof>(), Err(ProofFileError::Malformed { .. })), "{bad:?}");
    }
}

#[test]
fn a_witness_signs_only_what_continues_what_it_saw() {
    let log = Log::new(300, 300, 0);
    let forked = Log::new(300, 150, 1);
    let mut memory = Memory::default();
    let mut see = |update: Update| memory.cosign(&update, &ledger_key(), &witness_key(2), &*signer(2), noon());

    let signed = see(log.update(0, 100)).unwrap();
    let verified = signed.signed_by(&witness_key(2)).unwrap();
    assert_eq!(verified.at, Some(noon()));
    signed.verify(&ledger_key()).unwrap();
    // The same again is no harm; an older one is refused; so is a jump without a proof, or with another's.
    see(log.update(0, 100)).unwrap();
    assert!(matches!(see(log.update(0, 99)), Err(WitnessError::Older { size: 99, seen: 100 })));
    assert!(matches!(see(log.update(0, 200)), Err(WitnessError::ProofNeeded { seen: 100 })));
    assert!(matches!(see(log.update(99, 200)), Err(WitnessError::ProofNeeded { seen: 100 })));
    let text = log.update(100, 200).to_string();
    see(text.parse().unwrap()).unwrap();
    // The forked history has the same beginning, and another end: told with any proof that it can make.
    assert!(matches!(see(forked.update(200, 300)), Err(WitnessError::Fork { .. })));
    assert!(matches!(see(forked.update(0, 200)), Err(WitnessError::Fork { .. })));
    see(log.update(200, 300)).unwrap();

    assert_eq!(memory.to_string().parse::<Memory>().unwrap(), memory);
    assert_eq!(memory.of(&name(ORIGIN)).unwrap().size, 300);
    assert!("a 1".parse::<Memory>().is_err());
    // A checkpoint that the log's key did not sign teaches the witness nothing.
    let stranger = Checkpoint { origin: name(ORIGIN), ..log.head(300) };
    let key = VerifierKey::new(name(ORIGIN), KeyKind::Ledger, secret(9).verifying_key());
    let update = Update { old_size: 300, hashes: vec![], checkpoint: stranger.sign(&key, &*signer(9)).unwrap() };
    let error = memory.cosign(&update, &ledger_key(), &witness_key(2), &*signer(2), noon()).unwrap_err();
    assert!(matches!(error, WitnessError::Checkpoint(CheckpointError::NotSigned { .. })));
}

#[test]
fn a_policy_demands_its_quorum() {
    let mut checkpoint = Log::new(5, 5, 0).signed(5);
    let (w2, w3, w4) = (witness_key(2), witness_key(3), witness_key(4));
    let text = format!(
        "# who must have signed\nlog {}\n\nwitness vault {w2}\n\twitness  board {w3} https://example.com/\nwitness auditor {w4}\ngroup two 2 vault board\ngroup all-of-us all two auditor\nquorum all-of-us\n",
        ledger_key()
    );
    let policy: Policy = text.parse().unwrap();
    for (seed, key) in [(2, &w2), (4, &w4)] {
        checkpoint.add_signature(key, &*signer(seed), noon()).unwrap();
        assert!(matches!(policy.check(&checkpoint), Err(PolicyError::Quorum { .. })));
    }
    checkpoint.add_signature(&w3, &*signer(3), noon()).unwrap();
    assert_eq!(policy.check(&checkpoint).unwrap(), [("vault", noon()), ("board", noon()), ("auditor", noon())]);
    let merged = {
        let mut fresh = Log::new(5, 5, 0).signed(5);
        fresh.merge(&checkpoint).unwrap();
        assert!(fresh.merge(&Log::new(5, 4, 1).signed(5)).is_err());
        fresh
    };
    policy.check(&merged).unwrap();
    assert_eq!(
        format!("log {}\nquorum none", ledger_key()).parse::<Policy>().unwrap().check(&checkpoint).unwrap().len(),
        0
    );
    // A later cosignature of the same witness takes the earlier one's place.
    let before = checkpoint.signatures().len();
    checkpoint.add_signature(&w3, &*signer(3), Timestamp::parse_lenient("2026-03-02").unwrap()).unwrap();
    assert_eq!(checkpoint.signatures().len(), before);
    // A false signature of a known key fails the whole, however many others hold.
    let text = checkpoint.to_string();
    let line = text.lines().find(|line| line.contains("witness.example/3")).unwrap();
    let mut false_line = line.to_owned();
    let last = false_line.len() - 10;
    let flipped = if &false_line[last..=last] == "A" { "B" } else { "A" };
    false_line.replace_range(last..=last, flipped);
    let changed: SignedCheckpoint = text.replace(line, &false_line).parse().unwrap();
    assert!(matches!(policy.check(&changed), Err(PolicyError::FalseSignature { .. })));

    let log = ledger_key();
    for (bad, why) in [
        (String::new(), "quorum"),
        ("quorum none\nquorum none".into(), "more than one"),
        ("quorum nobody".into(), "not defined"),
        (format!("log {w2}\nquorum none"), "witness's key"),
        (format!("witness a {log}\nquorum none"), "log's key"),
        (format!("log {log}\nlog {log}\nquorum none"), "twice"),
        (format!("witness a {w2}\nwitness b {w2}\nquorum none"), "twice"),
        (format!("witness none {w2}\nquorum none"), "taken"),
        (format!("witness a {w2}\ngroup a any a\nquorum none"), "taken"),
        (format!("witness a {w2}\ngroup g 2 a\nquorum g"), "1 to 1"),
        (format!("witness a {w2}\ngroup g 0 a\nquorum g"), "1 to 1"),
        (format!("witness a {w2}\ngroup g any a a\nquorum g"), "in a group"),
        ("group g any\nquorum g".into(), "1 to 0"),
        ("group g any a\nquorum g".into(), "not defined"),
        ("trust me\nquorum none".into(), "does not begin"),
        ("quorum none\r\n".into(), "control"),
    ] {
        let error = bad.parse::<Policy>().unwrap_err().to_string();
        assert!(error.contains(why), "{bad}: {error}");
    }
}
