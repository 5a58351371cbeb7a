//! Which attackers this protects against, and which it does not.
//!
//! # Assets
//!
//! 1. **Private keys**: operators, authorities, signing keys. The holder of one can act as its owner.
//! 2. **The history**: who made which key, when, who revoked it. An auditor must be able to rely on it.
//! 3. **Delivery to subscribers**: a revocation that never arrives has no effect.
//!
//! # Theft of the folder
//!
//! From a stolen laptop, a backup, a discarded disk. `ledger.db` holds public facts, and its reader knows the
//! organisation: names, e-mail addresses, roles, keys. It holds no secret. `custody/` is sealed: to read a key a thief
//! must guess the passphrase of its compartment, and each guess costs about a second and 256 MiB of memory
//! ([`WorkFactor::DEFAULT`](crate::custody::WorkFactor::DEFAULT)). A generated passphrase has 132 bits; no amount of
//! money can guess it. A chosen one is as strong as your choice.
//!
//! # Another user of the machine
//!
//! Files are 0600 in folders of 0700, made so from the first byte. Looser ones, those of another owner, and symbolic
//! links are refused and not quietly corrected: another user may have had them open. Secrets are never passed in
//! arguments, which every user can list, and passphrase files that others may read are refused.
//!
//! # A program that runs as you
//!
//! While a compartment is open, the key is in memory. Core dumps are off; on Linux, other processes of the same user
//! can't read the memory or the environment of cim-keys; memory is locked where the limit allows it; keys and
//! passphrases are overwritten when they are no longer needed, as far as the libraries beneath do the same. But such a
//! program can replace cim-keys itself, or read your keyboard, and then nothing helps. That is what the machine without
//! a network is for.
//!
//! A passphrase in `CIM_KEYS_PASSPHRASE` is in the environment of the shell that set it, and every program started from
//! there inherits it. cim-keys starts no other programs. Prefer `--passphrase-fd` or a file.
//!
//! # Write access to the folder
//!
//! - **Replaced secrets**: before a key is used, its public half is compared with the recorded one. A different key is
//!   refused and named.
//! - **Replaced recipient**: keys that are sealed from then on would open for the attacker, and not for you. It is
//!   noticed when the compartment is opened next, and by `custody check`, which compares with the recipient that the
//!   ledger recorded when the compartment was made. Before large ceremonies, open each compartment once.
//! - **Replaced facts**: every event is named by the hash of its content, and the log's order is in a Merkle tree.
//!   `verify` recomputes all of it. A consistent rewrite of the *whole* history is detected by anything that remembers
//!   the old one: a subscriber, the stream, the content identifier on your protocol.
//! - **A set-back copy**: the right to write is a file outside the folder. A copied or set-back ledger opens for
//!   reading and says so.
//!
//! # The server and the network
//!
//! TLS is always verified; there is no switch. The server sees public facts only, and can't change one unnoticed: the
//! content identifier in the message is the hash of the event. It can refuse events, and then they stay in the outbox,
//! visibly. A stream that was purged or restored to an older state is detected by the head messages.
//!
//! # Files and text from others
//!
//! Every input has a size limit; decoding accepts only the canonical form; no input makes the program panic. Names and
//! other text are shown with control and bidirectional characters made visible, so that nothing they contain acts on
//! your terminal. A text that appears to contain a private key is neither recorded nor shown.
//!
//! # The officer
//!
//! An officer who knows the passphrases and holds the folder can do everything that the keys can. Two compartments and
//! two people divide that; the record shows the acts done with cim-keys, not the use of a key that was taken out of it.
//! That is why an export (`key export`) is itself recorded, and why a key that was imported from a plain file is marked
//! as such.
//!
//! # Not protected against
//!
//! - A machine that an attacker already controls while it is used.
//! - Hardware and power analysis; the timing of P-256 and Ed25519 is constant as far as their libraries are.
//! - Both envelopes lost ([`recovery`](super::recovery)).
//! - Quantum computers: X25519, Ed25519 and P-256 fall to one. Sealed files that are copied today could be opened then.
//! - Deleted files: on flash storage they can often be restored. What can be restored is sealed.
