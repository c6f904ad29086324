//! Generated projects: what is served is what their packages hold, and what pnpm makes of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;

use pacquet_test_registry::generate;

use crate::project::{Project, can_mount, tree};

const SEEDS: [u64; 3] = [1, 2, 3];

fn generated(seed: u64) -> (Project, generate::Project) {
    let source = generate::project(seed, 60, 4);
    let project = Project::new();
    source.publish(&project.registry);
    project.write("package.json", &source.manifest.to_string());
    project.write("pnpm-lock.yaml", &source.lockfile);
    (project, source)
}

fn is_foreign(package: &pacquet_test_registry::Package) -> bool {
    package.build().manifest.get("os").is_some()
}

#[test]
fn a_generated_project_is_served_as_its_packages_are() {
    if !can_mount("a_generated_project_is_served_as_its_packages_are") {
        return;
    }
    for seed in SEEDS {
        let (project, source) = generated(seed);
        project.install();
        let served = project.tree();
        let mut checked = 0;
        for package in source
            .packages
            .iter()
            .filter(|package| !is_foreign(package))
        {
            let (name, version) = (package.name(), package.version());
            let slot = format!(
                ".pnpm/{}@{version}/node_modules/{name}",
                name.replace('/', "+")
            );
            if !served.contains_key(&slot) {
                continue;
            }
            for (path, contents, mode) in package.files() {
                let executable = mode & 0o111 != 0;
                let wanted = format!("f {executable} {}", String::from_utf8_lossy(contents));
                let found = served.get(&format!("{slot}/{path}"));
                // An installer makes the targets of bins executable.
                let as_bin = format!("f true {}", String::from_utf8_lossy(contents));
                let same = found == Some(&wanted) || found == Some(&as_bin);
                assert!(same, "seed {seed}: {slot}/{path} differs");
                checked += 1;
            }
        }
        assert!(
            checked > 20,
            "seed {seed}: only {checked} files were compared"
        );
    }
}

/// The pnpm to compare with: `PACQUET_TEST_PNPM` names its program.
fn pnpm(test: &str) -> Option<PathBuf> {
    let program = std::env::var_os("PACQUET_TEST_PNPM").map(PathBuf::from);
    if program.is_none() {
        eprintln!("skipped: {test}: PACQUET_TEST_PNPM names no pnpm 12.21");
    }
    program
}

/// What may differ by design: bins are links or shims of our own, and state files.
fn is_comparable(path: &str) -> bool {
    let state = [
        ".modules.yaml",
        ".pnpm-workspace-state-v1.json",
        ".pnpm/lock.yaml",
    ];
    !path.split('/').any(|part| part == ".bin") && !state.contains(&path)
}

#[test]
fn a_generated_project_is_served_as_pnpm_writes_it() {
    let name = "a_generated_project_is_served_as_pnpm_writes_it";
    let Some(pnpm) = pnpm(name).filter(|_| can_mount(name)) else {
        return;
    };
    for seed in SEEDS {
        let (project, source) = generated(seed);
        project.install();
        let served = project.tree();
        let written = project.path("pnpm");
        source.write(&written, &project.registry).unwrap();
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
            .current_dir(&written)
            .env_remove("CI")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{said}");
        let comparable = |tree: BTreeMap<String, String>| -> BTreeMap<String, String> {
            tree.into_iter()
                .filter(|(path, _)| is_comparable(path))
                .collect()
        };
        let written = comparable(tree(&written.join("node_modules")));
        let served = comparable(served);
        let paths: BTreeSet<&String> = served.keys().chain(written.keys()).collect();
        let different: Vec<(&String, Option<&String>, Option<&String>)> = paths
            .into_iter()
            .map(|path| (path, served.get(path), written.get(path)))
            .filter(|(_, served, written)| served != written)
            .collect();
        assert!(different.is_empty(), "seed {seed}: {different:#?}");
    }
}
