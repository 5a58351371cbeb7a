//! What the connected side wants done: a request that a registered ledger signs, and an authority that does it once.

use serde_json::Value;

use crate::support::{ISSUING, Place, key};

const YESTERDAY: &str = r#"
format = "cim-keys/1"
[organization]
name = "Acme"
[roles.officer]
name = "Officer"
permissions = ["key.*"]
[people.ada]
name = "Ada"
email = "ada@acme.example"
roles = ["officer"]
[people.bob]
name = "Bob"
email = "bob@acme.example"
"#;

const TODAY: &str = r#"
format = "cim-keys/1"
[organization]
name = "Acme"
[roles.officer]
name = "Officer"
permissions = ["key.*"]
[people.ada]
name = "Ada"
email = "ada@acme.example"
roles = ["officer"]
[people.carol]
name = "Carol"
email = "carol@acme.example"
roles = ["officer"]
"#;

/// An authority, a mirror of it, and a ledger of the connected side's own.
struct World {
    place: Place,
    own: Place,
    issuing: String,
}

impl World {
    fn new() -> Self {
        let (place, own) = (Place::empty(), Place::new());
        let (_, issuing) = place.passphrase_flags();
        place.init();
        place.file("acme.toml", YESTERDAY.as_bytes());
        place.run(&["apply", "acme.toml"]).json();
        let world = Self { place, own, issuing };
        world.refresh();
        world
    }

    /// Brings the mirror up to what the authority has recorded.
    fn refresh(&self) {
        self.place.run(&["log", "checkpoint", "--sign", &self.issuing]).json();
        let key = self.place.key();
        let _ = std::fs::remove_file(self.place.path("acme.car"));
        self.place.run(&["export", "car", "acme.car"]).json();
        self.place.run(&["import", "car", "acme.car", "--key", &key, "--ledger", "mirror"]).json();
    }

    fn link(&self, relation: &str) {
        let key = self.own.key();
        self.place.run(&["ledger", "link", "Connected side", "--key", &key, "--relation", relation]).json();
    }

    fn request(&self, out: &str, more: &[&str]) -> Value {
        let own = self.own.ledger();
        self.place.file("today.toml", TODAY.as_bytes());
        let passphrase = format!("--passphrase-file={}", self.place.file("own.pass", ISSUING.as_bytes()));
        let args = ["nats", "request", "today.toml", "--ledger", "mirror", "--out", out, "--prune", &passphrase];
        self.place.run(&[&args[..], &["--by", own.to_str().unwrap()], more].concat()).json().remove(0)
    }
}

#[test]
fn a_request_is_carried_out_once_by_the_authority() {
    let world = World::new();
    let place = &world.place;
    world.request("r1.req", &[]);
    // Nobody who is known asked.
    place.run(&["nats", "sign", "r1.req", "--yes"]).fails(3, &["no peer's of this ledger", "ledger link"]);
    world.link("witness");
    place.run(&["nats", "sign", "r1.req", "--yes"]).fails(3, &["no peer's of this ledger"]);
    world.link("peer");

    let shown = place.run(&["nats", "sign", "r1.req", "--dry-run"]).json().remove(0);
    assert_eq!(shown["from"], "Connected side");
    let phrases: Vec<_> = shown["confirm"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
    assert!(phrases.contains(&"end people.bob"), "{phrases:?}");
    // What takes or gives power is typed again; --yes is no answer to that.
    place.run(&["nats", "sign", "r1.req", "--yes"]).fails(3, &["has to be typed again", "--confirm"]);
    let mut sign = vec!["nats", "sign", "r1.req", "--yes"];
    for phrase in &phrases {
        sign.extend(["--confirm", phrase]);
    }
    let done = place.run(&sign).json().remove(0);
    assert_eq!(done["correlation_id"], shown["id"]);
    let people = place.run(&["person", "list"]).json();
    let names: Vec<_> = people.iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["Ada", "Carol"]);
    place.run(&sign).fails(3, &["carried out already", "good once"]);
    // A medium that still has it is told so.
    std::fs::create_dir(place.path("usb")).unwrap();
    std::fs::copy(place.path("r1.req"), place.path("usb/r1.req")).unwrap();
    assert_eq!(place.run(&["carry", "in", "usb"]).json()[0]["parcels"][0]["state"], "known");
    // The mirror takes it from the authority, as everything else.
    world.refresh();
    assert_eq!(place.run(&["person", "list", "--ledger", "mirror"]).json().len(), 2);
    place.run(&["verify"]).json();
}

#[test]
fn a_request_that_was_changed_or_is_late_or_anothers_is_refused() {
    let world = World::new();
    let place = &world.place;
    world.link("peer");
    world.refresh();
    let before = place.run(&["verify"]).json().remove(0)["events"].clone();
    world.request("late.req", &["--expires", "2020-01-01"]);
    place.run(&["nats", "sign", "late.req", "--yes"]).fails(3, &["could be carried out until 2020-01-01"]);
    world.request("r.req", &[]);
    let text = std::fs::read_to_string(place.path("r.req")).unwrap();
    place.file("changed.req", text.replace("Carol", "Mallory").as_bytes());
    place.run(&["nats", "sign", "changed.req", "--yes"]).fails(4, &["does not hold"]);
    place.file("cut.req", &text.as_bytes()[..text.len() / 2]);
    place.run(&["nats", "sign", "cut.req", "--yes"]).fails(2, &["no request that this release reads"]);
    // Another ledger than the one that is asked, which knows the same peer.
    let other = World::new();
    let key = world.own.key();
    other.place.run(&["ledger", "link", "Connected side", "--key", &key, "--relation", "peer"]).json();
    other.place.file("r.req", text.as_bytes());
    other.place.run(&["nats", "sign", "r.req", "--yes"]).fails(3, &["the request is for ledger"]);
    assert_eq!(place.run(&["verify"]).json()[0]["events"], before);
}

#[test]
fn the_one_ledger_nearby_that_the_authority_knows_signs_when_none_is_named() {
    let world = World::new();
    let place = &world.place;
    place.file("today.toml", TODAY.as_bytes());
    let passphrase = format!("--passphrase-file={}", place.file("own.pass", ISSUING.as_bytes()));
    let init = |name: &str| {
        let (root, issuing) = place.passphrase_flags();
        let args = ["init", "--ledger", name, "--name", name, "--work-factor", "10", &root, &issuing];
        place.run(&args).json();
        key(&place.run(&["log", "public-key", "--ledger", name]))
    };
    let (ops, other) = (init("ops"), init("other"));
    let request = |out: &str| {
        let args = ["nats", "request", "today.toml", "--ledger", "mirror", "--out", out, "--prune", &passphrase];
        place.run(&args)
    };
    request("none.req").fails(2, &["knows these: none", "--by DIR", "ledger link"]);
    place.run(&["ledger", "link", "Operations", "--key", &ops, "--relation", "peer"]).json();
    // The mirror does not know yet.
    request("early.req").fails(2, &["knows these: none"]);
    world.refresh();
    request("r.req").json();
    let shown = place.run(&["nats", "sign", "r.req", "--dry-run"]).json().remove(0);
    assert_eq!(shown["from"], "Operations");
    place.run(&["ledger", "link", "Other", "--key", &other, "--relation", "child"]).json();
    world.refresh();
    request("two.req").fails(2, &["several ledgers", "ops", "other", "--by DIR"]);
}
