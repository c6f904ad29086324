//! Generated projects: the served tree holds what lockfile and packages say, and equals what pnpm
//! makes of them, its state files and commands included.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use pacquet_test_registry::generate;
use serde_json::{Map, Value};

use crate::project::{Project, can_mount};

fn generated(seed: u64, extra: &str) -> (Project, generate::Project) {
    let source = generate::project(seed, 50, 3);
    let project = Project::new();
    source.publish(&project.registry);
    project.write("package.json", &source.manifest.to_string());
    project.write("pnpm-lock.yaml", &source.lockfile);
    if !extra.is_empty() {
        project.write("pnpm-workspace.yaml", extra);
    }
    (project, source)
}

/// The directory of a package in the virtual store, for names that need no hash.
fn slot(id: &str) -> String {
    format!(".pnpm/{}/node_modules", id.replace('/', "+"))
}

/// Name and id that `reference` under `alias` means: `1.0.0`, or `name@1.0.0` for an alias.
fn resolved(alias: &str, reference: &str) -> (String, String) {
    match reference.rfind('@') {
        Some(at) if at > 0 => (reference[..at].to_owned(), reference.to_owned()),
        _ => (alias.to_owned(), format!("{alias}@{reference}")),
    }
}

fn mapping<'a>(
    value: &'a Value,
    key: &str,
) -> impl Iterator<Item = (&'a String, &'a Value)> + use<'a> {
    value
        .get(key)
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
}

#[test]
fn links_lead_where_the_lockfile_says() {
    if !can_mount("links_lead_where_the_lockfile_says") {
        return;
    }
    for seed in 10..13 {
        let (project, source) = generated(seed, "");
        project.install();
        let served = project.tree();
        let lockfile: Value = serde_norway::from_str(&source.lockfile).unwrap();
        let is_foreign = |id: &str| lockfile["packages"][id].get("os").is_some();
        let (mut wanted, mut absent) = (BTreeMap::new(), 0);
        for group in ["dependencies", "devDependencies", "optionalDependencies"] {
            for (alias, entry) in mapping(&lockfile["importers"]["."], group) {
                let (name, id) = resolved(alias, entry["version"].as_str().unwrap());
                let up = if alias.contains('/') { "../" } else { "" };
                let target = format!("l {up}{}/{name}", slot(&id));
                wanted.insert(alias.clone(), (id.clone(), target));
            }
        }
        for (from, snapshot) in mapping(&lockfile, "snapshots") {
            if !served.contains_key(&slot(from)) {
                // It, or all that need it, are of another platform.
                absent += 1;
                continue;
            }
            for group in ["dependencies", "optionalDependencies"] {
                for (alias, reference) in mapping(snapshot, group) {
                    let (name, id) = resolved(alias, reference.as_str().unwrap());
                    let up = if alias.contains('/') {
                        "../../../"
                    } else {
                        "../../"
                    };
                    let target = format!("l {up}{}/{name}", slot(&id).replace(".pnpm/", ""));
                    wanted.insert(format!("{}/{alias}", slot(from)), (id.clone(), target));
                }
            }
        }
        for (path, (id, target)) in &wanted {
            let expected = (!is_foreign(id)).then_some(target);
            assert_eq!(served.get(path), expected, "seed {seed}: {path}");
        }
        let total = mapping(&lockfile, "snapshots").count();
        assert!(
            absent * 3 < total,
            "seed {seed}: {absent} of {total} packages are not served"
        );
        assert!(
            wanted.len() > 20,
            "seed {seed}: only {} links were compared",
            wanted.len()
        );
    }
}

#[test]
fn targets_of_commands_are_executable_and_commands_lead_to_them() {
    if !can_mount("targets_of_commands_are_executable_and_commands_lead_to_them") {
        return;
    }
    let mut checked = 0;
    for seed in 20..24 {
        let (project, source) = generated(seed, "");
        project.install();
        for package in &source.packages {
            let (name, version) = (package.name(), package.version());
            let place = project
                .node_modules()
                .join(slot(&format!("{name}@{version}")))
                .join(name);
            if !place.exists() {
                continue;
            }
            let manifest = package.build().manifest;
            let commands: Vec<(String, String)> = match manifest.get("bin") {
                Some(Value::String(target)) => {
                    vec![(name.rsplit('/').next().unwrap().to_owned(), target.clone())]
                }
                Some(Value::Object(bin)) => bin
                    .iter()
                    .map(|(bin, target)| (bin.clone(), target.as_str().unwrap().to_owned()))
                    .collect(),
                _ => Vec::new(),
            };
            for (command, target) in commands {
                let target = fs::canonicalize(place.join(target)).unwrap();
                assert!(is_executable(&target), "seed {seed}: {}", target.display());
                let command = place.join("node_modules/.bin").join(command);
                assert_eq!(
                    started(&command),
                    target,
                    "seed {seed}: {}",
                    command.display()
                );
                checked += 1;
            }
        }
    }
    assert!(checked > 5, "only {checked} commands were compared");
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).is_ok_and(|facts| facts.permissions().mode() & 0o111 == 0o111)
}

/// The file that a command starts, whichever form it has and whoever made it.
fn started(command: &Path) -> PathBuf {
    let directory = command.parent().unwrap();
    let target = match fs::read_link(command) {
        Ok(target) => target,
        Err(_) => {
            assert!(is_executable(command), "{}", command.display());
            PathBuf::from(shim_target(&fs::read_to_string(command).unwrap()))
        }
    };
    let path = directory.join(target);
    fs::canonicalize(&path).unwrap_or_else(|_| without_climbing(&path))
}

