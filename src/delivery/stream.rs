//! Which stream can keep the promise: its settings, checked before anything is sent.

use std::fmt;

use crate::text::SubjectPrefix;

/// What matters of a stream's configuration, as STREAM.INFO has it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StreamSettings {
    /// The stream's name.
    pub name: String,
    /// The subjects that it takes.
    pub subjects: Vec<String>,
    /// `limits`, `interest` or `workqueue`.
    pub retention: String,
    /// `file` or `memory`.
    pub storage: String,
    /// Whether it acknowledges nothing.
    pub no_ack: bool,
    /// Whether it rewrites subjects (`subject_transform`).
    pub transforms_subjects: bool,
    /// Whether it republishes what it stores.
    pub republishes: bool,
    /// Whether it is a mirror, which takes no messages of its own.
    pub mirror: bool,
    /// Whether it is sealed.
    pub sealed: bool,
    /// How many messages it keeps of one subject; -1 or 0 without a limit.
    pub max_messages_per_subject: i64,
    /// Whether it refuses what exceeds that limit, rather than drop the oldest.
    pub discard_new_per_subject: bool,
    /// Whether it takes atomic batches, as the server **echoes** it: an older server drops the flag that it does not know.
    pub allow_atomic: bool,
    /// Whether it takes fast-ingest batches, as the server echoes it.
    pub allow_batched: bool,
}

/// One thing about a stream that is not as it has to be, or should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was found.
    pub what: String,
    /// Why it matters, and what to do.
    pub why: &'static str,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", crate::text::visible(&self.what), self.why)
    }
}

/// All that was found about a stream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Findings {
    /// Why nothing is published to it.
    pub refused: Vec<Finding>,
    /// What the user should know.
    pub warned: Vec<Finding>,
}

/// Checks a stream for a prefix of event subjects and a prefix of head subjects. `also_taken_by` are other streams of the
/// account that take either.
#[must_use]
pub fn check_stream(
    settings: &StreamSettings,
    prefix: &SubjectPrefix,
    head_subject: &SubjectPrefix,
    also_taken_by: &[String],
) -> Findings {
    let mut found = Findings::default();
    let mut refuse = |wrong: bool, what: String, why| {
        if wrong {
            found.refused.push(Finding { what, why });
        }
    };
    let retention = settings.retention.as_str();
    refuse(
        !matches!(retention, "" | "limits"),
        format!("its retention is {retention}"),
        "messages would vanish once they are read, heads among them; make the stream with retention limits",
    );
    refuse(
        settings.no_ack,
        "it acknowledges nothing (no_ack)".into(),
        "nothing could ever leave the outbox; set no_ack to false",
    );
    refuse(
        settings.transforms_subjects,
        "it has a subject transform".into(),
        "heads and events could not be found again under their subjects; transform in a sourcing stream instead",
    );
    refuse(
        settings.max_messages_per_subject > 0,
        format!("it keeps {} messages of a subject (max_msgs_per_subject)", settings.max_messages_per_subject),
        "events of one type push each other out; set it to -1",
    );
    refuse(
        settings.discard_new_per_subject,
        "it refuses new messages of a full subject (discard_new_per_subject)".into(),
        "an event could be refused while a later one is taken; set it to false",
    );
    refuse(settings.mirror, "it is a mirror".into(), "it takes no messages; publish to the stream that it mirrors");
    refuse(settings.sealed, "it is sealed".into(), "it takes no messages any more; configure another stream_name");
    let (events, heads) = (format!("{prefix}.>"), format!("{head_subject}.>"));
    for subject in [&events, &heads] {
        refuse(
            !settings.subjects.iter().any(|pattern| subject_covers(pattern, subject)),
            format!("it does not take {subject}"),
            "messages would be kept by no stream; add the subject to the stream",
        );
    }
    refuse(
        subject_covers(&events, &heads) || subject_covers(&heads, &events),
        format!("{events} and {heads} overlap"),
        "subscribers of events would see heads; configure another head_subject",
    );
    for other in also_taken_by {
        refuse(
            true,
            format!("the stream {other} takes {events} or {heads} too"),
            "messages could land there; remove the subjects from that stream",
        );
    }
    let mut warn = |unusual: bool, what: String, why| {
        if unusual {
            found.warned.push(Finding { what, why });
        }
    };
    warn(
        settings.republishes,
        "it republishes what it stores".into(),
        "who subscribes to the copies may see messages of a batch that was never completed",
    );
    warn(
        settings.storage == "memory",
        "it keeps messages in memory".into(),
        "they are gone when its servers restart; the outbox sends again what it still has",
    );
    found
}

