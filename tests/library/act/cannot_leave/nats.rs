//! NATS: operators, accounts, users and signing keys, their tokens, activations, and issuers.

use cim_keys::act::*;
use cim_keys::authority::nats::*;
use cim_keys::events::*;
use cim_keys::ids::*;
use cim_keys::keys::KeyError;
use cim_keys::nats::claims::*;
use cim_keys::nats::jwt;
use cim_keys::session::Session;

use super::tokens;
use crate::act::support::vault::*;
use crate::act::support::*;

/// Does an act on NATS identities, and checks everything.
#[track_caller]
fn nats<T>(
    ledger: &Ledger,
    vault: &mut Vault,
    mut act: impl FnMut(&mut NatsDraft<'_, '_>) -> Result<T, NatsError>,
) -> T {
    ledger.act(vault, |draft| edit(draft, &mut act).map_err(broken)).0
}

fn account(named: &str) -> accounts::NewAccount {
    accounts::NewAccount { id: NatsAccountId::mint(), name: name(named), description: None, system: false }
}

fn operator() -> operators::NewOperator {
    operators::NewOperator {
        id: NatsOperatorId::mint(),
        name: name("ACME"),
        system_account: accounts::NewAccount { system: true, ..account("SYS") },
        signing_key: Some(label("issuing")),
        strict: false,
        service_urls: Set::default(),
        account_server_url: None,
    }
}

/// An operator with the accounts ORDERS and BILLING.
fn authority(vault: &mut Vault) -> Ledger {
    let ledger = Ledger::in_ring(vault);
    let new = operator();
    nats(&ledger, vault, |draft| operators::add(draft, new.clone(), &|_| {}));
    for named in ["ORDERS", "BILLING"] {
        let new = account(named);
        nats(&ledger, vault, |draft| accounts::add(draft, new.clone(), &|_| {}));
    }
    ledger
}

fn new_user(named: &str, signing_key: Option<&str>) -> users::NewUser {
    let (signing_key, expires_at) = (signing_key.map(str::to_owned), None);
    users::NewUser { name: name(named), owner: None, signing_key, expires_at }
}

fn add_user(ledger: &Ledger, vault: &mut Vault, of: &str, named: &str, signing_key: Option<&str>) {
    let (id, new) = (NatsUserId::mint(), new_user(named, signing_key));
    nats(ledger, vault, |draft| {
        let account = lookup::account(draft.view(), of)?;
        users::add(draft, &account, id, new.clone(), &|_| {})
    });
}

fn role(named: &str) -> signing_keys::NewSigningKey {
    // A limit of zero is none.
    let template = UserPermissions { subs: -1, data: -1, payload: -1, ..UserPermissions::default() };
    signing_keys::NewSigningKey { role: Some(name(named)), template, ..signing_keys::NewSigningKey::plain() }
}

/// The claims of an account's token, out of its text.
fn token_of(ledger: &Ledger, named: &str) -> Claims<Account> {
    let facts = ledger.store.view(|view| lookup::account(view, named)).unwrap().unwrap();
    let signed = facts.token.unwrap().signed.unwrap();
    jwt::decode(&ledger.texts.get(&signed.token).unwrap().unwrap()).unwrap()
}

