//! Real mounts: a server process, the kernel, and programs that look.
//!
//! Needs root or fusermount3, and `/dev/fuse`. Without them each test says that it was skipped, and
//! fails where `CI` is set.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::{DirEntryExt, FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::Duration;

use pacquet::fs::control::RunDirectory;
use pacquet::fs::error::MountError;
use pacquet::fs::kernel::Access;
use pacquet::fs::layer;
use pacquet::fs::memory::{LayoutSketch, MemoryPackages};
use pacquet::fs::mount::{
    Health, MountOutcome, MountPlan, RealFiles, ServerCommand, UnmountRequest, mount, run_server,
    status, unmount, wait_unmounted,
};
use pacquet::fs::mountinfo;
use pacquet::fs::package::CacheLimits;
use pacquet::fs::server::{ServeArguments, Service};
use pacquet::install::layout::{DirectoryIndex, Layout, LayoutEntry};
use pacquet::install::lockfile::ImporterId;
use pacquet::store::PackId;

/// Time after which a test's mount is taken from it.
const DEADLINE: Duration = Duration::from_secs(120);

/// Tells a process of this test binary that it is a server, and of which tree.
const SERVER_VARIABLE: &str = "PACQUET_TEST_TREE";

const ROOT: DirectoryIndex = DirectoryIndex(0);

const LARGE_BYTES: usize = 64 << 20;

/// What tests expect at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Expected {
    Directory,
    Symlink(String),
    File(Vec<u8>, bool),
}

struct Tree {
    layout: Layout,
    packages: MemoryPackages,
    expected: BTreeMap<String, Expected>,
}

fn pack(number: u8) -> PackId {
    PackId([number; 32])
}

/// A little of everything.
fn sample() -> Tree {
    let cat = fs::read("/bin/cat").unwrap();
    let mut packages = MemoryPackages::default();
    let in_a: &[(&str, &[u8], bool)] = &[
        ("package.json", b"{\"name\":\"a\"}", false),
        ("lib/index.js", b"module.exports = 1\n", false),
        ("lib/deep/er/empty", b"", false),
        ("bin/cat", &cat, true),
        ("node_modules/bundled/index.js", b"bundled", false),
        ("é and space", b"named", false),
    ];
    let in_b: &[(&str, &[u8], bool)] = &[("package.json", b"{\"name\":\"b\"}", false)];
    packages.add(pack(1), in_a);
    packages.add(pack(2), in_b);
    let mut sketch = LayoutSketch::new(ImporterId(None));
    let a = ".pnpm/a@1.0.0/node_modules/a";
    let b = ".pnpm/b@2.0.0_a@1.0.0/node_modules/@s/b";
    let instance = sketch.package(ROOT, a, pack(1)).unwrap();
    sketch.package(ROOT, b, pack(2)).unwrap();
    let bundled = format!("{a}/node_modules");
    sketch
        .back(ROOT, &bundled, instance, Some("node_modules"))
        .unwrap();
    let mut expected = BTreeMap::new();
    let target: String = "../".repeat(500) + "far";
    let generated: &[(&str, LayoutEntry)] = &[
        ("a", LayoutEntry::Symlink(a.into())),
        ("@s/b", LayoutEntry::Symlink(format!("../{b}").into())),
        ("dangling", LayoutEntry::Symlink(target.into())),
        (
            ".modules.yaml",
            LayoutEntry::File {
                content: b"layoutVersion: 5\n"[..].into(),
                executable: false,
            },
        ),
        (
            &format!("{a}/node_modules/.bin/tool"),
            LayoutEntry::File {
                content: b"#!/bin/sh\necho \"ran $1\"\n"[..].into(),
                executable: true,
            },
        ),
    ];
    for (path, entry) in generated {
        sketch.entry(ROOT, path, entry.clone()).unwrap();
        let shown = match entry {
            LayoutEntry::Symlink(target) => Expected::Symlink(target.to_string()),
            LayoutEntry::File {
                content,
                executable,
            } => Expected::File(content.to_vec(), *executable),
            LayoutEntry::Directory(_) => Expected::Directory,
        };
        expect(&mut expected, path, shown);
    }
    for (root, files) in [(a, in_a), (b, in_b)] {
        for (path, content, executable) in files {
            let path = format!("{root}/{path}");
            expect(
                &mut expected,
                &path,
                Expected::File(content.to_vec(), *executable),
            );
        }
    }
    Tree {
        layout: sketch.into_layout(),
        packages,
        expected,
    }
}

