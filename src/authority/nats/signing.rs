//! Tokens in the signing step of an act: described for events, signed on all processors, their texts kept.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use cid::Cid;

use super::draft::{Made, NatsDraft};
use super::error::NatsError;
use crate::act::{Later, SignedCommand, Signing, SigningError};
use crate::events::{EventData, JwtClaimsCreated, JwtKind, JwtSigned, Link, NatsParty};
use crate::ids::{KeyId, NatsUserId};
use crate::ipld_support::cid_of_blob;
use crate::keys::{KeyRef, Signer};
use crate::ledger::{AccountFacts, Command, NatsCommand};
use crate::nats::claims::{Account, Activation, Body, Claims, Import, ImportToken, TokenReference, User};
use crate::nats::jwt::{self, SignError, Unsigned};
use crate::parallel::in_parts;
use crate::text::{Document, Label, PublicKey};

impl NatsDraft<'_, '_> {
    /// Everything of a token but its signature.
    pub(super) fn unsigned<B: Body>(
        &self,
        about: NatsParty,
        kind: JwtKind,
        mut claims: Claims<B>,
        signer: &Made,
        purpose: Purpose,
    ) -> Result<UnsignedToken, NatsError> {
        let unsigned = jwt::prepare(&mut claims, signer.public_key.as_str())?;
        let placeholder = cid_of_blob(unsigned.bytes());
        let (claims, signed) = described(about, kind, &claims, signer, placeholder)?;
        Ok(UnsignedToken { key: self.reference(signer)?, unsigned, claims, signed, purpose, text: Later::default() })
    }

    /// Leaves tokens to be signed in the signing step, with all processors: a fleet is many.
    pub(super) fn sign_tokens(&mut self, tokens: Vec<UnsignedToken>) -> Result<(), NatsError> {
        let placeholders: Vec<_> =
            tokens.iter().map(|it| it.purpose.command(it.claims.clone(), it.signed.clone())).collect();
        Ok(self.draft.sign_commands(placeholders, move |signing| {
            let mut signers: BTreeMap<&KeyId, Arc<dyn Signer>> = BTreeMap::new();
            for token in &tokens {
                if !signers.contains_key(&token.key.key_id) {
                    signers.insert(&token.key.key_id, signing.signer(&token.key)?);
                }
            }
            let parts: Vec<_> = tokens.iter().map(|token| (&token.unsigned, &*signers[&token.key.key_id])).collect();
            let sign = |(unsigned, signer): &(&Unsigned, &dyn Signer)| {
                signer.sign(unsigned.bytes()).map(|signature| unsigned.signed(&signature))
            };
            let parts = in_parts(&parts, 16, |part| part.iter().map(sign).collect::<Result<Vec<_>, _>>());
            let texts = parts.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().flatten();
            let done: Vec<_> = texts.collect();
            drop(signers);
            tokens.into_iter().zip(done).map(|(token, text)| token.signed(text, signing)).collect()
        })?)
    }

    pub(super) fn sign_users(&mut self, users: Vec<(NatsUserId, Claims<User>, Made)>) -> Result<(), NatsError> {
        let mut tokens = Vec::with_capacity(users.len());
        for (id, claims, signer) in users {
            tokens.push(self.unsigned(NatsParty::User(id), JwtKind::User, claims, &signer, Purpose::Issue)?);
        }
        self.sign_tokens(tokens)
    }

    /// Leaves an account's token to be signed. The texts of activations, which servers need in it, are put back for that.
    pub(super) fn sign_account(
        &mut self,
        facts: AccountFacts,
        claims: Claims<Account>,
        signer: &Made,
    ) -> Result<(), NatsError> {
        let about = NatsParty::Account(facts.account.account_id);
        if claims.nats.imports.iter().all(|import| !matches!(import.token, ImportToken::Reference(_))) {
            let token = self.unsigned(about, JwtKind::Account, claims, signer, Purpose::Issue)?;
            return self.sign_tokens(vec![token]);
        }
        let mut described_claims = claims.clone();
        jwt::identify(&mut described_claims, signer.public_key.as_str())?;
        let placeholder = cid_of_blob(described_claims.registered.jti.as_bytes());
        let (created, signed) = described(about.clone(), JwtKind::Account, &described_claims, signer, placeholder)?;
        let texts = Activations {
            given: self.activations.clone(),
            signed: Rc::clone(&self.signed_activations),
            facts: Box::new(facts),
        };
        let (key, signer, mut claims) = (self.reference(signer)?, signer.clone(), claims);
        Ok(self.draft.sign_commands([Purpose::Issue.command(created, signed)], move |signing| {
            texts.complete(&mut claims, signing)?;
            let content = |error: &dyn std::fmt::Display| SigningError::Content(error.to_string());
            let unsigned = jwt::prepare(&mut claims, signer.public_key.as_str()).map_err(|error| content(&error))?;
            let text = unsigned.signed(&signing.signer(&key)?.sign(unsigned.bytes())?);
            let (created, signed) = described(about, JwtKind::Account, &claims, &signer, cid_of_blob(text.as_bytes()))
                .map_err(|error| content(&error))?;
            signing.keep_text(text);
            Ok(vec![Purpose::Issue.signed_command(created, signed)])
        })?)
    }

