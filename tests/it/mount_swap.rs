//! Another layer in the place of one that programs use.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use pacquet::fs::mount::{MountOutcome, UnmountRequest, mount};
use pacquet::fs::status::Health;

use crate::mount_fixture::{Expected, Fixture, can_mount, server_command, tree, walk};
use crate::mount_resent::{Doomed, has, kill_at_answer};

/// How often a server is killed around a swap.
const KILLS: u32 = 60;

/// How many servers are killed one after the other, unless the swap is done.
const KILLS_IN_A_ROW: u32 = 3;

fn swap(fixture: &Fixture, name: &str) {
    let outcome = fixture.mount(name).unwrap();
    assert!(
        matches!(outcome, MountOutcome::Swapped { .. }),
        "{outcome:?}"
    );
}

/// Inode number of everything below `root`.
fn inodes(root: &Path) -> BTreeMap<String, u64> {
    let shown = walk(root).into_keys();
    shown
        .map(|path| {
            let inode = fs::symlink_metadata(root.join(&path)).unwrap().ino();
            (path, inode)
        })
        .collect()
}

fn rest(mut file: File) -> String {
    let mut content = String::new();
    file.read_to_string(&mut content).unwrap();
    content
}

/// Every file and symlink below `root` with its time.
fn contents_and_times(root: &Path) -> BTreeMap<String, (Expected, i64)> {
    let shown = walk(root).into_iter();
    let shown = shown.filter(|(_, shown)| *shown != Expected::Directory);
    shown
        .map(|(path, shown)| {
            let time = fs::symlink_metadata(root.join(&path)).unwrap().mtime();
            (path, (shown, time))
        })
        .collect()
}

#[test]
fn what_changes_has_another_time_and_what_is_the_same_has_the_same_everywhere() {
    if !can_mount("what_changes_has_another_time_and_what_is_the_same_has_the_same_everywhere") {
        return;
    }
    let fixture = Fixture::mounted("before");
    let before = contents_and_times(&fixture.root());
    let of_directories = || {
        let time = |path| fs::metadata(fixture.path(path)).unwrap().mtime();
        ["", ".pnpm", "c", ".pnpm/b/node_modules"].map(time)
    };
    let of_directories_before = of_directories();
    swap(&fixture, "after");
    let after = contents_and_times(&fixture.root());
    let changed = of_directories_before.iter().zip(of_directories());
    let changed: Vec<bool> = changed.map(|(before, after)| *before != after).collect();
    assert_eq!(changed, [true, true, true, false]);
    let (mut files, mut symlinks) = (0, 0);
    for (path, (shown, time)) in &after {
        let Some((old, old_time)) = before.get(path) else {
            continue;
        };
        if old != shown {
            assert_ne!(old_time, time, "{path}");
            files += usize::from(matches!(shown, Expected::File(..)));
            symlinks += usize::from(matches!(shown, Expected::Symlink(_)));
        }
    }
    assert!(files > 0 && symlinks > 0);
    let elsewhere = Fixture::mounted("after");
    assert_eq!(contents_and_times(&elsewhere.root()), after);
}

/// When something was modified, in seconds and nanoseconds.
fn modified(fixture: &Fixture, path: &str) -> (i64, i64) {
    let metadata = fs::metadata(fixture.path(path)).unwrap();
    (metadata.mtime(), metadata.mtime_nsec())
}

#[test]
fn a_directory_that_was_changed_shows_when_what_is_installed_in_it_changes() {
    let test = "a_directory_that_was_changed_shows_when_what_is_installed_in_it_changes";
    if !can_mount(test) {
        return;
    }
    let fixture = Fixture::mounted("before");
    let time = |path| modified(&fixture, path);
    // One that is copied up, and one of which an entry was removed.
    fs::write(fixture.path("made"), "").unwrap();
    fs::remove_dir_all(fixture.path(".pnpm/b")).unwrap();
    let mut before = ["", ".pnpm"].map(time);
    for layer in ["after", "before", "after"] {
        swap(&fixture, layer);
        let after = ["", ".pnpm"].map(time);
        assert!(
            before[0] < after[0] && before[1] < after[1],
            "{before:?} {after:?}"
        );
        fs::write(fixture.path(".pnpm/made"), "").unwrap();
        before = ["", ".pnpm"].map(time);
    }
    // Nothing is installed anew below it.
    fs::write(fixture.path("made"), "").unwrap();
    let before = time(".pnpm");
    fixture.unmount(UnmountRequest::Strict).unwrap();
    fixture.mount("after").unwrap();
    assert_eq!(time(".pnpm"), before);
}

