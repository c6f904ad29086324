//! A scratch project for tests that run the program itself: its own home, store and cache, a
//! registry on loopback, and a guard that takes its mounts down.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use pacquet_test_registry::{Package, Registry, lockfile};
use serde_json::Value;

/// No test that mounts may take longer; after it the connection is aborted.
const HANG_AFTER: Duration = Duration::from_secs(300);

/// A server that takes longer to end is left alone.
const SERVERS_END_WITHIN: Duration = Duration::from_secs(60);

/// Whether this machine can mount. In CI a machine that cannot is a failure, elsewhere the test is
/// skipped by name.
pub(crate) fn can_mount(test: &str) -> bool {
    let device = Path::new("/dev/fuse").exists();
    let root = fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    let able = device && (root || which("fusermount3"));
    if !able {
        assert!(
            std::env::var_os("CI").is_none(),
            "{test}: /dev/fuse or fusermount3 is missing"
        );
        eprintln!("skipped: {test}: /dev/fuse or fusermount3 is missing");
    }
    able
}

fn which(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).exists())
}

/// A project in a scratch directory.
pub(crate) struct Project {
    scratch: tempfile::TempDir,
    pub(crate) registry: Registry,
    _guard: mpsc::Sender<()>,
}

impl Project {
    /// An empty project and an empty registry.
    pub(crate) fn new() -> Self {
        let scratch = tempfile::Builder::new()
            .prefix("pacquet-it-")
            .tempdir()
            .expect("scratch");
        let registry = Registry::start();
        fs::create_dir(scratch.path().join("project")).expect("project");
        fs::create_dir(scratch.path().join("home")).expect("home");
        fs::create_dir(scratch.path().join("run")).expect("run");
        fs::set_permissions(scratch.path().join("run"), PermissionsExt::from_mode(0o700))
            .expect("run is private");
        let guard = hang_guard(scratch.path().to_owned());
        let project = Self {
            scratch,
            registry,
            _guard: guard,
        };
        project.write(".npmrc", &format!("registry={}\n", project.registry.url()));
        project
    }

    /// A workspace with these manifests below `packages/`, a registry with `packages`, and no
    /// lockfile.
    pub(crate) fn workspace(
        packages: &[Package],
        settings: &str,
        manifests: &[(&str, &str)],
    ) -> Self {
        let project = Self::new();
        for package in packages {
            project.registry.publish(package);
        }
        project.write("package.json", "{}");
        let settings = format!("packages:\n  - packages/*\n{settings}");
        project.write("pnpm-workspace.yaml", &settings);
        project.write_projects(manifests);
        project
    }

    /// Writes these manifests below `packages/`.
    pub(crate) fn write_projects(&self, manifests: &[(&str, &str)]) {
        for (name, manifest) in manifests {
            self.write(&format!("packages/{name}/package.json"), manifest);
        }
    }

    /// A project that depends on `packages` as `manifest` says, with a lockfile that fits.
    pub(crate) fn locked(manifest: &Value, packages: &[Package]) -> Self {
        let project = Self::new();
        for package in packages {
            project.registry.publish(package);
        }
        project.write("package.json", &manifest.to_string());
        let text = lockfile::write(manifest, packages).expect("the dependencies are there");
        project.write("pnpm-lock.yaml", &text);
        project
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.scratch.path().join("project")
    }

    pub(crate) fn node_modules(&self) -> PathBuf {
        self.root().join("node_modules")
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.scratch.path().join("store")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// Writes a file of the project.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        fs::write(path, text).expect("written");
    }

    /// Writes a file of the user's home.
    pub(crate) fn write_home(&self, path: &str, text: &str) {
        fs::write(self.path("home").join(path), text).expect("written");
    }

    /// Takes the mount down and removes store and cache.
    pub(crate) fn forget_everything(&self) {
        if self.is_mounted() {
            self.unmount();
        }
        for directory in [self.store(), self.path("cache")] {
            let _ = fs::remove_dir_all(directory);
        }
    }

