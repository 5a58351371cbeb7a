//! How each verb is run so that it succeeds, in a copy of the world that `world.rs` prepares.

mod nats;

/// What a verb does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Appends events to the recipe's ledger.
    Records,
    /// Reads, and writes to standard output.
    Reads,
    /// Writes files or a ledger's state, and records no event in the prepared ledgers.
    Local,
    /// Needs the server that events are published to; records no event.
    Online,
    /// Goes on until it is interrupted, and says something at once.
    Watches,
}

/// How a verb is run.
#[derive(Debug, Clone)]
pub(crate) struct Recipe {
    /// The verb, as the program lists it.
    pub(crate) verb: &'static str,
    pub(crate) class: Class,
    /// The whole command, divided at blanks; `{name}` stands for a value of the prepared world.
    pub(crate) args: &'static str,
    /// What is run before, in the copy.
    pub(crate) before: &'static [&'static str],
    /// What is run after, so that nothing goes on running.
    pub(crate) after: &'static [&'static str],
    /// The folder of the ledger that it works on.
    pub(crate) ledger: &'static str,
}

impl Recipe {
    const fn new(class: Class, verb: &'static str, args: &'static str) -> Self {
        Self { verb, class, args, before: &[], after: &[], ledger: "acme" }
    }

    /// On another ledger of the world.
    const fn on(mut self, ledger: &'static str) -> Self {
        self.ledger = ledger;
        self
    }

    const fn before(mut self, before: &'static [&'static str]) -> Self {
        self.before = before;
        self
    }

    const fn after(mut self, after: &'static [&'static str]) -> Self {
        self.after = after;
        self
    }

    /// The whole command.
    pub(crate) fn command(&self) -> String {
        format!("{} {}", self.verb, self.args)
    }
}

const fn records(verb: &'static str, args: &'static str) -> Recipe {
    Recipe::new(Class::Records, verb, args)
}

const fn reads(verb: &'static str, args: &'static str) -> Recipe {
    Recipe::new(Class::Reads, verb, args)
}

const fn local(verb: &'static str, args: &'static str) -> Recipe {
    Recipe::new(Class::Local, verb, args)
}

const fn online(verb: &'static str, args: &'static str) -> Recipe {
    Recipe::new(Class::Online, verb, args)
}

/// All recipes.
pub(crate) fn all() -> impl Iterator<Item = &'static Recipe> {
    RECIPES.iter().chain(nats::RECIPES)
}

/// The recipes of the verbs that record.
pub(crate) fn recording() -> impl Iterator<Item = &'static Recipe> {
    all().filter(|recipe| recipe.class == Class::Records)
}

