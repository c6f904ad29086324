//! The store under a tree that is written, and a full file system under what is written.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use pacquet::fs::memory::LayoutSketch;
use pacquet::fs::mount::{UnmountRequest, mount};
use pacquet::install::lockfile::ImporterId;
use pacquet::store::{Access, IngestOptions, PackageKey, Store};
use rustix::mount::MountFlags;
use sha2::{Digest, Sha256};

use crate::mount_fixture::{Fixture, ROOT, can_mount, server_command, tree, walk};

/// A mounted package of the store, shown at `one` and `two`.
fn stored() -> Fixture {
    let fixture = Fixture::new();
    let source = fixture.directory.path().join("source");
    fs::create_dir_all(source.join("lib")).unwrap();
    fs::write(source.join("package.json"), "{}").unwrap();
    fs::write(source.join("lib/large"), vec![b'x'; 300_000]).unwrap();
    fs::copy("/bin/cat", source.join("tool")).unwrap();
    let path = fixture.directory.path().join("store");
    let store = Store::open(&path, Access::ReadWrite).unwrap();
    let options = IngestOptions::new(PackageKey::new("p", "p", None));
    let packed = store.ingest_directory(&source, &options).unwrap();
    let mut sketch = LayoutSketch::new(ImporterId(None));
    for place in ["one", "two"] {
        sketch.package(ROOT, place, packed.record.pack).unwrap();
    }
    store.commit(&[packed]).unwrap();
    let plan = fixture.plan_of("stored", &sketch.into_layout());
    mount(&plan, &fixture.run, &server_command("stored")).unwrap();
    fixture
}

/// Digests of all files below `directory`, by path.
fn digests(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut digests = BTreeMap::new();
    let mut queue = vec![directory.to_owned()];
    while let Some(directory) = queue.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                queue.push(path);
            } else {
                let digest = Sha256::digest(fs::read(&path).unwrap());
                digests.insert(path, digest.to_vec());
            }
        }
    }
    digests
}

#[test]
fn the_store_and_other_places_of_a_package_are_never_written() {
    if !can_mount("the_store_and_other_places_of_a_package_are_never_written") {
        return;
    }
    let fixture = stored();
    let packs = fixture.directory.path().join("store/packs");
    let before = digests(&packs);
    assert!(!before.is_empty());
    let large = fixture.path("one/lib/large");
    let other = fs::read(fixture.path("two/lib/large")).unwrap();
    let file = OpenOptions::new().write(true).open(&large).unwrap();
    file.write_all_at(b"changed", 100).unwrap();
    file.set_len(1000).unwrap();
    drop(file);
    fs::write(fixture.path("one/package.json"), "changed").unwrap();
    fs::set_permissions(&large, fs::Permissions::from_mode(0o600)).unwrap();
    fs::hard_link(fixture.path("one/tool"), fixture.path("linked")).unwrap();
    fs::write(fixture.path("linked"), "changed").unwrap();
    fs::rename(fixture.path("one"), fixture.path("three")).unwrap();
    fs::remove_dir_all(fixture.path("three")).unwrap();
    assert_eq!(fs::read(fixture.path("two/lib/large")).unwrap(), other);
    assert_eq!(fs::read(fixture.path("two/package.json")).unwrap(), b"{}");
    fixture.unmount(UnmountRequest::Strict).unwrap();
    assert_eq!(digests(&packs), before);
}

/// A file system of 4 MB while it lives.
struct Small(PathBuf);

impl Small {
    fn mounted_at(path: &Path) -> Option<Self> {
        let made = rustix::mount::mount("tmpfs", path, "tmpfs", MountFlags::empty(), c"size=4m");
        made.ok().map(|()| Self(path.to_owned()))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let flags = rustix::mount::UnmountFlags::DETACH;
        let _ = rustix::mount::unmount(&self.0, flags);
    }
}

/// A project in a small file system; `None` where the test cannot have one.
fn small(test: &str) -> Option<(Fixture, PathBuf, Small)> {
    if !can_mount(test) {
        return None;
    }
    let fixture = Fixture::new();
    let project = fixture.directory.path().join("project");
    let Some(small) = Small::mounted_at(&project) else {
        println!("skipped {test}: needs root");
        return None;
    };
    Some((fixture, project, small))
}

