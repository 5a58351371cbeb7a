//! Plans against a ledger in memory.
#![allow(clippy::unwrap_used)]

use super::base::Base;
use super::plan::Minted;
use super::planner::{Planned, plan};
use super::steps::Act;
use super::*;
use crate::authority::nats::section::NatsSection;
use crate::events::*;
use crate::ids::{CorrelationId, EventId};
use crate::ledger::{Cause, Command, EventDraft, Facts, Kind, State, View, decide_all};
use crate::text::{Label, Name, Note, PublicKey};
use crate::time::Timestamp;

struct NoFiles;

impl Files for NoFiles {
    fn read(&self, name: &str) -> Result<String, String> {
        Err(format!("{name}: no such file"))
    }
}

#[derive(Default)]
struct World {
    state: State,
    base: Option<Base>,
    clock: i64,
}

impl World {
    fn record(&mut self, commands: &[Command]) -> usize {
        let drafts = decide_all(&self.state, commands).unwrap_or_else(|(index, refusal)| {
            panic!("{refusal}: {:?}", commands[index]);
        });
        let mut cids = Vec::new();
        for EventDraft { data, causes } in drafts {
            self.clock += 1;
            let cause = |cause: Cause| match cause {
                Cause::Recorded(cid) => cid,
                Cause::Earlier(index) => cids[index],
            };
            let event = KeyEvent {
                id: EventId::mint(),
                data,
                occurred_at: Timestamp::from_unix_micros(self.clock).unwrap(),
                actor: Actor::System(Label::new("test").unwrap()),
                correlation_id: CorrelationId::mint(),
                causes: causes.into_iter().map(cause).map(|cid| Link::new(cid).unwrap()).collect(),
            };
            let cid = crate::ipld_support::generate_cid(&event).unwrap();
            self.state.fold(&event, cid).unwrap();
            cids.push(cid);
        }
        cids.len()
    }

    fn try_plan(&self, body: &str, options: Options) -> Result<Planned, PlanError> {
        let text = format!("format = \"cim-keys/1\"\n[organization]\nname = \"Acme\"\n{body}");
        let manifest = read(&text, &NoFiles).unwrap_or_else(|error| panic!("{:#?}", error.0));
        plan(
            &self.state,
            &[&NatsSection],
            &manifest,
            self.base.as_ref(),
            options,
            &Name::new("acme").unwrap(),
            &mut Minted::default(),
        )
    }

    fn apply_with(&mut self, body: &str, options: Options) -> Plan {
        let planned = self.try_plan(body, options).unwrap();
        let mut commands = Vec::new();
        for act in &planned.acts {
            match act {
                Act::MakeKey { key_id, key, owner, location_id } => commands.push(Command::GenerateKey(KeyGenerated {
                    key_id: *key_id,
                    name: key.name.clone(),
                    algorithm: key.algorithm,
                    encoding: KeyEncoding::Spki,
                    public_key: PublicKey::new(&format!(
                        "MCowBQYDK2VwAyEA{:032x}AAAAAAAAAAA=",
                        key_id.as_uuid().as_u128()
                    ))
                    .unwrap(),
                    purpose: key.purpose,
                    owner: owner.clone(),
                    compartment: key.compartment.clone(),
                    validity: key.validity,
                    location_id: *location_id,
                })),
                other => commands.extend(other.commands().unwrap()),
            }
        }
        self.record(&commands);
        let block = planned.next.to_block().unwrap();
        assert_eq!(Base::from_block(&block).unwrap(), planned.next);
        self.base = Some(planned.next);
        planned.plan
    }

    fn apply(&mut self, body: &str) -> Plan {
        self.apply_with(body, Options::default())
    }

    fn all(&self, kind: Kind) -> Vec<(String, &'static str)> {
        let list = self.state.list(kind, None, 1_000).unwrap();
        list.iter().map(|it| (it.facts.name().map_or_else(String::new, ToString::to_string), it.status())).collect()
    }

    fn person(&self, name: &str) -> PersonCreated {
        let found = self.state.list(Kind::Person, None, 1_000).unwrap().into_iter().find_map(|it| match it.facts {
            Facts::Person(person) if person.name.as_str() == name => Some(person),
            _ => None,
        });
        found.unwrap()
    }
}

const PRUNE: Options = Options { prune: true, reinstate: false };
const REINSTATE: Options = Options { prune: false, reinstate: true };

const TEAM: &str = r#"
[units.platform]
name = "Platform"
parent = "engineering"
[units.engineering]
name = "Engineering"
[roles.officer]
name = "Officer"
permissions = ["key.*"]
excludes = ["auditor"]
[roles.auditor]
name = "Auditor"
permissions = ["ledger.read"]
[people.ada]
name = "Ada"
email = "ada@acme.example"
unit = "platform"
title = "Engineer"
roles = ["officer"]
"#;

