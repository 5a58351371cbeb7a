//! What accounts share: exports, imports, activations; and mappings, which share among subjects.

use super::accounts;
use super::draft::NatsDraft;
use super::error::NatsError;
use super::lookup;
use super::signing::SignedActivation;
use crate::advice::Action;
use crate::events::NatsHolder;
use crate::ledger::AccountFacts;
use crate::nats::claims::{Activation, Claims, Export, ExportType, Generic, Import, Registered, WeightedMapping};
use crate::nats::{jwt, subject};
use crate::time::Timestamp;

/// An export by its name or subject.
///
/// # Errors
/// When there is none, or several have that subject.
pub fn find_export<'e>(exports: &'e [Export], account: &str, which: &str) -> Result<&'e Export, NatsError> {
    let place = position(exports.iter().map(|it| (it.name.as_str(), it.subject.as_str())), "export", account, which)?;
    Ok(&exports[place])
}

/// An import by its name or subject, its own or the local one.
///
/// # Errors
/// When there is none, or several have that subject.
pub fn find_import<'i>(imports: &'i [Import], account: &str, which: &str) -> Result<&'i Import, NatsError> {
    let place = position(imports.iter().map(|it| (it.name.as_str(), it.subject.as_str())), "import", account, which)
        .or_else(|error| {
            let local = imports.iter().map(|it| ("", it.local_subject.as_str()));
            position(local, "import", account, which).map_err(|_| error)
        })?;
    Ok(&imports[place])
}

fn position<'s>(
    items: impl Iterator<Item = (&'s str, &'s str)>,
    what: &'static str,
    account: &str,
    which: &str,
) -> Result<usize, NatsError> {
    let items: Vec<_> = items.collect();
    let all = |fits: &dyn Fn(&(&str, &str)) -> bool| -> Vec<usize> {
        items.iter().enumerate().filter(|(_, item)| fits(item)).map(|(place, _)| place).collect()
    };
    let by_name = all(&|(name, _)| !name.is_empty() && name.eq_ignore_ascii_case(which));
    let found = if by_name.is_empty() { all(&|(_, subject)| *subject == which) } else { by_name };
    let (shown, which) = (crate::text::visible(account), crate::text::visible(which));
    match found.as_slice() {
        [one] => Ok(*one),
        [] => Err(NatsError::act(
            format!("account {shown} has no {what} \"{which}\""),
            Action::ListOf { what, account: account.into() },
            "shows those that are there",
        )),
        _ => Err(NatsError::advised(
            format!("several {what}s of account {shown} are called {which}"),
            "name one by its name",
        )),
    }
}

/// Lets other accounts import a subject.
///
/// # Errors
/// See [`NatsError`].
pub fn add_export(draft: &mut NatsDraft<'_, '_>, account: &AccountFacts, export: Export) -> Result<(), NatsError> {
    let mut claims = draft.account_claims(account)?;
    taken(claims.nats.exports.iter().map(|it| it.name.as_str()), "export", &export.name)?;
    claims.nats.exports.push(export);
    accounts::put(draft, account, claims)
}

/// Changes an export.
///
/// # Errors
/// See [`NatsError`].
pub fn edit_export(
    draft: &mut NatsDraft<'_, '_>,
    account: &AccountFacts,
    which: &str,
    edit: &dyn Fn(&mut Export),
) -> Result<(), NatsError> {
    let mut claims = draft.account_claims(account)?;
    let found = find_export(&claims.nats.exports, account.account.name.as_str(), which)?.clone();
    for export in claims.nats.exports.iter_mut().filter(|export| **export == found) {
        edit(export);
    }
    accounts::put(draft, account, claims)
}

/// Takes an export back. Whoever imports it in this ledger has to stop first.
///
/// # Errors
/// See [`NatsError`].
pub fn delete_export(draft: &mut NatsDraft<'_, '_>, account: &AccountFacts, which: &str) -> Result<(), NatsError> {
    let mut claims = draft.account_claims(account)?;
    let found = find_export(&claims.nats.exports, account.account.name.as_str(), which)?.clone();
    claims.nats.exports.retain(|export| *export != found);
    accounts::put(draft, account, claims)
}

