//! A receipt: what servers were proved to hold, told where it was seen and recorded where the ledger is written.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use cid::Cid;
use serde::{Deserialize, Serialize};

use super::error::NatsError;
use super::lookup;
use crate::act::{Intent, Outcome};
use crate::advice::{Action, Advice, ErrorKind, Explained};
use crate::events::{EventData, Link, NatsAccountPushed, NatsParty};
use crate::files::NewFile;
use crate::ids::LedgerId;
use crate::ledger::{AccountFacts, Command, NatsCommand};
use crate::session::{LedgerActError, LedgerPipeline};
use crate::store::{ReadError, Store};
use crate::text::{Label, Name, PublicKey, visible};
use crate::time::Timestamp;

/// What the member `format` says.
pub const FORMAT: &str = "cim-keys-push-receipt";
/// The version of the format that is written.
pub const VERSION: u32 = 1;

/// What servers were proved to hold. It holds no secret and no token, and nothing in it is believed that the ledger does not
/// know: an account, and a token that it issued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// [`FORMAT`].
    pub format: String,
    /// [`VERSION`].
    pub version: u32,
    /// The ledger whose accounts were pushed.
    pub ledger: LedgerId,
    /// When servers were last asked.
    pub at: Timestamp,
    /// How many servers there should be, where that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_servers: Option<usize>,
    /// What was proved, an account each.
    pub accounts: Vec<ReceiptAccount>,
}

/// What was proved of one account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptAccount {
    /// Its name, for people.
    pub name: String,
    /// Its public key.
    pub public_key: PublicKey,
    /// The token's id.
    pub jti: Label,
    /// The token's time of issue, in seconds since the Unix epoch.
    pub iat: u64,
    /// The content identifier of the token's text.
    pub token: String,
    /// The servers that hold it, by name, sorted.
    pub servers: Vec<Name>,
}

/// Why a receipt was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiptError {
    /// The file can't be begun.
    #[error("cannot write the receipt {path}: {source}; nothing was pushed")]
    Begin {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file can't be written.
    #[error("cannot write the receipt {path}: {source}. What was pushed is pushed")]
    Io {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is no receipt.
    #[error("this is no push receipt: {problem}")]
    Form {
        /// What is wrong.
        problem: String,
    },
    /// It is another ledger's.
    #[error("the receipt is of ledger {there}, and this is {here}")]
    OtherLedger {
        /// The receipt's.
        there: LedgerId,
        /// This one.
        here: LedgerId,
    },
    /// It speaks of a token that the ledger never issued.
    #[error(
        "the receipt says that servers hold a token of account {} (jti {jti}) that this ledger never issued: another \
         holder of the operator's keys signed it, or the receipt was changed. Nothing was recorded",
        visible(account)
    )]
    NotOurs {
        /// The account.
        account: String,
        /// The token's id.
        jti: Label,
    },
    /// An account is not this ledger's, or can't be read.
    #[error(transparent)]
    Nats(#[from] NatsError),
    /// The ledger can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The ledger refuses.
    #[error(transparent)]
    Refused(#[from] crate::ledger::Refusal),
}

impl Explained for ReceiptError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Begin { .. } | Self::Form { .. } => ErrorKind::Usage,
            Self::Io { .. } => ErrorKind::Failed,
            Self::OtherLedger { .. } | Self::NotOurs { .. } => ErrorKind::Refused,
            Self::Nats(error) => error.kind(),
            Self::Read(error) => error.kind(),
            Self::Refused(error) => error.kind(),
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::Io { .. } => vec![Advice::Do("push again: that writes the receipt")],
            Self::OtherLedger { .. } => vec![Advice::Do("record it in that ledger")],
            Self::NotOurs { .. } => vec![Advice::Run(Action::NatsDiff, "compares servers and ledger")],
            Self::Begin { .. } | Self::Form { .. } => Vec::new(),
            Self::Nats(error) => error.advice(),
            Self::Read(error) => error.advice(),
            Self::Refused(error) => error.advice(),
        }
    }
}

impl Receipt {
    /// A receipt without accounts yet.
    #[must_use]
    pub fn new(ledger: LedgerId, at: Timestamp, expected_servers: Option<usize>) -> Self {
        Self { format: FORMAT.to_owned(), version: VERSION, ledger, at, expected_servers, accounts: Vec::new() }
    }

    /// Whether a file is one, by its content; [`parse`](Self::parse) may still find it wanting.
    #[must_use]
    pub fn is(bytes: &[u8]) -> bool {
        #[derive(Deserialize)]
        struct Any {
            format: String,
        }
        serde_json::from_slice::<Any>(bytes).is_ok_and(|any| any.format == FORMAT)
    }

