//! What the files of a crate import from one another: `use` declarations and paths in code, followed to the file that
//! defines what they name. Comments are no tokens, and what is compiled for tests only is not read.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

use super::{File, Finding};

/// A path from the root of the crate, or one as it is written.
pub(super) type Path = Vec<String>;

/// The modules of a crate.
pub(super) struct Crate<'f> {
    pub(super) files: Vec<&'f File>,
    modules: Vec<Module>,
    /// Two files may be one module: for a build with a feature, and for one without.
    places: BTreeMap<Path, Vec<usize>>,
    /// What each file imports, its own items aside.
    pub(super) imports: Vec<Vec<Import>>,
}

/// A module: a file, or a `mod` with braces in one.
#[derive(Default)]
struct Module {
    path: Path,
    file: usize,
    uses: Vec<Use>,
    named: Vec<Named>,
    defines: BTreeSet<String>,
    /// The types with an inherent `impl` here.
    implements: BTreeSet<Path>,
}

/// One name of a `use` declaration.
struct Use {
    named: Named,
    /// What the name is here; absent for a glob.
    alias: Option<String>,
    is_public: bool,
}

/// A path as it is written.
struct Named {
    path: Path,
    line: usize,
}

/// Something that a file imports.
pub(super) struct Import {
    /// What is named, from the root of the crate.
    pub(super) named: Path,
    pub(super) line: usize,
    /// The files that define it.
    pub(super) to: Vec<usize>,
    /// Whether the file needs it itself: a mere re-export, and the import of a module whose items are named in the code,
    /// say nothing of that.
    pub(super) depends: bool,
}

impl<'f> Crate<'f> {
    /// Reads the crate whose root (`lib.rs` or `main.rs`) is in a folder.
    pub(super) fn read(files: &'f [File], folder: &str, findings: &mut Vec<Finding>) -> Self {
        let mut this = Self { files: Vec::new(), modules: Vec::new(), places: BTreeMap::new(), imports: Vec::new() };
        for root in ["lib.rs", "main.rs"] {
            this.file(files, &format!("{folder}/{root}"), Vec::new(), findings);
        }
        this.imports = this.find_imports();
        this
    }

    /// Reads a file, and the files that it declares modules of.
    fn file(&mut self, all: &'f [File], path: &str, module: Path, findings: &mut Vec<Finding>) {
        let Some(file) = all.iter().find(|file| file.path == path) else { return };
        let tokens = match file.text.parse::<TokenStream>() {
            Ok(tokens) => tokens,
            Err(error) => {
                return findings.push(Finding::of(file, format_args!("it cannot be parsed as Rust: {error}")));
            }
        };
        self.files.push(file);
        let mut reading = Reading { file: self.files.len() - 1, modules: Vec::new(), declared: Vec::new() };
        reading.module(tokens, module);
        for module in reading.modules {
            self.places.entry(module.path.clone()).or_default().push(self.modules.len());
            self.modules.push(module);
        }
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let below = match name {
            "lib.rs" | "main.rs" | "mod.rs" => folder.to_owned(),
            _ => path.trim_end_matches(".rs").to_owned(),
        };
        for Declared { module, place } in reading.declared {
            let name = module.last().cloned().unwrap_or_default();
            match place {
                Some(place) => self.file(all, &format!("{folder}/{place}"), module, findings),
                None => {
                    self.file(all, &format!("{below}/{name}.rs"), module.clone(), findings);
                    self.file(all, &format!("{below}/{name}/mod.rs"), module, findings);
                }
            }
        }
    }

    /// The path of the module that a file is.
    pub(super) fn module(&self, file: usize) -> &[String] {
        // A file's own module is read before those within it.
        self.modules.iter().find(|module| module.file == file).map_or(&[], |module| &module.path)
    }

    fn find_imports(&self) -> Vec<Vec<Import>> {
        let mut imports: Vec<Vec<Import>> = self.files.iter().map(|_| Vec::new()).collect();
        for module in &self.modules {
            let mut add = |named: &Named, depends: bool| {
                let Some(path) = self.absolute(module, &named.path) else { return };
                let (places, _) = self.locate(&path, 0);
                let to: Vec<usize> = places.iter().map(|&place| self.modules[place].file).collect();
                if !to.contains(&module.file) {
                    imports[module.file].push(Import { named: path, line: named.line, to, depends });
                }
            };
            for one in &module.uses {
                add(&one.named, !one.is_public && !self.is_named_through(module, one));
            }
            for named in &module.named {
                if named.path.len() > 1 || self.is_named_only_here(module, &named.path[0]) {
                    add(named, true);
                }
            }
        }
        imports
    }

