//! `nats diff`: the ledger against what servers hold, by what the claims say.

use std::time::Duration;

use cim_keys::authority::nats::NatsError;
use cim_keys::authority::nats::servers::{self, Observed, Survey, Wanted};
use cim_keys::ledger::{Facts, Index, Kind, NameKey};
use cim_keys::nats::held::Other;
use cim_keys::session::Session;
use cim_keys::text::visible;
use cim_keys::time::Timestamp;
use serde_json::{Value, json};

use super::args::DiffArgs;
use super::asking::{block_on, connect, missing, standing, survey, table};
use super::push::counted;
use crate::error::{CliError, Result};
use crate::global::Global;
use crate::ledger;
use crate::ui::Ui;

/// One comparison.
struct Compared {
    survey: Survey,
    rows: Vec<(Wanted, Observed)>,
    strangers: Vec<Stranger>,
}

/// An account that servers hold and that the ledger does not have, or no longer.
struct Stranger {
    public_key: String,
    /// The name of one that the ledger deleted.
    deleted: Option<String>,
    servers: Vec<String>,
}

impl Compared {
    fn differing(&self) -> impl Iterator<Item = &(Wanted, Observed)> {
        self.rows.iter().filter(|(_, observed)| !observed.is_proved())
    }

    fn in_step(&self) -> bool {
        self.differing().next().is_none() && self.strangers.is_empty()
    }

    /// In one word, for the status line.
    fn word(&self) -> &'static str {
        match (self.in_step(), self.survey.missing()) {
            (false, _) => "drift",
            (true, 0) => "in-step",
            (true, _) => "missing-servers",
        }
    }

    fn summary(&self) -> String {
        let (on, accounts) = (counted(self.survey.members.len(), "server"), self.rows.len());
        let differing = self.differing().count();
        let strangers = match self.strangers.len() {
            0 => String::new(),
            some => format!(", {some} held that should not be"),
        };
        match differing {
            0 if self.strangers.is_empty() => format!("The same on {on}: {}.", counted(accounts, "account")),
            _ => format!("{differing} of {} differ on {on}{strangers}.", counted(accounts, "account")),
        }
    }

    fn verdict(&self) -> Result {
        if self.in_step() {
            return missing(&self.survey).map_or(Ok(()), Err);
        }
        Err(CliError::verification(self.summary().trim_end_matches('.').to_owned())
            .hint("`cim-keys nats push --all` brings servers up to date; `nats pull` brings what they hold"))
    }
}

pub(crate) fn diff(args: &DiffArgs, global: &Global, ui: Ui) -> Result {
    let session = ledger::read(global)?;
    block_on(async {
        if args.watch {
            return watch(args, &session, ui).await;
        }
        let compared = compare(args, &session).await?;
        show(&compared, ui)?;
        ui.object(&status(&compared))?;
        if compared.in_step() && compared.survey.missing() == 0 {
            ui.done(compared.summary())?;
        }
        compared.verdict()
    })
}

async fn compare(args: &DiffArgs, session: &Session) -> Result<Compared> {
    let client = connect(&args.system, session).await?;
    let wanted = session.store().view(|view| servers::wanted(view, args.account.as_deref()))??;
    let survey = survey(&client, &args.system, session).await?;
    let observed = survey.observe(&client, &wanted).await?;
    let strangers = if args.account.is_some() { Vec::new() } else { strangers(session, &survey, &wanted)? };
    Ok(Compared { survey, rows: wanted.into_iter().zip(observed).collect(), strangers })
}

fn strangers(session: &Session, survey: &Survey, wanted: &[Wanted]) -> Result<Vec<Stranger>> {
    let known: std::collections::BTreeSet<&str> = wanted.iter().map(|it| it.public_key.as_str()).collect();
    let held: std::collections::BTreeSet<&String> =
        survey.members.iter().flat_map(|member| &member.folder).filter(|key| !known.contains(key.as_str())).collect();
    let mut strangers = Vec::new();
    for key in held {
        let name = NameKey { kind: Kind::Account, index: Index::PublicKey, scope: None, key: key.clone() };
        let found = session.store().view(|view| Ok::<_, NatsError>(view.find(&name, 1)?.pop()))??;
        let holds = survey.members.iter().filter(|member| member.folder.contains(key));
        strangers.push(Stranger {
            public_key: key.clone(),
            deleted: found.and_then(|entity| match entity.facts {
                Facts::Account(facts) => Some(facts.account.name.to_string()),
                _ => None,
            }),
            servers: holds.map(|member| member.server.name.clone()).collect(),
        });
    }
    Ok(strangers)
}

