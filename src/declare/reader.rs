//! Walks a parsed TOML document and collects every problem with its line, instead of stopping at the first.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::text::{nearest, visible};
use crate::time::Timestamp;

/// One thing that is wrong with a file, where it stands, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong and what to write instead, in one line.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

/// The problems of one file and the lines of what was read, so that a later check can still name them.
pub(super) struct Reader {
    line_starts: Vec<usize>,
    lines: BTreeMap<String, usize>,
    problems: Vec<Problem>,
}

impl Reader {
    pub(super) fn new(source: &str) -> Self {
        let starts = source.bytes().enumerate().filter(|&(_, b)| b == b'\n').map(|(i, _)| i + 1);
        Self { line_starts: std::iter::once(0).chain(starts).collect(), lines: BTreeMap::new(), problems: Vec::new() }
    }

    /// Reports a problem at a place in the source.
    pub(super) fn report(&mut self, span: &Range<usize>, message: impl Into<String>) {
        let line = self.line_starts.partition_point(|&start| start <= span.start);
        self.problems.push(Problem { line, message: message.into() });
    }

    /// Reports a problem at a path that was read before, such as `people.ada.unit`.
    pub(super) fn report_at(&mut self, path: &str, message: impl Into<String>) {
        let line = self.line_of(path);
        self.problems.push(Problem { line, message: message.into() });
    }

    /// Remembers where a path stands.
    pub(super) fn remember(&mut self, path: String, span: &Range<usize>) {
        let line = self.line_starts.partition_point(|&start| start <= span.start);
        self.lines.insert(path, line);
    }

    /// How many problems there are by now.
    pub(super) const fn count(&self) -> usize {
        self.problems.len()
    }

    /// Whether a path stands in the file.
    pub(super) fn knows(&self, path: &str) -> bool {
        self.lines.contains_key(path)
    }

    /// Lets one path stand where another one does.
    pub(super) fn alias(&mut self, path: &str, target: &str) {
        let line = self.line_of(target);
        self.lines.insert(path.to_owned(), line);
    }

    /// The line of a path, or of the nearest one that encloses it.
    fn line_of(&self, path: &str) -> usize {
        let mut path = path;
        loop {
            if let Some(line) = self.lines.get(path) {
                return *line;
            }
            match path.rsplit_once('.') {
                Some((outer, _)) => path = outer,
                None => return 1,
            }
        }
    }

    /// All problems, in the order of their lines.
    pub(super) fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems;
        problems.sort_by_key(|problem| problem.line);
        problems.dedup();
        problems
    }
}

/// One table of the document. Each key is asked for once; [`Table::finish`] reports those that nobody asked for.
pub(super) struct Table<'a, 'i> {
    path: String,
    table: &'a DeTable<'i>,
    span: Range<usize>,
    known: Vec<&'static str>,
}

impl<'a, 'i> Table<'a, 'i> {
    pub(super) fn new(path: impl Into<String>, table: &'a DeTable<'i>, span: Range<usize>) -> Self {
        Self { path: path.into(), table, span, known: Vec::new() }
    }

    /// A value that should be a table; another kind of value is reported.
    pub(super) fn of(reader: &mut Reader, path: String, value: &'a Spanned<DeValue<'i>>) -> Option<Self> {
        match value.get_ref() {
            DeValue::Table(table) => {
                reader.remember(path.clone(), &value.span());
                Some(Self::new(path, table, value.span()))
            }
            other => {
                let message = format!("{} must be a table, not {}", shown(&path), kind(other));
                reader.report(&value.span(), message);
                None
            }
        }
    }

    /// Where the table stands, as a dotted path.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// The path of a key of this table.
    pub(super) fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Whether the file gives a key.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Takes note of a key that is read only sometimes.
    pub(super) fn know(&mut self, key: &'static str) {
        self.known.push(key);
    }

    /// The value of a key, as it stands.
    pub(super) fn get(&mut self, reader: &mut Reader, key: &'static str) -> Option<&'a Spanned<DeValue<'i>>> {
        self.known.push(key);
        let (name, value) = self.table.get_key_value(key)?;
        reader.remember(self.path_of(key), &name.span());
        Some(value)
    }

    /// A text value, taken by `parse`; what it refuses is reported.
    pub(super) fn text<T, E: fmt::Display>(
        &mut self,
        reader: &mut Reader,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let value = self.get(reader, key)?;
        let path = self.path_of(key);
        let text = expect_text(reader, &path, value)?;
        parse(text).map_err(|error| reader.report(&value.span(), format!("{}: {error}", shown(&path)))).ok()
    }

    /// A text value that must be there.
    pub(super) fn required<T, E: fmt::Display>(
        &mut self,
        reader: &mut Reader,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        if !self.table.contains_key(key) {
            self.known.push(key);
            let place = if self.path.is_empty() { "the file".to_owned() } else { format!("[{}]", shown(&self.path)) };
            reader.report(&self.span, format!("{place} lacks `{key}`, which is required"));
            return None;
        }
        self.text(reader, key, parse)
    }

