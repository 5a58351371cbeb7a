//! The facts that an event states as a whole: it makes something, or replaces all its attributes.

use super::facts::{Facts, KeyFacts, LedgerFacts, RecipientFacts};
use super::nats::{AccountFacts, OperatorFacts, UserFacts};
use crate::events::{
    EventData, KeyAlgorithm, KeyEncoding, KeyPurpose, LocationCreated, LocationUpdated, NKeyGenerated,
    NatsAccountCreated, NatsAccountUpdated, NatsOperatorCreated, NatsOperatorUpdated, NatsUserCreated, NatsUserUpdated,
    NkeyKind, OrganizationCreated, OrganizationUpdated, OrganizationalUnitCreated, OrganizationalUnitUpdated,
    PersonCreated, PersonUpdated, PolicyCreated, PolicyUpdated, RoleCreated, RoleUpdated, Validity,
};
use crate::text::Name;

/// The facts that an event brings as a whole: those that make something, and those that replace all its
/// attributes. [`carry`] adds what an update leaves as it is.
pub(super) fn facts_of(data: &EventData) -> Option<Facts> {
    Some(match data {
        EventData::LedgerCreated(event) => Facts::Ledger(LedgerFacts {
            ledger_id: event.ledger_id,
            name: event.name.clone(),
            public_key: event.public_key.clone(),
            relation: None,
        }),
        EventData::LedgerLinked(event) => Facts::Ledger(LedgerFacts {
            ledger_id: event.ledger_id,
            name: event.name.clone(),
            public_key: event.public_key.clone(),
            relation: Some(event.relation),
        }),
        EventData::ManifestApplied(event) => Facts::Manifest(event.into()),
        EventData::OrganizationCreated(event) => Facts::Organization(event.clone()),
        EventData::OrganizationUpdated(event) => Facts::Organization(event.clone().into()),
        EventData::OrganizationalUnitCreated(event) => Facts::Unit(event.clone()),
        EventData::OrganizationalUnitUpdated(event) => Facts::Unit(event.clone().into()),
        EventData::LocationCreated(event) => Facts::Location(event.clone()),
        EventData::LocationUpdated(event) => Facts::Location(event.clone().into()),
        EventData::PersonCreated(event) => Facts::Person(event.clone()),
        EventData::PersonUpdated(event) => Facts::Person(event.clone().into()),
        EventData::RoleCreated(event) => Facts::Role(event.clone()),
        EventData::RoleUpdated(event) => Facts::Role(event.clone().into()),
        EventData::RoleAssigned(event) => Facts::Assignment(event.clone()),
        EventData::PolicyCreated(event) => Facts::Policy(event.clone()),
        EventData::PolicyUpdated(event) => Facts::Policy(event.clone().into()),
        EventData::RelationshipEstablished(event) => Facts::Relationship(event.clone()),
        EventData::KeyGenerated(event) => Facts::Key(KeyFacts {
            key_id: event.key_id,
            name: event.name.clone(),
            algorithm: event.algorithm,
            encoding: event.encoding,
            public_key: event.public_key.clone(),
            purpose: event.purpose,
            owner: event.owner.clone(),
            compartment: Some(event.compartment.clone()),
            validity: event.validity,
            location_id: event.location_id,
            origin: None,
            was_plaintext: false,
            exports: 0,
            successor_id: None,
            retire_at: None,
            revocation: None,
        }),
        EventData::KeyImported(event) => Facts::Key(KeyFacts {
            key_id: event.key_id,
            name: event.name.clone(),
            algorithm: event.algorithm,
            encoding: event.encoding,
            public_key: event.public_key.clone(),
            purpose: event.purpose,
            owner: event.owner.clone(),
            compartment: event.compartment.clone(),
            validity: event.validity,
            location_id: None,
            origin: Some(event.origin.clone()),
            was_plaintext: event.was_plaintext,
            exports: 0,
            successor_id: None,
            retire_at: None,
            revocation: None,
        }),
        EventData::CustodyRecipientAdded(event) => Facts::Recipient(RecipientFacts {
            compartment: event.compartment.clone(),
            recipient: event.recipient.clone(),
            holder: event.holder.clone(),
        }),
        EventData::SignaturesRequired(event) => Facts::SignatureRequirement(event.clone()),
        EventData::NKeyGenerated(event) => Facts::Key(nkey(event)?),
        EventData::NatsSigningKeyGenerated(event) => Facts::SigningKey(event.clone()),
        EventData::NatsOperatorCreated(event) => Facts::Operator(operator(event.clone())),
        EventData::NatsOperatorUpdated(event) => Facts::Operator(operator(event.clone().into())),
        EventData::NatsAccountCreated(event) => Facts::Account(account(event.clone())),
        EventData::NatsAccountUpdated(event) => Facts::Account(account(event.clone().into())),
        EventData::NatsUserCreated(event) => Facts::User(user(event.clone())),
        EventData::NatsUserUpdated(event) => Facts::User(user(event.clone().into())),
        _ => return None,
    })
}

