//! Publishing, in a build that has the feature `nats-client`.

use std::time::Duration;

use cim_keys::adapters::NatsClientAdapter;
use cim_keys::adapters::nats_client::{ConnectError, FlushError, NewAdapterError, Status, log_in as log_in_there};
use cim_keys::app::publishing::{SyncLock, SyncLockError};
use cim_keys::app::queue;
use cim_keys::config::NatsConfig;
use cim_keys::delivery::Stop;
use cim_keys::session::Session;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::super::publication::{events, standing, tell_parked};
use super::{ServerArgs, SyncArgs};
use crate::error::{CliError, Result};
use crate::global::Global;
use crate::ledger;
use crate::place;
use crate::ui::Ui;

/// How many seconds a login may take that is only made to tell how things stand.
const LOGIN: u32 = 3;

/// How long `sync` pauses after a failure before it looks again; the publisher itself goes on trying meanwhile.
const PAUSE: Duration = Duration::from_secs(1);

pub(crate) fn flush(server: &ServerArgs, global: &Global, ui: Ui) -> Result {
    let (session, config) = open(server, global)?;
    runtime()?.block_on(async {
        let adapter = adapter(&session, config)?;
        let answer = once(&adapter, server, ui).await;
        shut_down(&adapter).await;
        answer
    })
}

pub(crate) fn sync(args: &SyncArgs, global: &Global, ui: Ui) -> Result {
    if args.once {
        return flush(&args.server, global, ui);
    }
    let (session, config) = open(&args.server, global)?;
    let lock = alone(&session, &config)?;
    runtime()?.block_on(async {
        let adapter = adapter(&session, config)?;
        let answer = until_interrupted(&adapter, &args.server, lock, ui).await;
        let status = adapter.status().borrow().clone();
        shut_down(&adapter).await;
        answer?;
        let standing = standing(&session)?;
        ui.object(&report("stopped", &status, standing.queued))?;
        ui.line(format_args!("Stopped: {} published, {} wait.", events(status.published), events(standing.queued)))
    })
}

/// Whether a server that answers lets the configured user in.
pub(crate) fn log_in(config: &NatsConfig) -> Result {
    let quick = NatsConfig { connection_timeout_secs: config.connection_timeout_secs.min(LOGIN), ..config.clone() };
    runtime()?.block_on(log_in_there(&quick)).map_err(|error| CliError::unreachable(error.to_string()))
}

fn open(server: &ServerArgs, global: &Global) -> Result<(Session, NatsConfig)> {
    let session = ledger::publishing(global)?;
    let config = place::config_with(Some(session.place().folder()), &server.flags())?.config.nats;
    Ok((session, config))
}

/// Makes this the one `sync` of the ledger: acts leave publishing to it.
fn alone(session: &Session, config: &NatsConfig) -> Result<SyncLock> {
    SyncLock::take(session.store(), queue::stream(config)).map_err(|error| match error {
        SyncLockError::Running(sync) => CliError::refused(format!(
            "another `cim-keys sync` runs on this ledger{}, and publishes what is recorded",
            sync.in_brackets()
        ))
        .hint("leave it to that one, or end it first; `cim-keys sync --once` publishes now in any case"),
        other => CliError::failed("cannot start the publisher").because(&other),
    })
}

fn runtime() -> Result<Runtime> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.map_err(|error| CliError::failed("cannot start the publisher").because(&error))
}

fn adapter(session: &Session, config: NatsConfig) -> Result<NatsClientAdapter> {
    let outbox = session.store().outbox()?;
    NatsClientAdapter::with_ledger(config, Box::new(outbox)).map_err(|error| match error {
        NewAdapterError::Config(error) => place::invalid_config(&error),
        other => CliError::failed("cannot start the publisher").because(&other),
    })
}

/// What is not published stays in the ledger: a publisher that does not end well loses nothing.
async fn shut_down(adapter: &NatsClientAdapter) {
    let _ = adapter.shutdown().await;
}

async fn begin(adapter: &NatsClientAdapter, server: &ServerArgs) -> Result {
    if let Some(position) = server.from {
        let asked = adapter.from(position).await;
        asked.map_err(|error| CliError::failed("cannot go on at that position").because(&error))?;
    }
    Ok(())
}

async fn once(adapter: &NatsClientAdapter, server: &ServerArgs, ui: Ui) -> Result {
    begin(adapter, server).await?;
    let spinner = ui.spinner("publishing");
    let answer = tokio::select! {
        answer = adapter.flush_queue() => answer,
        () = interrupted() => {
            spinner.finish_and_clear();
            return Err(CliError::failed("interrupted before everything was published")
                .hint("what is not published yet waits in the ledger; `cim-keys sync` goes on with it"));
        }
    };
    spinner.finish_and_clear();
    let status = adapter.status().borrow().clone();
    answer.map_err(cannot)?;
    ui.object(&report("drained", &status, 0))?;
    ui.done(drained(&status, status.published))?;
    tell_parked(status.parked, ui)
}

