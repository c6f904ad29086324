//! From configuration to real files: `install` without a mount.
//!
//! What an install came to is noted in the cache directory: the digest of its inputs and what the
//! state files and the projects' `node_modules` looked like after it. While all of that is as it
//! was, the next install has nothing to do, and looks at nothing else.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::building::InstallScripts;
use super::context::Context;
use super::failure::Failure;
use super::recorded;
use super::relocking;
use super::serving::{UP_TO_DATE, forget_what_cannot_be_read, modules_of, open_store};
use crate::fs::control::RunDirectory;
use crate::fs::mount::{self, UnmountRequest};
use crate::fs::mountinfo;
use crate::install::layout::Layout;
use crate::install::locked::{self, Groups, Inputs, Supply};
use crate::install::lockfile::ImporterId;
use crate::install::package_lock::HIDDEN_FILE_NAME;
use crate::install::real::{self, RealPlan};
use crate::install::scripts::ProjectStages;
use crate::install::workspace::Project;
use crate::name::hexadecimal;
use crate::report::{Event, Phase, phase};
use crate::store::{Access as StoreAccess, PackageKey};
use crate::sys;

/// What an install left behind.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    /// [`Inputs::digest`].
    inputs: String,
    /// By path: inode, length, seconds and nanoseconds of the last change.
    seen: BTreeMap<PathBuf, (u64, u64, i64, i64)>,
}

impl Note {
    fn make(inputs: String, watched: impl IntoIterator<Item = PathBuf>) -> Self {
        let seen = watched.into_iter().filter_map(|path| {
            let facts = fs::symlink_metadata(&path).ok()?;
            let seen = (facts.ino(), facts.len(), facts.mtime(), facts.mtime_nsec());
            Some((path, seen))
        });
        Self {
            inputs,
            seen: seen.collect(),
        }
    }

    fn read(path: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(path).ok()?).ok()
    }

    /// Whether everything is as it was.
    fn holds(&self, inputs: &str) -> bool {
        let now = Self::make(inputs.to_owned(), self.seen.keys().cloned());
        !self.seen.is_empty() && *self == now
    }

    /// Whether `path` was there, and is as it was.
    fn has_seen_as_it_is(&self, path: PathBuf) -> bool {
        let now = Self::make(String::new(), [path.clone()]);
        now.seen.contains_key(&path) && now.seen.get(&path) == self.seen.get(&path)
    }

    /// Where that fails the next install looks at everything, which is no reason to fail this one.
    fn write(&self, path: &Path) {
        let written = || -> std::io::Result<()> {
            sys::directory::make(path.parent().unwrap_or(path))?;
            sys::file::replace(path, &serde_json::to_vec(self)?, None)
        };
        if let Err(error) = written() {
            let path = path.display();
            tracing::warn!(%path, %error, "what was installed is not noted");
        }
    }
}

/// Projects that have nothing in the layout, and their `node_modules`.
fn without_tree(
    context: &Context,
    projects: &[Project],
    layout: &Layout,
) -> Vec<(ImporterId, PathBuf)> {
    let has_tree = |id: &ImporterId| layout.trees.iter().any(|tree| tree.importer == *id);
    let projects = projects.iter().map(|project| &project.id);
    let is_installed = |id: &ImporterId| context.narrowed().is_none_or(|some| some.contains(id));
    projects
        .filter(|id| !has_tree(id) && is_installed(id))
        .map(|id| (id.clone(), modules_of(context, id.as_str())))
        .collect()
}

