//! `node_modules` as real files: a [`Layout`] written to disk, for machines without FUSE.
//!
//! A package is written beside its place and renamed into it, so that each is there whole or not at
//! all. Before anything changes, the current lockfile (`.pnpm/lock.yaml`) goes away and
//! `.modules.yaml` claims the old and the new places; both are written again when everything else
//! is in place. So an install that was interrupted leaves a tree of which nothing is believed, and
//! the next install writes it anew.
//!
//! **Architecture Invariant:** nothing is written through a symlink. Every directory is opened by
//! its name in its parent, and none of them may be a link.
//!
//! **Architecture Invariant:** a package that the current lockfile has with the same content and
//! the same dependencies is not looked into.

pub mod copies;
mod directory;
mod error;
pub mod links;
mod method;
mod package;
mod present;
mod sync;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

pub use error::RealError;

use rustix::fs::FileType;

use crate::install::config::PackageImportMethod;
use crate::install::layout::{DirectoryIndex, Layout, LayoutDirectory, LayoutEntry, LayoutTree};
use crate::install::lockfile::ImporterId;
use crate::install::package_lock::HIDDEN_FILE_NAME;
use crate::store::{PackId, Store};
use crate::sys::file::is_fixed;

use directory::{Directory, Found};
use method::{Method, Methods};
use present::{ModulesFile, Present};
use sync::{Area, CURRENT_LOCKFILE, Place, STATE_FILES};

/// What to write, and where.
#[derive(Clone, Copy)]
pub struct RealPlan<'a> {
    /// The tree.
    pub layout: &'a Layout,
    /// Where each of its trees goes, in their order: a project's `node_modules`.
    pub places: &'a [PathBuf],
    /// Projects without a tree, and the `node_modules` that they may have had.
    pub without: &'a [(ImporterId, PathBuf)],
    /// Where the contents come from.
    pub store: &'a Store,
    /// `packageImportMethod`.
    pub method: PackageImportMethod,
    /// Packs whose files share no inode with anything, because programs will write into them.
    pub private: &'a HashSet<PackId>,
    /// `verifyStoreIntegrity`: whether what is linked is looked at first.
    pub verify: bool,
}

/// A plan that is being carried out.
struct RealFiles<'a> {
    layout: &'a Layout,
    store: &'a Store,
    methods: Methods,
    private: &'a HashSet<PackId>,
    verify: bool,
    present: Present,
    /// Every directory that the hoisted linker made, or was about to make.
    known_locations: HashSet<Box<str>>,
    /// Those that have others of them in a `node_modules` of their own.
    nesting_locations: HashSet<Box<str>>,
}

/// Writes the trees of a layout.
///
/// # Errors
/// A system call that fails, something that is no directory where one must be, or the store.
pub fn write(plan: &RealPlan<'_>) -> Result<(), RealError> {
    let Some((first, _)) = plan.places.split_first() else {
        return Ok(());
    };
    let (root, _) = open_modules(first)?;
    refuse_fixed(plan.places)?;
    let state = StateFiles::of(plan.layout);
    let hidden = read_text(&root, HIDDEN_FILE_NAME);
    let modules = read_modules(&root, hidden.as_deref());
    let virtual_store = match root.kind(".pnpm")? {
        Some(FileType::Directory) => Some(root.child(".pnpm")?),
        _ => None,
    };
    let current = virtual_store
        .as_ref()
        .and_then(|store| read_text(store, CURRENT_LOCKFILE));
    let present = match state.hidden {
        Some(wanted) => Present::of_npm(&modules, hidden.as_deref(), wanted),
        None => Present::new(&modules, current.as_deref(), state.lockfile),
    };
    let files = RealFiles::new(plan, present);
    if is_elsewhere(plan.store.path(), &root) {
        files.methods.give_up(Method::Link);
        files.methods.give_up(Method::Clone);
    }
    if let Some(store) = &virtual_store {
        store.remove(CURRENT_LOCKFILE)?;
    }
    if hidden.is_some() {
        root.remove(HIDDEN_FILE_NAME)?;
    }
    files.claim(&root, &modules, &state)?;
    files.sync_trees(plan)?;
    files.clear(plan.without)?;
    state.write(first)
}

/// Refuses what cannot be written, before anything is.
fn refuse_fixed(places: &[PathBuf]) -> Result<(), RealError> {
    let below = |name: &&str| places.first().map(|root| root.join(name));
    let names = [".pnpm", ".pnpm/lock.yaml"];
    let files = names.iter().chain(&STATE_FILES).filter_map(below);
    let mut fixed = files.filter(|path| is_fixed(path));
    let is_shut = |place: &&PathBuf| !crate::sys::directory::is_writable(place);
    let shut = || places.iter().find(is_shut).cloned();
    match fixed.next().or_else(shut) {
        Some(path) => Err(RealError::Fixed { path }),
        None => Ok(()),
    }
}

