//! What modes allow, and what it costs to find out.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use pacquet::fs::mount::UnmountRequest;
use rustix::fs::{Access, access};
use rustix::io::Errno;

use crate::mount_fixture::{Fixture, can_mount};

const MODES: [u32; 6] = [0o000, 0o111, 0o222, 0o444, 0o644, 0o755];

/// What access(2), open(2) and execve(2) say of a file and a directory of each mode in `directory`.
fn answers(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for mode in MODES {
        let (file, below) = (directory.join("file"), directory.join("below"));
        fs::write(&file, "#!/bin/sh\n").unwrap();
        fs::create_dir(&below).unwrap();
        for path in [&file, &below] {
            fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
            for wanted in [
                Access::EXISTS,
                Access::READ_OK,
                Access::WRITE_OK,
                Access::EXEC_OK,
                Access::READ_OK | Access::EXEC_OK,
            ] {
                let answer: Result<(), Errno> = access(path, wanted);
                found.push(format!("{mode:o} {wanted:?} {answer:?}"));
            }
        }
        let runs = Command::new(&file).status().map(|status| status.success());
        let reads = fs::read(&file).map(|bytes| bytes.len());
        let lists = fs::read_dir(&below).map(Iterator::count);
        let enters = Command::new("true").current_dir(&below).status();
        for answer in [
            runs.map(usize::from),
            reads,
            lists,
            enters.map(|status| usize::from(status.success())),
        ] {
            let answer = answer.map_err(|error| error.kind());
            found.push(format!("{mode:o} {answer:?}"));
        }
        fs::remove_file(&file).unwrap();
        fs::remove_dir(&below).unwrap();
    }
    found
}

#[test]
fn modes_allow_what_they_do_in_a_real_directory() {
    if !can_mount("modes_allow_what_they_do_in_a_real_directory") {
        return;
    }
    let fixture = Fixture::mounted("sample");
    let real = fixture.directory.path().join("real");
    fs::create_dir(&real).unwrap();
    let package = fixture.path(".pnpm/a@1.0.0/node_modules/a");
    assert_eq!(answers(&package), answers(&real));
    let installed = |path: &str| access(package.join(path), Access::EXEC_OK);
    assert_eq!(installed("package.json"), Err(Errno::ACCESS));
    assert_eq!(installed("lib"), Ok(()));
    fixture.unmount(UnmountRequest::Strict).unwrap();
}

#[test]
fn nobody_asks_whether_root_may_go_on_changing_a_directory() {
    const FILES: u64 = 40;
    if !can_mount("nobody_asks_whether_root_may_go_on_changing_a_directory") {
        return;
    }
    let fixture = Fixture::mounted("sample");
    let asked = || fixture.requests().get("getattr").copied().unwrap_or(0);
    let before = asked();
    for number in 0..FILES {
        fs::write(fixture.path("a").join(number.to_string()), "").unwrap();
    }
    for number in 0..FILES {
        fs::remove_file(fixture.path("a").join(number.to_string())).unwrap();
    }
    let is_root = rustix::process::getuid().is_root();
    assert!(
        !is_root || asked() - before < FILES / 4,
        "{} were asked for",
        asked() - before
    );
    fixture.unmount(UnmountRequest::Strict).unwrap();
}
