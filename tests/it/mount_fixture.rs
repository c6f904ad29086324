//! Real mounts: a server process, the kernel, and programs that look.
//!
//! Needs root or fusermount3, and `/dev/fuse`. Without them each test says that it was skipped, and
//! fails where `CI` is set.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use pacquet::fs::control::RunDirectory;
use pacquet::fs::error::MountError;
use pacquet::fs::kernel::Access;
use pacquet::fs::layer;
use pacquet::fs::memory::{LayoutSketch, MemoryPackages};
use pacquet::fs::mount::{
    MountOutcome, MountPlan, RealFiles, ServerCommand, UnmountRequest, mount, run_server, unmount,
};
use pacquet::fs::mountinfo;
use pacquet::fs::package::{CacheLimits, Package, PackageSource};
use pacquet::fs::server::{ServeArguments, Service};
use pacquet::fs::status::{MountStatus, status_where};
use pacquet::fs::stored::{Reads, StoredPackages};
use pacquet::install::layout::{DirectoryIndex, Layout, LayoutEntry};
use pacquet::install::lockfile::ImporterId;
use pacquet::store::{Access as StoreAccess, PackId, Store};

/// Time after which a test's mount is taken from it.
pub(crate) const DEADLINE: Duration = Duration::from_secs(300);

/// Tells a process of this test binary that it is a server, and of which tree.
pub(crate) const SERVER_VARIABLE: &str = "PACQUET_TEST_TREE";

/// Tells a process of this test binary that it is another user's, and where its files are.
pub(crate) const NOBODY_VARIABLE: &str = "PACQUET_TEST_NOBODY";

pub(crate) const ROOT: DirectoryIndex = DirectoryIndex(0);

pub(crate) const LARGE_BYTES: usize = 64 << 20;

/// What tests expect at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expected {
    Directory,
    Symlink(String),
    File(Vec<u8>, bool),
}

impl Expected {
    fn of(entry: &LayoutEntry) -> Self {
        match entry {
            LayoutEntry::Symlink(target) => Self::Symlink(target.to_string()),
            LayoutEntry::File {
                content,
                executable,
            } => Self::File(content.to_vec(), *executable),
            LayoutEntry::Directory(_) => Self::Directory,
        }
    }
}

pub(crate) struct Tree {
    pub(crate) layout: Layout,
    pub(crate) packages: MemoryPackages,
    pub(crate) expected: BTreeMap<String, Expected>,
}

pub(crate) fn pack(number: u8) -> PackId {
    PackId([number; 32])
}

