//! Installs under what a shell or a container may set: umasks and limits.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use pacquet_test_registry::{Fault, Package, When};
use serde_json::json;

use crate::project::{Project, can_mount};

const CONTENT: &str = "module.exports = 'deep content';\n";

fn project() -> Project {
    project_of(40)
}

fn project_of(packages: usize) -> Project {
    let names: Vec<String> = (0..packages)
        .map(|number| format!("left-{number}"))
        .collect();
    let dependencies: serde_json::Map<_, _> = names
        .iter()
        .map(|name| (name.clone(), json!("1.0.0")))
        .collect();
    let manifest = json!({ "name": "app", "dependencies": dependencies });
    let packages: Vec<_> = names
        .iter()
        .map(|name| Package::new(name, "1.0.0").file("index.js", CONTENT))
        .collect();
    Project::locked(&manifest, &packages)
}

/// Runs the program from a shell that has done `first`.
fn after(project: &Project, first: &str, arguments: &[&str]) -> Output {
    let program = project.command(&[]);
    let mut command = Command::new("bash");
    command
        .args(["-c", &format!("{first}; exec \"$0\" \"$@\"")])
        .arg(program.get_program())
        .args(arguments)
        .current_dir(project.root())
        .env_clear();
    let environment = program.get_envs();
    command.envs(environment.filter_map(|(name, value)| Some((name, value?))));
    command.output().unwrap()
}

fn install_after(project: &Project, first: &str, arguments: &[&str]) {
    let words = ["install", "--virtual", "--ignore-scripts"];
    let output = after(project, first, &[&words, arguments].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{first}: {said}");
    for number in [0, 39] {
        let path = format!("left-{number}/index.js");
        let served = fs::read_to_string(project.node_modules().join(path)).unwrap();
        assert_eq!(served, CONTENT, "{first}");
    }
}

#[test]
fn an_install_works_in_a_small_address_space() {
    if !can_mount("an_install_works_in_a_small_address_space") {
        return;
    }
    let project = project();
    // In KiB. A heap for every thread, and a stack for the longest chains, would not fit.
    let small = "ulimit -v 800000";
    install_after(&project, small, &["--frozen-lockfile"]);
    project.forget_everything();
    fs::remove_file(project.root().join("pnpm-lock.yaml")).unwrap();
    install_after(&project, small, &["--no-frozen-lockfile"]);
    project.succeed(&["store", "verify"]);
    project.unmount();
    install_after(&project, small, &["--config.node-linker=hoisted"]);
}

#[test]
fn an_install_works_with_few_open_files() {
    if !can_mount("an_install_works_with_few_open_files") {
        return;
    }
    // More than are fetched at once, from a registry that takes so long that all that may be are.
    let project = project_of(150);
    for number in 0..150 {
        let path = format!("/left-{number}/-/left-{number}-1.0.0.tgz");
        let delay = Fault::Delay(Duration::from_millis(40));
        project.registry.fault(&path, When::Always, delay);
    }
    install_after(&project, "ulimit -n 64", &["--frozen-lockfile"]);
    project.succeed(&["store", "verify"]);
}

#[test]
fn too_few_open_files_are_told_with_what_helps() {
    if !can_mount("too_few_open_files_are_told_with_what_helps") {
        return;
    }
    let project = project();
    project.install();
    project.unmount();
    let mut told = 0;
    for most in 8..64 {
        let first = format!("ulimit -n {most}");
        let output = after(&project, &first, &["mount"]);
        let said = String::from_utf8_lossy(&output.stderr);
        if output.status.success() {
            project.unmount();
            break;
        }
        assert_eq!(output.status.code(), Some(1), "{first}: {said}");
        assert!(!said.contains("CAP_SYS_ADMIN"), "{first}: {said}");
        assert!(!project.is_mounted(), "{first}");
        assert!(said.contains("ulimit -n"), "{first}: {said}");
        told += 1;
    }
    assert!(told > 0);
}

#[test]
fn with_as_few_open_files_as_are_accepted_everything_can_be_read() {
    if !can_mount("with_as_few_open_files_as_are_accepted_everything_can_be_read") {
        return;
    }
    let project = project();
    project.install();
    project.unmount();
    let accepted = (32..64).find(|most| {
        let output = after(&project, &format!("ulimit -n {most}"), &["mount"]);
        output.status.success()
    });
    assert!(accepted.is_some());
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let root = project.node_modules();
            std::thread::spawn(move || {
                for number in 0..40 {
                    let path = root.join(format!("left-{number}/index.js"));
                    assert_eq!(fs::read_to_string(path).unwrap(), CONTENT);
                }
            })
        })
        .collect();
    for reader in readers {
        reader.join().unwrap();
    }
    project.unmount();
}

