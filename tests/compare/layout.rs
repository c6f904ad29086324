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

use pacquet::install::layout::*;
use pacquet::install::lockfile::*;
use pacquet::name::{BinName, PackageName, RelativePath};
use pacquet::store::*;
use serde_json::Value;

fn main() -> ExitCode {
    let mut differences = 0;
    for project in std::env::args().skip(1) {
        let lines = compare(Path::new(&project));
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
    let modules: Value =
        serde_json::from_slice(&fs::read(project.join("node_modules/.modules.yaml")).unwrap())
            .unwrap();
    let settings = settings(project, &modules);
    let included = |group: &str| modules["included"][group].as_bool().unwrap();
    let lockfile = read(&project.join("pnpm-lock.yaml"));
    let current = read(&project.join("node_modules/.pnpm/lock.yaml"));
    let skipped: Vec<&str> = modules["skipped"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one.as_str().unwrap())
        .collect();
    let mut installed = HashMap::new();
    for dep_path in current.snapshots.keys() {
        if !skipped.contains(&dep_path.as_str()) {
            let package = &current.packages[&package_id(dep_path)];
            let directory = directory_of(project, &modules, dep_path, &package.name);
            installed.insert(
                dep_path.clone(),
                InstalledPackage {
                    key: PackageKey::new("sha512-", dep_path.as_str(), None),
                    record: PackageRecord {
                        pack: PackId([0; 32]),
                        facts: facts(&directory),
                    },
                },
            );
        }
    }
    let manifests: BTreeMap<Box<str>, ManifestFacts> = linked_directories(&lockfile)
        .into_iter()
        .map(|directory| {
            let facts = facts(&project.join(&*directory));
            let name = facts.name.and_then(|name| PackageName::new(&name).ok());
            (
                directory,
                ManifestFacts {
                    name,
                    version: facts.version,
                    bins: facts.bins,
                },
            )
        })
        .collect();
    let input = LayoutInput {
        lockfile: &lockfile,
        installed: &installed,
        included: IncludedGroups {
            production: included("dependencies"),
            development: included("devDependencies"),
            optional: included("optionalDependencies"),
        },
        manifests: &manifests,
        settings: &settings,
    };
    let built = build_layout(&input).unwrap();
    let start = std::time::Instant::now();
    for _ in 0..20 {
        let _ = std::hint::black_box(build_layout(&input));
    }
    println!("{}: built in {:?}", project.display(), start.elapsed() / 20);
    let mut lines = compare_trees(project, &built, &lockfile);
    lines.extend(compare_hoisted(&built, &modules));
    for warning in &built.warnings {
        println!("  {warning:?}");
    }
    lines
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
                let text = fs::read_to_string(project.join(path)).unwrap_or_default();
                let target = text
                    .rsplit_once("# cmd-shim-target=")
                    .map_or("", |(_, target)| target.trim());
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
    let is_shown = !inside || is_package || path.ends_with("/node_modules/.bin");
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

fn compare_hoisted(built: &BuiltLayout, modules: &Value) -> Vec<String> {
    let ours: Vec<(String, Vec<(String, String)>)> = built
        .hoisted_dependencies
        .iter()
        .map(|one| {
            let aliases = one.aliases.iter().map(|(alias, kind)| {
                let kind = if *kind == HoistKind::Private {
                    "private"
                } else {
                    "public"
                };
                (alias.as_str().to_owned(), kind.to_owned())
            });
            (one.id.to_string(), aliases.collect())
        })
        .collect();
    let theirs: Vec<(String, Vec<(String, String)>)> = modules["hoistedDependencies"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(id, aliases)| {
            let aliases = aliases.as_object().unwrap().iter();
            (
                id.clone(),
                aliases
                    .map(|(alias, kind)| (alias.clone(), kind.as_str().unwrap().to_owned()))
                    .collect(),
            )
        })
        .collect();
    let mut lines = Vec::new();
    if ours != theirs {
        let at = ours.iter().zip(&theirs).take_while(|(a, b)| a == b).count();
        lines.push(format!(
            "hoistedDependencies at {at}: pnpm {:?}, we {:?}",
            theirs.get(at),
            ours.get(at)
        ));
    }
    let locations: BTreeMap<String, Vec<String>> = modules
        .get("hoistedLocations")
        .map(|value| serde_json::from_value(value.clone()).unwrap())
        .unwrap_or_default();
    let own: BTreeMap<String, Vec<String>> = built
        .hoisted_locations
        .iter()
        .map(|(id, places)| {
            (
                id.to_string(),
                places.iter().map(|one| one.to_string()).collect(),
            )
        })
        .collect();
    for (id, places) in &locations {
        if own.get(id) != Some(places) {
            lines.push(format!(
                "hoistedLocations {id}: pnpm {places:?}, we {:?}",
                own.get(id)
            ));
        }
    }
    let injected: BTreeMap<String, Vec<String>> = modules
        .get("injectedDeps")
        .map(|value| serde_json::from_value(value.clone()).unwrap())
        .unwrap_or_default();
    let own: BTreeMap<String, Vec<String>> = built
        .injected_dependencies
        .iter()
        .map(|(id, places)| {
            (
                id.to_string(),
                places.iter().map(|one| one.to_string()).collect(),
            )
        })
        .collect();
    if own != injected {
        lines.push(format!("injectedDeps: pnpm {injected:?}, we {own:?}"));
    }
    lines
}

fn settings(project: &Path, modules: &Value) -> LayoutSettings {
    let list = |value: &Value| -> Vec<Box<str>> {
        value
            .as_array()
            .into_iter()
            .flatten()
            .map(|one| one.as_str().unwrap().into())
            .collect()
    };
    let workspace: Value = fs::read(project.join("pnpm-workspace.yaml"))
        .map(|bytes| serde_norway::from_slice(&bytes).unwrap())
        .unwrap_or_default();
    LayoutSettings {
        node_linker: match modules["nodeLinker"].as_str() {
            Some("hoisted") => NodeLinker::Hoisted,
            _ => NodeLinker::Isolated,
        },
        hoist_pattern: modules.get("hoistPattern").map(list),
        public_hoist_pattern: list(&modules["publicHoistPattern"]),
        hoist_workspace_packages: workspace["hoistWorkspacePackages"].as_bool() != Some(false),
        hoisting_limits: match workspace["hoistingLimits"].as_str() {
            Some("workspaces") => HoistingLimits::Workspaces,
            Some("dependencies") => HoistingLimits::Dependencies,
            _ => HoistingLimits::None,
        },
        dedupe_direct_deps: workspace["dedupeDirectDeps"].as_bool() == Some(true),
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
    let directory = virtual_store_directory_name(
        dep_path,
        modules["virtualStoreDirMaxLength"].as_u64().unwrap() as usize,
    );
    project
        .join("node_modules/.pnpm")
        .join(directory)
        .join("node_modules")
        .join(name.as_str())
}

fn facts(directory: &Path) -> PackageFacts {
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
            if directory.join(target.as_str()).is_file() {
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

fn package_id(dep_path: &DepPath) -> PackageId {
    dep_path.package_id()
}
fn virtual_store_directory_name(d: &DepPath, max: usize) -> String {
    d.virtual_store_directory_name(max)
}
fn read(path: &Path) -> Lockfile {
    let v: Value = serde_norway::from_slice(&fs::read(path).unwrap()).unwrap();
    let mut l = Lockfile::default();
    l.settings = v["settings"].as_object().map(|m| {
        m.iter()
            .map(|(k, v)| (k.as_str().into(), v.clone()))
            .collect()
    });
    let reference = |alias: &str, r: &str| -> Reference {
        if r.starts_with("link:") {
            return Reference::Link(r[5..].into());
        }
        let at = r.find('@');
        let stop = r.find([':', '(']).unwrap_or(r.len());
        let full = if r.starts_with('@') || at.is_some_and(|a| a < stop) {
            r.to_owned()
        } else {
            format!("{alias}@{r}")
        };
        Reference::Package(DepPath::interim(&full))
    };
    let name = |s: &str| PackageName::new(s).unwrap();
    for (id, imp) in v["importers"].as_object().into_iter().flatten() {
        let group = |g: &str| -> BTreeMap<PackageName, ImporterDependency> {
            imp[g]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(a, d)| {
                    (
                        name(a),
                        ImporterDependency {
                            specifier: d["specifier"].as_str().unwrap().into(),
                            reference: reference(a, d["version"].as_str().unwrap()),
                        },
                    )
                })
                .collect()
        };
        let id = if id == "." {
            ImporterId(None)
        } else {
            ImporterId(Some(RelativePath::new(id).unwrap()))
        };
        l.importers.insert(
            id,
            Importer {
                dependencies: group("dependencies"),
                dev_dependencies: group("devDependencies"),
                optional_dependencies: group("optionalDependencies"),
                ..Importer::default()
            },
        );
    }
    for (id, p) in v["packages"].as_object().into_iter().flatten() {
        let at = id[1..].find('@').unwrap() + 1;
        let resolution = match p["resolution"]["directory"].as_str() {
            Some(d) => Resolution::Directory {
                directory: d.into(),
            },
            None => Resolution::Tarball {
                integrity: None,
                tarball: None,
                git_hosted: false,
                path: None,
            },
        };
        l.packages.insert(
            PackageId::interim(id),
            PackageInfo {
                name: name(&id[..at]),
                version: None,
                resolution,
                engines: BTreeMap::new(),
                platforms: Platforms::default(),
                deprecated: None,
                has_bin: false,
                bundled_dependencies: None,
                peer_dependencies: p["peerDependencies"]
                    .as_object()
                    .into_iter()
                    .flatten()
                    .map(|(k, v)| (k.as_str().into(), v.as_str().unwrap().into()))
                    .collect(),
                peer_dependencies_meta: p.get("peerDependenciesMeta").cloned(),
                other: Default::default(),
                version_is_written: false,
            },
        );
    }
    for (id, s) in v["snapshots"].as_object().into_iter().flatten() {
        let group = |g: &str| -> BTreeMap<PackageName, Reference> {
            s[g].as_object()
                .into_iter()
                .flatten()
                .map(|(a, r)| (name(a), reference(a, r.as_str().unwrap())))
                .collect()
        };
        l.snapshots.insert(
            DepPath::interim(id),
            Snapshot {
                dependencies: group("dependencies"),
                optional_dependencies: group("optionalDependencies"),
                ..Snapshot::default()
            },
        );
    }
    l
}
