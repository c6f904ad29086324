//! `store import`: packages of a lockfile out of a store of pnpm.

use std::fs;
use std::path::Path;

use pacquet_test_registry::Package;
use rusqlite::Connection;
use serde_json::json;
use sha2::{Digest as _, Sha512};

use crate::project::Project;

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend([0xda]);
    out.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
    out.extend(text.as_bytes());
}

/// Puts a package into the store as pnpm does: each file under its digest, and a row of records.
fn put(store: &Path, package: &Package, integrity: &str) {
    let id = format!("{}@{}", package.name(), package.version());
    let mut row = vec![0xd4, 0x72, 0x40, 0x92];
    text(&mut row, "algo");
    text(&mut row, "files");
    text(&mut row, "sha512");
    let manifest = json!({ "name": package.name(), "version": package.version() }).to_string();
    let mut files: Vec<_> = package.files().collect();
    files.push(("package.json", manifest.as_bytes(), 0o644));
    row.push(0x80 | u8::try_from(files.len()).unwrap());
    for (number, (path, content, mode)) in files.into_iter().enumerate() {
        let digest = Sha512::digest(content);
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let suffix = if mode & 0o111 == 0 { "" } else { "-exec" };
        let shard = store.join("files").join(&digest[..2]);
        fs::create_dir_all(&shard).unwrap();
        fs::write(shard.join(format!("{}{suffix}", &digest[2..])), content).unwrap();
        text(&mut row, path);
        if number == 0 {
            row.extend([0xd4, 0x72, 0x41, 0x92]);
            text(&mut row, "digest");
            text(&mut row, "mode");
        } else {
            row.push(0x41);
        }
        text(&mut row, &digest);
        row.push(0xcd);
        row.extend(u16::try_from(mode).unwrap().to_be_bytes());
    }
    let index = Connection::open(store.join("index.db")).unwrap();
    let table = "CREATE TABLE IF NOT EXISTS package_index (key TEXT PRIMARY KEY, data BLOB NOT \
                 NULL) WITHOUT ROWID";
    index.execute(table, []).unwrap();
    let key = format!("{integrity}\t{id}");
    let insert = "INSERT INTO package_index VALUES (?1, ?2)";
    index.execute(insert, (key, row)).unwrap();
}

fn packages() -> [Package; 3] {
    let one = Package::new("one", "1.0.0").executable("bin/x", "#!/bin/sh\n");
    let two = Package::new("two", "1.0.0").file("data", "second");
    [one, two, Package::new("three", "1.0.0")]
}

/// A project that is locked to three packages, of which pnpm's store has two.
fn project() -> Project {
    let manifest = json!({
        "name": "app",
        "dependencies": { "one": "1.0.0", "two": "1.0.0", "three": "1.0.0" },
    });
    let packages = packages();
    let project = Project::locked(&manifest, &packages);
    let store = project.path("pnpm/v11");
    fs::create_dir_all(&store).unwrap();
    for package in &packages[..2] {
        put(&store, package, &package.build().integrity);
    }
    project
}

fn import(project: &Project) -> serde_json::Value {
    let store = project.path("pnpm");
    let said = project.succeed(&["store", "import", store.to_str().unwrap(), "--json"]);
    serde_json::from_str(&said).unwrap()
}

#[test]
fn what_pnpm_has_is_not_fetched() {
    let project = project();
    let report = import(&project);
    assert_eq!(report["imported"], 2, "{report}");
    assert_eq!(report["missing"], json!(["three@1.0.0"]));
    assert!(project.registry.take_requests().is_empty());
    project.succeed(&["install", "--frozen-lockfile"]);
    let asked = project.registry.take_requests();
    let paths: Vec<_> = asked.iter().map(|request| &*request.path).collect();
    assert_eq!(paths, ["/three/-/three-1.0.0.tgz"]);
    let data = project.node_modules().join("two/data");
    assert_eq!(fs::read_to_string(data).unwrap(), "second");
    let program = fs::metadata(project.node_modules().join("one/bin/x")).unwrap();
    assert_ne!(std::os::unix::fs::MetadataExt::mode(&program) & 0o111, 0);
    project.succeed(&["store", "verify"]);
    let again = import(&project);
    assert_eq!(
        (&again["imported"], &again["known"]),
        (&json!(0), &json!(3))
    );
}

#[test]
fn what_is_damaged_there_or_says_that_it_is_another_package_is_not_taken() {
    let project = project();
    let files = project.path("pnpm/v11/files");
    let damage = |content: &str| {
        let digest = Sha512::digest(content);
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let path = files.join(&digest[..2]).join(&digest[2..]);
        assert!(path.exists());
        fs::write(path, "other").unwrap();
    };
    damage("second");
    let report = import(&project);
    assert_eq!(report["imported"], 1, "{report}");
    assert_eq!(report["missing"], json!(["three@1.0.0", "two@1.0.0"]));
    let stranger = Package::new("stranger", "1.0.0");
    let three = Package::new("three", "1.0.0").build().integrity;
    put(&project.path("pnpm/v11"), &stranger, &three);
    let index = Connection::open(project.path("pnpm/v11/index.db")).unwrap();
    let rename = "UPDATE package_index SET key = replace(key, 'stranger', 'three')";
    index.execute(rename, []).unwrap();
    drop(index);
    assert_eq!(import(&project)["imported"], 0);
    project.succeed(&["install", "--frozen-lockfile"]);
    let data = project.node_modules().join("two/data");
    assert_eq!(fs::read_to_string(data).unwrap(), "second");
}

#[test]
fn a_store_that_is_none_is_refused() {
    let project = project();
    let said = project.fail(&["store", "import", "nowhere"]);
    assert!(said.contains("ERR_PACQUET_NO_PNPM_STORE"), "{said}");
    fs::write(project.path("pnpm/v11/index.db"), "garbage").unwrap();
    let store = project.path("pnpm");
    let said = project.fail(&["store", "import", store.to_str().unwrap()]);
    assert!(said.contains("index.db"), "{said}");
    project.assert_store_is_empty("a store that is none");
}
