//! What `docs/SEMANTICS.md` promises of a mounted tree.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::{DirEntryExt, FileExt, MetadataExt};
use std::process::Command;
use std::sync::Barrier;
use std::thread;

use pacquet::fs::mount::UnmountRequest;
use pacquet::fs::status::Health;

use crate::mount_fixture::{Fixture, LARGE_BYTES, can_mount, pack, tree, walk};

#[test]
fn the_served_tree_is_the_layout_with_its_packages() {
    if !can_mount("the_served_tree_is_the_layout_with_its_packages") {
        return;
    }
    for name in ["sample", "wide"] {
        let fixture = Fixture::mounted(name);
        assert_eq!(walk(&fixture.root()), tree(name).expected);
    }
}

#[test]
fn a_warm_path_costs_no_message() {
    if !can_mount("a_warm_path_costs_no_message") {
        return;
    }
    let fixture = Fixture::mounted("sample");
    let look = || {
        walk(&fixture.root());
        for missing in ["a/absent.js", "absent", ".pnpm/a@1.0.0/node_modules/absent"] {
            let error = fs::metadata(fixture.path(missing)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound);
        }
        fs::canonicalize(fixture.path("a/lib/index.js")).unwrap();
        assert!(fs::read_link(fixture.path("dangling")).is_ok());
    };
    look();
    // The first read of a file outdates its access time, so the second look asks for attributes.
    look();
    let mut before = fixture.requests();
    for _ in 0..5 {
        look();
        let after = fixture.requests();
        if after.get("forget") == before.get("forget") {
            assert_eq!(after, before);
            break;
        }
        // Something on this machine emptied the kernel's caches between two looks.
        look();
        before = fixture.requests();
    }
    assert_eq!(before["open"], 1);
    assert_eq!(before["opendir"], 1);
    assert!(before["flush"] <= 1);
    assert!(!before.contains_key("access"));
}

#[test]
fn modes_times_and_sizes_are_what_was_promised() {
    if !can_mount("modes_times_and_sizes_are_what_was_promised") {
        return;
    }
    let fixture = Fixture::mounted("sample");
    let uid = fs::metadata(fixture.directory.path()).unwrap().uid();
    let mut seen = Vec::new();
    for path in [
        "",
        "dangling",
        ".modules.yaml",
        ".pnpm/a@1.0.0/node_modules/a/bin/cat",
        ".pnpm/a@1.0.0/node_modules/a/node_modules/.bin/tool",
    ] {
        let metadata = fs::symlink_metadata(fixture.path(path)).unwrap();
        let times = [metadata.mtime(), metadata.ctime(), metadata.atime()];
        assert_eq!(times, [metadata.mtime(); 3], "{path}");
        assert!((0..2 << 24).contains(&(times[0] - 499_162_500)), "{path}");
        assert_eq!(times[0] % 2, 0, "{path}");
        assert_eq!((metadata.uid(), metadata.nlink()), (uid, 1), "{path}");
        assert_eq!(metadata.blksize(), 4096, "{path}");
        assert_eq!(metadata.blocks(), metadata.size().div_ceil(512), "{path}");
        assert!(metadata.ino() < 1 << 53, "{path}");
        seen.push(metadata.mode());
    }
    assert_eq!(seen, [0o40_755, 0o120_777, 0o100_644, 0o100_755, 0o100_755]);
}

#[test]
fn inode_numbers_survive_a_new_server() {
    if !can_mount("inode_numbers_survive_a_new_server") {
        return;
    }
    let fixture = Fixture::mounted("sample");
    let inodes = || -> Vec<u64> {
        let paths = ["a/lib", "a/lib/index.js", "a/package.json", "@s/b", ".pnpm"];
        let stat = |path| fs::metadata(fixture.path(path)).unwrap().ino();
        paths.into_iter().map(stat).collect()
    };
    let before = inodes();
    for entry in fs::read_dir(fixture.path("a/")).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(
            entry.ino(),
            fs::symlink_metadata(entry.path()).unwrap().ino()
        );
    }
    fixture.unmount(UnmountRequest::Strict).unwrap();
    fixture.mount("sample").unwrap();
    assert_eq!(inodes(), before);
}

#[test]
fn programs_run_and_files_can_be_mapped() {
    if !can_mount("programs_run_and_files_can_be_mapped") {
        return;
    }
    let fixture = Fixture::mounted("sample");
    // The loader maps the program; `cat` maps nothing, so a script is run as well.
    let output = Command::new(fixture.path("a/bin/cat"))
        .arg(fixture.path("a/lib/index.js"))
        .output()
        .unwrap();
    assert_eq!(output.stdout, b"module.exports = 1\n");
    let tool = fixture.path("a/node_modules/.bin/tool");
    let output = Command::new(tool).arg("well").output().unwrap();
    assert_eq!(output.stdout, b"ran well\n");
    let denied = Command::new(fixture.path("a/package.json")).output();
    assert_eq!(denied.unwrap_err().kind(), ErrorKind::PermissionDenied);
}

