//! Asking servers: the connection, who is there, and how what they hold is shown.

use std::future::Future;

use cim_keys::adapters::nats_system::{SystemClient, SystemError};
use cim_keys::advice::{ErrorKind, Explained as _};
use cim_keys::authority::nats::lookup;
use cim_keys::authority::nats::servers::{Observed, Survey, Wanted};
use cim_keys::ledger::Facts;
use cim_keys::nats::held::Held;
use cim_keys::session::Session;
use cim_keys::time::Timestamp;
use serde_json::{Value, json};

use super::args::SystemArgs;
use crate::error::{CliError, Result};
use crate::place;

impl From<SystemError> for CliError {
    fn from(error: SystemError) -> Self {
        let cannot = "cannot ask the servers";
        let told = match error.kind() {
            ErrorKind::Usage => Self::usage(cannot),
            ErrorKind::Refused => Self::refused(cannot),
            _ => Self::unreachable(cannot),
        };
        told.because_of(&error)
    }
}

/// Runs what asks servers.
pub(super) fn block_on<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| CliError::failed("cannot start asking servers").because(&error))?.block_on(future)
}

pub(super) async fn connect(args: &SystemArgs, session: &Session) -> Result<SystemClient> {
    let config = place::config_with(Some(session.place().folder()), &args.flags())?.config.nats;
    config.validate().map_err(|error| place::invalid_config(&error))?;
    if config.credentials_file.is_none() {
        return Err(CliError::usage("no credentials of the system account were named")
            .hint("name a file with --creds; `cim-keys nats creds SYS/USER` writes one"));
    }
    Ok(SystemClient::connect(&config).await?)
}

pub(super) async fn survey(client: &SystemClient, args: &SystemArgs, session: &Session) -> Result<Survey> {
    let probe = session.store().view(|view| {
        let operator = lookup::operator(view)?.operator;
        let system = operator.system_account_id.map(|id| view.get(id.into())).transpose()?.flatten();
        Ok::<_, cim_keys::authority::nats::NatsError>(match system.map(|entity| entity.facts) {
            Some(Facts::Account(facts)) => facts.account.public_key.to_string(),
            _ => operator.public_key.to_string(),
        })
    })??;
    Ok(Survey::take(client, args.expected(), &probe).await?)
}

/// Why a survey is not whole, if it is not.
pub(super) fn missing(survey: &Survey) -> Option<CliError> {
    let expected = survey.expected.filter(|_| survey.missing() > 0)?;
    let names: Vec<&str> = survey.members.iter().map(|member| member.server.name.as_str()).collect();
    Some(
        CliError::unreachable(format!("{} of {expected} servers answer: {}", names.len(), names.join(", ")))
            .hint("start those that are missing, and run this again"),
    )
}

pub(super) fn now() -> u64 {
    u64::try_from(Timestamp::now().unix_micros() / 1_000_000).unwrap_or_default()
}

/// An account's standing on each server, as JSON.
pub(super) fn standing(wanted: &Wanted, observed: &Observed) -> Value {
    let servers: Vec<Value> = observed
        .servers
        .iter()
        .map(|standing| {
            json!({
                "server": standing.server.name,
                "server_id": standing.server.id,
                "resolver": standing.resolver.to_string(),
                "state": standing.state.word(),
                "loaded": standing.loaded.as_ref().map(held),
            })
        })
        .collect();
    json!({
        "account": wanted.name,
        "public_key": wanted.public_key,
        "jti": wanted.token.jti,
        "iat": wanted.token.issued_at,
        "servers": servers,
        "stored": observed.stored.iter().map(held).collect::<Vec<_>>(),
    })
}

fn held(held: &Held) -> Value {
    match held {
        Held::Nothing => json!({ "held": "nothing" }),
        Held::Same => json!({ "held": "same" }),
        Held::Unreadable(why) => json!({ "held": "unreadable", "why": why }),
        Held::Other(other) => json!({
            "held": match other.age {
                cim_keys::nats::held::Age::Older => "older",
                cim_keys::nats::held::Age::Twin => "twin",
                cim_keys::nats::held::Age::Newer => "newer",
            },
            "iat": other.iat,
            "jti": other.jti,
            "issuer": other.issuer,
            "differences": other.differences.iter().map(|difference| json!({
                "path": difference.path, "ledger": difference.ours, "server": difference.theirs,
            })).collect::<Vec<_>>(),
        }),
    }
}

/// The table of accounts and servers: what each server holds, and the sum in the last column.
pub(super) fn table(survey: &Survey, rows: &[(&Wanted, &Observed, String)]) -> (Vec<String>, Vec<Vec<String>>) {
    let mut headings = vec!["ACCOUNT".to_owned()];
    headings.extend(survey.members.iter().map(|member| cim_keys::text::visible(&member.server.name).into_owned()));
    headings.push("RESULT".to_owned());
    let rows = rows.iter().map(|(wanted, observed, result)| {
        let mut row = vec![wanted.name.to_string()];
        row.extend(observed.servers.iter().map(|standing| standing.state.word().to_owned()));
        row.push(result.clone());
        row
    });
    (headings, rows.collect())
}
