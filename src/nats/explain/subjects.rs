//! Whether a user can publish or subscribe, and where what it publishes goes.

use super::steps::{Chain, Question, Steps};
use crate::nats::claims::{Export, ExportType, Import, Permission, ResponsePermission, UserPermissions};
use crate::nats::subject::{self, covers, overlaps};

/// What counts: the user's own permissions, or the account's default ones where it has none at all.
struct Effective<'p> {
    r#pub: &'p Permission,
    sub: &'p Permission,
    resp: Option<&'p ResponsePermission>,
    whose: &'static str,
}

fn effective<'p>(chain: Chain<'p>, permissions: &'p UserPermissions) -> Effective<'p> {
    let none = |permission: &Permission| permission.allow.is_empty() && permission.deny.is_empty();
    if none(&permissions.r#pub) && none(&permissions.sub) && permissions.resp.is_none() {
        let defaults = &chain.account.nats.default_permissions;
        return Effective {
            r#pub: &defaults.r#pub,
            sub: &defaults.sub,
            resp: defaults.resp.as_ref(),
            whose: "the account's default permissions",
        };
    }
    Effective {
        r#pub: &permissions.r#pub,
        sub: &permissions.sub,
        resp: permissions.resp.as_ref(),
        whose: "the user's permissions",
    }
}

pub(super) fn publish(
    chain: Chain<'_>,
    permissions: &UserPermissions,
    to: &str,
    question: &Question,
    steps: &mut Steps,
) {
    let effective = effective(chain, permissions);
    let whose = effective.whose;
    let denied = effective.r#pub.deny.iter().find(|entry| covers(entry.split(' ').next().unwrap_or_default(), to));
    let allowed = effective.r#pub.allow.iter().find(|entry| covers(entry, to));
    match (effective.r#pub.allow.is_empty(), allowed, denied) {
        (_, _, Some(entry)) => steps.fail("publish", format!("{whose} deny publishing to {entry}, and a denial wins")),
        (true, _, None) => steps.pass("publish", format!("{whose} do not narrow where to publish")),
        (false, Some(entry), None) => steps.pass("publish", format!("{whose} allow publishing to {entry}")),
        (false, None, None) => {
            let list = effective.r#pub.allow.join(", ");
            steps.fail("publish", format!("{whose} allow publishing to {list} only"));
        }
    }
    if effective.resp.is_some() {
        steps.note(
            "responses",
            "the user may publish to the reply subject of a message that it received, whatever is denied",
        );
    }
    let limits = [("the user", permissions.payload), ("the account", chain.account.nats.limits.payload)];
    for (whose, limit) in limits.into_iter().filter(|(_, limit)| *limit >= 0) {
        let fits = u64::try_from(limit).is_ok_and(|limit| question.size <= limit);
        let size = question.size;
        steps.check(
            "payload",
            fits,
            format!("{size} bytes are within the {limit} that {whose} may publish"),
            format!("{size} bytes are more than the {limit} that {whose} may publish: servers close the connection"),
        );
    }
    mapped(chain, to, steps);
    for import in imports(chain, ExportType::Service).filter(|import| covers(&local(import), to)) {
        imported(chain, import, &format!("a request on {to} goes to"), question, steps);
    }
}

/// A mapping changes the subject after the permission was checked.
fn mapped(chain: Chain<'_>, to: &str, steps: &mut Steps) {
    for (from, destinations) in chain.account.nats.mappings.iter().filter(|(from, _)| covers(from, to)) {
        let list: Vec<String> = destinations
            .iter()
            .map(|mapping| {
                let weight = if mapping.weight == 0 { 100 } else { mapping.weight };
                let cluster =
                    if mapping.cluster.is_empty() { String::new() } else { format!(" in cluster {}", mapping.cluster) };
                format!("{} ({weight} %{cluster})", mapping.subject)
            })
            .collect();
        steps.note("mapping", format!("the account maps {from} to {}", list.join(", ")));
    }
}

