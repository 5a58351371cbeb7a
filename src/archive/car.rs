//! CARv1: a header that names roots, then sections of one block each. The reader believes nothing: each block is hashed.

use std::io::{self, Read, Write};

use cid::Cid;
use serde::{Deserialize, Serialize};

use crate::advice::{Action, Advice, ErrorKind, Explained};
use crate::events::Link;
use crate::ipld_support::{DAG_CBOR, MAX_BLOCK_LEN, canonical_bytes, cid_of_blob, cid_of_block, decode_block};

/// The bytes of a content identifier of the one kind that events and blobs have.
const CID_LEN: usize = 36;

/// The longest header that is read: thousands of roots.
const MAX_HEADER: usize = 64 << 10;

/// What is wrong with an archive, and where.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CarError {
    /// The file could not be read or written.
    #[error("the archive could not be read or written: {0}")]
    Io(#[from] io::Error),
    /// The file does not begin as a CARv1 does.
    #[error("this is no archive (CARv1): {0}")]
    Header(String),
    /// The file ends in the middle of a block: a medium that was pulled out, a copy that was cut off.
    #[error("the archive breaks off in block {section}, at byte {offset}: the copy is not complete")]
    Truncated {
        /// Which block, from 1; 0 is the header.
        section: u64,
        /// Where it begins.
        offset: u64,
    },
    /// A block's frame is not as it should be.
    #[error("block {section} of the archive, at byte {offset}, is damaged: {problem}")]
    Section {
        /// Which block, from 1.
        section: u64,
        /// Where it begins.
        offset: u64,
        /// What is wrong.
        problem: &'static str,
    },
    /// A block is not the one that its content identifier names.
    #[error("block {section} of the archive, at byte {offset}, is not what {cid} names: it was changed")]
    Changed {
        /// Which block, from 1.
        section: u64,
        /// Where it begins.
        offset: u64,
        /// The content identifier that stands in front of it.
        cid: Box<Cid>,
    },
}

impl Explained for CarError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Io(_) => ErrorKind::Failed,
            Self::Header(_) | Self::Truncated { .. } | Self::Section { .. } | Self::Changed { .. } => {
                ErrorKind::Verification
            }
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self {
            Self::Io(_) => Vec::new(),
            Self::Header(_) => vec![Advice::Run(Action::ExportArchive, "writes one where the ledger is")],
            Self::Truncated { .. } | Self::Section { .. } | Self::Changed { .. } => {
                vec![Advice::Do("copy or export it again")]
            }
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    roots: Vec<Link>,
    version: u64,
}

/// Writes an archive, block by block.
#[derive(Debug)]
pub struct CarWriter<W> {
    out: W,
    written: u64,
}

impl<W: Write> CarWriter<W> {
    /// Begins an archive with its roots. `out` should be buffered.
    ///
    /// # Errors
    /// See [`CarError`].
    pub fn new(out: W, roots: &[Link]) -> Result<Self, CarError> {
        let header = canonical_bytes(&Header { roots: roots.to_vec(), version: 1 })
            .map_err(|error| CarError::Header(error.to_string()))?;
        let mut writer = Self { out, written: 0 };
        writer.varint(header.len() as u64)?;
        writer.bytes(&header)?;
        Ok(writer)
    }

    /// Adds a block under its content identifier, which the caller vouches for.
    ///
    /// # Errors
    /// See [`CarError`].
    pub fn block(&mut self, cid: &Link, block: &[u8]) -> Result<(), CarError> {
        self.varint((CID_LEN + block.len()) as u64)?;
        let mut name = [0; CID_LEN];
        cid.cid().write_bytes(&mut name[..]).map_err(|error| io::Error::other(error.to_string()))?;
        self.bytes(&name)?;
        self.bytes(block)
    }

    /// How many bytes the archive has so far.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Ends the archive and gives back what it was written to, flushed. Making it durable is the caller's.
    ///
    /// # Errors
    /// See [`CarError`].
    pub fn finish(mut self) -> Result<W, CarError> {
        self.out.flush()?;
        Ok(self.out)
    }

    fn varint(&mut self, mut value: u64) -> Result<(), CarError> {
        let mut bytes = [0; 10];
        let mut length = 0;
        loop {
            let low = (value & 0x7f) as u8;
            value >>= 7;
            bytes[length] = if value == 0 { low } else { low | 0x80 };
            length += 1;
            if value == 0 {
                return self.bytes(&bytes[..length]);
            }
        }
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), CarError> {
        self.out.write_all(bytes)?;
        self.written += bytes.len() as u64;
        Ok(())
    }
}

