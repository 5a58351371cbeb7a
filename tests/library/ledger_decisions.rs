//! What may follow what: decisions, refusals, and what the events of a decision make of the state.

use cim_keys::events::*;
use cim_keys::ids::*;
use cim_keys::ledger::*;
use cim_keys::text::{EmailAddress, Label, Permission, PublicKey, Recipient};
use cim_keys::time::Timestamp;

use crate::world::{World, name, note};

fn organization(text: &str) -> OrganizationCreated {
    OrganizationCreated { organization_id: OrganizationId::mint(), name: name(text), domain: None, description: None }
}

fn unit(organization_id: OrganizationId, parent_id: Option<UnitId>, text: &str) -> OrganizationalUnitCreated {
    let unit_id = UnitId::mint();
    OrganizationalUnitCreated { unit_id, organization_id, parent_id, name: name(text), description: None }
}

fn unit_update(unit: &OrganizationalUnitCreated) -> OrganizationalUnitUpdated {
    let OrganizationalUnitCreated { unit_id, organization_id, parent_id, name, description } = unit.clone();
    OrganizationalUnitUpdated { unit_id, organization_id, parent_id, name, description }
}

fn person(organization_id: OrganizationId, text: &str, email: &str) -> PersonCreated {
    PersonCreated {
        person_id: PersonId::mint(),
        organization_id,
        unit_id: None,
        location_id: None,
        name: name(text),
        email: Some(EmailAddress::new(email).unwrap()),
        title: None,
    }
}

fn role(organization_id: OrganizationId, text: &str, excludes: &[RoleId]) -> RoleCreated {
    RoleCreated {
        role_id: RoleId::mint(),
        organization_id,
        name: name(text),
        description: None,
        permissions: [Permission::new("key.rotate").unwrap()].into_iter().collect(),
        excludes: excludes.iter().copied().collect(),
    }
}

fn assignment(role: &RoleCreated, person: &PersonCreated) -> RoleAssigned {
    RoleAssigned {
        assignment_id: RoleAssignmentId::mint(),
        role_id: role.role_id,
        person_id: person.person_id,
        scope: None,
        validity: Validity::ALWAYS,
    }
}

fn key(owner: Party, text: &str, public: char) -> KeyGenerated {
    KeyGenerated {
        key_id: KeyId::mint(),
        name: name(text),
        algorithm: KeyAlgorithm::Ed25519,
        encoding: KeyEncoding::Spki,
        public_key: PublicKey::new(&public.to_string().repeat(60)).unwrap(),
        purpose: KeyPurpose::Signing,
        owner,
        compartment: Label::new("issuing").unwrap(),
        validity: Validity::ALWAYS,
        location_id: None,
    }
}

#[test]
fn people_come_go_and_come_back() {
    let mut world = World::default();
    let acme = organization("Acme");
    world.ok(Command::CreateOrganization(acme.clone()));
    world.refused(Command::CreateOrganization(organization("ACME")), "taken");
    let kim = person(acme.organization_id, "Kim", "kim@acme.example");
    world.ok(Command::CreatePerson(kim.clone()));
    world.refused(Command::CreatePerson(kim.clone()), "recorded already");
    world.refused(Command::CreatePerson(person(acme.organization_id, "Kim Two", "KIM@acme.example")), "taken");
    world.refused(Command::CreatePerson(person(OrganizationId::mint(), "X", "x@acme.example")), "not recorded");
    // People may share a name.
    world.ok(Command::CreatePerson(person(acme.organization_id, "Kim", "kim.other@acme.example")));

    let officer = role(acme.organization_id, "Officer", &[]);
    world.ok(Command::CreateRole(officer.clone()));
    let held = assignment(&officer, &kim);
    world.ok(Command::AssignRole(held.clone()));
    world.refused(Command::AssignRole(assignment(&officer, &kim)), "taken");

    let leave = PersonDeactivated { person_id: kim.person_id, reason: note("left") };
    world.ok(Command::DeactivatePerson(leave.clone()));
    world.refused(Command::DeactivatePerson(leave), "was deactivated on 1970-01-01");
    world.refused(Command::AssignRole(assignment(&officer, &kim)), "was deactivated");
    let assignment_now = world.state.get(held.assignment_id.into()).unwrap().unwrap();
    assert_eq!(assignment_now.status(), "withdrawn");

    // The address is free for a newcomer, and then the leaver can't come back to it.
    let newcomer = person(acme.organization_id, "Kim New", "kim@acme.example");
    world.ok(Command::CreatePerson(newcomer.clone()));
    let back = PersonReactivated { person_id: kim.person_id, reason: note("back") };
    world.refused(Command::ReactivatePerson(back.clone()), "kim@acme.example is taken by person \"Kim New\"");
    let found = world.state.find(&NameKey::email(kim.email.as_ref().unwrap()), 10).unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].entity_ref(), newcomer.person_id.into(), "whoever holds the address comes first");

    world.ok(Command::DeactivatePerson(PersonDeactivated { person_id: newcomer.person_id, reason: note("no") }));
    world.ok(Command::ReactivatePerson(back.clone()));
    world.refused(Command::ReactivatePerson(back), "is active");
    assert!(world.state.get(kim.person_id.into()).unwrap().unwrap().is_active());
    let still = world.state.get(held.assignment_id.into()).unwrap().unwrap();
    assert_eq!(still.status(), "withdrawn", "roles do not come back by themselves");
}

