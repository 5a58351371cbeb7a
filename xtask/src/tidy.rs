//! The rules of this repository that no compiler checks. Each rule is one function over one file, or over all.

use std::path::{Path, PathBuf};

use crate::Result;
use crate::shell::{cargo, program, read, root, run};

mod cycles;
mod imports;
mod rooms;
mod secrets;
mod shape;
mod words;

use imports::Crate;

/// One file of the repository that is text.
struct File {
    /// Its path from the root, with forward slashes.
    path: String,
    text: String,
}

impl File {
    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Tests, benches and examples may do what the product may not.
    fn is_test(&self) -> bool {
        let path = &self.path;
        path.starts_with("tests/")
            || path.contains("/tests/")
            || path.ends_with("/tests.rs")
            || path.ends_with("_tests.rs")
            || path.starts_with("benches/")
            || path.starts_with("crates/testkit/")
    }

    /// The lines before the tests at the file's end, numbered from 1.
    fn product_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let tests = self.text.lines().position(|line| line.trim_start().starts_with("#[cfg(test)]"));
        self.text.lines().enumerate().map(|(i, line)| (i + 1, line)).take(tests.unwrap_or(usize::MAX))
    }
}

#[cfg(test)]
impl File {
    /// Files of a test, by path and text.
    fn all(files: &[(&str, &str)]) -> Vec<Self> {
        files.iter().map(|(path, text)| Self { path: (*path).to_owned(), text: (*text).to_owned() }).collect()
    }
}

/// What is wrong, where.
struct Finding(String);

impl Finding {
    fn at(file: &File, line: usize, problem: impl std::fmt::Display) -> Self {
        Self(format!("{}:{line}: {problem}", file.path))
    }

    fn of(file: &File, problem: impl std::fmt::Display) -> Self {
        Self(format!("{}: {problem}", file.path))
    }
}

/// Checks every rule, and the formatting.
pub(crate) fn tidy() -> Result {
    let files = files()?;
    let mut findings = Vec::new();
    for file in &files {
        shape::check(file, &mut findings);
        words::check(file, &mut findings);
        secrets::check(file, &mut findings);
    }
    shape::check_all(&files, &mut findings);
    let library = Crate::read(&files, "src", &mut findings);
    let program = Crate::read(&files, "crates/cim-keys-cli/src", &mut findings);
    rooms::check(&library, &mut findings);
    cycles::check(&library, &mut findings);
    cycles::check(&program, &mut findings);
    for Finding(finding) in &findings {
        eprintln!("{finding}");
    }
    let formatted = run(&mut cargo(&["fmt", "--all", "--check"]));
    if !findings.is_empty() {
        return Err(format!("{} findings in {} files", findings.len(), files.len()));
    }
    formatted.map_err(|problem| format!("{problem}: `cargo fmt --all` mends it"))?;
    eprintln!("tidy: {} files, nothing found", files.len());
    Ok(())
}

/// The files that git keeps or would keep, and that are text.
fn files() -> Result<Vec<File>> {
    let listed = read(program("git", &["ls-files", "--cached", "--others", "--exclude-standard"]).current_dir(root()))?;
    let paths = listed.lines().map(PathBuf::from);
    Ok(paths
        .filter(|path| !is_data(path))
        .filter_map(|path| {
            let text = std::fs::read_to_string(root().join(&path)).ok()?;
            Some(File { path: path.to_string_lossy().replace('\\', "/"), text })
        })
        .collect())
}

/// Files that are made by tools, or that are other people's.
fn is_data(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    name == "Cargo.lock"
        || name == "go.sum"
        || name.to_string_lossy().starts_with("LICENSE")
        || path.components().any(|part| part.as_os_str() == "vectors")
}
