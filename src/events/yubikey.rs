//! Facts about a YubiKey: the aggregate `yubikey`.

use serde::{Deserialize, Serialize};

use super::common::{ManagementKeyAlgorithm, Party, PinPolicy, PivSlot, TouchPolicy, YubiKeyApplication};
use crate::ids::{CertificateId, KeyId, LocationId};
use crate::text::{Label, Note};

/// A YubiKey was taken into use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct YubiKeyProvisioned {
    /// Its serial number.
    pub serial: u32,
    /// Its firmware, with hyphens for dots: 5-7-1.
    pub firmware: Label,
    /// Who carries it.
    pub owner: Party,
    /// Where it is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location_id: Option<LocationId>,
}

/// A YubiKey's PIN was set; the PIN itself is recorded nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinConfigured {
    /// Its serial number.
    pub serial: u32,
    /// Which application's PIN.
    pub application: YubiKeyApplication,
    /// How many wrong tries lock it.
    pub retries: u8,
}

/// A YubiKey's PUK was set; the PUK itself is recorded nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PukConfigured {
    /// Its serial number.
    pub serial: u32,
    /// How many wrong tries lock it.
    pub retries: u8,
}

/// A YubiKey's PIV management key was replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManagementKeyRotated {
    /// Its serial number.
    pub serial: u32,
    /// Of the new key.
    pub algorithm: ManagementKeyAlgorithm,
    /// Whether it is kept on the device behind the PIN.
    pub protected: bool,
}

/// A PIV slot holds a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotProvisioned {
    /// Its serial number.
    pub serial: u32,
    /// The slot.
    pub slot: PivSlot,
    /// The key.
    pub key_id: KeyId,
    /// The certificate in the slot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_id: Option<CertificateId>,
    /// When the PIN is asked for.
    pub pin_policy: PinPolicy,
    /// When a touch is asked for.
    pub touch_policy: TouchPolicy,
}

/// A YubiKey went out of use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct YubiKeyRetired {
    /// Its serial number.
    pub serial: u32,
    /// Why: lost, broken, returned.
    pub reason: Note,
}