fn expect(expected: &mut BTreeMap<String, Expected>, path: &str, shown: Expected) {
    for (at, _) in path.match_indices('/') {
        expected.insert(path[..at].to_owned(), Expected::Directory);
    }
    expected.insert(path.to_owned(), shown);
}

/// One package of these files.
fn single(files: &[(&str, &[u8], bool)]) -> Tree {
    let mut packages = MemoryPackages::default();
    packages.add(pack(3), files);
    let mut sketch = LayoutSketch::new(ImporterId(None));
    sketch.package(ROOT, "p", pack(3)).unwrap();
    let mut expected = BTreeMap::new();
    for (path, content, executable) in files {
        let shown = Expected::File(content.to_vec(), *executable);
        expect(&mut expected, &format!("p/{path}"), shown);
    }
    Tree {
        layout: sketch.into_layout(),
        packages,
        expected,
    }
}

/// A directory of 10,000 files.
fn wide() -> Tree {
    let names: Vec<String> = (0..10_000).map(|number| format!("file-{number}")).collect();
    let files: Vec<(&str, &[u8], bool)> = names
        .iter()
        .map(|name| (name.as_str(), name.as_bytes(), false))
        .collect();
    single(&files)
}

/// A file of 64 MB in which every page is different.
fn large() -> Tree {
    let mut content = vec![0; LARGE_BYTES];
    for (number, word) in content.chunks_exact_mut(8).enumerate() {
        word.copy_from_slice(&(number as u64).to_le_bytes());
    }
    single(&[("large", &content, false)])
}

/// The sample with another state file: another layer of the same packages.
fn changed() -> Tree {
    let mut tree = sample();
    let name = pacquet::name::EntryName::new(".modules.yaml").unwrap();
    let content: &[u8] = b"changed\n";
    let entry = LayoutEntry::File {
        content: content.into(),
        executable: false,
    };
    tree.layout.directories[0].entries.insert(name, entry);
    let shown = Expected::File(content.to_vec(), false);
    expect(&mut tree.expected, ".modules.yaml", shown);
    tree
}

/// A package whose pack the store does not have, beside one that it has.
fn broken() -> Tree {
    let mut tree = single(&[("index.js", b"1", false)]);
    let mut sketch = LayoutSketch::new(ImporterId(None));
    sketch.package(ROOT, "p", pack(3)).unwrap();
    sketch.package(ROOT, "missing", pack(99)).unwrap();
    tree.layout = sketch.into_layout();
    tree
}

fn tree(name: &str) -> Tree {
    match name {
        "sample" => sample(),
        "wide" => wide(),
        "large" => large(),
        "changed" => changed(),
        "broken" => broken(),
        other => panic!("no tree {other}"),
    }
}

/// Not a test but the server of the others, which start this binary again.
#[test]
fn server() {
    let Some(name) = std::env::var_os(SERVER_VARIABLE) else {
        return;
    };
    let args: Vec<OsString> = std::env::args_os().collect();
    let begin = args.iter().position(|arg| arg == "--skip").unwrap() + 2;
    let served = run_server(args[begin..].to_vec(), |_: &ServeArguments| {
        let tree = tree(name.to_str().unwrap());
        Ok::<_, MountError>(Service {
            packages: Box::new(tree.packages),
            cache_limits: CacheLimits::default(),
            settle: Box::new(|| ()),
        })
    });
    assert!(served.is_ok(), "{served:?}");
}

/// Starts this test binary as a server. The signals are blocked before it begins, because the test
/// harness has threads that a server has not.
fn server_command(tree: &str) -> ServerCommand {
    let exe = std::env::current_exe().unwrap();
    ServerCommand {
        program: "/usr/bin/env".into(),
        leading_args: vec![
            "--block-signal=TERM,INT,HUP".into(),
            format!("{SERVER_VARIABLE}={tree}").into(),
            exe.into(),
            "mount::server".into(),
            "--exact".into(),
            "--nocapture".into(),
            "--test-threads=2".into(),
            "--skip".into(),
            "nothing".into(),
        ],
    }
}

/// Says why a test that needs a mount cannot run here, and fails it in CI.
fn can_mount(test: &str) -> bool {
    let reason = match OpenOptions::new().read(true).write(true).open("/dev/fuse") {
        Ok(_) => return true,
        Err(error) => format!("/dev/fuse: {error}"),
    };
    assert!(std::env::var_os("CI").is_none(), "{test}: {reason}");
    println!("skipped {test}: {reason}");
    false
}

