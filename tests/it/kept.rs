//! What a lockfile keeps, and what of it follows, when something else is asked for.

use std::fs;

use pacquet_test_registry::Package;

use crate::project::Project;

const LOCKFILE: &str = "pnpm-lock.yaml";

fn lockfile(project: &Project) -> String {
    fs::read_to_string(project.root().join(LOCKFILE)).expect("it was written")
}

/// A workspace of projects with these dependencies, and a lockfile for it.
fn workspace(packages: &[Package], manifests: &[(&str, &str)]) -> Project {
    let project = Project::workspace(packages, "", manifests);
    project.succeed(&["install", "--lockfile-only"]);
    project
}

/// Makes `after` of `before` in a project's manifest and in the lockfile, and asks for `other` in
/// another project.
fn change(project: &Project, name: &str, (before, after): (&str, &str)) {
    let path = project.root().join(format!("packages/{name}/package.json"));
    let manifest = fs::read_to_string(&path).expect("it is there");
    let text = |specifier: &str| format!("\"{specifier}\"");
    fs::write(&path, manifest.replace(&text(before), &text(after))).expect("written");
    let line = |specifier: &str| format!("specifier: {specifier}\n");
    let (importers, rest) = lockfile(project).split_once("\npackages:").map_or_else(
        || panic!("there are packages"),
        |(importers, rest)| (importers.to_owned(), rest.to_owned()),
    );
    let id = format!("\n  packages/{name}:");
    let (others, own) = importers.split_once(&id).expect("it is there");
    let own = own.replacen(&line(before), &line(after), 1);
    project.write(LOCKFILE, &format!("{others}{id}{own}\npackages:{rest}"));
    project.write(
        "packages/other/package.json",
        r#"{"dependencies":{"other":"1"}}"#,
    );
    project.succeed(&["install", "--lockfile-only", "--no-prefer-frozen-lockfile"]);
}

/// The versions of the projects' dependencies, in the order of the lockfile.
fn versions(project: &Project) -> Vec<String> {
    let lockfile = lockfile(project);
    let found = lockfile
        .lines()
        .filter_map(|line| line.strip_prefix("        version: "));
    found.map(str::to_owned).collect()
}

fn packages() -> Vec<Package> {
    let ring = |version| Package::new("ring", version).dependency("link", "1");
    vec![
        ring("1.0.0"),
        ring("1.1.0"),
        Package::new("link", "1.0.0").dependency("ring", "1"),
        Package::new("plain", "1.0.0"),
        Package::new("plain", "1.1.0"),
        Package::new("other", "1.0.0").dependency("ring", "1"),
        Package::new("user", "1.0.0").peer_dependency("host", "*"),
        Package::new("fork", "1.0.0"),
    ]
}

