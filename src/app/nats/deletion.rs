//! The signed request that makes servers delete accounts: a credential, made when it is used and kept nowhere.

use secrecy::SecretString;

use super::lookup;
use super::work::{KeyAccess, NatsError};
use crate::events::NatsHolder;
use crate::ids::KeyId;
use crate::ledger::{Entity, EntityRef, Facts, Kind, Refusal, View};
use crate::nats::claims::{Claims, GenericBody, Registered};
use crate::nats::jwt;
use crate::text::PublicKey;

/// A request to delete these accounts, signed by the operator's newest signing key, or by its identity key where it has
/// none. Servers take it from any key of the operator that they trust, at any time: whoever has it can use it again.
///
/// # Errors
/// When there is no operator, or the key is not to be had.
pub fn request(
    view: &dyn View,
    keys: &mut dyn KeyAccess,
    now: u64,
    accounts: &[PublicKey],
) -> Result<SecretString, NatsError> {
    let operator = lookup::operator(view)?.operator;
    let holder = NatsHolder::Operator(operator.operator_id);
    let signing = lookup::members(view, EntityRef::holder(&holder), Kind::SigningKey)?;
    let mut newest = signing.into_iter().filter(Entity::is_active).filter_map(|entity| match entity.facts {
        Facts::SigningKey(key) => Some((key.key_id, key.public_key)),
        _ => None,
    });
    let (key_id, public_key): (KeyId, PublicKey) = newest.next_back().unwrap_or((operator.key_id, operator.public_key));
    let Some(Facts::Key(facts)) = view.get(key_id.into())?.map(|entity| entity.facts) else {
        return Err(Refusal::Unknown(key_id.into()).into());
    };
    let key = keys.private_key(&facts)?;
    let iat = i64::try_from(now).unwrap_or(i64::MAX);
    let registered = Registered { sub: public_key.to_string(), iat, ..Registered::default() };
    let mut nats = GenericBody::default();
    let accounts = accounts.iter().map(|key| key.as_str().into()).collect();
    nats.fields.insert("accounts".to_owned(), serde_json::Value::Array(accounts));
    let token = jwt::sign(&mut Claims { registered, nats }, public_key.as_str(), |bytes| key.sign(bytes))?;
    Ok(SecretString::from(token))
}
