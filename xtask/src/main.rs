//! The cim-keys command line.
fn main() {}
