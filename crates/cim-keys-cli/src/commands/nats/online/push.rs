//! `nats push`: account tokens to every server, and the proof that they are there.

use std::time::Duration;

use cim_keys::act::Outcome;
use cim_keys::authority::nats::push::{self, PushError, PushOptions, Pushed, Verdict};
use cim_keys::authority::nats::receipt::{self, Receipt, ReceiptAccount, ReceiptError};
use cim_keys::authority::nats::servers::{self, State, Survey, Wanted};
use cim_keys::authority::nats::{NatsError, creds};
use cim_keys::files::NewFile;
use cim_keys::session::Session;
use cim_keys::text::visible;
use cim_keys::time::Timestamp;
use serde_json::json;

use super::args::PushArgs;
use super::asking::{block_on, connect, missing, now, standing, survey, table};
use crate::act::{Acting, EndAct as _};
use crate::commands::nats::acts::restricted;
use crate::error::{CliError, Result};
use crate::global::Global;
use crate::ledger;
use crate::ui::Ui;

/// How long servers may take until they show what they were sent.
const PATIENCE: Duration = Duration::from_secs(10);

impl From<PushError> for CliError {
    fn from(error: PushError) -> Self {
        match error {
            PushError::System(error) => error.into(),
            error => Self::explain(&error),
        }
    }
}

impl From<ReceiptError> for CliError {
    fn from(error: ReceiptError) -> Self {
        match error {
            ReceiptError::Nats(error) => error.into(),
            error => Self::explain(&error),
        }
    }
}

pub(crate) fn push(args: &PushArgs, global: &Global, ui: Ui) -> Result {
    if !args.delete.is_empty() {
        return super::delete::delete(args, global, ui);
    }
    let session = ledger::read(global)?;
    let accounts = accounts(args, &session)?;
    // What can't be written is told before anything is sent.
    let receipt = args.receipt.as_deref().map(receipt::begin).transpose()?;
    block_on(async {
        let client = connect(&args.system, &session).await?;
        let survey = survey(&client, &args.system, &session).await?;
        let bar = ui.progress("pushing", accounts.len() as u64);
        let options = PushOptions { allow_rollback: args.allow_rollback, now: now(), patience: PATIENCE };
        let pushed = push::push(&client, &survey, &accounts, options, &|| bar.inc(1)).await;
        bar.finish_and_clear();
        let pushed = pushed?;
        let rows: Vec<(&Wanted, &Pushed)> = accounts.iter().map(|(wanted, _)| wanted).zip(&pushed).collect();
        show(&survey, &rows, ui)?;
        keep(receipt, &session, &survey, &rows, global, ui)?;
        judge(&survey, &rows)?;
        let servers = survey.members.len();
        let hold = if servers == 1 { "holds" } else { "hold" };
        ui.done(format_args!("{} {hold} {}.", counted(servers, "server"), counted(rows.len(), "account")))
    })
}

pub(super) fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// The accounts that were named, with the texts of their tokens.
fn accounts(args: &PushArgs, session: &Session) -> Result<Vec<(Wanted, String)>> {
    let restricted = restricted(session)?;
    let wanted = session.store().view(|view| {
        if args.all {
            return servers::wanted(view, None);
        }
        let mut wanted: Vec<Wanted> = Vec::new();
        for name in &args.account {
            for found in servers::wanted(view, Some(name))? {
                if wanted.iter().all(|known| known.account_id != found.account_id) {
                    wanted.push(found);
                }
            }
        }
        Ok(wanted)
    })??;
    let texts = wanted.into_iter().map(|wanted| {
        let text = creds::token(&restricted, wanted.name.as_str(), Some(&wanted.token))?;
        Ok::<_, NatsError>((wanted, text))
    });
    Ok(texts.collect::<std::result::Result<_, _>>()?)
}

