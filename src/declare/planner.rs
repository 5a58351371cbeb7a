//! What has to be recorded for a ledger to be what a manifest says: a three-way comparison of the manifest, the one that
//! was applied last, and what is recorded.
//!
//! An attribute that the manifest did not change since it was applied last stays as it is recorded, whoever changed it
//! in between. An entry that ended in between stays ended. An entry that left the manifest is proposed for removal.

use std::collections::{BTreeSet, HashMap, HashSet};

use serde_json::Value;
use uuid::Uuid;

use super::base::Base;
use super::entries::{self, Entry, paths};
use super::fields::{self, Fields};
use super::find::find;
use super::manifest::Manifest;
use super::nats;
use super::path::{EntryPath, Ids, NatsPath};
use super::plan::{Action, FieldChange, Minted, Options, Plan, PlanError, Remark, Step};
use super::resolve::Resolve;
use super::section::{Section, SectionStep};
use super::steps::Act;
use crate::ids::KeyId;
use crate::ledger::{Entity, EntityRef, Facts, How, Kind, View};
use crate::text::{Name, Note, visible};

/// A plan with what carries it out.
pub(crate) struct Planned {
    /// What is to be done, for people.
    pub(crate) plan: Plan,
    /// What the steps do, one a step.
    pub(crate) acts: Vec<Act>,
    /// The manifest that the next one is compared with.
    pub(crate) next: Base,
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
        paths: ids.iter().map(|(path, id)| (id, path.clone())).collect(),
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
    for path in paths(manifest) {
        let entity = planner.identify(manifest, &path)?;
        known.push((path, entity));
    }
    for (path, entity) in known {
        let resolve = Resolve { manifest, ids: &planner.ids };
        let Some(entry) = entries::entry(resolve, &path)? else { continue };
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
    paths: HashMap<Uuid, EntryPath>,
    plan: Plan,
    acts: Vec<Act>,
    conflicts: Vec<Remark>,
}

impl Planner<'_> {
    /// The section that an entry belongs to; `None` where what is recorded of it is its facts.
    fn section(&self, path: &EntryPath) -> Option<&dyn Section> {
        self.sections.iter().copied().find(|section| section.owns(path.kind()))
    }

    fn bind(&mut self, path: &EntryPath, id: Uuid) {
        self.ids.insert(path.clone(), id);
        self.paths.insert(id, path.clone());
    }