#[test]
fn operators_accounts_users_and_signing_keys() {
    let mut vault = Vault::new();
    let ledger = authority(&mut vault);
    let vault = &mut vault;
    let reason = note("a test");
    nats(&ledger, vault, |draft| {
        operators::edit(draft, &|_| {}, &|claims| claims.assert_server_version = "2.10.0".to_owned())
    });
    nats(&ledger, vault, |draft| {
        let account = lookup::account(draft.view(), "ORDERS")?;
        accounts::edit(draft, &account, &|it| it.description = Some(note("the shop")), &|it| it.limits.conn = 100)
    });
    assert_eq!(token_of(&ledger, "ORDERS").nats.limits.conn, 100);
    for new in [signing_keys::NewSigningKey::plain(), role("device"), role("reader")] {
        nats(&ledger, vault, |draft| {
            let account = lookup::account(draft.view(), "ORDERS")?;
            signing_keys::add(draft, &account, new.clone())
        });
    }
    add_user(&ledger, vault, "ORDERS", "plain", None);
    add_user(&ledger, vault, "ORDERS", "scale", Some("device"));
    add_user(&ledger, vault, "BILLING", "clerk", None);
    nats(&ledger, vault, |draft| {
        let (account, user) = lookup::user(draft.view(), "ORDERS/plain")?;
        users::edit(draft, &account, &user, users::SignWith::AsBefore, &|_| {}, &|it| {
            it.permissions.subs = 7;
        })
    });
    nats(&ledger, vault, |draft| {
        let account = lookup::account(draft.view(), "ORDERS")?;
        let key = signing_keys::find(draft.view(), &account, "device")?;
        signing_keys::edit(draft, &account, &key, &|scope| "A scale.".clone_into(&mut scope.description))
    });
    nats(&ledger, vault, |draft| {
        let (account, user) = lookup::user(draft.view(), "ORDERS/plain")?;
        users::rotate(draft, &account, &user, None, &reason)
    });
    nats(&ledger, vault, |draft| {
        let (account, user) = lookup::user(draft.view(), "BILLING/clerk")?;
        users::revoke(draft, &account, &user, &reason)
    });
    assert_eq!(token_of(&ledger, "BILLING").nats.revocations.len(), 1);
    nats(&ledger, vault, |draft| {
        let account = lookup::account(draft.view(), "ORDERS")?;
        let key = signing_keys::find(draft.view(), &account, "device")?;
        signing_keys::rotate(draft, &account, &key, None, &reason)
    });
    nats(&ledger, vault, |draft| {
        let account = lookup::account(draft.view(), "ORDERS")?;
        let key = signing_keys::find(draft.view(), &account, "reader")?;
        signing_keys::retire(draft, &account, &key, None, &reason)
    });
    let before = token_of(&ledger, "ORDERS").registered.iss;
    nats(&ledger, vault, |draft| operators::rotate_signing_key(draft, None, None, &reason));
    let after = token_of(&ledger, "ORDERS").registered.iss;
    assert_ne!(before, after);
    nats(&ledger, vault, |draft| {
        let account = lookup::account(draft.view(), "BILLING")?;
        revocations::add(draft, &account, "*")
    });
    nats(&ledger, vault, |draft| {
        let account = lookup::account(draft.view(), "BILLING")?;
        revocations::clear(draft, &account, &["*".to_owned()])
    });
    nats(&ledger, vault, |draft| {
        let account = lookup::account(draft.view(), "ORDERS")?;
        accounts::rotate(draft, &account, None, &reason)
    });
    nats(&ledger, vault, |draft| {
        let account = lookup::account(draft.view(), "ORDERS")?;
        accounts::reissue(draft, &account)
    });
    // Deleting signs a request to the servers.
    nats(&ledger, vault, |draft| {
        let account = lookup::account(draft.view(), "BILLING")?;
        accounts::delete(draft, &account, &reason)
    });
    ledger.store.view(|view| deletion::find(view, "BILLING")).unwrap().unwrap();
    nats(&ledger, vault, |draft| operators::delete(draft, true, &reason));
    let counts = tokens(&ledger, &[]);
    for kind in ["operator", "account", "user", "generic"] {
        assert!(counts.contains_key(kind), "{kind}: {counts:?}");
    }
}

fn export(subject: &str, private: bool) -> Export {
    Export {
        name: subject.to_owned(),
        subject: subject.to_owned(),
        r#type: ExportType::Stream,
        token_req: private,
        revocations: Revocations::default(),
        response_type: None,
        response_threshold: 0,
        service_latency: None,
        account_token_position: 0,
        advertise: false,
        allow_trace: false,
        info: Info::default(),
    }
}

