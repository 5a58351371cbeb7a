//! The first day: from an empty machine to an organisation whose keys are made, sealed and recorded.
//!
//! # Before
//!
//! - A laptop that has no network and gets none: no cable, radio off in the firmware, a freshly installed system,
//!   full-disk encryption. Swap off, or encrypted.
//! - The program, and how it was checked: the release's checksum, compared by two people from two sources.
//! - The file that describes the organisation, reviewed beforehand on an ordinary machine with
//!   `cim-keys apply acme.toml --dry-run`. The ceremony carries out decisions, and makes none.
//! - Two people at least. One types, the other reads along and writes the protocol: date, place, the people present,
//!   the version (`cim-keys --version`), each command, and its output.
//! - Two envelopes a compartment, tamper-evident, and two pieces of removable media for the copies.
//!
//! # 1. Make the ledger
//!
//! ```console
//! $ cim-keys init ./acme
//! ```
//!
//! It makes the folder: `ledger.db` for the facts, `custody/` for the secrets, `config.toml`. It also makes the
//! ledger's own key, whose public half names the ledger from now on: write its fingerprint into the protocol.
//!
//! Custody begins with two compartments. **`root`** is for keys that sign a few times a year: operators, root
//! authorities. **`issuing`** is for keys that sign every week: signing keys, intermediates, the ledger's own. Each has
//! a passphrase of its own, so that the daily work never opens the root. Unless you give passphrases, they are
//! generated and shown once. Copy each by hand into its two envelopes, read them back to each other, seal them, and
//! give them to different people. The passphrase of `root` does not leave the room with the laptop.
//!
//! # 2. Apply the file
//!
//! ```console
//! $ cd acme
//! $ cim-keys apply ../acme.toml --save-plan day0.plan
//! $ cim-keys apply day0.plan
//! ```
//!
//! The first command shows the plan and saves it; the second does exactly that, or nothing if the ledger has moved in
//! between. Keys are made and sealed on the way. Sealing needs only the compartments' public recipients, so no
//! passphrase is needed, however many keys there are.
//!
//! # 3. Generate further keys
//!
//! ```console
//! $ cim-keys key generate "Acme operator" --algorithm nkey-operator --purpose nats-operator --compartment root
//! $ cim-keys key list
//! ```
//!
//! # 4. Check
//!
//! ```console
//! $ cim-keys verify
//! $ cim-keys custody check
//! $ cim-keys event list
//! ```
//!
//! The first recomputes every content identifier and replays every event; the second compares the sealed files with the
//! keys that are recorded. Then check the envelopes, one by one: `cim-keys custody test root` asks for the passphrase
//! and says whether it opens the compartment. Type it from the paper.
//!
//! # 5. Back up
//!
//! ```console
//! $ cim-keys backup /media/vault
//! $ cim-keys status
//! ```
//!
//! One file on both pieces of media, with the sealed keys in it. `status` says when the last one was made, and warns of
//! keys that are in none. The keys in it are sealed, yet a copy of it lets an attacker guess the passphrases without
//! limit: keep the media as you keep the laptop, and not beside the envelopes. `docs/recovery.md` has the restore
//! drill.
//!
//! # 6. Publish, elsewhere or later
//!
//! Every event waits in the ledger until a server can be reached. Where the ledger may have a network, `cim-keys sync`
//! publishes the waiting events, in order, each once. Where it may not, nothing is lost by waiting.
//!
//! # Afterwards
//!
//! Both sign the protocol. It names the ledger's public key and the content identifier of the last event
//! (`cim-keys event list --limit 1`): with these two lines on paper, no one can show you another history later.
