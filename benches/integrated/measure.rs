//! Measuring one command: time, processor time of every descendant, memory.
//!
//! The command is started by a process of its own (this program again, as `measure`), so that
//! the kernel's account of "all children" holds this command and nothing else. That process is a
//! subreaper: what the command leaves running stays its descendant and is found.
//!
//! What would disturb the timing is counted in a run of its own, an [`Account`].

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use rustix::process::{Pid, Signal, kill_process};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// This program, also when it was built again meanwhile.
pub(crate) const MYSELF: &str = "/proc/self/exe";

/// What one run of a command cost.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// From the start of the process to its end.
    pub(crate) wall_ms: f64,
    /// User time of the process and every descendant that has ended.
    pub(crate) user_ms: f64,
    /// System time of the same.
    pub(crate) system_ms: f64,
    /// Processor time so far of descendants that still run (a server that was left behind).
    pub(crate) left_running_ms: f64,
    /// The largest resident set of any one process that has ended, in KiB.
    pub(crate) peak_kib: u64,
    /// The exit code; `None` when a signal ended it.
    pub(crate) exit_code: Option<i32>,
}

impl Sample {
    /// Both, one after the other.
    pub(crate) fn plus(&self, other: &Self) -> Self {
        Self {
            wall_ms: self.wall_ms + other.wall_ms,
            user_ms: self.user_ms + other.user_ms,
            system_ms: self.system_ms + other.system_ms,
            left_running_ms: self.left_running_ms + other.left_running_ms,
            peak_kib: self.peak_kib.max(other.peak_kib),
            exit_code: other.exit_code,
        }
    }
}

/// What one run of a command used, found in a run that is not timed.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Account {
    /// The largest sum of the proportional set sizes of all its processes, a server that it left
    /// behind included, as far as looking every few milliseconds shows it.
    pub(crate) peak_kib: u64,
    /// System calls of all its processes until the command ended, by kind; `all` is their sum.
    /// Empty where `perf` or the kernel's trace points are missing.
    pub(crate) system_calls: BTreeMap<String, u64>,
    /// The exit code; `None` when a signal ended it.
    pub(crate) exit_code: Option<i32>,
}

/// A command, its surroundings, and where its output goes.
#[derive(Clone)]
pub(crate) struct Job {
    /// The program and its arguments.
    pub(crate) words: Vec<String>,
    /// Where it runs.
    pub(crate) directory: PathBuf,
    /// Its whole environment.
    pub(crate) environment: Vec<(String, String)>,
    /// Gets its standard output and error.
    pub(crate) log: PathBuf,
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MeasureError {
    /// The measuring process or its files failed.
    #[error("measuring {program}: {source}")]
    Machinery {
        /// The measured program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// The command failed.
    #[error("{program} failed with {code:?}; its last words ({log}):\n{words}")]
    Failed {
        /// The measured program.
        program: String,
        /// Its exit code.
        code: Option<i32>,
        /// Where all of its output is.
        log: PathBuf,
        /// The end of its output.
        words: String,
    },
}

impl Job {
    /// Runs it and returns what it cost, whatever its exit code.
    pub(crate) fn measure(&self) -> Result<Sample, MeasureError> {
        let program = self.words.first().cloned().unwrap_or_default();
        self.start(&[])
            .map_err(|source| MeasureError::Machinery { program, source })
    }

    /// Runs it; a failure of the command is an error.
    pub(crate) fn succeed(&self) -> Result<Sample, MeasureError> {
        let sample = self.measure()?;
        if sample.exit_code == Some(0) {
            return Ok(sample);
        }
        Err(self.failed(sample.exit_code))
    }

    /// Runs it once more to see its memory and its system calls.
    pub(crate) fn account(&self) -> Result<Account, MeasureError> {
        let program = self.words.first().cloned().unwrap_or_default();
        let account: Account = self
            .start(&["--account"])
            .map_err(|source| MeasureError::Machinery { program, source })?;
        if account.exit_code == Some(0) {
            return Ok(account);
        }
        Err(self.failed(account.exit_code))
    }

    fn failed(&self, code: Option<i32>) -> MeasureError {
        MeasureError::Failed {
            program: self.words.join(" "),
            code,
            log: self.log.clone(),
            words: last_lines(&self.log),
        }
    }

    fn start<T: DeserializeOwned>(&self, flags: &[&str]) -> io::Result<T> {
        let log = File::create(&self.log)?;
        let result = self.log.with_extension("sample");
        let status = Command::new(MYSELF)
            .arg("measure")
            .args(flags)
            .arg(&result)
            .args(&self.words)
            .current_dir(&self.directory)
            .env_clear()
            .envs(self.environment.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .status()?;
        if !status.success() {
            return Err(io::Error::other(last_lines(&self.log)));
        }
        Ok(serde_json::from_slice(&fs::read(&result)?)?)
    }
}

fn last_lines(path: &Path) -> String {
    let text = String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}

/// Ends what this process has started when it takes longer than anything should, so that one
/// command that hangs does not cost the whole run.
pub(crate) fn limit_time() {
    const LIMIT: Duration = Duration::from_secs(15 * 60);
    std::thread::spawn(|| {
        std::thread::sleep(LIMIT);
        // The last lines of the log are what a failure is named by.
        let _ = writeln!(io::stderr(), "error: ended after {} s", LIMIT.as_secs());
        for process in descendants(std::process::id()) {
            if let Some(process) = Pid::from_raw(process.cast_signed()) {
                let _ = kill_process(process, Signal::KILL);
            }
        }
    });
}

/// The measuring process: runs `words` and writes the sample as JSON into `result`.
pub(crate) fn measure_here(result: &Path, words: &[String]) -> io::Result<()> {
    // Without this, what the command leaves behind would belong to process 1.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    limit_time();
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    let started = Instant::now();
    let status = command.status()?;
    let wall = started.elapsed();
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let sample = Sample {
        wall_ms: wall.as_secs_f64() * 1e3,
        user_ms: usage.user_time().num_microseconds() as f64 / 1e3,
        system_ms: usage.system_time().num_microseconds() as f64 / 1e3,
        // The sum of no numbers is -0.
        left_running_ms: descendants(std::process::id())
            .into_iter()
            .map(cpu_ms)
            .fold(0.0, |sum, each| sum + each),
        peak_kib: usage.max_rss().unsigned_abs(),
        exit_code: status.code(),
    };
    fs::write(result, serde_json::to_vec(&sample)?)
}

/// All living descendants.
pub(crate) fn descendants(process: u32) -> Vec<u32> {
    let mut found = Vec::new();
    let tasks = fs::read_dir(format!("/proc/{process}/task"));
    for task in tasks.into_iter().flatten().flatten() {
        let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        for child in children
            .split_whitespace()
            .filter_map(|text| text.parse().ok())
        {
            found.push(child);
            found.extend(descendants(child));
        }
    }
    found
}

/// The processor time of one process's living threads.
pub(crate) fn cpu_ms(process: u32) -> f64 {
    let tasks = fs::read_dir(format!("/proc/{process}/task"))
        .into_iter()
        .flatten()
        .flatten();
    let nanoseconds: u64 = tasks
        .filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok())
        .filter_map(|text| {
            text.split(' ')
                .next()
                .and_then(|first| first.parse::<u64>().ok())
        })
        .sum();
    nanoseconds as f64 / 1e6
}

/// A field of `/proc/PID/status` in KiB, for instance `VmHWM`.
pub(crate) fn status_kib(process: u32, field: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = text.lines().find(|line| line.starts_with(field))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
