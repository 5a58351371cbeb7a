//! Other copies of a ledger: what a stream holds is followed and verified, taken over into a mirror, and compared with what
//! was published.

pub mod reconcile;
pub mod replay;
pub mod stream;
