//! The claims of JWT version 2, as the server reads them.
//!
//! A limit that is left out means **zero** to the server, not "unlimited": what is made here writes `-1` for no limit.
//! Fields are written in the order of the reference implementation. What this release does not know is kept in `extra`.

mod account;
mod activation;
mod common;
mod import_token;
mod operator;
mod user;

pub use account::{
    Account, AccountLimits, ClusterTraffic, Export, ExternalAuthorization, Import, Info, JetStreamLimits, MessageTrace,
    ResponseType, Revocations, Sampling, ServiceLatency, SigningKey, UserScope, WeightedMapping,
};
pub use activation::{Activation, ExportType};
pub use common::{Body, Claims, Extra, Generic, GenericBody, NO_LIMIT, Registered};
pub use import_token::{ImportToken, TokenReference};
pub use operator::Operator;
pub use user::{CONNECTION_TYPES, Permission, Permissions, ResponsePermission, TimeRange, User, UserPermissions};