fn shim_target(text: &str) -> String {
    let line = text.lines().last().unwrap();
    if let Some(target) = line.strip_prefix("# cmd-shim-target=") {
        return target.to_owned();
    }
    let quoted = line.rsplit_once("\"$directory\"/'").unwrap().1;
    quoted
        .strip_suffix("' \"$@\"")
        .unwrap()
        .replace(r"'\''", "'")
}

fn without_climbing(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}

/// The pnpm to compare with: the program that `PACQUET_TEST_PNPM` names, or the one on `PATH` if it
/// is of version 12.21.
fn pnpm(test: &str) -> Option<PathBuf> {
    if let Some(program) = std::env::var_os("PACQUET_TEST_PNPM") {
        return Some(program.into());
    }
    // Elsewhere a program of this name may fetch another version before it answers.
    let output = Command::new("pnpm")
        .arg("--version")
        .current_dir("/")
        .output()
        .ok();
    let version = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    if version
        .as_ref()
        .is_some_and(|version| version.starts_with("12.21."))
    {
        return Some("pnpm".into());
    }
    eprintln!("skipped: {test}: PACQUET_TEST_PNPM names no pnpm 12.21, and PATH has none");
    None
}

/// Every path of a tree and what it is; a command by the file that it starts.
fn comparable(project: &Path, tree: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let modules = project.join("node_modules");
    let project = fs::canonicalize(project).unwrap();
    tree.into_iter()
        .filter_map(|(path, what)| {
            let mut components = path.rsplit('/');
            let name = components.next().unwrap_or_default();
            if matches!(name, ".modules.yaml" | ".pnpm-workspace-state-v1.json") {
                return None;
            }
            if components.next() != Some(".bin") {
                return Some((path, what));
            }
            let target = started(&modules.join(&path));
            let target = target.strip_prefix(&project).unwrap().display().to_string();
            Some((path, format!("starts {target}")))
        })
        .collect()
}

/// pnpm writes commands of optional packages too that it does not link: leaves them out, and the
/// directories that have nothing else.
fn leave_out_what_starts_nothing(project: &Path, tree: &mut BTreeMap<String, String>) {
    let starts_nothing = |what: &str| {
        let started = what.strip_prefix("starts ");
        started.is_some_and(|started| !project.join(started).exists())
    };
    let broken: Vec<String> = tree
        .iter()
        .filter(|(_, what)| starts_nothing(what))
        .map(|(path, _)| path.clone())
        .collect();
    for path in broken {
        tree.remove(&path);
        for above in Path::new(&path).ancestors().skip(1) {
            let inside = format!("{}/", above.display());
            if tree.keys().any(|path| path.starts_with(&inside)) {
                break;
            }
            tree.remove(above.to_str().unwrap());
        }
    }
}

/// `.modules.yaml` without what names the program, its store and the time.
fn modules_state(project: &Path) -> Map<String, Value> {
    let text = fs::read(project.join("node_modules/.modules.yaml")).unwrap();
    let mut state: Map<String, Value> = serde_json::from_slice(&text).unwrap();
    for key in ["packageManager", "prunedAt", "storeDir"] {
        assert!(state.remove(key).is_some(), "{key}");
    }
    state
}

#[test]
fn pnpm_makes_the_same_tree() {
    let name = "pnpm_makes_the_same_tree";
    let Some(pnpm) = pnpm(name).filter(|_| can_mount(name)) else {
        return;
    };
    let configurations: [(&str, &[&str]); 4] = [
        ("", &[]),
        ("", &["--prod"]),
        ("publicHoistPattern: ['package-1*']\n", &["--no-optional"]),
        ("nodeLinker: hoisted\n", &[]),
    ];
    for (seed, (settings, flags)) in (30..).zip(configurations) {
        let (project, source) = generated(seed, settings);
        let mut arguments = vec![
            "install",
            "--virtual",
            "--frozen-lockfile",
            "--ignore-scripts",
        ];
        arguments.extend(flags);
        project.succeed(&arguments);
        let written = project.path("pnpm");
        source.write(&written, &project.registry).unwrap();
        if !settings.is_empty() {
            fs::write(written.join("pnpm-workspace.yaml"), settings).unwrap();
        }
        let output = Command::new(&pnpm)
            .args([
                "install",
                "--frozen-lockfile",
                "--ignore-scripts",
                "--store-dir",
            ])
            .arg(project.path("pnpm-store"))
            .arg("--cache-dir")
            .arg(project.path("pnpm-cache"))
            .args(flags)
            .current_dir(&written)
            .env_remove("CI")
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stdout)
        );
        let ours = comparable(&project.root(), project.tree());
        let mut theirs = comparable(
            &written,
            crate::project::tree(&written.join("node_modules")),
        );
        leave_out_what_starts_nothing(&written, &mut theirs);
        for path in ours.keys().chain(theirs.keys()) {
            let (ours, theirs) = (ours.get(path), theirs.get(path));
            assert_eq!(ours, theirs, "seed {seed}, {settings:?}, {flags:?}: {path}");
        }
        let (ours, theirs) = (modules_state(&project.root()), modules_state(&written));
        assert_eq!(
            serde_json::to_string_pretty(&ours).unwrap(),
            serde_json::to_string_pretty(&theirs).unwrap(),
            "seed {seed}, {settings:?}, {flags:?}"
        );
    }
}
