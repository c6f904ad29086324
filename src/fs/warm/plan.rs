//! What a replay does, in which order.

use std::collections::{HashSet, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;

use super::profile::{DirectoryUse, Profile, UseKind};
use crate::fs::attributes::Kind;
use crate::fs::node::Node;
use crate::fs::vfs::Vfs;

/// Names that a replay makes known to the kernel: each takes about 1.2 KB of its memory.
const NAMES_MAX: u32 = 40_000;

/// Bytes that a replay pushes into the page cache.
const PUSHED_BYTES_MAX: u64 = 48 << 20;

/// Largest file that is pushed; of a larger one, programs seldom read all.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// A directory's part of the replay.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Step {
    /// Path below the mountpoint; empty for the root.
    pub(super) directory: String,
    /// Whether it is listed to its end, which the kernel then keeps.
    pub(super) is_listed: bool,
    /// Names that are there, to be made known.
    pub(super) found: Vec<Box<str>>,
    /// Names that are missing, to be asked for.
    pub(super) missing: Vec<Box<str>>,
    /// Symlinks that are followed. The kernel takes no target that it did not ask for.
    pub(super) links: Vec<Box<str>>,
    /// Files that are read from this offset on.
    pub(super) ends: Vec<(Box<str>, u64)>,
    /// Names of which the kernel shall learn anew what they are, after all of that.
    pub(super) renewed: Vec<Box<str>>,
    /// Files that are pushed when the names are known.
    pub(super) contents: Vec<Node>,
}

/// What a replay does. Its steps are made when their turn comes: the program that they are meant
/// for has begun.
#[derive(Debug, Default)]
pub(super) struct Plan {
    steps: VecDeque<Step>,
    rest: Rest,
    profile: Arc<Profile>,
    names: u32,
    pushed_bytes: u64,
}

/// What no step was made of yet.
#[derive(Debug, Default)]
enum Rest {
    #[default]
    Nothing,
    Profile(Course),
    Dependencies(Dependencies),
}

/// How far the directories of a profile were gone through. A profile has the touches of several
/// programs, each in their order, and it is seen from what is read which of them runs.
#[derive(Debug, Default)]
struct Course {
    /// Whether each has had its turn.
    done: Vec<bool>,
    /// The directory whose turn is next, unless it has had it.
    next: usize,
}

impl Course {
    fn of(directories: usize) -> Self {
        Self {
            done: vec![false; directories],
            next: 0,
        }
    }

    /// The next directory, which has had its turn from then on.
    fn take(&mut self) -> Option<usize> {
        let is_left = |index: &usize| !self.done[*index];
        let mut order = (self.next..self.done.len()).chain(0..self.next.min(self.done.len()));
        let index = order.find(is_left)?;
        (self.done[index], self.next) = (true, index + 1);
        Some(index)
    }

    /// Goes on from this directory: a program has come there first.
    fn go_to(&mut self, index: usize) {
        if self.done.get(index) == Some(&false) {
            self.next = index;
        }
    }
}

/// How far the skeleton of a tree was gone through.
#[derive(Debug, Default)]
struct Dependencies {
    seen: HashSet<String>,
    /// Directories that projects see.
    roots: Vec<String>,
    /// Packages, those of projects first; `None`: outside of the tree.
    packages: Vec<Option<String>>,
    /// Of them, how many were looked at.
    next: usize,
}

impl Plan {
    /// Replays a profile, without the names whose turn it is to be left out.
    pub(super) fn of_profile(profile: Profile) -> Self {
        Self {
            rest: Rest::Profile(Course::of(profile.directories.len())),
            profile: Arc::new(profile),
            ..Self::default()
        }
    }

    /// The profile, which is empty where there is none.
    pub(super) fn profile(&self) -> &Arc<Profile> {
        &self.profile
    }

    /// A program has read a file. Returns whether the profile says so: then it says too what comes
    /// after it, and the replay goes on from there.
    pub(super) fn was_read(&mut self, vfs: &Vfs, file: Node) -> bool {
        if self.profile.is_empty() {
            return false;
        }
        let path = vfs.lower().path(file).ok();
        let path = path.and_then(|path| String::from_utf8(path).ok());
        let Some(index) = path.and_then(|path| self.profile.has_read(&path)) else {
            return false;
        };
        if let Rest::Profile(course) = &mut self.rest {
            course.go_to(index);
        }
        true
    }