    /// The files with the types that a file has an inherent `impl` of.
    pub(super) fn implemented(&self, file: usize) -> BTreeSet<usize> {
        let mut files = BTreeSet::new();
        for module in self.modules.iter().filter(|module| module.file == file) {
            for written in &module.implements {
                if let Some(path) = self.absolute(module, written) {
                    files.extend(self.locate(&path, 0).0.iter().map(|&place| self.modules[place].file));
                }
            }
        }
        files
    }

    /// Whether a `use` brings in a module whose items the code names one by one.
    fn is_named_through(&self, module: &Module, one: &Use) -> bool {
        let Some(alias) = &one.alias else { return false };
        let is_module = || self.absolute(module, &one.named.path).is_some_and(|path| self.locate(&path, 0).1);
        let paths = || module.uses.iter().map(|one| &one.named).chain(&module.named);
        is_module() && paths().any(|named| named.path.len() > 1 && named.path[0] == *alias)
    }

    /// Whether a name comes from elsewhere, and no `use` says yet that it is needed: from a re-export, or from a glob.
    fn is_named_only_here(&self, module: &Module, name: &str) -> bool {
        let mut aliases = module.uses.iter().filter(|one| one.alias.as_deref() == Some(name)).peekable();
        match aliases.peek() {
            Some(_) => aliases.any(|one| one.is_public),
            None => !module.defines.contains(name) && self.by_glob(module, name).is_some(),
        }
    }

    /// Where a name is that a glob brings into a module.
    fn by_glob(&self, module: &Module, name: &str) -> Option<Path> {
        module.uses.iter().filter(|one| one.alias.is_none()).find_map(|one| {
            let mut path = self.without_globs(module, &one.named.path)?;
            let is_there =
                self.at(&path).any(|there| there.defines.contains(name)) || self.alias(&path, name).is_some();
            path.push(name.to_owned());
            is_there.then_some(path)
        })
    }

    /// A path that is written in a module, from the root of the crate; `None` for other crates' and for local names.
    fn absolute(&self, module: &Module, written: &[String]) -> Option<Path> {
        self.without_globs(module, written).or_else(|| {
            let (first, rest) = written.split_first()?;
            Some([self.by_glob(module, first)?.as_slice(), rest].concat())
        })
    }

    /// The same, but for what a glob brings in.
    fn without_globs(&self, module: &Module, written: &[String]) -> Option<Path> {
        let (first, rest) = written.split_first()?;
        let mut path = module.path.clone();
        match first.as_str() {
            "crate" => path.clear(),
            "self" => {}
            "super" => {
                let up = written.iter().take_while(|word| *word == "super").count();
                path.truncate(path.len().saturating_sub(up));
                path.extend_from_slice(&written[up..]);
                return Some(path);
            }
            first => {
                path.push(first.to_owned());
                let is_child = self.places.contains_key(&path);
                let alias = self.alias(&module.path, first).filter(|to| to[0] != first);
                match alias.filter(|_| !is_child || rest.is_empty()) {
                    Some(to) => path = self.without_globs(module, to)?,
                    None if is_child || module.defines.contains(first) => {}
                    None => return None,
                }
            }
        }
        path.extend_from_slice(rest);
        Some(path)
    }

    /// The modules that define what a path names, and whether it names a module as a whole.
    fn locate(&self, path: &[String], depth: usize) -> (&[usize], bool) {
        let mut at = Path::new();
        for (index, name) in path.iter().enumerate() {
            let (here, is_last) = (at.clone(), index + 1 == path.len());
            at.push(name.clone());
            let is_child = self.places.contains_key(&at);
            let to = self.alias(&here, name).filter(|_| depth < 8 && (!is_child || is_last));
            let to = to.and_then(|to| self.at(&here).find_map(|module| self.absolute(module, to)));
            if let Some(mut to) = to.filter(|to| *to != at) {
                to.extend_from_slice(&path[index + 1..]);
                return self.locate(&to, depth + 1);
            }
            if !is_child {
                let defined = |here: &[String]| self.at(here).any(|module| module.defines.contains(name));
                if !defined(&here)
                    && depth < 8
                    && let Some(mut to) = self.at(&here).find_map(|module| self.by_glob(module, name))
                {
                    to.extend_from_slice(&path[index + 1..]);
                    return self.locate(&to, depth + 1);
                }
                return (self.places.get(&here).map_or(&[], Vec::as_slice), false);
            }
        }
        (self.places.get(&at).map_or(&[], Vec::as_slice), true)
    }

    fn at(&self, path: &[String]) -> impl Iterator<Item = &Module> {
        self.places.get(path).into_iter().flatten().map(|&place| &self.modules[place])
    }

    /// What a name stands for by a `use` in a module.
    fn alias(&self, module: &[String], name: &str) -> Option<&Path> {
        let mut uses = self.at(module).flat_map(|module| &module.uses);
        uses.find(|one| one.alias.as_deref() == Some(name)).map(|one| &one.named.path)
    }
}

