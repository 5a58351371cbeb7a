//! The command line's tests, a module a subject: the program is run as people and other programs run it.
//! `cargo test --test cli backup::` runs one module.
#![allow(unreachable_pub, clippy::unwrap_used)]

mod support;

mod acts;
mod agent;
mod backup;
mod copies;
mod documents;
mod hostile;
mod init_killed;
mod keys;
mod killed;
mod log;
mod nats;
mod nats_apply;
mod nats_handout;
mod nats_live;
mod nats_model;
mod nats_push;
mod nsc;
mod publishing;
mod relay;
mod requests;
mod secrets_scan;
mod stream;
mod terminal;
mod transcripts;
mod user_terms;
mod verbs;
