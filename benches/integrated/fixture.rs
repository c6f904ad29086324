//! The projects that are installed: those in `benches/fixtures`, and two that are made.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use pacquet_test_registry::recording;
use pacquet_test_registry::workspace;

use crate::Places;

/// The name of the generated workspace.
pub(crate) const WORKSPACE: &str = "workspace";

/// The name of the one that has the size of a large company's.
pub(crate) const WORKSPACE_LARGE: &str = "workspace-large";

/// Its projects, and the packages that they share.
const LARGE: Size = Size {
    projects: 300,
    packages: 3_000,
};

/// The name of the generated project with a peer dependency everywhere.
pub(crate) const PEER_HEAVY: &str = "peer-heavy";

/// Layers of [`PEER_HEAVY`], and packages in each.
const PEER_HEAVY_DEPTH: usize = 5;
const PEER_HEAVY_WIDTH: usize = 80;

/// How large the generated workspace is.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Size {
    /// Projects of the generated workspace
    #[arg(long, default_value_t = 50)]
    pub(crate) projects: usize,
    /// Packages that its projects share
    #[arg(long, default_value_t = 500)]
    pub(crate) packages: usize,
}

/// A project and the recording that serves its packages.
#[derive(Clone, Debug)]
pub(crate) struct Fixture {
    /// Its name in the tables.
    pub(crate) name: String,
    /// Its manifests, lockfile and sources.
    pub(crate) folder: PathBuf,
    /// Where its packages are.
    pub(crate) recording: PathBuf,
}

impl Fixture {
    /// Finds a fixture by name, and makes it if it is a made one.
    pub(crate) fn find(name: &str, places: &Places, size: Size) -> Result<Self, Box<dyn Error>> {
        let generated = match name {
            WORKSPACE => workspace::workspace(size.projects, size.packages)?,
            WORKSPACE_LARGE => workspace::workspace(LARGE.projects, LARGE.packages)?,
            PEER_HEAVY => workspace::peer_heavy(PEER_HEAVY_DEPTH, PEER_HEAVY_WIDTH),
            _ => {
                let folder = places.fixtures.join(name);
                if !folder.join("package.json").exists() {
                    return Err(format!("there is no fixture {name}").into());
                }
                return Ok(Self {
                    name: name.to_owned(),
                    folder,
                    recording: places.recording.clone(),
                });
            }
        };
        let base = places.scratch.join("generated").join(name);
        remove(&base)?;
        let fixture = Self {
            name: name.to_owned(),
            folder: base.join("project"),
            recording: base.join("recording"),
        };
        fs::create_dir_all(&fixture.folder)?;
        generated.write(&fixture.folder)?;
        recording::write_packages(&fixture.recording, &generated.packages)?;
        Ok(fixture)
    }

    /// Whether it has a lockfile; without one there is nothing to restore.
    pub(crate) fn is_locked(&self) -> bool {
        self.folder.join("pnpm-lock.yaml").exists()
    }
}

fn remove(path: &Path) -> std::io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}
