//! Children: started, waited for, ended.

use std::fmt;
use std::io::{self, PipeReader};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::draining::Draining;
use super::output::{LineSink, ScriptOutput};
use crate::report::ScriptStream;
use crate::sys::process;

/// How long a child that was asked to end may take before it is killed.
const GRACE: Duration = Duration::from_secs(1);

/// How a script ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScriptEnd {
    /// With this exit code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// It was killed because its time was over.
    TimedOut,
}

impl ScriptEnd {
    /// Whether it did what it should.
    pub fn is_success(self) -> bool {
        self == Self::Code(0)
    }

    fn of(status: ExitStatus) -> Self {
        use std::os::unix::process::ExitStatusExt;
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Code(code),
            (None, Some(signal)) => Self::Signal(signal),
            (None, None) => Self::Code(1),
        }
    }
}

impl fmt::Display for ScriptEnd {
    /// Continues "Command failed with …".
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(formatter, "exit code {code}"),
            Self::Signal(signal) => match signal_name(*signal) {
                Some(name) => write!(formatter, "signal {name}"),
                None => write!(formatter, "signal {signal}"),
            },
            Self::TimedOut => formatter.write_str("a time-out"),
        }
    }
}

/// The name of a signal that ends processes.
fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        _ => return None,
    })
}

/// The children that a command has running, so that they can be ended with it.
#[derive(Debug, Clone, Default)]
pub struct Children(Arc<Mutex<Running>>);

#[derive(Debug, Default)]
struct Running {
    children: Vec<Registered>,
    stopped: bool,
    signal: Option<i32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Registered {
    pid: u32,
    leads_group: bool,
}

impl Registered {
    /// A process that has ended meanwhile cannot be told anything.
    fn send(self, signal: i32) {
        if self.leads_group {
            let _ = process::send_to_group(self.pid, signal);
            return;
        }
        // A shell does not pass signals on to what it waits for.
        for pid in with_descendants(self.pid) {
            let _ = process::send(pid, signal);
        }
    }
}

/// A process, its children, and theirs, as far as the system tells of them.
fn with_descendants(pid: u32) -> Vec<u32> {
    let mut found = vec![pid];
    let mut at = 0;
    while let Some(pid) = found.get(at) {
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task"));
        for task in tasks.into_iter().flatten().flatten() {
            let text = std::fs::read_to_string(task.path().join("children"));
            let text = text.unwrap_or_default();
            let children = text.split_ascii_whitespace().flat_map(str::parse::<u32>);
            found.extend(children);
        }
        at += 1;
    }
    found
}

impl Children {
    fn lock(&self) -> std::sync::MutexGuard<'_, Running> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts `command`, unless the command is being ended: then there is `None`.
    fn start(&self, command: &mut Command, leads_group: bool) -> io::Result<Option<Child>> {
        // The lock is held while the child starts, so that none is missed by `stop`.
        let mut running = self.lock();
        if running.stopped {
            return Ok(None);
        }
        let child = command.spawn()?;
        let pid = child.id();
        running.children.push(Registered { pid, leads_group });
        Ok(Some(child))
    }

    /// To be called before the child is reaped: afterwards its number may be another's.
    fn forget(&self, pid: u32) {
        self.lock().children.retain(|child| child.pid != pid);
    }

    /// Passes a signal on. What a terminal sends reaches the children that share it by itself.
    pub fn forward(&self, signal: i32) {
        let mut running = self.lock();
        running.stopped = true;
        running.signal = Some(signal);
        for child in &running.children {
            if child.leads_group || signal != process::INTERRUPT {
                child.send(signal);
            }
        }
    }

    /// Asks every child to end, and starts no more.
    pub fn stop(&self) {
        let mut running = self.lock();
        running.stopped = true;
        for child in &running.children {
            child.send(process::TERMINATE);
        }
    }

    /// Ends every child: asks first, and kills what is left a second later. Starts no more.
    pub fn end(&self) {
        self.stop();
        let deadline = std::time::Instant::now() + GRACE;
        while !self.lock().children.is_empty() && std::time::Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        for child in &self.lock().children {
            child.send(process::KILL);
        }
    }

    /// The signal that the command was sent, if it was.
    pub fn signal(&self) -> Option<i32> {
        self.lock().signal
    }

    /// Whether the command is being ended.
    pub fn is_stopped(&self) -> bool {
        self.lock().stopped
    }
}

/// What a child may do.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    /// It is killed, with its group, when it takes longer.
    pub timeout: Option<Duration>,
    /// What it left running is killed when it ends.
    pub ends_alone: bool,
}

/// Runs `command` to its end. `None`: the command is being ended, and it was not started.
pub(super) fn run(
    command: &mut Command,
    output: ScriptOutput,
    sink: &Arc<LineSink>,
    limits: Limits,
    children: &Children,
) -> io::Result<Option<ScriptEnd>> {
    let leads_group = output != ScriptOutput::Terminal;
    if leads_group {
        use std::os::unix::process::CommandExt;
        command.process_group(0);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        // Reading from a terminal would stop a process that is not in its foreground.
        if io::IsTerminal::is_terminal(&io::stdin()) {
            command.stdin(Stdio::null());
        }
    }
    // Its other end closes when the script has ended.
    let (ended, running) = io::pipe()?;
    let ended = Arc::new(ended);
    let Some(mut child) = children.start(command, leads_group)? else {
        return Ok(None);
    };
    let output = child.stdout.take().map(OwnedFd::from);
    let errors = child.stderr.take().map(OwnedFd::from);
    let readers = [
        output.and_then(|source| read(sink, source, ScriptStream::Output, &ended)),
        errors.and_then(|source| read(sink, source, ScriptStream::Error, &ended)),
    ];
    let result = wait(&mut child, leads_group, limits, children);
    drop(running);
    for reader in readers.into_iter().flatten() {
        // One that panicked has told so.
        let _ = reader.join();
    }
    result.map(Some)
}

/// Gives the output of a script to `sink`. Without a thread for it nobody reads, and the script is
/// told so when it writes.
fn read(
    sink: &Arc<LineSink>,
    source: OwnedFd,
    stream: ScriptStream,
    ended: &Arc<PipeReader>,
) -> Option<JoinHandle<()>> {
    let source = Draining::new(source.into(), ended.clone());
    let sink = sink.clone();
    let reader = thread::Builder::new().spawn(move || sink.read(source, stream));
    reader
        .inspect_err(|error| tracing::error!(%error, "the output of a script cannot be read"))
        .ok()
}

/// Waits for the end of `child` and reaps it.
fn wait(
    child: &mut Child,
    leads_group: bool,
    limits: Limits,
    children: &Children,
) -> io::Result<ScriptEnd> {
    let pid = child.id();
    let own = Registered { pid, leads_group };
    let waited = process::wait_for_end(pid, limits.timeout);
    let timed_out = matches!(waited, Ok(false));
    if timed_out {
        own.send(process::TERMINATE);
        if !matches!(process::wait_for_end(pid, Some(GRACE)), Ok(true)) {
            own.send(process::KILL);
        }
    }
    // While the child is not reaped, the number of its group is nobody else's.
    if leads_group && (limits.ends_alone || timed_out) {
        own.send(process::KILL);
    }
    children.forget(pid);
    let status = child.wait()?;
    waited?;
    Ok(match timed_out {
        true => ScriptEnd::TimedOut,
        false => ScriptEnd::of(status),
    })
}