#[test]
fn a_large_file_is_read_whole_from_anywhere_by_many() {
    if !can_mount("a_large_file_is_read_whole_from_anywhere_by_many") {
        return;
    }
    let fixture = Fixture::mounted("large");
    let path = fixture.path("p/large");
    let word_at = |file: &File, offset: u64| {
        let mut word = [0; 8];
        file.read_exact_at(&mut word, offset).unwrap();
        u64::from_le_bytes(word)
    };
    let start = Barrier::new(4);
    thread::scope(|scope| {
        for reader in 0..4_u64 {
            let (path, start) = (&path, &start);
            scope.spawn(move || {
                let mut file = File::open(path).unwrap();
                start.wait();
                for step in 0..2_000_u64 {
                    let offset = (step * 7_919 * 4_096 + reader * 8) % (LARGE_BYTES as u64 - 8);
                    assert_eq!(word_at(&file, offset & !7), offset / 8);
                }
                file.seek(SeekFrom::Start(0)).unwrap();
                let mut whole = Vec::new();
                assert_eq!(file.read_to_end(&mut whole).unwrap(), LARGE_BYTES);
                let mut words = whole.chunks_exact(8).enumerate();
                assert!(words.all(|(number, word)| word == (number as u64).to_le_bytes()));
            });
        }
    });
    let file = File::open(&path).unwrap();
    let mut byte = [0];
    for offset in [
        LARGE_BYTES as u64,
        LARGE_BYTES as u64 + 1,
        i64::MAX as u64 - 4096,
    ] {
        assert_eq!(file.read_at(&mut byte, offset).unwrap(), 0);
    }
}

#[test]
fn a_directory_is_listed_once_each_from_any_cookie() {
    if !can_mount("a_directory_is_listed_once_each_from_any_cookie") {
        return;
    }
    let fixture = Fixture::mounted("wide");
    let script = "opendir(my $d, shift) or die; my @first; push @first, [telldir($d), readdir($d)] \
        for 1..10_003; my $bad = 0; for my $i (reverse 0 .. 200) { my $at = $first[$i * 50]; \
        seekdir($d, $at->[0]); my $name = readdir($d); $bad++ if $name ne $at->[1]; } print $bad;";
    let output = Command::new("perl")
        .args(["-e", script])
        .arg(fixture.path("p"))
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0");
}

#[test]
fn many_readers_see_the_same_tree() {
    if !can_mount("many_readers_see_the_same_tree") {
        return;
    }
    let fixture = Fixture::mounted("sample");
    let expected = tree("sample").expected;
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(walk(&fixture.root()), expected));
        }
    });
}

#[test]
fn statfs_and_names_that_are_too_long_are_answered() {
    if !can_mount("statfs_and_names_that_are_too_long_are_answered") {
        return;
    }
    let fixture = Fixture::mounted("sample");
    let output = Command::new("stat")
        .args(["-f", "-c", "%l %s %b"])
        .args([&fixture.root(), fixture.directory.path()])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[0].starts_with("255 ") && lines[0] == lines[1],
        "{text}"
    );
    for (length, errno) in [(255, 2), (256, 36), (1024, 36)] {
        let error = fs::metadata(fixture.path(&"x".repeat(length))).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(errno), "{length}");
    }
}

#[test]
fn a_pack_that_cannot_be_read_fails_its_files_and_no_others() {
    if !can_mount("a_pack_that_cannot_be_read_fails_its_files_and_no_others") {
        return;
    }
    let fixture = Fixture::mounted("broken");
    for path in ["missing/index.js", "missing"] {
        let error = fs::read_dir(fixture.path(path))
            .map(|mut entries| entries.next().unwrap().unwrap_err())
            .unwrap_or_else(|error| error);
        assert_eq!(error.raw_os_error(), Some(5), "{path}");
    }
    assert_eq!(fs::read(fixture.path("p/index.js")).unwrap(), b"1");
    let status = &fixture.statuses()[0];
    assert_eq!(status.health, Health::Damaged);
    let report = status.report.as_ref().unwrap();
    assert_eq!(report.unreadable_packs[0].0, pack(99).to_string());
    let log = fs::read_to_string(fixture.run.log(&fixture.root())).unwrap();
    assert_eq!(log, "");
}

#[test]
fn every_promise_names_a_test_that_exists() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("docs/SEMANTICS.md")).unwrap();
    let mut sources = String::new();
    for directory in ["tests/it", "src/fs"] {
        for entry in walkdir::WalkDir::new(root.join(directory)) {
            let entry = entry.unwrap();
            if entry.file_type().is_file() {
                sources += &fs::read_to_string(entry.path()).unwrap();
            }
        }
    }
    let promises = text.lines().filter(|line| line.starts_with("- "));
    let mut tests = 0;
    for promise in promises {
        let named: Vec<&str> = promise
            .split('[')
            .skip(1)
            .filter_map(|rest| Some(rest.split_once(']')?.0))
            .collect();
        assert!(!named.is_empty(), "no test holds: {promise}");
        for test in named {
            assert!(sources.contains(&format!("fn {test}(")), "no test {test}");
            tests += 1;
        }
    }
    assert!(tests > 20);
}
