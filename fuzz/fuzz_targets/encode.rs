//! Values of any shape: the encoder writes what the other library writes, or refuses what nobody could read again.
#![no_main]

use std::cell::Cell;

use cim_keys::ipld_support::{EncodeError, canonical_bytes, cid_of_block, validate};
use ipld_core::ipld::Ipld;
use libfuzzer_sys::fuzz_target;
use serde::ser::{Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeTupleVariant, Serializer};

/// A value that takes its shape from bytes, as it is serialised.
struct Shape<'a> {
    bytes: &'a [u8],
    at: Cell<usize>,
    depth: Cell<usize>,
}

impl Shape<'_> {
    fn byte(&self) -> u8 {
        let byte = self.bytes.get(self.at.get()).copied().unwrap_or(0);
        self.at.set(self.at.get() + 1);
        byte
    }

    fn integer(&self) -> u64 {
        let width = self.byte() % 9;
        (0..width).fold(0, |value, _| value << 8 | u64::from(self.byte()))
    }

    fn text(&self) -> String {
        (0..self.byte() % 40).map(|_| char::from(self.byte())).collect()
    }
}

const NAMES: [&str; 6] = ["b", "a", "bb", "ccc", "aa", "/"];

impl Serialize for Shape<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.depth.get() > 40 || self.at.get() > self.bytes.len() {
            return serializer.serialize_bool(true);
        }
        let length = usize::from(self.byte() % 30);
        self.depth.set(self.depth.get() + 1);
        let done = match self.byte() % 16 {
            0 => serializer.serialize_u64(self.integer()),
            1 => serializer.serialize_i64(self.integer() as i64),
            2 => serializer.serialize_i128(-1 - i128::from(self.integer())),
            3 => serializer.serialize_f64(f64::from_bits(self.integer())),
            4 => serializer.serialize_str(&self.text()),
            5 => serializer.serialize_bytes(self.text().as_bytes()),
            6 => serializer.serialize_none(),
            7 => serializer.serialize_some(self),
            8 => cid_of_block(self.text().as_bytes()).serialize(serializer),
            9 => serializer.serialize_newtype_variant("Shape", 0, "newtype", self),
            10 => serializer.collect_str(&format_args!("{}-{}", self.text(), self.integer())),
            11 => {
                let mut list = serializer.serialize_tuple_variant("Shape", 1, "tuple", length)?;
                for _ in 0..length {
                    list.serialize_field(self)?;
                }
                list.end()
            }
            12 => {
                let length = length % 7;
                let mut fields = serializer.serialize_struct("Shape", length)?;
                let from = usize::from(self.byte());
                for index in 0..length {
                    fields.serialize_field(NAMES[(from + index) % 6], self)?;
                }
                fields.end()
            }
            13 | 14 => {
                let told = self.byte() % 2 == 0;
                let mut map = serializer.serialize_map(told.then_some(length))?;
                for _ in 0..length {
                    map.serialize_entry(&self.text(), self)?;
                }
                map.end()
            }
            _ => {
                let told = self.byte() % 2 == 0;
                let mut list = serializer.serialize_seq(told.then_some(length))?;
                for _ in 0..length {
                    list.serialize_element(self)?;
                }
                list.end()
            }
        };
        self.depth.set(self.depth.get() - 1);
        done
    }
}

fuzz_target!(|bytes: &[u8]| {
    // More bytes make larger values, which are slow, and no new shapes.
    let bytes = &bytes[..bytes.len().min(1_024)];
    let shape = || Shape { bytes, at: Cell::new(0), depth: Cell::new(0) };
    match (canonical_bytes(&shape()), serde_ipld_dagcbor::to_vec(&shape())) {
        (Ok(ours), Ok(theirs)) => {
            assert_eq!(ours, theirs);
            validate(&ours).unwrap();
        }
        // The other library writes a key twice, and cannot read it.
        (Err(EncodeError::DuplicateKey(_)), Ok(theirs)) => {
            assert!(serde_ipld_dagcbor::from_slice::<Ipld>(&theirs).is_err());
        }
        (Err(_), Err(_)) => {}
        (ours, theirs) => panic!("{ours:?} and {theirs:?}"),
    }
});
