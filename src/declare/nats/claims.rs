//! Between the words of an apply file and the claims of tokens.

use std::collections::BTreeMap;

use crate::declare::manifest::nats::{
    Account, AllowDeny, Export, JetStream, Limits, Mapping, Permissions, Replies, Subjects, TimeText, Trace,
};
use crate::nats::claims::{
    self, AccountLimits, Info, JetStreamLimits, MessageTrace, ResponsePermission, ServiceLatency, UserPermissions,
    WeightedMapping,
};

const MILLI: i64 = 1_000_000;

/// What an account's claims say, without roles and users, imports and external authorization.
pub(crate) fn account_of(nats: &claims::Account) -> Account {
    let limits = &nats.limits;
    let defaults = &nats.default_permissions;
    let export = |it: &claims::Export| Export {
        subject: it.subject.clone(),
        r#type: it.r#type,
        private: it.token_req,
        response_type: it.response_type,
        response_threshold_ms: it.response_threshold / MILLI,
        latency: it.service_latency.clone().map(Into::into),
        account_token_position: it.account_token_position,
        advertise: it.advertise,
        allow_trace: it.allow_trace,
        description: it.info.description.clone(),
        info_url: it.info.info_url.clone(),
    };
    let mapping = |it: &WeightedMapping| Mapping {
        subject: it.subject.clone(),
        weight: if it.weight == 0 { 100 } else { it.weight },
        cluster: it.cluster.clone(),
    };
    let sorted = |targets: &[WeightedMapping]| {
        let mut targets: Vec<_> = targets.iter().map(mapping).collect();
        targets.sort();
        targets
    };
    Account {
        name: None,
        description: None,
        info_url: nats.info.info_url.clone(),
        system: false,
        signing_key: false,
        limits: Limits {
            connections: limits.conn,
            leaf_connections: limits.leaf,
            subscriptions: limits.subs,
            data: limits.data,
            payload: limits.payload,
            imports: limits.imports,
            exports: limits.exports,
            wildcard_exports: limits.wildcards,
            disallow_bearer: limits.disallow_bearer,
        },
        jetstream: (limits.jetstream != JetStreamLimits::default()).then(|| limits.jetstream.into()),
        tiers: limits.tiered_limits.iter().map(|(tier, it)| (tier.clone(), JetStream::from(*it))).collect(),
        default_permissions: Subjects {
            publish: AllowDeny::from(&defaults.r#pub),
            subscribe: AllowDeny::from(&defaults.sub),
            replies: defaults.resp.map(replies),
        },
        exports: nats.exports.iter().map(|it| (name(&it.name, &it.subject), export(it))).collect(),
        imports: BTreeMap::new(),
        mappings: nats.mappings.iter().map(|(from, targets)| (from.clone(), sorted(targets))).collect(),
        auth_callout: None,
        trace: nats
            .trace
            .as_ref()
            .map(|it| Trace { subject: it.dest.clone(), sampling: if it.sampling == 0 { 100 } else { it.sampling } }),
        cluster_traffic: nats.cluster_traffic,
        tags: nats.generic.tags.iter().cloned().collect(),
        roles: BTreeMap::new(),
        users: BTreeMap::new(),
        fleets: BTreeMap::new(),
    }
}

/// By what an export or import is known.
pub(crate) fn name(name: &str, subject: &str) -> String {
    if name.is_empty() { subject.to_owned() } else { name.to_owned() }
}

/// Puts what an entry says into an account's claims; imports and external authorization are put by those who know the
/// other accounts.
pub(crate) fn put_account(spec: &Account, nats: &mut claims::Account) {
    let it = &spec.limits;
    nats.limits = AccountLimits {
        subs: it.subscriptions,
        data: it.data,
        payload: it.payload,
        imports: it.imports,
        exports: it.exports,
        wildcards: it.wildcard_exports,
        disallow_bearer: it.disallow_bearer,
        conn: it.connections,
        leaf: it.leaf_connections,
        jetstream: spec.jetstream.map(Into::into).unwrap_or_default(),
        tiered_limits: spec.tiers.iter().map(|(tier, it)| (tier.clone(), (*it).into())).collect(),
    };
    nats.default_permissions = claims::Permissions {
        r#pub: (&spec.default_permissions.publish).into(),
        sub: (&spec.default_permissions.subscribe).into(),
        resp: spec.default_permissions.replies.map(response),
    };
    let before = std::mem::take(&mut nats.exports);
    nats.exports = spec.exports.iter().map(|(name, it)| export(name, it, &before)).collect();
    let target =
        |it: &Mapping| WeightedMapping { subject: it.subject.clone(), weight: it.weight, cluster: it.cluster.clone() };
    let mapped = spec.mappings.iter();
    nats.mappings = mapped.map(|(from, targets)| (from.clone(), targets.iter().map(target).collect())).collect();
    nats.trace = spec.trace.as_ref().map(|it| MessageTrace { dest: it.subject.clone(), sampling: it.sampling });
    nats.cluster_traffic = spec.cluster_traffic;
    nats.info.info_url.clone_from(&spec.info_url);
    nats.generic.tags = spec.tags.iter().cloned().collect();
}

fn export(name: &str, it: &Export, before: &[claims::Export]) -> claims::Export {
    // Which activations are revoked is no matter of the file.
    let same = before.iter().find(|other| other.subject == it.subject && other.r#type == it.r#type);
    claims::Export {
        name: name.to_owned(),
        subject: it.subject.clone(),
        r#type: it.r#type,
        token_req: it.private,
        revocations: same.map(|other| other.revocations.clone()).unwrap_or_default(),
        response_type: it.response_type,
        response_threshold: it.response_threshold_ms.saturating_mul(MILLI),
        service_latency: it
            .latency
            .as_ref()
            .map(|it| ServiceLatency { sampling: it.sampling, results: it.subject.clone() }),
        account_token_position: it.account_token_position,
        advertise: it.advertise,
        allow_trace: it.allow_trace,
        info: Info { description: it.description.clone(), info_url: it.info_url.clone() },
    }
}

fn replies(it: ResponsePermission) -> Replies {
    Replies { max: it.max, ttl_ms: it.ttl / MILLI }
}

fn response(it: Replies) -> ResponsePermission {
    ResponsePermission { max: it.max, ttl: it.ttl_ms.saturating_mul(MILLI) }
}

/// What a user or a role may do, in the words of the file.
pub(crate) fn permissions_of(it: &UserPermissions) -> Permissions {
    Permissions {
        publish: AllowDeny::from(&it.r#pub),
        subscribe: AllowDeny::from(&it.sub),
        replies: it.resp.map(replies),
        source_networks: it.src.iter().cloned().collect(),
        times: it.times.iter().map(|range| TimeText::from(range).0).collect(),
        time_zone: it.times_location.clone(),
        connection_types: it.allowed_connection_types.iter().cloned().collect(),
        subscriptions: it.subs,
        data: it.data,
        payload: it.payload,
        bearer: it.bearer_token,
        proxy_required: it.proxy_required,
    }
}

/// The same as claims have it.
pub(crate) fn permissions(it: &Permissions) -> UserPermissions {
    UserPermissions {
        r#pub: (&it.publish).into(),
        sub: (&it.subscribe).into(),
        resp: it.replies.map(response),
        src: it.source_networks.iter().cloned().collect(),
        times: it.times.iter().map(|text| TimeText::range(text)).collect(),
        times_location: it.time_zone.clone(),
        subs: it.subscriptions,
        data: it.data,
        payload: it.payload,
        bearer_token: it.bearer,
        proxy_required: it.proxy_required,
        allowed_connection_types: it.connection_types.iter().cloned().collect(),
    }
}