/// A module in a file of its own.
struct Declared {
    module: Path,
    /// Where the file is, when it is not in its ordinary place.
    place: Option<String>,
}

/// A file that is being read.
struct Reading {
    file: usize,
    modules: Vec<Module>,
    declared: Vec<Declared>,
}

impl Reading {
    fn module(&mut self, tokens: TokenStream, path: Path) {
        let at = self.modules.len();
        self.modules.push(Module { path, file: self.file, ..Module::default() });
        self.tokens(tokens, at, true);
    }

    /// Reads tokens of a module: its items, or what is within one of them.
    fn tokens(&mut self, tokens: TokenStream, at: usize, are_items: bool) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let (mut next, mut place) = (0, None);
        while next < tokens.len() {
            next = match &tokens[next] {
                TokenTree::Punct(punct) if punct.as_char() == '#' => {
                    let behind = next + 1 + usize::from(is(tokens.get(next + 1), '!'));
                    match tokens.get(behind) {
                        Some(TokenTree::Group(attribute)) if is_of_tests(attribute) => end_of_item(&tokens, behind + 1),
                        Some(TokenTree::Group(attribute)) => {
                            place = place_in(attribute).or(place);
                            self.tokens(attribute.stream(), at, false);
                            behind + 1
                        }
                        _ => next + 1,
                    }
                }
                TokenTree::Group(group) => {
                    self.tokens(group.stream(), at, false);
                    next + 1
                }
                TokenTree::Ident(_) => self.word(&tokens, next, at, are_items, &mut place),
                _ => next + 1,
            };
        }
    }

    /// Reads what begins with a word; gives where the rest begins.
    fn word(
        &mut self,
        tokens: &[TokenTree],
        next: usize,
        at: usize,
        are_items: bool,
        place: &mut Option<String>,
    ) -> usize {
        let word = tokens[next].to_string();
        let name = tokens.get(next + 1).filter(|token| matches!(token, TokenTree::Ident(_))).map(ToString::to_string);
        match (word.as_str(), name) {
            ("use", _) if !is(tokens.get(next + 1), '<') => {
                let end = next + tokens[next..].iter().take_while(|token| !is(Some(token), ';')).count();
                let is_public = is_public(&tokens[..next]);
                use_tree(&tokens[next + 1..end], &Path::new(), &mut |path, alias, line| {
                    self.modules[at].uses.push(Use { named: Named { path, line }, alias, is_public });
                });
                end
            }
            // `pub(in …)` names a module, and imports nothing of it.
            ("pub", _) if matches!(tokens.get(next + 1), Some(TokenTree::Group(group)) if is_visibility(group)) => {
                next + 2
            }
            ("mod", Some(name)) => {
                let mut module = self.modules[at].path.clone();
                module.push(name);
                match tokens.get(next + 2) {
                    Some(TokenTree::Group(body)) => self.module(body.stream(), module),
                    _ => self.declared.push(Declared { module, place: place.take() }),
                }
                next + 3
            }
            ("impl", _) if are_items => {
                self.modules[at].implements.extend(inherent(&tokens[next + 1..]));
                next + 1
            }
            ("struct" | "enum" | "union" | "trait" | "type" | "fn" | "const" | "static", Some(name)) if are_items => {
                self.modules[at].defines.insert(name);
                next + 2
            }
            ("macro_rules", _) if are_items => {
                self.modules[at].defines.extend(tokens.get(next + 2).map(ToString::to_string));
                next + 3
            }
            _ => self.path(tokens, next, at),
        }
    }

    /// Reads a path in code; gives where the rest begins.
    fn path(&mut self, tokens: &[TokenTree], next: usize, at: usize) -> usize {
        let before = |back: usize| next.checked_sub(back).and_then(|index| tokens.get(index));
        let (path, end) = segments(tokens, next);
        let is_member = is(before(1), '.') && !is(before(2), '.');
        let is_tail = is(before(1), ':') && is(before(2), ':');
        let is_variable = is(before(1), '$') && path[0] != "crate";
        let is_field = path.len() == 1 && is(tokens.get(end), ':');
        if !is_member && !is_tail && !is_variable && !is_field && !is(before(1), '\'') {
            let line = tokens[next].span().start().line;
            self.modules[at].named.push(Named { path, line });
        }
        end
    }
}

fn is(token: Option<&TokenTree>, punct: char) -> bool {
    matches!(token, Some(TokenTree::Punct(found)) if found.as_char() == punct)
}

/// Words joined by `::`, and where the rest begins.
fn segments(tokens: &[TokenTree], first: usize) -> (Path, usize) {
    let mut path = vec![tokens[first].to_string()];
    let mut next = first + 1;
    while is(tokens.get(next), ':') && is(tokens.get(next + 1), ':') {
        let Some(TokenTree::Ident(word)) = tokens.get(next + 2) else { break };
        path.push(word.to_string());
        next += 3;
    }
    (path, next)
}

