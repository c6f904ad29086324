//! Whole projects from a seed: the same numbers give the same bytes, on every machine.
//!
//! What they contain is chosen to find differences between installers: scopes, several versions
//! of a name, aliases, cycles, every form of `bin`, bundled packages, packages of other
//! platforms, empty files, executable files, equal contents, and names outside ASCII.

use std::fs;
use std::io;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::lockfile;
use crate::package::Package;
use crate::registry::Registry;

/// A project, the packages that it needs, and its lockfile.
#[derive(Clone, Debug)]
pub struct Project {
    /// The root's `package.json`.
    pub manifest: Value,
    /// Every package in the graph.
    pub packages: Vec<Package>,
    /// `pnpm-lock.yaml`.
    pub lockfile: String,
}

impl Project {
    /// A project from a manifest and packages, with the lockfile that they give.
    pub fn new(
        manifest: Value,
        packages: Vec<Package>,
    ) -> Result<Self, lockfile::UnknownDependency> {
        let lockfile = lockfile::write(&manifest, &packages)?;
        Ok(Self {
            manifest,
            packages,
            lockfile,
        })
    }

    /// Writes `package.json`, `pnpm-lock.yaml` and an `.npmrc` that names the registry.
    pub fn write(&self, directory: &Path, registry: &Registry) -> io::Result<()> {
        fs::create_dir_all(directory)?;
        let manifest = serde_json::to_string_pretty(&self.manifest)?;
        fs::write(directory.join("package.json"), manifest + "\n")?;
        fs::write(directory.join("pnpm-lock.yaml"), &self.lockfile)?;
        fs::write(
            directory.join(".npmrc"),
            format!("registry={}\n", registry.url()),
        )
    }

    /// Publishes every package.
    pub fn publish(&self, registry: &Registry) {
        for package in &self.packages {
            registry.publish(package);
        }
    }
}

/// A small deterministic generator (SplitMix64).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A generator with this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which must not be zero.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next_u64() % end.max(1) as u64) as usize
    }

    /// True in `percent` of 100 cases.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// Bytes that do not compress, or a text that does.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        if self.chance(30) {
            return (0..length).map(|_| self.next_u64() as u8).collect();
        }
        let line = format!(
            "export const value{} = {};\n",
            self.below(1000),
            self.next_u64()
        );
        line.bytes().cycle().take(length).collect()
    }
}

/// What identifies a generated package.
#[derive(Clone, Debug)]
struct Identity {
    name: String,
    version: String,
    /// Packages of other platforms are only ever optional dependencies.
    foreign: bool,
}

/// Makes a project of about `packages` packages with about `files_per_package` files each.
pub fn project(seed: u64, packages: usize, files_per_package: usize) -> Project {
    let mut random = Random::new(seed);
    let identities = identities(&mut random, packages.max(1));
    let made: Vec<Package> = (0..identities.len())
        .map(|index| package(&mut random, &identities, index, files_per_package))
        .collect();
    let manifest = root_manifest(&mut random, &identities);
    Project::new(manifest, made).expect("invariant: a generated project names its own packages")
}

fn identities(random: &mut Random, count: usize) -> Vec<Identity> {
    let mut made: Vec<Identity> = Vec::new();
    for index in 0..count {
        let known = made.last().map(|identity| identity.name.clone());
        let name = match known {
            Some(known) if random.chance(10) => known,
            _ if random.chance(25) => format!("@scope-{}/package-{index}", random.below(4)),
            _ => format!("package-{index}"),
        };
        let versions = made.iter().filter(|identity| identity.name == name).count();
        let version = format!("{}.{}.0", versions + 1, random.below(10));
        let foreign = index > 0 && versions == 0 && random.chance(6);
        made.push(Identity {
            name,
            version,
            foreign,
        });
    }
    // A later version of a foreign name must be foreign too, or it would be depended upon.
    for index in 1..made.len() {
        made[index].foreign |= made[index].name == made[index - 1].name && made[index - 1].foreign;
    }
    made
}

fn package(
    random: &mut Random,
    identities: &[Identity],
    index: usize,
    files_per_package: usize,
) -> Package {
    let identity = &identities[index];
    let mut package = Package::new(&identity.name, &identity.version);
    package = package
        .manifest(json!({"main": "index.js"}))
        .file("index.js", index_script(identity));
    if identity.foreign {
        package = package.os("darwin").cpu("arm64");
    }
    if random.chance(10) {
        package = package.engine(">=4");
    }
    package = add_files(random, package, files_per_package);
    package = add_bins(random, package, index);
    package = add_dependencies(random, package, identities, index);
    if random.chance(4) {
        let inner = Package::new(&format!("bundled-{index}"), "0.1.0")
            .file("index.js", "module.exports = 'bundled';\n")
            .executable("tool.sh", "#!/bin/sh\n");
        package = package.bundled(&inner);
    }
    package
}

