//! Integrity, options of the ingest, directories, rows.

use super::*;

#[test]
fn other_bytes_than_promised_are_refused_before_anything_is_stored() {
    let fixture = Fixture::new();
    let archive = Tar::default().manifest().gzip();
    let promised = Integrity::of(b"something else");
    let mut options = IngestOptions::new(key("a@1.0.0"));
    options.integrity = Some(&promised);
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&archive).unwrap();
    let length = archive.len() as u64;
    for source in [
        TarballSource::from(archive.clone()),
        TarballSource::File(file, length),
    ] {
        let error = fixture.store.ingest_tarball(source, &options).unwrap_err();
        assert_eq!(error.code(), "ERR_PNPM_TARBALL_INTEGRITY");
        let text = error.to_string();
        assert!(text.contains(&promised.to_string()), "{text}");
        assert!(
            text.contains(&Integrity::of(&archive).to_string()),
            "{text}"
        );
    }
    let status = fixture.store.status().unwrap();
    assert_eq!(
        (status.packs, status.packages, status.temporary_files),
        (0, 0, 0)
    );
}

#[test]
fn a_weak_promise_gets_a_strong_digest_to_pin() {
    let fixture = Fixture::new();
    let archive = Tar::default().manifest().gzip();
    let strong = Integrity::of(&archive);
    let sha1 = {
        let wrong = Integrity::from_shasum(&"0".repeat(40)).unwrap();
        let actual = wrong.check(&archive).unwrap_err().actual;
        Integrity::parse(&actual).unwrap()
    };
    for (integrity, computed) in [
        (Some(&sha1), Some(&strong)),
        (None, Some(&strong)),
        (Some(&strong), None),
    ] {
        let mut options = IngestOptions::new(key("a@1.0.0"));
        options.integrity = integrity;
        let packed = fixture
            .store
            .ingest_tarball(archive.clone(), &options)
            .unwrap();
        assert_eq!(packed.computed.as_ref(), computed);
    }
}

#[test]
fn a_package_is_found_once_it_is_committed() {
    let fixture = Fixture::new();
    let packed = fixture.ingest(Tar::default().manifest().gzip()).unwrap();
    let keys = [key("b@1.0.0"), packed.key.clone(), packed.key.clone()];
    let found = fixture.store.lookup_many(&keys).unwrap();
    assert_eq!(found, [None, None, None]);
    fixture.store.commit(std::slice::from_ref(&packed)).unwrap();
    let record = Some(packed.record.clone());
    let found = fixture.store.lookup_many(&keys).unwrap();
    assert_eq!(found, [None, record.clone(), record]);
    fixture
        .store
        .forget(std::slice::from_ref(&packed.key))
        .unwrap();
    assert_eq!(
        fixture.store.lookup_many(&keys).unwrap(),
        [None, None, None]
    );
}

#[test]
fn a_transform_changes_what_is_packed_and_is_checked_like_an_archive() {
    let fixture = Fixture::new();
    let archive = Tar::default().manifest().file("p/x", "old").gzip();
    let replace = |files: &mut Vec<PendingFile<'_>>| {
        let file = files
            .iter_mut()
            .find(|file| file.path.as_str() == "x")
            .unwrap();
        assert_eq!(&*file.read()?, b"old");
        file.set_contents(b"new".to_vec());
        let path = RelativePath::new("added/y").unwrap();
        files.push(PendingFile::new(path, true, b"y".to_vec()));
        Ok(())
    };
    let conflict = |files: &mut Vec<PendingFile<'_>>| {
        let path = RelativePath::new("x/y").unwrap();
        files.push(PendingFile::new(path, false, Vec::new()));
        Ok(())
    };
    let fail = |_: &mut Vec<PendingFile<'_>>| Err("the patch does not apply".into());
    let mut options = IngestOptions::new(key("a@1.0.0"));
    options.transform = Some(&replace);
    let packed = fixture
        .store
        .ingest_tarball(archive.clone(), &options)
        .unwrap();
    let files = fixture.files(&packed);
    assert_eq!(files[0], ("added/y".to_owned(), true, b"y".to_vec()));
    assert_eq!(files[2], ("x".to_owned(), false, b"new".to_vec()));
    options.transform = Some(&conflict);
    let error = fixture
        .store
        .ingest_tarball(archive.clone(), &options)
        .unwrap_err();
    assert!(sources(&error).contains("both a file and a directory"));
    options.transform = Some(&fail);
    let error = fixture.store.ingest_tarball(archive, &options).unwrap_err();
    assert!(sources(&error).contains("the patch does not apply"));
}

