//! `patch`, `patch-commit`, `patch-remove`, `link` and `unlink`, with real files and in a mount.

use std::fs;
use std::path::Path;

use pacquet_test_registry::Package;
use serde_json::json;

use crate::project::{Project, can_mount};

const INDEX: &str = "exports.a = 1;\nexports.b = 2;\n";

fn project() -> Project {
    let manifest = json!({
        "name": "app", "version": "1.0.0",
        "dependencies": { "left": "1.0.0", "@s/right": "^1.0.0" }
    });
    let package = |name| {
        Package::new(name, "1.0.0")
            .file("index.js", INDEX)
            .file("old.txt", "old\n")
    };
    Project::locked(&manifest, &[package("left"), package("@s/right")])
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).expect("it can be read")
}

fn workspace_file(project: &Project) -> String {
    read(project.root().join("pnpm-workspace.yaml"))
}

/// Patches both packages, changes a patch, and takes the patches away again.
fn patch_and_take_back(project: &Project) {
    let edit = project.node_modules().join(".pnpm_patches/left@1.0.0");
    let said = project.succeed(&["patch", "left"]);
    let expected = format!(
        "Patch: You can now edit the package at:\n\n  {0}\n\nTo commit your changes, run:\n\n  \
         pacquet patch-commit '{0}'\n\n",
        edit.display()
    );
    assert_eq!(said, expected);
    let edit = edit.to_str().expect("UTF-8").to_owned();
    let nothing = project.succeed(&["patch-commit", &edit]);
    assert!(nothing.contains("No changes were found"), "{nothing}");
    fs::write(format!("{edit}/index.js"), INDEX.replace("2", "3")).expect("written");
    fs::write(format!("{edit}/new.txt"), "new\n").expect("written");
    fs::remove_file(format!("{edit}/old.txt")).expect("removed");
    project.succeed(&["patch-commit", &edit]);
    let patch = read(project.root().join("patches/left.patch"));
    let begin = "diff --git a/index.js b/index.js\nindex ";
    assert!(patch.starts_with(begin), "{patch}");
    for part in [
        "\n--- a/index.js\n+++ b/index.js\n@@ -1,2 +1,2 @@\n exports.a = 1;\n-exports.b = 2;\n",
        "\ndiff --git a/new.txt b/new.txt\nnew file mode 100644\nindex ",
        "\ndiff --git a/old.txt b/old.txt\ndeleted file mode 100644\nindex ",
    ] {
        assert!(patch.contains(part), "{part}\n{patch}");
    }
    let settings = "patchedDependencies:\n  left: patches/left.patch\n";
    assert_eq!(workspace_file(project), settings);
    let left = project.node_modules().join("left");
    assert_eq!(read(left.join("index.js")), INDEX.replace("2", "3"));
    assert_eq!(read(left.join("new.txt")), "new\n");
    assert!(!left.join("old.txt").exists());

    let elsewhere = project.path("elsewhere");
    let elsewhere = elsewhere.to_str().expect("UTF-8");
    project.succeed(&["patch", "@s/right@1.0.0", "--edit-dir", elsewhere]);
    fs::write(format!("{elsewhere}/index.js"), "changed\n").expect("written");
    project.succeed(&["patch-commit", elsewhere, "--patches-dir", "./a/../changes"]);
    let settings = "patchedDependencies:\n  '@s/right@1.0.0': changes/@s__right@1.0.0.patch\n  \
                    left: patches/left.patch\n";
    assert_eq!(workspace_file(project), settings);
    let right = project.node_modules().join("@s/right/index.js");
    assert_eq!(read(&right), "changed\n");

    fs::remove_dir_all(&edit).expect("removed");
    project.succeed(&["patch", "left"]);
    assert_eq!(read(format!("{edit}/new.txt")), "new\n");
    fs::remove_dir_all(&edit).expect("removed");
    project.succeed(&["patch", "left", "--ignore-existing"]);
    assert!(!Path::new(&edit).join("new.txt").exists());

    let outside = project.fail(&["patch-remove", "@s/right@1.0.0"]);
    assert!(
        outside.contains("ERR_PNPM_PATCH_FILE_OUTSIDE_PATCHES_DIR"),
        "{outside}"
    );
    project.succeed(&["patch-remove", "left"]);
    assert!(!project.root().join("patches").exists());
    assert_eq!(read(left.join("index.js")), INDEX);
    assert!(left.join("old.txt").exists());
    assert_eq!(read(&right), "changed\n");
}