#[test]
fn the_removal_of_what_was_installed_shows_in_the_time_of_a_real_directory() {
    let test = "the_removal_of_what_was_installed_shows_in_the_time_of_a_real_directory";
    if !can_mount(test) {
        return;
    }
    let fixture = Fixture::mounted("before");
    let time = |path| modified(&fixture, path);
    fs::write(fixture.path("b/made"), "").unwrap();
    let before = time("b");
    fs::remove_file(fixture.path("b/package.json")).unwrap();
    let removed = time("b");
    assert!(before < removed);
    thread::sleep(Duration::from_millis(10));
    fs::rename(fixture.path("b/lib"), fixture.path("b/renamed")).unwrap();
    assert!(removed < time("b"));
}

#[test]
fn a_swap_changes_what_changed_and_nothing_else() {
    if !can_mount("a_swap_changes_what_changed_and_nothing_else") {
        return;
    }
    let fixture = Fixture::mounted("before");
    let pid = fixture.server_pid();
    let before = inodes(&fixture.root());
    for missing in ["d", "c/only-c2", ".pnpm/a2", "b/node_modules"] {
        assert!(fs::symlink_metadata(fixture.path(missing)).is_err());
    }
    swap(&fixture, "after");
    assert_eq!(walk(&fixture.root()), tree("after").expected);
    assert_eq!(fixture.server_pid(), pid);
    let after = inodes(&fixture.root());
    let (old, new) = (tree("before").expected, tree("after").expected);
    for (path, inode) in &after {
        let unchanged = old.get(path) == new.get(path) && path != "c" && !path.starts_with("c/");
        assert_eq!(before.get(path) == Some(inode), unchanged, "{path}");
    }
    let error = fs::symlink_metadata(fixture.path("c/only-c1")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    swap(&fixture, "before");
    assert_eq!(walk(&fixture.root()), old);
    fixture.unmount(UnmountRequest::Strict).unwrap();
}

#[test]
fn what_is_unchanged_stays_in_the_caches_of_the_kernel() {
    if !can_mount("what_is_unchanged_stays_in_the_caches_of_the_kernel") {
        return;
    }
    let fixture = Fixture::mounted("before");
    let look = || {
        for file in ["package.json", "lib/index.js"] {
            assert_eq!(
                fs::read_to_string(fixture.path("b").join(file)).unwrap(),
                "b"
            );
        }
        assert!(fs::metadata(fixture.path("b/absent")).is_err());
        assert_eq!(fs::read_dir(fixture.path("b/lib")).unwrap().count(), 1);
    };
    look();
    look();
    let requests = fixture.requests();
    swap(&fixture, "after");
    look();
    let mut now = fixture.requests();
    // The attributes of the two directories on the way in which names have changed, which nobody
    // needs to know where modes bind nobody.
    let asked = now.insert("getattr".to_owned(), requests["getattr"]);
    assert!(asked.unwrap() <= requests["getattr"] + 2);
    assert_eq!(now, requests);
}

#[test]
fn a_listing_tells_the_attributes_of_what_was_written() {
    const FILES: u64 = 20;
    if !can_mount("a_listing_tells_the_attributes_of_what_was_written") {
        return;
    }
    let fixture = Fixture::mounted("before");
    fs::create_dir(fixture.path(".cache")).unwrap();
    for number in 0..FILES {
        fs::write(fixture.path(".cache").join(number.to_string()), "written").unwrap();
    }
    let asked = || fixture.requests().get("getattr").copied().unwrap_or(0);
    let before = asked();
    for entry in fs::read_dir(fixture.path(".cache")).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(fs::metadata(&path).unwrap().len(), 7);
        assert_eq!(fs::read_to_string(&path).unwrap(), "written");
    }
    assert!(asked() - before < FILES / 2, "each was asked about");
    fixture.unmount(UnmountRequest::Strict).unwrap();
}

