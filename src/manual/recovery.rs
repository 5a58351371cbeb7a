//! What to do when something is lost, damaged or stolen.
//!
//! # A passphrase is lost
//!
//! It can't be recovered: there is no second way into a compartment. Take the second envelope. If both are gone, the
//! keys in that compartment are lost, and only those: the facts about them are in `ledger.db` and stay readable. Revoke
//! each (`cim-keys key revoke KEY --reason cessation-of-operation`), make a compartment
//! (`cim-keys custody add root-2`), and generate successors there. For a NATS operator this means a new operator, and a
//! restart of its servers: that is why `root` has two envelopes.
//!
//! # A passphrase was seen
//!
//! ```console
//! $ cim-keys custody passphrase issuing
//! ```
//!
//! This seals the compartment's identity with another passphrase. It does **not** help against an attacker who holds an
//! older copy of the folder: that copy still opens with the old passphrase, and holds the same keys. If there may be
//! such a copy, treat every key in the compartment as stolen.
//!
//! # A key was stolen, or may have been
//!
//! ```console
//! $ cim-keys key revoke KEY --reason key-compromise --invalid-since 2026-11-02T00:00:00Z --note "laptop stolen in Oslo"
//! $ cim-keys key generate "…"
//! ```
//!
//! Revoke first, and publish at once (`cim-keys sync --once`). `--invalid-since` says since when its signatures are in
//! doubt. For a planned change use `key rotate` instead: it makes the new key and retires the old one in one act, and
//! with `--retire-at` both are valid for a while.
//!
//! # The laptop is gone
//!
//! ```console
//! $ cim-keys restore /media/vault ./acme && cd acme
//! $ cim-keys recover --from carry /media/usb
//! ```
//!
//! A restored ledger opens for reading at once: it shows who had which key, and which keys to revoke, and its secrets
//! open with the passphrases. It records nothing until `recover` has imported the events after the backup, or given
//! them up; then it has a new key, which the old one vouches for. `docs/recovery.md` has all of it, and the drill.
//!
//! # A file in `custody/` is damaged
//!
//! The error names the file. Restore that one file from a copy, with mode 0600. An identity (`identity.age`) fits as
//! long as it is of the same compartment, with the passphrase that it had when the copy was made; a secret
//! (`keys/….age`) fits always, and so does the folder of a bundle (`bundles/…/`), which holds keys that were generated
//! together. Each use checks that it is the right key, against the public key that is recorded.
//!
//! The recipient file is one line. If the identity opens, `age-keygen -y` prints it again.
//!
//! # "wrong passphrase", and it is the right one
//!
//! A checksum beside the recipient distinguishes wrong passphrases from damaged files. If the error says *wrong*, then
//! it is: mind that each compartment has its own, that the keyboard's layout may differ, and that generated ones have
//! hyphens. The age program shows whether the passphrase or cim-keys is at fault: `age -d custody/root/identity.age`.
//!
//! # A command was killed in the middle
//!
//! Run it again. A key's secret is sealed and on the disk before the key is recorded, so there is never a recorded key
//! without its secret. The kill can leave a sealed secret of a key that was never recorded, or a bundle of them: an
//! orphan, useless and harmless. `cim-keys custody check` names orphans, and `--remove-orphans` removes them.
//!
//! # `ledger.db` is damaged
//!
//! `cim-keys verify` says where. Work from a copy; an intact, published position is the same everywhere, because its
//! content identifier is. Custody does not depend on the database: each file is named after its key, and opens without
//! cim-keys.
//!
//! # cim-keys is gone
//!
//! Everything opens with ordinary programs:
//!
//! ```console
//! $ age -d -i custody/issuing/identity.age custody/issuing/keys/KEY.age > key.pem   # asks for the passphrase
//! $ openssl pkey -in key.pem -noout -text                                            # Ed25519 and P-256
//! $ age -d -i custody/issuing/identity.age custody/issuing/bundles/ID/secrets.age    # keys that were made together, a line each
//! $ sqlite3 ledger.db "SELECT position, type, hex(block) FROM log"                   # DAG-CBOR blocks
//! ```
