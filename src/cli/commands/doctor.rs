//! `doctor`: what is wrong on this machine, and what to do about it.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::cli::Ending;
use crate::cli::arguments::{DoctorArguments, GlobalArguments};
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::print;
use crate::cli::report::human_bytes;
use crate::fs::control::RunDirectory;
use crate::fs::mount::check_prerequisites;
use crate::fs::mountinfo::{self, MountEntry};
use crate::fs::status::{self, Health};
use crate::install::config::Options;
use crate::install::scripts::ScriptEnd;
use crate::name::escaped;
use crate::store::{Access, Store};

/// Below this many free bytes an install is likely to fail.
const FREE_BYTES_MIN: u64 = 1 << 30;

/// Below this many descriptors a server runs out of them with many packages open.
const DESCRIPTORS_MIN: u64 = 1024;

/// File systems on which a database with locks, or a rename, may not be what it is elsewhere.
const REMOTE: [&str; 8] = [
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "9p",
    "fuse.sshfs",
    "afs",
    "vboxsf",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Good,
    Doubtful,
    Bad,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Doubtful => "warning",
            Self::Bad => "error",
        }
    }
}

/// What one look came to.
struct Finding {
    what: &'static str,
    verdict: Verdict,
    detail: String,
    hint: Option<String>,
}

impl Finding {
    fn good(what: &'static str, detail: impl Into<String>) -> Self {
        Self {
            what,
            verdict: Verdict::Good,
            detail: detail.into(),
            hint: None,
        }
    }

    fn with(mut self, verdict: Verdict, hint: &str) -> Self {
        self.verdict = verdict;
        self.hint = Some(hint.to_owned());
        self
    }
}

/// Ends with 1 where something is bad.
pub(in crate::cli) fn run(
    global: &GlobalArguments,
    arguments: &DoctorArguments,
) -> Result<Ending, Failure> {
    let context = Context::load_anywhere(global, Options::default())?;
    let mounts = mountinfo::read().unwrap_or_default();
    let mut findings = vec![kernel(), device(), mounting(&context)];
    findings.extend(sharing(&context));
    findings.push(descriptors());
    findings.extend(served());
    findings.extend(store(&context, &mounts));
    findings.push(program(
        "node",
        "scripts of packages and projects need Node.js in PATH",
    ));
    findings.push(program(
        "git",
        "packages of repositories and `patch-commit` need git in PATH",
    ));
    print(&match arguments.json {
        true => object(&findings),
        false => text(&findings),
    });
    let is_bad = findings.iter().any(|one| one.verdict == Verdict::Bad);
    Ok(match is_bad {
        true => Ending::As(ScriptEnd::Code(1)),
        false => Ending::Success,
    })
}

fn text(findings: &[Finding]) -> String {
    let mut text = String::new();
    for one in findings {
        let (word, what, detail) = (one.verdict.word(), one.what, escaped(&one.detail));
        text.push_str(&format!("{word:7} {what}: {detail}\n"));
        if let Some(hint) = &one.hint {
            text.push_str(&format!("        hint: {hint}\n"));
        }
    }
    text
}

/// A list of objects: `check`, `status` (`ok`, `warning`, `error`), `detail`, `hint`.
fn object(findings: &[Finding]) -> String {
    let list = findings.iter().map(|one| {
        json!({
            "check": one.what,
            "status": one.verdict.word(),
            "detail": one.detail,
            "hint": one.hint,
        })
    });
    format!("{}\n", Value::Array(list.collect()))
}

fn kernel() -> Finding {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let release = release.trim().to_owned();
    let mut numbers = release
        .split(['.', '-'])
        .map_while(|part| part.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let finding = Finding::good("kernel", release);
    match version {
        // Requests that a dead server had taken are sent again since then.
        version if version >= (6, 9) => finding,
        version if version >= (5, 4) => finding.with(
            Verdict::Doubtful,
            "before Linux 6.9 what is asked of a server while it is replaced may fail",
        ),
        _ => finding.with(Verdict::Bad, "a mount needs Linux 5.4 or newer"),
    }
}

fn device() -> Finding {
    let path = "/dev/fuse";
    match OpenOptions::new().read(true).write(true).open(path) {
        Ok(_) => Finding::good("fuse device", path),
        Err(error) => Finding::good("fuse device", format!("{path}: {error}")).with(
            Verdict::Bad,
            "`modprobe fuse`, or give the container the device; `install` without --virtual \
             writes real files",
        ),
    }
}

fn mounting(context: &Context) -> Finding {
    match check_prerequisites(context.config.mount_helper.as_deref()) {
        Ok(()) => Finding::good("mounting", "this user can mount"),
        Err(error) => {
            let failure = Failure::from(error);
            Finding::good("mounting", failure.sentence()).with(
                Verdict::Bad,
                "install fuse3 (it has fusermount3), or set mountHelper",
            )
        }
    }
}

/// Other users may look into mounts only where the administrator lets them.
fn sharing(context: &Context) -> Option<Finding> {
    if !context.config.allow_other {
        return None;
    }
    let text = fs::read_to_string("/etc/fuse.conf").unwrap_or_default();
    let is_allowed = text.lines().any(|line| line.trim() == "user_allow_other");
    let finding = Finding::good("allowOther", "/etc/fuse.conf");
    Some(match is_allowed {
        true => finding,
        false => finding.with(
            Verdict::Doubtful,
            "put the line user_allow_other into /etc/fuse.conf, or mount as root",
        ),
    })
}

fn descriptors() -> Finding {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().nth(3));
    let soft = soft.unwrap_or("unknown");
    let finding = Finding::good("open files", format!("at most {soft}"));
    match soft.parse::<u64>() {
        Ok(most) if most < DESCRIPTORS_MIN => finding.with(
            Verdict::Doubtful,
            "raise the limit: `ulimit -n 4096`, or in /etc/security/limits.conf",
        ),
        _ => finding,
    }
}

