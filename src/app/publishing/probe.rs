//! Whether a NATS server answers, without a login: a server greets each connection.

use std::io::Read as _;
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use crate::config::NatsConfig;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_millis(600);

/// The first configured server that answers within 600 ms, as it is configured and without its password.
#[must_use]
pub fn answering_server(config: &NatsConfig) -> Option<String> {
    config.url.iter().find(|url| greets(&url.host_and_port(), config.tls.handshake_first)).map(ToString::to_string)
}

fn greets(place: &(String, u16), silent: bool) -> bool {
    let Ok(addresses) = (place.0.as_str(), place.1).to_socket_addrs() else { return false };
    addresses.take(2).any(|address| {
        let Ok(mut stream) = TcpStream::connect_timeout(&address, PATIENCE) else { return false };
        // With `handshake_first` the server waits for our side of TLS.
        let mut greeting = [0; 5];
        silent
            || stream.set_read_timeout(Some(PATIENCE)).is_ok()
                && stream.read_exact(&mut greeting).is_ok()
                && greeting == *b"INFO "
    })
}
