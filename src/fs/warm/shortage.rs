//! Whether memory is short.
//!
//! Somebody waits for memory also where there is plenty of it: the kernel may take pages that
//! nobody used for a while (DAMON), and who reads them again waits for them, as does who reads a
//! disk for the first time. So waiting counts only where little of the machine's memory is left, or
//! where those who wait are held to a limit (a container).

use std::fs;
use std::path::Path;

/// Share of time in which somebody waits for memory (`Documentation/accounting/psi.rst`), in
/// percent, from which on it may be short.
const WAITING_PERCENT: f32 = 5.0;

/// Memory that is available (`MemAvailable`, proc_meminfo(5)) below this share of all, in percent,
/// is little.
const AVAILABLE_PERCENT: u64 = 25;

/// Where control groups are (`Documentation/admin-guide/cgroup-v2.rst`).
const GROUPS: &str = "/sys/fs/cgroup";

/// Whether memory is short for this process.
pub(super) fn is_memory_short() -> bool {
    let is_waited_for = |path: &Path| {
        let text = fs::read_to_string(path).unwrap_or_default();
        waiting(&text).is_some_and(|percent| percent > WAITING_PERCENT)
    };
    if is_waited_for(Path::new("/proc/pressure/memory")) {
        let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        if available(&text).is_none_or(|percent| percent < AVAILABLE_PERCENT) {
            return true;
        }
    }
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    group(&groups).is_some_and(|path| {
        let group = Path::new(GROUPS).join(path);
        let limit = fs::read_to_string(group.join("memory.max")).unwrap_or_default();
        is_limit(&limit) && is_waited_for(&group.join("memory.pressure"))
    })
}

/// `some avg10` of a file of pressures, in percent.
fn waiting(text: &str) -> Option<f32> {
    let (_, rest) = text.lines().next()?.split_once("avg10=")?;
    rest.split(' ').next()?.parse().ok()
}

/// What is available of all memory, in percent.
fn available(text: &str) -> Option<u64> {
    let kibibytes = |name: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.parse().ok()
    };
    let (available, all) = (kibibytes("MemAvailable:")?, kibibytes("MemTotal:")?);
    available.checked_mul(100)?.checked_div(all)
}

/// The control group of version 2 among the groups of a process, below [`GROUPS`].
fn group(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix("0::/"))
}

/// Whether this is a number of bytes.
fn is_limit(text: &str) -> bool {
    text.trim().parse::<u64>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_is_the_share_of_the_last_ten_seconds() {
        let text = "some avg10=3.46 avg60=4.89 avg300=1.63 total=144078273\n\
                    full avg10=0.81 avg60=0.78 avg300=0.24 total=18002633\n";
        assert_eq!(waiting(text), Some(3.46));
        for text in ["", "some", "some avg10=", "some avg10=x avg60=0.00"] {
            assert_eq!(waiting(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_available_is_a_share_of_all() {
        let text =
            "MemTotal:       24683520 kB\nMemFree:  1590272 kB\nMemAvailable:   12341760 kB\n";
        assert_eq!(available(text), Some(50));
        for text in [
            "",
            "MemTotal: 1 kB\n",
            "MemTotal: 0 kB\nMemAvailable: 0 kB\n",
            "MemTotal: x kB\nMemAvailable: 1 kB\n",
        ] {
            assert_eq!(available(text), None, "{text}");
        }
    }

    #[test]
    fn only_a_group_of_version_2_with_a_limit_counts() {
        let text = "4:memory:/other\n0::/user.slice/session.scope\n";
        assert_eq!(group(text), Some("user.slice/session.scope"));
        assert_eq!(group("0::/\n"), Some(""));
        assert_eq!(group("4:memory:/other\n"), None);
        assert!(is_limit("1073741824\n"));
        assert!(!is_limit("max\n"));
        assert!(!is_limit(""));
    }
}