    /// Whether there is no further step.
    pub(super) fn is_over(&self) -> bool {
        self.steps.is_empty() && matches!(self.rest, Rest::Nothing)
    }

    /// The next step.
    pub(super) fn next(&mut self, vfs: &Vfs, root: u32) -> Option<Step> {
        while self.steps.is_empty() && !self.is_over() {
            let mut rest = std::mem::take(&mut self.rest);
            let has_more = match &mut rest {
                Rest::Nothing => false,
                Rest::Dependencies(at) => self.go_on(vfs, root, at),
                Rest::Profile(course) => {
                    let taken = course.take();
                    taken.map(|index| self.replay(vfs, root, index)).is_some()
                }
            };
            if has_more {
                self.rest = rest;
            }
        }
        self.steps.pop_front()
    }

    /// Makes a step of what the profile says of its directory at `index`.
    fn replay(&mut self, vfs: &Vfs, root: u32, index: usize) {
        let profile = Arc::clone(&self.profile);
        if let Some((path, directory)) = profile.directories.get_index(index)
            && let Some(node) = find_directory(vfs, root, path)
        {
            let step = self.replayed(vfs, (path, node), directory, profile.runs);
            self.add(step);
        }
    }

    fn replayed(
        &mut self,
        vfs: &Vfs,
        (path, node): (&str, Node),
        directory: &DirectoryUse,
        round: u32,
    ) -> Step {
        let mut step = Step {
            directory: path.to_owned(),
            is_listed: directory.listed,
            ..Step::default()
        };
        for (name, known) in &directory.names {
            if Profile::is_sampled(path, name, round) {
                continue;
            }
            let is_read = known.kind == UseKind::Read;
            match vfs.lookup(node, name.as_bytes()) {
                Ok(Some(attributes)) if attributes.kind == Kind::Symlink && is_read => {
                    step.links.push(name.clone());
                }
                Ok(Some(attributes)) => {
                    step.found.push(name.clone());
                    let is_file = attributes.kind == Kind::File;
                    if is_read && is_file && self.has_room_for(attributes.size) {
                        step.contents.push(attributes.node);
                    }
                }
                Ok(None) => step.missing.push(name.clone()),
                Err(_) => {}
            }
        }
        step
    }

    /// Without a profile: the skeleton of the tree, direct dependencies first, and the manifests
    /// and entry points of these.
    pub(super) fn of_dependencies() -> Self {
        Self {
            rest: Rest::Dependencies(Dependencies {
                roots: vec![String::new()],
                ..Dependencies::default()
            }),
            ..Self::default()
        }
    }

    /// Goes on with the skeleton. Returns whether there is more of it.
    fn go_on(&mut self, vfs: &Vfs, root: u32, at: &mut Dependencies) -> bool {
        if let Some(path) = at.roots.pop() {
            for (name, kind, target) in self.list(vfs, root, &path, &mut at.seen) {
                if kind == Kind::Directory && path.is_empty() && name.starts_with('@') {
                    at.roots.push(name);
                } else if let Some(target) = target {
                    at.packages.push(resolve(&path, &target));
                }
            }
            return true;
        }
        if at.next == 0 {
            self.list(vfs, root, ".pnpm", &mut at.seen);
        }
        let Some(package) = at.packages.get(at.next).cloned() else {
            return false;
        };
        at.next += 1;
        if let Some(package) = package {
            self.surroundings(vfs, root, &package, at);
        }
        true
    }

    /// A package and what is beside it: a dependency is a symlink beside the package that needs it.
    fn surroundings(&mut self, vfs: &Vfs, root: u32, package: &str, at: &mut Dependencies) {
        if at.next <= DIRECT_MAX {
            self.entry_points(vfs, root, package, &mut at.seen);
        }
        let Some((top, _)) = package.rsplit_once("/node_modules/") else {
            return;
        };
        self.list(vfs, root, top, &mut at.seen);
        let mut folders = vec![format!("{top}/node_modules")];
        while let Some(folder) = folders.pop() {
            for (name, kind, target) in self.list(vfs, root, &folder, &mut at.seen) {
                if kind == Kind::Directory && name.starts_with('@') {
                    folders.push(join(&folder, &name));
                } else if let Some(target) = target {
                    at.packages.push(resolve(&folder, &target));
                }
            }
        }
    }

