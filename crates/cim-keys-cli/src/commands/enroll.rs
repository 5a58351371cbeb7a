//! `person enroll`: a key with which a person signs acts, in a compartment that only that person opens.

use cim_keys::app::attest::{self, Enrollment};
use cim_keys::custody::{UnlockError, WorkFactor};
use cim_keys::events::Validity;
use cim_keys::ids::PersonId;
use cim_keys::keys::KeyKind;
use cim_keys::ledger::Kind;
use cim_keys::ledger::lookup;
use cim_keys::text::{Label, Name, Recipient};
use cim_keys::time::Timestamp;
use clap::Args;

use crate::act::{Acting, EndAct as _};
use crate::error::{CliError, Result};
use crate::global::Global;
use crate::passphrase::Passphrases;
use crate::ui::Ui;

#[derive(Debug, Args)]
pub(crate) struct EnrollArgs {
    /// Who: name, e-mail address or identifier
    who: String,
    /// The algorithm: ed25519 or p256
    #[arg(long, default_value = "ed25519", value_parser = kind)]
    algorithm: KeyKind,
    /// The compartment of the person's own, which is made; named after the person when absent
    #[arg(long, value_name = "NAME")]
    compartment: Option<Label>,
    /// What the key is called; named after the person when absent
    #[arg(long, value_parser = Name::typed)]
    name: Option<Name>,
    /// Until when it may be used
    #[arg(long, value_name = "TIME", value_parser = Timestamp::parse_lenient)]
    expires: Option<Timestamp>,
    /// Write a generated passphrase to standard error, once, even when that is no terminal
    #[arg(long)]
    show_passphrase: bool,
    /// How dear a guess at a passphrase is, as a power of two; 18 is about a second
    #[arg(long, value_name = "N", default_value_t = 18, hide = true)]
    work_factor: u8,
}

fn kind(text: &str) -> std::result::Result<KeyKind, String> {
    match text.parse() {
        Ok(kind @ (KeyKind::Ed25519 | KeyKind::P256)) => Ok(kind),
        _ => Err("acts are signed with ed25519 or p256".into()),
    }
}

pub(crate) fn run(args: &EnrollArgs, global: &Global, ui: Ui) -> Result {
    let acting = Acting::begin(global, &global.passphrases, ui)?;
    let session = acting.session();
    let entity = session.store().view(|view| lookup::entity(view, Kind::Person, &args.who))??;
    let person = PersonId::from_uuid(entity.entity_ref().id);
    let person_name = entity.facts.name().map(ToString::to_string).unwrap_or_default();
    let new = Enrollment {
        person,
        name: match &args.name {
            Some(name) => name.clone(),
            None => Name::typed(&format!("{person_name} (acts)"))?,
        },
        kind: args.algorithm,
        compartment: match &args.compartment {
            Some(compartment) => compartment.clone(),
            None => Label::new(&slug(&person_name)).map_err(|_| {
                CliError::usage(format!("no compartment can be named after {}", entity.label()))
                    .hint("name one with --compartment")
            })?,
        },
        validity: Validity::new(None, args.expires).map_err(|error| CliError::usage(error.to_string()))?,
    };
    session.store().view(|view| attest::own_compartment(view, person, &new.compartment))??;
    let work = WorkFactor::new(args.work_factor)
        .ok_or_else(|| CliError::usage("the work factor is between 10 and 20; 18 is the default"))?;
    let mut custody = session.custody()?.with_work_factor(work);
    let there = custody.compartments().any(|(label, _)| *label == new.compartment);
    let fresh = match there {
        true => None,
        false => {
            let labels = std::slice::from_ref(&new.compartment);
            Some(Passphrases::new(&global.passphrases)?.for_new(labels, args.show_passphrase)?)
        }
    };
    if let Some(fresh) = &fresh {
        for (compartment, passphrase) in &fresh.passphrases {
            custody.add_compartment_shown(compartment, passphrase, || fresh.show(ui))?;
        }
    }
    let recipient = custody.recipient(&new.compartment).map_err(UnlockError::from)?;
    let recipient = Recipient::new(&recipient)?;
    let mut acting = acting.with_custody(custody, &global.passphrases)?;
    let done = acting.act(|draft| attest::enroll(draft, recipient.clone(), &new))?;
    acting.report(&done.events)?;
    ui.done(format_args!(
        "{} signs acts with --as from now on; the key lies in compartment {}.",
        cim_keys::text::visible(&person_name),
        new.compartment
    ))?;
    done.end(ui)
}

/// A person's name as the name of a compartment: lower-case letters, digits and single hyphens.
fn slug(name: &str) -> String {
    let lower = name.to_lowercase();
    let words = lower.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-").chars().take(48).collect()
}
