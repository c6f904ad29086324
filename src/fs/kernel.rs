//! Asking the kernel for a mount: with mount(2) as root, as anybody else through fusermount3, or
//! through `pacquet-mount-helper` where there is no fusermount3.
//!
//! **Architecture Invariant:** root's mount goes to a pinned descriptor of the directory that was
//! checked, so that a swap of the path between check and mount changes nothing. What another
//! program passes back is used only when it is exactly one descriptor of the FUSE device.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use super::control::ServedMount;
use super::error::MountError;
use super::exclusive;
use super::holders;
use super::mountinfo::{self, FS_TYPE, MountEntry};
use crate::name::escaped;
use crate::sys::channel;
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

const HELPER: &str = "pacquet-mount-helper";

/// Where the helper looks for the socket.
const HELPER_SOCKET: i32 = 3;

/// The set-user-ID bit.
const SET_USER_ID: u32 = 0o4000;

/// How often an unmount is tried while somebody uses the mount.
const BUSY_ATTEMPTS: u32 = 10;

const BUSY_PAUSE: Duration = Duration::from_millis(20);

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

/// Checks that this user can mount at all. `helper` is where the helper was configured to be.
///
/// # Errors
/// What is missing.
pub(super) fn check_prerequisites(user: u32, helper: Option<&Path>) -> Result<(), MountError> {
    let device = Path::new(DEVICE);
    if user != 0 && matches!(Program::find(helper)?, Program::Helper(_)) {
        // The helper opens it as root.
        return match device.try_exists() {
            Ok(true) => Ok(()),
            _ => Err(MountError::NoDevice {
                path: device.to_owned(),
            }),
        };
    }
    check_device(device)
}

