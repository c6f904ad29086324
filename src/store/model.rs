//! The store's nouns.

use std::fmt;

use crate::name::{BinName, RelativePath};

/// What a package is looked up by: where it comes from and what its bytes are.
///
/// `<integrity>\t<package id>`, and `\tpatch=<hash>` after it where a patch was applied. The
/// integrity is the strongest hash of the lockfile's SRI string; what has none (a git commit, a
/// directory) uses a string that pins the source instead. Two sources never share a key, so that a
/// name alone can never choose another package's bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackageKey(Box<str>);

impl PackageKey {
    /// The key of the package `id` whose archive has the hash `integrity`, with the patch of that
    /// hash applied where there is one.
    pub fn new(integrity: &str, id: &str, patch_hash: Option<&str>) -> Self {
        let mut key = format!("{integrity}\t{id}");
        if let Some(hash) = patch_hash {
            key.push_str("\tpatch=");
            key.push_str(hash);
        }
        Self(key.into())
    }

    /// A key as it was stored.
    pub fn from_stored(key: &str) -> Self {
        Self(key.into())
    }

    /// The text, as stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The name of a pack: the SHA-256 of its table, which itself has a SHA-256 of each file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackId(pub [u8; 32]);

impl PackId {
    /// The id that [`fmt::Display`] shows as `text`.
    pub fn from_hexadecimal(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        let mut id = [0; 32];
        if digits.len() != 2 * id.len() || !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(id))
    }
}

impl fmt::Display for PackId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0 {
            write!(formatter, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for PackId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// One file of a pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// Path within the package.
    pub path: RelativePath,
    /// Whether any execute bit was set in the archive, or the file is the target of one of the
    /// package's own bins.
    pub executable: bool,
    /// Bytes.
    pub size: u64,
    /// Where the content begins in the pack, in bytes.
    pub offset: u64,
    /// SHA-256 of the content.
    pub digest: [u8; 32],
}

/// How a bin's target is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BinRunner {
    /// The target begins with `#!`: the kernel starts it, so a symlink serves.
    Shebang,
    /// The target has no `#!`; its ending names the program that runs it (`node`, `sh`).
    Program(Box<str>),
    /// The target has no `#!` and no known ending: it is executed as it is.
    Direct,
}

/// A command that a package offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bin {
    /// Name in `.bin`.
    pub name: BinName,
    /// The file within the package. It exists in the pack.
    pub target: RelativePath,
    /// How it is started.
    pub runner: BinRunner,
}

/// What an installer needs to know of a package without opening its pack ("manifest bits").
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PackageFacts {
    /// `name` of its `package.json`, where there is a well-formed one.
    pub name: Option<Box<str>>,
    /// `version` of its `package.json`.
    pub version: Option<Box<str>>,
    /// Its commands, sorted by name.
    pub bins: Vec<Bin>,
    /// Whether it has a `preinstall`, `install` or `postinstall` script, a `binding.gyp` at its
    /// root, or anything under `.hooks/` (pnpm's rule).
    pub requires_build: bool,
    /// Whether it has a `package.json`.
    pub has_manifest: bool,
    /// Whether its manifest lists bundled dependencies.
    pub bundles_dependencies: bool,
    /// Number of files.
    pub files: u32,
    /// Their bytes.
    pub bytes: u64,
}

/// A row of the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageRecord {
    /// The pack.
    pub pack: PackId,
    /// What is known of it.
    pub facts: PackageFacts,
}
