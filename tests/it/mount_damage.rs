//! Mounts over packs that are damaged, over a server with a bug, and of several trees.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use pacquet::fs::memory::LayoutSketch;
use pacquet::fs::mount::{MountOutcome, UnmountRequest, mount, unmount};
use pacquet::fs::mountinfo;
use pacquet::fs::status::{Health, status_where};
use pacquet::install::lockfile::ImporterId;
use pacquet::store::{Access, IngestOptions, PackId, PackageKey, Store};

use crate::mount_fixture::{DEADLINE, Expected, Fixture, ROOT, can_mount, server_command, walk};

const EIO: Option<i32> = Some(5);

/// Larger than what the kernel reads ahead at once.
const CONTENT_BYTES: usize = 3 << 20;

type Damage = fn(&Path);

fn truncate(pack: &Path) {
    let length = fs::metadata(pack).unwrap().len();
    set_length(pack, length / 2);
}

fn empty(pack: &Path) {
    set_length(pack, 0);
}

fn set_length(pack: &Path, length: u64) {
    fs::set_permissions(pack, fs::Permissions::from_mode(0o644)).unwrap();
    let file = File::options().write(true).open(pack).unwrap();
    file.set_len(length).unwrap();
}

fn link(pack: &Path) {
    let moved = pack.with_extension("moved");
    fs::rename(pack, &moved).unwrap();
    symlink(&moved, pack).unwrap();
}

fn directory(pack: &Path) {
    fs::remove_file(pack).unwrap();
    fs::create_dir(pack).unwrap();
}

fn fifo(pack: &Path) {
    fs::remove_file(pack).unwrap();
    let made = Command::new("mkfifo").arg(pack).status().unwrap();
    assert!(made.success());
}

fn remove(pack: &Path) {
    fs::remove_file(pack).unwrap();
}

/// One bit of the table, which ends where the trailer of 64 bytes begins.
fn flip(pack: &Path) {
    fs::set_permissions(pack, fs::Permissions::from_mode(0o644)).unwrap();
    let file = File::options().read(true).write(true).open(pack).unwrap();
    let place = file.metadata().unwrap().len() - 64 - 40;
    let mut byte = [0];
    file.read_exact_at(&mut byte, place).unwrap();
    file.write_all_at(&[byte[0] ^ 1], place).unwrap();
}

fn pack_path(store: &Path, pack: &PackId) -> PathBuf {
    let name = pack.to_string();
    store.join("packs").join(&name[..2]).join(&name[2..])
}

/// A store with one package for each name, mounted, each at `name` in the tree.
fn stored(names: &[&str]) -> (Fixture, Vec<(PackId, PathBuf)>) {
    let fixture = Fixture::new();
    let source = fixture.directory.path().join("source");
    fs::create_dir(&source).unwrap();
    let path = fixture.directory.path().join("store");
    let store = Store::open(&path, Access::ReadWrite).unwrap();
    let mut sketch = LayoutSketch::new(ImporterId(None));
    let mut packs = Vec::new();
    for name in names {
        let mut content = vec![b'x'; CONTENT_BYTES];
        content[..name.len()].copy_from_slice(name.as_bytes());
        fs::write(source.join("large"), content).unwrap();
        let key = PackageKey::new(name, name, None);
        let options = IngestOptions::new(key);
        let packed = store.ingest_directory(&source, &options).unwrap();
        let pack = packed.record.pack;
        sketch.package(ROOT, name, pack).unwrap();
        packs.push((pack, pack_path(&path, &pack)));
        store.commit(&[packed]).unwrap();
    }
    let plan = fixture.plan_of("stored", &sketch.into_layout());
    mount(&plan, &fixture.run, &server_command("stored")).unwrap();
    (fixture, packs)
}

#[test]
fn every_kind_of_damage_to_a_pack_is_eio_and_is_named() {
    if !can_mount("every_kind_of_damage_to_a_pack_is_eio_and_is_named") {
        return;
    }
    let kinds: [(&str, Damage); 7] = [
        ("truncated", truncate),
        ("empty", empty),
        ("link", link),
        ("directory", directory),
        ("fifo", fifo),
        ("flipped", flip),
        ("removed", remove),
    ];
    let mut names: Vec<&str> = kinds.iter().map(|(name, _)| *name).collect();
    names.push("whole");
    let (fixture, packs) = stored(&names);
    for ((_, damage), (_, path)) in kinds.iter().zip(&packs) {
        damage(path);
    }
    for (name, _) in &kinds {
        let file = fs::read(fixture.path(name).join("large"));
        let file = file.map(|content| content.len()).unwrap_err();
        assert_eq!(file.raw_os_error(), EIO, "{name}: {file}");
        let missing = fs::symlink_metadata(fixture.path(name).join("absent")).unwrap_err();
        assert_eq!(missing.raw_os_error(), EIO, "{name}: {missing}");
        let listed = fs::read_dir(fixture.path(name))
            .and_then(|entries| entries.collect::<Result<Vec<_>, _>>())
            .unwrap_err();
        assert_eq!(listed.raw_os_error(), EIO, "{name}: {listed}");
    }
    let whole = fs::read(fixture.path("whole/large")).unwrap();
    assert!(whole.len() == CONTENT_BYTES && whole.starts_with(b"wholexx"));
    let statuses = fixture.statuses();
    assert_eq!(statuses[0].health, Health::Damaged);
    let report = statuses[0].report.as_ref().unwrap();
    let mut named: Vec<&str> = report
        .unreadable_packs
        .iter()
        .map(|(pack, _)| pack.as_str())
        .collect();
    let damaged = &packs[..kinds.len()];
    let mut expected: Vec<String> = damaged.iter().map(|(pack, _)| pack.to_string()).collect();
    named.sort_unstable();
    expected.sort_unstable();
    assert_eq!(named, expected);
}