    /// Reads a receipt.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(bytes: &[u8]) -> Result<Self, ReceiptError> {
        let form = |problem: String| ReceiptError::Form { problem };
        let receipt: Self =
            serde_json::from_slice(bytes).map_err(|error| form(visible(&error.to_string()).into_owned()))?;
        if receipt.format != FORMAT {
            return Err(form(format!("its format is \"{}\"", visible(&receipt.format))));
        }
        if receipt.version != VERSION {
            let version = receipt.version;
            return Err(form(format!(
                "it is of version {version}, and this release reads {VERSION}; take a newer release"
            )));
        }
        Ok(receipt)
    }

    /// Writes the receipt into a file that was [begun](begin); it is there whole or not at all.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn write(&self, mut file: NewFile) -> Result<(), ReceiptError> {
        let path = visible(&file.place().to_string_lossy()).into_owned();
        let io = |source| ReceiptError::Io { path: path.clone(), source };
        let mut text = serde_json::to_vec_pretty(self).map_err(|error| io(error.into()))?;
        text.push(b'\n');
        file.write_all(&text).map_err(io)?;
        file.commit().map_err(io)
    }
}

/// Begins a receipt's file, so that one that can't be written is known before servers are sent anything.
///
/// # Errors
/// When it can't be made.
pub fn begin(path: &Path) -> Result<NewFile, ReceiptError> {
    let shown = || visible(&path.to_string_lossy()).into_owned();
    if path.is_dir() {
        return Err(ReceiptError::Begin { path: shown(), source: std::io::ErrorKind::IsADirectory.into() });
    }
    NewFile::create(path, false).map_err(|source| ReceiptError::Begin { path: shown(), source })
}

/// Records what a receipt proves, in one act. What is recorded already, or has been overtaken by a later push, is passed over,
/// so that a receipt may come in twice.
///
/// # Errors
/// See [`ReceiptError`]; then nothing is recorded.
pub fn record(
    pipeline: &mut LedgerPipeline<'_>,
    intent: &Intent,
    receipt: &Receipt,
) -> Result<Outcome<()>, LedgerActError<ReceiptError>> {
    let read = |store: &Store| proved(store, receipt);
    pipeline.act_after(intent, read, |draft, commands| Ok(draft.commands(commands)?))
}

/// The commands that record what a receipt proves.
fn proved(store: &Store, receipt: &Receipt) -> Result<Vec<Command>, ReceiptError> {
    let here = store.identity().ledger_id;
    if receipt.ledger != here {
        return Err(ReceiptError::OtherLedger { there: receipt.ledger, here });
    }
    let mut commands = Vec::new();
    for entry in &receipt.accounts {
        let facts = store.view(|view| lookup::account(view, entry.public_key.as_str()))??;
        let not_ours = || ReceiptError::NotOurs { account: entry.name.clone(), jti: entry.jti.clone() };
        let token: Cid = entry.token.parse().map_err(|_| not_ours())?;
        if is_recorded(&facts, entry) {
            continue;
        }
        if !was_issued(store, &facts, entry, &token)? {
            return Err(not_ours());
        }
        let link = Link::new(token).map_err(|_| not_ours())?;
        let (account_id, public_key) = (facts.account.account_id, entry.public_key.clone());
        let servers = entry.servers.iter().cloned().collect();
        let event = NatsAccountPushed { account_id, public_key, jti: entry.jti.clone(), jwt: link, servers };
        commands.push(Command::Nats(NatsCommand::RecordPush(event)));
    }
    Ok(commands)
}

/// Whether this, or a push of a later token, is recorded already.
fn is_recorded(facts: &AccountFacts, entry: &ReceiptAccount) -> bool {
    let Some(pushed) = &facts.pushed else { return false };
    if pushed.jti == entry.jti {
        return entry.servers.iter().all(|server| pushed.servers.contains(server));
    }
    let current = facts.token.as_ref();
    current.is_some_and(|token| token.jti == pushed.jti && token.issued_at > entry.iat)
}

/// Whether the ledger issued this token to this account: the current one, or one before it.
fn was_issued(store: &Store, facts: &AccountFacts, entry: &ReceiptAccount, token: &Cid) -> Result<bool, ReceiptError> {
    let current = facts.token.as_ref().filter(|current| current.jti == entry.jti);
    if current.and_then(|current| current.signed.as_ref()).is_some_and(|signed| signed.token == *token) {
        return Ok(true);
    }
    let about = NatsParty::Account(facts.account.account_id);
    for recorded in store.iter(1) {
        let recorded = recorded?;
        if recorded.aggregate != "nats.jwt" {
            continue;
        }
        if let EventData::JwtSigned(signed) = recorded.event()?.data
            && signed.about == about
            && signed.jti == entry.jti
            && signed.token.cid() == token
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The servers' names as a ledger keeps them: those that are no names are left out.
#[must_use]
pub fn server_names<'n>(names: impl Iterator<Item = &'n str>) -> Vec<Name> {
    let sorted: BTreeMap<String, Name> =
        names.filter_map(|name| Name::typed(name).ok()).map(|name| (name.to_string(), name)).collect();
    sorted.into_values().collect()
}