/// The mounts of this user.
fn served() -> Vec<Finding> {
    let status = RunDirectory::of_user()
        .map_err(Failure::from)
        .and_then(|run| status::status(&run).map_err(Failure::from));
    let mounts = match status {
        Ok(mounts) => mounts,
        Err(failure) => {
            let finding = Finding::good("mounts", failure.sentence());
            let hint = "make XDG_RUNTIME_DIR a directory of your own";
            return vec![finding.with(Verdict::Bad, hint)];
        }
    };
    let mut findings = vec![Finding::good("mounts", format!("{} served", mounts.len()))];
    for mount in mounts {
        let (verdict, word, hint) = match mount.health {
            Health::Healthy => continue,
            Health::Damaged => (Verdict::Bad, "damaged", "`pacquet store verify`"),
            Health::Orphaned => (Verdict::Doubtful, "orphaned", "`pacquet mount` there"),
            Health::Failing => (Verdict::Bad, "failing", "`pacquet status` says why"),
            Health::Hung => (Verdict::Bad, "hung", "`pacquet unmount --force` there"),
            Health::Dead => (Verdict::Bad, "dead", "`pacquet mount` or `unmount` there"),
        };
        let detail = format!("{} is {word}", mount.mountpoint.display());
        findings.push(Finding::good("mount", detail).with(verdict, hint));
    }
    findings
}

fn store(context: &Context, mounts: &[MountEntry]) -> Vec<Finding> {
    let path = &context.config.store_directory;
    let there = nearest(path);
    let mut findings = Vec::new();
    let shown = path.display().to_string();
    findings.push(match (path.exists(), Store::open(path, Access::ReadOnly)) {
        (false, _) => Finding::good("store", format!("{shown} (not there yet)")),
        (true, Ok(_)) => Finding::good("store", shown),
        (true, Err(error)) => {
            let failure = Failure::from(error);
            let hint = "`pacquet store rebuild-index`, or set storeDir to another directory";
            Finding::good("store", failure.sentence()).with(Verdict::Bad, hint)
        }
    });
    let kind = kind_of(&there, mounts);
    let finding = Finding::good("file system of the store", kind.clone());
    findings.push(match kind.as_str() {
        kind if REMOTE.contains(&kind) => finding.with(
            Verdict::Doubtful,
            "a store belongs on a disk of this machine: set storeDir",
        ),
        "tmpfs" | "ramfs" => finding.with(
            Verdict::Doubtful,
            "the store is gone after a restart: set storeDir",
        ),
        _ => finding,
    });
    if let Ok(facts) = rustix::fs::statvfs(&there) {
        let free = facts.f_bavail.saturating_mul(facts.f_frsize);
        let finding = Finding::good("free space of the store", human_bytes(free));
        findings.push(match free < FREE_BYTES_MIN {
            true => finding.with(Verdict::Doubtful, "`pacquet store prune`, or make room"),
            false => finding,
        });
    }
    if rustix::fs::access(&there, rustix::fs::Access::WRITE_OK).is_err() {
        let finding = Finding::good("store", format!("{} is read-only", there.display()));
        let hint = "nothing can be added to it; what it has can be served";
        findings.push(finding.with(Verdict::Doubtful, hint));
    }
    findings
}

/// The path, or what of it is there.
fn nearest(path: &Path) -> PathBuf {
    let mut ancestors = path.ancestors();
    let there = ancestors.find(|path| path.exists());
    there.unwrap_or(Path::new("/")).to_owned()
}

/// The kind of the file system that a path is on.
fn kind_of(path: &Path, mounts: &[MountEntry]) -> String {
    let above = mounts
        .iter()
        .filter(|one| path.starts_with(&one.mountpoint));
    // The last of those that are equally deep is on top.
    let deepest = above.max_by_key(|one| one.mountpoint.components().count());
    deepest.map_or_else(|| "unknown".to_owned(), |one| one.fs_type.clone())
}

fn program(name: &'static str, hint: &str) -> Finding {
    let output = Command::new(name)
        .arg("--version")
        .stdin(Stdio::null())
        .output();
    match output {
        Ok(output) if output.status.success() => {
            let said = String::from_utf8_lossy(&output.stdout);
            Finding::good(name, said.lines().next().unwrap_or_default())
        }
        Ok(output) => Finding::good(name, output.status.to_string()).with(Verdict::Doubtful, hint),
        Err(error) => Finding::good(name, error.to_string()).with(Verdict::Doubtful, hint),
    }
}
