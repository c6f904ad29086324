//! What this machine is, in Node's words, found without running a program where that is possible.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Host {
    /// `process.platform`.
    pub os: &'static str,
    /// `process.arch`.
    pub cpu: &'static str,
    /// `glibc` or `musl`, where it can be told.
    pub libc: Option<&'static str>,
}

impl Host {
    /// Looks at this machine.
    pub fn detect() -> Self {
        Self {
            os: match std::env::consts::OS {
                "macos" => "darwin",
                "windows" => "win32",
                other => other,
            },
            cpu: match std::env::consts::ARCH {
                "x86_64" => "x64",
                "aarch64" => "arm64",
                "x86" => "ia32",
                "powerpc64" => "ppc64",
                "loongarch64" => "loong64",
                "mips" => "mipsel",
                other => other,
            },
            libc: detect_libc(),
        }
    }
}

/// `ldd` is a script on glibc systems and a link to the loader on musl ones; both name their
/// library. Node's own packages look there too.
fn detect_libc() -> Option<&'static str> {
    const LOADERS: [(&str, &str); 4] = [
        ("/lib/ld-musl-x86_64.so.1", "musl"),
        ("/lib/ld-musl-aarch64.so.1", "musl"),
        ("/lib64/ld-linux-x86-64.so.2", "glibc"),
        ("/lib/ld-linux-aarch64.so.1", "glibc"),
    ];
    let ldd = fs::read("/usr/bin/ldd").unwrap_or_default();
    let names = |word: &[u8]| memchr::memmem::find(&ldd, word).is_some();
    if names(b"musl") {
        return Some("musl");
    }
    if names(b"GNU C Library") || names(b"GLIBC") {
        return Some("glibc");
    }
    LOADERS.iter().find(|(path, _)| Path::new(path).exists()).map(|(_, libc)| *libc)
}

/// The version of the Node that `path` (the value of `PATH`) finds. Running it costs 40 ms, so the
/// answer is remembered in `memory` together with the identity of the program file.
///
/// `None` where there is no Node or it does not say a version.
pub fn node_version(path: Option<&OsStr>, memory: &Path) -> Option<node_semver::Version> {
    let program = find_program("node", path?)?;
    let facts = fs::metadata(&program).ok()?;
    let identity = format!(
        "{}\t{}\t{}\t{}\t{}",
        program.display(),
        facts.ino(),
        facts.size(),
        facts.mtime(),
        facts.mtime_nsec(),
    );
    let remembered = fs::read_to_string(memory).unwrap_or_default();
    if let Some((known, version)) = remembered.trim_end().split_once('\n')
        && known == identity
    {
        return node_semver::Version::parse(version).ok();
    }
    let output = Command::new(&program).arg("--version").stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let version = node_semver::Version::parse(text.trim().trim_start_matches('v')).ok()?;
    remember(memory, &format!("{identity}\n{version}\n"));
    Some(version)
}

/// Losing the memory costs one run of Node, so a failure to write it is no failure.
fn remember(memory: &Path, text: &str) {
    let Some(directory) = memory.parent() else { return };
    if fs::create_dir_all(directory).is_err() {
        return;
    }
    if let Ok(mut file) = tempfile::NamedTempFile::new_in(directory)
        && std::io::Write::write_all(&mut file, text.as_bytes()).is_ok()
    {
        let _ = file.persist(memory);
    }
}

fn find_program(name: &str, path: &OsStr) -> Option<PathBuf> {
    std::env::split_paths(path)
        .map(|directory| directory.join(name))
        .find(|candidate| fs::metadata(candidate).is_ok_and(|facts| facts.mode() & 0o111 != 0
            && facts.is_file()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn node_is_asked_once_for_each_program_file() {
        let scratch = tempfile::tempdir().expect("scratch");
        let program = scratch.path().join("node");
        let script = "#!/bin/sh\necho run >> \"$0.runs\"\necho v20.1.0\n";
        fs::write(&program, script).expect("a script");
        fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).expect("executable");
        let memory = scratch.path().join("cache/node");
        for _ in 0..3 {
            let version = node_version(Some(scratch.path().as_os_str()), &memory);
            assert_eq!(version.map(|version| version.to_string()).as_deref(), Some("20.1.0"));
        }
        let runs = fs::read_to_string(scratch.path().join("node.runs")).expect("a log");
        assert_eq!(runs, "run\n");
    }

    #[test]
    fn without_node_there_is_no_version() {
        let scratch = tempfile::tempdir().expect("scratch");
        assert!(node_version(Some(scratch.path().as_os_str()), scratch.path()).is_none());
        assert!(node_version(None, scratch.path()).is_none());
    }
}
