//! Asking the kernel for a mount: with mount(2) as root, through fusermount3 as anybody else.
//!
//! **Architecture Invariant:** root's mount goes to a pinned descriptor of the directory that was
//! checked, so that a swap of the path between check and mount changes nothing. What fusermount3
//! passes back is used only when it is exactly one descriptor of the FUSE device.

use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::error::MountError;
use super::mountinfo::FS_TYPE;
use crate::name::escaped;
use crate::sys::fuse as sys;
pub(super) use crate::sys::fuse::UnmountMode;

/// What stands in the first column of `df` and `mount`.
const SOURCE: &str = "pacquet";

/// What the mount table names as the source of the mounts of the server process `pid`. A device
/// number alone does not name a mount: it is given out again as soon as the mount is gone.
pub(super) fn source_of(pid: u32) -> String {
    format!("{SOURCE}-{pid}")
}

const SUBTYPE: &str = "pacquet";

const FUSERMOUNT: &str = "fusermount3";

/// The FUSE device.
const DEVICE: &str = "/dev/fuse";

/// Who may use the mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Access {
    /// Only the user who mounted it: not even root.
    #[default]
    Owner,
    /// Everybody, as far as modes let them.
    Everybody,
}

/// Checks that this user can mount at all.
///
/// # Errors
/// What is missing.
pub(super) fn check_prerequisites(user: u32) -> Result<(), MountError> {
    let path = PathBuf::from(DEVICE);
    match sys::open_device(&path) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(MountError::NoDevice { path });
        }
        Err(source) => return Err(MountError::Device { path, source }),
    }
    if user != 0 && find_program(FUSERMOUNT).is_none() {
        return Err(MountError::NoFusermount);
    }
    Ok(())
}

fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|program| program.is_file())
}

/// Mounts at `mountpoint` and returns the descriptor on which the kernel asks.
///
/// # Errors
/// When the mountpoint is no directory or the system refuses.
pub(super) fn mount(mountpoint: &Path, access: Access) -> Result<OwnedFd, MountError> {
    let (uid, gid) = sys::user_and_group();
    if uid != 0 {
        return mount_with_fusermount(mountpoint, access);
    }
    let pinned = sys::pin_directory(mountpoint).map_err(MountError::io(mountpoint))?;
    let device = sys::open_device(Path::new(DEVICE)).map_err(|source| MountError::Device {
        path: DEVICE.into(),
        source,
    })?;
    let mut options = format!("rootmode=40000,user_id={uid},group_id={gid},default_permissions");
    if access == Access::Everybody {
        options.push_str(",allow_other");
    }
    let source = source_of(std::process::id());
    sys::mount(&pinned, device.as_fd(), FS_TYPE, &source, &options).map_err(|source| {
        MountError::Mount {
            path: mountpoint.to_owned(),
            source,
        }
    })?;
    Ok(device)
}

fn mount_with_fusermount(mountpoint: &Path, access: Access) -> Result<OwnedFd, MountError> {
    let refused = |message: String| MountError::Fusermount { message };
    let source = source_of(std::process::id());
    let mut options = format!("fsname={source},subtype={SUBTYPE},default_permissions,nosuid,nodev");
    if access == Access::Everybody {
        options.push_str(",allow_other");
    }
    let (ours, theirs) = UnixStream::pair().map_err(|error| refused(error.to_string()))?;
    // The socket is its standard input: no other descriptor has to survive the exec.
    let mut child = Command::new(FUSERMOUNT)
        .args(["-o", &options, "--"])
        .arg(mountpoint)
        .env("_FUSE_COMMFD", "0")
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| refused(error.to_string()))?;
    let received = sys::receive_descriptors(&ours);
    let said = finish(&mut child);
    let descriptors = received.map_err(|error| refused(error.to_string()))?;
    match <[OwnedFd; 1]>::try_from(descriptors) {
        Ok([device]) if sys::is_fuse_device(device.as_fd()).unwrap_or(false) => Ok(device),
        Ok(_) => Err(refused(
            "it passed back something else than FUSE".to_owned(),
        )),
        Err(_) => Err(refused(said)),
    }
}

/// Waits for the child and returns what it wrote to standard error, on one line.
fn finish(child: &mut Child) -> String {
    let mut said = String::new();
    if let Some(errors) = child.stderr.take() {
        let _ = errors.take(4096).read_to_string(&mut said);
    }
    let _ = child.wait();
    escaped(said.trim())
}

/// Takes the mount at `mountpoint` away.
///
/// # Errors
/// When the system refuses; `EBUSY` comes back as [`io::ErrorKind::ResourceBusy`].
pub(super) fn unmount(mountpoint: &Path, mode: UnmountMode) -> io::Result<()> {
    let (uid, _) = sys::user_and_group();
    if uid == 0 {
        return sys::unmount(mountpoint, mode);
    }
    let flags: &[&str] = match mode {
        UnmountMode::Strict => &["-u", "--"],
        UnmountMode::Detach => &["-u", "-z", "--"],
    };
    let mut child = Command::new(FUSERMOUNT)
        .args(flags)
        .arg(mountpoint)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let said = finish(&mut child);
    if child.wait()?.success() {
        Ok(())
    } else if said.contains("busy") {
        Err(io::ErrorKind::ResourceBusy.into())
    } else {
        Err(io::Error::other(said))
    }
}

/// Ends the connection of the mount with this device: every request on it, waiting or new, fails.
///
/// # Errors
/// When the control file system is not mounted or may not be written.
pub(super) fn abort(device: (u32, u32)) -> io::Result<()> {
    std::fs::write(format!("/sys/fs/fuse/connections/{}/abort", device.1), "1")
}
