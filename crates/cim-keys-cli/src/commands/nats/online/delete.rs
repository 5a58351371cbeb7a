//! `nats push --delete`: servers forget an account that the ledger has deleted.

use cim_keys::adapters::nats_system::Wait;
use cim_keys::app::nats::{NatsError, deletion, lookup};
use cim_keys::text::{PublicKey, visible};
use secrecy::ExposeSecret as _;
use serde_json::json;

use super::PushArgs;
use super::asking::{block_on, connect, missing, now, survey};
use crate::cli::Global;
use crate::commands::nats::Keys;
use crate::error::{CliError, Result};
use crate::ledger;
use crate::ui::Ui;

pub(super) fn delete(args: &PushArgs, global: &Global, ui: Ui) -> Result {
    let session = ledger::write(global)?;
    let accounts: Vec<(String, PublicKey, bool)> = session.store().view(|view| {
        let found = args.delete.iter().map(|text| {
            let facts = lookup::account(view, text)?;
            let active = view.get(facts.account.account_id.into())?.is_some_and(|entity| entity.is_active());
            Ok((facts.account.name.to_string(), facts.account.public_key, active))
        });
        found.collect::<std::result::Result<_, NatsError>>()
    })??;
    if let Some((name, ..)) = accounts.iter().find(|(_, _, active)| *active) {
        return Err(CliError::refused(format!("account {} is not deleted in the ledger", visible(name)))
            .hint("delete it there first, with `cim-keys nats account delete`"));
    }
    let names: Vec<String> = accounts.iter().map(|(name, ..)| visible(name).into_owned()).collect();
    if !ui.confirm(&format!("Make servers close all connections of {}, and forget it?", names.join(", ")))? {
        return Err(CliError::refused("nothing was deleted"));
    }
    let keys: Vec<PublicKey> = accounts.iter().map(|(_, key, _)| key.clone()).collect();
    let custody = session.custody()?;
    let mut access = Keys::new(&custody, &args.passphrases)?;
    let request = session.store().view(|view| deletion::request(view, &mut access, now(), &keys))??;
    block_on(async {
        let client = connect(&args.system, &session).await?;
        let before = survey(&client, &args.system, &session).await?;
        let folders = before.members.iter().filter(|member| !is_memory(member)).count();
        let answers = client.delete(request.expose_secret(), Wait::Known(folders)).await?;
        let after = survey(&client, &args.system, &session).await?;
        let mut problems = Vec::new();
        for member in &after.members {
            let server = visible(&member.server.name).into_owned();
            let left: Vec<&str> =
                keys.iter().map(PublicKey::as_str).filter(|key| member.folder.contains(*key)).collect();
            let said = answers.iter().find(|answer| answer.server.id == member.server.id);
            let error = said.and_then(|answer| answer.outcome.as_ref().err());
            let state = if is_memory(member) {
                problems.push(format!(
                    "{server} has its tokens in its configuration: take the account out of it, and reload the server"
                ));
                "configured"
            } else if left.is_empty() {
                "deleted"
            } else {
                let why = error.map_or_else(|| "it did not say why".to_owned(), |error| visible(error).into_owned());
                problems.push(format!("{server} still has it: {why}"));
                "held"
            };
            ui.object(&json!({ "server": member.server.name, "state": state, "left": left, "error": error }))?;
            ui.line(format_args!("{server}  {state}"))?;
        }
        match (problems.is_empty(), missing(&after)) {
            (true, None) => {
                ui.done(format_args!("{} is deleted on {} servers.", names.join(", "), after.members.len()))
            }
            (true, Some(error)) => Err(error),
            (false, _) => {
                let error = CliError::failed(format!("{} is not deleted everywhere", names.join(", ")));
                let error = problems.into_iter().fold(error, CliError::detail);
                Err(error
                    .hint("a full resolver needs `allow_delete: true`, as `cim-keys nats server-config` writes it"))
            }
        }
    })
}

fn is_memory(member: &cim_keys::app::nats::servers::Member) -> bool {
    member.resolver == cim_keys::app::nats::servers::ResolverKind::Memory
}
