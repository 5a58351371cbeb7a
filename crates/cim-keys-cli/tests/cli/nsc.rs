//! `nats import` and `nats export` beside the real `nsc`, and a server that believes what comes out of either.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use cim_keys_testkit::nats_server::{NatsServer, ServerOptions};
use cim_keys_testkit::tools::{NSC, tool};
use serde_json::{Value, json};

use crate::support::nats::connect;
use crate::support::{self, Place, files};

/// The real nsc on a home of its own.
struct Nsc {
    program: PathBuf,
    home: PathBuf,
}

impl Nsc {
    fn on(home: &Path) -> Option<Self> {
        Some(Self { program: tool(NSC)?, home: home.to_owned() })
    }

    fn run(&self, args: &[&str]) -> (bool, String) {
        let mut command = Command::new(&self.program);
        command.env_clear().env("HOME", &self.home).env("PATH", "/usr/bin:/bin").arg("--all-dirs").arg(&self.home);
        let output = command.args(args).output().unwrap();
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        (output.status.success(), said)
    }

    #[track_caller]
    fn ok(&self, args: &[&str]) -> String {
        let (done, said) = self.run(args);
        assert!(done, "nsc {args:?}: {said}");
        said
    }

    /// What nsc says of something, as JSON.
    #[track_caller]
    fn describe(&self, args: &[&str]) -> Value {
        let said = self.ok(&[&["describe"], args, &["--json"]].concat());
        serde_json::from_str(&said[said.find('{').unwrap()..]).unwrap()
    }

    /// What nsc says of a token in a file.
    #[track_caller]
    fn describe_token(&self, file: &str) -> String {
        self.ok(&["describe", "jwt", "--file", file])
    }

    fn seed(&self, public: &str) -> PathBuf {
        let path = self.home.join("keys").join(&public[..1]).join(&public[1..3]);
        path.join(format!("{public}.nk"))
    }
}

/// A home with a strict operator, two accounts, a role, five users, one of them revoked.
fn home(place: &Place) -> Option<Nsc> {
    let nsc = Nsc::on(&place.path("home"))?;
    nsc.ok(&["add", "operator", "ACME", "--sys", "--generate-signing-key"]);
    nsc.ok(&["edit", "operator", "--service-url", "nats://127.0.0.1:4222"]);
    nsc.ok(&["add", "account", "ORDERS"]);
    nsc.ok(&["edit", "account", "ORDERS", "--js-mem-storage", "1G", "--js-disk-storage", "1G"]);
    let role = ["edit", "signing-key", "--account", "ORDERS", "--role", "device", "--sk", "generate"];
    nsc.ok(&[&role[..], &["--allow-pub", "devices.{{name()}}.>"]].concat());
    nsc.ok(&["add", "user", "--account", "ORDERS", "bob", "--allow-pub", "orders.>", "--tag", "desk:7"]);
    nsc.ok(&["add", "user", "--account", "ORDERS", "d1", "-K", "device"]);
    nsc.ok(&["add", "user", "--account", "ORDERS", "eve"]);
    nsc.ok(&["revocations", "add-user", "--account", "ORDERS", "--name", "eve"]);
    nsc.ok(&["add", "account", "EMPTY"]);
    Some(nsc)
}

fn import(place: &Place, nsc: &Nsc, more: &[&str]) -> support::Run {
    let (root, issuing) = place.passphrase_flags();
    let home = nsc.home.to_str().unwrap();
    let args = ["nats", "import", "--nsc", home, "--work-factor", "10", &root, &issuing];
    place.run(&[&args, more].concat())
}

/// Every token in a home, by its file's name.
fn tokens(home: &Path) -> Vec<(String, String)> {
    let mut tokens: Vec<_> = files(home)
        .into_iter()
        .filter(|path| path.extension().is_some_and(|end| end == "jwt"))
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read_to_string(path).unwrap()))
        .collect();
    tokens.sort();
    tokens
}

