//! What a command publishes at its end, as a user sees it, with real servers and without any.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::process::{Child, ChildStdout, Command, Stdio};

use cim_keys_testkit::NatsServer;
use serde_json::{Value, json};

use crate::support::{Place, Run, run};

/// Adds a person, with an address in the environment or none.
fn add(place: &Place, name: &str, url: Option<&str>, output: &str) -> Run {
    let mut command = place.quiet(&["person", "add", name]);
    command.env("CIM_KEYS_OUTPUT", output);
    url.map(|url| command.env("CIM_KEYS_NATS_URL", url));
    run(command, b"")
}

/// The same in JSON: what it says about the publication.
#[track_caller]
fn publication(place: &Place, name: &str, url: Option<&str>) -> Value {
    let lines = add(place, name, url, "json").all_json();
    assert_eq!(lines[0]["type"], "PersonCreated", "{lines:?}");
    assert_eq!(lines.len(), 2, "{lines:?}");
    lines[1]["publication"].clone()
}

fn queued(place: &Place) -> u64 {
    place.run(&["status"]).json()[0]["queued"].as_u64().unwrap()
}

fn messages(server: &NatsServer) -> u64 {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let client = async_nats::connect(server.url()).await.unwrap();
        let stream = async_nats::jetstream::new(client).get_stream("CIM_KEYS_EVENTS").await.unwrap();
        let info = stream.info_with_subjects("cim.keys.>").await.unwrap();
        use futures_util::TryStreamExt as _;
        let counts: Vec<(String, usize)> = info.try_collect().await.unwrap();
        counts.into_iter().map(|(_, count)| count as u64).sum()
    })
}

/// A `sync` that runs, killed when dropped.
struct Sync {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Sync {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Waits until it has reported this.
    fn reports(&mut self, event: &str) {
        for line in &mut self.lines {
            if serde_json::from_str::<Value>(&line.unwrap()).unwrap()["event"] == event {
                return;
            }
        }
        panic!("the sync ended before it reported {event}");
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Sync {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn an_act_publishes_to_the_configured_server() {
    let Some(server) = NatsServer::run() else { return };
    let place = Place::new();
    let waiting = queued(&place);
    let url = server.url();
    let first = publication(&place, "Ann", Some(&url));
    let published = json!({ "state": "published", "server": first["server"], "events": waiting + 1, "parked": 0, "by_sync": false });
    assert_eq!(first, published);
    assert!(first["server"].as_str().unwrap().contains(&server.address().to_string()), "{first}");
    assert_eq!((queued(&place), messages(&server)), (0, waiting + 1));

    // A file counts like the environment.
    std::fs::write(place.ledger().join("config.toml"), format!("[nats]\nurl = \"{url}\"\n")).unwrap();
    let text = add(&place, "Bob", None, "text");
    assert!(text.code == 0 && text.stdout.contains(": 1 event; the queue is empty."), "{text:?}");
    assert_eq!(messages(&server), waiting + 2);
}

#[test]
fn an_address_that_nobody_set_is_left_alone() {
    let place = Place::new();
    let waiting = queued(&place);
    let told = publication(&place, "Ann", None);
    assert_eq!(
        told,
        json!({ "state": "waiting", "events": waiting + 1, "reason": "not_configured",
                "detail": "no server is configured (nats.url)" })
    );
    // It is no news after each act, and `status` lists it.
    let text = add(&place, "Bob", None, "text");
    assert!(text.code == 0 && text.stderr.is_empty(), "{text:?}");
    assert!(!text.stdout.contains("wait") && !text.stdout.contains("ublish"), "{text:?}");
    let status = run(
        {
            let mut command = place.command(&["status"]);
            command.env("CIM_KEYS_OUTPUT", "text");
            command
        },
        b"",
    );
    assert!(status.stdout.contains("no server is configured (nats.url); set nats.url"), "{status:?}");

    // Behind an air gap it is the same, also where a server is named for this machine and does not answer.
    std::fs::write(place.ledger().join("config.toml"), "[nats]\nair_gapped = true\n").unwrap();
    let dead = format!("nats://{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    for (name, url) in [("Cyd", None), ("Dee", Some(dead.as_str()))] {
        let text = add(&place, name, url, "text");
        assert!(text.code == 0 && !text.stdout.contains("wait") && text.stderr.is_empty(), "{text:?}");
        assert_eq!(publication(&place, &format!("{name} II"), url)["reason"], "air_gapped");
    }
}

#[test]
fn a_server_that_is_gone_or_hangs_changes_no_exit_code() {
    let place = Place::new();
    let waiting = queued(&place);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("nats://{}", listener.local_addr().unwrap());
    // It takes the connection, and never speaks.
    let text = add(&place, "Ann", Some(&url), "text");
    let line = |events| {
        format!(
            "{events} events wait for publication: no NATS server answers at {url}; \
             `cim-keys sync` publishes them once a server can be reached.\n"
        )
    };
    assert!(text.code == 0 && text.stdout.ends_with(&line(waiting + 1)), "{text:?}");
    drop(listener);
    let text = add(&place, "Bob", Some(&url), "text");
    assert!(text.code == 0 && text.stdout.ends_with(&line(waiting + 2)), "{text:?}");
}

#[test]
fn a_running_sync_publishes_what_acts_record() {
    let Some(mut server) = NatsServer::run() else { return };
    let place = Place::new();
    let url = server.url();
    let start = || Sync::start(place.command(&["sync", "--url", &url]));
    let mut sync = start();
    sync.reports("drained");

    // It counts for an act that knows no address.
    for name in ["Ann", "Bob"] {
        let told = publication(&place, name, None);
        assert_eq!((&told["state"], &told["by_sync"]), (&"published".into(), &true.into()), "{told}");
        assert_eq!(queued(&place), 0);
    }
    let text = add(&place, "Cyd", Some(&url), "text");
    assert!(text.code == 0 && text.stdout.contains(" by the running `cim-keys sync`"), "{text:?}");
    assert_eq!(place.run(&["status"]).json()[0]["sync_running"], true);

    // A second one is refused; what is asked for by name publishes beside it.
    let second = place.run(&["sync", "--url", &url]);
    second.fails(3, &["another `cim-keys sync` runs on this ledger", &format!("process {}", sync.child.id())]);
    for args in [["sync", "--once"], ["queue", "flush"]] {
        place.run(&[&args[..], &["--url", &url]].concat()).json();
    }

    // Without a connection it says so, and the act goes on with exit code 0.
    server.stop();
    sync.reports("disconnected");
    let told = publication(&place, "Dee", Some(&url));
    assert_eq!((&told["reason"], &told["events"]), (&"sync_running".into(), &1.into()), "{told}");
    server.start();
    sync.reports("drained");

    // One that was killed holds nothing.
    sync.kill();
    let told = publication(&place, "Eve", Some(&url));
    assert_eq!((&told["by_sync"], &told["events"]), (&false.into(), &1.into()), "{told}");
    assert_eq!(place.run(&["status"]).json()[0]["sync_running"], false);
    start().reports("drained");
    assert_eq!(messages(&server), place.run(&["status"]).json()[0]["events"].as_u64().unwrap());
}
