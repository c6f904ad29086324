//! Who uses a mount: processes whose directory, program, files or mappings are inside.
//!
//! Only `/proc` is read, where links are text; nothing in the mount is touched.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use super::mountinfo::is_inside;
use crate::name::escaped;

/// How many holders are named.
const HOLDERS_MAX: usize = 16;

/// A process that uses a mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its id.
    pub pid: u32,
    /// Its name.
    pub name: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} (process {})", escaped(&self.name), self.pid)
    }
}

/// The processes that use something inside `mountpoint`, as far as this user may see.
pub fn find(mountpoint: &Path) -> Vec<Holder> {
    let Ok(processes) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    processes
        .filter_map(|entry| {
            let pid = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let process = PathBuf::from(format!("/proc/{pid}"));
            uses(&process, mountpoint).then(|| Holder {
                pid,
                name: name(&process),
            })
        })
        .take(HOLDERS_MAX)
        .collect()
}

fn name(process: &Path) -> String {
    let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
    name.trim_end().to_owned()
}

fn uses(process: &Path, mountpoint: &Path) -> bool {
    let points_inside =
        |link: &Path| fs::read_link(link).is_ok_and(|path| is_inside(&path, mountpoint));
    if ["cwd", "root", "exe"]
        .iter()
        .any(|link| points_inside(&process.join(link)))
    {
        return true;
    }
    let open = fs::read_dir(process.join("fd")).into_iter().flatten();
    if open.flatten().any(|entry| points_inside(&entry.path())) {
        return true;
    }
    let maps = fs::read_to_string(process.join("maps")).unwrap_or_default();
    maps.lines().any(|line| {
        line.find('/')
            .is_some_and(|at| is_inside(Path::new(&line[at..]), mountpoint))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_its_open_file_and_no_other_place() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().canonicalize().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let _file = fs::File::create(path.join("held")).unwrap();
        let ours = |holders: Vec<Holder>| {
            holders
                .iter()
                .any(|holder| holder.pid == std::process::id())
        };
        assert!(ours(find(&path)));
        assert!(!ours(find(elsewhere.path())));
    }
}
