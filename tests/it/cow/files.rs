//! What is in files, and what `stat` says of them.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, UNIX_EPOCH};

use pacquet::fs::mount::UnmountRequest;
use rustix::fs::{AtFlags, Timespec, Timestamps};

use crate::mount_fixture::{Fixture, can_mount, walk};

const INSTALLED: &str = ".pnpm/a@1.0.0/node_modules/a/lib/index.js";

#[test]
fn what_was_written_is_there_after_unmount_and_after_mounting_again() {
    if !can_mount("what_was_written_is_there_after_unmount_and_after_mounting_again") {
        return;
    }
    let fixture = Fixture::mounted("sample");
    let before = walk(&fixture.root());
    let inode = fs::metadata(fixture.path("a/lib/index.js")).unwrap().ino();
    fs::write(fixture.path("a/lib/index.js"), "changed").unwrap();
    fs::write(fixture.path("new"), "new").unwrap();
    fs::create_dir(fixture.path("a/made")).unwrap();
    fs::write(fixture.path("a/made/file"), "made").unwrap();
    fs::remove_file(fixture.path("a/package.json")).unwrap();
    fs::remove_file(fixture.path("dangling")).unwrap();
    let after = walk(&fixture.root());
    assert_ne!(after, before);
    assert_eq!(after.len(), before.len() + 3 - 2);
    let changed = fs::metadata(fixture.path("a/lib/index.js")).unwrap();
    assert_eq!(changed.ino(), inode);
    for _ in 0..2 {
        fixture.unmount(UnmountRequest::Strict).unwrap();
        let upper = fixture.root();
        assert_eq!(fs::read(upper.join(INSTALLED)).unwrap(), b"changed");
        assert_eq!(fs::read(upper.join("new")).unwrap(), b"new");
        assert!(!upper.join("a").exists());
        fixture.mount("sample").unwrap();
        assert_eq!(walk(&fixture.root()), after);
        let inode_again = fs::metadata(fixture.path("a/lib/index.js")).unwrap().ino();
        assert_eq!(inode_again, inode);
    }
}

#[test]
fn removing_the_unmounted_directory_resets_the_tree() {
    if !can_mount("removing_the_unmounted_directory_resets_the_tree") {
        return;
    }
    let fixture = Fixture::mounted("sample");
    let before = walk(&fixture.root());
    fs::write(fixture.path("a/lib/index.js"), "changed").unwrap();
    fs::remove_dir_all(fixture.path("@s")).unwrap();
    fixture.unmount(UnmountRequest::Strict).unwrap();
    fs::remove_dir_all(fixture.root()).unwrap();
    fixture.mount("sample").unwrap();
    assert_eq!(walk(&fixture.root()), before);
}

#[test]
fn a_tree_that_nobody_wrote_into_leaves_an_empty_directory() {
    if !can_mount("a_tree_that_nobody_wrote_into_leaves_an_empty_directory") {
        return;
    }
    let fixture = Fixture::mounted("sample");
    walk(&fixture.root());
    assert!(fs::remove_file(fixture.path("absent")).is_err());
    assert!(fs::create_dir(fixture.path("a")).is_err());
    fixture.unmount(UnmountRequest::Strict).unwrap();
    assert_eq!(fs::read_dir(fixture.root()).unwrap().count(), 0);
}

#[test]
fn installed_files_are_written_in_every_way() {
    if !can_mount("installed_files_are_written_in_every_way") {
        return;
    }
    let fixture = Fixture::mounted("sample");
    let file = fixture.path("a/lib/index.js");
    let mut append = OpenOptions::new().append(true).open(&file).unwrap();
    append.write_all(b"// end\n").unwrap();
    let content = b"module.exports = 1\n// end\n";
    assert_eq!(fs::read(&file).unwrap(), content);
    let both = OpenOptions::new().read(true).write(true).open(&file);
    let both = both.unwrap();
    both.write_all_at(b"MODULE", 0).unwrap();
    both.set_len(6).unwrap();
    assert_eq!(fs::read(&file).unwrap(), b"MODULE");
    both.set_len(8).unwrap();
    assert_eq!(fs::read(&file).unwrap(), b"MODULE\0\0");
    both.write_all_at(b"x", 10_000).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().len(), 10_001);
    drop(File::create(&file).unwrap());
    assert_eq!(fs::read(&file).unwrap(), b"");
    let package = fixture.path("a/package.json");
    OpenOptions::new()
        .write(true)
        .open(&package)
        .unwrap()
        .set_len(3)
        .unwrap();
    assert_eq!(fs::read(&package).unwrap(), b"{\"n");
    // What was opened before the first write sees it.
    let mut reader = File::open(fixture.path("a/bin/cat")).unwrap();
    let mut first = [0; 4];
    reader.read_exact(&mut first).unwrap();
    let writer = OpenOptions::new()
        .write(true)
        .open(fixture.path("a/bin/cat"))
        .unwrap();
    writer.write_all_at(b"XXXX", 0).unwrap();
    reader.seek(SeekFrom::Start(0)).unwrap();
    reader.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"XXXX");
}

