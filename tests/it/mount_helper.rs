//! Mounting as an unprivileged user where there is no fusermount3: through the helper.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use pacquet::fs::error::MountError;
use pacquet::fs::kernel::Access;
use pacquet::fs::mount::{UnmountRequest, mount};
use pacquet::fs::mountinfo;

use crate::mount_fixture::{Fixture, can_mount, server_command, tree, walk};

/// Tells a process of this test binary that it is an unprivileged user's: where its files are.
const USER_VARIABLE: &str = "PACQUET_TEST_HELPER_USER";

const DONE: &str = "the helper mounted and unmounted";

/// A scratch directory with the helper set-user-ID root in it, and a `PATH` without fusermount3.
struct Installed(tempfile::TempDir);

impl Installed {
    fn new(test: &str) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let installed = Self(directory);
        let helper = installed.helper();
        pacquet_test_registry::program::copy(&build(), &helper);
        let owned = Command::new("chown").arg("root").arg(&helper).status();
        let setpriv = Command::new("setpriv").arg("--version").output();
        if !owned.unwrap().success() || setpriv.is_err() {
            println!("skipped {test}: needs root and setpriv");
            return None;
        }
        fs::set_permissions(&helper, fs::Permissions::from_mode(0o4755)).unwrap();
        let search = installed.search();
        fs::create_dir(&search).unwrap();
        symlink("/bin/kill", search.join("kill")).unwrap();
        Some(installed)
    }

    fn helper(&self) -> PathBuf {
        self.0.path().join("a-helper")
    }

    fn search(&self) -> PathBuf {
        self.0.path().join("search")
    }
}

/// Builds the helper, which is another package of the workspace, and returns where it is.
fn build() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let target = own.ancestors().nth(3).unwrap();
    let built = Command::new(env!("CARGO"))
        .args([
            "build",
            "--quiet",
            "--offline",
            "--package",
            "pacquet-mount-helper",
        ])
        .arg("--target-dir")
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(
        built.status.success(),
        "{}",
        String::from_utf8_lossy(&built.stderr)
    );
    target.join("debug/pacquet-mount-helper")
}

#[test]
fn without_fusermount3_the_helper_mounts_and_unmounts() {
    let test = "without_fusermount3_the_helper_mounts_and_unmounts";
    if !can_mount(test) {
        return;
    }
    let Some(installed) = Installed::new(test) else {
        return;
    };
    let fixture = Fixture::new();
    let owned = Command::new("chown")
        .args(["-R", "nobody"])
        .arg(fixture.directory.path())
        .status();
    assert!(owned.unwrap().success());
    let used = Command::new("setpriv")
        .args([
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "/usr/bin/env",
        ])
        .arg(format!(
            "{USER_VARIABLE}={}",
            fixture.directory.path().display()
        ))
        .arg(format!("PATH={}", installed.search().display()))
        .arg(std::env::current_exe().unwrap())
        .args(["mount_helper::as_user", "--exact", "--nocapture"])
        .arg("--skip")
        .arg(installed.helper())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&used.stdout);
    let errors = String::from_utf8_lossy(&used.stderr);
    assert!(
        used.status.success() && text.contains(DONE),
        "{text}{errors}"
    );
    assert_eq!(mountinfo::find(&fixture.root()).unwrap(), None);
}

/// Not a test but what the test above runs as another user.
#[test]
fn as_user() {
    let Some(directory) = std::env::var_os(USER_VARIABLE) else {
        return;
    };
    let helper = PathBuf::from(std::env::args_os().next_back().unwrap());
    let mut fixture = Fixture::at(Path::new(&directory));
    refusals(&mut fixture, &helper);
    fixture.mount_helper = Some(helper);
    fixture.mount("sample").unwrap();
    let path = fixture.root();
    assert_eq!(walk(&path), tree("sample").expected);
    let mut held = File::open(path.join("a/package.json")).unwrap();
    let error = fixture.unmount(UnmountRequest::Strict).unwrap_err();
    assert!(matches!(error, MountError::Busy { .. }), "{error}");
    fixture.unmount(UnmountRequest::Lazy).unwrap();
    let mut content = String::new();
    held.read_to_string(&mut content).unwrap();
    assert_eq!(content, "{\"name\":\"a\"}");
    drop(held);
    fixture.mount("sample").unwrap();
    let pid = fixture.signal("-KILL");
    while fixture.server_pid() == pid {
        thread::yield_now();
    }
    fixture.mount("changed").unwrap();
    assert_eq!(walk(&path), tree("changed").expected);
    fixture.unmount(UnmountRequest::Strict).unwrap();
    println!("{DONE}");
}

/// What cannot be mounted without fusermount3, and what is said then.
fn refusals(fixture: &mut Fixture, helper: &Path) {
    let error = fixture.mount("sample").unwrap_err();
    let said = error.to_string();
    assert!(matches!(error, MountError::NoMountProgram { .. }), "{said}");
    assert!(
        said.contains("fusermount3") && said.contains("pacquet-mount-helper"),
        "{said}"
    );
    let absent = helper.with_file_name("absent");
    fixture.mount_helper = Some(absent.clone());
    let said = fixture.mount("sample").unwrap_err().to_string();
    assert!(said.contains(absent.to_str().unwrap()), "{said}");
    for program in ["/bin/true", "/bin/false"] {
        fixture.mount_helper = Some(program.into());
        let error = fixture.mount("sample").unwrap_err();
        assert!(matches!(error, MountError::Server { .. }), "{error}");
        assert!(error.to_string().contains(program), "{error}");
    }
    fixture.mount_helper = Some(helper.to_owned());
    let mut plan = fixture.plan("sample");
    plan.access = Access::Everybody;
    let error = mount(&plan, &fixture.run, &server_command("sample")).unwrap_err();
    assert!(error.to_string().contains("allow-other"), "{error}");
    assert_eq!(mountinfo::find(&fixture.root()).unwrap(), None);
}
