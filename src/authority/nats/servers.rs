//! What servers hold of the ledger's accounts: who is there, with which resolver, and what each has stored and loaded.

use std::collections::BTreeSet;
use std::fmt;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::error::NatsError;
use super::lookup;
use super::lookup::read_claims;
use crate::adapters::nats_system::{Answer, Form, ServerId, SystemClient, SystemError, Varz, Wait};
use crate::ids::NatsAccountId;
use crate::ledger::{Entity, Facts, Kind, TokenFacts, View};
use crate::nats::claims::{Account, Claims};
use crate::nats::held::Held;
use crate::text::{Name, PublicKey};

/// How many accounts are asked about at the same time.
const AT_ONCE: usize = 32;

/// An account as servers should hold it.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The account.
    pub account_id: NatsAccountId,
    /// Its name.
    pub name: Name,
    /// Its public key (`A…`).
    pub public_key: PublicKey,
    /// What is recorded of its token.
    pub token: TokenFacts,
    /// What the token says.
    pub claims: Claims<Account>,
}

/// The accounts of the ledger as servers should hold them: one, by its name or public key, or all that are active.
///
/// # Errors
/// When an account has no token, or there is none of that name.
pub fn wanted(view: &dyn View, which: Option<&str>) -> Result<Vec<Wanted>, NatsError> {
    let operator = lookup::operator(view)?.operator.operator_id;
    let entities = match which {
        Some(text) => vec![lookup::account(view, text)?],
        None => {
            let all = lookup::members(view, operator.into(), Kind::Account)?;
            all.into_iter()
                .filter(Entity::is_active)
                .filter_map(|entity| if let Facts::Account(facts) = entity.facts { Some(facts) } else { None })
                .collect()
        }
    };
    let wanted = entities.into_iter().map(|facts| {
        let name = facts.account.name;
        let token = facts.token.ok_or_else(|| NatsError::NoToken(name.to_string()))?;
        let claims = read_claims(name.as_str(), &token)?;
        let (account_id, public_key) = (facts.account.account_id, facts.account.public_key);
        Ok(Wanted { account_id, name, public_key, token, claims })
    });
    wanted.collect()
}

/// How a server finds account tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResolverKind {
    /// In a folder with all of them.
    Full,
    /// In a folder with those in use.
    Cache,
    /// In its configuration.
    Memory,
}

impl fmt::Display for ResolverKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "full",
            Self::Cache => "cache",
            Self::Memory => "memory",
        })
    }
}

/// A server that answers.
#[derive(Debug, Clone)]
pub struct Member {
    /// Which.
    pub server: ServerId,
    /// How it finds account tokens.
    pub resolver: ResolverKind,
    /// Whom it trusts.
    pub varz: Varz,
    /// The accounts whose tokens are in its folder.
    pub folder: BTreeSet<String>,
}

/// The servers that answer.
#[derive(Debug, Clone)]
pub struct Survey {
    /// Each of them, by name.
    pub members: Vec<Member>,
    /// How many there should be, where that was said.
    pub expected: Option<usize>,
}

impl Survey {
    /// Asks who is there. `probe` is the public key of some account, to tell resolvers apart by.
    ///
    /// # Errors
    /// When nobody answers, or the user may not ask.
    pub async fn take(client: &SystemClient, expected: Option<usize>, probe: &str) -> Result<Self, SystemError> {
        let answers = client.servers(expected).await?;
        let count = answers.len();
        let listed = client.list(count).await?;
        let full = if listed.is_empty() { 0 } else { client.lookup(probe, Wait::AtMost(listed.len())).await?.len() };
        // With some of each, an update that is none makes each server say what it is.
        let caches = match full {
            0 => names(&listed),
            all if all == listed.len() => BTreeSet::new(),
            _ => {
                let answers = client.update(Form::Common, probe, "?", Wait::Known(listed.len())).await?;
                let caching = |answer: &Answer<_>| answer.outcome.as_ref().is_err_and(|error| error.contains("cache"));
                answers.into_iter().filter(caching).map(|answer| answer.server.id).collect()
            }
        };
        let members = answers.into_iter().filter_map(|answer| {
            let varz = answer.outcome.ok()?;
            let folder = listed.iter().find(|list| list.server.id == answer.server.id);
            let resolver = match folder {
                None => ResolverKind::Memory,
                Some(_) if caches.contains(&answer.server.id) => ResolverKind::Cache,
                Some(_) => ResolverKind::Full,
            };
            let folder = folder.and_then(|list| list.outcome.clone().ok()).unwrap_or_default();
            Some(Member { server: answer.server, resolver, varz, folder })
        });
        Ok(Self { members: members.collect(), expected })
    }

    /// How many servers did not answer that should have.
    #[must_use]
    pub fn missing(&self) -> usize {
        self.expected.unwrap_or(0).saturating_sub(self.members.len())
    }

    /// The servers that would not take what this key signed.
    #[must_use]
    pub fn distrusting(&self, issuer: &str) -> Vec<&Member> {
        let trusts = |member: &&Member| member.varz.trusted.iter().any(|operator| operator.trusts(issuer));
        self.members.iter().filter(|member| !trusts(member)).collect()
    }

    /// How many servers have this resolver.
    #[must_use]
    pub fn count(&self, resolver: ResolverKind) -> usize {
        self.members.iter().filter(|member| member.resolver == resolver).count()
    }

