//! Errors of the library, explained: their kind as an exit code, and their advice as commands.

use cim_keys::advice::{Action, Advice, ErrorKind, Explained};
use cim_keys::ledger::lookup::LookupError;
use cim_keys::text::visible;

use crate::error::CliError;

impl CliError {
    /// An error of the library as it is: what failed and why, its exit code, and what to do next.
    pub(crate) fn explain(error: &dyn Explained) -> Self {
        let new = match error.kind() {
            ErrorKind::Usage => Self::usage,
            ErrorKind::Refused => Self::refused,
            ErrorKind::Verification => Self::verification,
            ErrorKind::Unreachable => Self::unreachable,
            _ => Self::failed,
        };
        new(error.to_string()).advise(error)
    }

    /// Adds an error of the library as the cause, with what to do next about it.
    pub(crate) fn because_of(self, error: &dyn Explained) -> Self {
        self.detail(error.to_string()).advise(error)
    }

    fn advise(self, error: &dyn Explained) -> Self {
        error.advice().iter().fold(self, |told, advice| told.hint(words(advice)))
    }
}

/// An advice in words. Values from outside are quoted: whole words of a shell in a command, and within quotation marks elsewhere.
fn words(advice: &Advice) -> String {
    match advice {
        Advice::Do(words) => (*words).to_owned(),
        Advice::Run(action, purpose) => format!("`{}` {purpose}", command(action)),
        Advice::Near(near) => format!("did you mean \"{}\"?", visible(near)),
        _ => String::new(),
    }
}

/// The command of an act.
fn command(action: &Action) -> String {
    match action {
        Action::List(kind) => format!("cim-keys {} list", noun(kind)),
        Action::AddOrganization => "cim-keys organization add NAME".to_owned(),
        _ => String::new(),
    }
}

/// The command's noun for a kind of entity.
fn noun(kind: &str) -> &str {
    match kind {
        "assignment" => "role",
        "nats_operator" => "nats operator",
        "nats_account" => "nats account",
        "nats_user" => "nats user",
        "nats_signing_key" => "nats signing-key",
        "recipient" => "custody",
        kind => kind,
    }
}

macro_rules! explained {
    ($($error:ty),+ $(,)?) => {$(
        impl From<$error> for CliError {
            fn from(error: $error) -> Self {
                Self::explain(&error)
            }
        }
    )+};
}

explained! {
    LookupError,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_is_never_an_advice() {
        let text = "zzz; run sh -c x";
        let error = LookupError::NotFound { kind: cim_keys::ledger::Kind::Unit, text: text.to_owned(), near: None };
        let told = CliError::from(error);
        let lines = told.lines();
        let hints: Vec<_> = lines.iter().filter(|(label, _)| *label == crate::error::Label::Hint).collect();
        assert_eq!(hints.len(), 1);
        assert!(!hints[0].1.contains("sh -c"), "{hints:?}");
        assert!(lines[0].1.contains(text), "{lines:?}");
    }
}