async fn connects(server: &NatsServer, creds: &Path, subject: &'static str) -> Result<(), String> {
    let client = connect(&server.url(), creds.to_str().unwrap()).await?;
    client.publish(subject, "x".into()).await.unwrap();
    client.flush().await.map_err(|error| error.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_home_becomes_a_ledger_and_goes_on() {
    let place = Place::empty();
    let Some(nsc) = home(&place) else { return };
    let told = import(&place, &nsc, &[]).json().pop().unwrap();
    assert_eq!((&told["accounts"], &told["users"], &told["signing_keys"]), (&3.into(), &4.into(), &3.into()), "{told}");
    assert_eq!(told["not_taken"], Value::Array(Vec::new()), "{told}");
    // Identity and signing key of the operator and of SYS, two more accounts, one role, four users.
    assert_eq!(told["seeds"], 11, "{told}");
    place.run(&["verify"]).json();
    place.run(&["custody", "check"]).json();

    let keys = place.run(&["key", "list"]).json();
    assert!(keys.iter().filter(|key| key["encoding"] == "nkey").all(|key| key["was_plaintext"] == true), "{keys:?}");
    let users = place.run(&["nats", "user", "list", "--all"]).json();
    let status = |name: &str| users.iter().find(|user| user["name"] == name).unwrap()["status"].clone();
    assert_eq!((status("bob"), status("eve")), ("active".into(), "revoked".into()), "{users:?}");

    // Everything goes on: the role's key signs, the operator's key signs, and a server believes all of it.
    let (root, issuing) = place.passphrase_flags();
    let act = |args: &[&str]| place.run(&[&["nats"], args, &[&root, &issuing]].concat()).json();
    act(&["user", "add", "ORDERS/d2", "--role", "device"]);
    act(&["account", "add", "NEW"]);
    let creds = place.path("d2.creds");
    act(&["creds", "ORDERS/d2", "--file", creds.to_str().unwrap()]);
    let config = place.run(&["nats", "server-config", "--output", "text", "--resolver", "memory"]);
    let Some(server) = ServerOptions::default().conf(&config.stdout).start() else { return };
    connects(&server, &creds, "devices.d2.up").await.unwrap();
    let theirs = |user: &str| nsc.home.join("creds/ACME/ORDERS").join(format!("{user}.creds"));
    connects(&server, &theirs("bob"), "orders.new").await.unwrap();
    connects(&server, &theirs("d1"), "devices.d1.up").await.unwrap();
    assert!(connects(&server, &theirs("eve"), "x").await.is_err());

    // Again, nothing changes; what nsc signs afterwards is taken, what the ledger signed afterwards stays.
    assert_eq!(import(&place, &nsc, &[]).json().pop().unwrap()["events"], 0);
    nsc.ok(&["add", "user", "--account", "EMPTY", "late"]);
    let told = import(&place, &nsc, &[]).json().pop().unwrap();
    assert_eq!((&told["users"], &told["seeds"]), (&5.into(), &1.into()), "{told}");
    act(&["user", "edit", "EMPTY/late", "--tag", "kept"]);
    let told = import(&place, &nsc, &[]).json().pop().unwrap();
    assert_eq!(told["events"], 0, "{told}");
    assert!(told["not_taken"][0]["reason"].as_str().unwrap().contains("newer"), "{told}");
}

#[test]
fn a_ledger_becomes_a_home_that_nsc_goes_on_with() {
    let place = Place::empty();
    let Some(nsc) = home(&place) else { return };
    import(&place, &nsc, &[]).json();
    let (root, issuing) = place.passphrase_flags();
    let out = place.path("out");
    let args = ["nats", "export", "--nsc", out.to_str().unwrap(), "--with-seeds", "--yes", &root, &issuing];
    let told = place.run(&args).json().pop().unwrap();
    assert_eq!((&told["accounts"], &told["users"], &told["seeds"]), (&3.into(), &3.into(), &10.into()), "{told}");

    // Byte for byte, but for the user that is revoked.
    let expected: Vec<_> = tokens(&nsc.home).into_iter().filter(|(name, _)| name != "eve.jwt").collect();
    assert_eq!(tokens(&out), expected);
    for path in files(&out) {
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
    }
    let theirs = Nsc::on(&out).unwrap();
    for what in [&["operator"][..], &["account", "ORDERS"], &["user", "--account", "ORDERS", "bob"]] {
        assert_eq!(theirs.describe(what), nsc.describe(what), "{what:?}");
    }
    theirs.ok(&["validate", "--all-accounts"]);
    theirs.ok(&["add", "user", "--account", "ORDERS", "from-nsc"]);
    theirs.ok(&["add", "account", "FROM-NSC"]);
    theirs.ok(&["validate", "--all-accounts"]);
    let told = import(&place, &theirs, &[]).json().pop().unwrap();
    assert_eq!((&told["accounts"], &told["users"], &told["seeds"]), (&4.into(), &4.into(), &2.into()), "{told}");

    let exports = place.run(&["event", "list", "--limit", "200"]).json();
    assert_eq!(exports.iter().filter(|event| event["type"] == "KeyExported").count(), 10);
    place.run(&args).fails(2, &["is there already"]);
    let bare = place.path("bare");
    place.run(&["nats", "export", "--nsc", bare.to_str().unwrap()]).json();
    assert!(files(&bare).iter().all(|path| path.extension().is_none_or(|end| end != "nk" && end != "creds")));
    Nsc::on(&bare).unwrap().describe(&["account", "ORDERS"]);
}

#[test]
fn what_our_commands_make_reads_in_nsc_as_the_same_claims() {
    let place = Place::new();
    let Some(_) = tool(NSC) else { return };
    let (root, issuing) = place.passphrase_flags();
    let act = |args: &[&str]| place.run(&[&["nats"], args, &[&root, &issuing]].concat()).json();
    act(&["operator", "add", "ACME", "--service-url", "nats://127.0.0.1:4222", "--strict"]);
    act(&["account", "add", "ORDERS", "--js-enable"]);
    act(&["signing-key", "add", "ORDERS"]);
    act(&["signing-key", "add", "ORDERS", "--role", "device", "--allow-pub", "devices.{{name()}}.>"]);
    act(&["user", "add", "ORDERS/d1", "--role", "device"]);
    act(&["user", "add", "ORDERS/bob", "--allow-pub", "orders.>", "--deny-sub", "secret.>", "--expires", "2036-01-01"]);
    let out = place.path("out");
    act(&["export", "--nsc", out.to_str().unwrap()]);
    let nsc = Nsc::on(&out).unwrap();
    for (what, path) in [
        (&["operator"][..], "ACME/ACME.jwt"),
        (&["account", "ORDERS"], "ACME/accounts/ORDERS/ORDERS.jwt"),
        (&["user", "--account", "ORDERS", "d1"], "ACME/accounts/ORDERS/users/d1.jwt"),
        (&["user", "--account", "ORDERS", "bob"], "ACME/accounts/ORDERS/users/bob.jwt"),
    ] {
        let token = std::fs::read_to_string(out.join(path)).unwrap();
        assert_eq!(nsc.describe(what), cim_keys::nats::jwt::payload(&token).unwrap(), "{what:?}");
    }
    nsc.ok(&["validate", "--all-accounts"]);
}

/// What the real decoder of JWTs made of a token, written out again by it: without what nsc added, and what a new signature
/// changes.
fn rewritten(before: &Value, after: &str, stranger: &str) -> Value {
    let mut after: Value = cim_keys::nats::jwt::payload(after).unwrap();
    let body = after["nats"].as_object_mut().unwrap();
    if let Some(Value::Array(tags)) = body.get_mut("tags") {
        tags.retain(|tag| tag != MARK);
    }
    if let Some(Value::Object(revocations)) = body.get_mut("revocations") {
        revocations.remove(stranger);
    }
    body.retain(|name, value| before["nats"].get(name).is_some() || (*value != json!([]) && *value != json!({})));
    for field in ["iat", "jti", "iss"] {
        after[field] = before[field].clone();
    }
    after
}

/// The tag that nsc adds to operators and users.
const MARK: &str = "rewritten";

/// Every kind of token with everything that it can say goes through the decoder and encoder of nsc and comes out the same.
#[test]
fn every_kind_of_token_with_every_field_survives_nsc() {
    let place = Place::new();
    let Some(_) = tool(NSC) else { return };
    let (root, issuing) = place.passphrase_flags();
    let act = |line: &str, more: &[&str]| {
        let words: Vec<&str> = line.split_whitespace().collect();
        place.run(&[&["nats"], &words[..], more, &[&root, &issuing]].concat()).json()
    };
    let everything = "--allow-pub a.>,b.* --deny-pub a.secret --allow-sub _INBOX.>,c.> --deny-sub c.d \
                      --allow-pub-response 3 --response-ttl 5s";
    let personal = format!(
        "{everything} --source-network 192.0.2.0/24,2001:db8::/32 --time 08:00:00-12:00:00,13:00:00-17:30:00 --locale \
         Europe/Amsterdam --conn-type STANDARD,MQTT --subs 10 --data 1000000 --payload 4096 --bearer --proxy-required"
    );
    act(
        "operator add ACME --service-url nats://127.0.0.1:4222,tls://nats.example:4222 --account-server-url \
         https://jwt.example/jwt/v1 --assert-server-version 2.12.0 --strict --tag region:eu",
        &[],
    );
    act(
        &format!(
            "account add ORDERS --conns 100 --leaf-conns 5 --subscriptions 1000 --data 5000000 --payload 65536 --imports 7 \
             --exports 9 --wildcard-exports true --js-mem-storage 1000000 --js-disk-storage 2000000 --js-streams 5 \
             --js-consumer 50 --js-max-ack-pending 100 --js-max-mem-stream 1000 --js-max-disk-stream 2000 \
             --js-max-bytes-required {everything} --info-url https://acme.example/orders --trace-context-subject traces.in \
             --trace-context-sampling 25 --cluster-traffic owner --tag team:blue"
        ),
        &["--description", "Orders <of> all & sundry"],
    );
    act("account add TIERED --disallow-bearer --js-tier 1 --js-disk-storage 1000 --js-streams 2", &[]);
    act("account edit TIERED --js-tier 3 --js-mem-storage 500 --js-consumer 9", &[]);
    act("account add BILLING", &[]);
    for account in ["ORDERS", "TIERED", "BILLING"] {
        act(&format!("signing-key add {account}"), &[]);
    }
    act(&format!("signing-key add ORDERS --role device {personal}"), &["--description", "Things <that> measure"]);
    act("export add ORDERS new.*.orders --name orders --private --advertise", &["--description", "New ones"]);
    act(
        "export add ORDERS prices.* --service --response-type stream --response-threshold 500ms --latency latency.prices \
         --sampling 10 --account-token-position 2 --allow-trace --info-url https://acme.example/prices",
        &[],
    );
    act("export add ORDERS stock --service --response-type chunked --latency latency.stock --sampling headers", &[]);
    act("import add BILLING new.*.orders --from ORDERS --name orders --local-subject in.$1 --allow-trace", &[]);
    act("import add BILLING stock --from ORDERS --service --share --local-subject local.stock", &[]);
    act("mapping add ORDERS old.* new.$1 --weight 60", &[]);
    act("mapping add ORDERS old.* newer.$1 --weight 40", &[]);
    act("mapping add ORDERS old.* far.$1 --weight 100 --cluster east", &[]);
    act("user add ORDERS/d1 --role device --tag site:7", &[]);
    act(&format!("user add ORDERS/bob --expires 2036-01-01 --tag desk:7 {personal}"), &[]);
    act("user add ORDERS/keeper", &[]);
    act("user add ORDERS/eve", &[]);
    act("user revoke ORDERS/eve --yes", &["--reason", "left"]);
    act("account revoke BILLING --yes", &["--reason", "all of them"]);
    act("auth-callout edit ORDERS --auth-user keeper --allowed-account BILLING,TIERED --xkey generate", &[]);

    let out = place.path("out");
    act(&format!("export --nsc {} --with-seeds --yes", out.display()), &[]);
    let nsc = Nsc::on(&out).unwrap();
    nsc.ok(&["validate", "--all-accounts"]);
    // nsc revokes a user in accounts, for its other edits of an account set limits as well.
    let stranger = nkeys::KeyPair::new_user().public_key();
    let mut edits = vec![("ACME/ACME.jwt".to_owned(), format!("edit operator --tag {MARK}"))];
    for account in ["ORDERS", "TIERED", "BILLING", "SYS"] {
        let revoke = format!("revocations add-user --account {account} --user-public-key {stranger}");
        edits.push((format!("ACME/accounts/{account}/{account}.jwt"), revoke));
    }
    for user in ["d1", "bob", "keeper"] {
        let edit = format!("edit user --account ORDERS {user} --tag {MARK}");
        edits.push((format!("ACME/accounts/ORDERS/users/{user}.jwt"), edit));
    }
    for (path, edit) in edits {
        let text = || std::fs::read_to_string(out.join(&path)).unwrap();
        let ours = text();
        let before: Value = cim_keys::nats::jwt::payload(&ours).unwrap();
        nsc.ok(&edit.split(' ').collect::<Vec<_>>());
        assert_ne!(text(), ours, "{path}: nsc has signed it anew");
        let after = rewritten(&before, &text(), &stranger);
        assert_eq!(after, before, "{path}");
    }

    // An activation lies in no home. nsc does not describe the request to delete an account; servers read that one.
    let imports = place.run(&["nats", "import", "list", "BILLING"]).json();
    let activation = imports.iter().find_map(|import| import["token"]["cid"].as_str()).unwrap();
    let blocks = cim_keys::store::RestrictedBlocks::open(&place.ledger().join("restricted.db")).unwrap();
    let activation = blocks.get(&activation.parse().unwrap()).unwrap().unwrap();
    let said = nsc.describe_token(&place.file("activation.jwt", &activation));
    for part in ["Activation", "Import Subject", "new.*.orders", "Stream"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn several_operators_are_listed_and_taken_one_a_ledger() {
    let place = Place::empty();
    let Some(nsc) = home(&place) else { return };
    nsc.ok(&["add", "operator", "OTHER"]);
    nsc.ok(&["add", "account", "THEIRS"]);
    import(&place, &nsc, &[]).fails(2, &["2 operators", "ACME", "OTHER", "--operator"]);
    import(&place, &nsc, &["--operator", "NONE"]).fails(2, &["no operator \"NONE\""]);
    assert!(!place.ledger().exists());
    // A key of the other operator is no orphan; one that nothing refers to is.
    let orphan = nsc.ok(&["generate", "nkey", "--user", "--store"]);
    let orphan = orphan.split_whitespace().find(|word| word.starts_with('U') && word.len() == 56).unwrap().to_owned();
    let told = import(&place, &nsc, &["--operator", "ACME"]).json().pop().unwrap();
    assert_eq!(told["orphans"], json!([orphan]), "{told}");
    import(&place, &nsc, &["--operator", "OTHER"]).fails(2, &["ledger of its own"]);
    place.run(&["nats", "import", "--nsc", "/nonexistent"]).fails(2, &["no nsc home"]);
}

#[test]
fn links_special_files_and_mixed_up_seeds_are_left_out_and_said() {
    let place = Place::empty();
    let Some(nsc) = home(&place) else { return };
    let user = |name: &str| nsc.describe(&["user", "--account", "ORDERS", name])["sub"].as_str().unwrap().to_owned();
    let (bob, device, eve) = (user("bob"), user("d1"), user("eve"));
    for name in ["bob", "d1", "eve"] {
        std::fs::remove_file(nsc.home.join(format!("creds/ACME/ORDERS/{name}.creds"))).unwrap();
    }
    // bob's file holds another seed; that of the device is a link; eve's is a pipe that nobody writes to.
    std::fs::copy(nsc.seed(&eve), nsc.seed(&bob)).unwrap();
    let elsewhere = place.path("elsewhere.nk");
    std::fs::rename(nsc.seed(&device), &elsewhere).unwrap();
    symlink(&elsewhere, nsc.seed(&device)).unwrap();
    std::fs::remove_file(nsc.seed(&eve)).unwrap();
    assert!(Command::new("mkfifo").arg(nsc.seed(&eve)).status().unwrap().success());
    let accounts = nsc.home.join("ACME/accounts");
    symlink(accounts.join("EMPTY"), accounts.join("LINKED")).unwrap();
    let token = std::fs::read_to_string(accounts.join("ORDERS/users/bob.jwt")).unwrap();
    let cut = token.rfind('.').unwrap();
    std::fs::write(accounts.join("ORDERS/users/torn.jwt"), format!("{}.AAAA", &token[..cut])).unwrap();
    std::fs::write(accounts.join("EMPTY/users.jwt"), "x").unwrap();

    let run = import(&place, &nsc, &[]);
    let told = run.json().pop().unwrap();
    let reasons: Vec<_> =
        told["not_taken"].as_array().unwrap().iter().map(|one| one["reason"].as_str().unwrap()).collect();
    for part in ["links are not followed", "it is a link", "no ordinary file", "holds the seed of", "signature"] {
        assert!(reasons.iter().any(|reason| reason.contains(part)), "{part}: {reasons:?}");
    }
    let without: Vec<_> = told["without_seed"].as_array().unwrap().iter().map(|key| key.as_str().unwrap()).collect();
    assert!([&bob, &device, &eve].iter().all(|key| without.contains(&key.as_str())), "{without:?}");
    let (root, issuing) = place.passphrase_flags();
    place.run(&["nats", "creds", "ORDERS/bob", &root, &issuing]).fails(1, &["only the public half"]);
    // No seed of the home shows in anything that was said or recorded in plain sight.
    let seeds: Vec<_> = files(&nsc.home.join("keys"))
        .into_iter()
        .filter(|path| path.symlink_metadata().unwrap().is_file())
        .map(|path| std::fs::read_to_string(path).unwrap().trim().to_owned())
        .collect();
    assert!(seeds.len() > 5);
    for file in files(&place.ledger()) {
        let bytes = std::fs::read(&file).unwrap();
        assert!(
            seeds.iter().all(|seed| !bytes.windows(seed.len()).any(|w| w == seed.as_bytes())),
            "{}",
            file.display()
        );
    }
    assert!(seeds.iter().all(|seed| !run.stderr.contains(seed) && !run.stdout.contains(seed)));
}