/// What `.modules.yaml` says, together with what npm's own record says.
fn read_modules(root: &Directory, hidden: Option<&str>) -> ModulesFile {
    let text = read_text(root, STATE_FILES[0]).unwrap_or_default();
    let mut modules = ModulesFile::parse(&text);
    if let Some(hidden) = hidden {
        modules.add_places(ModulesFile::of_npm(hidden));
    }
    modules
}

/// The first of these trees and what its state says, where this program made it.
fn own_root(
    projects: &[(ImporterId, PathBuf)],
    is_own_npm_tree: bool,
) -> Option<(Directory, ModulesFile)> {
    // A link or a file there is for the mount to refuse.
    let root = Directory::open(&projects.first()?.1).ok()?;
    let hidden = read_text(&root, HIDDEN_FILE_NAME);
    let modules = read_modules(&root, hidden.as_deref());
    let is_ours = modules.is_of_this_program() || (hidden.is_some() && is_own_npm_tree);
    is_ours.then_some((root, modules))
}

/// Whether [`withdraw`] would take anything away.
pub fn is_withdrawable(projects: &[(ImporterId, PathBuf)], is_own_npm_tree: bool) -> bool {
    own_root(projects, is_own_npm_tree).is_some()
}

/// Takes away what [`write`] has put into the `node_modules` of these projects, the root's first,
/// to make room for a mount. What somebody else put there stays. `false` where the tree is not one
/// that this program made: of npm's layout `is_own_npm_tree` tells, because nothing in the tree
/// does.
///
/// # Errors
/// As [`write`].
pub fn withdraw(
    projects: &[(ImporterId, PathBuf)],
    store: &Store,
    is_own_npm_tree: bool,
) -> Result<bool, RealError> {
    let Some((root, modules)) = own_root(projects, is_own_npm_tree) else {
        return Ok(false);
    };
    let empty = |number: usize| LayoutTree {
        importer: projects[number].0.clone(),
        root: DirectoryIndex(0),
    };
    let layout = Layout {
        directories: vec![LayoutDirectory::default()],
        trees: (0..projects.len()).map(empty).collect(),
        ..Layout::default()
    };
    let current = match root.kind(".pnpm")? {
        Some(FileType::Directory) => read_text(&root.child(".pnpm")?, CURRENT_LOCKFILE),
        _ => None,
    };
    let present = Present::new(&modules, current.as_deref(), None);
    let plan = RealPlan {
        layout: &layout,
        places: &projects
            .iter()
            .map(|(_, path)| path.clone())
            .collect::<Vec<_>>(),
        without: &[],
        store,
        method: PackageImportMethod::Copy,
        private: &HashSet::new(),
        verify: false,
    };
    RealFiles::new(&plan, present).sync_trees(&plan)?;
    // Until now whoever goes on after an interruption can see whose the rest is.
    for name in STATE_FILES.into_iter().chain([HIDDEN_FILE_NAME]) {
        root.remove(name)?;
    }
    Ok(true)
}

/// Whether the store is on another file system than `directory`: then nothing can be linked.
fn is_elsewhere(store: &Path, directory: &Directory) -> bool {
    let device = |facts: rustix::io::Result<rustix::fs::Stat>| facts.ok().map(|facts| facts.st_dev);
    device(rustix::fs::stat(store)) != device(rustix::fs::fstat(directory))
}

/// Opens a project's `node_modules`, which is made where it is missing. The project's directory is
/// trusted, `node_modules` is not.
fn open_modules(path: &Path) -> Result<(Directory, Found), RealError> {
    let (Some(parent), Some(name)) = (
        path.parent(),
        path.file_name().and_then(|name| name.to_str()),
    ) else {
        let path = path.to_owned();
        return Err(RealError::NotDirectory { path });
    };
    // `modulesDir` may have several components.
    crate::sys::directory::make(parent).map_err(RealError::io("make", parent))?;
    Directory::open(parent)?.make(name)
}

fn read_text(directory: &Directory, name: &str) -> Option<String> {
    directory.text(name, crate::limits::LOCKFILE_BYTES_MAX)
}

impl<'a> RealFiles<'a> {
    fn new(plan: &RealPlan<'a>, present: Present) -> Self {
        let outer = |place: &str| Some(place.rsplit_once("/node_modules/")?.0.into());
        Self {
            layout: plan.layout,
            store: plan.store,
            methods: Methods::of(plan.method),
            private: plan.private,
            verify: plan.verify,
            known_locations: present.locations().map(Into::into).collect(),
            nesting_locations: present.locations().filter_map(outer).collect(),
            present,
        }
    }