/// Brings a subject of another account into this one. Where the export asks for an activation and its account is in this
/// ledger, the activation is made as well.
///
/// # Errors
/// See [`NatsError`].
pub fn add_import(draft: &mut NatsDraft<'_, '_>, account: &AccountFacts, mut import: Import) -> Result<(), NatsError> {
    let mut claims = draft.account_claims(account)?;
    taken(claims.nats.imports.iter().map(|it| it.name.as_str()), "import", &import.name)?;
    if import.token.is_none()
        && let Ok(exporter) = lookup::account(draft.view(), &import.account)
        && asks_for_activation(draft, &exporter, &import)?
    {
        let importer = account.account.public_key.as_str();
        import.token = activate(draft, &exporter, importer, &import.subject, import.r#type, None)?.token;
    }
    claims.nats.imports.push(import);
    accounts::put(draft, account, claims)
}

/// Whether an import needs an activation of an account.
pub(crate) fn asks_for_activation(
    draft: &NatsDraft<'_, '_>,
    exporter: &AccountFacts,
    import: &Import,
) -> Result<bool, NatsError> {
    let exports = draft.account_claims(exporter)?.nats.exports;
    let covers = |it: &Export| it.r#type == import.r#type && subject::covers(&it.subject, &import.subject);
    Ok(exports.iter().any(|it| covers(it) && it.token_req))
}

/// Changes an import.
///
/// # Errors
/// See [`NatsError`].
pub fn edit_import(
    draft: &mut NatsDraft<'_, '_>,
    account: &AccountFacts,
    which: &str,
    edit: &dyn Fn(&mut Import),
) -> Result<(), NatsError> {
    let mut claims = draft.account_claims(account)?;
    let found = find_import(&claims.nats.imports, account.account.name.as_str(), which)?.clone();
    for import in claims.nats.imports.iter_mut().filter(|import| **import == found) {
        edit(import);
    }
    accounts::put(draft, account, claims)
}

/// Takes an import out.
///
/// # Errors
/// See [`NatsError`].
pub fn delete_import(draft: &mut NatsDraft<'_, '_>, account: &AccountFacts, which: &str) -> Result<(), NatsError> {
    let mut claims = draft.account_claims(account)?;
    let found = find_import(&claims.nats.imports, account.account.name.as_str(), which)?.clone();
    claims.nats.imports.retain(|import| *import != found);
    accounts::put(draft, account, claims)
}

fn taken<'n>(mut names: impl Iterator<Item = &'n str>, what: &str, name: &str) -> Result<(), NatsError> {
    if !name.is_empty() && names.any(|known| known.eq_ignore_ascii_case(name)) {
        let name = crate::text::visible(name);
        return Err(NatsError::advised(
            format!("there is an {what} of the name \"{name}\" already"),
            "edit it, or choose another name",
        ));
    }
    Ok(())
}

/// Lets one account import a private export: a token of the exporter, made out to the importer's identity key.
///
/// # Errors
/// See [`NatsError`]; also when there is no such export.
pub fn activate(
    draft: &mut NatsDraft<'_, '_>,
    exporter: &AccountFacts,
    importer: &str,
    subject: &str,
    kind: ExportType,
    expires: Option<Timestamp>,
) -> Result<SignedActivation, NatsError> {
    if !jwt::is_public_key(importer, &['A']) {
        let shown = crate::text::visible(importer);
        return Err(NatsError::Usage(format!(
            "\"{shown}\" is no account of this ledger and no public key of one (A…)"
        )));
    }
    let exports = draft.account_claims(exporter)?.nats.exports;
    if !exports.iter().any(|it| it.r#type == kind && subject::covers(&it.subject, subject)) {
        let kind = kind.as_str();
        return Err(NatsError::advised(
            format!(
                "account {} exports no {kind} that covers \"{}\"",
                exporter.account.name,
                crate::text::visible(subject)
            ),
            "add the export first",
        ));
    }
    let signer = draft.signer(&NatsHolder::Account(exporter.account.account_id), None)?;
    let signing_key = signer.public_key != exporter.account.public_key;
    let registered = Registered {
        name: subject.to_owned(),
        sub: importer.to_owned(),
        iat: i64::try_from(draft.now()).unwrap_or(i64::MAX),
        exp: expires.map_or(0, |at| at.unix_micros().div_euclid(1_000_000)),
        ..Registered::default()
    };
    let issuer_account = if signing_key { exporter.account.public_key.to_string() } else { String::new() };
    let nats = Activation {
        subject: subject.to_owned(),
        kind,
        issuer_account,
        generic: Generic::default(),
        extra: Default::default(),
    };
    draft.sign_activation(exporter, Claims { registered, nats }, &signer)
}

/// Maps a subject to others, in the place of what it was mapped to in the same cluster.
///
/// # Errors
/// See [`NatsError`].
pub fn put_mapping(
    draft: &mut NatsDraft<'_, '_>,
    account: &AccountFacts,
    from: &str,
    target: WeightedMapping,
) -> Result<(), NatsError> {
    let mut claims = draft.account_claims(account)?;
    let targets = claims.nats.mappings.entry(from.to_owned()).or_default();
    targets.retain(|it| it.subject != target.subject || it.cluster != target.cluster);
    targets.push(target);
    accounts::put(draft, account, claims)
}

/// Forgets where a subject is mapped to: one target of it, or all.
///
/// # Errors
/// See [`NatsError`]; also when it is not mapped so.
pub fn delete_mapping(
    draft: &mut NatsDraft<'_, '_>,
    account: &AccountFacts,
    from: &str,
    to: Option<&str>,
) -> Result<(), NatsError> {
    let mut claims = draft.account_claims(account)?;
    let mappings = &mut claims.nats.mappings;
    let there = mappings.get(from).is_some_and(|targets| to.is_none_or(|to| targets.iter().any(|t| t.subject == to)));
    if !there {
        let account = account.account.name.to_string();
        return Err(NatsError::act(
            format!("account {account} has no such mapping"),
            Action::ListOf { what: "mapping", account: account.into() },
            "shows those that are there",
        ));
    }
    match to {
        None => drop(mappings.remove(from)),
        Some(to) => {
            if let Some(targets) = mappings.get_mut(from) {
                targets.retain(|target| target.subject != to);
            }
            mappings.retain(|_, targets| !targets.is_empty());
        }
    }
    accounts::put(draft, account, claims)
}
