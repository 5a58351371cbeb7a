//! Signatures over events: made later, demanded, shown.

use std::path::{Path, PathBuf};

use cim_keys::app::attest;
use cim_keys::events::{Actor, EventData, SignaturesRequired};
use cim_keys::ledger::{Command, EntityRef, Facts, Standing, may_be_required};
use cim_keys::session::Session;
use cim_keys::session::signatures::{self, Signature, Verdict};
use cim_keys::session::vouch;
use cim_keys::store::{Recorded, Which};
use cim_keys::text::{Label, Note, visible};
use clap::Args;
use serde_json::{Value, json};

use super::{changes, entities};
use crate::act::Acting;
use crate::error::{CliError, Result};
use crate::global::Global;
use crate::ui::Ui;

#[derive(Debug, Args)]
pub(crate) struct AttestArgs {
    /// A content identifier, the beginning of one, or a position
    event: String,
    /// The key that made the signature, where it was made elsewhere: its name or identifier
    #[arg(long, requires = "signature")]
    key: Option<String>,
    /// The signature over the 36 bytes of the content identifier: 64 bytes for Ed25519, DER for P-256; - for standard input
    #[arg(long, value_name = "FILE", requires = "key")]
    signature: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct RequireArgs {
    /// Types of events, such as KeyRevoked, or aggregates, such as nats.user; they replace those of before
    #[arg(value_name = "TYPE", required_unless_present = "none")]
    types: Vec<String>,
    /// Demand no signatures any more
    #[arg(long, conflicts_with = "types")]
    none: bool,
    /// Why
    #[arg(long, value_parser = Note::typed)]
    reason: Note,
}

/// The longest signature: a DER one has about 72 bytes.
const LONGEST: u64 = 4_096;

/// Signs an event that is recorded already, or records a signature over it.
pub(crate) fn attest(args: &AttestArgs, global: &Global, ui: Ui) -> Result {
    let which: Which = args.event.parse()?;
    let (mut acting, person) = Acting::begin_with_signer(global, ui)?;
    let bytes = args.signature.as_deref().map(read_signature).transpose()?;
    if bytes.is_none() && person.is_none() {
        return Err(CliError::usage("nobody was named who signs")
            .hint("say --as PERSON, or give a signature that was made elsewhere with --key and --signature"));
    }
    let event = attest::linked(acting.session().store(), &which)?;
    acting.record(|draft| match (&args.key, &bytes, &person) {
        (Some(key), Some(bytes), _) => attest::attest_with(draft, event, key, bytes),
        (_, _, Some((_, signer))) => attest::attest(draft, signer, event),
        _ => Ok(()),
    })
}

fn read_signature(path: &Path) -> Result<Vec<u8>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(LONGEST + 1).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(LONGEST + 1).read_to_end(&mut bytes))
    };
    read.map_err(|error| {
        CliError::usage(format!("cannot read the signature from {}", path.display())).because(&error)
    })?;
    Ok(bytes)
}

/// Demands signatures for types of events.
pub(crate) fn require(args: &RequireArgs, global: &Global, ui: Ui) -> Result {
    let mut types = Vec::new();
    for word in &args.types {
        let known = EventData::KNOWN.iter().filter(|(aggregate, name, _)| {
            name.eq_ignore_ascii_case(word) || (aggregate.as_str() == word && may_be_required(name))
        });
        let before = types.len();
        for (_, name, _) in known {
            types.push(Label::new(name)?);
        }
        if types.len() == before {
            return Err(CliError::usage(format!("\"{}\" is no type of event and no aggregate", visible(word)))
                .hint("`cim-keys event types` lists them"));
        }
    }
    let event = SignaturesRequired { event_types: types.into_iter().collect(), reason: args.reason.clone() };
    changes::record(&|_| Ok(vec![Command::RequireSignatures(event.clone())]), global, ui)
}

/// Lists the types of events, and which must be signed.
pub(crate) fn types(session: &Session, ui: Ui) -> Result {
    let required = session.store().view(|view| view.get(EntityRef::signature_requirement()))?;
    let required = required.map_err(|error| CliError::failed("cannot read the ledger").because(&error))?;
    let required = match required.map(|entity| entity.facts) {
        Some(Facts::SignatureRequirement(it)) => it.event_types,
        _ => Default::default(),
    };
    let mut rows = Vec::new();
    for (aggregate, name, schema) in EventData::KNOWN {
        let signed = required.iter().any(|word| word.as_str() == *name);
        ui.object(&json!({ "type": name, "aggregate": aggregate.as_str(), "schema": schema, "signature": signed }))?;
        rows.push(vec![(*name).into(), aggregate.to_string(), if signed { "required" } else { "-" }.into()]);
    }
    ui.table(&["TYPE", "AGGREGATE", "SIGNATURE"], &rows)
}

