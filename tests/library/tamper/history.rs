//! The history that is tampered with: events of every type, a rotated key, heads, a witness, raw blocks, and an archive.

use std::path::PathBuf;
use std::sync::Arc;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use cim_keys::app::archive::{self, Since};
use cim_keys::app::verify::{self, ArchiveDemands};
use cim_keys::events::*;
use cim_keys::ids::{CorrelationId, EventId};
use cim_keys::ipld_support::{ContentAddressedEvent, EventBlock, cid_of_blob};
use cim_keys::keys::pair::SoftwareKey;
use cim_keys::ledger::Entity;
use cim_keys::log::{Checkpoint, KeyKind, KeyName, Policy, SignedCheckpoint, VerifierKey};
use cim_keys::store::{Demands, Extent, FollowedEvent, Mirror, Store, StoreOptions};
use cim_keys::text::{Name, PublicKey};
use cim_keys::time::Timestamp;
use cim_keys::verify::Report;
use cim_keys_testkit::samples;
use ed25519_dalek::SigningKey;
use ipld_core::ipld::Ipld;
use rusqlite::Connection;
use rusqlite::types::Value;
use sha2::{Digest as _, Sha256};

/// The tables whose content is evidence. `meta` is, but for what this machine alone knows; the outbox's are what is remembered
/// of a stream, which itself is asked before it is relied on.
pub(crate) const TABLES: [&str; 9] =
    ["log", "node", "blob", "entity", "name", "reference", "mark", "checkpoint", "meta"];

/// The entries of `meta` that are.
pub(crate) const EVIDENCE: &str = "key IN ('ledger', 'name', 'public_key', 'checkpoints')";

pub(crate) struct History {
    folder: tempfile::TempDir,
    /// `ledger.db` as it was written.
    pub(crate) database: Vec<u8>,
    /// The whole archive.
    pub(crate) archive: Vec<u8>,
    /// The events, with their blocks.
    pub(crate) events: Vec<ContentAddressedEvent<KeyEvent>>,
    /// All that the ledger says.
    pub(crate) content: Vec<String>,
    /// The key that signs now.
    pub(crate) key: VerifierKey,
    pub(crate) policy: Policy,
    /// The newest head, with the witness's signature.
    pub(crate) newest: SignedCheckpoint,
}

/// A key that is made here, from a name.
pub(crate) fn secret(name: &str) -> SigningKey {
    SigningKey::from_bytes(&Sha256::digest(name).into())
}

/// What signs with it.
pub(crate) fn signer(key: &SigningKey) -> Arc<SoftwareKey> {
    SoftwareKey::new(key.clone().into())
}

fn public(key: &SigningKey) -> PublicKey {
    const ED25519: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    let der = [&ED25519[..], key.verifying_key().as_bytes()].concat();
    PublicKey::new(&BASE64_STANDARD.encode(der)).unwrap()
}

fn now() -> Timestamp {
    "2026-03-01T00:00:00.000000Z".parse().unwrap()
}

impl History {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (secret("the first key"), secret("the second key"));
        let ledger_name = Name::new("Tampered").unwrap();
        let key_of = |key: &SigningKey| VerifierKey::of_ledger(&ledger_name, &public(&first), &public(key)).unwrap();
        let (first_key, key) = (key_of(&first), key_of(&second));
        let blobs: Vec<Vec<u8>> = (0..3).map(|n| format!("[[person]]\nname = \"Person {n}\"\n").into_bytes()).collect();
        let (events, rotated) = events(&ledger_name, &public(&first), &public(&second), &blobs);