#[test]
fn open_files_and_directories_that_are_gone_keep_their_content() {
    if !can_mount("open_files_and_directories_that_are_gone_keep_their_content") {
        return;
    }
    let fixture = Fixture::mounted("before");
    let file = File::open(fixture.path("a/lib/index.js")).unwrap();
    let hoisted = File::open(fixture.path("c/package.json")).unwrap();
    let state = File::open(fixture.path(".modules.yaml")).unwrap();
    let inside = Command::new("sh")
        .args(["-c", "read line; cat package.json lib/index.js; ls"])
        .current_dir(fixture.path("a"))
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    for round in 0..3 {
        swap(&fixture, if round % 2 == 0 { "after" } else { "before" });
    }
    assert_eq!(rest(file), "a1");
    assert_eq!(rest(hoisted), "c1");
    assert_eq!(rest(state), "before");
    let output = inside.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text, "a1a1lib\nonly-a1\npackage.json\n");
    assert_eq!(
        fs::read_to_string(fixture.path("a/lib/index.js")).unwrap(),
        "a2"
    );
    assert_eq!(
        fs::read_to_string(fixture.path(".modules.yaml")).unwrap(),
        "after"
    );
}

/// How many installs a package that went stays for those who know its path.
const LINGERING: usize = 6;

#[test]
fn who_found_a_package_that_went_loads_more_of_it() {
    if !can_mount("who_found_a_package_that_went_loads_more_of_it") {
        return;
    }
    let fixture = Fixture::mounted("before");
    let package = fixture.path("a").canonicalize().unwrap();
    swap(&fixture, "after");
    assert_eq!(walk(&fixture.root()), tree("after").expected);
    let loaded = |path: &str| fs::read_to_string(package.join(path));
    assert_eq!(loaded("lib/index.js").unwrap(), "a1");
    let pid = fixture.signal("-KILL");
    while fixture.server_pid() == pid {
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(loaded("only-a1").unwrap(), "a1");
    assert!(fs::write(package.join("made"), "").is_err());
    // Names that are not a package's own, and those that were never there.
    for missing in ["d/only-c1", ".pnpm/a3", ".pnpm/node_modules"] {
        assert!(fs::symlink_metadata(fixture.path(missing)).is_err());
    }
    swap(&fixture, "before");
    assert_eq!(walk(&fixture.root()), tree("before").expected);
    for round in 1..LINGERING {
        // The same packages, and another state file.
        swap(&fixture, ["before", "watched"][round % 2]);
    }
    let later = fixture.path(".pnpm/d/node_modules/d/only-d");
    assert_eq!(fs::read_to_string(later).unwrap(), "d");
    assert_eq!(loaded("only-a1").unwrap(), "a1");
    fixture.unmount(UnmountRequest::Strict).unwrap();
}

#[test]
fn files_that_are_open_over_a_swap_survive_the_server() {
    if !can_mount("files_that_are_open_over_a_swap_survive_the_server") {
        return;
    }
    let fixture = Fixture::mounted("before");
    let file = File::open(fixture.path("a/lib/index.js")).unwrap();
    swap(&fixture, "after");
    let pid = fixture.signal("-KILL");
    while fixture.server_pid() == pid {
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(rest(file), "a1");
    let unchanged = inodes(&fixture.root());
    swap(&fixture, "before");
    swap(&fixture, "after");
    let again = inodes(&fixture.root());
    assert_eq!(again["b"], unchanged["b"]);
    assert_eq!(
        again[".pnpm/b/node_modules/b/lib"],
        unchanged[".pnpm/b/node_modules/b/lib"]
    );
}

#[test]
fn a_server_that_dies_around_a_swap_leaves_one_layer_or_the_other() {
    if !can_mount("a_server_that_dies_around_a_swap_leaves_one_layer_or_the_other") {
        return;
    }
    let fixture = Fixture::mounted("before");
    // What is in use cannot be mounted anew: each swap has to be one.
    let held = File::open(fixture.path("b/lib/index.js")).unwrap();
    for number in 0..KILLS {
        let name = if number % 2 == 0 { "after" } else { "before" };
        let mut pid = fixture.server_pid();
        let swapped = AtomicBool::new(false);
        thread::scope(|scope| {
            let killing = scope.spawn(|| {
                thread::sleep(Duration::from_micros(u64::from(number) * 100));
                for _ in 0..KILLS_IN_A_ROW {
                    let _ = Command::new("kill")
                        .args(["-KILL", &pid.to_string()])
                        .status();
                    while fixture.server_pid() == pid {
                        thread::sleep(Duration::from_millis(1));
                    }
                    if swapped.load(Ordering::SeqCst) {
                        break;
                    }
                    pid = fixture.server_pid();
                }
            });
            fixture.mount(name).unwrap();
            swapped.store(true, Ordering::SeqCst);
            killing.join().unwrap();
        });
        assert_eq!(walk(&fixture.root()), tree(name).expected, "{name}");
        assert_eq!(fixture.statuses()[0].health, Health::Healthy);
    }
    assert_eq!(rest(held), "b");
}

#[test]
fn programs_that_read_during_swaps_see_one_layer_or_the_other() {
    if !can_mount("programs_that_read_during_swaps_see_one_layer_or_the_other") {
        return;
    }
    let fixture = Fixture::mounted("before");
    let done = AtomicBool::new(false);
    let root = fixture.root();
    thread::scope(|scope| {
        let stays = scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                assert_eq!(
                    fs::read_to_string(root.join("b/lib/index.js")).unwrap(),
                    "b"
                );
                let listed = fs::read_dir(root.join("b")).unwrap();
                assert_eq!(listed.count(), 3);
            }
        });
        let changes = scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                match fs::read_to_string(root.join("a/lib/index.js")) {
                    Ok(content) => assert!(content == "a1" || content == "a2", "{content}"),
                    // Between its link and the package.
                    Err(error) => assert!(
                        error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(116),
                        "{error}"
                    ),
                }
                let names = fs::read_dir(&root).unwrap();
                let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
                assert!(names.len() == 5 || names.len() == 6, "{names:?}");
            }
        });
        for round in 0..30 {
            swap(&fixture, if round % 2 == 0 { "after" } else { "before" });
        }
        done.store(true, Ordering::SeqCst);
        stays.join().unwrap();
        changes.join().unwrap();
    });
    let shown = walk(&root);
    assert_eq!(shown, tree("before").expected);
    assert!(matches!(shown.get("b"), Some(Expected::Symlink(_))));
}

