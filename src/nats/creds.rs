//! Credentials files: a user's token and seed in one text, as every NATS client reads them.

use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use super::claims::User;
use super::jwt::{self, DecodeError};
use crate::events::NkeyKind;
use crate::keys::{SecretBytes, check_public_nkey, normalize};

/// The largest file that is read, in bytes.
pub const MAX_LEN: usize = jwt::MAX_LEN + 4_096;

const JWT_BEGIN: &str = "-----BEGIN NATS USER JWT-----";
const JWT_END: &str = "------END NATS USER JWT------";
const SEED_BEGIN: &str = "-----BEGIN USER NKEY SEED-----";
const SEED_END: &str = "------END USER NKEY SEED------";

/// Why a text is no credentials file. The text itself is never shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CredsError {
    /// It is longer than [`MAX_LEN`].
    #[error("the file is too long for NATS credentials")]
    TooLong,
    /// A part is missing.
    #[error("the file holds no {0} between its BEGIN and END lines")]
    Missing(&'static str),
    /// The token is no user's, or its signature is not its issuer's.
    #[error("the token in the file does not hold: {0}")]
    Token(#[from] DecodeError),
    /// The seed is no user's seed.
    #[error("the seed in the file is no seed of a user (SU…)")]
    Seed,
    /// The seed is not that of the token's subject.
    #[error("the seed in the file belongs to {seed}, and the token to {token}: they were mixed up")]
    Mismatch {
        /// The seed's public key.
        seed: String,
        /// The token's subject.
        token: String,
    },
}

/// A user's credentials.
#[derive(Debug)]
pub struct Creds {
    /// The user's token.
    pub token: String,
    /// The user's seed (`SU…`).
    pub seed: SecretString,
}

impl Creds {
    /// Reads a credentials file, and checks that the token is a user's, that its signature is its issuer's, and that
    /// the seed is its subject's.
    ///
    /// # Errors
    /// See [`CredsError`].
    pub fn parse(text: &str) -> Result<Self, CredsError> {
        if text.len() > MAX_LEN {
            return Err(CredsError::TooLong);
        }
        let token = section(text, "BEGIN NATS USER JWT").ok_or(CredsError::Missing("user JWT"))?;
        let seed = section(text, "BEGIN USER NKEY SEED").ok_or(CredsError::Missing("user seed"))?;
        let claims = jwt::decode::<User>(token)?;
        let secret = SecretBytes::new(Box::new(seed.as_bytes().to_vec()));
        let public = normalize(&secret).map_err(|_| CredsError::Seed)?.0.public_key;
        if !matches!(check_public_nkey(public.as_str()), Ok((NkeyKind::User, _))) {
            return Err(CredsError::Seed);
        }
        if public.as_str() != claims.registered.sub {
            return Err(CredsError::Mismatch { seed: public.to_string(), token: claims.registered.sub });
        }
        Ok(Self { token: token.to_owned(), seed: SecretString::from(seed.to_owned()) })
    }

    /// The file's text. It is a secret.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let seed = self.seed.expose_secret();
        let mut text = Zeroizing::new(String::with_capacity(self.token.len() + seed.len() + 512));
        for part in [
            JWT_BEGIN,
            "\n",
            &self.token,
            "\n",
            JWT_END,
            "\n\n************************* IMPORTANT *************************\n",
            "NKEY Seed printed below can be used to sign and prove identity.\n",
            "NKEYs are sensitive and should be treated as secrets.\n\n",
            SEED_BEGIN,
            "\n",
            seed,
            "\n",
            SEED_END,
            "\n\n*************************************************************\n",
        ] {
            text.push_str(part);
        }
        text
    }
}

/// The one line between a `--- title ---` line and an `--- END … ---` line; clients take any number of dashes from three on.
fn section<'a>(text: &'a str, title: &str) -> Option<&'a str> {
    let mut lines = text.lines().map(str::trim);
    lines.find(|line| line.starts_with("---") && line.ends_with("---") && line.trim_matches('-') == title)?;
    let body = lines.find(|line| !line.is_empty())?;
    let end = lines.find(|line| !line.is_empty())?;
    (!body.starts_with("---") && end.starts_with("---")).then_some(body)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::claims::{Claims, Registered, UserPermissions};
    use super::*;
    use nkeys::KeyPair;

    fn creds() -> Creds {
        let (account, user) = (KeyPair::new_account(), KeyPair::new_user());
        let registered = Registered { sub: user.public_key(), iat: 1, ..Registered::default() };
        let nats = User { permissions: UserPermissions::unlimited(), ..User::default() };
        let mut claims = Claims { registered, nats };
        let token = jwt::sign(&mut claims, &account.public_key(), |bytes| account.sign(bytes)).unwrap();
        Creds { token, seed: user.seed().unwrap().into() }
    }

    #[test]
    fn the_text_reads_back() {
        let made = creds();
        let read = Creds::parse(&made.to_text()).unwrap();
        assert_eq!((read.token, read.seed.expose_secret()), (made.token.clone(), made.seed.expose_secret()));
        let windows = made.to_text().replace('\n', "\r\n");
        assert!(Creds::parse(&windows).is_ok());
    }

    #[test]
    fn what_does_not_belong_together_is_refused_without_showing_it() {
        let (a, b) = (creds(), creds());
        let mixed = Creds { token: a.token.clone(), seed: b.seed.clone() };
        let error = Creds::parse(&mixed.to_text()).unwrap_err();
        assert!(matches!(error, CredsError::Mismatch { .. }));
        assert!(!error.to_string().contains(b.seed.expose_secret()));
        for bad in ["", "-----BEGIN NATS USER JWT-----\n------END NATS USER JWT------\n", &a.token] {
            assert!(Creds::parse(bad).is_err());
        }
    }
}
