//! Files that carry proofs: `.tlog-proof` (C2SP tlog-proof) for one event, and the update that a witness is shown
//! (C2SP tlog-witness) for the way from one checkpoint to the next.

use std::fmt;
use std::str::FromStr;

use base64::prelude::{BASE64_STANDARD, Engine};
use cid::Cid;

use super::checkpoint::{CheckpointError, SignedCheckpoint, decimal, hash};
use super::tree::{MAX_PROOF, NodeHash, ProofError, check_consistency, check_inclusion, leaf_hash};
use crate::advice::{Advice, ErrorKind, Explained};
use crate::ipld_support::{MAX_BLOCK_LEN, cid_of_block};

const HEADER: &str = "c2sp.org/tlog-proof@v1";

/// Why a file is no proof, or proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofFileError {
    /// The file can't be parsed as what it should be.
    #[error("this is no {kind}: {problem}")]
    Malformed {
        /// What it should be.
        kind: &'static str,
        /// What is wrong.
        problem: &'static str,
    },
    /// The checkpoint in it can't be parsed, or is not signed.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The hashes do not prove it.
    #[error(transparent)]
    Proof(#[from] ProofError),
}

impl Explained for ProofFileError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Verification
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::Malformed { .. } => vec![Advice::Do("give the file as cim-keys wrote it")],
            Self::Checkpoint(error) => error.advice(),
            Self::Proof(_) => Vec::new(),
        }
    }
}

/// What a proof says of its event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// Which event: its content identifier only, which discloses nothing of what the event says.
    Cid(Cid),
    /// The event itself: its canonical block, whose hash is the content identifier.
    Block(Vec<u8>),
}

impl Subject {
    /// The event's content identifier. Of a block it is recomputed.
    #[must_use]
    pub fn cid(&self) -> Cid {
        match self {
            Self::Cid(cid) => *cid,
            Self::Block(block) => cid_of_block(block),
        }
    }
}

/// That a log has an event at a position, in one file that needs nothing else but the ledger's key.
///
/// The file is a C2SP tlog-proof; its `extra` line holds the content identifier (36 bytes) or the event's block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogProof {
    /// The event.
    pub subject: Subject,
    /// Its index in the tree: its position less one.
    pub index: u64,
    /// The hashes from the leaf's sibling up to the root's child.
    pub hashes: Vec<NodeHash>,
    /// The head that the hashes lead to, with whatever signatures it has.
    pub checkpoint: SignedCheckpoint,
}

/// The most proofs in one file.
const MOST_PROOFS: usize = 1_000;

impl LogProof {
    /// Reads a file of one proof or several, one behind the other.
    ///
    /// # Errors
    /// When one of them does not read, or there are too many.
    pub fn parse_all(text: &str) -> Result<Vec<Self>, ProofFileError> {
        let begin = format!("\n{HEADER}\n");
        let (mut proofs, mut rest) = (Vec::new(), text);
        while let Some(at) = rest.find(&begin) {
            if proofs.len() + 2 > MOST_PROOFS {
                let problem = "it holds too many proofs";
                return Err(ProofFileError::Malformed { kind: "proof (C2SP tlog-proof)", problem });
            }
            let (one, more) = rest.split_at(at + 1);
            proofs.push(one.parse()?);
            rest = more;
        }
        proofs.push(rest.parse()?);
        Ok(proofs)
    }

    /// Checks that the checkpoint's tree has the event at its index. Whether the checkpoint is signed is another question:
    /// [`SignedCheckpoint::verify`].
    ///
    /// # Errors
    /// See [`ProofError`].
    pub fn check(&self) -> Result<(), ProofError> {
        let head = self.checkpoint.checkpoint();
        check_inclusion(&self.hashes, self.index, &leaf_hash(&self.subject.cid()), head.size, &head.root)
    }
}

impl fmt::Display for LogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let extra = match &self.subject {
            Subject::Cid(cid) => BASE64_STANDARD.encode(cid.to_bytes()),
            Subject::Block(block) => BASE64_STANDARD.encode(block),
        };
        writeln!(f, "{HEADER}\nextra {extra}\nindex {}", self.index)?;
        write_hashes(f, &self.hashes)?;
        write!(f, "\n{}", self.checkpoint)
    }
}

