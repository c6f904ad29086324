//! The process that asks for names in advance, and the thread that pushes contents behind it.
//!
//! ```text
//! server ──► walker, standard input: for each step, each word ended by NUL
//!            "d" path, "l" number of entries to list, "s" name to ask for, "k" symlink to read (any number), "."
//! walker ──► server, standard output: one byte a step that is done
//! ```

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use super::plan::{Plan, Step};
use super::push::Pusher;
use super::touches::Touches;
use crate::fs::mount::ServerCommand;
use crate::fs::node::Node;
use crate::fs::vfs::Vfs;

/// Processor time that a replay takes at most. 20,000 touches take about 0.2 s.
const CPU_TIME_MAX: Duration = Duration::from_millis(500);

/// A replay that takes longer than this gets too little of the processor to be of use.
const WALL_TIME_MAX: Duration = Duration::from_secs(5);

/// Priority below that of the programs that wait for files.
const NICE: i32 = 10;

/// Share of time in which somebody waits for memory (`Documentation/accounting/psi.rst`), in
/// percent, above which memory is short.
const MEMORY_PRESSURE_MAX: f32 = 5.0;

/// Steps between two looks at time and memory.
const STEPS_BETWEEN_LOOKS: usize = 64;

/// A replay that goes on.
pub(super) struct Replay {
    walker: Arc<Mutex<Walker>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Walker {
    child: Option<Child>,
    stopped: bool,
}

/// What a replay needs.
pub(super) struct Task {
    pub(super) command: ServerCommand,
    pub(super) mountpoint: PathBuf,
    pub(super) device: OwnedFd,
    pub(super) vfs: Arc<Vfs>,
    pub(super) root: u32,
    pub(super) touches: Arc<Touches>,
}

impl Replay {
    /// Makes a plan, starts the walker and pushes contents, all in a thread.
    pub(super) fn start(
        task: Task,
        plan: impl FnOnce(&Vfs) -> Plan + Send + 'static,
    ) -> io::Result<Self> {
        let walker = Arc::new(Mutex::new(Walker::default()));
        let shared = Arc::clone(&walker);
        let thread = thread::Builder::new()
            .name("replay".to_owned())
            .spawn(move || {
                let plan = plan(&task.vfs);
                if let Err(error) = replay(task, &plan, &shared) {
                    tracing::debug!(%error, "the replay ended early");
                }
            })?;
        Ok(Self {
            walker,
            thread: Some(thread),
        })
    }
}

impl Drop for Replay {
    fn drop(&mut self) {
        let mut walker = self.walker.lock().unwrap_or_else(PoisonError::into_inner);
        walker.stopped = true;
        if let Some(child) = &mut walker.child {
            let _ = child.kill();
        }
        drop(walker);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn replay(task: Task, plan: &Plan, walker: &Mutex<Walker>) -> io::Result<()> {
    let pipes = {
        let mut walker = walker.lock().unwrap_or_else(PoisonError::into_inner);
        if walker.stopped || plan.steps.is_empty() {
            return Ok(());
        }
        let mut child = Command::new(&task.command.program)
            .args(&task.command.leading_args)
            .arg(&task.mountpoint)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        task.touches.set_walker(child.id());
        let pipes = (child.stdin.take(), child.stdout.take());
        walker.child = Some(child);
        pipes
    };
    let followed = match pipes {
        (Some(input), Some(output)) => follow(&task, plan, input, output),
        _ => Err(io::ErrorKind::BrokenPipe.into()),
    };
    let child = walker
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .child
        .take();
    if let Some(mut child) = child {
        // Its output has ended, so it has ended, or does nothing that anybody waits for.
        let _ = child.kill();
        let _ = child.wait();
    }
    task.touches.set_walker(0);
    followed
}

/// Hands the steps to the walker and pushes the contents of each step that it has done.
fn follow(
    task: &Task,
    plan: &Plan,
    mut input: ChildStdin,
    mut output: ChildStdout,
) -> io::Result<()> {
    // It reads all before it begins, so this does not wait for its work.
    input.write_all(&encode(&plan.steps))?;
    drop(input);
    let device = File::from(task.device.try_clone()?);
    let mut pusher = Pusher {
        device: &device,
        vfs: &task.vfs,
        root: task.root,
        buffer: Vec::new(),
    };
    let mut done = [0; 256];
    let mut steps = plan.steps.iter();
    loop {
        let count = output.read(&mut done)?;
        if count == 0 {
            return Ok(());
        }
        for step in steps.by_ref().take(count) {
            step.contents
                .iter()
                .try_for_each(|node: &Node| pusher.push(*node))?;
        }
    }
}

fn encode(steps: &[Step]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut word = |letter: u8, text: &str| {
        bytes.push(letter);
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0);
    };
    for step in steps {
        word(b'd', &step.directory);
        if step.entries > 0 {
            word(b'l', &step.entries.to_string());
        }
        for name in &step.names {
            word(b's', name);
        }
        for name in &step.links {
            word(b'k', name);
        }
        word(b'.', "");
    }
    bytes
}

/// The walker's process: does the steps that come on standard input in the tree at `mountpoint`.
///
/// # Errors
/// When the steps cannot be read or nobody listens any more.
pub fn walk(mountpoint: &Path) -> io::Result<()> {
    let mut steps = Vec::new();
    io::stdin().lock().read_to_end(&mut steps)?;
    rustix::process::nice(NICE)?;
    let mut output = io::stdout().lock();
    let began = Instant::now();
    let mut directory = mountpoint.to_owned();
    let mut done = 0;
    for word in steps.split(|byte| *byte == 0) {
        let Some((letter, text)) = word.split_first() else {
            continue;
        };
        let Ok(text) = std::str::from_utf8(text) else {
            continue;
        };
        // What fails here fails for the program that touches it too, or never comes to it.
        match letter {
            b'd' if text.is_empty() => directory = mountpoint.to_owned(),
            b'd' => directory = mountpoint.join(text),
            b'l' => list(&directory, text.parse().unwrap_or(0)),
            b's' => drop(fs::symlink_metadata(directory.join(text))),
            b'k' => follow_link(&directory.join(text)),
            _ => {
                output.write_all(&[0])?;
                output.flush()?;
                done += 1;
                let looks = done % STEPS_BETWEEN_LOOKS == 0;
                if looks && is_enough(began) {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

/// Lists so many entries: one more question would only tell that there are no more.
fn list(directory: &Path, entries: usize) {
    if let Ok(shown) = fs::read_dir(directory) {
        for _ in shown.take(entries) {}
    }
    ask_again(directory);
}

fn follow_link(link: &Path) {
    let _ = fs::read_link(link);
    ask_again(link);
}

/// Reading a directory or a symlink makes the kernel doubt its access time (`fuse_invalidate_atime`
/// in `fs/fuse/dir.c`): the next stat would cost a GETATTR.
fn ask_again(path: &Path) {
    let _ = fs::symlink_metadata(path);
}

fn is_enough(began: Instant) -> bool {
    began.elapsed() > WALL_TIME_MAX
        || processor_time() > CPU_TIME_MAX
        || memory_pressure().is_some_and(|percent| percent > MEMORY_PRESSURE_MAX)
}

/// What this process has used.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// `some avg10` of `/proc/pressure/memory`.
fn memory_pressure() -> Option<f32> {
    let text = fs::read_to_string("/proc/pressure/memory").ok()?;
    let (_, rest) = text.lines().next()?.split_once("avg10=")?;
    rest.split(' ').next()?.parse().ok()
}
