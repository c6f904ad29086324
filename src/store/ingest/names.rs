//! From an archive's paths to a package's paths.

use std::borrow::Cow;

use crate::name::{EntryName, NameError, RelativePath};
use crate::store::error::Refusal;

/// Turns entries' paths into paths within the package.
///
/// Exactly the first component goes away, whatever it is called; `.` counts as one, as it does for
/// pnpm 12. A path of one component is a file at the root of the package. Later components `.` mean
/// nothing and go away too, as empty ones do: there are published archives that name a file in both
/// ways (agent-base 7.1.4). Nothing else is changed: what is no [`RelativePath`] afterwards is
/// refused.
pub(crate) struct Stripper<'a> {
    subdirectory: Option<&'a RelativePath>,
}

impl<'a> Stripper<'a> {
    pub(crate) fn new(subdirectory: Option<&'a RelativePath>) -> Self {
        Self { subdirectory }
    }

    /// The path within the package, or `None` where it lies outside the sub-directory asked for.
    ///
    /// # Errors
    /// [`Refusal::Path`] for what is not UTF-8, absolute, or no path.
    pub(crate) fn strip(&self, path: &[u8]) -> Result<Option<RelativePath>, Refusal> {
        let refuse = |reason| Refusal::Path {
            path: String::from_utf8_lossy(path).into_owned(),
            reason,
        };
        let text = std::str::from_utf8(path).map_err(|_| refuse(NameError::Encoding))?;
        let inner = match text.split_once('/') {
            None => text,
            Some(("", _)) => return Err(refuse(NameError::Absolute)),
            Some(("." | "package", inner)) => inner,
            Some((first, inner)) => {
                EntryName::new(first).map_err(refuse)?;
                if RelativePath::check(first).is_err() {
                    return Err(refuse(NameError::Absolute));
                }
                inner
            }
        };
        let inner = tidied(inner);
        let inner = inner.as_ref();
        let Some(subdirectory) = self.subdirectory else {
            return RelativePath::new(inner).map(Some).map_err(refuse);
        };
        RelativePath::check(inner).map_err(refuse)?;
        let below = inner
            .strip_prefix(subdirectory.as_str())
            .and_then(|rest| rest.strip_prefix('/'));
        match below {
            Some(below) => RelativePath::new(below).map(Some).map_err(refuse),
            None => Ok(None),
        }
    }
}

/// `path` without its components `.` and its empty ones, unless the last one is such: that names a
/// directory.
fn tidied(path: &str) -> Cow<'_, str> {
    let says_nothing = |component: &str| matches!(component, "" | ".");
    let is_file = path
        .rsplit('/')
        .next()
        .is_some_and(|last| !says_nothing(last));
    if !is_file || !path.split('/').any(says_nothing) {
        return Cow::Borrowed(path);
    }
    let components: Vec<&str> = path
        .split('/')
        .filter(|component| !says_nothing(component))
        .collect();
    Cow::Owned(components.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strip(path: &[u8]) -> Result<Option<String>, Refusal> {
        let path = Stripper::new(None).strip(path)?;
        Ok(path.map(|path| path.as_str().to_owned()))
    }

    #[test]
    fn exactly_the_first_component_goes_away() {
        for (path, stripped) in [
            ("package/a.js", "a.js"),
            ("other-name/lib/a.js", "lib/a.js"),
            ("./package/a.js", "package/a.js"),
            ("./a.js", "a.js"),
            ("a.js", "a.js"),
            ("package/package/a.js", "package/a.js"),
            ("@scope/name/a.js", "name/a.js"),
            ("package/./a.js", "a.js"),
            ("package/lib/././a.js", "lib/a.js"),
            ("package//lib///a.js", "lib/a.js"),
            ("package/.//a.js", "a.js"),
            ("package//abs", "abs"),
        ] {
            assert_eq!(strip(path.as_bytes()).unwrap().as_deref(), Some(stripped));
        }
    }

    #[test]
    fn paths_that_could_leave_the_package_are_refused() {
        for path in [
            "package/../../x",
            "package/..",
            "../x",
            "..",
            ".",
            "",
            "/abs",
            "/",
            "package/",
            "package//",
            "package//../a",
            "package/.",
            "package/./",
            "package/a/.",
            "package/./../a",
            "./../a",
            "./",
            "package/C:/x",
            "C:/x",
            "..\\x",
            "package/..\\x",
            "C:..\\x",
            "C:../x",
            "c:../../x",
            "package/C:../x",
            "package/c:x",
            "./C:x",
            "package/\\\\host\\share\\x",
            "pack\\age/x",
            "package/a\0b",
            "package/a\nb",
            "package/\u{1b}[2J",
            "pack\u{7}age/a",
            "package/a/",
        ] {
            assert!(strip(path.as_bytes()).is_err(), "{path:?}");
        }
        assert!(strip(format!("package/{}", "n".repeat(256)).as_bytes()).is_err());
        assert!(strip(format!("package/{}", "n/".repeat(2100)).as_bytes()).is_err());
        assert!(strip(format!("package/{}x", "n/".repeat(256)).as_bytes()).is_err());
        assert!(strip(b"package/\xff").is_err());
        assert!(strip(b"\xe9/a").is_err());
    }

    #[test]
    fn a_sub_directory_keeps_only_what_is_below_it() {
        let subdirectory = RelativePath::new("packages/a").unwrap();
        let stripper = Stripper::new(Some(&subdirectory));
        for (path, stripped) in [
            ("repo/packages/a/x.js", Some("x.js")),
            ("repo/packages/ab/x.js", None),
            ("repo/packages/a", None),
            ("repo/x.js", None),
        ] {
            let path = stripper.strip(path.as_bytes()).unwrap();
            assert_eq!(path.as_ref().map(RelativePath::as_str), stripped);
        }
        assert!(stripper.strip(b"repo/packages/a/../../x").is_err());
        assert!(stripper.strip(b"repo/../x").is_err());
    }
}
