//! What goes out: a user's credentials, and the texts of tokens.

use std::collections::BTreeSet;

use cid::Cid;
use secrecy::{ExposeSecret as _, SecretString};

use super::error::NatsError;
use super::lookup;
use crate::act::Draft;
use crate::authority::keys::reference;
use crate::custody::{SecretBytes, seal_to};
use crate::keys::KeyError;
use crate::ledger::{AccountFacts, Command, Facts, Refusal, TokenFacts, UserFacts, View};
use crate::nats::creds::Creds;
use crate::store::{RestrictedBlocks, RestrictedError};
use crate::text::{Note, Recipient};

/// The text of a recorded token.
///
/// # Errors
/// When there is none, or its text is not kept here.
pub fn token(restricted: &RestrictedBlocks, what: &str, token: Option<&TokenFacts>) -> Result<String, NatsError> {
    let signed = token.and_then(|token| token.signed.as_ref()).ok_or_else(|| NatsError::NoToken(what.to_owned()))?;
    text(restricted, &signed.token)?.ok_or_else(|| NatsError::TokenNotHere(what.to_owned()))
}

/// The text of a recorded token, in an act.
pub(super) fn drafted_token(draft: &Draft<'_>, what: &str, token: Option<&TokenFacts>) -> Result<String, NatsError> {
    let signed = token.and_then(|token| token.signed.as_ref()).ok_or_else(|| NatsError::NoToken(what.to_owned()))?;
    let text = draft.text(&signed.token).map_err(KeyError::failed)?;
    text.ok_or_else(|| NatsError::TokenNotHere(what.to_owned()))
}

/// The text of a token by the content identifier of the text; `None` where it is not kept here.
///
/// # Errors
/// When the file of restricted blocks fails.
pub fn text(restricted: &RestrictedBlocks, token: &Cid) -> Result<Option<String>, RestrictedError> {
    Ok(restricted.get(token)?.and_then(|bytes| String::from_utf8(bytes).ok()))
}

/// A user's credentials, ready to be handed out once that is recorded.
pub struct HandedOut {
    /// The account.
    pub account: AccountFacts,
    /// The user.
    pub user: UserFacts,
    /// The credentials file, or that sealed to a recipient. A secret.
    pub content: SecretBytes,
}

/// Looks up users by what they were called; one that is named twice is one.
///
/// # Errors
/// When there is no such user, or it is revoked.
pub fn users(view: &dyn View, which: &[String]) -> Result<Vec<(AccountFacts, UserFacts)>, NatsError> {
    let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
    for text in which {
        let (account, user) = lookup::user(view, text)?;
        if view.get(user.user.user_id.into())?.is_some_and(|entity| !entity.is_active()) {
            return Err(NatsError::UserEnded(user.user.name.to_string()));
        }
        if seen.insert(user.user.user_id) {
            found.push((account, user));
        }
    }
    Ok(found)
}

/// Makes the credentials of users, plain or sealed to a recipient, and records that their keys leave custody.
///
/// # Errors
/// See [`NatsError`].
pub fn hand_out(draft: &mut Draft<'_>, which: &[String], to: Option<&Recipient>) -> Result<Vec<HandedOut>, NatsError> {
    let reason = Note::typed("credentials of the user were written")?;
    let mut made = Vec::new();
    for (account, user) in users(draft.view(), which)? {
        let text = creds(draft, &user)?.to_text();
        let plain = SecretBytes::new(Box::new(text.as_bytes().to_vec()));
        let content = match to {
            None => plain,
            Some(recipient) => seal_to(recipient, &plain)?,
        };
        let (key_id, recipient, reason) = (user.user.key_id, to.cloned(), reason.clone());
        draft.command(Command::ExportKey { key_id, recipient, reason })?;
        made.push(HandedOut { account, user, content });
    }
    Ok(made)
}

/// A user's credentials: its token, and its seed out of custody.
fn creds(draft: &mut Draft<'_>, user: &UserFacts) -> Result<Creds, NatsError> {
    let name = user.user.name.as_str();
    let token = drafted_token(draft, name, user.token.as_ref())?;
    let Some(Facts::Key(key)) = draft.view().get(user.user.key_id.into())?.map(|entity| entity.facts) else {
        return Err(Refusal::Unknown(user.user.key_id.into()).into());
    };
    let secret = draft.export_key(&reference(&key))?;
    let seed = std::str::from_utf8(secret.expose_secret()).unwrap_or_default().trim();
    Ok(Creds { token, seed: SecretString::from(seed.to_owned()) })
}
