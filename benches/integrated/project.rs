//! Fixtures, and the folders in which a peer installs them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::commands::{metadata, products};
use crate::measure::MeasureError;
use crate::peers::{Peer, Place};

/// Files of a project that one installer writes and another might read by mistake.
const LOCKFILES: [&str; 5] = [
    "pnpm-lock.yaml",
    "bun.lock",
    "package-lock.json",
    "yarn.lock",
    "deno.lock",
];

/// Why a project is not ready.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProjectError {
    /// A file could not be copied, written or removed.
    #[error("{path}: {source}")]
    File {
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A peer's command failed.
    #[error(transparent)]
    Command(#[from] MeasureError),
}

pub(crate) fn file_error(path: &Path) -> impl FnOnce(io::Error) -> ProjectError + '_ {
    move |source| ProjectError::File {
        path: path.to_owned(),
        source,
    }
}

/// Makes the folders of a peer and a fixture, with the peer's own lockfile in the project.
pub(crate) fn prepare(
    peer: &Peer,
    fixture: &Path,
    folder: &Path,
    registry: &str,
) -> Result<Place, ProjectError> {
    let place = Place {
        project: folder.join("project"),
        store: folder.join("store"),
        cache: folder.join("cache"),
        home: folder.join("home"),
        logs: folder.join("logs"),
        saved: folder.join("saved"),
        registry: registry.to_owned(),
    };
    for path in [&place.project, &place.home, &place.logs] {
        fs::create_dir_all(path).map_err(file_error(path))?;
    }
    copy(fixture, &place.project).map_err(file_error(fixture))?;
    peer.configure(&place).map_err(file_error(&place.project))?;
    let program = peer.kind.program();
    if !program.reads_pnpm_lockfile() {
        remove(&place.project.join("pnpm-lock.yaml"))?;
    }
    let locked = fixture.join("pnpm-lock.yaml").exists();
    if let Some(job) = peer.lock(&place).filter(|_| locked) {
        job.succeed()?;
        for name in LOCKFILES.iter().filter(|name| **name != program.lockfile()) {
            remove(&place.project.join(name))?;
        }
        clear(&place, peer, &[Part::Tree, Part::Store, Part::Cache])?;
    }
    copy(&place.project, &place.saved).map_err(file_error(&place.saved))?;
    Ok(place)
}

/// Puts manifests and lockfile back as they were when the project was made.
pub(crate) fn restore(place: &Place) -> Result<(), ProjectError> {
    copy(&place.saved, &place.project).map_err(file_error(&place.project))
}

/// Forgets what is known of the programs that ran in an unmounted project.
pub(crate) fn forget_profile(place: &Place) -> Result<(), ProjectError> {
    remove(&place.cache.join("profiles"))
}

/// Another checkout of the same project: its own tree, the same store.
pub(crate) fn worktree(place: &Place, folder: &Path) -> Result<Place, ProjectError> {
    copy(&place.saved, folder).map_err(file_error(folder))?;
    Ok(Place {
        project: folder.to_owned(),
        ..place.clone()
    })
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// What a fresh machine or a fresh checkout does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// What an install makes in the project.
    Tree,
    /// The store.
    Store,
    /// What is known of packages: packuments and the like.
    Cache,
    /// The lockfile.
    Lockfile,
}

/// Removes parts, outside any timing. A mount is taken down first.
pub(crate) fn clear(place: &Place, peer: &Peer, parts: &[Part]) -> Result<(), ProjectError> {
    if parts.contains(&Part::Tree) {
        if is_mounted(&place.project.join("node_modules")) {
            let job = peer.remove(place, "clear");
            if !job
                .measure()
                .is_ok_and(|sample| sample.exit_code == Some(0))
            {
                force_unmount(&place.project.join("node_modules"));
            }
        }
        for product in products(peer.kind, &place.project) {
            remove(&product)?;
        }
    }
    if parts.contains(&Part::Lockfile) {
        remove(&place.project.join(peer.kind.program().lockfile()))?;
    }
    if parts.contains(&Part::Store) {
        remove(&place.store)?;
    }
    if parts.contains(&Part::Cache) {
        for path in metadata(peer.kind, place).unwrap_or_default() {
            remove(&path)?;
        }
        remove(&place.cache)?;
        remove(&place.home)?;
        fs::create_dir_all(&place.home).map_err(file_error(&place.home))?;
    }
    Ok(())
}

pub(crate) fn remove(path: &Path) -> Result<(), ProjectError> {
    let result = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        _ => fs::remove_file(path),
    };
    result.map_err(file_error(path))
}

/// Whether something is mounted at `path`.
pub(crate) fn is_mounted(path: &Path) -> bool {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let wanted = path.to_string_lossy();
    mounts
        .lines()
        .any(|line| line.split(' ').nth(1) == Some(&wanted))
}

/// Takes a mount away from a server that does not answer.
pub(crate) fn force_unmount(path: &Path) {
    let _ = Command::new("umount").arg("-l").arg(path).status();
}
