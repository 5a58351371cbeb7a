//! Configuration from anywhere: it parses or says why not, and a secret in a URL is never in what it says.
#![no_main]

use cim_keys::config::Config;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Config::from_toml(text) {
        Ok(config) => drop(config.validate()),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
