//! Arithmetic of paths as they are written: nothing is looked at, and no symlink is followed.

use std::path::{Component, Path, PathBuf};

/// `path` without `.` and `..`.
pub(crate) fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                normal.pop();
            }
            other => normal.push(other),
        }
    }
    normal
}

/// The way from one absolute directory without `.` and `..` to another.
pub(crate) fn relative(from: &Path, to: &Path) -> PathBuf {
    let names = from.components().zip(to.components());
    let common = names.take_while(|(one, other)| one == other).count();
    let up = from.components().skip(common).map(|_| Component::ParentDir);
    up.chain(to.components().skip(common)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_up_takes_away_what_came_before() {
        for (path, expected) in [
            ("/a/./b/../c", "/a/c"),
            ("/..", "/"),
            ("a/../b", "b"),
            ("/a//b/", "/a/b"),
        ] {
            assert_eq!(normal(Path::new(path)), Path::new(expected), "{path}");
        }
    }
}
