//! `nats context`: what the `nats` command line needs to connect as a user.

use std::path::PathBuf;

use cim_keys::authority::nats::lookup;
use cim_keys::text::visible;
use clap::Args;
use serde_json::json;

use super::creds;
use crate::act::{Acting, EndAct as _};
use crate::commands::out::file_name;
use crate::commands::out::{self, Out};
use crate::error::{CliError, Result};
use crate::global::Global;
use crate::passphrase::PassphraseArgs;
use crate::ui::Ui;

#[derive(Debug, Args)]
pub(crate) struct ContextArgs {
    /// Whose: ACCOUNT/USER, or the public key
    which: String,
    /// What the context is called [default: ACCOUNT_USER]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Where to connect [default: the operator's service URLs, else nats://localhost:4222]
    #[arg(long, visible_alias = "server", value_name = "URL", value_delimiter = ',')]
    url: Vec<String>,
    /// Credentials that are written already [default: they are written beside the context]
    #[arg(long, value_name = "FILE")]
    creds: Option<PathBuf>,
    /// The folder of the `nats` command line [default: $XDG_CONFIG_HOME/nats, else ~/.config/nats]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    #[command(flatten)]
    passphrases: PassphraseArgs,
}

pub(crate) fn run(args: &ContextArgs, global: &Global, ui: Ui) -> Result {
    let mut acting = Acting::begin(global, &args.passphrases, ui)?;
    let (account, user, operator) = acting.session().store().view(|view| {
        let (account, user) = lookup::user(view, &args.which)?;
        Ok::<_, cim_keys::authority::nats::NatsError>((account, user, lookup::operator(view)?))
    })??;
    let name = match &args.name {
        Some(name) if file_name(name) == *name && !name.is_empty() => name.clone(),
        Some(name) => {
            return Err(CliError::usage(format!("\"{}\" can't be a context's name", visible(name)))
                .hint("use letters, digits, hyphens and underscores"));
        }
        None => format!("{}_{}", file_name(account.account.name.as_str()), file_name(user.user.name.as_str())),
    };
    let dir = match &args.dir {
        Some(dir) => dir.clone(),
        None => nats_folder()?,
    };
    let dir = std::path::absolute(&dir).unwrap_or(dir);
    let (contexts, creds_folder) = (dir.join("context"), dir.join("creds"));
    out::folder(&contexts)?;
    let mut context = Out::create(&contexts.join(format!("{name}.json")))?;
    let mut written = None;
    let creds = match &args.creds {
        Some(path) => std::path::absolute(path).unwrap_or_else(|_| path.clone()),
        None => {
            out::folder(&creds_folder)?;
            let path = creds_folder.join(format!("{name}.creds"));
            written = Some(creds::write_one(&mut acting, &args.which, &path)?);
            path
        }
    };
    let urls: Vec<String> = match (args.url.is_empty(), operator.operator.service_urls.is_empty()) {
        (false, _) => args.url.clone(),
        (true, false) => operator.operator.service_urls.iter().map(ToString::to_string).collect(),
        (true, true) => vec!["nats://localhost:4222".to_owned()],
    };
    let description = format!("{}/{} of {}", account.account.name, user.user.name, operator.operator.name);
    let content = json!({ "description": description, "url": urls.join(","), "creds": creds });
    let mut text = serde_json::to_string_pretty(&content).unwrap_or_default();
    text.push('\n');
    context.write(text.as_bytes())?;
    ui.object(&json!({ "context": name, "file": context.shown(), "creds": creds, "url": urls }))?;
    ui.line(format_args!("The context is in {}; use it with `nats --context {name} …`.", context.shown()))?;
    written.map_or(Ok(()), |done| done.end(ui))
}

fn nats_folder() -> Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let config = set("XDG_CONFIG_HOME").or_else(|| Some(set("HOME")?.join(".config")));
    config.map(|config| config.join("nats")).ok_or_else(|| {
        CliError::usage("neither XDG_CONFIG_HOME nor HOME is set").hint("name the folder with --dir DIR")
    })
}