#[test]
fn units_nest_without_cycles_and_end_when_empty() {
    let mut world = World::default();
    let (acme, other) = (organization("Acme"), organization("Other"));
    world.ok(Command::CreateOrganization(acme.clone()));
    world.ok(Command::CreateOrganization(other.clone()));
    let top = unit(acme.organization_id, None, "Top");
    let middle = unit(acme.organization_id, Some(top.unit_id), "Middle");
    let bottom = unit(acme.organization_id, Some(middle.unit_id), "Bottom");
    for unit in [&top, &middle, &bottom] {
        world.ok(Command::CreateUnit(unit.clone()));
    }
    let nothing = world.run(Command::UpdateUnit(unit_update(&top))).unwrap();
    assert!(nothing.is_empty(), "what is so already leads to no event");

    let mut cycle = unit_update(&top);
    cycle.parent_id = Some(bottom.unit_id);
    world.refused(Command::UpdateUnit(cycle.clone()), "can't be inside unit \"Bottom\"");
    cycle.parent_id = Some(top.unit_id);
    world.refused(Command::UpdateUnit(cycle), "can't be inside");
    world.refused(
        Command::CreateUnit(unit(other.organization_id, Some(top.unit_id), "Foreign")),
        "different organizations",
    );
    let mut moved = unit_update(&bottom);
    moved.organization_id = other.organization_id;
    world.refused(Command::UpdateUnit(moved), "can't move to another organization");

    let dissolve = |unit: &OrganizationalUnitCreated| {
        Command::DissolveUnit(OrganizationalUnitDissolved { unit_id: unit.unit_id, reason: note("merged") })
    };
    world.refused(dissolve(&middle), "while unit \"Bottom\" depends on it");
    world.ok(dissolve(&bottom));
    world.ok(dissolve(&middle));
    world.refused(dissolve(&middle), "was dissolved");
    world.refused(Command::CreateUnit(unit(acme.organization_id, Some(middle.unit_id), "Late")), "was dissolved");
    // Its name is free again.
    world.ok(Command::CreateUnit(unit(acme.organization_id, None, "Middle")));

    let mut parent = top.unit_id;
    let mut result = Ok(Vec::new());
    for level in 0..70 {
        let next = unit(acme.organization_id, Some(parent), &format!("Level {level}"));
        parent = next.unit_id;
        result = world.run(Command::CreateUnit(next));
        if result.is_err() {
            break;
        }
    }
    assert!(result.unwrap_err().to_string().contains("64 levels"));
}

