//! Addresses of NATS servers.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::text::{DnsName, InvalidText};

const KIND: &str = "NATS server address";
const DEFAULT_PORT: u16 = 4222;

/// One NATS server: `nats://HOST[:PORT]` or `tls://HOST[:PORT]`, with `USER:PASSWORD@` before the host where the server
/// wants that. Without a scheme, `nats://` is meant; without a port, 4222.
///
/// `Display` and `Debug` never show the password: only [`ServerUrl::reveal`] does.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerUrl {
    tls: bool,
    login: Option<(String, String)>,
    host: Host,
    port: u16,
}

#[derive(Clone, PartialEq, Eq)]
enum Host {
    Name(DnsName),
    V4(Ipv4Addr),
    V6(Ipv6Addr),
}

impl ServerUrl {
    /// The whole address, with its password: for the connection alone.
    #[must_use]
    pub fn reveal(&self) -> String {
        let login = self.login.as_ref().map_or_else(String::new, |(user, password)| format!("{user}:{password}@"));
        self.text(&login)
    }

    /// Host and port, as a system's resolver takes them.
    #[must_use]
    pub fn host_and_port(&self) -> (String, u16) {
        let host = match &self.host {
            Host::Name(name) => name.to_string(),
            Host::V4(address) => address.to_string(),
            Host::V6(address) => address.to_string(),
        };
        (host, self.port)
    }

    /// Whether the scheme asks for TLS.
    #[must_use]
    pub const fn is_tls(&self) -> bool {
        self.tls
    }

    /// Whether the address carries a user and a password.
    #[must_use]
    pub const fn has_login(&self) -> bool {
        self.login.is_some()
    }

    /// The user and the password, decoded: for the connection alone.
    #[must_use]
    pub fn login(&self) -> Option<(String, String)> {
        self.login.as_ref().map(|(user, password)| (decoded(user), decoded(password)))
    }

    /// Whether nothing that is sent there can leave this machine: `localhost`, 127.0.0.0/8 or `::1`.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        match &self.host {
            Host::Name(name) => name.as_str() == "localhost",
            Host::V4(address) => address.is_loopback(),
            Host::V6(address) => address.is_loopback(),
        }
    }

    fn text(&self, login: &str) -> String {
        let (scheme, port) = (if self.tls { "tls" } else { "nats" }, self.port);
        match &self.host {
            Host::Name(name) => format!("{scheme}://{login}{name}:{port}"),
            Host::V4(address) => format!("{scheme}://{login}{address}:{port}"),
            Host::V6(address) => format!("{scheme}://{login}[{address}]:{port}"),
        }
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let login = self.login.as_ref().map_or_else(String::new, |(user, _)| format!("{user}:***@"));
        f.pad(&self.text(&login))
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerUrl({self})")
    }
}

impl FromStr for ServerUrl {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        // Whatever stands before an @ may be a password, and errors are shown: only what follows it is quoted.
        let shown = text.rsplit_once('@').map_or(text, |(_, after)| after);
        parse(text).map_err(|reason| InvalidText::new(KIND, shown, reason))
    }
}

