//! The apply file: what it says, and what is said about a wrong one.

use cim_keys::declare::{Files, Manifest, read};

struct NoFiles;

impl Files for NoFiles {
    fn read(&self, name: &str) -> Result<String, String> {
        Err(format!("{name}: no such file"))
    }
}

struct Examples;

impl Files for Examples {
    fn read(&self, name: &str) -> Result<String, String> {
        std::fs::read_to_string(format!("{}/examples/{name}", env!("CARGO_MANIFEST_DIR"))).map_err(|e| e.to_string())
    }
}

fn problems(source: &str) -> Vec<String> {
    let error = read(source, &NoFiles).unwrap_err();
    error.0.iter().map(ToString::to_string).collect()
}

const MINIMAL: &str = "format = \"cim-keys/1\"\n[organization]\nname = \"Acme\"\n";

#[test]
fn the_example_reads_and_its_normal_form_round_trips() {
    let manifest = read(include_str!("../../examples/acme.toml"), &Examples).unwrap();
    assert_eq!(
        (manifest.people.len(), manifest.units.len(), manifest.locations.len(), manifest.keys.len()),
        (12, 4, 5, 5)
    );
    assert_eq!(manifest.assignments.len(), 8);
    let text = serde_json::to_string(&manifest).unwrap();
    assert_eq!(serde_json::from_str::<Manifest>(&text).unwrap(), manifest);
}

#[test]
fn comments_and_order_mean_nothing() {
    let a = format!("{MINIMAL}[units.a]\nname = \"A\"\n[units.b]\nname = \"B\"\nparent = \"a\"\n");
    let b = format!("# hello\n{MINIMAL}[units.b]\nparent = \"a\"\nname = \"B\" # B\n[units.a]\nname = \"A\"\n");
    assert_eq!(read(&a, &NoFiles).unwrap(), read(&b, &NoFiles).unwrap());
}

#[test]
fn every_problem_is_reported_at_once_with_its_line() {
    let source = r#"format = "cim-keys/1"
[organization]
name = ""
[people.ada]
name = "Ada"
emial = "ada@acme.example"
unit = "platfrom"
[people.Bob]
name = "Bob"
[units.platform]
parent = "platform"
name = "Platform"
[keys.k]
algorithm = "ed25591"
owner = "unit:nowhere"
[rolls.x]
"#;
    let problems = problems(source);
    let expected = [
        "line 3: organization.name: \"\" is no name: it is empty",
        "line 6: [people.ada] has no key `emial`; did you mean `email`?",
        "line 7: people.ada.unit: there is no [units.platfrom]; did you mean \"platform\"?",
        "line 8: [people]: \"Bob\" is no entry name",
        "line 11: units.platform.parent: platform is above itself",
        "line 13: [keys.k] lacks `purpose`, which is required",
        "line 14: keys.k.algorithm: \"ed25591\" is no key algorithm",
        "line 16: the file has no key `rolls`; did you mean `roles`?",
    ];
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
    for (problem, expected) in problems.iter().zip(expected) {
        assert!(problem.starts_with(expected), "{problem}\n{expected}");
    }
}

#[test]
fn names_must_exist_and_circles_are_found() {
    let source = format!(
        "{MINIMAL}[people.ada]\nname = \"Ada\"\nunit = \"platfrom\"\nroles = [\"boss\"]\n\
         [units.platform]\nname = \"Platform\"\nparent = \"ops\"\n[units.ops]\nname = \"Ops\"\nparent = \"platform\"\n\
         [people.eve]\nname = \"Eve\"\nemail = \"e@acme.example\"\n[people.eva]\nname = \"Eva\"\nemail = \"E@acme.example\"\n"
    );
    let problems = problems(&source);
    assert!(problems.iter().any(|p| p.contains("did you mean \"platform\"?")), "{problems:#?}");
    assert!(problems.iter().any(|p| p.contains("line 7") && p.contains("no [roles.boss]")), "{problems:#?}");
    assert!(problems.iter().any(|p| p.contains("above itself")), "{problems:#?}");
    assert!(problems.iter().any(|p| p.contains("has the same email")), "{problems:#?}");
    assert_eq!(problems.len(), 4, "{problems:#?}");
}

#[test]
fn roles_that_exclude_each_other_are_refused() {
    let source = format!(
        "{MINIMAL}[roles.auditor]\nname = \"Auditor\"\n[roles.officer]\nname = \"Officer\"\nexcludes = [\"auditor\"]\n\
         [people.ada]\nname = \"Ada\"\nroles = [\"auditor\", \"officer\"]\n"
    );
    assert!(problems(&source)[0].contains("can't hold both"), "{:?}", problems(&source));
}

#[test]
fn what_is_shown_of_a_wrong_file_is_harmless_and_short() {
    let long = "x".repeat(100_000);
    for source in [
        "\u{1b}[31m = 1".to_owned(),
        format!("{MINIMAL}[people.a]\nname = \"a\\u001b]0;owned\\u0007\"\n"),
        format!("{MINIMAL}\"\\u202e{long}\" = 1\n"),
        format!("{MINIMAL}[people.\"{long}\"]\nname = 3\n"),
        "a = ".repeat(2_000),
        "[".repeat(100_000),
        format!("a = {}", "[".repeat(100_000)),
        "x".repeat(9 * 1024 * 1024),
        String::new(),
    ] {
        let problems = problems(&source);
        assert!(!problems.is_empty());
        for problem in problems {
            assert!(!problem.chars().any(|c| c.is_control() || c == '\u{202e}'), "{problem:?}");
            assert!(problem.len() < 1_000, "{} characters: {}", problem.len(), &problem[..200]);
        }
    }
}

#[test]
fn a_policy_has_one_text() {
    let neither = format!("{MINIMAL}[policies.p]\nname = \"P\"\n");
    assert!(problems(&neither)[0].contains("needs its text"));
    let missing = format!("{MINIMAL}[policies.p]\nname = \"P\"\ndocument_file = \"gone.md\"\n");
    assert!(problems(&missing)[0].contains("gone.md: no such file"));
}