#[test]
fn duties_stay_separate() {
    let mut world = World::default();
    let acme = organization("Acme");
    world.ok(Command::CreateOrganization(acme.clone()));
    let kim = person(acme.organization_id, "Kim", "kim@acme.example");
    world.ok(Command::CreatePerson(kim.clone()));
    let signer = role(acme.organization_id, "Signer", &[]);
    let auditor = role(acme.organization_id, "Auditor", &[signer.role_id]);
    let clerk = role(acme.organization_id, "Clerk", &[]);
    for role in [&signer, &auditor, &clerk] {
        world.ok(Command::CreateRole(role.clone()));
    }
    let held = assignment(&signer, &kim);
    world.ok(Command::AssignRole(held.clone()));
    world.refused(Command::AssignRole(assignment(&auditor, &kim)), "may not hold role \"Auditor\"");
    world.ok(Command::AssignRole(assignment(&clerk, &kim)));
    let RoleCreated { role_id, organization_id, name, description, permissions, .. } = clerk.clone();
    let excludes = [signer.role_id].into_iter().collect();
    let narrowed = RoleUpdated { role_id, organization_id, name, description, permissions, excludes };
    world.refused(Command::UpdateRole(narrowed.clone()), "may not hold role \"Clerk\"");
    world.ok(Command::WithdrawRole { assignment_id: held.assignment_id, reason: note("rotation") });
    world.ok(Command::UpdateRole(narrowed));
    world.refused(Command::AssignRole(assignment(&signer, &kim)), "may not hold");
    world.ok(Command::RetireRole(RoleRetired { role_id: clerk.role_id, reason: note("no more") }));
    world.ok(Command::AssignRole(assignment(&signer, &kim)));
}

#[test]
fn keys_live_and_end_once() {
    let mut world = World::default();
    let acme = organization("Acme");
    world.ok(Command::CreateOrganization(acme.clone()));
    let owner = Party::Organization(acme.organization_id);
    let first = key(owner.clone(), "release signing", 'A');
    world.ok(Command::GenerateKey(first.clone()));
    world.refused(Command::GenerateKey(key(owner.clone(), "other", 'A')), "public key");
    world.refused(Command::GenerateKey(key(owner.clone(), "Release Signing", 'B')), "the name");
    let service = Party::Service(Label::new("ci").unwrap());
    world.ok(Command::GenerateKey(key(service, "ci", 'C')));

    let mut other_purpose = key(owner.clone(), "release signing", 'D');
    other_purpose.purpose = KeyPurpose::Encryption;
    let rotate = |successor: &KeyGenerated| Command::RotateKey {
        key_id: first.key_id,
        successor: successor.clone(),
        retire_at: None,
    };
    world.refused(rotate(&other_purpose), "would be for encryption");
    let second = key(owner.clone(), "release signing", 'E');
    assert_eq!(world.run(rotate(&second)).unwrap(), ["KeyGenerated", "KeyRotated"]);
    world.refused(rotate(&key(owner.clone(), "release signing", 'F')), "was rotated on");
    let found = world.state.find(&NameKey::name(Kind::Key, None, &second.name), 10).unwrap();
    assert_eq!(found[0].entity_ref(), second.key_id.into());
    assert_eq!(found[1].status(), "rotated");

    let revoke = |key_id| Command::RevokeKey {
        key_id,
        reason: RevocationReason::KeyCompromise,
        note: None,
        invalid_since: None,
    };
    world.ok(revoke(first.key_id));
    world.refused(revoke(first.key_id), "is revoked since 1970-01-01");
    world.ok(revoke(second.key_id));
    world.refused(
        Command::RotateKey { key_id: second.key_id, successor: key(owner, "x", 'G'), retire_at: None },
        "is revoked",
    );
}

