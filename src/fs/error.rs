//! What can go wrong with mounting and unmounting.

use std::io;
use std::path::{Path, PathBuf};

use super::holders::Holder;
use super::image::ImageError;
use super::mountinfo::{FS_TYPE, MountEntry};
use super::mountpoint::Installer;
use super::package::is_short_of_files;
use super::vfs_error::VfsError;
use crate::diagnostic::Diagnostic;

const REAL_FILES_INSTEAD: &str = "or run \"pacquet install\" without --virtual, which writes files";

/// Why something could not be mounted, asked or unmounted.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// The mountpoint is a symlink.
    #[error("{} is a symlink, and nothing is mounted over a symlink", path.display())]
    Symlink {
        /// The mountpoint.
        path: PathBuf,
    },
    /// The mountpoint is something else than a directory.
    #[error("{} is not a directory", path.display())]
    NotDirectory {
        /// The mountpoint.
        path: PathBuf,
    },
    /// The mountpoint holds files of another installer.
    #[error("{} holds real files ({installer})", path.display())]
    RealFiles {
        /// The mountpoint.
        path: PathBuf,
        /// Who seems to have written them.
        installer: Installer,
    },
    /// Something else is mounted there.
    #[error(
        "a file system of type {}{} is mounted at {}",
        entry.fs_type,
        mounted_by(entry),
        entry.mountpoint.display()
    )]
    OtherMount {
        /// What.
        entry: MountEntry,
    },
    /// Another server has the directory, though nothing of it is to be seen there.
    #[error("{} is served already, elsewhere", path.display())]
    ServedElsewhere {
        /// The mountpoint.
        path: PathBuf,
        /// Who serves it, where that is to be seen.
        process: Option<u32>,
    },
    /// Nothing is mounted there.
    #[error("nothing is mounted at {}", path.display())]
    NotMounted {
        /// The mountpoint.
        path: PathBuf,
    },
    /// Somebody uses the mount.
    #[error("{} is in use{}", path.display(), in_use_by(holders))]
    Busy {
        /// The mountpoint.
        path: PathBuf,
        /// Who uses it.
        holders: Vec<Holder>,
    },
    /// The server does not answer.
    #[error("the server of {} does not answer", path.display())]
    Hung {
        /// The mountpoint.
        path: PathBuf,
    },
    /// There is no FUSE device.
    #[error("{} does not exist: this machine has no FUSE", path.display())]
    NoDevice {
        /// The device.
        path: PathBuf,
    },
    /// The FUSE device cannot be opened.
    #[error("{} cannot be opened", path.display())]
    Device {
        /// The device.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// There is neither fusermount3 nor the helper, one of which users other than root need.
    #[error(
        "fusermount3 is not installed, {}; without one of them only root can mount",
        no_helper(helper.as_deref())
    )]
    NoMountProgram {
        /// Where the helper was configured to be.
        helper: Option<PathBuf>,
    },
    /// The helper refused.
    #[error("{} refused: {message}", path.display())]
    Helper {
        /// The helper.
        path: PathBuf,
        /// What it said.
        message: String,
    },
    /// fusermount3 refused.
    #[error("fusermount3 refused: {message}")]
    Fusermount {
        /// What it said.
        message: String,
    },
    /// The system refused to mount.
    #[error("the system refused to mount at {}", path.display())]
    Mount {
        /// The mountpoint.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The system refused to unmount.
    #[error("the system refused to unmount {}", path.display())]
    Unmount {
        /// The mountpoint.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The server process could not begin.
    #[error("the server could not begin: {message}")]
    Server {
        /// What it said.
        message: String,
        /// What it said to do.
        hint: Option<String>,
    },
    /// A supervisor could not become another program.
    #[error("the supervisor {pid} cannot be upgraded: {message}")]
    Upgrade {
        /// Its process.
        pid: u32,
        /// What it said.
        message: String,
    },
    /// The server process did not report within the time.
    #[error("the server did not begin within {seconds} s")]
    ServerTimeout {
        /// The time.
        seconds: u64,
    },
    /// The directory of sockets and state is not ours alone.
    #[error("{} is not a directory that only its owner can enter", path.display())]
    RunDirectory {
        /// The directory.
        path: PathBuf,
    },
    /// What was written into the tree before cannot be read.
    #[error("what was written into {} cannot be read", path.display())]
    Upper {
        /// Where.
        path: PathBuf,
        /// Why.
        source: VfsError,
    },
    /// The layer has no such tree.
    #[error("the project layer has no tree {tree}")]
    NoTree {
        /// The tree.
        tree: u32,
    },
    /// The arguments of the server process are not right.
    #[error("the arguments of the server are not right: {0}")]
    Arguments(&'static str),
    /// The project layer cannot be used.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// Too few files may be open at once.
    #[error("only {most} files may be open at once, and serving takes {wanted}")]
    OpenFiles {
        /// How many may be.
        most: u64,
        /// How many are needed.
        wanted: u64,
    },
    /// A file or directory could not be accessed.
    #[error("cannot access {}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

fn no_helper(configured: Option<&Path>) -> String {
    match configured {
        Some(path) => format!("and the mount-helper {} does not exist", path.display()),
        None => "nor is pacquet-mount-helper (set-user-ID root)".to_owned(),
    }
}

fn in_use_by(holders: &[Holder]) -> String {
    match holders {
        [] => String::new(),
        holders => {
            let names: Vec<String> = holders.iter().map(ToString::to_string).collect();
            format!(" by {}", names.join(", "))
        }
    }
}

impl MountError {
    /// For `map_err`: an access to `path` failed.
    pub(super) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}

const RAISE_LIMITS: &str = "Raise the limit (ulimit -n, ulimit -v, the limits of the container)";

/// Whose a mount is, where the mount table says so.
fn mounted_by(entry: &MountEntry) -> String {
    match entry.user {
        Some(user) => format!(" of user {user}"),
        None => String::new(),
    }
}

/// What to do where something is mounted that this user has not mounted.
fn unmount_other(entry: &MountEntry) -> String {
    let place = entry.mountpoint.display();
    match entry.user {
        Some(user) if entry.fs_type == FS_TYPE => format!(
            "User {user} can unmount it: pacquet unmount --dir {}",
            entry
                .mountpoint
                .parent()
                .unwrap_or(&entry.mountpoint)
                .display()
        ),
        _ => format!("Unmount it first: umount {place}"),
    }
}

/// What to do where another server has the directory.
fn unmount_elsewhere(process: Option<u32>) -> String {
    let there = "It is mounted at another path that leads there, or in another container or mount \
                 namespace: unmount it there";
    match process {
        Some(process) => format!("{there}, or end process {process}"),
        None => there.to_owned(),
    }
}

/// What to do where the system refused to mount.
fn mount_refused(source: &io::Error) -> String {
    if is_short(source) {
        return RAISE_LIMITS.to_owned();
    }
    format!("Mounting needs CAP_SYS_ADMIN; give it to the container, {REAL_FILES_INSTEAD}")
}

/// Whether it is a limit of the process or the machine that was reached.
fn is_short(error: &io::Error) -> bool {
    let limits = [rustix::io::Errno::NOMEM, rustix::io::Errno::AGAIN];
    let number = error.raw_os_error();
    let mut limits = limits.iter();
    is_short_of_files(error) || limits.any(|limit| number == Some(limit.raw_os_error()))
}

impl Diagnostic for MountError {
    fn code(&self) -> &'static str {
        match self {
            Self::Symlink { .. } => "ERR_PACQUET_MOUNTPOINT_SYMLINK",
            Self::NotDirectory { .. } => "ERR_PACQUET_MOUNTPOINT_NOT_DIRECTORY",
            Self::RealFiles { .. } => "ERR_PACQUET_MOUNTPOINT_REAL_FILES",
            Self::OtherMount { .. } => "ERR_PACQUET_MOUNTPOINT_TAKEN",
            Self::ServedElsewhere { .. } => "ERR_PACQUET_SERVED_ELSEWHERE",
            Self::NotMounted { .. } => "ERR_PACQUET_NOT_MOUNTED",
            Self::Busy { .. } => "ERR_PACQUET_MOUNT_BUSY",
            Self::Hung { .. } => "ERR_PACQUET_SERVER_HUNG",
            Self::NoDevice { .. } => "ERR_PACQUET_NO_FUSE",
            Self::Device { .. } => "ERR_PACQUET_FUSE_DEVICE",
            Self::NoMountProgram { .. } => "ERR_PACQUET_NO_FUSERMOUNT",
            Self::Helper { .. } => "ERR_PACQUET_MOUNT_HELPER",
            Self::Fusermount { .. } => "ERR_PACQUET_FUSERMOUNT",
            Self::Mount { .. } => "ERR_PACQUET_MOUNT",
            Self::Unmount { .. } => "ERR_PACQUET_UNMOUNT",
            Self::Server { .. } => "ERR_PACQUET_SERVER",
            Self::Upgrade { .. } => "ERR_PACQUET_UPGRADE",
            Self::ServerTimeout { .. } => "ERR_PACQUET_SERVER_TIMEOUT",
            Self::RunDirectory { .. } => "ERR_PACQUET_RUN_DIRECTORY",
            Self::NoTree { .. } => "ERR_PACQUET_NO_TREE",
            Self::Arguments(_) => "ERR_PACQUET_SERVER_ARGUMENTS",
            Self::Upper { .. } => "ERR_PACQUET_UPPER_LAYER",
            Self::Image(error) => error.code(),
            Self::OpenFiles { .. } => "ERR_PACQUET_OPEN_FILES",
            Self::Io { .. } => "ERR_PACQUET_MOUNT_IO",
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Symlink { path } => {
                format!("Remove the symlink: rm {}", path.display())
            }
            Self::NotDirectory { path } => format!("Move {} away", path.display()),
            Self::RealFiles { .. } => {
                format!("Use --force, which moves them aside, {REAL_FILES_INSTEAD}")
            }
            Self::OtherMount { entry } => unmount_other(entry),
            Self::ServedElsewhere { process, .. } => unmount_elsewhere(*process),
            Self::Busy { .. } => {
                "Stop these programs, or use --lazy, which unmounts when they are done".to_owned()
            }
            Self::Upgrade { .. } => {
                "The old program goes on serving; \"pacquet unmount\" and \"pacquet mount\" \
                 replace it"
                    .to_owned()
            }
            Self::Hung { .. } => "Use \"pacquet unmount --force\", which ends it".to_owned(),
            Self::NoDevice { .. } => {
                format!(
                    "Load it (modprobe fuse) or give it to the container (--device /dev/fuse), \
                     {REAL_FILES_INSTEAD}"
                )
            }
            Self::OpenFiles { .. } => RAISE_LIMITS.to_owned(),
            Self::Io { source, .. } | Self::Device { source, .. } if is_short(source) => {
                RAISE_LIMITS.to_owned()
            }
            Self::Device { path, .. } => {
                format!(
                    "Allow it (chmod 666 {}), {REAL_FILES_INSTEAD}",
                    path.display()
                )
            }
            Self::NoMountProgram { .. } => {
                format!(
                    "Install fusermount3 (package fuse3), or pacquet-mount-helper beside pacquet \
                     or where the setting mount-helper says, owned by root with mode 4755, \
                     {REAL_FILES_INSTEAD}"
                )
            }
            Self::Helper { .. } => {
                format!(
                    "The helper must be owned by root with mode 4755, and node_modules must be \
                     yours; or install fusermount3 (package fuse3), {REAL_FILES_INSTEAD}"
                )
            }
            Self::Fusermount { .. } => format!("See fusermount3(1), {REAL_FILES_INSTEAD}"),
            Self::Mount { source, .. } => mount_refused(source),
            Self::Server { hint, .. } => return hint.clone(),
            Self::RunDirectory { path } => {
                format!(
                    "Remove {} if it is not yours, or set XDG_RUNTIME_DIR",
                    path.display()
                )
            }
            Self::Image(error) => return error.hint(),
            Self::NotMounted { .. }
            | Self::Unmount { .. }
            | Self::Upper { .. }
            | Self::ServerTimeout { .. }
            | Self::NoTree { .. }
            | Self::Arguments(_)
            | Self::Io { .. } => return None,
        };
        Some(hint)
    }
}
