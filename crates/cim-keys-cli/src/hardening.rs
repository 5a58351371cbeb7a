//! Keeps secrets from leaving this process by the back door: core dumps, the swap file, other programs' memory readers.
//!
//! Each step is taken where the system allows it; none of them makes a command fail.

use cim_keys::text::holds_secret;
use rustix::process::{DumpableBehavior, Resource, Rlimit};

use crate::error::{CliError, Result};

/// Turns core dumps off, and with them what is read like one: on Linux, other processes of the same user can read neither
/// the memory nor the environment (`/proc/PID/environ`, where `CIM_KEYS_PASSPHRASE` stands). Done first of all.
pub(crate) fn forbid_dumps() {
    let _ = rustix::process::setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

/// Locks this process's memory, so that no secret reaches the swap file. Done before the first secret is read.
///
/// Only where the limit on locked memory is unlimited (`ulimit -l unlimited`, `LimitMEMLOCK=infinity`): under a smaller one
/// a later allocation would fail instead, and opening a compartment alone takes 256 MiB.
pub(crate) fn lock_memory() {
    use rustix::mm::MlockAllFlags;

    let unlimited = Rlimit { current: None, maximum: None };
    if rustix::process::getrlimit(Resource::Memlock).maximum.is_none() {
        let _ = rustix::process::setrlimit(Resource::Memlock, unlimited);
    }
    if rustix::process::getrlimit(Resource::Memlock).current.is_none() {
        // Pages are locked as they are touched, so that memory that is only reserved costs nothing.
        let flags = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
        let _ = rustix::mm::mlockall(flags);
    }
}

/// Refuses a private key among the arguments before anything parses, shows or logs them: every user of the machine reads
/// arguments.
pub(crate) fn refuse_secret_arguments() -> Result {
    if !std::env::args_os().any(|argument| holds_secret(&argument.to_string_lossy())) {
        return Ok(());
    }
    Err(CliError::usage("a private key stands on the command line")
        .detail("every user of this machine can read it there, and the shell keeps it in its history")
        .hint("regard that key as known to others; `cim-keys key import` reads keys from a file or standard input"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dumps_are_off_and_locking_stops_nothing() {
        forbid_dumps();
        lock_memory();
        assert_eq!(rustix::process::getrlimit(Resource::Core).current, Some(0));
        let large = vec![1_u8; 64 << 20];
        assert_eq!(large[large.len() - 1], 1);
    }
}