const RECIPES: &[Recipe] = &[
    // The ledger
    records("init", "fresh --name Fresh --work-factor 10").on("fresh"),
    records("apply", "declared.toml").on("new"),
    records("handover", "--reason moved").on("copy"),
    records("recover", "--from carry usb").on("restored").before(&["carry out usb --ledger acme"]),
    reads("status", ""),
    reads("state", "--at 2000-01-01"),
    reads("diff", "1 5"),
    reads("verify", ""),
    local("backup", "backups"),
    local("restore", "backups again"),
    // What it records
    records("organization add", "Other"),
    records("organization update", "Acme --description Tools"),
    reads("organization list", ""),
    reads("organization show", "Acme"),
    records("unit add", "Third"),
    records("unit update", "Works --description Tools"),
    records("unit dissolve", "Spare --reason spare"),
    reads("unit list", ""),
    reads("unit show", "Works"),
    records("person add", "Eve --email eve@acme.example"),
    records("person update", "Bob --title Smith"),
    records("person deactivate", "Dora --reason away"),
    records("person reactivate", "Carol --reason back"),
    records("person enroll", "Bob --compartment bob --name bob-acts --work-factor 10"),
    records("person offboard", "Bob --reason left"),
    reads("person list", ""),
    reads("person show", "Ada"),
    records("location add", "Rack --kind rack"),
    records("location update", "Safe --address Basement"),
    records("location close", "Safe --reason sold"),
    reads("location list", ""),
    reads("location show", "Safe"),
    records("role add", "Auditor --permission audit.*"),
    records("role update", "Clerk --description Desk"),
    records("role assign", "Clerk Dora"),
    records("role withdraw", "Clerk Bob --reason moved"),
    records("role retire", "Unheld --reason unused"),
    reads("role list", ""),
    reads("role show", "Clerk"),
    records("policy add", "More --document rules.md"),
    records("policy update", "Rules --name Laws"),
    records("policy withdraw", "Rules --reason old"),
    records("policy require-signatures", "KeyRevoked --as Ada --reason agreed"),
    reads("policy list", ""),
    reads("policy show", "Rules"),
    records("relationship add", "person:Bob reports-to person:Ada"),
    records("relationship end", "{relationship} --reason over"),
    reads("relationship list", ""),
    reads("relationship show", "{relationship}"),
    records("ledger link", "New --key {new} --relation witness"),
    reads("ledger list", ""),
    reads("ledger show", "Own"),
    // Keys
    records("key generate", "another"),
    records("key import", "imported signer.pem --origin elsewhere").on("own").before(&["organization add Own"]),
    records("key revoke", "signer --reason superseded"),
    records("key rotate", "signer"),
    records("key export", "signer --plain --out again.pem --reason asked"),
    reads("key list", ""),
    reads("key show", "signer"),
    records("custody add", "safe"),
    records("custody holder", "issuing person:Ada"),
    local("custody passphrase", "issuing --new-passphrase-file new.pass"),
    reads("custody check", ""),
    reads("custody list", ""),
    reads("custody test", "issuing"),
    // Events
    records("event attest", "5 --as Ada"),
    reads("event list", ""),
    reads("history", "person:Ada"),
    reads("event show", "5"),
    reads("event types", ""),
    reads("event verify", "5"),
    reads("event proof-of", "5"),
    Recipe::new(Class::Watches, "event watch", "--from 1"),
    // Publishing
    reads("queue list", ""),
    reads("queue status", ""),
    local("queue retry", "--all"),
    online("queue flush", ""),
    online("sync", "--once"),
    online("reconcile", "").before(&["sync --once"]),
    online("replay", "--from nats --ledger replayed --key {acme}").before(&["sync --once"]),
    online("follow", "--once --ledger followed --key {acme}").before(&["sync --once"]),
    // Copies and proofs
    local("carry out", "usb"),
    records("carry in", "usb"),
    local("mirror init", "second --from usb --key {acme}"),
    local("mirror update", "usb").on("mirror"),
    reads("mirror status", "").on("mirror"),
    local("export all", "everything"),
    local("export car", "again.car"),
    reads("export events", ""),
    local("import car", "acme.car --key {acme} --ledger imported"),
    local("log checkpoint", "--sign"),
    reads("log public-key", ""),
    reads("log prove", "5"),
    reads("log consistency", ""),
    reads("log check", "proof --key {acme}").before(&["log prove 5 --with-event --out proof"]),
    local("log cosign", "consistency --key {acme} --ledger own").before(&["log consistency --out consistency"]),
    // The program
    reads("config example", ""),
    reads("config show", ""),
    reads("config validate", ""),
    reads("completions", "bash"),
    reads("man", ""),
    local("agent start", "--detach --socket run/agent.sock").on("own").before(ISSUER).after(STOP),
    reads("agent status", "--socket run/agent.sock").on("own").before(AGENT).after(STOP),
    local("agent stop", "--socket run/agent.sock").on("own").before(AGENT).after(STOP),
];

const ISSUER: &[&str] = &["nats issuer add ORDERS --role ci --from mirror"];
const AGENT: &[&str] =
    &["nats issuer add ORDERS --role ci --from mirror", "agent start --detach --socket run/agent.sock"];
const STOP: &[&str] = &["agent stop --socket run/agent.sock"];