fn parse(text: &str) -> Result<ServerUrl, String> {
    if text.len() > 1_024 {
        return Err("it is longer than 1,024 bytes".into());
    }
    let (tls, rest) = match text.split_once("://") {
        None => (false, text),
        Some(("nats", rest)) => (false, rest),
        Some(("tls", rest)) => (true, rest),
        Some(("ws" | "wss", _)) => return Err("WebSocket is not spoken here; use nats:// or tls://".into()),
        Some(_) => return Err("it must begin with nats:// or tls://".into()),
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (login, address) = match rest.rsplit_once('@') {
        None => (None, rest),
        Some((login, address)) => (Some(parse_login(login)?), address),
    };
    let (host, port) = parse_address(address)?;
    Ok(ServerUrl { tls, login, host, port })
}

fn parse_login(login: &str) -> Result<(String, String), String> {
    const NEEDED: &str = "before the @ a user and a password joined by a colon are needed, percent-encoded";
    let (user, password) = login.split_once(':').ok_or(NEEDED)?;
    let allowed = |b: u8| b.is_ascii_graphic() && !b"/?#[]@\"<>\\^`{|}".contains(&b);
    if user.is_empty() || password.is_empty() || password.contains(':') || !login.bytes().all(allowed) {
        return Err(NEEDED.into());
    }
    Ok((user.to_owned(), password.to_owned()))
}

/// Takes percent-encoding back. What does not read so stands for itself.
fn decoded(text: &str) -> String {
    let hex = |byte: Option<&u8>| byte.and_then(|&b| char::from(b).to_digit(16));
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match (byte, hex(bytes.get(at + 1)), hex(bytes.get(at + 2))) {
            // Two hexadecimal digits make one byte.
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 3;
            }
            _ => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn parse_address(address: &str) -> Result<(Host, u16), String> {
    if let Some(inner) = address.strip_prefix('[') {
        let (host, after) = inner.split_once(']').ok_or("the closing ] of its IPv6 address is missing")?;
        let host = host.parse().map_err(|_| "between [ and ] an IPv6 address is needed")?;
        return Ok((Host::V6(host), parse_port(after.strip_prefix(':').filter(|_| !after.is_empty()), after)?));
    }
    let (host, port) = match address.split_once(':') {
        None => (address, DEFAULT_PORT),
        Some((host, port)) => (host, parse_port(Some(port), port)?),
    };
    if let Ok(v4) = host.parse() {
        return Ok((Host::V4(v4), port));
    }
    let name = DnsName::new(&host.to_ascii_lowercase()).map_err(|e| format!("its host is not valid: {}", e.reason))?;
    Ok((Host::Name(name), port))
}

fn parse_port(port: Option<&str>, after: &str) -> Result<u16, String> {
    match port {
        None if after.is_empty() => Ok(DEFAULT_PORT),
        Some(text) if text.bytes().all(|b| b.is_ascii_digit()) => {
            text.parse().ok().filter(|&port| port > 0).ok_or_else(|| "its port must be 1 to 65535".into())
        }
        _ => Err("its port must be 1 to 65535, and nothing may follow it".into()),
    }
}

/// The servers of one NATS system, in the order in which they are tried; at least one, at most 32.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerUrls(Vec<ServerUrl>);

impl ServerUrls {
    /// Takes a list of addresses.
    ///
    /// # Errors
    /// See [`InvalidText`].
    pub fn new(urls: Vec<ServerUrl>) -> Result<Self, InvalidText> {
        match urls.len() {
            1..=32 => Ok(Self(urls)),
            count => Err(InvalidText::new("list of NATS servers", &format!("{count} addresses"), "1 to 32 are needed")),
        }
    }

    /// The addresses.
    pub fn iter(&self) -> std::slice::Iter<'_, ServerUrl> {
        self.0.iter()
    }
}

impl FromStr for ServerUrls {
    type Err = InvalidText;

    /// Reads addresses joined by commas.
    fn from_str(text: &str) -> Result<Self, InvalidText> {
        Self::new(text.split(',').map(|url| url.trim().parse()).collect::<Result<_, _>>()?)
    }
}

impl From<ServerUrl> for ServerUrls {
    fn from(url: ServerUrl) -> Self {
        Self(vec![url])
    }
}

impl fmt::Display for ServerUrls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, url) in self.0.iter().enumerate() {
            write!(f, "{}{url}", if i == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl fmt::Debug for ServerUrls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.0).finish()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_taken() {
        for (given, whole, loopback) in [
            ("nats://localhost:4222", "nats://localhost:4222", true),
            ("localhost", "nats://localhost:4222", true),
            ("N1.Example.org:5222/", "nats://n1.example.org:5222", false),
            ("tls://10.0.0.1", "tls://10.0.0.1:4222", false),
            ("nats://127.8.9.10:1", "nats://127.8.9.10:1", true),
            ("nats://[::1]:4333", "nats://[::1]:4333", true),
            ("nats://[::1]", "nats://[::1]:4222", true),
            ("nats://kim:s3cret@localhost:4222", "nats://kim:s3cret@localhost:4222", true),
        ] {
            let url: ServerUrl = given.parse().unwrap();
            assert_eq!((url.reveal().as_str(), url.is_loopback()), (whole, loopback), "{given}");
        }
    }

    #[test]
    fn what_is_refused() {
        for bad in [
            "",
            "http://localhost",
            "ws://localhost",
            "nats://",
            "nats://a:b",
            "nats://a:0",
            "nats://a:65536",
            "nats://a:+1",
            "nats://a:1/x",
            "nats://[::1",
            "nats://[x]",
            "nats://[::1]x",
            "nats://[::1]:",
            "nats://token@localhost",
            "nats://a:@localhost",
            "nats://a b",
            "nats://a?x=1",
        ] {
            assert!(bad.parse::<ServerUrl>().is_err(), "{bad}");
        }
        assert!("nats://a,,nats://b".parse::<ServerUrls>().is_err());
        assert!(vec!["a"; 33].join(",").parse::<ServerUrls>().is_err());
    }

    #[test]
    fn a_password_is_never_shown() {
        let url: ServerUrl = "tls://kim:s3cret@n1".parse().unwrap();
        assert_eq!(url.to_string(), "tls://kim:***@n1:4222");
        assert_eq!(url.login(), Some(("kim".into(), "s3cret".into())));
        let encoded: ServerUrl = "nats://k%C3%AFm:a%40b%3a%25%zz@n1".parse().unwrap();
        assert_eq!(encoded.login(), Some(("kïm".into(), "a@b:%%zz".into())));
        assert!(!format!("{url:?} {:?}", ServerUrls::from(url.clone())).contains("s3cret"));
        for bad in ["nats://kim:s3cret@n1:x", "nats://kim:s3:cret@n1", "http://kim:s3cret@n1", "nats://kim:s3cret@n@1"]
        {
            let error = bad.parse::<ServerUrl>().unwrap_err().to_string();
            assert!(!error.contains("cret"), "{error}");
        }
    }
}
