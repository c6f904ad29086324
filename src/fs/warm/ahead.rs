//! What a program will touch next, told from what it has just read: a file of JavaScript or
//! TypeScript names the files that are loaded after it.
//!
//! It guesses: the names are those that Node.js and TypeScript ask for on the way
//! (<https://nodejs.org/api/modules.html#all-together>), the missing ones too. A wrong guess costs
//! a message that nobody waits for.

use std::collections::VecDeque;

use memchr::memmem;
use rustc_hash::{FxHashMap, FxHashSet};

use super::plan::{Step, entry_paths, find_directory, join, resolve};
use crate::fs::attributes::Kind;
use crate::fs::node::Node;
use crate::fs::vfs::Vfs;

/// Largest file that is looked through, in bytes. What is larger was bundled, and names little.
const SCANNED_BYTES_MAX: u32 = 512 << 10;

/// Files that are pushed without having been asked for, for each file that a program reads.
const FILES_PER_READ: usize = 256;

/// The same, saved up.
const FILES_SAVED_MAX: usize = 2048;

/// Specifiers that are taken from one file.
const SPECIFIERS_MAX: usize = 512;

/// Longest specifier, in bytes.
const SPECIFIER_BYTES_MAX: usize = 256;

/// Files that wait to be looked through.
const WAITING_MAX: usize = 8192;

/// Follows programs through the files that they load.
#[derive(Default)]
pub(super) struct Ahead {
    /// Files to look through: those that programs have read come first.
    waiting: VecDeque<Node>,
    /// Files that are waiting or were looked through.
    files: FxHashSet<Node>,
    /// Directories that were found. Files of one load much of the same.
    directories: FxHashMap<Box<str>, Option<Node>>,
    /// Names that were asked for.
    names: FxHashSet<(Node, Box<str>)>,
    /// Specifiers that were followed from a directory.
    followed: FxHashMap<Box<str>, FxHashSet<(Language, Box<str>)>>,
    /// Packages whose entry points were found.
    packages: FxHashSet<String>,
    /// Files that may still be pushed.
    allowance: usize,
}

impl Ahead {
    /// A program has read `file`.
    pub(super) fn was_read(&mut self, file: Node) {
        self.allowance = (self.allowance + FILES_PER_READ).min(FILES_SAVED_MAX);
        if self.files.insert(file) && self.waiting.len() < WAITING_MAX {
            self.waiting.push_front(file);
        }
    }

    /// Whether no file waits to be looked through.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Looks through one file and says what to touch for it; `None` when none is waiting.
    pub(super) fn next(&mut self, vfs: &Vfs, root: u32) -> Option<Vec<Step>> {
        let file = self.waiting.pop_front()?;
        let mut steps = Steps::default();
        if self.allowance == 0 {
            self.files.remove(&file);
            return Some(steps.0);
        }
        self.look_through(vfs, root, file, &mut steps);
        Some(steps.0)
    }

    fn look_through(&mut self, vfs: &Vfs, root: u32, file: Node, steps: &mut Steps) -> Option<()> {
        let path = String::from_utf8(vfs.lower().path(file).ok()?).ok()?;
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", &path));
        let language = Language::of(name)?;
        let attributes = vfs.attributes(file).ok()?;
        if attributes.kind != Kind::File || attributes.size > u64::from(SCANNED_BYTES_MAX) {
            return None;
        }
        let mut content = Vec::new();
        vfs.read(file, 0, SCANNED_BYTES_MAX, &mut content).ok()?;
        let tree = Tree { vfs, root };
        // The nearest package.json says how the file is to be understood.
        self.ask(tree, directory, "package.json", steps);
        let mut followed = self.followed.remove(directory).unwrap_or_default();
        for specifier in specifiers(&content) {
            if !followed.insert((language, specifier.into())) {
                continue;
            }
            if specifier.starts_with("./") || specifier.starts_with("../") || specifier == ".." {
                if let Some(target) = resolve(directory, specifier) {
                    self.load(tree, &target, language, steps);
                }
            } else if !specifier.starts_with(['/', '.', '#']) && !specifier.contains(':') {
                self.load_package(tree, directory, specifier, language, steps);
            }
        }
        self.followed.insert(directory.into(), followed);
        Some(())
    }

    /// A module at `path`, with or without its extension.
    fn load(
        &mut self,
        tree: Tree<'_>,
        path: &str,
        language: Language,
        steps: &mut Steps,
    ) -> Option<()> {
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
        let mut is_directory = false;
        for candidate in language.candidates(name) {
            match self.ask(tree, directory, &candidate, steps) {
                Some((node, Kind::File)) => {
                    self.push(tree, directory, node, steps);
                    return Some(());
                }
                Some((_, Kind::Directory)) => is_directory |= candidate == name,
                _ => {}
            }
        }
        if !is_directory {
            return None;
        }
        self.ask(tree, path, "package.json", steps);
        let (node, kind) = self.ask(tree, path, language.index(), steps)?;
        if kind == Kind::File {
            self.push(tree, path, node, steps);
        }
        Some(())
    }

