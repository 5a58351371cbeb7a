//! Carrying a plan out: keys first, then everything in one transaction.

use cid::Cid;

use super::base::Base;
use super::entries::Ids;
use super::manifest::{Key, Manifest};
use super::nats::{Runner, is_ours as is_nats};
use super::plan::{Options, Plan, PlanError, plan};
use super::saved::SavedPlan;
use super::steps::Act;
use crate::app::custody::{SealedError, record_kept};
use crate::app::nats::{self, KeyAccess, KeyAccessError, NatsError, Work};
use crate::app::session::Session;
use crate::custody;
use crate::events::{KeyAlgorithm, KeyGenerated, KeyPurpose, Link, ManifestApplied, NkeyKind, Party};
use crate::ids::{CorrelationId, LedgerId};
use crate::ipld_support::cid_of_blob;
use crate::keys::pair::{GenerateError, KeyKind, PrivateKey};
use crate::ledger::{Command, EntityRef, Facts, KeyFacts, Kind, Refusal, State, View, ViewError};
use crate::store::{AppendError, AppendedEvent, Listing, ReadError, RestrictedBlocks, RestrictedError, Store, Which};
use crate::text::{Label, Name};
use crate::time::Timestamp;

/// How many names of files a ledger remembers for `apply`; those beyond are looked past.
const MANIFESTS: usize = 10_000;

/// How often a plan is made again when somebody else writes in between.
const TRIES: usize = 5;

/// What is to be applied, and how.
#[derive(Debug, Clone)]
pub struct Request {
    /// What is to be so.
    pub manifest: Manifest,
    /// The name under which it is remembered: the file's.
    pub name: Name,
    /// How it is applied.
    pub options: Options,
}

/// A plan that can be carried out while the ledger stays where it is.
pub struct Prepared {
    /// What is to be done.
    pub plan: Plan,
    /// The position of the ledger that it is made for.
    pub position: u64,
    request: Request,
    acts: Vec<Act>,
    ids: Ids,
    block: Vec<u8>,
    remembers: bool,
    head: Option<Cid>,
    ledger_id: Option<LedgerId>,
}

/// What was done.
#[derive(Debug)]
pub struct Applied {
    /// What was planned.
    pub plan: Plan,
    /// The events, in order; none when all was so already.
    pub events: Vec<AppendedEvent>,
    /// What all of them bear.
    pub correlation_id: CorrelationId,
}

