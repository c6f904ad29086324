//! Copies of projects that are renewed after scripts (`syncInjectedDepsAfterScripts`).

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use crate::project::{Project, can_mount, tree};

/// `a` has a copy of `b`, which comes up to date after `build`.
fn workspace() -> Project {
    let copied = r#"{ "dependencies": { "b": "workspace:*" },
        "dependenciesMeta": { "b": { "injected": true } } }"#;
    let scripts = r#"{ "name": "b", "version": "1.0.0", "files": ["dist", "tool"], "scripts": {
        "build": "sh build.sh",
        "other": "echo other > dist/other.js",
        "broken": "echo broken > dist/broken.js; exit 3" } }"#;
    let settings = "dedupeInjectedDeps: false\n\
                    syncInjectedDepsAfterScripts: [build, broken]\n\
                    verifyDepsBeforeRun: false\n";
    let project = Project::workspace(&[], settings, &[("a", copied), ("b", scripts)]);
    project.write("packages/b/dist/old.js", "old");
    project.write("packages/b/tool", "tool");
    project.write("packages/b/source.js", "source");
    project.write(
        "packages/b/build.sh",
        "mkdir -p dist/deep && echo built > dist/deep/x.js && rm -f dist/old.js && chmod 755 tool",
    );
    project
}

fn renews(mode: &str, linker: &str) {
    let project = workspace();
    project.succeed(&["install", mode, "--node-linker", linker]);
    let copy = match linker {
        "hoisted" => "node_modules/b",
        _ => "node_modules/.pnpm/b@file+packages+b/node_modules/b",
    };
    let copy = project.root().join(copy);
    let files = || -> Vec<String> { tree(&copy).into_keys().collect() };
    let before = ["dist", "dist/old.js", "package.json", "tool"];
    assert_eq!(files(), before, "{linker}");

    for (script, flags) in [("other", &["run"][..]), ("broken", &["run"])] {
        project.run(&[&["--filter", "b"], flags, &[script]].concat());
        assert_eq!(files(), before, "{script}");
    }
    project.succeed(&["--filter", "b", "run", "build"]);
    let after = [
        "dist",
        "dist/broken.js",
        "dist/deep",
        "dist/deep/x.js",
        "dist/other.js",
        "package.json",
        "tool",
    ];
    assert_eq!(files(), after, "{linker}");
    let read = |path: &str| fs::read_to_string(copy.join(path)).expect("there");
    assert_eq!(read("dist/deep/x.js"), "built\n");
    let tool = fs::metadata(copy.join("tool")).expect("there");
    assert_eq!(tool.permissions().mode() & 0o777, 0o755);
    let own = fs::metadata(project.root().join("packages/b/tool")).expect("there");
    assert_ne!(own.ino(), tool.ino(), "a copy is no link");
    project.succeed(&["install", mode, "--node-linker", linker]);
    assert_eq!(files(), after, "{linker}");
}

#[test]
fn copies_follow_their_project_after_the_scripts_that_are_named() {
    for linker in ["isolated", "hoisted"] {
        renews("--no-virtual", linker);
    }
    if can_mount("copies") {
        renews("--virtual", "isolated");
    }
}

/// What a lockfile or a state file says of places is no way out of the project, and what is linked
/// is the project itself.
#[test]
fn nothing_but_copies_is_written_to() {
    let project = workspace();
    project.succeed(&["install", "--no-virtual"]);
    let outside = project.root().join("outside");
    fs::create_dir_all(outside.join("b")).expect("made");
    fs::write(outside.join("b/mine.js"), "mine").expect("written");
    let state = project.node_modules().join(".modules.yaml");
    let text = fs::read_to_string(&state).expect("there");
    for place in [
        "../outside/b",
        "/tmp",
        "node_modules/link",
        "node_modules/none",
        "",
    ] {
        let link = project.node_modules().join("link");
        if !link.is_symlink() {
            std::os::unix::fs::symlink("../packages/b", link).expect("linked");
        }
        let real = "node_modules/.pnpm/b@file+packages+b/node_modules/b";
        fs::write(&state, text.replace(real, place)).expect("written");
        project.succeed(&["--filter", "b", "run", "build"]);
        assert!(
            project.root().join("packages/b/source.js").exists(),
            "{place}"
        );
        assert!(outside.join("b/mine.js").exists(), "{place}");
    }
    for text in [
        "",
        "[]",
        r#"{"injectedDeps":[]}"#,
        r#"{"injectedDeps":{"packages/b":[1]}}"#,
    ] {
        fs::write(&state, text).expect("written");
        project.succeed(&["--filter", "b", "run", "build"]);
    }
}
