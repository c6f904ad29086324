//! Damage to the store, and stores in odd places, seen from outside: what a mount makes of it,
//! and that the next install mends it.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use pacquet::fs::control::RunDirectory;
use pacquet::fs::mountinfo;
use pacquet_test_registry::Package;
use pacquet_test_registry::generate::Random;
use serde_json::json;

use crate::project::{Project, can_mount};

const TARBALL: &str = "/deep/-/deep-1.0.0.tgz";
const CONTENT: &str = "module.exports = 'deep content';\n";

fn project() -> Project {
    let manifest = json!({ "name": "app", "dependencies": { "left": "1.0.0", "deep": "1.0.0" } });
    let packages = [
        Package::new("left", "1.0.0").file("index.js", "module.exports = 'left';\n"),
        Package::new("deep", "1.0.0").file("index.js", CONTENT),
    ];
    Project::locked(&manifest, &packages)
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let entries = walkdir::WalkDir::new(directory).into_iter().flatten();
    entries
        .filter(|entry| entry.file_type().is_file())
        .map(|entry| entry.into_path())
        .collect()
}

/// The pack of the package `deep`.
fn pack(project: &Project) -> PathBuf {
    let packs = files_below(&project.store().join("packs"));
    let has_content = |path: &PathBuf| {
        let bytes = fs::read(path).unwrap();
        bytes
            .windows(CONTENT.len())
            .any(|window| window == CONTENT.as_bytes())
    };
    packs.into_iter().find(has_content).unwrap()
}

fn flip_content(pack: &Path) {
    let bytes = fs::read(pack).unwrap();
    let at = bytes
        .windows(4)
        .position(|window| window == b"deep")
        .unwrap();
    fs::set_permissions(pack, PermissionsExt::from_mode(0o644)).unwrap();
    let file = fs::OpenOptions::new().write(true).open(pack).unwrap();
    file.write_all_at(b"evil", at as u64).unwrap();
    drop(file);
    fs::set_permissions(pack, PermissionsExt::from_mode(0o444)).unwrap();
}

fn replace(pack: &Path, bytes: &[u8]) {
    fs::remove_file(pack).unwrap();
    fs::write(pack, bytes).unwrap();
}

