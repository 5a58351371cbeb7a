//! One world with everything that the verbs need, prepared once, and as many copies of it as there are runs.
//!
//! The right to write is bound to a ledger's very file. A copy gets it by having its tokens name the file in the copy.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use cim_keys_testkit::folders;
use cim_keys_testkit::nats_server::{NatsServer, ServerOptions};
use serde_json::Value;
use tempfile::TempDir;

use super::recipes::Recipe;
use crate::support::machine::NOBODY;
use crate::support::{PASSPHRASE, Place, Run, program, run};

/// What the first apply of a ledger declares.
const DECLARED: &str = r#"
format = "cim-keys/1"
[organization]
name = "Declared"
[roles.officer]
name = "Officer"
permissions = ["key.*"]
[people.ada]
name = "Ada"
email = "ada@declared.example"
roles = ["officer"]
[nats.operator]
name = "DECLARED"
[nats.accounts.orders]
name = "ORDERS"
jetstream = {}
[nats.accounts.orders.roles.device]
publish = { allow = ["devices.{{name()}}.>"] }
[nats.accounts.orders.users.bob]
publish = { allow = ["orders.>"] }
"#;

/// What the connected side asks the authority for.
const WANTED: &str = r#"
format = "cim-keys/1"
[organization]
name = "Acme"
[units.wanted]
name = "Wanted"
"#;

/// What is run to prepare the world, in this order. `{name}` stands for a value that was read before.
const PREPARE: &[&str] = &[
    "init acme --name Acme --work-factor 10",
    "organization add Acme",
    "unit add Works",
    "unit add Spare",
    "location add Safe --kind safe",
    "person add Ada --email ada@acme.example",
    "person add Bob --email bob@acme.example",
    "person add Carol",
    "person add Dora",
    "person deactivate Carol --reason away",
    "person enroll Ada --compartment ada --name ada-acts --work-factor 10",
    "role add Officer --permission key.*",
    "role add Clerk",
    "role add Unheld",
    "role assign Officer Ada",
    "role assign Clerk Bob",
    "policy add Rules --document rules.md",
    "relationship add person:Ada delegates-to person:Bob --permission key.rotate",
    "key generate signer",
    "nats operator add ACME",
    "nats account add ORDERS --js-enable",
    "nats account add BILLING",
    "nats account add SPARE",
    "nats account add LONE",
    "nats user add ORDERS/bob",
    "nats user add ORDERS/eve",
    "nats user add ORDERS/old",
    "nats user add BILLING/svc",
    "nats user add SPARE/svc",
    "nats user add SYS/pusher --preset pusher",
    "nats signing-key add ORDERS",
    "nats signing-key add ORDERS --role device",
    "nats export add ORDERS orders.new",
    "nats export add ORDERS orders.spare",
    "nats export add ORDERS orders.private --private",
    "nats import add BILLING orders.new --src-account ORDERS --name new",
    "nats mapping add ORDERS old new",
    "nats revocation add ORDERS {eve}",
    "nats auth-callout edit SPARE --auth-user svc --xkey generate",
    "nats user rotate ORDERS/old --overlap 1s --reason planned",
    "nats creds SYS/pusher --file pusher.creds",
    "key generate curve --algorithm nkey-curve",
    "key export curve --plain --out curve.nk --reason copied",
    "nats creds ORDERS/eve --to {curve} --file eve.creds.xkey",
    "backup backups",
    "init own --name Own --work-factor 10",
    "init new --name New --work-factor 10",
    "ledger link Own --key {own} --relation peer",
    "key export signer --plain --out signer.pem --reason copied",
    "carry out usb",
    "mirror init mirror --from usb --key {acme}",
    "restore backups restored",
    "nats export --nsc home --with-seeds",
    "nats request wanted.toml --ledger mirror --by own --out wanted.req",
    "export car acme.car",
];

/// Values that recipes and preparations name: from the output of a command, the member at a pointer.
const VALUES: &[(&str, &str, &str)] = &[
    ("eve", "nats user show ORDERS/eve", "/user/public_key"),
    ("curve", "key show curve", "/public_key"),
    ("relationship", "relationship list", "/id"),
    ("acme", "log public-key", "/key"),
    ("own", "log public-key --ledger own", "/key"),
    ("new", "log public-key --ledger new", "/key"),
];

/// The prepared world, and the values that were read from it. The last test that has it removes its folder.
pub(crate) struct Prepared {
    place: Place,
    values: HashMap<&'static str, String>,
}

