//! Archives that must be refused, seen from outside: the program says what is wrong with which
//! entry, keeps nothing, mounts nothing, and stays small.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use pacquet_test_registry::tarball::{bomb_of_entries, bomb_of_zeros, deep_tree};
use pacquet_test_registry::{Entry, LongName, Package, TarballBuilder};
use serde_json::json;

use crate::project::{Project, can_mount, peak_resident_bytes};

/// An archive, the code of its refusal, and what the message shows of the entry.
type Case = (&'static str, Vec<u8>, &'static str, &'static str);

fn base() -> TarballBuilder {
    TarballBuilder::with_manifest("bad", "1.0.0")
}

fn with(entry: Entry) -> Vec<u8> {
    base().entry(entry).finish()
}

fn project_of(archive: Vec<u8>) -> Project {
    let manifest = json!({ "name": "app", "dependencies": { "bad": "1.0.0" } });
    Project::locked(&manifest, &[Package::new("bad", "1.0.0").tarball(archive)])
}

/// Installs each archive in a project of its own and insists on the refusal.
fn refuse_all(cases: Vec<Case>) {
    for (what, archive, code, shown) in cases {
        let project = project_of(archive);
        let lock = fs::read(project.root().join("pnpm-lock.yaml")).unwrap();
        let said = project.refuse();
        assert!(said.contains(code), "{what}: wanted {code} in {said}");
        assert!(said.contains("bad@1.0.0"), "{what}: {said}");
        assert!(said.contains(shown), "{what}: wanted {shown} in {said}");
        let unprintable = |letter: char| letter.is_control() && letter != '\n';
        assert!(!said.contains(unprintable), "{what}: {said:?}");
        assert!(!said.contains(['\u{202e}', '\u{2066}']), "{what}: {said:?}");
        project.assert_store_is_empty(what);
        assert_eq!(
            fs::read(project.root().join("pnpm-lock.yaml")).unwrap(),
            lock,
            "{what}"
        );
    }
}

#[test]
fn paths_that_leave_the_package_are_refused() {
    let code = "ERR_PNPM_PATH_TRAVERSAL";
    let long_name = format!("package/{}", "n".repeat(256));
    let long_path = format!("package/{}x", "directory/".repeat(410));
    let pax = |path: &str| Entry::file("package/x", "x").pax("path", path);
    refuse_all(vec![
        (
            "climbs",
            with(Entry::file("package/../../x", "x")),
            code,
            "../../x",
        ),
        (
            "climbs in between",
            with(Entry::file("package/a/../../../x", "x")),
            code,
            "a/../",
        ),
        ("absolute", with(Entry::file("/abs", "x")), code, "/abs"),
        (
            "backslash",
            with(Entry::file("package/..\\x", "x")),
            code,
            "..\\x",
        ),
        (
            "drive",
            with(Entry::file("package/C:..\\x", "x")),
            code,
            "C:",
        ),
        ("NUL by PAX", with(pax("package/a\0b")), "ERR_P", "bad"),
        (
            "climbs by PAX",
            with(pax("package/../../y")),
            code,
            "../../y",
        ),
        (
            "long name",
            with(Entry::file(long_name, "x").long_name(LongName::Pax)),
            code,
            "nnn",
        ),
        (
            "long path",
            with(Entry::file(long_path, "x").long_name(LongName::Gnu)),
            code,
            "dir",
        ),
        ("deep", deep_tree("bad", "1.0.0", 300), code, "d/d/d"),
        (
            "control",
            with(Entry::file("package/a\u{1b}[2Jb", "x")),
            code,
            "a\\u{1b}[2Jb",
        ),
        (
            "newline",
            with(Entry::file("package/a\nb", "x")),
            code,
            "a\\u{a}b",
        ),
        (
            "not UTF-8",
            with(Entry::file(b"package/\xff\xfe", "x")),
            code,
            "\u{fffd}",
        ),
    ]);
}

#[test]
fn entries_of_other_types_are_refused() {
    let code = "ERR_PACQUET_ENTRY_TYPE";
    refuse_all(vec![
        (
            "character device",
            with(Entry::character_device("package/tty")),
            code,
            "package/tty",
        ),
        (
            "block device",
            with(Entry::block_device("package/sda")),
            code,
            "package/sda",
        ),
        (
            "fifo",
            with(Entry::fifo("package/pipe")),
            code,
            "package/pipe",
        ),
        (
            "sparse",
            with(Entry::sparse("package/holes", "x")),
            code,
            "package/holes",
        ),
        (
            "unknown",
            with(Entry::of_type(b'Z', "package/zed", "")),
            code,
            "package/zed",
        ),
    ]);
}

#[test]
fn archives_that_readers_could_disagree_about_are_refused() {
    let (tar, both) = ("ERR_PNPM_TARBALL_EXTRACT", "ERR_PACQUET_FILE_AND_DIRECTORY");
    let file = |name: &str, content: &str| Entry::file(name, content);
    let twice = base()
        .file("package/package.json", "{\"name\":\"other\"}")
        .finish();
    refuse_all(vec![
        (
            "file and directory",
            base()
                .file("package/a", "1")
                .file("package/a/b", "2")
                .finish(),
            both,
            "\"a\"",
        ),
        (
            "directory and file",
            base()
                .file("package/a/b", "1")
                .file("package/a", "2")
                .finish(),
            both,
            "\"a\"",
        ),
        (
            "two manifests",
            twice,
            "ERR_PACQUET_AMBIGUOUS_MANIFEST",
            "package.json",
        ),
        (
            "checksum",
            with(file("package/x", "x").wrong_checksum()),
            tar,
            "tar",
        ),
        (
            "size of 10 GiB",
            with(file("package/x", "x").claimed_size(10 << 30)),
            "ERR_P",
            "bad",
        ),
        (
            "size field",
            with(file("package/x", "x").raw_size_field([0xff; 12])),
            tar,
            "tar",
        ),
    ]);
}

#[test]
fn records_that_contradict_the_header_are_refused() {
    let tar = "ERR_PNPM_TARBALL_EXTRACT";
    let file = |name: &str, content: &str| Entry::file(name, content);
    refuse_all(vec![
        (
            "PAX size",
            with(file("package/x", "x").pax("size", "99999999")),
            tar,
            "tar",
        ),
        (
            "PAX size no number",
            with(file("package/x", "x").pax("size", "-1")),
            tar,
            "tar",
        ),
        (
            "PAX without length",
            with(file("package/x", "x").raw_pax("path=x\n")),
            tar,
            "tar",
        ),
        (
            "PAX too long",
            with(file("package/x", "x").raw_pax("99 path=x\n")),
            tar,
            "tar",
        ),
    ]);
}

#[test]
fn broken_compression_is_refused() {
    let code = "ERR_PNPM_TARBALL_EXTRACT";
    let file = || base().file("package/x", vec![7; 4000]);
    refuse_all(vec![
        ("truncated", file().cut_gzip(9).finish(), code, "gzip"),
        ("half", file().cut_gzip(60).finish(), code, "gzip"),
        ("CRC", file().wrong_gzip_crc().finish(), code, "gzip"),
        ("length", file().wrong_gzip_length().finish(), code, "gzip"),
        (
            "garbage behind",
            file().after_gzip("garbage").finish(),
            code,
            "gzip",
        ),
        (
            "truncated tar",
            file().without_end_blocks().cut_archive(700).finish(),
            code,
            "tar",
        ),
        (
            "not an archive",
            b"<!doctype html><title>Sign in</title>".to_vec(),
            "ERR_P",
            "bad",
        ),
        ("nothing", Vec::new(), "ERR_P", "bad"),
    ]);
}

#[test]
fn manifests_that_cannot_be_understood_are_refused() {
    let code = "ERR_PNPM_BAD_PACKAGE_JSON";
    let manifest = |text: &[u8]| {
        TarballBuilder::new()
            .file("package/package.json", text)
            .finish()
    };
    let huge = format!("{{\"a\":\"{}\"}}", "x".repeat(17 << 20));
    refuse_all(vec![
        (
            "no entries",
            TarballBuilder::new().finish(),
            "ERR_PNPM_TARBALL_EXTRACT",
            "no files",
        ),
        (
            "only links",
            TarballBuilder::new()
                .entry(Entry::symlink("package/a", "b"))
                .finish(),
            "ERR_PNPM_TARBALL_EXTRACT",
            "no files",
        ),
        ("not JSON", manifest(b"{"), code, "package.json"),
        ("a list", manifest(b"[]"), code, "package.json"),
        (
            "deep",
            manifest("[".repeat(200_000).as_bytes()),
            code,
            "package.json",
        ),
        (
            "huge",
            manifest(huge.as_bytes()),
            "ERR_PACQUET_PACKAGE_TOO_LARGE",
            "bytes",
        ),
    ]);
}

#[test]
fn commands_with_bad_names_or_targets_fail_the_package() {
    let bin = |name: &str, target: &str| {
        let manifest = json!({ "name": "bad", "version": "1.0.0", "bin": { name: target } });
        let builder = TarballBuilder::new().file("package/package.json", manifest.to_string());
        builder.file("package/cli.js", "1").finish()
    };
    let directory = json!({ "name": "bad", "version": "1.0.0",
                            "directories": { "bin": "../../etc" } });
    let directory = TarballBuilder::new()
        .file("package/package.json", directory.to_string())
        .finish();
    let (name, target) = ("ERR_PACQUET_BIN_NAME", "ERR_PACQUET_BIN_TARGET");
    let long = "n".repeat(300);
    refuse_all(vec![
        ("empty", bin("", "cli.js"), name, "command"),
        ("dot", bin(".", "cli.js"), name, "command"),
        ("dots", bin("..", "cli.js"), name, "command"),
        (
            "scope and climb",
            bin("@s/../../x", "cli.js"),
            name,
            "command",
        ),
        ("slash", bin("a/b", "cli.js"), name, "a/b"),
        ("backslash", bin("a\\b", "cli.js"), name, "command"),
        ("long", bin(&long, "cli.js"), name, "nnn"),
        ("control", bin("a\u{1b}[2J", "cli.js"), name, "\\u{1b}"),
        (
            "target climbs",
            bin("x", "../../../etc/passwd"),
            target,
            "etc/passwd",
        ),
        ("directory climbs", directory, target, "etc"),
    ]);
}

#[test]
fn what_is_odd_but_harmless_is_served_as_it_is() {
    if !can_mount("what_is_odd_but_harmless_is_served_as_it_is") {
        return;
    }
    let archive = base()
        .entry(Entry::symlink("package/link", "/etc/passwd"))
        .entry(Entry::hard_link("package/hard", "/etc/shadow"))
        .entry(Entry::file("package/setuid", "s").mode(0o4755))
        .entry(Entry::file("package/locked", "l").mode(0))
        .entry(Entry::file("package/open", "o").mode(0o666))
        .file("package/A", "upper")
        .file("package/a", "lower")
        .file("package/e\u{301}", "two letters")
        .file("package/\u{e9}", "one letter")
        .file("package/twice", "first")
        .file("other/twice", "last")
        .file("root.js", "root")
        .file("./package/dot.js", "dot")
        .after_gzip([0; 512])
        .members(3)
        .finish();
    let project = project_of(archive);
    let said = project.run(&[
        "install",
        "--virtual",
        "--frozen-lockfile",
        "--ignore-scripts",
    ]);
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(project.is_mounted(), "{said}");
    let package = project.node_modules().join("bad");
    let content = |name: &str| fs::read_to_string(package.join(name)).unwrap();
    for (name, wanted) in [
        ("A", "upper"),
        ("a", "lower"),
        ("e\u{301}", "two letters"),
        ("\u{e9}", "one letter"),
        ("twice", "last"),
        ("root.js", "root"),
    ] {
        assert_eq!(content(name), wanted, "{name}");
    }
    for (name, mode) in [("setuid", 0o755), ("locked", 0o644), ("open", 0o644)] {
        let found = fs::metadata(package.join(name))
            .unwrap()
            .permissions()
            .mode()
            & 0o7777;
        assert_eq!(found, mode, "{name}: {found:o}");
    }
    for absent in ["link", "hard"] {
        assert!(
            fs::symlink_metadata(package.join(absent)).is_err(),
            "{absent}"
        );
    }
}

#[test]
fn a_command_whose_file_is_missing_is_left_out() {
    if !can_mount("a_command_whose_file_is_missing_is_left_out") {
        return;
    }
    let manifest = json!({ "name": "app", "dependencies": { "bare": "1.0.0", "none": "1.0.0" } });
    let none = TarballBuilder::new().file("package/index.js", "1").finish();
    let packages = [
        Package::new("bare", "1.0.0")
            .bin("gone", "gone.js")
            .bin("there", "there.js")
            .file("there.js", "#!/usr/bin/env node\n"),
        Package::new("none", "1.0.0").tarball(none),
    ];
    let project = Project::locked(&manifest, &packages);
    project.install();
    let tree = project.tree();
    assert!(tree.contains_key(".bin/there") && !tree.contains_key(".bin/gone"));
    assert!(tree.contains_key(".pnpm/none@1.0.0/node_modules/none/index.js"));
}

#[test]
fn bombs_end_at_the_limit_in_little_memory() {
    let small = project_of(base().file("package/x", "x").finish());
    let (_, baseline) = peak_resident_bytes(small.command(&["install", "--frozen-lockfile"]));
    for (what, archive) in [
        ("zeros", bomb_of_zeros("bad", "1.0.0", 600 << 20)),
        ("entries", bomb_of_entries("bad", "1.0.0", 400_000)),
    ] {
        let project = project_of(archive);
        let arguments = [
            "install",
            "--virtual",
            "--frozen-lockfile",
            "--ignore-scripts",
        ];
        let (output, peak) = peak_resident_bytes(project.command(&arguments));
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{what}: {said}");
        assert!(
            said.contains("ERR_PACQUET_PACKAGE_TOO_LARGE"),
            "{what}: {said}"
        );
        let over = peak.saturating_sub(baseline) >> 20;
        println!("{what}: {over} MiB over the baseline");
        assert!(
            over < MEMORY_OVER_BASELINE_MIB,
            "{what}: {over} MiB over the baseline"
        );
        project.assert_store_is_empty(what);
    }
}

/// What refusing a bomb may take beyond refusing nothing: a download of 8 MiB is spooled, and the
/// entries of a package are in memory.
const MEMORY_OVER_BASELINE_MIB: u64 = 64;

#[test]
fn a_refused_package_leaves_the_others_for_the_next_install() {
    if !can_mount("a_refused_package_leaves_the_others_for_the_next_install") {
        return;
    }
    let manifest = json!({ "name": "app", "dependencies": { "bad": "1.0.0", "good": "1.0.0" } });
    let good = Package::new("good", "1.0.0").file("index.js", "1");
    let bad = Package::new("bad", "1.0.0").file("index.js", "2");
    let project = Project::locked(&manifest, &[good, bad.clone()]);
    let path = "/bad/-/bad-1.0.0.tgz";
    let delay = pacquet_test_registry::Fault::Delay(Duration::from_secs(2));
    project
        .registry
        .fault(path, pacquet_test_registry::When::Always, delay);
    project
        .registry
        .replace_tarball("bad", "1.0.0", base().file("package/y", "y").finish());
    assert!(project.refuse().contains("ERR_PNPM_TARBALL_INTEGRITY"));
    assert_eq!(project.packages_in_store(), 1);
    project
        .registry
        .replace_tarball("bad", "1.0.0", bad.build().tarball);
    project.install();
    assert_eq!(
        project
            .registry
            .requests_for("/good/-/good-1.0.0.tgz")
            .len(),
        1
    );
}
