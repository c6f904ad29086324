//! The machine, what is to be installed for, and whether a package fits.

use std::path::Path;

use super::Mismatch;
use super::infer::Inferred;
use crate::install::lockfile::{PackageInfo, Platforms};
use crate::name::{PackageName, escaped};

/// The machine, in the words of Node's `process.platform` and `process.arch`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// `linux`, `darwin`, …
    pub os: Box<str>,
    /// `x64`, `arm64`, …
    pub cpu: Box<str>,
    /// `glibc` or `musl`; `None` where there is no such thing or it is not known, and every
    /// package fits.
    pub libc: Option<Box<str>>,
}

impl Host {
    /// Finds out what this machine is. Looks for the C library's loader and into `ldd`, which is a
    /// script that names it, and runs nothing.
    pub fn detect() -> Self {
        let os = os_name();
        Self {
            os: os.into(),
            cpu: cpu_name().into(),
            libc: (os == "linux")
                .then(|| detect_libc(Path::new("/")))
                .flatten(),
        }
    }
}

/// The operating system, as Node's `process.platform` names it.
pub fn os_name() -> &'static str {
    match std::env::consts::OS {
        "macos" => "darwin",
        "windows" => "win32",
        "solaris" | "illumos" => "sunos",
        other => other,
    }
}

/// The processor, as Node's `process.arch` names it.
pub fn cpu_name() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        "x86" => "ia32",
        "powerpc64" => "ppc64",
        "loongarch64" => "loong64",
        "mips64" if cfg!(target_endian = "little") => "mips64el",
        "mips" if cfg!(target_endian = "little") => "mipsel",
        other => other,
    }
}

/// The C library of the system whose root directory is `root`.
fn detect_libc(root: &Path) -> Option<Box<str>> {
    if let Ok(script) = std::fs::read(root.join("usr/bin/ldd")) {
        let has = |words: &[u8]| memchr::memmem::find(&script, words).is_some();
        if has(b"musl") {
            return Some("musl".into());
        }
        if has(b"GNU C Library") || has(b"GNU libc") {
            return Some("glibc".into());
        }
    }
    let loaders = |directory: &str, prefix: &str| {
        let entries = std::fs::read_dir(root.join(directory))
            .into_iter()
            .flatten();
        entries
            .filter_map(Result::ok)
            .any(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
    };
    if loaders("lib", "ld-musl-") {
        return Some("musl".into());
    }
    let has_glibc = ["lib", "lib64"]
        .iter()
        .any(|directory| loaders(directory, "ld-linux"));
    has_glibc.then(|| "glibc".into())
}

/// The setting `supportedArchitectures`; `current` stands for the host's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SupportedArchitectures {
    /// `os`; `None` means `current`.
    pub os: Option<Vec<Box<str>>>,
    /// `cpu`; `None` means `current`.
    pub cpu: Option<Vec<Box<str>>>,
    /// `libc`; `None` means `current`.
    pub libc: Option<Vec<Box<str>>>,
    /// All there are, whatever else is listed.
    pub all: bool,
}

/// What is installed for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SupportedPlatforms {
    os: Vec<Box<str>>,
    cpu: Vec<Box<str>>,
    /// `None`: the C library is not known, and every package fits.
    libc: Option<Vec<Box<str>>>,
    /// Every package fits.
    all: bool,
}

impl SupportedPlatforms {
    /// What `setting` means on `host`.
    pub fn new(host: &Host, setting: &SupportedArchitectures) -> Self {
        Self {
            os: expand(setting.os.as_deref(), &host.os),
            cpu: expand(setting.cpu.as_deref(), &host.cpu),
            libc: match (&host.libc, setting.libc.as_deref()) {
                (Some(current), listed) => Some(expand(listed, current)),
                (None, Some(listed)) => Some(expand(Some(listed), "unknown")),
                (None, None) => None,
            },
            all: setting.all,
        }
    }