fn check_written(fixture: &Fixture, kept: &[&str]) {
    for path in kept {
        let content = fs::read_to_string(fixture.path(path)).unwrap();
        assert_eq!(content, format!("written to {path}"));
    }
    assert!(fs::metadata(fixture.path("b/only-b")).is_err());
    let discarded = [
        (".pnpm/a1/node_modules/a/package.json", "a/package.json"),
        (".pnpm/a1/node_modules/a/made", "a/made"),
        ("c/lib/index.js", "c/lib/index.js"),
        (".modules.yaml", ".modules.yaml"),
    ];
    for (path, written) in discarded {
        let path = fixture.path(".pacquet/discarded/1").join(path);
        let content = fs::read_to_string(&path).unwrap();
        assert_eq!(content, format!("written to {written}"));
    }
    let (mut shown, mut expected) = (walk(&fixture.root()), tree("after").expected);
    let ours = ["cache", ".pacquet", ".pnpm/b"];
    for tree in [&mut shown, &mut expected] {
        tree.retain(|path, _| !ours.iter().any(|ours| path.starts_with(ours)));
    }
    assert_eq!(shown, expected);
}

#[test]
fn what_was_written_stays_with_its_package_or_is_discarded() {
    if !can_mount("what_was_written_stays_with_its_package_or_is_discarded") {
        return;
    }
    let fixture = Fixture::mounted("before");
    let write = |path: &str| fs::write(fixture.path(path), format!("written to {path}")).unwrap();
    let kept = [
        "b/package.json",
        "b/made/deep/file",
        "cache/file",
        ".pnpm/b/beside",
    ];
    let lost = [
        "a/package.json",
        "a/made",
        "c/lib/index.js",
        ".modules.yaml",
    ];
    for directory in ["b/made/deep", "cache", "c/empty"] {
        fs::create_dir_all(fixture.path(directory)).unwrap();
    }
    for path in kept.iter().chain(&lost) {
        write(path);
    }
    fs::remove_file(fixture.path("b/only-b")).unwrap();
    fs::remove_file(fixture.path("c/only-c1")).unwrap();
    let inode = fs::metadata(fixture.path("b/package.json")).unwrap().ino();
    let outcome = fixture.mount("after").unwrap();
    let MountOutcome::Swapped { report, .. } = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(report.problem, None);
    assert_eq!(report.discarded, [fixture.path(".pacquet/discarded/1")]);
    let check = || check_written(&fixture, &kept);
    check();
    assert_eq!(
        fs::metadata(fixture.path("b/package.json")).unwrap().ino(),
        inode
    );
    // A new server finds the same, and so does a new mount.
    let pid = fixture.signal("-KILL");
    while fixture.server_pid() == pid {
        thread::sleep(Duration::from_millis(1));
    }
    check();
    fixture.unmount(UnmountRequest::Strict).unwrap();
    fixture.mount("after").unwrap();
    check();
}