/// Publishes until interrupted: reports each connection, each drained queue, and each new problem once.
async fn until_interrupted(adapter: &NatsClientAdapter, server: &ServerArgs, lock: SyncLock, ui: Ui) -> Result {
    begin(adapter, server).await?;
    ui.note("Publishing what is recorded; Ctrl-C ends it.");
    let mut status = adapter.status();
    let mut told = Told { lock, connected: None, published: None, problem: None };
    // One listener for the whole run: a signal between two turns is not missed.
    let mut interrupted = std::pin::pin!(interrupted());
    loop {
        let next = async {
            match adapter.flush_queue().await {
                Ok(_) => {
                    told.drained(&status.borrow_and_update().clone(), ui)?;
                    wait_for_news(&mut status).await;
                    told.connection(&status.borrow_and_update().clone(), ui)
                }
                Err(FlushError::Stopped(stop)) => Err(cannot(FlushError::Stopped(stop))),
                Err(error @ FlushError::Connect(ConnectError::Disabled | ConnectError::CredentialsFile { .. })) => {
                    Err(cannot(error))
                }
                Err(error) => {
                    told.problem(&error.to_string(), &status.borrow_and_update().clone(), ui)?;
                    tokio::time::sleep(PAUSE).await;
                    Ok(())
                }
            }
        };
        tokio::select! {
            answer = next => answer?,
            () = &mut interrupted => return Ok(()),
        }
    }
}

/// Waits until something more was published, or the connection is gone, or something is wrong.
async fn wait_for_news(status: &mut watch::Receiver<Status>) {
    let before = status.borrow_and_update().clone();
    let news = |now: &Status| {
        now.published != before.published || now.connected != before.connected || now.last_error.is_some()
    };
    // The sender lives as long as the adapter.
    let _ = status.wait_for(news).await;
}

/// What was said already.
struct Told {
    lock: SyncLock,
    connected: Option<bool>,
    published: Option<u64>,
    problem: Option<String>,
}

impl Told {
    fn drained(&mut self, status: &Status, ui: Ui) -> Result {
        self.problem = None;
        self.connection(status, ui)?;
        if self.published == Some(status.published) {
            return Ok(());
        }
        let new = status.published - self.published.unwrap_or(0);
        self.published = Some(status.published);
        ui.object(&report("drained", status, 0))?;
        ui.line(drained(status, new))?;
        tell_parked(status.parked, ui)?;
        ui.flush()
    }

    fn connection(&mut self, status: &Status, ui: Ui) -> Result {
        self.lock.connected_to(status.server.as_deref().filter(|_| status.connected));
        if self.connected == Some(status.connected) {
            return Ok(());
        }
        let first = self.connected.is_none();
        self.connected = Some(status.connected);
        let server = status.server.clone().unwrap_or_default();
        match (status.connected, first) {
            (true, _) => {
                ui.object(&report("connected", status, status.queued))?;
                ui.line(format_args!("Connected to {server}."))?;
            }
            (false, true) => {}
            (false, false) => {
                ui.object(&report("disconnected", status, status.queued))?;
                ui.line("The connection is lost; it is made again by itself.")?;
            }
        }
        ui.flush()
    }

    fn problem(&mut self, text: &str, status: &Status, ui: Ui) -> Result {
        self.connection(status, ui)?;
        if self.problem.as_deref() == Some(text) {
            return Ok(());
        }
        self.problem = Some(text.to_owned());
        let mut object = report("waiting", status, status.queued);
        object["problem"] = text.into();
        ui.object(&object)?;
        ui.line(format_args!("Waiting: {}", cim_keys::text::visible(text)))?;
        ui.flush()
    }
}

fn report(what: &str, status: &Status, queued: u64) -> Value {
    json!({
        "event": what,
        "connected": status.connected,
        "server": status.server,
        "queued": queued,
        "parked": status.parked,
        "published": status.published,
        "last_published": status.last_published.map(|last| last.position),
    })
}

fn drained(status: &Status, published: u64) -> String {
    let end = status.last_published.map(|last| format!(", up to position {}", last.position)).unwrap_or_default();
    match published {
        0 => format!("Everything is published{end}; the queue is empty."),
        some => format!("Published {}{end}; the queue is empty.", events(some)),
    }
}

/// Why publishing ended, with its exit code.
fn cannot(error: FlushError) -> CliError {
    let waits = "what is not published yet waits in the ledger; `cim-keys sync` goes on by itself";
    match &error {
        FlushError::Connect(ConnectError::Disabled | ConnectError::CredentialsFile { .. }) => {
            CliError::usage("cannot publish").because_of(&error)
        }
        FlushError::Connect(_) => CliError::unreachable("cannot publish").because_of(&error).hint(waits),
        FlushError::Stopped(Stop::Succeeded(_)) => {
            CliError::refused("this copy of the ledger publishes no more").because_of(&error)
        }
        FlushError::Stopped(Stop::Fork { .. }) => CliError::verification("publishing has stopped").because_of(&error),
        FlushError::Stopped(_) => CliError::failed("publishing has stopped").because_of(&error),
        _ => CliError::failed("cannot publish everything").because_of(&error).hint(waits),
    }
}

/// Waits for Ctrl-C, or for being asked to end.
pub(crate) async fn interrupted() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}
