//! The five-minute tour: four events on their way to NATS, with or without a server.
//!
//! ```console
//! $ cargo run --example nats_integration --features nats-client,ipld
//! ```
//!
//! Without a server on `localhost:4222` the events wait in `cim-keys-example-queue.jsonl`, in the folder that the example
//! is run in. Run again with one, it publishes what waits there, and nothing else; so `nats sub "cim.keys.>"` shows the
//! same four events either way. `CIM_KEYS_NATS_URL` and the other `CIM_KEYS_NATS_*` variables change the configuration,
//! and an argument names another queue file.

use std::error::Error;
use std::path::PathBuf;

use cim_keys::adapters::NatsClientAdapter;
use cim_keys::config::{Layers, NatsConfig};
use cim_keys::events::{
    Actor, EventData, KeyAlgorithm, KeyEncoding, KeyEvent, KeyGenerated, KeyPurpose, NatsOperatorCreated,
    OrganizationCreated, Party, PersonCreated, Set, Validity,
};
use cim_keys::ids::{CorrelationId, EventId, KeyId, NatsOperatorId, OrganizationId, PersonId};
use cim_keys::ipld_support::{ContentAddressedEvent, generate_cid};
use cim_keys::time::Timestamp;

/// Where events wait, in the working folder.
const QUEUE: &str = "cim-keys-example-queue.jsonl";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let config = configuration()?;
    let queue = std::env::args_os().nth(1).map_or_else(|| PathBuf::from(QUEUE), PathBuf::from);
    println!("Queue file\n  {}\n", queue.display());

    let publisher = NatsClientAdapter::new(config.clone(), &queue)?;
    let waiting = publisher.queue_size().await?;
    println!("Connection");
    match publisher.connect().await {
        Ok(()) => println!("  connected to {}", config.url),
        Err(reason) => println!("  working offline: {reason}"),
    }
    println!("  is_connected: {}\n", publisher.is_connected());

    let events = four_events()?;
    show(&config, &events);
    if waiting > 0 {
        println!("{waiting} events of an earlier run wait in the queue: they go first, and no new ones are made.\n");
    } else {
        for event in &events {
            publisher.publish_event(event).await?;
        }
        println!("4 events are on disk, and from here on safe.\n");
    }

    if publisher.is_connected() {
        publisher.flush_queue().await?;
        println!("Published:  {}", publisher.status().borrow().published);
    }
    println!("Queue size: {}", publisher.queue_size().await?);
    if !publisher.is_connected() {
        println!("Start a server (nats-server --jetstream), run this again, and they are published.");
    }
    content_addressing(&events[1])?;
    publisher.shutdown().await?;
    Ok(())
}

/// The defaults, and the environment over them, as the command line does it.
fn configuration() -> Result<NatsConfig, Box<dyn Error>> {
    let mut layers = Layers::new();
    layers.variables(std::env::vars_os());
    let resolved = layers.resolve()?;
    resolved.config.validate()?;
    println!("Configuration");
    for setting in resolved.settings().filter(|setting| setting.value.is_some()) {
        println!("  {:<28} {:<26} ({})", setting.key, setting.value.unwrap_or_default(), setting.origin);
    }
    println!();
    Ok(resolved.config.nats)
}

/// The beginnings of an organisation. In a real ledger the key pairs are made and sealed in custody; events carry the
/// public halves only, here that of the first test vector of RFC 8032.
fn four_events() -> Result<[KeyEvent; 4], Box<dyn Error>> {
    let (organization_id, person_id, key_id) = (OrganizationId::mint(), PersonId::mint(), KeyId::mint());
    let organization = OrganizationCreated {
        organization_id,
        name: "Acme".parse()?,
        domain: Some("acme.example".parse()?),
        description: None,
    };
    let person = PersonCreated {
        person_id,
        organization_id,
        unit_id: None,
        location_id: None,
        name: "Zoë Kim".parse()?,
        email: Some("zoe@acme.example".parse()?),
        title: Some("Platform engineer".parse()?),
    };
    let key = KeyGenerated {
        key_id,
        name: "Acme operator".parse()?,
        algorithm: KeyAlgorithm::Ed25519,
        encoding: KeyEncoding::Nkey,
        public_key: "ODLVVGABQKYQVN6VJP7NHSLEA45A5YLS6PNKMIZFV4BBU2HXA5IRVH7S".parse()?,
        purpose: KeyPurpose::NatsOperator,
        owner: Party::Person(person_id),
        compartment: "root".parse()?,
        validity: Validity::ALWAYS,
        location_id: None,
    };
    let operator = NatsOperatorCreated {
        operator_id: NatsOperatorId::mint(),
        name: "ACME".parse()?,
        key_id,
        public_key: key.public_key.clone(),
        system_account_id: None,
        account_server_url: None,
        service_urls: Set::default(),
        strict_signing_key_usage: false,
    };
    // What one command does has one correlation id.
    let correlation_id = CorrelationId::mint();
    let actor: Actor = "system:example".parse()?;
    let event = |data: EventData| KeyEvent {
        id: EventId::mint(),
        data,
        occurred_at: Timestamp::now(),
        actor: actor.clone(),
        correlation_id,
        causes: Vec::new(),
    };
    Ok([event(organization.into()), event(person.into()), event(key.into()), event(operator.into())])
}

fn show(config: &NatsConfig, events: &[KeyEvent]) {
    println!("Events and their subjects");
    for event in events {
        let subject = event.subject(&config.subject_prefix).unwrap_or_default();
        println!("  {:<22} {subject}", event.event_type());
    }
    println!();
}

/// An event's identifier follows from its content, and from nothing else.
fn content_addressing(event: &KeyEvent) -> Result<(), Box<dyn Error>> {
    let addressed = ContentAddressedEvent::new(event.clone())?;
    println!("\nContent addressing, of {}", event.event_type());
    println!("  CID            {}", addressed.cid);
    println!("  verifies       {}", addressed.verify()?);
    println!("  deterministic  {}", generate_cid(event)? == addressed.cid);
    let mut tampered = addressed;
    tampered.event.occurred_at = Timestamp::from_unix_micros(0).unwrap_or(tampered.event.occurred_at);
    println!("  tampered with  {}", if tampered.verify()? { "verifies" } else { "does not verify" });
    Ok(())
}
