//! Compares the layout that this program builds with the tree that pnpm made of the same project.
//!
//! `cargo run --example compare-layout -- <project directory>...`
//!
//! Each directory holds a lockfile, and a `node_modules` that pnpm installed from it. The records
//! that the store would have are read from pnpm's tree. Files of packages are left out on both
//! sides; commands are compared by name, since their form differs on purpose.

#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use pacquet::install::layout::*;
use pacquet::install::lockfile::*;
use pacquet::name::{BinName, PackageName, RelativePath};
use pacquet::store::*;
use serde_json::Value;

fn main() -> ExitCode {
    let mut differences = 0;
    for project in std::env::args().skip(1) {
        let lines = compare(Path::new(&project));
        let (warnings, lines): (Vec<_>, Vec<_>) = lines
            .into_iter()
            .partition(|line| line.starts_with("warning "));
        for line in warnings {
            println!("  {line}");
        }
        println!("{project}: {} differences", lines.len());
        for line in lines.iter().take(40) {
            println!("  {line}");
        }
        differences += lines.len();
    }
    if differences == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn compare(project: &Path) -> Vec<String> {
    let modules = fs::read(project.join("node_modules/.modules.yaml")).unwrap();
    let modules: Value = serde_json::from_slice(&modules).unwrap();
    let settings = settings(project, &modules);
    let skipped = strings(&modules["skipped"]);
    let lockfile = read(&project.join("pnpm-lock.yaml"));
    let included = |group: &str| modules["included"][group].as_bool().unwrap();
    let included = IncludedGroups {
        production: included("dependencies"),
        development: included("devDependencies"),
        optional: included("optionalDependencies"),
    };
    let input = LayoutInput {
        lockfile: &lockfile,
        installed: &installed(project, &modules, &lockfile, &skipped),
        included,
        manifests: &manifests(project, &lockfile),
        settings: &settings,
    };
    let mut built = build_layout(&input).unwrap();
    let durations = (0..50).map(|_| duration(&input));
    println!(
        "{}: built in {:?}",
        project.display(),
        durations.min().unwrap_or_default()
    );
    let state = ModulesState {
        settings: &settings,
        included,
        pending_builds: &[],
        ignored_builds: &[],
        pruned_at: jiff::Timestamp::UNIX_EPOCH,
        skipped: &skipped,
        store_directory: "",
        allow_builds: &BTreeMap::new(),
    };
    let mut lines = compare_state(&built, &state, &modules);
    let current_lockfile = Some(Vec::new());
    built
        .insert_state_files(StateFiles {
            current_lockfile,
            ..StateFiles::default()
        })
        .unwrap();
    lines.extend(compare_trees(project, &built, &lockfile));
    lines.extend(
        built
            .warnings
            .iter()
            .map(|warning| format!("warning {warning:?}")),
    );
    lines
}

fn duration(input: &LayoutInput<'_>) -> Duration {
    let start = Instant::now();
    let built = std::hint::black_box(build_layout(input));
    let elapsed = start.elapsed();
    drop(built);
    elapsed
}

/// What is in pnpm's tree, as the store would know it.
fn installed(
    project: &Path,
    modules: &Value,
    lockfile: &Lockfile,
    skipped: &[Box<str>],
) -> HashMap<DepPath, InstalledPackage> {
    // Read as mere YAML: without optional dependencies it has references that lead nowhere.
    let current = fs::read(project.join("node_modules/.pnpm/lock.yaml")).unwrap();
    let current: Value = serde_norway::from_slice(&current).unwrap();
    let mut installed = HashMap::new();
    for dep_path in lockfile.snapshots.keys() {
        let is_current = current["snapshots"].get(dep_path.as_str()).is_some();
        if is_current
            && !skipped
                .iter()
                .any(|skipped| **skipped == *dep_path.as_str())
        {
            let package = &lockfile.packages[&dep_path.package_id()];
            let directory = directory_of(project, modules, dep_path, &package.name);
            let facts = facts(&directory, Targets::MustExist);
            let key = PackageKey::new("sha512-", dep_path.as_str(), None);
            let record = PackageRecord {
                pack: PackId([0; 32]),
                facts,
            };
            installed.insert(dep_path.clone(), InstalledPackage { key, record });
        }
    }
    installed
}

fn manifests(project: &Path, lockfile: &Lockfile) -> BTreeMap<Box<str>, ManifestFacts> {
    let directories = linked_directories(lockfile).into_iter();
    directories
        .map(|directory| {
            let facts = facts(&project.join(&*directory), Targets::MayBeMissing);
            let name = facts.name.and_then(|name| PackageName::new(&name).ok());
            let PackageFacts { version, bins, .. } = facts;
            (
                directory,
                ManifestFacts {
                    name,
                    version,
                    bins,
                },
            )
        })
        .collect()
}

fn strings(value: &Value) -> Vec<Box<str>> {
    value
        .as_array()
        .into_iter()
        .flatten()
        .map(|one| one.as_str().unwrap().into())
        .collect()
}

fn compare_trees(project: &Path, built: &BuiltLayout, lockfile: &Lockfile) -> Vec<String> {
    let mut ours = BTreeMap::new();
    for tree in &built.layout.trees {
        let prefix = match &tree.importer.0 {
            Some(path) => format!("{}/node_modules", path.as_str()),
            None => "node_modules".to_owned(),
        };
        print_directory(&built.layout, tree.root, &prefix, &mut ours);
    }
    let packages: Vec<String> = ours
        .iter()
        .filter(|(_, kind)| kind.as_str() == "p")
        .map(|(path, _)| path.clone())
        .collect();
    let mut theirs = BTreeMap::new();
    for id in lockfile.importers.keys() {
        let path = if id.as_str() == "." {
            String::new()
        } else {
            format!("{}/", id.as_str())
        };
        list(
            project,
            &format!("{path}node_modules"),
            false,
            &packages,
            &mut theirs,
        );
    }
    let mut lines = Vec::new();
    for (path, kind) in &theirs {
        match ours.get(path) {
            None => lines.push(format!("missing {path} {kind}")),
            Some(own) if own == kind => {}
            Some(own) if path.contains("/.bin/") => {
                let link = fs::read_link(project.join(path));
                let text = fs::read_to_string(project.join(path)).unwrap_or_default();
                let target = text
                    .rsplit_once("# cmd-shim-target=")
                    .map_or("", |(_, target)| target.trim());
                let target = link.as_ref().map_or(target, |link| link.to_str().unwrap());
                let bin = path.rsplit_once('/').unwrap().0;
                let real = |target: &str| fs::canonicalize(project.join(bin).join(target));
                if real(target).ok() != real(own.trim_start_matches("l ")).ok() {
                    lines.push(format!("differs {path}: pnpm {target}, we {own}"));
                }
            }
            Some(own) => lines.push(format!("differs {path}: pnpm {kind}, we {own}")),
        }
    }
    lines.extend(
        ours.iter()
            .filter(|(path, _)| !theirs.contains_key(*path))
            .map(|(path, kind)| format!("extra {path} {kind}")),
    );
    lines
}

fn print_directory(
    layout: &Layout,
    index: DirectoryIndex,
    path: &str,
    out: &mut BTreeMap<String, String>,
) {
    let directory = &layout.directories[index.0 as usize];
    let is_package = directory
        .backing
        .as_ref()
        .is_some_and(|backing| backing.directory.is_none());
    out.insert(
        path.to_owned(),
        if is_package {
            "p".to_owned()
        } else {
            "d".to_owned()
        },
    );
    for (name, entry) in &directory.entries {
        let path = format!("{path}/{}", name.as_str());
        match entry {
            LayoutEntry::Directory(index) => print_directory(layout, *index, &path, out),
            LayoutEntry::Symlink(target) => {
                out.insert(path, format!("l {target}"));
            }
            LayoutEntry::File { executable, .. } => {
                out.insert(path, format!("f {}", if *executable { 755 } else { 644 }));
            }
        }
    }
}

/// Inside a package only nested packages and `.bin` directories are listed.
fn list(
    project: &Path,
    path: &str,
    inside: bool,
    packages: &[String],
    out: &mut BTreeMap<String, String>,
) {
    let Ok(entries) = fs::read_dir(project.join(path)) else {
        return;
    };
    let is_package = packages.binary_search(&path.to_owned()).is_ok();
    let below = format!("{path}/");
    let holds_packages = (path.ends_with("/node_modules") || path.contains("node_modules/@"))
        && packages.iter().any(|package| package.starts_with(&below));
    let is_shown = !inside || is_package || holds_packages || path.ends_with("/node_modules/.bin");
    if is_shown {
        out.insert(
            path.to_owned(),
            if is_package {
                "p".to_owned()
            } else {
                "d".to_owned()
            },
        );
    }
    let inside = is_package || (inside && !path.ends_with("/.bin"));
    for entry in entries {
        let entry = entry.unwrap();
        let child = format!("{path}/{}", entry.file_name().to_str().unwrap());
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            list(project, &child, inside, packages, out);
        } else if !inside && kind.is_symlink() {
            let target = fs::read_link(entry.path()).unwrap();
            out.insert(child, format!("l {}", target.display()));
        } else if !inside {
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            out.insert(child, format!("f {mode:o}"));
        }
    }
    if is_shown && out.keys().any(|shown| shown.starts_with(&below)) {
        let mut parent = path;
        while let Some((up, last)) = parent.rsplit_once('/') {
            if !up.contains("node_modules") && last != "node_modules" {
                break;
            }
            if !up.contains("node_modules") {
                break;
            }
            out.entry(up.to_owned()).or_insert_with(|| "d".to_owned());
            parent = up;
        }
    }
}

