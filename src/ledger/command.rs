//! Commands: what somebody wants to be so. And the events that a decision leads to.

use cid::Cid;

use crate::events::{
    CustodyRecipientAdded, CustodyRecipientRemoved, CustodyRekeyed, EventAttested, EventData, JwtClaimsCreated,
    JwtSigned, KeyGenerated, KeyImported, LedgerCreated, LedgerHandedOver, LedgerKeyRotated, LedgerLinked,
    LocationClosed, LocationCreated, LocationUpdated, ManifestApplied, NKeyGenerated, NatsAccountCreated,
    NatsAccountDeleted, NatsAccountPushed, NatsAccountUpdated, NatsOperatorCreated, NatsOperatorDeleted,
    NatsOperatorUpdated, NatsSigningKeyGenerated, NatsSigningKeyRetired, NatsUserCreated, NatsUserRevoked,
    NatsUserUpdated, OrganizationCreated, OrganizationUpdated, OrganizationalUnitCreated, OrganizationalUnitDissolved,
    OrganizationalUnitUpdated, PersonCreated, PersonDeactivated, PersonReactivated, PersonUpdated, PolicyCreated,
    PolicyUpdated, PolicyWithdrawn, RelationshipEnded, RelationshipEstablished, RevocationReason, RoleAssigned,
    RoleCreated, RoleRetired, RoleUpdated, SignaturesRequired,
};
use crate::ids::{KeyId, RoleAssignmentId};
use crate::text::{Note, Recipient};
use crate::time::Timestamp;

/// One thing to be done. Identifiers of what is new are minted by whoever commands, so that one command can refer to
/// what an earlier one makes. Commands that make or change something carry the event that is to be recorded; the others
/// carry what the event can't be made from without looking.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
#[allow(clippy::large_enum_variant)] // commands are held in small numbers
pub enum Command {
    /// Makes the ledger; the first of all.
    CreateLedger(LedgerCreated),
    /// Makes another ledger known.
    LinkLedger(LedgerLinked),
    /// Gives this ledger a new key.
    RotateLedgerKey {
        /// The new key.
        rotated: LedgerKeyRotated,
        /// The last event under the old key: the new one goes on from there.
        head: Option<Cid>,
    },
    /// Moves the right to write.
    HandOverLedger(LedgerHandedOver),
    /// Remembers the declarative file that was applied.
    RecordManifest(ManifestApplied),

    /// Makes an organisation.
    CreateOrganization(OrganizationCreated),
    /// Replaces an organisation's attributes.
    UpdateOrganization(OrganizationUpdated),

    /// Makes a unit.
    CreateUnit(OrganizationalUnitCreated),
    /// Replaces a unit's attributes.
    UpdateUnit(OrganizationalUnitUpdated),
    /// Dissolves a unit that nobody is in any more.
    DissolveUnit(OrganizationalUnitDissolved),

    /// Records a location.
    CreateLocation(LocationCreated),
    /// Replaces a location's attributes.
    UpdateLocation(LocationUpdated),
    /// Closes a location that nobody is at any more.
    CloseLocation(LocationClosed),

    /// Records a person.
    CreatePerson(PersonCreated),
    /// Replaces a person's attributes.
    UpdatePerson(PersonUpdated),
    /// Suspends a person, whose role assignments end.
    DeactivatePerson(PersonDeactivated),
    /// Brings a person back, without the roles of before.
    ReactivatePerson(PersonReactivated),

    /// Defines a role.
    CreateRole(RoleCreated),
    /// Replaces a role's definition.
    UpdateRole(RoleUpdated),
    /// Retires a role, whose assignments end.
    RetireRole(RoleRetired),
    /// Gives a person a role.
    AssignRole(RoleAssigned),
    /// Takes a role away.
    WithdrawRole {
        /// The assignment that shall end.
        assignment_id: RoleAssignmentId,
        /// Why.
        reason: Note,
    },

    /// Lays a policy down.
    CreatePolicy(PolicyCreated),
    /// Replaces a policy.
    UpdatePolicy(PolicyUpdated),
    /// Withdraws a policy.
    WithdrawPolicy(PolicyWithdrawn),

    /// Relates two parties.
    EstablishRelationship(RelationshipEstablished),
    /// Ends a relationship.
    EndRelationship(RelationshipEnded),