#[test]
fn a_dependency_keeps_its_version_whatever_others_have() {
    for (alias, before, after) in [
        ("ring", "1.0.0", "^1.0.0"),
        ("alias", "npm:plain@1.0.0", "npm:plain@^1.0.0"),
        ("plain", "1.0.0", "^1.0.0"),
    ] {
        let manifest =
            |specifier: &str| format!(r#"{{"dependencies":{{"{alias}":"{specifier}"}}}}"#);
        let newer = before.replace("1.0.0", "1.1.0");
        let manifests = [("a", &*manifest(before)), ("b", &*manifest(&newer))];
        let project = workspace(&packages(), &manifests);
        let known = versions(&project);
        change(&project, "a", (before, after));
        assert_eq!(versions(&project)[..2], known, "{alias}");
        project.succeed(&["dedupe", "--lockfile-only"]);
        assert_eq!(versions(&project)[0], known[1], "{alias}");
    }
}

#[test]
fn what_a_project_changes_is_chosen_for_what_it_depends_on_too() {
    let mut packages = packages();
    packages.push(Package::new("user", "2.0.0").dependency("middle", "1"));
    packages.push(Package::new("middle", "1.0.0").dependency("plain", "1"));
    let manifest =
        |version: &str| format!(r#"{{"dependencies":{{"plain":"{version}","user":"2.0.0"}}}}"#);
    let project = workspace(&packages, &[("a", &*manifest("1.0.0"))]);
    assert!(lockfile(&project).contains("      plain: 1.0.0\n"));
    project.write("packages/a/package.json", &manifest("1.1.0"));
    project.succeed(&["install", "--lockfile-only"]);
    assert!(!lockfile(&project).contains("1.0.0:\n    dependencies:\n      plain: 1.0.0"));
    assert!(lockfile(&project).contains("      plain: 1.1.0\n"));
}

#[test]
fn a_peer_of_a_project_follows_what_another_project_asks_for() {
    let peer = r#"{"peerDependencies":{"plain":"1.0.0"}}"#;
    for (others, expected) in [
        (r#"{"dependencies":{"plain":"1.1.0"}}"#, "1.1.0"),
        (r#"{"dependencies":{"alias":"npm:plain@1.1.0"}}"#, "1.0.0"),
    ] {
        let project = workspace(&packages(), &[("a", peer), ("b", others)]);
        change(&project, "a", ("1.0.0", "~1"));
        assert_eq!(versions(&project)[0], expected, "{others}");
    }
}

/// Others ask for a range, and exactly or by a tag for a version outside of it.
#[test]
fn a_peer_of_a_project_follows_ranges_of_others_once_it_is_locked() {
    let mut packages = packages();
    let versions_of = ["1.0.0", "1.5.0", "2.0.0"];
    packages.extend(versions_of.map(|version| Package::new("host", version)));
    for (others, first, then) in [
        (&["~1.0.0", "latest"][..], "2.0.0", "1.0.0"),
        (&["~1.0.0", "2.0.0"], "2.0.0", "1.0.0"),
        (&["~1.0.0", "^1.2.0", "latest"], "2.0.0", "1.5.0"),
        (&["1.0.0", "latest"], "2.0.0", "2.0.0"),
        (&["~1.0.0", "2.0.0", "latest"], "2.0.0", "2.0.0"),
        (&["~1.0.0", "^2.0.0"], "2.0.0", "2.0.0"),
        (&["~1.0.0", ">=1.0.0 <2.0.0", "^2.0.0"], "1.0.0", "1.0.0"),
    ] {
        let peer = r#"{"peerDependencies":{"host":"*"}}"#;
        let manifests = others.iter().enumerate().map(|(at, range)| {
            let manifest = format!(r#"{{"dependencies":{{"host":"{range}"}}}}"#);
            (format!("b{at}"), manifest)
        });
        let manifests: Vec<(String, String)> = manifests.collect();
        let others = manifests.iter().map(|(name, text)| (&**name, &**text));
        let projects: Vec<(&str, &str)> = [("a", peer)].into_iter().chain(others).collect();
        let project = workspace(&packages, &projects);
        assert_eq!(versions(&project)[0], first, "{projects:?}");
        project.write(
            "packages/c/package.json",
            r#"{"dependencies":{"other":"1"}}"#,
        );
        project.succeed(&["install", "--lockfile-only"]);
        assert_eq!(versions(&project)[0], then, "{projects:?}");
    }
}

/// Another project asks for a higher version, which the peer does not allow: what is below the peer
/// stays, also where the lockfile has higher versions of it.
#[test]
fn below_a_peer_that_is_chosen_again_everything_stays() {
    let mut packages = packages();
    packages.extend(["1.0.0", "1.1.0"].map(|version| Package::new("deep", version)));
    packages.push(Package::new("middle", "1.0.0").dependency("deep", "^1.0.0"));
    packages.push(Package::new("host", "1.0.0").dependency("middle", "1.0.0"));
    packages.push(Package::new("host", "2.0.0"));
    let peer = r#""peerDependencies":{"host":"^1.0.0"}"#;
    let first = format!(r#"{{{peer},"dependencies":{{"deep":"1.0.0"}}}}"#);
    let project = workspace(&packages, &[("a", &first)]);
    assert!(lockfile(&project).contains("      deep: 1.0.0\n"));
    let others = r#"{"dependencies":{"host":"^2.0.0"}}"#;
    project.write("packages/a/package.json", &format!("{{{peer}}}"));
    let more = r#"{"dependencies":{"other":"1"}}"#;
    for (name, manifest) in [("b", others), ("c", more)] {
        project.write(&format!("packages/{name}/package.json"), manifest);
        project.succeed(&["install", "--lockfile-only"]);
        let known = lockfile(&project);
        assert!(known.contains("      deep: 1.0.0\n"), "{name}: {known}");
    }
}

/// `host` is 1.0.0 because of the first range; then others ask for the rest.
#[test]
fn a_locked_peer_in_a_range_of_another_project_stays() {
    let mut packages = packages();
    packages.extend(["1.0.0", "2.0.0"].map(|version| Package::new("host", version)));
    let depends = |range: &str| format!(r#"{{"dependencies":{{"host":"{range}"}}}}"#);
    for (first, rest, expected) in [
        ("~1.0.0", &["^2.0.0", ">=2"][..], "1.0.0"),
        ("~1.0.0", &["latest"], "1.0.0"),
        ("1.0.0", &["latest"], "1.0.0"),
        ("1.0.0", &["^2.0.0"], "2.0.0"),
        ("1.0.0", &["2.0.0"], "2.0.0"),
        ("~1.0.0", &["2.0.0", "latest"], "2.0.0"),
    ] {
        let peer = r#"{"peerDependencies":{"host":"*"}}"#;
        let project = workspace(&packages, &[("a", peer), ("b", &depends(first))]);
        assert_eq!(versions(&project)[0], "1.0.0", "{first}");
        for (at, range) in rest.iter().enumerate() {
            let path = format!("packages/c{at}/package.json");
            project.write(&path, &depends(range));
        }
        project.succeed(&["install", "--lockfile-only"]);
        assert_eq!(versions(&project)[0], expected, "{first} {rest:?}");
    }
}

#[test]
fn a_package_that_was_deprecated_when_it_was_locked_is_so_when_versions_are_chosen_again() {
    let packages = [Package::new("gone", "1.0.0").deprecated("use another one")];
    let manifest = r#"{"dependencies":{"gone":"1.0.0"}}"#;
    let project = workspace(&packages, &[("a", manifest)]);
    let deprecated = "    deprecated: use another one\n";
    assert!(lockfile(&project).contains(deprecated));
    project.registry.publish(&Package::new("gone", "1.0.0"));
    project.succeed(&["dedupe", "--lockfile-only"]);
    assert!(lockfile(&project).contains(deprecated));
}

#[test]
fn a_peer_behind_an_alias_stays_in_the_key() {
    let manifest = r#"{"dependencies":{"host":"npm:fork@1.0.0","user":"1.0.0"}}"#;
    let project = workspace(&packages(), &[("a", manifest)]);
    let known = versions(&project);
    assert_eq!(known, ["fork@1.0.0", "1.0.0(fork@1.0.0)"]);
    change(&project, "a", ("1.0.0", "^1.0.0"));
    assert_eq!(versions(&project)[..2], known);
}

#[test]
fn what_has_peers_is_written_as_its_manifest_is_today() {
    let mut packages = packages();
    packages.push(
        Package::new("format", "1.0.0")
            .dependency("plain", "1.0.0")
            .optional_peer_dependency("plain", "1.0.0"),
    );
    packages.push(
        Package::new("brings", "1.0.0")
            .dependency("format", "1.0.0")
            .dependency("plain", "1.0.0"),
    );
    let project = workspace(
        &packages,
        &[("a", r#"{"dependencies":{"brings":"1.0.0"}}"#)],
    );
    let own = "  format@1.0.0:\n    dependencies:\n      plain: 1.0.0\n";
    let now = lockfile(&project);
    assert!(now.contains(own), "{now}");
    // As older versions of pnpm wrote it.
    let old = now
        .replace(
            own,
            "  format@1.0.0(plain@1.0.0):\n    optionalDependencies:\n      plain: 1.0.0\n",
        )
        .replace(
            "      format: 1.0.0\n",
            "      format: 1.0.0(plain@1.0.0)\n",
        );
    project.write(LOCKFILE, &old);
    change(&project, "a", ("1.0.0", "^1.0.0"));
    assert!(lockfile(&project).contains(own), "{}", lockfile(&project));
}

#[test]
fn a_lockfile_that_fits_is_written_in_todays_form_where_it_alone_is_asked_for() {
    let project = workspace(
        &packages(),
        &[("a", r#"{"dependencies":{"plain":"1.0.0"}}"#)],
    );
    let known = lockfile(&project);
    let other = format!("{}# The end.\n", known.replace(" 1.0.0\n", " '1.0.0'\n"));
    for (options, expected) in [
        (&["--lockfile-only", "--frozen-lockfile"][..], &known),
        (&["--lockfile-only"], &known),
        (&["--frozen-lockfile"], &other),
        (&[], &other),
    ] {
        project.write(LOCKFILE, &other);
        project.succeed(&[&["install", "--no-virtual"], options].concat());
        assert_eq!(lockfile(&project), *expected, "{options:?}");
    }
}

#[test]
fn every_project_says_which_pnpm_it_needs() {
    let needs = |range: &str| format!(r#"{{"engines":{{"pnpm":"{range}"}}}}"#);
    let project = workspace(&packages(), &[("a", &needs(">=12"))]);
    project.write("packages/b/package.json", &needs("^9 || ^10"));
    for words in [
        &["install"][..],
        &["add", "plain", "-w"],
        &["install", "--filter", "a"],
    ] {
        let said = project.fail(words);
        assert!(said.contains("ERR_PNPM_UNSUPPORTED_ENGINE"), "{said}");
        assert!(said.contains("packages/b needs pnpm ^9 || ^10"), "{said}");
    }
    project.succeed(&["list", "-r"]);
}
