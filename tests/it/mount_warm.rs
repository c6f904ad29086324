//! What programs touch first is touched in advance after the next mount.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use pacquet_test_registry::Package;
use serde_json::json;

use crate::project::{Project, can_mount};

const FILES: usize = 64;

/// What is waited for has come long before this.
const PATIENCE: Duration = Duration::from_secs(60);

fn wide() -> Project {
    let manifest = json!({
        "name": "app", "version": "1.0.0", "dependencies": { "wide": "1.0.0" }
    });
    let mut wide = Package::new("wide", "1.0.0").file("index.js", "module.exports = 1;\n");
    for number in 0..FILES {
        wide = wide.file(&format!("lib/f{number}.txt"), format!("file {number}\n"));
        wide = wide.file(&format!("other/g{number}.txt"), "");
    }
    let next = |number| format!("require('./c{number}')\n");
    for number in 0..FILES {
        wide = wide.file(&format!("chain/c{number}.js"), next(number + 1));
    }
    Project::locked(&manifest, &[wide])
}

fn profiles(project: &Project) -> Vec<PathBuf> {
    let found = fs::read_dir(project.path("cache/profiles"));
    let paths = found.into_iter().flatten().flatten();
    paths.map(|entry| entry.path()).collect()
}

fn requests(project: &Project) -> BTreeMap<String, u64> {
    let counters = &project.status()["counters"]["requests"];
    serde_json::from_value(counters.clone()).unwrap()
}

/// Requests that come while nobody touches the tree: the `status` of other tests asks every mount
/// whether it answers.
const PROBES: u64 = 12;

/// Waits until next to nobody asks the server for anything.
fn quiet(project: &Project) -> u64 {
    let began = Instant::now();
    let mut before = u64::MAX;
    loop {
        let now: u64 = requests(project).values().sum();
        if now.abs_diff(before) <= PROBES {
            return now;
        }
        before = now;
        assert!(began.elapsed() < PATIENCE, "{now} requests");
        sleep(Duration::from_millis(300));
    }
}

fn touch(project: &Project) {
    let package = project.node_modules().join("wide/lib");
    for number in 0..FILES {
        assert!(!package.join(format!("m{number}")).exists());
        let text = fs::read_to_string(package.join(format!("f{number}.txt"))).unwrap();
        assert_eq!(text, format!("file {number}\n"));
    }
}

fn wait_for_profiles(project: &Project) {
    let began = Instant::now();
    while profiles(project).len() < 2 {
        assert!(began.elapsed() < PATIENCE, "no profile was written");
        sleep(Duration::from_millis(100));
    }
}

#[test]
fn what_was_touched_is_touched_in_advance() {
    if !can_mount("what_was_touched_is_touched_in_advance") {
        return;
    }
    let project = wide();
    project.install();
    let before = quiet(&project);
    touch(&project);
    let without = quiet(&project) - before;
    assert!(without >= 3 * FILES as u64, "{without} requests");
    wait_for_profiles(&project);
    let touched_again = || {
        project.unmount();
        project.succeed(&["mount"]);
        let before = quiet(&project);
        touch(&project);
        quiet(&project) - before
    };
    // A few are left out on purpose, to see whether they are still wanted. Contents come without
    // requests, so on a busy machine not all may be there when nobody asks for anything.
    let mut counts = Vec::new();
    while counts.last().is_none_or(|with| with * 5 >= without) {
        assert!(counts.len() < 8, "{counts:?} and {without} requests");
        counts.push(touched_again());
    }
    project.unmount();
}

#[test]
fn who_removes_directories_leaves_no_touches_in_the_profile() {
    if !can_mount("who_removes_directories_leaves_no_touches_in_the_profile") {
        return;
    }
    let project = wide();
    project.install();
    touch(&project);
    fs::remove_dir_all(project.node_modules().join("wide/other")).unwrap();
    // An unmount waits for a second only, which is short on a busy machine.
    wait_for_profiles(&project);
    project.unmount();
    project.succeed(&["profile", "export", "pacquet.profile"]);
    let text = fs::read_to_string(project.root().join("pacquet.profile")).unwrap();
    assert!(text.contains("r f7.txt\n"), "{text}");
    assert!(!text.contains("wide/other\n"), "{text}");
}

#[test]
fn a_profile_travels_as_text_and_can_be_switched_off() {
    if !can_mount("a_profile_travels_as_text_and_can_be_switched_off") {
        return;
    }
    let project = wide();
    project.install();
    touch(&project);
    wait_for_profiles(&project);
    project.unmount();
    project.succeed(&["profile", "export", "pacquet.profile"]);
    let text = fs::read_to_string(project.root().join("pacquet.profile")).unwrap();
    assert!(text.starts_with("pacquet-profile 1\n"), "{text}");
    assert!(
        text.contains("r f7.txt\n") && text.contains("m m7\n"),
        "{text}"
    );
    fs::remove_dir_all(project.path("cache/profiles")).unwrap();
    project.write("pnpm-workspace.yaml", "mountProfile: false\n");
    project.install();
    touch(&project);
    project.unmount();
    assert!(profiles(&project).is_empty());
    project.succeed(&["profile", "import", "pacquet.profile"]);
    assert_eq!(profiles(&project).len(), 1);
    project.write("pacquet.profile", "pacquet-profile 1\nd ../..\n");
    let said = project.fail(&["profile", "import", "pacquet.profile"]);
    assert!(said.contains("line 2") && said.contains("hint:"), "{said}");
}