#[test]
fn a_pack_that_is_cut_while_it_is_open_gives_no_wrong_length() {
    if !can_mount("a_pack_that_is_cut_while_it_is_open_gives_no_wrong_length") {
        return;
    }
    let (fixture, packs) = stored(&["cut"]);
    let path = fixture.path("cut/large");
    let mut start = [0; 3];
    let mut file = File::open(&path).unwrap();
    file.read_exact(&mut start).unwrap();
    assert_eq!(&start, b"cut");
    truncate(&packs[0].1);
    let mut rest = Vec::new();
    let error = file.read_to_end(&mut rest).unwrap_err();
    assert_eq!(error.raw_os_error(), EIO, "{error}");
    assert_eq!(fs::metadata(&path).unwrap().len(), CONTENT_BYTES as u64);
    let report = fixture.statuses()[0].report.clone().unwrap();
    assert_eq!(report.unreadable_packs.len(), 1);
    assert_eq!(report.unreadable_packs[0].0, packs[0].0.to_string());
}

#[test]
fn a_bug_in_one_answer_is_eio_and_the_session_goes_on() {
    if !can_mount("a_bug_in_one_answer_is_eio_and_the_session_goes_on") {
        return;
    }
    let fixture = Fixture::mounted("panicking");
    let pid = fixture.server_pid();
    // More often than there are threads.
    for _ in 0..8 {
        let error = fs::read(fixture.path("@s/b/package.json")).unwrap_err();
        assert_eq!(error.raw_os_error(), EIO, "{error}");
    }
    let content = fs::read_to_string(fixture.path("a/package.json")).unwrap();
    assert_eq!(content, "{\"name\":\"a\"}");
    assert_eq!(fixture.server_pid(), pid);
    // They are counted after they are answered.
    let begin = Instant::now();
    while fixture.statuses()[0].report.clone().unwrap().failures < 8 {
        assert!(begin.elapsed() < DEADLINE);
        thread::sleep(Duration::from_millis(5));
    }
    fixture.unmount(UnmountRequest::Strict).unwrap();
}

#[test]
fn one_server_serves_several_trees_and_they_end_together() {
    if !can_mount("one_server_serves_several_trees_and_they_end_together") {
        return;
    }
    let fixture = Fixture::new();
    let project = fixture.root().parent().unwrap().to_owned();
    let other = project.join("packages/b/node_modules");
    fs::create_dir_all(other.parent().unwrap()).unwrap();
    let mut plan = fixture.plan("double");
    plan.mounts.push((1, other.clone()));
    let command = server_command("double");
    let shows = |mountpoint: &Path, name: &str, package: &str| {
        let shown = walk(mountpoint);
        let manifest = Expected::File(format!("{{\"name\":\"{package}\"}}").into(), false);
        assert_eq!(shown.get(&format!("{name}/package.json")), Some(&manifest));
        assert!(shown.keys().all(|path| path.starts_with(name)), "{shown:?}");
    };
    let both =
        || status_where(&fixture.run, |mountpoint| mountpoint.starts_with(&project)).unwrap();
    mount(&plan, &fixture.run, &command).unwrap();
    let pid = fixture.server_pid();
    let again = mount(&plan, &fixture.run, &command).unwrap();
    assert_eq!(again, MountOutcome::AlreadyMounted { server_pid: pid });
    for round in 0..2 {
        shows(&fixture.root(), "first", "a");
        shows(&other, "second", "b");
        let statuses = both();
        assert_eq!(statuses.len(), 2);
        let pids: Vec<_> = statuses
            .iter()
            .map(|one| one.state.as_ref().unwrap().server.pid)
            .collect();
        assert_eq!(pids[0], pids[1]);
        if round == 0 {
            fixture.signal("-KILL");
            while fixture.server_pid() == pid {
                thread::yield_now();
            }
        }
    }
    let held = File::open(other.join("second/package.json")).unwrap();
    assert!(fixture.unmount(UnmountRequest::Strict).is_err());
    drop(held);
    unmount(&other, &fixture.run, UnmountRequest::Strict, None).unwrap();
    assert_eq!(mountinfo::find(&fixture.root()).unwrap(), None);
    assert_eq!(mountinfo::find(&other).unwrap(), None);
}
