//! `nsc` homes: an existing one becomes part of the ledger, and the ledger becomes one that `nsc` goes on with.
//!
//! The folders are those of nsc 2 (`home/`, `store/store.go`, `keys.go`): `OPERATOR/.nsc`, `OPERATOR/OPERATOR.jwt`,
//! `OPERATOR/accounts/A/A.jwt`, `OPERATOR/accounts/A/users/U.jwt`; seeds at `keys/K/XX/PUBLIC.nk`, where K is the kind's
//! letter and XX the two letters behind it; credentials at `creds/OPERATOR/A/U.creds`.

mod disk;
mod export;
mod home;
mod import;
mod keyring;

pub use disk::Skipped;
pub use export::{ExportError, Exported, Seeds, export};
pub use home::{Home, HomeError, StoredAccount, StoredOperator};
pub use import::{Imported, import};
pub use keyring::Keyring;
