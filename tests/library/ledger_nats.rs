//! NATS identities in the ledger: what may follow what.

use cim_keys::events::*;
use cim_keys::ids::*;
use cim_keys::ledger::*;
use cim_keys::text::{Document, Label, PublicKey};
use cim_keys::time::Timestamp;

use crate::world::{World, name, note};

fn public(first: char, n: u8) -> PublicKey {
    let digit = char::from(b'A' + n);
    PublicKey::new(&format!("{first}{}", digit.to_string().repeat(55))).unwrap()
}

fn nkey(kind: NkeyKind, public_key: &PublicKey) -> NKeyGenerated {
    NKeyGenerated {
        key_id: KeyId::mint(),
        kind,
        public_key: public_key.clone(),
        compartment: Label::new("root").unwrap(),
        owner: Party::Service(Label::new("nats").unwrap()),
    }
}

struct Nats {
    world: World,
    operator: NatsOperatorCreated,
    account: NatsAccountCreated,
    user: NatsUserCreated,
}

impl Nats {
    fn new() -> Self {
        let mut world = World::default();
        let key = nkey(NkeyKind::Operator, &public('O', 0));
        world.ok(Command::Nats(NatsCommand::AddKey(key.clone())));
        let operator = NatsOperatorCreated {
            operator_id: NatsOperatorId::mint(),
            name: name("ACME"),
            key_id: key.key_id,
            public_key: key.public_key,
            system_account_id: None,
            account_server_url: None,
            service_urls: Set::default(),
            strict_signing_key_usage: false,
        };
        world.ok(Command::Nats(NatsCommand::CreateOperator(operator.clone())));
        let account = account(&mut world, &operator, "ORDERS", 1);
        let user = user(&mut world, &account, "bob", 2);
        Self { world, operator, account, user }
    }
}

fn account(world: &mut World, operator: &NatsOperatorCreated, text: &str, n: u8) -> NatsAccountCreated {
    let key = nkey(NkeyKind::Account, &public('A', n));
    world.ok(Command::Nats(NatsCommand::AddKey(key.clone())));
    let account = NatsAccountCreated {
        account_id: NatsAccountId::mint(),
        operator_id: operator.operator_id,
        name: name(text),
        key_id: key.key_id,
        public_key: key.public_key,
        description: None,
        system: text == "SYS",
    };
    world.ok(Command::Nats(NatsCommand::CreateAccount(account.clone())));
    account
}

fn user(world: &mut World, account: &NatsAccountCreated, text: &str, n: u8) -> NatsUserCreated {
    let key = nkey(NkeyKind::User, &public('U', n));
    world.ok(Command::Nats(NatsCommand::AddKey(key.clone())));
    let user = NatsUserCreated {
        user_id: NatsUserId::mint(),
        account_id: account.account_id,
        name: name(text),
        key_id: key.key_id,
        public_key: key.public_key,
        owner: None,
        bearer: false,
        expires_at: None,
    };
    world.ok(Command::Nats(NatsCommand::CreateUser(user.clone())));
    user
}

fn token(about: NatsParty, subject: &PublicKey, issuer: &PublicKey, key: KeyId, iat: u64) -> Command {
    let kind = match about {
        NatsParty::Operator(_) => JwtKind::Operator,
        NatsParty::Account(_) => JwtKind::Account,
        NatsParty::User(_) => JwtKind::User,
    };
    let jti = Label::new(&format!("J{iat}")).unwrap();
    let claims = JwtClaimsCreated {
        jti: jti.clone(),
        kind,
        about: about.clone(),
        subject: subject.clone(),
        issuer: issuer.clone(),
        issued_at: iat,
        expires_at: None,
        claims: Document::new("{}").unwrap(),
    };
    let hash = cid::multihash::Multihash::wrap(0x12, &[7; 32]).unwrap();
    let signed = JwtSigned {
        jti,
        kind,
        about,
        subject: subject.clone(),
        issuer: issuer.clone(),
        issued_at: iat,
        signing_key_id: key,
        token: Link::new(cid::Cid::new_v1(Link::RAW, hash)).unwrap(),
    };
    Command::Nats(NatsCommand::IssueToken { claims, signed })
}

#[test]
fn tokens_are_issued_by_keys_above_and_each_in_a_later_second() {
    let Nats { mut world, operator, account, user } = Nats::new();
    let about = NatsParty::User(user.user_id);
    let issue = |issuer: &PublicKey, key, iat| token(about.clone(), &user.public_key, issuer, key, iat);
    world.ok(issue(&account.public_key, account.key_id, 10));
    world.refused(issue(&account.public_key, account.key_id, 10), "later second");
    world.refused(issue(&account.public_key, account.key_id, 9), "later second");
    world.refused(issue(&operator.public_key, operator.key_id, 11), "signs no tokens");
    let entity = world.state.get(user.user_id.into()).unwrap().unwrap();
    let Facts::User(facts) = entity.facts else { panic!("a user") };
    let recorded = facts.token.unwrap();
    assert_eq!((recorded.issued_at, recorded.signed.unwrap().signing_key_id), (10, account.key_id));
}