    /// Whether what is made for this kind of machine runs; `libc` as archives of runtimes name it:
    /// nothing for the usual one.
    pub fn takes(&self, os: &str, cpu: &str, libc: Option<&str>) -> bool {
        let has = |list: &[Box<str>], word: &str| list.iter().any(|one| **one == *word);
        let has_libc = |list: &Vec<Box<str>>| has(list, libc.unwrap_or("glibc"));
        let is_usual = os != "linux" && libc.is_none();
        has(&self.os, os)
            && has(&self.cpu, cpu)
            && (is_usual || self.libc.as_ref().is_none_or(has_libc))
    }

    /// Whether an optional dependency fits.
    pub fn fits(&self, name: &PackageName, platforms: &Platforms) -> bool {
        let mismatch = self.mismatch_of(name, platforms, NameTells::Platform);
        mismatch.is_none()
    }

    /// Why `package` does not fit, if it does not.
    pub(super) fn mismatch(
        &self,
        package: &PackageInfo,
        name_tells: NameTells,
    ) -> Option<Mismatch> {
        self.mismatch_of(&package.name, &package.platforms, name_tells)
    }

    fn mismatch_of(
        &self,
        name: &PackageName,
        platforms: &Platforms,
        name_tells: NameTells,
    ) -> Option<Mismatch> {
        let is_declared =
            platforms.os.is_some() || platforms.cpu.is_some() || platforms.libc.is_some();
        let name = name.unscoped();
        let inferred = match (name_tells, is_declared) {
            (NameTells::Nothing, _) => Inferred::default(),
            (NameTells::Platform, true) => Inferred::from_name(name),
            (NameTells::Platform, false) => Inferred::from_name_alone(name),
        };
        self.mismatch_with(platforms, &inferred)
    }

    /// Why a package that wants `platforms`, or where it wants none what was inferred, does not
    /// fit.
    pub(super) fn mismatch_with(
        &self,
        platforms: &Platforms,
        inferred: &Inferred,
    ) -> Option<Mismatch> {
        if self.all {
            return None;
        }
        let fits = fits(&self.os, platforms.os.as_deref(), &inferred.os)
            && fits(&self.cpu, platforms.cpu.as_deref(), &inferred.cpu)
            && self
                .libc
                .as_deref()
                .is_none_or(|libc| fits(libc, platforms.libc.as_deref(), &inferred.libc));
        (!fits).then(|| Mismatch::Platform {
            wanted: describe([
                ("os", platforms.os.as_deref(), &inferred.os),
                ("cpu", platforms.cpu.as_deref(), &inferred.cpu),
                ("libc", platforms.libc.as_deref(), &inferred.libc),
            ]),
            current: describe([
                ("os", Some(&self.os), &[]),
                ("cpu", Some(&self.cpu), &[]),
                ("libc", self.libc.as_deref(), &[]),
            ]),
        })
    }
}

/// What a package's name says of where it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NameTells {
    /// The words in it that name a platform count where the manifest has none.
    Platform,
    /// Only the manifest counts.
    Nothing,
}

fn expand(listed: Option<&[Box<str>]>, current: &str) -> Vec<Box<str>> {
    let Some(listed) = listed else {
        return vec![current.into()];
    };
    let mut expanded: Vec<Box<str>> = Vec::with_capacity(listed.len());
    for word in listed {
        let word = if &**word == "current" { current } else { word };
        if !expanded.iter().any(|known| &**known == word) {
            expanded.push(word.into());
        }
    }
    expanded
}

/// Whether one of `supported` fits what is declared or, where nothing is, inferred.
fn fits(supported: &[Box<str>], declared: Option<&[Box<str>]>, inferred: &[&str]) -> bool {
    match declared {
        Some(declared) => list_fits(
            supported,
            &declared.iter().map(|word| &**word).collect::<Vec<_>>(),
        ),
        None => list_fits(supported, inferred),
    }
}

