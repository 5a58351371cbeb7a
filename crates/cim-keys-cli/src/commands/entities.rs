//! What `list` and `show` have in common.

use cim_keys::app::{describe, names};
use cim_keys::ledger::lookup;
use cim_keys::ledger::{Entity, EntityRef, Kind, View};
use cim_keys::session::Session;
use clap::Args;
use serde_json::Value;

use crate::error::{CliError, Result};
use crate::global::Global;
use crate::ledger;
use crate::ui::Ui;

/// What every `list` takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct ListArgs {
    /// Show what has ended as well
    #[arg(long, short)]
    pub(crate) all: bool,
    /// Show at most so many
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

/// What every `show` takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct ShowArgs {
    /// Which one: its name or identifier
    which: String,
}

/// How many entities are read at a time.
const PAGE: usize = 256;

/// Lists entities of a kind: as text under headings, as JSON one object a line.
pub(crate) fn list(
    kind: Kind,
    args: &ListArgs,
    headings: &[&str],
    global: &Global,
    ui: Ui,
    row: impl Fn(&dyn View, &Entity) -> Vec<String>,
) -> Result {
    let session = ledger::read(global)?;
    let (mut after, mut rows, mut shown) = (None, Vec::new(), 0);
    let limit = args.limit.unwrap_or(usize::MAX);
    loop {
        let page = session.store().view(|view| view.list(kind, after, PAGE).map(|page| texts(view, page, &row)))?;
        let page = page.map_err(|error| CliError::failed("cannot read the ledger").because(&error))?;
        let full = page.len() == PAGE;
        after = page.last().map(|(entity, _)| entity.entity_ref().id).or(after);
        for (entity, cells) in page {
            if shown < limit && (args.all || entity.is_active()) {
                shown += 1;
                ui.object(&describe::entity(&entity))?;
                rows.push(cells);
            }
        }
        if !full || shown == limit {
            break;
        }
    }
    if rows.is_empty() {
        return ui.line(match args.all {
            true => format!("No {kind} is recorded."),
            false => format!("No {kind} is active; --all shows those that ended as well."),
        });
    }
    ui.table(headings, &rows)
}

fn texts(
    view: &dyn View,
    page: Vec<Entity>,
    row: impl Fn(&dyn View, &Entity) -> Vec<String>,
) -> Vec<(Entity, Vec<String>)> {
    page.into_iter().map(|entity| (row(view, &entity), entity)).map(|(cells, entity)| (entity, cells)).collect()
}

/// Shows one entity, with what refers to it.
pub(crate) fn show(kind: Kind, args: &ShowArgs, related: &[Kind], global: &Global, ui: Ui) -> Result {
    let session = ledger::read(global)?;
    let entity = session.store().view(|view| lookup::entity(view, kind, &args.which))??;
    print(&session, &entity, related, ui)
}

/// Prints one entity, with those of some kinds that refer to it.
pub(crate) fn print(session: &Session, entity: &Entity, related: &[Kind], ui: Ui) -> Result {
    let object = describe::entity(entity);
    ui.object(&object)?;
    if ui.is_json() {
        return Ok(());
    }
    let facts = session.store().view(|view| {
        let value = |name: &str, value: &Value| match name {
            "id" | "kind" => plain(value),
            _ => readable(view, value),
        };
        let object = object.as_object().into_iter().flatten();
        object.map(|(name, it)| (name.clone(), value(name, it))).collect::<Vec<_>>()
    })?;
    let facts: Vec<(&str, String)> = facts.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    ui.facts(&facts)?;
    for &kind in related {
        let found = session.store().view(|view| {
            let found = view.referrers(entity.entity_ref(), kind, None, 1_000)?;
            let active = found.into_iter().filter(Entity::is_active);
            Ok::<_, cim_keys::ledger::ViewError>(active.map(|it| summary(view, &it)).collect::<Vec<_>>())
        })?;
        let found = found.map_err(|error| CliError::failed("cannot read the ledger").because(&error))?;
        if !found.is_empty() {
            ui.line("")?;
            ui.heading(format_args!("{kind}s"))?;
            for line in found {
                ui.line(format_args!("  {}", cim_keys::text::visible(&line)))?;
            }
        }
    }
    Ok(())
}

