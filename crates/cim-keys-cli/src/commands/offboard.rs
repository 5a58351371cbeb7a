//! `person offboard`: everything that ends with a leaver, as one plan.

use cim_keys::act::Question;
use cim_keys::app::offboard::{self, Item, Offboarding};
use cim_keys::authority::nats;
use cim_keys::text::{Note, visible};
use clap::Args;
use serde_json::{Value, json};

use crate::act::{Acting, EndAct as _};
use crate::error::Result;
use crate::global::Global;
use crate::ledger;
use crate::ui::Ui;

#[derive(Debug, Args)]
pub(crate) struct OffboardArgs {
    /// Who: name, e-mail address or identifier
    who: String,
    /// Why
    #[arg(long, value_parser = Note::typed)]
    reason: Note,
    /// Show the plan, and do nothing
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(args: &OffboardArgs, global: &Global, ui: Ui) -> Result {
    let reading = ledger::read(global)?;
    let plan = reading.store().view(|view| offboard::plan(view, &args.who))??;
    drop(reading);
    if args.dry_run || plan.is_empty() {
        ui.object(&as_json(&plan))?;
        show(&plan, ui)?;
        return ui.line(if plan.is_empty() {
            "Nothing is left to end."
        } else {
            "Nothing was changed: this was a dry run."
        });
    }
    show(&plan, ui)?;
    let question =
        format!("Offboard {}? Keys that are revoked and users that are cut off don't come back.", plan.person.name);
    let mut acting = Acting::begin(global, &global.passphrases, ui)?;
    let done = acting.act(|draft| {
        draft.ask(Question::new(&*question, "nothing was recorded"));
        nats::edit(draft, |nats| {
            // What came in between the look and the act is part of it.
            let plan = offboard::plan(nats.view(), &args.who)?;
            offboard::carry_out(nats, &plan, &args.reason)?;
            Ok(plan)
        })
    })?;
    if ui.is_json() {
        ui.object(&as_json(&done.value))?;
    }
    acting.report(&done.events)?;
    to_do(&done.value, ui)?;
    done.end(ui)
}

fn as_json(plan: &Offboarding) -> Value {
    let item = |it: &Item| json!({ "kind": it.entity.kind.as_str(), "id": it.entity.id.to_string(), "name": it.name });
    let items = |list: &[Item]| list.iter().map(item).collect::<Vec<_>>();
    let shared = plan.to_rotate.iter().map(|it| json!({ "key": item(&it.key), "compartment": it.compartment }));
    json!({
        "person": item(&plan.person), "deactivate": plan.active, "roles": items(&plan.roles),
        "relationships": items(&plan.relationships), "keys": items(&plan.keys), "users": items(&plan.users),
        "recipients": plan.recipients, "to_rotate": shared.collect::<Vec<_>>(), "unknown": plan.unknown,
    })
}

fn show(plan: &Offboarding, ui: Ui) -> Result {
    ui.heading(format_args!("Offboarding {}", visible(&plan.person.name)))?;
    if plan.active {
        ui.line("  - the person is deactivated")?;
    }
    for (what, list) in [
        ("ends", &plan.roles),
        ("ends", &plan.relationships),
        ("is revoked", &plan.keys),
        ("is cut off, and its account signed anew", &plan.users),
    ] {
        for it in list {
            ui.line(format_args!("  - {} {what}", visible(&it.name)))?;
        }
    }
    for compartment in &plan.recipients {
        ui.line(format_args!("  - compartment {compartment} is no longer sealed to the person"))?;
    }
    to_do(plan, ui)
}

/// What remains for people to do: no program can know whether a key was copied.
fn to_do(plan: &Offboarding, ui: Ui) -> Result {
    if !plan.to_rotate.is_empty() {
        ui.line(
            "To be rotated, because the person could open them (`cim-keys key rotate`, `cim-keys nats ... rotate`):",
        )?;
    }
    for it in &plan.to_rotate {
        ui.line(format_args!("  ! {} in compartment {}", visible(&it.key.name), it.compartment))?;
    }
    for compartment in &plan.unknown {
        ui.line(format_args!(
            "  ? It is not recorded who opens compartment {compartment}: if the person knew its passphrase, change it \
             (`cim-keys custody passphrase {compartment}`) and rotate its keys; `cim-keys custody holder` records who does."
        ))?;
    }
    Ok(())
}