type Damage = (&'static str, fn(&Path));

/// What can happen to a pack so that it can no longer be opened.
fn damages() -> Vec<Damage> {
    vec![
        ("deleted", |pack| fs::remove_file(pack).unwrap()),
        ("emptied", |pack| replace(pack, b"")),
        ("cut", |pack| {
            let bytes = fs::read(pack).unwrap();
            replace(pack, &bytes[..bytes.len() / 2]);
        }),
        ("garbage", |pack| replace(pack, &[0xa5; 5000])),
        ("symlink", |pack| {
            fs::rename(pack, pack.with_extension("away")).unwrap();
            symlink(pack.with_extension("away"), pack).unwrap();
        }),
        ("directory", |pack| {
            fs::remove_file(pack).unwrap();
            fs::create_dir(pack).unwrap();
        }),
        ("fifo", |pack| {
            fs::remove_file(pack).unwrap();
            assert!(Command::new("mkfifo").arg(pack).status().unwrap().success());
        }),
    ]
}

#[test]
fn a_pack_that_cannot_be_read_fails_only_its_files_and_the_next_install_mends_it() {
    if !can_mount("a_pack_that_cannot_be_read_fails_only_its_files_and_the_next_install_mends_it") {
        return;
    }
    for (what, damage) in damages() {
        let project = project();
        // Nothing shall be read before it is damaged.
        project.write("pnpm-workspace.yaml", "mountProfile: false\n");
        project.install();
        damage(&pack(&project));
        let read = |name: &str| fs::read_to_string(project.node_modules().join(name));
        let error = read("deep/index.js").unwrap_err();
        let codes = [Some(libc::EIO), Some(libc::ENOENT)];
        assert!(codes.contains(&error.raw_os_error()), "{what}: {error}");
        assert!(read("left/index.js").is_ok(), "{what}");
        let status = project.status();
        assert_eq!(status["health"], "damaged", "{what}: {status}");
        assert_eq!(
            status["unreadable_packs"].as_array().unwrap().len(),
            1,
            "{what}: {status}"
        );
        let text = project.succeed(&["status"]);
        assert!(
            text.contains("cannot be read") && text.contains("hint:"),
            "{what}: {text}"
        );
        project.registry.take_requests();
        project.install();
        assert_eq!(project.registry.requests_for(TARBALL).len(), 1, "{what}");
        assert_eq!(read("deep/index.js").unwrap(), CONTENT, "{what}");
        assert_eq!(project.status()["health"], "healthy", "{what}");
        project.succeed(&["store", "verify"]);
    }
}

#[test]
fn a_store_that_was_removed_under_a_mount_is_filled_again_by_the_next_install() {
    let name = "a_store_that_was_removed_under_a_mount_is_filled_again_by_the_next_install";
    if !can_mount(name) {
        return;
    }
    let project = project();
    // Nothing shall be read before the store goes, so that no server misses it.
    project.write("pnpm-workspace.yaml", "mountProfile: false\n");
    project.install();
    project.install();
    fs::remove_dir_all(project.store()).unwrap();
    project.registry.take_requests();
    project.install();
    assert_eq!(project.registry.requests_for(TARBALL).len(), 1);
    let read = fs::read_to_string(project.node_modules().join("deep/index.js"));
    assert_eq!(read.unwrap(), CONTENT);
    assert_eq!(project.status()["health"], "healthy");
}

#[test]
fn a_changed_byte_is_eio_where_reads_are_verified() {
    if !can_mount("a_changed_byte_is_eio_where_reads_are_verified") {
        return;
    }
    let project = project();
    project.install();
    project.unmount();
    flip_content(&pack(&project));
    let read = |name: &str| fs::read_to_string(project.node_modules().join(name));
    project.succeed(&["mount"]);
    assert_ne!(
        read("deep/index.js").unwrap(),
        CONTENT,
        "unverified reads trust the pack"
    );
    let said = project.succeed(&["mount", "--verify-reads", "--reporter", "ndjson"]);
    assert!(said.contains("ERR_PACQUET_SERVED_ALREADY"), "{said}");
    project.unmount();
    project.succeed(&["mount", "--verify-reads"]);
    for _ in 0..2 {
        let error = read("deep/index.js").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EIO), "{error}");
        assert!(read("left/index.js").is_ok());
    }
    let text = project.succeed(&["status"]);
    assert!(
        text.contains("index.js") && text.contains("store verify"),
        "{text}"
    );
    // The server of a program that takes over verifies too.
    let before = project.status()["server_pid"].clone();
    project.succeed(&["upgrade-server"]);
    assert_ne!(project.status()["server_pid"], before);
    let error = read("deep/index.js").unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EIO), "{error}");
    project.unmount();
    project.fail(&["store", "verify"]);
    let install = [
        "install",
        "--virtual",
        "--verify-reads",
        "--frozen-lockfile",
        "--ignore-scripts",
    ];
    project.succeed(&install);
    assert_eq!(read("deep/index.js").unwrap(), CONTENT);
    project.unmount();
}

#[test]
fn what_verify_finds_is_fetched_again_by_the_next_install() {
    if !can_mount("what_verify_finds_is_fetched_again_by_the_next_install") {
        return;
    }
    let mut all = damages();
    all.push(("flipped", flip_content));
    for (what, damage) in all {
        let project = project();
        project.install();
        project.unmount();
        damage(&pack(&project));
        project.registry.take_requests();
        let said = project.fail(&["store", "verify"]);
        assert!(said.contains("ERR_PACQUET_STORE_DAMAGED"), "{what}: {said}");
        project.install();
        assert_eq!(project.registry.take_requests().len(), 1, "{what}");
        let content = fs::read_to_string(project.node_modules().join("deep/index.js"));
        assert_eq!(content.unwrap(), CONTENT, "{what}");
        project.succeed(&["store", "verify"]);
        project.unmount();
    }
}

#[test]
fn a_rebuilt_index_leaves_out_what_is_damaged_and_the_install_fetches_it() {
    if !can_mount("a_rebuilt_index_leaves_out_what_is_damaged_and_the_install_fetches_it") {
        return;
    }
    let project = project();
    project.install();
    project.unmount();
    flip_content(&pack(&project));
    project.registry.take_requests();
    let said = project.succeed(&["store", "rebuild-index"]);
    assert!(
        said.contains("1 packages") && said.contains("damaged"),
        "{said}"
    );
    project.install();
    assert_eq!(project.registry.take_requests().len(), 1);
    project.succeed(&["store", "verify"]);
}

