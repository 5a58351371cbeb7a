//! Where passphrases come from: flags, the environment, or a prompt, in this order.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use cim_keys::custody::passphrase::{self, MOST_BYTES};
use cim_keys::custody::{Custody, UnlockError, Unlocked};
use cim_keys::text::{Label, visible};
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use crate::advice::quoted;
use crate::error::{CliError, Result};
use crate::hardening;
use crate::ui::Ui;

/// The variable that holds the passphrase of any compartment; with `_ISSUING` behind it, that of compartment `issuing`.
const VARIABLE: &str = "CIM_KEYS_PASSPHRASE";

/// How often a prompt asks before it gives up.
const ATTEMPTS: usize = 3;

/// The flags that say where passphrases come from.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Passphrases")]
pub(crate) struct PassphraseArgs {
    /// Read the passphrase from this file, which only you may read; COMPARTMENT=FILE for one compartment
    #[arg(long, global = true, value_name = "[COMPARTMENT=]FILE")]
    passphrase_file: Vec<String>,

    /// Read the passphrase from this open file descriptor; COMPARTMENT=FD for one compartment
    #[arg(long, global = true, value_name = "[COMPARTMENT=]FD")]
    passphrase_fd: Vec<String>,
}

/// The passphrases of new compartments.
pub(crate) struct NewPassphrases {
    /// Each with its compartment, in the order that was asked for.
    pub(crate) passphrases: Vec<(Label, SecretString)>,
    generated: Vec<Label>,
}

/// A source of passphrases for one run of the program.
pub(crate) struct Passphrases {
    given: BTreeMap<Option<Label>, Source>,
    environment: fn(&str) -> Option<Zeroizing<String>>,
    can_ask: bool,
    locked: OnceCell<()>,
}

#[derive(Debug, Clone)]
enum Source {
    File(PathBuf),
    Descriptor(u32),
}

impl Passphrases {
    /// From flags, the environment and the terminal.
    pub(crate) fn new(args: &PassphraseArgs) -> Result<Self> {
        let mut given = BTreeMap::new();
        let files = args.passphrase_file.iter().map(|text| -> Result<_> {
            let (compartment, path) = for_compartment(text);
            Ok((compartment, "--passphrase-file", Source::File(PathBuf::from(path))))
        });
        let descriptors = args.passphrase_fd.iter().map(|text| -> Result<_> {
            let (compartment, number) = for_compartment(text);
            let number = number.parse().map_err(|_| {
                CliError::usage(format!("\"{number}\" is no file descriptor"))
                    .hint("give the number of one that is open, such as --passphrase-fd 3 with 3<FILE")
            })?;
            Ok((compartment, "--passphrase-fd", Source::Descriptor(number)))
        });
        for one in files.chain(descriptors) {
            let (compartment, flag, source) = one?;
            if given.insert(compartment.clone(), source).is_some() {
                let whose = compartment.map_or_else(|| "any compartment".to_owned(), |c| format!("compartment {c}"));
                return Err(CliError::usage(format!("{flag} gives the passphrase of {whose} a second time"))
                    .hint("give it once, or write COMPARTMENT=… for each compartment"));
            }
        }
        Ok(Self { given, environment: variable, can_ask: terminal(), locked: OnceCell::new() })
    }

    /// Opens a compartment. At a prompt a wrong passphrase is asked for again.
    pub(crate) fn unlock(&self, custody: &Custody, compartment: &Label) -> Result<Unlocked> {
        self.lock_memory();
        // Fails for a compartment that is not there before anybody is asked for its passphrase.
        custody.recipient(compartment).map_err(UnlockError::from)?;
        if let Some(given) = self.given(compartment)? {
            return custody.unlock(compartment, given).map_err(CliError::from);
        }
        for attempt in 1.. {
            let typed = self.ask(&format!("Passphrase of compartment {compartment}: "), compartment)?;
            match custody.unlock(compartment, typed) {
                Err(UnlockError::WrongPassphrase { .. }) if attempt < ATTEMPTS => {
                    writeln!(io::stderr(), "That is not its passphrase.")?;
                }
                result => return result.map_err(CliError::from),
            }
        }
        Err(CliError::refused(format!("compartment \"{compartment}\" stays closed")))
    }

