//! The keys of `overrides`: `parent>target@range:group`, in whose names `*` is any run of
//! characters.

use node_semver::{Range, Version};

use crate::install::layout::NamePatterns;
use crate::name::PackageName;

/// Which dependencies of a manifest a key may be about alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::install) enum Group {
    /// `:prod`: `dependencies`.
    Production,
    /// `devDependencies`, which no key is about alone.
    Development,
    /// `:optional`: `optionalDependencies`.
    Optional,
    /// `:peer`: `peerDependencies`.
    Peer,
}

impl Group {
    pub(super) const ALL: [Self; 4] = [
        Self::Production,
        Self::Development,
        Self::Optional,
        Self::Peer,
    ];

    /// Those that a key can name.
    const NAMED: [(&str, Self); 3] = [
        (":prod", Self::Production),
        (":optional", Self::Optional),
        (":peer", Self::Peer),
    ];
}

/// A key.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) parent: Option<Selector>,
    pub(super) target: Selector,
    pub(super) group: Option<Group>,
    /// It ends in `@`: the version of all whose range allows it.
    pub(super) converges: bool,
}

/// `name` or `name@range`.
#[derive(Debug, Clone)]
pub(super) struct Selector {
    pub(super) name: Box<str>,
    pub(super) range: Option<Box<str>>,
    /// Where the name has a `*`.
    wildcard: Option<NamePatterns>,
}

impl Key {
    /// A `>` parts parent and target where it does not belong to a range.
    pub(super) fn parse(key: &str) -> Self {
        let (converges, key) = match key.strip_suffix('@') {
            Some(name) if !name.is_empty() => (true, name),
            _ => (false, key),
        };
        let mut named = Group::NAMED.iter();
        let named = named.find_map(|(end, group)| Some((key.strip_suffix(end)?, *group)));
        let (key, group) = match named {
            Some((key, group)) => (key, Some(group)),
            None => (key, None),
        };
        let bytes = key.as_bytes();
        let delimiter = (1..bytes.len())
            .find(|at| bytes[*at] == b'>' && !matches!(bytes[*at - 1], b' ' | b'|' | b'@'));
        let (parent, target) = match delimiter {
            Some(at) => (Some(Selector::parse(&key[..at])), &key[at + 1..]),
            None => (None, key),
        };
        Self {
            parent,
            target: Selector::parse(target),
            group,
            converges,
        }
    }

    /// The part of it that names no package, if there is one.
    pub(super) fn invalid_name(self) -> Option<Box<str>> {
        let converges = self.converges;
        let selectors = self.parent.into_iter().chain([self.target]);
        selectors
            .filter(|one| !one.can_name(converges))
            .map(|one| one.name)
            .next()
    }
}

impl Selector {
    fn parse(text: &str) -> Self {
        let at = text
            .char_indices()
            .skip(1)
            .find(|(_, letter)| *letter == '@')
            .map(|(at, _)| at);
        let (name, range) = match at {
            Some(at) => (&text[..at], Some(text[at + 1..].into())),
            None => (text, None),
        };
        let has_wildcard = name.contains('*');
        Self {
            name: name.into(),
            range,
            wildcard: has_wildcard.then(|| NamePatterns::new(&[name.into()])),
        }
    }

    pub(super) fn is_wildcard(&self) -> bool {
        self.wildcard.is_some()
    }

    pub(super) fn names(&self, name: &str) -> bool {
        match &self.wildcard {
            Some(patterns) => patterns.matches(name),
            None => *self.name == *name,
        }
    }

    /// Whether there can be a package that it names. Versions converge of one package.
    fn can_name(&self, converges: bool) -> bool {
        !(converges && self.is_wildcard()) && PackageName::new(&self.name.replace('*', "x")).is_ok()
    }

    /// Whether it names the package with this name and version.
    pub(super) fn is_package(&self, name: Option<&str>, version: Option<&str>) -> bool {
        if !name.is_some_and(|name| self.names(name)) {
            return false;
        }
        let Some(range) = &self.range else {
            return true;
        };
        let version = version.and_then(|text| Version::parse(text).ok());
        let range = Range::parse(range).ok();
        range
            .zip(version)
            .is_some_and(|(range, version)| range.satisfies(&version))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_parted_at_the_arrow_that_is_no_comparison() {
        let table = [
            ("foo", (None, "foo", None, None)),
            ("@s/foo@>=1", (None, "@s/foo", Some(">=1"), None)),
            ("bar@1>foo", (Some("bar"), "foo", None, None)),
            (
                "@s/bar>@s/foo@<2 || >3",
                (Some("@s/bar"), "@s/foo", Some("<2 || >3"), None),
            ),
            (
                "b*>foo@1:prod",
                (Some("b*"), "foo", Some("1"), Some(Group::Production)),
            ),
            ("foo:peer", (None, "foo", None, Some(Group::Peer))),
        ];
        for (key, wanted) in table {
            let parsed = Key::parse(key);
            let parent = parsed.parent.as_ref().map(|parent| &*parent.name);
            let range = parsed.target.range.as_deref();
            let found = (parent, &*parsed.target.name, range, parsed.group);
            assert_eq!(found, wanted, "{key}");
        }
    }

    #[test]
    fn what_can_name_no_package_is_found() {
        for key in ["*", "@s/*", "a*>b", "a**b", "a@^1:optional", "a@"] {
            assert_eq!(Key::parse(key).invalid_name(), None, "{key}");
        }
        for key in [
            "a b", "a>", "a:dev", "a:prod>b", "*/x", "?a", "a*@", "a>b>c", "",
        ] {
            assert!(Key::parse(key).invalid_name().is_some(), "{key}");
        }
    }
}
