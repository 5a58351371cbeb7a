//! What the documents tell people to type is there: each `cim-keys …` in them names commands and flags that the program has.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::program;

/// The help of each command that was asked about, by the words that name it.
#[derive(Default)]
struct Program(BTreeMap<Vec<String>, String>);

impl Program {
    fn help(&mut self, words: &[String]) -> &str {
        self.0.entry(words.to_vec()).or_insert_with(|| {
            let mut command = program(&std::env::temp_dir(), &[]);
            let output = command.args(words).arg("--help").env("COLUMNS", "200").output().unwrap();
            assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap()
        })
    }

    /// The commands below one, with their aliases.
    fn commands(&mut self, words: &[String]) -> Vec<String> {
        let lines = self.help(words).lines().skip_while(|line| *line != "Commands:").skip(1);
        let mut names = Vec::new();
        for line in lines.take_while(|line| !line.is_empty()) {
            // What goes on from the line before is indented further.
            if line.strip_prefix("  ").is_some_and(|line| line.starts_with(|c: char| c.is_ascii_lowercase())) {
                names.extend(line.split_whitespace().next().map(str::to_owned));
            }
            if let Some((_, aliases)) = line.split_once("[aliases: ").or_else(|| line.split_once("[alias: ")) {
                names.extend(aliases.trim_end_matches(']').split(", ").map(str::to_owned));
            }
        }
        names
    }

    /// What is wrong with a line, if anything is.
    fn problem(&mut self, line: &str) -> Option<String> {
        let (mut words, mut typed) = (Vec::new(), line.split_whitespace().skip(1).peekable());
        let mut below = self.commands(&words);
        // Global flags may come first, each with its value.
        while typed.peek().is_some_and(|word| word.starts_with("--")) {
            typed.next();
            typed.next();
        }
        while let Some(word) = typed.peek().filter(|_| !below.is_empty()) {
            let word = word.trim_end_matches(['.', ',', '…']);
            if !word.starts_with(|c: char| c.is_ascii_lowercase()) {
                break;
            }
            // `init|update` means either.
            let first = word.split('|').next().unwrap();
            if let Some(unknown) = word.split('|').find(|name| !below.iter().any(|known| known == name)) {
                return Some(format!("there is no command \"{unknown}\""));
            }
            words.push(first.to_owned());
            below = self.commands(&words);
            typed.next();
        }
        let help = self.help(&words);
        let flags =
            typed.map(|word| word.trim_start_matches(['[', '(', '"', '\''])).filter(|word| word.starts_with("--"));
        for flag in flags.flat_map(|flag| flag.split('|')) {
            let name: String = flag.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
            if name.len() > 2 && !help.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).any(|it| it == name) {
                return Some(format!("it has no {name}"));
            }
        }
        None
    }
}

/// The command lines of a text: in consoles, behind a prompt, and in running text, in backquotes.
fn lines(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            code = !code;
        } else if code {
            let (_, typed) = line.split_once("$ ").unwrap_or(("", line));
            found.extend(typed.starts_with("cim-keys ").then(|| typed.to_owned()));
        }
    }
    let running = text.split("```").step_by(2);
    found.extend(running.flat_map(|text| text.split('`').skip(1).step_by(2)).map(|code| code.replace('\n', " ")));
    // The first line of a signed request is no command.
    found.retain(|line| line.starts_with("cim-keys ") && line != "cim-keys request v1");
    let ends = [" #", " | ", " && ", " > ", " & ", ";"];
    found
        .iter()
        .map(|line| ends.iter().fold(line.as_str(), |line, end| line.split(end).next().unwrap()).to_owned())
        .collect()
}

fn documents(root: &Path) -> Vec<PathBuf> {
    let docs = fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let docs = docs.filter(|path| path.extension().is_some_and(|ending| ending == "md"));
    docs.chain(["README.md", "CONTRIBUTING.md"].map(|name| root.join(name))).collect()
}

#[test]
fn commands_in_documents_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let (mut program, mut wrong, mut seen) = (Program::default(), Vec::new(), 0);
    for path in documents(&root) {
        for line in lines(&fs::read_to_string(&path).unwrap()) {
            seen += 1;
            if let Some(problem) = program.problem(&line) {
                wrong.push(format!("{}: {line}: {problem}", path.file_name().unwrap().to_string_lossy()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen > 100, "only {seen} command lines were found");
    // And what is not there is noticed.
    assert!(program.problem("cim-keys nats usr add").is_some());
    assert!(program.problem("cim-keys verify --form nats").is_some());
}
