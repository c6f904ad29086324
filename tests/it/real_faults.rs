//! Real files when something goes wrong: kills, full disks, forbidden directories, two at once.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use pacquet_test_registry::generate::{self, Random};

use crate::project::{Killed, Project, tree};

/// Rounds of the random test, unless `PACQUET_KILL_ROUNDS` says otherwise.
const ROUNDS_DEFAULT: usize = 16;

fn generated(seed: u64) -> Project {
    let project = Project::new();
    relock(&project, seed);
    project
}

/// Gives the project another lockfile.
fn relock(project: &Project, seed: u64) {
    let generated = generate::project(seed, 60, 4);
    generated.publish(&project.registry);
    generated
        .write(&project.root(), &project.registry)
        .expect("written");
}

fn arguments(linker: &str) -> [&str; 6] {
    [
        "install",
        "--no-virtual",
        "--frozen-lockfile",
        "--ignore-scripts",
        "--node-linker",
        linker,
    ]
}

/// The tree without the files that tell the time.
fn plain(project: &Project) -> BTreeMap<String, String> {
    let mut tree = project.tree();
    tree.remove(".modules.yaml");
    tree.remove(".pnpm-workspace-state-v1.json");
    tree
}

fn spawn(project: &Project, linker: &str) -> Child {
    project
        .command(&arguments(linker))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts")
}

/// The tree that a fresh install of the present lockfile makes.
fn fresh(project: &Project, linker: &str) -> BTreeMap<String, String> {
    let _ = fs::remove_dir_all(project.node_modules());
    project.succeed(&arguments(linker));
    plain(project)
}

#[test]
fn an_install_of_real_files_that_is_killed_is_made_good_by_the_next() {
    let rounds = std::env::var("PACQUET_KILL_ROUNDS").ok();
    let rounds: usize = rounds
        .and_then(|text| text.parse().ok())
        .unwrap_or(ROUNDS_DEFAULT);
    let mut random = Random::new(rounds as u64);
    for linker in ["isolated", "hoisted"] {
        let project = generated(1);
        let old = fresh(&project, linker);
        relock(&project, 2);
        let started = Instant::now();
        let new = fresh(&project, linker);
        let whole = started.elapsed();
        let mut killed = 0;
        for round in 0..rounds {
            // From one lockfile to the other and, every third time, from nothing.
            let (seed, expected) = [(1, &old), (2, &new)][round % 2];
            if round % 3 == 2 {
                fs::remove_dir_all(project.node_modules()).expect("removed");
                fs::remove_dir_all(project.store()).expect("removed");
            }
            relock(&project, seed);
            let mut child = Killed(spawn(&project, linker));
            let fraction = (round * 1000 + random.below(1000)) as f64 / (rounds * 1000) as f64;
            std::thread::sleep(whole.mul_f64(fraction));
            child.0.kill().expect("killed");
            killed += usize::from(child.0.wait().expect("ended").code().is_none());
            // Somebody may go back to the other lockfile before the next install.
            let (seed, expected) = match round % 5 {
                4 => [(2, &new), (1, &old)][round % 2],
                _ => (seed, expected),
            };
            relock(&project, seed);
            project.succeed(&arguments(linker));
            let found = plain(&project);
            let differs = found
                .iter()
                .find(|(path, is)| expected.get(*path) != Some(is));
            assert_eq!(differs, None, "{linker}, round {round}");
            assert_eq!(found.len(), expected.len(), "{linker}, round {round}");
        }
        assert!(killed > 0, "none of {rounds} installs was killed");
        project.succeed(&["store", "verify"]);
    }
}

/// The program under strace, which does something at a system call.
fn traced(project: &Project, linker: &str, calls: &str, what: &str) -> Command {
    let program = project.command(&[]);
    let mut command = Command::new("strace");
    command
        .args(["-f", "-qq", "-o", "/dev/null"])
        .arg(format!("--trace={calls}"))
        .arg(format!("--inject={calls}:{what}"))
        .arg(program.get_program())
        .args(arguments(linker))
        .current_dir(project.root())
        .env_clear();
    let variables = program.get_envs();
    command.envs(variables.filter_map(|(name, value)| Some((name, value?))));
    command
}