    /// Which recorded entity an entry is: the one that it was when it was applied last, else the one of its name; with a
    /// fresh identifier when there is none.
    fn identify(&mut self, manifest: &Manifest, path: &EntryPath) -> Result<Option<Entity>, PlanError> {
        let known = self.ids.get(path);
        if let (EntryPath::Nats(NatsPath::Role(..)), Some(_)) = (path, known)
            && let Some(entity) = find(self.view, Resolve { manifest, ids: &self.ids }, path)?
        {
            // A role's newest key is the role's, whichever it was when the file was applied last.
            self.bind(path, entity.entity_ref().id);
            return Ok(Some(entity));
        }
        let mut entity = match known {
            Some(id) => self.view.get(EntityRef::new(path.kind(), id))?,
            None => {
                let id = self.minted.id(path, None);
                self.bind(path, id);
                find(self.view, Resolve { manifest, ids: &self.ids }, path)?
            }
        };
        // A rotated key lives on in its successor.
        while let Some(Entity { facts: Facts::Key(key), ended: Some(ended), .. }) = &entity
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
                self.add(entry, manifest)?;
            }
            return Ok(());
        };
        match (&entity.ended, &entry.left) {
            (Some(_), Some(_)) => return Ok(()),
            (None, Some(reason)) => {
                let act = Act::End { kind: entry.path.kind(), id: entity.entity_ref().id, reason: reason.clone() };
                self.step(Action::End, entry, Vec::new(), Some(reason.as_str().to_owned()), act);
                return Ok(());
            }
            (Some(_), None) => return self.ended(entry, &entity, manifest),
            (None, None) => {}
        }
        let recorded = match self.section(&entry.path) {
            Some(section) => section.recorded(self.view, &entity, &self.paths, &entry.fields)?,
            None => fields::of_facts(&entity.facts),
        };
        let target = self.merge(entry, &recorded)?;
        if target == recorded {
            return Ok(());
        }
        let changes = self.changes(&recorded, &target);
        let id = entity.entity_ref().id;
        match (entry.path.kind(), &entry.path) {
            (Kind::Key, _) => {
                let names = changes.iter().map(|change| change.field.as_str()).collect::<Vec<_>>().join(", ");
                let text = format!(
                    "a key is never changed, and the file has another {names}; \
                     take that back, or rotate the key and give the new one its own entry"
                );
                self.conflict(entry, text);
            }
            (kind @ (Kind::Assignment | Kind::Relationship), _) => {
                let successor = self.minted.id(&entry.path, Some(id));
                let act = Act::Replace { kind, id, successor, fields: target };
                self.bind(&entry.path, act.new_id());
                self.step(Action::Change, entry, changes, None, act);
            }
            (_, EntryPath::Nats(path)) => {
                let step = SectionStep { id, path: path.clone(), make: false, fields: target };
                self.step(Action::Change, entry, changes, None, Act::Section(step));
            }
            (kind, _) => {
                let act = Act::Update { kind, id, fields: target };
                self.step(Action::Change, entry, changes, None, act);
            }
        }
        Ok(())
    }

    fn add(&mut self, entry: &Entry, manifest: &Manifest) -> Result<(), PlanError> {
        let id = self.ids.get(&entry.path).unwrap_or_else(|| self.minted.id(&entry.path, None));
        let act = match &entry.path {
            EntryPath::Nats(path) => {
                Act::Section(SectionStep { id, path: path.clone(), make: true, fields: entry.fields.clone() })
            }
            EntryPath::Key(name) => {
                let resolve = Resolve { manifest, ids: &self.ids };
                let Some(key) = manifest.keys.get(name) else { return Ok(()) };
                let (owner, location_id) = (resolve.party(&key.owner)?, resolve.location(key.location.as_ref())?);
                Act::MakeKey { key_id: KeyId::from_uuid(id), key: Box::new(key.clone()), owner, location_id }
            }
            path => Act::Create { kind: path.kind(), id, fields: entry.fields.clone() },
        };
        self.step(Action::Add, entry, Vec::new(), None, act);
        Ok(())
    }

    /// The manifest has an entry that ended in the ledger.
    fn ended(&mut self, entry: &Entry, entity: &Entity, manifest: &Manifest) -> Result<(), PlanError> {
        let ended_on = entity.ended.as_ref().map(|ended| ended.at.to_string()).unwrap_or_default();
        let was = format!("was {} on {}", entity.status(), ended_on.get(..10).unwrap_or_default());
        let id = entity.entity_ref().id;
        match entry.path.kind() {
            Kind::Key => {
                let text = format!("{was}; for a new key write an entry of another name");
                self.plan.kept_out.push(remark(entry, text));
            }
            _ if !self.options.reinstate => self.plan.kept_out.push(remark(entry, was)),
            Kind::Person => {
                let reason = reason(format!("reinstated by {}", self.file))?;
                let act = Act::Reactivate { id, reason };
                self.step(Action::Reinstate, entry, Vec::new(), None, act);
                let recorded = fields::of_facts(&entity.facts);
                let target = self.merge(entry, &recorded)?;
                if target != recorded {
                    let changes = self.changes(&recorded, &target);
                    let act = Act::Update { kind: Kind::Person, id, fields: target };
                    self.step(Action::Change, entry, changes, None, act);
                }
            }
            _ => {
                let successor = self.minted.id(&entry.path, Some(id));
                self.bind(&entry.path, successor);
                let resolve = Resolve { manifest, ids: &self.ids };
                if let Some(entry) = entries::entry(resolve, &entry.path)? {
                    self.add(&entry, manifest)?;
                }
            }
        }
        Ok(())
    }

    /// Attribute by attribute: the manifest's word where it changed, the ledger's where it did not.
    fn merge(&mut self, entry: &Entry, recorded: &Fields) -> Result<Fields, PlanError> {
        let base = match self.base {
            Some(base) => entries::entry(Resolve { manifest: &base.manifest, ids: &self.ids }, &entry.path)?,
            None => None,
        };
        let Some(base) = base.map(|base| base.fields) else { return Ok(entry.fields.clone()) };
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
        Ok(target)
    }

    /// Entries of the last manifest that this one lacks: they end, or are proposed and remembered.
    fn removals(&mut self, manifest: &Manifest, next: &mut Manifest) -> Result<(), PlanError> {
        let Some(base) = self.base else { return Ok(()) };
        let wanted: HashSet<EntryPath> = paths(manifest).into_iter().collect();
        // Backwards: what is inside something ends before it.
        for path in paths(&base.manifest).into_iter().rev() {
            let Some(id) = base.ids.get(&path) else { continue };
            if wanted.contains(&path) {
                continue;
            }
            let kind = path.kind();
            let Some(entity) = self.view.get(EntityRef::new(kind, id))? else { continue };
            let resolve = Resolve { manifest: &base.manifest, ids: &base.ids };
            let Some(entry) = entries::entry(resolve, &path)? else { continue };
            let stays = match &entity.facts {
                Facts::Organization(_) | Facts::Operator(_) => true,
                Facts::Account(facts) => facts.account.system,
                _ => false,
            };
            // What stands in an account ends, or stays, with it.
            let with_account = matches!(&path, EntryPath::Nats(path) if nats::leaves(manifest, path));
            if !entity.is_active() || stays || with_account {
                continue;
            }
            if self.options.prune {
                // A role ends with the person or the role that it joins.
                let joined = match &entity.facts {
                    Facts::Assignment(it) => [it.person_id.into(), it.role_id.into()],
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
        match self.paths.get(&entity.id) {
            Some(EntryPath::Person(name)) => manifest.people.get(name).is_none_or(|person| person.left.is_some()),
            Some(EntryPath::Role(name)) => !manifest.roles.contains_key(name),
            _ => false,
        }
    }

    fn step(&mut self, action: Action, entry: &Entry, changes: Vec<FieldChange>, reason: Option<String>, act: Act) {
        let (path, name) = (entry.path.to_string(), entry.title.clone());
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
                    Some(path) => path.to_string(),
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
    Remark { entry: entry.path.to_string(), name: entry.title.clone(), text }
}
