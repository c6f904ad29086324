//! The next version, as npm's `semver` counts.

use super::{Identifier, Version};

/// Which version comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bump {
    /// The next first number, or the release of such a pre-release.
    Major,
    /// The next second number, or the release of such a pre-release.
    Minor,
    /// The next third number, or the release.
    Patch,
    /// A pre-release of the next first number.
    PreMajor,
    /// A pre-release of the next second number.
    PreMinor,
    /// A pre-release of the next third number.
    PrePatch,
    /// The next pre-release; after a release, one of the next third number.
    PreRelease,
}

impl Bump {
    /// Reads the word for it.
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "major" => Self::Major,
            "minor" => Self::Minor,
            "patch" => Self::Patch,
            "premajor" => Self::PreMajor,
            "preminor" => Self::PreMinor,
            "prepatch" => Self::PrePatch,
            "prerelease" => Self::PreRelease,
            _ => return None,
        })
    }
}

impl Version {
    /// The version after it; `name` is how pre-releases are called.
    #[must_use]
    pub fn bumped(&self, bump: Bump, name: Option<&str>) -> Self {
        let [major, minor, patch] = self.numbers;
        let is_release = self.pre_release.is_empty();
        let numbers = match bump {
            Bump::Major if is_release || minor != 0 || patch != 0 => [major + 1, 0, 0],
            Bump::Minor if is_release || patch != 0 => [major, minor + 1, 0],
            Bump::Patch | Bump::PreRelease if is_release => [major, minor, patch + 1],
            Bump::PreMajor => [major + 1, 0, 0],
            Bump::PreMinor => [major, minor + 1, 0],
            Bump::PrePatch => [major, minor, patch + 1],
            Bump::Major | Bump::Minor | Bump::Patch | Bump::PreRelease => self.numbers,
        };
        let pre_release = match bump {
            Bump::Major | Bump::Minor | Bump::Patch => Vec::new(),
            Bump::PreRelease => next(&self.pre_release, name),
            Bump::PreMajor | Bump::PreMinor | Bump::PrePatch => next(&[], name),
        };
        Self {
            numbers,
            pre_release,
        }
    }
}

/// The pre-release after `now`: its last number is one more.
fn next(now: &[Identifier], name: Option<&str>) -> Vec<Identifier> {
    let mut next = now.to_vec();
    let is_number = |one: &&mut Identifier| matches!(one, Identifier::Number(_));
    match next.iter_mut().rev().find(is_number) {
        Some(Identifier::Number(number)) => *number += 1,
        _ => next.push(Identifier::Number(0)),
    }
    let Some(name) = name.filter(|name| !name.is_empty()) else {
        return next;
    };
    let name = match name.parse() {
        Ok(number) => Identifier::Number(number),
        Err(_) => Identifier::Word(name.into()),
    };
    match &next[..] {
        [first, Identifier::Number(_), ..] if *first == name => next,
        _ => vec![name, Identifier::Number(0)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_counted_as_npm_counts_them() {
        for (version, word, name, expected) in [
            ("1.2.3", "major", None, "2.0.0"),
            ("1.2.3", "minor", None, "1.3.0"),
            ("1.2.3", "patch", None, "1.2.4"),
            ("1.2.3", "premajor", None, "2.0.0-0"),
            ("1.2.3", "preminor", Some("beta"), "1.3.0-beta.0"),
            ("1.2.3", "prepatch", None, "1.2.4-0"),
            ("1.2.3", "prerelease", None, "1.2.4-0"),
            ("1.2.3", "prerelease", Some("rc"), "1.2.4-rc.0"),
            ("1.2.3-rc.1", "prerelease", None, "1.2.3-rc.2"),
            ("1.2.3-rc.1", "prerelease", Some("rc"), "1.2.3-rc.2"),
            ("1.2.3-rc.1", "prerelease", Some("beta"), "1.2.3-beta.0"),
            ("1.2.3-rc", "prerelease", None, "1.2.3-rc.0"),
            ("1.2.3-0.x", "prerelease", None, "1.2.3-1.x"),
            ("1.2.3-rc.1", "patch", None, "1.2.3"),
            ("1.2.3-rc.1", "prepatch", None, "1.2.4-0"),
            ("2.0.0-rc.1", "major", None, "2.0.0"),
            ("2.1.0-rc.1", "minor", None, "2.1.0"),
            ("2.1.1-rc.1", "minor", None, "2.2.0"),
            ("2.1.0-rc.1", "major", None, "3.0.0"),
        ] {
            let parsed = Version::parse(version).unwrap();
            let next = parsed.bumped(Bump::parse(word).unwrap(), name);
            assert_eq!(next.to_string(), expected, "{version} {word} {name:?}");
        }
        assert_eq!(Bump::parse("from-git"), None);
    }
}
