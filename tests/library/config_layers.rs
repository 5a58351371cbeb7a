//! The configuration: its keys, its layers, and what it refuses.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use cim_keys::config::{Config, KEYS, Layers, NatsConfig, Origin, Payload};

const WHOLE: &str = r#"
[nats]
enabled = true
url = "nats://localhost:4222"
stream_name = "CIM_KEYS_EVENTS"
object_store_bucket = "cim-keys-objects"
subject_prefix = "cim.keys"
enable_jetstream = true
enable_ipld = true
max_retries = 3
connection_timeout_secs = 10
credentials_file = "/path/to/nats.creds"

[nats.tls]
ca_cert = "/path/to/ca-cert.pem"
client_cert = "/path/to/client-cert.pem"
client_key = "/path/to/client-key.pem"
"#;

fn problems(text: &str) -> String {
    Config::from_toml(text).unwrap_err().to_string()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    pairs.iter().map(|(name, value)| (name.into(), value.into())).collect()
}

#[test]
fn the_documented_block_loads() {
    let nats = Config::from_toml(WHOLE).unwrap().nats;
    assert_eq!(nats.credentials_file, Some(PathBuf::from("/path/to/nats.creds")));
    assert_eq!(nats.tls.client_key, Some(PathBuf::from("/path/to/client-key.pem")));
    assert!(nats.requires_tls());
    let plain = NatsConfig { credentials_file: None, tls: cim_keys::config::TlsConfig::default(), ..nats };
    assert_eq!(plain, NatsConfig::default());
}

#[test]
fn the_example_says_the_defaults_and_names_every_key() {
    let example = Config::example();
    assert_eq!(Config::from_toml(&example).unwrap(), Config::default());
    for key in KEYS {
        let name = key.name.rsplit('.').next().unwrap();
        assert!(example.lines().any(|line| line.trim_start_matches("# ").starts_with(&format!("{name} = "))), "{name}");
    }
    // What is commented out parses as well, once it is not.
    let all = example.lines().map(|line| {
        let bare = line.strip_prefix("# ").unwrap_or(line);
        let set = KEYS.iter().any(|key| bare.starts_with(&format!("{} = ", key.name.rsplit('.').next().unwrap())));
        if set { bare } else { line }
    });
    let all = Config::from_toml(&all.collect::<Vec<_>>().join("\n")).unwrap();
    assert!(all.nats.domain.is_some() && all.nats.inbox_prefix.is_some() && all.nats.tls.ca_cert.is_some());
}

/// A value for each key that is not its default, so that a key that does nothing is noticed.
const OTHER: &[(&str, &str)] = &[
    ("nats.enabled", "false"),
    ("nats.url", "tls://n1:5222,n2"),
    ("nats.stream_name", "OTHER"),
    ("nats.object_store_bucket", "other"),
    ("nats.subject_prefix", "acme.keys"),
    ("nats.head_subject", "acme.heads"),
    ("nats.enable_jetstream", "false"),
    ("nats.enable_ipld", "false"),
    ("nats.payload", "dag-cbor"),
    ("nats.replicas", "3"),
    ("nats.publish_batch", "100"),
    ("nats.max_retries", "0"),
    ("nats.connection_timeout_secs", "2"),
    ("nats.air_gapped", "true"),
    ("nats.domain", "hub"),
    ("nats.inbox_prefix", "_INBOX.publisher"),
    ("nats.credentials_file", "/a"),
    ("nats.tls.ca_cert", "/b"),
    ("nats.tls.client_cert", "/c"),
    ("nats.tls.client_key", "/d"),
    ("nats.tls.handshake_first", "true"),
    ("verify.policy", "/e"),
];

#[test]
fn an_address_is_named_only_by_a_layer() {
    assert!(Layers::new().resolve().unwrap().named_servers().is_none());
    // The example says the defaults, and names no address.
    let mut example = Layers::new();
    example.file(Path::new("config.toml"), &Config::example());
    let example = example.resolve().unwrap();
    assert!(example.named_servers().is_none() && example.is_set("nats.stream_name") && !example.is_set("nats.url"));
    // The text of the default counts as named, wherever it stands.
    let default = "nats://localhost:4222";
    let mut file = Layers::new();
    file.file(Path::new("config.toml"), &format!("[nats]\nurl = \"{default}\"\n"));
    let mut variable = Layers::new();
    variable.variables(pairs(&[("CIM_KEYS_NATS_URL", default)]));
    let mut flag = Layers::new();
    flag.flag("--url", "nats.url", default);
    for layers in [file, variable, flag] {
        assert_eq!(layers.resolve().unwrap().named_servers().unwrap().to_string(), default);
    }
}

