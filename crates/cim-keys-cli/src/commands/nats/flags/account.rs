//! What an account may use, and what else its token says of it.

use cim_keys::nats::claims::{Account, AccountLimits, ClusterTraffic, JetStreamLimits, MessageTrace};
use clap::{Args, ValueEnum};

use super::{SubjectArgs, TagArgs};

/// Everything that an account's token says and that has no command of its own.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct AccountArgs {
    #[command(flatten)]
    limits: LimitArgs,
    #[command(flatten)]
    defaults: SubjectArgs,
    #[command(flatten)]
    details: DetailArgs,
    #[command(flatten)]
    tags: TagArgs,
}

impl AccountArgs {
    /// Puts what was given into an account's claims.
    pub(crate) fn apply(&self, account: &mut Account) {
        self.limits.apply(account);
        let defaults = &mut account.default_permissions;
        self.defaults.apply(&mut defaults.r#pub, &mut defaults.sub, &mut defaults.resp);
        self.details.apply(account);
        self.tags.apply(&mut account.generic.tags);
    }
}

#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Details")]
struct DetailArgs {
    /// Where people find out more about it
    #[arg(long, value_name = "URL")]
    info_url: Option<String>,
    /// Trace messages that carry a trace context to this subject; "" stops that
    #[arg(long, value_name = "SUBJECT")]
    trace_context_subject: Option<String>,
    /// Trace so many percent of them
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(1..=100))]
    trace_context_sampling: Option<u8>,
    /// Whose connections between servers carry the account's replication
    #[arg(long, value_enum)]
    cluster_traffic: Option<Traffic>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Traffic {
    /// Those of the system account, shared with others
    System,
    /// Its own
    Owner,
}

impl DetailArgs {
    fn apply(&self, account: &mut Account) {
        super::set(&mut account.info.info_url, self.info_url.as_ref());
        if let Some(subject) = &self.trace_context_subject {
            let sampling = account.trace.as_ref().map_or(0, |trace| trace.sampling);
            let trace = MessageTrace { dest: subject.clone(), sampling };
            account.trace = (!subject.is_empty()).then_some(trace);
        }
        if let (Some(trace), Some(sampling)) = (&mut account.trace, self.trace_context_sampling) {
            trace.sampling = sampling;
        }
        if let Some(traffic) = self.cluster_traffic {
            account.cluster_traffic = Some(match traffic {
                Traffic::System => ClusterTraffic::System,
                Traffic::Owner => ClusterTraffic::Owner,
            });
        }
    }
}

/// What an account may use.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Limits")]
struct LimitArgs {
    /// Connections at most; -1 for no limit
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    conns: Option<i64>,
    /// Leaf node connections at most; -1 for no limit
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    leaf_conns: Option<i64>,
    /// Subscriptions at most; -1 for no limit
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    subscriptions: Option<i64>,
    /// Bytes at most; -1 for no limit
    #[arg(long, value_name = "BYTES", allow_negative_numbers = true)]
    data: Option<i64>,
    /// Bytes of a message at most; -1 for no limit
    #[arg(long, value_name = "BYTES", allow_negative_numbers = true)]
    payload: Option<i64>,
    /// Imports at most; -1 for no limit
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    imports: Option<i64>,
    /// Exports at most; -1 for no limit
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    exports: Option<i64>,
    /// Whether exports may hold wildcards
    #[arg(long, value_name = "BOOL")]
    wildcard_exports: Option<bool>,
    /// Refuse users whose token alone is a credential
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    disallow_bearer: Option<bool>,
    /// Let JetStream be used without limits; the flags below set some
    #[arg(long)]
    js_enable: bool,
    /// Switch JetStream off
    #[arg(long, conflicts_with = "js_enable")]
    js_disable: bool,
    /// Bytes in memory; -1 for no limit
    #[arg(long, value_name = "BYTES", allow_negative_numbers = true)]
    js_mem_storage: Option<i64>,
    /// Bytes on disk; -1 for no limit
    #[arg(long, value_name = "BYTES", allow_negative_numbers = true)]
    js_disk_storage: Option<i64>,
    /// Streams; -1 for no limit
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    js_streams: Option<i64>,
    /// Consumers; -1 for no limit
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    js_consumer: Option<i64>,
    /// Unacknowledged messages of a consumer; 0 for no limit
    #[arg(long, value_name = "N")]
    js_max_ack_pending: Option<i64>,
    /// Bytes of one stream in memory; 0 for no limit
    #[arg(long, value_name = "BYTES")]
    js_max_mem_stream: Option<i64>,
    /// Bytes of one stream on disk; 0 for no limit
    #[arg(long, value_name = "BYTES")]
    js_max_disk_stream: Option<i64>,
    /// Whether each stream must say how large it may get
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    js_max_bytes_required: Option<bool>,
    /// Let the JetStream flags count for streams with so many replicas, as a tier of their own
    #[arg(long, value_name = "REPLICAS")]
    js_tier: Option<u8>,
    /// Forget the tier of so many replicas
    #[arg(long, value_name = "REPLICAS")]
    rm_js_tier: Option<u8>,
}

impl LimitArgs {
    /// Puts what was given into an account's claims.
    fn apply(&self, account: &mut Account) {
        let limits = &mut account.limits;
        super::set(&mut limits.conn, self.conns.as_ref());
        super::set(&mut limits.leaf, self.leaf_conns.as_ref());
        super::set(&mut limits.subs, self.subscriptions.as_ref());
        super::set(&mut limits.data, self.data.as_ref());
        super::set(&mut limits.payload, self.payload.as_ref());
        super::set(&mut limits.imports, self.imports.as_ref());
        super::set(&mut limits.exports, self.exports.as_ref());
        super::set(&mut limits.wildcards, self.wildcard_exports.as_ref());
        super::set(&mut limits.disallow_bearer, self.disallow_bearer.as_ref());
        self.apply_jetstream(limits);
    }

    fn apply_jetstream(&self, limits: &mut AccountLimits) {
        if self.js_disable {
            limits.jetstream = JetStreamLimits::default();
            limits.tiered_limits.clear();
        }
        if let Some(replicas) = self.rm_js_tier {
            limits.tiered_limits.remove(&format!("R{replicas}"));
        }
        let storage = [self.js_mem_storage, self.js_disk_storage, self.js_streams, self.js_consumer];
        let streams = [self.js_max_ack_pending, self.js_max_mem_stream, self.js_max_disk_stream];
        let nothing = storage.iter().chain(&streams).all(Option::is_none) && self.js_max_bytes_required.is_none();
        if !self.js_enable && nothing {
            return;
        }
        let slot = match self.js_tier {
            None => &mut limits.jetstream,
            Some(replicas) => limits.tiered_limits.entry(format!("R{replicas}")).or_default(),
        };
        if self.js_enable || *slot == JetStreamLimits::default() {
            *slot = JetStreamLimits::UNLIMITED;
        }
        super::set(&mut slot.mem_storage, self.js_mem_storage.as_ref());
        super::set(&mut slot.disk_storage, self.js_disk_storage.as_ref());
        super::set(&mut slot.streams, self.js_streams.as_ref());
        super::set(&mut slot.consumer, self.js_consumer.as_ref());
        super::set(&mut slot.max_ack_pending, self.js_max_ack_pending.as_ref());
        super::set(&mut slot.mem_max_stream_bytes, self.js_max_mem_stream.as_ref());
        super::set(&mut slot.disk_max_stream_bytes, self.js_max_disk_stream.as_ref());
        super::set(&mut slot.max_bytes_required, self.js_max_bytes_required.as_ref());
    }
}
