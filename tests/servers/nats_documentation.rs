//! `docs/NATS_INTEGRATION.md` says what the code does: its tables are made from the code, and its examples run.
//!
//! `CIM_KEYS_UPDATE_DOCS=1 cargo test --workspace --test servers nats_documentation::` writes the tables anew.

use std::fmt::Write as _;
use std::path::PathBuf;

use cim_keys::config::{Config, KEYS};
use cim_keys::events::{Aggregate, EventData};

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/NATS_INTEGRATION.md")
}

/// What stands between two marks, without the line feeds at its ends.
fn section<'t>(text: &'t str, mark: &str) -> &'t str {
    let (begin, end) = (format!("<!-- {mark} -->\n"), format!("<!-- /{mark} -->"));
    let start = text.find(&begin).unwrap_or_else(|| panic!("no mark {begin}")) + begin.len();
    &text[start..start + text[start..].find(&end).unwrap_or_else(|| panic!("no mark {end}"))]
}

/// The content of the first fenced block of a text.
fn fenced(text: &str) -> &str {
    let start = text.find("```").unwrap();
    let start = start + text[start..].find('\n').unwrap() + 1;
    &text[start..start + text[start..].find("\n```").unwrap() + 1]
}

#[track_caller]
fn is_made_from_the_code(mark: &str, expected: &str) {
    let text = std::fs::read_to_string(path()).unwrap();
    let there = section(&text, mark);
    if there == expected {
        return;
    }
    assert!(
        std::env::var_os("CIM_KEYS_UPDATE_DOCS").is_some(),
        "the table \"{mark}\" of docs/NATS_INTEGRATION.md is not what the code says; run this test with CIM_KEYS_UPDATE_DOCS=1"
    );
    let start = there.as_ptr() as usize - text.as_ptr() as usize;
    let new = format!("{}{expected}{}", &text[..start], &text[start + there.len()..]);
    std::fs::write(path(), new).unwrap();
}

#[test]
fn the_tables_are_made_from_the_code() {
    let mut keys = String::from("| key | default | what it does |\n|---|---|---|\n");
    for key in KEYS {
        let default = key.default().map_or_else(|| "not set".to_owned(), |value| format!("`{value}`"));
        writeln!(keys, "| `{}` | {default} | {} |", key.name, key.doc.replace('|', "\\|")).unwrap();
    }
    is_made_from_the_code("keys", &keys);
    let mut subjects = String::from("| aggregate | last tokens |\n|---|---|\n");
    for aggregate in Aggregate::ALL {
        let types = EventData::KNOWN.iter().filter(|(of, _, _)| of == aggregate);
        let types: Vec<_> = types.map(|(_, event_type, _)| format!("`{}`", event_type.to_lowercase())).collect();
        writeln!(subjects, "| `{aggregate}` | {} |", types.join(", ")).unwrap();
    }
    is_made_from_the_code("subjects", &subjects);
}

#[test]
fn the_configuration_that_is_shown_loads() {
    let text = std::fs::read_to_string(path()).unwrap();
    let shown = &text[text.find("```toml").unwrap()..];
    let config = Config::from_toml(fenced(shown)).unwrap();
    assert_eq!(config.nats.credentials_file, Some(PathBuf::from("/path/to/nats.creds")));
}

#[cfg(feature = "nats-client")]
mod permissions {
    //! The publisher, with the permissions of the table and no others.

    use std::time::Duration;

    use cim_keys::adapters::NatsClientAdapter;
    use cim_keys::config::NatsConfig;
    use cim_keys::events::{EventData, KeyEvent};
    use cim_keys_testkit::{NatsServer, ServerOptions, samples};

    use super::{fenced, path, section};

    /// What a row allows: to publish, to subscribe.
    fn row(of: &str) -> (Vec<String>, Vec<String>) {
        let text = std::fs::read_to_string(path()).unwrap();
        let table = section(&text, "permissions").to_owned();
        let row =
            table.lines().find(|line| line.starts_with(&format!("| {of} |"))).unwrap_or_else(|| panic!("no {of}"));
        let cells: Vec<&str> = row.split('|').collect();
        let subjects = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        (subjects(cells[2]), subjects(cells[3]))
    }

