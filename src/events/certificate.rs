//! Facts about an X.509 certificate: the aggregate `certificate`.

use serde::{Deserialize, Serialize};

use super::common::{CertificateKind, CertificatePurpose, Link, RevocationReason, Set, Validity};
use crate::ids::{CertificateId, KeyId};
use crate::text::{DistinguishedName, DnsName, EmailAddress, Hex};
use crate::time::Timestamp;

/// A certificate was asked for: what it shall say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateGenerated {
    /// The certificate.
    pub certificate_id: CertificateId,
    /// The key that it certifies.
    pub key_id: KeyId,
    /// Root, intermediate or leaf.
    pub kind: CertificateKind,
    /// Whom it names.
    pub subject: DistinguishedName,
    /// The host names that it is good for.
    pub dns_names: Set<DnsName>,
    /// The addresses that it is good for.
    pub emails: Set<EmailAddress>,
    /// What it is good for.
    pub purposes: Set<CertificatePurpose>,
    /// When it is good.
    pub validity: Validity,
}

/// A certificate was signed by its issuer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateSigned {
    /// The certificate.
    pub certificate_id: CertificateId,
    /// The issuer's certificate; its own for a root.
    pub issuer_id: CertificateId,
    /// The key that signed.
    pub signing_key_id: KeyId,
    /// The serial number.
    pub serial: Hex,
    /// SHA-256 over the DER.
    pub fingerprint: Hex,
    /// The DER, as a raw block.
    pub certificate: Link,
    /// When it is good.
    pub validity: Validity,
}

/// A certificate must no longer be relied on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateRevoked {
    /// The certificate.
    pub certificate_id: CertificateId,
    /// Its issuer.
    pub issuer_id: CertificateId,
    /// The serial number.
    pub serial: Hex,
    /// Why, in the terms of RFC 5280.
    pub reason: RevocationReason,
    /// Since when its key is suspected to be in wrong hands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invalid_since: Option<Timestamp>,
}

/// An issuer published what it revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateRevocationListIssued {
    /// The issuer.
    pub issuer_id: CertificateId,
    /// The CRL number.
    pub number: u64,
    /// How many certificates it lists.
    pub entries: u64,
    /// This update and next update.
    pub validity: Validity,
    /// The DER, as a raw block.
    pub list: Link,
}
