//! Accounts: limits, exports, imports, mappings, signing keys.

use std::collections::BTreeMap;

use super::super::claims::{
    Account, AccountLimits, Activation, Claims, Export, ExportType, Import, ImportToken, JetStreamLimits, SigningKey,
};
use super::super::{jwt, subject};
use super::user::{check_authorization, check_scope};
use super::{Finding, Findings, shown, times};

/// Checks an account's claims by themselves; what needs other accounts is in [`super::check_tree`].
#[must_use]
pub fn check_account(claims: &Claims<Account>) -> Vec<Finding> {
    let mut list = Vec::new();
    let account = &claims.nats;
    let name = shown(&claims.registered).to_owned();
    for key in &account.signing_keys {
        if let SigningKey::Scoped(scope) = key {
            list.extend(check_scope(&name, scope));
        }
    }
    let mut found = Findings::new(format!("account {name}"), &mut list);
    times(&claims.registered, &mut found);
    check_limits(account, &mut found);
    for key in &account.signing_keys {
        if let SigningKey::Plain(key) = key {
            found.key("the signing key", key, 'A');
        }
    }
    for key in account.revocations.keys().filter(|key| *key != "*") {
        found.key("the revoked user", key, 'U');
    }
    found.permission("the default publish permission", &account.default_permissions.r#pub, false);
    found.permission("the default subscribe permission", &account.default_permissions.sub, true);
    check_mappings(account, &mut found);
    check_authorization(&account.authorization, &mut found);
    if let Some(trace) = &account.trace {
        found.subject("the trace destination", &trace.dest);
        if subject::has_wildcards(&trace.dest) {
            found.add("the trace destination holds a wildcard", "name one subject");
        }
        if trace.sampling > 100 {
            found.add(format!("{} % of the messages cannot be traced", trace.sampling), "write 1 to 100");
        }
    }
    for export in &account.exports {
        check_export(export, &account.limits, &mut found.at(format_args!("export \"{}\"", export.subject)));
    }
    check_overlaps(&account.exports, &mut found);
    for import in &account.imports {
        check_import(import, &claims.registered.sub, &mut found.at(format_args!("import \"{}\"", import.subject)));
    }
    check_import_overlaps(&account.imports, &mut found);
    list
}

fn check_limits(account: &Account, found: &mut Findings<'_>) {
    let limits = &account.limits;
    for (what, limit, effect) in [
        ("connections", limits.conn, "no client can connect"),
        ("subscriptions", limits.subs, "no client can subscribe"),
        ("payload", limits.payload, "no message fits"),
        ("data", limits.data, "no byte may flow"),
    ] {
        match limit {
            0 => {
                found.add(format!("the limit of {what} is zero: {effect}"), "set it to -1 for no limit, or above zero")
            }
            ..=-2 => found.add(format!("the limit of {what} is {limit}"), "set it to -1 for no limit"),
            _ => {}
        }
    }
    if !limits.tiered_limits.is_empty() && limits.jetstream != JetStreamLimits::default() {
        found.add("JetStream is limited both flat and by tiers, which servers refuse", "keep one of the two");
    }
    for tier in limits.tiered_limits.keys() {
        let replicas = tier.strip_prefix('R').and_then(|n| n.parse::<u8>().ok());
        if !replicas.is_some_and(|n| (1..=5).contains(&n)) {
            found.add(format!("\"{tier}\" is no tier: its limits would never be looked at"), "name it R1 to R5");
        }
    }
    for (what, limit, count) in
        [("imports", limits.imports, account.imports.len()), ("exports", limits.exports, account.exports.len())]
    {
        if limit >= 0 && usize::try_from(limit).is_ok_and(|limit| count > limit) {
            found.add(format!("it has {count} {what} and is allowed {limit}: servers refuse it"), "raise the limit");
        }
    }
}

fn check_mappings(account: &Account, found: &mut Findings<'_>) {
    for (from, targets) in &account.mappings {
        let mut found = found.at(format_args!("mapping \"{from}\""));
        found.subject("the source", from);
        let mut weights: BTreeMap<&str, u32> = BTreeMap::new();
        for target in targets {
            found.subject("the destination", &target.subject);
            let weight = if target.weight == 0 { 100 } else { u32::from(target.weight) };
            *weights.entry(&target.cluster).or_default() += weight;
        }
        for (cluster, weight) in weights.into_iter().filter(|(_, weight)| *weight > 100) {
            let place = if cluster.is_empty() { String::new() } else { format!(" in cluster {cluster}") };
            found.add(
                format!("the weights{place} add up to {weight} %, and a missing one counts 100"),
                "let them add up to at most 100",
            );
        }
    }
}

fn check_export(export: &Export, limits: &AccountLimits, found: &mut Findings<'_>) {
    found.subject("the subject", &export.subject);
    let service = export.r#type == ExportType::Service;
    if !limits.wildcards && subject::has_wildcards(&export.subject) {
        found.add("wildcards in exports are not allowed to this account", "set wildcards, or name the subjects");
    }
    for (set, what) in [
        (export.response_type.is_some(), "a response type"),
        (export.response_threshold != 0, "a response threshold"),
        (export.service_latency.is_some(), "latency sampling"),
        (export.allow_trace, "allow_trace"),
    ] {
        if set && !service {
            found.add(format!("{what} is for services, and this is a stream: servers refuse it"), "leave it out");
        }
    }
    if export.response_threshold < 0 {
        found.add("the response threshold is negative", "write nanoseconds above zero");
    }
    if let Some(latency) = &export.service_latency {
        found.subject("the latency subject", &latency.results);
        if subject::has_wildcards(&latency.results) {
            found.add("the latency subject holds a wildcard", "name one subject");
        }
    }
    if export.account_token_position > 0 {
        let position = usize::try_from(export.account_token_position).unwrap_or(usize::MAX);
        if export.subject.split('.').nth(position - 1) != Some("*") {
            found.add(
                format!("token {position} of the subject is no *, where the importer's account would stand"),
                "count tokens from 1",
            );
        }
        if export.token_req {
            found.add("an account token position and activations exclude each other", "keep one of the two");
        }
    }
    for key in export.revocations.keys().filter(|key| *key != "*") {
        found.key("the revoked importer", key, 'A');
    }
}

/// Exports of one kind may not lie within each other: which one counts would be chance.
fn check_overlaps(exports: &[Export], found: &mut Findings<'_>) {
    for (i, a) in exports.iter().enumerate() {
        for b in &exports[i + 1..] {
            if a.r#type == b.r#type
                && (subject::covers(&a.subject, &b.subject) || subject::covers(&b.subject, &a.subject))
            {
                found.add(
                    format!("the exports \"{}\" and \"{}\" lie within each other", a.subject, b.subject),
                    "let each subject be exported once",
                );
            }
        }
    }
}

fn check_import(import: &Import, importer: &str, found: &mut Findings<'_>) {
    found.subject("the subject", &import.subject);
    found.key("the exporting account", &import.account, 'A');
    if import.account == importer {
        found.add("the account imports from itself", "leave the import out: the subjects are there already");
    }
    let service = import.r#type == ExportType::Service;
    if import.share && !service {
        found.add("share is for services, and this is a stream", "leave it out");
    }
    if import.allow_trace && service {
        found.add("allow_trace is for streams, and this is a service", "leave it out");
    }
    if !import.local_subject.is_empty() {
        if !import.to.is_empty() {
            found.add("both to and local_subject are set", "keep local_subject");
        }
        check_renaming(&import.subject, &import.local_subject, found);
    }
    check_activation(import, importer, found);
}

fn check_activation(import: &Import, importer: &str, found: &mut Findings<'_>) {
    let activation = match &import.token {
        ImportToken::None => return,
        ImportToken::Url(_) => {
            return found.add("its activation is a URL, and servers fetch none", "give the text of the activation");
        }
        ImportToken::Text(text) => match jwt::decode::<Activation>(text) {
            Ok(activation) => activation,
            Err(problem) => {
                let problem = format!("its activation does not hold: {problem}");
                return found.add(problem, "ask the exporter for a new one");
            }
        },
        ImportToken::Reference(reference) => match &reference.claims {
            Some(activation) => activation.clone(),
            None => return found.add("its activation does not hold", "ask the exporter for a new one"),
        },
    };
    let registered = &activation.registered;
    if registered.iss != import.account && activation.nats.issuer_account != import.account {
        found.add("its activation comes from another account", "ask the exporter for one of its own");
    }
    if registered.sub != importer {
        found.add("its activation is made out to another account", "ask the exporter for one for this account");
    }
    if activation.nats.kind != import.r#type {
        found.add("its activation is for the other kind of export", "let the type be that of the export");
    }
    if !subject::covers(&activation.nats.subject, &import.subject) {
        found.add(
            format!("its activation covers \"{}\"", activation.nats.subject),
            "import what it covers, or ask for a wider one",
        );
    }
}