/// Whether every subject that `inner` matches is matched by `pattern` too; both may have wildcards.
#[must_use]
pub fn subject_covers(pattern: &str, inner: &str) -> bool {
    let (mut pattern, mut inner) = (pattern.split('.'), inner.split('.'));
    loop {
        match (pattern.next(), inner.next()) {
            (Some(">"), Some(_)) | (None, None) => return true,
            (Some("*"), Some(token)) if token != ">" => {}
            (Some(a), Some(b)) if a == b => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn good() -> StreamSettings {
        StreamSettings {
            name: "CIM_KEYS_EVENTS".into(),
            subjects: vec!["cim.keys.>".into(), "cim.checkpoints.>".into()],
            retention: "limits".into(),
            storage: "file".into(),
            max_messages_per_subject: -1,
            allow_atomic: true,
            ..StreamSettings::default()
        }
    }

    fn check(settings: &StreamSettings, others: &[String]) -> Findings {
        check_stream(settings, &"cim.keys".parse().unwrap(), &"cim.checkpoints".parse().unwrap(), others)
    }

    #[test]
    fn each_setting_that_breaks_the_promise_is_refused() {
        assert_eq!(check(&good(), &[]), Findings::default());
        let broken: [fn(&mut StreamSettings); 9] = [
            |s| s.retention = "interest".into(),
            |s| s.retention = "workqueue".into(),
            |s| s.no_ack = true,
            |s| s.transforms_subjects = true,
            |s| s.max_messages_per_subject = 1,
            |s| s.discard_new_per_subject = true,
            |s| s.mirror = true,
            |s| s.sealed = true,
            |s| s.subjects.truncate(1),
        ];
        for breaks in broken {
            let mut settings = good();
            breaks(&mut settings);
            let found = check(&settings, &[]);
            assert_eq!(found.refused.len(), 1, "{settings:?}: {found:?}");
        }
        assert_eq!(check(&good(), &["OTHER".into()]).refused.len(), 1);
    }

    #[test]
    fn what_is_only_unusual_is_warned_about() {
        let settings = StreamSettings { republishes: true, storage: "memory".into(), ..good() };
        let found = check(&settings, &[]);
        assert!(found.refused.is_empty() && found.warned.len() == 2, "{found:?}");
    }

    #[test]
    fn overlapping_prefixes_are_refused() {
        let found = check_stream(&good(), &"cim.keys".parse().unwrap(), &"cim.keys.heads".parse().unwrap(), &[]);
        assert!(found.refused.iter().any(|f| f.what.contains("overlap")), "{found:?}");
    }

    #[test]
    fn covering_follows_the_wildcards() {
        for (pattern, inner, covers) in [
            (">", "cim.keys.>", true),
            ("cim.>", "cim.keys.>", true),
            ("cim.keys.>", "cim.keys.>", true),
            ("cim.keys.*", "cim.keys.>", false),
            ("cim.keys.>", "cim.keys", false),
            ("cim.*.x", "cim.keys.x", true),
            ("cim.*.x", "cim.*.x", true),
            ("cim.keys.x", "cim.*.x", false),
            ("cim.keys", "cim.keys.x", false),
        ] {
            assert_eq!(subject_covers(pattern, inner), covers, "{pattern} over {inner}");
        }
    }
}