const BOB: &str = r#"
[people.bob]
name = "Bob"
email = "bob@acme.example"
roles = ["auditor"]
"#;

#[test]
fn a_second_time_nothing_is_to_be_done() {
    let mut world = World::default();
    let plan = world.apply(TEAM);
    assert_eq!((plan.count(Action::Add), plan.steps.len()), (7, 7));
    let base = world.base.clone();
    let plan = world.apply(TEAM);
    assert_eq!(plan, Plan::default());
    assert_eq!(world.base, base);
}

#[test]
fn the_example_applies_and_is_then_in_place() {
    struct Examples;
    impl Files for Examples {
        fn read(&self, name: &str) -> Result<String, String> {
            std::fs::read_to_string(format!("{}/examples/{name}", env!("CARGO_MANIFEST_DIR")))
                .map_err(|e| e.to_string())
        }
    }
    let manifest = read(include_str!("../../examples/acme.toml"), &Examples).unwrap();
    let name = Name::new("acme").unwrap();
    let planned =
        plan(&State::new(), &[&NatsSection], &manifest, None, Options::default(), &name, &mut Minted::default())
            .unwrap();
    let made: Vec<_> = planned.acts.iter().flat_map(|act| act.commands().unwrap()).collect();
    assert!(decide_all(&State::new(), &made).is_ok());
    assert_eq!(planned.plan.steps.len(), 1 + 5 + 4 + 5 + 12 + 8 + 2 + 4 + 5);
}

#[test]
fn changes_are_named_as_people_read_them() {
    let mut world = World::default();
    world.apply(TEAM);
    let plan =
        world.apply(&TEAM.replace("\"Engineer\"", "\"Lead\"").replace("unit = \"platform\"", "unit = \"engineering\""));
    assert_eq!(plan.steps.len(), 1);
    let shown: Vec<_> = plan.steps[0].changes.iter().map(|c| format!("{} {:?} {:?}", c.field, c.from, c.to)).collect();
    assert_eq!(
        shown,
        [
            "title Some(\"\\\"Engineer\\\"\") Some(\"\\\"Lead\\\"\")",
            "unit Some(\"units.platform\") Some(\"units.engineering\")"
        ]
    );
    assert_eq!(world.person("Ada").title.unwrap().as_str(), "Lead");
}

#[test]
fn what_left_the_file_is_proposed_until_it_is_pruned() {
    let mut world = World::default();
    world.apply(&format!("{TEAM}{BOB}"));
    for _ in 0..2 {
        let plan = world.apply(TEAM);
        assert!(plan.is_empty(), "{plan:#?}");
        assert_eq!(plan.proposed.len(), 2, "{plan:#?}");
    }
    let plan = world.apply_with(TEAM, PRUNE);
    assert_eq!(plan.count(Action::End), 1, "{plan:#?}");
    assert!(world.all(Kind::Person).contains(&("Bob".into(), "deactivated")));
    assert_eq!(world.apply(TEAM), Plan::default());
}

#[test]
fn yesterdays_file_brings_nobody_back() {
    let mut world = World::default();
    let yesterday = format!("{TEAM}{BOB}");
    world.apply(&yesterday);
    world.apply_with(TEAM, PRUNE);
    let plan = world.apply(&yesterday);
    assert!(plan.is_empty(), "{plan:#?}");
    assert_eq!(plan.kept_out.len(), 2, "the person and the role: {plan:#?}");
    // Also when what was applied is not remembered.
    world.base = None;
    let plan = world.apply(&yesterday);
    assert!(plan.is_empty(), "{plan:#?}");
    assert_eq!(plan.kept_out.len(), 2, "{plan:#?}");
    let plan = world.apply_with(&yesterday, REINSTATE);
    assert_eq!((plan.count(Action::Reinstate), plan.count(Action::Add)), (1, 1), "{plan:#?}");
    assert!(world.all(Kind::Person).contains(&("Bob".into(), "active")));
    assert_eq!(world.apply(&yesterday), Plan::default());
}

#[test]
fn a_leaver_who_stays_in_the_file() {
    let mut world = World::default();
    world.apply(&format!("{TEAM}{BOB}"));
    let left = BOB.replace("roles = [\"auditor\"]", "left = \"Retired\"");
    let plan = world.apply_with(&format!("{TEAM}{left}"), PRUNE);
    assert_eq!(plan.steps.len(), 1, "{plan:#?}");
    assert_eq!(plan.steps[0].reason.as_deref(), Some("Retired"));
    assert_eq!(world.apply(&format!("{TEAM}{left}")), Plan::default());
    assert_eq!(world.apply(&format!("{TEAM}{BOB}")).kept_out.len(), 2);
}

