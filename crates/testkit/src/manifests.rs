//! Files for `cim-keys apply` that several tests begin with.

/// An organisation, its NATS operator, the system account and an account `ORDERS`.
pub const ACME: &str = r#"
format = "cim-keys/1"
[organization]
name = "Acme"
[nats.operator]
name = "ACME"
[nats.accounts.sys]
name = "SYS"
system = true
[nats.accounts.orders]
name = "ORDERS"
"#;