fn show(compared: &Compared, ui: Ui) -> Result {
    for (wanted, observed) in &compared.rows {
        let mut object = standing(wanted, observed);
        object["result"] = if observed.is_proved() { "same" } else { "differs" }.into();
        ui.object(&object)?;
    }
    for stranger in &compared.strangers {
        ui.object(&json!({
            "account": stranger.deleted, "public_key": stranger.public_key, "servers": stranger.servers,
            "result": if stranger.deleted.is_some() { "deleted" } else { "unknown" },
        }))?;
    }
    let cells: Vec<_> =
        compared.differing().map(|(wanted, observed)| (wanted, observed, "differs".to_owned())).collect();
    let (headings, cells) = table(&compared.survey, &cells);
    ui.table(&headings.iter().map(String::as_str).collect::<Vec<_>>(), &cells)?;
    for (wanted, observed) in compared.differing() {
        if let Some(other) = observed.worst() {
            differences(wanted, other, ui)?;
        }
    }
    for stranger in &compared.strangers {
        let on = visible(&stranger.servers.join(", ")).into_owned();
        let key = visible(&stranger.public_key).into_owned();
        match &stranger.deleted {
            Some(name) => ui.line(format_args!(
                "{} ({key}) is deleted here and still held by {on}; `cim-keys nats push --delete` makes them forget it",
                visible(name)
            ))?,
            None => ui.line(format_args!("{key} is held by {on} and unknown to this ledger"))?,
        }
    }
    Ok(())
}

fn differences(wanted: &Wanted, other: &Other, ui: Ui) -> Result {
    let name = visible(wanted.name.as_str()).into_owned();
    let issued = format!("issued at {} here, at {} there", wanted.token.issued_at, other.iat);
    ui.line(format_args!("{name}: {issued}"))?;
    let value = |value: &Option<String>| value.as_deref().map_or("-".into(), |value| visible(value).into_owned());
    for difference in &other.differences {
        let path = visible(&difference.path).into_owned();
        ui.line(format_args!("  {path}: {} here, {} there", value(&difference.ours), value(&difference.theirs)))?;
    }
    if other.differences.is_empty() {
        ui.line("  they say the same")?;
    }
    Ok(())
}

fn status(compared: &Compared) -> Value {
    json!({
        "status": compared.word(),
        "at": Timestamp::now(),
        "servers": compared.survey.members.len(),
        "missing_servers": compared.survey.missing(),
        "accounts": compared.rows.len(),
        "differing": compared.differing().map(|(wanted, _)| wanted.name.to_string()).collect::<Vec<_>>(),
        "strangers": compared.strangers.iter().map(|stranger| &stranger.public_key).collect::<Vec<_>>(),
    })
}

/// Compares again and again, and says so whenever the answer is another one.
async fn watch(args: &DiffArgs, session: &Session, ui: Ui) -> Result {
    let mut told: Option<String> = None;
    // One listener for the whole watch: a signal between two rounds is not missed.
    let mut interrupted = std::pin::pin!(crate::commands::publish::interrupted());
    loop {
        let round = async {
            let (status, line, verdict, compared) = match compare(args, session).await {
                Ok(compared) => (status(&compared), compared.summary(), compared.verdict(), Some(compared)),
                Err(error) => {
                    let object =
                        json!({ "status": "unreachable", "at": Timestamp::now(), "problem": error.to_string() });
                    (object, error.to_string(), Err(error), None)
                }
            };
            // What is said once is not said again while it stays so.
            let mut key = status.clone();
            key["at"] = Value::Null;
            if told.as_ref() != Some(&key.to_string()) {
                told = Some(key.to_string());
                ui.object(&status)?;
                let word = status["status"].as_str().unwrap_or_default();
                ui.line(format_args!("{}  {word}  {}", Timestamp::now(), visible(&line)))?;
                if let Some(compared) = compared.filter(|compared| !ui.is_json() && !compared.in_step()) {
                    show(&compared, ui)?;
                }
                ui.flush()?;
            }
            if args.fail_fast { verdict } else { Ok(()) }
        };
        tokio::select! {
            answer = round => answer?,
            () = &mut interrupted => return Ok(()),
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(args.interval)) => {}
            () = &mut interrupted => return Ok(()),
        }
    }
}
