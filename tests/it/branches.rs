//! Lockfiles of branches (`gitBranchLockfile`).

use std::fs;
use std::process::Command;

use pacquet_test_registry::Package;

use crate::project::Project;

/// A project in a repository with a commit, on the branch `main`.
fn project() -> Project {
    let project = Project::new();
    for package in ["one", "two"] {
        project.registry.publish(&Package::new(package, "1.0.0"));
    }
    depend_on(&project, &["one"]);
    project.write("pnpm-workspace.yaml", "gitBranchLockfile: true\n");
    git(&project, &["init", "--quiet", "--initial-branch=main"]);
    let names = ["-c", "user.name=a", "-c", "user.email=a@b"];
    let commit = ["commit", "--quiet", "--allow-empty", "--message=first"];
    git(&project, &[&names[..], &commit].concat());
    project
}

fn depend_on(project: &Project, names: &[&str]) {
    let names: Vec<String> = names
        .iter()
        .map(|name| format!("{name:?}:\"1.0.0\""))
        .collect();
    let manifest = format!(r#"{{"name":"app","dependencies":{{{}}}}}"#, names.join(","));
    project.write("package.json", &manifest);
}

fn git(project: &Project, arguments: &[&str]) {
    let mut command = Command::new("git");
    command.args(arguments).current_dir(project.root());
    assert!(
        command.status().expect("git runs").success(),
        "{arguments:?}"
    );
}

/// The lockfiles that are there.
fn lockfiles(project: &Project) -> Vec<String> {
    let entries = fs::read_dir(project.root()).expect("there");
    let names = entries.map(|entry| entry.expect("read").file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.starts_with("pnpm-lock")).collect();
    names.sort();
    names
}

const REAL: [&str; 2] = ["install", "--no-virtual"];
const FROZEN: [&str; 3] = ["install", "--no-virtual", "--frozen-lockfile"];

#[test]
fn a_branch_has_a_lockfile_of_its_own_and_that_of_all_without_one() {
    let project = project();
    git(&project, &["checkout", "--quiet", "-b", "Feat/One_1"]);
    project.succeed(&REAL);
    assert_eq!(lockfiles(&project), ["pnpm-lock.feat!one_1.yaml"]);
    project.succeed(&FROZEN);

    // Another branch does not see it, and begins with the one of all.
    git(&project, &["checkout", "--quiet", "-b", "other"]);
    let failed = project.fail(&FROZEN);
    assert!(failed.contains("ERR_PNPM_NO_LOCKFILE"), "{failed}");
    let of_all = project.root().join("pnpm-lock.yaml");
    fs::rename(project.root().join("pnpm-lock.feat!one_1.yaml"), &of_all).expect("renamed");
    project.succeed(&FROZEN);
    project.succeed(&REAL);
    assert_eq!(lockfiles(&project), ["pnpm-lock.yaml"]);
    let before = fs::read_to_string(&of_all).expect("there");

    // What changes is the branch's.
    project.succeed(&["add", "two", "--lockfile-only"]);
    assert_eq!(
        lockfiles(&project),
        ["pnpm-lock.other.yaml", "pnpm-lock.yaml"]
    );
    assert_eq!(fs::read_to_string(&of_all).expect("there"), before);
    project.succeed(&FROZEN);
    assert!(project.node_modules().join("two/package.json").exists());
    fs::remove_dir_all(project.node_modules()).expect("removed");
    assert!(project.succeed(&["list"]).contains("two@1.0.0"));
    project.succeed(&["clean", "--lockfile"]);
    assert_eq!(lockfiles(&project), ["pnpm-lock.yaml"]);
}

#[test]
fn a_commit_has_the_lockfile_of_a_branch_that_has_it() {
    for remote in [false, true] {
        let project = project();
        project.succeed(&["install", "--lockfile-only"]);
        assert_eq!(lockfiles(&project), ["pnpm-lock.main.yaml"]);
        git(&project, &["checkout", "--quiet", "--detach"]);
        if remote {
            git(
                &project,
                &["update-ref", "refs/remotes/origin/main", "HEAD"],
            );
            git(&project, &["branch", "--quiet", "-D", "main"]);
        }
        project.succeed(&FROZEN);
        depend_on(&project, &["one", "two"]);
        project.succeed(&["install", "--lockfile-only"]);
        assert_eq!(
            lockfiles(&project),
            ["pnpm-lock.main.yaml", "pnpm-lock.yaml"]
        );
        let of_all = fs::read_to_string(project.root().join("pnpm-lock.yaml")).expect("there");
        assert!(of_all.contains("two@1.0.0"), "{of_all}");
    }
}

#[test]
fn without_a_repository_or_the_setting_there_is_one_for_all() {
    let project = project();
    fs::remove_dir_all(project.root().join(".git")).expect("removed");
    project.succeed(&["install", "--lockfile-only"]);
    assert_eq!(lockfiles(&project), ["pnpm-lock.yaml"]);
}

/// What branches have locked goes into the lockfile of all, on the branches that the pattern means
/// and where a flag says so, and fits there at once.
#[test]
fn lockfiles_of_branches_are_merged_into_the_one_of_all() {
    for (settings, flags, frozen) in [
        (
            "mergeGitBranchLockfilesBranchPattern: [main, 'release/*']\n",
            &[][..],
            false,
        ),
        ("", &["--merge-git-branch-lockfiles"][..], false),
        ("mergeGitBranchLockfiles: true\n", &[][..], true),
    ] {
        let project = project();
        fs::remove_file(project.root().join("pnpm-workspace.yaml")).expect("removed");
        project.succeed(&REAL);
        project.write("pnpm-workspace.yaml", "gitBranchLockfile: true\n");
        git(&project, &["checkout", "--quiet", "-b", "side"]);
        project.succeed(&["add", "two"]);
        let of_both = ["pnpm-lock.side.yaml", "pnpm-lock.yaml"];
        assert_eq!(lockfiles(&project), of_both);
        git(&project, &["checkout", "--quiet", "-b", "main2"]);
        git(&project, &["symbolic-ref", "HEAD", "refs/heads/main"]);
        let settings = format!("gitBranchLockfile: true\n{settings}");
        project.write("pnpm-workspace.yaml", &settings);
        let install = if frozen { &FROZEN[..] } else { &REAL[..] };
        project.succeed(&[install, flags].concat());
        assert_eq!(lockfiles(&project), ["pnpm-lock.yaml"], "{settings}");
        let whole = fs::read_to_string(project.root().join("pnpm-lock.yaml")).expect("there");
        assert!(
            whole.contains("two@1.0.0") && whole.contains("one@1.0.0"),
            "{whole}"
        );
        assert!(project.node_modules().join("two/package.json").exists());
    }
}

#[test]
fn branches_that_the_pattern_does_not_mean_merge_nothing() {
    let project = project();
    let settings = "gitBranchLockfile: true\nmergeGitBranchLockfilesBranchPattern: [main]\n";
    project.write("pnpm-workspace.yaml", settings);
    git(&project, &["checkout", "--quiet", "-b", "side"]);
    project.succeed(&REAL);
    assert_eq!(lockfiles(&project), ["pnpm-lock.side.yaml"]);

    // One that cannot be read stays, and so does everything else.
    git(&project, &["symbolic-ref", "HEAD", "refs/heads/main"]);
    project.write("pnpm-lock.other.yaml", "lockfileVersion: [\n");
    let said = project.fail(&REAL);
    assert!(said.contains("ERR_PNPM_BROKEN_LOCKFILE"), "{said}");
    let both = ["pnpm-lock.other.yaml", "pnpm-lock.side.yaml"];
    assert_eq!(lockfiles(&project), both);
}
