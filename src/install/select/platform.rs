//! Whether a package fits: `os`, `cpu`, `libc` and `engines.node`, by pnpm's rules.

use std::fmt;

use super::Host;
use crate::install::lockfile::PackageInfo;
use crate::name::escaped;

/// In what a package does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incompatibility {
    /// `os`, `cpu` or `libc`.
    Platform {
        /// Which of them.
        field: &'static str,
        /// What the package wants.
        wanted: Vec<Box<str>>,
        /// What there is.
        present: Vec<Box<str>>,
    },
    /// `engines.node`.
    Engine {
        /// The range that the package wants.
        wanted: Box<str>,
        /// The version that there is.
        present: String,
    },
}

impl fmt::Display for Incompatibility {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Platform { field, wanted, present } => write!(
                formatter,
                "it wants {field} {}, and this is {}",
                escaped(&wanted.join(", ")),
                escaped(&present.join(", ")),
            ),
            Self::Engine { wanted, present } => {
                write!(formatter, "it wants Node {}, and this is {present}", escaped(wanted))
            }
        }
    }
}

/// The platforms for which optional packages are installed: `supportedArchitectures` with
/// `current` replaced by this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Architectures {
    /// `process.platform` of Node.
    pub os: Vec<Box<str>>,
    /// `process.arch` of Node.
    pub cpu: Vec<Box<str>>,
    /// `glibc` and `musl`; empty where it is not known, and then nothing is held against it.
    pub libc: Vec<Box<str>>,
}

impl Architectures {
    /// Replaces `current` by `host`, in each of the three lists; a missing list is `["current"]`.
    pub fn resolve(
        os: Option<&[String]>,
        cpu: Option<&[String]>,
        libc: Option<&[String]>,
        host: &Host,
    ) -> Self {
        let list = |list: Option<&[String]>, current: Option<&str>| {
            let Some(list) = list else {
                return current.into_iter().map(Box::from).collect::<Vec<Box<str>>>();
            };
            let mut resolved: Vec<Box<str>> = Vec::new();
            for name in list {
                let name = if name == "current" { current } else { Some(name.as_str()) };
                if let Some(name) = name
                    && !resolved.iter().any(|present| **present == *name)
                {
                    resolved.push(name.into());
                }
            }
            resolved
        };
        Self {
            os: list(os, Some(host.os)),
            cpu: list(cpu, Some(host.cpu)),
            libc: list(libc, host.libc),
        }
    }
}

/// The first thing in which a package does not fit.
pub(super) fn check(
    info: &PackageInfo,
    architectures: &Architectures,
    node_version: Option<&node_semver::Version>,
) -> Option<Incompatibility> {
    let fields = [
        ("cpu", &info.platforms.cpu, &architectures.cpu),
        ("os", &info.platforms.os, &architectures.os),
        ("libc", &info.platforms.libc, &architectures.libc),
    ];
    for (field, wanted, present) in fields {
        let Some(wanted) = wanted else { continue };
        let unknown = field == "libc" && present.is_empty();
        if !unknown && !fits(wanted, present) {
            let (wanted, present) = (wanted.clone(), present.clone());
            return Some(Incompatibility::Platform { field, wanted, present });
        }
    }
    let (version, wanted) = (node_version?, info.engines.get("node")?);
    (!satisfies(version, wanted)).then(|| Incompatibility::Engine {
        wanted: wanted.clone(),
        present: version.to_string(),
    })
}

/// npm's rule: any positive entry may match; a matching `!entry` rules it out; a list of nothing
/// but `!entries` that do not match lets everything else in.
fn fits(wanted: &[Box<str>], present: &[Box<str>]) -> bool {
    if wanted.len() == 1 && *wanted[0] == *"any" {
        return true;
    }
    let mut matched = false;
    let mut negations = 0;
    for name in present {
        negations = 0;
        for entry in wanted {
            match entry.strip_prefix('!') {
                Some(excluded) if *excluded == **name => return false,
                Some(_) => negations += 1,
                None => matched |= entry == name,
            }
        }
    }
    matched || negations == wanted.len()
}

/// A range that is none lets everything in, as pnpm lets it.
fn satisfies(version: &node_semver::Version, range: &str) -> bool {
    node_semver::Range::parse(range).map_or(true, |range| range.satisfies(version))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(names: &[&str]) -> Vec<Box<str>> {
        names.iter().map(|name| Box::from(*name)).collect()
    }

    #[test]
    fn lists_with_and_without_negation() {
        for (wanted, present, expected) in [
            (["linux"].as_slice(), ["linux"].as_slice(), true),
            (&["darwin"], &["linux"], false),
            (&["!win32"], &["linux"], true),
            (&["!linux"], &["linux"], false),
            (&["any"], &["linux"], true),
            (&["!win32", "!darwin"], &["linux"], true),
            (&["linux", "!win32"], &["linux"], true),
            (&["darwin", "linux"], &["linux"], true),
            (&["darwin"], &["linux", "darwin"], true),
            (&[], &["linux"], true),
        ] {
            assert_eq!(fits(&list(wanted), &list(present)), expected, "{wanted:?} {present:?}");
        }
    }

    #[test]
    fn current_stands_for_this_machine_once() {
        let host = Host { os: "linux", cpu: "x64", libc: Some("glibc") };
        let names = ["current".to_owned(), "linux".to_owned(), "win32".to_owned()];
        let resolved = Architectures::resolve(Some(&names), None, None, &host);
        assert_eq!(resolved.os, list(&["linux", "win32"]));
        assert_eq!(resolved.cpu, list(&["x64"]));
        assert_eq!(resolved.libc, list(&["glibc"]));
        let host = Host { libc: None, ..host };
        assert!(Architectures::resolve(None, None, None, &host).libc.is_empty());
    }

    #[test]
    fn engines_that_are_no_range_let_everything_in() {
        let version = node_semver::Version::parse("20.1.0").expect("a version");
        for (range, expected) in
            [(">=18", true), (">=22", false), ("^20 || >=22", true), ("*", true), ("node", true)]
        {
            assert_eq!(satisfies(&version, range), expected, "{range}");
        }
    }
}