    /// Makes all of a directory of the layer known and follows its symlinks. Returns its entries,
    /// with the targets of symlinks; nothing the second time.
    fn list(
        &mut self,
        vfs: &Vfs,
        root: u32,
        path: &str,
        seen: &mut HashSet<String>,
    ) -> Vec<(String, Kind, Option<String>)> {
        if self.names >= NAMES_MAX || !seen.insert(path.to_owned()) {
            return Vec::new();
        }
        let Some(node) = find_directory(vfs, root, path) else {
            return Vec::new();
        };
        let mut entries = Vec::new();
        let (mut found, mut links) = (Vec::new(), Vec::new());
        let _ = vfs.read_directory(node, AFTER_DOTS, &mut |entry| {
            let attributes = entry.attributes;
            if let Ok(name) = std::str::from_utf8(entry.name) {
                let target = (attributes.kind == Kind::Symlink)
                    .then(|| vfs.read_link(attributes.node).ok())
                    .flatten()
                    .and_then(|target| String::from_utf8(target).ok());
                let names = match target {
                    Some(_) => &mut links,
                    None => &mut found,
                };
                names.push(name.into());
                entries.push((name.to_owned(), attributes.kind, target));
            }
            ControlFlow::Continue(())
        });
        self.add(Step {
            directory: path.to_owned(),
            found,
            links,
            ..Step::default()
        });
        entries
    }

    /// Lists a package and pushes its manifest and what the manifest names first.
    fn entry_points(&mut self, vfs: &Vfs, root: u32, package: &str, seen: &mut HashSet<String>) {
        let Some(node) = find_directory(vfs, root, package) else {
            return;
        };
        if self.list(vfs, root, package, seen).is_empty() {
            return;
        }
        let Ok(Some(manifest)) = vfs.lookup(node, b"package.json") else {
            return;
        };
        let mut text = Vec::new();
        let size = u32::try_from(manifest.size).unwrap_or(u32::MAX);
        if size > MANIFEST_BYTES_MAX || vfs.read(manifest.node, 0, size, &mut text).is_err() {
            return;
        }
        let mut files = vec![(package.to_owned(), manifest.node)];
        for path in entry_paths(&text) {
            let path = join(package, &path);
            let Some((directory, name)) = path.rsplit_once('/') else {
                continue;
            };
            let found = find_directory(vfs, root, directory)
                .and_then(|directory| vfs.lookup(directory, name.as_bytes()).ok()?);
            if let Some(file) = found.filter(|file| file.kind == Kind::File) {
                files.push((directory.to_owned(), file.node));
            }
        }
        for (directory, node) in files {
            let size = vfs.attributes(node).map_or(u64::MAX, |found| found.size);
            if !self.has_room_for(size) {
                continue;
            }
            let listed = self
                .steps
                .iter_mut()
                .rev()
                .find(|step| step.directory == directory);
            if let Some(step) = listed {
                step.contents.push(node);
                continue;
            }
            let is_new = !self.list(vfs, root, &directory, seen).is_empty();
            match self.steps.back_mut().filter(|_| is_new) {
                Some(step) => step.contents.push(node),
                None => self.steps.push_back(Step {
                    directory,
                    contents: vec![node],
                    ..Step::default()
                }),
            }
        }
    }

    fn has_room_for(&mut self, size: u64) -> bool {
        let fits = size <= FILE_BYTES_MAX && self.pushed_bytes + size <= PUSHED_BYTES_MAX;
        if fits {
            self.pushed_bytes += size;
        }
        fits
    }

    fn add(&mut self, step: Step) {
        let names = step.found.len() + step.links.len() + step.missing.len();
        let names = names + usize::from(step.is_listed);
        let more = self
            .names
            .saturating_add(u32::try_from(names).unwrap_or(u32::MAX));
        if more <= NAMES_MAX && more > self.names {
            self.names = more;
            self.steps.push_back(step);
        }
    }
}