/// Keys of `.modules.yaml` whose values depend on who installed, when and how.
const VARIABLE_KEYS: [&str; 5] = [
    "packageManager",
    "prunedAt",
    "storeDir",
    "pendingBuilds",
    "allowBuilds",
];

/// Compares `.modules.yaml`, the order of its keys included.
fn compare_state(built: &BuiltLayout, state: &ModulesState<'_>, theirs: &Value) -> Vec<String> {
    let ours: Value = serde_json::from_slice(&modules_yaml(built, state)).unwrap();
    let (ours, theirs) = (ours.as_object().unwrap(), theirs.as_object().unwrap());
    let mut lines = Vec::new();
    if !ours.keys().eq(theirs.keys()) {
        let (ours, theirs) = (
            ours.keys().collect::<Vec<_>>(),
            theirs.keys().collect::<Vec<_>>(),
        );
        lines.push(format!(
            ".modules.yaml: pnpm has the keys {theirs:?}, we {ours:?}"
        ));
    }
    for (key, expected) in theirs {
        let actual = ours.get(key).unwrap_or(&Value::Null);
        if VARIABLE_KEYS.contains(&key.as_str()) || expected.to_string() == actual.to_string() {
            continue;
        }
        lines.push(match (expected.as_object(), actual.as_object()) {
            (Some(expected), Some(actual)) => {
                let mut pairs = expected.iter().zip(actual);
                let first = pairs.find(|(a, b)| a.0 != b.0 || a.1.to_string() != b.1.to_string());
                format!(".modules.yaml {key}: first difference {first:?}")
            }
            _ => format!(".modules.yaml {key}: pnpm {expected}, we {actual}"),
        });
    }
    lines
}

