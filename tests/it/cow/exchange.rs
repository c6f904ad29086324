//! Two names that change places.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use pacquet::fs::mount::UnmountRequest;
use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::mount_fixture::{Fixture, can_mount, walk};

/// Something of each kind: as it was installed, copied up, and made.
const NAMES: &[&str] = &[
    "a",
    ".modules.yaml",
    "a/lib",
    "a/lib/deep/er/empty",
    "a/bin",
    "a/bin/cat",
    "a/package.json",
    "a/node_modules/.bin/tool",
    "made",
    "made/in",
    "made/in/file",
    "made/link",
    "file",
    ".pnpm/b@2.0.0_a@1.0.0",
    "dangling",
];

fn exchange(root: &Path, one: &str, other: &str) -> io::Result<()> {
    let (one, other) = (root.join(one), root.join(other));
    Ok(renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)?)
}

fn write(root: &Path) {
    fs::create_dir_all(root.join("made/in")).unwrap();
    fs::write(root.join("made/in/file"), "in").unwrap();
    fs::write(root.join("file"), "made").unwrap();
    symlink("../a", root.join("made/link")).unwrap();
    fs::write(root.join("a/bin/more"), "copied up").unwrap();
    fs::write(root.join("a/package.json"), "copied up").unwrap();
    fs::remove_file(root.join("a/node_modules/bundled/index.js")).unwrap();
}

#[test]
fn any_two_names_change_places_as_in_a_real_directory() {
    if !can_mount("any_two_names_change_places_as_in_a_real_directory") {
        return;
    }
    let fixture = Fixture::mounted("sample");
    let real = fixture.directory.path().join("real");
    super::model::copy(&real, &walk(&fixture.root()));
    for root in [&fixture.root(), &real] {
        write(root);
    }
    let inode = |path: &str| fs::symlink_metadata(fixture.path(path)).map(|found| found.ino());
    for (round, (one, other)) in pairs().enumerate() {
        let before = (inode(one).ok(), inode(other).ok());
        let found = exchange(&fixture.root(), one, other).map_err(|error| error.raw_os_error());
        let expected = exchange(&real, one, other).map_err(|error| error.raw_os_error());
        assert_eq!(found, expected, "{one}, {other}");
        if found.is_ok() && !one.contains('/') && !other.contains('/') {
            assert_eq!(
                (inode(other).ok(), inode(one).ok()),
                before,
                "{one}, {other}"
            );
        }
        if round % 16 == 0 {
            fixture.signal("-KILL");
        }
        if round % 8 == 0 {
            assert_eq!(walk(&fixture.root()), walk(&real), "{one}, {other}");
        }
    }
    assert_eq!(walk(&fixture.root()), walk(&real));
    fixture.unmount(UnmountRequest::Strict).unwrap();
    fixture.mount("sample").unwrap();
    assert_eq!(walk(&fixture.root()), walk(&real));
}

fn pairs() -> impl Iterator<Item = (&'static str, &'static str)> {
    let of = |one: &'static str| NAMES.iter().map(move |other| (one, *other));
    NAMES.iter().flat_map(move |one| of(one))
}

#[test]
fn what_is_open_or_entered_goes_along_with_an_exchanged_name() {
    if !can_mount("what_is_open_or_entered_goes_along_with_an_exchanged_name") {
        return;
    }
    let fixture = Fixture::mounted("sample");
    let root = fixture.root();
    fs::create_dir(fixture.path("made")).unwrap();
    let directory = File::open(fixture.path("a/lib")).unwrap();
    let mut file = File::open(fixture.path("a/lib/index.js")).unwrap();
    let time = |path: &str| fs::metadata(fixture.path(path)).unwrap().mtime();
    let before = time("a");
    exchange(&root, "a/lib", "made").unwrap();
    assert_ne!(time("a"), before);
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text, "module.exports = 1\n");
    let flags = rustix::fs::OFlags::CREATE | rustix::fs::OFlags::WRONLY;
    let mode = rustix::fs::Mode::from_raw_mode(0o644);
    rustix::fs::openat(&directory, "new", flags, mode).unwrap();
    assert!(fixture.path("made/new").exists() && fixture.path("made/index.js").exists());
    assert_eq!(fs::read_dir(fixture.path("a/lib")).unwrap().count(), 0);
    // What is under a name that an installed one had is no more what was installed there.
    fs::remove_dir(fixture.path("a/lib")).unwrap();
    assert!(!fixture.path("a/lib").exists());
}

#[test]
fn a_name_that_is_taken_is_not_replaced_where_that_is_asked_for() {
    if !can_mount("a_name_that_is_taken_is_not_replaced_where_that_is_asked_for") {
        return;
    }
    let fixture = Fixture::mounted("sample");
    let rename = |to: &str| {
        let (from, to) = (fixture.path("a/lib"), fixture.path(to));
        renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)
    };
    assert_eq!(rename("a/bin"), Err(rustix::io::Errno::EXIST));
    assert_eq!(rename("a/other"), Ok(()));
    assert!(fixture.path("a/other/index.js").exists());
    let private = exchange(&fixture.root(), "a", ".pacquet").unwrap_err();
    assert_eq!(private.kind(), io::ErrorKind::NotFound);
}