    /// The passphrase of a compartment that exists, as it is given or typed.
    pub(crate) fn existing(&self, compartment: &Label) -> Result<SecretString> {
        self.lock_memory();
        match self.given(compartment)? {
            Some(given) => Ok(given),
            None => self.ask(&format!("Passphrase of compartment {compartment}: "), compartment),
        }
    }

    /// Passphrases for new compartments: those that are given, and generated ones for the others. Generated ones must
    /// be shown ([`NewPassphrases::show`]), so there must be a terminal or `show`.
    pub(crate) fn for_new(&self, compartments: &[Label], show: bool) -> Result<NewPassphrases> {
        self.lock_memory();
        let mut new = NewPassphrases { passphrases: Vec::new(), generated: Vec::new() };
        for compartment in compartments {
            let chosen = match self.given(compartment)? {
                Some(chosen) => chosen,
                None if show || io::stderr().is_terminal() => {
                    new.generated.push(compartment.clone());
                    passphrase::generate().map_err(|e| CliError::failed(e.to_string()))?
                }
                None => {
                    return Err(CliError::usage(format!(
                        "there is no passphrase for the new compartment \"{compartment}\""
                    ))
                    .detail("none is given, and there is no terminal to show a generated one on")
                    .hint("add --show-passphrase to have generated ones written to standard error, once")
                    .hint(format!("or give one with --passphrase-file, --passphrase-fd or {VARIABLE}")));
                }
            };
            passphrase::check(&chosen).map_err(|e| {
                CliError::usage(format!("the passphrase for compartment \"{compartment}\" is not taken"))
                    .detail(e.to_string())
            })?;
            new.passphrases.push((compartment.clone(), chosen));
        }
        Ok(new)
    }

    /// A passphrase to replace another: from a file, or generated when `show` says so, or typed twice.
    pub(crate) fn replacement(&self, compartment: &Label, file: Option<&Path>, show: bool) -> Result<NewPassphrases> {
        self.lock_memory();
        if let Some(path) = file {
            let chosen = Source::File(path.to_owned()).read()?;
            passphrase::check(&chosen).map_err(|e| CliError::usage(e.to_string()))?;
            return Ok(NewPassphrases { passphrases: vec![(compartment.clone(), chosen)], generated: Vec::new() });
        }
        if show || !self.can_ask {
            let (given, environment, locked) = (BTreeMap::new(), (|_| None) as fn(&str) -> _, OnceCell::new());
            let nothing_given = Self { given, environment, can_ask: self.can_ask, locked };
            return nothing_given.for_new(std::slice::from_ref(compartment), show);
        }
        let first = prompt(&format!("New passphrase of compartment {compartment} (empty to have one generated): "))?;
        if first.expose_secret().is_empty() {
            let generated = passphrase::generate().map_err(|e| CliError::failed(e.to_string()))?;
            let passphrases = vec![(compartment.clone(), generated)];
            return Ok(NewPassphrases { passphrases, generated: vec![compartment.clone()] });
        }
        passphrase::check(&first).map_err(|e| CliError::usage(e.to_string()))?;
        if prompt("Once more: ")?.expose_secret() != first.expose_secret() {
            return Err(CliError::usage("the two passphrases differ").hint("nothing was changed; try again"));
        }
        Ok(NewPassphrases { passphrases: vec![(compartment.clone(), first)], generated: Vec::new() })
    }

    fn lock_memory(&self) {
        self.locked.get_or_init(hardening::lock_memory);
    }

    fn given(&self, compartment: &Label) -> Result<Option<SecretString>> {
        let of_compartment = self.given.get(&Some(compartment.clone()));
        if let Some(source) = of_compartment.or_else(|| self.given.get(&None)) {
            return source.read().map(Some);
        }
        let own = format!("{VARIABLE}_{}", compartment.as_str().to_ascii_uppercase().replace('-', "_"));
        for name in [own.as_str(), VARIABLE] {
            if let Some(text) = (self.environment)(name) {
                return first_line(&text, name).map(Some);
            }
        }
        Ok(None)
    }

