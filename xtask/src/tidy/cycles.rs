//! Imports run one way: no file imports another that imports it, directly or through others.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::Finding;
use super::imports::Crate;

/// Which files each file imports, and for what: a path that it names, and the line.
type Graph = Vec<BTreeMap<usize, (String, usize)>>;

pub(super) fn check(tree: &Crate<'_>, findings: &mut Vec<Finding>) {
    let graph = graph(tree);
    for cycle in cycles(&graph) {
        findings.push(Finding(described(tree, &graph, &cycle)));
    }
}

/// The files that each file needs. Files that implement one type may know one another: what such a file imports of the
/// file that defines the type does not count.
fn graph(tree: &Crate<'_>) -> Graph {
    let mut graph: Graph = tree.files.iter().map(|_| BTreeMap::new()).collect();
    for (file, imports) in tree.imports.iter().enumerate() {
        let implemented = tree.implemented(file);
        for import in imports.iter().filter(|import| import.depends) {
            for &to in import.to.iter().filter(|to| !implemented.contains(to)) {
                graph[file].entry(to).or_insert_with(|| (import.named.join("::"), import.line));
            }
        }
    }
    graph
}

/// Files of which each is reached from each.
fn cycles(graph: &Graph) -> BTreeSet<BTreeSet<usize>> {
    let reached: Vec<BTreeSet<usize>> = (0..graph.len()).map(|file| reached(graph, file)).collect();
    let cycle = |file: usize| reached[file].iter().copied().filter(|other| reached[*other].contains(&file)).collect();
    (0..graph.len()).map(cycle).filter(|cycle: &BTreeSet<usize>| !cycle.is_empty()).collect()
}

fn reached(graph: &Graph, from: usize) -> BTreeSet<usize> {
    let (mut reached, mut open) = (BTreeSet::new(), vec![from]);
    while let Some(file) = open.pop() {
        open.extend(graph[file].keys().copied().filter(|to| reached.insert(*to)));
    }
    reached
}

