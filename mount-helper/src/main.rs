//! A small privileged program that mounts a pacquet file system for whoever may not mount, on
//! machines without fusermount3 and in containers. It is installed setuid root.
//!
//! ```text
//! pacquet-mount-helper mount MOUNTPOINT      the FUSE descriptor is sent over the socket at fd 3
//! pacquet-mount-helper unmount MOUNTPOINT
//! mount.pacquet PROJECT MOUNTPOINT [-o …]    root only: for mount(8), fstab and systemd
//! ```
//!
//! **Architecture Invariant:** no option, no file-system type and no environment variable of the
//! caller reaches the kernel. The only thing that the caller chooses is a directory, which must be
//! named `node_modules`, be his own and lie on a file system of an ordinary kind; all checks are
//! made on a descriptor that pins it, and the mount goes onto that same descriptor.
//!
//! **Architecture Invariant:** as the setuid program it executes nothing.

mod check;
mod mountinfo;
mod sys;

use std::ffi::OsString;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use check::Refusal;

/// Where the caller's socket is.
const SOCKET_FD: i32 = 3;

/// Mounts that one user may have at once.
const MOUNTS_PER_USER_MAX: usize = 1000;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(refusal) => {
            sys::say(&format!("pacquet-mount-helper: {refusal}\n"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[OsString]) -> Result<(), Refusal> {
    let program = arguments.first().ok_or(Refusal::Usage)?;
    if Path::new(program)
        .file_name()
        .is_some_and(|name| name == "mount.pacquet")
    {
        return mount_for_root(&arguments[1..]);
    }
    let [_, verb, mountpoint] = arguments else {
        return Err(Refusal::Usage);
    };
    let path = PathBuf::from(mountpoint);
    check::path(&path)?;
    match verb.as_bytes() {
        b"mount" => mount(&path),
        b"unmount" => unmount(&path),
        _ => Err(Refusal::Usage),
    }
}

fn mount(path: &Path) -> Result<(), Refusal> {
    sys::isolate(Some(SOCKET_FD)).map_err(|cause| Refusal::System("isolating", cause))?;
    let caller = sys::caller();
    let socket = sys::socket(SOCKET_FD).map_err(|_| Refusal::NoSocket)?;
    let pinned =
        sys::open_pinned(path, caller).map_err(|cause| Refusal::Open(path.to_owned(), cause))?;
    check::directory(
        &sys::facts(pinned.as_fd()).map_err(system("reading the directory"))?,
        caller,
    )?;
    let table = mountinfo::read().map_err(system("reading mountinfo"))?;
    if mountinfo::mounts_of(&table, caller.user) >= MOUNTS_PER_USER_MAX {
        return Err(Refusal::TooMany(MOUNTS_PER_USER_MAX));
    }
    let device = sys::open_fuse().map_err(system("opening /dev/fuse"))?;
    let mounted =
        sys::mount_fuse(device.as_fd(), caller).map_err(system("making the file system"))?;
    sys::attach(mounted.as_fd(), pinned.as_fd()).map_err(system("mounting"))?;
    sys::send_descriptor(socket.as_fd(), device.as_fd()).map_err(|cause| {
        // Nobody holds the connection, so nobody could ever serve or remove this mount.
        let _ = sys::detach(mounted.as_fd());
        Refusal::System("passing the descriptor on", cause)
    })
}

fn unmount(path: &Path) -> Result<(), Refusal> {
    sys::isolate(None).map_err(|cause| Refusal::System("isolating", cause))?;
    let caller = sys::caller();
    let pinned =
        sys::open_pinned(path, caller).map_err(|cause| Refusal::Open(path.to_owned(), cause))?;
    let mount_id = sys::mount_id(pinned.as_fd()).map_err(system("reading the mount's number"))?;
    let table = mountinfo::read().map_err(system("reading mountinfo"))?;
    if !mountinfo::is_ours(&table, mount_id, caller.user) {
        return Err(Refusal::NotOurs(path.to_owned()));
    }
    sys::detach(pinned.as_fd()).map_err(system("unmounting"))
}

/// `mount.pacquet PROJECT MOUNTPOINT …`, as mount(8) calls it. Every mount is nosuid, nodev and
/// made by the user who runs it, so the options that may follow change nothing and are not read.
fn mount_for_root(arguments: &[OsString]) -> Result<(), Refusal> {
    if sys::caller().user != 0 {
        return Err(Refusal::RootOnly);
    }
    let [project, mountpoint, ..] = arguments else {
        return Err(Refusal::Usage);
    };
    let project = PathBuf::from(project);
    if project.join("node_modules") != Path::new(mountpoint) {
        return Err(Refusal::NotOfProject(project, mountpoint.into()));
    }
    check::path(Path::new(mountpoint))?;
    let own = std::env::current_exe().map_err(system("finding the pacquet program"))?;
    let program = own.with_file_name("pacquet");
    let cause = std::process::Command::new(program)
        .arg("mount")
        .arg("-C")
        .arg(&project)
        .exec();
    Err(Refusal::System("starting pacquet", cause))
}

fn system(what: &'static str) -> impl FnOnce(std::io::Error) -> Refusal {
    move |cause| Refusal::System(what, cause)
}
