//! What makes keys: public facts come out, secrets go into [`crate::custody`].

mod nkey;
pub mod pair;
pub mod xkey;

pub use nkey::{InvalidNkey, check_public as check_public_nkey};
