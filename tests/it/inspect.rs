//! `list`, `why`, `root`, `bin`, `init`, `fetch`, `completion`: what is printed, in pnpm's words.

use std::fs;

use pacquet_test_registry::{Package, lockfile};
use serde_json::{Value, json};

use crate::project::{Project, can_mount};

fn packages() -> Vec<Package> {
    vec![
        Package::new("left", "1.0.0")
            .manifest(json!({ "description": "Goes left", "license": "MIT" }))
            .dependency("deep", "1.0.0"),
        Package::new("right", "2.0.0").dependency("left", "1.0.0"),
        Package::new("deep", "1.0.0").dependency("deeper", "1.0.0"),
        Package::new("deeper", "1.0.0"),
        Package::new("tool", "3.0.0").dependency("deep", "1.0.0"),
    ]
}

fn project() -> Project {
    let manifest = json!({
        "name": "app", "version": "1.0.0", "private": true,
        "dependencies": { "right": "2.0.0", "also": "npm:left@1.0.0" },
        "devDependencies": { "tool": "3.0.0" }
    });
    let project = Project::locked(&manifest, &packages());
    project.succeed(&[
        "install",
        "--no-virtual",
        "--frozen-lockfile",
        "--ignore-scripts",
    ]);
    project
}

/// The output with the project's directory as `<root>`.
fn said(project: &Project, words: &str) -> String {
    let words: Vec<&str> = words.split(' ').collect();
    let root = fs::canonicalize(project.root()).expect("there");
    project
        .succeed(&words)
        .replace(root.to_str().expect("text"), "<root>")
}

fn object(project: &Project, words: &str) -> Value {
    serde_json::from_str(&said(project, words)).expect("JSON")
}

const TREE: &str = "\
Legend: production dependency, optional only, dev only

app@1.0.0 <root> (PRIVATE)
│
│   dependencies:
├─┬ also@npm:left@1.0.0
│ └─┬ deep@1.0.0
│   └── deeper@1.0.0
├─┬ right@2.0.0
│ └── left@1.0.0 [deduped]
│
│   devDependencies:
└─┬ tool@3.0.0
  └── deep@1.0.0 [deduped]

7 packages
";

/// What was shown with as many levels below it as now is not shown again; with more or fewer it is.
#[test]
fn what_was_shown_is_shown_again_with_another_number_of_levels() {
    let project = project();
    assert!(said(&project, "list --depth 2").contains(
        "\
├─┬ also@npm:left@1.0.0
│ └─┬ deep@1.0.0
│   └── deeper@1.0.0
├─┬ right@2.0.0
│ └─┬ left@1.0.0
│   └── deep@1.0.0
│
│   devDependencies:
└─┬ tool@3.0.0
  └── deep@1.0.0 [deduped]
"
    ));
}

#[test]
fn what_is_hoisted_into_sight_is_among_the_lines() {
    let project = Project::new();
    for package in packages() {
        project.registry.publish(&package);
    }
    project.write(
        "package.json",
        r#"{"name":"app","version":"1.0.0","dependencies":{"left":"1.0.0"}}"#,
    );
    project.write("pnpm-workspace.yaml", "publicHoistPattern: [deeper]\n");
    project.succeed(&["install", "--no-virtual"]);
    let at = "node_modules/.pnpm/deeper@1.0.0/node_modules/deeper";
    assert_eq!(
        said(&project, "list --parseable --long"),
        format!(
            "<root>:app@1.0.0\n<root>/{at}:link:{at}\n\
             <root>/node_modules/.pnpm/left@1.0.0/node_modules/left:left@1.0.0\n"
        )
    );
}

#[test]
fn what_is_installed_is_listed_as_a_tree() {
    let project = project();
    assert_eq!(said(&project, "list --depth Infinity"), TREE);
    let flat = said(&project, "ls");
    assert!(
        flat.contains("├── also@npm:left@1.0.0\n├── right@2.0.0\n"),
        "{flat}"
    );
    assert!(flat.ends_with("\n3 packages\n"), "{flat}");
    let production = said(&project, "list --prod");
    assert!(
        production.contains("right") && !production.contains("tool"),
        "{production}"
    );
    let searched = said(&project, "list deep* --depth 1");
    assert!(
        searched.contains("└── deep@1.0.0") && !searched.contains("right"),
        "{searched}"
    );
    assert_eq!(
        said(&project, "list --depth -1"),
        "app@1.0.0 <root> (PRIVATE)\n"
    );
    let long = said(&project, "ll right also");
    assert!(long.contains("│   Goes left\n"), "{long}");
    let failed = project.run(&["list", "--depth", "x"]);
    assert_eq!(failed.status.code(), Some(2));
    let failed = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert!(failed.contains("--depth"), "{failed}");
}