#[test]
fn every_key_can_be_set_by_each_layer_and_is_shown() {
    assert_eq!(OTHER.iter().map(|(key, _)| *key).collect::<Vec<_>>(), KEYS.iter().map(|k| k.name).collect::<Vec<_>>());
    for (key, value) in OTHER {
        let variable = KEYS.iter().find(|k| k.name == *key).unwrap().variable();
        let mut by_variable = Layers::new();
        by_variable.variables(pairs(&[(&variable, value)]));
        let mut by_flag = Layers::new();
        by_flag.flag("--flag", key, value);
        let (by_variable, by_flag) = (by_variable.resolve().unwrap(), by_flag.resolve().unwrap());
        assert_eq!(by_variable.config, by_flag.config, "{key}");
        assert_ne!(by_flag.config, Config::default(), "{key} does nothing");
        let setting = by_flag.settings().find(|setting| setting.key == *key).unwrap();
        assert_eq!(setting.origin, Origin::Flag("--flag".into()));
        // What is shown can be written into a file and means the same.
        let (table, name) = key.rsplit_once('.').unwrap();
        let mut by_file = Layers::new();
        by_file.file(Path::new("/etc/config.toml"), &format!("[{table}]\n{name} = {}\n", setting.value.unwrap()));
        let by_file = by_file.resolve().unwrap();
        assert_eq!(by_file.config, by_flag.config, "{key}");
        let origin = by_file.settings().find(|setting| setting.key == *key).unwrap().origin;
        assert_eq!(origin.to_string(), "/etc/config.toml:2");
    }
}

#[test]
fn higher_layers_win_and_say_so() {
    let mut layers = Layers::new();
    layers.file(
        Path::new("/l/config.toml"),
        "[nats]\nurl = [\"nats://a\", \"nats://b\"]\ncredentials_file = \"x.creds\"\nreplicas = 3\n",
    );
    layers.variables(pairs(&[
        ("CIM_KEYS_NATS_URL", "nats://c"),
        ("CIM_KEYS_NATS_REPLICAS", "5"),
        ("CIM_KEYS_LEDGER", "/elsewhere"),
        ("CIM_KEYS_PASSPHRASE", "not ours"),
        ("PATH", "/bin"),
    ]));
    layers.flag("--nats-url", "nats.url", "nats://d");
    let resolved = layers.resolve().unwrap();
    assert_eq!(resolved.config.nats.url.to_string(), "nats://d:4222");
    assert_eq!(resolved.config.nats.replicas, 5);
    assert_eq!(resolved.config.nats.credentials_file, Some(PathBuf::from("/l/x.creds")), "relative to the file");
    let origin = |key| resolved.settings().find(|s| s.key == key).unwrap().origin.to_string();
    assert_eq!(origin("nats.url"), "--nats-url");
    assert_eq!(origin("nats.replicas"), "CIM_KEYS_NATS_REPLICAS");
    assert_eq!(origin("nats.credentials_file"), "/l/config.toml:3");
    assert_eq!(origin("nats.payload"), "default");
}

#[test]
fn an_empty_variable_takes_an_optional_value_back() {
    let mut layers = Layers::new();
    layers.file(Path::new("config.toml"), WHOLE);
    layers.variables(pairs(&[("CIM_KEYS_NATS_CREDENTIALS_FILE", "")]));
    assert_eq!(layers.resolve().unwrap().config.nats.credentials_file, None);
}

#[test]
fn unknown_keys_name_the_line_and_the_nearest_known_one() {
    for (text, expected) in [
        (
            "\n\n[nats]\nstream_nam = \"X\"\n",
            "config.toml:4: there is no key \"nats.stream_nam\"; did you mean \"nats.stream_name\"?",
        ),
        ("url = \"nats://a\"\n", "config.toml:1: there is no key \"url\"; did you mean \"nats.url\"?"),
        ("[nast]\nurl = \"x\"\n", "config.toml:1: there is no key \"nast\"; did you mean \"nats\"?"),
        ("[nats.tls]\nca = \"x\"\n", "did you mean \"nats.tls.ca_cert\"?"),
        ("[nats]\nzzz = 1\n", "config.toml:2: there is no key \"nats.zzz\""),
        ("nats = 1\n", "config.toml:1: nats must be a table: write its keys under [nats]"),
    ] {
        let problems = problems(text);
        assert!(problems.contains(expected), "{problems}");
    }
    let mut layers = Layers::new();
    layers.variables(pairs(&[("CIM_KEYS_NATS_STREAM", "X")]));
    layers.flag("--set", "nats.replica", "3");
    let problems = layers.resolve().unwrap_err().to_string();
    assert!(
        problems
            .contains("CIM_KEYS_NATS_STREAM: there is no such variable; did you mean \"CIM_KEYS_NATS_STREAM_NAME\"?"),
        "{problems}"
    );
    assert!(
        problems.contains("--set: there is no key \"nats.replica\"; did you mean \"nats.replicas\"?"),
        "{problems}"
    );
}

#[test]
fn wrong_values_are_all_told_at_once() {
    let problems = problems(
        "[nats]\nenabled = \"yes\"\nreplicas = 6\npublish_batch = 1000\nmax_retries = -1\npayload = \"cbor\"\n\
         subject_prefix = \"cim.>\"\nstream_name = \"a b\"\nurl = []\nconnection_timeout_secs = 99999999999999999999\n",
    );
    assert_eq!(problems.lines().count(), 9, "{problems}");
    for (line, key) in problems.lines().zip(["enabled", "replicas", "publish_batch", "max_retries"]) {
        assert!(line.contains(&format!("nats.{key}")), "{line}");
    }
}