/// A little of everything.
pub(crate) fn sample() -> Tree {
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
    let target = "../".repeat(500) + "far";
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
        expect(&mut expected, path, Expected::of(entry));
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

pub(crate) fn expect(expected: &mut BTreeMap<String, Expected>, path: &str, shown: Expected) {
    for (at, _) in path.match_indices('/') {
        expected.insert(path[..at].to_owned(), Expected::Directory);
    }
    expected.insert(path.to_owned(), shown);
}

/// One package of these files.
pub(crate) fn single(files: &[(&str, &[u8], bool)]) -> Tree {
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
pub(crate) fn wide() -> Tree {
    let names: Vec<String> = (0..10_000).map(|number| format!("file-{number}")).collect();
    let files: Vec<(&str, &[u8], bool)> = names
        .iter()
        .map(|name| (name.as_str(), name.as_bytes(), false))
        .collect();
    single(&files)
}

/// A file of 64 MB in which every page is different.
pub(crate) fn large() -> Tree {
    let mut content = vec![0; LARGE_BYTES];
    for (number, word) in content.chunks_exact_mut(8).enumerate() {
        word.copy_from_slice(&(number as u64).to_le_bytes());
    }
    single(&[("large", &content, false)])
}

/// The sample with another state file: another layer of the same packages.
pub(crate) fn changed() -> Tree {
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
pub(crate) fn broken() -> Tree {
    let mut tree = single(&[("index.js", b"1", false)]);
    let mut sketch = LayoutSketch::new(ImporterId(None));
    sketch.package(ROOT, "p", pack(3)).unwrap();
    sketch.package(ROOT, "missing", pack(99)).unwrap();
    tree.layout = sketch.into_layout();
    tree
}

/// The sample, and a second tree that shows one of its packages.
pub(crate) fn double() -> Tree {
    let mut tree = sample();
    let mut sketch = LayoutSketch::new(ImporterId(None));
    sketch.package(ROOT, "first", pack(1)).unwrap();
    let root = sketch.add_tree(ImporterId(None));
    sketch.package(root, "second", pack(2)).unwrap();
    tree.layout = sketch.into_layout();
    tree
}

/// Packages of which the trees "before" and "after" show some.
fn versions() -> MemoryPackages {
    let mut packages = MemoryPackages::default();
    for (number, version) in [
        (11, "a1"),
        (12, "a2"),
        (13, "b"),
        (14, "c1"),
        (15, "c2"),
        (16, "d"),
    ] {
        let content = version.as_bytes();
        let only = format!("only-{version}");
        let files: &[(&str, &[u8], bool)] = &[
            ("package.json", content, false),
            ("lib/index.js", content, false),
            (&only, content, false),
        ];
        packages.add(pack(number), files);
    }
    packages
}

/// A project before and after an install: `a` has another version, `b` the same, `c` another one at
/// the same path, `d` is new, and so are a state file and a command.
fn version(name: &str) -> Tree {
    let is_after = name == "after";
    let (a, c) = if is_after {
        ((12, "a2"), (15, "c2"))
    } else {
        ((11, "a1"), (14, "c1"))
    };
    let mut shown = vec![
        (format!(".pnpm/{}/node_modules/a", a.1), a),
        (".pnpm/b/node_modules/b".to_owned(), (13, "b")),
        ("c".to_owned(), c),
    ];
    let mut links = vec![("a", shown[0].0.clone()), ("b", shown[1].0.clone())];
    if is_after {
        shown.push((".pnpm/d/node_modules/d".to_owned(), (16, "d")));
        links.push(("d", shown[3].0.clone()));
    }
    let mut sketch = LayoutSketch::new(ImporterId(None));
    let mut expected = BTreeMap::new();
    for (path, (number, version)) in &shown {
        sketch.package(ROOT, path, pack(*number)).unwrap();
        for file in ["package.json", "lib/index.js", &format!("only-{version}")] {
            let content = Expected::File(version.as_bytes().into(), false);
            expect(&mut expected, &format!("{path}/{file}"), content);
        }
    }
    let state = LayoutEntry::File {
        content: name.as_bytes().into(),
        executable: false,
    };
    let links = links
        .into_iter()
        .map(|(name, target)| (name.to_owned(), LayoutEntry::Symlink(target.into())));
    for (path, entry) in links.chain([(".modules.yaml".to_owned(), state)]) {
        sketch.entry(ROOT, &path, entry.clone()).unwrap();
        expect(&mut expected, &path, Expected::of(&entry));
    }
    Tree {
        layout: sketch.into_layout(),
        packages: versions(),
        expected,
    }
}

pub(crate) fn tree(name: &str) -> Tree {
    match name {
        // The server of "watched" tells watchers of swaps.
        "before" | "after" | "watched" | "killed" => version(name),
        // The server of this one panics where it opens the second package.
        "panicking" => sample(),
        "double" => double(),
        "sample" => sample(),
        "wide" => wide(),
        "large" => large(),
        "changed" => changed(),
        "broken" => broken(),
        other => panic!("no tree {other}"),
    }
}

/// Opens every pack but one, for which there is a bug.
struct Panicking(MemoryPackages);

impl PackageSource for Panicking {
    fn open(&self, wanted: &PackId) -> io::Result<Arc<dyn Package>> {
        assert_ne!(*wanted, pack(2), "the bug");
        self.0.open(wanted)
    }
}

/// What the server of the tree with this name reads: memory, or the store that it was told.
fn packages(name: &str, arguments: &ServeArguments) -> Box<dyn PackageSource> {
    match name {
        "stored" => {
            let store = Store::open(&arguments.store, StoreAccess::ReadOnly).unwrap();
            Box::new(StoredPackages::new(Arc::new(store), Reads::Trusted))
        }
        "panicking" => Box::new(Panicking(tree(name).packages)),
        other => Box::new(tree(other).packages),
    }
}

/// Runs the walker. Where there is a number in the file `kill-at`, the server is killed once the
/// walker was given so many words.
const KILLING_WALKER: &str = r#"
at="${2%/project/node_modules}/kill-at"
if mv "$at" "$at.taken" 2>/dev/null; then
  rm -f "$at.words"
  mkfifo "$at.words"
  server=$PPID
  exec 3<&0
  { head -z -n "$(cat "$at.taken")" <&3; sleep 0.1; kill -KILL "$server"; } > "$at.words" &
  exec "$1" walk "$2" < "$at.words" 3<&-
fi
exec "$1" walk "$2"
"#;

/// What looks into the tree on behalf of the server of the tree with this name.
fn walker(name: &str) -> Option<ServerCommand> {
    let program = env!("CARGO_BIN_EXE_pacquet").into();
    match name {
        "watched" => Some(ServerCommand {
            program,
            leading_args: vec!["walk".into()],
        }),
        "killed" => Some(ServerCommand {
            program: "/bin/sh".into(),
            leading_args: vec![
                "-c".into(),
                KILLING_WALKER.into(),
                "sh".into(),
                program.into(),
            ],
        }),
        _ => None,
    }
}

/// Not a test but the server of the others, which start this binary again.
#[test]
fn server() {
    let Some(name) = std::env::var_os(SERVER_VARIABLE) else {
        return;
    };
    let args: Vec<OsString> = std::env::args_os().collect();
    let begin = args.iter().position(|arg| arg == "--").unwrap() + 1;
    let served = run_server(args[begin..].to_vec(), |arguments: &ServeArguments| {
        Ok::<_, MountError>(Service {
            packages: packages(name.to_str().unwrap(), arguments),
            cache_limits: CacheLimits::default(),
            settle: Box::new(|| ()),
            walker: walker(name.to_str().unwrap()),
        })
    });
    assert!(served.is_ok(), "{served:?}");
}

/// Starts this test binary as a server. The signals are blocked before it begins, because the test
/// harness has threads that a server has not.
pub(crate) fn server_command(tree: &str) -> ServerCommand {
    let exe = std::env::current_exe().unwrap();
    ServerCommand {
        program: "/usr/bin/env".into(),
        leading_args: vec![
            "--block-signal=TERM,INT,HUP".into(),
            format!("{SERVER_VARIABLE}={tree}").into(),
            exe.into(),
            "mount_fixture::server".into(),
            "--exact".into(),
            "--nocapture".into(),
            "--test-threads=2".into(),
            "--".into(),
        ],
    }
}

/// Says why a test that needs a mount cannot run here, and fails it in CI.
pub(crate) fn can_mount(test: &str) -> bool {
    let reason = match OpenOptions::new().read(true).write(true).open("/dev/fuse") {
        Ok(_) => return true,
        Err(error) => format!("/dev/fuse: {error}"),
    };
    assert!(std::env::var_os("CI").is_none(), "{test}: {reason}");
    println!("skipped {test}: {reason}");
    false
}

/// Where a fixture's files are.
pub(crate) enum Scratch {
    Made(tempfile::TempDir),
    Given(PathBuf),
}

impl Scratch {
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Made(directory) => directory.path(),
            Self::Given(path) => path,
        }
    }
}

/// A mounted project. Unmounts when dropped; aborts when it takes too long.
pub(crate) struct Fixture {
    pub(crate) directory: Scratch,
    root: PathBuf,
    pub(crate) run: RunDirectory,
    pub(crate) overdue: Arc<AtomicBool>,
    /// Where the mount helper was configured to be.
    pub(crate) mount_helper: Option<PathBuf>,
    _guard: mpsc::Sender<Infallible>,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self::with(Scratch::Made(tempfile::tempdir().unwrap()))
    }

    /// In a directory that somebody else made.
    pub(crate) fn at(directory: &Path) -> Self {
        Self::with(Scratch::Given(directory.to_owned()))
    }

    fn with(directory: Scratch) -> Self {
        let run = RunDirectory::at(&directory.path().join("run")).unwrap();
        fs::create_dir_all(directory.path().join("project")).unwrap();
        let (guard, done) = mpsc::channel();
        let overdue = Arc::new(AtomicBool::new(false));
        let project = directory.path().join("project").canonicalize().unwrap();
        let fixture = Self {
            directory,
            root: project.join("node_modules"),
            run,
            overdue: Arc::clone(&overdue),
            mount_helper: None,
            _guard: guard,
        };
        let (root, run) = (fixture.root(), fixture.run.clone());
        thread::spawn(move || {
            if done.recv_timeout(DEADLINE) == Err(mpsc::RecvTimeoutError::Timeout) {
                overdue.store(true, Ordering::SeqCst);
                let _ = unmount(&root, &run, UnmountRequest::Force, None);
            }
        });
        fixture
    }

    pub(crate) fn mounted(tree: &str) -> Self {
        let fixture = Self::new();
        let outcome = fixture.mount(tree).unwrap();
        assert!(
            matches!(outcome, MountOutcome::Mounted { .. }),
            "{outcome:?}"
        );
        fixture
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.root.clone()
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root().join(path)
    }

    pub(crate) fn plan(&self, name: &str) -> MountPlan {
        self.plan_of(name, &tree(name).layout)
    }

    pub(crate) fn plan_of(&self, name: &str, layout: &Layout) -> MountPlan {
        let image = layer::build(layout).unwrap();
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
            forgotten: Vec::new(),
            restores: false,
            clears: false,
            mount_helper: self.mount_helper.clone(),
            profiles: None,
        }
    }

    pub(crate) fn mount(&self, tree: &str) -> Result<MountOutcome, MountError> {
        mount(&self.plan(tree), &self.run, &server_command(tree))
    }

    pub(crate) fn unmount(&self, request: UnmountRequest) -> Result<(), MountError> {
        unmount(
            &self.root(),
            &self.run,
            request,
            self.mount_helper.as_deref(),
        )
    }

    pub(crate) fn server_pid(&self) -> u32 {
        let statuses = self.statuses();
        statuses[0].state.as_ref().unwrap().server.pid
    }

    pub(crate) fn statuses(&self) -> Vec<MountStatus> {
        // A look at the mounts of other tests would be a request that they count.
        status_where(&self.run, |mountpoint| mountpoint == self.root()).unwrap()
    }

    /// How many requests of each kind the server has had.
    pub(crate) fn requests(&self) -> BTreeMap<String, u64> {
        let report = self.statuses()[0].report.clone().unwrap();
        report.requests.into_iter().collect()
    }

    /// Sends a signal to the server. One that has just died is still written down for a moment.
    pub(crate) fn signal(&self, signal: &str) -> u32 {
        let began = Instant::now();
        loop {
            let pid = self.server_pid();
            let sent = Command::new("kill")
                .args([signal, &pid.to_string()])
                .stderr(Stdio::null())
                .status();
            if sent.unwrap().success() {
                // The kernel stops a process when it gets to it, not when it is told.
                while signal == "-STOP" && !is_stopped(pid) {
                    assert!(began.elapsed() < DEADLINE, "it goes on");
                    thread::sleep(Duration::from_millis(1));
                }
                return pid;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "no server");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Whether all threads of a process have stopped (proc(5), `status`).
fn is_stopped(pid: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    threads.flatten().all(|thread| {
        let status = fs::read_to_string(thread.path().join("status")).unwrap_or_default();
        status.contains("State:\tT")
    })
}

impl Drop for Fixture {
    fn drop(&mut self) {
        for _ in 0..4 {
            let _ = self.unmount(UnmountRequest::Force);
        }
        if !thread::panicking() {
            assert!(!self.overdue.load(Ordering::SeqCst), "it took too long");
            assert_eq!(mountinfo::find(&self.root).unwrap(), None);
        }
    }
}

/// Everything below `root`, by path.
pub(crate) fn walk(root: &Path) -> BTreeMap<String, Expected> {
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
