//! Credentials for a while, from an agent: for whoever owns no ledger.

use std::path::{Path, PathBuf};

use cim_keys::authority::nats::agent::{Answer, Request, Token};
use cim_keys::custody::SecretBytes;
use cim_keys::events::NkeyKind;
use cim_keys::keys::{self, KeyKind};
use cim_keys::nats::claims::User;
use cim_keys::nats::creds::Creds;
use cim_keys::nats::jwt;
use cim_keys::text::{Recipient, visible};
use clap::Args;
use secrecy::{ExposeSecret as _, SecretString};

use super::sealed;
use crate::commands::agent::{self, SocketArgs};
use crate::commands::nats::span;
use crate::commands::out::{Out, file_name};
use crate::error::{CliError, Result};
use crate::ui::Ui;

/// For how long, when nothing else is said.
const QUARTER_OF_AN_HOUR: u64 = 15 * 60;

#[derive(Debug, Args)]
#[command(next_help_heading = "From an agent, without a ledger")]
pub(crate) struct AgentArgs {
    /// The public key (U…) of a user whose seed you have: the agent signs its token, which is what is written. Without it a
    /// key is made here, and whole credentials are written
    #[arg(long, value_name = "KEY", conflicts_with = "which")]
    public_key: Option<String>,
    /// For how long: 15m, 1h [default: 15m]
    #[arg(long, value_name = "DURATION", conflicts_with = "which", value_parser = span)]
    ttl: Option<u64>,
    /// The user's name, for the role's subjects: letters, digits, - and _ [default: its public key]
    #[arg(long, conflicts_with = "which")]
    name: Option<String>,
    /// ROLE or ACCOUNT/ROLE, where the agent signs for several
    #[arg(long, conflicts_with = "which")]
    role: Option<String>,
    #[command(flatten)]
    socket: SocketArgs,
}

pub(super) fn run(asked: &AgentArgs, file: Option<&Path>, to: Option<&Recipient>, ui: Ui) -> Result {
    let own = match &asked.public_key {
        Some(_) => None,
        None => {
            let key = keys::generate(KeyKind::Nkey(NkeyKind::User));
            Some(key.map_err(|error| CliError::failed(error.to_string()))?)
        }
    };
    let public_key = match (&own, &asked.public_key) {
        (Some((public, _)), _) => public.public_key.to_string(),
        (None, given) => given.clone().unwrap_or_default(),
    };
    let user = asked.name.as_ref().unwrap_or(&public_key);
    let ending = if own.is_some() { "creds" } else { "jwt" };
    let ending = to.map_or_else(|| ending.to_owned(), |to| format!("{ending}.{}", sealed::ending(to)));
    let place = match file {
        Some(path) if path.is_dir() => path.join(format!("{}.{ending}", file_name(user))),
        Some(path) => path.to_owned(),
        None => PathBuf::from(format!("{}.{ending}", file_name(user))),
    };
    // The file is made first: nothing is asked for that could not be written.
    let mut out = Out::create(Path::new(&place))?;
    let request = Request::Issue {
        public_key: public_key.clone(),
        ttl_secs: asked.ttl.unwrap_or(QUARTER_OF_AN_HOUR),
        name: asked.name.clone(),
        role: asked.role.clone(),
    };
    let Answer::Issued(issued) = agent::ask(&asked.socket, &request)? else {
        return Err(CliError::failed("the agent answered something else than was asked"));
    };
    check(&issued, &public_key)?;
    let content = match own {
        Some((_, secret)) => whole(&issued, &secret),
        None => SecretBytes::new(Box::new(format!("{}\n", issued.token).into_bytes())),
    };
    let content = match to {
        Some(to) => sealed::seal(to, &content)?,
        None => content,
    };
    out.write(content.expose_secret())?;
    if out.is_standard_output() {
        return Ok(());
    }
    let (shown, until) = (out.shown(), issued.expires_at);
    ui.object(&serde_json::json!({
        "file": shown, "account": issued.account, "role": issued.role, "user": issued.user,
        "public_key": public_key, "expires_at": until,
    }))?;
    let what = if asked.public_key.is_some() { "token" } else { "credentials" };
    let (account, role) = (visible(&issued.account), visible(&issued.role));
    ui.line(format_args!("The {what} of a user of {account}/{role}, good until {until}: {shown}."))
}

/// An agent that answers with something else than a token of the key is none to be trusted.
fn check(issued: &Token, public_key: &str) -> Result {
    let about = jwt::decode::<User>(&issued.token).map(|claims| claims.registered.sub);
    match about {
        Ok(about) if about == public_key => Ok(()),
        Ok(_) => Err(CliError::verification("the agent answered with a token of another user's key")),
        Err(error) => Err(CliError::verification("the agent answered with what is no user's token").because(&error)),
    }
}

fn whole(issued: &Token, secret: &SecretBytes) -> SecretBytes {
    let seed = std::str::from_utf8(secret.expose_secret()).unwrap_or_default().trim();
    let creds = Creds { token: issued.token.clone(), seed: SecretString::from(seed.to_owned()) };
    SecretBytes::new(Box::new(creds.to_text().as_bytes().to_vec()))
}