/// npm's rule: no word may exclude a supported one, and one must name it unless all only exclude.
fn list_fits(supported: &[Box<str>], list: &[&str]) -> bool {
    if list.is_empty() || list == ["any"] {
        return true;
    }
    let mut is_named = false;
    for value in supported {
        for word in list {
            match word.strip_prefix('!') {
                Some(excluded) if excluded == &**value => return false,
                Some(_) => {}
                None if *word == &**value => {
                    is_named = true;
                    break;
                }
                None => {}
            }
        }
    }
    is_named || list.iter().all(|word| word.starts_with('!'))
}

/// A field, what is declared for it, and what is inferred otherwise.
type NamedList<'a> = (&'a str, Option<&'a [Box<str>]>, &'a [&'a str]);

/// `os=linux cpu=x64,arm64`.
fn describe(lists: [NamedList<'_>; 3]) -> String {
    let mut parts = Vec::new();
    for (key, declared, inferred) in lists {
        let words: Vec<&str> = match declared {
            Some(declared) => declared.iter().map(|word| &**word).collect(),
            None => inferred.to_vec(),
        };
        if !words.is_empty() {
            parts.push(format!("{key}={}", escaped(&words.join(","))));
        }
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_fit_as_in_pnpm() {
        let linux: &[&str] = &["linux"];
        let both: &[&str] = &["linux", "darwin"];
        for (supported, list, fits) in [
            (linux, &[][..], true),
            (linux, &["any"], true),
            (linux, &["any", "win32"], false),
            (linux, &["linux", "any"], true),
            (linux, &["win32"], false),
            (linux, &["!win32"], true),
            (linux, &["!win32", "!aix"], true),
            (linux, &["!linux"], false),
            (linux, &["!linux", "linux"], false),
            (linux, &["linux", "!linux"], true),
            (linux, &["!darwin", "win32"], false),
            (linux, &["!darwin", "linux"], true),
            (both, &["!win32"], true),
            (both, &["!linux"], false),
            (both, &["!darwin"], false),
            (both, &["linux", "!darwin"], false),
            (both, &["!darwin", "linux"], false),
            (both, &["!win32", "linux"], true),
            (both, &["!win32", "aix"], false),
            (both, &["win32", "!linux"], false),
            (both, &["!win32", "!aix"], true),
            (&[], &["linux"], false),
            (&["any"], &["aix"], false),
        ] {
            let supported: Vec<Box<str>> = supported.iter().map(|word| (*word).into()).collect();
            assert_eq!(list_fits(&supported, list), fits, "{supported:?} {list:?}");
        }
    }

    #[test]
    fn current_expands_and_repeats_nothing() {
        let listed = ["current".into(), "darwin".into(), "linux".into()];
        let expanded = expand(Some(&listed), "linux");
        assert_eq!(expanded, ["linux".into(), "darwin".into()]);
        assert_eq!(expand(None, "linux"), ["linux".into()]);
        assert!(expand(Some(&[]), "linux").is_empty());
    }

    #[test]
    fn the_c_library_is_found_without_running_anything() {
        let root = tempfile::tempdir().expect("a directory");
        assert_eq!(detect_libc(root.path()), None);
        std::fs::create_dir(root.path().join("lib")).expect("a directory");
        std::fs::write(root.path().join("lib/ld-linux-x86-64.so.2"), "").expect("a file");
        assert_eq!(detect_libc(root.path()).as_deref(), Some("glibc"));
        std::fs::write(root.path().join("lib/ld-musl-x86_64.so.1"), "").expect("a file");
        assert_eq!(detect_libc(root.path()).as_deref(), Some("musl"));
        std::fs::create_dir_all(root.path().join("usr/bin")).expect("a directory");
        let script = "#! /bin/bash\n# This file is part of the GNU C Library.\n";
        std::fs::write(root.path().join("usr/bin/ldd"), script).expect("a file");
        assert_eq!(detect_libc(root.path()).as_deref(), Some("glibc"));
    }
}