    /// Looks at what servers hold of accounts, in the order given.
    ///
    /// # Errors
    /// When the user may not ask, or the connection is lost.
    pub async fn observe(&self, client: &SystemClient, wanted: &[Wanted]) -> Result<Vec<Observed>, SystemError> {
        stream::iter(wanted).map(|wanted| self.observe_one(client, wanted)).buffered(AT_ONCE).try_collect().await
    }

    /// Looks at what servers hold of one account.
    ///
    /// # Errors
    /// When the user may not ask, or the connection is lost.
    pub async fn observe_one(&self, client: &SystemClient, wanted: &Wanted) -> Result<Observed, SystemError> {
        let key = wanted.public_key.as_str();
        let full = self.count(ResolverKind::Full);
        let (texts, infos) = tokio::try_join!(
            async { if full == 0 { Ok(Vec::new()) } else { client.lookup(key, Wait::Known(full)).await } },
            client.info(key, Wait::Known(self.members.len())),
        )?;
        let stored: Vec<Held> = texts.iter().map(|text| Held::judge(&wanted.claims, text.as_deref())).collect();
        let servers = self.members.iter().map(|member| {
            let loaded = match infos.iter().find(|info| info.server.id == member.server.id) {
                None => None,
                Some(Answer { outcome: Err(_), .. }) => Some(Held::Nothing),
                Some(Answer { outcome: Ok(info), .. }) => Some(Held::judge(&wanted.claims, Some(&info.jwt))),
            };
            let state = state(member, key, &stored, full, loaded.as_ref());
            Standing { server: member.server.clone(), resolver: member.resolver, loaded, state }
        });
        Ok(Observed { servers: servers.collect(), stored, full })
    }
}

fn names<T>(answers: &[Answer<T>]) -> BTreeSet<String> {
    answers.iter().map(|answer| answer.server.id.clone()).collect()
}

/// How one server stands towards an account's token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Stored and in force.
    Held,
    /// Stored; no client has used the account there yet.
    Stored,
    /// In force until the server restarts: what its configuration says then is not seen from here.
    UntilRestart,
    /// Not there; the server asks others when a client comes.
    OnDemand,
    /// Not in force, and an older one may be in the server's folder until its time to live is over.
    MaybeOld,
    /// Not in force; the server's configuration says what will be.
    Configured,
    /// The server does not know the account.
    Absent,
    /// Something else is stored or in force.
    Differs,
    /// The server did not answer.
    Silent,
}

impl State {
    /// Whether this is the token that should be there, as far as a server can show it.
    #[must_use]
    pub const fn is_proved(self) -> bool {
        matches!(self, Self::Held | Self::Stored | Self::UntilRestart | Self::OnDemand)
    }

    /// The word for it, stable.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Stored => "stored",
            Self::UntilRestart => "until-restart",
            Self::OnDemand => "on-demand",
            Self::MaybeOld => "maybe-old",
            Self::Configured => "configured",
            Self::Absent => "absent",
            Self::Differs => "differs",
            Self::Silent => "silent",
        }
    }
}

/// One server's standing towards an account's token.
#[derive(Debug, Clone)]
pub struct Standing {
    /// Which server.
    pub server: ServerId,
    /// How it finds account tokens.
    pub resolver: ResolverKind,
    /// What is in force there; absent when it did not answer.
    pub loaded: Option<Held>,
    /// The sum of it.
    pub state: State,
}

/// What servers hold of one account.
#[derive(Debug, Clone)]
pub struct Observed {
    /// Each server.
    pub servers: Vec<Standing>,
    /// What servers with a full resolver have stored, one each; they do not say which of them has what.
    pub stored: Vec<Held>,
    /// How many servers have a full resolver.
    pub full: usize,
}

impl Observed {
    /// Whether every server that answers holds the token.
    #[must_use]
    pub fn is_proved(&self) -> bool {
        let stored = self.stored.len() == self.full && self.stored.iter().all(|held| *held == Held::Same);
        stored && !self.servers.is_empty() && self.servers.iter().all(|standing| standing.state.is_proved())
    }

    /// Everything that is stored or in force somewhere.
    pub fn all(&self) -> impl Iterator<Item = &Held> {
        self.stored.iter().chain(self.servers.iter().filter_map(|standing| standing.loaded.as_ref()))
    }

    /// The other token that stands furthest from what should be there: a newer one before a twin before an older one.
    #[must_use]
    pub fn worst(&self) -> Option<&crate::nats::held::Other> {
        self.all().filter_map(Held::other).max_by_key(|other| (other.iat, other.differences.len()))
    }
}

fn state(member: &Member, key: &str, stored: &[Held], full: usize, loaded: Option<&Held>) -> State {
    use ResolverKind::{Cache, Full, Memory};
    let all_stored = stored.len() == full && stored.iter().all(|held| *held == Held::Same);
    match (member.resolver, loaded) {
        (_, None) => State::Silent,
        (_, Some(Held::Other(_) | Held::Unreadable(_))) => State::Differs,
        (Full, Some(Held::Same)) => State::Held,
        (Full, Some(Held::Nothing)) if all_stored => State::Stored,
        (Full, Some(Held::Nothing)) if stored.len() < full => State::Silent,
        (Full, Some(Held::Nothing)) if stored.iter().any(|held| held.other().is_some()) => State::Differs,
        (Full, Some(Held::Nothing)) => State::Absent,
        (Cache, Some(Held::Same)) => State::Held,
        (Cache, Some(Held::Nothing)) if member.folder.contains(key) => State::MaybeOld,
        (Cache, Some(Held::Nothing)) => State::OnDemand,
        (Memory, Some(Held::Same)) => State::UntilRestart,
        (Memory, Some(Held::Nothing)) => State::Configured,
    }
}
