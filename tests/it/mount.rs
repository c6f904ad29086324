//! Mounting and unmounting: what is in the way, what dies, what hangs.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::thread;

use pacquet::fs::error::MountError;
use pacquet::fs::holders::Holder;
use pacquet::fs::mount::{
    MountOutcome, RealFiles, ServerCommand, UnmountRequest, mount, unmount, wait_unmounted,
};
use pacquet::fs::mountinfo;
use pacquet::fs::status::Health;

use crate::mount_fixture::{
    DEADLINE, Fixture, NOBODY_VARIABLE, can_mount, server_command, tree, walk,
};

#[test]
fn a_stopped_server_is_called_hung_and_ends_by_force() {
    if !can_mount("a_stopped_server_is_called_hung_and_ends_by_force") {
        return;
    }
    let fixture = Fixture::mounted("sample");
    let pid = fixture.signal("-STOP");
    let path = fixture.path("absent");
    let looking = thread::spawn(move || fs::symlink_metadata(path).unwrap_err());
    assert_eq!(fixture.statuses()[0].health, Health::Hung);
    let error = fixture.unmount(UnmountRequest::Strict).unwrap_err();
    assert!(matches!(error, MountError::Hung { .. }), "{error}");
    fixture.unmount(UnmountRequest::Force).unwrap();
    assert_eq!(looking.join().unwrap().kind(), ErrorKind::ConnectionAborted);
    assert_eq!(mountinfo::find(&fixture.root()).unwrap(), None);
    while pacquet::fs::control::process_start(pid).is_some() {
        thread::yield_now();
        assert!(!fixture.overdue.load(Ordering::SeqCst));
    }
    assert_eq!(fixture.run.states().unwrap(), []);
}

#[test]
fn a_terminated_server_unmounts() {
    if !can_mount("a_terminated_server_unmounts") {
        return;
    }
    for signal in ["-TERM", "-INT"] {
        let fixture = Fixture::mounted("sample");
        fixture.signal(signal);
        assert!(wait_unmounted(&fixture.root(), DEADLINE).unwrap());
        assert!(fs::read_dir(fixture.root()).unwrap().next().is_none());
    }
}

#[test]
fn mounting_twice_keeps_the_server_and_another_layer_takes_the_place() {
    if !can_mount("mounting_twice_keeps_the_server_and_another_layer_takes_the_place") {
        return;
    }
    let fixture = Fixture::mounted("sample");
    let pid = fixture.server_pid();
    let outcome = fixture.mount("sample").unwrap();
    assert_eq!(outcome, MountOutcome::AlreadyMounted { server_pid: pid });
    let outcome = fixture.mount("changed").unwrap();
    assert!(matches!(outcome, MountOutcome::Swapped { server_pid, .. } if server_pid == pid));
    assert_eq!(walk(&fixture.root()), tree("changed").expected);
    assert_eq!(
        fixture.mount("changed").unwrap(),
        MountOutcome::AlreadyMounted { server_pid: pid }
    );
    assert_eq!(fixture.statuses().len(), 1);
    fixture.unmount(UnmountRequest::Strict).unwrap();
    let error = fixture.unmount(UnmountRequest::Strict).unwrap_err();
    assert!(matches!(error, MountError::NotMounted { .. }), "{error}");
}

#[test]
fn a_used_mount_stays_and_names_who_uses_it() {
    if !can_mount("a_used_mount_stays_and_names_who_uses_it") {
        return;
    }
    let fixture = Fixture::mounted("sample");
    let mut held = File::open(fixture.path("a/package.json")).unwrap();
    match fixture.unmount(UnmountRequest::Strict).unwrap_err() {
        MountError::Busy { holders, .. } => {
            let ours = |holder: &Holder| holder.pid == std::process::id();
            assert!(holders.iter().any(ours), "{holders:?}");
        }
        other => panic!("{other}"),
    }
    assert_eq!(walk(&fixture.root()), tree("sample").expected);
    fixture.unmount(UnmountRequest::Lazy).unwrap();
    assert_eq!(mountinfo::find(&fixture.root()).unwrap(), None);
    let mut content = String::new();
    held.read_to_string(&mut content).unwrap();
    assert_eq!(content, "{\"name\":\"a\"}");
    fixture.mount("changed").unwrap();
    assert_eq!(walk(&fixture.root()), tree("changed").expected);
}

