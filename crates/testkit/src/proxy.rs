//! A TCP proxy before a server that does what networks do: cut, stall, delay, lose.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

/// What the proxy does when the bytes that it waits for come by. They are not passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Close both sides of that connection.
    Cut,
    /// Close them, and accept no connection until [`Proxy::heal`].
    CutAndRefuse,
    /// Keep both sides open, and lose everything that goes this way from now on.
    Lose,
    /// Keep both sides open, and pass nothing this way until [`Proxy::heal`].
    Stall,
}

#[derive(Debug)]
struct Rule {
    direction: Direction,
    pattern: Vec<u8>,
    /// How often it has yet to come by.
    left: usize,
    action: Action,
}

#[derive(Debug, Default)]
struct Behaviour {
    refuse: bool,
    stall: Option<Direction>,
    lose: Option<Direction>,
    delay: Duration,
    rule: Option<Rule>,
    fired: usize,
    bytes: [u64; 2],
}

#[derive(Debug)]
struct Shared {
    behaviour: Mutex<Behaviour>,
    /// Told on every change; the number is the epoch of connections, and an older one ends.
    changed: watch::Sender<u64>,
}

impl Shared {
    fn behaviour(&self) -> MutexGuard<'_, Behaviour> {
        self.behaviour.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The proxy; it ends when dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// A proxy before this server.
    ///
    /// # Panics
    /// When there is no loopback port to listen on.
    pub async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
        let address = listener.local_addr().expect("a bound port has an address");
        let shared = Arc::new(Shared { behaviour: Mutex::default(), changed: watch::Sender::new(0) });
        let task = tokio::spawn(accept(listener, server, Arc::clone(&shared)));
        Self { address, shared, task }
    }

    /// Its address for clients, as a URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    /// Cuts every connection that there is. New ones are accepted.
    pub fn cut(&self) {
        self.shared.changed.send_modify(|epoch| *epoch += 1);
    }

    /// Cuts every connection, and accepts none until [`heal`](Self::heal).
    pub fn refuse(&self) {
        self.shared.behaviour().refuse = true;
        self.cut();
    }

    /// Passes nothing in this direction until [`heal`](Self::heal); the connections stay open.
    pub fn stall(&self, direction: Direction) {
        self.shared.behaviour().stall = Some(direction);
        self.tell();
    }

    /// Loses everything that goes in this direction until [`heal`](Self::heal); the connections stay open.
    pub fn lose(&self, direction: Direction) {
        self.shared.behaviour().lose = Some(direction);
        self.tell();
    }

    /// Keeps each piece for a while, in both directions.
    pub fn delay(&self, delay: Duration) {
        self.shared.behaviour().delay = delay;
    }

    /// Does this when the pattern comes by in this direction for the `nth` time from now (the first is 1). Once.
    pub fn when(&self, direction: Direction, pattern: &str, nth: usize, action: Action) {
        self.shared.behaviour().rule = Some(Rule { direction, pattern: pattern.into(), left: nth, action });
    }

    /// Lets all bytes pass again. What was lost stays lost; a connection that lost bytes is cut.
    pub fn heal(&self) {
        let mut behaviour = self.shared.behaviour();
        let lost = behaviour.lose.take().is_some();
        behaviour.refuse = false;
        behaviour.stall = None;
        behaviour.delay = Duration::ZERO;
        behaviour.rule = None;
        drop(behaviour);
        if lost { self.cut() } else { self.tell() }
    }

    /// How often a pattern was met.
    #[must_use]
    pub fn fired(&self) -> usize {
        self.shared.behaviour().fired
    }

    /// How many bytes were passed on in this direction.
    #[must_use]
    pub fn bytes(&self, direction: Direction) -> u64 {
        self.shared.behaviour().bytes[direction as usize]
    }

    fn tell(&self) {
        self.shared.changed.send_modify(|_| {});
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        self.cut();
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        if shared.behaviour().refuse {
            continue;
        }
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let Ok(server) = TcpStream::connect(server).await else { return };
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            let mut epochs = shared.changed.subscribe();
            let epoch = *epochs.borrow_and_update();
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            // When either ends, both halves of both sides are dropped, and so closed.
            tokio::select! {
                () = pass(from_client, to_server, Direction::ToServer, &shared) => {}
                () = pass(from_server, to_client, Direction::ToClient, &shared) => {}
                _ = epochs.wait_for(|now| *now != epoch) => {}
            }
        });
    }
}