#[test]
fn what_was_written_is_known_before_it_is_read() {
    if !can_mount("what_was_written_is_known_before_it_is_read") {
        return;
    }
    let project = wide();
    project.install();
    quiet(&project);
    let place = project.node_modules().join("wide/cache");
    let reads = || requests(&project).get("read").copied().unwrap_or(0);
    let before = reads();
    fs::create_dir(&place).unwrap();
    for number in 0..FILES {
        fs::write(
            place.join(format!("w{number}")),
            format!("written {number}\n"),
        )
        .unwrap();
    }
    // Their ends are read by nobody else.
    let began = Instant::now();
    while reads() < before + FILES as u64 {
        assert!(began.elapsed() < PATIENCE, "{} reads", reads() - before);
        sleep(Duration::from_millis(100));
    }
    let before = quiet(&project);
    for number in 0..FILES {
        let path = place.join(format!("w{number}"));
        let text = fs::read_to_string(path).unwrap();
        assert_eq!(text, format!("written {number}\n"));
    }
    let asked = quiet(&project) - before;
    assert!(asked < FILES as u64 / 2, "{asked} requests");
    project.unmount();
}

#[test]
fn files_that_a_file_loads_are_there_before_they_are_asked_for() {
    if !can_mount("files_that_a_file_loads_are_there_before_they_are_asked_for") {
        return;
    }
    let project = wide();
    project.install();
    let chain = project.node_modules().join("wide/chain");
    let read_again = || {
        project.unmount();
        let _ = fs::remove_dir_all(project.path("cache/profiles"));
        project.succeed(&["mount"]);
        quiet(&project);
        fs::read(chain.join("c0.js")).unwrap();
        let before = quiet(&project);
        for number in 1..FILES {
            fs::read(chain.join(format!("c{number}.js"))).unwrap();
        }
        quiet(&project) - before
    };
    // On a busy machine who touches things in advance may not have begun when nobody asks.
    let mut counts = Vec::new();
    while counts.last().is_none_or(|asked| *asked >= FILES as u64 / 2) {
        assert!(counts.len() < 8, "{counts:?} requests");
        counts.push(read_again());
    }
    project.unmount();
    // No program asked for them, and the next one wants them all the same.
    project.succeed(&["profile", "export", "pacquet.profile"]);
    let text = fs::read_to_string(project.root().join("pacquet.profile")).unwrap();
    let guessed = text.lines().filter(|line| line.starts_with("r2 c"));
    assert!(guessed.count() >= FILES / 2, "{text}");
}

#[test]
fn what_is_being_touched_in_advance_can_be_unmounted() {
    if !can_mount("what_is_being_touched_in_advance_can_be_unmounted") {
        return;
    }
    let project = wide();
    project.install();
    touch(&project);
    wait_for_profiles(&project);
    for _ in 0..8 {
        project.unmount();
        project.succeed(&["mount"]);
        // The more is asked for, the longer it goes on.
        let _ = fs::read(project.node_modules().join("wide/chain/c0.js"));
    }
    project.unmount();
}

/// Packages whose files are in many directories, and the contents of each file.
fn deep() -> (Project, Vec<(PathBuf, String)>) {
    const DIRECTORIES: usize = 80;
    let manifest = json!({
        "name": "app", "version": "1.0.0", "dependencies": { "deep": "1.0.0" }
    });
    let mut deep = Package::new("deep", "1.0.0");
    let mut files = Vec::new();
    for number in 0..DIRECTORIES * 4 {
        let path = format!("d{}/f{}.txt", number / 4, number % 4);
        let text = format!("{path}\n").repeat(number * 7 + 1);
        deep = deep.file(&path, text.clone());
        files.push((PathBuf::from("deep").join(path), text));
    }
    (Project::locked(&manifest, &[deep]), files)
}

#[test]
fn who_reads_whole_directories_asks_for_few_of_their_files() {
    if !can_mount("who_reads_whole_directories_asks_for_few_of_their_files") {
        return;
    }
    let (project, files) = deep();
    project.install();
    quiet(&project);
    let before = requests(&project).get("read").copied().unwrap_or(0);
    for directory in files.chunks(4) {
        let place = directory[0].0.parent().unwrap();
        let shown = fs::read_dir(project.node_modules().join(place)).unwrap();
        for (position, entry) in shown.enumerate() {
            let path = entry.unwrap().path();
            let text = fs::read_to_string(&path).unwrap();
            let path = path.strip_prefix(project.node_modules()).unwrap();
            let known = directory.iter().find(|(known, _)| known == path);
            assert!(known.is_some_and(|(_, known)| *known == text), "{path:?}");
            if position == 0 {
                // What comes behind the listing needs no request when it is there in time.
                sleep(Duration::from_millis(20));
            }
        }
    }
    let reads = requests(&project)["read"] - before;
    assert!(reads < files.len() as u64 * 3 / 4, "{reads} reads");
    project.unmount();
}
