//! The store's nouns.

use std::fmt;

use crate::name::{BinName, RelativePath, hexadecimal};

/// What parts the key of a package from what its scripts were run with.
const BUILT: &str = "\tbuilt=";

/// What a package is looked up by: where it comes from and what its bytes are.
///
/// `<integrity>\t<package id>`, and `\tpatch=<hash>` after it where a patch was applied, and
/// `\tbuilt=<state>` where it is what its scripts made of it. The
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

    /// The key of what the package has become by its scripts, run in the circumstances that
    /// `state` names.
    pub fn built(&self, state: &str) -> Self {
        Self(format!("{}{BUILT}{state}", self.0).into())
    }

    /// Whether it is the key of a package after its scripts.
    pub fn is_built(&self) -> bool {
        self.0.contains(BUILT)
    }

    /// Whether it is the key of `plain` after its scripts.
    pub fn is_built_from(&self, plain: &Self) -> bool {
        let rest = self.0.strip_prefix(&*plain.0);
        rest.is_some_and(|rest| rest.starts_with(BUILT))
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
        formatter.write_str(&hexadecimal(&self.0))
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
    /// The target begins with `#!` or is an ELF program: the kernel starts it, so a symlink serves.
    Shebang,
    /// The target has no `#!`; its ending names the program that runs it (`node`, `sh`).
    Program(Box<str>),
    /// The target has no `#!` and no known ending: it is executed as it is.
    Direct,
}

impl BinRunner {
    /// Bytes from the beginning of a target that decide: as many as the kernel looks at.
    pub const START_BYTES: usize = 256;

    /// How a target that begins with `start` and is called `path` is started.
    ///
    /// The kernel takes a carriage return at the end of the interpreter line for a part of the
    /// program's name, so such a target is started through the program that it means; its arguments
    /// are left out, as they are without `env -S` on Linux.
    pub fn of(start: &[u8], path: &str) -> Self {
        if start.starts_with(b"\x7fELF") {
            return Self::Shebang;
        }
        let line = start
            .split(|byte| *byte == b'\n')
            .next()
            .unwrap_or_default();
        if let Some(interpreter) = line.strip_prefix(b"#!") {
            let is_whole = line.len() < start.len();
            return match interpreter.strip_suffix(b"\r").filter(|_| is_whole) {
                None => Self::Shebang,
                Some(interpreter) => program_of(interpreter)
                    .map_or_else(|| Self::by_ending(path), |name| Self::Program(name.into())),
            };
        }
        Self::by_ending(path)
    }

    fn by_ending(path: &str) -> Self {
        let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
        match name.rsplit_once('.') {
            Some((_, "js" | "cjs" | "mjs")) => Self::Program("node".into()),
            Some((_, "sh")) => Self::Program("sh".into()),
            _ => Self::Direct,
        }
    }
}

/// The program of an interpreter line, looked for by `env` or given by its path.
fn program_of(interpreter: &[u8]) -> Option<&str> {
    let mut words = std::str::from_utf8(interpreter)
        .ok()?
        .split_ascii_whitespace();
    let first = words.next()?;
    if first != "/usr/bin/env" {
        return Some(first);
    }
    words.find(|word| *word != "-S")
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

/// A command of a package that another one carries in its own `node_modules`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundledBin {
    /// The name of the carried package, or its directory where it has none.
    pub package: Box<str>,
    /// The command; its target is relative to the carrying package.
    pub bin: Bin,
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
    /// Where it lists bundled dependencies: the commands of all packages directly in its
    /// `node_modules`, sorted by package and name.
    pub bundled_bins: Vec<BundledBin>,
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

/// What is in a store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreStatus {
    /// Rows of the index.
    pub packages: u64,
    /// Of these, how many are known to be on disk.
    pub durable: u64,
    /// Of these, how many are not yet.
    pub not_durable: u64,
    /// Files in `packs`.
    pub packs: u64,
    /// Their bytes.
    pub pack_bytes: u64,
    /// Files in `tmp`.
    pub temporary_files: u64,
    /// Their bytes.
    pub temporary_bytes: u64,
}

/// What a rebuilt index has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RebuildReport {
    /// Packages that are found again.
    pub packages: usize,
    /// Packs that are damaged and have no row.
    pub damaged: Vec<PackId>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_started_by_the_kernel_only_where_it_can() {
        let program = |name: &str| BinRunner::Program(name.into());
        for (start, path, expected) in [
            ("#!/usr/bin/env node\nx", "a", BinRunner::Shebang),
            ("#!/usr/bin/env node", "a", BinRunner::Shebang),
            ("#!/usr/bin/env node\nx\r\n", "a", BinRunner::Shebang),
            ("#!/usr/bin/env node\rx\n", "a", BinRunner::Shebang),
            ("#!/usr/bin/env node\r\nx", "a", program("node")),
            ("#! /usr/bin/env  -S node --x \r\n", "a", program("node")),
            ("#!/bin/sh\r\n", "a", program("/bin/sh")),
            ("#!\r\n", "a.mjs", program("node")),
            ("#!/usr/bin/env\r\n", "a", BinRunner::Direct),
            ("\u{feff}#!/bin/sh\n", "bin/a.js", program("node")),
            ("x", "a.cjs", program("node")),
            ("x", "a.sh", program("sh")),
            ("\x7fELF\x02", "a", BinRunner::Shebang),
            ("x", "a.js/b", BinRunner::Direct),
            ("", "a.py", BinRunner::Direct),
        ] {
            assert_eq!(
                BinRunner::of(start.as_bytes(), path),
                expected,
                "{start:?} {path}"
            );
        }
    }
}
