//! What programs that watch a mounted tree are told of a swap.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use pacquet::fs::mount::{MountOutcome, UnmountRequest, mount};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

use crate::mount_fixture::{DEADLINE, Fixture, can_mount, server_command, tree, walk};
use crate::mount_resent::server_pid;

/// Watches of some paths, and what was raised.
struct Watcher {
    descriptor: OwnedFd,
    paths: Vec<(i32, String)>,
    raised: BTreeSet<String>,
}

impl Watcher {
    fn new(fixture: &Fixture, paths: &[&str]) -> Self {
        let descriptor = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap();
        let wanted = WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO;
        let watch = |path: &&str| {
            let place = fixture.path(path);
            let watch = inotify::add_watch(&descriptor, place, wanted).unwrap();
            (watch, (*path).to_owned())
        };
        let paths = paths.iter().map(watch).collect();
        Self {
            descriptor,
            paths,
            raised: BTreeSet::new(),
        }
    }

    /// Takes what was raised, as "<watched path> <event> <name>".
    fn take(&mut self) {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(&self.descriptor, &mut buffer);
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::WOULDBLOCK) => return,
                Err(error) => panic!("{error}"),
            };
            let path = &self.paths.iter().find(|(watch, _)| *watch == event.wd());
            let path = path.map_or("?", |(_, path)| path);
            let kind = match event.events() - ReadFlags::ISDIR {
                ReadFlags::CREATE => "made",
                ReadFlags::DELETE => "removed",
                ReadFlags::DELETE_SELF => "gone",
                ReadFlags::MOVE_SELF => "moved",
                ReadFlags::MOVED_FROM => "moved from",
                ReadFlags::MOVED_TO => "moved to",
                _ => continue,
            };
            let name = event.file_name().map(|name| name.to_str().unwrap());
            let name = name.unwrap_or_default();
            self.raised.insert(format!("{path} {kind} {name}"));
        }
    }

    fn wait_for(&mut self, wanted: &[&str]) {
        let begin = Instant::now();
        loop {
            self.take();
            if wanted.iter().all(|event| self.raised.contains(*event)) {
                return;
            }
            assert!(begin.elapsed() < DEADLINE, "{:?}", self.raised);
            thread::sleep(Duration::from_millis(5));
        }
    }
}

fn swap(fixture: &Fixture, name: &str) {
    let outcome = fixture.mount(name).unwrap();
    assert!(
        matches!(outcome, MountOutcome::Swapped { .. }),
        "{outcome:?}"
    );
}

/// The same, and packages that go are out of reach at once.
fn swap_clearing(fixture: &Fixture, name: &str) {
    let mut plan = fixture.plan(name);
    plan.clears = true;
    let outcome = mount(&plan, &fixture.run, &server_command(name)).unwrap();
    assert!(
        matches!(outcome, MountOutcome::Swapped { .. }),
        "{outcome:?}"
    );
}

/// What is in the directory under the mount.
fn written(root: &Path) -> Vec<String> {
    walk(root).into_keys().collect()
}

#[test]
fn those_who_watch_are_told_of_a_swap_and_nothing_is_written() {
    if !can_mount("those_who_watch_are_told_of_a_swap_and_nothing_is_written") {
        return;
    }
    let fixture = Fixture::mounted("watched");
    let (old, same) = (".pnpm/a1/node_modules/a/lib/index.js", "b/lib/index.js");
    let watched = ["", ".pnpm", old, same, "c/only-c1", ".modules.yaml"];
    let mut watcher = Watcher::new(&fixture, &watched);
    let mut open = File::open(fixture.path("c/only-c1")).unwrap();
    swap(&fixture, "after");
    watcher.wait_for(&[
        " moved from a",
        " made a",
        " moved from c",
        " made c",
        " made d",
        " moved from .modules.yaml",
        " made .modules.yaml",
        ".pnpm made a2",
        ".pnpm made d",
        ".modules.yaml gone ",
    ]);
    // Nothing is told of that did not happen: who knows where `a1` is finds it.
    for other in [" moved from d", ".pnpm moved from a2"] {
        assert!(!watcher.raised.contains(other), "{other}");
    }
    let mut content = String::new();
    open.read_to_string(&mut content).unwrap();
    assert_eq!(content, "c1");
    // As with a file that is removed: once nobody has it open.
    drop(open);
    watcher.wait_for(&["c/only-c1 gone "]);
    for path in ["b", "b/lib/index.js", ".pnpm/b", ".pnpm/a1"] {
        let told = |event: &String| event.starts_with(path) || event.ends_with(" b");
        assert!(!watcher.raised.iter().any(told), "{:?}", watcher.raised);
    }
    let told = |event: &String| event.contains("moved to") || event.contains("a1");
    assert!(!watcher.raised.iter().any(told), "{:?}", watcher.raised);
    assert_eq!(walk(&fixture.root()), tree("after").expected);
    let begin = Instant::now();
    let left = |name: &str| fs::symlink_metadata(fixture.path(name)).is_ok();
    while left(".pacquet-passing") {
        assert!(begin.elapsed() < DEADLINE);
        thread::sleep(Duration::from_millis(5));
    }
    let refused = |done: io::Result<()>| {
        assert_eq!(
            done.unwrap_err().raw_os_error(),
            Some(Errno::ACCESS.raw_os_error())
        );
    };
    let passing = fixture.path(".pacquet-passing");
    refused(fs::rename(fixture.path("b/lib"), &passing));
    refused(fs::write(&passing, ""));
    refused(symlink(".pacquet-passing", fixture.path("b/link")));
    fixture.unmount(UnmountRequest::Strict).unwrap();
    assert_eq!(written(&fixture.root()), Vec::<String>::new());
}

