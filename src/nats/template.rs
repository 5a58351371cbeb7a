//! Templates in the subjects of a role, expanded as the server does when one of its users connects.

use super::subject;

/// How many subjects a list may come to.
pub const MAX_EXPANSIONS: usize = 4_096;

/// What templates are filled in with.
#[derive(Debug, Clone, Copy)]
pub struct Context<'c> {
    /// The user's name.
    pub name: &'c str,
    /// The user's public key.
    pub subject: &'c str,
    /// The account's name.
    pub account_name: &'c str,
    /// The account's public key, as the user's token names it.
    pub account_subject: &'c str,
    /// The user's tags.
    pub tags: &'c [String],
    /// The account's tags.
    pub account_tags: &'c [String],
}

/// Why the server refuses a user of a role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExpandError {
    /// No such function.
    #[error("\"{subject}\" uses {{{{{function}}}}}, which servers do not know")]
    Unknown {
        /// The subject.
        subject: String,
        /// The function.
        function: String,
    },
    /// A denied subject has a tag that is not there.
    #[error("\"{subject}\" is denied and has no value: the tag \"{tag}\" is not set")]
    NoTag {
        /// The subject.
        subject: String,
        /// The tag.
        tag: String,
    },
    /// A denied subject comes to what is no subject.
    #[error("\"{subject}\" is denied and comes to \"{became}\", which is no subject")]
    NoSubject {
        /// The subject.
        subject: String,
        /// What it came to.
        became: String,
    },
    /// More than [`MAX_EXPANSIONS`].
    #[error("the subjects come to more than {MAX_EXPANSIONS}")]
    TooMany,
}

/// Expands a list of subjects. What comes to no subject is left out of what is allowed, and an error in what is denied.
///
/// # Errors
/// See [`ExpandError`]: a server then refuses the connection.
pub fn expand(list: &[String], denied: bool, context: &Context<'_>) -> Result<Vec<String>, ExpandError> {
    if list.iter().all(|entry| functions(entry).is_empty()) {
        return Ok(list.to_vec());
    }
    let mut expanded: Vec<String> = Vec::new();
    for entry in list {
        let functions = functions(entry);
        let mut values = Vec::with_capacity(functions.len());
        let mut has_tags = false;
        for function in &functions {
            let (found, is_tag) = value(entry, function, denied, context)?;
            has_tags |= is_tag;
            values.push(found);
        }
        let count = values.iter().try_fold(1_usize, |count, values| {
            count.checked_mul(values.len()).filter(|count| *count <= MAX_EXPANSIONS).ok_or(ExpandError::TooMany)
        })?;
        if has_tags && expanded.len() + count > MAX_EXPANSIONS {
            return Err(ExpandError::TooMany);
        }
        for mut index in 0..count {
            let mut became = entry.clone();
            // The last function turns fastest, as an odometer's last wheel; the order does not change what is allowed.
            for (function, values) in functions.iter().zip(&values).rev() {
                became = became.replace(function, &values[index % values.len()]);
                index /= values.len();
            }
            if subject::check(&became).is_ok() {
                expanded.push(became);
            } else if denied {
                return Err(ExpandError::NoSubject { subject: entry.clone(), became });
            }
        }
    }
    Ok(expanded)
}

/// The `{{…}}` of a subject, as they stand.
fn functions(entry: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = entry;
    while let Some(open) = rest.find("{{") {
        let Some(close) = rest[open..].find("}}") else { break };
        found.push(&rest[open..open + close + 2]);
        rest = &rest[open + close + 2..];
    }
    found
}

/// What a function stands for, and whether it is a tag.
fn value(entry: &str, function: &str, denied: bool, context: &Context<'_>) -> Result<(Vec<String>, bool), ExpandError> {
    let inner = function.trim_start_matches("{{").trim_end_matches("}}").trim();
    let one = |value: &str| Ok((vec![value.to_owned()], false));
    match inner.to_ascii_lowercase().as_str() {
        "name()" => return one(context.name),
        "subject()" => return one(context.subject),
        "account-name()" => return one(context.account_name),
        "account-subject()" => return one(context.account_subject),
        _ => {}
    }
    let lower = inner.to_ascii_lowercase();
    let argument = |prefix: &str| lower.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(')')).map(str::to_owned);
    let (tag, tags) = match (argument("tag("), argument("account-tag(")) {
        (Some(tag), _) => (tag, context.tags),
        (None, Some(tag)) => (tag, context.account_tags),
        (None, None) => {
            return Err(ExpandError::Unknown { subject: entry.to_owned(), function: inner.to_owned() });
        }
    };
    let prefix = format!("{tag}:");
    let values: Vec<String> = tags.iter().filter_map(|tag| tag.strip_prefix(&prefix)).map(str::to_owned).collect();
    match (values.is_empty(), denied) {
        (false, _) => Ok((values, true)),
        (true, true) => Err(ExpandError::NoTag { subject: entry.to_owned(), tag }),
        // What can't be a subject, so that it is left out.
        (true, false) => Ok((vec![" ".to_owned()], true)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn context<'c>(tags: &'c [String]) -> Context<'c> {
        Context { name: "bob", subject: "UB", account_name: "ORDERS", account_subject: "AO", tags, account_tags: &[] }
    }

    fn texts(list: &[&str]) -> Vec<String> {
        list.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn functions_and_tags_are_filled_in() {
        let tags = texts(&["site:a", "site:b", "line:1"]);
        let expanded = |list: &[&str]| expand(&texts(list), false, &context(&tags)).unwrap();
        assert_eq!(expanded(&["d.{{name()}}.>", "x"]), ["d.bob.>", "x"]);
        assert_eq!(expanded(&["{{ SUBJECT() }}.{{account-name()}}.{{account-subject()}}"]), ["UB.ORDERS.AO"]);
        assert_eq!(expanded(&["{{tag(site)}}.{{tag(line)}}"]), ["a.1", "b.1"]);
        assert_eq!(expanded(&["{{tag(none)}}.x", "y"]), ["y"]);
    }

    #[test]
    fn what_servers_refuse_is_refused() {
        let none = expand(&texts(&["{{tag(none)}}.x"]), true, &context(&[]));
        assert!(matches!(none, Err(ExpandError::NoTag { .. })));
        assert!(matches!(expand(&texts(&["{{who()}}"]), false, &context(&[])), Err(ExpandError::Unknown { .. })));
        let many: Vec<String> = (0..70).map(|n| format!("a:{n}")).collect();
        let cube = texts(&["{{tag(a)}}.{{tag(a)}}.{{tag(a)}}"]);
        assert_eq!(expand(&cube, false, &context(&many)), Err(ExpandError::TooMany));
    }
}