#[test]
fn a_damaged_index_is_moved_aside_and_made_again_without_the_network() {
    if !can_mount("a_damaged_index_is_moved_aside_and_made_again_without_the_network") {
        return;
    }
    let cut = |index: &Path, keep: fn(usize) -> usize| {
        let bytes = fs::read(index).unwrap();
        fs::write(index, &bytes[..keep(bytes.len())]).unwrap();
    };
    let project = project();
    project.install();
    project.registry.take_requests();
    let index = project.store().join("index.db");
    let log = project.store().join("index.db-wal");
    for what in ["garbage", "cut", "header", "gone"] {
        let _ = fs::remove_file(&log);
        match what {
            "garbage" => fs::write(&index, vec![0x5a; 20_000]).unwrap(),
            "cut" => cut(&index, |length| length / 2),
            "header" => cut(&index, |_| 60),
            _ => fs::remove_file(&index).unwrap(),
        }
        // The server has no use for the index.
        let content = fs::read_to_string(project.node_modules().join("deep/index.js"));
        assert_eq!(content.unwrap(), CONTENT, "{what}");
        fs::remove_dir_all(project.path("cache")).unwrap();
        if what == "gone" {
            project.succeed(&["store", "rebuild-index"]);
        }
        project.install();
        assert_eq!(project.packages_in_store(), 2, "{what}");
        project.succeed(&["store", "verify"]);
        let aside = project.store().join("index.db.damaged");
        assert_eq!(aside.exists(), what != "gone", "{what}");
        let _ = fs::remove_file(aside);
    }
    assert!(project.registry.take_requests().is_empty());
}

#[test]
fn stores_of_other_versions_are_refused_and_unknown_features_allow_reading() {
    if !can_mount("stores_of_other_versions_are_refused_and_unknown_features_allow_reading") {
        return;
    }
    let project = project();
    project.install();
    project.unmount();
    let meta = project.store().join("meta.json");
    let text = fs::read_to_string(&meta).unwrap();
    let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
    value["readOnlyCompatible"] = json!(["news"]);
    fs::write(&meta, value.to_string()).unwrap();
    project.install();
    project.unmount();
    project.write("pnpm-lock.yaml", &lock_of_other(&project));
    let said = project.refuse();
    assert!(said.contains("ERR_PNPM_FROZEN_STORE_WRITE"), "{said}");
    value["incompatible"] = json!(["news"]);
    let newer = text.replace("\"version\": 1", "\"version\": 99");
    assert_ne!(newer, text);
    for content in [value.to_string(), newer, "{}".to_owned(), "{".to_owned()] {
        fs::write(&meta, &content).unwrap();
        let said = project.refuse();
        assert!(
            said.contains("ERR_PACQUET_STORE_INCOMPATIBLE"),
            "{content}: {said}"
        );
        assert_eq!(fs::read_to_string(&meta).unwrap(), content);
    }
    fs::remove_file(&meta).unwrap();
    assert!(project.refuse().contains("ERR_PACQUET_STORE_INCOMPATIBLE"));
    assert!(!meta.exists());
}

/// A lockfile of a package that the store does not have, and the manifest to it.
fn lock_of_other(project: &Project) -> String {
    let manifest = json!({ "name": "app", "dependencies": { "other": "1.0.0" } });
    let other = Package::new("other", "1.0.0").file("index.js", "2");
    project.registry.publish(&other);
    project.write("package.json", &manifest.to_string());
    pacquet_test_registry::lockfile::write(&manifest, &[other]).unwrap()
}

#[test]
fn an_index_of_a_newer_version_is_refused_and_kept() {
    let project = project();
    project.run(&["install", "--virtual", "--ignore-scripts"]);
    if project.is_mounted() {
        project.unmount();
    }
    let index = project.store().join("index.db");
    let _ = fs::remove_file(project.store().join("index.db-wal"));
    let mut bytes = fs::read(&index).unwrap();
    bytes[60..64].copy_from_slice(&[0, 0, 0, 99]);
    fs::write(&index, &bytes).unwrap();
    let said = project.refuse();
    assert!(said.contains("ERR_PACQUET_STORE_INCOMPATIBLE"), "{said}");
    assert_eq!(fs::read(&index).unwrap(), bytes);
}

