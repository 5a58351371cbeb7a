//! The testkit's own servers do what the tests rely on.

use std::time::Duration;

use async_nats::ConnectOptions;

use crate::{Certs, Cluster, JwtMode, NatsServer, ServerOptions};

async fn answers(url: &str) -> bool {
    let options = ConnectOptions::new().connection_timeout(Duration::from_secs(2));
    match options.connect(url).await {
        Ok(client) => async_nats::jetstream::new(client).query_account().await.is_ok(),
        Err(_) => false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_keeps_its_port_and_its_store_over_a_kill() {
    let Some(mut server) = NatsServer::run() else { return };
    let client = async_nats::connect(server.url()).await.unwrap();
    async_nats::jetstream::new(client)
        .create_stream(async_nats::jetstream::stream::Config {
            name: "S".into(),
            subjects: vec!["s.>".into()],
            ..Default::default()
        })
        .await
        .unwrap();
    server.kill();
    assert!(!answers(&server.url()).await);
    server.start();
    let client = async_nats::connect(server.url()).await.unwrap();
    assert!(async_nats::jetstream::new(client).get_stream("S").await.is_ok());

    server.pause();
    assert!(!answers(&server.url()).await);
    server.resume();
    assert!(answers(&server.url()).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_server_says_so() {
    let Some(server) = ServerOptions::default().old().start() else { return };
    let client = async_nats::connect(server.url()).await.unwrap();
    assert!(client.is_server_compatible(2, 9, 0) && !client.is_server_compatible(2, 12, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_has_a_leader() {
    let Some(cluster) = Cluster::run().await else { return };
    assert!(answers(&cluster.urls()[2]).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_demands_the_right_certificates() {
    let certs = Certs::new();
    let Some(server) = ServerOptions::default().conf(&certs.server_conf("server")).start() else { return };
    let connect = async |ca, client: &str| {
        let pair = certs.pair(client);
        let options = ConnectOptions::new().add_root_certificates(ca).add_client_certificate(pair.cert, pair.key);
        let client = options.require_tls(true).connect(server.url()).await.map_err(|error| format!("{error:?}"))?;
        client.flush().await.map_err(|error| error.to_string())
    };
    connect(certs.ca(), "client").await.unwrap();
    assert!(connect(certs.other_ca(), "client").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_jwts_takes_its_users_and_no_others() {
    let mode = JwtMode::new();
    let Some(server) = ServerOptions::default().conf(&mode.server_conf()).start() else { return };
    let connect = async |creds| {
        let options = ConnectOptions::with_credentials_file(creds).await.unwrap();
        let client = options.connect(server.url()).await.map_err(|error| error.to_string())?;
        async_nats::jetstream::new(client).query_account().await.map_err(|error| error.to_string())
    };
    connect(mode.creds(&[], &[])).await.unwrap();
    let refused = connect(mode.creds_of_a_stranger()).await.unwrap_err();
    assert!(refused.contains("authorization"), "{refused}");
}