/// The paths that a lookup finds, whatever the listings say.
fn found<'path>(fixture: &Fixture, paths: &BTreeSet<&'path str>) -> BTreeSet<&'path str> {
    let is_there = |path: &&str| fs::symlink_metadata(fixture.path(path)).is_ok();
    paths.iter().copied().filter(is_there).collect()
}

/// Swaps "before" for "after" over what was moved and written, and checks that every name shows
/// what it should, whatever the kernel knew of it. Says whether a server was killed at the message
/// `number` of the swap.
fn swap_over_what_was_moved(number: Option<u32>) -> bool {
    let fixture = Fixture::new();
    let mut plan = fixture.plan("before");
    plan.threads = 1;
    mount(&plan, &fixture.run, &server_command("before")).unwrap();
    fs::create_dir(fixture.path("made")).unwrap();
    for place in ["moved", "made/moved"] {
        fs::rename(fixture.path("c"), fixture.path(place)).unwrap();
        fs::rename(fixture.path(place), fixture.path("c")).unwrap();
    }
    fs::rename(
        fixture.path(".pnpm/a1/node_modules/a"),
        fixture.path("moved"),
    )
    .unwrap();
    fs::rename(fixture.path("c"), fixture.path("made/moved")).unwrap();
    fs::write(fixture.path("moved/written"), "written").unwrap();
    fs::remove_file(fixture.path(".pnpm/b/node_modules/b/only-b")).unwrap();
    let old = tree("before").expected;
    let new = tree("after").expected;
    let mut paths: BTreeSet<&str> = old.keys().chain(new.keys()).map(|path| &**path).collect();
    let ours = ["moved", "moved/package.json", "moved/written"];
    paths.extend(ours);
    paths.extend(["made", "made/moved", "made/moved/lib", ".pacquet"]);
    paths.extend([".pacquet/discarded", ".pacquet/discarded/1/moved/written"]);
    walk(&fixture.root());
    found(&fixture, &paths);
    let doomed = number.map(|number| kill_at_answer(&fixture, number));
    swap(&fixture, "after");
    let killed = doomed.is_some_and(Doomed::was_killed);
    let mut expected: BTreeSet<&str> = new.keys().map(|path| &**path).collect();
    expected.remove(".pnpm/b/node_modules/b/only-b");
    expected.extend(["made", ".pacquet", ".pacquet/discarded"]);
    expected.insert(".pacquet/discarded/1/moved/written");
    let lingering = old.keys().filter(|path| path.starts_with(".pnpm/a1"));
    let reached: BTreeSet<&str> = lingering
        .map(|path| &**path)
        .chain(expected.clone())
        .collect();
    assert_eq!(found(&fixture, &paths), reached, "killed at {number:?}");
    let shown = walk(&fixture.root());
    let shown: BTreeSet<&str> = shown.keys().map(|path| &**path).collect();
    let shown: BTreeSet<&str> = shown.intersection(&paths).copied().collect();
    assert_eq!(shown, expected, "killed at {number:?}");
    fixture.unmount(UnmountRequest::Strict).unwrap();
    assert!(fs::symlink_metadata(fixture.path(".pacquet/untold")).is_err());
    killed
}

#[test]
fn what_was_moved_and_is_gone_is_not_shown_whenever_the_server_is_killed() {
    let test = "what_was_moved_and_is_gone_is_not_shown_whenever_the_server_is_killed";
    if !can_mount(test) {
        return;
    }
    swap_over_what_was_moved(None);
    if !has("strace") {
        return;
    }
    let kills = (1..).take_while(|number| swap_over_what_was_moved(Some(*number)));
    assert!(kills.count() > 5);
}
