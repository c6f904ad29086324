//! The keys of `packages`: where something is, relative to the project.

use crate::name::{NameError, PackageName, RelativePath};

const SEPARATOR: &str = "/node_modules/";

/// Where a package, a link or a linked directory is.
///
/// `node_modules/a/node_modules/@s/b` is the package `@s/b` below `a`; `packages/x` is a directory
/// of the project, and `packages/x/node_modules/a` a package below that.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    text: Box<str>,
    /// The directory in which the first `node_modules` is.
    base: Base,
    /// The packages from there down, the last one is what is meant.
    names: Vec<PackageName>,
}

/// The directory at which a location begins.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Base {
    /// The project itself.
    Root,
    /// A directory in it.
    Inside(RelativePath),
    /// A directory elsewhere, to which links may lead: `../x`.
    Outside(Box<str>),
}

impl Base {
    fn parse(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Ok(Self::Root);
        }
        let climbed = text.trim_start_matches("../");
        if climbed.len() == text.len() && text != ".." {
            return RelativePath::new(text).map(Self::Inside);
        }
        if !climbed.is_empty() && climbed != ".." {
            RelativePath::check(climbed)?;
        }
        Ok(Self::Outside(text.into()))
    }
}

impl Location {
    /// Reads a key of `packages`. The empty one is the project.
    ///
    /// # Errors
    /// The first rule of names and paths that it breaks.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        // An empty base with a slash after it is the root of the file system.
        if text.starts_with('/') {
            return Err(NameError::Absolute);
        }
        let (base, below) = match text.strip_prefix("node_modules/") {
            Some(below) => ("", Some(below)),
            None => match text.split_once(SEPARATOR) {
                Some((base, below)) => (base, Some(below)),
                None => (text, None),
            },
        };
        let names = below.into_iter().flat_map(|text| text.split(SEPARATOR));
        let names = names.map(PackageName::new).collect::<Result<_, _>>()?;
        let base = Base::parse(base)?;
        if let Base::Inside(path) = &base
            && path.components().any(|part| part == "node_modules")
        {
            return Err(NameError::Reserved);
        }
        Ok(Self {
            text: text.into(),
            base,
            names,
        })
    }

    /// As it stands in the lockfile.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The directory at which it begins.
    pub fn base(&self) -> &Base {
        &self.base
    }

    /// How many packages are one in another here; 0 for a directory outside every `node_modules`.
    pub fn depth(&self) -> usize {
        self.names.len()
    }

    /// The name under which it is found; `None` for a directory outside every `node_modules`.
    pub fn name(&self) -> Option<&PackageName> {
        self.names.last()
    }

    /// The names from the first `node_modules` down.
    pub fn names(&self) -> &[PackageName] {
        &self.names
    }

    /// The location whose `node_modules` holds this one.
    pub fn parent(&self) -> Option<&str> {
        let name = self.names.last()?;
        let rest = self.text.len() - name.as_str().len();
        let modules = self.text[..rest].trim_end_matches('/');
        let parent = modules.strip_suffix("node_modules")?;
        Some(parent.trim_end_matches('/'))
    }
}

/// The location of `name` in the `node_modules` of `parent`.
pub(super) fn child(parent: &str, name: &str) -> String {
    match parent {
        "" => format!("node_modules/{name}"),
        parent => format!("{parent}/node_modules/{name}"),
    }
}

/// Where Node goes on looking when `location` has nothing: the next directory up that may have a
/// `node_modules`, `None` above the project.
pub(super) fn next_up(location: &str) -> Option<&str> {
    if location.is_empty() || location.starts_with("../") || location == ".." {
        // What is elsewhere has only its own `node_modules`.
        let at = location.rfind(SEPARATOR)?;
        return Some(&location[..at]);
    }
    match location.rfind(SEPARATOR) {
        Some(at) => Some(&location[..at]),
        None if location.starts_with("node_modules/") => Some(""),
        None => Some(location.rsplit_once('/').map_or("", |(up, _)| up)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_taken_apart() {
        for (text, names, parent) in [
            ("", 0, None),
            ("node_modules/a", 1, Some("")),
            ("node_modules/@s/a", 1, Some("")),
            (
                "node_modules/a/node_modules/@s/b",
                2,
                Some("node_modules/a"),
            ),
            ("packages/x", 0, None),
            ("packages/x/node_modules/a", 1, Some("packages/x")),
            ("../x", 0, None),
            ("../../x/node_modules/a", 1, Some("../../x")),
        ] {
            let location = Location::parse(text).unwrap();
            assert_eq!(location.names().len(), names, "{text}");
            assert_eq!(location.parent(), parent, "{text}");
        }
    }

    #[test]
    fn keys_that_could_lead_elsewhere_are_refused() {
        for text in [
            "/node_modules/a",
            "node_modules/../a",
            "node_modules/",
            "node_modules",
            "node_modules/.bin",
            "node_modules/.package-lock.json",
            "node_modules/@s",
            "node_modules/a/b",
            "node_modules/a/node_modules/..",
            "node_modules/a//node_modules/b",
            "node_modules/a\\b",
            "node_modules/a/",
            "packages/../x",
            "packages//x",
            "./packages",
            "../x/../y",
            "x/node_modules",
            "node_modules/a\0",
            "C:/x",
        ] {
            assert!(Location::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_way_up_is_that_of_node() {
        let way = |text: &str| {
            std::iter::successors(next_up(text).map(str::to_owned), |at| {
                next_up(at).map(str::to_owned)
            })
            .collect::<Vec<_>>()
        };
        assert_eq!(
            way("node_modules/a/node_modules/@s/b"),
            ["node_modules/a", ""]
        );
        assert_eq!(
            way("packages/x/node_modules/a"),
            ["packages/x", "packages", ""]
        );
        assert_eq!(way("../x/node_modules/a"), ["../x"]);
    }
}
