//! `apply`: a ledger is brought to what a file declares, as one act.

use cid::Cid;

use crate::act::{self, ActError, Draft, DraftKey, Intent, Tip};
use crate::advice::{Advice, ErrorKind, Explained};
use crate::authority::nats::section::{NatsSection, Runner};
use crate::authority::nats::{NatsDraft, NatsError};
use crate::declare::manifest::Key;
use crate::declare::{
    Act, Base, EntryPath, Ids, Manifest, Minted, Plan, PlanError, Planned, Request, SavedPlan, Section, plan,
};
use crate::events::{Actor, KeyAlgorithm, KeyGenerated, KeyPurpose, Link, ManifestApplied, NkeyKind};
use crate::ids::LedgerId;
use crate::ipld_support::cid_of_blob;
use crate::keys::{KeyError, KeyKind, KeySpec, Placeholders};
use crate::ledger::{Command, EntityRef, Facts, Kind, Refusal, State, View, ViewError};
use crate::policy;
use crate::session::LedgerActError;
use crate::store::{Listing, ReadError, Store, Which};
use crate::text::{Label, Name};
use crate::time::Timestamp;

/// A plan, and what it was made for.
pub struct Prepared {
    /// What is to be done.
    pub plan: Plan,
    /// The position of the ledger that it is made for.
    pub position: u64,
    request: Request,
    head: Option<Cid>,
    ledger_id: Option<LedgerId>,
}

/// A plan that was reviewed: exactly this is carried out, at exactly this position, or nothing.
#[derive(Debug, Clone)]
pub struct Reviewed {
    plan: Plan,
    position: u64,
}

/// What was read of a ledger before a plan is made: what was applied last.
pub struct Before(Option<Base>);

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
    #[error("the plan is for ledger {planned}, and this is {actual}")]
    OtherLedger {
        /// The ledger of the plan.
        planned: LedgerId,
        /// This ledger.
        actual: LedgerId,
    },
    /// The ledger has moved since the plan was made.
    #[error("the ledger has moved since the plan was made: it was at position {planned}, and is at {actual}")]
    Moved {
        /// The position of the plan.
        planned: u64,
        /// The position now.
        actual: u64,
    },
    /// The plan of this release is another than the one that was reviewed.
    #[error("this release would do something else than the plan says")]
    OtherPlan,
    /// Something under `[nats]` can't be done.
    #[error("{}{source}", entry.as_ref().map(|entry| format!("{entry}: ")).unwrap_or_default())]
    Nats {
        /// The entry of the file, where it is one entry's matter.
        entry: Option<String>,
        /// Why.
        source: Box<NatsError>,
    },
    /// A key could not be made.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The policy does not let it pass, or the rehearsal failed otherwise.
    #[error(transparent)]
    Rehearsal(Box<LedgerActError<ApplyError>>),
    /// The ledger could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl Explained for ApplyError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Plan(error) => error.kind(),
            Self::Refused { .. } | Self::OtherLedger { .. } | Self::Moved { .. } | Self::OtherPlan => {
                ErrorKind::Refused
            }
            Self::Nats { source, .. } => source.kind(),
            Self::Read(error) => error.kind(),
            Self::Key(error) => error.kind(),
            Self::Rehearsal(_) => ErrorKind::Failed,
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::Plan(error) => error.advice(),
            Self::Refused { refusal, .. } => refusal.advice(),
            Self::OtherLedger { .. } => vec![Advice::Do("make a plan for this ledger")],
            Self::Moved { .. } | Self::OtherPlan => vec![Advice::Do("make the plan again, and review it")],
            Self::Nats { source, .. } => source.advice(),
            Self::Read(error) => error.advice(),
            Self::Key(error) => error.advice(),
            Self::Rehearsal(_) => Vec::new(),
        }
    }
}

impl From<LedgerActError<ApplyError>> for ApplyError {
    fn from(error: LedgerActError<ApplyError>) -> Self {
        match error {
            ActError::Build(error) => error,
            error => Self::Rehearsal(Box::new(error)),
        }
    }
}

impl From<ViewError> for ApplyError {
    fn from(error: ViewError) -> Self {
        Self::Plan(error.into())
    }
}

/// The plan for a ledger. Everything is rehearsed: decisions are taken and claims checked, and no key is made.
///
/// # Errors
/// When the file and the ledger contradict each other, or the ledger would refuse a step.
pub fn prepare(store: &Store, request: Request) -> Result<Prepared, ApplyError> {
    let newest = store.events(Listing::newest(1))?.pop();
    let position = newest.as_ref().map_or(0, |newest| newest.position);
    let before = before(store, &request)?;
    let plan = store.view(|view| rehearse(view, &request, before, position))??;
    let (head, ledger_id) = (newest.map(|newest| newest.cid), Some(store.identity().ledger_id));
    Ok(Prepared { plan, position, request, head, ledger_id })
}

