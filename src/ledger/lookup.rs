//! Finding what people mean: an entity by its identifier, its e-mail address or its name.

use uuid::Uuid;

use crate::advice::{Action, Advice, ErrorKind, Explained};
use crate::events::Party;
use crate::ids::{LocationId, OrganizationId, PersonId, RoleId, UnitId};
use crate::ledger::{Entities, Entity, EntityRef, Facts, Kind, NameKey, View, ViewError};
use crate::text::{EmailAddress, InvalidText, Label, Name, nearest, visible};

/// Why nothing, or not one thing, was found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LookupError {
    /// Nothing has this name.
    #[error("there is no {kind} \"{}\"", visible(text))]
    NotFound {
        /// What was looked for.
        kind: Kind,
        /// What was given.
        text: String,
        /// A name like it that something of this kind has.
        near: Option<String>,
    },
    /// Several have this name.
    #[error("several are the {kind} \"{}\": {}", visible(text), listed(ids))]
    Ambiguous {
        /// What was looked for.
        kind: Kind,
        /// What was given.
        text: String,
        /// Some that have the name.
        ids: Vec<Uuid>,
    },
    /// There is no organisation yet.
    #[error("the ledger has no organization yet")]
    NoOrganization,
    /// There are several organisations.
    #[error("the ledger has several organizations")]
    WhichOrganization,
    /// The text can't be what was asked for.
    #[error(transparent)]
    Text(#[from] InvalidText),
    /// The ledger could not be read.
    #[error(transparent)]
    View(#[from] ViewError),
}

impl LookupError {
    /// Nothing has this name; what is active and has a similar one is named.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn not_found(view: &dyn View, kind: Kind, text: &str) -> Result<Self, ViewError> {
        let near = near(view.all(kind), text)?;
        Ok(Self::NotFound { kind, text: text.chars().take(80).collect(), near })
    }
}

/// How many names are compared with a mistyped one.
const CANDIDATES: usize = 2_000;

/// The name of an active entity among some that a mistyped one probably means.
///
/// # Errors
/// When the ledger can't be read.
pub fn near(entities: Entities<'_>, text: &str) -> Result<Option<String>, ViewError> {
    let mut names = Vec::new();
    for entity in entities.active().take(CANDIDATES) {
        names.extend(entity?.facts.name().map(ToString::to_string));
    }
    Ok(nearest(text, names.iter().map(String::as_str)).map(ToOwned::to_owned))
}

impl Explained for LookupError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound { .. }
            | Self::Ambiguous { .. }
            | Self::NoOrganization
            | Self::WhichOrganization
            | Self::Text(_) => ErrorKind::Usage,
            Self::View(_) => ErrorKind::Failed,
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::NotFound { near: Some(near), .. } => vec![Advice::Near(near.clone())],
            Self::NotFound { kind, near: None, .. } => {
                vec![Advice::Run(Action::List(kind.as_str()), "shows those that are there")]
            }
            Self::Ambiguous { .. } => vec![Advice::Do("give the identifier of one")],
            Self::NoOrganization => vec![Advice::Run(Action::AddOrganization, "makes one")],
            Self::WhichOrganization => {
                vec![Advice::Do("say which with --organization, or --owner organization:NAME for a key")]
            }
            Self::Text(_) | Self::View(_) => Vec::new(),
        }
    }
}

fn listed(ids: &[Uuid]) -> String {
    ids.iter().map(Uuid::to_string).collect::<Vec<_>>().join(", ")
}