/// Brings everything up to date and writes real files.
pub(super) fn install(
    context: &Context,
    groups: Groups,
    scripts: &InstallScripts<'_>,
) -> Result<(), Failure> {
    let config = &context.config;
    let note = note_path(context);
    let read = || context.inputs(groups);
    let is_noted = |inputs: &Inputs| {
        let digest = inputs.digest(config);
        !scripts.are_due_anyway() && Note::read(&note).is_some_and(|note| note.holds(&digest))
    };
    let inputs = match read() {
        Ok(inputs) if is_noted(&inputs) => inputs,
        _ => {
            scripts.before(None)?;
            relocking::bring_up_to_date(context, groups)?;
            read()?
        }
    };
    let digest = inputs.digest(config);
    let say = |text: &str| context.reporter.report(&Event::Info(text));
    let run = RunDirectory::of_user()?;
    let root = modules_of(context, ".");
    let lock = run.lock(&root)?;
    // Nothing is looked at in a mount: its server might hang.
    let is_mounted = mountinfo::find(&root).is_ok_and(|entry| entry.is_some());
    if !is_mounted && is_noted(&inputs) {
        context.settle()?;
        say(UP_TO_DATE);
        return scripts.ignored(&recorded::ignored_builds(&root));
    }
    let store = open_store(config, StoreAccess::ReadWrite, Supply::Fetch)?;
    forget_what_cannot_be_read(context, &store)?;
    let early = context.take_early();
    let reporter = &context.reporter;
    let prepared = locked::prepare(&inputs, config, &store, Supply::Fetch, early, reporter)?;
    let layout = &prepared.built.layout;
    drop(lock);
    take_down(context, &run)?;
    let lock = run.lock(&root)?;
    let places: Vec<PathBuf> = layout
        .trees
        .iter()
        .map(|tree| modules_of(context, tree.importer.as_str()))
        .collect();
    let plan = RealPlan {
        layout,
        places: &places,
        without: &without_tree(context, &inputs.projects, layout),
        store: &store,
        method: config.package_import_method,
        private: &prepared.packs_with_scripts,
        verify: config.verify_store_integrity,
    };
    store.set_root(
        &config.lockfile_directory,
        layout.instances.iter().map(|instance| instance.pack),
    )?;
    phase(&*context.reporter, Phase::Write, || real::write(&plan))?;
    let builds = &prepared.builds.builds;
    let report = scripts.of_packages(&store, layout, builds, &places);
    report.failure.map_or(Ok(()), Err)?;
    if !builds.is_empty() {
        let keys: Vec<PackageKey> = builds.iter().map(|build| build.key.clone()).collect();
        let built = store.lookup_many(&keys)?.into_iter().flatten();
        let packs = layout.instances.iter().map(|instance| instance.pack);
        let packs = packs.chain(built.map(|record| record.pack));
        store.set_root(&config.lockfile_directory, packs)?;
    }
    // A project's script sees what was decided, and may install something itself.
    context.settle()?;
    drop(lock);
    scripts.of_projects(&inputs.projects, ProjectStages::AfterLinking)?;
    let layout_of_npm = inputs.lockfile.is_of_npm;
    if prepared.is_repeatable || layout_of_npm {
        // A note of what is not repeatable holds for no inputs, and still tells whose the tree is.
        let inputs = if prepared.is_repeatable {
            digest
        } else {
            String::new()
        };
        Note::make(inputs, watched(layout, &places)).write(&note);
    }
    say(&format!(
        "{} packages are in {}",
        layout.instances.len(),
        root.display()
    ));
    scripts.ignored(&prepared.builds.ignored)
}

/// Whether the tree of npm's layout that is there is as an install of this program left it.
pub(super) fn made_npm_tree(context: &Context) -> bool {
    let record = modules_of(context, ".").join(HIDDEN_FILE_NAME);
    Note::read(&note_path(context)).is_some_and(|note| note.has_seen_as_it_is(record))
}

/// Lets the next install look at everything.
pub(super) fn forget_note(context: &Context) -> Result<(), Failure> {
    match fs::remove_file(note_path(context)) {
        Ok(()) => Ok(()),
        Err(error) => match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => Ok(()),
            _ => Err(Failure::io(
                "ERR_PACQUET_WRITE",
                "The cache cannot be written",
                error,
            )),
        },
    }
}

/// Where the note of a project is.
fn note_path(context: &Context) -> PathBuf {
    let config = &context.config;
    let digest = Sha256::digest(config.lockfile_directory.as_os_str().as_bytes());
    let notes = config.cache_directory.join("installed");
    notes.join(hexadecimal(&digest[..16]))
}

/// The state files, and the directories in which a project's dependencies are.
fn watched(layout: &Layout, places: &[PathBuf]) -> Vec<PathBuf> {
    let mut watched: Vec<PathBuf> = places.first().map_or_else(Vec::new, |root| {
        [
            ".modules.yaml",
            ".pnpm",
            ".pnpm/lock.yaml",
            HIDDEN_FILE_NAME,
        ]
        .iter()
        .map(|name| root.join(name))
        .collect()
    });
    for (tree, place) in layout.trees.iter().zip(places) {
        watched.push(place.clone());
        let entries = &layout.directories[tree.root.0 as usize].entries;
        let scopes = entries.keys().filter(|name| name.as_str().starts_with('@'));
        watched.extend(scopes.map(|name| place.join(name.as_str())));
    }
    watched
}

/// Unmounts what is served for this project.
pub(super) fn take_down(context: &Context, run: &RunDirectory) -> Result<(), Failure> {
    let config = &context.config;
    let helper = config.mount_helper.as_deref();
    for mountpoint in super::commands::mount::mountpoints_of(context, run)? {
        if mountinfo::find(&mountpoint).is_ok_and(|entry| entry.is_some()) {
            mount::unmount(&mountpoint, run, UnmountRequest::Strict, helper)?;
            let text = format!("Unmounted {}", mountpoint.display());
            context.reporter.report(&Event::Info(&text));
        }
    }
    Ok(())
}
