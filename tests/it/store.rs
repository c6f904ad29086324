//! The promises of `docs/STORE.md`, seen from outside.

use std::error::Error;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use pacquet::diagnostic::Diagnostic;
use pacquet::name::RelativePath;
use pacquet::store::{
    Access, BinRunner, IngestOptions, IngestWarning, Integrity, NodeKind, Pack, PackageKey, Packed,
    PendingFile, Refusal, Severity, Store, StoreError, TarballSource,
};
use proptest::prelude::*;

/// Builds tar files, malicious ones too: nothing here is checked.
#[derive(Default)]
struct Tar(Vec<u8>);

impl Tar {
    fn header(name: &[u8], kind: u8, mode: u32, size: u64) -> [u8; 512] {
        let mut block = [0; 512];
        let length = name.len().min(100);
        block[..length].copy_from_slice(&name[..length]);
        block[100..108].copy_from_slice(format!("{mode:07o}\0").as_bytes());
        block[108..116].copy_from_slice(b"0000000\0");
        block[116..124].copy_from_slice(b"0000000\0");
        block[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
        block[136..148].copy_from_slice(b"00000000000\0");
        block[156] = kind;
        block[257..265].copy_from_slice(b"ustar\x0000");
        seal(&mut block);
        block
    }

    fn block(mut self, block: [u8; 512]) -> Self {
        self.0.extend_from_slice(&block);
        self
    }

    fn content(mut self, content: &[u8]) -> Self {
        self.0.extend_from_slice(content);
        let padded = self.0.len().next_multiple_of(512);
        self.0.resize(padded, 0);
        self
    }

    fn entry(self, name: impl AsRef<[u8]>, kind: u8, mode: u32, content: &[u8]) -> Self {
        self.block(Self::header(
            name.as_ref(),
            kind,
            mode,
            content.len() as u64,
        ))
        .content(content)
    }

    fn file(self, name: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> Self {
        self.entry(name, b'0', 0o644, content.as_ref())
    }

    fn manifest(self) -> Self {
        self.file("package/package.json", r#"{"name":"a","version":"1.0.0"}"#)
    }

    fn pax(self, kind: u8, records: &[(&str, &str)]) -> Self {
        let mut content = String::new();
        for (key, value) in records {
            let rest = format!(" {key}={value}\n");
            let mut length = rest.len() + 1;
            while length != rest.len() + length.to_string().len() {
                length += 1;
            }
            content.push_str(&format!("{length}{rest}"));
        }
        self.entry("PaxHeader/x", kind, 0o644, content.as_bytes())
    }

    fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&[0; 1024]);
        self.0
    }

    fn gzip(self) -> Vec<u8> {
        gzip(&self.end())
    }
}

fn seal(block: &mut [u8; 512]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn key(name: &str) -> PackageKey {
    PackageKey::new("sha512-test", name, None)
}

/// A store in a directory of its own.
struct Fixture {
    directory: tempfile::TempDir,
    store: Store,
}

impl Fixture {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("store"), Access::ReadWrite).unwrap();
        Self { directory, store }
    }

    fn root(&self) -> PathBuf {
        self.directory.path().join("store")
    }

    fn ingest(&self, archive: Vec<u8>) -> Result<Packed, StoreError> {
        let options = IngestOptions::new(key("a@1.0.0"));
        self.store.ingest_tarball(archive, &options)
    }

    /// The same archive by the way of large ones.
    fn ingest_file(&self, archive: &[u8]) -> Result<Packed, StoreError> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(archive).unwrap();
        let source = TarballSource::File(file, archive.len() as u64);
        let options = IngestOptions::new(key("a@1.0.0"));
        self.store.ingest_tarball(source, &options)
    }

    /// Ingests both ways and asserts that they agree.
    fn both(&self, archive: Vec<u8>) -> Packed {
        let streamed = self.ingest_file(&archive).unwrap();
        let whole = self.ingest(archive).unwrap();
        assert_eq!(streamed.record.facts, whole.record.facts);
        assert_eq!(streamed.warnings, whole.warnings);
        assert_eq!(self.files(&streamed), self.files(&whole));
        whole
    }

    /// Asserts that both ways refuse the archive and leave nothing behind, and gives the refusal.
    fn refusal(&self, archive: Vec<u8>) -> Refusal {
        let streamed = self.ingest_file(&archive).unwrap_err();
        assert!(
            matches!(streamed, StoreError::Refused { .. }),
            "{streamed:?}"
        );
        let refusal = match self.ingest(archive) {
            Err(StoreError::Refused { source, .. }) => source,
            other => panic!("{other:?}"),
        };
        let status = self.store.status().unwrap();
        assert_eq!((status.packs, status.temporary_files), (0, 0));
        refusal
    }

    fn open(&self, packed: &Packed) -> Pack {
        self.store.open_pack(&packed.record.pack).unwrap()
    }

    /// Path, execute bit and content of every file.
    fn files(&self, packed: &Packed) -> Vec<(String, bool, Vec<u8>)> {
        let pack = self.open(packed);
        let table = pack.table();
        let mut files = Vec::new();
        for number in 0..table.len() {
            if let Some(NodeKind::File { executable, .. }) = table.kind(number) {
                pack.verify_file(number).unwrap();
                let content = pack.read_file(number).unwrap();
                files.push((table.path(number).unwrap(), executable, content));
            }
        }
        files.sort();
        files
    }

    fn paths(&self, packed: &Packed) -> Vec<String> {
        let files = self.files(packed).into_iter();
        files.map(|(path, _, _)| path).collect()
    }

    fn pack_path(&self, packed: &Packed) -> PathBuf {
        let name = packed.record.pack.to_string();
        self.root().join("packs").join(&name[..2]).join(&name[2..])
    }

    fn finding_ids(&self) -> Vec<&'static str> {
        let findings = self.store.verify().unwrap();
        findings.iter().map(|finding| finding.id()).collect()
    }
}

