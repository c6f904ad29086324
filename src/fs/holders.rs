//! Who uses a mount: processes whose directory, program, files or mappings are inside.
//!
//! Only `/proc` is read, where links are text; nothing in the mount is touched.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use super::mountinfo::{self, is_inside};
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

impl Holder {
    /// Whether it is a child of the process `parent`, as far as this can be told.
    pub(super) fn is_child_of(&self, parent: u32) -> bool {
        let status = fs::read_to_string(path_of(self.pid).join("status")).unwrap_or_default();
        let mut lines = status.lines();
        let found = lines.find_map(|line| line.strip_prefix("PPid:"));
        found.is_some_and(|pid| pid.trim().parse() == Ok(parent))
    }
}

/// The processes that use something inside `mountpoint`, as far as this user may see.
pub fn find(mountpoint: &Path) -> Vec<Holder> {
    // The supervisor has the directory under the mount open, which has the same path.
    let mounts: Vec<u64> = mountinfo::read()
        .unwrap_or_default()
        .iter()
        .filter(|entry| is_inside(&entry.mountpoint, mountpoint))
        .map(|entry| entry.id)
        .collect();
    processes()
        .filter_map(|pid| {
            let process = path_of(pid);
            uses(&process, mountpoint, &mounts).then(|| Holder {
                pid,
                name: name(&process),
            })
        })
        .take(HOLDERS_MAX)
        .collect()
}

/// Where the system tells of a process or thread.
pub(super) fn path_of(process: u32) -> PathBuf {
    PathBuf::from(format!("/proc/{process}"))
}

/// All processes that this one may see.
pub(super) fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn name(process: &Path) -> String {
    let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
    name.trim_end().to_owned()
}

fn uses(process: &Path, mountpoint: &Path, mounts: &[u64]) -> bool {
    let points_inside =
        |link: &Path| fs::read_link(link).is_ok_and(|path| is_inside(&path, mountpoint));
    if ["cwd", "root", "exe"]
        .iter()
        .any(|link| points_inside(&process.join(link)))
    {
        return true;
    }
    let open = fs::read_dir(process.join("fd")).into_iter().flatten();
    let is_in_mount = |descriptor: &OsStr| {
        let details = process.join("fdinfo").join(descriptor);
        let details = fs::read_to_string(details).unwrap_or_default();
        let mount = details
            .lines()
            .find_map(|line| line.strip_prefix("mnt_id:"));
        mount.is_some_and(|id| id.trim().parse().is_ok_and(|id| mounts.contains(&id)))
    };
    if open
        .flatten()
        .any(|entry| points_inside(&entry.path()) && is_in_mount(&entry.file_name()))
    {
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
    fn this_process_uses_the_file_system_that_its_open_file_is_on() {
        let elsewhere = tempfile::tempdir().unwrap();
        // Two that every machine has, with different mounts.
        let _held = fs::File::open("/proc/self/status").unwrap();
        let ours = |holders: Vec<Holder>| {
            holders
                .iter()
                .any(|holder| holder.pid == std::process::id())
        };
        assert!(ours(find(Path::new("/proc"))));
        assert!(!ours(find(elsewhere.path())));
    }

    #[test]
    fn a_directory_under_the_path_of_no_mount_is_not_used() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().canonicalize().unwrap();
        let _file = fs::File::create(path.join("held")).unwrap();
        assert_eq!(find(&path), []);
    }
}