    /// Leaves an activation to be signed. It is named in the importer's claims by what is recorded of it; its text, which the
    /// importer's token holds, is known when the act is signed.
    pub(super) fn sign_activation(
        &mut self,
        exporter: &AccountFacts,
        claims: Claims<Activation>,
        signer: &Made,
    ) -> Result<SignedActivation, NatsError> {
        let about = NatsParty::Account(exporter.account.account_id);
        let mut said = claims.clone();
        let token = self.unsigned(about, JwtKind::Activation, claims, signer, Purpose::HandOutAndKeep)?;
        jwt::identify(&mut said, signer.public_key.as_str())?;
        let (cid, text) = (*token.signed.token.cid(), token.text.clone());
        let placeholders = [token.purpose.command(token.claims.clone(), token.signed.clone())];
        let known = Rc::clone(&self.signed_activations);
        self.draft.sign_commands(placeholders, move |signing| {
            let text = token.unsigned.signed(&signing.signer(&token.key)?.sign(token.unsigned.bytes())?);
            known.borrow_mut().insert(cid, text.clone());
            Ok(vec![token.signed(text, signing)?])
        })?;
        let token = ImportToken::Reference(Box::new(TokenReference { cid, claims: Some(said) }));
        Ok(SignedActivation { token, text })
    }

    /// Leaves a token to be signed for a user who is no identity here. Its text is kept nowhere.
    pub(super) fn sign_for_a_while(
        &mut self,
        account: &AccountFacts,
        claims: Claims<User>,
        signer: &Made,
    ) -> Result<Later<String>, NatsError> {
        let about = NatsParty::Account(account.account.account_id);
        let token = self.unsigned(about, JwtKind::User, claims, signer, Purpose::HandOut)?;
        let text = token.text.clone();
        self.sign_tokens(vec![token])?;
        Ok(text)
    }

    /// Records a token that is signed already, and keeps its text and those inside it.
    pub(super) fn keep<B: Body>(
        &mut self,
        about: NatsParty,
        kind: JwtKind,
        claims: &Claims<B>,
        signer: &Made,
        token: String,
    ) -> Result<(), NatsError> {
        let (described, signed) = described(about, kind, claims, signer, cid_of_blob(token.as_bytes()))?;
        for text in claims.clone().nats.take_texts() {
            self.draft.keep_text(text);
        }
        self.run_any(Purpose::Issue.command(described, signed))?;
        self.draft.keep_text(token);
        Ok(())
    }
}

/// An activation of this act.
pub struct SignedActivation {
    /// As claims name it until it is signed.
    pub token: ImportToken,
    /// Its text, once the act is signed.
    pub text: Later<String>,
}

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// It is the token of an identity from now on.
    Issue,
    /// It is handed out, and its text is kept nowhere.
    HandOut,
    /// It is handed out, and its text is kept.
    HandOutAndKeep,
    /// It asks servers to delete an account.
    Delete,
}

impl Purpose {
    fn command(self, claims: JwtClaimsCreated, signed: JwtSigned) -> Command {
        Command::Nats(match self {
            Self::Issue => NatsCommand::IssueToken { claims, signed },
            Self::HandOut | Self::HandOutAndKeep => NatsCommand::HandOut { claims, signed },
            Self::Delete => NatsCommand::RecordDeletion { claims, signed },
        })
    }

