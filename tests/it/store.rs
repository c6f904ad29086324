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

mod archives;
mod damage;
mod manifests;
mod packages;

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