fn index_script(identity: &Identity) -> String {
    format!(
        "module.exports = '{}@{}';\n",
        identity.name, identity.version
    )
}

fn add_files(random: &mut Random, mut package: Package, files: usize) -> Package {
    const DIRECTORIES: [&str; 6] = ["", "lib/", "lib/deep/er/", "dist/", "src/ünï/", "a b/"];
    const EXTENSIONS: [&str; 5] = ["js", "mjs", "d.ts", "json", "txt"];
    let count = if files == 0 {
        0
    } else {
        1 + random.below(files * 2)
    };
    for number in 0..count {
        let directory = DIRECTORIES[random.below(DIRECTORIES.len())];
        let extension = EXTENSIONS[random.below(EXTENSIONS.len())];
        let path = format!("{directory}file-{number}.{extension}");
        let length = match random.below(10) {
            0 => 0,
            1..=6 => random.below(2_000),
            7 | 8 => random.below(20_000),
            _ => random.below(100_000),
        };
        let contents = if random.chance(10) {
            b"the same in many packages\n".to_vec()
        } else {
            random.bytes(length)
        };
        package = match random.below(20) {
            0 => package.executable(&path, contents),
            1 => package.file_with_mode(&path, contents, 0o600),
            _ => package.file(&path, contents),
        };
    }
    package
}

fn add_bins(random: &mut Random, package: Package, index: usize) -> Package {
    const SCRIPT: &str = "#!/usr/bin/env node\nconsole.log('bin');\n";
    match random.below(20) {
        0 => package
            .manifest(json!({"bin": "./cli.js"}))
            .executable("cli.js", SCRIPT),
        1 => package
            .bin(&format!("tool-{index}"), "bin/tool.js")
            .bin(&format!("other-{index}"), "./bin/other")
            .executable("bin/tool.js", SCRIPT)
            .file("bin/other", "#!/bin/sh\necho other\n"),
        2 => package
            .manifest(json!({"directories": {"bin": "scripts"}}))
            .executable(&format!("scripts/run-{index}"), SCRIPT),
        3 => package
            .bin(&format!("bare-{index}"), "bare.js")
            .file("bare.js", "1;\n"),
        _ => package,
    }
}

fn add_dependencies(
    random: &mut Random,
    mut package: Package,
    identities: &[Identity],
    index: usize,
) -> Package {
    for _ in 0..random.below(4) {
        // Mostly towards later packages, which keeps the graph shallow; sometimes back.
        let other = if random.chance(90) {
            index + 1 + random.below(identities.len().saturating_sub(index + 1).max(1))
        } else {
            random.below(identities.len())
        };
        let Some(identity) = identities.get(other).filter(|_| other != index) else {
            continue;
        };
        let (name, version) = (identity.name.as_str(), identity.version.as_str());
        // A package that depends on its own name shadows itself, which no installer supports.
        if name == package.name() {
            continue;
        }
        package = match random.below(10) {
            _ if identity.foreign => package.optional_dependency(name, version),
            0 => package.dependency(&format!("alias-{other}"), &format!("npm:{name}@{version}")),
            1 => package.optional_dependency(name, version),
            _ => package.dependency(name, version),
        };
    }
    package
}

fn root_manifest(random: &mut Random, identities: &[Identity]) -> Value {
    let mut fields = [Map::new(), Map::new(), Map::new()];
    let mut seen = std::collections::BTreeSet::new();
    for (index, identity) in identities.iter().enumerate() {
        let wanted = index == 0 || random.chance(25);
        if !wanted || !seen.insert(identity.name.as_str()) {
            continue;
        }
        let field = match random.below(10) {
            _ if identity.foreign => 2,
            0..=6 => 0,
            7 | 8 => 1,
            _ => 2,
        };
        let (name, specifier) = if random.chance(8) && !identity.foreign {
            let target = format!("npm:{}@{}", identity.name, identity.version);
            (format!("root-alias-{index}"), target)
        } else {
            (identity.name.clone(), identity.version.clone())
        };
        fields[field].insert(name, json!(specifier));
    }
    let [dependencies, development, optional] = fields;
    json!({
        "name": "generated",
        "version": "1.0.0",
        "private": true,
        "dependencies": dependencies,
        "devDependencies": development,
        "optionalDependencies": optional,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_project() {
        let (first, second) = (project(7, 40, 5), project(7, 40, 5));
        assert_eq!(first.lockfile, second.lockfile);
        assert_eq!(first.manifest, second.manifest);
        assert_ne!(first.lockfile, project(8, 40, 5).lockfile);
    }

    #[test]
    fn many_seeds_give_projects_with_everything_in_them() {
        let mut text = String::new();
        for seed in 0..20 {
            text.push_str(&project(seed, 60, 3).lockfile);
        }
        for part in [
            "hasBin",
            "bundledDependencies",
            "optional: true",
            "alias-",
            "os: [darwin]",
        ] {
            assert!(text.contains(part), "{part}");
        }
    }
}
