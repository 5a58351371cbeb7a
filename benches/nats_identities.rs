//! NATS identities: a fleet made, one of it revoked, credentials handed out; beside `nsc` in the same run.
//!
//! `cargo xtask bench nats_identities [-- USERS]`; 10,000 when nothing is said. Custody is unlocked: what a passphrase's scrypt
//! costs is a choice of the user's, and told apart.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use cim_keys::app::init::{NewLedger, init};
use cim_keys::authority::nats::accounts::{self, NewAccount};
use cim_keys::authority::nats::operators::{self, NewOperator};
use cim_keys::authority::nats::signing_keys::{self, NewSigningKey};
use cim_keys::authority::nats::users::{self, NewUser};
use cim_keys::authority::nats::{self, NatsDraft, NatsError, creds, lookup};
use cim_keys::config::Config;
use cim_keys::custody::{ISSUING, NoPassphrases, ROOT, Ring, WorkFactor};
use cim_keys::events::{Actor, Set};
use cim_keys::ids::{KeyId, NatsAccountId, NatsOperatorId, NatsUserId};
use cim_keys::nats::claims::UserPermissions;
use cim_keys::session::{Place, Session};
use cim_keys::store::RestrictedBlocks;
use cim_keys::text::{Name, Note};
use cim_keys_testkit::texts::label;
use cim_keys_testkit::tools::{NSC, tool};
use secrecy::{ExposeSecret as _, SecretString};

/// How many users `nsc` makes: one costs as much as another.
const NSC_USERS: usize = 500;
const ROUNDS: usize = 9;

fn main() {
    let users: u32 = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(10_000);
    let place = tempfile::tempdir().unwrap();
    let passphrase = || SecretString::from("a passphrase for the bench".to_owned());
    let session = make(place.path(), &passphrase);
    let custody = session.custody().unwrap();
    let start = Instant::now();
    let issuing = custody.unlock(&label(ISSUING), passphrase()).unwrap();
    println!("unlocking a compartment at the least work factor: {:.1} ms", millis(start));
    let root = custody.unlock(&label(ROOT), passphrase()).unwrap();
    let mut keys = Ring::of(custody, NoPassphrases).with_open(issuing).with_open(root);

    run(&session, &mut keys, deployment);
    let start = Instant::now();
    let mut drafted = 0.0;
    let events = run(&session, &mut keys, |draft| {
        fleet(draft, users)?;
        drafted = millis(start);
        Ok(())
    });
    let total = millis(start);
    let recorded = total - drafted;
    println!("{users} users drafted: {drafted:.0} ms; signed, sealed and recorded ({events} events): {recorded:.0} ms");
    println!("together: {total:.0} ms, {:.3} ms a user", total / f64::from(users));

    let revoke = median(|round| {
        let which = format!("ORDERS/d-{:05}", round * 3 + 1);
        let start = Instant::now();
        run(&session, &mut keys, |draft| {
            let (account, user) = lookup::user(draft.view(), &which)?;
            users::revoke(draft, &account, &user, &Note::new("the bench").unwrap())
        });
        let restricted = RestrictedBlocks::open(&session.place().restricted()).unwrap();
        let account = session.store().view(|view| lookup::account(view, "ORDERS")).unwrap().unwrap();
        assert!(creds::token(&restricted, "ORDERS", account.token.as_ref()).unwrap().starts_with("eyJ"));
        millis(start)
    });
    println!("one of {users} revoked, and the account's new token at hand: {revoke:.1} ms");
    let handed = median(|round| {
        let start = Instant::now();
        let session =
            Session::open(Place::new(place.path().join("acme"), place.path().join("state")), actor()).unwrap();
        let which = [format!("ORDERS/d-{:05}", round * 3 + 2)];
        let mut pipeline = session.pipeline().with_keys(&mut keys);
        let outcome = pipeline.act(&session.intent(), |draft| creds::hand_out(draft, &which, None)).unwrap();
        let text = outcome.value[0].content.expose_secret().to_vec();
        assert!(String::from_utf8(text).unwrap().contains("BEGIN USER NKEY SEED"));
        millis(start)
    });
    println!("credentials of one of {users} handed out, the ledger opened for it: {handed:.1} ms");
    beside_nsc(place.path(), total / f64::from(users), revoke);
}