/// Why nothing was applied. The ledger is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// There is no plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The ledger says no to one of the steps.
    #[error("{entry}: {refusal}")]
    Refused {
        /// The entry of the file.
        entry: String,
        /// Why.
        refusal: Refusal,
    },
    /// The saved plan is for another ledger.
    #[error("the plan is for ledger {planned}, and this is {actual}; make a plan for this one")]
    OtherLedger {
        /// The ledger of the plan.
        planned: LedgerId,
        /// This ledger.
        actual: LedgerId,
    },
    /// The ledger has moved since the plan was made.
    #[error(
        "the ledger has moved since the plan was made: it was at position {planned}, and is at {actual}; make the plan again, and review it"
    )]
    Moved {
        /// The position of the plan.
        planned: u64,
        /// The position now.
        actual: u64,
    },
    /// The plan of this release is another than the one that was reviewed.
    #[error("this release would do something else than the plan says; make the plan again, and review it")]
    OtherPlan,
    /// Something under `[nats]` can't be done.
    #[error("{}{source}", entry.as_ref().map(|entry| format!("{entry}: ")).unwrap_or_default())]
    Nats {
        /// The entry of the file, where it is one entry's matter.
        entry: Option<String>,
        /// Why.
        source: Box<NatsError>,
    },
    /// Tokens could not be kept.
    #[error(transparent)]
    Restricted(#[from] RestrictedError),
    /// A key could not be made.
    #[error(transparent)]
    Generate(#[from] GenerateError),
    /// Custody could not be opened.
    #[error(transparent)]
    Custody(#[from] custody::OpenError),
    /// A key could not be sealed.
    #[error(transparent)]
    Seal(#[from] custody::SealError),
    /// The ledger did not take the events.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The ledger did not take the events, and sealed secrets are left.
    #[error(transparent)]
    Left(Box<SealedError<AppendError>>),
    /// The ledger could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl From<SealedError<AppendError>> for ApplyError {
    fn from(error: SealedError<AppendError>) -> Self {
        match error {
            SealedError::Keep(error) => Self::Restricted(error),
            SealedError::Seal(error) => Self::Seal(error),
            SealedError::Record(error) => Self::Append(error),
            left @ SealedError::Left { .. } => Self::Left(Box::new(left)),
        }
    }
}

impl From<ViewError> for ApplyError {
    fn from(error: ViewError) -> Self {
        Self::Plan(error.into())
    }
}

/// The plan for a ledger, checked as far as it can be without making keys.
///
/// # Errors
/// When the file and the ledger contradict each other, or the ledger would refuse a step.
pub fn prepare(store: &Store, request: Request) -> Result<Prepared, ApplyError> {
    let newest = store.events(Listing::newest(1))?.pop();
    let position = newest.as_ref().map_or(0, |newest| newest.position);
    let base = last_applied(store, &request)?;
    let mut prepared = store.view(|view| prepare_on(view, request, base.as_ref()))??;
    prepared.position = position;
    prepared.head = newest.map(|newest| newest.cid);
    prepared.ledger_id = Some(store.identity().ledger_id);
    Ok(prepared)
}

/// The plan for a ledger that is yet to be made.
///
/// # Errors
/// When the ledger would refuse a step.
pub fn prepare_new(request: Request) -> Result<Prepared, ApplyError> {
    prepare_on(&State::new(), request, None)
}

fn prepare_on(view: &dyn View, request: Request, base: Option<&Base>) -> Result<Prepared, ApplyError> {
    let planned = plan(view, &request.manifest, base, request.options, &request.name)?;
    // Everything is tried without anybody's keys: claims are checked, and what must be signed for that is signed with keys
    // that nobody keeps.
    composed(view, &planned.acts, &planned.plan, &request.manifest, &planned.next.ids, &mut StandIns)?
        .rehearse()
        .map_err(of_nats)?;
    let block = planned.next.to_block().map_err(|error| PlanError::Damaged(error.to_string()))?;
    let remembers = base != Some(&planned.next);
    let (plan, acts, ids) = (planned.plan, planned.acts, planned.next.ids);
    Ok(Prepared { plan, position: 0, request, acts, ids, block, remembers, head: None, ledger_id: None })
}

/// Keys in the place of those that are in custody: they sign what is thrown away.
struct StandIns;

impl KeyAccess for StandIns {
    fn private_key(&mut self, key: &KeyFacts) -> Result<PrivateKey, KeyAccessError> {
        let kind = match key.purpose {
            KeyPurpose::NatsOperator => NkeyKind::Operator,
            _ => NkeyKind::Account,
        };
        PrivateKey::generate(KeyKind::Nkey(kind)).map_err(KeyAccessError::new)
    }

    /// No account is signed, so none needs a text: a mirror has none, and plans all the same.
    fn token_text(&mut self, _token: &Cid) -> Result<Option<String>, KeyAccessError> {
        Ok(None)
    }
}

/// What the acts of a plan lead to, decided one after the other. Keys of `[keys]` are made by the caller.
fn composed<'v, 'k>(
    view: &'v dyn View,
    acts: &[Act],
    plan: &Plan,
    manifest: &Manifest,
    ids: &Ids,
    keys: &'k mut dyn KeyAccess,
) -> Result<Work<'v, 'k>, ApplyError> {
    let now = u64::try_from(Timestamp::now().unix_micros() / 1_000_000).unwrap_or_default();
    let owner = Party::Service(Label::new("nats").map_err(|error| PlanError::Damaged(error.to_string()))?);
    let mut work = Work::new(view, keys, now, owner);
    let mut runner = Runner::new(manifest, ids);
    let in_entry = |entry: &str, error: NatsError| match error {
        NatsError::Refused(refusal) => ApplyError::Refused { entry: entry.to_owned(), refusal },
        source => ApplyError::Nats { entry: Some(entry.to_owned()), source: Box::new(source) },
    };
    for (act, step) in acts.iter().zip(&plan.steps) {
        let done = match act {
            Act::Nats(step) => runner.step(&mut work, step),
            Act::End { kind, id, reason } if is_nats(*kind) => runner.end(&mut work, *kind, *id, reason),
            other => other.commands()?.into_iter().try_for_each(|command| work.run_any(command)),
        };
        done.map_err(|error| in_entry(&step.entry, error))?;
    }
    runner.finish(&mut work).map_err(of_nats)?;
    Ok(work)
}

/// What is no single entry's matter.
fn of_nats(source: NatsError) -> ApplyError {
    match source {
        NatsError::Refused(refusal) => ApplyError::Refused { entry: "nats".to_owned(), refusal },
        source => ApplyError::Nats { entry: None, source: Box::new(source) },
    }
}

/// What was applied last to the organisation of a file, whatever the name of the file was then: the newest manifest of an
/// organisation that has, or had then, the name that the file gives it; else the newest under this file's name.
fn last_applied(store: &Store, request: &Request) -> Result<Option<Base>, ApplyError> {
    let found = store.view(|view| view.list(Kind::Manifest, None, MANIFESTS))??;
    let mut manifests = Vec::new();
    for entity in found {
        if let Facts::Manifest(facts) = entity.facts {
            manifests.push((store.event(&Which::Cid(entity.last))?.position, facts));
        }
    }
    manifests.sort_by_key(|(position, _)| std::cmp::Reverse(*position));
    let organization = &request.manifest.organization.name;
    let mut of_this_file = None;
    for (_, facts) in manifests {
        let cid = facts.manifest;
        let block = store.blob(&cid)?.ok_or_else(|| PlanError::Damaged(format!("the block {cid} is missing")))?;
        let base = Base::from_block(&block).map_err(PlanError::Damaged)?;
        let now = match base.ids.get("organization") {
            Some(id) => store.view(|view| view.get(EntityRef::new(Kind::Organization, *id)))??,
            None => None,
        };
        let name_now = now.as_ref().and_then(|entity| entity.facts.name());
        let same = |name: &Name| name.folded() == organization.folded();
        if same(&base.manifest.organization.name) || name_now.is_some_and(same) {
            return Ok(Some(base));
        }
        if of_this_file.is_none() && facts.name == request.name {
            of_this_file = Some(base);
        }
    }
    Ok(of_this_file)
}

impl Prepared {
    /// Whether carrying it out would record nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.acts.is_empty() && !self.remembers
    }

    /// Whether carrying it out may take keys out of custody, to sign tokens.
    #[must_use]
    pub fn signs(&self) -> bool {
        let signs = |act: &Act| match act {
            Act::Nats(_) => true,
            Act::End { kind, .. } => is_nats(*kind),
            _ => false,
        };
        self.acts.iter().any(signs)
    }

    /// What it is a plan for.
    #[must_use]
    pub const fn request(&self) -> &Request {
        &self.request
    }

    /// The plan as a file.
    #[must_use]
    pub fn save(&self) -> Option<SavedPlan> {
        let Request { manifest, name, options } = self.request.clone();
        let head = self.head.map(|head| head.to_string()).unwrap_or_default();
        Some(SavedPlan::new(self.ledger_id?, self.position, head, name, options, self.plan.clone(), manifest))
    }
}

/// Prepares a saved plan: for the ledger and position that it was made for, and for nothing else.
///
/// # Errors
/// When the ledger is another one or has moved.
pub fn prepare_saved(store: &Store, saved: SavedPlan) -> Result<Prepared, ApplyError> {
    let actual = store.identity().ledger_id;
    if actual != saved.ledger_id {
        return Err(ApplyError::OtherLedger { planned: saved.ledger_id, actual });
    }
    let (plan, position, head) = (saved.plan.clone(), saved.position, saved.head.clone());
    let prepared = prepare(store, saved.into_request())?;
    let head_now = prepared.head.map(|head| head.to_string()).unwrap_or_default();
    if prepared.position != position || head_now != head {
        return Err(ApplyError::Moved { planned: position, actual: prepared.position });
    }
    if prepared.plan != plan {
        return Err(ApplyError::OtherPlan);
    }
    Ok(prepared)
}

/// Carries a plan out, all of it or nothing. When somebody else wrote in between, it is planned again, unless it comes
/// from a file that was reviewed (`as_reviewed`).
///
/// # Errors
/// When the ledger does not take it.
pub fn execute(
    session: &Session,
    mut prepared: Prepared,
    as_reviewed: bool,
    keys: &mut dyn KeyAccess,
) -> Result<Applied, ApplyError> {
    for attempt in 1.. {
        let planned = prepared.position;
        let request = prepared.request.clone();
        match execute_once(session, prepared, keys) {
            Err(ApplyError::Append(AppendError::Moved { actual, .. })) if as_reviewed || attempt == TRIES => {
                return Err(ApplyError::Moved { planned, actual });
            }
            Err(ApplyError::Append(AppendError::Moved { .. })) => prepared = prepare(session.store(), request)?,
            done => return done,
        }
    }
    Err(ApplyError::OtherPlan)
}

fn execute_once(session: &Session, prepared: Prepared, keys: &mut dyn KeyAccess) -> Result<Applied, ApplyError> {
    let mut context = session.context();
    let correlation_id = context.correlation_id;
    if prepared.is_empty() {
        return Ok(Applied { plan: prepared.plan, events: Vec::new(), correlation_id });
    }
    // A ledger that is open for reading only says so before any key is made.
    session.store().writable().map_err(AppendError::from)?;
    context.expected_position = Some(prepared.position);
    let link = Link::new(cid_of_blob(&prepared.block)).map_err(|error| PlanError::Damaged(error.to_string()))?;
    let change = session.store().view(|view| {
        composed(view, &prepared.acts, &prepared.plan, &prepared.request.manifest, &prepared.ids, keys)?
            .finish()
            .map_err(of_nats)
    })??;
    let nats::Change { mut commands, mut secrets, tokens } = change;
    for act in &prepared.acts {
        if let Act::MakeKey { key_id, key, owner, location_id } = act {
            let private = PrivateKey::generate(kind_of(key))?;
            let public = private.public();
            commands.push(Command::GenerateKey(KeyGenerated {
                key_id: *key_id,
                name: key.name.clone(),
                algorithm: public.algorithm,
                encoding: public.encoding,
                public_key: public.public_key,
                purpose: key.purpose,
                owner: owner.clone(),
                compartment: key.compartment.clone(),
                validity: key.validity,
                location_id: *location_id,
            }));
            secrets.push((key.compartment.clone(), *key_id, private.secret()));
        }
    }
    let name = prepared.request.name.clone();
    commands.push(Command::RecordManifest(ManifestApplied { manifest: link, name }));
    context.blobs = vec![prepared.block];
    let restricted = session.place().restricted();
    let keep = || match tokens.is_empty() {
        true => Ok(()),
        false => RestrictedBlocks::open(&restricted)?.put(tokens.iter().map(String::as_bytes)),
    };
    let custody = if secrets.is_empty() { None } else { Some(session.custody()?) };
    let secrets = custody.as_ref().map(|custody| (custody, secrets.as_slice()));
    let record = |context| session.store().execute(context, commands);
    let events = record_kept(session.store(), secrets, keep, context, record)?;
    Ok(Applied { plan: prepared.plan, events, correlation_id })
}

/// What kind of key pair an entry asks for. The reader has checked that they go together.
fn kind_of(key: &Key) -> KeyKind {
    let nkey = match key.purpose {
        KeyPurpose::NatsOperator => Some(NkeyKind::Operator),
        KeyPurpose::NatsAccount => Some(NkeyKind::Account),
        KeyPurpose::NatsUser => Some(NkeyKind::User),
        KeyPurpose::NatsServer => Some(NkeyKind::Server),
        KeyPurpose::NatsSigning => Some(NkeyKind::Account),
        _ => None,
    };
    match (key.nkey.or(nkey), key.algorithm) {
        (Some(nkey), _) => KeyKind::Nkey(nkey),
        (None, KeyAlgorithm::EcdsaP256) => KeyKind::P256,
        (None, _) => KeyKind::Ed25519,
    }
}
