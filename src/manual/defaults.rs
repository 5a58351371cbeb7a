//! Every default, and the reason for it.
//!
//! # Custody
//!
//! | what | default | why |
//! |---|---|---|
//! | compartments | `root`, `issuing` | the two rhythms of use: a few times a year, and daily. A single one would open the operator's key for each user that is signed. More can be added by name |
//! | compartment of a new key | `issuing`; `root` for the purposes `nats-operator` and `certificate-authority` | these two sign seldom, and losing them hurts most |
//! | sealing | age, X25519 | a small, reviewed format with several implementations; the files open without cim-keys |
//! | an identity a compartment | yes | sealing needs only its public half, so making keys asks for no passphrase, and a passphrase changes without touching the keys |
//! | scrypt work factor | 18 (256 MiB, about a second) | the age program's own. Fixed, where age measures the machine: a folder sealed on a fast machine must open on the slow one in the safe |
//! | highest work factor that is opened | 20 | a replaced file must not make the program take all memory |
//! | generated passphrase | 12 words of BIP-39's English list, with hyphens | 132 bits, beyond guessing even without scrypt; words survive handwriting. The list is free of look-alikes: the first four letters identify a word. The `bip39` crate keeps it, is maintained with the Bitcoin libraries, and is in the public domain (CC0) |
//! | shortest chosen passphrase | 12 characters | below that, guessing is a matter of money. There is no rule about digits and symbols: such rules make passphrases worse |
//! | modes | 0600, 0700 | no access for other users; no other modes are accepted |
//! | secrets' format | PKCS#8 in PEM, nkey seeds as text | the formats that `openssl`, `nk` and `nats` accept |
//! | where a passphrase comes from | `--passphrase-file` or `--passphrase-fd`, then `CIM_KEYS_PASSPHRASE_NAME`, then `CIM_KEYS_PASSPHRASE`, then the terminal | the command line is the most deliberate source. A compartment's own passphrase comes before one for all |
//! | the ledger's own key | sealed in `issuing` | it attests order and completeness, so it is used often, and never for the purposes of `root` |
//!
//! # Keys
//!
//! | what | default | why |
//! |---|---|---|
//! | algorithm | Ed25519 | small, fast, deterministic, hard to misuse. P-256 is available where it is required |
//! | validity | no end | an unwatched end causes outages at night. `--expires` sets one |
//! | owner | the organisation, when there is exactly one | no one is responsible for a key without an owner |
//! | rotation | the old key is retired at once | an overlap has to be requested: `--retire-at` |
//! | reason for a revocation | none; it has to be given | relying parties treat `key-compromise` and `superseded` quite differently |
//! | export | sealed to an age recipient or a NATS curve key (`--to`) | custody exists to keep plain private keys off the disk. `--plain` does it, and the event says so |
//!
//! # The ledger
//!
//! | what | default | why |
//! |---|---|---|
//! | SQLite | WAL, `synchronous=FULL` | readers continue during a write, and acknowledged events survive a power failure |
//! | commit | one transaction a command | all of it or none |
//! | clock | never back; a jump of more than a day needs confirmation | an air-gapped clock is often wrong, and a wrong one must not reorder history |
//! | the right to write | a file outside the folder | a copied folder must not become a second history |
//!
//! # Publishing
//!
//! The keys of `config.toml`, their defaults and meanings are in [`crate::config::KEYS`], and `cim-keys config example`
//! prints them. Those that need a reason:
//!
//! | what | default | why |
//! |---|---|---|
//! | `enabled` | as [`NatsConfig`](crate::config::NatsConfig) has it; `init --air-gapped` sets `air_gapped` too | offline is the normal case and not an error |
//! | `url` | `nats://localhost:4222`, for commands that exist to connect (`sync`) | a ledger must not publish to an arbitrary program on a port: other commands publish only to a configured address |
//! | `enable_jetstream` | `true` | core NATS delivers at most once: a subscriber that is not connected misses the revocation |
//! | `enable_ipld` | `true` | a message that carries its content identifier can be checked by its receiver |
//! | `payload` | `dag-json` | readable with `nats sub`; `dag-cbor` sends the hashed bytes themselves, a third smaller |
//! | `max_retries` | 3 | counts refusals by the server that are about the event itself. An outage is not a refusal, however long |
//! | `air_gapped` | `false` | when `true`, any address but loopback is refused before a packet is sent |
//! | TLS | verified | there is no switch that turns it off |
