//! Damaged packs and indexes, and many users of one store.

use super::*;

type Damage = fn(&Path);

fn replace_with(path: &Path, make: impl FnOnce(&Path)) {
    std::fs::remove_file(path).unwrap();
    make(path);
}

fn rewrite(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(path).unwrap();
    change(&mut bytes);
    replace_with(path, |path| std::fs::write(path, bytes).unwrap());
}

#[test]
fn damaged_packs_are_not_opened_and_are_named_by_verify() {
    let damages: [(&str, Damage); 8] = [
        ("missing-pack", |path| std::fs::remove_file(path).unwrap()),
        ("pack-truncated", |path| rewrite(path, Vec::clear)),
        ("pack-malformed", |path| {
            rewrite(path, |bytes| bytes.truncate(bytes.len() / 2))
        }),
        ("pack-malformed", |path| {
            rewrite(path, |bytes| bytes.insert(0, 0))
        }),
        ("table-digest-mismatch", |path| {
            rewrite(path, |bytes| {
                let at = bytes.len() - 70;
                bytes[at] ^= 1;
            });
        }),
        ("pack-not-regular", |path| {
            let copy = path.with_extension("copy");
            std::fs::copy(path, &copy).unwrap();
            replace_with(path, |path| {
                std::os::unix::fs::symlink(&copy, path).unwrap()
            });
        }),
        ("pack-not-regular", |path| {
            replace_with(path, |path| std::fs::create_dir(path).unwrap())
        }),
        ("pack-not-regular", |path| {
            replace_with(path, |path| {
                let made = std::process::Command::new("mkfifo")
                    .arg(path)
                    .status()
                    .unwrap();
                assert!(made.success());
            });
        }),
    ];
    for (id, damage) in damages {
        let fixture = Fixture::new();
        let archive = Tar::default().manifest().file("p/x", "content").gzip();
        let packed = fixture.ingest(archive.clone()).unwrap();
        fixture.store.commit(std::slice::from_ref(&packed)).unwrap();
        assert_eq!(fixture.finding_ids(), [""; 0]);
        damage(&fixture.pack_path(&packed));
        let error = fixture.store.open_pack(&packed.record.pack).unwrap_err();
        assert!(error.is_damage(), "{id}: {}", sources(&error));
        assert!(fixture.finding_ids().contains(&id), "{id}");
        let findings = fixture.store.verify().unwrap();
        let worst = findings.iter().map(|finding| finding.severity()).max();
        assert_eq!(worst, Some(Severity::Damage));
        if !fixture.pack_path(&packed).is_dir() {
            fixture.ingest(archive).unwrap();
            assert!(fixture.store.open_pack(&packed.record.pack).is_ok(), "{id}");
        }
    }
}

#[test]
fn a_changed_content_is_found_by_verify_and_by_verified_reads() {
    let fixture = Fixture::new();
    let archive = Tar::default().manifest().file("p/x", "content").gzip();
    let packed = fixture.ingest(archive).unwrap();
    fixture.store.commit(std::slice::from_ref(&packed)).unwrap();
    rewrite(&fixture.pack_path(&packed), |bytes| {
        let at = bytes
            .windows(7)
            .position(|bytes| bytes == b"content")
            .unwrap();
        bytes[at] ^= 1;
    });
    let pack = fixture.open(&packed);
    let number = |path| pack.table().find(path).unwrap();
    let error = pack.verify_file(number("x")).unwrap_err();
    assert!(error.to_string().contains("the file x"), "{error}");
    assert!(pack.verify_file(number("package.json")).is_ok());
    assert!(fixture.finding_ids().contains(&"file-digest-mismatch"));
}

#[test]
fn verify_notices_what_does_not_belong_to_the_store() {
    let fixture = Fixture::new();
    let packed = fixture.ingest(Tar::default().manifest().gzip()).unwrap();
    let path = fixture.pack_path(&packed);
    assert_eq!(fixture.finding_ids(), ["pack-without-row"]);
    std::fs::write(path.with_file_name("readme"), "x").unwrap();
    std::os::unix::fs::symlink("/", fixture.root().join("packs/ff-link")).unwrap();
    let mut ids = fixture.finding_ids();
    ids.sort_unstable();
    assert_eq!(ids, ["foreign-file", "foreign-file", "pack-without-row"]);
    let findings = fixture.store.verify().unwrap();
    assert!(
        findings
            .iter()
            .all(|finding| finding.severity() == Severity::Notice)
    );
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
    assert!(fixture.finding_ids().contains(&"pack-writable-by-others"));
}

#[test]
fn a_damaged_index_is_moved_aside_and_rebuilt_from_the_packs() {
    let damages: [Damage; 4] = [
        |path| std::fs::write(path, "no database").unwrap(),
        |path| std::fs::write(path, vec![0x55; 8192]).unwrap(),
        |path| rewrite(path, |bytes| bytes.truncate(4096)),
        |path| std::fs::write(path, "").unwrap(),
    ];
    for damage in damages {
        let fixture = Fixture::new();
        let packed = fixture.ingest(Tar::default().manifest().gzip()).unwrap();
        fixture.store.commit(std::slice::from_ref(&packed)).unwrap();
        fixture.store.settle().unwrap();
        let index = fixture.root().join("index.db");
        for suffix in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(fixture.root().join(format!("index.db{suffix}")));
        }
        damage(&index);
        let store = Store::open(&fixture.root(), Access::ReadWrite).unwrap();
        let found = store
            .lookup_many(std::slice::from_ref(&packed.key))
            .unwrap();
        assert_eq!(found, [Some(packed.record.clone())]);
        assert!(fixture.root().join("index.db.damaged").exists());
    }
}

