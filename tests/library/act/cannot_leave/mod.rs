//! Every use case that signs or makes keys, with a key ring that never releases a key. Only what hands a key out says that it
//! cannot leave.

mod apply;
mod keys;
mod nats;
mod recover;

use std::collections::BTreeMap;

use cim_keys::act::Texts as _;
use cim_keys::events::{EventData, JwtKind};
use cim_keys::ipld_support::cid_of_blob;
use cim_keys::nats::claims::*;
use cim_keys::nats::jwt;

use crate::act::support::*;

/// Checks all tokens of a ledger against the events, and counts them by kind. The texts of tokens that were handed out and
/// not kept are given.
#[track_caller]
fn tokens(ledger: &Ledger, handed_out: &[String]) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    let mut claimed = BTreeMap::new();
    for recorded in ledger.store.iter(1) {
        let signed = match recorded.unwrap().event().unwrap().data {
            EventData::JwtClaimsCreated(created) => {
                claimed.insert(created.jti.to_string(), created);
                continue;
            }
            EventData::JwtSigned(signed) => signed,
            _ => continue,
        };
        let cid = signed.token.cid();
        let kept = ledger.texts.get(cid).unwrap();
        let of_here = handed_out.iter().find(|text| cid_of_blob(text.as_bytes()) == *cid).cloned();
        let text = kept.or(of_here).unwrap_or_else(|| panic!("the text of {signed:?}"));
        assert_eq!(cid_of_blob(text.as_bytes()), *cid);
        let (kind, registered) = match signed.kind {
            JwtKind::Operator => ("operator", jwt::decode::<Operator>(&text).unwrap().registered),
            JwtKind::Account => ("account", jwt::decode::<Account>(&text).unwrap().registered),
            JwtKind::User => ("user", jwt::decode::<User>(&text).unwrap().registered),
            JwtKind::Activation => ("activation", jwt::decode::<Activation>(&text).unwrap().registered),
            JwtKind::Generic => ("generic", jwt::decode::<GenericBody>(&text).unwrap().registered),
        };
        *counts.entry(kind).or_default() += 1;
        let created = &claimed[signed.jti.as_str()];
        assert_eq!(registered.jti, signed.jti.to_string());
        assert_eq!(
            (registered.sub.as_str(), registered.iss.as_str()),
            (signed.subject.as_str(), signed.issuer.as_str())
        );
        assert_eq!(u64::try_from(registered.iat).unwrap(), signed.issued_at);
        assert_eq!((&created.subject, &created.issuer, created.kind), (&signed.subject, &signed.issuer, signed.kind));
    }
    counts
}
