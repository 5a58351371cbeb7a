//! Issuers: ledgers of their own that sign users of an account whose authority is elsewhere.
//!
//! An issuer knows operator and account by their public keys, and holds one secret that counts: a scoped signing key that was
//! made here and never left. Its authority put the public half into the account's token, with a role that says what its
//! users may do. So whoever takes an issuer over can make users of that role, until the authority retires the key, and
//! nothing else.

use super::draft::{Made, NatsDraft};
use super::error::NatsError;
use super::lookup;
use crate::act::Later;
use crate::advice::{Action, Advice, ErrorKind, Explained};
use crate::custody::ISSUING;
use crate::events::{
    KeyPurpose, NatsAccountCreated, NatsHolder, NatsOperatorCreated, NatsSigningKeyGenerated, NkeyKind, Set,
};
use crate::ids::{KeyId, NatsAccountId, NatsOperatorId};
use crate::ledger::{AccountFacts, Entity, Facts, KeyFacts, Kind, NatsCommand, View};
use crate::nats::check::{SignedBy, check_user};
use crate::nats::claims::{Claims, Registered, User};
use crate::nats::jwt::is_public_key;
use crate::text::{Label, Name, Note, PublicKey, visible};

/// The longest name of a user, in bytes.
pub const LONGEST_NAME: usize = 64;

/// An operator or account of elsewhere.
#[derive(Debug, Clone)]
pub struct Elsewhere {
    /// Its name.
    pub name: Name,
    /// The public half of its identity key.
    pub public_key: PublicKey,
}

/// What an issuer is made of.
#[derive(Debug, Clone)]
pub struct NewIssuer {
    /// The operator.
    pub operator: Elsewhere,
    /// Its account.
    pub account: Elsewhere,
    /// The role of the signing key.
    pub role: Name,
    /// Its compartment; `issuing` when absent.
    pub compartment: Option<Label>,
}

/// Makes the signing key of an issuer; its public half is what the authority is asked to take.
///
/// # Errors
/// See [`NatsError`].
pub fn add(draft: &mut NatsDraft<'_, '_>, new: &NewIssuer) -> Result<PublicKey, NatsError> {
    let operator_id = operator(draft, &new.operator)?;
    let account_id = account(draft, operator_id, &new.account)?;
    let compartment = new.compartment.clone().map_or_else(|| Label::new(ISSUING), Ok)?;
    let made = draft.make_key(NkeyKind::Account, compartment.as_str())?;
    draft.run(NatsCommand::AddSigningKey(NatsSigningKeyGenerated {
        key_id: made.key_id,
        holder: NatsHolder::Account(account_id),
        public_key: made.public_key.clone(),
        role: Some(new.role.clone()),
        compartment: Some(compartment),
    }))?;
    Ok(made.public_key)
}

/// The operator, known from before or from now on.
fn operator(draft: &mut NatsDraft<'_, '_>, new: &Elsewhere) -> Result<NatsOperatorId, NatsError> {
    match lookup::operator(draft.view()) {
        Ok(facts)
            if facts.operator.public_key == new.public_key && is_elsewhere(draft.view(), facts.operator.key_id)? =>
        {
            return Ok(facts.operator.operator_id);
        }
        Ok(facts) => {
            return Err(NatsError::act(
                format!(
                    "this ledger is of operator {} ({}), and an issuer for another one, or beside the operator's own keys, needs a ledger of its own",
                    visible(facts.operator.name.as_str()),
                    facts.operator.public_key
                ),
                Action::Init,
                "makes one",
            ));
        }
        Err(NatsError::NoOperator) => {}
        Err(error) => return Err(error),
    }
    let key = take(draft, new, NkeyKind::Operator, KeyPurpose::NatsOperator, 'O')?;
    let operator_id = NatsOperatorId::mint();
    draft.run(NatsCommand::CreateOperator(NatsOperatorCreated {
        operator_id,
        name: new.name.clone(),
        key_id: key.key_id,
        public_key: key.public_key,
        system_account_id: None,
        account_server_url: None,
        service_urls: Set::default(),
        strict_signing_key_usage: false,
    }))?;
    Ok(operator_id)
}

/// The account, known from before or from now on.
fn account(
    draft: &mut NatsDraft<'_, '_>,
    operator_id: NatsOperatorId,
    new: &Elsewhere,
) -> Result<NatsAccountId, NatsError> {
    if let Some(Facts::Account(there)) =
        draft.by_public_key(Kind::Account, new.public_key.as_str())?.map(|there| there.facts)
    {
        return Ok(there.account.account_id);
    }
    let key = take(draft, new, NkeyKind::Account, KeyPurpose::NatsAccount, 'A')?;
    let account_id = NatsAccountId::mint();
    draft.run(NatsCommand::CreateAccount(NatsAccountCreated {
        account_id,
        operator_id,
        name: new.name.clone(),
        key_id: key.key_id,
        public_key: key.public_key,
        description: None,
        system: false,
    }))?;
    Ok(account_id)
}

