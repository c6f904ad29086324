//! The helper, installed setuid root in a scratch directory and called by an unprivileged user.
//! These tests need root and `/dev/fuse`; elsewhere they say that they were skipped, and in CI
//! that is a failure.

#![allow(unsafe_code, clippy::unwrap_used, clippy::print_stderr)]

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

const USER: u32 = 65534;

struct Scratch {
    root: PathBuf,
    helper: PathBuf,
}

impl Scratch {
    fn new(name: &str) -> Option<Self> {
        let able = std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
            && Path::new("/dev/fuse").exists();
        if !able {
            assert!(
                std::env::var_os("CI").is_none(),
                "{name}: needs root and /dev/fuse"
            );
            eprintln!("skipped: {name}: needs root and /dev/fuse");
            return None;
        }
        let root = std::env::temp_dir().join(format!("helper-{}-{name}", std::process::id()));
        std::fs::create_dir_all(root.join("project/node_modules")).unwrap();
        std::fs::set_permissions(&root, PermissionsExt::from_mode(0o755)).unwrap();
        for path in ["project", "project/node_modules"] {
            chown(root.join(path), Some(USER), Some(USER)).unwrap();
        }
        let helper = root.join("helper");
        // A process that another thread starts must not inherit the file open for writing.
        let copied = Command::new("cp")
            .arg(env!("CARGO_BIN_EXE_pacquet-mount-helper"))
            .arg(&helper)
            .status();
        assert!(copied.unwrap().success());
        std::fs::set_permissions(&helper, PermissionsExt::from_mode(0o4755)).unwrap();
        Some(Self { root, helper })
    }

    fn node_modules(&self) -> PathBuf {
        self.root.join("project/node_modules")
    }

    /// Calls the helper as the unprivileged user, with a socket at descriptor 3.
    fn call(&self, verb: &str, path: &Path) -> (Output, Option<OwnedFd>) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let output = Command::new("/bin/sh")
            .args(["-c", "exec 3<&0 </dev/null; exec \"$0\" \"$@\""])
            .arg(&self.helper)
            .arg(verb)
            .arg(path)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .uid(USER)
            .gid(USER)
            .output()
            .unwrap();
        ours.set_nonblocking(true).unwrap();
        (output, receive(&ours))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        while mounted(&self.node_modules()) {
            let left = Command::new("umount")
                .arg("-l")
                .arg(self.node_modules())
                .status();
            assert!(left.is_ok_and(|status| status.success()), "a mount is left");
        }
        let _ = std::fs::remove_dir_all(&self.root);
    }
}

fn mounted(path: &Path) -> bool {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    table
        .lines()
        .any(|line| line.split(' ').nth(4) == path.to_str())
}

fn receive(socket: &UnixStream) -> Option<OwnedFd> {
    let mut byte = [0_u8];
    let mut part = libc::iovec {
        iov_base: byte.as_mut_ptr().cast(),
        iov_len: 1,
    };
    let mut control = [0_u64; 8];
    // SAFETY: the message points to live buffers of the lengths stated, and `control` is aligned
    // for `cmsghdr`.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control);
        if libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_CMSG_CLOEXEC) < 1 {
            return None;
        }
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        if header.is_null() {
            return None;
        }
        let descriptor = libc::CMSG_DATA(header)
            .cast::<libc::c_int>()
            .read_unaligned();
        Some(OwnedFd::from_raw_fd(descriptor))
    }
}

#[test]
fn an_unprivileged_user_gets_the_descriptor_of_his_own_mount_and_takes_it_down() {
    let Some(scratch) = Scratch::new("mount") else {
        return;
    };
    let path = scratch.node_modules();
    let (output, descriptor) = scratch.call("mount", &path);
    assert!(output.status.success(), "{output:?}");
    let descriptor = descriptor.expect("a descriptor");
    let device = std::fs::read_link(format!("/proc/self/fd/{}", descriptor.as_raw_fd())).unwrap();
    assert_eq!(device, Path::new("/dev/fuse"));
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let line = table
        .lines()
        .find(|line| line.contains(path.to_str().unwrap()))
        .unwrap();
    for part in [
        "nosuid",
        "nodev",
        " - fuse.pacquet ",
        "user_id=65534",
        "default_permissions",
    ] {
        assert!(line.contains(part), "{part}: {line}");
    }
    assert!(!line.contains("allow_other"), "{line}");
    let (output, _) = scratch.call("unmount", &path);
    assert!(output.status.success(), "{output:?}");
    assert!(!mounted(&path));
}