#[test]
fn the_former_key_of_the_ledger_vouches_for_its_successor_and_signs_nothing_else() {
    let mut world = World::default();
    let ledger = Party::Service(Label::new("ledger").unwrap());
    let of_ledger = |text, public| KeyGenerated { purpose: KeyPurpose::Ledger, ..key(ledger.clone(), text, public) };
    let (first, second, bystander) = (of_ledger("heads", 'A'), of_ledger("heads", 'B'), of_ledger("other", 'C'));
    let ledger_id = LedgerId::mint();
    let public_key = first.public_key.clone();
    world.ok(Command::CreateLedger(LedgerCreated { ledger_id, name: name("acme"), public_key }));
    let created = *world.cids.last().unwrap();
    world.ok(Command::GenerateKey(first.clone()));
    world.ok(Command::GenerateKey(bystander.clone()));
    let signed = |key: &KeyGenerated, event| EventAttested {
        event: Link::new(event).unwrap(),
        signer: ledger.clone(),
        key_id: key.key_id,
        algorithm: KeyAlgorithm::Ed25519,
        signature: Bytes::new(vec![7; 64]).unwrap(),
    };
    let attest = |attestation| Command::Attest { attestation, at: Timestamp::from_unix_micros(9_000_000).unwrap() };
    // While it is the ledger's key, it vouches for nothing.
    for key in [&first, &bystander] {
        world.refused(Command::VouchForLedgerKey(signed(key, created)), "the ledger's key is another one");
    }
    let rotate = |successor: &KeyGenerated| Command::RotateKey {
        key_id: first.key_id,
        successor: successor.clone(),
        retire_at: None,
    };
    world.ok(rotate(&second));
    world.refused(Command::VouchForLedgerKey(signed(&first, created)), "the ledger's key is another one");
    let rotated = LedgerKeyRotated {
        ledger_id,
        public_key: second.public_key.clone(),
        previous_public_key: first.public_key.clone(),
        reason: note("the machine was lost"),
    };
    world.ok(Command::RotateLedgerKey { rotated, head: None });
    let rotation = *world.cids.last().unwrap();
    // No person speaks through a key of the ledger, and only the former key vouches, and only for this.
    let events = world.cids.clone();
    for key in [&first, &second, &bystander] {
        for event in &events {
            world.refused(attest(signed(key, *event)), "no act is signed with");
            if (key.key_id, event) != (first.key_id, &rotation) {
                let refused = world.run(Command::VouchForLedgerKey(signed(key, *event)));
                assert!(matches!(refused, Err(Refusal::OtherLedgerKey)), "{refused:?}");
            }
        }
    }
    assert_eq!(world.run(Command::VouchForLedgerKey(signed(&first, rotation))).unwrap(), ["EventAttested"]);
    assert_eq!(world.run(Command::VouchForLedgerKey(signed(&first, rotation))).unwrap(), [""; 0]);
    world.refused(attest(signed(&first, rotation)), "no act is signed with");
}

#[test]
fn relationships_and_recipients() {
    let mut world = World::default();
    let acme = organization("Acme");
    world.ok(Command::CreateOrganization(acme.clone()));
    let (kim, lee) =
        (person(acme.organization_id, "Kim", "k@acme.example"), person(acme.organization_id, "Lee", "l@acme.example"));
    world.ok(Command::CreatePerson(kim.clone()));
    world.ok(Command::CreatePerson(lee.clone()));
    let mut delegation = RelationshipEstablished {
        relationship_id: RelationshipId::mint(),
        kind: RelationshipKind::DelegatesTo,
        subject: Party::Person(kim.person_id),
        object: Party::Person(kim.person_id),
        permissions: Set::default(),
        validity: Validity::ALWAYS,
        note: None,
    };
    world.refused(Command::EstablishRelationship(delegation.clone()), "itself");
    delegation.object = Party::Person(lee.person_id);
    world.refused(Command::EstablishRelationship(delegation.clone()), "at least one permission");
    delegation.permissions = [Permission::new("key.*").unwrap()].into_iter().collect();
    world.ok(Command::EstablishRelationship(delegation.clone()));
    let again = RelationshipEstablished { relationship_id: RelationshipId::mint(), ..delegation.clone() };
    world.refused(Command::EstablishRelationship(again.clone()), "this relationship is taken");
    let end = RelationshipEnded { relationship_id: delegation.relationship_id, reason: note("back") };
    world.ok(Command::EndRelationship(end.clone()));
    world.refused(Command::EndRelationship(end), "was ended");
    world.ok(Command::EstablishRelationship(again));

    let recipient = |text: &str| CustodyRecipientAdded {
        compartment: Label::new("root").unwrap(),
        recipient: Recipient::new(text).unwrap(),
        holder: None,
    };
    let (one, two) = (recipient("age1aaaaaaaa"), recipient("age1bbbbbbbb"));
    let remove = |added: &CustodyRecipientAdded| {
        let (compartment, recipient) = (added.compartment.clone(), added.recipient.clone());
        Command::RemoveRecipient(CustodyRecipientRemoved { compartment, recipient, reason: note("lost") })
    };
    world.ok(Command::AddRecipient(one.clone()));
    assert!(world.run(Command::AddRecipient(one.clone())).unwrap().is_empty());
    world.refused(remove(&one), "without a recipient");
    world.ok(Command::AddRecipient(two));
    world.ok(remove(&one));
    world.ok(Command::AddRecipient(one));
}