#[test]
fn a_full_file_system_refuses_and_leaves_everything_as_it_was() {
    let Some((fixture, _, _small)) =
        small("a_full_file_system_refuses_and_leaves_everything_as_it_was")
    else {
        return;
    };
    // Its one file has 64 MB.
    fixture.mount("large").unwrap();
    let large = fixture.path("p/large");
    let before = Sha256::digest(fs::read(&large).unwrap());
    let written = OpenOptions::new()
        .write(true)
        .open(&large)
        .unwrap()
        .write_all_at(b"x", 0);
    assert_eq!(written.unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(Sha256::digest(fs::read(&large).unwrap()), before);
    // Nothing of the copy is left.
    let fill = |name: &str| -> io::Result<()> {
        let mut file = File::create(fixture.path(name))?;
        (0..1000).try_for_each(|_| file.write_all(&[b'f'; 16 << 10]))
    };
    assert_eq!(fill("filler").unwrap_err().kind(), ErrorKind::StorageFull);
    let is_full = || {
        fixture.statuses()[0]
            .report
            .as_ref()
            .is_some_and(|report| report.is_full)
    };
    assert!(is_full());
    let filled = fs::metadata(fixture.path("filler")).unwrap().len();
    assert!(filled > 3 << 20, "{filled}");
    // The journal has room for some records where it is; then removing is refused, or done.
    let (mut removed, mut refused) = (0, 0);
    for round in 0..2000 {
        let path = fixture.path(&format!("made-{round}"));
        match fs::create_dir(&path) {
            Ok(()) => removed += 1,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::StorageFull);
                refused += 1;
            }
        }
        if refused > 10 {
            break;
        }
    }
    fs::remove_file(fixture.path("filler")).unwrap();
    // A process that another test is just starting may have it open for a moment.
    while let Err(error) = fs::write(fixture.path("fits"), "there is room again") {
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        assert!(!fixture.overdue.load(Ordering::SeqCst), "it took too long");
        thread::sleep(Duration::from_millis(5));
    }
    assert!(!is_full());
    let shown = walk(&fixture.root());
    assert_eq!(shown.len(), 3 + removed);
    fixture.unmount(UnmountRequest::Strict).unwrap();
    fixture.mount("large").unwrap();
    assert_eq!(walk(&fixture.root()), shown);
    fs::write(fixture.path("after"), "there is room again").unwrap();
    fixture.unmount(UnmountRequest::Strict).unwrap();
}

/// Takes all the room that there is.
fn fill(path: &Path) {
    let mut file = File::create(path).unwrap();
    while file.write_all(&[b'f'; 4096]).is_ok() {}
}

#[test]
fn what_was_installed_is_removed_from_a_full_file_system() {
    let Some((fixture, project, _small)) =
        small("what_was_installed_is_removed_from_a_full_file_system")
    else {
        return;
    };
    // Ten thousand files.
    fixture.mount("wide").unwrap();
    let filler = project.join("filler");
    let shows = |number: u32| fixture.path(&format!("p/file-{number}")).exists();
    let remove = |number: u32| fs::remove_file(fixture.path(&format!("p/file-{number}"))).unwrap();
    fill(&filler);
    (0..50).for_each(remove);
    // The next server knows of it.
    let pid = fixture.signal("-KILL");
    while fixture.server_pid() == pid {
        thread::sleep(Duration::from_millis(5));
    }
    assert!((0..50).all(|number| !shows(number)) && shows(50));
    // There is room again, and then there is none.
    fs::remove_file(&filler).unwrap();
    remove(50);
    fixture.unmount(UnmountRequest::Strict).unwrap();
    fixture.mount("wide").unwrap();
    assert!((0..51).all(|number| !shows(number)) && shows(51));
    fill(&filler);
    remove(51);
    fs::remove_file(&filler).unwrap();
    // Nothing was written since, and it is known all the same.
    fixture.unmount(UnmountRequest::Strict).unwrap();
    fixture.mount("wide").unwrap();
    assert!(!shows(51) && shows(52));
    fill(&filler);
    fs::remove_dir_all(fixture.root()).unwrap();
    assert!(!fixture.root().exists());
    fs::create_dir(fixture.root()).unwrap();
    fs::remove_file(&filler).unwrap();
    fixture.mount("wide").unwrap();
    assert!((0..52).all(shows));
    fixture.unmount(UnmountRequest::Strict).unwrap();
}

