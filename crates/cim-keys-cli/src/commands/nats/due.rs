//! `nats due`: keys that were replaced with an overlap, and when they end.

use cim_keys::authority::nats::due::{self, Due, Old};
use cim_keys::events::NatsHolder;
use cim_keys::text::{Note, visible};
use cim_keys::time::Timestamp;
use clap::Args;

use super::acts::{self, look};
use crate::error::Result;
use crate::global::Global;
use crate::passphrase::PassphraseArgs;
use crate::ui::Ui;

#[derive(Debug, Args)]
pub(crate) struct DueArgs {
    /// End those whose time has come, and sign what they let in anew
    #[arg(long)]
    apply: bool,
    #[command(flatten)]
    passphrases: PassphraseArgs,
}

pub(crate) fn run(args: &DueArgs, global: &Global, ui: Ui) -> Result {
    if args.apply {
        let reason = Note::typed("the overlap of a rotation is over")?;
        return acts::act(&args.passphrases, global, ui, |nats| due::end(nats, &reason).map(|_| ()));
    }
    let (_, scheduled) = look(global, due::scheduled)?;
    let now = Timestamp::now();
    let mut rows = Vec::new();
    for one in &scheduled {
        let (is_due, what) = (one.retire_at <= now, what(one));
        ui.object(&serde_json::json!({
            "what": what,
            "public_key": one.key.public_key,
            "retire_at": one.retire_at,
            "due": is_due,
        }))?;
        let state = if is_due { "due" } else { "waiting" };
        let (key, at) = (one.key.public_key.to_string(), one.retire_at.to_string());
        rows.push(vec![visible(&what).into_owned(), key, at, state.to_owned()]);
    }
    if rows.is_empty() {
        return ui.line("No replaced key is waiting for its end.");
    }
    ui.table(&["WHAT", "OLD KEY", "GOOD UNTIL", "STATE"], &rows)?;
    if scheduled.iter().any(|one| one.retire_at <= now) {
        ui.line("`cim-keys nats due --apply` ends those that are due; then push their accounts.")?;
    }
    Ok(())
}

fn what(due: &Due) -> String {
    match &due.old {
        Old::User(account, user) => format!("user {}/{}", account.account.name, user.user.name),
        Old::SigningKey(key) => {
            let role = key.role.as_ref().map(|role| format!(" of role {role}")).unwrap_or_default();
            let holder = if matches!(key.holder, NatsHolder::Operator(_)) { "operator" } else { "account" };
            format!("{holder} signing key{role}")
        }
        _ => "key".to_owned(),
    }
}