#[test]
fn only_a_sub_directory_is_packed_where_one_is_asked_for() {
    let fixture = Fixture::new();
    let archive = Tar::default()
        .file("repo/package.json", r#"{"name":"root"}"#)
        .file("repo/packages/a/package.json", r#"{"name":"a"}"#)
        .file("repo/packages/ab/x", "x")
        .gzip();
    let directory = RelativePath::new("packages/a").unwrap();
    let mut options = IngestOptions::new(key("a@1.0.0"));
    options.subdirectory = Some(&directory);
    let packed = fixture
        .store
        .ingest_tarball(archive.clone(), &options)
        .unwrap();
    assert_eq!(packed.record.facts.name.as_deref(), Some("a"));
    assert_eq!(fixture.paths(&packed), ["package.json"]);
    let missing = RelativePath::new("packages/c").unwrap();
    options.subdirectory = Some(&missing);
    let error = fixture.store.ingest_tarball(archive, &options).unwrap_err();
    assert!(sources(&error).contains("no files under \"packages/c\""));
}

#[test]
fn a_directory_is_packed_without_links_and_without_node_modules() {
    let fixture = Fixture::new();
    let source = fixture.directory.path().join("source");
    let write = |path: &str, content: &str| {
        let path = source.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    };
    write("package.json", r#"{"name":"a"}"#);
    write("lib/x.js", "x");
    write("node_modules/b/x.js", "x");
    write("../secret/key", "secret");
    std::os::unix::fs::symlink("../secret/key", source.join("file-link")).unwrap();
    std::os::unix::fs::symlink("../secret", source.join("dir-link")).unwrap();
    let mode = std::fs::Permissions::from_mode(0o775);
    std::fs::set_permissions(source.join("lib/x.js"), mode).unwrap();
    let mut options = IngestOptions::new(key("a@1.0.0"));
    let packed = fixture.store.ingest_directory(&source, &options).unwrap();
    assert_eq!(packed.skipped_links, 2);
    let files = fixture.files(&packed);
    assert_eq!(files[0], ("lib/x.js".to_owned(), true, b"x".to_vec()));
    assert_eq!(files.len(), 2);
    let only: Vec<RelativePath> = ["package.json", "file-link", "dir-link/key"]
        .iter()
        .map(|path| RelativePath::new(path).unwrap())
        .collect();
    options.only = Some(&only);
    let packed = fixture.store.ingest_directory(&source, &options).unwrap();
    assert_eq!(fixture.paths(&packed), ["package.json"]);
    assert_eq!(packed.skipped_links, 2);
}

#[test]
fn a_package_too_large_for_memory_is_streamed() {
    let fixture = Fixture::new();
    let large: Vec<u8> = (0..70_u32 << 20).map(|at| (at >> 12) as u8).collect();
    let archive = Tar::default()
        .manifest()
        .file("p/large", &large)
        .file("p/small", "x")
        .gzip();
    let packed = fixture.ingest(archive).unwrap();
    let pack = fixture.open(&packed);
    let number = pack.table().find("large").unwrap();
    assert!(pack.read_file(number).unwrap() == large);
    pack.verify_file(number).unwrap();
    let mut buffer = [0; 8];
    let near_end = large.len() as u64 - 3;
    assert_eq!(pack.read_at(number, near_end, &mut buffer).unwrap(), 3);
    assert_eq!(pack.read_at(number, u64::MAX, &mut buffer).unwrap(), 0);
}

#[test]
fn packs_are_written_by_nobody_and_their_directories_by_their_owner() {
    let fixture = Fixture::new();
    let packed = fixture.ingest(Tar::default().manifest().gzip()).unwrap();
    fixture.store.commit(std::slice::from_ref(&packed)).unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&fixture.pack_path(&packed)) & 0o333, 0);
    for name in [
        "",
        "packs",
        "tmp",
        "index.db",
        "meta.json",
        "lock",
        "index.lock",
    ] {
        assert_eq!(mode(&fixture.root().join(name)) & 0o022, 0, "{name}");
    }
}
