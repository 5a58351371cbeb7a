//! `verify`: checks everything that is recorded.

use clap::Args;
use serde_json::json;

use crate::cli::Global;
use crate::error::{CliError, Result};
use crate::ledger;
use crate::ui::Ui;

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {}

pub(crate) fn run(_: &VerifyArgs, global: &Global, ui: Ui) -> Result {
    let session = ledger::read(global)?;
    let bar = ui.progress("verifying", 0);
    let report = session.store().verify(&mut |done, all| {
        bar.set_length(all);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let problems: Vec<_> = report
        .problems
        .iter()
        .map(|it| json!({ "position": it.position, "cid": it.cid.map(|cid| cid.to_string()), "problem": it.what }))
        .collect();
    ui.object(&json!({ "ok": report.ok(), "events": report.events, "problems": problems }))?;
    if report.ok() {
        ui.done(format_args!("{} events: everything is as it was recorded.", report.events))?;
        return ui.line("Content identifiers, order, times, causes, tree and projections were checked.");
    }
    let mut error = CliError::verification(format!(
        "{} of what {} events should be is not so",
        report.problems.len() as u64 + report.more,
        report.events
    ));
    for problem in report.problems.iter().take(20) {
        let place = problem.position.map_or_else(String::new, |position| format!("position {position}: "));
        error = error.detail(format!("{place}{}", problem.what));
    }
    if report.problems.len() > 20 {
        error = error.detail("and more: --output json lists them");
    }
    Err(error.hint("go back to a backup, and keep this folder for whoever finds out what happened"))
}