        let options = StoreOptions::new(folder.path().join("made.db"), folder.path().join("tokens"));
        let mut all: Vec<FollowedEvent> = events.iter().cloned().map(followed).collect();
        let rest = all.split_off(1);
        let mirror = Mirror::create(options, all.remove(0), &first_key).unwrap();
        mirror.record(2, rest, blobs).unwrap();
        let store = mirror.store();
        let end = events.len() as u64;
        let witness_secret = secret("a witness");
        let witness = VerifierKey::new(
            KeyName::new("vault.example/witness").unwrap(),
            KeyKind::Witness,
            witness_secret.verifying_key(),
        );
        let mut newest = None;
        for size in [rotated / 2, rotated - 1, rotated, end - 7, end] {
            let (secret, key) = if size < rotated { (&first, &first_key) } else { (&second, &key) };
            let head = Checkpoint { origin: key.name().clone(), size, root: store.root(Some(size)).unwrap().1 };
            let mut signed = head.sign(key, &*signer(secret)).unwrap();
            if size == end {
                signed.add_signature(&witness, &*signer(&witness_secret), now()).unwrap();
            }
            mirror.keep_checkpoints(std::slice::from_ref(&signed)).unwrap();
            newest = Some(signed);
        }
        let policy = format!("log {key}\nwitness vault {witness}\nquorum vault\n").parse().unwrap();
        let mut archive = Vec::new();
        archive::export(store, Since::Position(0), &mut archive, &mut |_, _| {}).unwrap();
        let copy = folder.path().join("copy.db");
        store.copy_to(&copy).unwrap();
        let connection = Connection::open(&copy).unwrap();
        connection
            .execute_batch(
                "INSERT INTO outbox_cursor VALUES ('acme', 'EVENTS', '2026-01-31', 40, 44, 'ledger');
                 DELETE FROM meta WHERE key = 'mirror';
                 VACUUM;",
            )
            .unwrap();
        let content = content(&connection).unwrap();
        drop(connection);
        let database = std::fs::read(copy).unwrap();
        Self { folder, database, archive, events, content, key, policy, newest: newest.unwrap() }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("ledger.db")
    }

    /// Puts the ledger back as it was, and opens it to be tampered with.
    pub(crate) fn tamper(&self) -> Connection {
        std::fs::write(self.path(), &self.database).unwrap();
        let connection = Connection::open(self.path()).unwrap();
        connection.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;").unwrap();
        connection
    }

    /// Verifies what lies there now.
    pub(crate) fn verify(&self) -> Result<Report, String> {
        if !self.path().exists() {
            std::fs::write(self.path(), &self.database).unwrap();
        }
        let demands = Demands { extent: Extent::Deep, against: None, policy: Some(&self.policy) };
        self.verify_against(&demands)
    }

    pub(crate) fn verify_against(&self, demands: &Demands<'_>) -> Result<Report, String> {
        let options = StoreOptions::new(self.path(), self.folder.path().join("tokens"));
        match Store::open_read_only(options) {
            Ok(store) => Ok(store.verify_against(demands, &mut |_, _| {})),
            Err(error) => match verify::unreadable(error) {
                Ok(verified) => Ok(verified.report),
                Err(error) => Err(error.to_string()),
            },
        }
    }

    /// Opens what lies there now.
    pub(crate) fn open(&self) -> Store {
        Store::open_read_only(StoreOptions::new(self.path(), self.folder.path().join("tokens"))).unwrap()
    }

    pub(crate) fn verify_archive(&self, bytes: &[u8]) -> (Report, bool) {
        let demands = ArchiveDemands { key: Some(&self.key), policy: Some(&self.policy), ..ArchiveDemands::default() };
        let (report, verified) = verify::archive_from(bytes, &demands, &mut |_, _| {});
        (report, verified.is_some())
    }
}

fn followed(event: ContentAddressedEvent<KeyEvent>) -> FollowedEvent {
    let aggregate = event.event.aggregate().map_or("thing", |aggregate| aggregate.as_str()).parse().unwrap();
    FollowedEvent { cid: event.cid, aggregate, block: EventBlock::parse(event.into_block()).unwrap() }
}

fn events(
    name: &Name,
    first: &PublicKey,
    second: &PublicKey,
    blobs: &[Vec<u8>],
) -> (Vec<ContentAddressedEvent<KeyEvent>>, u64) {
    let mut samples = samples::data().into_iter();
    let created = samples.find_map(|data| match data {
        EventData::LedgerCreated(created) => Some(created),
        _ => None,
    });
    let created = LedgerCreated { name: name.clone(), public_key: first.clone(), ..created.unwrap() };
    let ledger_id = created.ledger_id;
    let mut data: Vec<EventData> = vec![created.into()];
    data.extend(samples::numbered(6).map(|event| event.data));
    data.extend(samples::data().into_iter().filter(|data| {
        !matches!(data, EventData::LedgerCreated(_) | EventData::LedgerKeyRotated(_) | EventData::ManifestApplied(_))
    }));
    for blob in blobs {
        let name = Name::new("acme.toml").unwrap();
        data.insert(10, ManifestApplied { manifest: Link::new(cid_of_blob(blob)).unwrap(), name }.into());
    }
    let unknown = |n: u64| UnknownEvent {
        event_type: "ThingHappened".into(),
        schema: 1,
        data: Ipld::Map([("n".to_owned(), Ipld::Integer(n.into()))].into()),
    };
    data.extend((0..3).map(|n| EventData::Unknown(unknown(n))));
    let rotated = data.len() as u64 / 2;
    data.insert(
        rotated as usize - 1,
        LedgerKeyRotated {
            ledger_id,
            public_key: second.clone(),
            previous_public_key: first.clone(),
            reason: "Agreed in the review of January.".parse().unwrap(),
        }
        .into(),
    );
    let mut events: Vec<ContentAddressedEvent<KeyEvent>> = Vec::new();
    for (n, data) in data.into_iter().enumerate() {
        let mut event = samples::event(n as u64, data);
        let cause = events.last().filter(|_| n % 3 != 0).map(|last| Link::new(last.cid).unwrap());
        event.causes = cause.into_iter().collect();
        events.push(ContentAddressedEvent::new(event).unwrap());
    }
    (events, rotated)
}

