//! One sample event of every type: for tests, documents, benches and fuzzing.
//!
//! They are fixed to the last byte: ids, times and names never come from a clock or a generator. Their content identifiers
//! are pinned by `tests/library/golden_cids.rs`.

#![allow(clippy::expect_used)] // the samples are constants, and each is decoded by a test

use std::fmt::Debug;
use std::str::FromStr;

use cim_keys::events::*;
use cim_keys::ids::{CorrelationId, EventId};
use cim_keys::text::PublicKey;
use cim_keys::time::Timestamp;

fn uuid(n: u64) -> String {
    format!("01890a5d-ac96-774b-8000-{n:012x}")
}

fn id<T: FromStr<Err: Debug>>(n: u64) -> T {
    uuid(n).parse().expect("a sample id parses")
}

fn text<T: FromStr<Err: Debug>>(text: &str) -> T {
    text.parse().expect("a sample text parses")
}

fn party<T: FromStr<Err: Debug>>(kind: &str, n: u64) -> T {
    text(&format!("{kind}:{}", uuid(n)))
}

fn set<T: FromStr<Err: Debug> + Ord>(texts: &[&str]) -> Set<T> {
    texts.iter().map(|t| text(t)).collect()
}

fn at(rfc3339: &str) -> Timestamp {
    text(rfc3339)
}

fn validity() -> Validity {
    Validity::new(Some(at("2026-01-31T09:30:00.000000Z")), Some(at("2028-01-31T09:30:00.000000Z")))
        .expect("it begins first")
}

fn digest_link(codec: u64, n: u8) -> Link {
    let hash = cid::multihash::Multihash::<64>::wrap(Link::SHA2_256, &[n; 32]).expect("32 bytes fit");
    Link::new(cid::Cid::new_v1(codec, hash)).expect("it is in the profile")
}

fn link(n: u8) -> Link {
    digest_link(Link::DAG_CBOR, n)
}

fn raw(n: u8) -> Link {
    digest_link(Link::RAW, n)
}

/// A text of the right shape: 56 characters after the prefix's alphabet. No key stands behind it.
fn nkey(prefix: char) -> PublicKey {
    text(&format!("{prefix}{}", "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".repeat(2)[..55].to_owned()))
}

/// base64 of an Ed25519 SubjectPublicKeyInfo over 32 like bytes.
fn spki(n: u8) -> PublicKey {
    const TAIL: [&str; 3] = [
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=",
        "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=",
    ];
    text(&format!("MCowBQYDK2VwAyEA{}", TAIL[usize::from(n) % TAIL.len()]))
}

