//! What servers say that the user of a connection may not do.

use std::collections::BTreeSet;
use std::fmt;

use async_nats::{Event, ServerError};
use tokio::sync::{mpsc, watch};

use crate::text::visible;

/// Something that a user may not do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Denial {
    /// Publish to a subject.
    Publish(String),
    /// Subscribe to a subject.
    Subscribe(String),
}

impl Denial {
    /// Reads `Permissions Violation for Publish to "…"`, and the like for subscriptions.
    pub(super) fn read(text: &str) -> Option<Self> {
        let lower = text.to_ascii_lowercase();
        let at = |what: &str| lower.find(&format!("permissions violation for {what}"));
        let (at, denial): (_, fn(String) -> Self) = match (at("publish"), at("subscription")) {
            (Some(at), _) => (at, Self::Publish),
            (None, Some(at)) => (at, Self::Subscribe),
            (None, None) => return None,
        };
        text.get(at..)?.split('"').nth(1).map(str::to_owned).map(denial)
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Publish(subject) => write!(f, "publish to {}", visible(subject)),
            Self::Subscribe(subject) => write!(f, "subscribe to {}", visible(subject)),
        }
    }
}

/// Gathers what is denied on a connection, out of what its client tells.
pub(super) fn gather(mut told: mpsc::UnboundedReceiver<Event>) -> watch::Receiver<BTreeSet<Denial>> {
    let (deny, denied) = watch::channel(BTreeSet::new());
    tokio::spawn(async move {
        while let Some(event) = told.recv().await {
            let Event::ServerError(ServerError::Other(text)) = event else { continue };
            if let Some(denial) = Denial::read(&text) {
                deny.send_modify(|denied| {
                    denied.insert(denial);
                });
            }
        }
    });
    denied
}

#[cfg(test)]
mod tests {
    use super::Denial;

    #[test]
    fn what_is_denied_is_read_from_the_servers_words() {
        let said = "Permissions Violation for Publish to \"$SYS.REQ.CLAIMS.LIST\"";
        assert_eq!(Denial::read(said), Some(Denial::Publish("$SYS.REQ.CLAIMS.LIST".into())));
        let said = "Permissions Violation for Subscription to \"a\"";
        assert_eq!(Denial::read(said), Some(Denial::Subscribe("a".into())));
        assert_eq!(Denial::read("Authorization Violation"), None);
    }
}
