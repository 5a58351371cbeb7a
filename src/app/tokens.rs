//! The texts of tokens that leave their ledger: those of the operator and of accounts that are in force, the requests to delete
//! accounts that have ended, and no others.
//!
//! Servers need them, so a mirror that pushes does. A user's token can be a credential, and an account's earlier one brings
//! revoked users back, so neither ever travels: what is written is what the ledger says now, and what is read is only taken
//! when the reader's own verified history says the same.

use std::collections::HashSet;
use std::io::{Read, Write};

use cid::Cid;
use serde::{Deserialize, Serialize};

use crate::advice::{Action, Advice, ErrorKind, Explained};
use crate::archive::{CarError, CarReader, CarWriter};
use crate::events::{InvalidLink, Link};
use crate::ipld_support::{DAG_CBOR, canonical_bytes, cid_of_block, decode_block};
use crate::ledger::{Facts, Kind, View, ViewError};
use crate::store::{RestrictedBlocks, RestrictedError};

const FORMAT: &str = "cim-keys tokens";
const VERSION: u32 = 1;

/// How many entities are fetched, and how many texts are kept, at a time.
const PAGE: usize = 512;

/// Why tokens could not be carried.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokensError {
    /// The ledger could not be read.
    #[error(transparent)]
    View(#[from] ViewError),
    /// The texts could not be read or kept.
    #[error(transparent)]
    Restricted(#[from] RestrictedError),
    /// The file could not be written, or does not hold.
    #[error(transparent)]
    Car(#[from] CarError),
    /// A token's identifier is none of a raw block.
    #[error(transparent)]
    Link(#[from] InvalidLink),
    /// It is another kind of file.
    #[error("this file holds no tokens: {0}")]
    Foreign(String),
}

impl Explained for TokensError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::View(_) | Self::Restricted(_) | Self::Car(_) | Self::Link(_) | Self::Foreign(_) => ErrorKind::Failed,
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::Foreign(_) => vec![Advice::Run(Action::CarryOut, "writes the ledger to the medium again")],
            Self::Restricted(error) => error.advice(),
            Self::Car(error) => error.advice(),
            Self::View(_) | Self::Link(_) => Vec::new(),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Contents {
    format: String,
    version: u32,
    tokens: u64,
}

/// The tokens in force of operators and accounts; of an account that has ended, the request to delete it.
///
/// # Errors
/// When the ledger can't be read.
pub fn in_force(view: &dyn View) -> Result<HashSet<Cid>, ViewError> {
    let mut tokens = HashSet::new();
    for kind in [Kind::Operator, Kind::Account] {
        for entity in view.all(kind) {
            let entity = entity?;
            let active = entity.is_active();
            let token = match entity.facts {
                Facts::Operator(facts) if active => facts.token,
                Facts::Account(facts) if active => facts.token,
                Facts::Account(facts) => facts.deletion,
                _ => None,
            };
            tokens.extend(token.and_then(|token| token.signed).map(|signed| signed.token));
        }
    }
    Ok(tokens)
}

/// Writes the texts of tokens that are kept here; gives how many.
///
/// # Errors
/// When they can't be read or written.
pub fn write(restricted: &RestrictedBlocks, tokens: &HashSet<Cid>, out: impl Write) -> Result<u64, TokensError> {
    let mut there = Vec::new();
    for token in tokens {
        there.extend(restricted.get(token)?.map(|text| (*token, text)));
    }
    // In an order that follows from the texts: the same tokens make the same file.
    there.sort_unstable();
    let contents = Contents { format: FORMAT.into(), version: VERSION, tokens: there.len() as u64 };
    let contents = canonical_bytes(&contents).map_err(|error| TokensError::Foreign(error.to_string()))?;
    let root = Link::new(cid_of_block(&contents))?;
    let mut car = CarWriter::new(out, &[root])?;
    car.block(&root, &contents)?;
    for (cid, text) in &there {
        car.block(&Link::new(*cid)?, text)?;
    }
    car.finish()?;
    Ok(there.len() as u64)
}

/// Keeps the texts of tokens that are in force here and stand in a file; gives how many stood there.
///
/// # Errors
/// When the file does not hold, or the texts can't be kept.
pub fn read(input: impl Read, in_force: &HashSet<Cid>, restricted: &mut RestrictedBlocks) -> Result<u64, TokensError> {
    let mut car = CarReader::new(input)?;
    let foreign = |why: &str| TokensError::Foreign(why.to_owned());
    let contents = match car.next_block()? {
        Some((cid, block)) if cid.cid().codec() == DAG_CBOR => {
            decode_block::<Contents>(block).map_err(|error| foreign(&error.to_string()))?
        }
        _ => return Err(foreign("its first block says nothing of tokens")),
    };
    if contents.format != FORMAT || contents.version != VERSION {
        return Err(foreign("it is of another format or version"));
    }
    let (mut seen, mut taken, mut page) = (0, 0, Vec::new());
    while let Some((cid, text)) = car.next_block()? {
        seen += 1;
        if in_force.contains(cid.cid()) {
            taken += 1;
            page.push(text.to_vec());
        }
        if page.len() == PAGE {
            restricted.put(std::mem::take(&mut page).iter().map(Vec::as_slice))?;
        }
    }
    if seen != contents.tokens {
        return Err(foreign(&format!("it has {seen} of {} tokens", contents.tokens)));
    }
    restricted.put(page.iter().map(Vec::as_slice))?;
    Ok(taken)
}
