//! Whether anybody can see the mounts at all.
//!
//! In a mount namespace of its own (`unshare --mount`, a sandbox, a service) a supervisor keeps
//! that namespace, and with it the mounts, when everybody else in it has ended. Nobody could ever
//! come back, and from everywhere else the directories under the mounts would count as served.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{SERVE, SUPERVISE};
use crate::fs::holders::{path_of, processes};
use crate::fs::warm::WALK;

/// How often it is looked whether somebody is there.
const INTERVAL: Duration = Duration::from_secs(5);

/// The first process, whose mount namespace is everybody's.
const FIRST: u32 = 1;

/// Looks after those in a mount namespace that is not everybody's.
#[derive(Debug)]
pub(super) struct Company {
    own: Namespace,
    /// Who was there at the last look.
    known: u32,
    next_look: Instant,
}

/// A mount namespace. Who may not be asked for its name tells the number of its first mount.
#[derive(Debug, PartialEq, Eq)]
struct Namespace {
    name: PathBuf,
    first_mount: String,
}

impl Company {
    /// `None` in the namespace that is everybody's.
    pub(super) fn of_private_namespace() -> Option<Self> {
        let this = Path::new("/proc/self");
        let own = Namespace {
            name: fs::read_link(this.join("ns/mnt")).ok()?,
            first_mount: first_mount(this).ok()?,
        };
        if own.has(FIRST) {
            return None;
        }
        Some(Self {
            own,
            known: FIRST,
            next_look: Instant::now() + INTERVAL,
        })
    }

    /// When to look next.
    pub(super) fn next_look(&self) -> Instant {
        self.next_look
    }

    /// Whether nobody is there but servers and what belongs to them, where it is time to look.
    pub(super) fn is_gone(&mut self) -> bool {
        let now = Instant::now();
        if self.next_look > now {
            return false;
        }
        self.next_look = now + INTERVAL;
        if self.is_company(self.known) {
            return false;
        }
        let found = processes().find(|process| self.is_company(*process));
        self.known = found.unwrap_or(FIRST);
        found.is_none()
    }

    fn is_company(&self, process: u32) -> bool {
        self.own.has(process) && !is_own(process)
    }
}

impl Namespace {
    fn has(&self, process: u32) -> bool {
        let process = path_of(process);
        if let Ok(name) = fs::read_link(process.join("ns/mnt")) {
            return name == self.name;
        }
        match first_mount(&process) {
            Ok(first) => first == self.first_mount,
            // Who hides may be here; who has ended is not.
            Err(error) => error.kind() == io::ErrorKind::PermissionDenied,
        }
    }
}

/// The number of the first mount that a process sees (proc(5), `mountinfo`).
fn first_mount(process: &Path) -> io::Result<String> {
    let mut line = String::new();
    BufReader::new(File::open(process.join("mountinfo"))?).read_line(&mut line)?;
    let number = line.split(' ').next().unwrap_or_default();
    Ok(number.to_owned())
}

/// Whether a process is a supervisor or a server of this program, or a server's own.
fn is_own(process: u32) -> bool {
    let process = path_of(process);
    let program = |path: &Path| fs::read_link(path.join("exe")).ok();
    if program(&process).is_none_or(|other| program(Path::new("/proc/self")) != Some(other)) {
        return false;
    }
    let arguments = fs::read(process.join("cmdline")).unwrap_or_default();
    let words = [SERVE, SUPERVISE, WALK].map(|word| OsString::from(word).into_encoded_bytes());
    let mut arguments = arguments.split(|byte| *byte == 0);
    arguments.any(|argument| words.iter().any(|word| word == argument))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_in_its_own_namespace_and_no_server() {
        let this = Path::new("/proc/self");
        let own = Namespace {
            name: fs::read_link(this.join("ns/mnt")).unwrap(),
            first_mount: first_mount(this).unwrap(),
        };
        assert!(own.has(std::process::id()) && !is_own(std::process::id()));
        assert!(!own.has(u32::MAX));
        let other = Namespace {
            name: "mnt:[0]".into(),
            ..own
        };
        assert!(!other.has(std::process::id()));
    }
}
