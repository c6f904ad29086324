//! Layouts of small projects, printed line by line as `path type target`.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use pacquet::diagnostic::Diagnostic as _;
use pacquet::install::layout::*;
use pacquet::install::lockfile::{DepPath, Lockfile, read_lockfile};
use pacquet::name::{BinName, PackageName, RelativePath};
use pacquet::store::{Bin, BinRunner, PackId, PackageFacts, PackageKey, PackageRecord};

/// A lockfile of registry packages. `packages` has a line per snapshot: its depPath, then
/// `alias=reference` of each dependency, `?alias=reference` of each optional one.
fn lockfile(importers: &str, packages: &[&str]) -> Lockfile {
    let mut package_text = String::new();
    let mut snapshot_text = String::new();
    for line in packages {
        let mut words = line.split(' ');
        let dep_path = words.next().unwrap();
        let id = dep_path.split('(').next().unwrap();
        let resolution = match id.split_once("@file:") {
            Some((_, directory)) => format!("{{directory: {directory}, type: directory}}"),
            None => format!("{{integrity: sha512-{}==}}", "A".repeat(86)),
        };
        let entry = format!("  '{id}':\n    resolution: {resolution}\n\n");
        if !package_text.contains(&entry) {
            package_text.push_str(&entry);
        }
        writeln!(snapshot_text, "  '{dep_path}':").unwrap();
        let (optional, regular): (Vec<&str>, Vec<&str>) =
            words.partition(|word| word.starts_with('?'));
        for (key, words) in [
            ("dependencies", regular),
            ("optionalDependencies", optional),
        ] {
            if !words.is_empty() {
                writeln!(snapshot_text, "    {key}:").unwrap();
            }
            for word in words {
                let (alias, reference) = word.trim_start_matches('?').split_once('=').unwrap();
                writeln!(snapshot_text, "      '{alias}': {reference}").unwrap();
            }
        }
        writeln!(snapshot_text, "    transitivePeerDependencies: []\n").unwrap();
    }
    let text = format!(
        "lockfileVersion: '9.0'\n\nimporters:\n{importers}\n\
         packages:\n\n{package_text}\nsnapshots:\n\n{snapshot_text}"
    );
    read_lockfile(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn importer(id: &str, dependencies: &[&str]) -> String {
    if dependencies.is_empty() {
        return format!("  {id}: {{}}\n");
    }
    let mut text = format!("  {id}:\n    dependencies:\n");
    for line in dependencies {
        let (alias, version) = line.split_once('=').unwrap();
        writeln!(
            text,
            "      '{alias}':\n        specifier: '*'\n        version: {version}"
        )
        .unwrap();
    }
    text
}

fn bin(name: &str, runner: BinRunner) -> Bin {
    Bin {
        name: BinName::new(name).unwrap(),
        target: RelativePath::new("cli.js").unwrap(),
        runner,
    }
}

struct Project {
    lockfile: Lockfile,
    /// Whether the lockfile says of which packages there are commands.
    says_commands: bool,
    settings: LayoutSettings,
    included: IncludedGroups,
    skipped: Vec<&'static str>,
    bins: Vec<(&'static str, Bin)>,
    manifests: BTreeMap<Box<str>, ManifestFacts>,
}

impl Project {
    fn new(importers: &str, packages: &[&str]) -> Self {
        Self {
            lockfile: lockfile(importers, packages),
            says_commands: true,
            settings: LayoutSettings::default(),
            included: IncludedGroups::default(),
            skipped: Vec::new(),
            bins: Vec::new(),
            manifests: BTreeMap::new(),
        }
    }

    fn named(mut self, directory: &str, name: &str, bins: Vec<Bin>) -> Self {
        let name = Some(PackageName::new(name).unwrap());
        self.manifests.insert(
            directory.into(),
            ManifestFacts {
                name,
                version: None,
                bins,
            },
        );
        self
    }

    fn build(&self) -> Result<BuiltLayout, LayoutError> {
        let installed: HashMap<DepPath, InstalledPackage> = self
            .lockfile
            .snapshots
            .keys()
            .filter(|dep_path| !self.skipped.contains(&dep_path.as_str()))
            .map(|dep_path| {
                let own = self.bins.iter().filter(|(id, _)| *id == dep_path.as_str());
                let facts = PackageFacts {
                    bins: own.map(|(_, bin)| bin.clone()).collect(),
                    ..PackageFacts::default()
                };
                let key = PackageKey::new("sha512-A", dep_path.as_str(), None);
                let record = PackageRecord {
                    pack: PackId([0; 32]),
                    facts,
                };
                (dep_path.clone(), InstalledPackage { key, record })
            })
            .collect();
        let mut lockfile = self.lockfile.clone();
        for (id, _) in self.bins.iter().filter(|_| self.says_commands) {
            let package = lockfile.packages.get_mut(*id).expect("a package");
            package.has_bin = true;
        }
        build_layout(&LayoutInput {
            lockfile: &lockfile,
            installed: &installed,
            included: self.included,
            manifests: &self.manifests,
            settings: &self.settings,
        })
    }

    fn lines(&self) -> Vec<String> {
        printed(&self.build().unwrap())
    }
}

/// Everything but plain directories.
fn printed(built: &BuiltLayout) -> Vec<String> {
    let mut lines = Vec::new();
    for tree in &built.layout.trees {
        let path = match &tree.importer.0 {
            Some(path) => format!("{}/node_modules", path.as_str()),
            None => "node_modules".to_owned(),
        };
        print(&built.layout, tree.root, &path, &mut lines);
    }
    lines
}

fn print(layout: &Layout, index: DirectoryIndex, path: &str, lines: &mut Vec<String>) {
    let directory = &layout.directories[index.0 as usize];
    match &directory.backing {
        Some(Backing {
            instance,
            directory: None,
        }) => {
            let dep_path = &layout.instances[instance.0 as usize].dep_path;
            lines.push(format!("{path} = {dep_path}"));
        }
        Some(Backing {
            directory: Some(inner),
            ..
        }) => {
            assert!(path.ends_with(inner.as_str()), "{path} shows {inner}");
        }
        None => {}
    }
    for (name, entry) in &directory.entries {
        let path = format!("{path}/{name}");
        match entry {
            LayoutEntry::Directory(child) => {
                assert!(*child > index, "{path} comes before its parent");
                print(layout, *child, &path, lines);
            }
            LayoutEntry::Symlink(target) => lines.push(format!("{path} -> {target}")),
            LayoutEntry::File { executable, .. } => {
                lines.push(format!("{path} {}", if *executable { "x" } else { "-" }));
            }
        }
    }
}

#[test]
fn isolated_links_are_relative_and_lead_to_the_virtual_store() {
    let project = Project::new(
        &importer(".", &["@s/a=npm-a@1.0.0", "b=1.0.0(c@2.0.0)", "self=1.0.0"]),
        &[
            "b@1.0.0(c@2.0.0) c=2.0.0 @s/d=1.0.0",
            "c@2.0.0",
            "npm-a@1.0.0 JSON=1.0.0",
            "JSON@1.0.0",
            "@s/d@1.0.0",
            "self@1.0.0 self=1.0.0",
        ],
    );
    let upper = "JSON@1.0.0_";
    let lines = project.lines();
    let hashed = lines.iter().find_map(|line| {
        let rest = line.strip_prefix("node_modules/.pnpm/JSON@1.0.0_")?;
        rest.split('/').next()
    });
    let json = format!("{upper}{}", hashed.unwrap());
    assert_eq!(
        lines,
        [
            "node_modules/.pnpm/@s+d@1.0.0/node_modules/@s/d = @s/d@1.0.0".to_owned(),
            format!("node_modules/.pnpm/{json}/node_modules/JSON = JSON@1.0.0"),
            "node_modules/.pnpm/b@1.0.0_c@2.0.0/node_modules/@s/d -> \
             ../../../@s+d@1.0.0/node_modules/@s/d"
                .into(),
            "node_modules/.pnpm/b@1.0.0_c@2.0.0/node_modules/b = b@1.0.0(c@2.0.0)".into(),
            "node_modules/.pnpm/b@1.0.0_c@2.0.0/node_modules/c -> \
             ../../c@2.0.0/node_modules/c"
                .into(),
            "node_modules/.pnpm/c@2.0.0/node_modules/c = c@2.0.0".into(),
            "node_modules/.pnpm/node_modules/@s/d -> ../../@s+d@1.0.0/node_modules/@s/d".into(),
            format!("node_modules/.pnpm/node_modules/JSON -> ../{json}/node_modules/JSON"),
            "node_modules/.pnpm/node_modules/c -> ../c@2.0.0/node_modules/c".into(),
            format!(
                "node_modules/.pnpm/npm-a@1.0.0/node_modules/JSON -> \
                 ../../{json}/node_modules/JSON"
            ),
            "node_modules/.pnpm/npm-a@1.0.0/node_modules/npm-a = npm-a@1.0.0".into(),
            "node_modules/.pnpm/self@1.0.0/node_modules/self = self@1.0.0".into(),
            "node_modules/@s/a -> ../.pnpm/npm-a@1.0.0/node_modules/npm-a".into(),
            "node_modules/b -> .pnpm/b@1.0.0_c@2.0.0/node_modules/b".into(),
            "node_modules/self -> .pnpm/self@1.0.0/node_modules/self".into(),
        ]
    );
}

#[test]
fn workspace_projects_are_linked_and_hoisted() {
    let importers = [
        importer(".", &["@x/b=link:packages/b", "out=link:../outside"]),
        importer("packages/a", &["@x/b=link:../b", "p=1.0.0"]),
        importer("packages/b", &["p=1.0.0"]),
        importer("packages/none", &[]),
    ]
    .concat();
    let mut project = Project::new(&importers, &["p@1.0.0"])
        .named("packages/a", "@x/a", vec![])
        .named("packages/b", "@x/b", vec![bin("bb", BinRunner::Shebang)]);
    assert_eq!(
        project.lines(),
        [
            "node_modules/.bin/bb x",
            "node_modules/.pnpm/node_modules/@x/a -> ../../../../packages/a",
            "node_modules/.pnpm/node_modules/@x/b -> ../../../../packages/b",
            "node_modules/.pnpm/node_modules/p -> ../p@1.0.0/node_modules/p",
            "node_modules/.pnpm/p@1.0.0/node_modules/p = p@1.0.0",
            "node_modules/@x/b -> ../../packages/b",
            "node_modules/out -> ../../outside",
            "packages/a/node_modules/.bin/bb x",
            "packages/a/node_modules/@x/b -> ../../../b",
            "packages/a/node_modules/p -> ../../../node_modules/.pnpm/p@1.0.0/node_modules/p",
            "packages/b/node_modules/p -> ../../../node_modules/.pnpm/p@1.0.0/node_modules/p",
        ]
    );
    let ids: Vec<Box<str>> = project
        .build()
        .unwrap()
        .hoisted_dependencies
        .into_iter()
        .map(|one| one.id)
        .collect();
    assert_eq!(
        ids,
        ["p@1.0.0".into(), "packages/a".into(), "packages/b".into()] as [Box<str>; 3]
    );

    project.settings.node_linker = NodeLinker::Hoisted;
    assert_eq!(
        project.lines(),
        [
            "node_modules/.bin/bb -> ../../packages/b/cli.js",
            "node_modules/@x/a -> ../../packages/a",
            "node_modules/@x/b -> ../../packages/b",
            "node_modules/out -> ../../outside",
            "node_modules/p = p@1.0.0",
            "packages/a/node_modules/.bin/bb -> ../../../b/cli.js",
            "packages/a/node_modules/@x/b -> ../../../b",
        ]
    );
}

#[test]
fn commands_of_projects_are_links_where_nothing_is_hoisted_or_the_settings_say_so() {
    let importers = [importer(".", &["a=1.0.0"]), importer("p", &["a=1.0.0"])].concat();
    let mut project = Project::new(&importers, &["a@1.0.0 b=1.0.0", "b@1.0.0"]);
    project.bins = vec![
        ("a@1.0.0", bin("tool", BinRunner::Shebang)),
        ("b@1.0.0", bin("below", BinRunner::Shebang)),
    ];
    let commands = |project: &Project| {
        let mut lines = project.lines();
        lines.retain(|line| line.contains(".bin/"));
        lines
    };
    // Those of packages are for the scripts of packages.
    let inner = [
        "node_modules/.pnpm/a@1.0.0/node_modules/a/node_modules/.bin/below -> \
         ../../../../../b@1.0.0/node_modules/b/cli.js",
        "node_modules/.pnpm/a@1.0.0/node_modules/a/node_modules/.bin/tool -> ../../cli.js",
        "node_modules/.pnpm/b@1.0.0/node_modules/b/node_modules/.bin/below -> ../../cli.js",
        "node_modules/.pnpm/node_modules/.bin/below -> ../../b@1.0.0/node_modules/b/cli.js",
    ];
    let told = commands(&project);
    for line in inner {
        assert!(told.iter().any(|one| one == line), "{line}\n{told:#?}");
    }
    for line in ["node_modules/.bin/tool x", "p/node_modules/.bin/tool x"] {
        assert!(told.iter().any(|one| one == line), "{line}\n{told:#?}");
    }
    let links = "node_modules/.bin/tool -> ../.pnpm/a@1.0.0/node_modules/a/cli.js";
    project.settings.extend_node_path = false;
    assert!(commands(&project).iter().any(|line| line == links));
    project.settings.extend_node_path = true;
    for patterns in [None, Some(Vec::new())] {
        project.settings.hoist_pattern = patterns;
        assert!(commands(&project).iter().any(|line| line == links));
    }
}

#[test]
fn without_links_there_are_packages_their_commands_and_what_is_hoisted() {
    let root = importer(".", &["a=1.0.0"]);
    let mut project = Project::new(&root, &["a@1.0.0 b=1.0.0", "b@1.0.0"]);
    project.bins = vec![("a@1.0.0", bin("tool", BinRunner::Shebang))];
    project.settings.extend_node_path = false;
    project.settings.symlink = false;
    let lines = project.lines();
    let links: Vec<&str> = lines
        .iter()
        .map(String::as_str)
        .filter(|line| line.contains(" -> "))
        .collect();
    assert_eq!(
        links,
        [
            "node_modules/.bin/tool -> ../.pnpm/a@1.0.0/node_modules/a/cli.js",
            "node_modules/.pnpm/a@1.0.0/node_modules/a/node_modules/.bin/tool -> ../../cli.js",
            "node_modules/.pnpm/node_modules/b -> ../b@1.0.0/node_modules/b",
        ]
    );
    project.settings.symlink = true;
    project.settings.virtual_store_only = true;
    let lines = project.lines().join("\n");
    assert!(
        lines.contains(".pnpm/a@1.0.0/node_modules/b -> "),
        "{lines}"
    );
    assert!(
        !lines.contains("node_modules/.bin/tool -> ../.pnpm"),
        "{lines}"
    );
    assert!(!lines.contains("\nnode_modules/a -> "), "{lines}");
}

#[test]
fn commands_that_the_lockfile_does_not_mention_are_linked_by_the_hoisted_linker_only() {
    let mut project = Project::new(&importer(".", &["a=1.0.0"]), &["a@1.0.0"]);
    project.bins = vec![("a@1.0.0", bin("tool", BinRunner::Shebang))];
    let has_command = |project: &Project| project.lines().join("\n").contains(".bin/tool");
    assert!(has_command(&project));
    project.says_commands = false;
    assert!(!has_command(&project));
    project.settings.node_linker = NodeLinker::Hoisted;
    assert!(has_command(&project));
}

#[test]
fn commands_of_direct_dependencies_win_and_the_loser_is_named() {
    let mut project = Project::new(
        &importer(".", &["a=1.0.0", "z=1.0.0"]),
        &["a@1.0.0 tool=1.0.0", "tool@1.0.0", "z@1.0.0"],
    );
    project.settings.public_hoist_pattern = vec!["*".into()];
    project.settings.extend_node_path = false;
    project.bins = vec![
        ("z@1.0.0", bin("tool", BinRunner::Shebang)),
        ("tool@1.0.0", bin("tool", BinRunner::Shebang)),
        ("a@1.0.0", bin("both", BinRunner::Shebang)),
        ("z@1.0.0", bin("both", BinRunner::Shebang)),
    ];
    let built = project.build().unwrap();
    let lines = printed(&built);
    for expected in [
        "node_modules/.bin/tool -> ../.pnpm/z@1.0.0/node_modules/z/cli.js",
        "node_modules/.bin/both -> ../.pnpm/a@1.0.0/node_modules/a/cli.js",
        "node_modules/.pnpm/a@1.0.0/node_modules/a/node_modules/.bin/both -> ../../cli.js",
        "node_modules/.pnpm/a@1.0.0/node_modules/a/node_modules/.bin/tool -> \
         ../../../../../tool@1.0.0/node_modules/tool/cli.js",
    ] {
        assert!(
            lines.iter().any(|line| line == expected),
            "{expected}\n{lines:#?}"
        );
    }
    let losers: Vec<String> = built
        .warnings
        .iter()
        .map(
            |LayoutWarning::BinConflict {
                 bin, winner, loser, ..
             }| { format!("{bin} {winner} {loser}") },
        )
        .collect();
    assert_eq!(losers, ["both a z", "tool z tool"]);
}

#[test]
fn what_is_not_installed_leaves_no_link_and_takes_no_name() {
    let mut project = Project::new(
        &importer(".", &["a=1.0.0"]),
        &[
            "a@1.0.0 b=1.0.0 ?x=1.0.0",
            "b@1.0.0 x=2.0.0",
            "x@1.0.0",
            "x@2.0.0",
        ],
    );
    project.skipped = vec!["x@1.0.0"];
    let lines = project.lines();
    assert!(
        !lines.iter().any(|line| line.contains("x@1.0.0")),
        "{lines:#?}"
    );
    let hoisted = "node_modules/.pnpm/node_modules/x -> ../x@2.0.0/node_modules/x";
    assert!(lines.iter().any(|line| line == hoisted), "{lines:#?}");
    project.settings.node_linker = NodeLinker::Hoisted;
    assert!(
        project
            .lines()
            .iter()
            .any(|line| line == "node_modules/x = x@2.0.0")
    );
}

#[test]
fn the_hoisted_linker_gives_a_name_to_the_version_with_most_dependents() {
    let mut project = Project::new(
        &importer(".", &["a=1.0.0", "b=1.0.0", "c=1.0.0"]),
        &[
            "a@1.0.0 x=1.0.0",
            "b@1.0.0 x=2.0.0",
            "c@1.0.0 x=2.0.0",
            "x@1.0.0 y=1.0.0",
            "x@2.0.0 y=1.0.0",
            "y@1.0.0 a=1.0.0",
        ],
    );
    project.settings.node_linker = NodeLinker::Hoisted;
    project.bins = vec![("x@1.0.0", bin("x", BinRunner::Shebang))];
    assert_eq!(
        project.lines(),
        [
            "node_modules/a = a@1.0.0",
            "node_modules/a/node_modules/.bin/x -> ../x/cli.js",
            "node_modules/a/node_modules/x = x@1.0.0",
            "node_modules/b = b@1.0.0",
            "node_modules/c = c@1.0.0",
            "node_modules/x = x@2.0.0",
            "node_modules/y = y@1.0.0",
        ]
    );
    let built = project.build().unwrap();
    assert_eq!(
        *built.hoisted_locations["x@1.0.0"],
        ["node_modules/a/node_modules/x".into()]
    );
}

#[test]
fn hoisting_stops_at_its_limits() {
    let importers = [importer(".", &["a=1.0.0"]), importer("p", &["b=1.0.0"])].concat();
    let packages = ["a@1.0.0 x=1.0.0", "b@1.0.0 y=1.0.0", "x@1.0.0", "y@1.0.0"];
    let mut project = Project::new(&importers, &packages);
    project.settings.node_linker = NodeLinker::Hoisted;
    for (limits, expected) in [
        (HoistingLimits::None, ["node_modules/b", "node_modules/y"]),
        (
            HoistingLimits::Workspaces,
            ["p/node_modules/b", "p/node_modules/y"],
        ),
        (
            HoistingLimits::Dependencies,
            ["p/node_modules/b", "p/node_modules/b/node_modules/y"],
        ),
    ] {
        project.settings.hoisting_limits = limits;
        let lines = project.lines();
        for (place, dep_path) in expected.iter().zip(["b@1.0.0", "y@1.0.0"]) {
            let expected = format!("{place} = {dep_path}");
            assert!(
                lines.contains(&expected),
                "{limits:?}: {expected}\n{lines:#?}"
            );
        }
    }
}

#[test]
fn a_long_chain_of_dependencies_does_not_exhaust_the_stack() {
    let packages: Vec<String> = (0..3000)
        .map(|at| format!("p{at:05}@1.0.0 p{:05}=1.0.0", (at + 1) % 3000))
        .collect();
    let packages: Vec<&str> = packages.iter().map(String::as_str).collect();
    let mut project = Project::new(&importer(".", &["p00000=1.0.0"]), &packages);
    for linker in [NodeLinker::Isolated, NodeLinker::Hoisted] {
        project.settings.node_linker = linker;
        assert_eq!(project.build().unwrap().layout.instances.len(), 3000);
    }
}

#[test]
fn directories_become_injected_instances() {
    let project = Project::new(
        &[importer(".", &["d=file:d"]), importer("d", &["q=1.0.0"])].concat(),
        &["d@file:d q=1.0.0", "q@1.0.0"],
    );
    let built = project.build().unwrap();
    let places = &built.injected_dependencies["d"];
    assert_eq!(
        **places,
        ["node_modules/.pnpm/d@file+d/node_modules/d".into()]
    );
}

#[test]
fn a_missing_snapshot_is_an_error_with_a_code() {
    let mut project = Project::new(
        &importer(".", &["a=1.0.0"]),
        &["a@1.0.0 b=1.0.0", "b@1.0.0"],
    );
    project
        .lockfile
        .snapshots
        .retain(|dep_path, _| dep_path.as_str() != "b@1.0.0");
    let error = project.build().unwrap_err();
    assert_eq!(error.code(), "ERR_PNPM_LOCKFILE_MISSING_DEPENDENCY");
    assert!(error.to_string().contains("b@1.0.0"), "{error}");
}

#[test]
fn state_files_are_placed_and_read_back() {
    let mut project = Project::new(
        &importer(".", &["a=1.0.0"]),
        &["a@1.0.0 b=1.0.0", "b@1.0.0"],
    );
    project.settings.public_hoist_pattern = vec!["b".into()];
    let mut built = project.build().unwrap();
    let modules = modules_yaml(
        &built,
        &ModulesState {
            settings: &project.settings,
            included: project.included,
            pending_builds: &[],
            ignored_builds: &[],
            pruned_at: "2026-11-23T00:18:59Z".parse().unwrap(),
            skipped: &["z@1.0.0".into(), "y@1.0.0".into()],
            store_directory: "/store/v11",
            allow_builds: &BTreeMap::from([("esbuild".into(), true)]),
        },
    );
    let text = String::from_utf8(modules.clone()).unwrap();
    assert!(text.starts_with(
        "{\n  \"hoistedDependencies\": {\n    \"b@1.0.0\": {\n      \"b\": \"public\"\n    }\n\
         \x20 },\n"
    ));
    assert!(text.ends_with("  \"allowBuilds\": {\n    \"esbuild\": true\n  }\n}"));
    assert!(text.contains("\"prunedAt\": \"Mon, 23 Nov 2026 00:18:59 GMT\""));
    let keys: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(
        keys.keys().map(String::as_str).collect::<Vec<_>>(),
        [
            "hoistedDependencies",
            "hoistPattern",
            "included",
            "layoutVersion",
            "nodeLinker",
            "packageManager",
            "pendingBuilds",
            "prunedAt",
            "publicHoistPattern",
            "skipped",
            "storeDir",
            "virtualStoreDir",
            "virtualStoreDirMaxLength",
            "allowBuilds",
        ]
    );
    assert_eq!(keys["skipped"], serde_json::json!(["y@1.0.0", "z@1.0.0"]));
    let files = StateFiles {
        modules_yaml: modules,
        workspace_state: b"{}\n".to_vec(),
        current_lockfile: Some(b"lockfileVersion: '9.0'\n".to_vec()),
    };
    built.insert_state_files(files.clone()).unwrap();
    let lines = printed(&built);
    for path in [
        ".modules.yaml",
        ".pnpm-workspace-state-v1.json",
        ".pnpm/lock.yaml",
    ] {
        assert!(
            lines.contains(&format!("node_modules/{path} -")),
            "{lines:#?}"
        );
    }
    assert!(built.insert_state_files(files).is_err());
}