/// What is known of who vouches for an event: whether its actor signed it, and every signature.
pub(crate) struct Vouched {
    signed: bool,
    signatures: Vec<Signature>,
    names: Vec<(String, String)>,
}

impl Vouched {
    pub(crate) fn of(session: &Session, event: &Recorded) -> Result<Self> {
        let signatures = signatures::signatures(session.store(), &event.cid)?;
        let envelope = event.envelope()?;
        // A signature vouches for whoever made it.
        let own = match envelope.event_type {
            "EventAttested" => signatures::of_attestation(session.store(), event)?,
            _ => None,
        };
        let actor = envelope.actor.parse::<Actor>().ok();
        let signed = actor.is_some_and(|actor| signatures.iter().chain(&own).any(|it| it.vouches_for(&actor)));
        let names = session.store().view(|view| {
            let name = |it: &Signature| {
                let key = entities::name_of(view, it.key_id.into());
                (entities::named(view, &it.signer.to_string()), key)
            };
            signatures.iter().map(name).collect()
        })?;
        Ok(Self { signed, signatures, names })
    }

    /// Adds `actor_signed` and `signatures` to an event.
    pub(crate) fn add_to(&self, object: &mut Value) {
        object["actor_signed"] = self.signed.into();
        object["signatures"] = self
            .signatures
            .iter()
            .map(|it| {
                json!({
                    "position": it.position, "cid": it.cid.to_string(), "at": it.at.to_string(),
                    "signer": it.signer.to_string(), "key_id": it.key_id.to_string(),
                    "good": it.verdict == Verdict::Good, "problem": problem(&it.verdict),
                })
            })
            .collect();
    }

    /// What stands behind the actor, for people.
    pub(crate) const fn standing(&self) -> &'static str {
        if self.signed { "signed" } else { "claimed, not signed" }
    }

    /// A line a signature.
    pub(crate) fn lines(&self) -> String {
        let line = |(it, (signer, key)): (&Signature, &(String, String))| match problem(&it.verdict) {
            _ if it.verdict == Verdict::NoStanding(Standing::NotAPerson) => {
                format!(
                    "{signer} with {key}, at position {}: a program's key, which vouches for no person",
                    it.position
                )
            }
            None => format!("{signer} with {key}, at position {}", it.position),
            Some(problem) => format!("{signer} with {key}, at position {}: DOES NOT COUNT, {problem}", it.position),
        };
        self.signatures.iter().zip(&self.names).map(line).collect::<Vec<_>>().join("\n")
    }
}

/// What is wrong with a signature.
pub(crate) fn problem(verdict: &Verdict) -> Option<String> {
    match verdict {
        Verdict::Good => None,
        Verdict::Disputed { since } => Some(format!("the key may have been in wrong hands since {since}")),
        Verdict::NoStanding(standing) => Some(format!("the key {}", standing.as_str())),
        Verdict::Forged => Some("these bytes are no signature of this key over this event".into()),
        _ => Some("this release does not know why".into()),
    }
}

/// Who vouches for a whole history, as JSON.
pub(super) fn acts_json(vouched: &vouch::Vouched) -> Value {
    let actor =
        |it: &vouch::Tally| json!({ "actor": it.actor, "name": it.name, "signed": it.signed, "claimed": it.claimed });
    let void =
        |it: &Signature| json!({ "position": it.position, "cid": it.cid.to_string(), "problem": problem(&it.verdict) });
    json!({
        "signed": vouched.signed(), "claimed": vouched.claimed(), "signatures": vouched.signatures,
        "actors": vouched.actors.iter().map(actor).collect::<Vec<_>>(),
        "void": vouched.void.iter().map(void).collect::<Vec<_>>(),
    })
}

/// Says who signed what, and who is only said to have acted.
pub(super) fn tell_acts(vouched: &vouch::Vouched, ui: Ui) -> Result {
    let (signed, claimed) = (vouched.signed(), vouched.claimed());
    ui.line(format_args!(
        "Of {} acts their actors have signed {signed}; {claimed} only claim their actor.",
        signed + claimed
    ))?;
    if signed > 0 {
        let row = |it: &vouch::Tally| {
            let name = it.name.clone().unwrap_or_else(|| "-".into());
            vec![it.actor.clone(), name, it.signed.to_string(), it.claimed.to_string()]
        };
        let rows: Vec<_> = vouched.actors.iter().map(row).collect();
        ui.table(&["ACTOR", "NAME", "SIGNED", "CLAIMED"], &rows)?;
    }
    for void in vouched.void.iter().take(20) {
        let problem = problem(&void.verdict).unwrap_or_default();
        ui.line(format_args!("The signature at position {} does not count: {problem}.", void.position))?;
    }
    Ok(())
}
