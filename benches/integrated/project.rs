//! Fixtures, and the folders in which a peer installs them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::measure::{Job, MeasureError};
use crate::peers::{Kind, Peer, Place};

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

fn file_error(path: &Path) -> impl FnOnce(io::Error) -> ProjectError + '_ {
    move |source| ProjectError::File {
        path: path.to_owned(),
        source,
    }
}

/// The lockfile that a peer reads.
pub(crate) fn lockfile_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Pacquet | Kind::Pnpm | Kind::PnpmGlobal => "pnpm-lock.yaml",
        Kind::BunHoisted | Kind::BunIsolated | Kind::BunGlobal => "bun.lock",
        Kind::Npm | Kind::Utoo => "package-lock.json",
        Kind::YarnPnp => "yarn.lock",
        Kind::Deno => "deno.lock",
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
        registry: registry.to_owned(),
    };
    for path in [&place.project, &place.home, &place.logs] {
        fs::create_dir_all(path).map_err(file_error(path))?;
    }
    copy(fixture, &place.project).map_err(file_error(fixture))?;
    peer.configure(&place).map_err(file_error(&place.project))?;
    if !peer.reads_pnpm_lockfile() {
        remove(&place.project.join("pnpm-lock.yaml"))?;
    }
    if let Some(job) = peer.lock(&place) {
        job.succeed()?;
        for name in LOCKFILES
            .iter()
            .filter(|name| **name != lockfile_name(peer.kind))
        {
            let path = place.project.join(name);
            if path.exists() {
                fs::remove_file(&path).map_err(file_error(&path))?;
            }
        }
        clear(&place, peer, &[Part::Tree, Part::Store, Part::Cache])?;
    }
    Ok(place)
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
    /// The metadata cache.
    Cache,
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
        for product in peer.kind.products() {
            remove(&place.project.join(product))?;
        }
    }
    if parts.contains(&Part::Store) {
        remove(&place.store)?;
    }
    if parts.contains(&Part::Cache) {
        remove(&place.cache)?;
        remove(&place.home)?;
        fs::create_dir_all(&place.home).map_err(file_error(&place.home))?;
    }
    Ok(())
}

fn remove(path: &Path) -> Result<(), ProjectError> {
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

/// A command that uses the installed tree, run in the project with the peers' node.
pub(crate) fn tool(peer: &Peer, place: &Place, node: &Path, words: &[&str], log: &str) -> Job {
    let mut all: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    if let Some(first) = all.first_mut().filter(|first| *first == "node") {
        *first = node.to_string_lossy().into_owned();
    }
    Job {
        words: all,
        directory: place.project.clone(),
        environment: peer.environment(place),
        log: place.logs.join(format!("{log}.log")),
    }
}