#[test]
fn what_is_in_the_way_is_refused_and_stays() {
    if !can_mount("what_is_in_the_way_is_refused_and_stays") {
        return;
    }
    let fixture = Fixture::new();
    let root = fixture.root();
    symlink("/tmp", &root).unwrap();
    let error = fixture.mount("sample").unwrap_err();
    assert!(matches!(error, MountError::Symlink { .. }), "{error}");
    fs::remove_file(&root).unwrap();
    fs::write(&root, "file").unwrap();
    let error = fixture.mount("sample").unwrap_err();
    assert!(matches!(error, MountError::NotDirectory { .. }), "{error}");
    fs::remove_file(&root).unwrap();
    fs::create_dir(&root).unwrap();
    fs::write(root.join(".package-lock.json"), "{}").unwrap();
    let error = fixture.mount("sample").unwrap_err();
    assert!(matches!(error, MountError::RealFiles { .. }), "{error}");
    let mut plan = fixture.plan("sample");
    plan.real_files = RealFiles::MoveAside;
    let outcome = mount(&plan, &fixture.run, &server_command("sample")).unwrap();
    let MountOutcome::Mounted { moved_aside, .. } = outcome else {
        panic!("{outcome:?}");
    };
    let moved = fs::read_to_string(moved_aside[0].join(".package-lock.json"));
    assert_eq!(moved.unwrap(), "{}");
    assert_eq!(walk(&root), tree("sample").expected);
}

#[test]
fn another_file_system_at_the_mountpoint_is_left_alone() {
    if !can_mount("another_file_system_at_the_mountpoint_is_left_alone") {
        return;
    }
    let fixture = Fixture::new();
    let root = fixture.root();
    fs::create_dir(&root).unwrap();
    let tmpfs = Command::new("mount")
        .args(["-t", "tmpfs", "none"])
        .arg(&root)
        .status();
    if !tmpfs.is_ok_and(|status| status.success()) {
        println!("skipped another_file_system_at_the_mountpoint_is_left_alone: cannot mount tmpfs");
        return;
    }
    let mounted = fixture.mount("sample").unwrap_err();
    let unmounted = fixture.unmount(UnmountRequest::Force).unwrap_err();
    let gone = Command::new("umount").arg(&root).status().unwrap();
    assert!(gone.success());
    for error in [mounted, unmounted] {
        assert!(matches!(error, MountError::OtherMount { .. }), "{error}");
    }
}

#[test]
fn a_moved_project_unmounts_where_it_is() {
    if !can_mount("a_moved_project_unmounts_where_it_is") {
        return;
    }
    let fixture = Fixture::mounted("sample");
    let project = fixture.root().parent().unwrap().to_owned();
    let moved = project.with_file_name("moved");
    fs::rename(&project, &moved).unwrap();
    let expected = tree("sample").expected;
    assert_eq!(walk(&moved.join("node_modules")), expected);
    let mountpoint = moved.join("node_modules");
    let unmounted = unmount(&mountpoint, &fixture.run, UnmountRequest::Strict, None);
    fs::rename(&moved, &project).unwrap();
    unmounted.unwrap();
}

#[test]
fn a_server_that_cannot_begin_says_why_and_leaves_no_mount() {
    if !can_mount("a_server_that_cannot_begin_says_why_and_leaves_no_mount") {
        return;
    }
    let fixture = Fixture::new();
    let mut plan = fixture.plan("sample");
    plan.mounts[0].0 = 7;
    let error = mount(&plan, &fixture.run, &server_command("sample")).unwrap_err();
    assert!(matches!(&error, MountError::Server { message, .. } if message.contains("tree 7")));
    let plan = fixture.plan("sample");
    let bytes = fs::read(&plan.layer).unwrap();
    fs::write(&plan.layer, &bytes[..bytes.len() - 1]).unwrap();
    let error = mount(&plan, &fixture.run, &server_command("sample")).unwrap_err();
    assert!(matches!(&error, MountError::Server { message, .. } if message.contains("damaged")));
    let command = ServerCommand {
        program: "/bin/true".into(),
        leading_args: Vec::new(),
    };
    let error = mount(&fixture.plan("sample"), &fixture.run, &command).unwrap_err();
    assert!(matches!(error, MountError::Server { .. }), "{error}");
    assert_eq!(mountinfo::find(&fixture.root()).unwrap(), None);
}

