//! Platforms that a package's name tells of, for packages whose manifest does not.

/// Words of a name, and what they say.
const OPERATING_SYSTEMS: [(&str, &str); 13] = [
    ("aix", "aix"),
    ("android", "android"),
    ("darwin", "darwin"),
    ("freebsd", "freebsd"),
    ("linux", "linux"),
    ("macos", "darwin"),
    ("netbsd", "netbsd"),
    ("openbsd", "openbsd"),
    ("openharmony", "openharmony"),
    ("osx", "darwin"),
    ("sunos", "sunos"),
    ("win32", "win32"),
    ("windows", "win32"),
];
const PROCESSORS: [(&str, &str); 15] = [
    ("aarch64", "arm64"),
    ("amd64", "x64"),
    ("arm", "arm"),
    ("arm64", "arm64"),
    ("armv6", "arm"),
    ("armv7", "arm"),
    ("ia32", "ia32"),
    ("loong64", "loong64"),
    ("mips64el", "mips64el"),
    ("ppc64", "ppc64"),
    ("ppc64le", "ppc64"),
    ("riscv64", "riscv64"),
    ("s390x", "s390x"),
    ("wasm32", "wasm32"),
    ("x64", "x64"),
];
const C_LIBRARIES: [(&str, &str); 5] = [
    ("glibc", "glibc"),
    ("gnu", "glibc"),
    ("gnueabihf", "glibc"),
    ("musl", "musl"),
    ("musleabihf", "musl"),
];

/// What the words of a name say.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Inferred {
    pub(super) os: Vec<&'static str>,
    pub(super) cpu: Vec<&'static str>,
    pub(super) libc: Vec<&'static str>,
}

impl Inferred {
    /// Reads a name without its scope, for a package that declares nothing itself; empty where the
    /// name makes no platform.
    pub(super) fn from_name_alone(unscoped: &str) -> Self {
        // Nearly every name ends here: none of its words is a system.
        let words = || unscoped.split(|character: char| !character.is_ascii_alphanumeric());
        if !words().any(|word| find(word, &OPERATING_SYSTEMS).is_some()) {
            return Self::default();
        }
        let inferred = Self::from_name(unscoped);
        if inferred.is_platform() {
            inferred
        } else {
            Self::default()
        }
    }

    /// Reads a name without its scope.
    pub(super) fn from_name(unscoped: &str) -> Self {
        let mut inferred = Self::default();
        for word in unscoped.split(|character: char| !character.is_ascii_alphanumeric()) {
            add(word, &OPERATING_SYSTEMS, &mut inferred.os);
            add(word, &PROCESSORS, &mut inferred.cpu);
            add(word, &C_LIBRARIES, &mut inferred.libc);
        }
        inferred
    }

    /// Whether the name alone makes a platform: a system, and a processor or a C library. One word
    /// of a name may mean anything.
    fn is_platform(&self) -> bool {
        let is_known = |words: &[&str]| !words.is_empty();
        is_known(&self.os) && (is_known(&self.cpu) || is_known(&self.libc))
    }
}

fn add(word: &str, table: &[(&str, &'static str)], found: &mut Vec<&'static str>) {
    found.extend(find(word, table));
}

fn find(word: &str, table: &[(&str, &'static str)]) -> Option<&'static str> {
    let mut table = table.iter();
    let entry = table.find(|(known, _)| known.eq_ignore_ascii_case(word));
    entry.map(|(_, meaning)| *meaning)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_make_a_platform_only_with_a_system_and_a_second_word() {
        for name in [
            "darwin-arm64",
            "rollup-linux-x64-musl",
            "foo-linux-musl",
            "foo_darwin_x64",
            "foo.darwin.x64",
            "FOO-Darwin-X64",
            "foo-x64-bar-darwin",
            "foo-wasm32-linux",
            "foo-linux-gnueabihf",
        ] {
            assert_ne!(
                Inferred::from_name_alone(name),
                Inferred::default(),
                "{name}"
            );
        }
        for name in [
            "",
            "plain",
            "foo-darwin",
            "foo-x64",
            "foo-musl",
            "foo-x64-musl",
            "turbo-darwin-64",
            "turbo-windows-64",
            "foo-darwin-universal",
            "foo-x86_64-apple-darwin",
            "foodarwin-x64",
            "foo-darwinx64",
            "foo-win-x64",
            "foo-mac-x64",
            "foo-linux-i686",
            "foo-wasm32-wasi",
        ] {
            assert_eq!(
                Inferred::from_name_alone(name),
                Inferred::default(),
                "{name}"
            );
        }
    }

    #[test]
    fn every_word_counts() {
        assert_eq!(
            Inferred::from_name("foo-macos-win32-amd64-armv7-gnu"),
            Inferred {
                os: vec!["darwin", "win32"],
                cpu: vec!["x64", "arm"],
                libc: vec!["glibc"],
            }
        );
    }
}