fn sources(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(&format!(": {source}"));
        next = source.source();
    }
    text
}

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

#[test]
fn an_archive_without_files_is_refused() {
    let fixture = Fixture::new();
    for archive in [
        Vec::new(),
        gzip(b""),
        Tar::default().gzip(),
        Tar::default().end(),
        Tar::default().entry("p/", b'5', 0o755, b"").gzip(),
        Tar::default().entry("p/l", b'2', 0o755, b"").gzip(),
    ] {
        assert!(matches!(fixture.refusal(archive), Refusal::Empty));
    }
}

#[test]
fn a_package_without_a_manifest_gets_the_placeholder_and_no_commands() {
    let fixture = Fixture::new();
    let packed = fixture.both(Tar::default().file("p/x", "x").gzip());
    assert!(!packed.record.facts.has_manifest);
    assert_eq!(packed.record.facts.name, None);
    let files = fixture.files(&packed);
    assert_eq!(files[0].0, "package.json");
    assert_eq!(files[0].2.len(), 108);
    assert!(
        files[0]
            .2
            .starts_with(b"{\"_pnpmPlaceholder\":\"This file was generated by pnpm.")
    );
}

#[test]
fn a_manifest_that_is_no_json_object_is_refused() {
    let fixture = Fixture::new();
    let deep = "[".repeat(10_000);
    for text in [
        "", "{", "null", "[]", "1", "\"x\"", "{} x", "{\"a\":}", "{a:1}", &deep,
    ] {
        let archive = Tar::default().file("p/package.json", text);
        let refusal = fixture.refusal(archive.gzip());
        assert!(matches!(refusal, Refusal::Manifest { .. }), "{text:?}");
    }
    let huge = format!("{{\"a\":\"{}\"}}", "x".repeat(17 << 20));
    let refusal = fixture.refusal(Tar::default().file("p/package.json", huge).gzip());
    assert!(matches!(refusal, Refusal::TooLarge { .. }));
}

#[test]
fn odd_manifests_of_old_packages_are_read() {
    let fixture = Fixture::new();
    for text in [
        "\u{feff}{\"name\":\"a\"}".as_bytes(),
        b"{\"name\":\"b\",\"name\":\"a\"}",
        b"{\"author\":\"J\xf6rg\",\"name\":\"a\",\"bin\":[],\"scripts\":1,\"directories\":[]}",
        b"{\"name\":\"a\",\"version\":{},\"bin\":null}",
    ] {
        let packed = fixture.both(Tar::default().file("p/package.json", text).gzip());
        assert_eq!(packed.record.facts.name.as_deref(), Some("a"));
        assert_eq!(packed.record.facts.bins, []);
    }
}

fn with_manifest(manifest: &str) -> Vec<u8> {
    Tar::default()
        .file("p/package.json", manifest)
        .file("p/bin/a.js", "#!/usr/bin/env node\n")
        .file("p/bin/b.mjs", "x")
        .file("p/bin/c", "ELF")
        .file("p/bin/d.sh", "x")
        .gzip()
}

