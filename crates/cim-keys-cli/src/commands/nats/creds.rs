//! `nats creds`: users' credentials, for files of one's own, for standard output, or sealed to somebody.

mod by_agent;
mod sealed;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cim_keys::act::Outcome;
use cim_keys::authority::nats::creds;
use cim_keys::ledger::{AccountFacts, UserFacts};
use cim_keys::text::{Recipient, visible};
use clap::Args;
use secrecy::ExposeSecret as _;

use crate::act::{Acting, EndAct as _};
use crate::commands::out::{self, Out, file_name};
use crate::error::{CliError, Result};
use crate::global::Global;
use crate::passphrase::PassphraseArgs;
use crate::ui::Ui;

/// A user with its account.
type User = (AccountFacts, UserFacts);

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

pub(crate) fn run(args: &CredsArgs, global: &Global, ui: Ui) -> Result {
    if args.which.is_empty() {
        return by_agent::run(&args.agent, args.file.as_deref(), args.to.as_ref(), ui);
    }
    let mut acting = Acting::begin(global, &args.passphrases, ui)?;
    let users = acting.session().store().view(|view| creds::users(view, &args.which))??;
    // The files are made first: what can't be written is not recorded as handed out.
    let mut outs = files(args, &users)?;
    let done = acting.act(|draft| creds::hand_out(draft, &args.which, args.to.as_ref()))?;
    let mut ui = ui;
    for (made, out) in done.value.iter().zip(&mut outs) {
        out.write(made.content.expose_secret())?;
        if out.is_standard_output() {
            ui = ui.aside();
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
    done.end(ui)
}

/// Writes one user's credentials to a path, recorded: for commands that need them beside something else.
pub(super) fn write_one(acting: &mut Acting, which: &str, path: &Path) -> Result<Outcome<Vec<creds::HandedOut>>> {
    let mut out = Out::create(path)?;
    let which = [which.to_owned()];
    let done = acting.act(|draft| creds::hand_out(draft, &which, None))?;
    done.value.iter().try_for_each(|made| out.write(made.content.expose_secret()))?;
    Ok(done)
}

fn files(args: &CredsArgs, made: &[User]) -> Result<Vec<Out>> {
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
fn names(made: &[User]) -> Vec<String> {
    let mut count: BTreeMap<String, usize> = BTreeMap::new();
    for one in made {
        *count.entry(user_name(one)).or_default() += 1;
    }
    let name = |one: &User| match user_name(one) {
        name if count[&name] == 1 => name,
        name => format!("{}-{name}", file_name(one.0.account.name.as_str())),
    };
    made.iter().map(name).collect()
}

fn user_name(made: &User) -> String {
    file_name(made.1.user.name.as_str())
}
