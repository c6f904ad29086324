//! What a command uses, seen from outside while it runs: memory and system calls.
//!
//! Looking costs time, so such a run is never timed.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use crate::measure::{Account, descendants, limit_time};

/// How long to wait at least between two looks at the memory.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// How many times as long to wait as the last look took: looking at a large process takes
/// milliseconds, in which it cannot change its memory.
const WAITED_FOR_A_LOOK: u32 = 4;

/// Where the kernel lists the system calls that can be counted.
const TRACE_POINTS: &str = "/sys/kernel/tracing/events/syscalls";

/// Kinds of system calls, and the calls that belong to each.
const KINDS: [(&str, &[&str]); 13] = [
    ("open", &["open", "openat", "openat2", "creat"]),
    ("read", &["read", "pread64", "readv"]),
    ("write", &["write", "pwrite64", "writev"]),
    (
        "stat",
        &[
            "newstat",
            "newlstat",
            "newfstat",
            "newfstatat",
            "statx",
            "access",
            "faccessat2",
        ],
    ),
    ("list", &["getdents64"]),
    ("link", &["link", "linkat"]),
    ("symlink", &["symlink", "symlinkat"]),
    ("readlink", &["readlink", "readlinkat"]),
    ("mkdir", &["mkdir", "mkdirat"]),
    ("rename", &["rename", "renameat", "renameat2"]),
    ("unlink", &["unlink", "unlinkat", "rmdir"]),
    ("copy", &["copy_file_range", "sendfile64", "ioctl"]),
    ("chmod", &["chmod", "fchmod", "fchmodat"]),
];

/// The measuring process: runs `words`, watches it, and writes the account into `result`.
pub(crate) fn account_here(result: &Path, words: &[String]) -> io::Result<()> {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    limit_time();
    let counts = result.with_extension("counts");
    let points = trace_points();
    let mut child = start(&counts, &points, words)?;
    let mut peak_kib = 0;
    let status = loop {
        let started = Instant::now();
        peak_kib = peak_kib.max(memory_kib());
        let pause = LOOK_EVERY.max(started.elapsed() * WAITED_FOR_A_LOOK);
        if let Some(status) = child.try_wait()? {
            break status;
        }
        std::thread::sleep(pause);
    };
    let account = Account {
        // What the command left running is there still.
        peak_kib: peak_kib.max(memory_kib()),
        system_calls: read_counts(&fs::read_to_string(&counts).unwrap_or_default()),
        exit_code: status.code(),
    };
    fs::write(result, serde_json::to_vec(&account)?)
}

/// Starts the command below `perf`, or by itself where there is none.
fn start(counts: &Path, points: &[String], words: &[String]) -> io::Result<Child> {
    let counted = Command::new("perf")
        .args(["stat", "--field-separator", ",", "--output"])
        .arg(counts)
        .args(["--event", &points.join(","), "--"])
        .args(words)
        .spawn();
    match counted {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Command::new(&words[0]).args(&words[1..]).spawn()
        }
        started => started,
    }
}

/// The events to count: every system call, and those of the kinds that this kernel has.
fn trace_points() -> Vec<String> {
    let known = KINDS.iter().flat_map(|(_, calls)| calls.iter());
    let known = known.filter(|call| {
        Path::new(TRACE_POINTS)
            .join(format!("sys_enter_{call}"))
            .exists()
    });
    std::iter::once("raw_syscalls:sys_enter".to_owned())
        .chain(known.map(|call| format!("syscalls:sys_enter_{call}")))
        .collect()
}

/// Sums up what `perf stat` wrote: `COUNT,UNIT,EVENT,…` a line.
fn read_counts(text: &str) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for line in text.lines() {
        let mut fields = line.split(',');
        let (Some(Ok(count)), Some(event)) = (fields.next().map(str::parse::<u64>), fields.nth(1))
        else {
            continue;
        };
        let call = event.rsplit("sys_enter_").next().unwrap_or_default();
        let kind = KINDS.iter().find(|(_, calls)| calls.contains(&call));
        let name = if event == "raw_syscalls:sys_enter" {
            "all"
        } else {
            kind.map_or(call, |(name, _)| name)
        };
        *counts.entry(name.to_owned()).or_default() += count;
    }
    counts
}

/// The proportional set sizes of all descendants but the one that counts.
fn memory_kib() -> u64 {
    let every = descendants(std::process::id());
    every.into_iter().filter_map(proportional_kib).sum()
}

fn proportional_kib(process: u32) -> Option<u64> {
    let name = fs::read_to_string(format!("/proc/{process}/comm")).ok()?;
    if name.trim() == "perf" {
        return None;
    }
    let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.split_whitespace().next()?.parse().ok()
}