    /// The program, in an environment of its own.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pacquet"));
        command
            .args(arguments)
            .current_dir(self.root())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.scratch.path().join("home"))
            .env("XDG_RUNTIME_DIR", self.scratch.path().join("run"))
            .env("PACQUET_STORE_DIR", self.store())
            .env("PACQUET_CACHE_DIR", self.scratch.path().join("cache"))
            .env("PNPM_CONFIG_FETCH_RETRY_MINTIMEOUT", "10")
            .env("PNPM_CONFIG_FETCH_RETRY_MAXTIMEOUT", "50")
            .stdin(Stdio::null());
        command
    }

    /// The same through another program, to which its path is the last of the arguments.
    pub(crate) fn command_through(&self, launcher: &str, arguments: &[&str]) -> Command {
        let program = self.command(&[]);
        let mut command = Command::new(launcher);
        command.args(arguments).arg(program.get_program());
        command.current_dir(self.root()).env_clear();
        let variables = program.get_envs();
        command.envs(variables.filter_map(|(name, value)| Some((name, value?))));
        command
    }

    /// Runs the program to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments)
            .output()
            .expect("the program starts")
    }

    /// Runs the program and insists on success.
    pub(crate) fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(
            output.status.success(),
            "{arguments:?}: {:?}\n{}",
            output.status.code(),
            String::from_utf8_lossy(&output.stderr),
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs the program, insists on exit code 1, and returns what it said.
    pub(crate) fn fail(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        said
    }

    /// Installs by mounting, as most tests do.
    pub(crate) fn install(&self) -> String {
        self.succeed(&[
            "install",
            "--virtual",
            "--frozen-lockfile",
            "--ignore-scripts",
        ])
    }

    /// Installs, insists on failure and that nothing is mounted, and returns what was said.
    pub(crate) fn refuse(&self) -> String {
        let said = self.fail(&[
            "install",
            "--virtual",
            "--frozen-lockfile",
            "--ignore-scripts",
        ]);
        assert!(!self.is_mounted(), "{said}");
        assert!(said.contains("\nhint: "), "what to do is missing: {said}");
        said
    }

    pub(crate) fn unmount(&self) {
        self.succeed(&["unmount"]);
    }

    pub(crate) fn is_mounted(&self) -> bool {
        mounts_below(self.scratch.path()).contains(&self.node_modules())
    }

    /// The object of this project in `status --json`, which lists every mount of the user.
    pub(crate) fn status(&self) -> Value {
        let text = self.succeed(&["status", "--json"]);
        let list: Value = serde_json::from_str(&text).expect("JSON");
        let own = self.node_modules();
        let mut mounts = list.as_array().expect("a list").iter();
        let is_own = |mount: &&Value| mount["mountpoint"].as_str() == own.to_str();
        mounts
            .find(is_own)
            .cloned()
            .expect("the mount of this project")
    }

    /// How many packages the store says it has.
    pub(crate) fn packages_in_store(&self) -> u64 {
        let text = self.succeed(&["store", "status", "--json"]);
        let object: Value = serde_json::from_str(&text).expect("JSON");
        object["packages"].as_u64().expect("a number")
    }

    /// Insists that nothing is indexed and that no temporary file is left.
    pub(crate) fn assert_store_is_empty(&self, what: &str) {
        let text = self.succeed(&["store", "status", "--json"]);
        let object: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(object["packages"], 0, "{what}: {text}");
        self.assert_no_temporary_files(what);
    }

    /// Insists that no temporary file is left in the store.
    pub(crate) fn assert_no_temporary_files(&self, what: &str) {
        let list = fs::read_dir(self.store().join("tmp"))
            .into_iter()
            .flatten()
            .flatten();
        let left: Vec<_> = list.map(|entry| entry.path()).collect();
        assert!(left.is_empty(), "{what}: {left:?}");
    }

    /// Every path below `node_modules` with what it is: `d`, `f <mode> <content>`, `l <target>`.
    pub(crate) fn tree(&self) -> BTreeMap<String, String> {
        tree(&self.node_modules())
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        take_down(self.scratch.path());
    }
}

