//! Who we are, and whom we talk to.

use cim_keys_testkit::certs::Pair;
use cim_keys_testkit::{Certs, JwtMode, ServerOptions};

use super::harness::{Publisher, config, connect_with, settle_and_check};

#[tokio::test(flavor = "multi_thread")]
async fn client_certificates_are_used_and_wrong_ones_are_told_apart() {
    let certs = Certs::new();
    let tls = |server: &str| ServerOptions::default().conf(&certs.server_conf(server)).start();
    let Some(good) = tls("server") else { return };
    let Some(expired) = tls("expired-server") else { return };
    let settings = |server: &cim_keys_testkit::NatsServer, ca: std::path::PathBuf, client: Option<&str>| {
        let mut settings = config(&server.url().replace("nats://", "tls://"));
        settings.tls.ca_cert = Some(ca);
        if let Some(Pair { cert, key }) = client.map(|client| certs.pair(client)) {
            settings.tls.client_cert = Some(cert);
            settings.tls.client_key = Some(key);
        }
        settings
    };
    // What is wrong, and the words that say so.
    let cases = [
        (settings(&good, certs.other_ca(), Some("client")), "unknown issuer"),
        (settings(&expired, certs.ca(), Some("client")), "expired"),
        (settings(&good, certs.ca(), Some("expired-client")), "TLS with"),
        (settings(&good, certs.ca(), Some("other-client")), "TLS with"),
        (settings(&good, certs.ca(), None), "TLS with"),
    ];
    for (settings, word) in cases {
        let mut publisher = Publisher::new(settings);
        publisher.publish(2).await;
        let problem = publisher.adapter.connect().await.unwrap_err().to_string();
        assert!(problem.contains(word), "{word}: {problem}");
        assert_eq!(publisher.queued().await, 2);
        publisher.close().await;
    }

    let mut publisher = Publisher::new(settings(&good, certs.ca(), Some("client")));
    publisher.publish(120).await;
    publisher.settle().await;
    let Pair { cert, key } = certs.pair("client");
    let options = async_nats::ConnectOptions::new().add_root_certificates(certs.ca()).add_client_certificate(cert, key);
    let client = options.require_tls(true).connect(good.url()).await.unwrap();
    publisher.close().await.check_with(&client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn creds_of_a_server_of_jwts_are_used_and_wrong_ones_are_told() {
    let mode = JwtMode::new();
    let Some(server) = ServerOptions::default().conf(&mode.server_conf()).start() else { return };
    let mut settings = config(&server.url());
    settings.credentials_file = Some(mode.creds_of_a_stranger());
    let mut publisher = Publisher::new(settings);
    publisher.publish(120).await;
    let problem = publisher.adapter.connect().await.unwrap_err().to_string();
    assert!(problem.contains("credentials") || problem.contains("creds"), "{problem}");

    let mut closed = publisher.close().await;
    let creds = mode.creds(&[], &[]);
    closed.config.credentials_file = Some(creds.clone());
    let publisher = closed.reopen();
    publisher.settle().await;
    publisher.close().await.check_with(&connect_with(&server.url(), &creds).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_wants_a_password_says_so_and_gets_it_from_the_url() {
    let conf = "authorization { user: publisher, password: right }";
    let Some(server) = ServerOptions::default().conf(conf).start() else { return };
    let url = |password: &str| format!("nats://publisher:{password}@{}", server.address());
    let mut publisher = Publisher::new(config(&url("wrong")));
    publisher.publish(3).await;
    let problem = publisher.adapter.connect().await.unwrap_err().to_string();
    assert!(problem.contains("refuses these credentials") && !problem.contains("wrong"), "{problem}");
    let mut closed = publisher.close().await;
    closed.config = config(&url("right"));
    settle_and_check(closed.reopen(), &url("right")).await;
}