#[test]
fn what_is_installed_is_listed_for_programs() {
    let project = project();
    let list = object(&project, "list --json --depth 1");
    assert_eq!(list[0]["name"], "app");
    assert_eq!(list[0]["private"], true);
    let also = &list[0]["dependencies"]["also"];
    assert_eq!(
        (&also["from"], &also["version"]),
        (&json!("left"), &json!("1.0.0"))
    );
    assert_eq!(
        also["path"],
        "<root>/node_modules/.pnpm/left@1.0.0/node_modules/left"
    );
    assert!(
        also["resolved"]
            .as_str()
            .is_some_and(|url| url.ends_with("/left/-/left-1.0.0.tgz"))
    );
    assert_eq!(also["dependencies"]["deep"]["version"], "1.0.0");
    let whole = object(&project, "list --json --depth Infinity");
    let repeated = &whole[0]["dependencies"]["right"]["dependencies"]["left"];
    assert_eq!(
        (&repeated["deduped"], &repeated["dedupedDependenciesCount"]),
        (&json!(true), &json!(2))
    );
    let long = object(&project, "list --json --long");
    assert_eq!(long[0]["dependencies"]["also"]["license"], "MIT");
    let lines = "<root>\n\
        <root>/node_modules/.pnpm/left@1.0.0/node_modules/left\n\
        <root>/node_modules/.pnpm/right@2.0.0/node_modules/right\n\
        <root>/node_modules/.pnpm/tool@3.0.0/node_modules/tool\n";
    assert_eq!(said(&project, "list --parseable"), lines);
}

#[test]
fn why_a_package_is_installed_is_told() {
    let project = project();
    let expected = "\
deep@1.0.0
├─┬ left@1.0.0
│ ├── app@1.0.0 (dependencies)
│ └─┬ right@2.0.0
│   └── app@1.0.0 (dependencies)
└─┬ tool@3.0.0
  └── app@1.0.0 (devDependencies)

Found 1 version of deep
";
    assert_eq!(said(&project, "why deep"), expected);
    let lines = said(&project, "why deep --parseable");
    assert!(
        lines.contains("app@1.0.0 > right@2.0.0 > left@1.0.0 > deep@1.0.0\n"),
        "{lines}"
    );
    // The first level is always there.
    let direct = "deep@1.0.0\n├── left@1.0.0\n└── tool@3.0.0\n\n";
    for depth in ["why deep --depth=0", "why deep --depth=1"] {
        assert!(said(&project, depth).starts_with(direct));
    }
    let one = object(&project, "why deep --json --prod");
    assert_eq!(one[0]["dependents"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        one[0]["dependents"][0]["dependents"][0]["depField"],
        "dependencies"
    );
    assert_eq!(said(&project, "why nothing"), "");
    assert!(
        project
            .fail(&["why"])
            .contains("ERR_PNPM_MISSING_PACKAGE_NAME")
    );
}

#[test]
fn what_is_served_is_listed_too_and_a_lockfile_alone_suffices() {
    let project = project();
    let tree = said(&project, "list --depth Infinity");
    let why = said(&project, "why deep");
    if can_mount("what_is_served_is_listed_too_and_a_lockfile_alone_suffices") {
        project.install();
        assert!(project.is_mounted());
        assert_eq!(said(&project, "list --depth Infinity"), tree);
        assert_eq!(said(&project, "why deep"), why);
        project.unmount();
    }
    fs::remove_dir_all(project.node_modules()).expect("removed");
    assert_eq!(said(&project, "list --depth Infinity"), tree);
    assert_eq!(said(&project, "why deep"), why);
}

#[test]
fn places_are_printed() {
    let project = project();
    assert_eq!(said(&project, "root"), "<root>/node_modules\n");
    assert_eq!(said(&project, "bin"), "<root>/node_modules/.bin\n");
}

#[test]
fn a_manifest_is_begun_and_never_replaced() {
    let project = Project::new();
    let printed = project.succeed(&["init"]);
    let text = fs::read_to_string(project.root().join("package.json")).expect("written");
    assert!(printed.starts_with("Wrote to ") && printed.ends_with(&format!("{text}\n")));
    let manifest: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(manifest["name"], "project");
    assert_eq!(manifest["type"], "module");
    assert!(
        project
            .fail(&["init"])
            .contains("ERR_PNPM_PACKAGE_JSON_EXISTS")
    );
    let after = fs::read_to_string(project.root().join("package.json")).expect("there");
    assert_eq!(after, text);
}

#[test]
fn a_lockfile_is_fetched_without_a_manifest() {
    let project = Project::new();
    for package in packages() {
        project.registry.publish(&package);
    }
    let manifest = json!({
        "dependencies": { "left": "1.0.0" }, "devDependencies": { "tool": "3.0.0" }
    });
    let text = lockfile::write(&manifest, &packages()).expect("locked");
    project.write("pnpm-lock.yaml", &text);
    project.succeed(&["fetch", "--prod"]);
    assert_eq!(project.packages_in_store(), 3);
    project.succeed(&["fetch"]);
    assert_eq!(project.packages_in_store(), 4);
    assert!(!project.node_modules().exists());
    project.registry.take_requests();
    project.write("package.json", &manifest.to_string());
    project.succeed(&["install", "--no-virtual", "--offline", "--frozen-lockfile"]);
    assert!(project.registry.take_requests().is_empty());
}

#[test]
fn shells_get_their_scripts() {
    let project = Project::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = project.succeed(&["completion", shell]);
        assert!(script.contains("pacquet completion-server"), "{shell}");
    }
}