#[test]
fn modes_and_times_of_installed_files_and_directories_change() {
    if !can_mount("modes_and_times_of_installed_files_and_directories_change") {
        return;
    }
    let fixture = Fixture::mounted("sample");
    let time = UNIX_EPOCH + Duration::new(1_600_000_000, 5);
    let above = || {
        let shown = fs::metadata(fixture.path(".pnpm/a@1.0.0")).unwrap();
        shown.mtime()
    };
    let installed = above();
    for path in ["a/lib/index.js", "a/lib", "a/bin/cat"] {
        let path = fixture.path(path);
        let content = fs::metadata(&path)
            .unwrap()
            .is_file()
            .then(|| fs::read(&path).unwrap());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        File::open(&path).unwrap().set_modified(time).unwrap();
        let metadata = fs::metadata(&path).unwrap();
        assert_eq!(metadata.mode() & 0o7777, 0o700);
        assert_eq!(metadata.modified().unwrap(), time);
        assert_eq!(
            metadata.is_file().then(|| fs::read(&path).unwrap()),
            content
        );
    }
    let made = fixture.path("a/made");
    fs::create_dir(&made).unwrap();
    assert_eq!(fs::metadata(&made).unwrap().nlink(), 2);
    fs::create_dir(made.join("inner")).unwrap();
    assert_eq!(fs::metadata(&made).unwrap().nlink(), 3);
    fs::remove_dir_all(&made).unwrap();
    // Copying up something below does not show in the directories above.
    assert_eq!(above(), installed);
}

/// Made files whose writes nobody's cached page may be older than.
#[test]
fn what_is_written_is_read_at_once_whoever_has_read_the_file_before() {
    if !can_mount("what_is_written_is_read_at_once_whoever_has_read_the_file_before") {
        return;
    }
    let fixture = Fixture::mounted("sample");
    let path = fixture.path("a/log");
    let create = || OpenOptions::new().write(true).create_new(true).open(&path);
    let mut writer = create().unwrap();
    let reader = File::open(&path).unwrap();
    let mut text = Vec::new();
    // Many appends within a page, and over its edge.
    for number in 0..800 {
        let line = format!("line {number}\n");
        writer.write_all(line.as_bytes()).unwrap();
        text.extend_from_slice(line.as_bytes());
        let mut read = vec![0; text.len() + 1];
        let count = reader.read_at(&mut read, 0).unwrap();
        assert_eq!(&read[..count], text, "after line {number}");
    }
    // Others write through pages meanwhile.
    let other = OpenOptions::new().read(true).write(true).open(&path);
    let other = other.unwrap();
    for number in 0..200_u8 {
        writer.write_at(&[number], 10).unwrap();
        other.write_at(&[number], 12).unwrap();
        let mut read = [0; 3];
        other.read_exact_at(&mut read, 10).unwrap();
        assert_eq!((read[0], read[2]), (number, number));
    }
    writer.set_len(5).unwrap();
    writer.write_at(b"end", 5000).unwrap();
    let read = fs::read(&path).unwrap();
    assert_eq!((&read[..5], &read[5000..]), (&b"line "[..], &b"end"[..]));
    assert!(read[5..5000].iter().all(|byte| *byte == 0));
}

#[test]
fn readers_beside_a_writer_see_every_write_that_has_returned() {
    if !can_mount("readers_beside_a_writer_see_every_write_that_has_returned") {
        return;
    }
    let fixture = Fixture::mounted("sample");
    let path = fixture.path("a/counter");
    let writer = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&path)
        .unwrap();
    let written = AtomicU64::new(0);
    let last = 3000_u64;
    writer.write_at(&0_u64.to_ne_bytes(), 4092).unwrap();
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let reader = File::open(&path).unwrap();
                let mut before = 0;
                while before < last {
                    let least = written.load(Ordering::SeqCst);
                    let mut read = [0; 4];
                    reader.read_exact_at(&mut read, 4096).unwrap();
                    let seen = u64::from(u32::from_ne_bytes(read));
                    assert!(seen >= least, "{seen} where {least} was written");
                    before = least;
                }
            });
        }
        for number in 1..=last {
            let mut bytes = [0; 8];
            bytes[4..].copy_from_slice(&(number as u32).to_ne_bytes());
            writer.write_at(&bytes, 4092).unwrap();
            written.store(number, Ordering::SeqCst);
        }
    });
}

#[test]
fn times_before_1970_are_kept_and_one_that_nobody_can_hold_ends_nothing() {
    if !can_mount("times_before_1970_are_kept_and_one_that_nobody_can_hold_ends_nothing") {
        return;
    }
    let fixture = Fixture::mounted("sample");
    let set = |tv_sec, tv_nsec| {
        let time = Timespec { tv_sec, tv_nsec };
        let times = Timestamps {
            last_access: time,
            last_modification: time,
        };
        let path = fixture.path("a/package.json");
        rustix::fs::utimensat(rustix::fs::CWD, path, &times, AtFlags::empty())
    };
    let time = || {
        let metadata = fs::metadata(fixture.path("a/package.json")).unwrap();
        (metadata.mtime(), metadata.mtime_nsec())
    };
    for before in [(-1, 123_456_789), (-1000, 999_999_999), (-1000, 0)] {
        set(before.0, before.1).unwrap();
        assert_eq!(time(), before);
    }
    // Servers that this ends are replaced until it fails.
    for _ in 0..2 {
        let refused = set(i64::MIN, 5);
        assert!(
            matches!(refused, Ok(()) | Err(rustix::io::Errno::IO)),
            "{refused:?}"
        );
        set(1, 5).unwrap();
        assert_eq!(time(), (1, 5));
    }
}