fn described(tree: &Crate<'_>, graph: &Graph, cycle: &BTreeSet<usize>) -> String {
    let path = |file: usize| &tree.files[file].path;
    let mut text = format!("{} files import one another:", cycle.len());
    for &file in cycle {
        for (to, (named, line)) in graph[file].iter().filter(|(to, _)| cycle.contains(to)) {
            let _ = write!(text, "\n    {}:{line}: `{named}`, of {}", path(file), path(*to));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::File;
    use super::*;

    /// The cycles among modules `a`, `b` and so on with these texts.
    fn cycles(texts: &[&str]) -> Vec<String> {
        let names: Vec<char> = ('a'..).take(texts.len()).collect();
        let root: String = names.iter().map(|name| format!("mod {name};\n")).collect();
        let paths: Vec<String> = names.iter().map(|name| format!("src/{name}.rs")).collect();
        let modules = paths.iter().zip(texts).map(|(path, text)| (path.as_str(), *text));
        cycles_in(&[("src/lib.rs", root.as_str())].into_iter().chain(modules).collect::<Vec<_>>())
    }

    fn cycles_in(files: &[(&str, &str)]) -> Vec<String> {
        let files = File::all(files);
        let mut findings = Vec::new();
        check(&Crate::read(&files, "src", &mut findings), &mut findings);
        findings.into_iter().map(|Finding(finding)| finding).collect()
    }

    const NONE: [&str; 0] = [];

    #[test]
    fn a_cycle_is_found_with_its_files() {
        let found = cycles(&[
            "use crate::b::B;\npub struct A;\n",
            "use crate::c::C;\npub struct B;\n",
            "use crate::a::A;\npub struct C;\n",
            "use crate::a::A;\n",
        ]);
        assert_eq!(
            found,
            ["3 files import one another:\
              \n    src/a.rs:1: `b::B`, of src/b.rs\
              \n    src/b.rs:1: `c::C`, of src/c.rs\
              \n    src/c.rs:1: `a::A`, of src/a.rs"]
        );
    }

    #[test]
    fn every_way_to_name_something_is_followed() {
        for a in [
            "use crate::b::{self, B};\n",
            "use super::b;\nfn f(_: b::B) {}\n",
            "use crate::{b::B as Other};\n",
            "use crate::b::*;\nfn f(_: B) {}\n",
            "use other::*;\nuse other::names::*;\nuse crate::b::*;\n",
            "fn f(_: crate::b::B) {}\n",
            "fn f() { let _ = matches!(1, super::b::B); }\n",
            "#[derive(Debug)]\n#[error(\"{}\", crate::b::B)]\npub struct A2;\n",
            "mod inner { use super::super::b::B; }\n",
            "pub use crate::b::B;\nfn f(_: B) {}\n",
            "macro_rules! m { () => { $crate::b::B } }\n",
            "impl Iterator for crate::b::B {}\n",
        ] {
            let a = format!("{a}pub struct A;\n");
            assert_eq!(cycles(&[&a, "use crate::a::A;\npub struct B;\n"]).len(), 1, "{a}");
        }
    }

    #[test]
    fn a_parent_that_uses_a_child_must_not_be_used_by_it() {
        let root = ("src/lib.rs", "mod a;\n");
        let child = ("src/a/child.rs", "use super::A;\npub fn f(_: A) {}\n");
        let uses = ("src/a.rs", "mod child;\npub struct A;\nfn g() { child::f(A) }\n");
        assert_eq!(cycles_in(&[root, uses, child]).len(), 1);
        let declares = ("src/a.rs", "mod child;\npub use child::f;\npub struct A;\n");
        assert_eq!(cycles_in(&[root, declares, child]), NONE);
        // The file of a module may have another name.
        let named = ("src/a.rs", "#[path = \"a/child.rs\"]\nmod way;\npub struct A;\nfn g() { way::f(A) }\n");
        assert_eq!(cycles_in(&[root, named, child]).len(), 1);
    }

    #[test]
    fn a_re_export_is_no_import_and_leads_to_what_it_names() {
        let root = ("src/lib.rs", "mod a;\nmod b;\n");
        let a = ("src/a.rs", "mod leaf;\nmod top;\npub use leaf::*;\npub use top::top as highest;\n");
        let leaf = ("src/a/leaf.rs", "pub struct Leaf;\n");
        let top = ("src/a/top.rs", "use crate::b::b;\npub fn top() { b() }\n");
        // `b` needs the leaf alone, which it names through the parent.
        let b = ("src/b.rs", "use crate::a::Leaf;\npub fn b() -> Leaf { Leaf }\n");
        assert_eq!(cycles_in(&[root, a, leaf, top, b]), NONE);
        let b = ("src/b.rs", "pub fn b() { crate::a::highest() }\n");
        assert_eq!(cycles_in(&[root, a, leaf, top, b]).len(), 1);
    }

    #[test]
    fn files_that_implement_one_type_may_know_one_another() {
        let a = "use crate::b::step;\npub struct A<T>(T);\nimpl<T> A<T> { fn f() { step() } }\n";
        let b = |implements: &str| format!("use crate::a::A;\n{implements}\npub fn step() {{}}\n");
        for inherent in [
            "impl A<u8> {}",
            "impl<T: Fn(u8) -> u8> A<T> {}",
            "impl<T> A<T> where T: Copy {}",
            "impl crate::a::A<u8> {}",
        ] {
            assert_eq!(cycles(&[a, &b(inherent)]), NONE, "{inherent}");
        }
        for other in ["impl Drop for A<u8> {}", "pub struct B;\nimpl B {}", "fn f() -> impl Iterator<Item = A<u8>> {}"]
        {
            assert_eq!(cycles(&[a, &b(other)]).len(), 1, "{other}");
        }
    }

    #[test]
    fn comments_and_tests_are_not_read() {
        for a in [
            "//! [`B`](crate::b::B)\n// use crate::b::B;\n/* use crate::b::B; */\n",
            "/// See [`crate::b::B`].\nfn f() {}\n",
            "const TEXT: &str = \"use crate::b::B;\";\n",
            "#[cfg(test)]\nmod tests {\n    use crate::b::B;\n}\n",
            "#[cfg(all(test, unix))]\nuse crate::b::B;\n",
            "#[cfg(test)]\n#[allow(unused)]\nfn f(_: crate::b::B) {}\n",
        ] {
            let a = format!("{a}pub struct A;\n");
            assert_eq!(cycles(&[&a, "use crate::a::A;\npub struct B;\n"]), NONE, "{a}");
        }
        // What stands behind tests is read.
        let a = "#[cfg(test)]\nmod tests;\n#[cfg(not(test))]\nuse crate::b::B;\npub struct A;\n";
        assert_eq!(cycles(&[a, "use crate::a::A;\npub struct B;\n"]).len(), 1);
    }
}