fn import(ledger: &Ledger, of: &str, subject: &str) -> Import {
    let exporter = ledger.store.view(|view| lookup::account(view, of)).unwrap().unwrap();
    Import {
        name: subject.to_owned(),
        subject: subject.to_owned(),
        account: exporter.account.public_key.to_string(),
        token: ImportToken::None,
        to: String::new(),
        local_subject: String::new(),
        r#type: ExportType::Stream,
        share: false,
        allow_trace: false,
    }
}

/// The activation in an importer's token: its text, decoded.
#[track_caller]
fn activation(ledger: &Ledger, importer: &str, subject: &str) -> (String, Claims<Activation>) {
    let token = token_of(ledger, importer);
    let import = token.nats.imports.iter().find(|it| it.subject == subject).unwrap();
    let ImportToken::Text(text) = &import.token else { panic!("{import:?}") };
    let claims: Claims<Activation> = jwt::decode(text).unwrap();
    assert_eq!(
        (claims.registered.sub.as_str(), claims.nats.subject.as_str()),
        (token.registered.sub.as_str(), subject)
    );
    (text.clone(), claims)
}

#[test]
fn an_importers_token_holds_the_signed_activation() {
    let mut vault = Vault::new();
    let ledger = authority(&mut vault);
    let vault = &mut vault;
    let exports = [export("orders.new", true), export("orders.old", true), export("prices", false)];
    for export in &exports {
        nats(&ledger, vault, |draft| {
            let account = lookup::account(draft.view(), "ORDERS")?;
            sharing::add_export(draft, &account, export.clone())
        });
    }
    let orders = token_of(&ledger, "ORDERS").registered.sub;
    // Two private imports in one act, and one that needs no activation.
    let imports: Vec<_> = exports.iter().map(|it| import(&ledger, "ORDERS", &it.subject)).collect();
    let signed = vault.signatures();
    nats(&ledger, vault, |draft| {
        let account = lookup::account(draft.view(), "BILLING")?;
        imports.iter().try_for_each(|import| sharing::add_import(draft, &account, import.clone()))
    });
    // Two activations, one account, and the head.
    assert_eq!(vault.signatures() - signed, 4);
    let (new, claims) = activation(&ledger, "BILLING", "orders.new");
    assert_eq!(claims.registered.iss, orders);
    let (old, _) = activation(&ledger, "BILLING", "orders.old");
    assert_ne!(new, old);
    // Their texts are kept, and put back into each later token.
    nats(&ledger, vault, |draft| {
        let account = lookup::account(draft.view(), "BILLING")?;
        accounts::edit(draft, &account, &|it| it.description = Some(note("invoices")), &|_| {})
    });
    assert_eq!(activation(&ledger, "BILLING", "orders.new").0, new);
    nats(&ledger, vault, |draft| {
        let account = lookup::account(draft.view(), "BILLING")?;
        sharing::delete_import(draft, &account, "orders.old")
    });
    assert_eq!(activation(&ledger, "BILLING", "orders.new").0, new);
    // An export and its import in one act.
    let shared = import(&ledger, "BILLING", "invoices");
    nats(&ledger, vault, |draft| {
        let (billing, orders) = (lookup::account(draft.view(), "BILLING")?, lookup::account(draft.view(), "ORDERS")?);
        sharing::add_export(draft, &billing, export("invoices", true))?;
        sharing::add_import(draft, &orders, shared.clone())
    });
    activation(&ledger, "ORDERS", "invoices");
    // One that is handed out is kept as well.
    let text = nats(&ledger, vault, |draft| {
        let orders = lookup::account(draft.view(), "ORDERS")?;
        let importer = lookup::account(draft.view(), "BILLING")?.account.public_key;
        sharing::activate(draft, &orders, importer.as_str(), "orders.new", ExportType::Stream, None)
    });
    let text = text.text.take().unwrap();
    jwt::decode::<Activation>(&text).unwrap();
    assert_eq!(tokens(&ledger, &[])["activation"], 4);
}