fn show(survey: &Survey, rows: &[(&Wanted, &Pushed)], ui: Ui) -> Result {
    for (wanted, pushed) in rows {
        let mut object = standing(wanted, &pushed.after);
        object["result"] = pushed.verdict.word().into();
        object["problems"] = json!(push::problems(wanted, pushed));
        ui.object(&object)?;
    }
    let cells: Vec<_> =
        rows.iter().map(|(wanted, pushed)| (*wanted, &pushed.after, pushed.verdict.word().to_owned())).collect();
    let (headings, cells) = table(survey, &cells);
    ui.table(&headings.iter().map(String::as_str).collect::<Vec<_>>(), &cells)?;
    let volatile = |pushed: &Pushed| pushed.after.servers.iter().any(|it| it.state == State::UntilRestart);
    if rows.iter().any(|(_, pushed)| volatile(pushed)) {
        ui.warn(
            "some servers have their tokens in their configuration: what was pushed is in force there until they restart; give \
             them a new configuration too (`cim-keys nats server-config --resolver memory`)",
        );
    }
    Ok(())
}

/// Writes the receipt, and records what was proved where this is the ledger itself.
fn keep(
    file: Option<NewFile>,
    session: &Session,
    survey: &Survey,
    rows: &[(&Wanted, &Pushed)],
    global: &Global,
    ui: Ui,
) -> Result {
    let mut receipt = Receipt::new(session.store().identity().ledger_id, Timestamp::now(), survey.expected);
    for (wanted, pushed) in rows {
        let Some(signed) = wanted.token.signed.as_ref().filter(|_| pushed.verdict.is_proved()) else { continue };
        // A server that asks others only when a client comes holds nothing yet.
        let holds = pushed.after.servers.iter().filter(|standing| standing.state != State::OnDemand);
        receipt.accounts.push(ReceiptAccount {
            name: wanted.name.to_string(),
            public_key: wanted.public_key.clone(),
            jti: wanted.token.jti.clone(),
            iat: wanted.token.issued_at,
            token: signed.token.to_string(),
            servers: receipt::server_names(holds.map(|standing| standing.server.name.as_str())),
        });
    }
    let has_file = file.is_some();
    let written = file.map_or(Ok(()), |file| receipt.write(file));
    if session.store().pinned_key()?.is_some() {
        written?;
        if !has_file {
            ui.note("This is a mirror: what was proved is not recorded. With --receipt FILE, `carry` takes it to the ledger.");
        }
        return Ok(());
    }
    let recorded = record(&receipt, global, ui);
    match recorded {
        Ok(done) => {
            ui.line(format_args!("Recorded: {}.", counted(done.events.len(), "event")))?;
            done.end(ui)?;
            Ok(written?)
        }
        // The receipt has it; the ledger can take it in later.
        Err(error) if has_file && written.is_ok() => {
            ui.warn(format_args!("what was proved is in the receipt, and not recorded here: {error}"));
            Ok(())
        }
        Err(error) => Err(error.hint("what was pushed is pushed; pushing again records it")),
    }
}

fn record(receipt: &Receipt, global: &Global, ui: Ui) -> Result<Outcome<()>> {
    let mut acting = Acting::begin(global, &global.passphrases, ui)?;
    let intent = acting.session().intent();
    Ok(receipt::record(&mut acting.pipeline().0, &intent, receipt)?)
}

fn judge(survey: &Survey, rows: &[(&Wanted, &Pushed)]) -> Result {
    let refused = |verdict: &Verdict| matches!(verdict, Verdict::Expired | Verdict::Rollback(_));
    let bad: Vec<&(&Wanted, &Pushed)> = rows.iter().filter(|(_, pushed)| !pushed.verdict.is_proved()).collect();
    if bad.is_empty() {
        return missing(survey).map_or(Ok(()), Err);
    }
    let what = format!("{} of {} not pushed, or not proved", bad.len(), counted(rows.len(), "account"));
    let silent = |pushed: &Pushed| {
        pushed.after.servers.iter().all(|it| it.state.is_proved() || it.state == State::Silent)
            && pushed.answers.iter().all(|answer| answer.outcome.is_ok())
    };
    let mut error = if bad.iter().any(|(_, pushed)| refused(&pushed.verdict)) {
        CliError::refused(what)
    } else if bad.iter().all(|(_, pushed)| silent(pushed)) {
        CliError::unreachable(what)
    } else {
        CliError::failed(what)
    };
    for (wanted, pushed) in bad {
        for problem in push::problems(wanted, pushed) {
            error = error.detail(format!("{}: {problem}", visible(wanted.name.as_str())));
        }
    }
    if survey.missing() > 0 {
        error = error.detail(format!("{} servers did not answer at all", survey.missing()));
    }
    Err(error.hint("`cim-keys nats diff` shows what servers hold"))
}