/// A copy of the prepared world.
pub(crate) struct World {
    pub(crate) place: Place,
    values: HashMap<&'static str, String>,
    /// The server that publishing uses, as it is configured.
    pub(crate) url: String,
    /// A server that trusts the operator `ACME`, for the verbs that push and pull; it starts when one asks for it.
    operator: Option<NatsServer>,
}

impl World {
    /// A copy of the prepared world, with what the recipe needs done in it. `None` when a server is needed for that and there
    /// is none here, which was said.
    pub(crate) fn of(prepared: &Prepared, recipe: &Recipe, url: &str) -> Option<Self> {
        let mut world = Self { place: folder(), values: prepared.values.clone(), url: url.to_owned(), operator: None };
        folders::copy(prepared.place.dir.path(), world.place.dir.path());
        rebind(prepared.place.dir.path(), world.place.dir.path());
        if [recipe.args].iter().chain(recipe.before).any(|args| args.contains("{operator-url}")) {
            world.start_operator()?;
        }
        for args in recipe.before {
            let done = world.run_on(recipe.ledger, args);
            assert_eq!(done.code, 0, "{args}, before {}: {done:?}", recipe.verb);
        }
        Some(world)
    }

    fn start_operator(&mut self) -> Option<()> {
        let folder = TempDir::with_prefix("cim-keys-nats-").unwrap();
        let trust = self.run("nats server-config --output text --resolver full");
        assert_eq!(trust.code, 0, "{trust:?}");
        let trust = trust.stdout.replace("\"./jwt\"", &format!("\"{}\"", folder.path().join("jwt").display()));
        let server = ServerOptions::default().conf(&trust).start_in(folder)?;
        self.values.insert("operator-url", server.url());
        self.operator = Some(server);
        Some(())
    }

    /// The program with these arguments, divided at blanks, on a ledger of this world; in an environment that holds nothing
    /// else.
    pub(crate) fn command_on(&self, ledger: &str, args: &str) -> Command {
        self.command_of(ledger, args.split_whitespace())
    }

    /// The same, with the arguments one by one.
    pub(crate) fn command_of<'w>(&self, ledger: &str, words: impl Iterator<Item = &'w str>) -> Command {
        let mut command = program(self.place.dir.path(), &[]);
        command.env("CIM_KEYS_NATS_URL", &self.url).env("CIM_KEYS_PASSPHRASE", PASSPHRASE);
        command.env("CIM_KEYS_LEDGER", self.place.path(ledger));
        for word in words {
            let filled = self
                .values
                .iter()
                .fold(word.to_owned(), |word, (name, value)| word.replace(&format!("{{{name}}}"), value));
            assert!(!filled.contains('{'), "a value is missing in {filled}");
            command.arg(filled);
        }
        command.arg("--yes");
        command
    }

    pub(crate) fn run_on(&self, ledger: &str, args: &str) -> Run {
        run(self.command_on(ledger, args), b"")
    }

    pub(crate) fn run(&self, args: &str) -> Run {
        self.run_on("acme", args)
    }

    /// What a ledger of this world records, oldest first; nothing where there is no ledger.
    #[track_caller]
    pub(crate) fn events(&self, ledger: &str) -> Vec<Value> {
        self.try_events(ledger).unwrap()
    }

    /// The same, or why it can't be read.
    pub(crate) fn try_events(&self, ledger: &str) -> Result<Vec<Value>, String> {
        if !self.place.path(ledger).join("ledger.db").exists() {
            return Ok(Vec::new());
        }
        let listed = self.run_on(ledger, "event list --from 1 --limit 100000 --output json");
        if listed.code == 0 { Ok(listed.json()) } else { Err(listed.stderr) }
    }

    /// How many events of a ledger wait for publication.
    #[track_caller]
    pub(crate) fn queued(&self, ledger: &str) -> u64 {
        self.run_on(ledger, "queue status --output json").json()[0]["queued"].as_u64().unwrap()
    }
}

/// A folder for a world: in memory where the machine has that, because a killed process loses nothing that it wrote, and
/// most of the time would go into waiting for the disk.
fn folder() -> Place {
    let dir = TempDir::with_prefix_in("cim-keys-cli-", "/dev/shm");
    dir.map_or_else(|_| Place::empty(), |dir| Place { dir })
}

impl Prepared {
    /// The world, prepared by the first test that asks. `None` when there is no server here, which was said.
    pub(crate) fn get() -> Option<Arc<Self>> {
        static PREPARED: Mutex<Weak<Prepared>> = Mutex::new(Weak::new());
        let mut prepared = PREPARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = prepared.upgrade() {
            return Some(known);
        }
        let new = Arc::new(prepare()?);
        *prepared = Arc::downgrade(&new);
        Some(new)
    }
}

