//! A restored ledger goes on under a new key that is in a vault, vouched for by the old one.

use cim_keys::act::*;
use cim_keys::app::recover::{Beginning, begin_with};
use cim_keys::keys::KeyRing as _;
use cim_keys::session::Place;
use cim_keys::session::heads::key_chain;
use cim_keys::store::*;
use cim_keys::time::Timestamp;

use crate::act::support::vault::*;
use crate::act::support::*;

#[test]
fn a_restored_ledger_goes_on_under_a_key_that_cannot_leave() {
    for vouched in [true, false] {
        let mut vault = Vault::new();
        let ledger = Ledger::in_ring(&mut vault);
        ledger.act(&mut vault, |draft| Ok(draft.command(create_person(1))?));
        let folder = tempfile::TempDir::with_prefix("cim-keys-restored-").unwrap();
        let place = Place::new(folder.path(), folder.path().join("tokens"));
        ledger.store.copy_to(&place.database()).unwrap();
        let (at, events) = (Timestamp::now(), ledger.store.end().unwrap());
        mark_restored(&place.database(), &Restoration { backed_up_at: at, restored_at: at, events }).unwrap();

        let old_key = vouched.then(|| vault.signer(&ledger.own_key).unwrap());
        let beginning = Beginning {
            actor: intent().actor,
            reason: note("the old machine is gone"),
            old_key,
            accept_loss: false,
            accept_clock: true,
        };
        let recovered = begin_with(place, &mut vault, beginning).unwrap();
        let store = recovered.session.store();
        assert_ne!(recovered.key, recovered.previous);
        recovered.head.verify(&recovered.key).unwrap();
        assert_eq!(recovered.head.size(), store.end().unwrap());
        let types: Vec<_> =
            store.iter(events + 1).map(|it| it.unwrap().event().unwrap().data.event_type().to_owned()).collect();
        assert_eq!(types.iter().filter(|it| *it == "EventAttested").count(), usize::from(vouched));
        assert!(types.contains(&"LedgerKeyRotated".to_owned()));
        // Who trusts the old key follows where it vouches for the new one.
        let chain = key_chain(store, recovered.previous.clone()).unwrap();
        assert_eq!(chain.verify(&recovered.head).is_ok(), vouched);
        assert!(store.verify(&mut |_, _| {}).ok());
        // The ledger goes on.
        let intent = Intent { accept_clock: true, ..recovered.session.intent() };
        let outcome = recovered.session.pipeline().with_keys(&mut vault).act(&intent, |draft| generate(draft, "new"));
        assert!(matches!(outcome.unwrap().head, Head::Signed { .. }));
        assert!(store.verify(&mut |_, _| {}).ok());
    }
}