#[test]
fn what_was_changed_by_hand_stays_and_a_conflict_is_told() {
    let mut world = World::default();
    world.apply(TEAM);
    let mut ada = world.person("Ada");
    ada.title = Some(Name::new("Principal").unwrap());
    let fields = serde_json::to_value(&ada).unwrap();
    world.record(&[Command::UpdatePerson(serde_json::from_value(fields).unwrap())]);
    let plan = world.apply(TEAM);
    assert!(plan.is_empty());
    assert_eq!(plan.kept.len(), 1);
    // Another attribute may change all the same.
    let moved = TEAM.replace("unit = \"platform\"", "unit = \"engineering\"");
    let plan = world.apply(&moved);
    assert_eq!(plan.steps.len(), 1);
    assert_eq!(world.person("Ada").title.unwrap().as_str(), "Principal");
    let Err(PlanError::Conflicts(conflicts)) =
        world.try_plan(&moved.replace("\"Engineer\"", "\"Lead\""), Options::default())
    else {
        panic!("no conflict");
    };
    assert!(conflicts[0].text.contains("\"Principal\"") && conflicts[0].text.contains("\"Lead\""), "{conflicts:?}");
    // Once the file says what the ledger says, all is well.
    assert!(world.apply(&moved.replace("\"Engineer\"", "\"Principal\"")).is_empty());
}

#[test]
fn what_is_recorded_already_is_recognised() {
    let mut world = World::default();
    world.apply(TEAM);
    world.base = None;
    assert_eq!(world.apply(TEAM), Plan::default());
}

#[test]
fn keys_are_made_once_and_never_changed() {
    let key = "[keys.k]\nname = \"K\"\nalgorithm = \"ed25519\"\npurpose = \"signing\"\nowner = \"person:ada\"\n";
    let mut world = World::default();
    world.apply(&format!("{TEAM}{key}"));
    assert_eq!(world.apply(&format!("{TEAM}{key}")), Plan::default());
    world.base = None;
    assert_eq!(world.apply(&format!("{TEAM}{key}")), Plan::default());
    let other = key.replace("ed25519", "ecdsa-p256");
    assert!(matches!(world.try_plan(&format!("{TEAM}{other}"), Options::default()), Err(PlanError::Conflicts(_))));
    let Facts::Key(facts) = world.state.list(Kind::Key, None, 1).unwrap().remove(0).facts else { panic!() };
    let note = Some(Note::new("lost").unwrap());
    let reason = RevocationReason::KeyCompromise;
    world.record(&[Command::RevokeKey { key_id: facts.key_id, reason, note, invalid_since: None }]);
    let plan = world.apply_with(&format!("{TEAM}{key}"), REINSTATE);
    assert!(plan.is_empty() && plan.kept_out.len() == 1, "{plan:#?}");
}

#[test]
fn assignments_and_relationships_are_replaced() {
    let body = format!(
        "{TEAM}[assignments.limited]\nperson = \"ada\"\nrole = \"officer\"\nscope = \"unit:platform\"\nnot_after = 2030-01-01\n\
         [delegations.d]\nfrom = \"organization\"\nto = \"person:ada\"\npermissions = [\"key.rotate\"]\n"
    );
    let mut world = World::default();
    world.apply(&body);
    let plan = world.apply(&body.replace("2030-01-01", "2031-01-01").replace("key.rotate", "key.*"));
    assert_eq!(plan.count(Action::Change), 2, "{plan:#?}");
    assert_eq!(plan.steps.len(), 2);
    let again = world.apply(&body.replace("2030-01-01", "2031-01-01").replace("key.rotate", "key.*"));
    assert_eq!(again, Plan::default());
}

#[test]
fn a_whole_tree_is_pruned_from_the_leaves() {
    let mut world = World::default();
    let places = "[locations.site]\nname = \"Site\"\nkind = \"site\"\n[locations.room]\nname = \"Room\"\nkind = \"room\"\nwithin = \"site\"\n";
    world.apply(&format!("{TEAM}{BOB}{places}"));
    let plan = world.apply_with("", PRUNE);
    // ada, bob, two roles, two units, two locations; their roles end with them
    assert_eq!(plan.count(Action::End), 8, "{plan:#?}");
    assert!(world.all(Kind::Unit).iter().all(|(_, status)| *status == "dissolved"));
    assert!(world.all(Kind::Assignment).iter().all(|(_, status)| *status != "active"));
}