fn settings(project: &Path, modules: &Value) -> LayoutSettings {
    let workspace: Value = fs::read(project.join("pnpm-workspace.yaml"))
        .map(|bytes| serde_norway::from_slice(&bytes).unwrap())
        .unwrap_or_default();
    LayoutSettings {
        node_linker: match modules["nodeLinker"].as_str() {
            Some("hoisted") => NodeLinker::Hoisted,
            _ => NodeLinker::Isolated,
        },
        hoist_pattern: modules.get("hoistPattern").map(strings),
        public_hoist_pattern: strings(&modules["publicHoistPattern"]),
        hoist_workspace_packages: workspace["hoistWorkspacePackages"].as_bool() != Some(false),
        hoisting_limits: match workspace["hoistingLimits"].as_str() {
            Some("workspaces") => HoistingLimits::Workspaces,
            Some("dependencies") => HoistingLimits::Dependencies,
            _ => HoistingLimits::None,
        },
        dedupe_direct_deps: workspace["dedupeDirectDeps"].as_bool() == Some(true),
        // So that commands are links, whose targets can be held against pnpm's.
        extend_node_path: false,
        modules_directory: "node_modules".into(),
        virtual_store_dir_max_length: modules["virtualStoreDirMaxLength"].as_u64().unwrap()
            as usize,
    }
}