    fn ask(&self, question: &str, compartment: &Label) -> Result<SecretString> {
        if self.can_ask {
            return prompt(question);
        }
        Err(CliError::usage(format!(
            "compartment \"{compartment}\" is needed, and there is no passphrase to open it with"
        ))
        .detail("none is given, and there is no terminal to ask on")
        .hint(format!("give it with --passphrase-file FILE, --passphrase-fd FD or {VARIABLE}")))
    }
}

impl NewPassphrases {
    /// Writes the generated ones to standard error, once. Called before they protect anything, so that a process that dies
    /// in between leaves nothing that nobody can open.
    ///
    /// # Errors
    /// When they can't be written: then nobody knows them.
    pub(crate) fn show(&self, ui: Ui) -> io::Result<()> {
        if self.generated.is_empty() {
            return Ok(());
        }
        ui.try_note("Write these passphrases down now and keep them apart. They are shown once and stored nowhere:")?;
        for (compartment, passphrase) in self.passphrases.iter().filter(|(c, _)| self.generated.contains(c)) {
            ui.try_note(format_args!("  {compartment}: {}", passphrase.expose_secret()))?;
        }
        Ok(())
    }
}

impl Source {
    fn read(&self) -> Result<SecretString> {
        match self {
            Self::File(path) => {
                let shown = visible(&path.to_string_lossy()).into_owned();
                let file = open(path, &shown)?;
                private(&file, path, &shown)?;
                read_one(file, &shown)
            }
            Self::Descriptor(0) => read_one(io::stdin().lock(), "standard input"),
            Self::Descriptor(number) => {
                let name = format!("file descriptor {number}");
                read_one(open(Path::new(&format!("/dev/fd/{number}")), &name)?, &name)
            }
        }
    }
}

/// Splits `COMPARTMENT=REST`; what stands before the first `=` and is no label belongs to the rest.
fn for_compartment(text: &str) -> (Option<Label>, &str) {
    match text.split_once('=') {
        Some((label, rest)) if Label::new(label).is_ok() => (Label::new(label).ok(), rest),
        _ => (None, text),
    }
}

/// Whether an environment variable holds a passphrase.
pub(crate) fn is_variable(name: &std::ffi::OsStr) -> bool {
    name.to_string_lossy().starts_with(VARIABLE)
}

fn variable(name: &str) -> Option<Zeroizing<String>> {
    std::env::var(name).ok().map(Zeroizing::new).filter(|text| !text.is_empty())
}

/// Whether somebody sits at a terminal: one that can be opened, and that this program was started from.
fn terminal() -> bool {
    (io::stdin().is_terminal() || io::stderr().is_terminal()) && File::open("/dev/tty").is_ok()
}

fn prompt(question: &str) -> Result<SecretString> {
    let typed = rpassword::prompt_password(question).map(Zeroizing::new).map_err(|e| {
        CliError::usage("the passphrase could not be read from the terminal")
            .because(&e)
            .hint(format!("give it with --passphrase-file FILE, --passphrase-fd FD or {VARIABLE}"))
    })?;
    Ok(SecretString::from(typed.as_str()))
}

fn open(path: &Path, shown: &str) -> Result<File> {
    File::open(path).map_err(|e| CliError::usage(format!("the passphrase could not be read from {shown}")).because(&e))
}

/// Refuses a file that others may read. A pipe, as `<(…)` makes one, is nobody else's.
fn private(file: &File, path: &Path, shown: &str) -> Result<()> {
    let found = file
        .metadata()
        .map_err(|e| CliError::usage(format!("the passphrase could not be read from {shown}")).because(&e))?;
    let kind = found.file_type();
    if kind.is_fifo() || kind.is_char_device() {
        return Ok(());
    }
    if !kind.is_file() {
        return Err(CliError::usage(format!("{shown} is no file, so no passphrase was read from it")));
    }
    let mode = found.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(CliError::usage(format!("the passphrase file {shown} has mode {mode:04o}, so others may read it"))
            .hint(format!("run: chmod 0600 {}", quoted(&path.to_string_lossy()))));
    }
    let us = rustix::process::geteuid();
    if found.uid() != us.as_raw() && !us.is_root() {
        return Err(CliError::usage(format!("the passphrase file {shown} belongs to user {}", found.uid()))
            .hint("copy it to a file of your own"));
    }
    Ok(())
}

