//! Creating, removing and renaming.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, symlink};
use std::process::Command;

use pacquet::fs::mount::UnmountRequest;
use pacquet::limits::PATH_BYTES_MAX;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::mount_fixture::{Fixture, can_mount, walk};

#[test]
fn everything_can_be_removed_and_made_again() {
    if !can_mount("everything_can_be_removed_and_made_again") {
        return;
    }
    let fixture = Fixture::mounted("sample");
    let entries: Vec<_> = fs::read_dir(fixture.root()).unwrap().collect();
    // An empty root would lose its mount.
    fs::write(fixture.path("kept"), "").unwrap();
    for entry in entries {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            fs::remove_dir_all(entry.path()).unwrap();
        } else {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    assert_eq!(walk(&fixture.root()).len(), 1);
    let package = fixture.path(".pnpm/a@1.0.0/node_modules/a");
    assert_eq!(
        fs::metadata(&package).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    fs::create_dir_all(package.join("lib")).unwrap();
    assert_eq!(fs::read_dir(&package).unwrap().count(), 1);
    fs::write(package.join("lib/index.js"), "mine").unwrap();
    symlink(".pnpm/a@1.0.0/node_modules/a", fixture.path("a")).unwrap();
    assert_eq!(fs::read(fixture.path("a/lib/index.js")).unwrap(), b"mine");
    let after = walk(&fixture.root());
    fixture.unmount(UnmountRequest::Strict).unwrap();
    fixture.mount("sample").unwrap();
    assert_eq!(walk(&fixture.root()), after);
}

#[test]
fn files_directories_and_packages_are_renamed() {
    if !can_mount("files_directories_and_packages_are_renamed") {
        return;
    }
    let fixture = Fixture::mounted("sample");
    let package = ".pnpm/a@1.0.0/node_modules/a";
    let whole = walk(&fixture.path(package));
    let inode = |path: &str| fs::symlink_metadata(fixture.path(path)).unwrap().ino();
    let before = (inode(package), inode("a/lib"), inode("a/lib/index.js"));
    // As npm does it: the old package aside, the new one into its place.
    let aside = ".pnpm/a@1.0.0/node_modules/.a-x1";
    fs::rename(fixture.path(package), fixture.path(aside)).unwrap();
    assert!(!fixture.path(package).exists());
    assert_eq!(walk(&fixture.path(aside)), whole);
    let moved = (
        inode(aside),
        inode(&format!("{aside}/lib")),
        inode(&format!("{aside}/lib/index.js")),
    );
    assert_eq!(moved, before);
    fs::create_dir(fixture.path(package)).unwrap();
    fs::write(fixture.path("a/package.json"), "{}").unwrap();
    fs::write(
        fixture.path(aside).join("lib/index.js"),
        "moved and written",
    )
    .unwrap();
    fs::remove_file(fixture.path(aside).join("package.json")).unwrap();
    fs::rename(fixture.path(aside).join("bin"), fixture.path("bin")).unwrap();
    let file = fixture.path("a/renamed");
    fs::rename(fixture.path(aside).join("lib/deep/er/empty"), &file).unwrap();
    fs::rename(&file, fixture.path("a/package.json")).unwrap();
    let after = walk(&fixture.root());
    assert_eq!(fs::read(fixture.path("a/package.json")).unwrap(), b"");
    fixture.unmount(UnmountRequest::Strict).unwrap();
    fixture.mount("sample").unwrap();
    assert_eq!(walk(&fixture.root()), after);
    assert_eq!(inode(aside), before.0);
    fs::remove_dir_all(fixture.path(aside)).unwrap();
    fs::remove_dir_all(fixture.path(package)).unwrap();
}

#[test]
fn a_directory_takes_only_the_place_of_an_empty_one() {
    if !can_mount("a_directory_takes_only_the_place_of_an_empty_one") {
        return;
    }
    let fixture = Fixture::mounted("sample");
    let refused = fs::rename(fixture.path("a/bin"), fixture.path("a/lib")).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::DirectoryNotEmpty);
    let refused = fs::remove_dir(fixture.path("a/lib")).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::DirectoryNotEmpty);
    let lib = walk(&fixture.path("a/lib"));
    fs::create_dir(fixture.path("a/empty")).unwrap();
    fs::rename(fixture.path("a/lib"), fixture.path("a/empty")).unwrap();
    assert_eq!(walk(&fixture.path("a/empty")), lib);
    fs::remove_file(fixture.path("a/bin/cat")).unwrap();
    fs::rename(fixture.path("a/empty"), fixture.path("a/bin")).unwrap();
    assert_eq!(walk(&fixture.path("a/bin")), lib);
    let within = fs::rename(fixture.path("a/bin"), fixture.path("a/bin/deep/x")).unwrap_err();
    assert_eq!(within.kind(), ErrorKind::InvalidInput);
}

