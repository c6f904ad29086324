//! Calls beyond plain reading and writing, and files without a name.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use pacquet::fs::mount::UnmountRequest;
use pacquet_test_registry::program;
use rustix::fs::{
    CWD, FallocateFlags, FileType, FlockOperation, Mode, OFlags, SeekFrom, XattrFlags,
};
use rustix::io::Errno;

use crate::mount_fixture::{Fixture, can_mount, tree, walk};

fn open(fixture: &Fixture, path: &str) -> File {
    let options = OpenOptions::new().read(true).write(true).to_owned();
    options.open(fixture.path(path)).unwrap()
}

#[test]
fn hard_links_of_installed_files_stay_links() {
    if !can_mount("hard_links_of_installed_files_stay_links") {
        return;
    }
    let fixture = Fixture::mounted("sample");
    let (file, link) = (fixture.path("a/lib/index.js"), fixture.path("link"));
    let inode = fs::metadata(&file).unwrap().ino();
    fs::hard_link(&file, &link).unwrap();
    fs::write(&link, "through the link").unwrap();
    let check = |links| {
        assert_eq!(fs::read(&file).unwrap(), b"through the link");
        for path in [&file, &link] {
            let metadata = fs::metadata(path).unwrap();
            assert_eq!((metadata.ino(), metadata.nlink()), (inode, links));
        }
    };
    check(2);
    fixture.unmount(UnmountRequest::Strict).unwrap();
    fixture.mount("sample").unwrap();
    check(2);
    fixture.signal("-KILL");
    check(2);
    fs::remove_file(&file).unwrap();
    assert_eq!(fs::metadata(&link).unwrap().nlink(), 1);
    fixture.unmount(UnmountRequest::Strict).unwrap();
    fixture.mount("sample").unwrap();
    assert_eq!(fs::metadata(&link).unwrap().ino(), inode);
    // A symlink can have a second name too.
    let target = fs::read_link(fixture.path("a")).unwrap();
    rustix::fs::linkat(
        CWD,
        fixture.path("a"),
        CWD,
        fixture.path("b"),
        rustix::fs::AtFlags::empty(),
    )
    .unwrap();
    assert_eq!(fs::read_link(fixture.path("b")).unwrap(), target);
    let refused = fs::hard_link(fixture.path("a/lib"), fixture.path("lib")).unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(Errno::PERM.raw_os_error()));
}

#[test]
fn removed_files_live_while_they_are_open() {
    if !can_mount("removed_files_live_while_they_are_open") {
        return;
    }
    let fixture = Fixture::mounted("sample");
    fs::write(fixture.path("new"), "new").unwrap();
    fs::write(fixture.path("other"), "other").unwrap();
    let new = open(&fixture, "new");
    let replaced = open(&fixture, "other");
    let installed = open(&fixture, "a/lib/index.js");
    let copied = open(&fixture, "a/package.json");
    copied.write_all_at(b"C", 0).unwrap();
    fs::remove_file(fixture.path("new")).unwrap();
    fs::remove_file(fixture.path("a/lib/index.js")).unwrap();
    fs::remove_file(fixture.path("a/package.json")).unwrap();
    fs::write(fixture.path("third"), "third").unwrap();
    fs::rename(fixture.path("third"), fixture.path("other")).unwrap();
    for round in 0..2 {
        for (file, first) in [
            (&new, b'n'),
            (&replaced, b'o'),
            (&installed, b'm'),
            (&copied, b'C'),
        ] {
            let mut byte = [0];
            file.read_exact_at(&mut byte, 0).unwrap();
            assert_eq!(byte[0], first);
            file.write_all_at(b"tail", 20).unwrap();
            let metadata = file.metadata().unwrap();
            assert_eq!((metadata.len(), metadata.nlink()), (24, 0), "{round}");
        }
        // The next server serves them too.
        fixture.signal("-KILL");
    }
    assert_eq!(fs::read(fixture.path("other")).unwrap(), b"third");
    drop((new, replaced, installed, copied));
    let absent = fs::metadata(fixture.path("a/lib/index.js")).unwrap_err();
    assert_eq!(absent.kind(), ErrorKind::NotFound);
    fixture.unmount(UnmountRequest::Strict).unwrap();
    fixture.mount("sample").unwrap();
    fixture.unmount(UnmountRequest::Strict).unwrap();
    let orphans = fs::read_dir(fixture.path(".pacquet/orphans")).unwrap();
    assert_eq!(orphans.count(), 0);
}