#[test]
fn what_is_not_the_callers_own_node_modules_is_refused() {
    let Some(scratch) = Scratch::new("refuse") else {
        return;
    };
    let root_owned = scratch.root.join("other/node_modules");
    std::fs::create_dir_all(&root_owned).unwrap();
    let link = scratch.root.join("link/node_modules");
    std::fs::create_dir_all(link.parent().unwrap()).unwrap();
    symlink(scratch.node_modules(), &link).unwrap();
    let file = scratch.root.join("file/node_modules");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, "").unwrap();
    let project = scratch.root.join("project");
    for path in [
        &root_owned,
        &link,
        &file,
        &project,
        &PathBuf::from("project/node_modules"),
    ] {
        for verb in ["mount", "unmount"] {
            let (output, descriptor) = scratch.call(verb, path);
            assert_eq!(output.status.code(), Some(1), "{verb} {path:?}: {output:?}");
            assert!(descriptor.is_none(), "{verb} {path:?}");
            assert!(!mounted(path), "{verb} {path:?}");
        }
    }
}

#[test]
fn a_mount_of_another_user_or_kind_is_not_taken_down() {
    let Some(scratch) = Scratch::new("foreign") else {
        return;
    };
    let path = scratch.node_modules();
    let status = Command::new("mount")
        .args(["-t", "tmpfs", "x"])
        .arg(&path)
        .status()
        .unwrap();
    assert!(status.success());
    chown(&path, Some(USER), Some(USER)).unwrap();
    let (output, _) = scratch.call("unmount", &path);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(mounted(&path));
}

#[test]
fn without_a_socket_nothing_is_mounted() {
    let Some(scratch) = Scratch::new("socket") else {
        return;
    };
    let path = scratch.node_modules();
    let output = Command::new(&scratch.helper)
        .arg("mount")
        .arg(&path)
        .uid(USER)
        .gid(USER)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(!mounted(&path));
}

/// The directory and the link to another one change places at least so often.
const SWAPS_MIN: usize = 10_000;
const ATTEMPTS_MIN: usize = 500;

#[test]
fn a_mountpoint_that_is_swapped_while_it_is_checked_never_mounts_elsewhere() {
    let Some(scratch) = Scratch::new("swap") else {
        return;
    };
    let path = scratch.node_modules();
    let victim = scratch.root.join("root-owned/node_modules");
    std::fs::create_dir_all(&victim).unwrap();
    let real = scratch.root.join("project/real");
    let link = scratch.root.join("project/link");
    symlink(&victim, &link).unwrap();
    let done = AtomicBool::new(false);
    let swaps = AtomicUsize::new(0);
    let (mut mounts, mut attempts) = (0, 0);
    std::thread::scope(|scope| {
        // Its end must stop the swaps also when an assertion fails.
        let _stop = Stop(&done);
        scope.spawn(|| {
            // A directory that is mounted upon cannot be renamed until that is undone.
            let insist = |from: &Path, to: &Path| {
                while std::fs::rename(from, to).is_err() && !done.load(Ordering::Relaxed) {
                    std::thread::yield_now();
                }
            };
            while !done.load(Ordering::Relaxed) {
                insist(&path, &real);
                insist(&link, &path);
                insist(&path, &link);
                insist(&real, &path);
                swaps.fetch_add(2, Ordering::Relaxed);
            }
        });
        while attempts < ATTEMPTS_MIN || swaps.load(Ordering::Relaxed) < SWAPS_MIN {
            attempts += 1;
            let (output, descriptor) = scratch.call("mount", &path);
            assert_eq!(output.status.success(), descriptor.is_some(), "{output:?}");
            let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
            let ours: Vec<PathBuf> = table
                .lines()
                .filter_map(|line| Some(PathBuf::from(line.split(' ').nth(4)?)))
                .filter(|at| at.starts_with(&scratch.root))
                .collect();
            assert!(ours.iter().all(|at| at == &path || at == &real), "{ours:?}");
            assert_eq!(ours.len(), usize::from(output.status.success()), "{ours:?}");
            mounts += ours.len();
            // It is under either name, and keeps that name until it is gone.
            while [&path, &real].into_iter().any(|at| mounted(at)) {
                for at in [&path, &real] {
                    let _ = Command::new("umount").arg("-l").arg(at).output();
                }
            }
        }
    });
    let swaps = swaps.into_inner();
    eprintln!("{mounts} of {attempts} attempts mounted, during {swaps} swaps");
    assert!(!mounted(&victim));
}

/// Ends the loop that watches it when it is dropped.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