#[test]
fn another_user_mounts_through_fusermount3() {
    let test = "another_user_mounts_through_fusermount3";
    if !can_mount(test) {
        return;
    }
    let Some(_open_to_all) = OpenDevice::to_everybody() else {
        println!("skipped {test}: needs root, setpriv and fusermount3");
        return;
    };
    let fixture = Fixture::new();
    let owned = Command::new("chown")
        .args(["-R", "nobody"])
        .arg(fixture.directory.path())
        .status();
    assert!(owned.unwrap().success());
    let walked = Command::new("setpriv")
        .args([
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "/usr/bin/env",
        ])
        .arg(format!(
            "{NOBODY_VARIABLE}={}",
            fixture.directory.path().display()
        ))
        .arg(std::env::current_exe().unwrap())
        .args(["mount::as_nobody", "--exact", "--nocapture"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&walked.stdout);
    let errors = String::from_utf8_lossy(&walked.stderr);
    assert!(walked.status.success(), "{text}{errors}");
    assert!(text.contains("the mount was used and taken away"), "{text}");
    assert_eq!(mountinfo::find(&fixture.root()).unwrap(), None);
}

/// Not a test but what the test above runs as another user.
#[test]
fn as_nobody() {
    let Some(directory) = std::env::var_os(NOBODY_VARIABLE) else {
        return;
    };
    let fixture = Fixture::at(Path::new(&directory));
    fixture.mount("sample").unwrap();
    let path = fixture.root();
    assert_eq!(walk(&path), tree("sample").expected);
    fs::write(path.join("a/package.json"), "mine").unwrap();
    fs::create_dir(path.join("new")).unwrap();
    fs::write(path.join("new/read-only"), "x").unwrap();
    let mode = fs::Permissions::from_mode(0o400);
    fs::set_permissions(path.join("new/read-only"), mode).unwrap();
    let error = fs::write(path.join("new/read-only"), "y").unwrap_err();
    assert_eq!(error.raw_os_error(), Some(13), "{error}");
    assert_eq!(fs::metadata(path.join("new")).unwrap().uid(), 65_534);
    assert_eq!(fs::read(path.join("a/package.json")).unwrap(), b"mine");
    fs::remove_dir_all(path.join("new")).unwrap();
    fs::remove_file(path.join("a/package.json")).unwrap();
    let held = File::open(path.join("a/lib/index.js")).unwrap();
    let error = fixture.unmount(UnmountRequest::Strict).unwrap_err();
    assert!(matches!(error, MountError::Busy { .. }), "{error}");
    drop(held);
    fixture.signal("-KILL");
    let mut expected = tree("sample").expected;
    expected.remove(".pnpm/a@1.0.0/node_modules/a/package.json");
    assert_eq!(walk(&path), expected);
    fixture.mount("changed").unwrap();
    let mut expected = tree("changed").expected;
    expected.remove(".pnpm/a@1.0.0/node_modules/a/package.json");
    assert_eq!(walk(&path), expected);
    fixture.unmount(UnmountRequest::Strict).unwrap();
    fixture.mount("sample").unwrap();
    fs::remove_dir_all(&path).unwrap();
    assert_eq!(mountinfo::find(&path).unwrap(), None);
    println!("the mount was used and taken away");
}

/// `/dev/fuse` for everybody while it lives.
struct OpenDevice(u32);

impl OpenDevice {
    fn to_everybody() -> Option<Self> {
        let found = |program: &str| {
            let mut which = Command::new("which");
            let found = which.arg(program).stdout(Stdio::null()).status();
            found.is_ok_and(|status| status.success())
        };
        if !found("setpriv") || !found("fusermount3") {
            return None;
        }
        let before = fs::metadata("/dev/fuse").ok()?.mode();
        fs::set_permissions("/dev/fuse", fs::Permissions::from_mode(0o666)).ok()?;
        Some(Self(before))
    }
}

impl Drop for OpenDevice {
    fn drop(&mut self) {
        let _ = fs::set_permissions("/dev/fuse", fs::Permissions::from_mode(self.0));
    }
}

#[test]
fn listings_make_files_known_once_somebody_asked_about_one() {
    if !can_mount("listings_make_files_known_once_somebody_asked_about_one") {
        return;
    }
    let fixture = Fixture::mounted("before");
    let list_and_look = |package: &str| {
        let folder = fixture.path(package);
        let names = fs::read_dir(&folder).unwrap().count();
        assert_eq!(names, 3);
        let lookups = || fixture.requests().get("lookup").copied().unwrap_or(0);
        let before = lookups();
        assert!(fs::metadata(folder.join("package.json")).unwrap().is_file());
        lookups() - before
    };
    assert_eq!(list_and_look("c"), 1);
    assert_eq!(list_and_look(".pnpm/b/node_modules/b"), 0);
}