#[test]
fn commands_are_named_and_run_as_pnpm_does() {
    let fixture = Fixture::new();
    let node = || BinRunner::Program("node".into());
    for (manifest, bins) in [
        (
            r#"{"name":"@s/x","bin":"bin/a.js"}"#,
            vec![("x", "bin/a.js", BinRunner::Shebang)],
        ),
        (
            r#"{"name":"x","bin":"./bin/../bin//b.mjs"}"#,
            vec![("x", "bin/b.mjs", node())],
        ),
        (
            r#"{"bin":{"@s/y":"bin/c","z":"bin/d.sh"}}"#,
            vec![
                ("y", "bin/c", BinRunner::Direct),
                ("z", "bin/d.sh", BinRunner::Program("sh".into())),
            ],
        ),
        (
            r#"{"directories":{"bin":"./bin"}}"#,
            vec![
                ("a.js", "bin/a.js", BinRunner::Shebang),
                ("b.mjs", "bin/b.mjs", node()),
                ("c", "bin/c", BinRunner::Direct),
                ("d.sh", "bin/d.sh", BinRunner::Program("sh".into())),
            ],
        ),
        (r#"{"bin":{},"directories":{"bin":"bin"}}"#, vec![]),
        (r#"{"name":"x"}"#, vec![]),
    ] {
        let packed = fixture.both(with_manifest(manifest));
        let actual: Vec<_> = packed
            .record
            .facts
            .bins
            .iter()
            .map(|bin| (bin.name.as_str(), bin.target.as_str(), bin.runner.clone()))
            .collect();
        assert_eq!(actual, bins, "{manifest}");
        for (path, executable, _) in fixture.files(&packed) {
            let is_target = bins.iter().any(|bin| bin.1 == path);
            assert_eq!(executable, is_target, "{manifest} {path}");
        }
    }
}

#[test]
fn commands_with_names_that_are_no_file_names_fail_the_package() {
    let fixture = Fixture::new();
    let long = "b".repeat(300);
    for name in [
        "",
        ".",
        "..",
        "@s/../../x",
        "@s/..",
        "@s",
        "a/b",
        "a\\\\b",
        "\\u0007",
        "a b",
        &long,
    ] {
        let manifest = format!(r#"{{"bin":{{"{name}":"bin/c"}}}}"#);
        let refusal = fixture.refusal(with_manifest(&manifest));
        assert!(
            matches!(refusal, Refusal::BinName { .. }),
            "{name:?} {refusal}"
        );
    }
    let refusal = fixture.refusal(with_manifest(r#"{"name":"@s/..","bin":"bin/c"}"#));
    assert!(matches!(refusal, Refusal::BinName { .. }));
    let refusal = fixture.refusal(with_manifest(r#"{"bin":"bin/c"}"#));
    assert!(matches!(refusal, Refusal::Manifest { .. }));
}

#[test]
fn commands_that_point_outside_the_package_fail_it() {
    let fixture = Fixture::new();
    for target in [
        "../x",
        "../../../etc/passwd",
        "/etc/passwd",
        "bin/../../x",
        "C:/x",
        "..\\\\x",
    ] {
        for manifest in [
            format!(r#"{{"bin":{{"x":"{target}"}}}}"#),
            format!(r#"{{"directories":{{"bin":"{target}"}}}}"#),
        ] {
            let refusal = fixture.refusal(with_manifest(&manifest));
            assert!(matches!(refusal, Refusal::BinTarget { .. }), "{manifest}");
        }
    }
}

#[test]
fn commands_without_a_file_are_left_out_with_a_warning() {
    let fixture = Fixture::new();
    for target in ["missing.js", "bin", ".", "", "bin\\\\a.js"] {
        let manifest = format!(r#"{{"bin":{{"x":"{target}","y":"bin/c"}}}}"#);
        let packed = fixture.both(with_manifest(&manifest));
        assert_eq!(packed.record.facts.bins.len(), 1, "{target}");
        assert!(matches!(
            packed.warnings[..],
            [IngestWarning::MissingBinTarget { .. }]
        ));
    }
}

#[test]
fn a_build_is_required_by_scripts_and_by_native_sources() {
    let fixture = Fixture::new();
    let archive = |manifest: &str, path: &str| {
        let tar = Tar::default().file("p/package.json", manifest);
        tar.file(format!("p/{path}"), "x").gzip()
    };
    for (manifest, path, required) in [
        (r#"{"scripts":{"install":"x"}}"#, "x", true),
        (r#"{"scripts":{"preinstall":"x"}}"#, "x", true),
        (r#"{"scripts":{"postinstall":"x"}}"#, "x", true),
        (r#"{"scripts":{"postinstall":""}}"#, "x", false),
        (r#"{"scripts":{"prepare":"x"}}"#, "x", false),
        ("{}", "binding.gyp", true),
        ("{}", "lib/binding.gyp", false),
        ("{}", ".hooks/x", true),
    ] {
        let packed = fixture.both(archive(manifest, path));
        assert_eq!(
            packed.record.facts.requires_build, required,
            "{manifest} {path}"
        );
    }
}

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
