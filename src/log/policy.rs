//! Which keys must have signed (C2SP tlog-policy): logs, witnesses, groups of them, and one quorum.

use std::str::FromStr;

use super::checkpoint::SignedCheckpoint;
use super::key::{KeyKind, VerifierKey};
use crate::advice::{Action, Advice, ErrorKind, Explained};
use crate::time::Timestamp;

/// The most lines that a policy has, and the most members of a group.
const MAX_LINES: usize = 10_000;

/// Why a text is no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the policy: {problem}")]
pub struct InvalidPolicy {
    /// The line, from 1; 0 for the file as a whole.
    pub line: usize,
    /// What is wrong.
    pub problem: String,
}

/// Why a checkpoint does not satisfy a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// None of the listed logs signed it.
    #[error("no log of the policy signed the checkpoint of \"{origin}\"")]
    NoLog {
        /// The checkpoint's origin.
        origin: String,
    },
    /// A signature names a listed key and does not hold.
    #[error("the signature of \"{name}\" is false: the checkpoint was changed after it was signed")]
    FalseSignature {
        /// Whose.
        name: String,
    },
    /// Too few witnesses signed it.
    #[error("the quorum \"{quorum}\" is not reached: {} signed",
        if signed.is_empty() { "no witness of the policy".to_owned() } else { signed.join(", ") })]
    Quorum {
        /// The name that the policy demands.
        quorum: String,
        /// The witnesses that did sign, by the policy's names.
        signed: Vec<String>,
    },
}

impl Explained for InvalidPolicy {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Usage
    }

    fn advice(&self) -> Vec<Advice> {
        vec![Advice::Do("write a C2SP tlog-policy: log, witness, group and quorum lines")]
    }
}

impl Explained for PolicyError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Verification
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::NoLog { .. } => vec![Advice::Do("check that it is the right policy")],
            Self::FalseSignature { .. } => Vec::new(),
            Self::Quorum { .. } => vec![Advice::Run(Action::CosignHead, "adds a witness's signature")],
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Rule {
    Witness(VerifierKey),
    Group { threshold: usize, members: Vec<usize> },
}

/// A trust policy, as an auditor keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    logs: Vec<VerifierKey>,
    rules: Vec<(String, Rule)>,
    quorum: Option<usize>,
}

impl Policy {
    /// Checks a checkpoint: signed by a listed log (where any is listed), and by a quorum of witnesses. Gives the names of
    /// the witnesses that signed, and when each did.
    ///
    /// # Errors
    /// See [`PolicyError`].
    pub fn check(&self, checkpoint: &SignedCheckpoint) -> Result<Vec<(&str, Timestamp)>, PolicyError> {
        let false_signature = |key: &VerifierKey| PolicyError::FalseSignature { name: key.name().to_string() };
        let holds = |key: &VerifierKey| match checkpoint.signatures().iter().any(|one| key.is_named_by(one)) {
            false => Ok(None),
            true => checkpoint.signed_by(key).map(Some).map_err(|_| false_signature(key)),
        };
        let origin = &checkpoint.checkpoint().origin;
        let mut by_log = self.logs.is_empty();
        for log in self.logs.iter().filter(|log| log.name() == origin) {
            by_log |= holds(log)?.is_some();
        }
        if !by_log {
            return Err(PolicyError::NoLog { origin: origin.to_string() });
        }
        let mut signed = Vec::new();
        let mut satisfied: Vec<bool> = Vec::with_capacity(self.rules.len());
        for (name, rule) in &self.rules {
            let holds = match rule {
                Rule::Witness(key) => {
                    let verified = holds(key)?;
                    signed.extend(verified.and_then(|verified| Some((name.as_str(), verified.at?))));
                    verified.is_some()
                }
                // A group names only what stands before it.
                Rule::Group { threshold, members } => {
                    members.iter().filter(|&&member| satisfied[member]).count() >= *threshold
                }
            };
            satisfied.push(holds);
        }
        match self.quorum {
            Some(quorum) if !satisfied[quorum] => Err(PolicyError::Quorum {
                quorum: self.rules[quorum].0.clone(),
                signed: signed.into_iter().map(|(name, _)| name.to_owned()).collect(),
            }),
            _ => Ok(signed),
        }
    }
}

impl FromStr for Policy {
    type Err = InvalidPolicy;

