//! Where pnpm would keep its store: a `node_modules` of real files names it in `.modules.yaml`, so
//! that pnpm goes on with the tree instead of making it anew.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::environment::Environment;
use crate::sys;

/// The version of pnpm's store, which is the last component of its path.
const VERSION: &str = "v11";

/// pnpm's store for the project at `root`: the configured one, else the one of the user, unless
/// that is on another file system. Then it is where the file system of the project begins.
pub(super) fn pnpm_store_directory(
    configured: Option<PathBuf>,
    environment: &Environment,
    root: &Path,
) -> Option<PathBuf> {
    if let Some(path) = configured {
        return Some(with_version(path));
    }
    let home = pnpm_home(environment)?.join("store");
    let device = device(root);
    let home_device = home.ancestors().find_map(self::device);
    if device.is_none() || device == home_device {
        return Some(with_version(home));
    }
    let ancestors: Vec<&Path> = root.ancestors().collect();
    let top = ancestors
        .into_iter()
        .rev()
        .find(|path| self::device(path) == device && sys::store::is_writable(path));
    let store = match top {
        Some(top) if top == root => root.join("node_modules/.pnpm-store"),
        Some(top) => top.join(".pnpm-store"),
        None => home,
    };
    Some(with_version(store))
}

/// Where pnpm keeps what it has for all projects.
pub(super) fn pnpm_home(environment: &Environment) -> Option<PathBuf> {
    let absolute = |name| {
        let path = environment.variable(name).map(Path::new);
        path.filter(|path| path.is_absolute())
    };
    absolute("PNPM_HOME")
        .map(Path::to_path_buf)
        .or_else(|| Some(absolute("XDG_DATA_HOME")?.join("pnpm")))
        .or_else(|| Some(environment.home()?.join(".local/share/pnpm")))
}

fn with_version(path: PathBuf) -> PathBuf {
    if path.ends_with(VERSION) {
        path
    } else {
        path.join(VERSION)
    }
}

fn device(path: &Path) -> Option<u64> {
    std::fs::metadata(path).ok().map(|facts| facts.dev())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_is_where_pnpm_says() {
        let scratch = tempfile::tempdir().expect("scratch");
        let root = scratch.path();
        let home = root.join("home");
        let environment = |name: &str, value: PathBuf| {
            let home = ("HOME".into(), home.clone().into());
            Environment::new([home, (name.into(), value.into())], "/".into())
        };
        let of = |name: &str, value: &Path| {
            pnpm_store_directory(None, &environment(name, value.to_owned()), root)
        };
        let expected = |path: &str| Some(root.join(path));
        assert_eq!(of("X", root), expected("home/.local/share/pnpm/store/v11"));
        assert_eq!(
            of("XDG_DATA_HOME", &root.join("d")),
            expected("d/pnpm/store/v11")
        );
        assert_eq!(of("PNPM_HOME", &root.join("p")), expected("p/store/v11"));
        let configured = |path: &str| {
            let environment = environment("X", root.to_owned());
            pnpm_store_directory(Some(root.join(path)), &environment, root)
        };
        assert_eq!(configured("s"), expected("s/v11"));
        assert_eq!(configured("s/v11"), expected("s/v11"));
    }
}