    fn signed_command(self, claims: JwtClaimsCreated, signed: JwtSigned) -> SignedCommand {
        let data = vec![EventData::from(claims.clone()), EventData::from(signed.clone())];
        SignedCommand { command: self.command(claims, signed), data }
    }
}

/// A token that is yet to be signed.
pub(super) struct UnsignedToken {
    key: KeyRef,
    unsigned: Unsigned,
    claims: JwtClaimsCreated,
    /// With a placeholder for the text's content identifier.
    signed: JwtSigned,
    purpose: Purpose,
    text: Later<String>,
}

impl UnsignedToken {
    /// The token with its signature.
    fn signed(self, text: String, signing: &mut Signing<'_, '_>) -> Result<SignedCommand, SigningError> {
        let link = Link::new(cid_of_blob(text.as_bytes())).map_err(|error| SigningError::Content(error.to_string()))?;
        if self.purpose != Purpose::HandOut {
            signing.keep_text(text.clone());
        }
        if matches!(self.purpose, Purpose::HandOut | Purpose::HandOutAndKeep) {
            self.text.set(text);
        }
        Ok(self.purpose.signed_command(self.claims, JwtSigned { token: link, ..self.signed }))
    }
}

/// Where the texts of an account's activations are.
struct Activations {
    given: BTreeMap<Cid, String>,
    signed: Rc<RefCell<BTreeMap<Cid, String>>>,
    facts: Box<AccountFacts>,
}

impl Activations {
    /// Puts the texts back: those of this act, of the restricted blocks, or of the account's token before.
    fn complete(&self, claims: &mut Claims<Account>, signing: &Signing<'_, '_>) -> Result<(), SigningError> {
        let mut before: Option<Vec<Import>> = None;
        for import in &mut claims.nats.imports {
            let ImportToken::Reference(reference) = &import.token else { continue };
            let of_this_act = self.signed.borrow().get(&reference.cid).cloned();
            let mut text = match of_this_act.or_else(|| self.given.get(&reference.cid).cloned()) {
                Some(text) => Some(text),
                None => signing.text(&reference.cid)?,
            };
            if text.is_none() {
                if before.is_none() {
                    let signed = self.facts.token.as_ref().and_then(|token| token.signed.as_ref());
                    let token = signed.map(|signed| signing.text(&signed.token)).transpose()?.flatten();
                    let claims = token.and_then(|token| jwt::decode::<Account>(&token).ok());
                    before = Some(claims.map(|claims| claims.nats.imports).unwrap_or_default());
                }
                let same = |it: &Import| it.token.cid() == Some(reference.cid);
                text = before.iter().flatten().find(|it| same(it)).and_then(|it| match &it.token {
                    ImportToken::Text(text) => Some(text.clone()),
                    _ => None,
                });
            }
            let text = text.ok_or_else(|| {
                let (account, import) = (self.facts.account.name.to_string(), import.subject.clone());
                SigningError::Refused(Box::new(NatsError::ActivationNotHere { account, import }))
            })?;
            import.token = ImportToken::Text(text);
        }
        Ok(())
    }
}

/// A token as events describe it: what it says, and who signed. Texts of tokens inside it are no part of that.
fn described<B: Body>(
    about: NatsParty,
    kind: JwtKind,
    claims: &Claims<B>,
    signer: &Made,
    text: Cid,
) -> Result<(JwtClaimsCreated, JwtSigned), NatsError> {
    let link = Link::new(text).map_err(|e| NatsError::Usage(e.to_string()))?;
    let registered = &claims.registered;
    let jti = Label::new(&registered.jti)?;
    let (subject, issuer) = (PublicKey::new(&registered.sub)?, signer.public_key.clone());
    let issued_at = u64::try_from(registered.iat).unwrap_or_default();
    let expires_at = u64::try_from(registered.exp).ok().filter(|exp| *exp > 0);
    let mut claims = claims.clone();
    claims.nats.take_texts();
    let document = serde_json::to_string(&claims).map_err(SignError::from)?;
    let created = JwtClaimsCreated {
        jti: jti.clone(),
        kind,
        about: about.clone(),
        subject: subject.clone(),
        issuer: issuer.clone(),
        issued_at,
        expires_at,
        claims: Document::new(&document)?,
    };
    let signing_key_id = signer.key_id;
    let signed = JwtSigned { jti, kind, about, subject, issuer, issued_at, signing_key_id, token: link };
    Ok((created, signed))
}
