//! The file system that a run is made on: an image of its own, mounted through a loop device.
//!
//! An aged file system, or an ext4 without a journal (which scans recently deleted inodes),
//! would distort every figure.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How the names of images and their folders begin; the number of the run's process follows.
///
/// Images are mounted in the folder for temporary files: below a repository, tools would take its
/// `.gitignore` for the project's own (Tailwind then looks for classes in all of `node_modules`).
const PREFIX: &str = "pacquet-bench-";

/// Which file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum FileSystem {
    /// ext4 with a journal.
    Ext4,
    /// XFS.
    Xfs,
    /// Btrfs.
    Btrfs,
}

/// What is used of a file system.
#[derive(Clone, Copy, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Usage {
    /// Bytes in allocated blocks.
    pub(crate) bytes: u64,
    /// Allocated inodes; 0 where the file system does not count them.
    pub(crate) inodes: u64,
}

impl Usage {
    /// What was added since `before`.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_sub(before.bytes),
            inodes: self.inodes.saturating_sub(before.inodes),
        }
    }
}

/// Why there is no file system.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DiskError {
    /// Only root mounts an image.
    #[error(
        "a loop image is mounted by root only; run as root, or give --no-image to use {0} as it is"
    )]
    NotRoot(PathBuf),
    /// A command failed or is missing.
    #[error("{command}: {reason}")]
    Command {
        /// What was run.
        command: String,
        /// What it said.
        reason: String,
    },
    /// A file could not be made.
    #[error("{path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A mounted image, or a plain folder. Dropping it unmounts and deletes.
pub(crate) struct Disk {
    image: Option<PathBuf>,
    folder: PathBuf,
}

impl Disk {
    /// Makes a sparse image in `scratch`, formats it and mounts it.
    pub(crate) fn image(
        scratch: &Path,
        system: FileSystem,
        gibibytes: u64,
    ) -> Result<Self, DiskError> {
        if !rustix::process::geteuid().is_root() {
            return Err(DiskError::NotRoot(scratch.to_owned()));
        }
        let file_error = |path: &Path, source| DiskError::File {
            path: path.into(),
            source,
        };
        remove_stale(scratch);
        let name = format!("{PREFIX}{}", std::process::id());
        let image = scratch.join(format!("{name}.img"));
        let folder = std::env::temp_dir().join(name);
        for needed in [scratch, &folder] {
            fs::create_dir_all(needed).map_err(|source| file_error(needed, source))?;
        }
        File::create(&image)
            .and_then(|file| file.set_len(gibibytes << 30))
            .map_err(|source| file_error(&image, source))?;
        let disk = Self {
            image: Some(image.clone()),
            folder: folder.clone(),
        };
        let image = image.to_string_lossy().into_owned();
        let options: &[&str] = match system {
            // Everything is initialised now, or a kernel thread would do it during the run.
            FileSystem::Ext4 => &["-F", "-E", "lazy_itable_init=0,lazy_journal_init=0"],
            FileSystem::Xfs | FileSystem::Btrfs => &["-f"],
        };
        run(&[&[system.maker().0, "-q"], options, &[&image]].concat())?;
        run(&["mount", "-o", "loop", &image, &folder.to_string_lossy()])?;
        Ok(disk)
    }

    /// Uses a folder of an existing file system.
    pub(crate) fn folder(scratch: &Path) -> Result<Self, DiskError> {
        let folder = scratch.join(format!("{PREFIX}{}", std::process::id()));
        fs::create_dir_all(&folder).map_err(|source| DiskError::File {
            path: folder.clone(),
            source,
        })?;
        Ok(Self {
            image: None,
            folder,
        })
    }

    /// Where to work.
    pub(crate) fn path(&self) -> &Path {
        &self.folder
    }

    /// Bytes and inodes in use, once everything is written back.
    pub(crate) fn usage(&self) -> Usage {
        self.settle();
        rustix::fs::statvfs(&self.folder).map_or(Usage::default(), |status| Usage {
            bytes: (status.f_blocks - status.f_bfree) * status.f_frsize,
            inodes: status.f_files - status.f_ffree,
        })
    }

    /// Writes everything back, so that one run's dirty pages are not the next one's.
    pub(crate) fn settle(&self) {
        if let Ok(folder) = File::open(&self.folder) {
            let _ = rustix::fs::syncfs(folder);
        }
    }
}

impl Disk {
    /// Gives back to the file system below what was deleted in the image, which would grow to its
    /// full size otherwise.
    pub(crate) fn trim(&self) {
        if self.image.is_some() {
            self.settle();
            // Where this cannot be done, the image grows.
            let _ = run(&["fstrim", &self.folder.to_string_lossy()]);
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Some(image) = &self.image {
            unmount_all(&self.folder);
            let _ = fs::remove_file(image);
            let _ = fs::remove_dir(&self.folder);
        } else {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// Unmounts what is mounted below a folder, and the folder itself; the last one first.
fn unmount_all(folder: &Path) {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let inside = |path: &&str| Path::new(path).starts_with(folder);
    let mut points: Vec<&str> = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .filter(inside)
        .collect();
    points.sort_unstable();
    for point in points.iter().rev() {
        if run(&["umount", point]).is_err() {
            let _ = run(&["umount", "-l", point]);
        }
    }
}

/// Removes what a run left that was killed.
fn remove_stale(scratch: &Path) {
    // A folder first: an image that is mounted is in use.
    let temporary = std::env::temp_dir();
    let places = [temporary.as_path(), scratch];
    let entries = places.into_iter().flat_map(fs::read_dir).flatten();
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let process = name
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.trim_end_matches(".img").parse::<u32>().ok());
        if let Some(process) = process
            && !Path::new(&format!("/proc/{process}")).exists()
        {
            let left = entry.path();
            unmount_all(&left);
            // Each fails for the other kind, and should where something is still mounted.
            let _ = fs::remove_file(&left);
            let _ = fs::remove_dir(&left);
        }
    }
}

impl FileSystem {
    /// What formats an image, and the package of Debian and Ubuntu that has it.
    fn maker(self) -> (&'static str, &'static str) {
        match self {
            Self::Ext4 => ("mkfs.ext4", "e2fsprogs"),
            Self::Xfs => ("mkfs.xfs", "xfsprogs"),
            Self::Btrfs => ("mkfs.btrfs", "btrfs-progs"),
        }
    }
}

/// Installs what makes images with a file system, unless it is there.
pub(crate) fn install_maker(system: FileSystem) -> Result<(), DiskError> {
    let (program, package) = system.maker();
    if run(&[program, "-V"]).is_ok() {
        return Ok(());
    }
    run(&["apt-get", "update", "-q"])?;
    run(&["apt-get", "install", "-y", "-q", package])
}

fn run(words: &[&str]) -> Result<(), DiskError> {
    let command = words.join(" ");
    let failed = |reason: String| DiskError::Command {
        command: command.clone(),
        reason,
    };
    let output = Command::new(words[0])
        .args(&words[1..])
        .output()
        .map_err(|e| failed(e.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    Err(failed(
        String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    ))
}

/// Empties the page cache and the caches of names and inodes. Only root can.
pub(crate) fn drop_caches() -> io::Result<()> {
    rustix::fs::sync();
    fs::write("/proc/sys/vm/drop_caches", "3")
}