    /// Says in `.modules.yaml` which places are an installer's from now on, the old ones and the
    /// new ones, so that whoever goes on after an interruption does not take them for somebody's.
    fn claim(
        &self,
        root: &Directory,
        modules: &ModulesFile,
        state: &StateFiles<'_>,
    ) -> Result<(), RealError> {
        if let Some(hidden) = state.hidden {
            let mut claim = ModulesFile::of_npm(hidden);
            claim.add_places(modules.clone());
            return root.write(STATE_FILES[0], &claim.claim(), false);
        }
        let Some(wanted) = state.modules else {
            return Ok(());
        };
        root.write(STATE_FILES[0], &modules.united_with(wanted), false)
    }

    fn sync_trees(&self, plan: &RealPlan<'_>) -> Result<(), RealError> {
        for (tree, path) in self.layout.trees.iter().zip(plan.places) {
            let importer = tree.importer.as_str();
            let location = match importer {
                "." => "node_modules".to_owned(),
                importer => format!("{importer}/node_modules"),
            };
            let place = Place {
                area: Area::Shared,
                importer,
                location: &location,
                scope: None,
            };
            let is_empty = self.layout.directories[tree.root.0 as usize]
                .entries
                .is_empty();
            if is_empty && std::fs::symlink_metadata(path).is_err() {
                continue;
            }
            let (directory, found) = open_modules(path)?;
            self.sync(&directory, found, tree.root, place)?;
        }
        Ok(())
    }

    /// Takes away what projects had that depend on nothing any more.
    fn clear(&self, projects: &[(ImporterId, PathBuf)]) -> Result<(), RealError> {
        for (importer, path) in projects {
            let importer = importer.as_str();
            let is_there = std::fs::symlink_metadata(path).is_ok_and(|facts| facts.is_dir());
            if !is_there || !self.present.has_any(importer) {
                continue;
            }
            let place = Place {
                area: Area::Shared,
                importer,
                location: &format!("{importer}/node_modules"),
                scope: None,
            };
            let (directory, _) = open_modules(path)?;
            for (name, kind) in directory.entries()? {
                self.remove_stale(&directory, &name, kind, place)?;
            }
        }
        Ok(())
    }
}

/// The state files of a layout.
#[derive(Default)]
struct StateFiles<'a> {
    modules: Option<&'a [u8]>,
    workspace: Option<&'a [u8]>,
    lockfile: Option<&'a str>,
    /// [`HIDDEN_FILE_NAME`], where the layout is npm's.
    hidden: Option<&'a str>,
}

impl<'a> StateFiles<'a> {
    fn of(layout: &'a Layout) -> Self {
        let Some(tree) = layout.trees.first() else {
            return Self::default();
        };
        let entries = &layout.directories[tree.root.0 as usize].entries;
        let file = |entry: Option<&'a LayoutEntry>| match entry {
            Some(LayoutEntry::File { content, .. }) => Some(&**content),
            _ => None,
        };
        let lockfile = match entries.get(".pnpm") {
            Some(LayoutEntry::Directory(index)) => {
                let entries = &layout.directories[index.0 as usize].entries;
                file(entries.get(CURRENT_LOCKFILE))
            }
            _ => None,
        };
        Self {
            modules: file(entries.get(STATE_FILES[0])),
            workspace: file(entries.get(STATE_FILES[1])),
            lockfile: lockfile.and_then(|text| std::str::from_utf8(text).ok()),
            hidden: file(entries.get(HIDDEN_FILE_NAME))
                .and_then(|text| std::str::from_utf8(text).ok()),
        }
    }

    /// Writes them, the current lockfile last: with it everything else is believed.
    fn write(&self, modules: &Path) -> Result<(), RealError> {
        let root = Directory::open(modules)?;
        let files = STATE_FILES.iter().zip([self.modules, self.workspace]);
        for (name, content) in files {
            match content {
                Some(content) => root.write(name, content, false)?,
                // Those of npm's layout were there only until everything else was.
                None if self.hidden.is_some() => root.remove(name)?,
                None => {}
            }
        }
        if let Some(hidden) = self.hidden {
            root.write(HIDDEN_FILE_NAME, hidden.as_bytes(), false)?;
        }
        match self.lockfile {
            Some(text) => {
                let (store, _) = root.make(".pnpm")?;
                store.write(CURRENT_LOCKFILE, text.as_bytes(), false)
            }
            None => Ok(()),
        }
    }
}
