//! What happens to mounts, seen through the program: servers that die or hang, things in the way,
//! and requests that make no sense.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pacquet_test_registry::Package;
use serde_json::{Value, json};

use crate::project::{Killed, Project, can_mount};

fn project() -> Project {
    let manifest = json!({ "name": "app", "dependencies": { "left": "1.0.0" } });
    let left = Package::new("left", "1.0.0").file("index.js", "module.exports = 'left';\n");
    Project::locked(&manifest, &[left])
}

fn signal(pid: u64, name: &str) {
    let sent = Command::new("kill")
        .args([name, &pid.to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
}

fn server(project: &Project) -> u64 {
    project.status()["server_pid"].as_u64().unwrap()
}

fn supervisor(project: &Project) -> u64 {
    project.status()["supervisor_pid"].as_u64().unwrap()
}

fn wait_until(what: impl Fn() -> bool) {
    let began = Instant::now();
    while !what() {
        assert!(began.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_killed_server_is_replaced_at_once_and_status_counts_it() {
    if !can_mount("a_killed_server_is_replaced_at_once_and_status_counts_it") {
        return;
    }
    let project = project();
    project.install();
    let held = File::open(project.node_modules().join("left/index.js")).unwrap();
    let first = server(&project);
    assert_eq!(project.status()["restarts"], 0);
    signal(first, "-KILL");
    let absent = fs::metadata(project.node_modules().join("absent")).unwrap_err();
    assert_eq!(absent.kind(), std::io::ErrorKind::NotFound);
    while server(&project) == first {
        std::thread::yield_now();
    }
    let status = project.status();
    assert_eq!(status["health"], "healthy");
    assert_eq!(status["restarts"], 1);
    let text = project.succeed(&["status"]);
    assert!(text.contains("replaced 1 times"), "{text}");
    drop(held);
}

/// As `flock` leaves its lock with what it runs.
#[test]
fn what_a_caller_has_open_is_not_kept_open_by_the_mount() {
    if !can_mount("what_a_caller_has_open_is_not_kept_open_by_the_mount") {
        return;
    }
    let project = project();
    let held = project.path("held");
    fs::write(&held, "").unwrap();
    let script = format!(
        "exec 9<'{}' && exec \"$0\" install --virtual",
        held.display()
    );
    let mut command = project.command_through("sh", &["-c", &script]);
    let installed = command.output().unwrap();
    assert!(installed.status.success(), "{installed:?}");
    for pid in [supervisor(&project), server(&project)] {
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
        let mut files = descriptors.flatten().map(|one| fs::read_link(one.path()));
        assert!(files.all(|file| file.is_ok_and(|file| file != held)));
    }
}

#[test]
fn the_next_install_repairs_what_lost_its_supervisor_or_both_processes() {
    if !can_mount("the_next_install_repairs_what_lost_its_supervisor_or_both_processes") {
        return;
    }
    let project = project();
    project.install();
    let held = File::open(project.node_modules().join("left/index.js")).unwrap();
    signal(supervisor(&project), "-KILL");
    while project.status()["health"] != "orphaned" {
        std::thread::yield_now();
    }
    let text = project.succeed(&["status"]);
    assert!(
        text.contains("orphaned") && text.contains("hint:"),
        "{text}"
    );
    project.install();
    assert_eq!(project.status()["health"], "healthy");
    for pid in [supervisor(&project), server(&project)] {
        signal(pid, "-KILL");
    }
    while project.status()["health"] != "dead" {
        std::thread::yield_now();
    }
    let text = project.succeed(&["status"]);
    assert!(text.contains("dead") && text.contains("hint:"), "{text}");
    project.install();
    assert_eq!(project.status()["health"], "healthy");
    assert!(fs::read(project.node_modules().join("left/index.js")).is_ok());
    drop(held);
}

#[test]
fn a_mount_that_died_is_mounted_from_the_store_that_it_was_installed_with() {
    if !can_mount("a_mount_that_died_is_mounted_from_the_store_that_it_was_installed_with") {
        return;
    }
    let project = project();
    let store = project.path("another store");
    project.succeed(&[
        "install",
        "--virtual",
        "--store-dir",
        &store.to_string_lossy(),
    ]);
    for pid in [supervisor(&project), server(&project)] {
        signal(pid, "-KILL");
    }
    while project.status()["health"] != "dead" {
        std::thread::yield_now();
    }
    project.succeed(&["mount"]);
    let status = project.status();
    assert_eq!(status["health"], "healthy");
    assert_eq!(status["store"].as_str(), store.to_str());
    assert!(fs::read(project.node_modules().join("left/index.js")).is_ok());
    project.unmount();
    project.succeed(&["mount"]);
    assert_eq!(project.status()["store"].as_str(), store.to_str());
}

#[test]
fn a_stopped_server_is_told_of_and_can_be_cut_off() {
    if !can_mount("a_stopped_server_is_told_of_and_can_be_cut_off") {
        return;
    }
    let project = project();
    project.install();
    let pid = server(&project);
    signal(pid, "-STOP");
    assert_eq!(project.status()["health"], "hung");
    let absent = project.node_modules().join("absent");
    let looking = std::thread::spawn(move || fs::metadata(absent).unwrap_err());
    let said = project.fail(&["unmount"]);
    assert!(
        said.contains("ERR_PACQUET_SERVER_HUNG") && said.contains("--force"),
        "{said}"
    );
    project.succeed(&["unmount", "--force"]);
    assert!(!project.is_mounted());
    looking.join().unwrap();
    project.install();
    assert_ne!(server(&project), pid);
}

#[test]
fn a_mount_in_use_is_not_taken_away_and_its_users_are_named() {
    if !can_mount("a_mount_in_use_is_not_taken_away_and_its_users_are_named") {
        return;
    }
    let project = project();
    project.install();
    let inside = project.node_modules().join("left");
    let child = Command::new("sleep")
        .arg("60")
        .current_dir(&inside)
        .stdin(Stdio::null())
        .spawn();
    let child = Killed(child.unwrap());
    let said = project.fail(&["unmount"]);
    assert!(said.contains("ERR_PACQUET_MOUNT_BUSY"), "{said}");
    assert!(
        said.contains(&child.0.id().to_string()) && said.contains("sleep"),
        "{said}"
    );
    assert!(project.is_mounted());
    project.succeed(&["unmount", "--lazy"]);
    assert!(!project.is_mounted());
}

#[test]
fn mounting_twice_keeps_the_server() {
    if !can_mount("mounting_twice_keeps_the_server") {
        return;
    }
    let project = project();
    // Without --ignore-scripts, which `mount` does not take and which decides on a state file.
    let install = || project.succeed(&["install", "--virtual", "--frozen-lockfile"]);
    install();
    let first = server(&project);
    let said = install();
    assert!(
        said.contains("Already up to date") || said.is_empty(),
        "{said}"
    );
    project.succeed(&["mount"]);
    assert_eq!(server(&project), first);
    project.unmount();
    assert!(
        project
            .fail(&["unmount"])
            .contains("ERR_PACQUET_NOT_MOUNTED")
    );
}

#[test]
fn a_mounted_tree_that_was_removed_is_restored_by_the_next_install() {
    if !can_mount("a_mounted_tree_that_was_removed_is_restored_by_the_next_install") {
        return;
    }
    let project = project();
    let install = || project.succeed(&["install", "--virtual", "--frozen-lockfile"]);
    install();
    let names = || {
        let entries = fs::read_dir(project.node_modules()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name());
        names.collect::<std::collections::BTreeSet<_>>()
    };
    let before = names();
    let inside = project.node_modules().join("left");
    let child = Command::new("sleep")
        .arg("60")
        .current_dir(&inside)
        .stdin(Stdio::null())
        .spawn();
    let _child = Killed(child.unwrap());
    // The mountpoint stays where it is emptied from within.
    let emptied = Command::new("find")
        .args([".", "-mindepth", "1", "-delete"])
        .current_dir(project.node_modules())
        .status();
    assert!(emptied.unwrap().success() && names().is_empty());
    install();
    assert_eq!(names(), before);
    assert!(fs::read_dir(&inside).unwrap().count() > 0);
    // Without a package alone it is as it was left, here as in real files.
    fs::remove_file(&inside).unwrap();
    install();
    assert!(fs::symlink_metadata(&inside).is_err());
    project.unmount();
}

#[test]
fn what_is_no_empty_directory_is_refused_and_stays() {
    if !can_mount("what_is_no_empty_directory_is_refused_and_stays") {
        return;
    }
    let project = project();
    let modules = project.node_modules();
    let outside = project.path("outside");
    fs::create_dir(&outside).unwrap();
    symlink(&outside, &modules).unwrap();
    for force in [false, true] {
        let flags: &[&str] = if force { &["--force"] } else { &[] };
        let arguments = [&["install", "--virtual", "--ignore-scripts"], flags].concat();
        let said = project.fail(&arguments);
        assert!(said.contains("ERR_PACQUET_MOUNTPOINT_SYMLINK"), "{said}");
    }
    assert_eq!(fs::read_link(&modules).unwrap(), outside);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    fs::remove_file(&modules).unwrap();
    symlink(project.path("nowhere"), &modules).unwrap();
    assert!(project.refuse().contains("ERR_PACQUET_MOUNTPOINT_SYMLINK"));
    fs::remove_file(&modules).unwrap();
    fs::write(&modules, "a file").unwrap();
    assert!(
        project
            .refuse()
            .contains("ERR_PACQUET_MOUNTPOINT_NOT_DIRECTORY")
    );
    assert_eq!(fs::read_to_string(&modules).unwrap(), "a file");
    fs::remove_file(&modules).unwrap();
    project.write("node_modules/npm/index.js", "1");
    project.write("node_modules/.package-lock.json", "{}");
    let said = project.refuse();
    assert!(
        said.contains("ERR_PACQUET_MOUNTPOINT_REAL_FILES") && said.contains("npm"),
        "{said}"
    );
    assert!(modules.join("npm/index.js").exists());
}

#[test]
fn another_file_system_in_the_way_is_left_alone() {
    if !can_mount("another_file_system_in_the_way_is_left_alone") {
        return;
    }
    let project = project();
    let modules = project.node_modules();
    fs::create_dir(&modules).unwrap();
    let done = Command::new("mount")
        .args(["-t", "tmpfs", "none"])
        .arg(&modules)
        .status();
    if !done.is_ok_and(|status| status.success()) {
        eprintln!("skipped: another_file_system_in_the_way_is_left_alone: no mount(8)");
        return;
    }
    let arguments = ["install", "--virtual", "--ignore-scripts"];
    let said = project.fail(&arguments);
    assert!(said.contains("ERR_PACQUET_MOUNTPOINT_TAKEN"), "{said}");
    let said = project.fail(&["unmount"]);
    assert!(said.contains("ERR_PACQUET_"), "{said}");
    assert!(project.is_mounted(), "the tmpfs is still there");
}

#[test]
fn a_project_that_was_moved_is_served_where_it_is_and_can_be_unmounted() {
    if !can_mount("a_project_that_was_moved_is_served_where_it_is_and_can_be_unmounted") {
        return;
    }
    let project = project();
    project.install();
    let moved = project.path("moved");
    fs::rename(project.root(), &moved).unwrap();
    assert!(fs::read(moved.join("node_modules/left/index.js")).is_ok());
    let directory = moved.to_str().unwrap();
    let run = |arguments: &[&str]| {
        let mut command = project.command(&[arguments, &["--dir", directory]].concat());
        command.current_dir(&moved).output().unwrap()
    };
    let output = run(&["install", "--virtual", "--ignore-scripts"]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(fs::read(moved.join("node_modules/left/index.js")).is_ok());
    // What is served stays served, and nothing at the old place is this project's.
    let is_served = || {
        let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
        table.contains(&format!("{directory}/node_modules "))
    };
    let output = run(&["install", "--ignore-scripts"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && is_served(), "{said}");
    assert!(
        said.contains("served") || said.contains("up to date"),
        "{said}"
    );
    fs::create_dir(project.root()).unwrap();
    for name in ["package.json", "pnpm-lock.yaml"] {
        fs::copy(moved.join(name), project.root().join(name)).unwrap();
    }
    let said = project.fail(&["unmount"]);
    assert!(
        said.contains("ERR_PACQUET_NOT_MOUNTED") && is_served(),
        "{said}"
    );
    let output = run(&["unmount"]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!table.contains(&format!("{directory}/")), "{table}");
}

/// What `status` says of what is mounted below `directory`.
fn status_below(project: &Project, directory: &Path) -> Value {
    let said = project.succeed(&["status", "--json"]);
    let mounts: Vec<Value> = serde_json::from_str(&said).unwrap();
    let mut mounts = mounts.into_iter();
    let found = mounts.find(|mount| {
        let place = mount["mountpoint"].as_str().unwrap();
        Path::new(place).starts_with(directory)
    });
    found.unwrap_or_else(|| panic!("nothing is mounted in {}", directory.display()))
}

#[test]
fn a_project_in_the_place_of_one_that_was_moved_leaves_that_one_its_server() {
    if !can_mount("a_project_in_the_place_of_one_that_was_moved_leaves_that_one_its_server") {
        return;
    }
    let project = project();
    project.install();
    let moved = project.path("moved");
    fs::rename(project.root(), &moved).unwrap();
    fs::create_dir(project.root()).unwrap();
    for name in ["package.json", "pnpm-lock.yaml"] {
        fs::copy(moved.join(name), project.root().join(name)).unwrap();
    }
    project.install();
    let both = [moved.clone(), project.root()];
    let of = |directory: &Path, what: &str| status_below(&project, directory)[what].clone();
    let in_moved = |arguments: &[&str]| {
        let mut command = project.command(arguments);
        let output = command.current_dir(&moved).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
    };
    for directory in &both {
        assert_eq!(of(directory, "health"), "healthy");
        signal(of(directory, "server_pid").as_u64().unwrap(), "-KILL");
        wait_until(|| of(directory, "restarts") == 1);
    }
    // One that was moved and has lost its supervisor gets another.
    let lost = of(&moved, "supervisor_pid");
    signal(lost.as_u64().unwrap(), "-KILL");
    wait_until(|| of(&moved, "health") == "orphaned");
    in_moved(&["install", "--virtual", "--ignore-scripts"]);
    assert_eq!(of(&moved, "health"), "healthy");
    assert_ne!(of(&moved, "supervisor_pid"), lost);
    for directory in &both {
        let content = fs::read(directory.join("node_modules/left/index.js"));
        assert_eq!(content.unwrap(), b"module.exports = 'left';\n");
    }
    in_moved(&["unmount"]);
    assert_eq!(of(&project.root(), "health"), "healthy");
    project.unmount();
    let left: Vec<_> = fs::read_dir(project.path("run/pacquet"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        // What servers had to say of their end.
        .filter(|path| path.extension().is_none_or(|ending| ending != "log"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_machine_without_fuse_is_told_what_is_missing() {
    if !can_mount("a_machine_without_fuse_is_told_what_is_missing") {
        return;
    }
    let project = project();
    let script = "mount -t tmpfs none /dev && exec \"$0\" install --virtual --ignore-scripts";
    let mut command = project.command_through("unshare", &["--mount", "sh", "-c", script]);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("unshare") {
        eprintln!("skipped: a_machine_without_fuse_is_told_what_is_missing: {said}");
        return;
    }
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("ERR_PACQUET_NO_FUSE") && said.contains("/dev/fuse"),
        "{said}"
    );
    assert!(!project.is_mounted());
}

#[test]
fn a_server_leaves_a_mount_namespace_when_everybody_else_has() {
    if !can_mount("a_server_leaves_a_mount_namespace_when_everybody_else_has") {
        return;
    }
    let project = project();
    // Who stays for longer than it takes to look keeps it.
    let script = "\"$0\" install --virtual --ignore-scripts && sleep 7 && cat node_modules/left/*";
    let mut command = project.command_through("unshare", &["--mount", "sh", "-c", script]);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("unshare") {
        eprintln!("skipped: a_server_leaves_a_mount_namespace_when_everybody_else_has: {said}");
        return;
    }
    assert!(output.status.success(), "{said}");
    assert!(!project.is_mounted());
    let states = || {
        let entries = fs::read_dir(project.path("run/pacquet")).unwrap();
        let mut names = entries.map(|entry| entry.unwrap().path());
        names.any(|name| name.extension().is_some_and(|name| name == "json"))
    };
    assert!(states());
    let began = Instant::now();
    while states() {
        assert!(began.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(50));
    }
    project.install();
    assert!(project.is_mounted());
}

#[test]
fn requests_that_make_no_sense_do_not_end_the_server() {
    if !can_mount("requests_that_make_no_sense_do_not_end_the_server") {
        return;
    }
    let project = project();
    project.install();
    let pid = server(&project);
    let modules = project.node_modules();
    for (bytes, code) in [(256, libc::ENAMETOOLONG), (255, libc::ENOENT)] {
        let error = fs::metadata(modules.join("n".repeat(bytes))).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(code), "{bytes}");
    }
    let deep = modules.join("d/".repeat(2100));
    assert!(fs::metadata(deep).is_err());
    let file = File::open(modules.join("left/index.js")).unwrap();
    let mut buffer = vec![0; 16 << 20];
    let length = file.read_at(&mut buffer, 0).unwrap();
    assert_eq!(&buffer[..length], b"module.exports = 'left';\n");
    for offset in [1 << 40, i64::MAX as u64 - (32 << 20)] {
        assert_eq!(file.read_at(&mut buffer, offset).unwrap(), 0, "{offset}");
    }
    assert!(
        file.read_at(&mut buffer, u64::MAX >> 1)
            .map_or(true, |length| length == 0)
    );
    assert_eq!(file.read_at(&mut [], 3).unwrap(), 0);
    assert!(fs::read_dir(modules.join("left/index.js")).is_err());
    assert_eq!(server(&project), pid);
    assert_eq!(project.status()["health"], "healthy");
}

#[test]
fn a_mount_that_is_shown_elsewhere_too_is_unmounted_everywhere() {
    if !can_mount("a_mount_that_is_shown_elsewhere_too_is_unmounted_everywhere") {
        return;
    }
    let project = project();
    let other = project.path("other");
    fs::create_dir(&other).unwrap();
    for ends in [["unmount"].as_slice(), &["unmount", "--lazy"]] {
        project.install();
        let bound = Command::new("mount")
            .arg("--bind")
            .args([&project.node_modules(), &other])
            .status();
        if !bound.is_ok_and(|status| status.success()) {
            eprintln!("skipped: this user may not make bind mounts");
            return;
        }
        let server = server(&project);
        project.succeed(ends);
        assert!(!project.is_mounted());
        for directory in [&project.node_modules(), &other] {
            assert_eq!(fs::read_dir(directory).unwrap().count(), 0, "{ends:?}");
        }
        while Path::new(&format!("/proc/{server}")).exists() {
            std::thread::yield_now();
        }
    }
}

#[test]
fn a_directory_is_served_once_however_it_is_reached() {
    if !can_mount("a_directory_is_served_once_however_it_is_reached") {
        return;
    }
    let project = project();
    project.install();
    let other = project.path("other");
    fs::create_dir(&other).unwrap();
    let bound = Command::new("mount")
        .arg("--bind")
        .args([&project.root(), &other])
        .status();
    if !bound.is_ok_and(|status| status.success()) {
        eprintln!("skipped: this user may not make bind mounts");
        return;
    }
    // There, nothing is mounted on the same directory.
    assert_eq!(fs::read_dir(other.join("node_modules")).unwrap().count(), 0);
    let directory = other.to_str().unwrap();
    let elsewhere = [
        "install",
        "--virtual",
        "--ignore-scripts",
        "--dir",
        directory,
    ];
    let said = project.fail(&elsewhere);
    assert!(said.contains("ERR_PACQUET_SERVER"), "{said}");
    assert!(said.contains("served already"), "{said}");
    let ends = format!("end process {}", supervisor(&project));
    assert!(said.contains(&ends), "{said}");
    assert_eq!(fs::read_dir(other.join("node_modules")).unwrap().count(), 0);
    wait_until(|| project.status()["health"] == "healthy");
    // When its supervisor is gone, the server still has it.
    signal(supervisor(&project), "-KILL");
    project.fail(&elsewhere);
    project.install();
    project.fail(&elsewhere);
    project.unmount();
    project.succeed(&elsewhere);
    project.succeed(&["unmount", "--dir", directory]);
    // The server that has just been told to end may still have it open.
    wait_until(|| {
        let unbound = Command::new("umount").arg(&other).status();
        unbound.unwrap().success()
    });
}