fn take(
    draft: &mut NatsDraft<'_, '_>,
    new: &Elsewhere,
    kind: NkeyKind,
    purpose: KeyPurpose,
    letter: char,
) -> Result<Made, NatsError> {
    if !is_public_key(new.public_key.as_str(), &[letter]) {
        let shown = visible(new.public_key.as_str());
        return Err(NatsError::Usage(format!("\"{shown}\" is no public key of an {kind} ({letter}…)")));
    }
    draft.take_key(
        KeyId::mint(),
        &new.public_key,
        kind,
        purpose,
        ISSUING,
        None,
        &Note::new("an identity of elsewhere")?,
    )
}

/// A signing key that an issuer signs with.
#[derive(Debug, Clone)]
pub struct Issuing {
    /// The account.
    pub account: AccountFacts,
    /// The role.
    pub role: Name,
    /// The key.
    pub key: NatsSigningKeyGenerated,
}

impl Issuing {
    /// `ACCOUNT/ROLE`, as people name it.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{}/{}", self.account.account.name, self.role)
    }
}

/// Why a ledger does not issue, or not what was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IssueError {
    /// It holds more than an issuer may.
    #[error("this ledger holds {0}: a process that reaches an agent of it could do more than make users of a role")]
    Authority(String),
    /// It has nothing to sign with.
    #[error("no scoped signing key that was made in this ledger, and never left it, is in compartment {0}")]
    NoKey(Label),
    /// There is no such role.
    #[error("this issuer has no role \"{}\", but {there}", visible(asked))]
    NoRole {
        /// What was asked for.
        asked: String,
        /// Those that are there.
        there: String,
    },
    /// It has several roles, and none was named.
    #[error("this issuer has several roles: {0}")]
    Several(String),
    /// The public key is no user's.
    #[error("\"{}\" is no public key of a user (U…)", visible(.0))]
    PublicKey(String),
    /// The name could mean something in a subject.
    #[error(
        "a user's name is 1 to {LONGEST_NAME} letters, digits, - or _ here, because a role's subjects can hold it: \"{}\" is none",
        visible(.0)
    )]
    Name(String),
    /// The lifetime is none, or too long.
    #[error("a user is good for 1 to {most} seconds here, and {asked} were asked for")]
    Lifetime {
        /// What was asked for.
        asked: u64,
        /// The most.
        most: u64,
    },
    /// The act failed.
    #[error(transparent)]
    Nats(#[from] NatsError),
}

impl Explained for IssueError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Authority(_)
            | Self::NoKey(_)
            | Self::NoRole { .. }
            | Self::Several(_)
            | Self::PublicKey(_)
            | Self::Name(_)
            | Self::Lifetime { .. } => ErrorKind::Refused,
            Self::Nats(error) => error.kind(),
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::Authority(_) => vec![
                Advice::Run(Action::Init, "makes a ledger of its own for the issuer"),
                Advice::Run(Action::AddIssuer, "makes its key there"),
            ],
            Self::NoKey(_) => vec![Advice::Run(Action::AddIssuer, "makes one")],
            Self::NoRole { .. } | Self::Several(_) => vec![Advice::Do("name a role that it has")],
            Self::Lifetime { .. } => {
                vec![Advice::Do("ask for less, or let the agent start with a higher --max-ttl")]
            }
            Self::PublicKey(_) | Self::Name(_) => Vec::new(),
            Self::Nats(error) => error.advice(),
        }
    }
}

/// The keys in a compartment that this ledger issues with. Refuses a ledger that holds anything of an authority.
///
/// # Errors
/// When it does, or when there is no such key.
pub fn keys(view: &dyn View, compartment: &Label) -> Result<Vec<Issuing>, IssueError> {
    let operator = lookup::operator(view)?;
    if !is_elsewhere(view, operator.operator.key_id)? {
        return Err(IssueError::Authority(format!("the identity key of operator {}", operator.operator.name)));
    }
    for key in
        lookup::members(view, operator.operator.operator_id.into(), Kind::SigningKey).map_err(IssueError::Nats)?
    {
        if let (true, Facts::SigningKey(key)) = (key.is_active(), &key.facts)
            && key.compartment.is_some()
        {
            return Err(IssueError::Authority(format!("a signing key of operator {}", operator.operator.name)));
        }
    }
    let mut found = Vec::new();
    for account in lookup::accounts(view, None)? {
        if !is_elsewhere(view, account.account.key_id)? {
            return Err(IssueError::Authority(format!("the identity key of account {}", account.account.name)));
        }
        for entity in lookup::members(view, account.account.account_id.into(), Kind::SigningKey)? {
            let (true, Facts::SigningKey(key)) = (Entity::is_active(&entity), entity.facts) else { continue };
            match key.role.clone() {
                None if key.compartment.is_some() => {
                    let what = format!("a signing key of account {} without a role", account.account.name);
                    return Err(IssueError::Authority(what));
                }
                Some(role) if key.compartment.as_ref() == Some(compartment) && was_born_here(view, key.key_id)? => {
                    found.push(Issuing { account: account.clone(), role, key });
                }
                _ => {}
            }
        }
    }
    if found.is_empty() { Err(IssueError::NoKey(compartment.clone())) } else { Ok(found) }
}

