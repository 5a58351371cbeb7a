//! What has to be recorded for a ledger to be what a manifest says: a three-way comparison of the manifest, the one that
//! was applied last, and what is recorded.
//!
//! An attribute that the manifest did not change since it was applied last stays as it is recorded, whoever changed it
//! in between. An entry that ended in between stays ended. An entry that left the manifest is proposed for removal.

use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::base::Base;
use super::entries::{Entry, Fields, Ids, Resolve, fields_of, paths};
use super::find::find;
use super::manifest::Manifest;
use super::nats;
use super::section::{Section, SectionStep};
use super::steps::Act;
use crate::ids::{KeyId, mint_uuid};
use crate::ledger::{Entity, EntityRef, How, Kind, View, ViewError};
use crate::text::{Name, Note, visible};

/// How a manifest is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Options {
    /// Whether entries that left the manifest end.
    pub prune: bool,
    /// Whether what has ended and stands in the manifest comes back.
    pub reinstate: bool,
}

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

/// What happens to an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Action {
    /// It is recorded.
    Add,
    /// Attributes of it are replaced.
    Change,
    /// It ends.
    End,
    /// It comes back.
    Reinstate,
}

/// One attribute that changes, as people read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldChange {
    /// The attribute.
    pub field: String,
    /// What is recorded; absent where nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// What it will be; absent where nothing will be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// One thing to be done, as people read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What happens.
    pub action: Action,
    /// Where it stands in the manifest: `people.ada`.
    pub entry: String,
    /// What people call it.
    pub name: String,
    /// The attributes that change; empty where the whole entry does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<FieldChange>,
    /// Why it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Something that is left as it is although the manifest says otherwise, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remark {
    /// Where it stands in the manifest.
    pub entry: String,
    /// What people call it.
    pub name: String,
    /// What is the case, in one line.
    pub text: String,
}

/// What has to be done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// What will be recorded, in this order.
    pub steps: Vec<Step>,
    /// What left the manifest and would end with [`Options::prune`].
    pub proposed: Vec<Remark>,
    /// What has ended and would come back with [`Options::reinstate`].
    pub kept_out: Vec<Remark>,
    /// What was changed in the ledger since the manifest was applied last, and stays so.
    pub kept: Vec<Remark>,
}

impl Plan {
    /// Whether nothing is to be done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// How many steps there are of an action.
    #[must_use]
    pub fn count(&self, action: Action) -> usize {
        self.steps.iter().filter(|step| step.action == action).count()
    }
}

/// A plan with what carries it out.
pub(crate) struct Planned {
    pub(crate) plan: Plan,
    /// What the steps do, one a step.
    pub(crate) acts: Vec<Act>,
    /// The manifest that the next one is compared with.
    pub(crate) next: Base,
}

/// Identifiers that were minted for entries: a plan that is made again, since the ledger moved, has the same.
#[derive(Debug, Clone, Default)]
pub struct Minted(HashMap<String, Uuid>);

impl Minted {
    fn id(&mut self, place: &str) -> Uuid {
        match self.0.get(place) {
            Some(id) => *id,
            None => *self.0.entry(place.to_owned()).or_insert_with(mint_uuid),
        }
    }
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The manifest and the ledger changed the same attribute to different values, or what can't change would.
    #[error("{} of the file's entries can't be brought together with the ledger", .0.len())]
    Conflicts(Vec<Remark>),
    /// What was recorded of the last apply does not read as what was written.
    #[error("what was applied last can't be read: {0}; run `cim-keys verify`")]
    Damaged(String),
    /// The ledger could not be read.
    #[error(transparent)]
    View(#[from] ViewError),
}

pub(crate) fn plan(
    view: &dyn View,
    sections: &[&dyn Section],
    manifest: &Manifest,
    base: Option<&Base>,
    options: Options,
    file: &Name,
    minted: &mut Minted,
) -> Result<Planned, PlanError> {
    let ids = base.map(|base| base.ids.clone()).unwrap_or_default();
    let mut planner = Planner {
        view,
        sections,
        base,
        options,
        file,
        paths: ids.iter().map(|(path, id)| (*id, path.clone())).collect(),
        ids,
        minted,
        plan: Plan::default(),
        acts: Vec::new(),
        conflicts: Vec::new(),
    };
    let mut next = manifest.clone();
    next.activations.clear();
    planner.removals(manifest, &mut next)?;
    let mut known = Vec::new();
    for (kind, path) in paths(manifest) {
        let entity = planner.identify(manifest, kind, &path)?;
        known.push((kind, path, entity));
    }
    for (kind, path, entity) in known {
        let resolve = Resolve { manifest, ids: &planner.ids };
        let Some(entry) = resolve.entry(kind, &path) else { continue };
        planner.entry(&entry, entity, manifest)?;
    }
    if !planner.conflicts.is_empty() {
        return Err(PlanError::Conflicts(planner.conflicts));
    }
    let Planner { mut plan, acts, ids, .. } = planner;
    let mut order: Vec<usize> = (0..acts.len()).collect();
    order.sort_by_key(|&index| acts[index].rank());
    let steps = order.iter().map(|&index| plan.steps[index].clone()).collect();
    plan.steps = steps;
    let mut slots: Vec<Option<Act>> = acts.into_iter().map(Some).collect();
    let acts = order.into_iter().filter_map(|index| slots[index].take()).collect();
    Ok(Planned { plan, acts, next: Base { manifest: next, ids } })
}

struct Planner<'p> {
    view: &'p dyn View,
    sections: &'p [&'p dyn Section],
    base: Option<&'p Base>,
    options: Options,
    file: &'p Name,
    ids: Ids,
    minted: &'p mut Minted,
    /// The same the other way round, with former identifiers too.
    paths: HashMap<Uuid, String>,
    plan: Plan,
    acts: Vec<Act>,
    conflicts: Vec<Remark>,
}