#[test]
fn nothing_is_decided_about_what_holds_an_unknown_event() {
    let mut world = World::default();
    let acme = organization("Acme");
    world.ok(Command::CreateOrganization(acme.clone()));
    let kim = person(acme.organization_id, "Kim", "k@acme.example");
    world.ok(Command::CreatePerson(kim.clone()));
    let last = world.state.get(kim.person_id.into()).unwrap().unwrap().last;
    let unknown = || {
        EventData::Unknown(UnknownEvent {
            event_type: "PersonSuspended".into(),
            schema: 1,
            data: serde_json::from_str("{}").unwrap(),
        })
    };
    let first = world.record(unknown(), vec![Link::new(last).unwrap()]);
    // A second one that follows from the first concerns the same person.
    world.record(unknown(), vec![Link::new(first).unwrap()]);
    let held = world.state.get(kim.person_id.into()).unwrap().unwrap();
    assert_eq!(held.unknown, Some(first));
    assert_eq!(Some(&held.last), world.cids.last());
    let leave = PersonDeactivated { person_id: kim.person_id, reason: note("left") };
    world.refused(Command::DeactivatePerson(leave), "does not know");
    let officer = role(acme.organization_id, "Officer", &[]);
    world.ok(Command::CreateRole(officer.clone()));
    world.refused(Command::AssignRole(assignment(&officer, &kim)), "does not know");
}

#[test]
fn commands_in_a_row_see_each_other_and_nothing_is_recorded() {
    let mut world = World::default();
    let acme = organization("Acme");
    let kim = person(acme.organization_id, "Kim", "k@acme.example");
    let officer = role(acme.organization_id, "Officer", &[]);
    let mut commands = vec![
        Command::CreateOrganization(acme.clone()),
        Command::CreatePerson(kim.clone()),
        Command::CreateRole(officer.clone()),
        Command::AssignRole(assignment(&officer, &kim)),
        Command::DeactivatePerson(PersonDeactivated { person_id: kim.person_id, reason: note("left") }),
    ];
    let drafts = decide_all(&world.state, &commands).unwrap();
    assert!(world.state.is_empty());
    assert_eq!(drafts[0].causes, []);
    assert_eq!(drafts[1].causes, [Cause::Earlier(0)]);
    assert_eq!(drafts[3].causes, [Cause::Earlier(2), Cause::Earlier(1)]);
    assert_eq!(drafts[4].causes, [Cause::Earlier(1)]);

    commands.push(Command::AssignRole(assignment(&officer, &kim)));
    let (index, refusal) = decide_all(&world.state, &commands).unwrap_err();
    assert_eq!(index, 5);
    assert!(refusal.to_string().contains("was deactivated"));

    // One by one they lead to the same.
    for command in &commands[..5] {
        world.ok(command.clone());
    }
    assert_eq!(world.cids.len(), drafts.len());
}

#[test]
fn entities_survive_json() {
    let mut world = World::default();
    let acme = organization("Acme");
    world.ok(Command::CreateOrganization(acme.clone()));
    world.ok(Command::CreatePerson(person(acme.organization_id, "Kim", "k@acme.example")));
    let signing = key(Party::Organization(acme.organization_id), "signing", 'A');
    world.ok(Command::GenerateKey(signing.clone()));
    world.ok(Command::RevokeKey {
        key_id: signing.key_id,
        reason: RevocationReason::Superseded,
        note: Some(note("done")),
        invalid_since: None,
    });
    let manifest = ManifestApplied { manifest: Link::new(world.cids[0]).unwrap(), name: name("acme.toml") };
    world.ok(Command::RecordManifest(manifest));
    assert_eq!(world.state.len(), 4);
    for (reference, entity) in world.state.entities() {
        let text = serde_json::to_string(entity).unwrap();
        assert_eq!(serde_json::from_str::<Entity>(&text).unwrap(), *entity, "{reference}: {text}");
    }
}
