//! What the user is told when something does not work: what was tried, why it failed, what to do next, and the exit
//! code that scripts look at. Nothing below this crate knows of exit codes.

use std::fmt;

use cim_keys::text::visible;

/// Why the program ends, as scripts see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Something failed that is not listed below: a file, a disk, a lock.
    Failed = 1,
    /// Wrong usage, a wrong file, a wrong configuration.
    Usage = 2,
    /// The domain or a policy says no.
    Refused = 3,
    /// A check found something that is not as it was recorded.
    VerificationFailed = 4,
    /// NATS can't be reached, and the command needs it.
    Unreachable = 5,
}

/// An error on its way to the user.
#[derive(Debug)]
pub(crate) struct CliError {
    exit: Exit,
    message: String,
    causes: Vec<String>,
    hints: Vec<String>,
    broken_pipe: bool,
}

impl CliError {
    fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), causes: Vec::new(), hints: Vec::new(), broken_pipe: false }
    }

    /// Exit code 1.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// Exit code 2.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Exit code 3.
    pub(crate) fn refused(message: impl Into<String>) -> Self {
        Self::new(Exit::Refused, message)
    }

    /// Exit code 4.
    pub(crate) fn verification(message: impl Into<String>) -> Self {
        Self::new(Exit::VerificationFailed, message)
    }

    /// Exit code 5.
    pub(crate) fn unreachable(message: impl Into<String>) -> Self {
        Self::new(Exit::Unreachable, message)
    }

    /// Adds why: the error and everything beneath it.
    pub(crate) fn because(mut self, error: &(dyn std::error::Error + 'static)) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            let text = error.to_string();
            // Many errors repeat what lies beneath them in their own text; it is said once.
            if !self.causes.last().is_some_and(|above| above.contains(&text)) {
                self.causes.push(text);
            }
            next = error.source();
        }
        self
    }

    /// Adds one more thing that is wrong, as a line of its own.
    pub(crate) fn detail(mut self, text: impl Into<String>) -> Self {
        self.causes.push(text.into());
        self
    }

    /// Adds what to do next.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// What went wrong and why, for a warning: something else went well.
    pub(crate) fn in_one_line(&self) -> String {
        let lines = std::iter::once(&self.message).chain(&self.causes);
        visible(&lines.map(String::as_str).collect::<Vec<_>>().join(": ")).into_owned()
    }

    /// Whether nobody reads our output any more.
    pub(crate) const fn is_broken_pipe(&self) -> bool {
        self.broken_pipe
    }

    /// Whether NATS can't be reached, and that is all.
    #[cfg(feature = "nats-client")]
    pub(crate) const fn is_unreachable(&self) -> bool {
        matches!(self.exit, Exit::Unreachable)
    }

    /// The exit code.
    pub(crate) const fn code(&self) -> u8 {
        self.exit as u8
    }

    /// The error as one JSON object.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "error": { "exit_code": self.code(), "message": self.message, "causes": self.causes, "hints": self.hints }
        })
    }

    /// The parts of the text form: each with its label.
    pub(crate) fn lines(&self) -> Vec<(Label, String)> {
        let mut lines = vec![(Label::Error, one_line(&self.message))];
        lines.extend(self.causes.iter().map(|cause| (Label::Cause, one_line(cause))));
        lines.extend(self.hints.iter().map(|hint| (Label::Hint, one_line(hint))));
        lines
    }
}

/// What a line of an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Label {
    Error,
    Cause,
    Hint,
}

/// Untrusted text may stand in any message: nothing in it acts on the terminal. Line feeds stay, indented.
fn one_line(text: &str) -> String {
    text.lines().map(|line| visible(line).into_owned()).collect::<Vec<_>>().join("\n  ")
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for CliError {}

impl From<std::io::Error> for CliError {
    /// Only writing to standard output fails this way; everything else says what it was about.
    fn from(error: std::io::Error) -> Self {
        let broken_pipe = error.kind() == std::io::ErrorKind::BrokenPipe;
        Self { broken_pipe, ..Self::failed("cannot write the output").because(&error) }
    }
}

/// The result of a command.
pub(crate) type Result<T = ()> = std::result::Result<T, CliError>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_not_repeated_and_escapes_do_not_pass() {
        #[derive(Debug)]
        struct Outer(std::io::Error);
        impl fmt::Display for Outer {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "cannot read: {}", self.0)
            }
        }
        impl std::error::Error for Outer {
            fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
                Some(&self.0)
            }
        }
        let error = CliError::failed("a\u{1b}[31m").because(&Outer(std::io::Error::other("gone"))).hint("look");
        let lines = error.lines();
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(!lines[0].1.contains('\u{1b}'));
    }
}
