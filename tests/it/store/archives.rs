//! What an archive may be, and what becomes of its entries.

use super::*;
use proptest::prelude::*;

#[test]
fn archive_paths_that_leave_the_package_refuse_it_whole() {
    let fixture = Fixture::new();
    let long = format!("package/{}", "n".repeat(300));
    for path in [
        "package/../../x",
        "/abs",
        "..\\x",
        "package/..\\x",
        "C:..\\x",
        "package/a\u{1b}[2J",
        long.as_str(),
    ] {
        let archive = Tar::default()
            .manifest()
            .pax(b'x', &[("path", path)])
            .file("x", "x");
        let refusal = fixture.refusal(archive.gzip());
        assert!(
            matches!(refusal, Refusal::Path { .. }),
            "{path:?} {refusal}"
        );
        assert!(!refusal.to_string().contains('\u{1b}'));
    }
    let not_utf8 = Tar::default().manifest().file(b"package/\xff", "x");
    let refusal = fixture.refusal(not_utf8.gzip());
    assert!(matches!(refusal, Refusal::Path { .. }), "{refusal}");
}

#[test]
fn links_are_skipped_and_counted() {
    let fixture = Fixture::new();
    let archive = Tar::default()
        .manifest()
        .entry("package/s", b'2', 0o777, b"")
        .entry("package/../../h", b'1', 0o644, b"")
        .entry("package/d/", b'5', 0o755, b"");
    let packed = fixture.both(archive.gzip());
    assert_eq!(packed.skipped_links, 2);
    assert_eq!(fixture.paths(&packed), ["package.json"]);
}

#[test]
fn devices_sparse_files_and_unknown_types_are_refused() {
    let fixture = Fixture::new();
    for kind in [b'3', b'4', b'6', b'S', b'M', b'D', b'V', b'Z', 0xff] {
        let archive = Tar::default()
            .manifest()
            .entry("package/x", kind, 0o644, b"");
        let refusal = fixture.refusal(archive.gzip());
        assert!(matches!(refusal, Refusal::EntryType { .. }), "{kind}");
    }
    for kind in [b'x', b'g'] {
        let archive = Tar::default()
            .manifest()
            .pax(kind, &[("GNU.sparse.major", "1")])
            .file("package/x", "x");
        assert!(matches!(fixture.refusal(archive.gzip()), Refusal::Tar(_)));
    }
    let archive = Tar::default()
        .manifest()
        .entry("package/l", b'1', 0o644, b"content");
    assert!(matches!(fixture.refusal(archive.gzip()), Refusal::Tar(_)));
}

#[test]
fn modes_become_one_execute_bit() {
    let fixture = Fixture::new();
    let modes = [
        (0o4755, true),
        (0o2755, true),
        (0o0, false),
        (0o777, true),
        (0o666, false),
        (0o1, true),
        (0o7644, false),
    ];
    let mut archive = Tar::default().manifest();
    for (mode, _) in modes {
        archive = archive.entry(format!("package/{mode:o}"), b'0', mode, b"x");
    }
    let packed = fixture.both(archive.gzip());
    let files = fixture.files(&packed);
    for (mode, executable) in modes {
        let name = format!("{mode:o}");
        let file = files.iter().find(|file| file.0 == name).unwrap();
        assert_eq!(file.1, executable, "{name}");
    }
}

#[test]
fn of_duplicate_paths_the_last_counts_and_different_ones_are_told_of() {
    let fixture = Fixture::new();
    let archive = Tar::default()
        .file("package/same", "x")
        .file("package/other", "first")
        .manifest()
        .file("other/same", "x")
        .file("package/other", "last")
        .manifest();
    let packed = fixture.both(archive.gzip());
    let path = RelativePath::new("other").unwrap();
    assert_eq!(packed.warnings, [IngestWarning::DuplicatePath { path }]);
    let files = fixture.files(&packed);
    let other = files.iter().find(|file| file.0 == "other").unwrap();
    assert_eq!(other.2, b"last");
    assert_eq!(files.len(), 3);
}