#[test]
fn packages_are_patched_in_real_files() {
    let project = project();
    project.succeed(&["install", "--no-virtual"]);
    patch_and_take_back(&project);
}

#[test]
fn packages_are_patched_in_a_mount() {
    if !can_mount("packages_are_patched_in_a_mount") {
        return;
    }
    let project = project();
    project.install();
    patch_and_take_back(&project);
    assert!(project.is_mounted());
}

#[test]
fn what_cannot_be_patched_is_told() {
    let project = project();
    for (words, code) in [
        (&["patch", "left"][..], "ERR_PNPM_PATCH_NO_LOCKFILE"),
        (&["patch"], "ERR_PNPM_MISSING_PACKAGE_NAME"),
        (&["patch-remove"], "ERR_PNPM_NO_PATCHES_TO_REMOVE"),
        (&["patch-remove", "left"], "ERR_PNPM_PATCH_NOT_FOUND"),
        (&["patch-commit", "nowhere"], "ERR_PNPM_INVALID_PATCH_DIR"),
    ] {
        let said = project.fail(words);
        assert!(said.contains(code), "{words:?}: {said}");
    }
    project.succeed(&["install", "--no-virtual"]);
    project.write("full/file", "");
    for (words, code) in [
        (&["patch", "nobody"][..], "ERR_PNPM_PATCH_VERSION_NOT_FOUND"),
        (&["patch", "left@2"], "currently installed version: 1.0.0."),
        (
            &["patch", "left", "-d", "full"],
            "ERR_PNPM_PATCH_EDIT_DIR_EXISTS",
        ),
    ] {
        let said = project.fail(words);
        assert!(said.contains(code), "{words:?}: {said}");
    }
}

/// Links two directories and takes the links away again.
fn link_and_unlink(project: &Project) {
    fs::create_dir_all(project.path("lib")).expect("made");
    let lib = |name: &str| {
        let text = json!({ "name": name, "version": "9.0.0" }).to_string();
        fs::write(project.path("lib").join("package.json"), text).expect("written");
    };
    let manifest = read(project.root().join("package.json"));
    lib("left");
    project.succeed(&["link", "../lib"]);
    assert_eq!(workspace_file(project), "overrides:\n  left: link:../lib\n");
    assert_eq!(read(project.root().join("package.json")), manifest);
    let left = project.node_modules().join("left");
    assert_eq!(
        fs::read_link(&left).expect("a link"),
        Path::new("../../lib")
    );
    assert!(read(left.join("package.json")).contains("9.0.0"));
    project.succeed(&["unlink", "somebody"]);
    assert!(fs::read_link(&left).is_ok_and(|to| to == Path::new("../../lib")));
    project.succeed(&["unlink", "left"]);
    assert!(!project.root().join("pnpm-workspace.yaml").exists());
    assert_eq!(read(left.join("index.js")), INDEX);

    lib("fresh");
    project.succeed(&["link", project.path("lib").to_str().expect("UTF-8")]);
    let with_link = read(project.root().join("package.json"));
    assert!(
        with_link.contains("\"fresh\":\"link:../lib\""),
        "{with_link}"
    );
    let lockfile = read(project.root().join("pnpm-lock.yaml"));
    assert!(
        lockfile.contains("overrides:\n  fresh: link:../lib\n"),
        "{lockfile}"
    );
    project.succeed(&["unlink"]);
    let without = read(project.root().join("package.json"));
    assert!(!without.contains("fresh"), "{without}");
    assert!(fs::symlink_metadata(project.node_modules().join("fresh")).is_err());
    assert_eq!(project.succeed(&["unlink"]), "Nothing to unlink\n");
}

#[test]
fn directories_are_linked_in_real_files() {
    let project = project();
    project.succeed(&["install", "--no-virtual"]);
    link_and_unlink(&project);
}

#[test]
fn directories_are_linked_in_a_mount() {
    if !can_mount("directories_are_linked_in_a_mount") {
        return;
    }
    let project = project();
    project.install();
    link_and_unlink(&project);
    assert!(project.is_mounted());
}

#[test]
fn what_cannot_be_linked_changes_nothing() {
    let project = project();
    let before = read(project.root().join("package.json"));
    for words in [&["link"][..], &["link", "lib"], &["link", "./nowhere"]] {
        let said = project.fail(words);
        assert!(
            said.contains("ERR_PNPM_LINK_BAD_PARAMS"),
            "{words:?}: {said}"
        );
    }
    assert_eq!(read(project.root().join("package.json")), before);
    assert!(!project.root().join("pnpm-workspace.yaml").exists());
}