fn check_device(path: &Path) -> Result<(), MountError> {
    let path = path.to_owned();
    match sys::open_device(&path) {
        Ok(device) if sys::is_fuse_device(device.as_fd()).unwrap_or(false) => Ok(()),
        Ok(_) => Err(MountError::Device {
            path,
            source: io::Error::other("it is not the FUSE device"),
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(MountError::NoDevice { path }),
        Err(source) => Err(MountError::Device { path, source }),
    }
}

/// What mounts for users other than root.
#[derive(Debug, PartialEq, Eq)]
enum Program {
    Fusermount,
    Helper(PathBuf),
}

impl Program {
    fn find(helper: Option<&Path>) -> Result<Self, MountError> {
        let own = std::env::current_exe().ok();
        let search = std::env::var_os("PATH");
        let directories: Vec<PathBuf> = search.iter().flat_map(std::env::split_paths).collect();
        Self::find_in(helper, own.as_deref(), &directories)
    }

    /// fusermount3, else the helper where it was configured to be, else the helper beside `own`
    /// or in one of `directories`.
    fn find_in(
        helper: Option<&Path>,
        own: Option<&Path>,
        directories: &[PathBuf],
    ) -> Result<Self, MountError> {
        if directories
            .iter()
            .any(|directory| directory.join(FUSERMOUNT).is_file())
        {
            return Ok(Self::Fusermount);
        }
        if let Some(helper) = helper {
            return if helper.is_file() {
                Ok(Self::Helper(helper.to_owned()))
            } else {
                Err(MountError::NoMountProgram {
                    helper: Some(helper.to_owned()),
                })
            };
        }
        let beside = own.map(|own| own.with_file_name(HELPER));
        let found = directories.iter().map(|directory| directory.join(HELPER));
        beside
            .into_iter()
            .chain(found)
            .find(|path| is_set_up(path))
            .map(Self::Helper)
            .ok_or(MountError::NoMountProgram { helper: None })
    }
}

/// Whether this is a program that runs as root whoever starts it. A helper that was only built
/// lies beside the program without being that.
fn is_set_up(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| {
        metadata.is_file() && metadata.uid() == 0 && metadata.mode() & SET_USER_ID != 0
    })
}

/// Mounts at `mountpoint` and returns the descriptor on which the kernel asks, and the directory
/// that is under the mount from then on.
///
/// # Errors
/// When the mountpoint is no directory or the system refuses.
pub(super) fn mount(
    mountpoint: &Path,
    access: Access,
    helper: Option<&Path>,
) -> Result<(OwnedFd, File), MountError> {
    let (uid, gid) = sys::user_and_group();
    let directory = sys::open_directory(mountpoint).map_err(MountError::io(mountpoint))?;
    exclusive::lock(&directory, mountpoint)?;
    let device = if uid == 0 {
        mount_as_root(mountpoint, &directory, access, gid)?
    } else {
        match Program::find(helper)? {
            Program::Fusermount => mount_with_fusermount(mountpoint, &directory, access)?,
            Program::Helper(path) => mount_with_helper(&path, mountpoint, access)?,
        }
    };
    Ok((device, directory))
}

fn mount_as_root(
    mountpoint: &Path,
    directory: &File,
    access: Access,
    gid: u32,
) -> Result<OwnedFd, MountError> {
    let device = sys::open_device(Path::new(DEVICE)).map_err(|source| MountError::Device {
        path: DEVICE.into(),
        source,
    })?;
    let mut options = format!("rootmode=40000,user_id=0,group_id={gid}");
    match access {
        Access::Everybody => options.push_str(",default_permissions,allow_other"),
        Access::Owner if !ignores_modes() => options.push_str(",default_permissions"),
        // Modes bind nobody who gets in, and the kernel would ask for those of a directory after
        // each change in it (`fs/fuse/dir.c`, `fuse_permission`).
        Access::Owner => {}
    }
    let source = source_of(std::process::id());
    sys::mount(directory, device.as_fd(), FS_TYPE, &source, &options).map_err(|source| {
        MountError::Mount {
            path: mountpoint.to_owned(),
            source,
        }
    })?;
    Ok(device)
}

/// Whether modes bind this process no more than they bind root (`CAP_DAC_OVERRIDE`,
/// capabilities(7)).
fn ignores_modes() -> bool {
    let overrides = rustix::thread::CapabilitySet::DAC_OVERRIDE;
    rustix::thread::capabilities(None).is_ok_and(|sets| sets.effective.contains(overrides))
}

fn mount_with_fusermount(
    mountpoint: &Path,
    directory: &File,
    access: Access,
) -> Result<OwnedFd, MountError> {
    let refused = |message: String| MountError::Fusermount { message };
    let source = source_of(std::process::id());
    let mut options = format!("fsname={source},subtype={SUBTYPE},default_permissions,nosuid,nodev");
    if access == Access::Everybody {
        options.push_str(",allow_other");
    }
    if sys::is_read_only(directory).map_err(MountError::io(mountpoint))? {
        options.push_str(",ro");
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
    take_device(&ours, &mut child).map_err(refused)
}

fn mount_with_helper(
    helper: &Path,
    mountpoint: &Path,
    access: Access,
) -> Result<OwnedFd, MountError> {
    let refused = |message: String| MountError::Helper {
        path: helper.to_owned(),
        message,
    };
    if access == Access::Everybody {
        return Err(refused(
            "its mounts are for their owner only; allow-other needs fusermount3".to_owned(),
        ));
    }
    let (ours, theirs) = UnixStream::pair().map_err(|error| refused(error.to_string()))?;
    let mut command = helper_command(helper, "mount", mountpoint);
    sys::pass_descriptor(&mut command, theirs.into(), HELPER_SOCKET);
    let spawned = command.spawn();
    // Its copy of the socket would keep the receiver waiting for a helper that has ended.
    drop(command);
    let mut child = spawned.map_err(|error| refused(error.to_string()))?;
    take_device(&ours, &mut child).map_err(refused)
}

fn helper_command(helper: &Path, verb: &str, mountpoint: &Path) -> Command {
    let mut command = Command::new(helper);
    command
        .arg(verb)
        .arg(mountpoint)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

/// Takes the descriptor that a program passes back, or what it said where it did not.
fn take_device(socket: &UnixStream, child: &mut Child) -> Result<OwnedFd, String> {
    let received = channel::receive(socket.as_fd(), 1);
    let said = finish(child);
    let (_, descriptors) = received.map_err(|error| error.to_string())?;
    match <[OwnedFd; 1]>::try_from(descriptors) {
        Ok([device]) if sys::is_fuse_device(device.as_fd()).unwrap_or(false) => Ok(device),
        Ok(_) => Err("it passed back something else than FUSE".to_owned()),
        Err(_) => Err(said),
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
pub(super) fn unmount(
    mountpoint: &Path,
    mode: UnmountMode,
    helper: Option<&Path>,
) -> io::Result<()> {
    let (uid, _) = sys::user_and_group();
    if uid == 0 {
        return sys::unmount(mountpoint, mode);
    }
    let mut command = match Program::find(helper).map_err(io::Error::other)? {
        Program::Fusermount => fusermount_command(mountpoint, mode),
        // The helper only detaches. Nobody but this user can be in a mount that it made, and
        // his processes can be looked through.
        Program::Helper(_)
            if mode == UnmountMode::Strict && !holders::find(mountpoint).is_empty() =>
        {
            return Err(io::ErrorKind::ResourceBusy.into());
        }
        Program::Helper(path) => helper_command(&path, "unmount", mountpoint),
    };
    let mut child = command.spawn()?;
    let said = finish(&mut child);
    if child.wait()?.success() {
        Ok(())
    } else if said.contains("busy") {
        Err(io::ErrorKind::ResourceBusy.into())
    } else {
        Err(io::Error::other(said))
    }
}

fn fusermount_command(mountpoint: &Path, mode: UnmountMode) -> Command {
    let flags: &[&str] = match mode {
        UnmountMode::Strict => &["-u", "--"],
        UnmountMode::Detach => &["-u", "-z", "--"],
    };
    let mut command = Command::new(FUSERMOUNT);
    command
        .args(flags)
        .arg(mountpoint)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

/// The device of a mount that is not known yet; no file system has it.
pub(super) const NO_DEVICE: (u32, u32) = (0, 0);

/// Takes the mount with this device and source away, wherever it is by now: a project may have
/// been moved since it was mounted. So are those that show it elsewhere (bind mounts), the latest
/// first. Does nothing where there is none.
///
/// # Errors
/// Where it is, and why the system refuses.
pub(super) fn unmount_served(
    mount: &ServedMount,
    source: &str,
    mode: UnmountMode,
    helper: Option<&Path>,
) -> Result<(), (PathBuf, io::Error)> {
    let is_it = |entry: &MountEntry| {
        // Where the device could not be asked for, it has just been mounted.
        let is_fresh = mount.device == NO_DEVICE && entry.mountpoint == mount.mountpoint;
        (entry.device == mount.device || is_fresh) && entry.source == *source
    };
    let entries = || mountinfo::read().unwrap_or_default().into_iter();
    // One that goes may take others with it, where mounts are shared.
    for _ in 0..entries().filter(is_it).count() {
        let Some(entry) = entries().rfind(is_it) else {
            break;
        };
        let unmounted = unmount_patiently(&entry.mountpoint, mode, helper);
        unmounted.map_err(|error| (entry.mountpoint, error))?;
    }
    Ok(())
}

/// Unmounts, and tries again for a moment while it is in use: a process that is just being started
/// holds what its parent had open until it runs its own program.
fn unmount_patiently(
    mountpoint: &Path,
    mode: UnmountMode,
    helper: Option<&Path>,
) -> io::Result<()> {
    let mut attempts = 1;
    loop {
        match unmount(mountpoint, mode, helper) {
            Err(error)
                if error.kind() == io::ErrorKind::ResourceBusy && attempts < BUSY_ATTEMPTS =>
            {
                attempts += 1;
                thread::sleep(BUSY_PAUSE);
            }
            result => return result,
        }
    }
}

/// Ends the connection of the mount with this device: every request on it, waiting or new, fails.
///
/// # Errors
/// When the control file system is not mounted or may not be written.
pub(super) fn abort(device: (u32, u32)) -> io::Result<()> {
    std::fs::write(format!("/sys/fs/fuse/connections/{}/abort", device.1), "1")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_device_that_is_missing_closed_or_another_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let absent = directory.path().join("fuse");
        assert!(matches!(
            check_device(&absent),
            Err(MountError::NoDevice { path }) if path == absent
        ));
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        for path in [directory.path(), &file, Path::new("/dev/null")] {
            let refused = check_device(path).unwrap_err();
            assert!(
                matches!(&refused, MountError::Device { path: named, .. } if named == path),
                "{refused}"
            );
        }
    }

    #[test]
    fn programs_are_looked_for_in_their_order() {
        let scratch = tempfile::tempdir().unwrap();
        let place = |name: &str| {
            let directory = scratch.path().join(name);
            fs::create_dir(&directory).unwrap();
            directory
        };
        let (own, search, configured) = (place("own"), place("search"), place("configured"));
        let program = own.join("pacquet");
        let find = |helper: Option<&Path>| {
            Program::find_in(helper, Some(&program), std::slice::from_ref(&search))
        };
        let named = configured.join("other-name");
        assert!(matches!(
            find(None),
            Err(MountError::NoMountProgram { helper: None })
        ));
        assert!(matches!(
            find(Some(&named)),
            Err(MountError::NoMountProgram { helper: Some(path) }) if path == named
        ));
        fs::write(own.join(HELPER), "").unwrap();
        assert!(find(None).is_err(), "it is not set-user-ID");
        fs::write(&named, "").unwrap();
        assert_eq!(find(Some(&named)).unwrap(), Program::Helper(named.clone()));
        if sys::user_and_group().0 == 0 {
            for directory in [&search, &own] {
                let helper = directory.join(HELPER);
                fs::write(&helper, "").unwrap();
                fs::set_permissions(&helper, fs::Permissions::from_mode(0o4755)).unwrap();
                assert_eq!(find(None).unwrap(), Program::Helper(helper));
            }
        }
        fs::write(search.join(FUSERMOUNT), "").unwrap();
        assert_eq!(find(Some(&named)).unwrap(), Program::Fusermount);
    }
}