/// Reads an archive, block by block, and verifies the hash of each.
#[derive(Debug)]
pub struct CarReader<R> {
    input: R,
    roots: Vec<Link>,
    offset: u64,
    section: u64,
    buffer: Vec<u8>,
}

impl<R: Read> CarReader<R> {
    /// Reads the header. `input` should be buffered.
    ///
    /// # Errors
    /// See [`CarError`].
    pub fn new(input: R) -> Result<Self, CarError> {
        let mut reader = Self { input, roots: Vec::new(), offset: 0, section: 0, buffer: Vec::new() };
        let length = reader.varint()?.ok_or_else(|| CarError::Header("the file is empty".into()))?;
        if length == 0 || length > MAX_HEADER as u64 {
            return Err(CarError::Header("it does not begin with a header".into()));
        }
        reader.fill(length as usize, 0)?;
        let header: Header = decode_block(&reader.buffer).map_err(|error| CarError::Header(error.to_string()))?;
        if header.version != 1 {
            return Err(CarError::Header(format!("it has version {}, and version 1 is read", header.version)));
        }
        reader.roots = header.roots;
        Ok(reader)
    }

    /// The roots that the header names.
    #[must_use]
    pub fn roots(&self) -> &[Link] {
        &self.roots
    }

    /// How many bytes were read so far.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.offset
    }

    /// The next block, whose hash is right; `None` at the end of a file that ends where a block does.
    ///
    /// # Errors
    /// See [`CarError`].
    pub fn next_block(&mut self) -> Result<Option<(Link, &[u8])>, CarError> {
        let start = self.offset;
        self.section += 1;
        let Some(length) = self.varint()? else { return Ok(None) };
        let section = self.section;
        let damaged = |problem| CarError::Section { section, offset: start, problem };
        if length < CID_LEN as u64 {
            return Err(damaged("it is too short for a content identifier"));
        }
        if length > (CID_LEN + MAX_BLOCK_LEN) as u64 {
            return Err(damaged("it is longer than any block may be"));
        }
        self.fill(length as usize, start)?;
        let (name, block) = self.buffer.split_at(CID_LEN);
        if !matches!(name, [1, 0x71 | 0x55, 0x12, 0x20, ..]) {
            return Err(damaged("its content identifier is not version 1, dag-cbor or raw, sha2-256"));
        }
        let cid = Cid::try_from(name).map_err(|_| damaged("its content identifier does not read"))?;
        let link = Link::new(cid).map_err(|_| damaged("its content identifier does not read"))?;
        let found = if cid.codec() == DAG_CBOR { cid_of_block(block) } else { cid_of_blob(block) };
        if found != cid {
            return Err(CarError::Changed { section, offset: start, cid: Box::new(cid) });
        }
        Ok(Some((link, block)))
    }

    /// Reads into the buffer, which grows with what is there and not with what a length promises.
    fn fill(&mut self, length: usize, start: u64) -> Result<(), CarError> {
        self.buffer.clear();
        let read = (&mut self.input).take(length as u64).read_to_end(&mut self.buffer)?;
        self.offset += read as u64;
        if read < length { Err(CarError::Truncated { section: self.section, offset: start }) } else { Ok(()) }
    }

    /// An unsigned varint in its shortest form; `None` when the file ends before it.
    fn varint(&mut self) -> Result<Option<u64>, CarError> {
        let start = self.offset;
        let mut value = 0_u64;
        for index in 0..9 {
            let mut byte = [0];
            if read_one(&mut self.input, &mut byte)? == 0 {
                let truncated = CarError::Truncated { section: self.section, offset: start };
                return if index == 0 { Ok(None) } else { Err(truncated) };
            }
            self.offset += 1;
            value |= u64::from(byte[0] & 0x7f) << (7 * index);
            if byte[0] & 0x80 == 0 {
                if index > 0 && byte[0] == 0 {
                    break;
                }
                return Ok(Some(value));
            }
        }
        Err(CarError::Section { section: self.section, offset: start, problem: "its length does not read" })
    }
}

/// One byte, again when the read was interrupted.
fn read_one(input: &mut impl Read, byte: &mut [u8; 1]) -> io::Result<usize> {
    loop {
        match input.read(byte) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}