impl Planner<'_> {
    /// The section that entries of a kind belong to; `None` where what is recorded of them is their facts.
    fn section(&self, kind: Kind) -> Option<&dyn Section> {
        self.sections.iter().copied().find(|section| section.owns(kind))
    }

    fn bind(&mut self, path: &str, id: Uuid) {
        self.ids.insert(path.to_owned(), id);
        self.paths.insert(id, path.to_owned());
    }

    /// Which recorded entity an entry is: the one that it was when it was applied last, else the one of its name; with a
    /// fresh identifier when there is none.
    fn identify(&mut self, manifest: &Manifest, kind: Kind, path: &str) -> Result<Option<Entity>, PlanError> {
        let known = self.ids.get(path).copied();
        if kind == Kind::SigningKey
            && known.is_some()
            && let Some(entity) = find(self.view, &Resolve { manifest, ids: &self.ids }, kind, path)?
        {
            // A role's newest key is the role's, whichever it was when the file was applied last.
            self.bind(path, entity.entity_ref().id);
            return Ok(Some(entity));
        }
        let mut entity = match &known {
            Some(id) => self.view.get(EntityRef::new(kind, *id))?,
            None => {
                let id = self.minted.id(path);
                self.bind(path, id);
                find(self.view, &Resolve { manifest, ids: &self.ids }, kind, path)?
            }
        };
        // A rotated key lives on in its successor.
        while let Some(Entity { facts: crate::ledger::Facts::Key(key), ended: Some(ended), .. }) = &entity
            && ended.how == How::Rotated
            && let Some(successor) = key.successor_id
        {
            entity = self.view.get(successor.into())?;
        }
        if let Some(entity) = &entity {
            self.bind(path, entity.entity_ref().id);
        }
        Ok(entity)
    }

    /// Compares one entry with what is recorded.
    fn entry(&mut self, entry: &Entry, entity: Option<Entity>, manifest: &Manifest) -> Result<(), PlanError> {
        let Some(entity) = entity else {
            if entry.left.is_none() {
                self.add(entry, manifest);
            }
            return Ok(());
        };
        match (&entity.ended, &entry.left) {
            (Some(_), Some(_)) => return Ok(()),
            (None, Some(reason)) => {
                let act = Act::End { kind: entry.kind, id: entity.entity_ref().id, reason: reason.clone() };
                self.step(Action::End, entry, Vec::new(), Some(reason.as_str().to_owned()), act);
                return Ok(());
            }
            (Some(_), None) => return self.ended(entry, &entity, manifest),
            (None, None) => {}
        }
        let recorded = match self.section(entry.kind) {
            Some(section) => section.recorded(self.view, &entity, &self.paths, &entry.fields)?,
            None => fields_of(&entity.facts),
        };
        let target = self.merge(entry, &recorded);
        if target == recorded {
            return Ok(());
        }
        let changes = self.changes(&recorded, &target);
        let id = entity.entity_ref().id;
        match entry.kind {
            Kind::Key => {
                let names = changes.iter().map(|change| change.field.as_str()).collect::<Vec<_>>().join(", ");
                let text = format!(
                    "a key is never changed, and the file has another {names}; \
                     take that back, or rotate the key and give the new one its own entry"
                );
                self.conflict(entry, text);
            }
            Kind::Assignment | Kind::Relationship => {
                let successor = self.minted.id(&format!("{} after {id}", entry.path));
                let act = Act::Replace { kind: entry.kind, id, successor, fields: target };
                self.bind(&entry.path, act.new_id());
                self.step(Action::Change, entry, changes, None, act);
            }
            kind if self.section(kind).is_some() => {
                let step = SectionStep { kind, id, path: entry.path.clone(), make: false, fields: target };
                self.step(Action::Change, entry, changes, None, Act::Section(step));
            }
            kind => {
                let act = Act::Update { kind, id, fields: target };
                self.step(Action::Change, entry, changes, None, act);
            }
        }
        Ok(())
    }

    fn add(&mut self, entry: &Entry, manifest: &Manifest) {
        let id = self.ids.get(&entry.path).copied().unwrap_or_else(|| self.minted.id(&entry.path));
        let act = if self.section(entry.kind).is_some() {
            let (path, fields) = (entry.path.clone(), entry.fields.clone());
            Act::Section(SectionStep { kind: entry.kind, id, path, make: true, fields })
        } else if entry.kind == Kind::Key {
            let resolve = Resolve { manifest, ids: &self.ids };
            let Some(key) = resolve.key(&entry.path) else { return };
            let location_id = entry.fields.get("location_id").and_then(Value::as_str).and_then(|id| id.parse().ok());
            let owner = resolve.party(&key.owner);
            Act::MakeKey { key_id: KeyId::from_uuid(id), key: Box::new(key.clone()), owner, location_id }
        } else {
            Act::Create { kind: entry.kind, id, fields: entry.fields.clone() }
        };
        self.step(Action::Add, entry, Vec::new(), None, act);
    }

    /// The manifest has an entry that ended in the ledger.
    fn ended(&mut self, entry: &Entry, entity: &Entity, manifest: &Manifest) -> Result<(), PlanError> {
        let ended_on = entity.ended.as_ref().map(|ended| ended.at.to_string()).unwrap_or_default();
        let was = format!("was {} on {}", entity.status(), ended_on.get(..10).unwrap_or_default());
        let id = entity.entity_ref().id;
        match entry.kind {
            Kind::Key => {
                let text = format!("{was}; for a new key write an entry of another name");
                self.plan.kept_out.push(remark(entry, text));
            }
            _ if !self.options.reinstate => self.plan.kept_out.push(remark(entry, was)),
            Kind::Person => {
                let reason = reason(format!("reinstated by {}", self.file))?;
                let act = Act::Reactivate { id, reason };
                self.step(Action::Reinstate, entry, Vec::new(), None, act);
                let recorded = fields_of(&entity.facts);
                let target = self.merge(entry, &recorded);
                if target != recorded {
                    let changes = self.changes(&recorded, &target);
                    let act = Act::Update { kind: entry.kind, id, fields: target };
                    self.step(Action::Change, entry, changes, None, act);
                }
            }
            _ => {
                let successor = self.minted.id(&format!("{} after {id}", entry.path));
                self.bind(&entry.path, successor);
                let resolve = Resolve { manifest, ids: &self.ids };
                if let Some(entry) = resolve.entry(entry.kind, &entry.path) {
                    self.add(&entry, manifest);
                }
            }
        }
        Ok(())
    }

    /// Attribute by attribute: the manifest's word where it changed, the ledger's where it did not.
    fn merge(&mut self, entry: &Entry, recorded: &Fields) -> Fields {
        let base = self.base.and_then(|base| {
            Resolve { manifest: &base.manifest, ids: &self.ids }
                .entry(entry.kind, &entry.path)
                .map(|entry| entry.fields)
        });
        let Some(base) = base else { return entry.fields.clone() };
        let mut target = Fields::new();
        let names: BTreeSet<&String> = entry.fields.keys().chain(base.keys()).chain(recorded.keys()).collect();
        for name in names {
            let (file, last, there) = (entry.fields.get(name), base.get(name), recorded.get(name));
            let value = if file == last {
                if there != file {
                    let text = format!("{name} is {} since; it stays so", self.shown(there));
                    self.plan.kept.push(remark(entry, text));
                }
                there
            } else if there == last || there == file {
                file
            } else {
                let text = format!(
                    "{name}: the file changed {} to {}, the ledger to {}; write what is right into the file",
                    self.shown(last),
                    self.shown(file),
                    self.shown(there)
                );
                self.conflict(entry, text);
                there
            };
            if let Some(value) = value {
                target.insert(name.clone(), value.clone());
            }
        }
        target
    }

    /// Entries of the last manifest that this one lacks: they end, or are proposed and remembered.
    fn removals(&mut self, manifest: &Manifest, next: &mut Manifest) -> Result<(), PlanError> {
        let Some(base) = self.base else { return Ok(()) };
        let wanted: BTreeSet<String> = paths(manifest).into_iter().map(|(_, path)| path).collect();
        // Backwards: what is inside something ends before it.
        for (kind, path) in paths(&base.manifest).into_iter().rev() {
            let Some(id) = base.ids.get(&path).copied() else { continue };
            if wanted.contains(&path) {
                continue;
            }
            let Some(entity) = self.view.get(EntityRef::new(kind, id))? else { continue };
            let resolve = Resolve { manifest: &base.manifest, ids: &base.ids };
            let Some(entry) = resolve.entry(kind, &path) else { continue };
            let stays = match &entity.facts {
                crate::ledger::Facts::Organization(_) | crate::ledger::Facts::Operator(_) => true,
                crate::ledger::Facts::Account(facts) => facts.account.system,
                _ => false,
            };
            // What stands in an account ends, or stays, with it.
            if !entity.is_active() || stays || nats::leaves(manifest, &path) {
                continue;
            }
            if self.options.prune {
                // A role ends with the person or the role that it joins.
                let joined = match &entity.facts {
                    crate::ledger::Facts::Assignment(it) => [it.person_id.into(), it.role_id.into()],
                    _ => [entity.entity_ref(); 2],
                };
                let reason = reason(format!("no longer in {}", self.file))?;
                let act = Act::End { kind, id, reason: reason.clone() };
                let ends_anyway = kind == Kind::Assignment && joined.iter().any(|it| self.leaves(manifest, *it));
                if !ends_anyway {
                    self.step(Action::End, &entry, Vec::new(), Some(reason.as_str().to_owned()), act);
                }
            } else {
                base.copy_entry(&path, next);
                let text = format!("is no longer in {}, and stays recorded", self.file);
                self.plan.proposed.push(remark(&entry, text));
            }
        }
        Ok(())
    }

    /// Whether an entity stood in the last manifest and does not stand in this one, or stands there as one who left.
    fn leaves(&self, manifest: &Manifest, entity: EntityRef) -> bool {
        let Some(path) = self.paths.get(&entity.id) else { return false };
        let (section, name) = path.split_once('.').unwrap_or((path, ""));
        let Ok(name) = super::manifest::EntryName::new(name) else { return false };
        match section {
            "people" => manifest.people.get(&name).is_none_or(|person| person.left.is_some()),
            "roles" => !manifest.roles.contains_key(&name),
            _ => false,
        }
    }

    fn step(&mut self, action: Action, entry: &Entry, changes: Vec<FieldChange>, reason: Option<String>, act: Act) {
        let (path, name) = (entry.path.clone(), entry.title.clone());
        self.plan.steps.push(Step { action, entry: path, name, changes, reason });
        self.acts.push(act);
    }

    fn conflict(&mut self, entry: &Entry, text: String) {
        self.conflicts.push(remark(entry, text));
    }

    fn changes(&self, from: &Fields, to: &Fields) -> Vec<FieldChange> {
        let names: BTreeSet<&String> = from.keys().chain(to.keys()).collect();
        let changed = names.into_iter().filter(|name| from.get(*name) != to.get(*name));
        let change = |name: &String| FieldChange {
            field: name.strip_suffix("_id").unwrap_or(name).to_owned(),
            from: from.get(name).map(|value| self.shown(Some(value))),
            to: to.get(name).map(|value| self.shown(Some(value))),
        };
        changed.map(change).collect()
    }

    /// A value as people read it: names of the file for identifiers, long texts cut.
    fn shown(&self, value: Option<&Value>) -> String {
        let text = match value {
            None => return "nothing".into(),
            Some(Value::String(text)) => {
                let id = text.rsplit(':').next().and_then(|id| id.parse::<Uuid>().ok());
                match id.and_then(|id| self.paths.get(&id)) {
                    Some(path) => path.clone(),
                    None => format!("\"{text}\""),
                }
            }
            Some(Value::Array(items)) => {
                let items: Vec<_> = items.iter().map(|item| self.shown(Some(item))).collect();
                format!("[{}]", items.join(", "))
            }
            Some(other) => other.to_string(),
        };
        let cut: String = text.chars().take(120).collect();
        let mark = if cut.len() < text.len() { "…" } else { "" };
        format!("{}{mark}", visible(&cut))
    }
}

/// A reason that apply gives.
fn reason(text: String) -> Result<Note, PlanError> {
    Note::typed(&text).map_err(|error| PlanError::Damaged(error.to_string()))
}

fn remark(entry: &Entry, text: String) -> Remark {
    Remark { entry: entry.path.clone(), name: entry.title.clone(), text }
}
