//! `config`: what is configured, where each value came from, and what there is to configure.

use cim_keys::config::Config;
use clap::{Args, Subcommand};

use crate::error::Result;
use crate::global::Global;
use crate::place;
use crate::ui::Ui;

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Write a commented config.toml that says nothing but the defaults
    Example,
    /// Check the configuration: keys, values, files, contradictions
    Validate,
    /// Show the configuration that counts
    Show(ShowArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// Say where each value came from
    #[arg(long)]
    origin: bool,
}

pub(crate) fn run(command: ConfigCommand, global: &Global, ui: Ui) -> Result {
    match command {
        ConfigCommand::Example => ui.raw(Config::example().as_bytes()),
        ConfigCommand::Validate => validate(global, ui),
        ConfigCommand::Show(args) => show(&args, global, ui),
    }
}

fn validate(global: &Global, ui: Ui) -> Result {
    let ledger = place::ledger_or_new(global)?;
    let resolved = place::config(ledger.as_deref())?;
    resolved.config.validate().map_err(|error| place::invalid_config(&error))?;
    ui.object(&serde_json::json!({ "ok": true }))?;
    ui.done("The configuration is valid.")
}

fn show(args: &ShowArgs, global: &Global, ui: Ui) -> Result {
    let ledger = place::ledger_or_new(global)?;
    let resolved = place::config(ledger.as_deref())?;
    for setting in resolved.settings() {
        let mut object = serde_json::json!({ "key": setting.key, "value": setting.value.as_deref().map(json) });
        let value = setting.value.unwrap_or_else(|| "(not set)".into());
        if args.origin {
            object["origin"] = setting.origin.to_string().into();
            ui.line(format_args!("{} = {}  # {}", setting.key, value, setting.origin))?;
        } else {
            ui.line(format_args!("{} = {}", setting.key, value))?;
        }
        ui.object(&object)?;
    }
    Ok(())
}

/// A value as TOML writes it, as JSON.
fn json(value: &str) -> serde_json::Value {
    let table = format!("value = {value}").parse::<toml::Table>().ok();
    let value = table.and_then(|mut table| serde_json::to_value(table.remove("value")?).ok());
    value.unwrap_or_default()
}
