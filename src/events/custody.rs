//! Facts about custody of private keys: the aggregate `custody`.

use serde::{Deserialize, Serialize};

use super::common::Party;
use crate::text::{Label, Note, Recipient};

/// What is sealed in a compartment from here on opens for one more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustodyRecipientAdded {
    /// The compartment.
    pub compartment: Label,
    /// The public age recipient.
    pub recipient: Recipient,
    /// Who can open it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<Party>,
}

/// A recipient opens nothing that is sealed from here on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustodyRecipientRemoved {
    /// The compartment.
    pub compartment: Label,
    /// The public age recipient.
    pub recipient: Recipient,
    /// Why.
    pub reason: Note,
}

/// A compartment's secrets were sealed anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustodyRekeyed {
    /// The compartment.
    pub compartment: Label,
    /// The recipient that replaces the former.
    pub recipient: Recipient,
    /// How many secrets were sealed anew.
    pub keys: u64,
    /// Why.
    pub reason: Note,
}