#[test]
fn words_are_completed_by_what_the_project_has() {
    let manifest = r#"{"name":"one","scripts":{"build:dev":"x","build:prod":"x"},
        "dependencies":{"left":"1"},"devDependencies":{"leaf":"1"}}"#;
    let project = Project::workspace(&[], "", &[("one", manifest), ("two", r#"{"name":"two"}"#)]);
    let one = project.root().join("packages/one");
    let complete = |words: &[&str]| {
        let words = [&["completion-server", "--", "pacquet"], words].concat();
        let output = project.command(&words).current_dir(&one).output();
        let output = output.expect("the program starts");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    for (words, expected) in [
        (&["run", ""][..], "build:dev\nbuild:prod\n"),
        (&["run", "build:p"], "build:prod\n"),
        (&["run", "build:prod", ""], ""),
        (&["-r", "--reporter", "si"], "silent\n"),
        (&["--filter", ""], "one\ntwo\n"),
        (&["remove", "le"], "leaf\nleft\n"),
        (&["-C", "../two", "remove", ""], ""),
        (&["install", "--frozen-l"], "--frozen-lockfile\n"),
        (&["install-"], "install-clean\ninstall-test\n"),
        (&["config", "ge"], "get\n"),
        (&["-C", "../t"], "../two/\n"),
    ] {
        assert_eq!(complete(words), expected, "{words:?}");
    }
}

const FINDERS: &str = "module.exports = { finders: {
  deepest: ({ readManifest }) => readManifest().name === 'deeper',
  licensed: async ({ alias, version, readManifest }) => {
    const { license } = readManifest()
    return license ? `${license}\\nas ${alias} ${version}` : ''
  },
  broken () { throw new Error('on purpose') }
} }
";

#[test]
fn finders_say_which_packages_are_meant_and_why() {
    let project = project();
    project.write(".pnpmfile.cjs", FINDERS);
    let expected = "\
left@1.0.0
│ MIT
│ as left 1.0.0
├── app@1.0.0 (dependencies)
└─┬ right@2.0.0
  └── app@1.0.0 (dependencies)

Found 1 version of left
";
    assert_eq!(said(&project, "why --find-by=licensed"), expected);
    let one = object(&project, "why --find-by=licensed --json");
    assert_eq!(one[0]["searchMessage"], "MIT\nas left 1.0.0");
    // What has the name is found by it, and finders are not asked.
    let both = said(&project, "why --find-by=deepest --find-by licensed left");
    let rest = expected.replace("│ MIT\n│ as left 1.0.0\n", "");
    let rest = rest.strip_suffix("\nFound 1 version of left\n");
    assert!(both.contains(rest.expect("ends so")), "{both}");
    assert!(both.contains("Found 1 version of deeper\n"), "{both}");

    let listed = said(&project, "list --find-by=licensed --depth=1");
    let tree = "\
│   dependencies:
├── also@npm:left@1.0.0
│   MIT
│   as also 1.0.0
└─┬ right@2.0.0
  └── left@1.0.0
      MIT
      as left 1.0.0

3 packages
";
    assert!(listed.ends_with(tree), "{listed}");
    let listed = said(&project, "list --find-by=deepest");
    assert!(listed.ends_with("\n0 packages\n"), "{listed}");
}

#[test]
fn a_finder_that_fails_or_is_not_there_is_named() {
    let project = project();
    project.write(".pnpmfile.cjs", FINDERS);
    for command in ["why", "list"] {
        let failed = project.fail(&[command, "--find-by=broken"]);
        assert!(failed.contains("ERR_PNPM_PNPMFILE_FAIL"), "{failed}");
        assert!(failed.contains("on purpose"), "{failed}");
        for words in [
            &[command, "--find-by=licensed", "--find-by=none"][..],
            &[command, "--find-by=none", "--ignore-pnpmfile"],
            &[command, "--find-by=toString"],
        ] {
            let failed = project.fail(words);
            assert!(failed.contains("ERR_PNPM_FINDER_NOT_FOUND"), "{failed}");
        }
    }
}
