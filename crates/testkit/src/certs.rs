//! Certificates for TLS tests: a good set, and each way to be wrong.

use std::path::PathBuf;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use tempfile::TempDir;

/// PEM files in a folder of their own.
#[derive(Debug)]
pub struct Certs {
    folder: TempDir,
}

/// A certificate and its key.
#[derive(Debug, Clone)]
pub struct Pair {
    /// The certificate's file.
    pub cert: PathBuf,
    /// The private key's file.
    pub key: PathBuf,
}

impl Certs {
    /// Makes all of them.
    ///
    /// # Panics
    /// When a file can't be written.
    #[must_use]
    pub fn new() -> Self {
        let certs = Self { folder: TempDir::with_prefix("cim-keys-certs-").expect("a folder for certificates") };
        let (good, stranger) = (certs.authority("ca"), certs.authority("other-ca"));
        certs.leaf("server", &good, ExtendedKeyUsagePurpose::ServerAuth, 2999);
        certs.leaf("expired-server", &good, ExtendedKeyUsagePurpose::ServerAuth, 2021);
        certs.leaf("client", &good, ExtendedKeyUsagePurpose::ClientAuth, 2999);
        certs.leaf("expired-client", &good, ExtendedKeyUsagePurpose::ClientAuth, 2021);
        certs.leaf("other-client", &stranger, ExtendedKeyUsagePurpose::ClientAuth, 2999);
        certs
    }

    /// The authority that signed the good ones.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.file("ca.pem")
    }

    /// An authority that signed none of the server's.
    #[must_use]
    pub fn other_ca(&self) -> PathBuf {
        self.file("other-ca.pem")
    }

    /// One of `server`, `expired-server`, `client`, `expired-client`, `other-client` (signed by the other authority).
    #[must_use]
    pub fn pair(&self, name: &str) -> Pair {
        Pair { cert: self.file(&format!("{name}.pem")), key: self.file(&format!("{name}.key")) }
    }

    /// The `tls` block of a server with this certificate that demands one of its clients.
    #[must_use]
    pub fn server_conf(&self, name: &str) -> String {
        let Pair { cert, key } = self.pair(name);
        format!(
            "tls {{ cert_file: \"{}\", key_file: \"{}\", ca_file: \"{}\", verify: true }}",
            cert.display(),
            key.display(),
            self.ca().display()
        )
    }

    fn authority(&self, name: &str) -> Issuer<'static, KeyPair> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        params.key_usages.extend([KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign]);
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2999, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let cert = params.self_signed(&key).expect("a certificate");
        std::fs::write(self.file(&format!("{name}.pem")), cert.pem()).expect("a certificate's file");
        Issuer::new(params, key)
    }

    fn leaf(&self, name: &str, issuer: &Issuer<'static, KeyPair>, usage: ExtendedKeyUsagePurpose, until: i32) {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).expect("names that are valid");
        params.distinguished_name.push(DnType::CommonName, name);
        params.key_usages.push(KeyUsagePurpose::DigitalSignature);
        params.extended_key_usages.push(usage);
        params.use_authority_key_identifier_extension = true;
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let cert = params.signed_by(&key, issuer).expect("a certificate");
        std::fs::write(self.file(&format!("{name}.pem")), cert.pem()).expect("a certificate's file");
        let path = self.file(&format!("{name}.key"));
        std::fs::write(&path, key.serialize_pem()).expect("a key's file");
        #[cfg(unix)]
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("a key's file");
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Default for Certs {
    fn default() -> Self {
        Self::new()
    }
}