#[test]
fn a_system_call_that_fails_while_files_are_written_is_told_and_made_good() {
    if Command::new("strace")
        .arg("-V")
        .stdout(Stdio::null())
        .status()
        .is_err()
    {
        eprintln!("skipped: no strace");
        return;
    }
    for linker in ["isolated", "hoisted"] {
        let project = generated(3);
        let expected = fresh(&project, linker);
        for (calls, what) in [
            ("linkat", "error=ENOSPC:when=40+"),
            ("linkat", "error=EDQUOT:when=1"),
            ("mkdirat", "error=ENOSPC:when=30+"),
            ("renameat2", "error=EIO:when=20+"),
            ("symlinkat", "error=EACCES:when=1"),
            ("linkat", "signal=KILL:when=50"),
            ("renameat2", "signal=KILL:when=10"),
            ("mkdirat", "signal=KILL:when=60"),
            ("symlinkat", "signal=KILL:when=1"),
        ] {
            let _ = fs::remove_dir_all(project.node_modules());
            let output = traced(&project, linker, calls, what)
                .output()
                .expect("it starts");
            let said = String::from_utf8_lossy(&output.stderr);
            let is_hit = !output.status.success();
            assert!(
                is_hit || calls == "symlinkat",
                "{linker} {calls} {what}: {said}"
            );
            if is_hit && what.starts_with("error") {
                assert_eq!(
                    output.status.code(),
                    Some(1),
                    "{linker} {calls} {what}: {said}"
                );
                assert!(said.contains("ERR_PACQUET_"), "{said}");
                assert!(
                    said.contains(project.root().to_str().expect("text")),
                    "{said}"
                );
                let names: Vec<String> = tree(&project.node_modules()).into_keys().collect();
                let left = names.iter().find(|name| name.contains(".pacquet-tmp-"));
                assert_eq!(left, None, "{linker} {calls} {what}");
            }
            project.succeed(&arguments(linker));
            assert!(plain(&project) == expected, "{linker} {calls} {what}");
        }
    }
}

#[test]
fn two_installs_of_one_project_both_succeed() {
    let project = generated(4);
    let expected = fresh(&project, "isolated");
    for _ in 0..3 {
        fs::remove_dir_all(project.node_modules()).expect("removed");
        fs::remove_dir_all(project.store()).expect("removed");
        let mut both = [spawn(&project, "isolated"), spawn(&project, "isolated")];
        for child in &mut both {
            assert!(child.wait().expect("ended").success());
        }
        assert!(plain(&project) == expected);
        project.succeed(&["store", "verify"]);
    }
}

/// The permission bits of everything below `root`, symlinks apart.
fn modes(root: &Path) -> Vec<(String, u32)> {
    let entries = walkdir::WalkDir::new(root).into_iter().flatten();
    let entries = entries.filter(|entry| !entry.file_type().is_symlink());
    let mode = |entry: &walkdir::DirEntry| entry.metadata().expect("there").mode() & 0o777;
    entries
        .map(|entry| (entry.path().display().to_string(), mode(&entry)))
        .collect()
}

#[test]
fn real_files_can_be_written_by_their_owner_alone_whatever_the_umask() {
    let project = generated(5);
    for umask in ["000", "077"] {
        let _ = fs::remove_dir_all(project.node_modules());
        let program = project.command(&[]);
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!("umask {umask}; exec \"$0\" \"$@\"")])
            .arg(program.get_program())
            .args(arguments("isolated"))
            .current_dir(project.root())
            .env_clear();
        let variables = program.get_envs();
        command.envs(variables.filter_map(|(name, value)| Some((name, value?))));
        assert!(command.output().expect("it starts").status.success());
        for root in [project.node_modules(), project.store()] {
            for (path, mode) in modes(&root) {
                assert_eq!(mode & 0o022, 0, "{umask}: {path} {mode:o}");
            }
        }
    }
}

#[test]
fn something_that_cannot_be_replaced_is_named() {
    let project = generated(6);
    fs::write(project.node_modules(), "a file").expect("written");
    let said = project.fail(&arguments("isolated"));
    let named = said.contains(project.node_modules().to_str().expect("text"));
    assert!(named && said.contains("hint:"), "{said}");
    assert_eq!(
        fs::read_to_string(project.node_modules()).expect("there"),
        "a file"
    );
}

#[test]
fn a_store_that_cannot_be_written_is_copied_from() {
    let project = generated(7);
    let expected = fresh(&project, "isolated");
    fs::remove_dir_all(project.store().join("unpacked")).expect("removed");
    fs::remove_dir_all(project.node_modules()).expect("removed");
    let meta = project.store().join("meta.json");
    let text = fs::read_to_string(&meta).expect("there");
    let read_only = text.replace(
        "\"readOnlyCompatible\": []",
        "\"readOnlyCompatible\": [\"x\"]",
    );
    assert_ne!(text, read_only);
    fs::write(&meta, read_only).expect("written");
    project.succeed(&arguments("isolated"));
    assert!(plain(&project) == expected);
    assert!(!project.store().join("unpacked").exists());
    let mode = fs::metadata(project.store())
        .expect("there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o700, 0o700);
}
