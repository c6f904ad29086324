//! The thread that turns touches into a profile on disk.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::paths::Paths;
use super::profile::{Profile, UseKind};
use super::touches::{Touch, Touches};
use crate::fs::node::Node;
use crate::fs::vfs::{Kind, Vfs};
use crate::store::PackId;

/// A run is over, and its touches are saved, when there was none for this long.
const QUIET: Duration = Duration::from_millis(1500);

/// A profile that a team has committed, in the project's directory.
const COMMITTED: &str = "pacquet.profile";

/// Where the profiles of a tree are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfilePlace {
    /// Of this project.
    own: PathBuf,
    /// Of any project with the same lockfile.
    shared: Option<PathBuf>,
    /// Of the team.
    committed: PathBuf,
}

impl ProfilePlace {
    /// The profiles in `directory` of the tree at `mountpoint` of `project`, whose lockfile is
    /// `lockfile`.
    pub fn new(
        directory: &Path,
        project: &Path,
        mountpoint: &Path,
        lockfile: Option<&[u8]>,
    ) -> Self {
        let named = |kind: &str, bytes: &[u8]| {
            let digest: [u8; 32] = Sha256::digest(bytes).into();
            directory.join(format!("{kind}-{}.profile", PackId(digest)))
        };
        Self {
            own: named("project", mountpoint.as_os_str().as_encoded_bytes()),
            shared: lockfile.map(|lockfile| named("lockfile", lockfile)),
            committed: project.join(COMMITTED),
        }
    }

    /// The best profile that is there: the project's own, that of the same lockfile, the team's.
    pub fn load(&self) -> Option<Profile> {
        let places = [Some(&self.own), self.shared.as_ref(), Some(&self.committed)];
        places.into_iter().flatten().find_map(|path| {
            Profile::load(path)
                .inspect_err(|error| tracing::debug!(%error, "no profile"))
                .ok()
        })
    }

    /// Makes `profile` the project's own, and that of its lockfile.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, profile: &Profile) -> Result<(), super::ProfileError> {
        if let Some(directory) = self.own.parent() {
            fs::create_dir_all(directory).map_err(|source| super::ProfileError::Io {
                path: directory.to_owned(),
                source,
            })?;
        }
        profile.save(&self.own)?;
        match &self.shared {
            Some(shared) => profile.save(shared),
            None => Ok(()),
        }
    }
}

/// Records until it is dropped.
pub(super) struct Recorder {
    touches: Arc<Touches>,
    thread: Option<JoinHandle<()>>,
}

impl Recorder {
    pub(super) fn start(
        vfs: Arc<Vfs>,
        root: u32,
        touches: Arc<Touches>,
        place: ProfilePlace,
    ) -> io::Result<Self> {
        let taken = Arc::clone(&touches);
        let thread = thread::Builder::new()
            .name("profile".to_owned())
            .spawn(move || record(&vfs, root, &taken, &place))?;
        Ok(Self {
            touches,
            thread: Some(thread),
        })
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.touches.end();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn record(vfs: &Vfs, root: u32, touches: &Touches, place: &ProfilePlace) {
    let mut run = Profile::default();
    let round = place.load().unwrap_or_default().runs;
    while let Some(batch) = touches.take(QUIET) {
        note(vfs, root, &batch, &mut run);
        let mut profile = place.load().unwrap_or_default();
        profile.add(&run);
        keep(place, &profile);
    }
    if !run.is_empty() {
        let mut profile = place.load().unwrap_or_default();
        profile.judge(&run, round);
        keep(place, &profile);
    }
}

/// A profile only saves time: one that cannot be kept is not worth a failure.
fn keep(place: &ProfilePlace, profile: &Profile) {
    if let Err(error) = place.save(profile) {
        tracing::debug!(%error, "the profile is not kept");
    }
}

/// Notes the touches under their paths.
pub(super) fn note(vfs: &Vfs, root: u32, touches: &[Touch], run: &mut Profile) {
    let mut paths = Paths::new(vfs, root);
    for touch in touches {
        match touch {
            Touch::Name {
                directory,
                name,
                found,
            } => {
                let directory = Node::from_id(*directory, root);
                if let Some(path) = directory.and_then(|node| paths.directory(node)) {
                    let kind = match found {
                        Some(_) => UseKind::Found,
                        None => UseKind::Missing,
                    };
                    run.used(&path, name, kind);
                }
            }
            Touch::Listed(directory) => {
                let directory = Node::from_id(*directory, root);
                if let Some(path) = directory.and_then(|node| paths.directory(node)) {
                    run.listed(&path);
                }
            }
            Touch::Read(node) => {
                let Some(node) = Node::from_id(*node, root) else {
                    continue;
                };
                let is_directory =
                    vfs.attributes(node).is_ok_and(|found| found.kind == Kind::Directory);
                if let Some(place) = paths.place(node).filter(|_| !is_directory) {
                    run.used(&place.directory, &place.name, UseKind::Read);
                }
            }
        }
    }
}