fn operator(operator: NatsOperatorCreated) -> OperatorFacts {
    OperatorFacts { operator, token: None }
}

fn account(account: NatsAccountCreated) -> AccountFacts {
    AccountFacts { account, token: None, pushed: None, deletion: None }
}

fn user(user: NatsUserCreated) -> UserFacts {
    UserFacts { user, token: None, revoked_at: None }
}

/// An nkey is a key like others; people know it by its public half.
fn nkey(event: &NKeyGenerated) -> Option<KeyFacts> {
    let (algorithm, purpose) = match event.kind {
        NkeyKind::Operator => (KeyAlgorithm::Ed25519, KeyPurpose::NatsOperator),
        NkeyKind::Account => (KeyAlgorithm::Ed25519, KeyPurpose::NatsAccount),
        NkeyKind::User => (KeyAlgorithm::Ed25519, KeyPurpose::NatsUser),
        NkeyKind::Server | NkeyKind::Cluster => (KeyAlgorithm::Ed25519, KeyPurpose::NatsServer),
        NkeyKind::Curve => (KeyAlgorithm::X25519, KeyPurpose::NatsServer),
    };
    Some(KeyFacts {
        key_id: event.key_id,
        name: Name::new(event.public_key.as_str()).ok()?,
        algorithm,
        encoding: KeyEncoding::Nkey,
        public_key: event.public_key.clone(),
        purpose,
        owner: event.owner.clone(),
        compartment: Some(event.compartment.clone()),
        validity: Validity::ALWAYS,
        location_id: None,
        origin: None,
        was_plaintext: false,
        exports: 0,
        successor_id: None,
        retire_at: None,
        revocation: None,
    })
}

/// What an update does not speak of stays as it was: tokens, pushes.
pub(super) fn carry(facts: &mut Facts, before: &Facts) {
    match (facts, before) {
        (Facts::Operator(now), Facts::Operator(before)) => now.token.clone_from(&before.token),
        (Facts::Account(now), Facts::Account(before)) => {
            now.token.clone_from(&before.token);
            now.pushed.clone_from(&before.pushed);
            now.deletion.clone_from(&before.deletion);
        }
        (Facts::User(now), Facts::User(before)) => {
            now.token.clone_from(&before.token);
            now.revoked_at = before.revoked_at;
        }
        _ => {}
    }
}

/// Whether an event replaces the attributes of what is there, and does not make it.
pub(super) fn is_update(data: &EventData) -> bool {
    matches!(
        data,
        EventData::OrganizationUpdated(_)
            | EventData::OrganizationalUnitUpdated(_)
            | EventData::LocationUpdated(_)
            | EventData::PersonUpdated(_)
            | EventData::RoleUpdated(_)
            | EventData::PolicyUpdated(_)
            | EventData::NatsOperatorUpdated(_)
            | EventData::NatsAccountUpdated(_)
            | EventData::NatsUserUpdated(_)
    )
}

/// An update replaces all attributes, so that its facts are those of a creating event; with `<=>`, an update is made of
/// what is recorded as well.
macro_rules! same_facts {
    ($($updated:ident => $created:ident { $($field:ident),+ };)+) => {$(
        impl From<$updated> for $created {
            fn from(event: $updated) -> Self {
                let $updated { $($field),+ } = event;
                Self { $($field),+ }
            }
        }
    )+};
    ($($updated:ident <=> $created:ident { $($field:ident),+ };)+) => {$(
        same_facts! {
            $updated => $created { $($field),+ };
            $created => $updated { $($field),+ };
        }
    )+};
}

same_facts! {
    OrganizationUpdated => OrganizationCreated { organization_id, name, domain, description };
    OrganizationalUnitUpdated => OrganizationalUnitCreated { unit_id, organization_id, parent_id, name, description };
    LocationUpdated => LocationCreated { location_id, organization_id, parent_id, name, kind, address, description };
    PersonUpdated => PersonCreated { person_id, organization_id, unit_id, location_id, name, email, title };
    RoleUpdated => RoleCreated { role_id, organization_id, name, description, permissions, excludes };
    PolicyUpdated => PolicyCreated { policy_id, organization_id, name, format, document, validity };
}

same_facts! {
    NatsOperatorUpdated <=> NatsOperatorCreated {
        operator_id, name, key_id, public_key, system_account_id, account_server_url, service_urls, strict_signing_key_usage
    };
    NatsAccountUpdated <=> NatsAccountCreated { account_id, operator_id, name, key_id, public_key, description, system };
    NatsUserUpdated <=> NatsUserCreated { user_id, account_id, name, key_id, public_key, owner, bearer, expires_at };
}
