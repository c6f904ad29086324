//! The thread that turns touches into a profile on disk.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::plan::Step;
use super::profile::{Profile, UseKind};
use super::touches::{Touch, Touches};
use crate::fs::node::Node;
use crate::fs::vfs::Vfs;
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
    /// The profiles in `directory` of the tree at `mountpoint`, whose lockfile is `lockfile`.
    pub fn new(directory: &Path, mountpoint: &Path, lockfile: Option<&[u8]>) -> Self {
        let named = |kind: &str, bytes: &[u8]| {
            let digest: [u8; 32] = Sha256::digest(bytes).into();
            directory.join(format!("{kind}-{}.profile", PackId(digest)))
        };
        Self {
            own: named("project", mountpoint.as_os_str().as_encoded_bytes()),
            shared: lockfile.map(|lockfile| named("lockfile", lockfile)),
            committed: mountpoint.with_file_name(COMMITTED),
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
            crate::sys::directory::make(directory).map_err(|source| super::ProfileError::Io {
                path: directory.to_owned(),
                source,
            })?;
        }
        let places = [Some(&*self.own), self.shared.as_deref()];
        let places: Vec<&Path> = places.into_iter().flatten().collect();
        profile.save_all(&places)
    }
}

/// What says where the profiles of a tree are, except for the lockfile, which the tree holds.
#[derive(Debug, Clone)]
pub(super) struct Sought {
    pub(super) directory: PathBuf,
    pub(super) mountpoint: PathBuf,
}

impl Sought {
    /// Reads the lockfile of the tree at `root`, for its digest.
    pub(super) fn find(&self, vfs: &Vfs, root: u32) -> ProfilePlace {
        let lockfile = lockfile_of(vfs, root);
        ProfilePlace::new(&self.directory, &self.mountpoint, lockfile.as_deref())
    }
}

/// The lockfile that the tree itself holds.
fn lockfile_of(vfs: &Vfs, root: u32) -> Option<Vec<u8>> {
    let lower = vfs.lower();
    let node = lower
        .resolve(Node::Layer(root), b".pnpm/lock.yaml")
        .ok()??;
    let size = u32::try_from(lower.attributes(node).ok()?.size).ok()?;
    let mut content = Vec::new();
    lower.read(node, 0, size, &mut content).ok()?;
    Some(content)
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
        sought: Sought,
    ) -> io::Result<Self> {
        let taken = Arc::clone(&touches);
        let thread = thread::Builder::new()
            .name("profile".to_owned())
            .spawn(move || record(&vfs, root, &taken, &sought))?;
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

fn record(vfs: &Vfs, root: u32, touches: &Touches, sought: &Sought) {
    let mut run = Profile::default();
    let mut place = None;
    let mut round = 0;
    while let Some(batch) = touches.take(QUIET) {
        let place = place.get_or_insert_with(|| {
            let place = sought.find(vfs, root);
            round = place.load().unwrap_or_default().runs;
            place
        });
        note(vfs, root, &batch, &mut run);
        // Whoever unmounts waits: at the end it is saved once.
        if touches.has_ended() {
            break;
        }
        let mut profile = place.load().unwrap_or_default();
        profile.add(&run);
        keep(place, &profile);
    }
    if let Some(place) = place.filter(|_| !run.is_empty()) {
        let mut profile = place.load().unwrap_or_default();
        profile.add(&run);
        profile.judge(&run, round);
        keep(&place, &profile);
    }
}

/// A profile only saves time: one that cannot be kept is not worth a failure. A cache that was
/// removed while this server ran stays removed.
fn keep(place: &ProfilePlace, profile: &Profile) {
    let cache = place.own.parent().and_then(Path::parent);
    if cache.is_none_or(|cache| !cache.exists()) {
        return;
    }
    if let Err(error) = place.save(profile) {
        tracing::debug!(%error, "the profile is not kept");
    }
}

/// Notes the touches under their paths. What is only in the upper layer is not noted: it is a
/// file of the file system below, which needs no messages that are worth saving. Neither is what
/// was removed since: who removes a tree goes through all of it, and nobody wants that again.
pub(super) fn note(vfs: &Vfs, root: u32, touches: &[Touch], run: &mut Profile) {
    let lower = vfs.lower();
    let mut paths = HashMap::new();
    let mut path_of = |id: u64| -> Option<Arc<str>> {
        let path = paths.entry(id).or_insert_with(|| {
            let node = Node::from_id(id, root).filter(|node| vfs.is_shown(*node))?;
            let path = lower.path(node).ok()?;
            Some(Arc::from(String::from_utf8(path).ok()?))
        });
        path.clone()
    };
    for touch in touches {
        match touch {
            Touch::Name {
                directory,
                name,
                found,
            } => {
                if let Some(path) = path_of(*directory) {
                    run.used(
                        &path,
                        name,
                        match found {
                            true => UseKind::Found,
                            false => UseKind::Missing,
                        },
                    );
                }
            }
            Touch::Listed(directory) => {
                if let Some(path) = path_of(*directory) {
                    run.listed(&path);
                }
            }
            Touch::Read(node) => {
                if let Some(path) = path_of(*node) {
                    let (directory, name) = path.rsplit_once('/').unwrap_or(("", &path));
                    run.used(directory, name, UseKind::Read);
                }
            }
            Touch::Guessed(step) => note_guess(step, run, |node| path_of(node.to_id(root))),
        }
    }
}

fn note_guess(step: &Step, run: &mut Profile, mut path_of: impl FnMut(Node) -> Option<Arc<str>>) {
    let names = [
        (&step.found, UseKind::Found),
        (&step.missing, UseKind::Missing),
        (&step.links, UseKind::Read),
    ];
    for (names, kind) in names {
        for name in names {
            run.guessed(&step.directory, name, kind);
        }
    }
    for path in step.contents.iter().filter_map(|node| path_of(*node)) {
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", &path));
        run.guessed(directory, name, UseKind::Read);
    }
}
