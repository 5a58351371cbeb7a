//! NATS subjects: tokens joined by dots, `*` for one token, `>` for one or more at the end.

/// Why a text is no subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSubject {
    /// It is empty.
    #[error("a subject cannot be empty")]
    Empty,
    /// Longer than the server's line buffer leaves room for.
    #[error("a subject of more than 1,024 bytes does not fit into the server's control line")]
    TooLong,
    /// Space or a control character.
    #[error("a subject cannot contain space or control characters")]
    Space,
    /// A token is empty: a dot at an end, or two in a row.
    #[error("a subject cannot begin or end with a dot or have two in a row")]
    EmptyToken,
    /// `>` stands before the end.
    #[error("> stands for the rest of a subject, and so only at its end")]
    InnerTail,
}

/// Checks a subject, wildcards allowed.
///
/// # Errors
/// What is wrong with it.
pub fn check(subject: &str) -> Result<(), InvalidSubject> {
    if subject.is_empty() {
        return Err(InvalidSubject::Empty);
    }
    if subject.len() > 1_024 {
        return Err(InvalidSubject::TooLong);
    }
    if subject.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(InvalidSubject::Space);
    }
    let mut tokens = subject.split('.').peekable();
    while let Some(token) = tokens.next() {
        if token.is_empty() {
            return Err(InvalidSubject::EmptyToken);
        }
        if token == ">" && tokens.peek().is_some() {
            return Err(InvalidSubject::InnerTail);
        }
    }
    Ok(())
}

/// Whether a subject has a token that stands for others.
#[must_use]
pub fn has_wildcards(subject: &str) -> bool {
    subject.split('.').any(|token| token == "*" || token == ">")
}

/// Whether everything that `inner` matches is matched by `outer`: `a.b` and `a.*` are covered by `a.>`.
#[must_use]
pub fn covers(outer: &str, inner: &str) -> bool {
    let (mut outer, mut inner) = (outer.split('.'), inner.split('.'));
    loop {
        match (outer.next(), inner.next()) {
            (None, None) => return true,
            (Some(">"), Some(_)) => return true,
            (Some("*"), Some(token)) if token != ">" => {}
            (Some(a), Some(b)) if a == b => {}
            _ => return false,
        }
    }
}

/// Whether some subject is matched by both: `a.*` and `*.b` overlap at `a.b`.
#[must_use]
pub fn overlaps(a: &str, b: &str) -> bool {
    let (mut a, mut b) = (a.split('.'), b.split('.'));
    loop {
        match (a.next(), b.next()) {
            (None, None) => return true,
            (Some(">"), Some(_)) | (Some(_), Some(">")) => return true,
            (Some(x), Some(y)) if x == y || x == "*" || y == "*" => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_formed() {
        for good in ["a", "a.b", "a.*", "*", ">", "a.>", "$SYS.REQ.>", "a.b*", "ü.水"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in ["", ".", "a.", ".a", "a..b", "a b", "a.>.b", ">.a", "a\tb", "a\u{0}"] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn covering() {
        for (outer, inner) in
            [("a", "a"), (">", "a"), (">", "a.>"), ("a.>", "a.b.c"), ("a.*", "a.b"), ("a.*", "a.*"), ("*.b", "a.b")]
        {
            assert!(covers(outer, inner), "{outer} {inner}");
        }
        for (outer, inner) in [("a", "b"), ("a.>", "a"), ("a.*", "a.>"), ("a.*", "a.b.c"), ("a.b", "a.*"), ("a.b", "a")]
        {
            assert!(!covers(outer, inner), "{outer} {inner}");
        }
    }

    #[test]
    fn overlapping() {
        for (a, b) in [("a.*", "*.b"), ("a.>", "a.b"), ("*", "a"), (">", "x.y"), ("a.*.c", "a.b.>")] {
            assert!(overlaps(a, b) && overlaps(b, a), "{a} {b}");
        }
        for (a, b) in [("a", "b"), ("a.b", "a"), ("a.>", "a"), ("a.*", "b.*")] {
            assert!(!overlaps(a, b) && !overlaps(b, a), "{a} {b}");
        }
    }
}
