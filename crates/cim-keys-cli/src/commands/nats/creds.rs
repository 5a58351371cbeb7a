//! `nats creds`: users' credentials, for files of one's own, for standard output, or sealed to somebody.

mod by_agent;
mod sealed;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use cim_keys::app::nats::{NatsError, creds, lookup};
use cim_keys::app::session::Session;
use cim_keys::custody::SecretBytes;
use cim_keys::ledger::{AccountFacts, Command, UserFacts};
use cim_keys::text::{Note, Recipient, visible};
use clap::Args;
use secrecy::ExposeSecret as _;

use super::{Keys, Tokens};
use crate::cli::Global;
use crate::commands::out::{self, Out};
use crate::error::{CliError, Result};
use crate::ledger;
use crate::passphrase::PassphraseArgs;
use crate::ui::Ui;

#[derive(Debug, Args)]
pub(crate) struct CredsArgs {
    /// Whose: ACCOUNT/USER, or the public key; several are written into a folder. Without any, an agent is asked for a user
    #[arg(required_unless_present_any = ["public_key", "ttl", "name", "role", "socket"])]
    which: Vec<String>,
    /// The file to write, which must not exist yet, mode 0600; a folder for several; `-` for standard output
    /// [default: USER.creds]
    #[arg(long, short = 'f', visible_alias = "out", value_name = "FILE|DIR")]
    file: Option<PathBuf>,
    /// Seal them to this age recipient (age1…) or NATS curve key (X…); files get .age or .xkey behind their names
    #[arg(long, value_name = "RECIPIENT")]
    to: Option<Recipient>,
    #[command(flatten)]
    passphrases: PassphraseArgs,
    #[command(flatten)]
    agent: by_agent::AgentArgs,
}

/// One user's credentials, not written yet.
struct Made {
    account: AccountFacts,
    user: UserFacts,
    content: SecretBytes,
}

pub(crate) fn run(args: &CredsArgs, global: &Global, ui: Ui) -> Result {
    if args.which.is_empty() {
        return by_agent::run(args, ui);
    }
    let session = ledger::write(global)?;
    let custody = session.custody()?;
    let mut keys = Keys::new(&custody, Tokens::of(&session), &args.passphrases)?;
    let made = make(&session, &args.which, args.to.as_ref(), &mut keys)?;
    // The files are made first: what can't be written is not recorded as handed out.
    let mut outs = files(args, &made)?;
    record(&session, &made, args.to.as_ref())?;
    for (made, out) in made.iter().zip(&mut outs) {
        out.write(made.content.expose_secret())?;
        if out.is_standard_output() {
            continue;
        }
        let (user, shown) = (&made.user.user, out.shown());
        let account = made.account.account.name.as_str();
        ui.object(&serde_json::json!({
            "file": shown, "account": account, "user": user.name, "public_key": user.public_key
        }))?;
        let (account, name) = (visible(account), visible(user.name.as_str()));
        ui.line(format_args!("The credentials of {account}/{name} are in {shown}."))?;
    }
    keys.sign_head(&session)
}

/// The credentials of users, ready to be written.
fn make(session: &Session, which: &[String], to: Option<&Recipient>, keys: &mut Keys<'_>) -> Result<Vec<Made>> {
    let restricted = super::restricted(session)?;
    let texts = session.store().view(|view| {
        let one = |text: &String| {
            let (account, user) = lookup::user(view, text)?;
            let entity = view.get(user.user.user_id.into())?;
            if entity.is_some_and(|entity| !entity.is_active()) {
                return Err(NatsError::UserEnded(user.user.name.to_string()));
            }
            let text = creds::creds(view, &restricted, keys, &user)?.to_text();
            Ok::<_, NatsError>((account, user, text))
        };
        let mut made = which.iter().map(one).collect::<std::result::Result<Vec<_>, _>>()?;
        // Named twice, by name and by key, is one.
        let mut seen = BTreeSet::new();
        made.retain(|(_, user, _)| seen.insert(user.user.user_id));
        Ok::<_, NatsError>(made)
    })??;
    let seal = |(account, user, text): (AccountFacts, UserFacts, zeroize::Zeroizing<String>)| {
        let plain = SecretBytes::new(Box::new(text.as_bytes().to_vec()));
        let content = match to {
            None => plain,
            Some(recipient) => sealed::seal(recipient, &plain)?,
        };
        Ok(Made { account, user, content })
    };
    texts.into_iter().map(seal).collect()
}

/// Nothing leaves unrecorded.
fn record(session: &Session, made: &[Made], to: Option<&Recipient>) -> Result {
    let reason = Note::typed("credentials of the user were written")?;
    let export = |made: &Made| {
        let (key_id, recipient, reason) = (made.user.user.key_id, to.cloned(), reason.clone());
        Command::ExportKey { key_id, recipient, reason }
    };
    session.store().execute(session.context(), made.iter().map(export).collect())?;
    Ok(())
}

/// Writes one user's credentials to a path, recorded: for commands that need them beside something else.
pub(super) fn write_one(session: &Session, which: &str, path: &Path, passphrases: &PassphraseArgs) -> Result {
    let custody = session.custody()?;
    let mut keys = Keys::new(&custody, Tokens::of(session), passphrases)?;
    let made = make(session, &[which.to_owned()], None, &mut keys)?;
    let mut out = Out::create(path)?;
    record(session, &made, None)?;
    made.iter().try_for_each(|made| out.write(made.content.expose_secret()))?;
    keys.sign_head(session)
}

fn files(args: &CredsArgs, made: &[Made]) -> Result<Vec<Out>> {
    let suffix = args.to.as_ref().map_or_else(|| "creds".to_owned(), |to| format!("creds.{}", sealed::ending(to)));
    let is_folder = |path: &Path| path.is_dir() || path.to_string_lossy().ends_with('/');
    match (&args.file, made) {
        (None, [one]) => Ok(vec![Out::create(Path::new(&format!("{}.{suffix}", user_name(one))))?]),
        (Some(path), [_]) if !is_folder(path) => Ok(vec![Out::create(path)?]),
        (Some(path), _) if path.as_os_str() == "-" => {
            Err(CliError::usage("only one user's credentials go to standard output")
                .hint("name a folder with --out DIR"))
        }
        (path, _) => {
            let folder = path.clone().unwrap_or_else(|| PathBuf::from("."));
            out::folder(&folder)?;
            names(made).into_iter().map(|name| Out::create(&folder.join(format!("{name}.{suffix}")))).collect()
        }
    }
}

/// A name a file: the user's, with the account's before it where two users share one.
fn names(made: &[Made]) -> Vec<String> {
    let mut count: BTreeMap<String, usize> = BTreeMap::new();
    for one in made {
        *count.entry(user_name(one)).or_default() += 1;
    }
    let name = |one: &Made| match user_name(one) {
        name if count[&name] == 1 => name,
        name => format!("{}-{name}", file_name(one.account.account.name.as_str())),
    };
    made.iter().map(name).collect()
}

fn user_name(made: &Made) -> String {
    file_name(made.user.user.name.as_str())
}

/// A name as a file's.
pub(super) fn file_name(name: &str) -> String {
    let clean: String =
        name.chars().map(|c| if c.is_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' }).collect();
    if clean.starts_with('.') { format!("_{clean}") } else { clean }
}
