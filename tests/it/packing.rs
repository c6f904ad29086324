//! `pack`: what is in the archive of a project, and where it is written.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;

use serde_json::{Value, json};

use crate::project::Project;

const MANIFEST: &str = r#"{
  "name": "@x/one", "version": "1.2.3", "main": "src.js", "bin": "cli.js", "files": ["lib"],
  "scripts": { "prepack": "echo made > lib/made.js", "postpack": "touch after", "test": "true" },
  "bundleDependencies": ["carried", "linked"],
  "dependencies": { "two": "workspace:^", "three": "catalog:" },
  "publishConfig": { "main": "lib/index.js", "executableFiles": ["lib/run.js"] }
}"#;

fn workspace() -> Project {
    let settings = "catalog:\n  three: ^3.0.0\n";
    let two = r#"{"name":"two","version":"2.0.0"}"#;
    let project = Project::workspace(&[], settings, &[("one", MANIFEST), ("two", two)]);
    project.write("LICENSE", "free");
    for (path, text) in [
        ("cli.js", "#!/usr/bin/env node\n"),
        ("src.js", ""),
        ("lib/index.js", ""),
        ("lib/run.js", ""),
        ("lib/.DS_Store", ""),
        ("readme.md", ""),
        ("secret.js", ""),
        (
            "node_modules/carried/package.json",
            r#"{"dependencies":{"deep":"1"}}"#,
        ),
        ("node_modules/deep/index.js", ""),
        ("node_modules/other/index.js", ""),
    ] {
        project.write(&format!("packages/one/{path}"), text);
    }
    let modules = project.root().join("packages/one/node_modules");
    std::os::unix::fs::symlink("deep", modules.join("linked")).unwrap();
    project
}

fn pack(project: &Project, name: &str, words: &[&str]) -> String {
    let directory = project.root().join("packages").join(name);
    let directory = directory.to_string_lossy().into_owned();
    project.succeed(&[&["-C", &directory, "pack"], words].concat())
}

/// What is in an archive: content and mode of each file.
fn unpacked(path: &Path) -> BTreeMap<String, (String, u32)> {
    let bytes = fs::read(path).unwrap();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(&*bytes));
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_string_lossy().into_owned();
        let mode = entry.header().mode().unwrap();
        assert_eq!(entry.header().mtime().unwrap(), 499_162_500, "{path}");
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        (path, (text, mode))
    });
    entries.collect()
}

#[test]
fn an_archive_has_what_is_published_and_nothing_else() {
    let project = workspace();
    let said = pack(&project, "one", &[]);
    let root = project.root().join("packages/one");
    let files = unpacked(&root.join("x-one-1.2.3.tgz"));
    let names: Vec<&str> = files.keys().map(|path| &path["package/".len()..]).collect();
    let expected = [
        "LICENSE",
        "cli.js",
        "lib/index.js",
        "lib/made.js",
        "lib/run.js",
        "node_modules/carried/package.json",
        "node_modules/deep/index.js",
        "package.json",
        "readme.md",
        "src.js",
    ];
    assert_eq!(names, expected);
    for (path, mode) in [("cli.js", 0o755), ("lib/run.js", 0o755), ("src.js", 0o644)] {
        assert_eq!(files[&format!("package/{path}")].1, mode, "{path}");
    }
    let manifest: Value = serde_json::from_str(&files["package/package.json"].0).unwrap();
    let dependencies = json!({ "two": "^2.0.0", "three": "^3.0.0" });
    assert_eq!(manifest["dependencies"], dependencies);
    assert_eq!(manifest["main"], "lib/index.js");
    assert_eq!(manifest["scripts"], json!({ "test": "true" }));
    assert!(root.join("after").exists());
    assert!(
        said.starts_with("package: @x/one@1.2.3\nTarball Contents\ncli.js\n"),
        "{said}"
    );
    assert!(
        said.ends_with("Tarball Details\nx-one-1.2.3.tgz\n"),
        "{said}"
    );
}

#[test]
fn the_same_files_give_the_same_archive() {
    let project = workspace();
    let once = |name: &str| {
        pack(&project, "one", &["--ignore-scripts", "--out", name]);
        fs::read(project.root().join("packages/one").join(name)).unwrap()
    };
    assert_eq!(once("first.tgz"), once("second.tgz"));
}

#[test]
fn nothing_is_written_where_that_is_not_wanted() {
    let project = workspace();
    let said = pack(&project, "one", &["--dry-run", "--json"]);
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["filename"], "x-one-1.2.3.tgz");
    assert_eq!(said["integrity"], Value::Null);
    assert_eq!(said["files"][0], json!({ "path": "cli.js" }));
    let root = project.root().join("packages/one");
    assert!(!root.join("x-one-1.2.3.tgz").exists() && !root.join("after").exists());
}

#[test]
fn archives_go_where_they_are_wanted() {
    let project = workspace();
    let said = pack(&project, "two", &["--pack-destination", "out", "--json"]);
    let said: Value = serde_json::from_str(&said).unwrap();
    let path = project.root().join("packages/two/out/two-2.0.0.tgz");
    assert_eq!(said["filename"], path.to_string_lossy().as_ref());
    assert_eq!(said["size"], fs::metadata(&path).unwrap().len());
    pack(&project, "two", &["--out", "a/%s_%v.tgz"]);
    assert!(project.root().join("packages/two/a/two_2.0.0.tgz").exists());
    // The root, which has no name, is passed over; those that are depended on come first.
    let said = project.succeed(&["-r", "pack", "--json", "--ignore-scripts"]);
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(
        (&said[0]["name"], &said[1]["name"]),
        (&json!("two"), &json!("@x/one"))
    );
    assert!(project.root().join("x-one-1.2.3.tgz").exists());
}

#[test]
fn what_is_no_package_is_refused() {
    for (manifest, code) in [
        (r#"{"version":"1.0.0"}"#, "ERR_PNPM_PACKAGE_NAME_NOT_FOUND"),
        (r#"{"name":"one"}"#, "ERR_PNPM_PACKAGE_VERSION_NOT_FOUND"),
        (
            r#"{"name":"../one","version":"1.0.0"}"#,
            "ERR_PNPM_INVALID_PACKAGE_NAME",
        ),
        (
            r#"{"name":"one","version":"../x"}"#,
            "ERR_PNPM_INVALID_PACKAGE_VERSION",
        ),
        (
            r#"{"name":"one","version":"1.0.0","dependencies":{"q":"workspace:*"}}"#,
            "ERR_PNPM_CANNOT_RESOLVE_WORKSPACE_PROTOCOL",
        ),
        (
            r#"{"name":"one","version":"1.0.0","scripts":{"prepare":"exit 3"}}"#,
            "ERR_PNPM_EXECUTOR_LIFECYCLE_SCRIPT_FAILED",
        ),
    ] {
        let project = Project::new();
        project.write("package.json", manifest);
        let said = project.fail(&["pack"]);
        assert!(said.contains(code), "{manifest}: {said}");
        let entries = fs::read_dir(project.root()).unwrap().flatten();
        let mut names = entries.map(|entry| entry.file_name());
        assert!(!names.any(|name| name.to_string_lossy().ends_with(".tgz")));
    }
    let project = Project::new();
    project.write("package.json", MANIFEST);
    let said = project.fail(&["pack", "--out", "a", "--pack-destination", "b"]);
    assert!(said.contains("ERR_PNPM_INVALID_OPTION"), "{said}");
}