    /// Records a key whose private half is sealed in custody.
    GenerateKey(KeyGenerated),
    /// Records a key that was made elsewhere.
    ImportKey(KeyImported),
    /// Revokes a key.
    RevokeKey {
        /// The key.
        key_id: KeyId,
        /// Why, in the terms of RFC 5280.
        reason: RevocationReason,
        /// Why, in words.
        note: Option<Note>,
        /// Since when it is suspected to be in wrong hands.
        invalid_since: Option<Timestamp>,
    },
    /// Replaces a key by a new one of the same purpose, which may take its name.
    RotateKey {
        /// The key that is to be replaced.
        key_id: KeyId,
        /// The key that replaces it.
        successor: KeyGenerated,
        /// Until when both are good; at once when absent.
        retire_at: Option<Timestamp>,
    },
    /// Records that a private key leaves custody.
    ExportKey {
        /// The key.
        key_id: KeyId,
        /// To whom it is sealed; absent when it leaves unencrypted.
        recipient: Option<Recipient>,
        /// Why.
        reason: Note,
    },

    /// Does something about NATS identities.
    Nats(NatsCommand),

    /// Adds a recipient to a custody compartment.
    AddRecipient(CustodyRecipientAdded),
    /// Records a signature over an event.
    Attest {
        /// The signature.
        attestation: EventAttested,
        /// When it is recorded.
        at: Timestamp,
    },
    /// Records the signature of the ledger's former key over the event that gives the ledger a new one.
    VouchForLedgerKey(EventAttested),
    /// Demands signatures for types of events, or for none any more.
    RequireSignatures(SignaturesRequired),

    /// Removes a recipient from a custody compartment.
    RemoveRecipient(CustodyRecipientRemoved),
    /// Records that a compartment was sealed anew.
    RecordRekey(CustodyRekeyed),
}

/// What can be done about NATS identities. As with every command, identifiers are minted by the caller.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
#[allow(clippy::large_enum_variant)] // commands are held in small numbers
pub enum NatsCommand {
    /// Records an nkey whose seed is sealed in custody.
    AddKey(NKeyGenerated),
    /// Makes an operator.
    CreateOperator(NatsOperatorCreated),
    /// Replaces an operator's attributes.
    UpdateOperator(NatsOperatorUpdated),
    /// Gives an operator up whose accounts are deleted, all but the system account.
    DeleteOperator(NatsOperatorDeleted),
    /// Makes an account.
    CreateAccount(NatsAccountCreated),
    /// Replaces an account's attributes.
    UpdateAccount(NatsAccountUpdated),
    /// Deletes an account whose users are all revoked; the system account only once its operator is given up.
    DeleteAccount(NatsAccountDeleted),
    /// Records that servers hold an account's token.
    RecordPush(NatsAccountPushed),
    /// Makes a user.
    CreateUser(NatsUserCreated),
    /// Replaces a user's attributes: its name, its key, its expiry.
    UpdateUser(NatsUserUpdated),
    /// Cuts a user off.
    RevokeUser(NatsUserRevoked),
    /// Gives an operator or account a signing key.
    AddSigningKey(NatsSigningKeyGenerated),
    /// Takes a signing key out of use.
    RetireSigningKey(NatsSigningKeyRetired),
    /// Says that a recorded key takes over from another, which stays good for a while.
    ReplaceKey {
        /// The key that is replaced.
        key_id: KeyId,
        /// The key that takes over.
        successor_id: KeyId,
        /// Until when both are good.
        retire_at: Timestamp,
    },
    /// Records a token that an account gives out and that is the token of no identity here: an activation, or that of a
    /// user who keeps the key and is known by nothing else.
    HandOut {
        /// What it says; it is about the account that gives it.
        claims: JwtClaimsCreated,
        /// Who signed, and the text as a block.
        signed: JwtSigned,
    },
    /// Records the signed request that makes servers forget an account that is deleted.
    RecordDeletion {
        /// What it says; it is about the account.
        claims: JwtClaimsCreated,
        /// Who signed, and the text as a block.
        signed: JwtSigned,
    },
    /// Records a token: what it says, and that it is signed.
    IssueToken {
        /// What it says.
        claims: JwtClaimsCreated,
        /// Who signed, and the text as a block.
        signed: JwtSigned,
    },
}

/// An event that is to be recorded: what happened and why, still without identifier, time and actor.
#[derive(Debug, Clone, PartialEq)]
pub struct EventDraft {
    /// What happens.
    pub data: EventData,
    /// The events that it follows from.
    pub causes: Vec<Cause>,
}

/// One event that another follows from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// An event that is recorded.
    Recorded(Cid),
    /// An earlier draft of the same decision, by its index.
    Earlier(usize),
}