/// An event again, with something else in it: a time of its own, and whatever more.
pub(crate) fn rewritten(event: &ContentAddressedEvent<KeyEvent>, n: u64) -> ContentAddressedEvent<KeyEvent> {
    let mut event = event.event.clone();
    event.actor = format!("service:intruder-{n}").parse().unwrap();
    ContentAddressedEvent::new(event).unwrap()
}

/// An event that was never recorded, after all others.
pub(crate) fn invented(n: u64) -> ContentAddressedEvent<KeyEvent> {
    let mut event = samples::event(5_000 + n, samples::data().remove(0));
    event.causes.clear();
    event.id = EventId::from_uuid(*event.id.as_uuid());
    event.correlation_id = CorrelationId::from_uuid(*event.correlation_id.as_uuid());
    ContentAddressedEvent::new(event).unwrap()
}

/// All that a ledger says, row by row; what is only remembered on this machine is left out.
pub(crate) fn content(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut lines = Vec::new();
    let mut objects = connection.prepare("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY 1, 2")?;
    let mut rows = objects.query([])?;
    while let Some(row) = rows.next()? {
        let values: [Value; 4] = [row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?];
        lines.push(format!("{values:?}"));
    }
    for table in TABLES {
        let sql = match table {
            "meta" => format!("SELECT key, value FROM meta WHERE {EVIDENCE} ORDER BY 1"),
            // Their number is where they are kept, and nothing that is said.
            "blob" => "SELECT cid, bytes FROM blob ORDER BY 1".to_owned(),
            _ => format!("SELECT * FROM {table} NOT INDEXED"),
        };
        let mut statement = connection.prepare(&sql)?;
        let columns = statement.column_count();
        let mut rows = statement.query([])?;
        let mut of_table = Vec::new();
        while let Some(row) = rows.next()? {
            let values = (0..columns).map(|column| row.get::<_, Value>(column)).collect::<Result<Vec<_>, _>>()?;
            of_table.push(match &values[..] {
                // An entity is what its text means: white space and order are not.
                [kind, id, Value::Text(body)] if table == "entity" => {
                    let entity = serde_json::from_str::<Entity>(body).map(|entity| format!("{entity:?}"));
                    format!("{table} {kind:?} {id:?} {}", entity.unwrap_or_else(|_| body.clone()))
                }
                // A head is its text and the signatures of keys that somebody knows: others are to be ignored.
                [size, Value::Text(note)] if table == "checkpoint" => format!("{table} {size:?} {}", known(note)),
                values => format!("{table} {values:?}"),
            });
        }
        of_table.sort();
        lines.extend(of_table);
    }
    Ok(lines)
}

fn known(note: &str) -> String {
    let Ok(signed) = note.parse::<SignedCheckpoint>() else { return note.to_owned() };
    let (ledger, witness) = (["the first key", "the second key"], "a witness");
    let origin = &signed.checkpoint().origin;
    let mut keys: Vec<VerifierKey> = Vec::new();
    for name in ledger {
        keys.push(VerifierKey::new(origin.clone(), KeyKind::Ledger, secret(name).verifying_key()));
    }
    let vault = KeyName::new("vault.example/witness").unwrap();
    keys.push(VerifierKey::new(vault, KeyKind::Witness, secret(witness).verifying_key()));
    let of_known = signed.signatures().iter().filter(|one| keys.iter().any(|key| key.is_named_by(one)));
    let lines: String = of_known.map(ToString::to_string).collect();
    format!("{:?} {lines}", signed.checkpoint())
}