/// A mounted project. Unmounts when dropped; aborts when it takes too long.
struct Fixture {
    directory: tempfile::TempDir,
    run: RunDirectory,
    overdue: Arc<AtomicBool>,
    _guard: mpsc::Sender<Infallible>,
}

impl Fixture {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let run = RunDirectory::at(&directory.path().join("run")).unwrap();
        fs::create_dir(directory.path().join("project")).unwrap();
        let (guard, done) = mpsc::channel();
        let overdue = Arc::new(AtomicBool::new(false));
        let fixture = Self {
            directory,
            run,
            overdue: Arc::clone(&overdue),
            _guard: guard,
        };
        let (root, run) = (fixture.root(), fixture.run.clone());
        thread::spawn(move || {
            if done.recv_timeout(DEADLINE) == Err(mpsc::RecvTimeoutError::Timeout) {
                overdue.store(true, Ordering::SeqCst);
                let _ = unmount(&root, &run, UnmountRequest::Force);
            }
        });
        fixture
    }

    fn mounted(tree: &str) -> Self {
        let fixture = Self::new();
        let outcome = fixture.mount(tree).unwrap();
        assert!(
            matches!(outcome, MountOutcome::Mounted { .. }),
            "{outcome:?}"
        );
        fixture
    }

    fn root(&self) -> PathBuf {
        let project = self.directory.path().join("project");
        project.canonicalize().unwrap().join("node_modules")
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root().join(path)
    }

    fn plan(&self, name: &str) -> MountPlan {
        let image = layer::build(&tree(name).layout, None).unwrap();
        let layer = self.directory.path().join(format!("{name}.layer"));
        image.save(&layer).unwrap();
        MountPlan {
            layer,
            layer_digest: image.digest_text(),
            store: self.directory.path().join("store"),
            project: self.directory.path().join("project"),
            mounts: vec![(0, self.directory.path().join("project/node_modules"))],
            access: Access::Owner,
            threads: 2,
            real_files: RealFiles::Refuse,
        }
    }

    fn mount(&self, tree: &str) -> Result<MountOutcome, MountError> {
        mount(&self.plan(tree), &self.run, &server_command(tree))
    }

    fn unmount(&self, request: UnmountRequest) -> Result<(), MountError> {
        unmount(&self.root(), &self.run, request)
    }

    fn server_pid(&self) -> u32 {
        let statuses = self.statuses();
        statuses[0].state.as_ref().unwrap().pid
    }

    fn statuses(&self) -> Vec<pacquet::fs::mount::MountStatus> {
        let mut statuses = status(&self.run).unwrap();
        statuses.retain(|status| status.mountpoint == self.root());
        statuses
    }

    /// How many requests of each kind the server has had.
    fn requests(&self) -> BTreeMap<String, u64> {
        let report = self.statuses()[0].report.clone().unwrap();
        report.requests.into_iter().collect()
    }

    fn signal(&self, signal: &str) -> u32 {
        let pid = self.server_pid();
        let sent = Command::new("kill")
            .args([signal, &pid.to_string()])
            .status();
        assert!(sent.unwrap().success());
        pid
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        while mountinfo::find(&self.root()).unwrap().is_some() {
            if self.unmount(UnmountRequest::Force).is_err() {
                break;
            }
        }
        if !thread::panicking() {
            assert!(!self.overdue.load(Ordering::SeqCst), "it took too long");
            assert_eq!(mountinfo::find(&self.root()).unwrap(), None);
        }
    }
}