/// One entity on a line.
fn summary(view: &dyn View, entity: &Entity) -> String {
    use cim_keys::ledger::Facts;
    let validity = match &entity.facts {
        Facts::Assignment(it) => describe::validity(&it.validity),
        Facts::Relationship(it) => describe::validity(&it.validity),
        _ => String::new(),
    };
    let name = names::entity(view, entity).unwrap_or_else(|_| entity.entity_ref().to_string());
    format!("{name}{validity}")
}

/// The name of an entity, or its identifier.
pub(crate) fn name_of(view: &dyn View, reference: EntityRef) -> String {
    let entity = view.get(reference).ok().flatten();
    let name = entity.and_then(|entity| entity.facts.name().map(ToString::to_string));
    name.unwrap_or_else(|| reference.id.to_string())
}

/// A party (`person:<uuid>`) with its name for its identifier.
pub(crate) fn named(view: &dyn View, party: &str) -> String {
    let Some((kind, id)) = party.split_once(':') else { return party.to_owned() };
    match (Kind::from_word(kind), id.parse()) {
        (Some(of), Ok(id)) => format!("{kind} {}", name_of(view, EntityRef::new(of, id))),
        _ => party.to_owned(),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}

/// A value for people: names for identifiers, words in a row, and what is deeper a line each, indented.
fn readable(view: &dyn View, value: &Value) -> String {
    match value {
        Value::String(text) => word(view, text),
        other => lines(view, other).join("\n"),
    }
}

fn lines(view: &dyn View, value: &Value) -> Vec<String> {
    match value {
        Value::Object(map) => map.iter().flat_map(|(name, it)| under(view, name, it)).collect(),
        Value::Array(items) if items.iter().any(is_deep) => {
            items.iter().flat_map(|item| under(view, "-", item)).collect()
        }
        Value::Array(items) => {
            vec![items.iter().flat_map(|item| lines(view, item)).collect::<Vec<_>>().join(", ")]
        }
        // A line of its own that is part of a text would look like another field.
        Value::String(text) => vec![cim_keys::text::visible(&word(view, text)).into_owned()],
        Value::Null => vec!["-".into()],
        other => vec![other.to_string()],
    }
}

/// A named value beneath others: beside its name, or below it where it has parts.
fn under(view: &dyn View, name: &str, value: &Value) -> Vec<String> {
    // Claims are recorded as the text that was signed.
    let claims = value.as_str().filter(|_| name == "claims").and_then(|text| serde_json::from_str(text).ok());
    let value = claims.as_ref().unwrap_or(value);
    let label = if name == "-" { "-".to_owned() } else { format!("{name}:") };
    match is_deep(value) {
        true => std::iter::once(label).chain(lines(view, value).iter().map(|line| format!("  {line}"))).collect(),
        false => lines(view, value).iter().map(|line| format!("{label} {line}").trim_end().to_owned()).collect(),
    }
}

fn is_deep(value: &Value) -> bool {
    match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(items) => items.iter().any(is_deep),
        _ => false,
    }
}

/// One word: the name of what it identifies, where it does.
fn word(view: &dyn View, text: &str) -> String {
    match text.parse() {
        Ok(id) => {
            let known = Kind::ALL.iter().map(|kind| EntityRef::new(*kind, id));
            let mut known = known.filter(|it| view.get(*it).ok().flatten().is_some());
            known.next().map_or_else(|| text.to_owned(), |it| format!("{} ({text})", name_of(view, it)))
        }
        Err(_) => match named(view, text) {
            name if name == *text => text.to_owned(),
            name => format!("{name} ({text})"),
        },
    }
}
