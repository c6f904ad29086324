//! Plain projects of any size from a seed, for measuring: the same numbers give the same bytes.
//!
//! Unlike those of [`crate::generate`] they hold nothing that any installer refuses.

use std::fs;
use std::io;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::generate::Random;
use crate::lockfile;
use crate::package::Package;

/// Direct dependencies of each project, beside its neighbours.
const DEPENDENCIES_PER_PROJECT: usize = 20;

/// A generated package's largest number of files.
const FILES_MAX: usize = 40;

/// A workspace, or a project by itself, and the packages that it needs.
#[derive(Clone, Debug)]
pub struct Workspace {
    /// Each project's path below the root, and its manifest; the root is `.`.
    pub projects: Vec<(String, Value)>,
    /// Every package in the graph.
    pub packages: Vec<Package>,
    /// `pnpm-lock.yaml`, where no peer dependency makes a real resolver necessary.
    pub lockfile: Option<String>,
}

impl Workspace {
    /// Writes the manifests, the lockfile and `pnpm-workspace.yaml`.
    pub fn write(&self, directory: &Path) -> io::Result<()> {
        for (path, manifest) in &self.projects {
            let folder = directory.join(path);
            fs::create_dir_all(&folder)?;
            let text = serde_json::to_string_pretty(manifest)?;
            fs::write(folder.join("package.json"), text + "\n")?;
        }
        if let Some(lockfile) = &self.lockfile {
            fs::write(directory.join("pnpm-lock.yaml"), lockfile)?;
        }
        if self.projects.len() > 1 {
            let text = "packages:\n  - 'projects/*'\n";
            fs::write(directory.join("pnpm-workspace.yaml"), text)?;
        }
        Ok(())
    }
}

/// A workspace of `projects` projects that share `packages` packages. Dependencies between
/// packages go one way, so there are no cycles; each project depends on the one before it.
pub fn workspace(
    projects: usize,
    packages: usize,
) -> Result<Workspace, lockfile::UnknownDependency> {
    let mut random = Random::new(1);
    let made: Vec<Package> = (0..packages.max(1))
        .map(|index| library(&mut random, index, packages))
        .collect();
    let mut members = vec![(".".to_owned(), root())];
    for index in 0..projects {
        members.push((
            format!("projects/project-{index}"),
            project(&mut random, index, packages.max(1)),
        ));
    }
    let importers: Vec<(&str, Value)> = members
        .iter()
        .map(|(path, manifest)| (path.as_str(), manifest.clone()))
        .collect();
    let lockfile = lockfile::write_workspace(&importers, &made)?;
    Ok(Workspace {
        projects: members,
        packages: made,
        lockfile: Some(lockfile),
    })
}

/// A project whose packages form `depth` layers of `width`, each depending on some of the layer
/// below and all of them on a peer that only the project provides.
pub fn peer_heavy(depth: usize, width: usize) -> Workspace {
    const EDGES: usize = 6;
    let mut packages = vec![Package::new("provider", "1.0.0").file("index.js", "")];
    for layer in 0..depth {
        for index in 0..width {
            let mut package = Package::new(&format!("layer-{layer}-{index}"), "1.0.0")
                .file("index.js", "")
                .peer_dependency("provider", "^1.0.0");
            for edge in 0..EDGES.min(if layer + 1 < depth { width } else { 0 }) {
                let below = (index + edge * 7) % width;
                package = package.dependency(&format!("layer-{}-{below}", layer + 1), "^1.0.0");
            }
            packages.push(package);
        }
    }
    let first = (0..width).map(|index| (format!("layer-0-{index}"), json!("^1.0.0")));
    let provider = std::iter::once(("provider".to_owned(), json!("^1.0.0")));
    let dependencies: Map<String, Value> = provider.chain(first).collect();
    let manifest = json!({
        "name": "peer-heavy",
        "version": "1.0.0",
        "private": true,
        "dependencies": dependencies,
    });
    Workspace {
        projects: vec![(".".to_owned(), manifest)],
        packages,
        lockfile: None,
    }
}

fn root() -> Value {
    json!({
        "name": "generated-workspace",
        "version": "1.0.0",
        "private": true,
        "workspaces": ["projects/*"],
    })
}

fn package_name(index: usize) -> String {
    match index % 5 {
        0 => format!("@scope-{}/package-{index}", index % 7),
        _ => format!("package-{index}"),
    }
}

fn library(random: &mut Random, index: usize, packages: usize) -> Package {
    let mut package = Package::new(&package_name(index), "1.0.0")
        .manifest(json!({"main": "index.js"}))
        .file("index.js", format!("module.exports = {index};\n"));
    for number in 0..random.below(FILES_MAX) {
        // Most files of real packages are small.
        let length = match random.below(10) {
            0..=6 => random.below(2_000),
            7 | 8 => random.below(12_000),
            _ => random.below(60_000),
        };
        let folder = ["", "lib/", "dist/", "dist/esm/"][random.below(4)];
        package = package.file(&format!("{folder}file-{number}.js"), random.bytes(length));
    }
    if random.chance(5) {
        let tool = format!("#!/usr/bin/env node\nconsole.log({index});\n");
        package = package
            .bin(&format!("tool-{index}"), "cli.js")
            .executable("cli.js", tool);
    }
    for _ in 0..random.below(4) {
        let other = index + 1 + random.below(30);
        if other < packages {
            package = package.dependency(&package_name(other), "^1.0.0");
        }
    }
    package
}

fn project(random: &mut Random, index: usize, packages: usize) -> Value {
    let mut dependencies = Map::new();
    for _ in 0..DEPENDENCIES_PER_PROJECT {
        dependencies.insert(package_name(random.below(packages)), json!("^1.0.0"));
    }
    if let Some(before) = index.checked_sub(1) {
        dependencies.insert(format!("project-{before}"), json!("workspace:*"));
    }
    json!({
        "name": format!("project-{index}"),
        "version": "1.0.0",
        "private": true,
        "dependencies": dependencies,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_numbers_give_the_same_workspace() {
        let (first, second) = (workspace(4, 50).unwrap(), workspace(4, 50).unwrap());
        assert_eq!(first.lockfile, second.lockfile);
        assert_eq!(first.projects, second.projects);
        assert_eq!(first.projects.len(), 5);
        assert_ne!(first.lockfile, workspace(5, 50).unwrap().lockfile);
    }

    #[test]
    fn every_layer_needs_the_provider() {
        let made = peer_heavy(3, 10);
        assert_eq!(made.packages.len(), 31);
        for package in &made.packages[1..] {
            let manifest = package.build().manifest;
            assert_eq!(manifest["peerDependencies"]["provider"], "^1.0.0");
        }
    }
}