    /// A point in time: a TOML date or offset date-time, or the same as text.
    pub(super) fn time(&mut self, reader: &mut Reader, key: &'static str) -> Option<Timestamp> {
        let value = self.get(reader, key)?;
        let path = self.path_of(key);
        let text = match value.get_ref() {
            DeValue::Datetime(time) => time.to_string(),
            DeValue::String(text) => text.to_string(),
            other => {
                reader.report(&value.span(), format!("{} must be a date, not {}", shown(&path), kind(other)));
                return None;
            }
        };
        let time = Timestamp::parse_lenient(&text).ok();
        if time.is_none() {
            let message = format!(
                "{}: \"{}\" is no date; write 2027-01-31 (midnight UTC) or 2027-01-31T09:00:00Z, with an offset",
                shown(&path),
                visible(&text)
            );
            reader.report(&value.span(), message);
        }
        time
    }

    /// A list of texts, each taken by `parse`; a repeated one is reported. The list is sorted.
    pub(super) fn texts<T: Ord + Clone, E: fmt::Display>(
        &mut self,
        reader: &mut Reader,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Vec<T> {
        let path = self.path_of(key);
        let Some(value) = self.get(reader, key) else { return Vec::new() };
        let DeValue::Array(items) = value.get_ref() else {
            let message = format!("{} must be a list of texts, not {}", shown(&path), kind(value.get_ref()));
            reader.report(&value.span(), message);
            return Vec::new();
        };
        let mut taken: Vec<T> = Vec::new();
        for item in items.iter() {
            let Some(text) = expect_text(reader, &path, item) else { continue };
            match parse(text) {
                Ok(value) => match taken.binary_search(&value) {
                    Ok(_) => reader
                        .report(&item.span(), format!("{}: \"{}\" stands there twice", shown(&path), visible(text))),
                    Err(place) => taken.insert(place, value),
                },
                Err(error) => reader.report(&item.span(), format!("{}: {error}", shown(&path))),
            }
        }
        taken
    }

    /// The entries of a table of tables (`[people.ada]`), each with its name as written.
    pub(super) fn entries(
        &mut self,
        reader: &mut Reader,
        key: &'static str,
    ) -> Vec<(&'a str, Range<usize>, Table<'a, 'i>)> {
        let path = self.path_of(key);
        let Some(value) = self.get(reader, key) else { return Vec::new() };
        let DeValue::Table(table) = value.get_ref() else {
            let message = format!(
                "`{key}` must hold one table an entry, such as [{key}.some-name], not {}",
                kind(value.get_ref())
            );
            reader.report(&value.span(), message);
            return Vec::new();
        };
        let entry = |(name, value): (&'a Spanned<_>, &'a Spanned<DeValue<'i>>)| {
            let name: &'a Spanned<std::borrow::Cow<'i, str>> = name;
            let inner = Table::of(reader, format!("{path}.{}", name.get_ref()), value)?;
            Some((name.get_ref().as_ref(), name.span(), inner))
        };
        table.iter().filter_map(entry).collect()
    }

    /// Reports the keys that nobody asked for, each with the nearest one that exists.
    pub(super) fn finish(self, reader: &mut Reader) {
        for (name, _) in self.table.iter() {
            let text = name.get_ref().as_ref();
            if !self.known.contains(&text) {
                let place =
                    if self.path.is_empty() { "the file".to_owned() } else { format!("[{}]", shown(&self.path)) };
                let advice = match nearest(text, self.known.iter().copied()) {
                    Some(known) => format!("; did you mean `{known}`?"),
                    None => format!("; known are {}", listed(self.known.iter().copied())),
                };
                reader.report(&name.span(), format!("{place} has no key `{}`{advice}", shown(text)));
            }
        }
    }
}

fn expect_text<'a>(reader: &mut Reader, path: &str, value: &'a Spanned<DeValue<'_>>) -> Option<&'a str> {
    match value.get_ref() {
        DeValue::String(text) => Some(text.as_ref()),
        other => {
            reader.report(&value.span(), format!("{} must be text in quotes, not {}", shown(path), kind(other)));
            None
        }
    }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// Untrusted text for a message: on one line, harmless, and not longer than a line.
pub(super) fn shown(text: &str) -> String {
    let cut: String = text.chars().take(80).collect();
    visible(&cut).into_owned()
}

/// Words in a row: `a`, `b` and `c`.
pub(super) fn listed<'k>(words: impl Iterator<Item = &'k str>) -> String {
    let words: Vec<_> = words.map(|word| format!("`{word}`")).collect();
    match words.split_last() {
        None => "none".into(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}