fn read_one(source: impl io::Read, name: &str) -> Result<SecretString> {
    let mut text = Zeroizing::new(String::with_capacity(2 * MOST_BYTES));
    source
        .take(MOST_BYTES as u64 + 3)
        .read_to_string(&mut text)
        .map_err(|e| CliError::usage(format!("the passphrase could not be read from {name}")).because(&e))?;
    first_line(&text, name)
}

/// The passphrase without the line feed that editors and `echo` add.
fn first_line(text: &str, name: &str) -> Result<SecretString> {
    let line = text.strip_suffix('\n').unwrap_or(text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() || line.len() > MOST_BYTES || line.contains('\n') {
        return Err(CliError::usage(format!("{name} does not hold one line of 1 to {MOST_BYTES} bytes"))
            .hint("put the passphrase there, and nothing else"));
    }
    Ok(SecretString::from(line))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs;
    use std::os::unix::fs::OpenOptionsExt as _;

    fn from(args: &PassphraseArgs) -> Passphrases {
        let environment = |name: &str| match name {
            "CIM_KEYS_PASSPHRASE_TWO_WORDS" => Some(Zeroizing::new("of two-words".to_owned())),
            "CIM_KEYS_PASSPHRASE" => Some(Zeroizing::new("of the environment".to_owned())),
            _ => None,
        };
        Passphrases { environment, can_ask: false, ..Passphrases::new(args).unwrap() }
    }

    fn read(passphrases: &Passphrases, compartment: &str) -> Result<String> {
        passphrases.existing(&Label::new(compartment).unwrap()).map(|p| p.expose_secret().to_owned())
    }

    #[test]
    fn flags_come_before_the_environment_and_a_compartments_own_before_any() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str, mode| {
            let path = dir.path().join(name);
            let mut options = fs::OpenOptions::new();
            let file = options.create(true).write(true).truncate(true).mode(mode).open(&path);
            io::Write::write_all(&mut file.unwrap(), text.as_bytes()).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let (any, root) = (write("any", "for any\n", 0o600), write("root", "for root\r\n", 0o400));
        let args = PassphraseArgs { passphrase_file: vec![any.clone(), format!("root={root}")], ..Default::default() };
        let flags = from(&args);
        assert_eq!(read(&flags, "root").unwrap(), "for root");
        assert_eq!(read(&flags, "issuing").unwrap(), "for any");
        let none = from(&PassphraseArgs::default());
        assert_eq!(read(&none, "two-words").unwrap(), "of two-words");
        assert_eq!(read(&none, "root").unwrap(), "of the environment");

        let twice = PassphraseArgs { passphrase_file: vec![any.clone()], passphrase_fd: vec!["3".into()] };
        assert!(Passphrases::new(&twice).is_err());
        let no_number = PassphraseArgs { passphrase_fd: vec!["three".into()], ..Default::default() };
        assert_eq!(Passphrases::new(&no_number).err().unwrap().code(), 2);

        for (name, text, mode) in [
            ("loose", "x", 0o640),
            ("empty", "\n", 0o600),
            ("two", "a\nb\n", 0o600),
            ("long", &"x".repeat(2000), 0o600),
        ] {
            let path = write(name, text, mode);
            let error = read(&from(&PassphraseArgs { passphrase_file: vec![path], ..Default::default() }), "root");
            assert_eq!(error.unwrap_err().code(), 2, "{name}");
        }
    }

    #[test]
    fn without_a_passphrase_and_a_terminal_the_error_says_what_to_do() {
        let nothing = Passphrases { environment: |_| None, ..from(&PassphraseArgs::default()) };
        let error = read(&nothing, "root").unwrap_err();
        let text = format!("{:?}", error.lines());
        assert!(error.code() == 2 && text.contains("--passphrase-fd") && text.contains("root"), "{text}");
        if !io::stderr().is_terminal() {
            let error = nothing.for_new(&[Label::new("root").unwrap()], false).err().unwrap();
            assert!(error.code() == 2 && format!("{:?}", error.lines()).contains("--show-passphrase"));
        }
        let new = nothing.for_new(&[Label::new("root").unwrap()], true).unwrap();
        assert_eq!((new.passphrases.len(), new.generated.len()), (1, 1));
    }
}