#[test]
fn an_activation_is_signed_once_although_others_write() {
    let mut vault = Vault::new();
    let ledger = authority(&mut vault);
    let other = ledger.other();
    nats(&ledger, &mut vault, |draft| {
        let account = lookup::account(draft.view(), "ORDERS")?;
        sharing::add_export(draft, &account, export("orders.new", true))
    });
    let import = import(&ledger, "ORDERS", "orders.new");
    let (signed, mut drafts) = (vault.signatures(), 0);
    let outcome = ledger.pipeline().with_keys(&mut vault).act(&intent(), |draft| {
        edit(draft, |nats| {
            let account = lookup::account(nats.view(), "BILLING")?;
            sharing::add_import(nats, &account, import.clone())?;
            drafts += 1;
            if drafts < 4 {
                record(&other, vec![create_person(drafts)]);
            }
            Ok(())
        })
    });
    assert_eq!(types(&outcome.unwrap().events).iter().filter(|it| **it == "JwtSigned").count(), 2);
    // The activation, the account and the head.
    assert_eq!((drafts, vault.signatures() - signed), (4, 3));
    activation(&ledger, "BILLING", "orders.new");
    ledger.check();
    tokens(&ledger, &[]);
}

#[test]
fn external_authorization_with_a_key_that_encrypts() {
    let mut vault = Vault::new();
    let ledger = authority(&mut vault);
    add_user(&ledger, &mut vault, "ORDERS", "callout", None);
    let (_, user) = ledger.store.view(|view| lookup::user(view, "ORDERS/callout")).unwrap().unwrap();
    let users = [user.user.public_key.to_string()];
    nats(&ledger, &mut vault, |draft| {
        let account = lookup::account(draft.view(), "ORDERS")?;
        auth_callout::set(draft, &account, Some(&users), None, Some(&auth_callout::Xkey::Generated))
    });
    let first = token_of(&ledger, "ORDERS").nats.authorization.xkey;
    assert!(jwt::is_public_key(&first, &['X']), "{first}");
    nats(&ledger, &mut vault, |draft| {
        let account = lookup::account(draft.view(), "ORDERS")?;
        auth_callout::rotate_xkey(draft, &account, &note("a test"))
    });
    assert_ne!(token_of(&ledger, "ORDERS").nats.authorization.xkey, first);
    tokens(&ledger, &[]);
}

#[test]
fn credentials_and_seeds_cannot_leave() {
    let mut vault = Vault::new();
    let ledger = authority(&mut vault);
    add_user(&ledger, &mut vault, "ORDERS", "ann", None);
    let end = ledger.store.end().unwrap();
    let mut pipeline = ledger.pipeline().with_keys(&mut vault);
    let refused = pipeline.act(&intent(), |draft| creds::hand_out(draft, &["ORDERS/ann".to_owned()], None)).err();
    let Some(ActError::Build(NatsError::Key(error @ KeyError::CannotLeave(_)))) = refused else {
        panic!("credentials left");
    };
    drop(pipeline);
    assert_eq!(ledger.store.end().unwrap(), end);
    assert!(error.to_string().contains("cannot leave"));
    let mut pipeline = ledger.pipeline().with_keys(&mut vault);
    let mut export = |seeds| pipeline.act(&intent(), |draft| nsc::export(draft, seeds));
    let refused = export(nsc::Seeds::Plaintext).err().unwrap();
    assert!(refused.to_string().contains("cannot leave"), "{refused}");
    // Tokens alone leave.
    let exported = export(nsc::Seeds::Without).unwrap().value;
    assert_eq!((exported.accounts, exported.users), (3, 1));
}