/// Passes bytes on until either side closes, or until a rule cuts.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, direction: Direction, shared: &Shared) {
    let mut changes = shared.changed.subscribe();
    let mut buffer = vec![0; 16 * 1024];
    // The last bytes of what went before: a pattern may come in two pieces.
    let mut tail: Vec<u8> = Vec::new();
    loop {
        let Ok(count @ 1..) = from.read(&mut buffer).await else { return };
        let piece = &buffer[..count];
        match apply_rule(shared, direction, &mut tail, piece) {
            Some(Action::Cut) => return,
            Some(Action::CutAndRefuse) => {
                shared.behaviour().refuse = true;
                return;
            }
            Some(Action::Lose) => shared.behaviour().lose = Some(direction),
            Some(Action::Stall) => shared.behaviour().stall = Some(direction),
            None => {}
        }
        let delay = shared.behaviour().delay;
        if delay > Duration::ZERO {
            tokio::time::sleep(delay).await;
        }
        while shared.behaviour().stall == Some(direction) {
            if changes.changed().await.is_err() {
                return;
            }
        }
        if shared.behaviour().lose == Some(direction) {
            continue;
        }
        if to.write_all(piece).await.is_err() {
            return;
        }
        shared.behaviour().bytes[direction as usize] += count as u64;
    }
}

/// Looks for the rule's pattern in what comes by; the action when it is due.
fn apply_rule(shared: &Shared, direction: Direction, tail: &mut Vec<u8>, piece: &[u8]) -> Option<Action> {
    let mut behaviour = shared.behaviour();
    let rule = behaviour.rule.as_mut().filter(|rule| rule.direction == direction)?;
    let mut seen = std::mem::take(tail);
    seen.extend_from_slice(piece);
    let met = seen.windows(rule.pattern.len()).filter(|window| *window == rule.pattern).count();
    tail.extend_from_slice(&seen[seen.len().saturating_sub(rule.pattern.len() - 1)..]);
    rule.left = rule.left.saturating_sub(met);
    if rule.left > 0 {
        return None;
    }
    let action = rule.action;
    behaviour.rule = None;
    behaviour.fired += 1;
    Some(action)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A server that sends back what it gets.
    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        address
    }

    async fn say(stream: &mut TcpStream, text: &[u8]) -> Option<Vec<u8>> {
        stream.write_all(text).await.ok()?;
        let mut answer = vec![0; text.len()];
        let read = tokio::time::timeout(Duration::from_millis(300), stream.read_exact(&mut answer)).await;
        read.ok()?.ok().map(|_| answer)
    }

    #[tokio::test]
    async fn passes_cuts_at_a_pattern_stalls_and_refuses() {
        let proxy = Proxy::before(echo().await).await;
        let mut stream = TcpStream::connect(proxy.address).await.unwrap();
        assert_eq!(say(&mut stream, b"hello").await.unwrap(), b"hello");

        proxy.when(Direction::ToClient, "ack", 2, Action::Cut);
        assert_eq!(say(&mut stream, b"ack").await.unwrap(), b"ack");
        assert_eq!(say(&mut stream, b"an ack again").await, None);
        assert_eq!(proxy.fired(), 1);

        let mut stream = TcpStream::connect(proxy.address).await.unwrap();
        proxy.stall(Direction::ToServer);
        assert_eq!(say(&mut stream, b"wait").await, None);
        proxy.heal();
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"wait");

        proxy.refuse();
        assert_eq!(say(&mut stream, b"gone").await, None);
        let mut refused = TcpStream::connect(proxy.address).await.unwrap();
        assert_eq!(say(&mut refused, b"gone").await, None);
    }
}