#[test]
fn a_lost_index_is_rebuilt_when_asked_and_leaves_out_damaged_packs() {
    let fixture = Fixture::new();
    let whole = fixture.ingest(Tar::default().manifest().gzip()).unwrap();
    let options = IngestOptions::new(key("b@1.0.0"));
    let archive = Tar::default().manifest().file("p/x", "content").gzip();
    let damaged = fixture.store.ingest_tarball(archive, &options).unwrap();
    rewrite(&fixture.pack_path(&damaged), |bytes| bytes[0] ^= 1);
    let report = fixture.store.rebuild_index().unwrap();
    assert_eq!(report.packages, 1);
    assert_eq!(report.damaged, [damaged.record.pack]);
    let found = fixture
        .store
        .lookup_many(&[whole.key, damaged.key])
        .unwrap();
    assert_eq!(found, [Some(whole.record), None]);
}

#[test]
fn a_store_opened_for_reading_is_never_changed() {
    let fixture = Fixture::new();
    let packed = fixture.ingest(Tar::default().manifest().gzip()).unwrap();
    fixture.store.commit(std::slice::from_ref(&packed)).unwrap();
    let store = Store::open(&fixture.root(), Access::ReadOnly).unwrap();
    assert!(store.is_read_only());
    let found = store
        .lookup_many(std::slice::from_ref(&packed.key))
        .unwrap();
    assert_eq!(found, [Some(packed.record.clone())]);
    let options = IngestOptions::new(key("a@1.0.0"));
    let archive = Tar::default().manifest().gzip();
    for error in [
        store.ingest_tarball(archive, &options).unwrap_err(),
        store.commit(std::slice::from_ref(&packed)).unwrap_err(),
        store.settle().unwrap_err(),
        store.forget(&[]).unwrap_err(),
        store.rebuild_index().unwrap_err(),
        store.clean_temporary_files().unwrap_err(),
    ] {
        assert!(matches!(error, StoreError::ReadOnly { .. }), "{error}");
    }
    let missing = Store::open(&fixture.root().join("missing"), Access::ReadOnly);
    assert!(missing.is_err());
    assert!(!fixture.root().join("missing").exists());
}

#[test]
fn installers_that_share_a_store_from_its_first_moment_all_succeed() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("store");
    let archives: Vec<(PackageKey, Vec<u8>)> = (0..20)
        .map(|number| {
            let tar = Tar::default().manifest().file("p/x", format!("{number}"));
            (key(&format!("p{number}@1.0.0")), tar.gzip())
        })
        .collect();
    let barrier = std::sync::Barrier::new(6);
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                barrier.wait();
                let store = Store::open(&root, Access::ReadWrite).unwrap();
                for chunk in archives.chunks(4) {
                    let packed: Vec<Packed> = chunk
                        .iter()
                        .map(|(key, archive)| {
                            let options = IngestOptions::new(key.clone());
                            store.ingest_tarball(archive.clone(), &options).unwrap()
                        })
                        .collect();
                    store.commit(&packed).unwrap();
                    store.settle().unwrap();
                }
            });
        }
    });
    let store = Store::open(&root, Access::ReadWrite).unwrap();
    let keys: Vec<PackageKey> = archives.iter().map(|(key, _)| key.clone()).collect();
    assert!(
        store
            .lookup_many(&keys)
            .unwrap()
            .iter()
            .all(Option::is_some)
    );
    assert_eq!(store.verify().unwrap(), []);
    let status = store.status().unwrap();
    assert_eq!(
        (status.packages, status.packs, status.temporary_files),
        (20, 20, 0)
    );
    assert_eq!(status.durable, 20);
}

#[test]
fn a_table_numbers_every_directory_and_finds_every_name() {
    let fixture = Fixture::new();
    let paths = [
        "a-b",
        "a.b",
        "a/x",
        "a/b/c",
        "a0",
        "b/a",
        "package.json",
        "é/z",
    ];
    let mut archive = Tar::default();
    for path in paths {
        archive = archive.file(format!("p/{path}"), "{}");
    }
    let packed = fixture.both(archive.gzip());
    let pack = fixture.open(&packed);
    let table = pack.table();
    assert_eq!(table.files(), 8);
    assert_eq!(table.len(), 1 + 8 + 4);
    for number in 0..table.len() {
        let path = table.path(number).unwrap();
        assert_eq!(table.find(&path), Some(number), "{path}");
        let entries = table.entries(number);
        let names: Vec<&str> = entries
            .clone()
            .map(|entry| table.name(entry).unwrap())
            .collect();
        assert!(names.is_sorted(), "{names:?}");
        assert!(
            entries
                .clone()
                .all(|entry| table.parent(entry) == Some(number))
        );
        for absent in [&b""[..], b"zz", b".", b"..", b"\xff"] {
            assert_eq!(table.lookup(number, absent), None);
        }
    }
    assert_eq!(table.kind(table.len()), None);
    assert_eq!(table.lookup(u32::MAX, b"a"), None);
    assert!(pack.read_at(0, 0, &mut [0]).is_err());
    assert!(pack.read_at(u32::MAX, 0, &mut [0]).is_err());
}
