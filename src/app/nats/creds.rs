//! What goes out: a user's credentials, and the texts of tokens.

use cid::Cid;
use secrecy::{ExposeSecret as _, SecretString};

use super::error::NatsError;
use crate::app::keys::reference;
use crate::keys::KeyRing;
use crate::ledger::{Facts, Refusal, TokenFacts, UserFacts, View};
use crate::nats::creds::Creds;
use crate::store::{RestrictedBlocks, RestrictedError};

/// The text of a recorded token.
///
/// # Errors
/// When there is none, or its text is not kept here.
pub fn token(restricted: &RestrictedBlocks, what: &str, token: Option<&TokenFacts>) -> Result<String, NatsError> {
    let signed = token.and_then(|token| token.signed.as_ref()).ok_or_else(|| NatsError::NoToken(what.to_owned()))?;
    text(restricted, &signed.token)?.ok_or_else(|| NatsError::TokenNotHere(what.to_owned()))
}

/// The text of a token by the content identifier of the text; `None` where it is not kept here.
///
/// # Errors
/// When the file of restricted blocks fails.
pub fn text(restricted: &RestrictedBlocks, token: &Cid) -> Result<Option<String>, RestrictedError> {
    Ok(restricted.get(token)?.and_then(|bytes| String::from_utf8(bytes).ok()))
}

/// A user's credentials: its token, and its seed out of custody.
///
/// # Errors
/// See [`NatsError`].
pub fn creds(
    view: &dyn View,
    restricted: &RestrictedBlocks,
    keys: &mut dyn KeyRing,
    user: &UserFacts,
) -> Result<Creds, NatsError> {
    let text = token(restricted, user.user.name.as_str(), user.token.as_ref())?;
    let Some(Facts::Key(key)) = view.get(user.user.key_id.into())?.map(|entity| entity.facts) else {
        return Err(Refusal::Unknown(user.user.key_id.into()).into());
    };
    let secret = keys.export(&reference(&key))?;
    let seed = std::str::from_utf8(secret.expose_secret()).unwrap_or_default().trim();
    Ok(Creds { token: text, seed: SecretString::from(seed.to_owned()) })
}