#[test]
fn a_listing_names_the_directory_above() {
    if !can_mount("a_listing_names_the_directory_above") {
        return;
    }
    let fixture = Fixture::mounted("sample");
    let inode = |path: &str| fs::symlink_metadata(fixture.path(path)).unwrap().ino();
    let dots = |path: &str| {
        let directory = fs::File::open(fixture.path(path)).unwrap();
        let entries = rustix::fs::Dir::read_from(&directory).unwrap();
        let dots = entries.map(Result::unwrap).take(2);
        let dots = dots.map(|entry| (entry.file_name().to_bytes().to_vec(), entry.ino()));
        dots.collect::<Vec<_>>()
    };
    let check = |above: &str, path: &str| {
        let expected = [(b".".to_vec(), inode(path)), (b"..".to_vec(), inode(above))];
        assert_eq!(dots(path), expected, "{path}");
    };
    let package = ".pnpm/a@1.0.0/node_modules/a";
    let lib = format!("{package}/lib");
    check(package, &lib);
    fs::create_dir_all(fixture.path("made/in")).unwrap();
    check("", "made");
    check("made", "made/in");
    fs::rename(fixture.path(&lib), fixture.path("made/lib")).unwrap();
    fs::rename(fixture.path("made/in"), fixture.path("a/in")).unwrap();
    check("made", "made/lib");
    check("made/lib", "made/lib/deep");
    check(package, &format!("{package}/in"));
    let [_, (_, above)] = dots("").try_into().unwrap();
    assert_eq!(above, inode(""));
}

#[test]
fn the_private_directory_is_nobodys() {
    if !can_mount("the_private_directory_is_nobodys") {
        return;
    }
    let fixture = Fixture::mounted("sample");
    fs::write(fixture.path("x"), "").unwrap();
    let private = fixture.path(".pacquet");
    assert_eq!(
        fs::metadata(&private).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    for refused in [
        fs::create_dir(&private),
        fs::write(&private, ""),
        fs::rename(fixture.path("x"), &private),
    ] {
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::PermissionDenied);
    }
}

#[test]
fn a_journal_that_grew_is_written_anew() {
    if !can_mount("a_journal_that_grew_is_written_anew") {
        return;
    }
    let fixture = Fixture::mounted("wide");
    fs::create_dir(fixture.path("kept")).unwrap();
    for entry in fs::read_dir(fixture.path("p")).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    fs::remove_dir(fixture.path("p")).unwrap();
    fs::create_dir(fixture.path("p")).unwrap();
    fixture.unmount(UnmountRequest::Strict).unwrap();
    let journal = fixture.path(".pacquet/journal");
    let grown = fs::metadata(&journal).unwrap().len();
    assert!(grown > 256 << 10, "{grown}");
    fixture.mount("wide").unwrap();
    assert_eq!(walk(&fixture.root()).len(), 2);
    fixture.unmount(UnmountRequest::Strict).unwrap();
    let shortened = fs::metadata(&journal).unwrap().len();
    assert!(shortened < 1000, "{shortened}");
}

#[test]
fn nothing_is_linked_or_renamed_across_the_border_of_the_mount() {
    if !can_mount("nothing_is_linked_or_renamed_across_the_border_of_the_mount") {
        return;
    }
    let fixture = Fixture::mounted("sample");
    let file = fixture.path("a/lib/index.js");
    let outside = fixture.root().with_file_name("outside");
    for refused in [fs::hard_link(&file, &outside), fs::rename(&file, &outside)] {
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::CrossesDevices);
    }
    assert!(file.exists() && !outside.exists());
    // What a program does then.
    let moved = Command::new("mv").arg(&file).arg(&outside).status();
    assert!(moved.unwrap().success());
    assert_eq!(fs::read(&outside).unwrap(), b"module.exports = 1\n");
    assert!(!file.exists());
    fs::remove_file(&outside).unwrap();
}

#[test]
fn what_is_written_has_paths_as_long_as_those_that_can_be_given() {
    if !can_mount("what_is_written_has_paths_as_long_as_those_that_can_be_given") {
        return;
    }
    let fixture = Fixture::mounted("sample");
    let name = "d".repeat(200);
    let flags = OFlags::DIRECTORY | OFlags::RDONLY;
    let mut at = rustix::fs::open(fixture.root(), flags, Mode::empty()).unwrap();
    let mut path = 0;
    let refused = loop {
        if let Err(refused) = rustix::fs::mkdirat(&at, &name, Mode::from(0o755)) {
            break refused;
        }
        path += name.len() + 1;
        assert!(path < 3 * PATH_BYTES_MAX, "it has to end");
        at = rustix::fs::openat(&at, &name, flags, Mode::empty()).unwrap();
    };
    assert_eq!(refused, Errno::NAMETOOLONG);
    assert!(path + 2 * (name.len() + 1) > PATH_BYTES_MAX, "{path}");
    // The server is still there, and it all goes again.
    drop(at);
    fs::remove_dir_all(fixture.path(&name)).unwrap();
    assert!(!fixture.path(&name).exists());
}