/// Whether what follows is seen outside of its module: `pub`, `pub(crate)`.
fn is_public(before: &[TokenTree]) -> bool {
    let is_pub = |token: &TokenTree| matches!(token, TokenTree::Ident(word) if word == "pub");
    match before {
        [.., word, TokenTree::Group(_)] => is_pub(word),
        [.., word] => is_pub(word),
        [] => false,
    }
}

/// Whether what stands behind `pub` says where it is seen: `(crate)`, `(in …)`.
fn is_visibility(group: &Group) -> bool {
    let first = group.stream().into_iter().next();
    matches!(first, Some(TokenTree::Ident(word)) if ["crate", "in", "self", "super"].iter().any(|known| word == known))
}

/// Takes a tree of `use` apart: `a::{b, c as d, e::*}`.
fn use_tree(tokens: &[TokenTree], prefix: &Path, found: &mut dyn FnMut(Path, Option<String>, usize)) {
    let mut path = prefix.clone();
    let mut alias = None;
    for (index, token) in tokens.iter().enumerate() {
        let line = token.span().start().line;
        match token {
            TokenTree::Ident(word) if word == "as" => {
                alias = tokens.get(index + 1).map(ToString::to_string);
                break;
            }
            TokenTree::Ident(word) if word == "self" && !path.is_empty() => {}
            TokenTree::Ident(word) => path.push(word.to_string()),
            TokenTree::Group(group) => {
                let tokens: Vec<TokenTree> = group.stream().into_iter().collect();
                tokens.split(|token| is(Some(token), ',')).for_each(|branch| use_tree(branch, &path, found));
                return;
            }
            token if is(Some(token), '*') => return found(path, None, line),
            _ => {}
        }
    }
    if let (Some(last), Some(token)) = (path.last().cloned(), tokens.first()) {
        found(path, alias.or(Some(last)), token.span().start().line);
    }
}

/// The type of an `impl` without a trait.
fn inherent(tokens: &[TokenTree]) -> Option<Path> {
    let first = if is(tokens.first(), '<') { end_of_generics(tokens, 0) } else { 0 };
    let Some(TokenTree::Ident(_)) = tokens.get(first) else { return None };
    let (path, end) = segments(tokens, first);
    let end = if is(tokens.get(end), '<') { end_of_generics(tokens, end) } else { end };
    match tokens.get(end) {
        Some(TokenTree::Group(body)) if body.delimiter() == Delimiter::Brace => Some(path),
        Some(TokenTree::Ident(word)) if word == "where" => Some(path),
        _ => None,
    }
}

/// Where what stands behind `<…>` begins; the `>` of `->` ends nothing.
fn end_of_generics(tokens: &[TokenTree], first: usize) -> usize {
    let mut depth = 0;
    for (index, token) in tokens.iter().enumerate().skip(first) {
        if is(Some(token), '<') {
            depth += 1;
        } else if is(Some(token), '>') && !is(tokens.get(index - 1), '-') {
            depth -= 1;
            if depth == 0 {
                return index + 1;
            }
        }
    }
    tokens.len()
}

/// Whether an attribute keeps its item for tests: `cfg(test)`, `cfg(all(test, …))`.
fn is_of_tests(attribute: &Group) -> bool {
    fn has_test(tokens: TokenStream) -> bool {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        tokens.iter().enumerate().any(|(index, token)| match token {
            TokenTree::Ident(word) => word == "test",
            TokenTree::Group(group) => {
                let is_not = index > 0 && matches!(&tokens[index - 1], TokenTree::Ident(word) if word == "not");
                !is_not && has_test(group.stream())
            }
            _ => false,
        })
    }
    let mut tokens = attribute.stream().into_iter();
    matches!(tokens.next(), Some(TokenTree::Ident(word)) if word == "cfg") && has_test(tokens.collect())
}

/// Where an attribute says that a module's file is: `path = "…"`.
fn place_in(attribute: &Group) -> Option<String> {
    let tokens: Vec<TokenTree> = attribute.stream().into_iter().collect();
    match tokens.as_slice() {
        [TokenTree::Ident(word), _, TokenTree::Literal(place)] if word == "path" => {
            Some(place.to_string().trim_matches('"').to_owned())
        }
        _ => None,
    }
}

/// Where what stands behind an item begins: behind its braces, or its semicolon.
fn end_of_item(tokens: &[TokenTree], first: usize) -> usize {
    let is_end = |token: &TokenTree| match token {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        token => is(Some(token), ';'),
    };
    let rest = tokens.get(first..).unwrap_or_default();
    first + rest.iter().position(is_end).map_or(rest.len(), |index| index + 1)
}
