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
    pub(crate) fn because_of(self, error: &(dyn Explained + 'static)) -> Self {
        self.because(error).advise(error)
    }

    /// Adds what to do next about an error of the library.
    pub(crate) fn advise(self, error: &dyn Explained) -> Self {
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
        Action::Init => "cim-keys init".to_owned(),
        Action::Verify => "cim-keys verify".to_owned(),
        Action::ListEvents => "cim-keys event list".to_owned(),
        Action::ListEventTypes => "cim-keys event types".to_owned(),
        Action::HandOver => "cim-keys handover".to_owned(),
        Action::RecoverFromCarry => "cim-keys recover --from carry MEDIUM".to_owned(),
        Action::RecoverFromStream => "cim-keys recover --from nats".to_owned(),
        Action::RecoverAcceptLoss => "cim-keys recover --accept-loss".to_owned(),
        Action::ImportArchive => "cim-keys import car FILE".to_owned(),
        Action::NewMirror => "cim-keys import car FILE --key KEY --ledger DIR".to_owned(),
        Action::ExportArchive => "cim-keys export car".to_owned(),
        Action::SignHead => "cim-keys log checkpoint --sign".to_owned(),
        Action::ProveConsistency => "cim-keys log consistency --from CHECKPOINT".to_owned(),
        Action::CosignHead => "cim-keys log cosign".to_owned(),
        Action::ShowPublicKey => "cim-keys log public-key".to_owned(),
        Action::EnrollPerson => "cim-keys person enroll".to_owned(),
        Action::EnrollPersonEd25519 => "cim-keys person enroll --algorithm ed25519".to_owned(),
        Action::EndSignatures => "cim-keys policy require-signatures --none".to_owned(),
        Action::CheckCustody => "cim-keys custody check".to_owned(),
        Action::ShowKey { key } => format!("cim-keys key show {}", quoted(key)),
        Action::ChangeMode { mode, path } => format!("chmod {mode:04o} {}", quoted(&path.to_string_lossy())),
        Action::ChangeOwner { user, path } => format!("chown {user} {}", quoted(&path.to_string_lossy())),
        Action::AddOperator => "cim-keys nats operator add NAME".to_owned(),
        Action::AddUser => "cim-keys nats user add".to_owned(),
        Action::GiveActivation { account, import } => {
            format!("cim-keys nats import edit {} {} --activation FILE", quoted(account), quoted(import))
        }
        Action::DeleteAccount { account } => format!("cim-keys nats account delete {}", quoted(account)),
        Action::AddSigningKey { account } => format!("cim-keys nats signing-key add {}", quoted(account)),
        Action::ListOf { what, account } => format!("cim-keys nats {what} list {}", quoted(account)),
        Action::AddCalloutKey { account } => {
            format!("cim-keys nats auth-callout edit {} --xkey generate", quoted(account))
        }
        Action::AddIssuer => "cim-keys nats issuer add".to_owned(),
        Action::Backup => "cim-keys backup".to_owned(),
        Action::Restore => "cim-keys restore".to_owned(),
        Action::Recover => "cim-keys recover".to_owned(),
        Action::ServerConfig => "cim-keys nats server-config".to_owned(),
        Action::NatsDiff => "cim-keys nats diff".to_owned(),
        Action::SyncFrom { position } => match position {
            Some(position) => format!("cim-keys sync --from {position}"),
            None => "cim-keys sync --from POSITION".to_owned(),
        },
        Action::SyncOnce => "cim-keys sync --once".to_owned(),
        Action::QueueList => "cim-keys queue list".to_owned(),
        Action::QueueParked => "cim-keys queue list --parked".to_owned(),
        Action::QueueRetry => "cim-keys queue retry".to_owned(),
        Action::UpdateMirror => "cim-keys mirror update".to_owned(),
        Action::Reconcile => "cim-keys reconcile".to_owned(),
        Action::SavePlan => "cim-keys apply FILE --save-plan PLAN".to_owned(),
        Action::Request => "cim-keys nats request".to_owned(),
        Action::LinkLedger => "cim-keys ledger link".to_owned(),
        Action::CarryOut => "cim-keys carry out MEDIUM".to_owned(),
        Action::AttestEvent { key } => format!("cim-keys event attest EVENT --key {} --signature FILE", quoted(key)),
        Action::ProveEvent => "cim-keys event proof-of".to_owned(),
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

/// A text as one word of a shell.
pub(crate) fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@".contains(c);
    match !text.is_empty() && !text.starts_with('-') && text.chars().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", visible(text).replace('\'', "'\\''")),
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
    cim_keys::app::attest::AttestError,
    cim_keys::app::queue::QueueError,
    cim_keys::authority::nats::nsc::ExportError,
    cim_keys::authority::nats::nsc::HomeError,
    cim_keys::declare::InvalidPlan,
    cim_keys::custody::ChangeError,
    cim_keys::custody::CreateError,
    cim_keys::custody::FileError,
    cim_keys::custody::OpenError,
    cim_keys::custody::RevealError,
    cim_keys::custody::SealError,
    cim_keys::custody::SealToError,
    cim_keys::custody::UnlockError,
    cim_keys::custody::UseError,
    cim_keys::ledger::Refusal,
    cim_keys::session::SessionError,
    cim_keys::session::custody::CheckError,
    cim_keys::session::heads::LogError,
    cim_keys::session::online_key::OnlineKeyError,
    cim_keys::store::AppendError,
    cim_keys::store::CreateError,
    cim_keys::store::DatabaseError,
    cim_keys::store::JournalError,
    cim_keys::store::OpenError,
    cim_keys::store::ReadError,
    LookupError,
}

#[cfg(test)]
mod tests {
    use cim_keys::store::ReadError;

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

    #[test]
    fn a_text_that_names_no_event_is_never_an_advice() {
        let text = "zzz; run sh -c x";
        for error in [ReadError::NotFound(text.to_owned()), ReadError::NotAnEvent(text.to_owned())] {
            let lines = CliError::from(error).lines();
            assert!(lines[0].1.contains(text), "{lines:?}");
            assert!(lines[1..].iter().all(|(_, line)| !line.contains("sh -c")), "{lines:?}");
        }
    }

    /// The words of a text as a POSIX shell splits it; `None` where a quotation mark stays open.
    fn shell_words(text: &str) -> Option<Vec<String>> {
        let (mut words, mut word) = (Vec::new(), None::<String>);
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            match c {
                '\'' => {
                    let word = word.get_or_insert_default();
                    loop {
                        match chars.next()? {
                            '\'' => break,
                            c => word.push(c),
                        }
                    }
                }
                '\\' => word.get_or_insert_default().push(chars.next()?),
                ' ' | '\t' | '\n' => words.extend(word.take()),
                c if "\"$`|&;<>()*?[#~=%{}!".contains(c) => return None,
                c => word.get_or_insert_default().push(c),
            }
        }
        words.extend(word);
        Some(words)
    }

    #[test]
    fn any_text_is_one_word_of_a_shell() {
        const CHARS: [char; 24] = [
            '\'', '"', '\\', ' ', '\n', '\t', '$', '`', ';', '&', '|', '<', '>', '(', ')', '*', '?', '~', '#', '-',
            'a', '\u{1b}', '\u{202e}', '\0',
        ];
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut below = |limit: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % limit
        };
        for _ in 0..20_000 {
            let length = below(12);
            let text: String = (0..length).map(|_| CHARS[below(CHARS.len())]).collect();
            let shown = quoted(&text);
            assert_eq!(shell_words(&shown), Some(vec![visible(&text).into_owned()]), "{text:?} is {shown}");
            assert!(!shown.starts_with('-'), "{shown}");
        }
    }
}