impl FromStr for LogProof {
    type Err = ProofFileError;

    fn from_str(text: &str) -> Result<Self, ProofFileError> {
        let malformed = |problem| ProofFileError::Malformed { kind: "proof (C2SP tlog-proof)", problem };
        if text.len() > MAX_BLOCK_LEN * 2 {
            return Err(malformed("it is longer than the longest event's proof"));
        }
        let rest = text.strip_prefix(HEADER).and_then(|rest| rest.strip_prefix('\n'));
        let rest = rest.ok_or_else(|| malformed("its first line is not c2sp.org/tlog-proof@v1"))?;
        let (extra, rest) = rest
            .strip_prefix("extra ")
            .and_then(|rest| rest.split_once('\n'))
            .ok_or_else(|| malformed("it does not say which event it is about (no \"extra\" line)"))?;
        let extra = BASE64_STANDARD.decode(extra).map_err(|_| malformed("its \"extra\" line is not in base64"))?;
        let subject = match extra.as_slice() {
            [0x01, 0x71, 0x12, 0x20, digest @ ..] if digest.len() == 32 => {
                Subject::Cid(Cid::try_from(&extra[..]).map_err(|_| malformed("its content identifier does not read"))?)
            }
            _ => Subject::Block(extra),
        };
        let (index, rest) = rest
            .strip_prefix("index ")
            .and_then(|rest| rest.split_once('\n'))
            .ok_or_else(|| malformed("it has no \"index\" line"))?;
        let index = decimal(index).ok_or_else(|| malformed("its index is no decimal number"))?;
        let (hashes, checkpoint) = read_hashes(rest).ok_or_else(|| malformed("its hashes do not read"))?;
        Ok(Self { subject, index, hashes, checkpoint: checkpoint.parse()? })
    }
}

/// What a log shows a witness: its head, and that it continues the head of `old_size` events.
///
/// The file has the form of the request body in C2SP tlog-witness: `old SIZE`, the hashes, a blank line, the checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// The size of the earlier head; 0 when there was none, and then there are no hashes.
    pub old_size: u64,
    /// The consistency proof.
    pub hashes: Vec<NodeHash>,
    /// The head.
    pub checkpoint: SignedCheckpoint,
}

impl Update {
    /// Checks that the head continues an earlier one.
    ///
    /// # Errors
    /// See [`ProofError`].
    pub fn check(&self, old_root: &NodeHash) -> Result<(), ProofError> {
        let head = self.checkpoint.checkpoint();
        check_consistency(&self.hashes, self.old_size, old_root, head.size, &head.root)
    }
}

impl fmt::Display for Update {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old_size)?;
        write_hashes(f, &self.hashes)?;
        write!(f, "\n{}", self.checkpoint)
    }
}

impl FromStr for Update {
    type Err = ProofFileError;

    fn from_str(text: &str) -> Result<Self, ProofFileError> {
        let malformed = |problem| ProofFileError::Malformed { kind: "consistency proof (C2SP tlog-witness)", problem };
        let (old_size, rest) = text
            .strip_prefix("old ")
            .and_then(|rest| rest.split_once('\n'))
            .ok_or_else(|| malformed("its first line is not \"old SIZE\""))?;
        let old_size = decimal(old_size).ok_or_else(|| malformed("its old size is no decimal number"))?;
        let (hashes, checkpoint) = read_hashes(rest).ok_or_else(|| malformed("its hashes do not read"))?;
        Ok(Self { old_size, hashes, checkpoint: checkpoint.parse()? })
    }
}

fn write_hashes(f: &mut fmt::Formatter<'_>, hashes: &[NodeHash]) -> fmt::Result {
    hashes.iter().try_for_each(|hash| writeln!(f, "{}", BASE64_STANDARD.encode(hash)))
}

/// Reads hashes, a line each, up to a blank line; gives them and what follows it.
fn read_hashes(text: &str) -> Option<(Vec<NodeHash>, &str)> {
    let mut hashes = Vec::new();
    let mut rest = text;
    loop {
        let (line, after) = rest.split_once('\n')?;
        if line.is_empty() {
            return Some((hashes, after));
        }
        if hashes.len() == MAX_PROOF {
            return None;
        }
        hashes.push(hash(line)?);
        rest = after;
    }
}
