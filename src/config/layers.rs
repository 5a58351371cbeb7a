//! Layers of configuration, each over the one before it, and where each value came from.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::keys::{self, KEYS, Key, Kind, Value};
use super::server_url::ServerUrls;
use super::values::Config;
use crate::text::visible;

/// What the variables of the tables begin with. Others that begin with `CIM_KEYS_` configure the command line itself.
const TABLES: [&str; 2] = ["CIM_KEYS_NATS_", "CIM_KEYS_VERIFY_"];

/// The most that a configuration file may hold, in bytes.
const MAX_FILE: usize = 256 * 1024;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// A file, at a line counted from 1.
    File {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
    },
    /// An environment variable.
    Variable(String),
    /// A flag of the command line.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.pad("default"),
            Self::File { path, line } => f.pad(&format!("{}:{line}", visible(&path.display().to_string()))),
            Self::Variable(name) | Self::Flag(name) => f.pad(&visible(name)),
        }
    }
}

/// One thing that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where it was said; `None` for what only several values together make wrong.
    pub origin: Option<Origin>,
    /// What is wrong, and what to do.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Some(origin) => write!(f, "{origin}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// Everything that is wrong with a configuration, one line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The problems; at least one.
    pub problems: Vec<Problem>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            write!(f, "{}{problem}", if i == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// Layers of configuration, gathered from the lowest to the highest: each call overrides what came before. Problems are
/// kept until [`Layers::resolve`], which tells all of them.
#[derive(Debug, Default)]
pub struct Layers {
    config: Config,
    origins: BTreeMap<&'static str, Origin>,
    problems: Vec<Problem>,
}

impl Layers {
    /// The built-in defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lays the text of a `config.toml` over what is there. Relative paths in it are taken from the file's folder.
    pub fn file(&mut self, path: &Path, text: &str) {
        let at = |span: Option<std::ops::Range<usize>>| {
            let before = span.map_or(0, |span| span.start.min(text.len()));
            let line = 1 + text.as_bytes()[..before].iter().filter(|&&b| b == b'\n').count();
            Origin::File { path: path.to_owned(), line }
        };
        if text.len() > MAX_FILE {
            return self.problem(at(None), format!("the file is larger than {MAX_FILE} bytes"));
        }
        let table = match DeTable::parse(text) {
            Ok(table) => table,
            // The message alone: the error's own display quotes the line, which may hold a password.
            Err(error) => return self.problem(at(error.span()), format!("this is no TOML: {}", error.message())),
        };
        let folder = path.parent().unwrap_or(Path::new(""));
        let before = self.problems.len();
        self.table("", table.get_ref(), folder, &at);
        self.problems[before..].sort_by_key(|problem| match problem.origin {
            Some(Origin::File { line, .. }) => line,
            _ => 0,
        });
    }

    /// Lays environment variables over what is there: of all pairs those that begin with `CIM_KEYS_NATS_` or `CIM_KEYS_VERIFY_`. A key's
    /// variable is its name in upper case with `_` for dots, such as `CIM_KEYS_NATS_TLS_CA_CERT`; an empty value takes
    /// back what `config.toml` says for keys that have no default.
    pub fn variables(&mut self, pairs: impl IntoIterator<Item = (OsString, OsString)>) {
        let ours = |name: &&str| TABLES.iter().any(|table| name.starts_with(table));
        for (name, value) in pairs {
            let Some(name) = name.to_str().filter(ours) else { continue };
            let origin = Origin::Variable(name.to_owned());
            let Some(key) = KEYS.iter().find(|key| key.variable() == name) else {
                let names: Vec<_> = KEYS.iter().map(Key::variable).collect();
                let hint = nearest(name, names.iter().map(String::as_str));
                self.problem(origin, format!("there is no such variable{hint}"));
                continue;
            };
            match value.to_str() {
                Some(value) => self.text(key, value, origin),
                None => self.problem(origin, "the value is not UTF-8".into()),
            }
        }
    }

    /// Lays one flag over what is there: its own name, for messages, the key that it sets, and the value.
    pub fn flag(&mut self, flag: &str, key: &str, value: &str) {
        let origin = Origin::Flag(flag.to_owned());
        match keys::find(key) {
            Some(key) => self.text(key, value, origin),
            None => self.problem(origin, unknown_key(key)),
        }
    }

    /// The configuration, or everything that is wrong with what was said. Files and contradictions are not looked at:
    /// [`Config::validate`] does that.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn resolve(self) -> Result<Resolved, ConfigError> {
        if self.problems.is_empty() {
            Ok(Resolved { config: self.config, origins: self.origins })
        } else {
            Err(ConfigError { problems: self.problems })
        }
    }

    fn table(
        &mut self,
        prefix: &str,
        table: &DeTable<'_>,
        folder: &Path,
        at: &dyn Fn(Option<std::ops::Range<usize>>) -> Origin,
    ) {
        for (key, value) in table {
            let name = format!("{prefix}{}", key.get_ref());
            let origin = at(Some(key.span()));
            if let Some(key) = keys::find(&name) {
                match file_value(key, value.get_ref(), folder) {
                    Some(value) => self.set(key, &value, origin),
                    None => self.problem(origin, format!("{name}: {} is needed", key.expects())),
                }
            } else if let DeValue::Table(inner) = value.get_ref()
                && KEYS.iter().any(|key| key.name.starts_with(&format!("{name}.")))
            {
                self.table(&format!("{name}."), inner, folder, at);
            } else {
                self.problem(origin, unknown_key(&name));
            }
        }
    }

    fn text(&mut self, key: &'static Key, text: &str, origin: Origin) {
        match key.read(text) {
            Ok(value) => self.set(key, &value, origin),
            Err(reason) => self.problem(origin, format!("{}: {reason}", key.name)),
        }
    }

    fn set(&mut self, key: &'static Key, value: &Value, origin: Origin) {
        match (key.set)(&mut self.config, value) {
            Ok(()) => drop(self.origins.insert(key.name, origin)),
            Err(reason) => self.problem(origin, format!("{}: {reason}", key.name)),
        }
    }

    fn problem(&mut self, origin: Origin, message: String) {
        self.problems.push(Problem { origin: Some(origin), message });
    }
}