#[test]
fn what_an_account_gives_out_is_recorded_and_is_no_identity_s_token() {
    let Nats { mut world, operator, account, .. } = Nats::new();
    let about = NatsParty::Account(account.account_id);
    world.ok(token(about.clone(), &account.public_key, &operator.public_key, operator.key_id, 10));
    let before = world.state.get(account.account_id.into()).unwrap().unwrap();
    let give = |kind: JwtKind, subject: &PublicKey, issuer: &PublicKey, key| {
        let Command::Nats(NatsCommand::IssueToken { mut claims, mut signed }) =
            token(about.clone(), subject, issuer, key, 11)
        else {
            panic!("a token")
        };
        (claims.kind, signed.kind) = (kind, kind);
        Command::Nats(NatsCommand::HandOut { claims, signed })
    };
    let stranger = public('U', 17);
    world.ok(give(JwtKind::User, &stranger, &account.public_key, account.key_id));
    world.ok(give(JwtKind::Activation, &account.public_key, &account.public_key, account.key_id));
    world.refused(give(JwtKind::Account, &account.public_key, &account.public_key, account.key_id), "signs no tokens");
    world.refused(give(JwtKind::User, &stranger, &operator.public_key, operator.key_id), "signs no tokens");
    let after = world.state.get(account.account_id.into()).unwrap().unwrap();
    assert_eq!(after.facts, before.facts);
}

#[test]
fn a_signing_key_signs_until_it_is_retired() {
    let Nats { mut world, account, user, .. } = Nats::new();
    let key = nkey(NkeyKind::Account, &public('A', 9));
    world.ok(Command::Nats(NatsCommand::AddKey(key.clone())));
    let signing = NatsSigningKeyGenerated {
        key_id: key.key_id,
        holder: NatsHolder::Account(account.account_id),
        public_key: key.public_key.clone(),
        role: Some(name("device")),
        compartment: Some(key.compartment),
    };
    world.ok(Command::Nats(NatsCommand::AddSigningKey(signing)));
    let about = NatsParty::User(user.user_id);
    world.ok(token(about.clone(), &user.public_key, &key.public_key, key.key_id, 10));
    world.ok(Command::Nats(NatsCommand::RetireSigningKey(NatsSigningKeyRetired {
        key_id: key.key_id,
        holder: NatsHolder::Account(account.account_id),
        public_key: key.public_key.clone(),
        successor_id: None,
        reason: note("rotated"),
    })));
    world.refused(token(about, &user.public_key, &key.public_key, key.key_id, 11), "signs no tokens");
}

#[test]
fn an_update_keeps_the_token_and_a_revoked_user_gives_its_name_up() {
    let Nats { mut world, account, user, .. } = Nats::new();
    world.ok(token(NatsParty::User(user.user_id), &user.public_key, &account.public_key, account.key_id, 10));
    let NatsUserCreated { user_id, account_id, key_id, public_key, .. } = user.clone();
    let update = NatsUserUpdated {
        user_id,
        account_id,
        name: name("robert"),
        key_id,
        public_key: public_key.clone(),
        owner: None,
        bearer: false,
        expires_at: None,
    };
    world.ok(Command::Nats(NatsCommand::UpdateUser(update.clone())));
    assert_eq!(world.run(Command::Nats(NatsCommand::UpdateUser(update))).unwrap(), Vec::<String>::new());
    let Facts::User(facts) = world.state.get(user_id.into()).unwrap().unwrap().facts else { panic!("a user") };
    assert_eq!((facts.user.name, facts.token.is_some()), (name("robert"), true));

    let revoked_at = Timestamp::from_unix_micros(20_000_000).unwrap();
    let revoke = NatsUserRevoked { user_id, account_id, public_key, revoked_at, reason: note("left") };
    world.ok(Command::Nats(NatsCommand::RevokeUser(revoke.clone())));
    assert!(world.run(Command::Nats(NatsCommand::RevokeUser(revoke))).unwrap().is_empty());
    assert!(!world.state.get(user_id.into()).unwrap().unwrap().is_active());
    user_again(&mut world, &account);
}

fn user_again(world: &mut World, account: &NatsAccountCreated) {
    user(world, account, "robert", 5);
}

#[test]
fn names_are_unique_by_account_without_regard_to_case() {
    let Nats { mut world, operator, account, .. } = Nats::new();
    let other = self::account(&mut world, &operator, "BILLING", 3);
    user(&mut world, &other, "bob", 4);
    let key = nkey(NkeyKind::User, &public('U', 6));
    world.ok(Command::Nats(NatsCommand::AddKey(key.clone())));
    let user = NatsUserCreated {
        user_id: NatsUserId::mint(),
        account_id: account.account_id,
        name: name("BOB"),
        key_id: key.key_id,
        public_key: key.public_key,
        owner: None,
        bearer: false,
        expires_at: None,
    };
    world.refused(Command::Nats(NatsCommand::CreateUser(user)), "bob\" is taken");
}

#[test]
fn accounts_go_last_and_the_system_account_never() {
    let Nats { mut world, operator, account, .. } = Nats::new();
    let system = self::account(&mut world, &operator, "SYS", 7);
    let delete = |account: &NatsAccountCreated| {
        let (account_id, public_key) = (account.account_id, account.public_key.clone());
        Command::Nats(NatsCommand::DeleteAccount(NatsAccountDeleted { account_id, public_key, reason: note("done") }))
    };
    world.refused(delete(&system), "never delete");
    world.refused(delete(&account), "bob");
    let give_up = Command::Nats(NatsCommand::DeleteOperator(NatsOperatorDeleted {
        operator_id: operator.operator_id,
        public_key: operator.public_key.clone(),
        reason: note("done"),
    }));
    world.refused(give_up, "ORDERS");
    let key = nkey(NkeyKind::Operator, &public('O', 8));
    world.ok(Command::Nats(NatsCommand::AddKey(key.clone())));
    let second = NatsOperatorCreated {
        operator_id: NatsOperatorId::mint(),
        name: name("OTHER"),
        key_id: key.key_id,
        public_key: key.public_key,
        ..operator
    };
    world.refused(Command::Nats(NatsCommand::CreateOperator(second)), "one operator");
}