#[test]
fn a_saved_layer_that_is_damaged_is_made_again_silently() {
    if !can_mount("a_saved_layer_that_is_damaged_is_made_again_silently") {
        return;
    }
    let project = project();
    project.install();
    let tree = project.tree();
    project.unmount();
    project.registry.take_requests();
    let layers = files_below(&project.path("cache/layers"));
    let layer = layers
        .iter()
        .find(|path| path.extension().is_some_and(|ext| ext == "layer"));
    let layer = layer.unwrap();
    let whole = fs::read(layer).unwrap();
    let mut random = Random::new(5);
    let mut damaged = vec![
        Vec::new(),
        vec![0; whole.len()],
        whole[..whole.len() / 2].to_vec(),
    ];
    for _ in 0..6 {
        let mut bytes = whole.clone();
        let at = random.below(bytes.len());
        bytes[at] ^= 1 + u8::try_from(random.below(255)).unwrap();
        damaged.push(bytes);
    }
    for (number, bytes) in damaged.into_iter().enumerate() {
        fs::write(layer, bytes).unwrap();
        let said = project.run(&["install", "--virtual", "--ignore-scripts"]);
        assert!(said.status.success(), "{number}");
        let said = String::from_utf8_lossy(&said.stderr).into_owned();
        assert!(!said.contains("ERR_"), "{number}: {said}");
        assert_eq!(
            fs::read_to_string(project.node_modules().join("deep/index.js")).unwrap(),
            CONTENT
        );
        project.unmount();
    }
    project.install();
    let without_times = |mut tree: std::collections::BTreeMap<String, String>| {
        tree.retain(|path, _| !path.starts_with(".modules") && !path.starts_with(".pnpm-w"));
        tree
    };
    assert_eq!(without_times(project.tree()), without_times(tree));
    assert!(project.registry.take_requests().is_empty());
}

#[test]
fn what_does_not_belong_to_the_store_is_told_and_left_alone() {
    if !can_mount("what_does_not_belong_to_the_store_is_told_and_left_alone") {
        return;
    }
    let project = project();
    project.install();
    let outside = project.path("outside");
    fs::write(&outside, "precious").unwrap();
    symlink(&outside, project.store().join("packs/link")).unwrap();
    symlink("/", project.store().join("tmp/root")).unwrap();
    fs::write(project.store().join("tmp/left-by-a-killed-install"), "x").unwrap();
    let said = project.succeed(&["store", "verify"]);
    assert!(
        said.contains("foreign-file") && said.contains("packs/link"),
        "{said}"
    );
    let status = project.succeed(&["store", "status"]);
    assert!(status.contains("1 temporary file"), "{status}");
    project.install();
    project.unmount();
    assert!(
        project
            .store()
            .join("tmp/left-by-a-killed-install")
            .exists(),
        "it is not a day old"
    );
    assert_eq!(fs::read_to_string(outside).unwrap(), "precious");
}

#[test]
fn two_installers_share_a_fresh_store() {
    if !can_mount("two_installers_share_a_fresh_store") {
        return;
    }
    let generated = pacquet_test_registry::generate::project(77, 40, 3);
    let projects: [Project; 2] = std::array::from_fn(|_| {
        let project = Project::new();
        generated.publish(&project.registry);
        generated.write(&project.root(), &project.registry).unwrap();
        project
    });
    let store = projects[0].store();
    let start = |project: &Project| {
        let mut command = project.command(&[
            "install",
            "--virtual",
            "--frozen-lockfile",
            "--ignore-scripts",
        ]);
        command.env("PACQUET_STORE_DIR", &store);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let children = [start(&projects[0]), start(&projects[1])];
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let index = |project: &Project| fs::read(project.node_modules().join("package-0/package.json"));
    let contents = projects.each_ref().map(|project| index(project).ok());
    assert_eq!(contents[0], contents[1]);
    projects[0].succeed(&["store", "verify"]);
    projects[0].assert_no_temporary_files("two installers");
}

#[test]
fn real_files_are_not_taken_away_while_somebody_else_mounts() {
    if !can_mount("real_files_are_not_taken_away_while_somebody_else_mounts") {
        return;
    }
    let project = project();
    project.succeed(&["install", "--no-virtual", "--ignore-scripts"]);
    project.succeed(&["install", "--virtual", "--ignore-scripts"]);
    project.succeed(&["unmount"]);
    project.succeed(&["install", "--no-virtual", "--ignore-scripts"]);
    let run = RunDirectory::at(&project.path("run/pacquet")).unwrap();
    let modules = fs::canonicalize(project.node_modules()).unwrap();
    let lock = run.lock(&modules).unwrap();
    let mut command = project.command(&["install", "--virtual", "--ignore-scripts"]);
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped());
    let child = child.spawn().unwrap();
    // Long enough to take them away if it did not wait; too short is no failure.
    std::thread::sleep(Duration::from_millis(500));
    assert!(modules.join("deep/index.js").exists());
    assert!(mountinfo::find(&modules).unwrap().is_none());
    drop(lock);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(mountinfo::find(&modules).unwrap().is_some());
    let content = fs::read_to_string(modules.join("deep/index.js"));
    assert_eq!(content.unwrap(), CONTENT);
}