fn prepare() -> Option<Prepared> {
    let place = folder();
    place.file("rules.md", b"# Rules\n");
    place.file("declared.toml", DECLARED.as_bytes());
    place.file("wanted.toml", WANTED.as_bytes());
    place.file("new.pass", b"another passphrase for tests");
    for folder in ["usb", "backups", "run"] {
        fs::create_dir(place.path(folder)).unwrap();
        fs::set_permissions(place.path(folder), fs::Permissions::from_mode(0o700)).unwrap();
    }
    let mut world = World { place, values: HashMap::new(), url: NOBODY.to_owned(), operator: None };
    for args in PREPARE {
        for (name, read, pointer) in VALUES {
            if args.contains(&format!("{{{name}}}")) {
                world.read(name, read, pointer);
            }
        }
        let done = world.run(args);
        assert_eq!(done.code, 0, "{args}: {done:?}");
    }
    VALUES.iter().for_each(|(name, read, pointer)| world.read(name, read, pointer));
    // A push from the mirror, whose receipt the medium brings back.
    world.start_operator()?;
    let push = "nats push --all --servers 1 --url {operator-url} --creds pusher.creds --receipt usb/push-1.json";
    let pushed = world.run_on("mirror", push);
    assert_eq!(pushed.code, 0, "{pushed:?}");
    world.values.remove("operator-url");
    folders::copy(&world.place.ledger(), &world.place.path("copy"));
    // The overlap of a rotation is over before anything is copied.
    while world.run("nats due --output json").json()[0]["due"] != true {}
    Some(Prepared { place: world.place, values: world.values })
}

impl World {
    fn read(&mut self, name: &'static str, args: &str, pointer: &str) {
        let said = self.run(&format!("{args} --output json")).json().remove(0);
        let value = said.pointer(pointer).unwrap_or_else(|| panic!("{args}: no {pointer} in {said}"));
        self.values.insert(name, value.as_str().unwrap().to_owned());
    }
}

/// Lets the tokens of a copied world name the files of the copy.
fn rebind(from: &Path, to: &Path) {
    let place = |path: &Path| {
        let metadata = fs::metadata(path).unwrap();
        (metadata.dev(), metadata.ino())
    };
    let ledgers = folders::files(from).into_iter().filter(|file| file.ends_with("ledger.db"));
    let moved: HashMap<_, _> =
        ledgers.map(|file| (place(&file), place(&to.join(file.strip_prefix(from).unwrap())))).collect();
    for file in folders::files(&to.join("state")) {
        let Ok(mut token) = serde_json::from_slice::<Value>(&fs::read(&file).unwrap()) else { continue };
        let (Some(device), Some(inode)) = (token["file"]["device"].as_u64(), token["file"]["inode"].as_u64()) else {
            continue;
        };
        if let Some((device, inode)) = moved.get(&(device, inode)) {
            token["file"]["device"] = (*device).into();
            token["file"]["inode"] = (*inode).into();
            fs::write(&file, serde_json::to_vec(&token).unwrap()).unwrap();
        }
    }
}

/// The names of all files beneath a folder, what differs from run to run in them replaced by `*`.
pub(crate) fn names(folder: &Path) -> Vec<PathBuf> {
    let mut names: Vec<PathBuf> = folders::files(folder)
        .into_iter()
        .map(|file| file.strip_prefix(folder).unwrap().to_string_lossy().split('/').map(usual).collect())
        .collect();
    names.sort();
    names
}

/// A name with its identifiers, hashes and times replaced.
fn usual(name: &str) -> String {
    let mut usual = String::new();
    for part in name.split_inclusive(['.', '-', '_', '+']) {
        let end = part.len() - usize::from(part.ends_with(['.', '-', '_', '+']));
        let (text, separator) = part.split_at(end);
        let hexadecimal = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let made = text.len() >= 8 && (hexadecimal || text.bytes().any(|byte| byte.is_ascii_digit()));
        // The five parts of a UUID are one, however short.
        let short = text.len() == 4 && hexadecimal && usual.ends_with("*-");
        match (made, short) {
            (false, false) => usual.push_str(text),
            (true, _) if usual.ends_with("*-") => {}
            (true, _) => usual.push('*'),
            (false, true) => {}
        }
        if !(usual.ends_with("*-") && separator == "-") {
            usual.push_str(separator);
        }
    }
    usual
}