    fn server(rows: &[&str], without: Option<&str>, limits: &str) -> Option<NatsServer> {
        let (mut publish, mut subscribe) = (Vec::new(), Vec::new());
        for of in rows {
            let (more, listens) = row(of);
            publish.extend(more);
            subscribe.extend(listens);
        }
        publish.retain(|subject| Some(subject.as_str()) != without);
        subscribe.retain(|subject| Some(subject.as_str()) != without);
        // No list at all would allow everything.
        publish.push("nothing".into());
        subscribe.push("nothing".into());
        ServerOptions::default()
            .conf(&format!(
                "{limits}\nauthorization {{ users = [
                    {{ user: admin, password: admin }}
                    {{ user: publisher, password: secret, permissions: {{
                        publish: {{ allow: {publish:?} }}, subscribe: {{ allow: {subscribe:?} }} }} }} ] }}"
            ))
            .start()
    }

    fn config(server: &NatsServer) -> NatsConfig {
        NatsConfig {
            url: server.url().replace("nats://", "nats://publisher:secret@").parse().unwrap(),
            inbox_prefix: Some("_INBOX_publisher".parse().unwrap()),
            connection_timeout_secs: 2,
            ..NatsConfig::default()
        }
    }

    async fn admin_client(server: &NatsServer) -> async_nats::Client {
        let options = async_nats::ConnectOptions::with_user_and_password("admin".into(), "admin".into());
        options.connect(server.url()).await.unwrap()
    }

    async fn admin(server: &NatsServer) -> async_nats::jetstream::Context {
        async_nats::jetstream::new(admin_client(server).await)
    }

    async fn make_stream(server: &NatsServer) {
        let client = admin_client(server).await;
        let text = std::fs::read_to_string(path()).unwrap();
        let config = fenced(section(&text, "stream.json")).to_owned();
        let answer = client.request("$JS.API.STREAM.CREATE.CIM_KEYS_EVENTS", config.into()).await.unwrap();
        assert!(!String::from_utf8_lossy(&answer.payload).contains("\"error\""), "{:?}", answer.payload);
    }

    async fn publish(config: NatsConfig, events: &[KeyEvent]) -> Result<usize, String> {
        let folder = tempfile::tempdir().unwrap();
        let publisher = NatsClientAdapter::new(config, folder.path().join("queue.jsonl")).unwrap();
        publisher.publish_batch(events).await.unwrap();
        let flushed = tokio::time::timeout(Duration::from_secs(40), publisher.flush_queue()).await;
        let left = publisher.queue_size().await.unwrap() + publisher.parked().await.unwrap().len();
        publisher.shutdown().await.unwrap();
        match flushed {
            Ok(Ok(_)) => Ok(left),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("the flush neither ended nor failed".into()),
        }
    }

    async fn stored(server: &NatsServer) -> u64 {
        let mut stream = admin(server).await.get_stream("CIM_KEYS_EVENTS").await.unwrap();
        stream.info().await.unwrap().state.messages
    }

    #[tokio::test]
    async fn the_first_row_is_enough_where_the_stream_is_there() {
        let Some(server) = server(&["always"], None, "") else { return };
        make_stream(&server).await;
        assert_eq!(publish(config(&server), &samples::events()).await, Ok(0));
        assert_eq!(stored(&server).await, samples::events().len() as u64 + 1);
    }

    #[tokio::test]
    async fn each_of_the_first_row_is_needed_and_named() {
        let (publish_to, subscribe_to) = row("always");
        let subjects = publish_to.iter().chain(&subscribe_to).cloned();
        let tries = subjects.map(|missing| async move {
            let Some(server) = server(&["always"], Some(&missing), "") else { return };
            make_stream(&server).await;
            let outcome = publish(config(&server), &samples::events()[..2]).await;
            if missing == "cim.keys.>" {
                assert_eq!(outcome, Ok(2), "events whose subject is denied are parked");
            } else {
                let error = outcome.expect_err(&missing);
                let named = missing.trim_end_matches(".>");
                assert!(error.contains(named), "without {missing}: {error}");
            }
        });
        futures_util::future::join_all(tries).await;
    }

    #[tokio::test]
    async fn the_stream_is_made_with_the_second_row() {
        let Some(server) = server(&["always", "making the stream"], None, "") else { return };
        assert_eq!(publish(config(&server), &samples::events()).await, Ok(0));
        assert_eq!(stored(&server).await, samples::events().len() as u64 + 1);
    }

    #[tokio::test]
    async fn large_events_take_the_other_rows() {
        let rows = ["always", "making the stream", "large events", "making the bucket"];
        let Some(server) = server(&rows, None, "max_payload: 4096") else { return };
        let mut large = samples::event(1, samples::data().swap_remove(0));
        if let EventData::OrganizationCreated(created) = &mut large.data {
            created.description = Some("ü".repeat(1_990).parse().unwrap());
        }
        assert_eq!(publish(config(&server), std::slice::from_ref(&large)).await, Ok(0));
        let cid = cim_keys::ipld_support::ContentAddressedEvent::new(large).unwrap();
        let context = admin(&server).await;
        let bucket = context.get_object_store("cim-keys-objects").await.unwrap();
        let mut object = bucket.get(cid.cid.to_string()).await.unwrap();
        let mut block = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut object, &mut block).await.unwrap();
        assert_eq!(block, cid.block(), "the canonical bytes are in the bucket");
        let stream = context.get_stream("CIM_KEYS_EVENTS").await.unwrap();
        let message = stream.get_raw_message(1).await.unwrap();
        let body: serde_json::Value = serde_json::from_slice(&message.payload).unwrap();
        assert_eq!(body["object"]["name"], cid.cid.to_string());
    }

    #[tokio::test]
    async fn core_nats_takes_what_is_said_below_the_table() {
        let conf = "authorization { users = [ { user: publisher, password: secret, permissions: {
            publish: { allow: [\"cim.keys.>\", \"_INBOX_publisher.>\"] }, subscribe: { allow: \"_INBOX_publisher.>\" } } } ] }";
        let Some(server) = ServerOptions::default().conf(conf).start() else { return };
        let config = NatsConfig { enable_jetstream: false, ..config(&server) };
        assert_eq!(publish(config, &samples::events()).await, Ok(0));
    }
}
