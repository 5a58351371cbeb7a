//! An event together with its block and its content identifier.

use cid::Cid;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::cids::{cid_of_block, verify_block};
use super::decode::{DecodeError, decode_block};
use super::encode::{EncodeError, encode_with};

/// Decodes a block as some type and encodes what that shows of it.
type Again = fn(&[u8]) -> Option<Vec<u8>>;

/// A value, the canonical block that carries it, and the content identifier of that block.
///
/// A decoded one keeps the block that it was decoded from, and that is what is verified and published: a field that a newer
/// release wrote into it stays there although `event` does not show it.
#[derive(Debug, Clone)]
pub struct ContentAddressedEvent<T> {
    /// The content identifier of the block.
    pub cid: Cid,
    /// The value.
    pub event: T,
    block: Vec<u8>,
    /// For a decoded value: decodes the block again and encodes what it gives.
    again: Option<Again>,
}

impl<T: Serialize> ContentAddressedEvent<T> {
    /// Encodes a value and addresses it.
    ///
    /// # Errors
    /// See [`EncodeError`].
    pub fn new(event: T) -> Result<Self, EncodeError> {
        let block = encode_with(&event, <[u8]>::to_vec)?;
        Ok(Self { cid: cid_of_block(&block), event, block, again: None })
    }

    /// Whether the value, its block and its content identifier belong together: false if any of them was changed since
    /// they were made. It fails only if the value cannot be encoded any more.
    ///
    /// # Errors
    /// See [`EncodeError`].
    pub fn verify(&self) -> Result<bool, EncodeError> {
        if !verify_block(&self.block, &self.cid) {
            return Ok(false);
        }
        let same_as = |block: &[u8]| encode_with(&self.event, |bytes| bytes == block);
        if same_as(&self.block)? {
            return Ok(true);
        }
        // The block may hold more than the type knows: compare with what decoding it gives.
        match self.again.and_then(|again| again(&self.block)) {
            Some(known) => same_as(&known),
            None => Ok(false),
        }
    }
}

impl<T: Serialize + DeserializeOwned> ContentAddressedEvent<T> {
    /// Decodes a block strictly and addresses it. The block is kept as it is.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn decode(block: impl Into<Vec<u8>>) -> Result<Self, DecodeError> {
        let block = block.into();
        let event = decode_block(&block)?;
        let again = |block: &[u8]| encode_with(&decode_block::<T>(block).ok()?, <[u8]>::to_vec).ok();
        Ok(Self { cid: cid_of_block(&block), event, block, again: Some(again) })
    }
}

impl<T> ContentAddressedEvent<T> {
    /// The canonical bytes.
    #[must_use]
    pub fn block(&self) -> &[u8] {
        &self.block
    }

    /// The canonical bytes, without a copy.
    #[must_use]
    pub fn into_block(self) -> Vec<u8> {
        self.block
    }
}
