//! `nats pull`: the tokens that servers hold, as files.

use std::collections::BTreeMap;
use std::io::Write as _;

use cim_keys::authority::nats::lookup;
use cim_keys::authority::nats::pull::{self, PulledToken};
use cim_keys::authority::nats::servers::{self, Wanted};
use cim_keys::files::{NewFile, create_private_folder};
use cim_keys::nats::held::{Age, Held};
use cim_keys::text::visible;
use serde_json::json;

use super::args::PullArgs;
use super::asking::{block_on, connect, missing, survey};
use super::push::counted;
use crate::commands::nats::acts::restricted;
use crate::commands::out;
use crate::error::{CliError, Result};
use crate::global::Global;
use crate::ledger;
use crate::ui::Ui;

pub(crate) fn pull(args: &PullArgs, global: &Global, ui: Ui) -> Result {
    let session = ledger::read(global)?;
    let wanted = session.store().view(|view| servers::wanted(view, args.account.as_deref()))??;
    let folder = visible(&args.out.to_string_lossy()).into_owned();
    let cannot = |error: std::io::Error| CliError::failed(format!("cannot write into {folder}")).because(&error);
    let mut restricted = restricted(&session)?;
    block_on(async {
        let client = connect(&args.system, &session).await?;
        let survey = survey(&client, &args.system, &session).await?;
        create_private_folder(&args.out).map_err(cannot)?;
        if args.adopt {
            let operator = session.store().view(lookup::operator)??;
            if pull::adopt_operator(&mut restricted, &survey, &operator)? {
                ui.note("The text of the operator's token was missing here, and is adopted.");
            }
        }
        let mut keys: BTreeMap<String, Option<&Wanted>> =
            wanted.iter().map(|it| (it.public_key.to_string(), Some(it))).collect();
        if args.account.is_none() {
            for key in survey.members.iter().flat_map(|member| &member.folder) {
                keys.entry(key.clone()).or_insert(None);
            }
        }
        let (mut rows, mut written) = (Vec::new(), 0_usize);
        for (key, wanted) in keys {
            let tokens = pull::pull(&client, &survey, &key).await?;
            for (index, token) in tokens.iter().enumerate() {
                let name = file_name(token, index);
                let mut file = NewFile::create(&args.out.join(&name), true).map_err(cannot)?;
                file.write_all(token.text.as_bytes()).and_then(|()| file.write_all(b"\n")).map_err(cannot)?;
                file.commit().map_err(cannot)?;
                written += 1;
                let adopted = match wanted.filter(|_| args.adopt) {
                    Some(wanted) => pull::adopt(&mut restricted, wanted, token)?,
                    None => false,
                };
                let relation = relation(wanted, token);
                ui.object(&json!({
                    "account": token.claims.registered.name, "public_key": key, "iat": token.claims.registered.iat,
                    "jti": token.claims.registered.jti, "file": name, "relation": relation, "adopted": adopted,
                }))?;
                let adopted = if adopted { "adopted" } else { "" };
                rows.push(vec![name, token.claims.registered.iat.to_string(), relation.to_owned(), adopted.to_owned()]);
            }
            if let (true, Some(wanted)) = (tokens.is_empty(), wanted) {
                ui.object(&json!({ "account": wanted.name, "public_key": key, "relation": "absent" }))?;
                rows.push(vec![
                    format!("{} is held by no server", wanted.name),
                    "-".into(),
                    "absent".into(),
                    String::new(),
                ]);
            }
        }
        ui.table(&["FILE", "ISSUED", "AGAINST THE LEDGER", ""], &rows)?;
        if let Some(error) = missing(&survey) {
            return Err(error);
        }
        ui.done(format_args!("Pulled {} into {folder}.", counted(written, "token")))
    })
}

/// `NAME-A1B2C3D4.jwt`; older ones of the same account get their time of issue into the name.
fn file_name(token: &PulledToken, index: usize) -> String {
    let name = out::file_name(&token.claims.registered.name);
    let key = &token.public_key[..8];
    match index {
        0 => format!("{name}-{key}.jwt"),
        _ => format!("{name}-{key}.{}.{index}.jwt", token.claims.registered.iat),
    }
}

fn relation(wanted: Option<&Wanted>, token: &PulledToken) -> &'static str {
    let Some(wanted) = wanted else { return "unknown" };
    match Held::judge(&wanted.claims, Some(&token.text)) {
        Held::Same => "same",
        Held::Other(other) => match other.age {
            Age::Older => "older",
            Age::Twin => "twin",
            Age::Newer => "newer",
        },
        Held::Nothing | Held::Unreadable(_) => "unreadable",
    }
}