/// A renamed subject must use each wildcard of the original, by `*` or by `$n`.
fn check_renaming(from: &str, to: &str, found: &mut Findings<'_>) {
    found.subject("the local subject", to);
    let tail = |s: &str| s == ">" || s.ends_with(".>");
    if tail(from) != tail(to) {
        found.add("one of subject and local_subject ends in >, and the other does not", "let both or neither end in >");
    }
    let wildcards = from.split('.').filter(|token| *token == "*").count();
    let mut used = 0;
    for token in to.split('.') {
        if token == "*" {
            used += 1;
        } else if let Some(number) = token.strip_prefix('$').and_then(|n| n.parse::<usize>().ok()) {
            used += 1;
            if number == 0 || number > wildcards {
                found.add(format!("{token} names a wildcard that the subject does not have"), "count them from $1");
            }
        }
    }
    if used != wildcards {
        found.add(
            format!("the subject has {wildcards} wildcards, and the local subject uses {used}"),
            "use each of them once, as * or as $1, $2, …",
        );
    }
}

/// Two services must not answer at one local subject.
fn check_import_overlaps(imports: &[Import], found: &mut Findings<'_>) {
    let local = |import: &Import| -> String {
        let written = [&import.to, &import.local_subject, &import.subject].into_iter().find(|s| !s.is_empty());
        let tokens = written.map(String::as_str).unwrap_or_default().split('.');
        tokens
            .map(|t| if t.strip_prefix('$').is_some_and(|n| n.parse::<u8>().is_ok()) { "*" } else { t })
            .collect::<Vec<_>>()
            .join(".")
    };
    let services: Vec<_> = imports.iter().filter(|i| i.r#type == ExportType::Service).collect();
    for (i, a) in services.iter().enumerate() {
        for b in &services[i + 1..] {
            if a.account == b.account && subject::overlaps(&local(a), &local(b)) {
                found.add(
                    format!("the imported services \"{}\" and \"{}\" overlap", local(a), local(b)),
                    "give one of them another local_subject",
                );
            }
        }
    }
}
