//! Random changes, made in a mounted tree and in a real one.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pacquet::fs::mount::UnmountRequest;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::mount_fixture::{Expected, Fixture, can_mount, tree, walk};

#[derive(Debug, Clone)]
enum Change {
    Write(String, Vec<u8>),
    Append(String, Vec<u8>),
    Patch(String, u16, Vec<u8>),
    Truncate(String, u16),
    MakeDirectory(String),
    Unlink(String),
    RemoveDirectory(String),
    RemoveAll(String),
    Rename(String, String),
    RenameUnlessThere(String, String),
    Exchange(String, String),
    Link(String, String),
    Symlink(String, String),
    Mode(String, u16),
    /// Unmount and mount again.
    Remount,
    /// Kill the server.
    Kill,
    /// Put another layer of the same packages in the place of the present one.
    Swap,
}

const PACKAGE: &str = ".pnpm/a@1.0.0/node_modules/a";
const STATE: &str = ".modules.yaml";

/// Paths that are there at first, and some that can be made.
fn paths() -> impl Strategy<Value = String> {
    let names = prop::sample::select(vec![
        "",
        "lib",
        "lib/index.js",
        "lib/deep",
        "lib/deep/er",
        "lib/deep/er/empty",
        "bin",
        "package.json",
        "node_modules",
        "node_modules/bundled",
        "node_modules/bundled/index.js",
        "node_modules/.bin",
        "node_modules/.bin/tool",
        "x",
        "x/y",
        "lib/x",
        "x/index.js",
        "x/deep",
        "x/deep/er/empty",
    ]);
    let packages = prop::sample::select(vec![PACKAGE, PACKAGE, PACKAGE, "z", "@s"]);
    (packages, names).prop_map(|(package, name)| {
        let path = format!("{package}/{name}");
        path.trim_end_matches('/').to_owned()
    })
}

fn change() -> impl Strategy<Value = Change> {
    let bytes = prop::collection::vec(any::<u8>(), 0..40);
    prop_oneof![
        4 => (paths(), bytes.clone()).prop_map(|(path, bytes)| Change::Write(path, bytes)),
        2 => (paths(), bytes.clone()).prop_map(|(path, bytes)| Change::Append(path, bytes)),
        2 => (paths(), 0..9000_u16, bytes)
            .prop_map(|(path, at, bytes)| Change::Patch(path, at, bytes)),
        2 => (paths(), 0..9000_u16).prop_map(|(path, size)| Change::Truncate(path, size)),
        4 => paths().prop_map(Change::MakeDirectory),
        4 => paths().prop_map(Change::Unlink),
        3 => paths().prop_map(Change::RemoveDirectory),
        2 => paths().prop_map(Change::RemoveAll),
        8 => (paths(), paths()).prop_map(|(from, to)| Change::Rename(from, to)),
        2 => (paths(), paths()).prop_map(|(from, to)| Change::RenameUnlessThere(from, to)),
        6 => (paths(), paths()).prop_map(|(from, to)| Change::Exchange(from, to)),
        3 => (paths(), paths()).prop_map(|(from, to)| Change::Link(from, to)),
        2 => (paths(), paths()).prop_map(|(from, to)| Change::Symlink(from, to)),
        2 => (paths(), 0..4_u16).prop_map(|(path, mode)| Change::Mode(path, mode)),
        1 => Just(Change::Remount),
        1 => Just(Change::Kill),
        1 => Just(Change::Swap),
    ]
}

impl Change {
    fn make(&self, root: &Path) -> io::Result<()> {
        let at = |path: &str| root.join(path);
        match self {
            Self::Write(path, bytes) => fs::write(at(path), bytes),
            Self::Append(path, bytes) => {
                let mut file = OpenOptions::new().append(true).open(at(path))?;
                file.write_all(bytes)
            }
            Self::Patch(path, offset, bytes) => {
                let file = OpenOptions::new().write(true).open(at(path))?;
                file.write_all_at(bytes, (*offset).into())
            }
            Self::Truncate(path, size) => {
                let file = OpenOptions::new().write(true).open(at(path))?;
                file.set_len((*size).into())
            }
            Self::MakeDirectory(path) => fs::create_dir(at(path)),
            Self::Unlink(path) => fs::remove_file(at(path)),
            Self::RemoveDirectory(path) => fs::remove_dir(at(path)),
            Self::RemoveAll(path) => fs::remove_dir_all(at(path)),
            Self::Rename(from, to) => fs::rename(at(from), at(to)),
            Self::RenameUnlessThere(from, to) => {
                let flags = RenameFlags::NOREPLACE;
                Ok(renameat_with(CWD, at(from), CWD, at(to), flags)?)
            }
            Self::Exchange(from, to) => {
                let flags = RenameFlags::EXCHANGE;
                Ok(renameat_with(CWD, at(from), CWD, at(to), flags)?)
            }
            Self::Link(from, to) => fs::hard_link(at(from), at(to)),
            Self::Symlink(target, path) => symlink(target, at(path)),
            Self::Mode(path, mode) => {
                let mode = [0o600, 0o644, 0o755, 0o700][usize::from(*mode)];
                fs::set_permissions(at(path), fs::Permissions::from_mode(mode))
            }
            Self::Remount | Self::Kill | Self::Swap => Ok(()),
        }
    }
}

