//! Every default, and why it is this and not another.
//!
//! # Custody
//!
//! | what | default | why |
//! |---|---|---|
//! | compartments | `root`, `issuing` | the two rhythms of use: a few times a year, and daily. Everything in one would open the operator's key for each user that is signed. More can be added by name |
//! | compartment of a new key | `issuing`; `root` for the purposes `nats-operator` and `certificate-authority` | these two sign seldom, and losing them hurts most |
//! | sealing | age, X25519 | a small, reviewed format with several implementations; the files open without cim-keys |
//! | an identity a compartment | yes | sealing needs only its public half, so making keys asks for no passphrase, and a passphrase changes without touching the keys |
//! | scrypt work factor | 18 (256 MiB, about a second) | the age program's own. Fixed, where age measures the machine: a folder sealed on a fast machine must open on the slow one in the safe |
//! | highest work factor that is opened | 20 | an exchanged file must not make the program take all memory |
//! | generated passphrase | 12 words of BIP-39's English list, with hyphens | 132 bits, beyond guessing even without scrypt; words survive handwriting. The list is free of look-alikes: the first four letters tell words apart. The `bip39` crate keeps it, is maintained with the Bitcoin libraries, and is in the public domain (CC0) |
//! | shortest chosen passphrase | 12 characters | below that, guessing is a matter of money. There is no rule of digits and signs: they make passphrases worse |
//! | modes | 0600, 0700 | nobody else's business, and the only ones accepted |
//! | secrets' format | PKCS#8 in PEM, nkey seeds as text | what `openssl`, `nk` and `nats` read |
//! | where a passphrase comes from | `--passphrase-file` or `--passphrase-fd`, then `CIM_KEYS_PASSPHRASE_NAME`, then `CIM_KEYS_PASSPHRASE`, then the terminal | what is said on the command line is meant most deliberately. A compartment's own comes before one for all |
//! | the ledger's own key | sealed in `issuing` | it attests order and completeness, so it is used often, and never for what `root` is for |
//!
//! # Keys
//!
//! | what | default | why |
//! |---|---|---|
//! | algorithm | Ed25519 | small, fast, deterministic, hard to misuse. P-256 is there for those who must |
//! | validity | no end | an end that nobody watches breaks things at night. `--expires` sets one |
//! | owner | the organisation, when there is exactly one | a key that belongs to nobody is nobody's duty |
//! | rotation | the old key is retired at once | a time in which both are good has to be wanted: `--retire-at` |
//! | reason for a revocation | none; it has to be given | consumers treat `key-compromise` and `superseded` quite differently |
//! | export | sealed to an age recipient or a NATS curve key (`--to`) | a plain private key on a disk is what custody is there to prevent. `--plain` does it, and the record says so |
//!
//! # The ledger
//!
//! | what | default | why |
//! |---|---|---|
//! | SQLite | WAL, `synchronous=FULL` | readers go on while one writes, and what was acknowledged survives a power failure |
//! | commit | one transaction a command | all of it or none |
//! | clock | never back; a jump of more than a day is asked about | an air-gapped clock is often wrong, and a wrong one must not reorder history |
//! | the right to write | a token outside the folder | a copied folder must not become a second history |
//!
//! # Publishing
//!
//! The keys of `config.toml`, their defaults and meanings are in [`crate::config::KEYS`], and `cim-keys config example`
//! prints them. The ones with a reason worth telling:
//!
//! | what | default | why |
//! |---|---|---|
//! | `enabled` | as [`NatsConfig`](crate::config::NatsConfig) has it; `init --air-gapped` sets `air_gapped` too | offline is the normal case and no error |
//! | `url` | `nats://localhost:4222`, for commands that are there to connect (`sync`) | a ledger must not publish to whatever listens on a port: other commands publish only to an address that somebody set |
//! | `enable_jetstream` | `true` | core NATS delivers at most once: whoever is not listening misses the revocation |
//! | `enable_ipld` | `true` | a message that carries its content identifier can be checked by whoever receives it |
//! | `payload` | `dag-json` | readable with `nats sub`; `dag-cbor` sends the very bytes that are hashed, a third smaller |
//! | `max_retries` | 3 | counts refusals by the server that are about the event itself. A connection that is down is none, however long |
//! | `air_gapped` | `false` | when `true`, any address but loopback is refused before a packet is sent |
//! | TLS | verified | there is no switch that turns it off |
