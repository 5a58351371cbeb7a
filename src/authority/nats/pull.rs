//! Pulling: the texts of account tokens from servers, for comparing and for recovery.

use std::collections::BTreeSet;

use cid::Cid;

use super::error::NatsError;
use super::servers::{Survey, Wanted};
use crate::adapters::nats_system::{SystemClient, SystemError, Wait};
use crate::ipld_support::cid_of_blob;
use crate::ledger::OperatorFacts;
use crate::nats::claims::{Account, Claims};
use crate::nats::jwt;
use crate::store::RestrictedBlocks;

/// A token that servers hold.
#[derive(Debug, Clone)]
pub struct PulledToken {
    /// The account's public key.
    pub public_key: String,
    /// What it says.
    pub claims: Claims<Account>,
    /// Its text.
    pub text: String,
    /// The content identifier of its text.
    pub cid: Cid,
}

/// Every different token that servers have stored or in force for an account, the newest first.
///
/// # Errors
/// When the user may not ask, or the connection is lost.
pub async fn pull(client: &SystemClient, survey: &Survey, public_key: &str) -> Result<Vec<PulledToken>, SystemError> {
    let full = survey.count(super::servers::ResolverKind::Full);
    let mut texts: BTreeSet<String> = BTreeSet::new();
    if full > 0 {
        texts.extend(client.lookup(public_key, Wait::Known(full)).await?.into_iter().flatten());
    }
    let infos = client.info(public_key, Wait::Known(survey.members.len())).await?;
    texts.extend(infos.into_iter().filter_map(|info| info.outcome.ok()).map(|info| info.jwt));
    let read = texts.into_iter().filter_map(|text| {
        let claims = jwt::decode::<Account>(&text).ok().filter(|claims| claims.registered.sub == public_key)?;
        Some(PulledToken { public_key: public_key.to_owned(), cid: cid_of_blob(text.as_bytes()), claims, text })
    });
    let mut tokens: Vec<PulledToken> = read.collect();
    tokens.sort_by_key(|token| std::cmp::Reverse((token.claims.registered.iat, token.cid.to_bytes())));
    Ok(tokens)
}

/// Keeps the text of the operator's token, where a server begins with the one that the ledger recorded and its text is not
/// kept here.
///
/// # Errors
/// When the file of restricted blocks fails.
pub fn adopt_operator(
    restricted: &mut RestrictedBlocks,
    survey: &Survey,
    operator: &OperatorFacts,
) -> Result<bool, NatsError> {
    let Some(signed) = operator.token.as_ref().and_then(|token| token.signed.as_ref()) else { return Ok(false) };
    let texts = survey.members.iter().flat_map(|member| &member.varz.operator_tokens);
    let Some(text) = texts.into_iter().find(|text| cid_of_blob(text.as_bytes()) == signed.token) else {
        return Ok(false);
    };
    if restricted.get(&signed.token)?.is_some() {
        return Ok(false);
    }
    restricted.put([text.as_bytes()])?;
    Ok(true)
}

/// Keeps the text of a token that the ledger recorded and whose text is not kept here. Any other token is left alone: the
/// ledger, and not a server, says which token is an account's.
///
/// # Errors
/// When the file of restricted blocks fails.
pub fn adopt(restricted: &mut RestrictedBlocks, wanted: &Wanted, token: &PulledToken) -> Result<bool, NatsError> {
    let recorded = wanted.token.signed.as_ref().is_some_and(|signed| signed.token == token.cid);
    if !recorded || restricted.get(&token.cid)?.is_some() {
        return Ok(false);
    }
    restricted.put([token.text.as_bytes()])?;
    Ok(true)
}