    fn from_str(text: &str) -> Result<Self, InvalidPolicy> {
        let whole = |problem: &str| InvalidPolicy { line: 0, problem: problem.to_owned() };
        if text.len() > 1 << 20 || text.lines().count() > MAX_LINES {
            return Err(whole("the file is too long"));
        }
        if text.bytes().any(|b| b == 0x7f || b < 0x20 && b != b'\n' && b != b'\t') {
            return Err(whole("the file has a control character"));
        }
        let mut reader = Reader::default();
        for (number, line) in text.split('\n').enumerate() {
            let words: Vec<_> = line.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
            reader.line(&words).map_err(|problem| InvalidPolicy { line: number + 1, problem })?;
        }
        let quorum =
            reader.quorum.ok_or_else(|| whole("there is no quorum line (\"quorum none\" asks for no witness)"))?;
        Ok(Self { logs: reader.logs, rules: reader.rules, quorum })
    }
}

#[derive(Default)]
struct Reader {
    logs: Vec<VerifierKey>,
    rules: Vec<(String, Rule)>,
    grouped: Vec<usize>,
    quorum: Option<Option<usize>>,
}

impl Reader {
    fn line(&mut self, words: &[&str]) -> Result<(), String> {
        match words {
            [] => Ok(()),
            [first, ..] if first.starts_with('#') => Ok(()),
            ["log", key] | ["log", key, _] => {
                let key = verifier(key, KeyKind::Ledger)?;
                if self.logs.iter().any(|log| log.bytes() == key.bytes()) {
                    return Err("this log's key stands there twice".into());
                }
                self.logs.push(key);
                Ok(())
            }
            ["witness", name, key] | ["witness", name, key, _] => {
                let key = verifier(key, KeyKind::Witness)?;
                let twice =
                    |(_, rule): &(_, Rule)| matches!(rule, Rule::Witness(other) if other.bytes() == key.bytes());
                if self.rules.iter().any(twice) {
                    return Err("this witness's key stands there twice".into());
                }
                self.define(name, Rule::Witness(key))
            }
            ["group", name, threshold, members @ ..] => {
                let members = members.iter().map(|member| self.member(member)).collect::<Result<Vec<_>, _>>()?;
                let threshold = match *threshold {
                    "all" => members.len(),
                    "any" => 1,
                    number => number.parse().map_err(|_| "a group needs \"all\", \"any\" or a number".to_owned())?,
                };
                if threshold < 1 || threshold > members.len() {
                    return Err(format!("the group needs 1 to {} of its members", members.len()));
                }
                self.define(name, Rule::Group { threshold, members })
            }
            ["quorum", name] => {
                if self.quorum.is_some() {
                    return Err("there is more than one quorum line".into());
                }
                self.quorum = Some(if *name == "none" { None } else { Some(self.find(name)?) });
                Ok(())
            }
            [first, ..] => {
                Err(format!("\"{}\" does not begin a line of this form", crate::text::visible(&shortened(first))))
            }
        }
    }

    fn define(&mut self, name: &str, rule: Rule) -> Result<(), String> {
        if name == "none" || self.rules.iter().any(|(other, _)| other == name) {
            return Err(format!("the name \"{}\" is taken", crate::text::visible(&shortened(name))));
        }
        self.rules.push((name.to_owned(), rule));
        Ok(())
    }

    fn find(&self, name: &str) -> Result<usize, String> {
        let found = self.rules.iter().position(|(other, _)| other == name);
        found.ok_or_else(|| format!("\"{}\" is not defined above it", crate::text::visible(&shortened(name))))
    }

    /// A member of a group: each name counts once in the whole file, so that no witness counts twice.
    fn member(&mut self, name: &str) -> Result<usize, String> {
        let member = self.find(name)?;
        if self.grouped.contains(&member) {
            return Err(format!("\"{}\" is in a group already", crate::text::visible(&shortened(name))));
        }
        self.grouped.push(member);
        Ok(member)
    }
}

fn verifier(text: &str, kind: KeyKind) -> Result<VerifierKey, String> {
    let key: VerifierKey = text.parse().map_err(|error: super::key::InvalidKey| error.to_string())?;
    match (key.kind() == kind, kind) {
        (true, _) => Ok(key),
        (false, KeyKind::Ledger) => Err("this is a witness's key, and a log's is needed".into()),
        (false, KeyKind::Witness) => Err("this is a log's key, and a witness's is needed".into()),
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(64).collect()
}