/// Everything below `root`, by path.
fn walk(root: &Path) -> BTreeMap<String, Expected> {
    let mut found = BTreeMap::new();
    let mut queue = vec![root.to_owned()];
    while let Some(directory) = queue.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            let shown = if metadata.is_dir() {
                queue.push(path.clone());
                Expected::Directory
            } else if metadata.is_symlink() {
                let target = fs::read_link(&path).unwrap();
                assert_eq!(metadata.len() as usize, target.as_os_str().len());
                Expected::Symlink(target.to_str().unwrap().to_owned())
            } else {
                let content = fs::read(&path).unwrap();
                assert_eq!(metadata.len() as usize, content.len());
                Expected::File(content, metadata.mode() & 0o111 != 0)
            };
            let name = path.strip_prefix(root).unwrap().to_str().unwrap();
            assert_eq!(found.insert(name.to_owned(), shown), None, "{name} twice");
        }
    }
    found
}

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
    let before = fixture.requests();
    look();
    assert_eq!(fixture.requests(), before);
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
        assert_eq!(metadata.mtime(), 499_162_500, "{path}");
        assert_eq!(metadata.ctime(), 499_162_500, "{path}");
        assert_eq!(metadata.atime(), 499_162_500, "{path}");
        assert_eq!((metadata.uid(), metadata.nlink()), (uid, 1), "{path}");
        assert_eq!(metadata.blksize(), 4096, "{path}");
        assert_eq!(metadata.blocks(), metadata.size().div_ceil(512), "{path}");
        assert!(metadata.ino() < 1 << 53, "{path}");
        seen.push(metadata.mode());
    }
    assert_eq!(seen, [0o40_555, 0o120_777, 0o100_444, 0o100_555, 0o100_555]);
}

#[test]
fn inode_numbers_survive_a_new_server_and_files_of_a_pack_share_theirs() {
    if !can_mount("inode_numbers_survive_a_new_server_and_files_of_a_pack_share_theirs") {
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
fn everything_that_would_change_something_is_refused_with_eacces() {
    if !can_mount("everything_that_would_change_something_is_refused_with_eacces") {
        return;
    }
    let fixture = Fixture::mounted("sample");
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
    fixture.unmount(UnmountRequest::Strict).unwrap();
}

#[test]
fn a_refused_mapped_write_is_forgotten() {
    if !can_mount("a_refused_mapped_write_is_forgotten") {
        return;
    }
    let fixture = Fixture::mounted("sample");
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
        .args(["-f", "-c", "%l %s %f"])
        .arg(fixture.root())
        .output()
        .unwrap();
    assert_eq!(output.stdout, b"255 4096 0\n");
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
fn a_killed_server_is_found_dead_and_replaced() {
    if !can_mount("a_killed_server_is_found_dead_and_replaced") {
        return;
    }
    let fixture = Fixture::mounted("sample");
    let held = File::open(fixture.path("a/package.json")).unwrap();
    fixture.signal("-KILL");
    while fs::metadata(fixture.path("absent"))
        .is_err_and(|error| error.kind() == ErrorKind::NotFound)
    {
        thread::yield_now();
    }
    assert_eq!(fixture.statuses()[0].health, Health::Dead);
    let outcome = fixture.mount("sample").unwrap();
    assert!(matches!(outcome, MountOutcome::Mounted { .. }));
    assert_eq!(walk(&fixture.root()), tree("sample").expected);
    assert_eq!(fixture.statuses().len(), 1);
    drop(held);
}

#[test]
fn a_stopped_server_is_called_hung_and_ends_by_force() {
    if !can_mount("a_stopped_server_is_called_hung_and_ends_by_force") {
        return;
    }
    let fixture = Fixture::mounted("sample");
    let pid = fixture.signal("-STOP");
    assert_eq!(fixture.statuses()[0].health, Health::Hung);
    let error = fixture.unmount(UnmountRequest::Strict).unwrap_err();
    assert!(matches!(error, MountError::Hung { .. }), "{error}");
    fixture.unmount(UnmountRequest::Force).unwrap();
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
fn mounting_twice_keeps_the_server_and_another_layer_replaces_it() {
    if !can_mount("mounting_twice_keeps_the_server_and_another_layer_replaces_it") {
        return;
    }
    let fixture = Fixture::mounted("sample");
    let pid = fixture.server_pid();
    let outcome = fixture.mount("sample").unwrap();
    assert_eq!(outcome, MountOutcome::AlreadyMounted { server_pid: pid });
    let outcome = fixture.mount("changed").unwrap();
    assert!(matches!(outcome, MountOutcome::Mounted { server_pid, .. } if server_pid != pid));
    assert_eq!(walk(&fixture.root()), tree("changed").expected);
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
    for error in [
        fixture.unmount(UnmountRequest::Strict).unwrap_err(),
        fixture.mount("changed").unwrap_err(),
    ] {
        match error {
            MountError::Busy { holders, .. } => {
                assert!(
                    holders
                        .iter()
                        .any(|holder| holder.pid == std::process::id())
                );
            }
            other => panic!("{other}"),
        }
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
    unmount(
        &moved.join("node_modules"),
        &fixture.run,
        UnmountRequest::Strict,
    )
    .unwrap();
    fs::rename(&moved, &project).unwrap();
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