/// The plan for a ledger that is yet to be made.
///
/// # Errors
/// When the ledger would refuse a step.
pub fn prepare_new(request: Request) -> Result<Prepared, ApplyError> {
    let plan = rehearse(&State::new(), &request, Before(None), 0)?;
    Ok(Prepared { plan, position: 0, request, head: None, ledger_id: None })
}

fn rehearse(view: &dyn View, request: &Request, before: Before, position: u64) -> Result<Plan, ApplyError> {
    let tip = Tip { position, last: None, now: Timestamp::now() };
    let actor = Label::new("apply").map_err(|error| PlanError::Damaged(error.to_string()))?;
    let intent = Intent::new(Actor::System(actor));
    let build = |draft: &mut Draft<'_>| apply(draft, request, before, None, &mut Minted::default());
    // Who acts and signs is not known yet: the policy is asked when the plan is carried out.
    Ok(act::rehearse(view, &policy::Open, &mut Placeholders, &intent, tip, build)?)
}

/// What a plan has to know of a ledger that no entity tells.
///
/// # Errors
/// When the ledger can't be read.
pub fn before(store: &Store, request: &Request) -> Result<Before, ApplyError> {
    last_applied(store, request).map(Before)
}

/// Brings a ledger to what a file declares: plans, and gives everything that the plan leads to into the draft. Where the plan
/// was reviewed, exactly that one is carried out.
///
/// # Errors
/// When the file and the ledger contradict each other, or the ledger refuses a step.
pub fn apply(
    draft: &mut Draft<'_>,
    request: &Request,
    before: Before,
    reviewed: Option<&Reviewed>,
    minted: &mut Minted,
) -> Result<Plan, ApplyError> {
    let Before(base) = before;
    let (manifest, name) = (&request.manifest, &request.name);
    let Planned { plan, acts, next } =
        plan(draft.view(), &[&NatsSection], manifest, base.as_ref(), request.options, name, minted)?;
    if let Some(reviewed) = reviewed {
        if reviewed.position != draft.position() {
            return Err(ApplyError::Moved { planned: reviewed.position, actual: draft.position() });
        }
        if reviewed.plan != plan {
            return Err(ApplyError::OtherPlan);
        }
    }
    if acts.is_empty() && base.as_ref() == Some(&next) {
        return Ok(plan);
    }
    compose(draft, &acts, &plan, manifest, &next.ids)?;
    let block = next.to_block().map_err(|error| PlanError::Damaged(error.to_string()))?;
    let link = Link::new(cid_of_blob(&block)).map_err(|error| PlanError::Damaged(error.to_string()))?;
    let applied = Command::RecordManifest(ManifestApplied { manifest: link, name: name.clone() });
    draft.command(applied).map_err(|refusal| ApplyError::Refused { entry: name.to_string(), refusal })?;
    draft.keep_blob(block);
    Ok(plan)
}

/// What the steps of a plan lead to, one after the other.
fn compose(draft: &mut Draft<'_>, acts: &[Act], plan: &Plan, manifest: &Manifest, ids: &Ids) -> Result<(), ApplyError> {
    let mut nats = NatsDraft::on(draft).map_err(of_nats)?;
    let mut runner = Runner::new(manifest, ids);
    let in_entry = |entry: &str, error: NatsError| match error {
        NatsError::Refused(refusal) => ApplyError::Refused { entry: entry.to_owned(), refusal },
        source => ApplyError::Nats { entry: Some(entry.to_owned()), source: Box::new(source) },
    };
    for (act, step) in acts.iter().zip(&plan.steps) {
        let done = match act {
            Act::Section(step) => runner.step(&mut nats, step),
            Act::End { kind, id, reason } if NatsSection.owns(*kind) => runner.end(&mut nats, *kind, *id, reason),
            Act::MakeKey { key_id, key, owner, location_id } => {
                let spec = KeySpec { kind: kind_of(key), compartment: key.compartment.clone() };
                let DraftKey { key_id, public, compartment } = nats.generate_as(*key_id, &spec)?;
                nats.run_any(Command::GenerateKey(KeyGenerated {
                    key_id,
                    name: key.name.clone(),
                    algorithm: public.algorithm,
                    encoding: public.encoding,
                    public_key: public.public_key,
                    purpose: key.purpose,
                    owner: owner.clone(),
                    compartment,
                    validity: key.validity,
                    location_id: *location_id,
                }))
            }
            other => other.commands()?.into_iter().try_for_each(|command| nats.run_any(command)),
        };
        done.map_err(|error| in_entry(&step.entry, error))?;
    }
    runner.finish(&mut nats).map_err(of_nats)?;
    nats.finish().map_err(of_nats)
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
    let found = store.view(|view| view.all(Kind::Manifest).collect::<Result<Vec<_>, _>>())??;
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
        let now = match base.ids.get(&EntryPath::Organization) {
            Some(id) => store.view(|view| view.get(EntityRef::new(Kind::Organization, id)))??,
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
    /// The plan, as one that was reviewed.
    #[must_use]
    pub fn reviewed(&self) -> Reviewed {
        Reviewed { plan: self.plan.clone(), position: self.position }
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