/// The data of one event of every type that this release knows, in the order of [`EventData::KNOWN`].
#[must_use]
pub fn data() -> Vec<EventData> {
    vec![
        OrganizationCreated {
            organization_id: id(1),
            name: text("Acme"),
            domain: Some(text("acme.example")),
            description: Some(text("What it is, in a line.")),
        }
        .into(),
        OrganizationUpdated {
            organization_id: id(1),
            name: text("Acme AG"),
            domain: Some(text("acme.example")),
            description: Some(text("What it is, in a line.")),
        }
        .into(),
        OrganizationalUnitCreated {
            unit_id: id(17),
            organization_id: id(1),
            parent_id: Some(id(18)),
            name: text("Platform"),
            description: Some(text("What it is, in a line.")),
        }
        .into(),
        OrganizationalUnitUpdated {
            unit_id: id(17),
            organization_id: id(1),
            parent_id: Some(id(18)),
            name: text("Platform Engineering"),
            description: Some(text("What it is, in a line.")),
        }
        .into(),
        OrganizationalUnitDissolved { unit_id: id(17), reason: text("Agreed in the review of January.") }.into(),
        LocationCreated {
            location_id: id(49),
            organization_id: id(1),
            parent_id: Some(id(50)),
            name: text("Zürich"),
            kind: text("site"),
            address: Some(text("Hardstrasse 1\n8005 Zürich")),
            description: Some(text("What it is, in a line.")),
        }
        .into(),
        LocationUpdated {
            location_id: id(49),
            organization_id: id(1),
            parent_id: Some(id(50)),
            name: text("Zürich West"),
            kind: text("site"),
            address: Some(text("Hardstrasse 1\n8005 Zürich")),
            description: Some(text("What it is, in a line.")),
        }
        .into(),
        LocationClosed { location_id: id(49), reason: text("Agreed in the review of January.") }.into(),
        PersonCreated {
            person_id: id(33),
            organization_id: id(1),
            unit_id: Some(id(17)),
            location_id: Some(id(49)),
            name: text("Zoë Kim"),
            email: Some(text("zoe@acme.example")),
            title: Some(text("Platform engineer")),
        }
        .into(),
        PersonUpdated {
            person_id: id(33),
            organization_id: id(1),
            unit_id: Some(id(17)),
            location_id: Some(id(49)),
            name: text("Zoë Kim-Baker"),
            email: Some(text("zoe@acme.example")),
            title: Some(text("Platform engineer")),
        }
        .into(),
        PersonDeactivated { person_id: id(33), reason: text("Agreed in the review of January.") }.into(),
        PersonReactivated { person_id: id(33), reason: text("Agreed in the review of January.") }.into(),
        RoleCreated {
            role_id: id(65),
            organization_id: id(1),
            name: text("Key officer"),
            description: Some(text("What it is, in a line.")),
            permissions: set(&["key.rotate", "nats.account.*"]),
            excludes: [id(66)].into_iter().collect(),
        }
        .into(),
        RoleUpdated {
            role_id: id(65),
            organization_id: id(1),
            name: text("Senior key officer"),
            description: Some(text("What it is, in a line.")),
            permissions: set(&["key.rotate", "nats.account.*"]),
            excludes: [id(66)].into_iter().collect(),
        }
        .into(),
        RoleRetired { role_id: id(65), reason: text("Agreed in the review of January.") }.into(),
        RoleAssigned {
            assignment_id: id(81),
            role_id: id(65),
            person_id: id(33),
            scope: Some(party("unit", 17)),
            validity: validity(),
        }
        .into(),
        RoleWithdrawn {
            assignment_id: id(81),
            role_id: id(65),
            person_id: id(33),
            reason: text("Agreed in the review of January."),
        }
        .into(),
        PolicyCreated {
            policy_id: id(97),
            organization_id: id(1),
            name: text("Key handling"),
            format: text("text"),
            document: text("No key leaves custody unsealed.\n"),
            validity: validity(),
        }
        .into(),
        PolicyUpdated {
            policy_id: id(97),
            organization_id: id(1),
            name: text("Key handling"),
            format: text("text"),
            document: text("No key leaves custody unsealed.\n"),
            validity: validity(),
        }
        .into(),
        PolicyWithdrawn { policy_id: id(97), reason: text("Agreed in the review of January.") }.into(),
        RelationshipEstablished {
            relationship_id: id(113),
            kind: text("delegates-to"),
            subject: party("person", 33),
            object: party("person", 34),
            permissions: set(&["key.rotate", "nats.account.*"]),
            validity: validity(),
            note: Some(text("See the minutes.")),
        }
        .into(),
        RelationshipEnded { relationship_id: id(113), reason: text("Agreed in the review of January.") }.into(),
        KeyGenerated {
            key_id: id(129),
            name: text("zoe act signing"),
            algorithm: text("ed25519"),
            encoding: text("spki"),
            public_key: spki(1),
            purpose: text("act-signing"),
            owner: party("person", 33),
            compartment: text("issuing"),
            validity: validity(),
            location_id: Some(id(49)),
        }
        .into(),
        KeyImported {
            key_id: id(129),
            name: text("zoe legacy"),
            algorithm: text("ed25519"),
            encoding: text("spki"),
            public_key: spki(1),
            purpose: text("act-signing"),
            owner: party("person", 33),
            compartment: Some(text("issuing")),
            validity: validity(),
            origin: text("Brought from the former vault."),
            was_plaintext: false,
        }
        .into(),
        KeyRevoked {
            key_id: id(129),
            public_key: spki(1),
            reason: text("key-compromise"),
            note: Some(text("See the minutes.")),
            invalid_since: Some(at("2027-01-31T00:00:00.000000Z")),
        }
        .into(),
        KeyRotated {
            key_id: id(129),
            public_key: spki(1),
            successor_id: id(130),
            retire_at: Some(at("2027-01-31T00:00:00.000000Z")),
        }
        .into(),
        KeyExported {
            key_id: id(129),
            public_key: spki(1),
            recipient: Some(text("age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj")),
            reason: text("Agreed in the review of January."),
        }
        .into(),
        CertificateGenerated {
            certificate_id: id(145),
            key_id: id(129),
            kind: text("leaf"),
            subject: text("CN=n1.acme.example,O=Acme"),
            dns_names: set(&["n1.acme.example", "n2.acme.example"]),
            emails: set(&["zoe@acme.example"]),
            purposes: set(&["server-auth", "client-auth"]),
            validity: validity(),
        }
        .into(),
        CertificateSigned {
            certificate_id: id(145),
            issuer_id: id(146),
            signing_key_id: id(129),
            serial: text("0f"),
            fingerprint: text("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"),
            certificate: raw(1),
            validity: validity(),
        }
        .into(),
        CertificateRevoked {
            certificate_id: id(145),
            issuer_id: id(146),
            serial: text("0f"),
            reason: text("key-compromise"),
            invalid_since: Some(at("2027-01-31T00:00:00.000000Z")),
        }
        .into(),
        CertificateRevocationListIssued {
            issuer_id: id(146),
            number: 42,
            entries: 42,
            validity: validity(),
            list: raw(1),
        }
        .into(),
        YubiKeyProvisioned {
            serial: 13_724_119,
            firmware: text("5-7-1"),
            owner: party("person", 33),
            location_id: Some(id(49)),
        }
        .into(),
        PinConfigured { serial: 13_724_119, application: text("piv"), retries: 3 }.into(),
        PukConfigured { serial: 13_724_119, retries: 3 }.into(),
        ManagementKeyRotated { serial: 13_724_119, algorithm: text("aes-256"), protected: true }.into(),
        SlotProvisioned {
            serial: 13_724_119,
            slot: text("9a"),
            key_id: id(129),
            certificate_id: Some(id(145)),
            pin_policy: text("once"),
            touch_policy: text("cached"),
        }
        .into(),
        YubiKeyRetired { serial: 13_724_119, reason: text("Agreed in the review of January.") }.into(),
        NatsOperatorCreated {
            operator_id: id(161),
            name: text("ACME"),
            key_id: id(129),
            public_key: nkey('O'),
            system_account_id: Some(id(178)),
            account_server_url: Some(text("https://accounts.acme.example/jwt/v1")),
            service_urls: set(&["nats://n1.acme.example:4222"]),
            strict_signing_key_usage: true,
        }
        .into(),
        NatsOperatorUpdated {
            operator_id: id(161),
            name: text("ACME"),
            key_id: id(129),
            public_key: nkey('O'),
            system_account_id: Some(id(178)),
            account_server_url: Some(text("https://accounts.acme.example/jwt/v1")),
            service_urls: set(&["nats://n1.acme.example:4222"]),
            strict_signing_key_usage: true,
        }
        .into(),
        NatsOperatorDeleted {
            operator_id: id(161),
            public_key: nkey('O'),
            reason: text("Agreed in the review of January."),
        }
        .into(),
        NatsAccountCreated {
            account_id: id(177),
            operator_id: id(161),
            name: text("ORDERS"),
            key_id: id(129),
            public_key: nkey('A'),
            description: Some(text("What it is, in a line.")),
            system: false,
        }
        .into(),
        NatsAccountUpdated {
            account_id: id(177),
            operator_id: id(161),
            name: text("ORDERS"),
            key_id: id(129),
            public_key: nkey('A'),
            description: Some(text("What it is, in a line.")),
            system: false,
        }
        .into(),
        NatsAccountPushed {
            account_id: id(177),
            public_key: nkey('A'),
            jti: text("BSGDQ2TQKB3RSVTDPZLZJ2DAZGBXKB3WNFRXEQLJNZTGK4TFPBQQ"),
            jwt: raw(1),
            servers: set(&["n1", "n2", "n3"]),
        }
        .into(),
        NatsAccountDeleted {
            account_id: id(177),
            public_key: nkey('A'),
            reason: text("Agreed in the review of January."),
        }
        .into(),
        NatsUserCreated {
            user_id: id(193),
            account_id: id(177),
            name: text("bob"),
            key_id: id(129),
            public_key: nkey('U'),
            owner: Some(party("person", 33)),
            bearer: false,
            expires_at: Some(at("2027-01-31T00:00:00.000000Z")),
        }
        .into(),
        NatsUserUpdated {
            user_id: id(193),
            account_id: id(177),
            name: text("bob"),
            key_id: id(129),
            public_key: nkey('U'),
            owner: Some(party("person", 33)),
            bearer: false,
            expires_at: Some(at("2027-01-31T00:00:00.000000Z")),
        }
        .into(),
        NatsUserRevoked {
            user_id: id(193),
            account_id: id(177),
            public_key: nkey('U'),
            revoked_at: at("2027-01-31T00:00:00.000000Z"),
            reason: text("Agreed in the review of January."),
        }
        .into(),
        NatsSigningKeyGenerated {
            key_id: id(129),
            holder: party("account", 177),
            public_key: nkey('A'),
            role: Some(text("device")),
            compartment: Some(text("issuing")),
        }
        .into(),
        NKeyGenerated {
            key_id: id(129),
            kind: text("user"),
            public_key: nkey('U'),
            compartment: text("issuing"),
            owner: party("person", 33),
        }
        .into(),
        NatsSigningKeyRetired {
            key_id: id(129),
            holder: party("account", 177),
            public_key: nkey('A'),
            successor_id: Some(id(130)),
            reason: text("Agreed in the review of January."),
        }
        .into(),
        JwtClaimsCreated {
            jti: text("BSGDQ2TQKB3RSVTDPZLZJ2DAZGBXKB3WNFRXEQLJNZTGK4TFPBQQ"),
            kind: text("user"),
            about: party("user", 193),
            subject: nkey('U'),
            issuer: nkey('O'),
            issued_at: 1_769_851_800,
            expires_at: Some(1_801_387_800),
            claims: text("{\"sub\":\"U\"}"),
        }
        .into(),
        JwtSigned {
            jti: text("BSGDQ2TQKB3RSVTDPZLZJ2DAZGBXKB3WNFRXEQLJNZTGK4TFPBQQ"),
            kind: text("user"),
            about: party("user", 193),
            subject: nkey('U'),
            issuer: nkey('O'),
            issued_at: 1_769_851_800,
            signing_key_id: id(129),
            token: raw(1),
        }
        .into(),
        LedgerCreated { ledger_id: id(209), name: text("acme"), public_key: spki(1) }.into(),
        LedgerLinked { ledger_id: id(209), name: text("acme-ca"), public_key: spki(1), relation: text("child") }.into(),
        LedgerKeyRotated {
            ledger_id: id(209),
            public_key: spki(1),
            previous_public_key: spki(2),
            reason: text("Agreed in the review of January."),
        }
        .into(),
        LedgerHandedOver { ledger_id: id(209), reason: text("Agreed in the review of January.") }.into(),
        ManifestApplied { manifest: raw(1), name: text("acme.toml") }.into(),
        CustodyRecipientAdded {
            compartment: text("issuing"),
            recipient: text("age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj"),
            holder: Some(party("person", 34)),
        }
        .into(),
        CustodyRecipientRemoved {
            compartment: text("issuing"),
            recipient: text("age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj"),
            reason: text("Agreed in the review of January."),
        }
        .into(),
        CustodyRekeyed {
            compartment: text("issuing"),
            recipient: text("age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj"),
            keys: 42,
            reason: text("Agreed in the review of January."),
        }
        .into(),
        EventAttested {
            event: link(1),
            signer: party("person", 33),
            key_id: id(129),
            algorithm: text("ed25519"),
            signature: Bytes::new(vec![7; 64]).expect("64 bytes fit"),
        }
        .into(),
        SignaturesRequired {
            event_types: [text("KeyRevoked"), text("PersonDeactivated")].into_iter().collect(),
            reason: text("Agreed in the review of January."),
        }
        .into(),
    ]
}

