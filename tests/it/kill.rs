//! Installs that are killed at any moment, or interrupted: the next one succeeds, and the store is
//! whole.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pacquet_test_registry::generate::{self, Random};
use pacquet_test_registry::{Fault, Package, When};
use serde_json::json;

use crate::project::{Killed, Project, can_mount};

const INSTALL: [&str; 4] = [
    "install",
    "--virtual",
    "--frozen-lockfile",
    "--ignore-scripts",
];

/// Rounds of the random test, unless `PACQUET_KILL_ROUNDS` says otherwise.
const ROUNDS_DEFAULT: usize = 12;

/// A project may be used for so long only, or its guard takes it for one that hangs.
const ROUNDS_OF_A_PROJECT: usize = 25;

fn generated() -> Project {
    let generated = generate::project(4242, 80, 3);
    let project = Project::new();
    generated.publish(&project.registry);
    generated.write(&project.root(), &project.registry).unwrap();
    project
}

fn spawn(project: &Project) -> Child {
    let mut command = project.command(&INSTALL);
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// The served tree, without the files that tell the time.
fn tree(project: &Project) -> BTreeMap<String, String> {
    let mut tree = project.tree();
    tree.remove(".modules.yaml");
    tree.remove(".pnpm-workspace-state-v1.json");
    tree
}

/// What must hold after a kill: a plain install works, serves the right tree, and leaves a store
/// in which nothing is wrong.
fn check(project: &Project, expected: &BTreeMap<String, String>, what: &str) {
    let output = project.run(&INSTALL);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: {said}");
    assert!(project.is_mounted(), "{what}: {said}");
    let found = tree(project);
    for (path, is) in expected {
        assert_eq!(found.get(path), Some(is), "{what}: {path}");
    }
    assert_eq!(found.len(), expected.len(), "{what}");
    let output = project.run(&["store", "verify"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{what}: {said}");
}

fn start_over(project: &Project) {
    project.run(&["unmount", "--force"]);
    assert!(!project.is_mounted());
    for directory in [project.store(), project.path("cache")] {
        let _ = fs::remove_dir_all(directory);
    }
}

#[test]
fn an_install_that_is_killed_at_any_moment_is_made_good_by_the_next() {
    if !can_mount("an_install_that_is_killed_at_any_moment_is_made_good_by_the_next") {
        return;
    }
    let rounds = std::env::var("PACQUET_KILL_ROUNDS")
        .ok()
        .and_then(|text| text.parse().ok());
    let rounds: usize = rounds.unwrap_or(ROUNDS_DEFAULT);
    let mut project = generated();
    // The shortest of some runs, so that most kills come before the end.
    let measure = || {
        start_over(&project);
        let started = Instant::now();
        project.succeed(&INSTALL);
        started.elapsed()
    };
    let whole = measure().min(measure()).min(measure());
    let expected = tree(&project);
    let mut random = Random::new(rounds as u64);
    let mut interrupted = 0;
    for round in 0..rounds {
        if round % ROUNDS_OF_A_PROJECT == ROUNDS_OF_A_PROJECT - 1 {
            project = generated();
        }
        start_over(&project);
        let mut child = Killed(spawn(&project));
        // Stratified, so that few rounds too are spread over the whole run.
        let fraction = (round * 1000 + random.below(1000)) as f64 / (rounds * 1000) as f64;
        let moment = whole.mul_f64(fraction);
        std::thread::sleep(moment);
        child.0.kill().unwrap();
        let status = child.0.wait().unwrap();
        interrupted += usize::from(status.code().is_none());
        check(
            &project,
            &expected,
            &format!("round {round}, killed after {moment:?}"),
        );
    }
    println!("{interrupted} of {rounds} installs were killed, in {whole:?} each");
    assert!(interrupted > 0, "none of {rounds} installs was killed");
}

/// The processes that any thread of another one has started (proc(5), `children`).
pub(crate) fn children_of(process: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{process}/task"));
    let listed = threads.into_iter().flatten().flatten();
    let listed = listed.filter_map(|one| fs::read_to_string(one.path().join("children")).ok());
    let listed = listed.collect::<Vec<_>>().join(" ");
    let numbers = listed.split_whitespace().map(|pid| pid.parse().unwrap());
    numbers.collect()
}

/// The process that another one has started, if it has.
fn child_of(process: u32) -> Option<String> {
    children_of(process).first().map(u32::to_string)
}

fn signal(signal: &str, process: &str) {
    let sent = Command::new("kill").args([signal, process]).status();
    assert!(sent.unwrap().success());
}

#[test]
fn who_comes_after_one_that_was_killed_waits_for_the_server_that_it_started() {
    if !can_mount("who_comes_after_one_that_was_killed_waits_for_the_server_that_it_started") {
        return;
    }
    let project = generated();
    project.succeed(&INSTALL);
    let mount = || {
        let mut command = project.command(&["mount"]);
        let command = command.stdout(Stdio::null()).stderr(Stdio::null());
        Killed(command.spawn().unwrap())
    };
    let mut killed = 0;
    for round in 0..20 {
        project.unmount();
        let mut first = mount();
        let supervisor = loop {
            match child_of(first.0.id()) {
                None if first.0.try_wait().unwrap().is_none() => std::thread::yield_now(),
                found => break found,
            }
        };
        let Some(supervisor) = supervisor else {
            continue;
        };
        // Somewhere between its beginning and its first answer.
        std::thread::sleep(Duration::from_millis(round));
        signal("-STOP", &supervisor);
        first.0.kill().unwrap();
        killed += usize::from(first.0.wait().unwrap().code().is_none());
        let mut second = mount();
        std::thread::sleep(Duration::from_millis(200));
        signal("-CONT", &supervisor);
        assert!(second.0.wait().unwrap().success(), "round {round}");
        assert!(project.is_mounted());
    }
    assert!(killed > 0, "none was killed");
    project.unmount();
}

/// The program under strace, which does something at a system call.
fn traced(project: &Project, calls: &str, what: &str) -> Command {
    let program = project.command(&[]);
    let mut command = Command::new("strace");
    command
        .args(["-f", "-qq", "-o", "/dev/null"])
        .arg(format!("--trace={calls}"))
        .arg(format!("--inject={calls}:{what}"))
        .arg(program.get_program())
        .args(INSTALL)
        .current_dir(project.root())
        .env_clear()
        .envs(
            program
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

fn has_strace(test: &str) -> bool {
    let has = Command::new("strace")
        .arg("-V")
        .stdout(Stdio::null())
        .status()
        .is_ok();
    if !has {
        eprintln!("skipped: {test}: no strace");
    }
    has
}

/// Waits for a traced program, taking down what it mounted in the end: the tracer waits for the
/// server too.
fn wait_for_tracer(project: &Project, mut tracer: Killed) {
    let started = Instant::now();
    while tracer.0.try_wait().unwrap().is_none() {
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "the tracer hangs"
        );
        if project.is_mounted() {
            project.run(&["unmount", "--force"]);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn an_install_that_is_killed_at_a_system_call_is_made_good_by_the_next() {
    if !can_mount("an_install_that_is_killed_at_a_system_call_is_made_good_by_the_next") {
        return;
    }
    if !has_strace("an_install_that_is_killed_at_a_system_call_is_made_good_by_the_next") {
        return;
    }
    let project = generated();
    project.succeed(&INSTALL);
    let expected = tree(&project);
    let rename = "rename,renameat,renameat2";
    for (calls, number) in [
        ("writev", 1),
        ("writev", 9),
        (rename, 1),
        (rename, 12),
        ("pwrite64", 3),
        ("fdatasync,fsync,sync_file_range", 1),
    ] {
        start_over(&project);
        let mut command = traced(&project, calls, &format!("signal=KILL:when={number}"));
        wait_for_tracer(&project, Killed(command.spawn().unwrap()));
        check(&project, &expected, &format!("{calls} number {number}"));
    }
}

#[test]
fn a_system_call_that_fails_is_told_and_made_good_by_the_next_install() {
    let test = "a_system_call_that_fails_is_told_and_made_good_by_the_next_install";
    if !can_mount(test) || !has_strace(test) {
        return;
    }
    let project = generated();
    project.succeed(&INSTALL);
    let expected = tree(&project);
    for (calls, error) in [
        ("writev", "error=ENOSPC:when=4+"),
        ("rename", "error=EIO:when=6+"),
        ("writev", "error=EDQUOT:when=1+"),
        ("pwrite64", "error=EIO:when=2+"),
        ("mkdir", "error=EACCES:when=5+"),
    ] {
        let what = format!("{calls} {error}");
        start_over(&project);
        let mut command = traced(&project, calls, error);
        let output = command.stderr(Stdio::piped()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{what}: {said}");
        assert!(said.contains("ERR_P"), "{what}: {said}");
        // The same calls serve the network.
        let named = said.contains(project.path("").to_str().unwrap()) || said.contains("GET ");
        assert!(named, "{what}: {said}");
        assert!(!project.is_mounted(), "{what}");
        project.assert_no_temporary_files(&what);
        check(&project, &expected, &what);
    }
}

#[test]
fn an_interrupted_install_ends_soon_and_leaves_no_temporary_file() {
    if !can_mount("an_interrupted_install_ends_soon_and_leaves_no_temporary_file") {
        return;
    }
    for (name, code) in [("-INT", 130), ("-TERM", 143), ("-HUP", 129)] {
        let manifest = json!({ "name": "app", "dependencies": { "large": "1.0.0", "a": "1.0.0" } });
        let bytes: Vec<u8> = {
            let mut random = Random::new(3);
            (0..3 << 20)
                .flat_map(|_| random.next_u64().to_le_bytes())
                .collect()
        };
        let packages = [
            Package::new("large", "1.0.0").file("data.bin", bytes),
            Package::new("a", "1.0.0").file("index.js", "1"),
        ];
        let project = Project::locked(&manifest, &packages);
        let path = "/large/-/large-1.0.0.tgz";
        project
            .registry
            .fault(path, When::First(1), Fault::StallHalfWay);
        let mut child = Killed(spawn(&project));
        // The download of the large one has begun when there is a file that is no small one's.
        let temporary = project.store().join("tmp");
        let is_large =
            |entry: fs::DirEntry| entry.metadata().is_ok_and(|file| file.len() > 1 << 16);
        let begun = || fs::read_dir(&temporary).is_ok_and(|found| found.flatten().any(is_large));
        while !begun() {
            assert!(child.0.try_wait().unwrap().is_none(), "it ended by itself");
            std::thread::yield_now();
        }
        let pid = child.0.id().to_string();
        assert!(
            Command::new("kill")
                .args([name, &pid])
                .status()
                .unwrap()
                .success()
        );
        let sent = Instant::now();
        let status = child.0.wait().unwrap();
        assert!(
            sent.elapsed() < Duration::from_secs(60),
            "{name}: {:?}",
            sent.elapsed()
        );
        assert_eq!(status.code(), Some(code), "{name}");
        project.assert_no_temporary_files(name);
        assert!(!project.is_mounted());
        project.install();
        project.succeed(&["store", "verify"]);
    }
}

#[test]
fn a_reader_that_goes_away_ends_the_program_quietly() {
    let project = Project::new();
    let mut command = Command::new("sh");
    let program = project.command(&[]);
    command.args(["-c", "\"$0\" --help | true; \"$0\" store path | true"]);
    command
        .arg(program.get_program())
        .env_clear()
        .current_dir(project.root());
    command.envs(
        program
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    let output = command.output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