#[test]
fn an_issuer_signs_users_for_a_while() {
    let mut vault = Vault::new();
    let (ledger, issuer) = (authority(&mut vault), Ledger::in_ring(&mut vault));
    let of = |named: &str| {
        let facts = ledger.store.view(|view| lookup::account(view, named)).unwrap().unwrap().account;
        issuer::Elsewhere { name: facts.name, public_key: facts.public_key }
    };
    let facts = ledger.store.view(lookup::operator).unwrap().unwrap().operator;
    let new = issuer::NewIssuer {
        operator: issuer::Elsewhere { name: facts.name, public_key: facts.public_key },
        account: of("ORDERS"),
        role: name("device"),
        compartment: None,
    };
    let key = nats(&issuer, &mut vault, |draft| issuer::add(draft, &new));
    // The authority takes the public half.
    let role = signing_keys::NewSigningKey { public_key: Some(key.clone()), ..role("device") };
    nats(&ledger, &mut vault, |draft| {
        let account = lookup::account(draft.view(), "ORDERS")?;
        signing_keys::add(draft, &account, role.clone())
    });
    let wanted = issuer::Wanted {
        public_key: nkeys::KeyPair::new_user().public_key(),
        ttl_secs: 600,
        name: Some("scale-1".to_owned()),
        role: None,
    };
    let (mut drafts, other) = (0, issuer.other());
    let outcome = issuer.pipeline().with_keys(&mut vault).act(&intent(), |draft| {
        drafts += 1;
        if drafts == 1 {
            record(&other, vec![create_person(1)]);
        }
        let mut nats = NatsDraft::on(draft).map_err(issuer::IssueError::from)?;
        let issued = issuer::issue(&mut nats, &label("issuing"), 3_600, &wanted)?;
        nats.finish()?;
        Ok::<_, issuer::IssueError>(issued)
    });
    let text = outcome.unwrap().value.token.take().unwrap();
    let claims: Claims<User> = jwt::decode(&text).unwrap();
    assert_eq!((claims.registered.iss, claims.registered.sub), (key.to_string(), wanted.public_key.clone()));
    assert_eq!(claims.registered.exp - claims.registered.iat, 600);
    issuer.check();
    // The text is handed out, and kept nowhere.
    assert_eq!(tokens(&issuer, std::slice::from_ref(&text))["user"], 1);
    assert!(issuer.texts.get(&cim_keys::ipld_support::cid_of_blob(text.as_bytes())).unwrap().is_none());
}

#[test]
fn an_agent_serves_a_key_that_cannot_leave() {
    let mut vault = Vault::new();
    let (ledger, issuer) = (authority(&mut vault), Ledger::in_ring(&mut vault));
    let facts = ledger.store.view(|view| lookup::account(view, "ORDERS")).unwrap().unwrap().account;
    let operator = ledger.store.view(lookup::operator).unwrap().unwrap().operator;
    let new = issuer::NewIssuer {
        operator: issuer::Elsewhere { name: operator.name, public_key: operator.public_key },
        account: issuer::Elsewhere { name: facts.name, public_key: facts.public_key },
        role: name("device"),
        compartment: None,
    };
    let key = nats(&issuer, &mut vault, |draft| issuer::add(draft, &new));
    let session = Session::from_store(issuer.place(), issuer.other(), intent().actor);
    let until = cim_keys::time::Timestamp::from_unix_micros(i64::from(u32::MAX) * 1_000_000).unwrap();
    let mut agent = agent::Agent::new(session, label("issuing"), vault.clone(), 3_600, until).unwrap();
    let user = nkeys::KeyPair::new_user().public_key();
    let line = format!("{{\"do\":\"issue\",\"public_key\":\"{user}\",\"ttl_secs\":600}}");
    let answer = agent.answer(line.as_bytes());
    let agent::Answer::Issued(token) = answer else { panic!("{answer:?}") };
    let claims: Claims<User> = jwt::decode(&token.token).unwrap();
    assert_eq!((claims.registered.iss, claims.registered.sub), (key.to_string(), user));
    drop(agent);
    issuer.check();
}