#[test]
fn two_installers_of_one_project_leave_one_mount() {
    if !can_mount("two_installers_of_one_project_leave_one_mount") {
        return;
    }
    let project = project();
    let start = || {
        let mut command = project.command(&["install", "--virtual", "--ignore-scripts"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    for child in [start(), start(), start()] {
        let output = child.wait_with_output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let modules = project.node_modules();
    assert_eq!(
        table.matches(&format!(" {} ", modules.display())).count(),
        1,
        "{table}"
    );
    assert_eq!(
        fs::read_to_string(modules.join("deep/index.js")).unwrap(),
        CONTENT
    );
    project.succeed(&["store", "verify"]);
    project.unmount();
    assert!(!project.is_mounted());
}

#[test]
fn a_store_of_another_user_is_named_with_a_hint() {
    if !can_mount("a_store_of_another_user_is_named_with_a_hint") {
        return;
    }
    let project = project();
    fs::create_dir(project.store()).unwrap();
    fs::set_permissions(project.store(), PermissionsExt::from_mode(0o700)).unwrap();
    for directory in [project.path(""), project.root(), project.path("home")] {
        fs::set_permissions(directory, PermissionsExt::from_mode(0o755)).unwrap();
    }
    let another = ["--reuid=65534", "--regid=65534", "--clear-groups", "--"];
    let mut command = project.command_through("setpriv", &another);
    command.args(["store", "status"]);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("setpriv") {
        eprintln!("skipped: a_store_of_another_user_is_named_with_a_hint: {said}");
        return;
    }
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(project.store().to_str().unwrap()), "{said}");
    assert!(
        said.contains("ERR_PACQUET_STORE_IO") && said.contains("hint:"),
        "{said}"
    );
    assert!(said.contains("who owns"), "{said}");
}

/// Mounts with mount(8); `false` where that is not allowed.
fn mount(arguments: &[&str]) -> bool {
    let done = Command::new("mount")
        .args(arguments)
        .stderr(Stdio::null())
        .status();
    done.is_ok_and(|status| status.success())
}

fn names_below(directory: &Path) -> Vec<PathBuf> {
    let mut names: Vec<PathBuf> = walkdir::WalkDir::new(directory)
        .into_iter()
        .map(|entry| entry.unwrap().into_path())
        .collect();
    names.sort();
    names
}

#[test]
fn a_store_that_cannot_be_written_serves_and_gets_no_file() {
    if !can_mount("a_store_that_cannot_be_written_serves_and_gets_no_file") {
        return;
    }
    let project = project();
    project.install();
    project.unmount();
    let store = project.store();
    let path = store.to_str().unwrap();
    if !mount(&["--bind", path, path]) || !mount(&["-o", "remount,bind,ro", path]) {
        eprintln!("skipped: a_store_that_cannot_be_written_serves_and_gets_no_file: no mount(8)");
        return;
    }
    let before = names_below(&store);
    fs::remove_dir_all(project.path("cache")).unwrap();
    project.succeed(&["mount"]);
    assert_eq!(
        fs::read_to_string(project.node_modules().join("deep/index.js")).unwrap(),
        CONTENT
    );
    project.unmount();
    project.install();
    project.unmount();
    project.write("pnpm-lock.yaml", &lock_of_other(&project));
    let said = project.refuse();
    assert!(said.contains("ERR_PNPM_FROZEN_STORE_WRITE"), "{said}");
    let said = project.fail(&["mount"]);
    assert!(said.contains("other@1.0.0"), "{said}");
    assert_eq!(names_below(&store), before);
}

#[test]
fn a_project_that_cannot_be_written_is_served_read_only() {
    if !can_mount("a_project_that_cannot_be_written_is_served_read_only") {
        return;
    }
    let project = project();
    project.install();
    fs::write(project.node_modules().join("written"), "before").unwrap();
    project.unmount();
    for place in [project.root().to_owned(), project.path("cache")] {
        let path = place.to_str().unwrap();
        if !mount(&["--bind", path, path]) || !mount(&["-o", "remount,bind,ro", path]) {
            eprintln!("skipped: a_project_that_cannot_be_written_is_served_read_only: no mount(8)");
            return;
        }
    }
    project.succeed(&["mount"]);
    let read = |path: &str| fs::read_to_string(project.node_modules().join(path)).unwrap();
    assert_eq!(read("deep/index.js"), CONTENT);
    assert_eq!(read("written"), "before");
    for path in ["new", "written", "deep/index.js"] {
        let error = fs::write(project.node_modules().join(path), "after").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ReadOnlyFilesystem, "{path}");
    }
    assert_eq!(read("deep/index.js"), CONTENT);
    let status = project.status();
    assert!(
        status["read_only"].as_str().unwrap().contains("read-only"),
        "{status}"
    );
    project.unmount();
}

/// A project whose packages are larger than the store's file system of 8 MiB.
fn large_project(sizes: &[usize]) -> Project {
    let mut random = Random::new(11);
    let mut dependencies = serde_json::Map::new();
    let mut packages = Vec::new();
    for (number, size) in sizes.iter().enumerate() {
        let name = format!("large-{number}");
        dependencies.insert(name.clone(), json!("1.0.0"));
        let mut bytes = Vec::with_capacity(*size);
        while bytes.len() < *size {
            bytes.extend_from_slice(&random.next_u64().to_le_bytes());
        }
        packages.push(Package::new(&name, "1.0.0").file("data.bin", bytes));
    }
    Project::locked(
        &json!({ "name": "app", "dependencies": dependencies }),
        &packages,
    )
}

#[test]
fn a_full_disk_is_told_with_its_path_and_leaves_nothing_half_done() {
    if !can_mount("a_full_disk_is_told_with_its_path_and_leaves_nothing_half_done") {
        return;
    }
    for (what, sizes) in [
        ("unpacking", &[3 << 20; 5][..]),
        ("downloading", &[12 << 20][..]),
    ] {
        let project = large_project(sizes);
        let store = project.store();
        fs::create_dir(&store).unwrap();
        if !mount(&[
            "-t",
            "tmpfs",
            "-o",
            "size=8m",
            "none",
            store.to_str().unwrap(),
        ]) {
            eprintln!("skipped: a_full_disk_is_told_with_its_path: no mount(8)");
            return;
        }
        let said = project.refuse();
        let codes = ["ERR_PACQUET_STORE_IO", "ERR_PACQUET_SPOOL"];
        assert!(
            codes.iter().any(|code| said.contains(code)),
            "{what}: {said}"
        );
        assert!(said.contains(store.to_str().unwrap()), "{what}: {said}");
        assert!(
            said.contains("No space left") && said.contains("hint:"),
            "{what}: {said}"
        );
        project.assert_no_temporary_files(what);
        project.succeed(&["store", "verify"]);
        // With room, the same store does.
        let remount = ["-o", "remount,size=64m", store.to_str().unwrap()];
        assert!(mount(&remount), "{what}");
        project.install();
        project.succeed(&["store", "verify"]);
        project.unmount();
    }
}

#[test]
fn a_store_whose_directory_is_forbidden_or_a_file_is_named() {
    let project = project();
    fs::write(project.store(), "a file").unwrap();
    let said = project.refuse();
    assert!(said.contains(project.store().to_str().unwrap()), "{said}");
    assert!(said.contains("ERR_PACQUET_"), "{said}");
    let kept: io::Result<String> = fs::read_to_string(project.store());
    assert_eq!(kept.unwrap(), "a file");
}