#[test]
fn packages_that_are_taken_away_are_gone_and_those_who_watch_are_told() {
    if !can_mount("packages_that_are_taken_away_are_gone_and_those_who_watch_are_told") {
        return;
    }
    let fixture = Fixture::mounted("watched");
    swap(&fixture, "after");
    // `a1` stays for who knows it.
    let known = fixture.path(".pnpm/a1/node_modules/a/only-a1");
    assert_eq!(fs::read(&known).unwrap(), b"a1");
    let new = ".pnpm/a2/node_modules/a/lib/index.js";
    // The kernel forgets what is in a directory when it is told that its name is made.
    thread::sleep(Duration::from_secs(1));
    let mut watcher = Watcher::new(&fixture, &["", ".pnpm", ".pnpm/d", "d", new]);
    // What somebody else asks meanwhile keeps nobody from being told.
    let asked =
        [".pnpm/a2", ".pnpm/d", ".pnpm/d/node_modules/d", "d"].map(|path| fixture.path(path));
    let (done, asking) = mpsc::channel::<()>();
    let asker = thread::spawn(move || {
        while asking.try_recv() == Err(mpsc::TryRecvError::Empty) {
            asked
                .iter()
                .for_each(|path| drop(fs::symlink_metadata(path)));
            thread::sleep(Duration::from_micros(100));
        }
    });
    swap_clearing(&fixture, "before");
    watcher.wait_for(&[
        " moved from d",
        ".pnpm moved from a1",
        ".pnpm made a1",
        ".pnpm moved from a2",
        ".pnpm moved from d",
        ".pnpm/d moved from node_modules",
        ".pnpm/d moved ",
        "d moved from lib",
        "d moved ",
        ".pnpm/a2/node_modules/a/lib/index.js gone ",
    ]);
    drop(done);
    asker.join().unwrap();
    let is_there = |path: &str| fs::symlink_metadata(fixture.path(path)).is_ok();
    let check = || {
        assert!(!is_there(".pnpm/a2") && !is_there(".pnpm/d") && !is_there(new));
        assert_eq!(walk(&fixture.root()), tree("before").expected);
    };
    check();
    let server = fixture.signal("-KILL");
    while server_pid(&fixture) == server {
        thread::sleep(Duration::from_millis(1));
    }
    check();
    swap(&fixture, "after");
    assert_eq!(fs::read(&known).unwrap(), b"a1");
    swap_clearing(&fixture, "watched");
    assert_eq!(walk(&fixture.root()), tree("watched").expected);
    assert_eq!(fs::read(&known).unwrap(), b"a1");
    assert!(!is_there(".pnpm/a2") && !is_there(".pnpm/d"));
    fixture.unmount(UnmountRequest::Strict).unwrap();
}

#[test]
fn who_looks_while_a_swap_is_announced_sees_what_is_there() {
    if !can_mount("who_looks_while_a_swap_is_announced_sees_what_is_there") {
        return;
    }
    let fixture = Fixture::mounted("watched");
    for name in ["after", "before", "after", "before"] {
        swap_clearing(&fixture, name);
        let expected = tree(name).expected;
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_millis(300) {
            assert_eq!(walk(&fixture.root()), expected);
        }
    }
    fixture.unmount(UnmountRequest::Strict).unwrap();
}

/// Words that the announcing process is given after each of the two swaps below, until it is about
/// what was in directories that are gone: where, and a directory and a name for each of five names,
/// three of which are moved away and made; and some of what comes then.
const WORDS: u32 = 1 + 2 * 5 + 3 + 10;

#[test]
fn a_server_that_is_killed_while_it_announces_leaves_nothing_untold() {
    if !can_mount("a_server_that_is_killed_while_it_announces_leaves_nothing_untold") {
        return;
    }
    let fixture = Fixture::mounted("killed");
    let kill_at = fixture.directory.path().join("kill-at");
    for words in 0..=WORDS {
        let is_after = words % 2 == 0;
        let (name, gone, new) = match is_after {
            true => ("after", "a1", "a2"),
            false => ("before", "a2", "a1"),
        };
        let d = if is_after { "made" } else { "moved from" };
        let events = [
            " moved from a".to_owned(),
            " moved from c".to_owned(),
            format!(" {d} d"),
            " moved from .modules.yaml".to_owned(),
            format!(".pnpm moved from {gone}"),
            format!(".pnpm made {new}"),
            format!(".pnpm {d} d"),
        ];
        walk(&fixture.root());
        let mut watcher = Watcher::new(&fixture, &["", ".pnpm"]);
        let server = server_pid(&fixture);
        fs::write(&kill_at, words.to_string()).unwrap();
        swap_clearing(&fixture, name);
        while server_pid(&fixture) == server {
            assert!(!fixture.overdue.load(Ordering::SeqCst), "it took too long");
            thread::sleep(Duration::from_millis(1));
        }
        watcher.wait_for(&events.each_ref().map(|event| &**event));
        let begin = Instant::now();
        let left = |name: &str| fs::symlink_metadata(fixture.path(name)).is_ok();
        while left(".pacquet-passing") {
            assert!(begin.elapsed() < DEADLINE, "killed at word {words}");
            thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(left("d"), is_after);
        assert_eq!(walk(&fixture.root()), tree(name).expected);
    }
    fixture.unmount(UnmountRequest::Strict).unwrap();
    assert_eq!(written(&fixture.root()), Vec::<String>::new());
}