    /// A package, looked for in every `node_modules` on the way up.
    fn load_package(
        &mut self,
        tree: Tree<'_>,
        directory: &str,
        specifier: &str,
        language: Language,
        steps: &mut Steps,
    ) -> Option<()> {
        let (package, inside) = split_package(specifier)?;
        let (holder, missed) = tree.holder(directory, package)?;
        let first = package.split_once('/').map_or(package, |(scope, _)| scope);
        for directory in missed {
            let inner = join(&directory, "node_modules");
            if self.ask(tree, &directory, "node_modules", steps).is_some() {
                self.ask(tree, &inner, first, steps);
            }
        }
        let (beside, name) = match package.rsplit_once('/') {
            Some((scope, name)) => (join(&holder, scope), name),
            None => (holder, package),
        };
        let (node, kind) = self.ask(tree, &beside, name, steps)?;
        if language == Language::Script && inside.is_empty() {
            // A directory is only taken for a package when no file has its name.
            for candidate in language.candidates(name) {
                self.ask(tree, &beside, &candidate, steps);
            }
        }
        let place = if kind == Kind::Symlink {
            let target = String::from_utf8(tree.vfs.read_link(node).ok()?).ok()?;
            resolve(&beside, &target)?
        } else {
            join(&beside, name)
        };
        if !inside.is_empty() {
            return self.load(tree, &join(&place, inside), language, steps);
        }
        if !self.packages.insert(place.clone()) {
            return Some(());
        }
        let (manifest, _) = self.ask(tree, &place, "package.json", steps)?;
        self.push(tree, &place, manifest, steps);
        let mut text = Vec::new();
        tree.vfs
            .read(manifest, 0, SCANNED_BYTES_MAX, &mut text)
            .ok()?;
        for path in entry_paths(&text) {
            if Language::of(&path) == Some(language) || !path.contains('.') {
                self.load(tree, &join(&place, &path), language, steps);
            }
        }
        Some(())
    }

    /// Has a name asked for, and says what it is.
    fn ask(
        &mut self,
        tree: Tree<'_>,
        directory: &str,
        name: &str,
        steps: &mut Steps,
    ) -> Option<(Node, Kind)> {
        let parent = self.directory(tree, directory)?;
        let found = tree.vfs.lookup(parent, name.as_bytes()).ok()?;
        if self.names.insert((parent, name.into())) {
            let step = steps.of(directory);
            let names = match found {
                Some(found) if found.kind == Kind::Symlink => &mut step.links,
                Some(_) => &mut step.found,
                None => &mut step.missing,
            };
            names.push(name.into());
        }
        found.map(|found| (found.node, found.kind))
    }

    fn directory(&mut self, tree: Tree<'_>, path: &str) -> Option<Node> {
        if let Some(found) = self.directories.get(path) {
            return *found;
        }
        let found = find_directory(tree.vfs, tree.root, path);
        self.directories.insert(path.into(), found);
        found
    }

    /// Has a file pushed, and looked through in its turn.
    fn push(&mut self, tree: Tree<'_>, directory: &str, file: Node, steps: &mut Steps) {
        let is_small = tree
            .vfs
            .attributes(file)
            .is_ok_and(|found| found.size <= u64::from(SCANNED_BYTES_MAX));
        if self.allowance > 0 && is_small && self.files.insert(file) {
            self.allowance -= 1;
            steps.of(directory).contents.push(file);
            if self.waiting.len() < WAITING_MAX {
                self.waiting.push_back(file);
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Tree<'vfs> {
    vfs: &'vfs Vfs,
    root: u32,
}

impl Tree<'_> {
    /// The nearest `node_modules` above `directory` that has `package`, and the directories on the
    /// way whose own has not, or which have none.
    fn holder(self, directory: &str, package: &str) -> Option<(String, Vec<String>)> {
        let mut missed = Vec::new();
        let mut at = directory;
        loop {
            // The mountpoint is a node_modules itself.
            let holder = match at {
                "" => String::new(),
                at => format!("{at}/node_modules"),
            };
            let is_itself = at.ends_with("/node_modules") || at == "node_modules";
            if !is_itself {
                if self.find(&join(&holder, package)).is_some() {
                    return Some((holder, missed));
                }
                missed.push(at.to_owned());
            }
            if at.is_empty() {
                return None;
            }
            at = at.rsplit_once('/').map_or("", |(above, _)| above);
        }
    }

    fn find(self, path: &str) -> Option<Node> {
        let lower = self.vfs.lower();
        lower
            .resolve(Node::Layer(self.root), path.as_bytes())
            .ok()?
    }
}

/// Steps in their order, one for each run of names in the same directory.
#[derive(Default)]
struct Steps(Vec<Step>);

impl Steps {
    fn of(&mut self, directory: &str) -> &mut Step {
        let last = self.0.len();
        match self.0.last() {
            Some(step) if step.directory == directory => &mut self.0[last - 1],
            _ => {
                self.0.push(Step {
                    directory: directory.to_owned(),
                    ..Step::default()
                });
                &mut self.0[last]
            }
        }
    }
}

/// Who asks, which decides on the names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Language {
    Script,
    Types,
}

impl Language {
    fn of(name: &str) -> Option<Self> {
        let (_, extension) = name.rsplit_once('.')?;
        match extension {
            "js" | "cjs" | "mjs" => Some(Self::Script),
            "ts" | "mts" | "cts" => Some(Self::Types),
            _ => None,
        }
    }

