//! The journal, damaged.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::thread;

use pacquet::fs::mount::UnmountRequest;

use crate::mount_fixture::{Fixture, can_mount, tree, walk};

/// A mounted sample whose journal has a bad record before a good one.
fn with_damaged_journal() -> Fixture {
    let fixture = Fixture::mounted("sample");
    fs::remove_file(fixture.path("dangling")).unwrap();
    fs::remove_file(fixture.path("a/lib/index.js")).unwrap();
    fs::write(fixture.path("a/package.json"), "changed").unwrap();
    fixture.unmount(UnmountRequest::Strict).unwrap();
    let path = fixture.path(".pacquet/journal");
    let mut journal = fs::read(&path).unwrap();
    journal[40] ^= 1;
    fs::write(&path, journal).unwrap();
    fixture.mount("sample").unwrap();
    fixture
}

#[test]
fn with_a_damaged_journal_the_tree_is_as_installed_and_every_change_is_refused() {
    let test = "with_a_damaged_journal_the_tree_is_as_installed_and_every_change_is_refused";
    if !can_mount(test) {
        return;
    }
    let fixture = with_damaged_journal();
    let (file, directory) = (fixture.path("a/package.json"), fixture.path("a/lib"));
    let new = fixture.path("a/new");
    let write = |options: &OpenOptions| -> io::Result<()> {
        io::Write::write_all(&mut options.open(&file)?, b"x")
    };
    let set_len = |length| OpenOptions::new().write(true).open(&file)?.set_len(length);
    let set_times = || File::open(&file)?.set_modified(std::time::SystemTime::now());
    let results: Vec<(&str, io::Result<()>)> = vec![
        ("write", write(OpenOptions::new().write(true))),
        ("append", write(OpenOptions::new().append(true))),
        (
            "O_TRUNC",
            write(OpenOptions::new().write(true).truncate(true)),
        ),
        ("ftruncate", set_len(0)),
        ("ftruncate up", set_len(1 << 20)),
        ("create", File::create(&new).map(drop)),
        ("O_EXCL", File::create_new(&new).map(drop)),
        ("mkdir", fs::create_dir(&new)),
        ("symlink", symlink("x", &new)),
        ("link", fs::hard_link(&file, &new)),
        ("unlink", fs::remove_file(&file)),
        ("rmdir", fs::remove_dir(&directory)),
        ("rename", fs::rename(&file, &new)),
        (
            "rename over",
            fs::rename(&file, fixture.path("a/é and space")),
        ),
        ("rename directory", fs::rename(&directory, &new)),
        (
            "chmod",
            fs::set_permissions(&file, fs::Permissions::from_mode(0o777)),
        ),
        ("chown", std::os::unix::fs::chown(&file, Some(1), None)),
        ("utimens", set_times()),
    ];
    for (call, result) in results {
        let error = result.expect_err(call);
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{call}: {error}");
        assert_eq!(error.raw_os_error(), Some(13), "{call}: {error}");
    }
    let made = Command::new("mkfifo")
        .arg(&new)
        .stderr(Stdio::null())
        .status();
    assert!(!made.unwrap().success());
    assert_eq!(walk(&fixture.root()), tree("sample").expected);
    let report = fixture.statuses()[0].report.clone().unwrap();
    let reason = report.read_only.unwrap();
    assert!(reason.contains("damaged"), "{reason}");
    fixture.unmount(UnmountRequest::Strict).unwrap();
    // What was written is still there for whoever repairs it.
    let written = fixture.path(".pnpm/a@1.0.0/node_modules/a/package.json");
    assert_eq!(fs::read(written).unwrap(), b"changed");
}

#[test]
fn a_torn_journal_loses_only_what_was_never_acknowledged() {
    if !can_mount("a_torn_journal_loses_only_what_was_never_acknowledged") {
        return;
    }
    let fixture = Fixture::mounted("sample");
    fs::remove_file(fixture.path("dangling")).unwrap();
    let after = walk(&fixture.root());
    fs::remove_file(fixture.path("@s/b")).unwrap();
    fixture.unmount(UnmountRequest::Strict).unwrap();
    let journal = OpenOptions::new()
        .write(true)
        .open(fixture.path(".pacquet/journal"));
    let journal = journal.unwrap();
    journal
        .set_len(journal.metadata().unwrap().len() - 1)
        .unwrap();
    fixture.mount("sample").unwrap();
    assert_eq!(walk(&fixture.root()), after);
    fs::write(fixture.path("written"), "again").unwrap();
}

#[test]
fn a_refused_mapped_write_is_forgotten() {
    if !can_mount("a_refused_mapped_write_is_forgotten") {
        return;
    }
    let fixture = with_damaged_journal();
    let file = fixture.path("a/package.json");
    let script = "import mmap, os, sys\n\
        f = os.open(sys.argv[1], os.O_RDWR)\n\
        m = mmap.mmap(f, 0)\n\
        m[0:1] = b'X'\n\
        try:\n    m.flush()\n\
        except OSError as e:\n    sys.exit(e.errno)\n\
        sys.exit(0)\n";
    let Ok(status) = Command::new("python3")
        .args(["-c", script])
        .arg(&file)
        .status()
    else {
        println!("skipped a_refused_mapped_write_is_forgotten: no python3");
        return;
    };
    assert_eq!(status.code(), Some(13));
    // The kernel is told to forget the page after the write was refused.
    while fs::read(&file).unwrap() != b"{\"name\":\"a\"}" {
        thread::yield_now();
        assert!(!fixture.overdue.load(Ordering::SeqCst));
    }
}
