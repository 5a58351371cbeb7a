//! `nats explain`: why a user can or cannot connect, publish or subscribe.

use std::net::IpAddr;

use anstyle::{AnsiColor, Style};
use cim_keys::authority::nats::explain::{Explained, explain};
use cim_keys::nats::claims::CONNECTION_TYPES;
use cim_keys::nats::explain::{Outcome, Question};
use cim_keys::nats::subject;
use cim_keys::store::RestrictedBlocks;
use cim_keys::text::visible;
use cim_keys::time::Timestamp;
use clap::Args;
use clap::builder::PossibleValuesParser;
use serde_json::json;

use crate::error::{CliError, Result};
use crate::global::Global;
use crate::ledger;
use crate::ui::Ui;

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// Whom it is about: ACCOUNT/USER, or its public key
    #[arg(long, value_name = "USER")]
    user: String,
    /// May it publish to this subject?
    #[arg(long, value_name = "SUBJECT")]
    publish: Option<String>,
    /// How many bytes it publishes
    #[arg(long, value_name = "BYTES", default_value_t = 0, requires = "publish")]
    size: u64,
    /// May it subscribe to this subject, or to "SUBJECT QUEUE"?
    #[arg(long, value_name = "SUBJECT")]
    subscribe: Option<String>,
    /// When: a date or an RFC 3339 time [default: now]
    #[arg(long, value_name = "TIME", value_parser = Timestamp::parse_lenient)]
    at: Option<Timestamp>,
    /// From which address
    #[arg(long, value_name = "IP")]
    from: Option<IpAddr>,
    /// How it connects
    #[arg(long, value_name = "TYPE", default_value = "STANDARD", ignore_case = true, value_parser = PossibleValuesParser::new(CONNECTION_TYPES.iter().copied()))]
    connection: String,
    /// It comes through a proxy that the server trusts
    #[arg(long)]
    proxied: bool,
}

pub(crate) fn run(args: &ExplainArgs, global: &Global, ui: Ui) -> Result {
    let question = question(args)?;
    let session = ledger::read(global)?;
    let path = session.place().restricted();
    let restricted = path.exists().then(|| RestrictedBlocks::open(&path)).transpose();
    let restricted =
        restricted.map_err(|error| CliError::failed("the texts of tokens can't be read").because_of(&error))?;
    let explained = session.store().view(|view| explain(view, restricted.as_ref(), &args.user, &question))??;
    show(&explained, &question, ui)
}

fn question(args: &ExplainArgs) -> Result<Question> {
    let wrong = |flag: &str, text: &str, error: &dyn std::fmt::Display| {
        CliError::usage(format!("{flag} \"{}\" is no subject: {error}", visible(text)))
    };
    if let Some(to) = &args.publish {
        subject::check(to).map_err(|error| wrong("--publish", to, &error))?;
        if subject::has_wildcards(to) {
            return Err(CliError::usage("a message is published to one subject, without wildcards")
                .hint("ask about each subject that it is about"));
        }
    }
    if let Some(text) = &args.subscribe {
        let (to, queue) = text.split_once(' ').map_or((text.as_str(), None), |(to, queue)| (to, Some(queue)));
        subject::check(to).map_err(|error| wrong("--subscribe", text, &error))?;
        if let Some(queue) = queue {
            subject::check(queue).map_err(|error| wrong("--subscribe", text, &error))?;
        }
    }
    Ok(Question {
        at: args.at.unwrap_or_else(Timestamp::now),
        from: args.from,
        connection: args.connection.clone(),
        proxied: args.proxied,
        publish: args.publish.clone(),
        size: args.size,
        subscribe: args.subscribe.clone(),
    })
}

fn show(explained: &Explained, question: &Question, ui: Ui) -> Result {
    let answer = &explained.explanation;
    let steps: Vec<_> = answer
        .steps
        .iter()
        .map(|step| json!({ "check": step.check, "outcome": step.outcome.word(), "reason": step.reason }))
        .collect();
    ui.object(&json!({
        "account": explained.account,
        "user": explained.user,
        "public_key": explained.public_key,
        "at": question.at,
        "connects": answer.connects,
        "publishes": answer.publishes,
        "subscribes": answer.subscribes,
        "steps": steps,
    }))?;
    let width = answer.steps.iter().map(|step| step.check.len()).max().unwrap_or(0);
    for step in &answer.steps {
        let style = match step.outcome {
            Outcome::Pass => Style::new(),
            Outcome::Fail => AnsiColor::Red.on_default().bold(),
            Outcome::Note => Style::new().dimmed(),
        };
        ui.painted(style, format_args!("{}  {:width$}  {}", step.outcome.word(), step.check, visible(&step.reason)))?;
    }
    let who = format!("{}/{}", visible(explained.account.as_str()), visible(explained.user.as_str()));
    let mut may = vec![format!("{} connect", can(answer.connects))];
    for (what, verdict, subject) in
        [("publish to", answer.publishes, &question.publish), ("subscribe to", answer.subscribes, &question.subscribe)]
    {
        if let (Some(verdict), Some(subject)) = (verdict, subject) {
            may.push(format!("{} {what} {}", can(verdict), visible(subject)));
        }
    }
    let sum = format!("{who} {}.", may.join(", "));
    match answer.refusal() {
        None => ui.done(sum),
        Some(step) => {
            Err(CliError::refused(sum.trim_end_matches('.').to_owned())
                .detail(format!("{}: {}", step.check, step.reason)))
        }
    }
}

fn can(verdict: bool) -> &'static str {
    if verdict { "can" } else { "cannot" }
}