/// What is asked of an issuer.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The user's public key (`U…`). Its seed stays with whoever asks.
    pub public_key: String,
    /// For how many seconds.
    pub ttl_secs: u64,
    /// The user's name; its public key when absent.
    pub name: Option<String>,
    /// `ROLE` or `ACCOUNT/ROLE`; not needed where there is one.
    pub role: Option<String>,
}

/// What an issuer signed.
#[derive(Debug)]
pub struct Issued {
    /// The user's token, once the act is signed. A secret where the role's users are bearers.
    pub token: Later<String>,
    /// The key that signed, and for which account.
    pub by: Issuing,
    /// The user's name.
    pub name: String,
    /// Good until this second of the Unix epoch.
    pub expires_at: u64,
}

/// Signs a user's token, good for a while. Permissions are the role's: the token itself has none.
///
/// # Errors
/// See [`IssueError`].
pub fn issue(
    draft: &mut NatsDraft<'_, '_>,
    compartment: &Label,
    most_secs: u64,
    wanted: &Wanted,
) -> Result<Issued, IssueError> {
    if !is_public_key(&wanted.public_key, &['U']) {
        return Err(IssueError::PublicKey(wanted.public_key.clone()));
    }
    if wanted.ttl_secs == 0 || wanted.ttl_secs > most_secs {
        return Err(IssueError::Lifetime { asked: wanted.ttl_secs, most: most_secs });
    }
    let name = wanted.name.as_ref().unwrap_or(&wanted.public_key).clone();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(plain) {
        return Err(IssueError::Name(name));
    }
    let by = choose(keys(draft.view(), compartment)?, wanted.role.as_deref())?;
    let expires_at = draft.now().saturating_add(wanted.ttl_secs);
    let seconds = |at: u64| i64::try_from(at).unwrap_or(i64::MAX);
    let claims = Claims {
        registered: Registered {
            sub: wanted.public_key.clone(),
            name: name.clone(),
            iss: by.key.public_key.to_string(),
            iat: seconds(draft.now()),
            exp: seconds(expires_at),
            ..Registered::default()
        },
        nats: User { issuer_account: by.account.account.public_key.to_string(), ..User::default() },
    };
    let findings = check_user(&claims, SignedBy::ScopedKey);
    if !findings.is_empty() {
        return Err(NatsError::Claims(findings).into());
    }
    let signer = Made { key_id: by.key.key_id, public_key: by.key.public_key.clone() };
    let token = draft.sign_for_a_while(&by.account, claims, &signer)?;
    Ok(Issued { token, by, name, expires_at })
}

fn choose(mut keys: Vec<Issuing>, asked: Option<&str>) -> Result<Issuing, IssueError> {
    let there = keys.iter().map(Issuing::label).collect::<Vec<_>>().join(", ");
    if let Some(asked) = asked {
        let same = |text: &str| text.eq_ignore_ascii_case(asked);
        keys.retain(|key| same(key.role.as_str()) || same(&key.label()));
        if keys.is_empty() {
            return Err(IssueError::NoRole { asked: asked.to_owned(), there });
        }
    }
    match (keys.pop(), keys.is_empty()) {
        (Some(one), true) => Ok(one),
        _ => Err(IssueError::Several(there)),
    }
}

fn key_facts(view: &dyn View, key: KeyId) -> Result<Option<KeyFacts>, NatsError> {
    Ok(match view.get(key.into())?.map(|key| key.facts) {
        Some(Facts::Key(facts)) => Some(facts),
        _ => None,
    })
}

/// Whether only the public half of a key is here.
fn is_elsewhere(view: &dyn View, key: KeyId) -> Result<bool, NatsError> {
    Ok(key_facts(view, key)?.is_none_or(|key| key.compartment.is_none()))
}

/// Whether a key was made here and never left.
fn was_born_here(view: &dyn View, key: KeyId) -> Result<bool, NatsError> {
    let born =
        |key: KeyFacts| key.origin.is_none() && !key.was_plaintext && key.exports == 0 && key.revocation.is_none();
    Ok(key_facts(view, key)?.is_some_and(born))
}
