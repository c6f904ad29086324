use std::process::Command;

use super::*;
use crate::install::lockfile::ImporterId;
use crate::install::manifest::Manifest;

fn project(root: &Path, path: &str, manifest: &str) -> Project {
    let directory = match path {
        "." => root.to_path_buf(),
        path => root.join(path),
    };
    let manifest = Manifest::parse(manifest.as_bytes(), &directory).expect("a manifest");
    Project {
        id: ImporterId(None),
        directory,
        manifest,
    }
}

/// `a` needs `b` and `@s/c`, `b` needs `@s/c`, `t` tests with `a`, `d` stands alone.
fn projects(root: &Path) -> Vec<Project> {
    [
        (".", r#"{"name":"root","version":"1.0.0"}"#),
        (
            "packages/a",
            r#"{"name":"a","version":"1.0.0",
                "dependencies":{"b":"workspace:*","@s/c":"workspace:^"}}"#,
        ),
        (
            "packages/b",
            r#"{"name":"b","version":"1.2.0",
                "optionalDependencies":{"@s/c":"workspace:../c"}}"#,
        ),
        ("packages/c", r#"{"name":"@s/c","version":"2.0.0"}"#),
        (
            "packages/d",
            r#"{"name":"d","dependencies":{"b":"^1.0.0"}}"#,
        ),
        (
            "tools/t",
            r#"{"name":"t","devDependencies":{"a":"workspace:1.0.0"}}"#,
        ),
        (
            "tools/x/deep",
            r#"{"dependencies":{"d":"link:../../../packages/d"}}"#,
        ),
    ]
    .into_iter()
    .map(|(path, manifest)| project(root, path, manifest))
    .collect()
}

struct Case<'a> {
    root: &'a Path,
    prefix: &'a Path,
    link: bool,
    production: bool,
    tests: &'a [String],
}

impl<'a> Case<'a> {
    fn at(root: &'a Path) -> Self {
        Self {
            root,
            prefix: root,
            link: false,
            production: false,
            tests: &[],
        }
    }

    fn select(&self, filters: &[&str]) -> Result<Selection, FilterError> {
        let filters: Vec<String> = filters.iter().map(|text| (*text).to_owned()).collect();
        let environment = Environment::new(std::env::vars_os(), self.root.to_path_buf());
        let (regular, production) = match self.production {
            true => (&[][..], &filters[..]),
            false => (&filters[..], &[][..]),
        };
        select(
            &projects(self.root),
            &Request {
                filters: regular,
                production_filters: production,
                prefix: self.prefix,
                workspace_root: self.root,
                left_out: None,
                link_workspace_packages: self.link,
                changes: ChangeRules {
                    test_patterns: self.tests,
                    ignored_patterns: &["**/*.md".to_owned()],
                },
                environment: &environment,
            },
        )
    }

    fn names(&self, filters: &[&str]) -> Vec<String> {
        let selection = self.select(filters).expect("a selection");
        selection
            .projects
            .iter()
            .map(|place| self.name(*place))
            .collect()
    }

    fn name(&self, place: usize) -> String {
        let project = &projects(self.root)[place];
        let name = project.manifest.name.as_deref().unwrap_or("deep");
        name.trim_start_matches("@s/").to_owned()
    }
}