    /// What is loaded of a directory.
    fn index(self) -> &'static str {
        match self {
            Self::Script => "index.js",
            Self::Types => "index.d.ts",
        }
    }

    /// The names that a module of this name may have, in the order in which they are asked for.
    fn candidates(self, name: &str) -> Vec<String> {
        let with = |stem: &str, extensions: &[&str]| -> Vec<String> {
            let extensions = extensions.iter();
            extensions
                .map(|extension| format!("{stem}{extension}"))
                .collect()
        };
        match self {
            Self::Script => with(name, &["", ".js", ".json", ".node"]),
            Self::Types => {
                if name.ends_with(".d.ts") {
                    return vec![name.to_owned()];
                }
                match name.rsplit_once('.') {
                    Some((stem, "js")) => with(stem, &[".ts", ".tsx", ".d.ts"]),
                    Some((stem, "mjs")) => with(stem, &[".mts", ".d.mts"]),
                    Some((stem, "cjs")) => with(stem, &[".cts", ".d.cts"]),
                    _ => with(name, &[".ts", ".tsx", ".d.ts", ""]),
                }
            }
        }
    }
}

/// The package of a specifier, and the path inside it.
fn split_package(specifier: &str) -> Option<(&str, &str)> {
    let mut slashes = specifier.match_indices('/').map(|(at, _)| at);
    let end = if specifier.starts_with('@') {
        slashes.next()?;
        slashes.next()
    } else {
        slashes.next()
    };
    Some(match end {
        Some(end) => (&specifier[..end], &specifier[end + 1..]),
        None => (specifier, ""),
    })
}

/// What follows these words in quotes is a specifier: `require("x")`, `from "x"`, `import "x"`,
/// `import("x")`.
const WORDS: [&str; 3] = ["require", "from", "import"];

/// The specifiers in a source text, in their order.
fn specifiers(text: &[u8]) -> Vec<&str> {
    let mut found: Vec<(usize, &str)> = Vec::new();
    for word in WORDS {
        for at in memmem::find_iter(text, word.as_bytes()) {
            if found.len() >= SPECIFIERS_MAX {
                break;
            }
            if let Some(specifier) = quoted(&text[at + word.len()..]) {
                found.push((at, specifier));
            }
        }
    }
    found.sort_unstable();
    found.into_iter().map(|(_, specifier)| specifier).collect()
}

/// The text in quotes at the beginning of `text`, after spaces and a parenthesis.
fn quoted(text: &[u8]) -> Option<&str> {
    let skipped = text
        .iter()
        .position(|byte| !matches!(byte, b' ' | b'('))
        .filter(|skipped| *skipped <= 4)?;
    let (quote, rest) = text[skipped..].split_first()?;
    if !matches!(quote, b'"' | b'\'') {
        return None;
    }
    let rest = &rest[..rest.len().min(SPECIFIER_BYTES_MAX)];
    let end = memchr::memchr(*quote, rest)?;
    let specifier = std::str::from_utf8(&rest[..end]).ok()?;
    let is_specifier = !specifier.is_empty() && !specifier.chars().any(char::is_control);
    is_specifier.then_some(specifier)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specifiers_are_found_in_every_form() {
        let text = br#"
            const a = require('./a'), b = require( "b" );
            import c from "@s/c/x"; import"./d";export*from'./e';
            const f = await import("f"); require(name); from [1]; important("no");
        "#;
        assert_eq!(specifiers(text), ["./a", "b", "@s/c/x", "./d", "./e", "f"]);
        assert!(specifiers(b"require('a\nb') from \"unended").is_empty());
    }

    #[test]
    fn packages_are_split_from_what_is_inside() {
        assert_eq!(split_package("a"), Some(("a", "")));
        assert_eq!(split_package("a/b/c.js"), Some(("a", "b/c.js")));
        assert_eq!(split_package("@s/a"), Some(("@s/a", "")));
        assert_eq!(split_package("@s/a/b"), Some(("@s/a", "b")));
        assert_eq!(split_package("@s"), None);
    }

    #[test]
    fn candidates_are_those_of_the_language() {
        assert_eq!(Language::of("a.d.ts"), Some(Language::Types));
        assert_eq!(Language::of("a.css"), None);
        assert_eq!(
            Language::Script.candidates("a"),
            ["a", "a.js", "a.json", "a.node"]
        );
        assert_eq!(
            Language::Types.candidates("a.js"),
            ["a.ts", "a.tsx", "a.d.ts"]
        );
    }
}
