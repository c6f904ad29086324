//! The directory that is mounted over: what is there, and what may be done with it.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::error::MountError;
use super::mountinfo::{self, MountEntry};
use super::upper;
use crate::sys::directory;

/// How many places beside the mountpoint are tried for what is moved aside.
const ASIDE_MAX: u32 = 1000;

/// Who seems to have written a `node_modules`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Installer {
    /// npm.
    Npm,
    /// pnpm, or pacquet without a mount.
    Pnpm,
    /// yarn.
    Yarn,
    /// bun.
    Bun,
    /// deno.
    Deno,
    /// Nobody known.
    Unknown,
}

impl fmt::Display for Installer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Npm => "of npm",
            Self::Pnpm => "of pnpm",
            Self::Yarn => "of yarn",
            Self::Bun => "of bun",
            Self::Deno => "of deno",
            Self::Unknown => "of an unknown installer",
        })
    }
}

/// A file that an installer leaves in every `node_modules` that it makes.
const TRACES: &[(&str, Installer)] = &[
    (".modules.yaml", Installer::Pnpm),
    (".pnpm", Installer::Pnpm),
    (".package-lock.json", Installer::Npm),
    (".yarn-integrity", Installer::Yarn),
    (".yarn-state.yml", Installer::Yarn),
    (".bun", Installer::Bun),
    (".deno", Installer::Deno),
];

/// What is at a mountpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Nothing.
    Absent,
    /// An empty directory, or one with nothing but what was written through a mount.
    Empty,
    /// A mount of ours, of which it is not known whether its server lives.
    Ours(MountEntry),
}

/// The absolute path of a mountpoint: its parent is canonical, it itself is not looked at.
///
/// # Errors
/// When the parent does not exist or the path ends in `..` or `/`.
pub fn resolve(mountpoint: &Path) -> Result<PathBuf, MountError> {
    let (Some(parent), Some(name)) = (mountpoint.parent(), mountpoint.file_name()) else {
        return Err(MountError::NotDirectory {
            path: mountpoint.to_owned(),
        });
    };
    let parent = if parent.as_os_str().is_empty() {
        Path::new(".")
    } else {
        parent
    };
    let mut resolved = fs::canonicalize(parent).map_err(MountError::io(parent))?;
    resolved.push(name);
    Ok(resolved)
}

/// Looks at the resolved `mountpoint` and refuses what must not be mounted over.
///
/// # Errors
/// What is in the way.
pub fn inspect(mountpoint: &Path, user: u32) -> Result<Place, MountError> {
    let path = mountpoint.to_owned();
    if let Some(entry) = mountinfo::find(mountpoint).map_err(MountError::io("/proc"))? {
        if entry.is_ours(user) {
            return Ok(Place::Ours(entry));
        }
        return Err(MountError::OtherMount { entry });
    }
    let metadata = match fs::symlink_metadata(mountpoint) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Place::Absent),
        Err(error) => return Err(MountError::io(path)(error)),
    };
    if metadata.is_symlink() {
        return Err(MountError::Symlink { path });
    }
    if !metadata.is_dir() {
        return Err(MountError::NotDirectory { path });
    }
    let mut entries = fs::read_dir(mountpoint).map_err(MountError::io(mountpoint))?;
    if entries.next().is_none() || upper::is_upper(mountpoint) {
        return Ok(Place::Empty);
    }
    let installer = guess(mountpoint);
    Err(MountError::RealFiles { path, installer })
}

fn guess(directory: &Path) -> Installer {
    let trace = TRACES
        .iter()
        .find(|(name, _)| fs::symlink_metadata(directory.join(name)).is_ok());
    trace.map_or(Installer::Unknown, |(_, installer)| *installer)
}

/// Moves the real files at `mountpoint` aside and returns where they are: in
/// `.pacquet-aside-<n>/node_modules` beside it, a path that everything which leaves out
/// `node_modules` leaves out too.
///
/// # Errors
/// When they cannot be moved. Then they are where they were.
pub fn move_aside(mountpoint: &Path) -> Result<PathBuf, MountError> {
    let parent = mountpoint.parent().unwrap_or(Path::new("/"));
    let name = mountpoint.file_name().unwrap_or(OsStr::new("node_modules"));
    for number in 1..ASIDE_MAX {
        let aside = parent.join(format!(".pacquet-aside-{number}"));
        match directory::make_new(&aside) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(MountError::io(aside)(error)),
        }
        let target = aside.join(name);
        return match fs::rename(mountpoint, &target) {
            Ok(()) => Ok(target),
            Err(error) => {
                let _ = fs::remove_dir(&aside);
                Err(MountError::io(mountpoint)(error))
            }
        };
    }
    Err(MountError::io(mountpoint)(
        io::ErrorKind::AlreadyExists.into(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inspect_fresh(make: impl FnOnce(&Path)) -> Result<Place, MountError> {
        let project = tempfile::tempdir().unwrap();
        let mountpoint = resolve(&project.path().join("node_modules")).unwrap();
        make(&mountpoint);
        inspect(&mountpoint, 0)
    }

    #[test]
    fn nothing_and_an_empty_directory_may_be_mounted_over() {
        assert_eq!(inspect_fresh(|_| ()).unwrap(), Place::Absent);
        let empty = inspect_fresh(|path| fs::create_dir(path).unwrap());
        assert_eq!(empty.unwrap(), Place::Empty);
    }

    #[test]
    fn what_is_no_directory_is_refused() {
        let file = inspect_fresh(|path| fs::write(path, "").unwrap());
        assert!(matches!(file, Err(MountError::NotDirectory { .. })));
        for target in ["/tmp", "nowhere", "/"] {
            let link = inspect_fresh(|path| std::os::unix::fs::symlink(target, path).unwrap());
            assert!(matches!(link, Err(MountError::Symlink { .. })));
        }
        assert!(matches!(
            inspect(Path::new("/proc"), 0),
            Err(MountError::OtherMount { .. })
        ));
    }

    #[test]
    fn real_files_are_named_after_their_installer() {
        for (trace, installer) in TRACES.iter().copied().chain([("x", Installer::Unknown)]) {
            let full = inspect_fresh(|path| {
                fs::create_dir(path).unwrap();
                fs::write(path.join(trace), "").unwrap();
            });
            match full {
                Err(MountError::RealFiles {
                    installer: found, ..
                }) => assert_eq!(found, installer),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn real_files_move_aside_whole_and_never_over_others() {
        let project = tempfile::tempdir().unwrap();
        let mountpoint = project.path().join("node_modules");
        for number in 1..3 {
            fs::create_dir(&mountpoint).unwrap();
            fs::write(mountpoint.join("a"), number.to_string()).unwrap();
            let aside = move_aside(&mountpoint).unwrap();
            assert_eq!(
                aside,
                project
                    .path()
                    .join(format!(".pacquet-aside-{number}/node_modules"))
            );
            assert!(!mountpoint.exists());
            assert_eq!(
                fs::read_to_string(aside.join("a")).unwrap(),
                number.to_string()
            );
        }
        assert!(move_aside(&mountpoint).is_err());
        assert!(!project.path().join(".pacquet-aside-3").exists());
    }

    #[test]
    fn paths_without_a_name_are_refused() {
        for path in ["/", "..", "/tmp/..", ""] {
            assert!(resolve(Path::new(path)).is_err(), "{path:?}");
        }
        assert!(resolve(Path::new("/nowhere-at-all/node_modules")).is_err());
    }
}