/// The same with `nsc`, a command a user as its users do it.
fn beside_nsc(place: &Path, ours: f64, our_revocation: f64) {
    let Some(program) = tool(NSC) else { return };
    let home = place.join("nsc");
    std::fs::create_dir(&home).unwrap();
    let nsc = |args: &[&str]| {
        let mut command = Command::new(&program);
        command.env_clear().env("HOME", &home).env("PATH", "/usr/bin:/bin").arg("--all-dirs").arg(&home).args(args);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    nsc(&["add", "operator", "ACME", "--sys"]);
    nsc(&["add", "account", "ORDERS"]);
    let start = Instant::now();
    for number in 0..NSC_USERS {
        nsc(&["add", "user", "--account", "ORDERS", "--name", &format!("d-{number:05}")]);
    }
    let each = millis(start) / NSC_USERS as f64;
    println!("nsc add user: {each:.1} ms a user, {:.0} times ours", each / ours);
    let start = Instant::now();
    nsc(&["revocations", "add-user", "--account", "ORDERS", "--name", "d-00001"]);
    let revoked = millis(start);
    println!(
        "nsc revocations add-user, with {NSC_USERS} users: {revoked:.0} ms, {:.1} times ours",
        revoked / our_revocation
    );
}

fn deployment(draft: &mut NatsDraft<'_, '_>) -> Result<(), NatsError> {
    let name = |text: &str| Name::new(text).unwrap();
    let account =
        |text: &str, system| NewAccount { id: NatsAccountId::mint(), name: name(text), description: None, system };
    let operator = NewOperator {
        id: NatsOperatorId::mint(),
        name: name("ACME"),
        system_account: account("SYS", true),
        signing_key: Some(label(ISSUING)),
        strict: false,
        service_urls: Set::default(),
        account_server_url: None,
    };
    operators::add(draft, operator, &|_| {})?;
    accounts::add(draft, account("ORDERS", false), &|_| {})?;
    let orders = lookup::account(draft.view(), "ORDERS")?;
    let mut template = UserPermissions::unlimited();
    template.r#pub.allow.push("devices.{{name()}}.>".to_owned());
    let (id, role, description) = (KeyId::mint(), Some(name("device")), String::new());
    signing_keys::add(
        draft,
        &orders,
        NewSigningKey { id, role, template, description, compartment: None, public_key: None },
    )
}

fn fleet(draft: &mut NatsDraft<'_, '_>, count: u32) -> Result<(), NatsError> {
    let orders = lookup::account(draft.view(), "ORDERS")?;
    for number in 1..=count {
        let (name, signing_key) = (Name::new(&format!("d-{number:05}"))?, Some("device".to_owned()));
        let new = NewUser { name, owner: None, signing_key, expires_at: None };
        users::add(draft, &orders, NatsUserId::mint(), new, &|_| {})?;
    }
    Ok(())
}

/// An act on the NATS domain; says how many events it led to.
fn run(
    session: &Session,
    keys: &mut Ring<'_>,
    mut act: impl FnMut(&mut NatsDraft<'_, '_>) -> Result<(), NatsError>,
) -> usize {
    let mut pipeline = session.pipeline().with_keys(keys);
    pipeline.act(&session.intent(), |draft| nats::edit(draft, &mut act)).unwrap().events.len()
}

fn make(place: &Path, passphrase: &dyn Fn() -> SecretString) -> Session {
    let folders: [PathBuf; 2] = [place.join("acme"), place.join("state")];
    let new = NewLedger {
        name: Name::new("bench").unwrap(),
        actor: actor(),
        compartments: vec![(label(ROOT), passphrase()), (label(ISSUING), passphrase())],
        online_key: false,
        work: WorkFactor::new(10).unwrap(),
        config: Config::example(),
    };
    init(Place::new(&folders[0], &folders[1]), new).unwrap()
}

fn actor() -> Actor {
    Actor::System(label("bench"))
}

fn millis(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1_000.0
}

fn median(mut act: impl FnMut(usize) -> f64) -> f64 {
    let mut times: Vec<f64> = (0..ROUNDS).map(&mut act).collect();
    times.sort_by(f64::total_cmp);
    times[ROUNDS / 2]
}