#[test]
fn extended_attributes_of_users_are_kept() {
    if !can_mount("extended_attributes_of_users_are_kept") {
        return;
    }
    let fixture = Fixture::mounted("sample");
    let get = |path: &str, name: &str| {
        let mut value = [0; 64];
        let path = fixture.path(path);
        rustix::fs::getxattr(path, name, &mut value).map(|length| value[..length].to_vec())
    };
    let set = |path: &str, name: &str, value: &[u8], flags| {
        rustix::fs::setxattr(fixture.path(path), name, value, flags)
    };
    for path in ["a/lib/index.js", "a/lib"] {
        assert_eq!(get(path, "user.x"), Err(Errno::NODATA));
        let replaced = set(path, "user.x", b"1", XattrFlags::REPLACE);
        assert_eq!(replaced, Err(Errno::NODATA));
        set(path, "user.x", b"1", XattrFlags::empty()).unwrap();
        let again = set(path, "user.x", b"2", XattrFlags::CREATE);
        assert_eq!(again, Err(Errno::EXIST));
        assert_eq!(get(path, "user.x").unwrap(), b"1");
        let mut names = [0; 64];
        let length = rustix::fs::listxattr(fixture.path(path), &mut names).unwrap();
        assert_eq!(&names[..length], b"user.x\0");
    }
    assert_eq!(
        set("a/lib", "trusted.x", b"1", XattrFlags::empty()),
        Err(Errno::OPNOTSUPP)
    );
    fixture.unmount(UnmountRequest::Strict).unwrap();
    fixture.mount("sample").unwrap();
    assert_eq!(get("a/lib/index.js", "user.x").unwrap(), b"1");
    rustix::fs::removexattr(fixture.path("a/lib"), "user.x").unwrap();
    assert_eq!(get("a/lib", "user.x"), Err(Errno::NODATA));
    let fresh = rustix::fs::listxattr(fixture.path("a/bin/cat"), &mut [0_u8; 64][..]);
    assert_eq!(fresh, Ok(0));
}

#[test]
fn space_is_reserved_holes_are_found_and_ranges_copied() {
    if !can_mount("space_is_reserved_holes_are_found_and_ranges_copied") {
        return;
    }
    let fixture = Fixture::mounted("sample");
    let installed = File::open(fixture.path("a/bin/cat")).unwrap();
    let size = installed.metadata().unwrap().len();
    let seek = |file: &File, to| rustix::fs::seek(file, to);
    assert_eq!(seek(&installed, SeekFrom::Data(7)), Ok(7));
    assert_eq!(seek(&installed, SeekFrom::Hole(7)), Ok(size));
    assert_eq!(seek(&installed, SeekFrom::Data(size)), Err(Errno::NXIO));
    let file = open(&fixture, "a/lib/index.js");
    rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, 1 << 20).unwrap();
    assert_eq!(file.metadata().unwrap().len(), 1 << 20);
    file.write_all_at(&[1; 8192], 512 << 10).unwrap();
    let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    rustix::fs::fallocate(&file, hole, 0, 256 << 10).unwrap();
    let mut start = [9; 6];
    file.read_exact_at(&mut start, 0).unwrap();
    assert_eq!(start, [0; 6]);
    let target = File::create(fixture.path("copy")).unwrap();
    let (mut from, mut to) = (0, 0);
    while from < size {
        let left = usize::try_from(size - from).unwrap();
        let copied =
            rustix::fs::copy_file_range(&installed, Some(&mut from), &target, Some(&mut to), left);
        assert!(copied.unwrap() > 0);
    }
    assert_eq!(
        fs::read(fixture.path("copy")).unwrap(),
        fs::read("/bin/cat").unwrap()
    );
    target.sync_all().unwrap();
    file.sync_data().unwrap();
    File::open(fixture.path("a/lib"))
        .unwrap()
        .sync_all()
        .unwrap();
    let space = rustix::fs::statvfs(fixture.root()).unwrap();
    assert!(space.f_blocks > 0 && space.f_namemax == 255);
}