fn directory_of(
    project: &Path,
    modules: &Value,
    dep_path: &DepPath,
    name: &PackageName,
) -> std::path::PathBuf {
    if let Some(places) = modules.get("hoistedLocations") {
        if let Some(place) = places.get(dep_path.as_str()) {
            return project.join(place[0].as_str().unwrap());
        }
    }
    let max_length = modules["virtualStoreDirMaxLength"].as_u64().unwrap() as usize;
    let directory = dep_path.virtual_store_directory_name(max_length).unwrap();
    project
        .join("node_modules/.pnpm")
        .join(directory.as_str())
        .join("node_modules")
        .join(name.as_str())
}

/// Whether a command's file has to be there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Targets {
    MustExist,
    MayBeMissing,
}

fn facts(directory: &Path, targets: Targets) -> PackageFacts {
    let Ok(bytes) = fs::read(directory.join("package.json")) else {
        return PackageFacts::default();
    };
    let manifest: Value = serde_json::from_slice(&bytes).unwrap();
    let name = manifest["name"].as_str().unwrap_or_default();
    let mut bins = Vec::new();
    let mut add = |bin: &str, target: &str| {
        let bin = if bin.starts_with('@') {
            bin.rsplit('/').next().unwrap()
        } else {
            bin
        };
        let target = target.trim_start_matches("./");
        if let (Ok(bin), Ok(target)) = (BinName::new(bin), RelativePath::new(target)) {
            if targets == Targets::MayBeMissing || directory.join(target.as_str()).is_file() {
                bins.push(Bin {
                    name: bin,
                    target,
                    runner: BinRunner::Shebang,
                });
            }
        }
    };
    match &manifest["bin"] {
        Value::String(target) => add(name, target),
        Value::Object(map) => map
            .iter()
            .for_each(|(bin, target)| add(bin, target.as_str().unwrap())),
        _ => {
            if let Some(path) = manifest["directories"]["bin"].as_str() {
                for file in walkdir::WalkDir::new(directory.join(path))
                    .into_iter()
                    .flatten()
                {
                    if file.file_type().is_file() {
                        let target = file
                            .path()
                            .strip_prefix(directory)
                            .unwrap()
                            .to_str()
                            .unwrap();
                        add(file.file_name().to_str().unwrap(), target);
                    }
                }
            }
        }
    }
    bins.sort_by(|a, b| a.name.cmp(&b.name));
    PackageFacts {
        name: Some(name.into()).filter(|name: &Box<str>| !name.is_empty()),
        version: manifest["version"].as_str().map(Into::into),
        bins,
        has_manifest: true,
        ..PackageFacts::default()
    }
}

fn read(path: &Path) -> Lockfile {
    read_lockfile(&fs::read_to_string(path).unwrap()).unwrap()
}
