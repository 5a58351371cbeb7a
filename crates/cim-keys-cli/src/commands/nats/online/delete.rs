//! `nats push --delete`: servers forget an account that the ledger has deleted.

use cim_keys::adapters::nats_system::Wait;
use cim_keys::authority::nats::deletion::{self, Deleted};
use cim_keys::authority::nats::{NatsError, creds};
use cim_keys::text::visible;
use serde_json::json;

use super::args::PushArgs;
use super::asking::{block_on, connect, missing, survey};
use crate::commands::nats::acts::restricted;
use crate::error::{CliError, Result};
use crate::global::Global;
use crate::ledger;
use crate::ui::Ui;

pub(super) fn delete(args: &PushArgs, global: &Global, ui: Ui) -> Result {
    let session = ledger::read(global)?;
    let found = session.store().view(|view| {
        args.delete.iter().map(|text| deletion::find(view, text)).collect::<std::result::Result<Vec<_>, NatsError>>()
    })??;
    let restricted = restricted(&session)?;
    let text = |one: &Deleted| {
        let what = format!("the request to delete account {}", visible(&one.name));
        creds::token(&restricted, &what, Some(&one.request))
    };
    let requests = found.iter().map(text).collect::<std::result::Result<Vec<_>, _>>()?;
    let names: Vec<String> = found.iter().map(|one| visible(&one.name).into_owned()).collect();
    if !ui.confirm(&format!("Make servers close all connections of {}, and forget it?", names.join(", ")))? {
        return Err(CliError::refused("nothing was deleted"));
    }
    block_on(async {
        let client = connect(&args.system, &session).await?;
        let before = survey(&client, &args.system, &session).await?;
        for one in &found {
            if let Some(member) = before.distrusting(one.request.issuer.as_str()).first() {
                let (server, key) = (visible(&member.server.name), one.request.issuer.as_str());
                return Err(CliError::failed(format!(
                    "server {server} does not trust {key}, which signed the request to delete {}; nothing was deleted",
                    visible(&one.name)
                ))
                .hint(
                    "give it this operator's token and restart it; or, where that key was retired, sign the request anew with \
                     `cim-keys nats account delete` on the ledger's own machine",
                ));
            }
        }
        let folders = before.members.iter().filter(|member| !is_memory(member)).count();
        let mut answers = Vec::new();
        for request in &requests {
            answers.extend(client.delete(request, Wait::Known(folders)).await?);
        }
        let after = survey(&client, &args.system, &session).await?;
        let mut problems = Vec::new();
        for member in &after.members {
            let server = visible(&member.server.name).into_owned();
            let left: Vec<&str> =
                found.iter().map(|one| one.public_key.as_str()).filter(|key| member.folder.contains(*key)).collect();
            let mut said = answers.iter().filter(|answer| answer.server.id == member.server.id);
            let error = said.find_map(|answer| answer.outcome.as_ref().err());
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

fn is_memory(member: &cim_keys::authority::nats::servers::Member) -> bool {
    member.resolver == cim_keys::authority::nats::servers::ResolverKind::Memory
}
