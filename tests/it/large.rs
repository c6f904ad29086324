//! Large packages: what happens on their way; and, where `PACQUET_LARGE_TESTS` is set, many of them
//! in little memory.

use pacquet_test_registry::generate::Random;
use pacquet_test_registry::{Fault, Package, TarballBuilder, When, tarball_path};
use serde_json::json;

use crate::project::{Project, can_mount, peak_resident_bytes};

const PACKAGES: usize = 64;
/// Those of up to 8 MiB are unpacked from memory, the others from a file.
const PACKAGE_BYTES_MIN: usize = 4 << 20;
const PACKAGE_BYTES_MAX: usize = 100 << 20;

/// The download budget of 128 MiB, what unpacking holds on each thread, and the program itself.
const RESIDENT_BYTES_MAX: u64 = 400 << 20;

/// An archive of about `bytes`, of which every fourth block does not compress.
fn package(random: &mut Random, number: usize, bytes: usize) -> Package {
    let name = format!("large-{number}");
    let noise: Vec<u8> = (0..1 << 17)
        .flat_map(|_| random.next_u64().to_le_bytes())
        .collect();
    let mut content = Vec::with_capacity(bytes + noise.len());
    while content.len() < bytes {
        content.extend_from_slice(&noise);
    }
    let archive = TarballBuilder::with_manifest(&name, "1.0.0")
        .file("package/data.bin", &content)
        .level(0)
        .finish();
    Package::new(&name, "1.0.0").tarball(archive)
}

#[test]
fn many_large_packages_are_installed_in_little_memory() {
    let test = "many_large_packages_are_installed_in_little_memory";
    if std::env::var_os("PACQUET_LARGE_TESTS").is_none() || !can_mount(test) {
        eprintln!("skipped: {test}: PACQUET_LARGE_TESTS is not set");
        return;
    }
    let mut random = Random::new(64);
    let mut dependencies = serde_json::Map::new();
    let mut packages = Vec::new();
    let mut total = 0;
    for number in 0..PACKAGES {
        // Few are as large as the largest: the square of an even distribution.
        let share = random.below(1000) * random.below(1000) / 1000;
        let bytes = PACKAGE_BYTES_MIN + (PACKAGE_BYTES_MAX - PACKAGE_BYTES_MIN) * share / 1000;
        total += bytes;
        dependencies.insert(format!("large-{number}"), json!("1.0.0"));
        packages.push(package(&mut random, number, bytes));
    }
    let manifest = json!({ "name": "app", "dependencies": dependencies });
    let project = Project::locked(&manifest, &packages);
    drop(packages);
    let arguments = [
        "install",
        "--virtual",
        "--frozen-lockfile",
        "--ignore-scripts",
    ];
    let (output, peak) = peak_resident_bytes(project.command(&arguments));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    println!(
        "{} MiB were installed with at most {} MiB resident",
        total >> 20,
        peak >> 20
    );
    assert!(peak < RESIDENT_BYTES_MAX, "{} MiB", peak >> 20);
    project.assert_no_temporary_files("large packages");
}

/// More than what is kept in memory.
const ARRIVING_BYTES: usize = 12 << 20;

#[test]
fn what_is_unpacked_while_it_arrives_is_fetched_again_where_it_does_not_arrive_whole() {
    let package = package(&mut Random::new(7), 0, ARRIVING_BYTES);
    let manifest = json!({ "name": "app", "dependencies": { "large-0": "1.0.0" } });
    let project = Project::locked(&manifest, &[package]);
    let settings = "fetchRetryMintimeout: 1\nfetchTimeout: 2000\n";
    project.write("pnpm-workspace.yaml", settings);
    let tarball = tarball_path("large-0", "1.0.0");
    let install = ["install", "--no-virtual", "--frozen-lockfile"];
    let half = ARRIVING_BYTES / 2;
    for fault in [
        Fault::ResetAfter(half),
        Fault::CloseAfter(half),
        Fault::StallHalfWay,
        Fault::FlipByte,
        Fault::CompressedForTheWay,
    ] {
        let text = format!("{fault:?}");
        project.registry.fault(&tarball, When::First(1), fault);
        project.succeed(&install);
        let stored = std::fs::metadata(project.node_modules().join("large-0/data.bin"));
        assert!(stored.is_ok_and(|file| file.len() >= ARRIVING_BYTES as u64));
        project.assert_no_temporary_files(&text);
        project.registry.clear_faults();
        project.forget_everything();
        std::fs::remove_dir_all(project.node_modules()).expect("removed");
    }
    project
        .registry
        .fault(&tarball, When::Always, Fault::FlipByte);
    let output = project.fail(&install);
    assert!(output.contains("ERR_PNPM_TARBALL_INTEGRITY"), "{output}");
    assert!(!project.node_modules().join("large-0").exists());
    project.assert_no_temporary_files("other bytes");
}