#[test]
fn pipes_sockets_and_locks_work() {
    if !can_mount("pipes_sockets_and_locks_work") {
        return;
    }
    let fixture = Fixture::mounted("sample");
    let pipe = fixture.path("a/pipe");
    rustix::fs::mknodat(CWD, &pipe, FileType::Fifo, Mode::from_raw_mode(0o640), 0).unwrap();
    let metadata = fs::symlink_metadata(&pipe).unwrap();
    assert!(metadata.file_type().is_fifo());
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o640);
    let writer = std::thread::spawn({
        let pipe = pipe.clone();
        move || fs::write(pipe, "through").unwrap()
    });
    assert_eq!(fs::read(&pipe).unwrap(), b"through");
    writer.join().unwrap();
    let socket = fixture.path("socket");
    let listener = UnixListener::bind(&socket).unwrap();
    let mut client = std::os::unix::net::UnixStream::connect(&socket).unwrap();
    client.write_all(b"hello").unwrap();
    let mut read = [0; 5];
    listener.accept().unwrap().0.read_exact(&mut read).unwrap();
    let (one, two) = (
        open(&fixture, "a/package.json"),
        open(&fixture, "a/package.json"),
    );
    rustix::fs::flock(&one, FlockOperation::NonBlockingLockExclusive).unwrap();
    let refused = rustix::fs::flock(&two, FlockOperation::NonBlockingLockExclusive);
    assert_eq!(refused, Err(Errno::WOULDBLOCK));
    let script = "import fcntl, sys\nf = open(sys.argv[1], 'r+')\nfcntl.lockf(f, fcntl.LOCK_EX)\n";
    let mut locked = Command::new("python3");
    locked
        .args(["-c", script])
        .arg(fixture.path("a/lib/index.js"));
    assert!(locked.status().unwrap().success());
    // Nothing of that is copied up or written.
    assert_eq!(
        fs::read(fixture.path("a/package.json")).unwrap(),
        b"{\"name\":\"a\"}"
    );
    let walked = fs::read_dir(fixture.path("a/")).unwrap().count();
    assert_eq!(walked, 5 + 1);
}

#[test]
fn mapped_files_are_written() {
    if !can_mount("mapped_files_are_written") {
        return;
    }
    let fixture = Fixture::mounted("sample");
    let script = "import mmap, os, sys\n\
        f = os.open(sys.argv[1], os.O_RDWR)\n\
        m = mmap.mmap(f, 0)\n\
        m[0:6] = b'MODULE'\n\
        m.flush()\n\
        m.close()\n";
    let file = fixture.path("a/lib/index.js");
    let written = Command::new("python3")
        .args(["-c", script])
        .arg(&file)
        .status();
    assert!(written.unwrap().success());
    assert_eq!(fs::read(&file).unwrap(), b"MODULE.exports = 1\n");
    fixture.unmount(UnmountRequest::Strict).unwrap();
    fixture.mount("sample").unwrap();
    assert_eq!(fs::read(&file).unwrap(), b"MODULE.exports = 1\n");
}

#[test]
fn programs_that_are_written_run() {
    if !can_mount("programs_that_are_written_run") {
        return;
    }
    let fixture = Fixture::mounted("sample");
    let new = fixture.path("a/bin/new");
    program::copy(Path::new("/bin/cat"), &new);
    let output = Command::new(&new)
        .arg(fixture.path("a/package.json"))
        .output();
    assert_eq!(output.unwrap().stdout, b"{\"name\":\"a\"}");
    symlink("new", fixture.path("a/bin/link")).unwrap();
    let changed = fixture.path("a/node_modules/.bin/tool");
    program::write(&changed, "#!/bin/sh\necho changed\n");
    let output = Command::new(&changed).output().unwrap();
    assert_eq!(output.stdout, b"changed\n");
}

#[test]
fn a_file_without_a_name_is_refused_as_unsupported() {
    if !can_mount("a_file_without_a_name_is_refused_as_unsupported") {
        return;
    }
    let fixture = Fixture::mounted("sample");
    let flags = OFlags::TMPFILE | OFlags::RDWR;
    let made = rustix::fs::open(fixture.path("a/lib"), flags, Mode::from_raw_mode(0o600));
    assert_eq!(made.map(drop), Err(Errno::OPNOTSUPP));
    assert_eq!(walk(&fixture.root()), tree("sample").expected);
}