/// A configuration whose every value knows where it came from.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// The configuration.
    pub config: Config,
    origins: BTreeMap<&'static str, Origin>,
}

/// One value, ready to be shown: no password is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The key's name, such as `nats.url`.
    pub key: &'static str,
    /// The value as TOML writes it; `None` where nothing is set.
    pub value: Option<String>,
    /// Where it came from.
    pub origin: Origin,
}

impl Resolved {
    /// Whether a layer sets a key: a file, a variable or a flag, even if it says what the default says.
    #[must_use]
    pub fn is_set(&self, key: &str) -> bool {
        self.origins.contains_key(key)
    }

    /// The servers that a layer names (`nats.url`); `None` where only the built-in default remains. Commands publish what
    /// they record to named servers only: what listens at the default address may be any program.
    #[must_use]
    pub fn named_servers(&self) -> Option<&ServerUrls> {
        self.is_set("nats.url").then_some(&self.config.nats.url)
    }

    /// Every key with its value and origin, in the order of [`KEYS`].
    pub fn settings(&self) -> impl Iterator<Item = Setting> + '_ {
        KEYS.iter().map(|key| Setting {
            key: key.name,
            value: (key.get)(&self.config).map(|value| value.to_string()),
            origin: self.origins.get(key.name).cloned().unwrap_or(Origin::Default),
        })
    }
}

fn file_value(key: &Key, value: &DeValue<'_>, folder: &Path) -> Option<Value> {
    Some(match (key.kind, value) {
        (Kind::Switch, DeValue::Boolean(value)) => Value::Switch(*value),
        (Kind::Number, DeValue::Integer(value)) => {
            // What does not fit is out of every key's range, and is told so.
            Value::Number(u64::from_str_radix(value.as_str(), value.radix()).unwrap_or(u64::MAX))
        }
        (Kind::Text | Kind::List, DeValue::String(text)) => key.read(text).ok()?,
        (Kind::Path, DeValue::String(text)) if text.is_empty() => Value::Text(String::new()),
        // A path that came in as text is text after joining to a folder that is text.
        (Kind::Path, DeValue::String(text)) => Value::Text(folder.join(&**text).to_string_lossy().into_owned()),
        (Kind::List, DeValue::Array(items)) => {
            let texts = items.iter().map(|item| item.get_ref().as_str().map(str::to_owned));
            Value::List(texts.collect::<Option<_>>()?)
        }
        _ => return None,
    })
}

/// The tables that keys stand in.
const SECTIONS: [&str; 3] = ["nats", "nats.tls", "verify"];

fn unknown_key(name: &str) -> String {
    if SECTIONS.contains(&name) {
        return format!("{name} must be a table: write its keys under [{name}]");
    }
    let tables = SECTIONS.into_iter().filter(|table| table.matches('.').count() == name.matches('.').count());
    let names = KEYS.iter().map(|key| key.name).chain(tables);
    format!("there is no key \"{}\"{}", visible(&name.chars().take(80).collect::<String>()), nearest(name, names))
}

/// `; did you mean "…"?` for the nearest of the names, unless none is near.
fn nearest<'a>(given: &str, names: impl Iterator<Item = &'a str>) -> String {
    if given.len() > 200 {
        return String::new();
    }
    // The last token decides as much as the whole: `url` at top level means `nats.url`.
    let last = |name: &str| name.rsplit('.').next().unwrap_or(name).to_owned();
    let likeness = |name: &str| strsim::jaro_winkler(given, name).max(strsim::jaro_winkler(&last(given), &last(name)));
    names
        .map(|name| (likeness(name), name))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map_or_else(String::new, |(_, name)| format!("; did you mean \"{name}\"?"))
}

impl Config {
    /// Reads the text of a `config.toml` over the defaults. Relative paths in it stay as they are; [`Layers::file`]
    /// takes them from the file's folder.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        let mut layers = Layers::new();
        layers.file(std::path::Path::new("config.toml"), text);
        // Paths are joined to the folder of the file, which is empty here.
        layers.resolve().map(|resolved| resolved.config)
    }
}