/// Runs a program to its end, and tells how much memory it had at most.
pub(crate) fn peak_resident_bytes(mut command: Command) -> (Output, u64) {
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let status = PathBuf::from(format!("/proc/{}/status", child.id()));
    let (sender, receiver) = mpsc::channel::<()>();
    // The high-water mark never falls, so the last look before the end tells nearly all of it.
    let watcher = std::thread::spawn(move || {
        let mut peak = 0;
        loop {
            let text = fs::read_to_string(&status).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
            let now = kibibytes
                .and_then(|number| number.trim().parse().ok())
                .unwrap_or(0);
            peak = std::cmp::max(peak, now * 1024);
            let ended = receiver.recv_timeout(Duration::from_millis(2));
            if ended != Err(mpsc::RecvTimeoutError::Timeout) {
                return peak;
            }
        }
    });
    let output = child.wait_with_output().expect("it ends");
    drop(sender);
    (output, watcher.join().expect("the watcher ends"))
}

/// Every path below `root` with what it is.
pub(crate) fn tree(root: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for entry in walkdir::WalkDir::new(root).min_depth(1) {
        let entry = entry.expect("readable");
        let path = entry.path();
        let name = path
            .strip_prefix(root)
            .expect("below")
            .to_string_lossy()
            .into_owned();
        let kind = entry.file_type();
        let what = if kind.is_dir() {
            "d".to_owned()
        } else if kind.is_symlink() {
            format!("l {}", fs::read_link(path).expect("a target").display())
        } else {
            let executable = entry.metadata().expect("metadata").mode() & 0o111 != 0;
            let content = fs::read(path).expect("content");
            format!("f {executable} {}", String::from_utf8_lossy(&content))
        };
        found.insert(name, what);
    }
    found
}

fn mounts_below(scratch: &Path) -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    table
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(PathBuf::from)
        .filter(|path| path.starts_with(scratch))
        .collect()
}

/// Takes every mount below `scratch` down, by force where it must be, and waits for those who
/// served them: they may still write what they have learned into the cache.
fn take_down(scratch: &Path) {
    unmount_below(scratch);
    let end = Instant::now() + SERVERS_END_WITHIN;
    while serves_below(scratch) && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether a server or a supervisor has something to do with `scratch`.
fn serves_below(scratch: &Path) -> bool {
    let scratch = scratch.as_os_str().as_encoded_bytes();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|process| fs::read(process.path().join("cmdline")).ok())
        .any(|line| {
            let mut words = line.split(|byte| *byte == 0);
            words.any(|word| word == b"serve") && words.any(|word| word.starts_with(scratch))
        })
}

fn unmount_below(scratch: &Path) {
    for mountpoint in mounts_below(scratch).into_iter().rev() {
        for program in ["umount", "fusermount3"] {
            let flags: &[&str] = if program == "umount" {
                &["-l"]
            } else {
                &["-u", "-z"]
            };
            let done = Command::new(program)
                .args(flags)
                .arg(&mountpoint)
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success());
            if done {
                break;
            }
        }
    }
}

/// Aborts the FUSE connections below `scratch` when the test takes too long, so that whatever
/// waits for them fails instead of hanging for ever.
fn hang_guard(scratch: PathBuf) -> mpsc::Sender<()> {
    let (sender, receiver) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        if receiver.recv_timeout(HANG_AFTER) != Err(mpsc::RecvTimeoutError::Timeout) {
            return;
        }
        eprintln!("{}: aborting a mount that hangs", scratch.display());
        let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        for line in table.lines() {
            let fields: Vec<&str> = line.split(' ').collect();
            let inside = fields
                .get(4)
                .is_some_and(|path| Path::new(path).starts_with(&scratch));
            let device = fields.get(2).and_then(|device| device.split_once(':'));
            if let (true, Some((_, minor))) = (inside, device) {
                let _ = fs::write(format!("/sys/fs/fuse/connections/{minor}/abort"), "1");
            }
        }
    });
    sender
}

/// A child that is killed and waited for when the test ends.
pub(crate) struct Killed(pub(crate) std::process::Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