/// The entity of a kind that a text means: its identifier, a person's e-mail address, or a name. Of several that had a
/// name the active one is meant.
///
/// # Errors
/// When there is none, or more than one.
pub fn entity(view: &dyn View, kind: Kind, text: &str) -> Result<Entity, LookupError> {
    if let Ok(id) = text.parse::<Uuid>() {
        let found = view.get(EntityRef::new(kind, id))?;
        let not_found = || LookupError::NotFound { kind, text: text.chars().take(80).collect(), near: None };
        return found.ok_or_else(not_found);
    }
    let mut found = Vec::new();
    if let (Kind::Person, Ok(email)) = (kind, EmailAddress::new(text)) {
        found.extend(view.find(&NameKey::email(&email), 2)?);
    }
    if let (true, Ok(name)) = (found.is_empty(), Name::typed(text)) {
        for scope in scopes(view, kind)? {
            found.extend(view.find(&NameKey::name(kind, scope, &name), 3)?);
        }
    }
    let active: Vec<usize> = (0..found.len()).filter(|&index| found[index].is_active()).collect();
    match (active.as_slice(), found.len()) {
        ([one], _) => Ok(found.swap_remove(*one)),
        ([], 1) => Ok(found.remove(0)),
        ([], 0) => Err(LookupError::not_found(view, kind, text)?),
        _ => {
            let ids = found.iter().map(|entity| entity.entity_ref().id).collect();
            Err(LookupError::Ambiguous { kind, text: text.chars().take(80).collect(), ids })
        }
    }
}

/// Names count within an organisation, or in the whole ledger.
fn scopes(view: &dyn View, kind: Kind) -> Result<Vec<Option<OrganizationId>>, ViewError> {
    match kind {
        Kind::Unit | Kind::Location | Kind::Person | Kind::Role | Kind::Policy => {
            let organizations = view.all(Kind::Organization).collect::<Result<Vec<_>, _>>()?;
            Ok(organizations.iter().filter_map(organization_of).map(Some).collect())
        }
        _ => Ok(vec![None]),
    }
}

fn organization_of(entity: &Entity) -> Option<OrganizationId> {
    match &entity.facts {
        Facts::Organization(it) => Some(it.organization_id),
        _ => None,
    }
}

/// The organisation that is meant: the one that is named, or the only one.
///
/// # Errors
/// When there is none, or several and none is named.
pub fn organization(view: &dyn View, named: Option<&str>) -> Result<OrganizationId, LookupError> {
    if let Some(text) = named {
        let id = entity(view, Kind::Organization, text)?.entity_ref().id;
        return Ok(OrganizationId::from_uuid(id));
    }
    match view.list(Kind::Organization, None, 2)?.as_slice() {
        [] => Err(LookupError::NoOrganization),
        [one] => organization_of(one).ok_or(LookupError::NoOrganization),
        _ => Err(LookupError::WhichOrganization),
    }
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident: $kind:ident => $id:ident;)+) => {$(
        $(#[$doc])*
        ///
        /// # Errors
        /// When there is none, or more than one.
        pub fn $name(view: &dyn View, text: &str) -> Result<$id, LookupError> {
            Ok($id::from_uuid(entity(view, Kind::$kind, text)?.entity_ref().id))
        }
    )+};
}

ids! {
    /// The unit that a text means.
    unit: Unit => UnitId;
    /// The location that a text means.
    location: Location => LocationId;
    /// The person that a text means.
    person: Person => PersonId;
    /// The role that a text means.
    role: Role => RoleId;
}

/// The party that a text means: `organization`, `organization:WHICH`, `unit:WHICH`, `person:WHO`, `role:WHICH` or
/// `service:NAME`, where WHICH and WHO are names, addresses or identifiers.
///
/// # Errors
/// When there is none, or more than one, or the text is of another form.
pub fn party(view: &dyn View, text: &str) -> Result<Party, LookupError> {
    let (kind, which) = text.split_once(':').unwrap_or((text, ""));
    Ok(match (kind, which) {
        ("organization", "") => Party::Organization(organization(view, None)?),
        ("organization", which) => Party::Organization(organization(view, Some(which))?),
        ("unit", which) => Party::Unit(unit(view, which)?),
        ("person", who) => Party::Person(person(view, who)?),
        ("role", which) => Party::Role(role(view, which)?),
        ("service", name) => Party::Service(Label::new(name)?),
        _ => {
            let reason = "organization, unit:NAME, person:NAME, role:NAME or service:NAME is needed";
            return Err(InvalidText::new("party", text, reason).into());
        }
    })
}
