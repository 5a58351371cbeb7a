//! `key`: key pairs, made, imported, revoked, rotated, exported.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use cim_keys::act::Question;
use cim_keys::authority::keys::{self, Destination, ImportedKey, KeyActError, Material, NewKey, Successor};
use cim_keys::custody::{LONGEST_SECRET, SecretBytes};
use cim_keys::events::{KeyPurpose, RevocationReason, Validity};
use cim_keys::keys::KeyKind;
use cim_keys::ledger::{Facts, Kind};
use cim_keys::text::{Label, Name, Note, Recipient, visible};
use cim_keys::time::Timestamp;
use clap::{Args, Subcommand};
use secrecy::{ExposeSecret as _, ExposeSecretMut as _};

use super::entities::{self, ListArgs, ShowArgs};
use super::out::Out;
use crate::act::{Acting, EndAct as _};
use crate::error::{CliError, Result};
use crate::global::Global;
use crate::passphrase::PassphraseArgs;
use crate::ui::Ui;

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a key pair, seal its private half in custody and record it; asks for no passphrase
    #[command(visible_alias = "add")]
    Generate(GenerateArgs),
    /// Record a key that was made elsewhere, and seal its private half
    Import(ImportArgs),
    /// List keys
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// Show a key
    Show(ShowArgs),
    /// Say that a key must no longer be relied on
    Revoke(RevokeArgs),
    /// Replace a key by a new one of the same kind, purpose and owner, in one act
    Rotate(RotateArgs),
    /// Take a private key out of custody; recorded before it is handed out
    Export(ExportArgs),
}

#[derive(Debug, Clone, Args)]
struct Details {
    /// What it is for; follows from the algorithm when not given
    #[arg(long, value_parser = words::<KeyPurpose>)]
    purpose: Option<KeyPurpose>,
    /// Whose it is: organization, unit:NAME, person:NAME, role:NAME or service:NAME [default: organization]
    #[arg(long, value_name = "PARTY")]
    owner: Option<String>,
    /// The custody compartment [default: root for operators and authorities, issuing for all others]
    #[arg(long, value_name = "NAME")]
    compartment: Option<Label>,
    /// Until when it may be used: a date or an RFC 3339 time
    #[arg(long, value_name = "TIME", value_parser = Timestamp::parse_lenient)]
    expires: Option<Timestamp>,
}