#[test]
fn no_problem_shows_a_password_or_an_escape() {
    for text in [
        "[nats]\nurl = \"nats://kim:s3cret@n1:x\"\n",
        "[nats]\nurl = \"nats://kim:s3cret@n1\" x\n",
        "[nats]\nurl = nats://kim:s3cret@n1\n",
        "[nats]\n\"a\\u001b[31m\" = 1\n",
    ] {
        let problems = problems(text);
        assert!(!problems.contains("s3cret") && !problems.contains('\u{1b}'), "{problems}");
    }
    let mut layers = Layers::new();
    layers.variables(pairs(&[("CIM_KEYS_NATS_URL", "nats://kim:s3cret@n1")]));
    let resolved = layers.resolve().unwrap();
    assert!(!format!("{resolved:?} {:?}", resolved.settings().collect::<Vec<_>>()).contains("s3cret"));
    assert!(resolved.config.nats.url.iter().next().unwrap().reveal().contains("s3cret"));
}

#[test]
fn garbage_is_refused_without_a_panic() {
    for text in
        ["\u{0}", "[[nats]]\n", "nats.url.x = 1", "[nats]\nurl = [1]\n", &"a".repeat(300_000), "\u{feff}[", "é = \n"]
    {
        problems(text);
    }
}

#[test]
fn contradictions() {
    let invalid = |change: fn(&mut NatsConfig)| {
        let mut config = NatsConfig::default();
        change(&mut config);
        config.validate().unwrap_err().to_string()
    };
    for (expected, problem) in [
        ("overlap", invalid(|c| c.head_subject = "cim".parse().unwrap())),
        ("overlap", invalid(|c| c.subject_prefix = "cim.checkpoints.x".parse().unwrap())),
        ("would keep replies", invalid(|c| c.inbox_prefix = Some("cim.keys".parse().unwrap()))),
        ("OBJ_", invalid(|c| c.stream_name = "OBJ_x".parse().unwrap())),
        (
            "air_gapped",
            invalid(|c| (c.air_gapped, c.url) = (true, "nats://localhost,nats://10.0.0.1".parse().unwrap())),
        ),
        ("plain JSON", invalid(|c| (c.enable_ipld, c.payload) = (false, Payload::DagCbor))),
        ("JetStream domain", invalid(|c| (c.enable_jetstream, c.domain) = (false, Some("hub".parse().unwrap())))),
        (
            "takes one of them",
            invalid(|c| {
                c.url = "nats://a:b@localhost".parse().unwrap();
                c.credentials_file = Some("/nowhere".into());
            }),
        ),
        ("different users", invalid(|c| c.url = "nats://a:b@localhost,nats://a:c@localhost".parse().unwrap())),
        ("without nats.tls.client_key", invalid(|c| c.tls.client_cert = Some("/nowhere".into()))),
        ("without nats.tls.client_cert", invalid(|c| c.tls.client_key = Some("/nowhere".into()))),
    ] {
        assert!(problem.contains(expected), "{expected}: {problem}");
    }
    let many = invalid(|c| {
        c.head_subject = "cim".parse().unwrap();
        c.tls.ca_cert = Some("/nowhere/ca.pem".into());
        c.credentials_file = Some("/nowhere".into());
    });
    assert_eq!(many.lines().count(), 3, "{many}");
}

#[test]
#[cfg(unix)]
fn files() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str, mode: u32| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    };
    let creds = "-----BEGIN NATS USER JWT-----\nx\n------END NATS USER JWT------\n-----BEGIN USER NKEY SEED-----\nSUsecret\n------END USER NKEY SEED------\n";
    let with = |path: PathBuf| NatsConfig { credentials_file: Some(path), ..NatsConfig::default() }.validate();
    assert!(with(write("good", creds, 0o600)).is_ok());
    assert!(with(write("readonly", creds, 0o400)).is_ok());
    for (path, expected) in [
        (write("loose", creds, 0o644), "chmod 600"),
        (write("empty", "", 0o600), "holds no NATS credentials"),
        (folder.path().to_owned(), "is not a file"),
        (folder.path().join("missing"), "can't be read"),
        (write("large", &"x".repeat(1_100_000), 0o600), "larger than"),
    ] {
        let problem = with(path).unwrap_err().to_string();
        assert!(problem.contains(expected) && !problem.contains("SUsecret"), "{expected}: {problem}");
    }
    let ca = write("ca", "-----BEGIN CERTIFICATE-----\n", 0o644);
    let config = NatsConfig {
        tls: cim_keys::config::TlsConfig { ca_cert: Some(ca), ..Default::default() },
        ..NatsConfig::default()
    };
    assert!(config.validate().is_ok());
}