/// Types that came after the others were pinned (`tests/library/golden_cids.rs`): they are numbered behind them, in the
/// order of the aggregates, so that no sample that is pinned changes. A later one in front of these would: then number
/// them by name.
const LATER: &[&str] = &["NatsOperatorDeleted"];

/// One event of every type, each caused by the one before it in name only: links are fixed too.
#[must_use]
pub fn events() -> Vec<KeyEvent> {
    let all = data();
    let (mut first, mut later) = (0, (all.len() - LATER.len()) as u64);
    let mut numbered: Vec<_> = all
        .into_iter()
        .map(|data| {
            let next = if LATER.contains(&data.event_type()) { &mut later } else { &mut first };
            *next += 1;
            event(*next - 1, data)
        })
        .collect();
    numbered.sort_by_key(|event| event.occurred_at);
    numbered
}

/// An event around any data, numbered: equal numbers give equal ids and times.
#[must_use]
pub fn event(n: u64, data: EventData) -> KeyEvent {
    let causes = if n.is_multiple_of(3) { Vec::new() } else { vec![link((n % 250) as u8)] };
    let start = at("2026-01-31T09:30:00.000000Z").unix_micros();
    KeyEvent {
        id: EventId::from_uuid(*id::<EventId>(0x10_0000_0000 + n).as_uuid()),
        data,
        occurred_at: Timestamp::from_unix_micros(start + n as i64 * 1_000_003).expect("a sample time is in range"),
        actor: party("person", 33),
        correlation_id: id::<CorrelationId>(0x20_0000_0000),
        causes,
    }
}

/// The event of about 550 bytes that figures are quoted for: a generated key.
#[must_use]
pub fn typical() -> KeyEvent {
    events().into_iter().find(|e| e.event_type() == "KeyGenerated").expect("the samples hold every type")
}

/// `count` distinct events, in order of time: people who are recorded, one after the other.
pub fn numbered(count: u64) -> impl Iterator<Item = KeyEvent> {
    numbered_from(0, count)
}

/// The same, so many of them from a number on.
pub fn numbered_from(first: u64, count: u64) -> impl Iterator<Item = KeyEvent> {
    (first..first + count).map(|n| {
        let data = PersonCreated {
            person_id: id(0x30_0000_0000 + n),
            organization_id: id(1),
            unit_id: None,
            location_id: None,
            name: text(&format!("Person {n}")),
            email: Some(text(&format!("person{n}@acme.example"))),
            title: None,
        };
        event(n, data.into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_sample_of_every_type() {
        let types: Vec<_> = data().iter().map(|d| (d.aggregate(), d.event_type().to_owned(), d.schema())).collect();
        let known: Vec<_> = EventData::KNOWN.iter().map(|(a, t, s)| (Some(*a), (*t).to_owned(), *s)).collect();
        assert_eq!(types, known);
    }
}
