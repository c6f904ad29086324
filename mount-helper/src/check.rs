//! What is refused, and why: pure functions over facts.

use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// Who calls: the real user and group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) user: u32,
    pub(crate) group: u32,
}

/// What a pinned descriptor says of its directory (fstat(2), fstatfs(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DirectoryFacts {
    pub(crate) owner: u32,
    pub(crate) mode: u32,
    pub(crate) is_directory: bool,
    pub(crate) filesystem_magic: i64,
}

/// Why nothing was done.
#[derive(Debug)]
pub(crate) enum Refusal {
    Usage,
    RootOnly,
    NoSocket,
    PathForm(PathBuf),
    NotNodeModules(PathBuf),
    NotOfProject(PathBuf, PathBuf),
    NotDirectory,
    Owner { owner: u32, caller: u32 },
    NotWritable,
    FilesystemKind(i64),
    TooMany(usize),
    NotOurs(PathBuf),
    Open(PathBuf, io::Error),
    System(&'static str, io::Error),
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage => write!(
                formatter,
                "usage: pacquet-mount-helper mount|unmount MOUNTPOINT"
            ),
            Self::RootOnly => write!(formatter, "only root may call it as mount.pacquet"),
            Self::NoSocket => write!(formatter, "descriptor 3 is not a unix socket"),
            Self::PathForm(path) => {
                write!(
                    formatter,
                    "{path:?} is not an absolute path without `.` and `..`"
                )
            }
            Self::NotNodeModules(path) => write!(formatter, "{path:?} is not named node_modules"),
            Self::NotOfProject(project, path) => {
                write!(formatter, "{path:?} is not the node_modules of {project:?}")
            }
            Self::NotDirectory => write!(formatter, "the mountpoint is not a directory"),
            Self::Owner { owner, caller } => {
                write!(
                    formatter,
                    "the mountpoint belongs to user {owner}, not to user {caller}"
                )
            }
            Self::NotWritable => write!(formatter, "the mountpoint's owner may not write to it"),
            Self::FilesystemKind(magic) => {
                write!(
                    formatter,
                    "a file system of kind {magic:#x} is not mounted upon"
                )
            }
            Self::TooMany(limit) => write!(formatter, "this user has {limit} mounts already"),
            Self::NotOurs(path) => {
                write!(formatter, "{path:?} is not a pacquet mount of this user")
            }
            Self::Open(path, cause) => write!(formatter, "opening {path:?} failed: {cause}"),
            Self::System(what, cause) => write!(formatter, "{what} failed: {cause}"),
        }
    }
}

/// Longest path that is looked at, in bytes (`PATH_MAX` less the terminator).
const PATH_BYTES_MAX: usize = 4095;

/// Checks the form of a mountpoint before anything is opened.
pub(crate) fn path(path: &Path) -> Result<(), Refusal> {
    let plain = path
        .components()
        .all(|component| matches!(component, Component::RootDir | Component::Normal(_)));
    let bytes = path.as_os_str().as_bytes();
    // `components` hides `.` in the middle, so the text is looked at too.
    let dotted = bytes
        .split(|byte| *byte == b'/')
        .any(|part| part == b"." || part == b"..");
    if !path.is_absolute()
        || !plain
        || dotted
        || bytes.len() > PATH_BYTES_MAX
        || bytes.contains(&0)
        || path.starts_with("/proc")
        || path.starts_with("/sys")
    {
        return Err(Refusal::PathForm(path.to_owned()));
    }
    if !bytes.ends_with(b"/node_modules") {
        return Err(Refusal::NotNodeModules(path.to_owned()));
    }
    Ok(())
}

/// Kinds of file system on which a project may lie (`linux/magic.h`). Network and pseudo file
/// systems are not among them: a mount on those could reach other machines or the kernel.
const FILESYSTEM_MAGICS: [i64; 8] = [
    0xef53,      // ext2, ext3, ext4
    0x5846_5342, // xfs
    0x9123_683e, // btrfs
    0x0102_1994, // tmpfs
    0xf2f5_2010, // f2fs
    0x794c_7630, // overlayfs
    0xca45_1a4e, // bcachefs
    0x2fc1_2fc1, // zfs
];

/// Checks a pinned directory.
pub(crate) fn directory(facts: &DirectoryFacts, caller: Caller) -> Result<(), Refusal> {
    if !facts.is_directory {
        return Err(Refusal::NotDirectory);
    }
    if facts.owner != caller.user {
        return Err(Refusal::Owner {
            owner: facts.owner,
            caller: caller.user,
        });
    }
    if facts.mode & 0o200 == 0 {
        return Err(Refusal::NotWritable);
    }
    if !FILESYSTEM_MAGICS.contains(&facts.filesystem_magic) {
        return Err(Refusal::FilesystemKind(facts.filesystem_magic));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_absolute_node_modules_is_looked_at() {
        assert!(path(Path::new("/home/a/node_modules")).is_ok());
        for refused in [
            "",
            "node_modules",
            "./node_modules",
            "/home/a",
            "/home/a/node_modules/",
            "/home/../node_modules",
            "/home/./node_modules",
            "/proc/self/cwd/node_modules",
            "/sys/node_modules",
            "/home/a/node_modules/..",
            "/home/xnode_modules",
        ] {
            assert!(path(Path::new(refused)).is_err(), "{refused}");
        }
        let long = format!("/{}/node_modules", "a/".repeat(50_000));
        assert!(path(Path::new(&long)).is_err());
    }

    #[test]
    fn only_the_callers_own_writable_directory_on_an_ordinary_file_system_is_mounted_upon() {
        let caller = Caller {
            user: 1000,
            group: 1000,
        };
        let good = DirectoryFacts {
            owner: 1000,
            mode: 0o755,
            is_directory: true,
            filesystem_magic: 0xef53,
        };
        assert!(directory(&good, caller).is_ok());
        for refused in [
            DirectoryFacts { owner: 0, ..good },
            DirectoryFacts {
                mode: 0o555,
                ..good
            },
            DirectoryFacts {
                is_directory: false,
                ..good
            },
            DirectoryFacts {
                filesystem_magic: 0x9fa0,
                ..good
            },
            DirectoryFacts {
                filesystem_magic: 0x6573_5546,
                ..good
            },
        ] {
            assert!(directory(&refused, caller).is_err(), "{refused:?}");
        }
    }
}