/// Makes a real tree of what was installed.
pub(super) fn copy(root: &Path, expected: &BTreeMap<String, Expected>) {
    fs::create_dir(root).unwrap();
    for (path, shown) in expected {
        let path = root.join(path);
        match shown {
            Expected::Directory => fs::create_dir(path).unwrap(),
            Expected::Symlink(target) => symlink(target, path).unwrap(),
            Expected::File(content, executable) => {
                fs::write(&path, content).unwrap();
                let mode = if *executable { 0o755 } else { 0o644 };
                fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
            }
        }
    }
}

/// What `stat` must say alike: modes, link counts of files, which names are links of one file.
fn facts(root: &Path) -> BTreeMap<PathBuf, (u32, u64, PathBuf)> {
    let mut facts = BTreeMap::new();
    let mut firsts = BTreeMap::new();
    for path in walk(root).into_keys() {
        let metadata = fs::symlink_metadata(root.join(&path)).unwrap();
        let links = if metadata.is_dir() {
            1
        } else {
            metadata.nlink()
        };
        let path = PathBuf::from(path);
        let first: &PathBuf = firsts.entry(metadata.ino()).or_insert_with(|| path.clone());
        facts.insert(path.clone(), (metadata.mode(), links, first.clone()));
    }
    facts
}

fn check(fixture: &Fixture, real: &Path, changes: &[Change]) -> Result<(), TestCaseError> {
    let mut layers = ["sample", "changed"];
    for change in changes {
        match change {
            Change::Remount => {
                fixture.unmount(UnmountRequest::Strict).unwrap();
                fixture.mount(layers[0]).unwrap();
            }
            Change::Swap => {
                layers.reverse();
                fixture.mount(layers[0]).unwrap();
                // The one file in which they differ, and no change is about it.
                let Expected::File(content, _) = &tree(layers[0]).expected[STATE] else {
                    panic!("no file");
                };
                fs::write(real.join(STATE), content).unwrap();
            }
            Change::Kill => {
                // The one before may have been killed so lately that it is still the one known.
                let pid = fixture.server_pid().to_string();
                let _ = Command::new("kill")
                    .args(["-KILL", &pid])
                    .stderr(Stdio::null())
                    .status();
            }
            change => {
                let expected = change.make(real).map_err(|error| error.raw_os_error());
                let found = change.make(&fixture.root());
                let found = found.map_err(|error| error.raw_os_error());
                prop_assert_eq!(found, expected, "{:?}", change);
            }
        }
    }
    prop_assert_eq!(walk(&fixture.root()), walk(real));
    prop_assert_eq!(facts(&fixture.root()), facts(real));
    fixture.unmount(UnmountRequest::Strict).unwrap();
    fixture.mount(layers[0]).unwrap();
    prop_assert_eq!(walk(&fixture.root()), walk(real));
    prop_assert_eq!(facts(&fixture.root()), facts(real));
    Ok(())
}

#[test]
fn random_changes_do_what_they_do_in_a_real_directory() {
    if !can_mount("random_changes_do_what_they_do_in_a_real_directory") {
        return;
    }
    let mut runner = TestRunner::new(Config {
        cases: 24,
        failure_persistence: None,
        ..Config::default()
    });
    let changes = prop::collection::vec(change(), 1..60);
    runner
        .run(&changes, |changes| {
            let fixture = Fixture::mounted("sample");
            let real = fixture.directory.path().join("real");
            copy(&real, &walk(&fixture.root()));
            check(&fixture, &real, &changes)
        })
        .unwrap();
}