/// The directory at `path` below `root`; symlinks are not followed.
pub(super) fn find_directory(vfs: &Vfs, root: u32, path: &str) -> Option<Node> {
    vfs.lower()
        .resolve(Node::Layer(root), path.as_bytes())
        .ok()?
}

pub(super) fn join(directory: &str, name: &str) -> String {
    if directory.is_empty() {
        name.to_owned()
    } else {
        format!("{directory}/{name}")
    }
}

/// Where reading a directory goes on after `.` and `..`.
const AFTER_DOTS: u64 = 2;

/// Direct dependencies whose entry points are looked at.
const DIRECT_MAX: usize = 300;

/// Largest manifest that is read for its entry points.
const MANIFEST_BYTES_MAX: u32 = 1 << 20;

/// `target` as seen from `directory`, as a path below the root; `None` where it leaves it.
pub(super) fn resolve(directory: &str, target: &str) -> Option<String> {
    let mut names: Vec<&str> = directory
        .split('/')
        .filter(|name| !name.is_empty())
        .collect();
    for name in target.split('/') {
        match name {
            "" | "." => {}
            ".." => {
                names.pop()?;
            }
            name => names.push(name),
        }
    }
    (!target.starts_with('/')).then(|| names.join("/"))
}

/// The files that a manifest names as what is loaded or run first, relative to the package.
pub(super) fn entry_paths(manifest: &[u8]) -> Vec<String> {
    let Ok(manifest) = serde_json::from_slice::<serde_json::Value>(manifest) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for field in ["main", "module", "bin"] {
        collect_paths(&manifest[field], &mut found);
    }
    let exports = &manifest["exports"];
    collect_paths(exports.get(".").unwrap_or(exports), &mut found);
    if found.is_empty() {
        found.push("index.js".to_owned());
    }
    found
}

/// Conditions of `exports` that a program under Node.js gets to.
const CONDITIONS: [&str; 5] = ["import", "require", "node", "default", "module-sync"];

fn collect_paths(value: &serde_json::Value, found: &mut Vec<String>) {
    const PATHS_MAX: usize = 8;
    match value {
        serde_json::Value::String(path) if found.len() < PATHS_MAX => {
            if let Some(path) = resolve("", path) {
                found.push(path);
            }
        }
        serde_json::Value::Object(map) => {
            for (key, value) in map {
                if CONDITIONS.contains(&key.as_str()) || !value.is_object() && !key.starts_with('.')
                {
                    collect_paths(value, found);
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_goes_on_where_a_program_has_come() {
        let mut course = Course::of(6);
        assert_eq!(course.take(), Some(0));
        course.go_to(4);
        assert_eq!(course.take(), Some(4));
        course.go_to(0);
        course.go_to(9);
        assert_eq!(course.take(), Some(5));
        assert_eq!(course.take(), Some(1));
        course.go_to(3);
        assert_eq!(course.take(), Some(3));
        assert_eq!(course.take(), Some(2));
        assert_eq!(course.take(), None);
        course.go_to(1);
        assert_eq!(course.take(), None);
        assert_eq!(Course::of(0).take(), None);
    }

    #[test]
    fn targets_are_resolved_and_stay_inside() {
        assert_eq!(resolve("a/b", "../c").as_deref(), Some("a/c"));
        assert_eq!(resolve("", ".pnpm/x").as_deref(), Some(".pnpm/x"));
        assert_eq!(resolve("a", "../../c"), None);
        assert_eq!(resolve("a", "/c"), None);
    }

    #[test]
    fn entry_points_are_read_from_manifests() {
        let paths = |text: &str| entry_paths(text.as_bytes());
        assert_eq!(paths("{}"), ["index.js"]);
        assert_eq!(paths(r#"{"main": "./lib/a.js"}"#), ["lib/a.js"]);
        assert_eq!(
            paths(r#"{"exports": {".": {"types": "./t.d.ts", "import": {"default": "./e.mjs"}}}}"#),
            ["t.d.ts", "e.mjs"]
        );
        assert_eq!(paths(r#"{"bin": {"x": "bin/x.js"}}"#), ["bin/x.js"]);
        assert_eq!(paths(r#"{"main": "../../etc/passwd"}"#), ["index.js"]);
        assert!(paths("[").is_empty());
    }
}
