//! What a machine can be like: paths that are no text, folders and pipes where files are meant, clocks that are off, two
//! processes at once, a reader that has gone. Nothing panics, nothing is lost, and what is said helps.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Place, Run, files, run};

/// Runs a command that must come back by itself.
fn soon(mut command: Command) -> Run {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let begun = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begun.elapsed() > Duration::from_secs(30) {
            child.kill().unwrap();
            panic!("it does not end: {command:?}");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let output = child.wait_with_output().unwrap();
    Run {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn text(place: &Place, args: &[&str]) -> Run {
    let mut command = place.command(args);
    command.env("CIM_KEYS_OUTPUT", "text").env("CIM_KEYS_LOG", "off");
    soon(command)
}

fn fifo(path: &std::path::Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn a_folder_whose_name_is_no_text_holds_a_ledger() {
    let place = Place::empty();
    let (root, issuing) = place.passphrase_flags();
    let folder = place.dir.path().join(OsStr::from_bytes(b"ledger-\xff\xfe"));
    for output in ["text", "json"] {
        let _ = fs::remove_dir_all(&folder);
        let mut init = place.command(&["init", "--name", "Acme", "--work-factor", "10", &root, &issuing]);
        let made = soon(std::mem::replace(init.env("CIM_KEYS_OUTPUT", output).arg(&folder), Command::new("true")));
        assert_eq!(made.code, 0, "{made:?}");
        let mut add = place.command(&["organization", "add", "Acme"]);
        add.env("CIM_KEYS_LEDGER", &folder).env("CIM_KEYS_OUTPUT", output);
        assert_eq!(soon(add).code, 0);
        let mut verify = place.command(&["verify"]);
        verify.env("CIM_KEYS_LEDGER", &folder).env("CIM_KEYS_OUTPUT", output);
        assert_eq!(soon(verify).code, 0);
    }
}

#[test]
fn of_two_that_make_a_ledger_at_once_one_has_it_whole() {
    let place = Place::empty();
    let (root, issuing) = place.passphrase_flags();
    for round in 0..8 {
        let folder = format!("twice-{round}");
        let args = ["init", &folder, "--work-factor", "10", &root, &issuing];
        let start = || place.command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let children: Vec<_> = (0..3).map(|_| start()).collect();
        let outputs: Vec<_> = children.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
        let made = outputs.iter().filter(|output| output.status.success()).count();
        assert_eq!(made, 1, "{outputs:?}");
        for output in outputs.iter().filter(|output| !output.status.success()) {
            assert_eq!(output.status.code(), Some(2), "{output:?}");
        }
        // Its keys are there: a head can be signed.
        place.run(&["--ledger", &folder, "log", "checkpoint", "--sign", &issuing]).json();
    }
}

#[test]
fn what_is_no_ledger_is_told_so() {
    let place = Place::new();
    fs::create_dir_all(place.path("folder/ledger.db")).unwrap();
    fs::create_dir_all(place.path("pipe")).unwrap();
    fifo(&place.path("pipe/ledger.db"));
    place.file("file", b"x");
    for (ledger, next) in
        [("folder", "no file"), ("pipe", "no file"), ("file", "that is a file"), ("acme/ledger.db", "that is a file")]
    {
        for args in [&["status"][..], &["verify"], &["organization", "add", "X"]] {
            text(&place, &[args, &["--ledger", ledger]].concat()).fails(2, &["there is no ledger in", next, "hint: "]);
        }
    }
}

#[test]
fn a_wrong_configuration_does_not_deny_what_was_recorded() {
    let place = Place::new();
    let config = place.ledger().join("config.toml");
    for wrong in ["[nats\n", "[nats]\nurll = 1\n", "nats = 1\n"] {
        fs::write(&config, wrong).unwrap();
        let told = text(&place, &["person", "add", "Ada"]);
        assert!(told.code == 0 && told.stdout.contains("Created person Ada."), "{told:?}");
        assert!(told.stderr.contains("warning: the recorded events wait for publication: "), "{told:?}");
        assert!(told.stderr.contains("cim-keys config validate"), "{told:?}");
        text(&place, &["config", "validate"]).fails(2, &["config.toml"]);
    }
    text(&place, &["config", "validate"]).fails(2, &["nats must be a table: write its keys under [nats]"]);
    // What never ends is not read to its end.
    fs::remove_file(&config).unwrap();
    fifo(&config);
    text(&place, &["config", "validate"]).fails(2, &["it is not a file"]);
    fs::remove_file(&config).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &config).unwrap();
    text(&place, &["config", "validate"]).fails(2, &["it is not a file"]);
    assert_eq!(text(&place, &["person", "add", "Ada"]).code, 0);
}

#[test]
fn a_saved_plan_replaces_plans_only() {
    let place = Place::new();
    let file = "format = \"cim-keys/1\"\n[organization]\nname = \"Acme\"\n[people.ada]\nname = \"Ada\"\n";
    place.file("acme.toml", file.as_bytes());
    let save = |to: &str| text(&place, &["apply", "acme.toml", "--save-plan", to]);
    save("acme.toml").fails(2, &["is no saved plan; it stays as it is"]);
    assert_eq!(fs::read_to_string(place.path("acme.toml")).unwrap(), file);
    assert_eq!(save("day0.plan").code, 0);
    assert_eq!(save("day0.plan").code, 0);
    fs::create_dir(place.path("folder")).unwrap();
    fifo(&place.path("pipe"));
    for to in ["folder", "pipe", "no/such/folder"] {
        save(to).fails(1, &["cannot write the plan", "hint: "]);
    }
    assert!(!fs::symlink_metadata(place.path("pipe")).unwrap().is_file());
}

#[test]
fn a_file_is_not_put_in_the_place_of_a_device() {
    let place = Place::new();
    let (_, issuing) = place.passphrase_flags();
    place.run(&["log", "checkpoint", "--sign", &issuing]).json();
    fifo(&place.path("pipe"));
    place.run(&["log", "prove", "1", "--out", "pipe"]).fails(1, &["a folder, a device or a pipe"]);
    assert!(!fs::symlink_metadata(place.path("pipe")).unwrap().is_file());
    // A link stays one, and what it points to is replaced.
    std::os::unix::fs::symlink("proofs-of-today", place.path("latest")).unwrap();
    fs::write(place.path("proofs-of-today"), "old").unwrap();
    place.run(&["log", "prove", "1", "--out", "latest"]).json();
    assert!(fs::symlink_metadata(place.path("latest")).unwrap().is_symlink());
    assert!(fs::read_to_string(place.path("proofs-of-today")).unwrap().starts_with("c2sp.org/tlog-proof"));
}

#[test]
fn what_init_makes_is_its_owners_whatever_the_umask_is() {
    let place = Place::empty();
    let (root, issuing) = place.passphrase_flags();
    let init = place.command(&["init", "--work-factor", "10", &root, &issuing]);
    let mut shell = Command::new("sh");
    shell.args(["-c", "umask 000; exec \"$0\" \"$@\""]).arg(init.get_program()).args(init.get_args());
    shell
        .env_clear()
        .envs(init.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .current_dir(place.dir.path());
    assert_eq!(run(shell, b"").code, 0);
    for file in files(&place.ledger()) {
        let mode = fs::metadata(&file).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode & 0o022, 0, "{} has mode {mode:o}", file.display());
    }
    assert_eq!(fs::metadata(place.ledger()).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_flush_that_was_interrupted_has_failed() {
    let place = Place::new();
    // It takes connections, and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("nats://{}", silent.local_addr().unwrap());
    for args in [["sync", "--once"], ["queue", "flush"]] {
        let mut command = place.command(&args);
        command.env("CIM_KEYS_NATS_URL", &url).env("CIM_KEYS_OUTPUT", "text").env("CIM_KEYS_LOG", "off");
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // Once it has connected it waits, and is told to end.
        let _connection = silent.accept().unwrap();
        std::thread::sleep(Duration::from_millis(200));
        assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
        let output = child.wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.code() == Some(1) && told.contains("interrupted") && told.contains("hint: "),
            "{output:?}"
        );
    }
}

#[test]
fn what_a_server_says_does_not_act_on_the_terminal() {
    use std::io::Write as _;
    let place = Place::new();
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("nats://{}", server.local_addr().unwrap());
    std::thread::spawn(move || {
        for connection in server.incoming() {
            let Ok(mut connection) = connection else { return };
            let info = r#"INFO {"server_id":"N","server_name":"\u001b[31mx","version":"2.15.1","proto":1,"headers":true,"max_payload":9,"client_id":1}"#;
            let _ = connection.write_all(format!("{info}\r\n-ERR '\u{1b}[31mNo \u{202e} entry'\r\n").as_bytes());
        }
    });
    for log in ["", "trace"] {
        for args in [&["sync", "--once"][..], &["queue", "status"], &["-vv", "queue", "flush"]] {
            let mut command = place.command(args);
            command.env("CIM_KEYS_OUTPUT", "text").env("CIM_KEYS_NATS_URL", &url).env_remove("CIM_KEYS_LOG");
            command.env("CIM_KEYS_NATS_CONNECTION_TIMEOUT_SECS", "2");
            if !log.is_empty() {
                command.env("CIM_KEYS_LOG", log);
            }
            let told = soon(command);
            let text = format!("{}{}", told.stdout, told.stderr);
            assert!(!text.contains(['\u{1b}', '\u{202e}']), "{args:?}: {text:?}");
            let asked_for_more = !log.is_empty() || args[0] == "-vv";
            assert!(text.contains("entry"), "{args:?}: {text}");
            assert!(asked_for_more || !text.contains("async_nats"), "{args:?}: {text}");
        }
    }
}

#[test]
fn a_user_is_described_line_by_line() {
    let place = Place::new();
    let (_, issuing) = place.passphrase_flags();
    place.run(&["nats", "operator", "add", "ACME"]).json();
    place.run(&["nats", "account", "add", "ORDERS", &issuing]).json();
    place.run(&["nats", "user", "add", "ORDERS/bob", "--allow-pub", "orders.>", "--allow-pub", "a.b", &issuing]).json();
    let told = text(&place, &["nats", "user", "describe", "ORDERS/bob"]);
    assert_eq!(told.code, 0, "{told:?}");
    for line in ["name: bob", "pub:", "allow: orders.>, a.b"] {
        assert!(told.stdout.lines().any(|it| it.trim_start() == line), "{line:?} is no line of {}", told.stdout);
    }
    assert!(told.stdout.lines().all(|line| line.len() < 140), "{}", told.stdout);
    assert_eq!(text(&place, &["nats", "user", "ls"]).stdout, text(&place, &["nats", "user", "list"]).stdout);
}
