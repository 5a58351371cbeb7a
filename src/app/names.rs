//! What people call things, where the name alone does not say it.

use crate::events::Party;
use crate::ledger::{Entity, EntityRef, Facts, View, ViewError};

/// What people call an entity: `ORDERS/ann`, `officer for Ada`.
///
/// # Errors
/// When the ledger can't be read.
pub fn entity(view: &dyn View, entity: &Entity) -> Result<String, ViewError> {
    let of = |reference: EntityRef| -> Result<String, ViewError> {
        let found = view.get(reference)?;
        Ok(found.and_then(|it| it.facts.name().map(ToString::to_string)).unwrap_or_else(|| reference.id.to_string()))
    };
    let party = |party: &Party| -> Result<String, ViewError> {
        Ok(match party {
            Party::Organization(id) => of((*id).into())?,
            Party::Unit(id) => format!("unit {}", of((*id).into())?),
            Party::Person(id) => of((*id).into())?,
            Party::Role(id) => format!("role {}", of((*id).into())?),
            Party::Service(name) => format!("service {name}"),
        })
    };
    Ok(match &entity.facts {
        Facts::Assignment(it) => {
            let scope = it.scope.as_ref().map(&party).transpose()?.map(|scope| format!(" in {scope}"));
            format!("{} for {}{}", of(it.role_id.into())?, of(it.person_id.into())?, scope.unwrap_or_default())
        }
        Facts::Relationship(it) => format!("{} {} {}", party(&it.subject)?, it.kind, party(&it.object)?),
        Facts::User(it) => format!("{}/{}", of(it.user.account_id.into())?, it.user.name),
        Facts::SigningKey(it) => {
            let holder = of(EntityRef::holder(&it.holder))?;
            it.role.as_ref().map_or_else(|| holder.clone(), |role| format!("{holder}/{role}"))
        }
        Facts::SignatureRequirement(it) if it.event_types.is_empty() => "nothing".to_owned(),
        Facts::SignatureRequirement(it) => {
            it.event_types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        }
        Facts::Recipient(it) => format!("{} of compartment {}", it.recipient, it.compartment),
        facts => facts.name().map_or_else(|| entity.entity_ref().id.to_string(), ToString::to_string),
    })
}