#[test]
fn two_different_manifests_are_refused() {
    let fixture = Fixture::new();
    let archive = Tar::default()
        .manifest()
        .file("x/package.json", r#"{"name":"b"}"#);
    let refusal = fixture.refusal(archive.gzip());
    assert!(matches!(refusal, Refusal::AmbiguousManifest));
}

#[test]
fn a_path_that_is_file_and_directory_is_refused() {
    let fixture = Fixture::new();
    for paths in [["p/a", "p/a/b"], ["p/a/b", "p/a"], ["p/a-b/c/d", "p/a-b"]] {
        let mut archive = Tar::default().manifest().file("p/a-", "x");
        for path in paths {
            archive = archive.file(path, "x");
        }
        let refusal = fixture.refusal(archive.gzip());
        assert!(matches!(refusal, Refusal::FileAndDirectory { .. }));
    }
}

#[test]
fn names_that_differ_only_in_case_or_composition_are_kept_apart() {
    let fixture = Fixture::new();
    let names = ["A", "a", "e\u{301}", "\u{e9}", "package.json"];
    let mut archive = Tar::default().manifest();
    for name in &names[..4] {
        archive = archive.file(format!("package/{name}"), name);
    }
    let packed = fixture.both(archive.gzip());
    assert_eq!(fixture.paths(&packed), {
        let mut sorted = names;
        sorted.sort_unstable();
        sorted
    });
}

#[test]
fn pax_sizes_and_paths_override_the_header() {
    let fixture = Fixture::new();
    let mut archive = Tar::default().manifest().pax(
        b'x',
        &[("path", "package/long/name"), ("size", "5"), ("mtime", "1")],
    );
    archive = archive
        .block(Tar::header(b"package/x", b'0', 0o644, 600))
        .content(b"hello")
        .pax(b'g', &[("comment", "a commit")])
        .file("package/y", "y");
    let packed = fixture.both(archive.gzip());
    assert_eq!(fixture.paths(&packed), ["long/name", "package.json", "y"]);
}

#[test]
fn archives_that_readers_disagree_about_are_refused() {
    let fixture = Fixture::new();
    let base = || Tar::default().manifest();
    let long = |tar: Tar| tar.entry("././@LongLink", b'L', 0o644, b"package/long\0");
    let raw_pax = |content: &[u8]| base().entry("P", b'x', 0o644, content).file("p/x", "x");
    for (what, archive) in [
        (
            "pax and long name",
            long(base()).pax(b'x', &[("path", "p/y")]).file("p/x", "x"),
        ),
        ("two long names", long(long(base())).file("p/x", "x")),
        (
            "two pax headers",
            base()
                .pax(b'x', &[("a", "b")])
                .pax(b'x', &[("a", "b")])
                .file("p/x", "x"),
        ),
        (
            "global path",
            base().pax(b'g', &[("path", "p/y")]).file("p/x", "x"),
        ),
        (
            "global size",
            base().pax(b'g', &[("size", "1")]).file("p/x", "x"),
        ),
        ("ends after pax", base().pax(b'x', &[("path", "p/y")])),
        (
            "pax size no number",
            base().pax(b'x', &[("size", "-1")]).file("p/x", "x"),
        ),
        (
            "pax size too large",
            base()
                .pax(b'x', &[("size", &"9".repeat(30))])
                .file("p/x", "x"),
        ),
        ("pax without length", raw_pax(b"path=x\n")),
        ("pax too long", raw_pax(b"99 path=x\n")),
        ("pax too short", raw_pax(b"3 path=x\n")),
        ("pax without newline", raw_pax(b"9 path=x-")),
        ("pax without equals", raw_pax(b"9 pathxx\n")),
    ] {
        let refusal = fixture.refusal(archive.gzip());
        assert!(matches!(refusal, Refusal::Tar(_)), "{what}: {refusal}");
    }
}

#[test]
fn gnu_long_names_and_ustar_prefixes_are_read() {
    let fixture = Fixture::new();
    let long = format!("package/{}/{}", "d".repeat(120), "f".repeat(120));
    let mut prefixed = Tar::header(b"name.js", b'0', 0o644, 1);
    prefixed[345..356].copy_from_slice(b"package/lib");
    seal(&mut prefixed);
    let archive = Tar::default()
        .manifest()
        .entry("././@LongLink", b'L', 0o644, format!("{long}\0").as_bytes())
        .entry("././@LongLink", b'K', 0o644, b"target\0")
        .file("package/short", "x")
        .block(prefixed)
        .content(b"y");
    let packed = fixture.both(archive.gzip());
    assert_eq!(
        fixture.paths(&packed),
        [&long["package/".len()..], "lib/name.js", "package.json"]
    );
}

#[test]
fn the_first_component_goes_away_whatever_it_is_called() {
    let fixture = Fixture::new();
    let archive = Tar::default()
        .file("package.json", "{}")
        .file("./dot/x", "x")
        .file("any/y", "y")
        .file("root.js", "z");
    let packed = fixture.both(archive.gzip());
    assert_eq!(
        fixture.paths(&packed),
        ["dot/x", "package.json", "root.js", "y"]
    );
}

#[test]
fn damaged_and_truncated_archives_are_refused() {
    let fixture = Fixture::new();
    let tar = Tar::default().manifest().file("p/x", vec![7; 3000]);
    let plain = tar.end();
    let packed = gzip(&plain);
    for length in [
        1,
        2,
        9,
        20,
        packed.len() / 2,
        packed.len() - 9,
        packed.len() - 1,
    ] {
        fixture.refusal(packed[..length].to_vec());
    }
    let mut wrong_crc = packed.clone();
    let at = wrong_crc.len() - 6;
    wrong_crc[at] ^= 1;
    assert!(matches!(fixture.refusal(wrong_crc), Refusal::Gzip(_)));
    let mut wrong_length = packed.clone();
    let at = wrong_length.len() - 3;
    wrong_length[at] ^= 1;
    assert!(matches!(fixture.refusal(wrong_length), Refusal::Gzip(_)));
    for cut in [512 * 2 + 700, 512 * 2 + 100, 100] {
        assert!(matches!(
            fixture.refusal(gzip(&plain[..cut])),
            Refusal::Tar(_)
        ));
        fixture.refusal(plain[..cut].to_vec());
    }
    let mut checksum = plain;
    checksum[3] ^= 1;
    assert!(matches!(fixture.refusal(gzip(&checksum)), Refusal::Tar(_)));
}

#[test]
fn after_the_compressed_data_only_zeros_and_further_members_may_follow() {
    let fixture = Fixture::new();
    let tar = Tar::default().manifest().file("p/x", "x");
    let plain = tar.end();
    let packed = gzip(&plain);
    for garbage in [&b"x"[..], b"\0\0x", b"\x1f", b"\x1f\x8b", b"\x1f\x8b\x08\0"] {
        let refusal = fixture.refusal([&packed, garbage].concat());
        assert!(matches!(refusal, Refusal::Gzip(_)), "{garbage:?}");
    }
    let (head, tail) = plain.split_at(700);
    for archive in [
        packed.clone(),
        [&packed[..], &[0; 512]].concat(),
        [gzip(head), gzip(tail)].concat(),
        plain.clone(),
        gzip(&plain[..plain.len() - 1024]),
    ] {
        let packed = fixture.both(archive);
        assert_eq!(fixture.paths(&packed), ["package.json", "x"]);
    }
}

#[test]
fn a_size_that_no_archive_can_have_is_refused_at_once() {
    let fixture = Fixture::new();
    let header = |size: [u8; 12]| {
        let mut block = Tar::header(b"p/x", b'0', 0o644, 0);
        block[124..136].copy_from_slice(&size);
        seal(&mut block);
        Tar::default().manifest().block(block).content(b"x").gzip()
    };
    fixture.refusal(header(*b"777777777777"));
    fixture.refusal(header([0xff; 12]));
    fixture.refusal(header(*b"\x80\0\0\0\x0f\xff\xff\xff\xff\xff\xff\xff"));
    fixture.refusal(header(*b"9\0\0\0\0\0\0\0\0\0\0\0"));
    fixture.refusal(header(*b"-1\0\0\0\0\0\0\0\0\0\0"));
}

fn archive_name() -> impl Strategy<Value = String> {
    "[a-zé]{1,3}(/[a-z.]{0,2}[a-z]{1,90}){1,4}"
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn generated_archives_are_listed_as_the_tar_crate_lists_them(
        entries in proptest::collection::btree_map(
            archive_name(),
            (proptest::collection::vec(any::<u8>(), 0..1500), any::<bool>()),
            1..12,
        ),
        gnu in any::<bool>(),
    ) {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, (content, executable)) in &entries {
            let mut header = if gnu { tar::Header::new_gnu() } else { tar::Header::new_ustar() };
            header.set_size(content.len() as u64);
            header.set_mode(if *executable { 0o755 } else { 0o644 });
            if !gnu {
                builder.append_pax_extensions([("path", name.as_bytes())]).unwrap();
                header.set_path("p/x").unwrap();
                header.set_cksum();
                builder.append(&header, content.as_slice()).unwrap();
            } else {
                builder.append_data(&mut header, name, content.as_slice()).unwrap();
            }
        }
        let archive = builder.into_inner().unwrap();
        let mut expected = std::collections::BTreeMap::new();
        for entry in tar::Archive::new(archive.as_slice()).entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
            let path = path.split_once('/').unwrap().1.to_owned();
            let executable = entry.header().mode().unwrap() & 0o111 != 0;
            let mut content = Vec::new();
            std::io::Read::read_to_end(&mut entry, &mut content).unwrap();
            expected.insert(path, (executable, content));
        }
        let tree_is_sound = expected.keys().all(|path| {
            !expected.keys().any(|other| other.starts_with(&format!("{path}/")))
        });
        let fixture = Fixture::new();
        match fixture.ingest(gzip(&archive)) {
            Ok(packed) => {
                expected.entry("package.json".to_owned()).or_insert_with(|| {
                    let placeholder = fixture.files(&packed);
                    let file = placeholder.iter().find(|file| file.0 == "package.json").unwrap();
                    (false, file.2.clone())
                });
                let expected: Vec<_> = expected
                    .into_iter()
                    .map(|(path, (executable, content))| (path, executable, content))
                    .collect();
                prop_assert_eq!(fixture.files(&packed), expected);
            }
            Err(error) => prop_assert!(!tree_is_sound, "{}", sources(&error)),
        }
    }

    #[test]
    fn mutated_archives_never_panic_and_both_ways_agree(
        mutations in proptest::collection::vec((0_usize..4096, any::<u8>()), 1..6),
        cut in 0_usize..4096,
    ) {
        let fixture = Fixture::new();
        let mut archive = Tar::default()
            .pax(b'x', &[("path", "package/long")])
            .file("package/x", "content")
            .manifest()
            .end();
        for (at, value) in mutations {
            let at = at % archive.len();
            archive[at] = value;
        }
        archive.truncate(archive.len().saturating_sub(cut % 1024));
        let whole = fixture.ingest(archive.clone());
        let streamed = fixture.ingest_file(&archive);
        prop_assert_eq!(whole.is_ok(), streamed.is_ok());
        if let (Ok(whole), Ok(streamed)) = (whole, streamed) {
            prop_assert_eq!(fixture.files(&whole), fixture.files(&streamed));
        }
    }
}