#[test]
fn numbers_that_make_no_sense_are_refused_or_answered() {
    if !can_mount("numbers_that_make_no_sense_are_refused_or_answered") {
        return;
    }
    let fixture = Fixture::mounted("sample");
    let file = OpenOptions::new()
        .write(true)
        .read(true)
        .open(fixture.path("a/lib/index.js"));
    let file = file.unwrap();
    for offset in [1 << 62, i64::MAX as u64 - 1, i64::MAX as u64] {
        assert!(file.write_at(b"xx", offset).is_err(), "{offset}");
    }
    assert!(file.set_len(1 << 62).is_err());
    // Who was refused has left no copy either.
    let other = OpenOptions::new()
        .write(true)
        .open(fixture.path("a/package.json"));
    assert!(other.unwrap().set_len(1 << 62).is_err());
    assert_eq!(file.read_at(&mut [0; 4], i64::MAX as u64 - 8).unwrap(), 0);
    assert_eq!(file.write_at(b"", 5).unwrap(), 0);
    let name = "n".repeat(256);
    for refused in [
        fs::write(fixture.path(&name), ""),
        fs::create_dir(fixture.path(&name)),
        fs::rename(fixture.path("a/lib"), fixture.path(&name)),
    ] {
        assert_eq!(refused.unwrap_err().raw_os_error(), Some(36));
    }
    fs::write(fixture.path(&name[..255]), "").unwrap();
    let mut big = File::create(fixture.path("big")).unwrap();
    big.write_all(&vec![7; 16 << 20]).unwrap();
    assert_eq!(fs::metadata(fixture.path("big")).unwrap().len(), 16 << 20);
    fs::remove_file(fixture.path("big")).unwrap();
    fs::remove_file(fixture.path(&name[..255])).unwrap();
    let status = Command::new("cat")
        .arg(fixture.path("a/package.json"))
        .status();
    assert!(status.unwrap().success());
    assert_eq!(walk(&fixture.root()).len(), tree("sample").expected.len());
    drop((file, big));
    fixture.unmount(UnmountRequest::Strict).unwrap();
    let manifest = fixture.path(".pnpm/a@1.0.0/node_modules/a/package.json");
    assert!(!manifest.exists(), "a copy of what was not changed");
}

#[test]
fn the_room_of_what_was_removed_is_free_at_once_but_for_what_is_open() {
    /// Each of them is forgotten by itself.
    const FILES: usize = 400;
    let test = "the_room_of_what_was_removed_is_free_at_once_but_for_what_is_open";
    let Some((fixture, _, _small)) = small(test) else {
        return;
    };
    fixture.mount("before").unwrap();
    let filler = fixture.path("filler");
    let fill = || {
        fs::create_dir_all(&filler).unwrap();
        let made = |number: &usize| {
            let path = filler.join(number.to_string());
            let written = fs::write(path, vec![b'f'; 16 << 10]);
            if let Err(error) = &written {
                assert_eq!(error.kind(), ErrorKind::StorageFull);
            }
            written.is_ok()
        };
        (0..FILES).take_while(made).count()
    };
    let first = fill();
    assert!(first > 100 && first < FILES, "{first}");
    for round in 0..20 {
        if round % 5 == 4 {
            // What a server that is killed has taken of the kernel's words is lost.
            let pid = fixture.signal("-KILL");
            fs::remove_dir_all(&filler).unwrap();
            assert_ne!(crate::mount_resent::server_pid(&fixture), pid);
        } else {
            fs::remove_dir_all(&filler).unwrap();
        }
        let again = fill();
        // A process that another test is just starting may have one open.
        assert!(again >= first - 2, "{again} of {first} in round {round}");
    }
    let held = File::open(filler.join("0")).unwrap();
    fs::remove_file(filler.join("0")).unwrap();
    assert_eq!(
        fs::write(fixture.path("more"), vec![b'm'; 64 << 10])
            .unwrap_err()
            .kind(),
        ErrorKind::StorageFull
    );
    let mut content = vec![0; 16 << 10];
    held.read_exact_at(&mut content, 0).unwrap();
    assert!(content.iter().all(|byte| *byte == b'f'));
    fixture.unmount(UnmountRequest::Force).unwrap();
}