#[derive(Debug, Args)]
pub(crate) struct GenerateArgs {
    /// What people call it
    #[arg(value_parser = Name::typed)]
    name: Name,
    /// ed25519, p256, or an nkey: nkey-operator, -account, -user, -server, -cluster, -curve
    #[arg(long, default_value = "ed25519", value_parser = words::<KeyKind>)]
    algorithm: KeyKind,
    #[command(flatten)]
    details: Details,
    /// Where it is made: a location's name or identifier
    #[arg(long)]
    location: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// What people call it
    #[arg(value_parser = Name::typed)]
    name: Name,
    /// The private key's file, `-` for standard input: PKCS#8 or SEC 1 in PEM, an nkey seed, a .nk or .creds file
    #[arg(required_unless_present = "public_key", conflicts_with = "public_key")]
    file: Option<PathBuf>,
    /// Record only a public key: an nkey, or the base64 of its DER
    #[arg(long, value_name = "KEY")]
    public_key: Option<String>,
    #[command(flatten)]
    details: Details,
    /// Where the key comes from
    #[arg(long, value_name = "TEXT", value_parser = Note::typed)]
    origin: Note,
    /// The private key never lay unencrypted anywhere, as when `age -d` is piped in
    #[arg(long)]
    was_sealed: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RevokeArgs {
    /// Which one: its name or identifier
    which: String,
    /// unspecified, key-compromise, ca-compromise, affiliation-changed, superseded, cessation-of-operation or
    /// privilege-withdrawn
    #[arg(long, value_parser = words::<RevocationReason>)]
    reason: RevocationReason,
    /// Why, in words
    #[arg(long, value_name = "TEXT", value_parser = Note::typed)]
    note: Option<Note>,
    /// Since when it may be in wrong hands: a date or an RFC 3339 time
    #[arg(long, value_name = "TIME", value_parser = Timestamp::parse_lenient)]
    invalid_since: Option<Timestamp>,
}

#[derive(Debug, Args)]
pub(crate) struct RotateArgs {
    /// Which one: its name or identifier
    which: String,
    /// Another name for the new key; the old one's when not given
    #[arg(long, value_parser = Name::typed)]
    name: Option<Name>,
    /// Another custody compartment for the new key
    #[arg(long, value_name = "NAME")]
    compartment: Option<Label>,
    /// Until when the new key may be used: a date or an RFC 3339 time
    #[arg(long, value_name = "TIME", value_parser = Timestamp::parse_lenient)]
    expires: Option<Timestamp>,
    /// Until when both are good: a date or an RFC 3339 time [default: the old one is retired at once]
    #[arg(long, value_name = "TIME", value_parser = Timestamp::parse_lenient)]
    retire_at: Option<Timestamp>,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// Which one: its name or identifier
    which: String,
    /// Seal it to this age recipient (age1…) or NATS curve key (X…)
    #[arg(long, value_name = "RECIPIENT", required_unless_present = "plain", conflicts_with = "plain")]
    to: Option<Recipient>,
    /// Hand it out unencrypted, and record that
    #[arg(long)]
    plain: bool,
    /// The file to write, which must not exist yet; `-` for standard output
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Why it leaves custody
    #[arg(long, value_name = "TEXT", value_parser = Note::typed)]
    reason: Note,
    #[command(flatten)]
    passphrases: PassphraseArgs,
}

pub(crate) fn run(command: KeyCommand, global: &Global, ui: Ui) -> Result {
    match command {
        KeyCommand::Generate(args) => generate(&args, global, ui),
        KeyCommand::Import(args) => import(args, global, ui),
        KeyCommand::List(args) => list(&args, global, ui),
        KeyCommand::Show(args) => entities::show(Kind::Key, &args, &[], global, ui),
        KeyCommand::Revoke(args) => revoke(&args, global, ui),
        KeyCommand::Rotate(args) => rotate(&args, global, ui),
        KeyCommand::Export(args) => export(&args, global, ui),
    }
}

fn generate(args: &GenerateArgs, global: &Global, ui: Ui) -> Result {
    let new = NewKey {
        name: args.name.clone(),
        kind: args.algorithm,
        purpose: args.details.purpose,
        owner: args.details.owner.clone(),
        compartment: args.details.compartment.clone(),
        validity: validity(args.details.expires)?,
        location: args.location.clone(),
    };
    Acting::begin(global, &global.passphrases, ui)?.record(|draft| keys::generate(draft, new.clone()))
}

fn import(args: ImportArgs, global: &Global, ui: Ui) -> Result {
    let material = match (args.public_key, &args.file) {
        (Some(text), _) => Material::Public(text),
        (None, Some(path)) => Material::Private(read_secret(path)?),
        (None, None) => return Err(CliError::usage("name the private key's file, or give --public-key")),
    };
    let new = ImportedKey {
        name: args.name,
        material,
        purpose: args.details.purpose,
        owner: args.details.owner,
        compartment: args.details.compartment,
        validity: validity(args.details.expires)?,
        origin: args.origin,
        was_plaintext: !args.was_sealed,
    };
    Acting::begin(global, &global.passphrases, ui)?.record(|draft| keys::import(draft, &new))?;
    if let (Some(path), true) = (args.file.filter(|path| path.as_os_str() != "-"), new.was_plaintext) {
        let path = path.to_string_lossy().into_owned();
        ui.note(format_args!("The private key still lies unencrypted in {}; delete it there.", visible(&path)));
    }
    Ok(())
}

fn rotate(args: &RotateArgs, global: &Global, ui: Ui) -> Result {
    let successor = Successor {
        name: args.name.clone(),
        compartment: args.compartment.clone(),
        not_after: args.expires,
        retire_at: args.retire_at,
    };
    Acting::begin(global, &global.passphrases, ui)?.record(|draft| keys::rotate(draft, &args.which, successor.clone()))
}

fn revoke(args: &RevokeArgs, global: &Global, ui: Ui) -> Result {
    Acting::begin(global, &global.passphrases, ui)?.record(|draft| {
        let (note, since) = (args.note.clone(), args.invalid_since);
        let command = keys::revoke(draft.view(), &args.which, args.reason, note, since)?;
        draft.command(command)?;
        draft.ask(Question::new(format!("Revoke {}? This can't be taken back.", args.which), "nothing was revoked"));
        Ok::<_, KeyActError>(())
    })
}

fn list(args: &ListArgs, global: &Global, ui: Ui) -> Result {
    let headings = ["NAME", "ALGORITHM", "PURPOSE", "OWNER", "COMPARTMENT", "EXPIRES", "STATUS", "ID"];
    entities::list(Kind::Key, args, &headings, global, ui, |view, entity| {
        let Facts::Key(key) = &entity.facts else { return Vec::new() };
        vec![
            key.name.to_string(),
            key.algorithm.to_string(),
            key.purpose.to_string(),
            entities::named(view, &key.owner.to_string()),
            key.compartment.as_ref().map_or("-".into(), ToString::to_string),
            key.validity.not_after().map_or("-".into(), Timestamp::date),
            entity.status().into(),
            key.key_id.to_string(),
        ]
    })
}

fn export(args: &ExportArgs, global: &Global, ui: Ui) -> Result {
    let mut acting = Acting::begin(global, &args.passphrases, ui)?;
    // The file is made first: what can't be written is not recorded as handed out.
    let mut out = Out::create(&args.out)?;
    let to = args.to.clone().map_or(Destination::Plain, Destination::Sealed);
    let done = acting.act(|draft| {
        if args.plain {
            let question = "Export the private key unencrypted? Anyone who can read the file can use the key.";
            draft.ask(Question::new(question, "nothing was exported"));
        }
        keys::export(draft, &args.which, &to, &args.reason)
    })?;
    out.write(done.value.expose_secret())?;
    // Standard output is the key's, where it goes there.
    if out.is_standard_output() {
        return done.end(ui.aside());
    }
    acting.report(&done.events)?;
    done.end(ui)
}

fn validity(expires: Option<Timestamp>) -> Result<Validity> {
    Validity::new(None, expires).map_err(|error| CliError::usage(error.to_string()))
}

fn words<T: std::str::FromStr<Err = cim_keys::text::InvalidText>>(
    text: &str,
) -> std::result::Result<T, cim_keys::text::InvalidText> {
    text.parse()
}

/// Reads a private key's file, or standard input.
fn read_secret(path: &Path) -> Result<SecretBytes> {
    let mut secret = SecretBytes::new(Box::new(Vec::with_capacity(LONGEST_SECRET + 1)));
    let limit = LONGEST_SECRET as u64 + 1;
    let read = if path.as_os_str() == "-" {
        io::stdin().lock().take(limit).read_to_end(secret.expose_secret_mut())
    } else {
        File::open(path).and_then(|file| file.take(limit).read_to_end(secret.expose_secret_mut()))
    };
    match read {
        Ok(_) => Ok(secret),
        Err(error) => {
            let shown = visible(&path.to_string_lossy()).into_owned();
            Err(CliError::usage(format!("cannot read the private key from {shown}")).because(&error))
        }
    }
}
