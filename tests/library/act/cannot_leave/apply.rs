//! Apply files, with keys and a fleet.

use cim_keys::act::*;
use cim_keys::app::apply::{self, ApplyError};
use cim_keys::declare;
use cim_keys::declare::{Files, Minted, Options, Request};
use cim_keys::store::Store;

use super::tokens;
use crate::act::support::vault::*;
use crate::act::support::watched::*;
use crate::act::support::*;

pub(super) struct NoFiles;

impl Files for NoFiles {
    fn read(&self, name: &str) -> Result<String, String> {
        Err(format!("{name}: no such file"))
    }
}

fn request(text: &str) -> Request {
    let manifest = declare::read(text, &NoFiles).unwrap_or_else(|error| panic!("{:#?}", error.0));
    Request { manifest, name: name("acme"), options: Options::default() }
}

const NATS: &str = include_str!("../../../../examples/nats.toml");

const KEYS: &str = r#"
[keys.build]
name = "Build signing"
purpose = "signing"
algorithm = "ecdsa-p256"
compartment = "issuing"
owner = "organization"
"#;

/// Applies a file with a key ring.
fn applied(
    ledger: &Ledger,
    ring: &mut dyn cim_keys::keys::KeyRing,
    request: &Request,
    mut between: impl FnMut(usize),
) -> Result<Vec<AppendedEvent>, ActError<cim_keys::store::JournalError, ApplyError>> {
    let (mut minted, mut drafts) = (Minted::default(), 0);
    let outcome = ledger.pipeline().with_keys(ring).act_after(
        &intent(),
        |store: &Store| apply::before(store, request),
        |draft, before| {
            let plan = apply::apply(draft, request, before, None, &mut minted);
            between(drafts);
            drafts += 1;
            plan
        },
    );
    Ok(outcome?.events)
}

#[test]
fn a_deployment_with_a_fleet_is_applied_and_changed() {
    let mut vault = Vault::new();
    let ledger = Ledger::in_ring(&mut vault);
    let (mut ring, seen) = Watched::new(vault);
    // A smaller fleet does.
    let text = NATS.replace("count = 100", "count = 9").replace("name = \"Acme Instruments\"", "name = \"Acme\"");
    let first = request(&format!("{text}\n{KEYS}"));
    // The plan makes no key and signs nothing.
    let prepared = apply::prepare(&ledger.store, first.clone()).unwrap();
    assert!(!prepared.plan.is_empty());
    assert_eq!((seen.generated(), seen.signatures()), (0, 0));

    let events = applied(&ledger, &mut ring, &first, |_| {}).unwrap();
    ledger.check();
    assert!(events.iter().all(|event| event.event.correlation_id == events[0].event.correlation_id));
    let made = seen.generated();
    let counts = tokens(&ledger, &[]);
    assert!(counts["operator"] == 1 && counts["account"] == 4 && counts["user"] >= 14, "{counts:?}");
    assert_eq!(counts["activation"], 1);
    assert!(seen.signed_once());
    assert_eq!(ledger.key("Build signing").compartment, Some(label("issuing")));

    // The same file comes to nothing, and a larger fleet to more users, made in one act although others write.
    assert_eq!(applied(&ledger, &mut ring, &first, |_| {}).unwrap().len(), 0);
    let (larger, other) = (request(&format!("{text}\n{KEYS}").replace("count = 9", "count = 12")), ledger.other());
    let (before, signed) = (tokens(&ledger, &[])["user"], seen.signatures());
    let events = applied(&ledger, &mut ring, &larger, |drafts| {
        if drafts < 2 {
            record(&other, vec![create_person(70 + drafts as u64)]);
        }
    });
    assert!(types(&events.unwrap()).contains(&"ManifestApplied"));
    ledger.check();
    assert_eq!(tokens(&ledger, &[])["user"], before + 3);
    // Three keys were made and three tokens signed, once each.
    assert_eq!((seen.generated() - made, seen.signatures() - signed), (3, 3));
    assert!(seen.signed_once());
}

#[test]
fn a_reviewed_plan_is_carried_out_where_it_was_made_and_nowhere_else() {
    let mut vault = Vault::new();
    let ledger = Ledger::in_ring(&mut vault);
    let people = "format = \"cim-keys/1\"\n[organization]\nname = \"Acme\"\n[people.ada]\nname = \"Ada\"\n";
    let first = request(people);
    let prepared = apply::prepare(&ledger.store, first.clone()).unwrap();
    let reviewed = prepared.reviewed();
    record(&ledger.other(), vec![create_person(1)]);
    let (before, mut minted) = (ledger.store.end().unwrap(), Minted::default());
    let outcome = ledger.pipeline().with_keys(&mut vault).act_after(
        &intent(),
        |store: &Store| apply::before(store, &first),
        |draft, base| apply::apply(draft, &first, base, Some(&reviewed), &mut minted),
    );
    assert!(matches!(outcome, Err(ActError::Build(ApplyError::Moved { .. }))), "{:?}", outcome.map(|it| it.events));
    assert_eq!(ledger.store.end().unwrap(), before);
    ledger.check();
}