pub(super) fn subscribe(
    chain: Chain<'_>,
    permissions: &UserPermissions,
    wanted: &str,
    question: &Question,
    steps: &mut Steps,
) {
    let effective = effective(chain, permissions);
    let whose = effective.whose;
    let (to, queue) = wanted.split_once(' ').map_or((wanted, None), |(to, queue)| (to, Some(queue)));
    let allow = &effective.sub.allow;
    let allowed = allow.is_empty() || fits(allow, to, queue, true);
    if !allowed {
        return steps.fail("subscribe", format!("{whose} allow subscribing to {} only", allow.join(", ")));
    }
    if fits(&effective.sub.deny, to, queue, false) {
        let list = effective.sub.deny.join(", ");
        return steps.fail("subscribe", format!("{whose} deny subscribing to {list}, and a denial wins"));
    }
    steps.pass(
        "subscribe",
        match allow.is_empty() {
            true => format!("{whose} do not narrow where to subscribe"),
            false => format!("{whose} allow subscribing to {}", allow.join(", ")),
        },
    );
    if subject::has_wildcards(to) {
        for entry in effective.sub.deny.iter().filter(|entry| !entry.contains(' ') && overlaps(entry, to)) {
            steps.note("subscribe", format!("messages on {entry} are left out: subscribing to it is denied"));
        }
    }
    for import in imports(chain, ExportType::Stream).filter(|import| overlaps(&local(import), to)) {
        imported(chain, import, &format!("messages on {} come from", local(import)), question, steps);
    }
}

/// Whether entries without a queue cover the subject, or those with one do for this queue. With both, the queue's decide
/// what is allowed, and any of them denies.
fn fits(entries: &[String], to: &str, queue: Option<&str>, allowing: bool) -> bool {
    let matching =
        entries.iter().map(|entry| entry.split_once(' ').map_or((entry.as_str(), None), |(s, q)| (s, Some(q))));
    let matching: Vec<_> = matching.filter(|(entry, _)| matches(entry, to)).collect();
    let plain = matching.iter().any(|(_, queue)| queue.is_none());
    let mut queues = matching.iter().filter_map(|(_, queue)| *queue).peekable();
    match queue {
        Some(queue) if queues.peek().is_some() => {
            let named = queues.any(|entry| entry == queue || (subject::has_wildcards(entry) && covers(entry, queue)));
            if allowing { named } else { plain || named }
        }
        _ => plain,
    }
}

/// How the server looks a subscription up among its permissions: as if it were a message's subject, so that `*` of an entry
/// stands for a `>` of the subscription too.
fn matches(entry: &str, to: &str) -> bool {
    let (mut entry, mut to) = (entry.split('.'), to.split('.'));
    loop {
        match (entry.next(), to.next()) {
            (None, None) => return true,
            (Some(">"), Some(_)) => return true,
            (Some("*"), Some(_)) => {}
            (Some(a), Some(b)) if a == b => {}
            _ => return false,
        }
    }
}

fn imports(chain: Chain<'_>, kind: ExportType) -> impl Iterator<Item = &Import> {
    chain.account.nats.imports.iter().filter(move |import| import.r#type == kind)
}

/// The subject on this side; `$1` stands for a wildcard of the other side's.
fn local(import: &Import) -> String {
    let text = if import.local_subject.is_empty() { &import.subject } else { &import.local_subject };
    let is_reference = |token: &str| token.strip_prefix('$').is_some_and(|n| n.parse::<u8>().is_ok());
    text.split('.').map(|token| if is_reference(token) { "*" } else { token }).collect::<Vec<_>>().join(".")
}

fn imported(chain: Chain<'_>, import: &Import, what: &str, question: &Question, steps: &mut Steps) {
    let Some(source) = (chain.others)(&import.account) else {
        steps.note(
            "import",
            format!("{what} account {}, which this ledger does not know, as {}", import.account, import.subject),
        );
        return;
    };
    let name = &source.registered.name;
    let export = source.nats.exports.iter().find(|e| e.r#type == import.r#type && covers(&e.subject, &import.subject));
    match export {
        None => steps.note(
            "import",
            format!(
                "{what} account {name} as {}, and that account does not export it: nothing comes of it",
                import.subject
            ),
        ),
        Some(export) if export.token_req && import.token.is_none() => {
            steps.note(
                "import",
                format!("{what} account {name} as {}, which asks for an activation that is not there", import.subject),
            );
        }
        Some(export) => {
            let subject = &import.subject;
            let activation = import.token.claims().filter(|_| export.token_req).map(|it| it.registered);
            let now = question.at.unix_micros().div_euclid(1_000_000);
            let ended = activation.and_then(|it| match revoked_until(export, &it.sub) {
                _ if it.exp > 0 && it.exp <= now => Some("has expired"),
                Some(until) if until >= it.iat => Some("is revoked"),
                _ => None,
            });
            let ended = ended.map(|how| format!(", and its activation {how}: nothing comes of it")).unwrap_or_default();
            steps.note("import", format!("{what} account {name} as {subject}{ended}"));
        }
    }
}

/// Up to which second an exporter has revoked the activations of an importer.
fn revoked_until(export: &Export, importer: &str) -> Option<i64> {
    [importer, "*"].into_iter().filter_map(|key| export.revocations.get(key)).max().copied()
}