/// Filters, and the names that they select.
const SELECTIONS: &str = "
= root a b c d t deep
a = a
* = root a b c d t
@s/* = c
c = c
nope =
!a = root b c d t deep
!a !nope = root b c d t deep
a !a =
a... = a b c
a^... = b c
...c = c a t b
...^c = a t b
...b... = b c a t
a... !c = a b
./packages/a = a
./packages =
./packages/* = a b c d
{packages/*} = a b c d
{packages/**} = a b c d
{packages/a/**} = a
{tools/**} = t deep
{packages} =
{packages/{a,b}} =
a{packages/*} = a
a{tools/*} =
. = root
{./tools/t}... = t a b c
d... = d
...{packages/d} = d deep
";

#[test]
fn filters_select_what_they_select_in_pnpm() {
    for line in SELECTIONS.lines().filter(|line| !line.is_empty()) {
        let (filters, expected) = line.split_once('=').expect("a case");
        let filters: Vec<&str> = filters.split_whitespace().collect();
        let names = Case::at(Path::new("/w")).names(&filters);
        assert_eq!(names.join(" "), expected.trim(), "{line}");
    }
    let nothing = Case::at(Path::new("/w")).select(&["..."]);
    assert!(matches!(nothing, Err(FilterError::Empty { .. })));
}

#[test]
fn ranges_link_only_where_the_setting_says_so() {
    let linked = Case {
        link: true,
        ..Case::at(Path::new("/w"))
    };
    assert_eq!(linked.names(&["d..."]), ["d", "b", "c"]);
}

#[test]
fn paths_are_relative_to_where_the_command_runs() {
    let root = Path::new("/w");
    for (prefix, filter, expected) in [
        ("/w/packages/a", ".", "a"),
        ("/w/packages", "./a", "a"),
        ("/w/packages/a", "../b", "b"),
        ("/w/packages/a", "{../../tools/*}", "t"),
    ] {
        let case = Case {
            prefix: Path::new(prefix),
            ..Case::at(root)
        };
        assert_eq!(
            case.names(&[filter]).join(" "),
            expected,
            "{prefix} {filter}"
        );
    }
}

#[test]
fn production_filters_follow_no_development_dependencies() {
    let case = Case {
        production: true,
        ..Case::at(Path::new("/w"))
    };
    assert_eq!(case.names(&["...a"]), ["a"]);
    assert_eq!(case.names(&["t..."]), ["t"]);
    assert_eq!(Case::at(Path::new("/w")).names(&["...a"]), ["a", "t"]);
}

#[test]
fn dependencies_come_first_through_projects_that_are_not_selected() {
    let root = Path::new("/w");
    let case = Case::at(root);
    let order = |filters: &[&str]| -> Vec<Vec<String>> {
        let selection = case.select(filters).expect("a selection");
        let names = |chunk: &Vec<usize>| {
            let name = |at: &usize| case.name(selection.projects[*at]);
            chunk.iter().map(name).collect()
        };
        selection.chunks().iter().map(names).collect()
    };
    assert_eq!(
        order(&["!root", "!{tools/x/deep}"]),
        [vec!["c", "d"], vec!["b"], vec!["a"], vec!["t"]]
    );
    assert_eq!(order(&["t", "c"]), [["c"], ["t"]]);
}

#[test]
fn circles_share_a_chunk() {
    for (waits_for, expected) in [
        (vec![vec![1], vec![0]], vec![vec![0, 1]]),
        (vec![vec![0]], vec![vec![0]]),
        (
            vec![vec![1], vec![2], vec![1], vec![0]],
            vec![vec![1, 2], vec![0], vec![3]],
        ),
        (vec![vec![1, 2], vec![0], vec![]], vec![vec![2], vec![0, 1]]),
    ] {
        assert_eq!(chunks(&waits_for), expected, "{waits_for:?}");
    }
}

#[test]
fn filters_that_match_nothing_are_told() {
    let selection = Case::at(Path::new("/w"))
        .select(&["nope", "./none", "a"])
        .expect("a");
    assert_eq!(selection.unmatched, ["nope", "/w/none"]);
}

fn git(directory: &Path, arguments: &[&str]) {
    let identity = ["-c", "user.name=t", "-c", "user.email=t@example.invalid"];
    let status = Command::new("git")
        .args(identity)
        .args(arguments)
        .current_dir(directory)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .expect("git");
    assert!(status.status.success(), "{arguments:?}: {status:?}");
}

#[test]
fn what_changed_since_a_revision_is_asked_of_git() {
    let scratch = tempfile::tempdir().expect("scratch");
    let repository = scratch.path().canonicalize().expect("a path");
    let root = repository.join("w");
    for project in projects(&root) {
        std::fs::create_dir_all(project.directory.join("test")).expect("made");
        std::fs::write(project.directory.join("package.json"), "{}").expect("written");
    }
    git(&repository, &["init", "-q", "-b", "main"]);
    git(&repository, &["add", "."]);
    git(&repository, &["commit", "-q", "-m", "first"]);
    let change = |path: &str| {
        std::fs::write(root.join(path), "x").expect("written");
        git(&repository, &["add", "."]);
    };
    change("packages/b/index é.js");
    change("packages/c/test/one.js");
    change("packages/a/README.md");
    let tests = ["**/test/**".to_owned()];
    let case = Case {
        tests: &tests,
        ..Case::at(&root)
    };
    for (filter, expected) in [
        ("[main]", "c b"),
        ("{packages/*}[main]", "c b"),
        ("...[main]", "b a t c"),
        ("{packages/b}[main]", "b"),
        ("{packages/d}[main]", ""),
        ("b[main]", "c b"),
    ] {
        assert_eq!(case.names(&[filter]).join(" "), expected, "{filter}");
    }
    // Without the pattern, tests concern the dependents too; here through `a` and `b`.
    assert_eq!(Case::at(&root).names(&["...^[main]"]), ["a", "t", "b"]);
    for refused in ["[nope]", "[--output=evil]"] {
        let error = case.select(&[refused]).expect_err(refused);
        assert_eq!(error.code(), "ERR_PNPM_FILTER_CHANGED", "{error}");
    }
    assert!(!root.join("evil").exists());
}