#[test]
fn too_little_memory_is_told_and_nobody_panics() {
    let project = project();
    let manifest = fs::read(project.root().join("package.json")).unwrap();
    let (mut told, mut done) = (0, 0);
    for kibibytes in (20_000..400_000).step_by(5_000) {
        let first = format!("ulimit -v {kibibytes}");
        let output = after(
            &project,
            &first,
            &["add", "left-1@1.0.0", "--lockfile-only"],
        );
        let said = String::from_utf8_lossy(&output.stderr);
        match output.status.code() {
            Some(0) => done += 1,
            Some(1) => {
                assert!(
                    said.contains("hint: Raise the limits of"),
                    "{first}: {said}"
                );
                told += 1;
            }
            // The system does not get as far as to the program.
            _ => assert!(
                !said.contains("panicked") && !said.contains("allocation"),
                "{said}"
            ),
        }
        if done > 1 {
            break;
        }
        fs::write(project.root().join("package.json"), &manifest).unwrap();
    }
    assert!(told > 0 && done > 0, "{told} {done}");
}

/// Root is not counted (setrlimit(2)), so it runs as nobody.
#[test]
fn too_few_processes_are_told_and_nobody_panics() {
    // So many that their lockfile would be read by two threads.
    let project = project_of(200);
    let lockfile = fs::metadata(project.root().join("pnpm-lock.yaml")).unwrap();
    assert!(lockfile.len() > 32 << 10);
    let store = project.path("nobody");
    fs::create_dir(&store).unwrap();
    let able = Command::new("chown")
        .args(["-R", "65534:65534"])
        .args([
            &store,
            &project.root(),
            &project.path("home"),
            &project.path("run"),
        ])
        .status();
    if !able.is_ok_and(|status| status.success()) {
        eprintln!("skipped: only root can become somebody else");
        return;
    }
    fs::set_permissions(project.path("."), PermissionsExt::from_mode(0o755)).unwrap();
    let program = project.path("pacquet");
    pacquet_test_registry::program::copy(Path::new(env!("CARGO_BIN_EXE_pacquet")), &program);
    let mut failures = 0;
    for most in 1..40 {
        let limited = format!("ulimit -u {most}; exec \"$0\" \"$@\"");
        let output = Command::new("setpriv")
            .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
            .args(["bash", "-c", &limited])
            .arg(&program)
            .args(["install", "--ignore-scripts", "--store-dir"])
            .arg(&store)
            .current_dir(project.root())
            .env("HOME", project.path("home"))
            .env("PACQUET_CACHE_DIR", store.join("cache"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!said.contains("panicked"), "{most}: {said}");
        if output.status.success() {
            break;
        }
        failures += 1;
    }
    assert!(failures > 0);
    project.succeed(&["install", "--ignore-scripts"]);
}

#[test]
fn nothing_that_is_made_can_be_written_by_others_whatever_the_umask() {
    if !can_mount("nothing_that_is_made_can_be_written_by_others_whatever_the_umask") {
        return;
    }
    for mask in ["000", "077"] {
        let project = project();
        let first = format!("umask {mask}");
        install_after(&project, &first, &[]);
        let run = fs::metadata(project.path("run/pacquet")).unwrap();
        assert_eq!(
            run.mode() & 0o777,
            0o700,
            "{mask}: nobody else reaches the sockets in it"
        );
        // What was touched is written down at the end.
        project.unmount();
        for directory in [
            project.store(),
            project.path("cache"),
            project.node_modules(),
        ] {
            for entry in walkdir::WalkDir::new(&directory) {
                let entry = entry.unwrap();
                let facts = entry.metadata().unwrap();
                let open = facts.mode() & 0o022;
                let matters = !entry.file_type().is_symlink();
                assert!(
                    !matters || open == 0,
                    "{mask}: {:?} {:o}",
                    entry.path(),
                    facts.mode()
                );
            }
        }
        project.install();
        project.succeed(&["store", "verify"]);
    }
}
